"""Storage in PostgreSQL: group commit in each worker, one database for several nodes.

Units queue; a flush takes all that wait, reads the rows that they are about in one round trip, runs the units on these rows in
Python (`postgres_work`), and writes what they changed by one statement, which is a transaction by itself (`postgres_sql`). So a
batch takes two round trips, one when nothing has to be read, and no lock is held while an answer travels.

The statement that writes demands that every row is still of the version that was read. When another worker or node was quicker,
nothing is written and the batch runs again, this time within a transaction that locks its rows first, in the order of their
keys, so that it comes through. The batches of a worker follow one another: its audit chain is in order by that alone.

What was being written when the connection broke may have been kept or not: nobody is told that it was, and it is not tried again.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import asyncpg

from wardgate.errors import Overloaded, StorageError, StorageUnavailable, WardgateError
from wardgate.storage.announcer import Announcer
from wardgate.storage.port import MAX_WAITING_UNITS, Announce, ChainLink, Commit, Committed, Find, Operation, Row, Where
from wardgate.storage.postgres_connection import Connection, Dialer, Line, NoConnection, NotWritable, lost, unavailable
from wardgate.storage.postgres_schema import prepare
from wardgate.storage.postgres_sql import CHANNEL, Loads, Query, Reads, Writes, all_types
from wardgate.storage.postgres_work import Changes, LookFirst, Needs, Outcome, Unit, Work, needs_of, prepare_unit
from wardgate.storage.settings import DatabaseSettings
from wardgate.storage.shapes import AUDIT, NO_EVENT, SHAPES, Head, check_finds, shape_of

MAX_BATCH_UNITS: Final = 256
MAX_BATCH_STEPS: Final = 2_000
MAX_WAITING_READS: Final = 1_000
# How often a batch is tried that others keep getting in the way of.
MAX_ATTEMPTS: Final = 12
# After somebody else's row was met where none was expected, so many batches look first.
CAREFUL_BATCHES: Final = 64
HEARTBEAT_S: Final = 2.0
# PostgreSQL takes 8000 bytes.
MAX_NOTICE_BYTES: Final = 7_900
_SEPARATOR: Final = "\x1f"
_CLOCK: Final = Query("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", [])

# Others were quicker, or locked in another order: the batch runs again. 22P02 is how the statement breaks itself off.
_CHANGED: Final = frozenset({"22P02", "40001", "40P01", "55P03"})
_TAKEN: Final = "23505"
_READ_ONLY: Final = "25006"
# The row itself is at fault: 22: a value, 23: a constraint, 54: too large for an index.
_MISFIT: Final = ("22", "23", "54")


@dataclass(frozen=True, slots=True)
class StorageStats:
    """What the metrics show. Counts since the start."""

    units: int
    batches: int
    failed_batches: int
    repeated_batches: int
    round_trips: int
    last_batch_units: int
    last_write_s: float
    waiting: int


_Waiting = tuple[Unit, "asyncio.Future[Commit]"]


class PostgresStorage:
    """Satisfies `port.Storage`. Made by `open`."""

    def __init__(self, dialer: Dialer, settings: DatabaseSettings) -> None:
        self._dialer = dialer
        self._limits = dialer.limits
        self._reads = Reads()
        self._announcer = Announcer()
        self._instance = secrets.token_hex(8)
        self._heard_before = False
        self._write_line = Line(dialer, _meet_types)
        self._hear_line = Line(dialer, self._listen)
        self._pool = _Pool([Line(dialer) for _ in range(settings.pool_size - 2)])
        self._writer = _Writer(self._write_line, self._limits.answer_s, self._instance)
        self._waiting: deque[_Waiting] = deque()
        self._flushing: asyncio.Task[None] | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self._closed = False
        self._units = self._batches = self._failed = self._last_units = 0
        self._last_write_s = 0.0
        self.on_batch: Callable[[int, float], None] | None = None
        self.on_failure: Callable[[], None] | None = None

    @classmethod
    async def open(cls, settings: DatabaseSettings, data: Path, unfinished: bool = False) -> "PostgresStorage":
        """Connect, and make or upgrade the tables as needed. Raises SettingsError, StorageUnavailable.

        `unfinished`: for `wardgate storage move`, which looks at its copy before it is finished.
        """
        dialer = Dialer(settings, data)
        await prepare(dialer, copy=unfinished)
        storage = cls(dialer, settings)
        try:
            for line in storage._lines():
                await line.connect()
        except BaseException:
            await storage.close()
            raise
        storage._heartbeat = asyncio.ensure_future(storage._beat())
        return storage

    def depths(self) -> tuple[int, int]:
        """How many units and reads wait."""
        return len(self._waiting), self._pool.waiting

    def stats(self) -> StorageStats:
        """Figures for the metrics."""
        return StorageStats(
            units=self._units,
            batches=self._batches,
            failed_batches=self._failed,
            repeated_batches=self._writer.repeated,
            round_trips=self._writer.round_trips,
            last_batch_units=self._last_units,
            last_write_s=self._last_write_s,
            waiting=len(self._waiting),
        )

    def _lines(self) -> list[Line]:
        return [self._write_line, self._hear_line, *self._pool.lines]

    # --- reading ---

    async def get(self, table: str, key: Row) -> Row | None:
        """The row with this whole primary key."""
        query = self._reads.get(table, key)
        rows = await self._fetch(query)
        return shape_of(table).as_row(rows[0]) if rows else None

    async def find(
        self,
        table: str,
        where: Sequence[Where] = (),
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> list[Row]:
        """Rows that meet every condition."""
        return await self._found(Find(table, tuple(where), order_by, descending, limit))

    async def _found(self, find: Find) -> list[Row]:
        query, shape = self._reads.find(find), shape_of(find.table)
        narrow = find.limit is not None or any(each.operator == "=" and each.column in shape.leading for each in find.where)
        return [shape.as_row(row) for row in await self._fetch(query, long=not narrow)]

    async def read(self, finds: Sequence[Find]) -> list[list[Row]]:
        """The rows of each of several small finds."""
        check_finds(finds)
        if len(finds) <= 1:
            return [await self._found(each) for each in finds]
        (found,) = await self._fetch(self._reads.finds(finds))
        return [[SHAPES[find.table].as_row(row) for row in rows] for find, rows in zip(finds, found, strict=True)]

    async def count(self, table: str, where: Sequence[Where] = (), most: int | None = None) -> int:
        """How many rows meet every condition, up to `most`."""
        ((number,),) = await self._fetch(self._reads.count(table, where, most), long=True)
        return int(number)

    async def clock_ms(self) -> int:
        """The database's time now: what all nodes compare their clocks with. Satisfies `clock_watch.DatabaseClock`."""
        ((now_ms,),) = await self._fetch(_CLOCK)
        return int(now_ms)

    async def _fetch(self, query: Query, long: bool = False) -> list[Any]:
        """The rows of a query; asked again on another connection when the one it was on broke.

        What ended one has often ended all, so it is asked once more than there are connections. One that stayed silent has
        taken the time that the asker had: behind a cut cable a login would be refused after its NAS has given up.
        """
        if self._closed:
            raise _closed()
        loop, again = asyncio.get_running_loop(), len(self._pool.lines)
        until = loop.time() + self._limits.answer_s
        while True:
            try:
                return await self._fetch_once(query, long)
            except _Broken as error:
                if not again or loop.time() >= until:
                    raise StorageUnavailable(error.message) from error
                again -= 1

    async def _fetch_once(self, query: Query, long: bool) -> list[Any]:
        line = await self._pool.take(long, self._limits.answer_s)
        try:
            connection = await line.connection()
            try:
                rows: list[Any] = await connection.fetch(query.sql, *query.values, timeout=self._limits.answer_s)
            except BaseException as error:
                if not _harmless(error):
                    line.drop(connection)
                if lost(error):
                    raise _Broken(unavailable(error).message) from error
                if isinstance(error, TimeoutError | asyncpg.PostgresError):
                    raise unavailable(error) from error
                raise
            return rows
        finally:
            self._pool.give_back(line, long)

    # --- writing ---

    async def commit(self, operations: Sequence[Operation]) -> Commit:
        """Write a unit durably, all or nothing."""
        unit = prepare_unit(operations)
        if self._closed:
            raise _closed()
        if len(self._waiting) >= MAX_WAITING_UNITS:
            raise Overloaded(f"{MAX_WAITING_UNITS} writes wait already")
        future: asyncio.Future[Commit] = asyncio.get_running_loop().create_future()
        self._waiting.append((unit, future))
        if self._flushing is None:
            self._flushing = asyncio.ensure_future(self._flush())
        return await future

    def use_chain(self, chain: ChainLink) -> None:
        """Give the chain that `Append` extends; its head is read from the table when it is first needed."""
        self._writer.use_chain(chain)

    def subscribe(self, topic: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback(key)` after each commit that announced `topic`; returns how to stop it."""
        return self._announcer.subscribe(topic, callback)

    async def close(self) -> None:
        """Finish the units that wait, then let go of the database."""
        self._closed = True
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            await asyncio.wait([self._heartbeat])
            self._heartbeat = None
        await asyncio.gather(*[line.close() for line in self._lines()])

    async def _flush(self) -> None:
        """Write batches until nothing waits."""
        try:
            while self._waiting:
                await self._flush_batch(self._take())
        finally:
            self._flushing = None

    async def _flush_batch(self, batch: list[_Waiting]) -> None:
        try:
            outcomes, took = await self._writer.write([unit for unit, _ in batch])
        except NoConnection as error:
            # Nobody who waits behind it would fare better, and each would wait for a connection in turn.
            batch += self._waiting
            self._waiting.clear()
            self._fail(batch, error)
        except WardgateError as error:
            self._fail(batch, error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not leave every login waiting
            self._fail(batch, StorageUnavailable(f"a batch of writes failed: {type(error).__name__}"))
        else:
            self._finish(batch, outcomes, took)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        steps = 0
        while self._waiting and len(batch) < MAX_BATCH_UNITS and steps < MAX_BATCH_STEPS:
            batch.append(self._waiting.popleft())
            steps += len(batch[-1][0].steps)
        return batch

    def _finish(self, batch: list[_Waiting], outcomes: list[Outcome], took: float | None) -> None:
        self._batches += 1
        self._units += len(batch)
        self._last_units = len(batch)
        if took is not None:
            self._last_write_s = took
            if self.on_batch is not None:
                self.on_batch(len(batch), took)
        loop = asyncio.get_running_loop()
        for (unit, future), outcome in zip(batch, outcomes, strict=True):
            if unit.announcements and isinstance(outcome, Committed):
                self._announcer.tell(loop, unit.announcements)
            if future.done():  # its caller was cancelled; the unit stands all the same
                continue
            if isinstance(outcome, WardgateError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _fail(self, batch: list[_Waiting], error: WardgateError) -> None:
        self._failed += 1
        self._tell_failure()
        for _, future in batch:
            if not future.done():
                future.set_exception(StorageUnavailable(error.message, error.code))

    def _tell_failure(self) -> None:
        if self.on_failure is not None:
            self.on_failure()

    # --- hearing what others announce ---

    async def _listen(self, connection: Connection) -> None:
        await connection.add_listener(CHANNEL, self._heard)
        if self._heard_before:
            self._announcer.tell_all(asyncio.get_running_loop())
        self._heard_before = True

    def _heard(self, connection: Connection, pid: int, channel: str, payload: str) -> None:
        parts = payload.split(_SEPARATOR, 2)
        if len(parts) == 3 and parts[0] != self._instance:
            self._announcer.tell(asyncio.get_running_loop(), [Announce(parts[1], parts[2])])

    async def _beat(self) -> None:
        """Ask now and then whether the database is still there and still the one that takes writes.

        A connection whose other end has vanished looks like one on which nothing is announced, and a server that nobody asks to
        log in has to know as well that it could not.
        """
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                connection = await self._hear_line.connection()
            except StorageUnavailable:
                self._tell_failure()
                continue
            try:
                read_only = await connection.fetchval("SHOW transaction_read_only", timeout=self._limits.answer_s)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                self._hear_line.drop(connection)
                if isinstance(error, TimeoutError):
                    self._tell_failure()
                continue
            if read_only == "on":
                for line in self._lines():
                    line.renew()


async def _meet_types(connection: Connection) -> None:
    await connection.fetch(all_types())


class _Broken(StorageUnavailable):
    """The connection of a read broke."""


def _closed() -> StorageUnavailable:
    return StorageUnavailable("the storage is closed")


def _harmless(error: BaseException) -> bool:
    """Whether the connection is as good as before: the server has said what was wrong, or nothing was sent."""
    return isinstance(error, LookFirst | _SwapFirst) or (isinstance(error, asyncpg.PostgresError) and not lost(error))


# --- connections that read -------------------------------------------------------------------------------------------


class _Pool:
    """Connections for reads, each for one read at a time. Long reads leave one to the others, where there are several."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self._free = list(lines)
        self._slots = asyncio.Semaphore(len(lines))
        self._long = asyncio.Semaphore(max(1, len(lines) - 1))
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many reads wait for a connection."""
        return self._waiting

    async def take(self, long: bool, wait_s: float) -> Line:
        """A free connection, to be given back. Raises Overloaded, StorageUnavailable."""
        if long or self._slots.locked():
            await self._wait(long, wait_s)
        else:
            await self._slots.acquire()
        # One that is being dialled is for those who find no other.
        place = next((place for place in reversed(range(len(self._free))) if self._free[place].ready), -1)
        return self._free.pop(place)

    async def _wait(self, long: bool, wait_s: float) -> None:
        if self._waiting >= MAX_WAITING_READS:
            raise Overloaded(f"{MAX_WAITING_READS} reads wait already")
        self._waiting += 1
        held = False
        try:
            async with asyncio.timeout(wait_s):
                held = long and await self._long.acquire()
                await self._slots.acquire()
        except BaseException as error:
            if held:
                self._long.release()
            if isinstance(error, TimeoutError):
                raise StorageUnavailable("no connection became free in time", "storage_timeout") from error
            raise
        finally:
            self._waiting -= 1

    def give_back(self, line: Line, long: bool) -> None:
        """The read is over."""
        self._free.append(line)
        self._slots.release()
        if long:
            self._long.release()


# --- the connection that writes --------------------------------------------------------------------------------------


class _Again(Exception):
    """Nothing was written: the batch runs again. `taken`: a row stood where none was expected."""

    def __init__(self, taken: bool, cause: BaseException) -> None:
        super().__init__()
        self.taken = taken
        self.cause = cause


class _Misfit(Exception):
    """The database refuses a row for good."""


class _SwapFirst(Exception):
    """Rows exchange unique values: they have to be written one after the other, in a transaction."""


class _Writer:
    """Writes batches, one after another, and knows the head of the audit chain."""

    def __init__(self, line: Line, answer_s: float, instance: str) -> None:
        self._line = line
        self._answer_s = answer_s
        self._instance = instance
        self._loads = Loads()
        self._writes = Writes()
        self._reads = Reads()
        self._chain: ChainLink | None = None
        self._head: Head | None = None
        self._careful = 0
        self.repeated = 0
        self.round_trips = 0

    def use_chain(self, chain: ChainLink) -> None:
        """Give the chain that `Append` extends."""
        self._chain = chain
        self._head = None

    async def write(self, units: Sequence[Unit]) -> tuple[list[Outcome], float | None]:
        """Write a batch; returns how each unit went, and how long the database took (None: nothing had to be written).

        Raises StorageUnavailable.
        """
        try:
            return await self._tried(units)
        except _Misfit as error:
            if len(units) == 1:
                return [StorageError(f"the database refused a row: {type(error.__cause__).__name__}")], None
        # One of them spoils the transaction of all: each by itself.
        outcomes: list[Outcome] = []
        for unit in units:
            (outcome,), _ = await self.write([unit])
            outcomes.append(outcome)
        return outcomes, None

    async def _tried(self, units: Sequence[Unit]) -> tuple[list[Outcome], float | None]:
        thorough, locking = self._careful > 0, False
        if thorough:
            self._careful -= 1
        failure: BaseException = TimeoutError()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._answer_s
        for _ in range(MAX_ATTEMPTS):
            if loop.time() > until:
                break
            connection = await self._line.connection()
            try:
                return await self._attempt(connection, units, thorough, locking)
            except LookFirst:
                thorough = True
                self._head = None
            except _Again as again:
                self.repeated += 1
                failure = again.cause
                if again.taken:
                    self._careful = CAREFUL_BATCHES
                    self._head = None
                    thorough = True
                else:
                    locking = True
        raise unavailable(failure, "others keep changing the same rows")

    async def _attempt(
        self, connection: Connection, units: Sequence[Unit], thorough: bool, locking: bool
    ) -> tuple[list[Outcome], float | None]:
        writing = [False]
        try:
            async with asyncio.timeout(2 * self._answer_s):
                return await self._batch(connection, units, thorough, locking, writing)
        except BaseException as error:
            if not _harmless(error):
                self._line.drop(connection)
                self._head = None
            await self._undo(connection)
            meaning = self._meaning(error, connection, writing[0])
            if meaning is error:
                raise
            raise meaning from error

    async def _undo(self, connection: Connection) -> None:
        """End a transaction that was broken off."""
        if connection.is_closed() or not connection.is_in_transaction():
            return
        try:
            await self._execute(connection, "ROLLBACK")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            self._line.drop(connection)

    def _meaning(self, error: BaseException, connection: Connection, writing: bool) -> BaseException:
        state = str(getattr(error, "sqlstate", None) or "")
        if isinstance(error, _SwapFirst):
            return _Again(False, error)
        if state in _CHANGED or state == _TAKEN:
            return _Again(state == _TAKEN, error)
        if state.startswith(_MISFIT):
            return _Misfit()
        if state == _READ_ONLY:
            self._line.drop(connection)
            return _Again(False, NotWritable("the database takes no writes: it is a standby"))
        if lost(error):
            if not writing:
                return _Again(False, error)
            failure = unavailable(error)
            return StorageUnavailable(f"{failure.message}; whether the unit was kept is unknown", failure.code)
        if isinstance(error, TimeoutError | asyncpg.PostgresError):
            return unavailable(error)
        return error

    # --- one transaction ---

    async def _batch(
        self, connection: Connection, units: Sequence[Unit], thorough: bool, locking: bool, writing: list[bool]
    ) -> tuple[list[Outcome], float | None]:
        appends = any(unit.appends for unit in units)
        # Another epoch may begin while the batch waits for an answer: it belongs whole to the chain that it began with.
        chain = self._chain
        head = await self._present_head(connection, chain) if appends else NO_EVENT
        if locking:
            await self._execute(connection, "BEGIN")
        work, outcomes = await self._worked(connection, units, thorough, locking, chain, head)
        changes = list(work.changes())
        swapped = work.swapped()
        if swapped and not locking:
            raise _SwapFirst
        present = [_without_swaps(each) if each.shape.name in swapped else each for each in changes]
        query = self._writes.make(present, self._notices(units, outcomes))
        if query is None:
            await self._undo(connection)
            self._learn(chain, work.head, appends)
            return outcomes, None
        started = perf_counter()
        writing[0] = True
        if swapped:
            # A unique value is given up before another row takes it: each row by itself is right only afterwards.
            first = self._writes.make([_given_up(each) for each in changes if each.shape.name in swapped], ())
            if first is not None:
                await self._fetch(connection, first)
        await self._fetch(connection, query)
        if locking:
            await self._execute(connection, "COMMIT")
        self._learn(chain, work.head, appends)
        return outcomes, perf_counter() - started

    async def _worked(
        self, connection: Connection, units: Sequence[Unit], thorough: bool, locking: bool, chain: ChainLink | None, head: Head
    ) -> tuple[Work, list[Outcome]]:
        """The units run on the rows that they are about."""
        needs = needs_of(units, thorough)
        found: list[tuple[str, list[Any]]] = []
        more = needs
        while True:
            if more:
                query, tables = self._loads.make(more, locking)
                (row,) = await self._fetch(connection, query)
                found += zip(tables, row, strict=True)
            work = Work(chain, head, thorough)
            _take_in(work, needs, found)
            outcomes = work.run(units)
            if not work.missing:
                return work, outcomes
            more = work.missing
            needs.add(more)

    def _notices(self, units: Sequence[Unit], outcomes: Sequence[Outcome]) -> list[str]:
        """What other processes are told."""
        told = [
            self._notice(announcement)
            for unit, outcome in zip(units, outcomes, strict=True)
            if unit.announcements and isinstance(outcome, Committed)
            for announcement in unit.announcements
        ]
        return list(dict.fromkeys(told))

    def _notice(self, announcement: Announce) -> str:
        text = _SEPARATOR.join((self._instance, announcement.topic, announcement.key))
        if "\0" in text or len(text.encode("utf-8", "replace")) > MAX_NOTICE_BYTES:
            # What cannot travel as it is: look at everything again.
            return _SEPARATOR.join((self._instance, announcement.topic, ""))
        return text

    async def _present_head(self, connection: Connection, chain: ChainLink | None) -> Head:
        if self._head is not None or chain is None:
            return self._head or NO_EVENT
        mine = (Where("writer", "=", chain.writer), Where("epoch", "=", chain.epoch))
        rows = await self._fetch(connection, self._reads.find(Find(AUDIT.name, mine, "seq", True, 1)))
        head = Head(rows[0]["seq"], rows[0]["link"]) if rows else NO_EVENT
        self._learn(chain, head, True)
        return head

    def _learn(self, chain: ChainLink | None, head: Head, appends: bool) -> None:
        """Remember the end of the chain. A batch without events knows nothing of it, nor does one of another chain."""
        if appends and self._chain is chain:
            self._head = head

    async def _fetch(self, connection: Connection, query: Query) -> list[Any]:
        self.round_trips += 1
        rows: list[Any] = await connection.fetch(query.sql, *query.values, timeout=self._answer_s)
        return rows

    async def _execute(self, connection: Connection, sql: str) -> None:
        self.round_trips += 1
        await connection.execute(sql, timeout=self._answer_s)


def _take_in(work: Work, needs: Needs, found: Sequence[tuple[str, list[Any]]]) -> None:
    """Give the work the rows that were read, and tell it what was looked for in vain."""
    for table, records in found:
        rows = work.tables[table]
        for record in records:
            rows.take_in(record[0], record[1:])
    for table, keys in needs.keys.items():
        work.tables[table].take_absent(keys)
    for (table, number), values in needs.uniques.items():
        work.tables[table].uniques[number].looked |= values


def _given_up(change: Changes) -> Changes:
    """Every changed row taken away, so that its unique values are free."""
    key_of = change.shape.key_of
    return Changes(change.shape, deletes=[*change.deletes, *[(version, key_of(values)) for version, values in change.updates]])


def _without_swaps(change: Changes) -> Changes:
    """What is left to do after `_given_up`."""
    rows = [*change.inserts, *[values for _, values in change.updates]]
    return Changes(change.shape, inserts=rows, upserts=change.upserts, guards=change.guards)
