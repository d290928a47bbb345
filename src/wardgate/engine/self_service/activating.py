"""The first visit of a new person: by a link that came in a message, or by his name and a start code on paper.

Either is the first proof of a flow with goal `activate`, which asks for what did not come the same way and then hands over to a
login. Opening a link begins nothing. A link that is unknown, used or run out, and a name with a wrong code, cost the same as right
ones up to the answer, and say the same.
"""

from dataclasses import replace

from wardgate.account import directory_contact
from wardgate.account.activation import Activation, code_fits, link_mac_of, of_link, of_subject, read_one
from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.contact import kept_contacts
from wardgate.account.freeze import asked
from wardgate.account.subject import NO_SUBJECT, SubjectId, link_of, subject_in
from wardgate.audit.events import Kind
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.port import Directory, DirectoryUser
from wardgate.engine.attempt import Attempt
from wardgate.engine.finding import Found
from wardgate.engine.holders import holder_of
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.engine import SelfService
from wardgate.engine.self_service.flow import Flow, Proved, insert
from wardgate.engine.self_service.outcome import Closed, SelfServiceOutcome
from wardgate.engine.self_service.people import Person
from wardgate.engine.self_service.start_code import KIND
from wardgate.engine.self_service.starting import Start
from wardgate.engine.self_service.weighing import ages_of
from wardgate.errors import ClockWrong
from wardgate.storage.port import Committed
from wardgate.texts import Text


class Activating:
    """Begins flows with goal `activate`; what follows is `SelfService`'s."""

    def __init__(self, parts: EngineParts, service: SelfService) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._service = service

    async def open(self, token: str) -> bytes | None:
        """The fingerprint of a link that works; None for any other. Changes nothing."""
        mac = link_mac_of(self._parts.ring(), token)
        return mac if await self._linked(mac) is not None else None

    async def works(self, mac: bytes) -> bool:
        """Whether the link of this fingerprint still does."""
        return await self._linked(mac) is not None

    async def begin_by_link(self, mac: bytes, start: Start) -> tuple[str, SelfServiceOutcome]:
        """Begin with a link. The flow's id, empty where none was begun, and what is to be proved beside it."""
        self._trust_clock()
        activation = await self._linked(mac)
        if activation is None:
            return "", _over(start.trail)
        named = replace(start, user_name=activation.login_name)
        attempt = self._service.starting.attempt(named)
        refused = await self._service.starting.may_not_start(attempt)
        if refused is not None:
            return "", _denied(refused, start.trail)
        found = await self._service.finding.find(attempt)
        if found.down is not None:
            return "", self._service.down(start.trail)
        subject_id, _ = await self._issued(found)
        if subject_id != activation.subject_id:
            # Another person has the name by now, or nobody.
            return "", _over(start.trail)
        proved = Proved(KIND, authenticator=f"link:{activation.id}", destination=activation.destination)
        return await self._begun(named, attempt, found, activation, proved)

    async def begin_by_code(self, start: Start, code: Secret) -> tuple[str, SelfServiceOutcome]:
        """Begin with a name and a start code. A wrong code is the brakes' business: anybody can type one beside a name."""
        self._trust_clock()
        attempt = self._service.starting.attempt(start)
        refused = await self._service.starting.may_not_start(attempt)
        if refused is not None:
            return "", _denied(refused, start.trail)
        found = await self._service.finding.find(attempt)
        if found.down is not None or not await self._service.starting.all_answer(attempt):
            return "", self._service.down(start.trail)
        subject_id, activation = await self._issued(found)
        typed = code.reveal().decode("utf-8", "replace")
        fits = code_fits(self._parts.ring(), activation, subject_id or "", typed, attempt.now_ms)
        if not fits or activation is None:
            start.trail.note("start code checked", verdict="wrong")
            return "", _denied(Closed("activation_wrong", Text("activate.wrong")), start.trail)
        return await self._begun(start, attempt, found, activation, Proved(KIND, authenticator=f"code:{activation.id}"))

    def _trust_clock(self) -> None:
        problem = self._parts.clock_problem()
        if problem is not None:
            raise ClockWrong(problem)

    async def _linked(self, mac: bytes) -> Activation | None:
        activation = read_one(*await self._storage.read([of_link(mac)]))
        works = activation is not None and activation.link_works(to_ms(self._parts.clock.now()))
        return activation if works else None

    async def _issued(self, found: Found) -> tuple[SubjectId | None, Activation | None]:
        """Whose account it is and what was issued to him; for nobody as much is read."""
        user = found.user
        link = link_of(user.directory, user.immutable_id) if user is not None else link_of("", "")
        subject_id = subject_in(*await self._storage.read([link]))
        activation = read_one(*await self._storage.read([of_subject(subject_id or NO_SUBJECT)]))
        return subject_id, activation

    async def _begun(
        self, start: Start, attempt: Attempt, found: Found, activation: Activation, proved: Proved
    ) -> tuple[str, SelfServiceOutcome]:
        user, directory = found.user, found.directory
        if user is None or directory is None:
            return "", _over(start.trail)
        flow = replace(
            self._service.starting.new_flow(start, attempt),
            subject_id=activation.subject_id,
            directory=user.directory,
            immutable_id=user.immutable_id,
            proofs=(proved,),
            activation=activation.id,
            login_name=start.user_name,
        )
        person = await self._person(flow, user, directory)
        if person is None:
            start.trail.note("the account may not be used", state=user.state.value)
            return "", _over(start.trail)
        weighed = self._service.weighing.weigh(flow, user, person.holder)
        after = self._service.after_proof(flow, person, weighed, start.trail, start.origin)
        if isinstance(after, Closed):
            return "", _denied(after, start.trail)
        moved, more, handed = after
        start.trail.result, start.trail.reason = "challenged", "started"
        ring = self._parts.ring()
        event = self._service.records.event(Kind.SELF_SERVICE_BEGUN, moved, attempt.now_ms, start.trail)
        begun = await self._storage.commit([insert(ring, moved), *more, event, start.trail.entry(ring, attempt.now_ms)])
        start.trail.stored = isinstance(begun, Committed)
        if not start.trail.stored:
            return "", _over(start.trail)
        return moved.id, handed or await self._service.show(moved.id, start.trail)

    async def _person(self, flow: Flow, user: DirectoryUser, directory: Directory) -> Person | None:
        subject_id, ring = SubjectId(flow.subject_id), self._parts.ring()
        seen = directory_contact.asked(subject_id, user.directory)
        rows, contacts, frozen, issued, told = await self._storage.read(
            [kept_authenticators(subject_id), kept_contacts(subject_id), asked(subject_id), of_subject(subject_id), seen]
        )
        holder = holder_of(ring, subject_id, user, *active_and_held(rows), contacts)
        about = (ring, subject_id, directory, user, told, to_ms(self._parts.clock.now()))
        ages = ages_of(ring, contacts, rows, directory_contact.first_seen(*about))
        person = Person(user, directory, holder, ages, bool(frozen), sighting=directory_contact.sighting(*about))
        return self._service.people.with_activation(flow, person, read_one(issued))


def _over(trail: Trail) -> Closed:
    return _denied(Closed("activation_over", Text("activate.over")), trail)


def _denied(closed: Closed, trail: Trail) -> Closed:
    trail.result, trail.reason = "denied", closed.reason
    return closed
