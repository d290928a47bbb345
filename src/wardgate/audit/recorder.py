"""Takes trails and incidents off the doors' hands: stores them without making anybody wait, and wakes whoever follows the live log.

Bounded everywhere: a flood of refused packets becomes one counted incident row per cause and source, and a backlog of trails
drops the oldest with a count, never the login.
"""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.incidents import IncidentKind
from wardgate.audit.timeline import Trail, entry
from wardgate.clock import Clock, to_ms
from wardgate.crypto import KeyRing
from wardgate.errors import WardgateError
from wardgate.storage.port import Modified, Modify, Operation, Row, Storage, Value

MAX_BACKLOG = 5000
MAX_INCIDENT_SOURCES = 1000
# Sources that got a row of their own count against the limit for so long: forged ones make rows no faster than this.
SOURCES_TOLD_APART_S = 6 * 3600.0
MANY_SOURCES = "many sources"
FLUSH_EVERY_S = 0.25
# Requests that the engine did not write itself (refused before anything was proved) fill the table no faster than this.
MAX_STORED_PER_S = 50
# Whoever looks for pages that are not there must not take the place of refused logins: error pages have a little of their own.
MAX_PAGES_PER_S = 5
REFUSALS_TOLD_EVERY_S = 60.0

log = structlog.get_logger("wardgate.recorder")


@dataclass(slots=True)
class _Incident:
    kind: IncidentKind
    source: str
    nas: str
    detail: str
    count: int = 0
    last_at: int = 0


class _Sources:
    """Which sources of incidents have a row of their own. Whoever sends from forged addresses needs no secret to be counted."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}

    def told_apart(self, key: tuple[str, str], now: float) -> bool:
        """Whether this cause and source has a row of its own, which it may get now."""
        if key in self._since:
            return True
        # In the order in which they came, so the first is always the oldest.
        while self._since and next(iter(self._since.values())) <= now - SOURCES_TOLD_APART_S:
            del self._since[next(iter(self._since))]
        if len(self._since) >= MAX_INCIDENT_SOURCES:
            return False
        self._since[key] = now
        return True


@dataclass(slots=True)
class _EachSecond:
    """So many of something within a second."""

    most: int
    _second: int = 0
    _taken: int = 0

    def take(self, second: int) -> bool:
        """Whether this one is among them."""
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        return self._taken <= self.most


@dataclass(slots=True)
class Recorder:
    """One per worker. `run` stores what gathers; `publish` and `incident` never block."""

    storage: Storage
    ring: Callable[[], KeyRing]
    clock: Clock
    dropped: int = 0
    _backlog: deque[Operation] = field(default_factory=deque)
    _incidents: dict[tuple[str, str], _Incident] = field(default_factory=dict)
    _strangers: _Sources = field(default_factory=_Sources)
    _nas: _Sources = field(default_factory=_Sources)
    _listeners: set[Callable[[], None]] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _refused: Counter[str] = field(default_factory=Counter)
    _refused_told: float = 0.0
    _requests: _EachSecond = field(default_factory=lambda: _EachSecond(MAX_STORED_PER_S))
    _pages: _EachSecond = field(default_factory=lambda: _EachSecond(MAX_PAGES_PER_S))

    def publish(self, trail: Trail) -> None:
        """Store a finished trail, unless the engine's commit already did, and tell whoever looks."""
        if not trail.stored:
            if trail.result == "denied":
                self._refused[trail.reason] += 1
            if not trail.counted_only and self._may_store():
                trail.stored = True
                self._store(trail.entry(self.ring()))
        self._tell()

    def page(self, trail: Trail) -> None:
        """Keep what an error page gave its reader a reference of; of a flood of them a few, and the live log shows no more."""
        if self._pages.take(int(self.clock.monotonic())):
            self.publish(trail)
        else:
            self.dropped += 1

    def late(self, reference: str, transaction_id: str | None, user: str, body: dict[str, Any]) -> Operation:
        """Tell of something that happened to a login after its reply (a message handed over); the operation stores it."""
        self._tell()
        return entry(
            self.ring(),
            at_ms=to_ms(self.clock.now()),
            reference=reference,
            transaction_id=transaction_id,
            door=str(body["door"]),
            result=str(body["result"]),
            user=user,
            body=body,
        )

    def incident(self, kind: IncidentKind, source: str, nas: str = "", detail: str = "") -> None:
        """Count something that never became a login."""
        key = (kind.value, source)
        # Strangers cannot use up what our own NAS need: theirs are the troubles that an operator looks for.
        if not (self._nas if nas else self._strangers).told_apart(key, self.clock.monotonic()):
            key = (kind.value, MANY_SOURCES)
        known = self._incidents.setdefault(key, _Incident(kind, key[1], nas, detail))
        first_since_flush = known.count == 0
        known.count += 1
        known.last_at = to_ms(self.clock.now())
        known.detail, known.nas = detail, nas
        if first_since_flush:
            self._tell()
        self._wake.set()

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when there is something new to look at; returns how to stop."""
        self._listeners.add(callback)
        return lambda: self._listeners.discard(callback)

    async def run(self) -> None:
        """Store what gathers, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()
            await asyncio.sleep(FLUSH_EVERY_S)

    async def flush(self, last: bool = False) -> None:
        """Write the backlog and the incident counts now. `last`: the server stops; keep nothing back."""
        waiting, self._backlog = self._backlog, deque()
        incidents, self._incidents = list(self._incidents.values()), {}
        operations: list[Operation] = [*waiting, *(_counted(each) for each in incidents), *self._refusals(last)]
        for start in range(0, len(operations), 200):
            part = operations[start : start + 200]
            try:
                await self.storage.commit(part)
            except WardgateError as error:
                self.dropped += len(part)
                log.warning("timeline_not_stored", entries=len(part), error=error.message)

    def _refusals(self, last: bool) -> list[Operation]:
        """Refusals that changed nothing (a brake held, a State was unknown) are audited as counts by reason, once a minute."""
        now = self.clock.monotonic()
        if not self._refused or not (last or now - self._refused_told >= REFUSALS_TOLD_EVERY_S):
            return []
        counts, self._refused, self._refused_told = dict(self._refused), Counter(), now
        return [record(AuditEvent(Kind.DOOR_REFUSALS, to_ms(self.clock.now()), "engine", details={"refused": counts}))]

    def _may_store(self) -> bool:
        may = self._requests.take(int(self.clock.monotonic()))
        self.dropped += not may
        return may

    def _store(self, operation: Operation) -> None:
        if len(self._backlog) >= MAX_BACKLOG:
            self._backlog.popleft()
            self.dropped += 1
        self._backlog.append(operation)
        self._wake.set()

    def _tell(self) -> None:
        for listener in tuple(self._listeners) if self._listeners else ():
            listener()


def _counted(incident: _Incident) -> Modify:
    return Modify(
        "incident",
        {"kind": incident.kind.value, "source": incident.source},
        add_incident,
        {
            "kind": incident.kind.value,
            "source": incident.source,
            "nas": incident.nas,
            "detail": json.dumps(incident.detail, ensure_ascii=False),
            "count": incident.count,
            "at": incident.last_at,
        },
    )


def add_incident(old: Row | None, new: dict[str, Value] | Row) -> Modified:
    """The incident row after more of the same."""
    row = {
        "kind": new["kind"],
        "source": new["source"],
        "nas": new["nas"],
        "detail": new["detail"],
        "count": int(new["count"] or 0) + int((old["count"] if old else 0) or 0),
        "first_at": old["first_at"] if old else new["at"],
        "last_at": new["at"],
    }
    return Modified(row)
