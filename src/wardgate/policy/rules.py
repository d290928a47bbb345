"""Facts to plan: the first rule that matches decides the steps; every floor that matches makes them stricter.

No rule matched: no entry. A floor never opens what a rule refused.
"""

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from wardgate.errors import SettingsError
from wardgate.policy.conditions import Networks, Node, parse_condition
from wardgate.policy.facts import Facts
from wardgate.policy.index import Index
from wardgate.policy.plan import Decision, NoEntry, Plan
from wardgate.policy.settings import FloorThenSettings, NetworkSettings, PolicySettings, ThenSettings
from wardgate.policy.view import View

PASSWORD = "password"  # noqa: S105 - a factor's name
MAX_STEPS = 4


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule with the plan that it leads to where no floor matches."""

    name: str
    when: Node
    then: ThenSettings
    plan: Plan


@dataclass(frozen=True, slots=True)
class Floor:
    """A compiled floor."""

    name: str
    when: Node
    then: FloorThenSettings


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy."""

    name: str
    rules: tuple[Rule, ...]
    floors: tuple[Floor, ...]
    strong: tuple[str, ...]
    rule_index: Index
    floor_index: Index


def compile_policy(
    settings: PolicySettings, known: Collection[str], strong: Collection[str], networks: Iterable[NetworkSettings] = ()
) -> Policy:
    """Check and compile. `known`: factor names; `strong`: those that count as strong, in order of preference.

    `networks`: what conditions may name. Raises SettingsError that names the rule and the entry.
    """
    named = compile_networks(networks)
    rules = []
    for rule in settings.rules:
        _check_steps(settings.name, rule.name, rule.then, known)
        rules.append(_rule(rule.name, _condition(settings.name, rule.name, rule.when, named), rule.then))
    floors = []
    for floor in settings.floors:
        unknown = [factor for factor in floor.then.never if factor not in known]
        if unknown:
            raise SettingsError(f"policies.{settings.name}.floors.{floor.name}.then.never: unknown factor {unknown[0]}")
        floors.append(Floor(floor.name, _condition(settings.name, floor.name, floor.when, named), floor.then))
    return _policy(settings.name, rules, floors, strong)


def compile_networks(networks: Iterable[NetworkSettings]) -> Networks:
    """Networks by their names. Raises SettingsError."""
    try:
        return {each.name: tuple(ipaddress.ip_network(text) for text in each.cidr) for each in networks}
    except ValueError as error:
        raise SettingsError(f"networks: {error}; write 10.0.0.0/8") from error


def default_policy(second_factors: Collection[str], strong: Collection[str]) -> Policy:
    """What holds where nothing is configured: the password and any one enrolled second factor."""
    then = ThenSettings(steps=((PASSWORD,), tuple(second_factors)))
    return _policy("default", [_rule("default", parse_condition({}), then)], (), strong)


def decide(policy: Policy, facts: Facts) -> Decision:
    """The plan for these facts. Pure."""
    view = View(facts)
    number = next(policy.rule_index.matching(view), None)
    if number is None:
        return NoEntry("no_rule")
    rule = policy.rules[number]
    if rule.then.deny:
        return NoEntry("rule_denies", rule.name)
    floors = [policy.floors[number] for number in policy.floor_index.matching(view)] if policy.floors else []
    return plan_of(policy, facts, rule, floors)


def plan_of(policy: Policy, facts: Facts, rule: Rule, floors: Sequence[Floor]) -> Plan:
    """What a rule demands under the floors that match."""
    if not floors and not facts.proved_elsewhere:
        return rule.plan
    never = frozenset(factor for floor in floors for factor in floor.then.never)
    needed = max((floor.then.strong_factors for floor in floors), default=0)
    steps = [tuple(factor for factor in step if factor not in never) for step in rule.then.steps]
    if needed:
        steps = _strengthen(steps, tuple(factor for factor in policy.strong if factor not in never), needed)
    kept = tuple(step for step in steps if not _proved_elsewhere(step, facts))
    return Plan(kept, rule.name, tuple(floor.name for floor in floors), needed)


def _policy(name: str, rules: Sequence[Rule], floors: Sequence[Floor], strong: Collection[str]) -> Policy:
    indexes = Index([rule.when for rule in rules]), Index([floor.when for floor in floors])
    return Policy(name, tuple(rules), tuple(floors), tuple(strong), *indexes)


def _rule(name: str, when: Node, then: ThenSettings) -> Rule:
    return Rule(name, when, then, Plan(tuple(then.steps), name))


def _strengthen(steps: list[tuple[str, ...]], strong: tuple[str, ...], needed: int) -> list[tuple[str, ...]]:
    """Leave only strong alternatives in the last steps, adding steps until `needed` of them are strong."""
    second = [step for step in steps if step != (PASSWORD,)]
    narrowed = [tuple(factor for factor in step if factor in strong) for step in second]
    while len(narrowed) < needed:
        narrowed.append(strong)
    return [step for step in steps if step == (PASSWORD,)] + narrowed


def _proved_elsewhere(step: tuple[str, ...], facts: Facts) -> bool:
    return bool(step) and not facts.proved_elsewhere.isdisjoint(step)


def _check_steps(policy: str, rule: str, then: ThenSettings, known: Collection[str]) -> None:
    path = f"policies.{policy}.rules.{rule}.then"
    if then.deny:
        if then.steps:
            raise SettingsError(f"{path}: either steps or deny, not both")
        return
    if not 0 < len(then.steps) <= MAX_STEPS:
        raise SettingsError(f"{path}.steps: 1 to {MAX_STEPS} steps are needed")
    for step in then.steps:
        for factor in step:
            if factor not in known:
                raise SettingsError(f"{path}.steps: unknown factor {factor}; known are {', '.join(sorted(known))}")
        if not step or (PASSWORD in step and step != (PASSWORD,)):
            raise SettingsError(f"{path}.steps: a step is [password] or a list of second factors")


def _condition(policy: str, rule: str, when: Mapping[str, object], networks: Networks) -> Node:
    try:
        return parse_condition(when, networks)
    except SettingsError as error:
        raise SettingsError(f"policies.{policy}.{rule}.{error.message}") from error
