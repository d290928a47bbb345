"""An explanation agrees with the decision, whatever the rules ask; it stops where the decision stopped."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import settings as bounds

from tests.flows.world import rule
from tests.unit.policy import randomly
from tests.unit.policy.test_conditions import facts
from wardgate.policy.explain import Told, explain
from wardgate.policy.facts import Facts
from wardgate.policy.needs import Need
from wardgate.policy.plan import NoEntry
from wardgate.policy.rules import decide
from wardgate.policy.settings import (
    AcceptWeakerSettings,
    NeedRuleSettings,
    NeedSettings,
    PolicySettings,
    SelfServiceGoalSettings,
    SelfServiceSettings,
)


def adds_up(told: Told) -> bool:
    """Whether what is told of the parts leads to what is told of the whole."""
    held = [part.holds for part in told.parts]
    expected = {"all": all(held), "any": any(held), "not": held != [True]}.get(told.name, told.holds)
    return told.holds is expected and all(adds_up(part) for part in told.parts)


@bounds(max_examples=300, deadline=None)
@given(randomly.settings(), randomly.facts)
def test_an_explanation_agrees_with_the_decision(of: PolicySettings, who: Facts) -> None:
    policy = randomly.compiled(of)
    decision, why = decide(policy, who), explain(policy, who)
    assert why.decision == decision
    matched = [rule.name for rule in why.rules if rule.holds]
    assert matched == ([decision.rule] if decision.rule else [])
    reached = len(why.rules) if not matched else next(number for number, rule in enumerate(why.rules) if rule.holds) + 1
    assert [rule.holds is None for rule in why.rules] == [number >= reached for number in range(len(why.rules))]
    if isinstance(decision, NoEntry):
        assert (why.floors, why.actions, why.lifetimes, why.wanted) == ((), (), (), ())
    else:
        assert tuple(floor.name for floor in why.floors if floor.holds) == (
            decision.floors if decision.floors or who.proved_elsewhere else ()
        )
        assert [each.name for each in why.actions if each.holds] == ([decision.actions] if decision.actions else [])
        assert [each.name for each in why.lifetimes if each.holds] == ([decision.lifetimes.name] if decision.lifetimes.name else [])
        assert tuple(each.demand for each in why.wanted if not each.met) == decision.demands
    for looked in (*why.rules, *why.floors, *why.actions, *why.lifetimes):
        assert (looked.when is None) is (looked.holds is None)
        if looked.when is not None:
            assert looked.when.holds is looked.holds
            assert adds_up(looked.when)


@bounds(max_examples=200, deadline=None)
@given(randomly.settings(), randomly.facts)
def test_what_is_demanded_is_not_there_yet_and_all_of_it_is_demanded(of: PolicySettings, who: Facts) -> None:
    plan = decide(randomly.compiled(of), who)
    if isinstance(plan, NoEntry):
        return
    entry = next((each for each in of.actions if each.name == plan.actions), None)
    asked = [each for each in entry.then if each.level != "off"] if entry is not None else []
    unmet = [each for each in asked if not each.enrol or who.enrolled.isdisjoint(each.enrol)]
    assert len(plan.demands) == len(unmet)
    assert all(demand.level != "off" and who.enrolled.isdisjoint(demand.factors) for demand in plan.demands)
    forced = [demand.level == "forced" for demand in plan.demands if demand.factors]
    assert forced == sorted(forced, reverse=True)


def test_a_self_service_goal_is_told_with_its_need() -> None:
    weaker = AcceptWeakerSettings(reason="migration", until="2026-12-31")
    rules = (
        NeedRuleSettings(name="eve", when={"user": "eve"}, then=NeedSettings(proofs=3)),
        NeedRuleSettings(name="ada", when={"user": "ada"}, then=NeedSettings(weight=5)),
    )
    service = SelfServiceSettings(reset=SelfServiceGoalSettings(rules=rules, accept_weaker=weaker))
    policy = randomly.compiled(PolicySettings(name="p", rules=(rule("r", ["password"]),), self_service=service))
    told = explain(policy, facts(goal="reset")).needs
    assert told is not None
    assert told.need == Need(2, 5, name="ada")
    assert [(each.name, each.holds) for each in told.rules] == [("eve", False), ("ada", True)]
    assert told.weaker is not None
    assert explain(policy, facts(goal="login")).needs is None
    later = explain(policy, facts(goal="reset", at=datetime(2027, 1, 1, tzinfo=UTC))).needs
    assert later is not None
    assert later.weaker is None
