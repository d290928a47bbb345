"""An explanation agrees with the decision, whatever the rules ask; it stops where the decision stopped."""

from hypothesis import given
from hypothesis import settings as bounds

from tests.unit.policy import randomly
from wardgate.policy.explain import Told, explain
from wardgate.policy.facts import Facts
from wardgate.policy.plan import NoEntry
from wardgate.policy.rules import decide
from wardgate.policy.settings import PolicySettings


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
        assert why.floors == ()
    else:
        assert tuple(floor.name for floor in why.floors if floor.holds) == (
            decision.floors if decision.floors or who.proved_elsewhere else ()
        )
    for looked in (*why.rules, *why.floors):
        assert (looked.when is None) is (looked.holds is None)
        if looked.when is not None:
            assert looked.when.holds is looked.holds
            assert adds_up(looked.when)
