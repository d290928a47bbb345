"""Two accounts that an operator has said to be one person's."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.realms import Several, in_one_realm
from tests.flows.world import BACKENDS, World, a_storage, elsewhere, is_granted, reason
from wardgate.account.subject import create_subject
from wardgate.admin import subjects
from wardgate.admin.office import Office
from wardgate.clock import to_ms
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import DirectoryUser
from wardgate.engine.outcome import Granted
from wardgate.passwords import PasswordHasher


@pytest.fixture(params=BACKENDS)
async def several(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Several]:
    async with a_storage(request.param, tmp_path) as storage:
        yield in_one_realm(storage, MemoryDirectory("local"), MemoryDirectory("other"))


async def in_other(several: Several, name: str, password: str = "correct horse") -> DirectoryUser:
    user = several["other"].add(name, password)
    _, operations = create_subject(user.directory, user.immutable_id, to_ms(several.world.clock.now()))
    await several.world.storage.commit(operations)
    return user


async def relinked(world: World, account: DirectoryUser, person: DirectoryUser) -> None:
    hasher = PasswordHasher(1, 10, time_cost=1, memory_kib=8)
    office = Office(world.storage, world.ring, world.clock, hasher, "operator:olga")
    try:
        await subjects.relink(
            office, directory=account.directory, immutable_id=account.immutable_id, to_subject=await world.subject_of(person)
        )
    finally:
        hasher.close()


async def test_both_accounts_log_in_with_the_one_app_and_are_one_subject(several: Several) -> None:
    world = several.world
    ada, second = await world.person("ada"), await in_other(several, "lovelace")
    await world.give_totp(ada)
    assert reason(await world.begin("lovelace")) == "no_factor"
    await relinked(world, second, ada)
    seen = []
    for name in ("ada", "lovelace"):
        granted = await world.answer(await world.challenged(name), world.totp(), name=name)
        assert isinstance(granted, Granted)
        seen.append((granted.subject_id, granted.user_name))
        world.later(60)
    assert seen == [(await world.subject_of(ada), "ada"), (await world.subject_of(ada), "lovelace")]


async def test_a_code_is_spent_for_both(several: Several) -> None:
    world = several.world
    ada, second = await world.person("ada"), await in_other(several, "lovelace")
    await world.give_totp(ada)
    await relinked(world, second, ada)
    code = world.totp()
    assert is_granted(await world.answer(await world.challenged("ada"), code, name="ada"))
    assert not is_granted(await world.answer(await world.challenged("lovelace"), code, name="lovelace"))


async def test_wrong_passwords_at_one_account_make_the_person_wait_at_the_other(several: Several) -> None:
    world = several.world
    ada, second = await world.person("ada"), await in_other(several, "lovelace")
    await world.give_totp(ada)
    await relinked(world, second, ada)
    await world.wrong_passwords("lovelace", 5)
    assert reason(await world.begin("ada")) == "brake_user_source"
    assert is_granted(
        await world.answer(
            await world.challenged("ada", origin=elsewhere(client="198.51.100.8")),
            world.totp(),
            name="ada",
            origin=elsewhere(client="198.51.100.8"),
        )
    )


@pytest.mark.parametrize("by", ["app", "sms"])
async def test_an_open_login_of_the_moved_account_is_worth_nothing(several: Several, by: str) -> None:
    """Sealed into a State or stored as a row: it was asked for what the account had before."""
    world = several.world
    ada, second = await world.person("ada"), await in_other(several, "lovelace")
    if by == "app":
        await world.give_totp(second)
    else:
        several["other"].remove(second)
        second = several["other"].add("lovelace", "correct horse", phone="+905321234567")
    challenge = await world.challenged("lovelace")
    code = world.totp() if by == "app" else await world.code("lovelace")
    await relinked(world, second, ada)
    assert reason(await world.answer(challenge, code, name="lovelace")) in ("user_changed", "state_used")
    assert await world.events("engine:login:granted") == []
