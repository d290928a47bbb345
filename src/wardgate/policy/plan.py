"""What policy decided."""

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["off", "optional", "forced"]
WhileDown = Literal["closed", "grace"]
WhenUnsendable = Literal["closed", "skip"]

TRUSTED_DEVICE_S: Final = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Demand:
    """Something that has to be done, or should be, once all is proved.

    Policy leaves out what `factors` show to be met. When a contact was confirmed or a password changed it does not know: those
    demands are always in the plan, and who knows the dates drops what is not due.

    `action`: what it is called in storage and texts: `enrol:totp+passkey`, `confirm:contact`, `change:password`. `factors`: any
    one of these enrolled meets it; empty for the other two. `deferrals`: how often a forced one may be put off; 0: not at all.
    `every_s`: how long a confirmation or a password is good for; 0: for ever. `remind_s`: an optional one is not mentioned more
    often than this.
    """

    action: str
    level: Level
    factors: tuple[str, ...] = ()
    deferrals: int = 0
    every_s: int = 0
    remind_s: int = 86_400


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things last, in seconds. None: what the installation has set, or what the door does by itself.

    `trusted_device_s`: 0: no device is trusted, as for whoever a floor demands strong factors of. `name`: the entry that said so.
    """

    transaction_s: int | None = None
    code_s: int | None = None
    session_s: int | None = None
    idle_s: int | None = None
    reauthentication_s: int | None = None
    trusted_device_s: int = TRUSTED_DEVICE_S
    name: str = ""


@dataclass(frozen=True, slots=True)
class FailModes:
    """What a login comes to when a neighbour is down. `grace`: what the directory's `down_grace_s` allows."""

    directory_down: WhileDown = "grace"
    gateway_down: WhenUnsendable = "closed"


NO_LIFETIMES: Final = Lifetimes()
NO_TRUST: Final = Lifetimes(trusted_device_s=0)
CLOSED: Final = FailModes()


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that a login has to take, each a choice of factors in order of preference, and which rules said so.

    `strong_factors`: how many the floors demand; two are what administrators have to prove. `demands`: what has to be done once
    all is proved, in the order in which it is asked for; `actions`: the entry of `actions` that said so. `text`: what the rule has
    a person told: pairs of a language and its words. `never`: what the floors let nobody prove anything by, whoever asks for it.
    """

    steps: tuple[tuple[str, ...], ...]
    rule: str
    floors: tuple[str, ...] = ()
    strong_factors: int = 0
    demands: tuple[Demand, ...] = ()
    actions: str = ""
    lifetimes: Lifetimes = NO_LIFETIMES
    fail: FailModes = CLOSED
    text: tuple[tuple[str, str], ...] = ()
    never: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NoEntry:
    """Policy refuses. `reason` is `no_rule` or `rule_denies`; `rule` names the rule that refused, if one did.

    `text`: what that rule has a person told instead of the usual words: pairs of language and words.
    """

    reason: str
    rule: str = ""
    text: tuple[tuple[str, str], ...] = ()


Decision = Plan | NoEntry
