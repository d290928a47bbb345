"""One connection to one server: TLS, requests and their answers, several at a time where the caller wants that.

A connection that broke, or on which an answer did not come in time, is never used again; who holds it throws it away.
"""

import asyncio
import math
import socket
import ssl
from collections.abc import Coroutine
from typing import Final, cast

from wardgate.directory.ldap import ber, messages
from wardgate.directory.ldap.endpoints import Endpoint
from wardgate.directory.ldap.port import Code, Entry, Result
from wardgate.errors import DirectoryUnavailable, MessageError
from wardgate.values import quick_value

MAX_SEARCH_BYTES: Final = 64 * 1024 * 1024
_KEEPALIVE_IDLE_S: Final = 30
_KEEPALIVE_EVERY_S: Final = 10
_KEEPALIVE_TIMES: Final = 3
_USER_TIMEOUT_MS: Final = 20_000
_TIMER_RESOLUTION_S: Final = 0.002
_GOODBYE_S: Final = 2.0
"""How long the end of TLS may take: a frozen server must not hold what we gave up."""


class ConnectionLost(DirectoryUnavailable):
    """The server cannot be reached, broke off, sent garbage or did not answer in time. Another server may do better."""

    code = "directory_unavailable"


@quick_value
class Found:
    """What a search brought. `stopped`: more came than was wanted, and we broke it off.

    `unfinished`: by the place of an entry, its attributes of which the server sent only a part, and where the next part begins.
    """

    entries: list[Entry]
    result: Result
    stopped: bool
    unfinished: dict[int, dict[str, int]]
    octets: int = 0


class _Pending:
    """An operation whose answer is awaited. `entries` is None for all but searches."""

    __slots__ = ("deadline", "entries", "future", "left_bytes", "most", "unfinished")

    def __init__(self, future: "asyncio.Future[Result | Found]", deadline: float, entries: list[Entry] | None, most: int) -> None:
        self.future = future
        self.deadline = deadline
        self.entries = entries
        self.most = most
        self.left_bytes = MAX_SEARCH_BYTES
        self.unfinished: dict[int, dict[str, int]] = {}


class Connection(asyncio.Protocol):
    """Made by `connect`. Requests may overlap, but for binds: the caller has nothing else in flight then."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.opened_at = 0.0
        self.used_at = 0.0
        self.usable = True
        """Whether a new request may be sent here."""
        self.alone = False
        """Whether there is never more than one request in flight, so that none has to wait for others to leave with it."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._needed = 0
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = math.inf
        self._waiting: list[bytes] = []
        self._pending: dict[int, _Pending] = {}
        self._last_id = 0
        self._lost: str | None = None
        self._draining = False
        self._clear = False

    # --- state -------------------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """How many answers are awaited."""
        return len(self._pending)

    @property
    def problem(self) -> str:
        """Why it is not usable."""
        return self._lost or ("an answer did not come in time" if self._draining else "")

    def drain(self) -> None:
        """Nothing new is sent; what is in flight may still be answered. Then it closes."""
        self._draining, self.usable = True, False
        if not self._pending:
            self.close()

    def close(self) -> None:
        """Say goodbye and close at once; whoever waits gets ConnectionLost."""
        if self._lost is None:
            transport = self._transport
            if transport is not None and not transport.is_closing() and not self._clear:
                transport.write(messages.message(self._next_id(), messages.unbind()))
            self._break("closed")
            if transport is not None:
                transport.close()

    def abort(self) -> None:
        """Close without a word."""
        self._fail("closed")

    # --- operations --------------------------------------------------------------------------------------------------------

    def call(self, operation: bytes, deadline: float, controls: bytes = b"") -> Coroutine[None, None, Result]:
        """Send one operation and return how it ended. `deadline`: in the loop's time. Raises ConnectionLost."""
        return cast(Coroutine[None, None, Result], self._ask(operation, deadline, controls, None, 0))

    def search(self, operation: bytes, deadline: float, controls: bytes = b"", most: int = 0) -> Coroutine[None, None, Found]:
        """Send one search and return what it brought; after `most` entries it is broken off, unless that is 0."""
        return cast(Coroutine[None, None, Found], self._ask(operation, deadline, controls, [], most))

    async def _ask(
        self, operation: bytes, deadline: float, controls: bytes, entries: list[Entry] | None, most: int
    ) -> Result | Found:
        if not self.usable or self._clear:
            raise ConnectionLost(f"{self.server}: {self.problem or 'not yet secured by TLS'}")
        future: asyncio.Future[Result | Found] = self._loop.create_future()
        self._last_id = message_id = self._last_id % messages.MAX_MESSAGE_ID + 1
        self._pending[message_id] = _Pending(future, deadline, entries, most)
        if deadline < self._wakes_at:
            self._wake_at(deadline)
        self._send(messages.message(message_id, operation, controls))
        try:
            return await future
        except BaseException:
            if self._pending.pop(message_id, None) is not None:  # the caller gave up
                self._give_up(message_id)
            raise

    async def start_tls(self, context: ssl.SSLContext, host: str, deadline: float) -> None:
        """Ask for TLS and begin it. Nothing else has been sent before; a server that refuses is not spoken to in clear."""
        future: asyncio.Future[Result | Found] = self._loop.create_future()
        message_id = self._next_id()
        self._pending[message_id] = _Pending(future, deadline, None, 0)
        transport = self._transport
        if transport is None or self._lost is not None:
            raise ConnectionLost(f"{self.server}: {self.problem}")
        transport.write(messages.message(message_id, messages.extended(messages.START_TLS)))
        try:
            async with asyncio.timeout_at(deadline):
                answer = cast(Result, await future)
                if not answer.good:
                    raise ConnectionLost(f"{self.server} refuses StartTLS ({answer.code}): {answer.diagnostic}")
                if self._received:
                    raise ConnectionLost(f"{self.server}: something came in clear behind the answer to StartTLS")
                secured = await self._loop.start_tls(
                    transport, self, context, server_hostname=host, ssl_shutdown_timeout=_GOODBYE_S
                )
        finally:
            self._pending.pop(message_id, None)
        if secured is None or self._lost is not None:
            raise ConnectionLost(f"{self.server}: {self.problem or 'TLS was broken off'}")
        self._transport = secured
        self._clear = False

    # --- what comes in -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands, with TLS where that comes first."""
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            _watch_over(sock)

    def in_clear(self) -> None:
        """Until TLS has begun, nothing but the request for it may be sent, and nothing but its answer may come."""
        self._clear = True

    def data_received(self, data: bytes) -> None:
        """asyncio: take what came apart, message by message."""
        received = self._received
        if received:
            received += data
            if len(received) < self._needed:
                return
            data = bytes(received)
            received.clear()
        at, end = 0, len(data)
        try:
            while at < end:
                incoming = messages.opened(data, at, end)
                if incoming is None:
                    size = ber.frame_bytes(data, at)
                    if size is None or at + size > end:
                        received += data[at:]
                        self._needed = size or 0
                        return
                    incoming = messages.decode(data, at, at + size)
                at = incoming.end
                pending = self._pending.get(incoming.message_id)
                if pending is None or self._clear or not incoming.message_id:
                    self._take_odd(incoming, at < end)
                    if self._lost is not None:
                        return
                elif not pending.future.done():
                    self._take(pending, incoming)
        except MessageError as error:
            self._fail(str(error))

    def eof_received(self) -> bool:
        """asyncio: the server will send no more."""
        self._fail("the server closed the connection")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: it is over."""
        self._break(f"the connection broke: {error}" if error else "the server closed the connection")

    def _take_odd(self, incoming: messages.Incoming, more: bool) -> None:
        """What is not simply an answer to something that is in flight; of an operation that we gave up, too."""
        if self._clear:
            self._take_in_clear(incoming, more)
        elif incoming.message_id == 0:
            self._take_notice(incoming)

    def _take(self, pending: _Pending, incoming: messages.Incoming) -> None:
        if incoming.tag == messages.SEARCH_ENTRY:
            self._take_entry(pending, incoming)
        elif incoming.tag in messages.RESULTS:
            self._finish(incoming.message_id, pending, messages.result(incoming, self.server))
        # References to other servers are never followed (our credentials would go there), and nothing that we ask for has
        # intermediate responses.

    def _take_in_clear(self, incoming: messages.Incoming, more: bool) -> None:
        """The answer to StartTLS, alone: what stands behind it was not protected and could be anybody's (CVE-2011-0411)."""
        pending = self._pending.get(incoming.message_id)
        if pending is None or pending.future.done() or incoming.tag != messages.EXTENDED_RESPONSE:
            self._fail("something else than the answer to StartTLS came before TLS")
        elif more:
            self._fail("something came in clear behind the answer to StartTLS")
        else:
            pending.future.set_result(messages.result(incoming, self.server))

    def _take_notice(self, incoming: messages.Incoming) -> None:
        if incoming.tag != messages.EXTENDED_RESPONSE:
            raise ber.malformed("message id 0 on something that answers a request")
        if messages.response_name(incoming) == messages.NOTICE_OF_DISCONNECTION:
            notice = messages.result(incoming)
            self._fail(f"the server ends the connection ({notice.code}): {notice.diagnostic}")

    def _take_entry(self, pending: _Pending, incoming: messages.Incoming) -> None:
        entries = pending.entries
        if entries is None:
            raise ber.malformed("an entry for what was no search")
        entry, unfinished = messages.entry(incoming)
        if unfinished:
            pending.unfinished[len(entries)] = unfinished
        entries.append(entry)
        pending.left_bytes -= incoming.stop - incoming.start
        if pending.left_bytes < 0:
            pending.future.set_exception(
                DirectoryUnavailable(
                    f"{self.server} sends more than {MAX_SEARCH_BYTES} octets for one search", "directory_too_much"
                )
            )
        elif len(entries) == pending.most:
            self._give_up(incoming.message_id)
            self._finish(incoming.message_id, pending, Result(Code.SUCCESS, server=self.server), stopped=True)

    def _finish(self, message_id: int, pending: _Pending, result: Result, stopped: bool = False) -> None:
        del self._pending[message_id]
        answer = (
            result
            if pending.entries is None
            else Found(pending.entries, result, stopped, pending.unfinished, MAX_SEARCH_BYTES - pending.left_bytes)
        )
        pending.future.set_result(answer)
        if self._draining and not self._pending:
            self.close()

    # --- what goes out and what goes wrong ---------------------------------------------------------------------------------

    def _next_id(self) -> int:
        self._last_id = self._last_id % messages.MAX_MESSAGE_ID + 1
        return self._last_id

    def _send(self, message: bytes) -> None:
        """Requests of one turn of the loop leave in one TLS record: it costs more than what is in it."""
        if self.alone and self._transport is not None:
            self._transport.write(message)
            return
        self._waiting.append(message)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._lost is None and self._transport is not None:
            self._transport.write(waiting[0] if len(waiting) == 1 else b"".join(waiting))

    def _give_up(self, message_id: int) -> None:
        if self._lost is None:
            self._send(messages.message(self._next_id(), messages.abandon(message_id)))

    def _wake_at(self, when: float) -> None:
        """One timer for all that is in flight: a timer for each would cost more than the rest of a request."""
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = when
        self._timer = self._loop.call_at(when, self._wake)

    def _wake(self) -> None:
        """Give up what is overdue: the connection then takes nothing new, and closes when the last of the others is done."""
        self._timer, self._wakes_at = None, math.inf
        now = self._loop.time() + _TIMER_RESOLUTION_S
        overdue = [message_id for message_id, pending in self._pending.items() if pending.deadline <= now]
        for message_id in overdue:
            pending = self._pending.pop(message_id)
            if not pending.future.done():
                pending.future.set_exception(ConnectionLost(f"{self.server} did not answer in time", "directory_timeout"))
                self._give_up(message_id)
        if overdue:
            self._flush()
            self.drain()
        if self._pending:
            self._wake_at(min(pending.deadline for pending in self._pending.values()))

    def _fail(self, problem: str) -> None:
        """Nothing that comes from here on counts."""
        self._break(problem)
        if self._transport is not None:
            self._transport.abort()

    def _break(self, problem: str) -> None:
        if self._lost is not None:
            return
        self._lost, self.usable = problem, False
        self._received.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pendings, self._pending = self._pending, {}
        for pending in pendings.values():
            if not pending.future.done():
                pending.future.set_exception(ConnectionLost(f"{self.server}: {problem}"))


async def connect(endpoint: Endpoint, context: ssl.SSLContext, deadline: float) -> Connection:
    """A connection to one server, secured, with nobody bound. Raises ConnectionLost."""
    loop = asyncio.get_running_loop()
    connection = Connection(endpoint.name)
    try:
        async with asyncio.timeout_at(deadline):
            if endpoint.starttls:
                connection.in_clear()
                await loop.create_connection(lambda: connection, endpoint.host, endpoint.port)
                await connection.start_tls(context, endpoint.host, deadline)
            else:
                left_s = max(0.001, deadline - loop.time())
                await loop.create_connection(
                    lambda: connection,
                    endpoint.host,
                    endpoint.port,
                    ssl=context,
                    server_hostname=endpoint.host,
                    ssl_handshake_timeout=left_s,
                    ssl_shutdown_timeout=_GOODBYE_S,
                )
    except ConnectionLost:
        connection.abort()
        raise
    except TimeoutError as error:
        connection.abort()
        raise ConnectionLost(f"{endpoint.name}: no connection in time", "directory_timeout") from error
    except ssl.SSLCertVerificationError as error:
        connection.abort()
        raise ConnectionLost(
            f"{endpoint.name}: its certificate is not accepted: {error.verify_message}", "directory_certificate"
        ) from error
    except (OSError, ssl.SSLError, UnicodeError) as error:
        connection.abort()
        raise ConnectionLost(f"{endpoint.name}: {_said(error)}") from error
    except asyncio.CancelledError:
        connection.abort()
        raise
    if not connection.usable:
        raise ConnectionLost(f"{endpoint.name}: {connection.problem}")
    return connection


def _said(error: Exception) -> str:
    """What a library's error says, in one line."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(reason).split())


def _watch_over(sock: socket.socket) -> None:
    """Have the system find out that a peer is gone; each option where the platform has it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", _KEEPALIVE_EVERY_S),
        ("TCP_KEEPCNT", _KEEPALIVE_TIMES),
        ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
