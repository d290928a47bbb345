"""LDAP messages (RFC 4511 section 4): requests into bytes, bytes into responses. No I/O.

Requests are encoded at once and never kept as objects: there is nothing that could print a password.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from wardgate.directory.ldap import ber
from wardgate.directory.ldap.port import Change, Control, Entry, Result, Scope

NOTICE_OF_DISCONNECTION: Final = "1.3.6.1.4.1.1466.20036"
START_TLS: Final = "1.3.6.1.4.1.1466.20037"
PAGED_RESULTS: Final = "1.2.840.113556.1.4.319"
MAX_MESSAGE_ID: Final = 2**31 - 1
MAX_CONTROLS: Final = 64
_MAX_NAME_BYTES: Final = 512
_SHORT_BYTES: Final = 96

BIND_RESPONSE: Final = 0x61
SEARCH_ENTRY: Final = 0x64
SEARCH_DONE: Final = 0x65
MODIFY_RESPONSE: Final = 0x67
ADD_RESPONSE: Final = 0x69
DELETE_RESPONSE: Final = 0x6B
MODIFY_DN_RESPONSE: Final = 0x6D
SEARCH_REFERENCE: Final = 0x73
EXTENDED_RESPONSE: Final = 0x78
INTERMEDIATE_RESPONSE: Final = 0x79
RESULTS: Final = frozenset(
    {BIND_RESPONSE, SEARCH_DONE, MODIFY_RESPONSE, ADD_RESPONSE, DELETE_RESPONSE, MODIFY_DN_RESPONSE, EXTENDED_RESPONSE}
)
RESPONSES: Final = RESULTS | {SEARCH_ENTRY, SEARCH_REFERENCE, INTERMEDIATE_RESPONSE}

_VERSION: Final = ber.integer(3)
_NEVER_DEREFERENCE: Final = ber.integer(0, ber.ENUMERATED)
_BOTH: Final = ber.boolean(False)  # typesOnly FALSE
_MAX_NAMES: Final = 4096
_NAMES: Final[dict[bytes, str]] = {}
"""By how a description stands in a message, with tag and length: its name. Ranges are not among them, and never too many."""
_ONE_VALUE: Final = tuple(bytes((ber.SET, size + 2, ber.OCTETS, size)) for size in range(0x80 - 2))
"""What stands before the only value of an attribute, by the length of the value."""


# --- requests: each function gives one protocol operation, `message` puts it into its envelope ---------------------------------


def message(message_id: int, operation: bytes, controls: bytes = b"") -> bytes:
    """A whole message. `controls`: from `encode_controls`."""
    octets = message_id.bit_length() // 8 + 1
    size = 2 + octets + len(operation) + len(controls)
    if size < 0x80:
        return b"\x30%c\x02%c%b%b%b" % (size, octets, message_id.to_bytes(octets), operation, controls)
    return ber.tlv(ber.SEQUENCE, b"\x02%c%b%b%b" % (octets, message_id.to_bytes(octets), operation, controls))


def encode_controls(controls: Sequence[Control]) -> bytes:
    """The controls part of a message; empty for none."""
    if len(controls) == 1 and controls[0].value is None:
        return _bare_control(controls[0].oid, controls[0].critical)
    return ber.sequence(*map(_control, controls), tag=0xA0) if controls else b""


@lru_cache(64)
def _bare_control(oid: str, critical: bool) -> bytes:
    """The controls part for one control without a value, as each bind at OpenLDAP has it."""
    return ber.sequence(_control(Control(oid, critical)), tag=0xA0)


@lru_cache(64)
def first_page(size: int) -> bytes:
    """The controls part of a search that has no other control, for its first page."""
    return encode_controls((page_control(size, b""),))


def bind(dn: str, password: bytes) -> bytes:
    """A simple bind."""
    name = dn.encode()
    content = len(name) + len(password) + 7
    if content < 0x80:  # all lengths are short
        return b"\x60%c\x02\x01\x03\x04%c%b\x80%c%b" % (content, len(name), name, len(password), password)
    return ber.tlv(0x60, _VERSION + ber.octets(name) + ber.tlv(0x80, password))


def unbind() -> bytes:
    """Ends the session; there is no answer."""
    return b"\x42\x00"


def abandon(message_id: int) -> bytes:
    """Ends an operation; there is no answer."""
    return ber.integer(message_id, 0x50)


def search(
    base: str, scope: Scope, encoded_filter: bytes, attributes: Sequence[str], size_limit: int = 0, time_limit_s: int = 0
) -> bytes:
    """A search. Aliases are not followed: an alias is another way to an entry that has its own."""
    before, behind = _around_filter(base, scope, tuple(attributes), size_limit, time_limit_s)
    return ber.tlv(0x63, before + encoded_filter + behind)


def modify(dn: str, changes: Sequence[Change]) -> bytes:
    """All changes, or none of them."""
    return ber.tlv(0x66, ber.octets(dn) + ber.sequence(*map(_change, changes)))


def add(dn: str, attributes: Sequence[tuple[str, Sequence[bytes]]]) -> bytes:
    """A new entry."""
    return ber.tlv(0x68, ber.octets(dn) + ber.sequence(*(_attribute(name, values) for name, values in attributes)))


def delete(dn: str) -> bytes:
    """Delete an entry."""
    return ber.octets(dn, 0x4A)


def modify_dn(dn: str, new_rdn: str, delete_old_rdn: bool = True, new_superior: str | None = None) -> bytes:
    """Rename or move an entry."""
    moved = b"" if new_superior is None else ber.octets(new_superior, 0x80)
    return ber.tlv(0x6C, ber.octets(dn) + ber.octets(new_rdn) + ber.boolean(delete_old_rdn) + moved)


def extended(oid: str, value: bytes | None = None) -> bytes:
    """An extended operation."""
    return ber.tlv(0x77, ber.octets(oid, 0x80) + (b"" if value is None else ber.tlv(0x81, value)))


def page_control(size: int, cookie: bytes) -> Control:
    """Ask for the next `size` entries. RFC 2696."""
    return Control(PAGED_RESULTS, critical=False, value=ber.sequence(ber.integer(size), ber.octets(cookie)))


def page_cookie(result: Result) -> bytes:
    """Where the next page begins; empty when there is none. Raises MessageError."""
    control = result.control(PAGED_RESULTS)
    if control is None or control.value is None:
        return b""
    reader = ber.Reader(control.value).enter()
    reader.skip()
    return reader.octets()


@lru_cache(512)
def _around_filter(base: str, scope: Scope, attributes: tuple[str, ...], size_limit: int, time_limit_s: int) -> tuple[bytes, bytes]:
    """What stands before and behind the filter of a search: the same for all users, so it is made once."""
    limits = ber.integer(scope, ber.ENUMERATED) + _NEVER_DEREFERENCE + ber.integer(size_limit) + ber.integer(time_limit_s)
    return ber.octets(base) + limits + _BOTH, ber.sequence(*map(ber.octets, attributes))


def _attribute(name: str, values: Sequence[bytes]) -> bytes:
    return ber.sequence(ber.octets(name), ber.sequence(*map(ber.octets, values), tag=ber.SET))


def _change(change: Change) -> bytes:
    return ber.sequence(ber.integer(change.kind, ber.ENUMERATED), _attribute(change.attribute, change.values))


def _control(control: Control) -> bytes:
    critical = ber.boolean(True) if control.critical else b""
    value = b"" if control.value is None else ber.octets(control.value)
    return ber.sequence(ber.octets(control.oid), critical, value)


# --- responses ---------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Incoming:
    """One message: which operation it belongs to, what it is, where its content lies, and where the controls behind that end."""

    data: bytes
    message_id: int
    tag: int
    start: int
    stop: int
    end: int


def decode(data: bytes, at: int = 0, end: int | None = None) -> Incoming:
    """Open the envelope of exactly one message, which is all of `data` or what lies between. Raises MessageError."""
    if end is None:
        end = len(data)
    found = opened(data, at, end)
    if found is not None and found.end == end:
        return found
    if end - at > ber.MAX_MESSAGE_BYTES:
        raise ber.malformed(f"a message of more than {ber.MAX_MESSAGE_BYTES} octets")
    tag, at, stop = ber.head(data, at, end)
    if tag != ber.SEQUENCE or stop != end:
        raise ber.malformed("not one message")
    tag, start, stop = ber.head(data, at, end)
    if tag != ber.INTEGER:
        raise ber.malformed("no message id")
    message_id = ber.whole_number(data, start, stop)
    if not 0 <= message_id <= MAX_MESSAGE_ID:
        raise ber.malformed("a message id out of range")
    tag, start, stop = ber.head(data, stop, end)
    if tag not in RESPONSES:
        raise ber.malformed(f"no response has tag {tag:#04x}")
    return Incoming(data, message_id, tag, start, stop, end)


def opened(data: bytes, at: int, end: int) -> Incoming | None:
    """Open the envelope of the message that begins at `at`, if it is whole by `end` and short in the way of nearly all messages.

    None for any other, good or not: `decode` tells. A length of up to three octets (65,535) is read here, without a call for each.
    """
    if at + 12 > end or data[at] != 0x30:  # the shortest response that ends an operation has 14 octets
        return None
    size, start = data[at + 1], at + 2
    if size >= 0x80:
        if size == 0x81:
            size, start = data[at + 2], at + 3
        elif size == 0x82:
            size, start = data[at + 2] << 8 | data[at + 3], at + 4
        else:
            return None
    whole = start + size
    id_bytes = data[start + 1]
    # With 10 octets in it, the message holds an id of up to 4, and the head of the operation.
    if whole > end or size < 10 or data[start] != 0x02 or not 1 <= id_bytes <= 4 or data[start + 2] >= 0x80:
        return None
    message_id = data[start + 2] if id_bytes == 1 else int.from_bytes(data[start + 2 : start + 2 + id_bytes])
    start += 2 + id_bytes
    tag, size = data[start], data[start + 1]
    start += 2
    if size >= 0x80:
        if size == 0x81:
            size = data[start]
            start += 1
        elif size == 0x82:
            size = data[start] << 8 | data[start + 1]
            start += 2
        else:
            return None
    stop = start + size
    return Incoming(data, message_id, tag, start, stop, whole) if stop <= whole and tag in RESPONSES else None


def entry(incoming: Incoming) -> tuple[Entry, dict[str, int]]:
    """A SearchResultEntry, and the attributes of which it holds only a part (`name;range=0-1499`), with where the next begins.

    Values of one attribute under several options come together. Raises MessageError.
    """
    data, end = incoming.data, incoming.stop
    if end != incoming.end:
        _controls(data, end, incoming.end)  # of no use with an entry, but no place for anything else
    tag, start, stop = ber.head(data, incoming.start, end)
    if tag != ber.OCTETS:
        raise ber.malformed("an entry without a name")
    dn = _utf8(data, start, stop)
    tag, at, stop = ber.head(data, stop, end)
    if tag != ber.SEQUENCE or stop != end:
        raise ber.malformed("an entry without attributes")
    found: dict[str, tuple[bytes, ...]] = {}
    unfinished: dict[str, int] = {}
    left = ber.MAX_ELEMENTS
    while at < end:
        # Nearly every attribute has one value, and all of it in short lengths. These are read here, without a call for each
        # element: that was half of the time of a search. The lookahead stays inside the message: what follows an attribute that
        # is cut off belongs to it no more, and the comparisons with its end fail. A description is looked up with its tag and
        # its length, so that neither has to be compared by itself.
        size = data[at + 1] if at + 8 <= end else 0x80
        stop = at + 2 + size
        if size < 0x80 and stop <= end and data[at] == 0x30:
            values_at = at + 4 + data[at + 3]
            value_at = values_at + 4
            size = stop - value_at
            if size >= 0 and data[values_at:value_at] == _ONE_VALUE[size]:
                known = _NAMES.get(data[at + 2 : values_at])
                if known is not None and known not in found:
                    found[known] = (data[value_at:stop],)
                    at = stop
                    left -= 2
                    continue
        description, values, at = _attribute_of(data, at, end, left)
        name, more_from = _described(description)
        if more_from is None and len(_NAMES) < _MAX_NAMES:
            _NAMES[ber.octets(description)] = name
        left -= len(values) + 1
        if left < 0:
            raise ber.malformed(f"more than {ber.MAX_ELEMENTS} elements")
        found[name] = found[name] + values if name in found else values
        if more_from is not None:
            unfinished[name] = more_from
    if left < 0:
        raise ber.malformed(f"more than {ber.MAX_ELEMENTS} elements")
    return Entry(dn, found), unfinished


def _attribute_of(data: bytes, at: int, end: int, most: int) -> tuple[bytes, tuple[bytes, ...], int]:
    """Any attribute: its description, its values, and where it ends."""
    head = ber.head
    tag, start, end = head(data, at, end)
    if tag != ber.SEQUENCE:
        raise ber.malformed("no attribute where one belongs")
    tag, name_start, name_stop = head(data, start, end)
    if tag != ber.OCTETS or name_stop - name_start > _MAX_NAME_BYTES:
        raise ber.malformed("an attribute without a name, or with a long one")
    tag, at, stop = head(data, name_stop, end)
    if tag != ber.SET or stop != end:
        raise ber.malformed("no set of values")
    values = []
    while at < end:
        tag, start, at = head(data, at, end)
        if tag != ber.OCTETS:
            raise ber.malformed("no value where one belongs")
        values.append(data[start:at])
        if len(values) > most:
            raise ber.malformed(f"more than {ber.MAX_ELEMENTS} elements")
    return data[name_start:name_stop], tuple(values), end


@lru_cache(4096)
def _described(description: bytes) -> tuple[str, int | None]:
    """The name without its options, and where the values go on when these are only a part of them."""
    try:
        name, *options = description.decode("ascii").lower().split(";")
    except UnicodeDecodeError as error:
        raise ber.malformed("the name of an attribute is not ASCII") from error
    for option in options:
        first, dash, last = option.removeprefix("range=").partition("-")
        if option.startswith("range=") and dash and last != "*":
            if not (first.isdecimal() and last.isdecimal() and len(last) <= 10):
                raise ber.malformed("a range that is none")
            return name, int(last) + 1
    return name, None


def result(incoming: Incoming, server: str = "") -> Result:
    """Any response that ends an operation. Referrals are left where they are: they are never followed. Raises MessageError."""
    data, start, stop, end = incoming.data, incoming.start, incoming.stop, incoming.end
    # Most are the same few octets, so they are taken apart once. Extended ones are left out: one of them is a new password.
    if end - start <= _SHORT_BYTES and incoming.tag != EXTENDED_RESPONSE:
        return _short_result(data[start:end], stop - start, incoming.tag, server)
    return _result(data, start, stop, end, incoming.tag, server)


@lru_cache(512)
def _short_result(data: bytes, stop: int, kind: int, server: str) -> Result:
    return _result(data, 0, stop, len(data), kind, server)


def _result(data: bytes, start: int, end: int, end_of_controls: int, kind: int, server: str) -> Result:
    controls = () if end == end_of_controls else _controls(data, end, end_of_controls)
    tag, start, stop = ber.head(data, start, end)
    if tag != ber.ENUMERATED:
        raise ber.malformed("no result code")
    code = ber.whole_number(data, start, stop)
    tag, dn_start, dn_stop = ber.head(data, stop, end)
    other, text_start, text_stop = ber.head(data, dn_stop, end)
    if tag != ber.OCTETS or other != ber.OCTETS:
        raise ber.malformed("a result without its texts")
    value = None
    at = text_stop
    while at < end:
        tag, start, at = ber.head(data, at, end)
        if tag == 0x8B and kind == EXTENDED_RESPONSE:
            value = data[start:at]
    # A text for people is not worth a connection; Active Directory may end it with a NUL.
    diagnostic = data[text_start:text_stop].decode(errors="replace").rstrip("\x00") if text_stop > text_start else ""
    matched = _utf8(data, dn_start, dn_stop) if dn_stop > dn_start else ""
    return Result(code, diagnostic, matched, controls, value, server)


def response_name(incoming: Incoming) -> str | None:
    """The OID of an extended response, such as a notice. Raises MessageError."""
    reader = ber.Reader(incoming.data, incoming.start, incoming.stop)
    while reader.more:
        if reader.tag == 0x8A:
            return reader.octets(0x8A).decode(errors="replace")
        reader.skip()
    return None


def _controls(data: bytes, at: int, end: int) -> tuple[Control, ...]:
    tag, at, stop = ber.head(data, at, end)
    if tag != 0xA0 or stop != end:
        raise ber.malformed("something stands behind the operation that is no controls")
    found: list[Control] = []
    while at < end:
        tag, start, at = ber.head(data, at, end)
        if tag != ber.SEQUENCE or len(found) == MAX_CONTROLS:
            raise ber.malformed("no control where one belongs, or too many")
        found.append(_control_in(data, start, at))
    return tuple(found)


def _control_in(data: bytes, at: int, end: int) -> Control:
    tag, start, at = ber.head(data, at, end)
    if tag != ber.OCTETS:
        raise ber.malformed("a control without a name")
    oid, critical, value = _oid(data[start:at]), False, None
    if at < end and data[at] == ber.BOOLEAN:
        _, start, at = ber.head(data, at, end)
        if at - start != 1:
            raise ber.malformed("a truth value of more than one octet")
        critical = data[start] != 0
    if at < end:
        tag, start, at = ber.head(data, at, end)
        if tag != ber.OCTETS or at != end:
            raise ber.malformed("something else than a value in a control")
        value = data[start:at]
    return Control(oid, critical, value)


@lru_cache(256)
def _oid(octets: bytes) -> str:
    if len(octets) > _MAX_NAME_BYTES:
        raise ber.malformed("a control with a long name")
    return octets.decode(errors="replace")


def _utf8(data: bytes, start: int, stop: int) -> str:
    try:
        return data[start:stop].decode()
    except UnicodeDecodeError as error:
        raise ber.malformed("a name is not UTF-8") from error
