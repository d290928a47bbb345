"""The same decision as `rules.decide`, rule by rule and question by question, for whoever wants to know why.

It walks the rules in order and asks each; `decide` finds the same rule through its index, and a property test holds them together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from wardgate.policy.conditions import AllOf, AnyOf, Leaf, Node, Not
from wardgate.policy.facts import Facts
from wardgate.policy.needs import AcceptWeaker, Need, need_of
from wardgate.policy.plan import Decision, Demand, NoEntry, Plan
from wardgate.policy.rules import NO_RULE, Policy, plan_of
from wardgate.policy.view import View


class _Conditional(Protocol):
    """Anything that has a name and a condition: a rule, a floor, an entry of actions ..."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def when(self) -> Node:
        """When it counts."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """One question and its answer. `words`: what is asked for; `parts`: the questions inside of `any`, `all` and `not`."""

    name: str
    holds: bool
    words: str = ""
    parts: tuple["Told", ...] = ()


@dataclass(frozen=True, slots=True)
class Looked:
    """A rule or floor: whether it matches, by which answers. `holds` is None where an earlier rule had decided already."""

    name: str
    holds: bool | None
    when: Told | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A demand of the entry that decided. `met`: the person has it already; None: policy cannot know, the engine looks at dates."""

    demand: Demand
    met: bool | None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a self-service goal needs, by which of its rules. `weaker`: why it may need less than the login, while it may."""

    need: Need
    rules: tuple[Looked, ...]
    weaker: AcceptWeaker | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was decided, and why. What follows a login is there only where there is one; `needs` for self-service goals alone."""

    decision: Decision
    rules: tuple[Looked, ...]
    floors: tuple[Looked, ...]
    actions: tuple[Looked, ...] = ()
    lifetimes: tuple[Looked, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    needs: Needs | None = None


def explain(policy: Policy, facts: Facts) -> Explanation:
    """The decision with every rule up to the one that decided, every floor where they count, and what follows."""
    view = View(facts)
    found = decide_by_walking(policy, facts)
    rules = _up_to_the_first(policy.rules, view)
    needs = explain_needs(policy, facts)
    if isinstance(found, NoEntry):
        return Explanation(found, rules, (), needs=needs)
    floors = tuple(_look(floor, view) for floor in policy.floors)
    actions = _up_to_the_first(policy.actions, view)
    lifetimes = _up_to_the_first(policy.lifetimes, view)
    return Explanation(found, rules, floors, actions, lifetimes, _wanted(policy, found, facts), needs)


def explain_needs(policy: Policy, facts: Facts) -> Needs | None:
    """What the goal needs of this person; None where it is no self-service."""
    need, goal = need_of(policy.self_service, facts), policy.self_service.goals.get(facts.goal)
    if need is None or goal is None:
        return None
    weaker = goal.accept_weaker
    return Needs(need, _up_to_the_first(goal.rules, View(facts)), weaker if weaker is not None and weaker.holds(facts.at) else None)


def _wanted(policy: Policy, plan: Plan, facts: Facts) -> tuple[Wanted, ...]:
    entry = next((each for each in policy.actions if each.name == plan.actions), None)
    demands = () if entry is None else entry.demands
    return tuple(
        Wanted(each, not (facts.enrolled - facts.renew).isdisjoint(each.factors) if each.factors else None) for each in demands
    )


def _up_to_the_first(rules: Iterable[_Conditional], view: View) -> tuple[Looked, ...]:
    """Each rule up to the first that matches, with its answers; those behind it were not reached."""
    looked: list[Looked] = []
    decided = False
    for rule in rules:
        looked.append(Looked(rule.name, None) if decided else _look(rule, view))
        decided = decided or bool(looked[-1].holds)
    return tuple(looked)


def decide_by_walking(policy: Policy, facts: Facts) -> Decision:
    """The first rule that matches, found by asking one after the other: what `decide` must come to."""
    view = View(facts)
    for rule in policy.rules:
        if rule.when.holds(view):
            if rule.then.deny:
                return rule.refusal
            floors = [floor for floor in policy.floors if floor.when.holds(view)]
            actions = next((each for each in policy.actions if each.when.holds(view)), None)
            lifetimes = next((each for each in policy.lifetimes if each.when.holds(view)), None)
            return plan_of(policy, facts, rule, floors, actions, lifetimes)
    return NO_RULE


def _look(rule: _Conditional, view: View) -> Looked:
    return Looked(rule.name, rule.when.holds(view), tell(rule.when, view))


def tell(node: Node, view: View) -> Told:
    """A condition with the answer of each of its questions."""
    holds = node.holds(view)
    if isinstance(node, AllOf | AnyOf):
        return Told(node.name, holds, "" if node.parts else "always", tuple(tell(part, view) for part in node.parts))
    if isinstance(node, Not):
        return Told(node.name, holds, "", (tell(node.part, view),))
    return _leaf(node, holds)


def _leaf(node: Leaf, holds: bool) -> Told:
    return Told(node.name, holds, node.words)
