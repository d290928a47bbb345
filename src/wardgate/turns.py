"""Who may hash a password now, over all workers of this machine: never more at once than there are cores to spare.

Password hashing, not the event loop, is what hurts the latency of logins, so the limit is one for the machine. Each worker has as
many threads as the limit allows, because one NAS may send all its packets to one worker; a thread works while it holds one of
the turns. A turn is one octet of a file that record locks are taken on (fcntl(2)): the system gives the locks of a process that
was killed back, so a turn is never lost.
"""

import fcntl
import os
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

_GATE: Final = 0
_RETRY_S: Final = 0.001


class Turns:
    """`count` turns for every process that forks from the one that made this.

    A context manager: inside it, this thread has a turn. Whoever waits longest is next, or nearly so: without the gate before the
    turns, a worker that is never idle would take the turn again before another one has woken up.
    """

    def __init__(self, count: int, directory: Path) -> None:
        if count < 1:
            raise ValueError("at least one turn")
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            # Record locks belong to a process and go when it closes the file anywhere: this descriptor is never closed.
            self._file = os.dup(file.fileno())
        self.count = count
        # What record locks do not do: keep threads of one process apart.
        self._first_here = threading.Lock()
        self._ours: set[int] = set()
        self._mine = threading.local()

    def __enter__(self) -> "Turns":
        with self._first_here:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _GATE)
            try:
                self._mine.turn = self._take()
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _GATE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        turn = self._mine.turn
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, turn)
        self._ours.discard(turn)

    def _take(self) -> int:
        """The first turn that is free. We are alone at the gate of the machine, so nobody is asked often."""
        while True:
            for turn in range(1, self.count + 1):
                if turn not in self._ours and self._lock(turn):
                    self._ours.add(turn)
                    return turn
            time.sleep(_RETRY_S)

    def _lock(self, turn: int) -> bool:
        # The one turn that there is can be waited for. Among several we ask again: each may be the next that is free.
        only = self.count == 1
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX if only else fcntl.LOCK_EX | fcntl.LOCK_NB, 1, turn)
        except (BlockingIOError, PermissionError):
            return False
        return True
