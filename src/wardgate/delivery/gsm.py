"""How many parts a text message takes, and the same words in a narrower alphabet.

A message in the GSM 7-bit alphabet holds 160 characters in one part (153 in each of several), any other 70 (67 in each of several):
3GPP TS 23.038 section 6.2.1 and TS 23.040 section 9.2.3.24.1. One letter outside that alphabet more than halves what fits, and each
part is paid for.
"""

import unicodedata
from typing import Final

ONE_NARROW: Final = 160
ONE_WIDE: Final = 70
_OF_SEVERAL_NARROW: Final = 153
_OF_SEVERAL_WIDE: Final = 67
_NARROW: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ÄÖÑÜ§¿äöñüà"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
# Each of these takes two places.
_ESCAPED: Final = frozenset("^{}\\[~]|€")
_ALL: Final = _NARROW | _ESCAPED
# What no decomposition makes a plain letter of.
_FOLDED: Final = str.maketrans(
    {"ı": "i", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "ß": "ss", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"}
    | {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "·": "-", "…": "...", "•": "*"}
)


def is_narrow(text: str) -> bool:
    """Whether the GSM 7-bit alphabet has every character."""
    return _ALL.issuperset(text)


def parts_of(text: str) -> int:
    """In how many parts it is sent."""
    if is_narrow(text):
        length = len(text) if _NARROW.issuperset(text) else len(text) + sum(char in _ESCAPED for char in text)
        return 1 if length <= ONE_NARROW else -(-length // _OF_SEVERAL_NARROW)
    # Counted in UTF-16 units, as they are sent.
    length = len(text.encode("utf-16-be")) // 2
    return 1 if length <= ONE_WIDE else -(-length // _OF_SEVERAL_WIDE)


def in_ascii(text: str) -> str:
    """The same words without accents. What has no letter in ASCII becomes a question mark."""
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKD", text.translate(_FOLDED))
    kept = "".join(char for char in plain if not unicodedata.combining(char))
    return kept.encode("ascii", "replace").decode()


def narrowed(text: str) -> str:
    """The same words in the GSM 7-bit alphabet: accents that it has stay."""
    return text if is_narrow(text) else "".join(char if char in _ALL else in_ascii(char) for char in text)


def narrowest(text: str, ascii_only: bool) -> str:
    """The same words as few parts hold them: without accents, or with those that the narrow alphabet has.

    What would be lost by that, such as a name in Greek letters, is worth a second part.
    """
    found = in_ascii(text) if ascii_only else narrowed(text)
    return text if found.count("?") > text.count("?") else found
