"""What the disk and the kernel do to the SQLite back-end: kill -9, a full disk, a write that fails.

The work runs in another process, which prints the number of each unit after its commit has returned. Whatever was printed
must be in the file, the audit chain must verify, and when the fault is over writing must go on by itself. The same with a process
that writes for several workers, when it or one of them is killed.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.conformance.storage.rows import brake, brake_key, insert
from tests.conformance.storage.writers import WriterProcess
from wardgate.audit.trail import Chain, Head, Verification, chain_for, verify
from wardgate.crypto import KeyRing, Secret
from wardgate.errors import StorageUnavailable
from wardgate.storage.port import Insert, Where
from wardgate.storage.sqlite import SqliteStorage
from wardgate.storage.sqlite_client import SqliteClientStorage

SEED = b"a key for this test and no other"
TIMEOUT_S = 60

# Argument 1: the database; 2: settings as JSON. Prints one JSON object per line.
WORKER = """
import asyncio, json, resource, sys
from pathlib import Path
from wardgate.audit.events import commitment
from wardgate.audit.trail import chain_for
from wardgate.crypto import KeyRing, Secret
from wardgate.errors import WardgateError
from wardgate.storage import batch, sqlite
from wardgate.storage.port import Append, Insert, Update, Where
from wardgate.storage.sqlite import SqliteStorage

given = json.loads(sys.argv[2])
batch.CHECKPOINT_FRAMES = given.get("checkpoint_frames", batch.CHECKPOINT_FRAMES)
if given.get("thread"):
    sqlite.SyncTimes.STALL_S = 0.0
    sqlite.SyncTimes.SHORT_S = 0.0

def say(**what):
    sys.stdout.write(json.dumps(what) + "\\n")
    sys.stdout.flush()

def event(kind, padding):
    payload, salt = "x" * padding, bytes(16)
    return Append({"kind": kind, "created_at": 1, "payload": payload, "salt": salt, "commitment": commitment(salt, payload)})

def row(number, padding):
    texts = {"id": number, "nas": "n", "user_name": "x" * padding, "session_id": "s", "status": "Start", "attributes": "{}"}
    return {**texts, "created_at": 0}

async def caller(storage, name, padding):
    number = 0
    while True:
        number += 1
        key = f"{name}.{number:06}"
        try:
            await storage.commit([
                Insert("accounting", row(key, padding)),
                event(key, padding),
                Update("accounting", {"id": key}, {"status": "Stop"}, (Where("status", "=", "Start"),)),
            ])
        except WardgateError as error:
            say(failed=key, code=error.code, message=error.message)
            await asyncio.to_thread(sys.stdin.readline)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        else:
            say(committed=key)

async def main():
    storage = await SqliteStorage.open(Path(sys.argv[1]))
    ring = KeyRing({0: Secret(bytes.fromhex(given["seed"])), 1: Secret(bytes.fromhex(given["seed"]))})
    storage.use_chain(chain_for(ring, "w1", 1))
    if "file_size" in given:
        resource.setrlimit(resource.RLIMIT_FSIZE, (given["file_size"], resource.RLIM_INFINITY))
    say(ready=True)
    await asyncio.gather(*[caller(storage, f"{given['name']}.{n}", given.get("padding", 50)) for n in range(given["callers"])])

asyncio.run(main())
"""


class Worker:
    """The other process."""

    def __init__(self, path: Path, **given: object) -> None:
        self._start([WORKER, str(path), json.dumps({"seed": SEED.hex(), **given})])

    def _start(self, arguments: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._watchdog = threading.Timer(TIMEOUT_S, self.process.kill)
        self._watchdog.start()
        self.committed: list[str] = []
        assert self._line() == {"ready": True}

    @property
    def _out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def _line(self) -> dict[str, object] | None:
        text = self._out.readline()
        return json.loads(text) if text.endswith("\n") else None

    def next(self) -> dict[str, object]:
        """What the worker says next; commits are noted."""
        line = self._line()
        assert line is not None, "the worker ended by itself"
        if "committed" in line:
            self.committed.append(str(line["committed"]))
        return line

    def commits(self, count: int) -> None:
        """Wait for so many further commits."""
        for _ in range(count):
            assert "committed" in self.next()

    def commits_among_failures(self, count: int) -> None:
        """Wait for so many further commits, whatever fails meanwhile."""
        until = len(self.committed) + count
        while len(self.committed) < until:
            self.next()

    def failure(self) -> dict[str, object]:
        """Wait for the next commit that failed."""
        while "failed" not in (line := self.next()):
            pass
        return line

    def go_on(self) -> None:
        """Let a caller whose commit failed continue."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """kill -9, then read what it had said before it died."""
        self.process.send_signal(signal.SIGKILL)
        while (line := self._line()) is not None:
            if "committed" in line:
                self.committed.append(str(line["committed"]))
        self.close()

    def close(self) -> None:
        """End it in any case."""
        self._watchdog.cancel()
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


@contextmanager
def worker(path: Path, **given: object) -> Iterator[Worker]:
    """A worker that is gone afterwards."""
    it = Worker(path, **given)
    try:
        yield it
    finally:
        it.close()


async def _inspect(path: Path, heads: tuple[Head, ...]) -> tuple[set[str], Verification, int]:
    """The rows that are whole, what the verifier says, and how many rows are half written."""
    storage = await SqliteStorage.open(path)
    ring = KeyRing({0: Secret(SEED), 1: Secret(SEED)})
    rows = {str(item["id"]) for item in await storage.find("accounting", [Where("status", "=", "Stop")])}
    events = {str(item["kind"]) for item in await storage.find("audit_event")}
    torn = await storage.count("accounting", [Where("status", "!=", "Stop")]) + len(rows ^ events)
    verification = await verify(storage, ring, heads)
    await storage.close()
    return rows, verification, torn


def inspect(path: Path, heads: tuple[Head, ...] = ()) -> tuple[set[str], tuple[Head, ...]]:
    """What is in the file, after checking that nothing is torn and that the chain verifies."""
    rows, verification, torn = asyncio.run(_inspect(path, heads))
    assert (torn, verification.findings) == (0, ())
    assert verification.events == len(rows)
    return rows, verification.heads


# --- kill -9 ---


@pytest.mark.parametrize(
    "given",
    [
        {"callers": 1},
        {"callers": 24},
        {"callers": 24, "thread": True},
        {"callers": 8, "checkpoint_frames": 20, "padding": 3000},
    ],
    ids=["one caller", "group commit", "commit in the thread", "killed during checkpoints"],
)
def test_kill_minus_nine_loses_no_commit_that_returned(tmp_path: Path, given: dict[str, object]) -> None:
    path = tmp_path / "w.db"
    promised: set[str] = set()
    heads: tuple[Head, ...] = ()
    for life in range(3):
        with worker(path, name=f"life{life}", **given) as running:
            running.commits(random.randrange(30, 200))
            running.kill()
        promised |= set(running.committed)
        found, heads = inspect(path, heads)
        assert promised <= found
        # Each caller has at most one unit in flight when it is killed.
        assert len(found) <= len(promised) + (life + 1) * int(str(given["callers"]))


# --- no room ---


def _all_stand_still(running: Worker, callers: int) -> list[dict[str, object]]:
    """Wait until every caller's commit has failed; each then waits to be told to go on."""
    return [running.failure() for _ in range(callers)]


def _kept_its_word(path: Path, running: Worker, tmp_path: Path) -> None:
    """Look at a copy of the files while the worker stands still: what was promised is there, what failed is not."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", copy / f"{path.name}{suffix}")
    assert running.committed
    assert inspect(copy / path.name)[0] == set(running.committed)


def _recovers(path: Path, running: Worker, callers: int) -> None:
    """After the fault: every caller goes on, what was promised is there, what was refused is there at most once."""
    before = len(running.committed)
    for _ in range(callers):
        running.go_on()
    while len(running.committed) < before + 100:
        if "failed" in running.next():
            running.go_on()
    running.kill()
    found, _ = inspect(path)
    assert set(running.committed) <= found


@pytest.mark.parametrize("callers", [1, 8])
def test_a_write_that_the_kernel_refuses_is_told_and_writing_goes_on_afterwards(tmp_path: Path, callers: int) -> None:
    """RLIMIT_FSIZE: the file may not grow. SQLite reports an I/O error, after which the connection is opened afresh."""
    path = tmp_path / "w.db"
    with worker(path, name="a", callers=callers, padding=500, file_size=1_500_000) as running:
        for failed in _all_stand_still(running, callers):
            assert failed["code"] == "storage_unavailable"
            assert "SQLITE_IOERR" in str(failed["message"])
        _kept_its_word(path, running, tmp_path)
        _recovers(path, running, callers)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MiB that can really be full."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root on Linux")
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(mount)], capture_output=True, text=True, check=False, timeout=30
    )
    if done.returncode != 0:
        pytest.skip(f"this machine lets nobody mount: {done.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True, timeout=30)


@pytest.mark.parametrize("callers", [1, 8])
def test_a_full_disk_is_told_and_writing_goes_on_when_there_is_room(small_disk: Path, tmp_path: Path, callers: int) -> None:
    path = small_disk / "w.db"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(4 * 2**20))
    with worker(path, name="a", callers=callers, padding=2000) as running:
        for failed in _all_stand_still(running, callers):
            assert failed["code"] == "storage_full"
            assert "the disk is full" in str(failed["message"])
        _kept_its_word(path, running, tmp_path)
        ballast.unlink()
        _recovers(path, running, callers)


def test_a_disk_that_is_full_at_the_first_start_says_so_and_the_next_start_works(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(8 * 2**20))
    script = "import sys; from pathlib import Path; from wardgate.storage.sqlite import prepare; prepare(Path(sys.argv[1]))"
    full = subprocess.run(
        [sys.executable, "-c", script, str(small_disk / "w.db")], capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    assert full.returncode != 0
    assert "StorageUnavailable" in full.stderr
    ballast.unlink()
    with worker(small_disk / "w.db", name="a", callers=1) as running:
        running.commits(5)
        running.kill()
    assert len(inspect(small_disk / "w.db")[0]) >= 5


# --- a writer process and its workers ---

# Argument 1: the database; 2: the writer's socket; 3: settings as JSON. Prints one JSON object per line.
CLIENT = """
import asyncio, json, sys
from pathlib import Path
from wardgate.audit.events import commitment
from wardgate.audit.trail import chain_for
from wardgate.crypto import KeyRing, Secret
from wardgate.errors import WardgateError
from wardgate.storage.port import Append, Committed, Update
from wardgate.storage.sqlite_client import SqliteClientStorage

given = json.loads(sys.argv[3])

def say(**what):
    sys.stdout.write(json.dumps(what) + "\\n")
    sys.stdout.flush()

def event(kind):
    payload, salt = "x" * 50, bytes(16)
    return Append({"kind": kind, "created_at": 1, "payload": payload, "salt": salt, "commitment": commitment(salt, payload)})

async def caller(storage, name):
    number = 0
    while True:
        number += 1
        key = f"{name}.{number:06}"
        add = Update("brake", {"kind": "user", "key": given["name"].encode()}, {}, add={"failures": 1})
        try:
            outcome = await storage.commit([event(key), add])
        except WardgateError as error:
            say(failed=key, code=error.code, message=error.message)
        else:
            assert isinstance(outcome, Committed), outcome
            say(committed=key)

async def main():
    storage = await SqliteClientStorage.connect(Path(sys.argv[1]), Path(sys.argv[2]))
    ring = KeyRing({0: Secret(bytes.fromhex(given["seed"])), 1: Secret(bytes.fromhex(given["seed"]))})
    storage.use_chain(chain_for(ring, "server", 1))
    say(ready=True)
    await asyncio.gather(*[caller(storage, f"{given['name']}.{n}") for n in range(given["callers"])])

asyncio.run(main())
"""


def _chain() -> Chain:
    return chain_for(KeyRing({0: Secret(SEED), 1: Secret(SEED)}), "server", 1)


class Client(Worker):
    """A worker process beside a writer. Its units have nothing that would keep them from being written twice."""

    def __init__(self, writer: WriterProcess, name: str, callers: int) -> None:
        settings = json.dumps({"seed": SEED.hex(), "name": name, "callers": callers})
        super()._start([CLIENT, str(writer.path), str(writer.socket), settings])


@contextmanager
def clients(writer: WriterProcess, names: Sequence[str], callers: int) -> Iterator[list[Client]]:
    """So many workers, each with a counter of its own in the file."""

    async def prepare() -> None:
        storage = await SqliteClientStorage.connect(writer.path, writer.socket)
        await insert(storage, "brake", *[brake(name) for name in names])
        await storage.close()

    asyncio.run(prepare())
    with ExitStack() as stack:
        running = []
        for name in names:
            running.append(Client(writer, name, callers))
            stack.callback(running[-1].close)
        yield running


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[WriterProcess]:
    """A writer process."""
    it = WriterProcess(tmp_path, _chain())
    yield it
    it.close()


async def _look(path: Path, names: Sequence[str]) -> tuple[Counter[str], dict[str, int], Verification]:
    storage = await SqliteStorage.open(path)
    events = Counter(str(item["kind"]) for item in await storage.find("audit_event"))
    counted = {name: int((await storage.get("brake", brake_key(name)) or {})["failures"] or 0) for name in names}
    verification = await verify(storage, KeyRing({0: Secret(SEED), 1: Secret(SEED)}))
    await storage.close()
    return events, counted, verification


def _nothing_is_lost_doubled_or_torn(path: Path, names: Sequence[str], promised: set[str]) -> None:
    events, counted, verification = asyncio.run(_look(path, names))
    assert verification.findings == ()
    assert promised <= events.keys()
    assert set(events.values()) == {1}, "a unit was written twice"
    for name, count in counted.items():
        assert count == sum(kind.startswith(f"{name}.") for kind in events), "a unit was written in part"


def test_kill_minus_nine_of_the_writer_loses_and_doubles_nothing_and_workers_go_on_with_its_successor(
    writer: WriterProcess,
) -> None:
    names = ("a", "b")
    with clients(writer, names, 12) as running:
        for _ in range(4):
            for client in running:
                client.commits_among_failures(random.randrange(20, 150))
            writer.kill()
            writer.start(_chain())
        for client in running:
            client.commits_among_failures(50)
            client.kill()
    assert writer.end() == 0
    _nothing_is_lost_doubled_or_torn(writer.path, names, {key for client in running for key in client.committed})


def test_kill_minus_nine_of_a_worker_amid_its_frames_harms_nobody(writer: WriterProcess) -> None:
    names = ("a", "b", "c")
    with clients(writer, names, 24) as running:
        for client in running[:2]:
            client.commits(random.randrange(20, 150))
            client.kill()
        running[2].commits(100)
        running[2].kill()
    assert writer.end() == 0
    _nothing_is_lost_doubled_or_torn(writer.path, names, {key for client in running for key in client.committed})


def test_a_writer_on_a_full_disk_tells_every_worker_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    async def work(writer: WriterProcess, ballast: Path) -> None:
        workers = [await SqliteClientStorage.connect(writer.path, writer.socket) for _ in range(2)]
        failures: list[int] = []
        refused: list[StorageUnavailable] = []
        for number, storage in enumerate(workers):
            storage.on_failure = lambda number=number: failures.append(number)
        kept = 0
        while set(failures) != {0, 1}:
            rows = [brake(f"{kept}.{number}", stamps="x" * 20_000) for number in range(2)]
            units = [storage.commit([Insert("brake", row)]) for storage, row in zip(workers, rows, strict=True)]
            outcomes = await asyncio.gather(*units, return_exceptions=True)
            refused += [outcome for outcome in outcomes if isinstance(outcome, StorageUnavailable)]
            kept += 1
        assert {error.code for error in refused} == {"storage_full"}
        stored = await workers[0].count("brake")
        ballast.unlink()
        for storage in workers:
            await insert(storage, "brake", brake(f"after {id(storage)}", stamps="x" * 20_000))
        assert await workers[1].count("brake") == stored + 2
        for storage in workers:
            await storage.close()

    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(4 * 2**20))
    writer = WriterProcess(small_disk, _chain())
    try:
        asyncio.run(work(writer, ballast))
    finally:
        writer.close()
