"""The brakes' pure functions, for any sequence of what can happen to one row."""

import ast
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flows.world import a_ring
from wardgate.engine import brakes, turns
from wardgate.engine.brake_changes import (
    RESERVATION_LIFE_MS,
    Reservation,
    count_failure,
    pass_and_forget,
    release_attempt,
    reserve_attempt,
)
from wardgate.engine.brake_rows import KNOWN_SOURCE_MS
from wardgate.engine.brakes import brake_keys
from wardgate.engine.settings import BrakeSettings, CodeSettings
from wardgate.engine.turns import count_send
from wardgate.storage.port import Modified, Modify, Row

RING = a_ring()
KEYS = brake_keys(RING, "s1", "203.0.113.7", "radius:hq:")
SETTINGS = BrakeSettings()
START = 1_800_000_000_000
DAY = 86_400_000
MINUTE = 60_000


def of(operation: object) -> Any:
    assert isinstance(operation, Modify)
    return operation.arguments


def pair_arguments(now: int, reserved: bool = False) -> Any:
    return of(brakes.settle_wrong(KEYS, SETTINGS, now, reserved)[0])


class Line:
    """One row of the pair kind, and what is done to it."""

    def __init__(self, settings: BrakeSettings = SETTINGS) -> None:
        self.row: dict[str, Any] | None = None
        self.settings = settings

    def _do(self, modified: Modified) -> Modified:
        if modified.row is not None:
            self.row = dict(modified.row)
        return modified

    def reserve(self, now: int) -> object:
        return self._do(reserve_attempt(self.row, of(brakes.reserve(KEYS, self.settings, now)))).result

    def wrong(self, now: int, reserved: bool = True) -> object:
        return self._do(count_failure(self.row, of(brakes.settle_wrong(KEYS, self.settings, now, reserved)[0]))).result

    def right(self, now: int) -> None:
        self._do(release_attempt(self.row, of(brakes.settle_right(KEYS, now))))

    def success(self, now: int) -> bool:
        return not self._do(pass_and_forget(self.row, of(brakes.success(KEYS, now)[0]))).refuse


def test_five_attempts_may_be_in_flight_and_a_sixth_waits() -> None:
    line = Line()
    assert [line.reserve(START) for _ in range(6)] == [Reservation.TAKEN] * 5 + [Reservation.BUSY]
    line.right(START)
    assert line.reserve(START) == Reservation.TAKEN


def test_failures_and_attempts_in_flight_fill_the_limit_together() -> None:
    line = Line()
    for _ in range(3):
        line.reserve(START)
        line.wrong(START)
    assert [line.reserve(START) for _ in range(3)] == [Reservation.TAKEN, Reservation.TAKEN, Reservation.BUSY]


def test_a_lock_takes_no_attempts() -> None:
    line = Line()
    for _ in range(5):
        line.reserve(START)
        line.wrong(START)
    assert line.reserve(START + 299_999) == Reservation.LOCKED
    assert line.reserve(START + 300_000) == Reservation.TAKEN


def test_a_lock_is_told_once() -> None:
    line = Line()
    told = [line.wrong(START, reserved=False) for _ in range(9)]
    assert told == [None] * 4 + [{"wait_s": 300, "level": 1, "failures": 5}] + [None] * 4


@pytest.mark.parametrize("level", range(40))
def test_the_wait_never_exceeds_the_longest(level: int) -> None:
    line = Line()
    now = START
    for _ in range(level + 1):
        for _ in range(5):
            line.wrong(now, reserved=False)
        assert line.row is not None
        wait = line.row["locked_until"] - now
        now = line.row["locked_until"]
    assert wait == min(5 * MINUTE * 2**level, 60 * MINUTE)


def test_a_success_under_a_lock_is_refused() -> None:
    line = Line()
    for _ in range(5):
        line.wrong(START, reserved=False)
    assert not line.success(START + 299_999)
    assert line.success(START + 300_000)


def test_a_success_leaves_what_is_in_flight() -> None:
    """It is somebody else's attempt: five parallel guesses beside one's own successes must stay five."""
    line = Line()
    for _ in range(3):
        line.reserve(START)
    assert line.success(START)
    assert line.row is not None
    assert line.row["in_flight"] == 3


def test_an_unchanged_success_is_not_written_again() -> None:
    line = Line()
    line.success(START)
    assert pass_and_forget(line.row, of(brakes.success(KEYS, START + 1000)[0])) == Modified(None)
    line.success(START + 2 * 3_600_000)
    assert line.row is not None
    assert line.row["succeeded_at"] == START + 2 * 3_600_000


def test_reservations_that_nobody_settled_become_failures_of_their_own_window() -> None:
    line = Line()
    for _ in range(5):
        line.reserve(START)
    dead = START + RESERVATION_LIFE_MS
    assert line.reserve(dead - 1) == Reservation.BUSY
    assert line.reserve(dead) == Reservation.LOCKED
    assert line.reserve(dead + 10 * MINUTE - 1) == Reservation.LOCKED
    assert line.reserve(dead + 10 * MINUTE) == Reservation.TAKEN, "and are forgotten like others"


def test_giving_an_attempt_back_leaves_the_owner_on_the_row() -> None:
    """Or an operator's unlock would not find it."""
    line = Line()
    line.reserve(START)
    line.right(START)
    assert line.row is not None
    assert line.row["owner"] == KEYS.user


def test_a_row_is_kept_for_as_long_as_it_matters() -> None:
    line = Line()
    for _ in range(5):
        line.wrong(START, reserved=False)
    assert line.row is not None
    assert line.row["expires_at"] >= line.row["locked_until"] + DAY
    known = Line()
    known.success(START)
    assert known.row is not None
    assert known.row["expires_at"] == START + KNOWN_SOURCE_MS
    [_, user, *_] = brakes.settle_wrong(KEYS, SETTINGS, START, reserved=False)
    hard = count_failure(None, of(user)).row
    assert hard is not None
    assert int(hard["expires_at"] or 0) > START + 300 * DAY


steps = st.lists(
    st.tuples(st.sampled_from(["reserve", "wrong", "right", "crash", "success", "later"]), st.integers(1, 20 * MINUTE)), max_size=60
)


@given(steps)
def test_whatever_happens_no_more_than_five_are_judged_wrong_without_a_lock_or_a_new_window(story: list[tuple[str, int]]) -> None:
    """A model in words: between two locks, successes and windows at most five guesses are judged."""
    line, now, taken = Line(), START, 0
    judged: list[int] = []
    for what, amount in story:
        if what == "later":
            now += amount
        elif what == "reserve" and line.reserve(now) == Reservation.TAKEN:
            taken += 1
        elif what == "wrong" and taken:
            taken -= 1
            judged.append(now)
            if line.wrong(now) is True:
                assert line.reserve(now) == Reservation.LOCKED
                judged.clear()
        elif what == "right" and taken:
            taken -= 1
            line.right(now)
        elif what == "crash":
            taken = max(0, taken - 1)
        elif what == "success" and line.success(now):
            judged.clear()
        judged = [at for at in judged if at > now - 10 * MINUTE]
        assert len(judged) <= 5 + 4, "the window begins anew at most once within itself"
        if line.row is not None:
            assert line.row["in_flight"] >= 0
            assert line.row["failures"] >= 0
            assert line.row["locked_until"] <= now + 60 * MINUTE


# --- sends -----------------------------------------------------------------------------------------------------------


def send_arguments(now: int, resend: bool, **codes: int) -> Any:
    return of(turns.take_send(RING, "sms", "+905321234567", CodeSettings(**codes), now, resend))  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 30 * MINUTE)), max_size=120),
    st.integers(1, 8),
    st.integers(1, 15),
    st.integers(1, 12),
    st.integers(1, 40),
)
def test_no_hour_and_no_day_holds_more_messages_than_allowed(
    story: list[tuple[bool, int]], per_hour: int, per_day: int, everything: int, all_day: int
) -> None:
    row: Row | None = None
    now = START
    sent: list[tuple[int, bool]] = []
    for resend, pause in story:
        now += pause
        limits = {"resends_per_hour": per_hour, "resends_per_day": per_day}
        limits |= {"messages_per_hour": everything, "messages_per_day": all_day}
        arguments = send_arguments(now, resend, **limits)
        modified = count_send(row, arguments)
        row = modified.row
        if modified.result == 0:
            sent.append((now, resend))
        else:
            assert isinstance(modified.result, int)
            assert modified.result > 0
    for at, _ in sent:
        hour = [resend for when, resend in sent if at - 3_600_000 < when <= at]
        day = [resend for when, resend in sent if at - DAY < when <= at]
        assert len(hour) <= everything
        assert sum(hour) <= per_hour
        assert sum(day) <= per_day
        assert len(day) <= all_day


@pytest.mark.parametrize("limit", [250, 1000])
def test_a_flood_does_not_pass_a_generous_limit_because_its_beginning_was_forgotten(limit: int) -> None:
    row: Row | None = None
    for _ in range(limit):
        modified = count_send(row, send_arguments(START, False, messages_per_hour=limit, messages_per_day=1000))
        row = modified.row
        assert modified.result == 0
    assert count_send(row, send_arguments(START, False, messages_per_hour=limit, messages_per_day=1000)).result != 0


def test_resends_of_a_day_are_not_won_back_by_other_messages_in_between() -> None:
    row: Row | None = None
    now = START
    results = []
    for resend in [True] * 10 + [False] * 250 + [True]:
        now += (15 if resend else 4) * MINUTE
        modified = count_send(row, send_arguments(now, resend, messages_per_day=1000))
        row = modified.row
        results.append(modified.result)
    assert results[:-1] == [0] * 260
    assert results[-1] != 0


def test_the_wait_that_is_told_is_enough() -> None:
    row: Row | None = None
    for _ in range(5):
        modified = count_send(row, send_arguments(START, True))
        row = modified.row
    refused = count_send(row, send_arguments(START + 1, True))
    assert isinstance(refused.result, int)
    assert refused.result == 3600
    assert count_send(refused.row, send_arguments(START + 1 + refused.result * 1000, True)).result == 0


def test_zero_allowed_is_none_ever() -> None:
    assert count_send(None, send_arguments(START, True, resends_per_hour=0)).result == 3600
    assert count_send(None, send_arguments(START, True, resends_per_day=0)).result == 86_400


# --- keys ------------------------------------------------------------------------------------------------------------


def test_keys_tell_people_sources_and_kinds_apart() -> None:
    keys = [brake_keys(RING, who, client, "b") for who in ("s1", "s2") for client in ("203.0.113.7", "203.0.113.8", None)]
    assert len({each.user_source for each in keys}) == 6
    assert len({each.user for each in keys}) == 2
    assert len({each.source for each in keys if each.source}) == 2
    assert keys[2].source is None
    assert brake_keys(RING, "s1", None, "c").user_source != keys[2].user_source


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:DB8:1:2::1", "2001:db8:1:2::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("203.0.113.7", "203.0.113.8", False),
        ("not:an:address", "not:an:other", False),
    ],
)
def test_one_connection_is_one_source(one: str, other: str, same: bool) -> None:
    first, second = brake_keys(RING, "s1", one, "b"), brake_keys(RING, "s1", other, "b")
    assert (first.source == second.source) is same
    assert (first.user_source == second.user_source) is same


def test_the_functions_can_travel_to_a_writer_process() -> None:
    """They are found by name in another process, so they must sit at module level and touch nothing else."""
    operations = [
        brakes.reserve(KEYS, SETTINGS, START),
        brakes.settle_right(KEYS, START),
        *brakes.settle_wrong(KEYS, SETTINGS, START, reserved=True),
        *brakes.success(KEYS, START),
        turns.take_send(RING, "sms", "x", CodeSettings(), START, resend=True),
    ]
    assert pickle.loads(pickle.dumps(operations)) == operations
    assert ast.literal_eval(repr(dict(of(operations[0])))) == dict(of(operations[0]))
