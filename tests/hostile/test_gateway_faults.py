"""Gateways that hang, lie, drip and die, workers that are killed, and what must hold all the same."""

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.unit.delivery.fakes import (
    ADDRESS,
    CODE,
    MAIL,
    NUMBER,
    SMS,
    TEXT,
    Authority,
    FakeGateway,
    HttpService,
    Timeline,
    clock,
    hangs,
    http_service,
    make_authority,
    put,
    resolve_to,
    smtp_service,
)
from wardgate.clock import Clock, SystemClock
from wardgate.config.reference import EnvReference
from wardgate.crypto import MAC_ROOT, KeyRing, Secret
from wardgate.delivery.outage import Outages
from wardgate.delivery.port import Channel, Gateway
from wardgate.delivery.registry import build_gateway
from wardgate.delivery.sms.answer import AcceptedSettings
from wardgate.delivery.sms.http import HttpSmsSettings
from wardgate.delivery.sms.template import HttpRequestSettings
from wardgate.delivery.smtp import SmtpSettings
from wardgate.delivery.worker import OutboxWorker
from wardgate.errors import GatewayRefused, GatewayUnavailable
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Storage
from wardgate.storage.sqlite import SqliteStorage

SECRET = "kJ8-very+secret/word"
KEYS = {MAC_ROOT: Secret(b"0" * 32), 1: Secret(b"1" * 32)}
HANG_S = 0.3


def sms_gateway(name: str, port: int, timeout_s: float = HANG_S) -> Gateway:
    """A gateway to a loopback service that must say `"ok": true`."""
    request = HttpRequestSettings(
        url=f"http://127.0.0.1:{port}/send", headers={"X-Key": "{secret}"}, json={"to": "{number}", "text": "{text}"}
    )
    settings = HttpSmsSettings(
        name=name,
        kind="http",
        request=request,
        accepted=AcceptedSettings(json_path="ok", json_equals=True),
        secret=EnvReference(env="X"),
        timeout_s=timeout_s,
    )
    return build_gateway(settings, resolve_to(SECRET))


def new_worker(
    storage: Storage, gateways: Sequence[Gateway], *, holder: str = "w1", at: Clock | None = None, timeline: Timeline | None = None
) -> OutboxWorker:
    """A worker without jitter."""
    return OutboxWorker(
        storage,
        lambda: KeyRing(KEYS),
        at or clock(),
        lambda: gateways,
        timeline or Timeline(),
        Outages(storage, at or clock(), holder),
        keep_text=False,
        holder=holder,
        random=lambda: 0.0,
    )


def ids(service: HttpService) -> list[str]:
    """The idempotency keys that arrived."""
    return [request.header("Idempotency-Key") or "" for request in service.requests]


@pytest.fixture
async def works() -> AsyncIterator[HttpService]:
    """A service that takes everything."""
    async with http_service() as service:
        service.answer(200, b'{"ok": true}')
        yield service


# --- the next gateway -------------------------------------------------------------------------------------------------


def raw(reply: bytes | None) -> Callable[[HttpService], None]:
    """Answer with these octets."""

    def pull(service: HttpService) -> None:
        service.reply = reply

    return pull


def status(code: int, body: bytes = b"") -> Callable[[HttpService], None]:
    """Answer with this status."""
    return lambda service: service.answer(code, body)


FAULTS = {
    "hangs": raw(None),
    "refuses": status(422, b"blocked"),
    "is_broken": status(500),
    "says_200_with_an_error_inside": status(200, b'{"ok": false, "error": "no credit"}'),
    "says_200_with_html": status(200, b"<html>maintenance</html>"),
    "closes_at_once": raw(b""),
    "speaks_no_http": raw(b"\x16\x03\x01\x02\x00 SSH-2.0\r\n\r\n"),
    "stops_in_the_middle": raw(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"ok": true'),
    "lies_about_chunks": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "nests_json": status(200, b'{"ok":' + b"[" * 50_000),
    "never_ends_its_headers": raw(b"HTTP/1.1 200 OK\r\n" + b"X-Pad: " + b"x" * 200_000),
    "redirects": raw(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_message_goes_out_by_the_next_gateway_when_the_first(fault: str, works: HttpService) -> None:
    async with http_service() as broken:
        FAULTS[fault](broken)
        storage, timeline = MemoryStorage(), Timeline()
        await put(storage, KeyRing(KEYS), "m1")
        gateways = [sms_gateway("broken", broken.port), sms_gateway("works", works.port)]
        async with asyncio.timeout(10 * HANG_S):
            await new_worker(storage, gateways, timeline=timeline).deliver_due()
        assert ids(works) == ids(broken) == ["m1"]
        (event,) = timeline.events
        assert (event.state, event.attempts[-1].gateway) == ("sent", "works")


async def test_a_message_goes_out_by_the_next_gateway_when_the_first_is_not_there(works: HttpService) -> None:
    async with http_service() as gone:
        pass
    storage = MemoryStorage()
    await put(storage, KeyRing(KEYS), "m1")
    await new_worker(storage, [sms_gateway("gone", gone.port), sms_gateway("works", works.port)]).deliver_due()
    assert ids(works) == ["m1"]


async def test_a_dead_first_gateway_does_not_cost_its_time_for_each_message(works: HttpService) -> None:
    async with http_service() as dead:
        dead.reply = None
        storage = MemoryStorage()
        worker = new_worker(storage, [sms_gateway("dead", dead.port), sms_gateway("works", works.port)])
        for number in range(12):
            await put(storage, KeyRing(KEYS), f"m{number:02}")
            await worker.deliver_due()
        assert len(ids(works)) == 12
        assert len(ids(dead)) == 2, "two failures, and it is asked last from then on"


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, octet: bytes) -> None:
    """Give one octet at a time, for ever: no single read times out."""
    with contextlib.suppress(ConnectionError):
        writer.write(head)
        while not writer.is_closing():
            writer.write(octet)
            await writer.drain()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("kind", "head"),
    [("http", b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n"), ("http", b"HTTP/1.1 200 "), ("smtp", b"220-")],
)
async def test_a_service_that_drips_costs_no_more_than_the_time_given(kind: str, head: bytes) -> None:
    server = await asyncio.start_server(lambda reader, writer: drip(reader, writer, head, b"x"), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if kind == "http":
        gateway, message = sms_gateway("drips", port), SMS
    else:
        settings = SmtpSettings(name="mail", kind="smtp", servers=(f"smtp://127.0.0.1:{port}",), sender="login@acme.test")
        gateway, message = build_gateway(settings, resolve_to("")), MAIL
    began = asyncio.get_running_loop().time()
    with pytest.raises(GatewayUnavailable, match="in time"):
        await gateway.send(message, HANG_S)
    assert asyncio.get_running_loop().time() - began < 10 * HANG_S
    await gateway.close()
    server.close()


async def test_no_answer_of_any_service_gets_anything_but_the_three_outcomes() -> None:
    dice = random.Random(20260301)
    heads = [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200\r\n", b"HTTP/9.9 xx\r\n", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n\r\n"]
    lines = [b"Content-Length: -1\r\n", b"Content-Length: 3\r\n", b"Content-Length: 3\r\nContent-Length: 4\r\n", b": x\r\n", b""]
    outcomes = set()
    async with http_service() as service:
        gateway = sms_gateway("garbled", service.port)
        for _ in range(150):
            body = dice.choice([b'{"ok": true}', b'{"ok":', dice.randbytes(dice.randrange(200)), b"\xff" * 10])
            service.reply = dice.choice(heads) + dice.choice(lines) + b"\r\n" + body
            try:
                await gateway.send(SMS, HANG_S)
                outcomes.add("taken")
            except GatewayUnavailable:
                outcomes.add("unavailable")
    assert "unavailable" in outcomes


async def test_no_reply_of_any_mail_server_gets_anything_but_the_three_outcomes() -> None:
    dice = random.Random(20260301)
    async with smtp_service() as service:
        settings = SmtpSettings(name="mail", kind="smtp", servers=(f"smtp://127.0.0.1:{service.port}",), sender="login@acme.test")
        gateway = build_gateway(settings, resolve_to(""))
        for _ in range(80):
            verb = dice.choice(["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "QUIT"])
            code = dice.choice([b"250 ", b"220 ", b"354 ", b"421 ", b"550 ", b"999 ", b"25", b"-1 ", b"", b"250-x\r\n250-"])
            service.replies = {verb: code + dice.randbytes(dice.randrange(40))}
            with contextlib.suppress(GatewayUnavailable, GatewayRefused):
                await gateway.send(MAIL, HANG_S)


# --- nothing after the life of the code ---------------------------------------------------------------------------------


async def test_a_hand_over_that_hangs_is_given_up_when_the_code_dies() -> None:
    async with http_service() as service:
        service.reply = None
        storage, at = MemoryStorage(), SystemClock()
        await put(storage, KeyRing(KEYS), "m1", at=at.now(), life_s=HANG_S)
        worker = new_worker(storage, [sms_gateway("hangs", service.port, timeout_s=30)], at=at)
        async with asyncio.timeout(20 * HANG_S):
            await worker.deliver_due()
        row = await storage.get("outbox", {"id": "m1"})
        assert row is not None
        assert (row["state"], row["sealed"]) == ("expired", None)


async def test_nothing_is_asked_again_once_the_code_is_dead(works: HttpService) -> None:
    storage, at = MemoryStorage(), clock()
    works.answer(503)
    await put(storage, KeyRing(KEYS), "m1", life_s=10)
    worker = new_worker(storage, [sms_gateway("broken", works.port)], at=at)
    for _ in range(30):
        await worker.deliver_due()
        at.advance(1)
        if at.now().timestamp() * 1000 >= 10_000 + (await _created_ms(storage)):
            break
    asked = len(ids(works))
    works.answer(200, b'{"ok": true}')
    for _ in range(5):
        await worker.deliver_due()
        at.advance(20)
    assert len(ids(works)) == asked
    assert await storage.count("outbox", ()) == 1


async def _created_ms(storage: Storage) -> int:
    row = await storage.get("outbox", {"id": "m1"})
    assert row is not None
    assert isinstance(row["created_at"], int)
    return row["created_at"]


# --- a worker that is killed ------------------------------------------------------------------------------------------

VICTIM = """
import asyncio, sys
from pathlib import Path
from tests.hostile.test_gateway_faults import KEYS, new_worker, sms_gateway
from tests.unit.delivery.fakes import put
from wardgate.clock import SystemClock
from wardgate.crypto import KeyRing
from wardgate.storage.sqlite import SqliteStorage

async def main() -> None:
    path, port, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    storage, at = await SqliteStorage.open(path), SystemClock()
    await asyncio.gather(*(put(storage, KeyRing(KEYS), f"m{n:03}", at=at.now()) for n in range(count)))
    await new_worker(storage, [sms_gateway("sms", port, timeout_s=20)], at=at).run()

asyncio.run(main())
"""


async def run_and_kill(path: Path, port: int, count: int, moment: Callable[[], Awaitable[object]]) -> None:
    """Run a worker in a process of its own and kill it, without a warning, at `moment`."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VICTIM, str(path), str(port), str(count), cwd=root, env=environment
    )
    try:
        async with asyncio.timeout(30):
            await moment()
    finally:
        process.send_signal(signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL


async def finish(path: Path, gateway: Gateway, holder: str = "w1") -> list[str]:
    """Start a worker on what was left behind, wait until nothing is live, and return the states."""
    storage, at = await SqliteStorage.open(path), SystemClock()
    worker = new_worker(storage, [gateway], at=at, holder=holder)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(30):
        while any(row["state"] in ("queued", "sending") for row in await storage.find("outbox", (), limit=1000)):
            await asyncio.sleep(0.02)
    assert await worker.drain(5)
    await running
    states = [str(row["state"]) for row in await storage.find("outbox", (), limit=1000)]
    await storage.close()
    return states


async def test_kill_9_between_claim_and_answer_loses_nothing_and_repeats_the_same_key(works: HttpService, tmp_path: Path) -> None:
    path = tmp_path / "wardgate.db"
    works.reply = None
    await run_and_kill(path, works.port, 1, works.asked.wait)
    works.answer(200, b'{"ok": true}')
    states = await finish(path, sms_gateway("sms", works.port, timeout_s=5))
    assert states == ["sent"]
    assert ids(works) == ["m000", "m000"]
    assert works.requests[0].body == works.requests[1].body


async def test_kill_9_in_the_middle_of_a_load_loses_no_message(works: HttpService, tmp_path: Path) -> None:
    path, count = tmp_path / "wardgate.db", 60

    async def half_way() -> None:
        while len(works.requests) < count // 2:
            await asyncio.sleep(0.005)

    await run_and_kill(path, works.port, count, half_way)
    states = await finish(path, sms_gateway("sms", works.port, timeout_s=5))
    assert states == ["sent"] * count
    # A service that honours the key sees each once; what came twice is only what was in flight when the worker died.
    assert set(ids(works)) == {f"m{number:03}" for number in range(count)}
    assert len(ids(works)) <= count + 16


# --- two workers ------------------------------------------------------------------------------------------------------


async def test_two_workers_on_one_database_hand_each_message_over_once(works: HttpService, tmp_path: Path) -> None:
    storage, at = await SqliteStorage.open(tmp_path / "wardgate.db"), SystemClock()
    workers = [new_worker(storage, [sms_gateway("sms", works.port, timeout_s=5)], holder=name, at=at) for name in ("w1", "w2")]
    running = [asyncio.create_task(worker.run()) for worker in workers]
    await asyncio.gather(*(put(storage, KeyRing(KEYS), f"m{number:03}", at=at.now()) for number in range(100)))
    async with asyncio.timeout(30):
        while any(row["state"] != "sent" for row in await storage.find("outbox", (), limit=1000)):
            await asyncio.sleep(0.02)
    for worker in workers:
        assert await worker.drain(5)
    await asyncio.gather(*running)
    assert sorted(ids(works)) == [f"m{number:03}" for number in range(100)]
    await storage.close()


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_no_secret_and_no_code_is_left_in_log_timeline_or_database(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, works: HttpService
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f'{{"ok": false, "sent": "{TEXT}", "to": "{NUMBER}", "key": "{SECRET}"}}'.encode()
    timeline = Timeline()
    async with http_service() as broken:
        broken.answer(200, echo, f"X-Echo: {TEXT} {SECRET} {NUMBER}")
        storage, at = await SqliteStorage.open(tmp_path / "wardgate.db"), clock()
        await put(storage, KeyRing(KEYS), "m1", keep=True)
        worker = new_worker(storage, [sms_gateway("broken", broken.port)], at=at, timeline=timeline)
        with capture_logs() as logs:
            for _ in range(4):
                await worker.deliver_due()
                at.advance(15)
            works.answer(200, b'{"ok": true, "echo": "' + echo.replace(b'"', b"'") + b'"}')
            rescue = new_worker(storage, [sms_gateway("works", works.port)], at=at, timeline=timeline)
            await rescue.deliver_due()
        rows = [dict(row) for row in await storage.find("outbox", ())]
        await storage.close()
    assert timeline.events[-1].state == "sent"
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    everything = f"{timeline.events} {rows} {logs} {[record.getMessage() for record in caplog.records]}".encode() + written
    for hidden in (CODE, NUMBER[1:], NUMBER[3:], SECRET, ADDRESS):
        assert hidden.encode() not in everything


# --- a mail server in the middle --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the gateways trust."""
    return make_authority(Path(tmp_path_factory.mktemp("authority")), "localhost")


async def test_a_reply_that_was_injected_before_starttls_is_not_read_inside_it(authority: Authority) -> None:
    spoken: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test\r\n")
        await reader.readline()
        writer.write(b"250-mail.test\r\n250 STARTTLS\r\n")
        await reader.readline()
        # Behind the go-ahead, in the same packet and still in clear, an attacker's answer to the next EHLO.
        writer.write(b"220 go\r\n250-evil.test\r\n250 AUTH LOGIN\r\n")
        with contextlib.suppress(ConnectionError):
            await writer.start_tls(authority.server)
            spoken.append((await reader.readline()).decode().split(" ")[0])
            writer.write(b"250-mail.test\r\n250 AUTH PLAIN\r\n")
            spoken.append((await reader.readline()).decode().rpartition(" ")[0])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = SmtpSettings(
        name="mail",
        kind="smtp",
        servers=(f"smtp+starttls://localhost:{port}",),
        username="wardgate",
        password=EnvReference(env="X"),
        sender="login@acme.test",
        ca_file=authority.ca_file,
    )
    with pytest.raises(GatewayUnavailable):
        await build_gateway(settings, resolve_to(SECRET)).send(MAIL, 5)
    assert spoken == ["EHLO", "AUTH PLAIN"], "it asked again inside TLS and believed only what it heard there"
    server.close()


@pytest.mark.parametrize(
    "message",
    [
        replace(MAIL, to="carol@example.test>\r\nRCPT TO:<eve@evil.test"),
        replace(MAIL, to="carol@example.test\nDATA"),
        replace(MAIL, subject="Hello\r\nBcc: eve@evil.test"),
        replace(MAIL, subject="Hello\r\n\r\nanother body"),
        replace(MAIL, id="x>\r\nBcc: eve@evil.test\r\nX: <"),
    ],
)
async def test_a_mail_cannot_smuggle_a_command_a_recipient_or_a_header(message: object) -> None:
    async with smtp_service() as service:
        settings = SmtpSettings(name="mail", kind="smtp", servers=(f"smtp://127.0.0.1:{service.port}",), sender="login@acme.test")
        with pytest.raises(GatewayRefused):
            await build_gateway(settings, resolve_to("")).send(message, 5)  # type: ignore[arg-type]
        assert service.commands == []


# --- mail is not held up by SMS ---------------------------------------------------------------------------------------


async def test_sms_services_that_all_hang_do_not_hold_up_mail() -> None:
    storage, at = MemoryStorage(), SystemClock()
    mail = FakeGateway("mail", channel=Channel.EMAIL)
    gateways = [FakeGateway("one", hangs), FakeGateway("two", hangs), mail]
    worker = new_worker(storage, gateways, at=at)
    running = asyncio.create_task(worker.run())
    for number in range(40):
        await put(storage, KeyRing(KEYS), f"s{number}", at=at.now())
        await put(storage, KeyRing(KEYS), f"e{number}", at=at.now(), channel=Channel.EMAIL)
    async with asyncio.timeout(5):
        while len(mail.taken) < 40:
            await asyncio.sleep(0.01)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
