"""What SAML messages and metadata say, as values. Every time is in milliseconds since the epoch; an absent text is empty.

Values from outside are only well made, not believed: `signed` says that the signature was checked with a key of the issuer's
metadata, and an issuer is a name until then.
"""

from dataclasses import dataclass, field
from enum import Enum, StrEnum

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from wardgate.federation.saml import names
from wardgate.values import quick_value


class Binding(StrEnum):
    """How a message travels through the browser."""

    REDIRECT = names.REDIRECT
    POST = names.POST


class SignatureAlgorithm(StrEnum):
    """The only signatures that we make or take. SHA-1, DSA and HMAC have no name here. RFC 6931 sections 2.3.2 to 2.3.7."""

    RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
    RSA_SHA384 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384"
    RSA_SHA512 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"
    ECDSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
    ECDSA_SHA384 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
    ECDSA_SHA512 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512"


class Sign(Enum):
    """What of an answer is signed. The assertion by default: its signature still holds where the application keeps it."""

    ASSERTION = "assertion"
    RESPONSE = "response"
    BOTH = "both"


class Encrypt(Enum):
    """How the assertion is encrypted. CBC is for applications that cannot GCM: it hides, and does not protect from changes."""

    NONE = "none"
    AES256_GCM = "aes256-gcm"
    AES128_GCM = "aes128-gcm"
    AES256_CBC = "aes256-cbc"
    AES128_CBC = "aes128-cbc"


class KeyTransport(Enum):
    """How the content key is encrypted for the application: RSA-OAEP always, never PKCS #1 v1.5.

    `OAEP_SHA1` is `rsa-oaep-mgf1p`, what every application knows; SHA-1 in OAEP is no weakness that is known.
    """

    OAEP_SHA1 = "rsa-oaep-sha1"
    OAEP_SHA256 = "rsa-oaep-sha256"


# --- what comes in ---------------------------------------------------------------------------------------------------------


@quick_value
class NameId:
    """What an application knows somebody by. Core section 2.2.2."""

    value: str
    format: str = names.FORMAT_UNSPECIFIED
    name_qualifier: str = ""
    sp_name_qualifier: str = ""


@quick_value
class AuthnRequest:
    """An application asks for a sign-in. Core section 3.4.1.

    `acs_url` and `acs_index` are never both there; `binding` is the binding asked for the answer, or None. `contexts` are
    classes in the order of preference, `context_declarations` declarations, of which we know none; `comparison` is `exact` where
    nothing was said. `subject` names who is to sign in, for the few applications that say so.
    `version`: 2.0 is the one that we serve.
    """

    id: str
    issuer: str
    destination: str
    acs_url: str
    acs_index: int | None
    binding: str | None
    name_id_format: str
    sp_name_qualifier: str
    allow_create: bool
    force_authn: bool
    is_passive: bool
    contexts: tuple[str, ...]
    comparison: str
    attribute_index: int | None
    issued_at: int
    signed: bool
    context_declarations: tuple[str, ...] = ()
    subject: NameId | None = None
    version: str = "2.0"


@quick_value
class LogoutRequest:
    """An application ends somebody's session. Without session indexes: all sessions of that name. Core section 3.7.1."""

    id: str
    issuer: str
    destination: str
    issued_at: int
    not_on_or_after: int | None
    name_id: NameId
    session_indexes: tuple[str, ...]
    signed: bool


@quick_value
class LogoutResponse:
    """What an application did about our LogoutRequest. Core section 3.7.2."""

    id: str
    in_response_to: str
    issuer: str
    destination: str
    issued_at: int
    status: str
    second_status: str
    signed: bool


# --- what an application says of itself --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of an application. `is_default` is None where the metadata does not say; `response_url` is where a logout's
    answer goes, when not to `url`."""

    url: str
    binding: str
    index: int | None = None
    is_default: bool | None = None
    response_url: str = ""


@dataclass(frozen=True, slots=True)
class RequestedAttribute:
    """A claim that an application would like."""

    name: str
    friendly_name: str = ""
    name_format: str = names.ATTRIBUTE_UNSPECIFIED
    required: bool = False


@dataclass(frozen=True, slots=True)
class AttributeService:
    """A set of claims that an application may ask for by number."""

    index: int
    is_default: bool | None
    attributes: tuple[RequestedAttribute, ...]


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom to write to about an application."""

    kind: str
    name: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class SpMetadata:
    """What an application's metadata says that we have a use for. Metadata sections 2.3 and 2.4.4.

    Certificates are DER, in the order of the document; only their keys count (a metadata file is where trust comes from, not the
    certificate's dates or issuer). Those whose key we do not take (RSA below 2048 bits, DSA, unreadable) are left out and counted
    in `unusable_certificates`; so are addresses over plain http in `unusable_addresses`. `acs` holds HTTP-POST alone, `slo`
    HTTP-POST and HTTP-Redirect; `acs_elsewhere` are consumers by other bindings, where nothing is ever sent. `display_names` are
    pairs of language and name, languages in lower case. `logo_url` is https or empty.
    """

    entity_id: str
    acs: tuple[Endpoint, ...]
    slo: tuple[Endpoint, ...] = ()
    signing_certificates: tuple[bytes, ...] = ()
    encryption_certificates: tuple[bytes, ...] = ()
    wants_assertions_signed: bool = False
    authn_requests_signed: bool = False
    name_id_formats: tuple[str, ...] = ()
    attribute_services: tuple[AttributeService, ...] = ()
    valid_until: int | None = None
    cache_duration_s: int | None = None
    display_names: tuple[tuple[str, str], ...] = ()
    logo_url: str = ""
    information_url: str = ""
    contacts: tuple[Contact, ...] = ()
    unusable_certificates: int = 0
    unusable_addresses: int = 0
    acs_elsewhere: tuple[Endpoint, ...] = ()


# --- what goes out ---------------------------------------------------------------------------------------------------------


@quick_value
class Attribute:
    """A released claim: its name, what people call it, and its values in their order."""

    name: str
    values: tuple[str, ...]
    friendly_name: str = ""
    name_format: str = names.ATTRIBUTE_BASIC


@quick_value
class AssertionContent:
    """All that an answer says. Ids and times are the caller's, so that building is pure.

    `response_id` and `assertion_id` begin with a letter or `_` and hold at least 128 bits of chance (core section 1.3.4).
    `recipient` is the consumer's address, of the metadata. `in_response_to` is empty when we began (no request).
    `not_on_or_after` ends both the assertion and its delivery.
    """

    response_id: str
    assertion_id: str
    issuer: str
    recipient: str
    in_response_to: str
    audience: str
    name_id: NameId
    attributes: tuple[Attribute, ...]
    issued_at: int
    authn_instant: int
    session_index: str
    session_not_on_or_after: int | None
    context_class: str
    not_before: int
    not_on_or_after: int


@dataclass(frozen=True, slots=True)
class ResponseSettings:
    """How one application wants its answers. `encryption_certificate` is DER, of its metadata; empty without encryption."""

    sign: Sign = Sign.ASSERTION
    encrypt: Encrypt = Encrypt.NONE
    encryption_certificate: bytes = b""
    key_transport: KeyTransport = KeyTransport.OAEP_SHA1


@dataclass(frozen=True, slots=True)
class ErrorContent:
    """An answer without an assertion: why not. `message` is for the application's log, and names no person."""

    response_id: str
    issuer: str
    recipient: str
    in_response_to: str
    issued_at: int
    status: str
    second_status: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs, as loaded by `keys.load_signer`, and the certificate that shows its public half."""

    key: RSAPrivateKey | EllipticCurvePrivateKey = field(repr=False)
    certificate: bytes
    algorithm: SignatureAlgorithm
