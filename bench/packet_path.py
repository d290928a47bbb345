"""What the RADIUS door itself costs: the same logins as everywhere, before an engine that grants at once and stores nothing.

    python -m bench.packet_path [--seconds 3]

Sockets, packets, gates, duplicate cache, timeline and reply are the product's. What a login costs here is the floor for all of it.
"""

import argparse
import asyncio
import gc
import os
import secrets
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from bench.generator import Slice, generator
from bench.load import User
from wardgate.audit.recorder import Recorder
from wardgate.clock import SystemClock
from wardgate.config.reference import ClearValue
from wardgate.crypto import KeyRing, Secret, new_key
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge, Granted, Outcome
from wardgate.engine.request import AnswerRequest, BeginRequest
from wardgate.metrics import Metrics
from wardgate.radius.endpoint import Address, ReplyPath
from wardgate.radius.nas import build_nas
from wardgate.radius.nas_table import NasTable
from wardgate.radius.packet import Type, decode, encode_request
from wardgate.radius.pap import hide
from wardgate.radius.release import Release
from wardgate.radius.server import RadiusParts, RadiusServer, RadiusTables
from wardgate.radius.settings import NasSettings
from wardgate.radius.shared_secret import SharedSecret
from wardgate.storage.memory import MemoryStorage
from wardgate.texts import Text

SECRET = "benchmark-shared-secret"
TURNS = 4_000


@dataclass(slots=True)
class Willing:
    """An engine that asks for a code and takes any; like the product's, it makes its caller wait for one turn of the loop."""

    granted: Granted = field(
        default_factory=lambda: Granted(
            "s", "user", "local", "default", "User", None, (), {}, ("password", "totp"), 2, "vpn", "REFERENC"
        )
    )

    async def begin(self, request: BeginRequest) -> Outcome:
        """Ask for a code."""
        trail = request.trail
        trail.user, trail.application, trail.result, trail.stored = request.user_name, request.application, "challenged", True
        await _turn()
        return Challenge(secrets.token_bytes(24), "totp", (Text("code.ask_totp"),), 120, "en", trail.reference)

    async def answer(self, request: AnswerRequest) -> Outcome:
        """Grant."""
        trail = request.trail
        trail.user, trail.application, trail.result, trail.stored = request.user_name, "vpn", "granted", True
        await _turn()
        return self.granted


def _turn() -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.call_soon(future.set_result, None)
    return future


def door() -> RadiusServer:
    """The product's door for one NAS on loopback."""
    clock, storage = SystemClock(), MemoryStorage()
    ring = KeyRing({0: new_key(), 1: new_key()})
    settings = NasSettings(name="bench", addresses=("127.0.0.0/8",), secret=ClearValue(value=SECRET), application="vpn")
    tables = RadiusTables(NasTable([build_nas(settings, Secret(SECRET))]), {"bench": Release(())})
    return RadiusServer(
        RadiusParts(
            engine=cast(Engine, Willing()),
            storage=storage,
            recorder=Recorder(storage, lambda: ring, clock),
            clock=clock,
            metrics=Metrics(),
            tables=lambda: tables,
            ready=lambda: True,
            required=set(),
            keep_required=_nothing,
        )
    )


async def _nothing(_: str) -> None:
    return


# --- without sockets ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Path:
    """Where replies go when there are no sockets."""

    reply: Callable[[bytes], None]

    def send(self, data: bytes) -> None:
        self.reply(data)


async def _logins(turns: int) -> float:
    """Microseconds of one login of two packets, one after the other, generator included and taken off again."""
    server, secret = door(), SharedSecret(Secret(SECRET))
    packets = [_request(secret, number) for number in range(2 * turns)]
    source: Address = ("127.0.0.1", 4711)
    done = asyncio.get_running_loop().create_future()
    left = len(packets)

    def replied(_: bytes) -> None:
        nonlocal left
        left -= 1
        if left:
            feed()
        else:
            done.set_result(None)

    path = cast(ReplyPath, _Path(replied))

    def feed() -> None:
        server._authentication(path, "bench", packets[left - 1], source)

    began = time.process_time()
    feed()
    await done
    return (time.process_time() - began) / turns * 1e6


def _request(secret: SharedSecret, number: int) -> bytes:
    vector = secrets.token_bytes(16)
    attributes = [
        (Type.USER_NAME, b"user%06d" % (number // 2)),
        (Type.USER_PASSWORD, hide(b"pw-0123456789ab" if number % 2 else b"123456", vector, secret)),
        (Type.NAS_IDENTIFIER, b"bench"),
    ]
    if not number % 2:
        attributes.append((Type.STATE, secrets.token_bytes(24)))
    packet = encode_request(1, number & 255, vector, attributes, secret)
    return decode(packet).raw


# --- with sockets -------------------------------------------------------------------------------------------------------


def _serve(ready: int) -> None:
    """The door in a process of its own; its port goes into the pipe."""

    async def run() -> None:
        pair = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for sock in pair:
            sock.bind(("127.0.0.1", 0))
        server, stopped = door(), asyncio.Event()
        await server.listen(pair[0], pair[1])
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        gc.collect()
        gc.freeze()
        os.write(ready, b"%d\n" % pair[0].getsockname()[1])
        await stopped.wait()

    uvloop.run(run())


def over_sockets(seconds: float, sessions: Sequence[int]) -> list[tuple[int, float, float, float]]:
    """(sessions, CPU microseconds of a login, logins a second, CPU microseconds of the generator)."""
    users = [User(b"user%06d" % number, b"pw-0123456789ab", secrets.token_bytes(20)) for number in range(200_000)]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _serve(writing)
        finally:
            os._exit(0)
    port = int(os.read(reading, 16))
    try:
        with tempfile.TemporaryDirectory(prefix="wardgate-bench-") as folder, generator(Path(folder), users, SECRET) as load:
            results = [(each, load.run(port, Slice(each, seconds), [child])) for each in sessions]
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
    return [(each, result.server_cpu_us, result.per_second, result.own_cpu_us) for each, result in results]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.packet_path", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a slice (default 3)")
    parser.add_argument("--sessions", default="1,16,64", help="logins at a time (default 1,16,64)")
    given = parser.parse_args(arguments)
    alone = statistics.median(uvloop.run(_logins(TURNS)) for _ in range(5))
    print(f"without sockets: {alone:6.1f} us a login")
    for sessions, cpu, rate, own in over_sockets(given.seconds, [int(each) for each in given.sessions.split(",")]):
        print(f"{sessions:>4} sessions:   {cpu:6.1f} us a login, {rate:7.0f} logins/s, generator {own:5.1f} us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
