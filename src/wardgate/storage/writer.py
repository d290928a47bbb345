"""The process that alone writes the SQLite file, for the workers beside it.

Two processes that write one SQLite file lose to its sleeping lock. So workers send their units here over a Unix socket; all that
gathered while the last sync ran becomes one durable transaction, and each worker gets its answers after COMMIT. What one worker
announces all of them hear of.

It blocks and has no event loop: it waits for the disk most of the time, and while it does the kernel keeps what the workers send.
Nothing grows without a bound: of a worker that has much waiting, or that does not fetch its answers, nothing more is read.
`wire.py` says what travels. Only this process makes checkpoints (`batch.py` says why).
"""

import gc
import os
import select
import signal
import socket
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, Final

from wardgate.errors import MessageError, StorageError, StorageUnavailable, WardgateError
from wardgate.storage.batch import BatchWriter, FileLocked, Outcome
from wardgate.storage.checkpoints import CheckpointNews
from wardgate.storage.port import MAX_UNIT_OPERATIONS, MAX_WAITING_UNITS, ChainLink, Committed
from wardgate.storage.sqlite import LOCK_WAIT_S, MAX_BATCH_STEPS, MAX_BATCH_UNITS, connect_writer, prepare, tried
from wardgate.storage.statements import Statement, Step
from wardgate.storage.wire import PACKAGES, Frames, FrameTooLarge, frame, registered, wire_outcome

MAX_WORKERS: Final = 64
# Units of one worker that were read and are not written yet; above it nothing more is read from it.
MAX_WORKER_UNITS: Final = 2 * MAX_BATCH_UNITS
# Answers that a worker did not fetch. Whoever is so far behind has stopped: it may connect again.
MAX_UNSENT_BYTES: Final = 64 * 2**20
READ_BYTES: Final = 2**18
BACKLOG: Final = MAX_WORKERS
# How long workers may take to fetch their last answers when the writer ends.
GOODBYE_S: Final = 2.0
# The longest that a disk is waited for. Within it a slow sync is work, and whoever ended this process would only wait anew;
# beyond it the loop counts as stuck.
STUCK_S: Final = 30.0
_CREDENTIALS = struct.Struct("3i")
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL

Announcements = list[tuple[str, str]]


def listen(path: Path) -> socket.socket:
    """The socket on which workers reach the writer: for this user alone. What an earlier one left at `path` is removed.

    The supervisor makes it and keeps it, so that a successor serves the same one. Raises StorageUnavailable.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        os.fchmod(listening.fileno(), 0o600)  # Linux takes the mode over at bind: never is it there with another
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise StorageUnavailable(f"cannot listen at {path}: {error}") from error
    return listening


class Progress:
    """Whether the writer gets on: it notes when it begins a turn of its work and when it rests; another thread asks."""

    def __init__(self) -> None:
        self._busy_since: float | None = None

    def begin(self) -> None:
        """A turn of work begins."""
        self._busy_since = monotonic()

    def rest(self) -> None:
        """Nothing is in work: it waits for others."""
        self._busy_since = None

    @property
    def stuck(self) -> bool:
        """Whether one turn has lasted for too long."""
        since = self._busy_since
        return since is not None and monotonic() - since >= STUCK_S


def run_writer(
    path: Path,
    listening: socket.socket,
    chain: ChainLink,
    ready: Callable[[], None],
    packages: tuple[str, ...] = PACKAGES,
    progress: Progress | None = None,
) -> None:
    """Make the file ready, call `ready`, and write for whoever connects until SIGTERM; then finish what was read.

    SIGINT and SIGHUP are ignored: they reach every process of a terminal, and the workers still have something to write.
    `packages`: those whose functions a `Modify` may name. `progress` is kept up to date. Raises as `sqlite.prepare` does.
    """
    ringing, bell = socket.socketpair()
    bell.setblocking(False)
    signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)  # the bell rings
    prepare(path)
    batches = BatchWriter(lambda: connect_writer(path))
    try:
        batches.use_chain(chain)
        writer = Writer(batches, listening, ringing, (chain.writer, chain.epoch), packages, progress)
        gc.freeze()  # what was loaded stays: it need not be looked at again and again
        ready()
        writer.serve()
    finally:
        batches.close()
        signal.set_wakeup_fd(-1)
        ringing.close()
        bell.close()


class _Worker:
    """The connection of one worker."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.frames = Frames()
        self.statements: dict[int, Statement] = {}
        self.unsent = bytearray()
        self.waiting = 0
        self.watched = select.POLLIN
        self.gone = False


_Waiting = tuple[_Worker, list[Step], Announcements]


class Writer:
    """The loop: read what is there, write all of it in one transaction, answer."""

    def __init__(
        self,
        batches: BatchWriter,
        listening: socket.socket,
        ringing: socket.socket,
        chain: tuple[str, int],
        packages: tuple[str, ...],
        progress: Progress | None = None,
    ) -> None:
        self._batches = batches
        self._listening = listening
        self._ringing = ringing
        self._greeting = frame(chain)
        self._packages = packages
        self._progress = progress or Progress()
        self._checkpoints = CheckpointNews()
        self._workers: dict[int, _Worker] = {}
        self._paused: set[_Worker] = set()
        self._queue: deque[_Waiting] = deque()
        self._stopping = False
        self._buffer = memoryview(bytearray(READ_BYTES))  # one for all: what is read is taken in at once
        self._poll = select.poll()

    def serve(self) -> None:
        """Until the bell rings."""
        self._listening.setblocking(False)
        self._poll.register(self._listening, select.POLLIN)
        self._poll.register(self._ringing, select.POLLIN)
        while not self._stopping:
            self._progress.rest()
            happened = self._poll.poll(0 if self._queue else None)
            self._progress.begin()
            for descriptor, events in happened:
                self._look(descriptor, events)
            if self._queue:
                self._write()
        self._finish()

    def _finish(self) -> None:
        """What is there already is still read, written and answered."""
        for worker in tuple(self._workers.values()):
            self._read(worker)
        while self._queue:
            self._progress.begin()
            self._write()
        until = monotonic() + GOODBYE_S
        while any(worker.unsent for worker in self._workers.values()) and monotonic() < until:
            for descriptor, events in self._poll.poll(50):
                if descriptor in self._workers and events & (select.POLLOUT | _GONE):
                    self._send(self._workers[descriptor], b"")
        for worker in tuple(self._workers.values()):
            self._drop(worker)

    # --- connections ---

    def _look(self, descriptor: int, events: int) -> None:
        worker = self._workers.get(descriptor)
        if worker is None:
            if descriptor == self._listening.fileno():
                self._accept()
            elif descriptor == self._ringing.fileno():
                self._stopping = True
            return
        if events & select.POLLOUT:
            self._send(worker, b"")
        if events & select.POLLIN:
            self._read(worker)
        elif events & _GONE:
            self._drop(worker)

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:  # it has gone again
            return
        if len(self._workers) >= MAX_WORKERS or not _is_ours(connection):
            connection.close()
            return
        connection.setblocking(False)
        worker = self._workers[connection.fileno()] = _Worker(connection)
        self._poll.register(connection, worker.watched)
        self._send(worker, self._greeting)

    def _read(self, worker: _Worker) -> None:
        try:
            count = worker.connection.recv_into(self._buffer)
            if count:
                for content in worker.frames.feed(self._buffer[:count]):
                    self._take_in(worker, *content)
                self._watch(worker)
                return
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, MessageError, TypeError, ValueError, LookupError, AttributeError):
            # Broken off, or not what a worker of ours says. What it sent whole before is written.
            self._drop(worker)
            return
        self._drop(worker)

    def _take_in(
        self,
        worker: _Worker,
        registrations: list[Any],
        units: list[tuple[tuple[int, tuple[Any, ...]], ...]],
        announcing: dict[int, Announcements],
    ) -> None:
        statements = worker.statements
        for given in registrations:
            number, statement = registered(given, self._packages)
            statements[number] = statement
        news = {place: [(_text(topic), _text(key)) for topic, key in pairs] for place, pairs in announcing.items()}
        taken: list[_Waiting] = []
        for place, unit in enumerate(units):
            if len(unit) > MAX_UNIT_OPERATIONS:
                raise MessageError("a unit of too many operations")
            steps = [(statements[number], values) for number, values in unit]
            taken.append((worker, steps, news.get(place, [])))
        self._queue.extend(taken)
        worker.waiting += len(taken)

    def _send(self, worker: _Worker, data: bytes) -> None:
        try:
            if worker.unsent:
                worker.unsent += data
                del worker.unsent[: worker.connection.send(worker.unsent)]
            elif data:
                worker.unsent += data[worker.connection.send(data) :]
        except (BlockingIOError, InterruptedError):
            if not worker.unsent:
                worker.unsent += data
        except OSError:
            self._drop(worker)
            return
        if len(worker.unsent) > MAX_UNSENT_BYTES:
            self._drop(worker)
            return
        self._watch(worker)

    def _watch(self, worker: _Worker) -> None:
        """Read from a worker as long as it has not too much waiting; tell when it takes more of its answers."""
        if worker.gone:
            return
        room = worker.waiting < MAX_WORKER_UNITS and len(self._queue) < MAX_WAITING_UNITS and not worker.unsent
        watched = (select.POLLIN if room else 0) | (select.POLLOUT if worker.unsent else 0)
        if watched != worker.watched:
            worker.watched = watched
            self._poll.modify(worker.connection, watched)
            (self._paused.discard if room else self._paused.add)(worker)

    def _drop(self, worker: _Worker) -> None:
        if worker.gone:
            return
        worker.gone = True
        self._paused.discard(worker)
        del self._workers[worker.connection.fileno()]
        self._poll.unregister(worker.connection)
        worker.connection.close()

    # --- batches ---

    def _write(self) -> None:
        batch = self._take()
        outcomes, took, failed = self._written([steps for _, steps, _ in batch])
        answers: dict[_Worker, list[Any]] = {}
        announced: Announcements = []
        for (worker, _, announcements), outcome in zip(batch, outcomes, strict=True):
            worker.waiting -= 1
            answers.setdefault(worker, []).append(wire_outcome(outcome))
            if announcements and type(outcome) is Committed:
                announced += announcements
        told = None if took is None else (len(batch), took)
        for worker, answer in answers.items():
            if not worker.gone:
                self._send(worker, _answer(answer, announced, told, failed))
                told = None
        if announced:
            news = frame(([], announced, None, False))
            for worker in [each for each in self._workers.values() if each not in answers]:
                self._send(worker, news)
        for worker in tuple(self._paused):
            self._watch(worker)
        if self._batches.checkpoint_due:
            # A failure costs no unit: the log keeps them, and the next is due soon.
            self._checkpoints.note(tried(self._batches.checkpoint))

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        steps = 0
        while self._queue and len(batch) < MAX_BATCH_UNITS and steps < MAX_BATCH_STEPS:
            batch.append(self._queue.popleft())
            steps += len(batch[-1][1])
        return batch

    def _written(self, units: list[list[Step]]) -> tuple[list[Outcome], float | None, bool]:
        """The outcome of each unit, how long the disk took, and whether the batch as a whole failed."""
        outcomes = tried(self._batches.execute, units)
        if isinstance(outcomes, FileLocked):
            outcomes = tried(self._batches.execute, units, LOCK_WAIT_S)
        took = outcomes if isinstance(outcomes, WardgateError) else tried(self._batches.commit)
        if isinstance(outcomes, WardgateError) or isinstance(took, WardgateError):
            error = took if isinstance(took, WardgateError) else StorageUnavailable("a batch of writes failed")
            failure: Outcome = StorageUnavailable(error.message, error.code)
            return [failure] * len(units), None, True
        return outcomes, took, False


def _text(given: object) -> str:
    if type(given) is str:
        return given
    raise MessageError("an announcement that is not text")


def _answer(outcomes: list[Any], announced: Announcements, told: tuple[int, float] | None, failed: bool) -> bytes:
    """The frame with these outcomes; where their results are too large for one, as many frames as it takes."""
    try:
        return frame((outcomes, announced, told, failed))
    except FrameTooLarge:
        if len(outcomes) > 1:
            half = len(outcomes) // 2
            return _answer(outcomes[:half], announced, told, failed) + _answer(outcomes[half:], [], None, False)
        error = StorageError("the unit was written; its results are larger than a worker takes")
        return frame(([wire_outcome(error)], announced, told, failed))


def _is_ours(connection: socket.socket) -> bool:
    """Whether a process of our own user is at the other end. Elsewhere than on Linux the mode of the socket has to do."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    _, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return bool(user == os.geteuid())
