"""Several workers and several nodes for tests: set up as the operator guide says, spoken to from many source ports at once.

Servers of `serve_cheap` hash passwords at almost no cost, so that thousands of logins fit into a test.
"""

import asyncio
import http.server
import json
import re
import select
import shutil
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests import postgresql
from tests.functional.harness import Served, Wire, cli, serve, wait_for
from wardgate.errors import PacketError
from wardgate.radius.client import build_status_server, check_reply
from wardgate.radius.packet import Packet

CHEAP = (sys.executable, "-m", "bench.wardgate_server", "--cheap-hash")
# What the operator guide says to copy to another node; `node` stays each machine's own.
COPIED = ("wardgate-installation", "wardgate.toml", "master.key", "tls")
PATIENCE_S = 60.0
RESEND_S = 1.0

Shot = tuple[Wire, Packet]


def serve_cheap(data: Path, ports: Sequence[int], workers: int = 2) -> Served:
    """A server whose password hashes cost next to nothing."""
    return serve(data, ports, "--workers", str(workers), command=CHEAP)


def move_to_postgresql(data: Path, server: postgresql.Server) -> str:
    """Move an installation to a new database of this server; the database's name."""
    name = asyncio.run(server.create())
    cli("storage", "move", "--to", server.url(name), data=data)
    return name


def second_node(first: Path, second: Path) -> Path:
    """Set up another node on the database of the first, by the steps of the operator guide."""
    second.mkdir(mode=0o700)
    for name in COPIED:
        copy = shutil.copytree if (first / name).is_dir() else shutil.copy2
        copy(first / name, second / name)
    return second


class RoamingWire(Wire):
    """A NAS's socket that sends to one node and then to the other, from the same address and port."""

    def __enter__(self) -> "RoamingWire":
        return self

    def turn_to(self, served: Served, host: str = "") -> None:
        """Send to this node, or to this address of it, from now on, and hear it alone."""
        self._socket.connect((host or served.host, served.port))


# --- from many ports at once ---------------------------------------------------------------------------------------------


def exchange(shots: Sequence[Shot]) -> list[Packet]:
    """Send all of them at once; their replies in the same order. What gets no reply is sent again, as a NAS does."""
    waiting = {(wire.fileno(), packet.identifier): number for number, (wire, packet) in enumerate(shots)}
    assert len(waiting) == len(shots), "two requests with one identifier from one port"
    wires = {wire.fileno(): wire for wire, _ in shots}
    replies: dict[int, Packet] = {}
    deadline = time.monotonic() + PATIENCE_S
    for wire, packet in shots:
        wire.send(packet)
    while waiting:
        assert time.monotonic() < deadline, f"{len(waiting)} of {len(shots)} packets were not answered"
        ready, _, _ = select.select(list(wires), [], [], RESEND_S)
        for descriptor in ready:
            datagram = wires[descriptor].receive(0)
            key = descriptor, datagram[1] if datagram else -1
            if datagram is not None and key in waiting:
                # A late reply to an older request of this identifier is none to this one.
                with suppress(PacketError):
                    replies[waiting[key]] = check_reply(shots[waiting[key]][1], datagram, wires[descriptor].secret)
                    del waiting[key]
        if not ready:
            for number in waiting.values():
                wire, packet = shots[number]
                wire.send(packet)
    return [replies[number] for number in range(len(shots))]


def packets_of(served: Served) -> Counter[str]:
    """How many packets each worker has taken, by its slot."""
    with served.web() as web:
        text = web.get("/metrics").text
    found: Counter[str] = Counter()
    for labels, value in re.findall(r"^wardgate_radius_packets_total{(.*)} (\S+)$", text, re.MULTILINE):
        slot = re.search(r'worker="(\d+)"', labels)
        found["0" if slot is None else slot.group(1)] += int(float(value))
    return found


def slot_of(served: Served, wire: Wire) -> str:
    """The worker that takes the packets of this wire. Nobody else may send meanwhile."""
    before = packets_of(served)
    wire.ask(build_status_server(wire.secret, identifier=wire.next_identifier()))
    return str(next(iter(wait_for(lambda: packets_of(served) - before))))


def wires_by_slot(stack: ExitStack, served: Served, source: str, each: int) -> list[list[Wire]]:
    """For each of two workers, wires that reach it."""
    found: dict[str, list[Wire]] = {"0": [], "1": []}
    while min(len(wires) for wires in found.values()) < each:
        wire = stack.enter_context(Wire(served, source=source))
        found[slot_of(served, wire)].append(wire)
    return [wires[:each] for wires in found.values()]


# --- a gateway -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Phones:
    """An SMS service: what it was given, and how long it takes to say so."""

    port: int = 0
    takes_s: float = 0.0
    messages: list[dict[str, str]] = field(default_factory=list)

    def to(self, number: str) -> list[dict[str, str]]:
        """The messages to a number."""
        return [each for each in list(self.messages) if each["to"] == number]

    def code(self, number: str) -> str:
        """The code of the newest message to a number, once there is one."""
        newest = wait_for(lambda: self.to(number), PATIENCE_S)[-1]
        found = re.search(r"\b(\d{6})\b", newest["text"])
        assert found, newest
        return found.group(1)


@contextmanager
def phones(context: ssl.SSLContext) -> Iterator[Phones]:
    """The service, on a free port of localhost."""
    made = Phones()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.messages.append(json.loads(body))
            time.sleep(made.takes_s)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    class Service(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A server that is killed hangs up."""

    with Service(("127.0.0.1", 0), Handler) as service:
        service.socket = context.wrap_socket(service.socket, server_side=True, do_handshake_on_connect=False)
        made.port = service.server_address[1]
        thread = threading.Thread(target=service.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield made
        finally:
            service.shutdown()
            thread.join()


def gateway(ca_file: str, port: int) -> str:
    """The part of the document that names it."""
    return f"""
gateways:
  - name: sms
    kind: http
    ca_file: {ca_file}
    timeout_s: 5
    request: {{url: "https://localhost:{port}/send", json: {{to: "{{number}}", text: "{{text}}", id: "{{id}}"}}}}
"""
