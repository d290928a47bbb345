"""Brakes: what a guesser gets, and what somebody else's guesses must not take from the person himself."""

import asyncio
from typing import Any

import pytest

from tests.flows.world import NAS, World, at_once, elsewhere, is_asked_first, is_granted, reason, rule, says, wait_says
from wardgate.clock import to_ms
from wardgate.directory.memory import Behaviour
from wardgate.directory.port import PasswordVerdict
from wardgate.engine import brakes, first_factor, lifting
from wardgate.engine.outcome import Challenge, Denied, Origin, Outcome
from wardgate.engine.settings import BrakeSettings
from wardgate.janitor import Janitor

ELSEWHERE = elsewhere(client="198.51.100.1")


async def ada(world: World) -> None:
    await world.give_totp(await world.person("ada"))


async def login(world: World, name: str = "ada", origin: Origin = NAS) -> bool:
    challenge = await world.begin(name, origin=origin)
    return isinstance(challenge, Challenge) and is_granted(await world.answer(challenge, world.totp(), name=name, origin=origin))


def from_client(number: int) -> Origin:
    return elsewhere(client=f"198.51.{number // 250}.{number % 250 + 1}")


# --- user and source -------------------------------------------------------------------------------------------------


async def test_after_five_wrong_passwords_the_right_one_has_to_wait_five_minutes(world: World) -> None:
    await ada(world)
    for outcome in await world.wrong_passwords("ada", 5):
        assert reason(outcome) == "password_wrong"
    checks = world.directory.checks

    held = await world.begin("ada")
    assert is_asked_first(held)
    assert wait_says(held) == 5
    assert world.directory.checks == checks, "a held attempt never reaches a directory"

    world.later(299.999)
    assert is_asked_first(await world.begin("ada"))
    world.later(0.001)
    assert await login(world)


async def test_four_wrong_passwords_cost_nothing(world: World) -> None:
    await ada(world)
    await world.wrong_passwords("ada", 4)
    assert await login(world)


async def test_the_wait_doubles_up_to_an_hour(world: World) -> None:
    await ada(world)
    waits = []
    for _ in range(6):
        await world.wrong_passwords("ada", 5)
        held = await world.begin("ada")
        waits.append(wait_says(held))
        world.later(waits[-1] * 60)
    assert waits == [5, 10, 20, 40, 60, 60]


async def test_a_success_lifts_the_doubling(world: World) -> None:
    await ada(world)
    await world.wrong_passwords("ada", 5)
    world.later(300)
    await world.wrong_passwords("ada", 5)
    world.later(600)
    assert await login(world)
    await world.wrong_passwords("ada", 5)
    assert wait_says(await world.begin("ada")) == 5


async def test_a_right_password_alone_lifts_nothing(world: World) -> None:
    await ada(world)
    for _ in range(4):
        await world.wrong_passwords("ada", 1)
        assert isinstance(await world.begin("ada"), Challenge)
    await world.wrong_passwords("ada", 1)
    assert is_asked_first(await world.begin("ada"))


async def test_wrong_passwords_of_more_than_ten_minutes_ago_are_forgotten(world: World) -> None:
    await ada(world)
    await world.wrong_passwords("ada", 4)
    world.later(600)
    await world.wrong_passwords("ada", 4)
    assert await login(world)


async def test_the_window_begins_with_the_first_failure(world: World) -> None:
    await ada(world)
    for _ in range(4):
        await world.wrong_passwords("ada", 1)
        world.later(140)
    await world.wrong_passwords("ada", 1)
    assert is_asked_first(await world.begin("ada"))


async def test_guesses_from_elsewhere_do_not_keep_the_person_out(world: World) -> None:
    await ada(world)
    await world.wrong_passwords("ada", 5, origin=ELSEWHERE)
    assert is_asked_first(await world.begin("ada", origin=ELSEWHERE))
    assert await login(world)


async def test_one_persons_mistakes_do_not_keep_his_colleagues_out(world: World) -> None:
    await ada(world)
    await world.wrong_passwords("bob", 5)
    assert await login(world)


async def test_names_that_do_not_exist_are_braked_alike(world: World) -> None:
    await ada(world)
    known, unknown = await world.wrong_passwords("ada", 5), await world.wrong_passwords("nobody", 5, origin=ELSEWHERE)
    assert [says(one).split("Reference")[0] for one in known] == [says(other).split("Reference")[0] for other in unknown]
    one, other = await world.begin("ada", "x"), await world.begin("nobody", "x", origin=ELSEWHERE)
    assert wait_says(one) == wait_says(other) == 5
    assert one.not_before is not None
    assert one.not_before - world.trails[-2].started == other.not_before - world.trails[-1].started


@pytest.mark.parametrize("typed", ["ADA", " ada ", "acme\\ada", "ada@acme.test", "ACME\\ADA"])
async def test_another_way_of_writing_the_name_is_no_way_around_the_brake(world: World, typed: str) -> None:
    await ada(world)
    await world.wrong_passwords("ada", 5)
    assert is_asked_first(await world.begin(typed))


@pytest.mark.parametrize("typed", ["NOBODY", " nobody ", "acme\\nobody", "nobody@acme.test", "ACME\\NOBODY"])
async def test_nor_is_it_one_for_a_name_that_does_not_exist(world: World, typed: str) -> None:
    """If only known names were braked in all their forms, two tries would tell which name exists."""
    await world.wrong_passwords("nobody", 5)
    assert is_asked_first(await world.begin(typed, "guess"))


async def test_wrong_codes_count_like_wrong_passwords(world: World) -> None:
    await ada(world)
    challenge = await world.challenged("ada")
    for _ in range(3):
        challenge = await world.answer(challenge, world.wrong_code(), name="ada")
    challenge = await world.challenged("ada")
    challenge = await world.answer(challenge, world.wrong_code(), name="ada")
    challenge = await world.answer(challenge, world.wrong_code(), name="ada")
    assert is_asked_first(await world.begin("ada"))
    held = await world.answer(challenge, world.totp(), name="ada")
    assert reason(held) == "brake_user_source"
    assert wait_says(held) == 5
    world.later(300)
    assert await login(world)


async def test_an_answer_under_a_brake_closes_its_login(world: World) -> None:
    await ada(world)
    challenge = await world.challenged("ada")
    await world.wrong_passwords("ada", 5)
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "brake_user_source"
    world.later(170)
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "state_used"


async def test_a_guess_under_a_brake_is_not_judged(world: World) -> None:
    """Or the reply would tell a wrong code from a right one for as long as the wait lasts."""
    await ada(world)
    guessed, right = await world.challenged("ada"), await world.challenged("ada", origin=elsewhere(binding="radius:other:"))
    await world.wrong_passwords("ada", 5)
    wrong = await world.answer(guessed, world.wrong_code(), name="ada")
    held = await world.answer(right, world.totp(), name="ada", origin=elsewhere(binding="radius:other:"))
    assert isinstance(wrong, Denied)
    assert isinstance(held, Denied)
    assert (wrong.reason, wrong.text.id) == (held.reason, held.text.id) == ("brake_user_source", "wait.person")
    assert await world.failures() == 0


async def test_answers_are_held_by_the_brake_of_their_source(world: World) -> None:
    await ada(world)
    challenge = await world.challenged("ada")
    for number in range(30):
        await world.begin(f"user{number}", "guess")
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "brake_source"


async def test_answers_are_held_by_the_hard_stop(world: World) -> None:
    await ada(world)
    challenge = await world.challenged("ada")
    await fifty_from_everywhere(world)
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "brake_user"


async def test_replayed_codes_are_not_counted(world: World) -> None:
    await ada(world)
    code = world.totp()
    assert await login(world)
    for _ in range(3):
        challenge = await world.challenged("ada")
        while isinstance(challenge, Challenge):
            challenge = await world.answer(challenge, code, name="ada")
    world.later(60)
    assert await login(world)


# --- source ----------------------------------------------------------------------------------------------------------


async def test_after_thirty_wrong_passwords_from_one_client_it_has_to_wait_a_quarter_of_an_hour(world: World) -> None:
    await ada(world)
    for number in range(30):
        assert reason(await world.begin(f"user{number}", "guess")) == "user_unknown"
    held = await world.begin("ada")
    assert reason(held) == "brake_source"
    assert wait_says(held) == 15
    assert await login(world, origin=ELSEWHERE), "others are served"
    world.later(900)
    assert await login(world)


async def test_twenty_nine_are_still_served(world: World) -> None:
    await ada(world)
    for number in range(29):
        await world.begin(f"user{number}", "guess")
    assert await login(world)


async def test_an_attacker_behind_a_nas_that_names_no_client_does_not_shut_out_the_others(world: World) -> None:
    """Braking the NAS's own address would close the VPN for the whole company."""
    await ada(world)
    for number in range(60):
        assert reason(await world.begin(f"user{number}", "guess", origin=elsewhere(client=None))) == "user_unknown"
    assert await login(world, origin=elsewhere(client=None))
    assert {row["kind"] for row in await world.rows("brake")} == {"user_source", "user", "nas", "global"}


async def test_an_attacker_with_an_ipv6_network_is_one_source(world: World) -> None:
    """A /64 is what one connection gets: 2**64 addresses must not be as many sources."""
    await ada(world)
    for number in range(5):
        await world.begin("ada", "guess", origin=elsewhere(client=f"2001:db8:1:2::{number + 1:x}"))
    assert is_asked_first(await world.begin("ada", origin=elsewhere(client="2001:db8:1:2:ffff::1")))
    assert await login(world, origin=elsewhere(client="2001:db8:1:3::1"))
    for number in range(25):
        await world.begin(f"user{number}", "guess", origin=elsewhere(client=f"2001:db8:1:2:{number + 1:x}::"))
    assert reason(await world.begin("bob", "x", origin=elsewhere(client="2001:db8:1:2::99"))) == "brake_source"


# --- user from anywhere ----------------------------------------------------------------------------------------------


async def fifty_from_everywhere(world: World, name: str = "ada") -> None:
    for number in range(50):
        outcome = await world.begin(name, "guess", origin=from_client(number))
        assert reason(outcome) in ("password_wrong", "user_unknown")


async def test_after_fifty_failures_from_anywhere_only_known_sources_are_served(world: World) -> None:
    await ada(world)
    assert await login(world)
    world.later(60)
    await fifty_from_everywhere(world)

    held = await world.begin("ada", origin=from_client(99))
    assert is_asked_first(held)
    assert await login(world), "the person's own address speaks for him"
    world.later(60)
    assert await login(world, origin=from_client(99)), "and his success opens the others again"


async def test_unknown_names_come_to_the_hard_stop_as_well(world: World) -> None:
    await ada(world)
    await fifty_from_everywhere(world)
    await fifty_from_everywhere(world, "nobody")
    one = await world.begin("ada", "x", origin=from_client(99))
    other = await world.begin("nobody", "x", origin=from_client(99))
    assert is_asked_first(one)
    assert is_asked_first(other)
    assert wait_says(one) == wait_says(other) == 60


async def test_the_hard_stop_does_not_lift_by_itself(world: World) -> None:
    """Or a patient guesser would have fifty a day for ever. NIST SP 800-63B: at most 100 in a row."""
    await ada(world)
    await fifty_from_everywhere(world)
    for _ in range(30):
        world.later(86_400)
        await Janitor(world.storage, world.clock).sweep()
        assert reason(await world.begin("ada", origin=from_client(99))) == "brake_user"


async def test_an_operator_lifts_the_hard_stop(world: World) -> None:
    await ada(world)
    await fifty_from_everywhere(world)
    [row] = await world.rows("subject")
    await world.storage.commit(await lifting.lift_user(world.storage, world.ring, [str(row["id"])], to_ms(world.clock.now())))
    assert await login(world, origin=from_client(99))


async def test_an_operator_lifts_every_wait_of_a_person(world: World) -> None:
    await ada(world)
    assert await login(world)
    for client in (NAS, ELSEWHERE):
        assert isinstance(await world.begin("ada", origin=client), Challenge)
        await world.wrong_passwords("ada", 5, origin=client)
        assert is_asked_first(await world.begin("ada", origin=client))
    await world.wrong_passwords("bob", 5)
    [row] = await world.rows("subject")
    await world.storage.commit(await lifting.lift_user(world.storage, world.ring, [str(row["id"])], to_ms(world.clock.now())))
    world.later(60)
    assert await login(world)
    world.later(60)
    assert await login(world, origin=ELSEWHERE)
    assert is_asked_first(await world.begin("bob"))


async def test_a_source_is_known_for_thirty_days(world: World) -> None:
    await ada(world)
    assert await login(world)
    world.later(30 * 86_400 - 1)
    await fifty_from_everywhere(world)
    assert await login(world)

    world.later(30 * 86_400)
    await fifty_from_everywhere(world)
    world.later(1)
    assert is_asked_first(await world.begin("ada"))


async def test_a_guesser_cannot_make_his_source_a_known_one(world: World) -> None:
    """A right password without the code is no success."""
    await ada(world)
    assert isinstance(await world.begin("ada", origin=from_client(99)), Challenge)
    await fifty_from_everywhere(world)
    assert is_asked_first(await world.begin("ada", origin=from_client(99)))


# --- many at once ----------------------------------------------------------------------------------------------------


async def test_parallel_guesses_cannot_exceed_the_limit(world: World) -> None:
    await ada(world)
    world.directory.delay_s = 0.01
    engines = [world.engine, world.another_engine()]
    outcomes = await at_once(*(world.begin("ada", f"guess {n}", engine=engines[n % 2]) for n in range(40)))
    assert world.directory.checks == 5
    assert sum(reason(outcome) == "password_wrong" for outcome in outcomes) == 5
    assert {reason(outcome) for outcome in outcomes} == {"password_wrong", "brake_user_source"}


async def test_parallel_guesses_at_a_name_that_does_not_exist_are_held_alike(world: World) -> None:
    world.directory.delay_s = 0.01
    outcomes = await at_once(*(world.begin("nobody", f"guess {n}") for n in range(40)))
    assert world.directory.checks == 5
    assert sum(reason(outcome) == "user_unknown" for outcome in outcomes) == 5


async def test_many_right_logins_at_once_are_all_served(world: World) -> None:
    await ada(world)
    world.directory.delay_s = 0.01
    outcomes = await at_once(*(world.begin("ada") for _ in range(20)))
    assert all(isinstance(outcome, Challenge) for outcome in outcomes)
    assert all(row["in_flight"] == 0 for row in await world.rows("brake"))


async def test_parallel_guesses_beside_right_logins_stay_within_the_limit(world: World) -> None:
    await ada(world)
    world.directory.delay_s = 0.01
    passwords = ["correct horse" if number % 4 == 0 else f"guess {number}" for number in range(40)]
    outcomes = await at_once(*(world.begin("ada", password) for password in passwords))
    assert sum(isinstance(each, Denied) and each.reason == "password_wrong" for each in outcomes) <= 5


async def test_a_right_answer_that_comes_after_the_wrong_ones_filled_the_limit_is_worth_nothing(world: World) -> None:
    """All are judged before any is written: the guesser who sends all codes at once must not win by that."""
    world.brakes = BrakeSettings(user_source_failures=3)
    await ada(world)
    challenges = [await world.challenged("ada", origin=elsewhere(binding=f"radius:{n}:")) for n in range(8)]
    codes = [world.wrong_code()] * 7 + [world.totp()]
    outcomes: list[Outcome] = await at_once(
        *(
            world.answer(challenge, code, name="ada", origin=elsewhere(binding=f"radius:{n}:"))
            for n, (challenge, code) in enumerate(zip(challenges, codes, strict=True))
        )
    )
    assert reason(outcomes[-1]) == "brake_user_source"
    assert await world.events("engine:login:granted") == []
    [app] = await world.rows("authenticator")
    assert app["counter"] == 0, "and the code was not spent by it"


# --- crashes ---------------------------------------------------------------------------------------------------------


class _Crash(BaseException):
    """The process ends here."""


async def crash_while_checking(world: World, name: str) -> None:
    """A guess whose process dies between the reservation and the verdict."""

    async def die(*_: object) -> None:
        raise _Crash

    real = world.directory.check_password, world.directory.check_nobody
    world.directory.check_password = world.directory.check_nobody = die  # type: ignore[method-assign, assignment]
    try:
        with pytest.raises(_Crash):
            await world.begin(name, "guess")
    finally:
        world.directory.check_password, world.directory.check_nobody = real  # type: ignore[method-assign]


@pytest.mark.parametrize("name", ["ada", "nobody"])
async def test_guesses_that_crash_the_server_are_counted(world: World, name: str) -> None:
    await ada(world)
    for _ in range(4):
        await crash_while_checking(world, name)
    world.later(61)
    await world.wrong_passwords(name, 1)
    checks = world.directory.checks
    await world.begin(name)
    assert world.directory.checks == checks


async def test_a_reservation_holds_its_place_until_it_is_settled_or_dead(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_factor, "RESERVE_AGAIN_S", 0.001)
    monkeypatch.setattr(first_factor, "RESERVE_WAIT_S", 0.06)
    world.brakes = BrakeSettings(user_source_failures=1)
    await ada(world)
    await crash_while_checking(world, "ada")
    assert reason(await world.begin("ada")) == "brake_user_source"


@pytest.mark.parametrize("wrong", [False, True])
async def test_who_waits_for_a_place_is_called_when_it_is_free_or_will_be_nobodys(
    world: World, monkeypatch: pytest.MonkeyPatch, wrong: bool
) -> None:
    """Attempts in one process do not poll: a verdict calls the next, a lock calls them all, one after another."""
    monkeypatch.setattr(first_factor, "RESERVE_AGAIN_S", 600.0)
    monkeypatch.setattr(first_factor, "RESERVE_WAIT_S", 600.0)
    world.brakes = BrakeSettings(user_source_failures=1)
    await ada(world)
    judged, check = asyncio.Event(), world.directory.check_password

    async def slow(*arguments: object) -> object:
        await judged.wait()
        return await check(*arguments)  # type: ignore[arg-type]

    world.directory.check_password = slow  # type: ignore[method-assign, assignment]
    attempts = [asyncio.ensure_future(world.begin("ada", "guess" if wrong else "correct horse")) for _ in range(6)]
    while len(world.engine._waiters) < 5:
        await asyncio.sleep(0)
    judged.set()
    async with asyncio.timeout(60):
        outcomes = await at_once(*attempts)
    if wrong:
        assert sorted(map(reason, outcomes)) == ["brake_user_source"] * 5 + ["password_wrong"]
    else:
        assert all(isinstance(each, Challenge) for each in outcomes)
    assert len(world.engine._waiters) == 0


async def test_crashed_guesses_are_forgotten_after_the_window_like_others(world: World) -> None:
    """Or five crashes would keep somebody out for good."""
    await ada(world)
    for _ in range(5):
        await crash_while_checking(world, "ada")
    world.later(61)
    assert reason(await world.begin("ada")) == "brake_user_source"
    world.later(600)
    assert await login(world)


async def test_a_directory_that_fails_gives_the_attempt_back(world: World) -> None:
    await ada(world)
    world.directory.behaviour = Behaviour.UNAVAILABLE
    for _ in range(20):
        assert reason(await world.begin("ada", "guess")) == "directory_down"
    world.directory.behaviour = Behaviour.ANSWERS
    assert await login(world)


# --- what is told ----------------------------------------------------------------------------------------------------


async def test_a_lock_is_recorded_once_however_it_began(world: World) -> None:
    await ada(world)
    await world.wrong_passwords("ada", 8)
    assert len(await world.events("engine:brake:locked")) == 1
    world.later(300)
    challenge = await world.challenged("ada")
    for _ in range(3):
        challenge = await world.answer(challenge, world.wrong_code(), name="ada")
    challenge = await world.challenged("ada")
    for _ in range(2):
        challenge = await world.answer(challenge, world.wrong_code(), name="ada")
        assert isinstance(challenge, Challenge)
    assert is_asked_first(await world.begin("ada"))
    assert len(await world.events("engine:brake:locked")) == 2


async def test_brakes_hold_no_name_and_no_address_in_clear(world: World) -> None:
    await ada(world)
    await world.wrong_passwords("ada", 2)
    await world.wrong_passwords("nobody", 2)
    for row in await world.rows("brake"):
        # Keys are octets of chance, whose escapes may spell anything.
        kept = [value if isinstance(value, bytes) else str(value).encode() for value in row.values()]
        for told in (b"ada", b"nobody", b"203.0.113.7"):
            assert not any(told in value for value in kept)


async def test_a_login_that_policy_lets_in_by_password_alone_is_held_by_a_lock_that_began_meanwhile(world: World) -> None:
    world.use_policy([rule("password only", ["password"])])
    world.brakes = BrakeSettings(user_source_failures=3)
    await world.person("ada")
    real = world.directory.check_password

    async def lock_first(*arguments: Any) -> PasswordVerdict:
        """The right password is being checked while another node writes down the last wrong one."""
        verdict = await real(*arguments)
        keys = brakes.brake_keys(world.ring, await world.subject_of(arguments[0]), NAS.client, NAS.binding)
        for _ in range(3):
            await world.storage.commit(brakes.settle_wrong(keys, world.brakes, to_ms(world.clock.now()), reserved=False))
        return verdict

    world.directory.check_password = lock_first  # type: ignore[method-assign]
    held = await world.begin("ada")
    assert reason(held) == "brake_user_source"
    assert await world.events("engine:login:granted") == []


async def test_who_is_helped_while_attacked_is_no_stranger_at_home_afterwards(world: World) -> None:
    """The attack goes on: if his own address were forgotten with his waits, the next guesses would keep him out there as well."""
    await ada(world)
    assert await login(world)
    await fifty_from_everywhere(world)
    await world.wrong_passwords("ada", 3)
    [row] = await world.rows("subject")
    await world.storage.commit(await lifting.lift_user(world.storage, world.ring, [str(row["id"])], to_ms(world.clock.now())))
    assert await world.failures() == 0
    assert await world.failures("user") == 0
    await fifty_from_everywhere(world)
    assert is_asked_first(await world.begin("ada", origin=from_client(99)))
    world.later(60)
    assert await login(world)
