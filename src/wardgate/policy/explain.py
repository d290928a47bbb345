"""The same decision as `rules.decide`, rule by rule and question by question, for whoever wants to know why.

It walks the rules in order and asks each; `decide` finds the same rule through its index, and a property test holds them together.
"""

from dataclasses import dataclass

from wardgate.policy.conditions import AllOf, AnyOf, Leaf, Node, Not
from wardgate.policy.facts import Facts
from wardgate.policy.plan import Decision, NoEntry
from wardgate.policy.rules import NO_RULE, Floor, Policy, Rule, plan_of
from wardgate.policy.view import View


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
class Explanation:
    """What was decided, and why."""

    decision: Decision
    rules: tuple[Looked, ...]
    floors: tuple[Looked, ...]


def explain(policy: Policy, facts: Facts) -> Explanation:
    """The decision with every rule up to the one that decided, and every floor where they count."""
    view = View(facts)
    found = decide_by_walking(policy, facts)
    rules: list[Looked] = []
    decided = False
    for rule in policy.rules:
        rules.append(Looked(rule.name, None) if decided else _look(rule, view))
        decided = decided or bool(rules[-1].holds)
    floors = () if isinstance(found, NoEntry) else tuple(_look(floor, view) for floor in policy.floors)
    return Explanation(found, tuple(rules), floors)


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


def _look(rule: Rule | Floor, view: View) -> Looked:
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
