"""Settings of a policy, as they stand in the configuration document under `policies`."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ThenSettings:
    """What a rule demands: steps, each a list of alternative factors in order of preference. `deny: true` refuses."""

    steps: tuple[tuple[str, ...], ...] = ()
    deny: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """One rule. `when` is a condition (see `policy/conditions.py`); an empty one always holds."""

    name: str
    when: Mapping[str, object] = field(default_factory=dict)
    then: ThenSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorThenSettings:
    """What a floor adds to whatever rule matched."""

    strong_factors: int = 0
    never: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorSettings:
    """A demand that always holds on top of the rules; of several that match, the strictest part of each counts."""

    name: str
    when: Mapping[str, object] = field(default_factory=dict)
    then: FloorThenSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """Ordered rules (the first that matches decides; none: denied) and floors."""

    name: str
    rules: tuple[RuleSettings, ...]
    floors: tuple[FloorSettings, ...] = ()
