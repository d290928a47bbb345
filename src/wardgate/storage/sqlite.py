"""Storage in one SQLite file: WAL, synchronous=FULL, group commit. The default, for one machine.

Exactly one process writes the file. Units queue; a flush takes all that wait, runs them in one transaction and answers
their callers after COMMIT. Nothing is delayed on purpose: units that are given in the same turn of the event loop share a
transaction, and so do all that arrive while the disk is busy with the one before.

Statements always run on the event loop: they find their pages in memory and take microseconds, for which they would hold
the interpreter in a thread as well. COMMIT waits for the disk. While it is quick it runs on the loop too, because handing
it over costs more than it takes; when it takes long a thread does it, so that the loop never stands still. The thread has to
get the interpreter back afterwards: a worker with a busy loop does well to lower `sys.setswitchinterval`.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, sleep
from typing import ParamSpec, TypeVar

from wardgate.errors import Overloaded, SettingsError, StorageUnavailable, WardgateError
from wardgate.storage import migrations
from wardgate.storage.announcer import Announcer
from wardgate.storage.batch import CHECKPOINT_FRAMES, BatchWriter, FileLocked, Outcome, Unit, unavailable
from wardgate.storage.checkpoints import CheckpointNews
from wardgate.storage.gathering import Gathering
from wardgate.storage.port import MAX_WAITING_UNITS, Announce, ChainLink, Commit, Committed, Find, Operation, Row, Where
from wardgate.storage.shapes import Values, check_finds
from wardgate.storage.statements import Query, Statements

# "Ward" in the file header: tells our files from any other SQLite file.
APPLICATION_ID = 0x57617264
MAX_BATCH_UNITS = 256
MAX_BATCH_STEPS = 2_000
MAX_WAITING_READS = 1_000
# A read of at most so many rows is answered on the event loop.
INLINE_ROWS = 64
# So many entries of an index are counted in a tenth of a millisecond, on the event loop.
QUICKLY_COUNTED = 2_000
# How long to wait for a lock that another process holds, for example somebody with an SQLite shell.
LOCK_WAIT_S = 5.0
LOCK_RETRY_S = 0.01
_MEBIBYTE = 2**20

_T = TypeVar("_T")
_P = ParamSpec("_P")


def _as_it_is(value: _T) -> _T:
    return value


# For each value that is neither text nor a number, `sqlite3` looks for somebody who turns it into one. To find out that nobody does
# costs half a microsecond, by way of an exception, and a login has a dozen such values.
sqlite3.register_adapter(bytes, _as_it_is)
sqlite3.register_adapter(type(None), _as_it_is)


# --- the file --------------------------------------------------------------------------------------------------------


_WRITER_PRAGMAS = (
    "busy_timeout = 0",  # sleeping would stop the loop: the front waits in its thread
    "synchronous = FULL",  # a commit that was answered survives a power cut
    "fullfsync = ON",  # macOS: through the drive's cache as well
    "checkpoint_fullfsync = ON",
    "secure_delete = ON",  # what was erased is not left in free pages
    "temp_store = MEMORY",  # savepoints keep their copies in memory, not in a file
    "trusted_schema = OFF",
    f"cache_size = -{32 * 1024}",
    f"wal_autocheckpoint = {4 * CHECKPOINT_FRAMES}",  # in case our own are never due
    f"journal_size_limit = {64 * _MEBIBYTE}",
)
_READER_PRAGMAS = ("busy_timeout = 250", "query_only = ON", "trusted_schema = OFF", f"cache_size = -{16 * 1024}")


def _connect(path: Path, pragmas: Iterable[str] = ()) -> sqlite3.Connection:
    # Used by one thread at a time: the loop, or the thread that the loop has handed the work to.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=LOCK_WAIT_S, cached_statements=256)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def connect_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes."""
    return _connect(path, _WRITER_PRAGMAS)


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads."""
    return _connect(path, _READER_PRAGMAS)


def prepare(path: Path) -> None:
    """Make the file ready: created with mode 0600, in WAL mode, with the tables of this program.

    Raises SettingsError when the file is not ours, is newer than this program or cannot be in WAL mode, and
    StorageUnavailable when it cannot be opened or written. An upgrade that fails leaves the file as it was.
    """
    _make_file(path)
    try:
        connection = _connect(path)
        try:
            version = _version(connection, path)
            _enter_wal(connection, path)
            if version < migrations.LATEST:
                _upgrade(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_NOTADB:
            raise SettingsError(f"{path} is not a database: name another file in the database setting") from error
        raise unavailable(error) from error


def _make_file(path: Path) -> None:
    """A new file is nobody else's to read. One that is there is not opened here: closing it would end the locks of this process
    on it, as POSIX has it, and with them those of a connection beside this one."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError as error:
        if path.is_dir():
            raise StorageUnavailable(f"cannot open the database {path}: Is a directory") from error
    except OSError as error:
        raise StorageUnavailable(f"cannot open the database {path}: {error.strerror}") from error


def _version(connection: sqlite3.Connection, path: Path) -> int:
    # In one transaction: another process that is at its upgrade would show as the tables of another program.
    connection.execute("BEGIN")
    try:
        owner, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    if owner == APPLICATION_ID:
        migrations.check_version(version)
        return version
    if owner or version or tables:
        raise SettingsError(f"{path} is the database of another program: name another file in the database setting")
    return 0


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _enter_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Raises sqlite3.OperationalError when others are in the way for longer than `LOCK_WAIT_S`."""
    until = monotonic() + LOCK_WAIT_S
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            # Two that turn the same new file round at once: here SQLite refuses at once and does not wait its busy_timeout.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() >= until:
                raise
            sleep(LOCK_RETRY_S)
    if mode != "wal":
        raise SettingsError(
            f"{path} stays in journal mode {mode}: put the database on a local file system, WAL needs shared memory"
        )


def _upgrade(connection: sqlite3.Connection) -> None:
    # SQLAlchemy's engine and Alembic are for this moment only: an up-to-date file starts without them.
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import StaticPool

    connection.execute("PRAGMA synchronous = FULL")
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as wrapped:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have upgraded while this one waited for the lock.
            migrations.upgrade(wrapped, _pragma(connection, "user_version"))
            connection.execute(f"PRAGMA user_version = {migrations.LATEST}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("COMMIT")
        except DBAPIError as error:
            raise unavailable(error.orig or error) from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


# --- reading ---------------------------------------------------------------------------------------------------------


class _Reader:
    """Reads on one connection of its own; after a failure the next read opens a fresh one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cursor: sqlite3.Cursor | None = None

    def rows(self, query: Query, values: Values) -> list[Values]:
        """All rows. To the last one, so that SQLite ends the read and the next one sees newer commits."""
        try:
            return self._ready().execute(query.sql, values).fetchall()
        except (sqlite3.Error, MemoryError) as error:
            self.close()
            raise unavailable(error) from error

    def dictionaries(self, query: Query, values: Values) -> list[Row]:
        """All rows, by column name."""
        return [query.shape.as_row(row) for row in self.rows(query, values)]

    def _ready(self) -> sqlite3.Cursor:
        return self._cursor or self._open()

    def _open(self) -> sqlite3.Cursor:
        self._cursor = self._connect()
        return self._cursor

    def _connect(self) -> sqlite3.Cursor:
        return connect_reader(self._path).cursor()

    def close(self) -> None:
        """Let go of the file."""
        if self._cursor is not None:
            self._cursor.connection.close()
            self._cursor = None


class _LoopReader(_Reader):
    """Reads on the event loop, all of one turn in one transaction: taking and giving back the lock is half of a small read.

    It ends first thing in the next turn. So whoever was told of a commit, by this loop or by a packet that came to it, reads
    after that: what he is told by stands behind the end in the loop's queue.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._reading = False

    def few_rows(self, query: Query, values: Values) -> list[Values] | None:
        """All rows when they are at most `INLINE_ROWS`, else None."""
        try:
            cursor = self._ready()
            rows: list[Values] = cursor.execute(query.sql, values).fetchmany(INLINE_ROWS + 1)
            if len(rows) <= INLINE_ROWS:
                return rows
            self._replace(cursor)
        except (sqlite3.Error, MemoryError) as error:
            self.close()
            raise unavailable(error) from error
        return None

    def few_rows_each(self, asked: Sequence[tuple[Query, Values]]) -> list[list[Row]] | None:
        """The rows of each query, by column name, when none has more than `INLINE_ROWS`; else None."""
        try:
            cursor = self._ready()
            found: list[list[Row]] = []
            for query, values in asked:
                rows = cursor.execute(query.sql, values).fetchmany(INLINE_ROWS + 1)
                if len(rows) > INLINE_ROWS:
                    self._replace(cursor)
                    return None
                found.append([query.shape.as_row(row) for row in rows] if rows else [])
        except (sqlite3.Error, MemoryError) as error:
            self.close()
            raise unavailable(error) from error
        return found

    def end(self) -> None:
        """End the transaction of this turn."""
        if not self._reading or self._cursor is None:
            return
        self._reading = False
        try:
            self._cursor.execute("COMMIT")
        except (sqlite3.Error, MemoryError):
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._reading = False
        super().close()

    def _ready(self) -> sqlite3.Cursor:
        cursor = self._cursor or self._open()
        if not self._reading:
            cursor.execute("BEGIN")
            self._reading = True
            asyncio.get_running_loop().call_soon(self.end)
        return cursor

    def _replace(self, cursor: sqlite3.Cursor) -> None:
        """Leave the rest of a read: SQLite ends it with its cursor."""
        self._cursor = cursor.connection.cursor()
        cursor.close()


class _WriterReader(_LoopReader):
    """Reads on the writer's connection between its batches, whose pages it need not fetch again after every commit."""

    def __init__(self, path: Path, writer: BatchWriter) -> None:
        super().__init__(path)
        self._writer = writer

    def _connect(self) -> sqlite3.Cursor:
        cursor = self._writer.reading()
        if cursor is None:
            raise sqlite3.OperationalError("the connection is being opened afresh")
        return cursor

    def close(self) -> None:
        """Let go of the cursor; the connection is the writer's, who must find it without a transaction."""
        self._reading = False
        if self._cursor is not None:
            with contextlib.suppress(sqlite3.Error):
                if self._cursor.connection.in_transaction:
                    self._cursor.execute("ROLLBACK")
                self._cursor.close()
            self._cursor = None


def _is_short(find: Find) -> bool:
    return find.limit is not None and find.limit <= INLINE_ROWS


class SqliteReads:
    """The reading half of a storage on this file: satisfies `port.Reader`."""

    def __init__(self, path: Path, statements: Statements) -> None:
        self._statements = statements
        self._reader = _LoopReader(path)
        # The one for reads on the loop.
        self._fast: _LoopReader = self._reader
        self._slow_reader = _Reader(path)
        self._read_thread = ThreadPoolExecutor(1, "wardgate-read")
        self._reads = 0
        self._closed = False

    async def get(self, table: str, key: Row) -> Row | None:
        """The row with this whole primary key."""
        query = self._statements.get(table)
        shape = query.shape
        values = shape.key_values(key)
        if self._closed:
            raise closed()
        rows = self._fast.rows(query, values)
        return shape.as_row(rows[0]) if rows else None

    async def find(
        self,
        table: str,
        where: Sequence[Where] = (),
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> list[Row]:
        """Rows that meet every condition."""
        query, values = self._statements.find(table, where, order_by, descending, limit)
        if self._closed:
            raise closed()
        rows: list[Values] | None = None
        if limit is not None and limit <= INLINE_ROWS:
            rows = self._fast.rows(query, values)
        elif query.narrow:
            rows = self._fast.few_rows(query, values)
        if rows is not None:
            return [query.shape.as_row(row) for row in rows]
        return await self._off_loop(self._slow_reader.dictionaries, query, values)

    async def read(self, finds: Sequence[Find]) -> list[list[Row]]:
        """The rows of each of several small finds."""
        check_finds(finds)
        asked: list[tuple[Query, Values]] = []
        small = True
        for each in finds:
            found_by = self._statements.asked(each)
            small = small and (found_by[0].narrow or _is_short(each))
            asked.append(found_by)
        if self._closed:
            raise closed()
        if small:
            found = self._fast.few_rows_each(asked)
            if found is not None:
                return found
        return [await self.find(each.table, each.where, each.order_by, each.descending, each.limit) for each in finds]

    async def count(self, table: str, where: Sequence[Where] = (), most: int | None = None) -> int:
        """How many rows meet every condition, up to `most`."""
        query, values = self._statements.count(table, where, most)
        if self._closed:
            raise closed()
        if query.narrow and most is not None and most <= QUICKLY_COUNTED:
            ((number,),) = self._fast.rows(query, values)
        else:
            ((number,),) = await self._off_loop(self._slow_reader.rows, query, values)
        return int(number or 0)

    async def _off_loop(self, read: Callable[[Query, Values], _T], query: Query, values: Values) -> _T:
        if self._reads >= MAX_WAITING_READS:
            raise Overloaded(f"{MAX_WAITING_READS} long reads wait already")
        self._reads += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._read_thread, read, query, values)
        finally:
            self._reads -= 1

    def _end_turn(self) -> None:
        """End what this turn has read: from now on another thread may have the connections, to close them."""
        self._reader.end()
        self._fast.end()

    def _stop_reading(self) -> None:
        self._read_thread.shutdown()
        self._reader.close()
        self._slow_reader.close()


# --- how long the disk takes -----------------------------------------------------------------------------------------


class SyncTimes:
    """Decides from the last syncs whether the loop may wait for the next one."""

    WINDOW = 15
    SHORT_S = 0.001
    # One sync as long as this is felt by everybody: hand over at once.
    STALL_S = 0.02

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=self.WINDOW)
        self.short = True

    def add(self, seconds: float) -> None:
        """Take in one sync."""
        self._recent.append(seconds)
        if self.short:
            slow = seconds >= self.STALL_S or (len(self._recent) >= 5 and median(self._recent) >= self.SHORT_S)
            if slow:
                self._switch()
        elif len(self._recent) == self.WINDOW and self._shorter_ones() < self.SHORT_S / 2:
            self._switch()

    def _shorter_ones(self) -> float:
        # Seen from the thread a sync seems to last until the loop lets go of the interpreter: trust the shorter third.
        return sorted(self._recent)[self.WINDOW // 3]

    def _switch(self) -> None:
        self.short = not self.short
        self._recent.clear()


@dataclass(frozen=True, slots=True)
class StorageStats:
    """What the metrics show. Counts since the start."""

    units: int
    batches: int
    failed_batches: int
    failed_checkpoints: int
    last_batch_units: int
    last_sync_s: float
    waiting: int
    on_loop: bool


# --- the front -------------------------------------------------------------------------------------------------------

_Waiting = tuple[Unit, Sequence[Announce], "asyncio.Future[Commit]"]


class SqliteStorage(SqliteReads):
    """Satisfies `port.Storage`. Made by `open`."""

    def __init__(self, path: Path, writer: BatchWriter) -> None:
        super().__init__(path, Statements())
        self._writer = writer
        self._between = _WriterReader(path, writer)
        self._fast = self._between
        self._announcer = Announcer()
        self._waiting: deque[_Waiting] = deque()
        self._flushing = False
        self._drained: asyncio.Event | None = None
        self._sync_times = SyncTimes()
        self._gathering = Gathering()
        self._write_thread = ThreadPoolExecutor(1, "wardgate-commit")
        self._units = self._batches = self._failed = self._last_units = 0
        self._checkpoints = CheckpointNews()
        self._last_sync_s = 0.0
        # Told of every durable commit: how many units it took, and how long it waited for the disk.
        self.on_batch: Callable[[int, float], None] | None = None
        # Told of every batch that could not be written.
        self.on_failure: Callable[[], None] | None = None

    @classmethod
    async def open(cls, path: Path, timer: Callable[[], float] = perf_counter) -> "SqliteStorage":
        """Open the file, make or upgrade it as needed (see `prepare`). `timer` measures syncs."""

        def work() -> BatchWriter:
            prepare(path)
            return BatchWriter(lambda: connect_writer(path), timer)

        return cls(path, await asyncio.to_thread(work))

    def depths(self) -> tuple[int, int]:
        """How many units and long reads wait or are in work."""
        return len(self._waiting), self._reads

    def stats(self) -> StorageStats:
        """Figures for the metrics."""
        return StorageStats(
            units=self._units,
            batches=self._batches,
            failed_batches=self._failed,
            failed_checkpoints=self._checkpoints.failed,
            last_batch_units=self._last_units,
            last_sync_s=self._last_sync_s,
            waiting=len(self._waiting),
            on_loop=self._sync_times.short,
        )

    # --- writing ---

    async def commit(self, operations: Sequence[Operation]) -> Commit:
        """Write a unit durably, all or nothing."""
        unit = self._statements.unit(operations)
        if self._closed:
            raise closed()
        if len(self._waiting) >= MAX_WAITING_UNITS:
            raise Overloaded(f"{MAX_WAITING_UNITS} writes wait already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Commit] = loop.create_future()
        self._waiting.append((unit, [item for item in operations if type(item) is Announce], future))
        if not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush, loop)
        return await future

    def use_chain(self, chain: ChainLink) -> None:
        """Give the chain that `Append` extends."""
        self._writer.use_chain(chain)

    def subscribe(self, topic: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback(key)` after each commit that announced `topic`; returns how to stop it."""
        return self._announcer.subscribe(topic, callback)

    async def close(self) -> None:
        """Finish the units that wait, then let go of the file."""
        self._closed = True
        if self._flushing:
            self._drained = self._drained or asyncio.Event()
            await self._drained.wait()
        self._end_turn()
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        self._write_thread.shutdown()
        self._stop_reading()
        self._between.close()
        self._writer.close()

    # --- one flush: `_flush` on the loop, then `_finish` or `_fail` on the loop ---

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._gathering.goes_on(len(self._waiting)):
            loop.call_soon(self._flush, loop)
            return
        batch = self._take()
        self._between.end()
        outcomes = tried(self._writer.execute, [unit for unit, _, _ in batch])
        if isinstance(outcomes, FileLocked):
            self._lend(self._wait_in_thread, loop, batch)
        elif isinstance(outcomes, WardgateError):
            self._fail(loop, batch, outcomes)
        elif self._sync_times.short:
            self._finish(loop, batch, outcomes, tried(self._writer.commit))
        else:
            self._lend(self._commit_in_thread, loop, batch, outcomes)

    def _lend(self, work: Callable[_P, None], *arguments: _P.args, **named: _P.kwargs) -> None:
        """Let the thread have the writer; what is read meanwhile must not see what is not durable yet, nor wait for it."""
        self._fast = self._reader
        self._between.end()
        self._write_thread.submit(work, *arguments, **named)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        steps = 0
        while self._waiting and len(batch) < MAX_BATCH_UNITS and steps < MAX_BATCH_STEPS:
            batch.append(self._waiting.popleft())
            steps += len(batch[-1][0])
        return batch

    def _commit_in_thread(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], outcomes: list[Outcome]) -> None:
        loop.call_soon_threadsafe(self._finish, loop, batch, outcomes, tried(self._writer.commit))

    def _wait_in_thread(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting]) -> None:
        outcomes = tried(self._writer.execute, [unit for unit, _, _ in batch], LOCK_WAIT_S)
        if isinstance(outcomes, WardgateError):
            loop.call_soon_threadsafe(self._fail, loop, batch, outcomes)
        else:
            self._commit_in_thread(loop, batch, outcomes)

    def _finish(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], outcomes: list[Outcome], took: float | WardgateError | None
    ) -> None:
        if isinstance(took, WardgateError):
            self._fail(loop, batch, took)
            return
        self._batches += 1
        self._units += len(batch)
        self._last_units = len(batch)
        if took is not None:
            self._last_sync_s = took
            self._sync_times.add(took)
            if self.on_batch is not None:
                self.on_batch(len(batch), took)
        for (_, announcements, future), outcome in zip(batch, outcomes, strict=True):
            if announcements and isinstance(outcome, Committed):
                self._announcer.tell(loop, announcements)
            if future.done():  # its caller was cancelled; the unit stands all the same
                continue
            if isinstance(outcome, WardgateError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        self._go_on(loop)

    def _fail(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], error: WardgateError) -> None:
        self._failed += 1
        self._between.close()
        if self.on_failure is not None:
            self.on_failure()
        for _, _, future in batch:
            if not future.done():
                future.set_exception(StorageUnavailable(error.message, error.code))
        self._go_on(loop)

    def _checkpoint_in_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        error = tried(self._writer.checkpoint)
        loop.call_soon_threadsafe(self._checkpointed, loop, error)

    def _checkpointed(self, loop: asyncio.AbstractEventLoop, error: WardgateError | None) -> None:
        # Nobody's unit depends on it: the log keeps what was committed, and the next one is due soon.
        self._checkpoints.note(error)
        self._go_on(loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._writer.checkpoint_due:
            self._lend(self._checkpoint_in_thread, loop)
            return
        self._fast = self._between if self._writer.sound else self._reader
        if self._waiting:
            loop.call_soon(self._flush, loop)
            return
        self._flushing = False
        if self._drained is not None:
            self._drained.set()


def tried(work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T | WardgateError:
    """What the work returns, or why it failed: whatever happens, those who wait get an answer."""
    try:
        return work(*arguments, **named)
    except WardgateError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a mistake of ours must not leave every login waiting
        return StorageUnavailable(f"a batch of writes failed: {type(error).__name__}")


def closed() -> StorageUnavailable:
    """What everybody is told after `close`."""
    return StorageUnavailable("the storage is closed")
