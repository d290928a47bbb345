"""From where and through which NAS people log in, as far as policies can tell one from another: one situation of each kind. Pure.

A login's address is not known beforehand, and to take it for unknown would leave out every rule about a network. So each part of
the address space that the networks of both documents cut out is looked at by one address of it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from wardgate.admin.impact.standing import Standing, leaves
from wardgate.policy.conditions import Network, OneOf
from wardgate.policy.rules import Policy
from wardgate.radius.settings import NasSettings

MAX_SITUATIONS: Final = 64
"""Of one application. What is beyond is counted and told."""
ELSEWHERE: Final = "elsewhere"


@dataclass(frozen=True, slots=True)
class Situation:
    """One way to come. `client`: None stands for every address that no network holds, and for an unknown one."""

    words: str
    client: str | None = None
    nas: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """What an operator set himself."""

    client: str | None = None
    nas: str | None = None


@dataclass(frozen=True, slots=True)
class Situations:
    """The situations of an application. `left_out`: how many there are beyond MAX_SITUATIONS."""

    each: tuple[Situation, ...]
    left_out: int = 0


def situations_of(before: Standing, after: Standing, application: str, given: Given) -> Situations:
    """One situation of each kind."""
    policies = [standing.policy(application) for standing in (before, after)]
    through = _through(before, after, application, policies) if given.nas is None else [given.nas]
    places = _places(before, after, application, policies) if given.client is None else [(given.client, given.client)]
    found: list[Situation] = []
    for nas in through:
        trusted = [each.nas[nas].trust_client_address for each in (before, after) if nas in each.nas]
        here = places if any(trusted) or not trusted else [(ELSEWHERE, None)]
        for words, client in here:
            found.append(Situation(words if len(through) == 1 or not nas else f"{words}, through {nas}", client, nas))
    return Situations(tuple(found[:MAX_SITUATIONS]), max(0, len(found) - MAX_SITUATIONS))


# --- NAS -------------------------------------------------------------------------------------------------------------------


def _through(before: Standing, after: Standing, application: str, policies: list[Policy]) -> list[str]:
    """One NAS of each kind that the policies can tell apart."""
    names, identifiers = _asked(policies, "nas"), _asked(policies, "nas_identifier")
    kinds: dict[object, str] = {}
    for standing in (after, before):
        for nas in standing.through.get(application, ()):
            kind = tuple(_kind(each.nas.get(nas.name, nas), names, identifiers) for each in (before, after))
            kinds.setdefault(kind, nas.name)
    return list(kinds.values()) or [""]


def _kind(nas: NasSettings, names: frozenset[str], identifiers: frozenset[str]) -> object:
    identifier = (nas.identifier or "").lower()
    asked = (nas.name.lower() if nas.name.lower() in names else "", identifier if identifier in identifiers else "")
    return asked, nas.mode == "code_only", nas.trust_client_address


def _asked(policies: list[Policy], key: str) -> frozenset[str]:
    asked = (leaf for policy in policies for leaf in leaves(policy) if isinstance(leaf, OneOf) and leaf.key == key)
    return frozenset(value for leaf in asked for value in leaf.wanted)


# --- addresses -------------------------------------------------------------------------------------------------------------


def _places(before: Standing, after: Standing, application: str, policies: list[Policy]) -> list[tuple[str, str | None]]:
    """One address of each part of the address space, with the names of the networks that hold it; and elsewhere."""
    labelled = {text: frozenset([ip_network(text)]) for text in sorted(_asked(policies, "client")) if _is_address(text)}
    for text in dict.fromkeys((*before.networks(application), *after.networks(application))):
        now, then = before.network(text), after.network(text)
        if now == then or not (now and then):
            labelled[text] = now or then
        else:
            labelled |= {f"{text} (as it is now)": now, f"{text} (as it would be)": then}
    found: dict[frozenset[str], str] = {}
    for version in (4, 6):
        for inside, address in _parts(labelled, version):
            found.setdefault(inside, address)
    return [(", ".join(sorted(inside)), address) for inside, address in found.items()] + [(ELSEWHERE, None)]


def _parts(labelled: Mapping[str, frozenset[Network]], version: int) -> Iterator[tuple[frozenset[str], str]]:
    """Where a network begins or ends, another part begins: which networks hold its first address."""
    steps: dict[int, list[tuple[str, int]]] = {}
    for label, networks in labelled.items():
        for network in networks:
            if network.version == version:
                begins = int(network.network_address)
                steps.setdefault(begins, []).append((label, 1))
                steps.setdefault(begins + network.num_addresses, []).append((label, -1))
    inside: Counter[str] = Counter()
    for at in sorted(steps):
        for label, step in steps[at]:
            inside[label] += step
        held = frozenset(label for label, count in inside.items() if count)
        if held:
            yield held, str(IPv4Address(at) if version == 4 else IPv6Address(at))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
