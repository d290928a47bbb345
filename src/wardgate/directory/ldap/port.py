"""What an LDAP directory asks for: operations over all servers of one configuration.

Attribute names in entries are lower case, values are bytes. A refusal of the server is a value (`Result`) where it can be part of
the work (bind, modify, extended), and LdapRefused where it cannot (search). Every call takes the time that it may have; what is not
answered in it, by any server that may be asked, raises DirectoryUnavailable.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from wardgate.crypto import Secret
from wardgate.directory.port import ServerState as ServerState
from wardgate.directory.port import ServerStatus as ServerStatus
from wardgate.errors import WardgateError
from wardgate.values import quick_value


class Code(IntEnum):
    """Result codes that we act on (RFC 4511 appendix A)."""

    SUCCESS = 0
    OPERATIONS_ERROR = 1
    PROTOCOL_ERROR = 2
    TIME_LIMIT = 3
    SIZE_LIMIT = 4
    STRONGER_AUTH_REQUIRED = 8
    UNAVAILABLE_CRITICAL_EXTENSION = 12
    CONFIDENTIALITY_REQUIRED = 13
    NO_SUCH_ATTRIBUTE = 16
    CONSTRAINT_VIOLATION = 19
    NO_SUCH_OBJECT = 32
    INVALID_DN = 34
    INVALID_CREDENTIALS = 49
    INSUFFICIENT_ACCESS = 50
    BUSY = 51
    UNAVAILABLE = 52
    UNWILLING = 53


class Scope(IntEnum):
    """How far below the base a search looks."""

    BASE = 0
    ONE = 1
    SUBTREE = 2


class ChangeKind(IntEnum):
    """What a modification does with the values of an attribute."""

    ADD = 0
    DELETE = 1
    REPLACE = 2


@dataclass(frozen=True, slots=True)
class Control:
    """A control, either way (RFC 4511 section 4.1.11)."""

    oid: str
    critical: bool = False
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One modification. `values` never show in a log or a repr: one of them may be a password."""

    kind: ChangeKind
    attribute: str
    values: tuple[bytes, ...] = field(default=(), repr=False)


@quick_value
class Entry:
    """An entry: its DN as the server wrote it, and attributes by lower-case name (options such as `;binary` cut off)."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]

    def values(self, name: str) -> tuple[bytes, ...]:
        """All values of an attribute; none when it is absent."""
        found = self.attributes.get(name)
        return self.attributes.get(name.lower(), ()) if found is None else found

    def texts(self, name: str) -> tuple[str, ...]:
        """The values that are UTF-8."""
        values = self.values(name)
        if not values:
            return ()
        found = []
        for value in values:
            try:
                found.append(value.decode())
            except UnicodeDecodeError:
                continue
        return tuple(found)

    def text(self, name: str) -> str | None:
        """The first value."""
        for value in self.values(name):
            try:
                return value.decode()
            except UnicodeDecodeError:
                continue
        return None

    def number(self, name: str) -> int | None:
        """The first value as a number; None when it is absent or none."""
        text = self.text(name)
        try:
            return int(text) if text is not None and len(text) <= 20 else None
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Result:
    """How an operation ended. `value`: of an extended response. `server`: which one answered, as `host:port`."""

    code: int
    diagnostic: str = ""
    matched_dn: str = ""
    controls: tuple[Control, ...] = ()
    value: bytes | None = None
    server: str = ""

    @property
    def good(self) -> bool:
        """Whether the operation was done."""
        return self.code == Code.SUCCESS

    def control(self, oid: str) -> Control | None:
        """The response control with this OID."""
        return next((each for each in self.controls if each.oid == oid), None)


class LdapRefused(WardgateError):
    """The server answered, and will not do what was asked."""

    code = "ldap_refused"

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


class LdapSession(Protocol):
    """One connection on which somebody is bound. Only the holder uses it, and it is never used for anybody else's search."""

    @property
    def server(self) -> str:
        """Which one it is connected to."""
        ...

    async def modify(self, dn: str, changes: Sequence[Change], *, timeout_s: float, controls: Sequence[Control] = ()) -> Result:
        """Modify as who is bound here. Not repeated elsewhere."""
        ...

    async def extended(self, oid: str, value: bytes | None, *, timeout_s: float, controls: Sequence[Control] = ()) -> Result:
        """An extended operation as who is bound here. Not repeated elsewhere."""
        ...


class LdapClient(Protocol):
    """All servers of one directory, behind one face.

    Searches go over connections of the service account; another server is asked after a transport error, busy (51) or unavailable
    (52), within the same time. `server` (as `host:port`): only this one. Binds of users have connections of their own, and a bind
    that may have reached a server is not sent to a second one: a wrong password would count twice. Modifications go to one server
    and are never repeated: when no answer comes, DirectoryUnavailable has `code` `outcome_unknown`.
    """

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
        """All entries, paged where there may be many; at most `limit` when it is not 0. Ranged attributes are completed,
        continuation references ignored. A base that does not exist gives none. Raises LdapRefused for every other refusal."""
        ...

    def stream(
        self, base: str, scope: Scope, filter_text: str, attributes: Sequence[str], *, timeout_s: float, page: int = 500
    ) -> AsyncGenerator[Entry, None]:
        """The same page by page, for as many as there are; `timeout_s` is for each page. Whoever stops early closes it."""
        ...

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
        """Check a password by a simple bind. Raises UsageError for an empty DN or password: that would be no check at all.

        `source`: on whose behalf; where binds have to wait for a connection, sources take turns. Overloaded when too many wait.
        """
        ...

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
        """A bind whose connection can be used while the block lasts; it is closed afterwards."""
        ...

    async def modify(
        self, dn: str, changes: Sequence[Change], *, timeout_s: float, controls: Sequence[Control] = (), server: str | None = None
    ) -> Result:
        """Modify as the service account."""
        ...

    async def extended(
        self, oid: str, value: bytes | None, *, timeout_s: float, controls: Sequence[Control] = (), server: str | None = None
    ) -> Result:
        """An extended operation as the service account."""
        ...

    async def root_dse(self, *, timeout_s: float, server: str | None = None) -> Entry:
        """The root DSE with its operational attributes, remembered per server for some minutes."""
        ...

    def stick(self, key: str, server: str) -> None:
        """From now on, for some minutes, `stuck(key)` is this server: what was written there is read there."""
        ...

    def stuck(self, key: str) -> str | None:
        """The server to which this key sticks, while it is up."""
        ...

    def status(self) -> tuple[ServerStatus, ...]:
        """Every server that is known, in order."""
        ...

    async def close(self) -> None:
        """Give up all connections."""
        ...
