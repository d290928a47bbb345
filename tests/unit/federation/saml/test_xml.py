"""Reading single values, and the canonical form that signatures stand on."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from wardgate.errors import SamlMessageError
from wardgate.federation.saml import writing, xml

LAST_MS = 253_402_300_799_999


@given(at_ms=st.integers(-62_135_596_800_000, LAST_MS))
def test_times_come_back_as_they_were_written(at_ms: int) -> None:
    written = writing.instant(at_ms)
    assert xml.instant_ms(written) == at_ms
    seconds, milliseconds = divmod(at_ms, 1000)
    shown = datetime.fromisoformat(written)
    assert shown == datetime.fromtimestamp(0, UTC) + (shown - datetime.fromtimestamp(0, UTC))
    assert (shown - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() == pytest.approx(seconds + milliseconds / 1000)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T00:00:01", 1000),
        ("1970-01-01T00:00:01.5Z", 1500),
        ("1970-01-01T00:00:01.123456789Z", 1123),
        ("1970-01-01T03:00:01+03:00", 1000),
        ("1969-12-31T20:30:01-03:30", 1000),
        ("2016-12-31T23:59:60Z", 1483228800000),
        ("2016-12-31T24:00:00Z", 1483228800000),
        ("1970-01-01T00:00:01.12300000000000000Z", 1123),
    ],
)
def test_times_of_applications(value: str, expected: int) -> None:
    assert xml.instant_ms(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *("", "now", "1970-01-01", "1970-13-01T00:00:00Z", "1970-01-01T24:00:01Z", "1970-01-01T00:00:61Z", "99999-01-01T00:00:00Z"),
        *(
            "1970-01-01T00:00:00+15:00",
            "1970-01-01T00:00:00+03:60",
            "1970-01-01T00:00:00.Z",
            "１970-01-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
        ),
    ],
)
def test_what_is_no_time_is_refused(value: str) -> None:
    with pytest.raises(SamlMessageError):
        xml.instant_ms(value)


def test_times_that_cannot_be_written_are_refused() -> None:
    for at_ms in (LAST_MS + 1, -62_135_596_800_001):
        with pytest.raises(SamlMessageError):
            writing.instant(at_ms)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("PT1H", 3600), ("P1D", 86_400), ("P1Y2M3DT4H5M6.7S", 31_536_000 + 5_184_000 + 259_200 + 14_706), ("PT0S", 0)],
)
def test_durations(value: str, expected: int) -> None:
    assert xml.duration_s(value) == expected


@pytest.mark.parametrize("value", ["", "P", "PT", "1H", "-PT1H", "P1H", "PT1D", "PT" + "9" * 40 + "S"])
def test_what_is_no_duration_is_refused(value: str) -> None:
    with pytest.raises(SamlMessageError):
        xml.duration_s(value)


def test_an_inner_element_is_canonical_as_if_it_stood_alone() -> None:
    root = xml.parse(
        b'<a xmlns="urn:a" xmlns:p="urn:p" xmlns:q="urn:q"><p:b  z="1" a="&#xD;&quot;" >t<c/><!----></p:b>tail</a>', xml.METADATA
    )
    plain = b'<p:b xmlns:p="urn:p" a="&#xD;&quot;" z="1">t<c xmlns="urn:a"></c></p:b>'
    assert xml.canonical(root[0]) == plain
    inclusive = b'<p:b xmlns:p="urn:p" xmlns:q="urn:q" a="&#xD;&quot;" z="1">t<c xmlns="urn:a"></c></p:b>'
    assert xml.canonical(root[0], ["q", "unknown"]) == inclusive
    assert xml.canonical(root).startswith(b'<a xmlns="urn:a"><p:b xmlns:p="urn:p" ')


@given(document=st.binary(max_size=300))
def test_whatever_is_no_xml_ends_in_one_error(document: bytes) -> None:
    try:
        root = xml.parse(document)
    except SamlMessageError:
        return
    assert isinstance(root.tag, str)


def test_cdata_and_references_to_characters_are_text() -> None:
    assert xml.text_of(xml.parse(b"<a> &#x41;<![CDATA[<b>]]>&amp; </a>")) == "A<b>&"


def test_base64_is_strict_but_for_white_space() -> None:
    assert xml.decoded(" QU\r\nJD\t", 10) == b"ABC"
    for value in ("", "QUJ", "QUJD*", "QUJDQUJDQUJDQUJDQUJD", "QUJDé"):
        with pytest.raises(SamlMessageError):
            xml.decoded(value, 10)


def test_elements_escape_what_they_did_not_make() -> None:
    made = writing.element("saml:A", "<&>\r", declare="saml", attributes={"b": '<&>"\r\n\t', "a": "x", "empty": ""})
    root = etree.fromstring(made.encode())
    assert (root.text, dict(root.attrib)) == ("<&>\r", {"a": "x", "b": '<&>"\r\n\t'})
    assert etree.tostring(root, method="c14n", exclusive=True).decode() == made


@pytest.mark.parametrize("value", ["a", "_", "A.b-c_d·1", "ığü", "_" * 1_024, " _x "])
def test_every_shape_of_an_id_is_taken(value: str) -> None:
    """Namespaces in XML 1.0, NCName: an id need not be ASCII."""
    element = xml.parse(f'<a ID="{value}"/>'.encode())
    assert xml.id_of(element) == value.strip()
    for wrong in ("1a", "-a", "a:b", "a b", "", "·a"):
        with pytest.raises(SamlMessageError):
            xml.id_of(xml.parse(f'<a ID="{wrong}"/>'.encode()))


def test_comments_between_elements_are_no_part_of_a_message() -> None:
    root = xml.parse(b"<!-- a --><r><!-- b -->\n <!-- c --><x> y </x><!-- d --><z/></r><!-- e -->")
    assert [child.tag for child in root] == ["x", "z"]
    assert xml.canonical(root) == b"<r>\n <x> y </x><z></z></r>"


def test_message_of_comments_that_would_keep_us_busy_is_refused_before_it_is_read() -> None:
    """Each that is cut has the white space around it written anew: two thousand in 54 KiB took a fifth of a second."""
    with pytest.raises(SamlMessageError) as caught:
        xml.parse(b"<r>" + (b"<!---->" + b" " * 20) * (xml.MAX_COMMENTS + 1) + b"</r>")
    assert caught.value.code == "saml_too_large"
    assert not len(xml.parse(b"<r>" + b"<!---->" * xml.MAX_COMMENTS + b"</r>"))
