"""The network between a node and its database is cut: refusals in time, nothing granted that is not recorded, and it heals.

Two machines in network namespaces: the node on one, PostgreSQL on the other. Needs root, which makes the namespaces.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
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
    cli,
    cli_json,
    csv_of,
    ended,
    enrol_devices,
    make_installation,
    serve,
    wait_for,
)
from tests.functional.namespaces import ADDRESSES, Cable, two_machines
from tests.hostile.load import PATIENCE_S, TRIES, Load, Verdict, device_users, load
from wardgate.radius.client import build_status_server

pytestmark = [
    pytest.mark.neighbour("ip", "postgresql"),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are made by root"),
]

NAS = "127.0.6.1"
SESSIONS = 16
CUT_S = 12.0
HEALED_WITHIN_S = 30.0
# The last of a NAS's tries has to be answered before it gives up; one more second for a busy machine.
BUDGET_S = TRIES * PATIENCE_S + 1
STATUS_EVERY_S = 0.15
MORE_DESCRIPTORS = 64
MORE_MEMORY_KIB = 96 * 1024
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local], reply_floor_ms: 0}}]
directories: [{{name: local, kind: local, verified_cache_s: 600}}]
nas: [{{name: main, addresses: [{NAS}], secret: {{value: {SECRET}}}, application: vpn}}]
applications: [{{name: vpn}}]
"""


@dataclass(slots=True)
class Site:
    """A node, its database at the other end of the cable, and its users."""

    cable: Cable
    database: postgresql.Server
    served: Served
    persons: list[Person]


def cut(site: Site) -> None:
    """Silence, both ways."""
    site.cable.cut()


def lose_replies(site: Site) -> None:
    """What is written arrives, and nobody hears of it."""
    site.cable.lose_replies()


MEND: dict[Callable[[Site], None], Callable[[Cable], None]] = {cut: Cable.mend, lose_replies: Cable.let_replies_pass}


@contextlib.contextmanager
def database_at(cable: Cable) -> Iterator[postgresql.Server]:
    """PostgreSQL on the other machine, open to this one."""
    with cable.other.inside():
        server = postgresql.Server(listen_addresses="*")
        try:
            with (server.directory / "data" / "pg_hba.conf").open("a") as access:
                access.write(f"host all all {ADDRESSES[0]}/24 trust\n")
            yield server.start()
        finally:
            server.remove()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all cuts."""
    data = tmp_path_factory.mktemp("cut") / "data"
    persons = device_users("ada", SESSIONS * len(MEND))
    make_installation(data, DOCUMENT, csv_of(persons))
    enrol_devices(data, *persons)
    with two_machines("cut") as cable, contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as there:
            server = there.enter_context(database_at(cable))
            stack.push(there.pop_all())
        with cable.other.inside():
            name = asyncio.run(server.create())
        # From here on this thread, and what it starts, is on the node's machine.
        stack.enter_context(cable.one.inside())
        url = server.url(name).replace("127.0.0.1", ADDRESSES[1])
        cli("storage", "move", "--to", url, data=data)
        served = stack.enter_context(ended(serve(data, (), "--workers", "2")))
        yield Site(cable, server, served, persons)
        served.stop()


def answers_status(wire: Wire, within_s: float = 0.5) -> bool:
    """Whether Status-Server is answered. Not asked more often than a NAS may: that gets no answer either."""
    time.sleep(STATUS_EVERY_S)
    return not wire.silent(build_status_server(wire.secret, identifier=wire.next_identifier()), within_s)


def problems(served: Served) -> str:
    """What /readyz tells; empty when nothing is wrong."""
    with served.web() as web:
        return " ".join(web.get("/readyz").json()["problems"])


def descriptors(served: Served) -> int:
    """How many files and sockets its processes hold."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in served.pids)


def memory_kib(served: Served) -> int:
    """The memory of its processes (PSS: what they share is counted once)."""
    return sum(
        int(line.split()[1])
        for pid in served.pids
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    )


def granted(data: Path) -> Counter[str]:
    """How many logins of each user the audit trail says were let in."""
    return Counter(str(event["payload"]["user"]) for event in audit_events(data) if event["kind"].endswith("granted"))


def all_log_in(running: Load) -> bool:
    """Whether each session has been let in at least twice more than when this was first asked."""
    return all(len(session.accepted) >= 2 for session in running.sessions)


@pytest.mark.parametrize("fault", [cut, lose_replies])
def test_a_cut_between_node_and_database_refuses_in_time_and_heals(site: Site, fault: Callable[[Site], None]) -> None:
    served, pids = site.served, site.served.pids
    persons = [site.persons.pop() for _ in range(SESSIONS)]
    with Wire(served, source=NAS) as wire, load(served, persons, NAS) as running:
        wait_for(lambda: all_log_in(running), 60)
        open_files, memory = descriptors(served), memory_kib(served)
        assert answers_status(wire, 5)
        began = time.monotonic()
        fault(site)
        try:
            # The truth is told, and no login is decided.
            wait_for(lambda: not answers_status(wire), 20)
            wait_for(lambda: "database" in problems(served) or "storage" in problems(served), 20)
            assert not running.stop.wait(max(0.0, CUT_S - (time.monotonic() - began)))
            grown_files, grown_memory = descriptors(served) - open_files, memory_kib(served) - memory
        finally:
            MEND[fault](site.cable)
        mended = time.monotonic()
        wait_for(lambda: running.accepted_since(mended) > SESSIONS, HEALED_WITHIN_S)
        first = min(each.sent + each.took_s for each in running.since(mended) if each.verdict is Verdict.ACCEPTED)
        wait_for(lambda: answers_status(wire), HEALED_WITHIN_S)
        wait_for(lambda: not problems(served), HEALED_WITHIN_S)
        print(f"\n{fault.__name__}: first login {first - mended:.1f} s after the mend", end="; ")
        # Every session goes on, its code in doubt included.
        here = time.monotonic()
        wait_for(lambda: all(session.accepted_since(here) for session in running.sessions), 60)
    assert served.pids == pids
    during = [each for each in running.tries if began <= each.sent < mended]
    slowest = max(each.took_s for each in running.tries)
    lost = sum(len(session.lost) for session in running.sessions)
    told = dict(Counter(each.verdict.value for each in during))
    print(
        f"{told} in the cut, {lost} grants lost in it, slowest reply {slowest:.1f} s, {grown_memory} KiB, {grown_files} files more"
    )
    assert slowest < BUDGET_S
    assert not [each for each in running.tries if each.verdict is Verdict.REFUSED]
    assert not [each for each in during if each.verdict is Verdict.ACCEPTED and each.sent > began + PATIENCE_S]
    assert grown_files < MORE_DESCRIPTORS
    assert grown_memory < MORE_MEMORY_KIB
    recorded = granted(served.data)
    for session in running.sessions:
        # Every Accept is recorded; what is recorded besides was in doubt, and its code was refused when it came again.
        assert len(set(session.accepted)) == len(session.accepted)
        assert recorded[session.person.name] == len(session.accepted) + len(session.lost)
        assert session.lost <= session.doubtful
    assert cli_json("audit", "verify", data=served.data)["findings_count"] == 0


def test_a_node_without_any_login_notices_the_cut_and_the_mend(site: Site) -> None:
    with Wire(site.served, source=NAS) as wire:
        wait_for(lambda: answers_status(wire), HEALED_WITHIN_S)
        cut(site)
        try:
            began = time.monotonic()
            wait_for(lambda: not answers_status(wire), HEALED_WITHIN_S)
            print(f"\nnoticed without a login after {time.monotonic() - began:.1f} s", end=", ")
        finally:
            site.cable.mend()
        began = time.monotonic()
        wait_for(lambda: answers_status(wire), HEALED_WITHIN_S)
        print(f"served again {time.monotonic() - began:.1f} s after the mend")
