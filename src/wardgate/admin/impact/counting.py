"""What a change comes to: users by effect, by application and by group, with the names of some."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wardgate.admin.impact.effects import Decided, Effect
from wardgate.admin.impact.people import labels_of
from wardgate.directory.port import DirectoryUser
from wardgate.factors import PASSWORD
from wardgate.policy.needs import Need
from wardgate.policy.plan import Demand, NoEntry, Plan

MAX_EXAMPLES: Final = 20
MAX_GROUPS_COUNTED: Final = 20_000
MAX_GROUPS_TOLD: Final = 100
_REFUSALS: Final[Mapping[str, str]] = {
    "no_rule": "refused: no rule matches",
    "no_realm": "not a user: no realm asks this directory",
    "no_application": "there is no such application",
}


@dataclass(frozen=True, slots=True)
class Detail:
    """One effect in one situation."""

    effect: Effect
    application: str
    situation: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the change means for everybody whom the policies cannot tell from one person: the first case of each effect for each

    application. Nothing: none.
    """

    details: tuple[Detail, ...] = ()

    @property
    def effects(self) -> frozenset[Effect]:
        """Every effect."""
        return frozenset(each.effect for each in self.details)


@dataclass(slots=True)
class Tally:
    """Counts users. One who is concerned in several realms, applications or situations counts once for each effect."""

    looked_at: int = 0
    unusable: int = 0
    concerned: int = 0
    effects: Counter[Effect] = field(default_factory=Counter)
    applications: dict[str, Counter[Effect]] = field(default_factory=lambda: defaultdict(Counter))
    groups: dict[str, Counter[Effect]] = field(default_factory=dict)
    examples: dict[Effect, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    uncounted_groups: bool = False

    def take(self, user: DirectoryUser, enrolled: frozenset[str], meanings: Iterable[Meaning]) -> None:
        """One more user, with what the change means for him in each of his realms."""
        details = [detail for meaning in meanings for detail in meaning.details]
        if not details:
            return
        self.concerned += 1
        effects = {detail.effect for detail in details}
        self.effects.update(effects)
        for application, effect in {(detail.application, detail.effect) for detail in details}:
            self.applications[application][effect] += 1
        for group in labels_of(user) or {"": None}:
            self._count_group(group, effects)
        for effect in effects:
            if len(self.examples[effect]) < MAX_EXAMPLES:
                self.examples[effect].append(_example(user, enrolled, next(each for each in details if each.effect is effect)))

    def _count_group(self, group: str, effects: Iterable[Effect]) -> None:
        counts = self.groups.get(group)
        if counts is None:
            if len(self.groups) >= MAX_GROUPS_COUNTED:
                self.uncounted_groups = True
                return
            counts = self.groups[group] = Counter()
        counts.update(effects)

    def told(self) -> dict[str, Any]:
        """As JSON values."""
        groups = sorted(self.groups.items(), key=lambda item: (-item[1].total(), item[0]))
        return {
            "looked_at": self.looked_at,
            "not_usable": self.unusable,
            "users": self.concerned,
            "effects": _counts(self.effects),
            "groups": [{"group": name or None, "effects": _counts(counts)} for name, counts in groups[:MAX_GROUPS_TOLD]],
            "groups_left_out": max(0, len(groups) - MAX_GROUPS_TOLD) + int(self.uncounted_groups),
            "examples": {effect.value: self.examples.get(effect, []) for effect in Effect},
        }

    def of_application(self, name: str) -> dict[str, int]:
        """Users by effect, of one application."""
        return _counts(self.applications.get(name, Counter()))


def in_words(decided: Decided) -> str:
    """A decision on one line."""
    if decided.need is not None:
        return _need(decided.need)
    decision = decided.decision
    if isinstance(decision, NoEntry):
        return _REFUSALS.get(decision.reason, f"refused by rule {decision.rule}")
    return "; ".join([_steps(decision), *_further(decision), f"rule {decision.rule}"])


def _steps(plan: Plan) -> str:
    if not plan.steps:
        return "nothing more"
    return ", then ".join(" or ".join(step) or "nothing that counts" for step in plan.steps)


def _further(plan: Plan) -> list[str]:
    demands = [_demand(each) for each in plan.demands if each.level != "off"]
    down = ["comes in without a code while no gateway works"] if plan.fail.gateway_down != "closed" else []
    return [*demands, *down]


def _demand(demand: Demand) -> str:
    return f"{demand.level} {demand.action}"


def _need(need: Need) -> str:
    strongest = f", one of them {need.strongest}" if need.strongest else ""
    return f"proofs: {need.proofs}, weight {need.weight}{strongest}"


def _example(user: DirectoryUser, enrolled: frozenset[str], detail: Detail) -> dict[str, Any]:
    return {
        "user": user.name,
        "directory": user.directory,
        "application": detail.application,
        "situation": detail.situation,
        "before": detail.before,
        "after": detail.after,
        "enrolled": sorted(enrolled - {PASSWORD}),
    }


def _counts(counts: Counter[Effect]) -> dict[str, int]:
    return {effect.value: counts.get(effect, 0) for effect in Effect}
