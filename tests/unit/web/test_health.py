"""Health: the process lives; it is ready only when storage takes writes and nothing else is wrong."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.unit.web.samples import Sample
from wardgate.errors import StorageUnavailable
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Commit, Operation, Where
from wardgate.web import health


class Full(MemoryStorage):
    """Storage on a full disk, or one that does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs = False
        self.full = True
        self.asked = 0

    async def commit(self, operations: Sequence[Operation]) -> Commit:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.full:
            raise StorageUnavailable("the disk is full")
        return await super().commit(operations)


async def test_alive_says_so_and_nothing_else() -> None:
    sample = Sample(demo=False, storage=Full())
    async with sample.client("203.0.113.7") as probe:
        reply = await probe.get("/healthz", headers={"host": "10.0.0.1"})
    assert (reply.status_code, reply.text) == (200, "ok")


@pytest.mark.parametrize("demo", [True, False])
async def test_ready_when_storage_writes_and_listeners_listen(demo: bool) -> None:
    sample = Sample(demo=demo)
    async with sample.client() as probe:
        assert (await probe.get("/readyz")).json() == {"ready": True, "problems": []}
        sample.problems.append("RADIUS does not listen on 0.0.0.0:1812")
        reply = await probe.get("/readyz")
    assert reply.status_code == 503
    assert reply.json() == {"ready": False, "problems": ["RADIUS does not listen on 0.0.0.0:1812"]}


async def test_full_disk_is_not_ready_and_recovers() -> None:
    storage = Full()
    sample = Sample(storage=storage)
    async with sample.client() as probe:
        reply = await probe.get("/readyz")
        assert (reply.status_code, reply.json()["problems"]) == (503, ["storage takes no writes: the disk is full"])
        storage.full = False
        sample.clock.advance(health.ANSWER_KEPT_S)  # type: ignore[attr-defined]
        assert (await probe.get("/readyz")).status_code == 200


async def test_storage_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "STORAGE_DEADLINE_S", 0.05)
    storage = Full()
    storage.hangs = True
    sample = Sample(storage=storage)
    async with sample.client() as probe:
        assert (await probe.get("/readyz")).status_code == 503


async def test_details_are_for_this_machine_only() -> None:
    sample = Sample(demo=False, storage=Full())
    async with sample.client("203.0.113.7") as stranger:
        reply = await stranger.get("/readyz")
    assert (reply.status_code, reply.json()) == (503, {"ready": False})
    async with sample.client() as proxied:
        assert (await proxied.get("/readyz", headers={"x-forwarded-for": "203.0.113.7"})).json() == {"ready": False}


async def test_flood_of_probes_writes_once_a_second() -> None:
    storage = Full()
    storage.full = False
    sample = Sample(storage=storage)
    async with sample.client() as probe:
        await asyncio.gather(*(probe.get("/readyz") for _ in range(50)))
    assert storage.asked == 1


async def test_who_asks_for_text_gets_lines() -> None:
    sample = Sample(demo=False)
    text = {"accept": "text/plain"}
    async with sample.client() as probe, sample.client("203.0.113.7") as stranger:
        ready = await probe.get("/readyz", headers=text)
        assert (ready.status_code, ready.text) == (200, "ready\n")
        sample.problems += ["the server is stopping", "HTTPS takes no connections"]
        reply = await probe.get("/readyz", headers=text)
        assert (reply.status_code, reply.text) == (503, "not ready\nthe server is stopping\nHTTPS takes no connections\n")
        assert (await stranger.get("/readyz", headers=text)).text == "not ready\n"
        for accept in ("application/json, text/plain", "*/*", ""):
            assert (await probe.get("/readyz", headers={"accept": accept})).json()["ready"] is False


async def test_metrics_are_told_while_the_database_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Full()
    sample = Sample(storage=storage)

    async def gone(table: str, where: Sequence[Where] = ()) -> int:
        raise StorageUnavailable("the disk is gone")

    async with sample.client() as scraper:
        assert b"wardgate_outbox_messages{" in (await scraper.get("/metrics")).content
        monkeypatch.setattr(storage, "count", gone)
        sample.clock.advance(60)  # type: ignore[attr-defined]
        reply = await scraper.get("/metrics")
    assert reply.status_code == 200
    assert b"wardgate_logins_total{" in reply.content
    # A count that stands still would look like an outbox in order.
    assert b"wardgate_outbox_messages{" not in reply.content
