"""Our own id for a person, and its links to (directory, immutable id)."""

from typing import NewType

from wardgate.crypto import new_id
from wardgate.storage.port import Insert, Operation, Reader

SubjectId = NewType("SubjectId", str)


async def linked_subject(storage: Reader, directory: str, immutable_id: str) -> SubjectId | None:
    """The subject that this directory entry belongs to, or None when nobody has met it yet."""
    row = await storage.get("subject_link", {"directory": directory, "immutable_id": immutable_id})
    return SubjectId(str(row["subject_id"])) if row else None


def create_subject(directory: str, immutable_id: str, at_ms: int) -> tuple[SubjectId, list[Operation]]:
    """A fresh subject linked to a directory entry. The link's insert is refused when somebody else linked it first."""
    subject_id = SubjectId(new_id())
    return subject_id, [
        Insert("subject", {"id": subject_id, "created_at": at_ms}),
        Insert(
            "subject_link", {"directory": directory, "immutable_id": immutable_id, "subject_id": subject_id, "created_at": at_ms}
        ),
    ]
