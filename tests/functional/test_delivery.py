"""Codes on their way out: real mail and SMS services on loopback, some of which hang, refuse or answer nonsense."""

import asyncio
import email
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.functional.harness import Person, Served, Wire, cli, last_login, message_of, wait_for
from tests.functional.plant import CHALLENGE, USERS, document
from tests.unit.delivery.fakes import Authority, HttpService, http_service, make_authority
from wardgate.radius.packet import Code, Packet

# A challenge must not wait for any gateway.
PROMPT_S = 1.5
MAIL_USER, MAIL_PASSWORD = "wardgate", "a-mail-password"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the gateways trust; its servers are called localhost."""
    return make_authority(Path(tmp_path_factory.mktemp("authority")), "localhost")


@pytest.fixture
async def services(authority: Authority) -> AsyncIterator[list[HttpService]]:
    """Three SMS services."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(http_service(authority.server)) for _ in range(3)]


@pytest.fixture(autouse=True)
def _no_gateways_afterwards(plant: Served) -> Iterator[None]:
    """The plant is as it was when a test is over."""
    yield
    apply(plant, "")


def apply(plant: Served, gateways: str) -> None:
    """Put these gateways in force."""
    cli("config", "apply", "-", data=plant.data, stdin=document(gateways))


def sms_gateways(authority: Authority, *services: HttpService) -> str:
    """One gateway for each service, in this order, with little patience."""
    return "".join(
        f"""
  - name: sms-{number}
    kind: http
    order: {number}
    timeout_s: 1
    ca_file: {authority.ca_file}
    secret: {{value: sms-password-{number}}}
    request:
      url: https://localhost:{service.port}/send
      headers: {{Authorization: "Bearer {{secret}}"}}
      json: {{to: "{{number}}", text: "{{text}}"}}
    accepted: {{json_path: status, json_equals: queued}}"""
        for number, service in enumerate(services, start=1)
    )


QUEUED = b'{"status": "queued"}'


async def log_in(plant: Served, person: Person) -> Packet:
    """The first request; the challenge has to come at once, whatever the gateways do."""

    def begin() -> Packet:
        began = time.monotonic()
        with Wire(plant, source=CHALLENGE) as wire:
            challenge = wire.log_in(person.name, person.password)
        assert time.monotonic() - began < PROMPT_S
        return challenge

    return await asyncio.to_thread(begin)


async def answer(plant: Served, person: Person, code: str, challenge: Packet) -> Packet:
    """The second request."""

    def send() -> Packet:
        with Wire(plant, source=CHALLENGE) as wire:
            return wire.answer(person.name, code, challenge)

    return await asyncio.to_thread(send)


def code_in(service: HttpService) -> str:
    """The code in the message that a service got last."""
    text = json.loads(service.requests[-1].body)["text"]
    found = re.search(r"\b(\d{6})\b", text)
    assert found, text
    return found.group(1)


async def test_a_code_goes_out_by_the_configured_sms_service(
    plant: Served, authority: Authority, services: list[HttpService]
) -> None:
    bob = USERS.with_phone()
    services[0].answer(200, QUEUED)
    apply(plant, sms_gateways(authority, services[0]))
    challenge = await log_in(plant, bob)
    await asyncio.wait_for(services[0].asked.wait(), 10)
    (request,) = services[0].requests
    assert request.header("Authorization") == "Bearer sms-password-1"
    assert json.loads(request.body)["to"] == bob.phone
    assert "Acme VPN" in json.loads(request.body)["text"]
    assert (await answer(plant, bob, code_in(services[0]), challenge)).code is Code.ACCESS_ACCEPT


@pytest.mark.parametrize("fault", ["hangs", "refuses the message", "is broken", "answers nonsense", "answers without end"])
async def test_when_the_first_service_fails_the_message_goes_by_the_next(
    plant: Served, authority: Authority, services: list[HttpService], fault: str
) -> None:
    bob = USERS.with_phone()
    first, second = services[:2]
    second.answer(200, QUEUED)
    match fault:
        case "hangs":
            first.reply = None
        case "refuses the message":
            first.answer(403, b"no credit left")
        case "is broken":
            first.answer(500, b"<html>oops</html>")
        case "answers nonsense":
            first.reply = b"\x00\xff" * 50
        case _:
            first.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 200_000
    apply(plant, sms_gateways(authority, first, second))
    challenge = await log_in(plant, bob)
    await asyncio.wait_for(second.asked.wait(), 15)
    assert len(first.requests) == 1
    assert (await answer(plant, bob, code_in(second), challenge)).code is Code.ACCESS_ACCEPT


async def test_when_nobody_listens_the_message_goes_by_the_next(
    plant: Served, authority: Authority, services: list[HttpService]
) -> None:
    bob = USERS.with_phone()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = HttpService(port=closed.getsockname()[1])
        services[0].answer(200, QUEUED)
        apply(plant, sms_gateways(authority, gone, services[0]))
        challenge = await log_in(plant, bob)
        await asyncio.wait_for(services[0].asked.wait(), 15)
    assert (await answer(plant, bob, code_in(services[0]), challenge)).code is Code.ACCESS_ACCEPT


async def test_while_all_services_hang_the_login_is_asked_for_at_once_and_told_in_the_trace(
    plant: Served, authority: Authority, services: list[HttpService]
) -> None:
    bob = USERS.with_phone()
    for service in services:
        service.reply = None
    apply(plant, sms_gateways(authority, *services))
    challenge = await log_in(plant, bob)
    assert "*" in message_of(challenge)
    # One after the other is asked; then one recovers, and the message still goes out while its code lives.
    for service in services:
        await asyncio.wait_for(service.asked.wait(), 15)
    services[0].answer(200, QUEUED)

    async def delivered() -> None:
        while not await asyncio.to_thread(_message_sent, plant, bob):
            await asyncio.sleep(0.2)

    await asyncio.wait_for(delivered(), 40)
    assert (await answer(plant, bob, code_in(services[0]), challenge)).code is Code.ACCESS_ACCEPT


def _message_sent(plant: Served, person: Person) -> bool:
    return any(entry["door"] == "delivery" and entry["result"] == "sent" for entry in last_login(plant, person.name))


async def test_a_gateway_can_be_tried_from_the_command_line(
    plant: Served, authority: Authority, services: list[HttpService]
) -> None:
    services[0].answer(200, QUEUED)
    services[1].answer(500)
    apply(plant, sms_gateways(authority, *services[:2]))
    told = await asyncio.to_thread(lambda: cli("gateway", "test", "sms-1", "--to", "+905321234567", "--json", data=plant.data))
    assert json.loads(told.stdout)
    assert json.loads(services[0].requests[-1].body)["to"] == "+905321234567"
    await asyncio.to_thread(lambda: cli("gateway", "test", "sms-2", "--to", "+905321234567", data=plant.data, expect=3))


# --- mail ------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Postbox:
    """Keeps what aiosmtpd took."""

    mails: list[tuple[Envelope, Message]] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Called by aiosmtpd."""
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append((envelope, email.message_from_bytes(content)))
        return "250 2.0.0 queued"


class TlsMailServer(Controller):
    """TLS from the first octet, and nobody sends without the password."""

    def factory(self) -> SMTP:
        """Called by aiosmtpd."""
        return SMTP(self.handler, authenticator=_known, auth_required=True, auth_require_tls=False)


def _known(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and data == LoginPassword(MAIL_USER.encode(), MAIL_PASSWORD.encode())
    return AuthResult(success=right)


@pytest.fixture
def mail_server(authority: Authority) -> Iterator[tuple[int, Postbox]]:
    """aiosmtpd on a free port."""
    postbox = Postbox()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = TlsMailServer(postbox, hostname="localhost", port=port, ssl_context=authority.server)
    controller.start()
    yield port, postbox
    controller.stop()


def mail_gateway(authority: Authority, *ports: int) -> str:
    """One gateway with these servers in order."""
    servers = ", ".join(f'"smtps://localhost:{port}"' for port in ports)
    return f"""
  - name: mail
    kind: smtp
    servers: [{servers}]
    username: {MAIL_USER}
    password: {{value: {MAIL_PASSWORD}}}
    sender: login@acme.test
    ca_file: {authority.ca_file}
    timeout_s: 3"""


# Over TLS from the first octet there is no StartTLS that could be required.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("first_is_down", [False, True])
async def test_a_code_goes_out_by_mail_over_tls_with_authentication(
    plant: Served, authority: Authority, mail_server: tuple[int, Postbox], first_is_down: bool
) -> None:
    port, postbox = mail_server
    carol = USERS.with_mail()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = (closed.getsockname()[1], port) if first_is_down else (port,)
        apply(plant, mail_gateway(authority, *ports))
        challenge = await log_in(plant, carol)
        envelope, mail = await asyncio.to_thread(lambda: wait_for(lambda: postbox.mails[-1] if postbox.mails else None, 15))
    assert envelope.rcpt_tos == [carol.mail]
    assert mail["From"].endswith("login@acme.test") or "login@acme.test" in mail["From"]
    assert "Acme VPN" in mail["Subject"]
    text = mail.get_payload(decode=True)
    assert isinstance(text, bytes)
    code = re.search(rb"\b(\d{6})\b", text)
    assert code
    assert (await answer(plant, carol, code.group(1).decode(), challenge)).code is Code.ACCESS_ACCEPT
    assert len(postbox.mails) == 1
