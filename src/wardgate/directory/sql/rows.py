"""From a row to a user. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from wardgate.directory.names import canonical_name
from wardgate.directory.phones import read_phones
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.directory.sql.engines.engine import Result
from wardgate.directory.sql.hashes import PLAIN, UNKNOWN, scheme_name
from wardgate.directory.sql.settings import ColumnSettings, SqlSettings
from wardgate.directory.sql.values import ALWAYS_OVER, NEVER, flag, key_text, moment, number, text, zone_of
from wardgate.errors import DirectoryUnavailable

MAX_GROUP_CHARS = 512
# A password in clear goes into the version by way of this much work: the version must not make it easy to guess.
_CLEAR_ITERATIONS = 2_000

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """A row, read. `key` and `stored` are the id and the password as the database gave them, for conditions."""

    user: DirectoryUser
    key: Any
    stored: Any
    password_expired: bool
    row: Row

    def __repr__(self) -> str:
        return f"Account({self.user.immutable_id!r})"


def columns_used(settings: SqlSettings) -> tuple[str, ...]:
    """Every column that is read, each once."""
    columns = settings.columns
    single = [getattr(columns, name) for name in _SINGLE]
    return tuple(
        dict.fromkeys(
            column
            for column in (*single, *columns.other_mails, *columns.other_phones, *settings.attributes.values())
            if column is not None
        )
    )


_SINGLE = tuple(name for name in ColumnSettings.__dataclass_fields__ if name not in ("other_mails", "other_phones"))


def rows_of(result: Result, settings: SqlSettings, columns: Sequence[str], what: str) -> list[Row]:
    """The rows by the configured names of their columns. Raises DirectoryUnavailable when one is missing."""
    places = {name.casefold(): at for at, name in enumerate(result.columns)}
    missing = [column for column in columns if column.casefold() not in places]
    if missing and result.columns:
        raise DirectoryUnavailable(f"directory {settings.name}: {what} gives no column {missing[0]!r}")
    return [{column: row[places[column.casefold()]] for column in columns} for row in result.rows]


def read_account(row: Row, settings: SqlSettings, now: datetime, region: str | None, groups: tuple[str, ...]) -> Account:
    """A row as a user with his state at `now`."""
    columns = settings.columns
    ends = _password_end(row, settings)
    mails = _unique([text(row[name]) for name in _present(columns.mail, *columns.other_mails)])
    phones, unusable = read_phones("phone", [text(row[name]) for name in _present(columns.phone, *columns.other_phones)], region)
    user = DirectoryUser(
        directory=settings.name,
        immutable_id=key_text(row[columns.id]),
        name=text(row[columns.username]),
        state=_state(row, settings, now),
        display_name=_text(row, columns.display_name),
        mail=mails[0] if mails else None,
        phone=phones[0] if phones else None,
        language=_text(row, columns.language) or None,
        groups=groups,
        attributes={name: (text(row[column]),) for name, column in settings.attributes.items() if text(row[column])},
        must_change=_flag(row, columns.must_change, unreadable=True),
        password_expires_at=ends,
        password_changed_at=_password_changed(row, settings),
        version=_version(row, settings, groups),
        other_mails=tuple(mails[1:]),
        other_phones=phones[1:],
        unusable=unusable,
    )
    return Account(user, row[columns.id], row[columns.password], ends is not None and ends <= now, row)


def choose(rows: Sequence[Row], settings: SqlSettings, key: str) -> Row | None:
    """The one row with this canonical name, else the one with this mail address; None when there is none or more than one."""
    columns = settings.columns
    for column in _present(columns.username, columns.mail):
        found = {key_text(row[columns.id]): row for row in rows if canonical_name(text(row[column])) == key}
        if found:
            return next(iter(found.values())) if len(found) == 1 else None
    return None


def with_mail(rows: Sequence[Row], settings: SqlSettings, key: str) -> list[Row]:
    """The rows of those with this mail address, each once: a database holds more letters for the same than we do."""
    columns = settings.columns
    mails = _present(columns.mail, *columns.other_mails)
    found = {key_text(row[columns.id]): row for row in rows if any(canonical_name(text(row[mail])) == key for mail in mails)}
    return list(found.values())


def read_groups(result: Result) -> tuple[str, ...]:
    """The first column of each row, each name once."""
    return tuple(_unique([text(row[0]) for row in result.rows if len(text(row[0])) <= MAX_GROUP_CHARS]))


def is_locked(row: Row, settings: SqlSettings, now: datetime) -> bool:
    """Whether wrong passwords locked it."""
    columns = settings.columns
    zone = zone_of(settings.time_zone)
    until = moment(row[columns.locked_until], zone, unreadable=NEVER) if columns.locked_until else None
    failures = number(row[columns.failures], unreadable=settings.lock_threshold) if columns.failures else 0
    return (
        _flag(row, columns.locked, unreadable=True)
        or (until is not None and until > now)
        or (0 < settings.lock_threshold <= failures)
    )


def _state(row: Row, settings: SqlSettings, now: datetime) -> AccountState:
    columns = settings.columns
    enabled = columns.enabled is None or flag(row[columns.enabled], unreadable=False)
    if _flag(row, columns.disabled, unreadable=True) or not enabled:
        return AccountState.DISABLED
    if is_locked(row, settings, now):
        return AccountState.LOCKED
    zone = zone_of(settings.time_zone)
    ends = moment(row[columns.expires_at], zone, unreadable=ALWAYS_OVER, last_day=True) if columns.expires_at else None
    return AccountState.EXPIRED if ends is not None and ends <= now else AccountState.ACTIVE


def _password_changed(row: Row, settings: SqlSettings) -> datetime | None:
    """Since when the password has been what it is."""
    column = settings.columns.password_changed_at
    return moment(row[column], zone_of(settings.time_zone), unreadable=ALWAYS_OVER) if column else None


def _password_end(row: Row, settings: SqlSettings) -> datetime | None:
    """When the password expires."""
    columns, zone = settings.columns, zone_of(settings.time_zone)
    changed = _password_changed(row, settings)
    ends = moment(row[columns.password_expires_at], zone, unreadable=ALWAYS_OVER) if columns.password_expires_at else None
    days = settings.password_rules.max_age_days
    if days and changed is not None:
        aged = NEVER if changed > NEVER - timedelta(days=days) else changed + timedelta(days=days)
        ends = aged if ends is None else min(ends, aged)
    return ends


def _version(row: Row, settings: SqlSettings, groups: tuple[str, ...]) -> int:
    """A number of the row's whole content: 63 bits of a hash."""
    columns = settings.columns
    state = hashlib.blake2b(digest_size=8)
    stored = row[columns.password]
    in_clear = scheme_name(stored) in (PLAIN, UNKNOWN)
    if in_clear:
        salt = key_text(row[columns.id]).encode("utf-8", "surrogatepass")
        clear = text(stored).encode("utf-8", "surrogatepass")
        state.update(hashlib.pbkdf2_hmac("sha256", clear, salt, _CLEAR_ITERATIONS))
    for column, value in row.items():
        told = "" if in_clear and column == columns.password else repr(value)
        state.update(f"{len(told)}:{told}".encode("utf-8", "surrogatepass"))
    state.update(repr(sorted(groups)).encode("utf-8", "surrogatepass"))
    return int.from_bytes(state.digest(), "big") >> 1


def _present(*columns: str | None) -> list[str]:
    return [column for column in columns if column is not None]


def _flag(row: Row, column: str | None, unreadable: bool) -> bool:
    return column is not None and flag(row[column], unreadable)


def _text(row: Row, column: str | None) -> str:
    return "" if column is None else text(row[column])


def _unique(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))
