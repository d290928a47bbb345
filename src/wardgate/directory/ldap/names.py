"""Distinguished names: reading and escaping them (RFC 4514), and telling whether two are the same.

Names that a server gave go back to it as they came; what is made here is for comparing only.
"""

import re
from typing import Final

from wardgate.errors import MessageError

MAX_CHARS: Final = 16 * 1024
_TYPE = re.compile(r" *((?:[A-Za-z][A-Za-z0-9-]*)|(?:[0-9]+(?:\.[0-9]+)*)) *= *")
_HEX = re.compile(r"#((?:[0-9A-Fa-f]{2})+)")
_SPECIAL = re.compile(r'[,+"\\<>;=\x00]')
_SPACES = re.compile(" +")
_SHORT_NAMES: Final = {
    "2.5.4.3": "cn",
    "2.5.4.4": "sn",
    "2.5.4.6": "c",
    "2.5.4.7": "l",
    "2.5.4.8": "st",
    "2.5.4.9": "street",
    "2.5.4.10": "o",
    "2.5.4.11": "ou",
    "0.9.2342.19200300.100.1.1": "uid",
    "0.9.2342.19200300.100.1.25": "dc",
}

Rdn = tuple[tuple[str, str], ...]
"""One step of a name: types in lower case with their values as they are meant, sorted."""


def escape_value(value: str) -> str:
    """A value for use in a DN, whatever it contains. RFC 4514 section 2.4."""
    escaped = _SPECIAL.sub(lambda found: "\\00" if found[0] == "\x00" else f"\\{found[0]}", value)
    if escaped[:1] in ("#", " "):
        escaped = f"\\{escaped}"
    if escaped.endswith(" ") and len(value) > 1:
        escaped = f"{escaped[:-1]}\\ "
    return escaped


def parse_dn(text: str) -> tuple[Rdn, ...]:
    """The steps of a name, from the entry upwards; none for the root. Raises MessageError (`ldap_dn`)."""
    if len(text) > MAX_CHARS:
        raise _wrong(f"longer than {MAX_CHARS} characters")
    if not text.strip(" "):
        return ()
    steps: list[Rdn] = []
    pairs: list[tuple[str, str]] = []
    at = 0
    while True:
        kind = _TYPE.match(text, at)
        if kind is None:
            raise _wrong(f"no attribute type at character {at}")
        value, at = _value(text, kind.end())
        name = kind[1].lower()
        pairs.append((_SHORT_NAMES.get(name, name), value))
        separator = text[at : at + 1]
        if separator != "+":
            steps.append(tuple(sorted(pairs)))
            pairs = []
        if not separator:
            return tuple(steps)
        at += 1


def normal_dn(text: str) -> str:
    """A form that is equal for equal names: no case, no spaces that mean nothing, one way of escaping. For comparing only."""
    return ",".join(
        "+".join(f"{name}={escape_value(_SPACES.sub(' ', value.strip(' ')).casefold())}" for name, value in step)
        for step in parse_dn(text)
    )


def same_dn(one: str, other: str) -> bool:
    """Whether both name the same entry. Raises MessageError."""
    return one == other or normal_dn(one) == normal_dn(other)


def is_under(dn: str, base: str) -> bool:
    """Whether `dn` is `base` or anywhere below it. Raises MessageError."""
    below, above = parse_dn(normal_dn(dn)), parse_dn(normal_dn(base))
    return not above or below[-len(above) :] == above


def _wrong(problem: str) -> MessageError:
    return MessageError(f"the DN is malformed: {problem}", "ldap_dn")


def _value(text: str, at: int) -> tuple[str, int]:
    """A value and where its separator stands."""
    if text.startswith("#", at):
        found = _HEX.match(text, at)
        if found is None:
            raise _wrong(f"no hexadecimal value at character {at}")
        value, at = found[0].lower(), found.end()
        while text.startswith(" ", at):
            at += 1
        if text[at : at + 1] not in ("", ",", "+", ";"):
            raise _wrong(f"a stray character at {at}")
        return value, at
    if text.startswith('"', at):
        return _quoted(text, at + 1)
    octets = bytearray()
    kept = 0  # a trailing space counts only when it was escaped
    while at < len(text) and text[at] not in ",+;":
        if text[at] == "\\":
            piece, at = _escaped(text, at)
            octets += piece
            kept = len(octets)
            continue
        if text[at] in '"<>':
            raise _wrong(f"`{text[at]}` must be escaped, at character {at}")
        octets += text[at].encode()
        if text[at] != " ":
            kept = len(octets)
        at += 1
    return _decoded(bytes(octets[:kept])), at


def _quoted(text: str, at: int) -> tuple[str, int]:
    """The old form in quotation marks, which RFC 4514 section 2.4 still lets one read."""
    octets = bytearray()
    while at < len(text) and text[at] != '"':
        if text[at] == "\\":
            piece, at = _escaped(text, at)
            octets += piece
            continue
        octets += text[at].encode()
        at += 1
    if at == len(text):
        raise _wrong("a quotation mark is not closed")
    at += 1
    while text.startswith(" ", at):
        at += 1
    if text[at : at + 1] not in ("", ",", "+", ";"):
        raise _wrong(f"a stray character at {at}")
    return _decoded(bytes(octets)), at


def _escaped(text: str, at: int) -> tuple[bytes, int]:
    pair = text[at + 1 : at + 3]
    if len(pair) == 2 and all(character in "0123456789abcdefABCDEF" for character in pair):
        return bytes((int(pair, 16),)), at + 3
    if pair[:1] and pair[0] in ' "#+,;<=>\\':
        return pair[0].encode(), at + 2
    raise _wrong(f"a `\\` before nothing that it escapes, at character {at}")


def _decoded(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise _wrong("not UTF-8") from error
