"""Whether a new password may be chosen, as far as that can be told without asking anybody. Pure.

For Wardgate's own directory these rules decide; for others they tell a user early what his directory would refuse anyway. After
NIST SP 800-63B-4 section 3.1.1.2: a least length, a list of passwords that are guessed first, words about the person and the
house, and no demand for kinds of characters (`complexity` is there for Active Directory, which has it).

Characters are code points of the password in Unicode NFC, as RFC 8265 section 4.2 (OpaqueString) has it: an ü that one keyboard
sends as one code point and another as two is the same letter.
"""

import functools
import hashlib
import importlib.util
import re
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from wardgate.crypto import Secret
from wardgate.directory.port import DirectoryUser, PasswordPolicy
from wardgate.errors import WardgateError

# What is left of a password without words of its owner, rows of keys and repetitions has to be at least so long.
MIN_LEFT_CHARS = 6
MIN_WORD_CHARS = 3
MIN_RUN_CHARS = 3
MAX_OWN_WORDS = 200
# Longer ones are refused before anything is looked at.
MAX_PASSWORD_BYTES = 1024
COMPLEX_KINDS = 3

_LEET = str.maketrans("013457@$!|+", "oleastasilt")
_KEY_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "1234567890")
_NO_LETTERS_AT_THE_ENDS = re.compile(r"^[^a-z]+|[^a-z]+$")
_WORD = re.compile(r"[^\W_]+")
# Where Active Directory cuts a display name into the parts that a password must not hold.
_NAME_PARTS = re.compile(r"[,.\-_ #\t]+")


class Rule(StrEnum):
    """The names of the rules, as PasswordNotAccepted has them."""

    LENGTH = "length"
    COMPLEXITY = "complexity"
    BLOCKLIST = "blocklist"
    HISTORY = "history"
    SAME = "same"
    MIN_AGE = "min_age"


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a password does not fulfil, and a sentence that says what to do; never the password."""

    rule: Rule
    message: str


def normalised(password: Secret) -> Secret:
    """The password in NFC. What is no UTF-8 stays as it is: a password is bytes."""
    value = password.reveal()
    if value.isascii():
        return password
    try:
        return Secret(unicodedata.normalize("NFC", value.decode()).encode())
    except UnicodeDecodeError:
        return password


def broken_rules(
    password: Secret, policy: PasswordPolicy, user: DirectoryUser | None = None, house_words: Iterable[str] = ()
) -> tuple[Broken, ...]:
    """The rules of the policy that this new password breaks; history and age are not told from here.

    `house_words`: names of the organisation and its services. With `policy.blocklist`, call `common_passwords` in a thread once
    before: the list takes a moment to read.
    """
    if len(password.reveal()) > MAX_PASSWORD_BYTES:
        return (Broken(Rule.LENGTH, f"choose a password of at most {MAX_PASSWORD_BYTES} bytes"),)
    text = _text(normalised(password))
    broken = [found for found in (_length(text, policy), _complexity(text, policy, user)) if found is not None]
    if policy.blocklist and (reason := weakness(text, own_words(user, house_words))):
        broken.append(Broken(Rule.BLOCKLIST, reason))
    return tuple(broken)


def _text(password: Secret) -> str:
    """As characters; of what is no UTF-8 each octet counts as one."""
    try:
        return password.reveal().decode()
    except UnicodeDecodeError:
        return password.reveal().decode("latin-1")


def _length(text: str, policy: PasswordPolicy) -> Broken | None:
    least = max(1, policy.min_length)
    if len(text) < least:
        return Broken(Rule.LENGTH, f"choose a password of at least {least} characters")
    if policy.max_length and len(text) > policy.max_length:
        return Broken(Rule.LENGTH, f"choose a password of at most {policy.max_length} characters")
    return None


# --- kinds of characters, as Active Directory counts them ----------------------------------------------------------------


def _complexity(text: str, policy: PasswordPolicy, user: DirectoryUser | None) -> Broken | None:
    if not policy.complexity:
        return None
    kinds = {_kind(char) for char in text}
    if len(kinds) < COMPLEX_KINDS:
        return Broken(Rule.COMPLEXITY, f"use {COMPLEX_KINDS} of: capital letters, small letters, digits, other characters")
    if user is not None and any(part in text.lower() for part in _forbidden_parts(user)):
        return Broken(Rule.COMPLEXITY, "leave your name out of the password")
    return None


def _kind(char: str) -> str:
    if char.isupper():
        return "capital"
    if char.islower():
        return "small"
    if char.isdecimal():
        return "digit"
    return "letter without case" if char.isalpha() else "other"


def _forbidden_parts(user: DirectoryUser) -> list[str]:
    parts = [user.name, *_NAME_PARTS.split(user.display_name)]
    return [part.lower() for part in parts if len(part) >= MIN_WORD_CHARS]


# --- passwords that are guessed first ------------------------------------------------------------------------------------


def own_words(user: DirectoryUser | None, house_words: Iterable[str]) -> tuple[str, ...]:
    """What somebody who knows the person would try: folded, the longest first."""
    told = list(house_words)
    if user is not None:
        local, _, domain = (user.mail or "").partition("@")
        told += [user.name, user.display_name, local, domain.rpartition(".")[0], user.directory, (user.phone or "").lstrip("+")]
    words = {word for text in told for word in _words(fold(text))}
    return tuple(sorted(words, key=lambda word: (-len(word), word))[:MAX_OWN_WORDS])


def _words(text: str) -> Iterator[str]:
    """A name, its parts, and its parts written together."""
    parts = _WORD.findall(text)
    for word in (text, "".join(parts), *parts):
        if len(word) >= MIN_WORD_CHARS:
            yield word


def fold(text: str) -> str:
    """Small letters without accents, so that ŞİFRE, şifre and sifre are one guess. For comparing with guesses only."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char)).replace("ı", "i")


def weakness(text: str, words: Sequence[str] = ()) -> str | None:
    """Why this password is among the first guesses, as a sentence to the user; None when it is not."""
    folded = fold(text)
    forms = dict.fromkeys((folded, folded.translate(_LEET)))
    if any(_is_common(form) for form in forms):
        return "this password is one of those that are guessed first: choose another"
    for form in forms:
        without = functools.reduce(lambda left, word: left.replace(word, ""), words, form)
        left = _without_runs(_unit(without))
        if without == form and len(left) < MIN_LEFT_CHARS:
            return "this password is a row of keys or repeats itself: choose another"
        # What joined the words, such as the dots of a mail address, is not counted.
        if without != form and (len("".join(_WORD.findall(left))) < MIN_LEFT_CHARS or _is_common(left)):
            return "this password is little more than your name or a word of your organisation: choose another"
    return None


def _is_common(form: str) -> bool:
    """On the list, as it is, without what stands around the letters, or said several times over."""
    inner = _NO_LETTERS_AT_THE_ENDS.sub("", form)
    return any(word and word in common_passwords() for word in (form, inner, _unit(form), _unit(inner)))


def _unit(text: str) -> str:
    """What the text repeats at least twice, perhaps cut at its end; else the text. The failure function of Knuth, Morris, Pratt."""
    border = [0] * len(text)
    for at in range(1, len(text)):
        length = border[at - 1]
        while length and text[at] != text[length]:
            length = border[length - 1]
        border[at] = length + (text[at] == text[length])
    period = len(text) - border[-1] if text else 0
    return text[:period] if 2 * period <= len(text) else text


def _without_runs(text: str) -> str:
    """Each run such as `aaaa`, `4567`, `fedc` or `qwert` shortened to its first character."""
    kept, start = [], 0
    while start < len(text):
        end = max(_run_end(text, start, place) for place in _ROWS)
        kept.append(text[start])
        start = end if end - start >= MIN_RUN_CHARS else start + 1
    return "".join(kept)


def _row(keys: str) -> Callable[[str], int]:
    """Tells the place of a key in its row; no two characters outside of it are neighbours."""
    places = {key: place for place, key in enumerate(keys)}
    return lambda char: places.get(char, -10 * ord(char) - 10)


_ROWS = (ord, *map(_row, _KEY_ROWS))


def _run_end(text: str, start: int, place: Callable[[str], int]) -> int:
    """Where the run that begins at `start` ends: each character as far from the last as the second from the first."""
    if start + 1 == len(text):
        return start + 1
    step = place(text[start + 1]) - place(text[start])
    if step not in (-1, 0, 1):
        return start + 1
    end = start + 2
    while end < len(text) and place(text[end]) - place(text[end - 1]) == step:
        end += 1
    return end


class CommonPasswords:
    """A set of words, kept as sorted 64-bit digests: a tenth of the memory of the words themselves."""

    def __init__(self, words: Iterable[str]) -> None:
        self._digests = array("Q", sorted({_digest(fold(word)) for word in words}))

    def __contains__(self, folded: str) -> bool:
        digest = _digest(folded)
        at = bisect_left(self._digests, digest)
        return at < len(self._digests) and self._digests[at] == digest

    def __len__(self) -> int:
        return len(self._digests)


def _digest(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest())


@functools.cache
def common_passwords() -> CommonPasswords:
    """The words and passwords that zxcvbn ranks. Takes about a tenth of a second once: call it in a thread first."""
    # Not `import zxcvbn.frequency_lists`: that keeps 12 MiB of lists in each process for good, and its matcher beside them.
    package = importlib.util.find_spec("zxcvbn")
    places = package.submodule_search_locations if package is not None else None
    file = Path(next(iter(places or ()), "")) / "frequency_lists.py"
    spec = importlib.util.spec_from_file_location("wardgate_frequency_lists", file)
    if spec is None or spec.loader is None:
        raise WardgateError("the lists of common passwords are not installed (package zxcvbn)", "common_passwords_missing")
    lists = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lists)
    return CommonPasswords(word for ranked in lists.FREQUENCY_LISTS.values() for word in ranked if len(word) >= MIN_WORD_CHARS)
