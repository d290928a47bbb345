"""Compiles a `when` of the configuration document into a function of facts.

All entries of one mapping must hold; `any`, `all` and `not` combine. A list means: one of these.

| entry | holds when |
| --- | --- |
| `group: [directory:name]` | the user is in one of these groups, given by name, DN or SID; the directory or realm must be named |
| `user`, `realm`, `directory`, `nas`, `nas_identifier`, `door` | the fact equals one of these |
| `network: [10.0.0.0/8]` | the client address lies in one of these |
| `attribute: {department: [sales]}` | the directory attribute has one of these values |
| `enrolled: [totp]`, `enrolled_not: [totp]` | the user has one / none of these factors |
"""

import ipaddress
from collections.abc import Callable, Mapping, Sequence

from wardgate.errors import SettingsError
from wardgate.policy.facts import Facts
from wardgate.policy.groups import written_forms

Condition = Callable[[Facts], bool]
MAX_DEPTH = 8
MAX_VALUES = 1000


def compile_condition(when: Mapping[str, object], depth: int = 0) -> Condition:
    """The function for a `when`. Raises SettingsError that names the entry."""
    if depth > MAX_DEPTH:
        raise SettingsError(f"when: nested more than {MAX_DEPTH} deep")
    parts = [_entry(name, value, depth) for name, value in when.items()]
    if not parts:
        return lambda facts: True
    if len(parts) == 1:
        return parts[0]
    return lambda facts: all(part(facts) for part in parts)


def _entry(name: str, value: object, depth: int) -> Condition:
    if name in ("any", "all"):
        inner = [compile_condition(_mapping(name, each), depth + 1) for each in _sequence(name, value)]
        combine = any if name == "any" else all
        return lambda facts: combine(part(facts) for part in inner)
    if name == "not":
        refused = compile_condition(_mapping(name, value), depth + 1)
        return lambda facts: not refused(facts)
    compiler = _COMPILERS.get(name)
    if compiler is None:
        known = ", ".join(sorted((*_COMPILERS, "any", "all", "not")))
        raise SettingsError(f"when.{name}: unknown condition; known are {known}")
    return compiler(name, value)


def _group(name: str, value: object) -> Condition:
    texts = _texts(name, value)
    for group in texts:
        if ":" not in group:
            raise SettingsError(f"when.group: '{group}' does not say whose group it is; write directory:{group}")
    wanted = frozenset(form for group in texts for form in written_forms(group))
    return lambda facts: not wanted.isdisjoint(facts.groups)


def _fact(name: str, value: object) -> Condition:
    wanted = frozenset(_texts(name, value))
    return lambda facts: str(getattr(facts, name)).lower() in wanted


def _network(name: str, value: object) -> Condition:
    try:
        networks = [ipaddress.ip_network(text) for text in _texts(name, value)]
    except ValueError as error:
        raise SettingsError(f"when.network: {error}; write 10.0.0.0/8") from error

    def holds(facts: Facts) -> bool:
        if facts.client is None:
            return False
        try:
            address = ipaddress.ip_address(facts.client)
        except ValueError:
            return False
        return any(address in network for network in networks)

    return holds


def _attribute(name: str, value: object) -> Condition:
    wanted = {key.lower(): frozenset(_texts(f"attribute.{key}", each)) for key, each in _mapping(name, value).items()}

    def holds(facts: Facts) -> bool:
        return all(any(held.lower() in values for held in facts.attributes.get(key, ())) for key, values in wanted.items())

    return holds


def _enrolled(name: str, value: object) -> Condition:
    wanted = frozenset(_texts(name, value))
    if name == "enrolled":
        return lambda facts: not wanted.isdisjoint(facts.enrolled)
    return lambda facts: wanted.isdisjoint(facts.enrolled)


_COMPILERS: Mapping[str, Callable[[str, object], Condition]] = {
    "group": _group,
    "user": _fact,
    "realm": _fact,
    "directory": _fact,
    "nas": _fact,
    "nas_identifier": _fact,
    "door": _fact,
    "network": _network,
    "attribute": _attribute,
    "enrolled": _enrolled,
    "enrolled_not": _enrolled,
}


def _texts(name: str, value: object) -> list[str]:
    values = _sequence(name, [value] if isinstance(value, str) else value)
    if not all(isinstance(each, str) and each for each in values):
        raise SettingsError(f"when.{name}: a text or a list of texts is needed")
    return [str(each).lower() for each in values]


def _sequence(name: str, value: object) -> Sequence[object]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not 0 < len(value) <= MAX_VALUES:
        raise SettingsError(f"when.{name}: a list with 1 to {MAX_VALUES} entries is needed")
    return value


def _mapping(name: str, value: object) -> Mapping[str, object]:
    # An empty one would hold for everybody. Only the whole `when` may be left empty, which one sees.
    if not isinstance(value, Mapping) or not value or not all(isinstance(key, str) for key in value):
        raise SettingsError(f"when.{name}: a mapping is needed, such as {{group: [directory:name]}}")
    return value
