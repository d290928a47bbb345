"""SQL directories when the database is away, silent, somebody else or unwilling; and what an examination tells of it."""

import asyncio
import os
import signal
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from tests import databases, mariadb, postgresql
from tests.databases import Parts
from wardgate.certificates import self_signed
from wardgate.config.reference import ClearValue
from wardgate.crypto import Secret
from wardgate.directory.ldap.settings import TimeoutSettings
from wardgate.directory.port import DirectoryUser, Finding, PasswordVerdict, RightMissing, ServerState, Verdict
from wardgate.directory.sql.directory import SqlDirectory
from wardgate.directory.sql.settings import ColumnSettings, SqlSettings
from wardgate.errors import DirectoryUnavailable, SettingsError

SOON = 20.0
GOOD, NEW = Secret("correct horse battery"), Secret("staple-of-the-lake")
SERVERS = [
    pytest.param("postgresql", marks=pytest.mark.neighbour("postgresql")),
    pytest.param("mariadb", marks=pytest.mark.neighbour("mariadb")),
]
TABLE = "CREATE TABLE employee (id integer PRIMARY KEY, login varchar(190), pw_hash varchar(255), email varchar(190))"
COLUMNS = ColumnSettings(id="id", username="login", password="pw_hash", mail="email")
# The schemes of both are told apart by the URL alone.
SCHEMES = {"postgresql": "postgresql", "mariadb": "mariadb"}


@pytest.fixture
def parts() -> Iterator[Parts]:
    made = Parts()
    yield made
    made.hasher.close()


@asynccontextmanager
async def closing(directory: SqlDirectory) -> AsyncIterator[SqlDirectory]:
    try:
        yield directory
    finally:
        await directory.close()


@dataclass
class Own:
    """A server of a test's own, with one user in the table."""

    kind: str
    server: Any
    database: str

    @property
    def settings(self) -> SqlSettings:
        """As a directory finds it."""
        password = ClearValue(value=mariadb.PASSWORD) if self.kind == "mariadb" else None
        return SqlSettings(
            name="hr", kind="sql", url=self.url(self.server.port), table="employee", columns=COLUMNS, password=password
        )

    def url(self, *ports: int) -> str:
        """The URL by way of these ports of this machine."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"{SCHEMES[self.kind]}://wardgate@{hosts}/{self.database}"

    async def execute(self, *statements: str) -> None:
        """As the owner of everything."""
        if self.kind == "mariadb":
            await asyncio.to_thread(lambda: self.server.execute(*statements, database=self.database))
        else:
            for statement in statements:
                await self.server.execute(statement, self.database)

    async def fill(self, hashed: str) -> None:
        """Make the table, with ada in it."""
        await self.execute(TABLE, f"INSERT INTO employee VALUES (1, 'ada', '{hashed}', 'ada@example.test')")


async def own(kind: str, server: Any, parts: Parts) -> Own:
    made = server.create()
    own = Own(kind, server, await made if asyncio.iscoroutine(made) else made)
    await own.fill(await parts.hasher.hash(GOOD))
    return own


@contextmanager
def server_of(kind: str, **given: Any) -> Iterator[Any]:
    with (postgresql.server if kind == "postgresql" else mariadb.server)(**given) as server:
        yield server


def shared(kind: str) -> Any:
    return postgresql.shared() if kind == "postgresql" else mariadb.shared()


async def found(directory: SqlDirectory, name: str = "ada") -> DirectoryUser:
    user = await directory.find(name, SOON)
    assert user is not None
    return user


async def findings(directory: SqlDirectory, scratch: str | None = None, password: Secret | None = None) -> dict[str, Finding]:
    return {finding.what: finding async for finding in directory.examine(scratch, password)}


@dataclass
class Mute:
    """A server that takes connections and says nothing, or garbage."""

    says: bytes = b""
    connections: int = 0
    port: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        writer.write(self.says)


@asynccontextmanager
async def mute(says: bytes = b"") -> AsyncIterator[Mute]:
    made = Mute(says)
    listener = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.port = listener.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listener.close()
        for writer in made.writers:
            writer.transport.abort()


async def until_found(directory: SqlDirectory) -> DirectoryUser:
    """Ask until somebody is found again, as logins would."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await found(directory)
            except DirectoryUnavailable:
                await asyncio.sleep(0.05)


# --- away and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_database_that_went_away_and_came_back(kind: str, parts: Parts) -> None:
    with server_of(kind) as server:
        there = await own(kind, server, parts)
        async with closing(parts.build(replace(there.settings, down_grace_s=600))) as directory:
            user = await found(directory)
            assert await directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT

            # MariaDB in order: here it writes nothing down in time for a sudden end.
            server.stop(signal.SIGQUIT if kind == "postgresql" else signal.SIGTERM)
            with pytest.raises(DirectoryUnavailable, match="directory hr"):
                await directory.find("ada", SOON)
            with pytest.raises(DirectoryUnavailable):
                await directory.check_password(user, GOOD, SOON)
            assert directory.servers()[0].state is ServerState.DOWN
            assert directory.remembered_while_down("ada", GOOD) == user
            assert directory.remembered_while_down("ada", NEW) is None

            server.start()
            user = await until_found(directory)
            assert await directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT
            assert directory.servers()[0].state is ServerState.UP


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_connection_that_was_ended_while_it_idled_costs_no_login(kind: str, parts: Parts) -> None:
    there = await own(kind, shared(kind), parts)
    async with closing(parts.build(there.settings)) as directory:
        user = await found(directory)
        if kind == "postgresql":
            await there.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE application_name = 'wardgate' AND datname = '{there.database}'"
            )
        else:
            rows = there.server.fetch(
                f"SELECT id FROM information_schema.processlist WHERE db = '{there.database}' AND command = 'Sleep'"
            )
            await there.execute(*[f"KILL {number}" for (number,) in rows])

        assert await directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_silent_database_costs_its_deadline_once(kind: str, parts: Parts) -> None:
    there = await own(kind, shared(kind), parts)
    async with mute() as silent:
        settings = replace(there.settings, url=there.url(silent.port), timeouts=TimeoutSettings(connect_s=0.6, operation_s=5))
        async with closing(parts.build(settings)) as directory:
            with pytest.raises(DirectoryUnavailable, match="no answer within"):
                await directory.find("ada", SOON)
            before = silent.connections
            # The next ones are told at once: nobody connects, and nobody waits.
            for _ in range(20):
                with pytest.raises(DirectoryUnavailable):
                    await directory.find("ada", SOON)
            assert silent.connections < before + 5


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_patience_that_is_shorter_than_ours_opens_the_breaker_too(kind: str, parts: Parts) -> None:
    there = await own(kind, shared(kind), parts)
    async with mute() as silent, closing(parts.build(replace(there.settings, url=there.url(silent.port)))) as directory:
        for _ in range(5):
            with pytest.raises(DirectoryUnavailable):
                await directory.find("ada", 0.7)
        assert silent.connections < 5


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_database_that_falls_silent_in_the_middle(kind: str, parts: Parts) -> None:
    there = await own(kind, shared(kind), parts)
    relay = await postgresql.Relay(there.server.port).start()
    try:
        settings = replace(there.settings, url=there.url(relay.port), timeouts=TimeoutSettings(connect_s=2, operation_s=2))
        async with closing(parts.build(settings)) as directory:
            await asyncio.gather(*(found(directory) for _ in range(4)))
            relay.cut()
            for _ in range(3):
                with pytest.raises(DirectoryUnavailable):
                    await directory.find("ada", SOON)
            relay.mend()
            assert (await until_found(directory)).name == "ada"
    finally:
        await relay.stop()


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize(
    "says", [b"\x00" * 64, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 4096, b"N" * 100, b"E\x00\x00\x00\x05\x00"]
)
async def test_whatever_a_stranger_says_is_an_unavailable_database(kind: str, parts: Parts, says: bytes) -> None:
    there = await own(kind, shared(kind), parts)
    async with mute(says) as stranger:
        settings = replace(there.settings, url=there.url(stranger.port), timeouts=TimeoutSettings(connect_s=0.5, operation_s=1))
        async with closing(parts.build(settings)) as directory:
            with pytest.raises(DirectoryUnavailable):
                await directory.find("ada", SOON)


@pytest.mark.parametrize("kind", SERVERS)
async def test_the_next_host_answers_when_the_first_is_away_or_silent(kind: str, parts: Parts) -> None:
    there = await own(kind, shared(kind), parts)
    async with mute() as silent:
        for first in (postgresql.free_port(), silent.port):
            settings = replace(there.settings, url=there.url(first, there.server.port))
            async with closing(parts.build(settings)) as directory:
                assert (await found(directory)).name == "ada"
                assert [status.server for status in directory.servers()] == [f"127.0.0.1:{first}", f"127.0.0.1:{there.server.port}"]


@pytest.mark.neighbour("postgresql")
async def test_a_standby_is_asked_only_when_nobody_else_answers(parts: Parts) -> None:
    there = await own("postgresql", postgresql.shared(), parts)
    with postgresql.server(default_transaction_read_only="on") as standby:
        await _copy_to_read_only(standby, there, parts)
        settings = replace(there.settings, url=there.url(standby.port, there.server.port))
        async with closing(parts.build(settings)) as directory:
            user = await found(directory)
            await directory.reset_password(user, NEW, False, SOON)
            assert await directory.check_password(user, NEW, SOON) is PasswordVerdict.RIGHT
        async with closing(parts.build(replace(settings, url=there.url(standby.port)))) as directory:
            assert await directory.check_password(await found(directory), GOOD, SOON) is PasswordVerdict.RIGHT
            with pytest.raises(DirectoryUnavailable, match="read-only"):
                await directory.reset_password(user, NEW, False, SOON)


async def _copy_to_read_only(standby: postgresql.Server, there: Own, parts: Parts) -> None:
    """The table on a server that takes writes from nobody else."""
    hashed = await parts.hasher.hash(GOOD)
    for database, *statements in (
        ("postgres", f"CREATE DATABASE {there.database}"),
        (there.database, TABLE, f"INSERT INTO employee VALUES (1, 'ada', '{hashed}', NULL)"),
    ):
        connection = await asyncpg.connect(standby.url(database))
        await connection.execute("SET default_transaction_read_only = off")
        for statement in statements:
            await connection.execute(statement)
        await connection.close()


@pytest.mark.parametrize("kind", SERVERS)
async def test_whoever_waits_when_a_directory_is_closed_is_told(kind: str, parts: Parts) -> None:
    there = await own(kind, shared(kind), parts)
    pause = "pg_sleep(30)" if kind == "postgresql" else "sleep(30)"
    text = "e.id::text" if kind == "postgresql" else "e.id"
    settings = replace(
        there.settings, group_statement=f"SELECT {text} FROM employee e, (SELECT {pause} AS p) s WHERE e.login = :username"
    )
    directory = parts.build(settings)
    asking = [asyncio.ensure_future(directory.find("ada", SOON)) for _ in range(6)]
    while not any(directory._engine._pool._busy):  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
    await directory.close()

    for outcome in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(outcome, DirectoryUnavailable)
    with pytest.raises(DirectoryUnavailable):
        await directory.find("ada", SOON)


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_statement_that_takes_too_long_is_ended_by_the_server(kind: str, parts: Parts) -> None:
    there = await own(kind, shared(kind), parts)
    pause = "pg_sleep(30)::text" if kind == "postgresql" else "sleep(30)"
    settings = replace(
        there.settings, group_statement=f"SELECT {pause} AS p FROM employee", timeouts=TimeoutSettings(connect_s=5, operation_s=0.3)
    )
    async with closing(parts.build(settings)) as directory:
        with pytest.raises(DirectoryUnavailable):
            await directory.find("ada", SOON)


async def test_a_file_that_is_not_there_locked_or_replaced(parts: Parts, tmp_path: Path) -> None:
    path = tmp_path / "hr.db"
    settings = SqlSettings(
        name="hr",
        kind="sql",
        url=f"sqlite://{path}",
        table="employee",
        columns=COLUMNS,
        timeouts=TimeoutSettings(connect_s=2, operation_s=2),
    )
    async with closing(parts.build(settings)) as directory:
        with pytest.raises(DirectoryUnavailable, match="no such file"):
            await directory.find("ada", SOON)
        assert not path.exists()
        path.write_bytes(b"this is no database, and long enough to be looked at as one" * 40)
        with pytest.raises(DirectoryUnavailable, match="not a database"):
            await directory.find("ada", SOON)
        path.unlink()
        hashed = await parts.hasher.hash(GOOD)
        for name in ("ada", "bob"):
            other = tmp_path / "new.db"
            connection = sqlite3.connect(other, isolation_level=None)
            connection.execute(TABLE)
            connection.execute("INSERT INTO employee VALUES (1, ?, ?, NULL)", (name, hashed))
            connection.close()
            other.replace(path)
            assert (await found(directory, name)).name == name
        locking = sqlite3.connect(path, isolation_level=None)
        locking.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DirectoryUnavailable):
            await directory.find("bob", SOON)
        locking.execute("ROLLBACK")
        locking.close()
        assert (await found(directory, "bob")).name == "bob"


# --- TLS and accounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SERVERS)
async def test_tls_is_checked_or_there_is_no_connection(kind: str, parts: Parts, tmp_path: Path) -> None:
    certificate, key = self_signed(datetime.now(UTC))
    stranger, _ = self_signed(datetime.now(UTC))
    (tmp_path / "ca.pem").write_bytes(certificate)
    (tmp_path / "other.pem").write_bytes(stranger)
    with server_of(kind, ssl_for=(certificate, key)) as server:
        there = await own(kind, server, parts)
        settings = replace(there.settings, sslmode="verify-full", ca_file=str(tmp_path / "ca.pem"))
        async with closing(parts.build(settings)) as directory:
            assert (await found(directory)).name == "ada"
            assert "TLSv1" in (await findings(directory))["TLS"].found
        for wrong, problem in (
            (replace(settings, ca_file=str(tmp_path / "other.pem")), "certificate"),
            (replace(settings, ca_file=None), "certificate"),
            (replace(settings, ca_file=str(tmp_path / "none.pem")), "no such file"),
        ):
            async with closing(parts.build(wrong)) as directory:
                with pytest.raises(DirectoryUnavailable, match=problem):
                    await directory.find("ada", SOON)


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_without_tls_gets_no_password_when_tls_is_asked_for(kind: str, parts: Parts) -> None:
    """aiomysql by itself goes on in clear: whoever stands between could ask for that, and for the password."""
    there = await own(kind, shared(kind), parts)
    async with closing(parts.build(replace(there.settings, sslmode="verify-full"))) as directory:
        with pytest.raises(DirectoryUnavailable):
            await directory.find("ada", SOON)


@pytest.mark.neighbour("mariadb")
async def test_a_server_that_asks_for_the_password_in_clear_does_not_get_it(parts: Parts) -> None:
    got = bytearray()

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        capabilities = 0x00FFF7DF & ~0x800
        greeting = (
            b"\x0a8.0.0\x00"
            + b"\x01\0\0\0"
            + b"s" * 8
            + b"\0"
            + (capabilities & 0xFFFF).to_bytes(2, "little")
            + b"\x2d\x02\0"
            + (capabilities >> 16).to_bytes(2, "little")
            + b"\x15"
            + b"\0" * 10
            + b"t" * 12
            + b"\0"
            + b"mysql_native_password\0"
        )
        writer.write(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
        got.extend(await reader.read(4096))
        switch = b"\xfemysql_clear_password\0"
        writer.write(len(switch).to_bytes(3, "little") + b"\x02" + switch)
        got.extend(await reader.read(4096))
        writer.close()

    listener = await asyncio.start_server(ask, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    settings = SqlSettings(
        name="hr",
        kind="sql",
        url=f"mysql://wardgate@127.0.0.1:{port}/hr",
        table="employee",
        columns=COLUMNS,
        password=ClearValue(value="very secret"),
    )
    async with closing(parts.build(settings)) as directory:
        with pytest.raises(DirectoryUnavailable, match="in clear") as told:
            await directory.find("ada", SOON)
    listener.close()
    assert b"wardgate" in got
    assert b"very secret" not in got
    assert "very secret" not in str(told.value)


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_unix_socket(kind: str, parts: Parts) -> None:
    if kind == "postgresql":
        with tempfile.TemporaryDirectory(prefix="wardgate-socket-") as folder:
            os.chmod(folder, 0o777)
            with postgresql.server(unix_socket_directories=folder) as server:
                there = await own(kind, server, parts)
                url = f"postgresql://wardgate@{quote(folder, safe='')}:{server.port}/{there.database}"
                async with closing(parts.build(replace(there.settings, url=url))) as directory:
                    assert (await found(directory)).name == "ada"
        return
    there = await own(kind, mariadb.shared(), parts)
    await there.execute(
        "CREATE USER IF NOT EXISTS 'sock'@'localhost' IDENTIFIED BY 's'", "GRANT SELECT ON *.* TO 'sock'@'localhost'"
    )
    url = f"mysql://sock@/{there.database}?host={mariadb.shared().socket}"
    async with closing(parts.build(replace(there.settings, url=url, password=ClearValue(value="s")))) as directory:
        assert (await found(directory)).name == "ada"


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_wrong_password_of_ours_is_told_without_it(kind: str, parts: Parts) -> None:
    there = await own(kind, shared(kind), parts)
    settings = replace(
        there.settings,
        url=there.url(there.server.port).replace("wardgate@", "nobody@"),
        password=ClearValue(value="hunter2hunter2"),
    )
    async with closing(parts.build(settings)) as directory:
        with pytest.raises(DirectoryUnavailable, match="nobody") as told:
            await directory.find("ada", SOON)
        assert "hunter2" not in str(told.value)
        assert (await findings(directory))["connection"].verdict is Verdict.BAD


# --- rights, and what an examination tells -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SERVERS)
async def test_the_lines_that_the_examination_gives_give_the_right(kind: str, parts: Parts) -> None:
    there = await own(kind, shared(kind), parts)
    name = f"reader{os.getpid()}"
    if kind == "postgresql":
        await there.execute(f"DROP ROLE IF EXISTS {name}", f"CREATE ROLE {name} LOGIN", f"GRANT SELECT ON employee TO {name}")
    else:
        await there.execute(
            f"CREATE OR REPLACE USER '{name}'@'127.0.0.1' IDENTIFIED BY 'x'", f"GRANT SELECT ON employee TO '{name}'@'127.0.0.1'"
        )
    password = ClearValue(value="x") if kind == "mariadb" else None
    url = there.url(there.server.port).replace("wardgate@", f"{name}@")
    async with closing(parts.build(replace(there.settings, url=url, password=password))) as directory:
        user = await found(directory)
        assert await directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT
        with pytest.raises(RightMissing, match="denied"):
            await directory.reset_password(user, NEW, False, SOON)
        missing = (await findings(directory))["right to change and reset"]
        assert missing.verdict is Verdict.WARNING
        assert len(missing.grant) == 1

        await there.execute(*missing.grant)
        told = await findings(directory, "ada", GOOD)
        assert [told[what].verdict for what in ("right to change and reset", "change", "reset")] == [Verdict.GOOD] * 3
        assert await directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_right_to_read_that_was_taken_away_is_a_directory_that_is_down(kind: str, parts: Parts) -> None:
    """Whatever else it were, the attempt that was reserved for the check would count as a wrong password of its user."""
    there = await own(kind, shared(kind), parts)
    name = f"blind{os.getpid()}"
    if kind == "postgresql":
        whom = name
        await there.execute(f"DROP ROLE IF EXISTS {name}", f"CREATE ROLE {name} LOGIN", f"GRANT SELECT ON employee TO {whom}")
    else:
        whom = f"'{name}'@'127.0.0.1'"
        await there.execute(f"CREATE OR REPLACE USER {whom} IDENTIFIED BY 'x'", f"GRANT SELECT ON employee TO {whom}")
    password = ClearValue(value="x") if kind == "mariadb" else None
    url = there.url(there.server.port).replace("wardgate@", f"{name}@")
    async with closing(parts.build(replace(there.settings, url=url, password=password))) as directory:
        user = await found(directory)
        await there.execute(f"REVOKE SELECT ON employee FROM {whom}")
        for asked in (
            directory.find("ada", SOON),
            directory.get(user.immutable_id, SOON),
            directory.check_password(user, GOOD, SOON),
            directory.check_nobody(GOOD, SOON),
        ):
            with pytest.raises(DirectoryUnavailable, match="denied"):
                await asked


@pytest.mark.parametrize("kind", [pytest.param("sqlite"), *SERVERS])
async def test_an_examination_tells_what_is_there_and_what_is_not(kind: str, parts: Parts) -> None:
    async with databases.ON[kind]() as database:
        await database.insert(login="ada", pw_hash=await parts.hasher.hash(GOOD))
        await database.insert(login="bob", pw_hash="{SSHA}" + "A" * 36)
        await database.insert(login="cem", pw_hash="??")
        columns = replace(databases.WHOLE, mail="full_name", language="langue")
        async with closing(parts.build(database.settings(columns=databases.WHOLE, write_contacts=("mail",)))) as directory:
            told = await findings(directory)
            bad = {what: finding for what, finding in told.items() if finding.verdict in (Verdict.BAD,)}
            assert set(bad) == {"passwords in clear"}
            assert told["hashes"].found.startswith("3 rows: ")
            for what in (
                "connection",
                "TLS",
                "table",
                "column pw_hash",
                "index on login",
                "right to change and reset",
                "right to unlock",
                "right to contacts",
                "read by id",
                "look-up by name",
            ):
                assert told[what].verdict is Verdict.GOOD, told[what]
            assert await parts.hasher.hash(GOOD) not in str(told)
        async with closing(parts.build(database.settings(columns=columns))) as directory:
            assert (await findings(directory))["column langue"].verdict is Verdict.BAD
        columns = replace(columns, language=None)
        async with closing(parts.build(database.settings(columns=columns))) as directory:
            told = await findings(directory)
            assert told["index on full_name"].verdict is Verdict.WARNING
            assert "full_name" in told["index on full_name"].cure
            # The line that it gives is run, and is enough.
            await database.execute("DROP INDEX IF EXISTS wardgate_full_name" + (" ON employee" if kind == "mariadb" else ""))
            await database.execute(*told["index on full_name"].grant)
            assert (await findings(directory))["index on full_name"].verdict is Verdict.GOOD
            await database.execute("DROP INDEX wardgate_full_name" + (" ON employee" if kind == "mariadb" else ""))
        async with closing(parts.build(database.settings(table="employe"))) as directory:
            assert (await findings(directory))["table"].verdict is Verdict.BAD


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_hash_is_never_cut_to_fit_its_column(kind: str, parts: Parts) -> None:
    there = await own(kind, shared(kind), parts)
    # As MySQL was usually configured: what is too long is cut without a word.
    if kind == "mariadb":
        await there.execute("SET GLOBAL sql_mode = ''")
    await there.execute("UPDATE employee SET pw_hash = ''")
    if kind == "postgresql":
        await there.execute("ALTER TABLE employee ALTER pw_hash TYPE varchar(40)")
    else:
        await there.execute("ALTER TABLE employee MODIFY pw_hash varchar(40)")
    async with closing(parts.build(there.settings)) as directory:
        with pytest.raises(DirectoryUnavailable, match="refused"):
            await directory.reset_password(await found(directory), NEW, False, SOON)
        told = await findings(directory)
        assert told["column pw_hash"].verdict is Verdict.BAD


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"url": "postgresql://hr:secret@db/hr"}, "holds a password"),
        ({"url": "postgresql://hr@db/hr?password=secret"}, "holds a password"),
        ({"url": "postgresql://hr@db/hr?sslmode=require"}, "checks no certificate"),
        ({"url": "postgresql://hr@db/hr?options=-c"}, "options"),
        ({"url": "postgresql://db/hr"}, "user"),
        ({"url": "oracle://hr@db/hr"}, "must begin with"),
        ({"url": "sqlite://relative.db"}, "whole path"),
        ({"url": "postgresql://hr@db:99999/hr"}, "HOST:PORT"),
        ({"sslmode": "disable"}, "allow_clear"),
        ({"table": None}, "table"),
        ({"table": "a.b.c"}, "SCHEMA.TABLE"),
        ({"columns": replace(COLUMNS, mail="x" * 100)}, "columns"),
        ({"find_statement": "DELETE FROM employee WHERE id = :name"}, "find_statement"),
        ({"time_zone": "Istanbul"}, "time_zone"),
        ({"connections": 0}, "connections"),
        ({"lock_threshold": 5}, "failures"),
        ({"write_contacts": ("phone",)}, "write_contacts"),
    ],
)
def test_a_setting_that_cannot_work_is_named(given: dict[str, Any], problem: str, parts: Parts) -> None:
    usual: dict[str, Any] = {
        "name": "hr",
        "kind": "sql",
        "url": "postgresql://hr@db.acme.test/hr",
        "table": "employee",
        "columns": COLUMNS,
    }

    with pytest.raises(SettingsError, match=problem) as told:
        parts.build(SqlSettings(**{**usual, **given}))
    assert told.value.message.startswith("directories.hr.")
    assert "secret" not in told.value.message
