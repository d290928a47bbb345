"""The connections to one server, in two pools that never mix.

SERVICE: the service account is bound, many operations are in flight on each. BINDS: for checking users' passwords, one bind at a
time and nothing else, because after a bind that failed Samba keeps the identity that was bound before (RFC 4511 says anonymous).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from wardgate.clock import Clock
from wardgate.directory.ldap import messages
from wardgate.directory.ldap.connection import Connection, ConnectionLost
from wardgate.directory.ldap.filters import encode_filter
from wardgate.directory.ldap.port import Scope
from wardgate.errors import DirectoryUnavailable, Overloaded
from wardgate.fair_queue import FairQueue

SERVICE_CONNECTIONS: Final = 2
BUSY_AT: Final = 16
"""A further service connection is opened when all have so many operations in flight."""
MAX_IN_FLIGHT: Final = 512
MAX_WAITING_EACH: Final = 32
"""How many may wait for each of the connections for binds."""
RECYCLE_IDLE_S: Final = 300.0
RECYCLE_AGE_S: Final = 3600.0
PROBE_IDLE_S: Final = 30.0
PROBE_S: Final = 1.0
"""How long a connection that was idle may take for its probe: less than a login may, so that a new one can still be opened."""

Open = Callable[[], Awaitable[Connection]]

PROBE: Final = messages.search("", Scope.BASE, encode_filter("(objectClass=*)"), ("1.1",))
"""Reads nothing of the root DSE: works everywhere, for everybody, and costs a server nothing."""


class ServicePool:
    """Connections with the service account bound, shared by whoever asks."""

    def __init__(self, open_connection: Open, clock: Clock) -> None:
        self._open = open_connection
        self._clock = clock
        self._connections: list[Connection] = []
        self._opening: asyncio.Task[Connection] | None = None

    def ready(self) -> Connection | None:
        """A connection that can be used right now, without waiting; None where one has to be opened or probed first."""
        now = self._clock.monotonic()
        best: Connection | None = None
        stale = False
        load = 0
        for connection in self._connections:
            in_flight = connection.in_flight
            idle_s = 0.0 if in_flight else now - connection.used_at
            if not connection.usable or idle_s > RECYCLE_IDLE_S or now - connection.opened_at > RECYCLE_AGE_S:
                stale = True
            elif best is None or in_flight < load:
                best, load = connection, in_flight
        if stale:
            self._sort_out(now)
        if best is None or (not load and now - best.used_at > PROBE_IDLE_S):
            return None
        if load >= BUSY_AT and len(self._connections) < SERVICE_CONNECTIONS and self._opening is None:
            self._begin()
        if load >= MAX_IN_FLIGHT:
            raise DirectoryUnavailable(f"{best.server}: too many operations are in flight", "overloaded")
        best.used_at = now
        return best

    async def take(self, deadline: float) -> Connection:
        """A connection to use. Raises ConnectionLost, or DirectoryUnavailable when the service account cannot be bound."""
        connection = self.ready()
        if connection is not None:
            return connection
        opening = self._opening or self._begin()
        # Whoever gives up leaves the opening to the others who wait for it.
        done, _ = await asyncio.wait({opening}, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        if not done:
            raise ConnectionLost("no connection in time", "directory_timeout")
        if opening.cancelled():
            raise ConnectionLost("closed")
        connection = opening.result()
        if not connection.usable:
            raise ConnectionLost(f"{connection.server}: {connection.problem}")
        return connection

    def close(self) -> None:
        """Give up all connections."""
        if self._opening is not None:
            self._opening.cancel()
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _begin(self) -> "asyncio.Task[Connection]":
        self._opening = asyncio.create_task(self._renew())
        self._opening.add_done_callback(self._opened)
        return self._opening

    def _opened(self, task: "asyncio.Task[Connection]") -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # whoever waited has it; when nobody did, there is nobody to tell

    async def _renew(self) -> Connection:
        """The connection that was idle, if it still answers, else a new one."""
        loop = asyncio.get_running_loop()
        for connection in tuple(self._connections):
            if connection.usable and not connection.in_flight:
                try:
                    await connection.search(PROBE, loop.time() + PROBE_S)
                except DirectoryUnavailable:
                    self._connections.remove(connection)
                    connection.abort()
                else:
                    connection.used_at = self._clock.monotonic()
                    return connection
        connection = await self._open()
        connection.opened_at = connection.used_at = self._clock.monotonic()
        self._connections.append(connection)
        return connection

    def _outlived(self, connection: Connection, now: float) -> bool:
        idle = not connection.in_flight and now - connection.used_at > RECYCLE_IDLE_S
        return idle or now - connection.opened_at > RECYCLE_AGE_S

    def _sort_out(self, now: float) -> None:
        kept = []
        for connection in self._connections:
            if connection.usable and not self._outlived(connection, now):
                kept.append(connection)
            else:
                connection.drain()
        self._connections = kept


class BindPool:
    """Connections for checking passwords: each belongs to one bind at a time; who has to wait waits by turns of the sources."""

    def __init__(self, size: int, open_connection: Open, clock: Clock) -> None:
        self._size = size
        self._open = open_connection
        self._clock = clock
        self._idle: list[Connection] = []
        self._used = 0
        self._waiting: FairQueue[asyncio.Future[Connection | None]] = FairQueue()
        self._closed = False

    def ready(self) -> Connection | None:
        """A connection that can be used right now; it must be given back. None where one has to be opened or waited for."""
        if self._used < self._size and self._idle:
            connection = self._idle[-1]
            if connection.usable and self._clock.monotonic() - connection.used_at <= PROBE_IDLE_S:
                self._idle.pop()
                self._used += 1
                return connection
        return None

    async def take(self, deadline: float, source: str) -> Connection:
        """A connection for one bind; it must be given back. Raises ConnectionLost, Overloaded."""
        connection = self._fresh()
        if self._used >= self._size:
            connection = await self._wait(deadline, source)
        else:
            self._used += 1
        if connection is not None and connection.usable:
            return connection
        try:
            async with asyncio.timeout_at(deadline):
                connection = await self._open()
        except TimeoutError as error:
            self._pass_on(None)
            raise ConnectionLost("no connection in time", "directory_timeout") from error
        except BaseException:
            self._pass_on(None)
            raise
        connection.opened_at = self._clock.monotonic()
        connection.alone = True
        return connection

    def give(self, connection: Connection, again: bool) -> None:
        """End of its use. `again`: it may serve for the next bind."""
        now = self._clock.monotonic()
        if not again or self._closed or not connection.usable or now - connection.opened_at > RECYCLE_AGE_S:
            connection.close()
            self._pass_on(None)
            return
        connection.used_at = now
        self._pass_on(connection)

    def close(self) -> None:
        """Give up all connections; those in use close when they are given back."""
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        while (waiter := self._waiting.take()) is not None:
            if not waiter.done():
                waiter.set_exception(ConnectionLost("closed"))

    def _fresh(self) -> Connection | None:
        """An idle connection that was used a short while ago. One that was idle for longer is not probed, since nothing but

        binds runs here: a new one tells as much.
        """
        now = self._clock.monotonic()
        while self._idle and self._used < self._size:
            connection = self._idle.pop()
            if connection.usable and now - connection.used_at <= PROBE_IDLE_S:
                return connection
            connection.close()
        return None

    async def _wait(self, deadline: float, source: str) -> Connection | None:
        if len(self._waiting) >= self._size * MAX_WAITING_EACH:
            gone = self._waiting.make_room(source)
            if gone is None:
                raise Overloaded("too many password checks wait for this directory")
            if not gone.done():
                gone.set_exception(Overloaded("too many password checks wait for this directory"))
        future: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.put(source, future)
        try:
            async with asyncio.timeout_at(deadline):
                return await future
        except TimeoutError as error:
            self._leave(future)
            raise ConnectionLost("all connections for password checks are in use", "directory_timeout") from error
        except asyncio.CancelledError:
            self._leave(future)
            raise

    def _leave(self, future: "asyncio.Future[Connection | None]") -> None:
        """Who waited gives up; what it was given in the same moment goes to the next."""
        if not future.cancel() and not future.cancelled() and future.exception() is None:
            self._pass_on(future.result())

    def _pass_on(self, connection: Connection | None) -> None:
        """The place goes to who waits next, with the connection if there is one."""
        while (waiter := self._waiting.take()) is not None:
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._used -= 1
        if connection is not None:
            self._idle.append(connection)
