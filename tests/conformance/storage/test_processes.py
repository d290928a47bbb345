"""Several worker processes at once, each with its own connection to one writer: still only the condition decides."""

import asyncio
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from tests.conformance.storage.rows import TextChain, brake, brake_key, committed, event, insert
from tests.conformance.storage.writers import PACKAGES, TIMEOUT_S, WriterProcess, processes
from wardgate.storage.port import Announce, Committed, Modified, Modify, Operation, Row, Storage, Update, Where
from wardgate.storage.sqlite_client import SqliteClientStorage

WORKERS = 3
A = brake_key("a")


async def _race(storage: Storage, name: int) -> object:
    """Prove the steps 1 to 100, as the other workers do; which of them this worker was the first to prove."""
    won = []
    for first in range(1, 101, 20):
        units: list[list[Operation]] = [
            [Update("brake", A, {"level": step}, (Where("level", "<", step),)), event(f"{step}")]
            for step in range(first, first + 20)
        ]
        outcomes = await asyncio.gather(*[storage.commit(unit) for unit in units])
        won += [step for step, outcome in enumerate(outcomes, first) if isinstance(outcome, Committed)]
    return won


def _next(current: Row | None, arguments: Row) -> Modified:
    level = (current or brake("a"))["level"]
    return Modified(brake("a", level=int(level or 0) + 1), level)


async def _count(storage: Storage, name: int) -> object:
    """Add one 100 times and modify 100 times; the numbers that the modifications saw."""
    units: list[list[Operation]] = [[Update("brake", brake_key("sum"), {}, add={"failures": 1}), Modify("brake", A, _next)]] * 100
    outcomes = await asyncio.gather(*[storage.commit(unit) for unit in units])
    return [outcome.results[1] for outcome in outcomes if isinstance(outcome, Committed)]


async def _try_again(storage: Storage, name: int) -> object:
    """Read, add one, write on condition that nobody else did, and again until it holds: 40 times."""
    for _ in range(40):
        while True:
            seen = (await storage.get("brake", A) or {})["level"]
            assert isinstance(seen, int)
            if isinstance(await storage.commit([Update("brake", A, {"level": seen + 1}, (Where("level", "=", seen),))]), Committed):
                break
    return name


async def _hear(storage: Storage, name: int) -> object:
    """Announce oneself until one has heard of everybody."""
    heard: set[str] = set()
    all_heard = asyncio.Event()

    def note(key: str) -> None:
        heard.add(key)
        if len(heard) == WORKERS:
            all_heard.set()

    storage.subscribe("workers", note)
    own_first = False
    while not all_heard.is_set():
        await committed(storage, Announce("workers", f"{name}"))
        own_first = f"{name}" in heard
        await asyncio.sleep(0.01)
    await committed(storage, Announce("workers", f"{name}"))
    return own_first


JOBS = {job.__name__: job for job in (_race, _count, _try_again, _hear)}


def _work(path: Path, writer_socket: Path, job: str, name: int, results: "Queue[object]") -> None:
    async def run() -> object:
        storage = await SqliteClientStorage.connect(path, writer_socket, PACKAGES)
        storage.use_chain(TextChain())
        try:
            return await asyncio.wait_for(JOBS[job](storage, name), TIMEOUT_S)
        finally:
            await storage.close()

    results.put(asyncio.run(run()))


def _together(writer: WriterProcess, job: object) -> list[Any]:
    """The results of the job in every worker."""
    results: Any = processes.Queue()
    name = job.__name__  # type: ignore[attr-defined]
    workers = [
        processes.Process(target=_work, args=(writer.path, writer.socket, name, number, results), daemon=True)
        for number in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    try:
        return [results.get(timeout=TIMEOUT_S) for _ in workers]
    finally:
        for worker in workers:
            worker.join(TIMEOUT_S)
            worker.kill()


def _look(writer: WriterProcess) -> dict[str, Any]:
    """What is in the file; before it, put the two counters there if they are not."""

    async def run() -> dict[str, Any]:
        storage = await SqliteClientStorage.connect(writer.path, writer.socket, PACKAGES)
        try:
            if await storage.count("brake") == 0:
                await insert(storage, "brake", brake("a"), brake("sum"))
            events = [item["kind"] for item in await storage.find("audit_event", order_by="seq")]
            return {
                "level": (await storage.get("brake", A) or {})["level"],
                "sum": (await storage.get("brake", brake_key("sum")) or {})["failures"],
                "events": events,
            }
        finally:
            await storage.close()

    return asyncio.run(run())


@pytest.fixture
def writer(tmp_path: Path) -> Any:
    """A writer with two counters in its file."""
    it = WriterProcess(tmp_path)
    try:
        _look(it)
        yield it
    finally:
        it.close()


def test_a_step_that_several_workers_prove_at_once_counts_once(writer: WriterProcess) -> None:
    won = sorted(step for steps in _together(writer, _race) for step in steps)
    assert len(set(won)) == len(won)
    found = _look(writer)
    assert found["level"] == 100
    assert sorted(int(kind) for kind in found["events"]) == won


def test_what_several_workers_count_is_all_counted(writer: WriterProcess) -> None:
    seen = sorted(number for numbers in _together(writer, _count) for number in numbers)
    assert seen == list(range(WORKERS * 100))
    assert _look(writer)["sum"] == WORKERS * 100


def test_workers_who_try_again_all_advance_the_counter(writer: WriterProcess) -> None:
    assert sorted(_together(writer, _try_again)) == list(range(WORKERS))
    assert _look(writer)["level"] == WORKERS * 40


def test_every_worker_hears_of_what_any_announces_and_of_its_own_before_it_goes_on(writer: WriterProcess) -> None:
    assert _together(writer, _hear) == [True] * WORKERS
