"""Printing a packet without its secrets."""

from wardgate.radius.describe import describe
from wardgate.radius.packet import Code, decode, encode, vendor_attribute


def test_no_secret_is_printed() -> None:
    marks = [f"marker-{number:03d}-octets".encode() for number in range(12)]
    attributes = [
        (2, marks[0]),
        (3, marks[1]),
        (24, marks[2]),
        (33, marks[3]),
        (60, marks[4]),
        (69, marks[5]),
        (79, marks[6]),
        (80, marks[7]),
        (200, marks[8]),
        vendor_attribute(311, 25, marks[9]),
        vendor_attribute(424242, 1, marks[10]),
        (26, b"\0\0\1\xad" + marks[11]),
    ]
    lines = describe(decode(encode(Code.ACCESS_REQUEST, 1, bytes(16), attributes)))
    assert len(lines) == len(attributes)
    for _, shown in lines:
        assert "marker" not in shown
        assert "6d61726b" not in shown
        assert "octets" in shown


def test_names_values_and_order() -> None:
    both = (26, (25461).to_bytes(4, "big") + b"\x07\x0b192.0.2.1" + b"\x08\x07Linux")
    attributes = [
        (1, b"ada"),
        both,
        (64, b"\x01\0\0\x0d"),
        vendor_attribute(424242, 9, b"?"),
        (26, b"\0\0"),
        (26, b"\0\0\0\x09\x01"),
    ]
    lines = describe(decode(encode(Code.ACCESS_REQUEST, 1, bytes(16), attributes)))
    assert lines == [
        ("User-Name", "ada"),
        ("PaloAlto-Client-Source-IP", "192.0.2.1"),
        ("PaloAlto-Client-OS", "Linux"),
        ("Tunnel-Type:1", "13 (VLAN)"),
        ("Vendor-424242-9", "(1 octets)"),
        ("Vendor-Specific", "(2 octets)"),
        ("Vendor-9", "(5 octets)"),
    ]
