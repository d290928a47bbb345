"""Too much at once: floods do not keep a good login out, and a stop in the middle finishes what is in work."""

import contextlib
import secrets
import select
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.harness import (
    SECRET,
    Person,
    Served,
    Wire,
    audit_events,
    csv_of,
    ended,
    make_installation,
    people,
    serve,
    totp_code,
    wait_for,
)
from wardgate.radius.client import build_status_server, check_reply
from wardgate.radius.packet import Code, Packet

NAS = "127.0.5.1"
STRANGER = "127.0.5.99"
FLOOD_S = 2.5
# A hundred datagrams in each: far more than any NAS sends, and no more than the sockets of a busy machine can hold.
BURST_EVERY_S = 0.01
# What a firewall waits. How often it tries is generous here: on a busy machine the flood takes the processor as well.
PATIENCE_S, TRIES = 3.0, 10
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local]}}]
directories: [{{name: local, kind: local}}]
nas: [{{name: main, addresses: [{NAS}], secret: {{value: {SECRET}}}, application: vpn}}]
applications: [{{name: vpn}}]
"""


@pytest.fixture(scope="module")
def persons() -> list[Person]:
    """Who logs in during floods."""
    return people("ada", 40)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, persons: list[Person]) -> Path:
    """One installation for all floods."""
    data = tmp_path_factory.mktemp("overload") / "data"
    make_installation(data, DOCUMENT, csv_of(persons))
    return data


@pytest.fixture(scope="module")
def served(data: Path) -> Iterator[Served]:
    """Its server; the last test stops it in its own way."""
    with ended(serve(data)) as served:
        yield served


def as_a_nas_does(wire: Wire, request: Packet) -> Packet:
    """Send, and send again after each time-out: in a flood a datagram may be lost in front of anybody's socket."""
    for _ in range(TRIES):
        wire.send(request)
        deadline = time.monotonic() + PATIENCE_S
        while (left := deadline - time.monotonic()) > 0 and (datagram := wire.receive(left)) is not None:
            if datagram[1] == request.identifier:
                return check_reply(request, datagram, wire.secret)
    raise AssertionError(f"not answered in {TRIES} tries of {PATIENCE_S} s")


@contextlib.contextmanager
def flood(served: Served, source: str, datagrams: list[bytes]) -> Iterator[list[int]]:
    """Send these over and over from another thread, burst after burst."""
    stop, sent = threading.Event(), [0]

    def run() -> None:
        with Wire(served, source=source) as wire:
            while not stop.is_set():
                for datagram in datagrams:
                    wire.send(datagram)
                sent[0] += len(datagrams)
                stop.wait(BURST_EVERY_S)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


def rubbish(wire: Wire, kind: str) -> list[bytes]:
    """A hundred packets that are worth nothing."""
    if kind == "no packets at all":
        return [secrets.token_bytes(1 + number * 3) for number in range(100)]
    forged = [wire.request(f"ada{number}", "guess").raw for number in range(100)]
    if kind == "wrong message authenticators":
        return [raw[:22] + secrets.token_bytes(16) + raw[38:] for raw in forged]
    return forged


@pytest.mark.parametrize("kind", ["no packets at all", "wrong message authenticators", "an unknown source"])
def test_a_flood_of_bad_packets_does_not_stop_a_good_login(served: Served, persons: list[Person], kind: str) -> None:
    ada = persons.pop()
    with Wire(served, source=NAS) as wire:
        with flood(served, STRANGER if kind == "an unknown source" else NAS, rubbish(wire, kind)) as sent:
            began = time.monotonic()
            challenge = as_a_nas_does(wire, wire.request(ada.name, ada.password))
            accept = as_a_nas_does(wire, wire.request(ada.name, totp_code(ada.totp_hex), challenge.first(24)))
            assert accept.code is Code.ACCESS_ACCEPT
            # The flood goes on for a while, so that there was one.
            time.sleep(max(0.0, FLOOD_S - (time.monotonic() - began)))
        assert sent[0] > 5_000
    with served.web() as web:
        assert web.get("/readyz").status_code == 200


@contextlib.contextmanager
def guessing(served: Served) -> Iterator[None]:
    """Guess passwords of names that do not exist, from another thread, several times as fast as they can be checked."""
    stop = threading.Event()

    def run() -> None:
        with Wire(served, source=NAS) as wire:
            while not stop.wait(0.05):
                for _ in range(20):
                    wire.send(wire.request(f"nobody-{secrets.token_hex(4)}", "guess"))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_while_guesses_fill_the_queue_of_passwords_an_open_login_goes_on(served: Served, persons: list[Person]) -> None:
    ada, bob = persons.pop(), persons.pop()
    with Wire(served, source=NAS) as wire, served.web() as web:
        challenge = wire.log_in(ada.name, ada.password)
        with guessing(served):
            # The truth is told: by readiness and, by silence, to Status-Server, so that the NAS asks its next server.
            wait_for(lambda: "password checks" in str(web.get("/readyz").json()), 20)
            wait_for(lambda: wire.silent(build_status_server(wire.secret, identifier=200), 0.2), 20)
            # An answer needs no place in the queue of password checks.
            accept = as_a_nas_does(wire, wire.request(ada.name, totp_code(ada.totp_hex), challenge.first(24)))
            assert accept.code is Code.ACCESS_ACCEPT
        # It passes, and then a login is served as ever.
        wait_for(lambda: web.get("/readyz").status_code == 200, 60)
        wait_for(lambda: as_a_nas_does(wire, wire.request(bob.name, bob.password)).code is Code.ACCESS_CHALLENGE, 60)


def test_a_stop_in_the_middle_finishes_what_is_in_work_and_takes_nothing_new(
    served: Served, data: Path, persons: list[Person]
) -> None:
    several = [persons.pop() for _ in range(20)]
    with contextlib.ExitStack() as stack:
        wires = {each.name: stack.enter_context(Wire(served, source=NAS)) for each in several}
        requests = {each.name: wires[each.name].request(each.name, each.password) for each in several}
        for each in several:
            wires[each.name].send(requests[each.name])
        # One password after the other is checked; once the first reply is there, the others are in work.
        ready, _, _ = select.select(list(wires.values()), [], [], 10)
        assert ready
        served.process.send_signal(signal.SIGTERM)
        challenges = {}
        for name, wire in wires.items():
            datagram = wire.receive(10)
            assert datagram is not None, "a login that was in work was dropped"
            challenges[name] = check_reply(requests[name], datagram, wire.secret)
        assert {challenge.code for challenge in challenges.values()} == {Code.ACCESS_CHALLENGE}
        assert served.process.wait(20) == 0
        assert "Traceback" not in served.log
        # Every challenge that was sent is a login that goes on after the restart, and stands in the audit trail.
        recorded = str([event for event in audit_events(data) if event["kind"].endswith("challenged")])
        assert all(f"'{each.name}'" in recorded for each in several)
        with ended(serve(data)) as again:
            for each in several[:3]:
                with Wire(again, source=NAS) as wire:
                    accept = wire.answer(each.name, totp_code(each.totp_hex), challenges[each.name])
                assert accept.code is Code.ACCESS_ACCEPT
            again.stop()
