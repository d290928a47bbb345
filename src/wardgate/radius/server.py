"""The UDP side of the RADIUS door: receive, judge the packet, answer each request once, send.

Order of the gates for a datagram: shape, source address, Message-Authenticator, duplicate cache, kind of proof, engine. A packet
that does not pass the first three is dropped in silence and counted as an incident with its cure. A forged packet never
reaches the duplicate cache.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace

import structlog

from wardgate.audit.incidents import IncidentKind
from wardgate.audit.recorder import Recorder
from wardgate.audit.timeline import Trail
from wardgate.clock import Clock, to_ms
from wardgate.crypto import new_id
from wardgate.engine.engine import Engine
from wardgate.errors import ClockWrong, Overloaded, PacketError, StorageUnavailable, WardgateError
from wardgate.metrics import Metrics
from wardgate.radius.credentials import Credential, credential
from wardgate.radius.describe import describe
from wardgate.radius.door import Reply, failure_reply, refusal_reply, serve_login, text_of
from wardgate.radius.duplicates import DuplicateCache, InFlight
from wardgate.radius.duplicates import Reply as CachedReply
from wardgate.radius.endpoint import Address, Endpoint, ReplyPath
from wardgate.radius.nas import Nas, refusal_of
from wardgate.radius.nas_table import NasTable
from wardgate.radius.packet import (
    Code,
    MessageAuthenticator,
    Packet,
    Type,
    check_accounting_authenticator,
    check_message_authenticator,
    decode,
    encode_reply,
)
from wardgate.radius.pap import is_garbled, reveal
from wardgate.radius.release import Release
from wardgate.storage.port import Insert, Row, Storage

MAX_IN_WORK = 4096
# Accounting that waits for the disk has places of its own: it must not cost a login its reply.
MAX_ACCOUNTING_IN_WORK = 1024
STATUS_PER_S = 20
# After so many logins in a row that could not be decided, Status-Server gets no answer for so long.
UNDECIDED_LOGINS = 3
UNDECIDED_SILENCE_S = 30.0
SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
DEFAULT_FLOOR_S = 0.3
TIMER_TICK_S = 0.001
ACCT_SESSION_ID = 44

# A member of an enumeration takes its time to look up, and its name still more.
_ACCESS_REQUEST = Code.ACCESS_REQUEST
_CODE_NAMES: Mapping[int, str] = {code.value: code.name.lower() for code in Code}

log = structlog.get_logger("wardgate.radius")


@dataclass(frozen=True, slots=True)
class RadiusTables:
    """What the configuration in force says to this door."""

    nas: NasTable[Nas]
    releases: Mapping[str, Release] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RadiusParts:
    """The door's surroundings. `required`: the NAS of which `auto` knows that they sign; `keep_required` stores one more.

    `one_directory`: there is no other than the one that may be down, so that without it nobody is let in at all.
    """

    engine: Engine
    storage: Storage
    recorder: Recorder
    clock: Clock
    metrics: Metrics
    tables: Callable[[], RadiusTables]
    ready: Callable[[], bool]
    required: set[str]
    keep_required: Callable[[str], Awaitable[None]]
    one_directory: Callable[[], bool] = lambda: True


class RadiusServer:
    """Serves one authentication and one accounting socket."""

    def __init__(self, parts: RadiusParts) -> None:
        self._parts = parts
        self._duplicates = DuplicateCache(clock=parts.clock.monotonic)
        self._in_work: set[asyncio.Task[None]] = set()
        self._accounting_in_work: set[asyncio.Task[None]] = set()
        self._endpoints: list[Endpoint] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._status = _Rate(STATUS_PER_S, parts.clock)
        self._undecided = 0
        self._undecided_at = float("-inf")

    async def listen(self, authentication: socket.socket, accounting: socket.socket) -> None:
        """Begin to serve on sockets that are bound already."""
        for sock, receive in ((authentication, self._authentication), (accounting, self._accounting)):
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
            endpoint = Endpoint(sock, receive)
            endpoint.open()
            self._endpoints.append(endpoint)

    async def drain(self, grace_s: float) -> None:
        """Finish what is in work, then close.

        Nothing more is read: who takes over the socket, a worker's successor, finds there what has come meanwhile.
        """
        for endpoint in self._endpoints:
            endpoint.stop_receiving()
        if in_work := self._in_work | self._accounting_in_work:
            await asyncio.wait(in_work, timeout=grace_s)
        for endpoint in self._endpoints:
            endpoint.close()
        for task in self._in_work | self._accounting_in_work:
            task.cancel()

    @property
    def in_work(self) -> int:
        """How many requests are being worked on."""
        return len(self._in_work) + len(self._accounting_in_work)

    @property
    def undecided(self) -> bool:
        """Whether storage or a directory lately let no login be decided, though storage may take writes all the same."""
        recent = self._parts.clock.monotonic() - self._undecided_at < UNDECIDED_SILENCE_S
        return recent and self._undecided >= UNDECIDED_LOGINS

    # --- gates -----------------------------------------------------------------------------------------------------

    def _admit(self, data: bytes, source: Address) -> tuple[Packet, Nas] | None:
        """The packet and its NAS, or None when it is not for us; then its source is counted with the cause."""
        try:
            packet = decode(data)
        except PacketError as error:
            self._drop(IncidentKind.MALFORMED, source[0], "", error.message)
            return None
        nas = self._parts.tables().nas.find(source[0], packet.first(Type.NAS_IDENTIFIER))
        if nas is None:
            self._drop(IncidentKind.UNKNOWN_SOURCE, source[0])
            return None
        return packet, nas

    def _drop(self, kind: IncidentKind, source: str, nas: str = "", detail: str = "") -> None:
        self._parts.metrics.drop(kind.value)
        self._parts.metrics.incident(kind.value)
        self._parts.recorder.incident(kind, source, nas, detail)

    def _authentication(self, path: ReplyPath, listener: str, data: bytes, source: Address) -> None:
        admitted = self._admit(data, source)
        if admitted is None:
            return
        packet, nas = admitted
        code = packet.code
        if code is not _ACCESS_REQUEST and code is not Code.STATUS_SERVER:
            self._drop(IncidentKind.UNSUPPORTED_CODE, source[0], nas.name, f"code {code}")
            return
        signature = check_message_authenticator(packet, nas.secret)
        refusal = refusal_of(nas, packet, signature, nas.name in self._parts.required)
        if refusal is not None:
            self._drop(refusal, source[0], nas.name)
            return
        self._decide_auto(nas, packet, signature)
        self._parts.metrics.packet(_CODE_NAMES[code], nas.settings.vendor)
        if code is not _ACCESS_REQUEST:
            self._answer_status(path, nas, packet, source, Code.ACCESS_ACCEPT)
            return
        key = (source[0], source[1], packet.identifier, listener)
        seen = self._duplicates.begin(key, packet.raw)
        if isinstance(seen, InFlight):
            self._parts.metrics.duplicate()
            return
        if isinstance(seen, CachedReply):
            self._parts.metrics.duplicate()
            path.send(seen.data)
            return
        if len(self._in_work) >= MAX_IN_WORK:
            self._duplicates.finish(key, packet.raw, None)
            self._drop(IncidentKind.OVERLOADED, source[0], nas.name)
            return
        self._begin(self._serve(path, nas, packet, source, listener), self._in_work)

    def _decide_auto(self, nas: Nas, packet: Packet, signature: MessageAuthenticator) -> None:
        """`auto`: from the first signed login on, Message-Authenticator is required, for good.

        A login without it decides nothing: nobody proved anything by it, and a forged one must not lower the bar. Neither do
        Status-Server and EAP, which are signed by every NAS.
        """
        if nas.settings.message_authenticator != "auto" or nas.name in self._parts.required:
            return
        login = packet.code == Code.ACCESS_REQUEST and packet.first(Type.EAP_MESSAGE) is None
        if login and signature is MessageAuthenticator.VALID:
            self._parts.required.add(nas.name)
            self._begin(_owned(self._parts.keep_required(nas.name)), self._in_work)

    def _answer_status(self, path: ReplyPath, nas: Nas, packet: Packet, source: Address, code: Code) -> None:
        """Status-Server, RFC 5997. Silence when we could not serve a login: an honest answer lets the NAS use its next server."""
        if not nas.settings.status_server:
            self._drop(IncidentKind.STATUS_SERVER_OFF, source[0], nas.name)
        elif self._parts.ready() and self._status.allows(nas.name):
            path.send(encode_reply(packet, code, (), nas.secret))

    # --- logins ----------------------------------------------------------------------------------------------------

    async def _serve(self, path: ReplyPath, nas: Nas, packet: Packet, source: Address, listener: str) -> None:
        key = (source[0], source[1], packet.identifier, listener)
        trail = Trail(self._parts.clock, "radius")
        datagram: bytes | None = None
        try:
            reply = await self._reply(nas, packet, source, trail)
            if reply is not None:
                datagram = self._encode(nas, packet, source, reply)
                if reply.not_before is not None:
                    await self._wait_until(reply.not_before)
        finally:
            self._duplicates.finish(key, packet.raw, datagram)
        if datagram is not None:
            path.send(datagram)
        if not trail.stored:
            trail.note("replied" if datagram else "not replied", code=_CODE_NAMES[datagram[0]] if datagram else None)
        self._parts.metrics.login(trail.result or "dropped", "radius")
        self._parts.metrics.step("request", self._parts.clock.monotonic() - trail.started)
        self._parts.recorder.publish(trail)

    async def _reply(self, nas: Nas, packet: Packet, source: Address, trail: Trail) -> Reply | None:
        """The reply, whatever happens inside. None: silence, so that the NAS tries again or asks its next server."""
        proof = credential(packet)
        trail.note(_WITH_STATE if Type.STATE in packet.firsts else _CAME[proof], identifier=packet.identifier)
        refused = _REFUSED_PROOFS.get(proof)
        if refused is not None:
            return self._refuse_proof(nas, packet, source, trail, refused)
        floor = trail.started + DEFAULT_FLOOR_S
        try:
            if proof is Credential.PAP and _is_garbled(nas, packet):
                return self._refuse_garbled(nas, packet, source, trail, floor)
            reply = await serve_login(self._parts.engine, nas, packet, proof, source, trail, lambda: self._parts.tables().releases)
            # With one directory of several down the others' users are served: a NAS must not be told to go elsewhere.
            if trail.reason != "directory_down" or self._parts.one_directory():
                self._note_decided(trail.reason != "directory_down")
            return reply
        except PacketError as error:
            self._drop(IncidentKind.MALFORMED, source[0], nas.name, error.message)
            return None
        except Overloaded as error:
            trail.result, trail.reason = "dropped", "overloaded"
            self._drop(IncidentKind.OVERLOADED, source[0], nas.name, error.message)
            return None
        except ClockWrong as error:
            # Readiness knows by itself, and knows when it is over.
            trail.result, trail.reason = "denied", "clock_wrong"
            log.error("login_not_decided", error=error.message, reference=trail.reference)
        except StorageUnavailable as error:
            trail.result, trail.reason = "denied", "storage_down"
            self._note_decided(False)
            log.error("login_not_stored", error=error.message, reference=trail.reference)
        except WardgateError as error:
            trail.result, trail.reason = "denied", "internal_error"
            log.error("login_failed", code=error.code, error=error.message, reference=trail.reference)
        except Exception:
            # The door's one broad catch: whatever broke inside, the login is refused.
            trail.result, trail.reason = "denied", "internal_error"
            log.exception("login_broke", reference=trail.reference)
        return failure_reply(nas, trail.reference, floor)

    def _note_decided(self, decided: bool) -> None:
        self._undecided = 0 if decided else self._undecided + 1
        if not decided:
            self._undecided_at = self._parts.clock.monotonic()

    def _refuse_garbled(self, nas: Nas, packet: Packet, source: Address, trail: Trail, floor: float) -> Reply:
        """A password that nobody typed: refused like a wrong one and counted nowhere, for it was garbled by a wrong secret.

        Not dropped: then anybody behind a NAS could make it believe, by one odd password, that we are gone.
        """
        trail.note("the password cannot have been typed: the shared secret of the NAS probably differs from ours", counted=False)
        reply = self._refuse_proof(nas, packet, source, trail, IncidentKind.WRONG_SECRET)
        trail.reason = "password_wrong"
        return replace(reply, not_before=floor)

    def _refuse_proof(self, nas: Nas, packet: Packet, source: Address, trail: Trail, kind: IncidentKind) -> Reply:
        """A kind of proof that is not served: refused at once and counted nowhere, since the NAS may try PAP next."""
        trail.nas, trail.source, trail.application = nas.name, source[0], nas.settings.application
        trail.user = text_of(packet.first(Type.USER_NAME) or b"", nas)
        trail.result = "denied"
        trail.reason = "chap_unsupported" if kind is IncidentKind.CHAP else "protocol_unsupported"
        self._parts.metrics.incident(kind.value)
        self._parts.recorder.incident(kind, source[0], nas.name)
        return refusal_reply(nas, trail.reference)

    def _encode(self, nas: Nas, packet: Packet, source: Address, reply: Reply) -> bytes | None:
        """The datagram. None: not even an empty Reject has room beside the Proxy-States of the request."""
        # Too much to release: a login that was granted and recorded is not let in half. The operator sees why.
        for code, attributes in ((reply.code, reply.attributes), (Code.ACCESS_REJECT, [])):
            try:
                return encode_reply(packet, code, attributes, nas.secret)
            except PacketError as error:
                self._drop(IncidentKind.REPLY_TOO_LARGE, source[0], nas.name, error.message)
        return None

    async def _wait_until(self, moment: float) -> None:
        """Until the moment has passed: a tick longer, because the loop's timers count whole milliseconds and may be early."""
        left_s = moment - self._parts.clock.monotonic()
        if left_s > 0:
            await asyncio.sleep(left_s + TIMER_TICK_S)

    # --- accounting ------------------------------------------------------------------------------------------------

    def _accounting(self, path: ReplyPath, listener: str, data: bytes, source: Address) -> None:
        admitted = self._admit(data, source)
        if admitted is None:
            return
        packet, nas = admitted
        if packet.code == Code.STATUS_SERVER:
            if check_message_authenticator(packet, nas.secret) is MessageAuthenticator.VALID:
                self._answer_status(path, nas, packet, source, Code.ACCOUNTING_RESPONSE)
            else:
                self._drop(IncidentKind.WRONG_SECRET, source[0], nas.name)
            return
        if packet.code != Code.ACCOUNTING_REQUEST:
            self._drop(IncidentKind.UNSUPPORTED_CODE, source[0], nas.name, f"code {packet.code}")
            return
        signature = check_message_authenticator(packet, nas.secret)
        wrong = signature in (MessageAuthenticator.WRONG, MessageAuthenticator.MALFORMED)
        if wrong or not check_accounting_authenticator(packet, nas.secret):
            self._drop(IncidentKind.ACCOUNTING_WRONG_SECRET, source[0], nas.name)
            return
        self._parts.metrics.packet(_CODE_NAMES[packet.code], nas.settings.vendor)
        key = (source[0], source[1], packet.identifier, listener)
        seen = self._duplicates.begin(key, packet.raw)
        if isinstance(seen, CachedReply):
            path.send(seen.data)
        elif not isinstance(seen, InFlight):
            if len(self._accounting_in_work) >= MAX_ACCOUNTING_IN_WORK:
                self._duplicates.finish(key, packet.raw, None)
                self._drop(IncidentKind.OVERLOADED, source[0], nas.name, "accounting")
                return
            self._begin(self._store_accounting(path, nas, packet, source, listener), self._accounting_in_work)

    async def _store_accounting(self, path: ReplyPath, nas: Nas, packet: Packet, source: Address, listener: str) -> None:
        """Accounting-Response only after it is stored, RFC 2866 section 4.2. No answer: the NAS sends it again."""
        key = (source[0], source[1], packet.identifier, listener)
        reply: bytes | None = None
        try:
            await self._parts.storage.commit([Insert("accounting", self._accounting_row(nas, packet))])
            reply = encode_reply(packet, Code.ACCOUNTING_RESPONSE, (), nas.secret)
        except WardgateError as error:
            log.error("accounting_not_stored", error=error.message)
        finally:
            self._duplicates.finish(key, packet.raw, reply)
        if reply is not None:
            path.send(reply)

    def _accounting_row(self, nas: Nas, packet: Packet) -> Row:
        attributes = dict(describe(packet))
        return {
            "id": new_id(),
            "nas": nas.name,
            "user_name": text_of(packet.first(Type.USER_NAME) or b"", nas),
            "session_id": text_of(packet.first(ACCT_SESSION_ID) or b"", nas),
            "status": attributes.get("Acct-Status-Type", ""),
            "attributes": json.dumps(attributes, ensure_ascii=False),
            "created_at": to_ms(self._parts.clock.now()),
        }

    def _begin(self, work: Coroutine[None, None, None], among: set[asyncio.Task[None]]) -> None:
        # To ask which loop runs is a system call each time.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        task = loop.create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)


def _is_garbled(nas: Nas, packet: Packet) -> bool:
    """Whether an unsigned request's password shows that the secrets differ. A signed one has proved that they do not."""
    hidden = packet.first(Type.USER_PASSWORD)
    if hidden is None or packet.first(Type.MESSAGE_AUTHENTICATOR) is not None:
        return False
    return is_garbled(reveal(hidden, packet.authenticator, nas.secret))


_CAME: Mapping[Credential, str] = {
    Credential.PAP: "Access-Request with password",
    Credential.CHAP: "Access-Request with CHAP",
    Credential.MS_CHAP: "Access-Request with MS-CHAP",
    Credential.EAP: "Access-Request with EAP",
    Credential.STATE: "Access-Request with State",
    Credential.NOTHING: "Access-Request with nothing",
    Credential.SEVERAL: "Access-Request with several proofs",
}
_WITH_STATE = _CAME[Credential.STATE]

_REFUSED_PROOFS: Mapping[Credential, IncidentKind] = {
    Credential.CHAP: IncidentKind.CHAP,
    Credential.MS_CHAP: IncidentKind.MSCHAP,
    Credential.EAP: IncidentKind.EAP,
    Credential.NOTHING: IncidentKind.NO_PASSWORD,
    Credential.SEVERAL: IncidentKind.NO_PASSWORD,
}


async def _owned(work: Awaitable[None]) -> None:
    try:
        await work
    except WardgateError as error:
        log.error("background_work_failed", code=error.code, error=error.message)


class _Rate:
    """So many per second and name, bounded in names by the number of NAS."""

    def __init__(self, per_s: int, clock: Clock) -> None:
        self._per_s = per_s
        self._clock = clock
        self._seen: dict[str, tuple[int, int]] = {}

    def allows(self, name: str) -> bool:
        """Whether one more is within the rate."""
        second = int(self._clock.monotonic())
        at, count = self._seen.get(name, (second, 0))
        count = count if at == second else 0
        self._seen[name] = (second, count + 1)
        return count < self._per_s
