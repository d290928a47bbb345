"""The same code to two workers and to two nodes at the same instant: exactly one Access-Accept in two thousand races each."""

import json
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import postgresql
from tests.functional.harness import (
    SECRET,
    Person,
    Served,
    Wire,
    audit_events,
    cli_json,
    csv_of,
    ended,
    free_udp_ports,
    hotp_code,
    make_installation,
    people,
    totp_code,
    wrong_code,
)
from tests.hostile.nodes import RoamingWire, Shot, exchange, move_to_postgresql, second_node, serve_cheap, slot_of, wires_by_slot
from wardgate.cli.performing import Performer
from wardgate.radius.packet import Code, Type

NAS = "127.0.6.1"
WIRES = 4
AT_ONCE = 60
# Ten apps more than are needed: some codes are not sent.
APPS, DEVICES, SHEETS = 610, 60, 40
LOOK_AHEAD = 12
# So many that the system gives one port's packets to all of them to one of two workers but once in a million.
ADDRESSES = [f"127.0.0.{number}" for number in range(1, 22)]
# Two codes of an app are good in this half minute: its own and the next one's. A sheet has ten.
CODES = {"app": 2, "device": 8, "sheet": 8}
RACES = (APPS - 10) * CODES["app"] + DEVICES * CODES["device"] + SHEETS * CODES["sheet"]
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local], reply_floor_ms: 0}}]
directories: [{{name: local, kind: local}}]
nas: [{{name: main, addresses: [{NAS}], secret: {{value: {SECRET}}}, application: vpn, vendor: paloalto}}]
applications: [{{name: vpn}}]
"""


@dataclass(frozen=True, slots=True)
class Site:
    """An installation that was never served: each test takes a copy. `sheets`: recovery codes by user."""

    data: Path
    apps: list[Person]
    devices: list[Person]
    papers: list[Person]
    sheets: dict[str, list[str]]

    def copy(self, place: Path) -> Path:
        """The same at another place."""
        shutil.copytree(self.data, place)
        return place


@dataclass(frozen=True, slots=True)
class Race:
    """One code that is sent twice. `one_state`: to one challenge from two ports; else in two logins of one user."""

    person: Person
    code: str
    one_state: bool


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Users of every kind, before the first login."""
    data = tmp_path_factory.mktemp("race") / "data"
    apps = people("app", APPS)
    devices = [Person(f"device{n}", f"pw-{secrets.token_urlsafe(9)}", hotp_hex=_device_secret()) for n in range(DEVICES)]
    papers = [Person(f"sheet{n}", f"pw-{secrets.token_urlsafe(9)}") for n in range(SHEETS)]
    make_installation(data, DOCUMENT, csv_of([*apps, *devices, *papers]))
    sheets = {}
    with Performer(data) as performer:
        for each in devices:
            performer.do("authenticator.add_hotp", {"name": each.name, "secret_hex": each.hotp_hex})
        for each in papers:
            sheets[each.name] = performer.do("authenticator.add_recovery", {"name": each.name})["codes"]
    return Site(data, apps, devices, papers, sheets)


def _device_secret() -> str:
    """One that shows no six digits twice: the second of two equal codes would be let in rightly, as the device's later one."""
    while True:
        secret = secrets.token_hex(20)
        codes = [hotp_code(secret, counter) for counter in range(CODES["device"] + LOOK_AHEAD)]
        if len(set(codes)) == len(codes):
            return secret


def _app_race(person: Person, turn: int, one_state: bool) -> Iterator[Race]:
    """The code of this half minute or of the next one; none where an app shows the same digits for two of them."""
    codes = [totp_code(person.totp_hex, shift=shift) for shift in (-1, 0, 1, 2, 3)]
    if len(set(codes)) == len(codes):
        yield Race(person, codes[turn + 1], one_state)


def rounds(site: Site) -> Iterator[list[Race]]:
    """All races, in groups that are run at once: each user once in a group, the codes of one user in their order."""
    for turn in range(max(CODES.values())):
        group = [Race(each, hotp_code(each.hotp_hex, turn), _even(n + turn)) for n, each in enumerate(site.devices)]
        group += [Race(each, site.sheets[each.name][turn], _even(n + turn)) for n, each in enumerate(site.papers)]
        yield from _groups(group)
    for turn in range(CODES["app"]):
        for begin in range(0, len(site.apps), AT_ONCE):
            # The codes are made when they are sent: the half minute goes on.
            persons = site.apps[begin : begin + AT_ONCE]
            yield [race for n, each in enumerate(persons) for race in _app_race(each, turn, _even(n + turn))]


def _even(number: int) -> bool:
    return number % 2 == 0


def _groups(races: Sequence[Race]) -> Iterator[list[Race]]:
    for begin in range(0, len(races), AT_ONCE):
        yield list(races[begin : begin + AT_ONCE])


def run_races(site: Site, left: Sequence[Wire], right: Sequence[Wire]) -> int:
    """Every code to both sides at once. Exactly one is let in. Returns how many races there were."""
    run = 0
    for races in rounds(site):
        for race, pair in zip(races, _fire(races, left, right), strict=True):
            kinds = Counter(pair)
            assert kinds[Code.ACCESS_ACCEPT] == 1, f"{race.person.name} with {race.code}: {kinds}"
            run += 1
    assert run >= RACES
    return run


def _fire(races: Sequence[Race], left: Sequence[Wire], right: Sequence[Wire]) -> list[tuple[Code, Code]]:
    pairs = [_sides(n, left, right) for n in range(len(races))]
    begins: list[Shot] = []
    for number, (race, pair) in enumerate(zip(races, pairs, strict=True)):
        # Two logins of one user are two only from two machines.
        for machine, wire in enumerate(pair[:1] if race.one_state else pair):
            begins.append((wire, wire.request(race.person.name, race.person.password, client=f"198.51.{machine}.{number + 1}")))
    states = [challenge.first(Type.STATE) for challenge in exchange(begins)]
    assert None not in states
    assert len(set(states)) == len(states)
    answers: list[Shot] = []
    for race, pair in zip(races, pairs, strict=True):
        first = states.pop(0)
        second = first if race.one_state else states.pop(0)
        answers += [
            (wire, wire.request(race.person.name, race.code, state)) for wire, state in zip(pair, (first, second), strict=True)
        ]
    replies = [reply.code for reply in exchange(answers)]
    return list(zip(replies[::2], replies[1::2], strict=True))


def _sides(number: int, left: Sequence[Wire], right: Sequence[Wire]) -> tuple[Wire, Wire]:
    """One wire of each side; which of them is asked first changes from race to race."""
    pair = left[number // 2 % len(left)], right[number // 2 % len(right)]
    return pair if number % 2 else (pair[1], pair[0])


def as_many_grants_as_races(data: Path, races: int) -> None:
    """The audit trail knows each Accept, and holds."""
    granted = Counter(event["transaction_id"] for event in audit_events(data) if event["kind"].endswith("granted"))
    assert len(granted) == sum(granted.values()) == races
    assert cli_json("audit", "verify", data=data)["findings_count"] == 0


def test_one_code_to_two_workers_on_sqlite_lets_in_once(site: Site, tmp_path: Path) -> None:
    data = site.copy(tmp_path / "data")
    with ended(serve_cheap(data, free_udp_ports(2))) as served, ExitStack() as stack:
        races = run_races(site, *wires_by_slot(stack, served, NAS, WIRES))
        as_many_grants_as_races(data, races)
        served.stop()


@pytest.mark.neighbour("postgresql")
def test_one_code_to_two_workers_on_postgresql_lets_in_once(site: Site, tmp_path: Path) -> None:
    data = site.copy(tmp_path / "data")
    move_to_postgresql(data, postgresql.shared())
    with ended(serve_cheap(data, free_udp_ports(2))) as served, ExitStack() as stack:
        races = run_races(site, *wires_by_slot(stack, served, NAS, WIRES))
        as_many_grants_as_races(data, races)
        served.stop()


@pytest.mark.neighbour("postgresql")
def test_one_code_to_two_nodes_lets_in_once(site: Site, tmp_path: Path) -> None:
    here = site.copy(tmp_path / "here")
    move_to_postgresql(here, postgresql.shared())
    there = second_node(here, tmp_path / "there")
    with ended(serve_cheap(here, free_udp_ports(2), 1)) as one, ended(serve_cheap(there, free_udp_ports(2), 1)) as other:
        with ExitStack() as stack:
            left, right = ([stack.enter_context(Wire(node, source=NAS)) for _ in range(WIRES)] for node in (one, other))
            races = run_races(site, left, right)
        as_many_grants_as_races(there, races)
        other.stop()
        one.stop()


@pytest.mark.parametrize(
    "shared", [False, pytest.param(True, marks=pytest.mark.neighbour("postgresql"))], ids=["sqlite", "postgresql"]
)
def test_an_identical_packet_at_the_other_worker_gets_the_same_reply(site: Site, tmp_path: Path, shared: bool) -> None:
    """From the same address and port; that it was sent to another address of the server makes another worker take it."""
    data, person = site.copy(tmp_path / "data"), site.apps[0]
    settings = data / "wardgate.toml"
    settings.write_text(settings.read_text().replace('addresses = ["127.0.0.1", "::1"]', f"addresses = {json.dumps(ADDRESSES)}"))
    if shared:
        move_to_postgresql(data, postgresql.shared())
    with ended(serve_cheap(data, free_udp_ports(2))) as served, RoamingWire(served, source=NAS) as wire:
        one, other = _addresses_by_slot(served, wire)
        wire.turn_to(served, one)
        challenge = wire.log_in(person.name, person.password)
        wrong = wire.request(person.name, wrong_code(totp_code(person.totp_hex)), challenge.first(Type.STATE))
        again = wire.ask(wrong)
        wire.turn_to(served, other)
        assert wire.ask(wrong).raw == again.raw
        right = wire.request(person.name, totp_code(person.totp_hex), again.first(Type.STATE))
        accept = wire.ask(right)
        assert accept.code is Code.ACCESS_ACCEPT
        wire.turn_to(served, one)
        assert wire.ask(right).raw == accept.raw
        served.stop()


def _addresses_by_slot(served: Served, wire: RoamingWire) -> tuple[str, str]:
    """Of the server's addresses, one for each of its two workers, as the system deals this wire's packets out."""
    found: dict[str, str] = {}
    for address in ADDRESSES:
        wire.turn_to(served, address)
        found.setdefault(slot_of(served, wire), address)
        if len(found) == 2:
            break
    return found["0"], found["1"]
