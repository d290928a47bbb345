"""MySQL and MariaDB through aiomysql.

aiomysql pastes values into the text of a statement. We give it none: each value is written here as digits or as a hexadecimal
literal, which has no character that could end it, whatever the server's quoting rules are.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import aiomysql
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import convert_datetime, decoders
from pymysql.err import Error, OperationalError

from wardgate.directory.port import RightMissing, ServerStatus
from wardgate.directory.sql.address import Engine, Host
from wardgate.directory.sql.engines.connecting import MAX_WORDS, Connecting, in_words
from wardgate.directory.sql.engines.engine import Facts, Result, Values, Writing
from wardgate.directory.sql.engines.pool import BrokenConnection, Dialled, Driver, Pool
from wardgate.directory.sql.statements import Statement, quoted, quoted_table
from wardgate.directory.sql.values import written_moment
from wardgate.errors import DirectoryUnavailable, WardgateError

MAX_KINDS: Final = 256
_INTEGERS: Final = frozenset(
    {FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.INT24, FIELD_TYPE.DECIMAL, 246}
)
_CLEAR: Final = b"mysql_clear_password"
# What the server says about our rights, about values that a column cannot hold or compare with, and about statements that took
# too long or waited too long for a lock.
_DENIED: Final = frozenset({1044, 1142, 1143, 1227, 1290, 1370, 1410, 1792})
_CANNOT_BE_THERE: Final = frozenset({1267, 1300, 1366, 1525, 3854})
_TOO_LONG: Final = frozenset({1205, 1317, 1969, 3024})
_VALUES: Final = frozenset({1048, 1062, 1264, 1265, 1292, 1366, 1406, 1411})
# A server that can be written to again elsewhere, or soon.
_READ_ONLY: Final = frozenset({1290, 1792, 1836})


def _aware(value: Any) -> Any:
    """A TIMESTAMP comes in the zone of the session, which is UTC."""
    found = convert_datetime(value)
    return found.replace(tzinfo=UTC) if isinstance(found, datetime) else found


_DECODERS: Final = {**decoders, FIELD_TYPE.TIMESTAMP: _aware}


class _Raw(aiomysql.Connection):  # type: ignore[misc]
    """aiomysql goes on in clear where a server offers no TLS, and hands a password in clear to whoever asks. This does neither."""

    async def _request_authentication(self) -> None:
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise OperationalError(2026, "the server offers no TLS")
        self.client_flag &= ~(CLIENT.MULTI_STATEMENTS | CLIENT.LOCAL_FILES)
        if not self._secure and not self._ssl_context and str(self._server_auth_plugin).encode() == _CLEAR:
            raise OperationalError(2061, "the server asks for the password in clear")
        await super()._request_authentication()

    async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any:
        if plugin_name == _CLEAR and not self._secure:
            raise OperationalError(2061, "the server asks for the password in clear")
        return await super()._process_auth(plugin_name, auth_packet)


class MysqlEngine:
    """A database of MySQL or MariaDB. Satisfies SqlEngine."""

    def __init__(self, connecting: Connecting) -> None:
        self._connecting = connecting
        # The types of the columns that were read, by name: a moment is written as its column takes it.
        self._kinds: dict[str, int] = {}
        driver = Driver(self._dial, self._end, self._leave, lambda connection: not connection.closed, self._words)
        self._pool: Pool[Any] = Pool(connecting.name, connecting.address.hosts, connecting.limits, connecting.clock, driver)

    async def run(self, statement: Statement, values: Values, timeout_s: float) -> Result:
        """Run a statement."""
        sql = self._text(statement, values)

        async def work(connection: Any) -> Result:
            try:
                return await (self._written(connection, sql) if statement.writes else self._asked(connection, sql))
            except Exception as error:
                if not statement.writes and _code(error) in _CANNOT_BE_THERE:
                    return Result()
                raise self._failure(error, again=not statement.writes) from error

        return await self._pool.use(work, timeout_s)

    async def facts(self, timeout_s: float) -> Facts:
        """Who answers, and how we are connected."""

        async def work(connection: Any) -> Facts:
            try:
                version, account = (await self._asked(connection, "SELECT version(), current_user()")).rows[0]
                status = await self._asked(connection, "SHOW STATUS LIKE 'Ssl_%'")
            except Exception as error:
                raise self._failure(error, again=True) from error
            tls = {str(name): str(value) for name, value in status.rows}
            encrypted = f"{tls.get('Ssl_version', '')} {tls.get('Ssl_cipher', '')}".strip()
            return Facts(str(version), str(account), encrypted, connection.unix_socket or f"{connection.host}:{connection.port}")

        return await self._pool.use(work, timeout_s)

    async def types(self, table: str, timeout_s: float) -> Mapping[str, str]:
        """The columns of a table or view with their types and collations."""
        names = table.split(".")
        where = f"table_name = {literal(names[-1])} AND table_schema = {literal(names[0]) if len(names) > 1 else 'database()'}"
        kind = "concat(column_type, coalesce(concat(' ', collation_name), ''))"
        sql = f"SELECT column_name, {kind} FROM information_schema.columns WHERE {where}"  # noqa: S608 - hexadecimal literals

        async def work(connection: Any) -> Mapping[str, str]:
            try:
                return {str(name): _as_text(kind) for name, kind in (await self._asked(connection, sql)).rows}
            except Exception as error:
                raise self._failure(error, again=True) from error

        return await self._pool.use(work, timeout_s)

    async def plan(self, statement: Statement, values: Values, timeout_s: float) -> tuple[bool, str]:
        """A small table may be read as a whole whatever indexes it has; what counts is that there is one to use."""
        sql = "EXPLAIN " + self._text(statement, values)

        async def work(connection: Any) -> tuple[bool, str]:
            try:
                found = await self._asked(connection, sql)
            except Exception as error:
                raise self._failure(error, again=True) from error
            rows = [dict(zip((name.lower() for name in found.columns), row, strict=True)) for row in found.rows]
            read = [row for row in rows if row.get("table") is not None and not str(row["table"]).startswith("<")]
            indexed = all(row.get("possible_keys") or row.get("key") for row in read)
            return indexed, ", ".join(f"{row.get('type')} {row.get('key') or ''}".strip() for row in rows)

        return await self._pool.use(work, timeout_s)

    def grants(self, table: str, columns: Sequence[str], account: str) -> tuple[str, ...]:
        """The lines that give the right to update these columns."""
        names = ", ".join(quoted(column, Engine.MYSQL) for column in columns)
        where = quoted_table(table if "." in table else f"{self._connecting.address.database}.{table}", Engine.MYSQL)
        user, _, host = account.rpartition("@")
        whom = f"'{_doubled(user)}'@'{_doubled(host)}'"
        return (f"GRANT UPDATE ({names}) ON {where} TO {whom};",)

    def servers(self) -> tuple[ServerStatus, ...]:
        """What we hold of each server."""
        return self._pool.servers()

    async def close(self) -> None:
        """Give up all connections."""
        await self._pool.close()

    def _text(self, statement: Statement, values: Values) -> str:
        zone = self._connecting.writing

        def place(at: int) -> str:
            name = statement.names[at]
            column = name.partition("_")[2] if name.startswith(("new_", "old_")) else ""
            return literal(values[name], self._kinds.get(column.lower()), zone)

        return statement.render(place)

    async def _written(self, connection: Any, sql: str) -> Result:
        """A change of one row at most, where the table's engine knows transactions."""
        await self._asked(connection, "START TRANSACTION")
        try:
            result = await self._asked(connection, sql)
        except Error:
            if not connection.closed:
                await self._asked(connection, "ROLLBACK")
            raise
        await self._asked(connection, "COMMIT" if result.count <= 1 else "ROLLBACK")
        return result

    async def _asked(self, connection: Any, sql: str) -> Result:
        # Without a cursor of aiomysql's: it asks for warnings and prints them, with the values that they quote.
        await connection.query(sql)
        found = connection._result
        if found.description is None:
            return Result(count=found.affected_rows)
        columns = tuple(str(each[0]) for each in found.description)
        if len(self._kinds) < MAX_KINDS:
            self._kinds.update({name.lower(): each[1] for name, each in zip(columns, found.description, strict=True)})
        return Result(columns, list(found.rows), len(found.rows))

    # --- connections -----------------------------------------------------------------------------------------------------

    async def _dial(self, host: Host) -> Dialled[Any]:
        settings = self._connecting.settings
        raw = _Raw(
            host="localhost" if host.name.startswith("/") else host.name,
            port=host.port,
            unix_socket=host.name if host.name.startswith("/") else None,
            user=self._connecting.address.user,
            # aiomysql sends it as Latin-1: these are the very bytes of the secret.
            password=self._connecting.password().decode("latin-1"),
            db=self._connecting.address.database,
            charset="utf8mb4",
            conv=_DECODERS,
            client_flag=CLIENT.FOUND_ROWS,
            autocommit=True,
            ssl=self._connecting.tls(host),
            program_name="wardgate",
        )
        try:
            await raw._connect()
            writable = await self._prepare(raw, settings.read_only)
        except BaseException:
            self._end(raw)
            raise
        return Dialled(raw, writable)

    async def _prepare(self, raw: Any, read_only: bool) -> bool:
        """Limits on the server's side too, and no value is cut to fit: a hash that was cut would keep its user out for good."""
        limit_s = self._connecting.limits.operation_s
        found = await self._asked(raw, "SELECT version(), @@read_only")
        version, standby = found.rows[0]
        limited = (
            f"max_statement_time = {limit_s:.1f}"
            if "mariadb" in str(version).lower()
            else f"max_execution_time = {limit_s * 1000:.0f}"
        )
        seconds = max(1, round(limit_s))
        await self._asked(
            raw,
            f"SET SESSION {limited}, lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}, time_zone = '+00:00', "
            "sql_mode = concat(@@sql_mode, ',STRICT_ALL_TABLES')",
        )
        if read_only:
            await self._asked(raw, "SET SESSION TRANSACTION READ ONLY")
        return read_only or not standby

    @staticmethod
    def _end(connection: Any) -> None:
        connection.close()

    @staticmethod
    async def _leave(connection: Any) -> None:
        await connection.ensure_closed()

    # --- failures --------------------------------------------------------------------------------------------------------

    def _failure(self, error: Exception, again: bool) -> Exception:
        if isinstance(error, WardgateError):
            return error
        code = _code(error)
        if 0 < code < 2000 or code >= 3000:
            meant: WardgateError
            if code in _DENIED - _READ_ONLY:
                meant = RightMissing(f"directory {self._connecting.name}: the database refuses it: {_told(error)}")
            else:
                meant = self._unavailable(self._words(error))
            return BrokenConnection(meant, True) if code in _READ_ONLY else meant
        return BrokenConnection(self._unavailable(self._words(error)), again)

    @staticmethod
    def _words(error: BaseException) -> str:
        code = _code(error)
        if code in _TOO_LONG:
            return "a statement took longer than timeouts.operation_s"
        if code in _VALUES:
            return f"a value is refused (error {code}): is the column too short for it?"
        cause = error.__cause__
        if isinstance(cause, OSError):
            return in_words(cause)
        if code in (2006, 2013):
            return "the connection was lost"
        if isinstance(error, Error) and code:
            return _told(error)
        return in_words(error)

    def _unavailable(self, problem: str) -> DirectoryUnavailable:
        return DirectoryUnavailable(f"directory {self._connecting.name}: {problem}")


def _code(error: BaseException) -> int:
    code = error.args[0] if isinstance(error, Error) and error.args else 0
    return code if isinstance(code, int) else 0


def _told(error: BaseException) -> str:
    """The server's words, without what they quote of a statement."""
    words = str(error.args[1] if len(error.args) > 1 else error)
    words = words.partition(" near '")[0]
    return re.sub(r"x'[0-9a-f]*'", "x'...'", words)[:MAX_WORDS]


def _doubled(name: str) -> str:
    return name.replace("'", "''")


def _as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def literal(value: Any, kind: int | None = None, writing: Writing | None = None) -> str:
    """A value as SQL that is only ever a value. `kind`: the type of the column that it goes to, where it is known."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, bytes):
        # A bit, or binary: both compare with such a literal as what they are.
        return str(int.from_bytes(value, "big")) if kind == FIELD_TYPE.BIT else f"x'{value.hex()}'"
    if kind == FIELD_TYPE.BIT and str(value).isascii() and str(value).isdecimal():
        return str(int(value))
    return f"_utf8mb4 x'{_text_of(value, kind, writing).encode('utf-8', 'surrogatepass').hex()}'"


def _text_of(value: Any, kind: int | None, writing: Writing | None) -> str:
    if not isinstance(value, datetime):
        return value.isoformat() if isinstance(value, date) else str(value)
    if kind == FIELD_TYPE.TIMESTAMP or writing is None:
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
    if value.tzinfo is None:
        return f"{value:%Y-%m-%d %H:%M:%S.%f}"
    if kind in _INTEGERS:
        return str(written_moment(value, writing.zone, writing.form if writing.form != "timestamp" else "epoch"))
    known = kind in (FIELD_TYPE.DATETIME, FIELD_TYPE.DATE)
    return str(written_moment(value, writing.zone, "timestamp" if known else writing.form))
