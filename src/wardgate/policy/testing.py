"""The tests that a policy carries: what is given, what is expected of the decision, and what came instead.

A test is whole: it asks no directory and no clock, so that it says the same on every machine and every day. Groups, attributes and
enrolled factors are therefore given, not looked up; of what is left out, nothing is known.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from wardgate.durations import seconds_of, written_as
from wardgate.errors import SettingsError
from wardgate.policy.conditions import BANDS, COUNTRY, GOALS, MAX_VALUES, AllOf, AnyOf, AtTime, Node, Not
from wardgate.policy.facts import Facts
from wardgate.policy.groups import written_forms
from wardgate.policy.needs import Need, need_of
from wardgate.policy.plan import Decision, NoEntry
from wardgate.policy.rules import Policy, decide
from wardgate.policy.settings import PolicyTestSettings
from wardgate.policy.view import DEVICE_KEYS
from wardgate.policy.windows import parse_moment

# A Monday in winter: a test that names a day of the week means the one after it.
WEEK: Final = datetime(2026, 1, 5, tzinfo=UTC)
MAX_TEXT_CHARS: Final = 4096
_UTC: Final = ZoneInfo("UTC")
_TEXTS: Final = (
    "goal",
    "application",
    "application_kind",
    "door",
    "realm",
    "directory",
    "user",
    "nas",
    "nas_identifier",
    "country",
    "risk",
)
_GIVEN: Final = (*_TEXTS, "from", "at", "groups", "attributes", "enrolled", "known_device", "device")
_EXPECTED: Final = (
    "rule", "steps", "floors", "strong_factors", "denied", "actions", "demands", "lifetimes", "trusted_device", "needs",
)  # fmt: skip
_NEEDS: Final = ("proofs", "weight", "strongest", "alone", "never")


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of one test. `expected` and `came` have the same keys."""

    name: str
    passed: bool
    expected: Mapping[str, object]
    came: Mapping[str, object]

    @property
    def difference(self) -> str:
        """What was expected and what came, as far as they differ."""
        keys = [key for key in self.expected if self.expected[key] != self.came[key]]
        expected = ", ".join(f"{key} {_shown(self.expected[key])}" for key in keys)
        return f"expected {expected}; came {', '.join(f'{key} {_shown(self.came[key])}' for key in keys)}"


def run_tests(policy: Policy, tests: Sequence[PolicyTestSettings]) -> list[Tested]:
    """Run every test. Raises SettingsError for one that cannot be run."""
    return [_run(policy, test, number) for number, test in enumerate(tests)]


def check_test(test: PolicyTestSettings) -> None:
    """Raises SettingsError that names what is wrong with a test by itself."""
    facts_of_test(test.given, _UTC)
    _expected(test.expect)


def name_of(test: PolicyTestSettings, number: int) -> str:
    """What a test is called: by its name, or by its place from 1."""
    return test.name or f"number {number + 1}"


def zone_of(policy: Policy) -> ZoneInfo:
    """Whose clocks a moment without a zone means: those of the policy's windows when they are of one zone, else UTC."""
    zones = {window.window.zone.key: window.window.zone for window in _windows_of(policy)}
    return next(iter(zones.values())) if len(zones) == 1 else _UTC


def facts_of_test(given: Mapping[str, object], zone: ZoneInfo) -> Facts:
    """The facts that a test gives. Raises SettingsError."""
    unknown = [key for key in given if key not in _GIVEN]
    if unknown:
        raise SettingsError(f"given.{unknown[0][:32]}: unknown; known are {', '.join(_GIVEN)}")
    texts = {key: _text(key, given.get(key, "")) for key in _TEXTS}
    if texts["goal"] and texts["goal"] not in GOALS:
        raise SettingsError(f"given.goal: known are {', '.join(GOALS)}")
    client = _text("from", given["from"]) if "from" in given else None
    try:
        at = parse_moment(_text("at", given["at"]), WEEK, zone) if "at" in given else WEEK
    except SettingsError as error:
        raise SettingsError(f"given.at: {error.message}") from error
    try:
        device, country, risk = device_of(given.get("device", {})), country_of(texts["country"]), band_of(texts["risk"])
    except SettingsError as error:
        raise SettingsError(f"given.{error.message}") from error
    return Facts(
        goal=texts["goal"] or "login",
        application=texts["application"],
        door=texts["door"] or "radius",
        realm=texts["realm"],
        directory=texts["directory"],
        user=texts["user"],
        at=at,
        nas=texts["nas"],
        nas_identifier=texts["nas_identifier"],
        client=client,
        groups=frozenset(form for group in _groups(given.get("groups", ())) for form in written_forms(group)),
        attributes=_attributes(given.get("attributes", {})),
        enrolled=frozenset(_texts("enrolled", given.get("enrolled", ()))),
        application_kind=texts["application_kind"] or "radius",
        device=device,
        known_device=_yes_or_no("known_device", given.get("known_device", False)),
        country=country,
        risk=risk,
    )


def country_of(text: str) -> str:
    """A country as facts have it: two letters in lower case, or nothing. Raises SettingsError."""
    if text and not COUNTRY.fullmatch(text.lower()):
        raise SettingsError(f"country: {text[:32]!r} is no country: two letters are needed, such as tr")
    return text.lower()


def band_of(text: str) -> str:
    """A band of risk, or nothing. Raises SettingsError."""
    if text and text.lower() not in BANDS:
        raise SettingsError(f"risk: known are {', '.join(BANDS)}")
    return text.lower()


def device_of(value: object) -> Mapping[str, str]:
    """What a NAS would tell of the person's machine. Raises SettingsError."""
    if not isinstance(value, Mapping):
        raise SettingsError("device: keys with values are needed, such as {os: Windows}")
    for key in value:
        if key not in DEVICE_KEYS:
            raise SettingsError(f"device.{str(key)[:32]}: known are {', '.join(DEVICE_KEYS)}")
        if not isinstance(value[key], str) or len(value[key]) > MAX_TEXT_CHARS:
            raise SettingsError(f"device.{key}: a text is needed")
    return dict(value)


def _run(policy: Policy, test: PolicyTestSettings, number: int) -> Tested:
    if "at" not in test.given and any(_windows_of(policy)):
        raise SettingsError(f'test {name_of(test, number)}: given.at: a rule asks for the time: say when, such as "mon 09:00"')
    expected = _expected(test.expect)
    facts = facts_of_test(test.given, zone_of(policy))
    came = {**_came(decide(policy, facts)), "needs": _needs(need_of(policy.self_service, facts), expected.get("needs"))}
    kept = {key: came[key] for key in expected}
    return Tested(name_of(test, number), kept == expected, expected, kept)


def _came(decision: Decision) -> Mapping[str, object]:
    if isinstance(decision, NoEntry):
        return {
            "rule": decision.rule or None,
            "steps": [],
            "floors": [],
            "strong_factors": 0,
            "denied": decision.reason,
            "actions": None,
            "demands": [],
            "lifetimes": None,
            "trusted_device": written_as(0),
        }
    return {
        "rule": decision.rule,
        "steps": [list(step) for step in decision.steps],
        "floors": list(decision.floors),
        "strong_factors": decision.strong_factors,
        "denied": None,
        "actions": decision.actions or None,
        "demands": [demand.action for demand in decision.demands],
        "lifetimes": decision.lifetimes.name or None,
        "trusted_device": written_as(decision.lifetimes.trusted_device_s),
    }


def _needs(need: Need | None, expected: object) -> object:
    """What came of those parts of a need that are expected."""
    if need is None or not isinstance(expected, Mapping):
        return None
    came = {
        "proofs": need.proofs,
        "weight": need.weight,
        "strongest": need.strongest,
        "alone": sorted(need.alone),
        "never": sorted(need.never),
    }
    return {key: came[key] for key in expected}


def _expected(expect: Mapping[str, object]) -> Mapping[str, object]:
    if not expect:
        raise SettingsError(f"expect: say what has to come: {', '.join(_EXPECTED)}")
    for key, value in expect.items():
        if key not in _EXPECTED:
            raise SettingsError(f"expect.{key[:32]}: unknown; known are {', '.join(_EXPECTED)}")
        if key in ("rule", "actions", "lifetimes") and value is not None:
            _text(key, value, "expect")
        if key == "denied" and value not in ("no_rule", "rule_denies", None):
            raise SettingsError("expect.denied: no_rule, rule_denies or null is needed")
        if key == "strong_factors":
            _number(key, value)
    expected = dict(expect)
    for key in ("floors", "demands"):
        if key in expect:
            expected[key] = _texts(key, expect[key], "expect")
    if "steps" in expect:
        expected["steps"] = [_texts("steps", step, "expect") for step in _list("steps", expect["steps"], "expect")]
    if "trusted_device" in expect:
        expected["trusted_device"] = _span(expect["trusted_device"])
    if "needs" in expect:
        expected["needs"] = _expected_needs(expect["needs"])
    return expected


def _expected_needs(value: object) -> Mapping[str, object] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not value or any(key not in _NEEDS for key in value):
        raise SettingsError(f"expect.needs: keys with values are needed: {', '.join(_NEEDS)}; or null")
    kinds = ("alone", "never")
    return {
        str(key): sorted(_texts(f"needs.{key}", each, "expect")) if key in kinds else _number(f"needs.{key}", each)
        for key, each in value.items()
    }


def _span(value: object) -> str:
    try:
        return written_as(seconds_of(value if isinstance(value, str | int) else ""))
    except SettingsError as error:
        raise SettingsError(f"expect.trusted_device: {error.message}") from error


def _number(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingsError(f"expect.{key}: a number is needed")
    return value


def _groups(value: object) -> list[str]:
    groups = _texts("groups", value)
    for group in groups:
        if ":" not in group:
            raise SettingsError(f"given.groups: '{group[:64]}' does not say whose group it is; write directory:{group[:64]}")
    return groups


def _attributes(value: object) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(value, Mapping) or len(value) > MAX_VALUES:
        raise SettingsError("given.attributes: names with values are needed, such as {department: sales}")
    return {str(name).lower(): tuple(_texts(f"attributes.{name}", each)) for name, each in value.items()}


def _yes_or_no(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"given.{key}: true or false is needed")
    return value


def _texts(key: str, value: object, of: str = "given") -> list[str]:
    values = [value] if isinstance(value, str) else _list(key, value, of)
    return [_text(key, each, of) for each in values]


def _list(key: str, value: object, of: str) -> Sequence[object]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) > MAX_VALUES:
        raise SettingsError(f"{of}.{key}: a list of at most {MAX_VALUES} is needed")
    return value


def _text(key: str, value: object, of: str = "given") -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS:
        raise SettingsError(f"{of}.{key}: a text is needed")
    return value


def _windows_of(policy: Policy) -> Iterator[AtTime]:
    conditions = [rule.when for goal in policy.self_service.goals.values() for rule in goal.rules]
    conditions += [*(each.when for each in policy.rules), *(each.when for each in policy.floors)]
    conditions += [*(each.when for each in policy.actions), *(each.when for each in policy.lifetimes)]
    for when in conditions:
        yield from _windows(when)


def _windows(node: Node) -> Iterator[AtTime]:
    if isinstance(node, AtTime):
        yield node
    for part in node.parts if isinstance(node, AllOf | AnyOf) else (node.part,) if isinstance(node, Not) else ():
        yield from _windows(part)


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(each) for each in value) + "]"
    return str(value)
