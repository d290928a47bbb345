"""Verifies an export without server, database or keys: what a public key proves of a file.

With the public key alone it finds any event that was changed, removed, inserted, doubled or reordered up to the last signed
head of its chain; heads that were changed, forged or signed by another key; chains that were cut, rewound or dropped, when a
head that is left names them; payloads that do not fit their commitment. It cannot find that everything after some moment was
cut off from all chains at once: that shows only against heads that were kept elsewhere (`noted`). Events after the last head
are counted as unproven: their links are keyed. `check_links` checks these too, for whoever has the installation's keys.

Memory stays flat: for each chain one digest for every event since its last head, within limits; a file that needs more than
any export of ours is told to be wrong.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wardgate.audit.events import commitment
from wardgate.audit.export import EVENT, EVENT_COLUMNS, FORMAT, HEAD, HEAD_COLUMNS, MAX_CHAINS, OPENING, OPENING_COLUMNS
from wardgate.audit.heads import (
    ChainId,
    HeadError,
    Statement,
    canonical,
    first_digest,
    is_signed,
    next_digest,
    read_statement,
    whole,
)
from wardgate.audit.pseudonyms import OPENING as PSEUDONYMISED
from wardgate.audit.trail import GENESIS, LINK_BYTES, Finding, Head, chain_for
from wardgate.crypto import KeyRing, same
from wardgate.errors import MessageError
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Row, Value

MAX_LINE_BYTES: Final = 256 * 1024
MAX_FINDINGS: Final = 100
# Digests kept for heads that are yet to come: of one chain and of all together (32 bytes each).
MAX_RECENT: Final = 1 << 20
MAX_RECENT_IN_ALL: Final = 1 << 22
# Of these, digests behind a head: after a restore, heads of the new epoch name events between two heads of the old one.
MAX_KEPT: Final = 1 << 18
MAX_VERIFIED: Final = 4_096
MAX_PENDING: Final = 100_000
MAX_HELD: Final = 200_000
MAX_NOTED: Final = 100_000
SIGNATURE_BYTES: Final = 64
_BYTES: Final = {EVENT: ("salt", "commitment", "link"), HEAD: ("link", "signature")}
_COLUMNS: Final = {EVENT: ("type", *EVENT_COLUMNS), HEAD: ("type", *HEAD_COLUMNS), OPENING: ("type", *OPENING_COLUMNS)}
_TEXTS: Final = ("writer", "kind")
_OPTIONAL_TEXTS: Final = ("transaction_id", "reference", "subject_id", "payload")


class LineError(MessageError):
    """A line is not one of an export."""

    code = "audit_line_malformed"


@dataclass(frozen=True, slots=True)
class Opening:
    """What the first line says."""

    installation: str
    public_key: Ed25519PublicKey


# --- lines -------------------------------------------------------------------------------------------------------------


def read_line(line: bytes) -> Opening | tuple[str, dict[str, Any]]:
    """One line of an export: its opening, or (EVENT or HEAD, row). Raises LineError.

    Only the very form that we write is taken. Another program might read a key that stands twice, or one that we do not know,
    and would then show what nothing proves.
    """
    try:
        plain = loads(line)
        written = dumps(plain).encode()
    except (ValueError, TypeError) as error:
        # TypeError: nested more deeply than can be written, as nothing of ours is.
        raise LineError("this is not a line of JSON") from error
    kind = plain.get("type") if isinstance(plain, dict) else None
    if kind == PSEUDONYMISED:
        raise LineError("this export was pseudonymised: it holds nothing that could be verified; verify one that was not")
    columns = _COLUMNS.get(kind) if isinstance(kind, str) else None
    if kind is None or columns is None or tuple(plain) != columns or written != line.rstrip(b"\n"):
        raise LineError("this is not in the form of an export, or was changed")
    if kind == OPENING:
        return _opening(plain)
    del plain["type"]
    try:
        for name in _BYTES[kind]:
            if (text := plain[name]) is not None:
                plain[name] = bytes.fromhex(text)
                if plain[name].hex() != text:
                    raise LineError("a value is not in the form of an export")
    except (ValueError, TypeError) as error:
        raise LineError("a value is not hexadecimal") from error
    return kind, plain


def _opening(plain: Mapping[str, Any]) -> Opening:
    if plain["format"] != FORMAT:
        raise LineError(f"the file has format {str(plain['format'])[:20]}; this release knows {FORMAT}")
    try:
        return Opening(str(plain["installation"]), Ed25519PublicKey.from_public_bytes(bytes.fromhex(plain["public_key"])))
    except (ValueError, TypeError) as error:
        raise LineError("the first line holds no public key") from error


def _is_whole(value: Value) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _is_text(value: object) -> bool:
    # The digest sets U+0000 between the texts.
    return isinstance(value, str) and "\0" not in value


def _event_shape(row: Row) -> str | None:
    if not all(_is_text(row[name]) for name in _TEXTS):
        return "a text is missing or malformed"
    if not all(row[name] is None or _is_text(row[name]) for name in _OPTIONAL_TEXTS):
        return "a text is malformed"
    if not all(_is_whole(row[name]) for name in ("epoch", "seq", "created_at")):
        return "a number is malformed"
    lengths = [len(value) if isinstance(value := row[name], bytes) else -1 for name in ("commitment", "link")]
    return None if lengths == [LINK_BYTES, LINK_BYTES] else "link or commitment is malformed"


def _head_shape(row: Row) -> str | None:
    if not _is_text(row["writer"]) or not isinstance(row["others"], str):
        return "a text of the head is malformed"
    if not all(_is_whole(row[name]) for name in ("epoch", "seq", "created_at")):
        return "a number of the head is malformed"
    lengths = [len(value) if isinstance(value := row[name], bytes) else -1 for name in ("link", "signature")]
    return None if lengths == [LINK_BYTES, SIGNATURE_BYTES] else "link or signature of the head is malformed"


def payload_problem(row: Row) -> str | None:
    """What is wrong with a payload beside its commitment; an erased one is not."""
    payload, salt, kept = row["payload"], row["salt"], row["commitment"]
    if payload is None:
        return None
    # Without its salt a payload proves nothing; it is no erased one either.
    sound = isinstance(salt, bytes) and isinstance(kept, bytes) and same(commitment(salt, str(payload)), kept)
    return None if sound else "the payload was changed"


# --- claims ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Claim:
    """What somebody says of an event: the digest there, or the link. `by` is told in the finding.

    `row`: the claim is a signed head of this very chain, and proves what is before it. `own`: it stands in the file.
    """

    seq: int
    by: str
    digest: bytes | None = None
    link: bytes | None = None
    row: Row | None = None
    own: bool = False


@dataclass(slots=True)
class _Chain:
    """What is known of one chain.

    `digest` is computed from `base` on. It is None behind a gap, until a head is reached whose word is taken; `held` keeps what
    comes after `held_from` till then, to be folded in. `covered`: how many events were found to be as they were signed.
    """

    id: ChainId
    digest: bytes | None
    seq: int = 0
    link: bytes = GENESIS
    first: int = 1
    events: int = 0
    erased: int = 0
    base: int = 0
    checked_to: int = 0
    covered: int = 0
    proven: int = 0
    proven_at_ms: int = 0
    recent: bytearray = field(default_factory=bytearray)
    recent_from: int = 1
    held: "deque[bytes]" = field(default_factory=deque)
    held_from: int = 0
    verified: "OrderedDict[int, bytes]" = field(default_factory=OrderedDict)
    refuted: set[int] = field(default_factory=set)
    pending: dict[int, list[_Claim]] = field(default_factory=dict)

    def digest_at(self, seq: int) -> bytes | None:
        """The digest at an earlier event, if it is still known."""
        if seq in self.verified:
            return self.verified[seq]
        at = (seq - self.recent_from) * LINK_BYTES
        if 0 <= at < len(self.recent):
            return bytes(self.recent[at : at + LINK_BYTES])
        return None

    def remember(self, seq: int, digest: bytes) -> None:
        """The digest at a head."""
        self.verified[seq] = digest
        if len(self.verified) > MAX_VERIFIED:
            self.verified.popitem(last=False)

    def forget(self, up_to: int) -> int:
        """Drop the digests of events up to this one; returns how many."""
        count = min(max(0, up_to + 1 - self.recent_from), len(self.recent) // LINK_BYTES)
        del self.recent[: count * LINK_BYTES]
        self.recent_from += count
        return count


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a file proves of one chain.

    `proven`: the last signed head that holds (0: none), signed at `proven_at_ms`. `unproven`: how many events no head covers.
    """

    writer: str
    epoch: int
    first: int
    last: int
    link: str
    events: int
    proven: int
    proven_at_ms: int
    unproven: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification found."""

    events: int
    erased: int
    signed_heads: int
    chains: tuple[ChainReport, ...]
    findings: tuple[Finding, ...]
    findings_count: int


class Verifier:
    """Takes the records of an export in their order; `finish` says what was found.

    `key`: the noted public key; without one, that of the opening is believed. `partial`: the file may begin in the middle.
    `noted`: heads as rows (of an earlier export), `expected`: heads as `wardgate audit verify` prints them. `payloads`: compare
    payloads with their commitments. `unsigned_is_wrong`: a trail without any head is a finding.
    """

    def __init__(
        self,
        key: Ed25519PublicKey | None,
        partial: bool = False,
        noted: Iterable[Row] = (),
        expected: Iterable[Head] = (),
        payloads: bool = True,
        unsigned_is_wrong: bool = True,
    ) -> None:
        self.key = key
        self.installation: str | None = None
        self._partial = partial
        self._payloads = payloads
        self._unsigned_is_wrong = unsigned_is_wrong
        self._chains: dict[ChainId, _Chain] = {}
        self._findings: list[Finding] = []
        self._findings_count = 0
        self._pending = self._recent = 0
        self._signed_heads = self._lines = 0
        self._opening_key: bytes | None = None
        for row in noted:
            self._take_noted(row)
        for head in expected:
            self._claim(ChainId(head.writer, head.epoch), _Claim(head.seq, "the head that was noted down", link=_unhex(head.link)))

    # --- lines ---

    def line(self, line: bytes) -> None:
        """One line of the file, with its end."""
        self._lines += 1
        if not line.endswith(b"\n"):
            self._find("", 0, 0, f"line {self._lines}: too long, or cut off in the middle")
            return
        try:
            record = read_line(line)
        except LineError as error:
            self._find("", 0, 0, f"line {self._lines}: {error.message}")
            return
        if isinstance(record, Opening):
            self._open(record)
        elif record[0] == EVENT:
            self.event(record[1])
        else:
            self.head(record[1])

    def _open(self, opening: Opening) -> None:
        raw = opening.public_key.public_bytes_raw()
        if self.key is None:
            self.key = opening.public_key
        elif raw != self.key.public_bytes_raw():
            self._find("", 0, 0, f"line {self._lines}: the file names another public key")
        if self.installation is None:
            self.installation = opening.installation
        elif self.installation != opening.installation:
            self._find("", 0, 0, f"line {self._lines}: from here on it is of another installation")

    # --- events ---

    def event(self, row: Row) -> None:
        """One event."""
        problem = _event_shape(row)
        seq = whole(row["seq"])
        if problem is not None:
            self._find(str(row["writer"]), whole(row["epoch"]), seq, problem)
            return
        chain = self._chain(ChainId(str(row["writer"]), whole(row["epoch"])))
        if chain is None or not self._is_next(chain, seq):
            return
        chain.events += 1
        if row["payload"] is None:
            chain.erased += 1
        elif self._payloads and (problem := payload_problem(row)) is not None:
            self._find(*chain.id, seq, problem)
        self._fold(chain, seq, row)
        if chain.pending and seq in chain.pending:
            self._settle(chain, seq)

    def _settle(self, chain: _Chain, seq: int) -> None:
        """Compare what was said of this event before it came; the chain's own head first."""
        claims = chain.pending.pop(seq)
        self._pending -= len(claims)
        for claim in sorted(claims, key=lambda each: not each.own):
            self._compare(chain, claim)

    def _is_next(self, chain: _Chain, seq: int) -> bool:
        if seq == chain.seq + 1:
            return True
        if seq <= chain.seq:
            self._find(*chain.id, seq, "the event stands twice, or is out of order")
            return False
        begins = chain.seq == 0
        if begins:
            chain.first = seq
        if not (begins and self._partial):
            gone = f"event {chain.seq + 1} is" if seq == chain.seq + 2 else f"events {chain.seq + 1} to {seq - 1} are"
            self._find(*chain.id, seq, f"{gone} missing")
        self._lose(chain, seq - 1)
        return True

    def _lose(self, chain: _Chain, seq: int) -> None:
        """Behind event `seq` the digest is not known, until a head is reached."""
        self._recent -= chain.forget(chain.seq)
        chain.digest, chain.seq, chain.held_from, chain.recent_from = None, seq, seq, seq + 1
        chain.held.clear()

    def _fold(self, chain: _Chain, seq: int, row: Row) -> None:
        event = canonical(seq, row)
        chain.seq = seq
        chain.link = row["link"] if isinstance(row["link"], bytes) else b""
        if chain.digest is None:
            chain.held.append(event)
            if len(chain.held) > MAX_HELD:
                chain.held.popleft()
                chain.held_from += 1
            return
        chain.digest = next_digest(chain.digest, event)
        self._keep(chain, chain.digest)

    def _keep(self, chain: _Chain, digest: bytes) -> None:
        """Keep the digest of the next event, for a head that comes later."""
        if len(chain.recent) >= MAX_RECENT * LINK_BYTES or self._recent >= MAX_RECENT_IN_ALL:
            self._recent -= chain.forget(chain.seq)
        chain.recent += digest
        self._recent += 1

    # --- heads ---

    def head(self, row: Row) -> None:
        """One signed head."""
        problem = _head_shape(row)
        seq = whole(row["seq"])
        if problem is None and (self.key is None or not is_signed(self.key, row)):
            problem = "the head is not signed by this installation's key"
        try:
            statement = read_statement(str(row["others"])) if problem is None else None
        except HeadError as error:
            problem = error.message
        if problem is not None or statement is None:
            self._find(str(row["writer"]), whole(row["epoch"]), seq, problem or "")
            return
        chain = self._chain(ChainId(str(row["writer"]), whole(row["epoch"])))
        if chain is None or chain.verified.get(seq) == statement.digest:
            return
        self._signed_heads += 1
        for fault in statement.faults:
            self._find(*chain.id, fault, "the server found this event changed, or one before it gone, before it signed it")
        if statement.faults_count > len(statement.faults):
            more = statement.faults_count - len(statement.faults)
            self._find(*chain.id, seq, f"the server found {more} more events changed before it signed this head")
        if chain.seq == 0 and self._partial:
            self._begin_behind(chain, row, statement.digest)
        else:
            self._claim(chain.id, _head_claim(row, statement, "its own signed head", own=True))
        by = f"the signed head {chain.id.writer}:{chain.id.epoch} at event {seq}"
        for at in statement.heads:
            self._claim(ChainId(at.writer, at.epoch), _Claim(at.seq, by, digest=at.digest))

    def _begin_behind(self, chain: _Chain, row: Row, digest: bytes) -> None:
        """The file begins behind this head: what is before it cannot be checked."""
        seq = whole(row["seq"])
        chain.seq, chain.first, chain.held_from, chain.recent_from = seq, seq + 1, seq, seq + 1
        chain.link = row["link"] if isinstance(row["link"], bytes) else b""
        self._believe(chain, row, digest)
        for before in [each for each in chain.pending if each < seq]:
            self._pending -= len(chain.pending.pop(before))
        if seq in chain.pending:
            self._settle(chain, seq)

    def _believe(self, chain: _Chain, row: Row, digest: bytes) -> None:
        """Take a head's word for its event, and compute on from there."""
        seq = whole(row["seq"])
        for _ in range(min(seq - chain.held_from, len(chain.held))):
            chain.held.popleft()
        chain.digest, chain.base, chain.checked_to, chain.recent_from = digest, seq, seq, seq + 1
        for event in chain.held:
            chain.digest = next_digest(chain.digest, event)
            self._keep(chain, chain.digest)
        chain.held.clear()
        chain.remember(seq, digest)
        chain.proven, chain.proven_at_ms = seq, whole(row["created_at"])

    def _prove(self, chain: _Chain, row: Row, digest: bytes) -> None:
        """Everything up to this head is as it was signed: older digests are hardly needed any more."""
        seq = whole(row["seq"])
        chain.remember(seq, digest)
        if seq > chain.checked_to:
            chain.covered += seq - max(chain.base, chain.checked_to)
            chain.checked_to, chain.proven, chain.proven_at_ms = seq, seq, whole(row["created_at"])
        kept = MAX_KEPT if self._recent < MAX_RECENT_IN_ALL // 2 else 0
        self._recent -= chain.forget(seq - kept)

    def _take_noted(self, row: Row) -> None:
        """A head that was kept elsewhere: as good as one of the file, and nobody could take it away."""
        chain = ChainId(str(row["writer"]), whole(row["epoch"]))
        if _head_shape(row) is not None or self.key is None or not is_signed(self.key, row):
            self._find(*chain, whole(row["seq"]), "the head that was kept elsewhere is not signed by this installation's key")
            return
        self._claim(chain, _head_claim(row, read_statement(str(row["others"])), "the head that was kept elsewhere"))

    # --- claims ---

    def _claim(self, of: ChainId, claim: _Claim) -> None:
        """Compare what is said of an event, now or when the event comes."""
        chain = self._chain(of)
        if chain is None:
            return
        if claim.seq <= chain.seq:
            self._compare(chain, claim)
        elif self._pending >= MAX_PENDING:
            self._find(*of, claim.seq, "more heads point at events that are not there than can be kept in mind")
        else:
            self._pending += 1
            chain.pending.setdefault(claim.seq, []).append(claim)

    def _compare(self, chain: _Chain, claim: _Claim) -> None:
        if claim.link is not None and claim.seq == chain.seq and claim.link != chain.link:
            self._refute(chain, claim)
        elif claim.digest is not None:
            there = chain.digest_at(claim.seq)
            if there == claim.digest:
                if claim.row is not None:
                    self._prove(chain, claim.row, claim.digest)
            elif there is not None:
                self._refute(chain, claim)
            elif chain.digest is None:
                self._resume(chain, claim)
            elif claim.seq > chain.base:
                self._find(*chain.id, claim.seq, f"{claim.by} stands too far behind its event to be checked")

    def _resume(self, chain: _Chain, claim: _Claim) -> None:
        """Behind a gap: what a head of its own signs is believed from here on."""
        if claim.row is not None and claim.digest is not None and chain.held_from <= claim.seq:
            self._believe(chain, claim.row, claim.digest)

    def _refute(self, chain: _Chain, claim: _Claim) -> None:
        if claim.seq not in chain.refuted:
            first = max(chain.checked_to + 1, chain.first)
            where = f"event {claim.seq}" if first >= claim.seq else f"something in events {first} to {claim.seq}"
            self._find(*chain.id, claim.seq, f"{where} is not as it was when {claim.by} was made")
            # One finding for one change, however many heads speak of it.
            if len(chain.refuted) < MAX_VERIFIED:
                chain.refuted.add(claim.seq)
        if claim.own and claim.row is not None and claim.digest is not None:
            # Later heads are compared with what this one signed.
            self._lose(chain, chain.seq)
            if claim.seq == chain.seq:
                self._believe(chain, claim.row, claim.digest)

    # --- the end ---

    def finish(self) -> Report:
        """Say what is missing at the end, and what was found in all."""
        chains = [chain for _, chain in sorted(self._chains.items())]
        for chain in chains:
            self._missing_end(chain)
        events = sum(chain.events for chain in chains)
        if events and not self._signed_heads and self._unsigned_is_wrong:
            self._find("", 0, 0, "no signed head stands in it: nothing is proved but that payloads fit their commitments")
        reports = tuple(_report(chain) for chain in chains if chain.seq or chain.events)
        erased = sum(chain.erased for chain in chains)
        return Report(events, erased, self._signed_heads, reports, tuple(self._findings), self._findings_count)

    def _missing_end(self, chain: _Chain) -> None:
        if not chain.pending:
            return
        seq = max(chain.pending)
        by = chain.pending[seq][0].by
        gone = f"events {chain.seq + 1} to {seq} were cut off" if chain.seq else "the whole chain is gone"
        self._find(*chain.id, seq, f"{gone}: {by} names event {seq}")

    def _chain(self, of: ChainId) -> _Chain | None:
        chain = self._chains.get(of)
        if chain is None:
            if len(self._chains) >= MAX_CHAINS:
                self._find(*of, 0, "there are more chains than an export may hold")
                return None
            chain = self._chains[of] = _Chain(of, first_digest(of))
        return chain

    def _find(self, writer: str, epoch: int, seq: int, problem: str) -> None:
        self._findings_count += 1
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(Finding(writer[:200], epoch, seq, problem))


def _head_claim(row: Row, statement: Statement, by: str, own: bool = False) -> _Claim:
    link = row["link"] if isinstance(row["link"], bytes) else b""
    return _Claim(whole(row["seq"]), by, statement.digest, link, row, own)


def _report(chain: _Chain) -> ChainReport:
    unproven = max(0, chain.events - chain.covered)
    at = (chain.proven, chain.proven_at_ms, unproven)
    return ChainReport(*chain.id, chain.first, chain.seq, chain.link.hex(), chain.events, *at)


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        # Equals no link: the comparison tells.
        return b""


# --- with the keys -----------------------------------------------------------------------------------------------------


def check_links(
    ring: KeyRing, text: bytes, before: Mapping[tuple[str, int], tuple[int, bytes]]
) -> tuple[list[Finding], dict[tuple[str, int], tuple[int, bytes]]]:
    """Recompute the keyed links of some lines of an export.

    `before`: number and link of the last event of each chain in the lines before; returned anew for the next lines. Lines that are
    no events are passed over: `Verifier` tells of them.
    """
    findings: list[Finding] = []
    last = dict(before)
    for line in text.splitlines(keepends=True):
        try:
            record = read_line(line)
        except LineError:
            continue
        if isinstance(record, Opening):
            continue
        kind, row = record
        of = (row["writer"], row["epoch"])
        if kind == HEAD and _head_shape(row) is None:
            # The beginning of a partial file; a head of later makes no event unchecked but one that follows a gap.
            last.setdefault(of, (row["seq"], row["link"]))
        elif kind == EVENT and _event_shape(row) is None:
            known, link = last.get(of, (0, GENESIS)) if row["seq"] > 1 else (0, GENESIS)
            if row["seq"] == known + 1 and not same(chain_for(ring, *of).link(link, row["seq"], row), row["link"]):
                findings.append(Finding(*of, row["seq"], "the event or one before it was changed"))
            last[of] = (row["seq"], row["link"])
    return findings, last
