"""When to write what waits: a commit of many units costs little more than a commit of one.

Under load every turn of the event loop brings more units, and each commit touches the same pages again. So a batch waits for as
long as the turns bring more, but never long; as soon as a turn brings nothing, everybody who could join is waiting already.
"""

from collections.abc import Callable
from time import perf_counter

LONGEST_S = 0.002


class Gathering:
    """Asked once in each turn while units wait."""

    __slots__ = ("_began", "_seen", "_timer")

    def __init__(self, timer: Callable[[], float] = perf_counter) -> None:
        self._timer = timer
        self._seen = 0
        self._began = 0.0

    def goes_on(self, waiting: int) -> bool:
        """Whether another turn may bring more. After a no, the next question begins a new batch."""
        now = self._timer()
        if not self._seen:
            self._began = now
        if waiting > self._seen and now - self._began < LONGEST_S:
            self._seen = waiting
            return True
        self._seen = 0
        return False
