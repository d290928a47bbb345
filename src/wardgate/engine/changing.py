"""A person changes a password that he knows: on the account page, or because he may not be let in before he has.

The old password is checked by the directory with the change itself, so it is reserved and counted as any other check is: at the
brakes of user and source, and one short of the number at which the directory locks the account.

The person's other sessions end with that reservation, before the directory is told: none may live on because its answer was lost,
or we were. A wrong old password ends them too, which costs their owner a sign-in.
"""

from typing import Final

from wardgate.account.contact import kept_contacts
from wardgate.account.freeze import unfrozen
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.port import Directory, DirectoryUser, PasswordPolicy, PasswordPolicyTelling
from wardgate.engine import bind_brake, brakes
from wardgate.engine.accounts import directory_of
from wardgate.engine.bind_brake import Bind, Checked
from wardgate.engine.holders import holder_of
from wardgate.engine.notices import notify
from wardgate.engine.outcome import Denied, Origin
from wardgate.engine.recording import Recording
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.acting import WRONG, Acting, Refusal
from wardgate.engine.wording import Whom
from wardgate.errors import UnavailableError
from wardgate.factors.port import Holder
from wardgate.storage.port import Delete, Operation, Refused, Where
from wardgate.texts import Text
from wardgate.values import quick_value

# How audit calls what somebody does on the account page.
CHANGED: Final = "changed"


@quick_value
class Tried:
    """What came of a change: done where there is no refusal. `settle`: what the brakes learn of it."""

    refusal: Refusal | None
    settle: tuple[Operation, ...] = ()


@quick_value
class Written:
    """Who hears of a change, how it came about (as audit says it), and the session that goes on, if any."""

    whom: Whom
    how: str
    kept: str = ""


@quick_value
class ChangeRequest:
    """A person who is signed in chooses another password. `kept`: the session that he does it in, which goes on."""

    subject_id: SubjectId
    user: DirectoryUser
    realm: str
    application: str
    old: Secret
    new: Secret
    origin: Origin
    trail: Trail
    kept: str
    language: str


class Changing:
    """Changes passwords."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._acting = Acting(parts)

    async def rules(self, user: DirectoryUser) -> PasswordPolicy | None:
        """What a new password of this user is held to, where his directory tells. Raises DirectoryUnavailable."""
        directory = directory_of(self._parts.configuration(), user.directory)
        if directory is None or not isinstance(directory, PasswordPolicyTelling):
            return None
        return await directory.password_policy(user, self._parts.directory_timeout_s)

    async def change(self, request: ChangeRequest) -> Refusal | None:
        """Change it on the account page; None when it is done. Raises Overloaded and StorageUnavailable."""
        trail, user, parts = request.trail, request.user, self._parts
        trail.application, trail.user = request.application, user.name
        directory, now_ms = directory_of(parts.configuration(), user.directory), to_ms(parts.clock.now())
        if directory is None:
            return Refusal("change_not_here", Text("pw.not_here", {"ref": trail.reference}), final=True)
        origin = request.origin
        typed = f"{request.realm}:{user.name}"
        keys = brakes.brake_keys(parts.ring(), request.subject_id, origin.client, origin.binding, typed=typed)
        said = (trail.reference, request.language, request.realm)
        whom = Whom(request.subject_id, user.name, request.application, "", *said, client=trail.client)
        written = Written(whom, CHANGED, request.kept)
        tried = await self.attempt(directory, user, keys, request.old, request.new, trail, written)
        refusal = tried.refusal
        if refusal is not None:
            text = Text(refusal.text.id, {**refusal.text.values, "ref": trail.reference})
            recording = Recording(parts, trail, request.application, request.subject_id, now_ms, whose=user)
            denied = Denied(refusal.reason, text, request.language, trail.reference)
            await recording.commit(tried.settle, Kind.PASSWORD_REFUSED, denied, user.name, reason=refusal.reason)
            return Refusal(refusal.reason, text, refusal.final, refusal.unknown)
        [contacts] = await self._storage.read([kept_contacts(request.subject_id)])
        holder = holder_of(parts.ring(), request.subject_id, user, (), (), contacts)
        trail.result, trail.reason = "granted", "password_changed"
        unit = [*tried.settle, *self.aftermath(whom, user, holder, CHANGED), trail.entry(parts.ring(), now_ms)]
        await self._storage.commit(unit)
        trail.stored = True
        return None

    async def attempt(
        self,
        directory: Directory,
        user: DirectoryUser,
        keys: brakes.BrakeKeys,
        old: Secret,
        new: Secret,
        trail: Trail,
        written: Written,
    ) -> Tried:
        """Try it, with a check that was reserved before; the person's other sessions end with the reservation."""
        problem = self._acting.own_rules(user, new)
        if problem is not None:
            return Tried(Refusal("password_rules", problem))
        settings, now_ms = self._parts.configuration().brakes, to_ms(self._parts.clock.now())
        account = bind_brake.bind_key(self._parts.ring(), user, keys.user)
        hold = await brakes.holding(self._storage, keys, settings, now_ms)
        # Whoever got in is not to settle here either: what is changed for a login's sake, or to lift the freeze, is another matter.
        guard = [unfrozen(SubjectId(written.whom.subject_id))] if written.how == CHANGED else []
        unit: list[Operation] = [
            *guard,
            *self.ended(written.whom, written.kept),
            brakes.reserve(keys, settings, now_ms, refuse=True),
        ]
        if account is not None:
            unit.append(bind_brake.reserve(account, now_ms, proved=True, refuse=True))
        commit = await self._storage.commit(unit) if hold is None else None
        if guard and isinstance(commit, Refused) and commit.position == 0:
            return Tried(Refusal("frozen", Text("freeze.on"), final=True))
        if commit is None or isinstance(commit, Refused):
            trail.note("a brake holds")
            wait_s = hold.wait_s if hold is not None else settings.user_source_wait_s
            reason = hold.reason if hold is not None else "brake_user_source"
            return Tried(Refusal(reason, Text("wait.person", {"min": -(-wait_s // 60), "ref": trail.reference})))
        bind = bind_brake.reserved(account, commit.results[-1]) if account is not None else None
        back = brakes.settle_right(keys, now_ms)
        try:
            if bind is not None and await self._overdraws(directory, user, bind):
                await self._storage.commit([back, bind_brake.settle(bind, Checked.NOT_COUNTED, now_ms)])
                trail.note("kept from the directory, which would soon lock the account")
                minutes = -(-settings.user_source_wait_s // 60)
                return Tried(Refusal("brake_directory", Text("wait.person", {"min": minutes, "ref": trail.reference})))
            refusal = await self._acting.change(directory, user, old, new, trail, written.whom, written.how)
        except UnavailableError:
            settled = (bind_brake.settle(bind, Checked.NOT_COUNTED, now_ms),) if bind is not None else ()
            await self._storage.commit([back, *settled])
            raise
        if refusal is not None and refusal.reason == WRONG:
            wrong = brakes.settle_wrong(keys, settings, now_ms, reserved=True)
            return Tried(refusal, (*wrong, *_settled(bind, Checked.WRONG, now_ms)))
        if refusal is not None and refusal.unknown:
            # What the directory left unanswered may have failed: it stays reserved there, and then counts.
            return Tried(refusal, (back,))
        checked = Checked.RIGHT if refusal is None else Checked.NOT_COUNTED
        return Tried(refusal, (back, *_settled(bind, checked, now_ms)))

    def ended(self, whom: Whom, kept: str = "") -> tuple[Operation, ...]:
        """The end of the person's sessions but the one that is kept, with its record."""
        subject_id, now_ms = SubjectId(whom.subject_id), to_ms(self._parts.clock.now())
        others = (Where("subject_id", "=", subject_id), *((Where("id", "!=", kept),) if kept else ()))
        details = {"why": "password_change"}
        event = AuditEvent(
            Kind.SESSION_ENDED, now_ms, "engine", whom.transaction_id or None, whom.reference, subject_id, details=details
        )
        return (Delete("sso_session", others), record(event))

    def aftermath(self, whom: Whom, user: DirectoryUser, holder: Holder, how: str) -> tuple[Operation, ...]:
        """What a new password brings about once it is written: its record, and word to the person of it."""
        subject_id, now_ms = SubjectId(whom.subject_id), to_ms(self._parts.clock.now())
        details = {"user": user.name, "directory": user.directory, "how": how}
        details |= {"client": whom.client} if whom.client else {}
        about = (now_ms, "engine", whom.transaction_id or None, whom.reference, subject_id)
        event = AuditEvent(Kind.PASSWORD_SET, *about, details=details)
        return (record(event), *notify(self._parts, whom, holder, "password_changed"))

    async def _overdraws(self, directory: Directory, user: DirectoryUser, bind: Bind) -> bool:
        """Whether the directory, asked after the reservation, tells more than it told before. Only where something had failed."""
        if not bind.failures:
            return False
        now = await directory.get(user.immutable_id, self._parts.directory_timeout_s)
        return bind.overdraws(now.lockout if now is not None else None, proved=True)


def _settled(bind: Bind | None, checked: Checked, now_ms: int) -> tuple[Operation, ...]:
    return (bind_brake.settle(bind, checked, now_ms),) if bind is not None else ()
