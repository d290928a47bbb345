"""A login that begins with a passkey: nobody has said who he is, the passkey does.

The question is no row: it carries its own time and a mark of the browser that it was asked of, and the login that it opens writes
down that it was used. Nothing is counted for a passkey that is not known here; wrong signatures are, of each passkey and of each
source. What others guess of the person's password does not stop his passkey.
"""

from dataclasses import replace
from typing import Final

from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.subject import SubjectId
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import KeyRing, random_bytes, same
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.directory.realm import Realm
from wardgate.engine import brakes
from wardgate.engine.attempt import Attempt, Candidate
from wardgate.engine.finding import Found
from wardgate.engine.first_factor import FirstFactor
from wardgate.engine.outcome import Denied, Origin
from wardgate.engine.recording import Recording
from wardgate.engine.refusing import Refusing
from wardgate.engine.request import BeginRequest
from wardgate.engine.runtime import EngineParts
from wardgate.engine.transaction import Handle, handle_mac, used_handle
from wardgate.errors import DirectoryUnavailable
from wardgate.factors import PASSWORD
from wardgate.factors.passkey import CHALLENGE_BYTES, PasskeyFactor, Shown, encoded, judge, passkey_of, read_shown
from wardgate.factors.port import Right
from wardgate.policy.plan import Plan
from wardgate.storage.port import Operation, Where
from wardgate.texts import Text
from wardgate.values import quick_value

# A page that stood open longer is asked anew by its script.
CHALLENGE_LIFE_MS: Final = 600_000
CLOCK_STEP_MS: Final = 10_000
_TIME_BYTES: Final = 6
_MARK_BYTES: Final = 16
MAX_LINKS: Final = 20
# Of what brakes hold for, what stops a passkey: wrong signatures from this very source.
_STOPPING: Final = ("brake_user_source", "brake_source")


@quick_value
class PasskeyRequest:
    """What a browser brought back for a question of `new_challenge`. `asked`: as of a `BeginRequest`."""

    application: str
    shown: bytes
    origin: Origin
    trail: Trail
    asked: tuple[tuple[str, ...], ...] = ()


@quick_value
class ByPasskey:
    """Who proved his passkey, and what using it writes."""

    attempt: Attempt
    candidate: Candidate
    verdict: Right
    claim: tuple[Operation, ...]


def new_challenge(ring: KeyRing, binding: str, now_ms: int) -> str:
    """A question for the browser of this binding: its time, chance, and our mark on both."""
    head = now_ms.to_bytes(_TIME_BYTES, "big") + random_bytes(CHALLENGE_BYTES - _TIME_BYTES - _MARK_BYTES)
    return encoded(head + _mark(ring, binding, head))


def is_ours(ring: KeyRing, challenge: bytes, binding: str, now_ms: int) -> bool:
    """Whether we asked this, of this browser, a short while ago."""
    if len(challenge) != CHALLENGE_BYTES:
        return False
    head, mark = challenge[:-_MARK_BYTES], challenge[-_MARK_BYTES:]
    age_ms = now_ms - int.from_bytes(head[:_TIME_BYTES], "big")
    return same(mark, _mark(ring, binding, head)) and -CLOCK_STEP_MS <= age_ms < CHALLENGE_LIFE_MS


def suffices(plan: Plan, verdict: Right) -> bool:
    """Whether this passkey is all that the plan asks for. Unlocked by PIN or finger it counts as two, and so as the password."""
    return takes_passkeys(plan) and len(plan.steps) <= (2 if verdict.twofold else 1)


def takes_passkeys(plan: Plan) -> bool:
    """Whether a passkey may prove every step but the password's. It never stands for the password alone: no rule said so."""
    steps = [step for step in plan.steps if PASSWORD not in step]
    return bool(steps) and all(PasskeyFactor.kind in step for step in steps)


class PasskeyFirst:
    """Finds whose passkey was shown, and judges it."""

    def __init__(self, parts: EngineParts, refusing: Refusing, first: FirstFactor) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._refusing = refusing
        self._first = first

    async def prove(self, request: PasskeyRequest) -> ByPasskey | Denied:
        """Who it is. Before that is proved, all refusals but that of a question that is too old read alike."""
        attempt, ring = self._attempt(request, self._parts.configuration().realms.default, ""), self._parts.ring()
        shown, site = read_shown(request.shown), request.origin.site
        if shown is None or site is None:
            return await self._unknown(attempt, "passkey_wrong")
        if not is_ours(ring, shown.challenge, request.origin.binding, attempt.now_ms):
            return self._refusing.refuse(attempt, "passkey_expired", Text("form.old"))
        subject_id = SubjectId(shown.handle.hex())
        [kept] = await self._storage.read([kept_authenticators(subject_id)])
        authenticator = passkey_of(active_and_held(kept)[0], shown) if shown.handle else None
        if authenticator is None:
            return await self._unknown(attempt, "passkey_unknown", forget=shown.credential)
        keys = self._keys(attempt, subject_id)
        settings = attempt.configuration.brakes
        hold = await brakes.holding(self._storage, keys, settings, attempt.now_ms)
        if hold is not None and hold.reason in _STOPPING:
            return await self._refusing.held(attempt, Candidate(None, None, subject_id, keys, brakes.Seen(None, None, None)), hold)
        verdict = judge(authenticator, shown, shown.challenge, site, attempt.now)
        request.trail.note("passkey checked", verdict="right" if isinstance(verdict, Right) else verdict.reason)
        if not isinstance(verdict, Right):
            settle = brakes.settle_wrong(keys, settings, attempt.now_ms, reserved=False)
            return await self._refused(attempt, subject_id, verdict.reason, settle)
        return await self._whose(request, attempt, subject_id, keys, shown, verdict)

    async def _whose(
        self, request: PasskeyRequest, nobodys: Attempt, subject_id: SubjectId, keys: brakes.BrakeKeys, shown: Shown, verdict: Right
    ) -> ByPasskey | Denied:
        """The account behind the subject, as its directory tells it now."""
        try:
            found = await self._account(subject_id)
        except DirectoryUnavailable as error:
            request.trail.note("directory did not answer", error=error.message)
            return self._refusing.down(nobodys)
        if found is None or found[1].user is None or found[1].user.state is not AccountState.ACTIVE:
            state = found[1].user.state.value if found is not None and found[1].user is not None else ""
            return await self._refused(nobodys, subject_id, f"account_{state}" if state else "user_changed", ())
        realm, whose = found
        user = found[1].user
        attempt = self._attempt(request, realm, user.name)
        candidate = await self._first.look(attempt, whose)
        if candidate.subject_id != subject_id:
            return await self._refused(nobodys, subject_id, "user_changed", ())
        rows = await self._storage.read(brakes.asked(keys))
        candidate = replace(candidate, keys=keys, seen=brakes.seen(rows), refusal=_refusal(user, attempt))
        return ByPasskey(attempt, candidate, verdict, (*verdict.claim, self._used(attempt, shown.challenge)))

    async def _account(self, subject_id: SubjectId) -> tuple[Realm, Found] | None:
        rows = await self._storage.find("subject_link", [Where("subject_id", "=", subject_id)], limit=MAX_LINKS)
        for realm in self._parts.configuration().realms:
            for directory in realm.directories:
                for row in rows:
                    if row["directory"] != directory.name:
                        continue
                    user = await directory.get(str(row["immutable_id"]), self._parts.directory_timeout_s)
                    if user is not None:
                        return realm, Found(directory, user)
        return None

    def _attempt(self, request: PasskeyRequest, realm: Realm, name: str) -> Attempt:
        """`name`: as the directory has it. It was not typed, so nothing is remembered of it as of a typed one."""
        configuration, now = self._parts.configuration(), self._parts.clock.now()
        begin = BeginRequest(request.application, name, request.origin, request.trail, None)
        application = configuration.applications[request.application]
        request.trail.application, request.trail.user = request.application, name
        return Attempt(begin, configuration, application, realm, ("",), now, to_ms(now))

    def _keys(self, attempt: Attempt, subject_id: SubjectId) -> brakes.BrakeKeys:
        """Brakes of the passkey's own: what is guessed at the person's password from here holds nothing up."""
        origin = attempt.request.origin
        return brakes.brake_keys(self._parts.ring(), f"passkey:{subject_id}", origin.client, origin.binding)

    def _used(self, attempt: Attempt, challenge: bytes) -> Operation:
        """What is written down of a question that was answered: a second answer to it finds this."""
        mac = handle_mac(self._parts.ring(), b"passkey\0" + challenge)
        until = attempt.now_ms + 2 * CHALLENGE_LIFE_MS
        handle = Handle(mac, attempt.request.trail.transaction_id or "", 0, attempt.request.origin.binding, until, None, None, None)
        return used_handle(handle, attempt.now_ms)

    async def _unknown(self, attempt: Attempt, reason: str, forget: str = "") -> Denied:
        """No passkey of anybody. Counted for nobody. `forget`: which one the browser need not offer any more."""
        refusal = self._refusing.refuse(attempt, reason, Text("passkey.unknown", {"forget": forget}))
        keys = self._keys(attempt, SubjectId(""))
        nobody = Candidate(None, None, None, keys, brakes.Seen(None, None, None))
        await self._refusing.record_unproved(attempt, nobody, (), refusal)
        return refusal

    async def _refused(self, attempt: Attempt, subject_id: SubjectId, reason: str, settle: "list[Operation] | tuple[()]") -> Denied:
        refusal = self._refusing.refuse(attempt, reason, Text("passkey.unknown", {"forget": ""}))
        recording = Recording(self._parts, attempt.request.trail, attempt.application.settings.name, subject_id)
        await recording.commit_denied(settle, refusal, "")
        return refusal


def _refusal(user: DirectoryUser, attempt: Attempt) -> str:
    if user.must_change:
        return "must_change"
    expired = user.password_expires_at is not None and user.password_expires_at <= attempt.now
    return "password_expired" if expired else ""


def _mark(ring: KeyRing, binding: str, head: bytes) -> bytes:
    return ring.mac("passkey-challenge", binding.encode(), head)[:_MARK_BYTES]
