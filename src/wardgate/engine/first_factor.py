"""The first factor of a login: who it may be, whether anything holds him, and whether his password is right.

Each check is reserved before it is made: at the brakes of user and source, and at the account's own where the directory locks it.
What comes out is a `Candidate` whose password was right, or a refusal that is like any other.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeGuard

from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.contact import kept_contacts
from wardgate.account.device import Shown
from wardgate.account.subject import NO_SUBJECT, SubjectId, link_of, subject_in
from wardgate.audit.timeline import new_transaction_id
from wardgate.crypto import Secret
from wardgate.directory.port import AccountState, Directory, DirectoryUser, PasswordGrace, PasswordRemembering, PasswordVerdict
from wardgate.engine import bind_brake, brake_changes, brakes
from wardgate.engine.attempt import Attempt, Candidate
from wardgate.engine.bind_brake import Bind, BindKey, Checked
from wardgate.engine.brake_rows import is_known_source
from wardgate.engine.finding import Finding, Found
from wardgate.engine.holders import Contactless, holder_of
from wardgate.engine.lanes import OWN_DEVICE, STRONG_FIRST, device_keys
from wardgate.engine.outcome import Challenge, Denied
from wardgate.engine.password_writes import PasswordWrites
from wardgate.engine.refusing import Refusing
from wardgate.engine.runtime import EngineParts
from wardgate.engine.settings import BrakeSettings
from wardgate.engine.steps import PASSWORD_CHECK, STORAGE_READ, Steps
from wardgate.engine.strong_first import StrongFirst, lane_keys
from wardgate.engine.transaction import Goal
from wardgate.engine.trusted import own_device
from wardgate.engine.waiters import Waiters
from wardgate.errors import DirectoryUnavailable, Overloaded, UnavailableError
from wardgate.factors import SECOND_FACTORS
from wardgate.factors.port import MAX_ANSWER_BYTES, Right, Task
from wardgate.storage.port import Committed, Operation, Refused
from wardgate.values import quick_value

# Parallel attempts of one user from one source wait for each other's verdict, within the patience of any NAS. One that ends in
# this process calls the next; what other processes do is asked for from time to time.
RESERVE_WAIT_S = 2.4
RESERVE_AGAIN_S = 0.2
# Which subject an account belongs to is remembered of so many, and read again all the same.
MAX_KNOWN_SUBJECTS = 20_000

# What audit and timeline say of a password that was right and opens nothing; the person is told the same for all of them.
_REASONS = {
    PasswordVerdict.WRONG: "password_wrong",
    PasswordVerdict.EXPIRED: "password_expired",
    PasswordVerdict.MUST_CHANGE: "must_change",
    PasswordVerdict.DISABLED: "account_disabled",
    PasswordVerdict.ACCOUNT_EXPIRED: "account_expired",
    PasswordVerdict.HOURS: "account_hours",
    PasswordVerdict.WORKSTATION: "account_workstation",
    PasswordVerdict.LOCKED: "account_locked",
    PasswordVerdict.REFUSED: "account_locked",
}


@quick_value
class _Places:
    """What was reserved for one check. `bind`: None where the directory locks nobody, or with `full`, where no place was left."""

    bind: Bind | None = None
    full: bool = False


class FirstFactor:
    """Finds and checks. One per engine."""

    def __init__(self, parts: EngineParts, refusing: Refusing, steps: Steps, waiters: Waiters, contactless: Contactless) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._clock = parts.clock
        self._refusing = refusing
        self._steps = steps
        self._waiters = waiters
        self._contactless = contactless
        self._finding = Finding(parts, steps)
        self._writes = PasswordWrites(parts)
        self._strong_first = StrongFirst(parts, refusing)
        self._subjects: dict[tuple[str, str], SubjectId] = {}

    async def prove(self, attempt: Attempt) -> Candidate | Challenge | Denied:
        """Who proved his first factor, or is asked for a strong one before it. Raises Overloaded and StorageUnavailable."""
        found = await self._finding.find(attempt)
        try:
            if found.down is not None:
                return await self._while_down(attempt, found, found.down)
            candidate = await self._admitted(attempt, await self.look(attempt, found))
            if not isinstance(candidate, Candidate) or candidate.lane == STRONG_FIRST:
                return candidate
            if self._remembers(candidate, attempt.request.password) and not await self._is_old(attempt, candidate):
                attempt.request.trail.note("password verified a short while ago")
                return candidate
            return await self._check(attempt, candidate)
        except DirectoryUnavailable as error:
            attempt.request.trail.note("directory did not answer", error=error.message)
            return self._refusing.down(attempt)

    async def known(self, attempt: Attempt) -> Candidate | None:
        """Whose name it is, where his account is open and no brake holds: for who shows a proof of before instead of a password."""
        found = await self._finding.find(attempt)
        user = found.user
        if user is None or user.state is not AccountState.ACTIVE or user.must_change:
            return None
        if user.password_expires_at is not None and user.password_expires_at <= attempt.now:
            return None
        candidate = await self.look(attempt, found)
        settings = attempt.configuration.brakes
        hold = await brakes.held_by(self._storage, candidate.keys, candidate.seen, settings, attempt.now_ms)
        return candidate if hold is None and candidate.subject_id is not None else None

    async def find(self, attempt: Attempt) -> Found:
        """Whose name it is."""
        return await self._finding.find(attempt)

    async def look(self, attempt: Attempt, found: Found) -> Candidate:
        """Read what storage knows about who it may be, in one go where the subject is remembered.

        Whom it remembers is only asked for sooner: the link is read with the rest, and decides.
        """
        user, directory = found.user, found.directory
        if user is None:
            keys = self._brake_keys(attempt, None, None)
            return Candidate(directory, None, None, keys, brakes.seen(await self._storage.read(brakes.asked(keys))))
        began = self._steps.begin()
        account = (user.directory, user.immutable_id)
        remembered, link = self._subjects.get(account), link_of(*account)
        if remembered is not None:
            keys = self._brake_keys(attempt, user, remembered)
            own = self._contactless.asked(remembered)
            kept, linked, *rows = await self._storage.read([kept_authenticators(remembered), link, *brakes.asked(keys), *own])
            contacts = rows.pop() if own else []
            if own:
                self._contactless.read(remembered, contacts)
            if subject_in(linked) == remembered:
                self._steps.end(STORAGE_READ, began)
                active, held = active_and_held(kept)
                seen = brakes.seen(rows)
                return Candidate(directory, user, remembered, keys, seen, active, held, contacts, known=found.known)
            self._subjects.pop(account, None)
        subject_id = subject_in(*await self._storage.read([link]))
        keys = self._brake_keys(attempt, user, subject_id)
        whose = subject_id or NO_SUBJECT
        kept, contacts, *rows = await self._storage.read([kept_authenticators(whose), kept_contacts(whose), *brakes.asked(keys)])
        self._remember_subject(account, subject_id)
        self._steps.end(STORAGE_READ, began)
        active, held = active_and_held(kept)
        return Candidate(directory, user, subject_id, keys, brakes.seen(rows), active, held, contacts, known=found.known)

    def _remember_subject(self, account: tuple[str, str], subject_id: SubjectId | None) -> None:
        if subject_id is None:
            return
        if len(self._subjects) >= MAX_KNOWN_SUBJECTS:
            del self._subjects[next(iter(self._subjects))]
        self._subjects[account] = subject_id

    def _brake_keys(self, attempt: Attempt, user: DirectoryUser | None, subject_id: SubjectId | None) -> brakes.BrakeKeys:
        name, origin = f"{attempt.realm.name}:{attempt.name}", attempt.request.origin
        if user is None:
            return brakes.brake_keys(self._parts.ring(), name, origin.client, origin.binding, of_name=True)
        who = subject_id or f"{user.directory}:{user.immutable_id}"
        return brakes.brake_keys(self._parts.ring(), who, origin.client, origin.binding, typed=name)

    async def _admitted(self, attempt: Attempt, candidate: Candidate, asks: bool = True) -> Candidate | Challenge | Denied:
        """The candidate whom no brake holds. Where a token was taken for him, it goes back with the password that was right.

        `asks`: nothing is proved yet, so that a strong factor may be asked for first.
        """
        settings = attempt.configuration.brakes
        keys = await brakes.admit(self._storage, candidate.keys, candidate.seen, settings, attempt.now_ms)
        if isinstance(keys, brakes.Hold):
            own = await self._in_own_browser(attempt, candidate)
            if own is not None:
                return own
            if keys.asks_first and keys.told and not keys.strong_opens and _brings_both(attempt):
                return await self._in_lane(attempt, candidate, keys)
            counted = self._refusing.counts_held(attempt, keys)
            proved = await self.spend_strong(attempt, candidate) if counted and keys.strong_opens else ""
            if proved:
                return replace(candidate, proved=proved, opened=keys)
            asked = await self._strong_first.ask(attempt, candidate, keys) if asks else None
            if asked is not None:
                return asked
            return await self._refusing.held(attempt, candidate, keys, counted)
        if keys.taken:
            candidate = replace(candidate, keys=keys, back=brakes.give_back(keys, settings, attempt.now_ms))
        failed = candidate.seen.user
        return await self._before_directory(attempt, candidate) if asks and failed and failed["failures"] else candidate

    async def _in_lane(self, attempt: Attempt, candidate: Candidate, hold: brakes.Hold) -> Candidate | Denied:
        """Judge password and code that came together where this name waits at this address: the code first, by the lane's tries.

        Whatever is wrong hears the wait that whoever brings no code hears.
        """
        keys = lane_keys(self._parts.ring(), attempt, candidate)
        lane = replace(candidate, keys=keys, lane=STRONG_FIRST, opened=hold)
        closed = await brakes.holding(self._storage, keys, attempt.configuration.brakes, attempt.now_ms)
        if closed is not None or await self._reserve(attempt, keys, None) is None:
            return await self._refusing.held(attempt, candidate, hold)
        try:
            proved = "" if hold.decoy else await self.spend_strong(attempt, lane)
            if proved:
                return await self.judge_proved(attempt, replace(lane, proved=proved))
            await self.pass_time(attempt, lane)
            return await self.wrong(attempt, lane, "code_wrong", ())
        finally:
            self._waiters.wake(keys.user_source)

    async def _before_directory(self, attempt: Attempt, candidate: Candidate) -> Candidate | Challenge:
        """The candidate, unless strangers at this name are kept from the directory: they are asked for a strong factor first."""
        asked = await self._strong_first.ask_before_directory(attempt, candidate)
        if asked is None:
            return candidate
        own = await self._in_own_browser(attempt, candidate)
        if own is None:
            await self._unused(candidate)
        return own or asked

    async def _in_own_browser(self, attempt: Attempt, candidate: Candidate) -> Candidate | None:
        """Whoever comes from a browser that its person trusts, where a brake holds: only his own failures in it hold him."""
        shown = await self._own_device(attempt, candidate)
        if shown is None:
            return None
        keys = device_keys(self._parts.ring(), candidate.subject_id or "", f"{attempt.realm.name}:{attempt.name}", shown)
        seen = brakes.seen(await self._storage.read(brakes.asked(keys)), keys.known)
        hold = await brakes.held_by(self._storage, keys, seen, attempt.configuration.brakes, attempt.now_ms)
        if hold is not None:
            attempt.request.trail.note("too many failures in the person's own browser", brake=hold.reason)
            return None
        attempt.request.trail.note("a brake holds strangers; this is the person's own browser", device=shown.id)
        return replace(candidate, keys=keys, seen=seen, lane=OWN_DEVICE)

    async def _own_device(self, attempt: Attempt, candidate: Candidate) -> Shown | None:
        value, subject_id = attempt.request.device, candidate.subject_id
        if value is None or subject_id is None:
            return None
        return await own_device(self._parts, value, subject_id, attempt.now_ms)

    async def _is_no_stranger(self, attempt: Attempt, candidate: Candidate) -> bool:
        """Whether this is an address or a browser from which the person was let in before. An address of a whole NAS is neither."""
        keys = candidate.keys
        if candidate.lane == OWN_DEVICE or (keys.source is not None and is_known_source(candidate.seen.pair, attempt.now_ms)):
            return True
        return await self._own_device(attempt, candidate) is not None

    def _remembers(self, candidate: Candidate, password: Secret | None) -> bool:
        user, directory = candidate.user, candidate.directory
        if user is None or directory is None or password is None or user.state is not AccountState.ACTIVE:
            return False
        return _can_remember(directory) and directory.remembers(user, password)

    # --- reserving -----------------------------------------------------------------------------------------------

    async def _check(self, attempt: Attempt, candidate: Candidate) -> Candidate | Denied:
        """Check the password, or only the account where the NAS vouches for it; an attempt is reserved first.

        Where no place is left to wait for the check, nothing is reserved: a flood of new names would leave a row for each.
        """
        origin, user, password = attempt.request.origin, candidate.user, attempt.request.password
        if password is not None and self._parts.refuses_check(brakes.asker(origin.client, origin.binding)):
            await self._unused(candidate)
            raise Overloaded("too many passwords wait to be checked")
        # An empty password is wrong without asking anybody.
        account = bind_brake.bind_key(self._parts.ring(), user, candidate.keys.user) if user is not None and password else None
        places = await self._reserve(attempt, candidate.keys, account)
        if places is None:
            return await self._no_place(attempt, candidate)
        try:
            return await self._judge(attempt, candidate, places, account)
        finally:
            # Whatever came of it is written by now: the place is free, or nobody gets one any more.
            self._waiters.wake(candidate.keys.user_source)
            if account is not None:
                self._waiters.wake(account.key)

    async def _no_place(self, attempt: Attempt, candidate: Candidate) -> Denied:
        settings = attempt.configuration.brakes
        hold = await brakes.holding(self._storage, candidate.keys, settings, self._clock.now_ms())
        # What filled the places may be guesses at another name of this person: only what is stored may be told.
        hold = hold or brakes.Hold("brake_user_source", settings.user_source_wait_s, told=False)
        if hold.told:
            await self._unused(candidate)
        return await self._refusing.held(attempt, candidate, hold)

    async def _unused(self, candidate: Candidate) -> None:
        """Give back the tokens of an attempt that is not judged: a flood of those must not empty what is for failures."""
        if candidate.back:
            await self._storage.commit(candidate.back)

    async def _reserve(self, attempt: Attempt, keys: brakes.BrakeKeys, account: BindKey | None) -> _Places | None:
        """Reserve an attempt; while others of this user and source are being judged, wait a little for their outcome.

        Where the directory locks, a check at the account as well, with the same commit: the one is not reserved without the other.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + RESERVE_WAIT_S
        settings, taken = attempt.configuration.brakes, False
        while True:
            now_ms = self._clock.now_ms()
            unit: list[Operation] = [] if taken else [brakes.reserve(keys, settings, now_ms, refuse=account is not None)]
            if account is not None:
                unit.append(bind_brake.reserve(account, now_ms))
            commit = await self._storage.commit(unit)
            reservation = await self._reservation(commit, keys, settings, now_ms, taken)
            left_s = until - loop.time()
            if reservation == brake_changes.Reservation.TAKEN and isinstance(commit, Committed):
                taken = True
                places = _places(account, commit.results[-1])
                if places is not None or left_s <= 0:
                    return places or _Places(full=True)
            elif reservation == brake_changes.Reservation.LOCKED or left_s <= 0:
                # No use for the place that one was called to: the next may have one, or has to hear the same.
                self._waiters.wake(keys.user_source)
                return None
            key = account.key if taken and account is not None else keys.user_source
            await self._waiters.wait(key, min(RESERVE_AGAIN_S, left_s))

    async def _reservation(
        self, commit: Committed | Refused, keys: brakes.BrakeKeys, settings: BrakeSettings, now_ms: int, taken: bool
    ) -> object:
        if isinstance(commit, Committed):
            return brake_changes.Reservation.TAKEN if taken else commit.results[0]
        hold = await brakes.holding(self._storage, keys, settings, now_ms)
        return brake_changes.Reservation.LOCKED if hold is not None else brake_changes.Reservation.BUSY

    # --- judging -------------------------------------------------------------------------------------------------

    async def judge_proved(self, attempt: Attempt, candidate: Candidate) -> Candidate | Denied:
        """Check the password of who has proved a strong factor, by the tries of an account that are kept for that."""
        user = candidate.user
        usual = candidate.keys.beside or candidate.keys
        account = bind_brake.bind_key(self._parts.ring(), user, usual.user) if user is not None else None
        try:
            return await self._judge(attempt, candidate, _Places(), account)
        finally:
            if account is not None:
                self._waiters.wake(account.key)

    async def pass_time(self, attempt: Attempt, candidate: Candidate) -> None:
        """Take as long as a check of the password would."""
        password, origin, directory = attempt.request.password, attempt.request.origin, candidate.directory
        if password is not None and directory is not None:
            asker = brakes.asker(origin.client, origin.binding)
            await directory.check_nobody(password, self._parts.directory_timeout_s, asker)

    async def _judge(self, attempt: Attempt, candidate: Candidate, places: _Places, account: BindKey | None) -> Candidate | Denied:
        trail, user = attempt.request.trail, candidate.user
        bind, proved, asked = places.bind, candidate.proved, False
        began = self._steps.begin()
        try:
            if bind is not None and await self._overdraws(candidate, bind, proved=False):
                bind = await self._give_up(bind)
            if account is not None and bind is None:
                bind, proved = await self._code_first(attempt, candidate, account)
                if bind is not None and await self._overdraws(candidate, bind, proved=True):
                    bind = await self._give_up(bind)
            kept_away, asked = account is not None and bind is None, True
            verdict = await self._verdict(attempt, candidate, kept_away)
            if (verdict is PasswordVerdict.RIGHT or verdict.asks_for_change) and await self._is_old(attempt, candidate):
                verdict = PasswordVerdict.WRONG
        except UnavailableError as error:
            unit: list[Operation] = [*candidate.back, brakes.settle_right(candidate.keys, attempt.now_ms)]
            if bind is not None and (not asked or isinstance(error, Overloaded)):
                unit.append(bind_brake.settle(bind, Checked.NOT_COUNTED, attempt.now_ms))
            # A check that the directory left unanswered may have failed: it stays reserved, and then counts.
            await self._storage.commit(unit)
            raise
        finally:
            if candidate.directory is not None:
                self._steps.end_directory(PASSWORD_CHECK, candidate.directory.name, "check", began)
        if kept_away:
            trail.note("kept from the directory, which would soon lock the account", verdict="not asked")
            # One that is locked there already is not kept from a lock.
            locked = user is not None and user.state is AccountState.LOCKED
            return await self.wrong(attempt, candidate, "account_locked" if locked else "brake_directory", ())
        checked = "password checked" if attempt.request.password is not None else "password checked elsewhere"
        trail.note(checked, verdict=verdict.value if user else None)
        reason = _refusal_reason(user, verdict)
        usable = user is not None and user.state is AccountState.ACTIVE
        if usable and (verdict is PasswordVerdict.RIGHT or verdict.asks_for_change):
            settled = _settled(bind, verdict, attempt.now_ms)
            back = (*candidate.back, brakes.settle_right(candidate.keys, attempt.now_ms), *settled)
            return replace(candidate, back=back, proved=proved, refusal=reason if verdict.asks_for_change else "")
        return await self.wrong(attempt, candidate, reason, _settled(bind, verdict, attempt.now_ms))

    async def _overdraws(self, candidate: Candidate, bind: Bind, proved: bool) -> bool:
        """Whether the directory, asked after the reservation, tells more than it told before. Only where something had failed."""
        user, directory = candidate.user, candidate.directory
        if not bind.failures or user is None or directory is None:
            return False
        now = await directory.get(user.immutable_id, self._parts.directory_timeout_s)
        return bind.overdraws(now.lockout if now is not None else None, proved)

    async def _give_up(self, bind: Bind) -> Bind | None:
        """The place is another's; what is left is none."""
        await self._storage.commit([bind_brake.settle(bind, Checked.NOT_COUNTED, self._clock.now_ms())])
        return None

    async def _code_first(self, attempt: Attempt, candidate: Candidate, account: BindKey) -> tuple[Bind | None, str]:
        """Strangers have used up their tries: who proves a strong factor first, or is none, has one of those that were kept back.

        The code is spent with the reservation, so that it opens this door once, whatever the password turns out to be.
        """
        place = bind_brake.reserve(account, self._clock.now_ms(), proved=True, refuse=True)
        if candidate.proved:
            commit = await self._storage.commit([place])
            return (bind_brake.reserved(account, commit.results[-1]) if isinstance(commit, Committed) else None), candidate.proved
        for kind, claim in self._proofs(attempt, candidate):
            commit = await self._storage.commit([*claim, place])
            if isinstance(commit, Committed):
                attempt.request.trail.note("the code was right: the password is checked after all", factor=kind)
                return bind_brake.reserved(account, commit.results[-1]), kind
        if await self._is_no_stranger(attempt, candidate):
            commit = await self._storage.commit([place])
            if isinstance(commit, Committed):
                attempt.request.trail.note("strangers are kept from the directory, and this is none: the password is checked")
                return bind_brake.reserved(account, commit.results[-1]), ""
        return None, ""

    async def spend_strong(self, attempt: Attempt, candidate: Candidate) -> str:
        """The strong factor that the code beside the password proves, which is spent by it; empty when it proves none."""
        for kind, claim in self._proofs(attempt, candidate):
            if isinstance(await self._storage.commit(claim), Committed):
                attempt.request.trail.note(
                    "a brake holds, and the code was right: the password is checked all the same", factor=kind
                )
                return kind
        return ""

    def _proofs(self, attempt: Attempt, candidate: Candidate) -> Iterator[tuple[str, tuple[Operation, ...]]]:
        """The strong factors that the code proves, each with what spends it."""
        code, subject_id, user = attempt.request.code, candidate.subject_id, candidate.user
        if not code or subject_id is None or user is None or len(code.reveal()) > MAX_ANSWER_BYTES:
            return
        trail = attempt.request.trail
        trail.transaction_id = trail.transaction_id or new_transaction_id()
        task = Task(trail.transaction_id, self._clock.now(), attempt.configuration.codes, self._parts.ring())
        holder = holder_of(self._parts.ring(), subject_id, user, candidate.active, candidate.held)
        for factor in SECOND_FACTORS:
            if not factor.strong or factor.channel is not None or not factor.enrolled(holder):
                continue
            verdict = factor.verify(holder, task, {}, code.reveal())
            if isinstance(verdict, Right) and verdict.claim:
                yield factor.kind, tuple(verdict.claim)

    async def _verdict(self, attempt: Attempt, candidate: Candidate, kept_away: bool) -> PasswordVerdict:
        password, origin = attempt.request.password, attempt.request.origin
        user, directory = candidate.user, candidate.directory
        if password is None:
            return PasswordVerdict.RIGHT if user is not None else PasswordVerdict.WRONG
        if directory is None:
            # No directory can hold such a name, which everybody may know.
            return PasswordVerdict.WRONG
        asker, timeout_s = brakes.asker(origin.client, origin.binding), self._parts.directory_timeout_s
        if user is None or kept_away:
            # Who is kept from the directory takes as long as who does not exist, and counts as little there.
            await directory.check_nobody(password, timeout_s, asker)
            return PasswordVerdict.WRONG
        return await directory.check_password(user, password, timeout_s, asker)

    async def _is_old(self, attempt: Attempt, candidate: Candidate) -> bool:
        """Whether a right password is the one before the present one, which some directories take for a while."""
        password, user = attempt.request.password, candidate.user
        if password is None or user is None or not await self._writes.is_old(candidate.directory, user, password):
            return False
        attempt.request.trail.note("this is the password of before, which the directory still takes")
        return True

    async def wrong(self, attempt: Attempt, candidate: Candidate, reason: str, settled: Sequence[Operation]) -> Denied:
        """Unknown, disabled and wrong are one path with one text; only audit and timeline know which."""
        refusal = await self._refusing.wrong(attempt, candidate, reason)
        settle = brakes.settle_wrong(candidate.keys, attempt.configuration.brakes, attempt.now_ms, reserved=True)
        lockout = bind_brake.usual_lockout(attempt.realm.directories) if attempt.request.password else None
        if lockout is not None and candidate.lane != STRONG_FIRST:
            settle.append(bind_brake.count_name(candidate.keys, lockout, attempt.now_ms))
        await self._refusing.record_unproved(attempt, candidate, [*settle, *settled], refusal)
        return refusal

    # --- while a directory is down -------------------------------------------------------------------------------

    async def _while_down(self, attempt: Attempt, found: Found, error: DirectoryUnavailable) -> Candidate | Challenge | Denied:
        """Whose name it may be, nobody can tell: all hear the same. Who was let in a short while ago may be let in by grace.

        Guesses are reserved and counted for the name, whosever it is: what is remembered must not be guessed at without end. The
        count shows in nothing but the grace.
        """
        trail, password, directory = attempt.request.trail, attempt.request.password, found.directory
        trail.note("directory did not answer", error=error.message)
        if directory is None or not password or not isinstance(directory, PasswordGrace) or attempt.request.goal is not Goal.LOGIN:
            return self._refusing.down(attempt)
        keys, settings = self._down_keys(attempt), attempt.configuration.brakes
        if await brakes.holding(self._storage, keys, settings, attempt.now_ms) is not None:
            return self._refusing.down(attempt)
        if await self._reserve(attempt, keys, None) is None:
            return self._refusing.down(attempt)
        try:
            remembered = (directory.remembered_while_down(name, password) for name in attempt.names)
            user = next((each for each in remembered if each is not None), None)
            if user is None or user.protected or user.must_change or user.state is not AccountState.ACTIVE:
                await self._storage.commit(brakes.settle_wrong(keys, settings, attempt.now_ms, reserved=True))
                return self._refusing.down(attempt)
            trail.note("the directory is down: let go on by its grace", directory=directory.name)
            candidate = await self.look(attempt, Found(directory, user, found.known))
            if await self._is_old(attempt, candidate):
                await self._storage.commit(brakes.settle_wrong(keys, settings, attempt.now_ms, reserved=True))
                return self._refusing.down(attempt)
            back = brakes.settle_right(keys, attempt.now_ms)
            admitted = await self._admitted(attempt, candidate, asks=False)
            if not isinstance(admitted, Candidate):
                await self._storage.commit([back])
                return admitted
            return replace(admitted, back=(*admitted.back, back), grace=True)
        finally:
            self._waiters.wake(keys.user_source)

    def _down_keys(self, attempt: Attempt) -> brakes.BrakeKeys:
        """Rows of their own: what is counted while nobody can say who exists must not tell it when the directory is back."""
        origin = attempt.request.origin
        name = f"{attempt.realm.name}:{attempt.name}\0down"
        keys = brakes.brake_keys(self._parts.ring(), name, origin.client, origin.binding, of_name=True)
        return replace(keys, source=None, wide=None)


def _brings_both(attempt: Attempt) -> bool:
    """Whether password and code came in one request."""
    return bool(attempt.request.password) and bool(attempt.request.code)


def _places(account: BindKey | None, result: object) -> _Places | None:
    """What a commit reserved. None: the account's places are taken by checks that are under way; ask again in a moment."""
    if account is None:
        return _Places()
    if result == bind_brake.BUSY:
        return None
    bind = bind_brake.reserved(account, result)
    return _Places(bind, full=bind is None)


def _settled(bind: Bind | None, verdict: PasswordVerdict, now_ms: int) -> tuple[Operation, ...]:
    """What the account's own brake learns from a verdict: only a wrong password counts at the directory too."""
    if bind is None:
        return ()
    checked = {PasswordVerdict.RIGHT: Checked.RIGHT, PasswordVerdict.WRONG: Checked.WRONG}.get(verdict, Checked.NOT_COUNTED)
    return (bind_brake.settle(bind, checked, now_ms),)


def _refusal_reason(user: DirectoryUser | None, verdict: PasswordVerdict) -> str:
    if user is None:
        return "user_unknown"
    if verdict is PasswordVerdict.WRONG:
        return "password_wrong"
    if user.state is not AccountState.ACTIVE:
        return f"account_{user.state.value}"
    return _REASONS.get(verdict, "")


def _can_remember(directory: Directory) -> TypeGuard[PasswordRemembering]:
    return _kind_can_remember(type(directory))


@lru_cache(maxsize=64)
def _kind_can_remember(kind: type) -> bool:
    """Asked once for each kind of directory: the answer takes as long as the whole check of what is remembered."""
    return issubclass(kind, PasswordRemembering)
