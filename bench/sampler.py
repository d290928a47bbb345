"""Looks at a process every few milliseconds of CPU time that it uses, and counts in which step of a login it finds it.

It runs inside the watched processes (`bench.wardgate_server --sampled`) and in all that they fork. A look costs some
microseconds. What the event loop itself does (waiting in epoll, waking up) is seen as the Python code that runs next, or as `loop`
when that is nobody's; other threads are seen as whatever the main one does meanwhile.
"""

import json
import os
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

# The system rounds this up to its own tick, often four milliseconds.
EVERY_S = 0.001
WRITE_EVERY_LOOKS = 25

# The innermost frame that stands in one of these names the step. The first that fits wins.
STEPS: tuple[tuple[str, str], ...] = (
    ("wardgate/radius/endpoint.py", "sockets"),
    ("wardgate/radius/", "packet and door"),
    ("wardgate/storage/writer", "commit (writer process)"),
    ("wardgate/storage/batch", "commit"),
    ("wardgate/storage/wire", "commit"),
    ("wardgate/storage/", "storage: reads and statements"),
    ("wardgate/audit/recorder", "live log"),
    ("wardgate/audit/", "audit and timeline"),
    ("wardgate/policy/", "policy"),
    ("wardgate/factors/", "factors"),
    ("wardgate/directory/", "directory"),
    ("wardgate/account/", "engine"),
    ("wardgate/engine/", "engine"),
    ("wardgate/crypto.py", "keys: seals and fingerprints"),
    ("wardgate/passwords.py", "passwords"),
    ("wardgate/metrics", "metrics"),
    ("prometheus_client/", "metrics"),
)


class Sampler:
    """Counts; writes them to `folder` now and then, since a process may end by being killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._steps: Counter[str] = Counter()
        self._places: Counter[str] = Counter()
        self._looks = 0

    def start(self) -> None:
        """Begin in this process; after a fork the child begins anew."""
        signal.signal(signal.SIGPROF, self._look)
        # Interrupted calls go on by themselves.
        signal.siginterrupt(signal.SIGPROF, False)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def restart(self) -> None:
        """In a child: nothing of the parent's counts."""
        self._steps.clear()
        self._places.clear()
        self._looks = 0
        self.start()

    def _look(self, _: int, frame: FrameType | None) -> None:
        self._looks += 1
        step, place = "loop", ""
        while frame is not None:
            file = frame.f_code.co_filename
            place = place or f"{file.partition('wardgate/')[2] or file.rpartition('/')[2]}:{frame.f_code.co_name}"
            found = next((name for part, name in STEPS if part in file), None)
            if found is not None:
                step = found
                break
            frame = frame.f_back
        self._steps[step] += 1
        self._places[place] += 1
        if self._looks % WRITE_EVERY_LOOKS == 0:
            self._write()

    def _write(self) -> None:
        told = {"looks": self._looks, "steps": self._steps, "places": dict(self._places.most_common(60))}
        (self._folder / f"{os.getpid()}.json").write_text(json.dumps(told))


def watch(folder: Path) -> None:
    """Watch this process and those that it forks."""
    folder.mkdir(exist_ok=True)
    sampler = Sampler(folder)
    sampler.start()
    os.register_at_fork(after_in_child=sampler.restart)
