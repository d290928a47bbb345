"""What a make of NAS puts into an Access-Request besides name, proof and State."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wardgate.errors import UsageError
from wardgate.radius.attributes import AttributeDefinition, encode_attribute
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.packet import Attribute, Placing
from wardgate.radius.vendors import paloalto

DEFAULT_CLIENT_IP = "203.0.113.7"
_SERVICE_TYPE_LOGIN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedNas:
    """One device. `identifier`: what it calls itself; on PAN-OS that is the authentication profile's name."""

    vendor: str = "generic"
    identifier: str | None = "wardgate-simulate"
    client_ip: str | None = DEFAULT_CLIENT_IP
    message_authenticator: Placing = "first"
    chap_first: bool = False

    def attributes(self, own_address: str, user: str) -> list[Attribute]:
        """The attributes of a request that leaves from `own_address`."""
        return [_nas_address(own_address), *_VENDORS[self.vendor](self.client_ip, user)]


def _nas_address(address: str) -> Attribute:
    name = "NAS-IPv6-Address" if ipaddress.ip_address(address).version == 6 else "NAS-IP-Address"
    return encode_attribute(BUILT_IN.find(name), address)


def _generic(client_ip: str | None, user: str) -> list[Attribute]:
    """RFC 2865 sections 5.6 and 5.31: what most devices send."""
    told = [encode_attribute(BUILT_IN.find("Service-Type"), _SERVICE_TYPE_LOGIN)]
    return [*told, *_station(client_ip)]


def _paloalto(client_ip: str | None, user: str) -> list[Attribute]:
    """PAN-OS with `radius-vsa-on` for all five client attributes, and Calling-Station-Id as recent releases fill it."""
    machine = "".join(char for char in user.rpartition("\\")[2].partition("@")[0] if char.isalnum()) or "user"
    told: list[tuple[AttributeDefinition, str]] = [
        (paloalto.CLIENT_OS, "Microsoft Windows 11 Pro, 64-bit"),
        (paloalto.CLIENT_HOSTNAME, f"laptop-{machine.lower()}"[:60]),
        (paloalto.CLIENT_VERSION, "6.2.4"),
    ]
    if client_ip is not None:
        told.insert(0, (paloalto.CLIENT_SOURCE_IP, client_ip))
    return [*_station(client_ip), *(encode_attribute(definition, value) for definition, value in told)]


def _station(client_ip: str | None) -> list[Attribute]:
    return [] if client_ip is None else [encode_attribute(BUILT_IN.find("Calling-Station-Id"), client_ip)]


_VENDORS: Mapping[str, Callable[[str | None, str], list[Attribute]]] = {"generic": _generic, "paloalto": _paloalto}


def client_address(text: str | None) -> str | None:
    """A client address from outside; empty means that the device tells none. Raises UsageError."""
    if not text:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise UsageError(f"{text[:64]!r} is no IP address") from None
