"""Users of local directories."""

import io
from collections.abc import Mapping
from typing import Any, Final

from wardgate.account.subject import SubjectId
from wardgate.admin import (
    user_export,
    user_import,
    users,
)
from wardgate.admin.import_file import read_records
from wardgate.admin.management import Desk
from wardgate.admin.operations.places import Result, directory_of, local_directory
from wardgate.config.store import load_current
from wardgate.control import Operation
from wardgate.crypto import Secret
from wardgate.directory.local.passwords import NewPasswords
from wardgate.directory.port import DirectoryUser
from wardgate.directory.settings import LocalDirectorySettings, realm_words
from wardgate.engine import lifting
from wardgate.errors import UsageError
from wardgate.storage.port import Operation as StorageOperation


async def user_add(
    desk: Desk,
    name: str,
    password: Secret | None = None,
    mail: str | None = None,
    phone: str | None = None,
    groups: list[str] | None = None,
    display_name: str | None = None,
    language: str | None = None,
    must_change: bool = False,
    directory: str | None = None,
    force: bool = False,
) -> Result:
    """Create a local user. `force`: with a password that the directory's policy refuses."""
    local = await local_directory(desk, directory)
    return await users.add_user(
        desk.office,
        directory=local.name,
        name=name,
        password=password,
        mail=mail,
        phone=phone,
        groups=groups or (),
        display_name=display_name or "",
        language=language,
        must_change=must_change,
        rules=None if force else await _new_passwords(desk, local),
    )


async def _new_passwords(desk: Desk, local: LocalDirectorySettings) -> NewPasswords:
    _, document = await load_current(desk.office.storage)
    return NewPasswords(local, desk.office.storage, desk.office.hasher, realm_words(document.realms, local.name))


async def user_change(desk: Desk, name: str, changes: dict[str, str | list[str]], directory: str | None = None) -> Result:
    """Change some of mail, phone, groups, display_name, language; an empty text clears."""
    unknown = sorted(set(changes) - {"mail", "phone", "groups", "display_name", "language"})
    if unknown:
        raise UsageError(f"a user has no field {unknown[0][:64]!r} that can be changed")
    fields: dict[str, Any] = dict(changes)
    return await users.change_user(desk.office, directory=await directory_of(desk, directory), name=name, **fields)


async def user_set_password(
    desk: Desk, name: str, password: Secret, must_change: bool = False, directory: str | None = None, force: bool = False
) -> Result:
    """Set a password and lift a lock. `force`: one that the directory's policy or its history refuses."""
    local = await local_directory(desk, directory)
    new = await _new_passwords(desk, local)
    return await users.set_password(
        desk.office, directory=local.name, name=name, password=password, must_change=must_change, new=new, force=force
    )


async def user_list(desk: Desk, limit: int = 100, after: str | None = None, directory: str | None = None) -> Result:
    """One page of users."""
    return await users.list_users(desk.office, directory=await directory_of(desk, directory), limit=limit, after=after)


async def user_show(desk: Desk, name: str, directory: str | None = None) -> Result:
    """One user."""
    return await users.show_user(desk.office, directory=await directory_of(desk, directory), name=name)


async def user_enable(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Make an account usable."""
    return await users.enable_user(desk.office, directory=await directory_of(desk, directory), name=name)


async def user_disable(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Let nobody in under an account."""
    return await users.disable_user(desk.office, directory=await directory_of(desk, directory), name=name)


async def user_lock(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Lock an account."""
    return await users.lock_user(desk.office, directory=await directory_of(desk, directory), name=name)


async def user_unlock(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Lift the lock and the waits of a user."""
    office = desk.office

    async def release(user: DirectoryUser, subject_id: SubjectId | None) -> list[StorageOperation]:
        who = (f"{user.directory}:{user.immutable_id}", *([subject_id] if subject_id else []))
        return await lifting.lift_user(office.storage, office.ring, who, office.now_ms())

    where = await directory_of(desk, directory)
    return await users.unlock_user(desk.office, directory=where, name=name, release_brakes=release)


async def user_remove(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Remove a user and all that hangs on him."""
    return await users.remove_user(desk.office, directory=await directory_of(desk, directory), name=name)


async def user_import_piece(
    desk: Desk,
    csv: Secret,
    keep_hashes: bool = False,
    directory: str | None = None,
    dry_run: bool = False,
    silent: bool = False,
) -> Result:
    """Import one piece of a CSV file: its header row and some whole lines."""
    where = await directory_of(desk, directory)
    return await user_import.import_users(
        desk.office, io.BytesIO(csv.reveal()), directory=where, keep_hashes=keep_hashes, dry_run=dry_run, silent=silent
    )


async def user_import_records(
    desk: Desk,
    records: Secret,
    keep_hashes: bool = False,
    directory: str | None = None,
    dry_run: bool = False,
    silent: bool = False,
) -> Result:
    """Import some users of a file in another format: a JSON list of [line, cells], or [line, why it cannot be read]."""
    where = await directory_of(desk, directory)
    rows = read_records(records, keep_hashes)
    return await user_import.import_rows(desk.office, rows, directory=where, dry_run=dry_run, silent=silent)


async def user_export_page(
    desk: Desk, with_hashes: bool = False, after: str | None = None, limit: int = 500, directory: str | None = None
) -> Result:
    """One page of users as the importer takes them."""
    where = await directory_of(desk, directory)
    return await user_export.export_page(desk.office, directory=where, with_hashes=with_hashes, after=after, limit=limit)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "user.add": user_add,
    "user.change": user_change,
    "user.set_password": user_set_password,
    "user.list": user_list,
    "user.show": user_show,
    "user.enable": user_enable,
    "user.disable": user_disable,
    "user.lock": user_lock,
    "user.unlock": user_unlock,
    "user.remove": user_remove,
    "user.import_piece": user_import_piece,
    "user.import_records": user_import_records,
    "user.export_page": user_export_page,
}
