"""What one login costs in the engine: two-step TOTP with a remembered password, in this process, without packets.

    python -m bench.engine_profile [--storage still,memory,sqlite,writer] [--logins 4000] [--sessions 64] [--risk] [--apart 3601]
        [--profile] [--json]

The engine, policy, local directory, timeline and audit are the product's; what is left out is the RADIUS packet. With `still`
storage gives the rows that it gave before and writes nothing, so that the figure is the engine's alone; with `memory` every user
has a small storage of his own; with `sqlite` sixty-four sessions share one durable file, which with `writer` another process
writes, as with several workers. With `--risk` logins are scored; habits
are written once an hour, so with `--apart 3601` by every login. CPU time is this process's and the
writing one's, threads included: of the best slice of so many logins, because neighbours on the machine only ever add to it. A first
pass over few logins counts reads, statements and keyed fingerprints, so that counting costs the measured pass nothing.
"""

import argparse
import asyncio
import cProfile
import gc
import json
import pstats
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.storage import CHAIN_KEY, WriterProcess
from wardgate.account.authenticator import create_authenticator
from wardgate.account.subject import create_subject
from wardgate.audit.recorder import Recorder
from wardgate.audit.timeline import Trail
from wardgate.audit.trail import Chain, chain_for
from wardgate.clock import SystemClock, to_ms
from wardgate.crypto import MAC_ROOT, KeyRing, Secret, new_key
from wardgate.directory.local import LocalDirectory
from wardgate.directory.realm import Realm, Realms
from wardgate.directory.settings import LocalDirectorySettings, RealmSettings
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge, Granted, Origin
from wardgate.engine.request import AnswerRequest, BeginRequest
from wardgate.engine.runtime import Application, EngineConfiguration, EngineParts
from wardgate.engine.settings import ApplicationSettings
from wardgate.factors import SECOND_FACTORS, STRONG_KINDS
from wardgate.factors.totp import hotp, time_step
from wardgate.passwords import PasswordHasher
from wardgate.policy.rules import default_policy
from wardgate.risk.assessing import Assessor
from wardgate.risk.settings import RiskSettings
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Commit, Committed, Delete, Find, Insert, Modify, Operation, Row, Sought, Storage, Where
from wardgate.storage.sqlite import SqliteStorage
from wardgate.storage.sqlite_client import SqliteClientStorage

PERIOD_S = 30
USERS = 1000
MEMORY_USERS = 20
COUNTED_LOGINS = 20
SLICE = 500
NAS = "radius:hq:"
CHAIN = "bench"
PASSWORD = Secret("correct horse battery staple")

Times = tuple[float, float]


class ShiftedClock(SystemClock):
    """The machine's clock, some time steps ahead: so that a user can log in again before half a minute has passed."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def now(self) -> datetime:
        """The present, shifted."""
        return datetime.now(UTC) + self.shift

    def now_ms(self) -> int:
        """The same in milliseconds."""
        return to_ms(self.now())


@dataclass(frozen=True, slots=True)
class Ways:
    """How users log in: with scores or without, how many seconds apart, and how many at once."""

    risk: Assessor | None = None
    apart_s: int = PERIOD_S
    sessions: int = 64


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured on one storage. CPU times are microseconds per login."""

    storage: str
    logins: int
    cpu_us: float
    wall_us: float
    reads: float
    commits: float
    statements: float
    macs: float


@dataclass(slots=True)
class Counts:
    """What the counting pass saw."""

    reads: int = 0
    read_calls: int = 0
    commits: int = 0
    statements: int = 0
    macs: int = 0


class CountingRing(KeyRing):
    """A key ring that counts its fingerprints."""

    counts: Counts | None = None

    def mac(self, purpose: str, *parts: bytes) -> bytes:
        """As ever, counted."""
        if self.counts is not None:
            self.counts.macs += 1
        return super().mac(purpose, *parts)


class CountingStorage:
    """A storage that counts what it is asked for, and passes it on."""

    def __init__(self, storage: Storage, counts: Counts) -> None:
        self._storage = storage
        self._counts = counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def get(self, *given: Any, **named: Any) -> Any:
        """One read."""
        self._count_reads(1)
        return await self._storage.get(*given, **named)

    async def find(self, *given: Any, **named: Any) -> Any:
        """One read."""
        self._count_reads(1)
        return await self._storage.find(*given, **named)

    async def read(self, finds: Sequence[Any]) -> Any:
        """Several reads in one call."""
        self._count_reads(len(finds))
        return await self._storage.read(finds)

    async def commit(self, operations: Sequence[Operation]) -> Any:
        """One unit. A `Modify` reads before it writes."""
        self._counts.commits += 1
        self._counts.statements += sum(1 + isinstance(each, Modify) for each in operations)
        return await self._storage.commit(operations)

    def _count_reads(self, finds: int) -> None:
        self._counts.read_calls += 1
        self._counts.reads += finds
        self._counts.statements += finds


class StillStorage(MemoryStorage):
    """Stands still: what was read once reads the same ever after, and nothing is written, at no cost."""

    def __init__(self) -> None:
        super().__init__()
        self.still = False
        self._known: dict[object, list[Row]] = {}

    async def find(
        self,
        table: str,
        where: Sequence[Where] = (),
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> list[Row]:
        """As known. Handles are new with each login: there never is one."""
        if not self.still or table == "handle":
            return [] if self.still else await super().find(table, where, order_by, descending, limit)
        key = (table, *[each.value for each in where])
        rows = self._known.get(key)
        if rows is None:
            rows = self._known[key] = await super().find(table, where, order_by, descending, limit)
        return rows

    async def get(self, table: str, key: Row) -> Row | None:
        """As known."""
        rows = await self.find(table, [Where(name, "=", value) for name, value in key.items()], limit=1)
        return rows[0] if rows else None

    async def read(self, finds: Sequence[Find]) -> list[list[Row]]:
        """As known."""
        return [await self._sought(each) for each in finds]

    async def _sought(self, find: Find) -> list[Row]:
        if not self.still or not isinstance(find, Sought) or find.table == "handle":
            return await self.find(find.table, find.where, find.order_by, find.descending, find.limit)
        key = (find.lookup, find.values)
        rows = self._known.get(key)
        if rows is None:
            [rows] = await super().read([find])
            self._known[key] = rows
        return rows

    async def commit(self, operations: Sequence[Operation]) -> Commit:
        """Nothing."""
        return Committed((None,) * len(operations)) if self.still else await super().commit(operations)


@dataclass(slots=True)
class Place:
    """An engine with its users on one storage."""

    storage: Storage
    ring: CountingRing
    clock: ShiftedClock
    users: int
    ways: Ways
    engine: Engine = field(init=False)
    recorder: Recorder = field(init=False)
    directory: LocalDirectory = field(init=False)
    hasher: PasswordHasher = field(init=False)

    def __post_init__(self) -> None:
        self.storage.use_chain(chain_for(self.ring, CHAIN, 1))
        # An Argon2id of almost no cost: each password is checked once before the measurement and remembered then.
        self.hasher = PasswordHasher(1, 100, time_cost=1, memory_kib=8)
        settings = LocalDirectorySettings(name="local", kind="local", verified_cache_s=10**9)
        self.directory = LocalDirectory(settings, self.storage, self.hasher, self.clock)
        self.recorder = Recorder(self.storage, lambda: self.ring, self.clock)
        self.use(self.storage)

    def use(self, storage: Storage) -> None:
        """Build the engine on this storage."""
        realm = Realm(RealmSettings(name="default", default=True, directories=("local",)), (self.directory,))
        policy = default_policy(tuple(factor.kind for factor in SECOND_FACTORS), STRONG_KINDS)
        applications = {"vpn": Application(ApplicationSettings(name="vpn"), policy)}
        configuration = EngineConfiguration(1, Realms([realm]), applications, risk=self.ways.risk)
        self.directory._storage = storage  # so that the counting pass sees the directory's reads
        self.engine = Engine(EngineParts(storage, self.clock, lambda: self.ring, lambda: configuration))

    async def fill(self) -> None:
        """Add the users, each with an app, and check each password once."""
        hashed = await self.hasher.hash(PASSWORD)
        for number in range(self.users):
            await self.storage.commit(self._user(number, hashed))
        for number in range(self.users):
            user = await self.directory.find(name(number), 60.0)
            if user is None:
                raise SystemExit("a user that was added is not there")
            await self.directory.check_password(user, PASSWORD, 60.0)

    def _user(self, number: int, hashed: str) -> list[Operation]:
        at_ms = to_ms(self.clock.now())
        user_id = f"{number:032x}"
        row: dict[str, str | int | bytes | None] = {
            "id": user_id,
            "directory": "local",
            "name": name(number),
            "name_key": name(number),
            "display_name": f"User {number}",
            "mail": f"{name(number)}@acme.test",
            "mail_key": f"{name(number)}@acme.test",
            "groups": '["staff","vpn-users"]',
            "attributes": '{"department":["sales"]}',
            "password_hash": hashed,
            "must_change": 0,
            "state": "active",
            "created_at": at_ms,
            "version": 1,
        }
        subject_id, operations = create_subject("local", user_id, at_ms)
        settings: dict[str, str | int] = {"digits": 6, "period_s": PERIOD_S, "algorithm": "SHA1"}
        _, insert = create_authenticator(self.ring, subject_id, "totp", "app", settings, secret_of(number), 0, at_ms)
        return [Insert("local_user", row), *operations, insert]

    async def login(self, number: int) -> None:
        """One two-step login, with the trails that a door makes."""
        origin = Origin("radius", NAS, "192.0.2.10", nas="hq", client="203.0.113.7", device={"os": "Windows"})
        trail = self._trail("Access-Request with password", origin)
        challenge = await self.engine.begin(BeginRequest("vpn", name(number), origin, trail, PASSWORD))
        self.recorder.publish(trail)
        if not isinstance(challenge, Challenge):
            raise SystemExit(f"no challenge but {challenge}")
        trail = self._trail("Access-Request with State", origin)
        code = Secret(hotp(secret_of(number), time_step(self.clock.now(), PERIOD_S), 6))
        fingerprint = challenge.handle.ljust(32, b"x")
        granted = await self.engine.answer(AnswerRequest(challenge.handle, code, name(number), fingerprint, origin, trail))
        self.recorder.publish(trail)
        if not isinstance(granted, Granted):
            raise SystemExit(f"not let in but {granted}")

    def _trail(self, what: str, origin: Origin) -> Trail:
        trail = Trail(self.clock, "radius")
        trail.note(what, identifier=7)
        trail.nas, trail.source, trail.client = origin.nas, origin.source, origin.client or ""
        trail.note("what the NAS tells", nas_identifier=None, **origin.device)
        return trail

    async def forget_transactions(self) -> None:
        """Remove what ended: the memory storage looks at every row."""
        for table in ("login_transaction", "handle", "timeline"):
            await self.storage.commit([Delete(table, (Where("expires_at" if table != "timeline" else "created_at", ">", 0),))])


@contextmanager
def writer_process() -> Iterator[WriterProcess]:
    """The process that writes, with a file of its own."""
    with tempfile.TemporaryDirectory(prefix="wardgate-bench-") as folder:
        writer = WriterProcess(Path(folder), Chain(CHAIN_KEY, CHAIN, 1))
        try:
            yield writer
        finally:
            writer.close()


def name(number: int) -> str:
    """A user's login name."""
    return f"user{number:06d}"


def secret_of(number: int) -> Secret:
    """A user's shared secret."""
    return Secret(number.to_bytes(20, "big"))


def new_place(storage: Storage, users: int, ways: Ways) -> Place:
    """An empty place."""
    return Place(storage, CountingRing({MAC_ROOT: new_key(), 1: new_key()}), ShiftedClock(), users, ways)


# --- measuring -------------------------------------------------------------------------------------------------------


async def count(place: Place) -> Counts:
    """What a few logins ask of storage and key ring."""
    counts = Counts()
    place.ring.counts = counts
    place.use(CountingStorage(place.storage, counts))
    for number in range(COUNTED_LOGINS):
        if number % place.users == 0:
            place.clock.shift += timedelta(seconds=place.ways.apart_s)
        await place.login(number % place.users)
    place.ring.counts = None
    place.use(place.storage)
    place.clock.shift += timedelta(seconds=PERIOD_S)
    return counts


async def measured_in_memory(logins: int, still: bool, ways: Ways) -> Times:
    """Seconds of CPU and wall time of a login, one after another, each user in a storage of his own."""
    places = [new_place(StillStorage() if still else MemoryStorage(), 1, ways) for _ in range(MEMORY_USERS)]
    for place in places:
        await place.fill()
        await place.login(0)
        if isinstance(place.storage, StillStorage):
            place.storage.still = True
    slices = []
    for _ in range(max(1, logins // SLICE)):
        cpu = wall = 0.0
        for number in range(SLICE):
            place = places[number % MEMORY_USERS]
            place.clock.shift += timedelta(seconds=ways.apart_s)
            began_cpu, began = time.process_time(), time.perf_counter()
            await place.login(0)
            cpu += time.process_time() - began_cpu
            wall += time.perf_counter() - began
            await place.forget_transactions()
        slices.append((cpu / SLICE, wall / SLICE))
    return min(slices)


async def measured_on_sqlite(place: Place, logins: int, writer_cpu_s: Callable[[], float]) -> Times:
    """The same with many sessions on one file."""

    def cpu_s() -> float:
        return time.process_time() + writer_cpu_s()

    slices = []
    for start in range(0, max(logins, SLICE), SLICE):
        first = start % place.users
        if first == 0:
            place.clock.shift += timedelta(seconds=place.ways.apart_s)
        numbers = iter(range(first, first + SLICE))

        async def session(numbers: Iterator[int] = numbers) -> None:
            for number in numbers:
                await place.login(number % place.users)

        began_cpu, began = cpu_s(), time.perf_counter()
        await asyncio.gather(*(session() for _ in range(place.ways.sessions)))
        slices.append(((cpu_s() - began_cpu) / SLICE, (time.perf_counter() - began) / SLICE))
    return min(slices)


@asynccontextmanager
async def sqlite_place(users: int, ways: Ways, writer: WriterProcess | None = None) -> AsyncIterator[Place]:
    """A filled place on a fresh file: the writer's, where there is one."""
    with tempfile.TemporaryDirectory(prefix="wardgate-bench-") as folder:
        storage: Storage
        if writer is None:
            storage = await SqliteStorage.open(Path(folder) / "wardgate.db")
        else:
            storage = await SqliteClientStorage.connect(writer.path, writer.socket)
        try:
            place = new_place(storage, users, ways)
            await place.fill()
            yield place
        finally:
            await storage.close()


async def measure(
    kind: str, logins: int, users: int, ways: Ways, profiler: cProfile.Profile | None, writer: WriterProcess | None
) -> Figure:
    """Everything about one storage."""
    if kind in ("still", "memory"):
        place = new_place(MemoryStorage(), 1, ways)
        await place.fill()
        counts = await count(place)
        cpu, wall = await _profiled(profiler, lambda: measured_in_memory(logins, kind == "still", ways))
    else:
        async with sqlite_place(users, ways, writer) as place:
            counts = await count(place)
            writer_cpu_s = writer.cpu_s if writer is not None else float
            cpu, wall = await _profiled(profiler, lambda: measured_on_sqlite(place, logins, writer_cpu_s))
    per = 1 / COUNTED_LOGINS
    figure = Figure(kind, logins, cpu * 1e6, wall * 1e6, 0, 0, 0, 0)
    return replace(
        figure, reads=counts.reads * per, commits=counts.commits * per, statements=counts.statements * per, macs=counts.macs * per
    )


async def _profiled(profiler: cProfile.Profile | None, work: Callable[[], Awaitable[Times]]) -> Times:
    gc.freeze()  # as a worker does before it serves
    if profiler is None:
        return await work()
    profiler.enable()
    try:
        return await work()
    finally:
        profiler.disable()


# --- the command -----------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    given = _parser().parse_args(arguments)
    figures = []
    ways = Ways(Assessor(RiskSettings(enabled=True)) if given.risk else None, given.apart_s, given.sessions)
    for kind in given.storage.split(","):
        profiler = cProfile.Profile() if given.profile else None
        with writer_process() if kind == "writer" else nullcontext() as writer:
            figures.append(asyncio.run(measure(kind, given.logins, given.users, ways, profiler, writer)))
        if profiler is not None:
            pstats.Stats(profiler, stream=sys.stderr).sort_stats(given.sort).print_stats(given.lines)
    if given.json:
        print(json.dumps([{name: getattr(figure, name) for name in Figure.__slots__} for figure in figures]))
    else:
        show(figures)
    return 0


def show(figures: Sequence[Figure]) -> None:
    """For people."""
    print("two-step TOTP logins, password remembered, no packets; per login:")
    for each in figures:
        print(
            f"  {each.storage:<8}{each.cpu_us:8.1f} us CPU {each.wall_us:8.1f} us wall   "
            f"{each.reads:g} reads, {each.commits:g} commits, {each.statements:g} statements, {each.macs:g} fingerprints"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.engine_profile", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--storage", default="still,memory,sqlite", help="still, memory, sqlite, writer, or several of them")
    parser.add_argument("--logins", type=int, default=4000)
    parser.add_argument("--users", type=int, default=USERS, help="users on the SQLite file")
    parser.add_argument("--sessions", type=int, default=64, help="logins at once on the SQLite file")
    parser.add_argument("--risk", action="store_true", help="score the logins")
    parser.add_argument("--apart", dest="apart_s", type=int, default=PERIOD_S, help="seconds between two logins of a user")
    parser.add_argument("--profile", action="store_true", help="print where the time goes; the figures are then too high")
    parser.add_argument("--sort", default="tottime", help="how the profile is sorted")
    parser.add_argument("--lines", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
