"""Filters: the examples of RFC 4515 section 4, each kind as RFC 4511 section 4.5.1.7 encodes it, and what must not pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.directory.ldap import ber, filters
from wardgate.directory.ldap.filters import encode_filter, escape
from wardgate.errors import MessageError


def equality(name: str, value: bytes, tag: int = 0xA3) -> bytes:
    """An AttributeValueAssertion."""
    return ber.sequence(ber.octets(name), ber.octets(value), tag=tag)


def extensible(rule: str | None, kind: str | None, value: bytes, with_dn: bool = False) -> bytes:
    """A MatchingRuleAssertion."""
    parts = [ber.octets(rule, 0x81)] if rule else []
    parts += [ber.octets(kind, 0x82)] if kind else []
    parts += [ber.octets(value, 0x83)]
    parts += [b"\x84\x01\xff"] if with_dn else []
    return ber.sequence(*parts, tag=0xA9)


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("(cn=Babs Jensen)", equality("cn", b"Babs Jensen")),
        ("(!(cn=Tim Howes))", ber.tlv(0xA2, equality("cn", b"Tim Howes"))),
        (
            "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))",
            ber.tlv(
                0xA0,
                equality("objectClass", b"Person")
                + ber.tlv(
                    0xA1,
                    equality("sn", b"Jensen") + ber.sequence(ber.octets("cn"), ber.sequence(ber.octets("Babs J", 0x80)), tag=0xA4),
                ),
            ),
        ),
        (
            "(o=univ*of*mich*)",
            ber.sequence(
                ber.octets("o"),
                ber.sequence(ber.octets("univ", 0x80), ber.octets("of", 0x81), ber.octets("mich", 0x81)),
                tag=0xA4,
            ),
        ),
        ("(mail=*@acme.test)", ber.sequence(ber.octets("mail"), ber.sequence(ber.octets("@acme.test", 0x82)), tag=0xA4)),
        ("(seeAlso=)", equality("seeAlso", b"")),
        ("(cn:caseExactMatch:=Fred Flintstone)", extensible("caseExactMatch", "cn", b"Fred Flintstone")),
        ("(cn:=Betty Rubble)", extensible(None, "cn", b"Betty Rubble")),
        ("(sn:dn:2.4.6.8.10:=Barney Rubble)", extensible("2.4.6.8.10", "sn", b"Barney Rubble", True)),
        ("(o:dn:=Ace Industry)", extensible(None, "o", b"Ace Industry", True)),
        ("(:1.2.3:=Wilma Flintstone)", extensible("1.2.3", None, b"Wilma Flintstone")),
        ("(:DN:2.4.6.8.10:=Dino)", extensible("2.4.6.8.10", None, b"Dino", True)),
        (
            "(o=Parens R Us \\28for all your parenthetical needs\\29)",
            equality("o", b"Parens R Us (for all your parenthetical needs)"),
        ),
        ("(cn=*\\2A*)", ber.sequence(ber.octets("cn"), ber.sequence(ber.octets("*", 0x81)), tag=0xA4)),
        ("(filename=C:\\5cMyFile)", equality("filename", b"C:\\MyFile")),
        ("(bin=\\00\\00\\00\\04)", equality("bin", b"\x00\x00\x00\x04")),
        ("(sn=Lu\\c4\\8di\\c4\\87)", equality("sn", "Lučić".encode())),
        ("(1.3.6.1.4.1.1466.0=\\04\\02\\48\\69)", equality("1.3.6.1.4.1.1466.0", b"\x04\x02\x48\x69")),
        ("(objectClass=*)", ber.octets("objectClass", 0x87)),
        ("(uSNChanged>=17)", equality("uSNChanged", b"17", 0xA5)),
        ("(a<=b)", equality("a", b"b", 0xA6)),
        ("(a~=b)", equality("a", b"b", 0xA8)),
        ("(cn;lang-tr=Ümit)", equality("cn;lang-tr", "Ümit".encode())),
        ("(&)", b"\xa0\x00"),
        ("(|)", b"\xa1\x00"),
        (
            "(!(userAccountControl:1.2.840.113556.1.4.803:=2))",
            ber.tlv(0xA2, extensible("1.2.840.113556.1.4.803", "userAccountControl", b"2")),
        ),
    ],
)
def test_filters_are_encoded(text: str, encoded: bytes) -> None:
    assert encode_filter(text) == encoded


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cn=x",
        "(cn=x",
        "(cn=x))",
        "(cn=x)(cn=y)",
        "((cn=x))",
        "(cn)",
        "(=x)",
        "(:=x)",
        "(cn:rule=x)",
        "(cn=(x))",
        "(cn=a\x00b)",
        "(cn=\\zz)",
        "(cn=\\4)",
        "(cn=a**b)",
        "(cn>=a*)",
        "(c n=x)",
        "(!)",
        "(!(a=b)(c=d))",
        "(&(a=b)",
        "(&(a=b)x)",
        " (cn=x)",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(MessageError) as refused:
        encode_filter(text)
    assert refused.value.code == "ldap_filter"


def test_deep_or_endless_filters_are_refused() -> None:
    assert encode_filter("(!" * 31 + "(a=b)" + ")" * 31)
    for text in ("(!" * 5000 + "(a=b)" + ")" * 5000, f"(|{'(a=b)' * 5000})", f"(a={'x' * 70_000})"):
        with pytest.raises(MessageError):
            encode_filter(text)


@given(st.text())
def test_a_name_cannot_change_the_filter_that_it_stands_in(name: str) -> None:
    """Whoever types `*)(uid=*` as a login name looks for just that."""
    name = name.encode(errors="ignore").decode()
    assert encode_filter(f"(uid={escape(name)})") == equality("uid", name.encode())


@given(st.binary())
def test_octets_are_looked_for_as_they_are(value: bytes) -> None:
    assert encode_filter(f"(objectGUID={escape(value)})") == equality("objectGUID", value)


@given(st.text(alphabet="()&|!=*\\:<>~abc0.;- ", max_size=40))
def test_random_text_ends_in_a_refusal_or_a_filter(text: str) -> None:
    try:
        encoded = encode_filter(text)
    except MessageError:
        return
    _, start, stop = ber.head(encoded, 0, len(encoded))
    assert stop == len(encoded)
    assert start <= stop


def test_the_short_way_and_the_parser_agree() -> None:
    for text in ("(uid=ada)", "(uid=)", "(cn;lang-tr=Ümit Öz)", "(a=b=c)", "(a=<>)"):
        parser = filters._Parser(text)
        assert encode_filter(text) == parser.filter(filters.MAX_DEPTH)
