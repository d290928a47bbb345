"""The daily round: mails to people whose password runs out soon, or whose contacts nobody has looked at for long.

Whoever signs in is told of his password by that (`password_ends.py`); here are those who do not come by. All directories that can
list their people are gone through, page by page, and of these people only those whom Wardgate has met. Which contacts they tell of
them is noted as well, so that one that is new resets nothing at once (`account/directory_contact.py`). Runs as a job of one
worker; what was told is one conditional write in the commit of the mail, so that two rounds at once tell it once.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from wardgate.account.contact import TABLE as CONTACTS
from wardgate.account.directory_contact import TABLE as SEEN
from wardgate.account.directory_contact import sighting
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import to_ms
from wardgate.crypto import new_reference
from wardgate.delivery.port import Channel
from wardgate.directory.port import AccountState, Directory, DirectoryUser, Listing, RightMissing
from wardgate.directory.realm import Realm
from wardgate.engine import password_ends
from wardgate.engine.demands import CONFIRM_CONTACT, TABLE
from wardgate.engine.holders import holder_of
from wardgate.engine.notices import Addressee, each_mail, page_address, tell
from wardgate.engine.runtime import EngineParts
from wardgate.engine.wording import Notice, Whom
from wardgate.errors import DirectoryUnavailable
from wardgate.storage.port import Committed, Modified, Modify, Operation, Row, Upsert, Value, Where

CHECK: Final = "contacts:check"
CONTACTS_PAGE: Final = "/account/contacts"
# How often it is looked whether a round is due, and how long after the last one it is.
LOOKED_EVERY_S: Final = 600.0
ROUND_EVERY_MS: Final = 20 * 3_600_000
# People of a page that are looked at together: each has at most so many rows.
AT_ONCE: Final = 100
_MOST_ROWS: Final = 20 * AT_ONCE
# A directory that lists has more to do than one that is asked for one person.
LIST_TIMEOUT_S: Final = 30.0
# A time that lies further ahead was written before the clock was set back.
CLOCK_STEP_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_DONE: Final = "reminded_at"

log = structlog.get_logger("wardgate.reminding")


@dataclass(frozen=True, slots=True)
class _Person:
    """Somebody on a page, with what is kept of him."""

    user: DirectoryUser
    realm: Realm
    subject_id: SubjectId
    contacts: Sequence[Row]
    demands: Mapping[str, Row]


class Reminding:
    """One per worker; all its state is in storage."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage

    async def run_once(self) -> int:
        """Go round where that is due; how many people were told. A directory that does not answer is left out this time."""
        now_ms = to_ms(self._parts.clock.now())
        row = await self._storage.get("installation", {"name": _DONE})
        last = int(json.loads(str(row["value"]))) if row is not None else 0
        if now_ms - ROUND_EVERY_MS < last <= now_ms + CLOCK_STEP_MS or self._parts.clock_problem() is not None:
            return 0
        told, seen = 0, set[str]()
        for realm in self._parts.configuration().realms:
            for directory in realm.directories:
                if directory.name not in seen:
                    seen.add(directory.name)
                    told += await self._round(realm, directory)
        await self._storage.commit([Upsert("installation", {"name": _DONE, "value": json.dumps(now_ms)})])
        return told

    async def _round(self, realm: Realm, directory: Directory) -> int:
        told = 0
        if not isinstance(directory, Listing):
            return told
        try:
            async with aclosing(directory.users(LIST_TIMEOUT_S)) as pages:
                async for page in pages:
                    live = [each for each in page if each.state is AccountState.ACTIVE]
                    for at in range(0, len(live), AT_ONCE):
                        people = await self._met(realm, directory, live[at : at + AT_ONCE])
                        told += sum([await self._remind(person) for person in people])
        except (DirectoryUnavailable, RightMissing) as error:
            log.info("nobody of a directory is reminded this time", directory=directory.name, error=error.message)
        return told

    async def _met(self, realm: Realm, directory: Directory, users: Sequence[DirectoryUser]) -> list[_Person]:
        """Those of them whom we know, with what is kept of them; what the directory tells of them is remembered."""
        ids = tuple(each.immutable_id for each in users)
        where = [Where("directory", "=", directory.name), Where("immutable_id", "in", ids)]
        links = await self._storage.find("subject_link", where, limit=len(ids)) if ids else []
        subjects = {str(row["immutable_id"]): str(row["subject_id"]) for row in links}
        if not subjects:
            return []
        mine = Where("subject_id", "in", tuple(set(subjects.values())))
        contacts = await self._storage.find(CONTACTS, [mine], limit=_MOST_ROWS)
        kinds = Where("action", "in", (password_ends.ACTION, CHECK, CONFIRM_CONTACT))
        demands = await self._storage.find(TABLE, [mine, kinds], limit=_MOST_ROWS)
        here = (mine, Where("directory", "=", directory.name))
        seen = {str(row["subject_id"]): [row] for row in await self._storage.find(SEEN, here, limit=_MOST_ROWS)}
        people, sightings = list[_Person](), list[Operation]()
        for user in users:
            subject_id = SubjectId(subjects.get(user.immutable_id, ""))
            if not subject_id:
                continue
            known = (row for row in contacts if row["subject_id"] == subject_id)
            done = {str(row["action"]): row for row in demands if row["subject_id"] == subject_id}
            people.append(_Person(user, realm, subject_id, list(known), done))
            about = (self._parts.ring(), subject_id, directory, user, seen.get(subject_id, ()), to_ms(self._parts.clock.now()))
            sightings += sighting(*about)
        if sightings:
            await self._storage.commit(sightings)
        return people

    async def _remind(self, person: _Person) -> bool:
        now = self._parts.clock.now()
        settings, known, done = self._parts.configuration().notices, person.demands, False
        ends = password_ends.word_of(self._parts, person.realm.name, person.user, known.get(password_ends.ACTION), now)
        if ends is not None:
            done = await self._send(person, ends.notice, ends.noted(person.subject_id, now), "password", now)
        if settings.contact_days and self._is_due(person, now, settings.contact_days * _DAY_MS):
            arguments: Row = {"now": to_ms(now), "every_ms": settings.contact_days * _DAY_MS}
            noted = Modify(TABLE, {"subject_id": person.subject_id, "action": CHECK}, note_reminded, arguments)
            done |= await self._send(person, self._check(), noted, "contacts", now)
        return done

    def _is_due(self, person: _Person, now: datetime, every_ms: int) -> bool:
        """Whether it is so long since he had to do with his own contacts; who has none has nothing to look after here."""
        rows = [*person.contacts, *person.demands.values()]
        times = [int(at) for row in rows for name in ("verified_at", "met_at") if isinstance(at := row.get(name), int)]
        check = person.demands.get(CHECK)
        reminded = int(check["reminded_at"] or 0) if check is not None else 0
        verified = any(row["verified_at"] is not None for row in person.contacts)
        return verified and max([*times, reminded]) <= to_ms(now) - every_ms

    def _check(self) -> Notice:
        address = page_address(self._parts, CONTACTS_PAGE)
        happened = "contacts_check" if address else "contacts_check_nowhere"
        return Notice(happened, {"address": address}, subject="notice.contacts_check_subject")

    async def _send(self, person: _Person, notice: Notice, noted: Operation, why: str, now: datetime) -> bool:
        """In one commit: what was told, the record of it, and the mails. Refused where it was told meanwhile."""
        configuration, user, subject_id = self._parts.configuration(), person.user, person.subject_id
        portal = next((name for name, each in configuration.applications.items() if each.settings.kind == "portal"), "")
        settings = person.realm.settings
        whom = Whom(subject_id, user.name, portal, "", new_reference(), user.language or settings.language, settings.name)
        holder = holder_of(self._parts.ring(), subject_id, user, (), (), person.contacts)
        mails = tell(self._parts, whom, [Addressee(Channel.EMAIL, to) for to in each_mail(holder)], notice)
        if not mails:
            return False
        details = {"user": user.name, "directory": user.directory, "why": why}
        about = (to_ms(now), "engine", None, whom.reference, subject_id)
        event = AuditEvent(Kind.REMINDER_SENT, *about, details=details)
        return isinstance(await self._storage.commit([noted, record(event), *mails]), Committed)


def note_reminded(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """He is reminded now; refused where he was within the time. Runs inside storage."""
    row: dict[str, Value] = {"put_off": 0, "put_off_at": 0, "reminded_at": 0, "met_at": None}
    row.update({name: value for name, value in (old or {}).items() if name in row})
    now, every, at = arguments["now"], arguments["every_ms"], row["reminded_at"]
    if not isinstance(now, int) or not isinstance(every, int) or (isinstance(at, int) and now - every < at <= now + CLOCK_STEP_MS):
        return Modified(None, refuse=True)
    return Modified({**row, "reminded_at": now})
