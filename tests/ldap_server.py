"""An LDAP server for tests that does what it is told: it answers, keeps silent, lies, breaks off, or never ends.

It speaks TLS from the beginning or after StartTLS, with an authority of its own. `mood` is how it treats everybody, from the next
connection or request on; `moods` how it treats one kind of request. What came is in `requests`.

It runs in threads: the loop under test cannot hold it up, nor it the loop.
"""

import socket
import ssl
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from tests.slapd import Authority
from wardgate.directory.ldap import ber, messages
from wardgate.directory.ldap.port import Control
from wardgate.errors import MessageError

HOST = "127.0.0.1"
SERVICE, SERVICE_PASSWORD = "cn=service,dc=acme,dc=test", "service password"
KINDS = {
    0x60: "bind",
    0x42: "unbind",
    0x63: "search",
    0x66: "modify",
    0x68: "add",
    0x4A: "delete",
    0x6C: "modify_dn",
    0x50: "abandon",
    0x77: "extended",
}
ANSWERS = {"bind": 0x61, "search": 0x65, "modify": 0x67, "add": 0x69, "delete": 0x6B, "modify_dn": 0x6D, "extended": 0x78}


class Mood(Enum):
    """SILENT: takes the connection and says nothing, not even TLS. MUTE: TLS, then nothing. CUT: half of an answer, then the end.
    SLOW: octet by octet. HALF_CLOSE: says that it will send no more, and reads on. ENDLESS: entries without an end."""

    ANSWER = auto()
    SILENT = auto()
    MUTE = auto()
    RESET = auto()
    GARBAGE = auto()
    CUT = auto()
    SLOW = auto()
    HALF_CLOSE = auto()
    NOTICE = auto()
    ENDLESS = auto()
    BUSY = auto()


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `connection`: which one it came on, counted from 1."""

    connection: int
    message_id: int
    kind: str
    dn: str = ""
    password: bytes = b""
    scope: int = 0
    size_limit: int = 0
    time_limit_s: int = 0
    attributes: tuple[str, ...] = ()
    controls: tuple[Control, ...] = ()


@dataclass(slots=True)
class Server:
    """Made by `running`. `answer`: what is sent for a request instead of the usual; None means the usual."""

    port: int
    ca_file: str
    mood: Mood = Mood.ANSWER
    moods: dict[str, Mood] = field(default_factory=dict)
    answer: Callable[[Request], bytes | None] = lambda request: None
    passwords: dict[str, str] = field(default_factory=lambda: {SERVICE: SERVICE_PASSWORD})
    entries: list[tuple[str, Mapping[str, Sequence[bytes]]]] = field(default_factory=list)
    supported: tuple[str, ...] = ()
    behind_starttls: bytes = b""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    context: ssl.SSLContext | None = None
    starttls: bool = False
    _open: set[socket.socket] = field(default_factory=set)

    @property
    def url(self) -> str:
        """As a setting names it."""
        return f"{'ldap+starttls' if self.starttls else 'ldaps'}://{HOST}:{self.port}"

    @property
    def name(self) -> str:
        """As results and statuses name it."""
        return f"{HOST}:{self.port}"

    def asked(self, kind: str) -> list[Request]:
        """The requests of one kind."""
        return [request for request in self.requests if request.kind == kind]

    def user_binds(self) -> list[Request]:
        """The binds of others than the service account."""
        return [request for request in self.asked("bind") if request.dn != SERVICE]

    def drop_all(self) -> None:
        """Break all connections."""
        for sock in tuple(self._open):
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # SSLSocket's own would go on reading, without TLS

    def listen(self, listener: socket.socket) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.add(sock)
            threading.Thread(target=self._serve, args=(self.connections, sock), daemon=True).start()

    def _serve(self, number: int, sock: socket.socket) -> None:
        here = sock
        try:
            if self.mood is Mood.SILENT:
                while sock.recv(65536):
                    pass
            elif self.mood is not Mood.RESET:
                if not self.starttls:
                    here = self._secured(sock)
                self._talk(number, here)
        except (OSError, MessageError):
            pass
        finally:
            with suppress(OSError):
                if self.mood is Mood.RESET or Mood.RESET in self.moods.values():
                    here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._open.discard(sock)
            here.close()
            self.ended += 1

    def _secured(self, sock: socket.socket) -> ssl.SSLSocket:
        assert self.context is not None
        secured = self.context.wrap_socket(sock, server_side=True)
        self._open.discard(sock)
        self._open.add(secured)
        return secured

    def _talk(self, number: int, sock: socket.socket) -> None:
        while True:
            request = parse(number, _message(sock))
            self.requests.append(request)
            mood = self.moods.get(request.kind, self.mood)
            if request.kind == "unbind":
                return
            if request.kind == "abandon" or mood is Mood.MUTE:
                continue
            if request.kind == "extended" and request.dn == messages.START_TLS and mood is Mood.ANSWER:
                sock.sendall(self._usual(request) + self.behind_starttls)
                if self.answer(request) is None:
                    sock = self._secured(sock)
                continue
            self._treat(request, mood, sock)

    def _treat(self, request: Request, mood: Mood, sock: socket.socket) -> None:
        usual = self._usual(request)
        if mood is Mood.RESET:
            raise ConnectionResetError
        if mood is Mood.GARBAGE:
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif mood is Mood.CUT:
            sock.sendall(usual[: len(usual) // 2])
            raise ConnectionResetError
        elif mood is Mood.SLOW:
            for octet in usual:
                sock.sendall(bytes((octet,)))
                time.sleep(0.002)
        elif mood is Mood.HALF_CLOSE:
            sock.shutdown(socket.SHUT_WR)
        elif mood is Mood.NOTICE:
            sock.sendall(
                messages.message(0, ber.tlv(0x78, result(52, "going down") + ber.octets(messages.NOTICE_OF_DISCONNECTION, 0x8A)))
            )
        elif mood is Mood.ENDLESS:
            one = entry(request.message_id, "cn=again,dc=acme,dc=test", {"cn": [b"x" * 1000]})
            while True:
                sock.sendall(one * 50)
        elif mood is Mood.BUSY:
            sock.sendall(done(request, 51))
        else:
            sock.sendall(usual)

    def _usual(self, request: Request) -> bytes:
        given = self.answer(request)
        if given is not None:
            return given
        if request.kind == "bind":
            return done(request, 0 if self.passwords.get(request.dn, "").encode() == request.password else 49)
        if request.kind == "search" and not request.dn and not request.scope:
            values = {"supportedControl": [oid.encode() for oid in self.supported]}
            found = entry(request.message_id, "", {} if request.attributes == ("1.1",) else values)
            return found + done(request, 0)
        if request.kind == "search":
            return b"".join(entry(request.message_id, *one) for one in self.entries) + done(request, 0)
        return done(request, 0)


@contextmanager
def running(
    starttls: bool = False, names: Iterable[str] = ("localhost", HOST), authority: Authority | None = None, port: int = 0
) -> Iterator[Server]:
    """A server on a free port (or on `port`), until the block ends."""
    with tempfile.TemporaryDirectory(prefix="wardgate-ldap-") as directory:
        own = authority or Authority(Path(directory) / "ca.pem")
        listener = socket.create_server((HOST, port))
        server = Server(listener.getsockname()[1], str(own.path), context=_context(Path(directory), own, names), starttls=starttls)
        thread = threading.Thread(target=server.listen, args=(listener,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread; closing alone does not
            listener.close()
            thread.join(10)
            server.drop_all()


def _context(directory: Path, authority: Authority, names: Iterable[str]) -> ssl.SSLContext:
    for name, content in zip(("cert.pem", "key.pem"), authority.issue(names), strict=True):
        (directory / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


def _message(sock: socket.socket) -> bytes:
    start = _exactly(sock, 2)
    if start[1] >= 0x80:
        start += _exactly(sock, start[1] & 0x7F)
    size = ber.frame_bytes(start)
    assert size is not None
    return start + _exactly(sock, size - len(start))


def _exactly(sock: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        piece = sock.recv(count - len(found))
        if not piece:
            raise ConnectionResetError
        found += piece
    return found


def parse(connection: int, data: bytes) -> Request:
    """What a client sent."""
    reader = ber.Reader(data).enter()
    message_id = reader.integer()
    tag = reader.tag
    assert tag is not None
    kind = KINDS[tag]
    if kind in ("unbind", "abandon"):
        return Request(connection, message_id, kind)
    if kind == "delete":
        dn = reader.octets(tag).decode()
        return Request(connection, message_id, kind, dn, controls=_controls(reader))
    body = reader.enter(tag)
    controls = _controls(reader)
    if kind == "bind":
        assert body.integer() == 3
        dn = body.octets().decode()
        return Request(connection, message_id, kind, dn, body.octets(0x80), controls=controls)
    if kind == "search":
        dn, scope = body.octets().decode(), body.integer(ber.ENUMERATED)
        body.skip()
        size_limit, time_limit_s = body.integer(), body.integer()
        body.skip()
        body.skip()
        names = body.enter()
        attributes = []
        while names.more:
            attributes.append(names.octets().decode())
        return Request(connection, message_id, kind, dn, b"", scope, size_limit, time_limit_s, tuple(attributes), controls)
    return Request(
        connection, message_id, kind, body.octets(0x80 if kind == "extended" else ber.OCTETS).decode(), controls=controls
    )


def _controls(reader: ber.Reader) -> tuple[Control, ...]:
    found = []
    if reader.more:
        each = reader.enter(0xA0)
        while each.more:
            one = each.enter()
            oid = one.octets().decode()
            critical = one.boolean() if one.tag == ber.BOOLEAN else False
            found.append(Control(oid, critical, one.octets() if one.more else None))
    return tuple(found)


def result(code: int, diagnostic: str = "") -> bytes:
    """The content of a result."""
    return ber.integer(code, ber.ENUMERATED) + ber.octets("") + ber.octets(diagnostic)


def done(request: Request, code: int, diagnostic: str = "", controls: Sequence[Control] = ()) -> bytes:
    """The message that ends an operation."""
    answer = ber.tlv(ANSWERS[request.kind], result(code, diagnostic))
    return messages.message(request.message_id, answer, messages.encode_controls(controls))


def entry(message_id: int, dn: str, attributes: Mapping[str, Sequence[bytes]]) -> bytes:
    """One SearchResultEntry."""
    described = [
        ber.sequence(ber.octets(name), ber.sequence(*map(ber.octets, values), tag=ber.SET)) for name, values in attributes.items()
    ]
    return messages.message(message_id, ber.sequence(ber.octets(dn), ber.sequence(*described), tag=0x64))


def reference(message_id: int, url: str) -> bytes:
    """One SearchResultReference."""
    return messages.message(message_id, ber.sequence(ber.octets(url), tag=0x73))
