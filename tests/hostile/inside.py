"""A server in the test's own process, so that a test can make its parts fail, and one NAS beside it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from wardgate.clock import SystemClock
from wardgate.clock_watch import WatchedClock
from wardgate.config.document import parse
from wardgate.config.store import load_current, save
from wardgate.crypto import Secret
from wardgate.installation import Installation, Opened
from wardgate.passwords import PasswordHasher
from wardgate.radius.client import build_access_request, build_accounting_request, build_status_server, check_reply
from wardgate.radius.packet import Packet, SharedSecret, Type
from wardgate.settings import HttpsListenerSettings, RadiusListenerSettings, StartSettings
from wardgate.sockets import bind_sockets
from wardgate.worker import Worker

SECRET = "a-secret-of-a-test-nas"
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local], reply_floor_ms: 0}}]
directories: [{{name: local, kind: local}}]
nas: [{{name: test, addresses: [127.0.0.1], secret: {{value: {SECRET}}}, application: vpn}}]
applications: [{{name: vpn}}]
"""
SILENCE_S = 0.3
REPLY_S = 5.0


class Nas:
    """One socket of a NAS beside a server in this process."""

    def __init__(self, port: int, secret: str = SECRET) -> None:
        self.secret = SharedSecret(Secret(secret))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(("127.0.0.1", port))

    def __enter__(self) -> "Nas":
        return self

    def __exit__(self, *reason: object) -> None:
        self._socket.close()

    def send(self, packet: Packet) -> None:
        """Send and do not wait."""
        self._socket.send(packet.raw)

    async def ask(self, packet: Packet, within_s: float = REPLY_S) -> Packet | None:
        """Send; the reply, or None when none comes in time. Replies to earlier packets are passed over."""
        self.send(packet)
        try:
            async with asyncio.timeout(within_s):
                while True:
                    datagram = await asyncio.get_running_loop().sock_recv(self._socket, 5000)
                    if datagram[1] == packet.identifier:
                        return check_reply(packet, datagram, self.secret)
        except TimeoutError:
            return None

    async def is_answered(self, within_s: float = SILENCE_S) -> bool:
        """Whether a Status-Server is answered."""
        return await self.ask(build_status_server(self.secret, identifier=1), within_s) is not None

    async def log_in(self, chap: bool = False) -> Packet | None:
        """The reply to a login of somebody who does not exist."""
        request = build_access_request("nobody", "guess", self.secret, identifier=2, nas_identifier="test", chap=chap)
        return await self.ask(request)

    def accounting(self, identifier: int) -> Packet:
        """One accounting request."""
        return build_accounting_request([(Type.NAS_IDENTIFIER, b"test")], self.secret, identifier=identifier)


@asynccontextmanager
async def a_server(data: Path, document: str = DOCUMENT) -> AsyncIterator[tuple[Worker, Opened, int, int]]:
    """One worker with one NAS, 127.0.0.1. Its port for logins and its port for accounting."""
    settings = StartSettings(
        radius=RadiusListenerSettings(addresses=("127.0.0.1",), port=0, accounting_port=0), https=HttpsListenerSettings(port=0)
    )
    installation = await Installation.create(data, False, SystemClock(), settings)
    opened = await installation.connect()
    version, _ = await load_current(opened.storage)
    await save(opened.storage, parse(document), "test", "", version, SystemClock(), opened.rings())
    sockets = bind_sockets(settings, next_free=False)
    server = Worker(opened, sockets, WatchedClock(), PasswordHasher(threads=1, max_waiting=256))
    try:
        await server.start()
        yield server, opened, sockets.radius_address[1], sockets.accounting_port
    finally:
        await server.stop()
        await opened.storage.close()
        sockets.close()
