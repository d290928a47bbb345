"""Search filters: the text of RFC 4515 into the BER of RFC 4511 section 4.5.1.7, and escaping what goes into such a text."""

import re
from typing import Final

from wardgate.directory.ldap import ber
from wardgate.errors import MessageError

MAX_CHARS: Final = 64 * 1024
MAX_DEPTH: Final = 32
MAX_PARTS: Final = 4096

_AND, _OR, _NOT = 0xA0, 0xA1, 0xA2
_PRESENT, _SUBSTRINGS, _EXTENSIBLE = 0x87, 0xA4, 0xA9
_COMPARISONS: Final = {"=": 0xA3, ">=": 0xA5, "<=": 0xA6, "~=": 0xA8}
_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82
_RULE, _TYPE, _VALUE, _DN_ATTRIBUTES = 0x81, 0x82, 0x83, 0x84

_OID: Final = r"[A-Za-z0-9][A-Za-z0-9.-]*"
_ITEM = re.compile(rf"({_OID}(?:;[A-Za-z0-9-]+)*)?((?::[dD][nN](?=:))?)((?::{_OID})?)(:=|[<>~]?=)")
# One comparison without anything escaped: what most look-ups of a user are.
_PLAIN = re.compile(rf"\(({_OID}(?:;[A-Za-z0-9-]+)*)=([^\\*()\x00]*)\)")
_VALUE_END = re.compile(r"[()]|$")
_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{2})?")
_SPECIAL = re.compile(r"[\\*()\x00]")


def escape(value: str | bytes) -> str:
    """`value` for use inside a filter, whatever it contains. Octets are escaped one by one: `objectGUID` is searched so."""
    if isinstance(value, bytes):
        return "".join(f"\\{octet:02x}" for octet in value)
    return _SPECIAL.sub(_escaped, value) if _SPECIAL.search(value) else value


def _escaped(found: re.Match[str]) -> str:
    return f"\\{ord(found[0]):02x}"


class Filter(str):
    """A filter with its encoding, for what is searched at every login: reading a text takes longer than the search that it is for.

    It is a text as others are, wherever one is taken.
    """

    __slots__ = ("encoded",)
    encoded: bytes

    def __new__(cls, text: str, encoded: bytes | None = None) -> "Filter":
        """`encoded`: where it is known already; else the text is read, once. Raises MessageError (`ldap_filter`)."""
        made = super().__new__(cls, text)
        made.encoded = encode_filter(text) if encoded is None else encoded
        return made


def equal(attribute: str, value: str) -> Filter:
    """The attribute has this value, whatever the value contains."""
    return Filter(f"({attribute}={escape(value)})", _equality(attribute.encode(), value.encode()))


def both(*parts: Filter) -> Filter:
    """All of them hold."""
    return _joined("&", _AND, parts)


def either(*parts: Filter) -> Filter:
    """One of them holds; the only one, where there is but one."""
    return parts[0] if len(parts) == 1 else _joined("|", _OR, parts)


def _joined(sign: str, tag: int, parts: tuple[Filter, ...]) -> Filter:
    return Filter(f"({sign}{''.join(parts)})", ber.tlv(tag, b"".join([part.encoded for part in parts])))


def encode_filter(text: str) -> bytes:
    """The filter as BER. Raises MessageError (`ldap_filter`) for anything else than one filter."""
    if isinstance(text, Filter):
        return text.encoded
    if len(text) > MAX_CHARS:
        raise _wrong(f"longer than {MAX_CHARS} characters")
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        return _equality(plain[1].encode(), plain[2].encode())
    parser = _Parser(text)
    encoded = parser.filter(MAX_DEPTH)
    if parser.at != len(text):
        raise _wrong(f"something stands behind its end, at character {parser.at}")
    return encoded


def _equality(attribute: bytes, value: bytes) -> bytes:
    """An equalityMatch, in one go where all lengths are short."""
    size = len(attribute) + len(value) + 4
    if size < 0x80:
        return b"\xa3%c\x04%c%b\x04%c%b" % (size, len(attribute), attribute, len(value), value)
    return ber.sequence(ber.octets(attribute), ber.octets(value), tag=_COMPARISONS["="])


def _wrong(problem: str) -> MessageError:
    # The text is not repeated: it holds names, and a malformed one perhaps more.
    return MessageError(f"the LDAP filter is malformed: {problem}", "ldap_filter")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._parts = 0
        self.at = 0

    def filter(self, depth: int) -> bytes:
        """One filter in parentheses."""
        self._expect("(")
        self._parts += 1
        if not depth or self._parts > MAX_PARTS:
            raise _wrong("nested too deeply, or of too many parts")
        kind = self._text[self.at : self.at + 1]
        if kind == "&":
            encoded = self._list(_AND, depth)
        elif kind == "|":
            encoded = self._list(_OR, depth)
        elif kind == "!":
            self.at += 1
            encoded = ber.tlv(_NOT, self.filter(depth - 1))
        else:
            encoded = self._item()
        self._expect(")")
        return encoded

    def _list(self, tag: int, depth: int) -> bytes:
        """Filters one after the other. None at all is `true` or `false` (RFC 4526)."""
        self.at += 1
        found = []
        while self._text.startswith("(", self.at):
            found.append(self.filter(depth - 1))
        return ber.tlv(tag, b"".join(found))

    def _item(self) -> bytes:
        found = _ITEM.match(self._text, self.at)
        if found is None:
            raise _wrong(f"no comparison at character {self.at}")
        attribute, with_dn, rule, operator = found.groups()
        end = _VALUE_END.search(self._text, found.end())
        if end is None:
            raise _wrong("its parentheses do not match")
        value, self.at = self._text[found.end() : end.start()], end.start()
        if operator == ":=":
            return _extensible(attribute, bool(with_dn), rule[1:], value)
        if attribute is None or with_dn or rule:
            raise _wrong("a comparison without an attribute, or a matching rule without `:=`")
        if operator == "=" and "*" in value:
            return _with_stars(attribute, value)
        return ber.sequence(ber.octets(attribute), ber.octets(_unescape(value)), tag=_COMPARISONS[operator])

    def _expect(self, character: str) -> None:
        if not self._text.startswith(character, self.at):
            raise _wrong(f"no `{character}` at character {self.at}")
        self.at += 1


def _with_stars(attribute: str, value: str) -> bytes:
    """Present, or substrings."""
    if value == "*":
        return ber.octets(attribute, _PRESENT)
    initial, *middle, final = value.split("*")
    pieces = [ber.octets(_unescape(initial), _INITIAL)] if initial else []
    for piece in middle:
        if not piece:
            raise _wrong("`**`")
        pieces.append(ber.octets(_unescape(piece), _ANY))
    if final:
        pieces.append(ber.octets(_unescape(final), _FINAL))
    return ber.sequence(ber.octets(attribute), ber.sequence(*pieces), tag=_SUBSTRINGS)


def _extensible(attribute: str | None, with_dn: bool, rule: str, value: str) -> bytes:
    if attribute is None and not rule:
        raise _wrong("`:=` with neither an attribute nor a matching rule")
    parts = [ber.octets(rule, _RULE)] if rule else []
    if attribute is not None:
        parts.append(ber.octets(attribute, _TYPE))
    parts.append(ber.octets(_unescape(value), _VALUE))
    if with_dn:
        parts.append(ber.boolean(True, _DN_ATTRIBUTES))
    return ber.sequence(*parts, tag=_EXTENSIBLE)


def _unescape(value: str) -> bytes:
    if "*" in value or "\x00" in value:
        raise _wrong("a `*` or NUL that is not escaped")
    if "\\" not in value:
        return value.encode()
    found = bytearray()
    at = 0
    for escaped in _ESCAPE.finditer(value):
        if escaped[1] is None:
            raise _wrong("a `\\` without two hexadecimal digits behind it")
        found += value[at : escaped.start()].encode()
        found.append(int(escaped[1], 16))
        at = escaped.end()
    return bytes(found + value[at:].encode())
