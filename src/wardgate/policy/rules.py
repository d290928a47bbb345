"""Facts to plan: the first rule that matches decides the steps; every floor that matches makes them stricter.

No rule matched: no entry. A floor never opens what a rule refused. What follows a login (`actions`, `lifetimes`) is found the same
way, each by the first entry that matches; `afterwards.py` compiles it.
"""

import ipaddress
import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from wardgate.errors import SettingsError
from wardgate.policy.afterwards import Actions, Lasting, compile_actions, compile_fail, compile_lifetimes, compile_text, known_kind
from wardgate.policy.conditions import (
    Networks,
    Node,
    asks_about_factor,
    asks_about_groups,
    asks_what_is_enrolled,
    condition_at,
    parse_condition,
)
from wardgate.policy.facts import Facts
from wardgate.policy.index import Index
from wardgate.policy.needs import NO_WEIGHTS, QUESTIONS, SelfService, compile_self_service
from wardgate.policy.plan import CLOSED, NO_LIFETIMES, NO_TRUST, Decision, Demand, FailModes, Lifetimes, NoEntry, Plan
from wardgate.policy.settings import FloorThenSettings, NetworkSettings, PolicySettings, SelfServiceSettings, ThenSettings
from wardgate.policy.view import View

PASSWORD = "password"  # noqa: S105 - a factor's name
# A ticket of the domain that the person's computer is in. It may stand for the password, where a rule says so beside it, and is
# nothing else: it comes of that password, and says no more of who sits there.
KERBEROS = "kerberos"
FIRST_STEPS = ((PASSWORD,), (PASSWORD, KERBEROS), (KERBEROS, PASSWORD))
MAX_STEPS = 4
NO_RULE = NoEntry("no_rule")
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule with the plan that it leads to where no floor matches and nothing follows, or with its refusal."""

    name: str
    when: Node
    then: ThenSettings
    plan: Plan
    refusal: NoEntry


@dataclass(frozen=True, slots=True)
class Floor:
    """A compiled floor."""

    name: str
    when: Node
    then: FloorThenSettings

    @property
    def distrusts(self) -> bool:
        """Whether no device is trusted under it."""
        return self.then.strong_factors > 0 or not self.then.trusted_device


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy. `index` holds the conditions of all four lists, one after the other; `sections` are its bits for each.

    `uses_questions`: somewhere challenge questions prove something or have to be answered. `reads_questions`: a decision depends on
    whether somebody has answered any. `reads_groups`: one depends on groups. `reads_enrolled`: one depends on what a person has,
    something may be demanded of who lacks it, or a step is left out that he has nothing but messages for. What no policy names is
    never asked, nor read.
    """

    name: str
    strong: tuple[str, ...]
    rules: tuple[Rule, ...]
    floors: tuple[Floor, ...] = ()
    actions: tuple[Actions, ...] = ()
    lifetimes: tuple[Lasting, ...] = ()
    fail: FailModes = CLOSED
    self_service: SelfService = NO_WEIGHTS
    index: Index = field(init=False)
    sections: tuple[int, int, int, int] = field(init=False)
    uses_questions: bool = field(init=False)
    reads_questions: bool = field(init=False)
    reads_groups: bool = field(init=False)
    reads_enrolled: bool = field(init=False)

    def __post_init__(self) -> None:
        """Make the index, and see whether challenge questions and groups are named."""
        lists = (self.rules, self.floors, self.actions, self.lifetimes)
        index = Index([each.when for several in lists for each in several])
        ends = list(itertools.accumulate(map(len, lists), initial=0))
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "sections", tuple(index.bits(begin, end) for begin, end in itertools.pairwise(ends)))
        steps = any(QUESTIONS in step for rule in self.rules for step in rule.then.steps)
        demands = any(QUESTIONS in demand.factors for entry in self.actions for demand in entry.demands)
        uses = steps or demands or self.self_service.names_questions
        goals = [rule.when for goal in self.self_service.goals.values() for rule in goal.rules]
        conditions = (*(each.when for several in lists for each in several), *goals)
        fails_open = self.fail.gateway_down == "skip"
        object.__setattr__(self, "uses_questions", uses)
        object.__setattr__(self, "reads_questions", uses or any(asks_about_factor(each, QUESTIONS) for each in conditions))
        object.__setattr__(self, "reads_groups", any(map(asks_about_groups, conditions)))
        object.__setattr__(self, "reads_enrolled", fails_open or bool(self.actions) or any(map(asks_what_is_enrolled, conditions)))


def compile_policy(
    settings: PolicySettings, known: Collection[str], strong: Collection[str], networks: Iterable[NetworkSettings] = ()
) -> Policy:
    """Check and compile. `known`: factor names; `strong`: those that count as strong, in order of preference.

    `networks`: what conditions may name. Raises SettingsError that names the rule and the entry.
    """
    named = compile_networks(networks)
    path = f"policies.{settings.name}"
    fail = compile_fail(settings.fail)
    rules = []
    for rule in settings.rules:
        _check_steps(settings.name, rule.name, rule.then, known)
        text = compile_text(f"{path}.rules.{rule.name}.then.text", rule.then.text)
        rules.append(_rule(rule.name, condition_at(f"{path}.rules.{rule.name}", rule.when, named), rule.then, fail, text))
    floors = []
    for floor in settings.floors:
        for factor in floor.then.never:
            known_kind(f"{path}.floors.{floor.name}.then.never", factor, (*known, KERBEROS))
        floors.append(Floor(floor.name, condition_at(f"{path}.floors.{floor.name}", floor.when, named), floor.then))
    return Policy(
        settings.name,
        tuple(strong),
        tuple(rules),
        tuple(floors),
        compile_actions(path, settings.actions, known, named),
        compile_lifetimes(path, settings.lifetimes, named),
        fail,
        compile_self_service(f"{path}.self_service", settings.self_service, known, strong, named),
    )


def compile_networks(networks: Iterable[NetworkSettings]) -> Networks:
    """Networks by their names. Raises SettingsError."""
    try:
        return {each.name: tuple(ipaddress.ip_network(text) for text in each.cidr) for each in networks}
    except ValueError as error:
        raise SettingsError(f"networks: {error}; write 10.0.0.0/8") from error


def default_policy(second_factors: Collection[str], strong: Collection[str]) -> Policy:
    """What holds where nothing is configured: the password and any one enrolled second factor."""
    then = ThenSettings(steps=((PASSWORD,), tuple(second_factors)))
    service = compile_self_service("policies.default.self_service", SelfServiceSettings(), (PASSWORD, *second_factors), strong, {})
    return Policy("default", tuple(strong), (_rule("default", parse_condition({}), then),), self_service=service)


def decide(policy: Policy, facts: Facts) -> Decision:
    """The plan for these facts. Pure."""
    view = View(facts)
    index = policy.index
    known: dict[int, bool] = {}
    left = index.left(view)
    of_rules, of_floors, of_actions, of_lifetimes = policy.sections
    number = index.first(left & of_rules, view, known)
    if number is None:
        return NO_RULE
    rule = policy.rules[number]
    if rule.then.deny:
        return rule.refusal
    before = len(policy.rules)
    floors = [policy.floors[each - before] for each in index.every(left & of_floors, view, known)] if left & of_floors else []
    actions = lifetimes = None
    before += len(policy.floors)
    if left & of_actions and (number := index.first(left & of_actions, view, known)) is not None:
        actions = policy.actions[number - before]
    before += len(policy.actions)
    if left & of_lifetimes and (number := index.first(left & of_lifetimes, view, known)) is not None:
        lifetimes = policy.lifetimes[number - before]
    return plan_of(policy, facts, rule, floors, actions, lifetimes)


def plan_of(
    policy: Policy,
    facts: Facts,
    rule: Rule,
    floors: Sequence[Floor],
    actions: Actions | None = None,
    lifetimes: Lasting | None = None,
) -> Plan:
    """What a rule demands under the floors that match, with what follows it by these entries."""
    if not floors and not facts.proved_elsewhere:
        if actions is None and lifetimes is None:
            return rule.plan
        kept, needed = rule.plan.steps, 0
    else:
        needed = max((floor.then.strong_factors for floor in floors), default=0)
        kept = _steps_under(policy, facts, rule, floors, needed)
    return Plan(
        kept,
        rule.name,
        tuple([floor.name for floor in floors]),
        needed,
        () if actions is None else _unmet(actions.demands, facts),
        "" if actions is None else actions.name,
        _lifetimes_under(floors, lifetimes),
        policy.fail,
        rule.plan.text,
        _never(floors) if floors else _NOTHING,
    )


def _steps_under(policy: Policy, facts: Facts, rule: Rule, floors: Sequence[Floor], needed: int) -> tuple[tuple[str, ...], ...]:
    never = _never(floors)
    steps = [tuple(factor for factor in step if factor not in never) for step in rule.then.steps]
    if needed:
        steps = _strengthen(steps, tuple(factor for factor in policy.strong if factor not in never), needed)
    return tuple(step for step in steps if not _proved_elsewhere(step, facts))


def _never(floors: Sequence[Floor]) -> frozenset[str]:
    never = frozenset(factor for floor in floors for factor in floor.then.never)
    return never | {KERBEROS} if PASSWORD in never else never


def _unmet(demands: tuple[Demand, ...], facts: Facts) -> tuple[Demand, ...]:
    """All but the enrolments that are done. What has to be set anew is not."""
    done = facts.enrolled - facts.renew if facts.renew else facts.enrolled
    return tuple([each for each in demands if not each.factors or done.isdisjoint(each.factors)])


def _lifetimes_under(floors: Sequence[Floor], entry: Lasting | None) -> Lifetimes:
    for floor in floors:
        if floor.distrusts:
            return NO_TRUST if entry is None else entry.distrusting
    return NO_LIFETIMES if entry is None else entry.lifetimes


def _rule(name: str, when: Node, then: ThenSettings, fail: FailModes = CLOSED, text: tuple[tuple[str, str], ...] = ()) -> Rule:
    plan = Plan(tuple(then.steps), name, fail=fail, text=text)
    return Rule(name, when, then, plan, NoEntry("rule_denies", name, text))


def _strengthen(steps: list[tuple[str, ...]], strong: tuple[str, ...], needed: int) -> list[tuple[str, ...]]:
    """Leave only strong alternatives after the password, adding steps until `needed` of them are strong.

    A step that has none, such as `[sms]`, takes any strong factor instead: what is stricter must not be a wall.
    """
    second = [step for step in steps if PASSWORD not in step]
    narrowed = [tuple(factor for factor in step if factor in strong) or strong for step in second]
    while len(narrowed) < needed:
        narrowed.append(strong)
    return [step for step in steps if PASSWORD in step] + narrowed


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
            if factor not in (*known, KERBEROS):
                told = ", ".join(sorted((*known, KERBEROS)))
                raise SettingsError(f"{path}.steps: unknown factor {factor}; known are {told}")
        if not step or (not {PASSWORD, KERBEROS}.isdisjoint(step) and step not in FIRST_STEPS):
            raise SettingsError(f"{path}.steps: a step is [password], [password, kerberos] or a list of second factors")
