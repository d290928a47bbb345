"""The engine: every decision about a login is taken here, from stored state and the plan.

`begin` finds the user, checks the password, asks policy and either asks for the next factor, lets in or refuses. `answer` judges
what came back. Both end in one commit that holds the state change, the audit event, the timeline and what has to be sent; whose
conditions hold decides. Refusals before the password is proved are alike and carry the moment before which they must not leave.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.names import canonical_name
from wardgate.directory.realm import names_meant, parse_login_name
from wardgate.engine import brakes, demands
from wardgate.engine.actions import Actions, Awaited
from wardgate.engine.answering import USER_VERIFIED, Answering
from wardgate.engine.approvals import Approvals
from wardgate.engine.asking import GATEWAY_DOWN, Asker
from wardgate.engine.attempt import Attempt, Candidate, Person
from wardgate.engine.confirming import Confirming
from wardgate.engine.course import Course, course_of, led, less, refusal_told, rest_of, told_steps
from wardgate.engine.demands import Due
from wardgate.engine.first_factor import FirstFactor
from wardgate.engine.freezing import Freezes
from wardgate.engine.granting import Granting
from wardgate.engine.holders import Contactless
from wardgate.engine.meeting import Meeting
from wardgate.engine.opening import Opening, proved_already
from wardgate.engine.outcome import Denied, Granted, Origin, Outcome
from wardgate.engine.passkey_first import PasskeyFirst, PasskeyRequest, suffices, takes_passkeys
from wardgate.engine.prior_proofs import PriorProofs
from wardgate.engine.proved import Grant, commit_proved, proved_outcome
from wardgate.engine.refusing import Refusing
from wardgate.engine.request import AnswerRequest, BeginRequest
from wardgate.engine.rounds import PASSKEY
from wardgate.engine.runtime import EngineParts
from wardgate.engine.sealed_handle import ANOTHER_BINDING, MAX_SEALED_BYTES, open_login
from wardgate.engine.session_first import (
    MORE_NEEDED,
    SESSION_GONE,
    SIGN_IN_AGAIN,
    SessionFirst,
    SessionRequest,
    aged,
    session_denied,
    unmet,
    with_asked,
)
from wardgate.engine.session_first import NOT_TAKEN as SESSION_NOT_TAKEN
from wardgate.engine.spent_code import is_spent_code, may_be_code, user_key
from wardgate.engine.stepping_up import confirming_kinds, is_stepped_up, with_strong_step
from wardgate.engine.steps import POLICY, Steps
from wardgate.engine.strong_answer import StrongAnswers
from wardgate.engine.strong_first import Kept, kept
from wardgate.engine.terms import ADMINISTRATORS_STRONG_FACTORS
from wardgate.engine.ticket_first import NOT_TAKEN, TicketFirst, TicketRequest, places_for, takes_tickets
from wardgate.engine.transaction import Handle, Transaction, handle_from_row, handle_mac, unused_handle
from wardgate.engine.waiters import Waiters
from wardgate.errors import ClockWrong
from wardgate.factors import KERBEROS, PASSWORD, USUAL_KINDS
from wardgate.factors.port import Holder
from wardgate.policy.plan import NoEntry, Plan
from wardgate.policy.rules import decide
from wardgate.storage.port import Refused
from wardgate.texts import Text

# No short links.
_NO_LINKS = ("", False)
# What is asked where policy asks for a password alone, and that is too little for what follows.
_ANYTHING_ELSE = USUAL_KINDS


class Engine:
    """Runs logins. One per worker; all its state is in storage."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._clock = parts.clock
        self._steps = Steps(parts)
        self._asker = Asker(parts)
        contactless = Contactless(parts.storage, parts.clock)
        self._freezes = Freezes(parts)
        self._answering = Answering(parts, self._asker, contactless, self._freezes)
        self._actions = Actions(parts, self._answering)
        self.approvals = Approvals(parts, self._answering)
        self._refusing = Refusing(parts)
        self._waiters = Waiters()
        self._first = FirstFactor(parts, self._refusing, self._steps, self._waiters, contactless)
        self._meeting = Meeting(parts, self._first)
        self._opening = Opening(parts, self._asker, self._refusing, self._freezes)
        self._granting = Granting(parts, self._answering, self._refusing, self._freezes, self._opening)
        self._prior = PriorProofs(parts, self._first, self._meeting, self._opening, self._granting)
        self._passkey_first = PasskeyFirst(parts, self._refusing, self._first)
        self._strong = StrongAnswers(parts, self._refusing, self._first, self._waiters)
        self._ticket_first = TicketFirst(parts, self._refusing, self._first)
        self._session_first = SessionFirst(parts, self._refusing, self._steps, contactless)
        self._confirming = Confirming(
            parts, self._answering, self._meeting, self._opening, self._refusing, self._freezes, self._session_first
        )

    # --- first request -------------------------------------------------------------------------------------------

    async def begin(self, request: BeginRequest) -> Outcome:
        """Start a login. Raises Overloaded, StorageUnavailable or ClockWrong: the door then fails closed in its own way."""
        self._trust_clock()
        attempt = self._attempt(request)
        if attempt is None:
            return self._no_application(request)
        if request.password is not None and await self._replays_spent_code(attempt, request.password):
            handed = await self._prior.redeem_spent_code(attempt, request.password)
            return handed or self._refusing.refuse(attempt, "credential_replay")
        proved = await self._first.prove(attempt)
        return await self._after_first_factor(attempt, proved) if isinstance(proved, Candidate) else proved

    async def begin_by_passkey(self, request: PasskeyRequest) -> tuple[str, Outcome]:
        """Start a login with a passkey, which says who it is: his name, empty before it is proved, and the outcome.

        Where the plan asks for more than the passkey proved, the login begins anew with the name and the password.
        """
        self._trust_clock()
        proved = await self._passkey_first.prove(request)
        if isinstance(proved, Denied):
            return "", proved
        attempt, person = proved.attempt, await self._meeting.meet(proved.attempt, proved.candidate)
        name, reference = person.user.name, request.trail.reference
        decision = decide(attempt.application.policy, self._meeting.facts(attempt, person))
        if isinstance(decision, NoEntry):
            text = refusal_told(decision, person.language, attempt.application.title, reference)
            return name, await self._refusing.deny_known(attempt, person, decision.reason, text)
        if request.asked:
            decision = replace(decision, steps=with_asked(decision.steps, request.asked, decision.never))
        request.trail.note("policy decided", rule=decision.rule, steps=told_steps(decision.steps))
        if not suffices(decision, proved.verdict) or any(PASSWORD in each for each in request.asked):
            text = Text("passkey.not_taken", {"application": attempt.application.title, "ref": reference})
            text = Text("passkey.password_too") if takes_passkeys(decision) else text
            return name, await self._refusing.deny_known(attempt, person, "passkey_not_enough", text)
        factors = (PASSKEY, USER_VERIFIED) if proved.verdict.twofold else (PASSKEY,)
        course = replace(course_of(decision, 0, True, True), steps=(), proved=factors)
        granted = await self._granting.grant(
            attempt, person, self._opening.transaction(attempt, person, course), proved.claim, None
        )
        again = Text("passkey.unknown", {"forget": ""})
        return name, granted or self._refusing.refuse(attempt, "passkey_replayed", again)

    def asks_for_ticket(self, client: str | None) -> bool:
        """Whether a browser at this address is to be asked for a Kerberos ticket."""
        return self._parts.tickets is not None and bool(places_for(self._parts.configuration(), client))

    async def begin_by_ticket(self, request: TicketRequest) -> tuple[str, bytes, Outcome]:
        """Start a login with a Kerberos ticket, which says who it is: his name, what proves us to his browser, and the outcome.

        Before the ticket is proved the first two are empty. Where no rule takes one, the login begins anew with the password.
        """
        self._trust_clock()
        proved = await self._ticket_first.prove(request)
        if isinstance(proved, Denied):
            return "", b"", proved
        attempt, person = proved.attempt, await self._meeting.meet(proved.attempt, proved.candidate)
        return proved.login, proved.answer, await self._after_ticket(attempt, person)

    async def _after_ticket(self, attempt: Attempt, person: Person) -> Outcome:
        """What policy asks for beside the ticket. What is enrolled, or done for a change, is never for a ticket alone."""
        request = attempt.request
        decision = decide(attempt.application.policy, self._meeting.facts(attempt, person))
        if isinstance(decision, NoEntry):
            text = refusal_told(decision, person.language, attempt.application.title, request.trail.reference)
            return await self._refusing.deny_known(attempt, person, decision.reason, text)
        request.trail.note("policy decided", rule=decision.rule, steps=told_steps(decision.steps))
        forced = [each for each in decision.demands if each.level == "forced"]
        if not takes_tickets(decision) or demands.asks_for_change(forced, person.user, attempt.now_ms):
            # Who changes the password has to know the present one: at an unlocked computer anybody would choose his own.
            return await self._refusing.deny_known(attempt, person, "ticket_not_enough", NOT_TAKEN)
        course = replace(course_of(decision, 0, True, request.origin.site is not None), proved=(KERBEROS,))
        if not course.steps and await self._must_enrol(attempt, person, course):
            course = replace(course, steps=(_ANYTHING_ELSE,))
        if not course.steps:
            return await self._granting.at_once(attempt, person, course, None)
        return await self._opening.challenge(attempt, person, course)

    async def begin_by_session(self, request: SessionRequest) -> tuple[tuple[str, ...], Outcome]:
        """Start a login by what a session proved before: that of it which counts here, and the outcome.

        The outcome is a grant at once, a question for what is missing, or a refusal. The reasons of `session_first` say that the
        session is not enough; then nothing was written, and the person may sign in again.
        """
        self._trust_clock()
        proved = await self._session_first.prove(request)
        if isinstance(proved, Denied):
            return (), proved
        attempt, trail = proved.attempt, request.trail
        person = await self._meeting.meet(attempt, proved.candidate)
        decision = decide(attempt.application.policy, self._meeting.facts(attempt, person, proved.enrolled))
        if isinstance(decision, NoEntry):
            text = refusal_told(decision, person.language, attempt.application.title, trail.reference)
            return (), await self._refusing.deny_known(attempt, person, decision.reason, text)
        plan = replace(decision, steps=with_asked(decision.steps, request.asked, decision.never)) if request.asked else decision
        trail.note("policy decided", rule=plan.rule, steps=told_steps(plan.steps))
        site = request.origin.site is not None
        course = course_of(plan, 0, True, site)
        counted = aged(request.session, plan, course.terms, person.user, attempt.now_ms, request.fresh_after)
        left = unmet(plan, counted, request.asked)
        trail.note("a session is shown", session=request.session.id, counts=", ".join(counted), left=len(left))
        if left and any(PASSWORD in step for step in left):
            return (), session_denied(request, SIGN_IN_AGAIN)
        course = rest_of(course, left, tuple(counted), site)
        if course.terms.skips_unsendable:
            skipped = self._asker.unsendable(course.steps, course.proved, person.holder, trail)
            course = replace(course, steps=course.steps[skipped:], fail_open=GATEWAY_DOWN) if skipped else course
        return course.proved, await self._after_session(request, attempt, person, course)

    async def opened_by(self, request: SessionRequest, applications: Sequence[str]) -> Mapping[str, bool]:
        """Which of these applications policy opens to the person of a session, and whether it asks for more."""
        proved = await self._session_first.prove(request)
        if isinstance(proved, Denied):
            return {}
        person = await self._meeting.meet(proved.attempt, proved.candidate)
        opened: dict[str, bool] = {}
        for name in applications:
            application = proved.attempt.configuration.applications.get(name)
            if application is None:
                continue
            attempt = replace(proved.attempt, application=application)
            plan = decide(application.policy, self._meeting.facts(attempt, person))
            if not isinstance(plan, NoEntry):
                terms = course_of(plan, 0, True, request.origin.site is not None).terms
                opened[name] = bool(unmet(plan, aged(request.session, plan, terms, person.user, attempt.now_ms)))
        return opened

    async def confirms_by_factor(self, request: SessionRequest) -> bool:
        """Whether the person of a session confirms a change by something else than his password. Changes nothing."""
        return await self._confirming.is_by_factor(request)

    async def begin_confirming(self, request: SessionRequest) -> Outcome | None:
        """Ask the person of a session for the strongest that he has, for the sake of a change. None: his password comes first."""
        self._trust_clock()
        return await self._confirming.begin(request)

    async def _after_session(self, request: SessionRequest, attempt: Attempt, person: Person, course: Course) -> Outcome:
        transaction = self._opening.transaction(attempt, person, course)
        due = await self._answering.due(transaction, person.holder, person.contacts, person.user, attempt.now)
        if due.must is not None or due.text is not None:
            # What opens the account from then on, or changes its password, is never for a session: nobody knows who sits there now.
            return session_denied(request, SIGN_IN_AGAIN)
        if not course.steps:
            return await self._grant_by_session(request, attempt, person, transaction, due)
        if not request.can_challenge:
            return session_denied(request, MORE_NEEDED)
        hold = await brakes.held_by(self._storage, person.keys, person.seen, attempt.configuration.brakes, attempt.now_ms)
        return self._refusing.hold(attempt, hold) if hold is not None else await self._opening.challenge(attempt, person, course)

    async def _grant_by_session(
        self, request: SessionRequest, attempt: Attempt, person: Person, transaction: Transaction, due: Due
    ) -> Outcome:
        outcome = proved_outcome(transaction, person.user, transaction.proved, attempt.application, due)
        writes = request.writes(outcome) if isinstance(outcome, Granted) else ()
        if writes is None:
            return session_denied(request, SESSION_NOT_TAKEN)
        grant = Grant(
            person.keys,
            brakes.Clean.NO,
            b"",
            None,
            proved=transaction.proved,
            due=due,
            prior=tuple(writes),
            details=(("session", request.session.id),),
            nothing_new=True,
        )
        commit = await commit_proved(self._parts, transaction, grant, outcome, request.trail, person.settle, attempt.now_ms)
        return session_denied(request, SESSION_GONE) if isinstance(commit, Refused) else outcome

    def _trust_clock(self) -> None:
        """A clock that stands an hour back would take the codes of an hour ago: while it is in doubt nothing is decided."""
        problem = self._parts.clock_problem()
        if problem is not None:
            raise ClockWrong(problem)

    def _attempt(self, request: BeginRequest) -> Attempt | None:
        configuration = self._parts.configuration()
        application = configuration.applications.get(request.application)
        trail = request.trail
        trail.application, trail.user = request.application, request.user_name
        if application is None:
            return None
        realm, typed = parse_login_name(request.user_name, configuration.realms)
        names = names_meant(request.user_name, typed)
        now = self._clock.now()
        return Attempt(request, configuration, application, realm, names, now, to_ms(now))

    async def _replays_spent_code(self, attempt: Attempt, given: Secret) -> bool:
        """Whether the password field holds the code that this user just spent here: a portal's credentials at the gateway.

        It is refused before any check: it is no guess, and it must never reach a directory as a wrong password.
        """
        if not may_be_code(given):
            return False
        within_s = max(attempt.configuration.codes.replay_notice_s, attempt.application.settings.hand_over_s)
        application = attempt.application.settings.name
        ring = self._parts.ring()
        key = user_key(ring, attempt.realm.name, attempt.name)
        replays = await is_spent_code(self._storage, ring, application, key, given, attempt.now_ms, within_s)
        if replays:
            attempt.request.trail.note("the password is the code that was just spent", counted=False)
        return replays

    # --- after the first factor ----------------------------------------------------------------------------------

    async def _after_first_factor(self, attempt: Attempt, candidate: Candidate, spent: Secret | None = None) -> Outcome:
        """`spent`: the code of a strong factor that was proved before the password, which is all that it came with."""
        request, trail = attempt.request, attempt.request.trail
        person = await self._meeting.meet(attempt, candidate)
        began = self._steps.begin()
        decision = decide(attempt.application.policy, self._meeting.facts(attempt, person))
        self._steps.end(POLICY, began)
        if request.asked and not isinstance(decision, NoEntry):
            decision = replace(decision, steps=with_asked(decision.steps, request.asked, decision.never))
        if isinstance(decision, NoEntry):
            trail.note("policy refuses", reason=decision.reason, rule=decision.rule)
            text = refusal_told(decision, person.language, attempt.application.title, trail.reference)
            return await self._refusing.deny_known(attempt, person, decision.reason, text)
        trail.note("policy decided", rule=decision.rule, steps=told_steps(decision.steps))
        if person.grace and not self._may_be_graced(decision, trail):
            await self._storage.commit(person.settle)
            return self._refusing.down(attempt)
        pages, site = request.origin.shows_pages, request.origin.site is not None
        handed_s = self._prior.hand_over_s(attempt) if request.password is not None and not request.steps_up else 0
        course = course_of(decision, handed_s, pages, site, *self._links(attempt))
        # Without a password from here, a code is all that stands before the grant: policy must ask for one.
        if request.password is None and (not course.steps or len(course.steps) < len(decision.steps)):
            return await self._refusing.deny_known(
                attempt, person, "factor_not_here", Text("policy.not_here", {"ref": trail.reference})
            )
        if spent is not None:
            course = replace(less(course, person.proved), proved=(*proved_already(request), person.proved))
        if course.terms.skips_unsendable:
            course = self._without_unsendable(course, attempt, person)
        if request.steps_up:
            course = self._stepping_up(course, person.holder, site)
        enrols = await self._must_enrol(attempt, person, course)
        if enrols and course.terms.enrols:
            course = led(course, enrols)
        if not course.steps and not course.proved and (enrols or request.steps_up):
            # What is enrolled opens the account from then on, and so does what a confirmation lets somebody do: a password alone
            # is too little for either.
            course = replace(course, steps=(_ANYTHING_ELSE,))
        if not course.steps:
            return await self._granting.at_once(attempt, person, course, spent)
        if not enrols and (person.device is not None or course.terms.hand_over_s):
            granted = await self._prior.grant(attempt, person, decision, course)
            if granted is not None:
                return granted
        if person.device is not None:
            course = replace(course, device=person.device.shown.text)
        if request.code is not None:
            return await self._granting.judge_code_beside_password(attempt, person, course, request.code)
        if not request.can_challenge:
            return await self._refusing.deny_known(attempt, person, "code_missing", Text("signin.failed", {"ref": trail.reference}))
        return await self._opening.challenge(attempt, person, course)

    def _stepping_up(self, course: Course, holder: Holder, site: bool) -> Course:
        """With the strongest that the person has in the place of what a login would ask for."""
        wanted = confirming_kinds(holder, site, self._parts.configuration(), self._parts.channel_down)
        return course if is_stepped_up(wanted, course.proved) else replace(course, steps=with_strong_step(course.steps, wanted))

    def _links(self, attempt: Attempt) -> tuple[str, bool]:
        """What short links are for in this login: how one is asked for what needs a page, and whether one may set something up.

        Nothing where the door shows pages itself or puts no question, nor where no password is proved here, nor without an address.
        """
        settings, request = attempt.application.settings, attempt.request
        if settings.page_link == "off" and not settings.enrol_by_link:
            return _NO_LINKS
        if request.origin.shows_pages or not request.can_challenge or request.code is not None or not self._parts.public_url:
            return _NO_LINKS
        by_link = settings.page_link if settings.page_link != "off" else ""
        return by_link, settings.enrol_by_link and request.password is not None

    async def _must_enrol(self, attempt: Attempt, person: Person, course: Course) -> tuple[str, ...]:
        """What has to be enrolled before this login is granted, any one of it, at a door where that can be done, or led to."""
        if not (attempt.request.origin.shows_pages or course.terms.enrols) or person.refusal:
            return ()
        if not any(demand.factors for demand in course.terms.demands):
            return ()
        transaction = self._opening.transaction(attempt, person, course)
        due = await self._answering.due(transaction, person.holder, person.contacts, person.user, attempt.now)
        return due.must.factors if due.must is not None else ()

    # --- what policy allows besides ------------------------------------------------------------------------------

    def _may_be_graced(self, plan: Plan, trail: Trail) -> bool:
        """Whether a login may go on while its directory is down. Policy may refuse what the directory's settings allow."""
        if plan.strong_factors >= ADMINISTRATORS_STRONG_FACTORS:
            trail.note("no grace for administrators")
            return False
        if plan.fail.directory_down == "closed":
            trail.note("no grace: policy is closed while the directory is down")
            return False
        return True

    def _without_unsendable(self, course: Course, attempt: Attempt, person: Person) -> Course:
        """Without the first steps that no message can prove now. Not where they would be the first proof at all.

        Nor where all comes in one request: nothing is sent there, gateway or not.
        """
        request = attempt.request
        if request.password is None or request.code is not None or not request.can_challenge:
            return course
        proved, steps = proved_already(request), course.steps
        skipped = self._asker.unsendable(steps, proved, person.holder, request.trail)
        return replace(course, steps=steps[skipped:], fail_open=GATEWAY_DOWN) if skipped else course

    # --- answers -------------------------------------------------------------------------------------------------

    async def answer(self, request: AnswerRequest) -> Outcome:
        """Judge an answer to a challenge.

        Raises Overloaded, StorageUnavailable or ClockWrong: the door then fails closed in its own way.
        """
        self._trust_clock()
        request.trail.user = request.user_name
        now = self._clock.now()
        login = self._kept(request, to_ms(now))
        if login is not None:
            return await self._answer_strong_first(login, request, to_ms(now))
        found = await self._handle(request.handle, request.origin.binding, canonical_name(request.user_name) or "", now)
        if found is None:
            return self._closed(request, "state_unknown")
        handle, transaction = found
        if handle.binding != request.origin.binding:
            return self._closed(request, "state_other_nas")
        if handle.consumed_at is not None:
            return self._answering.rounds.repeat(handle, request) or self._closed(request, "state_used")
        return await self._answering.answer(handle, transaction, request, now) or self._closed(request, "state_used")

    def _kept(self, request: AnswerRequest, now_ms: int) -> Kept | None:
        """What an answer to the question for a strong factor first belongs to. Nearly no handle is as long as those."""
        if len(request.handle) != MAX_SEALED_BYTES:
            return None
        return kept(self._parts.ring(), request.handle, request.origin.binding, request.user_name, self._parts.epoch, now_ms)

    async def _answer_strong_first(self, login: Kept, request: AnswerRequest, now_ms: int) -> Outcome:
        """Judge the code, then the password that was kept, and go on with what the plan asks for besides."""
        trail = request.trail
        trail.transaction_id, trail.reference, trail.application = login.id, login.reference, login.application
        if not login.here or not login.named:
            return self._closed(request, "state_other_user" if login.here else "state_other_nas")
        begin = BeginRequest(login.application, request.user_name, request.origin, trail, login.password, request.answer)
        attempt = self._attempt(begin)
        if attempt is None or login.is_over(now_ms, attempt.configuration.codes.life_s * 1000):
            return self._closed(request, "transaction_expired")
        handle = self._strong.handle(login, request)
        proved = await self._strong.prove(attempt, handle, request.fingerprint)
        if proved is None:
            return await self._strong.repeated(handle, request) or self._closed(request, "state_used")
        if isinstance(proved, Denied):
            outcome: Outcome = proved
        else:
            # Both are proved: what is left may be told, and asked.
            outcome = await self._after_first_factor(replace(attempt, request=replace(begin, code=None)), proved, request.answer)
        await self._strong.keep_outcome(handle, outcome)
        return outcome

    async def awaited(self, handle: bytes, origin: Origin) -> Awaited | None:
        """Who waits for something to be done at a door that shows pages; None where nobody does. Changes nothing.

        Raises DirectoryUnavailable.
        """
        now = self._clock.now()
        found = await self._handle(handle, origin.binding, "", now)
        if found is None or found[0].binding != origin.binding or found[0].consumed_at is not None:
            return None
        return await self._actions.awaited(found[0], now)

    async def choose_password(self, request: AnswerRequest) -> Outcome:
        """Set the password that was demanded before the grant (`answer`), and go on. Raises like `answer`."""
        self._trust_clock()
        request.trail.user = request.user_name
        now = self._clock.now()
        found = await self._handle(request.handle, request.origin.binding, canonical_name(request.user_name) or "", now)
        if found is None:
            return self._closed(request, "state_unknown")
        handle, _ = found
        if handle.binding != request.origin.binding or not request.origin.shows_pages:
            return self._closed(request, "state_other_nas")
        if handle.consumed_at is not None:
            return self._answering.rounds.repeat(handle, request) or self._closed(request, "state_used")
        return await self._actions.choose_password(handle, request, now) or self._closed(request, "state_used")

    async def cancel(self, handle: bytes, trail: Trail) -> Denied:
        """The person gave up: close the login so that its codes are worth nothing."""
        found = await self._handle(handle, "", "", self._clock.now())
        closed = await self._answering.cancel(*found, trail) if found is not None else None
        return closed or Denied("state_unknown", Text("flow.unknown", {"ref": trail.reference}), "en", trail.reference)

    async def _handle(self, value: bytes, binding: str, name_key: str, now: datetime) -> tuple[Handle, Transaction | None] | None:
        """The stored handle, or the sealed handle and its transaction."""
        ring = self._parts.ring()
        sealed = open_login(ring, value, binding, name_key, self._parts.epoch, to_ms(now))
        if sealed is not None:
            where = binding if sealed.here else ANOTHER_BINDING
            return unused_handle(ring, value, sealed.transaction, where), sealed.transaction
        row = await self._storage.get("handle", {"handle_mac": handle_mac(ring, value)})
        return (handle_from_row(row), None) if row is not None else None

    # --- refusals before anything is known ------------------------------------------------------------------------

    def _no_application(self, request: BeginRequest) -> Denied:
        """The NAS names an application that does not exist: a configuration fault, the same for everybody."""
        trail = request.trail
        trail.result, trail.reason = "denied", "no_rule"
        text = Text("policy.denied", {"application": request.application, "ref": trail.reference})
        return Denied("no_rule", text, request.origin.language or "en", trail.reference)

    def _closed(self, request: AnswerRequest, reason: str) -> Denied:
        """The answer belongs to no open challenge. Not counted: it says nothing about anybody's password."""
        trail = request.trail
        trail.result, trail.reason = "denied", reason
        return Denied(reason, Text("flow.unknown", {"ref": trail.reference}), request.origin.language or "en", trail.reference)
