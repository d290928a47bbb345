"""The tests that a policy carries: what is given, what is expected of the decision, and what came instead.

A test is whole: it asks no directory and no clock, so that it says the same on every machine and every day. Groups, attributes and
enrolled factors are therefore given, not looked up; of what is left out, nothing is known.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from wardgate.errors import SettingsError
from wardgate.policy.conditions import BANDS, COUNTRY, GOALS, AllOf, AnyOf, AtTime, Leaf, Node, Not
from wardgate.policy.expecting import read_expected, what_came
from wardgate.policy.facts import Facts
from wardgate.policy.groups import written_forms
from wardgate.policy.plain import MAX_TEXT_CHARS, flag_at, mapping_at, text_at, texts_at
from wardgate.policy.rules import Policy
from wardgate.policy.settings import PolicyTestSettings
from wardgate.policy.view import DEVICE_KEYS, DN_ATTRIBUTES
from wardgate.policy.windows import parse_moment

# A Monday in winter: a test that names a day of the week means the one after it.
WEEK: Final = datetime(2026, 1, 5, tzinfo=UTC)
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


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of one test. `expected` and `came` have the same keys; `problem`: why there is nothing to compare."""

    name: str
    passed: bool
    expected: Mapping[str, object]
    came: Mapping[str, object]
    problem: str = ""

    @property
    def difference(self) -> str:
        """What was expected and what came, as far as they differ; or why it cannot be said."""
        if self.problem:
            return self.problem
        keys = [key for key in self.expected if self.expected[key] != self.came[key]]
        expected = ", ".join(f"{key} {_shown(self.expected[key])}" for key in keys)
        return f"expected {expected}; came {', '.join(f'{key} {_shown(self.came[key])}' for key in keys)}"


def run_tests(policy: Policy, tests: Sequence[PolicyTestSettings]) -> list[Tested]:
    """Run every test. One that does not say enough fails. Raises SettingsError for what `check_test` refuses."""
    return [_run(policy, test, number) for number, test in enumerate(tests)]


def check_test(test: PolicyTestSettings) -> None:
    """Raises SettingsError that names what is wrong with a test by itself."""
    facts_of_test(test.given, _UTC)
    read_expected(test.expect)


def name_of(test: PolicyTestSettings, number: int) -> str:
    """What a test is called: by its name, or by its place from 1."""
    return test.name or f"number {number + 1}"


def zone_of(policy: Policy) -> ZoneInfo:
    """Whose clocks a moment without a zone means: those of the policy's windows when they are of one zone, else UTC."""
    zones = {window.window.zone.key: window.window.zone for window in _leaves_of(policy) if isinstance(window, AtTime)}
    return next(iter(zones.values())) if len(zones) == 1 else _UTC


def facts_of_test(given: Mapping[str, object], zone: ZoneInfo) -> Facts:
    """The facts that a test gives. Raises SettingsError."""
    unknown = [key for key in given if key not in _GIVEN]
    if unknown:
        raise SettingsError(f"given.{unknown[0][:32]}: unknown; known are {', '.join(_GIVEN)}")
    texts = {key: text_at(f"given.{key}", given.get(key, "")) for key in _TEXTS}
    if texts["goal"] and texts["goal"] not in GOALS:
        raise SettingsError(f"given.goal: known are {', '.join(GOALS)}")
    client = address_of("given.from", given["from"]) if "from" in given else None
    moment = text_at("given.at", given["at"]) if "at" in given else None
    try:
        at = parse_moment(moment, WEEK, zone) if moment is not None else WEEK
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
        enrolled=frozenset(texts_at("given.enrolled", given.get("enrolled", ()))),
        application_kind=texts["application_kind"] or "radius",
        device=device,
        known_device=flag_at("given.known_device", given.get("known_device", False)),
        country=country,
        risk=risk,
    )


def address_of(path: str, value: object) -> str:
    """The address of a machine as facts have it. Raises SettingsError for what is none: it would lie in no network."""
    text = text_at(path, value)
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise SettingsError(f"{path}: {text[:64]!r} is no address: write 203.0.113.7 or 2001:db8::7") from error
    # As the NAS's are read: IPv4 inside IPv6 is IPv4.
    return str((address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None) or address)


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
    expected = read_expected(test.expect)
    facts = facts_of_test(test.given, zone_of(policy))
    problem = next(_left_unsaid(policy, test.given, facts), "")
    if problem:
        return Tested(name_of(test, number), False, {}, {}, problem)
    came = what_came(policy, facts, expected)
    return Tested(name_of(test, number), came == expected, expected, came)


def _left_unsaid(policy: Policy, given: Mapping[str, object], facts: Facts) -> Iterator[str]:
    """What a rule asks for and the test forgot: it would pass, or fail, for no reason that anybody sees."""
    asked = {leaf.name for leaf in _leaves_of(policy)}
    if "at" in asked and "at" not in given:
        yield 'given.at: a rule asks for the time: say when, such as "mon 09:00"'
    if "ou" in asked and not facts.directory and not facts.realm and any(name in facts.attributes for name in DN_ATTRIBUTES):
        yield "given.directory: a rule asks for `ou`: say in whose tree the name stands, or no unit matches"


def _groups(value: object) -> list[str]:
    groups = texts_at("given.groups", value)
    for group in groups:
        if ":" not in group:
            raise SettingsError(f"given.groups: '{group[:64]}' does not say whose group it is; write directory:{group[:64]}")
    return groups


def _attributes(value: object) -> Mapping[str, tuple[str, ...]]:
    given = mapping_at("given.attributes", value)
    return {name.lower(): tuple(texts_at(f"given.attributes.{name[:64]}", each)) for name, each in given.items()}


def _leaves_of(policy: Policy) -> Iterator[Leaf]:
    """Every question of a policy."""
    conditions = [rule.when for goal in policy.self_service.goals.values() for rule in goal.rules]
    conditions += [*(each.when for each in policy.rules), *(each.when for each in policy.floors)]
    conditions += [*(each.when for each in policy.actions), *(each.when for each in policy.lifetimes)]
    for when in conditions:
        yield from _leaves(when)


def _leaves(node: Node) -> Iterator[Leaf]:
    if not isinstance(node, AllOf | AnyOf | Not):
        yield node
        return
    for part in (node.part,) if isinstance(node, Not) else node.parts:
        yield from _leaves(part)


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(each) for each in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(each)}" for key, each in value.items()) + "}"
    return str(value)
