"""A mistake of ours in one part of the server must not end it in silence: codes would wait for ever and no row be cleared away."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from tests.hostile.inside import a_server
from wardgate import worker
from wardgate.audit.recorder import Recorder
from wardgate.clock_watch import ClockWatch
from wardgate.delivery.worker import OutboxWorker
from wardgate.leases import Scheduler
from wardgate.storage.port import Announce, Committed, Insert, Upsert


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


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what another task brings about."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_nas_that_signs_is_known_although_the_announcement_was_lost(tmp_path: Path) -> None:
    """Else a forger of unsigned packets (CVE-2024-3596) would look for the worker that lost its connection at the right moment."""
    async with a_server(tmp_path / "data") as (server, opened, _, _):
        unheard = [Upsert("installation", {"name": "message-authenticator:hq", "value": "signs"})]
        assert isinstance(await opened.storage.commit(unheard), Committed)
        # What every subscriber is told when something may have been missed.
        await opened.storage.commit([Announce(worker.SIGNING, "")])
        await eventually(lambda: "hq" in server._signing)


async def test_an_announcement_alone_makes_no_nas_one_that_signs(tmp_path: Path) -> None:
    """Whoever may NOTIFY in the database could otherwise lock out every NAS that does not sign, and fill the memory with names."""
    async with a_server(tmp_path / "data") as (server, opened, _, _):
        read = asyncio.Event()
        once = server._signing_nas

        async def noticed() -> set[str]:
            try:
                return await once()
            finally:
                read.set()

        server._signing_nas = noticed  # type: ignore[method-assign]
        await opened.storage.commit([Announce(worker.SIGNING, "branch")])
        async with asyncio.timeout(20):
            await read.wait()
        await eventually(lambda: not server._signing_due)
        assert server._signing == set()


async def test_a_node_whose_clock_is_wrong_clears_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour behind, every login that others have open looks like one of before the clock was set back."""
    monkeypatch.setattr(worker, "SWEEP_EVERY_S", 0.01)
    wrong: str | None = "the clock is wrong"
    monkeypatch.setattr(ClockWatch, "problem", property(lambda self: wrong))
    with structlog.testing.capture_logs() as logged:
        async with a_server(tmp_path / "data") as (_, opened, _, _):
            over = {"name": "a job of yesterday", "holder": "nobody", "held_until": 1}
            await opened.storage.commit([Insert("lease", over)])
            await eventually(lambda: any(each["event"] == "job_failed" and each["job"] == worker.JANITOR for each in logged))
            assert await opened.storage.get("lease", {"name": over["name"]}) is not None
            wrong = None
            async with asyncio.timeout(20):
                while await opened.storage.get("lease", {"name": over["name"]}) is not None:
                    await asyncio.sleep(0.01)


async def test_a_worker_that_serves_while_an_epoch_is_opened_decides_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leases do not show a node that holds none, so `wardgate epoch open` may have missed it; its open logins are of before."""
    monkeypatch.setattr(worker, "CHANGES_ASKED_EVERY_S", 0.01)
    async with a_server(tmp_path / "data") as (server, opened, _, _):
        over = asyncio.Event()
        server.on_epoch_over = over.set
        assert server._no_decision() is None
        await opened.storage.commit([Upsert("installation", {"name": "epoch_id", "value": "2-0123456789abcdef"})])
        async with asyncio.timeout(20):
            await over.wait()
        assert server._no_decision() is not None
        assert any("new epoch" in problem for problem in server.problems())
