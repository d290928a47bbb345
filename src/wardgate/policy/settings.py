"""Settings of a policy, as they stand in the configuration document under `policies`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wardgate.policy.plan import Level, WhenUnsendable, WhileDown

# A span of time: `4h`, `15m`, or a number of seconds.
Span = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """Networks under one name, for conditions of policies: `network: [office]`."""

    name: str
    cidr: tuple[str, ...] = field(metadata={"help": "addresses and networks, such as 10.0.0.0/8 or 2001:db8::/32"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ThenSettings:
    """What a rule demands: steps, each a list of alternative factors in order of preference. `deny: true` refuses."""

    steps: tuple[tuple[str, ...], ...] = field(
        default=(), metadata={"help": "1 to 4 steps; each lists the factors of which one must be proved, the preferred one first"}
    )
    deny: bool = field(default=False, metadata={"help": "refuse; then there are no steps"})
    text: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "help": "what a person is told when this rule decides or refuses, by language (`en`, `tr`); at most 100 characters"
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """One rule. `when` is a condition (see `policy/conditions.py`); an empty one always holds."""

    name: str
    when: Mapping[str, object] = field(default_factory=dict, metadata={"help": "condition; empty: always"})
    then: ThenSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorThenSettings:
    """What a floor adds to whatever rule matched."""

    strong_factors: int = field(default=0, metadata={"help": "how many strong factors must be proved beside the password"})
    never: tuple[str, ...] = field(default=(), metadata={"help": "factors that do not count"})
    trusted_device: bool = field(
        default=True, metadata={"help": "false: no device is trusted; `strong_factors` above 0 says the same by itself"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorSettings:
    """A demand that always holds on top of the rules; of several that match, the strictest part of each counts."""

    name: str
    when: Mapping[str, object] = field(default_factory=dict, metadata={"help": "condition; empty: always"})
    then: FloorThenSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionEntrySettings:
    """One thing to do after all is proved: exactly one of `enrol`, `confirm` and `change`."""

    enrol: str | tuple[str, ...] = field(
        default=(), metadata={"help": "a factor to enrol, or several of which any one will do; who has it is not asked"}
    )
    confirm: Literal["contact"] | None = field(
        default=None, metadata={"help": "have the phone and the address confirmed by a code"}
    )
    change: Literal["password"] | None = field(default=None, metadata={"help": "have a new password chosen"})
    level: Level = field(
        default="optional", metadata={"help": "off: not asked; optional: may always be declined; forced: no entry without it"}
    )
    deferrals: int = field(default=3, metadata={"help": "how often a forced one may be put off; 0: not at all"})
    remind: Span = field(default="1d", metadata={"help": "an optional one is not mentioned more often; 0 to 90d"})
    every: Span = field(
        default=0, metadata={"help": "for confirm and change: how long the last one is good for, 1d to 730d; 0: for ever"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSettings:
    """What is to be done after a login; of several entries of `actions` the first that matches decides."""

    name: str
    when: Mapping[str, object] = field(default_factory=dict, metadata={"help": "condition; empty: always"})
    then: tuple[ActionEntrySettings, ...] = field(
        default=(), metadata={"help": "every one that is not yet done is asked for; none: nothing is to be done"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimesThenSettings:
    """How long things last, written as `4h`, `15m` or in seconds. What is left out stays as the installation has it."""

    transaction: Span | None = field(default=None, metadata={"help": "a login from its beginning to its end, 1m to 1h"})
    code: Span | None = field(default=None, metadata={"help": "a code that was sent, 60s to 600s"})
    session: Span | None = field(default=None, metadata={"help": "a session, 5m to 30d"})
    idle: Span | None = field(default=None, metadata={"help": "a session in which nothing happens, 1m to 1d"})
    reauthentication: Span | None = field(
        default=None, metadata={"help": "a proof of a session, before another application asks for it again, 1m to 1d"}
    )
    trusted_device: Span | None = field(
        default=None, metadata={"help": "a device that the person told us to trust, up to 30d; 0: none is trusted. Default: 7d"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimesSettings:
    """How long things last; of several entries of `lifetimes` the first that matches decides."""

    name: str
    when: Mapping[str, object] = field(default_factory=dict, metadata={"help": "condition; empty: always"})
    then: LifetimesThenSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class FailSettings:
    """What a login comes to when a neighbour does not answer."""

    directory_down: WhileDown = field(
        default="grace", metadata={"help": "closed: refused; grace: what the directory's `down_grace_s` allows"}
    )
    gateway_down: WhenUnsendable = field(
        default="closed", metadata={"help": "closed: refused; skip: the step is left out, and the timeline says so"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedSettings:
    """What proofs have to come to. What is left out is as the goal has it by default."""

    proofs: int | None = field(default=None, metadata={"help": "how many independent proofs"})
    weight: int | None = field(default=None, metadata={"help": "how much they must weigh together"})
    strongest: int | None = field(default=None, metadata={"help": "how much one of them must weigh by itself"})
    alone: tuple[str, ...] = field(default=(), metadata={"help": "kinds that count with nothing beside them, such as questions"})
    never: tuple[str, ...] = field(default=(), metadata={"help": "kinds that do not count"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedRuleSettings:
    """What some people need; of several the first that matches decides."""

    name: str
    when: Mapping[str, object] = field(default_factory=dict, metadata={"help": "condition; empty: always"})
    then: NeedSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptWeakerSettings:
    """Lets a self-service goal need less than the person's login does, for a reason and until a day."""

    reason: str = field(metadata={"help": "why, for whoever reads the audit"})
    until: str = field(metadata={"help": "the last day of it, such as 2027-06-30 (UTC); at most 366 days ahead"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfServiceGoalSettings:
    """What one self-service goal needs: the first of its rules that matches, else `need`, else what the goal has by default."""

    rules: tuple[NeedRuleSettings, ...] = field(default=(), metadata={"help": "the first one that matches decides the need"})
    need: NeedSettings | None = field(default=None, metadata={"help": "the need of whom no rule matches"})
    accept_weaker: AcceptWeakerSettings | None = field(
        default=None, metadata={"help": "lift `recovery is never weaker than login` for this goal; floors still hold"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetLimitSettings:
    """How many resets are allowed in a while."""

    count: int = field(default=3, metadata={"help": "resets of one person"})
    within: Span = field(default="7d", metadata={"help": "in this time, 1h to 90d"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfServiceSettings:
    """Goals in which a person helps himself, and what proofs weigh there."""

    weights: Mapping[str, int] = field(default_factory=dict, metadata={"help": "what a proof weighs, by its kind, 0 to 10"})
    contact_hold: Span = field(
        default="24h", metadata={"help": "how long a new contact or authenticator counts for nothing here, 0 to 30d"}
    )
    resets: ResetLimitSettings = field(default_factory=ResetLimitSettings, metadata={"help": "how many resets are allowed"})
    reset: SelfServiceGoalSettings | None = field(default=None, metadata={"help": "a forgotten password"})
    unlock: SelfServiceGoalSettings | None = field(default=None, metadata={"help": "an account that is locked"})
    recover_name: SelfServiceGoalSettings | None = field(default=None, metadata={"help": "a forgotten user name"})
    change: SelfServiceGoalSettings | None = field(default=None, metadata={"help": "a new password by whoever knows the old one"})
    enrol: SelfServiceGoalSettings | None = field(default=None, metadata={"help": "a factor or contact added, replaced or removed"})
    activate: SelfServiceGoalSettings | None = field(
        default=None, metadata={"help": "the first visit of a new person, by a link or code that an operator issued"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTestSettings:
    """One test: for these facts the decision must be this. Nothing is looked up: groups and the like are given."""

    name: str = field(default="", metadata={"help": "what a message calls it; default: its place in the list"})
    given: Mapping[str, object] = field(
        metadata={"help": "user, groups, attributes, enrolled, application, nas, from, country, known_device, risk, device, at ..."}
    )
    expect: Mapping[str, object] = field(
        metadata={
            "help": "what must come of it: rule, steps, floors, strong_factors, denied, demands, lifetimes, text, fail, needs ..."
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """Ordered rules (the first that matches decides; none: denied), floors, what follows a login, and what must come of them."""

    name: str
    rules: tuple[RuleSettings, ...] = field(metadata={"help": "the first one that matches decides the steps; none: denied"})
    floors: tuple[FloorSettings, ...] = field(default=(), metadata={"help": "demands on top of whatever rule matched"})
    actions: tuple[ActionSettings, ...] = field(
        default=(), metadata={"help": "the first one that matches decides what is to be done after all is proved"}
    )
    lifetimes: tuple[LifetimesSettings, ...] = field(
        default=(), metadata={"help": "the first one that matches decides how long things last"}
    )
    fail: FailSettings = field(default_factory=FailSettings, metadata={"help": "what a login comes to while a neighbour is down"})
    self_service: SelfServiceSettings = field(
        default_factory=SelfServiceSettings, metadata={"help": "what reset, unlock and the like need"}
    )
    tests: tuple[PolicyTestSettings, ...] = field(
        default=(), metadata={"help": "run whenever a document is applied; one that fails stops it"}
    )
