"""Wardgate's own directory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import Clock
from wardgate.contacts import normalise_phone
from wardgate.crypto import Secret
from wardgate.directory.deadline import within
from wardgate.directory.kind import DirectoryKind, DirectoryParts, setting_error
from wardgate.directory.local.examination import examine
from wardgate.directory.local.passwords import Earlier, NewPasswords
from wardgate.directory.local.rows import TABLE, StoredPassword, number, state_of, stored_password
from wardgate.directory.names import canonical_name, mail_as_name
from wardgate.directory.password_rules import MAX_OWN_WORDS, MAX_PASSWORD_BYTES, normalised
from wardgate.directory.port import (
    USERS_PER_PAGE,
    AccountState,
    ContactKind,
    DirectoryUser,
    Finding,
    PasswordPolicy,
    PasswordVerdict,
    RightMissing,
)
from wardgate.directory.settings import LocalDirectorySettings
from wardgate.directory.verified import VerifiedPasswords
from wardgate.errors import Conflict, DirectoryUnavailable, MessageError, StorageUnavailable, UsageError
from wardgate.passwords import Checked, PasswordHasher, recognise
from wardgate.storage.port import Committed, Lookup, Operation, Refused, Row, Storage, Update, Where

MAX_VERIFIED_CACHE_S = 3_600
MAX_HISTORY = 24
MAX_AGE_DAYS = 3_650
MAX_MIN_AGE_S = 30 * 86_400
# NIST SP 800-63B-4 section 3.1.1.2: no service may ask for fewer, nor refuse 64.
LEAST_LENGTH = 8
LEAST_MAX_LENGTH = 64
MAX_MAIL_CHARS = 254
MAX_WORD_CHARS = 64
_USERS_PER_TURN = 100
_BY_NAME = Lookup(TABLE, ("directory", "name_key"), limit=1)

T = TypeVar("T")


class LocalDirectory:
    """Satisfies every protocol of `port.py` but PasswordGrace and Closing: it is down only when everything is.

    `region`: whose national phone numbers are understood when a phone is written. `realm_words`: what else makes no password.
    """

    def __init__(
        self,
        settings: LocalDirectorySettings,
        storage: Storage,
        hasher: PasswordHasher,
        clock: Clock,
        region: str | None = None,
        realm_words: Iterable[str] = (),
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._storage = storage
        self._hasher = hasher
        self._clock = clock
        self._region = region
        self._verified = VerifiedPasswords(settings.verified_cache_s, clock)
        self._new = NewPasswords(settings, storage, hasher, realm_words)

    async def find(self, name: str, timeout_s: float) -> DirectoryUser | None:
        """The user with this login name, else the only one with this mail address. A name goes before a mail address."""
        key = canonical_name(name)
        if key is None:
            return None
        row = await self._in_time(self._row_by_key(key), timeout_s)
        return self._user(row)

    async def get(self, immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        """The user with this immutable id."""
        return self._user(await self._in_time(self._row(immutable_id), timeout_s))

    async def sharing_mail(self, address: str, timeout_s: float, limit: int) -> tuple[DirectoryUser, ...]:
        """Everybody with this mail address, by name."""
        key = mail_as_name(address)
        if key is None:
            return ()
        wanted = (Where("directory", "=", self.name), Where("mail_key", "=", key))
        rows = await self._in_time(self._storage.find(TABLE, wanted, order_by="name_key", limit=limit), timeout_s)
        return tuple(filter(None, map(self._user, rows)))

    @property
    def contacts_kept_here(self) -> bool:
        """Nobody but Wardgate writes these rows."""
        return True

    async def users(self, timeout_s: float) -> AsyncGenerator[Sequence[DirectoryUser], None]:
        """Everybody, by name: the unique index of directory and name finds each page at once."""
        here, after = Where("directory", "=", self.name), ""
        while True:
            later = (here, Where("name_key", ">", after))
            rows = await self._in_time(self._storage.find(TABLE, later, order_by="name_key", limit=USERS_PER_PAGE), timeout_s)
            if not rows:
                return
            now_ms, page = self._now_ms(), []
            for at, row in enumerate(rows):
                page.append(self._new.user(row, now_ms))
                if at % _USERS_PER_TURN == 0:
                    await asyncio.sleep(0)  # logins go on beside it
            yield page
            after = str(rows[-1]["name_key"])

    async def check_password(self, user: DirectoryUser, password: Secret, timeout_s: float, source: str = "") -> PasswordVerdict:
        """Check a password, once. A disabled, locked or expired account is checked all the same, so that it takes as long."""
        if not password:
            return PasswordVerdict.WRONG
        return await self._in_time(self._check(user.immutable_id, password, source), timeout_s)

    async def check_nobody(self, password: Secret, timeout_s: float, source: str = "") -> None:
        """Spend the same time as a password check, for a name that does not exist."""
        if password:
            await self._in_time(self._check_nothing(password, source), timeout_s)

    def remembers(self, user: DirectoryUser, password: Secret) -> bool:
        """True when this password was verified for this version of the account within `verified_cache_s`."""
        ends = user.password_expires_at
        good = user.state is AccountState.ACTIVE and not user.must_change and (ends is None or self._clock.now() < ends)
        return good and self._verified.holds(user, password)

    async def change_password(self, user: DirectoryUser, old: Secret, new: Secret, timeout_s: float) -> PasswordVerdict:
        """Change it. WRONG when `old` is not right, REFUSED when the account may not be used. Raises PasswordNotAccepted."""
        return await self._in_time(self._change(user.immutable_id, old, new), timeout_s)

    async def reset_password(self, user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        """Set it and lift a lock. Raises PasswordNotAccepted, Conflict when the account is gone."""
        await self._in_time(self._reset(user.immutable_id, new, must_change), timeout_s)

    async def unlock(self, user: DirectoryUser, timeout_s: float) -> bool:
        """True when the account was locked and now is not. A disabled account stays disabled."""
        return await self._in_time(self._unlock(user.immutable_id), timeout_s)

    async def password_policy(self, user: DirectoryUser, timeout_s: float) -> PasswordPolicy:
        """The rules of this directory: the same for everybody."""
        return self._new.policy

    async def check_rules(self, user: DirectoryUser | None, new: Secret) -> None:
        """Hold a password that an operator sets to length and blocklist. `user`: None before there is one.

        Raises PasswordNotAccepted.
        """
        await self._new.check_rules(user, new)

    def writes(self, kind: ContactKind) -> bool:
        """Whether `write_contacts` allows it."""
        return kind.value in self._settings.write_contacts

    async def write_contact(self, user: DirectoryUser, kind: ContactKind, value: str | None, timeout_s: float) -> None:
        """Replace it, or remove it with None. Raises RightMissing, UsageError for a malformed value, Conflict when he is gone."""
        if not self.writes(kind):
            raise RightMissing(f"directory {self.name}: write_contacts does not name {kind.value}")
        await self._in_time(self._write_contact(user.immutable_id, _contact_columns(kind, value, self._region)), timeout_s)

    def examine(self, scratch: str | None, scratch_password: Secret | None) -> AsyncIterator[Finding]:
        """Tell what is in it. There is no right that could be missing, so no account is needed to try anything on."""
        return examine(self._storage, self.name, self._new, self._clock)

    async def _row_by_key(self, key: str) -> Row | None:
        here = Where("directory", "=", self.name)
        [rows] = await self._storage.read([_BY_NAME(self.name, key)])
        if not rows and "@" in key:
            rows = await self._storage.find(TABLE, [here, Where("mail_key", "=", key)], limit=2)
        return rows[0] if len(rows) == 1 else None

    async def _row(self, immutable_id: str) -> Row | None:
        row = await self._storage.get(TABLE, {"id": immutable_id})
        return row if row and row["directory"] == self.name else None

    def _user(self, row: Row | None) -> DirectoryUser | None:
        if row is None:
            return None
        # The clock says nothing about an account that does not end.
        return self._new.user(row, 0 if row["expires_at"] is None else self._now_ms())

    def _now_ms(self) -> int:
        return self._clock.now_ms()

    async def _check(self, immutable_id: str, password: Secret, source: str) -> PasswordVerdict:
        row = await self._row(immutable_id)
        stored = stored_password(row) if row else None
        if row is None or stored is None:
            await self._check_nothing(password, source)
            return PasswordVerdict.WRONG
        now_ms = self._now_ms()
        active = state_of(row, now_ms) is AccountState.ACTIVE
        # A disabled account is not upgraded: making a hash would take longer than the refusal of a wrong password.
        upgrade = active and not (stored.keep or self._settings.keep_hashes)
        checked = await self._checked(stored, password, upgrade, source)
        to_change = PasswordVerdict.MUST_CHANGE if row["must_change"] else None
        if to_change is None and self._new.expired(row, now_ms):
            to_change = PasswordVerdict.EXPIRED
        if not checked.right or to_change is not None or not active:
            # All of these are refused alike, so they take alike.
            await self._hasher.even_out(checked)
        if not checked.right:
            return PasswordVerdict.WRONG
        if checked.upgraded is not None:
            await self._upgrade(row, stored, checked.upgraded)
        if to_change is not None:
            return to_change
        self._verified.remember(immutable_id, number(row["version"]), password)
        return PasswordVerdict.RIGHT

    async def _checked(self, stored: StoredPassword, password: Secret, upgrade: bool, source: str = "") -> Checked:
        """Check each form of the password, all of them whatever comes out, so that the time tells nothing."""
        found = [await self._hasher.check(stored.hash, form, upgrade, source) for form in _forms(password)]
        took_s = sum(each.took_s for each in found)
        right = next((each for each in found if each.right), found[0])
        return Checked(right.right, right.upgraded, took_s)

    async def _check_nothing(self, password: Secret, source: str = "") -> None:
        for form in _forms(password):
            await self._hasher.verify_nothing(form, source)

    async def _upgrade(self, row: Row, stored: StoredPassword, upgraded: str) -> None:
        """Put the better hash in place. When the account was changed meanwhile, or another login was first, it is left alone."""
        unchanged = (Where("version", "=", row["version"]), Where("password_hash", "=", stored.column))
        await self._storage.commit(
            [
                Update(TABLE, {"id": row["id"]}, {"password_hash": upgraded}, where=unchanged),
                self._event(Kind.PASSWORD_UPGRADED, row, self._actor, scheme=recognise(stored.hash) or "unknown"),
            ]
        )

    async def _change(self, immutable_id: str, old: Secret, new: Secret) -> PasswordVerdict:
        row = await self._row(immutable_id)
        stored = stored_password(row) if row else None
        now_ms = self._now_ms()
        if row is None or stored is None or state_of(row, now_ms) is not AccountState.ACTIVE:
            await self._check_nothing(old)
            return PasswordVerdict.REFUSED
        # The better hash is for the history: of a weak one nothing would be kept.
        checked = await self._checked(stored, old, upgrade=True) if old else Checked(False)
        if not checked.right:
            return PasswordVerdict.WRONG
        await self._new.check_change(row, old, new, now_ms)
        await self._new.check_rules(self._new.user(row, now_ms), new)
        earlier = Earlier(await self._new.check_history(row, new), checked.upgraded)
        await self._store(row, new, False, f"user:{row['name']!s}", earlier)
        return PasswordVerdict.RIGHT

    async def _reset(self, immutable_id: str, new: Secret, must_change: bool) -> None:
        row = await self._row(immutable_id)
        if row is None:
            raise Conflict("the account was removed meanwhile")
        await self._new.check_rules(self._new.user(row, self._now_ms()), new)
        await self._store(row, new, must_change, self._actor, Earlier(await self._new.check_history(row, new)))

    async def _store(self, row: Row, new: Secret, must_change: bool, actor: str, earlier: Earlier) -> None:
        hashed, now_ms = await self._hasher.hash(normalised(new)), self._now_ms()
        event = self._event(Kind.PASSWORD_SET, row, actor, must_change=must_change)
        unlocked = [self._unlocked(row)] if row["state"] == AccountState.LOCKED else []
        await self._commit([*self._new.operations(row, hashed, must_change, now_ms, earlier), event, *unlocked])

    def _unlocked(self, row: Row) -> Operation:
        return self._event(Kind.USER_CHANGED, row, self._actor, fields=["state"], state=AccountState.ACTIVE.value)

    async def _write_contact(self, immutable_id: str, columns: Row) -> None:
        row = await self._row(immutable_id)
        if row is None:
            raise Conflict("the account was removed meanwhile")
        as_read = (Where("version", "=", row["version"]),)
        change = Update(TABLE, {"id": immutable_id}, columns, where=as_read, add={"version": 1})
        await self._commit([change, self._event(Kind.USER_CHANGED, row, self._actor, fields=sorted(columns.keys() - {"mail_key"}))])

    async def _unlock(self, immutable_id: str) -> bool:
        row = await self._row(immutable_id)
        if row is None or row["state"] != AccountState.LOCKED:
            return False
        locked = (Where("state", "=", AccountState.LOCKED),)
        result = await self._storage.commit(
            [
                Update(TABLE, {"id": immutable_id}, {"state": AccountState.ACTIVE}, where=locked, add={"version": 1}),
                self._unlocked(row),
            ]
        )
        return isinstance(result, Committed)

    async def _commit(self, unit: list[Operation]) -> None:
        if isinstance(await self._storage.commit(unit), Refused):
            raise Conflict("the account was changed meanwhile")

    @property
    def _actor(self) -> str:
        return f"directory:{self.name}"

    def _event(self, kind: Kind, row: Row, actor: str, **details: object) -> Operation:
        about = {"directory": self.name, "user": row["name"], "user_id": row["id"]}
        return record(AuditEvent(kind, self._now_ms(), actor, details={**about, **details}))

    async def _in_time(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        try:
            return await within(work, timeout_s)
        except TimeoutError as error:
            raise DirectoryUnavailable(f"directory {self.name} did not answer within {timeout_s:g} s") from error
        except StorageUnavailable as error:
            raise DirectoryUnavailable(f"directory {self.name}: {error.message}") from error


def _forms(password: Secret) -> Sequence[Secret]:
    """What is checked: the password in NFC, as we hash it; and as it was typed, for hashes that others made of that."""
    form = normalised(password)
    return (form,) if form == password else (form, password)


def _contact_columns(kind: ContactKind, value: str | None, region: str | None) -> Row:
    if kind is ContactKind.PHONE:
        try:
            return {"phone": normalise_phone(value, region) if value else None}
        except MessageError as error:
            raise UsageError(f"phone: {error.message}") from error
    key = canonical_name(value) if value else None
    if value and (key is None or "@" not in key.strip("@") or len(value) > MAX_MAIL_CHARS):
        raise UsageError("mail: not a mail address")
    return {"mail": value.strip() if value else None, "mail_key": key}


def _build(settings: LocalDirectorySettings, parts: DirectoryParts) -> LocalDirectory:
    return LocalDirectory(settings, parts.storage, parts.hasher, parts.clock, parts.region, parts.realm_words)


def _check(settings: LocalDirectorySettings) -> None:
    def between(setting: str, value: int, least: int, most: int) -> None:
        if not least <= value <= most:
            raise setting_error(settings.name, setting, f"must be between {least} and {most}")

    policy = settings.password_policy
    between("verified_cache_s", settings.verified_cache_s, 0, MAX_VERIFIED_CACHE_S)
    between("password_policy.min_length", policy.min_length, LEAST_LENGTH, LEAST_MAX_LENGTH)
    if policy.max_length:
        between("password_policy.max_length", policy.max_length, LEAST_MAX_LENGTH, MAX_PASSWORD_BYTES)
    between("password_policy.history", policy.history, 0, MAX_HISTORY)
    between("password_policy.max_age_days", policy.max_age_days, 0, MAX_AGE_DAYS)
    between("password_policy.min_age_s", policy.min_age_s, 0, MAX_MIN_AGE_S)
    if len(policy.own_words) > MAX_OWN_WORDS or any(not 1 <= len(word) <= MAX_WORD_CHARS for word in policy.own_words):
        raise setting_error(
            settings.name, "password_policy.own_words", f"must be at most {MAX_OWN_WORDS} words of 1 to {MAX_WORD_CHARS} characters"
        )


KIND = DirectoryKind(LocalDirectorySettings, _check, _build)
