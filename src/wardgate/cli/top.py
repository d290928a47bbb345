"""`wardgate top`."""

import os
import re
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, single
from wardgate.cli.output import emit
from wardgate.control import call
from wardgate.errors import UnavailableError, UsageError, WardgateError
from wardgate.watch.figures import figures

app = single()

# Rates and percentiles are of so many pictures: one alone would jump about.
WINDOW_PICTURES: Final = 6
KEYS_EVERY_S: Final = 0.25
PLAIN_WIDTH: Final = 100
MAX_READ_BYTES: Final = 256
_KEY: Final = re.compile(rb"\x1b[\[O][A-Z]|.", re.DOTALL)
# Tab, the arrow to the right and down in both modes of a terminal, the space bar; and back.
_NEXT: Final = (b"\t", b"\x1b[C", b"\x1bOC", b"\x1b[B", b"\x1bOB", b" ")
_PREVIOUS: Final = (b"\x1b[D", b"\x1bOD", b"\x1b[A", b"\x1bOA", b"\x1b[Z")
_QUIT: Final = (b"q", b"Q", b"\x03")

Picture = Mapping[str, Any]


@app.command(epilog=example("wardgate top", "wardgate top --json --interval 10"))
def top(
    data: Data = DEFAULT_DATA,
    interval: Annotated[float, typer.Option(min=0.2, max=60.0, help="Seconds from one picture to the next.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one picture of that interval and end.")] = False,
    as_json: Json = False,
) -> None:
    """Show how the server is doing: logins, times, queues, workers, newest refusals.

    The server is asked at its control socket; the pages need not be reachable. Without a server it waits for one. In a terminal:
    q quits, Tab and the arrow keys change the view. --json prints one picture, as --once does.
    """
    if once or as_json:
        emit(_measured(data, interval), as_json, _print)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("this is no terminal: use --once or --json")
    _watch(data, interval)


def _measured(data: Path, interval: float) -> dict[str, Any]:
    before = _take(data)
    time.sleep(interval)
    return figures(before, _take(data))


def _take(data: Path) -> Picture:
    return call(data, "top.picture", {})


def _print(told: Mapping[str, Any]) -> None:
    # Only here: --json prints no table, and rich takes longer to load than that takes to run.
    from rich.console import Console

    from wardgate.cli.top_screen import everything

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    console.print(everything(told))


class Pictures:
    """Asks the server again and again, in a thread: one that stands still must not take the keys along."""

    def __init__(self, take: Callable[[], Picture], interval: float) -> None:
        self._take = take
        self._interval = interval
        self._taken: deque[Picture] = deque(maxlen=WINDOW_PICTURES)
        self._problem = ""
        self._failed: WardgateError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def end(self) -> None:
        """Ask no more. One that is being waited for is left to itself."""
        self._ended.set()

    def latest(self) -> tuple[dict[str, Any] | None, str]:
        """The figures, once there are two pictures, and why there are no fresh ones. Raises what waiting does not cure."""
        if self._failed is not None:
            raise self._failed
        taken = list(self._taken)
        return (figures(taken[0], taken[-1]) if len(taken) > 1 else None), self._problem

    def ask(self) -> None:
        """Take one picture, or note why there is none. After a server that was gone the rates begin anew."""
        try:
            picture = self._take()
        except UnavailableError as error:
            self._problem = error.message
            self._taken.clear()
        except WardgateError as error:
            self._failed = error
            self._ended.set()
        else:
            self._problem = ""
            self._taken.append(picture)

    def _run(self) -> None:
        while not self._ended.is_set():
            self.ask()
            self._ended.wait(self._interval)


def _watch(data: Path, interval: float) -> None:
    from rich.console import Console
    from rich.live import Live

    from wardgate.cli.top_screen import VIEWS, screen

    console = Console(highlight=False)
    pictures = Pictures(lambda: _take(data), interval)
    view, open_ = 0, True
    with _keys() as read_keys, Live(console=console, screen=True, auto_refresh=False) as live:
        pictures.start()
        try:
            while open_:
                told, problem = pictures.latest()
                live.update(screen(told, problem, str(data), view, console.size), refresh=True)
                for key in read_keys(KEYS_EVERY_S):
                    open_ = open_ and key not in _QUIT
                    view = next_view(view, key, len(VIEWS))
        except KeyboardInterrupt:
            return
        finally:
            pictures.end()


def next_view(view: int, key: bytes, views: int) -> int:
    """The view after a key: by its number, or the one beside."""
    if key.isdigit() and 1 <= int(key) <= views:
        return int(key) - 1
    return (view + (key in _NEXT) - (key in _PREVIOUS)) % views


def split_keys(read: bytes) -> list[bytes]:
    """The keys in what a terminal sent at once: a fast hand, or one that stays on a key, sends several."""
    return _KEY.findall(read)


@contextmanager
def _keys() -> Iterator[Callable[[float], list[bytes]]]:
    """Reads keys, each as the bytes that the terminal sends for it; the terminal is as before at the end."""
    # Only here: not every system has terminals of this kind.
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def read_keys(within_s: float) -> list[bytes]:
        ready, _, _ = select.select([descriptor], [], [], within_s)
        return split_keys(os.read(descriptor, MAX_READ_BYTES)) if ready else []

    try:
        tty.setcbreak(descriptor)
        yield read_keys
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
