"""Closing: what waits is written, and nothing comes after."""

import asyncio

import pytest

from tests.conformance.storage.backends import BACKENDS
from tests.conformance.storage.rows import TextChain, brake, brake_key, event, insert, message
from wardgate.errors import StorageUnavailable
from wardgate.storage.port import Committed, Insert, Storage


async def test_close_writes_what_waits(storage: Storage) -> None:
    storage.use_chain(TextChain())
    pending = [asyncio.ensure_future(storage.commit([Insert("outbox", message(f"{n}")), event(f"{n}")])) for n in range(500)]
    await asyncio.sleep(0)
    await storage.close()
    assert all(isinstance(outcome, Committed) for outcome in await asyncio.gather(*pending))


async def test_nothing_is_read_or_written_after_close(storage: Storage) -> None:
    await insert(storage, "brake", brake("a"))
    await storage.close()
    for work in (
        storage.commit([Insert("brake", brake("b"))]),
        storage.get("brake", brake_key("a")),
        storage.find("brake"),
        storage.find("brake", limit=1),
        storage.count("brake"),
    ):
        with pytest.raises(StorageUnavailable):
            await work


async def test_close_may_be_called_again(storage: Storage) -> None:
    await storage.close()
    await storage.close()


def test_every_back_end_is_here() -> None:
    assert {"memory", "sqlite"} <= BACKENDS.keys()
