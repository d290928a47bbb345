"""The facts of one decision as conditions ask for them: each worked out when the first asks, and once.

Two hundred rules ask the same few questions. Texts are compared in lower case.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final
from zoneinfo import ZoneInfo

from wardgate.policy.facts import Facts
from wardgate.policy.groups import group_form

Address = tuple[int, int]
Held = Collection[str]

ATTRIBUTE: Final = "attribute."
DEVICE: Final = "device."
DEVICE_KEYS: Final = ("os", "hostname", "app_version", "user_domain")
YES: Final = "yes"
DN_ATTRIBUTES: Final = ("distinguishedname", "dn")
MAX_DN_CHARS: Final = 4096
# RFC 4514 section 2.4: a separator inside of a value stands behind a backslash.
_RDN = re.compile(r"(?:\\.|[^,\\])+", re.DOTALL)
_NOTHING: Final[tuple[str, ...]] = ()


class View:
    """One look at the facts."""

    __slots__ = ("_address", "_held", "_minutes", "facts")

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._held: dict[str, Held] = {}
        self._address: Address | bool | None = False
        self._minutes: dict[str, int] = {}

    def held(self, key: str) -> Held:
        """Every value that the facts have for a question: `group`, `user`, `attribute.department` ..."""
        found = self._held.get(key)
        if found is None:
            ask = _QUESTIONS.get(key)
            found = self._held[key] = ask(self.facts) if ask is not None else _attribute(self.facts, key)
        return found

    def address(self) -> Address | None:
        """The client's address as version and number; None when it is unknown or no address."""
        if isinstance(self._address, bool):
            self._address = _address(self.facts.client)
        return self._address

    def minute_of_week(self, zone: ZoneInfo) -> int:
        """What clocks on the wall of a zone show: minutes since Monday 00:00."""
        found = self._minutes.get(zone.key)
        if found is None:
            local = self.facts.at.astimezone(zone)
            found = self._minutes[zone.key] = local.weekday() * 1440 + local.hour * 60 + local.minute
        return found


def organisational_units(dn: str) -> Iterator[str]:
    """Everything that a DN lies below, from its parent upwards, in lower case."""
    parts = _RDN.findall(group_form(dn)) if len(dn) <= MAX_DN_CHARS else []
    for number in range(1, len(parts)):
        yield ",".join(parts[number:])


def _address(client: str | None) -> Address | None:
    if client is None:
        return None
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    return address.version, int(address)


def _device(key: str) -> Callable[[Facts], Held]:
    def held(facts: Facts) -> Held:
        value = facts.device.get(key)
        return (value.lower(),) if value else _NOTHING

    return held


def _attribute(facts: Facts, key: str) -> Held:
    values = facts.attributes.get(key[len(ATTRIBUTE) :])
    return tuple([value.lower() for value in values]) if values else _NOTHING


def _units(facts: Facts) -> Held:
    dns = next((facts.attributes[name] for name in DN_ATTRIBUTES if facts.attributes.get(name)), _NOTHING)
    places = (facts.directory.lower(), facts.realm.lower())
    return frozenset([f"{place}:{unit}" for dn in dns for unit in organisational_units(dn) for place in places])


# The questions that have a list of values for an answer.
_QUESTIONS: Final[Mapping[str, Callable[[Facts], Held]]] = {
    "application": lambda facts: (facts.application.lower(),),
    "application_kind": lambda facts: (facts.application_kind.lower(),),
    "goal": lambda facts: (facts.goal.lower(),),
    "door": lambda facts: (facts.door.lower(),),
    "realm": lambda facts: (facts.realm.lower(),),
    "directory": lambda facts: (facts.directory.lower(),),
    "user": lambda facts: (facts.user.lower(),),
    "nas": lambda facts: (facts.nas.lower(),),
    "nas_identifier": lambda facts: (facts.nas_identifier.lower(),),
    "client": lambda facts: (facts.client.lower(),) if facts.client else _NOTHING,
    "group": lambda facts: facts.groups,
    "ou": _units,
    "enrolled": lambda facts: facts.enrolled,
    "country": lambda facts: (facts.country.lower(),) if facts.country else _NOTHING,
    "known_device": lambda facts: (YES,) if facts.known_device else _NOTHING,
    "risk": lambda facts: (facts.risk.lower(),) if facts.risk else _NOTHING,
    **{f"{DEVICE}{key}": _device(key) for key in DEVICE_KEYS},
}
