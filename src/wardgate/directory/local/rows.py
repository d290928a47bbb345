"""What a row of table `local_user` says about a user."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from wardgate.clock import from_ms
from wardgate.directory.names import canonical_name
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.jsons import loads
from wardgate.storage.port import Row, Storage, Value, Where

TABLE: Final = "local_user"
# Stands before a stored hash that must stay as it was imported. It belongs to the hash, so a new password removes it.
_KEPT: Final = "keep:"
_STATES: Final = {state.value: state for state in AccountState}


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


def user_from_row(row: Row, now_ms: int, max_age_ms: int = 0) -> DirectoryUser:
    """The typed value of a stored row, with its state as it is at `now_ms`. `max_age_ms`: how old a password may be; 0: any age."""
    return DirectoryUser(
        directory=str(row["directory"]),
        immutable_id=str(row["id"]),
        name=str(row["name"]),
        state=state_of(row, now_ms),
        display_name=str(row["display_name"]),
        mail=_text_or_none(row["mail"]),
        phone=_text_or_none(row["phone"]),
        language=_text_or_none(row["language"]),
        groups=_groups(str(row["groups"])),
        attributes=_attributes(str(row["attributes"])),
        must_change=bool(row["must_change"]),
        password_expires_at=from_ms(password_set_ms(row) + max_age_ms) if max_age_ms and row["password_hash"] else None,
        version=number(row["version"]),
        password_changed_at=from_ms(password_set_ms(row)) if row["password_hash"] else None,
    )


async def row_by_name(storage: Storage, directory: str, name: str) -> Row | None:
    """The row of the user with this login name; a mail address does not count as one here."""
    key = canonical_name(name)
    if key is None:
        return None
    rows = await storage.find(TABLE, [Where("directory", "=", directory), Where("name_key", "=", key)], limit=1)
    return rows[0] if rows else None


def state_of(row: Row, now_ms: int) -> AccountState:
    """The state of the account as it is at `now_ms`."""
    state = _STATES[str(row["state"])]
    expires_at = row["expires_at"]
    if state is AccountState.ACTIVE and isinstance(expires_at, int) and expires_at <= now_ms:
        return AccountState.EXPIRED
    return state


def password_set_ms(row: Row) -> int:
    """Since when the password has been what it is; where nobody noted it, since the account has been there."""
    return number(row["password_changed_at"]) or number(row["created_at"])


def number(value: Value) -> int:
    """A whole number, 0 for an empty column."""
    return value if isinstance(value, int) else 0


# Many users have the same groups and attributes, and a user is read twice in a login.
@lru_cache(maxsize=1024)
def _groups(stored: str) -> tuple[str, ...]:
    return tuple(loads(stored))


@lru_cache(maxsize=1024)
def _attributes(stored: str) -> Mapping[str, tuple[str, ...]]:
    return {name: tuple(values) for name, values in loads(stored).items()}


def _text_or_none(value: Value) -> str | None:
    return value if isinstance(value, str) and value else None
