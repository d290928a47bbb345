"""Notices a clock that jumps, and one that differs from the database's: one-time codes are worth what the clock is worth.

A node whose clock stands an hour back would take codes that others saw expire; so a node on a shared database compares its clock
with the database's and decides no login while they differ. Alone on SQLite nobody else knows the time: a jump is told, no more.
What was spent stays spent in either case, because that is counted in time steps and kept in storage.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

import structlog

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import to_ms
from wardgate.errors import WardgateError
from wardgate.storage.port import Storage

CHECK_EVERY_S = 2.0
# What a time service corrects at once without anybody having to know.
STEP_S = 5.0
# One step of a time-based code: nodes that differ by more disagree about codes.
LARGEST_DIFFERENCE_S = 30.0
# A comparison that took longer says nothing.
SLOWEST_COMPARISON_S = 5.0

log = structlog.get_logger("wardgate.clock")


@runtime_checkable
class DatabaseClock(Protocol):
    """A storage whose database has a clock of its own, which all nodes share."""

    async def clock_ms(self) -> int:
        """The database's time now, in milliseconds since 1970 UTC. Raises StorageUnavailable."""
        ...


class WatchedClock:
    """The machine's clock. Satisfies `clock.Clock`, and notices at each reading whether it has jumped since the last check."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self.monotonic = monotonic
        self._offset = wall() - monotonic()
        self.jumped = False

    def now(self) -> datetime:
        """The present as an aware UTC datetime."""
        return datetime.fromtimestamp(self._read(), UTC)

    def now_ms(self) -> int:
        """The same in milliseconds."""
        return int(self._read() * 1000)

    def _read(self) -> float:
        wall = self._wall()
        if not -STEP_S < wall - self.monotonic() - self._offset < STEP_S:
            self.jumped = True
        return wall

    def take_jump(self) -> float:
        """By how many seconds it has run ahead of (or behind) the monotonic clock since the last call."""
        offset = self._wall() - self.monotonic()
        jump, self._offset, self.jumped = offset - self._offset, offset, False
        return jump


class ClockWatch:
    """Runs for as long as the worker does. While `problem` is not None, no login may be decided by this clock."""

    def __init__(
        self, storage: Storage, clock: WatchedClock, node: str, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._node = node
        self._pause = pause
        self._differs_s: float | None = None

    @property
    def problem(self) -> str | None:
        """Why this clock decides nothing now, and what to do. Looks at the clock first: it may have jumped since the last check."""
        if self._differs_s is not None:
            return f"the clock of this machine differs from the database's by {self._differs_s:+.0f} s: set it right (timedatectl)"
        self._clock.now_ms()
        if self._clock.jumped:
            return "the clock of this machine has just jumped: it is being compared"
        return None

    @property
    def differs_s(self) -> float:
        """By how much this clock is ahead of the database's, as far as that is known to matter; for the metrics."""
        return self._differs_s or 0.0

    async def run(self) -> None:
        """Check again and again, until cancelled."""
        while True:
            await self.check()
            await self._pause(CHECK_EVERY_S)

    async def check(self) -> None:
        """Compare once; tell what is new."""
        if isinstance(self._storage, DatabaseClock) and not await self._compare(self._storage):
            return
        jump_s = self._clock.take_jump()
        if abs(jump_s) >= STEP_S:
            log.error("clock_jumped", by_s=round(jump_s, 1), node=self._node)
            await self._tell(Kind.CLOCK_JUMPED, jump_s)

    async def _compare(self, database: DatabaseClock) -> bool:
        """Whether it could be compared; a jump that was noticed waits for that."""
        began = self._clock.monotonic()
        try:
            theirs_ms = await database.clock_ms()
        except WardgateError as error:
            # Without the database no login is decided anyway.
            log.debug("clock_not_compared", error=error.message)
            return False
        took_s = self._clock.monotonic() - began
        if took_s > SLOWEST_COMPARISON_S:
            return False
        differs_s = (to_ms(self._clock.now()) - theirs_ms) / 1000 - took_s / 2
        before, self._differs_s = self._differs_s, differs_s if abs(differs_s) > LARGEST_DIFFERENCE_S else None
        if self._differs_s is not None and before is None:
            log.error("clock_differs_from_database", by_s=round(differs_s, 1), node=self._node)
            await self._tell(Kind.CLOCK_DIFFERS, differs_s)
        elif self._differs_s is None and before is not None:
            log.info("clock_agrees_with_database", node=self._node)
        return True

    async def _tell(self, kind: Kind, seconds: float) -> None:
        event = AuditEvent(kind, to_ms(self._clock.now()), "server", details={"node": self._node, "seconds": round(seconds, 1)})
        try:
            await self._storage.commit([record(event)])
        except WardgateError as error:
            log.warning("clock_not_recorded", error=error.message)
