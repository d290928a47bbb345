"""Recovery codes: typed by hand on a bad day, good once."""

import pytest

from tests.flows.world import World, floor, is_asked_first, is_granted, rule, says
from wardgate.engine.outcome import Challenge


async def login(world: World, code: str) -> bool:
    challenge = await world.challenged("dave")
    return is_granted(await world.answer(challenge, code, name="dave"))


async def a_sheet(world: World) -> list[str]:
    return await world.give_recovery_codes(await world.person("dave"))


async def test_each_code_of_a_sheet_lets_in_once(world: World) -> None:
    for code in await a_sheet(world):
        assert await login(world, code)
        assert not await login(world, code)
        world.later(7200)


@pytest.mark.parametrize("write", [str.lower, str.upper, lambda code: code.replace("-", ""), lambda code: code.replace("-", " ")])
async def test_case_blanks_and_hyphens_do_not_matter(world: World, write: object) -> None:
    assert callable(write)
    codes = await a_sheet(world)
    assert await login(world, write(codes[0]))


async def test_the_same_code_in_other_letters_is_the_same_code(world: World) -> None:
    codes = await a_sheet(world)
    assert await login(world, codes[0])
    assert not await login(world, codes[0].lower().replace("-", " "))


@pytest.mark.parametrize("typed", ["", "0000-0000-00000", "123456", "not a code at all", "0" * 64, "0" * 128])
async def test_anything_else_is_wrong(world: World, typed: str) -> None:
    await a_sheet(world)
    challenge = await world.challenged("dave")
    again = await world.answer(challenge, typed or "-", name="dave")
    assert says(again).startswith("The code is not right")


async def test_wrong_recovery_codes_are_guesses_and_are_counted(world: World) -> None:
    """A guess that the storage refuses must cost as much as one that the factor refuses by itself."""
    await a_sheet(world)
    for _ in range(2):
        challenge = await world.challenged("dave")
        while isinstance(challenge, Challenge):
            challenge = await world.answer(challenge, "0000-0000-00000", name="dave")
    assert is_asked_first(await world.begin("dave"))


async def test_a_code_of_another_persons_sheet_is_wrong(world: World) -> None:
    await a_sheet(world)
    others = await world.give_recovery_codes(await world.person("eve"))
    assert not await login(world, others[0])
    challenge = await world.challenged("eve")
    assert is_granted(await world.answer(challenge, others[0], name="eve")), "and it was not spent by that"


async def test_of_two_sheets_the_newer_one_holds(world: World) -> None:
    dave = await world.person("dave")
    old = await world.give_recovery_codes(dave)
    world.later(1)
    new = await world.give_recovery_codes(dave)
    assert not await login(world, old[0])
    assert await login(world, new[0])


async def test_codes_of_a_revoked_sheet_are_wrong(world: World) -> None:
    dave = await world.person("dave", phone="+905321234567")
    codes = await world.give_recovery_codes(dave)
    challenge = await world.answer(await world.challenged("dave"), "recovery", name="dave")
    [sheet] = await world.rows("authenticator")
    await world.revoke(str(sheet["id"]))
    assert not is_granted(await world.answer(challenge, codes[0], name="dave"))


async def test_a_recovery_code_counts_as_strong(world: World) -> None:
    world.use_policy([rule("all", ["password"], ["totp", "sms", "recovery_code"])], [floor("two", strong=2)])
    dave = await world.person("dave", phone="+905321234567")
    await world.give_totp(dave)
    codes = await world.give_recovery_codes(dave)

    second = await world.answer(await world.challenged("dave"), world.totp(), name="dave")
    assert says(second) == "Enter one of your recovery codes."
    assert is_granted(await world.answer(second, codes[0], name="dave"))
