"""Local users: add, change, disable, unlock, remove, show."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from wardgate.account.device import forget_all
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.subject import SubjectId, linked_subject
from wardgate.admin import fields
from wardgate.admin.activations import open_activation
from wardgate.admin.authenticators import describe_all
from wardgate.admin.office import Office
from wardgate.admin.telling import Act, Whose, word_of
from wardgate.audit.events import AuditEvent, Kind
from wardgate.clock import from_ms, to_ms
from wardgate.crypto import Secret, new_id
from wardgate.directory.local import TABLE, row_by_name, stored_password, user_from_row
from wardgate.directory.local.passwords import Earlier, NewPasswords
from wardgate.directory.names import canonical_name
from wardgate.directory.password_rules import normalised
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.engine.notices import everywhere
from wardgate.errors import AlreadyExists, Conflict, NotFound, UsageError
from wardgate.kba import asking as kba
from wardgate.passwords import recognise
from wardgate.risk.habits import forget_habits
from wardgate.session.sessions import end_all
from wardgate.storage.port import MAX_IN_VALUES, Delete, Insert, Operation, Refused, Row, Update, Where

MAX_PAGE = 1000
NO_DETAILS: Mapping[str, object] = {}

# Gives the operations that lift what keeps a user waiting after wrong proofs. The engine's brakes know how.
ReleaseBrakes = Callable[[DirectoryUser, SubjectId | None], Awaitable[Sequence[Operation]]]


class Unchanged(Enum):
    """The default of a field that a change leaves as it is; None and an empty text clear it."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED


async def add_user(
    office: Office,
    *,
    directory: str,
    name: str,
    password: Secret | None = None,
    mail: str | None = None,
    phone: str | None = None,
    groups: Iterable[str] = (),
    display_name: str = "",
    language: str | None = None,
    must_change: bool = False,
    expires_at: datetime | None = None,
    rules: NewPasswords | None = None,
) -> dict[str, Any]:
    """Create a local user. Without a password he cannot log in until one is set.

    `rules`: what the password is held to; without them it may be any. Raises AlreadyExists, UsageError, PasswordNotAccepted.
    """
    shown, key = fields.user_name(name)
    row = new_row(office, directory, shown, key)
    row |= _profile(mail or "", phone or "", groups, display_name, language or "")
    row["expires_at"] = to_ms(expires_at) if expires_at is not None else None
    if password is not None:
        if rules is not None:
            await rules.check_rules(user_from_row(row, office.now_ms()), password)
        row |= {"password_hash": await office.hasher.hash(normalised(password)), "password_changed_at": row["created_at"]}
        row["must_change"] = int(must_change)
    refused = await _commit(office, [Insert(TABLE, row), _event(office, Kind.USER_ADDED, row)])
    if refused is not None:
        raise AlreadyExists(f"directory {directory} already has a user {shown}")
    return describe(row, office.now_ms())


async def change_user(
    office: Office,
    *,
    directory: str,
    name: str,
    mail: str | Unchanged | None = UNCHANGED,
    phone: str | Unchanged | None = UNCHANGED,
    groups: Iterable[str] | Unchanged = UNCHANGED,
    display_name: str | Unchanged = UNCHANGED,
    language: str | Unchanged | None = UNCHANGED,
    expires_at: datetime | Unchanged | None = UNCHANGED,
) -> dict[str, Any]:
    """Change what is given and leave the rest. Raises NotFound, UsageError."""
    row = await user_row(office, directory, name)
    changes: dict[str, Any] = {}
    if not isinstance(mail, Unchanged):
        changes |= fields.mail_columns(mail or "")
    if not isinstance(phone, Unchanged):
        changes["phone"] = fields.phone_number(phone or "")
    if not isinstance(groups, Unchanged):
        changes["groups"] = fields.group_column(groups)
    if not isinstance(display_name, Unchanged):
        changes["display_name"] = fields.display_name(display_name)
    if not isinstance(language, Unchanged):
        changes["language"] = fields.language_tag(language or "")
    if not isinstance(expires_at, Unchanged):
        changes["expires_at"] = to_ms(expires_at) if expires_at is not None else None
    if not changes:
        raise UsageError("nothing to change was given")
    acts = [Act("contact_changed")] if {"mail", "phone"} & changes.keys() else []
    told = await _word(office, row, *acts, changes=changes) if acts or "groups" in changes else ()
    return await _update(office, row, changes, Kind.USER_CHANGED, {"fields": sorted(changes.keys() - {"mail_key"})}, told)


async def set_password(
    office: Office,
    *,
    directory: str,
    name: str,
    password: Secret,
    must_change: bool = False,
    new: NewPasswords | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Set a password. With `must_change`, the user has to choose his own at the next login. Raises NotFound, UsageError.

    `new`: the directory's rules and history, which hold unless `force`; a lock is lifted, and the present password kept with the
    earlier ones. Raises PasswordNotAccepted, and Conflict when the account was changed meanwhile.
    """
    row = await user_row(office, directory, name)
    if new is not None and not force:
        await new.check_rules(user_from_row(row, office.now_ms()), password)
    hashed, now_ms = await office.hasher.hash(normalised(password)), office.now_ms()
    besides = [*await _without_devices(office, row), *await _word(office, row, Act("password_set"))]
    if new is None:
        changes = {"password_hash": hashed, "password_changed_at": now_ms, "must_change": int(must_change)}
        return await _update(office, row, changes, Kind.PASSWORD_SET, {"must_change": must_change}, besides)
    earlier = await (new.earlier(row) if force else new.check_history(row, password))
    unit = [*new.operations(row, hashed, must_change, now_ms, Earlier(earlier)), *besides]
    unit.append(_event(office, Kind.PASSWORD_SET, row, {"must_change": must_change, "forced": force}))
    if row["state"] == AccountState.LOCKED:
        unit.append(_unlocked(office, row))
    if await _commit(office, unit) is not None:
        raise Conflict("the account was changed meanwhile: look at it and try again")
    return describe(await user_row(office, directory, name), office.now_ms())


async def lock_user(office: Office, *, directory: str, name: str) -> dict[str, Any]:
    """Let nobody in until the account is unlocked or its password is reset. Raises NotFound, and Conflict for a disabled account.

    A disabled one stays disabled: the user himself could lift a lock.
    """
    row = await user_row(office, directory, name)
    not_disabled = (Where("state", "!=", AccountState.DISABLED.value),)
    locked = {"state": AccountState.LOCKED.value}
    unit = [
        Update(TABLE, {"id": row["id"]}, locked, where=not_disabled, add={"version": 1}),
        _event(office, Kind.USER_CHANGED, row, {"fields": ["state"], **locked}),
    ]
    if await _commit(office, unit) is not None:
        raise Conflict(f"user {row['name']!s} of directory {directory} is disabled, or gone")
    return describe({**row, **locked}, office.now_ms())


async def disable_user(office: Office, *, directory: str, name: str) -> dict[str, Any]:
    """Let nobody in under this account until it is enabled again. Raises NotFound."""
    return await _set_state(office, directory, name, AccountState.DISABLED)


async def enable_user(office: Office, *, directory: str, name: str) -> dict[str, Any]:
    """Make a disabled or locked account usable. Raises NotFound."""
    return await _set_state(office, directory, name, AccountState.ACTIVE)


async def unlock_user(office: Office, *, directory: str, name: str, release_brakes: ReleaseBrakes | None = None) -> dict[str, Any]:
    """Lift the account's lock and the waits that wrong proofs brought about. A disabled account stays disabled. Raises NotFound."""
    row = await user_row(office, directory, name)
    unit: list[Operation] = []
    locked = row["state"] == AccountState.LOCKED
    if locked:
        is_locked = (Where("state", "=", AccountState.LOCKED),)
        unit.append(Update(TABLE, {"id": row["id"]}, {"state": AccountState.ACTIVE}, where=is_locked, add={"version": 1}))
        unit.append(_unlocked(office, row))
    if release_brakes is not None:
        subject_id = await linked_subject(office.storage, directory, str(row["id"]))
        unit += await release_brakes(user_from_row(row, office.now_ms()), subject_id)
        unit.append(_event(office, Kind.BRAKE_RELEASED, row))
    if unit:
        await _commit(office, [*unit, *await _word(office, row, Act("unlocked"))])
    return describe(await user_row(office, directory, name), office.now_ms()) | {"was_locked": locked}


async def remove_user(office: Office, *, directory: str, name: str) -> dict[str, Any]:
    """Remove a user and all that hangs on him: a new person with the same name inherits nothing. Raises NotFound.

    A subject that is linked to another directory too keeps its authenticators; only this link goes.
    """
    row = await user_row(office, directory, name)
    subject_id = await linked_subject(office.storage, directory, str(row["id"]))
    # The update is there to be refused when somebody else has just removed the row.
    still_there = Update(TABLE, {"id": row["id"]}, {"state": AccountState.DISABLED})
    unit: list[Operation] = [
        still_there,
        Delete(TABLE, (Where("id", "=", row["id"]),)),
        Delete("subject_link", (Where("directory", "=", directory), Where("immutable_id", "=", row["id"]))),
        Delete("known_name", (Where("directory", "=", directory), Where("immutable_id", "=", row["id"]))),
        Delete("local_password_history", (Where("user_id", "=", row["id"]),)),
    ]
    if subject_id is not None:
        # A session of the account that goes is not to be taken for one of another that the person has there.
        unit.append(end_all(subject_id))
    if subject_id is not None and await _only_link(office, subject_id):
        unit += await _subject_removal(office, subject_id)
    unit.append(_event(office, Kind.USER_REMOVED, row, {}, subject_id))
    if await _commit(office, unit) is not None:
        raise _no_such_user(directory, name)
    return {"directory": directory, "name": row["name"], "id": row["id"], "removed": True}


async def list_users(office: Office, *, directory: str, limit: int = 100, after: str | None = None) -> dict[str, Any]:
    """Users by name: at most `limit`, those after the name `after`. `next` is the `after` of the next page, or None."""
    limit = max(1, min(limit, MAX_PAGE))
    where = [Where("directory", "=", directory)]
    if after is not None:
        where.append(Where("name_key", ">", canonical_name(after) or ""))
    rows = await office.storage.find(TABLE, where, order_by="name_key", limit=limit + 1)
    page, now_ms = rows[:limit], office.now_ms()
    return {"users": [describe(row, now_ms) for row in page], "next": page[-1]["name"] if len(rows) > limit else None}


async def show_user(office: Office, *, directory: str, name: str) -> dict[str, Any]:
    """One user with what he can prove himself with, never the secrets. Raises NotFound."""
    row = await user_row(office, directory, name)
    subject_id = await linked_subject(office.storage, directory, str(row["id"]))
    authenticators = await describe_all(office, subject_id) if subject_id is not None else []
    activation = await open_activation(office, subject_id)
    return describe(row, office.now_ms()) | {"subject_id": subject_id, "authenticators": authenticators, "activation": activation}


async def user_row(office: Office, directory: str, name: str) -> Row:
    """The row of a user by login name. Raises NotFound."""
    row = await row_by_name(office.storage, directory, name)
    if row is None:
        raise _no_such_user(directory, name)
    return row


def describe(row: Row, now_ms: int) -> dict[str, Any]:
    """A user's row as JSON values: what the account is, and of its password only in which form it is kept."""
    user, stored = user_from_row(row, now_ms), stored_password(row)
    return {
        "id": user.immutable_id,
        "directory": user.directory,
        "name": user.name,
        "display_name": user.display_name,
        "mail": user.mail,
        "phone": user.phone,
        "language": user.language,
        "groups": list(user.groups),
        "state": user.state.value,
        "must_change": user.must_change,
        "password_hash": (recognise(stored.hash) or "unknown") if stored else None,
        "password_changed_at": _iso(row["password_changed_at"]),
        "expires_at": _iso(row["expires_at"]),
        "created_at": _iso(row["created_at"]),
    }


def new_row(office: Office, directory: str, shown: str, key: str) -> dict[str, Any]:
    """The row of a user of whom nothing but the name is known."""
    return {
        "id": new_id(),
        "directory": directory,
        "name": shown,
        "name_key": key,
        "display_name": "",
        "mail": None,
        "mail_key": None,
        "phone": None,
        "language": None,
        "groups": "[]",
        "attributes": "{}",
        "password_hash": None,
        "password_changed_at": None,
        "must_change": 0,
        "state": AccountState.ACTIVE.value,
        "expires_at": None,
        "created_at": office.now_ms(),
        "version": 1,
    }


def _profile(mail: str, phone: str, groups: Iterable[str], display_name: str, language: str) -> dict[str, Any]:
    return fields.mail_columns(mail) | {
        "phone": fields.phone_number(phone),
        "groups": fields.group_column(groups),
        "display_name": fields.display_name(display_name),
        "language": fields.language_tag(language),
    }


async def _set_state(office: Office, directory: str, name: str, state: AccountState) -> dict[str, Any]:
    row = await user_row(office, directory, name)
    details = {"fields": ["state"], "state": state.value}
    besides = [*(await _without_devices(office, row) if state is AccountState.DISABLED else ())]
    if state is AccountState.ACTIVE and row["state"] == AccountState.LOCKED:
        besides += await _word(office, row, Act("unlocked"))
    return await _update(office, row, {"state": state.value}, Kind.USER_CHANGED, details, besides)


async def _without_devices(office: Office, row: Row) -> Sequence[Operation]:
    """What forgets the devices that the person told us to trust: after a reset, and when the account is closed."""
    subject_id = await linked_subject(office.storage, str(row["directory"]), str(row["id"]))
    return (forget_all(subject_id),) if subject_id is not None else ()


async def _word(office: Office, row: Row, *acts: Act, changes: Mapping[str, Any] = NO_DETAILS) -> list[Operation]:
    """Word to the person, at what he had and at what he has now."""
    user, now = user_from_row(row, office.now_ms()), user_from_row({**row, **changes}, office.now_ms())
    also = tuple(everywhere(now, ()))
    return await word_of(office, Whose(user.directory, user.immutable_id, user.name, user, also=also, becomes=now), *acts)


async def _update(
    office: Office, row: Row, changes: dict[str, Any], kind: Kind, details: Mapping[str, object], besides: Sequence[Operation] = ()
) -> dict[str, Any]:
    """Set columns whatever the version: each of these changes says what shall be, not what was."""
    unit = [Update(TABLE, {"id": row["id"]}, changes, add={"version": 1}), *besides, _event(office, kind, row, details)]
    if await _commit(office, unit) is not None:
        raise _no_such_user(str(row["directory"]), str(row["name"]))
    return describe({**row, **changes}, office.now_ms())


async def _only_link(office: Office, subject_id: SubjectId) -> bool:
    return await office.storage.count("subject_link", [Where("subject_id", "=", subject_id)]) <= 1


async def _subject_removal(office: Office, subject_id: SubjectId) -> list[Operation]:
    """Everything that was enrolled. Recovery codes go first, as they are found by their authenticator."""
    mine = Where("subject_id", "=", subject_id)
    sets = await office.storage.find("authenticator", [mine, Where("kind", "=", RECOVERY_CODE)], limit=MAX_IN_VALUES)
    ids = tuple(str(row["id"]) for row in sets)
    codes = [Delete("recovery_code", (Where("authenticator_id", "in", ids),))] if ids else []
    return [
        *codes,
        Delete("authenticator", (mine,)),
        Delete("contact", (mine,)),
        *kba.erased(office.ring, subject_id),
        forget_all(subject_id),
        Delete("demand", (mine,)),
        Delete("directory_contact", (mine,)),
        forget_habits(subject_id),
        Delete("subject", (Where("id", "=", subject_id),)),
    ]


async def _commit(office: Office, unit: Sequence[Operation]) -> Refused | None:
    result = await office.storage.commit(unit)
    return result if isinstance(result, Refused) else None


def _event(
    office: Office, kind: Kind, row: Row, details: Mapping[str, object] = NO_DETAILS, subject_id: SubjectId | None = None
) -> Operation:
    about = {"directory": row["directory"], "user": row["name"], "user_id": row["id"]}
    who = (kind, office.now_ms(), office.actor, None, office.reference, subject_id)
    return office.record(AuditEvent(*who, details={**about, **details}))


def _unlocked(office: Office, row: Row) -> Operation:
    """The event says the state, so that a replay after a restore does not bar the user for the lock that came before."""
    return _event(office, Kind.USER_CHANGED, row, {"fields": ["state"], "state": AccountState.ACTIVE.value})


def _no_such_user(directory: str, name: str) -> NotFound:
    return NotFound(f"directory {directory} has no user {name[:64]}; wardgate subject show looks in every directory of the realm")


def _iso(value: object) -> str | None:
    return from_ms(value).isoformat() if isinstance(value, int) else None
