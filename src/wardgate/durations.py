"""Spans of time as operators write them: `90`, `90s`, `15m`, `4h`, `7d`."""

import re
from typing import Final

from wardgate.errors import SettingsError

_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_WRITTEN: Final = re.compile(r"([0-9]{1,9})\s?([smhd]?)")


def seconds_of(written: str | int, least_s: int = 0, most_s: int = 400 * 86_400) -> int:
    """Whole seconds. Raises SettingsError for anything else, and outside of the limits."""
    found = _WRITTEN.fullmatch(str(written)) if not isinstance(written, bool) else None
    if found is None:
        raise SettingsError(f"{str(written)[:32]!r} is no span of time: write 90s, 15m, 4h or 7d")
    seconds = int(found[1]) * _SECONDS[found[2]]
    if not least_s <= seconds <= most_s:
        raise SettingsError(f"{written} is not between {written_as(least_s)} and {written_as(most_s)}")
    return seconds


def written_as(seconds: int) -> str:
    """The shortest writing of a span: `15m` for 900."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"
