"""Which servers there are: those that the settings name, and those that DNS names for a domain."""

import asyncio
from collections.abc import Sequence
from typing import Final

from wardgate.clock import Clock
from wardgate.directory.ldap import srv
from wardgate.directory.ldap.endpoints import LDAP_PORT, LDAPS_PORT, Endpoint, SrvDomain, endpoint, parse_server
from wardgate.errors import DirectoryUnavailable, SettingsError

REFRESH_S: Final = 300.0
RETRY_S: Final = 10.0
MAX_SERVERS: Final = 32
_GLOBAL_CATALOGUE: Final = {3268: 3269}


class Discovery:
    """Remembers what DNS said, and goes on with it while DNS does not answer."""

    def __init__(self, servers: Sequence[str], clock: Clock) -> None:
        self._clock = clock
        self._named: list[Endpoint | SrvDomain] = []
        for url in servers:
            try:
                self._named.append(parse_server(url))
            except ValueError as error:
                raise SettingsError(f"servers: {error}") from error
        static = [each for each in self._named if isinstance(each, Endpoint)]
        self._known: tuple[Endpoint, ...] = tuple(static)
        self._asks = len(static) != len(self._named)
        self._ask_at = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._answers: dict[str, tuple[Endpoint, ...]] = {}
        self._problem = ""

    def known(self) -> tuple[Endpoint, ...] | None:
        """The servers, in order; None where DNS has to be asked first. Asks again beside, when it was long ago."""
        if not self._asks:
            return self._known
        if self._clock.monotonic() >= self._ask_at:
            self._begin()
        return self._known or None

    def last_known(self) -> tuple[Endpoint, ...]:
        """The same, without asking anybody."""
        return self._known

    async def find(self, deadline: float) -> tuple[Endpoint, ...]:
        """The servers, once DNS has answered. Raises DirectoryUnavailable."""
        asking = self._asking
        if asking is not None:
            await asyncio.wait({asking}, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        if not self._known:
            raise DirectoryUnavailable(f"no server is known: {self._problem or 'DNS did not answer in time'}", "directory_dns")
        return self._known

    def close(self) -> None:
        """Stop asking."""
        if self._asking is not None:
            self._asking.cancel()

    def _begin(self) -> None:
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._asked)

    def _asked(self, task: "asyncio.Task[None]") -> None:
        self._asking = None

    async def _ask(self) -> None:
        """All domains. One that cannot be asked, or for which nothing usable comes, keeps the servers that it had."""
        wait_s = REFRESH_S
        for each in self._named:
            if isinstance(each, SrvDomain):
                try:
                    named = secured(each.domain, await srv.resolve(f"_ldap._tcp.{each.domain}"))
                except srv.ResolverFailed as error:
                    self._problem, wait_s = str(error), RETRY_S
                    continue
                if named:
                    self._answers[each.domain] = named
                else:
                    self._problem, wait_s = f"DNS names no server inside {each.domain}", RETRY_S
        found: dict[str, Endpoint] = {}
        for each in self._named:
            for one in (each,) if isinstance(each, Endpoint) else self._answers.get(each.domain, ()):
                found.setdefault(one.name, one)
        self._known = tuple(found.values())[:MAX_SERVERS]
        self._ask_at = self._clock.monotonic() + wait_s


def secured(domain: str, targets: Sequence[srv.Target]) -> tuple[Endpoint, ...]:
    """Where to speak LDAPS to what DNS named. Answers of DNS can be forged: what lies outside the domain is left out, or a server

    of anybody whom the authority certified would be sent our users' passwords. Domain controllers announce the port for clear
    text only; theirs for TLS is the well-known one.
    """
    inside = [target for target in targets if target.host == domain or target.host.endswith(f".{domain}")]
    ports = {LDAP_PORT: LDAPS_PORT} | _GLOBAL_CATALOGUE
    return tuple(endpoint(target.host, ports.get(target.port, target.port)) for target in inside)
