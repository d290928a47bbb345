"""Logins that go on while the directory is down: for whom it was just right, for logins only, and never for administrators."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.flows.plans import use_plan
from tests.flows.realms import in_one_realm
from tests.flows.world import BACKENDS, World, a_storage, at_once, elsewhere, floor, is_granted, reason, rule, says
from wardgate.account.device import make as make_device
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import AccountState
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge, Denied, Granted
from wardgate.engine.runtime import EngineParts
from wardgate.policy.settings import FailSettings


@pytest.fixture(params=BACKENDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with a_storage(request.param, tmp_path) as storage:
        yield World(storage, directory=MemoryDirectory("local", grace=True))


async def verified(world: World, name: str = "ada", **fields: Any) -> None:
    """Somebody whose password was right a short while ago; then the directory goes down."""
    await world.give_totp(await world.person(name, **fields))
    assert isinstance(await world.begin(name), Challenge | Denied)
    world.directory.behaviour = Behaviour.UNAVAILABLE


async def test_who_was_verified_logs_in_while_the_directory_is_down(world: World) -> None:
    await verified(world, mail="ada@mail.test", groups=("vpn",), phone="+905321234567")
    challenge = await world.challenged("ada")
    granted = await world.answer(challenge, world.totp(), name="ada")
    assert isinstance(granted, Granted)
    assert (granted.user_name, granted.mail, granted.groups) == ("ada", "ada@mail.test", ("vpn",))
    [event] = await world.payloads("engine:login:granted")
    assert event["grace"] is True
    assert any("grace" in str(row["body"]) for row in await world.rows("timeline"))


async def test_a_code_by_sms_goes_to_the_phone_that_the_directory_told_last(world: World) -> None:
    await world.person("bob", phone="+905321234567")
    await world.challenged("bob")
    world.directory.behaviour = Behaviour.UNAVAILABLE
    world.later(200)
    challenge = await world.challenged("bob")
    assert is_granted(await world.answer(challenge, await world.code("bob"), name="bob", engine=world.another_engine()))


async def test_a_login_by_grace_ends_where_the_configuration_changed(world: World) -> None:
    """What was read of the user then may be too little for the rules of now; and he is not taken as if nothing was remembered."""
    await verified(world, groups=("vpn",))
    challenge = await world.challenged("ada")
    changed = replace(world.configuration(), version=2)
    engine = Engine(EngineParts(world.storage, world.clock, lambda: world.ring, lambda: changed, keep_messages=True))
    assert reason(await world.answer(challenge, world.totp(), name="ada", engine=engine)) == "user_changed"
    challenge = await world.challenged("ada")
    world.directory.behaviour = Behaviour.ANSWERS
    assert reason(await world.answer(challenge, world.totp(), name="ada", engine=engine)) == "user_changed"


async def test_what_a_login_by_grace_stores_of_its_user_is_sealed(world: World) -> None:
    await verified(world, display_name="Ada Lovelace", mail="ada@mail.test")
    await world.challenged("ada")
    bodies = "".join(str(row["body"]) for row in await world.rows("login_transaction"))
    assert "Lovelace" not in bodies
    assert "ada@mail.test" not in bodies


@pytest.mark.parametrize("name", ["ada", "nobody", "bob"])
async def test_a_wrong_password_and_an_unknown_name_hear_the_same(world: World, name: str) -> None:
    await verified(world)
    for number in range(8):
        refused = await world.begin(name, f"guess {number}")
        assert isinstance(refused, Denied)
        assert (refused.reason, refused.text.id, refused.language) == ("directory_down", "down.directory", "en")
        assert refused.not_before == pytest.approx(world.trail.started + 0.3)
    assert await world.in_flight() == 0


async def test_what_is_remembered_cannot_be_guessed_at_without_end(world: World) -> None:
    await verified(world)
    for number in range(5):
        await world.begin("ada", f"guess {number}")
    assert reason(await world.begin("ada")) == "directory_down"
    world.later(301)
    assert isinstance(await world.begin("ada"), Challenge)


async def test_guesses_while_it_is_down_hold_nobody_afterwards(world: World) -> None:
    await verified(world)
    for number in range(8):
        await world.begin("ada", f"guess {number}")
    world.directory.behaviour = Behaviour.ANSWERS
    assert isinstance(await world.begin("ada"), Challenge)


async def test_a_brake_holds_under_grace_as_well(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await world.challenged("ada")
    await world.wrong_passwords("ada", 5)
    world.directory.behaviour = Behaviour.UNAVAILABLE
    assert reason(await world.begin("ada")) == "brake_user_source"
    assert await world.in_flight() == 0


async def test_no_grace_for_whom_the_directory_holds_to_be_an_administrator(world: World) -> None:
    await verified(world, protected=True)
    assert reason(await world.begin("ada")) == "directory_down"


async def test_no_grace_for_who_is_an_administrator_by_policy(world: World) -> None:
    world.use_policy([rule("all", ["password"], ["totp"])], [floor("admins", strong=2, when={"user": "ada"})])
    await world.give_recovery_codes(await world.person("eve"))
    await verified(world)
    refused = await world.begin("ada")
    assert reason(refused) == "directory_down"
    assert says(refused).startswith("A part that we need does not answer.")
    assert await world.in_flight() == 0


@pytest.mark.parametrize("state", [AccountState.DISABLED, AccountState.LOCKED, AccountState.EXPIRED])
async def test_no_grace_for_an_account_that_was_closed(world: World, state: AccountState) -> None:
    user = await world.person("ada")
    await world.give_totp(user)
    await world.challenged("ada")
    world.directory.change_state(user, state)
    world.directory.behaviour = Behaviour.UNAVAILABLE
    assert reason(await world.begin("ada")) == "directory_down"


async def test_no_grace_where_the_nas_vouches_for_the_password(world: World) -> None:
    await verified(world)
    outcome = await world.begin("ada", None, code=world.totp(), can_challenge=False, proved_elsewhere=frozenset(("password",)))
    assert reason(outcome) == "directory_down"


async def test_no_grace_where_the_directory_gives_none(world: World) -> None:
    world = World(world.storage, directory=MemoryDirectory("local", remembering=True))
    await verified(world)
    assert reason(await world.begin("ada")) == "directory_down"


async def test_an_answer_to_a_login_from_before_has_to_wait_for_the_directory(world: World) -> None:
    """Only a login that began by grace goes on by it."""
    await world.give_totp(await world.person("ada"))
    challenge = await world.challenged("ada")
    world.directory.behaviour = Behaviour.UNAVAILABLE
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "directory_down"
    world.directory.behaviour = Behaviour.ANSWERS
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))


async def test_a_directory_that_is_back_decides_again(world: World) -> None:
    await verified(world)
    challenge = await world.challenged("ada")
    world.directory.behaviour = Behaviour.ANSWERS
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))


@pytest.mark.parametrize("change", ["disabled", "password", "removed"])
async def test_an_account_that_was_changed_meanwhile_is_not_let_in_by_what_was_remembered(world: World, change: str) -> None:
    await verified(world)
    challenge = await world.challenged("ada")
    world.directory.behaviour = Behaviour.ANSWERS
    user = await world.directory.find("ada", 1)
    assert user is not None
    if change == "disabled":
        world.directory.change_state(user, AccountState.DISABLED)
    elif change == "removed":
        world.directory.remove(user)
    else:
        await world.directory.reset_password(user, Secret("another"), must_change=False, timeout_s=1)
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "user_changed"


async def test_password_and_code_in_one_request_go_on_by_grace(world: World) -> None:
    await verified(world)
    assert is_granted(await world.begin("ada", code=world.totp(), can_challenge=False))
    assert reason(await world.begin("ada", code="000000", can_challenge=False)) == "code_wrong"
    assert await world.in_flight() == 0


async def test_of_several_directories_the_one_that_is_down_gives_the_grace(world: World) -> None:
    several = in_one_realm(world.storage, MemoryDirectory("first"), MemoryDirectory("second", grace=True), MemoryDirectory("third"))
    world = several.world
    several["second"].add("ada", "correct horse")
    several["third"].add("cem", "correct horse")
    assert reason(await world.begin("ada")) == "no_factor"
    several["second"].behaviour = Behaviour.UNAVAILABLE
    assert reason(await world.begin("ada")) == "no_factor"
    assert reason(await world.begin("cem", origin=elsewhere(client="198.51.100.3"))) == "directory_down"


async def test_many_at_once_guess_no_more_than_one_after_the_other(world: World) -> None:
    await verified(world)
    guesses = [world.begin("ada", f"guess {number}") for number in range(20)]
    await at_once(*guesses)
    assert await world.failures() == 0, "they ended in a wait"
    assert reason(await world.begin("ada")) == "directory_down"


async def test_no_device_is_trusted_while_the_directory_is_down(world: World) -> None:
    user = await world.person("ada")
    await world.give_totp(user)
    value, operations = make_device(world.ring, await world.subject_of(user), "Firefox", to_ms(world.clock.now()), 86_400)
    await world.storage.commit(operations)
    await world.challenged("ada")
    world.directory.behaviour = Behaviour.UNAVAILABLE
    assert isinstance(await world.begin("ada", device=value), Challenge)


async def test_policy_may_refuse_the_grace_that_the_directory_allows(world: World) -> None:
    await verified(world)
    use_plan(world, fail=FailSettings(directory_down="closed"))
    assert reason(await world.begin("ada")) == "directory_down"
    assert await world.in_flight() == 0
    use_plan(world)
    assert isinstance(await world.begin("ada"), Challenge)
