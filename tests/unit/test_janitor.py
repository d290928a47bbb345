"""The janitor takes what has had its time and nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from wardgate import janitor
from wardgate.clock import FixedClock, to_ms
from wardgate.janitor import COUNT_EVERY_SWEEPS, FIRST_STEP_ROWS, MOST_STEP_ROWS, RETENTIONS, STEP_S, Janitor
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Commit, Committed, Insert, Operation, Row, Where

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
DAY_MS = 86_400_000


def a_timeline_row(number: int, at_ms: int) -> Row:
    return {
        "id": f"{at_ms:012x}{number:06d}",
        "reference": "AAAAAAAA",
        "transaction_id": None,
        "user_key": None,
        "door": "radius",
        "result": "denied",
        "body": "{}",
        "created_at": at_ms,
    }


async def test_old_rows_go_and_young_ones_stay() -> None:
    storage, clock = MemoryStorage(), FixedClock(NOW)
    old, young = to_ms(NOW) - 31 * DAY_MS, to_ms(NOW) - 29 * DAY_MS
    await storage.commit([Insert("timeline", a_timeline_row(1, old)), Insert("timeline", a_timeline_row(2, young))])
    assert await Janitor(storage, clock).sweep() == 1
    assert [row["created_at"] for row in await storage.find("timeline")] == [young]


async def test_a_sweep_goes_in_small_steps_and_lets_others_in_between() -> None:
    storage, clock = MemoryStorage(), FixedClock(NOW)
    old = to_ms(NOW) - 31 * DAY_MS
    for start in range(0, 1200, 200):
        unit = [Insert("timeline", a_timeline_row(number, old)) for number in range(start, start + 200)]
        assert isinstance(await storage.commit(unit), Committed)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    assert await Janitor(storage, clock, pause).sweep() == 1200
    assert len(pauses) > 1200 // MOST_STEP_ROWS
    assert FIRST_STEP_ROWS < 1200


async def test_steps_shrink_while_the_database_is_slow_and_others_get_as_much_time() -> None:
    storage, clock = MemoryStorage(), FixedClock(NOW)
    old = to_ms(NOW) - 31 * DAY_MS
    for start in range(0, 1200, 200):
        assert isinstance(
            await storage.commit([Insert("timeline", a_timeline_row(number, old)) for number in range(start, start + 200)]),
            Committed,
        )
    steps: list[int] = []
    pauses: list[float] = []
    commit = storage.commit

    async def slow(operations: Sequence[Operation]) -> Commit:
        done = await commit(operations)
        went = done.results[0] if isinstance(done, Committed) else 0
        if isinstance(went, int) and went:
            steps.append(went)
            clock.advance(STEP_S * 2)
        return done

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    storage.commit = slow  # type: ignore[method-assign]
    assert await Janitor(storage, clock, pause).sweep() == 1200
    assert steps[0] == FIRST_STEP_ROWS
    assert steps[3] == janitor.FEWEST_STEP_ROWS
    assert all(seconds >= STEP_S for seconds in pauses)


async def test_a_flood_within_its_time_is_cut_at_the_most_rows_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    storage, clock = MemoryStorage(), FixedClock(NOW)
    few = tuple(replace(each, most_rows=700) if each.table == "timeline" else each for each in RETENTIONS)
    monkeypatch.setattr(janitor, "RETENTIONS", few)
    young = to_ms(NOW) - DAY_MS
    for start in range(0, 2000, 200):
        unit = [Insert("timeline", a_timeline_row(number, young + number // 10)) for number in range(start, start + 200)]
        assert isinstance(await storage.commit(unit), Committed)
    assert await Janitor(storage, clock).sweep() == 1300
    left = await storage.find("timeline", order_by="created_at")
    assert [row["created_at"] for row in (left[0], left[-1])] == [young + 130, young + 199]


async def test_rows_are_counted_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    storage, clock = MemoryStorage(), FixedClock(NOW)
    counted: list[str] = []
    count = storage.count

    async def counting(table: str, where: Sequence[Where] = ()) -> int:
        counted.append(table)
        return await count(table, where)

    monkeypatch.setattr(storage, "count", counting)
    keeper = Janitor(storage, clock)
    for _ in range(COUNT_EVERY_SWEEPS + 1):
        await keeper.sweep()
    assert sorted(counted) == ["accounting", "accounting", "timeline", "timeline"]


async def test_a_login_that_may_still_be_resent_keeps_its_handle() -> None:
    handle = next(retention for retention in RETENTIONS if retention.table == "handle")
    assert handle.keep_ms >= 30_000
