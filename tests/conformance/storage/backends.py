"""The back-ends that run this suite. To add one: a factory of an empty storage, and its line in `BACKENDS`."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests import postgresql
from tests.conformance.storage.writers import ClientWithWriter
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Storage
from wardgate.storage.postgres import PostgresStorage
from wardgate.storage.sqlite import SqliteStorage

Factory = Callable[[Path], Awaitable[Storage]]


async def _memory(directory: Path) -> Storage:
    return MemoryStorage()


async def _sqlite(directory: Path) -> Storage:
    return await SqliteStorage.open(directory / "wardgate.db")


async def _sqlite_client(directory: Path) -> Storage:
    return await ClientWithWriter.start(directory)


async def _postgresql(directory: Path) -> Storage:
    database = await postgresql.empty_database("conformance")
    return await PostgresStorage.open(postgresql.shared().settings(database), directory)


BACKENDS: dict[str, Factory] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "sqlite-client": _sqlite_client,
    "postgresql": _postgresql,
}
NEIGHBOURS = {"postgresql": pytest.mark.neighbour("postgresql")}
# For `parametrize` and fixtures: a back-end whose neighbour is missing is skipped.
PARAMETERS = [pytest.param(name, marks=NEIGHBOURS.get(name, ())) for name in BACKENDS]
