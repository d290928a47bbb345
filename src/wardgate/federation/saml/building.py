"""What we send: a Response with its assertion, a Response that says why not, LogoutRequest and LogoutResponse.

Canonical form from the first character (`writing.py`), without white space between elements: passport-wsfed takes the first child
for the assertion. `xsi:type` is left out of attribute values: they are text, and the prefix inside an attribute's value is what
breaks signatures in half of the applications that ever broke one. SAML core, profiles section 4.1.4.2.
"""

from collections.abc import Sequence

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
from wardgate.federation.saml.writing import Xml, element, instant, joined

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
    whole = element(
        "samlp:Response",
        _issuer(content.issuer),
        _SUCCESS,
        made,
        declare="samlp",
        attributes=_head(content.response_id, content.issued_at, content.recipient, content.in_response_to),
    )
    if settings.sign is not Sign.ASSERTION:
        whole = sign(whole, content.response_id, signer)
    return whole.encode()


def assertion(content: AssertionContent) -> Xml:
    """The assertion alone, unsigned: what a preview shows."""
    return element(
        "saml:Assertion",
        element("saml:Issuer", content.issuer),
        _subject(content),
        _conditions(content),
        _statement(content),
        _attributes(content.attributes),
        declare="saml",
        attributes={"ID": content.assertion_id, "IssueInstant": instant(content.issued_at), "Version": "2.0"},
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


def _issuer(issuer: str) -> Xml:
    return element("saml:Issuer", issuer, declare="saml")


def _status(first: str, second: str, message: str) -> Xml:
    inner = [element("samlp:StatusCode", attributes={"Value": second})] if second else []
    parts = [element("samlp:StatusCode", *inner, attributes={"Value": first})]
    if message:
        parts.append(element("samlp:StatusMessage", message))
    return element("samlp:Status", *parts)


def _name_id(name_id: NameId, declare: str = "") -> Xml:
    return element(
        "saml:NameID",
        name_id.value,
        declare=declare,
        attributes={
            "Format": name_id.format,
            "NameQualifier": name_id.name_qualifier,
            "SPNameQualifier": name_id.sp_name_qualifier,
        },
    )


def _subject(content: AssertionContent) -> Xml:
    """Who it is, and that whoever brings it to `recipient` in time is it. A bearer's data has no NotBefore (4.1.4.2)."""
    data = element(
        "saml:SubjectConfirmationData",
        attributes={
            "InResponseTo": content.in_response_to,
            "NotOnOrAfter": instant(content.not_on_or_after),
            "Recipient": content.recipient,
        },
    )
    return element(
        "saml:Subject",
        _name_id(content.name_id),
        element("saml:SubjectConfirmation", data, attributes={"Method": names.BEARER}),
    )


def _conditions(content: AssertionContent) -> Xml:
    audience = element("saml:AudienceRestriction", element("saml:Audience", content.audience))
    ends = instant(content.not_on_or_after)
    return element("saml:Conditions", audience, attributes={"NotBefore": instant(content.not_before), "NotOnOrAfter": ends})


def _statement(content: AssertionContent) -> Xml:
    ends = content.session_not_on_or_after
    return element(
        "saml:AuthnStatement",
        element("saml:AuthnContext", element("saml:AuthnContextClassRef", content.context_class)),
        attributes={
            "AuthnInstant": instant(content.authn_instant),
            "SessionIndex": content.session_index,
            "SessionNotOnOrAfter": "" if ends is None else instant(ends),
        },
    )


def _attributes(attributes: Sequence[Attribute]) -> Xml:
    """The claims; the schema allows no empty statement, so none is there without claims."""
    if not attributes:
        return joined([])
    return element("saml:AttributeStatement", *[_attribute(each) for each in attributes])


def _attribute(attribute: Attribute) -> Xml:
    return element(
        "saml:Attribute",
        *[element("saml:AttributeValue", value) for value in attribute.values],
        attributes={"FriendlyName": attribute.friendly_name, "Name": attribute.name, "NameFormat": attribute.name_format},
    )
