"""Our own metadata: what an application needs to know to trust us. SAML metadata sections 2.3.2, 2.4.1 to 2.4.3.

It names the algorithms that we take (SAML metadata profile for algorithm support 1.0, section 2): Shibboleth signs with SHA-1 until
it reads of a better one.
"""

from dataclasses import dataclass

from wardgate.federation.saml import names
from wardgate.federation.saml.signing import key_info, signature
from wardgate.federation.saml.values import Contact, SignatureAlgorithm, Signer
from wardgate.federation.saml.writing import Xml, element, instant, joined

DIGESTS = (names.DIGEST_SHA256, names.DIGEST_SHA384, names.DIGEST_SHA512)
OFFERED_NAME_IDS = (names.FORMAT_PERSISTENT, names.FORMAT_TRANSIENT, names.FORMAT_EMAIL, names.FORMAT_UNSPECIFIED)


@dataclass(frozen=True, slots=True)
class Organisation:
    """Who runs this. All three are required when any is there."""

    name: str
    display_name: str
    url: str
    language: str = "en"


@dataclass(frozen=True, slots=True)
class OwnMetadata:
    """What our metadata says. `certificates` are DER, the one that signs now first, and while it rolls over the next one too.

    One address serves both bindings of sign-in, one both of logout. `document_id` is an xs:ID for the signature.
    """

    document_id: str
    entity_id: str
    sign_in_url: str
    logout_url: str
    certificates: tuple[bytes, ...]
    valid_until: int
    cache_duration_s: int
    wants_requests_signed: bool = False
    name_id_formats: tuple[str, ...] = OFFERED_NAME_IDS
    display_names: tuple[tuple[str, str], ...] = ()
    organisation: Organisation | None = None
    contacts: tuple[Contact, ...] = ()


def own_metadata(content: OwnMetadata, signer: Signer) -> bytes:
    """The signed EntityDescriptor. The certificates are for signing alone: nobody can encrypt to us, and we decrypt nothing."""
    attributes = {
        "ID": content.document_id,
        "cacheDuration": f"PT{content.cache_duration_s}S",
        "entityID": content.entity_id,
        "validUntil": instant(content.valid_until),
    }
    inside = joined(
        [_ALGORITHMS, _role(content), _organisation(content.organisation), *[_contact(each) for each in content.contacts]]
    )
    bare = element("md:EntityDescriptor", inside, declare="md", attributes=attributes)
    signed = signature(bare, content.document_id, signer)
    return element("md:EntityDescriptor", signed, inside, declare="md", attributes=attributes).encode()


_ALGORITHMS = element(
    "md:Extensions",
    *[element("alg:DigestMethod", declare="alg", attributes={"Algorithm": each}) for each in DIGESTS],
    *[element("alg:SigningMethod", declare="alg", attributes={"Algorithm": each}) for each in SignatureAlgorithm],
)


def _role(content: OwnMetadata) -> Xml:
    attributes = {
        "WantAuthnRequestsSigned": "true" if content.wants_requests_signed else "false",
        "protocolSupportEnumeration": names.PROTOCOL,
    }
    return element(
        "md:IDPSSODescriptor",
        _described(content.display_names),
        *[_key(certificate) for certificate in content.certificates],
        *_both("md:SingleLogoutService", content.logout_url),
        *[element("md:NameIDFormat", each) for each in content.name_id_formats],
        *_both("md:SingleSignOnService", content.sign_in_url),
        attributes=attributes,
    )


def _key(certificate: bytes) -> Xml:
    return element("md:KeyDescriptor", key_info(certificate, declare="ds"), attributes={"use": "signing"})


def _both(tag: str, url: str) -> list[Xml]:
    return [element(tag, attributes={"Binding": binding, "Location": url}) for binding in (names.REDIRECT, names.POST)]


def _described(display_names: tuple[tuple[str, str], ...]) -> Xml:
    if not display_names:
        return joined([])
    shown = [element("mdui:DisplayName", name, attributes={"xml:lang": language}) for language, name in display_names]
    return element("md:Extensions", element("mdui:UIInfo", *shown, declare="mdui"))


def _organisation(organisation: Organisation | None) -> Xml:
    if organisation is None:
        return joined([])
    language = {"xml:lang": organisation.language}
    return element(
        "md:Organization",
        element("md:OrganizationName", organisation.name, attributes=language),
        element("md:OrganizationDisplayName", organisation.display_name, attributes=language),
        element("md:OrganizationURL", organisation.url, attributes=language),
    )


def _contact(contact: Contact) -> Xml:
    parts = []
    if contact.name:
        parts.append(element("md:GivenName", contact.name))
    if contact.email:
        parts.append(element("md:EmailAddress", f"mailto:{contact.email}"))
    return element("md:ContactPerson", *parts, attributes={"contactType": contact.kind})
