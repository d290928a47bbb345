"""Handing the audit trail to a syslog receiver over TLS (RFC 5425): its certificate and name are always verified.

Syslog has no acknowledgement. In a single run each page has a connection of its own, and counts as handed over when the receiver
has ended that connection in order, which no machine does that was still to read from it. While following, the connection stays:
a page counts when the receiver's machine has taken its last octet, and is sent again when the connection is found broken within
`DOUBT_S`. Only then does the cursor move. What is sent again is a whole page; what comes twice bears the same `externalId`.
"""

import contextlib
import fcntl
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wardgate.cli.audit_lines import Shape, messages
from wardgate.cli.output import note
from wardgate.errors import UnavailableError, UsageError

CONNECT_S: Final = 10.0
SEND_S: Final = 30.0
GOODBYE_S: Final = 10.0
DOUBT_S: Final = 60.0
LOOK_EVERY_S: Final = 0.01
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
# Without --follow: about half a minute.
MOST_TRIES: Final = 6
MAX_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where to send. `ca_file`: who vouches for it; None: the machine's own list."""

    host: str
    port: int
    ca_file: Path | None

    def __str__(self) -> str:
        """As it is named in messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def receiver(text: str, ca_file: Path | None) -> Receiver:
    """A receiver from HOST:PORT or [ADDRESS]:PORT. Raises UsageError."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare and bare == host) or not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= MAX_PORT):
        raise UsageError(f"{text[:80]!r} is no receiver: write HOST:PORT, or [ADDRESS]:PORT for IPv6; the usual port is 6514")
    return Receiver(bare, int(port), ca_file)


def verifying(to: Receiver) -> ssl.SSLContext:
    """TLS 1.2 or later, certificate and name verified. Raises UsageError for a file that cannot be used."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=to.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{to.ca_file} cannot be used for TLS: {error.strerror or error}") from error
    return context


class SyslogSink:
    """Sends what is written, page by page. Connects again when it has to; `stop` ends that."""

    def __init__(self, to: Receiver, shape: Shape, stop: threading.Event, patient: bool) -> None:
        self._to = to
        self._shape = shape
        self._stop = stop
        self._patient = patient
        self._context = verifying(to)
        self._host = socket.gethostname()
        self._waiting = bytearray()
        self._last = b""
        self._sent_at = 0.0
        self._connection: ssl.SSLSocket | None = None

    def begins(self, place: Mapping[str, int] | None) -> bool:
        """A receiver keeps no file of ours: each run begins one."""
        return True

    def write(self, text: str) -> None:
        """Some whole lines, to be sent with the next `flush`."""
        self._waiting += b"".join(messages(self._shape, text, self._host))

    def flush(self) -> None:
        """Send what waits. Raises UnavailableError when it cannot be handed over; it goes on waiting then."""
        tries, pause_s = 0, FIRST_PAUSE_S
        self._look_back()
        while self._waiting:
            try:
                self._send()
                self._last, self._sent_at = bytes(self._waiting), time.monotonic()
                self._waiting.clear()
            except OSError as error:
                self._drop()
                tries += 1
                problem = f"the syslog receiver {self._to} does not take the audit trail: {_reason(error)}"
                if not self._patient and tries >= MOST_TRIES:
                    raise UnavailableError(problem) from error
                if tries == 1:
                    note(f"wardgate: {problem}; trying again")
                if self._stop.wait(pause_s):
                    raise UnavailableError(problem) from error
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def settle(self) -> None:
        """The same: what was flushed is with the receiver."""
        self.flush()

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                _say_goodbye(self._connection)
        self._drop()

    # --- the connection ---

    def _look_back(self) -> None:
        """A connection that broke may have taken with it what its machine had accepted: send that once more."""
        if self._connection is None or _stands(self._connection):
            return
        self._drop()
        if self._last and time.monotonic() - self._sent_at < DOUBT_S:
            self._waiting[:0] = self._last
            self._last = b""

    def _send(self) -> None:
        connection = self._connection or self._connect()
        connection.settimeout(SEND_S)
        connection.sendall(self._waiting)
        _wait_till_taken(connection)
        if not self._patient:
            _say_goodbye(connection)
            self._drop()
        elif not _stands(connection):
            raise ConnectionResetError("it closed the connection")

    def _connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection((self._to.host, self._to.port), CONNECT_S)
        try:
            self._connection = self._context.wrap_socket(plain, server_hostname=self._to.host)
        except BaseException:
            plain.close()
            raise
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _say_goodbye(connection: ssl.SSLSocket) -> None:
    """End the connection (RFC 5425 section 4.4). Raises OSError when the receiver had broken it off or refused us."""
    connection.settimeout(GOODBYE_S)
    try:
        connection.unwrap().close()
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, TimeoutError):
        # Many receivers answer with the end of the connection alone, or keep it: all was taken.
        return
    except OSError as error:
        # So an end without a word of TLS may look.
        if error.errno != 0:
            raise


def _stands(connection: ssl.SSLSocket) -> bool:
    """Whether the other side has not closed. A receiver says nothing; what it says all the same is passed over."""
    connection.settimeout(0)
    try:
        return connection.recv(4_096) != b""
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False


def _wait_till_taken(connection: ssl.SSLSocket) -> None:
    """Until the receiver's machine has acknowledged every octet. Raises ConnectionResetError, TimeoutError."""
    deadline = time.monotonic() + SEND_S
    while _unacknowledged(connection):
        # What was never taken stays in the queue of a connection that is gone.
        if not _stands(connection):
            raise ConnectionResetError("it closed the connection")
        if time.monotonic() > deadline:
            raise TimeoutError("it takes nothing more")
        time.sleep(LOOK_EVERY_S)


def _unacknowledged(connection: ssl.SSLSocket) -> int:
    try:
        told = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        # Not every system tells.
        return 0
    return int(struct.unpack("=i", told)[0])


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not hold: {error.verify_message}"
    return str(error.strerror or error)
