"""Hashes from elsewhere that cost more than the floor of refusals: no refusal tells by its time that an account exists."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import bcrypt
import pytest

from tests.flows.world import World
from wardgate.clock import FixedClock, to_ms
from wardgate.crypto import Secret
from wardgate.directory.local import LocalDirectory
from wardgate.directory.names import canonical_name
from wardgate.directory.port import PasswordVerdict
from wardgate.directory.settings import LocalDirectorySettings
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Denied
from wardgate.engine.runtime import EngineParts
from wardgate.passwords import PasswordHasher
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Insert

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
PASSWORD = "correct horse"
COSTLY = bcrypt.hashpw(PASSWORD.encode(), b"$2b$10$abcdefghijklmnopqrstuu").decode()
PATIENCE_S = 10.0


@pytest.fixture
async def directory() -> AsyncIterator[LocalDirectory]:
    storage, hasher = MemoryStorage(), PasswordHasher(1, 10, time_cost=1, memory_kib=8)
    people = {
        "imported": (COSTLY, "active", 0),
        "own": (await hasher.hash(Secret(PASSWORD)), "active", 0),
        "disabled": (await hasher.hash(Secret(PASSWORD)), "disabled", 0),
        "must-change": (await hasher.hash(Secret(PASSWORD)), "active", 1),
    }
    for number, (name, (stored, state, must_change)) in enumerate(people.items()):
        row = {
            "id": f"id{number}",
            "directory": "local",
            "name": name,
            "name_key": canonical_name(name),
            "display_name": "",
            "groups": "[]",
            "attributes": "{}",
            "password_hash": stored,
            "must_change": must_change,
            "state": state,
            "created_at": to_ms(NOW),
            "version": 1,
        }
        await storage.commit([Insert("local_user", row)])
    yield LocalDirectory(LocalDirectorySettings(name="local", kind="local", keep_hashes=True), storage, hasher, FixedClock(NOW))
    hasher.close()


async def seconds(directory: LocalDirectory, name: str, password: str) -> float:
    user = await directory.find(name, PATIENCE_S)
    began = time.perf_counter()
    if user is None:
        await directory.check_nobody(Secret(password), PATIENCE_S)
    else:
        await directory.check_password(user, Secret(password), PATIENCE_S)
    return time.perf_counter() - began


@pytest.mark.parametrize(
    ("name", "password"),
    [("nobody", "guess"), ("own", "guess"), ("disabled", PASSWORD), ("disabled", "guess"), ("must-change", PASSWORD)],
)
async def test_a_refusal_takes_no_less_than_that_of_an_imported_account(
    directory: LocalDirectory, name: str, password: str
) -> None:
    user = await directory.find("imported", PATIENCE_S)
    assert user is not None
    work_s = (await directory._hasher.check(COSTLY, Secret("guess"), upgrade=False)).took_s
    assert work_s > 0.01, "otherwise this test shows nothing"
    assert await seconds(directory, name, password) >= work_s


async def test_a_right_password_waits_for_nothing(directory: LocalDirectory) -> None:
    directory._hasher.learn(COSTLY, 1.0)
    user = await directory.find("own", PATIENCE_S)
    assert user is not None
    began = time.perf_counter()
    assert await directory.check_password(user, Secret(PASSWORD), PATIENCE_S) is PasswordVerdict.RIGHT
    assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize("slowest_s", [0.0, 0.1, 0.361, 2.0])
async def test_a_wrong_code_beside_a_right_password_leaves_no_sooner_than_a_wrong_password(slowest_s: float) -> None:
    world = World()
    await world.give_totp(await world.person("ada"))
    parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, slowest_check_s=lambda: slowest_s)
    engine = Engine(parts)
    floors = []
    for name, password in (("ada", "correct horse"), ("ada", "guess"), ("nobody", "guess")):
        refusal = await world.begin(name, password, code=world.wrong_code(), can_challenge=False, engine=engine)
        assert isinstance(refusal, Denied)
        assert refusal.not_before is not None
        floors.append(round(refusal.not_before - world.trail.started, 3))
    assert len(set(floors)) == 1
    assert floors[0] >= max(0.3, slowest_s)
