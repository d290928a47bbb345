"""Telling the users of a local directory page by page, as cells that `user_formats` writes and the importer takes again."""

from typing import Any, Final

from wardgate.admin.office import Office
from wardgate.admin.user_columns import NAME, PASSWORD_HASH
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import from_ms
from wardgate.directory.local import TABLE, stored_password
from wardgate.jsons import loads
from wardgate.storage.port import Row, Where

MAX_PAGE: Final = 1_000


async def export_page(office: Office, *, directory: str, with_hashes: bool, after: str | None, limit: int) -> dict[str, Any]:
    """Users by name, at most `limit` after the key `after`. `next`: the `after` of the next page, or None.

    Hashes are told only `with_hashes`; secrets of authenticators never. The first page leaves an audit event.
    """
    limit = max(1, min(limit, MAX_PAGE))
    if after is None:
        details = {"directory": directory, "with_hashes": with_hashes}
        await office.storage.commit([record(AuditEvent(Kind.USERS_EXPORTED, office.now_ms(), office.actor, details=details))])
    where = [Where("directory", "=", directory), Where("name_key", ">", after or "")]
    rows = await office.storage.find(TABLE, where, order_by="name_key", limit=limit + 1)
    return {
        "directory": directory,
        "users": [_cells(row, with_hashes) for row in rows[:limit]],
        "next": rows[limit - 1]["name_key"] if len(rows) > limit else None,
    }


def _cells(row: Row, with_hashes: bool) -> dict[str, Any]:
    stored = stored_password(row) if with_hashes else None
    ends = row["expires_at"]
    cells = {
        NAME: row["name"],
        "mail": row["mail"] or "",
        "phone": row["phone"] or "",
        "groups": loads(str(row["groups"])),
        "display_name": row["display_name"],
        "language": row["language"] or "",
        "state": row["state"],
        "must_change": "true" if row["must_change"] else "false",
        "expires_at": from_ms(ends).isoformat() if isinstance(ends, int) else "",
    }
    return cells | ({PASSWORD_HASH: stored.hash} if stored is not None else {})
