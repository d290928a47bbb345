"""kill -9 in the middle of a login load: after the restart no code is taken twice, and nobody was let in unrecorded."""

import asyncio
import contextlib
import json
import random
import re
import secrets
import select
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.functional.harness import (
    SECRET,
    Person,
    Served,
    Wire,
    audit_events,
    cli_json,
    csv_of,
    enrol_devices,
    free_udp_ports,
    hotp_code,
    make_installation,
    message_of,
    people,
    serve,
    totp_code,
    wrong_code,
)
from tests.unit.delivery.fakes import http_service, make_authority
from wardgate.cli.performing import perform
from wardgate.radius.client import check_reply
from wardgate.radius.packet import Code, Packet, Type

NAS = "127.0.3.1"
CRASHES = 3
ENOUGH_LOGINS = 20
ENOUGH_WITHIN_S = 30.0
DEVICES = 6

DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local]}}]
directories: [{{name: local, kind: local, verified_cache_s: 300}}]
nas: [{{name: main, addresses: [{NAS}], secret: {{value: {SECRET}}}, application: vpn}}]
applications: [{{name: vpn}}]
codes: {{hotp_look_ahead: 30}}
"""
_GATEWAY = """
gateways:
  - name: sms
    kind: http
    ca_file: {ca_file}
    timeout_s: 5
    request: {{url: "https://localhost:{port}/send", json: {{to: "{{number}}", text: "{{text}}", id: "{{id}}"}}}}
"""


@dataclass(slots=True)
class Site:
    """An installation whose server dies and comes back at the same ports."""

    data: Path
    ports: list[int]
    persons: list[Person]
    phone: Person
    devices: list[Person]
    served: Served

    def restart(self) -> None:
        """Start it again where it died."""
        self.served = serve(self.data, self.ports)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The installation; its server is up."""
    data = tmp_path_factory.mktemp("crash") / "data"
    persons = people("ada", 8)
    phone = Person("phone", f"pw-{secrets.token_urlsafe(9)}", phone="+905321110042")
    devices = [Person(f"device{n}", f"pw-{secrets.token_urlsafe(9)}", hotp_hex=secrets.token_hex(20)) for n in range(DEVICES)]
    make_installation(data, DOCUMENT, csv_of([*persons, phone, *devices]))
    enrol_devices(data, *devices)
    ports = free_udp_ports(2)
    site = Site(data, ports, persons, phone, devices, serve(data, ports))
    try:
        yield site
        site.served.stop()
    finally:
        site.served.end()


@dataclass(slots=True)
class Visitor:
    """One user who logs in again and again, with the next code of the device each time."""

    person: Person
    wire: Wire
    counter: int = 0
    request: Packet | None = None
    answering: bool = False
    accepted: list[str] = field(default_factory=list)

    @property
    def code(self) -> str:
        """The code that is sent now."""
        return hotp_code(self.person.hotp_hex, self.counter)

    def begin(self) -> None:
        """Send the password."""
        self._send(self.wire.request(self.person.name, self.person.password), answering=False)

    def take(self) -> None:
        """A reply is there: go on."""
        datagram = self.wire.receive(0)
        assert datagram is not None
        assert self.request is not None
        reply = check_reply(self.request, datagram, self.wire.secret)
        if reply.code is Code.ACCESS_CHALLENGE and not self.answering:
            self._send(self.wire.request(self.person.name, self.code, reply.first(Type.STATE)), answering=True)
            return
        assert reply.code is Code.ACCESS_ACCEPT, reply
        self.accepted.append(self.code)
        self.counter += 1
        self.begin()

    def _send(self, request: Packet, answering: bool) -> None:
        self.request, self.answering = request, answering
        self.wire.send(request)


def load_until(visitors: list[Visitor], for_s: float) -> None:
    """Log in as fast as the server lets them, for about so long; on a busy machine until there is enough to prove anything."""
    for visitor in visitors:
        visitor.begin()
    began = time.monotonic()
    by_descriptor = {visitor.wire.fileno(): visitor for visitor in visitors}

    def left() -> float:
        enough = sum(len(visitor.accepted) for visitor in visitors) > ENOUGH_LOGINS
        return began + (for_s if enough else ENOUGH_WITHIN_S) - time.monotonic()

    while (rest_s := left()) > 0:
        ready, _, _ = select.select(list(by_descriptor), [], [], rest_s)
        for descriptor in ready:
            by_descriptor[descriptor].take()


def grants(site: Site) -> Counter[str]:
    """How often each user was let in, as the audit trail has it."""
    events = [event for event in audit_events(site.data) if event["kind"].endswith("granted")]
    return Counter(person.name for event in events for person in site.devices if f"'{person.name}'" in str(event))


def test_no_code_is_taken_twice_and_no_login_is_missing_from_the_audit_after_kill_9(site: Site) -> None:
    before: Counter[str] = Counter()
    counters = dict.fromkeys((each.name for each in site.devices), 0)
    for crash in range(CRASHES):
        with contextlib.ExitStack() as stack:
            visitors = [
                Visitor(each, stack.enter_context(Wire(site.served, source=NAS)), counters[each.name]) for each in site.devices
            ]
            load_until(visitors, 0.5 + random.random() * 0.7)
            site.served.kill()
        assert sum(len(visitor.accepted) for visitor in visitors) > ENOUGH_LOGINS, f"crash {crash}: too little load"
        verified = cli_json("audit", "verify", data=site.data)
        assert verified["findings_count"] == 0
        site.restart()
        recorded = grants(site) - before
        with Wire(site.served, source=NAS) as wire:
            for visitor in visitors:
                _nothing_twice(wire, visitor, recorded[visitor.person.name])
                # Past everything that was or may have been used.
                counters[visitor.person.name] = visitor.counter + 1
        before = grants(site)
    assert "Traceback" not in site.served.log


def _nothing_twice(wire: Wire, visitor: Visitor, recorded: int) -> None:
    """Compare one user's replies with the audit trail, and try his codes again."""
    person, accepted = visitor.person, len(visitor.accepted)
    # The last code may have been taken without that the reply came through; none before it can have been.
    last_was_taken = recorded == accepted + 1
    assert last_was_taken or recorded == accepted
    assert not last_was_taken or visitor.answering
    # Two only: the third wrong code would close the login before the last question.
    for code in visitor.accepted[-2:]:
        assert wire.answer(person.name, code, wire.log_in(person.name, person.password)).code is not Code.ACCESS_ACCEPT
    again = wire.answer(person.name, visitor.code, wire.log_in(person.name, person.password))
    assert (again.code is Code.ACCESS_ACCEPT) is not last_was_taken


def test_what_is_sent_again_after_a_crash_gets_the_reply_of_before(site: Site) -> None:
    ada, bob, eve = site.persons[:3]
    with contextlib.ExitStack() as stack:
        wires = {each.name: stack.enter_context(Wire(site.served, source=NAS)) for each in (ada, bob, eve)}
        states = {each.name: wires[each.name].log_in(each.name, each.password).first(Type.STATE) for each in (ada, bob, eve)}
        right = wires[ada.name].request(ada.name, totp_code(ada.totp_hex), states[ada.name])
        wrong = wires[bob.name].request(bob.name, wrong_code(totp_code(bob.totp_hex)), states[bob.name])
        accept, again = wires[ada.name].ask(right), wires[bob.name].ask(wrong)
        assert (accept.code, again.code) == (Code.ACCESS_ACCEPT, Code.ACCESS_CHALLENGE)
        site.served.kill()
        site.restart()
        assert wires[ada.name].ask(right).raw == accept.raw
        repeated = wires[bob.name].ask(wrong)
        assert repeated.code is Code.ACCESS_CHALLENGE
        assert repeated.first(Type.STATE) == again.first(Type.STATE)
        # Another packet with the used State is worth nothing; logins that were open go on where they were.
        assert wires[ada.name].ask(wires[ada.name].request(ada.name, "000000", states[ada.name])).code is Code.ACCESS_REJECT
        accept = wires[eve.name].ask(wires[eve.name].request(eve.name, totp_code(eve.totp_hex), states[eve.name]))
        assert accept.code is Code.ACCESS_ACCEPT
        accept = wires[bob.name].ask(wires[bob.name].request(bob.name, totp_code(bob.totp_hex), repeated.first(Type.STATE)))
        assert accept.code is Code.ACCESS_ACCEPT


async def test_a_message_that_was_promised_goes_out_after_a_crash_and_under_the_same_id(site: Site, tmp_path: Path) -> None:
    authority = make_authority(tmp_path, "localhost")
    async with http_service(authority.server) as service:
        service.reply = None
        document = DOCUMENT + _GATEWAY.format(ca_file=authority.ca_file, port=service.port)
        await asyncio.to_thread(perform, site.data, "config.apply", {"document": document})

        def begin() -> Packet:
            with Wire(site.served, source=NAS) as wire:
                return wire.log_in(site.phone.name, site.phone.password)

        challenge = await asyncio.to_thread(begin)
        # The service has it and says nothing: killed now, the server cannot know whether it was taken.
        await asyncio.wait_for(service.asked.wait(), 10)
        site.served.kill()
        service.asked.clear()
        service.answer(200, b"{}")
        await asyncio.to_thread(site.restart)
        await asyncio.wait_for(service.asked.wait(), 60)
        first, second = (json.loads(request.body) for request in service.requests)
        assert first == second
        code = re.search(r"\b(\d{6})\b", second["text"])
        assert code is not None

        def answer() -> Packet:
            with Wire(site.served, source=NAS) as wire:
                return wire.answer(site.phone.name, code.group(1), challenge)

        assert (await asyncio.to_thread(answer)).code is Code.ACCESS_ACCEPT


def test_wrong_guesses_are_remembered_over_a_crash(site: Site) -> None:
    ada = site.persons[3]
    with Wire(site.served, source=NAS) as wire:
        for _ in range(5):
            assert wire.log_in(ada.name, "guess").code is Code.ACCESS_REJECT
    site.served.kill()
    site.restart()
    with Wire(site.served, source=NAS) as wire:
        assert "Too many tries" in message_of(wire.log_in(ada.name, ada.password))
