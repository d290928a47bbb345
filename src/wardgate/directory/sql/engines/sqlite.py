"""A file of SQLite, in threads of its own: a file that somebody else holds locked must not hold up the loop."""

import asyncio
import itertools
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeVar
from urllib.parse import quote

from wardgate.directory.port import RightMissing, ServerState, ServerStatus
from wardgate.directory.sql.address import Engine
from wardgate.directory.sql.engines.connecting import Connecting
from wardgate.directory.sql.engines.engine import Facts, Result, Values, Writing
from wardgate.directory.sql.statements import Statement, quoted, quoted_table
from wardgate.directory.sql.values import written_moment
from wardgate.errors import DirectoryUnavailable, WardgateError

MAX_THREADS: Final = 2
MAX_WAITING: Final = 100
# How many steps of its machine SQLite takes before it asks whether the time is over.
_STEPS: Final = 20_000

T = TypeVar("T")


class SqliteEngine:
    """A file of SQLite. Satisfies SqlEngine."""

    def __init__(self, connecting: Connecting) -> None:
        self._connecting = connecting
        self._path = connecting.address.database
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        threads = min(MAX_THREADS, connecting.limits.connections)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sqlite-directory")
        self._waiting = 0
        self._problem = ""
        self._closed = False
        self._plans = itertools.count()

    async def run(self, statement: Statement, values: Values, timeout_s: float) -> Result:
        """Run a statement."""
        sql = statement.render(lambda _: "?")
        given = [bound(values[name], self._connecting.writing) for name in statement.names]

        def work(connection: sqlite3.Connection) -> Result:
            if statement.writes:
                return _written(connection, sql, given)
            try:
                cursor = connection.execute(sql, given)
                rows = cursor.fetchall()
            except OverflowError:
                return Result()
            columns = tuple(str(each[0]) for each in cursor.description or ())
            return Result(columns, rows)

        return await self._in_thread(work, timeout_s)

    async def facts(self, timeout_s: float) -> Facts:
        """Which SQLite reads the file."""
        await self._in_thread(lambda connection: connection.execute("SELECT count(*) FROM sqlite_master").fetchall(), timeout_s)
        return Facts(f"SQLite {sqlite3.sqlite_version}", "", "", self._path)

    async def types(self, table: str, timeout_s: float) -> Mapping[str, str]:
        """The columns of a table or view with their declared types."""
        name = table.split(".")[-1]

        def work(connection: sqlite3.Connection) -> Mapping[str, str]:
            rows = connection.execute("SELECT name, type FROM pragma_table_info(?)", (name,)).fetchall()
            return {str(column): str(kind) for column, kind in rows}

        return await self._in_thread(work, timeout_s)

    async def plan(self, statement: Statement, values: Values, timeout_s: float) -> tuple[bool, str]:
        """SEARCH is by an index, SCAN of the whole table."""
        # Numbered: the module keeps what it has prepared, and a plan that was made before an index was is told again.
        sql = f"EXPLAIN QUERY PLAN /* {next(self._plans)} */ " + statement.render(lambda _: "?")
        given = [bound(values[name], self._connecting.writing) for name in statement.names]

        def work(connection: sqlite3.Connection) -> tuple[bool, str]:
            # Planning alone does not open the file: a connection plans by the schema that it read last, and somebody else may have
            # made an index since. Whatever is read looks at the schema's number first, and a new one has the schema read anew.
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
            steps = [str(row[3]) for row in connection.execute(sql, given).fetchall()]
            return not any(step.startswith("SCAN") for step in steps), "; ".join(steps)

        return await self._in_thread(work, timeout_s)

    def grants(self, table: str, columns: Sequence[str], account: str) -> tuple[str, ...]:
        """Rights on a file are the system's."""
        where, names = quoted_table(table, Engine.SQLITE), ", ".join(quoted(column, Engine.SQLITE) for column in columns)
        folder = os.path.dirname(self._path)
        return (
            f"# the user that runs wardgate needs to write {names} of {where}: the file and its folder",
            f"chgrp wardgate {self._path} {folder} && chmod g+w {self._path} {folder}",
        )

    def servers(self) -> tuple[ServerStatus, ...]:
        """The file, as it was met last."""
        return (ServerStatus(self._path, ServerState.DOWN if self._problem else ServerState.UP, self._problem),)

    async def close(self) -> None:
        """Let go of the file."""
        self._closed = True
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.interrupt()
        self._pool.shutdown(wait=False, cancel_futures=True)
        closing = threading.Thread(target=self._close_all, name="sqlite-directory-close", daemon=True)
        closing.start()

    def _close_all(self) -> None:
        self._pool.shutdown(wait=True)
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()

    async def _in_thread(self, work: Callable[[sqlite3.Connection], T], timeout_s: float) -> T:
        if self._closed:
            raise self._unavailable("it was taken out of service")
        if self._waiting >= MAX_WAITING:
            raise self._unavailable("too many wait for the file")
        limit_s = min(timeout_s, self._connecting.limits.operation_s)
        deadline = self._connecting.clock.monotonic() + limit_s
        self._waiting += 1
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, self._work, work, deadline)
            async with asyncio.timeout(limit_s):
                outcome = await future
        except TimeoutError as error:
            self._problem = f"no answer within {limit_s:g} s"
            raise self._unavailable(self._problem) from error
        except asyncio.CancelledError as error:
            if self._closed:
                raise self._unavailable("it was taken out of service") from error
            raise
        except DirectoryUnavailable as error:
            self._problem = error.message
            raise
        finally:
            self._waiting -= 1
        self._problem = ""
        return outcome

    def _work(self, work: Callable[[sqlite3.Connection], T], deadline: float) -> T:
        """In a thread."""
        left_s = deadline - self._connecting.clock.monotonic()
        if left_s <= 0:
            raise self._unavailable("no answer in time")
        try:
            connection = self._connection()
            connection.execute(f"PRAGMA busy_timeout = {int(left_s * 1000)}")
            connection.set_progress_handler(lambda: self._connecting.clock.monotonic() > deadline, _STEPS)
            return work(connection)
        except WardgateError:
            raise
        except sqlite3.Error as error:
            raise self._meant(error) from error
        except OSError as error:
            raise self._unavailable(f"{self._path}: {os.strerror(error.errno or 0).lower()}") from error

    def _connection(self) -> sqlite3.Connection:
        """The connection of this thread; a new one when the file was replaced."""
        at = os.stat(self._path)
        mark = (at.st_dev, at.st_ino)
        known: tuple[tuple[int, int], sqlite3.Connection] | None = getattr(self._local, "known", None)
        if known is not None and known[0] == mark:
            return known[1]
        if known is not None:
            self._forget(known[1])
        mode = "ro" if self._connecting.settings.read_only else "rw"
        # Never made by opening it: an empty new file would be a directory without users.
        connection = sqlite3.connect(
            f"file:{quote(self._path)}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        with self._lock:
            self._open.append(connection)
        self._local.known = (mark, connection)
        return connection

    def _forget(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            self._open.remove(connection)
        connection.close()

    def _meant(self, error: sqlite3.Error) -> WardgateError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            return RightMissing(f"directory {self._connecting.name}: {self._path} cannot be written: {error}")
        if code == sqlite3.SQLITE_INTERRUPT:
            return self._unavailable("a statement took too long")
        if code == sqlite3.SQLITE_CONSTRAINT:
            return self._unavailable("a value is refused by a rule of the table")
        return self._unavailable(f"{self._path}: {error}")

    def _unavailable(self, problem: str) -> DirectoryUnavailable:
        return DirectoryUnavailable(f"directory {self._connecting.name}: {problem}")


def _written(connection: sqlite3.Connection, sql: str, values: Sequence[Any]) -> Result:
    """A change of one row at most."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        cursor = connection.execute(sql, values)
        cursor.fetchall()
        count = max(cursor.rowcount, 0)
        connection.execute("COMMIT" if count <= 1 else "ROLLBACK")
    except OverflowError:
        connection.execute("ROLLBACK")
        return Result()
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return Result(count=count)


def bound(value: Any, writing: Writing) -> Any:
    """A value as SQLite takes it."""
    if isinstance(value, datetime):
        return written_moment(value, writing.zone, writing.form)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return value
