"""A browser that its person told us to trust is spared the second factor: for a while, for logins, and only by what we gave it."""

from dataclasses import replace

import pytest

from tests.flows.plans import use_plan
from tests.flows.world import NAS, SECRET, World, at_once, elsewhere, floor, is_granted, reason
from wardgate.account import device
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import DirectoryUser
from wardgate.engine.outcome import Challenge, Granted, Outcome
from wardgate.policy.settings import LifetimesThenSettings
from wardgate.storage.port import Update

DAY = 86_400
BROWSER = replace(NAS, door="portal", binding="portal:", nas="")


async def trusting(world: World, name: str = "ada", life_s: int = 30 * DAY) -> tuple[DirectoryUser, Secret]:
    """Somebody with an app, and what her browser was given."""
    user = await world.person(name)
    await world.give_totp(user)
    return user, await trust(world, user, life_s)


async def trust(world: World, user: DirectoryUser, life_s: int = 30 * DAY) -> Secret:
    """Trust one more browser."""
    value, operations = device.make(world.ring, await world.subject_of(user), "Firefox", to_ms(world.clock.now()), life_s)
    await world.storage.commit(operations)
    return value


async def sign_in(world: World, value: Secret | None, password: str = "correct horse", name: str = "ada") -> Outcome:
    """The browser's login: what it was given, beside the password."""
    return await world.begin(name, password, device=value, origin=BROWSER)


def next_value(outcome: Outcome) -> Secret:
    """What the browser has to show from now on."""
    assert isinstance(outcome, Granted), outcome
    assert outcome.device is not None
    return outcome.device


async def test_a_trusted_device_spares_the_second_factor_and_is_told_by_audit(world: World) -> None:
    _, value = await trusting(world)
    outcome = await sign_in(world, value)
    assert isinstance(outcome, Granted)
    assert outcome.factors == ("password", "trusted_device")
    assert outcome.assurance == 1
    [payload] = await world.payloads("engine:login:granted")
    assert payload["factors"] == ["password", "trusted_device"]
    assert next_value(outcome) != value


async def test_its_value_changes_with_each_login(world: World) -> None:
    _, value = await trusting(world)
    for _ in range(3):
        value = next_value(await sign_in(world, value))
        world.later(60)


async def test_a_stolen_cookie_without_the_password_opens_nothing(world: World) -> None:
    _, value = await trusting(world)
    assert reason(await sign_in(world, value, "guess")) == "password_wrong"
    assert is_granted(await sign_in(world, value))


async def test_a_value_that_was_used_before_forgets_the_device_and_is_told(world: World) -> None:
    _, value = await trusting(world)
    current = next_value(await sign_in(world, value))
    world.later(60)
    assert isinstance(await sign_in(world, value), Challenge)
    [payload] = await world.payloads("account:device:forgotten")
    assert payload["why"] == "reused"
    assert not await world.rows("trusted_device")
    assert isinstance(await sign_in(world, current), Challenge)


async def test_a_thiefs_trusted_device_ends_when_an_administrator_sets_the_password_in_the_directory(world: World) -> None:
    world.directory = MemoryDirectory("local", clock=world.clock)
    world.__post_init__()
    user, value = await trusting(world)
    value = next_value(await sign_in(world, value))
    world.later(3600)
    # Not through us.
    await world.directory.reset_password(user, Secret("set by the help desk"), False, 1)
    world.later(60)
    assert isinstance(await sign_in(world, value, "set by the help desk"), Challenge)
    [payload] = await world.payloads("account:device:forgotten")
    assert payload["why"] == "password_changed"
    assert not await world.rows("trusted_device")


async def test_device_that_is_trusted_after_the_password_was_set_stays(world: World) -> None:
    world.directory = MemoryDirectory("local", clock=world.clock)
    world.__post_init__()
    user = await world.person("ada")
    await world.give_totp(user)
    await world.directory.reset_password(user, Secret("a password of today"), False, 1)
    assert is_granted(await sign_in(world, await trust(world, user), "a password of today"))


async def test_a_thief_who_used_the_cookie_twice_is_found_out_by_its_owner(world: World) -> None:
    _, value = await trusting(world)
    thiefs = next_value(await sign_in(world, value))
    world.later(60)
    thiefs = next_value(await sign_in(world, thiefs))
    world.later(60)
    assert isinstance(await sign_in(world, value), Challenge)
    assert isinstance(await sign_in(world, thiefs), Challenge)
    assert len(await world.events("account:device:forgotten")) == 1


async def test_an_old_value_without_the_password_forgets_nothing(world: World) -> None:
    """Who has an old cookie alone must not be able to make the device forgotten."""
    _, value = await trusting(world)
    next_value(await sign_in(world, value))
    world.later(60)
    await sign_in(world, value, "guess")
    assert len(await world.rows("trusted_device")) == 1


async def test_two_tabs_at_once_are_no_theft(world: World) -> None:
    _, value = await trusting(world)
    outcomes = await at_once(sign_in(world, value), sign_in(world, value))
    assert [type(each) for each in outcomes].count(Granted) == 1
    assert len(await world.rows("trusted_device")) == 1


async def test_one_value_at_two_nodes_at_once_spares_the_factor_once(world: World) -> None:
    _, value = await trusting(world)
    nodes = [world.another_engine(), world.another_engine()]
    logins = (world.begin("ada", device=value, origin=BROWSER, engine=nodes[number % 2]) for number in range(6))
    outcomes = await at_once(*logins)
    assert sum(is_granted(outcome) for outcome in outcomes) == 1
    assert all(isinstance(outcome, Granted | Challenge) for outcome in outcomes)


async def test_another_persons_device_is_nothing(world: World) -> None:
    _, value = await trusting(world)
    await world.give_totp(await world.person("eve"))
    assert isinstance(await sign_in(world, value, name="eve"), Challenge)
    assert len(await world.rows("trusted_device")) == 1
    assert not await world.events("account:device:forgotten")


@pytest.mark.parametrize("value", [b"", b"guess", b"A" * 64, b"A" * 10_000, b"\xff" * 64, "Ä".encode() * 32])
async def test_a_made_up_value_is_nothing(world: World, value: bytes) -> None:
    await trusting(world)
    assert isinstance(await sign_in(world, Secret(value)), Challenge)
    assert len(await world.rows("trusted_device")) == 1


@pytest.mark.parametrize(("seconds", "trusted"), [(7 * DAY - 1, True), (7 * DAY, False)])
async def test_it_is_trusted_for_a_week_from_its_making_however_often_it_is_used(world: World, seconds: int, trusted: bool) -> None:
    _, value = await trusting(world)
    world.later(DAY)
    value = next_value(await sign_in(world, value))
    world.later(seconds - DAY)
    assert is_granted(await sign_in(world, value)) is trusted


async def test_how_long_is_the_policys_matter(world: World) -> None:
    _, value = await trusting(world)
    world.later(DAY)
    use_plan(world, lifetimes=LifetimesThenSettings(trusted_device="1d"))
    assert isinstance(await sign_in(world, value), Challenge)
    use_plan(world, lifetimes=LifetimesThenSettings(trusted_device="2d"))
    assert is_granted(await sign_in(world, value))


async def test_its_own_life_ends_it_too(world: World) -> None:
    _, value = await trusting(world, life_s=DAY)
    world.later(DAY)
    assert isinstance(await sign_in(world, value), Challenge)


async def test_policy_may_trust_none(world: World) -> None:
    use_plan(world, lifetimes=LifetimesThenSettings(trusted_device=0))
    _, value = await trusting(world)
    assert isinstance(await sign_in(world, value), Challenge)


async def test_administrators_are_asked_whatever_they_show(world: World) -> None:
    use_plan(world, floors=[floor("administrators", strong=1)])
    _, value = await trusting(world)
    assert isinstance(await sign_in(world, value), Challenge)


async def test_never_from_what_a_nas_or_a_client_says(world: World) -> None:
    """The machine's name, system and address are hearsay: whoever repeats them is asked all the same."""
    _, value = await trusting(world)
    told = value.reveal().decode()
    claims = {"hostname": told, "os": told, "app_version": told, "device": told, "known_device": "true"}
    assert isinstance(await world.begin("ada", origin=elsewhere(device=claims)), Challenge)
    outcome = await world.begin("ada", value.reveal(), origin=BROWSER)
    assert reason(outcome) == "password_wrong"


async def test_an_expired_password_is_not_spared_its_second_factor(world: World) -> None:
    user = await world.person("erin", must_change=True)
    await world.give_totp(user)
    assert isinstance(await sign_in(world, await trust(world, user), name="erin"), Challenge)


async def test_a_device_that_stood_for_nothing_still_changes_its_value_at_the_grant(world: World) -> None:
    """What it showed may have decided which rule matched: it must not be good for that again."""
    use_plan(world, lifetimes=LifetimesThenSettings(trusted_device=0))
    _, value = await trusting(world)
    challenge = await sign_in(world, value)
    outcome = await world.answer(challenge, world.totp(), name="ada", origin=BROWSER)
    assert isinstance(outcome, Granted)
    assert outcome.factors == ("password", "totp")
    assert next_value(outcome) != value


async def test_the_value_that_a_grant_gives_comes_again_for_an_identical_request_only(world: World) -> None:
    use_plan(world, lifetimes=LifetimesThenSettings(trusted_device=0))
    _, value = await trusting(world)
    challenge, code = await sign_in(world, value), world.totp()
    first = await world.answer(challenge, code, name="ada", origin=BROWSER, fingerprint=b"same")
    again = await world.answer(challenge, code, name="ada", origin=BROWSER, fingerprint=b"same")
    assert next_value(first) == next_value(again)
    assert next_value(first).reveal() not in b"".join(
        value for row in await world.rows("handle") for value in row.values() if isinstance(value, bytes)
    )


async def hold(world: World) -> None:
    """What a restore does to every device."""
    for row in await world.rows("trusted_device"):
        await world.storage.commit([Update("trusted_device", {"id": row["id"]}, {"state": "held"})])


async def test_a_device_that_a_restore_holds_spares_nothing_until_a_strong_factor_was_proved(world: World) -> None:
    _, value = await trusting(world)
    await hold(world)
    challenge = await sign_in(world, value)
    value = next_value(await world.answer(challenge, world.totp(secret=SECRET), name="ada", origin=BROWSER))
    assert is_granted(await sign_in(world, value))


async def test_a_weak_factor_sets_no_held_device_free(world: World) -> None:
    user = await world.person("bob", phone="+905321234567")
    value = await trust(world, user)
    await hold(world)
    challenge = await sign_in(world, value, name="bob")
    outcome = await world.answer(challenge, await world.code("bob"), name="bob", origin=BROWSER)
    assert isinstance(outcome, Granted)
    assert outcome.device is None
    [row] = await world.rows("trusted_device")
    assert row["state"] == "held"


async def test_nothing_that_opens_stands_in_the_row(world: World) -> None:
    _, value = await trusting(world)
    [row] = await world.rows("trusted_device")
    assert value.reveal().decode() not in str(row)
    raw = value.reveal()
    assert all(raw not in stored for stored in row.values() if isinstance(stored, bytes))
    assert len(raw) >= 32


async def test_a_copy_of_the_row_at_another_person_is_worth_nothing(world: World) -> None:
    _, value = await trusting(world)
    eve = await world.person("eve")
    await world.give_totp(eve)
    [row] = await world.rows("trusted_device")
    await world.storage.commit([Update("trusted_device", {"id": row["id"]}, {"subject_id": await world.subject_of(eve)})])
    assert isinstance(await sign_in(world, value), Challenge)


async def test_all_of_a_persons_devices_are_forgotten_at_once(world: World) -> None:
    user, value = await trusting(world)
    other = await trust(world, user)
    subject = await world.subject_of(user)
    await world.storage.commit([device.forget_all(subject)])
    assert isinstance(await sign_in(world, value), Challenge)
    assert isinstance(await sign_in(world, other), Challenge)


async def test_one_device_is_forgotten_and_the_other_stays(world: World) -> None:
    user, value = await trusting(world)
    other = await trust(world, user)
    shown = device.read_value(world.ring, value)
    assert shown is not None
    await world.storage.commit([device.forget(await world.subject_of(user), shown.id)])
    assert isinstance(await sign_in(world, value), Challenge)
    assert is_granted(await sign_in(world, other))


async def test_a_login_without_the_device_is_not_joined_to_one_with_it_and_gets_nothing_of_it(world: World) -> None:
    """Else whoever shows the password and a code, and nothing else, is given what is the device's from now on."""
    user = await world.person("bob", phone="+905321234567")
    use_plan(world, ["password"], ["sms"], lifetimes=LifetimesThenSettings(trusted_device=0))
    assert isinstance(await sign_in(world, await trust(world, user), name="bob"), Challenge)
    [before] = await world.rows("trusted_device")
    world.later(1)
    stranger = await sign_in(world, None, name="bob")
    outcome = await world.answer(stranger, await world.code("bob"), name="bob", origin=BROWSER)
    assert isinstance(outcome, Granted)
    assert outcome.device is None
    assert await world.rows("trusted_device") == [before]
