"""The clock of one machine jumps by an hour while it serves: it is told, and no code is worth anything by a wrong clock."""

import contextlib
import time
from collections.abc import Iterator
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
    csv_of,
    ended,
    make_installation,
    message_of,
    people,
    serve,
    totp_code,
    wait_for,
)
from tests.hostile.machine import SettableClock, settable_clock
from tests.hostile.nodes import move_to_postgresql, second_node
from wardgate.audit.events import Kind
from wardgate.radius.client import build_status_server
from wardgate.radius.packet import Code, Packet

pytestmark = pytest.mark.neighbour("cc")

NAS = "127.0.8.1"
HOUR_S = 3600
HOUR_STEPS = HOUR_S // 30
HEALED_WITHIN_S = 30.0
STATUS_EVERY_S = 0.15
JUMPS = pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S], ids=["forward", "back"])
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local], reply_floor_ms: 0}}]
directories: [{{name: local, kind: local, verified_cache_s: 600}}]
nas: [{{name: main, addresses: [{NAS}], secret: {{value: {SECRET}}}, application: vpn}}]
applications: [{{name: vpn}}]
"""


def log_in(wire: Wire, person: Person, code: str) -> Packet:
    """A whole login, as far as it gets."""
    challenge = wire.log_in(person.name, person.password)
    return wire.answer(person.name, code, challenge) if challenge.code is Code.ACCESS_CHALLENGE else challenge


def status_answered(wire: Wire) -> bool:
    """Whether Status-Server is answered. Not asked more often than a NAS may: that gets no answer either."""
    time.sleep(STATUS_EVERY_S)
    return not wire.silent(build_status_server(wire.secret, identifier=wire.next_identifier()), 0.5)


def problems(served: Served) -> str:
    """What /readyz tells."""
    with served.web() as web:
        return " ".join(web.get("/readyz").json()["problems"])


def told(served: Served, kind: Kind) -> int:
    """How often the audit trail tells it."""
    return sum(event["kind"] == kind.stored for event in audit_events(served.data))


# --- two nodes ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Site:
    """Two nodes on one database. The clock of `other` can be set."""

    one: Served
    other: Served
    clock: SettableClock
    persons: list[Person]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The nodes that both jumps share."""
    place = tmp_path_factory.mktemp("clock")
    persons = people("ada", 10)
    make_installation(place / "one", DOCUMENT, csv_of(persons))
    with contextlib.ExitStack() as stack:
        move_to_postgresql(place / "one", stack.enter_context(postgresql.server()))
        second_node(place / "one", place / "other")
        clock = stack.enter_context(settable_clock(place))
        one = stack.enter_context(ended(serve(place / "one", (), "--workers", "1")))
        other = stack.enter_context(ended(serve(place / "other", (), "--workers", "2", **clock.variables)))
        yield Site(one, other, clock, persons)
        one.stop()
        other.stop()


@pytest.mark.neighbour("postgresql")
@JUMPS
def test_a_node_whose_clock_jumps_decides_nothing_by_it_and_the_other_goes_on(site: Site, by_s: int) -> None:
    ada, bob, eve, ida, kay = (site.persons.pop() for _ in range(5))
    told_before = told(site.one, Kind.CLOCK_DIFFERS)
    with contextlib.ExitStack() as stack:
        right = stack.enter_context(Wire(site.one, source=NAS))
        # Several ports, so that each worker of the node is asked.
        wrong = [stack.enter_context(Wire(site.other, source=NAS)) for _ in range(6)]
        spent = totp_code(ada.totp_hex)
        assert log_in(wrong[0], ada, spent).code is Code.ACCESS_ACCEPT
        begun = wrong[1].log_in(bob.name, bob.password)
        site.clock.set_ahead(by_s)
        # At once: the very next request is judged by a clock that somebody has looked at.
        by_wrong_clock = totp_code(eve.totp_hex, shift=by_s // HOUR_S * HOUR_STEPS)
        for wire in wrong:
            refused = log_in(wire, eve, by_wrong_clock)
            assert refused.code is Code.ACCESS_REJECT
            assert "on our side" in message_of(refused)
        # Not even the right code of a login that was open: this clock cannot tell that it is right.
        assert wrong[1].answer(bob.name, totp_code(bob.totp_hex), begun).code is Code.ACCESS_REJECT
        assert log_in(wrong[0], ada, spent).code is Code.ACCESS_REJECT
        # The other node goes on, and what was spent stays spent there too.
        assert log_in(right, kay, totp_code(kay.totp_hex)).code is Code.ACCESS_ACCEPT
        assert log_in(right, ada, spent).code is not Code.ACCESS_ACCEPT
        # It is told wherever an operator may look.
        wait_for(lambda: "differs from the database's" in problems(site.other), HEALED_WITHIN_S)
        wait_for(lambda: not any(status_answered(wire) for wire in wrong), HEALED_WITHIN_S)
        assert status_answered(right)
        wait_for(lambda: "clock_differs_from_database" in site.other.log, HEALED_WITHIN_S)
        wait_for(lambda: told(site.one, Kind.CLOCK_DIFFERS) > told_before, HEALED_WITHIN_S)
        assert log_in(wrong[2], eve, by_wrong_clock).code is Code.ACCESS_REJECT
        # Set right again, it serves again, without a restart.
        site.clock.set_ahead(0)
        wait_for(lambda: not problems(site.other), HEALED_WITHIN_S)
        wait_for(lambda: all(status_answered(wire) for wire in wrong), HEALED_WITHIN_S)
        assert log_in(wrong[3], ada, spent).code is not Code.ACCESS_ACCEPT
        assert log_in(wrong[4], eve, by_wrong_clock).code is not Code.ACCESS_ACCEPT
        assert log_in(wrong[5], ida, totp_code(ida.totp_hex)).code is Code.ACCESS_ACCEPT


# --- one machine alone ---------------------------------------------------------------------------------------------------


@JUMPS
def test_a_machine_alone_tells_of_the_jump_and_spent_codes_stay_spent(tmp_path: Path, by_s: int) -> None:
    ada, bob, eve = persons = people("ada", 3)
    make_installation(tmp_path / "data", DOCUMENT, csv_of(persons))
    with (
        settable_clock(tmp_path) as clock,
        ended(serve(tmp_path / "data", (), "--workers", "2", **clock.variables)) as served,
        Wire(served, source=NAS) as wire,
    ):
        spent = totp_code(ada.totp_hex)
        assert log_in(wire, ada, spent).code is Code.ACCESS_ACCEPT
        clock.set_ahead(by_s)
        wait_for(lambda: told(served, Kind.CLOCK_JUMPED), HEALED_WITHIN_S)
        assert "clock_jumped" in served.log
        # Nobody else knows the time here: logins go on by this clock.
        wait_for(lambda: wire.log_in(eve.name, eve.password).code is Code.ACCESS_CHALLENGE, HEALED_WITHIN_S)
        assert log_in(wire, ada, spent).code is not Code.ACCESS_ACCEPT
        now_there = totp_code(bob.totp_hex, shift=by_s // HOUR_S * HOUR_STEPS)
        assert log_in(wire, bob, now_there).code is Code.ACCESS_ACCEPT
        clock.set_ahead(0)
        wait_for(lambda: log_in(wire, eve, totp_code(eve.totp_hex)).code is Code.ACCESS_ACCEPT, HEALED_WITHIN_S)
        assert log_in(wire, ada, spent).code is not Code.ACCESS_ACCEPT
        assert log_in(wire, bob, now_there).code is not Code.ACCESS_ACCEPT
        served.stop()
