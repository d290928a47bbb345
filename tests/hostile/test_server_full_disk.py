"""A full disk: logins are refused and it is said why, nothing is granted unrecorded, and it goes on when space returns."""

import contextlib
import resource
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    ended,
    make_installation,
    message_of,
    people,
    serve,
    totp_code,
    wait_for,
)
from wardgate.radius.packet import Code

NAS = "127.0.4.1"
DISK_BYTES = 12 * 1024 * 1024
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local]}}]
directories: [{{name: local, kind: local, verified_cache_s: 300}}]
nas: [{{name: main, addresses: [{NAS}], secret: {{value: {SECRET}}}, application: vpn}}]
applications: [{{name: vpn}}]
"""


@dataclass(slots=True)
class Site:
    """A server whose disk can be filled and emptied."""

    served: Served
    persons: list[Person]
    fill: Callable[[], None]
    empty: Callable[[], None]
    log_can_grow: bool


FULL = "a full file system"
LIMITED = "a limit on file sizes"


@pytest.fixture(
    params=[(FULL, "1"), (FULL, "2"), (LIMITED, "1"), (LIMITED, "2")],
    ids=lambda given: f"{given[0]}, {given[1]} workers",
)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Two ways of having no space: a small file system of our own (needs root), and a limit that anybody can set.

    One worker writes the file itself; beside two a process of its own does.
    """
    how, workers = request.param
    persons = people("ada", 4)
    with contextlib.ExitStack() as stack:
        small = how == FULL
        disk = stack.enter_context(_small_disk(tmp_path / "disk")) if small else tmp_path
        data = disk / "data"
        make_installation(data, DOCUMENT, csv_of(persons))
        served = stack.enter_context(ended(serve(data, (), "--workers", workers)))
        if small:
            filler = disk / "filler"
            yield Site(served, persons, lambda: _fill(filler), filler.unlink, log_can_grow=True)
        else:
            # Below the size of any file that it writes: nothing can grow, the log included, and no page can be written.
            lift = resource.RLIM_INFINITY
            yield Site(served, persons, lambda: _limit(served, 64), lambda: _limit(served, lift), log_can_grow=False)
        served.stop()


@contextlib.contextmanager
def _small_disk(place: Path) -> Iterator[Path]:
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "wardgate-test", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _fill(filler: Path) -> None:
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _limit(served: Served, octets: int) -> None:
    for pid in served.pids:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (octets, hard))


def test_a_full_disk_refuses_says_so_and_recovers(site: Site) -> None:
    served, (ada, bob, eve, ida) = site.served, site.persons
    with Wire(served, source=NAS) as wire:
        # A login that is open when the disk fills up, and a password that is remembered.
        challenge = wire.log_in(ada.name, ada.password)
        assert wire.answer(bob.name, totp_code(bob.totp_hex), wire.log_in(bob.name, bob.password)).code is Code.ACCESS_ACCEPT
        site.fill()
        refused = wait_for(lambda: _refusal(wire, eve), 20)
        assert "on our side" in message_of(refused)
        code = totp_code(ada.totp_hex)
        late = wire.answer(ada.name, code, challenge)
        assert late.code is Code.ACCESS_REJECT
        with served.web() as web:
            answer = wait_for(lambda: _not_ready(web.get("/readyz")))
            assert "storage" in " ".join(answer["problems"])
        granted_while_full = [wire.log_in(ida.name, ida.password).code for _ in range(3)]
        assert Code.ACCESS_ACCEPT not in granted_while_full
        site.empty()
        # Space is there again: without a restart everything goes on, the open login included; its code was not spent.
        wait_for(lambda: wire.log_in(ida.name, ida.password).code is Code.ACCESS_CHALLENGE, 20)
        assert wire.answer(ada.name, code, challenge).code is Code.ACCESS_ACCEPT
    with served.web() as web:
        assert wait_for(lambda: web.get("/readyz").status_code == 200)
    if site.log_can_grow:
        assert "login_not_stored" in served.log
    assert cli_json("audit", "verify", data=served.data)["findings_count"] == 0
    assert len([event for event in audit_events(served.data) if event["kind"].endswith("granted")]) == 2


def _refusal(wire: Wire, person: Person) -> object:
    """A Reject; while the write-ahead log still has room inside, logins go on."""
    reply = wire.log_in(person.name, person.password)
    return reply if reply.code is Code.ACCESS_REJECT else None


def _not_ready(answer: object) -> dict[str, list[str]] | None:
    told = answer.json()  # type: ignore[attr-defined]
    return None if told["ready"] else told
