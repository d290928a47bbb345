"""Facts to plan: the first rule that matches decides the steps; every floor that matches makes them stricter.

No rule matched: no entry. A floor never opens what a rule refused.
"""

from collections.abc import Collection
from dataclasses import dataclass

from wardgate.errors import SettingsError
from wardgate.policy.conditions import Condition, compile_condition
from wardgate.policy.facts import Facts
from wardgate.policy.plan import Decision, NoEntry, Plan
from wardgate.policy.settings import FloorThenSettings, PolicySettings, ThenSettings

PASSWORD = "password"  # noqa: S105 - a factor's name
MAX_STEPS = 4


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    holds: Condition
    then: ThenSettings
    plan: Plan


@dataclass(frozen=True, slots=True)
class _Floor:
    name: str
    holds: Condition
    then: FloorThenSettings


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy."""

    name: str
    rules: tuple[_Rule, ...]
    floors: tuple[_Floor, ...]
    strong: tuple[str, ...]


def compile_policy(settings: PolicySettings, known: Collection[str], strong: Collection[str]) -> Policy:
    """Check and compile. `known`: factor names; `strong`: those that count as strong, in order of preference.

    Raises SettingsError that names the rule and the entry.
    """
    rules = []
    for rule in settings.rules:
        _check_steps(settings.name, rule.name, rule.then, known)
        rules.append(_rule(rule.name, _condition(settings.name, rule.name, rule.when), rule.then))
    floors = []
    for floor in settings.floors:
        unknown = [factor for factor in floor.then.never if factor not in known]
        if unknown:
            raise SettingsError(f"policies.{settings.name}.floors.{floor.name}.then.never: unknown factor {unknown[0]}")
        floors.append(_Floor(floor.name, _condition(settings.name, floor.name, floor.when), floor.then))
    return Policy(settings.name, tuple(rules), tuple(floors), tuple(strong))


def default_policy(second_factors: Collection[str], strong: Collection[str]) -> Policy:
    """What holds where nothing is configured: the password and any one enrolled second factor."""
    then = ThenSettings(steps=((PASSWORD,), tuple(second_factors)))
    return Policy("default", (_rule("default", compile_condition({}), then),), (), tuple(strong))


def decide(policy: Policy, facts: Facts) -> Decision:
    """The plan for these facts. Pure."""
    for rule in policy.rules:
        if rule.holds(facts):
            if rule.then.deny:
                return NoEntry("rule_denies", rule.name)
            return _with_floors(policy, facts, rule)
    return NoEntry("no_rule")


def _rule(name: str, holds: Condition, then: ThenSettings) -> _Rule:
    return _Rule(name, holds, then, Plan(tuple(then.steps), name))


def _with_floors(policy: Policy, facts: Facts, rule: _Rule) -> Plan:
    floors = [floor for floor in policy.floors if floor.holds(facts)]
    if not floors and not facts.proved_elsewhere:
        return rule.plan
    never = frozenset(factor for floor in floors for factor in floor.then.never)
    needed = max((floor.then.strong_factors for floor in floors), default=0)
    steps = [tuple(factor for factor in step if factor not in never) for step in rule.then.steps]
    if needed:
        steps = _strengthen(steps, tuple(factor for factor in policy.strong if factor not in never), needed)
    kept = tuple(step for step in steps if not _proved_elsewhere(step, facts))
    return Plan(kept, rule.name, tuple(floor.name for floor in floors), needed)


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


def _condition(policy: str, rule: str, when: object) -> Condition:
    try:
        return compile_condition(when if isinstance(when, dict) else dict(when))  # type: ignore[call-overload]
    except SettingsError as error:
        raise SettingsError(f"policies.{policy}.{rule}.{error.message}") from error
