"""One server: its health, its two pools and its root DSE."""

import asyncio
import math
from typing import Final

from wardgate.clock import Clock
from wardgate.crypto import Secret
from wardgate.directory.kind import DirectoryParts
from wardgate.directory.ldap import messages
from wardgate.directory.ldap.connection import Connection, ConnectionLost, connect
from wardgate.directory.ldap.endpoints import Endpoint
from wardgate.directory.ldap.filters import encode_filter
from wardgate.directory.ldap.health import Health
from wardgate.directory.ldap.pools import PROBE, BindPool, ServicePool
from wardgate.directory.ldap.port import Code, Entry, Scope
from wardgate.directory.ldap.settings import LdapSettings
from wardgate.directory.ldap.tls import Trust
from wardgate.errors import DirectoryUnavailable, SettingsError

ROOT_DSE_S: Final = 300.0
REFUSED_AGAIN_S: Final = (60.0, 1800.0)
"""When a refused password is tried again: directories lock after some wrong ones in some minutes, and each worker tries."""
_TRY_ELSEWHERE: Final = frozenset({Code.BUSY, Code.UNAVAILABLE})
_ANYTHING: Final = encode_filter("(objectClass=*)")


class ServiceAccount:
    """Who binds service connections, and for how long not to, once a server said that the password is wrong."""

    def __init__(self, settings: LdapSettings, parts: DirectoryParts) -> None:
        self._bind = settings.bind
        self._secret = parts.secret
        self._clock = parts.clock
        self._refused: Secret | None = None
        self._refusals = 0
        self._not_before = 0.0
        self._problem = ""

    @property
    def dn(self) -> str:
        """Its name."""
        return self._bind.dn

    def password(self) -> Secret:
        """What to bind with now. Raises DirectoryUnavailable; also while the same password was refused a short while ago."""
        try:
            password = self._secret(self._bind.password)
        except SettingsError as error:
            raise DirectoryUnavailable(f"the service account's password cannot be had: {error}", "directory_account") from error
        if not password:
            raise DirectoryUnavailable("the service account's password is empty", "directory_account")
        if password == self._refused and self._clock.monotonic() < self._not_before:
            raise DirectoryUnavailable(self._problem, "directory_account")
        return password

    def accepted(self) -> None:
        """A server let it in."""
        self._refused, self._refusals = None, 0

    def refused(self, password: Secret, problem: str) -> None:
        """A server did not. Another password is tried at once."""
        self._refusals = self._refusals + 1 if password == self._refused else 1
        self._refused, self._problem = password, problem
        self._not_before = self._clock.monotonic() + REFUSED_AGAIN_S[min(self._refusals, len(REFUSED_AGAIN_S)) - 1]


class Server:
    """What belongs to one server. Connections are made with the limits of the settings, whoever waits for them."""

    def __init__(self, endpoint: Endpoint, settings: LdapSettings, account: ServiceAccount, trust: Trust, clock: Clock) -> None:
        self.endpoint = endpoint
        self.name = endpoint.name
        self.health = Health(clock)
        self._connect_s = settings.timeouts.connect_s
        self._operation_s = settings.timeouts.operation_s
        self._account = account
        self._trust = trust
        self._clock = clock
        self._root_dse: tuple[float, Entry] | None = None
        self.pages = False
        """Whether the root DSE lists the paging control; read when a service connection is opened."""
        self._probing: asyncio.Task[None] | None = None
        self.service = ServicePool(self._open_service, clock)
        # Paged searches are told apart by the connection they run on (OpenLDAP), so each has one for itself.
        self.paging = BindPool(2, self._open_service, clock)
        self.binds = BindPool(settings.connections, self._open, clock)

    # --- connections -------------------------------------------------------------------------------------------------------

    async def _open(self) -> Connection:
        try:
            context = await asyncio.to_thread(self._trust.context)
            return await connect(self.endpoint, context, asyncio.get_running_loop().time() + self._connect_s)
        except ConnectionLost as error:
            self.health.failed(str(error))
            raise

    async def _open_service(self) -> Connection:
        password = self._account.password()
        connection = await self._open()
        began = self._loop_time()
        try:
            result = await connection.call(messages.bind(self._account.dn, password.reveal()), began + self._operation_s)
            took_s = self._loop_time() - began
            if result.good:
                self._account.accepted()
                await self._read_root_dse(connection)
                self.health.answered(took_s)
                return connection
        except BaseException as error:
            connection.abort()
            if isinstance(error, ConnectionLost):
                self.health.failed(str(error))
            raise
        connection.close()
        problem = f"{self.name} does not let the service account in ({result.code}): {result.diagnostic}"
        if result.code in _TRY_ELSEWHERE:
            self.health.failed(problem)
            raise ConnectionLost(problem)
        self._account.refused(password, problem)
        raise DirectoryUnavailable(problem, "directory_account")

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()

    # --- root DSE ----------------------------------------------------------------------------------------------------------

    def root_dse(self) -> Entry | None:
        """What was read of it not long ago."""
        known = self._root_dse
        return known[1] if known is not None and self._clock.monotonic() - known[0] < ROOT_DSE_S else None

    async def read_root_dse(self, deadline: float) -> Entry:
        """Read it anew where it is not fresh."""
        known = self.root_dse()
        if known is not None:
            return known
        return await self._read_root_dse(await self.service.take(deadline), deadline)

    async def _read_root_dse(self, connection: Connection, deadline: float = math.inf) -> Entry:
        known = self.root_dse()
        if known is not None:
            return known
        deadline = min(deadline, self._loop_time() + self._operation_s)
        request = messages.search("", Scope.BASE, _ANYTHING, ("*", "+"))
        found = await connection.search(request, deadline, most=2)
        entry = found.entries[0] if found.entries else Entry("", {})
        self._root_dse = (self._clock.monotonic(), entry)
        self.pages = messages.PAGED_RESULTS in entry.texts("supportedcontrol")
        return entry

    # --- probes ------------------------------------------------------------------------------------------------------------

    def probe(self) -> "asyncio.Task[None] | None":
        """Begin to try it again, or join who does; None when it is too early for that."""
        if self._probing is None and self.health.probe_due():
            self._probing = asyncio.create_task(self._probe())
            self._probing.add_done_callback(self._probed)
        return self._probing

    def _probed(self, task: "asyncio.Task[None]") -> None:
        self._probing = None

    async def _probe(self) -> None:
        try:
            connection = await self._open()
        except DirectoryUnavailable as error:
            if not isinstance(error, ConnectionLost):
                self.health.failed(str(error))
            return
        began = self._loop_time()
        try:
            found = await connection.search(PROBE, began + self._operation_s)
        except DirectoryUnavailable as error:
            self.health.failed(str(error))
            connection.abort()
            return
        connection.close()
        # Any answer will do: a hardened server refuses everything to the nameless.
        if found.result.code in _TRY_ELSEWHERE:
            self.health.failed(f"{self.name} answers {found.result.code}: {found.result.diagnostic}")
        else:
            self.health.answered(self._loop_time() - began)

    def close(self) -> None:
        """Give up all connections."""
        if self._probing is not None:
            self._probing.cancel()
        self.service.close()
        self.paging.close()
        self.binds.close()
