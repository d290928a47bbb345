"""The back-ends that run this suite. To add one: a factory of an empty storage, and its line in `BACKENDS`."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.conformance.storage.writers import ClientWithWriter
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Storage
from wardgate.storage.sqlite import SqliteStorage

Factory = Callable[[Path], Awaitable[Storage]]


async def _memory(directory: Path) -> Storage:
    return MemoryStorage()


async def _sqlite(directory: Path) -> Storage:
    return await SqliteStorage.open(directory / "wardgate.db")


async def _sqlite_client(directory: Path) -> Storage:
    return await ClientWithWriter.start(directory)


BACKENDS: dict[str, Factory] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "sqlite-client": _sqlite_client,
}
