"""Values of Active Directory, by hand from [MS-DTYP] and from what a server sent."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.crypto import Secret
from wardgate.directory.active_directory.values import (
    NEVER,
    filetime,
    guid_base,
    guid_text,
    interval_s,
    is_administrators,
    moment,
    password_text,
    sid_text,
    unicode_pwd,
)
from wardgate.errors import MessageError


def test_a_filetime_is_a_time() -> None:
    assert moment(116_444_736_000_000_000) == datetime(1970, 1, 1, tzinfo=UTC)
    assert moment(134_397_980_624_511_880) == datetime(2026, 11, 22, 5, 14, 22, 451188, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, 0, -1, NEVER, NEVER - 1])
def test_what_is_no_time_is_none(value: int | None) -> None:
    assert moment(value) is None


@given(st.datetimes(min_value=datetime(1602, 1, 1), max_value=datetime(9998, 1, 1)))
def test_a_time_goes_there_and_back(naive: datetime) -> None:
    at = naive.replace(tzinfo=UTC)

    assert moment(filetime(at)) == at


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(-18_000_000_000, 1800), (-36_288_000_000_000, 42 * 86_400), (0, 0), (None, 0), (-(2**63), 0), (-NEVER, 0), (5, 0)],
)
def test_an_interval_is_stored_negative(value: int | None, seconds: int) -> None:
    assert interval_s(value) == seconds


def test_an_object_guid_is_of_mixed_byte_order() -> None:
    stored = bytes.fromhex("9af506ade066f04dbddba2aa083ec43f")

    assert guid_text(stored) == "ad06f59a-66e0-4df0-bddb-a2aa083ec43f"
    assert guid_base(guid_text(stored)) == "<GUID=ad06f59a-66e0-4df0-bddb-a2aa083ec43f>"


@pytest.mark.parametrize(
    "text", ["", "nobody", "ad06f59a66e04df0bddba2aa083ec43f", "<GUID=x>", "CN=alice,DC=acme,DC=test", "a" * 36]
)
def test_what_is_no_guid_is_never_a_search_base(text: str) -> None:
    assert guid_base(text) is None


@pytest.mark.parametrize("value", [b"", b"\x00" * 15, b"\x00" * 17])
def test_a_guid_of_another_length_is_refused(value: bytes) -> None:
    with pytest.raises(MessageError):
        guid_text(value)


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("01020000000000052000000021020000", "S-1-5-32-545"),
        ("010500000000000515000000" + "01000000" + "02000000" + "ffffffff" + "00020000", "S-1-5-21-1-2-4294967295-512"),
        ("0101000000000001" + "00000000", "S-1-1-0"),
        ("0100ffffffffffff", "S-1-281474976710655"),
    ],
)
def test_a_sid_has_its_parts_in_two_byte_orders(stored: str, text: str) -> None:
    assert sid_text(bytes.fromhex(stored)) == text


@given(st.binary(max_size=80))
def test_any_bytes_are_a_sid_or_are_refused(value: bytes) -> None:
    try:
        assert sid_text(value).startswith("S-1-")
    except MessageError:
        assert len(value) < 8 or value[0] != 1 or len(value) != 8 + 4 * value[1] or value[1] > 15


@pytest.mark.parametrize("password", [b"", b"a\0b", b"\0", b"\xff", b"x" * 257])
def test_a_password_that_would_be_cut_or_refused_unread_is_none(password: bytes) -> None:
    assert password_text(Secret(password)) is None


def test_a_password_stands_in_quotation_marks_in_utf_16() -> None:
    assert password_text(Secret('şifre "x"'.encode())) == 'şifre "x"'
    assert unicode_pwd(Secret("ş".encode())) == b'"\x00_\x01"\x00'


DOMAIN = "S-1-5-21-1004336348-1177238915-682003330"


@pytest.mark.parametrize(
    ("sid", "expected"),
    [
        (f"{DOMAIN}-512", True),
        (f"{DOMAIN}-519", True),
        ("S-1-5-32-544", True),
        ("S-1-5-32-551", True),
        (f"{DOMAIN}-513", False),
        (f"{DOMAIN}-544", False),
        ("S-1-5-32-545", False),
        ("S-1-5-32-512", False),
        ("S-1-5-11", False),
        ("S-1-1-32-544", False),
    ],
)
def test_groups_of_administrators_are_known_by_their_sid(sid: str, expected: bool) -> None:
    _, _, authority, *parts = sid.split("-")
    octets = (
        bytes((1, len(parts))) + int(authority).to_bytes(6, "big") + b"".join(int(part).to_bytes(4, "little") for part in parts)
    )
    assert sid_text(octets) == sid
    assert is_administrators(octets) is expected
    assert not is_administrators(octets[:-1])
