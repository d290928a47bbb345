"""Whose authenticators an operator changes, and the commit that changes them on condition that nobody else did.

Of two operators who enrol the same secret at once, the second must find it enrolled, instead of making a second row that takes the
same code once more. A local user's account is raised with each change on condition that nobody else did; of other directories'
users the row of a secret has an id that is made of the secret, which only one of them can insert.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from wardgate.account import recovery_code
from wardgate.account.authenticator import MAX_AUTHENTICATORS, AuthenticatorState, revocation
from wardgate.account.subject import SubjectId, create_subject, linked_subject
from wardgate.admin.office import Office
from wardgate.admin.people import found_person
from wardgate.admin.telling import Act, Whose, word_of
from wardgate.audit.events import AuditEvent, Kind
from wardgate.directory.local import TABLE, row_by_name
from wardgate.errors import Conflict, NotFound, UsageError
from wardgate.storage.port import MAX_IN_VALUES, Delete, Operation, Refused, Row, Update, Where

_TRIES = 10


@dataclass(frozen=True, slots=True)
class Account:
    """A directory's user. `unchanged`: what is refused when somebody else changed a local one since he was read."""

    directory: str
    immutable_id: str
    name: str
    unchanged: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose authenticators, as read just now. `rows`: all of his authenticators, revoked ones too."""

    account: Account
    subject_id: SubjectId
    first: tuple[Operation, ...]
    rows: tuple[Row, ...]

    @property
    def live(self) -> list[Row]:
        """Those that may prove something, now or once they are released."""
        return [row for row in self.rows if row["state"] != AuthenticatorState.REVOKED]


Build = Callable[[Owner], tuple[list[Operation], dict[str, Any], Act | None]]
"""What has to be written, what the operator is told, and what its person is."""


async def commit_for(office: Office, directory: str, name: str, build: Build) -> dict[str, Any]:
    """Commit what `build` makes of a user's authenticators."""
    return await commit_about(office, lambda: account_of(office, directory, name), build)


async def commit_about(office: Office, find: Callable[[], Awaitable[Account]], build: Build) -> dict[str, Any]:
    """Commit what `build` makes of an account's authenticators; once more when somebody else changed them between."""
    for _ in range(_TRIES):
        account = await find()
        owner = await owner_of(office, account)
        unit, result, act = build(owner)
        whose = Whose(account.directory, account.immutable_id, account.name, subject_id=owner.subject_id)
        told = await word_of(office, whose, act) if act is not None else ()
        if not isinstance(await office.storage.commit([*account.unchanged, *owner.first, *unit, *told]), Refused):
            return {"directory": account.directory, "user": account.name, **result}
    raise Conflict("the user's authenticators are being changed by somebody else")


async def account_of(office: Office, directory: str, name: str) -> Account:
    """The user with this login name. Raises NotFound, and DirectoryUnavailable of a directory that is not ours."""
    row = await row_by_name(office.storage, directory, name)
    if row is not None:
        return _local(row)
    async with found_person(office, name, directory) as person:
        found = Account(directory, person.user.immutable_id, person.user.name)
    return await _local_where_it_is(office, found)


async def whose(office: Office, directory: str | None, name: str, authenticator_id: str) -> Account:
    """Whose authenticator it is meant to be; without a directory the first account that its subject is linked to."""
    if directory is not None:
        return await account_of(office, directory, name)
    row = await office.storage.get("authenticator", {"id": authenticator_id})
    links = await office.storage.find("subject_link", [Where("subject_id", "=", row["subject_id"])]) if row is not None else []
    accounts = [
        await _local_where_it_is(office, Account(str(link["directory"]), str(link["immutable_id"]), str(link["immutable_id"])))
        for link in sorted(links, key=lambda link: int(link["created_at"] or 0))
    ]
    # One of our own has a name that can be told.
    for account in [*(each for each in accounts if each.unchanged), *accounts]:
        return account
    raise NotFound(f"there is no authenticator {authenticator_id[:64]}; wardgate authenticator list NAME shows the ids")


async def _local_where_it_is(office: Office, account: Account) -> Account:
    row = await office.storage.get(TABLE, {"id": account.immutable_id})
    return _local(row) if row is not None and row["directory"] == account.directory else account


def _local(row: Row) -> Account:
    same_version = (Where("version", "=", row["version"]),)
    unchanged = Update(TABLE, {"id": row["id"]}, {}, where=same_version, add={"version": 1})
    return Account(str(row["directory"]), str(row["id"]), str(row["name"]), (unchanged,))


async def owner_of(office: Office, account: Account) -> Owner:
    subject_id = await linked_subject(office.storage, account.directory, account.immutable_id)
    if subject_id is not None:
        return Owner(account, subject_id, (), tuple(await authenticator_rows(office, subject_id)))
    subject_id, inserts = create_subject(account.directory, account.immutable_id, office.now_ms())
    details = {"directory": account.directory, "user": account.name}
    met = office.record(AuditEvent(Kind.SUBJECT_CREATED, office.now_ms(), office.actor, subject_id=subject_id, details=details))
    return Owner(account, subject_id, (*inserts, met), ())


async def authenticator_rows(office: Office, subject_id: SubjectId) -> list[Row]:
    mine = [Where("subject_id", "=", subject_id)]
    return await office.storage.find("authenticator", mine, order_by="created_at", limit=MAX_IN_VALUES)


def check_room(owner: Owner, replaced: int = 0) -> None:
    if len(owner.live) - replaced >= MAX_AUTHENTICATORS:
        raise UsageError(f"{owner.account.name} already has {MAX_AUTHENTICATORS} authenticators; revoke one first")


def revoked(office: Office, owner: Owner, row: Row) -> list[Operation]:
    unit: list[Operation] = [revocation(row)]
    if row["kind"] == recovery_code.KIND:
        unit.append(Delete("recovery_code", (Where("authenticator_id", "=", row["id"]),)))
    unit.append(event_of(office, Kind.AUTHENTICATOR_REVOKED, owner, str(row["id"]), str(row["kind"])))
    return unit


def act_of(name: str, row: Row) -> Act:
    """What is said of an authenticator to its person."""
    return Act(name, str(row["kind"]), str(row["label"]))


def event_of(office: Office, kind: Kind, owner: Owner, authenticator_id: str, factor: str, **more: str) -> Operation:
    """The audit event of what was done with an authenticator."""
    details = {
        **more,
        "directory": owner.account.directory,
        "user": owner.account.name,
        "authenticator_id": authenticator_id,
        "factor": factor,
    }
    about = (kind, office.now_ms(), office.actor, None, office.reference, owner.subject_id)
    return office.record(AuditEvent(*about, details=details))
