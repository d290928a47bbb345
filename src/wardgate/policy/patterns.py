"""Patterns of `matches`: the part of regular expressions that nobody's attribute value can keep busy.

Known: text, `.`, classes such as `[a-z0-9]`, `\\d \\w \\s` and their opposites, `\\` before a sign, `|` between whole alternatives,
and `* + ? {m,n}` after a single sign or class. Groups, anchors, look-around and references are refused: without groups nothing
repeats what repeats already. Of what may repeat differently often, an alternative has two at most and a pattern eight, so that the
longest value that is looked at costs some ten thousand steps and not a second of everybody's logins. The whole value is matched,
in any case of its letters; a longer value matches nothing.
"""

import re
from typing import Final

from wardgate.errors import SettingsError

MAX_PATTERN_CHARS: Final = 256
MAX_VALUE_CHARS: Final = 256
MAX_REPEATS: Final = 256
MAX_VARIABLE_IN_ALTERNATIVE: Final = 2
MAX_VARIABLE: Final = 8
_ITEM = re.compile(
    r"(?:\\[dwsDWS]|\\[^A-Za-z0-9\s]|\[\^?(?:\\[dwsDWS]|\\[^A-Za-z0-9\s]|[^\\\[\]&|~])+\]|[^\\\[\]()*+?{}|^$])"
    r"(?P<repeat>[*+?]|\{(?P<least>\d{1,3})(?P<comma>,(?P<most>\d{1,3})?)?\})?"
)


def compile_pattern(text: object) -> re.Pattern[str]:
    """The pattern, for the whole of a value. Raises SettingsError that says what is not known."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_PATTERN_CHARS:
        raise SettingsError(f"a pattern of 1 to {MAX_PATTERN_CHARS} characters is needed")
    variable = worst = 0
    at = 0
    while at < len(text):
        if text[at] == "|":
            at, worst = at + 1, 0
            continue
        item = _ITEM.match(text, at)
        if item is None:
            raise SettingsError(_not_known(text, at))
        if _varies(item):
            variable, worst = variable + 1, worst + 1
        if worst > MAX_VARIABLE_IN_ALTERNATIVE or variable > MAX_VARIABLE:
            raise SettingsError(
                f"* + ? and {{m,n}} may stand {MAX_VARIABLE_IN_ALTERNATIVE} times between two |, and {MAX_VARIABLE} times in all"
            )
        at = item.end()
    if any(not alternative for alternative in _alternatives(text)):
        raise SettingsError("an alternative beside | is empty")
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise SettingsError(f"not a pattern: {error}") from error


def matches(pattern: re.Pattern[str], value: str) -> bool:
    """Whether the whole value matches."""
    return len(value) <= MAX_VALUE_CHARS and pattern.fullmatch(value) is not None


def _varies(item: re.Match[str]) -> bool:
    if item["repeat"] is None:
        return False
    if item["least"] is None:
        return True
    least = int(item["least"])
    most = int(item["most"]) if item["most"] else least
    if most > MAX_REPEATS or most < least:
        raise SettingsError(f"{item['repeat']}: the numbers go from 0 to {MAX_REPEATS}, the smaller first")
    return item["comma"] is not None and item["most"] != item["least"]


def _alternatives(text: str) -> list[str]:
    return re.sub(r"\\.", "x", text).split("|")


def _not_known(text: str, at: int) -> str:
    if text[at] in "^$":
        return f"leave {text[at]} out: the whole value is matched"
    if text[at] in "()":
        return "groups are not known here: write alternatives out with |"
    if text[at] in "*+?{":
        return f"{text[at]!r} at {at + 1}: there is nothing to repeat, or it repeats already"
    return f"{text[at]!r} at {at + 1} is not known here: put a backslash before signs that mean themselves"
