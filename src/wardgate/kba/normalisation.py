"""What counts as the same answer. Versioned: the version is stored with each answer, and old ones stay readable for ever.

The computers' offline recovery must come to the same octets without a server: a change here is a new version, never a correction.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final, Literal

Form = Literal["text", "digits", "date"]
VERSION: Final = 1
_YEAR_DIGITS: Final = 4

# Folding makes i and U+0307 of the capital dotted one, and leaves the dotless one alone: in Turkish both are other letters, and
# people who type without a Turkish keyboard write i for all four.
_EVERY_I: Final = str.maketrans({"İ": "i", "I": "i", "ı": "i"})
_FIRST_MARK, _LAST_MARK = "\u0300", "\u036f"
_BLANK_CATEGORIES: Final = frozenset({"Cc", "Zs", "Zl", "Zp"})
_DATE: Final = re.compile(r"([0-9]{1,4}) ([0-9]{1,2}) ([0-9]{1,4})")


def normalise(text: str, *, case_sensitive: bool = False, version: int = VERSION) -> str:
    """The normalised text. Raises KeyError for a version that this program does not know."""
    return _VERSIONS[version](text, case_sensitive)


def knows(version: int) -> bool:
    """Whether this program can compare answers of a version."""
    return version in _VERSIONS


def canonical(text: str, form: Form, *, case_sensitive: bool = False, version: int = VERSION) -> str | None:
    """The normalised answer in the form that its question asks for; None when it is not in that form.

    Digits may be grouped. A date is day, month, year, or begins with a year of four digits, and becomes YYYYMMDD.
    """
    plain = normalise(text, case_sensitive=case_sensitive, version=version)
    if form == "digits":
        digits = plain.replace(" ", "")
        return digits if digits.isascii() and digits.isdigit() else None
    return _date(plain) if form == "date" else plain


def words_of(text: str) -> frozenset[str]:
    """The words of a text as they are compared, whatever their case."""
    return frozenset(normalise(text).split())


def _first_version(text: str, case_sensitive: bool) -> str:
    """NFKC; every I, and case; NFKD without its marks; digits to ASCII; punctuation, symbols and blanks to one space; NFC."""
    text = unicodedata.normalize("NFKC", text)
    if not case_sensitive:
        text = text.translate(_EVERY_I).casefold()
    kept = [_plain(char) for char in unicodedata.normalize("NFKD", text) if not _FIRST_MARK <= char <= _LAST_MARK]
    return unicodedata.normalize("NFC", " ".join(part for part in "".join(kept).split(" ") if part))


def _plain(char: str) -> str:
    digit = unicodedata.decimal(char, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(char)
    return " " if category in _BLANK_CATEGORIES or category[0] in "PS" else char


def _date(plain: str) -> str | None:
    found = _DATE.fullmatch(plain)
    if found is None:
        return None
    first, month, last = found.groups()
    year, day = (first, last) if len(first) == _YEAR_DIGITS else (last, first)
    if len(year) != _YEAR_DIGITS or len(day) == _YEAR_DIGITS:
        return None
    try:
        return date(int(year), int(month), int(day)).isoformat().replace("-", "")
    except ValueError:
        return None


_VERSIONS: Final[Mapping[int, Callable[[str, bool], str]]] = {1: _first_version}
