"""What follows a login: demands in their order, lifetimes, fail modes, words; and what an operator cannot mean."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.flows.world import floor, rule
from tests.unit.policy.test_conditions import facts
from wardgate.errors import SettingsError
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.policy.plan import CLOSED, NO_LIFETIMES, TRUSTED_DEVICE_S, Demand, FailModes, Lifetimes, NoEntry, Plan
from wardgate.policy.rules import Policy, compile_policy, decide
from wardgate.policy.settings import (
    ActionEntrySettings,
    ActionSettings,
    FailSettings,
    FloorSettings,
    FloorThenSettings,
    LifetimesSettings,
    LifetimesThenSettings,
    PolicySettings,
    RuleSettings,
    ThenSettings,
)

ADA = {"user": "ada"}
BOB = {"user": "bob"}


def actions(name: str, *entries: Mapping[str, Any], when: Mapping[str, object] | None = None) -> ActionSettings:
    return ActionSettings(name=name, when=when or {}, then=tuple(ActionEntrySettings(**each) for each in entries))


def lasting(name: str, when: Mapping[str, object] | None = None, **then: Any) -> LifetimesSettings:
    return LifetimesSettings(name=name, when=when or {}, then=LifetimesThenSettings(**then))


def policy(**settings: Any) -> Policy:
    given = {"rules": (rule("all", ["password"]),), **settings}
    return compile_policy(PolicySettings(name="p", **given), KINDS, STRONG_KINDS)


def plan(of: Policy, **changes: Any) -> Plan:
    found = decide(of, facts(**changes))
    assert isinstance(found, Plan)
    return found


def demanded(of: Policy, **changes: Any) -> list[str]:
    return [each.action for each in plan(of, **changes).demands]


def test_the_first_entry_of_actions_that_matches_decides() -> None:
    of = policy(
        actions=(
            actions("bob", {"enrol": "totp"}, when=BOB),
            actions("ada", {"enrol": "hotp", "level": "forced", "deferrals": 0, "remind": 60}, when=ADA),
            actions("all", {"enrol": "sms"}),
        )
    )
    found = plan(of, enrolled=frozenset())
    assert found.actions == "ada"
    assert found.demands == (Demand("enrol:hotp", "forced", ("hotp",), 0, 0, 60),)


def test_every_unmet_entry_is_demanded_in_the_order_of_the_portal() -> None:
    of = policy(
        actions=(
            actions(
                "a",
                {"enrol": "email"},
                {"confirm": "contact", "every": "180d"},
                {"enrol": ("totp", "hotp"), "level": "forced"},
                {"enrol": "recovery_code", "level": "off"},
                {"change": "password", "level": "forced"},
            ),
        )
    )
    assert demanded(of, enrolled=frozenset()) == ["change:password", "enrol:totp+hotp", "confirm:contact", "enrol:email"]
    assert demanded(of, enrolled=frozenset({"hotp", "email"})) == ["change:password", "confirm:contact"]
    assert [each.every_s for each in plan(of).demands if each.action == "confirm:contact"] == [180 * 86_400]


def test_an_entry_without_anything_to_do_shields_from_those_below() -> None:
    of = policy(actions=(actions("nobody", when=ADA), actions("all", {"enrol": "totp"})))
    assert (plan(of).actions, plan(of).demands) == ("nobody", ())


def test_a_policy_without_any_of_this_gives_the_same_plan_again() -> None:
    of = policy()
    assert plan(of) is plan(of)
    assert (plan(of).lifetimes, plan(of).fail) == (NO_LIFETIMES, CLOSED)


def test_lifetimes_are_those_of_the_first_entry_that_matches() -> None:
    of = policy(lifetimes=(lasting("bob", BOB, session="1h"), lasting("ada", ADA, session="4h", idle=900, code="2m")))
    assert plan(of).lifetimes == Lifetimes(session_s=14_400, idle_s=900, code_s=120, name="ada")
    assert plan(of).lifetimes.trusted_device_s == TRUSTED_DEVICE_S
    assert plan(of, user="eve").lifetimes is NO_LIFETIMES
    assert plan(policy(lifetimes=(lasting("off", trusted_device=0),))).lifetimes.trusted_device_s == 0


@pytest.mark.parametrize("of", [floor("admins", strong=1), FloorSettings(name="f", then=FloorThenSettings(trusted_device=False))])
@pytest.mark.parametrize("written", [(), (lasting("long", trusted_device="30d", session="1h"),)])
def test_an_administrator_s_stolen_laptop_is_never_a_trusted_device(of: FloorSettings, written: Any) -> None:
    found = plan(policy(floors=(of,), lifetimes=written)).lifetimes
    assert found.trusted_device_s == 0
    assert found.session_s == (3_600 if written else None)


def test_a_floor_that_only_forbids_a_factor_leaves_devices_trusted() -> None:
    assert plan(policy(floors=(floor("no sms", never=["sms"]),))).lifetimes.trusted_device_s == TRUSTED_DEVICE_S


def test_fail_modes_and_words_are_in_every_plan_and_refusal() -> None:
    words = {"tr": "Hoş geldiniz", "en": "Welcome"}
    told = (("en", "Welcome"), ("tr", "Hoş geldiniz"))
    rules = (
        RuleSettings(name="bob", when=BOB, then=ThenSettings(deny=True, text=words)),
        RuleSettings(name="all", then=ThenSettings(steps=(("password",),), text=words)),
    )
    fail = FailSettings(directory_down="closed", gateway_down="skip")
    for floors in ((), (floor("one", strong=1),)):
        of = policy(rules=rules, fail=fail, floors=floors, lifetimes=(lasting("l"),) if floors else ())
        assert plan(of).fail == FailModes("closed", "skip")
        assert plan(of).text == told
        assert decide(of, facts(user="bob")) == NoEntry("rule_denies", "bob", told)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"actions": (actions("a", {"enrol": "totpp"}),)}, r"actions\.a\.then\[0\]\.enrol: unknown factor totpp; known are email"),
        ({"actions": (actions("a", {"enrol": "password"}),)}, "unknown factor password"),
        ({"actions": (actions("a", {}),)}, "exactly one of"),
        ({"actions": (actions("a", {"enrol": "totp", "confirm": "contact"}),)}, "exactly one of"),
        ({"actions": (actions("a", {"enrol": ("totp", "totp")}),)}, "none of them twice"),
        ({"actions": (actions("a", {"enrol": "totp"}, {"enrol": "totp", "level": "forced"}),)}, "enrol:totp stands twice"),
        ({"actions": (actions("a", {"enrol": "totp", "deferrals": 101}),)}, "between 0 and 100"),
        ({"actions": (actions("a", {"enrol": "totp", "every": "90d"}),)}, "what is enrolled stays"),
        ({"actions": (actions("a", {"confirm": "contact", "every": "1h"}),)}, "not between 1d and 730d"),
        ({"actions": (actions("a", {"confirm": "contact", "remind": "soon"}),)}, "no span of time"),
        ({"actions": (actions("a", *[{"enrol": "totp"}] * 11),)}, "at most 10"),
        (
            {"lifetimes": (lasting("l", trusted_device="31d"),)},
            r"lifetimes\.l\.then\.trusted_device: 31d is not between 0s and 30d",
        ),
        ({"lifetimes": (lasting("l", code=59),)}, "not between 1m and 10m"),
        ({"lifetimes": (lasting("l", session="1h", idle="2h"),)}, r"then\.idle: longer than the session"),
        ({"lifetimes": (lasting("l", when={"group": ["admins"]}),)}, r"lifetimes\.l\.when\.group"),
        (
            {"rules": (RuleSettings(name="r", then=ThenSettings(deny=True, text={"en": "x" * 201})),)},
            r"r\.then\.text\.en: 1 to 200",
        ),
        ({"rules": (RuleSettings(name="r", then=ThenSettings(deny=True, text={"en": "a\nb"})),)}, "on one line"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_place(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        policy(**wrong)


def test_a_factor_that_comes_later_is_known_by_itself() -> None:
    settings = PolicySettings(name="p", rules=(rule("r", ["password"]),), actions=(actions("a", {"enrol": ("kba", "passkey")}),))
    with pytest.raises(SettingsError, match="unknown factor kba"):
        compile_policy(settings, ["password", "totp"], ["totp"])
    found = decide(compile_policy(settings, ["password", "totp", "kba", "passkey"], ["totp"]), facts(enrolled=frozenset()))
    assert isinstance(found, Plan)
    assert found.demands[0].factors == ("kba", "passkey")
