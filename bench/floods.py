"""Floods of packets that are worth nothing, from a process of their own: guesses and packets that are none.

`flooding` sends as fast as told while its block runs, so that a benchmark or a test can measure what is left for everybody else:

    with flooding(Target(port, nas, secret), Kind.MANY_NAMES, per_s=400) as flood:
        ...

`python -m bench.floods` measures that with the load generator, for each kind: the bar is half of the rate.
"""

import argparse
import contextlib
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bench.load import Load, Once, User
from bench.wardgate_server import ROOT, SECRET, accounts, environment, make, running
from wardgate.crypto import Secret
from wardgate.radius.client import build_access_request
from wardgate.radius.packet import SharedSecret

CALLING_STATION_ID = 31
DIFFERENT = 4_000
SOCKETS = 8
TICK_S = 0.005
STOP_S = 10.0


class Kind(StrEnum):
    """What is sent."""

    MANY_NAMES = "wrong passwords of many names from one station"
    ONE_NAME = "wrong passwords of one name from one station"
    RANDOM = "random bytes"
    TRUNCATED = "requests that were cut off"
    FORGED = "requests with a wrong Message-Authenticator"


GUESSES = (Kind.MANY_NAMES, Kind.ONE_NAME)
RUBBISH = (Kind.RANDOM, Kind.TRUNCATED, Kind.FORGED)
# Ten times of what one core hashes with Argon2id: about 40 in a second.
GUESSES_PER_S = 400
RUBBISH_PER_S = 5_000
SOURCE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to, from which address, and with which secret. `station`: where every guess comes from, as the NAS tells it."""

    port: int
    source: str
    secret: str
    station: str = "203.0.113.66"


def datagrams(kind: Kind, target: Target, count: int = DIFFERENT) -> list[bytes]:
    """So many different ones."""
    if kind is Kind.RANDOM:
        return [secrets.token_bytes(20 + number % 400) for number in range(count)]
    secret = SharedSecret(Secret(target.secret))
    guesses = [
        build_access_request(
            "nobody" if kind is Kind.ONE_NAME else f"guess-{secrets.token_hex(6)}",
            f"guess {number}",
            secret,
            identifier=number % 256,
            attributes=[(CALLING_STATION_ID, target.station.encode())],
        ).raw
        for number in range(count)
    ]
    if kind is Kind.TRUNCATED:
        return [raw[: 1 + number % (len(raw) - 1)] for number, raw in enumerate(guesses)]
    if kind is Kind.FORGED:
        return [raw[:22] + secrets.token_bytes(16) + raw[38:] for raw in guesses]
    return guesses


@dataclass(slots=True)
class Flood:
    """One that runs; `sent` is known at its end."""

    process: "subprocess.Popen[bytes]"
    sent: int = 0


@contextlib.contextmanager
def flooding(target: Target, kind: Kind, per_s: int) -> Iterator[Flood]:
    """Send so many in each second, until the end of the block."""
    command = [sys.executable, "-m", "bench.floods", "--port", str(target.port), "--source", target.source]
    options = ["--secret", target.secret, "--station", target.station, "--kind", kind.name, "--per-s", str(per_s)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, env=environment(), cwd=ROOT)
    flood = Flood(process)
    output = process.stdout
    try:
        if output is None or output.readline() != b"begins\n":
            raise RuntimeError("the flood did not begin")
        yield flood
    finally:
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=STOP_S)
        flood.sent = int(told or b"0")


def send(target: Target, kind: Kind, per_s: int) -> int:
    """Send until SIGTERM; returns how many. What comes back is not read."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    ready = datagrams(kind, target)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(SOCKETS)]
        for each in sockets:
            each.bind((target.source, 0))
            each.connect(("127.0.0.1", target.port))
        print("begins", flush=True)
        began, sent = time.monotonic(), 0
        while not stopped:
            due = int((time.monotonic() - began) * per_s)
            for number in range(sent, due):
                with contextlib.suppress(OSError):
                    sockets[number % SOCKETS].send(ready[number % DIFFERENT])
            sent = max(sent, due)
            time.sleep(TICK_S)
    return sent


# --- what is left for others ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """Logins a second of everybody else, without a flood and beside it."""

    kind: Kind
    alone: float
    flooded: float
    sent: int

    @property
    def ratio(self) -> float:
        """How much of their rate others keep."""
        return self.flooded / self.alone if self.alone else 0.0


def measure(directory: Path, seconds: float, sessions: int, users: int) -> Iterator[Measured]:
    """Each kind, on a server of two workers: guesses while each password costs an Argon2id, rubbish while none does."""
    people = accounts(users)
    for number, (kinds, cache_s, per_s) in enumerate(((GUESSES, 0, GUESSES_PER_S), (RUBBISH, 600, RUBBISH_PER_S))):
        data = directory / f"{number}" / "data"
        data.parent.mkdir()
        make(data, people, cache_s)
        with running(data, cheap_hash=cache_s > 0, workers=2) as server:
            choose = Once([User(each.name.encode(), each.password.encode(), bytes.fromhex(each.totp_hex)) for each in people])

            def rate(port: int = server.port, choose: Once = choose) -> float:
                return Load(("127.0.0.1", port), SECRET.encode(), sessions, choose).run(seconds).per_second

            rate()
            for place, kind in enumerate(kinds):
                alone = rate()
                with flooding(Target(server.port, SOURCE, SECRET, f"203.0.113.{66 + place}"), kind, per_s) as flood:
                    # The brake of the source takes hold after 30 guesses, and those that wait already are checked first.
                    if kind in GUESSES:
                        rate()
                    flooded = rate()
                yield Measured(kind, alone, flooded, flood.sent)


def main() -> None:
    """Measure; or, with `--kind`, be the process of `flooding`."""
    parser = argparse.ArgumentParser(description="How much of their rate do good logins keep beside a flood?")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--sessions", type=int, default=16, help="logins at a time")
    parser.add_argument("--users", type=int, default=10_000, help="who log in")
    parser.add_argument("--kind", choices=[kind.name for kind in Kind], help="only send this flood, until SIGTERM")
    for name in ("port", "per-s"):
        parser.add_argument(f"--{name}", type=int, default=0, help="of the flood that is only sent")
    for name in ("source", "secret", "station"):
        parser.add_argument(f"--{name}", default="", help="of the flood that is only sent")
    given = parser.parse_args()
    if given.kind is not None:
        print(send(Target(given.port, given.source, given.secret, given.station), Kind[given.kind], given.per_s))
        return
    with tempfile.TemporaryDirectory(prefix="wardgate-floods-") as directory:
        for each in measure(Path(directory), given.seconds, given.sessions, given.users):
            rates = f"{each.alone:7.0f} logins/s alone, {each.flooded:7.0f} beside {each.sent} packets"
            print(f"{each.ratio:5.2f}x  {rates}: {each.kind.value}", flush=True)


if __name__ == "__main__":
    main()
