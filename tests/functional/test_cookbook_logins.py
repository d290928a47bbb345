"""Recipes of the cookbook on a running server: what their tests say of decisions is what a NAS gets.

A recipe is applied as it stands, but for what belongs to another machine: addresses and secrets of NAS, and the SMS service.
Its policies are not touched.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

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
    message_of,
    people,
    reason_of,
    serve,
    totp_code,
    wait_for,
)
from tests.mmdb import write_mmdb
from wardgate.cli.performing import perform
from wardgate.config.document import dump_plain
from wardgate.config.reading import read_yaml
from wardgate.radius.packet import Attribute, Code, Packet, Type
from wardgate.radius.vendors.paloalto import VENDOR_ID


def here(name: str) -> dict[str, Any]:
    """A recipe for this machine; each NAS sends from a loopback address of its own."""
    plain = cast("dict[str, Any]", read_yaml((COOKBOOK / f"{name}.yaml").read_text(encoding="utf-8")))
    for number, nas in enumerate(plain.get("nas", ())):
        nas.update(addresses=[f"127.0.10.{number + 1}"], secret={"value": SECRET})
    plain["gateways"] = [
        {"name": each["name"], "kind": "pickup", "channel": "email" if each["kind"] == "smtp" else "sms"}
        for each in plain.get("gateways", ())
    ]
    plain["realms"][0]["reply_floor_ms"] = 0
    return plain


def palo_alto(number: int, text: str) -> Attribute:
    """An attribute with which a firewall tells of the person's machine."""
    value = text.encode()
    return Type.VENDOR_SPECIFIC, VENDOR_ID.to_bytes(4, "big") + bytes((number, len(value) + 2)) + value


@dataclass(slots=True)
class Kitchen:
    """A server, and who is there."""

    served: Served
    persons: dict[str, Person]
    wires: dict[str, Wire]
    stack: ExitStack

    def cook(self, recipe: str, **risk: str) -> None:
        """Apply a recipe and wait until the server decides by it. `risk`: files of this machine in place of the recipe's."""
        plain = here(recipe)
        plain.get("risk", {}).update(risk)
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
        "tara": "vpn-users;travellers",
        "cem": "contractors",
        "svc-probe": "service-accounts;vpn-users",
    }
    persons = {
        name: Person(name, person.password, person.totp_hex, groups=told)
        for (name, told), person in zip(groups.items(), people("p", len(groups)), strict=True)
    }
    persons["tel"] = Person("tel", people("t", 1)[0].password, phone="+905321234567")
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


def test_countries(kitchen: Kitchen, tmp_path: Path) -> None:
    networks = {"203.0.113.0/25": "TR", "203.0.113.128/25": "DE", "198.51.100.0/24": "BR"}
    kitchen.cook("countries", country_file=write_mmdb(tmp_path / "countries.mmdb", networks))
    assert kitchen.log_in("gil", "hq-firewall", client="203.0.113.7").code is Code.ACCESS_CHALLENGE
    assert kitchen.log_in("tara", "hq-firewall", client="203.0.113.200").code is Code.ACCESS_CHALLENGE
    for name, address in (("gil", "203.0.113.200"), ("tara", "198.51.100.7"), ("tara", "10.0.0.7")):
        refused = kitchen.log_in(name, "hq-firewall", client=address)
        assert message_of(refused).startswith("The VPN is not open from where you are.")
        assert reason_of(kitchen.served, refused) == "rule_denies"


def test_unmanaged_devices(kitchen: Kitchen) -> None:
    def machine(system: str, name: str, address: str) -> dict[str, Any]:
        return {"attributes": [palo_alto(8, system), palo_alto(9, name), palo_alto(6, "ACME")], "client": address}

    kitchen.cook("unmanaged-devices")
    # He has a phone and no app: enough with a machine of ours, and with no other.
    ours, other = machine("Windows 11", "ACME-1042", "203.0.113.21"), machine("Windows 11", "home", "203.0.113.22")
    assert kitchen.log_in("tel", "hq-firewall", **ours).code is Code.ACCESS_CHALLENGE
    assert reason_of(kitchen.served, kitchen.log_in("tel", "hq-firewall", **other)) == "no_factor"
    old = kitchen.log_in("tel", "hq-firewall", **machine("Windows 7 Enterprise", "ACME-1042", "203.0.113.23"))
    assert message_of(old).startswith("This version of Windows is not let in.")


def test_high_risk(kitchen: Kitchen) -> None:
    kitchen.cook("high-risk")
    usual, attackers = "198.51.100.7", "203.0.113.200"
    # Never seen before and from a network of bad name: 20 and 60 are moderate.
    assert kitchen.log_in("tel", "hq-firewall", client=usual).code is Code.ACCESS_CHALLENGE
    assert reason_of(kitchen.served, kitchen.log_in("tel", "hq-firewall", client=attackers)) == "no_factor"


def test_one_code_for_portal_and_gateway(kitchen: Kitchen) -> None:
    kitchen.cook("one-code-for-portal-and-gateway")
    home, elsewhere = "203.0.113.31", "203.0.113.32"
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
