"""What becomes of one row of `brake`: pure functions that run inside storage, so that workers and nodes share what they count."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from wardgate.engine.brake_rows import CLOCK_STEP_MS, DAY_MS, EMPTY, MAX_DOUBLINGS, began, lives, locks, stored
from wardgate.storage.port import Modified, Row, Value

RESERVATION_LIFE_MS = 60_000
SUCCESS_NOTED_EVERY_MS = 3_600_000
FOREVER_MS = 400 * 86_400_000
LONGEST_WAIT_MS = DAY_MS


class Reservation(StrEnum):
    """What came of reserving an attempt. BUSY: attempts of the same user and source are being judged; ask again in a moment."""

    TAKEN = "taken"
    BUSY = "busy"
    LOCKED = "locked"


def reserve_attempt(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One more attempt in flight, unless failures and attempts in flight already fill the limit."""
    row, now = current(old, arguments)
    limit = int(arguments["limit"] or 0)
    if row["locked_until"] > now or row["failures"] >= limit:
        return Modified(None, Reservation.LOCKED, refuse=bool(arguments["refuse"]))
    if row["failures"] + row["in_flight"] >= limit:
        return Modified(None, Reservation.BUSY, refuse=bool(arguments["refuse"]))
    row["in_flight"] += 1
    row["in_flight_until"] = now + RESERVATION_LIFE_MS
    return Modified(stored(row, now), Reservation.TAKEN)


def count_failure(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One more failure; at the limit a lock begins, and each further lock doubles up to the longest."""
    row, now = current(old, arguments)
    if arguments["reserved"]:
        row["in_flight"] = max(0, row["in_flight"] - 1)
    if not row["failures"]:
        row["window_started_at"] = now
    row["failures"] += 1
    limit, wait, wait_max = (int(arguments[name] or 0) for name in ("limit", "wait", "wait_max"))
    if not wait:
        # No wait ends it: failures from anywhere are kept until a success or an operator lifts them; of a name, for a day.
        told = began(0, 1, row["failures"]) if row["failures"] == limit else None
        return Modified(stored(row, now, int(arguments["keep"] or 0)), told)
    if row["failures"] < limit or row["locked_until"] > now:
        return Modified(stored(row, now))
    wait_ms, failures = min(wait << min(row["level"], MAX_DOUBLINGS), wait_max), row["failures"]
    row.update(locked_until=now + wait_ms, level=row["level"] + 1, failures=0)
    return Modified(stored(row, now), began(wait_ms, row["level"], failures))


def release_attempt(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One attempt less in flight."""
    row, now = current(old, arguments)
    row["in_flight"] = max(0, row["in_flight"] - 1)
    return Modified(stored(row, now))


def pass_and_forget(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """No failures any more and a source that is known from now on; refused while a lock holds.

    What is in flight stays: it is somebody else's attempt.
    """
    row, now = current(old, arguments)
    if row["locked_until"] > now:
        return Modified(None, refuse=True)
    if old is not None and not row["failures"] and not row["level"] and row["succeeded_at"] > now - SUCCESS_NOTED_EVERY_MS:
        return Modified(None)
    row.update(failures=0, level=0, succeeded_at=now)
    return Modified(stored(row, now))


def forgive_source(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Nothing failed here, nothing holds, and the source is known from now on. What is in flight stays: it is somebody else's."""
    row, now = current(old, arguments)
    row.update(failures=0, level=0, locked_until=0, succeeded_at=now)
    return Modified(stored(row, now))


def pass_only(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Nothing changes; refused while a lock holds."""
    row, now = current(old, arguments)
    return Modified(None, refuse=row["locked_until"] > now)


def pass_below(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Nothing changes; refused where the failures fill the limit."""
    row, _ = current(old, arguments)
    return Modified(None, refuse=row["failures"] >= int(arguments["limit"] or 0))


def forget_failures(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """No failures any more."""
    if old is None or not old["failures"]:
        return Modified(None)
    row, now = current(old, arguments)
    row["failures"] = 0
    return Modified(stored(row, now))


def lift_wait(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Nothing failed and nobody waits any more; nor does anybody wait for messages of the last day."""
    if old is None:
        return Modified(None, 0)
    row, now = current(old, arguments)
    held = int(row["locked_until"] > now or row["failures"] > 0)
    row.update(failures=0, level=0, locked_until=0, stamps="[]", label=None)
    return Modified(stored(row, now), held)


def current(old: Row | None, arguments: Mapping[str, Value]) -> tuple[dict[str, Any], int]:
    """The row as it stands now: windows that ended are empty, reservations that were never settled are failures.

    A row whose time has run out says nothing any more, whether it was cleared away yet or not.

    What lies in an impossible future has ended too: nobody is to be kept out until a clock that was set back has caught up.
    """
    now = int(arguments["now"] or 0)
    current = old if old is not None and lives(old, now) else EMPTY
    row: dict[str, Any] = {name: value for name, value in current.items() if name not in ("kind", "key")}
    row["owner"] = arguments.get("owner") or row["owner"]
    if not locks(row, now, int(arguments.get("wait_max") or LONGEST_WAIT_MS)):
        row["locked_until"] = min(row["locked_until"], now)
    if row["in_flight_until"] > now + RESERVATION_LIFE_MS + CLOCK_STEP_MS:
        row["in_flight"] = 0
    if row["in_flight"] and row["in_flight_until"] <= now:
        if not row["failures"]:
            # Their window has a beginning of its own: without one it would have ended long ago, and they with it.
            row["window_started_at"] = row["in_flight_until"]
        row["failures"] += row["in_flight"]
        row["in_flight"] = 0
    window = arguments.get("window")
    if window is not None and row["failures"] and _window_ended(row["window_started_at"], int(window), now):
        row["failures"] = 0
    return row, now


def _window_ended(started_at: int, window_ms: int, now: int) -> bool:
    return started_at + window_ms <= now or (started_at > now + CLOCK_STEP_MS and window_ms < FOREVER_MS)
