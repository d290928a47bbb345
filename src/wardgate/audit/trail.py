"""The keyed hash chain over audit events, and its verifier.

One chain per writer and epoch. Link n is HMAC-SHA-256 over link n-1, the event's number, kind, time, ids and the salted
commitment of its payload, so that a payload can be erased without breaking the chain. The verifier detects a changed,
inserted, removed or reordered event inside the chain. It cannot detect that the newest events were cut off unless it is
given a head that was noted down before. It needs the key; `heads.py` and `offline.py` are for auditors who have none.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from wardgate.audit.events import Kind, commitment
from wardgate.crypto import HmacSha256, KeyRing, same
from wardgate.jsons import loads
from wardgate.storage.port import Reader, Row, Where

LINK_BYTES = 32
GENESIS = b"\0" * LINK_BYTES
VERIFY_PAGE = 1000


class Chain:
    """Computes links. Satisfies `storage.port.ChainLink`."""

    def __init__(self, key: bytes, writer: str, epoch: int) -> None:
        self._key = key
        self._keyed = HmacSha256(key)
        self.writer = writer
        self.epoch = epoch
        self._context = f"{writer}\0{epoch}\0".encode()

    def __reduce__(self) -> tuple[type["Chain"], tuple[bytes, str, int]]:
        """Another process makes its own: a keyed hash that has begun does not travel."""
        return Chain, (self._key, self.writer, self.epoch)

    def link(self, previous: bytes, seq: int, row: Row) -> bytes:
        """The link of the event `row` at number `seq` after `previous`."""
        fields = (row["kind"], row["created_at"], row["transaction_id"], row["reference"], row["subject_id"])
        # An empty text is not the same as none, or an id could be taken away unseen.
        text = "\0".join("" if value is None else "=" + str(value) for value in fields).encode()
        commitment_bytes = row["commitment"]
        tail = commitment_bytes if isinstance(commitment_bytes, bytes) else b""
        return self._keyed.digest(b"".join((self._context, previous, seq.to_bytes(8, "big"), tail, text)))


def chain_for(ring: KeyRing, writer: str, epoch: int) -> Chain:
    """The chain of one writer; its key is derived from the ring's root and never rotates."""
    return Chain(ring.mac("audit-chain"), writer, epoch)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: note it down outside to detect a later truncation."""

    writer: str
    epoch: int
    seq: int
    link: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a chain, and at which event."""

    writer: str
    epoch: int
    seq: int
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a whole verification.

    `on_record`: how many payloads the events of erasures say were erased; `by_retention`: those of them that had their time.
    """

    events: int
    erased: int
    heads: tuple[Head, ...]
    findings: tuple[Finding, ...]
    on_record: int = 0
    by_retention: int = 0


async def verify(
    storage: Reader,
    ring: KeyRing,
    expected_heads: tuple[Head, ...] = (),
    progress: Callable[[int], None] = lambda events: None,
) -> Verification:
    """Walk every chain and recompute it. `expected_heads`: heads noted earlier, to detect that events were cut off.

    `progress` is told now and then how many events were seen.
    """
    events = erased = on_record = by_retention = 0
    heads: list[Head] = []
    findings: list[Finding] = []
    for writer, epoch in await list_chains(storage):
        chain = chain_for(ring, writer, epoch)
        previous, seq = GENESIS, 0
        wanted = {head.seq: head.link for head in expected_heads if (head.writer, head.epoch) == (writer, epoch)}
        async for row in _events(storage, writer, epoch):
            seq += 1
            events += 1
            if events % VERIFY_PAGE == 0:
                progress(events)
            problem, gone = _check(chain, previous, seq, row)
            erased += gone
            count, aged = _erasures(row) if problem is None else (0, False)
            on_record, by_retention = on_record + count, by_retention + (count if aged else 0)
            previous = bytes(row["link"]) if isinstance(row["link"], bytes) else b""
            if problem is None and seq in wanted and wanted[seq] != previous.hex():
                problem = "differs from the head that was noted down"
            if problem is not None:
                findings.append(Finding(writer, epoch, int(row["seq"] or 0), problem))
                seq = int(row["seq"] or 0)
        heads.append(Head(writer, epoch, seq, previous.hex()))
        findings += [Finding(writer, epoch, n, "events up to here were cut off") for n in wanted if n > seq]
    known = {(head.writer, head.epoch) for head in heads}
    findings += [
        Finding(head.writer, head.epoch, head.seq, "the whole chain is gone")
        for head in expected_heads
        if (head.writer, head.epoch) not in known
    ]
    return Verification(events, erased, tuple(heads), tuple(findings), on_record, by_retention)


def _check(chain: Chain, previous: bytes, seq: int, row: Row) -> tuple[str | None, int]:
    if row["seq"] != seq:
        return f"event {seq} is missing", 0
    link = row["link"]
    if not isinstance(link, bytes) or not same(chain.link(previous, seq, row), link):
        return "the event or one before it was changed", 0
    payload, salt, kept = row["payload"], row["salt"], row["commitment"]
    if payload is None:
        return None, 1
    # A payload without its salt cannot be proved. It is no erased one: auditors would be shown what stands there.
    if not isinstance(salt, bytes) or not isinstance(kept, bytes) or not same(commitment(salt, str(payload)), kept):
        return "the payload was changed", 0
    return None, 0


def _erasures(row: Row) -> tuple[int, bool]:
    """How many payloads this event says were erased, and whether because they had their time."""
    if row["kind"] != Kind.PAYLOADS_ERASED.stored or row["payload"] is None:
        return 0, False
    told = loads(str(row["payload"]))
    count = told.get("events")
    return (count if isinstance(count, int) else 0), told.get("by") == "retention"


async def list_chains(storage: Reader, table: str = "audit_event") -> list[tuple[str, int]]:
    """Every (writer, epoch), found by skipping from one to the next: not by their first events, which may have been removed."""
    chains: list[tuple[str, int]] = []
    beyond: list[Where] = []
    while first := await storage.find(table, beyond, order_by="writer", limit=1):
        writer = str(first[0]["writer"])
        within = [Where("writer", "=", writer)]
        later: list[Where] = []
        while row := await storage.find(table, [*within, *later], order_by="epoch", limit=1):
            epoch = int(row[0]["epoch"] or 0)
            chains.append((writer, epoch))
            later = [Where("epoch", ">", epoch)]
        beyond = [Where("writer", ">", writer)]
    return chains


async def _events(storage: Reader, writer: str, epoch: int) -> AsyncIterator[Row]:
    """All events that claim to be of this chain, whatever their numbers, in order."""
    chain = [Where("writer", "=", writer), Where("epoch", "=", epoch)]
    beyond: list[Where] = []
    while True:
        rows = await storage.find("audit_event", [*chain, *beyond], order_by="seq", limit=VERIFY_PAGE)
        for row in rows:
            yield row
        if len(rows) < VERIFY_PAGE:
            return
        beyond = [Where("seq", ">", rows[-1]["seq"])]
