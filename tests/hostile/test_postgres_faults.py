"""PostgreSQL that dies, falls silent, becomes a standby or does not answer: nothing is lost or done twice, and it heals."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests import postgresql
from tests.conformance.storage.rows import TextChain, brake, brake_key, committed, event, insert, message
from wardgate.errors import StorageUnavailable
from wardgate.storage.port import Announce, Commit, Committed, Insert, Refused, Update, Where
from wardgate.storage.postgres import PostgresStorage
from wardgate.storage.postgres_sql import Query
from wardgate.storage.settings import DatabaseSettings

pytestmark = pytest.mark.neighbour("postgresql")
A = brake_key("a")
PATIENCE_S = 60


@asynccontextmanager
async def opened(settings: DatabaseSettings, directory: Path, writer: str = "w1") -> AsyncIterator[PostgresStorage]:
    storage = await PostgresStorage.open(settings, directory)
    storage.use_chain(TextChain(writer))
    try:
        yield storage
    finally:
        await storage.close()


async def healed(work: Callable[[], Awaitable[object]]) -> None:
    """Repeat until the storage answers again."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(StorageUnavailable):
                await work()
                return
            await asyncio.sleep(0.02)


async def _chain_is_whole(storage: PostgresStorage, writer: str = "w1") -> int:
    chain, previous = TextChain(writer), bytes(32)
    rows = await storage.find("audit_event", [Where("writer", "=", writer)], order_by="seq")
    for seq, row in enumerate(rows, 1):
        previous = chain.link(previous, seq, row)
        assert (row["seq"], row["link"]) == (seq, previous)
    return len(rows)


async def test_kill_9_of_the_postmaster_during_a_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with postgresql.server() as server:
        database = await server.create()
        async with opened(server.settings(database), tmp_path) as storage:
            await insert(storage, "brake", brake("a"))
            kept: list[str] = []
            unsure: list[str] = []
            ended = asyncio.Event()

            async def caller(name: int) -> None:
                turn = 0
                while not ended.is_set():
                    turn += 1
                    key = f"{name}.{turn}"
                    try:
                        await committed(
                            storage, Insert("outbox", message(key)), Update("brake", A, {}, add={"failures": 1}), event(key)
                        )
                        kept.append(key)
                    except StorageUnavailable:
                        unsure.append(key)
                        await asyncio.sleep(0.01)

            callers = [asyncio.ensure_future(caller(name)) for name in range(20)]
            for kill in range(1, 4):
                reached = len(kept) + 200
                async with asyncio.timeout(PATIENCE_S):
                    while len(kept) < reached:
                        await asyncio.sleep(0.005)
                await asyncio.to_thread(server.stop, signal.SIGKILL)
                async with asyncio.timeout(PATIENCE_S):
                    while len(unsure) < kill:
                        await asyncio.sleep(0.005)
                await asyncio.to_thread(server.start)
            await healed(
                lambda: committed(
                    storage, Insert("outbox", message("after")), Update("brake", A, {}, add={"failures": 1}), event("after")
                )
            )
            ended.set()
            await asyncio.gather(*callers)
            await healed(lambda: storage.count("outbox"))
            found = {str(row["id"]) for row in await storage.find("outbox")}
            assert {*kept, "after"} <= found
            assert found <= {*kept, *unsure, "after"}
            assert (await storage.get("brake", A) or {})["failures"] == len(found)
            assert await _chain_is_whole(storage) == len(found)


async def test_after_a_failover_the_new_primary_is_found(tmp_path: Path) -> None:
    with postgresql.server() as primary, postgresql.server(copy_of=primary) as standby:
        database = await primary.create()
        hosts = f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}"
        url = primary.url(database).replace(f"127.0.0.1:{primary.port}", hosts)
        # The standby has to know the database before anybody may ask it.
        await _replicated(standby, f"SELECT 1 FROM pg_database WHERE datname = '{database}'")
        async with opened(DatabaseSettings(url=url, connect_timeout_s=2), tmp_path) as storage:
            heard: list[str] = []
            storage.subscribe("nas", heard.append)
            await insert(storage, "brake", brake("a"))
            await _replicated(standby, "SELECT 1 FROM brake", database)
            await asyncio.to_thread(primary.stop, signal.SIGQUIT)
            with pytest.raises(StorageUnavailable):
                # The promotion has not come yet: nobody takes writes.
                await committed(storage, Update("brake", A, {"level": 5}))
            await asyncio.to_thread(standby.promote)
            await healed(lambda: committed(storage, Update("brake", A, {"level": 7})))
            await healed(lambda: storage.count("brake"))
            assert (await storage.get("brake", A) or {})["level"] == 7
            assert [row[0] for row in await standby.fetch("SELECT level FROM brake", database)] == [7]
            async with asyncio.timeout(PATIENCE_S):
                while not heard:
                    await asyncio.sleep(0.02)
            assert set(heard) == {""}


async def _replicated(standby: postgresql.Server, sql: str, database: str = "postgres") -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(asyncpg.PostgresError):
                if await standby.fetch(sql, database):
                    return
            await asyncio.sleep(0.05)


async def test_a_server_that_turns_read_only_is_left_and_found_again(tmp_path: Path) -> None:
    with postgresql.server() as server:
        database = await server.create()
        async with opened(server.settings(database), tmp_path) as storage:
            await insert(storage, "brake", brake("a"))
            await server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await server.execute("SELECT pg_reload_conf()")
            async with asyncio.timeout(PATIENCE_S):
                while await _is_taken(storage):
                    pass
            await server.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await server.execute("SELECT pg_reload_conf()")
            await healed(lambda: committed(storage, Update("brake", A, {"level": 99})))


async def _is_taken(storage: PostgresStorage) -> bool:
    try:
        await committed(storage, Update("brake", A, {}, add={"level": 1}))
    except StorageUnavailable:
        return False
    return True


async def test_a_row_that_somebody_keeps_locked_costs_a_bounded_time(tmp_path: Path) -> None:
    database = await postgresql.empty_database("faults")
    async with opened(postgresql.shared().settings(database, statement_timeout_s=1), tmp_path) as storage:
        await insert(storage, "brake", brake("a"), brake("b"))
        other = await asyncpg.connect(postgresql.shared().url(database))
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT * FROM brake WHERE key = 'a' FOR UPDATE")
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(StorageUnavailable):
                await committed(storage, Update("brake", A, {"level": 1}))
        await transaction.rollback()
        await other.close()
        assert (await storage.get("brake", A) or {})["level"] == 0
        await committed(storage, Update("brake", A, {"level": 2}))


async def test_a_statement_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    database = await postgresql.empty_database("faults")
    async with opened(postgresql.shared().settings(database, statement_timeout_s=1), tmp_path) as storage:
        other = await asyncpg.connect(postgresql.shared().url(database))
        transaction = other.transaction()
        await transaction.start()
        await other.execute("LOCK TABLE brake IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(StorageUnavailable):
                await storage.find("brake")
        await transaction.rollback()
        await other.close()
        assert await storage.find("brake") == []


async def _silent_server() -> asyncio.Server:
    held: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    return await asyncio.start_server(accept, "127.0.0.1", 0)


async def test_a_host_that_says_nothing_is_left_in_time_for_the_next(tmp_path: Path) -> None:
    database = await postgresql.empty_database("faults")
    silent = await _silent_server()
    port = silent.sockets[0].getsockname()[1]
    server = postgresql.shared()
    url = server.url(database).replace(f"127.0.0.1:{server.port}", f"127.0.0.1:{port},127.0.0.1:{server.port}")
    async with asyncio.timeout(PATIENCE_S), opened(DatabaseSettings(url=url, connect_timeout_s=50), tmp_path) as storage:
        await insert(storage, "brake", brake("a"))
    silent.close()


async def test_a_database_that_says_nothing_at_all_ends_the_start(tmp_path: Path) -> None:
    silent = await _silent_server()
    url = f"postgresql://w@127.0.0.1:{silent.sockets[0].getsockname()[1]}/x?sslmode=disable"
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StorageUnavailable, match="no answer in time"):
            await PostgresStorage.open(DatabaseSettings(url=url, connect_timeout_s=1), tmp_path)
    silent.close()


async def test_a_cut_cable_ends_in_refusals_and_heals(tmp_path: Path) -> None:
    database = await postgresql.empty_database("faults")
    relay = await postgresql.Relay(postgresql.shared().port).start()
    settings = postgresql.shared().behind(relay, database, statement_timeout_s=1, connect_timeout_s=1)
    async with opened(settings, tmp_path) as storage:
        failures: list[None] = []
        storage.on_failure = lambda: failures.append(None)
        await insert(storage, "brake", brake("a"))
        # Where the chain ends is known from here on: what is cut is a write, not the look before it.
        await storage.commit([event("before")])
        relay.cut()
        async with asyncio.timeout(PATIENCE_S):
            outcomes = await asyncio.gather(
                *[storage.commit([Insert("outbox", message(f"{n}")), event(f"{n}")]) for n in range(10)],
                storage.get("brake", A),
                return_exceptions=True,
            )
        assert all(isinstance(outcome, StorageUnavailable) for outcome in outcomes)
        assert any("unknown" in str(outcome) for outcome in outcomes)
        assert failures
        relay.mend()
        await healed(lambda: committed(storage, Update("brake", A, {"level": 1})))
        await healed(lambda: storage.get("brake", A))
        await healed(lambda: committed(storage, event("after")))
        # What was on its way may have arrived or not: whole, in any case.
        assert await _chain_is_whole(storage) == await storage.count("outbox") + 2
    await relay.stop()


async def test_what_waits_behind_a_dead_database_is_refused_and_not_kept_forever(tmp_path: Path) -> None:
    with postgresql.server() as server:
        database = await server.create()
        async with opened(server.settings(database), tmp_path) as storage:
            await insert(storage, "brake", brake("a"))
            await asyncio.to_thread(server.stop)
            async with asyncio.timeout(PATIENCE_S):
                outcomes: list[Commit | BaseException] = await asyncio.gather(
                    *[storage.commit([Update("brake", A, {}, add={"level": 1})]) for _ in range(2000)], return_exceptions=True
                )
            assert all(isinstance(outcome, StorageUnavailable) for outcome in outcomes)
            await asyncio.to_thread(server.start)
            await healed(lambda: committed(storage, Update("brake", A, {"level": 3}), Announce("t", "k")))
            assert not isinstance(await storage.commit([Update("brake", A, {"level": 4})]), Refused)
            assert isinstance(await storage.commit([]), Committed)


async def test_a_read_on_a_cut_cable_is_not_asked_again_on_every_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would stay silent for as long as the first, and the NAS gives up meanwhile."""
    database = await postgresql.shared().create()
    relay = await postgresql.Relay(postgresql.shared().port).start()
    settings = postgresql.shared().behind(relay, database, statement_timeout_s=1, connect_timeout_s=1, pool_size=6)
    asked = 0
    once = PostgresStorage._fetch_once

    async def counted(self: PostgresStorage, query: Query, long: bool) -> list[Any]:
        nonlocal asked
        asked += 1
        return await once(self, query, long)

    try:
        async with opened(settings, tmp_path) as storage:
            await storage.find("brake", limit=1)
            monkeypatch.setattr(PostgresStorage, "_fetch_once", counted)
            relay.cut()
            with pytest.raises(StorageUnavailable):
                await storage.find("brake", limit=1)
            assert asked <= 2
            relay.mend()
    finally:
        await relay.stop()
