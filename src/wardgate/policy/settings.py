"""Settings of a policy, as they stand in the configuration document under `policies`."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorSettings:
    """A demand that always holds on top of the rules; of several that match, the strictest part of each counts."""

    name: str
    when: Mapping[str, object] = field(default_factory=dict, metadata={"help": "condition; empty: always"})
    then: FloorThenSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTestSettings:
    """One test: for these facts the decision must be this. Nothing is looked up: groups and the like are given."""

    name: str = field(default="", metadata={"help": "what a message calls it; default: its place in the list"})
    given: Mapping[str, object] = field(
        metadata={"help": "user, realm, directory, groups, attributes, enrolled, application, nas, nas_identifier, from, at ..."}
    )
    expect: Mapping[str, object] = field(metadata={"help": "what must come of it: rule, steps, floors, strong_factors, denied"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """Ordered rules (the first that matches decides; none: denied), floors, and what must come of them."""

    name: str
    rules: tuple[RuleSettings, ...] = field(metadata={"help": "the first one that matches decides the steps; none: denied"})
    floors: tuple[FloorSettings, ...] = field(default=(), metadata={"help": "demands on top of whatever rule matched"})
    tests: tuple[PolicyTestSettings, ...] = field(
        default=(), metadata={"help": "run whenever a document is applied; one that fails stops it"}
    )
