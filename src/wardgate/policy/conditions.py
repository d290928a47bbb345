"""Compiles a `when` of the configuration document into a tree of questions about facts.

All entries of one mapping must hold; `any`, `all` and `not` combine. A list means: one of these. Texts are compared in any case.

| entry | holds when |
| --- | --- |
| `group: [directory:name]` | the user is in one of these groups, given by name, DN or SID; the directory or realm must be named |
| `ou: ["directory:OU=sales,DC=acme,DC=test"]` | the user's DN lies below one of these; the directory or realm must be named |
| `user`, `realm`, `directory` | the fact equals one of these |
| `application`, `application_kind`, `goal`, `door` | the fact equals one of these |
| `nas`, `nas_identifier`, `client` | the fact equals one of these; `client` is the address as the NAS tells it |
| `network: [office, 10.0.0.0/8]` | the client address lies in one of these: a list of `networks` by its name, or literal |
| `attribute: {department: [sales]}` | the directory attribute has one of these values |
| `attribute: {department: {matches: "x.*"}}` | it matches a pattern (see `patterns.py`); `{equals: x}` and `{in: [x]}` as well |
| `at: {days: [mon-fri], from: "08:00", to: "18:00", zone: UTC}` | the clocks of the zone show a time in it, or in one of several |
| `enrolled: [totp]`, `enrolled_not: [totp]` | the user has one / none of these factors |
| `country: [tr, de]` | the client address lies in one of these countries; where that is not known, in none |
| `known_device: true` | it comes from a device that the person told us to trust and that proved it; `false`: from any other |
| `risk: [moderate, high]` | the risk of the login lies in one of these bands; while risk is off, in none |
| `device: {os: [windows]}` | the NAS says so of the machine: `os`, `hostname`, `app_version`, `user_domain`; as for `attribute` |

`policy/index.py` looks at the classes of the tree to find the rules that can match without asking each of them.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from wardgate.errors import SettingsError
from wardgate.policy.facts import Facts
from wardgate.policy.groups import written_forms
from wardgate.policy.patterns import compile_pattern, matches
from wardgate.policy.view import ATTRIBUTE, DEVICE, DEVICE_KEYS, YES, View
from wardgate.policy.windows import Window, parse_window

Condition = Callable[[Facts], bool]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = Mapping[str, Sequence[Network]]
MAX_DEPTH = 8
MAX_VALUES = 1000
# ISO 3166-1: two letters.
COUNTRY: Final = re.compile(r"[a-z]{2}")
BANDS: Final = ("safe", "low", "moderate", "high")
GOALS: Final = ("login", "reset", "unlock", "recover_name", "change", "enrol", "activate", "confirm", "helpdesk")
ENROLLED: Final = "enrolled"
GROUP: Final = "group"
_SHOWN_VALUES: Final = 4


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of the values that are held for a question is wanted."""

    name: str
    key: str
    wanted: frozenset[str]
    words: str

    def holds(self, view: View) -> bool:
        """Whether it holds."""
        return not self.wanted.isdisjoint(view.held(self.key))


@dataclass(frozen=True, slots=True)
class InNetwork:
    """The client's address lies in one of the networks."""

    networks: tuple[Network, ...]
    words: str
    name: str = "network"

    def holds(self, view: View) -> bool:
        """Whether it holds."""
        address = view.address()
        if address is None:
            return False
        version, number = address
        return any(
            network.version == version and number >> (network.max_prefixlen - network.prefixlen) == prefix_of(network)
            for network in self.networks
        )


@dataclass(frozen=True, slots=True)
class AtTime:
    """The clocks of a zone show a time in the window."""

    window: Window
    name: str = "at"

    @property
    def words(self) -> str:
        """The window."""
        return self.window.words

    def holds(self, view: View) -> bool:
        """Whether it holds."""
        return self.window.holds(view.minute_of_week(self.window.zone))


@dataclass(frozen=True, slots=True)
class Matching:
    """One of an attribute's values matches a pattern."""

    name: str
    key: str
    pattern: re.Pattern[str]
    words: str

    def holds(self, view: View) -> bool:
        """Whether it holds."""
        for value in view.held(self.key):  # noqa: SIM110 - as for `all`
            if matches(self.pattern, value):
                return True
        return False


@dataclass(frozen=True, slots=True)
class AllOf:
    """All parts hold; without parts: always."""

    parts: tuple["Node", ...]
    name: str = "all"

    def holds(self, view: View) -> bool:
        """Whether it holds."""
        for part in self.parts:  # noqa: SIM110 - a login waits, and a generator costs as much as what it asks
            if not part.holds(view):
                return False
        return True


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One part holds."""

    parts: tuple["Node", ...]
    name: str = "any"

    def holds(self, view: View) -> bool:
        """Whether it holds."""
        for part in self.parts:  # noqa: SIM110 - as above
            if part.holds(view):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: "Node"
    name: str = "not"

    def holds(self, view: View) -> bool:
        """Whether it holds."""
        return not self.part.holds(view)


Leaf = OneOf | InNetwork | AtTime | Matching
Node = Leaf | AllOf | AnyOf | Not


def compile_condition(when: Mapping[str, object]) -> Condition:
    """The function for a `when`. Raises SettingsError that names the entry."""
    tree = parse_condition(when)
    if isinstance(tree, AllOf) and not tree.parts:
        return lambda facts: True
    return lambda facts: tree.holds(View(facts))


def parse_condition(when: Mapping[str, object], networks: Networks | None = None) -> Node:
    """The tree of a `when`. `networks`: the lists that `network` may name. Raises SettingsError that names the entry."""
    return _Parser(networks or {}).mapping(when, 0)


def condition_at(where: str, when: Mapping[str, object], networks: Networks | None = None) -> Node:
    """The same; an error begins with `where` the condition stands."""
    try:
        return parse_condition(when, networks)
    except SettingsError as error:
        raise SettingsError(f"{where}.{error.message}") from error


def asks_about_factor(node: Node, kind: str) -> bool:
    """Whether a condition asks if somebody has this factor."""
    return any(each.key == ENROLLED and kind in each.wanted for each in _lists_in(node))


def asks_what_is_enrolled(node: Node) -> bool:
    """Whether a condition asks which factors somebody has."""
    return any(each.key == ENROLLED for each in _lists_in(node))


def asks_about_groups(node: Node) -> bool:
    """Whether a condition asks in which groups somebody is."""
    return any(each.key == GROUP for each in _lists_in(node))


def _lists_in(node: Node) -> Iterator[OneOf]:
    match node:
        case OneOf():
            yield node
        case AllOf() | AnyOf():
            for part in node.parts:
                yield from _lists_in(part)
        case Not():
            yield from _lists_in(node.part)


def prefix_of(network: Network) -> int:
    """The bits that all addresses of a network have in common."""
    return int(network.network_address) >> (network.max_prefixlen - network.prefixlen)


class _Parser:
    def __init__(self, networks: Networks) -> None:
        self._networks = {name.lower(): addresses for name, addresses in networks.items()}

    def mapping(self, when: Mapping[str, object], depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise SettingsError(f"when: nested more than {MAX_DEPTH} deep")
        parts = tuple(self._entry(name, value, depth) for name, value in when.items())
        return parts[0] if len(parts) == 1 else AllOf(parts)

    def _entry(self, name: str, value: object, depth: int) -> Node:
        if name in ("any", "all"):
            inner = tuple(self.mapping(_mapping(name, each), depth + 1) for each in _sequence(name, value))
            return AnyOf(inner) if name == "any" else AllOf(inner)
        if name == "not":
            return Not(self.mapping(_mapping(name, value), depth + 1))
        if name == "network":
            return self._network(value)
        parse = _PARSERS.get(name)
        if parse is None:
            known = ", ".join(sorted((*CONDITIONS, "any", "all", "not")))
            raise SettingsError(f"when.{name}: unknown condition; known are {known}")
        return parse(name, value)

    def _network(self, value: object) -> Node:
        texts = _texts("network", value)
        return InNetwork(tuple(network for text in texts for network in self._networks_of(text)), _words(texts))

    def _networks_of(self, text: str) -> Sequence[Network]:
        if text in self._networks:
            return self._networks[text]
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            known = ", ".join(sorted(self._networks)[:10])
            named = f", or the name of one of the networks: {known}" if known else ""
            raise SettingsError(f"when.network: {error}; write 10.0.0.0/8{named}") from error
        if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
            # A client's address is never told so, and a floor that asks for one would never hold.
            raise SettingsError(f"when.network: {text} is IPv4 inside IPv6; write the IPv4 network")
        return (network,)


def _group(name: str, value: object) -> Node:
    texts = _texts(name, value)
    for group in texts:
        if ":" not in group:
            raise SettingsError(f"when.{name}: '{group}' does not say whose {name} it is; write directory:{group}")
    return OneOf(name, name, frozenset(form for group in texts for form in written_forms(group)), _words(texts))


def _fact(name: str, value: object) -> Node:
    texts = _texts(name, value)
    return OneOf(name, name, frozenset(texts), _words(texts))


def _client(name: str, value: object) -> Node:
    """Addresses as a NAS's are read, whatever they are written like: as texts, `2001:db8:0::1` would never be met."""
    return _fact(name, [_address(text) for text in _texts(name, value)])


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise SettingsError(f"when.client: {text[:64]!r} is no address; for networks there is `network`") from error
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _goal(name: str, value: object) -> Node:
    for text in _texts(name, value):
        if text not in GOALS:
            raise SettingsError(f"when.goal: unknown goal {text[:32]!r}; known are {', '.join(GOALS)}")
    return _fact(name, value)


def _at(name: str, value: object) -> Node:
    if isinstance(value, Mapping):
        return AtTime(parse_window(value))
    windows = tuple(AtTime(parse_window(each)) for each in _sequence(name, value))
    return windows[0] if len(windows) == 1 else AnyOf(windows)


def _attribute(name: str, value: object) -> Node:
    parts = tuple(_compared(f"{ATTRIBUTE}{key}", each) for key, each in _mapping(name, value).items())
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _device(name: str, value: object) -> Node:
    given = _mapping(name, value)
    for key in given:
        if key not in DEVICE_KEYS:
            raise SettingsError(f"when.device.{key[:32]}: not known of a device; known are {', '.join(DEVICE_KEYS)}")
    parts = tuple(_compared(f"{DEVICE}{key}", each) for key, each in given.items())
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _compared(name: str, value: object) -> Node:
    """A fact with values that somebody else wrote: equal to one of several texts, or matching a pattern."""
    if isinstance(value, Mapping):
        operator, value = _operator(name, value)
        if operator == "matches":
            return _matching(name, value)
        if operator == "equals" and not isinstance(value, str):
            raise SettingsError(f"when.{name}.equals: a text is needed; for several there is `in`")
    texts = _texts(name, value)
    return OneOf(name, name.lower(), frozenset(texts), _words(texts))


def _matching(name: str, value: object) -> Node:
    try:
        pattern = compile_pattern(value)
    except SettingsError as error:
        raise SettingsError(f"when.{name}.matches: {error.message}") from error
    return Matching(name, name.lower(), pattern, f"matches {pattern.pattern}")


def _operator(name: str, value: Mapping[str, object]) -> tuple[str, object]:
    found = list(value.items())
    if len(found) != 1 or found[0][0] not in ("equals", "in", "matches"):
        raise SettingsError(
            f"when.{name}: a text, a list of texts, or one of {{equals: x}}, {{in: [x, y]}}, {{matches: x}} is needed"
        )
    return found[0]


def _enrolled(name: str, value: object) -> Node:
    texts = _texts(name, value)
    asked = OneOf("enrolled", ENROLLED, frozenset(texts), _words(texts))
    return asked if name == "enrolled" else Not(asked)


def _country(name: str, value: object) -> Node:
    for text in _texts(name, value):
        if not COUNTRY.fullmatch(text):
            raise SettingsError(f"when.country: {text[:32]!r} is no country: two letters are needed, such as tr")
    return _fact(name, value)


def _risk(name: str, value: object) -> Node:
    for text in _texts(name, value):
        if text not in BANDS:
            raise SettingsError(f"when.risk: unknown band {text[:32]!r}; known are {', '.join(BANDS)}")
    return _fact(name, value)


def _known_device(name: str, value: object) -> Node:
    if not isinstance(value, bool):
        raise SettingsError(f"when.{name}: true or false is needed")
    asked = OneOf(name, name, frozenset({YES}), YES)
    return asked if value else Not(asked)


_PARSERS: Mapping[str, Callable[[str, object], Node]] = {
    GROUP: _group,
    "ou": _group,
    "user": _fact,
    "realm": _fact,
    "directory": _fact,
    "application": _fact,
    "application_kind": _fact,
    "goal": _goal,
    "door": _fact,
    "nas": _fact,
    "nas_identifier": _fact,
    "client": _client,
    "attribute": _attribute,
    "at": _at,
    "enrolled": _enrolled,
    "enrolled_not": _enrolled,
    "country": _country,
    "known_device": _known_device,
    "risk": _risk,
    "device": _device,
}

# Every name that stands before a question; `any`, `all` and `not` combine.
CONDITIONS: Final = (*_PARSERS, "network")


def _words(texts: Sequence[str]) -> str:
    more = f" or {len(texts) - _SHOWN_VALUES} more" if len(texts) > _SHOWN_VALUES else ""
    return ", ".join(texts[:_SHOWN_VALUES]) + more


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
