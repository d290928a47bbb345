"""Signed heads: once a minute each chain's end is signed, so that an auditor can check an export with a public key alone.

The links of a chain are keyed, and an outsider cannot recompute them. A head therefore signs, beside seq and link, a
**digest**: a plain SHA-256 chain over everything that is exported of an event but payload and salt, which may be erased
and are held by the commitment. It runs from the first event of the chain to the head, so every head stands for all before it, and
heads may be thinned out. Before it signs, the server recomputes the keyed links of what came since the last head: who can write
to the database, but has no key, gets no change signed without a fault in the head that says so.

Heads name each other: a head repeats the last heads of other chains (`CrossLink`), so that no chain can be cut, rewound or
dropped alone. All chains cut at the same moment show only against a head that was noted or exported before.
"""

import asyncio
import hashlib
import struct
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from wardgate.audit.trail import GENESIS, LINK_BYTES, Chain, chain_for, list_chains
from wardgate.clock import Clock, to_ms
from wardgate.crypto import KeyRing, same
from wardgate.errors import MessageError
from wardgate.jsons import dumps, loads
from wardgate.storage.port import MAX_FINDS, Find, Reader, Row, Storage, Upsert, Value, Where

TABLE: Final = "audit_head"
VERSION: Final = 1
SIGN_EVERY_S: Final = 60.0
# Every head stays for so long. One signs all before it, so the janitor may take older ones away.
KEEP_MS: Final = 400 * 86_400_000
MAX_CROSS_LINKS: Final = 8
MAX_FAULTS: Final = 10
# A page is folded without a pause: logins have to fit in between.
PAGE_ROWS: Final = 200
# At most so many events stand between two heads, and are taken by one call: whoever is far behind is called again.
SEGMENT_EVENTS: Final = 50_000
MAX_EVENTS_PER_CALL: Final = 1_000_000
# A number that is not there yet may be in a commit that is under way at another worker.
LATE_COMMIT_S: Final = 2.0
MAX_WAITS: Final = 3
MAX_FORGED_HEADS: Final = 1_000
_CONTEXT: Final = b"wardgate-audit-head-1\0"
_NUMBERS: Final = struct.Struct(">qq")

Pause = Callable[[float], Awaitable[None]]
log = structlog.get_logger("wardgate.audit")


class ChainId(NamedTuple):
    """One chain."""

    writer: str
    epoch: int

    def where(self) -> list[Where]:
        """The conditions that select its rows."""
        return [Where("writer", "=", self.writer), Where("epoch", "=", self.epoch)]


class HeadError(MessageError):
    """The statement of a head is not one that we write."""

    code = "audit_head_malformed"


# --- the digest --------------------------------------------------------------------------------------------------------


def first_digest(chain: ChainId) -> bytes:
    """The digest of a chain without events."""
    return hashlib.sha256(b"wardgate-audit-chain-1\0" + f"{chain.writer}\0{chain.epoch}".encode()).digest()


def canonical(seq: int, row: Row) -> bytes:
    """What the digest runs over. Texts hold no U+0000; an empty one is told from none by its `=`."""
    fields: tuple[object, ...] = (row["kind"], row["transaction_id"], row["reference"], row["subject_id"])
    text = "\0".join(["" if value is None else f"={value}" for value in fields])
    numbers = _NUMBERS.pack(seq, whole(row["created_at"]))
    return b"".join((numbers, _fixed(row["link"]), _fixed(row["commitment"]), text.encode()))


def next_digest(previous: bytes, canonical_event: bytes) -> bytes:
    """The digest after one more event."""
    return hashlib.sha256(previous + canonical_event).digest()


def whole(value: Value) -> int:
    """A number of a row, or 0 for what somebody else put into its place."""
    return value if type(value) is int else 0


def _fixed(value: Value) -> bytes:
    # Another length is a finding wherever links are checked; here it must only not move the border to the next field.
    return value if isinstance(value, bytes) and len(value) == LINK_BYTES else bytes(LINK_BYTES)


# --- the statement and its signature -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CrossLink:
    """What a head says of another chain: its digest at an event."""

    writer: str
    epoch: int
    seq: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """What a head says in its column `others`. `faults`: events since the head before that the signer found unsound."""

    digest: bytes
    heads: tuple[CrossLink, ...] = ()
    faults: tuple[int, ...] = ()
    faults_count: int = 0

    def text(self) -> str:
        """As it is stored and signed."""
        heads = [{"writer": at.writer, "epoch": at.epoch, "seq": at.seq, "digest": at.digest.hex()} for at in self.heads]
        plain = {"version": VERSION, "digest": self.digest.hex(), "heads": heads}
        return dumps({**plain, "faults": list(self.faults), "faults_count": self.faults_count})


def read_statement(text: str) -> Statement:
    """The statement of a head whose signature holds. Raises HeadError."""
    try:
        plain = loads(text)
        if plain["version"] != VERSION:
            raise HeadError(f"the head has version {plain['version']!r}; this release knows {VERSION}")
        heads = [CrossLink(str(at["writer"]), int(at["epoch"]), int(at["seq"]), _digest(at["digest"])) for at in plain["heads"]]
        faults = tuple(int(seq) for seq in plain["faults"])
        return Statement(_digest(plain["digest"]), tuple(heads), faults, int(plain["faults_count"]))
    except (ValueError, KeyError, TypeError) as error:
        raise HeadError("the head holds no statement") from error


def _digest(text: str) -> bytes:
    digest = bytes.fromhex(text)
    if len(digest) != LINK_BYTES:
        raise ValueError("not a digest")
    return digest


def signing_key(ring: KeyRing) -> Ed25519PrivateKey:
    """The key that signs heads.

    Derived from the ring's root like the keys of the chains: every node has it, nothing needs to be stored that somebody
    could delete to get a new one made, and a rotation of the data keys changes nothing that an auditor noted down.
    """
    return Ed25519PrivateKey.from_private_bytes(ring.mac("audit-head-signature"))


def public_pem(key: Ed25519PublicKey) -> str:
    """The public key as an auditor keeps it."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def read_public_key(pem: bytes) -> Ed25519PublicKey:
    """A public key as `public_pem` gave it. Raises HeadError."""
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise HeadError("not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise HeadError("not an Ed25519 public key")
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    """A short name for a public key, to be compared by people."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def signed_bytes(row: Row) -> bytes:
    """What the signature of a head covers: every column but itself, each with its length."""
    parts = (str(row["writer"]).encode(), _bytes(row["link"]), str(row["others"]).encode())
    numbers = (row["epoch"], row["seq"], row["created_at"])
    whole_numbers = b"".join(whole(number).to_bytes(8, "big", signed=True) for number in numbers)
    return _CONTEXT + whole_numbers + b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def is_signed(key: Ed25519PublicKey, row: Row) -> bool:
    """Whether this key signed this head."""
    try:
        key.verify(_bytes(row["signature"]), signed_bytes(row))
    except InvalidSignature:
        return False
    return True


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""


# --- reading events in order -------------------------------------------------------------------------------------------


class Patience:
    """Waits for commits that are under way, a few times only: an event that was removed never comes."""

    def __init__(self, pause: Pause, waits: int = MAX_WAITS) -> None:
        self._pause = pause
        self._left = waits

    async def events(self, storage: Reader, chain: ChainId, after: int, limit: int, up_to: int | None = None) -> list[Row]:
        """Events of a chain after number `after`, in order; asked for again after a moment when numbers are missing."""
        bounds = [Where("seq", ">", after), *([] if up_to is None else [Where("seq", "<=", up_to)])]
        where = [*chain.where(), *bounds]
        rows = await storage.find("audit_event", where, order_by="seq", limit=limit)
        if self._left and rows and rows[-1]["seq"] != after + len(rows):
            self._left -= 1
            await self._pause(LATE_COMMIT_S)
            rows = await storage.find("audit_event", where, order_by="seq", limit=limit)
        return rows


# --- signing -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signed:
    """What a call of `sign_heads` did. `behind`: there is more; call again at once."""

    heads: int
    events: int
    faults: int
    behind: bool


@dataclass(slots=True)
class _Known:
    """Where the last signed head of a chain stands, and when it was signed."""

    seq: int
    link: bytes
    digest: bytes
    at_ms: int


async def sign_heads(
    storage: Storage,
    rings: Callable[[], KeyRing],
    clock: Clock,
    *,
    pause: Pause = asyncio.sleep,
    max_events: int | None = None,
) -> Signed:
    """Sign the head of every chain that moved since its last head. For whoever holds the lease; two at once do no harm.

    Each head is a commit of its own, so a call may be cut off anywhere. Raises WardgateError when storage fails.
    """
    signer = _Signer(storage, rings(), clock, pause)
    newest = await signer.look()
    for chain, end in newest.items():
        await signer.sign(chain, end, MAX_EVENTS_PER_CALL if max_events is None else max_events)
    behind = any(signer.known[chain].seq < end for chain, end in newest.items())
    return Signed(signer.heads, signer.events, signer.faults, behind)


async def sign_all_heads(storage: Storage, rings: Callable[[], KeyRing], clock: Clock, *, pause: Pause = asyncio.sleep) -> Signed:
    """The same until nothing is left: after an upgrade, or a long time without anybody who signed, there may be a lot."""
    heads = events = faults = 0
    while True:
        signed = await sign_heads(storage, rings, clock, pause=pause)
        heads, events, faults = heads + signed.heads, events + signed.events, faults + signed.faults
        if not signed.behind or not signed.events:
            return Signed(heads, events, faults, signed.behind)


class _Signer:
    """One call of `sign_heads`."""

    def __init__(self, storage: Storage, ring: KeyRing, clock: Clock, pause: Pause) -> None:
        self._storage = storage
        self._ring = ring
        self._clock = clock
        self._key = signing_key(ring)
        self._public = self._key.public_key()
        self._patience = Patience(pause)
        self.known: dict[ChainId, _Known] = {}
        self.heads = self.events = self.faults = 0

    async def look(self) -> dict[ChainId, int]:
        """Every chain with the number of its newest event; fills `known`."""
        chains = [ChainId(*each) for each in await list_chains(self._storage)]
        newest: dict[ChainId, int] = {}
        for start in range(0, len(chains), MAX_FINDS // 2):
            part = chains[start : start + MAX_FINDS // 2]
            finds = [Find(table, tuple(chain.where()), "seq", True, 1) for chain in part for table in ("audit_event", TABLE)]
            found = iter(await self._storage.read(finds))
            for chain, events, heads in zip(part, found, found, strict=True):
                newest[chain] = whole(events[0]["seq"]) if events else 0
                self.known[chain] = await self._last_head(chain, newest[chain], heads)
        return newest

    async def _last_head(self, chain: ChainId, newest: int, heads: Sequence[Row]) -> _Known:
        """The last head that we signed and that is not beyond the chain's end, or the beginning of the chain."""
        for _ in range(MAX_FORGED_HEADS):
            if not heads:
                break
            head = heads[0]
            seq = whole(head["seq"])
            if seq > newest:
                log.error("audit_chain_ends_before_its_head", writer=chain.writer, epoch=chain.epoch, head=seq, end=newest)
            elif is_signed(self._public, head):
                digest = read_statement(str(head["others"])).digest
                return _Known(seq, _bytes(head["link"]), digest, whole(head["created_at"]))
            else:
                log.error("audit_head_forged", writer=chain.writer, epoch=chain.epoch, head=seq)
            # To the next older one, or at once below the end of a chain that was cut.
            below = Where("seq", "<", seq) if seq <= newest else Where("seq", "<=", newest)
            heads = await self._storage.find(TABLE, [*chain.where(), below], order_by="seq", descending=True, limit=1)
        return _Known(0, GENESIS, first_digest(chain), 0)

    async def sign(self, chain: ChainId, end: int, max_events: int) -> None:
        """Sign one chain up to its newest event, in pieces."""
        while self.known[chain].seq < end and self.events < max_events:
            before = self.known[chain]
            walk = _Walk(chain_for(self._ring, chain.writer, chain.epoch), before)
            while walk.count < SEGMENT_EVENTS and walk.seq < end:
                rows = await self._patience.events(self._storage, chain, walk.seq, PAGE_ROWS)
                if not rows:
                    break
                walk.take(rows)
            if not walk.count:
                return
            await self._write(chain, walk)

    async def _write(self, chain: ChainId, walk: "_Walk") -> None:
        now_ms = to_ms(self._clock.now())
        statement = Statement(walk.digest, self._cross_links(chain), tuple(walk.faults), walk.faults_count)
        row: dict[str, Value] = {
            "writer": chain.writer,
            "epoch": chain.epoch,
            "seq": walk.seq,
            "link": walk.link,
            "others": statement.text(),
            "created_at": now_ms,
        }
        row["signature"] = self._key.sign(signed_bytes(row))
        # In the place of a forged head, and of the equal one of somebody who signs at the same time.
        await self._storage.commit([Upsert(TABLE, row)])
        self.known[chain] = _Known(walk.seq, walk.link, walk.digest, now_ms)
        self.heads += 1
        self.events += walk.count
        self.faults += walk.faults_count
        if walk.faults_count:
            log.error("audit_chain_is_unsound", writer=chain.writer, epoch=chain.epoch, events=walk.faults, head=walk.seq)

    def _cross_links(self, chain: ChainId) -> tuple[CrossLink, ...]:
        """The heads of other chains that were signed last."""
        others = [(known.at_ms, other, known) for other, known in self.known.items() if other != chain and known.seq]
        others.sort(key=lambda each: (-each[0], each[1]))
        return tuple(CrossLink(*other, known.seq, known.digest) for _, other, known in others[:MAX_CROSS_LINKS])


class _Walk:
    """The events from one head to the next."""

    def __init__(self, chain: Chain, start: _Known) -> None:
        self._chain = chain
        self.seq = start.seq
        self.link = start.link
        self.digest = start.digest
        self.count = 0
        self.faults: list[int] = []
        self.faults_count = 0

    def take(self, rows: Iterable[Row]) -> None:
        """Fold in a page."""
        for row in rows:
            seq = whole(row["seq"])
            link = _bytes(row["link"])
            if seq != self.seq + 1 or not same(self._chain.link(self.link, seq, row), link):
                self.faults_count += 1
                if len(self.faults) < MAX_FAULTS:
                    self.faults.append(seq)
            self.digest = next_digest(self.digest, canonical(seq, row))
            self.seq, self.link = seq, link
            self.count += 1
