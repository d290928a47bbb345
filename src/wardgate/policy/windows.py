"""Time windows on the clocks of a place: `{days: [mon-fri], from: "08:00", to: "18:00", zone: Europe/Istanbul}`.

A window is what clocks on the wall of its zone show. In the night when they go forward, the hour that they leave out is in no
window; when they go back, the hour that they show twice is in its windows twice. `to` earlier than `from` goes over midnight, and
then `days` are those on which it begins: `{days: [fri], from: "22:00", to: "06:00"}` ends on Saturday morning.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from wardgate.errors import SettingsError

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 1440
WEEK_MINUTES: Final = 7 * DAY_MINUTES
MAX_DAYS: Final = 14
_KEYS: Final = ("days", "from", "to", "zone")
_CLOCK = re.compile(r"(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,31}){0,2}")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Window:
    """A window as spans of minutes of the week in a zone; the end of each is outside. `words`: as it was written."""

    zone: ZoneInfo
    spans: tuple[Span, ...]
    words: str

    def holds(self, minute: int) -> bool:
        """Whether a minute of the week lies inside."""
        return any(begin <= minute < end for begin, end in self.spans)


def parse_window(value: object) -> Window:
    """A window as it stands in the document. Raises SettingsError."""
    if not isinstance(value, Mapping) or not value:
        raise SettingsError('when.at: write {days: [mon-fri], from: "08:00", to: "18:00", zone: Europe/Istanbul}')
    unknown = [str(key)[:32] for key in value if key not in _KEYS]
    if unknown:
        raise SettingsError(f"when.at.{unknown[0]}: unknown; known are {', '.join(_KEYS)}")
    if "zone" not in value:
        raise SettingsError("when.at.zone: say whose clocks, such as Europe/Istanbul or UTC")
    zone = parse_zone(value["zone"])
    begin, end = _clock("from", value.get("from", "00:00")), _clock("to", value.get("to", "24:00"))
    if begin in (end, DAY_MINUTES):
        raise SettingsError('when.at: a window from a time to the same time is empty; the whole day is from "00:00" to "24:00"')
    days = _days(value.get("days", list(DAYS)))
    length = end - begin if end > begin else end - begin + DAY_MINUTES
    spans = [part for day in days for part in _in_the_week(day * DAY_MINUTES + begin, length)]
    words = f"{', '.join(DAYS[day] for day in days)} {_shown(begin)} to {_shown(end)} {zone.key}"
    return Window(zone, tuple(spans), words)


def parse_zone(value: object) -> ZoneInfo:
    """A time zone by its name. Raises SettingsError."""
    if not isinstance(value, str) or not _ZONE.fullmatch(value):
        raise SettingsError("when.at.zone: the name of a time zone is needed, such as Europe/Istanbul")
    try:
        return ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise SettingsError(f"when.at.zone: there is no time zone {value} on this machine") from error


def parse_moment(text: str, after: datetime, zone: ZoneInfo) -> datetime:
    """A moment as an operator writes it: `2026-11-22T03:00+03:00`, or `sun 03:00`, the next one from `after` on in `zone`.

    A third word is another zone: `sun 03:00 Europe/Istanbul`. Raises SettingsError.
    """
    words = text.split()
    if len(text) > 80 or not words:
        raise _no_moment()
    if words[0].lower() not in DAYS:
        return _timestamp(text, zone)
    if len(words) not in (2, 3) or not _CLOCK.fullmatch(words[1]) or words[1] == "24:00":
        raise _no_moment()
    place = parse_zone(words[2]) if len(words) == 3 else zone
    begin = after.astimezone(place).replace(second=0, microsecond=0)
    hour, minute = (int(part) for part in words[1].split(":"))
    ahead = (DAYS.index(words[0].lower()) - begin.weekday()) % 7
    found = (begin + timedelta(days=ahead)).replace(hour=hour, minute=minute)
    return (found if found >= begin else found + timedelta(days=7)).astimezone(UTC)


def zone_meant(text: str, zone: ZoneInfo) -> tzinfo:
    """Whose clocks a moment that `parse_moment` takes is written in: its own zone, else `zone`."""
    words = text.split()
    if words[0].lower() in DAYS:
        return parse_zone(words[2]) if len(words) == 3 else zone
    return datetime.fromisoformat(text).tzinfo or zone


def _timestamp(text: str, zone: ZoneInfo) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _no_moment() from error


def _no_moment() -> SettingsError:
    return SettingsError('a moment is needed, such as "sun 03:00", "sun 03:00 Europe/Istanbul" or 2026-11-22T03:00+03:00')


def _clock(key: str, value: object) -> int:
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise SettingsError(f'when.at.{key}: a time is needed, from "00:00" to "24:00"')
    return int(match[1]) * 60 + int(match[2]) if match[1] else DAY_MINUTES


def _days(value: object) -> list[int]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not 0 < len(texts) <= MAX_DAYS:
        raise SettingsError("when.at.days: a list is needed, such as [mon-fri, sun]")
    return sorted({day for text in texts for day in _day_range(text)})


def _day_range(text: object) -> list[int]:
    first, dash, last = text.lower().partition("-") if isinstance(text, str) else ("", "", "")
    last = last if dash else first
    if first not in DAYS or last not in DAYS:
        raise SettingsError(f"when.at.days: {str(text)[:32]!r} is no day; known are {', '.join(DAYS)}, and ranges such as mon-fri")
    begin = DAYS.index(first)
    return [(begin + number) % 7 for number in range((DAYS.index(last) - begin) % 7 + 1)]


def _in_the_week(begin: int, length: int) -> list[Span]:
    """A span that may go over the end of Sunday, as parts that do not."""
    end = begin + length
    return [(begin, end)] if end <= WEEK_MINUTES else [(begin, WEEK_MINUTES), (0, end - WEEK_MINUTES)]


def _shown(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
