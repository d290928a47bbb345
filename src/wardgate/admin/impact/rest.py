"""Work in slices, beside the logins of the same process."""

import asyncio
from typing import Final

from wardgate.clock import Clock

SLICE_S: Final = 0.001
"""A login takes some twenty turns of the loop, and each of them may come behind one slice."""
BUSY_S: Final = 0.0003
"""When all the others took longer than this for their turn, somebody is logging in."""


class Rest:
    """Lets everything else go on after each slice of work; while somebody else works, for as long again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = clock.monotonic() + SLICE_S

    async def now_and_then(self) -> None:
        """Return at once, or after all that waits had its turn."""
        now = self._clock.monotonic()
        if now < self._until:
            return
        await asyncio.sleep(0)
        if self._clock.monotonic() - now > BUSY_S:
            await asyncio.sleep(SLICE_S)
        self._until = self._clock.monotonic() + SLICE_S
