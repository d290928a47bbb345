"""Any SMS service with an HTTP interface, described by a request template and a test of the answer.

It speaks through httpx's transport and not through its client: the client would follow redirects, keep cookies, take proxies
from the environment and write every URL, which may hold the secret and the code, to the log.
"""

import asyncio
import logging
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import httpx

from wardgate.clock import Clock
from wardgate.config.reference import SecretSetting
from wardgate.contacts import national_digits
from wardgate.crypto import Secret
from wardgate.delivery.kind import Endpoint, GatewayKind, Resolve, check_timeout, setting_error
from wardgate.delivery.port import Channel, Message, Receipt
from wardgate.delivery.scrub import scrub
from wardgate.delivery.sms.answer import AcceptedSettings, check_accepted, refusal
from wardgate.delivery.sms.message import check_message
from wardgate.delivery.sms.template import (
    MAX_HEADER_CHARS,
    MAX_URL_CHARS,
    FilledRequest,
    HttpRequestSettings,
    check_request,
    fill_request,
    places_in,
)
from wardgate.delivery.tls import client_context, verification_problem
from wardgate.errors import GatewayRefused, GatewayUnavailable

MAX_ANSWER_BYTES = 64 * 1024
MAX_CONNECTIONS = 32
IDLE_CONNECTION_S = 20.0

NUMBER_FORMATS = ("e164", "digits", "national")
_HEADER_SAFE = re.compile(rf"[\x21-\x7e](?:[\x20-\x7e]{{0,{MAX_HEADER_CHARS}}}[\x21-\x7e])?")

# At debug level the HTTP library logs the answer's headers, and services echo what they were sent.
logging.getLogger("httpcore").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSmsSettings:
    """Any SMS service with an HTTP interface, described by a template."""

    name: str
    kind: Literal["http"]
    request: HttpRequestSettings
    accepted: AcceptedSettings = field(default_factory=AcceptedSettings)
    username: str | None = field(default=None, metadata={"help": "what stands for {username}"})
    secret: SecretSetting | None = field(default=None, metadata={"help": "what stands for {secret}"})
    number_format: Literal["e164", "digits", "national"] = field(
        default="e164", metadata={"help": "+905321234567, 905321234567 or 05321234567 in {number}"}
    )
    ca_file: str | None = field(
        default=None, metadata={"help": "PEM file of the authority that signed the service's certificate; default: the system's"}
    )
    timeout_s: float = field(default=8.0, metadata={"help": "longest time for one try", "unit": "seconds"})
    order: int = field(default=100, metadata={"help": "lower is tried first among the gateways of a channel"})


class HttpSmsGateway:
    """Hands each message over in one request."""

    def __init__(self, settings: HttpSmsSettings, secret: Secret | None) -> None:
        self._settings = settings
        self._secret = secret
        self._transport = httpx.AsyncHTTPTransport(
            verify=client_context(settings.name, settings.ca_file),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=IDLE_CONNECTION_S),
        )

    @property
    def name(self) -> str:
        """The configured name."""
        return self._settings.name

    @property
    def channel(self) -> Channel:
        """What it carries."""
        return Channel.SMS

    async def send(self, message: Message, timeout_s: float) -> Receipt:
        """Hand the message over within `timeout_s` and the configured time for one try."""
        request = self._request(message)
        try:
            async with asyncio.timeout(min(timeout_s, self._settings.timeout_s)):
                status, body = await self._exchange(request)
        except TimeoutError as error:
            raise self._unavailable("did not answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._unavailable(_explain(error)) from error
        return self._judge(message, status, body)

    async def close(self) -> None:
        """Let go of connections."""
        await self._transport.aclose()

    def _request(self, message: Message) -> FilledRequest:
        check_message(self.name, message)
        values = {
            "number": self._number(message.to),
            "text": message.text,
            "id": message.id,
            "secret": self._revealed(),
            "username": self._settings.username or "",
        }
        request = fill_request(self._settings.request, values)
        if len(request.url) > MAX_URL_CHARS:
            raise GatewayRefused(f"sms gateway {self.name}: the text does not fit into a URL; send it by json or form")
        return request

    def _number(self, e164: str) -> str:
        match self._settings.number_format:
            case "e164":
                return e164
            case "digits":
                return e164.removeprefix("+")
            case "national":
                return national_digits(e164)

    def _revealed(self) -> str:
        return self._secret.reveal().decode() if self._secret else ""

    async def _exchange(self, request: FilledRequest) -> tuple[int, bytes]:
        wire = httpx.Request(request.method, request.url, headers=list(request.headers), content=request.content)
        response = await self._transport.handle_async_request(wire)
        try:
            return response.status_code, await _read_capped(response)
        finally:
            await response.aclose()

    def _judge(self, message: Message, status: int, body: bytes) -> Receipt:
        settings = self._settings
        answer = scrub(f"{status} {body.decode('utf-8', 'replace')}", message, [self._revealed()])
        if status in settings.accepted.refused_status:
            raise GatewayRefused(f"sms gateway {self.name}: refused the message: {answer}")
        problem = refusal(settings.accepted, status, body)
        if problem is None:
            return Receipt(answer)
        cure = "; check the secret and the account" if status in (401, 402, 403) else ""
        raise self._unavailable(f"did not take the message ({problem}{cure}): {answer}")

    def _unavailable(self, problem: str) -> GatewayUnavailable:
        return GatewayUnavailable(f"sms gateway {self.name}: {problem}")


async def _read_capped(response: httpx.Response) -> bytes:
    """The body as it came over the wire, at most MAX_ANSWER_BYTES of it. We asked for no compression, so none is undone."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= MAX_ANSWER_BYTES:
            break
    return bytes(body[:MAX_ANSWER_BYTES])


def _explain(error: Exception) -> str:
    """What went wrong, without the library's own words: those may quote the request."""
    certificate = verification_problem(error)
    if certificate is not None:
        return f"its certificate does not verify ({certificate}): give ca_file, or correct the host name in request.url"
    if isinstance(error, httpx.ConnectError):
        return "cannot be reached: check the host and port in request.url and the firewall"
    return f"the connection broke ({type(error).__name__})"


def _channel(settings: HttpSmsSettings) -> Channel:
    return Channel.SMS


def _endpoints(settings: HttpSmsSettings) -> list[Endpoint]:
    # Without the query: it may hold a key.
    shown = settings.request.url.partition("?")[0]
    parts = urlsplit(shown)
    return [Endpoint(shown, parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443))]


def _check(settings: HttpSmsSettings) -> None:
    check_timeout(settings.name, settings.timeout_s)
    if settings.number_format not in NUMBER_FORMATS:
        raise setting_error(settings.name, "number_format", f"must be one of {', '.join(NUMBER_FORMATS)}")
    check_request(
        settings.name, settings.request, has_secret=settings.secret is not None, has_username=settings.username is not None
    )
    if "username" in places_in(settings.request.headers) and not _HEADER_SAFE.fullmatch(settings.username or ""):
        raise setting_error(settings.name, "username", "must be printable ASCII to stand in a header")
    check_accepted(settings.name, settings.accepted)
    client_context(settings.name, settings.ca_file)


def _build(settings: HttpSmsSettings, resolve: Resolve, clock: Clock) -> HttpSmsGateway:
    secret = resolve(settings.secret) if settings.secret is not None else None
    if secret is not None:
        _check_secret(settings, secret)
    return HttpSmsGateway(settings, secret)


def _check_secret(settings: HttpSmsSettings, secret: Secret) -> None:
    try:
        text = secret.reveal().decode()
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise setting_error(settings.name, "secret", "is empty or not text: check the file or variable that it refers to")
    if "secret" in places_in(settings.request.headers) and not _HEADER_SAFE.fullmatch(text):
        raise setting_error(
            settings.name, "secret", "must be printable ASCII on one line to stand in a header: check for a line end or a space"
        )


KIND = GatewayKind(HttpSmsSettings, _channel, _endpoints, _check, _build)
