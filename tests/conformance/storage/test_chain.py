"""The audit chain: numbered without a gap, each link over the one before, and back where it was when a unit is refused."""

import asyncio
from pathlib import Path

import pytest

from tests import postgresql
from tests.conformance.storage.rows import TextChain, brake, committed, event, message, refused
from wardgate.errors import StorageError
from wardgate.storage.port import GENESIS_LINK, Append, Insert, Operation, Row, Storage, Update, Where
from wardgate.storage.postgres import PostgresStorage


class BrokenChain(TextChain):
    """Fails at one kind of event."""

    def link(self, previous: bytes, seq: int, row: Row) -> bytes:
        """The readable link, or a failure."""
        if row["kind"] == "broken":
            raise RuntimeError("no key")
        return super().link(previous, seq, row)


async def _check(storage: Storage, chain: TextChain, kinds: list[str]) -> None:
    where = [Where("writer", "=", chain.writer), Where("epoch", "=", chain.epoch)]
    rows = await storage.find("audit_event", where, order_by="seq")
    assert [item["kind"] for item in rows] == kinds
    previous = GENESIS_LINK
    for seq, item in enumerate(rows, 1):
        assert item["seq"] == seq
        previous = chain.link(previous, seq, item)
        assert item["link"] == previous


async def test_events_are_numbered_and_linked_from_the_genesis(storage: Storage) -> None:
    chain = TextChain()
    storage.use_chain(chain)
    assert await committed(storage, event("a"), event("b")) == (1, 2)
    assert await committed(storage, event("c")) == (3,)
    await _check(storage, chain, ["a", "b", "c"])


class TellingChain(TextChain):
    """Its links are the rows that they were computed from."""

    def link(self, previous: bytes, seq: int, row: Row) -> bytes:
        """The row."""
        return repr(sorted(row.items())).encode()


async def test_the_chain_sees_every_column_even_those_left_out(storage: Storage) -> None:
    storage.use_chain(TellingChain())
    whole = event("a", reference="R").row
    await committed(storage, Append({name: value for name, value in whole.items() if value is not None}))
    (stored,) = await storage.find("audit_event")
    assert stored["link"] == repr(sorted(whole.items())).encode()


@pytest.mark.parametrize("event_first", [True, False])
async def test_a_refused_unit_gives_its_numbers_back(storage: Storage, event_first: bool) -> None:
    chain = TextChain()
    storage.use_chain(chain)
    await committed(storage, event("a"))
    conflict = Update("brake", {"kind": "user", "key": b"missing"}, {"level": 1})
    unit: list[Operation] = (
        [event("lost"), event("lost"), conflict] if event_first else [Insert("outbox", message("x")), conflict, event("lost")]
    )
    await refused(storage, *unit)
    assert await committed(storage, event("b")) == (2,)
    await _check(storage, chain, ["a", "b"])


async def test_the_chain_is_whole_when_refused_and_good_units_come_together(storage: Storage) -> None:
    chain = TextChain()
    storage.use_chain(chain)
    conflict = Update("brake", {"kind": "user", "key": b"missing"}, {"level": 1})
    units: list[list[Operation]] = [
        [event(f"{n}"), conflict] if n % 3 == 0 else [event(f"{n}"), Insert("brake", brake(f"{n}"))] for n in range(60)
    ]
    for _ in range(2):
        await asyncio.gather(*[storage.commit(unit) for unit in units])
    rows = await storage.find("audit_event", order_by="seq")
    assert len(rows) == 40
    await _check(storage, chain, [str(item["kind"]) for item in rows])
    assert not [item for item in rows if int(str(item["kind"])) % 3 == 0]


async def test_a_new_epoch_begins_a_new_chain_and_the_old_one_can_be_continued(storage: Storage) -> None:
    first, second = TextChain(epoch=1), TextChain(epoch=2)
    storage.use_chain(first)
    await committed(storage, event("a"), event("b"))
    storage.use_chain(second)
    assert await committed(storage, event("c")) == (1,)
    storage.use_chain(TextChain(writer="w2", epoch=1))
    assert await committed(storage, event("other")) == (1,)
    storage.use_chain(first)
    assert await committed(storage, event("d")) == (3,)
    await _check(storage, first, ["a", "b", "d"])
    await _check(storage, second, ["c"])


async def test_an_event_without_a_chain_is_an_error(storage: Storage) -> None:
    with pytest.raises(StorageError):
        await storage.commit([Insert("brake", brake("a")), event("a")])
    assert await storage.count("brake") == 0


async def test_a_link_that_cannot_be_computed_stops_its_unit_alone(storage: Storage) -> None:
    chain = BrokenChain()
    storage.use_chain(chain)
    units: list[list[Operation]] = [[Insert("brake", brake(f"{n}")), event("broken" if n == 1 else f"{n}")] for n in range(3)]
    outcomes = await asyncio.gather(*[storage.commit(unit) for unit in units], return_exceptions=True)
    assert [isinstance(outcome, StorageError) for outcome in outcomes] == [False, True, False]
    await _check(storage, chain, ["0", "2"])
    assert await storage.count("brake") == 2


@pytest.mark.parametrize("column", ["writer", "epoch", "seq", "link", "nothing"])
async def test_a_caller_cannot_choose_the_place_in_the_chain(storage: Storage, column: str) -> None:
    storage.use_chain(TextChain())
    with pytest.raises(StorageError):
        await storage.commit([Append({**event("a").row, column: 1})])
    with pytest.raises(StorageError):
        await storage.commit([Append({name: value for name, value in event("a").row.items() if name != "commitment"})])
    assert await storage.count("audit_event") == 0


async def test_an_event_that_is_erased_is_not_written_over_by_the_one_that_tells_of_it(storage: Storage) -> None:
    """Also after units without events, from which nothing is learnt about the end of the chain."""
    chain = TextChain()
    storage.use_chain(chain)
    await committed(storage, event("a"), event("b"))
    await committed(storage, Insert("brake", brake("k")))
    key: Row = {"writer": chain.writer, "epoch": chain.epoch, "seq": 1}
    assert await committed(storage, Update("audit_event", key, {"payload": None, "salt": None}), event("c")) == (None, 3)
    await _check(storage, chain, ["a", "b", "c"])


@pytest.mark.neighbour("postgresql")
async def test_a_chain_that_somebody_else_has_extended_is_read_again_before_anything_is_written_over(tmp_path: Path) -> None:
    database = await postgresql.empty_database("chain")
    one, two = [await PostgresStorage.open(postgresql.shared().settings(database), tmp_path) for _ in range(2)]
    try:
        chain = TextChain()
        for each in (one, two):
            each.use_chain(chain)
        await committed(one, event("a"))
        await committed(two, event("b"))
        key: Row = {"writer": chain.writer, "epoch": chain.epoch, "seq": 2}
        assert await committed(one, Update("audit_event", key, {"payload": None, "salt": None}), event("c")) == (None, 3)
        await _check(one, chain, ["a", "b", "c"])
    finally:
        await one.close()
        await two.close()
