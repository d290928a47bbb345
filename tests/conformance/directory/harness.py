"""What the conformance suite needs of a directory: one that is empty, a way to put users in, a way to count its work."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from wardgate.admin import users
from wardgate.admin.office import Office
from wardgate.audit.trail import chain_for
from wardgate.clock import FixedClock
from wardgate.crypto import KeyRing, Secret, new_key
from wardgate.directory.local import TABLE, LocalDirectory, row_by_name
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import AccountState, Directory
from wardgate.directory.settings import LocalDirectorySettings
from wardgate.passwords import PasswordHasher
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Update

Add = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Subject:
    """A directory under test. `add(name, password, **fields)`, `set_state(name, state)`, `remove(name)`; `work()` rises by one with
    each password check's worth of work."""

    directory: Any
    add: Add
    set_state: Callable[[str, AccountState], Awaitable[None]]
    remove: Callable[[str], Awaitable[None]]
    work: Callable[[], int]


@asynccontextmanager
async def memory() -> AsyncIterator[Subject]:
    directory = MemoryDirectory("staff", remembering=True)

    async def found(name: str) -> Any:
        return await directory.find(name, 5)

    async def add(name: str, password: bytes | None, **fields: Any) -> None:
        directory.add(name, password, **fields)

    async def set_state(name: str, state: AccountState) -> None:
        directory.change_state(await found(name), state)

    async def remove(name: str) -> None:
        directory.remove(await found(name))

    yield Subject(directory, add, set_state, remove, lambda: directory.checks)


@asynccontextmanager
async def local() -> AsyncIterator[Subject]:
    ring = KeyRing({0: new_key(), 1: new_key()})
    storage, clock = MemoryStorage(), FixedClock(datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
    storage.use_chain(chain_for(ring, "test", 1))
    hasher = PasswordHasher(2, 100, time_cost=1, memory_kib=8)
    office = Office(storage, ring, clock, hasher, "test")
    settings = LocalDirectorySettings(name="staff", kind="local", verified_cache_s=300)
    directory: Directory = LocalDirectory(settings, storage, hasher, clock)

    async def add(name: str, password: bytes | None, state: AccountState = AccountState.ACTIVE, **fields: Any) -> None:
        given = None if password is None else Secret(password)
        await users.add_user(office, directory="staff", name=name, password=given, **fields)
        if state is not AccountState.ACTIVE:
            await set_state(name, state)

    async def set_state(name: str, state: AccountState) -> None:
        row = await row_by_name(storage, "staff", name)
        assert row is not None
        await storage.commit([Update(TABLE, {"id": row["id"]}, {"state": state.value}, add={"version": 1})])

    async def remove(name: str) -> None:
        await users.remove_user(office, directory="staff", name=name)

    try:
        yield Subject(directory, add, set_state, remove, lambda: hasher.runs)
    finally:
        hasher.close()
        await storage.close()


MAKERS = {"memory": memory, "local": local}
