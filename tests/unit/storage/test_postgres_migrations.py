"""Migrations on PostgreSQL: the same tables as the schema, made once, forward only, all or nothing."""

import asyncio
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from alembic.operations import Operations
from sqlalchemy import UniqueConstraint
from sqlalchemy.dialects import postgresql as dialect

from tests import postgresql
from wardgate.errors import SettingsError, StorageUnavailable
from wardgate.storage import migrations
from wardgate.storage.postgres import PostgresStorage
from wardgate.storage.postgres_connection import Dialer
from wardgate.storage.postgres_schema import prepare
from wardgate.storage.schema import metadata

pytestmark = pytest.mark.neighbour("postgresql")

_COLUMNS = """
SELECT table_name, column_name, upper(data_type), is_nullable = 'YES', column_default, collation_name
FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position
"""
_INDEXES = """
SELECT t.relname, i.relname, x.indisprimary, x.indisunique,
       ARRAY(SELECT pg_get_indexdef(x.indexrelid, n, false) FROM generate_series(1, x.indnkeyatts) n) AS columns
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
WHERE t.relnamespace = 'public'::regnamespace
"""


def _dialer(database: str, tmp_path: Path) -> Dialer:
    return Dialer(postgresql.shared().settings(database), tmp_path)


async def _tables(database: str) -> set[str]:
    rows = await postgresql.shared().fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'", database
    )
    return {row[0] for row in rows}


async def test_the_migrated_database_is_what_the_schema_says(tmp_path: Path) -> None:
    database = await postgresql.shared().create()
    await prepare(_dialer(database, tmp_path))
    found = [tuple(row) for row in await postgresql.shared().fetch(_COLUMNS, database)]
    wanted = [
        (
            table.name,
            column.name,
            column.type.compile(dialect.dialect()),
            bool(column.nullable),
            None,
            "C" if column.type.python_type is str else None,
        )
        for table in sorted(metadata.tables.values(), key=lambda table: table.name)
        for column in table.columns
    ]
    assert found == wanted
    indexes = {tuple(row)[:4]: [name.strip('"') for name in row[4]] for row in await postgresql.shared().fetch(_INDEXES, database)}
    expected: dict[tuple[object, ...], list[str]] = {}
    for table in metadata.tables.values():
        expected[table.name, f"{table.name}_pkey", True, True] = [column.name for column in table.primary_key.columns]
        for unique in table.constraints:
            if isinstance(unique, UniqueConstraint):
                expected[table.name, str(unique.name), False, True] = [column.name for column in unique.columns]
        for index in table.indexes:
            expected[table.name, str(index.name), False, bool(index.unique)] = [column.name for column in index.columns]
    assert indexes == expected


def _add_step(monkeypatch: pytest.MonkeyPatch, name: str, upgrade: Any) -> None:
    module = ModuleType(name)
    module.upgrade = upgrade  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, f"{migrations.__name__}.{name}", module)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, name))
    monkeypatch.setattr(migrations, "LATEST", migrations.LATEST + 1)


async def test_nodes_that_start_at_once_upgrade_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = await postgresql.shared().create()
    dialer = _dialer(database, tmp_path)
    await asyncio.gather(*[prepare(dialer) for _ in range(5)])
    assert await _tables(database) == set(metadata.tables)
    await postgresql.shared().execute("INSERT INTO installation VALUES ('runs', '')", database)
    _add_step(monkeypatch, "m9998_once", lambda op: op.execute("UPDATE installation SET value = value || 'x' WHERE name = 'runs'"))
    await asyncio.gather(*[prepare(dialer) for _ in range(5)])
    assert [tuple(row) for row in await postgresql.shared().fetch("SELECT * FROM installation", database)] == [("runs", "x")]


async def test_an_upgrade_that_fails_leaves_the_old_version_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = await postgresql.shared().create()
    dialer = _dialer(database, tmp_path)
    await prepare(dialer)

    def bad(op: Operations) -> None:
        op.execute("CREATE TABLE half_made (id TEXT)")
        op.execute("INSERT INTO nowhere VALUES (1)")

    with monkeypatch.context() as later:
        _add_step(later, "m9999_bad", bad)
        with pytest.raises(StorageUnavailable, match="tables could not be made"):
            await prepare(dialer)
    assert await _tables(database) == set(metadata.tables)
    await prepare(dialer)


async def test_a_database_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = await postgresql.shared().create()
    await prepare(_dialer(database, tmp_path))
    newer = migrations.LATEST + 1
    await postgresql.shared().execute(f"COMMENT ON TABLE installation IS 'wardgate schema {newer}'", database)
    with pytest.raises(SettingsError, match=rf"version {newer} .* start the newer program"):
        await PostgresStorage.open(postgresql.shared().settings(database), tmp_path)


@pytest.mark.parametrize("script", ["CREATE TABLE theirs (x int)", "CREATE TABLE installation (name text)"])
async def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path, script: str) -> None:
    database = await postgresql.shared().create()
    await postgresql.shared().execute(script, database)
    before = await _tables(database)
    with pytest.raises(SettingsError, match="another program"):
        await prepare(_dialer(database, tmp_path))
    assert await _tables(database) == before


async def test_an_account_that_may_not_make_tables_is_told(tmp_path: Path) -> None:
    database = await postgresql.shared().create()
    await postgresql.shared().execute(f"DROP ROLE IF EXISTS guest_{database}; CREATE ROLE guest_{database} LOGIN")
    await postgresql.shared().execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database)
    url = postgresql.shared().url(database).replace(f"//{postgresql.USER}@", f"//guest_{database}@")
    with pytest.raises(SettingsError, match="make it the owner"):
        await prepare(Dialer(postgresql.shared().settings(database, url=url), tmp_path))


async def test_a_schema_in_which_everybody_may_make_functions_is_refused(tmp_path: Path) -> None:
    """Such a function fits our calls better than the one of the database, and reads every row with our rights (CVE-2018-1058)."""
    database = await postgresql.shared().create()
    await prepare(_dialer(database, tmp_path))
    await postgresql.shared().execute("GRANT CREATE ON SCHEMA public TO PUBLIC", database)
    with pytest.raises(SettingsError, match="REVOKE CREATE ON SCHEMA public FROM PUBLIC"):
        await prepare(_dialer(database, tmp_path))
    await postgresql.shared().execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database)
    await prepare(_dialer(database, tmp_path))
