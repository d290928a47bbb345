"""Work in slices, beside the logins of the same process."""

import asyncio
from typing import Final

from wardgate.clock import Clock

SLICE_S: Final = 0.003
"""A login that comes meanwhile waits no longer than this for its turn, beside what it always waits."""


class Rest:
    """Lets everything else go on after each slice of work."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = clock.monotonic() + SLICE_S

    async def now_and_then(self) -> None:
        """Return at once, or after all that waits had its turn."""
        if self._clock.monotonic() >= self._until:
            await asyncio.sleep(0)
            self._until = self._clock.monotonic() + SLICE_S
