"""An office in memory for the tests of management operations."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from wardgate.admin.office import Office
from wardgate.audit.trail import chain_for, verify
from wardgate.clock import FixedClock
from wardgate.crypto import KeyRing, new_key
from wardgate.passwords import PasswordHasher
from wardgate.storage.memory import MemoryStorage


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 1, 5, 8, 0, tzinfo=UTC))


@pytest.fixture
async def office(clock: FixedClock) -> AsyncIterator[Office]:
    """Whatever a test did, the audit chain that it leaves must be whole."""
    ring = KeyRing({0: new_key(), 1: new_key()})
    storage = MemoryStorage()
    storage.use_chain(chain_for(ring, "test", 1))
    hasher = PasswordHasher(2, 100, time_cost=1, memory_kib=8)
    yield Office(storage, ring, clock, hasher, "operator:olga")
    assert not (await verify(storage, ring)).findings
    hasher.close()
    await storage.close()
