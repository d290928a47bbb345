"""Snapshots of a PostgreSQL database, and an empty one filled from a backup.

A snapshot is one read-only transaction at REPEATABLE READ on a connection of its own. It keeps nobody waiting; the database
cannot clear away rows that died meanwhile, so it grows by what is changed until the snapshot ends.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import asyncpg

from wardgate.errors import SettingsError
from wardgate.storage import migrations
from wardgate.storage.port import Value
from wardgate.storage.postgres_connection import Connection, Dialer, unavailable
from wardgate.storage.postgres_schema import COPIED, COPYING, prepare, read_version, write_mark
from wardgate.storage.settings import DatabaseSettings
from wardgate.storage.snapshot import BYTES, PAGE_ROWS, PAGE_ROWS_OF, Column, Snapshot

_KINDS: Final = {"text": "text", "bigint": "number", "bytea": BYTES}
_FAILED: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
# The limits of a connection are those of logins.
_UNHURRIED: Final = """
SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL enable_seqscan = on
"""
_COLUMNS: Final = """
SELECT table_name, column_name, data_type FROM information_schema.columns
WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position
"""


class PostgresSnapshot:
    """Satisfies `snapshot.Snapshot`. Made by `open`."""

    def __init__(self, connection: Connection, version: int, tables: Mapping[str, tuple[Column, ...]]) -> None:
        self._connection = connection
        self._version = version
        self._tables = tables

    @classmethod
    async def open(cls, settings: DatabaseSettings, data: Path) -> "PostgresSnapshot":
        """The present moment. Raises SettingsError, StorageUnavailable."""
        connection = await Dialer(settings, data).dial()
        try:
            await connection.transaction(isolation="repeatable_read", readonly=True).start()
            await connection.execute(_UNHURRIED)
            version, mark = await read_version(connection)
            if version == 0 or mark == COPYING:
                raise SettingsError("database.url: the database holds no whole installation")
            return cls(connection, version, await _tables(connection))
        except _FAILED as error:
            connection.terminate()
            raise unavailable(error) from error
        except BaseException:
            connection.terminate()
            raise

    @property
    def version(self) -> int:
        """Which migration its tables are of."""
        return self._version

    @property
    def tables(self) -> Mapping[str, tuple[Column, ...]]:
        """Every table with its columns."""
        return self._tables

    async def pages(self, table: str) -> AsyncIterator[Sequence[Sequence[Value]]]:
        """The rows of a table, some at a time."""
        names = ", ".join(f'"{column.name}"' for column in self._tables[table])
        size = PAGE_ROWS_OF.get(table, PAGE_ROWS)
        try:
            cursor = await self._connection.cursor(f'SELECT {names} FROM "{table}"')  # noqa: S608 - names from the schema itself
            while rows := await cursor.fetch(size):
                yield [tuple(row) for row in rows]
        except _FAILED as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        """Let go of the moment."""
        self._connection.terminate()

    async def __aenter__(self) -> "PostgresSnapshot":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()


async def fill_postgres(settings: DatabaseSettings, data: Path, source: Snapshot) -> None:
    """Fill a database that holds nothing of worth with all rows of `source`, whose tables are of this program's version.

    All or nothing, in one transaction. The first start takes it into service. Raises SettingsError for a database that holds an
    installation, StorageUnavailable.
    """
    dialer = Dialer(settings, data)
    await _check_free(dialer)
    await prepare(dialer, copy=True)
    connection = await dialer.dial()
    try:
        async with connection.transaction():
            await connection.execute(_UNHURRIED)
            tables = await _tables(connection)
            if tables.keys() != source.tables.keys() or source.version != migrations.LATEST:
                raise SettingsError("the tables of the two databases are not of the same version")
            for table, columns in source.tables.items():
                await _fill(connection, table, [column.name for column in columns], source)
            await write_mark(connection, COPIED)
    except _FAILED as error:
        raise unavailable(error, f"{dialer.name} could not be filled") from error
    finally:
        connection.terminate()


async def _check_free(dialer: Dialer) -> None:
    """What a copy or a restore has left may be written over; what serves may not."""
    connection = await dialer.dial()
    try:
        version, mark = await read_version(connection)
    except _FAILED as error:
        raise unavailable(error) from error
    finally:
        connection.terminate()
    if version and mark not in (COPYING, COPIED):
        raise SettingsError(f"{dialer.name} holds an installation: name an empty database")


async def _fill(connection: Connection, table: str, names: list[str], source: Snapshot) -> None:
    await connection.execute(f'TRUNCATE "{table}"')
    async for page in source.pages(table):
        await connection.copy_records_to_table(table, records=page, columns=names, timeout=None)
        await asyncio.sleep(0)


async def _tables(connection: Connection) -> dict[str, tuple[Column, ...]]:
    found: dict[str, list[Column]] = {}
    rows: list[Any] = await connection.fetch(_COLUMNS)
    for table, name, kind in rows:
        if kind not in _KINDS:
            raise SettingsError(f"table {table} has a column of the kind {kind}, which none of ours is")
        found.setdefault(table, []).append(Column(name, _KINDS[kind]))
    return {table: tuple(columns) for table, columns in found.items()}
