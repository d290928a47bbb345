"""Reply attributes of an accepted login: ordered rules of the application, compiled once.

Every rule that matches adds its attributes. `{group}` in a value gives one attribute for each of the user's groups that the
rule's `when` names, by name, DN or SID, and is always the group's name; `{user}`, `{name}`, `{mail}` and `{attribute.NAME}` are
filled from the grant. A value whose place has nothing to put in is left out. `when` asks about the user only: where he comes from
is the policy's matter.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from wardgate.engine.outcome import Granted
from wardgate.engine.settings import ReleaseRuleSettings
from wardgate.errors import SettingsError
from wardgate.policy.conditions import Condition, compile_condition
from wardgate.policy.facts import Facts
from wardgate.policy.groups import given_groups, qualified_groups
from wardgate.radius.attributes import AttributeDefinition, AttributeValueError, Dictionary, Kind, encode_attribute
from wardgate.radius.packet import Attribute

_PLACE = re.compile(r"\{([a-z]+(?:\.[^{}]+)?)\}")
_PLACES = ("group", "user", "name", "mail")
# What a grant knows. A condition on anything else would hold, or not hold, for everybody: `not: {network: ...}` for example.
_CONDITIONS = ("group", "attribute", "user", "realm", "directory")
_COMBINATIONS = ("any", "all", "not")
# No condition of a rule asks for the time.
_NO_TIME = datetime.fromtimestamp(0, UTC)
MAX_ATTRIBUTES = 100
# As many changes as there may be while one login runs.
MAX_EARLIER = 8


@dataclass(frozen=True, slots=True)
class _Rule:
    holds: Condition
    groups: frozenset[str]
    add: tuple[tuple[AttributeDefinition, str | int], ...]


@dataclass(frozen=True, slots=True)
class Release:
    """The compiled rules of one application.

    `mark`: what a grant bears that was made for these rules. `earlier`: those that they took the place of, the newest first.
    """

    rules: tuple[_Rule, ...]
    mark: str = ""
    earlier: tuple["Release", ...] = ()

    def after(self, before: "Release") -> "Release":
        """The same, in the place of others: what was granted by them and is on its way is released by them."""
        known = (replace(before, earlier=()), *before.earlier)
        return replace(self, earlier=tuple(each for each in known if each.mark != self.mark)[:MAX_EARLIER])

    def of(self, mark: str) -> "Release | None":
        """The rules that a grant of this mark was made for, if they are known still."""
        if mark == self.mark:
            return self
        return next((each for each in self.earlier if each.mark == mark), None)

    def attributes(self, granted: Granted, language: str = "en") -> tuple[list[Attribute], list[str]]:
        """The reply attributes for a grant, and what had to be left out and why."""
        facts = _facts(granted)
        added: list[Attribute] = []
        left_out: list[str] = []
        for rule in self.rules:
            if not rule.holds(facts):
                continue
            for definition, template in rule.add:
                for value in _values(definition, template, rule, granted):
                    try:
                        added.append(encode_attribute(definition, value))
                    except AttributeValueError as error:
                        left_out.append(error.message)
        if len(added) > MAX_ATTRIBUTES:
            left_out.append(f"more than {MAX_ATTRIBUTES} attributes")
        return added[:MAX_ATTRIBUTES], left_out


def compile_release(rules: Sequence[ReleaseRuleSettings], dictionary: Dictionary) -> Release:
    """Check and compile. Raises SettingsError that names the attribute or condition."""
    return Release(tuple(_rule(rule.when, rule.add, dictionary) for rule in rules))


def compile_vendor_release(rules: Iterable[Mapping[str, Mapping[str, object]]], dictionary: Dictionary) -> Release:
    """The same for a vendor profile's own rules."""
    return Release(tuple(_rule(rule.get("when", {}), rule.get("add", {}), dictionary) for rule in rules))


def _rule(when: Mapping[str, object], add: Mapping[str, object], dictionary: Dictionary) -> _Rule:
    compiled: list[tuple[AttributeDefinition, str | int]] = []
    for reference, value in add.items():
        definition = dictionary.find(reference)
        if definition.protected:
            raise SettingsError(f"release: {definition.name} is set by the server itself")
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, bool) or not isinstance(each, str | int):
                raise SettingsError(f"release: {definition.name} needs a text, a number or a list of them")
            _check_value(definition, each)
            compiled.append((definition, each))
    condition = compile_condition(when)
    _check_conditions(when)
    return _Rule(condition, frozenset(given_groups(when)), tuple(compiled))


def _check_value(definition: AttributeDefinition, value: str | int) -> None:
    places = _PLACE.findall(value) if isinstance(value, str) else []
    if not places:
        encode_attribute(definition, value)
    for place in places:
        if place not in _PLACES and not place.startswith("attribute."):
            known = ", ".join(f"{{{each}}}" for each in _PLACES)
            raise SettingsError(
                f"release: {definition.name}: there is nothing to put in {{{place}}}; known are {known}, {{attribute.NAME}}"
            )


def _check_conditions(when: object) -> None:
    """Raises SettingsError for a condition on what a grant does not know."""
    for name, value in when.items() if isinstance(when, Mapping) else ():
        if name not in _CONDITIONS and name not in _COMBINATIONS:
            raise SettingsError(f"release: when.{name}: a rule can ask for {', '.join(_CONDITIONS)}, any, all and not")
        for inner in value if name in _COMBINATIONS and isinstance(value, list | tuple) else [value]:
            if name in _COMBINATIONS:
                _check_conditions(inner)


def _values(definition: AttributeDefinition, template: str | int, rule: _Rule, granted: Granted) -> list[str | int]:
    if isinstance(template, int) or not _PLACE.search(template):
        return [template]
    groups = _matching_groups(rule, granted) if "{group}" in template else [""]
    filled = [_fill(template, granted, group) for group in groups]
    return [_as_text(definition, template, value) for value in filled if value is not None]


def _as_text(definition: AttributeDefinition, template: str, value: str) -> str:
    """What came from a directory is text. Only the operator writes octets: a group called 0x4F55... must not become `OU=...`."""
    takes_octets = definition.kind in (Kind.OCTETS, Kind.UNTYPED)
    if takes_octets and _is_hexadecimal(value) and not _is_hexadecimal(template):
        return "0x" + value.encode().hex()
    return value


def _is_hexadecimal(text: str) -> bool:
    return text[:2].lower() == "0x"


def _matching_groups(rule: _Rule, granted: Granted) -> list[str]:
    """The groups that the rule names, by name, DN or SID, and the user has; all of the user's groups when it names none."""
    if not rule.groups:
        return list(granted.groups)
    places, aliases = (granted.directory, granted.realm), granted.group_aliases
    return [group for group in granted.groups if not rule.groups.isdisjoint(qualified_groups(places, (group,), aliases))]


def _fill(template: str, granted: Granted, group: str) -> str | None:
    """The text with its places filled; None when a place has nothing to put in."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        found = group if match.group(1) == "group" else _place(match.group(1), granted)
        missing = missing or not found
        return found

    # One pass, so that a value that itself looks like a place is not filled again.
    filled = _PLACE.sub(value, template)
    return None if missing else filled


def _place(name: str, granted: Granted) -> str:
    kind, _, attribute = name.partition(".")
    if kind == "attribute":
        wanted = attribute.lower()
        return next((values[0] for held, values in granted.attributes.items() if values and held.lower() == wanted), "")
    return {"user": granted.user_name, "name": granted.display_name, "mail": granted.mail or ""}.get(kind, "")


def _facts(granted: Granted) -> Facts:
    return Facts(
        goal="login",
        application=granted.application,
        door="radius",
        realm=granted.realm,
        directory=granted.directory,
        user=granted.user_name,
        at=_NO_TIME,
        groups=qualified_groups((granted.directory, granted.realm), granted.groups, granted.group_aliases),
        attributes={name.lower(): values for name, values in granted.attributes.items()},
    )
