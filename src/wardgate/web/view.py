"""Stored rows as values that a page can show. Pure; a row with a strange body becomes an entry with gaps, never a failed page."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wardgate.audit.incidents import IncidentKind
from wardgate.clock import from_ms
from wardgate.storage.port import Row
from wardgate.texts import Text, catalogue, render

# Axis marks of a login: at most this many parts, each one of these long.
_MAX_TICKS = 6
_SECOND_MS = 1000
_MINUTE_MS = 60 * _SECOND_MS
_TICKS_MS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(seconds * _SECOND_MS for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * _MINUTE_MS for minutes in (1, 2, 5, 10, 30, 60)),
)
# Drawings are this wide in their own units; a bar is never thinner than can be seen.
WIDTH = 1000.0
_THINNEST = 4.0


@dataclass(frozen=True, slots=True)
class Bar:
    """Where a bar stands on a drawing that is `WIDTH` wide."""

    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a request: when it was noted, how long after the one before, what, and its details."""

    at_ms: float
    took_ms: float
    what: str
    detail: tuple[tuple[str, str], ...]
    bar: Bar


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of a login, or something that happened to it later. Empty text where nothing was recorded."""

    id: str
    reference: str
    ended_ms: int
    door: str
    nas: str
    application: str
    user: str
    source: str
    client: str
    result: str
    reason: str
    text: str
    steps: tuple[Step, ...]
    took_ms: float

    @property
    def ended(self) -> datetime:
        """When it was recorded."""
        return from_ms(self.ended_ms)

    @property
    def started_ms(self) -> float:
        """When the request arrived, in milliseconds since 1970."""
        return self.ended_ms - self.took_ms

    @property
    def came(self) -> str:
        """What came: the first thing that was noted."""
        return self.steps[0].what if self.steps else ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One request on the axis of a whole login."""

    entry: Entry
    after_ms: float
    bar: Bar


@dataclass(frozen=True, slots=True)
class Login:
    """All that is recorded under one reference, oldest first, on one axis that is `ticks` times `tick_ms` long."""

    lanes: tuple[Lane, ...]
    tick_ms: float
    ticks: int
    lasted_ms: float
    started: datetime

    @property
    def decisive(self) -> Entry:
        """The request that says how the login stands: the last that was decided, else the last."""
        decided = [lane.entry for lane in self.lanes if lane.entry.result in DECIDED]
        return decided[-1] if decided else self.lanes[-1].entry


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that never became a login, counted by cause and source."""

    kind: str
    source: str
    nas: str
    detail: str
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Look:
    """How a result is shown: the id of its word, its picture, its tone. Never by colour alone."""

    word: str
    icon: str
    tone: str


RESULTS: Mapping[str, Look] = {
    "granted": Look("live.result_granted", "granted", "ok"),
    "challenged": Look("live.result_challenged", "challenged", "brand"),
    "denied": Look("live.result_denied", "denied", "danger"),
    "waiting": Look("live.result_waiting", "challenged", "brand"),
    "repeated": Look("live.result_repeated", "repeated", "quiet"),
    "dropped": Look("live.result_dropped", "dropped", "quiet"),
    "sent": Look("live.result_sent", "sent", "ok"),
    "failed": Look("live.result_failed", "warning", "danger"),
    "page": Look("live.result_page", "warning", "quiet"),
    "expired": Look("live.result_expired", "warning", "danger"),
}
DECIDED = ("granted", "denied")
_OTHER = Look("live.result_other", "dropped", "quiet")
# What a NAS does by itself and needs no cure.
_HARMLESS = (IncidentKind.CHAP.value,)


def entry_of(row: Row) -> Entry:
    """The entry that a `timeline` row holds."""
    body = _object(str(row["body"]))
    took_ms = _number(body.get("took_ms"))
    return Entry(
        id=str(row["id"]),
        reference=str(row["reference"]),
        ended_ms=int(row["created_at"] or 0),
        door=str(row["door"]),
        nas=_text(body, "nas"),
        application=_text(body, "application"),
        user=_text(body, "user"),
        source=_text(body, "source"),
        client=_text(body, "client"),
        result=str(row["result"]),
        reason=_text(body, "reason"),
        text=_text(body, "text"),
        steps=tuple(_steps(body.get("steps"), took_ms)),
        took_ms=took_ms,
    )


def incident_of(row: Row) -> Incident:
    """The incident that a row holds."""
    try:
        detail = json.loads(str(row["detail"]))
    except ValueError:
        detail = ""
    return Incident(
        kind=str(row["kind"]),
        source=str(row["source"]),
        nas=str(row["nas"] or ""),
        detail=detail if isinstance(detail, str) else _plain(detail),
        count=int(row["count"] or 0),
        first=from_ms(int(row["first_at"] or 0)),
        last=from_ms(int(row["last_at"] or 0)),
    )


def login_of(entries: Sequence[Entry]) -> Login:
    """Put the entries of one login (at least one) on one axis that begins with its first request."""
    start = min(entry.started_ms for entry in entries)
    lasted = max(entry.ended_ms - start for entry in entries)
    tick_ms = next((length for length in _TICKS_MS if lasted / length <= _MAX_TICKS), math.ceil(lasted / _MAX_TICKS))
    ticks = max(1, math.ceil(lasted / tick_ms))
    scale = WIDTH / (ticks * tick_ms)
    lanes = tuple(Lane(entry, entry.started_ms - start, _bar(entry.started_ms - start, entry.took_ms, scale)) for entry in entries)
    return Login(lanes, tick_ms, ticks, lasted, from_ms(round(start)))


def look_of(result: str) -> Look:
    """How a result is shown; one that we do not know is shown by its own word."""
    return RESULTS.get(result, _OTHER)


def harmless(incident: Incident) -> bool:
    """Whether the incident needs no cure."""
    return incident.kind in _HARMLESS


def reason_text(reason: str, user: str, language: str) -> str:
    """The plain sentence of a reason; the reason itself where the catalogue has none."""
    text_id = f"reason.{reason}"
    # A name may hold characters that turn the writing direction: isolate it within the sentence.
    return render(Text(text_id, {"user": f"\u2068{user}\u2069"}), language) if text_id in catalogue(language) else reason


def _steps(stored: object, took_ms: float) -> Iterable[Step]:
    if not isinstance(stored, list):
        return
    scale = WIDTH / took_ms if took_ms > 0 else 0.0
    before = 0.0
    for each in stored:
        if isinstance(each, dict):
            at_ms = max(before, _number(each.get("at_ms")))
            yield Step(at_ms, at_ms - before, _text(each, "what"), _detail(each.get("detail")), _bar(before, at_ms - before, scale))
            before = at_ms


def _bar(at: float, length: float, scale: float) -> Bar:
    width = min(WIDTH, max(_THINNEST, length * scale))
    return Bar(round(max(0.0, min(at * scale, WIDTH - width)), 2), round(width, 2))


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and value >= 0 else 0.0


def _detail(stored: object) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), _plain(value)) for name, value in stored.items()) if isinstance(stored, dict) else ()


def _plain(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case str() | int() | float():
            return str(value)
        case list():
            return ", ".join(_plain(each) for each in value)
        case _:
            return json.dumps(value, ensure_ascii=False)
