"""A whole database copied into PostgreSQL, and proved to be the same, in one transaction.

What is being copied into is marked, and no server takes it into service; when the copy is cut short the transaction is undone,
the mark stays, and the next copy begins anew. Both sides are read through to the end and compared: rows of every table counted,
and a digest of their contents, which does not depend on the order in which they come.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from wardgate.errors import AlreadyExists, StorageError
from wardgate.storage import migrations
from wardgate.storage.port import Value
from wardgate.storage.postgres_connection import Connection, Dialer, unavailable
from wardgate.storage.postgres_schema import COPIED, COPYING, prepare, read_version, write_mark
from wardgate.storage.settings import DatabaseSettings
from wardgate.storage.shapes import SHAPES
from wardgate.storage.snapshot import Snapshot

# The limits are those of logins: a copy may take its time.
_UNHURRIED: Final = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
_READ_ROWS: Final = 500
_DIGEST_BYTES: Final = 32
_FAILED: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)

# Called with how many rows are done on both sides together, and the table.
Advance = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a table holds."""

    rows: int
    digest: int


class _Tally:
    """Adds up the rows of a table."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, row: Iterable[Value]) -> None:
        """Take in a row. The sum of the rows' digests is the same in any order, and tells rows that are there twice."""
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        for value in row:
            octets = value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else str(value).encode()
            kind = "n" if value is None else "t" if isinstance(value, str) else "b" if isinstance(value, bytes) else "i"
            digest.update(f"{kind}{len(octets)}:".encode())
            digest.update(octets)
        self._sum = (self._sum + int.from_bytes(digest.digest(), "big")) % 2 ** (8 * _DIGEST_BYTES)
        self.rows += 1

    def contents(self) -> Contents:
        """What was taken in."""
        return Contents(self.rows, self._sum)


async def copy_into(
    settings: DatabaseSettings, data: Path, source: Snapshot, installation: str, advance: Advance = lambda done, table: None
) -> dict[str, int]:
    """Copy every row of `source` and compare; returns how many rows each table has.

    `installation`: the id of what is copied; a finished copy of another one is not written over. Raises AlreadyExists for a
    database that holds something else, SettingsError, StorageUnavailable, StorageError when the copy is not the same.
    """
    dialer = Dialer(settings, data)
    if source.version != migrations.LATEST or source.tables.keys() != SHAPES.keys():
        raise StorageError("the tables of the source are not those of this program: start its server once")
    await _claim(dialer, data, installation)
    connection = await dialer.dial()
    try:
        # Ended by the end of the connection when anything goes wrong: in the middle of a COPY nothing else can be said on it.
        await connection.execute(f"BEGIN; {_UNHURRIED}")
        counts = await _copied(connection, source, advance)
        await write_mark(connection, COPIED)
        await connection.execute("COMMIT")
        return counts
    except _FAILED as error:
        raise unavailable(error, f"{dialer.name} could not be filled") from error
    finally:
        connection.terminate()


async def _claim(dialer: Dialer, data: Path, installation: str) -> None:
    """Make sure that nobody's data stands in the database, and mark it as an unfinished copy."""
    connection = await dialer.dial()
    try:
        version, mark = await read_version(connection)
        if version and (mark is None or await _holder(connection) not in (None, installation)):
            await _refuse_rows(connection, dialer.name)
        await prepare(dialer, copy=True)
        await write_mark(connection, COPYING)
    except _FAILED as error:
        raise unavailable(error) from error
    finally:
        connection.terminate()


async def _holder(connection: Connection) -> str | None:
    found: str | None = await connection.fetchval("SELECT value FROM installation WHERE name = 'id'")
    return found


async def _refuse_rows(connection: Connection, name: str) -> None:
    for table in SHAPES:
        if await connection.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{table}")'):  # noqa: S608 - names of the schema
            raise AlreadyExists(f"{name} is not empty ({table} has rows): nothing was changed; create an empty database")


async def _copied(connection: Connection, source: Snapshot, advance: Advance) -> dict[str, int]:
    done = 0
    counts: dict[str, int] = {}
    for table in sorted(SHAPES):
        names = [column.name for column in source.tables[table]]
        given, found = _Tally(), _Tally()

        async def rows(table: str = table, tally: _Tally = given, before: int = done) -> AsyncIterator[Sequence[Value]]:
            async for page in source.pages(table):
                for row in page:
                    tally.add(row)
                    yield row
                advance(before + tally.rows, table)

        await connection.execute(f'TRUNCATE "{table}"')
        await connection.copy_records_to_table(table, records=rows(), columns=names, timeout=None)
        done += given.rows
        async for row in _stored(connection, table, names):
            found.add(row)
            if found.rows % _READ_ROWS == 0:
                advance(done + found.rows, table)
        done += found.rows
        advance(done, table)
        if given.contents() != found.contents():
            raise StorageError(f"the copy of {table} is not the same: {found.rows} rows of {given.rows}; the source stays in force")
        counts[table] = given.rows
    return counts


async def _stored(connection: Connection, table: str, names: Sequence[str]) -> AsyncIterator[Any]:
    columns = ", ".join(f'"{name}"' for name in names)
    cursor = await connection.cursor(f'SELECT {columns} FROM "{table}"')  # noqa: S608 - names of the schema
    while rows := await cursor.fetch(_READ_ROWS):
        for row in rows:
            yield row
