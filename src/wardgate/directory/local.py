"""Users in Wardgate's own database: table `local_user`.

A row's `version` rises with every change of the account. It does not rise when a hash from elsewhere is replaced by Argon2id,
because the account stays what it was; that replacement holds only for the very version and hash that were read.
"""

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import Clock, to_ms
from wardgate.crypto import Secret
from wardgate.directory.deadline import within
from wardgate.directory.kind import DirectoryKind, DirectoryParts, setting_error
from wardgate.directory.names import canonical_name
from wardgate.directory.port import AccountState, DirectoryUser, PasswordVerdict
from wardgate.directory.settings import LocalDirectorySettings
from wardgate.directory.verified import VerifiedPasswords
from wardgate.errors import Conflict, DirectoryUnavailable, StorageUnavailable
from wardgate.jsons import loads
from wardgate.passwords import PasswordHasher, recognise
from wardgate.storage.port import Committed, Operation, Refused, Row, Storage, Update, Value, Where

TABLE = "local_user"
MAX_VERIFIED_CACHE_S = 3_600
# Stands before a stored hash that must stay as it was imported. It belongs to the hash, so a new password removes it.
_KEPT = "keep:"

NOTHING: Row = {}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredPassword:
    """What the column `password_hash` holds. `keep`: never replace the hash by a better one."""

    hash: str
    keep: bool = False

    @property
    def column(self) -> str:
        """The value of the column."""
        return _KEPT + self.hash if self.keep else self.hash


def stored_password(row: Row) -> StoredPassword | None:
    """The password of a user's row, or None when none was ever set."""
    value = row["password_hash"]
    if not isinstance(value, str) or not value:
        return None
    return StoredPassword(value.removeprefix(_KEPT), keep=value.startswith(_KEPT))


def user_from_row(row: Row, now_ms: int) -> DirectoryUser:
    """The typed value of a stored row, with its state as it is at `now_ms`."""
    return DirectoryUser(
        directory=str(row["directory"]),
        immutable_id=str(row["id"]),
        name=str(row["name"]),
        state=_state(row, now_ms),
        display_name=str(row["display_name"]),
        mail=_text_or_none(row["mail"]),
        phone=_text_or_none(row["phone"]),
        language=_text_or_none(row["language"]),
        groups=_groups(str(row["groups"])),
        attributes=_attributes(str(row["attributes"])),
        must_change=bool(row["must_change"]),
        version=_number(row["version"]),
    )


async def row_by_name(storage: Storage, directory: str, name: str) -> Row | None:
    """The row of the user with this login name; a mail address does not count as one here."""
    key = canonical_name(name)
    if key is None:
        return None
    rows = await storage.find(TABLE, [Where("directory", "=", directory), Where("name_key", "=", key)], limit=1)
    return rows[0] if rows else None


class LocalDirectory:
    """Satisfies Directory, PasswordRemembering, PasswordChanging, PasswordResetting and Unlocking of `port.py`."""

    def __init__(self, settings: LocalDirectorySettings, storage: Storage, hasher: PasswordHasher, clock: Clock) -> None:
        self._settings = settings
        self._storage = storage
        self._hasher = hasher
        self._clock = clock
        self._verified = VerifiedPasswords(settings.verified_cache_s, clock)

    @property
    def name(self) -> str:
        """The configured name."""
        return self._settings.name

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

    async def check_password(self, user: DirectoryUser, password: Secret, timeout_s: float, source: str = "") -> PasswordVerdict:
        """Check a password, once. A disabled, locked or expired account is checked all the same, so that it takes as long."""
        if not password:
            return PasswordVerdict.WRONG
        return await self._in_time(self._check(user.immutable_id, password, source), timeout_s)

    async def check_nobody(self, password: Secret, timeout_s: float, source: str = "") -> None:
        """Spend the same time as a password check, for a name that does not exist."""
        if password:
            await self._in_time(self._hasher.verify_nothing(password, source), timeout_s)

    def remembers(self, user: DirectoryUser, password: Secret) -> bool:
        """True when this password was verified for this version of the account within `verified_cache_s`."""
        return user.state is AccountState.ACTIVE and not user.must_change and self._verified.holds(user, password)

    async def change_password(self, user: DirectoryUser, old: Secret, new: Secret, timeout_s: float) -> PasswordVerdict:
        """Change it. WRONG when `old` is not right, REFUSED when the account may not be used. Raises UsageError for a bad `new`."""
        return await self._in_time(self._change(user.immutable_id, old, new), timeout_s)

    async def reset_password(self, user: DirectoryUser, new: Secret, must_change: bool, timeout_s: float) -> None:
        """Set it. Raises UsageError for an empty or overlong password, Conflict when the account is gone."""
        await self._in_time(self._reset(user.immutable_id, new, must_change), timeout_s)

    async def unlock(self, user: DirectoryUser, timeout_s: float) -> bool:
        """True when the account was locked and now is not. A disabled account stays disabled."""
        return await self._in_time(self._unlock(user.immutable_id), timeout_s)

    async def _row_by_key(self, key: str) -> Row | None:
        here = Where("directory", "=", self.name)
        rows = await self._storage.find(TABLE, [here, Where("name_key", "=", key)], limit=1)
        if not rows and "@" in key:
            rows = await self._storage.find(TABLE, [here, Where("mail_key", "=", key)], limit=2)
        return rows[0] if len(rows) == 1 else None

    async def _row(self, immutable_id: str) -> Row | None:
        row = await self._storage.get(TABLE, {"id": immutable_id})
        return row if row and row["directory"] == self.name else None

    def _user(self, row: Row | None) -> DirectoryUser | None:
        return user_from_row(row, to_ms(self._clock.now())) if row else None

    async def _check(self, immutable_id: str, password: Secret, source: str) -> PasswordVerdict:
        row = await self._row(immutable_id)
        stored = stored_password(row) if row else None
        if row is None or stored is None:
            await self._hasher.verify_nothing(password, source)
            return PasswordVerdict.WRONG
        active = _state(row, to_ms(self._clock.now())) is AccountState.ACTIVE
        # A disabled account is not upgraded: making a hash would take longer than the refusal of a wrong password.
        upgrade = active and not (stored.keep or self._settings.keep_hashes)
        checked = await self._hasher.check(stored.hash, password, upgrade, source)
        if not checked.right or row["must_change"] or not active:
            # All of these are refused alike, so they take alike.
            await self._hasher.even_out(checked)
        if not checked.right:
            return PasswordVerdict.WRONG
        if checked.upgraded is not None:
            await self._upgrade(row, stored, checked.upgraded)
        if row["must_change"]:
            return PasswordVerdict.MUST_CHANGE
        self._verified.remember(immutable_id, _number(row["version"]), password)
        return PasswordVerdict.RIGHT

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
        if row is None or stored is None or _state(row, to_ms(self._clock.now())) is not AccountState.ACTIVE:
            await self._hasher.verify_nothing(old)
            return PasswordVerdict.REFUSED
        if not old or not await self._hasher.verify(stored.hash, old):
            return PasswordVerdict.WRONG
        await self._store(row, await self._hasher.hash(new), must_change=False, actor=f"user:{row['name']!s}")
        return PasswordVerdict.RIGHT

    async def _reset(self, immutable_id: str, new: Secret, must_change: bool) -> None:
        hashed = await self._hasher.hash(new)
        row = await self._row(immutable_id)
        if row is None:
            raise Conflict("the account was removed meanwhile")
        unlocked: Row = {"state": AccountState.ACTIVE} if row["state"] == AccountState.LOCKED else {}
        await self._store(row, hashed, must_change, actor=self._actor, also=unlocked)

    async def _store(self, row: Row, hashed: str, must_change: bool, actor: str, also: Row = NOTHING) -> None:
        """A new password, on condition that the account is still as it was read."""
        changes: Row = {
            "password_hash": hashed,
            "password_changed_at": to_ms(self._clock.now()),
            "must_change": int(must_change),
            **also,
        }
        await self._commit(
            [
                Update(TABLE, {"id": row["id"]}, changes, where=(Where("version", "=", row["version"]),), add={"version": 1}),
                self._event(Kind.PASSWORD_SET, row, actor, must_change=must_change),
            ]
        )

    async def _unlock(self, immutable_id: str) -> bool:
        row = await self._row(immutable_id)
        if row is None or row["state"] != AccountState.LOCKED:
            return False
        locked = (Where("state", "=", AccountState.LOCKED),)
        result = await self._storage.commit(
            [
                Update(TABLE, {"id": immutable_id}, {"state": AccountState.ACTIVE}, where=locked, add={"version": 1}),
                self._event(Kind.USER_CHANGED, row, self._actor, fields=["state"]),
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
        return record(AuditEvent(kind, to_ms(self._clock.now()), actor, details={**about, **details}))

    async def _in_time(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        try:
            return await within(work, timeout_s)
        except TimeoutError as error:
            raise DirectoryUnavailable(f"directory {self.name} did not answer within {timeout_s:g} s") from error
        except StorageUnavailable as error:
            raise DirectoryUnavailable(f"directory {self.name}: {error.message}") from error


def _build(settings: LocalDirectorySettings, parts: DirectoryParts) -> LocalDirectory:
    return LocalDirectory(settings, parts.storage, parts.hasher, parts.clock)


def _check(settings: LocalDirectorySettings) -> None:
    if not 0 <= settings.verified_cache_s <= MAX_VERIFIED_CACHE_S:
        raise setting_error(settings.name, "verified_cache_s", f"must be between 0 and {MAX_VERIFIED_CACHE_S}")


KIND = DirectoryKind(LocalDirectorySettings, _check, _build)


# Many users have the same groups and attributes, and a user is read twice in a login.
@lru_cache(maxsize=1024)
def _groups(stored: str) -> tuple[str, ...]:
    return tuple(loads(stored))


@lru_cache(maxsize=1024)
def _attributes(stored: str) -> Mapping[str, tuple[str, ...]]:
    return {name: tuple(values) for name, values in loads(stored).items()}


def _state(row: Row, now_ms: int) -> AccountState:
    state = AccountState(str(row["state"]))
    expires_at = row["expires_at"]
    if state is AccountState.ACTIVE and isinstance(expires_at, int) and expires_at <= now_ms:
        return AccountState.EXPIRED
    return state


def _text_or_none(value: Value) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Value) -> int:
    return value if isinstance(value, int) else 0
