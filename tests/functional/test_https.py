"""The HTTPS server on a real socket: its life, its certificate, and clients that stall."""

import asyncio
import contextlib
import gc
import signal
import socket
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as pem

from tests.unit.web.samples import Sample
from wardgate.certificates import self_signed
from wardgate.errors import SettingsError
from wardgate.texts import LANGUAGES, catalogue
from wardgate.web import connection as connection_module
from wardgate.web import server as server_module
from wardgate.web import tls as tls_module
from wardgate.web.server import HttpsServer
from wardgate.web.tls import TlsFiles

DEADLINE_S = 15.0
LINE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


def new_certificate(folder: Path) -> TlsFiles:
    certificate, key = self_signed(datetime.now(UTC))
    tls = TlsFiles(folder / "server.crt", folder / "server.key")
    tls.certificate.write_bytes(certificate)
    tls.key.write_bytes(key)
    return tls


def trusting(tls: TlsFiles) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(tls.certificate))


class Running:
    """A server and what it serves."""

    def __init__(self, folder: Path, sample: Sample | None = None) -> None:
        self.sample = sample or Sample()
        self.tls = new_certificate(folder)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.server = HttpsServer(self.sample.app, self.listener, self.tls, self.sample.context.streams.close)

    async def connect(self, context: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TLS connection that trusts the present certificate."""
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context or trusting(self.tls), server_hostname="localhost")

    async def ask(self, request: bytes = LINE + b"Connection: close\r\n\r\n") -> bytes:
        """One request on its own connection; all that comes back."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            async with asyncio.timeout(DEADLINE_S):
                return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def running(folder: Path, sample: Sample | None = None) -> AsyncIterator[Running]:
    one = Running(folder, sample)
    await one.server.start()
    try:
        yield one
    finally:
        await one.server.stop(1.0)


async def test_serves_on_the_given_socket_without_taking_the_signals(tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    async with running(tmp_path) as one:
        assert one.server.accepting
        reply = await one.ask()
        assert {number: signal.getsignal(number) for number in before} == before
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nserver:" not in reply.lower()
    assert b"content-security-policy" in reply
    assert not one.server.accepting
    with pytest.raises(OSError, match=r"refused|failed"):
        await one.connect()


@pytest.mark.parametrize(("version", "works"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
async def test_old_tls_is_refused(tmp_path: Path, version: str, works: bool) -> None:
    async with running(tmp_path) as one:
        context = trusting(one.tls)
        context.set_ciphers("ALL:@SECLEVEL=0")  # so that it is the server that refuses
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = ssl.TLSVersion[version]
        if works:
            _, writer = await one.connect(context)
            writer.close()
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await one.connect(context)
        assert one.server._context.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_new_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        held_reader, held_writer = await one.connect()
        old = trusting(one.tls)
        one.tls = new_certificate(tmp_path)
        one.server.reload_certificate()
        assert (await one.ask()).startswith(b"HTTP/1.1 200")
        with pytest.raises(ssl.SSLCertVerificationError):
            await one.connect(old)
        held_writer.write(LINE + b"Connection: close\r\n\r\n")
        assert (await held_reader.read()).startswith(b"HTTP/1.1 200")
        held_writer.close()


@pytest.mark.parametrize("broken", ["no such file", "not a certificate", "key of another certificate", "key with a passphrase"])
async def test_broken_certificate_is_refused_and_the_old_one_serves_on(tmp_path: Path, broken: str) -> None:
    async with running(tmp_path) as one:
        trusted = trusting(one.tls)
        break_certificate(one.tls, broken)
        with pytest.raises(SettingsError, match=r"cannot be used|passphrase") as refused:
            one.server.reload_certificate()
        assert ("it is missing" in refused.value.message) == (broken == "no such file")
        _, writer = await one.connect(trusted)
        writer.close()
    with pytest.raises(SettingsError):
        HttpsServer(one.sample.app, socket.socket(), one.tls)


def break_certificate(tls: TlsFiles, how: str) -> None:
    match how:
        case "no such file":
            tls.certificate.unlink()
        case "not a certificate":
            tls.certificate.write_text("-----BEGIN CERTIFICATE-----\n")
        case "key of another certificate":
            tls.key.write_bytes(self_signed(datetime.now(UTC))[1])
        case "key with a passphrase":
            key = pem.load_pem_private_key(tls.key.read_bytes(), None)
            sealed = pem.BestAvailableEncryption(b"secret")
            tls.key.write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, sealed))


async def test_stop_ends_live_streams_in_time(tmp_path: Path) -> None:
    one = Running(tmp_path)
    await one.server.start()
    reader, writer = await one.connect()
    writer.write(b"GET /admin/log/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(DEADLINE_S):
        await reader.readuntil(b"retry: 3000")
        began = asyncio.get_running_loop().time()
        await one.server.stop(10.0)
        assert asyncio.get_running_loop().time() - began < 5.0  # it did not wait out the grace
        assert (await reader.read()).endswith(b"0\r\n\r\n")  # the stream was ended, not cut
    writer.close()


async def test_stop_waits_no_longer_than_its_grace(tmp_path: Path) -> None:
    one = Running(tmp_path)
    one.server = HttpsServer(one.sample.app, one.listener, one.tls)  # nobody ends the streams
    await one.server.start()
    reader, writer = await one.connect()
    writer.write(b"GET /admin/log/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(DEADLINE_S):
        await reader.readuntil(b"retry: 3000")
        await one.server.stop(1.0)
    assert one.sample.context.streams.open == 0
    writer.close()


async def test_socket_that_cannot_be_served_is_reported(tmp_path: Path) -> None:
    one = Running(tmp_path)
    one.listener.close()
    with pytest.raises(OSError, match=r"Bad file descriptor|Invalid|closed"):
        await one.server.start()
    assert not one.server.accepting


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: local", LINE])
async def test_head_that_never_ends_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connection_module, "HEAD_DEADLINE_S", 0.2)
    async with running(tmp_path) as one:
        assert await cut_off(one, sent)


async def test_second_head_on_a_kept_connection_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "HEAD_DEADLINE_S", 0.2)
    async with running(tmp_path) as one:
        reader, writer = await one.connect()
        writer.write(LINE + b"\r\n")
        async with asyncio.timeout(DEADLINE_S):
            await reader.readuntil(b"\r\n\r\nok")
            writer.write(LINE)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        writer.close()


async def test_empty_lines_do_not_keep_a_connection_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no request, and to uvicorn they are data: its wait for the next request would end, and none begin."""
    monkeypatch.setattr(connection_module, "HEAD_DEADLINE_S", 0.2)
    async with running(tmp_path) as one:
        reader, writer = await one.connect()
        writer.write(LINE + b"\r\n")
        async with asyncio.timeout(DEADLINE_S):
            await reader.readuntil(b"\r\n\r\nok")
            writer.write(b"\r\n")
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        writer.close()


async def test_a_body_after_its_reply_does_not_keep_a_connection_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is data, which ends uvicorn's wait for the next request; and the time for the body ends with the body."""
    monkeypatch.setattr(connection_module, "HEAD_DEADLINE_S", 0.2)
    async with running(tmp_path) as one:
        reader, writer = await one.connect()
        writer.write(b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n")
        async with asyncio.timeout(DEADLINE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 405")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            writer.write(b"ab")
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        writer.close()


async def test_body_that_never_comes_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "BODY_DEADLINE_S", 0.2)
    async with running(tmp_path) as one:
        request = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf"
        assert await cut_off(one, request)


async def test_tls_handshake_that_never_comes_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HANDSHAKE_DEADLINE_S", 0.2)
    async with running(tmp_path) as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""
        writer.close()


async def test_connections_that_begin_no_handshake_do_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no connections yet to whoever counts those, and each is fifty KiB."""
    monkeypatch.setattr(tls_module, "MAX_HANDSHAKES", 3)
    async with running(tmp_path) as one:
        made = [await one.connect() for _ in range(3)]
        held = [await asyncio.open_connection("127.0.0.1", one.port) for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        async with asyncio.timeout(DEADLINE_S / 3):  # long before the deadline for its handshake
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        for _, each in (*made, *held, (reader, writer)):
            each.transport.abort()
        reply = b""
        async with asyncio.timeout(DEADLINE_S):
            while not reply.startswith(b"HTTP/1.1 200 OK\r\n"):
                gc.collect()
                with contextlib.suppress(OSError):
                    reply = await one.ask()


async def test_reader_that_does_not_read_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "READER_DEADLINE_S", 0.2)
    monkeypatch.setattr(connection_module, "MAX_PIPELINED", 2000)
    async with running(tmp_path) as one:
        raw = socket.create_connection(("127.0.0.1", one.port))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        raw.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=raw, ssl=trusting(one.tls), server_hostname="localhost", limit=1024)
        connections = one.server._server.server_state.connections
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write((b"GET /admin/log HTTP/1.1\r\nHost: localhost\r\n\r\n") * 2000)
        async with asyncio.timeout(DEADLINE_S):
            while connections:
                await asyncio.sleep(0.05)
        writer.transport.abort()
        assert reader is not None


async def test_idle_connections_beyond_the_limit_are_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MAX_CONNECTIONS", 3)
    async with running(tmp_path) as one:
        held = [await one.connect() for _ in range(3)]
        reader, writer = await one.connect()
        async with asyncio.timeout(DEADLINE_S / 3):  # long before the deadline for its head
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.transport.abort()
        for _, each in held[1:]:
            each.transport.abort()
        reply = b""
        async with asyncio.timeout(DEADLINE_S):
            while not reply.startswith(b"HTTP/1.1 200 OK\r\n"):
                with contextlib.suppress(OSError):
                    reply = await one.ask()
        held[0][1].transport.abort()


@pytest.mark.parametrize(
    ("header", "said"),
    [(b"Accept-Language: tr", ["tr"]), (b"Cookie: __Host-wg_lang=tr\r\nAccept-Language: en", ["tr"]), (b"X: y", ["en", "tr"])],
)
async def test_requests_beyond_the_limit_are_told_so_by_a_page_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: bytes, said: list[str]
) -> None:
    """In the reader's language where it is known, and in every other case in all."""
    monkeypatch.setattr(connection_module, "MAX_CONNECTIONS", 1)
    async with running(tmp_path) as one, asyncio.timeout(DEADLINE_S):
        reader, writer = await one.connect()
        writer.write(b"GET /admin/log HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.transport.abort()
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nretry-after: 5" in head
    assert [each for each in LANGUAGES if catalogue(each)["page.busy_what"] in body.decode()] == said


async def test_head_without_an_end_is_refused_at_its_limit(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        reader, writer = await one.connect()
        writer.write(LINE)
        reply = b""
        async with asyncio.timeout(DEADLINE_S):
            try:
                for number in range(1000):
                    writer.write(b"X-%d: %s\r\n" % (number, b"x" * 1000))
                    await writer.drain()
            except ConnectionError:
                reply = b"cut"
            reply = await reader.read() or reply
        assert (reply.startswith(b"HTTP/1.1 431") and catalogue("tr")["page.error_431"].encode() in reply) or reply == b"cut"
        assert (await one.ask()).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize(
    "garbage",
    [b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 5000, b"GET  HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"],
)
async def test_garbage_is_refused_and_the_server_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, garbage: bytes) -> None:
    monkeypatch.setattr(connection_module, "HEAD_DEADLINE_S", 0.5)
    async with running(tmp_path) as one:
        reader, writer = await one.connect()
        writer.write(garbage)
        writer.write(b"\r\n\r\n")
        async with asyncio.timeout(DEADLINE_S):
            reply = await reader.read()
        writer.close()
        assert reply == b"" or reply.split(b" ")[1] in (b"400", b"404", b"421")
        assert b"Traceback" not in reply
        assert (await one.ask()).startswith(b"HTTP/1.1 200")


async def cut_off(one: Running, sent: bytes) -> bool:
    """Send the beginning of a request; whether the server closes the connection in time."""
    reader, writer = await one.connect()
    writer.write(sent)
    try:
        async with asyncio.timeout(DEADLINE_S):
            try:
                while await reader.read(65536):
                    continue
            except ConnectionError:
                return True
            return True
    except TimeoutError:
        return False
    finally:
        writer.close()
