"""Clears away what has had its time, in small steps, so that no table grows without end and no login waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from wardgate.audit.heads import KEEP_MS as AUDIT_HEADS_KEPT_MS
from wardgate.audit.timeline import first_id_of
from wardgate.clock import Clock, to_ms
from wardgate.delivery.outbox import purge as purge_outbox
from wardgate.errors import WardgateError
from wardgate.storage.port import Committed, Delete, Storage, Where

EVERY_S = 60.0
# Rows of a step: as many as the database removes within `STEP_S`, so that a login that comes in between hardly waits.
FIRST_STEP_ROWS = 50
MOST_STEP_ROWS = 500
FEWEST_STEP_ROWS = 10
STEP_S = 0.005
# Counting reads a whole index.
COUNT_EVERY_SWEEPS = 60
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

log = structlog.get_logger("wardgate.janitor")


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a table's rows are kept after the time in `column`, and how many at most: then the oldest go sooner.

    `written`: how a time is written in that column.
    """

    table: str
    column: str
    keep_ms: int
    most_rows: int | None = None
    written: Callable[[int], int | str] = int


RETENTIONS = (
    Retention("handle", "expires_at", _HOUR_MS),
    Retention("login_transaction", "expires_at", _DAY_MS),
    Retention("brake", "expires_at", 0),
    Retention("lease", "held_until", _DAY_MS),
    Retention("page_step", "expires_at", 0),
    Retention("sso_session", "expires_at", 0),
    Retention("admin_pass", "expires_at", _DAY_MS),
    Retention("timeline", "id", 30 * _DAY_MS, most_rows=10_000_000, written=first_id_of),
    # One head covers everything before it in its chain.
    Retention("audit_head", "created_at", AUDIT_HEADS_KEPT_MS),
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
        self._step_rows = FIRST_STEP_ROWS

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
            gone += await self._remove(
                retention.table, Where(retention.column, "<", retention.written(max(0, now_ms - retention.keep_ms)))
            )
            if retention.most_rows is not None and self._sweeps % COUNT_EVERY_SWEEPS == 0:
                gone += await self._cut(retention, retention.most_rows)
        self._sweeps += 1
        return gone + await self._in_steps(lambda rows: purge_outbox(self._storage, now_ms - OUTBOX_KEEP_MS, rows))

    async def _cut(self, retention: Retention, most_rows: int) -> int:
        """Remove the oldest rows beyond the most: a flood that stays within its time must not fill the disk."""
        excess = await self._storage.count(retention.table) - most_rows

        async def oldest(rows: int) -> int:
            found = await self._storage.find(retention.table, order_by=retention.column, limit=rows)
            if not found:
                return 0
            return await self._delete(retention.table, Where(retention.column, "<=", found[-1][retention.column]), rows)

        return await self._in_steps(oldest, excess)

    async def _remove(self, table: str, due: Where) -> int:
        return await self._in_steps(lambda rows: self._delete(table, due, rows))

    async def _delete(self, table: str, due: Where, rows: int) -> int:
        commit = await self._storage.commit([Delete(table, (due,), limit=rows)])
        went = commit.results[0] if isinstance(commit, Committed) else 0
        return went if isinstance(went, int) else 0

    async def _in_steps(self, remove: Callable[[int], Awaitable[int]], most: int | None = None) -> int:
        """Take step after step until one finds less than it may remove. After each, others have as long as it took."""
        gone = 0
        while most is None or gone < most:
            rows = self._step_rows if most is None else min(self._step_rows, most - gone)
            began = self._clock.monotonic()
            went = await remove(rows)
            gone += went
            if went < rows:
                return gone
            took_s = self._clock.monotonic() - began
            self._adapt(took_s)
            await self._pause(took_s)
        return gone

    def _adapt(self, took_s: float) -> None:
        if took_s > STEP_S:
            self._step_rows = max(FEWEST_STEP_ROWS, self._step_rows // 2)
        elif took_s < STEP_S / 2:
            self._step_rows = min(MOST_STEP_ROWS, self._step_rows * 2)
