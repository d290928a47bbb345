"""Messages, made by hand from the ASN.1 of RFC 4511; and a decoder that ends in MessageError whatever it is given."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import ldap_server
from wardgate.directory.ldap import ber, messages
from wardgate.directory.ldap.filters import encode_filter
from wardgate.directory.ldap.port import Change, ChangeKind, Control, Entry, Result, Scope
from wardgate.errors import MessageError


def hexed(text: str) -> bytes:
    """Octets, written with spaces."""
    return bytes.fromhex(text)


# --- requests -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "made", "wanted"),
    [
        (
            "bind, section 4.2",
            messages.message(1, messages.bind("cn=a", b"pw")),
            "30 12 020101 60 0d 020103 0404 636e3d61 8002 7077",
        ),
        ("unbind, section 4.3", messages.message(2, messages.unbind()), "30 05 020102 42 00"),
        ("abandon, section 4.11", messages.message(6, messages.abandon(5)), "30 06 020106 50 01 05"),
        ("delete, section 4.8", messages.message(7, messages.delete("cn=a")), "30 09 020107 4a 04 636e3d61"),
        (
            "search, section 4.5.1",
            messages.message(3, messages.search("o=a", Scope.SUBTREE, encode_filter("(a=b)"), ("c", "d"), 2, 5)),
            "30 29 020103 63 24 0403 6f3d61 0a0102 0a0100 020102 020105 010100 a306 0401 61 0401 62 3006 0401 63 0401 64",
        ),
        (
            "modify, section 4.6",
            messages.message(
                4, messages.modify("cn=a", (Change(ChangeKind.REPLACE, "sn", (b"x",)), Change(ChangeKind.DELETE, "l")))
            ),
            "30 29 020104 66 24 0404 636e3d61 301c 300e 0a0102 3009 0402 736e 3103 0401 78 300a 0a0101 3005 0401 6c 3100",
        ),
        (
            "add, section 4.7",
            messages.message(5, messages.add("cn=a", (("sn", (b"x", b"y")),))),
            "30 1b 020105 68 16 0404 636e3d61 300e 300c 0402 736e 3106 0401 78 0401 79",
        ),
        (
            "modifyDN, section 4.9",
            messages.message(8, messages.modify_dn("cn=a", "cn=b", new_superior="o=c")),
            "30 19 020108 6c 14 0404 636e3d61 0404 636e3d62 0101ff 8003 6f3d63",
        ),
        (
            "extended, section 4.12",
            messages.message(9, messages.extended("1.2", b"\x30\x00")),
            "30 0e 020109 77 09 8003 312e32 8102 3000",
        ),
        (
            "controls, section 4.1.11",
            messages.message(
                2, messages.unbind(), messages.encode_controls((Control("1.2", True), Control("1.3", False, b""), Control("1.4")))
            ),
            "30 21 020102 42 00 a0 1a 3008 0403 312e32 0101ff 3007 0403 312e33 0400 3005 0403 312e34",
        ),
    ],
)
def test_requests_are_as_the_rfc_writes_them(what: str, made: bytes, wanted: str) -> None:
    assert made.hex() == hexed(wanted).hex()


def test_a_password_is_in_no_repr() -> None:
    change = Change(ChangeKind.REPLACE, "unicodePwd", (b"hunter2",))
    assert "hunter2" not in repr(change)
    assert "hunter2" not in f"{change}"


# --- responses ------------------------------------------------------------------------------------------------------------------


def test_a_result_with_everything_is_read() -> None:
    """Referral, diagnostic, matched DN, controls; the diagnostic ends with the NUL that Active Directory puts there."""
    body = (
        ber.integer(49, ber.ENUMERATED)
        + ber.octets("o=a")
        + ber.octets(b"80090308: data 52e\x00")
        + ber.sequence(ber.octets("ldap://evil.test/"), tag=0xA3)
    )
    controls = (Control("1.3.6.1.4.1.42.2.27.8.5.1", True, b"\x30\x00"), Control("1.2"))
    data = messages.message(7, ber.tlv(messages.BIND_RESPONSE, body), messages.encode_controls(controls))
    incoming = messages.decode(data)
    assert incoming.message_id == 7
    assert messages.result(incoming, "dc1:636") == Result(49, "80090308: data 52e", "o=a", controls, None, "dc1:636")


def test_an_extended_response_is_read_with_name_and_value() -> None:
    body = ldap_server.result(0) + ber.octets("1.2.3", 0x8A) + ber.octets(b"secret", 0x8B)
    incoming = messages.decode(messages.message(1, ber.tlv(messages.EXTENDED_RESPONSE, body)))
    assert messages.response_name(incoming) == "1.2.3"
    assert messages.result(incoming).value == b"secret"


def test_generated_passwords_are_not_remembered_by_the_decoder() -> None:
    """RFC 3062: the server may answer with a password that it made."""
    before = messages._short_result.cache_info().currsize
    data = messages.message(1, ber.tlv(messages.EXTENDED_RESPONSE, ldap_server.result(0) + ber.octets(b"made up", 0x8B)))
    assert messages.result(messages.decode(data)).value == b"made up"
    assert messages._short_result.cache_info().currsize == before


def test_an_entry_is_read_whatever_the_length_of_its_parts() -> None:
    values = {
        "CN": [b"a"],
        "userCertificate;binary": [b"x" * 3000, b""],
        "member": [],
        "description": [b"d" * 200],
        "mail": [b"1@a", b"2@a"],
    }
    incoming = messages.decode(ldap_server.entry(5, "cn=a", values))
    entry, unfinished = messages.entry(incoming)
    assert entry == Entry(
        "cn=a",
        {
            "cn": (b"a",),
            "usercertificate": (b"x" * 3000, b""),
            "member": (),
            "description": (b"d" * 200,),
            "mail": (b"1@a", b"2@a"),
        },
    )
    assert not unfinished


def test_a_range_is_told_and_options_come_together() -> None:
    values = {"member": [], "member;range=0-1499": [b"1"], "cn;lang-tr": [b"x"], "cn": [b"y"], "last;range=1500-*": [b"z"]}
    entry, unfinished = messages.entry(messages.decode(ldap_server.entry(5, "cn=a", values)))
    assert entry.attributes == {"member": (b"1",), "cn": (b"x", b"y"), "last": (b"z",)}
    assert unfinished == {"member": 1500}


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True), st.lists(st.binary(max_size=300), max_size=5), max_size=10
    ),
    st.text(max_size=150),
)
def test_entries_come_back(values: dict[str, list[bytes]], dn: str) -> None:
    dn = dn.encode(errors="ignore").decode()
    entry, _ = messages.entry(messages.decode(ldap_server.entry(1, dn, values)))
    wanted: dict[str, tuple[bytes, ...]] = {}
    for name, each in values.items():
        wanted[name.lower()] = wanted.get(name.lower(), ()) + tuple(each)
    assert entry == Entry(dn, wanted)


def test_the_cookie_of_a_page_is_read() -> None:
    value = ber.sequence(ber.integer(0), ber.octets(b"next"))
    assert messages.page_cookie(Result(0, controls=(Control(messages.PAGED_RESULTS, False, value),))) == b"next"
    assert messages.page_cookie(Result(0)) == b""
    with pytest.raises(MessageError):
        messages.page_cookie(Result(0, controls=(Control(messages.PAGED_RESULTS, False, b"\x30"),)))
    (asked,) = ldap_server.parse(
        1, messages.message(1, messages.search("", Scope.BASE, encode_filter("(a=*)"), ()), messages.first_page(7))
    ).controls
    assert asked == messages.page_control(7, b"")


# --- hostile --------------------------------------------------------------------------------------------------------------------

WHOLE = [
    ldap_server.entry(5, "cn=a", {"cn": [b"a", b"b" * 200], "member;range=0-9": [b"c"]}),
    ldap_server.reference(5, "ldap://a/"),
    messages.message(
        1,
        ber.tlv(0x78, ldap_server.result(53, "no") + ber.octets("1.2", 0x8A) + ber.octets(b"v", 0x8B)),
        messages.encode_controls((Control("1.2", True, b"x"),)),
    ),
    messages.message(1, ber.tlv(0x61, ldap_server.result(0))),
]


def everything(data: bytes) -> None:
    """Read it in every way in which the connection does."""
    incoming = messages.decode(data)
    for read in (messages.entry, messages.result, messages.response_name):
        with suppress(MessageError):
            read(incoming)


def test_what_was_cut_off_is_refused_at_every_octet() -> None:
    for whole in WHOLE:
        messages.decode(whole)
        for size in range(len(whole)):
            with pytest.raises(MessageError):
                messages.decode(whole[:size])


@given(st.sampled_from(WHOLE), st.data())
def test_a_flipped_octet_ends_in_a_refusal_or_a_value(whole: bytes, data: st.DataObject) -> None:
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MessageError):
        everything(bytes(changed))


@given(st.binary(max_size=300))
def test_random_octets_end_in_a_refusal(data: bytes) -> None:
    with suppress(MessageError):
        everything(data)
    with suppress(MessageError):
        everything(messages.message(1, ber.tlv(0x64, data)))
    with suppress(MessageError):
        everything(messages.message(1, ber.tlv(0x61, data)))


def test_deep_nesting_is_not_followed() -> None:
    deep = b""
    for _ in range(100_000):
        deep = b"\x30\x84" + len(deep).to_bytes(4) + deep if len(deep) < 60_000 else deep
    for tag in (0x64, 0x61, 0x78):
        with pytest.raises(MessageError):
            messages.result(messages.decode(messages.message(1, ber.tlv(tag, deep))))
        with pytest.raises(MessageError):
            messages.entry(messages.decode(messages.message(1, ber.tlv(tag, deep))))


def test_an_oversize_message_and_too_many_elements_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ber, "MAX_ELEMENTS", 100)
    for values in ({"member": [b""] * 101}, {f"a{n}": [b"x"] for n in range(60)}, {f"a{n}": [] for n in range(101)}):
        with pytest.raises(MessageError):
            messages.entry(messages.decode(ldap_server.entry(1, "cn=a", values)))
    monkeypatch.setattr(ber, "MAX_MESSAGE_BYTES", 70_000)
    with pytest.raises(MessageError):
        messages.decode(ldap_server.entry(1, "cn=a", {"cn": [b"x" * 71_000]}))


@pytest.mark.parametrize(
    "data",
    [
        ber.tlv(ber.SEQUENCE, ber.integer(-1) + ber.tlv(0x61, ldap_server.result(0))),
        messages.message(2**31, ber.tlv(0x61, ldap_server.result(0))),
        messages.message(1, messages.bind("cn=a", b"x")),
        messages.message(1, ber.tlv(0x61, ldap_server.result(0))) + b"\x00",
        ber.tlv(0x31, ber.integer(1) + ber.tlv(0x61, ldap_server.result(0))),
    ],
)
def test_what_no_server_sends_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        messages.decode(data)


def test_controls_that_are_none_are_refused() -> None:
    answer = ber.tlv(0x61, ldap_server.result(0))
    for junk in (
        b"\x04\x00",
        b"\xa0\x02\x04\x00",
        b"\xa0\x02\x30\x00",
        b"\xa0\x01\x30",
        ber.sequence(*[b"\x30\x03\x04\x011"] * 65, tag=0xA0),
    ):
        with pytest.raises(MessageError):
            messages.result(messages.decode(messages.message(1, answer, junk)))


@pytest.mark.parametrize("length_octets", [0, 1, 2, 3, 4])
def test_an_envelope_is_opened_alike_however_long_its_lengths_are_written(length_octets: int) -> None:
    def written(tag: int, content: bytes) -> bytes:
        if not length_octets:
            return ber.tlv(tag, content)
        return bytes((tag, 0x80 | length_octets)) + len(content).to_bytes(length_octets) + content

    body = ldap_server.result(0)
    for message_id in (1, 127, 128, 70_000, 2**31 - 1):
        whole = written(
            0x30,
            ber.integer(message_id)
            + written(messages.BIND_RESPONSE, body)
            + messages.encode_controls((Control("1.2", value=b"x"),)),
        )
        found = messages.decode(b"\x30\x00" + whole + b"\x30", 2, 2 + len(whole))
        assert (found.message_id, found.tag, found.data[found.start : found.stop]) == (message_id, messages.BIND_RESPONSE, body)
        assert found.end == 2 + len(whole)


def test_an_envelope_that_is_cut_off_or_overlong_is_not_opened() -> None:
    whole = ldap_server.entry(5, "cn=a", {"cn": [b"x" * 200], "sn": [b"y"]})
    assert messages.opened(whole, 0, len(whole)) is not None
    for end in range(len(whole)):
        assert messages.opened(whole, 0, end) is None
        assert messages.opened(whole[:end], 0, end) is None
    inner = ber.integer(5) + bytes((messages.BIND_RESPONSE, 0x7F)) + ldap_server.result(0)
    assert messages.opened(ber.tlv(0x30, inner) + bytes(200), 0, 200) is None
