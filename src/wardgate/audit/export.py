"""The export of the audit trail: JSON Lines that `offline.py` verifies without the server and without its keys.

Three kinds of line, told apart by `type`, each with exactly the keys named here and in this order, as compact JSON:

- `export`: the first line of every run: format, installation, and the public key of the heads (32 bytes in hexadecimal);
- `event`: every column of an event. Bytes are hexadecimal; `payload` is JSON text inside a string, because the commitment is
  over its very characters; both it and `salt` are null once they were erased;
- `head`: a signed head; `others` is its statement, again as the very text that was signed.

Events of one chain stand in the order of their numbers, a head behind its event. Heads of all chains come in the order in
which they were signed, each with the events that it covers in front of it, so that what a head says of other chains is known
when it is read. While an export follows, events come first and their heads up to a minute later.

Reading goes in pages from **positions**, one for each chain: numbers in a chain, never times, so that what a slow commit adds
is neither lost nor doubled. Whoever asks keeps the positions; the server remembers nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wardgate.audit.events import MAX_PAYLOAD_CHARS
from wardgate.audit.heads import TABLE, ChainId, Patience, is_signed, whole
from wardgate.audit.trail import list_chains
from wardgate.jsons import dumps
from wardgate.storage.port import MAX_FINDS, Find, Reader, Row, Value, Where

FORMAT: Final = 1
EVENT_COLUMNS: Final = (
    "writer", "epoch", "seq", "kind", "created_at", "transaction_id", "reference", "subject_id", "payload", "salt", "commitment",
    "link",
)  # fmt: skip
HEAD_COLUMNS: Final = ("writer", "epoch", "seq", "link", "others", "signature", "created_at")
EVENT: Final = "event"
HEAD: Final = "head"
OPENING: Final = "export"
OPENING_COLUMNS: Final = ("format", "installation", "public_key")
# Nothing that we write is longer; what somebody else wrote into the table is cut, and is then found to be changed.
MAX_TEXT_CHARS: Final = 4 * MAX_PAYLOAD_CHARS
MAX_BYTES: Final = 128
# A page in characters before they are escaped: far below what the control socket carries.
MAX_PAGE_CHARS: Final = 512 * 1024
ROW_CHARS: Final = 400
READ_ROWS: Final = 500
HEADS_AT_ONCE: Final = 50
MAX_CHAINS: Final = 10_000


@dataclass(slots=True)
class Position:
    """How far an export has come in one chain: its last event and its last head."""

    writer: str
    epoch: int
    seq: int
    head: int


@dataclass(frozen=True, slots=True)
class Record:
    """One line to be: `kind` is EVENT or HEAD."""

    kind: str
    row: Row


@dataclass(frozen=True, slots=True)
class Page:
    """Some records and where they end. `more`: there are more at once."""

    records: list[Record]
    positions: list[Position]
    more: bool


# --- lines -------------------------------------------------------------------------------------------------------------


def opening_line(installation: str, key: Ed25519PublicKey) -> str:
    """The line that every run begins with."""
    facts = {"type": OPENING, "format": FORMAT, "installation": installation, "public_key": key.public_bytes_raw().hex()}
    return dumps(facts) + "\n"


def lines(records: Iterable[Record]) -> str:
    """Records as they stand in a file."""
    return "".join([_line(record) for record in records])


def _line(record: Record) -> str:
    row, columns = record.row, EVENT_COLUMNS if record.kind == EVENT else HEAD_COLUMNS
    plain: dict[str, str | int | None] = {"type": record.kind}
    for name in columns:
        plain[name] = _plain(row[name])
    return dumps(plain) + "\n"


def _plain(value: Value) -> str | int | None:
    if isinstance(value, bytes):
        return value[:MAX_BYTES].hex()
    return value[:MAX_TEXT_CHARS] if isinstance(value, str) else value


# --- where to begin ----------------------------------------------------------------------------------------------------


async def start(
    storage: Reader, key: Ed25519PublicKey, since_seq: int | None = None, since_ms: int | None = None
) -> tuple[list[Record], list[Position]]:
    """Where an export begins: at the first event of each chain, or behind a head, which then stands in front as an anchor.

    `since_seq`: at this number of every chain, `since_ms`: at what was written then; both are moved back to the nearest head.
    """
    anchors: list[Record] = []
    positions: list[Position] = []
    for chain in await all_chains(storage):
        head = None
        if since_seq is not None:
            head = await _head_before(storage, key, chain, Where("seq", "<", since_seq))
        elif since_ms is not None:
            head = await _head_before(storage, key, chain, Where("created_at", "<=", since_ms))
        seq = whole(head["seq"]) if head is not None else 0
        anchors += [] if head is None else [Record(HEAD, head)]
        positions.append(Position(chain.writer, chain.epoch, seq, seq))
    return anchors, positions


async def all_chains(storage: Reader) -> list[ChainId]:
    """Every chain that has events or heads: one of which only heads are left was dropped."""
    found = {ChainId(*each) for table in ("audit_event", TABLE) for each in await list_chains(storage, table)}
    return sorted(found)[:MAX_CHAINS]


async def _head_before(storage: Reader, key: Ed25519PublicKey, chain: ChainId, bound: Where) -> Row | None:
    """The newest head within the bound; one that is not ours anchors nothing, and the export begins at the beginning."""
    found = await storage.find(TABLE, [*chain.where(), bound], order_by="seq", descending=True, limit=1)
    return found[0] if found and is_signed(key, found[0]) else None


# --- pages -------------------------------------------------------------------------------------------------------------


async def next_page(
    storage: Reader,
    positions: Sequence[Position],
    patience: Patience,
    look_for_chains: bool = True,
    max_chars: int = MAX_PAGE_CHARS,
) -> Page:
    """What comes after these positions. `look_for_chains`: take in chains that began meanwhile, which costs some reads."""
    at = {ChainId(each.writer, each.epoch): Position(each.writer, each.epoch, each.seq, each.head) for each in positions}
    if look_for_chains:
        for chain in await all_chains(storage):
            at.setdefault(chain, Position(chain.writer, chain.epoch, 0, 0))
    pager = _Pager(storage, at, patience, max_chars)
    more = await pager.fill()
    return Page(pager.records, list(at.values()), more)


class _Pager:
    """Fills one page."""

    def __init__(self, storage: Reader, at: dict[ChainId, Position], patience: Patience, max_chars: int) -> None:
        self.records: list[Record] = []
        self._storage = storage
        self._at = at
        self._patience = patience
        self._room = max_chars

    async def fill(self) -> bool:
        """Take heads in the order in which they were signed, each after its events; then what has no head yet."""
        # Heads are read first: whatever they sign is visible when the events are read.
        heads, complete = await self._next_heads()
        for chain, head in heads:
            if not await self._events(chain, whole(head["seq"])):
                return True
            self._put(HEAD, head)
            self._at[chain].head = whole(head["seq"])
        if not complete:
            return True
        for chain in list(self._at):
            if not await self._events(chain, None):
                return True
        return False

    async def _next_heads(self) -> tuple[list[tuple[ChainId, Row]], bool]:
        """The next heads of all chains in the order of their times, and whether these are all that there are."""
        chains = list(self._at)
        found: list[tuple[ChainId, Row]] = []
        horizon: int | None = None
        for first in range(0, len(chains), MAX_FINDS):
            part = chains[first : first + MAX_FINDS]
            finds = [self._heads_after(chain) for chain in part]
            for chain, rows in zip(part, await self._storage.read(finds), strict=True):
                found += [(chain, row) for row in rows]
                if len(rows) == HEADS_AT_ONCE:
                    last = max(whole(row["created_at"]) for row in rows)
                    horizon = last if horizon is None else min(horizon, last)
        # A chain's own heads stay in the order of their numbers, whatever a clock that was set back made of the times.
        times: dict[ChainId, int] = {}
        ordered = []
        for chain, row in found:
            times[chain] = max(times.get(chain, 0), whole(row["created_at"]))
            ordered.append((times[chain], chain, whole(row["seq"]), row))
        ordered.sort(key=lambda each: each[:3])
        return [(chain, row) for at, chain, _, row in ordered if horizon is None or at <= horizon], horizon is None

    def _heads_after(self, chain: ChainId) -> Find:
        return Find(TABLE, (*chain.where(), Where("seq", ">", self._at[chain].head)), "seq", limit=HEADS_AT_ONCE)

    async def _events(self, chain: ChainId, up_to: int | None) -> bool:
        """Put the events of a chain up to this number, or all; False when the page is full before."""
        position = self._at[chain]
        while up_to is None or position.seq < up_to:
            if self._room <= 0:
                return False
            rows = await self._patience.events(self._storage, chain, position.seq, READ_ROWS, up_to)
            for row in rows:
                if self._room <= 0:
                    return False
                self._put(EVENT, row)
                position.seq = whole(row["seq"])
            if len(rows) < READ_ROWS:
                return True
        return True

    def _put(self, kind: str, row: Row) -> None:
        self.records.append(Record(kind, row))
        text = row["payload"] if kind == EVENT else row["others"]
        self._room -= ROW_CHARS + (min(len(text), MAX_TEXT_CHARS) if isinstance(text, str) else 0)
