"""Many callers at once: the condition decides, never what somebody read before."""

import asyncio

from tests.conformance.storage.rows import TextChain, brake, brake_key, committed, event, insert, message
from wardgate.errors import Overloaded
from wardgate.storage.port import (
    MAX_WAITING_UNITS,
    Committed,
    Insert,
    Modified,
    Modify,
    Operation,
    Refused,
    Row,
    Storage,
    Update,
    Value,
    Where,
)

A = brake_key("a")


async def test_a_step_that_200_callers_prove_at_once_counts_once(storage: Storage) -> None:
    storage.use_chain(TextChain())
    await insert(storage, "brake", brake("a"))
    unit: list[Operation] = [Update("brake", A, {"level": 57}, (Where("level", "<", 57),)), event("login:granted")]
    outcomes = await asyncio.gather(*[storage.commit(unit) for _ in range(200)])
    assert outcomes.count(Refused(0, "conflict")) == 199
    assert sum(isinstance(outcome, Committed) for outcome in outcomes) == 1
    assert await storage.count("audit_event") == 1


async def test_a_handle_that_200_callers_create_at_once_is_created_once(storage: Storage) -> None:
    outcomes = await asyncio.gather(*[storage.commit([Insert("outbox", message("a", tries=n))]) for n in range(200)])
    assert outcomes.count(Refused(0, "exists")) == 199
    assert await storage.count("outbox") == 1


async def test_only_the_condition_protects_a_caller_who_read_before(storage: Storage) -> None:
    """All callers read the same number; each writes it plus one on condition that it is unchanged: one of them wins."""
    await insert(storage, "brake", brake("a"))

    read = await asyncio.gather(*[storage.get("brake", A) for _ in range(100)])

    async def advance(seen: Value) -> bool:
        assert isinstance(seen, int)
        outcome = await storage.commit([Update("brake", A, {"level": seen + 1}, (Where("level", "=", seen),))])
        return isinstance(outcome, Committed)

    won = await asyncio.gather(*[advance((row or {})["level"]) for row in read])
    assert won.count(True) == (await storage.get("brake", A) or {})["level"] == 1


async def test_callers_who_try_again_all_advance_the_counter_in_the_end(storage: Storage) -> None:
    await insert(storage, "brake", brake("a"))

    async def advance() -> int:
        while True:
            seen = (await storage.get("brake", A) or {})["level"]
            assert isinstance(seen, int)
            outcome = await storage.commit([Update("brake", A, {"level": seen + 1}, (Where("level", "=", seen),))])
            if isinstance(outcome, Committed):
                return seen

    assert sorted(await asyncio.gather(*[advance() for _ in range(30)])) == list(range(30))


async def test_additions_of_many_callers_are_all_counted(storage: Storage) -> None:
    await insert(storage, "brake", brake("a"))
    await asyncio.gather(*[storage.commit([Update("brake", A, {}, add={"failures": 1})]) for _ in range(300)])
    assert (await storage.get("brake", A) or {})["failures"] == 300


def _next(current: Row | None, arguments: Row) -> Modified:
    level = (current or brake("a"))["level"]
    number = level + 1 if isinstance(level, int) else 0
    return Modified(brake("a", level=number), number)


async def test_modifications_of_many_callers_each_see_the_one_before(storage: Storage) -> None:
    outcomes = await asyncio.gather(*[storage.commit([Modify("brake", A, _next)]) for _ in range(150)])
    results = [outcome.results[0] for outcome in outcomes if isinstance(outcome, Committed)]
    assert sorted(results, key=str) == sorted(range(1, 151), key=str)


async def test_a_commit_that_returned_is_seen_by_every_later_read(storage: Storage) -> None:
    async def write_and_read(n: int) -> None:
        await committed(storage, Insert("outbox", message(f"{n:04}", state="due")))
        assert await storage.get("outbox", {"id": f"{n:04}"}) is not None
        assert await storage.find("outbox", [Where("id", "=", f"{n:04}")], limit=5)
        if n % 10 == 0:
            assert f"{n:04}" in {item["id"] for item in await storage.find("outbox")}
            assert await storage.count("outbox", [Where("id", "=", f"{n:04}")]) == 1

    await asyncio.gather(*[write_and_read(n) for n in range(200)])


async def test_a_cancelled_caller_loses_nothing_and_leaves_nothing_half_written(storage: Storage) -> None:
    storage.use_chain(TextChain())
    tasks = [
        asyncio.ensure_future(storage.commit([Insert("outbox", message(f"{n}")), event(f"{n}"), Insert("brake", brake(f"{n}"))]))
        for n in range(40)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes) == 20
    assert sum(isinstance(outcome, Committed) for outcome in outcomes) == 20
    assert await committed(storage, event("last")) == (41,)
    assert (await storage.count("outbox"), await storage.count("brake")) == (40, 40)


async def test_a_flood_of_writes_is_refused_and_what_was_taken_is_written(storage: Storage) -> None:
    flood = [storage.commit([Update("brake", A, {}, add={"failures": 1})]) for _ in range(MAX_WAITING_UNITS + 50)]
    await insert(storage, "brake", brake("a"))
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    refused = sum(isinstance(outcome, Overloaded) for outcome in outcomes)
    taken = sum(isinstance(outcome, Committed) for outcome in outcomes)
    assert refused >= 1
    assert refused + taken == len(flood)
    assert (await storage.get("brake", A) or {})["failures"] == taken
    await committed(storage, Update("brake", A, {}, add={"failures": 1}))
