"""How one login name may stand in a table. Pure.

Names are compared by `names.canonical_name`, which no database knows: SQLite's lower() leaves all but ASCII alone, PostgreSQL's
follows the locale of the column (in Turkish I becomes ı), and MySQL's collations hold i and İ for one letter. So rows are
fetched by every form that a database could have made of the name, and compared again here.
"""

import itertools
import unicodedata
from typing import Final

# A name with more letters in doubt than these is looked up by the likeliest forms.
MAX_SPELLINGS: Final = 64


def lowered_spellings(name: str) -> tuple[str, ...]:
    """What lower() of some database makes of the spellings of a canonical name, the likeliest first."""
    choices = [_folded(char) for char in name]
    counted = 1
    for choice in choices:
        counted *= len(choice)
    if counted <= MAX_SPELLINGS:
        found = ["".join(chars) for chars in itertools.product(*choices)]
    else:
        # Everything at once the one way or the other.
        deepest = max(len(choice) for choice in choices)
        found = ["".join(choice[min(way, len(choice) - 1)] for choice in choices) for way in range(deepest)]
    return _padded([*found, unicodedata.normalize("NFD", name)])


def exact_spellings(name: str, typed: str) -> tuple[str, ...]:
    """The forms under which a plain index may hold a canonical name: as usual, and as it was typed."""
    as_typed = unicodedata.normalize("NFC", typed).strip()
    return _padded([name, as_typed, unicodedata.normalize("NFD", name)])


def _folded(char: str) -> tuple[str, ...]:
    """What lower() may make of the letters that are `char` when compared."""
    if char == "i":
        return ("i", "ı")
    if char == "İ":
        return ("İ", "i", "i̇")
    if char.isascii():
        return (char,)
    upper = char.upper()
    return (char, upper) if len(upper) == 1 and upper != char else (char,)


def _padded(found: list[str]) -> tuple[str, ...]:
    """Each once; filled up with the first, so that there are few different statements."""
    once = list(dict.fromkeys(found))[:MAX_SPELLINGS]
    size = 1
    while size < len(once):
        size *= 2
    return tuple(once + [once[0]] * (size - len(once)))
