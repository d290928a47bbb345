"""Tests that a policy carries: what they give, what they expect, and what a failing one says."""

from typing import Any

import pytest

from tests.flows.world import floor, rule
from wardgate.errors import SettingsError
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.policy.rules import Policy, compile_policy
from wardgate.policy.settings import PolicySettings, PolicyTestSettings
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
