"""RADIUS packets: RFC 2865 section 3, with the Message-Authenticator of RFC 3579 section 3.2.

`decode` is strict and cheap; it looks at the frame only and needs no secret. Whether the packet is to be believed is
asked separately (`check_message_authenticator`, `check_accounting_authenticator`, `check_response_authenticator`),
because what an absent or wrong authenticator means is a policy of the NAS, and a wrong one must leave no trace in any
cache.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from hmac import compare_digest
from typing import Final, Literal, TypeAlias

from wardgate.errors import PacketError
from wardgate.radius.shared_secret import SharedSecret

__all__ = [
    "HEADER_BYTES",
    "MAX_PACKET_BYTES",
    "MAX_VALUE_BYTES",
    "MAX_VENDOR_VALUE_BYTES",
    "Attributes",
    "Code",
    "MessageAuthenticator",
    "Packet",
    "SharedSecret",
    "Type",
    "check_accounting_authenticator",
    "check_message_authenticator",
    "check_reply_message_authenticator",
    "check_response_authenticator",
    "decode",
    "encode",
    "encode_accounting_request",
    "encode_reply",
    "encode_request",
    "split_vendor",
    "vendor_attribute",
]

HEADER_BYTES = 20
AUTHENTICATOR_BYTES = 16
MAX_PACKET_BYTES = 4096
MAX_VALUE_BYTES = 253
# What is left of one attribute when vendor id, vendor type and vendor length are taken off (RFC 2865 section 5.26).
MAX_VENDOR_VALUE_BYTES = MAX_VALUE_BYTES - 6

_ZERO = bytes(AUTHENTICATOR_BYTES)

Attribute: TypeAlias = tuple[int, bytes]
Attributes: TypeAlias = tuple[Attribute, ...]
Placing: TypeAlias = Literal["first", "last", "none"]


class Code(IntEnum):
    """What a packet is (RFC 2865, 2866, 5176, 5997, 7930)."""

    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    ACCESS_CHALLENGE = 11
    STATUS_SERVER = 12
    STATUS_CLIENT = 13
    DISCONNECT_REQUEST = 40
    DISCONNECT_ACK = 41
    DISCONNECT_NAK = 42
    COA_REQUEST = 43
    COA_ACK = 44
    COA_NAK = 45
    PROTOCOL_ERROR = 52


class Type:
    """The attribute numbers that the code itself speaks of; the dictionaries name all others.

    Plain numbers: a member of an enumeration takes several times as long to look up, and each datagram asks for a dozen.
    """

    USER_NAME: Final = 1
    USER_PASSWORD: Final = 2
    CHAP_PASSWORD: Final = 3
    NAS_IP_ADDRESS: Final = 4
    REPLY_MESSAGE: Final = 18
    STATE: Final = 24
    CLASS: Final = 25
    VENDOR_SPECIFIC: Final = 26
    SESSION_TIMEOUT: Final = 27
    IDLE_TIMEOUT: Final = 28
    CALLED_STATION_ID: Final = 30
    CALLING_STATION_ID: Final = 31
    NAS_IDENTIFIER: Final = 32
    PROXY_STATE: Final = 33
    CHAP_CHALLENGE: Final = 60
    PROMPT: Final = 76
    EAP_MESSAGE: Final = 79
    MESSAGE_AUTHENTICATOR: Final = 80
    NAS_IPV6_ADDRESS: Final = 95


class MessageAuthenticator(Enum):
    """What a packet's Message-Authenticator says about it."""

    ABSENT = "absent"
    VALID = "valid"
    WRONG = "wrong"
    MALFORMED = "malformed"
    """More than one instance, or one that is not 18 octets long: no maker sends that by accident."""


@dataclass(slots=True, repr=False)
class Packet:
    """One packet: exactly `Length` octets in `raw`, and what they say. `repr` shows no attribute value.

    Nobody changes one. It is not frozen because making a frozen value takes three times as long, and each datagram makes one.
    """

    code: Code
    identifier: int
    authenticator: bytes
    attributes: Attributes
    raw: bytes
    firsts: dict[int, bytes] = field(init=False, compare=False)
    """The value of the first attribute of each type."""

    def __post_init__(self) -> None:
        """Backwards, so that the first of a type is what stays."""
        self.firsts = dict(self.attributes[::-1])

    def __repr__(self) -> str:
        return f"<Packet {self.code.name} id={self.identifier} octets={len(self.raw)} attributes={len(self.attributes)}>"

    def first(self, kind: int) -> bytes | None:
        """The value of the first attribute of this type, or None."""
        return self.firsts.get(kind)

    def all(self, kind: int) -> list[bytes]:
        """The values of all attributes of this type, in order."""
        if kind not in self.firsts:
            return []
        return [value for number, value in self.attributes if number == kind]

    def vendor(self, vendor_id: int, vendor_type: int) -> list[bytes]:
        """The values of a vendor's attribute, in order, however they are spread over Vendor-Specific attributes.

        A Vendor-Specific attribute in another format than the one that RFC 2865 section 5.26 suggests gives nothing.
        """
        found: list[bytes] = []
        if 26 not in self.firsts:
            return found
        head = vendor_id.to_bytes(4, "big")
        for number, value in self.attributes:
            if number == Type.VENDOR_SPECIFIC and value[:4] == head:
                found += [part for kind, part in split_vendor(value) if kind == vendor_type]
        return found


_CODES: Sequence[Code | None] = [{code.value: code for code in Code}.get(number) for number in range(256)]


def decode(datagram: bytes) -> Packet:
    """Take a datagram apart.

    Octets after `Length` are padding and are ignored (RFC 2865 section 3). Raises PacketError for everything else that
    does not add up; its code is one of `radius_short`, `radius_length`, `radius_truncated`, `radius_too_long`,
    `radius_code`, `radius_attribute_length`, `radius_attribute_overrun`.
    """
    received = len(datagram)
    if received < HEADER_BYTES:
        raise PacketError(f"{received} octets are less than a header of {HEADER_BYTES}", "radius_short")
    length = datagram[2] << 8 | datagram[3]
    if length != received:
        datagram = _trim(datagram, length)
    if length > MAX_PACKET_BYTES:
        raise PacketError(f"length {length} is more than {MAX_PACKET_BYTES}", "radius_too_long")
    code = _CODES[datagram[0]]
    if code is None:
        raise PacketError(f"code {datagram[0]} is unknown", "radius_code")
    return Packet(code, datagram[1], datagram[4:HEADER_BYTES], _decode_attributes(datagram), datagram)


def _trim(datagram: bytes, length: int) -> bytes:
    """Cut padding off; refuse a `Length` that cannot be true."""
    if length < HEADER_BYTES:
        raise PacketError(f"length field says {length}, less than a header", "radius_length")
    if length > len(datagram):
        raise PacketError(f"length field says {length}, {len(datagram)} octets came", "radius_truncated")
    return datagram[:length]


def _decode_attributes(raw: bytes) -> Attributes:
    """Split everything behind the header into (type, value). An attribute that does not fit fails the whole packet."""
    attributes: list[Attribute] = []
    at, end = HEADER_BYTES, len(raw)
    try:
        while at < end:
            size = raw[at + 1]
            if size < 2:
                raise PacketError(f"attribute {raw[at]} at octet {at} says length {size}", "radius_attribute_length")
            attributes.append((raw[at], raw[at + 2 : at + size]))
            at += size
    except IndexError:
        raise PacketError(f"one octet is left over at octet {at}", "radius_attribute_overrun") from None
    if at != end:
        raise PacketError("the last attribute runs past the end of the packet", "radius_attribute_overrun")
    return tuple(attributes)


def split_vendor(value: bytes) -> list[Attribute]:
    """The (vendor type, value) pairs of a Vendor-Specific attribute's value; empty when it has another format.

    Some vendors use types of two or four octets, or no length. Reading those as if they were ordinary would invent
    values, so the pairs must fill the attribute exactly; it is never a reason to drop the packet.
    """
    pairs: list[Attribute] = []
    at, end = 4, len(value)
    while at + 1 < end:
        size = value[at + 1]
        if size < 2:
            return []
        pairs.append((value[at], value[at + 2 : at + size]))
        at += size
    return pairs if at == end else []


def vendor_attribute(vendor_id: int, vendor_type: int, value: bytes) -> Attribute:
    """One vendor attribute, wrapped into a Vendor-Specific attribute of its own."""
    if len(value) > MAX_VENDOR_VALUE_BYTES:
        raise PacketError(f"vendor value of {len(value)} octets, at most {MAX_VENDOR_VALUE_BYTES}", "radius_value_too_long")
    return Type.VENDOR_SPECIFIC, vendor_id.to_bytes(4, "big") + bytes((vendor_type, len(value) + 2)) + value


# --- Authenticators -------------------------------------------------------------------------------------------------

# These requests carry a keyed hash where Access-Request carries random octets, so their Message-Authenticator is made
# over a header with zeros in that place (RFC 5176 section 3.5; the same is common practice for accounting).
_ZERO_AUTHENTICATOR = frozenset({Code.ACCOUNTING_REQUEST, Code.DISCONNECT_REQUEST, Code.COA_REQUEST})


def check_message_authenticator(request: Packet, secret: SharedSecret) -> MessageAuthenticator:
    """Judge the Message-Authenticator of a request, in constant time. RFC 3579 section 3.2, RFC 5997 section 3."""
    vector = _ZERO if request.code in _ZERO_AUTHENTICATOR else request.authenticator
    return _judge(request, vector, secret)


def check_reply_message_authenticator(reply: Packet, request: Packet, secret: SharedSecret) -> MessageAuthenticator:
    """Judge the Message-Authenticator of a reply: it is made with the Request Authenticator in the header."""
    return _judge(reply, _reply_vector(request), secret)


def _reply_vector(request: Packet) -> bytes:
    """What stands in the header while the Message-Authenticator of a reply is made.

    No RFC foresees the attribute in an Accounting-Response; FreeRADIUS and pyrad agree on zeros there.
    """
    return _ZERO if request.code is Code.ACCOUNTING_REQUEST else request.authenticator


def _judge(packet: Packet, vector: bytes, secret: SharedSecret) -> MessageAuthenticator:
    if 80 not in packet.firsts:
        return MessageAuthenticator.ABSENT
    found, at = 0, HEADER_BYTES
    for kind, value in packet.attributes:
        if kind == 80:
            if found or len(value) != AUTHENTICATOR_BYTES:
                return MessageAuthenticator.MALFORMED
            found = at + 2
        at += len(value) + 2
    raw, behind = packet.raw, found + AUTHENTICATOR_BYTES
    expected = secret.hmac_md5(b"".join((raw[:4], vector, raw[HEADER_BYTES:found], _ZERO, raw[behind:])))
    return MessageAuthenticator.VALID if compare_digest(expected, raw[found:behind]) else MessageAuthenticator.WRONG


def check_accounting_authenticator(request: Packet, secret: SharedSecret) -> bool:
    """Whether an Accounting-Request was made with this secret. RFC 2866 section 3."""
    raw = request.raw
    return compare_digest(secret.md5_then_secret(raw[:4] + _ZERO + raw[HEADER_BYTES:]), request.authenticator)


def check_response_authenticator(reply: Packet, request: Packet, secret: SharedSecret) -> bool:
    """Whether a reply answers this request and was made with this secret. RFC 2865 section 3."""
    raw = reply.raw
    return compare_digest(secret.md5_then_secret(raw[:4] + request.authenticator + raw[HEADER_BYTES:]), reply.authenticator)


# --- Encoding -------------------------------------------------------------------------------------------------------

_MESSAGE_AUTHENTICATOR_HEAD = bytes((Type.MESSAGE_AUTHENTICATOR, AUTHENTICATOR_BYTES + 2))
_MESSAGE_AUTHENTICATOR_BYTES = AUTHENTICATOR_BYTES + 2


def encode(code: int, identifier: int, authenticator: bytes, attributes: Iterable[Attribute]) -> bytes:
    """Put a packet together from finished parts, as they are. Raises PacketError when it would exceed a limit."""
    body = _encode_attributes(attributes)
    return _header(code, identifier, HEADER_BYTES + len(body)) + authenticator + body


def encode_reply(request: Packet, code: int, attributes: Iterable[Attribute], secret: SharedSecret) -> bytes:
    """Build the reply to `request`: Message-Authenticator, then `attributes`, then every Proxy-State of the request.

    To Access-Request and Status-Server, Message-Authenticator comes first and always, whatever the request carried: a
    reply that begins with an attribute that nobody can foretell is no use for a chosen-prefix collision (CVE-2024-3596),
    and FortiOS since 7.2.10 drops replies without it. To Accounting-Request it comes only when the request had one:
    RFC 2869 section 5.19 does not have it there, and those who send it do not agree on how it is made.
    Proxy-State is copied unmodified and in order (RFC 2865 section 5.33).
    Raises PacketError `radius_value_too_long` or `radius_reply_too_long`: leave attributes out and try again.
    """
    body = _encode_attributes(attributes)
    if 33 in request.firsts:
        body += b"".join(bytes((33, len(value) + 2)) + value for value in request.all(33))
    signed = request.code is not Code.ACCOUNTING_REQUEST or 80 in request.firsts
    length = HEADER_BYTES + len(body) + (_MESSAGE_AUTHENTICATOR_BYTES if signed else 0)
    if length > MAX_PACKET_BYTES:
        raise PacketError(f"the reply would have {length} octets, at most {MAX_PACKET_BYTES}", "radius_reply_too_long")
    head = bytes((code, request.identifier, length >> 8, length & 255))
    if signed:
        signature = secret.hmac_md5(b"".join((head, _reply_vector(request), _MESSAGE_AUTHENTICATOR_HEAD, _ZERO, body)))
        body = _MESSAGE_AUTHENTICATOR_HEAD + signature + body
    return head + secret.md5_then_secret(head + request.authenticator + body) + body


def encode_request(
    code: int,
    identifier: int,
    authenticator: bytes,
    attributes: Iterable[Attribute],
    secret: SharedSecret,
    message_authenticator: Placing = "first",
) -> bytes:
    """Build an Access-Request or Status-Server. `authenticator`: 16 random octets, never used before.

    `message_authenticator` says where it goes: the specification leaves it open, and NAS makers differ.
    """
    return _signed(code, identifier, authenticator, _encode_attributes(attributes), secret, message_authenticator)


def encode_accounting_request(
    identifier: int,
    attributes: Iterable[Attribute],
    secret: SharedSecret,
    message_authenticator: Placing = "none",
) -> bytes:
    """Build an Accounting-Request, whose authenticator is a keyed hash of the rest. RFC 2866 section 3."""
    body = _encode_attributes(attributes)
    unsigned = _signed(Code.ACCOUNTING_REQUEST, identifier, _ZERO, body, secret, message_authenticator)
    return unsigned[:4] + secret.md5_then_secret(unsigned) + unsigned[HEADER_BYTES:]


def _signed(code: int, identifier: int, vector: bytes, body: bytes, secret: SharedSecret, placing: Placing) -> bytes:
    """A packet around `body`, with a Message-Authenticator made over `vector`, which is left in the header."""
    if placing == "none":
        return _header(code, identifier, HEADER_BYTES + len(body)) + vector + body
    head = _header(code, identifier, HEADER_BYTES + _MESSAGE_AUTHENTICATOR_BYTES + len(body)) + vector
    before, behind = (head, body) if placing == "first" else (head + body, b"")
    before += _MESSAGE_AUTHENTICATOR_HEAD
    return before + secret.hmac_md5(before + _ZERO + behind) + behind


def _header(code: int, identifier: int, length: int) -> bytes:
    if length > MAX_PACKET_BYTES:
        raise PacketError(f"the packet would have {length} octets, at most {MAX_PACKET_BYTES}", "radius_too_long")
    return bytes((code, identifier)) + length.to_bytes(2, "big")


def _encode_attributes(attributes: Iterable[Attribute]) -> bytes:
    parts: list[bytes] = []
    for kind, value in attributes:
        size = len(value) + 2
        if size > 255:
            raise PacketError(
                f"attribute {kind} has a value of {size - 2} octets, at most {MAX_VALUE_BYTES}", "radius_value_too_long"
            )
        parts.append(bytes((kind, size)))
        parts.append(value)
    return b"".join(parts)
