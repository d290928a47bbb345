"""From a message that a browser brought to what the application asks for, checked against its metadata; or to why not.

A message that cannot be trusted gets no answer but a page for the person: nobody knows who would hear it. One of an application
that we know, which asks for what it does not get, is answered by an error Response to an address of its metadata. SAML core 3.2.2.
"""

from dataclasses import dataclass
from typing import Final

from wardgate.errors import SamlMessageError
from wardgate.federation.contexts import Wanted, known_classes
from wardgate.federation.door import SLO_PATH, SSO_PATH, FederationDoor
from wardgate.federation.relying_party import NameIdFormat, RelyingParty
from wardgate.federation.saml import names
from wardgate.federation.saml.bindings import Received
from wardgate.federation.saml.consumers import asks_for_another_binding, attribute_service, consumer, logout_endpoint
from wardgate.federation.saml.requests import Arrival, OpenMessage, authn_request, logout_request, open_message
from wardgate.federation.saml.values import AuthnRequest
from wardgate.federation.stored_requests import SIGN_OUT, Asked

_FORMATS: Final = frozenset(each.value for each in NameIdFormat)
# Of the rules that a message breaks.
UNSIGNED: Final = "saml_unsigned"
REPLAYED: Final = "saml_replayed"
_NOBODY: Final = "no relying party has this entity id, or its metadata has run out"


@dataclass(frozen=True, slots=True)
class NotTrusted:
    """A message that gets no answer. `text`: the id of what the person reads.

    `rule` and `detail`: which rule it breaks, for the operator, by a short stable name and in words.
    """

    text: str
    rule: str
    detail: str
    issuer: str = ""


def not_trusted(text: str, error: SamlMessageError, issuer: str = "") -> NotTrusted:
    """A message that breaks the rule that the error names."""
    return NotTrusted(text, error.code, error.message, issuer)


@dataclass(frozen=True, slots=True)
class NotGiven:
    """What an application that we know asked for, and does not get: the status of the answer, first and second level."""

    asked: Asked
    status: str
    second: str = ""


def sign_in_asked(door: FederationDoor, received: Received) -> tuple[RelyingParty, Asked | NotGiven] | NotTrusted:
    """What a message at the sign-in endpoint asks for."""
    try:
        message = open_message(received)
    except SamlMessageError as error:
        return not_trusted("federation.malformed", error)
    arrived = arrival(door, SSO_PATH)
    party = door.party_of(message.issuer, arrived.now_ms)
    if party is None:
        return NotTrusted("federation.unknown", "saml_unknown", _NOBODY, message.issuer)
    if not message.asks_to_sign_in:
        return NotTrusted("federation.malformed", "saml_request", "not a request to sign in", message.issuer)
    try:
        request = authn_request(message, party.metadata.signing_certificates, arrived)
    except SamlMessageError as error:
        return not_trusted("federation.not_trusted", error, message.issuer)
    if party.requires_signed_requests and not request.signed:
        return NotTrusted("federation.not_trusted", UNSIGNED, "its requests have to be signed, and this one is not", message.issuer)
    try:
        answer_to = consumer(party.metadata, request)
    except SamlMessageError as error:
        return not_trusted("federation.foreign", error, message.issuer)
    subject = request.subject
    asked = Asked(
        party=party.name,
        request_id=request.id,
        answer_to=answer_to.url,
        relay_state=received.relay_state,
        fresh=request.force_authn,
        passive=request.is_passive,
        contexts=known_classes(request.contexts),
        comparison=request.comparison,
        name_id_format=_format_wanted(party, request),
        attribute_index=request.attribute_index,
        signed=request.signed,
        name_id=(subject.value, subject.format, subject.sp_name_qualifier) if subject is not None else ("", "", ""),
    )
    return party, _not_given(party, request, asked) or asked


def sign_out_asked(door: FederationDoor, message: OpenMessage) -> tuple[RelyingParty, Asked] | NotTrusted:
    """What a LogoutRequest asks for. One without a signature may be anybody's: `signed` says so, and the person is asked."""
    arrived = arrival(door, SLO_PATH)
    party = door.party_of(message.issuer, arrived.now_ms)
    if party is None:
        return NotTrusted("federation.unknown", "saml_unknown", _NOBODY, message.issuer)
    try:
        request = logout_request(message, party.metadata.signing_certificates, arrived)
    except SamlMessageError as error:
        return not_trusted("federation.not_trusted", error, message.issuer)
    endpoint = logout_endpoint(party.metadata)
    if endpoint is None:
        return NotTrusted(
            "federation.foreign", "saml_no_logout", "its metadata has no address for the answer to a logout", message.issuer
        )
    asked = Asked(
        party=party.name,
        request_id=request.id,
        answer_to=endpoint.response_url or endpoint.url,
        relay_state=message.received.relay_state,
        kind=SIGN_OUT,
        signed=request.signed,
        binding=endpoint.binding,
        name_id=(request.name_id.value, request.name_id.format, request.name_id.sp_name_qualifier),
        session_indexes=request.session_indexes,
    )
    return party, asked


def arrival(door: FederationDoor, path: str) -> Arrival:
    """Where and when a message came in: only the configured address is ours, whatever the Host header says."""
    return Arrival(frozenset({door.origin + path}), door.now_ms())


def _format_wanted(party: RelyingParty, request: AuthnRequest) -> str:
    """The kind of name that is asked for, which whom the request names may tell as well: he is answered for by that very name."""
    wanted, subject = request.name_id_format, request.subject
    if wanted in ("", names.FORMAT_UNSPECIFIED) and subject is not None and party.accepts(subject.format):
        return subject.format
    return wanted if wanted in _FORMATS else ""


def _not_given(party: RelyingParty, request: AuthnRequest, asked: Asked) -> NotGiven | None:
    wanted = request.name_id_format
    if request.version != "2.0":
        is_newer = int(request.version.partition(".")[0]) >= 2
        return NotGiven(
            asked, names.VERSION_MISMATCH, names.REQUEST_VERSION_TOO_HIGH if is_newer else names.REQUEST_VERSION_TOO_LOW
        )
    if asks_for_another_binding(party.metadata, request):
        return NotGiven(asked, names.REQUESTER, names.UNSUPPORTED_BINDING)
    if wanted not in ("", names.FORMAT_UNSPECIFIED) and not (wanted in _FORMATS and party.accepts(wanted)):
        return NotGiven(asked, names.REQUESTER, names.INVALID_NAME_ID_POLICY)
    if request.sp_name_qualifier not in ("", party.entity_id):
        # A name by which somebody else knows the person.
        return NotGiven(asked, names.REQUESTER, names.INVALID_NAME_ID_POLICY)
    try:
        attribute_service(party.metadata, request.attribute_index)
    except SamlMessageError:
        return NotGiven(asked, names.REQUESTER, names.INVALID_ATTRIBUTE)
    if (request.context_declarations and not request.contexts) or not Wanted(request.contexts, request.comparison).is_possible:
        return NotGiven(asked, names.RESPONDER, names.NO_AUTHN_CONTEXT)
    return None
