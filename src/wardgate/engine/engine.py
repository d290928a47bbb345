"""The engine: every decision about a login is taken here, from stored state and the plan.

`begin` finds the user, checks the password, asks policy and either asks for the next factor, lets in or refuses. `answer` judges
what came back. Both end in one commit that holds the state change, the audit event, the timeline and what has to be sent; whose
conditions hold decides. Refusals before the password is proved are alike and carry the moment before which they must not leave.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeGuard

from wardgate.account.authenticator import Authenticator, active_and_held, kept_authenticators
from wardgate.account.subject import NO_SUBJECT, SubjectId, create_subject, link_of, subject_in
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail, new_transaction_id
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.names import canonical_name
from wardgate.directory.port import AccountState, Directory, DirectoryUser, PasswordRemembering, PasswordVerdict
from wardgate.directory.realm import Realm, parse_login_name
from wardgate.engine import brakes
from wardgate.engine.answering import Answering, Grant, granted_for, release_after
from wardgate.engine.asking import Asker
from wardgate.engine.outcome import Denied, Granted, Outcome
from wardgate.engine.recording import Rate, Recording
from wardgate.engine.request import AnswerRequest, BeginRequest
from wardgate.engine.runtime import Application, EngineConfiguration, EngineParts
from wardgate.engine.sealed_handle import ANOTHER_BINDING, open_login
from wardgate.engine.spent_code import is_spent_code, may_be_code, user_key
from wardgate.engine.steps import DIRECTORY_FIND, PASSWORD_CHECK, POLICY, STORAGE_READ, Steps
from wardgate.engine.transaction import Handle, Transaction, handle_from_row, handle_mac, unused_handle
from wardgate.engine.waiters import Waiters
from wardgate.errors import ClockWrong, DirectoryUnavailable, Overloaded, StorageError, UnavailableError
from wardgate.factors import BY_KIND, PASSWORD, SECOND_FACTORS
from wardgate.factors.port import Holder, Right, Task, Wrong
from wardgate.policy.facts import Facts
from wardgate.policy.plan import NoEntry, Plan
from wardgate.policy.rules import decide
from wardgate.storage.port import Committed, Operation, Refused
from wardgate.texts import Text

# How often a login may lose the race for being the open one of its kind.
FOLD_TRIES = 5
# Parallel attempts of one user from one source wait for each other's verdict, within the patience of any NAS. One that ends in
# this process calls the next; what other processes do is asked for from time to time.
RESERVE_WAIT_S = 2.4
RESERVE_AGAIN_S = 0.2
# Which subject an account belongs to is remembered of so many, and read again all the same.
MAX_KNOWN_SUBJECTS = 20_000
# Wrong passwords for names that do not exist are recorded one by one, of each NAS as far as people mistype; beyond that, counted.
STRANGERS_RECORDED_PER_S = 20
# What a refusal needs beside the check of a password: reads and one commit.
AFTER_CHECK_S = 0.1


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What is known while a first request is worked on."""

    request: BeginRequest
    configuration: EngineConfiguration
    application: Application
    realm: Realm
    name: str
    now_ms: int

    @property
    def language(self) -> str:
        """Before the password is proved: never the user's own language, which would tell that he exists."""
        return self.request.origin.language or self.realm.settings.language


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Who it may be before anything is proved, and what was read about him.

    `reserved`: an attempt is reserved and has to be settled.
    """

    directory: Directory
    user: DirectoryUser | None
    subject_id: SubjectId | None
    keys: brakes.BrakeKeys
    seen: brakes.Seen
    active: Sequence[Authenticator] = ()
    held: Sequence[Authenticator] = ()
    reserved: bool = False

    @property
    def known(self) -> DirectoryUser:
        """The user, once something is proved."""
        if self.user is None:
            raise StorageError("nothing is proved about nobody")
        return self.user


@dataclass(frozen=True, slots=True)
class _Person:
    """A user whose first factor is proved, and what he can prove next.

    `settle`: what the next commit has to write besides, which is to give the reserved attempt back.
    """

    user: DirectoryUser
    holder: Holder
    language: str
    keys: brakes.BrakeKeys
    seen: brakes.Seen
    settle: tuple[Operation, ...]


class Engine:
    """Runs logins. One per worker; all its state is in storage."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._clock = parts.clock
        self._steps = Steps(parts)
        self._asker = Asker(parts)
        self._answering = Answering(parts, self._asker)
        self._waiters = Waiters()
        self._strangers = Rate(STRANGERS_RECORDED_PER_S, parts.clock)
        self._subjects: dict[tuple[str, str], SubjectId] = {}

    # --- first request -------------------------------------------------------------------------------------------

    async def begin(self, request: BeginRequest) -> Outcome:
        """Start a login. Raises Overloaded, StorageUnavailable or ClockWrong: the door then fails closed in its own way."""
        self._trust_clock()
        attempt = self._attempt(request)
        if attempt is None:
            return self._no_application(request)
        if request.password is not None and await self._replays_spent_code(attempt, request.password):
            return self._refuse(attempt, "credential_replay")
        try:
            candidate = await self._look(attempt, *await self._find(attempt))
            settings = attempt.configuration.brakes
            hold = await brakes.held_by(self._storage, candidate.keys, candidate.seen, settings, attempt.now_ms)
            if hold is not None:
                return await self._held(attempt, candidate, hold)
            if self._remembers(candidate, request.password):
                request.trail.note("password verified a short while ago")
                return await self._after_first_factor(attempt, candidate)
            return await self._prove_first(attempt, candidate)
        except DirectoryUnavailable as error:
            request.trail.note("directory did not answer", error=error.message)
            return self._refuse(attempt, "directory_down", Text("down.directory", {"ref": request.trail.reference}))

    def _trust_clock(self) -> None:
        """A clock that stands an hour back would take the codes of an hour ago: while it is in doubt nothing is decided."""
        problem = self._parts.clock_problem()
        if problem is not None:
            raise ClockWrong(problem)

    def _attempt(self, request: BeginRequest) -> _Attempt | None:
        configuration = self._parts.configuration()
        application = configuration.applications.get(request.application)
        trail = request.trail
        trail.application, trail.user = request.application, request.user_name
        if application is None:
            return None
        realm, typed = parse_login_name(request.user_name, configuration.realms)
        return _Attempt(request, configuration, application, realm, canonical_name(typed) or "", to_ms(self._clock.now()))

    async def _replays_spent_code(self, attempt: _Attempt, given: Secret) -> bool:
        """Whether the password field holds the code that this user just spent here: a portal's credentials at the gateway.

        It is refused before any check: it is no guess, and it must never reach a directory as a wrong password.
        """
        if not may_be_code(given):
            return False
        within_s = attempt.configuration.codes.replay_notice_s
        application = attempt.application.settings.name
        ring = self._parts.ring()
        key = user_key(ring, attempt.realm.name, attempt.name)
        replays = await is_spent_code(self._storage, ring, application, key, given, attempt.now_ms, within_s)
        if replays:
            attempt.request.trail.note("the password is the code that was just spent", counted=False)
        return replays

    def _brake_keys(self, attempt: _Attempt, user: DirectoryUser | None, subject_id: SubjectId | None) -> brakes.BrakeKeys:
        name, origin = f"{attempt.realm.name}:{attempt.name}", attempt.request.origin
        if user is None:
            return brakes.brake_keys(self._parts.ring(), name, origin.client, origin.binding, of_name=True)
        who = subject_id or f"{user.directory}:{user.immutable_id}"
        return brakes.brake_keys(self._parts.ring(), who, origin.client, origin.binding, typed=name)

    async def _find(self, attempt: _Attempt) -> tuple[Directory, DirectoryUser | None]:
        """Ask the realm's directories in order. One that is down ends the search: the next must not answer for it."""
        trail = attempt.request.trail
        directory = attempt.realm.directories[0]
        for directory in attempt.realm.directories:
            began = self._steps.begin()
            try:
                user = await directory.find(attempt.name, self._parts.directory_timeout_s) if attempt.name else None
            finally:
                # Above all the time of one that did not answer.
                self._steps.end_directory(DIRECTORY_FIND, directory.name, "find", began)
            if user is not None:
                trail.note("user found", directory=directory.name, state=user.state.value)
                return directory, user
        trail.note("no such user", realm=attempt.realm.name)
        return directory, None

    async def _look(self, attempt: _Attempt, directory: Directory, user: DirectoryUser | None) -> _Candidate:
        """Read what storage knows about who it may be, in one go where the subject is remembered.

        Whom it remembers is only asked for sooner: the link is read with the rest, and decides.
        """
        if user is None:
            keys = self._brake_keys(attempt, None, None)
            return _Candidate(directory, None, None, keys, brakes.seen(await self._storage.read(brakes.asked(keys))))
        began = self._steps.begin()
        account = (user.directory, user.immutable_id)
        remembered, link = self._subjects.get(account), link_of(*account)
        if remembered is not None:
            keys = self._brake_keys(attempt, user, remembered)
            kept, found, *rows = await self._storage.read([kept_authenticators(remembered), link, *brakes.asked(keys)])
            if subject_in(found) == remembered:
                self._steps.end(STORAGE_READ, began)
                return _Candidate(directory, user, remembered, keys, brakes.seen(rows), *active_and_held(kept))
            self._subjects.pop(account, None)
        subject_id = subject_in(*await self._storage.read([link]))
        keys = self._brake_keys(attempt, user, subject_id)
        kept, *rows = await self._storage.read([kept_authenticators(subject_id or NO_SUBJECT), *brakes.asked(keys)])
        self._remember_subject(account, subject_id)
        self._steps.end(STORAGE_READ, began)
        return _Candidate(directory, user, subject_id, keys, brakes.seen(rows), *active_and_held(kept))

    def _remember_subject(self, account: tuple[str, str], subject_id: SubjectId | None) -> None:
        if subject_id is None:
            return
        if len(self._subjects) >= MAX_KNOWN_SUBJECTS:
            del self._subjects[next(iter(self._subjects))]
        self._subjects[account] = subject_id

    async def _prove_first(self, attempt: _Attempt, candidate: _Candidate) -> Outcome:
        """Check the password, or only the account where the NAS vouches for it; an attempt is reserved first.

        Where no place is left to wait for the check, nothing is reserved: a flood of new names would leave a row for each.
        """
        origin = attempt.request.origin
        if attempt.request.password is not None and self._parts.refuses_check(brakes.asker(origin.client, origin.binding)):
            raise Overloaded("too many passwords wait to be checked")
        if not await self._reserve(attempt, candidate.keys):
            return await self._no_place(attempt, candidate)
        try:
            return await self._judge_first(attempt, replace(candidate, reserved=True))
        finally:
            # Whatever came of it is written by now: the place is free, or nobody gets one any more.
            self._waiters.wake(candidate.keys.user_source)

    async def _no_place(self, attempt: _Attempt, candidate: _Candidate) -> Denied:
        settings = attempt.configuration.brakes
        hold = await brakes.holding(self._storage, candidate.keys, settings, to_ms(self._clock.now()))
        # What filled the places may be guesses at another name of this person: only what is stored may be told.
        hold = hold or brakes.Hold("brake_user_source", settings.user_source_wait_s, told=False)
        return await self._held(attempt, candidate, hold)

    async def _judge_first(self, attempt: _Attempt, candidate: _Candidate) -> Outcome:
        trail, password, user = attempt.request.trail, attempt.request.password, candidate.user
        origin = attempt.request.origin
        began = self._steps.begin()
        try:
            verdict = await self._verdict(candidate, password, brakes.asker(origin.client, origin.binding))
        except UnavailableError:
            await self._storage.commit([brakes.settle_right(candidate.keys, attempt.now_ms)])
            raise
        finally:
            self._steps.end_directory(PASSWORD_CHECK, candidate.directory.name, "check", began)
        trail.note(
            "password checked" if password is not None else "password checked elsewhere", verdict=verdict.value if user else None
        )
        if verdict is PasswordVerdict.RIGHT and user is not None and user.state is AccountState.ACTIVE:
            return await self._after_first_factor(attempt, candidate)
        return await self._wrong_password(attempt, candidate, verdict)

    async def _reserve(self, attempt: _Attempt, keys: brakes.BrakeKeys) -> bool:
        """Reserve an attempt; while others of this user and source are being judged, wait a little for their outcome."""
        loop = asyncio.get_running_loop()
        until = loop.time() + RESERVE_WAIT_S
        while True:
            commit = await self._storage.commit([brakes.reserve(keys, attempt.configuration.brakes, to_ms(self._clock.now()))])
            reservation = commit.results[0] if isinstance(commit, Committed) else brakes.Reservation.BUSY
            if reservation == brakes.Reservation.TAKEN:
                return True
            left_s = until - loop.time()
            if reservation == brakes.Reservation.LOCKED or left_s <= 0:
                # No use for the place that one was called to: the next may have one, or has to hear the same.
                self._waiters.wake(keys.user_source)
                return False
            await self._waiters.wait(keys.user_source, min(RESERVE_AGAIN_S, left_s))

    def _remembers(self, candidate: _Candidate, password: Secret | None) -> bool:
        user, directory = candidate.user, candidate.directory
        if user is None or password is None or user.state is not AccountState.ACTIVE:
            return False
        return _can_remember(directory) and directory.remembers(user, password)

    async def _verdict(self, candidate: _Candidate, password: Secret | None, asker: str) -> PasswordVerdict:
        if password is None:
            return PasswordVerdict.RIGHT if candidate.user is not None else PasswordVerdict.WRONG
        timeout_s = self._parts.directory_timeout_s
        if candidate.user is None:
            await candidate.directory.check_nobody(password, timeout_s, asker)
            return PasswordVerdict.WRONG
        return await candidate.directory.check_password(candidate.user, password, timeout_s, asker)

    async def _wrong_password(self, attempt: _Attempt, candidate: _Candidate, verdict: PasswordVerdict) -> Denied:
        """Unknown, disabled and wrong are one path with one text; only audit and timeline know which."""
        refusal = self._refuse(attempt, _refusal_reason(candidate.user, verdict))
        settle = brakes.settle_wrong(candidate.keys, attempt.configuration.brakes, attempt.now_ms, reserved=True)
        await self._record_unproved(attempt, candidate, settle, refusal)
        return refusal

    async def _record_unproved(
        self, attempt: _Attempt, candidate: _Candidate, settle: Sequence[Operation], refusal: Denied
    ) -> None:
        """Record a refusal before anything was proved. A flood of names of nobody is counted: it must not fill the disk."""
        trail = attempt.request.trail
        if candidate.user is None and not self._strangers.allows(trail.nas):
            trail.counted_only = True
            await self._storage.commit(settle)
            return
        recording = Recording(self._parts, trail, attempt.application.settings.name, candidate.subject_id)
        await recording.commit_denied(settle, refusal, candidate.user.name if candidate.user else attempt.name)

    # --- after the first factor ----------------------------------------------------------------------------------

    async def _after_first_factor(self, attempt: _Attempt, candidate: _Candidate) -> Outcome:
        request, trail = attempt.request, attempt.request.trail
        person = await self._meet(attempt, candidate)
        began = self._steps.begin()
        decision = decide(attempt.application.policy, self._facts(attempt, person))
        self._steps.end(POLICY, began)
        if isinstance(decision, NoEntry):
            trail.note("policy refuses", reason=decision.reason, rule=decision.rule)
            text = Text("policy.denied", {"application": attempt.application.title, "ref": trail.reference})
            return await self._deny_known(attempt, person, decision.reason, text)
        trail.note("policy decided", rule=decision.rule, steps=" then ".join("/".join(step) for step in decision.steps))
        plan = Plan(tuple([step for step in decision.steps if step != (PASSWORD,)]), decision.rule, decision.floors)
        # Without a password from here, a code is all that stands before the grant: policy must ask for one.
        if request.password is None and (not plan.steps or len(plan.steps) < len(decision.steps)):
            return await self._deny_known(attempt, person, "factor_not_here", Text("policy.not_here", {"ref": trail.reference}))
        if not plan.steps:
            return await self._grant_at_once(attempt, person, plan)
        if request.code is not None:
            return await self._judge_code_beside_password(attempt, person, plan, request.code)
        if not request.can_challenge:
            return await self._deny_known(attempt, person, "code_missing", Text("signin.failed", {"ref": trail.reference}))
        return await self._challenge(attempt, person, plan)

    async def _meet(self, attempt: _Attempt, candidate: _Candidate) -> _Person:
        """The subject behind the directory's user, created at the first meeting, and what it can prove with."""
        user = candidate.known
        settle = (brakes.settle_right(candidate.keys, attempt.now_ms),) if candidate.reserved else ()
        if candidate.subject_id is None:
            await self._create_subject(user, attempt.now_ms)
            candidate = await self._look(attempt, candidate.directory, user)
        if candidate.subject_id is None:
            raise StorageError("a subject was linked meanwhile and is gone again")
        holder = Holder(candidate.subject_id, candidate.active, user.phone, user.mail, candidate.held)
        language = attempt.request.origin.language or user.language or attempt.realm.settings.language
        return _Person(user, holder, language, candidate.keys, candidate.seen, settle)

    async def _create_subject(self, user: DirectoryUser, now_ms: int) -> None:
        """In a commit of its own: of several first logins at once, the others go on with the subject that one of them made."""
        subject_id, operations = create_subject(user.directory, user.immutable_id, now_ms)
        event = AuditEvent(Kind.SUBJECT_CREATED, now_ms, "engine", subject_id=subject_id, details={"directory": user.directory})
        await self._storage.commit([*operations, record(event)])

    def _facts(self, attempt: _Attempt, person: _Person) -> Facts:
        request, user = attempt.request, person.user
        groups = frozenset(f"{place}:{group}".lower() for group in user.groups for place in (user.directory, attempt.realm.name))
        return Facts(
            goal=request.goal.value,
            application=attempt.application.settings.name,
            door=request.origin.door,
            realm=attempt.realm.name,
            directory=user.directory,
            user=user.name,
            at=self._clock.now(),
            nas=request.origin.nas,
            nas_identifier=request.origin.nas_identifier,
            client=request.origin.client,
            groups=groups,
            attributes={name.lower(): values for name, values in user.attributes.items()},
            # What is held is enrolled all the same: a restore must not make somebody count as one who has nothing.
            enrolled=frozenset(
                [factor.kind for factor in SECOND_FACTORS if factor.enrolled(person.holder)]
                + [each.kind for each in person.holder.held]
            ),
            proved_elsewhere=request.proved_elsewhere,
        )

    async def _challenge(self, attempt: _Attempt, person: _Person, plan: Plan) -> Outcome:
        """Open a transaction and ask for its first step, or join this login to an identical one that is open.

        Where the first question sends nothing, there is nothing to be sent twice: it is asked by a sealed handle, and not joined.
        """
        origin, trail = attempt.request.origin, attempt.request.trail
        transaction = self._transaction(attempt, person, plan)
        asked = await self._asker.ask_sealed(transaction, person.holder, attempt.application, origin, trail, person.settle)
        if asked is not None:
            return asked
        fold_key = self._fold_key(attempt, person)
        for _ in range(FOLD_TRIES):
            folded = await self._asker.fold(fold_key, origin.binding, trail, attempt.application, person.holder, person.settle)
            if folded is not None:
                return folded
            transaction = self._transaction(attempt, person, plan, fold_key)
            opened = await self._asker.open(transaction, person.holder, attempt.application, origin, trail, person.settle)
            if opened is not None:
                return opened
        raise Overloaded("the same login is opened and ended again and again")

    def _transaction(self, attempt: _Attempt, person: _Person, plan: Plan, fold_key: bytes | None = None) -> Transaction:
        request = attempt.request
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
            steps=plan.steps,
            rule=plan.rule,
            floors=plan.floors,
            step=0,
            factor="",
            proved=tuple(sorted(request.proved_elsewhere)) + ((PASSWORD,) if request.password is not None else ()),
            tries_left=attempt.configuration.codes.tries,
            created_at=attempt.now_ms,
            expires_at=attempt.now_ms + attempt.configuration.codes.life_s * 1000,
            fold_key=fold_key,
        )

    def _fold_key(self, attempt: _Attempt, person: _Person) -> bytes:
        """Same person, password, application, NAS and client address: the same login again, not a second one."""
        request = attempt.request
        password = request.password.reveal() if request.password is not None else b""
        where = request.origin.client or request.origin.source
        return self._parts.ring().mac(
            "fold",
            person.holder.subject_id.encode(),
            attempt.application.settings.name.encode(),
            request.origin.binding.encode(),
            where.encode(),
            (canonical_name(request.user_name) or "").encode(),
            password,
        )

    async def _judge_code_beside_password(self, attempt: _Attempt, person: _Person, plan: Plan, code: Secret) -> Outcome:
        """One request holds everything: the code is tried on what the person holds; nothing can be sent or asked."""
        trail = attempt.request.trail
        enrolled = [BY_KIND[kind] for kind in plan.steps[0] if BY_KIND[kind].enrolled(person.holder)]
        usable = [factor for factor in enrolled if factor.channel is None]
        if not usable or len(plan.steps) > 1:
            reason, text_id = ("factor_not_here", "policy.not_here") if enrolled else ("no_factor", "policy.no_factor")
            return await self._deny_known(attempt, person, reason, Text(text_id, {"ref": trail.reference}))
        transaction = self._transaction(attempt, person, plan)
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
        return await self._wrong_code_beside_password(attempt, person, wrong)

    async def _wrong_code_beside_password(self, attempt: _Attempt, person: _Person, wrong: Wrong) -> Denied:
        """The same text and the same floor as a wrong password: in one field a guesser must not learn which part was wrong."""
        settle = person.settle
        if wrong.counted:
            settle = (*settle, *self._count_wrong(attempt, person))
        refusal = self._refuse(attempt, wrong.reason)
        recording = Recording(self._parts, attempt.request.trail, attempt.application.settings.name, person.holder.subject_id)
        await recording.commit_denied(settle, refusal, person.user.name)
        return refusal

    async def _grant_at_once(self, attempt: _Attempt, person: _Person, plan: Plan) -> Outcome:
        """Policy asks for nothing more than what is proved."""
        granted = await self._grant(attempt, person, self._transaction(attempt, person, plan), (), None)
        return granted or self._hold(attempt, brakes.Hold("brake_user_source", attempt.configuration.brakes.user_source_wait_s))

    async def _grant(
        self, attempt: _Attempt, person: _Person, transaction: Transaction, claim: tuple[Operation, ...], code: Secret | None
    ) -> Granted | None:
        """Let in, unless what the code claims was taken meanwhile."""
        granted = granted_for(transaction, person.user, transaction.proved)
        ring = self._parts.ring()
        spent_key = user_key(ring, attempt.realm.name, attempt.name)
        now_ms = to_ms(self._clock.now())
        released = release_after(transaction.proved, person.holder)
        grant = Grant(person.keys, person.seen, spent_key, code, claim, released)
        commit = await self._answering.commit_grant(transaction, grant, granted, attempt.request.trail, person.settle, now_ms)
        return None if isinstance(commit, Refused) else granted

    # --- answers -------------------------------------------------------------------------------------------------

    async def answer(self, request: AnswerRequest) -> Outcome:
        """Judge an answer to a challenge. Raises StorageUnavailable or ClockWrong: the door then fails closed in its own way."""
        self._trust_clock()
        request.trail.user = request.user_name
        found = await self._handle(request.handle, request.origin.binding, canonical_name(request.user_name) or "")
        if found is None:
            return self._closed(request, "state_unknown")
        handle, transaction = found
        if handle.binding != request.origin.binding:
            return self._closed(request, "state_other_nas")
        if handle.consumed_at is not None:
            return self._answering.repeat(handle, request) or self._closed(request, "state_used")
        return await self._answering.answer(handle, transaction, request) or self._closed(request, "state_used")

    async def cancel(self, handle: bytes, trail: Trail) -> Denied:
        """The person gave up: close the login so that its codes are worth nothing."""
        found = await self._handle(handle, "", "")
        closed = await self._answering.cancel(*found, trail) if found is not None else None
        return closed or Denied("state_unknown", Text("flow.unknown", {"ref": trail.reference}), "en", trail.reference)

    async def _handle(self, value: bytes, binding: str, name_key: str) -> tuple[Handle, Transaction | None] | None:
        """The stored handle, or the sealed handle and its transaction."""
        ring = self._parts.ring()
        sealed = open_login(ring, value, binding, name_key, self._parts.epoch, to_ms(self._clock.now()))
        if sealed is not None:
            return unused_handle(ring, value, sealed.transaction, binding if sealed.here else ANOTHER_BINDING), sealed.transaction
        row = await self._storage.get("handle", {"handle_mac": handle_mac(ring, value)})
        return (handle_from_row(row), None) if row is not None else None

    # --- refusals ------------------------------------------------------------------------------------------------

    def _refuse(self, attempt: _Attempt, reason: str, text: Text | None = None) -> Denied:
        """A refusal before everything is proved: one text for all causes, and not before the realm's floor.

        Nor before the slowest password check can have ended: where all comes in one request, a right password, which is checked
        as fast as its own hash allows, would otherwise be refused for its code sooner than a wrong one.
        """
        trail = attempt.request.trail
        trail.result, trail.reason = "denied", reason
        slowest_s = self._parts.slowest_check_s()
        floor_s = max(attempt.realm.settings.reply_floor_ms / 1000, slowest_s + AFTER_CHECK_S if slowest_s else 0.0)
        return Denied(
            reason,
            text or Text("signin.failed", {"ref": trail.reference}),
            attempt.language,
            trail.reference,
            not_before=trail.started + floor_s,
        )

    async def _held(self, attempt: _Attempt, candidate: _Candidate, hold: brakes.Hold) -> Denied:
        """A brake holds before anything is proved. One that must not show looks and counts like a guess at a name of nobody."""
        if hold.told:
            return self._hold(attempt, hold)
        attempt.request.trail.note("a brake holds, which must not show", wait_s=hold.wait_s)
        refusal = self._refuse(attempt, hold.reason)
        settle = brakes.settle_unseen(candidate.keys, attempt.configuration.brakes, attempt.now_ms)
        await self._record_unproved(attempt, candidate, settle, refusal)
        return refusal

    def _hold(self, attempt: _Attempt, hold: brakes.Hold) -> Denied:
        """A brake holds. The same for names that do not exist: they have brakes as well."""
        trail = attempt.request.trail
        trail.note("a brake holds", wait_s=hold.wait_s)
        text = Text("wait.person", {"min": -(-hold.wait_s // 60), "ref": trail.reference})
        return self._refuse(attempt, hold.reason, text)

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

    async def _deny_known(self, attempt: _Attempt, person: _Person, reason: str, text: Text) -> Denied:
        """A refusal after the password was proved: it may say what to do.

        Not where everything comes in one request: there the answer would tell a guesser that the password alone was right, and
        so would a brake that never begins to hold.
        """
        trail = attempt.request.trail
        settle, refusal = person.settle, Denied(reason, text, person.language, trail.reference)
        if attempt.request.code is not None or not attempt.request.can_challenge:
            settle, refusal = (*settle, *self._count_wrong(attempt, person)), self._refuse(attempt, reason)
        recording = Recording(self._parts, trail, attempt.application.settings.name, person.holder.subject_id)
        await recording.commit_denied(settle, refusal, person.user.name)
        return refusal

    def _count_wrong(self, attempt: _Attempt, person: _Person) -> list[Operation]:
        return brakes.settle_wrong(person.keys, attempt.configuration.brakes, attempt.now_ms, reserved=False)


def _can_remember(directory: Directory) -> TypeGuard[PasswordRemembering]:
    return _kind_can_remember(type(directory))


@lru_cache(maxsize=64)
def _kind_can_remember(kind: type) -> bool:
    """Asked once for each kind of directory: the answer takes as long as the whole check of what is remembered."""
    return issubclass(kind, PasswordRemembering)


def _refusal_reason(user: DirectoryUser | None, verdict: PasswordVerdict) -> str:
    """What audit and timeline say; the person is told the same for all of them."""
    if user is None:
        return "user_unknown"
    if verdict is PasswordVerdict.WRONG:
        return "password_wrong"
    if user.state is not AccountState.ACTIVE:
        return f"account_{user.state.value}"
    return {PasswordVerdict.EXPIRED: "password_expired", PasswordVerdict.MUST_CHANGE: "must_change"}.get(verdict, "account_locked")
