"""The help desk freezes an account for somebody who calls, and lifts a freeze once it knows who he is."""

from datetime import datetime
from typing import Any

from wardgate.account.freeze import Freeze, SetBy, asked, freeze_in, freezing, left_over, lifting
from wardgate.account.subject import SubjectId
from wardgate.admin.office import Office
from wardgate.admin.people import Person, found_person
from wardgate.admin.telling import parts_of, whom_of
from wardgate.audit.events import AuditEvent, Kind
from wardgate.clock import from_ms, to_ms
from wardgate.config.store import load_current
from wardgate.engine.freezing import Freezing
from wardgate.engine.notices import tell
from wardgate.engine.wording import Notice
from wardgate.errors import Conflict, UsageError
from wardgate.session.sessions import end_all
from wardgate.storage.port import Committed, Operation

_TRIES = 3


async def freeze_person(office: Office, *, name: str, directory: str | None = None, since: str | None = None) -> dict[str, Any]:
    """Freeze an account, wherever it is kept. `since`: when it happened that was not him; default: now.

    Raises NotFound, UsageError, Conflict, DirectoryUnavailable.
    """
    disputed_at = _moment(office, since)
    async with found_person(office, name, directory) as person:
        subject_id, first = person.met(office)
        if first:
            await office.storage.commit(first)
        for _ in range(_TRIES):
            made = await freezing(office.storage, office.ring, subject_id, disputed_at, SetBy.OPERATOR, office.now_ms())
            freeze = made.freeze
            told = {"user": person.user.name, "directory": person.user.directory, "by": SetBy.OPERATOR.value, **made.told}
            about = (office.now_ms(), office.actor, None, office.reference, subject_id)
            frozen = AuditEvent(Kind.ACCOUNT_FROZEN, *about, details={**told, "disputed_at": freeze.disputed_at})
            ended = AuditEvent(Kind.SESSION_ENDED, *about, details={"why": "frozen"})
            word = await _word(office, person, subject_id, freeze)
            recorded = (office.record(frozen), office.record(ended))
            commit = await office.storage.commit([*made.operations, end_all(subject_id), *recorded, *word])
            if isinstance(commit, Committed):
                rest = await left_over(office.storage, freeze)
                if rest:
                    await office.storage.commit(rest)
                return {**_who(person, subject_id), "since": from_ms(freeze.since_at).isoformat(), **made.told}
    raise Conflict("something was changed meanwhile: do it again")


async def unfreeze_person(office: Office, *, name: str, directory: str | None = None, bring_back: bool = False) -> dict[str, Any]:
    """Lift a freeze. `bring_back`: what was taken away with it is the person's own.

    Raises NotFound, Conflict (also where nothing is frozen), DirectoryUnavailable.
    """
    async with found_person(office, name, directory) as person:
        subject_id = person.subject_id
        rows = await office.storage.read([asked(subject_id)]) if subject_id is not None else [[]]
        freeze = freeze_in(office.ring, rows[0])
        if freeze is None or subject_id is None:
            raise Conflict(f"the account of {person.user.name} is not frozen")
        made = await lifting(office.storage, office.ring, freeze, office.now_ms(), bring_back)
        told = {"user": person.user.name, "directory": person.user.directory, "by": SetBy.OPERATOR.value, **made.told}
        about = (office.now_ms(), office.actor, None, office.reference, subject_id)
        event = AuditEvent(Kind.ACCOUNT_UNFROZEN, *about, details=told)
        word = await _word(office, person, subject_id, freeze, lifted=True)
        if not isinstance(await office.storage.commit([*made.operations, office.record(event), *word]), Committed):
            raise Conflict("something was changed meanwhile: look at it again")
        return {**_who(person, subject_id), **{name: made.told[name] for name in ("authenticators", "contacts")}}


async def _word(office: Office, person: Person, subject_id: SubjectId, freeze: Freeze, lifted: bool = False) -> list[Operation]:
    """To the person as if he had set or lifted it himself, and to those who look after security where it was set."""
    if not office.tells:
        return []
    _, document = await load_current(office.storage)
    parts, user = parts_of(office, document), person.user
    whom, freezing_room = whom_of(office, document, user.name, user, user.directory, subject_id), Freezing(parts)
    told = await freezing_room.hearing(freeze, user)
    return list(tell(parts, whom, told, Notice("unfrozen"))) if lifted else freezing_room.word(freeze, whom, told)


def _who(person: Person, subject_id: SubjectId) -> dict[str, Any]:
    return {"user": person.user.name, "directory": person.user.directory, "subject_id": subject_id}


def _moment(office: Office, text: str | None) -> int:
    if text is None:
        return office.now_ms()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is not a time such as 2026-11-22T08:00:00+03:00") from None
    at_ms = to_ms(at if at.tzinfo is not None else at.astimezone())
    if at_ms > office.now_ms():
        raise UsageError("--since lies ahead: it is when it happened that was not him")
    return at_ms
