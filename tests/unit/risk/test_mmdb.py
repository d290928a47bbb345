"""The country of an address, from files of MaxMind's format."""

import io

import maxminddb
import pytest

from tests.mmdb import mmdb
from wardgate.risk.mmdb import CountryTable
from wardgate.risk.networks import parse_address

NETWORKS = {"203.0.113.0/24": "TR", "198.51.100.0/25": "DE", "198.51.100.128/25": "AT", "2001:db8::/32": "JP"}


def country(table: CountryTable, text: str) -> str:
    address = parse_address(text)
    assert address is not None
    return table.country(address)


@pytest.mark.parametrize("record_size", [24, 28, 32])
def test_each_address_has_the_country_of_its_network(record_size: int) -> None:
    table = CountryTable(mmdb(NETWORKS, record_size))
    assert country(table, "203.0.113.0") == country(table, "203.0.113.255") == "tr"
    assert country(table, "198.51.100.127") == "de"
    assert country(table, "198.51.100.128") == "at"
    assert country(table, "2001:db8:ffff::1") == "jp"


@pytest.mark.parametrize("record_size", [24, 28, 32])
def test_addresses_that_the_file_does_not_know_have_none(record_size: int) -> None:
    table = CountryTable(mmdb(NETWORKS, record_size))
    for text in ("203.0.112.255", "203.0.114.0", "2001:db9::", "::1", "255.255.255.255"):
        assert country(table, text) == "", text


def test_ipv4_inside_ipv6_is_ipv4() -> None:
    assert country(CountryTable(mmdb(NETWORKS)), "::ffff:203.0.113.7") == "tr"


def test_a_file_of_ipv4_alone_knows_no_ipv6() -> None:
    table = CountryTable(mmdb({"203.0.113.0/24": "TR"}, ip_version=4))
    assert country(table, "203.0.113.7") == "tr"
    # The same bits at the beginning of an IPv6 address.
    assert country(table, "cb00:7100::") == ""


def test_it_says_what_the_file_is() -> None:
    table = CountryTable(mmdb(NETWORKS))
    assert (table.kind, table.built_at_s) == ("Test-Country", 1_790_000_000)


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ({"country": "DE"}, "de"),
        ({"country_code": "at", "country": "Austria"}, "at"),
        ({"country": {"iso_code": "DEU"}}, ""),
        ({"country": {"iso_code": "1!"}}, ""),
        ({"country": {"names": {"en": "Nowhere"}}}, ""),
        ({"registered_country": {"iso_code": "US"}}, ""),
        ({"location": {"latitude": 1.5, "accuracy_radius": 2**40}, "country": {"iso_code": "FR"}}, "fr"),
        ({"notes": "x" * 70_000, "subdivisions": [{"iso_code": "06"}] * 40, "country": {"iso_code": "IT"}}, "it"),
        ({"notes": "x" * 300, "country": {"iso_code": "ES"}}, "es"),
        (["DE"], ""),
    ],
)
def test_what_a_record_says_of_its_country(record: object, wanted: str) -> None:
    assert country(CountryTable(mmdb({"203.0.113.0/24": record})), "203.0.113.7") == wanted


def test_another_reader_of_the_format_finds_the_same() -> None:
    for size in (24, 28, 32):
        content = mmdb(NETWORKS, size)
        with maxminddb.open_database(io.BytesIO(content), maxminddb.MODE_FD) as theirs:
            for text in ("203.0.113.9", "198.51.100.1", "198.51.100.200", "2001:db8::5", "192.0.2.1"):
                found = theirs.get(text)
                wanted = found["country"]["iso_code"].lower() if found else ""
                assert country(CountryTable(content), text) == wanted


@pytest.mark.parametrize(
    ("record", "language", "wanted"),
    [
        ({"country": {"iso_code": "TR", "names": {"en": "Turkey"}}}, "tr", "Turkey"),
        ({"country": {"iso_code": "TR", "names": {"en": "Turkey", "tr": "Türkiye"}}}, "tr", "Türkiye"),
        ({"country": {"iso_code": "TR", "names": {"en": "Turkey"}}, "city": {"names": {"en": "Ankara"}}}, "en", "Ankara, Turkey"),
        ({"country_code": "TR", "city": "Ankara"}, "en", "TR"),
        ({"city": {"names": {"en": "Nowhere"}}}, "en", ""),
        ({"country": {"iso_code": "TR", "names": {"en": 7, "tr": "\u202etxt"}}, "city": {"names": ["en"]}}, "tr", "TR"),
        ({"country": {"iso_code": "TR", "names": {"en": "x" * 200}}}, "en", "x" * 60),
        (["TR"], "en", ""),
    ],
)
def test_a_place_is_told_by_its_names_and_else_by_two_letters(record: object, language: str, wanted: str) -> None:
    table = CountryTable(mmdb({"203.0.113.0/24": record}))
    address = parse_address("203.0.113.7")
    assert address is not None
    assert table.place(address, language) == wanted
    unknown = parse_address("192.0.2.1")
    assert unknown is not None
    assert table.place(unknown, language) == ""
