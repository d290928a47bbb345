"""The time that all steps of one call have together."""

from wardgate.clock import Clock
from wardgate.errors import DirectoryUnavailable


class Budget:
    """Counts down from the moment when it is made."""

    def __init__(self, timeout_s: float, clock: Clock, directory: str) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._directory = directory
        self._until = clock.monotonic() + timeout_s

    def left(self) -> float:
        """The seconds that are left. Raises DirectoryUnavailable when there are none."""
        left = self._until - self._clock.monotonic()
        if left <= 0:
            raise DirectoryUnavailable(f"directory {self._directory} did not answer within {self._timeout_s:g} s")
        return left
