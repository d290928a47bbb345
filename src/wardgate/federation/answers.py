"""What leaves for an application: the signed Response to a grant, and the Response that says why not."""

import secrets
from typing import Final

from wardgate.engine.outcome import Granted
from wardgate.errors import SamlMessageError, UsageError
from wardgate.federation.claims import Person, released
from wardgate.federation.contexts import Wanted
from wardgate.federation.door import FederationDoor
from wardgate.federation.name_ids import name_for, persistent_name
from wardgate.federation.participants import Participant
from wardgate.federation.relying_party import NameIdFormat, RelyingParty
from wardgate.federation.saml import building, names
from wardgate.federation.saml.bindings import RESPONSE, Form, post_form
from wardgate.federation.saml.consumers import attribute_service
from wardgate.federation.saml.values import AssertionContent, ErrorContent, NameId
from wardgate.federation.stored_requests import Asked
from wardgate.pages.opening import PROVED_BEFORE
from wardgate.session.sessions import Session
from wardgate.values import quick_value

ID_BYTES: Final = 20
# An application's clock may be behind ours.
NOT_BEFORE_MS: Final = 60_000


@quick_value
class How:
    """How somebody signed in: the class that is told, and when he did, in milliseconds.

    `claims`: the names of those that the request asks for; None: it asks for none in particular.
    """

    context: str
    proved_at: int
    claims: frozenset[str] | None = None


class Telling:
    """One request on its way to its answer: whether a grant can be told as the application asked, and how.

    Asked before the grant is written: an application that cannot be told what it asked for is told why not, and nothing is granted.
    """

    def __init__(self, door: FederationDoor, party: RelyingParty, asked: Asked, session: Session) -> None:
        self._door = door
        self._party = party
        self._asked = asked
        self._session = session
        self._told: tuple[Person, Participant, How] | None = None
        self.status = ("", "")

    def can_be_told(self, granted: Granted) -> bool:
        """Whether it can; if not, `status` says why: first and second level. Raises NoSigningKey, as any answer would."""
        self._door.signer_for(self._party, self._door.now_ms())
        if granted.mark != self._party.claims_mark:
            # The claims were changed meanwhile: the grant's groups, without their DNs, could pass for others (see `claims`).
            self.status = names.RESPONDER, names.REQUEST_DENIED
            return False
        try:
            claims = _wanted(self._party, self._asked)
        except SamlMessageError:
            # Its metadata was renewed while the request waited, and has no set of this number any more.
            self.status = names.REQUESTER, names.INVALID_ATTRIBUTE
            return False
        person = person_of(self._door, self._party, granted)
        context = Wanted(self._asked.contexts, self._asked.comparison).told(granted.factors)
        name, wanted = name_told(self._door, self._party, self._asked, person), self._asked.name_id[0]
        if context is None:
            self.status = names.RESPONDER, names.NO_AUTHN_CONTEXT
        elif name is None:
            self.status = names.RESPONDER, names.INVALID_NAME_ID_POLICY
        elif wanted and wanted != name.value:
            # Core section 3.4.1.4: who is named in the request, or nobody.
            self.status = names.RESPONDER, names.UNKNOWN_PRINCIPAL
        else:
            index = session_index(self._door, self._session, self._party)
            self._told = person, Participant(self._party.name, name, index), How(context, self._proved_at(granted), claims)
        return self._told is not None

    def _proved_at(self, granted: Granted) -> int:
        """When the person signed in, by the oldest proof that counted. That a browser was trusted weeks ago is no sign-in."""
        proofs = self._session.proofs
        dates = [proofs[kind] for kind in granted.factors if kind in proofs and kind not in PROVED_BEFORE]
        return min(dates, default=self._session.created_at)

    @property
    def participant(self) -> Participant:
        """What the application will know the session by."""
        return self._what[1]

    def response(self) -> Form:
        """The signed Response, as a form."""
        person, participant, how = self._what
        return statement(self._door, self._party, self._asked, person, participant, self._session, how)

    @property
    def _what(self) -> tuple[Person, Participant, How]:
        if self._told is None:
            raise UsageError("nothing was granted that could be told")
        return self._told


def new_message_id() -> str:
    """An id of a message: it begins as XML's ids do, and holds more than 128 bits of chance (core 1.3.4)."""
    return f"_{secrets.token_hex(ID_BYTES)}"


def session_index(door: FederationDoor, session: Session, party: RelyingParty) -> str:
    """What this application calls this session: nothing by which two applications could compare."""
    mac = door.browser.ring().mac("saml-session-index", session.id.encode(), party.entity_id.encode())
    return f"_{mac.hex()[:40]}"


def person_of(door: FederationDoor, party: RelyingParty, granted: Granted) -> Person:
    """Whom the statement is about, as the grant found him."""
    return Person(
        subject=persistent_name(door.browser.ring(), party.entity_id, granted.subject_id),
        user_name=granted.user_name,
        realm=granted.realm,
        directory=granted.directory,
        display_name=granted.display_name,
        mail=granted.mail or "",
        phone=granted.phone,
        language=granted.own_language,
        groups=granted.groups,
        group_aliases=granted.group_aliases,
        attributes=granted.attributes,
    )


def name_told(door: FederationDoor, party: RelyingParty, asked: Asked, person: Person) -> NameId | None:
    """What the application knows the person by; None where he has nothing to be named by in the format that it wants."""
    wanted = asked.name_id_format
    form = party.name_id.format if wanted in ("", names.FORMAT_UNSPECIFIED) else NameIdFormat(wanted)
    return name_for(party, form, person, door.entity_id)


def statement(
    door: FederationDoor, party: RelyingParty, asked: Asked, person: Person, participant: Participant, session: Session, how: How
) -> Form:
    """The Response for a person, as a form to its application."""
    now_ms = door.now_ms()
    content = AssertionContent(
        response_id=new_message_id(),
        assertion_id=new_message_id(),
        issuer=door.entity_id,
        recipient=asked.answer_to,
        in_response_to=asked.request_id,
        audience=party.entity_id,
        name_id=participant.name_id,
        attributes=released(party.claims, person, how.claims).claims,
        issued_at=now_ms,
        authn_instant=how.proved_at,
        session_index=participant.index,
        session_not_on_or_after=session.ends_at,
        context_class=how.context,
        not_before=now_ms - NOT_BEFORE_MS,
        not_on_or_after=now_ms + party.assertion_life_s * 1000,
    )
    response = building.response(content, party.response, door.signer_for(party, now_ms))
    return post_form(asked.answer_to, RESPONSE, response, asked.relay_state)


def refusal(door: FederationDoor, party: RelyingParty, asked: Asked, status: str, second: str) -> Form:
    """The Response that says why not, as a form to its application."""
    now_ms = door.now_ms()
    content = ErrorContent(
        response_id=new_message_id(),
        issuer=door.entity_id,
        recipient=asked.answer_to,
        in_response_to=asked.request_id,
        issued_at=now_ms,
        status=status,
        second_status=second,
    )
    response = building.error_response(content, door.signer_for(party, now_ms))
    return post_form(asked.answer_to, RESPONSE, response, asked.relay_state)


def _wanted(party: RelyingParty, asked: Asked) -> frozenset[str] | None:
    """The claims that this request asks for by number; None where it asks for none in particular."""
    if asked.attribute_index is None:
        return None
    service = attribute_service(party.metadata, asked.attribute_index)
    return frozenset(each.name for each in service.attributes) if service is not None else None
