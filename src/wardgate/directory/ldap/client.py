"""All servers of one directory behind one face: which is asked, when another one, and when nobody any more. See `port.py`."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Final, TypeVar

from wardgate.crypto import Secret
from wardgate.directory.kind import DirectoryParts
from wardgate.directory.ldap import messages
from wardgate.directory.ldap.connection import Connection, ConnectionLost, Found
from wardgate.directory.ldap.discovery import MAX_SERVERS, Discovery
from wardgate.directory.ldap.endpoints import Endpoint
from wardgate.directory.ldap.filters import encode_filter
from wardgate.directory.ldap.port import (
    Change,
    Code,
    Control,
    Entry,
    LdapRefused,
    LdapSession,
    Result,
    Scope,
    ServerState,
    ServerStatus,
)
from wardgate.directory.ldap.server import Server, ServiceAccount
from wardgate.directory.ldap.settings import LdapSettings
from wardgate.directory.ldap.tls import Trust
from wardgate.errors import DirectoryUnavailable, MessageError, Overloaded, UsageError

PAGE: Final = 500
MAX_ENTRIES: Final = 100_000
"""The most that one `search` gives; whoever wants more streams."""
MAX_OCTETS: Final = 256 * 1024 * 1024
MAX_EMPTY_PAGES: Final = 100
"""Active Directory may send empty pages in between; a server that sends nothing else would keep us for ever."""
MAX_RANGES: Final = 1000
"""How many parts of one attribute are asked for: with Windows' 1500 values each, 1.5 million members."""
STICK_S: Final = 300.0
MAX_STUCK: Final = 10_000
MAX_REMEMBERED_SERVERS: Final = 4 * MAX_SERVERS
"""DNS may name others every few minutes. Beyond these, those that it names no more are given up."""
_TRY_ELSEWHERE: Final = frozenset({Code.BUSY, Code.UNAVAILABLE})
_ANYTHING: Final = encode_filter("(objectClass=*)")

T = TypeVar("T")


class Client:
    """Satisfies LdapClient. Opens nothing until it is asked for something; belongs to one event loop."""

    def __init__(self, settings: LdapSettings, parts: DirectoryParts) -> None:
        self._settings = settings
        self._clock = parts.clock
        self._operation_s = settings.timeouts.operation_s
        self._account = ServiceAccount(settings, parts)
        self._trust = Trust(settings.ca_file)
        self._discovery = Discovery(settings.servers, parts.clock)
        self._servers: dict[str, Server] = {}
        self._listed: tuple[Endpoint, ...] | None = None
        self._list: list[Server] = []
        self._rotates = settings.order == "round_robin"
        self._turn = 0
        self._stuck: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- operations --------------------------------------------------------------------------------------------------------

    async def search(
        self,
        base: str,
        scope: Scope,
        filter_text: str,
        attributes: Sequence[str],
        *,
        timeout_s: float,
        controls: Sequence[Control] = (),
        limit: int = 0,
        server: str | None = None,
    ) -> tuple[Entry, ...]:
        """See LdapClient."""
        query = _Query(base, scope, encode_filter(filter_text), tuple(attributes), tuple(controls))
        deadline = self._time() + timeout_s
        if scope is not Scope.BASE and not 0 < limit <= PAGE:

            def ask(one: Server, first_by: float) -> Awaitable[tuple[Entry, ...]]:
                return self._search_pages(one, query, limit or MAX_ENTRIES, limit == 0, first_by, deadline)

            return await self._on_some_server(ask, deadline, server)
        # Each login asks this way, so what `_on_some_server` does is done here: a coroutine less, and no function made.
        lost: ConnectionLost | None = None
        servers = self._all_up(server) or await self._candidates(deadline, server)
        for at, one in enumerate(servers):
            try:
                first_by = self._share(deadline, len(servers) - at)
                connection = one.service.ready() or await one.service.take(first_by)
                now = self._time()
                by = min(first_by, now + self._operation_s)
                request = query.request(limit, max(1, math.ceil(by - now)))
                found = await connection.search(request, by, _controls_of_one(one, query, limit), limit or 2)
                found = _judged(one, found, limit, self._time() - now)
                if found.unfinished:
                    return await self._all_completed(one, connection, found, query, deadline)
                return tuple(found.entries)
            except ConnectionLost as error:
                one.health.suspect(str(error))
                lost = error
            except MessageError as error:
                raise DirectoryUnavailable(f"{one.name}: {error}", "directory_malformed") from error
        raise _nobody(lost)

    async def _search_pages(
        self, server: Server, query: "_Query", most: int, is_cap: bool, first_by: float, deadline: float
    ) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        octets = 0
        async with aclosing(self._pages(server, query, PAGE, first_by, lambda: deadline)) as pages:
            async for page, size in pages:
                entries += page
                octets += size
                if octets > MAX_OCTETS:
                    raise DirectoryUnavailable(f"{server.name}: more than {MAX_OCTETS} octets for one search", "directory_too_much")
                if len(entries) >= most:
                    break
        if is_cap and len(entries) >= most:
            raise DirectoryUnavailable(f"{server.name}: more than {most} entries for one search", "directory_too_much")
        return tuple(entries[:most])

    async def _pages(
        self, server: Server, query: "_Query", page: int, first_by: float, deadline: Callable[[], float]
    ) -> AsyncGenerator[tuple[tuple[Entry, ...], int], None]:
        """Page by page, each with its size, over a connection that has no other paged search meanwhile."""
        try:
            connection = await server.paging.take(first_by, "")
        except Overloaded as error:
            raise DirectoryUnavailable(f"{server.name}: too many searches wait", "overloaded") from error
        whole, empty = False, 0
        try:
            cookie, by = b"", first_by
            while True:
                controls = (*query.controls, messages.page_control(page, cookie)) if server.pages else query.controls
                by = min(by, self._time() + self._operation_s)
                found = await self._ask(server, connection, query, by, messages.encode_controls(controls), MAX_ENTRIES, 0)
                if found.stopped:
                    raise DirectoryUnavailable(f"{server.name}: more than {MAX_ENTRIES} entries at once", "directory_too_much")
                by = deadline()
                completed = await self._all_completed(server, connection, found, query, by)
                cookie = messages.page_cookie(found.result)
                if not cookie:
                    whole = True
                empty = 0 if completed else empty + 1
                if empty > MAX_EMPTY_PAGES:
                    raise DirectoryUnavailable(f"{server.name}: nothing but empty pages", "directory_malformed")
                yield completed, found.octets
                if whole:
                    return
                by = deadline()  # whoever reads may take his time between two pages
        finally:
            # A search that was not read to its end stays with the connection at the server.
            server.paging.give(connection, whole)

    async def _ask(
        self,
        server: Server,
        connection: Connection,
        query: "_Query",
        by: float,
        controls: bytes,
        most: int,
        limit: int,
    ) -> Found:
        """One search or one page of it."""
        began = self._time()
        request = query.request(limit, max(1, math.ceil(by - began)))
        found = await connection.search(request, by, controls, most)
        return _judged(server, found, limit, self._time() - began)

    async def _all_completed(
        self, server: Server, connection: Connection, found: Found, query: "_Query", deadline: float
    ) -> tuple[Entry, ...]:
        """The entries with all values of their ranged attributes."""
        entries = list(found.entries)
        for at, unfinished in found.unfinished.items():
            entries[at] = await self._completed(server, connection, entries[at], unfinished, query, deadline)
        return tuple(entries)

    async def _completed(
        self,
        server: Server,
        connection: Connection,
        entry: Entry,
        unfinished: Mapping[str, int],
        query: "_Query",
        deadline: float,
    ) -> Entry:
        attributes = dict(entry.attributes)
        for name, start in unfinished.items():
            attributes[name] = attributes[name] + await self._rest(server, connection, entry.dn, name, start, query, deadline)
        return Entry(entry.dn, attributes)

    async def _rest(
        self, server: Server, connection: Connection, dn: str, name: str, start: int, query: "_Query", deadline: float
    ) -> tuple[bytes, ...]:
        values: list[bytes] = []
        at: int | None = start
        controls = messages.encode_controls(query.controls)
        for _ in range(MAX_RANGES):
            asked = _Query(dn, Scope.BASE, _ANYTHING, (f"{name};range={at}-*",), query.controls)
            found = await self._ask(server, connection, asked, min(deadline, self._time() + self._operation_s), controls, 2, 0)
            if not found.entries:
                return tuple(values)
            part = found.entries[0]
            values += part.values(name)
            before, at = at, found.unfinished.get(0, {}).get(name)
            if at is None:
                return tuple(values)
            if before is None or at <= before:
                raise DirectoryUnavailable(f"{server.name}: the values of {name} do not go on", "directory_malformed")
        raise DirectoryUnavailable(f"{server.name}: too many values of {name}", "directory_too_much")

    async def stream(
        self, base: str, scope: Scope, filter_text: str, attributes: Sequence[str], *, timeout_s: float, page: int = PAGE
    ) -> AsyncGenerator[Entry, None]:
        """See LdapClient."""
        query = _Query(base, scope, encode_filter(filter_text), tuple(attributes), ())
        begun = False
        lost: DirectoryUnavailable | None = None
        deadline = self._time() + timeout_s
        servers = self._all_up(None) or await self._candidates(deadline, None)
        for at, one in enumerate(servers):
            first_by = self._share(deadline, len(servers) - at)
            try:
                async with aclosing(self._pages(one, query, page, first_by, lambda: self._time() + timeout_s)) as pages:
                    async for entries, _ in pages:
                        begun = True
                        for entry in entries:
                            yield entry
                return
            except ConnectionLost as error:
                one.health.suspect(str(error))
                lost = error
                if begun:  # another server would begin anew
                    raise
            except MessageError as error:
                raise DirectoryUnavailable(f"{one.name}: {error}", "directory_malformed") from error
        raise _nobody(lost)

    async def bind(
        self,
        dn: str,
        password: Secret,
        *,
        timeout_s: float,
        controls: Sequence[Control] = (),
        server: str | None = None,
        source: str = "",
    ) -> Result:
        """See LdapClient."""
        _no_empty_bind(dn, password)
        deadline = self._time() + timeout_s
        encoded = messages.encode_controls(controls)
        # As in `search`: what `_on_some_server` does is done here.
        lost: ConnectionLost | None = None
        servers = self._all_up(server) or await self._candidates(deadline, server)
        for at, one in enumerate(servers):
            try:
                connection = one.binds.ready() or await one.binds.take(self._share(deadline, len(servers) - at), source)
                answered = False
                try:
                    by = min(deadline, self._time() + self._operation_s)
                    result = await at_most_once(one, connection, messages.bind(dn, password.reveal()), by, encoded)
                    answered = True
                finally:
                    one.binds.give(connection, answered)
                _go_elsewhere_if_busy(one, result)
                return result
            except ConnectionLost as error:
                one.health.suspect(str(error))
                lost = error
            except MessageError as error:
                raise DirectoryUnavailable(f"{one.name}: {error}", "directory_malformed") from error
        raise _nobody(lost)

    def bound_as(
        self,
        dn: str,
        password: Secret,
        *,
        timeout_s: float,
        controls: Sequence[Control] = (),
        server: str | None = None,
        source: str = "",
    ) -> AbstractAsyncContextManager[tuple[Result, LdapSession]]:
        """See LdapClient."""
        _no_empty_bind(dn, password)
        return self._bound_as(dn, password, timeout_s, controls, server, source)

    @asynccontextmanager
    async def _bound_as(
        self, dn: str, password: Secret, timeout_s: float, controls: Sequence[Control], server: str | None, source: str
    ) -> AsyncIterator[tuple[Result, LdapSession]]:
        deadline = self._time() + timeout_s
        encoded = messages.encode_controls(controls)

        async def ask(one: Server, first_by: float) -> tuple[Result, Server, Connection]:
            connection = await one.binds.take(first_by, source)
            try:
                by = min(deadline, self._time() + self._operation_s)
                result = await at_most_once(one, connection, messages.bind(dn, password.reveal()), by, encoded)
                _go_elsewhere_if_busy(one, result)
                return result, one, connection
            except BaseException:
                one.binds.give(connection, False)
                raise

        result, one, connection = await self._on_some_server(ask, deadline, server)
        try:
            yield result, _Session(one, connection, self._operation_s)
        finally:
            one.binds.give(connection, False)

    async def modify(
        self, dn: str, changes: Sequence[Change], *, timeout_s: float, controls: Sequence[Control] = (), server: str | None = None
    ) -> Result:
        """See LdapClient."""
        return await self._write(messages.modify(dn, changes), timeout_s, controls, server)

    async def extended(
        self, oid: str, value: bytes | None, *, timeout_s: float, controls: Sequence[Control] = (), server: str | None = None
    ) -> Result:
        """See LdapClient."""
        return await self._write(messages.extended(oid, value), timeout_s, controls, server)

    async def _write(self, operation: bytes, timeout_s: float, controls: Sequence[Control], server: str | None) -> Result:
        deadline = self._time() + timeout_s

        async def ask(one: Server, first_by: float) -> Result:
            connection = await one.service.take(first_by)
            by = min(deadline, self._time() + self._operation_s)
            return await at_most_once(one, connection, operation, by, messages.encode_controls(controls))

        return await self._on_some_server(ask, deadline, server)

    async def root_dse(self, *, timeout_s: float, server: str | None = None) -> Entry:
        """See LdapClient."""

        async def ask(one: Server, first_by: float) -> Entry:
            return await one.read_root_dse(first_by)

        return await self._on_some_server(ask, self._time() + timeout_s, server)

    # --- which server ------------------------------------------------------------------------------------------------------

    async def _on_some_server(self, ask: Callable[[Server, float], Awaitable[T]], deadline: float, only: str | None) -> T:
        """Ask one server after the other until one answers."""
        lost: DirectoryUnavailable | None = None
        servers = self._all_up(only) or await self._candidates(deadline, only)
        for at, server in enumerate(servers):
            try:
                return await ask(server, self._share(deadline, len(servers) - at))
            except ConnectionLost as error:
                server.health.suspect(str(error))
                lost = error
            except MessageError as error:
                raise DirectoryUnavailable(f"{server.name}: {error}", "directory_malformed") from error
        raise _nobody(lost)

    def _share(self, deadline: float, parts: int) -> float:
        """When an answer must have begun: what is left is shared with the servers that are still to come."""
        if parts == 1:
            return deadline
        now = self._time()
        return now + (deadline - now) / parts

    def _all_up(self, only: str | None) -> list[Server] | None:
        """The servers to ask, in the usual case: all are up and known. None where more has to be looked at."""
        known = self._discovery.known()
        if only is not None or self._rotates or self._closed or known is None:
            return None
        if known is not self._listed:
            self._listed, self._list = known, [self._server(endpoint) for endpoint in known]
        for server in self._list:
            if server.health.state is not ServerState.UP:
                return None
        return self._list

    async def _candidates(self, deadline: float, only: str | None) -> list[Server]:
        """The servers to ask, in order: those that are up, then suspect ones; when all are down, those that come back meanwhile."""
        if self._closed:
            raise DirectoryUnavailable("the directory's connections are closed", "directory_closed")
        endpoints = self._discovery.known()
        if endpoints is None:
            endpoints = await self._discovery.find(deadline)
        servers = [self._server(endpoint) for endpoint in endpoints if only is None or endpoint.name == only]
        if not servers:
            raise DirectoryUnavailable(f"no server {only} is known" if only else "no server is known", "directory_unavailable")
        if only is None:
            servers = self._in_order(servers)
        for server in servers:
            server.probe()
        return [server for server in servers if server.health.state is not ServerState.DOWN] or await self._revived(
            servers, deadline
        )

    def _in_order(self, servers: list[Server]) -> list[Server]:
        """Those that are up before those that are suspect."""
        if self._rotates:
            self._turn = (self._turn + 1) % len(servers)
            servers = servers[self._turn :] + servers[: self._turn]
        return sorted(servers, key=lambda server: server.health.state is not ServerState.UP)

    async def _revived(self, servers: list[Server], deadline: float) -> list[Server]:
        """All are down: wait for the probes that run now. Without any it is too early to try, and nobody waits."""
        probes = {task for server in servers if (task := server.probe()) is not None}
        while probes:
            done, probes = await asyncio.wait(
                probes, timeout=max(0.0, deadline - self._time()), return_when=asyncio.FIRST_COMPLETED
            )
            alive = [server for server in servers if server.health.state is not ServerState.DOWN]
            if alive:
                return alive
            if not done:
                break
        raise DirectoryUnavailable("; ".join(server.health.problem for server in servers), "directory_unavailable")

    def _server(self, endpoint: Endpoint) -> Server:
        server = self._servers.get(endpoint.name)
        if server is None:
            if len(self._servers) >= MAX_REMEMBERED_SERVERS:
                self._forget_servers()
            server = Server(endpoint, self._settings, self._account, self._trust, self._clock)
            self._servers[endpoint.name] = server
        return server

    def _forget_servers(self) -> None:
        """Give up those that DNS names no more."""
        known = {endpoint.name for endpoint in self._discovery.last_known()}
        for name in [name for name in self._servers if name not in known]:
            self._servers.pop(name).close()

    def _time(self) -> float:
        """The loop's time; the loop is the one that asks first."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time()

    # --- the rest ----------------------------------------------------------------------------------------------------------

    def stick(self, key: str, server: str) -> None:
        """See LdapClient."""
        self._stuck[key] = (server, self._clock.monotonic() + STICK_S)
        self._stuck.move_to_end(key)
        if len(self._stuck) > MAX_STUCK:
            self._stuck.popitem(last=False)

    def stuck(self, key: str) -> str | None:
        """See LdapClient."""
        found = self._stuck.get(key)
        if found is None:
            return None
        name, until = found
        if self._clock.monotonic() >= until:
            del self._stuck[key]
            return None
        server = self._servers.get(name)
        if server is None or server.health.state is ServerState.DOWN:
            return None
        # One that DNS names no more is not asked any more, and its users must not wait for it.
        return name if any(endpoint.name == name for endpoint in self._discovery.last_known()) else None

    def status(self) -> tuple[ServerStatus, ...]:
        """See LdapClient."""
        found = []
        for endpoint in self._discovery.last_known():
            health = self._server(endpoint).health
            found.append(ServerStatus(endpoint.name, health.state, health.problem, health.answered_s))
        return tuple(found)

    async def close(self) -> None:
        """See LdapClient."""
        self._closed = True
        for server in self._servers.values():
            server.close()
        self._discovery.close()


class _Session:
    """Satisfies LdapSession: a connection on which a user is bound."""

    def __init__(self, server: Server, connection: Connection, operation_s: float) -> None:
        self._server = server
        self._connection = connection
        self._operation_s = operation_s

    @property
    def server(self) -> str:
        """See LdapSession."""
        return self._server.name

    async def modify(self, dn: str, changes: Sequence[Change], *, timeout_s: float, controls: Sequence[Control] = ()) -> Result:
        """See LdapSession."""
        return await self._once(messages.modify(dn, changes), timeout_s, controls)

    async def extended(self, oid: str, value: bytes | None, *, timeout_s: float, controls: Sequence[Control] = ()) -> Result:
        """See LdapSession."""
        return await self._once(messages.extended(oid, value), timeout_s, controls)

    async def _once(self, operation: bytes, timeout_s: float, controls: Sequence[Control]) -> Result:
        by = asyncio.get_running_loop().time() + min(timeout_s, self._operation_s)
        return await at_most_once(self._server, self._connection, operation, by, messages.encode_controls(controls))


async def at_most_once(server: Server, connection: Connection, operation: bytes, by: float, controls: bytes) -> Result:
    """Send what must not be sent twice. What goes wrong from here on is no reason to ask another server.

    Raises ConnectionLost where nothing was sent, DirectoryUnavailable (`outcome_unknown`) where no answer came.
    """
    if not connection.usable:
        raise ConnectionLost(f"{server.name}: {connection.problem}")
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        result = await connection.call(operation, by, controls)
    except ConnectionLost as error:
        server.health.suspect(str(error))
        raise DirectoryUnavailable(str(error), "outcome_unknown") from error
    server.health.answered(loop.time() - began)
    return result


def _judged(server: Server, found: Found, limit: int, took_s: float) -> Found:
    """What a search brought, unless the server refused it."""
    code = found.result.code
    if code == Code.SUCCESS:
        server.health.answered(took_s)
        return found
    if code in _TRY_ELSEWHERE:
        raise ConnectionLost(f"{server.name} answers {code}: {found.result.diagnostic}")
    server.health.answered(took_s)
    if code == Code.SIZE_LIMIT and 0 < limit <= len(found.entries):
        return found
    if code == Code.NO_SUCH_OBJECT:
        return Found([], Result(Code.SUCCESS, server=server.name), False, {})
    if code == Code.TIME_LIMIT:
        raise DirectoryUnavailable(f"{server.name}: the search took too long", "directory_timeout")
    raise LdapRefused(f"{server.name} refuses the search ({code}): {found.result.diagnostic}", found.result)


def _controls_of_one(server: Server, query: "_Query", limit: int) -> bytes:
    """The controls of a search that is done with one page."""
    if query.scope is Scope.BASE or not server.pages:
        return messages.encode_controls(query.controls)
    if query.controls:
        return messages.encode_controls((*query.controls, messages.page_control(limit, b"")))
    return messages.first_page(limit)


def _go_elsewhere_if_busy(server: Server, result: Result) -> None:
    """Busy and unavailable are no judgement of a password: another server may be asked."""
    if result.code in _TRY_ELSEWHERE:
        raise ConnectionLost(f"{server.name} answers {result.code}: {result.diagnostic}")


class _Query:
    """What a search looks for."""

    __slots__ = ("attributes", "base", "controls", "encoded_filter", "scope")

    def __init__(
        self, base: str, scope: Scope, encoded_filter: bytes, attributes: tuple[str, ...], controls: tuple[Control, ...]
    ) -> None:
        self.base = base
        self.scope = scope
        self.encoded_filter = encoded_filter
        self.attributes = attributes
        self.controls = controls

    def request(self, size_limit: int, time_limit_s: int) -> bytes:
        """The operation."""
        return messages.search(self.base, self.scope, self.encoded_filter, self.attributes, size_limit, time_limit_s)


def _no_empty_bind(dn: str, password: Secret) -> None:
    """RFC 4513 section 5.1.2: with an empty password a server may say yes without having checked anything."""
    if not dn or not password:
        raise UsageError("a bind without a name or without a password checks nothing", "empty_bind")


def _nobody(lost: DirectoryUnavailable | None) -> DirectoryUnavailable:
    if lost is None:
        return DirectoryUnavailable("no server could be asked in time", "directory_timeout")
    error = DirectoryUnavailable(str(lost), lost.code)
    error.__cause__ = lost
    return error
