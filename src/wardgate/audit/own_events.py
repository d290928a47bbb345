"""What the audit trail tells of one person, newest first, for the person himself: by an index of his own events.

However large the trail is, a page reads a bounded number of rows, all of them his: it goes on from a moment, and from how many
events of that very moment were seen. Events of one login or reset are told as one, by the last of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wardgate.audit.events import Kind
from wardgate.audit.heads import whole
from wardgate.storage.port import Find, Reader, Row, Where

TABLE: Final = "audit_event"
SPAN_MS: Final = 90 * 86_400_000
PAGE_EVENTS: Final = 25
READ_ROWS: Final = 200
# Beyond so many that do not fit, a page ends: older ones are one link away.
MAX_SCANNED: Final = 1_000
# Events of one and the same millisecond that a place may stand behind: beyond them nothing of that moment is told.
MAX_SKIPPED: Final = READ_ROWS
# What is written of one login or reset lies within this time.
LOGIN_MS: Final = 20 * 60_000
# Steps on the way: told only where nothing came after them.
_ON_THE_WAY: Final = frozenset(
    kind.stored for kind in (Kind.LOGIN_CHALLENGED, Kind.LOGIN_ACTION_REQUIRED, Kind.SELF_SERVICE_BEGUN, Kind.SELF_SERVICE_STEP)
)


@dataclass(frozen=True, slots=True)
class Place:
    """From where on to read: events of `at_ms` and before, without the first `skipped` of that moment."""

    at_ms: int
    skipped: int = 0

    def __str__(self) -> str:
        return f"{self.at_ms}.{self.skipped}"


@dataclass(frozen=True, slots=True)
class OwnEvents:
    """A page. `sessions`: of the logins among these, the event that began a session, by its reference. `older`: where to go on."""

    rows: tuple[Row, ...]
    sessions: dict[str, Row]
    older: Place | None


def place_of(text: str) -> Place | None:
    """What `str(place)` wrote; None for anything else."""
    at, _, skipped = text.partition(".")
    if not (at.isascii() and at.isdigit() and len(at) <= 15 and skipped.isascii() and skipped.isdigit() and len(skipped) <= 3):
        return None
    return Place(int(at), min(int(skipped), MAX_SKIPPED))


async def own_events(
    storage: Reader,
    subject_id: str,
    kinds: frozenset[str],
    now_ms: int,
    place: Place | None = None,
    most: int = PAGE_EVENTS,
) -> OwnEvents:
    """The newest events of these kinds, from `place` on backwards."""
    told = _Told(kinds)
    if place is not None:
        # What belongs to a login whose end stood on the page before.
        later = _of(subject_id, Where("created_at", ">", place.at_ms), Where("created_at", "<=", place.at_ms + LOGIN_MS))
        [rows] = await storage.read([later])
        for row in rows:
            told.pass_over(row)
    at = place or Place(now_ms)
    scanned, since = 0, now_ms - SPAN_MS
    while len(told.rows) < most and scanned < MAX_SCANNED:
        at = at if at.skipped < MAX_SKIPPED else Place(at.at_ms - 1)
        [rows] = await storage.read([_of(subject_id, Where("created_at", "<=", at.at_ms), Where("created_at", ">=", since))])
        for row in rows[at.skipped :]:
            if len(told.rows) >= most:
                break
            same = whole(row["created_at"]) == at.at_ms
            at = Place(whole(row["created_at"]), at.skipped + 1 if same else 1)
            scanned += 1
            told.take(row)
        else:
            if len(rows) < READ_ROWS:
                return OwnEvents(tuple(told.rows), told.sessions, None)
            continue
        break
    return OwnEvents(tuple(told.rows), told.sessions, at)


async def events_at(storage: Reader, subject_id: str, at_ms: int) -> list[Row]:
    """A person's events of one moment."""
    [rows] = await storage.read([_of(subject_id, Where("created_at", "=", at_ms))])
    return rows


def _of(subject_id: str, *where: Where) -> Find:
    return Find(TABLE, (Where("subject_id", "=", subject_id), *where), "created_at", descending=True, limit=READ_ROWS)


class _Told:
    """What a page tells so far."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self.rows: list[Row] = []
        self.sessions: dict[str, Row] = {}
        self._kinds = kinds
        self._ended: set[object] = set()

    def take(self, row: Row) -> None:
        """The next event, an older one."""
        kind, is_over = row["kind"], row["transaction_id"] in self._ended
        self.pass_over(row)
        if kind in self._kinds and not (kind in _ON_THE_WAY and is_over):
            self.rows.append(row)

    def pass_over(self, row: Row) -> None:
        """One that is told elsewhere, or not at all."""
        if row["transaction_id"] is not None:
            self._ended.add(row["transaction_id"])
        if row["kind"] == Kind.SESSION_BEGUN.stored and row["reference"] is not None:
            self.sessions.setdefault(str(row["reference"]), row)


def stored(kinds: Sequence[Kind]) -> frozenset[str]:
    """The stored names of kinds."""
    return frozenset(kind.stored for kind in kinds)
