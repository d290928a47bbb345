"""Applying a document while the process is killed, and while people log in: the old version or the new one, and no login lost."""

import itertools
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.functional.harness import (
    ROOT,
    SECRET,
    Person,
    Served,
    Wire,
    audit_events,
    cli_json,
    csv_of,
    enrol_devices,
    environment,
    free_udp_ports,
    hotp_code,
    make_installation,
    serve,
    wait_for,
)
from tests.hostile.load import Load, Verdict, device_users, load
from wardgate.cli.performing import Performer, perform
from wardgate.control import call
from wardgate.errors import ServerUnavailable
from wardgate.radius.packet import Code

NAS = "127.0.4.1"
MOST_NAS = 40
APPLIES = 12

STEPS = "{steps: [[password], [hotp]]}"
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local]}}]
directories: [{{name: local, kind: local, verified_cache_s: 300}}]
applications: [{{name: vpn, policy: web}}]
policies: [{{name: web, rules: [{{name: all, then: {STEPS}}}]}}]
codes: {{hotp_look_ahead: 30}}
nas:
  - {{name: main, addresses: [{NAS}], secret: {{value: {SECRET}}}, application: vpn}}
"""


def with_more_nas(number: int) -> str:
    """A document that is another one for each number: how many NAS it has follows from it."""
    count = 1 + number % MOST_NAS
    secret = f"secret: {{value: {SECRET}}}"
    return DOCUMENT + "".join(
        f"  - {{name: n{number}-{each}, addresses: [10.0.{number % 250}.{each + 1}], {secret}, application: vpn}}\n"
        for each in range(count)
    )


# Applies documents without end, without a server. Argument 1: the data directory; 2: the first number. Says what it was told.
APPLIER = """
import sys
from pathlib import Path
from tests.hostile.test_config_apply import with_more_nas
from wardgate.cli.performing import Performer

with Performer(Path(sys.argv[1])) as performer:
    number = int(sys.argv[2])
    while True:
        number += 1
        told = performer.do("config.apply", {"document": with_more_nas(number), "reason": str(number)})
        sys.stdout.write(f"{told['version']}\\n")
        sys.stdout.flush()
"""


def versions_are_whole(data: Path, promised: set[int]) -> int:
    """Look at every version and its audit event. Returns the version in force."""
    with Performer(data) as performer:
        rows = performer.do("config.history", {"limit": 500})["versions"]
        numbers = [row["version"] for row in rows]
        assert numbers == list(range(numbers[0], 0, -1))
        assert promised <= set(numbers)
        for row in rows:
            if row["reason"].isdigit():
                wanted = 2 + int(row["reason"]) % MOST_NAS
                exported = performer.do("config.export", {"version": row["version"]})["document"]
                assert len(exported["nas"]) == wanted, row
        assert performer.do("config.export", {})["version"] == numbers[0]
    applied = [event for event in audit_events(data) if event["kind"] == "config:document:applied"]
    assert sorted(_version_of(event) for event in applied) == sorted(numbers)
    return numbers[0]


def _version_of(event: dict[str, Any]) -> int:
    return int(event["payload"]["version"])


def test_kill_minus_nine_in_the_middle_of_an_apply_leaves_the_old_version_or_the_new_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_installation(data, DOCUMENT)
    promised: set[int] = set()
    for life in range(3):
        applier = subprocess.Popen(
            [sys.executable, "-c", APPLIER, str(data), str(life * 1_000)],
            stdout=subprocess.PIPE,
            text=True,
            env={**environment(), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        )
        watchdog = threading.Timer(60, applier.kill)
        watchdog.start()
        try:
            assert applier.stdout is not None
            told = [int(applier.stdout.readline()) for _ in range(random.randrange(3, 12))]
            # Somewhere in the next one: it takes a few milliseconds.
            time.sleep(random.random() * 0.03)
            applier.kill()
            told += [int(line) for line in applier.stdout if line.endswith("\n")]
            applier.stdout.close()
        finally:
            watchdog.cancel()
            applier.kill()
            applier.wait()
        promised |= set(told)
        # At most the one that was being applied came into force unsaid.
        assert max(promised) <= versions_are_whole(data, promised) <= max(promised) + 1
    assert cli_json("audit", "verify", data=data)["findings"] == []


@dataclass(slots=True)
class Site:
    """An installation whose server may die."""

    data: Path
    ports: list[int]
    persons: list[Person]
    served: Served


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("apply") / "data"
    persons = device_users("ada", 5)
    make_installation(data, DOCUMENT, csv_of(persons))
    enrol_devices(data, *persons)
    ports = free_udp_ports(2)
    site = Site(data, ports, persons, serve(data, ports))
    try:
        yield site
        site.served.stop()
    finally:
        site.served.end()


def test_a_login_keeps_the_plan_that_it_began_with(site: Site) -> None:
    ada = site.persons[4]
    with Wire(site.served, source=NAS) as wire:
        challenge = wire.log_in(ada.name, ada.password)
        assert challenge.code is Code.ACCESS_CHALLENGE
        perform(site.data, "config.apply", {"document": DOCUMENT.replace(STEPS, "{deny: true}")})
        # The new version is in force for whoever comes now.
        wait_for(lambda: wire.log_in(ada.name, ada.password).code is Code.ACCESS_REJECT)
        assert wire.answer(ada.name, hotp_code(ada.hotp_hex, 0), challenge).code is Code.ACCESS_ACCEPT
        perform(site.data, "config.apply", {"document": DOCUMENT})
        wait_for(lambda: wire.log_in(ada.name, ada.password).code is Code.ACCESS_CHALLENGE)


def _let_in(logins: Load, count: int) -> None:
    """Wait until so many more logins were let in."""
    since = time.monotonic()
    wait_for(lambda: logins.accepted_since(since) >= count, 60)


def _unanswered(served: Served) -> float:
    """How many packets the server has left without a reply. A NAS that asks again hides that from whoever logs in."""
    with served.web() as web:
        lines = web.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("wardgate_radius_drops_total"))


def test_no_login_fails_while_documents_are_applied(site: Site) -> None:
    unanswered = _unanswered(site.served)
    with load(site.served, site.persons[:4], NAS) as logins:
        _let_in(logins, 8)
        for number in range(1, APPLIES + 1):
            perform(site.data, "config.apply", {"document": with_more_nas(number), "reason": str(number)})
            perform(site.data, "nas.add", {"name": "extra", "addresses": ["10.9.9.9"], "application": "vpn"})
            _let_in(logins, 2)
        perform(site.data, "config.rollback", {"version": 2})
        _let_in(logins, 8)
    failed = [each for each in logins.tries if each.verdict not in (Verdict.CHALLENGED, Verdict.ACCEPTED)]
    # Each of the users may be in the middle of a login when the test ends.
    assert [each for each in failed if each.verdict is not Verdict.SILENCE] == []
    assert len(failed) <= len(logins.sessions)
    assert _unanswered(site.served) == unanswered
    versions_are_whole(site.data, set())


def test_a_server_that_is_killed_while_it_applies_starts_with_the_old_version_or_the_new_one(site: Site) -> None:
    promised: set[int] = set()
    told = threading.Event()

    def apply_until_it_dies() -> None:
        try:
            for number in itertools.count(20_000):
                # Not `perform`, which would do the work itself when the server is gone.
                applied = call(site.data, "config.apply", {"document": with_more_nas(number), "reason": str(number)})
                promised.add(int(applied["version"]))
                if len(promised) > 3:
                    told.set()
        except ServerUnavailable:
            return

    caller = threading.Thread(target=apply_until_it_dies)
    caller.start()
    try:
        assert told.wait(60)
        time.sleep(random.random() * 0.05)
    finally:
        site.served.kill()
        caller.join(60)
    assert not caller.is_alive()
    site.served = serve(site.data, site.ports)
    assert max(promised) <= versions_are_whole(site.data, promised) <= max(promised) + 1
    with Wire(site.served, source=NAS) as wire:
        assert wire.log_in(site.persons[4].name, site.persons[4].password).code is Code.ACCESS_CHALLENGE
