"""Searches with one budget of time for all of them, and with refusals told as what they are: the directory cannot be used."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from wardgate.clock import Clock
from wardgate.directory.ldap.port import Code, Entry, LdapClient, LdapRefused, Scope
from wardgate.errors import DirectoryUnavailable

REFERRAL: Final = 10
_CURES: Final[dict[int, str]] = {
    REFERRAL: "`base` belongs to another domain",
    Code.INSUFFICIENT_ACCESS: "our account may not read there; give it the right to read",
    Code.OPERATIONS_ERROR: "our account is not bound; look at `bind.dn` and its password",
    Code.INVALID_DN: "a DN in the settings is malformed",
}


class Budget:
    """The time that all steps of one call may take together."""

    def __init__(self, directory: str, clock: Clock, timeout_s: float) -> None:
        self._directory = directory
        self._clock = clock
        self._timeout_s = timeout_s
        self._until = clock.monotonic() + timeout_s

    def left_s(self) -> float:
        """What is left of it. Raises DirectoryUnavailable when nothing is."""
        left = self._until - self._clock.monotonic()
        if left <= 0:
            raise DirectoryUnavailable(f"directory {self._directory} did not answer within {self._timeout_s:g} s")
        return left


class Reader:
    """Searches of one directory. `client` is what everything else uses."""

    def __init__(self, directory: str, client: LdapClient, clock: Clock) -> None:
        self.directory = directory
        self.client = client
        self.clock = clock

    def budget(self, timeout_s: float) -> Budget:
        """A budget that begins now."""
        return Budget(self.directory, self.clock, timeout_s)

    async def entries(
        self,
        base: str,
        scope: Scope,
        filter_text: str,
        attributes: Sequence[str],
        budget: Budget,
        *,
        limit: int = 0,
        server: str | None = None,
    ) -> tuple[Entry, ...]:
        """All entries. A refusal is DirectoryUnavailable with what to do."""
        try:
            return await self.client.search(
                base, scope, filter_text, attributes, timeout_s=budget.left_s(), limit=limit, server=server
            )
        except LdapRefused as error:
            raise self._refused(base, error) from error

    async def stream(
        self, base: str, filter_text: str, attributes: Sequence[str], timeout_s: float, page: int
    ) -> AsyncGenerator[Entry, None]:
        """All entries below `base`, read page by page. `timeout_s`: for each page. Whoever stops early closes it."""
        try:
            async with aclosing(
                self.client.stream(base, Scope.SUBTREE, filter_text, attributes, timeout_s=timeout_s, page=page)
            ) as entries:
                async for entry in entries:
                    yield entry
        except LdapRefused as error:
            raise self._refused(base, error) from error

    def _refused(self, base: str, error: LdapRefused) -> DirectoryUnavailable:
        problem = _CURES.get(error.result.code, f"LDAP result {error.result.code}")
        return DirectoryUnavailable(f"directory {self.directory} refuses to search under {base}: {problem}")

    async def entry(
        self, base: str, filter_text: str, attributes: Sequence[str], budget: Budget, *, server: str | None = None
    ) -> Entry | None:
        """The entry that `base` names, if it is there and matches."""
        found = await self.entries(base, Scope.BASE, filter_text, attributes, budget, limit=1, server=server)
        return found[0] if found else None
