"""Answers to a State that carries its login: guesses at used, kept and stale ones, and what their refusals do not tell."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.flows.world import World, at_once, elsewhere, is_granted, reason
from wardgate.directory.port import DirectoryUser
from wardgate.engine.outcome import Challenge, Granted, Origin
from wardgate.errors import DirectoryUnavailable
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Commit, Find, Operation, Row

HOME = elsewhere(client="203.0.113.7")
CAFE = elsewhere(client="198.51.100.9")


async def clean(world: World) -> Challenge:
    """The open question of somebody who logged in from home before, and failed nowhere since."""
    await world.give_totp(await world.person("ada"))
    assert is_granted(await world.answer(await world.challenged("ada"), world.totp(), name="ada"))
    world.later(30)
    return await world.challenged("ada")


class Watched(MemoryStorage):
    """Notes which tables are read, and what is committed."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[str] = []

    async def get(self, table: str, key: Row) -> Row | None:
        self.tables.append(table)
        return await super().get(table, key)

    async def read(self, finds: Sequence[Find]) -> list[list[Row]]:
        self.tables += [each.table for each in finds]
        return await super().read(finds)

    async def commit(self, operations: Sequence[Operation]) -> Commit:
        self.tables.append("commit")
        return await super().commit(operations)

    def told(self) -> list[str]:
        """What was done since this was asked last: more or less of it takes more or less time."""
        told = self.tables.copy()
        self.tables.clear()
        return told


@pytest.mark.parametrize("used_by", ["no code", " "])
async def test_a_used_state_does_not_tell_right_codes_by_their_time(used_by: str) -> None:
    """No brake counts what is guessed at a State that is over: whoever kept one could try codes at it without end."""
    storage = Watched()
    world = World(storage=storage)
    challenge = await clean(world)
    assert isinstance(await world.answer(challenge, used_by, name="ada"), Challenge)
    storage.told()
    assert reason(await world.answer(challenge, world.wrong_code(), name="ada")) == "state_used"
    for_wrong = storage.told()
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "state_used"
    assert storage.told() == for_wrong


@pytest.mark.parametrize("origin", [HOME, CAFE])
async def test_states_kept_for_later_do_not_tell_right_codes_by_their_time_under_a_brake(origin: Origin) -> None:
    """As many States as somebody likes are begun before the guesses that make the brake hold, or taken elsewhere."""
    storage = Watched()
    world = World(storage=storage)
    first, second = await clean(world), await world.challenged("ada")
    await world.wrong_passwords("ada", 5, origin=origin)
    storage.told()
    assert reason(await world.answer(first, world.wrong_code(), name="ada", origin=origin)) == "brake_user_source"
    for_wrong = storage.told()
    assert reason(await world.answer(second, world.totp(), name="ada", origin=origin)) == "brake_user_source"
    assert storage.told() == for_wrong


class Distant(MemoryStorage):
    """A database to which each look takes a while."""

    async def read(self, finds: Sequence[Find]) -> list[list[Row]]:
        await asyncio.sleep(0)
        return await super().read(finds)


async def test_a_right_code_does_not_overtake_the_guesses_that_came_before_it() -> None:
    """Of many guesses at one State one is counted: whichever it is has to be the one that is judged as well."""
    world = World(storage=Distant())
    challenge = await clean(world)
    guesses = [*[world.wrong_code()] * 5, world.totp()]
    outcomes = await at_once(*(world.answer(challenge, guess, name="ada") for guess in guesses))
    assert not any(map(is_granted, outcomes))
    assert await world.failures() == 1
    assert is_granted(await world.answer(await world.challenged("ada"), world.totp(), name="ada")), "it was not used up"


async def test_an_answer_from_an_address_that_is_braked_is_held_there(world: World) -> None:
    """The login began at home; its State is answered from where others guess."""
    challenge = await clean(world)
    await world.begin("ada", origin=CAFE)
    for number in range(30):
        await world.begin(f"user{number}", "guess", origin=CAFE)
    assert reason(await world.answer(challenge, world.totp(), name="ada", origin=CAFE)) == "brake_source"


async def test_a_lock_that_began_after_the_question_holds_the_right_code(world: World) -> None:
    challenge = await clean(world)
    await world.wrong_passwords("ada", 5)
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "brake_user_source"
    assert len(await world.events("engine:login:granted")) == 1


async def test_a_guess_after_the_question_is_forgotten_by_the_right_code(world: World) -> None:
    challenge = await clean(world)
    await world.wrong_passwords("ada", 2)
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    assert await world.failures() == 0
    assert await world.failures("user") == 0


async def test_a_state_that_was_used_is_worth_nothing_with_another_packet(world: World) -> None:
    challenge = await clean(world)
    code = world.totp()
    first = await world.answer(challenge, code, name="ada", fingerprint=b"one packet")
    assert isinstance(first, Granted)
    world.later(30)
    assert reason(await world.answer(challenge, world.totp(), name="ada", engine=world.another_engine())) == "state_used"
    assert await world.failures() == 0


async def test_the_same_packet_again_gets_its_outcome_from_any_engine(world: World) -> None:
    challenge = await clean(world)
    engines = [world.another_engine() for _ in range(6)]
    code = world.totp()
    outcomes = await at_once(
        *(world.answer(challenge, code, name="ada", fingerprint=b"one packet", engine=each) for each in (world.engine, *engines))
    )
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert is_granted(outcomes[0])
    assert len(await world.events("engine:login:granted")) == 2


async def test_an_app_that_was_taken_away_after_the_question_lets_nobody_in(world: World) -> None:
    challenge = await clean(world)
    [row] = await world.rows("authenticator")
    await world.revoke(str(row["id"]))
    assert not is_granted(await world.answer(challenge, world.totp(), name="ada"))


async def test_a_source_that_was_noted_hours_ago_is_noted_again(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    for _ in range(3):
        world.later(3 * 3600)
        assert is_granted(await world.answer(await world.challenged("ada"), world.totp(), name="ada"))
        [pair] = [row for row in await world.rows("brake") if row["kind"] == "user_source"]
        now_ms = int(world.clock.now().timestamp() * 1000)
        assert pair["succeeded_at"] == now_ms
        assert pair["expires_at"] == now_ms + 30 * 86_400_000


async def test_a_directory_that_does_not_answer_is_waited_for_once(world: World) -> None:
    """A NAS's patience is as long as one wait; and nothing is used up by it."""
    challenge = await clean(world)
    asked = world.directory.get
    waits: list[str] = []

    async def silent(immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        waits.append(immutable_id)
        raise DirectoryUnavailable("it did not answer")

    world.directory.get = silent  # type: ignore[method-assign]
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "directory_down"
    assert len(waits) == 1
    world.directory.get = asked  # type: ignore[method-assign]
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))


async def test_a_wrong_code_asks_the_directory_once(world: World) -> None:
    """Or guesses would cost a directory twice what right codes do."""
    challenge = await clean(world)
    asked = world.directory.get
    seen: list[str] = []

    async def counting(immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        seen.append(immutable_id)
        return await asked(immutable_id, timeout_s)

    world.directory.get = counting  # type: ignore[method-assign]
    assert isinstance(await world.answer(challenge, world.wrong_code(), name="ada"), Challenge)
    assert len(seen) == 1
    assert await world.failures() == 1
