"""One worker: everything that serves logins in one process, on one event loop.

`Worker` builds the runtime from the configuration in force, listens on the sockets of its slot, takes part in what all workers do
together (delivery, scheduled jobs), and stops in order. It knows nothing of the other workers: what they share is in storage, and
they hear of changes by its announcements, with a look at the newest version each second as the backstop.
"""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final

import structlog

from wardgate import __version__
from wardgate.admin.keys import TOPIC as DATA_KEY
from wardgate.admin.management import Management, TellDemo
from wardgate.admin.office import Office
from wardgate.admin.operations import OPERATIONS
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.heads import SIGN_EVERY_S, sign_all_heads
from wardgate.audit.incidents import IncidentKind
from wardgate.audit.recorder import Recorder
from wardgate.clock import to_ms
from wardgate.clock_watch import ClockWatch, WatchedClock
from wardgate.config.store import TOPIC as CONFIGURATION
from wardgate.config.store import load_current
from wardgate.control import ControlServer
from wardgate.delivery.outage import TOPIC as CHANNEL_DOWN
from wardgate.delivery.outage import Outages
from wardgate.delivery.outbox import OutboxState
from wardgate.delivery.port import Channel
from wardgate.delivery.worker import OutboxEvent, OutboxWorker
from wardgate.directory.port import Closing, Directory
from wardgate.engine.engine import Engine
from wardgate.engine.locks import OF_MANY
from wardgate.engine.reconciling import ASKED_EVERY_S, Reconciling
from wardgate.engine.reminding import LOOKED_EVERY_S, Reminding
from wardgate.engine.runtime import EngineParts
from wardgate.errors import ClockWrong, ServerUnavailable, UnavailableError, WardgateError
from wardgate.federation.door import Trust
from wardgate.federation.routes import federation_pages
from wardgate.federation.signing_keys import TOPIC as FEDERATION
from wardgate.federation.signing_keys import forget_old_keys
from wardgate.federation.standing import Federation
from wardgate.federation.stored_metadata import LOOKED_EVERY_S as METADATA_LOOKED_EVERY_S
from wardgate.federation.stored_metadata import Refreshing
from wardgate.installation import Opened
from wardgate.janitor import EVERY_S as SWEEP_EVERY_S
from wardgate.janitor import Janitor
from wardgate.kerberos.acceptor import Acceptor
from wardgate.leases import Job, Leases, Scheduler
from wardgate.metrics import Metrics
from wardgate.passwords import PasswordHasher
from wardgate.portal.routes import portal_pages
from wardgate.radius.server import RadiusParts, RadiusServer
from wardgate.runtime import Builder, Runtime, servers_up
from wardgate.sockets import SlotSockets
from wardgate.storage.port import Announce, Find, Operation, Upsert, Where
from wardgate.watch.node import Node
from wardgate.watch.picture import Picture
from wardgate.watch.threshold import Threshold
from wardgate.watch.vitals import Gauges, Vitals
from wardgate.web.access import as_localhost, hosts_of
from wardgate.web.app import build_web_app
from wardgate.web.context import DemoGuide, WebContext
from wardgate.web.server import HttpsServer
from wardgate.web.streams import Streams
from wardgate.web.tls import TlsFiles

DRAIN_S: Final = 5.0
MAX_WAITING_PASSWORDS: Final = 256
STORAGE_ASKED_EVERY_S = 1.0
CHANGES_ASKED_EVERY_S = 1.0
FILES_ASKED_EVERY_S = 60.0
PART_AGAIN_S = 1.0
# A login makes some hundred values and no cycles: looking for cycles as often as Python does costs it 4 to 9 % of its time.
COLLECTED_EVERY: Final = (20_000, 20, 50)
# What is left unsigned at a stop is signed at the next start.
SIGN_LAST_S = 3.0
# The longest that a login step may ask a directory, and some.
RETIRED_AFTER_S = 10.0
SIGNING: Final = "signing_nas"
JANITOR: Final = "janitor"
HEADS: Final = "audit heads"
PASSWORDS: Final = "passwords"
REMINDERS: Final = "reminders"
METADATA: Final = "metadata"
JOBS: Final = (JANITOR, HEADS, PASSWORDS, REMINDERS, METADATA)
_SIGNS: Final = "message-authenticator:"
_EPOCH_ID: Final = Find("installation", (Where("name", "=", "epoch_id"),), limit=1)

log = structlog.get_logger("wardgate.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlace:
    """Which of the workers this is.

    `slot` 0 has the control socket and speaks for the server in the audit trail. `workers`: how many there are. `after`: how the
    worker ended in whose place this one was started, empty for the first.
    """

    slot: int = 0
    workers: int = 1
    after: str = ""


class Worker:
    """One worker of a running installation."""

    def __init__(
        self, opened: Opened, sockets: SlotSockets, clock: WatchedClock, hasher: PasswordHasher, place: WorkerPlace | None = None
    ) -> None:
        self._opened = opened
        self._settings = opened.installation.settings
        self._sockets = sockets
        self._clock = clock
        self._place = place or WorkerPlace()
        node = opened.installation.node_id()
        self._holder = f"{node}.{self._place.slot}"
        self._storage = opened.storage
        self._metrics = Metrics()
        self._hasher = hasher
        self._recorder = Recorder(opened.storage, opened.rings, clock)
        self._builder = Builder(opened.storage, opened.rings, clock, self._hasher)
        self._runtime: Runtime | None = None
        self._radius: list[RadiusServer] = []
        self._https: list[HttpsServer] = []
        self._control: ControlServer | None = None
        self._outbox: OutboxWorker | None = None
        self._outages = Outages(opened.storage, clock, self._holder)
        self._owned: list[asyncio.Task[None]] = []
        self._watch = ClockWatch(opened.storage, clock, node)
        self._node = Node(
            self._metrics,
            self.problems,
            clock,
            slot=self._place.slot,
            workers=self._place.workers,
            name=node,
            data=opened.installation.data,
        )
        self._janitor = Janitor(opened.storage, clock, settings=lambda: self._now().document.retention)
        self._scheduler: Scheduler | None = None
        self._tickets = Acceptor()
        self._federation = Federation(opened.storage, opened.rings, clock, lambda: self._now().relying_parties)
        self._streams = Streams()
        # Not at one number: Status-Server and probes would send the traffic to and fro.
        self._crowded = Threshold(MAX_WAITING_PASSWORDS, MAX_WAITING_PASSWORDS // 2)
        self._signing: set[str] = set()
        self._signing_due = False
        self._federation_due = False
        self._seen_version = 0
        self._stopping = False
        self._storage_down = False
        self._epoch_over = False
        # Told when another epoch was opened while this worker served: it has to end, and be started again.
        self.on_epoch_over: Callable[[], None] = lambda: None

    @property
    def https_url(self) -> str:
        """Where the operators' pages are; else the first listener, and empty without any."""
        urls = list(zip(self._settings.https_listeners, self._sockets.urls, strict=True))
        return next((url for listener, url in urls if "admin" in listener.doors), urls[0][1] if urls else "")

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
        await self._watch.check()
        await self._reload()
        self._storage.subscribe(CONFIGURATION, lambda _: self._own(self._reload_or_keep(), "reload"))
        self._storage.subscribe(DATA_KEY, self._key_announced)
        self._storage.subscribe(CHANNEL_DOWN, lambda _: self._own(self._read_outages(), "outages"))
        self._storage.subscribe(FEDERATION, lambda _: self._own(self._take_up_parties(), "federation"))
        self._storage.subscribe(SIGNING, lambda _: self._own(self._read_signing(), "signing NAS"))
        self._measure()
        await self._node.start()
        await self._start_radius(guide is not None)
        await self._start_https(guide)
        if self._place.slot == 0:
            await self._start_control(tell_demo)
        self._start_parts(guide is not None)
        self._own(self._begin_federation(), "federation")
        self._own(self._read_outages(), "outages")
        await self._record_start()
        # What is loaded now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECTED_EVERY)

    def _measure(self) -> None:
        """Connect what is measured with what shows it."""
        self._hasher.on_wait = self._metrics.password_waited
        self._hasher.on_work = self._metrics.password_worked
        self._storage.on_batch = self._metrics.storage_batch
        self._storage.on_failure = self._storage_failed
        gauges = Gauges(
            passwords_pending=lambda: self._hasher.pending,
            password_threads=self._hasher.threads,
            packets_in_work=lambda: sum(server.in_work for server in self._radius),
            units_waiting=lambda: self._storage.depths()[0],
            reads_waiting=lambda: self._storage.depths()[1],
            timeline_dropped=lambda: self._recorder.dropped,
            connections=lambda: sum(server.connections for server in self._https),
            streams=lambda: self._streams.open,
            configuration_version=lambda: self._now().version,
            epoch=lambda: self._opened.epoch,
            problems=self.problems,
            directory_servers=lambda: servers_up(self._now().directories),
            signing_certificates=self._federation.certificate_ends,
            party_metadata=self._federation.metadata_ends,
            parties_left_out=lambda: len(self._federation.parties.problems),
            jobs=JOBS if "jobs" in self._settings.server.roles else (),
            jobs_held=lambda: self._scheduler.holds if self._scheduler is not None else (),
        )
        listeners = self._settings.https_listeners
        certificate = self._opened.installation.data / listeners[0].certificate if listeners else None
        self._keep(Vitals(self._metrics, self._clock, gauges, self._node.name, certificate).run, "vitals")

    def _start_parts(self, demo: bool) -> None:
        """What runs beside the doors, as far as it is this machine's role."""
        roles = self._settings.server.roles
        self._keep(self._recorder.run, "recorder")
        self._keep(self._watch.run, "clock watch")
        self._keep(self._look_for_changes, "changes")
        self._keep(self._look_at_files, "files")
        if "delivery" in roles:
            self._outbox = OutboxWorker(
                self._storage,
                self._opened.rings,
                self._clock,
                lambda: self._now().gateways,
                self._tell_of_message,
                self._outages,
                keep_text=demo,
                holder=self._holder,
                clock_problem=lambda: self._watch.problem,
            )
            self._keep(self._outbox.run, "outbox")
        if "jobs" in roles:
            jobs = [
                Job(JANITOR, SWEEP_EVERY_S, self._sweep),
                Job(HEADS, SIGN_EVERY_S, self._sign_heads, at_once=True),
                Job(REMINDERS, LOOKED_EVERY_S, Reminding(self._engine_parts(demo)).run_once),
                Job(METADATA, METADATA_LOOKED_EVERY_S, self._renew_metadata, at_once=True),
                Job(PASSWORDS, ASKED_EVERY_S, Reconciling(self._engine_parts(demo)).run_once, at_once=True),
            ]
            self._scheduler = Scheduler(Leases(self._storage, self._clock, self._holder), jobs, self._clock)
            self._keep(self._scheduler.run, "jobs")

    async def _start_radius(self, demo: bool) -> None:
        if not self._sockets.radius:
            return
        self._signing |= await self._signing_nas()
        parts = RadiusParts(
            engine=Engine(self._engine_parts(demo)),
            storage=self._storage,
            recorder=self._recorder,
            clock=self._clock,
            metrics=self._metrics,
            tables=lambda: self._now().radius,
            ready=lambda: not self.problems(),
            required=self._signing,
            keep_required=self._keep_signing,
            one_directory=lambda: len(self._now().directories) == 1,
        )
        for authentication, accounting in self._sockets.radius:
            server = RadiusServer(parts)
            await server.listen(authentication, accounting)
            self._radius.append(server)

    def _engine_parts(self, demo: bool) -> EngineParts:
        return EngineParts(
            self._storage,
            self._clock,
            self._opened.rings,
            lambda: self._now().engine,
            clock_problem=self._no_decision,
            keep_messages=demo,
            sender=self._holder if "delivery" in self._settings.server.roles else "",
            refuses_check=self._hasher.refuses,
            slowest_check_s=lambda: self._hasher.slowest_s,
            epoch=self._opened.epoch_id,
            observe=self._metrics.step,
            observe_directory=self._metrics.directory,
            observe_lock=self._lock_began,
            tickets=self._tickets,
            channel_down=self._channel_down,
            public_url=self._portal_url(),
        )

    def _portal_url(self) -> str:
        """Where people reach the portal, for links that a login gives them: where its pages are configured, else where they listen.

        Empty where no listener of ours has it and no other machine's is named. On this machine's own address they have a name, by
        which passkeys work.
        """
        listeners = zip(self._settings.https_listeners, self._sockets.urls, strict=True)
        return self._settings.portal_url or next((as_localhost(url) for each, url in listeners if "portal" in each.doors), "")

    async def _start_https(self, guide: DemoGuide | None) -> None:
        data = self._opened.installation.data
        trust = Trust(lambda: self._federation.parties, lambda: self._federation.keys)
        portal = portal_pages(self._engine_parts(guide is not None), federation_pages(trust))
        for listener, sock, url in zip(self._settings.https_listeners, self._sockets.https, self._sockets.urls, strict=True):
            context = WebContext(
                storage=self._storage,
                ring=self._opened.rings,
                clock=self._clock,
                recorder=self._recorder,
                metrics=self._metrics,
                origin=listener.public_url.rstrip("/") or url,
                hosts=hosts_of(listener.public_url),
                proxies=tuple(ip_network(each) for each in listener.trusted_proxies),
                ready=self.problems,
                looks=lambda: self._now().looks,
                zone_of=lambda realm: self._now().engine.zone_of(realm),
                guide=guide,
                node=self._node,
                streams=self._streams,
            )
            tls = TlsFiles(data / listener.certificate, data / listener.key)
            pages = build_web_app(context, listener.doors, [portal])
            server = HttpsServer(pages, sock, tls, before_stop=context.streams.close, endpoint=context.endpoint)
            await server.start()
            self._https.append(server)

    async def _start_control(self, tell_demo: TellDemo | None) -> None:
        database = "SQLite" if self._settings.database.embedded else "PostgreSQL"
        management = Management(
            self._opened,
            OPERATIONS,
            self._hasher,
            self._clock,
            lambda: self.https_url,
            serving=True,
            tell_demo=tell_demo,
            take_picture=Picture(self._node, self._storage, self._clock, database).take,
            directories=lambda: self._now().directories,
        )
        self._control = ControlServer(self._opened.installation.data, management.run)
        await self._control.start()

    async def _record_start(self) -> None:
        """In the audit trail: the start of the server, and of every worker that takes the place of one that ended."""
        about: dict[str, object] = {"version": __version__, "https": self.https_url}
        if self._place.after:
            await self._record(Kind.SERVER_STARTED, {**about, "worker": self._place.slot, "after": self._place.after})
        elif self._place.slot == 0:
            await self._record(Kind.SERVER_STARTED, {**about, "workers": self._place.workers})

    def problems(self) -> Sequence[str]:
        """What keeps us from serving logins; empty when nothing does."""
        problems = []
        if self._stopping:
            problems.append("the server is stopping")
        if self._epoch_over:
            problems.append("a new epoch was opened while this worker served")
        if self._storage_down:
            problems.append("the last write to the database failed")
        if any(server.undecided for server in self._radius):
            problems.append("no login can be decided: database or directory fail, see the log")
        if not self._radius and self._sockets.radius:
            problems.append("RADIUS does not listen yet")
        if any(not server.accepting for server in self._https):
            problems.append("HTTPS takes no connections")
        if self._watch.problem is not None:
            problems.append(self._watch.problem)
        if self._crowded.beyond(self._hasher.pending):
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
            for directory in set(before.directories if before else ()) - set(self._runtime.directories):
                self._own(self._retire(directory), "retired directory")

    async def _retire(self, directory: Directory) -> None:
        """Close a directory that is configured no more, once the logins that began with it have had their time."""
        if isinstance(directory, Closing):
            try:
                await asyncio.sleep(RETIRED_AFTER_S)
            finally:
                await directory.close()

    async def _reload_or_keep(self, fresh: bool = False) -> None:
        """Take up a new version; one that cannot run leaves the present one in force, and says so."""
        try:
            await self._reload(fresh)
            await self._begin_federation()
            log.info("configuration_in_force", version=self._now().version)
        except WardgateError as error:
            log.error("configuration_not_taken_over", error=error.message, in_force=self._now().version)

    def reload_soon(self, then: Callable[[], None] = lambda: None) -> None:
        """On SIGHUP: read the configuration again, with the files that it names, and the certificates; `then`: when it is done."""
        self._own(self._reload_all(then), "reload")

    async def _reload_all(self, then: Callable[[], None]) -> None:
        await self._reload_or_keep(fresh=True)
        for server in self._https:
            try:
                server.reload_certificate()
            except WardgateError as error:
                log.error("certificate_not_taken_over", error=error.message)
        then()

    async def _look_for_changes(self) -> None:
        """The backstop of the announcements, one of which may be lost with the connection that it came by."""
        while True:
            await asyncio.sleep(CHANGES_ASKED_EVERY_S)
            present = max(self._now().version, self._seen_version)
            newer = (Where("version", ">", present),)
            newer_key = (Where("number", ">", self._opened.rings().current),)
            try:
                versions, keys, epochs = await self._storage.read(
                    [Find(CONFIGURATION, newer, limit=1), Find("data_key", newer_key, limit=1), _EPOCH_ID]
                )
                if epochs and epochs[0]["value"] != self._opened.epoch_id:
                    self._end_with_epoch()
                    return
                if keys:
                    await self._opened.reload_keys()
                if self._signing_due:
                    await self._read_signing()
                if self._federation_due:
                    await self._begin_federation()
            except WardgateError as error:
                log.debug("changes_not_looked_for", error=error.message)
                continue
            if versions:
                # Of one that cannot run it is told once.
                self._seen_version = int(versions[0]["version"] or 0)
                await self._reload_or_keep()

    async def _look_at_files(self) -> None:
        """What risk reads of an operator's files, which something may renew every night, without anybody saying so."""
        while True:
            await asyncio.sleep(FILES_ASKED_EVERY_S)
            if (assessor := self._now().engine.risk) is not None:
                await asyncio.to_thread(assessor.refresh)

    def _end_with_epoch(self) -> None:
        """Whoever opened the epoch found no node at work, and we are one: what is open here must not outlive it.

        The successor of this worker begins in the new one.
        """
        log.error("epoch_ended", epoch=self._opened.epoch)
        self._epoch_over = True
        self.on_epoch_over()

    def _no_decision(self) -> str | None:
        """Why no login may be decided here now."""
        return "a new epoch was opened: this worker is of the one before" if self._epoch_over else self._watch.problem

    def _channel_down(self, channel: Channel) -> bool:
        """Whether no gateway of a channel takes messages now, as this worker or another one found."""
        return self._outages.is_down(channel) or (self._outbox is not None and self._outbox.is_down(channel))

    def _key_announced(self, number: str) -> None:
        """A key that we do not have: what is sealed under it must open here too. Older ones stay in memory for those in work."""
        if len(number) < 10 and number.isdecimal() and int(number) > self._opened.rings().current:
            self._own(self._reload_keys(), "keys")

    async def _read_outages(self) -> None:
        """A hint: where it cannot be read, this worker goes by what it finds itself."""
        with contextlib.suppress(UnavailableError):
            await self._outages.read()

    async def _reload_keys(self) -> None:
        try:
            await self._opened.reload_keys()
        except WardgateError as error:
            log.error("keys_not_taken_over", error=error.message)

    async def _begin_federation(self) -> None:
        """In its own time: making the first key takes longer than all the rest of the first start."""
        try:
            await self._federation.begin()
            self._federation_due = False
        except WardgateError as error:
            self._federation_due = True
            log.error("federation_not_begun", error=error.message)
        self._tell_parties()

    async def _take_up_parties(self) -> None:
        """Keys or metadata have changed: those of before stay where the new ones cannot be read."""
        try:
            await self._federation.refresh()
        except WardgateError as error:
            self._federation_due = True
            log.error("relying_parties_not_taken_over", error=error.message)
        self._tell_parties()

    def _tell_parties(self) -> None:
        for name, problem in self._federation.parties.problems.items():
            log.warning("relying_party_left_out", application=name, problem=problem)

    async def _read_signing(self) -> None:
        """Which NAS sign. Read, and not taken from the announcement: one may have been lost before it, or be somebody else's."""
        self._signing_due = True
        try:
            self._signing |= await self._signing_nas()
            self._signing_due = False
        except WardgateError as error:
            log.warning("signing_nas_not_read", error=error.message)

    async def _signing_nas(self) -> set[str]:
        rows = await self._storage.find("installation")
        return {str(row["name"]).removeprefix(_SIGNS) for row in rows if str(row["name"]).startswith(_SIGNS)}

    async def _keep_signing(self, nas: str) -> None:
        log.info("message_authenticator_required_from_now_on", nas=nas)
        await self._storage.commit([Upsert("installation", {"name": f"{_SIGNS}{nas}", "value": "signs"}), Announce(SIGNING, nas)])

    # --- while serving ---------------------------------------------------------------------------------------------

    def _tell_of_message(self, event: OutboxEvent) -> Sequence[Operation]:
        """The timeline of a message's fate, stored together with it."""
        for attempt in event.attempts:
            self._metrics.gateway(attempt.gateway, attempt.outcome.value, attempt.duration_ms / 1000)
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

    def _lock_began(self, kind: str, held: str, wait_s: int) -> None:
        """Counted by kind; what is about more than one person is an incident too, for those who look at the live log."""
        self._metrics.lock(kind)
        if kind in OF_MANY:
            self._recorder.incident(IncidentKind.BRAKE, held, detail=f"{kind}, {wait_s} s")
            log.warning("brake_began", brake=kind, held=held, wait_s=wait_s)

    def _storage_failed(self) -> None:
        """No Status-Server is answered until a write succeeds: every login would be refused here, and the NAS has other servers.

        A NAS that hears nothing sends no login that could find out, so we try by ourselves.
        """
        self._metrics.storage_failed()
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

    async def _sweep(self) -> None:
        """By a wrong clock the logins that others have open, and their brakes, would be over."""
        if self._watch.problem is not None:
            raise ClockWrong(self._watch.problem)
        await self._janitor.sweep()

    async def _renew_metadata(self) -> None:
        """What relying parties say of themselves, and keys that nobody believes any more."""
        refreshing = Refreshing(self._storage, self._clock, lambda: self._now().relying_parties.applications)
        await refreshing.run_once()
        if not all(key.is_published(to_ms(self._clock.now())) for key in self._federation.keys.all):
            await forget_old_keys(self._storage, self._clock)

    async def _sign_heads(self) -> None:
        await sign_all_heads(self._storage, self._opened.rings, self._clock)

    # --- stop ------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Finish what is in work, hand over what can be, and let go of everything."""
        self._stopping = True
        await asyncio.gather(*(server.drain(DRAIN_S) for server in self._radius), *(server.stop(DRAIN_S) for server in self._https))
        if self._control is not None:
            await self._control.stop()
        self._tickets.close()
        await self._node.stop()
        if self._outbox is not None:
            await self._outbox.drain(DRAIN_S)
        for task in self._owned:
            task.cancel()
        await asyncio.gather(*self._owned, return_exceptions=True)
        with contextlib.suppress(WardgateError, TimeoutError):
            await self._recorder.flush(last=True)
            if self._place.slot == 0:
                await self._record(Kind.SERVER_STOPPED, {})
                async with asyncio.timeout(SIGN_LAST_S):
                    await self._sign_heads()
        if self._runtime is not None:
            await asyncio.gather(*(gateway.close() for gateway in self._runtime.gateways), return_exceptions=True)
            held = [directory for directory in self._runtime.directories if isinstance(directory, Closing)]
            await asyncio.gather(*(directory.close() for directory in held), return_exceptions=True)
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
