"""Work that never waits gets no timer; work that does is held to its time, and is told when it is cancelled."""

import asyncio

import pytest

from wardgate.directory.deadline import within


async def test_work_that_never_waits_is_done_at_once() -> None:
    async def work() -> int:
        return 7

    assert await within(work(), 0) == 7


async def test_work_that_waits_goes_on_where_it_paused() -> None:
    steps: list[int] = []

    async def work() -> list[int]:
        for number in range(3):
            await asyncio.sleep(0)
            steps.append(number)
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, 3)
        steps.append(await future)
        return steps

    assert await within(work(), 60) == [0, 1, 2, 3]


async def test_silence_ends_in_time_and_the_work_is_cancelled() -> None:
    told: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    with pytest.raises(TimeoutError):
        await within(work(), 0.001)
    assert told == ["cancelled"]


async def test_a_cancelled_caller_cancels_the_work() -> None:
    started, told = asyncio.Event(), []

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            told.append("ended")

    task = asyncio.create_task(within(work(), 60))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["ended"]


@pytest.mark.parametrize("pauses", [0, 1])
async def test_its_failure_is_the_callers(pauses: int) -> None:
    async def work() -> None:
        for _ in range(pauses):
            await asyncio.sleep(0)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await within(work(), 60)


async def test_a_failure_that_it_waited_for_reaches_it() -> None:
    async def work() -> str:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, OSError("broken"))
        try:
            await future
        except OSError as error:
            return str(error)
        return "nothing"

    assert await within(work(), 60) == "broken"
