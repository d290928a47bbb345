"""Every flow runs on every storage that one machine can have."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.world import BACKENDS, World, a_storage


@pytest.fixture(params=BACKENDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """An empty world on this storage."""
    async with a_storage(request.param, tmp_path) as storage:
        yield World(storage)
