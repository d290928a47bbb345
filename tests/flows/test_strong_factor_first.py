"""Somebody whose name or network is under attack comes in by proving a strong factor before his password, and nobody else does."""

import pytest

from tests.flows.world import World, elsewhere, is_asked_first, is_granted, reason, says
from wardgate.engine.lanes import STRONG_FAILURES_A_DAY
from wardgate.engine.outcome import Origin, Outcome
from wardgate.engine.settings import BrakeSettings

THERE = elsewhere(client="198.51.100.200")


async def in_one_field(world: World, name: str, password: str, code: str, origin: Origin = THERE) -> Outcome:
    return await world.begin(name, password, code=code, can_challenge=False, origin=origin)


async def attack(world: World, kind: str) -> None:
    """Until this brake holds who comes from THERE for the first time."""
    off = {"network_failures": 0, "nas_failures": 0, "global_failures": 0}
    limit = {"network": "network_failures", "nas": "nas_failures", "global": "global_failures"}.get(kind)
    world.brakes = BrakeSettings(**{**off, **({limit: 10} if limit else {})})  # type: ignore[arg-type]
    if kind == "user":
        for number in range(50):
            await world.begin("ada", "guess", origin=elsewhere(client=f"10.{number}.0.1"))
    for number in range(0 if kind == "user" else 30):
        await world.begin(f"user{number}", "guess", origin=THERE)


HOLDS = pytest.mark.parametrize("kind", ["user", "source", "network", "nas", "global"])


@HOLDS
async def test_who_is_held_for_what_others_did_comes_in_by_his_code_and_password(world: World, kind: str) -> None:
    await world.give_totp(await world.person("ada"))
    await attack(world, kind)
    held = await world.begin("ada", origin=THERE)
    assert is_asked_first(held) if kind == "user" else reason(held) == f"brake_{kind}"
    world.later(30)
    assert is_granted(await in_one_field(world, "ada", "correct horse", world.totp()))
    assert reason(await world.begin("fresh", "guess", origin=THERE)) != "user_unknown" or kind == "user"


@HOLDS
async def test_a_guesser_who_has_a_code_hears_what_everybody_hears_and_has_spent_it(world: World, kind: str) -> None:
    await world.give_totp(await world.person("ada"))
    await attack(world, kind)
    world.later(30)
    told = [
        says(await in_one_field(world, name, "a guess", code)).replace(world.trail.reference, "")
        for name, code in (("ada", world.totp()), ("ada", world.wrong_code()))
    ]
    assert told[0] == told[1]
    assert told[0].startswith("Too many tries")
    assert not is_granted(await in_one_field(world, "ada", "correct horse", world.totp())), "it opened the door once"


async def test_codes_are_not_tried_without_end_on_somebody_who_is_held(world: World) -> None:
    """Somebody who has the password: five tries from a source, and fifty in all; then only known sources are served."""
    await world.give_totp(await world.person("ada"))
    await attack(world, "user")
    for number in range(50):
        world.later(1)
        await in_one_field(world, "ada", "correct horse", world.wrong_code(), elsewhere(client=f"10.99.{number}.1"))
    world.later(30)
    assert reason(await in_one_field(world, "ada", "correct horse", world.totp())) == "brake_user"


async def test_tries_of_codes_from_one_source_make_it_wait(world: World) -> None:
    """Five before the lock of name and address, and five of those who bring a code through it; then nothing opens it."""
    await world.give_totp(await world.person("ada"))
    await attack(world, "user")
    for _ in range(10):
        await in_one_field(world, "ada", "correct horse", world.wrong_code())
    world.later(30)
    assert reason(await in_one_field(world, "ada", "correct horse", world.totp())) == "brake_user_source"


async def test_somebody_behind_the_same_address_keeps_nobody_out_who_has_a_code(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await world.wrong_passwords("ada", 5, origin=THERE)
    world.later(30)
    checks = world.directory.checks
    assert is_granted(await in_one_field(world, "ada", "correct horse", world.totp()))
    assert world.directory.checks == checks + 1
    [granted] = await world.payloads("engine:login:granted")
    assert granted["lane"] == "strong_first"
    world.later(30)
    assert not is_asked_first(await world.begin("ada", origin=THERE)), "and the wait is over"


async def test_codes_guessed_from_many_addresses_close_the_way_through_their_locks(world: World) -> None:
    """Else each further address would be worth five more guesses at a code."""
    await world.give_totp(await world.person("ada"))
    for number in range(STRONG_FAILURES_A_DAY // 5):
        there = elsewhere(client=f"10.7.{number}.1")
        await world.wrong_passwords("ada", 5, origin=there)
        for _ in range(5):
            await in_one_field(world, "ada", "correct horse", world.wrong_code(), there)
    await world.wrong_passwords("ada", 5, origin=THERE)
    world.later(30)
    assert reason(await in_one_field(world, "ada", "correct horse", world.totp())) == "brake_user_source"


async def test_through_a_lock_of_name_and_address_nothing_is_learnt(world: World) -> None:
    """A right code with a wrong password, a wrong code with the right one, nobody: one answer, at one time, for one check."""
    await world.give_totp(await world.person("ada"))
    for name in ("ada", "nobody"):
        await world.wrong_passwords(name, 5, origin=THERE)
    world.later(30)
    heard, cost = set(), set()
    code = world.totp()
    for name, password, typed in (
        ("ada", "a guess", code),
        ("ada", "correct horse", world.wrong_code()),
        ("ada", "correct horse", code),
        ("nobody", "a guess", "000000"),
    ):
        checks = world.directory.checks
        outcome = await in_one_field(world, name, password, typed)
        assert outcome.not_before is not None
        late = outcome.not_before - world.trail.started
        heard.add((says(outcome).replace(world.trail.reference, "").replace("4 minutes", "5 minutes"), round(late, 3)))
        cost.add(world.directory.checks - checks)
    assert len(heard) == 1
    assert cost == {1}
    [(text, _)] = heard
    assert text.startswith("Too many tries")


async def test_a_name_of_nobody_is_counted_alike(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await attack(world, "network")
    world.later(2)
    told = {
        name: [says(await in_one_field(world, name, "a guess", "000000")).replace(world.trail.reference, "") for _ in range(7)]
        for name in ("ada", "nobody")
    }
    assert told["ada"] == told["nobody"]
    world.later(298)
    after = [says(await world.begin(name, "guess", origin=THERE)).replace(world.trail.reference, "") for name in ("ada", "nobody")]
    assert after[0] == after[1]
