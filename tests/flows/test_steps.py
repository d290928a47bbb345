"""How long each step of a login took is told, by names that are known beforehand, and never instead of a login."""

from dataclasses import replace

from tests.flows.world import World, is_granted, reason
from wardgate.engine.engine import Engine
from wardgate.engine.steps import COMMIT, DIRECTORY_FIND, PASSWORD_CHECK, POLICY, STEPS, STORAGE_READ


def observed(world: World) -> tuple[Engine, list[tuple[str, float]]]:
    told: list[tuple[str, float]] = []
    return Engine(replace(world.engine._parts, observe=lambda step, seconds: told.append((step, seconds)))), told


async def test_a_login_tells_each_of_its_steps(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    engine, told = observed(world)
    challenge = await world.challenged("ada", engine=engine)
    assert [step for step, _ in told] == [DIRECTORY_FIND, STORAGE_READ, PASSWORD_CHECK, POLICY, COMMIT]
    told.clear()
    assert is_granted(await world.answer(challenge, world.totp(), name="ada", engine=engine))
    assert [step for step, _ in told] == [STORAGE_READ, DIRECTORY_FIND, COMMIT]
    assert all(seconds >= 0 for _, seconds in told)


async def test_the_seconds_are_those_of_the_step(world: World) -> None:
    await world.person("ada")
    engine, told = observed(world)
    find = world.directory.find

    async def slow(name: str, timeout_s: float) -> object:
        world.later(2.5)
        return await find(name, timeout_s)

    world.directory.find = slow  # type: ignore[method-assign, assignment]
    assert reason(await world.begin("ada", "guess", engine=engine)) == "password_wrong"
    assert dict(told)[DIRECTORY_FIND] == 2.5
    assert {step for step, _ in told} <= set(STEPS)
