"""Guesses at names that do not exist: they must not fill the disk, and must not be told from others."""

from tests.flows.world import World, elsewhere, is_asked_first, reason, says
from wardgate.audit.recorder import Recorder
from wardgate.engine import brakes
from wardgate.engine.refusing import STRANGERS_RECORDED_PER_S

UNSEEN = elsewhere(client=None)
DAY_S = 86_400


async def guesses(world: World, count: int, prefix: str = "nobody") -> None:
    for number in range(count):
        assert reason(await world.begin(f"{prefix}{number}", "guess", origin=UNSEEN)) == "user_unknown"


async def test_a_flood_of_ever_new_names_is_counted_and_not_stored(world: World) -> None:
    await guesses(world, STRANGERS_RECORDED_PER_S + 30)
    assert len(await world.events("engine:login:denied")) == STRANGERS_RECORDED_PER_S
    assert len(await world.rows("timeline")) == STRANGERS_RECORDED_PER_S
    recorder = Recorder(world.storage, lambda: world.ring, world.clock)
    for trail in world.trails:
        recorder.publish(trail)
    await recorder.flush(last=True)
    assert len(await world.rows("timeline")) == STRANGERS_RECORDED_PER_S
    [counted] = await world.payloads("engine:login:refused_repeatedly")
    assert counted["refused"] == {"user_unknown": 30}


async def test_the_next_second_and_another_nas_are_recorded_again(world: World) -> None:
    await guesses(world, STRANGERS_RECORDED_PER_S + 1)
    await world.begin("nobody", "guess", origin=elsewhere(client=None, nas="branch", binding="radius:branch:"))
    world.later(1)
    await guesses(world, 1, "later")
    assert len(await world.events("engine:login:denied")) == STRANGERS_RECORDED_PER_S + 2


async def test_a_flood_of_strangers_hides_no_guess_at_somebody(world: World) -> None:
    await world.person("ada")
    await guesses(world, STRANGERS_RECORDED_PER_S + 5)
    assert reason(await world.begin("ada", "guess", origin=UNSEEN)) == "password_wrong"
    assert (await world.payloads("engine:login:denied"))[-1]["user"] == "ada"


async def test_guesses_that_are_not_recorded_count_at_the_brakes_all_the_same(world: World) -> None:
    await guesses(world, STRANGERS_RECORDED_PER_S)
    for _ in range(5):
        assert reason(await world.begin("nobody0x", "guess", origin=UNSEEN)) == "user_unknown"
    assert is_asked_first(await world.begin("nobody0x", "guess", origin=UNSEEN))


async def test_the_brakes_of_a_name_that_does_not_exist_live_for_a_day(world: World) -> None:
    await guesses(world, 1)
    now_ms = int(world.clock.now().timestamp() * 1000)
    rows = await world.rows("brake")
    assert {row["kind"] for row in rows} == {brakes.USER, brakes.USER_SOURCE, "nas", "global"}
    assert all(int(row["expires_at"] or 0) <= now_ms + DAY_S * 1000 for row in rows)


async def test_the_end_of_a_names_wait_does_not_tell_whether_it_exists(world: World) -> None:
    """What is known of a person for longer than of a name is not told."""
    await world.person("ada", "correct horse")
    for number in range(50):
        for name in ("ada", "nobody"):
            await world.begin(name, "guess", origin=elsewhere(client=f"198.51.100.{number}"))
    fresh = elsewhere(client="203.0.113.99")
    for wait_s, told in ((0, True), (DAY_S, False)):
        world.later(wait_s)
        outcomes = [await world.begin(name, "guess", origin=fresh) for name in ("ada", "nobody")]
        words = [says(each).replace(trail.reference, "") for each, trail in zip(outcomes, world.trails[-2:], strict=True)]
        assert words[0] == words[1]
        assert words[0].startswith("Too many") is told, words


async def test_a_persons_own_count_outlives_the_names(world: World) -> None:
    await world.person("ada", "correct horse")
    for number in range(50):
        await world.begin("ada", "guess", origin=elsewhere(client=f"198.51.100.{number}"))
    world.later(30 * DAY_S)
    assert reason(await world.begin("ada", origin=elsewhere(client="203.0.113.99"))) == "brake_user"
