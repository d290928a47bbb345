"""Asks the person of a session for the strongest that he has, before he changes what protects his account.

The session says who he is and proves nothing. What else the policy asks for is asked for besides: an administrator's floor holds
here too. His password is asked for where he has nothing else, and where something has to be done that changes what opens his
account, above all while it is frozen: at an open browser anybody would choose one of his own.
"""

from dataclasses import replace

from wardgate.engine import brakes
from wardgate.engine.answering import Answering
from wardgate.engine.attempt import Attempt, Person
from wardgate.engine.course import Course, course_of
from wardgate.engine.freezing import Freezes
from wardgate.engine.meeting import Meeting
from wardgate.engine.opening import Opening
from wardgate.engine.outcome import Denied, Outcome
from wardgate.engine.refusing import Refusing
from wardgate.engine.runtime import EngineParts
from wardgate.engine.session_first import SessionFirst, SessionRequest
from wardgate.engine.stepping_up import confirming_kinds, with_strong_step
from wardgate.factors import PASSWORD
from wardgate.policy.plan import NoEntry
from wardgate.policy.rules import decide


class Confirming:
    """One for each engine."""

    def __init__(
        self,
        parts: EngineParts,
        answering: Answering,
        meeting: Meeting,
        opening: Opening,
        refusing: Refusing,
        freezes: Freezes,
        session_first: SessionFirst,
    ) -> None:
        self._parts = parts
        self._answering = answering
        self._meeting = meeting
        self._opening = opening
        self._refusing = refusing
        self._freezes = freezes
        self._session_first = session_first

    async def is_by_factor(self, request: SessionRequest) -> bool:
        """Whether he confirms by something else than his password. Changes nothing."""
        found = await self._course(request)
        return found is not None and not isinstance(found, Denied)

    async def begin(self, request: SessionRequest) -> Outcome | None:
        """Ask for it. None: his password comes first."""
        found = await self._course(request)
        if found is None or isinstance(found, Denied):
            return found
        attempt, person, course = found
        hold = await brakes.held_by(self._parts.storage, person.keys, person.seen, attempt.configuration.brakes, attempt.now_ms)
        if hold is not None:
            return self._refusing.hold(attempt, hold)
        return await self._opening.challenge(attempt, person, course)

    async def _course(self, request: SessionRequest) -> tuple[Attempt, Person, Course] | Denied | None:
        proved = await self._session_first.prove(request)
        if isinstance(proved, Denied):
            return proved
        attempt, person = proved.attempt, await self._meeting.meet(proved.attempt, proved.candidate)
        site = request.origin.site is not None
        wanted = confirming_kinds(person.holder, site, attempt.configuration, self._parts.channel_down)
        decision = decide(attempt.application.policy, self._meeting.facts(attempt, person))
        if not wanted or isinstance(decision, NoEntry) or await self._freezes.of(request.session.whose.subject_id) is not None:
            return None
        left = tuple(step for step in decision.steps if PASSWORD not in step)
        course = replace(course_of(decision, 0, True, site), steps=with_strong_step(left, wanted))
        transaction = self._opening.transaction(attempt, person, course)
        due = await self._answering.due(transaction, person.holder, person.contacts, person.user, attempt.now)
        return (attempt, person, course) if due.must is None else None
