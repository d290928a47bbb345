"""A forgotten user name: sent to a phone or mail address that is known to be the person's, and to nobody else.

Whoever asks learns nothing: he gets one answer, whatever was found. What is found goes out by the outbox, after the reply. Every
directory is asked for every mail address, and every request leaves as many records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from wardgate.account import directory_contact
from wardgate.account.contact import Source, compared, open_contact, owners_of
from wardgate.account.subject import SubjectId, link_of, subject_in
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.contacts import normalise_mail, normalise_phone
from wardgate.directory.names import canonical_name
from wardgate.directory.port import MAX_SHARING, AccountState, ContactKind, Directory, DirectoryUser, MailSharing
from wardgate.directory.realm import Realm
from wardgate.engine import brakes, turns
from wardgate.engine.notices import CHANNELS, Addressee, tell
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.contacts import FACTORS, masked
from wardgate.engine.sending import MessageLimits
from wardgate.engine.wording import Notice, Whom
from wardgate.errors import DirectoryUnavailable, MessageError, SealError
from wardgate.factors import BY_KIND
from wardgate.factors.port import Holder
from wardgate.storage.port import Committed, Operation, Row, Where
from wardgate.texts import Text, language_of, render_in_message

GOAL: Final = "recover_name"
PER_CONTACT_A_DAY: Final = 3
PER_SOURCE_AN_HOUR: Final = 20
MAX_CHARS: Final = 256
# Of people who share a contact, so many are told of.
MAX_OWNERS: Final = 10
_CONTACT_BRAKE: Final = "name_contact"
_SOURCE_BRAKE: Final = "name_asked"
_MAY: Final = (AccountState.ACTIVE, AccountState.LOCKED)


@dataclass(frozen=True, slots=True)
class _Found:
    """An account that answers to the contact. `to`: the contact as we know it, which whoever asked may have written otherwise."""

    to: str
    subject_id: SubjectId | None
    user: DirectoryUser
    realm: Realm


@dataclass(frozen=True, slots=True)
class Asking:
    """What somebody typed, and from where."""

    application: str
    typed: str
    client: str | None
    source: str
    language: str
    trail: Trail


class UserNames:
    """One per engine."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._limits = MessageLimits(parts)

    async def ask(self, asking: Asking) -> Text | None:
        """Send the user names that belong to a contact to it. None: it was asked, whatever came of it.

        A text says why nothing was even looked for: too many requests of this source, or a directory that does not answer, which
        both depend on what was typed and not on whose it is.
        """
        trail, now_ms = asking.trail, to_ms(self._parts.clock.now())
        trail.application, trail.result, trail.reason = asking.application, "denied", GOAL
        if not await self._take(_SOURCE_BRAKE, brakes.asker(asking.client, asking.source), now_ms, hour=PER_SOURCE_AN_HOUR):
            trail.reason = "brake_source"
            return Text("wait.source", {"min": 60, "ref": trail.reference})
        read = self._read(asking.typed)
        if read is None:
            trail.note("neither a phone number nor a mail address")
            await self._record(asking, None, "", [], ())
            return None
        kind, value = read
        may = await self._take(_CONTACT_BRAKE, compared(value), now_ms, day=PER_CONTACT_A_DAY)
        try:
            found = await self._found(asking, kind, value)
        except DirectoryUnavailable as error:
            trail.reason = "directory_down"
            trail.note("a directory did not answer", error=error.message)
            return Text("down.directory", {"ref": trail.reference})
        trail.note("accounts of this contact", accounts=len(found))
        if not may:
            trail.note("this contact had its messages of the day")
        told = [each for each in found if _same_place(each.to, found[0].to)] if may else []
        messages = await self._messages(asking, kind, told) if told else ()
        await self._record(asking, kind, value, told if messages else [], messages)
        return None

    def _read(self, typed: str) -> tuple[ContactKind, str] | None:
        text = typed.strip()[: MAX_CHARS + 1]
        try:
            if "@" in text:
                mail = normalise_mail(text)
                return (ContactKind.MAIL, mail) if canonical_name(mail) is not None else None
            return ContactKind.PHONE, normalise_phone(text, self._parts.configuration().realms.default.settings.region)
        except MessageError:
            return None

    # --- whose it is -----------------------------------------------------------------------------------------------

    async def _found(self, asking: Asking, kind: ContactKind, value: str) -> list[_Found]:
        """The accounts: of the people who verified the contact, and those whose directory tells the mail address."""
        own = await self._of_owners(asking, kind, value)
        told = await self._of_directories(asking, value) if kind is ContactKind.MAIL else []
        once = {(each.user.directory, each.user.immutable_id): each for each in [*own, *told] if each.user.state in _MAY}
        return list(once.values())[:MAX_OWNERS]

    async def _of_owners(self, asking: Asking, kind: ContactKind, value: str) -> list[_Found]:
        ring = self._parts.ring()
        [rows] = await self._storage.read([owners_of(ring, kind, value, MAX_OWNERS)])
        found: list[_Found] = []
        for to, subject_id in filter(None, (self._owner(row, asking.application) for row in rows)):
            links = await self._storage.find("subject_link", [Where("subject_id", "=", subject_id)], limit=MAX_OWNERS)
            for link in links:
                each = await self._account(to, subject_id, str(link["directory"]), str(link["immutable_id"]))
                found += [each] if each is not None else []
        return found

    def _owner(self, row: Row, application: str) -> tuple[str, SubjectId] | None:
        """Whose it is, if it opens, and is past its hold where the person set it up himself."""
        try:
            contact = open_contact(self._parts.ring(), row)
        except SealError:
            return None
        hold_s = self._parts.configuration().applications[application].policy.self_service.contact_hold_s
        own, since = contact.source == Source.PERSON.value, contact.verified_at
        if since is None or (own and since + timedelta(seconds=hold_s) > self._parts.clock.now()):
            return None
        return contact.value, contact.subject_id

    async def _account(self, to: str, subject_id: SubjectId, directory: str, immutable_id: str) -> _Found | None:
        """Only who has such a contact is looked up here: an outage is no answer, or it would tell that there is somebody."""
        for realm, each in self._directories():
            if each.name == directory:
                try:
                    user = await each.get(immutable_id, self._parts.directory_timeout_s)
                except DirectoryUnavailable:
                    return None
                return _Found(to, subject_id, user, realm) if user is not None else None
        return None

    async def _of_directories(self, asking: Asking, mail: str) -> list[_Found]:
        """Those who have exactly this address: a directory finds by login name as well, which is no mailbox."""
        wanted, found = compared(mail), list[_Found]()
        for realm, directory in self._directories():
            for user in await self._sharing(directory, mail):
                to = next((each for each in (user.mail, *user.other_mails) if each and compared(each) == wanted), None)
                if to is None or user.state not in _MAY:
                    continue
                known = subject_in(*await self._storage.read([link_of(user.directory, user.immutable_id)]))
                if known is None or not await self._is_held(asking, known, directory, user, to):
                    found.append(_Found(to, known, user, realm))
        return found

    async def _sharing(self, directory: Directory, mail: str) -> tuple[DirectoryUser, ...]:
        """Whom the address may mean there. A directory that cannot tell of several finds the only one, or nobody."""
        timeout_s = self._parts.directory_timeout_s
        if isinstance(directory, MailSharing):
            return await directory.sharing_mail(mail, timeout_s, MAX_SHARING)
        user = await directory.find(mail, timeout_s)
        return (user,) if user is not None else ()

    async def _is_held(self, asking: Asking, subject_id: SubjectId, directory: Directory, user: DirectoryUser, to: str) -> bool:
        """Whether the directory tells this address for too short a time."""
        now_ms = to_ms(self._parts.clock.now())
        [rows] = await self._storage.read([directory_contact.asked(subject_id, user.directory)])
        since = directory_contact.first_seen(self._parts.ring(), subject_id, directory, user, rows, now_ms).get(compared(to))
        hold_s = self._parts.configuration().applications[asking.application].policy.self_service.contact_hold_s
        return since is not None and now_ms < since + hold_s * 1000

    def _directories(self) -> list[tuple[Realm, Directory]]:
        """Each once, with the first realm that asks it."""
        named = {
            each.name: (realm, each) for realm in reversed(list(self._parts.configuration().realms)) for each in realm.directories
        }
        return list(named.values())

    # --- what goes out ---------------------------------------------------------------------------------------------

    async def _messages(self, asking: Asking, kind: ContactKind, found: Sequence[_Found]) -> tuple[Operation, ...]:
        """One message with all names, to the contact as we know it: two addresses that compare alike may be two mailboxes."""
        first, trail, value = found[0], asking.trail, found[0].to
        subject_id = first.subject_id or SubjectId("")
        phone, mail = (value, None) if kind is ContactKind.PHONE else (None, value)
        factor, holder = BY_KIND[FACTORS[kind]], Holder(subject_id, (), phone, mail)
        if factor.channel not in self._parts.configuration().channels:
            return ()
        if not await self._limits.may_send(factor, holder, False, trail, asking.application, first.user.name):
            return ()
        language = language_of(first.user.language or asking.language)
        many = len(found) > 1
        lines = [_line(each, many, language) for each in found]
        values: dict[str, str | int] = {
            "names": (", " if kind is ContactKind.PHONE else "\n").join(lines),
            "address": f"{self._parts.public_url}/sign-in",
        }
        whom = Whom(subject_id, first.user.name, asking.application, "", trail.reference, language, first.realm.name)
        return tell(self._parts, whom, [Addressee(CHANNELS[kind], value)], Notice("user_name", values))

    async def _take(self, brake: str, of: str, now_ms: int, hour: int = 1000, day: int = 1000) -> bool:
        """One more of its hour and day, for contacts that are nobody's as well."""
        key = self._parts.ring().mac(f"brake-{brake}", of.encode("utf-8", "replace"))
        taken = await self._storage.commit([turns.take_turn(brake, key, now_ms, hour, day)])
        return isinstance(taken, Committed) and taken.results[0] == 0

    async def _record(
        self, asking: Asking, kind: ContactKind | None, value: str, found: Sequence[_Found], messages: Sequence[Operation]
    ) -> None:
        trail, now_ms = asking.trail, to_ms(self._parts.clock.now())
        trail.result, trail.reason = "granted" if messages else "denied", GOAL
        details: dict[str, object] = {"application": asking.application, "source": trail.source, "accounts": len(found)}
        if kind is not None:
            details |= {"contact": kind.value, "value": masked(kind, value)}
        subject = found[0].subject_id if len(found) == 1 else None
        event = AuditEvent(Kind.USER_NAMES_SENT, now_ms, "engine", reference=trail.reference, subject_id=subject, details=details)
        trail.stored = True
        await self._storage.commit([*messages, record(event), trail.entry(self._parts.ring(), now_ms)])


def _line(found: _Found, many: bool, language: str) -> str:
    form = "username.line_realm" if many else "username.line"
    return render_in_message(Text(form, {"user": found.user.name, "realm": found.realm.name}), language)


def _same_place(one: str, other: str) -> bool:
    """Whether two ways to write a contact are one mailbox. Letters beyond ASCII that only look alike make two."""
    return one == other or (one.isascii() and other.isascii() and one.lower() == other.lower())
