"""The command line on an installation of its own: alone, and beside a server that answers at the control socket."""

import asyncio
import io
import json
import shutil
import sys
import threading
from collections.abc import Iterator, MutableMapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from wardgate.admin.management import Management
from wardgate.admin.operations import OPERATIONS
from wardgate.cli.main import run
from wardgate.clock import SystemClock
from wardgate.control import ControlServer
from wardgate.installation import Installation
from wardgate.passwords import PasswordHasher

from .schemas import validate


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    def json(self, schema: str = "") -> Any:
        """Standard output as the one JSON object that it must be; held to a published schema when one is named."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self
        value = json.loads(lines[0])
        assert isinstance(value, dict)
        if schema:
            validate(value, schema)
        return value


class Cli:
    """Runs commands on one data directory."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.data = data
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str, stdin: str | bytes = "") -> Ran:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        self._monkeypatch.setenv("WARDGATE_DATA", str(self.data))
        self._capsys.readouterr()
        try:
            code = run([*arguments])
        except SystemExit as left:
            code = int(left.code or 0)
        captured = self._capsys.readouterr()
        return Ran(code, captured.out, captured.err)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation to copy."""
    data = tmp_path_factory.mktemp("template") / "data"
    asyncio.run(Installation.create(data, False, SystemClock()))
    return data


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """A fresh installation."""
    copy = tmp_path / "data"
    shutil.copytree(template, copy)
    return copy


class Server:
    """The management half of a server: control socket and instance lock, on a loop in a thread of its own."""

    def __init__(self, data: Path) -> None:
        self.log: list[MutableMapping[str, Any]] = []
        self._data = data
        self._ready: Future[None] = Future()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> None:
        self._thread.start()
        self._ready.result(30)

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        installation = Installation.open(self._data)
        hasher = PasswordHasher(1, 10, time_cost=1, memory_kib=8)
        with installation.lock():
            opened = await installation.connect()
            management = Management(
                opened, OPERATIONS, hasher, SystemClock(), lambda: "https://127.0.0.1:9999", serving=True, settle_s=0
            )
            control = ControlServer(self._data, management.run)
            await control.start()
            self._ready.set_result(None)
            await self._stop.wait()
            await control.stop()
            await opened.storage.close()
        hasher.close()


@pytest.fixture
def alone(data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Commands without a server."""
    return Cli(data, capsys, monkeypatch)


@pytest.fixture
def server(data: Path) -> Iterator[Server]:
    """A server on the installation."""
    made = Server(data)
    with structlog.testing.capture_logs() as made.log:
        made.start()
        yield made
        made.stop()


@pytest.fixture(params=["alone", "served"])
def cli(request: pytest.FixtureRequest, alone: Cli) -> Cli:
    """Commands without and with a server: there is no difference."""
    if request.param == "served":
        request.getfixturevalue("server")
    return alone
