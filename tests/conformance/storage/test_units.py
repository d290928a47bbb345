"""A unit happens whole or not at all, wherever it is refused and whoever shares its transaction."""

import asyncio
from collections.abc import Mapping

import pytest

from tests.conformance.storage.rows import (
    TextChain,
    brake,
    brake_key,
    committed,
    event,
    insert,
    message,
    refused,
    row,
    user,
)
from wardgate.errors import StorageError
from wardgate.storage.port import (
    Announce,
    Append,
    Committed,
    Delete,
    Insert,
    Modified,
    Modify,
    Operation,
    Refused,
    Row,
    Storage,
    Update,
    Upsert,
    Where,
)
from wardgate.storage.schema import metadata


def _raise_level(current: Row | None, arguments: Row) -> Modified:
    return Modified({**(current or brake("m")), "level": 9})


def _level_of_arguments(current: Row | None, arguments: Row) -> Modified:
    return Modified(brake("", level=arguments["level"]))


def _break(current: Row | None, arguments: Row) -> Modified:
    raise RuntimeError("a mistake in a room")


WRITES: tuple[Operation, ...] = (
    Insert("outbox", message("new")),
    Update("brake", brake_key("old"), {"level": 5}, add={"failures": 3}),
    Upsert("brake", brake("old", level=6)),
    Upsert("brake", brake("fresh")),
    Delete("outbox", (Where("id", "=", "old"),)),
    Modify("brake", brake_key("old"), _raise_level),
    Modify("brake", brake_key("m"), _raise_level),
    event("login:granted"),
    Announce("brake", "old"),
)

REFUSALS: Mapping[str, tuple[Operation, str]] = {
    "update": (Update("brake", brake_key("missing"), {"level": 1}), "conflict"),
    "condition": (Update("brake", brake_key("old"), {"level": 1}, (Where("stamps", "=", "never"),)), "conflict"),
    "demand": (Update("brake", brake_key("missing"), {}), "conflict"),
    "insert": (Insert("brake", brake("kept")), "exists"),
    "unique": (Insert("local_user", user("2", "ada")), "exists"),
    "upsert": (Upsert("local_user", user("2", "ada")), "exists"),
    "change": (Update("local_user", {"id": "3"}, {"name_key": "ada"}), "exists"),
}


async def _prepare(storage: Storage) -> None:
    storage.use_chain(TextChain())
    await committed(
        storage,
        Insert("brake", brake("old", level=1)),
        Insert("brake", brake("kept")),
        Insert("outbox", message("old")),
        Insert("local_user", user("1", "ada")),
        Insert("local_user", user("3", "bob")),
        event("started"),
    )


async def _everything(storage: Storage) -> dict[str, list[Row]]:
    return {name: sorted(await storage.find(name), key=str) for name in metadata.tables}


@pytest.mark.parametrize("position", range(len(WRITES) + 1))
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refused_unit_leaves_no_trace_wherever_it_is_refused(storage: Storage, refusal: str, position: int) -> None:
    await _prepare(storage)
    before = await _everything(storage)
    operation, reason = REFUSALS[refusal]
    unit = [*WRITES[:position], operation, *WRITES[position:]]
    assert await refused(storage, *unit) == (position, reason)
    assert await _everything(storage) == before


@pytest.mark.parametrize("position", range(len(WRITES) + 1))
async def test_a_unit_that_fails_leaves_no_trace_either(storage: Storage, position: int) -> None:
    await _prepare(storage)
    before = await _everything(storage)
    with pytest.raises(StorageError):
        await storage.commit([*WRITES[:position], Modify("brake", brake_key("x"), _break), *WRITES[position:]])
    assert await _everything(storage) == before


async def test_later_operations_see_what_earlier_ones_wrote(storage: Storage) -> None:
    results = await committed(
        storage,
        Insert("brake", brake("a", level=1)),
        Update("brake", brake_key("a"), {"level": 2}, (Where("level", "=", 1),)),
        Modify("brake", brake_key("a"), _raise_level),
        Delete("brake", (Where("level", "=", 9),)),
        Insert("brake", brake("a", level=4)),
    )
    assert results == (None, None, None, 1, None)
    assert await storage.get("brake", brake_key("a")) == brake("a", level=4)


async def test_the_second_insert_of_a_unit_can_clash_with_its_first(storage: Storage) -> None:
    assert await refused(storage, Insert("brake", brake("a")), Insert("brake", brake("a"))) == (1, "exists")
    assert await storage.count("brake") == 0


@pytest.mark.parametrize("bad_at", [0, 1, 2])
async def test_a_refused_unit_takes_nobody_else_with_it(storage: Storage, bad_at: int) -> None:
    """Units that wait together share a transaction; each of them must still stand or fall alone, again and again."""
    await _prepare(storage)
    for turn in range(4):
        units: list[list[Operation]] = [
            [Insert("outbox", message(f"{turn}.{n}")), event(f"e{turn}.{n}"), Insert("brake", brake(f"{turn}.{n}"))]
            for n in range(12)
        ]
        for n in (3, 4, 11):
            units[n].insert(bad_at, Update("brake", brake_key("missing"), {"level": 1}))
        outcomes = await asyncio.gather(*[storage.commit(unit) for unit in units])
        assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Refused)] == [3, 4, 11]
        assert all(outcome == Refused(bad_at, "conflict") for outcome in outcomes if isinstance(outcome, Refused))
    for table in ("outbox", "brake"):
        assert await storage.count(table) == 4 * 9 + (1 if table == "outbox" else 2)
    events = await storage.find("audit_event", order_by="seq")
    assert [item["kind"] for item in events] == ["started"] + [
        f"e{t}.{n}" for t in range(4) for n in range(12) if n not in (3, 4, 11)
    ]
    assert [item["seq"] for item in events] == list(range(1, 38))


async def test_values_are_those_at_the_time_of_the_call(storage: Storage) -> None:
    """A caller who goes on changing its dictionaries must not change what is written, nor what the chain was told."""
    storage.use_chain(TextChain())
    changing, told, arguments = brake("a", level=1), dict(event("first").row), {"level": 3}
    unit: list[Operation] = [
        Insert("brake", changing),
        Append(told),
        Modify("brake", brake_key("b"), _level_of_arguments, arguments),
    ]
    pending = asyncio.ensure_future(storage.commit(unit))
    await asyncio.sleep(0)
    changing["level"] = 2
    told["kind"] = "second"
    arguments["level"] = 4
    unit.clear()
    assert isinstance(await pending, Committed)
    assert await storage.get("brake", brake_key("b")) == brake("b", level=3)
    assert await storage.get("brake", brake_key("a")) == brake("a", level=1)
    (stored,) = await storage.find("audit_event")
    assert stored["kind"] == "first"
    assert str(stored["link"]).endswith("|1:'first'\"")


async def test_a_row_with_every_kind_of_value_survives(storage: Storage) -> None:
    full = row(
        "audit_event",
        writer="w",
        epoch=1,
        seq=1,
        kind="k",
        transaction_id="t",
        reference=None,
        payload="{}",
        salt=b"\0",
        link=b"\1",
    )
    await insert(storage, "audit_event", full)
    assert await storage.find("audit_event") == [full]
