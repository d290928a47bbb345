"""Databases with a table of users as another program would keep it, for tests of SQL directories: three engines, one interface."""

import functools
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from tests import mariadb, postgresql
from wardgate.clock import Clock, SystemClock
from wardgate.config.reference import ClearValue, SecretSetting
from wardgate.crypto import Secret
from wardgate.directory.kind import DirectoryParts
from wardgate.directory.sql.checking import check_settings
from wardgate.directory.sql.directory import SqlDirectory
from wardgate.directory.sql.settings import ColumnSettings, SqlSettings
from wardgate.passwords import PasswordHasher
from wardgate.storage.memory import MemoryStorage

NEIGHBOURS = {"postgresql": "postgresql", "mariadb": "mariadb"}
_TYPES = {
    "postgresql": {"key": "uuid PRIMARY KEY DEFAULT gen_random_uuid()", "moment": "timestamptz", "flag": "boolean", "text": "text"},
    "mariadb": {
        "key": "bigint AUTO_INCREMENT PRIMARY KEY",
        "moment": "timestamp(6) NULL",
        "flag": "tinyint(1)",
        "text": "varchar(190)",
    },
    "sqlite": {"key": "integer PRIMARY KEY AUTOINCREMENT", "moment": "text", "flag": "integer", "text": "text"},
}
_TABLE = """
CREATE TABLE employee (
    id {key}, login {text}, pw_hash varchar(255), email {text}, gsm {text}, full_name {text}, lang {text},
    is_disabled {flag} NOT NULL DEFAULT {no}, is_locked {flag} NOT NULL DEFAULT {no}, locked_until {moment},
    failures integer NOT NULL DEFAULT 0, ends {moment}, pw_changed {moment}, pw_ends {moment},
    must_change {flag} NOT NULL DEFAULT {no}, department {text}
)
"""
_MEMBERS = "CREATE TABLE member (login {text}, team {text})"
_INDEXES = {
    "postgresql": ("CREATE INDEX ON employee (lower(login))", "CREATE INDEX ON employee (lower(email))"),
    "mariadb": ("CREATE INDEX by_login ON employee (login)", "CREATE INDEX by_email ON employee (email)"),
    "sqlite": ("CREATE INDEX by_login ON employee (lower(login))", "CREATE INDEX by_email ON employee (lower(email))"),
}
# As in the configuration that operators copy; the rest is added by the tests that need it.
PLAIN = ColumnSettings(id="id", username="login", password="pw_hash", mail="email", phone="gsm", disabled="is_disabled")
WHOLE = ColumnSettings(
    id="id",
    username="login",
    password="pw_hash",
    mail="email",
    phone="gsm",
    disabled="is_disabled",
    display_name="full_name",
    language="lang",
    locked="is_locked",
    locked_until="locked_until",
    failures="failures",
    expires_at="ends",
    password_changed_at="pw_changed",
    password_expires_at="pw_ends",
    must_change="must_change",
)


@dataclass(frozen=True)
class Database:
    """A database with the table `employee`. `execute` takes ? for values and gives rows; it is the owner's, not the directory's."""

    kind: str
    url: str
    execute: Callable[..., Any]
    password: SecretSetting | None = None
    name: str = ""

    async def insert(self, **columns: Any) -> Any:
        """A new user; his id."""
        names = ", ".join(columns)
        places = ", ".join("?" for _ in columns)
        await self.execute(f"INSERT INTO employee ({names}) VALUES ({places})", *columns.values())
        return (await self.execute("SELECT id FROM employee WHERE login = ?", columns["login"]))[-1][0]

    async def value(self, column: str, login: str) -> Any:
        """One value of a user's row."""
        return (await self.execute(f"SELECT {column} FROM employee WHERE login = ?", login))[0][0]

    def settings(self, **given: Any) -> SqlSettings:
        """Settings of a directory on it."""
        usual: dict[str, Any] = {"name": "hr", "kind": "sql", "url": self.url, "password": self.password, "table": "employee"}
        return SqlSettings(**{"columns": PLAIN, **usual, **given})


@dataclass(frozen=True)
class Parts:
    """What directories are built with. `hasher` is quick."""

    hasher: PasswordHasher = field(default_factory=lambda: PasswordHasher(2, 100, time_cost=1, memory_kib=8))
    clock: Clock = field(default_factory=SystemClock)

    def build(self, settings: SqlSettings, region: str | None = "TR") -> SqlDirectory:
        """A directory, as the registry would build it."""
        check_settings(settings)
        return SqlDirectory(settings, DirectoryParts(MemoryStorage(), self.hasher, self.clock, _secret, region))


def _secret(setting: SecretSetting) -> Secret:
    assert isinstance(setting, ClearValue)
    return Secret(setting.value)


def _table(kind: str) -> tuple[str, ...]:
    given = {**_TYPES[kind], "no": "false" if kind == "postgresql" else "0"}
    return (_TABLE.format(**given), _MEMBERS.format(**given), *_INDEXES[kind])


@functools.cache
def _made(kind: str) -> list[str]:
    """The names of the databases of the shared servers that have the tables: one for each."""
    return []


@asynccontextmanager
async def on_postgresql() -> AsyncIterator[Database]:
    """PostgreSQL: one database of the shared server, whose rows are removed."""
    server, made = postgresql.shared(), _made("postgresql")
    if not made:
        made.append(await server.create())
        await server.execute(";".join(_table("postgresql")), made[0])
    connection = await asyncpg.connect(server.url(made[0]))

    async def execute(sql: str, *values: Any) -> Any:
        parts = sql.split("?")
        text = parts[0] + "".join(f"${at}{part}" for at, part in enumerate(parts[1:], 1))
        return await connection.fetch(text, *values)

    try:
        await execute("TRUNCATE employee, member")
        yield Database("postgresql", f"postgresql://{postgresql.USER}@127.0.0.1:{server.port}/{made[0]}", execute, name=made[0])
    finally:
        await connection.close()


@asynccontextmanager
async def on_mariadb() -> AsyncIterator[Database]:
    """MariaDB: the same."""
    server, made = mariadb.shared(), _made("mariadb")
    if not made:
        made.append(server.create())
        server.execute(*_table("mariadb"), database=made[0])
    connection = server.connect(made[0])

    async def execute(sql: str, *values: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(sql.replace("%", "%%").replace("?", "%s"), values)
            return list(cursor.fetchall())

    try:
        await execute("DELETE FROM employee")
        await execute("DELETE FROM member")
        yield Database("mariadb", server.url(made[0]), execute, ClearValue(value=mariadb.PASSWORD), made[0])
    finally:
        connection.close()


@asynccontextmanager
async def on_sqlite() -> AsyncIterator[Database]:
    """SQLite: a file in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="wardgate-sqlite-") as folder:
        path = Path(folder) / "hr.db"
        connection = sqlite3.connect(path, isolation_level=None)

        async def execute(sql: str, *values: Any) -> Any:
            return connection.execute(sql, values).fetchall()

        for statement in _table("sqlite"):
            connection.execute(statement)
        try:
            yield Database("sqlite", f"sqlite://{quote(os.fspath(path))}", execute, name=os.fspath(path))
        finally:
            connection.close()


ON: dict[str, Callable[[], AbstractAsyncContextManager[Database]]] = {
    "sqlite": on_sqlite,
    "postgresql": on_postgresql,
    "mariadb": on_mariadb,
}
