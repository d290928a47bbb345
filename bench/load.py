"""A load generator for RADIUS logins: sessions in a closed loop over UDP, every reply verified.

A session logs one user in (Access-Request with the password, Access-Challenge, Access-Request with the code, Access-Accept) and
begins at once with the next user. One process and one thread over `epoll`; packets are put together by hand, because the
generator shares two cores with the server that it measures. What it costs itself is in the result.
"""

import hmac
import resource
import secrets
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from bench.processes import tree_cpu_s
from wardgate.crypto import Secret
from wardgate.radius.shared_secret import SharedSecret

PERIOD_S = 30
RESEND_S = 2.0
TRIES = 4
SOCKETS = 16
REQUEST, ACCEPT, REJECT, CHALLENGE = 1, 2, 3, 11
USER_NAME, USER_PASSWORD, STATE, NAS_IDENTIFIER, SIGNATURE = 1, 2, 24, 32, 80
_SIGNATURE_HEAD = bytes((SIGNATURE, 18))
_ZERO = bytes(16)


@dataclass(slots=True)
class User:
    """Who logs in. `last_step`: the newest time step of which a code was sent."""

    name: bytes
    password: bytes
    secret: bytes
    last_step: int = -1


def totp(secret: bytes, step: int) -> bytes:
    """RFC 6238 with SHA-1 and six digits."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    at = digest[-1] & 15
    return b"%06d" % ((int.from_bytes(digest[at : at + 4], "big") & 0x7FFFFFFF) % 1_000_000)


Chosen = tuple[User, int | None]
"""A user and the time step of his code; None: the present one when the code is sent."""


class Once:
    """Users in turn; each code is used once: a server refuses it the second time.

    Codes of the present step and of the next one are good: both stay so if the step changes while the login is under way.
    """

    def __init__(self, users: Sequence[User]) -> None:
        self._users = users
        self._next = 0

    def __call__(self) -> Chosen | None:
        """The next user with a code, or None when nobody has one left in this half minute."""
        now = int(time.time()) // PERIOD_S
        for _ in range(len(self._users)):
            user = self._users[self._next]
            self._next = (self._next + 1) % len(self._users)
            step = max(user.last_step + 1, now)
            if step <= now + 1:
                user.last_step = step
                return user, step
        return None


class Present:
    """Users in turn, each code once and always that of the present step: for a server without a window."""

    def __init__(self, users: Sequence[User]) -> None:
        self._users = users
        self._next = 0

    def __call__(self) -> Chosen | None:
        """The next user with a code, or None when nobody has one left in this half minute."""
        now = int(time.time()) // PERIOD_S
        for _ in range(len(self._users)):
            user = self._users[self._next]
            self._next = (self._next + 1) % len(self._users)
            if user.last_step < now:
                user.last_step = now
                return user, None
        return None


class Again:
    """Users in turn with the code of the present step, as often as they come: for a server without replay protection."""

    def __init__(self, users: Sequence[User]) -> None:
        self._users = users
        self._next = 0

    def __call__(self) -> Chosen | None:
        """The next user."""
        user = self._users[self._next]
        self._next = (self._next + 1) % len(self._users)
        return user, None


@dataclass(frozen=True, slots=True)
class Result:
    """One slice. Times are milliseconds; CPU is microseconds per login. `in_time`: logins that ended within `seconds`."""

    sessions: int
    seconds: float
    logins: int
    in_time: int
    refused: int
    unanswered: int
    resent: int
    bad: int
    first_ms: tuple[float, float, float]
    second_ms: tuple[float, float, float]
    login_ms: tuple[float, float, float]
    server_cpu_us: float
    own_cpu_us: float
    exhausted: bool

    @property
    def per_second(self) -> float:
        """Logins a second."""
        return self.in_time / self.seconds


@dataclass(slots=True, eq=False)
class _Session:
    """One login under way."""

    port: "_Port"
    user: User | None = None
    time_step: int | None = None
    step: int = 0
    identifier: int = 0
    packet: bytes = b""
    tries: int = 0
    login_began: float = 0.0
    step_began: float = 0.0
    generation: int = 0


@dataclass(slots=True, eq=False)
class _Port:
    """One UDP socket with the sessions that wait on it, by Identifier."""

    socket: socket.socket
    waiting: dict[int, _Session] = field(default_factory=dict)
    next_identifier: int = 0

    def take(self, session: _Session) -> int:
        """A free Identifier for a session."""
        while self.next_identifier in self.waiting:
            self.next_identifier = (self.next_identifier + 1) & 255
        identifier = self.next_identifier
        self.next_identifier = (identifier + 1) & 255
        self.waiting[identifier] = session
        return identifier


class Load:
    """Drives `sessions` logins at a time against one server."""

    def __init__(self, address: tuple[str, int], secret: bytes, sessions: int, choose: Callable[[], Chosen | None]) -> None:
        self._secret = SharedSecret(Secret(secret))
        self._choose = choose
        self._epoll = select.epoll()
        self._ports: dict[int, _Port] = {}
        for _ in range(min(sessions, SOCKETS)):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.connect(address)
            self._ports[sock.fileno()] = _Port(sock)
            self._epoll.register(sock.fileno(), select.EPOLLIN)
        ports = list(self._ports.values())
        self._sessions = [_Session(ports[number % len(ports)]) for number in range(sessions)]
        self._deadlines: deque[tuple[float, _Session, int]] = deque()
        self._times: tuple[list[float], list[float], list[float]] = ([], [], [])
        self._logins = self._in_time = self._refused = self._unanswered = self._resent = self._bad = 0
        self._busy = 0
        self._stop_at = 0.0
        self._exhausted = False

    def run(self, seconds: float, server_pids: Collection[int] = (), logins: int | None = None) -> Result:
        """Log in for so long, or so often; then let the open logins come to their end."""
        cpu, own, began = tree_cpu_s(server_pids), _own_cpu_s(), time.perf_counter()
        self._stop_at = began + seconds
        self._left = logins
        for session in self._sessions:
            self._begin(session, began)
        while self._busy:
            for descriptor, _ in self._epoll.poll(0.05):
                self._drain(self._ports[descriptor])
            self._resend(time.perf_counter())
        took = time.perf_counter() - began
        for port in self._ports.values():
            port.socket.close()
        self._epoll.close()
        done = max(1, self._logins)
        return Result(
            sessions=len(self._sessions),
            seconds=min(took, seconds),
            logins=self._logins,
            in_time=self._in_time,
            refused=self._refused,
            unanswered=self._unanswered,
            resent=self._resent,
            bad=self._bad,
            first_ms=percentiles(self._times[0]),
            second_ms=percentiles(self._times[1]),
            login_ms=percentiles(self._times[2]),
            server_cpu_us=(tree_cpu_s(server_pids) - cpu) / done * 1e6,
            own_cpu_us=(_own_cpu_s() - own) / done * 1e6,
            exhausted=self._exhausted,
        )

    # --- one session -----------------------------------------------------------------------------------------------

    def _begin(self, session: _Session, now: float) -> None:
        """The next login of a session, unless time or users are over."""
        if now >= self._stop_at or self._left == 0:
            return
        chosen = self._choose()
        if chosen is None:
            self._exhausted = True
            return
        if self._left is not None:
            self._left -= 1
        session.user, session.time_step = chosen
        session.login_began = now
        self._busy += 1
        self._send(session, 1, chosen[0].password, b"", now)

    def _send(self, session: _Session, step: int, proof: bytes, state: bytes, now: float) -> None:
        session.step, session.tries, session.step_began = step, 1, now
        session.generation += 1
        session.identifier = session.port.take(session)
        name = session.user.name if session.user else b""
        session.packet = self._request(session.identifier, name, proof, state)
        self._put(session)
        self._deadlines.append((now + RESEND_S, session, session.generation))

    def _put(self, session: _Session) -> None:
        try:
            session.port.socket.send(session.packet)
        except OSError:
            self._resent += 1  # a full socket or nobody there: the next try may be luckier

    def _request(self, identifier: int, name: bytes, proof: bytes, state: bytes) -> bytes:
        vector = secrets.token_bytes(16)
        padded = proof + bytes(-len(proof) % 16)
        hidden, previous = b"", vector
        for at in range(0, len(padded), 16):
            mask = int.from_bytes(self._secret.md5_secret_then(previous), "big")
            previous = (int.from_bytes(padded[at : at + 16], "big") ^ mask).to_bytes(16, "big")
            hidden += previous
        body = bytes((USER_NAME, len(name) + 2)) + name + bytes((USER_PASSWORD, len(hidden) + 2)) + hidden
        body += bytes((NAS_IDENTIFIER, 7)) + b"bench"
        if state:
            body += bytes((STATE, len(state) + 2)) + state
        head = struct.pack(">BBH", REQUEST, identifier, 38 + len(body)) + vector + _SIGNATURE_HEAD
        return head + self._secret.hmac_md5(head + _ZERO + body) + body

    # --- replies ---------------------------------------------------------------------------------------------------

    def _drain(self, port: _Port) -> None:
        while True:
            try:
                datagram = port.socket.recv(4096)
            except (BlockingIOError, ConnectionRefusedError):
                return
            self._received(port, datagram, time.perf_counter())

    def _received(self, port: _Port, datagram: bytes, now: float) -> None:
        session = port.waiting.get(datagram[1]) if len(datagram) > 37 else None
        if session is None or not self._authentic(datagram, session.packet):
            self._bad += session is not None
            return
        del port.waiting[session.identifier]
        session.generation += 1
        self._times[session.step - 1].append(now - session.step_began)
        code = datagram[0]
        if code == CHALLENGE and session.step == 1:
            self._send(session, 2, _code_of(session), _state_of(datagram), now)
            return
        if code == ACCEPT and session.step == 2:
            self._logins += 1
            self._in_time += now < self._stop_at
            self._times[2].append(now - session.login_began)
        else:
            self._refused += 1
        self._end(session, now)

    def _authentic(self, datagram: bytes, request: bytes) -> bool:
        """Response Authenticator and Message-Authenticator, wherever it stands."""
        vector = request[4:20]
        if self._secret.md5_then_secret(datagram[:4] + vector + datagram[20:]) != datagram[4:20]:
            return False
        at = 20
        while at < len(datagram) - 1:
            if datagram[at] == SIGNATURE:
                whole = datagram[:4] + vector + datagram[20 : at + 2] + _ZERO + datagram[at + 18 :]
                return self._secret.hmac_md5(whole) == datagram[at + 2 : at + 18]
            at += max(2, datagram[at + 1])
        return False

    def _resend(self, now: float) -> None:
        """The same octets again after the time-out; a login without a reply is given up after some tries."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, session, generation = self._deadlines.popleft()
            if session.generation != generation:
                continue
            if session.tries == TRIES:
                del session.port.waiting[session.identifier]
                self._unanswered += 1
                self._end(session, now)
                continue
            session.tries += 1
            self._resent += 1
            self._put(session)
            self._deadlines.append((now + RESEND_S, session, generation))

    def _end(self, session: _Session, now: float) -> None:
        self._busy -= 1
        session.generation += 1
        self._begin(session, now)


def _code_of(session: _Session) -> bytes:
    step = int(time.time()) // PERIOD_S if session.time_step is None else session.time_step
    return totp(session.user.secret, step) if session.user else b""


def _state_of(datagram: bytes) -> bytes:
    at = 20
    while at < len(datagram) - 1:
        if datagram[at] == STATE:
            return datagram[at + 2 : at + datagram[at + 1]]
        at += max(2, datagram[at + 1])
    return b""


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95 and p99 in milliseconds."""
    if not values:
        return (0.0, 0.0, 0.0)
    ordered = sorted(values)
    p50, p95, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 for share in (0.50, 0.95, 0.99))
    return (p50, p95, p99)


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
