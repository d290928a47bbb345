"""One canonical form of a login name, so that every door and table compares names alike."""

import unicodedata
from functools import lru_cache

MAX_NAME_CHARS = 253

# Control and formatting characters, lone surrogates, line and paragraph separators: they cannot be typed on purpose, and two
# names that differ only in them would look the same to an operator.
_REFUSED_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


@lru_cache(maxsize=4096)
def canonical_name(typed: str) -> str | None:
    """The form in which names and mail addresses are compared, or None for what cannot be a name.

    Unicode NFC, without surrounding blanks, each letter in lower case where its lower case is one character. So the Turkish
    `İ` and `ı` stay what they are and never meet `i`: ISIK typed for `ısık` is another name, as it is in Active Directory,
    and nobody becomes somebody else by a letter. None: empty, longer than 253 characters, or with a control, formatting or
    surrogate character. Applying it twice changes nothing.
    """
    if len(typed) > MAX_NAME_CHARS:
        return None
    if typed.isascii():
        name = typed.strip(" ").lower()
        return name if name and name.isprintable() else None
    if any(unicodedata.category(char) in _REFUSED_CATEGORIES for char in typed):
        return None
    # Lower-casing can bring a letter and its accent to a pair that has a composed form, so NFC comes after it once more.
    name = unicodedata.normalize("NFC", "".join(map(_lower, unicodedata.normalize("NFC", typed)))).strip()
    return name if 0 < len(name) <= MAX_NAME_CHARS else None


def _lower(char: str) -> str:
    lower = char.lower()
    return lower if len(lower) == 1 else char
