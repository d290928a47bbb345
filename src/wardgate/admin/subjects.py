"""People behind accounts: who is linked to which accounts, what hangs on him, and joining two of them.

One person may be in two directories, or move from one to another. His authenticators and contacts hang on a subject of our own, so
that an operator can say: this account is that person too. Nothing is guessed from names or mail addresses.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wardgate.account.authenticator import AuthenticatorState, bound_to, fingerprint, from_row
from wardgate.account.contact import TABLE as CONTACT
from wardgate.account.contact import Source, contact_key, create_contact, open_contact, usable_contacts
from wardgate.account.device import devices_of, forget, forget_all
from wardgate.account.freeze import asked, freeze_in
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.subject import SubjectId, linked_subject
from wardgate.admin.authenticators import describe_all
from wardgate.admin.office import Office
from wardgate.admin.people import found_person, settings_of
from wardgate.admin.telling import Act, Whose, looked_up, word_of
from wardgate.audit.events import AuditEvent, Kind
from wardgate.clock import from_ms, to_ms
from wardgate.config.store import load_current
from wardgate.crypto import Secret
from wardgate.engine import lifting
from wardgate.engine.notices import everywhere
from wardgate.errors import Conflict, NotFound, SealError, UsageError
from wardgate.jsons import dumps
from wardgate.kba import asking as kba
from wardgate.risk.habits import forget_habits
from wardgate.session.sessions import end_all
from wardgate.storage.port import MAX_IN_VALUES, Committed, Delete, Insert, Operation, Row, Update, Where

KEEPS: Final = ("account", "person")
MAX_SHOWN: Final = 100
# Accounts of a person whose directories are asked where he can be reached.
MAX_TOLD: Final = 5


@dataclass(frozen=True, slots=True)
class _Account:
    """An account, and the subject that it is linked to by now. `first`: what has to be written to give it one."""

    directory: str
    immutable_id: str
    name: str
    subject_id: SubjectId | None
    first: tuple[Operation, ...] = ()

    @property
    def key(self) -> Row:
        """Its row among the links."""
        return {"directory": self.directory, "immutable_id": self.immutable_id}


@dataclass(frozen=True, slots=True)
class _Belongings:
    """What hangs on a subject."""

    links: tuple[Row, ...] = ()
    authenticators: tuple[Row, ...] = ()
    contacts: tuple[Row, ...] = ()
    open_logins: int = 0

    @property
    def live(self) -> list[Row]:
        """The authenticators that may prove something, now or once they are released."""
        return [row for row in self.authenticators if row["state"] != AuthenticatorState.REVOKED]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a relink will do."""

    account: _Account
    target: SubjectId
    operations: tuple[Operation, ...]
    told: Mapping[str, Any]
    undecided: tuple[str, ...]


# --- showing -------------------------------------------------------------------------------------------------------------


async def show_subject(
    office: Office, *, name: str | None = None, directory: str | None = None, subject_id: str | None = None
) -> dict[str, Any]:
    """A person: all accounts, and what hangs on him. By a login name, or by the subject's id, for which no directory is asked.

    Raises NotFound, UsageError, DirectoryUnavailable.
    """
    if (name is None) == (subject_id is None):
        raise UsageError("give either a login name or, with --subject, a subject's id")
    told: dict[str, Any] = {"directory": None, "user": None, "immutable_id": None}
    if name is not None:
        account = await _account(office, name, directory, None)
        told = {"directory": account.directory, "user": account.name, "immutable_id": account.immutable_id}
        found = account.subject_id
    else:
        found = await _subject(office, str(subject_id))
    mine = await _belongings(office, found)
    return {
        **told,
        "subject_id": found,
        "links": [await _described_link(office, row) for row in mine.links],
        "authenticators": await describe_all(office, found) if found is not None else [],
        "contacts": len(mine.contacts),
        "devices": [_described_device(row) for row in await _devices(office, found)],
        "open_logins": mine.open_logins,
        "frozen": await _frozen(office, found),
    }


async def _frozen(office: Office, subject_id: SubjectId | None) -> dict[str, Any] | None:
    [rows] = await office.storage.read([asked(subject_id)]) if subject_id is not None else [[]]
    freeze = freeze_in(office.ring, rows)
    if freeze is None:
        return None
    moments = {"set_at": freeze.set_at, "disputed_at": freeze.disputed_at, "since": freeze.since_at}
    return {"by": freeze.set_by, **{name: from_ms(at_ms).isoformat() for name, at_ms in moments.items()}}


async def unlock_subject(office: Office, *, name: str, directory: str | None = None) -> dict[str, Any]:
    """Lift every wait of a person in whichever directory, the one below the directory's own lock among them.

    A lock that the directory itself holds is not ours to lift here. Raises NotFound, DirectoryUnavailable.
    """
    told, _ = await lift_waits_of(office, name, directory, "")
    return told


async def lift_waits_of(office: Office, name: str, directory: str | None, reason: str) -> tuple[dict[str, Any], int]:
    """The same, and how many rows of brakes that were."""
    account = await _account(office, name, directory, None)
    whose = await _known_to_brakes(office, account)
    lifted = await lifting.lift_user(office.storage, office.ring, whose, office.now_ms())
    details = {"directory": account.directory, "user": account.name}
    why = {**details, "reason": reason} if reason else details
    about = (Kind.BRAKE_RELEASED, office.now_ms(), office.actor, None, office.reference, account.subject_id)
    person = Whose(account.directory, account.immutable_id, account.name, subject_id=account.subject_id)
    told_of = await word_of(office, person, Act("unlocked"))
    commit = await office.storage.commit([*lifted, office.record(AuditEvent(*about, details=why)), *told_of])
    rows = commit.results[: len(lifted)] if isinstance(commit, Committed) else ()
    told = {**details, "subject_id": account.subject_id, "released": True}
    return told, sum(number for number in rows if isinstance(number, int))


async def names_at_brakes(office: Office, name: str) -> list[str]:
    """What the brakes know this person as; nothing of a name that is nobody's. Raises DirectoryUnavailable."""
    try:
        return await _known_to_brakes(office, await _account(office, name, None, None))
    except NotFound:
        return []


async def _known_to_brakes(office: Office, account: _Account) -> list[str]:
    mine = await _belongings(office, account.subject_id)
    accounts = {f"{row['directory']!s}:{row['immutable_id']!s}" for row in mine.links}
    who = sorted(accounts | {f"{account.directory}:{account.immutable_id}"})
    return [*who, *([account.subject_id] if account.subject_id else [])]


async def forget_devices(office: Office, *, name: str, directory: str | None = None, device: str | None = None) -> dict[str, Any]:
    """Trust the devices of a person no more, or the one with this id. Raises NotFound, DirectoryUnavailable."""
    account = await _account(office, name, directory, None)
    subject_id = account.subject_id
    trusted = [str(row["id"]) for row in await _devices(office, subject_id) if device in (None, row["id"])]
    if device is not None and not trusted:
        raise NotFound(f"{account.name} has no trusted device {device[:64]}")
    told = {"directory": account.directory, "user": account.name, "devices": trusted}
    if subject_id is not None and trusted:
        details = {**told, "why": "operator"}
        about = (office.now_ms(), office.actor, None, office.reference, subject_id)
        event = AuditEvent(Kind.DEVICE_FORGOTTEN, *about, details=details)
        gone = forget_all(subject_id) if device is None else forget(subject_id, device)
        whose = Whose(account.directory, account.immutable_id, account.name, subject_id=subject_id)
        word = await word_of(office, whose, Act("devices_forgotten"))
        await office.storage.commit([gone, office.record(event), *word])
    return {**told, "subject_id": subject_id}


# --- joining -------------------------------------------------------------------------------------------------------------


async def relink(
    office: Office,
    *,
    name: str | None = None,
    directory: str | None = None,
    immutable_id: str | None = None,
    to_name: str | None = None,
    to_directory: str | None = None,
    to_subject: str | None = None,
    keep: str | None = None,
    unlink: str | None = None,
    dry_run: bool = False,
    expected: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Let an account be a known person's: one of several directories, or the new one after a migration.

    The account is a login name, or with `immutable_id` one that its directory does not tell any more. The person is given by a
    login name or as `to_subject`. What hung on the account's own subject goes along when no other account is left there. `keep`:
    whose authenticators, and contacts, stay where both have some; the other's end. `unlink`: the directory whose account the person
    has no more. `dry_run` only tells; `expected` is what was told, and refuses when it has changed since.

    Raises NotFound, UsageError, Conflict, DirectoryUnavailable.
    """
    if keep is not None and keep not in KEEPS:
        raise UsageError(f"keep: {' or '.join(KEEPS)}")
    account = await _account(office, name, directory, immutable_id)
    target, first = await _target(office, account, to_name, to_directory, to_subject)
    for each in {account.subject_id, target}:
        if await _frozen(office, each) is not None:
            # What was taken away hangs on the person whose account was frozen, and so does who may lift it.
            raise Conflict("the account is frozen: lift that first (wardgate user unfreeze)")
    plan = await _plan(office, account, target, first, keep, unlink)
    if expected is not None and {**plan.told} != {**expected}:
        raise Conflict("something has changed since this was shown: look at it again")
    if dry_run:
        return {**plan.told, "undecided": list(plan.undecided), "done": False}
    if plan.undecided:
        raise Conflict(f"both have {' and '.join(plan.undecided)}: say whose stay, those of the account or of the person")
    told = await _word(office, account, target) if plan.operations else ()
    if plan.operations and not isinstance(await office.storage.commit([*plan.operations, *told]), Committed):
        raise Conflict("something was changed meanwhile: look at it again")
    return {**plan.told, "to_subject": target, "undecided": [], "done": True}


async def _word(office: Office, account: _Account, target: SubjectId) -> list[Operation]:
    """Word to whoever either account is: at what the directories tell of all of them, and at the contacts of both people."""
    if not office.tells:
        return []
    _, document = await load_current(office.storage)
    source, person = await _belongings(office, account.subject_id), await _belongings(office, target)
    places = everywhere(None, usable_contacts(office.ring, source.contacts))
    for link in person.links[:MAX_TOLD]:
        other = Whose(str(link["directory"]), str(link["immutable_id"]), "")
        places += everywhere(await looked_up(office, document, other), ())
    whose = Whose(account.directory, account.immutable_id, account.name, subject_id=target, also=tuple(places))
    return await word_of(office, whose, Act("account_joined"))


async def _plan(
    office: Office, account: _Account, target: SubjectId, first: Sequence[Operation], keep: str | None, unlink: str | None
) -> _Plan:
    theirs = await _belongings(office, target)
    source = account.subject_id
    moves = source != target
    old = await _belongings(office, source) if moves else _Belongings()
    # Other accounts that stay there keep what they share; only one that nobody else has is emptied.
    emptied = source is not None and moves and len(old.links) <= 1
    mine = old if emptied else _Belongings()
    both = {"authenticators": bool(mine.live and theirs.live), "contacts": bool(mine.contacts and theirs.contacts)}
    undecided = tuple(what for what, has in both.items() if has and keep is None)
    ended = {what: (theirs if keep == "account" else mine) if has and keep is not None else None for what, has in both.items()}
    gone = [row for row in theirs.links if row["directory"] == unlink and row["immutable_id"] != account.immutable_id]
    if unlink is not None and not gone:
        raise NotFound(f"the person has no other account in {unlink[:64]}")
    revoked = ended["authenticators"].live if ended["authenticators"] is not None else []
    revoked_ids = {row["id"] for row in revoked}
    dropped = ended["contacts"].contacts if ended["contacts"] is not None else ()
    moved_contacts = [row for row in mine.contacts if ended["contacts"] is not mine]
    moved = [_named(row) for row in mine.live if row["id"] not in revoked_ids]
    told: dict[str, Any] = {
        "directory": account.directory,
        "user": account.name,
        "immutable_id": account.immutable_id,
        "from_subject": source if moves else None,
        "to_subject": None if first else target,
        "moves": moves,
        "moved": moved,
        "kept": [_named(row) for row in theirs.live if row["id"] not in revoked_ids],
        "revoked": [_named(row) for row in revoked],
        "contacts_moved": len(moved_contacts),
        "contacts_removed": len(dropped),
        "unlinked": [{"directory": row["directory"], "immutable_id": row["immutable_id"]} for row in gone],
        "logins_ended": old.open_logins,
    }
    unit: list[Operation] = [*first, *_link(office, account, target, moves)]
    unit += _moved_authenticators(office, mine.authenticators, target, revoked_ids)
    unit += [each for row in revoked if row["subject_id"] == target for each in _revocation(row, target)]
    unit += _moved_contacts(office, moved_contacts, target)
    unit += [_without(row) for row in (*moved_contacts, *dropped)]
    unit += _unlinked(gone)
    unit += _ended(source if moves else None, emptied)
    unit += [forget_all(SubjectId(each)) for each in dict.fromkeys((source, target)) if each is not None and moves]
    if source is not None and emptied:
        # They are hashed for the subject that goes, and cannot be hashed anew: he sets them again.
        unit += kba.erased(office.ring, source)
    unit += [_revoked_event(office, account, row) for row in revoked]
    details = {key: value for key, value in told.items() if key not in ("moved", "kept", "revoked", "moves")}
    details |= {"to_subject": target, "moved": len(moved), "revoked": len(revoked)}
    about = (office.now_ms(), office.actor, None, office.reference, target)
    unit.append(office.record(AuditEvent(Kind.SUBJECT_RELINKED, *about, details=details)))
    return _Plan(account, target, tuple(unit) if moves or gone else (), told, undecided)


def _link(office: Office, account: _Account, target: SubjectId, moves: bool) -> list[Operation]:
    """The link itself, on condition that it still is what it was."""
    there: list[Operation] = [Update("subject", {"id": target}, {})]
    if not moves:
        return there
    if account.subject_id is None:
        return [*there, Insert("subject_link", {**account.key, "subject_id": target, "created_at": office.now_ms()})]
    before = (Where("subject_id", "=", account.subject_id),)
    return [*there, Update("subject_link", account.key, {"subject_id": target}, where=before)]


def _moved_authenticators(office: Office, rows: Iterable[Row], target: SubjectId, revoked: Iterable[object]) -> Iterable[Operation]:
    """All of them, revoked ones too: what they have used up must be known where the same secret may be enrolled again."""
    ended = set(revoked)
    for row in rows:
        unchanged = (Where("subject_id", "=", row["subject_id"]), Where("state", "=", row["state"]))
        changes: dict[str, Any] = {"subject_id": target, "settings": _settings_for(office, row, target)}
        if row["id"] in ended:
            changes |= {"state": AuthenticatorState.REVOKED.value, "sealed": None}
        yield Update("authenticator", {"id": row["id"]}, changes, where=unchanged)
        if row["id"] in ended and row["kind"] == RECOVERY_CODE:
            yield Delete("recovery_code", (Where("authenticator_id", "=", row["id"]),))


def _settings_for(office: Office, row: Row, target: SubjectId) -> str:
    """The settings with the secret's fingerprint as it is among the target's."""
    known = from_row(row)
    if "fingerprint" not in known.settings or known.sealed is None:
        return str(row["settings"])
    secret = Secret(office.ring.open(known.sealed, bound_to(known.id)))
    return dumps({**known.settings, "fingerprint": fingerprint(office.ring, target, secret)})


def _revocation(row: Row, owner: SubjectId) -> list[Operation]:
    live = (Where("subject_id", "=", owner), Where("state", "!=", AuthenticatorState.REVOKED.value))
    ended: list[Operation] = [
        Update("authenticator", {"id": row["id"]}, {"state": AuthenticatorState.REVOKED.value, "sealed": None}, where=live)
    ]
    if row["kind"] == RECOVERY_CODE:
        ended.append(Delete("recovery_code", (Where("authenticator_id", "=", row["id"]),)))
    return ended


def _moved_contacts(office: Office, rows: Iterable[Row], target: SubjectId) -> Iterable[Operation]:
    """Each sealed anew, for it is bound to whose it is. One that does not open was tampered with, and does not come along."""
    for row in rows:
        try:
            contact = open_contact(office.ring, row)
        except SealError:
            continue
        verified = to_ms(contact.verified_at) if contact.verified_at is not None else None
        source = Source(contact.source)
        yield from create_contact(office.ring, target, contact.kind, contact.value, source, verified, to_ms(contact.created_at))
        if contact.preferred:
            key = contact_key(office.ring, target, contact.kind, contact.value)
            yield Update(CONTACT, {"subject_id": target, "kind": contact.kind.value, "value_key": key}, {"preferred": 1})


def _without(row: Row) -> Operation:
    return Delete(
        CONTACT,
        tuple(Where(column, "=", row[column]) for column in ("subject_id", "kind", "value_key")),
    )


def _unlinked(links: Iterable[Row]) -> Iterable[Operation]:
    """Accounts that are the person's no more; a later login of one of them is somebody new."""
    for row in links:
        account = (Where("directory", "=", row["directory"]), Where("immutable_id", "=", row["immutable_id"]))
        yield Delete("subject_link", (*account, Where("subject_id", "=", row["subject_id"])))
        yield end_all(SubjectId(str(row["subject_id"])))
        yield Delete("known_name", account)


def _ended(source: SubjectId | None, emptied: bool) -> Iterable[Operation]:
    """The open logins and sessions of whom the account was, and the subject itself when nothing is left of it."""
    if source is None:
        return
    yield Delete("login_transaction", (Where("subject_id", "=", source),))
    # With the last account but one gone, a session of the one that went would be taken for one of the one that stays.
    yield end_all(source)
    # Which of them are the account's, nobody can tell.
    yield forget_habits(source)
    if emptied:
        yield Delete("demand", (Where("subject_id", "=", source),))
        yield Delete("directory_contact", (Where("subject_id", "=", source),))
        yield Delete("subject", (Where("id", "=", source),))


def _revoked_event(office: Office, account: _Account, row: Row) -> Operation:
    details = {
        "directory": account.directory,
        "user": account.name,
        "authenticator_id": row["id"],
        "factor": row["kind"],
    }
    whose = str(row["subject_id"])
    return office.record(AuditEvent(Kind.AUTHENTICATOR_REVOKED, office.now_ms(), office.actor, subject_id=whose, details=details))


# --- reading -------------------------------------------------------------------------------------------------------------


async def _target(
    office: Office, account: _Account, name: str | None, directory: str | None, subject_id: str | None
) -> tuple[SubjectId, tuple[Operation, ...]]:
    if (name is None) == (subject_id is None):
        raise UsageError("say whose account it shall be: either --to with a login name, or --to-subject with a subject's id")
    if subject_id is not None:
        return await _subject(office, subject_id), ()
    async with found_person(office, name or "", directory) as person:
        if (person.user.directory, person.user.immutable_id) == (account.directory, account.immutable_id):
            raise UsageError("this is one and the same account")
        target, first = person.met(office)
        return target, tuple(first)


async def _account(office: Office, name: str | None, directory: str | None, immutable_id: str | None) -> _Account:
    if (name is None) == (immutable_id is None):
        raise UsageError("say which account it is: either by its login name or, with --id, by its immutable id")
    if immutable_id is None:
        async with found_person(office, name or "", directory) as person:
            return _Account(person.user.directory, person.user.immutable_id, person.user.name, person.subject_id)
    if directory is None:
        raise UsageError("an immutable id needs its directory: --directory")
    linked = await linked_subject(office.storage, directory, immutable_id)
    if linked is None:
        _, document = await load_current(office.storage)
        settings_of(document, directory)
        raise NotFound(f"nobody was ever met as {immutable_id[:64]} of {directory}")
    return _Account(directory, immutable_id, immutable_id, linked)


async def _subject(office: Office, subject_id: str) -> SubjectId:
    if await office.storage.get("subject", {"id": subject_id}) is None:
        raise NotFound(f"there is no subject {subject_id[:64]}")
    return SubjectId(subject_id)


async def _belongings(office: Office, subject_id: SubjectId | None) -> _Belongings:
    if subject_id is None:
        return _Belongings()
    mine = [Where("subject_id", "=", subject_id)]
    find = office.storage.find
    links = await find("subject_link", mine, order_by="created_at", limit=MAX_SHOWN)
    authenticators = await find("authenticator", mine, order_by="created_at", limit=MAX_IN_VALUES)
    contacts = await find(CONTACT, mine, order_by="created_at", limit=MAX_SHOWN)
    logins = await office.storage.count("login_transaction", [*mine, Where("state", "=", "challenged")])
    return _Belongings(tuple(links), tuple(authenticators), tuple(contacts), logins)


async def _devices(office: Office, subject_id: SubjectId | None) -> list[Row]:
    if subject_id is None:
        return []
    [rows] = await office.storage.read([devices_of(subject_id)])
    return [row for row in rows if int(row["expires_at"] or 0) > office.now_ms()]


def _described_device(row: Row) -> dict[str, Any]:
    times = {name: from_ms(int(row[name] or 0)).isoformat() for name in ("created_at", "last_used_at", "expires_at")}
    return {"id": row["id"], "label": row["label"], "state": row["state"], **times}


async def _described_link(office: Office, row: Row) -> dict[str, Any]:
    account = [Where("directory", "=", row["directory"]), Where("immutable_id", "=", row["immutable_id"])]
    names = await office.storage.find("known_name", account, order_by="name_key", limit=MAX_SHOWN)
    since = row["created_at"]
    return {
        "directory": row["directory"],
        "immutable_id": row["immutable_id"],
        "since": from_ms(since).isoformat() if isinstance(since, int) else None,
        "known_names": [f"{each['realm']!s}\\{each['name_key']!s}" for each in names],
    }


def _named(row: Row) -> dict[str, Any]:
    return {"id": row["id"], "kind": row["kind"], "label": row["label"], "state": row["state"]}
