"""A syslog receiver over TLS (RFC 5425) on the loopback address, for the tests of who sends to one."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from wardgate.certificates import self_signed

DEADLINE_S = 60


class Receiver:
    """Takes connections one after the other and keeps the messages.

    `cut_after`: how many octets it takes of each of the next connections before it resets them.
    """

    def __init__(self, tmp: Path, address: str = "127.0.0.1") -> None:
        certificate, key = self_signed(datetime.now(UTC))
        self.ca_file = tmp / "syslog-ca.pem"
        self.ca_file.write_bytes(certificate)
        both = tmp / "syslog-key.pem"
        both.write_bytes(certificate + key)
        self.messages: list[bytes] = []
        self.connections = 0
        self.cut_after: list[int] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(both)
        self._listening = socket.create_server((address, 0))
        self._listening.settimeout(0.1)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.at = f"{address}:{self._listening.getsockname()[1]}"

    def demand_certificate(self) -> None:
        self._context.load_verify_locations(self.ca_file)
        self._context.verify_mode = ssl.CERT_REQUIRED

    def options(self) -> list[str]:
        return ["--syslog", self.at, "--tls", "--ca-file", str(self.ca_file)]

    @contextmanager
    def serving(self) -> Iterator["Receiver"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            self._thread.join(DEADLINE_S)
            self._listening.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                plain, _ = self._listening.accept()
            except TimeoutError:
                continue
            plain.settimeout(0.1)
            # A sender that refuses the certificate, or is gone, is no concern of the receiver's.
            with contextlib.suppress(OSError), self._handshake(plain) as connection:
                self.connections += 1
                self._take(connection)

    def _handshake(self, plain: socket.socket) -> ssl.SSLSocket:
        plain.settimeout(DEADLINE_S)
        try:
            connection = self._context.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            raise
        connection.settimeout(0.1)
        return connection

    def _take(self, connection: ssl.SSLSocket) -> None:
        cut = self.cut_after.pop(0) if self.cut_after else None
        buffer, taken = b"", 0
        while not self._stopping.is_set():
            if cut is not None and taken >= cut:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            try:
                piece = connection.recv(65_536 if cut is None else max(1, cut - taken))
            except TimeoutError:
                continue
            if not piece:
                return
            taken += len(piece)
            buffer = self._frames(buffer + piece)

    def _frames(self, buffer: bytes) -> bytes:
        """Keep what is whole (RFC 5425 section 4.3); returns the rest."""
        while b" " in buffer[:8]:
            length, _, rest = buffer.partition(b" ")
            if len(rest) < int(length):
                break
            self.messages.append(rest[: int(length)])
            buffer = rest[int(length) :]
        return buffer
