"""What happened: the timeline of a login."""

import json
from collections.abc import Mapping
from typing import Any

from wardgate.admin.office import Office
from wardgate.audit.timeline import by_reference, last_of_user
from wardgate.clock import from_ms
from wardgate.errors import NotFound
from wardgate.storage.port import Row
from wardgate.texts import DEFAULT_LANGUAGE, Text, catalogue, render


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
