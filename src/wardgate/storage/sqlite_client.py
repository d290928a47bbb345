"""Storage in a SQLite file that another process writes: what each of several workers has.

Reads go to the file, on connections of this worker's own. Units go to the writer (`writer.py`) over its Unix socket, any number of
them in flight; all that are given in one turn of the event loop leave in one piece.

**When the writer dies**, units that it was given fail, and nobody can say whether they were written: the caller's next conditional
write finds out. Units that it was not given yet, and new ones, wait a moment for its successor. Announcements may have been lost
meanwhile, so that afterwards every subscriber is called with an empty key.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from wardgate.errors import MessageError, Overloaded, StorageError, StorageUnavailable, WardgateError
from wardgate.storage.announcer import Announcer
from wardgate.storage.gathering import Gathering
from wardgate.storage.port import MAX_UNIT_BYTES, MAX_WAITING_UNITS, Announce, Append, ChainLink, Commit, Operation
from wardgate.storage.sqlite import MAX_BATCH_STEPS, MAX_BATCH_UNITS, SqliteReads, closed
from wardgate.storage.statements import MAX_FORMS, Statement, Statements, Step
from wardgate.storage.wire import PACKAGES, Frames, FrameTooLarge, Registration, check_function, frame, outcome_of, registration

# How long a unit waits for a writer's successor, and a worker that starts for the first writer.
SUCCESSOR_WAIT_S: Final = 1.0
FIRST_WAIT_S: Final = 10.0
CLOSE_WAIT_S: Final = 10.0
FIRST_RETRY_S: Final = 0.005
LONGEST_RETRY_S: Final = 0.25
READ_BYTES: Final = 2**18


# --- the connection --------------------------------------------------------------------------------------------------


class _Line:
    """The connection to the writer, made again and again until it is closed."""

    def __init__(
        self,
        path: Path,
        on_up: Callable[[str, int], None],
        on_frame: Callable[[Any], None],
        on_sent: Callable[[], None],
        on_down: Callable[[], None],
    ) -> None:
        self._path = str(path)
        self._on_up, self._on_frame, self._on_sent, self._on_down = on_up, on_frame, on_sent, on_down
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._frames = Frames()
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._unsent = memoryview(b"")
        self._retry_s = FIRST_RETRY_S
        self._retry: asyncio.TimerHandle | None = None
        self.up = False

    @property
    def clear(self) -> bool:
        """Whether a frame can be sent."""
        return self.up and not self._unsent

    def connect(self) -> None:
        """Try to connect, and again until it succeeds. The line is up when the writer has greeted."""
        self._retry = None
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            connection.connect(self._path)
        except OSError:
            connection.close()
            self._try_again()
            return
        self._socket = connection
        self._frames = Frames()
        self._loop.add_reader(connection, self._read)

    def send(self, data: bytes) -> bool:
        """Send a frame. True: the kernel has taken all of it; else `on_sent` tells when it has, or `on_down` that it never will."""
        self._unsent = memoryview(data)
        self._push()
        if self._unsent and self._socket is not None:
            self._loop.add_writer(self._socket, self._drain)
        return self.clear

    def close(self) -> None:
        """Hang up for good."""
        if self._retry is not None:
            self._retry.cancel()
        self._hang_up()

    def _push(self) -> None:
        if self._socket is None:
            return
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lose()

    def _drain(self) -> None:
        self._push()
        if self._socket is not None and not self._unsent:
            self._loop.remove_writer(self._socket)
            self._on_sent()

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            count = self._socket.recv_into(self._buffer)
            for content in self._frames.feed(self._buffer[:count]):
                self._take(content)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, MessageError, ValueError, TypeError, LookupError):
            count = 0
        if not count:
            self._lose()

    def _take(self, content: Any) -> None:
        if self.up:
            self._on_frame(content)
            return
        writer, epoch = content
        self.up = True
        self._retry_s = FIRST_RETRY_S
        self._on_up(writer, epoch)

    def _lose(self) -> None:
        if self._socket is None:
            return
        was_up = self.up
        self._hang_up()
        self._try_again()
        if was_up:
            self._on_down()

    def _try_again(self) -> None:
        self._retry = self._loop.call_later(self._retry_s, self.connect)
        self._retry_s = min(self._retry_s * 2, LONGEST_RETRY_S)

    def _hang_up(self) -> None:
        self.up = False
        self._unsent = memoryview(b"")
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None


# --- the storage -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Waiting:
    """A unit: its steps, who is to be told, who waits, and since when it waits for a successor (0: it does not)."""

    steps: tuple[Step, ...]
    announcements: list[tuple[str, str]]
    future: "asyncio.Future[Commit]"
    since: float


class SqliteClientStorage(SqliteReads):
    """Satisfies `port.Storage`. Made by `connect`; belongs to the event loop that was running then."""

    def __init__(self, path: Path, writer_socket: Path, packages: tuple[str, ...] = PACKAGES) -> None:
        super().__init__(path, Statements(lambda function: check_function(function, packages)))
        self._loop = asyncio.get_running_loop()
        self._line = _Line(writer_socket, self._is_up, self._answered, self._is_sent, self._is_down)
        self._announcer = Announcer()
        self._waiting: deque[_Waiting] = deque()
        # Part of their frame is still here, so that the writer has none of them.
        self._sending: list[_Waiting] = []
        self._in_flight: deque[_Waiting] = deque()
        self._scheduled = False
        self._gathering = Gathering()
        self._numbers: dict[Statement, int] = {}
        self._registrations: list[Registration] = []
        self._chain: tuple[str, int] | None = None
        self._writers_chain: tuple[str, int] | None = None
        self._no_events: str | None = "an Append came before use_chain"
        self._sweeper: asyncio.TimerHandle | None = None
        self._first_up = asyncio.Event()
        self._drained: asyncio.Event | None = None
        self.on_batch: Callable[[int, float], None] | None = None
        self.on_failure: Callable[[], None] | None = None

    @classmethod
    async def connect(cls, path: Path, writer_socket: Path, packages: tuple[str, ...] = PACKAGES) -> Self:
        """Connect to the writer of the file at `path`, which makes the file ready before it greets. Raises StorageUnavailable."""
        storage = cls(path, writer_socket, packages)
        storage._line.connect()
        try:
            async with asyncio.timeout(FIRST_WAIT_S):
                await storage._first_up.wait()
        except TimeoutError as error:
            await storage.close()
            raise StorageUnavailable(f"the process that writes the database does not answer at {writer_socket}") from error
        return storage

    async def commit(self, operations: Sequence[Operation]) -> Commit:
        """Write a unit durably, all or nothing."""
        steps = self._statements.unit(operations)
        if self._closed:
            raise closed()
        if len(self._waiting) + len(self._sending) + len(self._in_flight) >= MAX_WAITING_UNITS:
            raise Overloaded(f"{MAX_WAITING_UNITS} writes wait already")
        kinds = set(map(type, operations))
        if self._no_events is not None and Append in kinds:
            raise StorageError(self._no_events)
        announcements = [(item.topic, item.key) for item in operations if type(item) is Announce] if Announce in kinds else []
        future: asyncio.Future[Commit] = self._loop.create_future()
        self._waiting.append(_Waiting(steps, announcements, future, 0.0 if self._line.up else self._loop.time()))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._gather)
        return await future

    def use_chain(self, chain: ChainLink) -> None:
        """Say which chain `Append` is to extend. The writer has it; an event for another one is refused."""
        self._chain = (chain.writer, chain.epoch)
        self._compare_chains()

    def subscribe(self, topic: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback(key)` after each commit that announced `topic`; returns how to stop it."""
        return self._announcer.subscribe(topic, callback)

    async def close(self) -> None:
        """Finish the units that wait, then let go of the file and of the writer."""
        self._closed = True
        if self._busy():
            self._drained = self._drained or asyncio.Event()
            try:
                async with asyncio.timeout(CLOSE_WAIT_S):
                    await self._drained.wait()
            except TimeoutError:
                self._fail_all(StorageUnavailable("the storage was closed; it is unknown whether the unit was written"))
        self._line.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._end_turn()
        await asyncio.to_thread(self._stop_reading)

    def depths(self) -> tuple[int, int]:
        """How many units and long reads wait or are in work."""
        return len(self._waiting) + len(self._sending) + len(self._in_flight), self._reads

    def _busy(self) -> bool:
        return bool(self._waiting or self._sending or self._in_flight)

    def _compare_chains(self) -> None:
        if self._chain is not None:
            same = self._writers_chain is None or self._chain == self._writers_chain
            self._no_events = None if same else f"the writer extends the chain {self._writers_chain}, not {self._chain}"

    # --- sending ---

    def _gather(self) -> None:
        if self._gathering.goes_on(len(self._waiting)):
            self._loop.call_soon(self._gather)
            return
        self._scheduled = False
        self._send()

    def _send(self) -> None:
        while self._waiting and self._line.clear:
            units = self._take()
            data = self._encoded(units)
            while data is None and len(units) > 1:
                self._waiting.extendleft(reversed(units[len(units) // 2 :]))
                del units[len(units) // 2 :]
                data = self._encoded(units)
            if data is None:
                _settle(
                    units[0].future, StorageError(f"the values of a unit are more than {MAX_UNIT_BYTES} bytes, or not plain data")
                )
                continue
            self._registrations = []
            self._sending = units
            if self._line.send(data):
                self._is_handed_over()
        self._note_drained()

    def _take(self) -> list[_Waiting]:
        units: list[_Waiting] = []
        steps = 0
        while self._waiting and len(units) < MAX_BATCH_UNITS and steps < MAX_BATCH_STEPS:
            units.append(self._waiting.popleft())
            steps += len(units[-1].steps)
        return units

    def _encoded(self, units: list[_Waiting]) -> bytes | None:
        """Their frame; None when there is none that could hold them."""
        if len(self._numbers) >= MAX_FORMS:
            self._numbers.clear()
            self._registrations = []
        wired = [self._wired(unit.steps) for unit in units]
        announcing = {place: unit.announcements for place, unit in enumerate(units) if unit.announcements}
        try:
            return frame((self._registrations, wired, announcing))
        except (FrameTooLarge, ValueError):  # ValueError: `marshal` does not know it, or it is nested too deeply
            return None

    def _wired(self, steps: tuple[Step, ...]) -> tuple[tuple[int, tuple[Any, ...]], ...]:
        numbers = self._numbers
        try:
            return tuple([(numbers[statement], values) for statement, values in steps])
        except KeyError:
            for statement, _ in steps:
                if statement not in numbers:
                    numbers[statement] = len(numbers)
                    self._registrations.append(registration(numbers[statement], statement))
        return tuple([(numbers[statement], values) for statement, values in steps])

    def _is_handed_over(self) -> None:
        self._in_flight.extend(self._sending)
        self._sending = []

    # --- what the line says ---

    def _is_sent(self) -> None:
        self._is_handed_over()
        self._send()

    def _is_up(self, writer: str, epoch: int) -> None:
        self._writers_chain = (writer, epoch)
        self._compare_chains()
        self._numbers.clear()
        self._registrations = []
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        if self._first_up.is_set():
            self._announcer.tell_all(self._loop)
        self._first_up.set()
        self._send()

    def _answered(self, content: Any) -> None:
        outcomes, announcements, batch, failed = content
        if len(outcomes) > len(self._in_flight):
            raise MessageError("more answers than units")
        self._announcer.tell(self._loop, [Announce(topic, key) for topic, key in announcements])
        for wired in outcomes:
            outcome = outcome_of(wired)
            _settle(self._in_flight.popleft().future, outcome)
        if batch is not None and self.on_batch is not None:
            self._loop.call_soon(self.on_batch, *batch)
        if failed:
            self._tell_failure()
        self._note_drained()

    def _is_down(self) -> None:
        lost = StorageUnavailable("the process that writes the database was lost: it is unknown whether the unit was written")
        while self._in_flight:
            _settle(self._in_flight.popleft().future, lost)
        self._waiting.extendleft(reversed(self._sending))
        self._sending = []
        self._writers_chain = None
        self._compare_chains()
        now = self._loop.time()
        for unit in self._waiting:
            unit.since = now
        self._sweeper = self._loop.call_later(SUCCESSOR_WAIT_S, self._sweep)
        self._tell_failure()
        self._note_drained()

    def _sweep(self) -> None:
        """No successor yet: whoever has waited for long enough is told."""
        late = self._loop.time() - SUCCESSOR_WAIT_S
        gone = StorageUnavailable("the process that writes the database is gone; nothing of the unit was written")
        told = 0
        while self._waiting and self._waiting[0].since <= late:
            _settle(self._waiting.popleft().future, gone)
            told += 1
        if told:
            self._tell_failure()
        self._sweeper = self._loop.call_later(SUCCESSOR_WAIT_S / 10, self._sweep)
        self._note_drained()

    def _fail_all(self, error: StorageUnavailable) -> None:
        for unit in (*self._in_flight, *self._sending, *self._waiting):
            _settle(unit.future, error)
        self._in_flight.clear()
        self._waiting.clear()
        self._sending = []

    def _tell_failure(self) -> None:
        if self.on_failure is not None:
            self._loop.call_soon(self.on_failure)

    def _note_drained(self) -> None:
        if self._drained is not None and not self._busy():
            self._drained.set()


def _settle(future: "asyncio.Future[Commit]", outcome: Commit | WardgateError) -> None:
    if future.done():  # its caller was cancelled; the unit stands all the same
        return
    if isinstance(outcome, WardgateError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
