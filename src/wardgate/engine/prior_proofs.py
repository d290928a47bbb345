"""Proofs of before that stand for factors: a trusted device, and a login that was handed over a moment ago."""

from dataclasses import replace

from wardgate.account.device import use as use_device
from wardgate.crypto import Secret
from wardgate.engine import hand_over
from wardgate.engine.attempt import Attempt, Person
from wardgate.engine.course import Course, Prior, course_of
from wardgate.engine.first_factor import FirstFactor
from wardgate.engine.granting import Granting, Let
from wardgate.engine.hand_over import HAND_OVER, HandedOver
from wardgate.engine.meeting import Meeting
from wardgate.engine.opening import Opening
from wardgate.engine.runtime import EngineParts
from wardgate.engine.spent_code import user_key
from wardgate.engine.transaction import Goal
from wardgate.engine.trusted import TRUSTED_DEVICE, stands_for_factor
from wardgate.errors import DirectoryUnavailable
from wardgate.factors import PASSWORD
from wardgate.policy.plan import NoEntry, Plan
from wardgate.policy.rules import decide


class PriorProofs:
    """Lets in by them. One per engine."""

    def __init__(self, parts: EngineParts, first: FirstFactor, meeting: Meeting, opening: Opening, granting: Granting) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._first = first
        self._meeting = meeting
        self._opening = opening
        self._granting = granting

    @staticmethod
    def hand_over_s(attempt: Attempt) -> int:
        """For how long a login leaves a proof, or finds one: not at all where nobody tells the client's address."""
        request = attempt.request
        is_told = request.origin.client is not None and request.goal is Goal.LOGIN
        return attempt.application.settings.hand_over_s if is_told else 0

    async def _handed_over(self, attempt: Attempt) -> HandedOver | None:
        within_s, client = self.hand_over_s(attempt), attempt.request.origin.client
        if not within_s or client is None:
            return None
        ring, application = self._parts.ring(), attempt.application.settings.name
        key = user_key(ring, attempt.realm.name, attempt.name)
        return await hand_over.left(self._storage, ring, application, key, client, attempt.now_ms, within_s)

    async def redeem_spent_code(self, attempt: Attempt, given: Secret) -> Let | None:
        """Let in who brings the code that he has just spent at the portal, where policy hands logins over. None: a replay.

        Everything but the proofs is asked again: the account, its brakes and the policy.
        """
        handed = await self._handed_over(attempt)
        if handed is None or attempt.request.code is not None or not handed.has_code(self._parts.ring(), given):
            return None
        try:
            candidate = await self._first.known(attempt)
        except DirectoryUnavailable as error:
            attempt.request.trail.note("directory did not answer", error=error.message)
            return None
        if candidate is None or candidate.subject_id != handed.subject_id:
            return None
        person = await self._meeting.meet(attempt, candidate)
        decision = decide(attempt.application.policy, self._meeting.facts(attempt, person))
        if isinstance(decision, NoEntry) or decision.strong_factors or not handed.meets(decision.steps):
            attempt.request.trail.note("policy does not take the login of before")
            return None
        prior = Prior((HAND_OVER,), handed.redeem(), handed_over=handed.reference)
        origin = attempt.request.origin
        return await self._grant_prior(attempt, person, course_of(decision, 0, origin.shows_pages, origin.site is not None), prior)

    async def grant(self, attempt: Attempt, person: Person, plan: Plan, course: Course) -> Let | None:
        """Let in whose password is right and for whom a proof of before stands for the other factors. None: it does not."""
        request, ring, subject_id = attempt.request, self._parts.ring(), person.holder.subject_id
        device = person.device
        if device is not None and stands_for_factor(device, plan, attempt, person):
            value, use = use_device(ring, device.shown, subject_id, attempt.now_ms, strong=False)
            granted = await self._grant_prior(attempt, person, course, Prior((PASSWORD, TRUSTED_DEVICE), (use,), value))
            if granted is not None:
                return granted
        handed = await self._handed_over(attempt) if course.terms.hand_over_s else None
        if handed is None or handed.subject_id != subject_id or person.refusal or person.grace:
            return None
        if request.code is not None and not handed.has_code(ring, request.code):
            return None
        if not handed.meets(plan.steps):
            request.trail.note("the login of before proved something else")
            return None
        prior = Prior((PASSWORD, HAND_OVER), handed.redeem(), handed_over=handed.reference)
        return await self._grant_prior(attempt, person, course, prior)

    async def _grant_prior(self, attempt: Attempt, person: Person, course: Course, prior: Prior) -> Let | None:
        """Let in by a proof of before; None where it was used by another login meanwhile."""
        trail = attempt.request.trail
        if prior.handed_over:
            trail.note("handed over from a login a moment ago", reference=prior.handed_over)
        shown = person.device.shown.text if prior.device is not None and person.device is not None else ""
        transaction = self._opening.transaction(attempt, person, replace(course, steps=(), proved=prior.factors, device=shown))
        granted = await self._granting.grant(attempt, person, transaction, (), None, prior)
        if granted is None:
            trail.note("the proof of before was used meanwhile")
        return granted
