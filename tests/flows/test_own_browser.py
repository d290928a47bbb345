"""A browser that its person trusts is no stranger: what others guess at his name, at his address or anywhere does not stop it."""

import pytest

from tests.flows.plans import use_plan
from tests.flows.test_trusted_device import BROWSER, next_value, sign_in, trust, trusting
from tests.flows.world import World, at_once, elsewhere, floor, is_asked_first, is_granted, reason
from wardgate.account import device
from wardgate.crypto import Secret
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import AccountState, Lockout
from wardgate.engine.outcome import Challenge, Denied, Outcome
from wardgate.engine.settings import BrakeSettings
from wardgate.storage.port import Update

KINDS = pytest.mark.parametrize("kind", ["user_source", "user", "source", "network", "global"])


async def attack(world: World, kind: str, name: str = "ada") -> None:
    """Until this brake holds strangers, also those at the person's own address."""
    limits = {"network": "network_failures", "global": "global_failures"}
    off = {"network_failures": 0, "nas_failures": 0, "global_failures": 0}
    world.brakes = BrakeSettings(**{**off, **({limits[kind]: 10} if kind in limits else {})})  # type: ignore[arg-type]
    if kind == "user_source":
        await world.wrong_passwords(name, 5, origin=BROWSER)
    elif kind == "user":
        for number in range(50):
            await world.begin(name, "guess", origin=elsewhere(client=f"10.{number}.0.1"))
    else:
        for number in range(30):
            await world.begin(f"user{number}", "guess", origin=BROWSER)


def is_held(outcome: Outcome) -> bool:
    return is_asked_first(outcome) or (isinstance(outcome, Denied) and reason(outcome).startswith("brake_"))


@KINDS
async def test_guesses_of_others_do_not_stop_the_owners_own_browser(world: World, kind: str) -> None:
    _, value = await trusting(world)
    await attack(world, kind)
    assert is_held(await sign_in(world, None))
    outcome = await sign_in(world, value)
    assert is_granted(outcome)
    assert next_value(outcome) != value
    [granted] = await world.payloads("engine:login:granted")
    assert granted["lane"] == "own_device"


@KINDS
async def test_the_second_factor_is_judged_in_it_too(world: World, kind: str) -> None:
    """A floor asks for a strong factor: the device spares it nothing, and is no stranger at the code either."""
    _, value = await trusting(world)
    use_plan(world, floors=[floor("strong", strong=1)])
    await attack(world, kind)
    world.later(30)
    challenge = await sign_in(world, value)
    assert isinstance(challenge, Challenge)
    assert challenge.factor == "totp"
    assert is_granted(await world.answer(challenge, world.totp(), name="ada", origin=BROWSER))


async def test_a_device_speaks_for_nobody_but_its_person(world: World) -> None:
    _, value = await trusting(world)
    await world.give_totp(await world.person("eve"))
    await attack(world, "user_source", "eve")
    assert is_held(await sign_in(world, value, name="eve"))
    await attack(world, "user_source", "nobody")
    assert is_held(await sign_in(world, value, name="nobody"))


async def test_a_value_that_was_used_before_does_not_stand_and_ends_no_trust(world: World) -> None:
    """A thief with an old cookie and no password must neither pass the brake nor make the owner's device forgotten."""
    _, value = await trusting(world)
    current = next_value(await sign_in(world, value))
    world.later(60)
    await attack(world, "user_source")
    assert is_held(await sign_in(world, value, "guess"))
    assert len(await world.rows("trusted_device")) == 1
    assert is_granted(await sign_in(world, current))


@pytest.mark.parametrize("value", [b"", b"guess", b"A" * 64, b"A" * 10_000, b"\xff" * 64])
async def test_a_made_up_value_does_not_stand(world: World, value: bytes) -> None:
    await trusting(world)
    await attack(world, "user_source")
    assert is_held(await sign_in(world, Secret(value)))


async def test_a_device_that_is_revoked_held_or_too_old_does_not_stand(world: World) -> None:
    user, value = await trusting(world, life_s=3600)
    other = await trust(world, user)
    await attack(world, "user_source")
    shown = device.read_value(world.ring, other)
    assert shown is not None
    await world.storage.commit([Update("trusted_device", {"id": shown.id}, {"state": "held"})])
    assert is_held(await sign_in(world, other))
    await world.storage.commit([device.forget(await world.subject_of(user), shown.id)])
    assert is_held(await sign_in(world, other))
    await attack(world, "user")
    world.later(3601)
    assert is_held(await sign_in(world, value))


async def test_who_stole_the_cookie_guesses_no_more_often_than_any_source(world: World) -> None:
    _, value = await trusting(world)
    await attack(world, "user_source")
    told = [await sign_in(world, value, f"guess {number}") for number in range(8)]
    assert [reason(outcome) for outcome in told[:5]] == ["password_wrong"] * 5
    assert all(map(is_asked_first, told[5:]))
    assert is_asked_first(await sign_in(world, value)), "and waits like one"
    world.later(300)
    assert is_granted(await sign_in(world, value))


async def test_many_guesses_at_once_in_it_are_judged_five_times(world: World) -> None:
    _, value = await trusting(world)
    await attack(world, "user")
    checks = world.directory.checks
    await at_once(*(sign_in(world, value, f"guess {number}") for number in range(20)))
    assert world.directory.checks - checks == 5


async def test_parallel_sign_ins_in_it_wait_for_each_other_and_are_not_refused_as_strangers(world: World) -> None:
    user, _ = await trusting(world)
    values = [await trust(world, user) for _ in range(3)]
    await attack(world, "user")
    world.directory.delay_s = 0.01
    for value in values:
        outcomes = await at_once(*(sign_in(world, value) for _ in range(7)))
        assert not any(is_held(outcome) for outcome in outcomes)


async def test_no_nas_can_show_a_device(world: World) -> None:
    """What a NAS says of a machine is none: its requests bear no value of ours, and nothing is read for them."""
    await trusting(world)
    await attack(world, "user")
    assert is_held(await world.begin("ada", origin=elsewhere(client="198.51.100.77", device={"name": "adas-laptop"})))


async def test_its_login_lets_nobody_else_through(world: World) -> None:
    """Its success is one of the person's browser, and does not make the guesser's address a known one."""
    _, value = await trusting(world)
    await attack(world, "user_source")
    assert is_granted(await sign_in(world, value))
    assert is_held(await sign_in(world, None)) or reason(await sign_in(world, None, "guess")) == "password_wrong"
    assert not any(row["succeeded_at"] for row in await world.rows("brake") if int(row["locked_until"] or 0) > 0)


# --- below the directory's own lock-out --------------------------------------------------------------------------------


async def locking(world: World) -> World:
    return World(world.storage, directory=MemoryDirectory("local", lockout=Lockout(5, 1800)))


async def test_strangers_do_not_use_up_the_try_of_the_owners_browser_or_address(world: World) -> None:
    world = await locking(world)
    _, value = await trusting(world)
    for number in range(20):
        await world.begin("ada", "guess", origin=elsewhere(client=f"10.0.{number}.1"))
    user = await world.directory.find("ada", 1)
    assert user is not None
    assert user.state is AccountState.ACTIVE
    assert is_granted(await sign_in(world, value))


async def test_nor_of_a_known_address(world: World) -> None:
    world = await locking(world)
    await world.give_totp(await world.person("ada"))
    assert is_granted(await world.answer(await world.challenged("ada"), world.totp(), name="ada"))
    for number in range(20):
        await world.begin("ada", "guess", origin=elsewhere(client=f"10.0.{number}.1"))
    world.later(30)
    assert is_granted(await world.answer(await world.challenged("ada"), world.totp(), name="ada"))


async def test_the_account_is_not_locked_by_guesses_from_its_own_address_and_browser(world: World) -> None:
    world = await locking(world)
    _, value = await trusting(world)
    assert is_granted(await world.answer(await world.challenged("ada"), world.totp(), name="ada"))
    for number in range(20):
        await world.begin("ada", "guess", origin=elsewhere(client=f"10.0.{number}.1"))
    for _ in range(4):
        await world.begin("ada", "guess")
        await sign_in(world, value, "guess")
    user = await world.directory.find("ada", 1)
    assert user is not None
    assert user.state is AccountState.ACTIVE
