"""What the conformance suite needs of a directory: one that is empty, a way to put users in, a way to count its work.

A back-end with real servers has a module of its own here, with its maker and its abilities, and one line in each of `MAKERS`,
`ABILITIES` and (where a program of another maker is needed) `NEIGHBOURS`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conformance.directory import active_directory, openldap, sql
from tests.conformance.directory.subject import Abilities as Abilities
from tests.conformance.directory.subject import Subject as Subject
from wardgate.admin import users
from wardgate.admin.office import Office
from wardgate.audit.trail import chain_for
from wardgate.clock import FixedClock
from wardgate.crypto import KeyRing, Secret, new_key
from wardgate.directory.local import TABLE, LocalDirectory, row_by_name
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import AccountState, ContactKind, Directory, PasswordPolicy, PasswordVerdict
from wardgate.directory.settings import LocalDirectorySettings, PasswordPolicySettings
from wardgate.passwords import PasswordHasher
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Update


@asynccontextmanager
async def memory() -> AsyncIterator[Subject]:
    policy = PasswordPolicy(min_length=8, history=3, blocklist=True)
    directory = MemoryDirectory("staff", remembering=True, policy=policy, writable=tuple(ContactKind))

    async def found(name: str) -> Any:
        return await directory.find(name, 5)

    async def add(name: str, password: bytes | None, **fields: Any) -> None:
        directory.add(name, password, **fields)

    async def set_state(name: str, state: AccountState) -> None:
        directory.change_state(await found(name), state)

    async def remove(name: str) -> None:
        directory.remove(await found(name))

    async def expire(name: str) -> None:
        directory.change_verdict(await found(name), PasswordVerdict.EXPIRED)

    yield Subject(directory, add, set_state, remove, lambda: directory.checks, expire)


@asynccontextmanager
async def local() -> AsyncIterator[Subject]:
    ring = KeyRing({0: new_key(), 1: new_key()})
    storage, clock = MemoryStorage(), FixedClock(datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
    storage.use_chain(chain_for(ring, "test", 1))
    hasher = PasswordHasher(2, 100, time_cost=1, memory_kib=8)
    office = Office(storage, ring, clock, hasher, "test")
    policy = PasswordPolicySettings(max_age_days=1_000)
    settings = LocalDirectorySettings(
        name="staff", kind="local", verified_cache_s=300, password_policy=policy, write_contacts=("phone", "mail")
    )
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

    async def expire(name: str) -> None:
        row = await row_by_name(storage, "staff", name)
        assert row is not None
        await storage.commit([Update(TABLE, {"id": row["id"]}, {"password_changed_at": 1}, add={"version": 1})])

    try:
        yield Subject(directory, add, set_state, remove, lambda: hasher.runs, expire)
    finally:
        hasher.close()
        await storage.close()


Maker = Callable[[], AbstractAsyncContextManager[Subject]]

MAKERS: dict[str, Maker] = {
    "memory": memory,
    "local": local,
    "openldap": openldap.openldap,
    "active_directory": active_directory.active_directory,
    **sql.MAKERS,
}
LOCAL = Abilities(expires=True, tells_expiry=True, history=True, policy=True, writes_phone=True, writes_mail=True)
ABILITIES: dict[str, Abilities] = {
    "memory": Abilities(expires=True, history=True, policy=True, writes_phone=True, writes_mail=True),
    "local": LOCAL,
    "openldap": openldap.ABILITIES,
    "active_directory": active_directory.ABILITIES,
    **dict.fromkeys(sql.MAKERS, sql.ABILITIES),
}
NEIGHBOURS: dict[str, str] = {"openldap": "slapd", "active_directory": "samba", "postgresql": "postgresql", "mariadb": "mariadb"}


def backends(*needed: str) -> list[Any]:
    """The back-ends that have these abilities, as parameters of a test."""
    names = [name for name in MAKERS if all(getattr(ABILITIES[name], ability) for ability in needed)]
    return [pytest.param(name, marks=_marks(name)) for name in names]


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.neighbour(NEIGHBOURS[name])] if name in NEIGHBOURS else []
