"""How the workers of a node ask each other: a Unix socket of mode 0600 for each slot, `run/worker-<slot>.sock`.

One question for a connection, one line each way, the answer a JSON object:

    -> vitals
    <- {"slot": 1, ...}

Both ends look at the peer's user id, so that nobody else's figures are believed and nobody else is told ours. A sibling that does
not answer in time is left out: a scrape is never kept waiting by a worker that is dead or stands still.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
import stat
import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from wardgate.errors import SettingsError
from wardgate.jsons import dumps, loads

DIRECTORY: Final = "run"
# sun_path holds 108 octets on Linux and 104 on the BSDs, with the zero at the end.
MAX_PATH_BYTES: Final = 100
MAX_QUESTION_BYTES: Final = 64
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
MAX_CONNECTIONS: Final = 32
QUESTION_TIMEOUT_S: Final = 2.0
ANSWER_TIMEOUT_S: Final = 1.0

Answer = Callable[[], Mapping[str, object]]

log = structlog.get_logger("wardgate.siblings")


def meeting_place(data: Path) -> Path:
    """The directory of the sockets: in the data directory, or a private one with a short name when that path is too long.

    Raises SettingsError when the short one is not ours alone: its name can be guessed, and somebody may have been there first.
    """
    place = data.absolute() / DIRECTORY
    if len(os.fsencode(place)) + len("/worker-99.sock") <= MAX_PATH_BYTES:
        place.mkdir(mode=0o700, exist_ok=True)
        return place
    told = hashlib.sha256(os.fsencode(data.absolute())).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"wardgate-{os.geteuid()}-{told}"
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise SettingsError(f"{short} is not a directory of this user alone: remove it, or shorten the path of the data directory")
    return short


def socket_of(data: Path, slot: int) -> Path:
    """Where the worker of a slot listens. Raises SettingsError."""
    return meeting_place(data) / f"worker-{slot}.sock"


class WorkerSocket:
    """Answers the siblings' questions. `answers`: by question, what is told; made when it is asked."""

    def __init__(self, data: Path, slot: int, answers: Mapping[str, Answer]) -> None:
        self._path = socket_of(data, slot)
        self._answers = answers
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen. What stands at the path is the leftover of a worker that died, or of one that is about to go."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            listener.bind(os.fspath(self._path))
            self._path.chmod(0o600)
            self._inode = self._path.lstat().st_ino
        except OSError as error:
            listener.close()
            raise SettingsError(f"the socket {self._path} cannot be made: {error.strerror}") from error
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_QUESTION_BYTES)

    async def stop(self) -> None:
        """Stop listening. The next worker of this slot may listen there already: its socket stays."""
        if self._server is not None:
            self._server.close()
        running = list(self._connections)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        with contextlib.suppress(OSError):
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS or not _is_ours(writer.get_extra_info("socket")):
            writer.close()
            return
        self._connections.add(task)
        try:
            async with asyncio.timeout(QUESTION_TIMEOUT_S):
                answer = self._answers.get((await reader.readline()).decode("ascii", "replace").strip())
                if answer is not None:
                    writer.write(dumps(answer()).encode() + b"\n")
                    await writer.drain()
        except (OSError, ValueError, TimeoutError, asyncio.CancelledError) as error:
            log.debug("sibling_not_answered", cause=type(error).__name__)
        finally:
            self._connections.discard(task)
            writer.close()


@dataclass(frozen=True, slots=True)
class Told:
    """What siblings answered, by slot, and the slots that did not."""

    answers: Mapping[int, Mapping[str, Any]]
    missing: tuple[int, ...]


async def ask_siblings(data: Path, slots: Iterable[int], question: str, timeout_s: float = ANSWER_TIMEOUT_S) -> Told:
    """Ask all of them at once; nobody is waited for longer than `timeout_s`."""
    asked = tuple(slots)
    answers = await asyncio.gather(*(_ask(data, slot, question, timeout_s) for slot in asked))
    found = {slot: answer for slot, answer in zip(asked, answers, strict=True) if answer is not None}
    return Told(found, tuple(slot for slot in asked if slot not in found))


async def _ask(data: Path, slot: int, question: str, timeout_s: float) -> Mapping[str, Any] | None:
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(socket_of(data, slot), limit=MAX_ANSWER_BYTES)
            if not _is_ours(writer.get_extra_info("socket")):
                log.warning("sibling_is_not_ours", slot=slot)
                return None
            writer.write(question.encode() + b"\n")
            answer = loads(await reader.readline())
            return answer if isinstance(answer, dict) else None
    except (OSError, ValueError, TimeoutError, SettingsError) as error:
        log.debug("sibling_did_not_answer", slot=slot, cause=type(error).__name__)
        return None
    finally:
        if writer is not None:
            writer.close()


def _is_ours(connection: Any) -> bool:
    """Whether the process at the other end runs as our user, or as root; where the system does not tell, the mode decides."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return uid in (0, os.geteuid())
