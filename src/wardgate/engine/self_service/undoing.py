"""What the links in messages do, once somebody has pressed the button behind one: take a change back, or say that it was not him.

A link proves that its reader has a mailbox or a phone of the account, no more: it ends and takes back, and signs nobody in. What
had been removed comes back under the hold of a new contact, so that an old mailbox does not reset the password the same day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wardgate.account.contact import (
    MAX_CONTACTS,
    TABLE,
    Contact,
    Source,
    compared,
    contact_key,
    create_contact,
    kept_contacts,
    usable_contacts,
)
from wardgate.account.freeze import asked, unfrozen
from wardgate.account.mail_link import MailLink, Purpose, from_row, mac_of, use
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.directory.port import ContactKind, ContactWriting, Directory, DirectoryUser, RightMissing
from wardgate.engine.accounts import directory_of
from wardgate.engine.notices import ACCOUNT, CHANNELS, Addressee, everywhere, page_address, tell
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.contacts import masked
from wardgate.engine.self_service.disputing import Disputed, Disputing
from wardgate.engine.wording import Notice, Whom
from wardgate.errors import Conflict, DirectoryUnavailable
from wardgate.session.sessions import end_all
from wardgate.storage.port import Committed, Delete, Operation, Row, Update, Where
from wardgate.texts import Text, render_in_message

_TRIES: Final = 5
_MOST_LINKS: Final = 20


@dataclass(frozen=True, slots=True)
class _Person:
    """Whose link it is, as far as his directory answers."""

    user: DirectoryUser | None
    directory: Directory | None


class Undoing:
    """One per engine."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._disputing = Disputing(parts)

    async def find(self, token: str) -> MailLink | Text:
        """The link of a token, or why there is none to use. Changes nothing."""
        mac = mac_of(self._parts.ring(), token)
        return await self.find_by(mac) if mac is not None else Text("link.expired")

    async def find_by(self, mac: bytes) -> MailLink | Text:
        """The same by its fingerprint."""
        row = await self._storage.get("mail_link", {"link_mac": mac})
        link = from_row(self._parts.ring(), row) if row is not None else None
        if link is None:
            return Text("link.expired")
        if link.used_at is not None:
            return Text("link.used")
        return link if link.is_open(to_ms(self._parts.clock.now())) else Text("link.expired")

    async def act(self, mac: bytes, trail: Trail) -> Text:
        """Do what the link is for, once; returns what came of it.

        Raises DirectoryUnavailable where something was written to a directory that cannot be asked now: nothing was done then.
        """
        link = await self.find_by(mac)
        if isinstance(link, Text):
            return link
        trail.application, trail.user = str(link.payload["application"]), str(link.payload["user"])
        person = await self._person(link)
        if link.purpose is Purpose.NOT_ME:
            return await self._disputed(link, person, trail)
        if await self._is_frozen(link):
            return Text("freeze.on", {"ref": trail.reference})
        await self._write_back(link, person, trail)
        for _ in range(_TRIES):
            unit = await self._unit(link, person, trail)
            if isinstance(await self._storage.commit(unit), Committed):
                trail.stored = True
                return Text(f"link.done_{link.purpose.value}", {"ref": trail.reference})
            again = await self.find_by(mac)
            if isinstance(again, Text):
                # Another press of the button was first.
                return again
            if await self._is_frozen(link):
                return Text("freeze.on", {"ref": trail.reference})
        return Text("down.ours", {"ref": trail.reference})

    async def _is_frozen(self, link: MailLink) -> bool:
        """While the account is frozen nothing comes back to it: what comes with the end of the freeze comes then."""
        [rows] = await self._storage.read([asked(link.subject_id)])
        return bool(rows)

    # --- "this was not me" -----------------------------------------------------------------------------------------

    async def _disputed(self, link: MailLink, person: _Person, trail: Trail) -> Text:
        async def write_back(written: MailLink) -> None:
            await self._write_back(written, person, trail)

        if await self._disputing.by_link(link, person.user, trail, write_back):
            return Text("link.done_not_me", {"ref": trail.reference})
        again = await self.find_by(link.mac)
        return again if isinstance(again, Text) else Text("down.ours", {"ref": trail.reference})

    async def dispute(self, whom: Whom, user: DirectoryUser, disputed: Disputed, trail: Trail) -> bool:
        """The same for somebody who is signed in. False: it could not be done, and nothing was."""
        directory = directory_of(self._parts.configuration(), user.directory)

        async def write_back(written: MailLink) -> None:
            await self._write_back(written, _Person(user, directory), trail)

        return await self._disputing.by_person(whom, user, disputed, trail, write_back)

    # --- a change of contacts is taken back ------------------------------------------------------------------------

    async def _unit(self, link: MailLink, person: _Person, trail: Trail) -> list[Operation]:
        now_ms, subject_id = to_ms(self._parts.clock.now()), link.subject_id
        [rows] = await self._storage.read([kept_contacts(subject_id)])
        ended = AuditEvent(Kind.SESSION_ENDED, now_ms, "session", subject_id=subject_id, details={"why": link.purpose.value})
        trail.result, trail.reason = "granted", link.purpose.value
        entry = trail.entry(self._parts.ring(), now_ms)
        unit: list[Operation] = [use(link, now_ms), unfrozen(subject_id), end_all(subject_id), record(ended)]
        taken, back = self._taken(link, rows), self._back(link, rows)
        told = _what(link, bool(back))
        what = {name: str(told[key]) for name, key in (("taken", "value"), ("back", "back")) if key in told}
        unit += [*taken, *back, self._event(Kind.CONTACT_UNDONE, link, trail, told)]
        return [*unit, *self._tell(link, self._old(link, person, rows, bool(back)), "contact_undone", what, trail), entry]

    def _taken(self, link: MailLink, rows: Sequence[Row]) -> list[Operation]:
        """What takes the added one away: that one, and not one of the same value that came later."""
        added = _part(link, "added")
        if not added:
            return []
        kind = ContactKind(added["kind"])
        key = contact_key(self._parts.ring(), link.subject_id, kind, str(added["value"]))
        whose = (Where("subject_id", "=", link.subject_id), Where("kind", "=", kind.value), Where("value_key", "=", key))
        return [Delete(TABLE, (*whose, Where("created_at", "=", int(added["created_at"]))))]

    def _back(self, link: MailLink, rows: Sequence[Row]) -> list[Operation]:
        """What brings the removed one back: verified anew, so that it is on hold like any new contact."""
        removed = _part(link, "removed")
        if not removed:
            return []
        ring, now_ms, kind = self._parts.ring(), to_ms(self._parts.clock.now()), ContactKind(removed["kind"])
        key = contact_key(ring, link.subject_id, kind, str(removed["value"]))
        mine = [row for row in rows if row["kind"] == kind.value]
        if any(row["value_key"] == key for row in mine) or len(mine) > MAX_CONTACTS:
            return []
        made = create_contact(ring, link.subject_id, kind, str(removed["value"]), Source.PERSON, now_ms, now_ms)
        if removed.get("preferred") and not any(row["preferred"] and not self._is_added(link, row) for row in mine):
            made.append(Update(TABLE, {"subject_id": link.subject_id, "kind": kind.value, "value_key": key}, {"preferred": 1}))
        return made

    def _is_added(self, link: MailLink, row: Row) -> bool:
        return row["created_at"] == _part(link, "added").get("created_at")

    async def _write_back(self, link: MailLink, person: _Person, trail: Trail) -> None:
        """The directory's own one as it was, unless somebody else has changed it since."""
        written = _part(link, "written")
        if not written:
            return
        kind, user, directory = ContactKind(written["kind"]), person.user, person.directory
        if directory is None or user is None:
            raise DirectoryUnavailable("the directory that the change was written to cannot be asked now")
        present = user.phone if kind is ContactKind.PHONE else user.mail
        if present != written["new"] or not isinstance(directory, ContactWriting):
            return
        outcome = "written"
        try:
            await directory.write_contact(user, kind, written["old"], self._parts.directory_timeout_s)
        except (RightMissing, Conflict):
            outcome = "refused"
        told = {"contact": kind.value, "outcome": outcome, "directory": user.directory}
        await self._storage.commit([self._event(Kind.CONTACT_WRITTEN, link, trail, told)])

    def _old(self, link: MailLink, person: _Person, rows: Sequence[Row], back: bool) -> list[Addressee]:
        """Every contact but the one that was taken away, and the one that came back."""
        added, removed = _part(link, "added"), _part(link, "removed")
        gone = compared(str(added["value"])) if added else None
        kept: list[Contact] = usable_contacts(self._parts.ring(), rows)
        found = [each for each in everywhere(person.user, kept) if compared(each.to) != gone]
        if removed and back:
            found.append(Addressee(CHANNELS[ContactKind(removed["kind"])], str(removed["value"])))
        return found

    # --- small things ----------------------------------------------------------------------------------------------

    async def _person(self, link: MailLink) -> _Person:
        """Whoever it is by his directory; where none answers, what can be done without it is done."""
        links = await self._storage.find("subject_link", [Where("subject_id", "=", link.subject_id)], limit=_MOST_LINKS)
        ids = {str(row["directory"]): str(row["immutable_id"]) for row in links}
        named = link.payload.get("directory")
        for realm in self._parts.configuration().realms:
            for directory in realm.directories:
                if directory.name not in ids or named not in (None, directory.name):
                    continue
                try:
                    user = await directory.get(ids[directory.name], self._parts.directory_timeout_s)
                except DirectoryUnavailable:
                    continue
                if user is not None:
                    return _Person(user, directory)
        return _Person(None, None)

    def _tell(
        self, link: MailLink, addressees: Sequence[Addressee], happened: str, what: Mapping[str, str], trail: Trail
    ) -> tuple[Operation, ...]:
        payload = link.payload
        said = (trail.reference, str(payload["language"]), str(payload.get("realm", "")))
        whom = Whom(link.subject_id, str(payload["user"]), str(payload["application"]), "", *said)
        told = [render_in_message(Text(f"notice.undone_{name}", {"value": value}), whom.language) for name, value in what.items()]
        notice = Notice(happened, {"what": " ".join(told)}, link=page_address(self._parts, ACCOUNT), link_text="notice.link_see")
        return tell(self._parts, whom, addressees, notice)

    def _event(self, kind: Kind, link: MailLink, trail: Trail, more: Mapping[str, object]) -> Operation:
        details = {"user": str(link.payload["user"]), "of": str(link.payload["reference"]), **more}
        now_ms, subject_id = to_ms(self._parts.clock.now()), SubjectId(link.subject_id)
        return record(AuditEvent(kind, now_ms, "person", reference=trail.reference, subject_id=subject_id, details=details))


def _part(link: MailLink, name: str) -> Mapping[str, Any]:
    part = link.payload.get(name)
    return part if isinstance(part, Mapping) else {}


def _what(link: MailLink, back: bool) -> dict[str, object]:
    """What went and what came back, masked."""
    told: dict[str, object] = {}
    for name, key in (("added", "value"), ("removed", "back")):
        part = _part(link, name)
        if part and (name == "added" or back):
            told |= {"contact": part["kind"], key: masked(ContactKind(part["kind"]), str(part["value"]))}
    return told
