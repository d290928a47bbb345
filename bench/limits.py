"""What the machine itself allows, measured in the same run: datagrams, password hashes, syncs."""

import contextlib
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from argon2.low_level import Type, hash_secret

PACKET = bytes(120)


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """A process that sends every datagram back; its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        descriptor = os.dup(probe.fileno())
        os.set_inheritable(descriptor, True)
        port = probe.getsockname()[1]
    program = f"""import socket
s = socket.socket(fileno={descriptor})
while True:
    s.sendto(*s.recvfrom(4096))
"""
    process = subprocess.Popen([sys.executable, "-c", program], pass_fds=[descriptor])
    os.close(descriptor)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def echo_per_s(in_flight: int, seconds: float) -> float:
    """UDP round trips a second between two processes in Python: nothing but the system and two loops."""
    with echo_server() as port, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        for _ in range(in_flight):
            sock.send(PACKET)
        back, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            if not select.select([sock], [], [], 0.2)[0]:
                sock.send(PACKET)  # the server was not up yet
                continue
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock.recv(4096)
                    back += 1
                    sock.send(PACKET)
        return back / took


def argon2id_per_s(seconds: float, threads: int = 1) -> float:
    """Argon2id hashes a second with the server's parameters, on so many threads, which do nothing else."""
    began = time.perf_counter()

    def hash_on() -> int:
        done = 0
        while time.perf_counter() - began < seconds:
            hash_secret(b"a password of usual length", os.urandom(16), 2, 19_456, 1, 32, Type.ID)
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        done = sum(each.result() for each in [pool.submit(hash_on) for _ in range(threads)])
    return done / (time.perf_counter() - began)


def fdatasync_per_s(directory: Path, seconds: float) -> float:
    """Durable writes of a page a second, one after the other, on the disk of `directory`."""
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        done, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            os.pwrite(file.fileno(), os.urandom(64) * 64, 4096 * (done % 256))
            os.fdatasync(file.fileno())
            done += 1
        return done / took
