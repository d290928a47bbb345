"""Real server processes for tests: started on free loopback ports, spoken to over real sockets, stopped by their pid.

`Served` is one process. `serve_demo` and `serve_document` start one; `cli` runs a command as an operator does. `Wire` sends
RADIUS with our own codec, for tests about the server; what other makers' clients make of it is tested with those clients.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, ClassVar

import httpx

from wardgate.cli.performing import Performer, perform
from wardgate.crypto import Secret
from wardgate.errors import WardgateError
from wardgate.factors.totp import hotp
from wardgate.radius.client import build_access_request, check_reply
from wardgate.radius.packet import Attribute, Code, Packet, Placing, SharedSecret, Type, decode
from wardgate.radius.vendors.paloalto import VENDOR_ID

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "wardgate")
START_S = 30.0
STOP_S = 20.0
REPLY_S = 10.0
SECRET = "functional-tests-share-this"
PERIOD_S = 30


def environment() -> dict[str, str]:
    """What our processes see: nothing that changes how they behave or how they are printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WARDGATE_", "NOTIFY_SOCKET"))}
    return {**kept, "NO_COLOR": "1", "PYTHONPATH": str(ROOT / "src"), "LC_ALL": "C.UTF-8"}


def cli(*arguments: str, data: Path | None = None, stdin: str = "", expect: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run one command to its end. `expect`: the exit code that it must have; None: any."""
    where = ["--data", str(data)] if data is not None else []
    done = subprocess.run(
        [*COMMAND, *arguments, *where],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        cwd=ROOT,
        check=False,
    )
    if expect is not None:
        assert done.returncode == expect, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done


def cli_json(*arguments: str, data: Path, stdin: str = "", expect: int | None = 0) -> Any:
    """Run one command with `--json` and return its object."""
    return json.loads(cli(*arguments, "--json", data=data, stdin=stdin, expect=expect).stdout)


# --- processes -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Served:
    """One server process. `host` and `port`: where it takes logins."""

    process: subprocess.Popen[bytes]
    data: Path
    log_path: Path
    host: str = "127.0.0.1"
    port: int = 0
    accounting_port: int = 0
    url: str = ""
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def pid_of(self, name: str) -> int:
        """The process that is there now under a name: `writer`, `worker 0`."""
        started = [json.loads(line) for line in self.log.splitlines() if '"event": "process_started"' in line]
        return int(next(line["pid"] for line in reversed(started) if line["process"] == name))

    @property
    def pids(self) -> list[int]:
        """Its processes, itself first."""
        return [self.pid, *_descendants(self.pid)]

    @property
    def ca_file(self) -> Path:
        """What its certificate is verified with."""
        return self.data / "tls" / "cert.pem"

    @property
    def log(self) -> str:
        """Everything that it wrote to standard error."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def web(self) -> httpx.Client:
        """A client that verifies the server's certificate."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        return httpx.Client(base_url=self.url, verify=context, timeout=20, trust_env=False)

    def operator(self) -> httpx.Client:
        """A client that has entered by a one-time link, as an operator does."""
        link = cli_json("admin", "link", data=self.data)["url"]
        web = self.web()
        entered = web.post(link, headers={"Origin": self.url})
        assert entered.status_code in (200, 303), entered.text
        return web

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it as an operator does: exit code 0, nothing like a crash on standard error, no child left."""
        children = _descendants(self.pid)
        self.process.send_signal(number)
        code = self.process.wait(STOP_S)
        self._close()
        assert code == 0, f"exit {code}\n{self.log}"
        assert "Traceback" not in self.log, self.log
        assert not [pid for pid in children if lives(pid)]

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait(STOP_S)
        self._close()

    def end(self) -> None:
        """Make sure that it is gone, whatever the test did with it."""
        if self.process.poll() is None:
            self.kill()

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()


def serve_demo(data: Path, *arguments: str, command: Sequence[str] = COMMAND) -> Served:
    """Start a demo and wait for the line that it promises."""
    options = ["--json", "--radius-port", "0", "--accounting-port", "0", "--https-port", "0"]
    served = _start([*command, "demo", *options, "--data", str(data), *arguments], data)
    try:
        served.told = json.loads(_first_line(served))
    except BaseException:
        served.end()
        raise
    radius = served.told["radius"]
    served.host, served.port, served.accounting_port = radius["host"], radius["port"], radius["acct_port"]
    served.url = served.told["https"]["url"]
    return served


def make_installation(data: Path, document: str, users_csv: str = "", keep_hashes: bool = False) -> None:
    """An installation for `serve` that logs everything it can, on loopback, with this configuration and these users."""
    cli("init", "--yes", "--radius-address", "127.0.0.1", "--radius-address", "::1", data=data)
    settings = data / "wardgate.toml"
    text = settings.read_text().replace('level = "info"', 'level = "debug"').replace('format = "text"', 'format = "json"')
    settings.write_text(text)
    cli("config", "apply", "-", data=data, stdin=document)
    if users_csv:
        file = data.parent / f"{data.name}-users.csv"
        file.write_text(users_csv)
        cli("user", "import", str(file), "--silent", *(["--keep-hashes"] if keep_hashes else []), data=data)


def serve(data: Path, ports: Sequence[int] = (), *more: str, command: Sequence[str] = COMMAND, **variables: str) -> Served:
    """Start a server on an installation and wait until it says that it serves.

    `ports`: for logins and for accounting. `more`: further options. `command`: the program. `variables`: what stands in its
    environment besides.
    """
    radius, accounting = ports or free_udp_ports(2)
    options = ["--radius-port", str(radius), "--accounting-port", str(accounting), "--https-port", "0", *more]
    served = _start([*command, "serve", "--data", str(data), *options], data, variables)
    try:
        serving = wait_for(lambda: _serving(served), START_S)
    except BaseException:
        served.end()
        raise
    served.port, served.accounting_port, served.url = radius, accounting, serving["https"]
    return served


def _start(command: Sequence[str], data: Path, variables: Mapping[str, str] = MappingProxyType({})) -> Served:
    data.parent.mkdir(parents=True, exist_ok=True)
    log_path = data.parent / f"{data.name}-{secrets.token_hex(3)}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env={**environment(), **variables}, cwd=ROOT
        )
    return Served(process, data, log_path)


def _first_line(served: Served) -> bytes:
    stream: IO[bytes] = served.process.stdout  # type: ignore[assignment]
    ready, _, _ = select.select([stream], [], [], START_S)
    assert ready, f"nothing on standard output within {START_S} s\n{served.log}"
    line = stream.readline()
    assert line, f"it ended instead of serving\n{served.log}"
    return line


def _serving(served: Served) -> dict[str, Any] | None:
    assert served.process.poll() is None, f"it ended instead of serving\n{served.log}"
    for line in served.log.splitlines():
        if '"event": "serving"' in line:
            return dict(json.loads(line))
    return None


def free_udp_ports(count: int) -> list[int]:
    """Ports that are free on both loopback addresses now."""
    with contextlib.ExitStack() as stack:
        ports = []
        while len(ports) < count:
            one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            other = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                other.bind(("::1", port))
                ports.append(port)
        return ports


def wait_for(look: Callable[[], Any], within_s: float = 10.0) -> Any:
    """What `look` returns as soon as it is true. For facts that another process brings about."""
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"nothing within {within_s} s"
        time.sleep(0.03)
    return seen


def _descendants(pid: int) -> list[int]:
    """Every process below this one."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, new = set[int](), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new and child not in found}
        found |= new
    return sorted(found)


def lives(pid: int) -> bool:
    """Whether a process runs: one that ended and whom nobody has buried does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


# --- codes and messages --------------------------------------------------------------------------------------------------


def totp_code(secret_hex: str, *, shift: int = 0, digits: int = 6, period_s: int = PERIOD_S, algorithm: str = "SHA1") -> str:
    """The code of the present step, or of one so many steps away."""
    return hotp(Secret(bytes.fromhex(secret_hex)), int(time.time()) // period_s + shift, digits, algorithm)


def hotp_code(secret_hex: str, counter: int, digits: int = 6) -> str:
    """The code for a counter."""
    return hotp(Secret(bytes.fromhex(secret_hex)), counter, digits)


def wrong_code(right: str) -> str:
    """A code that is not this one, and is none of its neighbours in time but by a chance of one in hundreds of thousands."""
    return f"{(int(right) + 500_001) % 10 ** len(right):0{len(right)}d}"


def read_outbox(served: Served) -> list[dict[str, Any]]:
    """The demo's messages, newest first."""
    with served.web() as web:
        answer = web.get("/outbox", headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def newest_code(served: Served, user: str, channel: str, count: int) -> str:
    """The code of the newest message to a user, once `count` of them are there."""

    def look() -> list[dict[str, Any]] | None:
        found = [each for each in read_outbox(served) if each["user"] == user and each["channel"] == channel]
        return found if len(found) >= count else None

    return str(wait_for(look)[0]["code"])


def message_count(served: Served, user: str) -> int:
    """How many messages a user has got."""
    return len([each for each in read_outbox(served) if each["user"] == user])


# --- RADIUS ----------------------------------------------------------------------------------------------------------------


class Wire:
    """One UDP socket of a NAS. `source`: which of this machine's loopback addresses it sends from.

    `states`: every State that any of them was given, for the search for secrets.
    """

    states: ClassVar[list[bytes]] = []

    def __init__(self, served: Served, secret: str = SECRET, source: str = "127.0.0.1", port: int | None = None) -> None:
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        self.secret = SharedSecret(Secret(secret))
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((source, 0))
        self._socket.connect(("::1" if family == socket.AF_INET6 else "127.0.0.1", port or served.port))
        self._identifier = secrets.randbelow(256)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *reason: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def next_identifier(self) -> int:
        """The next one."""
        self._identifier = (self._identifier + 1) % 256
        return self._identifier

    def request(
        self,
        user: str,
        password: bytes | str,
        state: bytes | None = None,
        *,
        client: str | None = None,
        attributes: Sequence[Attribute] = (),
        identifier: int | None = None,
        nas_identifier: str | None = "test",
        chap: bool = False,
        message_authenticator: Placing = "first",
    ) -> Packet:
        """A fresh Access-Request. `client`: the user's address, as a Palo Alto firewall tells it."""
        told = [*attributes, *([client_ip(client)] if client else [])]
        return build_access_request(
            user,
            password,
            self.secret,
            identifier=self.next_identifier() if identifier is None else identifier,
            nas_identifier=nas_identifier,
            state=state,
            attributes=told,
            chap=chap,
            message_authenticator=message_authenticator,
        )

    def send(self, packet: Packet | bytes) -> None:
        """Send and do not wait."""
        self._socket.send(packet if isinstance(packet, bytes) else packet.raw)

    def receive(self, within_s: float = REPLY_S) -> bytes | None:
        """The next datagram, or None when none comes."""
        ready, _, _ = select.select([self._socket], [], [], within_s)
        datagram = self._socket.recv(65_535) if ready else None
        if datagram and datagram[0] == Code.ACCESS_CHALLENGE:
            self.states.extend(decode(datagram).all(Type.STATE))
        return datagram

    def ask(self, packet: Packet, within_s: float = REPLY_S) -> Packet:
        """Send, and return the reply, which must be authentic and in time."""
        self.send(packet)
        datagram = self.receive(within_s)
        assert datagram is not None, f"no reply within {within_s} s"
        return check_reply(packet, datagram, self.secret)

    def log_in(self, user: str, password: bytes | str, **options: Any) -> Packet:
        """A first request and its reply."""
        return self.ask(self.request(user, password, **options))

    def answer(self, user: str, code: bytes | str, challenge: Packet, **options: Any) -> Packet:
        """The answer to a challenge and its reply."""
        assert challenge.code is Code.ACCESS_CHALLENGE, message_of(challenge)
        return self.ask(self.request(user, code, challenge.first(Type.STATE), **options))

    def silent(self, packet: Packet | bytes, for_s: float = 0.7) -> bool:
        """Whether a packet gets no reply at all."""
        self.send(packet)
        return self.receive(for_s) is None


def client_ip(address: str) -> Attribute:
    """PaloAlto-Client-Source-IP, with which a firewall tells the user's own address."""
    value = address.encode()
    return Type.VENDOR_SPECIFIC, VENDOR_ID.to_bytes(4, "big") + bytes((7, len(value) + 2)) + value


def message_of(reply: Packet) -> str:
    """What a reply says."""
    return b" ".join(reply.all(Type.REPLY_MESSAGE)).decode()


def reference_of(reply: Packet) -> str:
    """The reference at the end of a refusal."""
    found = re.search(r"([0-9A-HJKMNP-TV-Z]{8})$", message_of(reply))
    assert found, message_of(reply)
    return found.group(1)


def reason_of(served: Served, reply: Packet) -> str:
    """Why a login was refused, as the server's own timeline tells; it is stored a moment after the reply left."""
    reference = reference_of(reply)

    def look() -> str | None:
        try:
            entries = perform(served.data, "trace.reference", {"reference": reference})["entries"]
        except WardgateError:
            return None
        denied = [entry["reason"] for entry in entries if entry["result"] == "denied"]
        return str(denied[-1]) if denied else None

    return str(wait_for(look))


def last_login(served: Served, user: str) -> list[dict[str, Any]]:
    """The timeline of a user's last login, once there is one."""

    def look() -> list[dict[str, Any]] | None:
        try:
            return list(perform(served.data, "trace.user", {"name": user})["entries"])
        except WardgateError:
            return None

    return list(wait_for(look))


def audit_events(data: Path) -> list[dict[str, Any]]:
    """The whole audit trail, by the running server or without one."""
    with Performer(data) as performer:
        events: list[dict[str, Any]] = []
        for chain in performer.do("audit.chains", {})["chains"]:
            after = 0
            while page := performer.do("audit.page", {**chain, "after": after})["events"]:
                events += page
                after = page[-1]["seq"]
        return events


def enrol_devices(data: Path, *persons: "Person") -> None:
    """Give users their code devices."""
    with Performer(data) as performer:
        for each in persons:
            performer.do("authenticator.add_hotp", {"name": each.name, "secret_hex": each.hotp_hex})


# --- users -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    """A user whom a test may log in as."""

    name: str
    password: str
    totp_hex: str = ""
    hotp_hex: str = ""
    phone: str = ""
    mail: str = ""
    groups: str = "vpn-users"


def people(prefix: str, count: int, **fields: str) -> list[Person]:
    """Users with passwords and app secrets of their own."""
    return [
        Person(f"{prefix}{number}", f"pw-{secrets.token_urlsafe(9)}", secrets.token_hex(20), **fields) for number in range(count)
    ]


def csv_of(persons: Sequence[Person]) -> str:
    """The file that `wardgate user import` takes.

    Passwords stand in it as {SSHA}, which is cheap to make here; Wardgate replaces it by Argon2id at the first login, and each
    check of it costs as much as one of Argon2id.
    """
    rows = ["username,password_hash,mail,phone,groups,totp_secret_hex"]
    rows += [f"{each.name},{_ssha(each.password)},{each.mail},{each.phone},{each.groups},{each.totp_hex}" for each in persons]
    return "\n".join(rows) + "\n"


def _ssha(password: str) -> str:
    salt = secrets.token_bytes(8)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


@contextlib.contextmanager
def ended(served: Served) -> Iterator[Served]:
    """A server that is gone at the end, whatever happened."""
    try:
        yield served
    finally:
        served.end()


def told_now(demo: Served) -> dict[str, Any]:
    """What the demo would tell now: counters have gone on since its first line, and recovery codes were used."""
    return perform(demo.data, "demo.describe", {})


def factor_of(told: Mapping[str, Any], user: str, kind: str) -> dict[str, Any]:
    """A demo user's factor, as the demo told it."""
    factors = next(each["factors"] for each in told["users"] if each["name"] == user)
    return dict(next(each for each in factors if each["kind"] == kind))


def password_of(told: Mapping[str, Any], user: str) -> str:
    """A demo user's password."""
    return str(next(each["password"] for each in told["users"] if each["name"] == user))
