"""Challenge questions as a second factor: one after the other in a window, or all at once; and what an attacker would try."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.flows.world import (
    ANSWERS,
    BACKENDS,
    NAS,
    OWN_ANSWER,
    OWN_QUESTION,
    World,
    a_storage,
    at_once,
    is_granted,
    reason,
    rule,
    says,
)
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.port import DirectoryUser
from wardgate.engine.outcome import ActionRequired, Challenge, Denied, Granted, Outcome, dump_outcome, load_outcome
from wardgate.engine.request import AnswerRequest
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.factors.port import answer_to_all
from wardgate.kba import catalogue, rounds
from wardgate.kba.answers import TABLE
from wardgate.kba.asking import Who
from wardgate.kba.settings import KbaSettings
from wardgate.policy.rules import compile_policy
from wardgate.policy.settings import ActionEntrySettings, ActionSettings, PolicySettings
from wardgate.storage.port import Delete, Where

TEXTS = {question.texts["en"]: name for name, question in catalogue.compile_catalogue(KbaSettings(), ()).questions.items()}


def a_world(*steps: tuple[str, ...]) -> World:
    world = World(kba=KbaSettings())
    world.use_policy([rule("staff", ["password"], *(steps or (("totp", "kba"),)))])
    return world


async def ada_with_answers(world: World, own: bool = False) -> DirectoryUser:
    ada = await world.person("ada")
    await world.give_answers(ada, own)
    return ada


def right(question: str) -> str:
    """What she answered to a question as it is shown."""
    return OWN_ANSWER if question == OWN_QUESTION else ANSWERS[TEXTS[question]]


def asked(challenge: Outcome) -> tuple[str, ...]:
    assert isinstance(challenge, Challenge), challenge
    return challenge.questions


def all_right(challenge: Outcome) -> str:
    return answer_to_all([right(question) for question in asked(challenge)]).decode()


def all_wrong(challenge: Outcome) -> str:
    return answer_to_all(["somewhere else" for _ in asked(challenge)]).decode()


async def test_one_question_after_the_other_in_a_window() -> None:
    world = a_world()
    await ada_with_answers(world)
    outcome: Outcome = await world.challenged("ada")
    questions = asked(outcome)
    assert len(questions) == 3
    for number, question in enumerate(questions, start=1):
        assert says(outcome).startswith(f"{number}/3: {question}")
        assert isinstance(outcome, Challenge)
        assert outcome.factor == "kba"
        outcome = await world.answer(outcome, right(question), name="ada")
    assert isinstance(outcome, Granted), outcome
    assert outcome.factors == ("password", "kba")
    assert (await world.verified()).findings == ()


async def test_all_questions_at_once_on_a_page() -> None:
    world = a_world()
    await ada_with_answers(world)
    challenge = await world.challenged("ada")
    assert is_granted(await world.answer(challenge, all_right(challenge), name="ada"))


async def test_a_question_answered_costs_no_try_and_a_wrong_round_costs_one() -> None:
    world = a_world()
    await ada_with_answers(world)
    outcome: Outcome = await world.challenged("ada")
    for question in asked(outcome)[:-1]:
        outcome = await world.answer(outcome, right(question), name="ada")
        assert "tries left" not in says(outcome)
    outcome = await world.answer(outcome, "somewhere else", name="ada")
    assert "not right together. Try again; 2 tries left" in says(outcome)
    assert "1/3: " in says(outcome), "the round begins anew"
    for question in asked(outcome):
        outcome = await world.answer(outcome, right(question), name="ada")
    assert is_granted(outcome)


async def test_guesser_is_not_told_which_answer_was_wrong() -> None:
    """The first answer wrong, or the last: it sounds the same, and is judged at the same moment."""
    heard = []
    for wrong in (0, 2):
        world = a_world()
        await ada_with_answers(world)
        outcome: Outcome = await world.challenged("ada")
        steps = []
        for number, question in enumerate(asked(outcome)):
            outcome = await world.answer(outcome, "somewhere else" if number == wrong else right(question), name="ada")
            steps.append("tries left" in says(outcome))
        heard.append(steps)
    assert heard == [[False, False, True]] * 2


async def test_third_wrong_round_closes_and_the_person_is_not_told() -> None:
    world = a_world()
    await ada_with_answers(world)
    outcome: Outcome = await world.challenged("ada")
    for _ in range(3):
        outcome = await world.answer(outcome, all_wrong(outcome), name="ada")
    assert reason(outcome) == "code_closed"
    assert len(await world.events("account:questions:closed")) == 1
    world.later(3600)
    again = await world.challenged("ada")
    outcome = await world.answer(again, all_right(again), name="ada")
    assert "not right together. Try again; 2 tries left" in says(outcome), "right answers sound like wrong ones"


async def test_strong_sign_in_opens_closed_questions() -> None:
    world = a_world()
    ada = await ada_with_answers(world)
    outcome: Outcome = await world.challenged("ada")
    for _ in range(3):
        outcome = await world.answer(outcome, all_wrong(outcome), name="ada")
    await world.give_totp(ada)
    world.later(3600)
    challenge = await world.challenged("ada")
    assert challenge.factor == "totp"
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    assert len(await world.events("account:questions:reopened")) == 1
    world.later(3600)
    challenge = await world.challenged("ada")
    outcome = await world.answer(challenge, "questions", name="ada")
    assert is_granted(await world.answer(outcome, all_right(outcome), name="ada"))
    world.later(3600)
    challenge = await world.challenged("ada")
    await world.answer(challenge, world.totp(), name="ada")
    assert len(await world.events("account:questions:reopened")) == 1, "nothing was closed"


async def test_own_question_is_shown_after_the_password_only() -> None:
    """A name alone never shows it; the password is another proof."""
    world = a_world()
    world.kba = KbaSettings(asked=6, set=6)
    ada = await ada_with_answers(world, own=True)
    assert OWN_QUESTION in asked(await world.challenged("ada"))
    subject = await world.subject_of(ada)
    shown = await world.questioner.ask(Who("acme", "ada", subject), "en")
    assert OWN_QUESTION not in [each.text for each in shown]


async def test_answers_in_the_password_field_are_no_factor() -> None:
    """One field holds password and code: there is no window in which to ask."""
    world = a_world(("kba",))
    await ada_with_answers(world)
    outcome = await world.begin("ada", code=answer_to_all(list(ANSWERS.values())[:3]).decode(), can_challenge=False)
    assert reason(outcome) == "factor_not_here"
    assert await world.rows("kba_round") == []


@pytest.mark.parametrize("backend", BACKENDS)
async def test_same_round_on_two_workers_is_granted_once(backend: str, tmp_path: Path) -> None:
    async with a_storage(backend, tmp_path) as storage:
        world = World(storage, kba=KbaSettings())
        world.use_policy([rule("staff", ["password"], ["kba"])])
        await ada_with_answers(world)
        challenge = await world.challenged("ada")
        given = all_right(challenge)
        outcomes = await at_once(
            *(world.answer(challenge, given, name="ada", engine=engine) for engine in (world.engine, world.another_engine()))
        )
        assert sorted(is_granted(each) for each in outcomes) == [False, True]
        assert len(await world.events("engine:login:granted")) == 1


async def test_hundred_guesses_at_once_are_no_more_than_the_strikes() -> None:
    world = a_world()
    world.brakes = replace(world.brakes, user_source_failures=1000, user_failures=1000, source_failures=1000)
    await ada_with_answers(world)
    challenges = [await world.challenged("ada", origin=replace(NAS, client=f"203.0.113.{n}")) for n in range(10)]
    await at_once(
        *(
            world.answer(each, all_wrong(each), name="ada", origin=replace(NAS, client=f"203.0.113.{n}"))
            for n, each in enumerate(challenges)
        )
    )
    [row] = await world.rows("kba_round")
    assert int(row["strikes"] or 0) == 3
    assert len(await world.events("account:questions:closed")) == 1


async def test_answers_changed_meanwhile_prove_nothing_and_are_no_guess() -> None:
    """Cleared by an operator between the question and the answer."""
    world = a_world()
    await ada_with_answers(world)
    challenge = await world.challenged("ada")
    given = all_right(challenge)
    await world.storage.commit([Delete(TABLE, (Where("question_id", "in", tuple(ANSWERS)),))])
    assert not is_granted(await world.answer(challenge, given, name="ada"))


async def test_without_a_policy_that_names_them_nobody_is_asked_and_nothing_is_read() -> None:
    world = World(kba=KbaSettings())
    ada = await ada_with_answers(world)
    outcome = await world.begin("ada")
    assert reason(outcome) == "no_factor"
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    assert "questions" not in says(challenge)
    assert not isinstance(await world.answer(challenge, "questions", name="ada"), Granted)


async def test_typed_answers_stand_nowhere_in_clear() -> None:
    world = a_world()
    await ada_with_answers(world)
    outcome: Outcome = await world.challenged("ada")
    questions = asked(outcome)
    outcome = await world.answer(outcome, right(questions[0]), name="ada")
    outcome = await world.answer(outcome, right(questions[1]), name="ada")
    for table in ("login_transaction", "handle", "audit_event", "timeline"):
        kept = str(await world.rows(table))
        for text in (*map(right, questions), *questions):
            assert text not in kept, table
    assert is_granted(await world.answer(outcome, right(questions[2]), name="ada"))
    assert await world.rows("spent_code") == []


@pytest.mark.parametrize("typed", ['["a"]', "[", '["a", 1, 2]', "[" * 5000, "x" * 40_000, '["a","b","c","d"]', "\udcff"])
async def test_malformed_answer_to_all_is_an_answer_to_one(typed: str) -> None:
    world = a_world()
    await ada_with_answers(world)
    challenge = await world.challenged("ada")
    request = AnswerRequest(
        challenge.handle, Secret(typed.encode("utf-8", "surrogatepass")), "ada", b"mark", NAS, world._trail(NAS)
    )
    outcome = await world.engine.answer(request)
    assert isinstance(outcome, Challenge | Denied)


async def test_an_outcome_with_questions_is_given_again_to_an_identical_packet() -> None:
    world = a_world()
    await ada_with_answers(world)
    challenge = await world.challenged("ada")
    assert load_outcome(dump_outcome(challenge)) == challenge
    first = await world.answer(challenge, right(asked(challenge)[0]), name="ada", fingerprint=b"one")
    again = await world.answer(challenge, right(asked(challenge)[0]), name="ada", fingerprint=b"one")
    assert first == again
    assert isinstance(first, Challenge)
    assert len(first.questions) == 3


async def test_identical_login_joins_at_the_open_question() -> None:
    world = a_world()
    await ada_with_answers(world)
    outcome = await world.challenged("ada")
    second = await world.answer(outcome, right(asked(outcome)[0]), name="ada")
    joined = await world.challenged("ada")
    assert says(joined) == says(second)
    assert joined.reference == outcome.reference


# --- setting answers, and setting them anew ------------------------------------------------------------------------------


def asks_to_answer(world: World, *steps: tuple[str, ...], **entry: Any) -> None:
    demand = ActionEntrySettings(enrol="kba", **{"level": "forced", "deferrals": 0, **entry})
    rules = (rule("staff", ["password"], *(steps or (("totp", "kba"),))),)
    settings = PolicySettings(name="p", rules=rules, actions=(ActionSettings(name="answers", when={}, then=(demand,)),))
    world.policy = compile_policy(settings, KINDS, STRONG_KINDS)


async def by_app(world: World) -> Outcome:
    world.later(3600)
    challenge = await world.challenged("ada")
    return await world.answer(challenge, world.totp(), name="ada")


async def test_answers_are_demanded_until_they_are_set() -> None:
    world = World(kba=KbaSettings())
    asks_to_answer(world)
    ada = await world.person("ada")
    await world.give_totp(ada)
    refused = await by_app(world)
    assert reason(refused) == "action_required"
    assert "challenge questions" in says(refused)
    await world.give_answers(ada)
    assert is_granted(await by_app(world))


async def test_answers_are_due_again_when_policy_asks_for_more() -> None:
    world = World(kba=KbaSettings())
    asks_to_answer(world, deferrals=2)
    ada = await ada_with_answers(world)
    await world.give_totp(ada)
    granted = await by_app(world)
    assert isinstance(granted, Granted)
    assert granted.texts == ()
    world.kba = KbaSettings(set=6)
    granted = await by_app(world)
    assert isinstance(granted, Granted)
    assert [text.id for text in granted.texts] == ["questions.due", "enrol.defer_once"]


async def test_stranger_who_closes_questions_keeps_nobody_out_of_the_vpn() -> None:
    """What others guessed wrong must not make a demand that a window cannot meet."""
    world = World(kba=KbaSettings())
    asks_to_answer(world, ("sms", "kba"))
    ada = await world.person("ada", phone="+905321234567")
    await world.give_answers(ada)
    key = rounds.key_of(world.ring, str(await world.subject_of(ada)).encode())
    now_ms = to_ms(world.clock.now())
    limits = rounds.Limits(1, 86_400_000, 0)
    await world.storage.commit([rounds.settle_wrong(key, limits, now_ms)])
    await world.storage.commit([rounds.close(key, limits, now_ms)])
    challenge = await world.challenged("ada")
    assert is_granted(await world.answer(challenge, await world.code(), name="ada"))
    shows_pages = replace(NAS, shows_pages=True)
    challenge = await world.challenged("ada", origin=shows_pages)
    code = next(each.code for each in await world.messages() if each.reference == challenge.reference)
    assert isinstance(await world.answer(challenge, code, name="ada", origin=shows_pages), ActionRequired)


async def test_who_has_answered_is_told_apart_by_a_condition() -> None:
    world = World(kba=KbaSettings())
    nobodys = rule("new", ["password"], ["totp"], when={"enrolled_not": ["kba"]})
    world.use_policy([nobodys, rule("old", ["password"], ["hotp"])])
    ada = await world.person("ada")
    await world.give_totp(ada)
    await world.give_hotp(ada)
    assert (await world.challenged("ada")).factor == "totp"
    await world.give_answers(ada)
    assert (await world.challenged("ada")).factor == "hotp"


async def test_login_reads_no_answers_where_its_policy_names_none() -> None:
    """Another application's policy names them: this one's logins must not pay for it."""
    world = World(kba=KbaSettings())
    ada = await ada_with_answers(world)
    await world.give_totp(ada)
    asked_for: list[str] = []
    read = world.storage.read

    async def noted(finds: Any) -> Any:
        asked_for.extend(find.table for find in finds)
        return await read(finds)

    world.storage.read = noted  # type: ignore[method-assign]
    assert is_granted(await by_app(world))
    assert not [table for table in asked_for if table.startswith("kba")]
    world.use_policy([rule("staff", ["password"], ["totp", "kba"])])
    assert is_granted(await by_app(world))
    assert [table for table in asked_for if table.startswith("kba")]
