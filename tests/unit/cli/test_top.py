"""`wardgate top`: readable on any terminal, honest about a server that is not there, never driven by a user's name."""

import asyncio
import io
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.unit.web.samples import Sample
from wardgate.cli import top as top_module
from wardgate.cli.top import Pictures, next_view, split_keys
from wardgate.cli.top_screen import VIEWS, everything, screen
from wardgate.clock import SystemClock
from wardgate.control import ControlServer, NoServer, RemoteError
from wardgate.metrics import STEPS, Metrics
from wardgate.watch.figures import figures
from wardgate.watch.node import Node
from wardgate.watch.picture import Picture
from wardgate.watch.vitals import Gauges, Vitals

from .conftest import Cli
from .schemas import validate

SIZES = ((80, 24), (120, 40), (40, 10), (200, 60))
HOSTILE = "\x1b[2Jada\nq\u202e[bold]boo[/bold]" + "x" * 300


class Machine:
    """What a picture is taken of: three workers that should be, two that are there."""

    def __init__(self) -> None:
        self.sample = Sample(clock=SystemClock())
        self.metrics = Metrics()
        gauges = Gauges(problems=lambda: ["the last write to the database failed"], password_threads=2)
        Vitals(self.metrics, self.sample.clock, gauges, "radius-1", None)
        node = Node(self.metrics, gauges.problems, self.sample.clock, name="radius-1")
        self.picture = Picture(node, self.sample.storage, self.sample.clock, "SQLite")

    async def take(self) -> dict[str, Any]:
        """The present picture, after some logins."""
        for step in STEPS:
            self.metrics.step(step, 0.003)
        self.metrics.login("granted", "radius")
        self.metrics.packet("access_request", "generic")
        self.metrics.drop("wrong_secret")
        self.metrics.storage_batch(3, 0.001)
        self.metrics.gateway("sms", "sent", 0.2)
        self.metrics.directory("staff", "find", 0.2)
        return await self.picture.take()


async def _told(hostile: bool = False) -> dict[str, Any]:
    machine = Machine()
    await machine.sample.fill()
    if hostile:
        rows = [machine.sample.request(f"AAAA{n:04d}", 1, HOSTILE, "denied", HOSTILE, (), client=HOSTILE) for n in range(30)]
        await machine.sample.storage.commit(rows)
    told = figures(await machine.take(), await machine.take())
    told["missing"] = [2]
    return told


def drawn(told: Mapping[str, Any] | None, width: int, height: int, view: int = 0, problem: str = "") -> list[str]:
    """The lines of a terminal of this size."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, legacy_windows=False)
    console.print(screen(told, problem, "/var/lib/wardgate", view, console.size))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", range(len(VIEWS)))
async def test_every_view_fits_the_terminal(size: tuple[int, int], view: int) -> None:
    lines = drawn(await _told(), *size, view=view)
    assert len(lines) <= size[1]
    assert max(map(cell_len, lines)) <= size[0]
    assert f"[{view + 1} {VIEWS[view][0]}]" in lines[-1] or size[0] < 80


async def test_overview_tells_what_matters_at_eighty_by_twenty_four() -> None:
    text = "\n".join(drawn(await _told(), 80, 24))
    for word in ("granted", "challenged", "request", "p99 ms", "passwords", "Argon2", "commits", "outbox", "CPU", "memory"):
        assert word in text, word
    assert "! worker 0: the last write to the database failed" in text
    assert "! worker 2 does not answer" in text
    assert "password_wrong" in text


@pytest.mark.parametrize("view", range(len(VIEWS)))
async def test_users_name_does_not_drive_the_terminal(view: int) -> None:
    text = "".join(drawn(await _told(hostile=True), 120, 40, view=view))
    assert "\x1b" not in text
    assert "\u202e" not in text
    if VIEWS[view][0] == "refusals":
        assert "\\x1b[2Jada\\nq" in text


async def test_many_workers_leave_room_for_refusals() -> None:
    told = await _told()
    told["workers"] = [{**told["workers"][0], "slot": slot, "problems": []} for slot in range(64)]
    lines = drawn(told, 80, 24)
    assert len(lines) <= 24
    assert "more" in "\n".join(lines)
    assert "password_wrong" in "\n".join(lines)


def test_without_a_server_it_says_what_it_waits_for() -> None:
    text = "\n".join(drawn(None, 80, 24, problem="no server runs on /var/lib/wardgate"))
    assert "waiting for the server: no server runs on /var/lib/wardgate" in text
    assert "q quits" in text


async def test_figures_fit_their_schema() -> None:
    validate(await _told(hostile=True), "top")


async def test_in_a_pipe_there_are_neither_colours_nor_frames() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(everything(await _told()))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text
    assert not set(text) & set("┃│━─")


def test_server_that_restarts_is_waited_for_and_begins_anew() -> None:
    taken: list[Any] = []

    def take() -> Mapping[str, Any]:
        following = taken.pop(0)
        if isinstance(following, Exception):
            raise following
        return dict(following)

    pictures = Pictures(take, 1.0)
    one, two = (asyncio.run(Machine().take()) for _ in range(2))
    taken[:] = [one, one, NoServer("no server runs on x"), two, two]
    pictures.ask()
    assert pictures.latest() == (None, "")
    pictures.ask()
    assert pictures.latest()[0] is not None
    pictures.ask()
    assert pictures.latest() == (None, "no server runs on x")
    pictures.ask()
    assert pictures.latest() == (None, "")
    pictures.ask()
    assert pictures.latest()[0] is not None


def test_refusal_that_waiting_does_not_cure_ends_it() -> None:
    def take() -> Mapping[str, Any]:
        raise RemoteError("the server knows no operation 'top.picture'", "usage", "usage")

    pictures = Pictures(take, 0.01)
    pictures.ask()
    with pytest.raises(RemoteError, match="knows no operation"):
        pictures.latest()


def test_keys_that_come_at_once_are_told_apart() -> None:
    assert split_keys(b"\t5q") == [b"\t", b"5", b"q"]
    assert split_keys(b"\x1b[C\x1bOA\x1b[Zx") == [b"\x1b[C", b"\x1bOA", b"\x1b[Z", b"x"]
    assert split_keys(b"") == []
    assert b"q" in split_keys(b"\x1b[1;5\nq")


@pytest.mark.parametrize(
    ("view", "key", "expected"),
    [
        (0, b"\t", 1),
        (4, b"\x1b[C", 0),
        (0, b"\x1b[D", 4),
        (2, b"\x1bOA", 1),
        (3, b"1", 0),
        (3, b"6", 3),
        (3, b"0", 3),
        (3, b"x", 3),
    ],
)
def test_keys_change_the_view(view: int, key: bytes, expected: int) -> None:
    assert next_view(view, key, 5) == expected


@pytest.fixture
def served(data: Path) -> Iterator[Path]:
    """A control socket that answers with pictures."""
    ready: Future[None] = Future()
    ends: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        machine, end = Machine(), asyncio.Event()

        async def run(name: str, params: object, progress: object, actor: str) -> dict[str, Any]:
            assert (name, params) == ("top.picture", {})
            return await machine.take()

        control = ControlServer(data, run)
        await control.start()
        ends.set_result((asyncio.get_running_loop(), end))
        ready.set_result(None)
        await end.wait()
        await control.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.result(30)
    yield data
    loop, end = ends.result(30)
    loop.call_soon_threadsafe(end.set)
    thread.join(30)


def test_json_is_one_object_of_its_schema(served: Path, alone: Cli) -> None:
    told = alone("top", "--json", "--interval", "0.2").json("top")
    assert told["node"] == "radius-1"
    assert next(each for each in told["logins"] if each["result"] == "granted")["per_s"] > 0


def test_once_prints_everything_without_colours(served: Path, alone: Cli) -> None:
    ran = alone("top", "--once", "--interval", "0.2")
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert "radius-1" in ran.out
    assert max(map(cell_len, ran.out.splitlines())) <= top_module.PLAIN_WIDTH


@pytest.mark.parametrize("option", ["--once", "--json"])
def test_without_a_server_a_script_is_told_so(alone: Cli, option: str) -> None:
    ran = alone("top", option)
    assert ran.code == 3
    assert "no server runs" in ran.out + ran.err


def test_without_a_terminal_nothing_is_drawn(alone: Cli) -> None:
    ran = alone("top")
    assert ran.code == 2
    assert "use --once or --json" in ran.err
