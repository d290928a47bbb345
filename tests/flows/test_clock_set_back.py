"""The machine's clock is set back while logins run, as a repaired time server does it: nothing lives longer for it, nobody is kept
out for it.
"""

from datetime import timedelta

import pytest

from tests.flows.world import (
    NAS,
    PHONE_OF_TESTS,
    World,
    elsewhere,
    is_asked_first,
    is_granted,
    reason,
)
from wardgate.admin.links import LinkState, find_session, link_state, make_link, use_link
from wardgate.clock import to_ms
from wardgate.engine import brakes
from wardgate.engine.outcome import Challenge
from wardgate.janitor import Janitor


@pytest.fixture
def world() -> World:
    return World()


def set_back(world: World, **by: float) -> None:
    """The wall clock jumps; time itself goes on."""
    world.clock._now -= timedelta(**by)


async def test_a_code_lives_no_longer_when_the_clock_is_set_back(world: World) -> None:
    await world.person("bob", phone=PHONE_OF_TESTS)
    challenge = await world.challenged("bob")
    code = await world.code()
    set_back(world, hours=1)
    world.later(1800)
    assert reason(await world.answer(challenge, code, name="bob")) == "transaction_expired"


async def test_a_code_does_not_come_alive_again_when_the_clock_has_caught_up(world: World) -> None:
    await world.person("bob", phone=PHONE_OF_TESTS)
    challenge = await world.challenged("bob")
    code = await world.code()
    set_back(world, hours=1)
    await Janitor(world.storage, world.clock).sweep()
    world.later(3600)
    assert not is_granted(await world.answer(challenge, code, name="bob"))


async def test_a_login_is_not_joined_to_one_of_before(world: World) -> None:
    await world.person("bob", phone=PHONE_OF_TESTS)
    before = await world.challenged("bob")
    set_back(world, hours=1)
    world.later(60)
    after = await world.challenged("bob")
    assert after.reference != before.reference
    code = next(message.code for message in await world.messages() if message.reference == after.reference)
    assert is_granted(await world.answer(after, code, name="bob"))


async def test_a_wait_is_not_lengthened(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await world.wrong_passwords("ada", 5)
    set_back(world, days=1)
    world.later(3600)
    assert isinstance(await world.begin("ada"), Challenge)


async def test_the_wait_of_an_address_is_not_lengthened(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    for number in range(world.brakes.source_failures):
        await world.begin(f"nobody{number}", "guess")
    assert reason(await world.begin("ada")) == "brake_source"
    set_back(world, days=1)
    world.later(3600)
    assert isinstance(await world.begin("ada"), Challenge)


async def test_a_small_step_back_lifts_no_wait(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await world.wrong_passwords("ada", 5)
    set_back(world, seconds=20)
    assert is_asked_first(await world.begin("ada"))


async def test_old_failures_do_not_count_for_ever(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await world.wrong_passwords("ada", 4)
    set_back(world, days=1)
    world.later(3600)
    await world.begin("ada", "guess")
    assert isinstance(await world.begin("ada"), Challenge)


async def test_the_hard_stop_is_not_lifted(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    for number in range(world.brakes.user_failures):
        await world.begin("ada", "guess", origin=elsewhere(client=f"198.51.100.{number}"))
    set_back(world, days=1)
    await world.begin("ada", "guess")
    assert is_asked_first(await world.begin("ada"))


async def test_attempts_that_a_crash_left_reserved_do_not_keep_the_user_out(world: World) -> None:
    user = await world.person("ada")
    await world.give_totp(user)
    keys = brakes.brake_keys(world.ring, await world.subject_of(user), NAS.client, NAS.binding)
    for _ in range(world.brakes.user_source_failures):
        await world.storage.commit([brakes.reserve(keys, world.brakes, to_ms(world.clock.now()))])
    set_back(world, days=1)
    assert isinstance(await world.begin("ada"), Challenge)


async def test_messages_of_the_future_do_not_use_up_the_limit(world: World) -> None:
    await world.person("bob", phone=PHONE_OF_TESTS)
    for number in range(world.codes.messages_per_hour):
        await world.challenged("bob", origin=elsewhere(client=f"203.0.113.{number}"))
    assert reason(await world.begin("bob", origin=elsewhere(client="198.51.100.1"))) == "code_closed"
    set_back(world, days=30)
    world.later(86_400)
    assert isinstance(await world.begin("bob", origin=elsewhere(client="198.51.100.1")), Challenge)


async def test_a_session_of_the_live_log_lives_no_longer(world: World) -> None:
    bearer = await make_link(world.storage, world.ring, world.clock)
    session = await use_link(world.storage, world.ring, world.clock, bearer, "127.0.0.1")
    assert session is not None
    assert await find_session(world.storage, world.ring, world.clock, session) is not None
    set_back(world, days=1)
    assert await find_session(world.storage, world.ring, world.clock, session) is None


async def test_a_one_time_link_lives_no_longer(world: World) -> None:
    bearer = await make_link(world.storage, world.ring, world.clock)
    set_back(world, days=1)
    assert await link_state(world.storage, world.ring, world.clock, bearer) is LinkState.UNKNOWN
    assert await use_link(world.storage, world.ring, world.clock, bearer, "127.0.0.1") is None
