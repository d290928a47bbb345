"""What the server keeps about backups: to whom they are encrypted, and that one was made. The command makes them itself."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from wardgate.admin.office import Office
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.errors import UsageError
from wardgate.storage.port import Upsert

RECIPIENTS: Final = "backup_recipients"
# When the last one was noted. The audit trail tells it too, but is long to search.
LAST_BACKUP: Final = "last_backup_at"
MAX_RECIPIENTS: Final = 20
_RECIPIENT: Final = re.compile(r"age1[a-z0-9]{10,100}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


async def set_recipients(office: Office, *, recipients: Sequence[str]) -> dict[str, Any]:
    """Remember to whom backups are encrypted when none is named, and tell whose place they take. Raises UsageError."""
    _check(recipients)
    row = await office.storage.get("installation", {"name": RECIPIENTS})
    before = remembered(str(row["value"])) if row is not None else []
    await office.storage.commit(
        [
            Upsert("installation", {"name": RECIPIENTS, "value": json.dumps(list(recipients))}),
            record(AuditEvent(Kind.BACKUP_KEY_SET, office.now_ms(), office.actor, details={"recipients": list(recipients)})),
        ]
    )
    return {"recipients": list(recipients), "replaced": [each for each in before if each not in recipients]}


async def note_backup(office: Office, *, sha256: str, size: int, recipients: Sequence[str]) -> dict[str, Any]:
    """Put on record that a backup was made. In an exported audit its digest shows later that a file is that backup."""
    _check(recipients)
    if not _SHA256.fullmatch(sha256) or size < 0:
        raise UsageError("a backup is noted by its SHA-256 and its size")
    details = {"sha256": sha256, "size": size, "recipients": list(recipients)}
    at_ms = office.now_ms()
    await office.storage.commit(
        [
            Upsert("installation", {"name": LAST_BACKUP, "value": str(at_ms)}),
            record(AuditEvent(Kind.BACKUP_MADE, at_ms, office.actor, details=details)),
        ]
    )
    return {"noted": True}


def remembered(value: str | None) -> list[str]:
    """The recipients in the stored row."""
    return [str(each) for each in json.loads(value)] if value else []


def _check(recipients: Sequence[str]) -> None:
    if not 1 <= len(recipients) <= MAX_RECIPIENTS or not all(map(_RECIPIENT.fullmatch, recipients)):
        raise UsageError(f"recipients: 1 to {MAX_RECIPIENTS} age X25519 recipients, which begin with age1")
