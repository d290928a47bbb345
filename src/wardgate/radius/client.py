"""The other side: a small RADIUS client for the simulator, the benchmark and the tests.

The first half is pure. `RadiusClient` at the end is the one piece of I/O in this room besides the server; it behaves as a
NAS does: its own socket, the same octets again after a time-out, silence towards replies that do not check.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from wardgate.errors import PacketError, UnavailableError
from wardgate.radius import pap
from wardgate.radius.chap import chap_password
from wardgate.radius.packet import (
    Attribute,
    Code,
    MessageAuthenticator,
    Packet,
    Placing,
    SharedSecret,
    Type,
    check_reply_message_authenticator,
    check_response_authenticator,
    decode,
    encode_accounting_request,
    encode_request,
)

DEFAULT_TIMEOUT_S = 3.0
DEFAULT_RETRIES = 2
_MAX_REJECTED = 16

_REPLY_CODES = {
    Code.ACCESS_REQUEST: frozenset({Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE}),
    Code.ACCOUNTING_REQUEST: frozenset({Code.ACCOUNTING_RESPONSE}),
    Code.STATUS_SERVER: frozenset({Code.ACCESS_ACCEPT, Code.ACCOUNTING_RESPONSE}),
}


class NoReply(UnavailableError):
    """Nothing that checks came back in time. The message says what did come back, if anything."""

    code = "radius_no_reply"


# --- Building requests and judging replies ----------------------------------------------------------------------------


def build_access_request(
    user: str,
    password: bytes | str,
    secret: SharedSecret,
    *,
    identifier: int,
    authenticator: bytes | None = None,
    nas_identifier: str | None = "wardgate",
    state: bytes | None = None,
    attributes: Iterable[Attribute] = (),
    chap: bool = False,
    message_authenticator: Placing = "first",
) -> Packet:
    """An Access-Request as a NAS sends it.

    `state` answers a challenge. `attributes` go last, as they are. `authenticator` is 16 random octets unless given.
    With `chap` the password is proved by CHAP (RFC 2865 section 2.2) with the Request Authenticator as the challenge.
    """
    vector = secrets.token_bytes(16) if authenticator is None else authenticator
    clear = password.encode() if isinstance(password, str) else password
    proof = (Type.USER_PASSWORD, pap.hide(clear, vector, secret))
    if chap:
        proof = (Type.CHAP_PASSWORD, chap_password(vector[0], clear, vector))
    content: list[Attribute] = [(Type.USER_NAME, user.encode()), proof]
    if nas_identifier is not None:
        content.append((Type.NAS_IDENTIFIER, nas_identifier.encode()))
    if state is not None:
        content.append((Type.STATE, state))
    content += attributes
    return decode(encode_request(Code.ACCESS_REQUEST, identifier, vector, content, secret, message_authenticator))


def build_status_server(secret: SharedSecret, *, identifier: int, attributes: Iterable[Attribute] = ()) -> Packet:
    """A Status-Server: are you there? RFC 5997."""
    return decode(encode_request(Code.STATUS_SERVER, identifier, secrets.token_bytes(16), attributes, secret))


def build_accounting_request(
    attributes: Iterable[Attribute], secret: SharedSecret, *, identifier: int, message_authenticator: Placing = "none"
) -> Packet:
    """An Accounting-Request. RFC 2866."""
    return decode(encode_accounting_request(identifier, attributes, secret, message_authenticator))


def check_reply(request: Packet, datagram: bytes, secret: SharedSecret, *, require_message_authenticator: bool = True) -> Packet:
    """The reply in `datagram`, when it answers `request` and was made with our secret.

    Raises PacketError; its code says what does not fit: `radius_reply_code`, `radius_reply_identifier`,
    `radius_reply_authenticator`, `radius_reply_message_authenticator`, `radius_reply_proxy_state`, or one of `decode`.
    """
    reply = decode(datagram)
    if reply.code not in _REPLY_CODES.get(request.code, frozenset()):
        raise PacketError(f"{reply.code.name} does not answer {request.code.name}", "radius_reply_code")
    if reply.identifier != request.identifier:
        raise PacketError(f"identifier {reply.identifier}, not {request.identifier}", "radius_reply_identifier")
    if not check_response_authenticator(reply, request, secret):
        raise PacketError("the Response Authenticator is wrong: is the secret the same?", "radius_reply_authenticator")
    judgement = check_reply_message_authenticator(reply, request, secret)
    required = require_message_authenticator and request.code is not Code.ACCOUNTING_REQUEST
    if judgement is not MessageAuthenticator.VALID and (required or judgement is not MessageAuthenticator.ABSENT):
        raise PacketError(f"the Message-Authenticator is {judgement.value}", "radius_reply_message_authenticator")
    # A Proxy-State that we did not send is how the forged reply of CVE-2024-3596 carries its collision.
    if reply.all(Type.PROXY_STATE) != request.all(Type.PROXY_STATE):
        raise PacketError("Proxy-State is not as we sent it", "radius_reply_proxy_state")
    return reply


# --- Sending ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Pending:
    """One request that waits for its reply."""

    request: Packet
    reply: "asyncio.Future[Packet]"
    rejected: list[str] = field(default_factory=list)


class RadiusClient:
    """One UDP socket towards one server, with up to 256 requests under way. Use it as an async context manager."""

    def __init__(
        self,
        host: str,
        port: int,
        secret: SharedSecret,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
        *,
        require_message_authenticator: bool = True,
    ) -> None:
        """A request is sent once and then at most `retries` times again; `timeout_s` is waited after each sending."""
        self._host = host
        self._port = port
        self._secret = secret
        self._timeout_s = timeout_s
        self._sendings = retries + 1
        self._require = require_message_authenticator
        self._transport: asyncio.DatagramTransport | None = None
        self._pending: dict[int, _Pending] = {}
        self._next_identifier = secrets.randbelow(256)

    async def __aenter__(self) -> "RadiusClient":
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Receiver(self._received), remote_addr=(self._host, self._port)
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    @property
    def local_port(self) -> int:
        """The port that our requests come from."""
        return int(self._socket().get_extra_info("sockname")[1])

    def identifier(self) -> int:
        """The next Identifier that no request under way uses. Raises NoReply when all 256 are in use."""
        for _ in range(256):
            self._next_identifier = (self._next_identifier + 1) % 256
            if self._next_identifier not in self._pending:
                return self._next_identifier
        raise NoReply("256 requests are waiting for a reply on this socket: open another client")

    async def send(self, request: Packet) -> Packet:
        """Send a request and return its reply, checked. Raises NoReply when every sending passed without one."""
        transport = self._socket()
        if request.identifier in self._pending:
            raise NoReply(f"identifier {request.identifier} is in use by a request that waits for its reply")
        pending = _Pending(request, asyncio.get_running_loop().create_future())
        self._pending[request.identifier] = pending
        try:
            for _ in range(self._sendings):
                transport.sendto(request.raw)
                done, _waiting = await asyncio.wait({pending.reply}, timeout=self._timeout_s)
                if done:
                    return pending.reply.result()
        finally:
            del self._pending[request.identifier]
        raise NoReply(self._explain(pending.rejected))

    def _explain(self, rejected: Sequence[str]) -> str:
        text = f"no reply from {self._host}:{self._port} to {self._sendings} sendings in steps of {self._timeout_s:g} s"
        return f"{text}; dropped: {'; '.join(rejected)}" if rejected else text

    def _socket(self) -> asyncio.DatagramTransport:
        if self._transport is None:
            raise NoReply("the client is not open: use it as `async with RadiusClient(...)`")
        return self._transport

    def _received(self, datagram: bytes) -> None:
        """Hand a reply to the request that waits for it. What does not check is noted and otherwise ignored."""
        pending = self._pending.get(datagram[1]) if len(datagram) > 1 else None
        if pending is None or pending.reply.done():
            return
        try:
            reply = check_reply(pending.request, datagram, self._secret, require_message_authenticator=self._require)
        except PacketError as error:
            if len(pending.rejected) < _MAX_REJECTED:
                pending.rejected.append(error.message)
        else:
            pending.reply.set_result(reply)


class _Receiver(asyncio.DatagramProtocol):
    """Passes datagrams on. An unreachable port is heard as silence: the next try may find the server started."""

    def __init__(self, deliver: Callable[[bytes], None]) -> None:
        self._deliver = deliver

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Called by the loop."""
        self._deliver(data)
