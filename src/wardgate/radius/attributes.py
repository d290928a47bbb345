"""Names and types of attributes: from what an operator writes to octets, and back.

The codec never needs this: a packet is numbers and octets. It is for reply rules ("add PaloAlto-User-Group"), for the
simulator and for printing. Types are those of RFC 8044, tags and encryption those of RFC 2868.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum

from wardgate.errors import PacketError, SettingsError
from wardgate.radius.packet import MAX_VALUE_BYTES, MAX_VENDOR_VALUE_BYTES, Attribute, Packet, vendor_attribute
from wardgate.radius.pap import BLOCK_BYTES
from wardgate.radius.salted import SALT_BYTES, Hiding, hide_salted

MAX_TAG = 0x1F
_MAX_VENDOR = 0xFFFFFF

Value = str | int


class AttributeValueError(SettingsError):
    """A rule names an attribute that does not exist, or gives it a value that does not fit. Says what would."""

    code = "radius_attribute_value"


class Kind(StrEnum):
    """The type of a value."""

    STRING = "string"
    OCTETS = "octets"
    INTEGER = "integer"
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    IPV6_PREFIX = "ipv6prefix"
    INTERFACE_ID = "ifid"
    DATE = "date"
    UNTYPED = "untyped"
    """An attribute in no table: a number is sent as an integer, text as text, 0x... as octets."""


@dataclass(frozen=True, slots=True)
class AttributeDefinition:
    """One row of a dictionary."""

    name: str
    vendor: int | None
    number: int
    kind: Kind
    tagged: bool = False
    encrypted: bool = False
    confidential: bool = False
    """Never printed: it holds, or stands for, a secret."""
    protected: bool = False
    """Set by the server itself; a rule that added it would break the login."""
    values: tuple[tuple[str, int], ...] = ()
    """Names for integers."""
    tag: int = 0
    """Which tunnel of several this is for; only for tagged attributes. 0: none."""

    def read(self, packet: Packet) -> list[bytes]:
        """The raw values of this attribute in a packet, in order."""
        return packet.all(self.number) if self.vendor is None else packet.vendor(self.vendor, self.number)


class Dictionary:
    """Definitions, found by name or by number."""

    def __init__(self, definitions: Iterable[AttributeDefinition]) -> None:
        self._by_name: dict[str, AttributeDefinition] = {}
        self._by_number: dict[tuple[int | None, int], AttributeDefinition] = {}
        for definition in definitions:
            self._add(definition)

    def _add(self, definition: AttributeDefinition) -> None:
        key = (definition.vendor, definition.number)
        if definition.name.lower() in self._by_name or key in self._by_number:
            raise AttributeValueError(f"attribute {definition.name} stands twice in the dictionary")
        self._by_name[definition.name.lower()] = definition
        self._by_number[key] = definition

    def __iter__(self) -> Iterator[AttributeDefinition]:
        return iter(self._by_number.values())

    def get(self, number: int, vendor: int | None = None) -> AttributeDefinition | None:
        """The definition of a number, or None."""
        return self._by_number.get((vendor, number))

    def find(self, reference: str) -> AttributeDefinition:
        """The definition that an operator means. Raises AttributeValueError with a suggestion.

        `Filter-Id`, in any case of letters; `Tunnel-Type:1` with a tag; `11` for a standard number; `25461:5` or
        `25461/5` for a vendor's; `9999:5:integer` for one that is in no table.
        """
        parts = reference.strip().replace("/", ":").split(":")
        if parts[0].isdecimal():
            return self._find_number(reference, parts)
        definition = self._by_name.get(parts[0].lower())
        if definition is None:
            raise AttributeValueError(self._unknown(parts[0]))
        return definition if len(parts) == 1 else _with_tag(definition, parts[1:])

    def _unknown(self, name: str) -> str:
        close = get_close_matches(name.lower(), self._by_name, n=1)
        hint = f"did you mean {self._by_name[close[0]].name}?" if close else "write its number, or vendor:number"
        return f"there is no RADIUS attribute {name!r}: {hint}"

    def _find_number(self, reference: str, parts: list[str]) -> AttributeDefinition:
        kind = Kind.UNTYPED
        if parts[-1] in set(Kind):
            kind = Kind(parts.pop())
        if not 1 <= len(parts) <= 2 or not all(part.isascii() and part.isdecimal() and len(part) <= 8 for part in parts):
            raise AttributeValueError(f"{reference!r} is neither number, vendor:number nor vendor:number:kind")
        vendor, number = (None, int(parts[0])) if len(parts) == 1 else (int(parts[0]), int(parts[1]))
        known = self.get(number, vendor)
        if known is not None:
            return known
        if not 1 <= number <= 255 or (vendor is not None and not 1 <= vendor <= _MAX_VENDOR):
            raise AttributeValueError(f"{reference!r}: attribute numbers are 1 to 255, vendor numbers 1 to {_MAX_VENDOR}")
        return AttributeDefinition(unknown_name(number, vendor), vendor, number, kind)


def unknown_name(number: int, vendor: int | None) -> str:
    """What an attribute is called that is in no table."""
    return f"Attr-{number}" if vendor is None else f"Vendor-{vendor}-{number}"


def _with_tag(definition: AttributeDefinition, rest: list[str]) -> AttributeDefinition:
    tag = rest[0]
    if not definition.tagged:
        raise AttributeValueError(f"{definition.name} takes no tag: write it without {':'.join(['', *rest])!r}")
    if len(rest) != 1 or not (tag.isascii() and tag.isdecimal()) or not 1 <= int(tag[:4]) <= MAX_TAG:
        raise AttributeValueError(f"{definition.name}: a tag is a number from 1 to {MAX_TAG}, not {':'.join(rest)!r}")
    return replace(definition, tag=int(tag))


# --- Encoding -------------------------------------------------------------------------------------------------------


def encode_attribute(definition: AttributeDefinition, value: Value, hiding: Hiding | None = None) -> Attribute:
    """The attribute, ready for a packet: typed, tagged, encrypted when it must be, wrapped for its vendor.

    `hiding` is needed for encrypted attributes only. Raises AttributeValueError when the value does not fit.
    """
    if definition.protected:
        raise AttributeValueError(f"{definition.name} is set by the server itself and cannot be added")
    data = encode_value(definition, value)
    room = _room(definition, data)
    if len(data) > room:
        raise AttributeValueError(f"{definition.name} holds at most {room} octets, the value has {len(data)}")
    if definition.encrypted:
        if hiding is None:
            raise AttributeValueError(f"{definition.name} travels encrypted and cannot be sent here")
        data = hide_salted(data, hiding)
    data = _add_tag(definition, data)
    if definition.vendor is None:
        return definition.number, data
    return vendor_attribute(definition.vendor, definition.number, data)


def _room(definition: AttributeDefinition, data: bytes) -> int:
    """How many octets of value fit, once wrapping, tag, salt and padding have taken theirs."""
    limit = MAX_VALUE_BYTES if definition.vendor is None else MAX_VENDOR_VALUE_BYTES
    if definition.encrypted:
        return (limit - definition.tagged - SALT_BYTES) // BLOCK_BYTES * BLOCK_BYTES - 1
    return limit - (len(_add_tag(definition, data)) - len(data))


def encode_value(definition: AttributeDefinition, value: Value) -> bytes:
    """The octets of a value, without tag and wrapping. Raises AttributeValueError, which says what would fit."""
    if isinstance(value, bool):
        raise AttributeValueError(f"{definition.name} is {_NAMES[definition.kind]}, not yes or no")
    return _ENCODERS[definition.kind](definition, value)


def _add_tag(definition: AttributeDefinition, data: bytes) -> bytes:
    """Put the tag in its place: RFC 2868 sections 3.1 (integers, top octet) and 3.3 (text, in front)."""
    if not definition.tagged:
        return data
    if definition.kind is Kind.INTEGER:
        return bytes((definition.tag,)) + data[1:]
    # Text without a tag goes as it is: switches exist that show a leading zero octet as part of a VLAN's name. Only where
    # the first octet would be taken for a tag is the empty tag written.
    if definition.tag or definition.encrypted or data[0] <= MAX_TAG:
        return bytes((definition.tag,)) + data
    return data


def _wrong(definition: AttributeDefinition, value: Value) -> AttributeValueError:
    shown = "the value given" if definition.encrypted or definition.confidential else repr(value)
    return AttributeValueError(f"{definition.name} is {_NAMES[definition.kind]}, not {shown}")


def _encode_string(definition: AttributeDefinition, value: Value) -> bytes:
    try:
        data = str(value).encode("utf-8")
    except UnicodeEncodeError as error:
        raise _wrong(definition, value) from error
    # An empty text must not be sent, and text does not end with a NUL: RFC 2865 section 5.
    if not data or b"\0" in data:
        raise _wrong(definition, value)
    return data


def _encode_octets(definition: AttributeDefinition, value: Value) -> bytes:
    """`0x...` is hexadecimal, everything else is text: Class is opaque to us, yet `OU=staff;` is what one writes."""
    if isinstance(value, str) and value[:2].lower() == "0x":
        try:
            data = bytes.fromhex(value[2:])
        except ValueError:
            data = b""
        if not data:
            raise _wrong(definition, value)
        return data
    return _encode_string(definition, value)


def _encode_integer(definition: AttributeDefinition, value: Value) -> bytes:
    number = value if isinstance(value, int) else _named_integer(definition, value)
    # A tag takes the top octet away.
    limit = 0xFFFFFF if definition.tagged else 0xFFFFFFFF
    if number is None or not 0 <= number <= limit:
        raise _wrong(definition, value)
    return number.to_bytes(4, "big")


def _named_integer(definition: AttributeDefinition, text: str) -> int | None:
    plain = text.strip()
    if plain.isascii() and plain.isdecimal() and len(plain) <= 10:
        return int(plain)
    wanted = _plain_name(plain)
    return next((number for name, number in definition.values if _plain_name(name) == wanted), None)


def _plain_name(name: str) -> str:
    """`Administrative-User`, `administrative user` and `Administrative` are one: manuals print all three."""
    return name.lower().replace(" ", "-").replace("_", "-").removesuffix("-user")


def _encode_ipv4(definition: AttributeDefinition, value: Value) -> bytes:
    try:
        return ipaddress.IPv4Address(str(value).strip()).packed
    except ValueError as error:
        raise _wrong(definition, value) from error


def _encode_ipv6(definition: AttributeDefinition, value: Value) -> bytes:
    try:
        address = ipaddress.IPv6Address(str(value).strip())
    except ValueError as error:
        raise _wrong(definition, value) from error
    if address.scope_id is not None:
        raise _wrong(definition, value)
    return address.packed


def _encode_ipv6_prefix(definition: AttributeDefinition, value: Value) -> bytes:
    try:
        network = ipaddress.IPv6Network(str(value).strip())
    except ValueError as error:
        raise _wrong(definition, value) from error
    return bytes((0, network.prefixlen)) + network.network_address.packed


def _encode_interface_id(definition: AttributeDefinition, value: Value) -> bytes:
    groups = str(value).strip().split(":")
    try:
        parts = [int(group, 16).to_bytes(2, "big") for group in groups if group.isalnum()]
    except (ValueError, OverflowError) as error:
        raise _wrong(definition, value) from error
    if len(parts) != 4 or len(groups) != 4:
        raise _wrong(definition, value)
    return b"".join(parts)


def _encode_date(definition: AttributeDefinition, value: Value) -> bytes:
    if isinstance(value, str) and not value.strip().isdecimal():
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise _wrong(definition, value) from error
        if moment.tzinfo is None:
            raise _wrong(definition, value)
        value = int(moment.timestamp())
    return _encode_integer(definition, value)


def _encode_untyped(definition: AttributeDefinition, value: Value) -> bytes:
    return _encode_integer(definition, value) if isinstance(value, int) else _encode_octets(definition, value)


_ENCODERS: dict[Kind, Callable[[AttributeDefinition, Value], bytes]] = {
    Kind.STRING: _encode_string,
    Kind.OCTETS: _encode_octets,
    Kind.INTEGER: _encode_integer,
    Kind.IPV4: _encode_ipv4,
    Kind.IPV6: _encode_ipv6,
    Kind.IPV6_PREFIX: _encode_ipv6_prefix,
    Kind.INTERFACE_ID: _encode_interface_id,
    Kind.DATE: _encode_date,
    Kind.UNTYPED: _encode_untyped,
}

_NAMES = {
    Kind.STRING: "a text of at least one character",
    Kind.OCTETS: "a text, or octets written as 0x and an even number of hexadecimal digits",
    Kind.INTEGER: "a whole number or one of its named values",
    Kind.IPV4: "an IPv4 address",
    Kind.IPV6: "an IPv6 address",
    Kind.IPV6_PREFIX: "an IPv6 prefix such as 2001:db8::/48",
    Kind.INTERFACE_ID: "an interface id such as 0:0:0:1",
    Kind.DATE: "a time: seconds since 1970 or ISO 8601 with its offset",
    Kind.UNTYPED: "a number, a text, or octets written as 0x...",
}


# --- Decoding -------------------------------------------------------------------------------------------------------


def decode_value(definition: AttributeDefinition, data: bytes) -> str | int | bytes:
    """The typed value of received octets, without its tag. Dates are seconds since 1970; octets stay octets.

    Raises PacketError `radius_attribute_value` when the octets are not of that type.
    """
    if definition.tagged:
        data = _strip_tag(definition, data)
    try:
        return _DECODERS[definition.kind](data)
    except ValueError as error:
        raise PacketError(f"{definition.name} is not {_NAMES[definition.kind]}", "radius_attribute_value") from error


def tag_of(definition: AttributeDefinition, data: bytes) -> int:
    """The tag in received octets, 0 for none."""
    if not definition.tagged or not data or data[0] > MAX_TAG:
        return 0
    return data[0]


def _strip_tag(definition: AttributeDefinition, data: bytes) -> bytes:
    if definition.kind is Kind.INTEGER:
        return b"\0" + data[1:] if len(data) == 4 else data
    return data[1:] if data and data[0] <= MAX_TAG else data


def _exactly(size: int, data: bytes) -> bytes:
    if len(data) != size:
        raise ValueError(f"{len(data)} octets, not {size}")
    return data


def _decode_ipv6_prefix(data: bytes) -> str:
    if not 2 <= len(data) <= 18 or data[1] > 128:
        raise ValueError("not a prefix")
    return str(ipaddress.IPv6Network((data[2:].ljust(16, b"\0"), data[1]), strict=False))


def _decode_interface_id(data: bytes) -> str:
    octets = _exactly(8, data)
    return ":".join(f"{int.from_bytes(octets[at : at + 2], 'big'):x}" for at in range(0, 8, 2))


_DECODERS: dict[Kind, Callable[[bytes], str | int | bytes]] = {
    Kind.STRING: lambda data: data.decode("utf-8"),
    Kind.OCTETS: lambda data: data,
    Kind.INTEGER: lambda data: int.from_bytes(_exactly(4, data), "big"),
    Kind.IPV4: lambda data: str(ipaddress.IPv4Address(_exactly(4, data))),
    Kind.IPV6: lambda data: str(ipaddress.IPv6Address(_exactly(16, data))),
    Kind.IPV6_PREFIX: _decode_ipv6_prefix,
    Kind.INTERFACE_ID: _decode_interface_id,
    Kind.DATE: lambda data: int.from_bytes(_exactly(4, data), "big"),
    Kind.UNTYPED: lambda data: data,
}


def printable(definition: AttributeDefinition, data: bytes) -> str:
    """A value as one line for people. Never fails, never shows what is confidential, never emits a control character.

    An attribute in no table shows its length only: what a maker put there is unknown, and it may be a password.
    """
    if definition.confidential or definition.encrypted:
        return f"(hidden, {len(data)} octets)"
    if definition.kind is Kind.UNTYPED:
        return f"({len(data)} octets)"
    try:
        value = decode_value(definition, data)
    except PacketError:
        return _escape(data)
    if isinstance(value, bytes):
        return _escape(value)
    if isinstance(value, int):
        return _printable_integer(definition, value)
    return _escape_text(value)


def _printable_integer(definition: AttributeDefinition, number: int) -> str:
    if definition.kind is Kind.DATE:
        return datetime.fromtimestamp(number, UTC).isoformat()
    name = next((name for name, known in definition.values if known == number), None)
    return str(number) if name is None else f"{number} ({name})"


def _escape(data: bytes) -> str:
    """Octets as text when they are text, else as hexadecimal."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return "0x" + data.hex()
    return text if text.isprintable() else "0x" + data.hex()


def _escape_text(text: str) -> str:
    """Make control and format characters visible, so that nobody writes lines of his own into our log."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
