"""What we send: a Response with its assertion, a Response that says why not, LogoutRequest and LogoutResponse.

Canonical form from the first character (`writing.py`), without white space between elements: passport-wsfed takes the first child
for the assertion. `xsi:type` is left out of attribute values: they are text, and the prefix inside an attribute's value is what
breaks signatures in half of the applications that ever broke one. SAML core, profiles section 4.1.4.2.

The Response that signs somebody in is one of each login, and is written as a text with places: whatever is put into one passes
`inside` or `quoted`, or is ours. What is the same in every answer to an application is made once. The other messages are made of
elements, which do the same by themselves.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from wardgate.federation.saml import names
from wardgate.federation.saml.encrypting import encrypted_assertion
from wardgate.federation.saml.signing import sign
from wardgate.federation.saml.values import (
    AssertionContent,
    Attribute,
    Encrypt,
    ErrorContent,
    LogoutRequest,
    LogoutResponse,
    NameId,
    ResponseSettings,
    Sign,
    Signer,
)
from wardgate.federation.saml.writing import Xml, element, inside, instant, opening, quoted

# Of applications, and of their claims: each part is some hundred characters.
MAX_KEPT_PARTS: Final = 1024
_SUCCESS = element("samlp:Status", element("samlp:StatusCode", attributes={"Value": names.SUCCESS}))


def response(content: AssertionContent, settings: ResponseSettings, signer: Signer) -> bytes:
    """The Response that signs somebody in, signed and encrypted as the application wants it.

    The assertion is signed before it is encrypted, the Response after. Raises SamlMessageError for a value that XML cannot carry,
    SettingsError for a key that does not fit.
    """
    made = assertion(content)
    if settings.sign is not Sign.RESPONSE:
        made = sign(made, content.assertion_id, signer)
    if settings.encrypt is not Encrypt.NONE:
        made = encrypted_assertion(made, settings)
    to, issued = quoted(content.recipient), instant(content.issued_at)
    whole = Xml(
        f'<samlp:Response xmlns:samlp="{names.PROTOCOL}" Destination="{to}" ID="{quoted(content.response_id)}"'
        f'{_in_response_to(content)} IssueInstant="{issued}" Version="2.0">'
        f"{_issuer(content.issuer)}{_SUCCESS}{made}</samlp:Response>"
    )
    if settings.sign is not Sign.ASSERTION:
        whole = sign(whole, content.response_id, signer)
    return whole.encode()


def assertion(content: AssertionContent) -> Xml:
    """The assertion alone, unsigned: what a preview shows."""
    issued, ends = instant(content.issued_at), instant(content.not_on_or_after)
    return Xml(
        f'<saml:Assertion xmlns:saml="{names.ASSERTION}" ID="{quoted(content.assertion_id)}" IssueInstant="{issued}" Version="2.0">'
        f"<saml:Issuer>{inside(content.issuer)}</saml:Issuer>"
        f"{_subject(content, ends)}"
        f'<saml:Conditions NotBefore="{instant(content.not_before)}" NotOnOrAfter="{ends}">{_audience(content.audience)}'
        f"</saml:Conditions>{_statement(content)}"
        f"{_attributes(content.attributes)}"
        "</saml:Assertion>"
    )


def error_response(content: ErrorContent, signer: Signer) -> bytes:
    """A signed Response without an assertion. Core section 3.2.2."""
    whole = element(
        "samlp:Response",
        _issuer(content.issuer),
        _status(content.status, content.second_status, content.message),
        declare="samlp",
        attributes=_head(content.response_id, content.issued_at, content.recipient, content.in_response_to),
    )
    return sign(whole, content.response_id, signer).encode()


def logout_request(request: LogoutRequest, signer: Signer | None) -> bytes:
    """A LogoutRequest; with a signer signed inside, as the POST binding wants it."""
    attributes = _head(request.id, request.issued_at, request.destination, "")
    if request.not_on_or_after is not None:
        attributes["NotOnOrAfter"] = instant(request.not_on_or_after)
    whole = element(
        "samlp:LogoutRequest",
        _issuer(request.issuer),
        _name_id(request.name_id, declare="saml"),
        *[element("samlp:SessionIndex", index) for index in request.session_indexes],
        declare="samlp",
        attributes=attributes,
    )
    return (whole if signer is None else sign(whole, request.id, signer)).encode()


def logout_response(response: LogoutResponse, signer: Signer | None) -> bytes:
    """A LogoutResponse; with a signer signed inside, as the POST binding wants it."""
    whole = element(
        "samlp:LogoutResponse",
        _issuer(response.issuer),
        _status(response.status, response.second_status, ""),
        declare="samlp",
        attributes=_head(response.id, response.issued_at, response.destination, response.in_response_to),
    )
    return (whole if signer is None else sign(whole, response.id, signer)).encode()


def _head(message_id: str, issued_at: int, destination: str, in_response_to: str) -> dict[str, str]:
    """The attributes that every message has; an empty InResponseTo is left out."""
    return {
        "Destination": destination,
        "ID": message_id,
        "InResponseTo": in_response_to,
        "IssueInstant": instant(issued_at),
        "Version": "2.0",
    }


@lru_cache(maxsize=MAX_KEPT_PARTS)
def _issuer(issuer: str) -> Xml:
    return element("saml:Issuer", issuer, declare="saml")


def _status(first: str, second: str, message: str) -> Xml:
    inner = [element("samlp:StatusCode", attributes={"Value": second})] if second else []
    parts = [element("samlp:StatusCode", *inner, attributes={"Value": first})]
    if message:
        parts.append(element("samlp:StatusMessage", message))
    return element("samlp:Status", *parts)


def _name_id(name_id: NameId, declare: str = "") -> Xml:
    start = _named(name_id.format, name_id.name_qualifier, name_id.sp_name_qualifier, declare)
    return Xml(f"{start}{inside(name_id.value)}</saml:NameID>")


@lru_cache(maxsize=MAX_KEPT_PARTS)
def _named(form: str, qualifier: str, sp_qualifier: str, declare: str) -> str:
    attributes = {"Format": form, "NameQualifier": qualifier, "SPNameQualifier": sp_qualifier}
    return opening("saml:NameID", declare, attributes)


def _in_response_to(content: AssertionContent) -> str:
    """The attribute; none where we began."""
    return f' InResponseTo="{quoted(content.in_response_to)}"' if content.in_response_to else ""


def _subject(content: AssertionContent, ends: str) -> str:
    """Who it is, and that whoever brings it to `recipient` in time is it. A bearer's data has no NotBefore (4.1.4.2)."""
    return (
        f"<saml:Subject>{_name_id(content.name_id)}"
        f'<saml:SubjectConfirmation Method="{names.BEARER}"><saml:SubjectConfirmationData{_in_response_to(content)}'
        f' NotOnOrAfter="{ends}" Recipient="{quoted(content.recipient)}"></saml:SubjectConfirmationData>'
        "</saml:SubjectConfirmation></saml:Subject>"
    )


@lru_cache(maxsize=MAX_KEPT_PARTS)
def _audience(audience: str) -> Xml:
    return element("saml:AudienceRestriction", element("saml:Audience", audience))


def _statement(content: AssertionContent) -> str:
    ends, index = content.session_not_on_or_after, quoted(content.session_index)
    until = f' SessionNotOnOrAfter="{instant(ends)}"' if ends is not None else ""
    return (
        f'<saml:AuthnStatement AuthnInstant="{instant(content.authn_instant)}" SessionIndex="{index}"{until}>'
        f"{_context(content.context_class)}</saml:AuthnStatement>"
    )


@lru_cache(maxsize=MAX_KEPT_PARTS)
def _context(context_class: str) -> Xml:
    return element("saml:AuthnContext", element("saml:AuthnContextClassRef", context_class))


def _attributes(attributes: Sequence[Attribute]) -> str:
    """The claims; the schema allows no empty statement, so none is there without claims."""
    if not attributes:
        return ""
    return f"<saml:AttributeStatement>{''.join([_attribute(each) for each in attributes])}</saml:AttributeStatement>"


def _attribute(attribute: Attribute) -> str:
    start = _called(attribute.name, attribute.friendly_name, attribute.name_format)
    values = "".join([f"<saml:AttributeValue>{inside(value)}</saml:AttributeValue>" for value in attribute.values])
    return f"{start}{values}</saml:Attribute>"


@lru_cache(maxsize=MAX_KEPT_PARTS)
def _called(name: str, friendly_name: str, name_format: str) -> str:
    return opening("saml:Attribute", attributes={"FriendlyName": friendly_name, "Name": name, "NameFormat": name_format})
