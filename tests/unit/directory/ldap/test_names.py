"""Distinguished names: the examples of RFC 4514 section 4, escaping, and telling whether two are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.directory.ldap.names import escape_value, is_under, normal_dn, parse_dn, same_dn
from wardgate.errors import MessageError


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("UID=jsmith,DC=example,DC=net", ((("uid", "jsmith"),), (("dc", "example"),), (("dc", "net"),))),
        ("OU=Sales+CN=J.  Smith,DC=net", ((("cn", "J.  Smith"), ("ou", "Sales")), (("dc", "net"),))),
        ('CN=James \\"Jim\\" Smith\\, III,DC=net', ((("cn", 'James "Jim" Smith, III'),), (("dc", "net"),))),
        ("CN=Before\\0dAfter", ((("cn", "Before\rAfter"),),)),
        ("1.3.6.1.4.1.1466.0=#04024869", ((("1.3.6.1.4.1.1466.0", "#04024869"),),)),
        ("CN=Lu\\C4\\8Di\\C4\\87", ((("cn", "Lučić"),),)),
        ('CN="Smith, Pat" , O = Acme', ((("cn", "Smith, Pat"),), (("o", "Acme"),))),
        ("2.5.4.3=x", ((("cn", "x"),),)),
        ("CN=a\\ ,O=b", ((("cn", "a "),), (("o", "b"),))),
        ("CN=", ((("cn", ""),),)),
        ("", ()),
    ],
)
def test_names_are_read(text: str, steps: object) -> None:
    assert parse_dn(text) == steps


@pytest.mark.parametrize(
    "text",
    ["x", "=x", "CN=a,", ",CN=a", "CN=a\\", "CN=a\\z", 'CN="a', 'CN="a"b', "CN=#0", "CN=#04 x", "CN=a<b", "CN=\\ff", "c n=a"],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(MessageError) as refused:
        parse_dn(text)
    assert refused.value.code == "ldap_dn"


def test_equal_names_are_equal() -> None:
    assert same_dn("CN=Smith\\, Pat,OU=Staff,DC=acme,DC=test", 'cn="smith, pat" , ou=staff,dc=ACME,dc=test')
    assert same_dn("cn=a  b,o=c", "CN=A B,O=C")
    assert same_dn("cn=a+uid=b,o=c", "UID=b+CN=a,O=c")
    assert not same_dn("cn=a,o=c", "cn=a\\,o=c")
    assert not same_dn("cn=a\\2cou\\3db,o=c", "cn=a,ou=b,o=c")


def test_a_name_under_a_base_is_told_from_one_that_only_ends_alike() -> None:
    assert is_under("CN=a,OU=Staff,DC=acme,DC=test", "dc=ACME,dc=test")
    assert is_under("dc=acme,dc=test", "dc=acme,dc=test")
    assert is_under("cn=a", "")
    assert not is_under("cn=a,dc=notacme,dc=test", "dc=acme,dc=test")
    assert not is_under("cn=a\\,dc=acme,dc=test", "dc=acme,dc=test")
    assert not is_under("dc=test", "dc=acme,dc=test")


@given(st.text(max_size=50))
def test_a_value_cannot_change_the_name_that_it_stands_in(value: str) -> None:
    value = value.encode(errors="ignore").decode()
    assert parse_dn(f"cn={escape_value(value)},dc=test") == ((("cn", value),), (("dc", "test"),))


@given(st.text(alphabet='cn=,+;"\\#<> a0f', max_size=40))
def test_random_text_ends_in_a_refusal_or_a_name(text: str) -> None:
    try:
        normal = normal_dn(text)
    except MessageError:
        return
    assert normal_dn(normal) == normal
