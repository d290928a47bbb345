"""A relying party: an application that trusts our statement, as a door needs to know it, and the look-up of all of them.

Where a message may be sent, whose signature is believed and what is released all stand here, made from the document and from the
party's metadata before any request comes in. A request chooses among what stands here and adds nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from wardgate.federation.claims import ClaimRule, Values
from wardgate.federation.saml import names
from wardgate.federation.saml.values import ResponseSettings, SpMetadata
from wardgate.texts import DEFAULT_LANGUAGE


class NameIdFormat(StrEnum):
    """How a person is named, by the names of core section 8.3 that we speak."""

    PERSISTENT = names.FORMAT_PERSISTENT
    TRANSIENT = names.FORMAT_TRANSIENT
    EMAIL = names.FORMAT_EMAIL
    UNSPECIFIED = names.FORMAT_UNSPECIFIED


class KeyKind(StrEnum):
    """Which of our keys signs for an application. RSA is what all of them know."""

    RSA = "rsa"
    P256 = "p256"


@dataclass(frozen=True, slots=True)
class NameIdRule:
    """How the party knows a person. `values`: what an e-mail or unspecified name is filled from; the first value counts."""

    format: NameIdFormat
    values: Values = field(default_factory=Values)


@dataclass(frozen=True, slots=True)
class Launchpad:
    """What people see of the application on the portal. `address`: where it is opened; empty: by a response of ours.

    `icon`: where we serve its picture, empty where it has none.
    """

    shown: bool = True
    titles: Mapping[str, str] = field(default_factory=dict)
    icon: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """One application that trusts us.

    `name`: the application's, by which policy knows it. `metadata`: what it says of itself, or the operator for it: where responses
    go and whose signatures under its messages are believed; which of its addresses is meant, says `saml.consumers`. `response`: how
    its responses are signed and encrypted, and `key_kind` with which of our keys. `name_id_formats`: what a request may ask for in
    its NameIDPolicy. `claims_mark`: what a grant bears that was made for these claims. `unsolicited`: whether we may begin by
    ourselves, and `relay_state`: what goes along then. `slo_wanted`: whether it is told of a logout.
    """

    name: str
    title: str
    metadata: SpMetadata
    name_id: NameIdRule
    kind: Literal["saml"] = "saml"
    preset: str = "generic"
    slo_wanted: bool = True
    requires_signed_requests: bool = False
    response: ResponseSettings = field(default_factory=ResponseSettings)
    key_kind: KeyKind = KeyKind.RSA
    name_id_formats: tuple[NameIdFormat, ...] = ()
    claims: tuple[ClaimRule, ...] = ()
    claims_mark: str = ""
    assertion_life_s: int = 300
    unsolicited: bool = True
    relay_state: str = ""
    launchpad: Launchpad = field(default_factory=Launchpad)

    @property
    def entity_id(self) -> str:
        """What it calls itself in its messages."""
        return self.metadata.entity_id

    def accepts(self, wanted: str) -> bool:
        """Whether a request may ask for a name of this format."""
        return wanted == self.name_id.format or wanted in self.name_id_formats

    def title_in(self, language: str) -> str:
        """What people call it."""
        titles = self.launchpad.titles
        return titles.get(language) or titles.get(DEFAULT_LANGUAGE) or next(iter(titles.values()), "") or self.title

    def is_valid(self, now_ms: int) -> bool:
        """Whether its metadata may still be believed."""
        return self.metadata.valid_until is None or now_ms < self.metadata.valid_until


class RelyingParties:
    """All relying parties of one version of the configuration.

    A party whose metadata has run out is not found: nobody says any more who stands behind its addresses. Two that claim one entity
    id are both left out, with a problem told, for nothing says which of them a request is from.
    """

    def __init__(self, parties: Iterable[RelyingParty] = (), problems: Mapping[str, str] | None = None) -> None:
        known = tuple(parties)
        owners: dict[str, list[str]] = {}
        for each in known:
            owners.setdefault(each.entity_id, []).append(each.name)
        twice = {name: owner for owner in owners.values() if len(owner) > 1 for name in owner}
        told = {name: f"the entity id is also that of {_others(owner, name)}" for name, owner in twice.items()}
        self.problems: Mapping[str, str] = {**(problems or {}), **told}
        self._by_name = {each.name: each for each in known if each.name not in twice}
        self._by_entity_id = {each.entity_id: each for each in self._by_name.values()}

    def by_entity_id(self, entity_id: str, now_ms: int) -> RelyingParty | None:
        """Whoever calls himself so; None for nobody, and for one whose metadata has run out."""
        return _valid(self._by_entity_id.get(entity_id), now_ms)

    def by_name(self, name: str, now_ms: int) -> RelyingParty | None:
        """The party of this application; None for none, and for one whose metadata has run out."""
        return _valid(self._by_name.get(name), now_ms)

    def shown(self, now_ms: int) -> tuple[RelyingParty, ...]:
        """Those that a launchpad shows, in the order of the document."""
        return tuple(each for each in self if each.launchpad.shown and each.is_valid(now_ms))

    def __iter__(self) -> Iterator[RelyingParty]:
        """All of them, those too whose metadata has run out."""
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


def _valid(party: RelyingParty | None, now_ms: int) -> RelyingParty | None:
    return party if party is not None and party.is_valid(now_ms) else None


def _others(owners: Iterable[str], name: str) -> str:
    return " and ".join(each for each in owners if each != name)


NOBODY: Final = RelyingParties()
