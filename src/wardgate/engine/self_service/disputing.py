"""Somebody says that it was not him: by the link in a message, or in the list of what happened in his account.

Either freezes the account (`account/freeze.py`) and tells everybody. A link proves a mailbox at most, which is enough: a freeze
lets nobody in, keeps nobody out who has what he had before, and takes away only what a thief could have added.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from wardgate.account.freeze import WINDOW_MS, SetBy
from wardgate.account.mail_link import MailLink, Purpose, from_row, links_of, use
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.directory.port import DirectoryUser
from wardgate.engine.freezing import Freezing
from wardgate.engine.runtime import EngineParts
from wardgate.engine.wording import Whom
from wardgate.errors import DirectoryUnavailable
from wardgate.storage.port import Operation

FROZEN: Final = "frozen"
# Undoes at the directory what a link's change wrote there.
WriteBack = Callable[[MailLink], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Disputed:
    """What somebody says was not him: when it happened, and the reference that it bears."""

    at_ms: int
    reference: str


class Disputing:
    """One per engine."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._freezing = Freezing(parts)

    async def by_link(self, link: MailLink, user: DirectoryUser | None, trail: Trail, write_back: WriteBack) -> bool:
        """Freeze the account that a link belongs to; False where another press of its button was first."""
        payload = link.payload
        said = (trail.reference, str(payload["language"]), str(payload.get("realm", "")))
        whom = Whom(link.subject_id, str(payload["user"]), str(payload["application"]), "", *said)
        disputed = Disputed(link.created_at, str(payload["reference"]))
        used = [use(link, to_ms(self._parts.clock.now()))]
        return await self._freeze(whom, user, disputed, SetBy.LINK, used, trail, write_back)

    async def by_person(self, whom: Whom, user: DirectoryUser, disputed: Disputed, trail: Trail, write_back: WriteBack) -> bool:
        """Freeze the account of somebody who is signed in. His own session ends as well: it may be the thief's."""
        trail.application, trail.user = whom.application, whom.user_name
        return await self._freeze(whom, user, disputed, SetBy.PERSON, (), trail, write_back)

    async def _freeze(
        self,
        whom: Whom,
        user: DirectoryUser | None,
        disputed: Disputed,
        set_by: SetBy,
        before: Sequence[Operation],
        trail: Trail,
        write_back: WriteBack,
    ) -> bool:
        now_ms, subject_id = to_ms(self._parts.clock.now()), SubjectId(whom.subject_id)
        written = await self._written(subject_id, min(disputed.at_ms, now_ms - WINDOW_MS), now_ms)
        trail.result, trail.reason = "granted", FROZEN
        details = {"user": whom.user_name, "of": disputed.reference}
        event = AuditEvent(
            Kind.CHANGE_DISPUTED, now_ms, "person", reference=trail.reference, subject_id=subject_id, details=details
        )
        after: list[Operation] = [record(event), trail.entry(self._parts.ring(), now_ms)]
        if not await self._freezing.set(whom, user, disputed.at_ms, set_by, before, after):
            return False
        trail.stored = True
        for link in written:
            try:
                await write_back(link)
            except DirectoryUnavailable as error:
                # The freeze holds all the same; what stands in the directory resets nothing meanwhile.
                trail.note("the directory did not answer: what was written there stays", error=error.message)
        return True

    async def _written(self, subject_id: SubjectId, since: int, now_ms: int) -> list[MailLink]:
        """The links of changes that were written to a directory since."""
        [rows] = await self._parts.storage.read([links_of(subject_id, now_ms)])
        links = [link for row in rows if (link := from_row(self._parts.ring(), row)) is not None]
        undoing = [each for each in links if each.purpose is Purpose.UNDO_CONTACT and each.used_at is None]
        return [each for each in undoing if each.created_at >= since and each.payload.get("written")]
