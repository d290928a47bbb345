"""A name under attack, where password and code come in two steps: a strong factor is asked for first, of everybody alike.

Whoever has the code and the password comes in; nobody else learns anything, spends more than he has, or keeps anybody out.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flows.test_brake_races import Pair, two_storages
from tests.flows.test_radius_door import Door, message, one
from tests.flows.world import NAS, World, at_once, elsewhere, floor, is_asked_first, is_granted, reason, rule, says
from wardgate.crypto import Secret
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import AccountState, Lockout
from wardgate.engine.engine import Engine
from wardgate.engine.lanes import STRONG_FAILURES_A_DAY
from wardgate.engine.outcome import Challenge, Denied, Origin, Outcome
from wardgate.engine.runtime import EngineParts
from wardgate.engine.strong_first import ASKED_PER_HOUR
from wardgate.factors.totp import hotp
from wardgate.radius.packet import Code, Type
from wardgate.storage.port import Row

THERE = elsewhere(client="198.51.100.200")
# A NAS that tells no address: all of its people share one source.
BLIND = elsewhere(client=None)
BLIND_WAIT_S = 300


def anywhere(number: int) -> Origin:
    return elsewhere(client=f"10.{number // 250}.{number % 250}.1")


async def attack(world: World, *names: str) -> None:
    """Until no stranger's password is looked at any more."""
    for name in names:
        for number in range(world.brakes.user_failures):
            await world.begin(name, "guess", origin=anywhere(number))


async def asked(world: World, name: str = "ada", password: str = "correct horse", origin: Origin = THERE) -> Challenge:
    outcome = await world.begin(name, password, origin=origin)
    assert is_asked_first(outcome), outcome
    assert isinstance(outcome, Challenge)
    return outcome


async def told(world: World, name: str, password: str, code: str, origin: Origin = THERE) -> str:
    """What whoever tries this hears in the end."""
    challenge = await asked(world, name, password, origin)
    return heard(world, await world.answer(challenge, code, name=name, origin=origin))


def heard(world: World, outcome: Outcome) -> str:
    assert isinstance(outcome, Denied), outcome
    assert outcome.not_before is not None
    late = outcome.not_before - world.trail.started
    return f"{re.sub(r'[0-9A-Z]{8}$', '', says(outcome))} after {late:.3f} in {outcome.language}"


@pytest.fixture
async def victim(world: World) -> World:
    """Somebody with an app, whose name is under attack."""
    await world.give_totp(await world.person("ada", language="tr"))
    await attack(world, "ada")
    world.later(30)
    return world


async def test_the_owner_comes_in_by_his_code_and_then_his_password(victim: World) -> None:
    checks = victim.directory.checks
    challenge = await asked(victim)
    assert victim.directory.checks == checks, "no password is looked at before the code"
    outcome = await victim.answer(challenge, victim.totp(), name="ada", origin=THERE)
    assert is_granted(outcome)
    assert victim.directory.checks == checks + 1
    [granted] = await victim.payloads("engine:login:granted")
    assert (granted["factors"], granted["lane"]) == (["password", "totp"], "strong_first")
    assert "a brake holds, and the code was right" in str([step[1] for step in victim.trail.steps])
    victim.later(60)
    assert not is_asked_first(await victim.begin("ada", origin=THERE)), "and the brake has forgotten"


async def test_by_a_recovery_code_and_by_a_counting_device_too(world: World) -> None:
    user = await world.person("ada")
    codes = await world.give_recovery_codes(user)
    await world.give_hotp(user)
    await attack(world, "ada")
    assert is_granted(await world.answer(await asked(world), codes[0], name="ada", origin=THERE))


async def test_where_nobody_tells_the_address_guesses_of_others_keep_nobody_out(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await world.wrong_passwords("ada", 5, origin=BLIND)
    world.later(30)
    assert is_granted(await world.answer(await asked(world, origin=BLIND), world.totp(), name="ada", origin=BLIND))
    world.later(30)
    assert not is_asked_first(await world.begin("ada", origin=BLIND)), "it was he: the wait is over"


async def test_guesses_of_somebody_behind_the_same_address_keep_nobody_out(world: World) -> None:
    """Behind one NAT with his attacker, at an address from which he logged in before: what failed there failed of the name."""
    await world.give_totp(await world.person("ada"))
    assert is_granted(await world.answer(await world.challenged("ada"), world.totp(), name="ada"))
    world.later(30)
    await world.wrong_passwords("ada", 5)
    assert is_granted(await world.answer(await asked(world, origin=NAS), world.totp(), name="ada"))
    world.later(30)
    assert not is_asked_first(await world.begin("ada")), "it was he: the wait is over"


async def test_the_wait_at_an_address_ends_by_itself_for_who_has_no_code(world: World) -> None:
    await world.person("ada", phone="+905321234567")
    await world.wrong_passwords("ada", 5)
    assert is_asked_first(await world.begin("ada"))
    world.later(300)
    assert not is_asked_first(await world.begin("ada"))


async def test_through_the_door_of_radius(victim: World) -> None:
    door = Door(victim)
    there = (Type.CALLING_STATION_ID, b"198.51.100.200")
    question = await door.sends("ada", "correct horse", attributes=(there,))
    assert question.code is Code.ACCESS_CHALLENGE
    assert message(question) == ("Too many tries. Enter a code from your app or device or a recovery code, or wait 60 minutes.")
    assert door.trail is not None
    assert question.not_before == pytest.approx(door.trail.started + 0.3), "it leaves when a refusal would"
    assert len(one(question, Type.STATE)) == 253
    wrong = await door.sends("ada", victim.wrong_code(), state=one(question, Type.STATE), attributes=(there,))
    assert wrong.code is Code.ACCESS_REJECT
    assert wrong.not_before == pytest.approx(door.trail.started + 0.3)
    question = await door.sends("ada", "correct horse", attributes=(there,))
    accepted = await door.sends("ada", victim.totp(), state=one(question, Type.STATE), attributes=(there,))
    assert accepted.code is Code.ACCESS_ACCEPT


# --- oracles ---------------------------------------------------------------------------------------------------------


async def test_the_question_tells_neither_who_exists_nor_what_he_has_nor_that_his_password_is_right(world: World) -> None:
    await world.give_totp(await world.person("ada", language="tr"))
    await world.person("bob", phone="+905321234567")
    await world.person("eve", state=AccountState.DISABLED)
    names = ("ada", "bob", "eve", "nobody")
    await attack(world, *names)
    seen, rows = set(), []
    for name, password in [(name, password) for name in names for password in ("correct horse", "bad horses...")]:
        before = await counted(world)
        challenge = await asked(world, name, password)
        late = (challenge.not_before or 0) - world.trail.started
        seen.add(
            (says(challenge), len(challenge.handle), len(challenge.reference), challenge.expires_in_s, challenge.language, late)
        )
        rows.append({table: (await counted(world))[table] - before[table] for table in before})
    assert len(seen) == 1
    assert next(iter(seen))[-1] == pytest.approx(0.3)
    assert rows == [dict.fromkeys(rows[0], 0)] * len(rows), "and nothing is written"
    assert not await world.messages()


async def counted(world: World) -> dict[str, int]:
    tables = ("audit_event", "timeline", "handle", "login_transaction", "brake", "outbox_message")
    return {table: len(await world.rows(table)) for table in tables if table != "outbox_message"}


async def test_a_right_code_with_a_wrong_password_hears_what_a_wrong_code_hears(victim: World) -> None:
    """Else who has a code guesses passwords, and who has a password guesses codes."""
    await attack(victim, "nobody")
    victim.later(30)
    wrong = victim.wrong_code()
    all_told = {
        await told(victim, "ada", "a guess", victim.totp()),
        await told(victim, "ada", "a guess", wrong),
        await told(victim, "ada", "correct horse", wrong),
        await told(victim, "nobody", "a guess", wrong),
    }
    assert len(all_told) == 1


async def test_each_answer_costs_one_check_whatever_was_wrong(victim: World) -> None:
    await attack(victim, "nobody")
    victim.later(30)
    for name, password, code in (
        ("ada", "a guess", victim.totp()),
        ("ada", "correct horse", victim.wrong_code()),
        ("nobody", "a guess", victim.wrong_code()),
    ):
        checks, events = victim.directory.checks, len(await victim.events("engine:login:denied"))
        await told(victim, name, password, code)
        assert (victim.directory.checks - checks, len(await victim.events("engine:login:denied")) - events) == (1, 1)


async def test_somebody_who_has_no_strong_factor_is_told_nothing_by_the_lane(world: World) -> None:
    await world.person("bob", phone="+905321234567")
    await attack(world, "bob", "nobody")
    both = [[await told(world, name, "correct horse", word) for word in ("sms", "000000")] for name in ("bob", "nobody")]
    assert both[0] == both[1]
    assert not await world.messages(), "and nothing is sent"


async def test_guesses_at_one_name_do_not_show_at_another_of_the_same_person(world: World) -> None:
    user = await world.person("carol", mail="carol@mail.test")
    await world.give_totp(user)
    await attack(world, "carol")
    world.later(1)
    assert not is_asked_first(await world.begin("carol@mail.test", "guess", origin=THERE))


async def test_a_closed_lane_of_one_name_does_not_show_at_another_of_the_same_person(world: World) -> None:
    await world.give_totp(await world.person("carol", mail="carol@mail.test"))
    await attack(world, "carol", "carol@mail.test", "nobody@mail.test")
    for _ in range(5):
        await told(world, "carol", "guess", world.wrong_code())
    both = [
        [await told(world, name, "correct horse", world.totp()) for _ in range(5)]
        for name in ("carol@mail.test", "nobody@mail.test")
    ]
    assert both[0] == both[1]
    after = [reason(await world.begin(name, origin=THERE)) for name in ("carol@mail.test", "nobody@mail.test")]
    assert after == ["brake_user"] * 2, "both are told to wait"


# --- guessing --------------------------------------------------------------------------------------------------------


async def test_codes_are_guessed_at_five_times_from_one_source_and_then_nothing_is_asked(victim: World) -> None:
    for _ in range(victim.brakes.user_source_failures):
        await told(victim, "ada", "correct horse", victim.wrong_code())
    assert reason(await victim.begin("ada", origin=THERE)) == "brake_user"
    victim.later(30)
    assert is_granted(
        await victim.answer(await asked(victim, origin=anywhere(900)), victim.totp(), name="ada", origin=anywhere(900))
    )


async def test_a_day_closes_the_lane_for_strangers_after_so_many_wrong_codes_of_a_name(victim: World) -> None:
    await attack(victim, "nobody")
    for name in ("ada", "nobody"):
        for number in range(STRONG_FAILURES_A_DAY):
            await told(victim, name, "correct horse", victim.wrong_code(), anywhere(1000 + number))
    closed = [heard(victim, await victim.begin(name, origin=anywhere(2000))) for name in ("ada", "nobody")]
    assert closed[0] == closed[1]
    assert closed[0].startswith("Too many tries")


async def test_the_questions_asked_before_a_lane_closed_open_nothing_after_it(victim: World) -> None:
    """Or whoever collects them first has as many guesses as he likes."""
    collected = [await asked(victim) for _ in range(8)]
    for challenge in collected[:-1]:
        await victim.answer(challenge, victim.wrong_code(), name="ada", origin=THERE)
    assert reason(await victim.answer(collected[-1], victim.totp(), name="ada", origin=THERE)) == "brake_user_source"


async def test_many_answers_at_once_are_judged_no_more_often_than_the_lane_allows(victim: World) -> None:
    collected = [await asked(victim) for _ in range(20)]
    checks = victim.directory.checks
    await at_once(*(victim.answer(each, victim.wrong_code(), name="ada", origin=THERE) for each in collected))
    assert victim.directory.checks - checks == victim.brakes.user_source_failures


async def test_wrong_codes_count_towards_the_hundred_in_a_row(victim: World) -> None:
    before = await victim.failures("user")
    await told(victim, "ada", "correct horse", victim.wrong_code())
    assert await victim.failures("user") == before + 1


async def test_questions_and_wrong_answers_do_not_count_as_wrong_passwords_at_home(world: World) -> None:
    """Whoever knows the name must not be able to keep the owner from his own address by this lane."""
    await world.give_totp(await world.person("ada"))
    assert is_granted(await world.answer(await world.challenged("ada"), world.totp(), name="ada"))
    await attack(world, "ada")
    for number in range(STRONG_FAILURES_A_DAY + 5):
        outcome = await world.begin("ada", origin=anywhere(3000 + number))
        if isinstance(outcome, Challenge):
            await world.answer(outcome, world.wrong_code(), name="ada", origin=anywhere(3000 + number))
    world.later(30)
    assert is_granted(await world.answer(await world.challenged("ada"), world.totp(), name="ada"))


async def test_the_lane_does_not_lock_the_account_in_its_directory(world: World) -> None:
    """A thief of codes has no more wrong passwords than are kept back for this."""
    world = World(world.storage, directory=MemoryDirectory("local", lockout=Lockout(5, 1800)))
    await world.give_totp(await world.person("ada"))
    await attack(world, "ada")
    for number in range(8):
        world.later(30)
        outcome = await world.begin("ada", "a guess", origin=anywhere(500 + number))
        await world.answer(outcome, world.totp(), name="ada", origin=anywhere(500 + number))
    user = await world.directory.find("ada", 1)
    assert user is not None
    assert user.state is AccountState.ACTIVE


# --- once ------------------------------------------------------------------------------------------------------------


async def test_a_state_of_the_lane_is_good_for_one_answer(victim: World) -> None:
    challenge = await asked(victim)
    await victim.answer(challenge, victim.wrong_code(), name="ada", origin=THERE)
    assert reason(await victim.answer(challenge, victim.totp(), name="ada", origin=THERE)) == "state_used"


async def test_the_same_packet_again_hears_the_same_and_is_no_other_try(victim: World) -> None:
    challenge = await asked(victim)
    first = await victim.answer(challenge, victim.totp(), name="ada", origin=THERE, fingerprint=b"same")
    again = await victim.answer(challenge, victim.totp(), name="ada", origin=THERE, fingerprint=b"same")
    assert is_granted(first)
    assert again == first
    assert len(await victim.events("engine:login:granted")) == 1
    victim.later(31)
    late = await victim.answer(challenge, victim.totp(), name="ada", origin=THERE, fingerprint=b"same")
    assert reason(late) == "state_used"


async def test_the_same_packet_at_once_at_two_nodes_is_one_login(victim: World) -> None:
    challenge, other = await asked(victim), victim.another_engine()
    outcomes = await at_once(
        *(
            victim.answer(challenge, victim.totp(), name="ada", origin=THERE, fingerprint=b"same", engine=engine)
            for engine in (victim.engine, other, other)
        )
    )
    assert all(is_granted(each) for each in outcomes)
    assert len(await victim.events("engine:login:granted")) == 1


async def test_a_state_is_refused_from_another_nas_under_another_name_and_after_its_time(victim: World) -> None:
    challenge = await asked(victim)
    there = replace(THERE, binding="radius:other:", nas="other")
    assert reason(await victim.answer(challenge, victim.totp(), name="ada", origin=there)) == "state_other_nas"
    assert reason(await victim.answer(challenge, victim.totp(), name="eve", origin=THERE)) == "state_other_user"
    restored = Engine(replace(victim.engine._parts, epoch="2-after"))
    assert reason(await victim.answer(challenge, victim.totp(), name="ada", origin=THERE, engine=restored)) == "state_unknown"
    victim.later(victim.codes.life_s)
    assert reason(await victim.answer(challenge, victim.totp(), name="ada", origin=THERE)) == "transaction_expired"


async def test_no_part_of_it_can_be_changed_and_it_tells_nothing(victim: World) -> None:
    challenge = await asked(victim)
    for at in range(0, len(challenge.handle), 7):
        forged = bytearray(challenge.handle)
        forged[at] ^= 0x41
        changed = replace(challenge, handle=bytes(forged))
        assert reason(await victim.answer(changed, victim.totp(), name="ada", origin=THERE)) == "state_unknown"
    assert len({len((await asked(victim, password="x" * length)).handle) for length in (1, 20, 100)}) == 1
    assert b"correct" not in challenge.handle


async def test_a_password_that_no_state_can_hold_is_told_to_wait(victim: World) -> None:
    assert reason(await victim.begin("ada", "x" * 400, origin=THERE)) == "brake_user"


async def test_a_code_of_a_login_that_came_to_nothing_is_spent_once_and_the_next_one_works(victim: World) -> None:
    """Whoever looked over a shoulder takes one code with a wrong password, and nothing after it."""
    await told(victim, "ada", "a guess", victim.totp())
    await told(victim, "ada", "correct horse", victim.totp())
    victim.later(30)
    assert is_granted(await victim.answer(await asked(victim), victim.totp(), name="ada", origin=THERE))


async def test_wrong_codes_use_up_no_step_of_the_app(victim: World) -> None:
    for shift in (5, -5):
        await told(victim, "ada", "correct horse", victim.totp(shift))
    assert is_granted(await victim.answer(await asked(victim), victim.totp(), name="ada", origin=THERE))


# --- flooding --------------------------------------------------------------------------------------------------------


async def test_a_flood_of_questions_fills_no_table(victim: World) -> None:
    before = await counted(victim)
    for _ in range(200):
        await asked(victim)
    assert await counted(victim) == before


async def test_a_flood_of_answers_fills_no_table(victim: World) -> None:
    async def rows() -> list[Row]:
        return await victim.rows("handle")

    for _ in range(30):
        outcome = await victim.begin("ada", origin=THERE)
        if isinstance(outcome, Challenge):
            await victim.answer(outcome, victim.wrong_code(), name="ada", origin=THERE)
    assert len(await rows()) == victim.brakes.user_source_failures


async def test_on_pages_one_address_is_asked_so_often_and_no_more(victim: World) -> None:
    page = replace(THERE, door="portal", binding="browser:1", shows_pages=True)
    for _ in range(ASKED_PER_HOUR):
        await asked(victim, origin=page)
    assert reason(await victim.begin("ada", origin=page)) == "brake_user"
    assert reason(await victim.begin("nobody9", "guess", origin=page)) == "user_unknown"


# --- what the plan asks for besides ----------------------------------------------------------------------------------


async def test_a_plan_with_two_strong_factors_asks_for_the_other_one(world: World) -> None:
    user = await world.person("ada")
    await world.give_totp(user)
    await world.give_hotp(user, b"h" * 20)
    world.use_policy([rule("all", ["password"], ["totp"], ["hotp"])], [floor("strong", strong=2)])
    await attack(world, "ada")
    world.later(30)
    second = await world.answer(await asked(world), world.totp(), name="ada", origin=THERE)
    assert isinstance(second, Challenge)
    assert second.factor == "hotp"
    assert is_granted(await world.answer(second, hotp(Secret(b"h" * 20), 0, 6), name="ada", origin=THERE))
    [granted] = await world.payloads("engine:login:granted")
    assert (granted["factors"], granted["lane"]) == (["password", "totp", "hotp"], "strong_first")


async def test_a_factor_that_the_plan_does_not_take_opens_the_lane_and_nothing_else(world: World) -> None:
    await world.give_totp(await world.person("ada", phone="+905321234567"))
    world.use_policy([rule("all", ["password"], ["sms"])])
    await attack(world, "ada")
    world.later(30)
    second = await world.answer(await asked(world), world.totp(), name="ada", origin=THERE)
    assert isinstance(second, Challenge)
    assert second.factor == "sms"
    assert is_granted(await world.answer(second, await world.code("ada"), name="ada", origin=THERE))


async def test_whom_policy_refuses_is_refused_and_hears_why(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    world.use_policy([rule("all", deny=True)])
    await attack(world, "ada")
    world.later(30)
    outcome = await world.answer(await asked(world), world.totp(), name="ada", origin=THERE)
    assert isinstance(outcome, Denied)
    assert outcome.text.id == "policy.denied"


async def test_an_expired_password_is_told_once_both_are_proved(world: World) -> None:
    await world.give_totp(await world.person("ada", must_change=True))
    await attack(world, "ada")
    world.later(30)
    assert reason(await world.answer(await asked(world), world.totp(), name="ada", origin=THERE)) == "must_change"


async def test_a_directory_that_is_down_lets_nobody_in(victim: World) -> None:
    challenge = await asked(victim)
    victim.directory.behaviour = Behaviour.UNAVAILABLE
    assert reason(await victim.answer(challenge, victim.totp(), name="ada", origin=THERE)) == "directory_down"


async def test_the_audit_trail_verifies(victim: World) -> None:
    await told(victim, "ada", "a guess", victim.wrong_code())
    assert is_granted(await victim.answer(await asked(victim), victim.totp(), name="ada", origin=THERE))
    assert (await victim.verified()).findings == ()


# --- two processes, two nodes ----------------------------------------------------------------------------------------


@pytest.fixture(params=["workers", pytest.param("nodes", marks=pytest.mark.neighbour("postgresql"))])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    async with two_storages(request.param, tmp_path) as (world, other):
        second = Engine(EngineParts(other, world.clock, lambda: world.ring, world.configuration, keep_messages=True))
        yield Pair(world, (world.engine, second))


async def under_attack(pair: Pair) -> list[Challenge]:
    await pair.world.give_totp(await pair.world.person("ada"))
    await attack(pair.world, "ada")
    pair.world.later(30)
    return [await asked(pair.world) for _ in range(4)]


async def test_the_same_code_to_two_nodes_lets_in_once(pair: Pair) -> None:
    collected = await under_attack(pair)
    outcomes = await at_once(
        *(
            pair.world.answer(each, pair.world.totp(), name="ada", origin=THERE, engine=pair.engines[number % 2])
            for number, each in enumerate(collected)
        )
    )
    assert [is_granted(each) for each in outcomes].count(True) == 1
    assert len(await pair.world.events("engine:login:granted")) == 1


async def test_the_same_state_to_two_nodes_is_judged_once(pair: Pair) -> None:
    challenge = (await under_attack(pair))[0]
    checks = pair.world.directory.checks
    outcomes = await at_once(
        *(
            pair.world.answer(challenge, pair.world.wrong_code(), name="ada", origin=THERE, engine=engine)
            for engine in pair.engines * 3
        )
    )
    assert sorted(reason(each) for each in outcomes) == ["code_wrong", *["state_used"] * 5]
    assert pair.world.directory.checks - checks == 1
