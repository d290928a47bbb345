"""What we hold of one server: up, suspect or down, and when it may be tried again."""

from secrets import SystemRandom
from typing import Final

from wardgate.clock import Clock
from wardgate.directory.ldap.port import ServerState

FIRST_BACK_OFF_S: Final = 1.0
LONGEST_BACK_OFF_S: Final = 60.0
_JITTER: Final = 0.25
_random = SystemRandom()


def back_off_s(failures: int) -> float:
    """How long to leave a server alone after so many failures in a row; spread, so that workers do not come all at once."""
    wait_s = min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2.0 ** min(failures - 1, 16))
    return wait_s * (1 + _random.uniform(0, _JITTER))


class Health:
    """SUSPECT: something went wrong on a connection; asked after those that are up. DOWN: no new connection can be had; asked by

    one probe at a time (half open), each time after a longer wait. Any answer makes it UP.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._probe_at = 0.0
        self.state = ServerState.UP
        self.problem = ""
        self.answered_s: float | None = None

    def answered(self, took_s: float) -> None:
        """It did what a server does, after so long."""
        self.answered_s = took_s
        if self.state is not ServerState.UP:
            self.state, self.problem, self._failures = ServerState.UP, "", 0

    def suspect(self, problem: str) -> None:
        """An operation failed. A probe may be sent at once."""
        if self.state is ServerState.UP:
            self.state, self.problem, self._probe_at = ServerState.SUSPECT, problem, self._clock.monotonic()

    def failed(self, problem: str) -> None:
        """No connection, or none that answers."""
        self.state, self.problem = ServerState.DOWN, problem
        self._failures += 1
        self._probe_at = self._clock.monotonic() + back_off_s(self._failures)

    def probe_due(self) -> bool:
        """Whether it is not up, and may be tried now."""
        return self.state is not ServerState.UP and self._clock.monotonic() >= self._probe_at
