"""SIGHUP: what changed on disk is taken up, and what is broken there stops nothing that runs."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from tests.hostile.inside import DOCUMENT, SECRET, Nas, a_server
from wardgate.storage.port import Update

NEW_SECRET = "the-next-secret-of-that-nas"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    return file


def with_file(secret_file: Path) -> str:
    return DOCUMENT.replace(f"{{value: {SECRET}}}", f"{{file: {secret_file}}}")


async def until(look: Callable[[], bool]) -> None:
    while not look():
        await asyncio.sleep(0.01)


async def test_a_secret_that_changed_in_its_file_is_in_force_after_sighup(tmp_path: Path, secret_file: Path) -> None:
    async with a_server(tmp_path / "data", with_file(secret_file)) as (server, _, port, _), asyncio.timeout(20):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.reload_soon)
        try:
            with Nas(port) as before, Nas(port, NEW_SECRET) as after:
                assert await before.is_answered(5)
                secret_file.write_text(NEW_SECRET)
                os.kill(os.getpid(), signal.SIGHUP)
                while not await after.is_answered(0.1):
                    pass
                assert not await before.is_answered()
        finally:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)


async def test_a_secret_whose_file_is_gone_keeps_what_runs_in_force(tmp_path: Path, secret_file: Path) -> None:
    async with a_server(tmp_path / "data", with_file(secret_file)) as (server, _, port, _), asyncio.timeout(20):
        secret_file.unlink()
        with structlog.testing.capture_logs() as logged:
            server.reload_soon()
            await until(lambda: any(each["event"] == "configuration_not_taken_over" for each in logged))
        with Nas(port) as nas:
            assert await nas.is_answered(5)


@pytest.mark.parametrize("stored", ["{", "[]", '{"nas": [{"name": "half"}]}'])
async def test_a_document_that_is_damaged_in_the_database_keeps_what_runs_in_force(tmp_path: Path, stored: str) -> None:
    async with a_server(tmp_path / "data") as (server, opened, port, _), asyncio.timeout(20):
        await opened.storage.commit([Update("configuration", {"version": 2}, {"document": stored})])
        with structlog.testing.capture_logs() as logged:
            server.reload_soon()
            await until(lambda: bool(logged))
        assert logged[0]["event"] == "configuration_not_taken_over"
        with Nas(port) as nas:
            assert await nas.is_answered(5)


async def test_a_certificate_that_is_broken_keeps_the_present_one(tmp_path: Path) -> None:
    async with a_server(tmp_path / "data") as (server, opened, port, _), asyncio.timeout(20):
        opened.installation.certificate.write_text("no certificate")
        with structlog.testing.capture_logs() as logged:
            server.reload_soon()
            await until(lambda: any(each["event"] == "certificate_not_taken_over" for each in logged))
        with Nas(port) as nas:
            assert await nas.is_answered(5)
