"""Two-step TOTP logins over RADIUS: how many a second, how long each takes, what it costs the server, and against what.

    python -m bench.radius [--quick] [--json | --markdown]
    python -m bench.radius --crowd [--crowd-users 10000000]

One run, alternating slices, medians: Wardgate with durable replay protection and audit (SQLite and PostgreSQL, one worker and two)
beside FreeRADIUS alone (`files`: no replay protection), with SQLite in synchronous=FULL and with PostgreSQL (the same promise about
codes). The password is right and remembered on our side, which compares a keyed fingerprint; on FreeRADIUS's side it stands in
clear, and as a salted SHA-1 in a row of its own. A second series hashes each password by Argon2id. What is not installed is left
out, and said. Read ratios and CPU time: rates belong to this machine and this minute. The generator shares the cores.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import freeradius_server, limits, postgres_server, wardgate_server
from bench.freeradius_server import Peer
from bench.generator import Generator, Mode, Slice, compiler, generator
from bench.load import PERIOD_S
from bench.processes import tree_pss_mib
from bench.report import AT_SESSIONS, Bar, Report, Series, as_json, as_markdown, as_text, progress, put_into
from bench.users import Crowd, enrol
from bench.wardgate_server import SECRET

CACHE_S = 3_600
# Enough for what two cores hash in all slices together.
HASHED_USERS = 3_000
# What the verified-password cache holds, less some.
MAX_USERS = 45_000
SMALL_CROWD = 1_000
REMEMBERED = "remembered: keyed fingerprint"
ARGON2ID = "Argon2id 19 MiB, t=2"
PASSWORDS = {"clear": "in clear", "ssha": "SSHA"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    users: int
    rounds: int
    seconds: float
    hash_seconds: float
    sessions: tuple[int, ...]
    workers: tuple[int, ...]
    databases: tuple[str, ...]
    directory: str | None
    peers: bool
    crowd_users: int


@dataclass(slots=True)
class Contender:
    """A server that runs, and what drives it."""

    label: str
    checked: str
    port: int
    pids: list[int]
    load: Generator
    mode: Mode = Mode.ONCE

    def slice(self, report: Report, sessions: int, seconds: float, logins: int | None = None) -> None:
        """Measure one slice; once more, with new codes, when the users ran out of them."""
        wanted = Slice(sessions, seconds, self.mode, logins)
        result = self.load.run(self.port, wanted, self.pids)
        if result.exhausted:
            _await_new_codes()
            result = self.load.run(self.port, wanted, self.pids)
        report.add(self.label, self.checked, result)


@dataclass(slots=True)
class Bench:
    """One run: the folder of everything, what is to be stopped at the end, what was found."""

    plan: Plan
    folder: Path
    stack: ExitStack
    report: Report
    cluster: postgres_server.Cluster | None = None
    contenders: list[Contender] = field(default_factory=list)

    def generator(self, crowd: Crowd, name: str) -> Generator:
        """A generator of its own for each server: what was used of the codes differs."""
        return self.stack.enter_context(generator(self.folder, crowd.users(), SECRET, name))

    # --- servers -----------------------------------------------------------------------------------------------------

    def begin_peers(self, crowd: Crowd) -> None:
        """Every FreeRADIUS that can be had."""
        for number, peer in enumerate(PEERS):
            lacking = freeradius_server.missing(peer) or (
                "postgresql" if peer.once == "postgresql" and self.cluster is None else None
            )
            if lacking is not None:
                self.report.missing.append(f"{peer.label}: {lacking} is not installed")
                continue
            folder = self.folder / f"freeradius{number}"
            running = self.stack.enter_context(freeradius_server.running(folder, crowd.users(), peer, self.cluster))
            pids = [running.pid, *self._database_pids(peer.once == "postgresql")]
            load = self.generator(crowd, f"peer{number}")
            self.contenders.append(Contender(peer.label, PASSWORDS[peer.passwords], running.port, pids, load, peer.mode))

    def begin_wardgate(self, database: str, crowd: Crowd, workers: int) -> Contender:
        """A server on an installation of its own whose users' passwords are all remembered."""
        name = f"{database}{workers}"
        data = self.folder / name / "data"
        data.parent.mkdir()
        wardgate_server.install(data, self._url(database, name))
        wardgate_server.configure(data, CACHE_S)
        enrol(data, crowd)
        count = workers if wardgate_server.has_workers() else None
        running = self.stack.enter_context(wardgate_server.running(data, cheap_hash=True, workers=count))
        label = f"Wardgate, {TITLES[database]}, {workers} worker{'s' * (workers > 1)}"
        pids = [running.pid, *self._database_pids(database == "postgresql")]
        contender = Contender(label, REMEMBERED, running.port, pids, self.generator(crowd, name))
        progress(f"{label}: first logins of {crowd.count} users, so that their passwords are remembered")
        contender.load.run(contender.port, Slice(AT_SESSIONS, 600, logins=crowd.count), contender.pids)
        return contender

    def _url(self, database: str, name: str) -> str:
        if database == "sqlite" or self.cluster is None:
            return ""
        self.cluster.run(f"create database {name}")
        return self.cluster.url(name)

    def _database_pids(self, wanted: bool) -> list[int]:
        return [self.cluster.pid] if wanted and self.cluster is not None else []

    # --- what is measured --------------------------------------------------------------------------------------------

    def measure_remembered(self) -> None:
        """All servers stand side by side; slice by slice another one is asked."""
        crowd = Crowd("user", self.plan.users)
        if self.plan.peers:
            self.begin_peers(crowd)
        for database in self.plan.databases:
            for workers in self.plan.workers:
                self.contenders.append(self.begin_wardgate(database, crowd, workers))
        for _ in range(self.plan.rounds):
            for sessions in self.plan.sessions:
                for contender in self.contenders:
                    contender.slice(self.report, sessions, self.plan.seconds)

    def measure_argon2id(self) -> None:
        """Each login hashes one password; in turn with the bare rate of as many threads as the server uses."""
        crowd, data = Crowd("hashed", HASHED_USERS, argon2id=True), self.folder / "argon2id" / "data"
        data.parent.mkdir()
        wardgate_server.install(data)
        wardgate_server.configure(data, 0)
        enrol(data, crowd)
        threads = max(1, (os.cpu_count() or 1) - 1)
        workers = max(self.plan.workers)
        bare: list[float] = []
        with wardgate_server.running(data, workers=workers if wardgate_server.has_workers() else None) as server:
            load = self.generator(crowd, "hashed")
            label = f"Wardgate, SQLite, {workers} worker{'s' * (workers > 1)}, Argon2id"
            contender = Contender(label, ARGON2ID, server.port, [server.pid], load)
            for _ in range(self.plan.rounds):
                bare.append(limits.argon2id_per_s(self.plan.hash_seconds / 2, threads))
                for sessions in dict.fromkeys((1, min(AT_SESSIONS, max(self.plan.sessions)))):
                    contender.slice(self.report, sessions, self.plan.hash_seconds)
                bare.append(limits.argon2id_per_s(self.plan.hash_seconds / 2, threads))
        self.report.limits[f"bare Argon2id on {threads} thread{'s' * (threads > 1)}, hashes/s"] = statistics.median(bare)

    def measure_start(self) -> None:
        """`wardgate serve` as it comes: default workers, few users."""
        data = self.folder / "start" / "data"
        data.parent.mkdir()
        wardgate_server.install(data)
        wardgate_server.configure(data, 0)
        enrol(data, Crowd("user", 100))
        started: list[float] = []
        for _ in range(3):
            with wardgate_server.running(data) as server:
                started.append(server.started_s)
                time.sleep(1.0)
                self.report.limits["idle memory (PSS) of all processes, MiB"] = tree_pss_mib([server.pid])
        self.report.limits["start to serving, s"] = statistics.median(started)

    def measure_limits(self) -> None:
        """What this machine allows."""
        for sessions in self.plan.sessions:
            self.report.limits[f"UDP echo between two Python processes, {sessions} in flight, round trips/s"] = limits.echo_per_s(
                sessions, self.plan.seconds / 2
            )
        self.report.limits["fdatasync/s"] = limits.fdatasync_per_s(self.folder, self.plan.seconds / 2)

    def measure_crowd(self) -> None:
        """The logins of a thousand users, who are all there are or are spread over many; each once in each half minute."""
        few = Crowd("user", SMALL_CROWD)
        for database in self.plan.databases:
            sides = [self._crowd(database, count) for count in (SMALL_CROWD, self.plan.crowd_users)]
            for _ in range(self.plan.rounds):
                _await_new_codes()
                for contender in sides:
                    contender.slice(self.report, AT_SESSIONS, PERIOD_S / 2, logins=SMALL_CROWD)
            small, large = (self.report.series[each.label] for each in sides)
            cost = [each.median(AT_SESSIONS, lambda result: result.server_cpu_us) for each in (small, large)]
            memory = [tree_pss_mib(each.pids[:1]) for each in sides]
            among = f"{TITLES[database]}, {self.plan.crowd_users} users against {few.count}"
            self.report.bars.append(Bar(f"CPU per login, {among}", cost[1] / cost[0], 1.2, 1.05, "x", least=False))
            self.report.bars.append(
                Bar(f"memory (PSS) of all processes, {among}", memory[1] / memory[0], 1.2, 1.05, "x", least=False)
            )
            for each, mib in zip(sides, memory, strict=True):
                self.report.limits[f"{each.label}: memory (PSS) after the load, MiB"] = mib

    def _crowd(self, database: str, count: int) -> Contender:
        """A server with so many users. The thousand who log in are spread evenly over all of them."""
        name = f"{database}{count}"
        data = self.folder / name / "data"
        data.parent.mkdir()
        wardgate_server.install(data, self._url(database, name))
        wardgate_server.configure(data, CACHE_S)
        progress(f"making {count} users")
        crowd = Crowd("user", count)
        enrol(data, crowd)
        users = [crowd.users(number * (count // SMALL_CROWD), 1)[0] for number in range(SMALL_CROWD)]
        running = self.stack.enter_context(wardgate_server.running(data, cheap_hash=True))
        load = self.stack.enter_context(generator(self.folder, users, SECRET, name))
        label = f"Wardgate, {TITLES[database]}, {count} users"
        pids = [running.pid, *self._database_pids(database == "postgresql")]
        contender = Contender(label, REMEMBERED, running.port, pids, load)
        contender.load.run(running.port, Slice(AT_SESSIONS, 600, logins=len(users)), contender.pids)
        return contender


def _await_new_codes() -> None:
    """Until the next half minute begins: then each user has one more code."""
    time.sleep(PERIOD_S - time.time() % PERIOD_S + 0.1)


PEERS: tuple[Peer, ...] = (
    freeradius_server.FILES,
    freeradius_server.SALTED,
    freeradius_server.SQLITE,
    freeradius_server.POSTGRESQL,
)
TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Exit code 1 when a login that should have gone through did not."""
    given = _parser().parse_args(arguments)
    plan = _plan(given)
    report = Report("C program" if compiler() else "Python program (no C compiler here)")
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="wardgate-bench-", dir=plan.directory))
        bench = Bench(plan, Path(place), stack, report)
        if "postgresql" in plan.databases or plan.peers:
            _begin_postgres(bench)
        if given.crowd:
            bench.measure_crowd()
        else:
            bench.measure_limits()
            bench.measure_start()
            bench.measure_argon2id()
            bench.measure_remembered()
    if not given.crowd:
        report.bars += bars(report)
    told = list(ratios(report, plan))
    if given.into is not None:
        put_into(given.into, "crowd" if given.crowd else "radius", as_markdown(report, told))
    if given.json:
        print(json.dumps(as_json(report, told)))
    else:
        print(as_markdown(report, told) if given.markdown else as_text(report, told))
    return 0 if report.sound else 1


def _begin_postgres(bench: Bench) -> None:
    if postgres_server.programs() is None:
        bench.report.missing.append("PostgreSQL: postgresql is not installed")
    else:
        bench.cluster = bench.stack.enter_context(postgres_server.running(bench.folder / "postgresql"))
    ours = importlib.util.find_spec("asyncpg") is not None and importlib.util.find_spec("wardgate.storage.postgres") is not None
    if "postgresql" in bench.plan.databases and (bench.cluster is None or not ours):
        if not ours:
            bench.report.missing.append("Wardgate on PostgreSQL: asyncpg is not installed")
        databases = tuple(each for each in bench.plan.databases if each != "postgresql")
        bench.plan = Plan(**{name: getattr(bench.plan, name) for name in Plan.__slots__} | {"databases": databases})


# --- ratios and bars ----------------------------------------------------------------------------------------------------


def ratios(report: Report, plan: Plan) -> list[tuple[str, float]]:
    """Wardgate with remembered passwords against the peers that keep codes where it does, or nowhere."""
    ours = [series for series in report.series.values() if series.ours and series.checked == REMEMBERED]
    peers = [series for series in report.series.values() if not series.ours]
    found: list[tuple[str, float]] = []
    for one in ours:
        for other in peers:
            elsewhere = any(title in other.label and title not in one.label for title in TITLES.values())
            for sessions in () if elsewhere else plan.sessions:
                ratio = one.against(other, sessions)
                if ratio is not None:
                    found.append((f"{one.label} against {other.label}, {sessions} sessions", ratio))
    return found


def bars(report: Report) -> list[Bar]:
    """The budgets, each by the series that holds it best."""
    ours = [each for each in report.series.values() if each.ours and each.checked == REMEMBERED and AT_SESSIONS in each.slices]
    embedded = [each for each in ours if "SQLite" in each.label]
    found = [
        _ratio_bar("logins against FreeRADIUS + SQLite FULL (same promise)", embedded, report, freeradius_server.SQLITE, 3.0, 6.0),
        _ratio_bar("logins against FreeRADIUS files (no replay protection)", embedded, report, freeradius_server.FILES, 0.6, 1.5),
    ]
    postgres = [each for each in ours if "PostgreSQL" in each.label]
    if postgres:
        found.append(
            _ratio_bar(
                "logins against FreeRADIUS + PostgreSQL (same promise)", postgres, report, freeradius_server.POSTGRESQL, 3.0, 6.0
            )
        )
    cheapest = min(embedded, key=_cpu, default=None)
    cpu = _cpu(cheapest) if cheapest else None
    found.append(Bar("CPU per login, password hash excluded", cpu, 100, 60, " us", least=False, note=_label(cheapest)))
    found.append(_tail_bar(embedded, report))
    found.append(_argon2id_bar(report))
    started, memory = (_single(report, name) for name in ("start to serving", "idle memory"))
    found.append(Bar("start to serving", started, 1.5, 0.8, " s", least=False))
    found.append(Bar("idle memory (PSS) of all processes", memory, 200, 120, " MiB", least=False))
    return found


def _ratio_bar(work: str, ours: Sequence[Series], report: Report, peer: Peer, must: float, aim: float) -> Bar:
    other = report.series.get(peer.label)
    rated = [(ratio, one.label) for one in ours if other and (ratio := one.against(other, AT_SESSIONS)) is not None]
    best = max(rated, default=(None, ""))
    return Bar(work, best[0], must, aim, "x", least=True, note=best[1])


def _tail_bar(ours: Sequence[Series], report: Report) -> Bar:
    """The slowest hundredth of our logins against that of the peer with the same promise."""
    peer = report.series.get(freeradius_server.SQLITE.label)
    best = min(ours, key=_p99, default=None)
    ratio = _p99(best) / _p99(peer) if best and peer and AT_SESSIONS in peer.slices else None
    return Bar("p99 against FreeRADIUS + SQLite FULL", ratio, 1.0, 0.5, "x", least=False, note=_label(best))


def _argon2id_bar(report: Report) -> Bar:
    hashed = next((each for each in report.series.values() if each.checked == ARGON2ID), None)
    bare = _single(report, "bare Argon2id")
    value = hashed.rate(max(hashed.slices)) / bare * 100 if hashed and bare else None
    return Bar("Argon2id logins of the bare Argon2id rate", value, 90, 97, " %", least=True, note=_label(hashed))


def _cpu(series: Series) -> float:
    return series.median(AT_SESSIONS, lambda each: each.server_cpu_us)


def _p99(series: Series) -> float:
    return series.median(AT_SESSIONS, lambda each: each.login_ms[2])


def _label(series: Series | None) -> str:
    return series.label if series else ""


def _single(report: Report, beginning: str) -> float | None:
    return next((value for name, value in report.limits.items() if name.startswith(beginning)), None)


# --- the command line ---------------------------------------------------------------------------------------------------


def _plan(given: argparse.Namespace) -> Plan:
    quick = given.quick
    return Plan(
        users=min(MAX_USERS, given.users or (4_000 if quick else 40_000)),
        rounds=given.rounds or (1 if quick else 3),
        seconds=given.seconds or (1.0 if quick else 2.0),
        hash_seconds=min(given.seconds or 5.0, 2.0 if quick else 5.0),
        sessions=tuple(int(each) for each in given.sessions.split(",")),
        workers=tuple(int(each) for each in given.workers.split(",")) if wardgate_server.has_workers() else (1,),
        databases=tuple(given.databases.split(",")),
        directory=given.directory,
        peers=not given.no_peer,
        crowd_users=given.crowd_users,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.radius", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two minutes: few users, one short round")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    form.add_argument("--markdown", action="store_true", help="print Markdown tables on standard output")
    parser.add_argument("--into", type=Path, help="also put the Markdown tables into this document (docs/performance.md)")
    parser.add_argument("--sessions", default="1,16,64,256", help="logins at a time (default 1,16,64,256)")
    parser.add_argument("--workers", default="1,2", help="worker processes (default 1,2)")
    parser.add_argument("--databases", default="sqlite,postgresql", help="default sqlite,postgresql")
    parser.add_argument("--rounds", type=int, help="slices of each kind (default 3; quick: 1)")
    parser.add_argument("--seconds", type=float, help="length of a slice (default 2; quick: 1)")
    parser.add_argument("--users", type=int, help=f"users; each has two codes in half a minute (default 40000; most {MAX_USERS})")
    parser.add_argument("--directory", help="where the databases stand while measuring (default: the system's temporary directory)")
    parser.add_argument("--no-peer", action="store_true", help="leave FreeRADIUS out")
    parser.add_argument("--crowd", action="store_true", help="measure a login among a thousand users and among --crowd-users")
    parser.add_argument("--crowd-users", type=int, default=10_000_000, help="default 10000000: seven minutes and 9 GB of disk")
    return parser


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
