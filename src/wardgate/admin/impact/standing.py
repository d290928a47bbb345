"""A document as decisions need it, and which of its applications another document may decide otherwise for. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from ipaddress import ip_network
from typing import Final

from wardgate.config.document import Document
from wardgate.delivery.port import Channel
from wardgate.delivery.registry import kind_of
from wardgate.engine.settings import AnyApplicationSettings
from wardgate.factors import KINDS, SECOND_FACTORS, STRONG_KINDS, USUAL_KINDS
from wardgate.policy.conditions import AllOf, AnyOf, Leaf, Network, Node, Not
from wardgate.policy.rules import Policy, compile_policy, default_policy
from wardgate.policy.settings import PolicySettings
from wardgate.radius.settings import NasSettings

Pair = tuple[str, str]
"""A realm and one of its directories."""

NO_DOCUMENT: Final = Document()


class Standing:
    """One document. What is worked out is kept: many applications share a policy."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._compiled: dict[str | None, Policy] = {}
        self._networks: dict[str | None, dict[str, frozenset[Network]]] = {}

    @cached_property
    def pairs(self) -> frozenset[Pair]:
        """Every realm with each of its directories."""
        return frozenset((realm.name, directory) for realm in self.document.realms for directory in realm.directories)

    @cached_property
    def applications(self) -> Mapping[str, AnyApplicationSettings]:
        """By name."""
        return {each.name: each for each in self.document.applications}

    @cached_property
    def nas(self) -> Mapping[str, NasSettings]:
        """By name."""
        return {each.name: each for each in self.document.nas}

    @cached_property
    def through(self) -> Mapping[str, tuple[NasSettings, ...]]:
        """The NAS of each application."""
        found: dict[str, list[NasSettings]] = {}
        for each in self.document.nas:
            found.setdefault(each.application, []).append(each)
        return {name: tuple(several) for name, several in found.items()}

    @cached_property
    def channels(self) -> frozenset[Channel]:
        """Those that a gateway serves: a code that cannot go out proves nothing."""
        return frozenset(kind_of(each).channel(each) for each in self.document.gateways)

    @cached_property
    def unserved(self) -> frozenset[str]:
        """Factors whose codes no gateway takes."""
        return frozenset(each.kind for each in SECOND_FACTORS if each.channel is not None and each.channel not in self.channels)

    @cached_property
    def _policies(self) -> Mapping[str, PolicySettings]:
        return {each.name: each for each in self.document.policies}

    def settings(self, application: str) -> PolicySettings | None:
        """The policy of an application; None where what holds by default does."""
        wanted = self.applications[application].policy if application in self.applications else None
        return None if wanted is None else self._policies.get(wanted)

    def policy(self, application: str) -> Policy:
        """The same, compiled."""
        settings = self.settings(application)
        name = None if settings is None else settings.name
        if name not in self._compiled:
            self._compiled[name] = (
                default_policy(USUAL_KINDS, STRONG_KINDS)
                if settings is None
                else compile_policy(settings, KINDS, STRONG_KINDS, self.document.networks)
            )
        return self._compiled[name]

    @cached_property
    def _named(self) -> Mapping[str, frozenset[Network]]:
        return {each.name.lower(): frozenset(ip_network(cidr) for cidr in each.cidr) for each in self.document.networks}

    def networks(self, application: str) -> Mapping[str, frozenset[Network]]:
        """The networks that the policy of an application asks for, by name or as they are written."""
        settings = self.settings(application)
        name = None if settings is None else settings.name
        if name not in self._networks:
            texts = {text for when in _conditions(settings) for text in _networks_in(when)} if settings is not None else set()
            self._networks[name] = {text: self.network(text) for text in sorted(texts)}
        return self._networks[name]

    def network(self, text: str) -> frozenset[Network]:
        """What a condition means by this; nothing where there is no network of this name."""
        named = self._named.get(text)
        if named is not None:
            return named
        try:
            return frozenset([ip_network(text)])
        except ValueError:
            return frozenset()


def differing(before: Standing, after: Standing) -> tuple[str, ...]:
    """The applications for which somebody's decision may be another one."""
    names = tuple(dict.fromkeys((*before.applications, *after.applications)))
    if before.pairs != after.pairs or before.unserved != after.unserved:
        return names
    return tuple(name for name in names if _differs(before, after, name))


def leaves(policy: Policy) -> Iterator[Leaf]:
    """Every question that a policy asks."""
    needs = [rule for goal in policy.self_service.goals.values() for rule in goal.rules]
    for entries in (policy.rules, policy.floors, policy.actions, policy.lifetimes, needs):
        for entry in entries:
            yield from _leaves(entry.when)


def _differs(before: Standing, after: Standing, application: str) -> bool:
    """Whether anything differs that a decision depends on, beside the person and where he comes from."""
    if application not in before.applications or application not in after.applications:
        return True
    if _looks(before, application) != _looks(after, application):
        return True
    # One that comes or goes decides nothing by itself.
    now, then = ({each.name: _told_by(each) for each in side.through.get(application, ())} for side in (before, after))
    return any(now[name] != then[name] for name in now.keys() & then.keys())


def _looks(standing: Standing, application: str) -> object:
    settings = standing.settings(application)
    policy = None if settings is None else replace(settings, name="", tests=())
    return standing.applications[application].kind, policy, standing.networks(application)


def _told_by(nas: NasSettings) -> object:
    """What a NAS adds to the facts."""
    return nas.mode == "code_only", nas.identifier, nas.trust_client_address


def _leaves(node: Node) -> Iterator[Leaf]:
    if isinstance(node, AllOf | AnyOf):
        for part in node.parts:
            yield from _leaves(part)
    elif isinstance(node, Not):
        yield from _leaves(node.part)
    else:
        yield node


def _conditions(settings: PolicySettings) -> Iterator[Mapping[str, object]]:
    for entries in (settings.rules, settings.floors, settings.actions, settings.lifetimes):
        for entry in entries:
            yield entry.when
    helped = settings.self_service
    for goal in (helped.reset, helped.unlock, helped.recover_name, helped.change, helped.enrol):
        for rule in goal.rules if goal is not None else ():
            yield rule.when


def _networks_in(when: object) -> Iterator[str]:
    for name, value in when.items() if isinstance(when, Mapping) else ():
        if name == "network":
            yield from (str(each).lower() for each in ([value] if isinstance(value, str) else value))
        elif name in ("any", "all", "not"):
            for inner in value if isinstance(value, list | tuple) else [value]:
                yield from _networks_in(inner)
