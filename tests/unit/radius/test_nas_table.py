"""Source address to NAS: longest prefix, IPv6, and several NAS behind one address."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.errors import SettingsError
from wardgate.radius.nas_table import NasTable, Network


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    networks: tuple[Network, ...]
    identifier: str | None = None


def entry(name: str, *networks: str, identifier: str | None = None) -> Entry:
    return Entry(name, tuple(ip_network(network) for network in networks), identifier)


def found(table: NasTable[Entry], address: str, identifier: bytes | None = None) -> str | None:
    match = table.find(address, identifier)
    return None if match is None else match.name


def test_longest_prefix_wins_whatever_the_order() -> None:
    entries = [entry("any", "0.0.0.0/0"), entry("site", "10.0.0.0/8"), entry("host", "10.1.2.3"), entry("net", "10.1.0.0/16")]
    for order in (entries, entries[::-1]):
        table = NasTable(order)
        assert found(table, "10.1.2.3") == "host"
        assert found(table, "10.1.2.4") == "net"
        assert found(table, "10.2.0.1") == "site"
        assert found(table, "192.0.2.1") == "any"


def test_stranger_is_nobody() -> None:
    table = NasTable([entry("host", "10.1.2.3", "2001:db8::/32")])
    for address in ("10.1.2.4", "2001:db9::1", "::", "0.0.0.0"):
        assert found(table, address) is None
        assert not table.covers(address)


@pytest.mark.parametrize("address", ["", "no address", "10.1.2", "10.1.2.3.4", "::ffff:", "10.1.2.3\0", "ışık", "1:2"])
def test_what_is_no_address_is_nobody(address: str) -> None:
    table = NasTable([entry("all", "0.0.0.0/0", "::/0")])
    assert found(table, address) is None


def test_ipv6_longest_prefix_and_scope() -> None:
    table = NasTable([entry("site", "2001:db8::/32"), entry("host", "2001:db8::1"), entry("link", "fe80::/10")])
    assert found(table, "2001:db8:0:0:0:0:0:1") == "host"
    assert found(table, "2001:db8::2") == "site"
    assert found(table, "fe80::1%eth0") == "link"


def test_ipv4_inside_ipv6_is_ipv4() -> None:
    """A socket that listens on :: reports IPv4 senders so."""
    table = NasTable([entry("host", "192.0.2.1"), entry("mapped", "::ffff:198.51.100.0/120"), entry("v6", "::/0")])
    assert found(table, "::ffff:192.0.2.1") == "host"
    assert found(table, "198.51.100.7") == "mapped"
    assert found(table, "::ffff:203.0.113.1") is None


def test_two_nas_behind_one_address_are_told_apart_by_their_identifier() -> None:
    table = NasTable([entry("portal", "192.0.2.1", identifier="portal"), entry("gateway", "192.0.2.1", identifier="gateway")])
    assert found(table, "192.0.2.1", b"portal") == "portal"
    assert found(table, "192.0.2.1", b"gateway") == "gateway"
    assert found(table, "192.0.2.1", b"Portal") is None
    assert found(table, "192.0.2.1", None) is None
    assert found(table, "192.0.2.1", b"") is None
    assert table.covers("192.0.2.1")


def test_entry_without_identifier_takes_the_rest() -> None:
    table = NasTable([entry("portal", "192.0.2.1", identifier="portal"), entry("rest", "192.0.2.1")])
    assert found(table, "192.0.2.1", b"portal") == "portal"
    assert found(table, "192.0.2.1", b"other") == "rest"
    assert found(table, "192.0.2.1", b"\xff\xfe") == "rest"
    assert found(table, "192.0.2.1", None) == "rest"


def test_entry_that_names_another_identifier_leaves_the_shorter_prefix() -> None:
    table = NasTable([entry("portal", "192.0.2.1", identifier="portal"), entry("site", "192.0.2.0/24")])
    assert found(table, "192.0.2.1", b"portal") == "portal"
    assert found(table, "192.0.2.1", b"admin") == "site"


@pytest.mark.parametrize("identifier", [None, "portal"])
def test_two_entries_that_nothing_tells_apart_are_refused(identifier: str | None) -> None:
    with pytest.raises(SettingsError, match=r"192\.0\.2\.1"):
        NasTable([entry("a", "192.0.2.1", identifier=identifier), entry("b", "192.0.2.1/32", identifier=identifier)])


ipv4_networks = st.builds(
    lambda number, length: ip_network((number, length), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)
)


@given(networks=st.lists(ipv4_networks, unique=True, max_size=20), data=st.data())
def test_it_agrees_with_a_linear_search(networks: list[Network], data: st.DataObject) -> None:
    table = NasTable([Entry(str(network), (network,)) for network in networks])
    inside = [network.network_address for network in networks] + [network.broadcast_address for network in networks]
    number = st.integers(0, 2**32 - 1).map(ip_address)
    address = data.draw(st.one_of(st.sampled_from(inside), number) if inside else number)
    matching = [network for network in networks if address in network]
    expected = str(max(matching, key=lambda network: network.prefixlen)) if matching else None
    assert found(table, str(address)) == expected
