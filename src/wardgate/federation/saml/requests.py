"""Messages of applications: an AuthnRequest, a LogoutRequest, a LogoutResponse, read in two steps.

`open_message` tells whose message it says it is, so that the caller can find that application's metadata; the second step reads
it with the application's keys. A signature that is there has to hold; whether there must be one is the caller's to judge by
`signed`. A message that fails here gets no answer but a page for the human: nobody knows whose it is. SAML core 3.2 to 3.7.
"""

import re
from collections.abc import Sequence

from wardgate.federation.saml import names
from wardgate.federation.saml.bindings import REQUEST, Received
from wardgate.federation.saml.values import AuthnRequest, LogoutRequest, LogoutResponse, NameId
from wardgate.federation.saml.verifying import SIGNATURE, check_query, has_signature, verified
from wardgate.federation.saml.xml import (
    MAX_ENTITY_ID_CHARS,
    MAX_ID_CHARS,
    Element,
    attribute,
    boolean,
    id_of,
    instant,
    parse,
    refused,
    text_of,
    unsigned_short,
)
from wardgate.values import quick_value

SKEW_MS = 3 * 60_000
"""How far ahead an application's clock may be."""
MAX_AGE_MS = 10 * 60_000
"""How old a message may be that arrives, its clock's error included."""
MAX_CONTEXTS = 16
MAX_SESSION_INDEXES = 64

_AUTHN_REQUEST = f"{{{names.PROTOCOL}}}AuthnRequest"
_LOGOUT_REQUEST = f"{{{names.PROTOCOL}}}LogoutRequest"
_LOGOUT_RESPONSE = f"{{{names.PROTOCOL}}}LogoutResponse"
_KINDS = {_AUTHN_REQUEST: True, _LOGOUT_REQUEST: True, _LOGOUT_RESPONSE: False}
_ISSUER = f"{{{names.ASSERTION}}}Issuer"
_SUBJECT = f"{{{names.ASSERTION}}}Subject"
_NAME_ID = f"{{{names.ASSERTION}}}NameID"
_CLASS_REF = f"{{{names.ASSERTION}}}AuthnContextClassRef"
_DECL_REF = f"{{{names.ASSERTION}}}AuthnContextDeclRef"
_CONDITIONS = f"{{{names.ASSERTION}}}Conditions"
_EXTENSIONS = f"{{{names.PROTOCOL}}}Extensions"
_NAME_ID_POLICY = f"{{{names.PROTOCOL}}}NameIDPolicy"
_REQUESTED_CONTEXT = f"{{{names.PROTOCOL}}}RequestedAuthnContext"
_SCOPING = f"{{{names.PROTOCOL}}}Scoping"
_SESSION_INDEX = f"{{{names.PROTOCOL}}}SessionIndex"
_STATUS = f"{{{names.PROTOCOL}}}Status"
_STATUS_CODE = f"{{{names.PROTOCOL}}}StatusCode"
_STATUS_REST = (f"{{{names.PROTOCOL}}}StatusMessage", f"{{{names.PROTOCOL}}}StatusDetail")
_VERSION = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}")
_EVERYWHERE = (_ISSUER, SIGNATURE, _EXTENSIONS)
_OF_AUTHN_REQUEST = frozenset({*_EVERYWHERE, _SUBJECT, _NAME_ID_POLICY, _CONDITIONS, _REQUESTED_CONTEXT, _SCOPING})
_OF_LOGOUT_REQUEST = frozenset({*_EVERYWHERE, _NAME_ID, _SESSION_INDEX})
_OF_LOGOUT_RESPONSE = frozenset({*_EVERYWHERE, _STATUS})


@quick_value
class OpenMessage:
    """A well-formed message of one of the three kinds, and whose it says it is: no more is known of it."""

    received: Received
    root: Element
    issuer: str

    @property
    def asks_to_sign_in(self) -> bool:
        """It is an AuthnRequest."""
        return self.root.tag == _AUTHN_REQUEST

    @property
    def asks_to_sign_out(self) -> bool:
        """It is a LogoutRequest."""
        return self.root.tag == _LOGOUT_REQUEST

    @property
    def answers_a_logout(self) -> bool:
        """It is a LogoutResponse."""
        return self.root.tag == _LOGOUT_RESPONSE


@quick_value
class _Checked:
    """A message that holds to what every one has to. `root`: the element to read, and nothing of the tree that came but it."""

    root: Element
    signed: bool
    destination: str
    issued_at: int


@quick_value
class Arrival:
    """Where and when a message arrived. `destinations` are the addresses under which this endpoint is known."""

    destinations: frozenset[str]
    now_ms: int
    skew_ms: int = SKEW_MS
    max_age_ms: int = MAX_AGE_MS


def open_message(received: Received) -> OpenMessage:
    """The message, and its issuer by its own word. Raises SamlMessageError."""
    root = parse(received.document)
    if root.tag not in _KINDS:
        raise refused("no AuthnRequest, LogoutRequest or LogoutResponse", "saml_no_message")
    if _KINDS[root.tag] != (received.kind == REQUEST):
        raise refused("a request in the place of a response, or the other way round", "saml_no_message")
    return OpenMessage(received, root, _issuer(root))


def authn_request(message: OpenMessage, certificates: Sequence[bytes], arrival: Arrival) -> AuthnRequest:
    """The AuthnRequest in `message`; `certificates` are those of its issuer's metadata. Raises SamlMessageError."""
    checked = _checked(message, _AUTHN_REQUEST, certificates, arrival)
    root = checked.root
    known = _children(root, _OF_AUTHN_REQUEST)
    acs_url, binding = attribute(root, "AssertionConsumerServiceURL"), attribute(root, "ProtocolBinding")
    acs_index = unsigned_short(root, "AssertionConsumerServiceIndex")
    if acs_index is not None and (acs_url or binding):
        # Core section 3.4.1: one or the other. Two readers of both would send the answer to two places.
        raise refused("the consumer is named by number and by address", "saml_acs")
    policy = known.get(_NAME_ID_POLICY)
    contexts, declarations, comparison = _contexts(known.get(_REQUESTED_CONTEXT))
    return AuthnRequest(
        id=id_of(root),
        issuer=message.issuer,
        destination=checked.destination,
        acs_url=acs_url,
        acs_index=acs_index,
        binding=binding or None,
        name_id_format="" if policy is None else attribute(policy, "Format"),
        sp_name_qualifier="" if policy is None else attribute(policy, "SPNameQualifier"),
        allow_create=policy is not None and bool(boolean(policy, "AllowCreate")),
        force_authn=bool(boolean(root, "ForceAuthn")),
        is_passive=bool(boolean(root, "IsPassive")),
        contexts=contexts,
        comparison=comparison,
        attribute_index=unsigned_short(root, "AttributeConsumingServiceIndex"),
        issued_at=checked.issued_at,
        signed=checked.signed,
        context_declarations=declarations,
        subject=_subject(known.get(_SUBJECT)),
        version=attribute(root, "Version"),
    )


def logout_request(message: OpenMessage, certificates: Sequence[bytes], arrival: Arrival) -> LogoutRequest:
    """The LogoutRequest in `message`. Raises SamlMessageError, also for a name that is encrypted: we publish no key for that."""
    checked = _checked(message, _LOGOUT_REQUEST, certificates, arrival)
    root = checked.root
    known = _children(root, _OF_LOGOUT_REQUEST, repeated=_SESSION_INDEX)
    if _NAME_ID not in known:
        raise refused("a LogoutRequest without a NameID", "saml_name_id")
    ends = instant(root, "NotOnOrAfter")
    if ends is not None and arrival.now_ms >= ends + arrival.skew_ms:
        raise refused("a LogoutRequest that has ended", "saml_time")
    indexes = tuple(text_of(child, MAX_ID_CHARS) for child in root if child.tag == _SESSION_INDEX)
    if len(indexes) > MAX_SESSION_INDEXES:
        raise refused("too many session indexes", "saml_too_large")
    return LogoutRequest(
        id=id_of(root),
        issuer=message.issuer,
        destination=checked.destination,
        issued_at=checked.issued_at,
        not_on_or_after=ends,
        name_id=_name_id(known[_NAME_ID]),
        session_indexes=indexes,
        signed=checked.signed,
    )


def logout_response(message: OpenMessage, certificates: Sequence[bytes], arrival: Arrival) -> LogoutResponse:
    """The LogoutResponse in `message`. Raises SamlMessageError."""
    checked = _checked(message, _LOGOUT_RESPONSE, certificates, arrival)
    root = checked.root
    known = _children(root, _OF_LOGOUT_RESPONSE)
    if _STATUS not in known:
        raise refused("a response without a status", "saml_status")
    status, second = _status(known[_STATUS])
    return LogoutResponse(
        id=id_of(root),
        in_response_to=attribute(root, "InResponseTo", MAX_ID_CHARS),
        issuer=message.issuer,
        destination=checked.destination,
        issued_at=checked.issued_at,
        status=status,
        second_status=second,
        signed=checked.signed,
    )


# --- what every message has to hold to -----------------------------------------------------------------------------------------


def _checked(message: OpenMessage, tag: str, certificates: Sequence[bytes], arrival: Arrival) -> _Checked:
    """The message, its signatures checked: after this only the element that they cover counts, not the tree that came."""
    if message.root.tag != tag:
        raise refused("a message of another kind", "saml_no_message")
    root, signed = _signed_root(message, certificates)
    version = attribute(root, "Version")
    # Of a request to sign in the application hears that it is the wrong one (core section 3.2.2.2).
    if version != "2.0" and not (tag == _AUTHN_REQUEST and _VERSION.fullmatch(version)):
        raise refused("a version that is not 2.0", "saml_version")
    if root is not message.root and _issuer(root) != message.issuer:
        raise refused("the issuer is not the one that was signed", "saml_signature")
    destination = attribute(root, "Destination")
    if destination not in arrival.destinations and (destination or signed):
        # Bindings sections 3.4.5.2 and 3.5.5.2: a signed message has one, or it could be shown to anybody who knows the sender.
        raise refused("the message was meant for another address, or does not say which", "saml_destination")
    issued_at = _issued_at(root)
    if issued_at > arrival.now_ms + arrival.skew_ms:
        raise refused("issued in the future: is the application's clock right?", "saml_time")
    if issued_at < arrival.now_ms - arrival.max_age_ms:
        raise refused("issued too long ago: is the application's clock right?", "saml_time")
    return _Checked(root, signed, destination, issued_at)


def _signed_root(message: OpenMessage, certificates: Sequence[bytes]) -> tuple[Element, bool]:
    """Every signature that is there holds. Of an application without a key none can be checked: its messages are unsigned ones."""
    root, signed = message.root, False
    if not certificates:
        return root, False
    if message.received.signature is not None:
        check_query(message.received.signature, certificates)
        signed = True
    if has_signature(root):
        root, signed = verified(root, certificates), True
    return root, signed


def _issuer(root: Element) -> str:
    found = [child for child in root if child.tag == _ISSUER]
    if len(found) != 1 or attribute(found[0], "Format") not in ("", names.FORMAT_ENTITY):
        raise refused("not one issuer that is an entity", "saml_issuer")
    value = text_of(found[0], MAX_ENTITY_ID_CHARS)
    if not value:
        raise refused("an empty issuer", "saml_issuer")
    return value


def _issued_at(root: Element) -> int:
    value = instant(root, "IssueInstant")
    if value is None:
        raise refused("no IssueInstant", "saml_time")
    return value


def _children(root: Element, allowed: frozenset[str], repeated: str = "") -> dict[str, Element]:
    """The children by their names; each only once but `repeated`, and none that the schema does not know."""
    found: dict[str, Element] = {}
    for child in root:
        tag = str(child.tag)
        if tag not in allowed or (tag in found and tag != repeated):
            raise refused("a part that does not belong there, or is there twice", "saml_schema")
        found[tag] = child
    return found


# --- parts ----------------------------------------------------------------------------------------------------------------------


def _name_id(element: Element) -> NameId:
    value = text_of(element)
    if not value:
        raise refused("an empty NameID", "saml_name_id")
    return NameId(
        value=value,
        format=attribute(element, "Format") or names.FORMAT_UNSPECIFIED,
        name_qualifier=attribute(element, "NameQualifier"),
        sp_name_qualifier=attribute(element, "SPNameQualifier"),
    )


def _subject(element: Element | None) -> NameId | None:
    """Who is to sign in. A confirmation has no place in a request (profiles section 4.1.4.1); encrypted names we cannot read."""
    if element is None:
        return None
    children = list(element)
    if [child.tag for child in children] != [_NAME_ID]:
        raise refused("a Subject that is not one NameID", "saml_name_id")
    return _name_id(children[0])


def _contexts(element: Element | None) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """The classes or the declarations that are asked for, and how they compare. Core section 3.3.2.2.1."""
    if element is None:
        return (), (), "exact"
    comparison = attribute(element, "Comparison") or "exact"
    children = list(element)
    tags = {child.tag for child in children}
    if comparison not in names.COMPARISONS or tags not in ({_CLASS_REF}, {_DECL_REF}):
        raise refused("a RequestedAuthnContext of another shape", "saml_context")
    if len(children) > MAX_CONTEXTS:
        raise refused("too many contexts", "saml_too_large")
    asked = tuple(text_of(child) for child in children)
    return (asked, (), comparison) if tags == {_CLASS_REF} else ((), asked, comparison)


def _status(element: Element) -> tuple[str, str]:
    """The first and the second status code; what is nested deeper is detail. Core section 3.2.2.2."""
    codes = [child for child in element if child.tag == _STATUS_CODE]
    if len(codes) != 1 or any(child.tag not in (_STATUS_CODE, *_STATUS_REST) for child in element):
        raise refused("not one status code", "saml_status")
    first = attribute(codes[0], "Value")
    if first not in names.TOP_STATUSES:
        raise refused("a first status code that is none", "saml_status")
    inner = [child for child in codes[0] if child.tag == _STATUS_CODE]
    if len(inner) > 1:
        raise refused("not one status code", "saml_status")
    return first, attribute(inner[0], "Value") if inner else ""
