"""Every back-end runs this suite. To add one: a factory of an empty storage, and its line in `BACKENDS`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Storage
from wardgate.storage.sqlite import SqliteStorage

Factory = Callable[[Path], Awaitable[Storage]]


async def _memory(directory: Path) -> Storage:
    return MemoryStorage()


async def _sqlite(directory: Path) -> Storage:
    return await SqliteStorage.open(directory / "wardgate.db")


BACKENDS: dict[str, Factory] = {
    "memory": _memory,
    "sqlite": _sqlite,
}


@pytest_asyncio.fixture(params=BACKENDS)
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """An empty storage of each kind."""
    opened = await BACKENDS[request.param](tmp_path)
    yield opened
    await opened.close()
