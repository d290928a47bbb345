"""What follows the steps of a login, compiled: demands (`actions`), how long things last, fail modes, and what people are told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from wardgate.durations import seconds_of
from wardgate.errors import SettingsError
from wardgate.policy.conditions import Networks, Node, condition_at
from wardgate.policy.plan import CLOSED, TRUSTED_DEVICE_S, Demand, FailModes, Lifetimes
from wardgate.policy.settings import (
    ActionEntrySettings,
    ActionSettings,
    FailSettings,
    LifetimesSettings,
    LifetimesThenSettings,
    Span,
)

MAX_TEXT_CHARS: Final = 200
MAX_ENTRIES: Final = 10
MAX_DEFERRALS: Final = 100
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
REMIND_S: Final = (0, 90 * _DAY)
EVERY_S: Final = (_DAY, 730 * _DAY)
# The least and the most of each. A code lives at least a minute, because that is how long some messages travel, and at most ten:
# NIST SP 800-63B 5.1.3.2.
LIFETIMES_S: Final[Mapping[str, tuple[int, int]]] = {
    "transaction": (_MINUTE, _HOUR),
    "code": (60, 600),
    "session": (5 * _MINUTE, 30 * _DAY),
    "idle": (_MINUTE, _DAY),
    "reauthentication": (_MINUTE, _DAY),
    "trusted_device": (0, 30 * _DAY),
}


@dataclass(frozen=True, slots=True)
class Actions:
    """A compiled entry of `actions`: its demands in the order in which they are asked for. What is `off` is not among them."""

    name: str
    when: Node
    demands: tuple[Demand, ...]


@dataclass(frozen=True, slots=True)
class Lasting:
    """A compiled entry of `lifetimes`. `distrusting`: the same where no device is trusted."""

    name: str
    when: Node
    lifetimes: Lifetimes
    distrusting: Lifetimes


def compile_actions(
    path: str, settings: Sequence[ActionSettings], known: Collection[str], networks: Networks
) -> tuple[Actions, ...]:
    """Check and compile. Raises SettingsError that names the entry."""
    return tuple(_actions(f"{path}.actions.{each.name}", each, known, networks) for each in settings)


def compile_lifetimes(path: str, settings: Sequence[LifetimesSettings], networks: Networks) -> tuple[Lasting, ...]:
    """Check and compile. Raises SettingsError that names the entry."""
    return tuple(_lasting(f"{path}.lifetimes.{each.name}", each, networks) for each in settings)


def compile_fail(settings: FailSettings) -> FailModes:
    """The fail modes; the usual ones as the one value that stands for them."""
    found = FailModes(settings.directory_down, settings.gateway_down)
    return CLOSED if found == CLOSED else found


def compile_text(path: str, text: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Pairs of a language and its words. Raises SettingsError: a NAS cuts long texts, and control characters draw on screens."""
    for language, words in text.items():
        if not 0 < len(words) <= MAX_TEXT_CHARS or not words.isprintable():
            raise SettingsError(f"{path}.{language[:16]}: 1 to {MAX_TEXT_CHARS} characters on one line are needed")
    return tuple(sorted(text.items()))


def seconds_at(path: str, span: Span, limits: tuple[int, int]) -> int:
    """A span of the document in seconds. Raises SettingsError that names the place and the limits."""
    try:
        return seconds_of(span, *limits)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}") from error


def known_kind(path: str, kind: str, known: Collection[str], what: str = "factor") -> str:
    """`kind` itself. Raises SettingsError with those that there are."""
    if kind not in known:
        raise SettingsError(f"{path}: unknown {what} {kind[:32]}; known are {', '.join(sorted(known))}")
    return kind


def _actions(path: str, settings: ActionSettings, known: Collection[str], networks: Networks) -> Actions:
    when = condition_at(path, settings.when, networks)
    if len(settings.then) > MAX_ENTRIES:
        raise SettingsError(f"{path}.then: at most {MAX_ENTRIES} entries")
    demands = [_demand(f"{path}.then[{number}]", each, known) for number, each in enumerate(settings.then)]
    twice = next(
        (each.action for number, each in enumerate(demands) if each.action in [one.action for one in demands[:number]]), None
    )
    if twice is not None:
        raise SettingsError(f"{path}.then: {twice} stands twice")
    return Actions(settings.name, when, tuple(sorted([each for each in demands if each.level != "off"], key=_place)))


def _place(demand: Demand) -> int:
    """Where a demand is asked for: a new password, what must be enrolled, what is to be confirmed, what may be enrolled."""
    if demand.action.startswith("change:"):
        return 0
    if demand.factors:
        return 1 if demand.level == "forced" else 3
    return 2


def _demand(path: str, settings: ActionEntrySettings, known: Collection[str]) -> Demand:
    kinds = (settings.enrol,) if isinstance(settings.enrol, str) else settings.enrol
    if sum(map(bool, (kinds, settings.confirm, settings.change))) != 1:
        raise SettingsError(f"{path}: exactly one of enrol, confirm and change is needed")
    if len(kinds) > MAX_ENTRIES or len(set(kinds)) < len(kinds):
        raise SettingsError(f"{path}.enrol: at most {MAX_ENTRIES} kinds, none of them twice")
    for kind in kinds:
        known_kind(f"{path}.enrol", kind, [each for each in known if each != "password"])
    if not 0 <= settings.deferrals <= MAX_DEFERRALS:
        raise SettingsError(f"{path}.deferrals: must be between 0 and {MAX_DEFERRALS}")
    if kinds and settings.every != 0:
        raise SettingsError(f"{path}.every: for confirm and change only; what is enrolled stays")
    action = f"enrol:{'+'.join(kinds)}" if kinds else "confirm:contact" if settings.confirm else "change:password"
    every_s = 0 if settings.every == 0 else seconds_at(f"{path}.every", settings.every, EVERY_S)
    remind_s = seconds_at(f"{path}.remind", settings.remind, REMIND_S)
    return Demand(action, settings.level, kinds, settings.deferrals, every_s, remind_s)


def _lasting(path: str, settings: LifetimesSettings, networks: Networks) -> Lasting:
    then, at = settings.then, f"{path}.then"
    trusted = _seconds(at, "trusted_device", then)
    found = Lifetimes(
        transaction_s=_seconds(at, "transaction", then),
        code_s=_seconds(at, "code", then),
        session_s=_seconds(at, "session", then),
        idle_s=_seconds(at, "idle", then),
        reauthentication_s=_seconds(at, "reauthentication", then),
        trusted_device_s=TRUSTED_DEVICE_S if trusted is None else trusted,
        name=settings.name,
    )
    if found.idle_s is not None and found.session_s is not None and found.idle_s > found.session_s:
        raise SettingsError(f"{at}.idle: longer than the session that it ends")
    return Lasting(settings.name, condition_at(path, settings.when, networks), found, replace(found, trusted_device_s=0))


def _seconds(path: str, name: str, then: LifetimesThenSettings) -> int | None:
    span: Span | None = getattr(then, name)
    return None if span is None else seconds_at(f"{path}.{name}", span, LIFETIMES_S[name])
