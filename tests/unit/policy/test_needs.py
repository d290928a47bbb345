"""What self-service goals need: defaults, the first rule that matches, and what an operator cannot mean."""

from datetime import date
from typing import Any

import pytest

from tests.flows.world import rule
from tests.unit.policy.test_conditions import facts
from wardgate.errors import SettingsError
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.policy.needs import NEEDS, Need, SelfService, need_of
from wardgate.policy.rules import compile_policy
from wardgate.policy.settings import (
    AcceptWeakerSettings,
    NeedRuleSettings,
    NeedSettings,
    PolicySettings,
    ResetLimitSettings,
    SelfServiceGoalSettings,
    SelfServiceSettings,
)


def compiled(**settings: Any) -> SelfService:
    of = PolicySettings(name="p", rules=(rule("r", ["password"]),), self_service=SelfServiceSettings(**settings))
    return compile_policy(of, KINDS, STRONG_KINDS).self_service


def goal(**settings: Any) -> SelfServiceGoalSettings:
    return SelfServiceGoalSettings(**settings)


def test_without_a_word_the_defaults_hold() -> None:
    found = compiled()
    assert {name: need_of(found, facts(goal=name)) for name in NEEDS} == NEEDS
    assert need_of(found, facts(goal="login")) is None
    assert (found.contact_hold_s, found.resets, found.resets_within_s) == (86_400, 3, 7 * 86_400)
    assert (found.weights["sms"], found.weights["email"], found.weights["helpdesk"]) == (2, 1, 3)


def test_the_first_rule_that_matches_decides_the_need_and_what_it_leaves_out_is_the_default() -> None:
    staff = NeedRuleSettings(name="ada", when={"user": "ada"}, then=NeedSettings(weight=4, never=("sms",)))
    found = compiled(reset=goal(rules=(staff,), need=NeedSettings(proofs=1, weight=2, alone=("email",))))
    assert need_of(found, facts(goal="reset")) == Need(2, 4, never=frozenset({"sms"}), name="ada")
    assert need_of(found, facts(goal="reset", user="eve")) == Need(1, 2, alone=frozenset({"email"}))
    assert need_of(found, facts(goal="unlock")) == NEEDS["unlock"]


def test_weaker_than_login_is_accepted_until_the_end_of_its_last_day() -> None:
    weaker = compiled(reset=goal(accept_weaker=AcceptWeakerSettings(reason="migration", until="2026-11-22"))).goals["reset"]
    assert weaker.accept_weaker is not None
    assert weaker.accept_weaker.until == date(2026, 11, 22)
    on_the_day = facts().at.replace(year=2026, month=11, day=22, hour=23)
    assert weaker.accept_weaker.holds(on_the_day)
    assert not weaker.accept_weaker.holds(on_the_day.replace(day=23, hour=0))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"weights": {"smss": 1}}, r"self_service\.weights: unknown proof smss; known are activation"),
        ({"weights": {"sms": 11}}, r"weights\.sms: must be between 0 and 10"),
        ({"contact_hold": "31d"}, r"contact_hold: 31d is not between 0s and 30d"),
        ({"resets": ResetLimitSettings(count=0)}, r"resets\.count"),
        ({"resets": ResetLimitSettings(within="30m")}, r"resets\.within"),
        ({"reset": goal(need=NeedSettings(proofs=0))}, r"reset\.need\.proofs: must be between 1 and 5"),
        ({"reset": goal(need=NeedSettings(weight=0))}, r"reset\.need\.weight: must be between 1"),
        ({"enrol": goal(need=NeedSettings(alone=("questions",)))}, r"enrol\.need\.alone: unknown proof questions"),
        ({"unlock": goal(rules=(NeedRuleSettings(name="x", when={"grup": "a:b"}, then=NeedSettings()),))}, r"rules\.x\.when\.grup"),
        ({"reset": goal(accept_weaker=AcceptWeakerSettings(reason=" ", until="2027-06-30"))}, r"accept_weaker\.reason"),
        ({"reset": goal(accept_weaker=AcceptWeakerSettings(reason="x", until="next year"))}, r"accept_weaker\.until"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_place(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        compiled(**wrong)
