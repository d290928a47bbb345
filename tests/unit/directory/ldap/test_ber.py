"""BER: the forms that RFC 4511 section 5.1 allows, and none of the others."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.directory.ldap import ber
from wardgate.errors import MessageError


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "020100"),
        (127, "02017f"),
        (128, "02020080"),
        (256, "02020100"),
        (-1, "0201ff"),
        (-128, "020180"),
        (-129, "0202ff7f"),
        (2147483647, "02047fffffff"),
    ],
)
def test_integers_take_as_few_octets_as_hold_them(value: int, encoded: str) -> None:
    """ITU-T X.690 section 8.3."""
    assert ber.integer(value).hex() == encoded
    assert ber.Reader(bytes.fromhex(encoded)).integer() == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_come_back(value: int) -> None:
    assert ber.Reader(ber.integer(value)).integer() == value


@given(st.binary(max_size=70_000), st.sampled_from([4, 0x30, 0x80, 0xA3]))
def test_elements_of_any_length_come_back(content: bytes, tag: int) -> None:
    encoded = ber.tlv(tag, content)
    assert ber.head(encoded, 0, len(encoded)) == (tag, len(encoded) - len(content), len(encoded))
    assert ber.Reader(encoded).octets(tag) == content


@pytest.mark.parametrize(
    ("size", "head"), [(127, "047f"), (128, "048180"), (255, "0481ff"), (256, "04820100"), (65536, "0483010000")]
)
def test_lengths_are_in_the_shortest_form(size: int, head: str) -> None:
    assert ber.octets(bytes(size))[: len(head) // 2].hex() == head


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("nothing", ""),
        ("a tag alone", "30"),
        ("an indefinite length", "30800000"),
        ("a length of five octets", "30850000000001aa"),
        ("a length that is cut off", "308201"),
        ("a reserved length", "30ff"),
        ("less than the length says", "3003aabb"),
        ("a tag of two octets", "1f8101aa"),
    ],
)
def test_other_forms_are_refused(what: str, data: str) -> None:
    octets = bytes.fromhex(data)
    with pytest.raises(MessageError):
        ber.head(octets, 0, len(octets))


def test_a_number_of_too_many_octets_is_refused() -> None:
    for content in (b"", bytes(9)):
        with pytest.raises(MessageError):
            ber.Reader(ber.tlv(ber.INTEGER, content)).integer()


def test_a_claimed_length_costs_nothing_and_an_oversize_message_is_refused_by_its_head() -> None:
    assert ber.frame_bytes(b"") is None
    assert ber.frame_bytes(b"\x30") is None
    assert ber.frame_bytes(b"\x30\x84\x00") is None
    assert ber.frame_bytes(b"xx\x30\x03abc", 2) == 5
    assert ber.frame_bytes(b"\x30\x83\x01\x00\x00") == 65536 + 5
    for head in ("3084ffffffff", "308401000000", "3080", "3085000000000a", "04"):
        with pytest.raises(MessageError):
            ber.frame_bytes(bytes.fromhex(head))


def test_a_reader_takes_nothing_from_beyond_its_element() -> None:
    outer = ber.Reader(ber.sequence(ber.integer(1)) + ber.octets("beyond"))
    inner = outer.enter()
    assert inner.integer() == 1
    inner.end()
    with pytest.raises(MessageError):
        inner.octets()
    with pytest.raises(MessageError):
        outer.end()
    assert outer.octets() == b"beyond"
    assert outer.tag is None


def test_truth_values_are_one_octet() -> None:
    assert ber.boolean(True) == b"\x01\x01\xff"
    assert ber.Reader(ber.boolean(False)).boolean() is False
    with pytest.raises(MessageError):
        ber.Reader(b"\x01\x02\xff\xff").boolean()


@given(st.binary(max_size=200))
def test_random_octets_end_in_a_refusal_or_a_value(data: bytes) -> None:
    reader = ber.Reader(data)
    with suppress(MessageError):
        while reader.more:
            reader.skip()
    with suppress(MessageError):
        ber.frame_bytes(data)
