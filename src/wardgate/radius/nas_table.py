"""Who sent this datagram: source address to NAS.

The source address decides, never what the packet says of itself (NAS-IP-Address is not looked at): it selects the secret,
and the secret proves the rest. Several NAS may stand behind one address; NAS-Identifier tells those apart. A sender that
names itself as another NAS gains nothing, for it would have to know that NAS's secret.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from socket import AF_INET, AF_INET6, inet_pton
from typing import Generic, Protocol, TypeAlias, TypeVar

from wardgate.errors import SettingsError

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = bytes(10) + b"\xff\xff"
_MAPPED_BITS = 96


class NasEntry(Protocol):
    """What the table needs to know of a NAS."""

    @property
    def networks(self) -> Sequence[Network]:
        """Where its packets come from."""
        ...

    @property
    def identifier(self) -> str | None:
        """The NAS-Identifier that it must send, or None for any."""
        ...


EntryT = TypeVar("EntryT", bound=NasEntry)
_Level: TypeAlias = tuple[int, dict[int, dict[bytes | None, EntryT]]]


class NasTable(Generic[EntryT]):
    """Longest prefix first. A look-up costs one dictionary access for each prefix length in use."""

    __slots__ = ("_ipv4", "_ipv6")

    def __init__(self, entries: Iterable[EntryT]) -> None:
        """Raises SettingsError when two entries claim the same network with the same identifier."""
        ipv4: dict[int, dict[int, dict[bytes | None, EntryT]]] = {}
        ipv6: dict[int, dict[int, dict[bytes | None, EntryT]]] = {}
        for entry in entries:
            for network in entry.networks:
                network = _unmapped(network)
                levels, bits = (ipv4, 32) if network.version == 4 else (ipv6, 128)
                shift = bits - network.prefixlen
                prefix = int(network.network_address) >> shift
                _claim(levels.setdefault(shift, {}).setdefault(prefix, {}), entry, network)
        self._ipv4: list[_Level[EntryT]] = sorted(ipv4.items())
        self._ipv6: list[_Level[EntryT]] = sorted(ipv6.items())

    def find(self, address: str, nas_identifier: bytes | None) -> EntryT | None:
        """The NAS that a packet from `address` belongs to, or None for a stranger.

        Of the entries that cover the address, the longest prefix wins; at one prefix the entry that names this
        NAS-Identifier goes before the one that names none. An entry that names another identifier does not match, and
        the next shorter prefix is tried. Raises nothing: what is no address belongs to nobody.
        """
        number, levels = self._locate(address)
        for shift, prefixes in levels:
            here = prefixes.get(number >> shift)
            if here is not None:
                entry = here.get(nas_identifier or None)
                if entry is None:
                    entry = here.get(None)
                if entry is not None:
                    return entry
        return None

    def covers(self, address: str) -> bool:
        """Whether any entry covers the address, whatever identifier it names: for telling the operator what is wrong."""
        number, levels = self._locate(address)
        return any((number >> shift) in prefixes for shift, prefixes in levels)

    def _locate(self, address: str) -> tuple[int, list[_Level[EntryT]]]:
        """The address as a number, and the levels to search; none when it is not an address."""
        try:
            if ":" not in address:
                return int.from_bytes(inet_pton(AF_INET, address), "big"), self._ipv4
            packed = inet_pton(AF_INET6, address.partition("%")[0])
        except (OSError, ValueError):
            return 0, []
        if packed.startswith(_MAPPED):
            return int.from_bytes(packed[12:], "big"), self._ipv4
        return int.from_bytes(packed, "big"), self._ipv6


def _unmapped(network: Network) -> Network:
    """An IPv4 network written inside IPv6 (::ffff:192.0.2.0/120) is the IPv4 network."""
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        inner = network.network_address.ipv4_mapped
        if inner is not None:
            return ipaddress.IPv4Network((inner, network.prefixlen - _MAPPED_BITS))
    return network


def _claim(here: dict[bytes | None, EntryT], entry: EntryT, network: Network) -> None:
    identifier = entry.identifier.encode() if entry.identifier else None
    if identifier in here:
        named = f"NAS-Identifier {entry.identifier!r}" if entry.identifier else "no identifier"
        raise SettingsError(f"two NAS have the address {network} with {named}: give each its own `identifier`")
    here[identifier] = entry
