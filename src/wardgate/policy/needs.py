"""What a self-service goal needs, compiled from `self_service` of a policy: proofs, their weights, holds and limits.

`proofs.py` weighs what somebody presents against it. What the document leaves out is as the tables here have it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final

from wardgate.errors import SettingsError
from wardgate.policy.afterwards import known_kind, seconds_at
from wardgate.policy.conditions import Networks, Node, condition_at
from wardgate.policy.facts import Facts
from wardgate.policy.settings import (
    AcceptWeakerSettings,
    NeedRuleSettings,
    NeedSettings,
    SelfServiceGoalSettings,
    SelfServiceSettings,
)
from wardgate.policy.view import View

_HOUR, _DAY = 3_600, 86_400
CONTACT_HOLD_S: Final = (0, 30 * _DAY)
RESETS_COUNT: Final = (1, 100)
RESETS_WITHIN_S: Final = (_HOUR, 90 * _DAY)
WEIGHT: Final = (0, 10)
PROOFS: Final = (1, 5)
NEEDED_WEIGHT: Final = (1, 30)
MAX_RULES: Final = 100
MAX_REASON_CHARS: Final = 200

# Proofs that are no factors: nobody enrols them, and no login asks for them.
OTHER_PROOFS: Final = ("helpdesk", "approval", "activation")
QUESTIONS: Final = "kba"
# Weights by kind. One that is not here weighs what its strength says. The password counts where it is not what was forgotten.
WEIGHTS: Final[Mapping[str, int]] = {
    "passkey": 4,
    "push": 3,
    "helpdesk": 3,
    "totp": 2,
    "hotp": 2,
    "recovery_code": 2,
    "sms": 2,
    "approval": 2,
    "activation": 2,
    "password": 1,
    "email": 1,
    QUESTIONS: 1,
}
STRONG_WEIGHT: Final = 2
OTHER_WEIGHT: Final = 1


@dataclass(frozen=True, slots=True)
class Need:
    """What proofs have to come to: so many of them, so much together, and one that weighs `strongest` by itself.

    `alone`: kinds that count with nothing beside them; `never`: kinds that do not count. `name`: the rule that said so.
    """

    proofs: int
    weight: int
    strongest: int = 0
    alone: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    name: str = ""


# By goal. A forgotten name needs nothing: it is only ever sent to the contact that was typed. A change needs the password that is
# changed; what the login asks beside it, `not weaker than login` adds. An activation is what an operator issued and one thing
# beside it that did not come the same way.
NEEDS: Final[Mapping[str, Need]] = {
    "reset": Need(2, 3),
    "unlock": Need(1, 2, strongest=2),
    "recover_name": Need(0, 0),
    "change": Need(1, 1),
    "enrol": Need(1, 2),
    "activate": Need(2, 3),
}
SELF_SERVICE: Final = tuple(NEEDS)


@dataclass(frozen=True, slots=True)
class AcceptWeaker:
    """Why a goal may need less than the login does, and the last day of it."""

    reason: str
    until: date

    def holds(self, at: datetime) -> bool:
        """Whether it still does."""
        return at.astimezone(UTC).date() <= self.until


@dataclass(frozen=True, slots=True)
class NeedRule:
    """A compiled rule of a goal."""

    name: str
    when: Node
    need: Need


@dataclass(frozen=True, slots=True)
class Goal:
    """One self-service goal: the first rule that matches decides, else `need`."""

    rules: tuple[NeedRule, ...]
    need: Need
    accept_weaker: AcceptWeaker | None = None


@dataclass(frozen=True, slots=True)
class SelfService:
    """Everything that self-service needs to know.

    `names_questions`: the document gives challenge questions a weight, or lets them stand alone. Without either they prove nothing
    here, whatever somebody answered once, unless the policy has people answer them.
    """

    weights: Mapping[str, int]
    contact_hold_s: int
    resets: int
    resets_within_s: int
    goals: Mapping[str, Goal]
    names_questions: bool = False

    def by_questions_alone(self, goal: str) -> bool:
        """Whether questions may be the first proof of a goal, for some: they would be all that there is."""
        found = self.goals.get(goal)
        return found is not None and any(QUESTIONS in need.alone for need in (found.need, *(rule.need for rule in found.rules)))


NO_WEIGHTS: Final = SelfService(WEIGHTS, _DAY, 3, 7 * _DAY, {name: Goal((), need) for name, need in NEEDS.items()})


def need_of(self_service: SelfService, facts: Facts) -> Need | None:
    """What the goal of these facts needs; None where it is no self-service."""
    goal = self_service.goals.get(facts.goal)
    if goal is None:
        return None
    view = View(facts)
    return next((rule.need for rule in goal.rules if rule.when.holds(view)), goal.need)


def compile_self_service(
    path: str, settings: SelfServiceSettings, known: Collection[str], strong: Collection[str], networks: Networks
) -> SelfService:
    """Check and compile. Raises SettingsError that names the entry."""
    kinds = (*known, *OTHER_PROOFS)
    resets = settings.resets
    found = SelfService(
        _weights(f"{path}.weights", settings.weights, kinds, strong),
        seconds_at(f"{path}.contact_hold", settings.contact_hold, CONTACT_HOLD_S),
        _within(f"{path}.resets.count", resets.count, RESETS_COUNT),
        seconds_at(f"{path}.resets.within", resets.within, RESETS_WITHIN_S),
        {name: _goal(f"{path}.{name}", name, getattr(settings, name), kinds, networks) for name in NEEDS},
    )
    named = settings.weights.get(QUESTIONS, 0) > 0 or any(found.by_questions_alone(name) for name in NEEDS)
    return replace(found, names_questions=named)


def _weights(path: str, given: Mapping[str, int], kinds: Collection[str], strong: Collection[str]) -> Mapping[str, int]:
    found = {kind: WEIGHTS.get(kind, STRONG_WEIGHT if kind in strong else OTHER_WEIGHT) for kind in kinds}
    for kind, weight in given.items():
        known_kind(path, kind, kinds, "proof")
        found[kind] = _within(f"{path}.{kind}", weight, WEIGHT)
    return found


def _goal(path: str, name: str, settings: SelfServiceGoalSettings | None, kinds: Collection[str], networks: Networks) -> Goal:
    if settings is None:
        return Goal((), NEEDS[name])
    if len(settings.rules) > MAX_RULES:
        raise SettingsError(f"{path}.rules: at most {MAX_RULES}")
    rules = tuple(_rule(f"{path}.rules.{each.name}", name, each, kinds, networks) for each in settings.rules)
    need = NEEDS[name] if settings.need is None else _need(f"{path}.need", name, settings.need, kinds)
    weaker = None if settings.accept_weaker is None else _accept_weaker(f"{path}.accept_weaker", settings.accept_weaker)
    return Goal(rules, need, weaker)


def _rule(path: str, goal: str, settings: NeedRuleSettings, kinds: Collection[str], networks: Networks) -> NeedRule:
    need = _need(f"{path}.then", goal, settings.then, kinds, settings.name)
    return NeedRule(settings.name, condition_at(path, settings.when, networks), need)


def _need(path: str, goal: str, settings: NeedSettings, kinds: Collection[str], name: str = "") -> Need:
    usual = NEEDS[goal]
    for field, each in (("alone", settings.alone), ("never", settings.never)):
        for kind in each:
            known_kind(f"{path}.{field}", kind, kinds, "proof")
    # A goal that gives something away for no proof at all cannot be meant.
    least = 0 if usual.proofs == 0 else 1
    return Need(
        usual.proofs if settings.proofs is None else _within(f"{path}.proofs", settings.proofs, (least, PROOFS[1])),
        usual.weight if settings.weight is None else _within(f"{path}.weight", settings.weight, (least, NEEDED_WEIGHT[1])),
        usual.strongest if settings.strongest is None else _within(f"{path}.strongest", settings.strongest, WEIGHT),
        frozenset(settings.alone),
        frozenset(settings.never),
        name,
    )


def _accept_weaker(path: str, settings: AcceptWeakerSettings) -> AcceptWeaker:
    if not 0 < len(settings.reason.strip()) <= MAX_REASON_CHARS:
        raise SettingsError(f"{path}.reason: 1 to {MAX_REASON_CHARS} characters that say why are needed")
    try:
        return AcceptWeaker(settings.reason, date.fromisoformat(settings.until))
    except ValueError as error:
        raise SettingsError(f"{path}.until: a day such as 2027-06-30 is needed") from error


def _within(path: str, number: int, limits: tuple[int, int]) -> int:
    if not limits[0] <= number <= limits[1]:
        raise SettingsError(f"{path}: must be between {limits[0]} and {limits[1]}")
    return number
