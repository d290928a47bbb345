"""What the pages of federation are given: the pages' own door, the relying parties, our keys, and where we are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wardgate.errors import UnavailableError
from wardgate.federation.allowance import Allowance
from wardgate.federation.relying_party import RelyingParties, RelyingParty
from wardgate.federation.saml.values import Signer
from wardgate.federation.signing_keys import SigningKeys
from wardgate.pages.door import BrowserDoor

SSO_PATH: Final = "/saml/sso"
SLO_PATH: Final = "/saml/slo"
METADATA_PATH: Final = "/saml/metadata"
CONTINUE_PATH: Final = "/saml/continue"
LOGOUT_PATH: Final = "/saml/logout"
LEAVING_PATH: Final = "/saml/leaving"
START_PATH: Final = "/saml/start"


class NoSigningKey(UnavailableError):
    """No key of the kind that an application wants has been made yet."""

    code = "no_signing_key"


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom we know and what we sign with, as it is now; both are asked at each request."""

    parties: Callable[[], RelyingParties]
    keys: Callable[[], SigningKeys]


@dataclass(frozen=True, slots=True)
class FederationDoor:
    """Everything that a page of federation needs."""

    browser: BrowserDoor
    trust: Trust
    allowance: Allowance

    @property
    def origin(self) -> str:
        """How people reach us."""
        return self.browser.context.origin

    @property
    def entity_id(self) -> str:
        """What we are called: the address of our metadata."""
        return self.origin + METADATA_PATH

    def now_ms(self) -> int:
        """The present."""
        return self.browser.clock.now_ms()

    def party_of(self, entity_id: str, now_ms: int) -> RelyingParty | None:
        """Whoever calls himself so, if we know him and his metadata is still good."""
        return self.trust.parties().by_entity_id(entity_id, now_ms)

    def party(self, name: str) -> RelyingParty | None:
        """The party of this application."""
        return self.trust.parties().by_name(name, self.now_ms())

    def signer_for(self, party: RelyingParty, now_ms: int) -> Signer:
        """What signs for it now. Raises NoSigningKey."""
        signer = self.trust.keys().signer(party.key_kind, now_ms)
        if signer is None:
            raise NoSigningKey(f"no {party.key_kind.value} key signs yet: wardgate relying-party keys")
        return signer
