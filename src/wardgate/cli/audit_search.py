"""`wardgate audit search` and `audit erase`: pages of the trail until there is enough, times as the operator's clock shows them."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from wardgate.cli.output import note, say, table
from wardgate.cli.performing import Performer
from wardgate.cli.progress import counting
from wardgate.errors import UsageError

# A search that finds little ends here and says how to go on.
MAX_SCANNED: Final = 250_000
MAX_DETAIL_CHARS: Final = 160
# These have columns of their own, or are told by `wardgate trace`.
_SHOWN: Final = ("user", "application", "source", "client")


def search(data: Path, asked: Mapping[str, object], limit: int, cursor: str | None) -> dict[str, Any]:
    """Look back until `limit` events were found, everything was seen, or `MAX_SCANNED` events were looked at."""
    events: list[Any] = []
    scanned, reached = 0, None
    subjects: list[str] | None = None
    with Performer(data) as performer, counting("looking through") as advance:
        while True:
            here = {"limit": limit - len(events), "cursor": cursor, "subjects": subjects}
            page = performer.do("audit.search", {**asked, **here})
            events += page["events"]
            scanned, reached = scanned + page["scanned"], page["reached"] or reached
            cursor, subjects = page["cursor"], page["subjects"]
            advance(scanned, "")
            if cursor is None or len(events) >= limit or scanned >= MAX_SCANNED:
                return {"events": events, "scanned": scanned, "reached": reached, "cursor": cursor}


def erase(data: Path, users: list[str], subjects: list[str], reason: str, everything: bool) -> dict[str, Any]:
    """Erase page by page, back to the first event: a person's events may lie anywhere. Then what other tables tell."""
    erased, scanned, rows = 0, 0, 0
    with Performer(data) as performer, counting("looking through") as advance:
        # Whether all of it may go is asked before any of it does.
        whose: dict[str, object] = {"users": users, "subjects": subjects, "reason": reason}
        if everything:
            found = performer.do("audit.search", {"users": users, "limit": 1})["subjects"]
            whose["subjects"] = [*subjects, *found]
            performer.do("audit.erase_person", {**whose, "everything": True})
        asked, cursor = whose, None
        while True:
            page = performer.do("audit.erase", {**asked, "cursor": cursor})
            erased, scanned = erased + page["erased"], scanned + page["scanned"]
            cursor, asked = page["cursor"], {**asked, "subjects": page["subjects"], "look_up": False}
            advance(scanned, f"{erased} erased")
            if cursor is None:
                break
        whose |= {"subjects": page["subjects"], "everything": everything}
        after = None
        while True:
            part = performer.do("audit.erase_person", {**whose, "after": after})
            rows, after = rows + part["rows"], part["after"]
            if after is None:
                return {"erased": erased, "scanned": scanned, "rows": rows, "subjects": page["subjects"]}


def moment(text: str | None) -> str | None:
    """A time as somebody typed it: without an offset it is of his own zone, as times are shown. Raises UsageError."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError):
        raise UsageError(f"{text[:40]!r} is not a time such as 2026-11-22T08:00 or 2026-11-22T08:00:00+03:00") from None


def show(result: Mapping[str, Any]) -> None:
    """A table, and what it does not show."""
    if result["events"]:
        table(("when", "event", "user", "application", "from", "reference", "details"), [_cells(each) for each in result["events"]])
    else:
        say("Nothing was found.")
    if result["cursor"] is not None:
        note(f"Looked through {result['scanned']} events, back to {_local(result['reached'])}. To go on, add")
        note(f"  --cursor {result['cursor']}")


def _cells(event: Mapping[str, Any]) -> tuple[object, ...]:
    told = event["payload"] or {}
    source = told.get("client") or told.get("source")
    details = "(erased)" if event["erased"] else _details(told)
    when, kind = _local(event["created_at"]), event["kind"]
    return when, kind, told.get("user"), told.get("application"), source, event["reference"], details


def _details(told: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in told.items() if name not in _SHOWN and value not in (None, "", []))
    return text if len(text) <= MAX_DETAIL_CHARS else text[: MAX_DETAIL_CHARS - 3] + "..."


def _local(text: str | None) -> str:
    """In the zone of whoever looks, with its offset: nobody has to guess whose nine o'clock it was."""
    return "" if text is None else f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S %z}"
