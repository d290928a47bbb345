"""What lies between two decisions about the same person: whether he is let in at all, and what is asked of him. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from wardgate.factors import PASSWORD
from wardgate.policy.needs import Need
from wardgate.policy.plan import Decision, Demand, NoEntry, Plan

T = TypeVar("T")
Step = tuple[str, ...]

_LEVELS: Final[Mapping[str, int]] = {"off": 0, "optional": 1, "forced": 2}


class Effect(StrEnum):
    """What a change means for a user, the worst first.

    LOCKED_OUT: he came in, and would lack a factor that is asked for. DENIED: he came in and would be refused. WEAKER: less is
    asked of him, or more alternatives would do. LET_IN: he comes in where he did not. STRONGER: more is asked. CHANGED: something
    else is, neither more nor less.
    """

    LOCKED_OUT = "locked_out"
    DENIED = "denied"
    WEAKER = "weaker"
    LET_IN = "let_in"
    STRONGER = "stronger"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision with what the person has to meet it by. `need`: what proofs have to come to, for a self-service goal."""

    decision: Decision
    usable: frozenset[str]
    need: Need | None = None

    @property
    def passable(self) -> bool:
        """Whether he can come in: for each step he has a factor that he did not use for another one.

        What he has not enrolled and may not put off keeps him out as well.
        """
        if isinstance(self.decision, NoEntry) or any(map(_insists, self.decision.demands)):
            return False
        steps = [[kind for kind in step if kind in self.usable] for step in self.decision.steps if PASSWORD not in step]
        return matched(steps, lambda step: step)

    @property
    def lacks(self) -> bool:
        """Whether policy would let him in, and he has nothing to prove it by."""
        return isinstance(self.decision, Plan) and not self.passable


def effect_of(before: Decided, after: Decided) -> Effect | None:
    """What the change means for the person; None: nothing, or he cannot come in either way."""
    if before.need is not None and after.need is not None:
        return _judged(same_need(before.need, after.need), *_needs_cover(before.need, after.need))
    if before.passable and after.passable:
        # mypy cannot see that what is passable is a plan.
        one, other = before.decision, after.decision
        if isinstance(one, Plan) and isinstance(other, Plan):
            return _judged(_same(one, other), _covers(one, other), _covers(other, one))
    if before.passable:
        return Effect.LOCKED_OUT if after.lacks else Effect.DENIED
    return Effect.LET_IN if after.passable else None


def _judged(same: bool, before_covers: bool, after_covers: bool) -> Effect | None:
    if same:
        return None
    if after_covers and not before_covers:
        return Effect.STRONGER
    return Effect.WEAKER if before_covers and not after_covers else Effect.CHANGED


# --- plans -----------------------------------------------------------------------------------------------------------------


def _same(one: Plan, other: Plan) -> bool:
    """Whether nobody could tell the difference. What rules and entries are called is no difference."""
    return _shape(one) == _shape(other)


def _shape(plan: Plan) -> tuple[object, ...]:
    lasting = plan.lifetimes
    times = (lasting.transaction_s, lasting.code_s, lasting.session_s, lasting.idle_s, lasting.reauthentication_s)
    return (plan.steps, plan.strong_factors, plan.demands, times, lasting.trusted_device_s, plan.fail, plan.text)


def _covers(one: Plan, other: Plan) -> bool:
    """Whether `one` asks for all that `other` asks for."""
    return (
        _steps_cover(one.steps, other.steps)
        and one.strong_factors >= other.strong_factors
        and _demands_cover(one.demands, other.demands)
        and one.lifetimes.trusted_device_s <= other.lifetimes.trusted_device_s
        and (one.fail.directory_down == "closed" or other.fail.directory_down != "closed")
        and (one.fail.gateway_down == "closed" or other.fail.gateway_down != "closed")
    )


def _steps_cover(one: Sequence[Step], other: Sequence[Step]) -> bool:
    """Whether each step of `other` has one of its own in `one` that offers no more alternatives."""
    return matched(other, lambda step: [number for number, each in enumerate(one) if set(each) <= set(step)])


def matched(wanting: Sequence[T], choices_of: Callable[[T], Collection[object]]) -> bool:
    """Whether each can be given one of its choices so that none is given twice (Kuhn's augmenting paths; there are few)."""
    given: dict[object, int] = {}

    def place(number: int, tried: set[object]) -> bool:
        for choice in choices_of(wanting[number]):
            if choice in tried:
                continue
            tried.add(choice)
            if choice not in given or place(given[choice], tried):
                given[choice] = number
                return True
        return False

    return all(place(number, set()) for number in range(len(wanting)))


def _demands_cover(one: Sequence[Demand], other: Sequence[Demand]) -> bool:
    strict = {demand.action: _strictness(demand) for demand in one}
    for demand in other:
        if demand.level == "off":
            continue
        ours, theirs = strict.get(demand.action), _strictness(demand)
        if ours is None or ours[0] < theirs[0] or ours[1] < theirs[1]:
            return False
    return True


def _insists(demand: Demand) -> bool:
    """Whether it is an enrolment that is due now. The plan leaves out those that are done; of other demands only dates tell."""
    return demand.level == "forced" and not demand.deferrals and bool(demand.factors)


def _strictness(demand: Demand) -> tuple[tuple[int, int], float]:
    """How firmly it demands, and how often. What is good for ever is asked least often."""
    firmly = (_LEVELS[demand.level], -demand.deferrals if demand.level == "forced" else 0)
    return firmly, -demand.every_s if demand.every_s else float("-inf")


# --- needs of self-service -------------------------------------------------------------------------------------------------


def same_need(one: Need, other: Need) -> bool:
    """Whether the same proofs do. What the rule is called is no difference."""
    return _need(one) == _need(other)


def _need(need: Need) -> tuple[object, ...]:
    return (need.proofs, need.weight, need.strongest, need.alone, need.never)


def _needs_cover(before: Need, after: Need) -> tuple[bool, bool]:
    return _need_covers(before, after), _need_covers(after, before)


def _need_covers(one: Need, other: Need) -> bool:
    return (
        one.proofs >= other.proofs
        and one.weight >= other.weight
        and one.strongest >= other.strongest
        # What does by itself asks for less, what does not count for more.
        and one.alone <= other.alone
        and one.never >= other.never
    )
