"""Our own id for a person, and its links to (directory, immutable id)."""

from collections.abc import Sequence
from typing import NewType

from wardgate.crypto import new_id
from wardgate.storage.port import Find, Insert, Lookup, Operation, Reader, Row

SubjectId = NewType("SubjectId", str)
_LINK = Lookup("subject_link", ("directory", "immutable_id"), limit=1)
_ACCOUNT = Lookup("subject_link", ("subject_id", "directory"), limit=1)
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


def account_of(subject_id: SubjectId, directory: str) -> Find:
    """What to read for `account_in`, to be read together with whatever else is needed."""
    return _ACCOUNT(subject_id, directory)


def account_in(rows: Sequence[Row]) -> str | None:
    """The immutable id of the account that a subject has in a directory."""
    return str(rows[0]["immutable_id"]) if rows else None


def create_subject(directory: str, immutable_id: str, at_ms: int) -> tuple[SubjectId, list[Operation]]:
    """A fresh subject linked to a directory entry. The link's insert is refused when somebody else linked it first."""
    subject_id = SubjectId(new_id())
    return subject_id, [
        Insert("subject", {"id": subject_id, "created_at": at_ms}),
        Insert(
            "subject_link", {"directory": directory, "immutable_id": immutable_id, "subject_id": subject_id, "created_at": at_ms}
        ),
    ]
