"""Two nodes on one PostgreSQL are one server: challenges, replies, brakes, messages, configuration, keys and pages are shared."""

import asyncio
import base64
import re
import secrets
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import postgresql
from tests.functional.harness import (
    COMMAND,
    ROOT,
    SECRET,
    START_S,
    Person,
    Served,
    Wire,
    cli,
    cli_json,
    csv_of,
    ended,
    environment,
    free_udp_ports,
    make_installation,
    message_of,
    people,
    totp_code,
    wait_for,
    wrong_code,
)
from tests.hostile.nodes import (
    PATIENCE_S,
    Phones,
    RoamingWire,
    exchange,
    gateway,
    move_to_postgresql,
    phones,
    second_node,
    serve_cheap,
)
from tests.unit.delivery.fakes import make_authority
from wardgate.cli.performing import perform
from wardgate.radius.client import build_status_server, check_reply
from wardgate.radius.packet import Code, Packet, Type

pytestmark = pytest.mark.neighbour("postgresql")

NAS = "127.0.7.1"
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local], reply_floor_ms: 0}}]
directories: [{{name: local, kind: local}}]
nas:
  - {{name: main, addresses: [{NAS}], secret: {{value: {SECRET}}}, application: vpn, vendor: paloalto}}
applications: [{{name: vpn}}]
"""


@dataclass(slots=True)
class Pair:
    """Two nodes, and who may log in. Each test takes fresh users."""

    here: Served
    there: Served
    database: str
    phones: Phones
    document: str
    apps: list[Person]
    mobiles: list[Person]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both of them, up."""
    place = tmp_path_factory.mktemp("nodes")
    apps = people("app", 120)
    mobiles = [Person(f"mobile{n}", f"pw-{secrets.token_urlsafe(9)}", phone=f"+9053211155{n:02d}") for n in range(40)]
    authority = make_authority(place, "localhost")
    with ExitStack() as stack:
        service = stack.enter_context(phones(authority.server))
        document = DOCUMENT + gateway(authority.ca_file, service.port)
        make_installation(place / "here", document, csv_of([*apps, *mobiles]))
        database = move_to_postgresql(place / "here", postgresql.shared())
        second_node(place / "here", place / "there")
        cli("check", data=place / "there")
        here = stack.enter_context(ended(serve_cheap(place / "here", free_udp_ports(2), 1)))
        there = stack.enter_context(ended(serve_cheap(place / "there", free_udp_ports(2), 1)))
        yield Pair(here, there, database, service, document, apps, mobiles)
        there.stop()
        here.stop()


def log_in(served: Served, person: Person) -> Code:
    """A whole login at one node."""
    with Wire(served, source=NAS) as wire:
        return wire.answer(person.name, totp_code(person.totp_hex), wire.log_in(person.name, person.password)).code


def test_a_challenge_of_one_node_is_answered_at_the_other(pair: Pair) -> None:
    for first, second in ((pair.here, pair.there), (pair.there, pair.here)):
        person = pair.apps.pop()
        with Wire(first, source=NAS) as one, Wire(second, source=NAS) as other:
            challenge = one.log_in(person.name, person.password)
            again = other.answer(person.name, wrong_code(totp_code(person.totp_hex)), challenge)
            assert one.answer(person.name, totp_code(person.totp_hex), again).code is Code.ACCESS_ACCEPT
            challenge = other.log_in(person.name, person.password)
            assert one.answer(person.name, totp_code(person.totp_hex), challenge).code is not Code.ACCESS_ACCEPT


def test_tries_of_one_login_are_counted_over_both_nodes(pair: Pair) -> None:
    """Else each node would give an attacker its own three guesses."""
    person = pair.apps.pop()
    with Wire(pair.here, source=NAS) as here, Wire(pair.there, source=NAS) as there:
        reply = here.log_in(person.name, person.password)
        guesses = 0
        while reply.code is Code.ACCESS_CHALLENGE:
            wire = there if guesses % 2 else here
            reply = wire.answer(person.name, wrong_code(totp_code(person.totp_hex)), reply)
            guesses += 1
        assert (reply.code, guesses) == (Code.ACCESS_REJECT, 3)


def test_an_identical_packet_at_the_other_node_gets_the_same_reply(pair: Pair) -> None:
    person = pair.apps.pop()
    with RoamingWire(pair.here, source=NAS) as wire:
        challenge = wire.log_in(person.name, person.password)
        wrong = wire.request(person.name, wrong_code(totp_code(person.totp_hex)), challenge.first(Type.STATE))
        first = wire.ask(wrong)
        wire.turn_to(pair.there)
        assert wire.ask(wrong).raw == first.raw
        right = wire.request(person.name, totp_code(person.totp_hex), first.first(Type.STATE))
        accept = wire.ask(right)
        assert accept.code is Code.ACCESS_ACCEPT
        wire.turn_to(pair.here)
        assert wire.ask(right).raw == accept.raw
        # The same State and code in another packet is not the same packet.
        assert wire.ask(wire.request(person.name, totp_code(person.totp_hex), first.first(Type.STATE))).code is Code.ACCESS_REJECT
    with RoamingWire(pair.there, source=NAS) as stranger:
        assert stranger.ask(right).code is Code.ACCESS_REJECT


def test_wrong_passwords_at_one_node_lock_at_the_other(pair: Pair) -> None:
    victim, other = pair.apps.pop(), pair.apps.pop()
    with Wire(pair.here, source=NAS) as here, Wire(pair.there, source=NAS) as there:
        for number in range(5):
            assert (there if number == 3 else here).log_in(victim.name, "guess").code is Code.ACCESS_REJECT
        for wire in (there, here):
            assert "Too many tries" in message_of(wire.log_in(victim.name, victim.password))
        assert there.log_in(other.name, other.password).code is Code.ACCESS_CHALLENGE


def test_a_code_is_sent_once_though_both_nodes_send(pair: Pair) -> None:
    mobiles = [pair.mobiles.pop() for _ in range(16)]
    with Wire(pair.here, source=NAS) as here, Wire(pair.there, source=NAS) as there:
        wires = [(here, there)[number % 2] for number in range(len(mobiles))]
        begun = [(wire, wire.request(each.name, each.password)) for wire, each in zip(wires, mobiles, strict=True)]
        challenges = exchange(begun)
        codes = [pair.phones.code(each.phone) for each in mobiles]
        everything_sent(pair.database)
        assert Counter(
            each["to"] for each in pair.phones.messages if each["to"] in {mobile.phone for mobile in mobiles}
        ) == Counter(mobile.phone for mobile in mobiles)
        for wire, mobile, code, challenge in zip(reversed(wires), mobiles, codes, challenges, strict=True):
            assert wire.answer(mobile.name, code, challenge).code is Code.ACCESS_ACCEPT


def test_a_first_packet_that_comes_to_both_nodes_sends_one_code(pair: Pair) -> None:
    """A NAS that got no reply in time asks the next server with the same packet, or with a fresh one."""
    for fresh in (False, True):
        mobile = pair.mobiles.pop()
        with RoamingWire(pair.here, source=NAS) as wire:
            request = wire.request(mobile.name, mobile.password)
            first = wire.ask(request)
            wire.turn_to(pair.there)
            second = wire.request(mobile.name, mobile.password) if fresh else request
            challenge = wire.ask(second)
            code = pair.phones.code(mobile.phone)
            everything_sent(pair.database)
            assert len(pair.phones.to(mobile.phone)) == 1, f"fresh: {fresh}"
            # Two challenges of one login: either may be answered, once.
            assert wire.answer(mobile.name, code, challenge).code is Code.ACCESS_ACCEPT
            assert wire.answer(mobile.name, code, first).code is not Code.ACCESS_ACCEPT


def test_a_first_packet_at_both_nodes_at_the_same_instant_sends_one_code(pair: Pair) -> None:
    """A NAS that does not wait for the first server before it asks the second."""
    mobiles = [pair.mobiles.pop() for _ in range(10)]
    with Wire(pair.here, source=NAS) as here, Wire(pair.there, source=NAS) as there:
        begun = [
            (wire, wire.request(mobile.name, mobile.password))
            for number, mobile in enumerate(mobiles)
            for wire in ((here, there) if number % 2 else (there, here))
        ]
        challenges = exchange(begun)
        codes = [pair.phones.code(mobile.phone) for mobile in mobiles]
        everything_sent(pair.database)
        for number, (mobile, code) in enumerate(zip(mobiles, codes, strict=True)):
            assert len(pair.phones.to(mobile.phone)) == 1
            # Of two challenges of one login either may be answered.
            wire, challenge = begun[2 * number][0], challenges[2 * number + 1]
            assert wire.answer(mobile.name, code, challenge).code is Code.ACCESS_ACCEPT


def rows_of(sql: str, database: str) -> list[Any]:
    """What PostgreSQL itself says."""
    return asyncio.run(postgresql.shared().fetch(sql, database))


def everything_sent(database: str) -> None:
    """No message waits any more: none can come later."""

    def look() -> bool:
        rows = rows_of("SELECT state FROM outbox", database)
        return {row["state"] for row in rows} == {"sent"}

    wait_for(look, PATIENCE_S)


def test_a_nas_that_is_added_at_one_node_may_ask_the_other(pair: Pair) -> None:
    address, secret = "127.0.7.9", secrets.token_urlsafe(20)
    added = ["nas", "add", "late", "--address", address, "--application", "vpn", "--secret-stdin"]
    cli(*added, data=pair.here.data, stdin=secret)
    with Wire(pair.there, secret=secret, source=address) as wire:
        wait_for(lambda: answers(wire), START_S)
    cli("nas", "remove", "late", data=pair.there.data)
    with Wire(pair.here, secret=secret, source=address) as wire:
        wait_for(lambda: not answers(wire), START_S)


def answers(wire: Wire) -> bool:
    """Whether this NAS gets an authentic reply."""
    request = build_status_server(wire.secret, identifier=wire.next_identifier())
    wire.send(request)
    datagram = wire.receive(0.3)
    return datagram is not None and check_reply(request, datagram, wire.secret).code is Code.ACCESS_ACCEPT


def test_a_policy_that_is_applied_at_one_node_decides_at_the_other(pair: Pair) -> None:
    person = pair.apps.pop()
    policy = 'policies: [{name: closed, rules: [{name: none, when: {group: ["local:nobody"]}, then: {steps: [[password]]}}]}]'
    closed = pair.document.replace("applications: [{name: vpn}]", f"applications: [{{name: vpn, policy: closed}}]\n{policy}")
    try:
        perform(pair.here.data, "config.apply", {"document": closed})
        began = time.monotonic()
        wait_for(lambda: begin_at(pair.there, person).code is Code.ACCESS_REJECT, START_S)
        print(f"a policy applied at one node decides at the other after {time.monotonic() - began:.2f} s")
    finally:
        cli("config", "apply", "-", data=pair.there.data, stdin=pair.document)
    wait_for(lambda: begin_at(pair.here, person).code is Code.ACCESS_CHALLENGE, START_S)


def begin_at(served: Served, person: Person) -> Packet:
    """The reply to a right password."""
    with Wire(served, source=NAS) as wire:
        return wire.log_in(person.name, person.password)


def test_keys_that_are_rotated_at_one_node_open_at_the_other_while_people_log_in(pair: Pair) -> None:
    rotate = [*COMMAND, "key", "rotate", "--data", str(pair.here.data)]
    rotation = subprocess.Popen(rotate, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), cwd=ROOT)
    logins = 0
    while len(pair.apps) > 20 and (rotation.poll() is None or logins < 3):
        assert log_in(pair.there, pair.apps.pop()) is Code.ACCESS_ACCEPT
        logins += 1
    _, problem = rotation.communicate(timeout=START_S)
    assert rotation.returncode == 0, problem
    # Sealed under the new key at the one, opened at the other at once.
    late, password = Person("late", "pw-of-the-late-one", secrets.token_hex(20)), "pw-of-the-late-one"
    cli("user", "add", late.name, "--password-stdin", data=pair.here.data, stdin=password)
    cli("authenticator", "add", late.name, "totp", "--secret-stdin", data=pair.here.data, stdin=late.totp_hex)
    assert log_in(pair.there, late) is Code.ACCESS_ACCEPT
    assert log_in(pair.here, pair.apps.pop()) is Code.ACCESS_ACCEPT


def test_a_link_of_one_node_opens_at_the_other_once_and_the_live_log_there_shows_the_logins_of_both(pair: Pair) -> None:
    link = cli_json("admin", "link", data=pair.here.data)["url"]
    path = httpx.URL(link).path
    here, there = pair.apps.pop(), pair.apps.pop()
    with pair.there.web() as web, pair.here.web() as late:
        assert web.post(path, headers={"Origin": pair.there.url}).status_code in (200, 303)
        assert late.post(path, headers={"Origin": pair.here.url}).status_code not in (200, 303)
        with web.stream("GET", "/admin/log/stream") as events:
            assert events.status_code == 200
            began = time.monotonic()
            assert log_in(pair.here, here) is Code.ACCESS_ACCEPT
            assert log_in(pair.there, there) is Code.ACCESS_ACCEPT
            shown = set[str]()
            for line in events.iter_lines():
                shown.update(re.findall(r">(app\d+)<", line))
                if {here.name, there.name} <= shown:
                    break
            print(f"the live log shows logins of both nodes after {time.monotonic() - began:.2f} s")


def test_a_cloned_machine_with_the_id_of_its_original_doubles_nothing_and_forks_no_chain(pair: Pair, tmp_path: Path) -> None:
    """The guide forbids it and virtual machines are cloned all the same: two processes then write one audit chain."""
    clone = tmp_path / "clone"
    shutil.copytree(pair.there.data, clone, ignore=shutil.ignore_patterns("*.sock", "control.*", "instance.lock"))
    persons = [pair.apps.pop() for _ in range(12)]
    with (
        ended(serve_cheap(clone, free_udp_ports(2), 1)) as twin,
        Wire(pair.there, source=NAS) as one,
        Wire(twin, source=NAS) as two,
    ):
        wires = [wire for _ in persons for wire in (one, two)]
        twice = [person for person in persons for _ in range(2)]
        begun = [
            (wire, wire.request(person.name, person.password, client=f"198.51.100.{number}"))
            for number, (wire, person) in enumerate(zip(wires, twice, strict=True))
        ]
        states = [challenge.first(Type.STATE) for challenge in exchange(begun)]
        answers = [
            (wire, wire.request(person.name, totp_code(person.totp_hex), state))
            for wire, person, state in zip(wires, twice, states, strict=True)
        ]
        codes = [reply.code for reply in exchange(answers)]
        for first, second in zip(codes[::2], codes[1::2], strict=True):
            assert [first, second].count(Code.ACCESS_ACCEPT) == 1
        twin.stop()
    assert cli_json("audit", "verify", data=pair.here.data)["findings_count"] == 0


def test_both_nodes_write_chains_of_their_own_that_hold_together(pair: Pair) -> None:
    verified = cli_json("audit", "verify", data=pair.there.data)
    assert verified["findings_count"] == 0
    writers = {row["writer"] for row in rows_of("SELECT DISTINCT writer FROM audit_event", pair.database)}
    nodes = {writer.rpartition(".")[0] for writer in writers if writer.endswith(".0")}
    assert len(nodes) == 2


def test_a_node_with_another_key_file_is_refused_at_the_start(pair: Pair, tmp_path: Path) -> None:
    """Not at the first login, when half of what it seals would open nowhere else."""
    stranger = second_node(pair.here.data, tmp_path / "stranger")
    (stranger / "master.key").write_bytes(base64.b64encode(secrets.token_bytes(32)) + b"\n")
    for command in (["check"], ["serve", "--radius-port", "0", "--https-port", "0"]):
        done = cli(*command, data=stranger, expect=1)
        assert "key" in done.stdout + done.stderr
