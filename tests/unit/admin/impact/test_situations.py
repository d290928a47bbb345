"""From where people log in, as far as policies can tell."""

import random
from ipaddress import ip_address, ip_network
from typing import Any

from wardgate.admin.impact.situations import MAX_SITUATIONS, Given, Situation, situations_of
from wardgate.admin.impact.standing import Standing
from wardgate.config.document import parse

SECRET = {"value": "s3cret-of-the-firewall"}


def standing(
    rules: list[dict[str, Any]], networks: dict[str, list[str]] | None = None, nas: list[dict[str, Any]] | None = None
) -> Standing:
    addresses = iter(range(1, 1000))
    return Standing(
        parse(
            {
                "realms": [{"name": "r", "default": True, "directories": ["d"]}],
                "directories": [{"name": "d", "kind": "local"}],
                "networks": [{"name": name, "cidr": cidr} for name, cidr in (networks or {}).items()],
                "nas": [
                    {
                        "addresses": [f"127.{(at := next(addresses)) // 256}.0.{at % 256}"],
                        "secret": SECRET,
                        "application": "vpn",
                        **each,
                    }
                    for each in nas or ()
                ],
                "applications": [{"name": "vpn", "policy": "p"}],
                "policies": [
                    {"name": "p", "rules": [{"name": f"r{n}", "then": {"deny": True}, **rule} for n, rule in enumerate(rules)]}
                ],
            }
        )
    )


def told(before: Standing, after: Standing, **given: Any) -> list[Situation]:
    return list(situations_of(before, after, "vpn", Given(**given)).each)


def test_without_a_question_about_networks_there_is_one_situation() -> None:
    one = standing([{"when": {"group": ["d:x"]}}], {"office": ["10.0.0.0/8"]})

    assert told(one, one) == [Situation("elsewhere")]


def test_one_address_of_each_network_and_of_each_part_of_overlapping_ones() -> None:
    one = standing(
        [{"when": {"network": ["office"]}}, {"when": {"not": {"network": ["lab", "2001:db8::/32"]}}}],
        {"office": ["10.0.0.0/8"], "lab": ["10.9.0.0/16", "192.0.2.0/24"], "unused": ["172.16.0.0/12"]},
    )

    assert told(one, one) == [
        Situation("office", "10.0.0.0"),
        Situation("lab, office", "10.9.0.0"),
        Situation("lab", "192.0.2.0"),
        Situation("2001:db8::/32", "2001:db8::"),
        Situation("elsewhere"),
    ]


def test_a_network_that_itself_changes_is_looked_at_as_it_is_and_as_it_would_be() -> None:
    before, after = (standing([{"when": {"network": ["office"]}}], {"office": cidr}) for cidr in (["10.0.0.0/8"], ["10.0.0.0/9"]))

    assert told(before, after) == [
        Situation("office (as it is now), office (as it would be)", "10.0.0.0"),
        Situation("office (as it is now)", "10.128.0.0"),
        Situation("elsewhere"),
    ]


def test_an_address_that_a_policy_names_is_a_place_of_its_own() -> None:
    one = standing([{"when": {"client": ["203.0.113.7", "no address"]}}])

    assert told(one, one) == [Situation("203.0.113.7", "203.0.113.7"), Situation("elsewhere")]


def test_every_part_of_the_address_space_is_looked_at() -> None:
    """Against all addresses of a small space, one by one."""
    chance = random.Random(7)
    for _ in range(20):
        named = {
            f"n{number}": [str(ip_network((0xC0000200 + (chance.randrange(256) >> host << host), 32 - host))) for _ in range(2)]
            for number in range(5)
            if (host := chance.randrange(1, 8))
        }
        one = standing([{"when": {"network": list(named)}}], named)
        parts = {
            frozenset(name for name, cidr in named.items() if any(address in ip_network(each) for each in cidr))
            for address in (ip_address(0xC0000200 + number) for number in range(256))
        }
        found = {frozenset(each.words.split(", ")) for each in told(one, one) if each.client is not None}
        assert found == {part for part in parts if part}


def test_nas_of_one_kind_are_looked_at_once() -> None:
    nas = [
        {"name": "a"},
        {"name": "b"},
        {"name": "codes", "mode": "code_only"},
        {"name": "named"},
        {"name": "blind", "trust_client_address": False},
    ]
    one = standing([{"when": {"nas": ["named"]}}, {"when": {"network": ["10.0.0.0/8"]}}], nas=nas)

    assert told(one, one) == [
        Situation("10.0.0.0/8, through a", "10.0.0.0", "a"),
        Situation("elsewhere, through a", None, "a"),
        Situation("10.0.0.0/8, through codes", "10.0.0.0", "codes"),
        Situation("elsewhere, through codes", None, "codes"),
        Situation("10.0.0.0/8, through named", "10.0.0.0", "named"),
        Situation("elsewhere, through named", None, "named"),
        # What it tells of addresses does not count.
        Situation("elsewhere, through blind", None, "blind"),
    ]


def test_what_the_operator_set_is_looked_at_alone() -> None:
    one = standing([{"when": {"network": ["10.0.0.0/8"]}}], nas=[{"name": "a"}, {"name": "codes", "mode": "code_only"}])

    assert told(one, one, client="10.1.2.3", nas="codes") == [Situation("10.1.2.3", "10.1.2.3", "codes")]


def test_more_situations_than_can_be_looked_at_are_counted() -> None:
    many = [f"10.{number}.0.0/16" for number in range(0, 200, 2)]
    one = standing([{"when": {"network": many}}])
    found = situations_of(one, one, "vpn", Given())

    assert len(found.each) == MAX_SITUATIONS
    assert found.left_out == len(many) + 1 - MAX_SITUATIONS
