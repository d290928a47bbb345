"""How often something was put off: counted once in eight hours, never beyond what was given, whatever the clock does."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wardgate.engine.demands import CLOCK_STEP_MS, COUNTED_EVERY_MS, put_off
from wardgate.storage.port import Modified, Row

NOW = 1_900_000_000_000


def asked(old: Row | None, now: int = NOW, **changes: Any) -> Modified:
    arguments = {"now": now, "deferrals": 3, "remind_ms": 86_400_000, "met_at": 0, "forced": 1, **changes}
    return put_off(old, arguments)


@given(st.lists(st.integers(0, 3 * COUNTED_EVERY_MS), max_size=30), st.integers(0, 5))
def test_it_is_never_put_off_more_often_than_was_given(pauses: list[int], deferrals: int) -> None:
    row: Row | None = None
    now = NOW
    counted: list[int] = []
    for pause in pauses:
        now += pause
        done = asked(row, now, deferrals=deferrals)
        if done.row is not None:
            row = done.row
            counted.append(now)
        if done.refuse:
            assert len(counted) == deferrals
    assert len(counted) <= deferrals
    assert all(later - earlier >= COUNTED_EVERY_MS for earlier, later in pairwise(counted))


def test_a_time_in_an_impossible_future_neither_gives_nor_forgives() -> None:
    ahead = {"put_off": 1, "put_off_at": NOW + CLOCK_STEP_MS + 1, "reminded_at": 0, "met_at": None}
    assert asked(ahead).result == 1
    assert asked({**ahead, "put_off": 3}).refuse


def test_what_was_done_since_begins_the_count_anew() -> None:
    used_up = {"put_off": 3, "put_off_at": NOW - 2 * COUNTED_EVERY_MS, "reminded_at": 0, "met_at": None}
    assert asked(used_up).refuse
    assert asked(used_up, met_at=NOW - COUNTED_EVERY_MS).result == 2


def test_fewer_deferrals_than_were_used_are_none() -> None:
    used = {"put_off": 3, "put_off_at": NOW - 2 * COUNTED_EVERY_MS, "reminded_at": 0, "met_at": None}
    assert asked(used, deferrals=2).refuse
    assert asked(used, deferrals=5).result == 1


def test_a_reminder_comes_from_time_to_time() -> None:
    first = asked(None, forced=0)
    assert first.row is not None
    assert asked(first.row, forced=0).row is None
    assert asked(first.row, NOW + 86_400_000, forced=0).row is not None
