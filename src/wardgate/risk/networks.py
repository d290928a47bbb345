"""Addresses as numbers, and lists of networks that are asked in a few steps whatever their length. Bytes in, values out."""

import ipaddress
from collections.abc import Iterable
from typing import Final

# More than any list that is kept by hand, and read in a fraction of a second.
MAX_NETWORKS: Final = 50_000
MAX_LINE_CHARS: Final = 200
_MAX_FAULTS: Final = 5
# RFC 1918, 3927, 4193, 4291, 6598: addresses that are nowhere in particular.
_LOCAL: Final = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "::/127", "fc00::/7", "fe80::/10",
)  # fmt: skip

Address = tuple[int, int]
# Version, number of an address in it, and how many bits behind the prefix are free.
Network = tuple[int, int, int]


def parse_address(text: str) -> Address | None:
    """Version and number of an address; None for what is none. IPv4 inside IPv6 is IPv4."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.version, int(found)


def network_of(address: Address) -> str:
    """What counts as one place: the /24 of IPv4, the /64 of IPv6, which one connection is given whole."""
    version, number = address
    if version == 4:
        return f"{ipaddress.IPv4Address(number >> 8 << 8)}/24"
    return f"{ipaddress.IPv6Address(number >> 64 << 64)}/64"


class NetworkList:
    """A set of networks, by version and length of their prefix."""

    __slots__ = ("_by_length", "size")

    def __init__(self, networks: Iterable[Network]) -> None:
        self._by_length: dict[tuple[int, int], set[int]] = {}
        self.size = 0
        for version, number, free in networks:
            self._by_length.setdefault((version, free), set()).add(number >> free)
            self.size += 1

    def holds(self, address: Address) -> bool:
        """Whether the address lies in one of them."""
        version, number = address
        return any(of == version and number >> free in prefixes for (of, free), prefixes in self._by_length.items())


def parse_network(text: str) -> Network:
    """An address or network. Bits beyond its length are taken off. Raises ValueError."""
    address, slash, length = text.partition("/")
    number = _plain_ipv4(address)
    if number is not None and (not slash or (len(length) < 3 and length.isascii() and length.isdigit() and int(length) <= 32)):
        return 4, number, 32 - int(length or 32)
    found = ipaddress.ip_network(text, strict=False)
    return found.version, int(found.network_address), found.max_prefixlen - found.prefixlen


def _plain_ipv4(text: str) -> int | None:
    """An address as nearly all of them are written, ten times as quickly as by `ipaddress`; None for any other text."""
    number, parts = 0, text.split(".")
    for part in parts:
        if len(part) > 3 or not part.isascii() or not part.isdigit() or (part[0] == "0" and len(part) > 1) or int(part) > 255:
            return None
        number = number << 8 | int(part)
    return number if len(parts) == 4 else None


_LOCAL_LIST: Final = NetworkList(map(parse_network, _LOCAL))


def is_local(address: Address) -> bool:
    """Whether the address is of no public network."""
    return _LOCAL_LIST.holds(address)


def parse_list(content: bytes) -> tuple[NetworkList, list[str]]:
    """The networks of a text file, one a line, and what is wrong with it. A line that is none is left out."""
    networks: list[Network] = []
    faults: list[str] = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        if len(networks) >= MAX_NETWORKS:
            faults.append(f"more than {MAX_NETWORKS} networks: the rest is left out")
            break
        try:
            if len(text) > MAX_LINE_CHARS:
                raise ValueError("a line that long")
            networks.append(parse_network(text))
        except ValueError:
            if len(faults) < _MAX_FAULTS:
                faults.append(f"line {number} is no address or network")
    return NetworkList(networks), faults
