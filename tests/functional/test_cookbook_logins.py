"""Recipes of the cookbook on a running server: what their tests say of decisions is what a NAS gets.

A recipe is applied as it stands, but for what belongs to another machine: addresses and secrets of NAS, and the SMS service.
Its policies are not touched.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cookbook import COOKBOOK, FILES
from tests.functional.harness import (
    SECRET,
    START_S,
    Person,
    Served,
    Wire,
    csv_of,
    ended,
    make_installation,
    people,
    reason_of,
    serve,
    totp_code,
    wait_for,
)
from wardgate.cli.performing import perform
from wardgate.config.document import dump_plain
from wardgate.config.reading import read_yaml
from wardgate.radius.packet import Code, Packet, Type


def here(name: str) -> dict[str, Any]:
    """A recipe for this machine; each NAS sends from a loopback address of its own."""
    plain: Any = read_yaml((COOKBOOK / f"{name}.yaml").read_text(encoding="utf-8"))
    for number, nas in enumerate(plain["nas"]):
        nas.update(addresses=[f"127.0.10.{number + 1}"], secret={"value": SECRET})
    plain["gateways"] = [
        {"name": each["name"], "kind": "pickup", "channel": "email" if each["kind"] == "smtp" else "sms"}
        for each in plain.get("gateways", ())
    ]
    plain["realms"][0]["reply_floor_ms"] = 0
    return plain


@dataclass(slots=True)
class Kitchen:
    """A server, and who is there."""

    served: Served
    persons: dict[str, Person]
    wires: dict[str, Wire]
    stack: ExitStack

    def cook(self, recipe: str) -> None:
        """Apply a recipe and wait until the server decides by it."""
        plain = here(recipe)
        version = perform(self.served.data, "config.apply", {"document": dump_plain(plain)})["version"]
        wait_for(lambda: re.search(rf'"version": {version}\b.*"configuration_in_force"', self.served.log), START_S)
        self.wires = {nas["name"]: self.stack.enter_context(Wire(self.served, source=nas["addresses"][0])) for nas in plain["nas"]}

    def log_in(self, name: str, nas: str, **options: Any) -> Packet:
        """The reply to the right password."""
        return self.wires[nas].log_in(name, self.persons[name].password, **options)

    def answer(self, name: str, nas: str, challenge: Packet) -> Packet:
        """The reply to the right code of the app."""
        return self.wires[nas].answer(name, totp_code(self.persons[name].totp_hex), challenge)


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kitchen]:
    data = tmp_path_factory.mktemp("cookbook") / "data"
    groups = {
        "ada": "vpn-users;staff",
        "ben": "vpn-users;staff",
        "eng": "engineers;vpn-users",
        "sus": "vpn-users;suspended",
        "root": "staff;admins;vpn-users",
        "gil": "vpn-users",
        "cem": "contractors",
        "svc-probe": "service-accounts;vpn-users",
    }
    persons = {
        name: Person(name, person.password, person.totp_hex, groups=told)
        for (name, told), person in zip(groups.items(), people("p", len(groups)), strict=True)
    }
    make_installation(data, dump_plain(here("vpn-with-sms")), csv_of(list(persons.values())))
    with ExitStack() as stack:
        served = stack.enter_context(ended(serve(data)))
        yield Kitchen(served, persons, {}, stack)
        served.stop()


def test_first_match_per_firewall(kitchen: Kitchen) -> None:
    kitchen.cook("first-match-per-firewall")
    challenge = kitchen.log_in("ada", "hq-firewall")
    assert kitchen.answer("ada", "hq-firewall", challenge).code is Code.ACCESS_ACCEPT
    # The same person has nothing that the branch takes, and no place in the lab.
    assert reason_of(kitchen.served, kitchen.log_in("ben", "branch-firewall")) == "no_factor"
    assert reason_of(kitchen.served, kitchen.log_in("ben", "lab-firewall")) == "no_rule"
    assert kitchen.log_in("eng", "lab-firewall").code is Code.ACCESS_CHALLENGE
    assert reason_of(kitchen.served, kitchen.log_in("sus", "hq-firewall")) == "rule_denies"


def test_office_network(kitchen: Kitchen) -> None:
    def from_(address: str) -> dict[str, Any]:
        return {"attributes": [(Type.CALLING_STATION_ID, address.encode())]}

    kitchen.cook("office-network")
    assert kitchen.log_in("ada", "wifi", **from_("198.51.100.7")).code is Code.ACCESS_ACCEPT
    assert kitchen.log_in("ada", "wifi", **from_("203.0.113.9")).code is Code.ACCESS_CHALLENGE
    assert kitchen.log_in("ben", "wifi").code is Code.ACCESS_CHALLENGE
    assert kitchen.log_in("root", "wifi", **from_("198.51.100.7")).code is Code.ACCESS_CHALLENGE


def test_contractor_sessions(kitchen: Kitchen) -> None:
    kitchen.cook("contractor-sessions")
    for name, session_s, idle_s in (("cem", 4 * 3600, 900), ("ben", 10 * 3600, 3600)):
        accept = kitchen.answer(name, "hq-firewall", kitchen.log_in(name, "hq-firewall"))
        assert accept.code is Code.ACCESS_ACCEPT
        assert accept.first(Type.SESSION_TIMEOUT) == session_s.to_bytes(4, "big")
        assert accept.first(Type.IDLE_TIMEOUT) == idle_s.to_bytes(4, "big")


def test_service_accounts(kitchen: Kitchen) -> None:
    kitchen.cook("service-accounts")
    assert kitchen.log_in("svc-probe", "hq-firewall", client="198.51.100.250").code is Code.ACCESS_ACCEPT
    for elsewhere in ({"nas": "hq-firewall", "client": "198.51.100.251"}, {"nas": "branch-firewall", "client": "198.51.100.250"}):
        assert reason_of(kitchen.served, kitchen.log_in("svc-probe", **elsewhere)) == "rule_denies"
    assert kitchen.log_in("eng", "hq-firewall", client="198.51.100.250").code is Code.ACCESS_CHALLENGE


def test_one_code_for_portal_and_gateway(kitchen: Kitchen) -> None:
    kitchen.cook("one-code-for-portal-and-gateway")
    home, elsewhere = "203.0.113.7", "203.0.113.8"
    for name, at_the_gateway in (("gil", Code.ACCESS_ACCEPT), ("root", Code.ACCESS_REJECT)):
        wire, code = kitchen.wires["hq-firewall"], totp_code(kitchen.persons[name].totp_hex)
        challenge = kitchen.log_in(name, "hq-firewall", client=home)
        assert wire.answer(name, code, challenge, client=home).code is Code.ACCESS_ACCEPT
        assert wire.log_in(name, code, client=elsewhere).code is Code.ACCESS_REJECT
        assert wire.log_in(name, code, client=home).code is at_the_gateway
        # Once: the app asks the gateway for no second tunnel.
        assert wire.log_in(name, code, client=home).code is Code.ACCESS_REJECT


def test_a_recipe_is_applied_as_its_file_says_it() -> None:
    """What `here` changes is not the policy."""
    for path in FILES:
        plain: Any = read_yaml(path.read_text(encoding="utf-8"))
        assert here(path.stem)["policies"] == plain["policies"]
