"""Tells a person that his password runs out soon, each of the configured days once: on a page with "later", elsewhere by mail.

Nothing is read of whose password does not end within those days. What was told is kept in `demand`, for the end that it was about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from wardgate.account.subject import SubjectId
from wardgate.clock import to_ms
from wardgate.delivery.port import Channel
from wardgate.directory.port import DirectoryUser
from wardgate.engine.demands import TABLE, Due
from wardgate.engine.notices import Addressee, each_mail, page_address, tell
from wardgate.engine.runtime import EngineParts
from wardgate.engine.wording import Notice, Whom, moment_in
from wardgate.factors.port import Holder
from wardgate.storage.port import Modified, Modify, Row, Upsert, Value, Where
from wardgate.texts import Text

ACTION: Final = "password:ends"
CHANGE_PAGE: Final = "/account/password"
_DAY_S: Final = 86_400
# Directories tell the end anew for each login, some of them by the clock of another server.
_SAME_END_MS: Final = 60_000


def days_left(user: DirectoryUser, now: datetime) -> int | None:
    """How many days the password works on, a begun one counted whole; None where it never ends, or has ended."""
    ends = user.password_expires_at
    if ends is None or ends <= now:
        return None
    return -int(-(ends - now).total_seconds() // _DAY_S)


def is_near(settings: Sequence[int], user: DirectoryUser, now: datetime) -> bool:
    """Whether the end is so near that the person may have to be told. Reads nothing."""
    ends = user.password_expires_at
    return ends is not None and bool(settings) and (ends - now).days <= max(settings)


@dataclass(frozen=True, slots=True)
class Ending:
    """What is told of an end: in how many days, which of the configured days that is, and the mail that says it."""

    days: int
    step: int
    ends: int
    notice: Notice

    def noted(self, subject_id: SubjectId, now: datetime) -> Modify:
        """Keeps that it was told; refused where somebody else told it meanwhile."""
        arguments: Row = {"step": self.step, "ends": self.ends, "now": to_ms(now)}
        return Modify(TABLE, {"subject_id": subject_id, "action": ACTION}, note_told, arguments)


def word_of(parts: EngineParts, realm: str, user: DirectoryUser, known: Row | None, now: datetime) -> Ending | None:
    """What is to be told of the end of this password now; None for nothing, or nothing new. `known`: what was told.

    `realm`: in whose zone the mail tells when.
    """
    days = days_left(user, now)
    step = _step(parts.configuration().notices.password_days, days)
    if step is None or days is None or user.password_expires_at is None:
        return None
    ends = to_ms(user.password_expires_at)
    if known is not None and _was_told(known, step, ends):
        return None
    values: dict[str, str | int] = {"n": days, "address": page_address(parts, CHANGE_PAGE)}
    values["until"] = moment_in(parts.configuration(), realm, user.password_expires_at)
    # A link is not what to press in a mail about a password: the address is there to be typed.
    subject = "" if days > 1 else "notice.password_ends_last_subject"
    happened = "password_ends" if values["address"] else "password_ends_nowhere"
    return Ending(days, step, ends, Notice(happened, values, subject=subject or "notice.password_ends_subject"))


async def with_ending(
    parts: EngineParts, due: Due, whom: Whom, holder: Holder, user: DirectoryUser, now: datetime, pages: bool
) -> Due:
    """What is due, with word of the end and what the grant notes of it."""
    if (
        due.must is not None
        or due.text is not None
        or _step(parts.configuration().notices.password_days, days_left(user, now)) is None
    ):
        return due
    subject_id = SubjectId(whom.subject_id)
    rows = await parts.storage.find(TABLE, [Where("subject_id", "=", subject_id), Where("action", "=", ACTION)], limit=1)
    ending = word_of(parts, whom.realm, user, rows[0] if rows else None, now)
    if ending is None:
        return due
    # Not on condition: of two logins at once neither may fail for it.
    kept = {"subject_id": subject_id, "action": ACTION, **_told(ending.step, ending.ends, to_ms(now)), "met_at": None}
    told = Upsert(TABLE, kept)
    if pages:
        offer = Text("ends.offer", {"n": ending.days}) if ending.days > 1 else Text("ends.last")
        return replace(due, texts=(*due.texts, offer), operations=(*due.operations, told))
    mails = [Addressee(Channel.EMAIL, to) for to in each_mail(holder)]
    return replace(due, operations=(*due.operations, told, *tell(parts, whom, mails, ending.notice)))


def note_told(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """It is told now; refused where it was told. Runs inside storage."""
    step, ends, now = (value if isinstance(value := arguments[name], int) else 0 for name in ("step", "ends", "now"))
    if old is not None and _was_told(old, step, ends):
        return Modified(None, refuse=True)
    return Modified({**_told(step, ends, now), "met_at": None})


def _told(step: int, ends: int, now_ms: int) -> Row:
    return {"put_off": step, "put_off_at": ends, "reminded_at": now_ms}


def _step(settings: Sequence[int], days: int | None) -> int | None:
    """The latest of the configured days that has come."""
    return min((each for each in settings if days is not None and days <= each), default=None)


def _was_told(row: Mapping[str, Value], step: int, ends: int) -> bool:
    told, before = row["put_off_at"], row["put_off"]
    same_end = isinstance(told, int) and abs(told - ends) <= _SAME_END_MS
    return same_end and isinstance(before, int) and before <= step
