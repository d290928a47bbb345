"""Fifty attempts at once, over two workers of one file and over two nodes of one database: no more than the limit pass."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import postgresql
from tests.conformance.storage.writers import PACKAGES, WriterProcess
from tests.flows.world import World, a_ring, at_once, elsewhere, reason
from wardgate.audit.trail import chain_for
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge, Outcome
from wardgate.engine.runtime import EngineParts
from wardgate.engine.settings import BrakeSettings, CodeSettings, SendingSettings
from wardgate.storage.port import Storage
from wardgate.storage.postgres import PostgresStorage
from wardgate.storage.sqlite_client import SqliteClientStorage

AT_ONCE = 50


@dataclass
class Pair:
    """One world, and two engines that share nothing but its database."""

    world: World
    engines: tuple[Engine, Engine]

    async def begin(self, number: int, name: str, password: str, client: str) -> Outcome:
        return await self.world.begin(name, password, origin=elsewhere(client=client), engine=self.engines[number % 2])


@asynccontextmanager
async def two_storages(kind: str, folder: Path) -> AsyncIterator[tuple[World, Storage]]:
    """A world on one of two connections, and the other."""
    ring = a_ring()
    async with AsyncExitStack() as ends:
        if kind == "workers":
            writer = WriterProcess(folder, chain_for(ring, "test", 1))
            ends.callback(writer.close)
            opened: list[Storage] = [await SqliteClientStorage.connect(writer.path, writer.socket, PACKAGES) for _ in range(2)]
        else:
            database = await postgresql.empty_database("races")
            settings = postgresql.shared().settings(database)
            opened = [await PostgresStorage.open(settings, folder) for _ in range(2)]
        for storage in opened:
            ends.push_async_callback(storage.close)
        world = World(opened[0], ring=ring)
        # The one writer has the chain; each node has its own.
        opened[1].use_chain(chain_for(ring, "test" if kind == "workers" else "second", 1))
        yield world, opened[1]


@pytest.fixture(params=["workers", pytest.param("nodes", marks=pytest.mark.neighbour("postgresql"))])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    async with two_storages(request.param, tmp_path) as (world, other):
        second = Engine(EngineParts(other, world.clock, lambda: world.ring, world.configuration, keep_messages=True))
        yield Pair(world, (world.engine, second))


async def test_one_name_is_guessed_at_five_times(pair: Pair) -> None:
    await pair.world.person("ada")
    outcomes = await at_once(*[pair.begin(number, "ada", f"guess {number}", "203.0.113.7") for number in range(AT_ONCE)])
    judged = [outcome for outcome in outcomes if reason(outcome) == "password_wrong"]
    assert len(judged) == pair.world.directory.checks == 5


@pytest.mark.parametrize(
    "settings",
    [
        BrakeSettings(network_failures=10, source_failures=1000),
        BrakeSettings(nas_failures=10, source_failures=1000),
        BrakeSettings(global_failures=10, source_failures=1000),
    ],
    ids=["network", "nas", "all"],
)
async def test_many_names_are_guessed_at_no_more_often_than_the_bucket_holds(pair: Pair, settings: BrakeSettings) -> None:
    pair.world.brakes = settings
    outcomes = await at_once(
        *[pair.begin(number, f"user{number}", "guess", f"203.0.113.{number + 1}") for number in range(AT_ONCE)]
    )
    judged = [outcome for outcome in outcomes if reason(outcome) == "user_unknown"]
    assert len(judged) == pair.world.directory.checks == 10
    assert len(await pair.world.payloads("engine:brake:locked")) == 1


async def test_a_bucket_in_parts_is_exact_as_soon_as_it_is_nearly_empty(pair: Pair) -> None:
    """Of a large one no token is taken before much of it is gone: then a burst comes upon what is left, and not upon more."""
    pair.world.brakes = BrakeSettings(network_failures=200, source_failures=1000)
    for number in range(190):
        await pair.begin(number, f"user{number}", "guess", f"203.0.113.{number % 250 + 1}")
    checks = pair.world.directory.checks
    await at_once(*[pair.begin(number, f"other{number}", "guess", f"203.0.113.{number + 1}") for number in range(AT_ONCE)])
    assert pair.world.directory.checks - checks == 10


@pytest.mark.parametrize("settings", [SendingSettings(sms_per_day=5), SendingSettings(sms_per_prefix_per_day=5)])
async def test_a_cap_is_not_passed_by_a_message(pair: Pair, settings: SendingSettings) -> None:
    pair.world.sending = settings
    for number in range(AT_ONCE):
        await pair.world.person(f"user{number}", phone=f"+90532{1234500 + number}")
    outcomes = await at_once(
        *[pair.begin(number, f"user{number}", "correct horse", f"198.51.{number}.1") for number in range(AT_ONCE)]
    )
    assert len([each for each in outcomes if isinstance(each, Challenge)]) == len(await pair.world.messages()) == 5
    [row] = [row for row in await pair.world.rows("sending") if row["prefix"] == "+90"]
    assert (row["messages"], row["refused"]) == (5, AT_ONCE - 5)


async def test_one_phone_gets_no_more_messages_than_its_hour_allows(pair: Pair) -> None:
    pair.world.codes = CodeSettings(messages_per_hour=5)
    await pair.world.person("ada", phone="+905321234567")
    await at_once(*[pair.begin(number, "ada", "correct horse", f"198.51.{number}.1") for number in range(AT_ONCE)])
    assert len(await pair.world.messages()) == 5
