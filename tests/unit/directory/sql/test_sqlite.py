"""The engine for files of SQLite: its threads hold one connection each, and see what somebody else changes in the file."""

import asyncio
import sqlite3
import threading
from pathlib import Path

from wardgate.clock import SystemClock
from wardgate.config.reference import SecretSetting
from wardgate.crypto import Secret
from wardgate.directory.sql.checking import checked_address
from wardgate.directory.sql.engines.connecting import Connecting
from wardgate.directory.sql.engines.engine import Limits, Writing
from wardgate.directory.sql.engines.sqlite import MAX_THREADS, SqliteEngine
from wardgate.directory.sql.settings import ColumnSettings, SqlSettings
from wardgate.directory.sql.statements import own_statement
from wardgate.directory.sql.values import zone_of

SOON_S = 20.0
COLUMNS = ColumnSettings(id="id", username="login", password="pw_hash")


class Together(SystemClock):
    """Holds each thread of the engine, when it looks how much time is left, until all of them are there."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = threading.get_ident()
        self._all = threading.Barrier(MAX_THREADS, timeout=SOON_S)

    def monotonic(self) -> float:
        """As ever; not before the other threads ask."""
        if threading.get_ident() != self._loop:
            self._all.wait()
        return super().monotonic()


def no_secret(setting: SecretSetting) -> Secret:
    raise AssertionError(setting)


def engine(path: Path, clock: SystemClock) -> SqliteEngine:
    settings = SqlSettings(name="hr", kind="sql", url=f"sqlite://{path}", table="employee", columns=COLUMNS)
    limits, writing = Limits(SOON_S, SOON_S, MAX_THREADS), Writing(zone_of("UTC"), "timestamp")
    return SqliteEngine(Connecting(settings, checked_address(settings), limits, writing, clock, no_secret))


async def test_each_thread_plans_by_the_indexes_that_are_there_now(tmp_path: Path) -> None:
    """A connection that has read the schema plans by it until it reads the file again: a new index would be told missing."""
    owner = sqlite3.connect(tmp_path / "hr.db", isolation_level=None)
    owner.execute("CREATE TABLE employee (id integer PRIMARY KEY, login text, pw_hash text)")
    made = engine(tmp_path / "hr.db", Together())
    asked = own_statement("SELECT id FROM employee WHERE login = :name", "find_statement")

    async def indexed() -> list[bool]:
        told = await asyncio.gather(*(made.plan(asked, {"name": "ada"}, SOON_S) for _ in range(MAX_THREADS)))
        return [by_index for by_index, _ in told]

    try:
        assert await indexed() == [False] * MAX_THREADS
        owner.execute("CREATE INDEX by_login ON employee (login)")
        assert await indexed() == [True] * MAX_THREADS
        owner.execute("DROP INDEX by_login")
        assert await indexed() == [False] * MAX_THREADS
    finally:
        await made.close()
        owner.close()
