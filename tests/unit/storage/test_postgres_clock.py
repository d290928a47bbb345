"""PostgreSQL tells the time to all nodes."""

import time
from pathlib import Path

import pytest

from tests import postgresql
from wardgate.clock_watch import DatabaseClock
from wardgate.errors import StorageUnavailable
from wardgate.storage.postgres import PostgresStorage

pytestmark = pytest.mark.neighbour("postgresql")


async def test_the_database_tells_its_own_time_at_each_call(tmp_path: Path) -> None:
    database = await postgresql.empty_database("clock")
    storage = await PostgresStorage.open(postgresql.shared().settings(database), tmp_path)
    try:
        assert isinstance(storage, DatabaseClock)
        before_ms = time.time() * 1000
        first, second = await storage.clock_ms(), await storage.clock_ms()
        assert before_ms - 1 <= first <= second <= time.time() * 1000 + 1
    finally:
        await storage.close()
    with pytest.raises(StorageUnavailable):
        await storage.clock_ms()
