"""The one who writes a SQLite file: takes a batch of units, makes one durable transaction of it, says how each unit went.

It blocks, knows no event loop and keeps nothing of its callers, so that it can sit in the worker itself, as now, or in a
writer process beside several workers.

**Savepoints.** A unit that is refused after it wrote something must be taken back alone. A savepoint for each unit would do
it, and costs up to half of what the unit itself costs (SQLite copies every page that is touched). Refusals after a write are
rare, so the batch first runs without savepoints; when such a refusal comes up, the whole batch is rolled back and runs again
with them, as do the next `GUARDED_BATCHES`, lest somebody who provokes refusals makes us do everything twice.

**Checkpoints** (copying the write-ahead log into the file) are made by this connection alone, between batches. SQLite before
3.51.3 can lose committed rows when one connection checkpoints while another writes (its "WAL-reset bug"), and most systems
still have such a version. Nothing else may checkpoint or write this file while a server runs.
"""

import sqlite3
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from wardgate.errors import StorageError, StorageUnavailable, WardgateError
from wardgate.storage.port import ChainLink, Committed, Refused, Where
from wardgate.storage.shapes import AUDIT, EVENT_NAMES, NO_EVENT, REFUSED, Head, extend, successor
from wardgate.storage.statements import APPEND, GUARD, INSERT, LAST_PLAIN, MODIFY, REMOVE, WRITE, Statement, Statements, Step

Unit = Sequence[Step]
Outcome = Committed | Refused | WardgateError
GUARDED_BATCHES = 64
# Large enough that a page that changes often is copied once for many changes, small enough that copying takes milliseconds.
CHECKPOINT_FRAMES = 4000
# How many frames a step adds to the log, until the first checkpoint has told, and what is believed at most.
_FRAMES_PER_STEP = 2.0
_MOST_FRAMES_PER_STEP = 20.0
_UNIQUE = (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_ROWID)
# After these the connection is as good as before; after any other failure it is opened afresh.
_HARMLESS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_NOMEM)


class FileLocked(StorageUnavailable):
    """Another process holds the write lock of the file. Nothing was tried yet."""

    code = "storage_locked"


class _RunGuarded(Exception):
    """A unit without a savepoint was refused after it had written."""


class _ForeignEvent(Exception):
    """The audit chain has an event that this writer did not write."""


# What a step returns when it did not hold; compared by identity, because the result of a Modify may be anything.
_CONFLICT = object()
_EXISTS = object()


class BatchWriter:
    """Owns the writing connection and the heads of the audit chain."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], timer: Callable[[], float] = perf_counter) -> None:
        self._connect = connect
        self._timer = timer
        self._connection: sqlite3.Connection | None = connect()
        self._cursor = self._connection.cursor()
        self._chain: ChainLink | None = None
        self._chain_name = ("", 0)
        self._head: Head | None = None
        self._guarded = 0
        self._wrote = False
        self._steps = 0
        self._frames_per_step = _FRAMES_PER_STEP

    def use_chain(self, chain: ChainLink) -> None:
        """Give the chain that `Append` extends; its head is read from the table when it is first needed."""
        self._chain = chain
        self._chain_name = (chain.writer, chain.epoch)
        self._head = None

    def execute(self, units: Sequence[Unit], wait_s: float = 0) -> list[Outcome]:
        """Begin the transaction and run every unit in it. `commit` makes it durable; until then nothing holds.

        `wait_s`: how long to sleep for a lock that another process holds. Raises FileLocked when it is still held, and
        StorageUnavailable when the database cannot be written: then nothing of the batch was kept.
        """
        try:
            self._begin(wait_s)
            self._steps += sum(map(len, units))
            return self._run(units)
        except (sqlite3.Error, MemoryError, _ForeignEvent) as error:
            raise self._give_up(error) from error

    def commit(self) -> float | None:
        """Make the batch durable; returns how long the disk took, or None when there was nothing to write.

        Raises StorageUnavailable when it failed: then nothing of the batch was kept, as far as SQLite can tell.
        """
        try:
            if not self._wrote:
                self._rollback()
                return None
            started = self._timer()
            self._cursor.execute("COMMIT")
            return self._timer() - started
        except (sqlite3.Error, MemoryError) as error:
            raise self._give_up(error) from error

    @property
    def sound(self) -> bool:
        """Whether there is a connection; after some failures the next batch opens it afresh."""
        return self._connection is not None

    def reading(self) -> sqlite3.Cursor | None:
        """A cursor of this connection, for reads between batches; None while there is no sound connection.

        Another connection has to fetch every page again after each commit, because it cannot know what changed.
        """
        return None if self._connection is None else self._connection.cursor()

    @property
    def checkpoint_due(self) -> bool:
        """Whether the log has probably grown long: SQLite tells its length only when it makes a checkpoint."""
        return self._steps * self._frames_per_step >= CHECKPOINT_FRAMES

    def checkpoint(self) -> None:
        """Copy the log into the file, so that it starts again from its beginning. Takes milliseconds, or more on a slow disk.

        Raises StorageUnavailable when that failed; what was committed stays in the log and is safe.
        """
        steps, self._steps = self._steps, 0
        if self._connection is None:
            return
        try:
            _, frames, _ = self._cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except (sqlite3.Error, MemoryError) as error:
            raise self._give_up(error) from error
        self._frames_per_step = min(max(frames / max(steps, 1), 1 / _MOST_FRAMES_PER_STEP), _MOST_FRAMES_PER_STEP)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # --- one transaction ---

    def _begin(self, wait_s: float) -> None:
        if self._connection is None:
            self._connection = self._connect()
            self._cursor = self._connection.cursor()
        self._wrote = False
        if wait_s:
            self._cursor.execute(f"PRAGMA busy_timeout = {int(wait_s * 1000)}")
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise FileLocked("another process is writing to the database") from error
            raise
        finally:
            if wait_s:
                self._cursor.execute("PRAGMA busy_timeout = 0")

    def _run(self, units: Sequence[Unit]) -> list[Outcome]:
        head = self._head
        if self._guarded:
            self._guarded -= 1
            return [self._unit_guarded(unit) for unit in units]
        try:
            return [self._unit(unit) for unit in units]
        except _RunGuarded as refusal:
            self._rollback()
            self._head = head
            self._wrote = False
            if len(units) == 1:
                return [refusal.args[0]]
            self._guarded = GUARDED_BATCHES
            self._cursor.execute("BEGIN IMMEDIATE")
            return [self._unit_guarded(unit) for unit in units]

    def _give_up(self, error: Exception) -> StorageUnavailable:
        """Roll the batch back and make sure that the next one starts from a sound connection and the true head."""
        self._head = None
        self._wrote = False
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_NOMEM) & 0xFF
        try:
            self._rollback()
        except sqlite3.Error:
            code = sqlite3.SQLITE_IOERR
        if code not in _HARMLESS:
            self.close()
        return unavailable(error)

    def _rollback(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            self._cursor.execute("ROLLBACK")

    # --- one unit ---

    def _unit_guarded(self, unit: Unit) -> Outcome:
        head, wrote = self._head, self._wrote
        self._cursor.execute("SAVEPOINT unit")
        try:
            outcome = self._unit(unit)
        except _RunGuarded as refusal:
            outcome = refusal.args[0]
            self._cursor.execute("ROLLBACK TO unit")
            self._head, self._wrote = head, wrote
        self._cursor.execute("RELEASE unit")
        return outcome

    def _unit(self, unit: Unit) -> Outcome:
        """Run a unit. Raises _RunGuarded, with the outcome, when it is refused and must be taken back."""
        results: list[object] = []
        wrote = False
        outcome: Outcome
        try:
            for statement, values in unit:
                result = self._step(statement, values)
                if result is _CONFLICT or result is _EXISTS:
                    outcome = Refused(len(results), "conflict" if result is _CONFLICT else "exists")
                    break
                results.append(result)
                wrote = wrote or statement.writes
            else:
                self._wrote = self._wrote or wrote
                return Committed(tuple(results))
        except sqlite3.IntegrityError as error:
            outcome = _misfit(error, len(results))
        except (sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError, OverflowError, TypeError, ValueError) as error:
            self._check_connection(error)
            outcome = StorageError(f"the database refused a value: {error}")
        except WardgateError as error:
            outcome = error
        if wrote:
            raise _RunGuarded(outcome)
        return outcome

    def _check_connection(self, error: Exception) -> None:
        """Raises `error` when it is not about the unit: sqlite3 has the same class for a closed connection and a wrong value."""
        try:
            sound = self._connection is not None and self._connection.in_transaction
        except sqlite3.ProgrammingError:
            sound = False
        if not sound:
            raise error

    def _step(self, statement: Statement, values: tuple[Any, ...]) -> object:
        """Run a step; returns its result, or that it did not hold."""
        kind, cursor = statement.kind, self._cursor
        if kind > LAST_PLAIN:
            return self._special_step(statement, values)
        cursor.execute(statement.sql, values)
        if kind == WRITE or cursor.rowcount == 1:
            return cursor.rowcount if kind == REMOVE else None
        if kind == REMOVE:
            return cursor.rowcount
        return _EXISTS if kind == INSERT else _CONFLICT

    def _special_step(self, statement: Statement, values: tuple[Any, ...]) -> object:
        if statement.kind == APPEND:
            return self._append(statement, values)
        if statement.kind == MODIFY:
            return self._modify(statement, *values)
        if statement.kind == GUARD and not self._cursor.execute(statement.sql, values).fetchall():
            return _CONFLICT
        return None

    def _modify(self, statement: Statement, key: Any, arguments: Any) -> object:
        rows = self._cursor.execute(statement.sql, key).fetchall()
        values, result = successor(statement.shape, key, rows[0] if rows else None, statement.function, arguments)
        if values is not None:
            self._cursor.execute(statement.write_sql, values)
        return _CONFLICT if result is REFUSED else result

    def _append(self, statement: Statement, values: tuple[Any, ...]) -> int:
        head = extend(self._chain, self._head or self._read_head(), dict(zip(EVENT_NAMES, values, strict=True)))
        try:
            self._cursor.execute(statement.sql, (*self._chain_name, head.seq, *values, head.link))
        except sqlite3.IntegrityError as error:
            raise _ForeignEvent(f"event {head.seq} of the audit chain is there already: another process writes it") from error
        self._head = head
        return head.seq

    def _read_head(self) -> Head:
        writer, epoch = self._chain_name
        mine = [Where("writer", "=", writer), Where("epoch", "=", epoch)]
        query, values = Statements().find(AUDIT.name, mine, "seq", True, 1)
        for row in self._cursor.execute(query.sql, values).fetchall():
            newest = AUDIT.as_row(row)
            if isinstance(newest["seq"], int) and isinstance(newest["link"], bytes):
                return Head(newest["seq"], newest["link"])
        return NO_EVENT


def _misfit(error: sqlite3.IntegrityError, position: int) -> Outcome:
    if error.sqlite_errorcode in _UNIQUE:
        return Refused(position, "exists")
    return StorageError(f"the database refused a row: {error}")


def unavailable(error: BaseException) -> StorageUnavailable:
    """What a failure of SQLite means to the asker. The message says what to do where it is known."""
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code is not None and code & 0xFF == sqlite3.SQLITE_FULL:
        return StorageUnavailable("the disk is full: free some space, writing resumes by itself", "storage_full")
    return StorageUnavailable(f"the database failed: {name}: {error}")
