"""Which account a login name of a realm was last let in as. Only realms with several directories need to know.

While one of them is down, the others' users are served and its own are not looked for elsewhere. It says where to ask first, never
who somebody is: that the directory says itself, by the immutable id that it tells for the name.
"""

from collections.abc import Sequence

from wardgate.directory.port import DirectoryUser
from wardgate.directory.realm import Realm
from wardgate.storage.port import Find, Operation, Row, Upsert, Where

TABLE = "known_name"


def known_name(realm: Realm, name: str) -> list[Find]:
    """What to read about a name, together with whatever else is needed; nothing where there is one directory to ask."""
    if not name or len(realm.directories) < 2:
        return []
    return [Find(TABLE, (Where("realm", "=", realm.name), Where("name_key", "=", name)), limit=1)]


def note(realm: Realm, name: str, user: DirectoryUser, known: Row | None, now_ms: int) -> tuple[Operation, ...]:
    """What a grant has to write: nothing where it is known already. `known`: the row as it was read."""
    if not name or len(realm.directories) < 2:
        return ()
    if known is not None and (known["directory"], known["immutable_id"]) == (user.directory, user.immutable_id):
        return ()
    row: Row = {
        "realm": realm.name,
        "name_key": name,
        "directory": user.directory,
        "immutable_id": user.immutable_id,
        "seen_at": now_ms,
    }
    return (Upsert(TABLE, row),)


def first_row(rows: Sequence[Sequence[Row]]) -> Row | None:
    """The row that `known_name` brought, if there was anything to read."""
    return rows[0][0] if rows and rows[0] else None
