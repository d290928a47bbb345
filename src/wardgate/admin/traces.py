"""What happened: the timeline of a login, and the audit trail."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from wardgate.admin.office import Office
from wardgate.audit.timeline import by_reference, last_of_user
from wardgate.audit.trail import Head, verify
from wardgate.clock import from_ms
from wardgate.errors import NotFound, UsageError
from wardgate.storage.port import Row, Where
from wardgate.texts import DEFAULT_LANGUAGE, Text, catalogue, render

MAX_PAGE = 500
MAX_FINDINGS = 100


async def trace_reference(office: Office, *, reference: str) -> dict[str, Any]:
    """The timeline of the login with this reference, oldest first. Raises NotFound."""
    rows = await by_reference(office.storage, reference)
    if not rows:
        raise NotFound(f"nothing has the reference {reference[:64]}: it is mistyped, or too old")
    return {"entries": [_entry(row) for row in rows]}


async def trace_user(office: Office, *, name: str) -> dict[str, Any]:
    """The timeline of the last login under this name, as it was typed. Raises NotFound."""
    rows = await last_of_user(office.storage, office.ring, name)
    if not rows:
        raise NotFound(f"no login under the name {name[:64]} is known: names are found as they were typed, realm included")
    return {"entries": [_entry(row) for row in rows]}


async def verify_audit(office: Office, *, heads: Sequence[str] = ()) -> dict[str, Any]:
    """Walk every chain. `heads`: what an earlier run printed, to detect that newest events were cut off since."""
    result = await verify(office.storage, office.ring, tuple(_head(text) for text in heads))
    return {
        "events": result.events,
        "erased": result.erased,
        "heads": [f"{head.writer}:{head.epoch}:{head.seq}:{head.link}" for head in result.heads],
        "findings": [
            {"writer": each.writer, "epoch": each.epoch, "seq": each.seq, "problem": each.problem}
            for each in result.findings[:MAX_FINDINGS]
        ],
        "findings_count": len(result.findings),
    }


async def list_chains(office: Office) -> dict[str, Any]:
    """Every chain by writer and epoch."""
    rows = await office.storage.find("audit_event", [Where("seq", "=", 1)], order_by="created_at", limit=10_000)
    return {"chains": [{"writer": row["writer"], "epoch": row["epoch"]} for row in rows]}


async def audit_page(office: Office, *, writer: str, epoch: int, after: int, limit: int = MAX_PAGE) -> dict[str, Any]:
    """Events of one chain after number `after`, at most `limit`."""
    rows = await office.storage.find(
        "audit_event",
        [Where("writer", "=", writer), Where("epoch", "=", epoch), Where("seq", ">", after)],
        order_by="seq",
        limit=max(1, min(limit, MAX_PAGE)),
    )
    return {"events": [_event(row) for row in rows]}


def _entry(row: Row) -> dict[str, Any]:
    body = json.loads(str(row["body"]))
    return {
        "reference": row["reference"],
        "transaction_id": row["transaction_id"],
        "at": from_ms(int(row["created_at"] or 0)).isoformat(),
        **body,
        "why": _why(body),
    }


def _why(body: Mapping[str, Any]) -> str:
    """The reason as a plain sentence; a reason of another release stays the word that it is."""
    reason = str(body["reason"])
    known = f"reason.{reason}"
    return render(Text(known, {"user": body["user"]})) if known in catalogue(DEFAULT_LANGUAGE) else reason


def _event(row: Row) -> dict[str, Any]:
    plain = {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
    payload = row["payload"]
    return plain | {
        "created_at": from_ms(int(row["created_at"] or 0)).isoformat(),
        "payload": json.loads(str(payload)) if payload is not None else None,
    }


def _head(text: str) -> Head:
    parts = text.split(":")
    if len(parts) != 4 or not parts[1].isdecimal() or not parts[2].isdecimal():
        raise UsageError(f"{text[:80]!r} is not a head; write WRITER:EPOCH:SEQ:LINK as wardgate audit verify printed it")
    return Head(parts[0], int(parts[1]), int(parts[2]), parts[3].lower())
