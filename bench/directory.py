"""RADIUS logins whose password an LDAP directory checks: Wardgate and FreeRADIUS with rlm_ldap before the same slapd, in one run.

    python -m bench.directory [--rounds 5] [--seconds 2] [--sessions 64] [--users 2000] [--json | --markdown]

One packet a login: PAP, then a bind as the user, over TLS, then the accept. Both look the user up as a service account first.
FreeRADIUS does no more than that. Wardgate also reads state and policy, keeps the directory's lock-out in view, decides by its
policy, which names no groups, and writes each login to the audit trail before it says yes; nothing is taken from a cache. `{SSHA}`
passwords, so that slapd's own work is small. Slices alternate; a ratio is the median of the rounds, each taken within its round.
The generator (Python, one process) and slapd share the cores: the CPU time of slapd per login is told beside.
"""

import argparse
import contextlib
import hashlib
import hmac
import json
import os
import select
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import freeradius_server, wardgate_server
from bench.freeradius_server import MAIN
from bench.load import Result, percentiles
from bench.processes import tree_cpu_s
from bench.report import Bar, Report, as_json, as_markdown, as_text, progress, put_into
from bench.wardgate_server import SECRET, START_S, Running, free_ports
from tests import slapd

PEER = "FreeRADIUS + rlm_ldap"
BOUND = "bind at slapd, SSHA"
PATIENCE_S = 10.0
RESEND_S = 3.0
ACCEPT, REJECT = 2, 3
RLM_LDAP = Path("/usr/lib/freeradius/rlm_ldap.so")
THREADS = 16

# --- the generator ------------------------------------------------------------------------------------------------------


def access_request(name: bytes, password: bytes, identifier: int, authenticator: bytes, secret: bytes) -> bytes:
    """A PAP login in one packet, with a Message-Authenticator. RFC 2865 sections 4.1 and 5.2, RFC 3579 section 3.2."""
    padded = password.ljust(-(-len(password) // 16) * 16, b"\0")
    hidden, last = b"", authenticator
    for at in range(0, len(padded), 16):
        pad = hashlib.md5(secret + last, usedforsecurity=False).digest()
        last = bytes(one ^ other for one, other in zip(padded[at : at + 16], pad, strict=True))
        hidden += last
    attributes = b"".join(
        (
            bytes((80, 18)),
            bytes(16),
            bytes((1, 2 + len(name))),
            name,
            bytes((2, 2 + len(hidden))),
            hidden,
            b"\x04\x06\x7f\x00\x00\x01",
        )
    )
    packet = struct.pack("!BBH16s", 1, identifier, 20 + len(attributes), authenticator) + attributes
    return packet[:22] + hmac.digest(secret, packet, "md5") + packet[38:]


@dataclass(slots=True)
class _Session:
    """One socket with one login under way."""

    sock: socket.socket
    identifier: int = 0
    packet: bytes = b""
    began: float = 0.0
    sent: float = 0.0
    open: bool = False


@dataclass(slots=True)
class Generator:
    """Logs users in one after the other, so many at a time, each session from a port of its own."""

    users: int
    password: bytes = slapd.PASSWORD.encode()
    next: int = 0
    times: list[float] = field(default_factory=list)
    refused: int = 0
    unanswered: int = 0
    resent: int = 0
    bad: int = 0

    def run(self, port: int, sessions: int, seconds: float, pids: Sequence[int]) -> Result:
        """One slice: logins begin for `seconds`; those under way then may end."""
        self.times, self.refused, self.unanswered, self.resent, self.bad = [], 0, 0, 0, 0
        cpu, own = tree_cpu_s(pids), time.process_time()
        began = time.perf_counter()
        with ExitStack() as stack:
            opened = [_Session(stack.enter_context(_socket(port))) for _ in range(sessions)]
            in_time = self._drive(opened, began + seconds)
        used, own = tree_cpu_s(pids) - cpu, time.process_time() - own
        done = max(1, len(self.times))
        milliseconds = percentiles(self.times) if self.times else (0.0, 0.0, 0.0)
        return Result(
            sessions=sessions,
            seconds=seconds,
            logins=len(self.times),
            in_time=in_time,
            refused=self.refused,
            unanswered=self.unanswered,
            resent=self.resent,
            bad=self.bad,
            first_ms=milliseconds,
            second_ms=(0.0, 0.0, 0.0),
            login_ms=milliseconds,
            server_cpu_us=used / done * 1e6,
            own_cpu_us=own / done * 1e6,
            exhausted=False,
        )

    def _drive(self, sessions: Sequence[_Session], until: float) -> int:
        poll, by_number = select.epoll(), {each.sock.fileno(): each for each in sessions}
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        for session in sessions:
            self._begin(session)
        in_time, now = 0, time.perf_counter()
        while any(session.open for session in sessions):
            for number, _ in poll.poll(0.2):
                session = by_number[number]
                ended = self._end(session)
                now = time.perf_counter()
                if ended and now < until:
                    in_time += 1
                if not session.open and now < until:
                    self._begin(session)
            now = time.perf_counter()
            self._look_after(sessions, now)
        poll.close()
        return in_time

    def _begin(self, session: _Session) -> None:
        name = f"user{self.next:06}".encode()
        self.next = (self.next + 1) % self.users
        session.identifier = (session.identifier + 1) % 256
        session.packet = access_request(name, self.password, session.identifier, os.urandom(16), SECRET.encode())
        session.began = session.sent = time.perf_counter()
        session.open = True
        session.sock.send(session.packet)

    def _end(self, session: _Session) -> bool:
        """Whether a login went through."""
        try:
            reply = session.sock.recv(4096)
        except (BlockingIOError, ConnectionRefusedError):
            return False
        if not session.open or len(reply) < 20 or reply[1] != session.identifier:
            self.bad += len(reply) < 20 or reply[1] == session.identifier
            return False
        session.open = False
        if reply[0] != ACCEPT:
            self.refused += reply[0] == REJECT
            self.bad += reply[0] != REJECT
            return False
        self.times.append(time.perf_counter() - session.began)
        return True

    def _look_after(self, sessions: Sequence[_Session], now: float) -> None:
        """Send again what got no answer, as a NAS does, and give up in the end."""
        for session in sessions:
            if session.open and now - session.began > PATIENCE_S:
                session.open = False
                self.unanswered += 1
            elif session.open and now - session.sent > RESEND_S:
                session.sent = now
                self.resent += 1
                session.sock.send(session.packet)


@contextlib.contextmanager
def _socket(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))
        yield sock


# --- the servers --------------------------------------------------------------------------------------------------------

_FREERADIUS = (
    MAIN
    + """modules {{
    ldap {{
        server = "{url}"
        identity = "{identity}"
        password = "{password}"
        base_dn = "{base}"
        user {{
            base_dn = "{base}"
            filter = "(uid=%{{User-Name}})"
        }}
        options {{
            chase_referrals = no
            res_timeout = 10
            srv_timelimit = 10
            net_timeout = 5
        }}
        tls {{
            ca_file = {ca_file}
            require_cert = "demand"
        }}
        pool {{
            start = {threads}
            min = {threads}
            max = {threads}
            spare = 0
            uses = 0
            lifetime = 0
            idle_timeout = 0
        }}
    }}
}}
listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {port}
    virtual_server = bench
}}
server bench {{
    authorize {{
        ldap
        update control {{
            &Auth-Type := LDAP
        }}
    }}
    authenticate {{
        Auth-Type LDAP {{
            ldap
        }}
    }}
    post-auth {{
        update reply {{
            &Message-Authenticator := 0x00
        }}
    }}
}}
"""
)


@contextlib.contextmanager
def freeradius(folder: Path, server: slapd.Server) -> Iterator[Running]:
    """FreeRADIUS with rlm_ldap: looks the user up, binds as the user."""
    folder.mkdir(mode=0o700)
    port = free_ports()[0]
    (folder / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")
    text = _FREERADIUS.format(
        folder=folder,
        secret=SECRET,
        threads=THREADS,
        port=port,
        url=server.ldaps,
        identity=slapd.SERVICE,
        password=slapd.SERVICE_PASSWORD,
        base=slapd.BASE,
        ca_file=server.ca_file,
    )
    (folder / "radiusd.conf").write_text(text)
    log_path = folder / "output"
    with log_path.open("wb") as log:
        command = [freeradius_server.program() or "freeradius", "-f", "-d", str(folder), "-n", "radiusd"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_S
        while b"Ready to process requests" not in log_path.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"FreeRADIUS does not start: {log_path.read_text()[-2000:]}")
            time.sleep(0.05)
        yield Running(process.pid, port)
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def wardgate(folder: Path, server: slapd.Server, workers: int, connections: int) -> Iterator[Running]:
    """Wardgate with that slapd as its only directory, and a policy that asks for the password alone."""
    folder.mkdir(mode=0o700)
    data = folder / "data"
    wardgate_server.install(data)
    document = {
        "realms": [{"name": "acme", "default": True, "directories": ["ldap"]}],
        "directories": [
            {
                "name": "ldap",
                "kind": "openldap",
                "servers": [server.ldaps],
                "ca_file": server.ca_file,
                "bind": {"dn": slapd.SERVICE, "password": {"value": slapd.SERVICE_PASSWORD}},
                "base": slapd.BASE,
                "connections": connections,
            }
        ],
        "policies": [{"name": "password", "rules": [{"name": "all", "then": {"steps": [["password"]]}}]}],
        "nas": [{"name": "bench", "addresses": ["127.0.0.0/8"], "secret": {"value": SECRET}, "application": "vpn"}],
        "applications": [{"name": "vpn", "policy": "password"}],
    }
    wardgate_server.command("config", "apply", "-", "--data", str(data), stdin=json.dumps(document))
    count = workers if wardgate_server.has_workers() else None
    with wardgate_server.running(data, workers=count) as running:
        yield running


def peer_missing() -> str | None:
    """What has to be installed for the peer, or None."""
    if freeradius_server.program() is None:
        return "freeradius"
    return None if RLM_LDAP.exists() else "freeradius-ldap"


# --- measuring ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Contender:
    """A server that runs, what drives it, and what slapd spent for it."""

    label: str
    port: int
    pid: int
    load: Generator
    slapd_us: list[float] = field(default_factory=list)


def measure(given: argparse.Namespace, report: Report) -> list[Contender]:
    """All servers stand side by side; slice by slice another one is asked."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wardgate-bench-")))
        server = stack.enter_context(slapd.server(users=given.users))
        contenders = []
        if lacking := peer_missing():
            report.missing.append(f"{PEER}: {lacking} is not installed")
        else:
            peer = stack.enter_context(freeradius(place / "freeradius", server))
            contenders.append(Contender(PEER, peer.port, peer.pid, Generator(given.users)))
        for workers in (int(each) for each in given.workers.split(",")):
            ours = stack.enter_context(wardgate(place / f"wardgate{workers}", server, workers, given.connections))
            label = f"Wardgate, {workers} worker{'s' * (workers > 1)}"
            contenders.append(Contender(label, ours.port, ours.pid, Generator(given.users)))
        for each in contenders:
            if Generator(given.users, b"not the password").run(each.port, 1, 0.0, []).refused != 1:
                raise SystemExit(f"{each.label} does not refuse a wrong password")
            progress(f"{each.label}: first logins")
            each.load.run(each.port, given.sessions, max(1.0, given.users / 1000), [each.pid])
        for _ in range(given.rounds):
            for each in contenders:
                _slice(each, given, report, server.pid)
    return contenders


def _slice(contender: Contender, given: argparse.Namespace, report: Report, slapd_pid: int) -> None:
    before = tree_cpu_s([slapd_pid])
    result = contender.load.run(contender.port, given.sessions, given.seconds, [contender.pid])
    contender.slapd_us.append((tree_cpu_s([slapd_pid]) - before) / max(1, result.logins) * 1e6)
    report.add(contender.label, BOUND, result)


def tell(report: Report, contenders: Sequence[Contender], sessions: int) -> list[tuple[str, float]]:
    """Bars and single figures into the report; the ratios."""
    ratios: list[tuple[str, float]] = []
    peer = report.series.get(PEER)
    for each in contenders:
        report.limits[f"{each.label}: slapd's CPU us/login"] = statistics.median(each.slapd_us)
        series = report.series[each.label]
        ratio = series.against(peer, sessions) if peer is not None and series.ours else None
        if ratio is not None:
            ratios.append((f"{each.label} against {PEER}, {sessions} sessions", ratio))
    best = max(ratios, key=lambda told: told[1], default=("", None))
    report.bars.append(Bar(f"directory logins against {PEER}, same slapd", best[1], 1.0, 2.0, "x", least=True, note=best[0]))
    return ratios


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Exit code 1 when a login that should have gone through did not."""
    given = _parser().parse_args(arguments)
    if shutil.which("slapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        raise SystemExit("there is no slapd here; on Debian: apt-get install slapd slapd-contrib ldap-utils")
    report = Report("Python program")
    contenders = measure(given, report)
    told = tell(report, contenders, given.sessions)
    if given.into is not None:
        put_into(given.into, "directory", as_markdown(report, told))
    if given.json:
        print(json.dumps(as_json(report, told)))
    else:
        print(as_markdown(report, told) if given.markdown else as_text(report, told))
    return 0 if report.sound else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.directory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    form.add_argument("--markdown", action="store_true", help="print Markdown tables on standard output")
    parser.add_argument("--into", type=Path, help="also put the Markdown tables into this document (docs/performance.md)")
    parser.add_argument("--rounds", type=int, default=5, help="slices of each server, alternating (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one slice (default 2)")
    parser.add_argument("--sessions", type=int, default=64, help="logins at a time (default 64)")
    parser.add_argument("--users", type=int, default=2000, help="users in the directory (default 2000)")
    parser.add_argument("--workers", default="1,2", help="numbers of Wardgate's workers (default 1,2)")
    parser.add_argument("--connections", type=int, default=8, help="each worker's connections for passwords (default 8)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
