"""A person's own phones and mail addresses: added by a code that he reads there, replaced, preferred, removed, and told everywhere.

What changes here decides who gets the codes and resets the password, so every change is told to all contacts, the old ones above
all, with a link that takes it back. A new contact is good for signing in at once and for a reset only after the hold; those
that a new person adds on the first visit are the first ones, and count at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from wardgate.account import directory_contact
from wardgate.account.authenticator import Authenticator, AuthenticatorState, active_and_held, kept_authenticators
from wardgate.account.contact import (
    MAX_CONTACTS,
    TABLE,
    Contact,
    Source,
    compared,
    contact_key,
    create_contact,
    kept_contacts,
    merge,
    open_contact,
    prefer,
    remove_contact,
    usable_contacts,
)
from wardgate.account.freeze import asked, unfrozen
from wardgate.account.mail_link import Purpose, from_row, links_of, make
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import from_ms, to_ms
from wardgate.contacts import is_costly, mask_mail, mask_phone, normalise_mail, normalise_phone
from wardgate.crypto import new_id
from wardgate.directory.names import canonical_domain, canonical_name
from wardgate.directory.port import ContactKind, ContactWriting, Directory, DirectoryUser, RightMissing
from wardgate.engine.holders import holder_of
from wardgate.engine.messages import send_code
from wardgate.engine.notices import CHANNELS, Addressee, everywhere, link_address, tell
from wardgate.engine.prefixes import is_allowed
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.flow import Flow
from wardgate.engine.self_service.start_code import KIND as ACTIVATED
from wardgate.engine.sending import MessageLimits
from wardgate.engine.wording import Notice, Whom, moment_in
from wardgate.errors import Conflict, DirectoryUnavailable, MessageError, SealError
from wardgate.factors import BY_KIND, SECOND_FACTORS
from wardgate.factors.port import MAX_ANSWER_BYTES, Factor, Holder, Right, Task
from wardgate.jsons import dumps, loads
from wardgate.session.sessions import Whose
from wardgate.storage.port import Committed, Delete, Operation, Row, Update, Where
from wardgate.texts import Text

PENDING_MS: Final = 10 * 60_000
# Two contacts, each with a code, and time to find the phone.
FIRST_VISIT_MS: Final = 30 * 60_000
CODE_TRIES: Final = 3
GOAL: Final = "change"
FACTORS: Final[Mapping[ContactKind, str]] = {ContactKind.PHONE: "sms", ContactKind.MAIL: "email"}
# The directory's own one of a kind, where a person's has its fingerprint.
OF_DIRECTORY: Final = "directory-"
_ID_CHARS: Final = 32
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose contacts they are, as directory and session tell him. `directory`: None where it is configured no more.

    `is_new`: this is the first visit, which an activation opened a short while ago.
    """

    whose: Whose
    user: DirectoryUser
    application: str
    directory: Directory | None
    region: str | None
    domains: tuple[str, ...]
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A contact for its page. `used`: codes of its kind go there. `held_until`: until then it resets no password.

    `id`: empty for one that nothing can be done with. `writable`: the directory takes another in its place.
    """

    id: str
    kind: ContactKind
    masked: str
    own: bool
    verified: bool
    used: bool
    preferred: bool
    held_until: datetime | None
    writable: bool


@dataclass(frozen=True, slots=True)
class Pending:
    """A contact that waits for its code. `replaces`: the id of the one whose place it takes, or empty."""

    id: str
    kind: ContactKind
    value: str = field(repr=False)
    replaces: str
    ends_at: int
    memory: Mapping[str, object] = field(default_factory=dict, repr=False)
    sent_at: int = 0
    resends: int = 0
    tries: int = CODE_TRIES

    def tried(self) -> "Pending":
        """The same with a try less."""
        return replace(self, tries=self.tries - 1)

    def text(self) -> str:
        """For whoever keeps it, sealed."""
        names = ("id", "value", "replaces", "ends_at", "sent_at", "resends", "tries")
        return dumps({"kind": self.kind.value, "memory": dict(self.memory), **{name: getattr(self, name) for name in names}})


def pending_in(text: str) -> Pending:
    """What `Pending.text` wrote."""
    body = loads(text)
    return Pending(**{**body, "kind": ContactKind(body["kind"])})


@dataclass(frozen=True, slots=True)
class _Change:
    """What a change comes to: what is told of it, and what would undo it."""

    happened: str
    kind: ContactKind
    new: str = ""
    old: str = ""
    old_linked: bool = True
    payload: Mapping[str, object] = field(default_factory=dict)


class OwnContacts:
    """One per engine; all its state is in storage and with whoever keeps what is pending."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._limits = MessageLimits(parts)

    def owner(self, whose: Whose, user: DirectoryUser, application: str, proofs: Mapping[str, int]) -> Owner:
        """The person behind a session. `proofs`: what was proved in it, each with when."""
        realms = list(self._parts.configuration().realms)
        directory = next((each for realm in realms for each in realm.directories if each.name == user.directory), None)
        settings = next((realm.settings for realm in realms if realm.name == whose.realm), None)
        domains = settings.domains if settings is not None else ()
        age_ms = to_ms(self._parts.clock.now()) - proofs.get(ACTIVATED, -FIRST_VISIT_MS)
        region = settings.region if settings is not None else None
        return Owner(whose, user, application, directory, region, domains, is_new=0 <= age_ms < FIRST_VISIT_MS)

    # --- looking ---------------------------------------------------------------------------------------------------

    async def listed(self, owner: Owner) -> list[Shown]:
        """All contacts of a person: his own, then the directory's."""
        subject_id, ring = owner.whose.subject_id, self._parts.ring()
        rows, seen = await self._storage.read(
            [kept_contacts(subject_id), directory_contact.asked(subject_id, owner.user.directory)]
        )
        usable = usable_contacts(ring, rows)
        reach, since = merge(owner.user, usable), self._new_there(owner, seen, usable)
        used = {ContactKind.PHONE: reach.phone, ContactKind.MAIL: reach.mail}
        own = [self._shown(owner, each, used[each.kind]) for each in self._opened(rows)]
        return own + [
            self._of_directory(owner, kind, value, used[kind], since.get(compared(value)))
            for kind, values in _of_directory(owner.user).items()
            for value in values
        ]

    async def find(self, owner: Owner, contact_id: str) -> Shown | None:
        """The one of this id. Somebody else's is not there."""
        return next((each for each in await self.listed(owner) if each.id and each.id == contact_id), None)

    def _shown(self, owner: Owner, contact: Contact, used: str | None) -> Shown:
        verified = contact.verified_at is not None
        return Shown(
            id=_id_of(contact.key),
            kind=contact.kind,
            masked=masked(contact.kind, contact.value),
            own=True,
            verified=verified,
            used=verified and used is not None and compared(contact.value) == compared(used),
            preferred=contact.preferred,
            held_until=self._held_until(owner, contact),
            writable=True,
        )

    def _new_there(self, owner: Owner, seen: Sequence[Row], usable: Sequence[Contact]) -> Mapping[str, int]:
        """Since when the directory tells what is new there, but for what is one of his own as well."""
        if owner.directory is None:
            return {}
        now_ms, ours = to_ms(self._parts.clock.now()), {compared(each.value) for each in usable}
        about = (self._parts.ring(), owner.whose.subject_id, owner.directory, owner.user, seen, now_ms)
        return {value: at_ms for value, at_ms in directory_contact.first_seen(*about).items() if value not in ours}

    def _of_directory(self, owner: Owner, kind: ContactKind, value: str, used: str | None, since_ms: int | None) -> Shown:
        first = value == _first(owner.user, kind)
        writable = first and _writer(owner.directory, kind) is not None
        return Shown(
            id=f"{OF_DIRECTORY}{kind.value}" if first else "",
            kind=kind,
            masked=masked(kind, value),
            own=False,
            verified=True,
            used=used is not None and compared(value) == compared(used),
            preferred=False,
            held_until=self._hold_of(owner, from_ms(since_ms)) if since_ms is not None else None,
            writable=writable,
        )

    def _held_until(self, owner: Owner, contact: Contact) -> datetime | None:
        """Until when a contact that he set up himself resets nothing; None where it does."""
        if contact.source != Source.PERSON.value or contact.verified_at is None:
            return None
        return self._hold_of(owner, contact.verified_at)

    def _hold_of(self, owner: Owner, since: datetime) -> datetime | None:
        """Until when a contact of that age resets nothing; None where it does."""
        until = since + timedelta(seconds=self._hold_s(owner.application))
        return until if until > self._parts.clock.now() else None

    def _hold_s(self, application: str) -> int:
        return self._parts.configuration().applications[application].policy.self_service.contact_hold_s

    # --- a new one -------------------------------------------------------------------------------------------------

    async def prepare(self, owner: Owner, kind: ContactKind, typed: str, replaces: str) -> Pending | Text:
        """A contact that may be added once its code was right, or why it may not. Sends nothing."""
        try:
            value = normalise_phone(typed, owner.region) if kind is ContactKind.PHONE else normalise_mail(typed)
        except MessageError:
            return Text(f"contact.format_{kind.value}")
        if kind is ContactKind.MAIL and canonical_name(value) is None:
            return Text("contact.format_mail")
        if self._is_refused(owner, kind, value):
            return Text("contact.refused")
        problem = await self._problem(owner, kind, value, replaces)
        if problem is not None:
            return problem
        return Pending(new_id(), kind, value, replaces, to_ms(self._parts.clock.now()) + PENDING_MS)

    def _is_refused(self, owner: Owner, kind: ContactKind, value: str) -> bool:
        """Numbers that cost more, prefixes that are closed, and mailboxes behind the password that they would reset."""
        if kind is ContactKind.PHONE:
            return is_costly(value) or not is_allowed(value, self._parts.configuration().sending)
        domains = [mail.rpartition("@")[2] for mail in (owner.user.mail, *owner.user.other_mails) if mail]
        closed = {canonical_domain(each) for each in (*domains, *owner.domains)}
        return canonical_domain(value.rpartition("@")[2]) in closed

    async def _frozen(self, owner: Owner) -> Text | None:
        """Why nothing may be changed while the account is frozen. What refuses the commit is a condition of it."""
        [rows] = await self._storage.read([asked(owner.whose.subject_id)])
        return Text("freeze.on") if rows else None

    async def _problem(self, owner: Owner, kind: ContactKind, value: str, replaces: str) -> Text | None:
        frozen = await self._frozen(owner)
        if frozen is not None:
            return frozen
        rows = await self._rows(owner)
        if _has(owner.user, kind, value) or any(
            row["verified_at"] is not None and row["value_key"] == self._key(owner, kind, value) for row in rows
        ):
            return Text("contact.have")
        if replaces:
            old = await self.find(owner, replaces)
            if old is None or old.kind is not kind or not old.writable:
                return Text("contact.gone")
            if old.own:
                return self._no_removal(owner, _row_of(rows, replaces))
        full = sum(row["kind"] == kind.value for row in rows) >= MAX_CONTACTS
        return Text("account.too_many") if full else None

    async def send(self, owner: Owner, pending: Pending, trail: Trail, kept: Callable[[Pending], Operation]) -> Text | None:
        """Send a code to it, or say why none can go now. Earlier ones still work until they run out.

        `kept`: keeps what was sent, and refuses where another request was first: of several at once one sends, and none says so.
        """
        configuration, now_ms = self._parts.configuration(), to_ms(self._parts.clock.now())
        factor, holder = self._factor(pending), self._holder(owner, pending)
        self._begun(owner, pending, trail)
        resend = bool(pending.memory)
        wait_s = self._resend_wait_s(pending, now_ms) if resend else 0
        if wait_s is None or wait_s > 0:
            return Text("code.no_more") if wait_s is None else Text("code.wait", {"s": wait_s})
        if factor.channel not in configuration.channels:
            trail.note("no gateway takes such messages", factor=factor.kind)
            return Text("contact.not_sent")
        if not await self._limits.may_send(factor, holder, resend, trail, owner.application, owner.user.name):
            return Text("code.no_more")
        asked = factor.ask(holder, self._task(pending), pending.memory)
        if asked.sending is None:
            return Text("contact.not_sent")
        trail.result, trail.reason = "challenged", "contact_code"
        application, life_s = configuration.applications[owner.application], configuration.codes.life_s
        operations = send_code(self._parts, application, self._flow(owner, pending, trail), asked.sending, life_s, trail)
        sent = replace(pending, memory=asked.memory, sent_at=now_ms, resends=pending.resends + int(resend))
        commit = await self._storage.commit([kept(sent), *operations, trail.entry(self._parts.ring(), now_ms)])
        trail.stored = isinstance(commit, Committed)
        return None

    def is_over(self, pending: Pending) -> bool:
        """Whether no code can verify it any more."""
        return pending.tries <= 0 or to_ms(self._parts.clock.now()) >= pending.ends_at

    def is_right(self, owner: Owner, pending: Pending, given: bytes) -> bool:
        """Whether this is a code that was sent to this very contact for this very change. Whoever asks takes a try for it."""
        if len(given) > MAX_ANSWER_BYTES or self.is_over(pending):
            return False
        verdict = self._factor(pending).verify(self._holder(owner, pending), self._task(pending), pending.memory, given)
        return isinstance(verdict, Right)

    async def add(self, owner: Owner, pending: Pending, trail: Trail) -> Text:
        """It was verified: keep it, in the place of the one that it replaces, and tell everybody. Returns what to say.

        Where the directory is to have it, we keep it all the same, and first: our copy is what holds it back from resets, and what
        was told to the old contact must not depend on how the directory answers.
        """
        self._begun(owner, pending, trail)
        for_directory = pending.replaces.startswith(OF_DIRECTORY)
        for _ in range(_TRIES):
            problem = await self._problem(owner, pending.kind, pending.value, pending.replaces)
            if problem is not None:
                return problem
            if isinstance(await self._storage.commit(await self._added(owner, pending, for_directory, trail)), Committed):
                trail.stored = True
                if for_directory and not await self._write(owner, pending, trail):
                    return Text("contact.not_written", {"time": self._hold_ends(owner)})
                return (
                    Text("contact.first") if _is_first(owner, pending) else Text("contact.hold", {"time": self._hold_ends(owner)})
                )
        return Text("flow.done_elsewhere")

    async def wrong(self, owner: Owner, pending: Pending, trail: Trail) -> None:
        """Put a wrong code on record."""
        self._begun(owner, pending, trail)
        trail.result, trail.reason, now_ms = "denied", "code_wrong", to_ms(self._parts.clock.now())
        details = {"user": owner.user.name, "goal": GOAL, "reason": "code_wrong", "contact": pending.kind.value}
        event = AuditEvent(
            Kind.SELF_SERVICE_STEP, now_ms, "engine", pending.id, trail.reference, owner.whose.subject_id, details=details
        )
        trail.stored = True
        await self._storage.commit([record(event), trail.entry(self._parts.ring(), now_ms)])

    async def _added(self, owner: Owner, pending: Pending, for_directory: bool, trail: Trail) -> list[Operation]:
        ring, now_ms, subject_id = self._parts.ring(), to_ms(self._parts.clock.now()), owner.whose.subject_id
        rows, kind, value = await self._rows(owner), pending.kind, pending.value
        key = self._key(owner, kind, value)
        old_row = None if for_directory else _row_of(rows, pending.replaces)
        old, linked = (_first(owner.user, kind) or "") if for_directory else "", True
        unit: list[Operation] = [unfrozen(subject_id)]
        payload: dict[str, object] = {"added": {"kind": kind.value, "value": value, "created_at": now_ms}}
        if for_directory:
            payload["written"] = {"kind": kind.value, "old": old or None, "new": value}
        if old_row is not None:
            contact = self._open(old_row)
            unit += [_there(old_row), remove_contact(subject_id, kind, _bytes(old_row["value_key"]))]
            unit.append(self._event(Kind.CONTACT_REMOVED, owner, trail, kind, contact.value if contact else ""))
            old, linked = contact.value if contact else "", contact is None or self._held_until(owner, contact) is None
            payload |= {"removed": _kept(contact)} if contact is not None and contact.verified_at is not None else {}
        # One of the same value that nobody verified gives way.
        unverified = (Where("subject_id", "=", subject_id), Where("kind", "=", kind.value), Where("value_key", "=", key))
        unit.append(Delete(TABLE, (*unverified, Where("verified_at", "is_null"))))
        source = Source.ACTIVATION if _is_first(owner, pending) else Source.PERSON
        unit += create_contact(ring, subject_id, kind, value, source, now_ms, now_ms)
        if old_row is not None and old_row["preferred"]:
            unit.append(Update(TABLE, {"subject_id": subject_id, "kind": kind.value, "value_key": key}, {"preferred": 1}))
        unit.append(self._event(Kind.CONTACT_ADDED, owner, trail, kind, value))
        change = _Change("contact_replaced" if old else "contact_added", kind, value, old, linked, payload)
        said = replace(change, happened="contact_added_first") if source is Source.ACTIVATION else change
        return [*unit, *await self._told(owner, rows, said, trail), self._entry(trail, change.happened)]

    async def _write(self, owner: Owner, pending: Pending, trail: Trail) -> bool:
        """Write it to the directory, and put on record what came of it: where no answer came, it may have been written."""
        directory, outcome = _writer(owner.directory, pending.kind), "refused"
        try:
            if directory is not None:
                await directory.write_contact(owner.user, pending.kind, pending.value, self._parts.directory_timeout_s)
                outcome = "written"
        except DirectoryUnavailable:
            outcome = "unknown"
        except (RightMissing, Conflict) as error:
            trail.note("the directory refused", error=error.message)
        event = self._event(Kind.CONTACT_WRITTEN, owner, trail, pending.kind, pending.value, {"outcome": outcome})
        await self._storage.commit([event])
        return outcome == "written"

    # --- the others ------------------------------------------------------------------------------------------------

    async def prefer(self, owner: Owner, contact_id: str, trail: Trail) -> Text | None:
        """Let codes go there; for the directory's own one: to what the directory tells. Text: why not."""
        for _ in range(_TRIES):
            shown, rows = await self.find(owner, contact_id), await self._rows(owner)
            frozen = await self._frozen(owner)
            if frozen is not None:
                return frozen
            if shown is None or not shown.verified:
                return Text("contact.gone")
            row = _row_of(rows, contact_id)
            key = _bytes(row["value_key"]) if row is not None else None
            contact = self._open(row) if row is not None else None
            event = self._event(Kind.CONTACT_PREFERRED, owner, trail, shown.kind, contact.value if contact else "")
            trail.user, trail.application = owner.user.name, owner.application
            unit = [
                unfrozen(owner.whose.subject_id),
                *prefer(rows, shown.kind, key),
                event,
                self._entry(trail, "contact_preferred"),
            ]
            if isinstance(await self._storage.commit(unit), Committed):
                trail.stored = True
                return None
        return Text("flow.done_elsewhere")

    async def remove(self, owner: Owner, contact_id: str, lost: bool, trail: Trail) -> Text | None:
        """Remove one of his own. `lost`: it is in other hands, or may be: nothing is sent there that could bring it back.

        Text: why it stays.
        """
        for _ in range(_TRIES):
            rows = await self._rows(owner)
            row = _row_of(rows, contact_id)
            if row is None:
                return Text("contact.gone")
            problem, guard = self._no_removal(owner, row), await self._another_way(owner, rows, row)
            if not lost:
                # What is in other hands may go at any time.
                problem = problem or await self._frozen(owner)
                guard = [unfrozen(owner.whose.subject_id), *guard] if guard is not None else None
            if problem is not None or guard is None:
                return problem or Text("account.last_one")
            trail.user, trail.application = owner.user.name, owner.application
            unit = [_there(row), *guard, *await self._removed(owner, rows, row, lost, trail)]
            if isinstance(await self._storage.commit(unit), Committed):
                trail.stored = True
                return None
        return Text("flow.done_elsewhere")

    async def _removed(self, owner: Owner, rows: Sequence[Row], row: Row, lost: bool, trail: Trail) -> list[Operation]:
        kind, contact = ContactKind(str(row["kind"])), self._open(row)
        value = contact.value if contact is not None else ""
        gone = remove_contact(owner.whose.subject_id, kind, _bytes(row["value_key"]))
        event = self._event(Kind.CONTACT_REMOVED, owner, trail, kind, value)
        told: tuple[Operation, ...] = ()
        if contact is not None and contact.verified_at is not None:
            # One that came a short while ago, and goes, may be somebody else's: he is told, and cannot bring it back.
            linked = not lost and self._held_until(owner, contact) is None
            payload = {"removed": {**_kept(contact), "lost": lost}}
            told = await self._told(owner, rows, _Change("contact_removed", kind, "", value, linked, payload), trail)
        return [gone, event, *told, self._entry(trail, "contact_removed")]

    def _no_removal(self, owner: Owner, row: Row | None) -> Text | None:
        """Why one may not go. What was written to the directory is held by the copy that we keep: that one stays so long."""
        contact = self._open(row) if row is not None else None
        if contact is None or self._held_until(owner, contact) is None or not _has(owner.user, contact.kind, contact.value):
            return None
        return Text("contact.on_hold")

    async def _another_way(self, owner: Owner, rows: Sequence[Row], gone: Row) -> list[Operation] | None:
        """What refuses the commit unless another way in is still there; None where there is none now.

        Of two that are removed at once, one stays.
        """
        ring, subject_id = self._parts.ring(), owner.whose.subject_id
        [enrolled] = await self._storage.read([kept_authenticators(subject_id)])
        active, _ = active_and_held(enrolled)

        def opens(contacts: Sequence[Row], authenticators: Sequence[Authenticator]) -> bool:
            holder = holder_of(ring, subject_id, owner.user, authenticators, (), contacts)
            return any(self._serves(each, holder) for each in SECOND_FACTORS if each.kind != RECOVERY_CODE)

        def proves(kept: Authenticator) -> bool:
            return any(each.kind == kept.kind for each in SECOND_FACTORS if each.channel is None and each.kind != RECOVERY_CODE)

        if not opens(rows, active) or opens((), ()):
            return []
        others = [row for row in rows if _key_of(row) != _key_of(gone) and opens([row], ())]
        if others:
            return [Update(TABLE, _key_of(others[0]), {}, where=(Where("verified_at", "not_null"),))]
        kept = next((each for each in active if proves(each)), None)
        live = (Where("state", "=", AuthenticatorState.ACTIVE.value),)
        return [Update("authenticator", {"id": kept.id}, {}, where=live)] if kept is not None else None

    def _serves(self, factor: Factor, holder: Holder) -> bool:
        channels = self._parts.configuration().channels
        return factor.enrolled(holder) and (factor.channel is None or factor.channel in channels)

    # --- telling ---------------------------------------------------------------------------------------------------

    async def _told(self, owner: Owner, rows: Sequence[Row], change: _Change, trail: Trail) -> tuple[Operation, ...]:
        """The link that takes it back, and a notice to the new contact and all old ones, those included that went lately."""
        ring, now_ms, whose = self._parts.ring(), to_ms(self._parts.clock.now()), owner.whose
        found = everywhere(owner.user, usable_contacts(ring, rows))
        known = {compared(each.to) for each in found}
        found += [each for each in await self._gone_lately(whose.subject_id) if compared(each.to) not in known]
        if change.new and compared(change.new) not in known:
            found.append(Addressee(CHANNELS[change.kind], change.new))
        old = compared(change.old)
        addressees = [replace(each, linked=each.linked and (change.old_linked or compared(each.to) != old)) for each in found]
        about = {"user": owner.user.name, "directory": owner.user.directory, "application": owner.application}
        about |= {"language": whose.language, "realm": whose.realm}
        payload = {**about, "reference": trail.reference, **change.payload}
        token, insert = make(ring, whose.subject_id, Purpose.UNDO_CONTACT, payload, now_ms)
        notice = Notice(
            change.happened,
            {
                "new": masked(change.kind, change.new) if change.new else "",
                "old": masked(change.kind, change.old) if change.old else "",
                "until": self._hold_ends(owner),
            },
            subject=f"notice.contact_subject_{change.kind.value}",
            link=link_address(self._parts, token.reveal().decode()) if self._parts.public_url else "",
            link_text="notice.link_undo",
            call=True,
        )
        said = (trail.reference, whose.language, whose.realm)
        whom = Whom(whose.subject_id, owner.user.name, owner.application, trail.transaction_id or "", *said)
        return (insert, *tell(self._parts, whom, addressees, notice))

    async def _gone_lately(self, subject_id: SubjectId) -> list[Addressee]:
        """Contacts that went within the last days and still hear of everything: whoever took them away may not be their owner."""
        [rows] = await self._storage.read([links_of(subject_id, to_ms(self._parts.clock.now()))])
        links = [from_row(self._parts.ring(), row) for row in rows]
        gone = [
            link.payload.get("removed") or _written(link.payload)
            for link in links
            if link is not None and link.purpose is Purpose.UNDO_CONTACT and link.used_at is None
        ]
        kept = [each for each in gone if each and not each.get("lost")]
        return [
            Addressee(CHANNELS[ContactKind(each["kind"])], str(value), linked=False)
            for each in kept
            if (value := each.get("value") or each.get("old"))
        ]

    def _hold_ends(self, owner: Owner) -> str:
        ends = self._parts.clock.now() + timedelta(seconds=self._hold_s(owner.application))
        return moment_in(self._parts.configuration(), owner.whose.realm, ends)

    # --- small things ----------------------------------------------------------------------------------------------

    async def _rows(self, owner: Owner) -> list[Row]:
        [rows] = await self._storage.read([kept_contacts(owner.whose.subject_id)])
        return rows

    def _opened(self, rows: Sequence[Row]) -> list[Contact]:
        return [contact for contact in map(self._open, rows) if contact is not None]

    def _open(self, row: Row) -> Contact | None:
        try:
            return open_contact(self._parts.ring(), row)
        except SealError:
            return None

    def _key(self, owner: Owner, kind: ContactKind, value: str) -> bytes:
        return contact_key(self._parts.ring(), owner.whose.subject_id, kind, value)

    def _factor(self, pending: Pending) -> Factor:
        return BY_KIND[FACTORS[pending.kind]]

    def _holder(self, owner: Owner, pending: Pending) -> Holder:
        """Somebody who has nothing but the contact that is being verified: no other one's code can be right."""
        phone, mail = (pending.value, None) if pending.kind is ContactKind.PHONE else (None, pending.value)
        return Holder(owner.whose.subject_id, (), phone, mail)

    def _task(self, pending: Pending) -> Task:
        return Task(pending.id, self._parts.clock.now(), self._parts.configuration().codes, self._parts.ring())

    def _resend_wait_s(self, pending: Pending, now_ms: int) -> int | None:
        waits = self._parts.configuration().codes.resend_after_s
        if pending.resends >= len(waits):
            return None
        return max(0, -(-(pending.sent_at + waits[pending.resends] * 1000 - now_ms) // 1000))

    def _begun(self, owner: Owner, pending: Pending, trail: Trail) -> None:
        trail.transaction_id, trail.user, trail.application = pending.id, owner.user.name, owner.application

    def _flow(self, owner: Owner, pending: Pending, trail: Trail) -> Flow:
        """What the message of a code is made from; it is stored nowhere."""
        now_ms, whose = to_ms(self._parts.clock.now()), owner.whose
        return Flow(
            id=pending.id,
            reference=trail.reference,
            goal=GOAL,
            application=owner.application,
            realm=whose.realm,
            user_name=owner.user.name,
            language=whose.language,
            subject_id=whose.subject_id,
            created_at=now_ms,
            expires_at=pending.ends_at,
        )

    def _entry(self, trail: Trail, reason: str) -> Operation:
        trail.result, trail.reason = "granted", reason
        return trail.entry(self._parts.ring(), to_ms(self._parts.clock.now()))

    def _event(
        self,
        kind: Kind,
        owner: Owner,
        trail: Trail,
        contact: ContactKind,
        value: str,
        more: Mapping[str, object] | None = None,
    ) -> Operation:
        """Masked, as everything is that says whose phone it was."""
        about = {"directory": owner.user.directory, "user": owner.user.name, "contact": contact.value}
        told = {"value": masked(contact, value) if value else None, "client": trail.client}
        details = {**about, **told, **(more or {})}
        now_ms = to_ms(self._parts.clock.now())
        event = AuditEvent(
            kind, now_ms, "person", trail.transaction_id, trail.reference, subject_id=owner.whose.subject_id, details=details
        )
        return record(event)


def _is_first(owner: Owner, pending: Pending) -> bool:
    """Whether it needs no hold: nothing that was there before gives way to it."""
    return owner.is_new and not pending.replaces


def masked(kind: ContactKind, value: str) -> str:
    """As it may be shown."""
    return mask_phone(value) if kind is ContactKind.PHONE else mask_mail(value)


def _of_directory(user: DirectoryUser) -> Mapping[ContactKind, Sequence[str]]:
    return {
        ContactKind.PHONE: [value for value in (user.phone, *user.other_phones) if value],
        ContactKind.MAIL: [value for value in (user.mail, *user.other_mails) if value],
    }


def _has(user: DirectoryUser, kind: ContactKind, value: str) -> bool:
    """Whether it is the directory's already."""
    return compared(value) in [compared(each) for each in _of_directory(user)[kind]]


def _writer(directory: Directory | None, kind: ContactKind) -> ContactWriting | None:
    """The directory as one that takes contacts of this kind back; None where it does not."""
    if directory is None or not isinstance(directory, ContactWriting):
        return None
    return directory if directory.writes(kind) else None


def _first(user: DirectoryUser, kind: ContactKind) -> str | None:
    return user.phone if kind is ContactKind.PHONE else user.mail


def _written(payload: Mapping[str, object]) -> Mapping[str, Any]:
    written = payload.get("written")
    return written if isinstance(written, Mapping) else {}


def _kept(contact: Contact) -> dict[str, object]:
    """What brings a removed contact back."""
    return {"kind": contact.kind.value, "value": contact.value, "preferred": int(contact.preferred)}


def _id_of(key: bytes) -> str:
    return key.hex()[:_ID_CHARS]


def _row_of(rows: Sequence[Row], contact_id: str) -> Row | None:
    return next((row for row in rows if contact_id and _id_of(_bytes(row["value_key"])) == contact_id), None)


def _key_of(row: Row) -> Row:
    return {name: row[name] for name in ("subject_id", "kind", "value_key")}


def _there(row: Row) -> Operation:
    """Refuses the unit where the contact has gone meanwhile, or is another one by now."""
    return Update(TABLE, _key_of(row), {"preferred": 0}, where=(Where("created_at", "=", row["created_at"]),))


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""
