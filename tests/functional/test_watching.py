"""A server of two workers, watched while people log in: metrics, probes, `wardgate top`, the live log, the server's own log."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.functional.harness import (
    COMMAND,
    SECRET,
    Person,
    Served,
    Wire,
    cli_json,
    csv_of,
    ended,
    environment,
    make_installation,
    people,
    serve,
    totp_code,
    wait_for,
    wrong_code,
)
from tests.unit.cli.schemas import validate
from wardgate.metrics import CATALOGUE, DIRECTORY_SERVER_UP, LOCKS, PARTY_METADATA, STEPS
from wardgate.radius.packet import Code

# So many that the system gives none of two workers all of them, but for one run in a million.
SOURCES = 20
USERS = people("ada", SOURCES)
BY_PHONE = Person("phone", "a-password-of-hers", phone="+905321119999")
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local], reply_floor_ms: 100}}]
directories: [{{name: local, kind: local}}]
gateways:
  # Nobody listens there: it is asked, and does not answer.
  - {{name: sms, kind: http, request: {{url: "https://127.0.0.1:9/", json: {{to: "{{number}}", text: "{{text}}"}}}}}}
nas:
  - {{name: main, addresses: [127.0.0.1], secret: {{value: {SECRET}}}, application: vpn}}
applications: [{{name: vpn}}]
"""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two workers, and a morning of logins from many ports, so that both get some."""
    data = tmp_path_factory.mktemp("office") / "data"
    make_installation(data, DOCUMENT, csv_of([*USERS, BY_PHONE]))
    settings = data / "wardgate.toml"
    settings.write_text(settings.read_text().replace("workers = 0", "workers = 2"))
    with ended(serve(data)) as served:
        for person in USERS:
            _log_in(served, person)
        with Wire(served, secret="another-secret-than-ours") as stranger:
            assert stranger.silent(stranger.request("mallory", "guess"))
        yield served
        served.stop()


def _log_in(served: Served, person: Person) -> None:
    with Wire(served) as wire:
        challenge = wire.log_in(person.name, person.password)
        again = wire.answer(person.name, wrong_code(totp_code(person.totp_hex)), challenge)
        assert wire.answer(person.name, totp_code(person.totp_hex), again).code is Code.ACCESS_ACCEPT
        assert wire.log_in(person.name, "wrong").code is Code.ACCESS_REJECT


def scrape(served: Served) -> list[Any]:
    """Every sample of `/metrics`."""
    with served.web() as web:
        answer = web.get("/metrics")
    assert answer.status_code == 200, answer.text
    return [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]


def by_worker(samples: list[Any], name: str, **labels: str) -> dict[str, float]:
    """Of one metric, by worker."""
    found = [each for each in samples if each.name == name and labels.items() <= each.labels.items()]
    return {each.labels.get("worker", ""): each.value for each in found}


def test_any_worker_tells_what_all_have_counted(office: Served) -> None:
    def counted() -> bool:
        samples = scrape(office)
        granted = by_worker(samples, "wardgate_logins_total", result="granted")
        assert set(granted) == {"0", "1"}
        assert by_worker(samples, "wardgate_workers_missing") == {"": 0}
        return sum(granted.values()) == SOURCES and min(granted.values()) > 0

    wait_for(counted, 20)
    # A connection each: the system gives them to whichever worker it likes.
    texts = [sum(by_worker(scrape(office), "wardgate_logins_total").values()) for _ in range(6)]
    assert len(set(texts)) == 1


def test_every_metric_of_the_reference_is_told_by_a_server_that_served_a_login(office: Served) -> None:
    with Wire(office) as wire:
        assert wire.log_in(BY_PHONE.name, BY_PHONE.password).code is Code.ACCESS_CHALLENGE

    def missing() -> set[str]:
        told = {each.name for each in scrape(office)}
        # A local directory has no servers, no brake held anybody here, and no application by SAML is known.
        absent = (DIRECTORY_SERVER_UP, LOCKS, PARTY_METADATA)
        expected = [metric for metric in CATALOGUE if metric not in absent]
        return {metric.name for metric in expected if not {metric.name, f"{metric.name}_bucket"} & told}

    wait_for(lambda: not missing(), 20)


def test_what_was_counted_is_what_happened(office: Served) -> None:
    samples = scrape(office)
    results = Counter[str]()
    for each in samples:
        if each.name == "wardgate_logins_total":
            results[each.labels["result"]] += int(each.value)
    assert (results["granted"], results["denied"]) == (SOURCES, SOURCES)
    assert results["challenged"] >= 2 * SOURCES
    assert sum(by_worker(samples, "wardgate_radius_drops_total", reason="wrong_secret").values()) == 1
    assert sum(by_worker(samples, "wardgate_step_seconds_count", step="request").values()) == sum(results.values())
    for step in STEPS:
        assert sum(by_worker(samples, "wardgate_step_seconds_count", step=step).values()) > 0, step
    for operation in ("find", "check"):
        assert sum(by_worker(samples, "wardgate_directory_seconds_count", directory="local", operation=operation).values()) > 0
    assert sum(by_worker(samples, "wardgate_password_work_seconds_total").values()) > 0
    assert set(by_worker(samples, "wardgate_configuration_version")) == {"0", "1"}
    assert all(value > 1e9 for value in by_worker(samples, "wardgate_certificate_expiry_timestamp_seconds").values())


def test_probes_answer_for_the_node(office: Served) -> None:
    with office.web() as web:
        assert web.get("/healthz").text == "ok"
        assert web.get("/readyz").json() == {"ready": True, "problems": []}
        assert web.get("/readyz", headers={"Accept": "text/plain"}).text == "ready\n"


def test_top_shows_both_workers_and_the_newest_refusals(office: Served) -> None:
    told = cli_json("top", "--interval", "0.5", data=office.data)
    validate(told, "top")
    assert [each["slot"] for each in told["workers"]] == [0, 1]
    assert len({each["pid"] for each in told["workers"]}) == 2
    assert all(each["memory_bytes"] > 10_000_000 for each in told["workers"])
    assert told["missing"] == []
    assert told["database"]["problem"] == ""
    assert {each["reason"] for each in told["refusals"]} == {"password_wrong"}
    assert {each["user"] for each in told["refusals"]} <= {person.name for person in USERS}
    assert told["incidents"][0]["kind"] == "wrong_secret"


def test_top_in_a_terminal_changes_its_view_and_leaves_the_terminal_as_it_was(office: Served) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    command = [*COMMAND, "top", "--interval", "0.2", "--data", str(office.data)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env={**environment(), "TERM": "xterm"})
    shown = bytearray()

    def shows(text: bytes) -> bool:
        ready, _, _ = select.select([ours], [], [], 0.1)
        if ready:
            shown.extend(os.read(ours, 65_536))
        return text in shown

    try:
        for view in (b"[1 overview]", b"[2 logins]", b"[3 times]"):
            wait_for(lambda wanted=view: shows(wanted), 30)
            os.write(ours, b"\t")
        os.write(ours, b"5")
        wait_for(lambda: shows(b"[5 node]"), 30)
        os.write(ours, b"q")
        # Somebody has to read what it still writes.
        wait_for(lambda: shows(b"never there") or process.poll() is not None, 30)
        assert process.returncode == 0, process.stderr.read() if process.stderr else ""
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.communicate()
        os.close(ours)
        os.close(theirs)


def test_the_live_log_shows_the_logins_of_both_workers(office: Served) -> None:
    operator = office.operator()
    try:
        for person in USERS:
            page = operator.get("/admin/log", params={"user": person.name, "result": "granted"}).text
            assert page.count(f">{person.name}<") == 1, person.name
    finally:
        operator.close()


def test_an_open_page_is_told_once_of_each_login_whichever_worker_served_it(office: Served) -> None:
    before = by_worker(scrape(office), "wardgate_logins_total", result="denied")
    operator = office.operator()
    names = [f"nobody{number}" for number in range(SOURCES)]
    told = Counter[str]()
    try:
        with operator.stream("GET", "/admin/log/stream") as events:
            assert events.status_code == 200
            for name in [*names, "the-last"]:
                with Wire(office) as wire:
                    wire.log_in(name, "guess")
            for line in events.iter_lines():
                told.update(re.findall(r">(nobody\d+|the-last)<", line))
                if told["the-last"] and set(names) <= set(told):
                    break
    finally:
        operator.close()
    assert {told[name] for name in names} == {1}
    after = by_worker(scrape(office), "wardgate_logins_total", result="denied")
    assert all(after[worker] > before[worker] for worker in ("0", "1"))


def test_worker_that_dies_is_missing_and_comes_back_with_counters_of_its_own(office: Served) -> None:
    before = cli_json("top", "--interval", "0.2", data=office.data)["workers"]
    os.kill(before[1]["pid"], signal.SIGKILL)

    def replaced() -> bool:
        samples = scrape(office)
        return by_worker(samples, "wardgate_workers_missing") == {"": 0} and _pid(office, 1) != before[1]["pid"]

    wait_for(replaced, 30)
    samples = scrape(office)
    started = by_worker(samples, "process_start_time_seconds")
    assert started["1"] > started["0"]
    assert by_worker(samples, "wardgate_logins_total", result="granted")["0"] > 0


def _pid(served: Served, slot: int) -> int:
    told = cli_json("top", "--interval", "0.2", data=served.data)
    return next((int(each["pid"]) for each in told["workers"] if each["slot"] == slot), 0)


def test_no_password_code_or_state_is_in_any_line_of_the_log(office: Served) -> None:
    """At debug level, after logins, refusals, an attack with a wrong secret, scrapes and the death of a worker."""
    log = office.log
    assert '"event": "serving"' in log
    assert BY_PHONE.phone not in log
    for person in [*USERS, BY_PHONE]:
        assert person.password not in log
        assert not person.totp_hex or person.totp_hex not in log
    assert Wire.states
    for state in Wire.states:
        assert state.hex() not in log
        assert state.decode("latin-1") not in log
    assert SECRET not in log


def test_every_line_of_a_json_log_is_json(office: Served) -> None:
    for line in office.log.splitlines():
        told = json.loads(line)
        assert {"event", "level", "timestamp"} <= set(told), line


def test_sockets_of_the_workers_are_for_their_owner_alone(office: Served) -> None:
    place: Path = office.data / "run"
    sockets = sorted(each for each in place.iterdir() if each.name.startswith("worker-"))
    assert [each.name for each in sockets] == ["worker-0.sock", "worker-1.sock"]
    assert place.stat().st_mode & 0o077 == 0
    assert all(each.stat().st_mode & 0o077 == 0 for each in sockets)
