"""What the tests of SAML share: keys, messages as an application writes them, the specification's schemas, and xmlsec1."""

import functools
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import xmlschema
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import NameOID

from tests.neighbours import executable
from wardgate.crypto import Secret
from wardgate.federation.saml import names
from wardgate.federation.saml.bindings import REQUEST, RESPONSE, Received
from wardgate.federation.saml.keys import load_signer
from wardgate.federation.saml.requests import Arrival
from wardgate.federation.saml.signing import sign
from wardgate.federation.saml.values import (
    AssertionContent,
    Attribute,
    Binding,
    LogoutRequest,
    LogoutResponse,
    NameId,
    Signer,
)
from wardgate.federation.saml.writing import Xml, element, instant

NOW_MS = 1_795_000_000_000
IDP = "https://login.acme.test/saml"
SSO_URL = "https://login.acme.test/saml/sso"
SLO_URL = "https://login.acme.test/saml/slo"
SP = "https://wiki.acme.test/sp"
ACS = "https://wiki.acme.test/sp/acs"
ARRIVAL = Arrival(destinations=frozenset({SSO_URL, SLO_URL}), now_ms=NOW_MS)
PARTS = {"saml": names.ASSERTION, "samlp": names.PROTOCOL, "ds": names.DSIG, "xenc": names.XENC, "md": names.METADATA}


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key as PKCS #8 and its certificate, both DER."""

    pkcs8: bytes
    certificate: bytes

    @property
    def signer(self) -> Signer:
        return load_signer(Secret(self.pkcs8), self.certificate)

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Both as PEM files."""
        key_file, certificate_file = folder / f"{name}.key", folder / f"{name}.crt"
        key = load_der_private_key(self.pkcs8, None)
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        certificate_file.write_bytes(x509.load_der_x509_certificate(self.certificate).public_bytes(Encoding.PEM))
        return key_file, certificate_file


def pair(kind: str = "rsa", name: str = "idp") -> Pair:
    """A key of its own for each kind and name: `rsa`, `rsa3072`, `rsa1024`, `p256`, `p384`, `k1`."""
    return _pair(kind, name)


@functools.cache
def _pair(kind: str, name: str) -> Pair:
    curves: dict[str, ec.EllipticCurve] = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "k1": ec.SECP256K1()}
    key: Any
    if kind in curves:
        key = ec.generate_private_key(curves[kind])
    else:
        key = rsa.generate_private_key(65537, int(kind.removeprefix("rsa") or 2048))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    began = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return Pair(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), certificate.public_bytes(Encoding.DER))


def signer(kind: str = "rsa", name: str = "idp") -> Signer:
    return pair(kind, name).signer


# --- messages of an application ------------------------------------------------------------------------------------------------


def authn_request(
    *inside: Xml,
    by: Signer | None = None,
    issuer: str | Xml = SP,
    changed: Mapping[str, str] | None = None,
) -> bytes:
    """An AuthnRequest; `changed` replaces attributes, and an empty one leaves it out."""
    attributes = {
        "ID": "_request",
        "Version": "2.0",
        "IssueInstant": instant(NOW_MS),
        "Destination": SSO_URL,
        "AssertionConsumerServiceURL": ACS,
        "ProtocolBinding": names.POST,
        **(changed or {}),
    }
    whole = element(
        "samlp:AuthnRequest",
        element("saml:Issuer", issuer, declare="saml"),
        *inside,
        declare="samlp",
        attributes=attributes,
    )
    return (whole if by is None else sign(whole, attributes["ID"], by)).encode()


LOGOUT_REQUEST = LogoutRequest(
    id="_logout",
    issuer=SP,
    destination=SLO_URL,
    issued_at=NOW_MS,
    not_on_or_after=NOW_MS + 60_000,
    name_id=NameId("a1b2", names.FORMAT_PERSISTENT, IDP, SP),
    session_indexes=("_session",),
    signed=True,
)
LOGOUT_RESPONSE = LogoutResponse(
    id="_loggedout",
    in_response_to="_ours",
    issuer=SP,
    destination=SLO_URL,
    issued_at=NOW_MS,
    status=names.RESPONDER,
    second_status=names.PARTIAL_LOGOUT,
    signed=True,
)
CONTENT = AssertionContent(
    response_id="_response",
    assertion_id="_assertion",
    issuer=IDP,
    recipient=ACS,
    in_response_to="_request",
    audience=SP,
    name_id=NameId("8f1c", names.FORMAT_PERSISTENT, IDP, SP),
    attributes=(
        Attribute("mail", ("ada@acme.test",), "E-mail"),
        Attribute("urn:oid:2.5.4.42", ("Ada",), "givenName", names.ATTRIBUTE_URI),
        Attribute("groups", ("staff", '<wiki> & "friends"', "ığüşöçİĞÜŞÖÇ", "𝒜𝓭𝓪")),
    ),
    issued_at=NOW_MS,
    authn_instant=NOW_MS - 5_000,
    session_index="_session",
    session_not_on_or_after=NOW_MS + 3_600_000,
    context_class=names.CONTEXT_PROTECTED_PASSWORD,
    not_before=NOW_MS - 60_000,
    not_on_or_after=NOW_MS + 300_000,
)


def content(**changed: Any) -> AssertionContent:
    return replace(CONTENT, **changed)


def posted(document: bytes, kind: str = REQUEST) -> Received:
    """A message as the POST binding brings it."""
    return Received(kind=kind, binding=Binding.POST, document=document, relay_state=None, signature=None)


def answered(document: bytes) -> Received:
    return posted(document, RESPONSE)


# --- judges that nobody here wrote ----------------------------------------------------------------------------------------------


@functools.cache
def _schema(name: str) -> xmlschema.XMLSchema:
    folder = files("saml2.data.schemas")
    locations = {
        "http://www.w3.org/XML/1998/namespace": "xml.xsd",
        names.DSIG: "xmldsig-core-schema.xsd",
        names.XENC: "xenc-schema.xsd",
        names.XENC11: "xenc-schema-11.xsd",
        names.ASSERTION: "saml-schema-assertion-2.0.xsd",
        names.PROTOCOL: "saml-schema-protocol-2.0.xsd",
        names.METADATA: "saml-schema-metadata-2.0.xsd",
        names.METADATA_UI: "sstc-saml-metadata-ui-v1.0.xsd",
    }
    paths = {uri: str(folder.joinpath(file)) for uri, file in locations.items()}
    return xmlschema.XMLSchema(
        str(folder.joinpath(name)), locations=paths, allow="sandbox", base_url=str(folder), use_fallback=False
    )


def check_message(document: bytes) -> None:
    """Raise when a protocol message is not as the OASIS schema says."""
    _schema("saml-schema-protocol-2.0.xsd").validate(document.decode())


def check_metadata(document: bytes) -> None:
    """Raise when metadata is not as the OASIS schema says."""
    _schema("saml-schema-metadata-2.0.xsd").validate(document.decode())


def xmlsec1_verifies(folder: Path, document: bytes, certificate: Pair, element_name: str, at: str = "") -> bool:
    """Ask xmlsec1 whether the signature holds. `element_name` says whose attribute ID is an id; `at` which signature."""
    _, shown = certificate.write(folder, "verify")
    file = folder / "signed.xml"
    file.write_bytes(document)
    where = ["--node-xpath", at] if at else []
    command = [executable("xmlsec1"), "--verify", "--enabled-key-data", "raw-x509-cert,rsa,ecdsa,x509"]
    done = subprocess.run(
        [*command, "--pubkey-cert-pem", str(shown), "--id-attr:ID", element_name, *where, str(file)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0


def xmlsec1_decrypts(folder: Path, document: bytes, key: Pair) -> bytes | None:
    """The document as xmlsec1 decrypts it, or None when it cannot."""
    private, _ = key.write(folder, "decrypt")
    file, out = folder / "encrypted.xml", folder / "clear.xml"
    file.write_bytes(document)
    done = subprocess.run(
        [executable("xmlsec1"), "--decrypt", "--privkey-pem", str(private), "--output", str(out), str(file)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return out.read_bytes() if done.returncode == 0 else None
