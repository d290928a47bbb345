"""A freeze against what is being added at the same moment, on two workers of one machine and on two nodes of one PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.test_brake_races import two_storages
from tests.flows.world import World, elsewhere, is_granted
from wardgate.account.authenticator import create_authenticator
from wardgate.account.contact import Source, create_contact
from wardgate.account.freeze import TABLE, SetBy, lifting, unfrozen
from wardgate.account.subject import SubjectId
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.port import ContactKind
from wardgate.engine.freezing import Freezes, Freezing
from wardgate.engine.runtime import EngineParts
from wardgate.engine.wording import Whom
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Committed, Operation, Row, Storage

PEOPLE = 12


@pytest.fixture(params=["workers", pytest.param("nodes", marks=pytest.mark.neighbour("postgresql"))])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[World, Storage]]:
    async with two_storages(request.param, tmp_path) as found:
        yield found


def parts_of(world: World, storage: Storage) -> EngineParts:
    return EngineParts(storage, world.clock, lambda: world.ring, world.configuration, keep_messages=True)


def added(world: World, subject: SubjectId, number: int) -> list[Operation]:
    """What the pages write for an app, or a phone, of a person's own."""
    now_ms = to_ms(world.clock.now())
    if number % 2:
        phone = f"+9053212345{number:02}"
        return [unfrozen(subject), *create_contact(world.ring, subject, ContactKind.PHONE, phone, Source.PERSON, now_ms, now_ms)]
    settings: dict[str, str | int] = {"digits": 6, "period_s": 30, "algorithm": "SHA1", "by": "person"}
    _, insert = create_authenticator(world.ring, subject, "totp", "app", settings, Secret(bytes(20)), 0, now_ms)
    return [unfrozen(subject), insert]


async def test_nothing_that_is_added_at_the_moment_of_a_freeze_outlives_it(pair: tuple[World, Storage]) -> None:
    world, other = pair
    freezing, taken = Freezing(parts_of(world, other)), 0
    for number in range(PEOPLE):
        user = await world.person(f"ada{number}")
        subject = await world.subject_of(user)
        await world.give_hotp(user)
        world.later(7 * 86_400)
        whom = Whom(subject, user.name, "vpn", "", "WG123456", "en")
        frozen, *commits = await asyncio.gather(
            freezing.set(whom, user, to_ms(world.clock.now()), SetBy.PERSON, (), ()),
            *(world.storage.commit(added(world, subject, number)) for _ in range(2 - number % 2)),
        )
        assert frozen
        taken += sum(isinstance(each, Committed) for each in commits)
        mine = [row for row in await world.rows("authenticator") if row["subject_id"] == subject]
        assert [row["kind"] for row in mine if row["state"] == "active"] == ["hotp"]
        assert [row for row in await world.rows("contact") if row["subject_id"] == subject] == []
        assert not isinstance(await world.storage.commit(added(world, subject, number)), Committed)
    assert 0 <= taken <= 2 * PEOPLE


async def test_every_worker_knows_of_a_freeze_and_of_its_end(pair: tuple[World, Storage]) -> None:
    world, other = pair
    user = await world.person("ada")
    subject = await world.subject_of(user)
    here, there = Freezes(parts_of(world, world.storage)), Freezes(parts_of(world, other))
    for each in (here, there):
        assert await each.of(subject) is None
        assert each.knows_none(subject)
    whom, freezing = Whom(subject, "ada", "vpn", "", "WG123456", "en"), Freezing(parts_of(world, other))
    await freezing.set(whom, user, to_ms(world.clock.now()), SetBy.PERSON, (), ())
    await until(lambda: not here.knows_none(subject) and not there.knows_none(subject))
    frozen = await here.of(subject)
    assert frozen is not None
    made = await lifting(world.storage, world.ring, frozen, to_ms(world.clock.now()))
    await world.storage.commit(made.operations)
    assert await there.of(subject) is None
    assert await here.of(subject) is None
    # Of two who lift it one does.
    assert not isinstance(await other.commit(made.operations), Committed)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for an announcement."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


class Counting(MemoryStorage):
    """Counts the reads of freezes."""

    freezes = 0

    async def find(self, table: str, *given: Any, **named: Any) -> list[Row]:
        """As ever, counted."""
        self.freezes += table == TABLE
        return await super().find(table, *given, **named)


async def test_login_of_who_is_not_frozen_reads_no_freeze() -> None:
    """The memory of the few that are is read once, and once a minute from then on."""
    storage = Counting()
    world = World(storage=storage)
    await world.give_totp(await world.person("ada"))
    for _ in range(20):
        world.later(30)
        challenge = await world.challenged("ada")
        assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    assert 1 <= storage.freezes <= 11
    read = storage.freezes
    for _ in range(5):
        await world.begin("ada", "wrong", origin=elsewhere(client="198.51.100.9"))
    assert storage.freezes == read
