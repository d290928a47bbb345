"""The writer's signs of life, and what it says of checkpoints that fail."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from wardgate.errors import StorageUnavailable
from wardgate.storage import writer
from wardgate.storage.batch import BatchWriter
from wardgate.storage.checkpoints import CheckpointNews
from wardgate.storage.port import Upsert
from wardgate.storage.sqlite import connect_writer, prepare
from wardgate.storage.sqlite_client import SqliteClientStorage
from wardgate.storage.wire import PACKAGES
from wardgate.storage.writer import Progress, Writer, listen

WAIT_S = 30.0


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_rests_is_never_stuck_and_who_works_only_after_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(writer, "monotonic", lambda: now)
    progress = Progress()
    now += 1000
    assert not progress.stuck
    progress.begin()
    now += writer.STUCK_S - 1
    assert not progress.stuck
    now += 1
    assert progress.stuck
    progress.begin()
    assert not progress.stuck
    progress.rest()
    now += 1000
    assert not progress.stuck


class SlowDisk(BatchWriter):
    """A disk that answers when it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(lambda: connect_writer(path))
        self.asked, self.answers = threading.Event(), threading.Event()

    def commit(self) -> float | None:
        self.asked.set()
        assert self.answers.wait(WAIT_S)
        return super().commit()


async def test_a_sync_that_never_ends_is_seen_from_another_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, ringing = tmp_path / "w.db", socket.socketpair()
    prepare(path)
    progress = Progress()
    with listen(tmp_path / "s") as listening, ringing[0], ringing[1]:
        disk = SlowDisk(path)
        served = Writer(disk, listening, ringing[0], ("server", 1), PACKAGES, progress)
        thread = threading.Thread(target=served.serve)
        thread.start()
        storage = await SqliteClientStorage.connect(path, tmp_path / "s")
        written = asyncio.ensure_future(storage.commit([Upsert("installation", {"name": "a", "value": "b"})]))
        await asyncio.to_thread(disk.asked.wait, WAIT_S)
        assert not progress.stuck
        monkeypatch.setattr(writer, "STUCK_S", 0.0)
        assert progress.stuck
        disk.answers.set()
        await written
        await asyncio.to_thread(wait_until, lambda: not progress.stuck)
        await storage.close()
        ringing[1].send(b"x")
        await asyncio.to_thread(thread.join, WAIT_S)
        disk.close()


def test_checkpoints_that_fail_are_told_once_for_each_outage() -> None:
    news, failure = CheckpointNews(), StorageUnavailable("the disk is full", "storage_full")
    with structlog.testing.capture_logs() as log:
        for error in (None, failure, failure, failure, None, None, failure, None):
            news.note(error)
    assert [line["event"] for line in log] == ["checkpoint_failed", "checkpoint_works_again"] * 2
    assert news.failed == 4
