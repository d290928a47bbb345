"""What a plan says beside its steps, as a NAS receives it. Whole packets, no sockets."""

import pytest

from tests.flows.plans import use_plan
from tests.flows.test_radius_door import CLIENT, Door, a_nas, message, one
from tests.flows.world import World
from wardgate.engine.settings import ApplicationSettings, ReleaseRuleSettings
from wardgate.policy.settings import ActionEntrySettings, LifetimesThenSettings
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.door import MIN_PREFACE_CHARS
from wardgate.radius.packet import Code, Type
from wardgate.radius.release import compile_release
from wardgate.texts import catalogue

FOUR_HOURS, QUARTER = LifetimesThenSettings(session="4h", idle="15m"), 900


async def ada(world: World, **fields: str) -> None:
    """Somebody with an app."""
    await world.give_totp(await world.person("ada", **fields))


async def let_in(door: Door) -> object:
    """Ada's whole login."""
    question = await door.sends("ada", "correct horse")
    accepted = await door.sends("ada", door.world.totp(), state=one(question, Type.STATE))
    assert accepted.code is Code.ACCESS_ACCEPT
    return accepted


async def test_an_accept_carries_how_long_the_session_may_last(world: World) -> None:
    use_plan(world, lifetimes=FOUR_HOURS)
    await ada(world)
    door = Door(world)
    question = await door.sends("ada", "correct horse")
    # In a challenge it is the time for the answer: RFC 2869 section 5.2 and RFC 2865 section 5.27.
    assert int.from_bytes(one(question, Type.SESSION_TIMEOUT)) == world.codes.life_s
    accepted = await door.sends("ada", world.totp(), state=one(question, Type.STATE))
    assert int.from_bytes(one(accepted, Type.SESSION_TIMEOUT)) == 4 * 3600
    assert int.from_bytes(one(accepted, Type.IDLE_TIMEOUT)) == QUARTER


async def test_what_the_application_releases_stands_instead(world: World) -> None:
    use_plan(world, lifetimes=FOUR_HOURS)
    await ada(world)
    release = compile_release([ReleaseRuleSettings(add={"Session-Timeout": 600})], BUILT_IN)
    door = Door(world, release=release)
    question = await door.sends("ada", "correct horse")
    accepted = await door.sends("ada", world.totp(), state=one(question, Type.STATE))
    assert int.from_bytes(one(accepted, Type.SESSION_TIMEOUT)) == 600
    assert int.from_bytes(one(accepted, Type.IDLE_TIMEOUT)) == QUARTER


async def test_a_plan_that_says_nothing_releases_nothing(world: World) -> None:
    await ada(world)
    door = Door(world)
    question = await door.sends("ada", "correct horse")
    accepted = await door.sends("ada", world.totp(), state=one(question, Type.STATE))
    assert accepted.attributes == []


async def test_an_accept_tells_what_can_still_be_put_off_and_the_reject_what_to_do(world: World) -> None:
    use_plan(world, demands=[ActionEntrySettings(enrol="hotp", level="forced", deferrals=1)])
    await ada(world, language="tr")
    door = Door(world)
    question = await door.sends("ada", "correct horse")
    accepted = await door.sends("ada", world.totp(), state=one(question, Type.STATE))
    told = [value.decode() for kind, value in accepted.attributes if kind == Type.REPLY_MESSAGE]
    assert told[-1] == catalogue("tr")["enrol.defer_last"]
    world.later(8 * 3600)
    question = await door.sends("ada", "correct horse")
    refused = await door.sends("ada", world.totp(), state=one(question, Type.STATE))
    assert refused.code is Code.ACCESS_REJECT
    assert message(refused).startswith("Kurumunuz ikinci")
    assert door.trail is not None
    assert message(refused).endswith(door.trail.reference)


@pytest.mark.parametrize("words", ["Contractors only.", "Contractors only. " * 11])
async def test_the_policys_words_never_cut_the_question(world: World, words: str) -> None:
    use_plan(world, text={"en": words[:200]})
    await ada(world)
    question = message(await Door(world, nas=a_nas(vendor="paloalto")).sends("ada", "correct horse"))
    asked = catalogue("en")["code.ask_totp"]
    assert question.endswith(asked)
    assert question.startswith("Contractors only.")
    assert len(question) <= a_nas(vendor="paloalto").profile.max_prompt_chars


async def test_words_without_room_are_left_out(world: World) -> None:
    use_plan(world, text={"en": "Contractors only."})
    await world.person("bob", phone="+905321234567", mail=f"bob@{'x' * 90}.test")
    question = message(await Door(world).sends("bob", "correct horse"))
    assert len(question) <= a_nas().profile.max_prompt_chars
    assert len(question) > MIN_PREFACE_CHARS


async def test_the_address_that_the_nas_tells_counts_only_where_it_is_trusted(world: World) -> None:
    """Handed over is for one address: a NAS whose word on it is not taken hands over nothing."""
    world.application = ApplicationSettings(name="vpn", hand_over_s=60)
    await ada(world)
    await let_in(Door(world, nas=a_nas(trust_client_address=False)))
    assert not await world.rows("hand_over")
    world.later(30)
    door = Door(world)
    await let_in(door)
    assert len(await world.rows("hand_over")) == 1
    gateway = await Door(world, nas=a_nas(name="gateway")).sends("ada", world.totp(), attributes=(CLIENT,))
    assert gateway.code is Code.ACCESS_ACCEPT


async def test_no_packet_makes_a_device_trusted(world: World) -> None:
    """A State, Class or vendor attribute that looks like what we give browsers is nothing."""
    await ada(world)
    claims = ((Type.CALLING_STATION_ID, b"203.0.113.7"), (25, b"A" * 64), (87, b"A" * 64))
    reply = await Door(world).sends("ada", "correct horse", attributes=claims)
    assert reply.code is Code.ACCESS_CHALLENGE
