"""Messages cost money: pumping is stopped at prefixes and caps, and honest people still get their codes."""

from typing import Any

import pytest

from tests.flows.test_radius_door import Door, a_nas
from tests.flows.world import NAS, World, at_once, elsewhere, is_granted, reason, rule, says
from wardgate.engine.outcome import Challenge, Denied, Outcome
from wardgate.engine.prefixes import is_allowed
from wardgate.engine.sending import prefix_of
from wardgate.engine.settings import BrakeSettings, CodeSettings, SendingSettings
from wardgate.policy.settings import RuleSettings, ThenSettings
from wardgate.radius.packet import Code, Type


async def somebody(world: World, number: int, country: str = "+90532") -> Outcome:
    """Somebody of his own phone, whose password is right, from an address of his own."""
    name = f"user{number}"
    await world.person(name, phone=f"{country}{1234500 + number}")
    return await world.begin(name, origin=elsewhere(client=f"198.{number // 200}.{number % 200}.1"))


async def counted(world: World) -> dict[tuple[object, object], tuple[object, object]]:
    return {(row["channel"], row["prefix"]): (row["messages"], row["refused"]) for row in await world.rows("sending")}


# --- prefixes --------------------------------------------------------------------------------------------------------


async def test_a_number_of_a_closed_prefix_is_as_if_there_were_none(world: World) -> None:
    """What a person abroad reads is what somebody without a phone reads; and no message goes."""
    world.sending = SendingSettings(sms_prefixes=("+90", "+49"))
    await world.person("pia", phone="+882161234567")
    await world.person("nil")
    told = [says(await world.begin(name)).replace(world.trail.reference, "") for name in ("pia", "nil")]
    assert told[0] == told[1]
    assert reason(await world.begin("pia")) == "no_factor"
    assert await world.messages() == []
    assert (await counted(world))["sms", "+882"] == (0, 2)
    assert isinstance(await somebody(world, 1), Challenge)


async def test_policy_does_not_count_a_closed_prefix_as_a_second_factor(world: World) -> None:
    world.sending = SendingSettings(sms_prefixes=("+90",))
    then = ThenSettings(steps=(("password",), ("sms",)))
    world.use_policy(
        [
            RuleSettings(name="has a phone", when={"enrolled": ["sms"]}, then=then),
            RuleSettings(name="has none", then=ThenSettings(steps=(("password",),))),
        ]
    )
    await world.person("far", phone="+4915112345678")
    await world.person("near", phone="+905321234567")
    assert is_granted(await world.begin("far"))
    assert isinstance(await world.begin("near"), Challenge)


async def test_a_closed_prefix_is_neither_offered_nor_chosen_by_its_word(world: World) -> None:
    world.sending = SendingSettings(sms_prefixes=("+90",))
    world.use_policy([rule("all", ["password"], ["totp", "sms"])])
    await world.give_totp(await world.person("pia", phone="+882161234567"))
    asked = await world.challenged("pia")
    assert "sms" not in says(asked)
    assert "sms" not in says(await world.answer(asked, "sms", name="pia"))
    assert await world.messages() == []
    assert is_granted(await world.answer(await world.challenged("pia"), world.totp(), name="pia"))


@pytest.mark.parametrize(
    ("number", "allowed", "prefix"),
    [
        ("+905321234567", True, "+90"),
        ("+491511234567", True, "+49151"),
        ("+49301234567", False, "+49"),
        ("+12125551234", False, "+1"),
        ("+882161234567", False, "+882"),
    ],
)
def test_the_longest_listed_prefix_counts_and_else_the_country(number: str, allowed: bool, prefix: str) -> None:
    settings = SendingSettings(sms_prefixes=("+90", "+49151"))
    assert is_allowed(number, settings) is allowed
    assert prefix_of(number, settings) == prefix


# --- caps ------------------------------------------------------------------------------------------------------------

CAPS: list[Any] = [
    pytest.param(SendingSettings(sms_per_day=5), "sms_per_day", id="day"),
    pytest.param(SendingSettings(sms_per_prefix_per_day=5), "sms_per_prefix_per_day", id="prefix"),
]


@pytest.mark.parametrize(("settings", "name"), CAPS)
async def test_a_stolen_list_of_accounts_costs_no_more_than_the_cap(world: World, settings: SendingSettings, name: str) -> None:
    world.sending = settings
    outcomes = [await somebody(world, number) for number in range(8)]
    assert [isinstance(each, Challenge) for each in outcomes] == [True] * 5 + [False] * 3
    assert says(outcomes[-1]).startswith("No more codes for now")
    assert len(await world.messages()) == 5
    assert await counted(world) == {("sms", "+90"): (5, 3), ("sms", "*"): (5, 0)}
    [told] = await world.payloads("engine:brake:locked")
    assert (told["brake"], told["failures"], told["wait_s"]) == (name, 5, 15 * 3600)
    world.later(15 * 3600)
    assert isinstance(await somebody(world, 9), Challenge), "another day"


@pytest.mark.parametrize(("settings", "name"), CAPS)
async def test_a_cap_holds_for_fifty_logins_at_once_on_two_nodes(world: World, settings: SendingSettings, name: str) -> None:
    world.sending = settings
    nodes = [world.engine, world.another_engine()]
    for number in range(50):
        await world.person(f"user{number}", phone=f"+90532{1234500 + number}")
    outcomes = await at_once(
        *[
            world.begin(f"user{number}", engine=nodes[number % 2], origin=elsewhere(client=f"198.51.{number}.1"))
            for number in range(50)
        ]
    )
    assert len([each for each in outcomes if isinstance(each, Challenge)]) == len(await world.messages()) == 5
    assert (await counted(world))["sms", "+90"] == (5, 45)


async def test_a_full_prefix_leaves_the_others_open(world: World) -> None:
    world.sending = SendingSettings(sms_per_prefix_per_day=2)
    outcomes = [await somebody(world, number) for number in range(3)]
    assert isinstance(outcomes[2], Denied)
    assert isinstance(await somebody(world, 4, "+4915112"), Challenge)


async def test_mail_has_a_cap_of_its_own(world: World) -> None:
    world.sending = SendingSettings(email_per_day=1, sms_per_day=1)
    for name in ("ada", "bob"):
        await world.person(name, mail=f"{name}@acme.test")
    assert isinstance(await world.begin("ada"), Challenge)
    assert isinstance(await world.begin("bob"), Denied)
    assert await counted(world) == {("email", "*"): (1, 1)}
    assert isinstance(await somebody(world, 1), Challenge)


async def test_what_one_limit_refuses_is_counted_in_no_other(world: World) -> None:
    """Or asking again and again for an address that is full would use up everybody's day."""
    world.sending = SendingSettings(sms_per_day=3)
    world.codes = CodeSettings(messages_per_hour=1)
    await world.person("ada", phone="+905321234567")
    for number in range(6):
        await world.begin("ada", origin=elsewhere(client=f"198.51.100.{number}"))
    assert (await counted(world))["sms", "*"] == (1, 0)
    assert isinstance(await somebody(world, 1), Challenge)
    [told] = await world.payloads("engine:brake:locked")
    assert (told["brake"], told["wait_s"]) == ("destination", 3600)


# --- where the logins come from --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("brakes", "sending", "name"),
    [
        (BrakeSettings(), SendingSettings(sms_per_source_per_hour=5), "source_messages"),
        (BrakeSettings(network_messages=5), SendingSettings(), "network_messages"),
        (BrakeSettings(nas_messages=5), SendingSettings(), "nas_messages"),
        (BrakeSettings(global_messages=5), SendingSettings(), "global_messages"),
    ],
)
async def test_many_accounts_from_one_place_are_sent_no_more_than_its_limit(
    world: World, brakes: BrakeSettings, sending: SendingSettings, name: str
) -> None:
    world.brakes, world.sending = brakes, sending
    await world.person("ada", phone="+905321234567")
    assert is_granted(await world.answer(await world.challenged("ada"), await world.code("ada"), name="ada"))
    people = [f"user{number}" for number in range(6)]
    for number, each in enumerate(people):
        await world.person(each, phone=f"+90532{1234500 + number}")
    outcomes = [await world.begin(each, origin=NAS) for each in people]
    assert [isinstance(each, Challenge) for each in outcomes] == [True] * 4 + [False] * 2
    assert [told["brake"] for told in await world.payloads("engine:brake:locked")] == [name]
    world.later(130)
    assert isinstance(await world.begin("ada"), Challenge), "who was here before gets his code"


async def test_nobody_who_does_not_know_the_password_learns_of_a_cap_or_a_closed_prefix(world: World) -> None:
    world.sending = SendingSettings(sms_prefixes=("+49",), sms_per_day=1)
    await world.person("ada", phone="+905321234567")
    told = [says(await world.begin(name, "guess")).replace(world.trail.reference, "") for name in ("ada", "nobody")]
    assert told[0] == told[1]
    assert await counted(world) == {}


# --- an address that a NAS is not to be believed about ---------------------------------------------------------------


async def by_door(door: Door, name: str, client: str) -> Code:
    """Somebody whose password is right asks for a code, and the NAS tells of this address."""
    attributes = ((Type.CALLING_STATION_ID, client.encode()),)
    return (await door.sends(name, "correct horse", attributes=attributes)).code


async def test_an_address_that_was_made_up_fills_nobodys_limit_of_messages(world: World) -> None:
    world.sending = SendingSettings(sms_per_source_per_hour=1)
    world.brakes = BrakeSettings(network_messages=1)
    door = Door(world, a_nas(trust_client_address=False))
    for number in range(3):
        await world.person(f"user{number}", phone=f"+90532123450{number}")
        assert await by_door(door, f"user{number}", "203.0.113.7") is Code.ACCESS_CHALLENGE
    believed = Door(world, a_nas())
    assert await by_door(believed, "user0", "203.0.113.7") is Code.ACCESS_CHALLENGE


async def test_who_is_known_gets_his_code_while_strangers_have_used_up_those_of_a_nas(world: World) -> None:
    """Also where the NAS is not to be believed about addresses: it is the NAS then that he is known at."""
    world.brakes = BrakeSettings(nas_messages=2)
    door = Door(world, a_nas(trust_client_address=False))
    await world.person("bob", phone="+905321234567")
    asked = await door.sends("bob", "correct horse")
    [state] = [value for number, value in asked.attributes if number == Type.STATE]
    assert (await door.sends("bob", await world.code("bob"), state=state)).code is Code.ACCESS_ACCEPT
    for number in range(2):
        await world.person(f"user{number}", phone=f"+90532123450{number}")
        await by_door(door, f"user{number}", f"198.51.100.{number}")
    await world.person("last", phone="+905321234599")
    assert await by_door(door, "last", "198.51.100.9") is Code.ACCESS_REJECT
    assert await by_door(door, "bob", "203.0.113.7") is Code.ACCESS_CHALLENGE
