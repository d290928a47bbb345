"""Our own id for a person, and its links to (directory, immutable id)."""

from collections.abc import Sequence
from typing import NewType

from wardgate.crypto import new_id
from wardgate.directory.port import Directory, DirectoryUser
from wardgate.storage.port import Find, Insert, Lookup, Operation, Reader, Row

SubjectId = NewType("SubjectId", str)
_LINK = Lookup("subject_link", ("directory", "immutable_id"), limit=1)
# Of one person in one directory. Operators join two now and then: an everyday account and the one for administering.
MAX_ACCOUNTS = 16
_ACCOUNTS = Lookup("subject_link", ("subject_id", "directory"), limit=MAX_ACCOUNTS)
# Nobody's: what is read for it is nothing.
NO_SUBJECT = SubjectId("")


async def linked_subject(storage: Reader, directory: str, immutable_id: str) -> SubjectId | None:
    """The subject that this directory entry belongs to, or None when nobody has met it yet."""
    [rows] = await storage.read([link_of(directory, immutable_id)])
    return subject_in(rows)


def link_of(directory: str, immutable_id: str) -> Find:
    """What to read for `subject_in`, to be read together with whatever else is needed."""
    return _LINK(directory, immutable_id)


def subject_in(rows: Sequence[Row]) -> SubjectId | None:
    """The subject that a link names."""
    return SubjectId(str(rows[0]["subject_id"])) if rows else None


def accounts_of(subject_id: SubjectId, directory: str) -> Find:
    """What to read for `accounts_in`, to be read together with whatever else is needed."""
    return _ACCOUNTS(subject_id, directory)


def accounts_in(rows: Sequence[Row]) -> list[str]:
    """The immutable ids of the accounts that a subject has in a directory: nearly always one."""
    return [str(row["immutable_id"]) for row in rows]


async def account_named(directory: Directory, immutable_ids: Sequence[str], name: str, timeout_s: float) -> DirectoryUser | None:
    """Of the accounts that a person has there, the one that he signed in by. Raises DirectoryUnavailable.

    A session knows its person and the account's name. With one account that may have been renamed; with several the name decides,
    or whoever has proved the password of the one would be let in as the other.
    """
    if len(immutable_ids) == 1:
        return await directory.get(immutable_ids[0], timeout_s)
    for immutable_id in immutable_ids:
        user = await directory.get(immutable_id, timeout_s)
        if user is not None and user.name == name:
            return user
    return None


def create_subject(directory: str, immutable_id: str, at_ms: int) -> tuple[SubjectId, list[Operation]]:
    """A fresh subject linked to a directory entry. The link's insert is refused when somebody else linked it first."""
    subject_id = SubjectId(new_id())
    return subject_id, [
        Insert("subject", {"id": subject_id, "created_at": at_ms}),
        Insert(
            "subject_link", {"directory": directory, "immutable_id": immutable_id, "subject_id": subject_id, "created_at": at_ms}
        ),
    ]
