"""Nor may guesses that are judged at the same time tell that two names belong to one person, or that one exists."""

import asyncio
import re

import pytest

from tests.flows.world import NAS, World, at_once, elsewhere, reason, says
from wardgate.engine import first_factor
from wardgate.engine.outcome import Denied, Origin, Outcome

STRANGERS = elsewhere(client="198.51.100.66")
PLACES = 5


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_factor, "RESERVE_AGAIN_S", 0.001)
    monkeypatch.setattr(first_factor, "RESERVE_WAIT_S", 0.06)


def heard(outcome: Outcome) -> str:
    assert isinstance(outcome, Denied), outcome
    return re.sub(r"[0-9A-Z]{8}$", "", says(outcome))


async def beside(world: World, filling: str, name: str, origin: Origin) -> Outcome:
    """What a guess at `name` comes to while guesses at `filling` take all places and the directory is slow to judge them."""
    judged = asyncio.Event()
    real = world.directory.check_password, world.directory.check_nobody

    async def slow_check(*arguments: object) -> object:
        await judged.wait()
        return await real[0](*arguments)  # type: ignore[arg-type]

    async def slow_nobody(*arguments: object) -> None:
        await judged.wait()
        await real[1](*arguments)  # type: ignore[arg-type]

    world.directory.check_password, world.directory.check_nobody = slow_check, slow_nobody  # type: ignore[method-assign, assignment]
    first = [asyncio.ensure_future(world.begin(filling, f"guess {number}", origin=origin)) for number in range(PLACES)]
    while await world.in_flight() < PLACES:
        await asyncio.sleep(0)
    last = await world.begin(name, "guess", origin=origin)
    judged.set()
    await at_once(*first)
    world.directory.check_password, world.directory.check_nobody = real  # type: ignore[method-assign]
    return last


async def test_a_guess_that_waits_for_guesses_at_another_name_of_the_person_does_not_say_so(world: World) -> None:
    """`carol` and `carol@mail.test` share their places; a ghost and an address of nobody do not."""
    await world.give_totp(await world.person("carol", mail="carol@mail.test"))
    waited = await beside(world, "carol", "carol@mail.test", NAS)
    assert reason(waited) == "brake_user_source"
    assert heard(waited) == heard(await world.begin("ghost@mail.test", "guess", origin=STRANGERS))


async def test_the_lock_that_begins_while_a_guess_at_another_name_waits_does_not_show_in_it(world: World) -> None:
    await world.give_totp(await world.person("carol", mail="carol@mail.test"))
    world.directory.delay_s = 0.02
    names = ["carol"] * PLACES + ["carol@mail.test"]
    *_, waited = await at_once(*(world.begin(name, f"guess {number}") for number, name in enumerate(names)))
    assert reason(waited) == "brake_user_source"
    assert heard(waited) == heard(await world.begin("ghost@mail.test", "guess", origin=STRANGERS))


async def test_when_all_places_stay_taken_known_and_unknown_names_hear_the_same(world: World) -> None:
    await world.give_totp(await world.person("carol"))
    person, nobody = await beside(world, "carol", "carol", NAS), await beside(world, "ghost", "ghost", STRANGERS)
    assert reason(person) == reason(nobody) == "brake_user_source"
    assert heard(person) == heard(nobody)
