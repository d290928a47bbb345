"""The audit trail for auditors: verify it, search it, export it in pages, name the key that signs its heads."""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from wardgate.admin.office import Office
from wardgate.admin.people import found_person
from wardgate.admin.person_erasure import PersonErasure, erase_person_page
from wardgate.audit import export
from wardgate.audit.erasure import Erasure, erase_page
from wardgate.audit.heads import Patience, fingerprint, public_pem, sign_all_heads, signing_key
from wardgate.audit.offline import Report, Verifier, check_links
from wardgate.audit.search import Wanted, payload_of, search
from wardgate.audit.timeline import plain_reference
from wardgate.audit.trail import Finding, Head, verify
from wardgate.clock import from_ms, to_ms
from wardgate.errors import NotFound, SettingsError, UnavailableError, UsageError
from wardgate.jsons import dumps
from wardgate.storage.port import Row, Where

MAX_PAGE: Final = 500
MAX_FINDINGS: Final = 100
MAX_HEADS: Final = 1_000
MAX_NAMES: Final = 50
MAX_REASON_CHARS: Final = 500
WAITS_FOR_LATE_COMMITS: Final = 1

Position = tuple[str, int, int, int]
"""Writer, epoch, last event, last head: how far an export has come in one chain."""
LastLink = tuple[str, int, int, str]
"""Writer, epoch, last event, its link: where a check of links stands."""
Progress = Callable[[Mapping[str, object]], None]


# --- verify ------------------------------------------------------------------------------------------------------------


async def verify_audit(office: Office, *, progress: Progress, heads: Sequence[str] = ()) -> dict[str, Any]:
    """Walk every chain with its key, then check the signed heads against the events.

    `heads`: what an earlier run printed, to detect that newest events were cut off since.
    """
    expected = tuple(parse_head(text) for text in heads[:MAX_HEADS])
    walked = await verify(office.storage, office.ring, expected, lambda count: progress({"events": count}))
    signed = await _check_heads(office, walked.events, progress)
    told = {(each.writer, each.epoch, each.seq) for each in walked.findings}
    findings = [*walked.findings, *(each for each in signed.findings if (each.writer, each.epoch, each.seq) not in told)]
    if walked.erased > walked.on_record:
        beyond = f"{walked.erased - walked.on_record} payloads were erased by no erasure that is on record"
        findings.append(Finding("", 0, 0, beyond))
    result = described(signed, findings, len(findings))
    return result | {
        "events": walked.events,
        "erased": walked.erased,
        "erased_by_retention": walked.by_retention,
        "heads": [f"{head.writer}:{head.epoch}:{head.seq}:{head.link}" for head in walked.heads],
        "public_key": fingerprint(signing_key(office.ring).public_key()),
        "public_key_from": "installation",
    }


async def _check_heads(office: Office, before: int, progress: Progress) -> Report:
    verifier = Verifier(signing_key(office.ring).public_key(), payloads=False, unsigned_is_wrong=False)
    positions: list[export.Position] = []
    more, count = True, before
    while more:
        patience = Patience(_no_pause, waits=0)
        page = await export.next_page(office.storage, positions, patience, look_for_chains=not positions)
        for record in page.records:
            if record.kind == export.EVENT:
                verifier.event(record.row)
                count += 1
            else:
                verifier.head(record.row)
        positions, more = page.positions, page.more
        progress({"events": count})
    return verifier.finish()


async def _no_pause(seconds: float) -> None:
    """A walk over what stands there waits for nothing."""


def described(report: Report, findings: Sequence[Finding], count: int) -> dict[str, Any]:
    """A report as JSON."""
    return {
        "events": report.events,
        "erased": report.erased,
        "heads": [f"{chain.writer}:{chain.epoch}:{chain.last}:{chain.link}" for chain in report.chains],
        "signed_heads": report.signed_heads,
        "chains": [
            {
                "writer": chain.writer,
                "epoch": chain.epoch,
                "first": chain.first,
                "last": chain.last,
                "proven": chain.proven,
                "proven_at": _moment(chain.proven_at_ms) if chain.proven else None,
                "unproven": chain.unproven,
            }
            for chain in report.chains
        ],
        "findings": [
            {"writer": each.writer, "epoch": each.epoch, "seq": each.seq, "problem": each.problem}
            for each in findings[:MAX_FINDINGS]
        ],
        "findings_count": count,
    }


def told_findings(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The first findings as JSON."""
    first = findings[:MAX_FINDINGS]
    return [{"writer": each.writer, "epoch": each.epoch, "seq": each.seq, "problem": each.problem} for each in first]


def _moment(at_ms: int) -> str | None:
    try:
        return from_ms(at_ms).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def parse_head(text: str) -> Head:
    """A head as `wardgate audit verify` prints it. Raises UsageError."""
    parts = text.rsplit(":", 3)
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in parts[1:3]):
        raise UsageError(f"{text[:80]!r} is not a head; write WRITER:EPOCH:SEQ:LINK as wardgate audit verify printed it")
    return Head(parts[0], int(parts[1]), int(parts[2]), parts[3].lower())


# --- export ------------------------------------------------------------------------------------------------------------


async def begin_export(office: Office, *, since: str | None = None) -> dict[str, Any]:
    """Sign what has no head yet, then say where an export begins. `since`: a number of every chain, or a time (ISO 8601)."""
    seq, at_ms = _since(since)
    signed = await sign_all_heads(office.storage, lambda: office.ring, office.clock)
    key = signing_key(office.ring).public_key()
    anchors, positions = await export.start(office.storage, key, seq, at_ms)
    row = await office.storage.get("installation", {"name": "id"})
    if row is None:
        raise SettingsError("the database names no installation: it is not the database of one")
    installation = str(row["value"])
    return {
        "installation": installation,
        "opening": export.opening_line(installation, key),
        "lines": export.lines(anchors),
        "positions": _told(positions),
        "signed": signed.heads,
    }


def _since(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    if text.isascii() and text.isdecimal() and len(text) < 19:
        return int(text), None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is neither the number of an event nor a time such as 2026-11-22T08:00:00Z") from None
    return None, to_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))


async def export_page(office: Office, *, positions: Sequence[Position], look_for_chains: bool = True) -> dict[str, Any]:
    """What comes after these positions, as lines of an export."""
    if len(positions) > export.MAX_CHAINS:
        raise UsageError(f"an export has at most {export.MAX_CHAINS} chains")
    at = [export.Position(*each) for each in positions]
    # Not the office's clock: a wait for a commit that is under way is one of the real world.
    page = await export.next_page(office.storage, at, Patience(asyncio.sleep, WAITS_FOR_LATE_COMMITS), look_for_chains)
    events = sum(record.kind == export.EVENT for record in page.records)
    return {
        "lines": export.lines(page.records),
        "events": events,
        "heads": len(page.records) - events,
        "positions": _told(page.positions),
        "more": page.more,
    }


def _told(positions: Sequence[export.Position]) -> list[Position]:
    return [(each.writer, each.epoch, each.seq, each.head) for each in positions]


async def describe_key(office: Office) -> dict[str, Any]:
    """The public key of the heads, to be noted down by whoever will verify exports."""
    key = signing_key(office.ring).public_key()
    return {"public_key": public_pem(key), "fingerprint": fingerprint(key)}


async def check_lines(office: Office, *, lines: str, before: Sequence[LastLink]) -> dict[str, Any]:
    """Recompute the keyed links of some lines of an export: the key of the chains stays with the server."""
    try:
        last = {(writer, epoch): (seq, bytes.fromhex(link)) for writer, epoch, seq, link in before[: export.MAX_CHAINS]}
    except ValueError:
        raise UsageError("a link is not hexadecimal") from None
    findings, after = check_links(office.ring, lines.encode("utf-8", "surrogatepass"), last)
    return {
        "findings": [
            {"writer": each.writer, "epoch": each.epoch, "seq": each.seq, "problem": each.problem}
            for each in findings[:MAX_FINDINGS]
        ],
        "findings_count": len(findings),
        "after": [(writer, epoch, seq, link.hex()) for (writer, epoch), (seq, link) in after.items()],
    }


# --- search ------------------------------------------------------------------------------------------------------------


async def search_audit(
    office: Office,
    *,
    users: Sequence[str] = (),
    subjects: Sequence[str] | None = None,
    kinds: Sequence[str] = (),
    application: str | None = None,
    reference: str | None = None,
    node: str | None = None,
    text: str | None = None,
    begin: str | None = None,
    end: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """One page of the newest events that fit; with `cursor`, what comes before the page that it was told with.

    `subjects`: as an earlier page told them; without, the users are looked up in their directories. `begin`, `end`: ISO 8601.
    """
    known = tuple(subjects) if subjects is not None else await _subjects(office, users)
    wanted = Wanted(
        users=tuple(users[:MAX_NAMES]),
        subjects=known[:MAX_NAMES],
        kinds=tuple(kinds[:MAX_NAMES]),
        application=application,
        reference=None if reference is None else plain_reference(reference),
        node=node,
        text=text,
        from_ms=_time(begin),
        to_ms=_time(end),
    )
    found = await search(office.storage, wanted, limit, None if cursor is None else _positions(cursor))
    return {
        "events": [_event(row) for row in found.rows],
        "scanned": found.scanned,
        "reached": None if found.reached_ms is None else _moment(found.reached_ms),
        "cursor": _cursor(found.positions),
        "subjects": list(known),
    }


async def _subjects(office: Office, users: Sequence[str]) -> tuple[str, ...]:
    """The people behind these names, as far as a directory knows them now; events that bear the name are found without."""
    found = []
    for name in users[:MAX_NAMES]:
        try:
            async with found_person(office, name) as person:
                found += [] if person.subject_id is None else [str(person.subject_id)]
        except (NotFound, UnavailableError, SettingsError):
            continue
    return tuple(found)


# --- erasure -----------------------------------------------------------------------------------------------------------


async def erase_payloads(
    office: Office,
    *,
    users: Sequence[str],
    reason: str,
    subjects: Sequence[str] | None = None,
    look_up: bool = True,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Erase one page of payloads about a person. `look_up`: ask the directories for the people behind the names too."""
    names, said = _whose(users, subjects or (), reason)
    known = (*(subjects or ()), *(await _subjects(office, names) if look_up else ()))[:MAX_NAMES]
    erasure = Erasure(names, known, said, office.actor)
    done = await erase_page(office.storage, erasure, office.now_ms(), None if cursor is None else _positions(cursor))
    return {"erased": done.erased, "scanned": done.scanned, "cursor": _cursor(done.positions), "subjects": list(known)}


async def erase_person(
    office: Office,
    *,
    users: Sequence[str],
    subjects: Sequence[str],
    reason: str,
    everything: bool = False,
    after: str | None = None,
) -> dict[str, Any]:
    """Erase one page of what is kept of a person beside the trail. `subjects`: as `erase_payloads` told them."""
    names, said = _whose(users, subjects, reason)
    if everything and not subjects:
        raise UsageError("nobody is known under these names any more: say who it was with --subject")
    return await erase_person_page(office, PersonErasure(names, tuple(subjects)[:MAX_NAMES], said, everything), after)


def _whose(users: Sequence[str], subjects: Sequence[str], reason: str) -> tuple[tuple[str, ...], str]:
    """The names and the reason of an erasure. Raises UsageError."""
    if not users and not subjects:
        raise UsageError("say about whom: --user or --subject")
    names = tuple(users[:MAX_NAMES])
    said = reason.strip()
    if not said or len(said) > MAX_REASON_CHARS:
        raise UsageError(f"give a reason of at most {MAX_REASON_CHARS} characters: it stays on record")
    if any(name.casefold() in said.casefold() for name in names):
        raise UsageError("the reason names the person, and stays on record: write the number of the request, or the like")
    return names, said


def _time(text: str | None) -> int | None:
    at = None if text is None else _since(text)[1]
    if text is not None and at is None:
        raise UsageError(f"{text[:40]!r} is not a time such as 2026-11-22T08:00:00Z")
    return at


def _cursor(positions: Sequence[tuple[str, int, int]]) -> str | None:
    return base64.urlsafe_b64encode(dumps(positions).encode()).decode().rstrip("=") if positions else None


def _positions(cursor: str) -> list[tuple[str, int, int]]:
    try:
        told = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
        return [(str(writer), _whole(epoch), _whole(seq)) for writer, epoch, seq in told]
    except (ValueError, TypeError, RecursionError):
        raise UsageError("this is no cursor that wardgate audit search printed") from None


def _whole(value: object) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


# --- single events -----------------------------------------------------------------------------------------------------


async def list_chains(office: Office) -> dict[str, Any]:
    """Every chain by writer and epoch."""
    return {"chains": [{"writer": chain.writer, "epoch": chain.epoch} for chain in await export.all_chains(office.storage)]}


async def audit_page(office: Office, *, writer: str, epoch: int, after: int, limit: int = MAX_PAGE) -> dict[str, Any]:
    """Events of one chain after number `after`, at most `limit`."""
    rows = await office.storage.find(
        "audit_event",
        [Where("writer", "=", writer), Where("epoch", "=", epoch), Where("seq", ">", after)],
        order_by="seq",
        limit=max(1, min(limit, MAX_PAGE)),
    )
    return {"events": [_event(row) for row in rows]}


def _event(row: Row) -> dict[str, Any]:
    plain = {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
    payload = row["payload"]
    return plain | {
        "created_at": from_ms(int(row["created_at"] or 0)).isoformat(),
        "payload": None if payload is None else payload_of(str(payload)),
        "erased": payload is None,
    }
