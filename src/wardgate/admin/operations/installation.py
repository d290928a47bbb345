"""Keys, backups, checks and what a running server tells of itself."""

from collections.abc import Mapping
from typing import Final

from wardgate.admin import (
    backups,
    checks,
    keys,
    links,
)
from wardgate.admin.management import Desk
from wardgate.admin.operations.places import Result
from wardgate.control import Operation, Progress
from wardgate.errors import ServerUnavailable, SettingsError, UsageError


async def key_rotate(desk: Desk, progress: Progress) -> Result:
    """A new data key; everything sealed moves under it."""
    return await keys.rotate_keys(desk.office, desk.keys, progress)


async def backup_set_recipients(desk: Desk, recipients: list[str]) -> Result:
    """To whom backups are encrypted from now on."""
    return await backups.set_recipients(desk.office, recipients=recipients)


async def backup_note(desk: Desk, sha256: str, size: int, recipients: list[str]) -> Result:
    """Put on record that a backup was made."""
    return await backups.note_backup(desk.office, sha256=sha256, size=size, recipients=recipients)


async def check(desk: Desk, online: bool = False) -> Result:
    """What is wrong or weak."""
    return await checks.check_installation(desk.office, desk.opened, online=online)


async def admin_link(desk: Desk) -> Result:
    """A one-time link to the live log. Opening it shows a button; only the button uses it up."""
    office, settings = desk.office, desk.opened.installation.settings
    if not any("admin" in listener.doors for listener in settings.https_listeners):
        raise SettingsError(
            "no listener of this machine has the door admin, so that a link would lead nowhere: "
            "run this on the node whose wardgate.toml has it, or add admin to the doors of a listener and restart"
        )
    bearer = await links.make_link(office.storage, office.ring, office.clock, office.actor)
    return {"url": f"{desk.https_url}/admin/enter/{bearer}", "life_s": links.LINK_LIFE_MS // 1000}


async def demo_describe(desk: Desk) -> Result:
    """Where the running demo listens and who can be tried, for the simulator. The demo's secrets are public by design."""
    if desk.tell_demo is None:
        raise UsageError("no demo runs on this directory: start one with wardgate demo, or name the server with --server")
    return await desk.tell_demo()


async def top_picture(desk: Desk) -> Result:
    """The live picture of the server that is asked: its workers, and what the database knows."""
    if desk.take_picture is None:
        raise ServerUnavailable("no server runs on this directory: wardgate serve starts one")
    return await desk.take_picture()


OPERATIONS: Final[Mapping[str, Operation]] = {
    "key.rotate": key_rotate,
    "backup.set_recipients": backup_set_recipients,
    "backup.note": backup_note,
    "check": check,
    "admin.link": admin_link,
    "top.picture": top_picture,
    "demo.describe": demo_describe,
}
