"""PostgreSQL through asyncpg. Values travel beside the statement, in the types that the server asks for."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

import asyncpg

from wardgate.directory.port import RightMissing, ServerStatus
from wardgate.directory.sql.address import Engine, Host
from wardgate.directory.sql.engines.connecting import MAX_WORDS, Connecting, in_words
from wardgate.directory.sql.engines.engine import Facts, Result, Values, Writing
from wardgate.directory.sql.engines.pool import BrokenConnection, Dialled, Driver, Pool
from wardgate.directory.sql.statements import Statement, quoted, quoted_table
from wardgate.directory.sql.values import flag, text, written_moment
from wardgate.errors import DirectoryUnavailable, WardgateError

# Different statements of one directory: a few of our own, and what the operator wrote.
MAX_PREPARED: Final = 64
_SET: Final = "SELECT set_config(s.name, s.value, false) FROM unnest($1::text[], $2::text[]) AS s(name, value)"
_FACTS: Final = (
    "SELECT current_setting('server_version'), current_user::text, "
    "(SELECT version || ' ' || cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl)"
)
_TYPES: Final = (
    "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a "
    "WHERE a.attrelid = to_regclass($1) AND NOT a.attisdropped"
)
_SSL_REQUEST: Final = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
_INTEGERS: Final = frozenset({"int2", "int4", "int8", "oid", "xid"})


class Unfit(ValueError):
    """No column of this type can hold the value."""


class _Connection:
    """A connection with the statements that it knows."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self._prepared: dict[Statement, tuple[Any, tuple[str, ...]]] = {}

    async def prepared(self, statement: Statement) -> tuple[Any, tuple[str, ...]]:
        """The prepared statement and the types of its values."""
        known = self._prepared.get(statement)
        if known is None:
            made = await self.raw.prepare(statement.render(lambda at: f"${at + 1}"))
            known = made, tuple(str(each.name) for each in made.get_parameters())
            if len(self._prepared) >= MAX_PREPARED:
                self._prepared.clear()
            self._prepared[statement] = known
        return known


class PostgresqlEngine:
    """A database of PostgreSQL. Satisfies SqlEngine."""

    def __init__(self, connecting: Connecting) -> None:
        self._connecting = connecting
        driver = Driver(self._dial, self._end, self._leave, lambda connection: not connection.raw.is_closed(), _meant)
        self._pool: Pool[_Connection] = Pool(connecting.name, connecting.address.hosts, connecting.limits, connecting.clock, driver)

    async def run(self, statement: Statement, values: Values, timeout_s: float) -> Result:
        """Run a statement."""
        given = [values[name] for name in statement.names]

        async def work(connection: _Connection) -> Result:
            try:
                prepared, types = await connection.prepared(statement)
                fitted = [fit(value, kind, self._connecting.writing) for value, kind in zip(given, types, strict=True)]
                if statement.writes:
                    return await _written(connection.raw, prepared, fitted)
                rows = await prepared.fetch(*fitted)
            except Unfit:
                if statement.writes:
                    raise self._unavailable("a value does not fit the type of its column") from None
                return Result()
            except Exception as error:
                if not statement.writes and _cannot_be_there(error):
                    return Result()
                raise self._failure(error, again=not statement.writes) from error
            columns = tuple(str(each.name) for each in prepared.get_attributes())
            return Result(columns, [tuple(row) for row in rows])

        return await self._pool.use(work, timeout_s)

    async def facts(self, timeout_s: float) -> Facts:
        """Who answers, and how we are connected."""

        async def work(connection: _Connection) -> Facts:
            version, account, encrypted = tuple((await self._asked(connection, _FACTS))[0])
            return Facts(f"PostgreSQL {version}", account, encrypted or "", _where(connection))

        return await self._pool.use(work, timeout_s)

    async def types(self, table: str, timeout_s: float) -> Mapping[str, str]:
        """The columns of a table or view with their types."""

        async def work(connection: _Connection) -> Mapping[str, str]:
            rows = await self._asked(connection, _TYPES, quoted_table(table, Engine.POSTGRESQL))
            return dict(rows)

        return await self._pool.use(work, timeout_s)

    async def plan(self, statement: Statement, values: Values, timeout_s: float) -> tuple[bool, str]:
        """A small table is read as a whole whatever indexes it has; here it is planned as if that were dear."""
        given = [values[name] for name in statement.names]

        async def work(connection: _Connection) -> tuple[bool, str]:
            try:
                _, types = await connection.prepared(statement)
                fitted = [fit(value, kind, self._connecting.writing) for value, kind in zip(given, types, strict=True)]
                async with connection.raw.transaction():
                    await connection.raw.execute("SET LOCAL enable_seqscan = off")
                    explain = "EXPLAIN (FORMAT JSON) " + statement.render(lambda at: f"${at + 1}")
                    told = await connection.raw.fetchval(explain, *fitted)
            except Unfit:
                return False, "the name does not fit the type of its column"
            except Exception as error:
                raise self._failure(error, again=True) from error
            scans = sorted(set(_nodes(json.loads(told))))
            return "Seq Scan" not in scans, ", ".join(scans)

        return await self._pool.use(work, timeout_s)

    def grants(self, table: str, columns: Sequence[str], account: str) -> tuple[str, ...]:
        """The lines that give the right to update these columns."""
        names = ", ".join(quoted(column, Engine.POSTGRESQL) for column in columns)
        where, whom = quoted_table(table, Engine.POSTGRESQL), quoted(account, Engine.POSTGRESQL)
        return (f"GRANT UPDATE ({names}) ON {where} TO {whom};",)

    def servers(self) -> tuple[ServerStatus, ...]:
        """What we hold of each server."""
        return self._pool.servers()

    async def close(self) -> None:
        """Give up all connections."""
        await self._pool.close()

    async def _asked(self, connection: _Connection, sql: str, *values: Any) -> Any:
        try:
            return await connection.raw.fetch(sql, *values)
        except Exception as error:
            raise self._failure(error, again=True) from error

    # --- connections -----------------------------------------------------------------------------------------------------

    async def _dial(self, host: Host) -> Dialled[_Connection]:
        settings, tls = self._connecting.settings, self._connecting.tls(host)
        if tls is None:
            await _speaks_postgresql(host)
        raw = await asyncpg.connect(
            host=host.name,
            port=host.port,
            user=self._connecting.address.user,
            password=self._connecting.password().decode("utf-8", "surrogateescape"),
            database=self._connecting.address.database,
            ssl=tls or False,
            timeout=self._connecting.limits.connect_s,
            statement_cache_size=0,
            server_settings={"application_name": "wardgate"},
        )
        try:
            limit_ms = int(self._connecting.limits.operation_s * 1000)
            session = {
                "statement_timeout": str(limit_ms),
                "lock_timeout": str(limit_ms),
                "idle_in_transaction_session_timeout": str(2 * limit_ms),
                "tcp_user_timeout": "15000",
                **({"default_transaction_read_only": "on"} if settings.read_only else {}),
            }
            await raw.execute(_SET, list(session), list(session.values()))
            standby = await raw.fetchval("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'")
        except BaseException:
            raw.terminate()
            raise
        return Dialled(_Connection(raw), writable=settings.read_only or not standby)

    @staticmethod
    def _end(connection: _Connection) -> None:
        if not connection.raw.is_closed():
            connection.raw.terminate()

    @staticmethod
    async def _leave(connection: _Connection) -> None:
        await connection.raw.close(timeout=1.0)

    # --- failures --------------------------------------------------------------------------------------------------------

    def _failure(self, error: Exception, again: bool) -> Exception:
        if isinstance(error, WardgateError):
            return error
        meant = self._meant(error)
        state = str(getattr(error, "sqlstate", None) or "")
        # A standby, or a pooler that does not keep what was prepared: nothing was done. Or the table was altered under it.
        if state in ("25006", "26000"):
            return BrokenConnection(meant, True)
        altered = isinstance(error, asyncpg.InvalidCachedStatementError)
        if isinstance(error, asyncpg.PostgresError) and not altered and not state.startswith(("08", "57P")):
            return meant
        return BrokenConnection(meant, again)

    def _meant(self, error: Exception) -> WardgateError:
        if isinstance(error, asyncpg.InsufficientPrivilegeError):
            return RightMissing(f"directory {self._connecting.name}: the database refuses it: {_told(error)}")
        if str(getattr(error, "sqlstate", None) or "") == "57014":
            return self._unavailable("a statement took longer than timeouts.operation_s")
        return self._unavailable(_meant(error))

    def _unavailable(self, problem: str) -> DirectoryUnavailable:
        return DirectoryUnavailable(f"directory {self._connecting.name}: {problem}")


async def _speaks_postgresql(host: Host) -> None:
    """Ask as every client may, before asyncpg does: of a stranger's zeros its parser never returns, and the loop with it.

    PostgreSQL answers an SSLRequest by one letter. Where TLS is spoken, a certificate tells strangers.
    """
    if host.name.startswith("/"):
        reader, writer = await asyncio.open_unix_connection(f"{host.name}/.s.PGSQL.{host.port}")
    else:
        reader, writer = await asyncio.open_connection(host.name, host.port)
    try:
        writer.write(_SSL_REQUEST)
        if await reader.read(1) not in (b"S", b"N"):
            raise DirectoryUnavailable("what answers there is not PostgreSQL")
    finally:
        writer.transport.abort()


async def _written(raw: Any, prepared: Any, values: Sequence[Any]) -> Result:
    """A change of one row at most."""
    transaction = raw.transaction()
    await transaction.start()
    try:
        await prepared.fetch(*values)
        count = _count(prepared.get_statusmsg())
    except BaseException:
        if not raw.is_closed():
            await transaction.rollback()
        raise
    await (transaction.commit() if count <= 1 else transaction.rollback())
    return Result(count=count)


def _meant(error: BaseException) -> str:
    if isinstance(error, asyncpg.PostgresError):
        return _told(error)
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return "the connection was lost"
    return in_words(error)


def _told(error: asyncpg.PostgresError) -> str:
    """The server's words. Of a value that it refuses only the code: its words would quote it."""
    state = str(error.sqlstate or "")
    if state.startswith(("22", "23")):
        return f"a value is refused (SQLSTATE {state}, {type(error).__name__})"
    return (str(error.message if hasattr(error, "message") else error).split("\n", 1)[0])[:MAX_WORDS]


def _cannot_be_there(error: Exception) -> bool:
    """A value that its column's type, or the encoding of the database, cannot hold is in no row."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "") in ("22P02", "22003", "22007", "22008", "22021", "22P05")
    return isinstance(error, asyncpg.DataError | OverflowError)


def _count(status: str | None) -> int:
    """How many rows a statement changed, of `UPDATE 1`."""
    last = (status or "").rpartition(" ")[2]
    return int(last) if last.isdecimal() else 0


def _where(connection: _Connection) -> str:
    address = connection.raw._addr
    return ":".join(map(str, address)) if isinstance(address, tuple) else str(address)


def _nodes(plan: Any) -> list[str]:
    if isinstance(plan, list):
        return [name for each in plan for name in _nodes(each)]
    if not isinstance(plan, dict):
        return []
    own = [str(plan["Node Type"])] if "Node Type" in plan else []
    return own + [name for key in ("Plan", "Plans") if key in plan for name in _nodes(plan[key])]


def fit(value: Any, kind: str, writing: Writing) -> Any:
    """A value in the type that the server asks for. Raises Unfit."""
    if value is None:
        return None
    try:
        if kind in _INTEGERS:
            return _integer(value, writing)
        if kind in ("timestamptz", "timestamp", "date") and isinstance(value, datetime | date):
            return _moment(value, kind, writing)
        return _fitted(value, kind, writing)
    except (ValueError, InvalidOperation) as error:
        raise Unfit(kind) from error


def _integer(value: Any, writing: Writing) -> int:
    if isinstance(value, datetime):
        return int(written_moment(value, UTC, writing.form if writing.form != "timestamp" else "epoch"))
    return value if isinstance(value, int) else int(text(value))


def _moment(value: date, kind: str, writing: Writing) -> Any:
    if not isinstance(value, datetime):
        return value
    if kind == "timestamptz":
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    local = value if value.tzinfo is None else value.astimezone(writing.zone).replace(tzinfo=None)
    return local.date() if kind == "date" else local


def _fitted(value: Any, kind: str, writing: Writing) -> Any:
    if kind == "bool":
        return value if isinstance(value, bool) else flag(value, unreadable=True)
    if kind == "uuid":
        return value if isinstance(value, UUID) else UUID(text(value))
    if kind == "numeric":
        return value if isinstance(value, Decimal) else Decimal(text(value))
    if kind in ("float4", "float8"):
        return float(value)
    if kind == "bytea":
        return value if isinstance(value, bytes) else str(value).encode()
    if isinstance(value, datetime):
        return str(written_moment(value, writing.zone, writing.form))
    if kind in ("bit", "varbit"):
        return asyncpg.BitString(str(value)) if isinstance(value, str) else value
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else str(value)
