"""What checking a password and looking a user up cost at an LDAP directory, beside python-ldap on the same slapd.

    python -m bench.ldap [--rounds 5] [--seconds 2] [--at-once 16] [--crowd 100000] [--json | --markdown]

Both do the same over TLS, in processes of their own, one after the other in each round: `re-bind` checks a password on a
connection that stands, `search` finds a user by name with nine attributes. Wardgate's is the client as directories use it, pools,
limits and all; python-ldap (C, in Debian's Python) has as many threads as Wardgate has calls at once, each with a connection of its
own. Counted is the CPU time of the client; rates are bounded by slapd, which shares the cores. The bars: as many for a CPU second
as python-ldap, better 1.3 times as many.

`--crowd`: also what one login's look-up costs (the user, and the groups that he is in) among a thousand users and a hundred
groups, and among that many users and a tenth as many groups: how long it takes, most of which is slapd's, and the CPU time of our
client alone.
"""

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.report import Bar, machine, progress, put_into
from tests import slapd
from wardgate.clock import SystemClock
from wardgate.config.reference import ClearValue, SecretSetting
from wardgate.crypto import Secret
from wardgate.directory.kind import DirectoryParts
from wardgate.directory.ldap.client import Client
from wardgate.directory.ldap.port import Scope
from wardgate.directory.ldap.settings import BindSettings, LdapSettings
from wardgate.passwords import PasswordHasher
from wardgate.storage.memory import MemoryStorage
from wardgate.worker import COLLECTED_EVERY

USERS = 1000
GROUP_MEMBERS = 20
ATTRIBUTES = ("uid", "cn", "sn", "mail", "mobile", "telephoneNumber", "entryUUID", "memberOf", "pwdChangedTime")
WORKS = ("re-bind", "search")
TIMEOUT_S = 60.0
PEER = "python-ldap"

# Runs in Debian's Python. Arguments: work, URL, CA file, service DN, its password, base, users' base, password, users, threads,
# seconds, attributes.
_PEER = """
import json, sys, threading, time
import ldap
work, url, ca, service, service_password, base, people, password, users, threads, seconds, *attributes = sys.argv[1:]
ldap.set_option(ldap.OPT_X_TLS_CACERTFILE, ca)
users, threads, seconds = int(users), int(threads), float(seconds)
done, stop, ready = [0] * threads, threading.Event(), threading.Barrier(threads + 1)
def run(number):
    connection = ldap.initialize(url)
    connection.simple_bind_s(service, service_password)
    ready.wait()
    at = number
    while not stop.is_set():
        name = f"user{at % users:06}"
        at += threads
        if work == "re-bind":
            connection.simple_bind_s(f"uid={name},{people}", password)
        elif len(connection.search_s(base, ldap.SCOPE_SUBTREE, f"(uid={name})", attributes)) != 1:
            raise SystemExit("not found")
        done[number] += 1
running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
for thread in running:
    thread.start()
ready.wait()
wall, cpu = time.perf_counter(), time.process_time()
time.sleep(seconds)
count, wall, cpu = sum(done), time.perf_counter() - wall, time.process_time() - cpu
stop.set()
for thread in running:
    thread.join()
print(json.dumps({"done": count, "wall_s": wall, "cpu_s": cpu}))
"""


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of one client."""

    done: int
    wall_s: float
    cpu_s: float

    @property
    def per_cpu_s(self) -> float:
        """Operations for one second of the client's CPU."""
        return self.done / self.cpu_s

    @property
    def per_s(self) -> float:
        """Operations a second."""
        return self.done / self.wall_s


@dataclass(frozen=True, slots=True)
class LookUp:
    """One login's look-up: how long it took, and what of that was the CPU time of our client."""

    us: float
    client_us: float


@dataclass(slots=True)
class Figures:
    """All slices, by work and client, in the order of the rounds; and look-ups by the size of the directory."""

    slices: dict[tuple[str, str], list[Slice]]
    missing: list[str]
    lookups: dict[str, LookUp]

    def ratios(self, work: str) -> list[float]:
        """Ours against the peer's for a CPU second, round by round."""
        pairs = zip(self.slices.get((work, "Wardgate"), ()), self.slices.get((work, PEER), ()), strict=False)
        return [ours.per_cpu_s / theirs.per_cpu_s for ours, theirs in pairs]

    def ratio(self, work: str) -> float | None:
        """The middle of the rounds."""
        found = self.ratios(work)
        return statistics.median(found) if found else None

    def bars(self) -> list[Bar]:
        """The budgets."""
        return [
            Bar(f"{work} on TLS, per client CPU second, against {PEER}", self.ratio(work), 1.0, 1.3, "x", True, self._spread(work))
            for work in WORKS
        ]

    def _spread(self, work: str) -> str:
        found = self.ratios(work)
        return f"rounds {min(found):.2f} to {max(found):.2f}" if found else ""


# --- one slice of ours ----------------------------------------------------------------------------------------------------------


def client(url: str, ca_file: str, at_once: int) -> Client:
    """The client as a directory has it."""
    settings = LdapSettings(
        name="bench",
        kind="openldap",
        servers=(url,),
        bind=BindSettings(dn=slapd.SERVICE, password=ClearValue(value=slapd.SERVICE_PASSWORD)),
        base=slapd.BASE,
        ca_file=ca_file,
        connections=at_once,
    )
    return Client(settings, DirectoryParts(MemoryStorage(), PasswordHasher(1, 1), SystemClock(), _clear))


def _clear(setting: SecretSetting) -> Secret:
    if not isinstance(setting, ClearValue):
        raise TypeError("the benchmark's password is in clear")
    return Secret(setting.value)


async def _re_bind(ldap: Client, name: str) -> None:
    result = await ldap.bind(f"uid={name},{slapd.PEOPLE_DN}", Secret(slapd.PASSWORD), timeout_s=TIMEOUT_S)
    if not result.good:
        raise RuntimeError(f"{name}: {result}")


async def _search(ldap: Client, name: str) -> None:
    found = await ldap.search(slapd.BASE, Scope.SUBTREE, f"(uid={name})", ATTRIBUTES, timeout_s=TIMEOUT_S, limit=2)
    if len(found) != 1:
        raise RuntimeError(f"{name}: {len(found)} entries")


async def measure_ours(work: str, url: str, ca_file: str, at_once: int, seconds: float) -> Slice:
    """So many calls at a time, for so long."""
    gc.freeze()  # as a worker does before it serves
    gc.set_threshold(*COLLECTED_EVERY)
    ldap = client(url, ca_file, at_once)
    call: Callable[[Client, str], Awaitable[None]] = _re_bind if work == "re-bind" else _search
    await asyncio.gather(*(call(ldap, f"user{number:06}") for number in range(at_once)))
    done, until = 0, time.perf_counter() + seconds

    async def run(number: int) -> None:
        nonlocal done
        while time.perf_counter() < until:
            await call(ldap, f"user{number % USERS:06}")
            number += at_once
            done += 1

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(run(number) for number in range(at_once)))
    measured = Slice(done, time.perf_counter() - wall, time.process_time() - cpu)
    await ldap.close()
    return measured


# --- rounds ---------------------------------------------------------------------------------------------------------------------


def _child(command: Sequence[str]) -> Slice:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10 * TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return Slice(**json.loads(done.stdout))


def ours(server: slapd.Server, work: str, given: argparse.Namespace) -> Slice:
    """Our slice, in a process of its own."""
    at = [work, server.ldaps, server.ca_file, str(given.at_once), str(given.seconds)]
    return _child([sys.executable, "-m", "bench.ldap", "--slice", *at])


def theirs(server: slapd.Server, work: str, given: argparse.Namespace) -> Slice:
    """python-ldap's."""
    who = [server.ca_file, slapd.SERVICE, slapd.SERVICE_PASSWORD, slapd.BASE, slapd.PEOPLE_DN, slapd.PASSWORD]
    how = [str(USERS), str(given.at_once), str(given.seconds), *ATTRIBUTES]
    return _child(["/usr/bin/python3", "-c", _PEER, work, server.ldaps, *who, *how])


def peer_missing() -> str | None:
    """Why python-ldap cannot be measured here."""
    try:
        done = subprocess.run(["/usr/bin/python3", "-c", "import ldap"], capture_output=True, timeout=TIMEOUT_S, check=False)
    except OSError:
        return "no /usr/bin/python3"
    return None if done.returncode == 0 else "python-ldap: apt-get install python3-ldap"


def measure(given: argparse.Namespace) -> Figures:
    """Everything."""
    figures = Figures({}, [], {})
    missing = peer_missing()
    if missing is not None:
        figures.missing.append(missing)
    with slapd.server(users=USERS) as server:
        for number in range(given.rounds):
            for work in WORKS:
                clients = {"Wardgate": ours} if missing is not None else {"Wardgate": ours, PEER: theirs}
                # Who goes first changes: what the machine does besides falls on both.
                for name in sorted(clients, reverse=bool(number % 2)):
                    one = clients[name](server, work, given)
                    figures.slices.setdefault((work, name), []).append(one)
                    progress(f"{work}, {name}: {one.per_cpu_s:.0f} a CPU second, {one.per_s:.0f} a second")
    if given.crowd:
        for users in (USERS, given.crowd):
            figures.lookups[f"{users} users, {users // 10} groups"] = look_up(users, given.seconds)
    return figures


def look_up(users: int, seconds: float) -> LookUp:
    """One login's look-up, one after the other."""
    with slapd.server(users=users) as server:
        server.stop()
        server._load("".join(_groups(users)))  # ten thousand groups over the wire would take minutes
        server.start()
        found = uvloop.run(_looked_up(server, users, seconds))
    progress(f"look-up among {users} users: {found.us:.0f} us, {found.client_us:.0f} us of the client's CPU")
    return found


def _groups(users: int) -> list[str]:
    groups = users // 10
    step = max(1, users // GROUP_MEMBERS)
    return [
        slapd.ldif(
            slapd.group_dn(f"group{number:06}"),
            {
                "objectClass": "groupOfNames",
                "cn": f"group{number:06}",
                "member": tuple(slapd.user_dn(f"user{(number + at * step) % users:06}") for at in range(GROUP_MEMBERS)),
            },
        )
        for number in range(groups)
    ]


async def _looked_up(server: slapd.Server, users: int, seconds: float) -> LookUp:
    ldap = client(server.ldaps, server.ca_file, 1)
    times: list[float] = []
    await _search(ldap, "user000000")
    number, until = 0, time.perf_counter() + seconds
    cpu = time.process_time()
    while time.perf_counter() < until:
        number = (number + 7919) % users
        began = time.perf_counter()
        name = f"user{number:06}"
        await _search(ldap, name)
        members = f"(&(objectClass=groupOfNames)(member={slapd.user_dn(name)}))"
        await ldap.search(slapd.GROUPS_DN, Scope.SUBTREE, members, ("cn",), timeout_s=TIMEOUT_S, limit=500)
        times.append((time.perf_counter() - began) * 1e6)
    cpu = time.process_time() - cpu
    await ldap.close()
    return LookUp(statistics.median(times), cpu / len(times) * 1e6)


# --- telling --------------------------------------------------------------------------------------------------------------------


def tables(figures: Figures) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Columns and rows."""
    rows: list[tuple[str, ...]] = [
        (
            work,
            name,
            f"{statistics.median(each.per_cpu_s for each in slices):.0f}",
            f"{statistics.median(1e6 / each.per_cpu_s for each in slices):.0f}",
            f"{statistics.median(each.per_s for each in slices):.0f}",
        )
        for (work, name), slices in sorted(figures.slices.items())
    ]
    found: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = [
        (("work", "measured", "must", "aim", "verdict", "note"), [bar.cells() for bar in figures.bars()]),
        (("work", "client", "per client CPU second", "client CPU us", "per second"), rows),
    ]
    if figures.lookups:
        first = next(iter(figures.lookups.values()))
        looked: list[tuple[str, ...]] = [
            (
                size,
                f"{each.us:.0f}",
                f"{each.us / first.us:.2f}",
                f"{each.client_us:.0f}",
                f"{each.client_us / first.client_us:.2f}",
            )
            for size, each in figures.lookups.items()
        ]
        found.append((("one login's look-up among", "us", "ratio", "client CPU us", "ratio"), looked))
    return found


def lines(figures: Figures, given: argparse.Namespace, markdown: bool) -> list[str]:
    """For people."""
    about = machine()
    told = [
        f"{about['cores']} cores ({about['processor']}), Python {about['python']}, load {about['load']} at the end, "
        f"commit {about['commit']}; {given.at_once} at once, {given.rounds} rounds of {given.seconds:g} s; "
        "slapd (SSHA) shares the cores."
    ]
    for columns, rows in tables(figures):
        if markdown:
            told += ["", *("| " + " | ".join(row) + " |" for row in (columns, ("---",) * len(columns), *rows))]
        else:
            widths = [max(len(row[at]) for row in (columns, *rows)) for at in range(len(columns))]
            told += ["", *("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in (columns, *rows))]
    return [*told, *(f"\nNot measured: {each}." for each in figures.missing)]


def as_json(figures: Figures) -> dict[str, object]:
    """One object."""
    return {
        "machine": machine(),
        "ratios": {work: figures.ratio(work) for work in WORKS},
        "results": [
            {
                "work": work,
                "client": name,
                "per_cpu_s": [each.per_cpu_s for each in slices],
                "per_s": [each.per_s for each in slices],
            }
            for (work, name), slices in figures.slices.items()
        ],
        "lookups": {size: {"us": each.us, "client_us": each.client_us} for size, each in figures.lookups.items()},
        "missing": figures.missing,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell."""
    given = _parser().parse_args(arguments)
    if given.slice:
        work, url, ca_file, at_once, seconds = given.slice
        one = uvloop.run(measure_ours(work, url, ca_file, int(at_once), float(seconds)))
        print(json.dumps({"done": one.done, "wall_s": one.wall_s, "cpu_s": one.cpu_s}))
        return 0
    figures = measure(given)
    if given.into is not None:
        put_into(given.into, "ldap", "\n".join(lines(figures, given, markdown=True)))
    if given.json:
        print(json.dumps(as_json(figures)))
    else:
        print("\n".join(lines(figures, given, given.markdown)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.ldap", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    form.add_argument("--markdown", action="store_true", help="print Markdown tables on standard output")
    parser.add_argument("--into", type=Path, help="also put the Markdown tables into this document (docs/performance.md)")
    parser.add_argument("--rounds", type=int, default=5, help="slices of each kind, alternating (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one slice (default 2)")
    parser.add_argument("--at-once", type=int, default=16, help="calls at a time, and python-ldap's threads (default 16)")
    parser.add_argument("--crowd", type=int, default=0, metavar="USERS", help="also the look-up among so many users")
    parser.add_argument("--slice", nargs=5, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
