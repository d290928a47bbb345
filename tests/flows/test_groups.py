"""Groups by name, DN and SID, nested ones included: in policy rules and in what is released."""

from typing import Any

import pytest

from tests.flows.world import World, is_granted, reason, rule
from wardgate.engine.outcome import Granted, dump_outcome, load_outcome
from wardgate.engine.settings import ApplicationSettings, ReleaseRuleSettings
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.release import compile_release

DN = "CN=VPN Users,OU=Groups,DC=acme,DC=test"
SID = "S-1-5-21-1004336348-1177238915-682003330-1108"
ALIASES = {"VPN Users": (DN, SID)}


async def ada(world: World, **fields: Any) -> None:
    given = {"groups": ("VPN Users",), "group_aliases": ALIASES} | fields
    await world.give_totp(await world.person("ada", **given))


async def let_in(world: World) -> Granted:
    granted = await world.answer(await world.challenged("ada"), world.totp(), name="ada")
    assert isinstance(granted, Granted)
    return granted


def released(world: World, granted: Granted) -> list[bytes]:
    rules = compile_release(world.application.release, BUILT_IN)
    attributes, left_out = rules.attributes(granted)
    assert left_out == []
    return [value for _, value in attributes]


def application(*rules: tuple[dict[str, Any], dict[str, Any]]) -> ApplicationSettings:
    return ApplicationSettings(name="vpn", release=tuple(ReleaseRuleSettings(when=when, add=add) for when, add in rules))


@pytest.mark.parametrize("place", ["local", "LOCAL", "acme"])
@pytest.mark.parametrize(
    "group", ["VPN Users", "vpn users", DN, DN.lower(), "cn=VPN Users, ou=Groups, dc = acme, dc=test", SID, SID.lower()]
)
async def test_a_rule_names_a_group_by_name_dn_or_sid(world: World, place: str, group: str) -> None:
    world.use_policy([rule("vpn", ["password"], ["totp"], when={"group": [f"{place}:{group}"]})])
    await ada(world)
    assert is_granted(await let_in(world))


@pytest.mark.parametrize(
    "group",
    [
        "other:VPN Users",
        "local:VPN User",
        "local:Users",
        f"local:{DN},DC=more",
        f"local:{DN[3:]}",
        f"local:{SID}0",
        f"other:{SID}",
        "local:CN=VPN Users,OU=Elsewhere,DC=acme,DC=test",
    ],
)
async def test_a_group_that_only_looks_like_it_opens_nothing(world: World, group: str) -> None:
    world.use_policy([rule("vpn", ["password"], ["totp"], when={"group": [group]})])
    await ada(world)
    assert reason(await world.begin("ada")) == "no_rule"


async def test_a_namesake_group_of_another_directory_opens_nothing(world: World) -> None:
    """A local `Domain Admins` is not Active Directory's."""
    world.use_policy([rule("admins", ["password"], ["totp"], when={"group": ["acme-ad:Domain Admins"]})])
    await ada(world, groups=("Domain Admins", "acme-ad:Domain Admins"), group_aliases={})
    assert reason(await world.begin("ada")) == "no_rule"


@pytest.mark.parametrize("stolen", [DN, SID])
async def test_a_group_that_is_called_like_the_dn_of_another_opens_nothing(world: World, stolen: str) -> None:
    """Whoever may create groups in some corner of the directory chooses their names, but not where they stand."""
    world.use_policy([rule("vpn", ["password"], ["totp"], when={"group": [f"local:{stolen}"]})])
    await ada(world, groups=(stolen,), group_aliases={stolen: (f"CN={stolen},OU=Corner,DC=acme,DC=test", "S-1-5-21-1-2-3-4")})
    assert reason(await world.begin("ada")) == "no_rule"


@pytest.mark.parametrize("rules", [(), (({}, {"Filter-Id": "{group}"}),)], ids=["named groups only", "any group too"])
@pytest.mark.parametrize("stolen", [DN, SID])
async def test_a_group_that_is_called_like_the_dn_of_another_is_given_no_reply_of_that(
    world: World, stolen: str, rules: tuple[Any, ...]
) -> None:
    """What a grant carries of the groups is cut down to what the rules ask for: still a name must not become a DN by that."""
    world.application = application(({"group": [f"local:{stolen}"]}, {"Class": "administrators"}), *rules)
    await ada(world, groups=(stolen,), group_aliases={stolen: (f"CN={stolen},OU=Corner,DC=acme,DC=test", "S-1-5-21-1-2-3-4")})
    assert b"administrators" not in released(world, await let_in(world))


@pytest.mark.parametrize("group", ["VPN Users", DN, SID])
async def test_a_released_group_is_its_name_however_the_rule_names_it(world: World, group: str) -> None:
    world.application = application(({"group": [f"local:{group}"]}, {"Class": "{group}"}))
    await ada(world, groups=("Staff", "VPN Users"))
    assert released(world, await let_in(world)) == [b"VPN Users"]


async def test_what_a_rule_excludes_is_known_by_its_dn_as_well(world: World) -> None:
    world.application = application(({"not": {"group": [f"local:{DN}"]}}, {"Class": "outside"}), ({}, {"Class": "all"}))
    await ada(world)
    assert released(world, await let_in(world)) == [b"all"]


async def test_without_named_groups_all_are_released(world: World) -> None:
    world.application = application(({}, {"Class": "{group}"}), ({"group": [f"local:{SID}"]}, {"Filter-Id": "{group}"}))
    await ada(world, groups=("Staff", "VPN Users"))
    assert released(world, await let_in(world)) == [b"Staff", b"VPN Users", b"VPN Users"]


def nested(count: int) -> dict[str, Any]:
    names = tuple(f"Department {number:03} of the organisation" for number in range(count))
    return {
        "groups": (*names, "VPN Users"),
        "group_aliases": {
            **{name: (f"CN={name},OU=Groups,OU=Istanbul,DC=acme,DC=test", f"{SID[:-4]}{2000 + n}") for n, name in enumerate(names)},
            **ALIASES,
        },
    }


async def test_of_two_hundred_groups_only_those_are_kept_that_a_rule_asks_for(world: World) -> None:
    world.application = application(({"group": [f"local:{SID}"]}, {"Class": "{group}"}))
    await ada(world, **nested(200))
    challenge = await world.challenged("ada")
    assert len(challenge.handle) <= 253
    granted = await world.answer(challenge, world.totp(), name="ada")
    assert isinstance(granted, Granted)
    assert (granted.groups, dict(granted.group_aliases)) == (("VPN Users",), {"VPN Users": (SID,)})
    assert len(dump_outcome(granted)) < 600
    assert load_outcome(dump_outcome(granted)) == granted


async def test_an_identical_packet_is_released_the_same(world: World) -> None:
    world.application = application(({"group": [f"local:{DN}"]}, {"Class": "{group}"}))
    await ada(world, **nested(200))
    challenge, code = await world.challenged("ada"), world.totp()
    first = await world.answer(challenge, code, name="ada", fingerprint=b"one")
    again = await world.answer(challenge, code, name="ada", fingerprint=b"one", engine=world.another_engine())
    assert isinstance(first, Granted)
    assert isinstance(again, Granted)
    assert released(world, first) == released(world, again) == [b"VPN Users"]
