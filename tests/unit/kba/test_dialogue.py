"""One question after the other: nothing is told and nothing readable is kept before the last answer."""

import json
from dataclasses import replace

import pytest

from tests.unit.kba.conftest import ADA, ANSWERS, Room
from wardgate.clock import to_ms
from wardgate.errors import SealError
from wardgate.kba.asking import AskedQuestion, Right, Who
from wardgate.kba.dialogue import MAX_TYPED_BYTES, Dialogue, Envelope, begin, remembered
from wardgate.texts import LANGUAGES, render

WHO = Who("acme", "ada", ADA)


def envelope(room: Room, transaction_id: str = "t1", later_ms: int = 0) -> Envelope:
    return Envelope(room.ring, transaction_id, to_ms(room.clock.now()) + later_ms)


async def started(room: Room, proved: bool = False) -> Dialogue:
    await room.set_all()
    return begin(await room.questioner.ask(WHO, "en", proved), envelope(room))


def again(dialogue: Dialogue) -> Dialogue:
    """As the next packet finds it: what a transaction remembers is JSON."""
    found = remembered(json.loads(json.dumps(dialogue.memory())))
    assert found is not None
    return found


async def test_a_dialogue_of_three_questions_passes_with_three_right_answers(room: Room) -> None:
    dialogue = await started(room)
    prompts = []
    while not dialogue.is_complete:
        prompts.append(render(dialogue.prompt(envelope(room)), "en"))
        answer = ANSWERS[dialogue.asked[len(dialogue.typed)]].encode()
        dialogue = again(dialogue.take(envelope(room), answer))
        room.clock.advance(60)
    assert prompts[0] == "1/3: What is your staff number?"
    given = dialogue.answers(envelope(room))
    assert isinstance(await room.questioner.judge(WHO, dialogue.asked, given, "ada"), Right)


async def test_a_wrong_answer_is_told_no_sooner_than_a_right_one(room: Room) -> None:
    right = wrong = await started(room)
    for _ in range(3):
        told = (right.prompt(envelope(room)), wrong.prompt(envelope(room)))
        assert told[0] == told[1]
        right = right.take(envelope(room), ANSWERS[right.asked[len(right.typed)]].encode())
        wrong = wrong.take(envelope(room), b"something else")
        assert right.is_complete == wrong.is_complete
    assert await room.storage.find("kba_round") == []


async def test_what_was_typed_is_not_readable_in_the_transaction(room: Room) -> None:
    dialogue = (await started(room)).take(envelope(room), b"Lighthouse of Fener")
    for word in ("ighthouse", "staff number"):
        assert word not in json.dumps(dialogue.memory())
        assert word not in repr(dialogue)


async def test_what_was_typed_for_another_login_or_question_does_not_open(room: Room) -> None:
    dialogue = (await started(room)).take(envelope(room), b"one").take(envelope(room), b"two")
    assert [each.reveal() for each in dialogue.answers(envelope(room)).values()] == [b"one", b"two"]
    swapped = replace(dialogue, typed=dialogue.typed[::-1])
    asked_for = replace(dialogue, typed=tuple(sealed for _, sealed in dialogue.questions))
    for other in (swapped, asked_for, replace(dialogue, typed=("no base64!",))):
        with pytest.raises(SealError):
            other.answers(envelope(room))
    for elsewhere in (envelope(room, "t2"), envelope(room, later_ms=3 * 3_600_000)):
        with pytest.raises(SealError):
            dialogue.answers(elsewhere)
        with pytest.raises(SealError):
            dialogue.prompt(elsewhere)


async def test_an_endless_answer_is_cut_and_stays_wrong(room: Room) -> None:
    dialogue = (await started(room)).take(envelope(room), b"x" * 100_000)
    [typed] = dialogue.answers(envelope(room)).values()
    assert len(typed.reveal()) == MAX_TYPED_BYTES


async def test_nothing_is_asked_where_nothing_was_begun(room: Room) -> None:
    assert remembered({}) is None
    assert begin((), envelope(room)).is_complete
    dialogue = begin((AskedQuestion("dish", "What was it? {of}", "text"),), envelope(room))
    for language in LANGUAGES:
        assert render(dialogue.prompt(envelope(room)), language) == "1/1: What was it? {of}"
