"""Tests that a policy carries: what they give, what they expect, and what a failing one says."""

from typing import Any

import pytest

from tests.flows.world import floor, rule
from wardgate.errors import SettingsError
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.policy.rules import Policy, compile_policy
from wardgate.policy.settings import (
    AcceptWeakerSettings,
    ActionEntrySettings,
    ActionSettings,
    FailSettings,
    LifetimesSettings,
    LifetimesThenSettings,
    PolicySettings,
    PolicyTestSettings,
    RuleSettings,
    SelfServiceGoalSettings,
    SelfServiceSettings,
    ThenSettings,
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
    [unsaid] = run_tests(of, [PolicyTestSettings(given={}, expect={"rule": "rest"})])
    assert not unsaid.passed
    assert "say when" in unsaid.difference
    assert zone_of(POLICY).key == "UTC"


def test_a_unit_in_nobodys_tree_is_no_silent_mismatch() -> None:
    """Without a directory no `ou` matches: a test that expects a refusal would pass for the wrong reason."""
    of = policy(rule("sales", ["password"], when={"ou": ["ad:OU=sales,DC=t"]}))
    attributes = {"distinguishedName": "CN=Ada,OU=Sales,DC=t"}
    [unsaid] = run_tests(of, [PolicyTestSettings(given={"attributes": attributes}, expect={"denied": "no_rule"})])
    assert not unsaid.passed
    assert "given.directory" in unsaid.difference
    assert passes({"attributes": attributes, "directory": "ad"}, {"rule": "sales"}, of)
    assert passes({"attributes": attributes, "realm": "acme"}, {"denied": "no_rule"}, of)
    assert passes({"user": "ada"}, {"denied": "no_rule"}, of)


def test_an_address_is_given_in_any_of_its_writings() -> None:
    of = policy(rule("here", ["password"], when={"client": "2001:db8::7"}))
    assert passes({"from": "2001:DB8:0::7"}, {"rule": "here"}, of)
    assert passes({"groups": "ad:staff", "from": "::ffff:203.0.113.9"}, {"denied": "rule_denies"})


FOLLOWED = compile_policy(
    PolicySettings(
        name="p",
        rules=(
            RuleSettings(name="out", when={"user": "eve"}, then=ThenSettings(deny=True, text={"en": "No."})),
            RuleSettings(name="in", then=ThenSettings(steps=(("password",),), text={"en": "Hi", "tr": "Selam"})),
        ),
        actions=(
            ActionSettings(
                name="a",
                then=(
                    ActionEntrySettings(enrol="totp", level="forced", deferrals=2),
                    ActionEntrySettings(confirm="contact", every="180d", remind="48h"),
                ),
            ),
        ),
        lifetimes=(LifetimesSettings(name="l", then=LifetimesThenSettings(session="4h", code=90)),),
        fail=FailSettings(directory_down="closed"),
        self_service=SelfServiceSettings(
            reset=SelfServiceGoalSettings(accept_weaker=AcceptWeakerSettings(reason="move", until="2027-06-30"))
        ),
    ),
    KINDS,
    STRONG_KINDS,
)


@pytest.mark.parametrize(
    ("expect", "wrong"),
    [
        ({"lifetimes": {"session": "240m"}}, {"lifetimes": {"session": "8h"}}),
        ({"lifetimes": {"name": "l", "code": "90s", "idle": None, "trusted_device": "7d"}}, {"lifetimes": {"name": "m"}}),
        ({"lifetimes": {"session": 14400}}, {"lifetimes": {"idle": "15m"}}),
        (
            {"demands": ["enrol:totp", {"action": "confirm:contact", "level": "optional", "every": "180d", "remind": "2d"}]},
            {"demands": ["enrol:totp", {"action": "confirm:contact", "level": "forced"}]},
        ),
        (
            {"demands": [{"action": "enrol:totp", "level": "forced", "deferrals": 2, "every": 0}, "confirm:contact"]},
            {"demands": [{"action": "enrol:totp", "deferrals": 3}, "confirm:contact"]},
        ),
        ({"demands": ["enrol:totp", "confirm:contact"]}, {"demands": {"action": "enrol:totp"}}),
        ({"text": {"tr": "Selam", "en": "Hi"}}, {"text": {"en": "Hi"}}),
        ({"fail": {"directory_down": "closed"}}, {"fail": {"directory_down": "closed", "gateway_down": "skip"}}),
        ({"weaker_until": None}, {"weaker_until": "2027-06-30"}),
    ],
)
def test_the_values_of_what_follows_can_be_expected(expect: dict[str, Any], wrong: dict[str, Any]) -> None:
    assert passes({}, expect, FOLLOWED)
    assert not passes({}, wrong, FOLLOWED)


def test_what_a_refusal_tells_and_how_long_recovery_may_be_weaker_can_be_expected() -> None:
    assert passes({"user": "eve"}, {"denied": "rule_denies", "text": {"en": "No."}}, FOLLOWED)
    assert not passes({"user": "eve"}, {"fail": {"directory_down": "closed"}}, FOLLOWED)
    assert passes({"goal": "reset"}, {"weaker_until": "2027-06-30"}, FOLLOWED)
    assert passes({"goal": "reset", "at": "2027-07-01T02:59+03:00"}, {"weaker_until": "2027-06-30"}, FOLLOWED)
    assert passes({"goal": "reset", "at": "2027-07-01T03:00"}, {"weaker_until": None}, FOLLOWED)
    test = PolicyTestSettings(given={}, expect={"lifetimes": {"session": "8h", "code": 90}})
    [tested] = run_tests(FOLLOWED, [test])
    assert tested.difference == "expected lifetimes {session: 8h, code: 90s}; came lifetimes {session: 4h, code: 90s}"


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
        ({"from": "203.0.113.300"}, {"rule": "x"}),
        ({"from": "10.0.0.0/8"}, {"rule": "x"}),
        ({}, {"lifetimes": {}}),
        ({}, {"lifetimes": {"sesion": "4h"}}),
        ({}, {"lifetimes": {"session": "soon"}}),
        ({}, {"lifetimes": {"name": 5}}),
        ({}, {"demands": [{"level": "forced"}]}),
        ({}, {"demands": [{"action": "confirm:contact", "level": "of"}]}),
        ({}, {"demands": [{"action": "confirm:contact", "every": "soon"}]}),
        ({}, {"demands": [{"action": "confirm:contact", "deferals": 3}]}),
        ({}, {"text": "Hi"}),
        ({}, {"text": {"en": 5}}),
        ({}, {"fail": {"gateway_down": "grace"}}),
        ({}, {"fail": {}}),
        ({}, {"weaker_until": "soon"}),
        ({}, {"weaker_until": 5}),
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
