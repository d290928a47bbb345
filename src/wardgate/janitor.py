"""Clears away what has had its time, in small steps, so that no table grows without end and no login waits for it.

What lives for minutes (logins in progress, brakes, leases) goes by the clock. What was recorded goes by the spans of the
configuration, and not at once when the clock is found far ahead of the last sweep: a clock that jumps must not empty the records.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from wardgate.audit.ageing import Ageing, cutoffs
from wardgate.audit.heads import KEEP_MS as AUDIT_HEADS_KEPT_MS
from wardgate.audit.retention import EventClass, RetentionSettings, span_ms
from wardgate.audit.timeline import first_id_of
from wardgate.clock import Clock, to_ms
from wardgate.delivery.outbox import purge as purge_outbox
from wardgate.engine.held_password import forget_passwords
from wardgate.errors import WardgateError
from wardgate.storage.port import Committed, Delete, Row, Storage, Update, Upsert, Where

EVERY_S = 60.0
# Rows of a step: as many as the database removes within `STEP_S`, so that a login that comes in between hardly waits.
FIRST_STEP_ROWS = 50
MOST_STEP_ROWS = 500
FEWEST_STEP_ROWS = 10
# Each step of payloads leaves an event: fewer at a time would leave nearly as much as they take.
FEWEST_STEP_PAYLOADS = 100
STEP_S = 0.005
# Counting reads a whole index.
COUNT_EVERY_SWEEPS = 60
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
# No sweep for so long: nobody was there, or the clock is wrong. Then records stay for a day, in which somebody may notice.
GAP_MS = 3 * _DAY_MS
HELD_MS = _DAY_MS
# By how much the clock may run ahead of the time that has really passed: a machine that sleeps at night is no wrong clock, and one
# that is moved on by a few days again and again, or past the day in which records stay, is not right because of that.
AHEAD_MS = 18 * _HOUR_MS
_SEEN = "swept_at"
_SEEN_EVERY_MS = _HOUR_MS

log = structlog.get_logger("wardgate.janitor")


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a table's rows are kept after the time in `column`, and how many at most: then the oldest go sooner.

    `written`: how a time is written in that column. `span`: the setting of `retention:` that says how long, `keep_ms` being its
    default.
    """

    table: str
    column: str
    keep_ms: int
    most_rows: int | None = None
    written: Callable[[int], int | str] = int
    span: str | None = None

    def kept_ms(self, settings: RetentionSettings) -> int:
        """How long its rows are kept by these settings."""
        return self.keep_ms if self.span is None else span_ms(settings, self.span)


def _default_ms(span: str) -> int:
    return span_ms(RetentionSettings(), span)


RETENTIONS = (
    Retention("handle", "expires_at", _HOUR_MS),
    Retention("login_transaction", "expires_at", _DAY_MS),
    Retention("brake", "expires_at", 0),
    Retention("hand_over", "expires_at", 0),
    Retention("trusted_device", "expires_at", 0),
    Retention("sending", "day", _default_ms("costs"), written=lambda at_ms: at_ms // _DAY_MS, span="costs"),
    Retention("kba_round", "expires_at", 0),
    Retention("lease", "held_until", _DAY_MS),
    Retention("page_step", "expires_at", 0),
    # Who comes back the next morning is told that its time was up.
    Retention("sso_session", "expires_at", _DAY_MS),
    Retention("saml_participant", "expires_at", 0),
    # The id of a request is known for longer than its message is taken for a fresh one.
    Retention("saml_request", "expires_at", 0),
    Retention("self_service", "expires_at", _DAY_MS),
    Retention("mail_link", "expires_at", _DAY_MS),
    Retention("password_write", "expires_at", 0),
    Retention("short_link", "expires_at", _DAY_MS),
    # How it ended is shown beside the person for some weeks.
    Retention("activation", "expires_at", 30 * _DAY_MS),
    Retention("admin_pass", "expires_at", _DAY_MS),
    Retention("timeline", "id", _default_ms("timeline"), most_rows=10_000_000, written=first_id_of, span="timeline"),
    # One head covers everything before it in its chain.
    Retention("audit_head", "created_at", AUDIT_HEADS_KEPT_MS),
    Retention("incident", "last_at", _default_ms("incidents"), span="incidents"),
    Retention("accounting", "created_at", _default_ms("accounting"), most_rows=2_000_000, span="accounting"),
    Retention("habit", "last_at", _default_ms("habits"), span="habits"),
)
# Records, which wait when the clock is in doubt; the others are of no use any more in any case.
RECORDS = frozenset({"timeline", "audit_head", "incident", "accounting", "habit", "sending"})
OUTBOX_KEEP_MS = _default_ms("messages")
# The engine lets no login live longer than ten minutes.
LONGEST_LOGIN_MS = 11 * 60_000


class Janitor:
    """Runs for as long as the server does. `settings`: the spans in force."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        settings: Callable[[], RetentionSettings] = RetentionSettings,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._pause = pause
        self._settings = settings
        self._sweeps = 0
        # At first it looks at all that there are.
        self._forgotten_ms = 0
        self._step_rows = FIRST_STEP_ROWS
        # What an ageing of the audit trail would do again today, it has done.
        self._aged: dict[EventClass, int] = {}
        self._offset_ms = self._offset(to_ms(clock.now()))

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
        now_ms, settings, gone = to_ms(self._clock.now()), self._settings(), 0
        held = await self._held(now_ms)
        # Logins of before the clock was set back must not come alive again when it has caught up.
        gone += await self._remove("login_transaction", Where("expires_at", ">", now_ms + LONGEST_LOGIN_MS))
        # From its last sweep on, and some: a clock may have been set back between.
        await forget_passwords(self._storage, self._forgotten_ms - LONGEST_LOGIN_MS, now_ms)
        self._forgotten_ms = now_ms
        await self._close_sessions(now_ms)
        for retention in RETENTIONS:
            if not (held and retention.table in RECORDS):
                before = retention.written(max(0, now_ms - retention.kept_ms(settings)))
                gone += await self._remove(retention.table, Where(retention.column, "<", before))
            if retention.most_rows is not None and self._sweeps % COUNT_EVERY_SWEEPS == 0:
                gone += await self._cut(retention, retention.most_rows)
        self._sweeps += 1
        if held:
            return gone
        await self._age(settings, now_ms)
        messages_before = now_ms - span_ms(settings, "messages")
        return gone + await self._in_steps(lambda rows: purge_outbox(self._storage, messages_before, rows))

    async def _close_sessions(self, now_ms: int) -> None:
        """Have sessions that are over stay over when the clock is set back: their rows say no more than how they ended.

        What begins later than any clock finds it has not begun (`session.sessions.is_live`).
        """
        over = [Where("expires_at", "<=", now_ms), Where("created_at", "<=", now_ms)]
        rows = await self._storage.find("sso_session", over, limit=MOST_STEP_ROWS)
        for at in range(0, len(rows), FIRST_STEP_ROWS):
            # Where one of them went meanwhile, the others are taken by the next sweep.
            await self._storage.commit([_closed(row) for row in rows[at : at + FIRST_STEP_ROWS]])

    async def _held(self, now_ms: int) -> bool:
        """Whether records stay for now, because the last sweep seems to be days ago, or the clock ran ahead of what has passed.

        Remembers that there was this sweep.
        """
        row = await self._storage.get("installation", {"name": _SEEN})
        seen_ms, until_ms = _seen(str(row["value"]) if row is not None else "")
        ahead = self._ran_ahead(now_ms)
        if not ahead and now_ms < until_ms <= now_ms + HELD_MS:
            return True
        held = ahead or 0 < (until_ms or seen_ms) < now_ms - GAP_MS
        if held:
            log.warning(
                "records_held",
                reason="the last sweep was days ago, or the clock has jumped: records are kept for a day, in case it is wrong",
            )
        if held or until_ms or not seen_ms <= now_ms < seen_ms + _SEEN_EVERY_MS:
            value = json.dumps({"at": now_ms, "held_until": now_ms + HELD_MS if held else 0})
            await self._storage.commit([Upsert("installation", {"name": _SEEN, "value": value})])
        return held

    def _ran_ahead(self, now_ms: int) -> bool:
        """Whether the clock ran ahead of the time that has passed, since it was last found to. Set back it is right."""
        offset_ms = self._offset(now_ms)
        ahead = offset_ms - self._offset_ms > AHEAD_MS
        if ahead or offset_ms < self._offset_ms:
            self._offset_ms = offset_ms
        return ahead

    def _offset(self, now_ms: int) -> int:
        return now_ms - int(self._clock.monotonic() * 1000)

    async def _age(self, settings: RetentionSettings, now_ms: int) -> None:
        """Erase the payloads of audit events that have had their time."""
        due = cutoffs(settings, now_ms)
        if due == self._aged:
            return
        ageing = Ageing(self._storage, settings, now_ms)
        await ageing.begin()
        erased, went = 0, await self._timed(ageing.step)
        while went is not None:
            erased += went
            went = await self._timed(ageing.step)
        self._aged = due
        if erased:
            log.info("payloads_erased", events=erased)

    async def _timed(self, step: Callable[[int], Awaitable[int | None]]) -> int | None:
        """One step, and then as long for others as it took."""
        began = self._clock.monotonic()
        went = await step(max(self._step_rows, FEWEST_STEP_PAYLOADS))
        if went is not None:
            took_s = self._clock.monotonic() - began
            self._adapt(took_s)
            await self._pause(took_s)
        return went

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


def _seen(written: str) -> tuple[int, int]:
    """When a sweep was, and until when records are held, as it was stored; nothing of a row that somebody spoilt."""
    try:
        told = json.loads(written or "{}")
        return int(told.get("at", 0)), int(told.get("held_until", 0))
    except (ValueError, TypeError, AttributeError):
        return 0, 0


def _closed(row: Row) -> Update:
    beyond = int(row["expires_at"] or 0) + 2 * _DAY_MS
    return Update("sso_session", {"session_mac": row["session_mac"]}, {"created_at": beyond})
