"""What a test of a policy may expect, and what came of it instead, both in one writing so that they can be compared.

A part that has several values (`lifetimes`, a demand, `fail`, `needs`) is compared by those values that the test names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from wardgate.durations import written_as
from wardgate.errors import SettingsError
from wardgate.policy.afterwards import LIFETIMES_S
from wardgate.policy.facts import Facts
from wardgate.policy.needs import Need, need_of
from wardgate.policy.plain import (
    day_at,
    list_at,
    mapping_at,
    number_at,
    one_of_at,
    span_at,
    text_at,
    texts_at,
)
from wardgate.policy.plan import NO_TRUST, Demand, FailModes, Lifetimes, NoEntry, Plan
from wardgate.policy.rules import Policy, decide

Values = Mapping[str, object]
_NEED_NUMBERS: Final = ("proofs", "weight", "strongest")
_NEED_KINDS: Final = ("alone", "never")
_DEMAND: Final = ("action", "level", "deferrals", "every", "remind")
_LEVELS: Final = ("optional", "forced")
_REFUSALS: Final = ("no_rule", "rule_denies")
_FAIL: Final[Mapping[str, Sequence[str]]] = {"directory_down": ("closed", "grace"), "gateway_down": ("closed", "skip")}


@dataclass(frozen=True, slots=True)
class _Came:
    """What policy said. A refusal is a plan without steps. `weaker_until`: until when a goal may need less, while it may."""

    plan: Plan
    denied: str | None
    need: Need | None
    weaker_until: str | None


@dataclass(frozen=True, slots=True)
class _Part:
    """One key of `expect`: its value as it is compared, and what came, as far as that value asks for it."""

    read: Callable[[str, object], object]
    came: Callable[[_Came, object], object]


def read_expected(expect: Values) -> Values:
    """What is expected, as it is compared. Raises SettingsError."""
    if not expect:
        raise SettingsError(f"expect: say what has to come: {', '.join(_PARTS)}")
    return {key: _PARTS[key].read(f"expect.{key}", value) for key, value in mapping_at("expect", expect, tuple(_PARTS)).items()}


def what_came(policy: Policy, facts: Facts, expected: Values) -> Values:
    """What came of everything that is expected."""
    came = _came(policy, facts)
    return {key: _PARTS[key].came(came, value) for key, value in expected.items()}


def _came(policy: Policy, facts: Facts) -> _Came:
    decision, goal = decide(policy, facts), policy.self_service.goals.get(facts.goal)
    weaker = goal.accept_weaker if goal is not None else None
    until = weaker.until.isoformat() if weaker is not None and weaker.holds(facts.at) else None
    need = need_of(policy.self_service, facts)
    if isinstance(decision, NoEntry):
        return _Came(Plan((), decision.rule, lifetimes=NO_TRUST, text=decision.text), decision.reason, need, until)
    return _Came(decision, None, need, until)


# --- what is expected ------------------------------------------------------------------------------------------------------


def _name(path: str, value: object) -> str | None:
    return None if value is None else text_at(path, value)


def _steps(path: str, value: object) -> list[list[str]]:
    return [texts_at(path, step) for step in list_at(path, value)]


def _refusal(path: str, value: object) -> str | None:
    if value is not None and value not in _REFUSALS:
        raise SettingsError(f"{path}: {', '.join(_REFUSALS)} or null is needed")
    return None if value is None else str(value)


def _demands(path: str, value: object) -> list[object]:
    several = [value] if isinstance(value, str | Mapping) else list_at(path, value)
    return [_demand(path, each) if isinstance(each, Mapping) else text_at(path, each) for each in several]


def _demand(path: str, value: object) -> Values:
    given = mapping_at(path, value, _DEMAND)
    if "action" not in given:
        raise SettingsError(f"{path}.action: say which demand is meant, such as confirm:contact")
    read: Mapping[str, Callable[[str, object], object]] = {
        "action": text_at,
        "level": lambda place, each: one_of_at(place, each, _LEVELS),
        "deferrals": number_at,
        "every": span_at,
        "remind": span_at,
    }
    return {key: read[key](f"{path}.{key}", each) for key, each in given.items()}


def _lifetimes(path: str, value: object) -> object:
    """The name of an entry, or values; `null` is an installation's own."""
    if not isinstance(value, Mapping):
        return _name(path, value)
    given = mapping_at(path, value, ("name", *LIFETIMES_S))
    return {
        key: _name(f"{path}.{key}", each) if key == "name" else None if each is None else span_at(f"{path}.{key}", each)
        for key, each in given.items()
    }


def _fail(path: str, value: object) -> Values:
    return {key: one_of_at(f"{path}.{key}", each, _FAIL[key]) for key, each in mapping_at(path, value, tuple(_FAIL)).items()}


def _text(path: str, value: object) -> Values:
    return {language: text_at(f"{path}.{language[:16]}", each) for language, each in mapping_at(path, value).items()}


def _needs(path: str, value: object) -> Values | None:
    if value is None:
        return None
    given = mapping_at(path, value, (*_NEED_NUMBERS, *_NEED_KINDS))
    return {
        key: sorted(texts_at(f"{path}.{key}", each)) if key in _NEED_KINDS else number_at(f"{path}.{key}", each)
        for key, each in given.items()
    }


# --- what came -------------------------------------------------------------------------------------------------------------


def _demands_that_came(demands: Sequence[Demand], expected: object) -> list[object]:
    """Each by its action, or by those of its values that are expected of the one in its place."""
    wanted = expected if isinstance(expected, list) else []
    return [
        _values_of(demand, wanted[place]) if place < len(wanted) and isinstance(wanted[place], Mapping) else demand.action
        for place, demand in enumerate(demands)
    ]


def _values_of(demand: Demand, expected: Values) -> Values:
    values: Values = {
        "action": demand.action,
        "level": demand.level,
        "deferrals": demand.deferrals,
        "every": written_as(demand.every_s),
        "remind": written_as(demand.remind_s),
    }
    return {key: values[key] for key in expected}


def _lifetimes_that_came(lifetimes: Lifetimes, expected: object) -> object:
    if not isinstance(expected, Mapping):
        return lifetimes.name or None
    spans = {key: getattr(lifetimes, f"{key}_s") for key in LIFETIMES_S}
    values: Values = {"name": lifetimes.name or None, **{key: None if s is None else written_as(s) for key, s in spans.items()}}
    return {key: values[key] for key in expected}


def _fail_that_came(came: _Came, expected: object) -> Values | None:
    """A refusal needs no neighbour."""
    if came.denied is not None or not isinstance(expected, Mapping):
        return None
    modes: FailModes = came.plan.fail
    values: Values = {"directory_down": modes.directory_down, "gateway_down": modes.gateway_down}
    return {key: values[key] for key in expected}


def _needs_that_came(need: Need | None, expected: object) -> Values | None:
    if need is None or not isinstance(expected, Mapping):
        return None
    values: Values = {
        **{key: getattr(need, key) for key in _NEED_NUMBERS},
        **{key: sorted(getattr(need, key)) for key in _NEED_KINDS},
    }
    return {key: values[key] for key in expected}


_PARTS: Final[Mapping[str, _Part]] = {
    "rule": _Part(_name, lambda came, _: came.plan.rule or None),
    "steps": _Part(_steps, lambda came, _: [list(step) for step in came.plan.steps]),
    "floors": _Part(texts_at, lambda came, _: list(came.plan.floors)),
    "strong_factors": _Part(number_at, lambda came, _: came.plan.strong_factors),
    "denied": _Part(_refusal, lambda came, _: came.denied),
    "actions": _Part(_name, lambda came, _: came.plan.actions or None),
    "demands": _Part(_demands, lambda came, expected: _demands_that_came(came.plan.demands, expected)),
    "lifetimes": _Part(_lifetimes, lambda came, expected: _lifetimes_that_came(came.plan.lifetimes, expected)),
    "trusted_device": _Part(span_at, lambda came, _: written_as(came.plan.lifetimes.trusted_device_s)),
    "fail": _Part(_fail, _fail_that_came),
    "text": _Part(_text, lambda came, _: dict(came.plan.text)),
    "needs": _Part(_needs, lambda came, expected: _needs_that_came(came.need, expected)),
    "weaker_until": _Part(lambda path, value: None if value is None else day_at(path, value), lambda came, _: came.weaker_until),
}
