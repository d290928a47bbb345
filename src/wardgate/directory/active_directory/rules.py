"""The rules of a new password that we can check ourselves: Windows refuses with one code for all of them ([MS-SAMR] 3.1.1.7.2)."""

import re
import unicodedata
from typing import Final

from wardgate.directory.port import PasswordPolicy

_NEEDED_KINDS: Final = 3
_MIN_NAME_PART: Final = 3
_SEPARATORS = re.compile(r"[,.\-_ #\t]+")


def broken_rule(policy: PasswordPolicy, password: str, account_name: str, display_name: str) -> str | None:
    """`length` or `complexity` when the password breaks it; history and age only the server knows."""
    # Windows counts UTF-16 code units.
    length = len(password.encode("utf-16-le")) // 2
    if length < policy.min_length or (policy.max_length and length > policy.max_length):
        return "length"
    if policy.complexity and (_kinds(password) < _NEEDED_KINDS or holds_name(password, account_name, display_name)):
        return "complexity"
    return None


def _kinds(password: str) -> int:
    """How many of the five kinds: upper case, lower case, digits, other characters, letters of scripts without case."""
    found = set()
    for char in password:
        category = unicodedata.category(char)
        if category in ("Lu", "Lt"):
            found.add("upper")
        elif category == "Ll":
            found.add("lower")
        elif char in "0123456789":
            found.add("digit")
        elif category in ("Lo", "Lm"):
            found.add("letter")
        else:
            found.add("other")
    return len(found)


def holds_name(password: str, account_name: str, display_name: str) -> bool:
    """Whether the account name, or a word of the display name, stands in it. Words of one or two characters do not count."""
    typed = password.casefold()
    words = (account_name, *_SEPARATORS.split(display_name))
    return any(len(word) >= _MIN_NAME_PART and word.casefold() in typed for word in words)
