"""Finding rows of the live log: filters from the address, read page by page, never more than a bounded number of rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from wardgate.audit.timeline import MAX_NAME_CHARS, newest, user_key
from wardgate.crypto import KeyRing
from wardgate.storage.port import Find, Reader, Row, Where
from wardgate.web.view import RESULTS, Entry, Incident, entry_of, incident_of

PAGE_ROWS = 50
# A filter that matches little reads this many rows for one page and then offers to look further back.
MAX_SCANNED_ROWS = 2000
_CHUNK_ROWS = 200
MAX_INCIDENTS = 20
INCIDENTS_SINCE_MS = 7 * 24 * 3600 * 1000
_ID = re.compile(r"[0-9a-f]{24}")
_REFERENCE = re.compile(r"(?:WG-?)?([0-9A-Z]{4})-?([0-9A-Z]{4})")


@dataclass(frozen=True, slots=True)
class Filters:
    """What the log is narrowed to. Empty text: everything."""

    user: str = ""
    result: str = ""
    nas: str = ""

    @property
    def active(self) -> bool:
        """Whether anything is filtered out."""
        return bool(self.user or self.result or self.nas)

    def query(self, **more: str) -> str:
        """The address part that repeats these filters."""
        chosen = {"user": self.user, "result": self.result, "nas": self.nas, **more}
        return urlencode({name: value for name, value in chosen.items() if value})

    def let_through(self, entry: Entry) -> bool:
        """Whether an entry is shown, as far as the result and the NAS go; the user is looked up by key."""
        return (not self.result or entry.result == self.result) and (not self.nas or entry.nas.casefold() == self.nas.casefold())


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of the log, newest first. `older`: where the next page begins; None at the end of the log."""

    entries: tuple[Entry, ...]
    older: str | None


def filters_of(query: Mapping[str, str]) -> Filters:
    """Filters from an address. What is not a filter that we know is left out."""
    result = query.get("result", "")
    return Filters(
        user=query.get("user", "").strip()[:MAX_NAME_CHARS],
        result=result if result in RESULTS else "",
        nas=query.get("nas", "").strip()[:MAX_NAME_CHARS],
    )


def row_id_of(text: str | None) -> str | None:
    """A row id from outside, or None."""
    return text if text and _ID.fullmatch(text) else None


def reference_of(text: str) -> str | None:
    """A reference as people type it (`7k3m-9qxt`, `WG-7K3M-9QXT`), or None when it cannot be one."""
    found = _REFERENCE.fullmatch(text.strip().upper())
    return "".join(found.groups()) if found else None


async def read_page(storage: Reader, ring: KeyRing, filters: Filters, before: str | None) -> LogPage:
    """The page of the log that ends before the row `before`, or the newest."""
    found: list[Entry] = []
    scanned = 0
    while scanned < MAX_SCANNED_ROWS:
        rows = await _read(storage, ring, filters, before)
        for row in rows:
            before = str(row["id"])
            entry = entry_of(row)
            if filters.let_through(entry):
                found.append(entry)
            if len(found) == PAGE_ROWS:
                return LogPage(tuple(found), before)
        scanned += len(rows)
        if len(rows) < _CHUNK_ROWS:
            return LogPage(tuple(found), None)
    return LogPage(tuple(found), before)


async def read_new(storage: Reader, ring: KeyRing, filters: Filters, window: tuple[str, str], limit: int) -> list[Entry]:
    """The newest entries of a window of ids and of what lies ahead of it, oldest first, at most `limit` of each.

    Only the user is filtered yet. What lies ahead was written by a clock that is wrong: read apart, it takes nobody's place.
    """
    after, until = window
    user = (Where("user_key", "=", user_key(ring, filters.user)),) if filters.user else ()
    within, ahead = await storage.read(
        [
            Find("timeline", (Where("id", ">", after), Where("id", "<=", until), *user), "id", descending=True, limit=limit),
            Find("timeline", (Where("id", ">", until), *user), "id", descending=True, limit=limit),
        ]
    )
    return [entry_of(row) for row in (*reversed(within), *reversed(ahead))]


async def read_incidents(storage: Reader, now_ms: int) -> tuple[Incident, ...]:
    """The incidents of the last days, the latest first."""
    where = [Where("last_at", ">", now_ms - INCIDENTS_SINCE_MS)]
    rows = await storage.find("incident", where, order_by="last_at", descending=True, limit=MAX_INCIDENTS)
    return tuple(incident_of(row) for row in rows)


async def _read(storage: Reader, ring: KeyRing, filters: Filters, before: str | None) -> list[Row]:
    if not filters.user:
        return await newest(storage, limit=_CHUNK_ROWS, before_id=before)
    where = [Where("user_key", "=", user_key(ring, filters.user))]
    if before:
        where.append(Where("id", "<", before))
    return await storage.find("timeline", where, order_by="id", descending=True, limit=_CHUNK_ROWS)
