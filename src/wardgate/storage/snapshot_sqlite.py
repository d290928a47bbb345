"""Snapshots of a SQLite file, and a SQLite file filled from one.

A snapshot is one read transaction on a connection of its own: in WAL mode it keeps nobody waiting. While it is open, the log
can be copied into the file only up to the moment of the snapshot, so it grows by what is written meanwhile.
"""

import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from wardgate.errors import SettingsError, StorageError, StorageUnavailable
from wardgate.storage import migrations
from wardgate.storage.batch import unavailable
from wardgate.storage.port import Value
from wardgate.storage.snapshot import BYTES, PAGE_ROWS, PAGE_ROWS_OF, Column
from wardgate.storage.sqlite import APPLICATION_ID, connect_reader

_KINDS = {"TEXT": "text", "BIGINT": "number", "BLOB": BYTES}


class SqliteSnapshot:
    """Satisfies `snapshot.Snapshot`. Blocks its thread while it reads: it is made for a process that does nothing else."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise StorageUnavailable(f"there is no database {path}")
        try:
            self._connection = connect_reader(path)
        except sqlite3.Error as error:
            raise unavailable(error) from error
        try:
            self._connection.execute("BEGIN")
            # The first read is the moment.
            self._tables = _tables(self._connection)
            self._version = _number(self._connection, "user_version")
            if _number(self._connection, "application_id") != APPLICATION_ID:
                raise SettingsError(f"{path} is the database of another program")
            migrations.check_version(self._version)
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise unavailable(error) from error
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
            rows = self._connection.execute(f'SELECT {names} FROM "{table}"')  # noqa: S608 - names from the schema itself
            while page := rows.fetchmany(size):
                yield page
        except sqlite3.Error as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        """Let go of the moment."""
        self._connection.close()

    async def __aenter__(self) -> "SqliteSnapshot":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()


class SqliteFill:
    """A new database file of some version, filled as fast as the disk takes it.

    Nothing is durable until `finish`: a file that was not finished is to be thrown away.
    """

    def __init__(self, path: Path, version: int) -> None:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=64)
        try:
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -65536", "trusted_schema = OFF"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._make_tables(version)
            self.tables = _tables(self._connection)
            self._connection.execute("BEGIN")
        except sqlite3.Error as error:
            self._connection.close()
            raise unavailable(error) from error
        except BaseException:
            self._connection.close()
            raise

    def _make_tables(self, version: int) -> None:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import StaticPool

        engine = create_engine("sqlite://", creator=lambda: self._connection, poolclass=StaticPool)
        with engine.connect() as wrapped:
            migrations.upgrade(wrapped, 0, version)
        self._connection.execute(f"PRAGMA user_version = {version}")
        self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def load(self, table: str, columns: Sequence[Column], rows: Iterable[Sequence[Value]]) -> None:
        """Add rows. `columns` are some of the table's own. Raises StorageError for rows that do not fit, such as doubles."""
        if not set(columns) <= set(self.tables.get(table, ())):
            raise StorageError(f"the columns of {table} are not those of its version")
        names, places = ", ".join(f'"{column.name}"' for column in columns), ", ".join("?" * len(columns))
        try:
            self._connection.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({places})', rows)  # noqa: S608
        except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError) as error:
            raise StorageError(f"a row does not fit the table {table}: {error}") from error
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def finish(self) -> None:
        """Make everything durable and close the file."""
        try:
            self._connection.execute("COMMIT")
            self._connection.close()
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except sqlite3.Error as error:
            raise unavailable(error) from error
        except OSError as error:
            raise StorageUnavailable(f"the database {self._path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file, finished or not."""
        self._connection.close()


def _tables(connection: sqlite3.Connection) -> dict[str, tuple[Column, ...]]:
    names = [
        str(row[0])
        for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        ).fetchall()
    ]
    return {name: _columns(connection, name) for name in names}


def _columns(connection: sqlite3.Connection, table: str) -> tuple[Column, ...]:
    described = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
    try:
        return tuple([Column(str(row[1]), _KINDS[str(row[2]).upper()]) for row in described])
    except KeyError as error:
        raise StorageError(f"table {table} has a column of the kind {error.args[0]}, which none of ours is") from error


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
