"""A brake must not tell that a login name and a mail address belong to one person, nor that either exists."""

import re

import pytest

from tests.flows.world import NAS, World, elsewhere, reason, says, wait_says
from wardgate.engine.outcome import Challenge, Denied, Origin, Outcome

STRANGERS = elsewhere(client="198.51.100.66")


@pytest.fixture
async def world() -> World:
    made = World()
    await made.give_totp(await made.person("carol", mail="carol@mail.test"))
    return made


def heard(outcome: Outcome) -> tuple[str, float | None]:
    """What somebody outside gets to know: the words without the reference, and how long they were held back."""
    assert isinstance(outcome, Denied | Challenge), outcome
    return re.sub(r"[0-9A-Z]{8}$", "", says(outcome)), outcome.not_before


async def guesses(world: World, name: str, times: int, origin: Origin, **options: object) -> list[str]:
    """What is heard of so many guesses; none earlier than its floor."""
    told = []
    for number in range(times):
        words, not_before = heard(await world.begin(name, f"guess {number}", origin=origin, **options))
        assert not_before == world.trail.started + 0.3
        told.append(words)
    return told


@pytest.mark.parametrize(("first", "second"), [("carol", "carol@mail.test"), ("carol@mail.test", "carol")])
async def test_guesses_at_one_name_do_not_show_in_the_other(world: World, first: str, second: str) -> None:
    strangers = {"carol": "ghost", "carol@mail.test": "ghost@mail.test"}
    person = await guesses(world, first, 6, NAS) + await guesses(world, second, 7, NAS)
    nobody = await guesses(world, strangers[first], 6, STRANGERS) + await guesses(world, strangers[second], 7, STRANGERS)
    assert person == nobody
    assert person[5] != person[0]
    assert person[6] == person[0]


async def test_nor_do_guesses_at_a_code_beside_the_right_password(world: World) -> None:
    async def all_at_once(name: str, password: str, origin: Origin) -> list[str]:
        told = []
        for _ in range(6):
            told.append(heard(await world.begin(name, password, code="000000", can_challenge=False, origin=origin))[0])
        return told

    person = await all_at_once("carol", "correct horse", NAS) + await all_at_once("carol@mail.test", "correct horse", NAS)
    nobody = await all_at_once("ghost", "correct horse", STRANGERS) + await all_at_once("ghost@mail.test", "x", STRANGERS)
    assert person == nobody


async def test_another_name_of_the_same_person_is_no_way_around_the_brake(world: World) -> None:
    await world.wrong_passwords("carol", 5)
    checks = world.directory.checks
    assert reason(await world.begin("carol@mail.test")) == "brake_user_source"
    assert world.directory.checks == checks, "the right password is not even looked at"


async def test_guesses_through_both_names_count_together(world: World) -> None:
    for number in range(5):
        await world.begin(("carol", "carol@mail.test")[number % 2], "guess")
    assert reason(await world.begin("carol")) == "brake_user_source"
    assert reason(await world.begin("carol@mail.test")) == "brake_user_source"


async def test_the_person_is_told_to_wait_after_wrong_passwords_and_wrong_codes(world: World) -> None:
    challenge: Outcome = await world.challenged("carol")
    for _ in range(3):
        challenge = await world.answer(challenge, world.wrong_code(), name="carol")
    await world.wrong_passwords("carol", 2)
    assert wait_says(await world.begin("carol")) == 5


async def test_a_success_forgets_for_both(world: World) -> None:
    await world.wrong_passwords("carol", 4)
    await world.answer(await world.challenged("carol"), world.totp(), name="carol")
    await world.wrong_passwords("carol", 4)
    assert isinstance(await world.begin("carol"), Challenge)
    await world.wrong_passwords("carol", 1)
    assert wait_says(await world.begin("carol")) == 5
