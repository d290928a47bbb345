"""What systemd is told: sd_notify(3) without a library, one datagram to the socket that NOTIFY_SOCKET names.

Only the supervisor tells anything; without systemd nothing happens.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Speaks to systemd for one process."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_every_s = _watchdog_every_s(environment, pid)

    @classmethod
    def of_this_process(cls) -> "Notifier":
        """As systemd started us."""
        return cls(os.environ, os.getpid())

    def ready(self, status: str) -> None:
        """Everything serves."""
        self._tell("READY=1", f"STATUS={status}")

    def starting(self, status: str, extend_by_s: float) -> None:
        """It goes on, and may take so much longer from now on, whatever TimeoutStartSec says."""
        self._tell(f"EXTEND_TIMEOUT_USEC={int(extend_by_s * 1_000_000)}", f"STATUS={status}")

    def reloading(self) -> None:
        """Settings are being read again; `ready` ends it. The time lets systemd tell this reload from an earlier one."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """What is in work is being finished."""
        self._tell("STOPPING=1", "STATUS=finishing what is in work")

    def status(self, text: str) -> None:
        """What `systemctl status` shows."""
        self._tell(f"STATUS={text}")

    def alive(self) -> None:
        """The supervisor turns, and so does every worker."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.setblocking(False)
            notify.sendto("\n".join(lines).encode(), self._address)


def _watchdog_every_s(environment: Mapping[str, str], pid: int) -> float | None:
    """Half of what systemd waits for a sign of life, or None when it waits for none of ours."""
    period, whose = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not period.isdecimal() or int(period) == 0 or (whose and whose != str(pid)):
        return None
    return int(period) / 2_000_000
