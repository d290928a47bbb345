"""Loopback services and gateways that do as they are told, for every test of the delivery room."""

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wardgate.clock import FixedClock, to_ms
from wardgate.crypto import MAC_ROOT, KeyRing, Secret, new_key
from wardgate.delivery.outbox import enqueue
from wardgate.delivery.port import Channel, Message, Receipt
from wardgate.delivery.worker import OutboxEvent
from wardgate.storage.port import Committed, Storage

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CODE = "493817"
NUMBER = "+905321234567"
ADDRESS = "carol@example.test"
TEXT = f"{CODE} is your code for VPN. It works for 3 minutes."
SMS = Message("m1d7k2", Channel.SMS, NUMBER, TEXT)
MAIL = Message("m1d7k2", Channel.EMAIL, ADDRESS, TEXT, "Your code for VPN")


def clock() -> FixedClock:
    """A clock that stands at NOW."""
    return FixedClock(NOW)


def new_ring() -> KeyRing:
    """A key ring of one key."""
    return KeyRing({MAC_ROOT: new_key(), 1: new_key()})


def resolve_to(value: str | bytes) -> Callable[[object], Secret]:
    """A resolver that gives every reference the same value."""
    return lambda setting: Secret(value)


# --- gateways -------------------------------------------------------------------------------------------------------

Behaviour = Callable[[Message], Awaitable[str]]


async def takes(message: Message) -> str:
    """Take every message."""
    return "taken"


async def hangs(message: Message) -> str:
    """Never answer."""
    await asyncio.Event().wait()
    return ""


def fails_with(error: Exception) -> Behaviour:
    """Raise `error` for every message."""

    async def behave(message: Message) -> str:
        raise error

    return behave


class FakeGateway:
    """Does what `behaviour` says and remembers what it was given."""

    def __init__(self, name: str, behaviour: Behaviour = takes, channel: Channel = Channel.SMS) -> None:
        self.name = name
        self.channel = channel
        self.behaviour = behaviour
        self.asked: list[str] = []
        self.taken: list[Message] = []
        self.asked_event = asyncio.Event()
        self.taken_event = asyncio.Event()

    async def send(self, message: Message, timeout_s: float) -> Receipt:
        """Behave."""
        self.asked.append(message.id)
        self.asked_event.set()
        answer = await self.behaviour(message)
        self.taken.append(message)
        self.taken_event.set()
        return Receipt(answer)

    async def close(self) -> None:
        """Nothing is held."""


class Timeline:
    """Collects what the worker tells."""

    def __init__(self) -> None:
        self.events: list[OutboxEvent] = []

    def __call__(self, event: OutboxEvent) -> Sequence[object]:
        self.events.append(event)
        return ()


async def put(
    storage: Storage,
    ring: KeyRing,
    message_id: str,
    *,
    channel: Channel = Channel.SMS,
    at: datetime = NOW,
    life_s: float = 180,
    keep: bool = False,
    text: str = TEXT,
    sender: str = "",
    to: str = "",
) -> None:
    """Put one message into the outbox."""
    outcome = await storage.commit(
        enqueue(
            ring,
            message_id=message_id,
            channel=channel,
            to=to or NUMBER if channel is Channel.SMS else ADDRESS,
            text=text,
            subject="" if channel is Channel.SMS else "Your code for VPN",
            code=CODE,
            user_name="bob",
            subject_id="subject-bob",
            application="vpn",
            transaction_id="transaction-1",
            reference="ABCD1234",
            created_at_ms=to_ms(at),
            expires_at_ms=to_ms(at) + int(life_s * 1000),
            keep=keep,
            sender=sender,
        )
    )
    assert isinstance(outcome, Committed)


# --- certificates ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority in a folder, and a server certificate of it."""

    ca_file: str
    server: ssl.SSLContext


def make_authority(folder: Path, *names: str) -> Authority:
    """A fresh authority and a server certificate for `names` (host names or addresses)."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {names[0]}")])
    ca = _certificate(issuer, issuer, ca_key.public_key(), ca_key, x509.BasicConstraints(ca=True, path_length=0))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    leaf = _certificate(subject, issuer, key.public_key(), ca_key, x509.BasicConstraints(ca=False, path_length=None), alternatives)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "server.pem").write_bytes(
        leaf.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return Authority(str(folder / "ca.pem"), context)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    constraints: x509.BasicConstraints,
    *extensions: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(constraints, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if constraints.ca:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256())


# --- an HTTP service ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What came over the wire."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The only header of this name."""
        values = [value for given, value in self.headers if given.lower() == name.lower()]
        assert len(values) < 2, f"{name} was sent {len(values)} times"
        return values[0] if values else None


@dataclass(slots=True)
class HttpService:
    """Answers every request with `reply`: octets to write, or None to hang."""

    reply: bytes | None = b""
    requests: list[HttpRequest] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    def answer(self, status: int, body: bytes = b"", *headers: str) -> None:
        """Answer like this from now on."""
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
        self.reply = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            self.requests.append(await _read_request(reader))
            self.asked.set()
            if self.reply is None:
                await reader.read()
            else:
                writer.write(self.reply)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> HttpRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return HttpRequest(method, target, headers, await reader.readexactly(length))


@contextlib.asynccontextmanager
async def http_service(context: ssl.SSLContext | None = None) -> AsyncIterator[HttpService]:
    """A service on a free loopback port."""
    service = HttpService()
    service.answer(200, b"{}")
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0, ssl=context)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()


# --- a mail server that is told what to answer ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """One mail that was taken."""

    sender: str
    to: str
    octets: bytes


@dataclass(slots=True)
class SmtpService:
    """Speaks enough SMTP. `replies` overrides the answer to a verb (`GREETING` and `BODY` included); None hangs."""

    replies: dict[str, bytes | None] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ("AUTH PLAIN LOGIN",)
    commands: list[str] = field(default_factory=list)
    mails: list[ReceivedMail] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            await self._say(writer, "GREETING", b"220 mail.test ESMTP")
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _say(self, writer: asyncio.StreamWriter, verb: str, usual: bytes) -> bytes:
        reply = self.replies.get(verb, usual)
        if reply is None:
            await asyncio.Event().wait()
            return b""
        writer.write(reply + b"\r\n")
        await writer.drain()
        return reply

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = to = ""
        while line := (await reader.readline()).decode("utf-8", "replace").rstrip("\r\n"):
            self.commands.append(line)
            verb = line.split(" ")[0].split(":")[0].upper()
            match verb:
                case "EHLO":
                    lines = ["mail.test", *self.capabilities]
                    text = "\r\n".join(f"250{'-' if part is not lines[-1] else ' '}{part}" for part in lines)
                    await self._say(writer, verb, text.encode())
                case "AUTH":
                    await self._say(writer, verb, b"235 2.7.0 welcome")
                case "MAIL":
                    sender = line.partition("<")[2].partition(">")[0]
                    await self._say(writer, verb, b"250 2.1.0 ok")
                case "RCPT":
                    to = line.partition("<")[2].partition(">")[0]
                    await self._say(writer, verb, b"250 2.1.5 ok")
                case "DATA":
                    if (await self._say(writer, verb, b"354 go on")).startswith(b"354"):
                        octets = (await reader.readuntil(b"\r\n.\r\n"))[:-3]
                        if (await self._say(writer, "BODY", b"250 2.0.0 queued as 4F1")).startswith(b"250"):
                            self.mails.append(ReceivedMail(sender, to, octets))
                case "QUIT":
                    await self._say(writer, verb, b"221 2.0.0 bye")
                    return
                case _:
                    await self._say(writer, verb, b"502 5.5.2 what?")


@contextlib.asynccontextmanager
async def smtp_service(context: ssl.SSLContext | None = None) -> AsyncIterator[SmtpService]:
    """A mail server on a free loopback port; with a context it speaks TLS from the first octet."""
    service = SmtpService()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0, ssl=context)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
