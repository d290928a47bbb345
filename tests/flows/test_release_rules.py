"""Reply attributes of an accepted login: what an application's rules give to whom, and what they must never give."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.engine.outcome import Granted
from wardgate.engine.settings import ReleaseRuleSettings
from wardgate.errors import SettingsError
from wardgate.radius.attributes import AttributeValueError
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.packet import Attribute, vendor_attribute
from wardgate.radius.release import MAX_ATTRIBUTES, Release, compile_release, compile_vendor_release

FILTER_ID, CLASS, SESSION_TIMEOUT, FRAMED_IP = 11, 25, 27, 8
PALO_ALTO, USER_GROUP = 25461, 5


def grant(**changes: Any) -> Granted:
    fields: dict[str, Any] = {
        "subject_id": "s1",
        "user_name": "ada",
        "directory": "acme-ad",
        "realm": "acme",
        "display_name": "Ada Lovelace",
        "mail": "ada@acme.test",
        "groups": ("vpn-users", "Staff", "engineers"),
        "attributes": {"department": ("sales", "support"), "Office": ("Izmir",), "empty": ()},
        "factors": ("password", "totp"),
        "assurance": 2,
        "application": "vpn",
        "reference": "ABCD1234",
    }
    return Granted(**{**fields, **changes})


def compiled(*rules: tuple[Mapping[str, object], Mapping[str, object]]) -> Release:
    return compile_release([ReleaseRuleSettings(when=when, add=add) for when, add in rules], BUILT_IN)


def added(add: Mapping[str, object], when: Mapping[str, object] | None = None, **changes: Any) -> list[Attribute]:
    attributes, left_out = compiled((when or {}, add)).attributes(grant(**changes))
    assert left_out == []
    return attributes


def texts(attributes: Sequence[Attribute]) -> list[str]:
    return [value.decode() for _, value in attributes]


# --- what is given ---------------------------------------------------------------------------------------------------


def test_all_rules_that_match_add_in_their_order() -> None:
    release = compiled(
        ({}, {"Filter-Id": "first"}),
        ({"group": ["acme-ad:nobody"]}, {"Filter-Id": "never"}),
        ({"group": ["acme-ad:staff"]}, {"Class": "second", "Filter-Id": ["third", "fourth"]}),
        ({}, {"Filter-Id": "fifth"}),
    )
    attributes, left_out = release.attributes(grant())
    assert texts(attributes) == ["first", "second", "third", "fourth", "fifth"]
    assert [number for number, _ in attributes] == [FILTER_ID, CLASS, FILTER_ID, FILTER_ID, FILTER_ID]
    assert left_out == []


@pytest.mark.parametrize(
    ("reference", "value", "attribute"),
    [
        ("Filter-Id", "x", (FILTER_ID, b"x")),
        ("filter-id", "x", (FILTER_ID, b"x")),
        ("11", "x", (FILTER_ID, b"x")),
        ("Session-Timeout", 3600, (SESSION_TIMEOUT, (3600).to_bytes(4, "big"))),
        ("Session-Timeout", "3600", (SESSION_TIMEOUT, (3600).to_bytes(4, "big"))),
        ("Framed-IP-Address", "10.1.2.3", (FRAMED_IP, bytes((10, 1, 2, 3)))),
        ("PaloAlto-User-Group", "x", vendor_attribute(PALO_ALTO, USER_GROUP, b"x")),
        ("25461:5", "x", vendor_attribute(PALO_ALTO, USER_GROUP, b"x")),
        ("25461/5", "x", vendor_attribute(PALO_ALTO, USER_GROUP, b"x")),
        ("9999:7:integer", 9, vendor_attribute(9999, 7, (9).to_bytes(4, "big"))),
        ("9999:7", "0x0a0b", vendor_attribute(9999, 7, b"\x0a\x0b")),
    ],
)
def test_attributes_by_name_and_by_number_of_every_type(reference: str, value: object, attribute: Attribute) -> None:
    assert added({reference: value}) == [attribute]


def test_palo_altos_admin_role_is_sent_as_its_manual_has_it() -> None:
    [(number, value)] = added({"PaloAlto-Admin-Role": "superuser"})
    assert bytes((number, len(value) + 2)) + value == bytes.fromhex("1a 11 00 00 63 75 01 0b 73 75 70 65 72 75 73 65 72")


def test_each_place_is_filled_from_the_grant() -> None:
    add = {"Filter-Id": ["{user}", "{name}", "{mail}", "{attribute.department}", "u={user};o={attribute.Office};"]}
    assert texts(added(add)) == ["ada", "Ada Lovelace", "ada@acme.test", "sales", "u=ada;o=Izmir;"]


def test_an_attributes_name_is_found_in_any_case() -> None:
    """Directories and conditions compare them without case."""
    assert texts(added({"Filter-Id": ["{attribute.OFFICE}", "{attribute.Department}"]})) == ["Izmir", "sales"]


# --- groups ----------------------------------------------------------------------------------------------------------


def test_a_group_that_the_rule_names_is_given_by_its_own_name() -> None:
    assert texts(added({"Class": "OU={group};"}, {"group": ["acme-ad:staff", "acme-ad:nobody"]})) == ["OU=Staff;"]
    assert texts(added({"Class": "{group}"}, {"group": "acme:vpn-users"})) == ["vpn-users"]


def test_without_named_groups_all_are_given() -> None:
    assert texts(added({"Class": "{group}"})) == ["vpn-users", "Staff", "engineers"]


@pytest.mark.parametrize(
    "when",
    [
        {"any": [{"group": ["acme-ad:staff"]}, {"user": "nobody"}]},
        {"all": [{"group": ["acme-ad:staff"]}, {"user": "ada"}]},
        {"all": [{"any": [{"group": "acme-ad:staff"}]}], "attribute": {"department": ["sales"]}},
        {"group": ["acme-ad:staff"], "not": {"group": ["acme-ad:guests"]}},
    ],
)
def test_a_rule_that_names_one_group_deep_inside_does_not_give_away_all(when: Mapping[str, object]) -> None:
    assert texts(added({"Class": "{group}"}, when)) == ["Staff"]


def test_a_group_of_another_directory_with_the_same_name_is_not_given() -> None:
    release = compiled(({"group": ["acme-ad:domain admins"]}, {"PaloAlto-Admin-Role": "superuser", "Class": "{group}"}))
    impostor = grant(directory="partners", realm="partners", groups=("Domain Admins",))
    assert release.attributes(impostor) == ([], [])
    assert len(release.attributes(grant(groups=("Domain Admins",)))[0]) == 2


def test_of_the_groups_that_a_rule_names_only_those_of_the_users_own_directory_are_given() -> None:
    release = compiled(({"group": ["partners:guests", "acme-ad:admins"]}, {"Class": "{group}"}))
    partner = grant(directory="partners", realm="outside", groups=("guests", "admins"))
    assert texts(release.attributes(partner)[0]) == ["guests"]


# --- values with nothing or too much to put in -----------------------------------------------------------------------


@pytest.mark.parametrize("template", ["{mail}", "x{mail}x", "{attribute.empty}", "{attribute.absent}", "{name}", "{user}-{mail}"])
def test_a_value_whose_place_is_empty_is_left_out_whole(template: str) -> None:
    assert added({"Filter-Id": [template, "kept"]}, mail=None, display_name="") == [(FILTER_ID, b"kept")]


def test_a_user_without_groups_gets_none() -> None:
    assert added({"Class": "{group}"}, groups=()) == []


@pytest.mark.parametrize(
    "value", ["{mail}", "{group}", "{attribute.department}", "{user}{user}", "{name}", "{", "}", "{}", "\\1", "%s"]
)
def test_a_value_that_looks_like_a_place_is_not_filled_again(value: str) -> None:
    """A group named `{mail}`, or `{attribute.secret}`, must not read what the operator did not release."""
    assert texts(added({"Class": "{group}"}, groups=(value,))) == [value]
    assert texts(added({"Class": "<{user}>"}, user_name=value)) == [f"<{value}>"]
    assert texts(added({"Class": "{attribute.x}/{group}"}, attributes={"x": (value,)}, groups=(value,))) == [f"{value}/{value}"]


@pytest.mark.parametrize("reference", ["Class", "9999:7"])
@pytest.mark.parametrize("value", ["0x4f553d41646d696e733b", "0X4F55", "0x", "0xzz", "0x4"])
def test_a_group_or_attribute_written_as_octets_stays_text(reference: str, value: str) -> None:
    """Who may name a group, or edit his own department, must not write `OU=Admins;` into Class by its octets."""
    for template, changes in (("{group}", {"groups": (value,)}), ("{attribute.x}", {"attributes": {"x": (value,)}})):
        [(_, octets)] = added({reference: template}, **changes)
        assert octets.endswith(value.encode())


def test_an_operator_may_write_octets_with_a_place_in_them() -> None:
    assert added({"Class": "0x{attribute.x}"}, attributes={"x": ("0a0b",)}) == [(CLASS, b"\x0a\x0b")]
    assert added({"Class": "0x0a0b"}) == [(CLASS, b"\x0a\x0b")]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40))
def test_whatever_a_group_is_called_it_is_given_as_it_is(name: str) -> None:
    assert texts(added({"Class": "{group}"}, groups=(name,))) == [name]


@pytest.mark.parametrize(("reference", "limit"), [("Filter-Id", 253), ("PaloAlto-User-Group", 247)])
def test_a_value_that_is_too_long_is_left_out_with_a_note(reference: str, limit: int) -> None:
    release = compiled(({}, {reference: "{user}"}))
    fits, no_note = release.attributes(grant(user_name="a" * limit))
    assert (len(fits), no_note) == (1, [])
    none, [note] = release.attributes(grant(user_name="a" * (limit + 1)))
    assert none == []
    assert reference in note
    assert "a" * limit not in note


def test_a_value_of_another_type_is_left_out_with_a_note() -> None:
    release = compiled(({}, {"Session-Timeout": "{attribute.limit}", "Framed-IP-Address": "{attribute.ip}", "Filter-Id": "kept"}))
    attributes, left_out = release.attributes(grant(attributes={"limit": ("soon",), "ip": ("10.0.0.300",)}))
    assert attributes == [(FILTER_ID, b"kept")]
    assert len(left_out) == 2
    attributes, left_out = release.attributes(grant(attributes={"limit": ("60",), "ip": ("10.0.0.3",)}))
    assert (len(attributes), left_out) == (3, [])


def test_a_user_in_a_thousand_groups_gets_a_hundred_attributes_and_a_note() -> None:
    attributes, left_out = compiled(({}, {"Class": "{group}"})).attributes(grant(groups=tuple(f"g{n}" for n in range(1000))))
    assert len(attributes) == MAX_ATTRIBUTES
    assert left_out == [f"more than {MAX_ATTRIBUTES} attributes"]


# --- what an operator cannot write -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    [
        "State",
        "24",
        "Message-Authenticator",
        "80",
        "EAP-Message",
        "79",
        "Proxy-State",
        "33",
        "User-Password",
        "2",
        "311:16",
        "MS-MPPE-Recv-Key",
    ],
)
def test_attributes_that_the_server_sets_itself_are_refused(reference: str) -> None:
    for value in ("0x00", "{user}"):
        with pytest.raises(SettingsError, match="set by the server itself"):
            compiled(({}, {reference: value}))


@pytest.mark.parametrize(
    "add",
    [
        {"No-Such-Attribute": "x"},
        {"Session-Timeout": "soon"},
        {"Session-Timeout": 2**32},
        {"Session-Timeout": -1},
        {"Framed-IP-Address": "10.0.0.300"},
        {"Filter-Id": ""},
        {"Filter-Id": "a" * 254},
        {"Filter-Id": "a\0b"},
        {"Filter-Id": True},
        {"Filter-Id": None},
        {"Filter-Id": {"a": 1}},
        {"Filter-Id": ["a", ["b"]]},
        {"Filter-Id": 1.5},
        {"25461:300": "x"},
        {"0:5": "x"},
        {"Tunnel-Password": "x"},
    ],
)
def test_a_value_that_cannot_be_sent_is_refused_when_the_rule_is_written(add: Mapping[str, object]) -> None:
    with pytest.raises(SettingsError):
        compiled(({}, add))


@pytest.mark.parametrize("place", ["{password}", "{code}", "{secret}", "{mial}", "{groups}", "{mail.x}", "{group.x}"])
def test_a_place_that_does_not_exist_is_refused_when_the_rule_is_written(place: str) -> None:
    with pytest.raises(SettingsError, match="nothing to put in"):
        compiled(({}, {"Filter-Id": f"x{place}"}))


@pytest.mark.parametrize(
    "when",
    [
        {"network": ["10.0.0.0/8"]},
        {"not": {"network": ["10.0.0.0/8"]}},
        {"enrolled_not": ["totp"]},
        {"enrolled": ["totp"]},
        {"nas": "hq"},
        {"nas_identifier": "x"},
        {"door": "radius"},
        {"any": [{"user": "ada"}, {"all": [{"nas": "hq"}]}]},
        {"not": {"any": [{"nas": "hq"}]}},
    ],
)
def test_a_condition_on_what_a_grant_does_not_tell_is_refused(when: Mapping[str, object]) -> None:
    """`not: {network: ...}` or `enrolled_not` would hold for everybody, and release what it was to keep back."""
    with pytest.raises(SettingsError):
        compiled((when, {"Filter-Id": "x"}))


def test_conditions_on_the_user_work() -> None:
    for when, holds in [
        ({"user": "ADA"}, True),
        ({"user": "eve"}, False),
        ({"realm": "acme"}, True),
        ({"directory": ["acme-ad", "x"]}, True),
        ({"attribute": {"department": "Support"}}, True),
        ({"attribute": {"department": "sales", "office": "ankara"}}, False),
        ({"not": {"user": "ada"}}, False),
    ]:
        assert bool(added({"Filter-Id": "x"}, when)) is holds, when


def test_a_literal_with_braces_that_is_no_place_is_text() -> None:
    assert texts(added({"Filter-Id": ["{Group}", "{", "{}", "{1}", "OU={ }"]})) == ["{Group}", "{", "{}", "{1}", "OU={ }"]


def test_a_vendors_own_rules_are_held_to_the_same() -> None:
    release = compile_vendor_release(({"when": {}, "add": {"PaloAlto-User-Group": "{group}"}},), BUILT_IN)
    attributes, _ = release.attributes(grant())
    groups = (b"vpn-users", b"Staff", b"engineers")
    assert attributes == [vendor_attribute(PALO_ALTO, USER_GROUP, group) for group in groups]
    with pytest.raises(AttributeValueError):
        compile_vendor_release(({"when": {}, "add": {"Nonsense": "x"}},), BUILT_IN)
