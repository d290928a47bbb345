"""Does what the proofs were for: sets the password or lifts the lock, in the directory, and ends what was open before."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.port import (
    AccountState,
    Directory,
    DirectoryUser,
    PasswordChanging,
    PasswordNotAccepted,
    PasswordResetting,
    PasswordVerdict,
    RightMissing,
    Unlocking,
)
from wardgate.engine.password_writes import PasswordWrites, Pending
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.flow import Flow
from wardgate.engine.wording import Whom
from wardgate.errors import Conflict, DirectoryUnavailable
from wardgate.session.sessions import end_all
from wardgate.storage.port import Delete, Modified, Modify, Operation, Row, Value, Where
from wardgate.texts import Text

RESETS: Final = "resets"
# The current password was not right: this counts like a failed login.
WRONG: Final = "password_wrong"
MAX_RESETS_KEPT: Final = 200
# No directory takes a longer one.
MAX_PASSWORD_BYTES: Final = 1024
# Whatever a directory would take: NIST SP 800-63B-4 section 3.1.1.2, beside another factor.
MIN_PASSWORD_CHARS: Final = 8
_RULES: Final[Mapping[str, str]] = {
    "length": "pw.length",
    "complexity": "pw.complexity",
    "blocklist": "pw.common",
    "history": "pw.history",
    "same": "pw.history",
    "min_age": "pw.too_young",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """It was not done. `final`: another password would not help; `unknown`: or nobody knows whether it was done."""

    reason: str
    text: Text
    final: bool = False
    unknown: bool = False


class Acting:
    """Writes to directories."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._writes = PasswordWrites(parts)

    def own_rules(self, user: DirectoryUser, new: Secret) -> Text | None:
        """What is wrong with a password before any directory is asked."""
        size = len(new.reveal())
        if not size:
            return Text("pw.missing")
        if size > MAX_PASSWORD_BYTES:
            return Text("pw.long", {"n": MAX_PASSWORD_BYTES})
        return Text("pw.length", {"n": MIN_PASSWORD_CHARS}) if characters(new) < MIN_PASSWORD_CHARS else None

    async def reset(
        self, directory: Directory, user: DirectoryUser, new: Secret, trail: Trail, whom: Whom, how: str
    ) -> Refusal | None:
        """Set the password and lift the lock; None when it is done. `whom` and `how`: who hears of it, and how it came about."""
        if not isinstance(directory, PasswordResetting):
            trail.note("this directory's passwords cannot be set from here", directory=directory.name)
            return Refusal("reset_not_here", Text("reset.not_here"), final=True)
        pending = await self._writes.begin(directory, user, new, whom, how, trail.door)
        refusal = await self._reset(directory, user, new, trail)
        return await self._settled(pending, directory, refusal)

    async def _reset(self, directory: PasswordResetting, user: DirectoryUser, new: Secret, trail: Trail) -> Refusal | None:
        try:
            await directory.reset_password(user, new, False, self._parts.write_timeout_s)
        except PasswordNotAccepted as error:
            return _not_taken(error, trail)
        except (RightMissing, Conflict) as error:
            trail.note("the directory refused", error=error.message)
            return Refusal("reset_refused", Text("reset.not_here"), final=True)
        except DirectoryUnavailable as error:
            trail.note("the directory did not answer while it was written", error=error.message)
            return Refusal("unknown_result", Text("pw.unknown_result"), final=True, unknown=True)
        trail.note("password set", directory=user.directory)
        return None

    async def _settled(self, pending: Pending, directory: Directory, refusal: Refusal | None) -> Refusal | None:
        """What came of it is kept; what nobody knows is asked after later."""
        if refusal is None:
            await self._writes.written(pending, directory)
        elif not refusal.unknown:
            await self._writes.refused(pending, directory)
        return refusal

    async def change(
        self, directory: Directory, user: DirectoryUser, old: Secret, new: Secret, trail: Trail, whom: Whom, how: str
    ) -> Refusal | None:
        """Set the password by the one that the person knows; None when it is done. The directory holds it to age and history."""
        if not isinstance(directory, PasswordChanging):
            trail.note("this directory's passwords cannot be changed from here", directory=directory.name)
            return Refusal("change_not_here", Text("pw.not_here"), final=True)
        pending = await self._writes.begin(directory, user, new, whom, how, trail.door)
        refusal = await self._change(directory, user, old, new, trail)
        return await self._settled(pending, directory, refusal)

    async def _change(
        self, directory: PasswordChanging, user: DirectoryUser, old: Secret, new: Secret, trail: Trail
    ) -> Refusal | None:
        try:
            verdict = await directory.change_password(user, old, new, self._parts.write_timeout_s)
        except PasswordNotAccepted as error:
            return _not_taken(error, trail)
        except (RightMissing, Conflict) as error:
            trail.note("the directory refused", error=error.message)
            return Refusal("change_refused", Text("pw.not_here"), final=True)
        except DirectoryUnavailable as error:
            trail.note("the directory did not answer while it was written", error=error.message)
            return Refusal("unknown_result", Text("pw.unknown_result"), final=True, unknown=True)
        trail.note("password changed", directory=user.directory, verdict=verdict.value)
        if verdict is PasswordVerdict.RIGHT:
            return None
        if verdict is PasswordVerdict.WRONG:
            return Refusal(WRONG, Text("pw.current_wrong"))
        return Refusal("change_refused", Text("pw.not_here"), final=True)

    async def unlock(self, directory: Directory, user: DirectoryUser, trail: Trail) -> bool | Refusal:
        """Lift the directory's lock: True when there was one."""
        if user.state in (AccountState.DISABLED, AccountState.EXPIRED):
            trail.note("no lock but the account itself is closed", state=user.state.value)
            return Refusal("unlock_refused", Text("unlock.refused"), final=True)
        if user.state is not AccountState.LOCKED:
            return False
        if not isinstance(directory, Unlocking):
            return Refusal("unlock_not_here", Text("unlock.refused"), final=True)
        try:
            lifted = await directory.unlock(user, self._parts.directory_timeout_s)
        except (RightMissing, Conflict) as error:
            trail.note("the directory refused", error=error.message)
            return Refusal("unlock_refused", Text("unlock.refused"), final=True)
        except DirectoryUnavailable as error:
            trail.note("the directory did not answer", error=error.message)
            return Refusal("directory_down", Text("down.directory"), final=True)
        trail.note("account unlocked" if lifted else "account was not locked", directory=directory.name)
        return lifted

    def aftermath(self, flow: Flow, reason: str) -> list[Operation]:
        """What a new password makes void: every session and trusted device. A lock that is lifted makes nothing void."""
        if reason != "password_reset":
            return []
        now_ms = to_ms(self._parts.clock.now())
        event = AuditEvent(
            Kind.PASSWORD_SET,
            now_ms,
            "engine",
            transaction_id=flow.id,
            reference=flow.reference,
            subject_id=flow.subject_id,
            details={
                "user": flow.user_name,
                "directory": flow.directory,
                "how": "self_service",
                "proofs": [each.kind for each in flow.proofs],
            },
        )
        return [record(event), *self.ended(flow)]

    def ended(self, flow: Flow) -> list[Operation]:
        """The end of every session and trusted device.

        It comes with the directory's being told as well: nobody may live on because the answer was lost, or we were.
        """
        return [end_all(SubjectId(flow.subject_id)), Delete("trusted_device", (Where("subject_id", "=", flow.subject_id),))]

    def count_reset(self, flow: Flow, limits: tuple[int, int]) -> Modify:
        """One more reset of this person; with it, nothing of the unit happens where he has had as many as he may."""
        count, within_s = limits
        arguments = {"now": to_ms(self._parts.clock.now()), "count": count, "within": within_s * 1000}
        key = self._parts.ring().mac("resets", flow.subject_id.encode())
        return Modify("brake", {"kind": RESETS, "key": key}, count_one_reset, arguments)


def _not_taken(error: PasswordNotAccepted, trail: Trail) -> Refusal:
    trail.note("the directory did not take the password", rule=error.rule)
    least = error.policy.min_length if error.policy is not None else 0
    return Refusal(f"password_{error.rule}", Text(_RULES.get(error.rule, "pw.refused"), {"n": least}))


def count_one_reset(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One more, unless so many fall into the time."""
    now, count, within = (int(arguments[name] or 0) for name in ("now", "count", "within"))
    kept = [at for at in (json.loads(str(old["stamps"])) if old is not None else []) if now - within < at <= now]
    if len(kept) >= count:
        return Modified(None, refuse=True)
    row: dict[str, Value] = dict(old) if old is not None else _EMPTY.copy()
    row.pop("kind", None)
    row.pop("key", None)
    row["stamps"] = json.dumps([*kept, now][-MAX_RESETS_KEPT:])
    row["expires_at"] = now + within
    return Modified(row)


_EMPTY: dict[str, Value] = {
    "owner": None,
    "failures": 0,
    "window_started_at": 0,
    "in_flight": 0,
    "in_flight_until": 0,
    "locked_until": 0,
    "level": 0,
    "succeeded_at": 0,
    "stamps": "[]",
    "label": None,
    "expires_at": 0,
}


def characters(password: Secret) -> int:
    """How long a password is as people count; of what is no UTF-8 each octet counts."""
    try:
        return len(password.reveal().decode())
    except UnicodeDecodeError:
        return len(password.reveal())
