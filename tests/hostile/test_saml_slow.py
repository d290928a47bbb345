"""Single sign-on on a real HTTPS server, and clients that keep it waiting."""

import asyncio
import socket
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.flows.saml_world import SamlWorld, by_redirect
from tests.functional.test_https import DEADLINE_S, new_certificate, trusting
from wardgate.engine.runtime import EngineParts
from wardgate.portal.routes import portal_pages
from wardgate.web import connection as connection_module
from wardgate.web.app import build_web_app
from wardgate.web.server import HttpsServer

HEAD = (
    b"POST /saml/sso HTTP/1.1\r\nHost: login.acme.test\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 100000\r\n\r\nSAMLRequest="
)
CLIENTS = 50


async def test_slow_loris_on_the_sso_endpoint_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms that drip in, octet by octet: each is cut off at its deadline, and others are answered meanwhile."""
    monkeypatch.setattr(connection_module, "BODY_DEADLINE_S", 1.0)
    world, tls = SamlWorld(), new_certificate(tmp_path)
    parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, keep_messages=True)
    listener = socket.create_server(("127.0.0.1", 0))
    server = HttpsServer(build_web_app(world.context(), ("portal",), [portal_pages(parts, world.joining())]), listener, tls)
    await server.start()

    async def connection() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = listener.getsockname()[1]
        return await asyncio.open_connection("127.0.0.1", port, ssl=trusting(tls), server_hostname="localhost")

    async def drips() -> None:
        reader, writer = await connection()
        writer.write(HEAD)
        while not reader.at_eof() and reader.exception() is None:
            writer.write(b"A")
            await asyncio.sleep(0.05)
        writer.close()

    try:
        async with asyncio.timeout(DEADLINE_S):
            with capture_logs() as logs:
                slow = [asyncio.create_task(drips()) for _ in range(CLIENTS)]
                reader, writer = await connection()
                address = by_redirect(world.request()).encode()
                writer.write(b"GET " + address + b" HTTP/1.1\r\nHost: login.acme.test\r\nConnection: close\r\n\r\n")
                assert (await reader.read()).startswith(b"HTTP/1.1 303")
                writer.close()
                await asyncio.gather(*slow)
        assert [each for each in logs if each["event"] == "page_failed"] == [], "nobody fills our log by hanging up"
    finally:
        await server.stop(1.0)
    assert server.connections == 0
