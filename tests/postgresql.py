"""Real PostgreSQL servers for tests: made in a temporary directory, on a free loopback port, stopped by their process id.

PostgreSQL refuses to run as root, so a test that runs as root starts it as `nobody`. `shared()` is one server for all tests of
a process, which need not survive a power cut; a test that stops, kills or promotes a server makes its own. A test run that is
killed takes its servers and their data with it.
"""

import asyncio
import atexit
import functools
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg

from tests.watchdog import watch
from wardgate.storage.schema import metadata
from wardgate.storage.settings import DatabaseSettings

USER = "wardgate"
START_S = 60.0
_numbers = count(1)


def program(name: str) -> str:
    """The newest installed server's program."""
    return sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))[-1]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server. `start` and `stop` may be called again; the data stays until `remove`."""

    def __init__(
        self,
        durable: bool = False,
        copy_of: "Server | None" = None,
        ssl_for: tuple[bytes, bytes] | None = None,
        **settings: str,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="wardgate-postgresql-"))
        self.port = free_port()
        self._settings: Mapping[str, str] = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "on" if durable else "off",
            "max_connections": "100",
            "autovacuum": "off",
            "deadlock_timeout": "50ms",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        nobody = pwd.getpwnam("nobody")
        self._as: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        if self._as:
            os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
        if copy_of is None:
            given = ["--no-sync", "--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8"]
            self._run("initdb", "--pgdata", str(self._data), *given)
        else:
            self._run(
                "pg_basebackup",
                "--pgdata",
                str(self._data),
                "--dbname",
                copy_of.url("postgres"),
                "--write-recovery-conf",
                "--no-sync",
            )

        if ssl_for is not None:
            self._settings = {**self._settings, **self._certified(*ssl_for)}

    def _certified(self, certificate: bytes, key: bytes) -> dict[str, str]:
        """The settings of a server that speaks TLS."""
        paths = {"ssl_cert_file": self.directory / "cert.pem", "ssl_key_file": self.directory / "key.pem"}
        for path, content in zip(paths.values(), (certificate, key), strict=True):
            path.write_bytes(content)
            path.chmod(0o600)
            if self._as:
                os.chown(path, self._as["user"], self._as["group"])
        return {"ssl": "on", **{name: str(path) for name, path in paths.items()}}

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [program(name), *arguments], cwd=self.directory, capture_output=True, timeout=START_S, check=False, **self._as
        )
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr.decode()}")

    def url(self, database: str) -> str:
        """The URL of a database of this server."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def settings(self, database: str, **given: Any) -> DatabaseSettings:
        """Settings that name it."""
        return DatabaseSettings(**{"url": self.url(database), **given})

    def behind(self, relay: "Relay", database: str, **given: Any) -> DatabaseSettings:
        """The same by way of a relay."""
        return self.settings(database, url=self.url(database).replace(f":{self.port}/", f":{relay.port}/"), **given)

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        if self._process is None:
            raise RuntimeError("the server is not started")
        return self._process.pid

    def start(self) -> "Server":
        """Start, and wait until it answers."""
        options = [option for name, value in self._settings.items() for option in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            command = [program("postgres"), "-D", str(self._data), "-p", str(self.port), *options]
            self._process = subprocess.Popen(
                command, cwd=self.directory, stderr=log, stdout=log, start_new_session=True, **self._as
            )
        self._watch = watch(self._process.pid, self.directory, "SIGQUIT")
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.02)
        return self

    def _answers(self) -> bool:
        command = [program("pg_isready"), "--host", "127.0.0.1", "--port", str(self.port), "--timeout", "5", "--quiet"]
        return subprocess.run(command, timeout=START_S, check=False).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it: SIGINT disconnects everybody in order, SIGQUIT at once, SIGKILL leaves it no time for anything."""
        process, self._process = self._process, None
        watching, self._watch = self._watch, None
        if process is None:
            return
        if watching is not None:
            watching.kill()
            watching.communicate()
        children = _children(process.pid)
        process.send_signal(how)
        process.wait(START_S)
        for child in children:
            # After a SIGKILL the others notice by themselves, in their own time.
            with suppress(ProcessLookupError):
                if how is signal.SIGKILL:
                    os.kill(child, signal.SIGKILL)

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run("pg_ctl", "promote", "--pgdata", str(self._data), "--wait", "--timeout", str(int(START_S)))

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    async def execute(self, sql: str, database: str = "postgres") -> None:
        """Run statements as the owner of everything."""
        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def fetch(self, sql: str, database: str = "postgres") -> list[Any]:
        """The rows of a query."""
        connection = await asyncpg.connect(self.url(database))
        try:
            return list(await connection.fetch(sql))
        finally:
            await connection.close()

    async def create(self) -> str:
        """A new, empty database; its name."""
        name = f"w{os.getpid()}_{next(_numbers)}"
        await self.execute(f"CREATE DATABASE {name}")
        # As it is since version 15.
        await self.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", name)
        return name


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@contextmanager
def server(
    durable: bool = False, copy_of: Server | None = None, ssl_for: tuple[bytes, bytes] | None = None, **settings: str
) -> Iterator[Server]:
    """A server of one's own. `ssl_for`: its certificate and key, in PEM."""
    made = Server(durable, copy_of, ssl_for, **settings)
    try:
        yield made.start()
    finally:
        made.remove()


@functools.cache
def shared() -> Server:
    """The server of all tests of this process."""
    made = Server()
    atexit.register(made.remove)
    return made.start()


async def emptied(database: str) -> None:
    """Delete all rows of a database of the shared server, if it has our tables."""
    tables = ", ".join(f'"{name}"' for name in metadata.tables)
    if await shared().fetch("SELECT 1 WHERE to_regclass('installation') IS NOT NULL", database):
        await shared().execute("".join(f"DELETE FROM {table};" for table in tables.split(", ")), database)


@functools.cache
def _names() -> dict[str, str]:
    return {}


async def empty_database(purpose: str) -> str:
    """A database of the shared server that one purpose uses again and again, without rows."""
    names = _names()
    if purpose not in names:
        names[purpose] = await shared().create()
    await emptied(names[purpose])
    return names[purpose]


# --- a cable that can be cut -----------------------------------------------------------------------------------------


class Relay:
    """Stands between a program and a server: counts round trips, and can fall silent."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open = asyncio.Event()
        self._open.set()
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.round_trips = 0

    async def start(self) -> "Relay":
        """Listen."""
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._listener is None:
            raise RuntimeError("the relay is not started")
        return int(self._listener.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """Pass nothing on, and say nothing to anybody, as a cut cable does."""
        self._open.clear()

    def mend(self) -> None:
        """Pass on what waits and what comes."""
        self._open.set()

    async def stop(self) -> None:
        """End all connections."""
        if self._listener is not None:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        for source, target, counting in ((reader, back, True), (there, writer, False)):
            task = asyncio.ensure_future(self._pass(source, target, counting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, counting: bool) -> None:
        buffer, begun = bytearray(), False
        with suppress(ConnectionError):
            while data := await source.read(2**16):
                await self._open.wait()
                if counting:
                    buffer += data
                    begun = self._count(buffer, begun)
                target.write(data)
                await target.drain()
        target.close()

    def _count(self, buffer: bytearray, begun: bool) -> bool:
        """Count the messages that ask for an answer: Sync and Query. The first message of a connection has no type."""
        while len(buffer) >= 5:
            start = 1 if begun else 0
            length = start + int.from_bytes(buffer[start : start + 4], "big")
            if len(buffer) < length:
                break
            self.round_trips += begun and buffer[0] in b"SQ"
            del buffer[:length]
            begun = True
        return begun
