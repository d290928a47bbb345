"""Whether the proofs of a self-service goal are enough: what each counts, why it does not, and what is missing.

Enough is: as many independent proofs as the need says, weighing as much together, one of them as much as it says by itself; as many
strong ones as the floors demand; and no less than the login that the goal restores.

**Strength**, by which a login and a set of proofs are compared, is a pair: how many strong factors, and what all of it weighs. One
is no weaker than the other when it is no less in both. The password is left out: it is what was forgotten, or what both have. A
login is as strong as its weakest way, so each step is worth what the least of its alternatives is worth; one that nobody can pass
is worth as much as anything. Of several applications the most of each part counts, since one reset opens them all.

**Independent** are proofs of different sources: a source is the number, the mailbox or the device that a proof came from, whatever
its kind. What counts with another of its source adds nothing, so adding a proof never makes less of the others.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from wardgate.policy.facts import Facts
from wardgate.policy.needs import QUESTIONS, Goal, Need, need_of
from wardgate.policy.plan import Decision, NoEntry
from wardgate.policy.rules import PASSWORD, Floor, Policy, decide
from wardgate.policy.view import View

# A passkey that was verified by PIN or finger is something that one has and something that one knows or is.
TWOFOLD: Final = "passkey"
# The password is what was lost, and a contact that just came may be the thief's.
LOST_PASSWORD: Final = ("reset", "unlock", "recover_name")
# Whoever has nothing yet must be able to begin: here no more is asked than what the person has.
AS_FAR_AS_ENROLLED: Final = ("change", "enrol", "activate")
# Where a contact that just came may be somebody else's, and counts only after its hold.
HOLDING: Final = (*LOST_PASSWORD, "activate")

WhyNot = Literal[
    "", "lost", "forgotten", "typed", "behind_password", "held", "never", "floor", "weighs_nothing", "same_source", "alone"
]
What = Literal["proofs", "weight", "strongest", "strong_factors", "login_strong_factors", "login_weight"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One thing that was proved.

    `source`: the number, mailbox or device that it came from, by a key that is the same for all its kinds; empty: there is one of
    the kind. `since`: when the contact or authenticator came or was last changed, by us or in the directory; None: it has no age.
    `vouched`: it was set at activation or by the help desk. `typed`: it was given to say who one is. `behind_password`: the
    mailbox opens with the password that is forgotten. `lost`: it was reported lost. `user_verified`: by PIN or finger.
    """

    kind: str
    source: str = ""
    since: datetime | None = None
    vouched: bool = False
    typed: bool = False
    behind_password: bool = False
    lost: bool = False
    user_verified: bool = False


@dataclass(frozen=True, slots=True)
class Strength:
    """How many strong factors, and what all of it weighs."""

    strong: int = 0
    weight: int = 0

    def no_weaker_than(self, other: "Strength") -> bool:
        """Whether it is no less in both."""
        return self.strong >= other.strong and self.weight >= other.weight


@dataclass(frozen=True, slots=True)
class Counted:
    """What one proof counted for, and the rule that made it less; with `same_source`, what it adds to the other of its source."""

    proof: Proof
    proofs: int = 0
    weight: int = 0
    strong: int = 0
    why_not: WhyNot = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """What there is too little of."""

    what: What
    has: int
    needed: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether it is enough. `login`: what the login demands that counts here; lifted by `accept_weaker` it is nothing."""

    enough: bool
    counted: tuple[Counted, ...]
    proofs: int
    strength: Strength
    missing: tuple[Missing, ...]
    need: Need
    strong_factors: int
    login: Strength


def judge(policy: Policy, facts: Facts, presented: Sequence[Proof], logins: Iterable[Decision] = ()) -> Judgement | None:
    """Whether these proofs are enough for the goal of the facts; None where that is no self-service.

    `logins`: what was decided for the logins of the person's applications, as `logins_of` gives them.
    """
    need, goal = need_of(policy.self_service, facts), policy.self_service.goals.get(facts.goal)
    if need is None or goal is None:
        return None
    view = View(facts)
    floors = [floor for floor in policy.floors if floor.when.holds(view)]
    counted = count(policy, facts, need, floors, presented)
    proofs = sum(each.proofs for each in counted)
    strength = Strength(sum(each.strong for each in counted), sum(each.weight for each in counted))
    strong_factors, login = _demanded(policy, facts, need, floors, goal, logins)
    has_and_needed: tuple[tuple[What, int, int], ...] = (
        ("proofs", proofs, need.proofs),
        ("weight", strength.weight, need.weight),
        ("strongest", max((each.weight for each in counted), default=0), need.strongest),
        ("strong_factors", strength.strong, strong_factors),
        ("login_strong_factors", strength.strong, login.strong),
        ("login_weight", strength.weight, login.weight),
    )
    missing = tuple(Missing(what, has, needed) for what, has, needed in has_and_needed if has < needed)
    return Judgement(not missing, counted, proofs, strength, missing, need, strong_factors, login)


def count(policy: Policy, facts: Facts, need: Need, floors: Sequence[Floor], presented: Sequence[Proof]) -> tuple[Counted, ...]:
    """What each proof counts for, in the order in which they were presented."""
    never = frozenset(factor for floor in floors for factor in floor.then.never)
    alone = [_by_itself(policy, facts, need, never, proof) for proof in presented]
    found = list(alone)
    for places in _by_source(presented).values():
        proofs = strong = 0
        for number, place in enumerate(sorted(places, key=lambda place: (-alone[place].weight, place))):
            each = alone[place]
            if number and not each.why_not:
                more = max(each.proofs - proofs, 0), 0, max(each.strong - strong, 0)
                found[place] = Counted(each.proof, *more, why_not="same_source")
            proofs, strong = max(proofs, each.proofs), max(strong, each.strong)
    return tuple(_beside_something(each, found, need) for each in found)


def logins_of(applications: Iterable[tuple[Policy, str, str]], facts: Facts) -> Iterator[Decision]:
    """What the person's logins demand: of each application (its policy, name and kind), here and from nowhere that is known.

    What a network, a known device or a country spares a login, it must not spare a reset: the network and a trusted device prove
    nothing, and whoever holds the laptop would hold the password soon.
    """
    here = replace(facts, goal="login", known_device=False, proved_elsewhere=frozenset())
    nowhere = replace(here, client=None, country="", device={}, risk="", nas="", nas_identifier="")
    for policy, name, kind in applications:
        for whence in (here, nowhere):
            yield decide(policy, replace(whence, application=name, application_kind=kind))


def strength_of(policy: Policy, logins: Iterable[Decision]) -> Strength:
    """What logins demand beside the password: of several, the most of each part."""
    found = [_strength(policy, login.steps) for login in logins if not isinstance(login, NoEntry)]
    return Strength(max((each.strong for each in found), default=0), max((each.weight for each in found), default=0))


def _demanded(
    policy: Policy, facts: Facts, need: Need, floors: Sequence[Floor], goal: Goal, logins: Iterable[Decision]
) -> tuple[int, Strength]:
    """How many strong factors the floors demand, and what the login does."""
    if not need.proofs and not need.weight:
        # Nothing is given away either: a forgotten name is only ever sent to the person's own contact.
        return 0, Strength()
    strong_factors = max((floor.then.strong_factors for floor in floors), default=0)
    lifted = goal.accept_weaker is not None and goal.accept_weaker.holds(facts.at)
    login = Strength() if lifted else strength_of(policy, logins)
    if facts.goal not in AS_FAR_AS_ENROLLED:
        return strong_factors, login
    has = Strength(sum(kind in policy.strong for kind in facts.enrolled), sum(_weight(policy, kind) for kind in facts.enrolled))
    return min(strong_factors, has.strong), Strength(min(login.strong, has.strong), min(login.weight, has.weight))


def _strength(policy: Policy, steps: Iterable[tuple[str, ...]]) -> Strength:
    anything = max(policy.self_service.weights.values(), default=0)
    strong = weight = 0
    for step in steps:
        if PASSWORD not in step:
            strong += min((int(kind in policy.strong) for kind in step), default=1)
            weight += min((_weight(policy, kind) for kind in step), default=anything)
    return Strength(strong, weight)


def _by_itself(policy: Policy, facts: Facts, need: Need, never: frozenset[str], proof: Proof) -> Counted:
    """What a proof counts for if there is no other of its source, and something beside it."""
    weight = _weight(policy, proof.kind)
    twofold = proof.kind == TWOFOLD and proof.user_verified
    if proof.kind == TWOFOLD and not twofold:
        weight //= 2
    why_not = _why_not(policy, facts, need, never, proof) or ("" if weight else "weighs_nothing")
    if why_not:
        return Counted(proof, why_not=why_not)
    times = 2 if twofold else 1
    return Counted(proof, times, weight, times if proof.kind in policy.strong else 0)


def _why_not(policy: Policy, facts: Facts, need: Need, never: frozenset[str], proof: Proof) -> WhyNot:
    """The rule by which a proof counts for nothing, whatever stands beside it."""
    forgotten = facts.goal in LOST_PASSWORD
    hold = timedelta(seconds=policy.self_service.contact_hold_s)
    held = facts.goal in HOLDING and proof.since is not None and not proof.vouched and facts.at < proof.since + hold
    rules: tuple[tuple[bool, WhyNot], ...] = (
        (proof.lost, "lost"),
        (forgotten and proof.kind == PASSWORD, "forgotten"),
        (proof.typed, "typed"),
        (proof.behind_password, "behind_password"),
        (held, "held"),
        (proof.kind in never, "floor"),
        (proof.kind in need.never, "never"),
    )
    return next((why for holds, why in rules if holds), "")


def _beside_something(each: Counted, all_of_them: Sequence[Counted], need: Need) -> Counted:
    """Questions count only beside something else: what can be found out about somebody proves nothing by itself."""
    if each.proof.kind != QUESTIONS or not each.proofs or QUESTIONS in need.alone:
        return each
    if any(other.proofs for other in all_of_them if other.proof.kind != QUESTIONS):
        return each
    return Counted(each.proof, why_not="alone")


def _by_source(presented: Sequence[Proof]) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    for place, proof in enumerate(presented):
        # What one knows comes from nowhere: questions share a source with nothing.
        named = proof.source and proof.kind != QUESTIONS
        found.setdefault(("source", proof.source) if named else ("kind", proof.kind), []).append(place)
    return found


def _weight(policy: Policy, kind: str) -> int:
    """What a kind weighs; one that nobody knows weighs nothing."""
    return policy.self_service.weights.get(kind, 0)
