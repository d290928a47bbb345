"""Connections to PostgreSQL: which host, with which limits, and what happens when one is lost.

A `Dialer` finds the host of the URL that takes writes. A `Line` is one place for a connection: when its connection is lost it
dials again by itself, with growing pauses, so that the database's return heals it without anybody asking; in between it
answers at once that there is none. Every wait has a deadline.
"""

import asyncio
import os
import secrets
import socket
import ssl
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from wardgate.errors import SettingsError, StorageUnavailable, UnavailableError
from wardgate.storage.settings import DatabaseSettings, hosts_of

Connection = Any  # asyncpg has no types

# When one host says nothing, the next is tried beside it after this long.
NEXT_HOST_S: Final = 0.3
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
# How long a caller waits for a connection that is being made, before it is told that there is none.
WAIT_S: Final = 2.0
# The database breaks off first, so that its connection stays of use.
MARGIN_S: Final = 0.5
CLOSE_S: Final = 1.0
MAX_PASSWORD_BYTES: Final = 4096
OLDEST_SERVER: Final = 130000
# A plan costs the database some ten to some hundred KiB for each connection.
STATEMENTS_KEPT: Final = 256

_PROBE: Final = """
SELECT current_setting('transaction_read_only'), current_setting('synchronous_commit'),
       current_setting('server_encoding'), current_setting('server_version_num')::int
"""
_SET: Final = "SELECT set_config(s.name, s.value, false) FROM unnest($1::text[], $2::text[]) AS s(name, value)"
_LOST: Final = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresConnectionError)
# What is wrong with the settings, and not with the database.
_MISSET: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


_Failure = SettingsError | UnavailableError


class NoConnection(StorageUnavailable):
    """There is no connection now. Nothing was tried."""


class NotWritable(StorageUnavailable):
    """The host answers and takes no writes: it is a standby, or was made one."""

    code = "storage_read_only"


def lost(error: BaseException) -> bool:
    """Whether the connection is gone, or nobody can tell what has become of the statement."""
    if isinstance(error, asyncpg.PostgresError):
        # 08: connection; 57P: the server goes down, or somebody ended this session.
        return str(error.sqlstate or "").startswith(("08", "57P"))
    return isinstance(error, _LOST)


def unavailable(error: BaseException, what: str = "the database failed") -> StorageUnavailable:
    """What a failure means to the asker. The message says what to do where it is known, and never holds a password."""
    state = str(getattr(error, "sqlstate", None) or "")
    if state == "53100":
        return StorageUnavailable("the disk of the database is full: free some space, writing resumes by itself", "storage_full")
    if isinstance(error, TimeoutError):
        return StorageUnavailable(f"{what}: no answer in time", "storage_timeout")
    if state == "57014":
        return StorageUnavailable(f"{what}: a statement took longer than database.statement_timeout_s", "storage_timeout")
    return StorageUnavailable(f"{what}: {_in_words(error)}")


def _in_words(error: BaseException) -> str:
    """What an operator reads: the words of the system or of the server where there are any, else the name of the error too."""
    # What is wrong with a certificate is told with a number that means something else among those of the system.
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        # Of a name that does not resolve the number is none of the system's.
        told = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno)
        return str(told).lower()
    told = str(error).split("\n", 1)[0][:200]
    if isinstance(error, asyncpg.PostgresError) and told:
        return told
    return f"{type(error).__name__}{': ' + told if told else ''}"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds."""

    connect_s: float
    statement_s: float

    @property
    def answer_s(self) -> float:
        """How long to wait for the answer to a statement."""
        return self.statement_s + MARGIN_S


class Dialer:
    """Makes connections to the first host of the URL that takes writes."""

    def __init__(self, settings: DatabaseSettings, data: Path) -> None:
        self._settings = settings
        self._password_file = data / settings.password_file if settings.password_file else None
        self._hosts = hosts_of(settings.url)
        self.limits = Limits(settings.connect_timeout_s, settings.statement_timeout_s)
        self._succeeded = asyncio.Event()
        self.successes = 0

    def reached(self) -> None:
        """A line has a connection that works: the others need not wait any longer."""
        self.successes += 1
        self._succeeded.set()
        self._succeeded = asyncio.Event()

    async def pause(self, seconds: float, successes: int) -> bool:
        """Wait so long, or until somebody has got a connection since there were so many; returns whether somebody has."""
        if self.successes == successes:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._succeeded.wait(), seconds)
        return self.successes != successes

    @property
    def name(self) -> str:
        """The hosts and the database, without user and password, for messages."""
        hosts = ",".join(f"{host}:{port}" for host, port in self._hosts)
        return f"{hosts}{urlsplit(self._settings.url).path}"

    async def dial(self) -> Connection:
        """A connection to a host that takes writes. Raises SettingsError, StorageUnavailable."""
        password = self._password()
        waiting = list(self._hosts)
        tries: set[_Try] = set()
        errors: list[Exception] = []
        try:
            while waiting or tries:
                if waiting:
                    host, port = waiting.pop(0)
                    tries.add(asyncio.ensure_future(self._try(host, port, password)))
                pause = NEXT_HOST_S if waiting else None
                done, tries = await asyncio.wait(tries, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                found = [task.result() for task in done if task.exception() is None]
                errors += [error for task in done if isinstance(error := task.exception(), Exception)]
                for spare, _ in found[1:]:
                    _end(spare)
                if found:
                    connection, address = found[0]
                    # The host that took writes last is tried first.
                    self._hosts.sort(key=lambda host: host != address)
                    return connection
        finally:
            await _give_up(tries)
        raise self._best(errors)

    async def _try(self, host: str, port: int, password: str | None) -> tuple[Connection, tuple[str, int]]:
        where = f"the database at {host}:{port}"
        connection = None
        try:
            # The limit of asyncpg does not cover everything: a host that takes the connection and says nothing is left as well.
            async with asyncio.timeout(self.limits.connect_s):
                connection = await self._connect(host, port, password)
                await self._check(connection, where)
        except BaseException as error:
            if connection is not None:
                _end(connection)
            if isinstance(error, Exception) and (meant := _meant(error, host, where)) is not None:
                raise meant from error
            raise
        return connection, (host, port)

    async def _connect(self, host: str, port: int, password: str | None) -> Connection:
        given: dict[str, Any] = {} if password is None else {"password": password}
        return await asyncpg.connect(
            self._settings.url,
            host=host,
            port=port,
            timeout=self.limits.connect_s,
            statement_cache_size=STATEMENTS_KEPT,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
            server_settings={"application_name": "wardgate"},
            **given,
        )

    def _session_settings(self) -> dict[str, str]:
        statement_ms = self._settings.statement_timeout_s * 1000
        return {
            "statement_timeout": str(statement_ms),
            "lock_timeout": str(max(statement_ms // 2, 500)),
            "idle_in_transaction_session_timeout": str(2 * statement_ms),
            "default_transaction_isolation": "read committed",
            # A node that was cut off must not keep its locks.
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": "15000",
            # Every statement of ours finds its rows by an index. Plans are made once and must not depend on how large a table
            # was at that moment.
            "plan_cache_mode": "force_generic_plan",
            "enable_seqscan": "off",
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
            "jit": "off",
        }

    async def _check(self, connection: Connection, where: str) -> None:
        # Not in the start packet: poolers refuse what they do not know there.
        settings = self._session_settings()
        await connection.execute(_SET, list(settings), list(settings.values()))
        read_only, synchronous, encoding, version = await connection.fetchrow(_PROBE)
        if version < OLDEST_SERVER:
            raise SettingsError(f"{where} is PostgreSQL {version // 10000}: use {OLDEST_SERVER // 10000} or later")
        if encoding != "UTF8":
            raise SettingsError(f"{where} has the encoding {encoding}: create the database with ENCODING 'UTF8'")
        if synchronous == "off":
            raise SettingsError(
                f"{where} has synchronous_commit = off, and may forget a used code in a crash: "
                "set it to on (ALTER ROLE ... SET synchronous_commit = on), and take it out of database.url"
            )
        if read_only == "on":
            raise NotWritable(f"{where} takes no writes: it is a standby")

    def _password(self) -> str | None:
        if self._password_file is None:
            return None
        try:
            with self._password_file.open("rb") as file:
                mode, content = os.fstat(file.fileno()).st_mode, file.read(MAX_PASSWORD_BYTES + 1)
        except OSError as error:
            raise SettingsError(f"database.password_file: {self._password_file} cannot be read: {error.strerror}") from error
        if stat.S_IMODE(mode) & 0o077:
            raise SettingsError(f"database.password_file: {self._password_file} can be read by others: chmod 600 it")
        if len(content) > MAX_PASSWORD_BYTES:
            raise SettingsError(f"database.password_file: {self._password_file} is larger than {MAX_PASSWORD_BYTES} bytes")
        try:
            return content.decode().strip("\r\n")
        except UnicodeDecodeError as error:
            raise SettingsError(f"database.password_file: {self._password_file} is not text in UTF-8") from error

    def _best(self, errors: list[Exception]) -> Exception:
        """The failure that says most: a wrong setting rather than a host that is down."""
        for kind in (SettingsError, NotWritable, StorageUnavailable):
            for error in errors:
                if isinstance(error, kind):
                    return error
        return errors[0]


def _meant(error: Exception, host: str, where: str) -> _Failure | None:
    """What a failed attempt means; None for what is neither the settings' nor the database's fault."""
    if isinstance(error, asyncpg.ClientConfigurationError):
        return SettingsError(f"database.url: {_first_line(error)}")
    if isinstance(error, _MISSET):
        return SettingsError(f"{where} refused the login: {_first_line(error)}")
    if isinstance(error, FileNotFoundError | PermissionError) and not host.startswith("/"):
        return SettingsError(f"database.url: a file with a certificate or key cannot be read: {error.strerror}")
    # Before ValueError: a certificate that does not fit is both.
    if isinstance(error, OSError | TimeoutError | asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return unavailable(error, where)
    if isinstance(error, ValueError):
        # The text of the error may quote the URL, and with it a password.
        return SettingsError("database.url: cannot be read as postgresql://USER@HOST/NAME")
    return None


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:200]


_Try = asyncio.Task[tuple[Connection, tuple[str, int]]]


async def _give_up(tries: set[_Try]) -> None:
    """End the attempts that are not needed any more."""
    for task in tries:
        task.cancel()
    for outcome in await asyncio.gather(*tries, return_exceptions=True):
        if not isinstance(outcome, BaseException):
            _end(outcome[0])


class Line:
    """One place for a connection. `prepare` is run on each connection before anybody gets it."""

    def __init__(self, dialer: Dialer, prepare: Callable[[Connection], Awaitable[None]] | None = None) -> None:
        self._dialer = dialer
        self._prepare = prepare
        self._connection: Connection = None
        self._dialing: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._failure: _Failure | None = None
        self._closed = False

    @property
    def ready(self) -> bool:
        """Whether it has a connection now."""
        return self._connection is not None and not self._connection.is_closed()

    async def connect(self) -> None:
        """Make the first connection. Raises SettingsError, StorageUnavailable."""
        await self._dial()

    async def connection(self) -> Connection:
        """The connection. Raises StorageUnavailable, at once while the database is known to be away."""
        present = self._connection
        if present is not None and not present.is_closed():
            return present
        self.drop(present)
        if self._closed:
            raise NoConnection("the storage is closed")
        if self._failure is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), WAIT_S)
        if self._connection is not None:
            return self._connection
        failure = self._failure
        raise NoConnection(failure.message, failure.code) if failure else NoConnection("no connection to the database yet")

    def drop(self, connection: Connection) -> None:
        """This connection is of no use any more: dial again. Does nothing when another one is in its place already."""
        if connection is not None:
            _end(connection)
        if connection is not self._connection:
            return
        self._connection = None
        if not self._closed and self._dialing is None:
            self._failure = None
            self._news.clear()
            self._dialing = asyncio.ensure_future(self._redial())

    def renew(self) -> None:
        """Dial again: the host at the other end is not the right one any more."""
        self.drop(self._connection)

    async def close(self) -> None:
        """Let go of the connection."""
        self._closed = True
        if self._dialing is not None:
            self._dialing.cancel()
            await asyncio.gather(self._dialing, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=CLOSE_S)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                _end(connection)

    async def _dial(self) -> None:
        connection = await self._dialer.dial()
        try:
            if self._prepare is not None:
                await self._prepare(connection)
        except BaseException:
            _end(connection)
            raise
        connection.add_termination_listener(self.drop)
        self._connection = connection
        self._dialer.reached()

    async def _redial(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            successes = self._dialer.successes
            try:
                await self._dial()
            except (SettingsError, UnavailableError) as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - whatever it was, a line that gave up would never heal
                self._failure = unavailable(error)
            else:
                self._failure, self._dialing = None, None
                self._news.set()
                return
            self._news.set()
            # Not all workers and nodes at the same moment.
            back = await self._dialer.pause(pause * (0.5 + secrets.randbelow(1000) / 2000), successes)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            if back:
                # The database is back: whoever asks now waits for the connection that is being made.
                self._failure = None
                self._news.clear()


def _end(connection: Connection) -> None:
    """End a connection without a word to the other side, which may not listen."""
    with suppress(asyncpg.InterfaceError, OSError):
        connection.terminate()
