"""Clears away what has had its time, in small steps, so that no table grows without end and no login waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from wardgate.clock import Clock, to_ms
from wardgate.delivery.outbox import purge as purge_outbox
from wardgate.errors import WardgateError
from wardgate.storage.port import Committed, Delete, Operation, Storage, Where

EVERY_S = 60.0
STEP_ROWS = 500
# Counting reads a whole index.
COUNT_EVERY_SWEEPS = 60
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

log = structlog.get_logger("wardgate.janitor")


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a table's rows are kept after the time in `column`, and how many at most: then the oldest go sooner."""

    table: str
    column: str
    keep_ms: int
    most_rows: int | None = None


RETENTIONS = (
    Retention("handle", "expires_at", _HOUR_MS),
    Retention("login_transaction", "expires_at", _DAY_MS),
    Retention("brake", "expires_at", 0),
    Retention("admin_pass", "expires_at", _DAY_MS),
    Retention("timeline", "created_at", 30 * _DAY_MS, most_rows=10_000_000),
    Retention("incident", "last_at", 30 * _DAY_MS),
    Retention("accounting", "created_at", 30 * _DAY_MS, most_rows=2_000_000),
)
OUTBOX_KEEP_MS = 7 * _DAY_MS
# The engine lets no login live longer than ten minutes.
LONGEST_LOGIN_MS = 11 * 60_000


class Janitor:
    """Runs for as long as the server does."""

    def __init__(self, storage: Storage, clock: Clock, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._storage = storage
        self._clock = clock
        self._pause = pause
        self._sweeps = 0

    async def run(self) -> None:
        """Sweep once a minute, until cancelled."""
        while True:
            await self._pause(EVERY_S)
            try:
                await self.sweep()
            except WardgateError as error:
                log.warning("sweep_failed", error=error.message)

    async def sweep(self) -> int:
        """Remove everything that is due; returns how many rows went."""
        now_ms, gone = to_ms(self._clock.now()), 0
        # Logins of before the clock was set back must not come alive again when it has caught up.
        gone += await self._remove("login_transaction", Where("expires_at", ">", now_ms + LONGEST_LOGIN_MS))
        for retention in RETENTIONS:
            gone += await self._remove(retention.table, Where(retention.column, "<", now_ms - retention.keep_ms))
            if retention.most_rows is not None and self._sweeps % COUNT_EVERY_SWEEPS == 0:
                gone += await self._cut(retention, retention.most_rows)
        self._sweeps += 1
        while True:
            went = await purge_outbox(self._storage, now_ms - OUTBOX_KEEP_MS, STEP_ROWS)
            gone += went
            if went < STEP_ROWS:
                return gone

    async def _cut(self, retention: Retention, most_rows: int) -> int:
        """Remove the oldest rows beyond the most: a flood that stays within its time must not fill the disk."""
        excess = await self._storage.count(retention.table) - most_rows
        gone = 0
        while gone < excess:
            step = min(STEP_ROWS, excess - gone)
            oldest = await self._storage.find(retention.table, order_by=retention.column, limit=step)
            due = Where(retention.column, "<=", oldest[-1][retention.column] if oldest else 0)
            commit = await self._storage.commit([Delete(retention.table, (due,), limit=step)])
            went = commit.results[0] if isinstance(commit, Committed) else 0
            if not isinstance(went, int) or not went:
                return gone
            gone += went
            await self._pause(0)
        return gone

    async def _remove(self, table: str, due: Where) -> int:
        gone = 0
        while True:
            step: list[Operation] = [Delete(table, (due,), limit=STEP_ROWS)]
            commit = await self._storage.commit(step)
            went = commit.results[0] if isinstance(commit, Committed) else 0
            gone += went if isinstance(went, int) else 0
            if not isinstance(went, int) or went < STEP_ROWS:
                return gone
            await self._pause(0)
