"""Challenge questions as a firewall's window shows them: one in each Access-Challenge. Whole packets, no sockets."""

from dataclasses import replace

import pytest

from tests.flows.test_questions import right
from tests.flows.test_radius_door import Door, a_nas, message, one
from tests.flows.world import World, rule
from wardgate.kba.catalogue import compile_catalogue
from wardgate.kba.settings import KbaSettings
from wardgate.radius.packet import Code, Type
from wardgate.texts import LANGUAGES, Text, render

SHIPPED = compile_catalogue(KbaSettings(), ()).all_live


async def a_door(**settings: object) -> Door:
    world = World(kba=KbaSettings())
    world.use_policy([rule("staff", ["password"], ["kba"])])
    await world.give_answers(await world.person("ada"))
    return Door(world, a_nas(**settings)) if settings else Door(world)


async def test_one_question_in_each_access_challenge() -> None:
    door = await a_door()
    reply = await door.sends("ada", "correct horse")
    for number in (1, 2, 3):
        assert reply.code is Code.ACCESS_CHALLENGE
        told, _, question = message(reply).partition(": ")
        assert told == f"{number}/3"
        reply = await door.sends("ada", right(question), state=one(reply, Type.STATE))
    assert reply.code is Code.ACCESS_ACCEPT


async def test_an_answer_that_came_twice_is_taken_once_and_gets_the_same_reply() -> None:
    """A NAS repeats its packet, and the repetition lands on another worker: it must not answer the next question."""
    door = await a_door()
    first = await door.sends("ada", "correct horse")
    question = message(first).partition(": ")[2]
    one_answer = {"state": one(first, Type.STATE)}
    second = await door.sends("ada", right(question), **one_answer)
    again = await door.sends("ada", right(question), **one_answer)
    assert message(second).startswith("2/3")
    assert again.code is Code.ACCESS_REJECT, "another packet with a State that was used"


async def test_password_with_answers_behind_it_is_asked_nothing_in_one_field() -> None:
    door = await a_door(mode="password_then_code", code_digits=6)
    reply = await door.sends("ada", "correct horse123456")
    assert reply.code is Code.ACCESS_REJECT
    assert await door.world.rows("kba_round") == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_shipped_question_is_shown_whole_in_a_window(language: str) -> None:
    """A window that is too small for both leaves the tries out and keeps the question."""
    for question in SHIPPED:
        prompt = render(Text("kba.ask", {"number": 3, "of": 3, "question": question.text(language)}), language)
        assert len(prompt) <= 120
        assert len(prompt.encode()) <= 253


async def test_long_question_is_kept_and_the_tries_left_out() -> None:
    door = await a_door()
    door.nas = replace(door.nas, profile=replace(door.nas.profile, max_prompt_chars=75))
    reply = await door.sends("ada", "correct horse")
    for _ in range(3):
        reply = await door.sends("ada", "somewhere else", state=one(reply, Type.STATE))
    assert message(reply).startswith("1/3: ")
    assert "tries left" not in message(reply)
    assert right(message(reply).partition(": ")[2])
