"""A NAS while the server runs: its settings with the secret resolved, and whether a packet may come in."""

import ipaddress
from dataclasses import dataclass, field

from wardgate.audit.incidents import IncidentKind
from wardgate.crypto import Secret
from wardgate.radius.packet import Code, MessageAuthenticator, Packet, Type
from wardgate.radius.settings import NasSettings
from wardgate.radius.shared_secret import SharedSecret
from wardgate.radius.vendors import vendor
from wardgate.radius.vendors.port import VendorProfile


@dataclass(frozen=True, slots=True)
class Nas:
    """One configured NAS. Handles are bound to `binding`: an HA pair under one name shares its challenges."""

    settings: NasSettings
    secret: SharedSecret
    profile: VendorProfile
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    name: str = field(init=False)
    """The configured name."""
    identifier: str | None = field(init=False)
    """The NAS-Identifier that tells it from others at the same address."""

    def __post_init__(self) -> None:
        """Copies, because each packet asks for them."""
        object.__setattr__(self, "name", self.settings.name)
        object.__setattr__(self, "identifier", self.settings.identifier)

    def binding(self, nas_identifier: str) -> str:
        """What a State belongs to: this NAS and the NAS-Identifier of the first request."""
        return f"radius:{self.settings.name}:{nas_identifier}"


def build_nas(settings: NasSettings, secret: Secret) -> Nas:
    """The runtime value. The settings were checked when the document was parsed."""
    networks = tuple(ipaddress.ip_network(address, strict=False) for address in settings.addresses)
    return Nas(settings, SharedSecret(secret), vendor(settings.vendor), networks)


def refusal_of(nas: Nas, packet: Packet, signature: MessageAuthenticator, signs: bool) -> IncidentKind | None:
    """Why this packet must be dropped, or None when it may come in.

    A wrong Message-Authenticator is dropped whatever the policy. Status-Server always needs a right one (RFC 5997 section 3).
    While it is not required, a request with Proxy-State and without it is dropped: that is the shape of CVE-2024-3596.
    `signs`: whether this NAS is known to sign, for the policy `auto`.
    """
    if signature is MessageAuthenticator.VALID:
        return None
    if signature is not MessageAuthenticator.ABSENT:
        return IncidentKind.WRONG_SECRET
    policy = nas.settings.message_authenticator
    required = policy == "require" or (policy == "auto" and signs)
    if required or packet.code == Code.STATUS_SERVER or packet.first(Type.EAP_MESSAGE) is not None:
        return IncidentKind.MESSAGE_AUTHENTICATOR_MISSING
    if nas.settings.limit_proxy_state and packet.first(Type.PROXY_STATE) is not None:
        return IncidentKind.PROXY_STATE_UNSIGNED
    return None
