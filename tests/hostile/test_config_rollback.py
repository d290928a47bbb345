"""A chain of versions that touches every part of the document, rolled back step by step: each is the earlier document again.

Which version decides is asked of every worker and every node by logins: a reply attribute tells its number, and what it says about
realms, networks, policies, applications and NAS shows in what other logins come to.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

from tests import postgresql
from tests.functional.harness import (
    SECRET,
    Person,
    Served,
    Wire,
    cli_json,
    csv_of,
    ended,
    enrol_devices,
    free_udp_ports,
    make_installation,
    people,
    reason_of,
    totp_code,
    wait_for,
)
from tests.hostile.load import Verdict, device_users, load, unanswered_packets
from tests.hostile.nodes import PATIENCE_S, move_to_postgresql, second_node, serve_cheap, wires_by_slot
from wardgate.cli.performing import perform
from wardgate.config.document import Document, dump_plain
from wardgate.radius.packet import Code, Packet

MAIN, LAB = "127.0.9.1", "127.0.9.2"
FILTER_ID = 11
PASSWORD = {"steps": [["password"]]}
PASSWORD_AND_APP = {"steps": [["password"], ["totp"]]}
A_QUESTION = "What stood beside the lamp in your first room?"
Plain = dict[str, Any]
# Each login comes from an address of its own, inside of this network: an identical one would be folded into what it began before.
ADDRESSES = "198.51.0.0/16"
BASE: Plain = {
    "realms": [{"name": "acme", "default": True, "directories": ["local"], "reply_floor_ms": 0}],
    "directories": [{"name": "local", "kind": "local", "verified_cache_s": 300}],
    "gateways": [{"name": "mail", "kind": "pickup", "channel": "email"}],
    "nas": [
        {"name": "main", "addresses": [MAIN], "secret": {"value": SECRET}, "application": "vpn", "vendor": "paloalto"},
        {"name": "lab", "addresses": [LAB], "secret": {"value": SECRET}, "application": "lab", "vendor": "paloalto"},
    ],
    "applications": [{"name": "vpn", "policy": "open"}, {"name": "lab", "policy": "lab"}],
    "networks": [{"name": "office", "cidr": ["192.0.2.0/24"]}],
    "policies": [
        {"name": "open", "rules": [{"name": "all", "then": PASSWORD}]},
        {"name": "closed", "rules": [{"name": "none", "then": {"deny": True}}]},
        {"name": "lab", "rules": [{"name": "all", "then": PASSWORD}]},
    ],
}


# --- the chain -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One change, of one part of the document. `lab`: what a right password comes to at the laboratory's NAS from then on."""

    part: str
    lab: Code
    change: Callable[[Plain], Any]


def _rules_of_the_lab(plain: Plain) -> None:
    office = {"name": "office", "when": {"network": ["office"]}, "then": PASSWORD}
    plain["policies"][2]["rules"] = [office, {"name": "elsewhere", "then": PASSWORD_AND_APP}]


STEPS = [
    Step("realms", Code.ACCESS_ACCEPT, lambda plain: plain["realms"][0].update(domains=["shop.test"])),
    Step("policies", Code.ACCESS_CHALLENGE, _rules_of_the_lab),
    Step("networks", Code.ACCESS_ACCEPT, lambda plain: plain["networks"][0].update(cidr=[ADDRESSES])),
    Step("directories", Code.ACCESS_ACCEPT, lambda plain: plain["directories"][0].update(verified_cache_s=0)),
    Step(
        "gateways",
        Code.ACCESS_ACCEPT,
        lambda plain: plain["gateways"].append({"name": "sms", "kind": "pickup", "channel": "sms"}),
    ),
    Step("codes", Code.ACCESS_ACCEPT, lambda plain: plain.update(codes={"life_s": 120})),
    Step("applications", Code.ACCESS_REJECT, lambda plain: plain["applications"][1].update(policy="closed")),
    Step("brakes", Code.ACCESS_REJECT, lambda plain: plain.update(brakes={"user_failures": 40})),
    Step("retention", Code.ACCESS_REJECT, lambda plain: plain.update(retention={"timeline": "20d"})),
    Step("risk", Code.ACCESS_REJECT, lambda plain: plain.update(risk={"failures": 4})),
    Step("brand", Code.ACCESS_REJECT, lambda plain: plain.update(brand={"name": "Acme"})),
    Step("notices", Code.ACCESS_REJECT, lambda plain: plain.update(notices={"time_zone": "Europe/Istanbul"})),
    Step("kba", Code.ACCESS_REJECT, lambda plain: plain.update(kba={"asked": 2})),
    Step("questions", Code.ACCESS_REJECT, lambda plain: plain.update(questions=[{"name": "lamp", "texts": {"en": A_QUESTION}}])),
    Step("sending", Code.ACCESS_REJECT, lambda plain: plain.update(sending={"sms_per_day": 500})),
    Step("nas", Code.ACCESS_ACCEPT, lambda plain: plain["nas"][1].update(application="vpn")),
]


@dataclass(frozen=True, slots=True)
class Version:
    """A document of the chain, and what a right password comes to in it."""

    plain: Plain
    mark: str
    lab: Code

    @property
    def shop(self) -> Code:
        """What the right password comes to under a name with the shop's domain."""
        return Code.ACCESS_ACCEPT if "domains" in self.plain["realms"][0] else Code.ACCESS_REJECT


def chain() -> list[Version]:
    """The base, and each step on top of what was before it."""
    plain, lab = deepcopy(BASE), Code.ACCESS_ACCEPT
    versions = []
    for number in range(len(STEPS) + 1):
        if number:
            STEPS[number - 1].change(plain)
            lab = STEPS[number - 1].lab
        plain["applications"][0]["release"] = [{"add": {"Filter-Id": f"v{number}"}}]
        versions.append(Version(deepcopy(plain), f"v{number}", lab))
    return versions


def test_the_chain_touches_every_part_of_the_document() -> None:
    assert sorted(step.part for step in STEPS) == sorted(each.name for each in fields(Document))


# --- where it runs ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Site:
    """Servers of one installation. `places`: for each worker of each node, a wire of either NAS that reaches it."""

    servers: list[Served]
    persons: list[Person]
    devices: list[Person]
    places: list[tuple[Wire, Wire]] = field(default_factory=list)
    addresses: Iterator[str] = field(default_factory=lambda: (f"198.51.{n // 250}.{n % 250 + 1}" for n in itertools.count()))

    def perform(self, turn: int, operation: str, values: Plain) -> Plain:
        """Do it at one of the servers, each time at another."""
        return perform(self.servers[turn % len(self.servers)].data, operation, values)

    def log_in(self, wire: Wire, domain: str = "", number: int = 0) -> Packet:
        """The reply to the right password of a person, whose name may be typed with a domain."""
        person = self.persons[number]
        return wire.log_in(person.name + domain, person.password, client=next(self.addresses))

    def decides_by(self, main: Wire, mark: str) -> None:
        """Wait until the worker that a wire reaches decides by this version."""
        wait_for(lambda: mark_of(self.log_in(main)) == mark, PATIENCE_S)

    def is_in_force_everywhere(self, version: Version) -> None:
        """Wait until every worker of every node decides by this version, in everything."""
        for main, lab in self.places:
            self.decides_by(main, version.mark)
            at_the_lab = self.log_in(lab)
            assert at_the_lab.code is version.lab
            assert mark_of(at_the_lab) in ("", version.mark)
            assert self.log_in(main, "@shop.test").code is version.shop


def mark_of(reply: Packet) -> str:
    """The version that an Access-Accept names."""
    return b"".join(reply.all(FILTER_ID)).decode()


def _two_workers(place: Path, stack: ExitStack) -> Sequence[Served]:
    return [stack.enter_context(ended(serve_cheap(place / "here", free_udp_ports(2), 2)))]


def _two_nodes(place: Path, stack: ExitStack) -> Sequence[Served]:
    move_to_postgresql(place / "here", postgresql.shared())
    second_node(place / "here", place / "there")
    return [stack.enter_context(ended(serve_cheap(place / node, free_udp_ports(2), 1))) for node in ("here", "there")]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(_two_workers, id="two workers on SQLite"),
        pytest.param(_two_nodes, id="two nodes on PostgreSQL", marks=pytest.mark.neighbour("postgresql")),
    ],
)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Servers with the base of the chain in force."""
    place = tmp_path_factory.mktemp("rollback")
    persons, devices = people("ada", 2), device_users("dev", 4)
    make_installation(place / "here", dump_plain(chain()[0].plain), csv_of([*persons, *devices]))
    enrol_devices(place / "here", *devices)
    with ExitStack() as stack:
        site = Site(list(request.param(place, stack)), persons, devices)
        for served in site.servers:
            if len(site.servers) == 1:
                wires = [[one for [one] in wires_by_slot(stack, served, source, 1)] for source in (MAIN, LAB)]
            else:
                wires = [[stack.enter_context(Wire(served, source=source))] for source in (MAIN, LAB)]
            site.places += zip(*wires, strict=True)
        yield site
        for served in site.servers:
            served.stop()


def test_every_step_of_a_chain_is_rolled_back_to_the_earlier_document_at_every_worker_and_node(site: Site) -> None:
    versions = chain()
    stored: list[int] = []
    exported: list[Plain] = []
    for turn, version in enumerate(versions):
        applied = site.perform(turn, "config.apply", {"document": dump_plain(version.plain), "reason": version.mark})
        stored.append(applied["version"])
        exported.append(site.perform(turn, "config.export", {})["document"])
        site.is_in_force_everywhere(version)
    assert all(one != other for one, other in itertools.combinations(exported, 2))
    for turn in range(len(versions) - 2, -1, -1):
        told = site.perform(turn, "config.rollback", {"version": stored[turn], "reason": f"back to {versions[turn].mark}"})
        assert told["version"] > stored[-1]
        for node in range(len(site.servers)):
            assert site.perform(node, "config.export", {})["document"] == exported[turn]
        site.is_in_force_everywhere(versions[turn])
    reasons = [each["reason"] for each in site.perform(0, "config.history", {"limit": len(STEPS)})["versions"]]
    assert reasons == [f"rollback to version {stored[number]}: back to v{number}" for number in range(len(STEPS))]
    assert cli_json("audit", "verify", data=site.servers[0].data)["findings"] == []


# --- logins that had begun ---------------------------------------------------------------------------------------------


def _begin_and_apply_a_stricter_policy(site: Site, number: int) -> Packet:
    """The challenge of a login that began at the first worker or node, before everywhere a policy came that lets it in no more."""
    before = deepcopy(chain()[2].plain)
    stricter = deepcopy(chain()[3].plain)
    stricter["policies"][2]["floors"] = [{"name": "all", "then": {"strong_factors": 1, "never": ["totp"]}}]
    site.perform(0, "config.apply", {"document": dump_plain(before)})
    for main, _ in site.places:
        site.decides_by(main, "v2")
    (_, first), (_, second) = site.places
    challenge = site.log_in(first, number=number)
    assert challenge.code is Code.ACCESS_CHALLENGE
    site.perform(0, "config.apply", {"document": dump_plain(stricter)})
    for main, _ in site.places:
        site.decides_by(main, "v3")
    assert site.log_in(second, number=number).code is Code.ACCESS_REJECT
    return challenge


def _answer(site: Site, number: int, challenge: Packet) -> Packet:
    """The reply of the second worker or node to the right code."""
    _, second = site.places[1]
    person = site.persons[number]
    return second.answer(person.name, totp_code(person.totp_hex), challenge, client="198.51.100.1")


def test_a_login_that_began_before_a_stricter_policy_ends_by_the_plan_that_it_began_with(site: Site) -> None:
    challenge = _begin_and_apply_a_stricter_policy(site, 0)
    assert _answer(site, 0, challenge).code is Code.ACCESS_ACCEPT


def test_a_login_that_keeps_its_plan_is_refused_when_the_account_was_disabled_meanwhile(site: Site) -> None:
    challenge = _begin_and_apply_a_stricter_policy(site, 1)
    site.perform(0, "user.disable", {"name": site.persons[1].name})
    reply = _answer(site, 1, challenge)
    assert reply.code is Code.ACCESS_REJECT
    assert reason_of(site.servers[-1], reply) == "user_changed"


# --- logins all the while ----------------------------------------------------------------------------------------------


def test_no_login_fails_while_every_step_is_applied_and_rolled_back(site: Site) -> None:
    versions = [deepcopy(version.plain) for version in chain()]
    for plain in versions:
        plain["policies"][0]["rules"] = [{"name": "all", "then": {"steps": [["password"], ["hotp"]]}}]
    _apply(site, versions[0])
    before = [unanswered_packets(served) for served in site.servers]
    with ExitStack() as stack:
        shares = [site.devices[number :: len(site.servers)] for number in range(len(site.servers))]
        loads = [stack.enter_context(load(served, share, MAIN)) for served, share in zip(site.servers, shares, strict=True)]
        for plain in (*versions, *reversed(versions[:-1])):
            _apply(site, plain)
            since = time.monotonic()
            for each in loads:
                wait_for(lambda each=each, since=since: each.accepted_since(since) >= 1, PATIENCE_S)
    tries = [one for each in loads for one in each.tries]
    failed = [one for one in tries if one.verdict not in (Verdict.CHALLENGED, Verdict.ACCEPTED, Verdict.SILENCE)]
    assert failed == []
    # Each of the users may be in the middle of a login when the test ends.
    assert sum(one.verdict is Verdict.SILENCE for one in tries) <= len(site.devices)
    assert [unanswered_packets(served) for served in site.servers] == before


def _apply(site: Site, plain: Plain) -> None:
    site.perform(0, "config.apply", {"document": dump_plain(plain)})
