"""How quick the PostgreSQL back-end is, and what it costs: units a second, CPU, and round trips.

The unit is that of `bench/storage.py`: a conditional update, an insert, an audit event and an upsert. It starts a server of its
own (Debian's postgresql package) with durable commits, in a directory on the disk to measure; `--url` uses another one, whose
database must be empty or Wardgate's. `waiting` is how many callers wait at once, each for its own unit. CPU is that of this
process, and that of the server's processes where they can be seen.

    bench/postgres.py --directory /var/tmp --waiting 1,16,64,256
"""

import argparse
import asyncio
import gc
import glob
import itertools
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from storage import authenticator, identifiers, unit

from wardgate.audit.trail import Chain
from wardgate.storage.port import Committed, Find, Insert, Where
from wardgate.storage.postgres import PostgresStorage
from wardgate.storage.settings import DatabaseSettings

CHAIN_KEY = b"benchmark only, not a secret key"
START_S = 30
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measured:
    """One slice: units a second, CPU time of this process and of the server for each, and round trips for each."""

    per_second: float
    cpu_us: float
    server_cpu_us: float
    round_trips: float
    batch: float


# --- a server of our own ---------------------------------------------------------------------------------------------


def _program(name: str) -> str:
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    if not found:
        raise SystemExit("no PostgreSQL here; on Debian: apt-get install postgresql")
    return found[-1]


@contextmanager
def own_server(directory: Path) -> Iterator[tuple[str, int]]:
    """A server with durable commits; yields its URL and its process id. As root it runs as `nobody`, for it refuses root."""
    place = Path(tempfile.mkdtemp(prefix="wardgate-bench-", dir=directory))
    nobody = pwd.getpwnam("nobody")
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        os.chown(place, nobody.pw_uid, nobody.pw_gid)
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(place / "data")
    make = [_program("initdb"), "--pgdata", data, "--username", "wardgate", "--auth", "trust", "--encoding", "UTF8"]
    subprocess.run(make, cwd=place, check=True, stdout=subprocess.DEVNULL, **account)
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_wal_size=4GB"]
    command = [_program("postgres"), "-D", data, "-p", str(port), *options]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=place, stdout=log, stderr=log, **account)
    try:
        deadline = time.monotonic() + START_S
        ready = [_program("pg_isready"), "--host", "127.0.0.1", "--port", str(port), "--quiet"]
        while subprocess.run(ready, check=False).returncode:
            if time.monotonic() > deadline:
                raise SystemExit(f"PostgreSQL did not start: {(place / 'log').read_text()}")
            time.sleep(0.05)
        yield f"postgresql://wardgate@127.0.0.1:{port}/postgres?sslmode=disable", process.pid
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(place)


def server_cpu_s(pid: int | None) -> float:
    """CPU time of a postmaster and its children, living and dead; 0 when it is not ours to see."""
    if pid is None:
        return 0.0
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ticks = sum(_ticks(Path(f"/proc/{each}/stat"), 0) for each in children) + _ticks(Path(f"/proc/{pid}/stat"), 2)
    return ticks / TICKS


def _ticks(path: Path, dead: int) -> int:
    try:
        fields = path.read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(value) for value in fields[11 : 13 + dead])


# --- the work --------------------------------------------------------------------------------------------------------


class Work:
    """So many callers, each with one unit at a time."""

    def __init__(self, storage: PostgresStorage, names: list[str], pid: int | None) -> None:
        self._storage = storage
        self._names = itertools.cycle(names)
        self._known = names
        self._pid = pid
        # Steps rise from one run to the next on the same database.
        self._step = time.time_ns() // 1_000_000

    async def slice(self, waiting: int, seconds: float) -> Measured:
        """Measure for about `seconds`. Making the operations is the caller's work, and counted."""
        before, wall, cpu, server = self._storage.stats(), time.perf_counter(), time.process_time(), server_cpu_s(self._pid)
        done = sum(await asyncio.gather(*[self._caller(wall + seconds) for _ in range(waiting)]))
        passed, used = time.perf_counter() - wall, time.process_time() - cpu
        after = self._storage.stats()
        batches = after.batches - before.batches
        return Measured(
            done / passed,
            used / done * 1e6,
            (server_cpu_s(self._pid) - server) / done * 1e6,
            (after.round_trips - before.round_trips) / batches,
            done / batches,
        )

    async def _caller(self, until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            self._step += 1
            outcome = await self._storage.commit(unit(next(self._names), self._step))
            if not isinstance(outcome, Committed):
                raise SystemExit(f"a unit was refused: {outcome}")
            done += 1
        return done

    async def reads(self, seconds: float, finds: int) -> dict[str, float]:
        """Reads of so many rows each, one after the other."""
        wall, cpu, done = time.perf_counter(), time.process_time(), 0
        while (passed := time.perf_counter() - wall) < seconds:
            asked = [Find("authenticator", (Where("id", "=", next(self._names)),)) for _ in range(finds)]
            await self._storage.read(asked)
            done += 1
        return {"per_second": round(done / passed), "cpu_us": round((time.process_time() - cpu) / done * 1e6, 1)}


def middle(slices: list[Measured]) -> dict[str, float]:
    """The median of each figure."""
    return {
        "units_per_second": round(median([s.per_second for s in slices])),
        "cpu_us": round(median([s.cpu_us for s in slices]), 1),
        "server_cpu_us": round(median([s.server_cpu_us for s in slices]), 1),
        "round_trips_per_batch": round(median([s.round_trips for s in slices]), 2),
        "units_per_batch": round(median([s.batch for s in slices]), 1),
    }


async def run(url: str, pid: int | None, waiting: list[int], seconds: float, rounds: int, rows: int) -> dict[str, Any]:
    """All measurements, as the object that `--json` prints."""
    settings = DatabaseSettings(url=url)
    storage = await PostgresStorage.open(settings, Path())
    try:
        storage.use_chain(Chain(CHAIN_KEY, f"bench-{secrets.token_hex(4)}", 1))
        names = identifiers(rows)
        if await storage.count("authenticator") == 0:
            for start in range(0, len(names), 500):
                await storage.commit([Insert("authenticator", authenticator(name)) for name in names[start : start + 500]])
        work = Work(storage, names, pid)
        await work.slice(64, seconds)
        gc.freeze()  # as the worker does
        slices: dict[int, list[Measured]] = {number: [] for number in waiting}
        for _ in range(rounds):
            for number in waiting:
                slices[number].append(await work.slice(number, seconds))
        return {
            "rows": rows,
            "units": [{"waiting": number, **middle(slices[number])} for number in waiting],
            "read_of_1": await work.reads(seconds, 1),
            "read_of_6": await work.reads(seconds, 6),
        }
    finally:
        await storage.close()


def show(report: dict[str, Any]) -> None:
    """Print the report as a table."""
    print(f"PostgreSQL, synchronous_commit = on, {report['rows']} authenticators")
    head = ("waiting", "units_per_second", "cpu_us", "server_cpu_us", "round_trips_per_batch", "units_per_batch")
    print("  ".join(f"{name:>21}" for name in head))
    for row in report["units"]:
        print("  ".join(f"{row[name]:>21}" for name in head))
    for number in (1, 6):
        read = report[f"read_of_{number}"]
        print(f"a read of {number}: {read['per_second']} /s, {read['cpu_us']} us CPU")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a database that is there; default: a server of its own")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="on the disk to measure (default: /var/tmp)")
    parser.add_argument("--waiting", default="1,16,64,256", help="how many callers wait at once (default: 1,16,64,256)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one slice (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, help="slices of each kind, alternating (default: 3)")
    parser.add_argument("--rows", type=int, default=20_000, help="enrolled authenticators (default: 20000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def main() -> None:
    """Run and print."""
    import uvloop

    given = arguments()
    waiting = [int(item) for item in given.waiting.split(",")]
    if given.url:
        report = uvloop.run(run(given.url, None, waiting, given.seconds, given.rounds, given.rows))
    else:
        with own_server(given.directory) as (url, pid):
            report = uvloop.run(run(url, pid, waiting, given.seconds, given.rounds, given.rows))
    print(json.dumps(report)) if given.json else show(report)


if __name__ == "__main__":
    sys.exit(main())
