"""Tests that a policy carries: what they give, what they expect, and what a failing one says."""

from typing import Any

import pytest

from tests.flows.world import floor, rule
from wardgate.errors import SettingsError
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.policy.rules import Policy, compile_policy
from wardgate.policy.settings import (
    ActionEntrySettings,
    ActionSettings,
    LifetimesSettings,
    LifetimesThenSettings,
    PolicySettings,
    PolicyTestSettings,
)
from wardgate.policy.testing import check_test, run_tests, zone_of

HOURS = {"days": ["mon-fri"], "from": "08:00", "to": "18:00", "zone": "Europe/Istanbul"}


def policy(*rules: Any, floors: Any = ()) -> Policy:
    return compile_policy(PolicySettings(name="p", rules=tuple(rules), floors=tuple(floors)), KINDS, STRONG_KINDS)


POLICY = policy(
    rule("blocked", when={"network": ["203.0.113.0/24"]}, deny=True),
    rule("staff", ["password"], ["totp", "sms"], when={"group": ["ad:staff"]}),
    rule("sales", ["password"], ["sms"], when={"attribute": {"department": "sales"}, "nas": "hq", "enrolled": "sms"}),
    floors=[floor("admins", strong=2, never=["sms"], when={"group": ["ad:cn=admins, dc=t"]})],
)


def passes(given: dict[str, Any], expect: dict[str, Any], of: Policy = POLICY) -> bool:
    [tested] = run_tests(of, [PolicyTestSettings(given=given, expect=expect)])
    return tested.passed


def test_what_is_given_is_what_is_known() -> None:
    assert passes({"user": "ada"}, {"denied": "no_rule", "rule": None, "steps": []})
    assert passes({"groups": ["AD:Staff"]}, {"rule": "staff", "steps": [["password"], ["totp", "sms"]], "denied": None})
    assert passes({"groups": "ad:staff", "from": "203.0.113.9"}, {"denied": "rule_denies", "rule": "blocked"})
    assert passes({"attributes": {"Department": "Sales"}, "nas": "HQ", "enrolled": ["sms"]}, {"rule": "sales"})
    assert passes({"groups": ["ad:staff", "ad:CN=admins,DC=t"]}, {"floors": ["admins"], "strong_factors": 2, "rule": "staff"})
    assert not passes({"groups": ["ad:staff"]}, {"rule": "sales"})
    assert not passes({"groups": ["ad:staff"]}, {"rule": "staff", "strong_factors": 1})


def test_country_device_and_risk_can_be_given() -> None:
    of = policy(
        rule("risky", when={"risk": ["high"]}, deny=True),
        rule("known", ["password"], when={"known_device": True, "country": "tr"}),
        rule("managed", ["password"], ["sms"], when={"device": {"os": {"matches": "windows 1[01].*"}, "user_domain": "ACME"}}),
        rule("rest", ["password"], ["totp"]),
    )
    assert passes({"risk": "High", "known_device": True, "country": "TR"}, {"denied": "rule_denies"}, of)
    assert passes({"risk": "low", "known_device": True, "country": "tr"}, {"rule": "known"}, of)
    assert passes({"known_device": True, "device": {"os": "Windows 11 Pro", "user_domain": "acme"}}, {"rule": "managed"}, of)
    assert passes({"country": "tr", "device": {"os": "macOS", "user_domain": "acme"}}, {"rule": "rest"}, of)


def test_demands_lifetimes_and_needs_can_be_expected() -> None:
    of = compile_policy(
        PolicySettings(
            name="p",
            rules=(rule("r", ["password"]),),
            floors=(floor("admins", strong=1, when={"group": ["ad:admins"]}),),
            actions=(ActionSettings(name="a", then=(ActionEntrySettings(enrol="totp"), ActionEntrySettings(confirm="contact"))),),
            lifetimes=(LifetimesSettings(name="l", when={"user": "ada"}, then=LifetimesThenSettings(trusted_device="1d")),),
        ),
        KINDS,
        STRONG_KINDS,
    )
    assert passes({}, {"actions": "a", "demands": ["confirm:contact", "enrol:totp"], "lifetimes": None, "trusted_device": "7d"}, of)
    assert passes(
        {"user": "ada", "enrolled": "totp"}, {"demands": "confirm:contact", "trusted_device": 86_400, "lifetimes": "l"}, of
    )
    assert passes({"user": "ada", "groups": ["ad:admins"]}, {"trusted_device": 0}, of)
    assert passes({"goal": "unlock"}, {"needs": {"proofs": 1, "weight": 2, "never": []}}, of)
    assert not passes({"goal": "unlock"}, {"needs": {"proofs": 2}}, of)
    assert passes({}, {"needs": None}, of)


def test_a_failing_test_tells_what_was_expected_and_what_came() -> None:
    test = PolicyTestSettings(
        name="ada", given={"groups": ["ad:staff"]}, expect={"rule": "sales", "steps": [["password"]], "floors": []}
    )
    [tested] = run_tests(POLICY, [test])
    assert tested.name == "ada"
    assert tested.difference == ("expected rule sales, steps [[password]]; came rule staff, steps [[password], [totp, sms]]")


def test_a_moment_is_on_the_clocks_of_the_policy_and_must_be_given() -> None:
    of = policy(rule("hours", ["password"], when={"not": {"at": HOURS}}), rule("rest", ["password"], ["totp"]))
    assert zone_of(of).key == "Europe/Istanbul"
    assert passes({"at": "mon 08:00"}, {"rule": "rest"}, of)
    assert passes({"at": "mon 07:59"}, {"rule": "hours"}, of)
    assert passes({"at": "mon 07:59 UTC"}, {"rule": "rest"}, of)
    assert passes({"at": "sun 12:00"}, {"rule": "hours"}, of)
    with pytest.raises(SettingsError, match="say when"):
        passes({}, {"rule": "rest"}, of)
    assert zone_of(POLICY).key == "UTC"


@pytest.mark.parametrize(
    ("given", "expect"),
    [
        ({}, {}),
        ({"usr": "ada"}, {"rule": "x"}),
        ({"user": 5}, {"rule": "x"}),
        ({"goal": "log in"}, {"rule": "x"}),
        ({"at": "noon"}, {"rule": "x"}),
        ({"groups": ["staff"]}, {"rule": "x"}),
        ({"groups": 5}, {"rule": "x"}),
        ({"attributes": []}, {"rule": "x"}),
        ({"attributes": {"a": 5}}, {"rule": "x"}),
        ({"enrolled": [None]}, {"rule": "x"}),
        ({"country": "Turkey"}, {"rule": "x"}),
        ({"risk": "huge"}, {"rule": "x"}),
        ({"known_device": "yes"}, {"rule": "x"}),
        ({"device": {"colour": "red"}}, {"rule": "x"}),
        ({"device": "Windows"}, {"rule": "x"}),
        ({}, {"trusted_device": "soon"}),
        ({}, {"demands": 5}),
        ({}, {"lifetimes": 5}),
        ({}, {"needs": {}}),
        ({}, {"needs": {"proof": 1}}),
        ({}, {"needs": {"proofs": "two"}}),
        ({}, {"rul": "x"}),
        ({}, {"rule": 5}),
        ({}, {"denied": "yes"}),
        ({}, {"strong_factors": True}),
        ({}, {"steps": [5]}),
        ({}, {"floors": 5}),
    ],
)
def test_what_cannot_be_a_test_is_refused(given: dict[str, Any], expect: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        check_test(PolicyTestSettings(given=given, expect=expect))
