"""What policy decided."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that a login has to take, each a choice of factors in order of preference, and which rules said so.

    `strong_factors`: how many the floors demand; two are what administrators have to prove.
    """

    steps: tuple[tuple[str, ...], ...]
    rule: str
    floors: tuple[str, ...] = ()
    strong_factors: int = 0


@dataclass(frozen=True, slots=True)
class NoEntry:
    """Policy refuses. `reason` is `no_rule` or `rule_denies`; `rule` names the rule that refused, if one did."""

    reason: str
    rule: str = ""


Decision = Plan | NoEntry
