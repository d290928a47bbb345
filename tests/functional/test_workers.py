"""Several workers on one SQLite file: all of them serve, any may die at any time, and nobody outside notices but by a moment."""

import contextlib
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.functional.harness import (
    SECRET,
    START_S,
    STOP_S,
    Person,
    Served,
    Wire,
    audit_events,
    cli,
    csv_of,
    ended,
    free_udp_ports,
    lives,
    make_installation,
    people,
    serve,
    totp_code,
    wait_for,
)
from wardgate.radius.client import build_status_server, check_reply
from wardgate.radius.packet import Code, Packet, Type

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this system hands all packets of a port to one worker")

WORKERS = ("worker 0", "worker 1")
EVERYBODY = ("writer", *WORKERS)
NAS = "127.0.5.1"
ROTATING = "127.0.5.2"
SIGNING = "127.0.5.4"
WIRES = 24
DOCUMENT = """
realms: [{{name: default, default: true, directories: [local], reply_floor_ms: {floor_ms}}}]
directories: [{{name: local, kind: local, verified_cache_s: 300}}]
nas:
  - {{name: main, addresses: [{nas}], secret: {{value: {secret}}}, application: vpn}}
  - {{name: rotating, addresses: [{rotating}], secret: {{file: {file}}}, application: vpn}}
  - {{name: signing, addresses: [{signing}], secret: {{value: {secret}}}, application: vpn, message_authenticator: auto}}
applications: [{{name: vpn}}]
"""


@dataclass(slots=True)
class Site:
    """An installation with its server, of two workers unless a test says otherwise."""

    data: Path
    secret_file: Path
    persons: list[Person]
    ports: list[int] = field(default_factory=lambda: free_udp_ports(2))

    def serve(self, *more: str, **variables: str) -> Served:
        """Start it."""
        return serve(self.data, self.ports, *(more or ("--workers", "2")), **variables)


def a_site(place: Path, floor_ms: int = 0, persons: int = 16) -> Site:
    secret_file = place / "secret"
    secret_file.write_text(SECRET)
    site = Site(place / "data", secret_file, people("ada", persons))
    document = DOCUMENT.format(nas=NAS, secret=SECRET, rotating=ROTATING, file=secret_file, signing=SIGNING, floor_ms=floor_ms)
    make_installation(site.data, document, csv_of(site.persons))
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The installation that the tests share; each starts its own server on it."""
    return a_site(tmp_path_factory.mktemp("workers"))


@pytest.fixture
def served(site: Site) -> Iterator[Served]:
    """Its server, which ends in order."""
    with ended(site.serve()) as served:
        yield served
        served.stop()


def figure_of(served: Served, name: str) -> dict[str, float]:
    """A figure of each worker, by its slot: the sum of its series."""
    with served.web() as web:
        text = web.get("/metrics").text
    found: dict[str, float] = {}
    for labels, value in re.findall(rf"^{name}{{(.*)}} (\S+)$", text, re.MULTILINE):
        slot = re.search(r'worker="(\d+)"', labels)
        if slot is not None:
            found[slot.group(1)] = found.get(slot.group(1), 0.0) + float(value)
    return found


def everybody_answers(served: Served, source: str = NAS, secret: str = SECRET) -> None:
    """Every worker answers this NAS: so many source ports reach all of them. Status-Server costs no brake and no hash."""
    with contextlib.ExitStack() as stack:
        for _ in range(WIRES):
            wire = stack.enter_context(Wire(served, secret=secret, source=source))
            wait_for(lambda wire=wire: _answers(wire), START_S)


def _answers(wire: Wire) -> bool:
    request = build_status_server(wire.secret, identifier=wire.next_identifier())
    wire.send(request)
    datagram = wire.receive(0.3)
    return datagram is not None and check_reply(request, datagram, wire.secret).code is Code.ACCESS_ACCEPT


def log_in(wire: Wire, person: Person) -> Packet:
    """A whole login; the last request."""
    challenge = wire.log_in(person.name, person.password)
    request = wire.request(person.name, totp_code(person.totp_hex), challenge.first(Type.STATE))
    assert wire.ask(request).code is Code.ACCESS_ACCEPT
    return request


def test_every_worker_takes_logins_and_a_login_begun_at_one_may_end_at_the_other(site: Site, served: Served) -> None:
    for person in site.persons[:8]:
        # Another source port for the answer: another worker, every second time.
        with Wire(served, source=NAS) as first, Wire(served, source=NAS) as second:
            challenge = first.log_in(person.name, person.password)
            assert second.answer(person.name, totp_code(person.totp_hex), challenge).code is Code.ACCESS_ACCEPT
    with contextlib.ExitStack() as stack:
        for number in range(WIRES):
            wire = stack.enter_context(Wire(served, source=NAS))
            assert wire.log_in(f"nobody-{number}", "guess").code is Code.ACCESS_REJECT
    assert all(figure_of(served, "wardgate_logins_total").get(slot) for slot in ("0", "1"))


@pytest.mark.parametrize("name", EVERYBODY)
def test_a_process_that_is_killed_is_replaced_and_what_is_sent_again_gets_the_reply_of_before(site: Site, name: str) -> None:
    person = site.persons[8 + EVERYBODY.index(name)]
    with ended(site.serve()) as served, contextlib.ExitStack() as stack:
        wire = stack.enter_context(Wire(served, source=NAS))
        challenge = wire.log_in(person.name, person.password)
        right = wire.request(person.name, totp_code(person.totp_hex), challenge.first(Type.STATE))
        accept = wire.ask(right)
        assert accept.code is Code.ACCESS_ACCEPT
        before = served.pid_of(name)
        os.kill(before, signal.SIGKILL)
        # At once: what comes before the successor is there waits in the socket for it.
        assert wire.ask(right, within_s=START_S).raw == accept.raw
        wait_for(lambda: served.pid_of(name) != before, START_S)
        everybody_answers(served)
        assert '"how": "killed by SIGKILL"' in served.log
        served.stop()
    granted = [event["payload"]["user"] for event in audit_events(site.data) if event["kind"].endswith("granted")]
    assert granted.count(person.name) == 1
    assert cli("audit", "verify", data=site.data)


def test_a_worker_that_stands_still_is_replaced(site: Site, served: Served) -> None:
    before = served.pid_of("worker 1")
    os.kill(before, signal.SIGSTOP)
    wait_for(lambda: served.pid_of("worker 1") != before, START_S)
    assert not lives(before)
    assert '"event": "process_hangs"' in served.log
    everybody_answers(served)


def test_a_writer_that_stands_still_is_replaced_and_logins_go_on(site: Site, served: Served) -> None:
    before = served.pid_of("writer")
    os.kill(before, signal.SIGSTOP)
    wait_for(lambda: served.pid_of("writer") != before, START_S)
    assert not lives(before)
    everybody_answers(served)


def test_kill_9_of_the_supervisor_leaves_nobody_behind_and_the_next_start_works_at_once(site: Site) -> None:
    person = site.persons[12]
    with ended(site.serve()) as served, Wire(served, source=NAS) as wire:
        pids = served.pids
        assert len(pids) == 1 + len(EVERYBODY)
        challenge = wire.log_in(person.name, person.password)
        served.kill()
        # Not waiting for anything: the lock is held until the last of them is gone.
        with ended(site.serve()) as again:
            assert not [pid for pid in pids if lives(pid)]
            assert wire.answer(person.name, totp_code(person.totp_hex), challenge).code is Code.ACCESS_ACCEPT
            again.stop()


def test_sigterm_loses_no_login_in_flight(tmp_path: Path) -> None:
    """Each takes two seconds: all of them are in work when the signal comes."""
    site = a_site(tmp_path, floor_ms=2000, persons=1)
    with ended(site.serve()) as served, contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(served, source=NAS)) for _ in range(WIRES)]
        requests = [wire.request("nobody", f"guess-{number}") for number, wire in enumerate(wires)]
        # The second series finds whatever the first had to load.
        for wire, request in zip(wires, requests, strict=True):
            wire.send(request)
        wait_for(lambda: sum(figure_of(served, "wardgate_radius_packets_in_work").values()) == WIRES, START_S)
        served.process.send_signal(signal.SIGTERM)
        for wire, request in zip(wires, requests, strict=True):
            datagram = wire.receive(STOP_S)
            assert datagram is not None, "a login in flight was lost"
            assert check_reply(request, datagram, wire.secret).code is Code.ACCESS_REJECT
        assert served.process.wait(STOP_S) == 0
        served.stop()


def test_a_worker_that_ends_in_order_takes_nothing_away_from_its_successor(tmp_path: Path) -> None:
    """What comes while it drains waits in the socket: every request is sent once, and every one is answered."""
    site = a_site(tmp_path, floor_ms=1000, persons=1)
    with ended(site.serve()) as served, contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(served, source=NAS)) for _ in range(2 * WIRES)]
        requests = [wire.request("nobody", f"guess-{number}") for number, wire in enumerate(wires)]
        for wire, request in list(zip(wires, requests, strict=True))[:WIRES]:
            wire.send(request)
        wait_for(lambda: sum(figure_of(served, "wardgate_radius_packets_in_work").values()) == WIRES, START_S)
        before = {name: served.pid_of(name) for name in ("worker 0", "worker 1")}
        for pid in before.values():
            os.kill(pid, signal.SIGTERM)
        for wire, request in list(zip(wires, requests, strict=True))[WIRES:]:
            wire.send(request)
        for wire, request in zip(wires, requests, strict=True):
            datagram = wire.receive(START_S)
            assert datagram is not None, "a request that was sent once was lost"
            # Refused; or, of so many guesses at one name, asked for a strong factor first.
            assert check_reply(request, datagram, wire.secret).code is not Code.ACCESS_ACCEPT
        wait_for(lambda: all(served.pid_of(name) != pid for name, pid in before.items()), START_S)
        served.stop()


def test_sighup_reaches_every_worker(site: Site, served: Served) -> None:
    new = secrets.token_urlsafe(20)
    site.secret_file.write_text(new)
    try:
        served.process.send_signal(signal.SIGHUP)
        everybody_answers(served, ROTATING, new)
    finally:
        site.secret_file.write_text(SECRET)


def test_sighup_takes_up_the_log_level_and_says_what_needs_a_restart(site: Site, served: Served) -> None:
    settings = site.data / "wardgate.toml"
    before = settings.read_text()
    settings.write_text(before.replace('level = "debug"', 'level = "warning"').replace("workers = 0", "workers = 3"))
    try:
        served.process.send_signal(signal.SIGHUP)
        line = wait_for(lambda: [line for line in served.log.splitlines() if "settings_need_a_restart" in line])
        assert '"tables": ["server"]' in line[0]
        settings.write_text("workers = [")
        served.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "settings_not_taken_over" in served.log)
    finally:
        settings.write_text(before)


def test_a_new_configuration_is_in_force_at_every_worker(site: Site, served: Served) -> None:
    secret, address = secrets.token_urlsafe(20), "127.0.5.3"
    added = ["nas", "add", "late", "--address", address, "--application", "vpn", "--secret-stdin"]
    cli(*added, data=site.data, stdin=secret)
    everybody_answers(served, address, secret)


def test_a_nas_that_has_signed_at_one_worker_must_sign_at_all_of_them(site: Site, served: Served) -> None:
    """Else a forged request without Message-Authenticator only has to reach the worker that has not seen a signed one."""
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(served, source=SIGNING)) for _ in range(WIRES)]

        for wire in wires:
            assert wire.ask(wire.request("nobody", "guess", message_authenticator="none")).code is not Code.ACCESS_ACCEPT
        signed = stack.enter_context(Wire(served, source=SIGNING))
        assert signed.log_in("nobody", "guess").code is not Code.ACCESS_ACCEPT

        def answered() -> int:
            for wire in wires:
                wire.send(wire.request("nobody", "guess", message_authenticator="none"))
            return sum(wire.receive(0.05) is not None for wire in wires)

        wait_for(lambda: answered() == 0, START_S)


def test_a_second_server_on_the_same_ports_is_refused_and_takes_no_packets(site: Site, served: Served, tmp_path: Path) -> None:
    cli("init", "--yes", "--radius-address", "127.0.0.1", data=tmp_path / "other")
    options = ["--radius-port", str(site.ports[0]), "--accounting-port", str(site.ports[1]), "--https-port", "0", "--workers", "2"]
    done = cli("serve", *options, data=tmp_path / "other", expect=3)
    assert f"port {site.ports[0]} is taken by another program" in done.stderr
    everybody_answers(served)


def test_systemd_hears_that_it_serves_and_that_it_stops(site: Site, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(START_S)
        with ended(site.serve(NOTIFY_SOCKET=str(tmp_path / "notify"))) as served:
            ready = systemd.recv(4096).decode()
            assert ready.startswith(f"READY=1\nSTATUS=2 workers on RADIUS 127.0.0.1:{site.ports[0]}, https://127.0.0.1:")
            served.stop()
            assert systemd.recv(4096).startswith(b"STOPPING=1\n")


def test_a_settings_fault_that_a_worker_finds_ends_the_start_with_its_message(site: Site) -> None:
    certificate = site.data / "tls" / "cert.pem"
    kept = certificate.read_bytes()
    certificate.write_bytes(b"no certificate")
    try:
        options = ["--radius-port", "0", "--https-port", "0", "--workers", "2"]
        done = cli("serve", *options, data=site.data, expect=1)
        assert f"{certificate}" in done.stderr
        assert "cannot be used" in done.stderr
    finally:
        certificate.write_bytes(kept)


# --- doors and roles -------------------------------------------------------------------------------------------------------


def test_a_listener_has_its_own_doors_and_no_other(site: Site) -> None:
    settings = site.data / "wardgate.toml"
    before = settings.read_text()
    settings.write_text(f'{before}\n[[listener]]\naddress = "127.0.0.1"\nport = 0\ndoors = ["health"]\n')
    try:
        with ended(site.serve()) as served:
            with served.web() as web:
                assert web.get("/metrics").status_code == 200
            pages = wait_for(lambda: re.search(r'"listeners": \["(\S+)", "(\S+)"\]', served.log))
            served.url = pages.group(2)
            with served.web() as web:
                assert web.get("/healthz").text == "ok"
                for path in ("/metrics", "/", "/admin/log", "/admin/enter/x", "/static/wardgate.css"):
                    assert web.get(path).status_code == 404, path
            served.stop()
    finally:
        settings.write_text(before)


def test_a_machine_without_logins_serves_its_pages_and_binds_no_radius_port(site: Site) -> None:
    settings = site.data / "wardgate.toml"
    before = settings.read_text()
    settings.write_text(before.replace('roles = ["logins", "delivery", "jobs"]', 'roles = ["jobs"]'))
    try:
        with ended(site.serve()) as served:
            with served.web() as web:
                assert wait_for(lambda: web.get("/readyz").json()["ready"])
            for port in site.ports:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
                    free.bind(("127.0.0.1", port))
            served.stop()
    finally:
        settings.write_text(before)


def test_a_data_directory_with_a_long_name_has_a_writer_too(tmp_path: Path) -> None:
    place = tmp_path / ("a" * 60) / ("b" * 60)
    place.mkdir(parents=True)
    site = a_site(place, persons=1)
    with ended(site.serve()) as served, Wire(served, source=NAS) as wire:
        log_in(wire, site.persons[0])
        served.stop()
    assert not (site.data / "writer.sock").exists()
