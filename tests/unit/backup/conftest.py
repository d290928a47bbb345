"""A small installation on disk with everything in it that a restore has to care about."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from wardgate.admin import authenticators, links, nas, users
from wardgate.admin.office import Office
from wardgate.audit.trail import Verification, verify
from wardgate.backup.archive import new_identity, read_identities
from wardgate.backup.making import Made, make_file
from wardgate.backup.restoring import Request, Restored, restore
from wardgate.clock import FixedClock, to_ms
from wardgate.config.document import Document
from wardgate.config.store import edit
from wardgate.crypto import Secret
from wardgate.engine.settings import ApplicationSettings
from wardgate.installation import Installation, Opened
from wardgate.passwords import PasswordHasher
from wardgate.storage.port import Insert, Operation, Row

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
STAFF = "local"


def silent(done: int, word: str) -> None:
    """No progress."""


@asynccontextmanager
async def at_work(data: Path, clock: FixedClock) -> AsyncIterator[tuple[Office, Opened]]:
    """An installation opened by its operator."""
    opened = await Installation.open(data).connect()
    hasher = PasswordHasher(1, 10, time_cost=1, memory_kib=8)
    try:
        yield Office(opened.storage, opened.rings(), clock, hasher, "operator:olga"), opened
    finally:
        hasher.close()
        await opened.storage.close()


@dataclass(slots=True)
class Plant:
    """The installation, the operator's key, and the ids of Ada's authenticators by kind."""

    data: Path
    clock: FixedClock
    key_file: Path
    recipient: str
    ids: dict[str, str]

    async def back_up(self, name: str = "backup.age") -> tuple[Path, Made]:
        """Make a backup beside the data."""
        target = self.data.parent / name
        return await make_file(Installation.open(self.data), target, [self.recipient], self.clock, silent)

    async def restore(self, file: Path, to: str = "restored", **options: Any) -> Restored:
        """Restore a backup into a directory of this name."""
        request = Request(file, read_identities(self.key_file), self.data.parent / to, **options)
        return await restore(request, self.clock, silent)

    async def rows(self, table: str, data: str = "restored") -> list[Row]:
        """All rows of a table."""
        async with at_work(self.data.parent / data, self.clock) as (office, _):
            return await office.storage.find(table)

    async def authenticator(self, kind: str, data: str = "restored") -> Row:
        """Ada's authenticator of a kind."""
        return next(row for row in await self.rows("authenticator", data) if row["id"] == self.ids[kind])

    async def verified(self, data: str = "restored") -> Verification:
        """Its audit chains, recomputed."""
        async with at_work(self.data.parent / data, self.clock) as (office, _):
            return await verify(office.storage, office.ring)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
async def plant(tmp_path: Path, clock: FixedClock) -> Plant:
    identity, recipient = new_identity()
    key_file = tmp_path / "operator.key"
    key_file.write_text(f"# recipient: {recipient}\n{identity}\n")
    data = tmp_path / "data"
    await Installation.create(data, False, clock)
    async with at_work(data, clock) as (office, _):
        ids = await _people(office)
        await edit(office.storage, office.ring, _with_application, "olga", "an application", clock)
        await nas.add_nas(office, name="hq", addresses=["192.0.2.1"], application="vpn", secret=Secret("a-long-shared-secret"))
        await links.make_link(office.storage, office.ring, clock)
        await office.storage.commit(_live_rows(office))
    return Plant(data, clock, key_file, recipient, ids)


def _with_application(document: Document) -> Document:
    return replace(document, applications=(ApplicationSettings(name="vpn"),))


async def _people(office: Office) -> dict[str, str]:
    ids = {}
    for name in ("ada", "erin", "otto"):
        await users.add_user(office, directory=STAFF, name=name, password=Secret("right horse"))
    ids["totp"] = (await authenticators.add_totp(office, directory=STAFF, name="ada"))["id"]
    ids["slow"] = (await authenticators.add_totp(office, directory=STAFF, name="ada", period_s=60))["id"]
    ids["hotp"] = (await authenticators.add_hotp(office, directory=STAFF, name="ada"))["id"]
    ids["recovery"] = (await authenticators.add_recovery_codes(office, directory=STAFF, name="ada"))["id"]
    ids["gone"] = (await authenticators.add_hotp(office, directory=STAFF, name="ada"))["id"]
    await authenticators.revoke_authenticator(office, directory=STAFF, name="ada", authenticator_id=ids["gone"])
    return ids


def _live_rows(office: Office) -> list[Operation]:
    """An open login with its handle, and messages: one that waits and one that was sent."""
    at_ms = to_ms(office.clock.now())
    transaction: Row = {
        "id": "t1",
        "reference": "ABCDEFGH",
        "state": "challenged",
        "goal": "login",
        "application": "vpn",
        "subject_id": None,
        "fold_key": None,
        "sequence": 1,
        "body": "{}",
        "created_at": at_ms,
        "expires_at": at_ms + 60_000,
    }
    handle: Row = {
        "handle_mac": secrets.token_bytes(32),
        "transaction_id": "t1",
        "sequence": 1,
        "binding": "hq",
        "expires_at": at_ms + 60_000,
        "consumed_at": None,
        "fingerprint": None,
        "outcome": None,
    }
    messages = [_message(state, at_ms) for state in ("queued", "sent")]
    return [Insert("login_transaction", transaction), Insert("handle", handle), *messages]


def _message(state: str, at_ms: int) -> Insert:
    row: Row = {
        "id": f"m-{state}",
        "transaction_id": "t1",
        "reference": "ABCDEFGH",
        "subject_id": "s1",
        "user_name": "ada",
        "application": "vpn",
        "channel": "sms",
        "sealed": None,
        "state": state,
        "created_at": at_ms,
        "expires_at": at_ms + 60_000,
        "next_try_at": at_ms,
        "tries": 0,
        "claimed_by": None,
        "gateway": None,
        "answer": None,
        "sent_at": None,
    }
    return Insert("outbox", row)
