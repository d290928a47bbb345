"""While no more passwords can be checked in time, guesses leave nothing behind in storage."""

import pytest

from tests.flows.world import World, elsewhere
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge
from wardgate.engine.runtime import EngineParts
from wardgate.engine.settings import BrakeSettings
from wardgate.errors import Overloaded


async def test_a_flood_of_new_names_fills_no_table_when_no_check_has_a_place() -> None:
    world = World()
    await world.give_totp(await world.person("ada"))
    asked: list[str] = []

    def refuses(asker: str) -> bool:
        asked.append(asker)
        return True

    parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, refuses_check=refuses)
    full = Engine(parts)
    for number in range(20):
        with pytest.raises(Overloaded):
            await world.begin(f"guess{number}", "guess", engine=full)
    assert await world.rows("brake") == []
    assert len(set(asked)) == 1
    # Where the NAS vouches for the password none is checked.
    assert isinstance(await world.begin("ada", None, proved_elsewhere=frozenset({"password"}), engine=full), Challenge)


async def test_a_flood_that_is_not_judged_uses_up_nothing_of_what_strangers_may_fail() -> None:
    world = World(brakes=BrakeSettings(global_failures=3))
    await world.give_totp(await world.person("ada"))
    parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, refuses_check=lambda asker: True)
    full = Engine(parts)
    for number in range(10):
        with pytest.raises(Overloaded):
            await world.begin(f"guess{number}", "guess", engine=full, origin=elsewhere(client=f"198.51.100.{number}"))
    assert isinstance(await world.begin("ada"), Challenge)
