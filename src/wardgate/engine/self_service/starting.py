"""Begins self-service flows: who says that he is whom, how often he may, and a flow that is nobody's yet."""

from dataclasses import dataclass
from typing import Final

from wardgate.account.subject import NO_SUBJECT, SubjectId, create_subject, link_of, subject_in
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail, new_transaction_id
from wardgate.clock import to_ms
from wardgate.directory.port import DirectoryUser
from wardgate.directory.realm import names_meant, parse_login_name
from wardgate.engine import brakes, turns
from wardgate.engine.attempt import Attempt
from wardgate.engine.outcome import Origin
from wardgate.engine.request import BeginRequest
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.flow import (
    LIFE_MS,
    Flow,
)
from wardgate.engine.self_service.outcome import Closed
from wardgate.engine.self_service.people import ask_all
from wardgate.errors import DirectoryUnavailable
from wardgate.storage.port import Committed, Modify
from wardgate.texts import Text

STARTS_PER_HOUR: Final = 5
STARTS_PER_DAY: Final = 40
START: Final = "start"
# Each start is rows, whoever it names: of one source no more than an office behind one address needs.
SOURCE_STARTS_PER_HOUR: Final = 60
SOURCE_STARTS_PER_DAY: Final = 180
SOURCE_START: Final = "start_source"


@dataclass(frozen=True, slots=True)
class Start:
    """Somebody says who he is and what he has forgotten."""

    goal: str
    application: str
    user_name: str
    origin: Origin
    trail: Trail


class Starting:
    """Begins them. One per engine."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage

    def attempt(self, start: Start) -> Attempt:
        """What is known of somebody who begins."""
        configuration = self._parts.configuration()
        realm, typed = parse_login_name(start.user_name, configuration.realms)
        request = BeginRequest(start.application, start.user_name, start.origin, start.trail, None)
        now = self._parts.clock.now()
        application = configuration.applications[start.application]
        start.trail.application, start.trail.user = start.application, start.user_name
        return Attempt(request, configuration, application, realm, names_meant(start.user_name, typed), now, to_ms(now))

    async def may_not_start(self, attempt: Attempt) -> Closed | None:
        """Of one source only so many an hour, and of one name and source fewer: for names of nobody as well."""
        origin, ring, now_ms = attempt.request.origin, self._parts.ring(), attempt.now_ms
        source = brakes.asker(origin.client, origin.source)
        told: dict[str, str | int] = {"min": 60, "ref": attempt.request.trail.reference}
        key = ring.mac("brake-start-source", source.encode())
        if not await self._taken(turns.take_turn(SOURCE_START, key, now_ms, SOURCE_STARTS_PER_HOUR, SOURCE_STARTS_PER_DAY)):
            return Closed("brake_source", Text("wait.source", told))
        key = ring.mac("brake-start", attempt.realm.name.encode(), attempt.name.encode(), source.encode())
        if not await self._taken(turns.take_turn(START, key, now_ms, STARTS_PER_HOUR, STARTS_PER_DAY)):
            return Closed("brake_start", Text("wait.person", told))
        return None

    async def _taken(self, turn: Modify) -> bool:
        taken = await self._storage.commit([turn])
        return isinstance(taken, Committed) and taken.results[0] == 0

    async def all_answer(self, attempt: Attempt) -> bool:
        """Whether no directory of the realm is down. Else a name that is known in another one would be told from nobody's."""
        try:
            await ask_all(self._parts, attempt.realm.directories, attempt.name)
        except DirectoryUnavailable as error:
            attempt.request.trail.note("a directory of the realm did not answer", error=error.message)
            return False
        return True

    def new_flow(self, start: Start, attempt: Attempt) -> Flow:
        """A flow of nobody yet."""
        start.trail.transaction_id = new_transaction_id()
        return Flow(
            id=start.trail.transaction_id,
            reference=start.trail.reference,
            goal=start.goal,
            application=start.application,
            realm=attempt.realm.name,
            user_name=attempt.name,
            language=attempt.language,
            created_at=attempt.now_ms,
            expires_at=attempt.now_ms + LIFE_MS,
            has_site=start.origin.site is not None,
        )

    async def subject(self, user: DirectoryUser, now_ms: int) -> SubjectId:
        """Our own id of somebody, made where he has none."""
        link = link_of(user.directory, user.immutable_id)
        known = subject_in(*await self._storage.read([link]))
        if known is None:
            subject_id, operations = create_subject(user.directory, user.immutable_id, now_ms)
            event = AuditEvent(Kind.SUBJECT_CREATED, now_ms, "engine", subject_id=subject_id, details={"directory": user.directory})
            made = await self._storage.commit([*operations, record(event)])
            known = subject_id if isinstance(made, Committed) else subject_in(*await self._storage.read([link]))
        return known or NO_SUBJECT
