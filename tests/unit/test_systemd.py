"""What systemd is told."""

import socket
import time
from pathlib import Path

import pytest

from wardgate.systemd import Notifier


def listening(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(path))
    sock.settimeout(10)
    return sock


def test_each_thing_is_one_datagram(tmp_path: Path) -> None:
    with listening(tmp_path / "notify") as sock:
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}, 1)
        notifier.ready("2 workers")
        assert sock.recv(1000) == b"READY=1\nSTATUS=2 workers"
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notifier.starting("opening the database", 60)
        assert sock.recv(1000) == b"EXTEND_TIMEOUT_USEC=60000000\nSTATUS=opening the database"
        notifier.reloading()
        first, second = sock.recv(1000).decode().split("\n")
        assert first == "RELOADING=1"
        assert int(second.removeprefix("MONOTONIC_USEC=")) >= before
        notifier.stopping()
        assert sock.recv(1000).startswith(b"STOPPING=1\n")
        notifier.status("one is started again")
        assert sock.recv(1000) == b"STATUS=one is started again"
        notifier.alive()
        assert sock.recv(1000) == b"WATCHDOG=1"


def test_without_systemd_nothing_is_told_and_nothing_fails(tmp_path: Path) -> None:
    Notifier({}, 1).ready("")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, 1).ready("")


@pytest.mark.parametrize(
    ("environment", "every_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_bites(environment: dict[str, str], every_s: float | None) -> None:
    assert Notifier(environment, 7).watchdog_every_s == every_s
