"""A writer process for the suite, and a worker's storage that uses it.

The processes are forked from a small server process, which has everything imported and no threads: a writer takes a few
milliseconds to start.
"""

import asyncio
import multiprocessing
import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.conformance.storage.rows import TextChain
from wardgate.storage.port import ChainLink
from wardgate.storage.sqlite_client import SqliteClientStorage
from wardgate.storage.writer import listen, run_writer

PACKAGES = ("wardgate", "tests")
TIMEOUT_S = 30
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(
    ["wardgate.storage.writer", "tests.conformance.storage.rows", "alembic.operations", "alembic.migration", "alembic.ddl.sqlite"]
)


def _nothing() -> None:
    """Nobody waits: workers wait for the greeting."""


def _run(path: Path, listening: socket.socket, chain: ChainLink, prepare: Callable[[], None]) -> None:
    prepare()
    run_writer(path, listening, chain, _nothing, PACKAGES)


class WriterProcess:
    """Writes `w.db` in a directory; a successor serves the same socket, as under the supervisor. `prepare` runs in it first."""

    def __init__(self, directory: Path, chain: ChainLink | None = None, prepare: Callable[[], None] = _nothing) -> None:
        self.path = directory / "w.db"
        self.socket = directory / "writer.sock"
        self.prepare = prepare
        self._listening = listen(self.socket)
        self.start(chain or TextChain())

    def start(self, chain: ChainLink) -> None:
        """Start one, or its successor."""
        self.chain = pickle.dumps(chain)
        arguments: tuple[Any, ...] = (self.path, self._listening, chain, self.prepare)
        self._process = processes.Process(target=_run, args=arguments, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Of the present one."""
        assert self._process.pid is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int | None:
        """Wait until it has ended; its exit code."""
        self._process.join(TIMEOUT_S)
        return self._process.exitcode

    def end(self) -> int | None:
        """SIGTERM; its exit code."""
        self._process.terminate()
        return self.wait()

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self.wait()

    def close(self) -> None:
        """End it and give up the socket."""
        self.kill()
        self._listening.close()


class ClientWithWriter(SqliteClientStorage):
    """A worker's storage and the writer that was started for it. Another chain means another writer, as in the product."""

    writer: WriterProcess

    @classmethod
    async def start(cls, directory: Path) -> Self:
        """Both, on an empty file."""
        writer = WriterProcess(directory)
        try:
            storage = await cls.connect(writer.path, writer.socket, PACKAGES)
        except BaseException:
            writer.close()
            raise
        storage.writer = writer
        return storage

    def use_chain(self, chain: ChainLink) -> None:
        """Replace the writer by one with this chain, if it has another."""
        if pickle.dumps(chain) != self.writer.chain:
            self.writer.end()
            self.writer.start(chain)
            self._line._read()  # the old one has hung up: see it now, not when the loop comes round to it
        super().use_chain(chain)

    async def close(self) -> None:
        """Both."""
        await super().close()
        await asyncio.to_thread(self.writer.close)
