"""While the clock is in doubt nothing is decided by it: not a password, not a code, and nothing is used up."""

import pytest

from tests.flows.world import World, is_granted
from wardgate.engine.engine import Engine
from wardgate.engine.runtime import EngineParts
from wardgate.errors import ClockWrong

PROBLEM = "the clock of this machine differs"


async def test_no_code_is_judged_and_none_is_spent_by_a_clock_in_doubt() -> None:
    world = World()
    await world.give_totp(await world.person("ada"))
    problems: list[str | None] = [None]
    engine = Engine(
        EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, clock_problem=lambda: problems[-1])
    )
    challenge = await world.challenged("ada", engine=engine)
    problems.append(PROBLEM)
    code = world.totp()
    for _ in range(7):
        with pytest.raises(ClockWrong, match=PROBLEM):
            await world.answer(challenge, code, name="ada", engine=engine)
        with pytest.raises(ClockWrong, match=PROBLEM):
            await world.begin("ada", "guess", engine=engine)
    assert all(not row["failures"] and not row["in_flight"] for row in await world.rows("brake"))
    problems.append(None)
    assert is_granted(await world.answer(challenge, code, name="ada", engine=engine))
