"""kill -9 of each process during a login load, several times: nothing twice, nothing unrecorded, and it heals by itself."""

import asyncio
import os
import re
import secrets
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import postgresql
from tests.functional.harness import (
    SECRET,
    START_S,
    Person,
    Wire,
    audit_events,
    cli_json,
    csv_of,
    ended,
    enrol_devices,
    free_udp_ports,
    make_installation,
    people,
    serve,
    totp_code,
    wait_for,
)
from tests.hostile.nodes import (
    PATIENCE_S,
    Phones,
    exchange,
    gateway,
    move_to_postgresql,
    phones,
    second_node,
    serve_cheap,
    wires_by_slot,
)
from tests.hostile.nodes_load import Load, load
from tests.unit.delivery.fakes import make_authority
from wardgate.radius.packet import Code, Packet, Type

NAS = "127.0.8.1"
DEVICES = 8
LEAST_LOGINS = 5
AT_ONCE = 200
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local], reply_floor_ms: 0}}]
directories: [{{name: local, kind: local}}]
nas: [{{name: main, addresses: [{NAS}], secret: {{value: {SECRET}}}, application: vpn, vendor: paloalto}}]
applications: [{{name: vpn}}]
# A password that was being checked when its process died counts as a wrong one after a minute: so many deaths are no attack.
brakes: {{user_source_failures: 100}}
"""


@dataclass(slots=True)
class Site:
    """An installation that was never served, of which each test takes a copy, and its users."""

    data: Path
    phones: Phones
    apps: list[Person]
    mobiles: list[Person]
    devices: list[Person]

    def copy(self, place: Path) -> Path:
        """The same at another place."""
        shutil.copytree(self.data, place)
        return place


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The installation, and the SMS service that it sends by."""
    place = tmp_path_factory.mktemp("deaths")
    apps = people("app", 40)
    mobiles = [Person(f"mobile{n}", f"pw-{secrets.token_urlsafe(9)}", phone=f"+9053211166{n:02d}") for n in range(60)]
    devices = [Person(f"device{n}", f"pw-{secrets.token_urlsafe(9)}", hotp_hex=secrets.token_hex(20)) for n in range(DEVICES)]
    authority = make_authority(place, "localhost")
    with phones(authority.server) as service:
        # So slow that messages are on their way when a process dies.
        service.takes_s = 0.1
        document = DOCUMENT + gateway(authority.ca_file, service.port)
        make_installation(place / "data", document, csv_of([*apps, *mobiles, *devices]))
        enrol_devices(place / "data", *devices)
        yield Site(place / "data", service, apps, mobiles, devices)


@dataclass(slots=True)
class Witness:
    """Somebody who was let in and two who shall get a message, on one wire, while a process dies."""

    site: Site
    wire: Wire
    accepted: tuple[Packet, Packet] | None = None
    begun: list[tuple[Person, Packet]] = field(default_factory=list)

    def before(self) -> "Witness":
        """Log in, and ask for two messages without waiting for anything."""
        person = self.site.apps.pop()
        challenge = exchange([(self.wire, self.wire.request(person.name, person.password))])[0]
        right = self.wire.request(person.name, totp_code(person.totp_hex), challenge.first(Type.STATE))
        self.accepted = right, exchange([(self.wire, right)])[0]
        assert self.accepted[1].code is Code.ACCESS_ACCEPT
        for _ in range(2):
            mobile = self.site.mobiles.pop()
            self.begun.append((mobile, self.wire.request(mobile.name, mobile.password)))
            self.wire.send(self.begun[-1][1])
        return self

    def after(self) -> None:
        """The same octets get the same reply, and who was promised a message logs in with its code."""
        assert self.accepted is not None
        right, accept = self.accepted
        assert _the_reply(self.wire, right).raw == accept.raw
        for mobile, request in self.begun:
            challenge = _challenged(self.wire, mobile, request)
            code = self.site.phones.code(mobile.phone)
            answer = self.wire.request(mobile.name, code, challenge.first(Type.STATE))
            assert exchange([(self.wire, answer)])[0].code is Code.ACCESS_ACCEPT


def _the_reply(wire: Wire, packet: Packet) -> Packet:
    """The reply to this very packet; what else comes was sent before the process died."""
    while (datagram := wire.receive(0)) is not None:
        assert datagram[0] != Code.ACCESS_ACCEPT
    return exchange([(wire, packet)])[0]


def _challenged(wire: Wire, mobile: Person, request: Packet) -> Packet:
    """The challenge, by the packet that was begun with, or by another one where that was refused while nothing could be done."""
    reply = exchange([(wire, request)])[0]
    deadline = time.monotonic() + PATIENCE_S
    while reply.code is not Code.ACCESS_CHALLENGE:
        assert time.monotonic() < deadline
        reply = exchange([(wire, wire.request(mobile.name, mobile.password))])[0]
    return reply


def kill(pid: int) -> float:
    """End a process as a power cut does; when that was."""
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


class Heals(dict[str, list[float]]):
    """How long it took after each death until everybody was let in again."""

    def note(self, what: str, flow: Load, since: float) -> None:
        """Wait until logins flow."""
        self.setdefault(what, []).append(flow.flows(since))

    def tell(self) -> None:
        """For whoever reads the test's output."""
        for what, seconds in self.items():
            print(f"kill -9 of the {what}: logins of everybody go on after {', '.join(f'{each:.2f}' for each in seconds)} s")


# --- what must hold --------------------------------------------------------------------------------------------------------


def nothing_twice_and_nothing_unrecorded(data: Path, flow: Load) -> list[dict[str, Any]]:
    """One grant in the audit trail for each code that was used, and the trail holds. Returns the trail."""
    assert [visitor.faults for visitor in flow.visitors if visitor.faults] == []
    events = audit_events(data)
    granted = [event for event in events if event["kind"] == "engine:login:granted"]
    assert len({event["transaction_id"] for event in granted}) == len(granted), "one login was let in twice"
    for visitor in flow.visitors:
        name = visitor.person.name
        assert len([event for event in granted if f"'{name}'" in str(event)]) == visitor.settled, name
        assert visitor.settled >= len(visitor.accepted) > LEAST_LOGINS, "too little load to prove anything"
    resent, lost = (sum(each) for each in zip(*((v.resent, v.settled - len(v.accepted)) for v in flow.visitors), strict=True))
    print(f"{len(granted)} logins, {resent} packets sent again, {lost} codes used whose Accept was never seen")
    assert cli_json("audit", "verify", data=data)["findings_count"] == 0
    return events


def messages_are_whole(site: Site, rows: Iterable[dict[str, Any]], events: Iterable[dict[str, Any]]) -> None:
    """Each belongs to a challenge that is in the audit trail; none was handed over more than once beside what a death explains."""
    challenged = {event["transaction_id"] for event in events if event["kind"] == "engine:login:challenged"}
    handed = Counter(each["id"] for each in site.phones.messages)
    texts = {(each["id"], each["text"], each["to"]) for each in site.phones.messages}
    assert len(texts) == len(handed), "one message with two texts"
    number = 0
    for row in rows:
        number += 1
        assert row["transaction_id"] in challenged
        assert (row["state"] == "sent") is (row["sealed"] is None), row["state"]
        assert row["state"] == "queued" or handed[row["id"]] >= 1
        assert handed[row["id"]] <= 2, "a message went out more often than its worker died"
    assert number > 0


# --- SQLite ----------------------------------------------------------------------------------------------------------------


def test_kill_9_of_workers_writer_and_supervisor_on_sqlite_doubles_and_loses_nothing(site: Site, tmp_path: Path) -> None:
    data, ports, heals = site.copy(tmp_path / "data"), free_udp_ports(2), Heals()
    with ExitStack() as stack:
        served = stack.enter_context(ended(serve_cheap(data, ports)))
        wires = [wires[0] for wires in wires_by_slot(stack, served, NAS, 1)]
        with load([served], site.devices, NAS) as flow:
            for name in ("worker 0", "writer", "worker 1", "writer", "worker 0", "writer"):
                # On the wire of the worker that dies.
                witness = Witness(site, wires[name == "worker 1"]).before()
                before = served.pid_of(name)
                heals.note(name.split()[0], flow, kill(before))
                assert served.pid_of(name) != before
                witness.after()
            for _ in range(2):
                witness = Witness(site, wires[0]).before()
                served.kill()
                died = time.monotonic()
                served = stack.enter_context(ended(serve_cheap(data, ports)))
                heals.note("supervisor, with the new start,", flow, died)
                witness.after()
        events = nothing_twice_and_nothing_unrecorded(data, flow)
        wait_for(lambda: {row["state"] for row in _sqlite_outbox(data)} == {"sent"}, PATIENCE_S)
        messages_are_whole(site, _sqlite_outbox(data), events)
        heals.tell()
        served.stop()


def _sqlite_outbox(data: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"{(data / 'wardgate.db').as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT id, transaction_id, state, sealed FROM outbox")]


# --- PostgreSQL ------------------------------------------------------------------------------------------------------------


@pytest.mark.neighbour("postgresql")
def test_kill_9_of_workers_a_node_and_the_postmaster_doubles_and_loses_nothing(site: Site, tmp_path: Path) -> None:
    here, ports, heals = site.copy(tmp_path / "here"), free_udp_ports(2), Heals()
    with ExitStack() as stack:
        server = stack.enter_context(postgresql.server())
        database = move_to_postgresql(here, server)
        there = second_node(here, tmp_path / "there")
        one = stack.enter_context(ended(serve_cheap(here, ports)))
        other = stack.enter_context(ended(serve_cheap(there, free_udp_ports(2), 1)))
        wires = [wires[0] for wires in wires_by_slot(stack, one, NAS, 1)]
        with load([one, other], site.devices, NAS) as flow:
            for slot in (0, 1):
                witness = Witness(site, wires[slot]).before()
                heals.note("worker", flow, kill(one.pid_of(f"worker {slot}")))
                witness.after()
            for longer in (False, False, True):
                witness = Witness(site, wires[0]).before()
                server.stop(signal.SIGKILL)
                if longer:
                    flow.is_refused(5)
                server.start()
                heals.note("postmaster, from its return,", flow, time.monotonic())
                witness.after()
            witness = Witness(site, wires[0]).before()
            one.kill()
            died = time.monotonic()
            one = stack.enter_context(ended(serve_cheap(here, ports)))
            heals.note("supervisor, with the new start,", flow, died)
            witness.after()
        events = nothing_twice_and_nothing_unrecorded(there, flow)
        rows = asyncio.run(server.fetch("SELECT id, transaction_id, state, sealed FROM outbox", database))
        messages_are_whole(site, map(dict, rows), events)
        heals.tell()
        other.stop()
        one.stop()


# --- turns -----------------------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_while_it_hashes_leaves_its_turn_to_others(site: Site, tmp_path: Path) -> None:
    """There are as many turns as cores to spare: a lost one would slow every later login down, or stop them all."""
    data = site.copy(tmp_path / "data")
    person = site.apps.pop()
    with ended(serve(data, free_udp_ports(2), "--workers", "2")) as served, ExitStack() as stack:
        left, right = (wires[0] for wires in wires_by_slot(stack, served, NAS, 1))
        pid = served.pid_of("worker 0")
        _freeze_with_a_turn(left, pid)
        kill(pid)
        challenge = exchange([(right, right.request(person.name, person.password))])[0]
        right_code = right.request(person.name, totp_code(person.totp_hex), challenge.first(Type.STATE))
        assert exchange([(right, right_code)])[0].code is Code.ACCESS_ACCEPT
        wait_for(lambda: served.pid_of("worker 0") != pid, START_S)
        assert exchange([(left, left.request(person.name, "guess"))])[0].code is Code.ACCESS_REJECT
        assert not turns_of(pid)
        served.stop()


def _freeze_with_a_turn(wire: Wire, pid: int) -> None:
    """Stop a worker in the middle of a password check."""
    deadline, sent = time.monotonic() + PATIENCE_S, 0
    while time.monotonic() < deadline:
        for _ in range(AT_ONCE if sent % AT_ONCE == 0 else 1):
            sent += 1
            wire.send(wire.request(f"nobody-{sent}", "guess", client=f"198.51.{sent // 250}.{sent % 250}"))
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: "State:\tT" in Path(f"/proc/{pid}/status").read_text(), START_S)
        if turns_of(pid):
            return
        os.kill(pid, signal.SIGCONT)
    raise AssertionError("it was never found at a password check")


def turns_of(pid: int) -> list[int]:
    """The turns that a process holds: locks on the first octets of a file, where SQLite has none."""
    found = re.findall(rf"POSIX +ADVISORY +WRITE {pid} \S+ (\d+) (\d+)$", Path("/proc/locks").read_text(), re.MULTILINE)
    return [int(first) for first, last in found if first == last and 0 < int(first) < 64]
