"""Scheduled work: one does it for all, and the next one takes over."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from wardgate.clock import FixedClock
from wardgate.errors import StorageUnavailable
from wardgate.leases import LIFE_S, Job, Leases, Scheduler
from wardgate.storage.memory import MemoryStorage

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


async def test_a_lease_is_held_by_one_until_it_ends() -> None:
    storage, clock = MemoryStorage(), FixedClock(NOW)
    one, other = Leases(storage, clock, "one"), Leases(storage, clock, "other")
    assert await one.take("sweep")
    assert not await other.take("sweep")
    clock.advance(LIFE_S - 1)
    assert await one.take("sweep")
    clock.advance(LIFE_S - 1)
    assert not await other.take("sweep")
    clock.advance(2)
    assert await other.take("sweep")
    assert not await one.take("sweep")


async def test_of_many_that_ask_at_once_one_gets_it() -> None:
    storage, clock = MemoryStorage(), FixedClock(NOW)
    taken = await asyncio.gather(*(Leases(storage, clock, f"worker {n}").take("sweep") for n in range(50)))
    assert sum(taken) == 1


async def test_a_lease_that_is_let_go_is_free_at_once_and_only_its_holder_lets_it_go() -> None:
    storage, clock = MemoryStorage(), FixedClock(NOW)
    one, other = Leases(storage, clock, "one"), Leases(storage, clock, "other")
    await one.take("sweep")
    await other.release("sweep")
    assert not await other.take("sweep")
    await one.release("sweep")
    assert await other.take("sweep")


async def test_a_clock_that_ran_an_hour_ahead_keeps_nobody_from_the_work() -> None:
    storage = MemoryStorage()
    ahead, right = FixedClock(NOW + timedelta(hours=1)), FixedClock(NOW)
    assert await Leases(storage, ahead, "ahead").take("sweep")
    assert await Leases(storage, right, "right").take("sweep")


class Steps:
    """Pauses that end when the test says so, and move the clock."""

    def __init__(self, clock: FixedClock) -> None:
        self._clock = clock
        self._go = asyncio.Semaphore(0)
        self.paused = asyncio.Semaphore(0)

    async def pause(self, seconds: float) -> None:
        self.paused.release()
        await self._go.acquire()
        self._clock.advance(seconds)

    async def step(self) -> None:
        """Let one pause end and wait for the next."""
        self._go.release()
        await self.paused.acquire()


async def test_work_is_done_when_due_by_the_holder_alone_and_by_the_next_when_it_dies() -> None:
    storage, clock = MemoryStorage(), FixedClock(NOW)
    done: list[str] = []

    def job(who: str) -> Job:
        async def work() -> None:
            done.append(who)

        return Job("sweep", 20, work)

    first, second = Steps(clock), Steps(clock)
    one = asyncio.create_task(Scheduler(Leases(storage, clock, "one"), [job("one")], clock, first.pause).run())
    await first.paused.acquire()
    other = asyncio.create_task(Scheduler(Leases(storage, clock, "other"), [job("other")], clock, second.pause).run())
    await second.paused.acquire()
    for _ in range(3):
        await first.step()
        await second.step()
    await first.step()
    assert done
    assert set(done) == {"one"}
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    done.clear()
    for _ in range(4):
        await second.step()
    assert set(done) == {"other"}
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)


async def test_work_that_fails_is_tried_again_and_hurts_no_other_job() -> None:
    storage, clock = MemoryStorage(), FixedClock(NOW)
    ran = {"bad": 0, "good": 0}

    async def bad() -> None:
        ran["bad"] += 1
        raise StorageUnavailable("gone") if ran["bad"] == 1 else ValueError("a mistake of ours")

    async def good() -> None:
        ran["good"] += 1

    pauses = Steps(clock)
    jobs = [Job("bad", 5, bad), Job("good", 5, good)]
    running = asyncio.create_task(Scheduler(Leases(storage, clock, "one"), jobs, clock, pauses.pause).run())
    for _ in range(2):
        await pauses.paused.acquire()
    for _ in range(12):
        await pauses.step()
    assert ran["bad"] > 1
    assert ran["good"] > 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_worker_that_stops_lets_go_of_its_jobs() -> None:
    storage, clock = MemoryStorage(), FixedClock(NOW)
    pauses = Steps(clock)

    async def nothing() -> None: ...

    scheduler = Scheduler(Leases(storage, clock, "one"), [Job("sweep", 5, nothing)], clock, pauses.pause)
    running = asyncio.create_task(scheduler.run())
    await pauses.paused.acquire()
    await pauses.step()
    assert scheduler.holds == {"sweep"}
    assert not await Leases(storage, clock, "other").take("sweep")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert scheduler.holds == set()
    assert await Leases(storage, clock, "other").take("sweep")


async def test_work_that_must_not_wait_begins_with_the_lease() -> None:
    storage, clock = MemoryStorage(), FixedClock(NOW)
    done: list[str] = []

    def job(name: str, at_once: bool) -> Job:
        async def work() -> None:
            done.append(name)

        return Job(name, 3600, work, at_once)

    pauses = Steps(clock)
    jobs = [job("urgent", True), job("patient", False)]
    running = asyncio.create_task(Scheduler(Leases(storage, clock, "one"), jobs, clock, pauses.pause).run())
    for _ in range(2):
        await pauses.paused.acquire()
    for _ in range(6):
        await pauses.step()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert done == ["urgent"]
