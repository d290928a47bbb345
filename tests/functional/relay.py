"""A bad line: passes datagrams between a client and a server, loses what it is told to, and keeps what it saw."""

import contextlib
import select
import socket
import threading
from types import TracebackType


class Relay:
    """Stands between one client and one server on loopback. `lose_replies`: how many of the first replies are lost.

    The server sees one source address and port whatever the client does, so copies are copies for it.
    """

    def __init__(self, server_port: int, source: str, lose_replies: int = 0, copies: int = 1) -> None:
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._back.bind((source, 0))
        self._back.connect(("127.0.0.1", server_port))
        self._lose = lose_replies
        self._copies = copies
        self._stop, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._run)
        self.requests: list[bytes] = []
        self.replies: list[bytes] = []

    @property
    def port(self) -> int:
        """Where the client sends to."""
        return int(self._front.getsockname()[1])

    def __enter__(self) -> "Relay":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._wake.close()
        self._thread.join()
        for each in (self._front, self._back, self._stop):
            each.close()

    def _run(self) -> None:
        client = None
        while True:
            ready, _, _ = select.select([self._front, self._back, self._stop], [], [])
            if self._stop in ready:
                return
            with contextlib.suppress(ConnectionRefusedError):
                if self._front in ready:
                    datagram, client = self._front.recvfrom(65_535)
                    self.requests.append(datagram)
                    for _ in range(self._copies):
                        self._back.send(datagram)
                if self._back in ready and client is not None:
                    reply = self._back.recv(65_535)
                    self.replies.append(reply)
                    if len(self.replies) > self._lose:
                        self._front.sendto(reply, client)
