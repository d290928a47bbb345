"""Applications as documents describe them, and what they say of themselves."""

import base64
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tests.saml import pair
from wardgate.config.document import Document, parse
from wardgate.federation.saml import names
from wardgate.federation.settings import SamlApplicationSettings

ENTITY_ID = "https://wiki.acme.test/saml"
ACS = "https://wiki.acme.test/saml/acs"
BY_HAND: Mapping[str, Any] = {"name": "wiki", "kind": "saml", "entity_id": ENTITY_ID, "acs": [ACS]}


@lru_cache(maxsize=4)
def certificate(kind: str = "rsa") -> bytes:
    return pair(kind).certificate


def pem(der: bytes) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"


def metadata(
    entity_id: str = ENTITY_ID, acs: str = ACS, *, role: str = "", entity: str = "", keys: tuple[bytes, ...] = (), inside: str = ""
) -> str:
    """A metadata document of one application."""
    shown = "".join(
        f'<md:KeyDescriptor><ds:KeyInfo xmlns:ds="{names.DSIG}"><ds:X509Data><ds:X509Certificate>{base64.b64encode(key).decode()}'
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        for key in keys
    )
    return (
        f'<md:EntityDescriptor xmlns:md="{names.METADATA}" entityID="{entity_id}"{entity}>'
        f'<md:SPSSODescriptor protocolSupportEnumeration="{names.PROTOCOL}"{role}>{shown}'
        f'<md:AssertionConsumerService Binding="{names.POST}" Location="{acs}" index="0" isDefault="true"/>{inside}'
        "</md:SPSSODescriptor></md:EntityDescriptor>"
    )


def document(*applications: Mapping[str, Any], realms: tuple[str, ...] = ("acme",)) -> Document:
    """A checked document with these applications. Raises SettingsError."""
    return parse(
        {
            "realms": [{"name": each, "default": each == realms[0], "directories": [f"{each}-ad"]} for each in realms],
            "directories": [{"name": f"{each}-ad", "kind": "local"} for each in realms],
            "applications": [dict(each) for each in applications],
        }
    )


def settings(**changes: Any) -> SamlApplicationSettings:
    """One application of a checked document, by hand unless `metadata` is given."""
    base = {key: value for key, value in BY_HAND.items() if "metadata" not in changes or key in ("name", "kind")}
    found = document({**base, **changes}).applications[0]
    assert isinstance(found, SamlApplicationSettings)
    return found
