"""The index finds what asking rule by rule finds, whatever the rules ask; floors only make stricter."""

from dataclasses import replace

from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from tests.unit.policy import randomly
from tests.unit.policy.test_conditions import facts
from wardgate.factors import STRONG_KINDS
from wardgate.policy.conditions import parse_condition
from wardgate.policy.explain import decide_by_walking
from wardgate.policy.facts import Facts
from wardgate.policy.index import Index
from wardgate.policy.plan import NoEntry, Plan
from wardgate.policy.rules import compile_networks, compile_policy, decide
from wardgate.policy.settings import FloorSettings, FloorThenSettings, PolicySettings
from wardgate.policy.view import View

NETWORKS = compile_networks(randomly.NETWORKS)


@bounds(max_examples=400, deadline=None)
@given(randomly.settings(), st.lists(randomly.facts, min_size=1, max_size=4))
def test_the_index_finds_the_first_rule_and_every_floor(of: PolicySettings, many: list[Facts]) -> None:
    policy = randomly.compiled(of)
    for each in many:
        assert decide(policy, each) == decide_by_walking(policy, each)


@bounds(max_examples=200, deadline=None)
@given(st.lists(randomly.conditions, max_size=80), randomly.facts)
def test_every_rule_that_matches_is_found_in_order(whens: list[dict[str, object]], who: Facts) -> None:
    nodes = [parse_condition(when, NETWORKS) for when in whens]
    expected = [number for number, node in enumerate(nodes) if node.holds(View(who))]
    assert list(Index(nodes).matching(View(who))) == expected


@bounds(max_examples=200, deadline=None)
@given(randomly.settings(), randomly.facts)
def test_a_plan_never_needs_less_than_a_matching_floor(of: PolicySettings, who: Facts) -> None:
    policy = randomly.compiled(of)
    plan = decide(policy, who)
    if isinstance(plan, NoEntry):
        return
    for floor in of.floors:
        if not parse_condition(floor.when, NETWORKS).holds(View(who)):
            assert floor.name not in plan.floors
            continue
        assert floor.name in plan.floors
        assert not any(factor in floor.then.never for step in plan.steps for factor in step)
        strong = [step for step in plan.steps if step != ("password",) and set(step) <= set(STRONG_KINDS)]
        assert len(strong) >= floor.then.strong_factors
        if floor.then.strong_factors or not floor.then.trusted_device:
            assert plan.lifetimes.trusted_device_s == 0


@bounds(max_examples=200, deadline=None)
@given(randomly.settings(), randomly.conditions, randomly.floor_thens, randomly.facts)
def test_adding_a_floor_never_weakens(of: PolicySettings, when: dict[str, object], then: FloorThenSettings, who: Facts) -> None:
    more = replace(of, floors=(*of.floors, FloorSettings(name="more", when=when, then=then)))
    before, after = decide(randomly.compiled(of), who), decide(randomly.compiled(more), who)
    if isinstance(before, NoEntry):
        assert after == before
        return
    assert isinstance(after, Plan)
    assert after.rule == before.rule
    old = [step for step in before.steps if step != ("password",)]
    new = [step for step in after.steps if step != ("password",)]
    assert before.steps.count(("password",)) == after.steps.count(("password",))
    assert len(new) >= len(old)
    assert all(set(stricter) <= set(step) for step, stricter in zip(old, new, strict=False))
    assert after.lifetimes.trusted_device_s <= before.lifetimes.trusted_device_s
    assert replace(after.lifetimes, trusted_device_s=0) == replace(before.lifetimes, trusted_device_s=0)
    assert (after.demands, after.actions, after.fail, after.text) == (before.demands, before.actions, before.fail, before.text)


def test_two_questions_of_one_kind_both_count() -> None:
    node = parse_condition({"all": [{"group": "acme:a"}, {"group": "acme:b"}, {"not": {"group": "acme:c"}}]})
    index = Index([node])
    for groups, holds in (({"a", "b"}, True), ({"a"}, False), ({"b"}, False), ({"a", "b", "c"}, False)):
        who = facts(groups=frozenset(f"acme:{each}" for each in groups))
        assert bool(list(index.matching(View(who)))) is holds


def test_a_policy_without_rules_or_floors_lets_nobody_in() -> None:
    assert decide(compile_policy(PolicySettings(name="p", rules=()), (), ()), facts()) == NoEntry("no_rule")
