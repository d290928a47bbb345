"""The live picture: what it tells, and that a database that fails is part of it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.web.samples import Sample
from wardgate.errors import StorageUnavailable
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Insert, Row, Where
from wardgate.watch import picture as picture_module
from wardgate.watch.figures import figures
from wardgate.watch.node import Node
from wardgate.watch.picture import Picture


class Gone(MemoryStorage):
    """A database that hangs or fails."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs = self.fails = False

    async def find(
        self,
        table: str,
        where: Sequence[Where] = (),
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> list[Row]:
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise StorageUnavailable("the disk is gone")
        return await super().find(table, where, order_by, descending, limit)


async def take(sample: Sample, storage: MemoryStorage) -> dict[str, Any]:
    node = Node(sample.metrics, list, sample.clock, name="one")
    return await Picture(node, storage, sample.clock, "SQLite").take()


async def test_tells_what_an_operator_looks_for() -> None:
    sample = Sample()
    await sample.fill()
    lease = {"name": "janitor", "holder": "one.0", "held_until": sample.now_ms() + 20_000}
    await sample.storage.commit([Insert("lease", lease), Insert("lease", {"name": "heads", "holder": "two.1", "held_until": 5})])
    told = await take(sample, sample.storage)
    assert [(each["user"], each["reason"]) for each in told["refusals"]][:2] == [
        ("carol", "password_wrong"),
        ("frank", "no_factor"),
    ]
    assert told["incidents"][0]["kind"] == "chap"
    assert told["outbox"] == {"states": {"queued": 3, "sending": 0, "sent": 0, "failed": 0, "expired": 0}, "oldest_due_s": 1300.0}
    assert told["jobs"] == [
        {"job": "heads", "holder": "", "ends_in_s": 0.0},
        {"job": "janitor", "holder": "one.0", "ends_in_s": 20.0},
    ]
    assert told["database"]["problem"] == ""


@pytest.mark.parametrize(("how", "problem"), [("hangs", "it did not answer within"), ("fails", "the disk is gone")])
async def test_database_that_fails_is_part_of_the_picture(how: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_module, "DATABASE_TIMEOUT_S", 0.05)
    storage = Gone()
    setattr(storage, how, True)
    told = await take(Sample(), storage)
    assert problem in told["database"]["problem"]
    assert figures(told, told)["queues"]["outbox_queued"] == 0


async def test_row_with_a_strange_body_is_no_failed_picture() -> None:
    sample = Sample()
    row = dict(sample.request("AAAA1111", 1, "ada", "denied", "x", ()).row)
    for number, body in enumerate(("[1]", "{", '{"user": {"a": 1}}')):
        await sample.storage.commit([Insert("timeline", {**row, "id": f"{number:024x}", "body": body})])
    assert len((await take(sample, sample.storage))["refusals"]) == 3


async def test_outbox_is_counted_once_for_many_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Sample()
    counted = 0
    count = sample.storage.count

    async def counting(table: str, where: Sequence[Where] = ()) -> int:
        nonlocal counted
        counted += 1
        return await count(table, where)

    monkeypatch.setattr(sample.storage, "count", counting)
    picture = Picture(Node(sample.metrics, list, sample.clock), sample.storage, sample.clock, "SQLite")
    for _ in range(4):
        await picture.take()
    assert counted == 5
    sample.clock.advance(picture_module.COUNT_KEPT_S)  # type: ignore[attr-defined]
    await picture.take()
    assert counted == 10
