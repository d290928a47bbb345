"""Two-step TOTP logins over RADIUS: how many a second, how long each takes, what it costs the server, and against what.

    python -m bench.radius [--quick] [--json]

Measured are logins with the verified-password cache (the packet path: no password is hashed) and logins with Argon2id, both with
durable replay protection and audit; beside them, in the same run, what the machine allows (UDP echo, bare Argon2id, fdatasync)
and, where it is installed, FreeRADIUS `files` with rlm_totp, which promises neither. Slices alternate; medians count. Read the
ratios and the CPU time: rates belong to this machine and this minute. The generator shares the cores with the server.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench import freeradius_server, limits, wardgate_server
from bench.load import Again, Load, Once, Result, User
from bench.wardgate_server import SECRET, Account, Running

ADDRESS = "127.0.0.1"
CACHE_S = 3_600
# Enough for what a core hashes in all slices together.
HASHED_USERS = 2_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    users: int
    rounds: int
    seconds: float
    hash_seconds: float
    sessions: tuple[int, ...]
    directory: str | None
    peer: bool


@dataclass(slots=True)
class Report:
    """Everything that was measured."""

    machine: dict[str, object]
    limits: dict[str, float] = field(default_factory=dict)
    slices: dict[str, list[Result]] = field(default_factory=dict)

    def add(self, label: str, result: Result) -> None:
        """One more slice of a series."""
        self.slices.setdefault(label, []).append(result)
        _progress(f"{label}, {result.sessions} sessions: {result.per_second:.0f} logins/s")

    def median(self, label: str, sessions: int) -> dict[str, float]:
        """The medians of a series at one number of sessions."""
        found = [each for each in self.slices.get(label, ()) if each.sessions == sessions]
        if not found:
            return {}
        middle = statistics.median
        return {
            "logins_per_s": middle(each.per_second for each in found),
            "cpu_us": middle(each.server_cpu_us for each in found),
            "generator_cpu_us": middle(each.own_cpu_us for each in found),
            "p50_ms": middle(each.login_ms[0] for each in found),
            "p95_ms": middle(each.login_ms[1] for each in found),
            "p99_ms": middle(each.login_ms[2] for each in found),
            "users_ran_out": sum(each.exhausted for each in found),
            "refused": sum(each.refused for each in found),
            "unanswered": sum(each.unanswered for each in found),
            "resent": sum(each.resent for each in found),
            "bad": sum(each.bad for each in found),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Exit code 1 when a login that should have gone through did not."""
    given = _parser().parse_args(arguments)
    quick = given.quick
    plan = Plan(
        users=given.users or (4_000 if quick else 30_000),
        rounds=given.rounds or (1 if quick else 3),
        seconds=given.seconds or (1.0 if quick else 3.0),
        hash_seconds=2.0 if quick else 5.0,
        sessions=tuple(int(each) for each in given.sessions.split(",")),
        directory=given.directory,
        peer=not given.no_peer and freeradius_server.program() is not None,
    )
    report = measure(plan)
    if given.json:
        print(json.dumps(as_json(report, plan)))
    else:
        show(report, plan)
    return 0 if sound(report) else 1


def measure(plan: Plan) -> Report:
    """All of it."""
    report = Report({"cores": os.cpu_count(), "load": os.getloadavg()[0], "python": sys.version.split()[0]})
    with tempfile.TemporaryDirectory(prefix="wardgate-bench-", dir=plan.directory) as place:
        folder = Path(place)
        _measure_limits(report, folder, plan)
        people, hashed = wardgate_server.accounts(plan.users), wardgate_server.accounts(HASHED_USERS, "hashed")
        _progress(f"importing {len(people) + len(hashed)} users")
        wardgate_server.make(folder / "data", [*people, *hashed], CACHE_S)
        _measure_packet_path(report, folder, people, plan)
        wardgate_server.configure(folder / "data", 0)
        _measure_argon2id(report, folder, hashed, plan)
    return report


def _measure_limits(report: Report, folder: Path, plan: Plan) -> None:
    _progress("what the machine allows")
    for sessions in plan.sessions:
        report.limits[f"udp_echo_per_s_{sessions}"] = limits.echo_per_s(sessions, plan.seconds / 2)
    report.limits["argon2id_per_s"] = limits.argon2id_per_s(plan.seconds)
    report.limits["fdatasync_per_s"] = limits.fdatasync_per_s(folder, plan.seconds / 2)


def _measure_packet_path(report: Report, folder: Path, people: Sequence[Account], plan: Plan) -> None:
    """Every user once, which fills the cache; then the slices, each beside one of the peer."""
    users = _users(people)
    once, again = Once(users), Again(users)
    with ExitStack() as stack:
        server = stack.enter_context(wardgate_server.running(folder / "data", cheap_hash=True))
        peer = stack.enter_context(freeradius_server.running(folder / "freeradius", people)) if plan.peer else None
        _progress(f"first logins of {len(users)} users, to fill the cache")
        _slice(server, once, 64, 600, logins=len(users))
        for _ in range(plan.rounds):
            for sessions in plan.sessions:
                if peer is not None:
                    report.add("freeradius files", _slice(peer, again, sessions, plan.seconds))
                report.add("wardgate, password cache", _slice(server, once, sessions, plan.seconds))


def _measure_argon2id(report: Report, folder: Path, people: Sequence[Account], plan: Plan) -> None:
    once = Once(_users(people))
    with wardgate_server.running(folder / "data") as server:
        _slice(server, once, 1, 0.5)
        for sessions in plan.sessions:
            report.add("wardgate, Argon2id", _slice(server, once, sessions, plan.hash_seconds))


def _slice(server: Running, choose: Once | Again, sessions: int, seconds: float, logins: int | None = None) -> Result:
    return Load((ADDRESS, server.port), SECRET.encode(), sessions, choose).run(seconds, server.pid, logins)


def _users(people: Sequence[Account]) -> list[User]:
    return [User(each.name.encode(), each.password.encode(), bytes.fromhex(each.totp_hex)) for each in people]


def sound(report: Report) -> bool:
    """Whether Wardgate let everybody in and answered everything."""
    ours = [each for label, slices in report.slices.items() if label.startswith("wardgate") for each in slices]
    return all(each.logins and not (each.refused or each.unanswered or each.bad) for each in ours)


# --- telling -----------------------------------------------------------------------------------------------------------


def ratios(report: Report, plan: Plan) -> dict[str, float]:
    """What should be compared between machines."""
    told: dict[str, float] = {}
    for sessions in plan.sessions:
        ours, peer = report.median("wardgate, password cache", sessions), report.median("freeradius files", sessions)
        if ours and peer:
            told[f"password cache against freeradius files, {sessions} sessions"] = ours["logins_per_s"] / peer["logins_per_s"]
        if ours:
            echo = report.limits[f"udp_echo_per_s_{sessions}"]
            told[f"datagrams against UDP echo, {sessions} sessions"] = 2 * ours["logins_per_s"] / echo
    hashed = report.median("wardgate, Argon2id", max(plan.sessions))
    if hashed:
        told["Argon2id logins against the bare Argon2id rate of one thread"] = (
            hashed["logins_per_s"] / report.limits["argon2id_per_s"]
        )
    return told


def as_json(report: Report, plan: Plan) -> dict[str, object]:
    """One object."""
    return {
        "machine": report.machine,
        "plan": asdict(plan),
        "limits": report.limits,
        "results": [
            {"server": label, "sessions": sessions, **report.median(label, sessions)}
            for label in report.slices
            for sessions in plan.sessions
            if report.median(label, sessions)
        ],
        "ratios": ratios(report, plan),
        "sound": sound(report),
    }


def show(report: Report, plan: Plan) -> None:
    """For people."""
    machine = report.machine
    print(f"{machine['cores']} cores, load {machine['load']:.1f} at the start, Python {machine['python']}, {plan.users} users")
    print("\nwhat the machine allows")
    for name, value in report.limits.items():
        print(f"  {name:<24} {value:>10.0f}")
    columns = ("sessions", "logins/s", "CPU us", "p50 ms", "p95 ms", "p99 ms", "refused", "resent", "generator us")
    print("\n" + "server".ljust(26) + "".join(f"{name:>13}" for name in columns))
    for label in report.slices:
        for sessions in plan.sessions:
            row = report.median(label, sessions)
            if row:
                names = ("logins_per_s", "cpu_us", "p50_ms", "p95_ms", "p99_ms", "refused", "resent", "generator_cpu_us")
                cells = "".join(f"{row[name]:>13.2f}" if name.endswith("_ms") else f"{row[name]:>13.0f}" for name in names)
                note = "  (users ran out: give more --users)" if row["users_ran_out"] else ""
                print(f"{label:<26}{sessions:>13}{cells}{note}")
    print("\nratios")
    for name, value in ratios(report, plan).items():
        print(f"  {value:>7.3f}  {name}")
    if not plan.peer:
        print("  (FreeRADIUS is not installed, or was left out: no peer)")


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.radius", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a minute: few users, one short round")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    parser.add_argument("--sessions", default="1,16,64", help="logins at a time (default 1,16,64)")
    parser.add_argument("--rounds", type=int, help="slices of each kind (default 3; quick: 1)")
    parser.add_argument("--seconds", type=float, help="length of a slice (default 3; quick: 1)")
    parser.add_argument("--users", type=int, help="users; each logs in once in half a minute (default 30000; quick: 4000)")
    parser.add_argument("--directory", help="where the database stands while measuring (default: the system's temporary directory)")
    parser.add_argument("--no-peer", action="store_true", help="leave FreeRADIUS out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
