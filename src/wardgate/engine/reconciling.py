"""Finds out what came of a new password whose directory's answer was lost, once the directory can be asked again.

It tells by the date of its password's change. The truth goes into the timeline of the login or flow that it belongs to and into the
audit trail, and the person hears of a password that was changed after all. Runs as a job of one worker; the row decides, so that
two at once tell it once.
"""

import json
from typing import Final

import structlog

from wardgate.account.contact import kept_contacts
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail, by_reference
from wardgate.clock import to_ms
from wardgate.directory.port import DirectoryUser
from wardgate.engine.accounts import directory_of
from wardgate.engine.holders import holder_of
from wardgate.engine.notices import notify
from wardgate.engine.password_writes import GIVEN_UP_MS, TABLE, PasswordWrites, Pending, pending_in, put_off_write
from wardgate.engine.runtime import EngineParts
from wardgate.errors import DirectoryUnavailable
from wardgate.storage.port import Committed, Modify, Operation, Reader, Row, Where
from wardgate.texts import Text

# So many at a time, of which each costs one question to a directory.
AT_ONCE: Final = 50
AGAIN_MS: Final = 60_000
ASKED_EVERY_S: Final = 60.0
# That it was not set is believed later than that it was: the server that is asked may hear of it from another one.
UNSET_AFTER_MS: Final = 5 * 60_000
_NOTICES: Final = {"self_service": "password_reset"}
# Why it is known, and what the person is told.
_TOLD: Final = {
    "password_found_set": "pw.found_set",
    "password_found_unset": "pw.found_unset",
    "password_not_found_out": "pw.not_found_out",
}

log = structlog.get_logger("wardgate.reconciling")


class Reconciling:
    """One per worker; all its state is in storage."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._writes = PasswordWrites(parts)

    async def run_once(self) -> int:
        """Ask after those that are due; how many are settled now."""
        now_ms = to_ms(self._parts.clock.now())
        due = [Where("next_at", ">", 0), Where("next_at", "<=", now_ms)]
        settled, silent = 0, set[str]()
        for row in await self._storage.find(TABLE, due, order_by="next_at", limit=AT_ONCE):
            pending = pending_in(row)
            if pending is not None:
                settled += await self._look(row, pending, silent, now_ms)
        return settled

    async def _look(self, row: Row, pending: Pending, silent: set[str], now_ms: int) -> bool:
        """`silent`: the directories that have left one question of this round unanswered, and are not asked more."""
        given_up = now_ms >= pending.at + GIVEN_UP_MS
        directory = directory_of(self._parts.configuration(), pending.directory)
        user: DirectoryUser | None = None
        if not given_up and pending.directory in silent:
            return await self._put_off(row, pending, now_ms)
        if directory is not None and not given_up:
            try:
                user = await directory.get(pending.immutable_id, self._parts.directory_timeout_s)
            except DirectoryUnavailable as error:
                silent.add(pending.directory)
                log.info("the directory does not tell yet what came of a new password", directory=error.message)
                return await self._put_off(row, pending, now_ms)
        changed_at = to_ms(user.password_changed_at) if user is not None and user.password_changed_at is not None else None
        if user is None or changed_at is None:
            return await self._settle(pending, None, now_ms)
        if changed_at != pending.before:
            return await self._settle(pending, user, now_ms, changed_at)
        if now_ms < pending.at + UNSET_AFTER_MS:
            return await self._put_off(row, pending, now_ms)
        return await self._settle(pending, False, now_ms)

    async def _put_off(self, row: Row, pending: Pending, now_ms: int) -> bool:
        arguments: Row = {"id": pending.id, "next_at": now_ms + AGAIN_MS}
        await self._storage.commit([Modify(TABLE, {"account_mac": row["account_mac"]}, put_off_write, arguments)])
        return False

    async def _settle(
        self, pending: Pending, truth: DirectoryUser | bool | None, now_ms: int, changed_at: int | None = None
    ) -> bool:
        """`truth`: the account whose password it is now; False: it is not; None: that cannot be told."""
        ring, whom = self._parts.ring(), pending.whom
        directory = directory_of(self._parts.configuration(), pending.directory)
        written = isinstance(truth, DirectoryUser)
        trail = Trail(self._parts.clock, pending.door)
        trail.reference, trail.transaction_id = whom.reference, whom.transaction_id or None
        trail.application, trail.user = whom.application, whom.user_name
        trail.result = "granted" if written else "denied"
        trail.reason = "password_found_set" if written else "password_found_unset" if truth is False else "password_not_found_out"
        trail.note("asked the directory again for what came of a new password", directory=pending.directory)
        about = (now_ms, "engine", whom.transaction_id or None, whom.reference, SubjectId(whom.subject_id))
        kind = Kind.PASSWORD_SET if written else Kind.PASSWORD_REFUSED
        details: dict[str, object] = {"user": whom.user_name, "directory": pending.directory, "how": pending.how}
        if not written:
            details = {"user": whom.user_name, "application": whom.application, "door": pending.door, "reason": trail.reason}
        unit: list[Operation] = [
            self._writes.settle(pending, directory, written, changed_at, alone=True),
            record(AuditEvent(kind, *about, details=details)),
            trail.entry(ring, now_ms),
        ]
        if isinstance(truth, DirectoryUser):
            [contacts] = await self._storage.read([kept_contacts(SubjectId(whom.subject_id))])
            holder = holder_of(ring, SubjectId(whom.subject_id), truth, (), (), contacts)
            unit += notify(self._parts, whom, holder, _NOTICES.get(pending.how, "password_changed"))
        return isinstance(await self._storage.commit(unit), Committed)


async def found_out(storage: Reader, reference: str, user_name: str) -> Text | None:
    """What came of a new password of this person's whose answer was lost; None while that is not known."""
    for row in reversed(await by_reference(storage, reference)):
        body = json.loads(str(row["body"]))
        told = _TOLD.get(str(body.get("reason")))
        if told is not None and body.get("user") == user_name:
            return Text(told, {"ref": reference})
    return None
