"""What is special about the local directory: upgrades of hashes, the memory of verified passwords, faults of the storage."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wardgate.admin import users
from wardgate.admin.office import Office
from wardgate.audit.trail import chain_for, verify
from wardgate.clock import FixedClock
from wardgate.crypto import KeyRing, Secret, new_key
from wardgate.directory.local import TABLE, LocalDirectory, StoredPassword, row_by_name, stored_password
from wardgate.directory.port import AccountState, DirectoryUser, PasswordVerdict
from wardgate.directory.settings import LocalDirectorySettings
from wardgate.directory.verified import VerifiedPasswords
from wardgate.errors import DirectoryUnavailable, StorageUnavailable
from wardgate.passwords import PasswordHasher, recognise
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Commit, Operation, Row, Update

SSHA_OF_SECRET = "{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3"
SECRET = Secret("secret")
SOON = 5.0


class TroubledStorage(MemoryStorage):
    """Can be made silent or unavailable, and can do something just before a commit."""

    silent = False
    unavailable = False
    before_commit: Sequence[Operation] = ()

    async def get(self, table: str, key: Row) -> Row | None:
        if self.silent:
            await asyncio.Event().wait()
        if self.unavailable:
            raise StorageUnavailable("the disk is gone")
        return await super().get(table, key)

    async def commit(self, operations: Sequence[Operation]) -> Commit:
        first, self.before_commit = self.before_commit, ()
        if first:
            await super().commit(first)
        return await super().commit(operations)


@dataclass(frozen=True)
class Place:
    storage: TroubledStorage
    ring: KeyRing
    clock: FixedClock
    hasher: PasswordHasher

    def directory(self, name: str = "staff", **settings: Any) -> LocalDirectory:
        return LocalDirectory(LocalDirectorySettings(name=name, kind="local", **settings), self.storage, self.hasher, self.clock)

    async def add(self, name: str = "ada", password: str | None = None, hashed: str | None = None, **fields: Any) -> None:
        office = Office(self.storage, self.ring, self.clock, self.hasher, "test")
        given = None if password is None else Secret(password)
        await users.add_user(office, directory="staff", name=name, password=given, **fields)
        if hashed is not None:
            await self.change(name, password_hash=hashed)

    async def change(self, name: str, **columns: Any) -> None:
        await self.storage.commit([Update(TABLE, {"id": (await self.row(name))["id"]}, columns, add={"version": 1})])

    async def row(self, name: str = "ada") -> Row:
        row = await row_by_name(self.storage, "staff", name)
        assert row is not None
        return row

    async def events(self, kind: str) -> list[Row]:
        return [row for row in await self.storage.find("audit_event", order_by="seq") if row["kind"] == kind]


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    ring = KeyRing({0: new_key(), 1: new_key()})
    storage = TroubledStorage()
    storage.use_chain(chain_for(ring, "test", 1))
    hasher = PasswordHasher(1, 100, time_cost=1, memory_kib=8)
    yield Place(storage, ring, FixedClock(datetime(2026, 1, 5, 8, 0, tzinfo=UTC)), hasher)
    hasher.close()
    await storage.close()


async def user(directory: LocalDirectory, name: str = "ada") -> DirectoryUser:
    found = await directory.find(name, SOON)
    assert found is not None
    return found


# --- hashes from elsewhere ---------------------------------------------------------------------------------------------


async def test_a_foreign_hash_becomes_argon2id_at_the_first_right_password(place: Place) -> None:
    await place.add(hashed=SSHA_OF_SECRET)
    directory = place.directory()
    before = await user(directory)

    assert await directory.check_password(before, SECRET, SOON) is PasswordVerdict.RIGHT
    row = await place.row()
    assert recognise(str(row["password_hash"])) == "argon2id"
    assert await directory.check_password(before, SECRET, SOON) is PasswordVerdict.RIGHT
    events = await place.events("directory:password:upgraded")
    assert [json.loads(str(event["payload"]))["scheme"] for event in events] == ["ssha"]
    assert not (await verify(place.storage, place.ring)).findings


async def test_an_upgrade_is_no_change_of_the_account(place: Place) -> None:
    await place.add(hashed=SSHA_OF_SECRET)
    directory = place.directory(verified_cache_s=300)
    before = await user(directory)
    await directory.check_password(before, SECRET, SOON)

    assert await user(directory) == before
    assert directory.remembers(before, SECRET)


async def test_a_wrong_password_upgrades_nothing(place: Place) -> None:
    await place.add(hashed=SSHA_OF_SECRET)
    directory = place.directory()

    assert await directory.check_password(await user(directory), Secret("Secret"), SOON) is PasswordVerdict.WRONG
    assert (await place.row())["password_hash"] == SSHA_OF_SECRET
    assert not await place.events("directory:password:upgraded")


async def test_the_upgrade_of_an_old_password_never_overwrites_a_new_one(place: Place) -> None:
    await place.add(hashed=SSHA_OF_SECRET)
    directory = place.directory()
    ada = await user(directory)
    new = await place.hasher.hash(Secret("new password"))
    # The operator resets the password after ours was verified and before the better hash is stored.
    place.storage.before_commit = [Update(TABLE, {"id": ada.immutable_id}, {"password_hash": new}, add={"version": 1})]

    await directory.check_password(ada, SECRET, SOON)

    assert (await place.row())["password_hash"] == new
    assert not await place.events("directory:password:upgraded")


async def test_of_many_logins_at_once_one_upgrades(place: Place) -> None:
    await place.add(hashed=SSHA_OF_SECRET)
    directory = place.directory()
    ada = await user(directory)

    verdicts = await asyncio.gather(*(directory.check_password(ada, SECRET, SOON) for _ in range(8)))

    assert set(verdicts) == {PasswordVerdict.RIGHT}
    assert len(await place.events("directory:password:upgraded")) == 1


async def test_a_hash_that_is_to_be_kept_is_kept(place: Place) -> None:
    await place.add(hashed=StoredPassword(SSHA_OF_SECRET, keep=True).column)
    directory = place.directory()

    assert await directory.check_password(await user(directory), SECRET, SOON) is PasswordVerdict.RIGHT
    assert stored_password(await place.row()) == StoredPassword(SSHA_OF_SECRET, keep=True)


async def test_a_directory_can_keep_all_hashes(place: Place) -> None:
    await place.add(hashed=SSHA_OF_SECRET)
    directory = place.directory(keep_hashes=True)

    assert await directory.check_password(await user(directory), SECRET, SOON) is PasswordVerdict.RIGHT
    assert (await place.row())["password_hash"] == SSHA_OF_SECRET


async def test_a_disabled_account_does_not_tell_a_right_password_by_the_time_of_an_upgrade(place: Place) -> None:
    await place.add(hashed=SSHA_OF_SECRET)
    await place.change("ada", state="disabled")
    directory = place.directory()
    ada, start = await user(directory), place.hasher.runs
    await directory.check_password(ada, Secret("wrong"), SOON)
    wrong = place.hasher.runs - start
    await directory.check_password(ada, SECRET, SOON)

    assert place.hasher.runs - start - wrong == wrong
    assert (await place.row())["password_hash"] == SSHA_OF_SECRET


async def test_a_hash_of_unknown_form_verifies_nothing(place: Place) -> None:
    await place.add(hashed="{CLEARTEXT}secret")
    directory = place.directory()

    for guess in ("secret", "{CLEARTEXT}secret"):
        assert await directory.check_password(await user(directory), Secret(guess), SOON) is PasswordVerdict.WRONG


# --- the account -------------------------------------------------------------------------------------------------------


async def test_an_account_expires_by_itself(place: Place) -> None:
    await place.add(password="secret", expires_at=place.clock.now() + timedelta(hours=1))
    directory = place.directory()
    assert (await user(directory)).state is AccountState.ACTIVE

    place.clock.advance(3600)

    expired = await user(directory)
    assert expired.state is AccountState.EXPIRED
    assert await directory.check_password(expired, SECRET, SOON) is PasswordVerdict.RIGHT
    assert await directory.change_password(expired, SECRET, Secret("new"), SOON) is PasswordVerdict.REFUSED


async def test_two_local_directories_do_not_know_each_others_users(place: Place) -> None:
    await place.add(password="secret", mail="ada@example.test")
    staff, guests = place.directory("staff"), place.directory("guests")
    ada = await user(staff)

    assert await guests.find("ada", SOON) is None
    assert await guests.find("ada@example.test", SOON) is None
    assert await guests.get(ada.immutable_id, SOON) is None
    assert await guests.check_password(replace(ada, directory="guests"), SECRET, SOON) is PasswordVerdict.WRONG


async def test_every_new_password_leaves_an_event_without_it(place: Place) -> None:
    await place.add(password="secret")
    directory = place.directory()
    await directory.change_password(await user(directory), SECRET, Secret("second password"), SOON)
    await directory.reset_password(await user(directory), Secret("third password, long"), True, SOON)

    events = [str(event["payload"]) for event in await place.events("directory:password:set")]
    assert [json.loads(event)["actor"] for event in events] == ["user:ada", "directory:staff"]
    assert not any(word in event for event in events for word in ("second", "third", "argon2"))


# --- remembering -------------------------------------------------------------------------------------------------------


async def test_nothing_is_remembered_unless_it_is_asked_for(place: Place) -> None:
    await place.add(password="secret")
    directory = place.directory()
    await directory.check_password(await user(directory), SECRET, SOON)

    assert not directory.remembers(await user(directory), SECRET)


async def test_a_verified_password_is_forgotten_after_its_time_and_is_not_prolonged_by_use(place: Place) -> None:
    await place.add(password="secret")
    directory = place.directory(verified_cache_s=60)
    ada = await user(directory)
    await directory.check_password(ada, SECRET, SOON)

    place.clock.advance(59)
    assert directory.remembers(ada, SECRET)
    place.clock.advance(1)
    assert not directory.remembers(ada, SECRET)


async def test_the_memory_of_an_expired_account_does_not_help(place: Place) -> None:
    await place.add(password="secret", expires_at=place.clock.now() + timedelta(seconds=10))
    directory = place.directory(verified_cache_s=60)
    await directory.check_password(await user(directory), SECRET, SOON)
    place.clock.advance(10)

    assert not directory.remembers(await user(directory), SECRET)


def test_what_is_remembered_is_bounded_and_holds_no_password() -> None:
    clock = FixedClock(datetime(2026, 1, 5, tzinfo=UTC))
    verified = VerifiedPasswords(300, clock, limit=3)
    for number in range(10):
        verified.remember(f"id{number}", 1, Secret(f"password{number}"))
    users_by_number = [DirectoryUser("staff", f"id{number}", "x", AccountState.ACTIVE, version=1) for number in range(10)]

    assert len(verified) == 3
    held = [verified.holds(each, Secret(f"password{number}")) for number, each in enumerate(users_by_number)]
    assert held == [False] * 7 + [True] * 3
    assert "password" not in repr(vars(verified))

    clock.advance(300)
    verified.remember("id0", 1, Secret("x"))
    assert len(verified) == 1


def test_the_parts_of_a_fingerprint_do_not_run_into_each_other() -> None:
    verified = VerifiedPasswords(300, FixedClock(datetime(2026, 1, 5, tzinfo=UTC)))
    verified.remember("id1", 11, Secret("1x"))

    for immutable_id, version, password in (("id11", 1, "1x"), ("id1", 1, "11x"), ("id1", 111, "x")):
        assert not verified.holds(DirectoryUser("s", immutable_id, "x", AccountState.ACTIVE, version=version), Secret(password))


# --- faults ------------------------------------------------------------------------------------------------------------


async def test_a_silent_storage_ends_in_unavailable_within_the_deadline(place: Place) -> None:
    await place.add(password="secret")
    directory = place.directory()
    ada = await user(directory)
    place.storage.silent = True

    with pytest.raises(DirectoryUnavailable, match=r"staff did not answer within 0\.01 s"):
        await directory.check_password(ada, SECRET, 0.01)
    with pytest.raises(DirectoryUnavailable):
        await directory.get(ada.immutable_id, 0.01)


async def test_a_storage_that_is_gone_is_never_a_wrong_password(place: Place) -> None:
    await place.add(password="secret")
    directory = place.directory()
    ada = await user(directory)
    place.storage.unavailable = True

    with pytest.raises(DirectoryUnavailable, match="the disk is gone"):
        await directory.check_password(ada, SECRET, SOON)
