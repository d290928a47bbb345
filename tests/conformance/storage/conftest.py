"""Every test of this folder runs over every back-end of `backends.py`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conformance.storage.backends import BACKENDS, PARAMETERS
from wardgate.storage.port import Storage


@pytest_asyncio.fixture(params=PARAMETERS)
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """An empty storage of each kind."""
    opened = await BACKENDS[request.param](tmp_path)
    yield opened
    await opened.close()
