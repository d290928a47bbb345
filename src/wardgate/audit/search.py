"""Searching the audit trail, newest first, in pages that read a bounded number of events however large the trail is.

No column but the number in a chain is indexed, on purpose: every login would pay for it. Numbers rise with time, so a time is
found by halving, and what is looked for is filtered while the chains are read backwards, side by side. A page ends when it has
enough or has looked at `MAX_SCANNED` events; its positions say where the next one goes on. They are numbers, so that nothing is
told twice and nothing that was there is left out, whatever is written meanwhile.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from wardgate.audit.heads import ChainId, whole
from wardgate.audit.timeline import by_reference
from wardgate.audit.trail import list_chains
from wardgate.storage.port import MAX_FINDS, Find, Reader, Row, Where

TABLE: Final = "audit_event"
MAX_SCANNED: Final = 5_000
MAX_RESULTS: Final = 500
MAX_CHAINS: Final = 10_000
READ_ROWS: Final = 500
FIRST_ROWS: Final = 8
# Events of a chain stand in the order in which they were committed, which may differ by this much from that of their times.
SLACK_MS: Final = 60_000
# What is written of one login lies close together.
LOGIN_MS: Final = 15 * 60_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; everything that is set has to hold.

    `users`: names, without regard to case or realm. `subjects`: the people meant; an event of one of them counts
    whichever name it bears. `kinds`: whole kinds (`engine:login:denied`) or their first words (`engine`, `engine:login`). `node`: a
    chain's writer, or the machine that it is a worker of. `text`: anywhere in the payload, without regard to case.
    `from_ms` is within, `to_ms` is not.
    """

    users: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    application: str | None = None
    reference: str | None = None
    node: str | None = None
    text: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None

    def fits(self, row: Row) -> bool:
        """Whether an event is one of those."""
        if not self._in_time(whole(row["created_at"])) or (self.reference is not None and row["reference"] != self.reference):
            return False
        if self.kinds and not any(_of_kind(str(row["kind"]), kind) for kind in self.kinds):
            return False
        payload = str(row["payload"] or "")
        if self.text is not None and self.text.casefold() not in payload.casefold():
            return False
        return self._about(row, payload) if self.users or self.subjects or self.application is not None else True

    def of_node(self, writer: str) -> bool:
        """Whether a chain is one of the machine that is meant."""
        machine = writer.rpartition(".")[0]
        # A machine's name, the name with the digits that keep two of one name apart, and one worker of it.
        return self.node is None or self.node in (writer, machine, machine.rpartition("-")[0])

    def _in_time(self, at_ms: int) -> bool:
        return (self.from_ms is None or at_ms >= self.from_ms) and (self.to_ms is None or at_ms < self.to_ms)

    def _about(self, row: Row, payload: str) -> bool:
        told = payload_of(payload)
        if self.application is not None and told.get("application") != self.application:
            return False
        if not self.users and not self.subjects:
            return True
        return str(row["subject_id"]) in self.subjects or names_user(told, self.users)


@dataclass(frozen=True, slots=True)
class Found:
    """One page. `positions`: where each chain that is not at its end goes on; none: everything was seen.

    `reached_ms`: how far back it has looked.
    """

    rows: list[Row]
    positions: tuple[tuple[str, int, int], ...]
    scanned: int
    reached_ms: int | None


def payload_of(text: str | None) -> Mapping[str, Any]:
    """A payload as an object; an erased one, or one that somebody spoilt, tells nothing."""
    try:
        told = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def names_user(told: Mapping[str, Any], users: Sequence[str]) -> bool:
    """Whether a payload is about one of these users: in any case, and with or without a realm."""
    name = told.get("user")
    if not isinstance(name, str) or not users:
        return False
    # `ada` is also who typed ACME\\ada or ada@acme.test.
    plain = name.casefold()
    return not {plain, plain.rpartition("\\")[2], plain.partition("@")[0]}.isdisjoint(user.casefold() for user in users)


def _of_kind(stored: str, wanted: str) -> bool:
    return stored == wanted or stored.startswith(wanted + ":")


async def search(
    storage: Reader,
    wanted: Wanted,
    limit: int,
    positions: Sequence[tuple[str, int, int]] | None = None,
    max_scanned: int = MAX_SCANNED,
) -> Found:
    """The newest events that fit, from `positions` on backwards. `limit`: at most `MAX_RESULTS`."""
    if wanted.reference is not None:
        wanted = await _narrowed(storage, wanted)
    streams = await _streams(storage, wanted, positions)
    rows: list[Row] = []
    scanned, reached = 0, None
    limit = max(1, min(limit, MAX_RESULTS))
    while scanned < max_scanned and len(rows) < limit:
        newest = max((stream for stream in streams if stream.rows), key=lambda stream: stream.time_ms, default=None)
        if newest is None:
            break
        row = await newest.take(storage)
        scanned, reached = scanned + 1, whole(row["created_at"])
        if wanted.fits(row):
            rows.append(row)
    return Found(rows, tuple((*each.chain, each.seq) for each in streams if each.rows), scanned, reached)


async def _narrowed(storage: Reader, wanted: Wanted) -> Wanted:
    """The times near a login that the timeline still knows: then there is little to look through."""
    known = await by_reference(storage, wanted.reference or "", limit=100)
    if not known:
        return wanted
    begin, end = whole(known[0]["created_at"]) - LOGIN_MS, whole(known[-1]["created_at"]) + LOGIN_MS
    return replace(
        wanted,
        from_ms=begin if wanted.from_ms is None else max(begin, wanted.from_ms),
        to_ms=end if wanted.to_ms is None else min(end, wanted.to_ms),
    )


# --- chains, read backwards --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Stream:
    """A chain from event `seq` backwards; `rows` are read, the next one last. Without rows it is at its end."""

    chain: ChainId
    seq: int
    oldest_ms: int | None
    rows: list[Row]
    at_end: bool = False

    @property
    def time_ms(self) -> int:
        """When the next event happened."""
        return whole(self.rows[-1]["created_at"])

    def find(self, rows: int) -> Find:
        """The next events."""
        return Find(TABLE, (*self.chain.where(), Where("seq", "<=", self.seq)), "seq", descending=True, limit=rows)

    def fill(self, rows: list[Row], asked: int) -> None:
        """Take in what was read. Behind an event that is too old by far, nothing is looked at."""
        self.at_end = len(rows) < asked
        if self.oldest_ms is not None and rows and whole(rows[0]["created_at"]) < self.oldest_ms:
            rows = []
        self.rows = rows[::-1]

    async def take(self, storage: Reader) -> Row:
        """The next event; then there are rows again, unless that was the last one."""
        row = self.rows.pop()
        self.seq = whole(row["seq"]) - 1
        if self.oldest_ms is not None and whole(row["created_at"]) < self.oldest_ms:
            self.rows, self.at_end = [], True
        elif not self.rows and not self.at_end:
            [more] = await storage.read([self.find(READ_ROWS)])
            self.fill(more, READ_ROWS)
        return row


async def _streams(storage: Reader, wanted: Wanted, positions: Sequence[tuple[str, int, int]] | None) -> list[_Stream]:
    oldest = None if wanted.from_ms is None else wanted.from_ms - SLACK_MS
    if positions is None:
        chains = [ChainId(*each) for each in await list_chains(storage)]
        starts = [(chain, await _start(storage, chain, wanted.to_ms)) for chain in chains if wanted.of_node(chain.writer)]
    else:
        starts = [(ChainId(writer, epoch), seq) for writer, epoch, seq in positions]
    streams = [_Stream(chain, seq, oldest, []) for chain, seq in starts[:MAX_CHAINS]]
    for first in range(0, len(streams), MAX_FINDS):
        part = streams[first : first + MAX_FINDS]
        read = await storage.read([stream.find(FIRST_ROWS) for stream in part])
        for stream, rows in zip(part, read, strict=True):
            stream.fill(rows, FIRST_ROWS)
    return streams


async def _start(storage: Reader, chain: ChainId, to_ms: int | None) -> int:
    """The last event of a chain that may lie before `to_ms`: found by halving, for numbers rise with time."""
    last = await _at_or_before(storage, chain, None)
    if last is None or to_ms is None or whole(last["created_at"]) < to_ms + SLACK_MS:
        return 0 if last is None else whole(last["seq"])
    low, high = 0, whole(last["seq"])
    while high - low > 1:
        middle = (low + high) // 2
        row = await _at_or_before(storage, chain, middle)
        if row is None or whole(row["created_at"]) < to_ms + SLACK_MS:
            low = middle
        else:
            high = middle
    return low


async def _at_or_before(storage: Reader, chain: ChainId, seq: int | None) -> Row | None:
    bound = () if seq is None else (Where("seq", "<=", seq),)
    rows = await storage.find(TABLE, [*chain.where(), *bound], order_by="seq", descending=True, limit=1)
    return rows[0] if rows else None
