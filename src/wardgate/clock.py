"""Time, injected: rooms ask a `Clock`, tests move it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for records and codes; monotonic time for durations and deadlines."""

    def now(self) -> datetime:
        """The present as an aware UTC datetime."""
        ...

    def now_ms(self) -> int:
        """The same in milliseconds since 1970 UTC, as `to_ms` makes them, without a datetime in between."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never run backwards."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present as an aware UTC datetime."""
        return datetime.now(UTC)

    def now_ms(self) -> int:
        """The same in milliseconds."""
        return int(time.time() * 1000)

    # Asked twenty times a login.
    monotonic = staticmethod(time.monotonic)


class FixedClock:
    """A clock for tests that moves only when told."""

    def __init__(self, at: datetime) -> None:
        self._now = at
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """The time that was set."""
        return self._now

    def now_ms(self) -> int:
        """The same in milliseconds."""
        return to_ms(self._now)

    def monotonic(self) -> float:
        """Moves together with `now`."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 UTC: how times are stored in every table."""
    return int(moment.timestamp() * 1000)


def from_ms(value: int) -> datetime:
    """The aware UTC datetime of a stored time."""
    return datetime.fromtimestamp(value / 1000, UTC)


def offset_of(local: datetime) -> str:
    """How far a zone is from UTC at this moment, as people write it: `UTC+03:00`."""
    offset = local.strftime("%z")
    return f"UTC{f'{offset[:3]}:{offset[3:5]}' if local.utcoffset() else ''}"
