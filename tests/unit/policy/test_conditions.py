"""Conditions: each compiled form does what its table says, and nothing that is half written opens a door."""

import ipaddress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wardgate.errors import SettingsError
from wardgate.policy.conditions import MAX_DEPTH, MAX_VALUES, compile_condition, parse_condition
from wardgate.policy.facts import Facts
from wardgate.policy.view import View

AT = datetime(2026, 11, 21, tzinfo=UTC)


def facts(**changes: Any) -> Facts:
    fields: dict[str, Any] = {
        "goal": "login",
        "application": "vpn",
        "door": "radius",
        "realm": "acme",
        "directory": "acme-ad",
        "user": "Ada",
        "at": AT,
        "nas": "hq",
        "nas_identifier": "portal",
        "client": "203.0.113.7",
        "groups": frozenset({"acme-ad:vpn-users", "acme:vpn-users"}),
        "attributes": {
            "department": ("Sales", "Support"),
            "empty": (),
            "distinguishedname": (r"CN=Ada\,OU=Admins,OU=Sales,DC=acme,DC=test",),
        },
        "enrolled": frozenset({"totp", "sms"}),
    }
    return Facts(**{**fields, **changes})


DEVICE = {"os": "Microsoft Windows 11 Pro", "hostname": "PC-17", "app_version": "6.2.4", "user_domain": ""}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"country": "TR"}, True),
        ({"country": ["de", "fr"]}, False),
        ({"known_device": True}, True),
        ({"known_device": False}, False),
        ({"risk": ["moderate", "high"]}, True),
        ({"risk": "low"}, False),
        ({"device": {"hostname": "pc-17"}}, True),
        ({"device": {"os": {"matches": "microsoft windows 1[01].*"}, "app_version": {"in": ["6.2.4", "6.3.0"]}}}, True),
        ({"device": {"os": {"equals": "linux"}}}, False),
        ({"device": {"hostname": "pc-17", "user_domain": "acme"}}, False),
        ({"not": {"device": {"user_domain": {"matches": ".*"}}}}, True),
    ],
)
def test_device_country_and_risk(when: Any, expected: bool) -> None:
    known = {"country": "tr", "known_device": True, "risk": "high", "device": DEVICE}
    assert holds(when, **known) is expected


def test_what_is_not_known_of_device_country_and_risk_matches_nothing() -> None:
    """Risk is off, the NAS tells nothing and the address has no country: only `known_device: false` is an answer."""
    for when in ({"country": "tr"}, {"known_device": True}, {"risk": ["safe"]}, {"device": {"os": "windows"}}):
        assert not holds(when)
    assert holds({"known_device": False})


def holds(when: Any, **changes: Any) -> bool:
    return compile_condition(when)(facts(**changes))


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, True),
        ({"group": "acme-ad:vpn-users"}, True),
        ({"group": ["x:y", "ACME-AD:VPN-Users"]}, True),
        ({"group": ["acme:vpn-users"]}, True),
        ({"group": ["staff:vpn-users"]}, False),
        ({"group": ["acme-ad:vpn"]}, False),
        ({"user": "ada"}, True),
        ({"user": ["ADA", "bob"]}, True),
        ({"user": "ad"}, False),
        ({"realm": "ACME"}, True),
        ({"directory": "acme-ad"}, True),
        ({"nas": ["hq"]}, True),
        ({"nas": ["branch"]}, False),
        ({"nas_identifier": "Portal"}, True),
        ({"door": "radius"}, True),
        ({"door": "portal"}, False),
        ({"network": ["203.0.113.0/24"]}, True),
        ({"network": "203.0.113.7"}, True),
        ({"network": ["10.0.0.0/8", "2001:db8::/32"]}, False),
        ({"attribute": {"department": "sales"}}, True),
        ({"attribute": {"Department": ["x", "SUPPORT"]}}, True),
        ({"attribute": {"department": "sales", "office": "izmir"}}, False),
        ({"attribute": {"empty": "x"}}, False),
        ({"attribute": {"department": {"equals": "SALES"}}}, True),
        ({"attribute": {"department": {"in": ["x", "support"]}}}, True),
        ({"attribute": {"department": {"matches": "s.*t|x"}}}, True),
        ({"attribute": {"department": {"matches": "sal"}}}, False),
        ({"attribute": {"nothing": {"matches": ".*"}}}, False),
        ({"application": "VPN"}, True),
        ({"application": ["wifi"]}, False),
        ({"application_kind": "radius"}, True),
        ({"application_kind": "saml"}, False),
        ({"goal": ["reset", "login"]}, True),
        ({"goal": "reset"}, False),
        ({"client": "203.0.113.7"}, True),
        ({"client": "203.0.113.8"}, False),
        ({"ou": "acme-ad:OU=Sales, DC=acme, DC=test"}, True),
        ({"ou": ["acme:dc=acme,dc=test"]}, True),
        ({"ou": ["staff:dc=acme,dc=test"]}, False),
        ({"ou": ["acme-ad:ou=admins,dc=acme,dc=test"]}, False),
        ({"at": {"from": "09:00", "zone": "Europe/Istanbul"}}, False),
        ({"at": {"from": "03:00", "to": "03:01", "zone": "Europe/Istanbul"}}, True),
        ({"at": [{"days": ["sun"], "zone": "UTC"}, {"days": ["sat"], "zone": "UTC"}]}, True),
        ({"enrolled": "totp"}, True),
        ({"enrolled": ["hotp", "sms"]}, True),
        ({"enrolled": ["hotp"]}, False),
        ({"enrolled_not": ["hotp"]}, True),
        ({"enrolled_not": ["hotp", "sms"]}, False),
        ({"not": {"user": "ada"}}, False),
        ({"not": {"user": "bob"}}, True),
        ({"any": [{"user": "bob"}, {"door": "radius"}]}, True),
        ({"any": [{"user": "bob"}, {"door": "portal"}]}, False),
        ({"all": [{"user": "ada"}, {"door": "radius"}]}, True),
        ({"all": [{"user": "ada"}, {"door": "portal"}]}, False),
        ({"user": "ada", "door": "portal"}, False),
        ({"user": "ada", "door": "radius"}, True),
    ],
)
def test_each_condition(when: dict[str, object], expected: bool) -> None:
    assert holds(when) is expected


@pytest.mark.parametrize("client", [None, "", "unknown", "00-11-22-33-44-55", "203.0.113.7:443", "2001:db8::1%eth0x"])
def test_who_comes_from_nowhere_is_in_no_network(client: str | None) -> None:
    assert not holds({"network": ["0.0.0.0/0"]}, client=client)


@pytest.mark.parametrize("group", ["domain-admins", "", "vpn users"])
def test_a_group_must_say_whose_it_is(group: str) -> None:
    """A local `domain-admins` is not Active Directory's."""
    with pytest.raises(SettingsError):
        compile_condition({"group": [group]})


@pytest.mark.parametrize(
    "when",
    [
        {"grup": ["a:b"]},
        {"": "x"},
        {"group": []},
        {"group": {}},
        {"group": None},
        {"group": 5},
        {"group": ["a:b", 5]},
        {"group": ["a:b", ""]},
        {"user": []},
        {"user": ""},
        {"user": True},
        {"network": ["10.0.0.1/8"]},
        {"network": ["10.0.0.0/33"]},
        {"network": ["everywhere"]},
        {"network": []},
        {"attribute": {}},
        {"attribute": []},
        {"attribute": "department"},
        {"attribute": {"department": []}},
        {"attribute": {"department": None}},
        {"attribute": {5: "x"}},
        {"attribute": {"department": {}}},
        {"attribute": {"department": {"equals": ["x"]}}},
        {"attribute": {"department": {"is": "x"}}},
        {"attribute": {"department": {"equals": "x", "in": ["x"]}}},
        {"attribute": {"department": {"matches": "(a+)+"}}},
        {"ou": ["ou=sales,dc=acme"]},
        {"goal": "log in"},
        {"network": ["office"]},
        {"at": {}},
        {"at": []},
        {"at": "08:00"},
        {"any": []},
        {"any": {}},
        {"any": "x"},
        {"any": ["x"]},
        {"any": [{"user": "ada"}, {}]},
        {"not": {}},
        {"all": [{}, None]},
        {"not": []},
        {"not": None},
        {"not": "x"},
        {"not": {"grup": "x"}},
        {"user": ["x"] * (MAX_VALUES + 1)},
        {"country": "turkey"},
        {"country": ["t"]},
        {"country": []},
        {"known_device": "true"},
        {"known_device": [True]},
        {"known_device": 1},
        {"risk": "huge"},
        {"risk": []},
        {"device": {}},
        {"device": {"colour": "red"}},
        {"device": {"os": {"matches": "(a+)+"}}},
        {"device": {"os": {"like": "x"}}},
        {"device": "windows"},
    ],
)
def test_what_is_half_written_is_refused_and_does_not_hold_for_everybody(when: Any) -> None:
    with pytest.raises(SettingsError):
        compile_condition(when)


def test_nesting_has_an_end() -> None:
    when: dict[str, object] = {"user": "ada"}
    for _ in range(MAX_DEPTH):
        when = {"not": when}
    assert holds(when) is (MAX_DEPTH % 2 == 0)
    with pytest.raises(SettingsError, match="deep"):
        compile_condition({"not": when})


def test_networks_by_name_stand_beside_literal_ones() -> None:
    networks = {"Office": (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32"))}
    asked = parse_condition({"network": ["office", "10.0.0.0/8"]}, networks)
    for client, expected in (("192.0.2.9", True), ("2001:db8::9", True), ("10.9.9.9", True), ("203.0.113.7", False)):
        assert asked.holds(View(facts(client=client))) is expected
    with pytest.raises(SettingsError, match="name of one of the networks: office"):
        parse_condition({"network": ["offise"]}, networks)


def test_a_comma_in_a_name_of_ones_own_is_no_way_into_another_unit() -> None:
    """Who may choose his own CN could otherwise write the DN of the administrators' unit into it."""
    admins = {"ou": ["acme-ad:ou=admins,ou=sales,dc=acme,dc=test"]}
    assert not holds(admins)
    assert holds(admins, attributes={"dn": (r"CN=Ada\\,OU=Admins,OU=Sales,DC=acme,DC=test",)})
    assert not holds({"ou": ["acme-ad:cn=ada,dc=test"]}, attributes={"dn": ("CN=Ada,DC=test",)})


# --- properties ------------------------------------------------------------------------------------------------------

names = st.sampled_from(["ada", "Ada", "bob", "BOB", "eve"])
simple = st.one_of(
    st.builds(lambda values: {"user": values}, st.lists(names, min_size=1, max_size=3)),
    st.builds(lambda values: {"door": values}, st.lists(st.sampled_from(["radius", "portal"]), min_size=1, max_size=2)),
    st.builds(lambda kinds: {"enrolled": kinds}, st.lists(st.sampled_from(["totp", "sms"]), min_size=1, max_size=2)),
    st.builds(lambda groups: {"group": groups}, st.lists(st.sampled_from(["a:x", "b:x", "a:y"]), min_size=1, max_size=3)),
)
conditions = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(lambda each: {"not": each}, inner),
        st.builds(lambda each: {"any": each}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda each: {"all": each}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=6,
)
everybody = st.builds(
    lambda user, door, enrolled, groups: facts(user=user, door=door, enrolled=enrolled, groups=groups),
    names,
    st.sampled_from(["radius", "portal"]),
    st.frozensets(st.sampled_from(["totp", "sms"])),
    st.frozensets(st.sampled_from(["a:x", "b:x", "a:y"])),
)


@given(conditions, everybody)
def test_not_is_the_opposite(when: dict[str, object], who: Facts) -> None:
    assert compile_condition({"not": when})(who) is not compile_condition(when)(who)


@given(st.lists(conditions, min_size=1, max_size=4), everybody)
def test_any_and_all_are_any_and_all(each: list[dict[str, object]], who: Facts) -> None:
    single = [compile_condition(when)(who) for when in each]
    assert compile_condition({"any": each})(who) is any(single)
    assert compile_condition({"all": each})(who) is all(single)


@given(st.lists(names, min_size=1, max_size=4), names)
def test_a_list_means_one_of_these_in_any_case(wanted: list[str], user: str) -> None:
    assert holds({"user": wanted}, user=user) is (user.lower() in {each.lower() for each in wanted})


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5), st.text(min_size=1, max_size=8))
def test_case_is_the_only_thing_that_does_not_matter(wanted: list[str], user: str) -> None:
    assert holds({"user": wanted}, user=user) is (user.lower() in {each.lower() for each in wanted})


addresses = st.ip_addresses()


@given(addresses, st.lists(st.tuples(addresses, st.integers(0, 128)), min_size=1, max_size=4))
def test_networks_are_those_of_the_standard_library(client: Any, given_networks: list[tuple[Any, int]]) -> None:
    networks = [
        ipaddress.ip_network((address, min(length, address.max_prefixlen)), strict=False) for address, length in given_networks
    ]
    # IPv4 inside IPv6 is refused, as no client's address is told so.
    assume(not any(network.version == 6 and network.network_address.ipv4_mapped for network in networks))
    # A client's IPv4 inside IPv6 is IPv4.
    meant = getattr(client, "ipv4_mapped", None) or client
    expected = any(meant.version == network.version and meant in network for network in networks)
    assert holds({"network": [str(network) for network in networks]}, client=str(client)) is expected


@given(st.dictionaries(st.sampled_from(["department", "office"]), st.lists(names, max_size=3).map(tuple), max_size=2), names, names)
def test_every_named_attribute_must_have_one_of_its_values(held: dict[str, tuple[str, ...]], one: str, other: str) -> None:
    expected = all(
        wanted.lower() in {value.lower() for value in held.get(name, ())}
        for name, wanted in (("department", one), ("office", other))
    )
    assert holds({"attribute": {"Department": one, "office": [other]}}, attributes=held) is expected


@given(st.frozensets(st.sampled_from(["totp", "hotp", "sms"])), st.lists(st.sampled_from(["totp", "hotp", "sms"]), min_size=1))
def test_enrolled_not_means_none_of_these(enrolled: frozenset[str], named: list[str]) -> None:
    assert holds({"enrolled_not": named}, enrolled=enrolled) is not holds({"enrolled": named}, enrolled=enrolled)


@given(conditions, everybody)
def test_a_condition_is_pure(when: dict[str, object], who: Facts) -> None:
    condition = compile_condition(when)
    assert [condition(who) for _ in range(3)] == [condition(who)] * 3


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("2001:0db8::0007", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:cb00:7107", "203.0.113.7"),
    ],
)
def test_a_floor_on_a_client_cannot_be_dodged_because_its_address_was_written_otherwise(written: str, told: str) -> None:
    """A NAS's addresses are read into one form; a text that is compared with them as it stands would never be met."""
    assert compile_condition({"client": written})(facts(client=told))
    assert not compile_condition({"not": {"client": [written, "192.0.2.1"]}})(facts(client=told))


@pytest.mark.parametrize("when", [{"client": "00-11-22-33-44-55"}, {"client": "10.0.0.0/8"}, {"network": "::ffff:10.0.0.0/104"}])
def test_addresses_that_no_client_can_have_are_refused(when: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"when\.(client|network)"):
        compile_condition(when)


def test_a_network_is_met_by_ipv4_inside_ipv6() -> None:
    assert compile_condition({"network": "203.0.113.0/24"})(facts(client="::ffff:203.0.113.7"))
