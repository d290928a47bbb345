"""The portal with single sign-on over the small world of the flow tests, and an application that trusts it."""

import base64
import functools
import re
import secrets
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from lxml import etree

from tests.flows.portal_world import BrowserOfTests, PortalWorld
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.engine.runtime import Application, EngineConfiguration, EngineParts
from wardgate.engine.settings import ApplicationSettings
from wardgate.federation.claims import ClaimRule, Values
from wardgate.federation.door import Trust
from wardgate.federation.relying_party import KeyKind, NameIdFormat, NameIdRule, RelyingParties, RelyingParty
from wardgate.federation.routes import federation_pages
from wardgate.federation.saml import names
from wardgate.federation.saml.keys import load_signer
from wardgate.federation.saml.values import Endpoint, Signer, SpMetadata
from wardgate.federation.saml.verifying import verified
from wardgate.federation.saml.xml import parse
from wardgate.federation.signing_keys import SigningKey, SigningKeys
from wardgate.pages.joined import Joining
from wardgate.policy.rules import Policy
from wardgate.portal.routes import portal_pages
from wardgate.web.app import build_web_app

IDP = "https://login.acme.test"
SP = "https://wiki.acme.test/sp"
ACS = "https://wiki.acme.test/sp/acs"
SLO = "https://wiki.acme.test/sp/slo"
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
_S = {"p": names.PROTOCOL, "a": names.ASSERTION}


@functools.cache
def a_signer(name: str) -> Signer:
    """A key of its own for each name."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return load_signer(Secret(plain), made.public_bytes(Encoding.DER))


def a_party(name: str = "wiki", **changes: Any) -> RelyingParty:
    """An application. `metadata`: changes of what it says of itself."""
    said = changes.pop("metadata", {})
    base = f"https://{name}.acme.test/sp"
    endpoints = {
        "entity_id": base,
        "acs": (Endpoint(f"{base}/acs", names.POST, 0, True), Endpoint(f"{base}/other", names.POST, 7)),
        "slo": (Endpoint(f"{base}/slo", names.REDIRECT),),
    }
    claims = (ClaimRule("mail", Values("mail")), ClaimRule("groups", Values("groups")))
    rule = NameIdRule(NameIdFormat.PERSISTENT)
    metadata = SpMetadata(**{**endpoints, **said})
    formats = (NameIdFormat.EMAIL, NameIdFormat.TRANSIENT)
    fields: dict[str, Any] = {"name": name, "title": name.title(), "claims": claims, "name_id": rule, "name_id_formats": formats}
    return RelyingParty(metadata=metadata, **{**fields, **changes})


@dataclass
class SamlWorld(PortalWorld):
    """A world with applications beside the portal. `policies`: those of applications that have another one than the portal;
    `signers`: our own keys.
    """

    parties: tuple[RelyingParty, ...] = field(default_factory=lambda: (a_party(), a_party("mail")))
    policies: dict[str, Policy] = field(default_factory=dict)
    signers: tuple[str, ...] = ("idp",)

    def configuration(self) -> EngineConfiguration:
        """The configuration in force."""
        applications = {"portal": Application(self.application, self.policy)}
        for party in self.parties:
            settings = ApplicationSettings(name=party.name, title=party.title)
            applications[party.name] = Application(settings, self.policies.get(party.name, self.policy))
        return replace(self.configured(applications), tickets=self.ticket_places)

    def keys(self) -> SigningKeys:
        """Our own keys; the last of them signs."""
        ends = to_ms(self.clock.now()) + 10**12
        known = enumerate(map(a_signer, self.signers), start=1)
        return SigningKeys(tuple(SigningKey(KeyKind.RSA, number, signer, 0, 0, None, ends) for number, signer in known))

    def joining(self) -> Joining:
        """The door that is joined to the portal."""
        return federation_pages(Trust(lambda: RelyingParties(self.parties), self.keys))

    @asynccontextmanager
    async def browser(self, **options: Any) -> AsyncIterator["SamlBrowser"]:
        """A browser with a cookie jar of its own."""
        parts = EngineParts(
            self.storage, self.clock, lambda: self.ring, self.configuration, keep_messages=True, tickets=self.tickets
        )
        app = build_web_app(self.context(), ("portal",), [portal_pages(parts, self.joining())])
        transport = httpx.ASGITransport(app=app, client=("203.0.113.7", 50_000))
        async with httpx.AsyncClient(transport=transport, base_url=self.origin, **options) as client:
            yield SamlBrowser(client, self)

    def request(self, sp: str = "wiki", inside: str = "", **attributes: str) -> bytes:
        """An AuthnRequest of an application; an empty attribute is left out."""
        base = f"https://{sp}.acme.test/sp"
        said = {
            "ID": f"_{secrets.token_hex(16)}",
            "Version": "2.0",
            "IssueInstant": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Destination": f"{IDP}/saml/sso",
            "AssertionConsumerServiceURL": f"{base}/acs",
            **attributes,
        }
        told = " ".join(f'{name}="{value}"' for name, value in said.items() if value)
        head = f'<p:AuthnRequest xmlns:p="{names.PROTOCOL}" xmlns:a="{names.ASSERTION}" {told}>'
        return f"{head}<a:Issuer>{base}</a:Issuer>{inside}</p:AuthnRequest>".encode()


def by_redirect(document: bytes, relay_state: str | None = None) -> str:
    """The address that carries a request."""
    packer = zlib.compressobj(wbits=-15)
    packed = base64.b64encode(packer.compress(document) + packer.flush())
    state = "" if relay_state is None else f"&RelayState={quote(relay_state, safe='')}"
    return f"/saml/sso?SAMLRequest={quote(packed, safe='')}{state}"


@dataclass
class Told:
    """What an application was told."""

    root: Any
    relay_state: str | None
    action: str

    @property
    def status(self) -> tuple[str, str]:
        """First and second level, by their last words."""
        codes = [each.rpartition(":")[2] for each in self.root.xpath("//p:StatusCode/@Value", namespaces=_S)]
        return codes[0], codes[1] if len(codes) > 1 else ""

    def one(self, path: str) -> str:
        """The one value at an XPath."""
        [found] = self.root.xpath(path, namespaces=_S)
        return str(found)

    @property
    def context(self) -> str:
        """The class of the sign-in."""
        return self.one("//a:AuthnContextClassRef/text()")

    @property
    def name(self) -> str:
        """Whom it is about."""
        return self.one("//a:NameID/text()")

    @property
    def claims(self) -> Mapping[str, list[str]]:
        """Its claims."""
        found = self.root.xpath("//a:Attribute", namespaces=_S)
        return {each.get("Name"): [value.text for value in each] for each in found}


class SamlBrowser(BrowserOfTests):
    """A browser that is sent here by an application."""

    def __init__(self, client: httpx.AsyncClient, world: SamlWorld) -> None:
        super().__init__(client)
        self.world = world

    async def ask(self, sp: str = "wiki", relay_state: str | None = None, inside: str = "", **attributes: str) -> httpx.Response:
        """Come with an AuthnRequest in the address, and follow."""
        return await self.get(by_redirect(self.world.request(sp, inside, **attributes), relay_state))

    async def ask_by_post(self, document: bytes, relay_state: str | None = None) -> httpx.Response:
        """Come with a form of an application's: the browser shows no cookie with it."""
        fields = {"SAMLRequest": base64.b64encode(document).decode()}
        if relay_state is not None:
            fields["RelayState"] = relay_state
        kept = dict(self.client.cookies)
        self.client.cookies.clear()
        headers = {"origin": "https://wiki.acme.test", "sec-fetch-site": "cross-site"}
        reply = await self.client.post("/saml/sso", data=fields, headers=headers)
        for name, value in kept.items():
            self.client.cookies.set(name, value, domain="login.acme.test", path="/")
        self.page = await self._follow(reply)
        return self.page

    def told(self) -> Told:
        """What the page hands to the application; its signature holds."""
        fields = dict(_HIDDEN.findall(self.page.text))
        action = re.search(r'<form method="post" action="([^"]*)"', self.page.text)
        assert action is not None, self.page.text
        document = base64.b64decode(fields["SAMLResponse"])
        root = parse(document)
        signed = root if root.find(f"{{{names.ASSERTION}}}Assertion") is None else None
        if signed is not None:
            verified(root, [a_signer("idp").certificate])
        else:
            [assertion] = root.findall(f"{{{names.ASSERTION}}}Assertion")
            verified(parse(etree.tostring(assertion)), [a_signer("idp").certificate])
        state = fields.get("RelayState")
        return Told(root, state, action[1])


def query_of(address: str) -> dict[str, list[str]]:
    """The query of an address."""
    return parse_qs(urlsplit(address).query)
