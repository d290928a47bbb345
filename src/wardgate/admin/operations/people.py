"""The people behind accounts, and their contacts."""

from collections.abc import Mapping
from typing import Any, Final

from wardgate.admin import (
    contacts,
    freezes,
    subjects,
)
from wardgate.admin.management import Desk
from wardgate.admin.operations.places import Result
from wardgate.control import Operation


async def subject_show(desk: Desk, name: str | None = None, directory: str | None = None, subject_id: str | None = None) -> Result:
    """A person: accounts, authenticators, contacts."""
    return await subjects.show_subject(desk.office, name=name, directory=directory, subject_id=subject_id)


async def subject_unlock(desk: Desk, name: str, directory: str | None = None) -> Result:
    """Lift every wait of a person, in whichever directory."""
    return await subjects.unlock_subject(desk.office, name=name, directory=directory)


async def subject_forget_devices(desk: Desk, name: str, directory: str | None = None, device: str | None = None) -> Result:
    """Trust the devices of a person no more, or one of them."""
    return await subjects.forget_devices(desk.office, name=name, directory=directory, device=device)


async def subject_relink(
    desk: Desk,
    name: str | None = None,
    directory: str | None = None,
    immutable_id: str | None = None,
    to_name: str | None = None,
    to_directory: str | None = None,
    to_subject: str | None = None,
    keep: str | None = None,
    unlink: str | None = None,
    dry_run: bool = False,
    expected: dict[str, Any] | None = None,
) -> Result:
    """Let an account be a known person's, or with `dry_run` tell what that would do."""
    return await subjects.relink(
        desk.office,
        name=name,
        directory=directory,
        immutable_id=immutable_id,
        to_name=to_name,
        to_directory=to_directory,
        to_subject=to_subject,
        keep=keep,
        unlink=unlink,
        dry_run=dry_run,
        expected=expected,
    )


async def user_freeze(desk: Desk, name: str, directory: str | None = None, since: str | None = None) -> Result:
    """Freeze an account, in whichever directory."""
    return await freezes.freeze_person(desk.office, name=name, directory=directory, since=since)


async def user_unfreeze(desk: Desk, name: str, directory: str | None = None, bring_back: bool = False) -> Result:
    """Lift a freeze."""
    return await freezes.unfreeze_person(desk.office, name=name, directory=directory, bring_back=bring_back)


async def contact_list(desk: Desk, name: str, directory: str | None = None) -> Result:
    """A user's contacts, wherever they are kept."""
    return await contacts.list_contacts(desk.office, name=name, directory=directory)


async def contact_add(
    desk: Desk, name: str, value: str, verified: bool = False, to_directory: bool = False, directory: str | None = None
) -> Result:
    """A new contact."""
    return await contacts.add_contact(
        desk.office, name=name, value=value, verified=verified, to_directory=to_directory, directory=directory
    )


async def contact_remove(desk: Desk, name: str, value: str, from_directory: bool = False, directory: str | None = None) -> Result:
    """Remove a contact."""
    return await contacts.remove_own_contact(
        desk.office, name=name, value=value, from_directory=from_directory, directory=directory
    )


async def contact_prefer(desk: Desk, name: str, value: str, directory: str | None = None) -> Result:
    """Let codes go there."""
    return await contacts.prefer_contact(desk.office, name=name, value=value, directory=directory)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "subject.show": subject_show,
    "subject.unlock": subject_unlock,
    "subject.forget_devices": subject_forget_devices,
    "subject.relink": subject_relink,
    "user.freeze": user_freeze,
    "user.unfreeze": user_unfreeze,
    "contact.list": contact_list,
    "contact.add": contact_add,
    "contact.remove": contact_remove,
    "contact.prefer": contact_prefer,
}
