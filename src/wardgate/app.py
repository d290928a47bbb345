"""Puts the rooms together and runs them: the only place that knows all names.

`Server` opens the installation, builds the runtime from the configuration in force, listens, and stops in order. `run_serve`
and `run_demo` are what the command line calls. One process and one event loop; the next step, several workers, starts this same
`Server` in each of them.
"""

import asyncio
import contextlib
import errno
import gc
import ipaddress
import json
import os
import platform
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
import uvloop

from wardgate import __version__, demo
from wardgate.admin.management import Management, TellDemo
from wardgate.admin.office import Office
from wardgate.admin.operations import OPERATIONS
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.recorder import Recorder
from wardgate.cli.demo_table import show_demo
from wardgate.clock import Clock, SystemClock, to_ms
from wardgate.config.store import TOPIC as CONFIGURATION
from wardgate.config.store import load_current
from wardgate.control import ControlServer
from wardgate.delivery.outbox import TABLE as OUTBOX
from wardgate.delivery.outbox import OutboxState
from wardgate.delivery.worker import OutboxEvent, OutboxWorker
from wardgate.engine.engine import Engine
from wardgate.engine.runtime import EngineParts
from wardgate.errors import ServerUnavailable, WardgateError
from wardgate.installation import Installation, Opened
from wardgate.janitor import Janitor
from wardgate.logs import set_up_logs
from wardgate.metrics import Metrics
from wardgate.passwords import PasswordHasher
from wardgate.radius.server import RadiusParts, RadiusServer
from wardgate.runtime import Builder, Runtime
from wardgate.settings import ServeOverrides, StartSettings, apply_overrides
from wardgate.storage.port import Operation, Upsert, Where
from wardgate.web.app import build_web_app
from wardgate.web.context import DemoGuide, WebContext
from wardgate.web.server import HttpsServer, TlsFiles

DRAIN_S = 5.0
MAX_WAITING_PASSWORDS = 256
PORTS_TO_TRY = 50
OUTBOX_COUNT_EVERY_S = 10.0
STORAGE_ASKED_EVERY_S = 1.0
PART_AGAIN_S = 1.0
OPEN_FILES = 65_536
_SIGNS = "message-authenticator:"

log = structlog.get_logger("wardgate.app")


@dataclass(frozen=True, slots=True)
class Sockets:
    """What the server listens on, bound before anything is promised."""

    radius: tuple[tuple[socket.socket, socket.socket], ...]
    https: socket.socket

    @property
    def radius_address(self) -> tuple[str, int]:
        """The first address and the port for logins."""
        host, port = self.radius[0][0].getsockname()[:2] if self.radius else ("", 0)
        return host, port

    @property
    def accounting_port(self) -> int:
        """The port for accounting."""
        return int(self.radius[0][1].getsockname()[1]) if self.radius else 0

    def close(self) -> None:
        """Close what nobody took over."""
        for each in (*(sock for pair in self.radius for sock in pair), self.https):
            each.close()


class Server:
    """One running installation."""

    def __init__(self, opened: Opened, sockets: Sockets, clock: Clock) -> None:
        self._opened = opened
        self._sockets = sockets
        self._clock = clock
        self._storage = opened.storage
        self._metrics = Metrics()
        self._hasher = PasswordHasher(max(1, (os.cpu_count() or 1) - 1), MAX_WAITING_PASSWORDS)
        self._recorder = Recorder(opened.storage, opened.rings, clock)
        self._builder = Builder(opened.storage, opened.rings, clock, self._hasher)
        self._runtime: Runtime | None = None
        self._radius: list[RadiusServer] = []
        self._https: HttpsServer | None = None
        self._control: ControlServer | None = None
        self._outbox: OutboxWorker | None = None
        self._owned: list[asyncio.Task[None]] = []
        self._stopping = False
        self._storage_down = False

    @property
    def https_url(self) -> str:
        """Where the pages are."""
        host, port = self._sockets.https.getsockname()[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        return f"https://{shown}:{port}"

    @property
    def office(self) -> Office:
        """For what the server itself manages."""
        return Office(self._storage, self._opened.rings(), self._clock, self._hasher, "server")

    def _now(self) -> Runtime:
        if self._runtime is None:
            raise ServerUnavailable("no configuration is in force yet")
        return self._runtime

    # --- start -----------------------------------------------------------------------------------------------------

    async def start(self, guide: DemoGuide | None = None, tell_demo: TellDemo | None = None) -> None:
        """Build, listen, and record that we serve. Raises SettingsError for a configuration that cannot run."""
        await self._reload()
        self._storage.subscribe(CONFIGURATION, lambda _: self._own(self._reload_or_keep(), "reload"))
        parts = EngineParts(
            self._storage,
            self._clock,
            self._opened.rings,
            lambda: self._now().engine,
            keep_messages=guide is not None,
            slowest_check_s=lambda: self._hasher.slowest_s,
        )
        await self._start_radius(Engine(parts))
        await self._start_https(guide)
        await self._start_control(tell_demo)
        self._outbox = OutboxWorker(
            self._storage,
            self._opened.rings,
            self._clock,
            lambda: self._now().gateways,
            self._tell_of_message,
            keep_text=guide is not None,
            holder=platform.node() or "server",
        )
        self._keep(self._outbox.run, "outbox")
        self._keep(self._recorder.run, "recorder")
        self._keep(Janitor(self._storage, self._clock).run, "janitor")
        self._metrics.watch_password_queue(lambda: self._hasher.pending)
        self._keep(self._count_messages, "gauges")
        self._hasher.on_wait = self._metrics.password_waited
        self._storage.on_batch = self._metrics.storage_batch
        self._storage.on_failure = self._storage_failed
        self._metrics.watch_timeline_dropped(lambda: self._recorder.dropped)
        await self._record(Kind.SERVER_STARTED, {"version": __version__, "https": self.https_url})
        # What is loaded now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()

    async def _start_radius(self, engine: Engine) -> None:
        signing = await self._signing_nas()
        parts = RadiusParts(
            engine=engine,
            storage=self._storage,
            recorder=self._recorder,
            clock=self._clock,
            metrics=self._metrics,
            tables=lambda: self._now().radius,
            ready=lambda: not self.problems(),
            required=signing,
            keep_required=self._keep_signing,
        )
        for authentication, accounting in self._sockets.radius:
            server = RadiusServer(parts)
            await server.listen(authentication, accounting)
            self._radius.append(server)

    async def _start_https(self, guide: DemoGuide | None) -> None:
        installation = self._opened.installation
        context = WebContext(
            storage=self._storage,
            ring=self._opened.rings,
            clock=self._clock,
            recorder=self._recorder,
            metrics=self._metrics,
            origin=self.https_url,
            ready=self.problems,
            guide=guide,
        )
        tls = TlsFiles(installation.certificate, installation.certificate_key)
        self._https = HttpsServer(build_web_app(context), self._sockets.https, tls, before_stop=context.streams.close)
        await self._https.start()

    async def _start_control(self, tell_demo: TellDemo | None) -> None:
        management = Management(
            self._opened, OPERATIONS, self._hasher, self._clock, lambda: self.https_url, serving=True, tell_demo=tell_demo
        )
        self._control = ControlServer(self._opened.installation.data, management.run)
        await self._control.start()

    def problems(self) -> Sequence[str]:
        """What keeps us from serving logins; empty when nothing does."""
        problems = []
        if self._stopping:
            problems.append("the server is stopping")
        if self._storage_down:
            problems.append("the last write to the database failed")
        if any(server.undecided for server in self._radius):
            problems.append("no login can be decided: database or directory fail, see the log")
        if not self._radius and self._sockets.radius:
            problems.append("RADIUS does not listen yet")
        if self._https is not None and not self._https.accepting:
            problems.append("HTTPS takes no connections")
        if self._hasher.pending >= MAX_WAITING_PASSWORDS:
            problems.append("more password checks wait than can be done in time")
        return problems

    # --- configuration ---------------------------------------------------------------------------------------------

    async def _reload(self, fresh: bool = False) -> None:
        version, document = await load_current(self._storage)
        present = self._runtime.version if self._runtime is not None else 0
        if version > present or (fresh and version == present):
            before, self._runtime = self._runtime, self._builder.build(version, document, fresh)
            for gateway in set(before.gateways if before else ()) - set(self._runtime.gateways):
                await gateway.close()

    async def _reload_or_keep(self, fresh: bool = False) -> None:
        """Take up a new version; one that cannot run leaves the present one in force, and says so."""
        try:
            await self._reload(fresh)
            log.info("configuration_in_force", version=self._now().version)
        except WardgateError as error:
            log.error("configuration_not_taken_over", error=error.message, in_force=self._now().version)

    def reload_soon(self) -> None:
        """On SIGHUP: read the configuration again, with the files that it names, and the certificate."""
        self._own(self._reload_all(), "reload")

    async def _reload_all(self) -> None:
        await self._reload_or_keep(fresh=True)
        if self._https is not None:
            try:
                self._https.reload_certificate()
            except WardgateError as error:
                log.error("certificate_not_taken_over", error=error.message)

    async def _signing_nas(self) -> set[str]:
        rows = await self._storage.find("installation")
        return {str(row["name"]).removeprefix(_SIGNS) for row in rows if str(row["name"]).startswith(_SIGNS)}

    async def _keep_signing(self, nas: str) -> None:
        log.info("message_authenticator_required_from_now_on", nas=nas)
        await self._storage.commit([Upsert("installation", {"name": f"{_SIGNS}{nas}", "value": "signs"})])

    # --- while serving ---------------------------------------------------------------------------------------------

    def _tell_of_message(self, event: OutboxEvent) -> Sequence[Operation]:
        """The timeline of a message's fate, stored together with it."""
        reason = _MESSAGE_REASONS[event.state]
        steps = [
            {
                "at_ms": 0,
                "what": f"gateway {attempt.gateway}",
                "detail": {"outcome": attempt.outcome.value, "answer": attempt.answer, "took_ms": attempt.duration_ms},
            }
            for attempt in event.attempts
        ]
        body: dict[str, Any] = {
            "door": "delivery",
            "nas": "",
            "application": event.application,
            "user": event.user_name,
            "source": "",
            "client": "",
            "result": event.state.value,
            "reason": reason,
            "text": event.problem,
            "steps": steps,
            "took_ms": event.age_ms,
        }
        return [self._recorder.late(event.reference, event.transaction_id, event.user_name, body)]

    async def _count_messages(self) -> None:
        """Tell the metrics how the outbox stands, now and then: counting is a read of the whole index."""
        while True:
            try:
                states = [(state, await self._storage.count(OUTBOX, [Where("state", "=", state.value)])) for state in OutboxState]
                self._metrics.outbox({state.value: number for state, number in states})
            except WardgateError as error:
                log.debug("outbox_not_counted", error=error.message)
            await asyncio.sleep(OUTBOX_COUNT_EVERY_S)

    def _storage_failed(self) -> None:
        """No Status-Server is answered until a write succeeds: every login would be refused here, and the NAS has other servers.

        A NAS that hears nothing sends no login that could find out, so we try by ourselves.
        """
        if not self._storage_down:
            self._storage_down = True
            log.error("database_takes_no_writes")
            self._own(self._ask_storage(), "storage probe")

    async def _ask_storage(self) -> None:
        while self._storage_down:
            await asyncio.sleep(STORAGE_ASKED_EVERY_S)
            at = str(to_ms(self._clock.now()))
            with contextlib.suppress(WardgateError):
                await self._storage.commit([Upsert("installation", {"name": "storage_asked_at", "value": at})])
                self._storage_down = False
        log.info("database_takes_writes_again")

    def _keep(self, part: Callable[[], Awaitable[None]], name: str) -> None:
        """Run a part for as long as the server does: one that ends by a mistake of ours is told and begun again."""

        async def kept() -> None:
            while True:
                try:
                    return await part()
                except Exception as error:
                    log.error("part_of_server_ended", part=name, error=type(error).__name__, exc_info=error)
                await asyncio.sleep(PART_AGAIN_S)

        self._own(kept(), name)

    def _own(self, work: Awaitable[None], name: str) -> None:
        task = asyncio.ensure_future(work)
        task.set_name(name) if isinstance(task, asyncio.Task) else None
        self._owned = [each for each in self._owned if not each.done()]
        self._owned.append(task)
        task.add_done_callback(_report_end)

    async def _record(self, kind: Kind, details: Mapping[str, object]) -> None:
        event = AuditEvent(kind, to_ms(self._clock.now()), "server", details=details)
        await self._storage.commit([record(event)])

    # --- stop ------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Finish what is in work, hand over what can be, and let go of everything."""
        self._stopping = True
        await asyncio.gather(*(server.drain(DRAIN_S) for server in self._radius))
        if self._control is not None:
            await self._control.stop()
        if self._https is not None:
            await self._https.stop(DRAIN_S)
        if self._outbox is not None:
            await self._outbox.drain(DRAIN_S)
        for task in self._owned:
            task.cancel()
        await asyncio.gather(*self._owned, return_exceptions=True)
        with contextlib.suppress(WardgateError):
            await self._recorder.flush(last=True)
            await self._record(Kind.SERVER_STOPPED, {})
        if self._runtime is not None:
            await asyncio.gather(*(gateway.close() for gateway in self._runtime.gateways), return_exceptions=True)
        self._hasher.close()


_MESSAGE_REASONS: Mapping[OutboxState, str] = {
    OutboxState.SENT: "message_sent",
    OutboxState.EXPIRED: "message_expired",
    OutboxState.FAILED: "message_failed",
    OutboxState.QUEUED: "message_waits",
    OutboxState.SENDING: "message_waits",
}


def _report_end(task: "asyncio.Future[None]") -> None:
    """A part of the server that ends by an error is a fault that somebody has to hear of."""
    if not task.cancelled() and (error := task.exception()) is not None:
        name = task.get_name() if isinstance(task, asyncio.Task) else "part"
        log.error("part_of_server_ended", part=name, error=type(error).__name__, exc_info=error)


# --- sockets -----------------------------------------------------------------------------------------------------------


def bind_sockets(settings: StartSettings, next_free: bool) -> Sockets:
    """Bind every listener. `next_free`: take the next free port when one is taken (the demo); port 0 takes any.

    Raises ServerUnavailable that names the port and who may have it. Without SO_REUSEPORT: a second server on the same
    port would silently share the packets.
    """
    # A port that the system chose for one address may be taken on the next one.
    chosen_for_us = settings.radius.port == 0 or settings.radius.accounting_port == 0
    tries_left = PORTS_TO_TRY if chosen_for_us else 1
    while True:
        tries_left -= 1
        try:
            return _bind_all(settings, next_free)
        except ServerUnavailable:
            if not tries_left:
                raise


def _bind_all(settings: StartSettings, next_free: bool) -> Sockets:
    bound: list[socket.socket] = []
    try:
        pairs = _bind_radius(settings, next_free, bound)
        https = _bind_one(socket.SOCK_STREAM, settings.https.address, settings.https.port, next_free, "https.port")
        return Sockets(tuple(pairs), https)
    except BaseException:
        for each in bound:
            each.close()
        raise


def _bind_radius(settings: StartSettings, next_free: bool, bound: list[socket.socket]) -> list[tuple[socket.socket, socket.socket]]:
    """The same two ports on every address."""
    radius = settings.radius
    addresses = [address for address in radius.addresses if ":" not in address or _has_ipv6(address)]
    ports = [radius.port, radius.accounting_port]
    pairs: list[tuple[socket.socket, socket.socket]] = []
    for address in addresses:
        pair = []
        for number, name in enumerate(("radius.port", "radius.accounting_port")):
            sock = _bind_one(socket.SOCK_DGRAM, address, ports[number], next_free and not pairs, name, avoid=ports)
            ports[number] = int(sock.getsockname()[1])
            bound.append(sock)
            pair.append(sock)
        pairs.append((pair[0], pair[1]))
    return pairs


def _bind_one(kind: int, address: str, port: int, next_free: bool, setting: str, avoid: Sequence[int] = ()) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    tries = (
        [port, *(other for other in range(port + 1, port + PORTS_TO_TRY) if other not in avoid)] if next_free and port else [port]
    )
    for each in tries:
        sock = socket.socket(family, kind)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.bind((address, each))
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE and each != tries[-1]:
                continue
            raise _cannot_bind(address, each, setting, error) from error
        return sock
    raise ServerUnavailable(f"{setting}: no free port near {port}")


def _cannot_bind(address: str, port: int, setting: str, error: OSError) -> ServerUnavailable:
    where = f"{address} port {port}"
    if error.errno == errno.EADDRINUSE:
        return ServerUnavailable(f"{where} is taken by another program: stop it or change {setting}")
    if error.errno == errno.EACCES:
        return ServerUnavailable(f"{where} needs a right that this user lacks: use a port above 1023, or CAP_NET_BIND_SERVICE")
    return ServerUnavailable(f"{where} cannot be listened on: {error.strerror}; check {setting} and the addresses of this machine")


def _has_ipv6(address: str) -> bool:
    """Whether this machine has the IPv6 address; a machine without IPv6 still serves IPv4."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
        return True
    except OSError:
        return not ipaddress.ip_address(address).is_loopback and not ipaddress.ip_address(address).is_unspecified


# --- what the command line calls ---------------------------------------------------------------------------------------


def run_serve(installation: Installation, overrides: ServeOverrides) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code."""
    return _run(installation, overrides, is_demo=False, as_json=False)


def run_demo(installation: Installation, overrides: ServeOverrides, json_output: bool) -> int:
    """Serve the demo; say what to try first, as one line of JSON on standard output if asked. Returns the exit code."""
    return _run(installation, overrides, is_demo=True, as_json=json_output)


def _run(installation: Installation, overrides: ServeOverrides, is_demo: bool, as_json: bool) -> int:
    settings = apply_overrides(installation.settings, overrides)
    set_up_logs(settings.log)
    _set_limits()
    with installation.lock(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(installation, settings, is_demo, as_json))
    return 0


def _set_limits() -> None:
    """No core dump, which would hold every key; and more open files than connections that strangers may hold open at once."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(installation: Installation, settings: StartSettings, is_demo: bool, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    clock = SystemClock()
    sockets = bind_sockets(settings, next_free=is_demo)
    try:
        opened = await installation.connect()
    except BaseException:
        sockets.close()
        raise
    server = Server(opened, sockets, clock)
    loop.add_signal_handler(signal.SIGHUP, server.reload_soon)
    try:
        if is_demo:
            await _start_demo(installation, server, sockets, as_json)
        else:
            await server.start()
            _say_serving(server, sockets)
        _tell_systemd("READY=1")
        await stop.wait()
        _tell_systemd("STOPPING=1")
    finally:
        await server.stop()
        await opened.storage.close()
        sockets.close()


async def _start_demo(installation: Installation, server: Server, sockets: Sockets, as_json: bool) -> None:
    made = await demo.prepare(server.office)
    described = await demo.describe(server.office, made)
    host, port = sockets.radius_address

    async def tell() -> dict[str, Any]:
        return {
            "radius": {
                "host": host,
                "port": port,
                "acct_port": sockets.accounting_port,
                "secret": made.radius_secret,
                "message_authenticator": "accept_missing",
            },
            "https": {"url": server.https_url, "ca_file": str(installation.certificate.resolve())},
            "outbox_url": f"{server.https_url}/outbox",
            "admin_url": f"{server.https_url}/admin/log",
            "users": await demo.describe(server.office, made),
        }

    await server.start(demo.guide(made, described, host, port), tell)
    told = await tell()
    if as_json:
        print(json.dumps(told, ensure_ascii=False), flush=True)
    else:
        show_demo(told)


def _say_serving(server: Server, sockets: Sockets) -> None:
    host, port = sockets.radius_address
    log.info("serving", version=__version__, radius=f"{host}:{port}" if port else "off", https=server.https_url)


def _tell_systemd(state: str) -> None:
    """sd_notify without a library: one datagram to the socket that systemd names."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    target = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(state.encode(), target)
