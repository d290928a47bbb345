"""Where a user is: the directory that an operation means."""

from typing import Any

from wardgate.admin.management import Desk
from wardgate.admin.people import found_person
from wardgate.config.store import load_current
from wardgate.directory.settings import LocalDirectorySettings
from wardgate.errors import NotFound, UsageError

Result = dict[str, Any]


async def directory_of(desk: Desk, wanted: str | None) -> str:
    """The name of the local directory that is meant."""
    return (await local_directory(desk, wanted)).name


async def local_directory(desk: Desk, wanted: str | None) -> LocalDirectorySettings:
    """The local directory that is meant: the named one, or the first local one of the default realm."""
    _, document = await load_current(desk.office.storage)
    local = {directory.name: directory for directory in document.directories if isinstance(directory, LocalDirectorySettings)}
    if wanted is not None:
        if wanted not in local:
            raise NotFound(f"there is no local directory {wanted[:64]}: {', '.join(local) or 'there is none'}")
        return local[wanted]
    of_default = [name for realm in document.realms if realm.default for name in realm.directories if name in local]
    if not of_default:
        raise UsageError("the default realm has no local directory: name one with --directory")
    return local[of_default[0]]


async def user_place(desk: Desk, name: str, directory: str | None) -> dict[str, str]:
    """Where a user is: in the directory that is named, or in the first one of his name's realm that knows him."""
    if directory is not None:
        return {"directory": directory, "name": name}
    async with found_person(desk.office, name) as person:
        return {"directory": person.user.directory, "name": person.user.name}
