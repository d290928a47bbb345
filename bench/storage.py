"""How near the SQLite back-end comes to what the disk and SQLite themselves can do, and what the way to a writer process costs.

One unit is what a step of a login writes: a conditional update (the counter), an insert (the handle), an audit event and an
upsert (the spent code). `waiting` is how many callers wait at once, each for its own unit; they share commits.

Each round measures, one after the other on the same disk: fdatasync of one page, raw SQLite (the same four statements by
executemany, one transaction per batch of the same size, audit links computed beforehand), the back-end, the back-end of a worker
whose units another process writes (the CPU time is that of both), and memory. Rounds alternate and the median counts, so compare
the ratios; the absolute figures belong to this machine and this minute. `reads` are point reads, and reads of four rows at once.

    bench/storage.py --directory /var/tmp --waiting 1,16,64,256
"""

import argparse
import asyncio
import itertools
import json
import os
import secrets
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from wardgate.audit.trail import Chain
from wardgate.storage.batch import CHECKPOINT_FRAMES
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Append, Committed, Find, Insert, Operation, Row, Storage, Update, Upsert, Where
from wardgate.storage.sqlite import SqliteStorage, connect_writer, prepare
from wardgate.storage.sqlite_client import SqliteClientStorage
from wardgate.storage.statements import Statements
from wardgate.storage.writer import listen, run_writer

CHAIN_KEY = b"benchmark only, not a secret key"
PAYLOAD = json.dumps(
    {"door": "radius", "nas": "hq-firewall", "rule": "staff", "plan": [["password"], ["totp"]], "detail": "x" * 80}
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One slice: how many pieces of work a second, and what each cost in CPU time of this process."""

    per_second: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    directory: Path
    waiting: tuple[int, ...]
    seconds: float
    rounds: int
    rows: int


def measure(work: Callable[[], int], seconds: float) -> Measured:
    """Repeat `work`, which returns how much it did, for about `seconds`."""
    wall, cpu, done = time.perf_counter(), time.process_time(), 0
    while (passed := time.perf_counter() - wall) < seconds:
        done += work()
    return Measured(done / passed, (time.process_time() - cpu) / done * 1e6)


# --- the work --------------------------------------------------------------------------------------------------------


def identifiers(rows: int) -> list[str]:
    """The ids of the authenticators: spread over the table as random ids are."""
    return [f"{number * 2654435761 % 2**32:08x}{number:018x}" for number in range(rows)]


def authenticator(identifier: str) -> Row:
    """One enrolled authenticator."""
    return {
        "id": identifier,
        "subject_id": identifier[::-1],
        "kind": "totp",
        "label": "phone",
        "sealed": bytes(64),
        "settings": '{"digits": 6}',
        "counter": 0,
        "state": "active",
        "created_at": 0,
    }


def unit(identifier: str, step: int) -> list[Operation]:
    """What one step of a login writes."""
    return [
        Update("authenticator", {"id": identifier}, {"counter": step, "last_used_at": step}, (Where("counter", "<", step),)),
        Insert(
            "handle",
            {
                "handle_mac": secrets.token_bytes(32),
                "transaction_id": identifier,
                "sequence": 1,
                "binding": "hq-firewall",
                "expires_at": step + 180_000,
                "consumed_at": None,
                "fingerprint": None,
                "outcome": None,
            },
        ),
        Append(
            {
                "kind": "login:factor:accepted",
                "created_at": step,
                "transaction_id": identifier,
                "reference": "0123ABCD",
                "subject_id": identifier,
                "payload": PAYLOAD,
                "salt": bytes(16),
                "commitment": bytes(32),
            }
        ),
        Upsert("spent_code", {"application": "vpn", "user_key": identifier.encode(), "code_mac": bytes(32), "spent_at": step}),
    ]


class SyncWork:
    """The disk alone: one page overwritten and fdatasync."""

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory / "sync", os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(self._descriptor, bytes(4096 * 64), 0)
        os.fsync(self._descriptor)
        self._pages = itertools.cycle(range(64))

    def __call__(self) -> int:
        os.pwrite(self._descriptor, secrets.token_bytes(4096), next(self._pages) * 4096)
        getattr(os, "fdatasync", os.fsync)(self._descriptor)
        return 1

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


class RawWork:
    """SQLite alone: the same statements by executemany, one transaction per batch."""

    def __init__(self, path: Path, names: list[str]) -> None:
        prepare(path)
        self._connection: sqlite3.Connection = connect_writer(path)
        self._cursor = self._connection.cursor()
        self._cursor.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_FRAMES}")  # as often as the back-end
        self._names = itertools.cycle(names)
        self._step = 0
        statements = Statements()
        self._sql = [step[0].sql for step in statements.unit(unit("x", 1))]
        load = [statements.unit([Insert("authenticator", authenticator(name))])[0] for name in names]
        self._cursor.execute("BEGIN")
        self._cursor.executemany(load[0][0].sql, [values for _, values in load])
        self._cursor.execute("COMMIT")
        self._statements = statements
        self.batch = 1

    def prepared(self) -> Iterator[list[tuple[object, ...]]]:
        """The values of one batch, statement by statement."""
        steps = []
        for _ in range(self.batch):
            self._step += 1
            steps.append(self._statements.unit(unit(next(self._names), self._step)))
        first = self._step - self.batch + 1
        for position in range(len(self._sql)):
            values = [step[position][1] for step in steps]
            if position == 2:
                values = [("w1", 1, first + n, *event, bytes(32)) for n, event in enumerate(values)]
            yield values

    def slice(self, seconds: float) -> Measured:
        """Measure for about `seconds`; preparing the values is not counted."""
        wall = cpu = 0.0
        done = 0
        while wall < seconds:
            batch = list(self.prepared())
            wall_started, cpu_started = time.perf_counter(), time.process_time()
            self._cursor.execute("BEGIN IMMEDIATE")
            for sql, values in zip(self._sql, batch, strict=True):
                self._cursor.executemany(sql, values)
            self._cursor.execute("COMMIT")
            wall += time.perf_counter() - wall_started
            cpu += time.process_time() - cpu_started
            done += self.batch
        return Measured(done / wall, cpu / done * 1e6)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


class WriterProcess:
    """The process that writes, forked before anything else runs."""

    def __init__(self, directory: Path, chain: Chain) -> None:
        self.path, self.socket = directory / "client.db", directory / "writer.sock"
        listening = listen(self.socket)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                run_writer(self.path, listening, chain, lambda: None)
            finally:
                os._exit(0)
        listening.close()

    def cpu_s(self) -> float:
        """The CPU time that it has used."""
        return int(Path(f"/proc/{self._pid}/schedstat").read_text().split()[0]) / 1e9

    def close(self) -> None:
        """End it."""
        os.kill(self._pid, signal.SIGTERM)
        os.waitpid(self._pid, 0)


class BackendWork:
    """A back-end: so many callers, each with one unit at a time. `others_cpu_s`: CPU time of a process that works for it."""

    def __init__(self, storage: Storage, names: list[str], others_cpu_s: Callable[[], float] = lambda: 0.0) -> None:
        self._storage = storage
        self._others_cpu_s = others_cpu_s
        self._names = itertools.cycle(names)
        self._known = names[0]
        self._step = 0

    async def slice(self, waiting: int, seconds: float) -> Measured:
        """Measure for about `seconds`. Making the operations is the caller's work, and counted."""
        wall, cpu = time.perf_counter(), self._cpu_s()
        done = sum(await asyncio.gather(*[self._caller(wall + seconds) for _ in range(waiting)]))
        return Measured(done / (time.perf_counter() - wall), (self._cpu_s() - cpu) / done * 1e6)

    def _cpu_s(self) -> float:
        return time.process_time() + self._others_cpu_s()

    async def enrol(self, names: list[str]) -> None:
        """Put the authenticators there."""
        for start in range(0, len(names), 500):
            await self._storage.commit([Insert("authenticator", authenticator(name)) for name in names[start : start + 500]])

    async def _caller(self, until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            self._step += 1
            outcome = await self._storage.commit(unit(next(self._names), self._step))
            if not isinstance(outcome, Committed):
                raise SystemExit(f"a unit was refused: {outcome}")
            done += 1
        return done

    async def gets(self, seconds: float) -> Measured:
        """Point reads, one after the other."""
        key = {"id": self._known}

        async def once() -> None:
            await self._storage.get("authenticator", key)

        return await self._repeated(once, seconds)

    async def reads(self, seconds: float) -> Measured:
        """Four rows of different tables at once, found by their keys."""
        finds = [
            Find("authenticator", (Where("id", "=", self._known),)),
            Find("handle", (Where("handle_mac", "=", bytes(32)),)),
            Find("spent_code", (Where("application", "=", "vpn"), Where("user_key", "=", self._known.encode()))),
            Find("brake", (Where("kind", "=", "user"), Where("key", "=", b"nobody"))),
        ]

        async def once() -> None:
            await self._storage.read(finds)

        return await self._repeated(once, seconds)

    async def _repeated(self, work: Callable[[], Awaitable[None]], seconds: float) -> Measured:
        wall, cpu, done = time.perf_counter(), time.process_time(), 0
        while (passed := time.perf_counter() - wall) < seconds:
            for _ in range(200):
                await work()
            done += 200
        return Measured(done / passed, (time.process_time() - cpu) / done * 1e6)


# --- the run ---------------------------------------------------------------------------------------------------------


def middle(slices: list[Measured]) -> Measured:
    """The median of each figure."""
    return Measured(median([s.per_second for s in slices]), median([s.cpu_us for s in slices]))


@dataclass(frozen=True, slots=True)
class Works:
    """Everything that is measured."""

    sync: SyncWork
    raw: RawWork
    sqlite: BackendWork
    client: BackendWork
    memory: BackendWork


async def run(settings: Settings, directory: Path, writer: WriterProcess) -> dict[str, object]:
    """All measurements, as the object that `--json` prints."""
    names = identifiers(settings.rows)
    started = time.perf_counter()
    await (await SqliteStorage.open(directory / "start.db")).close()
    created = time.perf_counter()
    await (await SqliteStorage.open(directory / "start.db")).close()
    opened = time.perf_counter()
    sqlite = await SqliteStorage.open(directory / "backend.db")
    client = await SqliteClientStorage.connect(writer.path, writer.socket)
    memory = MemoryStorage()
    works = Works(
        SyncWork(directory),
        RawWork(directory / "raw.db", names),
        BackendWork(sqlite, names),
        BackendWork(client, names, writer.cpu_s),
        BackendWork(memory, names),
    )
    storages: list[Storage] = [sqlite, client, memory]
    for storage, work in zip(storages, (works.sqlite, works.client, works.memory), strict=True):
        storage.use_chain(Chain(CHAIN_KEY, "server", 1))
        await work.enrol(names)
        await work.slice(64, settings.seconds)
    rows = [await _row(settings, waiting, works) for waiting in settings.waiting]
    gets = middle([await works.sqlite.gets(settings.seconds / 2) for _ in range(settings.rounds)])
    reads = middle([await works.sqlite.reads(settings.seconds / 2) for _ in range(settings.rounds)])
    making = measure(lambda: len([unit(names[0], step) for step in range(100)]), settings.seconds / 2)
    on_loop = sqlite.stats().on_loop
    for storage in storages:
        await storage.close()
    works.raw.close()
    works.sync.close()
    return {
        "python": sys.version.split()[0],
        "sqlite": sqlite3.sqlite_version,
        "rows": settings.rows,
        "units": rows,
        "point_read": {"per_second": round(gets.per_second), "cpu_us": round(gets.cpu_us, 1)},
        "read_of_four": {"per_second": round(reads.per_second), "cpu_us": round(reads.cpu_us, 1)},
        "making_one_unit_cpu_us": round(making.cpu_us, 1),
        "create_ms": round((created - started) * 1000, 1),
        "open_ms": round((opened - created) * 1000, 1),
        "commits_on_loop": on_loop,
    }


async def _row(settings: Settings, waiting: int, works: Works) -> dict[str, object]:
    syncs, raws, ours, clients, memories = [], [], [], [], []
    works.raw.batch = waiting
    for _ in range(settings.rounds):
        syncs.append(measure(works.sync, settings.seconds / 2))
        raws.append(works.raw.slice(settings.seconds))
        ours.append(await works.sqlite.slice(waiting, settings.seconds))
        clients.append(await works.client.slice(waiting, settings.seconds))
        memories.append(await works.memory.slice(waiting, settings.seconds / 2))
    disk, bare, own, apart, memory = (middle(each) for each in (syncs, raws, ours, clients, memories))
    return {
        "waiting": waiting,
        "units_per_second": round(own.per_second),
        "cpu_us": round(own.cpu_us, 1),
        "writer_units_per_second": round(apart.per_second),
        "writer_cpu_us": round(apart.cpu_us, 1),
        "memory_units_per_second": round(memory.per_second),
        "memory_cpu_us": round(memory.cpu_us, 1),
        "raw_sqlite_per_second": round(bare.per_second),
        "raw_sqlite_cpu_us": round(bare.cpu_us, 1),
        "fdatasync_per_second": round(disk.per_second),
        "of_raw_sqlite": round(median([o.per_second / r.per_second for o, r in zip(ours, raws, strict=True)]), 2),
        "cpu_of_raw_sqlite": round(median([o.cpu_us / r.cpu_us for o, r in zip(ours, raws, strict=True)]), 2),
        "units_per_fdatasync": round(median([o.per_second / s.per_second for o, s in zip(ours, syncs, strict=True)]), 2),
    }


_COLUMNS = {
    "waiting": "waiting",
    "units_per_second": "SQLite/s",
    "cpu_us": "CPU us",
    "writer_units_per_second": "+writer/s",
    "writer_cpu_us": "CPU us",
    "memory_units_per_second": "memory/s",
    "memory_cpu_us": "CPU us",
    "raw_sqlite_per_second": "raw/s",
    "raw_sqlite_cpu_us": "CPU us",
    "fdatasync_per_second": "sync/s",
    "of_raw_sqlite": "of raw",
    "cpu_of_raw_sqlite": "CPU of raw",
    "units_per_fdatasync": "per sync",
}


def show(report: dict[str, object]) -> None:
    """Print the report as a table."""
    print(f"Python {report['python']}, SQLite {report['sqlite']}, {report['rows']} authenticators; WAL, FULL")
    print("  ".join(f"{head:>10}" for head in _COLUMNS.values()))
    units = report["units"]
    for row in units if isinstance(units, list) else []:
        print("  ".join(f"{row[name]:>10}" for name in _COLUMNS))
    for name in ("point_read", "read_of_four"):
        reads = report[name]
        if isinstance(reads, dict):
            print(f"{name.replace('_', ' ')}: {reads['per_second']} /s, {reads['cpu_us']} us CPU")
    print(f"making a new file took {report['create_ms']} ms, opening it again {report['open_ms']} ms")
    print(f"of the CPU of a unit, making its operations took {report['making_one_unit_cpu_us']} us")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="on the disk to measure (default: /var/tmp)")
    parser.add_argument("--waiting", default="1,16,64,256", help="how many callers wait at once (default: 1,16,64,256)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one slice (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, help="slices of each kind, alternating (default: 3)")
    parser.add_argument("--rows", type=int, default=20_000, help="enrolled authenticators (default: 20000)")
    parser.add_argument("--asyncio", action="store_true", help="use asyncio's own loop instead of uvloop")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def main() -> None:
    """Run and print."""
    given = arguments()
    waiting = tuple(int(item) for item in given.waiting.split(","))
    settings = Settings(given.directory, waiting, given.seconds, given.rounds, given.rows)
    with tempfile.TemporaryDirectory(dir=given.directory, prefix="wardgate-bench-") as name:
        writer = WriterProcess(Path(name), Chain(CHAIN_KEY, "server", 1))
        try:
            if given.asyncio:
                report = asyncio.run(run(settings, Path(name), writer))
            else:
                import uvloop

                report = uvloop.run(run(settings, Path(name), writer))
        finally:
            writer.close()
    if given.json:
        print(json.dumps(report))
    else:
        show(report)


if __name__ == "__main__":
    main()
