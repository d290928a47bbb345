"""A Wardgate installation and server for the benchmarks, in a directory of its own.

With `cheap_hash` the server runs with an Argon2id of almost no cost: only so can tens of thousands of users get into the
verified-password cache before the measurement, in which no password is hashed any more. Everything else is the product.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.sampler import watch
from wardgate.cli.performing import Performer
from wardgate.clock import SystemClock
from wardgate.installation import Installation
from wardgate.passwords import PasswordHasher
from wardgate.settings import RadiusListenerSettings, StartSettings
from wardgate.storage.settings import DatabaseSettings

ROOT = Path(__file__).resolve().parent.parent
SECRET = "benchmark-shared-secret"
START_S = 30.0


@dataclass(frozen=True, slots=True)
class Account:
    """A user as he is imported."""

    name: str
    password: str
    totp_hex: str


def accounts(count: int, prefix: str = "user") -> list[Account]:
    """So many users."""
    return [Account(f"{prefix}{number:06d}", f"pw-{secrets.token_hex(6)}", secrets.token_hex(20)) for number in range(count)]


@dataclass(frozen=True, slots=True)
class Running:
    """A server that takes logins. `started_s`: how long it took until it did."""

    pid: int
    port: int
    started_s: float = 0.0
    https: int = 0


def command(*arguments: str, stdin: str = "") -> None:
    """One command of the product; its error ends the benchmark."""
    done = subprocess.run(
        [sys.executable, "-m", "wardgate", *arguments],
        input=stdin,
        text=True,
        capture_output=True,
        env=environment(),
        cwd=ROOT,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"wardgate {arguments[0]}: {done.stderr or done.stdout}")


def environment() -> dict[str, str]:
    """What the server sees."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}


def make(data: Path, people: Sequence[Account], verified_cache_s: int, disabled: Sequence[Account] = ()) -> None:
    """An installation with these users, who come by the product's own import, and one NAS on loopback."""
    install(data)
    configure(data, verified_cache_s)
    file = data.parent / "users.csv"
    rows = [f"{each.name},{ssha(each.password)},{each.totp_hex}" for each in people]
    file.write_text("\n".join(["username,password_hash,totp_secret_hex", *rows, ""]))
    # The hashes are kept, so that no login in the middle of a measurement writes a new one. Each check costs one Argon2id.
    command("user", "import", str(file), "--silent", "--keep-hashes", "--data", str(data))
    with Performer(data) as performer:
        for each in disabled:
            performer.do("user.disable", {"name": each.name})


def install(data: Path, url: str = "") -> None:
    """An empty installation on SQLite, or on the PostgreSQL database of `url`."""
    database = DatabaseSettings(url=url) if url else DatabaseSettings()
    settings = StartSettings(database=database, radius=RadiusListenerSettings(addresses=("127.0.0.1",)))
    asyncio.run(Installation.create(data, demo=False, clock=SystemClock(), settings=settings))


def configure(data: Path, verified_cache_s: int, more: str = "") -> None:
    """Set how long verified passwords are remembered. `more`: further sections of the document."""
    document = f"""
realms: [{{name: default, default: true, directories: [local]}}]
directories: [{{name: local, kind: local, keep_hashes: true, verified_cache_s: {verified_cache_s}}}]
nas: [{{name: bench, addresses: [127.0.0.0/8], secret: {{value: {SECRET}}}, application: vpn}}]
applications: [{{name: vpn}}]
{more}
"""
    command("config", "apply", "-", "--data", str(data), stdin=document)


def ssha(password: str) -> str:
    """A hash that costs nothing to check."""
    salt = secrets.token_bytes(8)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def has_workers() -> bool:
    """Whether this version can serve with several processes."""
    shown = subprocess.run(
        [sys.executable, "-m", "wardgate", "serve", "--help"],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        check=True,
    )
    return "--workers" in shown.stdout


@contextlib.contextmanager
def running(
    data: Path, cheap_hash: bool = False, workers: int | None = None, sampled: Path | None = None, proxied: bool = False
) -> Iterator[Running]:
    """The server, from the moment at which it answers.

    `sampled`: where its processes write what they were seen doing. `proxied`: it believes what clients on this machine say of
    where their requests came from, so that many people can come from one.
    """
    port, accounting, https = free_ports()
    if proxied:
        _believe_proxies(data)
    options = ["--radius-port", str(port), "--accounting-port", str(accounting), "--https-port", str(https)]
    if workers is not None:
        options += ["--workers", str(workers)]
    wrapped = cheap_hash or sampled is not None
    program = ["-m", "bench.wardgate_server", *(["--cheap-hash"] if cheap_hash else [])] if wrapped else ["-m", "wardgate"]
    if sampled is not None:
        program += ["--sampled", str(sampled)]
    log_path = data.parent / "server.log"
    began = time.monotonic()
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *program, "serve", "--data", str(data), *options],
            stdin=subprocess.DEVNULL,
            stderr=log,
            env=environment(),
            cwd=ROOT,
        )
    try:
        deadline = began + START_S
        while b"serving" not in log_path.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server does not start: {log_path.read_text()}")
            time.sleep(0.01)
        yield Running(process.pid, port, time.monotonic() - began, https)
    finally:
        process.terminate()
        process.wait(30)


def _believe_proxies(data: Path) -> None:
    file = data / "wardgate.toml"
    text = file.read_text()
    file.write_text(text.replace("trusted_proxies = []", 'trusted_proxies = ["127.0.0.1"]', 1))


def free_ports() -> tuple[int, int, int]:
    """Two UDP ports and a TCP port that are free now."""
    with contextlib.ExitStack() as stack:
        ports = []
        for kind in (socket.SOCK_DGRAM, socket.SOCK_DGRAM, socket.SOCK_STREAM):
            sock = stack.enter_context(socket.socket(socket.AF_INET, kind))
            sock.bind(("127.0.0.1", 0))
            ports.append(sock.getsockname()[1])
        return ports[0], ports[1], ports[2]


def main() -> None:
    """`wardgate`, with a password hash that costs next to nothing (`--cheap-hash`) or watched by the profiler (`--sampled`)."""
    parser = argparse.ArgumentParser(description="For the benchmarks only.")
    parser.add_argument("--cheap-hash", action="store_true")
    parser.add_argument("--sampled", type=Path)
    given, rest = parser.parse_known_args()
    if given.cheap_hash:
        _make_hashes_cheap()
    if given.sampled is not None:
        watch(given.sampled)
    from wardgate.cli.main import main as run

    sys.argv[1:] = rest
    run()


def _make_hashes_cheap() -> None:
    """For every hasher that is made from now on, in this process and those that it forks."""
    make = PasswordHasher.__init__

    def cheap(hasher: PasswordHasher, *arguments: Any, **named: Any) -> None:
        make(hasher, *arguments, **(named | {"time_cost": 1, "memory_kib": 8}))

    PasswordHasher.__init__ = cheap  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    main()
