"""What all brakes know of a row of `brake`: whether it still lives, whether it locks, and for how long it is kept."""

from collections.abc import Mapping

from wardgate.storage.port import Find, Lookup, Row, Value

KNOWN_SOURCE_MS = 30 * 86_400_000
# A time that lies further ahead than any rule puts it was written before the clock was set back, and says nothing any more.
CLOCK_STEP_MS = 60_000
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
# Doubled as often, every wait is longer than the longest.
MAX_DOUBLINGS = 20

EMPTY: Mapping[str, Value] = {
    "owner": None,
    "failures": 0,
    "window_started_at": 0,
    "in_flight": 0,
    "in_flight_until": 0,
    "locked_until": 0,
    "level": 0,
    "succeeded_at": 0,
    "stamps": "[]",
    "label": None,
    "expires_at": 0,
}

_ROW = Lookup("brake", ("kind", "key"), limit=1)

Began = dict[str, int]
"""What a counting function tells when a lock began with it: `wait_s` (0: until it is lifted), `level` and `failures`."""


def one(kind: str, key: bytes) -> Find:
    """What reads one row."""
    return _ROW(kind, key)


def began(wait_ms: int, level: int, failures: int) -> Began:
    """A lock began."""
    return {"wait_s": -(-wait_ms // 1000), "level": level, "failures": failures}


def locks(row: Row, now_ms: int, longest_ms: int) -> bool:
    """Whether a lock holds: one that ends later than any lock can was begun by a clock that has been set back since."""
    return now_ms < number(row, "locked_until") <= now_ms + longest_ms + CLOCK_STEP_MS


def stored(row: Mapping[str, Value], now: int, window_ms: int = 0) -> Row:
    """The whole row; it may be purged once nothing in it matters any more."""
    keep_until = max(
        now + max(DAY_MS, window_ms),
        int(row["locked_until"] or 0) + DAY_MS,
        int(row["succeeded_at"] or 0) + KNOWN_SOURCE_MS,
    )
    return {**row, "expires_at": keep_until}


def lives(row: Row, now_ms: int) -> bool:
    """Whether it still says anything, whether it was cleared away yet or not."""
    return number(row, "expires_at") > now_ms


def number(row: Mapping[str, Value], column: str) -> int:
    """A number column, 0 for NULL."""
    value = row[column]
    return value if isinstance(value, int) else 0


def wait_s(row: Row, now_ms: int) -> int:
    """Seconds until the lock ends."""
    return max(1, -(-(number(row, "locked_until") - now_ms) // 1000))


def is_known_source(pair: Row | None, now_ms: int) -> bool:
    """Whether this user logged in from this source within the last thirty days."""
    return pair is not None and number(pair, "succeeded_at") > now_ms - KNOWN_SOURCE_MS
