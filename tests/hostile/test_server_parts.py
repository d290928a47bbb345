"""A mistake of ours in one part of the server must not end it in silence: codes would wait for ever and no row be cleared away."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from tests.hostile.inside import a_server
from wardgate import worker
from wardgate.audit.recorder import Recorder
from wardgate.delivery.worker import OutboxWorker
from wardgate.leases import Scheduler


@pytest.mark.parametrize("part", [OutboxWorker, Recorder, Scheduler])
async def test_a_part_that_breaks_is_told_and_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: type) -> None:
    monkeypatch.setattr(worker, "PART_AGAIN_S", 0.01)
    runs, whole = 0, asyncio.Event()
    run: Callable[[object], object] = part.run  # type: ignore[attr-defined]

    async def broken_once(self: object) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("a mistake of ours")
        whole.set()
        await run(self)  # type: ignore[misc]

    monkeypatch.setattr(part, "run", broken_once)
    with structlog.testing.capture_logs() as logged:
        async with a_server(tmp_path / "data"), asyncio.timeout(20):
            await whole.wait()
    assert [each["error"] for each in logged if each["event"] == "part_of_server_ended"] == ["ValueError"]
