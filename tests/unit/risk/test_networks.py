"""Addresses, networks and the operator's lists."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.risk.networks import MAX_NETWORKS, Address, is_local, network_of, parse_address, parse_list, parse_network


def address(text: str) -> Address:
    found = parse_address(text)
    assert found is not None
    return found


def test_an_address_stands_for_its_network() -> None:
    assert network_of(address("203.0.113.7")) == "203.0.113.0/24"
    assert network_of(address("2001:db8:1:2:3:4:5:6")) == "2001:db8:1:2::/64"
    assert network_of(address("::ffff:203.0.113.7")) == "203.0.113.0/24"


def test_what_is_no_address_is_none() -> None:
    assert [parse_address(text) for text in ("", "300.1.1.1", "office", "203.0.113.0/24", "1" * 500)] == [None] * 5


def test_local_addresses_are_nowhere() -> None:
    local = ("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.31.255.255", "169.254.1.1", "100.64.0.1", "::1", "fd00::1", "fe80::1")
    assert all(is_local(address(text)) for text in local)
    assert not any(is_local(address(text)) for text in ("203.0.113.7", "172.32.0.1", "100.128.0.1", "2001:db8::1"))


def test_a_list_says_which_addresses_stand_on_it() -> None:
    found, faults = parse_list(b"# known\n198.51.100.0/24\n\n203.0.113.7  # one\n2001:db8::/32\n10.0.0.9/8\n")
    assert faults == []
    assert found.size == 4
    assert all(found.holds(address(text)) for text in ("198.51.100.255", "203.0.113.7", "2001:db8::1", "10.255.0.1"))
    assert not any(found.holds(address(text)) for text in ("198.51.101.0", "203.0.113.8", "2001:db9::1"))


def test_a_line_that_is_no_network_is_told_and_the_others_hold() -> None:
    found, faults = parse_list(b"nonsense\n203.0.113.7\n\xff\xfe\n" + b"1" * 5_000)
    assert faults == ["line 1 is no address or network", "line 3 is no address or network", "line 4 is no address or network"]
    assert found.holds(address("203.0.113.7"))


def test_a_list_without_end_is_cut_and_told() -> None:
    lines = "\n".join(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(MAX_NETWORKS + 10))
    found, faults = parse_list(lines.encode())
    assert found.size == MAX_NETWORKS
    assert faults == [f"more than {MAX_NETWORKS} networks: the rest is left out"]


def test_ten_thousand_faults_are_told_in_a_few_words() -> None:
    _, faults = parse_list(b"nonsense\n" * 10_000)
    assert len(faults) == 5


@given(
    st.one_of(st.ip_addresses(v=4).map(str), st.text("0123456789./:af", max_size=20)), st.one_of(st.none(), st.integers(-1, 130))
)
def test_networks_are_read_as_the_library_reads_them(address: str, length: int | None) -> None:
    text = address if length is None else f"{address}/{length}"
    try:
        wanted = ipaddress.ip_network(text, strict=False)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - whatever the library says
            parse_network(text)
        return
    version, number, free = parse_network(text)
    assert (version, free) == (wanted.version, wanted.max_prefixlen - wanted.prefixlen)
    assert number >> free == int(wanted.network_address) >> free


@pytest.mark.parametrize("text", ["010.0.0.1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.٤", "1.2.3.4/", "1.2.3.4/33", "1.2..4"])
def test_what_reads_nearly_like_an_address_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_network(text)
