"""HOTP: a device that counts, how far it may run ahead, and what is spent with it."""

import pytest

from tests.flows.world import SECRET, World, is_granted, says
from wardgate.crypto import Secret
from wardgate.engine.outcome import Challenge
from wardgate.engine.settings import CodeSettings
from wardgate.factors.totp import hotp


def device(counter: int) -> str:
    return hotp(Secret(SECRET), counter, 6)


async def erin(world: World, counter: int = 0) -> str:
    return await world.give_hotp(await world.person("erin"), counter=counter)


async def login(world: World, code: str) -> bool:
    return is_granted(await world.answer(await world.challenged("erin"), code, name="erin"))


async def counter_of(world: World, authenticator: str) -> object:
    row = await world.storage.get("authenticator", {"id": authenticator})
    assert row is not None
    return row["counter"]


async def test_the_devices_codes_work_one_after_the_other(world: World) -> None:
    authenticator = await erin(world)
    for counter in range(3):
        assert await login(world, device(counter))
        assert await counter_of(world, authenticator) == counter + 1


async def test_hotp_code_is_refused_the_second_time(world: World) -> None:
    await erin(world)
    assert await login(world, device(0))
    again = await world.answer(await world.challenged("erin"), device(0), name="erin")
    assert says(again).startswith("That code was used already.")
    assert world.trail.reason == "code_replayed"


@pytest.mark.parametrize(("ahead", "right"), [(9, True), (10, True), (11, False)])
async def test_the_device_may_have_run_ahead_by_ten_codes_and_no_more(world: World, ahead: int, right: bool) -> None:
    await erin(world, counter=5)
    assert await login(world, device(5 + ahead)) is right


async def test_the_look_ahead_is_a_setting(world: World) -> None:
    world.codes = CodeSettings(hotp_look_ahead=0)
    await erin(world)
    assert not await login(world, device(1))
    assert await login(world, device(0))


async def test_codes_that_were_skipped_are_spent(world: World) -> None:
    await erin(world)
    assert await login(world, device(7))
    for skipped in range(7):
        challenge = await world.challenged("erin")
        assert not is_granted(await world.answer(challenge, device(skipped), name="erin")), skipped
        world.later(7200)
    assert await login(world, device(8))


async def test_a_wrong_code_does_not_move_the_counter(world: World) -> None:
    authenticator = await erin(world)
    challenge = await world.challenged("erin")
    again = await world.answer(challenge, world.wrong_code(), name="erin")
    assert isinstance(again, Challenge)
    assert await counter_of(world, authenticator) == 0
    assert is_granted(await world.answer(again, device(0), name="erin"))


async def test_a_code_from_long_ago_is_an_ordinary_wrong_one(world: World) -> None:
    await erin(world, counter=100)
    again = await world.answer(await world.challenged("erin"), device(90), name="erin")
    assert says(again).startswith("The code is not right")
