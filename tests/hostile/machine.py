"""Machines with faults, for servers of tests: a clock that can be set, a disk that takes its time. Needs a C compiler.

libfaketime would do for the clock, but makes `time.sleep` of Python fail under its faked wall clock (0.9.10, EINVAL).
"""

import mmap
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import neighbours

_SOURCE = Path(__file__).with_name("machine_faults.c")
_OFFSET = struct.Struct("=q")


def faulty(directory: Path) -> dict[str, str]:
    """The environment that makes a process see the faults that further variables ask for; compiled into this directory."""
    library = directory / "machine_faults.so"
    if not library.exists():
        command = [neighbours.executable("cc"), "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE), "-ldl"]
        subprocess.run(command, check=True, timeout=120)
    return {"LD_PRELOAD": str(library)}


def slow_syncs(directory: Path, milliseconds: float) -> dict[str, str]:
    """The environment of a machine whose disk needs so much longer for each sync."""
    return faulty(directory) | {"WARDGATE_TEST_SYNC_US": str(int(milliseconds * 1000))}


@dataclass(frozen=True, slots=True)
class SettableClock:
    """The wall clock of one machine. `variables`: the environment of its processes."""

    variables: dict[str, str]
    _page: mmap.mmap

    def set_ahead(self, seconds: float) -> None:
        """Let it be so far ahead of the real time from now on; negative: behind."""
        self._page[: _OFFSET.size] = _OFFSET.pack(int(seconds * 1_000_000_000))


@contextmanager
def settable_clock(directory: Path) -> Iterator[SettableClock]:
    """A clock that shows the right time until it is set."""
    path = directory / "clock"
    path.write_bytes(_OFFSET.pack(0))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), _OFFSET.size) as page:
        yield SettableClock(faulty(directory) | {"WARDGATE_TEST_CLOCK": str(path)}, page)
