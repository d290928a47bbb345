"""E-mail by SMTP: TLS that is demanded and verified, authentication, several servers in order.

RFC 5321, 3207 (STARTTLS), 4954 (AUTH), 8314 (TLS from the first octet). One connection per message: codes are few, and a
connection that was left open is the one that has died when it is needed.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal
from urllib.parse import urlsplit

import aiosmtplib

from wardgate.clock import Clock
from wardgate.config.reference import SecretSetting
from wardgate.crypto import Secret
from wardgate.delivery.kind import Endpoint, GatewayKind, Resolve, check_timeout, setting_error
from wardgate.delivery.mail import Mailbox, compose, parse_mailbox
from wardgate.delivery.port import Channel, Message, Receipt
from wardgate.delivery.scrub import one_line, scrub
from wardgate.delivery.tls import client_context, verification_problem
from wardgate.errors import GatewayRefused, GatewayUnavailable, MessageError

MAX_SERVERS = 10
# How long a server that failed is asked last.
DOWN_S = 30.0
SERVICE_CLOSING = 421
# The mail is taken when this begins: QUIT is politeness.
GOODBYE_S = 1.0
# Less is not worth beginning a conversation of eight round trips.
MIN_SHARE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """A mail server, or several in order of preference."""

    name: str
    kind: Literal["smtp"]
    servers: tuple[str, ...] = field(
        metadata={
            "help": "smtps://host:465 (TLS), smtp+starttls://host:587 (StartTLS required), or smtp://host:25 "
            "(clear, only without password)"
        }
    )
    sender: str = field(metadata={"help": "the From address"})
    username: str | None = field(default=None, metadata={"help": "user name for authentication"})
    password: SecretSetting | None = field(default=None, metadata={"help": "password for authentication"})
    ca_file: str | None = field(
        default=None, metadata={"help": "PEM file of the authority that signed the servers' certificates; default: the system's"}
    )
    timeout_s: float = field(default=10.0, metadata={"help": "longest time for one try at one server", "unit": "seconds"})
    order: int = field(default=100, metadata={"help": "lower is tried first among the gateways of a channel"})


class Security(Enum):
    """How a server's connection is protected."""

    TLS = "smtps"
    STARTTLS = "smtp+starttls"
    CLEAR = "smtp"


DEFAULT_PORTS = {Security.TLS: 465, Security.STARTTLS: 587, Security.CLEAR: 25}


@dataclass(frozen=True, slots=True)
class Server:
    """One mail server."""

    security: Security
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Login:
    """What is told to servers that want to know who we are; only ever through TLS."""

    username: str
    password: Secret


class SmtpGateway:
    """Hands each message to the first server that takes it."""

    def __init__(self, settings: SmtpSettings, servers: Sequence[Server], login: Login | None, clock: Clock) -> None:
        self._settings = settings
        self._servers = tuple(servers)
        self._login = login
        self._clock = clock
        self._sender = parse_mailbox(settings.sender, named=True)
        self._context = client_context(settings.name, settings.ca_file)
        self._down_until: dict[Server, float] = {}

    @property
    def name(self) -> str:
        """The configured name."""
        return self._settings.name

    @property
    def channel(self) -> Channel:
        """What it carries."""
        return Channel.EMAIL

    async def send(self, message: Message, timeout_s: float) -> Receipt:
        """Hand the message over within `timeout_s`: each server gets its share of what is left, so that a silent one
        leaves time for the next."""
        try:
            to = parse_mailbox(message.to)
            octets = compose(message, self._sender, to, self._clock.now())
        except MessageError as error:
            raise GatewayRefused(f"mail gateway {self.name}: {error.message}") from error
        ends = self._clock.monotonic() + timeout_s
        problems: list[str] = []
        servers = self._in_order()
        for position, server in enumerate(servers):
            share_s = (ends - self._clock.monotonic()) / (len(servers) - position)
            if share_s < MIN_SHARE_S:
                problems.append("no time was left for the others")
                break
            try:
                answer = await self._hand_over(server, to, octets, min(share_s, self._settings.timeout_s))
            except _ServerProblem as problem:
                if problem.is_down:
                    self._down_until[server] = self._clock.monotonic() + DOWN_S
                problems.append(f"{server} {self._clean(problem.what, message)}")
                if problem.is_final:
                    raise GatewayRefused(f"mail gateway {self.name}: {problems[-1]}") from problem
            else:
                self._down_until.pop(server, None)
                return Receipt(self._clean(f"{server} {answer}", message))
        raise GatewayUnavailable(f"mail gateway {self.name}: {'; '.join(problems)}")

    async def close(self) -> None:
        """Nothing is held between messages."""

    def _in_order(self) -> list[Server]:
        """As configured, but those that failed a moment ago last: better a late try than none."""
        now = self._clock.monotonic()
        return sorted(self._servers, key=lambda server: self._down_until.get(server, 0.0) > now)

    async def _hand_over(self, server: Server, to: Mailbox, octets: bytes, limit_s: float) -> str:
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            local_hostname=_own_name(),
            timeout=limit_s,
            use_tls=server.security is Security.TLS,
            start_tls=server.security is Security.STARTTLS,
            tls_context=self._context,
        )
        try:
            async with asyncio.timeout(limit_s):
                await client.connect()
                if self._login is not None:
                    await _authenticate(client, self._login)
                answer = await self._transfer(client, to, octets)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            raise _problem(error, server) from error
        except BaseException:
            client.close()
            raise
        await _goodbye(client)
        return answer

    async def _transfer(self, client: aiosmtplib.SMTP, to: Mailbox, octets: bytes) -> str:
        wide = to.needs_smtputf8 or self._sender.needs_smtputf8
        if wide:
            await client.ehlo()
            if not client.supports_extension("smtputf8"):
                raise aiosmtplib.SMTPNotSupported("cannot take an address with letters outside ASCII (RFC 6531)")
        encoding = "utf-8" if wide else "ascii"
        await client.mail(self._sender.address, options=["SMTPUTF8"] if wide else [], encoding=encoding)
        await client.rcpt(to.address, encoding=encoding)
        response = await client.data(octets)
        return f"{response.code} {response.message}"

    def _clean(self, words: str, message: Message) -> str:
        password = [self._login.password.reveal().decode("utf-8", "replace")] if self._login else []
        return scrub(words, message, password)


class _ServerProblem(Exception):
    """One server did not take the message. `is_down`: nor would it take others; `is_final`: nobody should ask again."""

    def __init__(self, what: str, *, is_down: bool = False, is_final: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.is_down = is_down
        self.is_final = is_final


async def _authenticate(client: aiosmtplib.SMTP, login: Login) -> None:
    """Log in with one method. (The library's own `login` offers a wrong password once for each: that locks mail accounts.)"""
    if client.get_transport_info("sslcontext") is None:
        raise aiosmtplib.SMTPNotSupported("is not reached through TLS, so the password was not sent")
    if client.is_ehlo_or_helo_needed:
        await client.ehlo()
    offered = client.server_auth_methods
    password = login.password.reveal()
    if "plain" in offered:
        await client.auth_plain(login.username, password)
    elif "login" in offered:
        await client.auth_login(login.username, password)
    elif "cram-md5" in offered:
        await client.auth_crammd5(login.username, password)
    else:
        raise aiosmtplib.SMTPNotSupported("offers none of the ways to log in that we have (PLAIN, LOGIN, CRAM-MD5)")


async def _goodbye(client: aiosmtplib.SMTP) -> None:
    with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
        async with asyncio.timeout(GOODBYE_S):
            await client.quit()
    client.close()


def _problem(error: Exception, server: Server) -> _ServerProblem:
    """What an error means for the message and for the server; the operator's cure where there is one."""
    certificate = verification_problem(error)
    if certificate is not None:
        return _down(f"shows a certificate that does not verify ({certificate}): give ca_file or correct the host name")
    match error:
        case aiosmtplib.SMTPResponseException():
            return _answered(error)
        case aiosmtplib.SMTPServerDisconnected():
            return _down("closed the connection")
        case TimeoutError():
            return _down("did not answer in time")
        case aiosmtplib.SMTPNotSupported():
            return _ServerProblem(error.message)
        case _ if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
            return _down(f"fails at TLS: check that {server.security.value}:// is what port {server.port} speaks")
        case aiosmtplib.SMTPConnectError():
            return _down("cannot be reached: check host, port and firewall")
        case aiosmtplib.SMTPException() if server.security is Security.STARTTLS:
            return _down("does not offer STARTTLS; nothing was sent in clear: use smtps:// or correct the server")
        case _:
            return _down(f"broke the conversation ({type(error).__name__})")


def _answered(error: aiosmtplib.SMTPResponseException) -> _ServerProblem:
    """What a reply code means depends on the command that it answers (RFC 5321 section 4.2.1)."""
    reply = f"{error.code} {one_line(error.message)}"
    is_permanent = error.code >= 500
    match error:
        case aiosmtplib.SMTPAuthenticationError():
            return _down(f"refused to log us in ({reply}): {'check username and password' if is_permanent else 'it may later'}")
        case aiosmtplib.SMTPRecipientRefused() | aiosmtplib.SMTPDataError():
            return _ServerProblem(f"refused the mail: {reply}", is_down=error.code == SERVICE_CLOSING, is_final=is_permanent)
        case aiosmtplib.SMTPSenderRefused() if is_permanent:
            return _down(f"refused the sender ({reply}): check sender, and whether the server wants a login")
        case _:
            return _down(f"answered {reply}")


def _down(what: str) -> _ServerProblem:
    return _ServerProblem(what, is_down=True)


def _own_name() -> str:
    """Who we say we are (RFC 5321 section 4.1.4), without asking the DNS, which may be slow or wrong."""
    name = socket.gethostname()
    return name if "." in name and name.isascii() and not name.endswith(".") else "[127.0.0.1]"


# --- settings ---------------------------------------------------------------------------------------------------------


def parse_server(gateway: str, url: str) -> Server:
    """Read one entry of `servers`. Raises SettingsError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        security = Security(parts.scheme)
    except ValueError as error:
        raise setting_error(
            gateway, "servers", "each must be smtps://host:465, smtp+starttls://host:587 or smtp://host:25"
        ) from error
    if not host or not host.isascii() or any(char.isspace() for char in url) or (port is not None and port < 1):
        raise setting_error(gateway, "servers", "an entry has no host, or a malformed one")
    if "@" in parts.netloc:
        raise setting_error(gateway, "servers", "an entry holds a user name or password: use username and password")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise setting_error(gateway, "servers", "an entry has something behind host and port")
    return Server(security, host, port or DEFAULT_PORTS[security])


def _channel(settings: SmtpSettings) -> Channel:
    return Channel.EMAIL


def _endpoints(settings: SmtpSettings) -> list[Endpoint]:
    servers = [parse_server(settings.name, url) for url in settings.servers]
    return [Endpoint(f"{each.security.value}://{each}", each.host, each.port) for each in servers]


def _check(settings: SmtpSettings) -> None:
    check_timeout(settings.name, settings.timeout_s)
    if not 1 <= len(settings.servers) <= MAX_SERVERS:
        raise setting_error(settings.name, "servers", f"name at least one server, and at most {MAX_SERVERS}")
    servers = [parse_server(settings.name, url) for url in settings.servers]
    if (settings.username is None) != (settings.password is None):
        raise setting_error(settings.name, "username", "username and password go together: give both or none")
    if settings.username is not None and (not settings.username or not settings.username.isprintable()):
        raise setting_error(settings.name, "username", "is empty or has control characters")
    if settings.password is not None and any(server.security is Security.CLEAR for server in servers):
        raise setting_error(
            settings.name, "servers", "smtp:// would send the password in clear: use smtps:// or smtp+starttls://, or no password"
        )
    try:
        parse_mailbox(settings.sender, named=True)
    except MessageError as error:
        raise setting_error(
            settings.name, "sender", f"must be a mail address such as login@example.test: {error.message}"
        ) from error
    client_context(settings.name, settings.ca_file)


def _build(settings: SmtpSettings, resolve: Resolve, clock: Clock) -> SmtpGateway:
    servers = [parse_server(settings.name, url) for url in settings.servers]
    login = None
    if settings.username is not None and settings.password is not None:
        password = resolve(settings.password)
        if not password or b"\0" in password.reveal():
            raise setting_error(settings.name, "password", "is empty or holds a zero byte: check the file or variable")
        login = Login(settings.username, password)
    return SmtpGateway(settings, servers, login, clock)


KIND = GatewayKind(SmtpSettings, _channel, _endpoints, _check, _build)
