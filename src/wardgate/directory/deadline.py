"""A deadline for work that mostly never waits: setting a timer costs more than a read of storage that is in this process."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


async def within(work: Coroutine[Any, Any, T], timeout_s: float) -> T:
    """What the work returns. Raises TimeoutError when it waits for so long; a timer is set only once it waits at all."""
    try:
        waits_for = work.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    async with asyncio.timeout(timeout_s):
        return await _Begun(work, waits_for)


class _Begun(Generic[T]):
    """A coroutine that ran until it waits for this. Awaited, it goes on from there."""

    def __init__(self, work: Coroutine[Any, Any, T], waits_for: object) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        while True:
            try:
                try:
                    sent = yield self._waits_for
                except BaseException as error:  # noqa: BLE001 - a cancellation is the work's matter, as it would have been
                    self._waits_for = self._work.throw(error)
                else:
                    self._waits_for = self._work.send(sent)
            except StopIteration as end:
                value: T = end.value
                return value
