"""Floods of packets that are worth nothing, from a process of their own: guesses and packets that are none.

`flooding` sends as fast as told while its block runs, so that a benchmark or a test can measure what is left for everybody else:

    with flooding(Target(port, nas, secret), Kind.MANY_NAMES, per_s=400) as flood:
        ...
"""

import argparse
import contextlib
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bench.wardgate_server import ROOT, environment
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


def main() -> None:
    """The process of `flooding`."""
    parser = argparse.ArgumentParser(description=f"Send a flood until SIGTERM. From {Path(__file__).name}, for tests.")
    for name in ("port", "per-s"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("source", "secret", "station"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--kind", choices=[kind.name for kind in Kind], required=True)
    given = parser.parse_args()
    print(send(Target(given.port, given.source, given.secret, given.station), Kind[given.kind], given.per_s))


if __name__ == "__main__":
    main()
