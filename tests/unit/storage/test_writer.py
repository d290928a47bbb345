"""The writer process and its clients: who may connect, what is refused, who waits for whom, what an end and a successor mean."""

import asyncio
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.storage.rows import TextChain, brake, brake_key, committed, event, ids, insert, message
from tests.conformance.storage.writers import PACKAGES, TIMEOUT_S, WriterProcess, processes
from wardgate.errors import StorageError, StorageUnavailable
from wardgate.storage import sqlite_client, wire, writer
from wardgate.storage.batch import BatchWriter
from wardgate.storage.port import Announce, Committed, Insert, Modified, Modify, Row
from wardgate.storage.sqlite_client import SqliteClientStorage
from wardgate.storage.wire import Frames, frame, registration

Connect = Callable[[WriterProcess], Any]


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[WriterProcess]:
    """A writer."""
    it = WriterProcess(tmp_path)
    yield it
    it.close()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects workers, and closes them in the end."""
    opened: list[SqliteClientStorage] = []

    async def one(to: WriterProcess) -> SqliteClientStorage:
        storage = await SqliteClientStorage.connect(to.path, to.socket, PACKAGES)
        storage.use_chain(TextChain())
        opened.append(storage)
        return storage

    yield one
    for storage in opened:
        await storage.close()


class Peer:
    """Speaks to the writer by hand."""

    def __init__(self, to: WriterProcess) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(str(to.socket))
        self.frames = Frames()
        self.came: list[Any] = []

    def receive(self) -> Any:
        """The next frame; None when the writer has hung up."""
        while not self.came:
            try:
                data = self.socket.recv(2**16)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.came += self.frames.feed(data)
        return self.came.pop(0)


@pytest.fixture
def peer(writing: WriterProcess) -> Iterator[Peer]:
    """A connection that was greeted."""
    it = Peer(writing)
    assert it.receive() == ("w1", 1)
    yield it
    it.socket.close()


ROW = tuple(brake("by hand").values())
WRITE = (0, 2, "brake", f"INSERT INTO brake VALUES ({', '.join('?' * len(ROW))})", "", True, "")


def _unit(*values: object) -> object:
    return ((0, tuple(values)),)


# --- who may connect ---


async def test_the_socket_is_for_its_owner_alone(writing: WriterProcess) -> None:
    assert stat.S_IMODE(writing.socket.stat().st_mode) == 0o600


def _somebody_else() -> None:
    """In the writer: its user has another number than whoever connects."""
    os.geteuid = lambda: -7


def test_a_stranger_who_reaches_the_socket_is_not_served(tmp_path: Path) -> None:
    if not hasattr(socket, "SO_PEERCRED"):
        pytest.skip("this system does not say who connects")
    it = WriterProcess(tmp_path, prepare=_somebody_else)
    try:
        assert Peer(it).receive() is None
    finally:
        it.close()


def _few_workers() -> None:
    writer.MAX_WORKERS = 2  # type: ignore[misc]


def test_the_number_of_connections_is_bounded(tmp_path: Path) -> None:
    it = WriterProcess(tmp_path, prepare=_few_workers)
    try:
        peers = [Peer(it) for _ in range(3)]
        assert [peer.receive() for peer in peers] == [("w1", 1), ("w1", 1), None]
        peers[0].socket.close()
        while Peer(it).receive() is None:
            pass
    finally:
        it.close()


# --- what is refused ---


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff",
        (wire.MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"\0\0\0\0",
        b"\0\0\0\x04\xff\xff\xff\xff",
        frame(None),
        frame(7),
        frame("text"),
        frame(([], [])),
        frame(([], 5, {})),
        frame(([], [5], {})),
        frame(([], [((0, ()),)], {})),
        frame(([], [(([], ()),)], {})),
        frame(([WRITE], [((0, (), ()),)], {})),
        frame(([WRITE], [_unit(*ROW)], 3)),
        frame(([WRITE], [_unit(*ROW)], {0: 3})),
        frame(([WRITE], [_unit(*ROW)], {0: [("t", 3)]})),
        frame(([WRITE], [_unit(*ROW), ((1, ()),)], {})),
        frame(([WRITE], [((0, ROW),) * 5001], {})),
        frame(([(-1, *WRITE[1:])], [], {})),
        frame(([(2**20, *WRITE[1:])], [], {})),
        frame(([("0", *WRITE[1:])], [], {})),
        frame(([WRITE[:3]], [], {})),
        frame(([(0, 2, "nothing", "", "", True, "")], [], {})),
        *[
            frame(([(0, 5, "brake", "", "", True, name)], [], {}))
            for name in (
                "os:system",
                "wardgate.crypto:os.system",
                "wardgate.storage.writer:os",
                "wardgate.storage.writer:nothing",
                "wardgate.storage.nothing:nothing",
                "wardgate.storage.batch:BatchWriter",
                "wardgate.storage.writer:frame",
                "wardgatex:run",
                ":run",
                "wardgate",
            )
        ],
    ],
)
async def test_a_malformed_frame_closes_its_connection_and_harms_nobody(
    writing: WriterProcess, peer: Peer, connect: Connect, data: bytes
) -> None:
    storage = await connect(writing)
    peer.socket.sendall(data)
    # One that is shorter than it says is closed by its sender.
    peer.socket.shutdown(socket.SHUT_WR)
    assert await asyncio.to_thread(peer.receive) is None
    await insert(storage, "brake", brake("a"))
    assert [item["key"] for item in await storage.find("brake")] == [b"a"]


@pytest.mark.parametrize(
    "values",
    [(1,), (*ROW, 1), (*ROW[:3], [], *ROW[4:]), (*ROW[:3], 2**70, *ROW[4:]), ("\ud800", *ROW[1:]), (*ROW[:2], 1j, *ROW[3:])],
)
async def test_a_unit_with_values_that_do_not_fit_fails_alone(
    writing: WriterProcess, peer: Peer, connect: Connect, values: tuple[object, ...]
) -> None:
    storage = await connect(writing)
    peer.socket.sendall(frame(([WRITE], [_unit(*ROW), _unit(*values), _unit(*ROW[:1], b"other", *ROW[2:])], {})))
    outcomes, _, _, failed = await asyncio.to_thread(peer.receive)
    assert ([outcomes[0], outcomes[1][0], outcomes[2]], failed) == ([(None,), "StorageError", (None,)], False)
    assert len(await storage.find("brake")) == 2


async def test_half_a_frame_of_a_worker_that_dies_is_not_written(writing: WriterProcess, peer: Peer, connect: Connect) -> None:
    storage = await connect(writing)
    whole = frame(([WRITE], [_unit(*ROW)], {}))
    peer.socket.sendall(whole[:-1])
    peer.socket.close()
    await insert(storage, "brake", brake("a"))
    assert [item["key"] for item in await storage.find("brake")] == [b"a"]


async def test_a_worker_that_dies_without_waiting_for_the_answer_has_its_unit_written(
    writing: WriterProcess, peer: Peer, connect: Connect
) -> None:
    storage = await connect(writing)
    peer.socket.sendall(frame(([WRITE], [_unit(*ROW)], {})))
    assert await asyncio.to_thread(peer.receive) == ([(None,)], [], pytest.approx((1, 0.0), abs=60), False)
    peer.socket.close()
    assert len(await storage.find("brake")) == 1


def _little_patience() -> None:
    writer.MAX_UNSENT_BYTES = 100_000  # type: ignore[misc]


async def test_a_worker_that_never_fetches_what_it_is_told_is_cut_off(tmp_path: Path, connect: Connect) -> None:
    it = WriterProcess(tmp_path, prepare=_little_patience)
    try:
        silent = Peer(it)
        assert silent.receive() == ("w1", 1)
        storage = await connect(it)
        for _ in range(100):
            await committed(storage, *[Announce("t", "x" * 10_000)] * 10)
        told = 0
        while await asyncio.to_thread(silent.receive) is not None:
            told += 1
        assert 0 < told < 100
    finally:
        it.close()


def _other_function(current: Row | None, arguments: Row) -> Modified:
    return Modified(None)


async def test_a_function_of_another_package_is_refused_before_it_is_sent(writing: WriterProcess) -> None:
    storage = await SqliteClientStorage.connect(writing.path, writing.socket)
    for function in (_other_function, lambda current, arguments: Modified(None), os.system, str):
        with pytest.raises(StorageError):
            await storage.commit([Modify("brake", brake_key("a"), function)])  # type: ignore[arg-type]
    await insert(storage, "brake", brake("a"))
    await storage.close()


async def test_an_event_for_another_chain_than_the_writers_is_refused(writing: WriterProcess, connect: Connect) -> None:
    storage = await connect(writing)
    storage.use_chain(TextChain(epoch=2))
    with pytest.raises(StorageError, match="chain"):
        await storage.commit([event("a")])
    storage.use_chain(TextChain())
    assert await committed(storage, event("a")) == (1,)


# --- large and many ---


async def test_a_unit_that_is_larger_than_a_frame_fails_alone(
    writing: WriterProcess, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await connect(writing)
    await insert(storage, "outbox", message("first"))
    monkeypatch.setattr(wire, "MAX_FRAME_BYTES", 20_000)
    units = [[Insert("outbox", message(f"{n}", user_name="x" * (30_000 if n == 7 else 3_000)))] for n in range(20)]
    outcomes = await asyncio.gather(*[storage.commit(unit) for unit in units], return_exceptions=True)
    assert [n for n, outcome in enumerate(outcomes) if outcome != Committed((None,))] == [7]
    assert isinstance(outcomes[7], StorageError)


async def test_units_that_fill_every_buffer_are_all_written_in_order(writing: WriterProcess, connect: Connect) -> None:
    storage = await connect(writing)
    units = [[Insert("outbox", message(f"{n:04}", user_name="x" * 20_000)), event(f"{n:04}")] for n in range(1500)]
    outcomes = await asyncio.gather(*[storage.commit(unit) for unit in units])
    assert outcomes == [Committed((None, n)) for n in range(1, 1501)]


async def test_forms_beyond_the_bound_are_registered_anew(
    writing: WriterProcess, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await connect(writing)
    monkeypatch.setattr(sqlite_client, "MAX_FORMS", 2)
    for n in range(3):
        await asyncio.gather(
            insert(storage, "brake", brake(f"{n}")),
            insert(storage, "outbox", message(f"{n}")),
            committed(storage, event(f"{n}")),
            committed(storage, Announce("t", "k")),
        )
    assert (await storage.count("brake"), await storage.count("outbox"), await storage.count("audit_event")) == (3, 3, 3)


# --- a slow disk ---


class SlowDisk:
    """Makes every sync of a writer wait for the test."""

    def __init__(self) -> None:
        self.may_go_on = processes.Semaphore(0)  # not an Event: whoever waits for it is killed
        self.syncing = processes.Semaphore(0)

    def __call__(self) -> None:
        """In the writer."""
        commit = BatchWriter.commit

        def slow(batches: BatchWriter) -> float | None:
            self.syncing.release()
            self.may_go_on.acquire(timeout=TIMEOUT_S)
            self.may_go_on.release()
            return commit(batches)

        BatchWriter.commit = slow  # type: ignore[method-assign,assignment]

    def go_on(self) -> None:
        """From now on the disk is quick."""
        self.may_go_on.release()


async def test_the_loop_goes_on_while_a_slow_disk_syncs_and_what_gathers_shares_the_next_sync(
    tmp_path: Path, connect: Connect
) -> None:
    disk = SlowDisk()
    it = WriterProcess(tmp_path, prepare=disk)
    try:
        storage = await connect(it)
        batches: list[int] = []
        storage.on_batch = lambda units, seconds: batches.append(units)
        first = asyncio.ensure_future(storage.commit([Insert("outbox", message("first"))]))
        assert await asyncio.to_thread(disk.syncing.acquire, True, TIMEOUT_S)
        later = [asyncio.ensure_future(storage.commit([Insert("outbox", message(f"{n}"))])) for n in range(50)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert await storage.get("outbox", {"id": "first"}) is None
        assert not any(task.done() for task in (first, *later))
        disk.go_on()
        await asyncio.gather(first, *later)
        assert batches == [1, 50]
    finally:
        await storage.close()
        it.close()


# --- the end of a writer, and its successor ---


async def test_sigterm_ends_the_writer_after_it_has_answered(writing: WriterProcess, connect: Connect) -> None:
    storage = await connect(writing)
    await insert(storage, "outbox", message("first"))
    pending = [asyncio.ensure_future(storage.commit([Insert("outbox", message(f"{n}"))])) for n in range(200)]
    for _ in range(5):
        await asyncio.sleep(0)  # as many turns as it takes until they have left
    writing.signal(signal.SIGTERM)
    assert await asyncio.gather(*pending) == [Committed((None,))] * 200
    assert await asyncio.to_thread(writing.wait) == 0


async def test_ctrl_c_and_a_closed_terminal_leave_the_writer_running(writing: WriterProcess, connect: Connect) -> None:
    storage = await connect(writing)
    writing.signal(signal.SIGINT)
    writing.signal(signal.SIGHUP)
    await insert(storage, "outbox", message("a"))
    assert await ids(storage, "outbox") == ["a"]


async def test_units_in_flight_when_the_writer_dies_fail_with_an_unknown_fate(tmp_path: Path, connect: Connect) -> None:
    disk = SlowDisk()
    it = WriterProcess(tmp_path, prepare=disk)
    try:
        storage = await connect(it)
        failures: list[object] = []
        storage.on_failure = lambda: failures.append(None)
        pending = asyncio.ensure_future(storage.commit([Insert("outbox", message("lost"))]))
        assert await asyncio.to_thread(disk.syncing.acquire, True, TIMEOUT_S)
        it.kill()
        with pytest.raises(StorageUnavailable, match="unknown whether the unit was written"):
            await pending
        disk.go_on()
        it.start(TextChain())
        await insert(storage, "outbox", message("next"))
        assert await ids(storage, "outbox") == ["next"]
        assert len(failures) == 1
    finally:
        await storage.close()
        it.close()


async def test_new_units_wait_for_the_successor_and_subscribers_look_again(writing: WriterProcess, connect: Connect) -> None:
    storage = await connect(writing)
    await insert(storage, "outbox", message("before"))
    heard: list[str] = []
    storage.subscribe("nas", heard.append)
    writing.kill()
    pending = [asyncio.ensure_future(storage.commit([Insert("outbox", message(f"{n}")), event(f"{n}")])) for n in range(5)]
    await asyncio.sleep(0)
    assert await ids(storage, "outbox") == ["before"]  # reading goes on
    writing.start(TextChain())
    assert await asyncio.gather(*pending) == [Committed((None, n)) for n in range(1, 6)]
    assert heard == [""]
    await committed(storage, Announce("nas", "7"))
    assert heard == ["", "7"]


async def test_units_that_nobody_comes_to_write_fail_after_a_moment(
    writing: WriterProcess, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_client, "SUCCESSOR_WAIT_S", 0.05)
    storage = await connect(writing)
    writing.kill()
    with pytest.raises(StorageUnavailable, match="nothing of the unit was written"):
        await storage.commit([Insert("outbox", message("a"))])
    with pytest.raises(StorageUnavailable, match="nothing of the unit was written"):
        await storage.commit([Insert("outbox", message("b"))])
    writing.start(TextChain())
    while True:
        try:
            await storage.commit([Insert("outbox", message("c"))])
            break
        except StorageUnavailable:
            continue
    assert await ids(storage, "outbox") == ["c"]


async def test_a_worker_whose_writer_never_comes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_client, "FIRST_WAIT_S", 0.05)
    with pytest.raises(StorageUnavailable, match="does not answer"):
        await SqliteClientStorage.connect(tmp_path / "w.db", tmp_path / "writer.sock")


async def test_closing_while_the_writer_is_stuck_ends(tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_client, "CLOSE_WAIT_S", 0.05)
    disk = SlowDisk()
    it = WriterProcess(tmp_path, prepare=disk)
    try:
        storage = await connect(it)
        pending = asyncio.ensure_future(storage.commit([Insert("outbox", message("a"))]))
        assert await asyncio.to_thread(disk.syncing.acquire, True, TIMEOUT_S)
        await storage.close()
        with pytest.raises(StorageUnavailable, match="unknown whether"):
            await pending
    finally:
        it.close()


def test_what_is_left_at_the_place_of_the_socket_is_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        listening = writer.listen(tmp_path / "writer.sock")
        listening.close()
    with pytest.raises(StorageUnavailable, match="cannot listen"):
        writer.listen(tmp_path / "missing" / "writer.sock")


# --- frames ---


def test_frames_come_together_however_they_were_cut() -> None:
    contents: list[Any] = [([], [((0, (1, "ş", b"x", None)),)], {}), None, "x" * 1000, ()]
    stream = b"".join(frame(content) for content in contents)
    for size in (1, 2, 3, 5, 7, 100, len(stream)):
        frames, found = Frames(), []
        for start in range(0, len(stream), size):
            found += frames.feed(stream[start : start + size])
        assert found == contents


def test_a_statement_is_registered_as_it_was() -> None:
    from wardgate.storage.statements import Statements

    units = Statements().unit(
        [Insert("brake", brake("a")), Modify("brake", brake_key("a"), _other_function), event("a"), Announce("t", "k")]
    )
    for number, (statement, _) in enumerate(units):
        given = registration(number, statement)
        back_number, back = wire.registered(frame_and_back(given), PACKAGES)
        assert back_number == number
        for name in ("kind", "shape", "sql", "write_sql", "writes", "function"):
            assert getattr(back, name) == getattr(statement, name)


def frame_and_back(content: Any) -> Any:
    """What the other end gets."""
    return Frames().feed(frame(content))[0]
