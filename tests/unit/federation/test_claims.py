"""What a relying party is told about a person."""

import pytest

from wardgate.errors import SettingsError
from wardgate.federation.claims import (
    MAX_TOTAL_CHARS,
    MAX_VALUE_CHARS,
    MAX_VALUES,
    ClaimRule,
    Pattern,
    Person,
    Values,
    check_source,
    check_template,
    released,
)
from wardgate.federation.saml.values import Attribute

ADA = Person(
    subject="pairwise",
    user_name="ada",
    realm="acme",
    directory="acme-ad",
    display_name="Ada Lovelace",
    mail="ada@acme.test",
    phone="+905550001122",
    groups=("Staff", "wiki-admins", "wiki-readers"),
    group_aliases={"wiki-admins": ("CN=wiki-admins,OU=Groups,DC=acme,DC=test", "S-1-5-21-1")},
    attributes={"department": ("Engines",), "memberNumber": ("7", "8")},
)


def told(values: Values, person: Person = ADA) -> tuple[str, ...]:
    claims = released([ClaimRule("it", values)], person).claims
    return claims[0].values if claims else ()


def patterns(*texts: str) -> tuple[Pattern, ...]:
    return tuple(Pattern.of(text) for text in texts)


def mapping(**texts: str) -> tuple[tuple[Pattern, str], ...]:
    return tuple((Pattern.of(text), value) for text, value in texts.items())


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("subject", ("pairwise",)),
        ("user_name", ("ada",)),
        ("display_name", ("Ada Lovelace",)),
        ("mail", ("ada@acme.test",)),
        ("phone", ("+905550001122",)),
        ("language", ()),
        ("realm", ("acme",)),
        ("directory", ("acme-ad",)),
        ("groups", ("Staff", "wiki-admins", "wiki-readers")),
        ("attribute.Department", ("Engines",)),
        ("attribute.memberNumber", ("7", "8")),
        ("attribute.none", ()),
    ],
)
def test_a_claim_takes_its_values_from_a_source(source: str, values: tuple[str, ...]) -> None:
    check_source(source)
    assert told(Values(source=source)) == values


def test_a_claim_keeps_its_name_friendly_name_and_format_and_the_order_of_the_rules() -> None:
    rules = [ClaimRule("urn:oid:1", Values(source="mail"), "mail", "uri"), ClaimRule("a", Values(source="user_name"))]
    assert released(rules, ADA).claims[0] == Attribute("urn:oid:1", ("ada@acme.test",), "mail", "uri")
    assert [claim.name for claim in released(rules, ADA).claims] == ["urn:oid:1", "a"]


def test_only_groups_that_fit_a_pattern_are_told() -> None:
    assert told(Values(source="groups", only=patterns("acme-ad:WIKI-*"))) == ("wiki-admins", "wiki-readers")
    assert told(Values(source="groups", only=patterns("acme:*-readers"))) == ("wiki-readers",)


def test_a_group_of_another_directory_with_the_same_name_does_not_fit() -> None:
    local = Person(subject="", user_name="eve", realm="others", directory="local", groups=("wiki-admins",))
    rule = Values(source="groups", mapping=mapping(**{"acme-ad:wiki-admins": "admin"}))
    assert told(rule) == ("admin",)
    assert told(rule, local) == ()


def test_a_group_is_known_by_its_dn_and_its_sid() -> None:
    for name in ("acme-ad:cn=wiki-admins,ou=groups,dc=acme,dc=test", "acme:s-1-5-21-1"):
        assert told(Values(source="groups", only=patterns(name))) == ("wiki-admins",)


def test_a_group_that_is_called_by_the_dn_of_another_does_not_pass_for_it() -> None:
    dn = "cn=wiki-admins,ou=groups,dc=acme,dc=test"
    eve = Person(subject="", user_name="eve", realm="acme", directory="acme-ad", groups=(dn,), group_aliases={dn: ("cn=x,dc=y",)})
    assert told(Values(source="groups", mapping=mapping(**{f"acme-ad:{dn}": "admin"})), eve) == ()


def test_groups_are_mapped_to_roles_and_the_others_are_not_told() -> None:
    rule = Values(source="groups", mapping=mapping(**{"acme-ad:wiki-admins": "admin", "acme-ad:wiki-*": "user"}))
    assert told(rule) == ("admin", "user")


def test_what_no_entry_maps_stays_only_where_the_rule_says_so() -> None:
    entries = mapping(**{"acme-ad:staff": "everybody"})
    assert told(Values(source="groups", mapping=entries, keep_unmapped=True)) == ("everybody", "wiki-admins", "wiki-readers")


def test_groups_may_be_told_with_their_directory() -> None:
    assert told(Values(source="groups", only=patterns("*:staff"), qualified=True)) == ("acme-ad:Staff",)


def test_values_that_are_mapped_to_one_role_are_told_once() -> None:
    assert told(Values(source="groups", mapping=mapping(**{"acme-ad:*": "user"}))) == ("user",)


def test_a_template_is_filled_in_one_pass() -> None:
    eve = Person(subject="", user_name="{mail}", realm="acme", directory="d", mail="eve@acme.test")
    assert told(Values(template="{user_name}@x"), eve) == ("{mail}@x",)
    assert told(Values(template="{display_name} <{mail}>")) == ("Ada Lovelace <ada@acme.test>",)


def test_a_template_with_nothing_to_put_in_is_not_told() -> None:
    assert told(Values(template="{attribute.title} {user_name}")) == ()


def test_a_constant_is_told_as_it_is() -> None:
    assert told(Values(constant=("a", "{mail}"))) == ("a", "{mail}")


def test_a_request_may_ask_for_less_and_never_for_more() -> None:
    rules = [ClaimRule("mail", Values(source="mail")), ClaimRule("name", Values(source="display_name"))]
    assert [each.name for each in released(rules, ADA, frozenset({"name", "phone"})).claims] == ["name"]


@pytest.mark.parametrize(
    ("text", "fitting", "other"),
    [
        ("staff", "staff", "staffs"),
        ("*", "", None),
        ("a*", "abc", "ba"),
        ("*a", "cba", "ab"),
        ("a*b*c", "a-b-c", "a-c-b"),
        ("aa*aa", "aaaa", "aaa"),
        ("*a*", "bab", "bbb"),
        ("İ*", "i̇zmir", "ankara"),
    ],
)
def test_a_star_stands_for_anything(text: str, fitting: str, other: str | None) -> None:
    assert Pattern.of(text).fits(fitting)
    assert other is None or not Pattern.of(text).fits(other)


def test_a_pattern_of_many_stars_keeps_nobody_busy() -> None:
    assert not Pattern.of("*a" * 100 + "b").fits("a" * 50_000)


# --- what must not be told ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["userPassword", "unicodePwd", "ms-Mcs-AdmPwd", "sambaNTPassword", "userPassword;lang-en", "PASSWORD"]
)
def test_an_attribute_that_holds_a_password_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="secret"):
        check_source(f"attribute.{name}")
    with pytest.raises(SettingsError, match="secret"):
        check_template(f"{{attribute.{name}}}")


@pytest.mark.parametrize("source", ["", "password", "code", "attribute.", "mails", "user"])
def test_what_is_no_source_is_refused_with_those_that_are(source: str) -> None:
    with pytest.raises(SettingsError, match=r"user_name.*groups.*attribute\.NAME"):
        check_source(source)


@pytest.mark.parametrize("template", ["plain", "{mail", "mail}", "{mail}}", "{{mail}}", "{}", "{groups}", "{password}"])
def test_a_template_that_cannot_be_filled_is_refused(template: str) -> None:
    with pytest.raises(SettingsError):
        check_template(template)


@pytest.mark.parametrize("value", ["a\x00b", "\x0b", "\ufffe", "\ud800"])
def test_what_xml_cannot_hold_is_left_out_and_said_so(value: str) -> None:
    eve = Person(subject="", user_name="eve", realm="r", directory="d", attributes={"x": (value, "good")})
    found = released([ClaimRule("it", Values(source="attribute.x"))], eve)
    assert found.claims[0].values == ("good",)
    assert found.left_out == ("it: a value holds characters that XML cannot hold",)


def test_a_value_that_is_too_long_is_left_out() -> None:
    eve = Person(subject="", user_name="e" * (MAX_VALUE_CHARS + 1), realm="r", directory="d")
    assert released([ClaimRule("it", Values(source="user_name"))], eve).left_out == ("it: a value is longer than 2048 characters",)


def test_thousands_of_groups_do_not_make_a_response_that_no_browser_carries() -> None:
    many = Person(subject="", user_name="e", realm="r", directory="d", groups=tuple(f"group-{n:06}" for n in range(20_000)))
    found = released([ClaimRule("it", Values(source="groups"))], many)
    assert len(found.claims[0].values) == MAX_VALUES
    long = Person(subject="", user_name="e", realm="r", directory="d", groups=tuple(f"{n:04}" * 100 for n in range(900)))
    found = released([ClaimRule("it", Values(source="groups"))], long)
    assert sum(map(len, found.claims[0].values)) <= MAX_TOTAL_CHARS
    assert found.left_out
