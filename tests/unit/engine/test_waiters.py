"""Waiters of one key are called one by one, and none is left behind."""

import asyncio

import pytest

from wardgate.engine.waiters import Waiters

LONG_S = 60.0


async def started(*waits: "asyncio.Task[None]") -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(each.done() for each in waits)


async def test_a_call_wakes_the_one_who_has_waited_longest() -> None:
    waiters = Waiters()
    first, second = (asyncio.create_task(waiters.wait(b"k", LONG_S)) for _ in range(2))
    await started(first, second)
    waiters.wake(b"k")
    await first
    assert not second.done()
    waiters.wake(b"k")
    await second
    assert len(waiters) == 0


async def test_two_calls_at_once_wake_two() -> None:
    waiters = Waiters()
    waits = [asyncio.create_task(waiters.wait(b"k", LONG_S)) for _ in range(3)]
    await started(*waits)
    waiters.wake(b"k")
    waiters.wake(b"k")
    await asyncio.gather(*waits[:2])
    assert not waits[2].done()
    waiters.wake(b"k")
    await waits[2]


async def test_another_keys_call_wakes_nobody() -> None:
    waiters = Waiters()
    wait = asyncio.create_task(waiters.wait(b"k", LONG_S))
    await started(wait)
    waiters.wake(b"other")
    await started(wait)
    waiters.wake(b"k")
    await wait


async def test_who_is_not_called_goes_on_by_himself() -> None:
    waiters = Waiters()
    await waiters.wait(b"k", 0.001)
    assert len(waiters) == 0


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    waiters = Waiters()
    wait = asyncio.create_task(waiters.wait(b"k", LONG_S))
    await started(wait)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    assert len(waiters) == 0
    waiters.wake(b"k")
