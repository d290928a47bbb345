"""Writes small files in MaxMind's DB format 2.0, for tests: no maker's file is ours to give away."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path

MARKER = b"\xab\xcd\xefMaxMind.com"
BUILT_AT_S = 1_790_000_000


class Pointer(int):
    """A pointer to an offset of the data section, for files that no writer would make."""


def encode(value: object) -> bytes:
    """One value of the data section."""
    match value:
        case Pointer():
            return bytes((0b001_11_000,)) + int(value).to_bytes(4, "big")
        case bool():
            return _control(14, int(value))
        case str():
            octets = value.encode()
            return _control(2, len(octets)) + octets
        case int():
            octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
            return _control(9 if len(octets) > 4 else 6, len(octets)) + octets
        case float():
            return _control(3, 8) + bytes(8)
        case Mapping():
            return _control(7, len(value)) + b"".join(encode(key) + encode(inner) for key, inner in value.items())
        case list():
            return _control(11, len(value)) + b"".join(map(encode, value))
    raise TypeError(f"no value of this format: {value!r}")


def _control(kind: int, size: int) -> bytes:
    if size < 29:
        told, more = size, b""
    elif size < 285:
        told, more = 29, (size - 29).to_bytes(1, "big")
    elif size < 65_821:
        told, more = 30, (size - 285).to_bytes(2, "big")
    else:
        told, more = 31, (size - 65_821).to_bytes(3, "big")
    return (bytes((kind << 5 | told,)) if kind < 8 else bytes((told, kind - 7))) + more


def country_record(code: str) -> dict[str, object]:
    """What MaxMind writes of an address, with what nobody here asks for."""
    return {
        "continent": {"code": "EU", "geoname_id": 6255148, "names": {"de": "Europa", "en": "Europe"}},
        "country": {"geoname_id": 298795, "is_in_european_union": False, "iso_code": code, "names": {"en": "Somewhere"}},
        "registered_country": {"geoname_id": 6252001, "iso_code": "ZZ", "names": {"en": "Elsewhere"}},
    }


def mmdb(networks: Mapping[str, object], record_size: int = 24, ip_version: int = 6) -> bytes:
    """A file that knows these networks. A value is a record, or two letters for a country's."""
    data, offsets = bytearray(), dict[str, int]()
    for network, value in networks.items():
        offsets[network] = len(data)
        data += encode(country_record(value) if isinstance(value, str) else value)
    return mmdb_of(bytes(data), offsets, record_size, ip_version)


def mmdb_of(data: bytes, offsets: Mapping[str, int], record_size: int = 24, ip_version: int = 6) -> bytes:
    """A file with this data section, and for each network where in it its record stands."""
    nodes: list[list[int | None]] = [[None, None]]
    leaves: dict[tuple[int, int], int] = {}
    for text, offset in offsets.items():
        bits = _bits(text, ip_version)
        node = 0
        for bit in bits[:-1]:
            following = nodes[node][bit]
            if following is None:
                nodes.append([None, None])
                following = nodes[node][bit] = len(nodes) - 1
            node = following
        leaves[node, bits[-1]] = offset
    count = len(nodes)
    tree = b""
    for number, pair in enumerate(nodes):
        left, right = (
            count + 16 + leaves[number, side] if (number, side) in leaves else count if to is None else to
            for side, to in enumerate(pair)
        )
        tree += _node(left, right, record_size)
    metadata = {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": BUILT_AT_S,
        "database_type": "Test-Country",
        "description": {"en": "for tests"},
        "ip_version": ip_version,
        "languages": ["en"],
        "node_count": count,
        "record_size": record_size,
    }
    return tree + bytes(16) + data + MARKER + encode(metadata)


def _bits(text: str, ip_version: int) -> list[int]:
    network = ipaddress.ip_network(text)
    number, length, most = int(network.network_address), network.prefixlen, network.max_prefixlen
    if ip_version == 6 and network.version == 4:
        length, most = length + 96, 128
    return [number >> (most - 1 - place) & 1 for place in range(length)]


def _node(left: int, right: int, record_size: int) -> bytes:
    if record_size == 28:
        middle = (left >> 24) << 4 | right >> 24
        return (left & 0xFFFFFF).to_bytes(3, "big") + bytes((middle,)) + (right & 0xFFFFFF).to_bytes(3, "big")
    return left.to_bytes(record_size // 8, "big") + right.to_bytes(record_size // 8, "big")


def write_mmdb(path: Path, networks: Mapping[str, object]) -> str:
    """The file under this path; returns the path as settings have it."""
    path.write_bytes(mmdb(networks))
    return str(path)
