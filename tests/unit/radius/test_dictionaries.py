"""The tables: the numbers that the integration pages promise."""

import pytest

from wardgate.radius.attributes import Kind
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.packet import Type

PALO_ALTO = {
    1: "PaloAlto-Admin-Role",
    2: "PaloAlto-Admin-Access-Domain",
    3: "PaloAlto-Panorama-Admin-Role",
    4: "PaloAlto-Panorama-Admin-Access-Domain",
    5: "PaloAlto-User-Group",
    6: "PaloAlto-User-Domain",
    7: "PaloAlto-Client-Source-IP",
    8: "PaloAlto-Client-OS",
    9: "PaloAlto-Client-Hostname",
    10: "PaloAlto-GlobalProtect-Client-Version",
}


def test_palo_alto_whole() -> None:
    rows = {row.number: row for row in BUILT_IN if row.vendor == 25461}
    assert {number: row.name for number, row in rows.items()} == PALO_ALTO
    assert {row.kind for row in rows.values()} == {Kind.STRING}


@pytest.mark.parametrize(
    ("name", "vendor", "number", "kind"),
    [
        ("Cisco-AVPair", 9, 1, Kind.STRING),
        ("ASA-Group-Policy", 3076, 25, Kind.STRING),
        ("Fortinet-Group-Name", 12356, 1, Kind.STRING),
        ("Fortinet-Vdom-Name", 12356, 3, Kind.STRING),
        ("Fortinet-Access-Profile", 12356, 6, Kind.STRING),
        ("CP-Gaia-User-Role", 2620, 229, Kind.STRING),
        ("CP-Gaia-SuperUser-Access", 2620, 230, Kind.INTEGER),
        ("F5-LTM-User-Role", 3375, 1, Kind.INTEGER),
        ("F5-LTM-User-Partition", 3375, 3, Kind.STRING),
        ("F5-LTM-User-Console", 3375, 4, Kind.INTEGER),
        ("F5-LTM-User-Shell", 3375, 5, Kind.STRING),
        ("F5-LTM-User-Info-1", 3375, 12, Kind.STRING),
        ("Citrix-User-Groups", 66, 16, Kind.STRING),
        ("Mikrotik-Group", 14988, 3, Kind.STRING),
        ("Juniper-Local-User-Name", 2636, 1, Kind.STRING),
        ("SonicWall-User-Group", 8741, 3, Kind.STRING),
        ("User-Name", None, 1, Kind.STRING),
        ("Filter-Id", None, 11, Kind.STRING),
        ("Class", None, 25, Kind.OCTETS),
        ("Acct-Status-Type", None, 40, Kind.INTEGER),
        ("Event-Timestamp", None, 55, Kind.DATE),
        ("Tunnel-Private-Group-Id", None, 81, Kind.STRING),
        ("NAS-IPv6-Address", None, 95, Kind.IPV6),
        ("Framed-IPv6-Prefix", None, 97, Kind.IPV6_PREFIX),
        ("Error-Cause", None, 101, Kind.INTEGER),
        ("Management-Privilege-Level", None, 136, Kind.INTEGER),
    ],
)
def test_row(name: str, vendor: int | None, number: int, kind: Kind) -> None:
    row = BUILT_IN.find(name)
    assert (row.vendor, row.number, row.kind) == (vendor, number, kind)


def test_rfc_2865_to_2869_are_complete() -> None:
    """Numbers 17 and 21 were never assigned; 54, 56 to 59 and 89 are other documents'."""
    numbers = {row.number for row in BUILT_IN if row.vendor is None}
    expected = (set(range(1, 101)) - {17, 21, 54, 56, 57, 58, 59, 92, 93, 94}) | {101}
    assert expected <= numbers


def test_numbers_that_the_code_uses_are_the_table_s() -> None:
    known = {name: number for name, number in vars(Type).items() if name.isupper()}
    assert len(known) > 15
    for name, number in known.items():
        row = BUILT_IN.get(number)
        assert row is not None
        assert row.name.upper().replace("-", "_") == name


def test_what_is_or_stands_for_a_secret_is_marked() -> None:
    secret = {"User-Password", "CHAP-Password", "CHAP-Challenge", "State", "Proxy-State", "EAP-Message", "Message-Authenticator"}
    secret |= {"MS-CHAP-Response", "MS-CHAP2-Response", "MS-CHAP-Challenge", "MS-MPPE-Send-Key", "MS-MPPE-Recv-Key"}
    for name in secret:
        assert BUILT_IN.find(name).confidential, name
        assert BUILT_IN.find(name).protected, name
    assert BUILT_IN.find("Tunnel-Password").encrypted
