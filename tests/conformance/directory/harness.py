"""What the conformance suite needs of a directory: one that is empty, a way to put users in, a way to count its work.

A back-end with real servers has a module of its own here, with its maker and its abilities, and one line in each of `MAKERS`,
`ABILITIES` and (where a program of another maker is needed) `NEIGHBOURS`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

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
class Abilities:
    """What of the suite holds for a back-end. The defaults are what Wardgate's own directories do; tests ask by these names.

    any_bytes: a password may be any bytes. blank: an account may have no password. counts: `Subject.work` counts checks.
    checks_unusable: the password of a disabled or locked account is checked all the same. disables, locks: `set_state` can.
    versions: each change of the account raises the version. remembers: it can remember verified passwords. names_beside_mails:
    a login name may look like a mail address. tells_language: `language` is told. must_change, changes, resets, unlocks: as the
    protocols say. empties: an empty new password is refused by a UsageError before anything is asked.

    The rest is off unless a back-end says so. expires: `Subject.expire` makes a password too old. tells_expiry: and when one
    will be is told. history: earlier passwords are refused. policy: the rules for a new password are told, and there is a least
    length. writes_phone, writes_mail: contacts are taken back.
    """

    any_bytes: bool = True
    blank: bool = True
    counts: bool = True
    checks_unusable: bool = True
    disables: bool = True
    locks: bool = True
    versions: bool = True
    remembers: bool = True
    names_beside_mails: bool = True
    tells_language: bool = True
    must_change: bool = True
    changes: bool = True
    resets: bool = True
    unlocks: bool = True
    empties: bool = True
    expires: bool = False
    tells_expiry: bool = False
    history: bool = False
    policy: bool = False
    writes_phone: bool = False
    writes_mail: bool = False


async def _cannot(name: str) -> None:
    raise RuntimeError("this back-end did not say that it can")


@dataclass(frozen=True)
class Subject:
    """A directory under test. `add(name, password, **fields)`, `set_state(name, state)`, `remove(name)`; `work()` rises by one with
    each password check's worth of work. `expire(name)`: his password is older than it may be."""

    directory: Any
    add: Add
    set_state: Callable[[str, AccountState], Awaitable[None]]
    remove: Callable[[str], Awaitable[None]]
    work: Callable[[], int]
    expire: Callable[[str], Awaitable[None]] = _cannot


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


Maker = Callable[[], AbstractAsyncContextManager[Subject]]

MAKERS: dict[str, Maker] = {"memory": memory, "local": local}
ABILITIES: dict[str, Abilities] = {"memory": Abilities(), "local": Abilities()}
NEIGHBOURS: dict[str, str] = {}


def backends(*needed: str) -> list[Any]:
    """The back-ends that have these abilities, as parameters of a test."""
    names = [name for name in MAKERS if all(getattr(ABILITIES[name], ability) for ability in needed)]
    return [pytest.param(name, marks=_marks(name)) for name in names]


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.neighbour(NEIGHBOURS[name])] if name in NEIGHBOURS else []
