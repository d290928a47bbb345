"""A directory that knows without work that this password was verified a short while ago. It saves work, never a check."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.world import BACKENDS, World, a_storage, is_asked_first, is_granted, reason
from wardgate.crypto import Secret
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.engine.outcome import Challenge


class Credulous(MemoryDirectory):
    """Remembers whatever it is asked about: the worst that another maker's directory could do."""

    def remembers(self, user: DirectoryUser, password: Secret) -> bool:
        return password.reveal() == b"correct horse"


@pytest.fixture(params=BACKENDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with a_storage(request.param, tmp_path) as storage:
        yield World(storage, directory=MemoryDirectory("local", remembering=True))


async def test_a_remembered_password_costs_no_check_and_no_reservation(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    assert isinstance(await world.begin("ada"), Challenge)
    challenge = await world.begin("ada")
    assert world.directory.checks == 1
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    assert all(row["in_flight"] == row["failures"] == 0 for row in await world.rows("brake"))


async def test_a_wrong_password_is_never_remembered(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await world.begin("ada")
    assert reason(await world.begin("ada", "guess")) == "password_wrong"
    assert world.directory.checks == 2


async def test_a_remembered_password_does_not_pass_a_brake(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await world.begin("ada")
    await world.wrong_passwords("ada", 5)
    assert is_asked_first(await world.begin("ada"))


@pytest.mark.parametrize("state", [AccountState.DISABLED, AccountState.LOCKED, AccountState.EXPIRED])
async def test_an_account_that_was_closed_is_not_let_in_by_what_is_remembered(world: World, state: AccountState) -> None:
    world.directory = Credulous("local")
    world = World(world.storage, directory=world.directory)
    ada = world.directory.add("ada", "correct horse")
    world.directory.change_state(ada, state)
    assert reason(await world.begin("ada")) == f"account_{state.value}"


async def test_a_remembered_password_with_a_wrong_code_beside_it_counts_once(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await world.begin("ada")
    for _ in range(5):
        assert reason(await world.begin("ada", code=world.wrong_code(), can_challenge=False)) == "code_wrong"
    assert is_asked_first(await world.begin("ada"))
    assert await world.in_flight() == 0
