"""Typed attributes: from what an operator writes to octets and back."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.crypto import Secret
from wardgate.errors import PacketError, SettingsError
from wardgate.radius.attributes import (
    AttributeDefinition,
    AttributeValueError,
    Dictionary,
    Kind,
    Value,
    decode_value,
    encode_attribute,
    encode_value,
    printable,
    tag_of,
)
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.packet import Code, SharedSecret, decode, encode
from wardgate.radius.salted import Hiding, reveal_salted


def define(kind: Kind, *, tagged: bool = False, values: tuple[tuple[str, int], ...] = ()) -> AttributeDefinition:
    return AttributeDefinition("Test", None, 200, kind, tagged=tagged, values=values)


class TestFind:
    @pytest.mark.parametrize("reference", ["PaloAlto-User-Group", "paloalto-user-group", " 25461:5 ", "25461/5", "25461:5:string"])
    def test_by_name_in_any_case_and_by_number(self, reference: str) -> None:
        definition = BUILT_IN.find(reference)
        assert (definition.name, definition.vendor, definition.number) == ("PaloAlto-User-Group", 25461, 5)

    def test_standard_number(self) -> None:
        assert BUILT_IN.find("11").name == "Filter-Id"

    def test_tag(self) -> None:
        definition = BUILT_IN.find("tunnel-type:3")
        assert (definition.number, definition.tag) == (64, 3)
        assert BUILT_IN.find("Tunnel-Type").tag == 0

    def test_unknown_numbers_take_a_type(self) -> None:
        assert BUILT_IN.find("9999:5") == AttributeDefinition("Vendor-9999-5", 9999, 5, Kind.UNTYPED)
        assert BUILT_IN.find("9999:5:integer").kind is Kind.INTEGER
        assert BUILT_IN.find("200") == AttributeDefinition("Attr-200", None, 200, Kind.UNTYPED)
        assert BUILT_IN.find("200:ipv4").kind is Kind.IPV4

    def test_misspelt_name_gets_a_suggestion(self) -> None:
        with pytest.raises(AttributeValueError, match="did you mean PaloAlto-User-Group"):
            BUILT_IN.find("PaloAlto-UserGroup")

    @pytest.mark.parametrize(
        "reference",
        [
            *("", "No-Such-Thing", "0", "256", "9999:0", "9999:256", "0:5", "16777216:5", "999999999:1", "²"),
            *("9:1:2", "9:x", "9:1:floating", "9::1", "Filter-Id:1", "Tunnel-Type:0", "Tunnel-Type:32", "Tunnel-Type:x"),
            *("Tunnel-Type:1:1", "Tunnel-Type:"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, reference: str) -> None:
        with pytest.raises(AttributeValueError):
            BUILT_IN.find(reference)

    def test_error_is_one_of_the_settings(self) -> None:
        with pytest.raises(SettingsError) as caught:
            BUILT_IN.find("nonsense")
        assert caught.value.code == "radius_attribute_value"

    def test_get_by_number(self) -> None:
        known = BUILT_IN.get(1, 12356)
        assert known is not None
        assert known.name == "Fortinet-Group-Name"
        assert BUILT_IN.get(1, 424242) is None

    def test_dictionary_refuses_doubles(self) -> None:
        one = AttributeDefinition("One", None, 1, Kind.STRING)
        for double in (AttributeDefinition("ONE", None, 2, Kind.STRING), AttributeDefinition("Two", None, 1, Kind.STRING)):
            with pytest.raises(AttributeValueError):
                Dictionary([one, double])


class TestValues:
    @pytest.mark.parametrize(
        ("kind", "value", "octets"),
        [
            (Kind.STRING, "staff", "7374616666"),
            (Kind.STRING, "Öğrenci", "c396c49f72656e6369"),
            (Kind.STRING, 101, "313031"),
            (Kind.OCTETS, "OU=staff;", "4f553d73746166663b"),
            (Kind.OCTETS, "0x00Ff10", "00ff10"),
            (Kind.INTEGER, 0, "00000000"),
            (Kind.INTEGER, 4294967295, "ffffffff"),
            (Kind.INTEGER, " 15 ", "0000000f"),
            (Kind.IPV4, "192.0.2.1", "c0000201"),
            (Kind.IPV6, "2001:db8::1", "20010db8000000000000000000000001"),
            (Kind.IPV6_PREFIX, "2001:db8::/32", "002020010db8000000000000000000000000"),
            (Kind.INTERFACE_ID, "0:0:0:1", "0000000000000001"),
            (Kind.DATE, 1700000000, "6553f100"),
            (Kind.DATE, "2023-11-14T22:13:20+00:00", "6553f100"),
            (Kind.UNTYPED, 7, "00000007"),
            (Kind.UNTYPED, "7", "37"),
            (Kind.UNTYPED, "0x07", "07"),
        ],
    )
    def test_value_is_encoded(self, kind: Kind, value: Value, octets: str) -> None:
        assert encode_value(define(kind), value).hex() == octets

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            (Kind.STRING, ""),
            (Kind.STRING, "with\0nul"),
            (Kind.STRING, "\ud800 and \U0001f600"),
            (Kind.STRING, True),
            (Kind.OCTETS, "0x"),
            (Kind.OCTETS, "0x123"),
            (Kind.OCTETS, "0xzz"),
            (Kind.INTEGER, -1),
            (Kind.INTEGER, 4294967296),
            (Kind.INTEGER, "many"),
            (Kind.INTEGER, "12345678901"),
            (Kind.INTEGER, "１５"),
            (Kind.INTEGER, False),
            (Kind.IPV4, "192.0.2"),
            (Kind.IPV4, "2001:db8::1"),
            (Kind.IPV6, "192.0.2.1"),
            (Kind.IPV6, "fe80::1%eth0"),
            (Kind.IPV6_PREFIX, "2001:db8::1/32"),
            (Kind.INTERFACE_ID, "0:0:0"),
            (Kind.INTERFACE_ID, "0:0:0:10000"),
            (Kind.INTERFACE_ID, "0:0::1"),
            (Kind.INTERFACE_ID, "0:0:0:xyz"),
            (Kind.DATE, "2023-11-14T22:13:20"),
            (Kind.DATE, "tomorrow"),
        ],
    )
    def test_value_of_another_type_is_refused(self, kind: Kind, value: Value) -> None:
        with pytest.raises(AttributeValueError, match="Test is "):
            encode_value(define(kind), value)

    @pytest.mark.parametrize("name", ["Administrative-User", "administrative", "ADMINISTRATIVE USER", "administrative_user", "6"])
    def test_named_integer_as_manuals_write_it(self, name: str) -> None:
        assert encode_value(BUILT_IN.find("Service-Type"), name) == b"\0\0\0\x06"

    @given(st.text(min_size=1, max_size=60).filter(lambda text: "\0" not in text))
    def test_text_survives(self, text: str) -> None:
        definition = define(Kind.STRING)
        assert decode_value(definition, encode_value(definition, text)) == text

    @given(st.integers(0, 0xFFFFFFFF))
    def test_integer_survives(self, number: int) -> None:
        for kind in (Kind.INTEGER, Kind.DATE):
            assert decode_value(define(kind), encode_value(define(kind), number)) == number

    @given(st.ip_addresses())
    def test_address_survives(self, address: object) -> None:
        definition = define(Kind.IPV6 if ":" in str(address) else Kind.IPV4)
        assert decode_value(definition, encode_value(definition, str(address))) == str(address)

    @pytest.mark.parametrize("value", ["2001:db8::/32", "::/0", "2001:db8::1/128"])
    def test_prefix_survives_also_without_its_zeros(self, value: str) -> None:
        definition = define(Kind.IPV6_PREFIX)
        octets = encode_value(definition, value)
        assert decode_value(definition, octets) == value
        assert decode_value(definition, octets.rstrip(b"\0").ljust(2, b"\0")) == value

    @pytest.mark.parametrize("kind", [Kind.INTEGER, Kind.DATE, Kind.IPV4, Kind.IPV6, Kind.IPV6_PREFIX, Kind.INTERFACE_ID])
    @pytest.mark.parametrize("octets", [b"\xff" * size for size in (0, 1, 3, 5, 19)])
    def test_received_octets_of_another_length_are_a_packet_error(self, kind: Kind, octets: bytes) -> None:
        with pytest.raises(PacketError) as caught:
            decode_value(define(kind), octets)
        assert caught.value.code == "radius_attribute_value"

    def test_received_text_that_is_not_utf8_is_a_packet_error(self) -> None:
        with pytest.raises(PacketError):
            decode_value(define(Kind.STRING), "pässwörd".encode("latin-1"))


class TestEncodeAttribute:
    def test_worked_octets_of_a_vendor_attribute(self) -> None:
        kind, value = encode_attribute(BUILT_IN.find("PaloAlto-Admin-Role"), "superuser")
        octets = bytes((kind, len(value) + 2)) + value
        assert octets.hex(" ") == "1a 11 00 00 63 75 01 0b 73 75 70 65 72 75 73 65 72"

    @pytest.mark.parametrize(
        ("reference", "limit"), [("Filter-Id", 253), ("PaloAlto-User-Group", 247), ("Tunnel-Assignment-Id:1", 252)]
    )
    def test_longest_text_fits_and_one_octet_more_is_refused(self, reference: str, limit: int) -> None:
        definition = BUILT_IN.find(reference)
        assert len(encode_attribute(definition, "x" * limit)[1]) == 253
        with pytest.raises(AttributeValueError, match=f"at most {limit} octets"):
            encode_attribute(definition, "x" * (limit + 1))

    @pytest.mark.parametrize(
        "name",
        ["User-Password", "State", "Proxy-State", "Message-Authenticator", "EAP-Message", "Vendor-Specific", "MS-MPPE-Send-Key"],
    )
    def test_rule_cannot_add_what_the_server_sets_itself(self, name: str) -> None:
        with pytest.raises(AttributeValueError, match="set by the server"):
            encode_attribute(BUILT_IN.find(name), "0x00")

    def test_tagged_integer(self) -> None:
        assert encode_attribute(BUILT_IN.find("Tunnel-Type:2"), "VLAN") == (64, b"\x02\0\0\x0d")
        assert encode_attribute(BUILT_IN.find("Tunnel-Type"), "VLAN") == (64, b"\0\0\0\x0d")
        with pytest.raises(AttributeValueError):
            encode_attribute(BUILT_IN.find("Tunnel-Preference:1"), 0x1000000)

    def test_tagged_text(self) -> None:
        assert encode_attribute(BUILT_IN.find("Tunnel-Private-Group-Id:1"), "20") == (81, b"\x0120")
        assert encode_attribute(BUILT_IN.find("Tunnel-Private-Group-Id"), "20") == (81, b"20")
        assert encode_attribute(BUILT_IN.find("Tunnel-Private-Group-Id"), "\t20") == (81, b"\0\t20")

    @pytest.mark.parametrize("reference", ["Tunnel-Private-Group-Id", "Tunnel-Private-Group-Id:31", "Tunnel-Type", "Tunnel-Type:7"])
    def test_tag_is_read_back(self, reference: str) -> None:
        definition = BUILT_IN.find(reference)
        value: Value = 13 if definition.kind is Kind.INTEGER else "vlan"
        _, octets = encode_attribute(definition, value)
        assert tag_of(definition, octets) == definition.tag
        assert decode_value(definition, octets) == value

    def test_encrypted_attribute(self) -> None:
        secret, authenticator = SharedSecret(Secret(b"a shared secret")), bytes(range(16))
        hiding = Hiding(authenticator, secret, b"\x81\x02")
        kind, octets = encode_attribute(BUILT_IN.find("Tunnel-Password:1"), "tunnel secret", hiding)
        assert (kind, octets[0]) == (69, 1)
        assert reveal_salted(octets[1:], authenticator, secret) == b"tunnel secret"
        assert len(encode_attribute(BUILT_IN.find("Tunnel-Password"), "x" * 239, hiding)[1]) <= 253
        with pytest.raises(AttributeValueError, match="at most 239"):
            encode_attribute(BUILT_IN.find("Tunnel-Password"), "x" * 240, hiding)

    def test_encrypted_attribute_never_goes_out_in_clear(self) -> None:
        with pytest.raises(AttributeValueError, match="travels encrypted"):
            encode_attribute(BUILT_IN.find("Tunnel-Password"), "tunnel secret")

    def test_refusal_of_an_encrypted_value_does_not_print_it(self) -> None:
        with pytest.raises(AttributeValueError) as caught:
            encode_attribute(BUILT_IN.find("Tunnel-Password"), "tunnel\0secret")
        assert "tunnel" not in caught.value.message

    @pytest.mark.parametrize(
        "definition", [row for row in BUILT_IN if not row.protected and not row.encrypted], ids=lambda row: row.name
    )
    def test_every_row_takes_a_value_and_is_read_from_a_packet(self, definition: AttributeDefinition) -> None:
        examples: dict[Kind, Value] = {
            Kind.IPV4: "192.0.2.1",
            Kind.IPV6: "2001:db8::1",
            Kind.IPV6_PREFIX: "2001:db8::/32",
            Kind.INTERFACE_ID: "0:0:0:1",
            Kind.INTEGER: 3,
            Kind.DATE: 3,
        }
        value = examples.get(definition.kind, "text")
        packet = decode(encode(Code.ACCESS_ACCEPT, 1, bytes(16), [encode_attribute(definition, value)]))
        [octets] = definition.read(packet)
        decoded = decode_value(definition, octets)
        assert decoded == (cast("str", value).encode() if definition.kind is Kind.OCTETS else value)


class TestPrintable:
    def test_control_characters_cannot_forge_a_log_line(self) -> None:
        shown = printable(define(Kind.STRING), "ada\r\nlogin accepted\x1b[2J\u202e".encode())
        assert shown == r"ada\r\nlogin accepted\x1b[2J\u202e"

    def test_octets_that_are_not_text_are_hexadecimal(self) -> None:
        assert printable(define(Kind.STRING), b"\xff\xfe") == "0xfffe"
        assert printable(define(Kind.OCTETS), b"a\nb") == "0x610a62"
        assert printable(define(Kind.OCTETS), b"OU=staff;") == "OU=staff;"

    def test_names_and_dates(self) -> None:
        assert printable(BUILT_IN.find("Service-Type"), b"\0\0\0\x06") == "6 (Administrative-User)"
        assert printable(BUILT_IN.find("Service-Type"), b"\0\0\1\0") == "256"
        assert printable(BUILT_IN.find("Event-Timestamp"), bytes.fromhex("6553f100")) == "2023-11-14T22:13:20+00:00"

    @given(st.binary(max_size=60), st.sampled_from([*BUILT_IN, define(Kind.UNTYPED)]))
    def test_it_never_fails_and_is_one_line(self, octets: bytes, definition: AttributeDefinition) -> None:
        assert printable(definition, octets).isprintable()
