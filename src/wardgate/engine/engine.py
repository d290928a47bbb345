"""The engine: every decision about a login is taken here, from stored state and the plan.

`begin` finds the user, checks the password, asks policy and either asks for the next factor, lets in or refuses. `answer` judges
what came back. Both end in one commit that holds the state change, the audit event, the timeline and what has to be sent; whose
conditions hold decides. Refusals before the password is proved are alike and carry the moment before which they must not leave.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from wardgate.account.device import use as use_device
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.subject import create_subject
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail, new_transaction_id
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.delivery.port import Channel
from wardgate.directory.names import canonical_name
from wardgate.directory.port import DirectoryUser
from wardgate.directory.realm import names_meant, parse_login_name
from wardgate.engine import brakes, demands, hand_over, interviews, known_names, password_ends
from wardgate.engine.actions import Actions, Awaited
from wardgate.engine.answering import PASSKEY, USER_VERIFIED, Answering, Grant, directory_of, proved_outcome, release_after, whom_of
from wardgate.engine.approvals import Approvals
from wardgate.engine.asking import GATEWAY_DOWN, Asker
from wardgate.engine.attempt import Attempt, Candidate, Person
from wardgate.engine.by_link import ENROLLABLE
from wardgate.engine.demands import Due
from wardgate.engine.finding import Found
from wardgate.engine.first_factor import FirstFactor
from wardgate.engine.freezing import Freezes, lift_due, may_lift
from wardgate.engine.grace import seal_user
from wardgate.engine.hand_over import HAND_OVER, HandedOver
from wardgate.engine.held_password import hold_password
from wardgate.engine.holders import Contactless, holder_of, to_renew
from wardgate.engine.notices import recovery_code_used
from wardgate.engine.outcome import ActionRequired, Denied, Granted, Origin, Outcome
from wardgate.engine.passkey_first import PasskeyFirst, PasskeyRequest, suffices, takes_passkeys
from wardgate.engine.prefixes import is_allowed
from wardgate.engine.refusing import Refusing
from wardgate.engine.request import AnswerRequest, BeginRequest
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
from wardgate.engine.settings import SendingSettings
from wardgate.engine.spent_code import is_spent_code, may_be_code, user_key
from wardgate.engine.stepping_up import confirming_kinds, is_stepped_up, with_strong_step
from wardgate.engine.steps import POLICY, Steps
from wardgate.engine.strong_answer import StrongAnswers
from wardgate.engine.strong_first import Kept, kept
from wardgate.engine.surroundings import look_around
from wardgate.engine.terms import ADMINISTRATORS_STRONG_FACTORS, Terms, dump_terms, terms_of
from wardgate.engine.ticket_first import NOT_TAKEN, TicketFirst, TicketRequest, places_for, takes_tickets
from wardgate.engine.transaction import Goal, Handle, Transaction, handle_from_row, handle_mac, unused_handle
from wardgate.engine.trusted import TRUSTED_DEVICE, is_password_alone, seen_device, stands_for_factor
from wardgate.engine.waiters import Waiters
from wardgate.errors import ClockWrong, DirectoryUnavailable, Overloaded, StorageError
from wardgate.factors import BY_KIND, BY_LINK, KERBEROS, ON_PAGES, PASSWORD, QUESTIONING, SECOND_FACTORS, USUAL_KINDS
from wardgate.factors.port import Factor, Holder, Right, Task, Wrong
from wardgate.jsons import dumps
from wardgate.kba.standing import NOT_ANSWERED
from wardgate.policy.facts import Facts
from wardgate.policy.groups import qualified_groups
from wardgate.policy.plan import NoEntry, Plan
from wardgate.policy.rules import decide
from wardgate.risk.assessing import NOT_ASSESSED
from wardgate.storage.port import Operation, Refused
from wardgate.texts import DEFAULT_LANGUAGE, Text, language_of
from wardgate.values import quick_value

# How often a login may lose the race for being the open one of its kind.
FOLD_TRIES = 5
# No short links.
_NO_LINKS = ("", False)
# What is asked where policy asks for a password alone, and that is too little for what follows.
_ANYTHING_ELSE = USUAL_KINDS
# What a login comes to once everything is proved.
Let = Granted | Denied | ActionRequired


@quick_value
class Course:
    """What a login still has to do after its first factor: of its plan, what it needs from here on.

    `fail_open`: why a step of the plan is not among the steps. `proved`: by what; without any, by what the request brought.
    `device`: what a device of the person showed, for the grant.
    """

    steps: tuple[tuple[str, ...], ...]
    rule: str
    floors: tuple[str, ...]
    terms: Terms
    text: tuple[tuple[str, str], ...] = ()
    fail_open: str = ""
    proved: tuple[str, ...] = ()
    device: str = ""


@quick_value
class Prior:
    """A proof of before that stands for factors: what it is called among them, and what uses it up with the grant.

    `device`: what a trusted one shows from now on. `handed_over`: the reference of the login that left it.
    """

    factors: tuple[str, ...]
    operations: tuple[Operation, ...]
    device: Secret | None = None
    handed_over: str = ""


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
        self._passkey_first = PasskeyFirst(parts, self._refusing, self._first)
        self._strong = StrongAnswers(parts, self._refusing, self._first, self._waiters)
        self._ticket_first = TicketFirst(parts, self._refusing, self._first)
        self._session_first = SessionFirst(parts, self._refusing, self._first)

    # --- first request -------------------------------------------------------------------------------------------

    async def begin(self, request: BeginRequest) -> Outcome:
        """Start a login. Raises Overloaded, StorageUnavailable or ClockWrong: the door then fails closed in its own way."""
        self._trust_clock()
        attempt = self._attempt(request)
        if attempt is None:
            return self._no_application(request)
        if request.password is not None and await self._replays_spent_code(attempt, request.password):
            handed = await self._redeem_spent_code(attempt, request.password)
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
        attempt, person = proved.attempt, await self._meet(proved.attempt, proved.candidate)
        name, reference = person.user.name, request.trail.reference
        decision = decide(attempt.application.policy, self._facts(attempt, person))
        if isinstance(decision, NoEntry):
            text = _refusal_told(decision, person.language, attempt.application.title, reference)
            return name, await self._refusing.deny_known(attempt, person, decision.reason, text)
        if request.asked:
            decision = replace(decision, steps=with_asked(decision.steps, request.asked))
        request.trail.note("policy decided", rule=decision.rule, steps=" then ".join("/".join(step) for step in decision.steps))
        if not suffices(decision, proved.verdict) or any(PASSWORD in each for each in request.asked):
            text = Text("passkey.not_taken", {"application": attempt.application.title, "ref": reference})
            text = Text("passkey.password_too") if takes_passkeys(decision) else text
            return name, await self._refusing.deny_known(attempt, person, "passkey_not_enough", text)
        factors = (PASSKEY, USER_VERIFIED) if proved.verdict.twofold else (PASSKEY,)
        course = replace(_course(decision, 0, True, True), steps=(), proved=factors)
        granted = await self._grant(attempt, person, self._transaction(attempt, person, course), proved.claim, None)
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
        attempt, person = proved.attempt, await self._meet(proved.attempt, proved.candidate)
        return proved.login, proved.answer, await self._after_ticket(attempt, person)

    async def _after_ticket(self, attempt: Attempt, person: Person) -> Outcome:
        """What policy asks for beside the ticket. What is enrolled, or done for a change, is never for a ticket alone."""
        request = attempt.request
        decision = decide(attempt.application.policy, self._facts(attempt, person))
        if isinstance(decision, NoEntry):
            text = _refusal_told(decision, person.language, attempt.application.title, request.trail.reference)
            return await self._refusing.deny_known(attempt, person, decision.reason, text)
        request.trail.note("policy decided", rule=decision.rule, steps=" then ".join("/".join(step) for step in decision.steps))
        forced = [each for each in decision.demands if each.level == "forced"]
        if not takes_tickets(decision) or demands.asks_for_change(forced, person.user, attempt.now_ms):
            # Who changes the password has to know the present one: at an unlocked computer anybody would choose his own.
            return await self._refusing.deny_known(attempt, person, "ticket_not_enough", NOT_TAKEN)
        course = replace(_course(decision, 0, True, request.origin.site is not None), proved=(KERBEROS,))
        if not course.steps and await self._must_enrol(attempt, person, course):
            course = replace(course, steps=(_ANYTHING_ELSE,))
        if not course.steps:
            return await self._grant_at_once(attempt, person, course, None)
        return await self._challenge(attempt, person, course)

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
        person = await self._meet(attempt, proved.candidate)
        decision = decide(attempt.application.policy, self._facts(attempt, person))
        if isinstance(decision, NoEntry):
            text = _refusal_told(decision, person.language, attempt.application.title, trail.reference)
            return (), await self._refusing.deny_known(attempt, person, decision.reason, text)
        plan = replace(decision, steps=with_asked(decision.steps, request.asked)) if request.asked else decision
        trail.note("policy decided", rule=plan.rule, steps=" then ".join("/".join(step) for step in plan.steps))
        site = request.origin.site is not None
        counted = aged(request.session, plan, _course(plan, 0, True, site).terms, person.user, attempt.now_ms, request.fresh_after)
        left = unmet(plan, counted, request.asked)
        trail.note("a session is shown", session=request.session.id, counts=", ".join(counted), left=len(left))
        if any(PASSWORD in step for step in left):
            return (), session_denied(request, SIGN_IN_AGAIN)
        course = replace(_course(replace(plan, steps=left), 0, True, site), proved=tuple(counted))
        if course.terms.skips_unsendable:
            skipped = self._asker.unsendable(course.steps, course.proved, person.holder, trail)
            course = replace(course, steps=course.steps[skipped:], fail_open=GATEWAY_DOWN) if skipped else course
        return course.proved, await self._after_session(request, attempt, person, course)

    async def _after_session(self, request: SessionRequest, attempt: Attempt, person: Person, course: Course) -> Outcome:
        transaction = self._transaction(attempt, person, course)
        due = await self._answering.due(transaction, person.holder, person.contacts, person.user, attempt.now)
        if due.must is not None or due.text is not None:
            # What opens the account from then on, or changes its password, is never for a session: nobody knows who sits there now.
            return session_denied(request, SIGN_IN_AGAIN)
        if not course.steps:
            return await self._grant_by_session(request, attempt, person, transaction, due)
        if not request.can_challenge:
            return session_denied(request, MORE_NEEDED)
        hold = await brakes.held_by(self._storage, person.keys, person.seen, attempt.configuration.brakes, attempt.now_ms)
        return self._refusing.hold(attempt, hold) if hold is not None else await self._challenge(attempt, person, course)

    async def _grant_by_session(
        self, request: SessionRequest, attempt: Attempt, person: Person, transaction: Transaction, due: Due
    ) -> Outcome:
        outcome = proved_outcome(transaction, person.user, transaction.proved, attempt.application, due)
        grant = Grant(
            person.keys,
            person.seen,
            b"",
            None,
            proved=transaction.proved,
            due=due,
            prior=request.operations,
            details=(("session", request.session.id),),
            nothing_new=True,
        )
        commit = await self._answering.commit_proved(transaction, grant, outcome, request.trail, person.settle, attempt.now_ms)
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
        person = await self._meet(attempt, candidate)
        began = self._steps.begin()
        decision = decide(attempt.application.policy, self._facts(attempt, person))
        self._steps.end(POLICY, began)
        if request.asked and not isinstance(decision, NoEntry):
            decision = replace(decision, steps=with_asked(decision.steps, request.asked))
        if isinstance(decision, NoEntry):
            trail.note("policy refuses", reason=decision.reason, rule=decision.rule)
            text = _refusal_told(decision, person.language, attempt.application.title, trail.reference)
            return await self._refusing.deny_known(attempt, person, decision.reason, text)
        trail.note("policy decided", rule=decision.rule, steps=" then ".join("/".join(step) for step in decision.steps))
        if person.grace and not self._may_be_graced(decision, trail):
            await self._storage.commit(person.settle)
            return self._refusing.down(attempt)
        pages, site = request.origin.shows_pages, request.origin.site is not None
        handed_s = self._hand_over_s(attempt) if request.password is not None and not request.steps_up else 0
        course = _course(decision, handed_s, pages, site, *self._links(attempt))
        # Without a password from here, a code is all that stands before the grant: policy must ask for one.
        if request.password is None and (not course.steps or len(course.steps) < len(decision.steps)):
            return await self._refusing.deny_known(
                attempt, person, "factor_not_here", Text("policy.not_here", {"ref": trail.reference})
            )
        if spent is not None:
            course = replace(_less(course, person.proved), proved=(*self._proved_already(request), person.proved))
        if course.terms.skips_unsendable:
            course = self._without_unsendable(course, attempt, person)
        if request.steps_up:
            course = self._stepping_up(course, person.holder, site)
        enrols = await self._must_enrol(attempt, person, course)
        if enrols and course.terms.enrols:
            course = _led(course, enrols)
        if not course.steps and not course.proved and (enrols or request.steps_up):
            # What is enrolled opens the account from then on, and so does what a confirmation lets somebody do: a password alone
            # is too little for either.
            course = replace(course, steps=(_ANYTHING_ELSE,))
        if not course.steps:
            return await self._grant_at_once(attempt, person, course, spent)
        if not enrols and (person.device is not None or course.terms.hand_over_s):
            granted = await self._grant_by_prior(attempt, person, decision, course)
            if granted is not None:
                return granted
        if person.device is not None:
            course = replace(course, device=person.device.shown.text)
        if request.code is not None:
            return await self._judge_code_beside_password(attempt, person, course, request.code)
        if not request.can_challenge:
            return await self._refusing.deny_known(attempt, person, "code_missing", Text("signin.failed", {"ref": trail.reference}))
        return await self._challenge(attempt, person, course)

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
        transaction = self._transaction(attempt, person, course)
        due = await self._answering.due(transaction, person.holder, person.contacts, person.user, attempt.now)
        return due.must.factors if due.must is not None else ()

    # --- proofs of before ----------------------------------------------------------------------------------------

    @staticmethod
    def _hand_over_s(attempt: Attempt) -> int:
        """For how long a login leaves a proof, or finds one: not at all where nobody tells the client's address."""
        request = attempt.request
        is_told = request.origin.client is not None and request.goal is Goal.LOGIN
        return attempt.application.settings.hand_over_s if is_told else 0

    async def _handed_over(self, attempt: Attempt) -> HandedOver | None:
        within_s, client = self._hand_over_s(attempt), attempt.request.origin.client
        if not within_s or client is None:
            return None
        ring, application = self._parts.ring(), attempt.application.settings.name
        key = user_key(ring, attempt.realm.name, attempt.name)
        return await hand_over.left(self._storage, ring, application, key, client, attempt.now_ms, within_s)

    async def _redeem_spent_code(self, attempt: Attempt, given: Secret) -> Let | None:
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
        person = await self._meet(attempt, candidate)
        decision = decide(attempt.application.policy, self._facts(attempt, person))
        if isinstance(decision, NoEntry) or decision.strong_factors or not handed.meets(decision.steps):
            attempt.request.trail.note("policy does not take the login of before")
            return None
        prior = Prior((HAND_OVER,), handed.redeem(), handed_over=handed.reference)
        origin = attempt.request.origin
        return await self._grant_prior(attempt, person, _course(decision, 0, origin.shows_pages, origin.site is not None), prior)

    async def _grant_by_prior(self, attempt: Attempt, person: Person, plan: Plan, course: Course) -> Let | None:
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
        transaction = self._transaction(attempt, person, replace(course, steps=(), proved=prior.factors, device=shown))
        granted = await self._grant(attempt, person, transaction, (), None, prior)
        if granted is None:
            trail.note("the proof of before was used meanwhile")
        return granted

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
        proved, steps = self._proved_already(request), course.steps
        skipped = self._asker.unsendable(steps, proved, person.holder, request.trail)
        return replace(course, steps=steps[skipped:], fail_open=GATEWAY_DOWN) if skipped else course

    @staticmethod
    def _proved_already(request: BeginRequest) -> tuple[str, ...]:
        return tuple(sorted(request.proved_elsewhere)) + ((PASSWORD,) if request.password is not None else ())

    async def _meet(self, attempt: Attempt, candidate: Candidate) -> Person:
        """The subject behind the directory's user, created at the first meeting, and what it can prove with."""
        user, met = candidate.found, candidate
        if met.subject_id is None:
            await self._create_subject(user, attempt.now_ms)
            met = await self._first.look(attempt, Found(candidate.directory, user, candidate.known))
        if met.subject_id is None:
            raise StorageError("a subject was linked meanwhile and is gone again")
        value = attempt.request.device
        device = await seen_device(self._parts, attempt, met.subject_id, user, value) if value is not None else None
        assessor, around = attempt.configuration.risk, NOT_ASSESSED
        if assessor is not None:
            trusted = device is not None and device.trusted
            around = await look_around(self._parts, assessor, attempt, met.subject_id, met.seen, trusted)
        finds = interviews.reads(attempt.configuration, attempt.application.policy, met.subject_id)
        answered = interviews.read(attempt.configuration, await self._storage.read(finds)) if finds else NOT_ANSWERED
        return Person(
            user=user,
            holder=holder_of(self._parts.ring(), met.subject_id, user, met.active, met.held, met.contacts, answered),
            language=attempt.request.origin.language or user.language or attempt.realm.settings.language,
            keys=met.keys,
            seen=met.seen,
            settle=candidate.back,
            note=known_names.note(attempt.realm, attempt.name, user, candidate.known, attempt.now_ms),
            refusal=candidate.refusal,
            proved=candidate.proved,
            grace=candidate.grace,
            contacts=met.contacts,
            surroundings=around,
            device=device,
            lane=candidate.lane,
        )

    async def _create_subject(self, user: DirectoryUser, now_ms: int) -> None:
        """In a commit of its own: of several first logins at once, the others go on with the subject that one of them made."""
        subject_id, operations = create_subject(user.directory, user.immutable_id, now_ms)
        event = AuditEvent(Kind.SUBJECT_CREATED, now_ms, "engine", subject_id=subject_id, details={"directory": user.directory})
        await self._storage.commit([*operations, record(event)])

    def _facts(self, attempt: Attempt, person: Person) -> Facts:
        request, user = attempt.request, person.user
        return Facts(
            goal=request.goal.value,
            application=attempt.application.settings.name,
            door=request.origin.door,
            realm=attempt.realm.name,
            directory=user.directory,
            user=user.name,
            at=attempt.now,
            nas=request.origin.nas,
            nas_identifier=request.origin.nas_identifier,
            client=request.origin.client,
            groups=_groups(user, attempt.realm.name),
            attributes={name.lower(): values for name, values in user.attributes.items()},
            # What is held is enrolled all the same: a restore must not make somebody count as one who has nothing.
            enrolled=frozenset(
                [factor.kind for factor in SECOND_FACTORS if _reaches(factor, person.holder, attempt.configuration.sending)]
                + [each.kind for each in person.holder.held]
            ),
            proved_elsewhere=request.proved_elsewhere,
            application_kind=attempt.application.settings.kind,
            device=request.origin.device,
            country=person.surroundings.country,
            risk=person.surroundings.band,
            known_device=person.device is not None and person.device.trusted,
            renew=to_renew(person.holder, pages=request.origin.shows_pages),
        )

    async def _challenge(self, attempt: Attempt, person: Person, course: Course) -> Outcome:
        """Open a transaction and ask for its first step, or join this login to an identical one that is open.

        Where the first question sends nothing, there is nothing to be sent twice: it is asked by a sealed handle, and not joined.
        """
        origin, trail = attempt.request.origin, attempt.request.trail
        transaction = self._transaction(attempt, person, course)
        if person.refusal and not self._asker.alternatives(transaction, person.holder):
            return await self._refusing.deny_as_wrong(attempt, person, person.refusal)
        application, holder, settle = attempt.application, person.holder, person.settle
        preface = _told(course.text, person.language) if course.text else None
        asked = await self._asker.ask_sealed(transaction, holder, application, origin, trail, settle, preface)
        if asked is not None:
            return asked
        fold_key = self._fold_key(attempt, person, course)
        for _ in range(FOLD_TRIES):
            folded = await self._asker.fold(fold_key, origin.binding, trail, application, holder, settle, preface)
            if folded is not None:
                return folded
            transaction = self._transaction(attempt, person, course, fold_key)
            opened = await self._asker.open(transaction, holder, application, origin, trail, settle, preface)
            if opened is not None:
                return opened
        raise Overloaded("the same login is opened and ended again and again")

    def _transaction(self, attempt: Attempt, person: Person, course: Course, fold_key: bytes | None = None) -> Transaction:
        request, terms = attempt.request, course.terms
        trail = request.trail
        trail.transaction_id = trail.transaction_id or new_transaction_id()
        return Transaction(
            id=trail.transaction_id,
            reference=trail.reference,
            application=attempt.application.settings.name,
            subject_id=person.holder.subject_id,
            realm=attempt.realm.name,
            directory=person.user.directory,
            immutable_id=person.user.immutable_id,
            user_name=person.user.name,
            name_key=canonical_name(request.user_name) or "",
            language=person.language,
            steps=course.steps,
            rule=course.rule,
            floors=course.floors,
            step=0,
            factor="",
            proved=course.proved or self._proved_already(request),
            tries_left=attempt.configuration.codes.tries,
            created_at=attempt.now_ms,
            expires_at=attempt.now_ms + (terms.longest_ms if terms.login_s else attempt.configuration.codes.life_s * 1000),
            fold_key=fold_key,
            refusal=person.refusal,
            grace=seal_user(self._parts.ring(), person.user, trail.transaction_id) if person.grace else "",
            terms=terms,
            fail_open=course.fail_open,
            device=course.device,
            risk=person.surroundings.carried,
            held=self._held(attempt, person, course, trail.transaction_id),
            lane=person.lane,
        )

    def _held(self, attempt: Attempt, person: Person, course: Course, transaction_id: str) -> str:
        """The password, where it has to be changed before the grant at a door where that can be done: it is typed only once."""
        request = attempt.request
        changes = bool(person.refusal) or self._freezes.may_be(person.holder.subject_id)
        changes = changes or demands.asks_for_change(course.terms.demands, person.user, attempt.now_ms)
        if not request.origin.shows_pages or request.password is None or not changes:
            return ""
        return hold_password(self._parts.ring(), request.password, transaction_id, attempt.now_ms)

    def _fold_key(self, attempt: Attempt, person: Person, course: Course) -> bytes:
        """Same person, password, application, NAS and client address, and decided the same: the same login again, not a second one.

        Without what was decided, a login that needs a strong factor here and now would be joined to one that was let off elsewhere.
        Without what a device showed, whoever showed none would get its next value. Without what was proved, whoever has the
        password alone would be let in as who proved his app before it; without the lane, his guesses would count in the brakes of
        somebody who came past them.
        """
        request = attempt.request
        proved = course.proved or self._proved_already(request)
        password = request.password.reveal() if request.password is not None else b""
        where = request.origin.client or request.origin.source
        return self._parts.ring().mac(
            "fold",
            person.holder.subject_id.encode(),
            attempt.application.settings.name.encode(),
            request.origin.binding.encode(),
            where.encode(),
            (canonical_name(request.user_name) or "").encode(),
            person.refusal.encode(),
            dumps([course.rule, course.floors, course.steps, course.fail_open, dump_terms(course.terms), course.device]).encode(),
            dumps([proved, person.lane]).encode(),
            password,
            *(kind.encode() for kind in course.proved),
        )

    async def _judge_code_beside_password(self, attempt: Attempt, person: Person, course: Course, code: Secret) -> Outcome:
        """One request holds everything: the code is tried on what the person holds; nothing can be sent or asked."""
        trail = attempt.request.trail
        enrolled = [BY_KIND[kind] for kind in course.steps[0] if BY_KIND[kind].enrolled(person.holder)]
        usable = [factor for factor in enrolled if factor.channel is None and factor.kind not in QUESTIONING]
        if not usable or len(course.steps) > 1:
            reason, text_id = ("factor_not_here", "policy.not_here") if enrolled else ("no_factor", "policy.no_factor")
            return await self._refusing.deny_known(attempt, person, reason, Text(text_id, {"ref": trail.reference}))
        transaction = self._transaction(attempt, person, course)
        if person.proved:
            return await self._after_code_first(attempt, person, transaction, code)
        task = Task(transaction.id, self._clock.now(), attempt.configuration.codes, self._parts.ring())
        wrong = Wrong("code_wrong")
        for factor in usable:
            verdict = factor.verify(person.holder, task, {}, code.reveal())
            if isinstance(verdict, Right):
                proved = replace(transaction, proved=(*transaction.proved, factor.kind))
                granted = await self._grant(attempt, person, proved, verdict.claim, code)
                if granted is not None:
                    return granted
                verdict = verdict.refused
            if not verdict.counted:
                wrong = verdict
        trail.note("code checked", verdict=wrong.reason)
        # The same text and the same floor as a wrong password: a guesser must not learn which part of the field was wrong.
        return await self._refusing.deny_as_wrong(attempt, person, wrong.reason, counted=wrong.counted)

    async def _after_code_first(self, attempt: Attempt, person: Person, transaction: Transaction, code: Secret) -> Outcome:
        """The code was proved, and spent, before the password: what is left is whether policy takes that factor."""
        if person.proved not in transaction.steps[0]:
            return await self._refusing.deny_as_wrong(attempt, person, "factor_not_here")
        proved = replace(transaction, proved=(*transaction.proved, person.proved))
        granted = await self._grant(attempt, person, proved, (), code)
        return granted or await self._refusing.deny_as_wrong(attempt, person, "brake_user_source")

    async def _grant_at_once(self, attempt: Attempt, person: Person, course: Course, spent: Secret | None) -> Outcome:
        """Policy asks for nothing more than what is proved."""
        if person.refusal and spent is None:
            return await self._refusing.deny_as_wrong(attempt, person, person.refusal)
        granted = await self._grant(attempt, person, self._transaction(attempt, person, course), (), spent)
        hold = brakes.Hold("brake_user_source", attempt.configuration.brakes.user_source_wait_s)
        return granted or self._refusing.hold(attempt, hold)

    async def _grant(
        self,
        attempt: Attempt,
        person: Person,
        transaction: Transaction,
        claim: tuple[Operation, ...],
        code: Secret | None,
        prior: Prior | None = None,
    ) -> Let | None:
        """Let in, unless what the code claims was taken meanwhile; or say that the password has to be changed."""
        due = await self._answering.due(transaction, person.holder, person.contacts, person.user, attempt.now)
        if attempt.request.origin.shows_pages and not self._freezes.knows_none(person.holder.subject_id):
            due = await self._lift_due(attempt, person, transaction) or due
        if password_ends.is_near(attempt.configuration.notices.password_days, person.user, attempt.now):
            about = (due, whom_of(transaction), person.holder, person.user, attempt.now)
            due = await password_ends.with_ending(self._parts, *about, attempt.request.origin.shows_pages)
        device = prior.device if prior is not None else None
        outcome = proved_outcome(transaction, person.user, transaction.proved, attempt.application, due, device)
        if device is not None and person.device is not None and isinstance(outcome, Granted):
            outcome = replace(outcome, proved_at={TRUSTED_DEVICE: person.device.created_at})
        spent_key = user_key(self._parts.ring(), attempt.realm.name, attempt.name)
        released = release_after(transaction.proved, person.holder)
        note = person.note
        if RECOVERY_CODE in transaction.proved:
            note = (*note, *await recovery_code_used(self._parts, whom_of(transaction), person.holder, not claim))
        grant = Grant(person.keys, person.seen, spent_key, code, claim, released, note, transaction.proved, due)
        if prior is not None:
            details = (("handed_over", prior.handed_over),) if prior.handed_over else ()
            grant = replace(grant, prior=prior.operations, device=device, details=details)
        elif transaction.terms.hand_over_s:
            grant = replace(grant, client=attempt.request.origin.client)
        origin, trail = attempt.request.origin, attempt.request.trail
        if due.must is not None and origin.shows_pages and not (due.must.factors and is_password_alone(transaction.proved)):
            return await self._answering.require(transaction, grant, origin, trail, person.settle)
        now_ms = to_ms(self._clock.now())
        commit = await self._answering.commit_proved(transaction, grant, outcome, trail, person.settle, now_ms)
        return None if isinstance(commit, Refused) else outcome

    async def _lift_due(self, attempt: Attempt, person: Person, transaction: Transaction) -> Due | None:
        """What is to be done by somebody who has proved all at once, and may lift the freeze of his account."""
        frozen = await self._freezes.of(person.holder.subject_id)
        directory = directory_of(attempt.configuration, person.user.directory)
        if frozen is None or not may_lift(frozen, transaction, transaction.proved, person.holder, person.user, directory):
            return None
        return lift_due()

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
            return self._answering.repeat(handle, request) or self._closed(request, "state_used")
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
            return self._answering.repeat(handle, request) or self._closed(request, "state_used")
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
            return unused_handle(ring, value, sealed.transaction, binding if sealed.here else ANOTHER_BINDING), sealed.transaction
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


def _groups(user: DirectoryUser, realm: str) -> frozenset[str]:
    places = (user.directory, realm)
    return qualified_groups(places, user.groups, user.group_aliases) if user.group_aliases else _plain_groups(places, user.groups)


# Many users have the same groups.
@lru_cache(maxsize=1024)
def _plain_groups(places: tuple[str, str], groups: tuple[str, ...]) -> frozenset[str]:
    return qualified_groups(places, groups, {})


def _led(course: Course, factors: Sequence[str]) -> Course:
    """With a last step for what must be enrolled and can be on the page of a link: it is proved in the window that waits for it."""
    kinds = tuple(kind for kind in factors if kind in ENROLLABLE and (kind not in ON_PAGES or course.terms.by_link))
    return replace(course, steps=(*course.steps, kinds)) if kinds else course


def _less(course: Course, kind: str) -> Course:
    """Without the first step that this factor proves, if it proves any."""
    at = next((number for number, step in enumerate(course.steps) if kind in step), None)
    return course if at is None else replace(course, steps=course.steps[:at] + course.steps[at + 1 :])


# There are as many plans as rules, and each login has one of them.
@lru_cache(maxsize=256)
def _course(plan: Plan, hand_over_s: int, pages: bool, site: bool, by_link: str = "", enrols: bool = False) -> Course:
    """What a plan demands beside the password, without what the door cannot ask for.

    `pages`: it can have things done; `site`: passkeys can be asked for where it stands; `by_link`: a link can lead to where.
    """
    steps = tuple(step for step in plan.steps if PASSWORD not in step)
    if not site:
        unasked = ON_PAGES - BY_LINK.keys() if by_link else ON_PAGES
        steps = tuple(tuple(kind for kind in step if kind not in unasked) for step in steps)
    return Course(steps, plan.rule, plan.floors, terms_of(plan, hand_over_s, pages, by_link, enrols), plan.text)


def _told(words: Sequence[tuple[str, str]], language: str) -> Text:
    """What a rule has a person told, in his language, in English, or in the one that there is."""
    by_language = dict(words)
    told = by_language.get(language_of(language)) or by_language.get(DEFAULT_LANGUAGE) or words[0][1]
    return Text("policy.told", {"words": told})


def _refusal_told(decision: NoEntry, language: str, application: str, reference: str) -> Text:
    if not decision.text:
        return Text("policy.denied", {"application": application, "ref": reference})
    return Text("policy.told_refusal", {**_told(decision.text, language).values, "ref": reference})


def _reaches(factor: Factor, holder: Holder, sending: SendingSettings) -> bool:
    """Whether the person has the factor. A phone whose prefix is closed is none."""
    return factor.enrolled(holder) and (factor.channel is not Channel.SMS or is_allowed(holder.phone, sending))
