"""Floods of guesses and of rubbish: everybody else keeps at least half of the rate of before, and nothing grows with them."""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.floods import GUESSES, GUESSES_PER_S, RUBBISH, RUBBISH_PER_S, Kind, Target, flooding
from tests.functional.harness import (
    SECRET,
    Person,
    Served,
    csv_of,
    ended,
    enrol_devices,
    make_installation,
    serve,
    wait_for,
)
from tests.hostile.load import Load, device_users, load
from wardgate.worker import MAX_WAITING_PASSWORDS

NAS = "127.0.9.1"
SESSIONS = 12
MOST_TESTS = 3
SHARE = 0.5
MEASURED_S = 2.5
ROUNDS = 3
MORE_MEMORY_KIB = 64 * 1024
ROWS_OF_LOGIN = 8
# What waits at both workers, what is checked meanwhile, and what the server writes by itself.
ROWS_OF_FLOOD = 2 * MAX_WAITING_PASSWORDS + 300
DOCUMENT = """
realms: [{{name: default, default: true, directories: [local], reply_floor_ms: 0}}]
directories: [{{name: local, kind: local, verified_cache_s: {cache_s}}}]
nas: [{{name: main, addresses: [{nas}], secret: {{value: {secret}}}, application: vpn, vendor: paloalto}}]
applications: [{{name: vpn}}]
brakes: {{{brakes}}}
"""


@dataclass(slots=True)
class Site:
    """A server with the default two workers, and who logs in: so many for each test. `stations`: where guesses come from."""

    served: Served
    persons: list[Person]
    stations: list[str]


def a_site(place: Path, cache_s: int, brakes: str = "") -> Iterator[Site]:
    persons = device_users("ada", MOST_TESTS * SESSIONS)
    document = DOCUMENT.format(nas=NAS, secret=SECRET, cache_s=cache_s, brakes=brakes)
    make_installation(place / "data", document, csv_of(persons))
    enrol_devices(place / "data", *persons)
    with ended(serve(place / "data", (), "--workers", "2")) as served:
        yield Site(served, persons, [f"203.0.113.{number}" for number in range(1, 10)])
        served.stop()


@pytest.fixture(scope="module")
def hashing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Each password is checked with Argon2id."""
    yield from a_site(tmp_path_factory.mktemp("hashing"), cache_s=0)


@pytest.fixture(scope="module")
def unbraked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same, and guesses at many names are not held: their turns in the queue are all that limits them."""
    off = "source_failures: 100000, network_failures: 0, nas_failures: 0, global_failures: 0"
    yield from a_site(tmp_path_factory.mktemp("unbraked"), cache_s=0, brakes=off)


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Passwords are remembered: the rate is that of the packet path."""
    yield from a_site(tmp_path_factory.mktemp("remembering"), cache_s=600)


def rows(served: Served) -> Counter[str]:
    """The rows of all tables."""
    with sqlite3.connect(f"file:{served.data / 'wardgate.db'}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return Counter({name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables})


def memory_kib(served: Served) -> int:
    """The memory of its processes (PSS: what they share is counted once)."""
    return sum(
        int(line.split()[1])
        for pid in served.pids
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    )


def rate(running: Load) -> float:
    """Logins in a second, now."""
    began = time.monotonic()
    assert not running.stop.wait(MEASURED_S)
    return running.accepted_since(began) / MEASURED_S


def others_keep_half(site: Site, kind: Kind, per_s: int) -> None:
    """The assertion of this file: of rate, memory and tables."""
    served, persons = site.served, [site.persons.pop() for _ in range(SESSIONS)]
    best, grown_kib, grown = 0.0, 0, Counter[str]()
    with load(served, persons, NAS, client=lambda number: f"198.51.100.{number + 1}") as running:
        wait_for(lambda: all(len(session.accepted) > 1 for session in running.sessions), 60)
        for _ in range(ROUNDS):
            target = Target(served.port, NAS, SECRET, site.stations.pop())
            alone = rate(running)
            memory, tables, began = memory_kib(served), rows(served), time.monotonic()
            with flooding(target, kind, per_s) as flood:
                flooded = rate(running)
            grown_kib, grown = memory_kib(served) - memory, rows(served) - tables
            logins = running.accepted_since(began)
            best = max(best, flooded / alone)
            print(f"\n{kind.value}: {alone:.0f} logins/s alone, {flooded:.0f} beside {flood.sent} packets", end="; ")
            print(f"{grown_kib} KiB more, {logins} logins and {dict(grown)} rows")
            if best >= SHARE:
                break
    assert best >= SHARE
    assert grown_kib < MORE_MEMORY_KIB
    # A login leaves a few rows. A guess leaves one while it has a place in the queue, which is bounded; rubbish leaves none.
    assert sum(grown.values()) < ROWS_OF_LOGIN * (logins + 2 * SESSIONS) + ROWS_OF_FLOOD


@pytest.mark.parametrize("kind", GUESSES)
def test_guesses_from_one_station_leave_others_half_of_their_rate(hashing: Site, kind: Kind) -> None:
    others_keep_half(hashing, kind, GUESSES_PER_S)


def test_guesses_that_no_brake_holds_wait_their_turn_at_the_queue_of_passwords(unbraked: Site) -> None:
    others_keep_half(unbraked, Kind.MANY_NAMES, GUESSES_PER_S)


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_leaves_others_half_of_their_rate(remembering: Site, kind: Kind) -> None:
    others_keep_half(remembering, kind, RUBBISH_PER_S)
