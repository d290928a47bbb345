"""PostgreSQL beyond the port: round trips, several storages on one database, announcements, settings."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from tests import postgresql
from tests.conformance.storage.rows import TextChain, brake, brake_key, committed, event, insert, message, row, user
from wardgate.certificates import self_signed
from wardgate.errors import SettingsError, StorageError, StorageUnavailable
from wardgate.storage.port import (
    Announce,
    Committed,
    Delete,
    Find,
    Insert,
    Modified,
    Modify,
    Operation,
    Refused,
    Row,
    Update,
    Upsert,
    Where,
)
from wardgate.storage.postgres import PostgresStorage
from wardgate.storage.postgres_sql import EXACT_FORMS, Writes
from wardgate.storage.settings import DatabaseSettings, has_password, problems, without_password

pytestmark = pytest.mark.neighbour("postgresql")
A = brake_key("a")
PATIENCE_S = 60
_END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'wardgate'"


@asynccontextmanager
async def opened(settings: DatabaseSettings, directory: Path, count: int = 1) -> AsyncIterator[list[PostgresStorage]]:
    """So many storages, as on so many workers or nodes."""
    storages: list[PostgresStorage] = []
    try:
        for number in range(count):
            storages.append(await PostgresStorage.open(settings, directory))
            storages[-1].use_chain(TextChain(f"w{number}"))
        yield storages
    finally:
        for storage in storages:
            await storage.close()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.02)


@pytest.fixture
async def database() -> str:
    return await postgresql.empty_database("storage")


def _raise(current: Row | None, arguments: Row) -> Modified:
    row = current or brake("a")
    return Modified({**row, "level": int(row["level"] or 0) + 1}, row["level"])


# --- round trips -----------------------------------------------------------------------------------------------------


async def test_a_batch_takes_two_round_trips_however_many_units_it_has(database: str, tmp_path: Path) -> None:
    relay = await postgresql.Relay(postgresql.shared().port).start()
    async with opened(postgresql.shared().behind(relay, database), tmp_path) as (storage,):
        await insert(storage, "brake", *[brake(f"{n}") for n in range(200)])

        async def trips(count: int) -> int:
            before, batches = relay.round_trips, storage.stats().batches
            units = [
                [
                    Update("brake", brake_key(f"{n}"), {}, (Where("failures", ">=", 0),), {"failures": 1}),
                    Modify("brake", A, _raise),
                    Insert("outbox", message(f"{before}.{n}")),
                    Upsert("brake", brake(f"u{n}")),
                    Delete("brake", (Where("owner", "=", b"nobody"),)),
                    event(f"{n}"),
                    Announce("t", "k"),
                ]
                for n in range(count)
            ]
            await asyncio.gather(*[committed(storage, *unit) for unit in units])
            assert storage.stats().batches == batches + 1
            return relay.round_trips - before

        await trips(1)  # statements are made and the head of the chain is read
        await trips(200)
        # The heartbeat may come in between.
        assert min([await trips(1) for _ in range(3)]) == 2
        assert min([await trips(200) for _ in range(3)]) == 2
    await relay.stop()


async def test_rows_that_are_new_are_written_in_one_round_trip(database: str, tmp_path: Path) -> None:
    async with opened(postgresql.shared().settings(database), tmp_path) as (storage,):
        await committed(storage, event("first"))
        before = storage.stats().round_trips
        await asyncio.gather(*[committed(storage, Insert("outbox", message(f"{n}")), event("x")) for n in range(50)])
        assert storage.stats().round_trips - before == 1


async def test_a_unique_value_that_every_login_takes_and_gives_up_costs_no_round_trip(database: str, tmp_path: Path) -> None:
    """The index judges it, as long as it stays; only one that is taken for a moment within a batch is looked up."""

    def began(n: int) -> Insert:
        return Insert("login_transaction", row("login_transaction", id=f"{n}", fold_key=f"{n}".encode()))

    def ended(n: int) -> Update:
        return Update("login_transaction", {"id": f"{n}"}, {"fold_key": None}, (Where("state", "=", ""),))

    async with opened(postgresql.shared().settings(database), tmp_path) as (storage,):
        await committed(storage, event("first"))

        async def trips(*units: list[Operation]) -> int:
            before = storage.stats().round_trips
            await asyncio.gather(*[committed(storage, *unit) for unit in units])
            return storage.stats().round_trips - before

        begins: list[list[Operation]] = [[began(n), event("x")] for n in range(50)]
        ends: list[list[Operation]] = [[ended(n + 50), event("x")] for n in range(50)]
        both: list[list[Operation]] = [[began(n + 50), ended(n), event("x")] for n in range(50)]
        assert await trips(*begins) == 1
        assert await trips(*both) == 2
        assert await trips(*ends) == 2
        assert await trips([began(100)], [ended(100)]) == 3


async def test_a_read_of_several_finds_takes_one_round_trip(database: str, tmp_path: Path) -> None:
    relay = await postgresql.Relay(postgresql.shared().port).start()
    finds = [Find("brake", (Where("key", "=", b"a"),)), Find("outbox", limit=3), Find("incident"), Find("brake", order_by="key")]
    async with opened(postgresql.shared().behind(relay, database, pool_size=3), tmp_path) as (storage,):
        await insert(storage, "brake", brake("a"), brake("b"))
        counts = []
        for _ in range(4):
            before = relay.round_trips
            assert await storage.read(finds) == [[brake("a")], [], [], [brake("a"), brake("b")]]
            counts.append(relay.round_trips - before)
        # The first makes the statement; the heartbeat may come in between.
        assert min(counts[1:]) == 1
    await relay.stop()


async def test_after_many_mixes_of_work_a_batch_uses_a_statement_that_is_there(database: str, tmp_path: Path) -> None:
    """Each of 11 kinds of work in a batch or not: 2047 mixes, and a plan of each would fill the memory of the database."""
    writes = Writes()
    kinds = [("brake", action) for action in ("delete", "update", "guard", "insert", "upsert")]
    kinds += [(table, "insert") for table in ("handle", "outbox", "timeline", "incident", "accounting", "audit_event")]
    forms = set()
    for number in range(1, 2**11):
        needed = frozenset(kind for place, kind in enumerate(kinds) if number >> place & 1)
        form = writes.form(needed)
        assert needed <= set(form)
        forms.add(form)
    assert len(forms) <= EXACT_FORMS + 11


async def test_a_batch_of_a_rare_mix_writes_what_it_should(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.storage.postgres_sql.EXACT_FORMS", 2)
    async with opened(postgresql.shared().settings(database), tmp_path) as (storage,):
        await insert(storage, "brake", brake("a"), brake("b"))
        await committed(storage, Update("brake", A, {"level": 1}), Insert("outbox", message("1")))
        await committed(
            storage, Delete("brake", (Where("kind", "=", "user"), Where("key", "=", b"b"))), Upsert("brake", brake("c"))
        )
        await committed(storage, Update("brake", A, {"level": 2}), event("x"), Announce("t", "k"))
        await committed(storage, Insert("outbox", message("2")))
        assert await storage.find("brake", order_by="key") == [brake("a", level=2), brake("c")]
        assert await storage.count("outbox") == 2
        assert await storage.count("audit_event") == 1


# --- several workers and nodes ---------------------------------------------------------------------------------------


async def test_a_code_is_accepted_once_whichever_node_it_comes_to(database: str, tmp_path: Path) -> None:
    async with opened(postgresql.shared().settings(database), tmp_path, 3) as storages:
        await insert(storages[0], "brake", brake("a"))
        for step in range(1, 21):
            unit = [Update("brake", A, {"level": step}, (Where("level", "<", step),)), event("login:granted")]
            outcomes = await asyncio.gather(*[storage.commit(unit) for storage in storages for _ in range(10)])
            assert [type(outcome) for outcome in outcomes].count(Committed) == 1
            assert outcomes.count(Refused(0, "conflict")) == 29
        assert await storages[0].count("audit_event") == 20


async def test_a_handle_is_created_once_whichever_node_it_comes_to(database: str, tmp_path: Path) -> None:
    async with opened(postgresql.shared().settings(database), tmp_path, 3) as storages:
        for turn in range(10):
            units = [[Insert("outbox", message(f"{turn}", tries=n)), event("x")] for n in range(10)]
            outcomes = await asyncio.gather(*[storage.commit(unit) for storage in storages for unit in units])
            assert [type(outcome) for outcome in outcomes].count(Committed) == 1
            assert outcomes.count(Refused(0, "exists")) == 29


async def test_a_name_is_taken_once_whichever_node_it_comes_to(database: str, tmp_path: Path) -> None:
    """The unique value, not the key, is what they have in common."""
    async with opened(postgresql.shared().settings(database), tmp_path, 3) as storages:
        for turn in range(10):
            units = [[Insert("local_user", user(f"{turn}.{n}.{m}", f"ada{turn}"))] for n in range(3) for m in range(5)]
            outcomes = await asyncio.gather(*[storages[n % 3].commit(unit) for n, unit in enumerate(units)])
            assert [type(outcome) for outcome in outcomes].count(Committed) == 1
            assert outcomes.count(Refused(0, "exists")) == 14


async def test_nodes_that_change_the_same_rows_in_another_order_all_come_through(database: str, tmp_path: Path) -> None:
    async with opened(postgresql.shared().settings(database), tmp_path, 3) as storages:
        await insert(storages[0], "brake", *[brake(f"{n}") for n in range(5)])

        async def work(number: int, storage: PostgresStorage) -> None:
            for turn in range(20):
                order = [(turn * (number + 1) + n * (number % 2 or -1)) % 5 for n in range(3)]
                await committed(storage, *[Update("brake", brake_key(f"{n}"), {}, add={"failures": 1}) for n in order], event("x"))
                await committed(storage, Modify("brake", A, _raise))

        await asyncio.gather(*[work(number, storage) for number, storage in enumerate(storages)])
        rows = await storages[0].find("brake")
        assert sum(int(row["failures"] or 0) for row in rows) == 3 * 20 * 3
        assert (await storages[0].get("brake", A) or {})["level"] == 60
        for number in range(3):
            mine = [Where("writer", "=", f"w{number}")]
            assert [row["seq"] for row in await storages[0].find("audit_event", mine, order_by="seq")] == list(range(1, 21))


async def test_two_units_that_rely_on_what_the_other_changes_are_not_both_written(database: str, tmp_path: Path) -> None:
    """A demand (an update without changes) holds until the unit is written, not only when its row was read."""
    x, y = brake_key("x"), brake_key("y")
    async with opened(postgresql.shared().settings(database), tmp_path, 2) as (first, second):
        for _ in range(15):
            await committed(first, Upsert("brake", brake("x")), Upsert("brake", brake("y")))
            outcomes = await asyncio.gather(
                first.commit([Update("brake", x, {}, (Where("level", "=", 0),)), Update("brake", y, {"level": 1})]),
                second.commit([Update("brake", y, {}, (Where("level", "=", 0),)), Update("brake", x, {"level": 1})]),
            )
            assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Committed", "Refused"]


async def test_two_processes_with_one_chain_keep_it_whole(database: str, tmp_path: Path) -> None:
    async with opened(postgresql.shared().settings(database), tmp_path, 2) as storages:
        chain = TextChain("same")
        for storage in storages:
            storage.use_chain(chain)
        await asyncio.gather(*[committed(storages[n % 2], event(f"{n}")) for n in range(40)])
        rows = await storages[0].find("audit_event", order_by="seq")
        previous = bytes(32)
        for seq, row in enumerate(rows, 1):
            previous = chain.link(previous, seq, row)
            assert (row["seq"], row["link"]) == (seq, previous)
        assert len(rows) == 40


async def test_a_row_that_no_index_can_hold_is_an_error_of_its_unit_alone(database: str, tmp_path: Path) -> None:
    large = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(4000))
    async with opened(postgresql.shared().settings(database), tmp_path) as (storage,):
        units = [[Insert("outbox", message(large if n == 3 else f"{n}")), event(f"{n}")] for n in range(8)]
        outcomes = await asyncio.gather(*[storage.commit(unit) for unit in units], return_exceptions=True)
        assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, StorageError)] == [3]
        assert await storage.count("outbox") == await storage.count("audit_event") == 7


# --- announcements ---------------------------------------------------------------------------------------------------


async def test_another_process_hears_what_was_announced_and_the_own_process_hears_it_once(database: str, tmp_path: Path) -> None:
    async with opened(postgresql.shared().settings(database), tmp_path, 2) as (first, second):
        here: list[str] = []
        there: list[str] = []
        first.subscribe("nas", here.append)
        second.subscribe("nas", there.append)
        await committed(first, Announce("nas", "1"), Announce("other", "x"))
        await first.commit([Announce("nas", "lost"), Update("brake", brake_key("missing"), {})])
        await committed(first, Announce("nas", "ı\x1f2"))
        await until(lambda: _is(len(there) == 2))
        assert (here, there) == (["1", "ı\x1f2"], ["1", "ı\x1f2"])


async def test_a_key_that_is_too_long_to_travel_arrives_as_look_again(database: str, tmp_path: Path) -> None:
    async with opened(postgresql.shared().settings(database), tmp_path, 2) as (first, second):
        there: list[str] = []
        second.subscribe("nas", there.append)
        await committed(first, Announce("nas", "x" * 9000))
        await until(lambda: _is(bool(there)))
        assert there == [""]


async def test_after_a_lost_connection_subscribers_look_again(database: str, tmp_path: Path) -> None:
    async with opened(postgresql.shared().settings(database), tmp_path) as (storage,):
        heard: list[str] = []
        storage.subscribe("nas", heard.append)
        await postgresql.shared().execute(_END_SESSIONS.format(database))
        await until(lambda: _is(heard == [""]))


async def test_ended_sessions_are_felt_by_no_read_and_by_no_unit_that_was_not_being_written(database: str, tmp_path: Path) -> None:
    async with opened(postgresql.shared().settings(database), tmp_path) as (storage,):
        await insert(storage, "brake", brake("a"))
        for level in range(1, 6):
            await postgresql.shared().execute(_END_SESSIONS.format(database))
            found, _ = await asyncio.gather(storage.get("brake", A), committed(storage, Update("brake", A, {"level": level})))
            assert found is not None
            assert (await storage.get("brake", A) or {})["level"] == level


async def _is(truth: bool) -> bool:
    return truth


# --- what is refused -------------------------------------------------------------------------------------------------


async def test_a_database_that_may_forget_commits_is_refused(database: str, tmp_path: Path) -> None:
    url = postgresql.shared().url(database) + "&synchronous_commit=off"
    with pytest.raises(SettingsError, match="set it to on"):
        await PostgresStorage.open(DatabaseSettings(url=url), tmp_path)


async def test_a_missing_database_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="refused the login"):
        await PostgresStorage.open(postgresql.shared().settings("not_there"), tmp_path)


async def test_a_database_in_another_encoding_is_refused(tmp_path: Path) -> None:
    name = f"latin_{await postgresql.shared().create()}"
    await postgresql.shared().execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(SettingsError, match="ENCODING 'UTF8'"):
        await PostgresStorage.open(postgresql.shared().settings(name), tmp_path)


@pytest.mark.parametrize("place", ["file", "url"])
async def test_a_password_is_in_no_error_and_opens_the_database(tmp_path: Path, place: str) -> None:
    database = await postgresql.shared().create()
    account = f"account_{database}"
    with postgresql.server() as server:
        await server.execute(f"CREATE ROLE {account} LOGIN PASSWORD 'right-secret'")
        await server.execute(f"CREATE DATABASE {database} OWNER {account}")
        await server.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database)
        rules = server.directory / "data" / "pg_hba.conf"
        rules.write_text(f"host all {account} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")
        await server.execute("SELECT pg_reload_conf()")

        def settings(password: str) -> DatabaseSettings:
            url = server.url(database).replace(f"//{postgresql.USER}@", f"//{account}@")
            if place == "url":
                return DatabaseSettings(url=url.replace(f"//{account}@", f"//{account}:{password}@"))
            (tmp_path / "password").write_text(password + "\n")
            (tmp_path / "password").chmod(0o600)
            return DatabaseSettings(url=url, password_file="password")

        async with opened(settings("right-secret"), tmp_path) as (storage,):
            await insert(storage, "brake", brake("a"))
        with pytest.raises(SettingsError, match="refused the login") as raised:
            await PostgresStorage.open(settings("wrong-secret"), tmp_path)
        error: BaseException | None = raised.value
        while error is not None:
            assert "secret" not in str(error)
            error = error.__cause__


async def test_a_server_with_another_certificate_is_refused(tmp_path: Path) -> None:
    certificate, key = self_signed(datetime.now(UTC))
    other, _ = self_signed(datetime.now(UTC))
    (tmp_path / "right.pem").write_bytes(certificate)
    (tmp_path / "wrong.pem").write_bytes(other)
    with postgresql.server(ssl_for=(certificate, key)) as server:
        database = await server.create()

        def settings(mode: str, trusted: str) -> DatabaseSettings:
            url = server.url(database).replace("sslmode=disable", f"sslmode={mode}&sslrootcert={tmp_path / trusted}")
            return DatabaseSettings(url=url)

        async with opened(settings("verify-full", "right.pem"), tmp_path) as (storage,):
            await insert(storage, "brake", brake("a"))
            rows = await server.fetch(
                "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE application_name = 'wardgate'"
            )
            assert {row[0] for row in rows} == {True}
        with pytest.raises(StorageUnavailable, match="certificate"):
            await PostgresStorage.open(settings("verify-full", "wrong.pem"), tmp_path)
        with pytest.raises(SettingsError, match="cannot be read"):
            await PostgresStorage.open(settings("verify-full", "missing.pem"), tmp_path)


async def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")
    (tmp_path / "password").chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        await PostgresStorage.open(postgresql.shared().settings("postgres", password_file="password"), tmp_path)


async def test_an_unreachable_database_says_where(tmp_path: Path) -> None:
    settings = DatabaseSettings(url=f"postgresql://w:secret@127.0.0.1:{postgresql.free_port()}/x")
    with pytest.raises(StorageUnavailable, match=r"the database at 127\.0\.0\.1:") as raised:
        await PostgresStorage.open(settings, tmp_path)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://w@db:0/x",
        "postgresql://w@db:99999/x",
        "postgresql://w@db:port/x",
        "postgresql://w@db",
        "postgresql:///",
        "postgresql://w:secret@[::1/x",
        "postgresql://w@,/x",
        "mysql://w@db/x",
        "sqlite:",
    ],
)
def test_a_url_that_cannot_be_is_named_without_being_quoted(url: str) -> None:
    (problem,) = problems(DatabaseSettings(url=url))
    assert problem.startswith("database.url: ")
    assert "secret" not in problem


@pytest.mark.parametrize(
    "url",
    ["postgresql://w@a,b:5433/x", "postgres://w@[::1]:5432,[fe80::2]/x", "postgresql://w@/x?host=/run/postgresql", "sqlite:w.db"],
)
def test_a_url_that_can_be_is_taken(url: str) -> None:
    assert problems(DatabaseSettings(url=url)) == []


def test_a_password_is_taken_out_of_a_url() -> None:
    assert without_password("postgresql://w:se:cret@a,b:5433/x?sslmode=require") == "postgresql://w@a,b:5433/x?sslmode=require"
    assert has_password("postgresql://w:secret@a/x")
    assert has_password("postgresql://w@a/x?password=secret")
    assert not has_password("postgresql://w@a:5432/x")


async def test_the_pool_that_is_asked_for_is_all_that_is_taken(database: str, tmp_path: Path) -> None:
    async with opened(postgresql.shared().settings(database, pool_size=5), tmp_path) as (storage,):
        await asyncio.gather(*[storage.find("brake") for _ in range(50)], *[storage.get("brake", A) for _ in range(50)])
        asked = await asyncpg.connect(postgresql.shared().url("postgres"))
        count = await asked.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'wardgate'", database
        )
        await asked.close()
        assert count == 5
