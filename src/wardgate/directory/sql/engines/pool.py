"""A few connections to the first of several servers that answers, with a limit on every wait.

A breaker keeps a database that is away from costing each login its patience: after a failure everybody is told at once for a
short while, then one asker tries again and the others are still told. A server that stays silent loses all connections to it
with the first statement that waits in vain, for the others would wait as well.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from wardgate.clock import Clock
from wardgate.directory.port import ServerState, ServerStatus
from wardgate.directory.sql.address import Host
from wardgate.directory.sql.engines.engine import Limits
from wardgate.errors import DirectoryUnavailable, WardgateError

# When one host says nothing, the next is tried beside it after this long.
NEXT_HOST_S: Final = 0.4
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
# Who waited less than this for a connection does not say that the database is away.
FAIR_TRY_S: Final = 0.5
# Database servers and firewalls drop what idles; a connection is renewed before they do.
LONGEST_IDLE_S: Final = 240.0
LONGEST_LIFE_S: Final = 3_600.0
# A host that takes no writes is left again as soon as it is polite.
STANDBY_LIFE_S: Final = 30.0

C = TypeVar("C")
T = TypeVar("T")


class BrokenConnection(Exception):
    """A connection is of no use any more. `error`: what that means to the asker. `again`: nothing was done, or may be repeated."""

    def __init__(self, error: WardgateError, again: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.again = again


@dataclass(slots=True, eq=False)
class _Held(Generic[C]):
    connection: C
    host: Host
    ends: float
    used: float


@dataclass(slots=True)
class _Server:
    host: Host
    problem: str = ""
    until: float = 0.0
    answered_s: float | None = None


@dataclass(frozen=True, slots=True)
class Dialled(Generic[C]):
    """A new connection. `writable`: whether this server takes writes; another one is preferred where not."""

    connection: C
    writable: bool = True


@dataclass(frozen=True, slots=True)
class Driver(Generic[C]):
    """What a kind of connection needs. `meant` tells what a failed dial means, and never repeats a password."""

    dial: Callable[[Host], Awaitable[Dialled[C]]]
    end: Callable[[C], None]
    leave: Callable[[C], Awaitable[None]]
    alive: Callable[[C], bool]
    meant: Callable[[BaseException], str]


@dataclass(slots=True)
class _Breaker:
    problem: str = ""
    until: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    probing: bool = field(default=False)


class Pool(Generic[C]):
    """Connections of one directory to its database."""

    def __init__(self, name: str, hosts: Sequence[Host], limits: Limits, clock: Clock, driver: Driver[C]) -> None:
        self._name = name
        self._limits = limits
        self._clock = clock
        self._driver = driver
        self._servers = [_Server(host) for host in hosts]
        self._idle: list[_Held[C]] = []
        self._busy: list[_Held[C]] = []
        self._places = asyncio.Semaphore(limits.connections)
        self._breaker = _Breaker()
        self._closed = False

    async def use(self, work: Callable[[C], Awaitable[T]], timeout_s: float) -> T:
        """What `work` makes of a connection; once more with another one when it was broken and that may be.

        Raises DirectoryUnavailable when there is none in time, and what `work` raises.
        """
        try:
            async with asyncio.timeout(timeout_s), self._places:
                return await self._use(work)
        except TimeoutError as error:
            raise self._unavailable(f"no answer within {timeout_s:g} s") from error

    async def _use(self, work: Callable[[C], Awaitable[T]]) -> T:
        held = self._idle_one()
        if held is not None:
            try:
                return await self._work(held, work)
            except BrokenConnection as broken:
                if not broken.again:
                    raise broken.error from broken
        held = await self._connect()
        try:
            return await self._work(held, work)
        except BrokenConnection as broken:
            raise broken.error from broken

    async def _work(self, held: _Held[C], work: Callable[[C], Awaitable[T]]) -> T:
        if self._closed:
            self._driver.end(held.connection)
            raise self._unavailable("it was taken out of service")
        kept, began = False, self._clock.monotonic()
        self._busy.append(held)
        try:
            async with asyncio.timeout(self._limits.operation_s):
                outcome = await work(held.connection)
            kept = True
        except TimeoutError as error:
            # Whatever else is connected there would be as silent.
            self._drop_idle()
            self._note(held.host, "did not answer a statement in time")
            raise BrokenConnection(self._unavailable(f"no answer within {self._limits.operation_s:g} s"), False) from error
        except asyncio.CancelledError:
            # Somebody's patience ended. An old connection may be one to a server that went away without a word.
            if self._clock.monotonic() - began >= FAIR_TRY_S:
                self._drop_idle()
            raise
        except WardgateError:
            kept = True
            raise
        finally:
            self._busy.remove(held)
            if kept and self._driver.alive(held.connection) and not self._closed:
                held.used = self._clock.monotonic()
                self._server(held.host).answered_s = held.used - began
                self._idle.append(held)
            else:
                self._driver.end(held.connection)
        return outcome

    def _idle_one(self) -> _Held[C] | None:
        """The connection that was used last. Those that idle too long, or lived long enough, are ended."""
        now = self._clock.monotonic()
        while self._idle:
            held = self._idle.pop()
            if self._driver.alive(held.connection) and now < held.ends and now - held.used < LONGEST_IDLE_S:
                return held
            self._driver.end(held.connection)
        return None

    def _drop_idle(self) -> None:
        while self._idle:
            self._driver.end(self._idle.pop().connection)

    # --- connecting ----------------------------------------------------------------------------------------------------

    async def _connect(self) -> _Held[C]:
        if self._closed:
            raise self._unavailable("it was taken out of service")
        breaker, began = self._breaker, self._clock.monotonic()
        if breaker.problem and (began < breaker.until or breaker.probing):
            raise self._unavailable(breaker.problem)
        probing, breaker.probing = breaker.probing, bool(breaker.problem)
        try:
            held = await self._dial_any()
        except asyncio.CancelledError:
            if self._clock.monotonic() - began >= FAIR_TRY_S:
                self._failed("no connection in time")
            raise
        except DirectoryUnavailable as error:
            self._failed(error.message)
            raise self._unavailable(error.message) from error
        finally:
            breaker.probing = probing
        self._breaker = _Breaker()
        return held

    def _failed(self, problem: str) -> None:
        breaker = self._breaker
        if breaker.problem and self._clock.monotonic() < breaker.until:
            return
        # Not all workers and nodes at the same moment.
        pause_s = breaker.pause_s * (0.75 + secrets.randbelow(1000) / 2000)
        breaker.problem, breaker.until = problem, self._clock.monotonic() + pause_s
        breaker.pause_s = min(2 * breaker.pause_s, LONGEST_PAUSE_S)

    async def _dial_any(self) -> _Held[C]:
        """A connection to the first host that answers, in their order; one that takes no writes only where no other answers."""
        now = self._clock.monotonic()
        waiting = sorted(self._servers, key=lambda server: server.until > now)
        tries: dict[asyncio.Task[Dialled[C]], _Server] = {}
        spare: _Held[C] | None = None
        try:
            while waiting or tries:
                if waiting:
                    server = waiting.pop(0)
                    tries[asyncio.ensure_future(self._dial(server))] = server
                done, _ = await asyncio.wait(tries, timeout=NEXT_HOST_S if waiting else None, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    server = tries.pop(task)
                    if task.exception() is not None:
                        continue
                    held = self._held(task.result(), server.host)
                    if task.result().writable:
                        if spare is not None:
                            self._driver.end(spare.connection)
                        spare = None
                        return held
                    if spare is not None:
                        self._driver.end(spare.connection)
                    spare = held
            if spare is not None:
                held, spare = spare, None
                return held
        finally:
            if spare is not None:
                self._driver.end(spare.connection)
            await self._give_up(tries)
        raise DirectoryUnavailable("; ".join(f"{server.host}: {server.problem}" for server in self._servers))

    def _held(self, dialled: Dialled[C], host: Host) -> _Held[C]:
        now = self._clock.monotonic()
        return _Held(dialled.connection, host, now + (LONGEST_LIFE_S if dialled.writable else STANDBY_LIFE_S), now)

    async def _dial(self, server: _Server) -> Dialled[C]:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._limits.connect_s):
                dialled = await self._driver.dial(server.host)
        except Exception as error:
            in_time = not isinstance(error, TimeoutError)
            self._note(server.host, self._driver.meant(error) if in_time else f"no answer within {self._limits.connect_s:g} s")
            raise
        server.problem, server.until = "", 0.0
        server.answered_s = self._clock.monotonic() - began
        return dialled

    async def _give_up(self, tries: dict[asyncio.Task[Dialled[C]], _Server]) -> None:
        for task in tries:
            task.cancel()
        for outcome in await asyncio.gather(*tries, return_exceptions=True):
            if isinstance(outcome, Dialled):
                self._driver.end(outcome.connection)

    def _server(self, host: Host) -> _Server:
        return next(server for server in self._servers if server.host == host)

    def _note(self, host: Host, problem: str) -> None:
        server = self._server(host)
        server.problem, server.until = problem, self._clock.monotonic() + LONGEST_PAUSE_S

    # --- for others ----------------------------------------------------------------------------------------------------

    def servers(self) -> tuple[ServerStatus, ...]:
        """What we hold of each server, without asking it."""
        return tuple(
            ServerStatus(
                str(server.host), ServerState.DOWN if server.problem else ServerState.UP, server.problem, server.answered_s
            )
            for server in self._servers
        )

    async def close(self) -> None:
        """Give up all connections; whoever waits gets DirectoryUnavailable."""
        self._closed = True
        for held in self._busy:
            self._driver.end(held.connection)
        idle, self._idle = self._idle, []
        for held in idle:
            with suppress(Exception):
                async with asyncio.timeout(1.0):
                    await self._driver.leave(held.connection)
            self._driver.end(held.connection)

    def _unavailable(self, problem: str) -> DirectoryUnavailable:
        return DirectoryUnavailable(f"directory {self._name}: {problem}")
