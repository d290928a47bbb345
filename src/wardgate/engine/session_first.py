"""A login by the session that a browser has: what was proved for one application counts for another, as that one's policy says.

A session is a set of dated proofs of before. The policy of the application that is asked for now ages them (`lifetimes`: how long a
session lasts there, how long it may rest, how old a proof may be) and weighs them against the steps of its own plan; what is
missing is asked for, and nothing else. The account, its freeze and the policy are looked at anew. A password that is missing or too
old is not asked for in the middle of a login: then the person signs in again, and so he does before anything that policy demands
first, for at an unlocked computer a session says little about who sits there.

What is granted by a session alone forgets no failures, opens no questions and teaches no habits: nobody has proved anything now.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.subject import account_named, accounts_in, accounts_of
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.engine import brakes
from wardgate.engine.answering import USER_VERIFIED
from wardgate.engine.attempt import Attempt, Candidate
from wardgate.engine.finding import login_name
from wardgate.engine.holders import Contactless
from wardgate.engine.outcome import Denied, Granted, Origin
from wardgate.engine.passkey_first import takes_passkeys
from wardgate.engine.refusing import Refusing
from wardgate.engine.request import BeginRequest
from wardgate.engine.rounds import PASSKEY
from wardgate.engine.runtime import EngineParts
from wardgate.engine.steps import STORAGE_READ, Steps
from wardgate.engine.terms import Terms
from wardgate.engine.trusted import TRUSTED_DEVICE
from wardgate.errors import DirectoryUnavailable
from wardgate.factors import KERBEROS, KINDS, PASSWORD
from wardgate.policy.plan import Plan
from wardgate.session.sessions import CLOCK_STEP_MS, Session, Whose
from wardgate.storage.port import Operation
from wardgate.texts import Text
from wardgate.values import quick_value

# Why a session is not enough. The first: it is over, whatever its row says. The second: its person signs in again. The third: he
# would have to be asked for something, which may not be done. Then: it was ended, or what it was for was taken, meanwhile. And the
# last: the application cannot be told what it asked for.
SESSION_OVER: Final = "session_over"
SIGN_IN_AGAIN: Final = "session_too_old"
MORE_NEEDED: Final = "session_not_enough"
SESSION_GONE: Final = "session_gone"
NOT_TAKEN: Final = "session_not_taken"
SESSION_REASONS: Final = frozenset({SESSION_OVER, SIGN_IN_AGAIN, MORE_NEEDED, SESSION_GONE, NOT_TAKEN})
# The directory's clock may be ahead of ours where a new password was chosen in the login that the session began with.
CLOCK_SLACK: Final = timedelta(seconds=60)
_OF_A_PASSWORD: Final = frozenset({PASSWORD, KERBEROS})
_COUNTED: Final = frozenset({*KINDS, KERBEROS, USER_VERIFIED})


@quick_value
class SessionRequest:
    """A login for an application by a session.

    `fresh_after`: milliseconds; what was proved before then counts for nothing; 0: as policy ages it. `asked`: what the application
    asks for beside its policy, each a choice of factors. `can_challenge`: False: nobody may be asked for anything. `writes`: what a
    grant writes besides, and what must hold for it, above all that the session is still there; None where whoever asks cannot take
    this grant, which then is none.
    """

    application: str
    session: Session
    origin: Origin
    trail: Trail
    fresh_after: int = 0
    asked: tuple[tuple[str, ...], ...] = ()
    can_challenge: bool = True
    writes: Callable[[Granted], Sequence[Operation] | None] = lambda _: ()


@quick_value
class BySession:
    """Whose session it is, as his account is now. `enrolled`: what he can prove something with was read."""

    attempt: Attempt
    candidate: Candidate
    enrolled: bool


class SessionFirst:
    """Finds whose session it is."""

    def __init__(self, parts: EngineParts, refusing: Refusing, steps: Steps, contactless: Contactless) -> None:
        self._parts = parts
        self._refusing = refusing
        self._steps = steps
        self._contactless = contactless

    async def prove(self, request: SessionRequest) -> BySession | Denied:
        """Who it is; refused where the account is not what it was."""
        configuration, whose = self._parts.configuration(), request.session.whose
        request.trail.application, request.trail.user = request.application, whose.user_name
        application = configuration.applications.get(request.application)
        realm = configuration.realms.called(whose.realm)
        if application is None or realm is None:
            return session_denied(request, "no_rule" if application is None else SESSION_OVER)
        name = login_name(configuration.realms, whose.realm, whose.user_name)
        begin = BeginRequest(request.application, name, request.origin, request.trail, None, asked=request.asked)
        now = self._parts.clock.now()
        # The name was not typed, so nothing is remembered of it as of a typed one.
        attempt = Attempt(begin, configuration, application, realm, (whose.user_name,), now, to_ms(now))
        enrolled = request.can_challenge or application.policy.reads_enrolled
        try:
            candidate = await self._found(attempt, whose, enrolled)
        except DirectoryUnavailable as error:
            request.trail.note("directory did not answer", error=error.message)
            return self._refusing.down(attempt)
        user = candidate.user
        if user is None or user.state is not AccountState.ACTIVE or _must_choose_password(user, attempt):
            request.trail.note("the account is not what it was", state=user.state.value if user is not None else "gone")
            return session_denied(request, SESSION_OVER)
        return BySession(attempt, candidate, enrolled)

    async def _found(self, attempt: Attempt, whose: Whose, enrolled: bool) -> Candidate:
        """By the immutable id of the link: a new person with an old name has no session.

        `enrolled`: what he can prove something with is read, because policy asks for it or he may be asked for it. Brakes hold no
        grant by a session, so they are read where a score looks at them, or before somebody is asked for something.
        """
        directory = attempt.realm.directory(whose.directory)
        subject_id, origin = whose.subject_id, attempt.request.origin
        name = f"{attempt.realm.name}:{attempt.name}"
        keys = brakes.brake_keys(self._parts.ring(), subject_id, origin.client, origin.binding, typed=name)
        finds = [accounts_of(subject_id, whose.directory)]
        own = self._contactless.asked(subject_id) if enrolled else []
        finds += [kept_authenticators(subject_id), *own] if enrolled else []
        finds += brakes.asked(keys) if attempt.configuration.risk is not None else []
        began = self._steps.begin()
        linked, *rows = await self._parts.storage.read(finds)
        self._steps.end(STORAGE_READ, began)
        active, held = active_and_held(rows.pop(0)) if enrolled else ([], [])
        contacts = rows.pop(0) if own else []
        if own:
            self._contactless.read(subject_id, contacts)
        immutable_ids, user = accounts_in(linked), None
        if directory is not None:
            user = await account_named(directory, immutable_ids, whose.user_name, self._parts.directory_timeout_s)
        return Candidate(directory, user, subject_id, keys, brakes.seen(rows) if rows else brakes.NOT_READ, active, held, contacts)


def session_denied(request: SessionRequest, reason: str, text: Text | None = None) -> Denied:
    """A session is not enough, and nothing is written of it: whoever brings it has proved nothing wrong."""
    trail = request.trail
    trail.result, trail.reason = "denied", reason
    text = text or Text("flow.unknown", {"ref": trail.reference})
    return Denied(reason, text, request.origin.language or request.session.whose.language, trail.reference)


def aged(session: Session, plan: Plan, terms: Terms, user: DirectoryUser, now_ms: int, fresh_after: int = 0) -> Mapping[str, int]:
    """The proofs of a session that are not too old for this plan, each with its date.

    A password that was changed since proves nothing any more, where the directory tells when. A trusted device is dated by when it
    was trusted, and has a life of its own. A ticket says what the computer was told this morning: for whoever wants a proof of now
    it is none, however late it was shown.
    """
    if terms.idle_s is not None and session.rested_ms > terms.idle_s * 1000:
        return {}
    lives = [life for life in (terms.session_s, plan.lifetimes.reauthentication_s) if life is not None]
    oldest = max(fresh_after, now_ms - min(lives) * 1000) if lives else fresh_after
    changed, newest = user.password_changed_at, now_ms + CLOCK_STEP_MS
    none = KERBEROS if fresh_after else ""
    good = {kind: at for kind, at in session.proofs.items() if kind in _COUNTED and kind != none and oldest <= at <= newest}
    if changed is not None:
        since = to_ms(changed - CLOCK_SLACK)
        good = {kind: at for kind, at in good.items() if kind not in _OF_A_PASSWORD or at >= since}
    trusted_at, trusted_ms = session.proofs.get(TRUSTED_DEVICE, 0), plan.lifetimes.trusted_device_s * 1000
    if plan.strong_factors == 0 and max(fresh_after, now_ms - trusted_ms) < trusted_at:
        good[TRUSTED_DEVICE] = trusted_at
    return good


def unmet(plan: Plan, counted: Mapping[str, int], asked: Sequence[Sequence[str]] = ()) -> tuple[tuple[str, ...], ...]:
    """The steps of a plan that these proofs leave open, each proof being one step.

    A passkey that a PIN or finger unlocked counts as two, and as the password too where it is all that the plan asks for besides,
    as it does at a sign-in. A trusted device spares what follows the password, but nothing that the application asks for by name.
    """
    twofold = PASSKEY in counted and USER_VERIFIED in counted
    kinds = [kind for kind in counted if kind not in (USER_VERIFIED, TRUSTED_DEVICE)] + [PASSKEY] * twofold
    wants_password = any(PASSWORD in each for each in asked)
    if twofold and not wants_password and takes_passkeys(plan) and len(plan.steps) <= 2:
        return ()
    left = _left(plan.steps, kinds)
    if TRUSTED_DEVICE in counted and not asked and not any(PASSWORD in step for step in left):
        return ()
    return left


def with_asked(
    steps: tuple[tuple[str, ...], ...], asked: Sequence[Sequence[str]], never: Collection[str] = ()
) -> tuple[tuple[str, ...], ...]:
    """The steps of a plan with what the application asks for: the step that takes it takes nothing else, or it is one step more.

    `never`: what the plan lets nobody prove anything by. Where that is all that is asked for, nobody meets the step.
    """
    for wanted in asked:
        at = next((number for number, step in enumerate(steps) if not set(step).isdisjoint(wanted)), None)
        if at is None:
            steps = (*steps, tuple(kind for kind in wanted if kind not in never))
        else:
            steps = (*steps[:at], tuple(kind for kind in steps[at] if kind in wanted), *steps[at + 1 :])
    return steps


def _left(steps: Sequence[tuple[str, ...]], kinds: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """As few steps as any order of the proofs leaves. Of both there are a handful."""
    if not steps:
        return ()
    best = (steps[0], *_left(steps[1:], kinds))
    for number, kind in enumerate(kinds):
        if kind in steps[0]:
            left = _left(steps[1:], [*kinds[:number], *kinds[number + 1 :]])
            best = left if len(left) < len(best) else best
    return best


def _must_choose_password(user: DirectoryUser, attempt: Attempt) -> bool:
    ends_at = user.password_expires_at
    return user.must_change or (ends_at is not None and ends_at <= attempt.now)
