"""Status-Server and readiness tell the truth about a server whose database takes no writes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from wardgate import app
from wardgate.app import Server, bind_sockets
from wardgate.clock import SystemClock
from wardgate.config.document import parse
from wardgate.config.store import load_current, save
from wardgate.crypto import Secret
from wardgate.errors import StorageUnavailable
from wardgate.installation import Installation, Opened
from wardgate.radius.client import build_access_request, build_status_server, check_reply
from wardgate.radius.packet import Code, Packet, SharedSecret
from wardgate.settings import HttpsListenerSettings, RadiusListenerSettings, StartSettings
from wardgate.storage.sqlite import SqliteStorage

SECRET = "a-secret-of-a-test-nas"
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local], reply_floor_ms: 0}}]
directories: [{{name: local, kind: local}}]
nas: [{{name: test, addresses: [127.0.0.1], secret: {{value: {SECRET}}}, application: vpn}}]
applications: [{{name: vpn}}]
"""
SILENCE_S = 0.3


class Disk:
    """The disk under a server, which a test can fill."""

    def __init__(self, storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        commit = storage._writer.commit

        def commit_or_fail() -> float | None:
            if self.full:
                storage._writer._rollback()
                raise StorageUnavailable("the disk is full", "storage_full")
            return commit()

        monkeypatch.setattr(storage._writer, "commit", commit_or_fail)


class Nas:
    """One socket of a NAS beside a server in this process."""

    def __init__(self, port: int) -> None:
        self.secret = SharedSecret(Secret(SECRET))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(("127.0.0.1", port))

    async def ask(self, packet: Packet, within_s: float = 5.0) -> Packet | None:
        self._socket.send(packet.raw)
        try:
            async with asyncio.timeout(within_s):
                return check_reply(packet, await asyncio.get_running_loop().sock_recv(self._socket, 5000), self.secret)
        except TimeoutError:
            return None

    async def is_answered(self, within_s: float = SILENCE_S) -> bool:
        """Whether a Status-Server is answered."""
        return await self.ask(build_status_server(self.secret, identifier=1), within_s) is not None

    async def log_in(self) -> Packet | None:
        return await self.ask(build_access_request("nobody", "guess", self.secret, identifier=2, nas_identifier="test"))

    def close(self) -> None:
        self._socket.close()


@asynccontextmanager
async def a_server(data: Path) -> AsyncIterator[tuple[Server, Opened, Nas]]:
    settings = StartSettings(
        radius=RadiusListenerSettings(addresses=("127.0.0.1",), port=0, accounting_port=0), https=HttpsListenerSettings(port=0)
    )
    installation = await Installation.create(data, False, SystemClock(), settings)
    opened = await installation.connect()
    version, _ = await load_current(opened.storage)
    await save(opened.storage, parse(DOCUMENT), "test", "", version, SystemClock(), opened.rings())
    sockets = bind_sockets(settings, next_free=False)
    server = Server(opened, sockets, SystemClock())
    nas = Nas(sockets.radius_address[1])
    try:
        await server.start()
        yield server, opened, nas
    finally:
        nas.close()
        await server.stop()
        await opened.storage.close()
        sockets.close()


async def test_status_server_is_not_answered_while_the_database_takes_no_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "STORAGE_ASKED_EVERY_S", 0.05)
    async with a_server(tmp_path / "data") as (server, opened, nas):
        assert isinstance(opened.storage, SqliteStorage)
        disk = Disk(opened.storage, monkeypatch)
        assert await nas.is_answered(5)
        disk.full = True
        refused = await nas.log_in()
        assert refused is not None
        assert refused.code is Code.ACCESS_REJECT
        assert not await nas.is_answered(), "a NAS that asks would send its logins here instead of to the next server"
        assert server.problems()
        disk.full = False
        # Without any login that could find out: the NAS sends none until it hears from us.
        async with asyncio.timeout(5):
            while not await nas.is_answered(0.1):
                pass
        assert not server.problems()
