"""Erasing what the audit trail tells of a person: payload and salt go, the commitment stays, and with it the chain.

What is left of an event is its kind, its time and ids of ours that mean nothing elsewhere. Each page of erasures is one unit with
an event of its own that says how many went and why, never whose name: verifying compares the two, so that nobody erases unseen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.heads import whole
from wardgate.audit.search import MAX_RESULTS, TABLE, Wanted, payload_of, search
from wardgate.errors import Conflict
from wardgate.storage.port import Committed, Delete, Operation, Row, Storage, Update, Where

_KEY: Final = ("writer", "epoch", "seq")


@dataclass(frozen=True, slots=True)
class Erasure:
    """Whose payloads go, and why.

    `names` are compared whole. With `subjects` known, an event that bears a name and another subject is another person's: one who
    had the name before, or has it now.
    """

    names: tuple[str, ...]
    subjects: tuple[str, ...]
    reason: str
    actor: str

    def covers(self, row: Row) -> bool:
        """Whether the payload of an event goes. Erasures stay told."""
        if row["payload"] is None or row["kind"] == Kind.PAYLOADS_ERASED.stored:
            return False
        if row["subject_id"] is not None and self.subjects:
            return row["subject_id"] in self.subjects
        name = payload_of(str(row["payload"])).get("user")
        return isinstance(name, str) and name.casefold() in {each.casefold() for each in self.names}


@dataclass(frozen=True, slots=True)
class Erased:
    """One page: how many went, how many were looked at, where the next one goes on (none: everything was seen)."""

    erased: int
    scanned: int
    positions: tuple[tuple[str, int, int], ...]


async def erase_page(
    storage: Storage, erasure: Erasure, now_ms: int, positions: Sequence[tuple[str, int, int]] | None = None
) -> Erased:
    """Erase the newest payloads that the erasure covers, from `positions` on backwards, and the timelines of their logins.

    Raises Conflict.
    """
    found = await search(storage, Wanted(users=erasure.names, subjects=erasure.subjects), MAX_RESULTS, positions)
    rows = [row for row in found.rows if erasure.covers(row)]
    # The flight recorder tells more of these logins, under whichever name was typed.
    logins = [row for row in found.rows if row["subject_id"] in erasure.subjects or erasure.covers(row)]
    references = tuple({str(row["reference"]) for row in logins if row["reference"]})
    if rows or references:
        unit: list[Operation] = [*map(_without_payload, rows), *([_event(erasure, rows, now_ms)] if rows else [])]
        unit += [Delete("timeline", (Where("reference", "in", references),))] if references else []
        commit = await storage.commit(unit)
        if not isinstance(commit, Committed):
            raise Conflict("somebody else erased the same payloads meanwhile: run it again")
    return Erased(len(rows), found.scanned, found.positions)


def _without_payload(row: Row) -> Operation:
    key = {name: row[name] for name in _KEY}
    return Update(TABLE, key, {"payload": None, "salt": None}, (Where("payload", "not_null"),))


def _event(erasure: Erasure, rows: Sequence[Row], now_ms: int) -> Operation:
    chains: dict[str, list[int]] = {}
    for row in rows:
        chains.setdefault(f"{row['writer']!s}:{row['epoch']!s}", []).append(whole(row["seq"]))
    details = {
        "reason": erasure.reason,
        "events": len(rows),
        "chains": {chain: {"first": min(seqs), "last": max(seqs), "events": len(seqs)} for chain, seqs in chains.items()},
    }
    subject_id = erasure.subjects[0] if erasure.subjects else None
    return record(AuditEvent(Kind.PAYLOADS_ERASED, now_ms, erasure.actor, subject_id=subject_id, details=details))
