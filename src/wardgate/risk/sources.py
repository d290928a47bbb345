"""The operator's files: read whole, kept in memory, read again when they have changed.

Whole, because whoever renews such a file may cut it short in place, which ends a process that has it mapped. One that cannot be
read or makes no sense leaves what was known before in force, and is told; without anything before, nothing is known.
"""

import os
import stat
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import structlog

from wardgate.errors import MessageError

MAX_FILE_BYTES: Final = 128 * 2**20
MAX_LIST_BYTES: Final = 8 * 2**20

T = TypeVar("T")
log = structlog.get_logger("wardgate.risk")


class Watched(Generic[T]):
    """What a file says, parsed. `parse` raises MessageError, or returns with the value what is wrong in parts of it."""

    def __init__(self, path: str, parse: Callable[[bytes], tuple[T, list[str]]], most_bytes: int) -> None:
        self.path = path
        self.value: T | None = None
        self.problem: str | None = None
        self._parse = parse
        self._most_bytes = most_bytes
        self._seen: tuple[int, int, int] | None = None

    def look(self) -> None:
        """Read the file if it is another than before. Blocks for as long as the disk and the parsing take."""
        try:
            content = self._changed()
            if content is None:
                return
            self.value, faults = self._parse(content)
            problem = "; ".join(faults) or None
        except OSError as error:
            self._seen, problem = None, error.strerror or type(error).__name__
        except MessageError as error:
            problem = error.message
        if problem is not None and problem != self.problem:
            log.warning("risk_file", file=self.path, problem=problem, in_force="what it said before" if self.value else "nothing")
        self.problem = problem

    def _changed(self) -> bytes | None:
        # Without waiting for a writer, should it be a pipe.
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise MessageError("it is no ordinary file")
            mark = (status.st_mtime_ns, status.st_size, status.st_ino)
            if mark == self._seen:
                return None
            if status.st_size > self._most_bytes:
                self._seen = mark
                raise MessageError(f"it is larger than {self._most_bytes // 2**20} MiB")
            content = bytearray()
            while len(content) <= self._most_bytes and (part := file.read(2**20)):
                content += part
            self._seen = mark
            return bytes(content)
