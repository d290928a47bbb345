"""The node as any of its workers sees it: siblings that answer, that are gone, that stand still, that are not ours."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from wardgate.clock import FixedClock
from wardgate.errors import SettingsError
from wardgate.metrics import Metrics
from wardgate.watch import node as node_module
from wardgate.watch import siblings
from wardgate.watch.node import Node
from wardgate.watch.siblings import MAX_PATH_BYTES, WorkerSocket, ask_siblings, meeting_place, socket_of


class Worker:
    """One worker's part."""

    def __init__(self, data: Path, slot: int, workers: int, clock: FixedClock) -> None:
        self.metrics = Metrics()
        self.problems: list[str] = []
        self.node = Node(self.metrics, lambda: self.problems, clock, slot=slot, workers=workers, name="one", data=data)


@asynccontextmanager
async def running(data: Path, *slots: int, workers: int = 0) -> AsyncIterator[list[Worker]]:
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    found = [Worker(data, slot, workers or len(slots), clock) for slot in slots]
    async with AsyncExitStack() as stack:
        for worker in found:
            await worker.node.start()
            stack.push_async_callback(worker.node.stop)
        yield found


def values(text: bytes, name: str) -> dict[str, float]:
    """Of one metric, by worker."""
    families = text_string_to_metric_families(text.decode())
    return {each.labels.get("worker", ""): each.value for family in families for each in family.samples if each.name == name}


async def test_any_worker_shows_the_metrics_of_all(tmp_path: Path) -> None:
    async with running(tmp_path, 0, 1, 2) as workers:
        for number, worker in enumerate(workers):
            for _ in range(number + 1):
                worker.metrics.duplicate()
        for worker in workers:
            text = await worker.node.exposition()
            assert values(text, "wardgate_radius_duplicates_total") == {"0": 1, "1": 2, "2": 3}
            assert values(text, "wardgate_workers") == {"": 3}
            assert values(text, "wardgate_workers_missing") == {"": 0}


async def test_dead_sibling_is_left_out_and_counted(tmp_path: Path) -> None:
    async with running(tmp_path, 0, 2, workers=3) as (asked, _):
        text = await asked.node.exposition()
    assert set(values(text, "wardgate_radius_duplicates_total")) == {"0", "2"}
    assert values(text, "wardgate_workers_missing") == {"": 1}


async def test_leftover_socket_of_a_killed_worker_is_no_obstacle(tmp_path: Path) -> None:
    leftover = socket.socket(socket.AF_UNIX)
    leftover.bind(os.fspath(socket_of(tmp_path, 1)))
    leftover.close()
    async with running(tmp_path, 0, workers=2) as (asked,):
        assert (await asked.node.vitals()).missing == (1,)
    async with running(tmp_path, 0, 1) as (asked, _):
        assert (await asked.node.vitals()).missing == ()


async def test_worker_that_goes_leaves_the_socket_of_the_next_one(tmp_path: Path) -> None:
    """A reload may start the next worker of a slot before the last one has drained."""
    old, new = (WorkerSocket(tmp_path, 0, {"who": lambda name=name: {"name": name}}) for name in ("old", "new"))
    await old.start()
    await new.start()
    await old.stop()
    assert (await ask_siblings(tmp_path, [0], "who")).answers == {0: {"name": "new"}}
    await new.stop()
    assert not socket_of(tmp_path, 0).exists()


async def test_sibling_that_stands_still_is_not_waited_for(tmp_path: Path) -> None:
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(os.fspath(socket_of(tmp_path, 1)))
    silent.listen()
    told = await ask_siblings(tmp_path, [1], "vitals", timeout_s=0.1)
    silent.close()
    assert told.missing == (1,)


@pytest.mark.parametrize("answer", [b"", b"not json\n", b"[1]\n", b'{"problems":', b"x" * 5_000_000 + b"\n"])
async def test_answer_that_is_none_counts_as_missing(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(serve, socket_of(tmp_path, 1))
    told = await ask_siblings(tmp_path, [1], "vitals")
    server.close()
    assert told.missing == (1,)


async def test_strange_answer_breaks_neither_scrape_nor_probe(tmp_path: Path) -> None:
    told = {"pid": "x", "problems": [1, None, "disk on fire"], "metrics": {"wardgate_logins_total": [[["a"], {}]]}}
    odd = WorkerSocket(tmp_path, 1, {"vitals": lambda: told, "problems": lambda: told})
    await odd.start()
    async with running(tmp_path, 0, workers=2) as (asked,):
        assert b"wardgate_workers_missing 0" in await asked.node.exposition()
        assert await asked.node.problems() == ["worker 1: disk on fire"]
    await odd.stop()


async def test_stranger_who_asks_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket's mode keeps other users out; if it did not, the user id would."""
    async with running(tmp_path, 0, 1) as (asked, _):
        assert stat.S_IMODE(socket_of(tmp_path, 1).stat().st_mode) == 0o600
        assert stat.S_IMODE(meeting_place(tmp_path).stat().st_mode) == 0o700
        monkeypatch.setattr(siblings, "_is_ours", lambda connection: False)
        assert (await asked.node.vitals()).missing == (1,)


async def test_unknown_and_overlong_questions_get_no_answer(tmp_path: Path) -> None:
    answering = WorkerSocket(tmp_path, 0, {"vitals": dict})
    await answering.start()
    for question in (b"secrets\n", b"x" * 100_000 + b"\n", b"\xff\n", b"\n"):
        reader, writer = await asyncio.open_unix_connection(socket_of(tmp_path, 0))
        writer.write(question)
        assert await reader.read() == b""
        writer.close()
    assert (await ask_siblings(tmp_path, [0], "vitals")).missing == ()
    await answering.stop()


async def test_long_data_directory_gets_a_short_private_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(short))
    short = Path(f"/tmp/wg{os.getpid()}")
    short.mkdir(mode=0o700)
    long = tmp_path / ("d" * MAX_PATH_BYTES)
    long.mkdir()
    try:
        place = meeting_place(long)
        assert place.parent == short
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        async with running(long, 0, 1) as (asked, _):
            assert (await asked.node.vitals()).missing == ()
        place.rmdir()
        (short / "elsewhere").mkdir()
        place.symlink_to(short / "elsewhere")
        with pytest.raises(SettingsError, match="not a directory of this user alone"):
            meeting_place(long)
        place.unlink()
        place.mkdir(mode=0o777)
        place.chmod(0o777)
        with pytest.raises(SettingsError, match="not a directory of this user alone"):
            socket_of(long, 0)
    finally:
        for each in [*short.iterdir()]:
            each.unlink() if each.is_symlink() else each.rmdir()
        short.rmdir()


async def test_problems_name_the_workers_that_have_them(tmp_path: Path) -> None:
    async with running(tmp_path, 0, 1, 2) as workers:
        for worker in workers:
            worker.problems.append("the last write to the database failed")
        workers[1].problems.append("HTTPS takes no connections")
        assert await workers[0].node.problems() == [
            "the last write to the database failed",
            "worker 1: HTTPS takes no connections",
        ]


async def test_worker_that_is_being_replaced_takes_no_node_out_of_service(tmp_path: Path) -> None:
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    worker = Worker(tmp_path, 0, 2, clock)
    assert await worker.node.problems() == []
    clock.advance(node_module.MISSING_GRACE_S)
    assert await worker.node.problems() == ["worker 1 has not answered for 5 s"]
    sibling = Worker(tmp_path, 1, 2, clock)
    await sibling.node.start()
    assert await worker.node.problems() == []
    await sibling.node.stop()
    clock.advance(60)
    assert await worker.node.problems() == []


async def test_worker_that_is_alone_asks_nobody(tmp_path: Path) -> None:
    problems: Sequence[str] = ("RADIUS does not listen yet",)
    metrics = Metrics()
    alone = Node(metrics, lambda: problems, FixedClock(datetime(2026, 11, 22, tzinfo=UTC)), data=tmp_path)
    await alone.start()
    assert await alone.problems() == ["RADIUS does not listen yet"]
    assert values(await alone.exposition(), "wardgate_workers") == {"": 1}
    assert not (tmp_path / siblings.DIRECTORY).exists()
    await alone.stop()


async def test_worker_whose_socket_cannot_be_made_serves_all_the_same(tmp_path: Path) -> None:
    (tmp_path / siblings.DIRECTORY).mkdir()
    (tmp_path / siblings.DIRECTORY / "worker-1.sock").mkdir()
    async with running(tmp_path, 0, 1) as (asked, broken):
        assert (await asked.node.vitals()).missing == (1,)
        assert len((await broken.node.vitals()).workers) == 2


def test_snapshot_travels_as_json() -> None:
    metrics = Metrics()
    metrics.login("granted", "radius")
    assert json.loads(json.dumps(metrics.snapshot())) == metrics.snapshot()
