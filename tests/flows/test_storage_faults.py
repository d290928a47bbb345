"""The database fails at each commit and each read in turn: nobody is let in without a record, no code works twice, and it heals.

A commit may fail before anything was written, or after it is durable but before its answer comes (a lost connection).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.flows.world import BACKENDS, SECRET, World, a_storage, elsewhere, is_granted
from wardgate.crypto import Secret
from wardgate.delivery.outbox import list_messages
from wardgate.engine.outcome import Challenge, Outcome
from wardgate.errors import Overloaded, StorageUnavailable, UnavailableError
from wardgate.factors.totp import hotp
from wardgate.storage.port import Commit, Find, Operation, Row, Storage, Where


@dataclass
class FaultyStorage:
    """A storage that fails at the n-th call of a kind: `commit` (before), `answer` (after the commit) or `read`."""

    inner: Storage
    kind: str = ""
    at: int = 0
    error: type[UnavailableError] = StorageUnavailable
    calls: dict[str, int] = field(default_factory=dict)

    def _call(self, kind: str) -> None:
        self.calls[kind] = self.calls.get(kind, 0) + 1
        if kind == self.kind and self.calls[kind] == self.at:
            raise self.error("the disk is full")

    def watch(self, kind: str, at: int, error: type[UnavailableError] = StorageUnavailable) -> None:
        self.kind, self.at, self.error, self.calls = kind, at, error, {}

    async def commit(self, operations: Sequence[Operation]) -> Commit:
        self._call("commit")
        commit = await self.inner.commit(operations)
        self._call("answer")
        return commit

    async def get(self, table: str, key: Row) -> Row | None:
        self._call("read")
        return await self.inner.get(table, key)

    async def find(self, table: str, where: Sequence[Where] = (), **options: Any) -> list[Row]:
        self._call("read")
        return await self.inner.find(table, where, **options)

    async def read(self, finds: Sequence[Find]) -> list[list[Row]]:
        self._call("read")
        return await self.inner.read(finds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Talk:
    """A conversation that goes on after a fault, as people and firewalls do, and remembers who was let in by which code."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.let_in: list[str] = []
        self.faults = 0

    async def _call(self, code: str, call: Any) -> Outcome | None:
        try:
            outcome: Outcome = await call
        except (StorageUnavailable, Overloaded):
            self.faults += 1
            return None
        if is_granted(outcome):
            self.let_in.append(code)
        return outcome

    async def begin(self, name: str, password: str = "correct horse", **options: Any) -> Outcome | None:
        return await self._call(str(options.get("code", "")), self.world.begin(name, password, **options))

    async def answer(self, challenge: Outcome | None, code: str, name: str) -> Outcome | None:
        if not isinstance(challenge, Challenge):
            return challenge
        return await self._call(code, self.world.answer(challenge, code, name=name))

    async def sent(self, name: str) -> str:
        """The newest code; none when its message was never written."""
        faulty = self.world.storage
        assert isinstance(faulty, FaultyStorage)
        newest = await list_messages(faulty.inner, self.world.ring, 100)
        messages = [message.code for message in newest if message.user == name]
        return messages[0] if messages else "000000"

    async def run(self) -> None:
        """Everything that a day brings: each factor, wrong codes, resends, switches, joined logins, one-request logins."""
        world = self.world
        await self.begin("nobody", "guess")
        await self.begin("ada", "guess")
        challenge = await self.begin("ada")
        await self.begin("ada")
        challenge = await self.answer(challenge, world.wrong_code(), "ada")
        await self.answer(challenge, world.totp(), "ada")
        await self.begin("ada", world.totp())
        world.later(30)
        await self.begin("ada", code=world.totp(), can_challenge=False)
        await self.begin("ada", code=world.totp(), can_challenge=False)
        challenge = await self.begin("newbie")
        world.later(31)
        challenge = await self.answer(challenge, "sms", "newbie")
        await self.answer(challenge, await self.sent("newbie"), "newbie")
        challenge = await self.begin("dave")
        challenge = await self.answer(challenge, "recovery", "dave")
        await self.answer(challenge, self.sheet[0], "dave")
        challenge = await self.begin("erin")
        challenge = await self.answer(challenge, "", "erin")
        await self.answer(challenge, hotp(Secret(SECRET), 0, 6), "erin")
        await self.begin("frank")

    async def prepare(self) -> None:
        world = self.world
        await world.give_totp(await world.person("ada"))
        world.directory.add("newbie", "correct horse", phone="+905321234567")
        dave = await world.person("dave", mail="dave@acme.test")
        self.sheet = await world.give_recovery_codes(dave)
        await world.give_hotp(await world.person("erin"))
        await world.person("frank")


async def calls_of_a_day(folder: Path) -> dict[str, int]:
    async with a_storage("memory", folder) as storage:
        faulty = FaultyStorage(storage)
        talk = Talk(World(faulty))
        await talk.prepare()
        faulty.watch("", 0)
        await talk.run()
        assert len(talk.let_in) == 5
        return faulty.calls


async def day_with_a_fault(storage: Storage, kind: str, at: int, error: type[UnavailableError]) -> None:
    faulty = FaultyStorage(storage)
    world = World(faulty)
    talk = Talk(world)
    await talk.prepare()
    faulty.watch(kind, at, error)
    await talk.run()
    faulty.watch("", 0)
    where = f"{kind} {at}"
    assert talk.faults == 1, where

    granted = len(await world.events("engine:login:granted"))
    if kind == "answer":
        assert len(talk.let_in) <= granted <= len(talk.let_in) + 1, where
    else:
        assert granted == len(talk.let_in), where
    await no_code_works_twice(world, talk, granted, where)
    await later_logins_work(world, where)
    found = await world.verified()
    assert found.findings == (), where


async def no_code_works_twice(world: World, talk: Talk, granted: int, where: str) -> None:
    """Each code once more, in logins from elsewhere: those that let somebody in do not again."""
    elsewhere_now = elsewhere(client="198.51.100.77", binding="radius:other:")
    before = len(talk.let_in)
    for name, codes in {"dave": talk.sheet[:1], "erin": [hotp(Secret(SECRET), 0, 6)]}.items():
        for code in codes:
            challenge = await world.begin(name, origin=elsewhere_now)
            assert isinstance(challenge, Challenge), where
            if name == "dave":
                challenge = await world.answer(challenge, "recovery", name=name, origin=elsewhere_now)
            if is_granted(await world.answer(challenge, code, name=name, origin=elsewhere_now)):
                talk.let_in.append(code)
    again = [code for code in talk.let_in[before:] if code in talk.let_in[:before]]
    assert again == [], where
    assert len(await world.events("engine:login:granted")) == granted + len(talk.let_in) - before, where


async def later_logins_work(world: World, where: str) -> None:
    world.later(3 * 3600)
    for name in ("ada", "newbie", "erin"):
        challenge = await world.begin(name)
        assert isinstance(challenge, Challenge), where
        code = {"ada": world.totp(), "erin": hotp(Secret(SECRET), 3, 6)}.get(name) or await world.code("newbie")
        assert is_granted(await world.answer(challenge, code, name=name)), where


@pytest.mark.parametrize("kind", ["commit", "answer", "read"])
@pytest.mark.parametrize("error", [StorageUnavailable, Overloaded])
async def test_a_database_that_fails_once_anywhere_lets_nobody_in_unrecorded_or_twice(
    kind: str, error: type[UnavailableError], tmp_path: Path
) -> None:
    calls = await calls_of_a_day(tmp_path)
    for at in range(1, calls[kind] + 1):
        async with a_storage("memory", tmp_path) as storage:
            await day_with_a_fault(storage, kind, at, error)


@pytest.mark.parametrize("kind", ["commit", "answer"])
async def test_the_same_on_sqlite(kind: str, tmp_path: Path) -> None:
    calls = await calls_of_a_day(tmp_path)
    for at in range(1, calls[kind] + 1, 4):
        folder = tmp_path / str(at)
        folder.mkdir()
        async with a_storage("sqlite", folder) as storage:
            await day_with_a_fault(storage, kind, at, StorageUnavailable)


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_grant_whose_commit_fails_is_no_grant_and_its_code_still_works(backend: str, tmp_path: Path) -> None:
    async with a_storage(backend, tmp_path) as storage:
        faulty = FaultyStorage(storage)
        world = World(faulty)
        await world.give_totp(await world.person("ada"))
        challenge = await world.challenged("ada")
        faulty.watch("commit", 1)
        with pytest.raises(StorageUnavailable):
            await world.answer(challenge, world.totp(), name="ada")
        assert await world.events("engine:login:granted") == []
        assert is_granted(await world.answer(challenge, world.totp(), name="ada"))


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_grant_whose_answer_is_lost_is_repeated_for_the_same_packet_and_for_no_other(backend: str, tmp_path: Path) -> None:
    async with a_storage(backend, tmp_path) as storage:
        faulty = FaultyStorage(storage)
        world = World(faulty)
        await world.give_totp(await world.person("ada"))
        challenge = await world.challenged("ada")
        faulty.watch("answer", 1)
        with pytest.raises(StorageUnavailable):
            await world.answer(challenge, world.totp(), name="ada", fingerprint=b"packet")
        assert len(await world.events("engine:login:granted")) == 1
        assert not is_granted(await world.answer(challenge, world.totp(), name="ada"))
        assert is_granted(await world.answer(challenge, world.totp(), name="ada", fingerprint=b"packet"))
        assert len(await world.events("engine:login:granted")) == 1


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_caller_that_goes_away_while_its_grant_is_written_leaves_whole_state(backend: str, tmp_path: Path) -> None:
    async with a_storage(backend, tmp_path) as storage:
        world = World(storage)
        await world.give_totp(await world.person("ada"))
        challenge = await world.challenged("ada")
        task = asyncio.ensure_future(world.answer(challenge, world.totp(), name="ada"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        granted = len(await world.events("engine:login:granted"))
        again = await world.begin("ada", origin=elsewhere(client="198.51.100.1"))
        outcome = await world.answer(again, world.totp(), name="ada", origin=elsewhere(client="198.51.100.1"))
        assert granted + is_granted(outcome) == 1
        assert (await world.verified()).findings == ()
