"""Stops below the number of wrong passwords at which a directory itself locks an account: nobody is locked out through us.

Each check of a password at a directory that locks is reserved first, in storage that all workers and nodes share. What counts is
the greater of what failed through us and what the directory tells, which knows of failures elsewhere, and what is being checked.
Strangers stop at two below the threshold; the rest, up to one below, is for a login whose second factor was proved first.

What stops a stranger must not show whether there is such an account, so the same is counted of every name that is typed, as if it
could be locked: once a name has had as many wrong passwords, strangers who use it are asked for a strong factor first
(`strong_first`), whether the account's own places are used up or not.

What the directory told was read before the reservation was made. Where something failed through us lately it is read once more
after it: every failure that is not told by then is in flight, and counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, TypeGuard

from wardgate.crypto import KeyRing
from wardgate.directory.port import Directory, DirectoryUser, Lockout, LockoutTelling
from wardgate.engine.brake_changes import RESERVATION_LIFE_MS
from wardgate.engine.brake_rows import CLOCK_STEP_MS, EMPTY, began, one
from wardgate.engine.brakes import NAME_DIRECTORY, BrakeKeys
from wardgate.storage.port import Find, Modified, Modify, Row, Value

KIND = "directory"
# How far below the threshold a stranger has to stop, and a login whose second factor was proved.
STRANGERS_STOP_BELOW = 2
PROVED_STOP_BELOW = 1
# No place is left while others are being checked; one may be in a moment. FULL: none will be.
BUSY = "busy"
FULL = "full"
_DAY_MS = 86_400_000
# Of a directory that remembers failures until a right password.
_FOREVER_MS = 400 * _DAY_MS


class Checked(Enum):
    """What came of a reserved check."""

    RIGHT = "right"
    WRONG = "wrong"
    NOT_COUNTED = "not counted"


@dataclass(frozen=True, slots=True)
class BindKey:
    """The row of an account, and how the directory locks it. `owner`: whose it is, so that an operator can lift it."""

    key: bytes
    owner: bytes
    lockout: Lockout

    def limit(self, proved: bool) -> int:
        """How many failures, and checks under way, stop one more."""
        return max(1, self.lockout.threshold - (PROVED_STOP_BELOW if proved else STRANGERS_STOP_BELOW))


@dataclass(frozen=True, slots=True)
class Bind:
    """A reserved check. `failures`: what had failed through us by then; `beside`: how many other checks were under way."""

    account: BindKey
    failures: int
    beside: int

    def overdraws(self, told: Lockout | None, proved: bool) -> bool:
        """Whether it would go beyond the limit by what the directory tells now."""
        failures = max(self.failures, told.failures if told is not None else 0)
        return failures + self.beside >= self.account.limit(proved)


def bind_key(ring: KeyRing, user: DirectoryUser, owner: bytes) -> BindKey | None:
    """None: the directory locks nobody, or not this account."""
    lockout = user.lockout
    if lockout is None or lockout.threshold <= 0:
        return None
    return BindKey(ring.remembered_mac("brake-directory", user.directory.encode(), user.immutable_id.encode()), owner, lockout)


def reserve(account: BindKey, now_ms: int, proved: bool = False, refuse: bool = False) -> Modify:
    """Reserve a check. Result: for `reserved`, or FULL or BUSY. `refuse`: with no place left, nothing of the unit happens."""
    lockout = account.lockout
    arguments: Row = {
        "now": now_ms,
        "owner": account.owner,
        "window": lockout.window_s * 1000,
        "told": lockout.failures,
        "limit": account.limit(proved),
        "refuse": int(refuse),
    }
    return Modify("brake", {"kind": KIND, "key": account.key}, reserve_bind, arguments)


def reserved(account: BindKey, result: object) -> Bind | None:
    """The reserved check; None when no place was left."""
    if not isinstance(result, tuple | list):
        return None
    failures, beside = result
    return Bind(account, failures, beside)


def settle(bind: Bind, checked: Checked, now_ms: int) -> Modify:
    """What came of a reserved check.

    A right password clears what the directory counted before it: so what had failed by the time of the reservation, and no more.
    """
    arguments = {
        "now": now_ms,
        "window": bind.account.lockout.window_s * 1000,
        "failed": int(checked is Checked.WRONG),
        "limit": bind.account.limit(proved=False),
        "forgiven": bind.failures if checked is Checked.RIGHT else 0,
    }
    return Modify("brake", {"kind": KIND, "key": bind.account.key}, settle_bind, arguments)


def usual_lockout(directories: Iterable[Directory]) -> Lockout | None:
    """When a realm's directories lock an account, as far as they know without one: the first of them. None: none of them does."""
    told = [each.usual_lockout() for each in directories if _tells_lockout(each)]
    locking = [each for each in told if each is not None and each.threshold > 0]
    if not locking:
        return None
    window_s = 0 if any(not each.window_s for each in locking) else max(each.window_s for each in locking)
    return Lockout(min(each.threshold for each in locking), window_s)


def name_limit(lockout: Lockout) -> int:
    """How many wrong passwords at one name are a stranger's."""
    return max(1, lockout.threshold - STRANGERS_STOP_BELOW)


def count_name(keys: BrakeKeys, lockout: Lockout, now_ms: int) -> Modify:
    """One more wrong password at the name that was typed, somebody's or nobody's."""
    key, owner = _name(keys)
    arguments: Row = {"now": now_ms, "owner": owner, "window": lockout.window_s * 1000}
    return Modify("brake", {"kind": NAME_DIRECTORY, "key": key}, count_wrong, arguments)


def name_asked(keys: BrakeKeys) -> Find:
    """What to read for `name_wait_s`."""
    return one(NAME_DIRECTORY, _name(keys)[0])


def name_wait_s(row: Row | None, lockout: Lockout, now_ms: int) -> int:
    """For how long strangers at this name have used up their tries; 0: they have not."""
    current, _ = _current(row, {"now": now_ms, "window": lockout.window_s * 1000})
    if current["failures"] < name_limit(lockout):
        return 0
    ends_at: int = current["window_started_at"] + (lockout.window_s * 1000 or _DAY_MS)
    return max(1, -(-(ends_at - now_ms) // 1000))


def _name(keys: BrakeKeys) -> tuple[bytes, bytes | None]:
    return (keys.typed().user, keys.user) if keys.typed is not None else (keys.user, None)


def _tells_lockout(directory: Directory) -> TypeGuard[LockoutTelling]:
    return _kind_tells_lockout(type(directory))


@lru_cache(maxsize=64)
def _kind_tells_lockout(kind: type) -> bool:
    return issubclass(kind, LockoutTelling)


# --- pure functions that run inside storage --------------------------------------------------------------------------


def reserve_bind(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One more check under way, unless the limit is reached."""
    row, now = _current(old, arguments)
    failures, beside = row["failures"], row["in_flight"]
    limit, certain = _number(arguments, "limit"), max(failures, _number(arguments, "told"))
    if certain + beside >= limit:
        return Modified(None, FULL if certain >= limit else BUSY, refuse=bool(arguments["refuse"]))
    row.update(owner=arguments["owner"], in_flight=beside + 1, in_flight_until=now + RESERVATION_LIFE_MS)
    return Modified(_stored(row, arguments), (failures, beside))


def settle_bind(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One check less under way, and what came of it. Result: `Began` when strangers have used up their tries with it."""
    row, now = _current(old, arguments)
    told = None
    row["in_flight"] = max(0, row["in_flight"] - 1)
    row["failures"] = max(0, row["failures"] - _number(arguments, "forgiven"))
    if arguments["failed"]:
        row.update(failures=row["failures"] + 1, window_started_at=now)
    limit = _number(arguments, "limit")
    if row["failures"] < limit:
        row["locked_until"] = 0
    elif arguments["failed"]:
        # For an operator's list: what stops a check is the number.
        row["locked_until"] = now + _window_ms(arguments)
        told = began(_window_ms(arguments), 1, row["failures"]) if row["failures"] == limit else None
    return Modified(_stored(row, arguments), told)


def count_wrong(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One more; all are forgotten a window after the last."""
    row, now = _current(old, arguments)
    row.update(owner=arguments["owner"], failures=row["failures"] + 1, window_started_at=now)
    return Modified(_stored(row, arguments))


def _current(old: Row | None, arguments: Mapping[str, Value]) -> tuple[dict[str, Any], int]:
    """The row as it stands now. A check that was never settled has failed; failures are forgotten a window after the last one.

    Directories forget no later than that. What lies in an impossible future was written before a clock was set back.
    """
    now = _number(arguments, "now")
    row: dict[str, Any] = dict(EMPTY)
    if old is not None and _number(old, "expires_at") > now:
        row.update({name: value for name, value in old.items() if name not in ("kind", "key")})
    if row["in_flight_until"] > now + RESERVATION_LIFE_MS + CLOCK_STEP_MS:
        row["in_flight_until"] = now
    if row["in_flight"] and row["in_flight_until"] <= now:
        row.update(
            failures=row["failures"] + row["in_flight"],
            in_flight=0,
            window_started_at=max(min(row["window_started_at"], now), row["in_flight_until"]),
        )
    ended = row["window_started_at"] + _window_ms(arguments) <= now or row["window_started_at"] > now + CLOCK_STEP_MS
    if row["failures"] and ended:
        row["failures"] = 0
    return row, now


def _stored(row: Mapping[str, Value], arguments: Mapping[str, Value]) -> Row:
    """The whole row; it may be purged once nothing in it matters any more."""
    return {**row, "expires_at": _number(arguments, "now") + max(_DAY_MS, _window_ms(arguments))}


def _window_ms(arguments: Mapping[str, Value]) -> int:
    return _number(arguments, "window") or _FOREVER_MS


def _number(row: Mapping[str, Value], name: str) -> int:
    value = row[name]
    return value if isinstance(value, int) else 0
