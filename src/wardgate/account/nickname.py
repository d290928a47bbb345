"""The name that a person gives to what is his: an app, a key, a browser. He and the help desk read it in lists and messages."""

import unicodedata
from typing import Final

MAX_CHARS: Final = 40
# Beside letters, digits, signs and blanks: what joins the letters of some scripts, and pictures of several parts.
_JOINERS: Final = frozenset("\u200c\u200d")
# Controls, marks that turn the direction of what follows, private characters, ends of lines: a list would not show what is in it.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def read_nickname(typed: str) -> str | None:
    """The name in what was typed, each row of blanks as one; None where it is empty, too long or has what cannot be seen."""
    name = _of_one_line(unicodedata.normalize("NFC", typed))
    has_letters = any(char not in _JOINERS for char in name)
    return name if has_letters and len(name) <= MAX_CHARS and all(map(_is_seen, name)) else None


def tidied(typed: str) -> str:
    """As much of it as can be kept, for who names something on the way: empty where nothing can."""
    seen = "".join(char if _is_seen(char) else " " for char in unicodedata.normalize("NFC", typed))
    return _of_one_line(seen)[:MAX_CHARS].strip()


def _of_one_line(text: str) -> str:
    """Only blanks become one: an end of a line stays, and is refused."""
    return " ".join(part for part in text.split(" ") if part)


def _is_seen(char: str) -> bool:
    return char in _JOINERS or unicodedata.category(char) not in _HIDDEN
