"""Every table of the schema, on every back-end: a row comes back as it went in, and its key is its own."""

import pytest

from tests.conformance.storage.rows import committed, insert, refused, row
from wardgate.storage.port import Delete, Insert, Row, Storage, Value, Where
from wardgate.storage.schema import metadata
from wardgate.storage.schema.keeping import audit_event
from wardgate.storage.shapes import SHAPES

TABLES = sorted(set(metadata.tables) - {audit_event.name})  # which only ever grows, by `Append`
_SOMETHING: dict[type[object], Value] = {str: "Işık ü", int: 7, bytes: b"\0\xff"}


def _filled(table: str) -> dict[str, Value]:
    return {column.name: _SOMETHING[column.kind] for column in SHAPES[table].columns.columns}


@pytest.mark.parametrize("table", TABLES)
async def test_a_row_comes_back_by_its_key_and_goes(storage: Storage, table: str) -> None:
    given = _filled(table)
    key: Row = {name: given[name] for name in SHAPES[table].key}
    await insert(storage, table, given)
    assert await storage.get(table, key) == given
    assert await refused(storage, Insert(table, row(table, **key))) == (0, "exists")
    await committed(storage, Delete(table, tuple(Where(name, "=", value) for name, value in key.items())))
    assert await storage.get(table, key) is None


async def test_contacts_of_a_person_stand_in_the_order_of_their_key(storage: Storage) -> None:
    """A key rotation pages through them by the first column of the key."""
    keys = [("s1", "mail", b"b"), ("s1", "phone", b"a"), ("s1", "phone", b"b"), ("s2", "mail", b"a")]
    for subject_id, kind, value_key in reversed(keys):
        await insert(storage, "contact", row("contact", subject_id=subject_id, kind=kind, value_key=value_key))
    found = await storage.find("contact", order_by="subject_id")
    assert [(item["subject_id"], item["kind"], item["value_key"]) for item in found] == keys
