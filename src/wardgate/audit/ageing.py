"""Erasing the payloads of audit events that are older than the span of their class; the chain and its commitments stay.

Chains are walked from their beginnings, in small steps, each a unit of its own: the payloads that go, an event that says how many
of which class, and how far the walk has come. So whatever is erased is on record at every moment, a walk that is cut short goes on
where it stood, and one that runs twice finds nothing. `created_at` has no index, on purpose (every login would pay for it): events
of a chain stand in the order of their times, and a walk ends at the first one that is too young.

Times are not trusted further than that. Whoever sets a clock wrong must not get a trail erased by it: nothing goes that is younger
than the newest event less the span, and an event that is dated before its time waits until those in front of it may go.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.heads import ChainId, whole
from wardgate.audit.retention import EventClass, RetentionSettings, class_of, span_ms, span_written
from wardgate.audit.search import TABLE
from wardgate.audit.trail import list_chains
from wardgate.clock import from_ms
from wardgate.storage.port import Committed, Operation, Row, Storage, Update, Upsert, Where

BY: Final = "retention"
ACTOR: Final = "server"
CLASSES: Final = tuple(each for each in EventClass if each is not EventClass.KEPT)
# Whole days: a busy trail is not aged, and does not say so, every minute.
GRAIN_MS: Final = 86_400_000
# Events that claim to be of the future are passed over up to so many, when behind them old ones go on.
READ_AHEAD: Final = 500
# Pages in which an event that is no erasure is looked for.
MAX_LOOKS_BACK: Final = 100
# How much a clock may be ahead of ours and still be right.
SLACK_MS: Final = 60_000


def cutoffs(settings: RetentionSettings, now_ms: int) -> dict[EventClass, int]:
    """Before which moment the payloads of each class go: the same all day long."""
    return {each: (now_ms - span_ms(settings, each.value)) // GRAIN_MS * GRAIN_MS for each in CLASSES}


@dataclass(frozen=True, slots=True)
class _Walk:
    """One chain, for the classes that have come as far as each other and go until the same moment."""

    chain: ChainId
    classes: tuple[EventClass, ...]
    before_ms: int
    position: int


class Ageing:
    """One sweep over every chain. `begin`, then `step` until it returns None."""

    def __init__(self, storage: Storage, settings: RetentionSettings, now_ms: int) -> None:
        self._storage = storage
        self._settings = settings
        self._now_ms = now_ms
        self._positions: dict[ChainId, dict[EventClass, int]] = {}
        self._walks: list[_Walk] = []

    async def begin(self) -> None:
        """Look how far earlier sweeps came in each chain."""
        chains = [ChainId(*each) for each in await list_chains(self._storage)]
        newest_ms = max([await self._newest_ms(chain) for chain in chains], default=0)
        until = cutoffs(self._settings, min(self._now_ms, newest_ms))
        for chain in chains:
            self._positions[chain] = _positions(await self._storage.get("installation", {"name": _place(chain)}))
            self._walks += _walks(chain, self._positions[chain], until)

    async def _newest_ms(self, chain: ChainId) -> int:
        """When the newest event of a chain was that is no erasure: those are dated by the very clock that may be wrong."""
        before: list[Where] = []
        for _ in range(MAX_LOOKS_BACK):
            rows = await self._storage.find(TABLE, [*chain.where(), *before], order_by="seq", descending=True, limit=READ_AHEAD)
            for row in rows:
                if row["kind"] != Kind.PAYLOADS_ERASED.stored:
                    return whole(row["created_at"])
            if len(rows) < READ_AHEAD:
                return 0
            before = [Where("seq", "<", rows[-1]["seq"])]
        return 0

    async def step(self, rows: int) -> int | None:
        """Look at the next events of a chain, at most `rows`; returns how many payloads went, None when nothing is left to do."""
        while self._walks:
            walk = self._walks[-1]
            due = await self._due(walk, rows)
            if due:
                return await self._erase(walk, due)
            self._walks.pop()
        return None

    async def _due(self, walk: _Walk, rows: int) -> Sequence[Row]:
        """The next events that are older than the moment, whatever their class."""
        beyond = (*walk.chain.where(), Where("seq", ">", walk.position))
        found = await self._storage.find(TABLE, beyond, order_by="seq", limit=rows)
        due = due_of(found, walk.before_ms, self._now_ms)
        if not due and rows < READ_AHEAD and len(found) == rows and not _young(found[0], walk.before_ms, self._now_ms):
            found = await self._storage.find(TABLE, beyond, order_by="seq", limit=READ_AHEAD)
            due = due_of(found, walk.before_ms, self._now_ms)
        return due

    async def _erase(self, walk: _Walk, due: Sequence[Row]) -> int:
        gone = [row for row in due if row["payload"] is not None and class_of(row["kind"]) in walk.classes]
        last = whole(due[-1]["seq"])
        positions = self._positions[walk.chain] | dict.fromkeys(walk.classes, last)
        unit: list[Operation] = [_without_payload(row) for row in gone]
        if gone:
            unit.append(self._event(walk, gone))
        unit.append(Upsert("installation", {"name": _place(walk.chain), "value": _written(positions)}))
        if not isinstance(await self._storage.commit(unit), Committed):
            # Somebody erases the same payloads: what is left goes with the next sweep.
            self._walks.pop()
            return 0
        self._positions[walk.chain] = positions
        self._walks[-1] = _Walk(walk.chain, walk.classes, walk.before_ms, last)
        return len(gone)

    def _event(self, walk: _Walk, gone: Sequence[Row]) -> Operation:
        classes = [class_of(row["kind"]) for row in gone]
        seqs = [whole(row["seq"]) for row in gone]
        details = {
            "by": BY,
            "events": len(gone),
            "classes": {each.value: classes.count(each) for each in walk.classes if each in classes},
            "spans": {each.value: span_written(self._settings, each.value) for each in walk.classes if each in classes},
            "before": from_ms(walk.before_ms).isoformat(),
            "chains": {
                f"{walk.chain.writer}:{walk.chain.epoch}": {"first": min(seqs), "last": max(seqs), "events": len(seqs)},
            },
        }
        return record(AuditEvent(Kind.PAYLOADS_ERASED, self._now_ms, ACTOR, details=details))


def due_of(rows: Sequence[Row], before_ms: int, now_ms: int) -> Sequence[Row]:
    """The events up to the last one that is older than `before_ms` and stands in front of every young one.

    What claims to be of the future was dated by a clock that was wrong. It is as old as those around it: it goes when older ones
    stand behind it, for it happened before them.
    """
    end = 0
    for number, row in enumerate(rows):
        if _young(row, before_ms, now_ms):
            break
        if whole(row["created_at"]) < before_ms:
            end = number + 1
    return rows[:end]


def _young(row: Row, before_ms: int, now_ms: int) -> bool:
    return before_ms <= whole(row["created_at"]) <= now_ms + SLACK_MS


def _walks(chain: ChainId, positions: Mapping[EventClass, int], until: Mapping[EventClass, int]) -> list[_Walk]:
    together: dict[tuple[int, int], list[EventClass]] = {}
    for each in CLASSES:
        together.setdefault((until[each], positions.get(each, 0)), []).append(each)
    return [_Walk(chain, tuple(classes), before_ms, position) for (before_ms, position), classes in together.items()]


def _without_payload(row: Row) -> Operation:
    key = {name: row[name] for name in ("writer", "epoch", "seq")}
    return Update(TABLE, key, {"payload": None, "salt": None}, (Where("payload", "not_null"),))


# --- how far it has come -------------------------------------------------------------------------------------------------


def _place(chain: ChainId) -> str:
    return f"audit_aged:{chain.writer}:{chain.epoch}"


def _written(positions: Mapping[EventClass, int]) -> str:
    return json.dumps({each.value: seq for each, seq in positions.items()})


def _positions(row: Row | None) -> dict[EventClass, int]:
    """Positions as they were stored; a row that somebody spoilt only makes the walk longer."""
    try:
        told = json.loads(str(row["value"])) if row is not None else {}
    except ValueError:
        return {}
    if not isinstance(told, dict):
        return {}
    return {each: whole(told.get(each.value)) for each in CLASSES}
