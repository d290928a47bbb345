"""The supervisor with small children of its own: what it does when they die, hang, or are told to end."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wardgate.supervisor import LONGEST_PAUSE_S, YOUNG_S, Backoff

SOURCE = Path(__file__).resolve().parents[2] / "src"
WAIT_S = 30.0

# A program with a supervisor. Its children write what they do to a file, one line of JSON each.
PROGRAM = """
import json, os, signal, sys, threading, time
from wardgate import supervisor
from wardgate.errors import SettingsError
from wardgate.supervisor import Role, Supervisor
from wardgate.systemd import Notifier

report = open(sys.argv[1], "a", buffering=1)
supervisor.HANG_S = float(os.environ.get("HANG_S", "60"))
supervisor.EXTEND_EVERY_S = float(os.environ.get("EXTEND_EVERY_S", "60"))
supervisor.LONGEST_START_S = float(os.environ.get("LONGEST_START_S", "60"))

def say(**what):
    report.write(json.dumps({"pid": os.getpid(), **what}) + "\\n")

def worker(name, channel, again):
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    signal.signal(signal.SIGHUP, lambda *_: (say(child=name, did="reloaded"), channel.reloaded()))
    say(child=name, did="started", after=again.after)
    channel.ready({"name": name})
    while not ended:
        channel.beat()
        time.sleep(0.05)
    BEFORE_THE_END
    say(child=name, did="ended")

def fails(channel, again):
    raise SettingsError("radius.port: is wrong")

def role(name, **more):
    return Role(name, lambda channel, again: worker(name, channel, again), **more)

stages = STAGES
say(child="supervisor", did="begun")
try:
    Supervisor(stages, lambda: say(child="supervisor", did="reloaded"), "all serve", Notifier.of_this_process()).run(
        lambda told: say(child="supervisor", did="serving", told={key: dict(value) for key, value in told.items()})
    )
except Exception as error:
    say(child="supervisor", did="failed", error=f"{type(error).__name__}: {error}")
    sys.exit(3)
"""


@dataclass(slots=True)
class Run:
    """A running program."""

    process: subprocess.Popen[bytes]
    report: Path

    def lines(self, child: str = "", did: str = "") -> list[dict[str, Any]]:
        """What was written, of one child or deed."""
        text = self.report.read_text() if self.report.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        return [line for line in lines if line["child"].startswith(child) and line["did"].startswith(did)]

    def wait(self, child: str, did: str, count: int = 1) -> list[dict[str, Any]]:
        """The same, as soon as there are so many."""
        deadline = time.monotonic() + WAIT_S
        while len(found := self.lines(child, did)) < count:
            assert time.monotonic() < deadline, self.report.read_text()
            time.sleep(0.02)
        return found

    def pids(self) -> list[int]:
        """Every child that was ever started."""
        return [line["pid"] for line in self.lines(did="started")]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start a program with these stages; what its workers do before they end; what stands in its environment."""
    runs: list[Run] = []

    def begin(stages: str, before_the_end: str = "pass", **environment: str) -> Run:
        program = textwrap.dedent(PROGRAM).replace("STAGES", stages).replace("BEFORE_THE_END", before_the_end)
        report = tmp_path / f"report-{len(runs)}"
        inherited = {name: value for name, value in os.environ.items() if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(report)], env={**inherited, "PYTHONPATH": str(SOURCE), **environment}
        )
        runs.append(Run(process, report))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.kill()
        run.process.wait(WAIT_S)
        for pid in run.pids():
            wait_gone(pid)


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while lives(pid):
        assert time.monotonic() < deadline, f"{pid} lives on"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return True


TWO = '[[role("writer", beats=False)], [role("worker 0"), role("worker 1")]]'


# --- the pause before a child is started again -----------------------------------------------------------------------------


def test_the_first_death_costs_no_time_and_those_that_follow_young_ever_more() -> None:
    backoff = Backoff()
    assert [backoff.after(1.0) for _ in range(4)] == [0.0, 0.25, 0.5, 1.0]
    assert [backoff.after(0.0) for _ in range(100)][-1] == LONGEST_PAUSE_S


def test_who_has_lived_long_is_started_again_at_once() -> None:
    backoff = Backoff()
    for _ in range(20):
        backoff.after(1.0)
    assert backoff.after(YOUNG_S) == 0.0
    assert backoff.after(1.0) == 0.25


# --- with real processes -----------------------------------------------------------------------------------------------


def test_stages_start_in_order_and_end_in_the_opposite_one(start: Callable[..., Run]) -> None:
    run = start(TWO)
    (serving,) = run.wait("supervisor", "serving")
    assert serving["told"] == {name: {"name": name} for name in ("writer", "worker 0", "worker 1")}
    assert run.lines(did="started")[0]["child"] == "writer"
    run.process.terminate()
    assert run.process.wait(WAIT_S) == 0
    assert [line["child"] for line in run.lines(did="ended")][-1] == "writer"
    assert len(run.lines(did="ended")) == 3
    assert not any(lives(pid) for pid in run.pids())


def test_a_child_that_is_killed_is_replaced_and_its_successor_knows_why(start: Callable[..., Run]) -> None:
    run = start(TWO)
    run.wait("supervisor", "serving")
    (first,) = run.lines("worker 1", "started")
    os.kill(first["pid"], signal.SIGKILL)
    second = run.wait("worker 1", "started", 2)[1]
    assert (first["after"], second["after"]) == ("", "killed by SIGKILL")
    assert len(run.lines("worker 0", "started")) == len(run.lines("writer", "started")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="stops a process and looks at it in /proc")
def test_a_child_that_hangs_is_killed_and_replaced(start: Callable[..., Run]) -> None:
    run = start(TWO, HANG_S="1.5")
    run.wait("supervisor", "serving")
    first = run.lines("worker 0", "started")[0]
    os.kill(first["pid"], signal.SIGSTOP)
    assert run.wait("worker 0", "started", 2)[1]["after"] == "stood still and was killed"
    assert not lives(first["pid"])


def test_no_orphan_answers_beside_the_next_server(start: Callable[..., Run]) -> None:
    run = start(TWO)
    run.wait("supervisor", "serving")
    run.process.kill()
    run.process.wait(WAIT_S)
    for pid in run.pids():
        wait_gone(pid)
    assert not run.lines(did="ended")


def test_a_child_that_cannot_begin_ends_the_start_with_its_own_words(start: Callable[..., Run]) -> None:
    run = start('[[role("writer", beats=False)], [role("worker 0"), Role("worker 1", fails)]]')
    assert run.process.wait(WAIT_S) == 3
    (failed,) = run.lines("supervisor", "failed")
    assert failed["error"] == "RemoteError: radius.port: is wrong"
    assert not any(lives(pid) for pid in run.pids())


def test_a_child_that_dies_at_the_first_start_ends_it_too(start: Callable[..., Run]) -> None:
    run = start('[[role("writer", beats=False)], [Role("worker 0", lambda channel, again: os._exit(9))]]')
    assert run.process.wait(WAIT_S) == 3
    (failed,) = run.lines("supervisor", "failed")
    assert "worker 0 ended before it served (exit code 9)" in failed["error"]


def test_sighup_reaches_every_child_and_the_supervisor(start: Callable[..., Run]) -> None:
    run = start('[[role("writer", beats=False, reloads=False)], [role("worker 0"), role("worker 1")]]')
    run.wait("supervisor", "serving")
    run.process.send_signal(signal.SIGHUP)
    run.wait("worker 0", "reloaded")
    run.wait("worker 1", "reloaded")
    run.wait("supervisor", "reloaded")
    assert not run.lines("writer", "reloaded")


def test_signals_to_the_whole_group_leave_the_order_of_the_end_alone(start: Callable[..., Run]) -> None:
    """Ctrl-C, and whoever ends the group: a writer that heard it would be gone before the workers that need it."""
    run = start(TWO, before_the_end='time.sleep(0.3) if name != "writer" else None')
    run.wait("supervisor", "serving")
    for pid in (run.process.pid, *run.pids()):
        with contextlib.suppress(ProcessLookupError):
            assert os.getpgid(pid) != os.getpgid(run.process.pid) or pid == run.process.pid
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(WAIT_S) == 0
    assert [line["child"] for line in run.lines(did="ended")][-1] == "writer"


def test_a_second_signal_ends_those_who_would_go_on_for_long(start: Callable[..., Run]) -> None:
    run = start(TWO, before_the_end="say(child=name, did='draining'); time.sleep(600 if name != 'writer' else 0)")
    run.wait("supervisor", "serving")
    run.process.terminate()
    run.wait("worker", "draining", 2)
    run.process.terminate()
    assert run.process.wait(WAIT_S) == 0
    assert [line["child"] for line in run.lines(did="ended")] == ["writer"]
    assert not any(lives(pid) for pid in run.pids())


SLOW = """[[Role("writer", lambda channel, again: (
    say(child="writer", did="started"),
    [(channel.beat(), time.sleep(0.05)) for _ in range(20)],
    worker("writer", channel, again)))]]"""


@pytest.mark.parametrize(("longest_s", "asked"), [("60", True), ("0", False)])
def test_a_long_start_asks_systemd_for_more_time_but_not_for_ever(
    start: Callable[..., Run], tmp_path: Path, longest_s: str, asked: bool
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(WAIT_S)
        start(SLOW, NOTIFY_SOCKET=str(tmp_path / "notify"), EXTEND_EVERY_S="0.1", LONGEST_START_S=longest_s)
        heard = [systemd.recv(4096).decode()]
        while not heard[-1].startswith("READY=1"):
            heard.append(systemd.recv(4096).decode())
        assert heard[:-1] == ["EXTEND_TIMEOUT_USEC=60000000\nSTATUS=opening the database"] * (len(heard) - 1)
        assert (len(heard) > 2) is asked


def test_systemd_hears_of_each_change_in_order(start: Callable[..., Run], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(WAIT_S)

        def heard() -> str:
            while (text := systemd.recv(4096).decode()) == "WATCHDOG=1":
                pass
            return text

        run = start(TWO, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="1000000")
        assert heard() == "READY=1\nSTATUS=all serve"
        assert len(run.lines(did="started")) == 3, "ready before every child was"
        run.process.send_signal(signal.SIGHUP)
        assert heard().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert heard() == "READY=1\nSTATUS=all serve"
        os.kill(run.lines("worker 1", "started")[0]["pid"], signal.SIGKILL)
        assert heard() == "STATUS=the worker 1 ended (killed by SIGKILL) and is started again"
        assert heard() == "STATUS=all serve"
        while systemd.recv(4096) != b"WATCHDOG=1":
            pass
        run.process.terminate()
        assert heard().startswith("STOPPING=1\n")
        assert run.process.wait(WAIT_S) == 0
