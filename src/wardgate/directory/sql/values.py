"""What a column may hold, read sensibly, and written as it is read. Pure.

Whatever keeps an account out and cannot be read keeps it out: a typing error in a table must not open a door.
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

MAX_TEXT_CHARS: Final = 4_096
NEVER: Final = datetime.max.replace(tzinfo=UTC)
ALWAYS_OVER: Final = datetime.min.replace(tzinfo=UTC)
_TRUE: Final = frozenset({"1", "y", "yes", "t", "true", "on", "e", "evet", "x"})
_FALSE: Final = frozenset({"", "0", "n", "no", "f", "false", "off", "h", "hayır"})
# From these on a number counts milli- or microseconds: as seconds they would be in the years 5138 and later.
_MILLISECONDS: Final = 10**11
_MICROSECONDS: Final = 10**14


def zone_of(name: str) -> tzinfo:
    """A time zone. Raises ValueError, or what ZoneInfo raises. UTC needs no list of zones, which a small container lacks."""
    return UTC if name == "UTC" else ZoneInfo(name)


def text(value: Any) -> str:
    """A value as text, without what surrounds it; empty for NULL."""
    if value is None:
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
        try:
            return raw.decode().strip(" \0")[:MAX_TEXT_CHARS]
        except UnicodeDecodeError:
            return raw.hex()
    return str(value).strip(" ")[:MAX_TEXT_CHARS]


def key_text(value: Any) -> str:
    """The text of an id: what it is stored and asked for as."""
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return text(value)


def flag(value: Any, unreadable: bool) -> bool:
    """A flag: boolean, number, bit or word. NULL is no. `unreadable`: what anything else counts as."""
    if isinstance(value, bytes | bytearray | memoryview) and len(bytes(value)) == 1 and bytes(value)[0] < 2:
        return bytes(value) == b"\x01"
    if isinstance(value, bool | int | float | Decimal):
        return bool(value)
    word = text(value).lower()
    if word in _TRUE:
        return True
    return False if word in _FALSE else unreadable


def number(value: Any, unreadable: int = 0) -> int:
    """A count; NULL is none."""
    if value is None:
        return 0
    try:
        return int(value)
    except (TypeError, ValueError, ArithmeticError):
        return unreadable


def moment(value: Any, zone: tzinfo, unreadable: datetime, last_day: bool = False) -> datetime | None:
    """A moment in UTC: timestamp, date, ISO 8601 text, seconds (or milli- or microseconds) since 1970. None: NULL, 0 or empty.

    `last_day`: a date without a time means its end. `unreadable`: what anything else counts as.
    """
    if isinstance(value, str | bytes | bytearray | memoryview):
        value = _parsed(text(value))
    if value is None or value == 0:
        return None
    try:
        if isinstance(value, datetime):
            return (value if value.tzinfo is not None else value.replace(tzinfo=zone)).astimezone(UTC)
        if isinstance(value, date):
            start = datetime.combine(value, time.min, tzinfo=zone)
            return (start + timedelta(days=int(last_day))).astimezone(UTC)
        if isinstance(value, int | float | Decimal):
            return datetime.fromtimestamp(float(value) / _unit(value), UTC)
    except (OverflowError, ValueError, OSError):
        # Beyond the years that can be told: PostgreSQL's infinity, and what others write for never.
        return NEVER if _lies_ahead(value) else unreadable
    return unreadable


def _lies_ahead(value: Any) -> bool:
    return value.year > 9000 if isinstance(value, date) else float(value) > 0


def _unit(value: float | Decimal) -> int:
    size = abs(float(value))
    return 1 if size < _MILLISECONDS else 1_000 if size < _MICROSECONDS else 1_000_000


def _parsed(word: str) -> Any:
    """A moment or number that was written as text; the text itself when it is neither."""
    if not word or word.startswith("0000-00-00"):
        return None
    if word.lower() in ("infinity", "never"):
        return NEVER
    try:
        return float(word)
    except ValueError:
        pass
    try:
        return date.fromisoformat(word) if len(word) == 10 else datetime.fromisoformat(word)
    except ValueError:
        return object()


def written_moment(value: datetime, zone: tzinfo, form: str) -> str | int:
    """How a moment is written where the type of the column is not known."""
    if form == "epoch":
        return int(value.timestamp())
    if form == "epoch_ms":
        return int(value.timestamp() * 1000)
    return f"{value.astimezone(zone):%Y-%m-%d %H:%M:%S}"
