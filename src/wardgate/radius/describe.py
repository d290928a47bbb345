"""A packet as lines for the timeline and the live log, without its secrets."""

from collections.abc import Iterator

from wardgate.radius.attributes import AttributeDefinition, Dictionary, Kind, printable, tag_of, unknown_name
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.packet import Packet, Type, split_vendor


def describe(packet: Packet, dictionary: Dictionary = BUILT_IN) -> list[tuple[str, str]]:
    """The attributes of a packet as (name, printable value), in order.

    Passwords, State and everything else that is or stands for a secret show their length only.
    """
    lines: list[tuple[str, str]] = []
    for number, value in packet.attributes:
        if number == Type.VENDOR_SPECIFIC:
            lines += _describe_vendor(value, dictionary)
        else:
            lines.append(_line(dictionary, number, None, value))
    return lines


def _describe_vendor(value: bytes, dictionary: Dictionary) -> Iterator[tuple[str, str]]:
    pairs = split_vendor(value)
    if not pairs:
        name = f"Vendor-{int.from_bytes(value[:4], 'big')}" if len(value) >= 4 else "Vendor-Specific"
        yield name, f"({len(value)} octets)"
        return
    vendor = int.from_bytes(value[:4], "big")
    for number, part in pairs:
        yield _line(dictionary, number, vendor, part)


def _line(dictionary: Dictionary, number: int, vendor: int | None, value: bytes) -> tuple[str, str]:
    definition = dictionary.get(number, vendor)
    if definition is None:
        definition = AttributeDefinition(unknown_name(number, vendor), vendor, number, Kind.UNTYPED)
    tag = tag_of(definition, value)
    return f"{definition.name}:{tag}" if tag else definition.name, printable(definition, value)
