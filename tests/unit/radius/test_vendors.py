"""Vendor profiles: prompts that the device can show, client addresses, hints."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.errors import SettingsError
from wardgate.radius.attributes import encode_attribute
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.packet import Code, Packet, decode, encode
from wardgate.radius.vendors import VENDORS, vendor
from wardgate.radius.vendors.port import Trouble, VendorProfile, parse_address

PALOALTO = vendor("paloalto")
GENERIC = vendor("generic")
profiles = pytest.mark.parametrize("profile", VENDORS, ids=lambda profile: profile.name)


def request(**attributes: str) -> Packet:
    content = [encode_attribute(BUILT_IN.find(name.replace("_", "-")), value) for name, value in attributes.items()]
    return decode(encode(Code.ACCESS_REQUEST, 1, bytes(16), content))


class TestList:
    def test_names_are_unique_and_found(self) -> None:
        assert [vendor(profile.name) for profile in VENDORS] == list(VENDORS)
        assert len({profile.name for profile in VENDORS}) == len(VENDORS)

    def test_unknown_vendor_is_told_the_names(self) -> None:
        with pytest.raises(SettingsError, match="paloalto"):
            vendor("palo alto")

    @profiles
    def test_profile_is_whole(self, profile: VendorProfile) -> None:
        assert profile.title
        assert profile.time_budget_s > 0
        assert profile.max_prompt_octets <= 253
        if profile.group_attribute is not None:
            assert BUILT_IN.find(profile.group_attribute) in profile.attributes
        for rule in (*profile.default_release, *profile.suggested_release):
            assert set(rule) == {"when", "add"}
            for reference in rule["add"]:
                encode_attribute(BUILT_IN.find(reference), "value")

    @profiles
    @pytest.mark.parametrize("trouble", Trouble)
    def test_every_trouble_has_its_cure(self, profile: VendorProfile, trouble: Trouble) -> None:
        assert len(profile.hint(trouble)) > 20

    def test_nothing_is_released_unasked(self) -> None:
        """A role would make firewall administrators, and groups are nobody's business until somebody asks."""
        assert all(profile.default_release == () for profile in VENDORS)


class TestPrompt:
    def test_plain_text_stays(self) -> None:
        assert PALOALTO.prompt("Enter the code sent to +90 *** 42") == "Enter the code sent to +90 *** 42"

    def test_what_breaks_the_login_page_is_gone(self) -> None:
        hostile = 'first";\r\nrespStatus="Success"\\\u2028<script>alert(1)</script>\x00\x1b[2J\u202e'
        shown = PALOALTO.prompt(hostile)
        assert shown == "first'; respStatus='Success'/ (script)alert(1)(/script)[2J"

    @profiles
    @given(text=st.text(max_size=400), ending=st.text(max_size=30))
    def test_it_is_one_safe_line_within_both_limits(self, profile: VendorProfile, text: str, ending: str) -> None:
        shown = profile.prompt(text, ending)
        assert shown
        assert shown == shown.strip()
        assert len(shown) <= profile.max_prompt_chars
        assert len(shown.encode()) <= profile.max_prompt_octets
        assert not re.search(r'["\\\r\n<>\x00-\x1f\x7f\u2028\u2029]', shown)
        assert profile.prompt(shown) == shown

    def test_long_text_is_cut_on_a_character(self) -> None:
        assert PALOALTO.prompt("ş" * 300) == "ş" * 120
        four_octets = PALOALTO.prompt("\U0001f511" * 300)
        assert four_octets == "\U0001f511" * 63

    def test_reference_at_the_end_is_never_cut(self) -> None:
        shown = GENERIC.prompt("Access denied " + "x" * 300, ending="Ref ABCD1234")
        assert shown.endswith("x Ref ABCD1234")
        assert len(shown) == 120

    @profiles
    @pytest.mark.parametrize("text", ["", "  \r\n ", "\x00\x07"])
    def test_challenge_never_goes_without_a_text(self, profile: VendorProfile, text: str) -> None:
        assert profile.prompt(text) == profile.empty_prompt
        assert profile.prompt(profile.empty_prompt) == profile.empty_prompt


class TestClientAddress:
    def test_paloalto_reads_its_own_attribute_first(self) -> None:
        both = request(Calling_Station_Id="198.51.100.1", PaloAlto_Client_Source_IP="203.0.113.7")
        assert PALOALTO.client_address(both) == "203.0.113.7"
        assert GENERIC.client_address(both) == "198.51.100.1"

    def test_paloalto_falls_back_to_calling_station_id(self) -> None:
        assert PALOALTO.client_address(request(Calling_Station_Id="203.0.113.7")) == "203.0.113.7"
        mixed = request(Calling_Station_Id="203.0.113.7", PaloAlto_Client_Source_IP="unknown")
        assert PALOALTO.client_address(mixed) == "203.0.113.7"

    @profiles
    def test_none_when_the_device_tells_none(self, profile: VendorProfile) -> None:
        assert profile.client_address(request(User_Name="ada")) is None
        assert profile.client_address(request(Calling_Station_Id="00-11-22-33-44-55")) is None

    @pytest.mark.parametrize(
        ("written", "address"),
        [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1 ", "192.0.2.1"),
            ("192.0.2.1:4500", "192.0.2.1"),
            ("192.0.2.1[4500]", "192.0.2.1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8::1[500]", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ],
    )
    def test_address_is_read_without_its_port(self, written: str, address: str) -> None:
        assert parse_address(written.encode()) == address

    @pytest.mark.parametrize(
        "written",
        ["", "unknown", "00:11:22:33:44:55", "+905551112233", "192.0.2.256", "fe80::1%eth0", "١٩٢.0.2.1", "1" * 300, "192.0.2.1:"],
    )
    def test_what_is_no_address_gives_none(self, written: str) -> None:
        assert parse_address(written.encode()) is None

    @given(st.binary(max_size=80))
    def test_arbitrary_octets_never_fail(self, value: bytes) -> None:
        parse_address(value)


def test_client_info() -> None:
    told = request(
        PaloAlto_Client_OS="Microsoft Windows 11",
        PaloAlto_Client_Hostname="ada-laptop",
        PaloAlto_GlobalProtect_Client_Version="6.2.1",
        PaloAlto_User_Domain="acme",
    )
    assert PALOALTO.client_info(told) == {
        "os": "Microsoft Windows 11",
        "hostname": "ada-laptop",
        "app_version": "6.2.1",
        "user_domain": "acme",
    }
    assert GENERIC.client_info(told) == {}


def test_client_info_is_cut_and_made_printable() -> None:
    told = request(PaloAlto_Client_OS="x\r\n" * 80)
    assert PALOALTO.client_info(told) == {"os": "x" * 80}
    assert len(PALOALTO.client_info(request(PaloAlto_Client_OS="y" * 240))["os"]) == 128
