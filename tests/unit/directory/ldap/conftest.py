"""The LDAP client runs on both event loops: uvloop in production, asyncio's own where there is none."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """pytest-asyncio: every test of this directory on each of them."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
