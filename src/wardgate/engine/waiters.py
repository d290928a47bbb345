"""Attempts that wait for a place which another attempt of this process holds, first come first served."""

import asyncio
from collections import deque


class Waiters:
    """Wakes one waiter of a key at a time: whoever finds no use for the place passes the call on."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, deque[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._waiting.values())

    async def wait(self, key: bytes, timeout_s: float) -> None:
        """Until somebody wakes this key, or so long at most: a place that another process frees wakes nobody here."""
        future = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(key, deque())
        queue.append(future)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return
        finally:
            self._forget(key, future)

    def wake(self, key: bytes) -> None:
        """A place is free, or will be for nobody: tell the one who has waited longest."""
        for future in self._waiting.get(key, ()):
            if not future.done():
                future.set_result(None)
                return

    def _forget(self, key: bytes, future: "asyncio.Future[None]") -> None:
        queue = self._waiting[key]
        queue.remove(future)
        if not queue:
            del self._waiting[key]
