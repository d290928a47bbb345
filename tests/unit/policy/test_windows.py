"""Time windows: clocks on the wall, over midnight, over Sunday, and in the nights when clocks are changed."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from tests.unit.policy import randomly
from tests.unit.policy.test_conditions import holds
from wardgate.errors import SettingsError
from wardgate.policy.windows import WEEK_MINUTES, parse_moment, parse_window

BERLIN = ZoneInfo("Europe/Berlin")


def inside(window: dict[str, Any], moment: str) -> bool:
    return holds({"at": window}, at=datetime.fromisoformat(moment))


def test_office_hours_are_those_of_the_zone() -> None:
    window = {"days": ["mon-fri"], "from": "08:00", "to": "18:00", "zone": "Europe/Istanbul"}
    assert inside(window, "2026-11-23T05:00+00:00")
    assert not inside(window, "2026-11-23T04:59+00:00")
    assert inside(window, "2026-11-23T14:59:59+00:00")
    assert not inside(window, "2026-11-23T15:00+00:00")
    assert not inside(window, "2026-11-22T09:00+00:00")


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    window = {"days": ["fri", "sun"], "from": "22:00", "to": "06:00", "zone": "UTC"}
    for moment, expected in (
        ("2026-11-20T22:00+00:00", True),
        ("2026-11-21T05:59+00:00", True),
        ("2026-11-21T06:00+00:00", False),
        ("2026-11-21T22:00+00:00", False),
        ("2026-11-20T05:00+00:00", False),
        ("2026-11-23T05:59+00:00", True),
    ):
        assert inside(window, moment) is expected


def test_clocks_that_go_forward_leave_out_what_they_leave_out() -> None:
    """Berlin, 29 March 2026: after 01:59 comes 03:00."""
    window = {"days": ["sun"], "from": "02:00", "to": "03:00", "zone": "Europe/Berlin"}
    assert not inside(window, "2026-03-29T00:59+00:00")
    assert not inside(window, "2026-03-29T01:00+00:00")
    assert inside({**window, "to": "04:00"}, "2026-03-29T01:00+00:00")


def test_clocks_that_go_back_show_their_hour_twice() -> None:
    """Berlin, 25 October 2026: after 02:59 in summer comes 02:00 in winter."""
    window = {"days": ["sun"], "from": "02:00", "to": "03:00", "zone": "Europe/Berlin"}
    assert inside(window, "2026-10-25T00:30+00:00")
    assert inside(window, "2026-10-25T01:30+00:00")
    assert not inside(window, "2026-10-25T02:00+00:00")


@pytest.mark.parametrize(
    "window",
    [
        {"from": "08:00"},
        {"zone": "Europe/Atlantis"},
        {"zone": "../../etc/passwd"},
        {"zone": "Europe"},
        {"zone": 5},
        {"zone": "UTC", "from": "8:00"},
        {"zone": "UTC", "from": 480},
        {"zone": "UTC", "to": "24:01"},
        {"zone": "UTC", "from": "08:00", "to": "08:00"},
        {"zone": "UTC", "from": "24:00"},
        {"zone": "UTC", "days": []},
        {"zone": "UTC", "days": ["mo"]},
        {"zone": "UTC", "days": ["mon-"]},
        {"zone": "UTC", "days": ["mon"] * 15},
        {"zone": "UTC", "until": "18:00"},
    ],
)
def test_what_is_half_written_is_refused(window: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        parse_window(window)


@given(randomly.windows)
def test_spans_lie_in_the_week(window: dict[str, Any]) -> None:
    assert all(0 <= begin < end <= WEEK_MINUTES for begin, end in parse_window(window).spans)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T03:00+03:00", "2026-11-22T00:00+00:00"),
        ("2026-07-01T12:00", "2026-07-01T10:00+00:00"),
        ("sun 03:00", "2026-11-29T02:00+00:00"),
        ("sun 13:00", "2026-11-22T12:00+00:00"),
        ("SUN 13:00 UTC", "2026-11-22T13:00+00:00"),
        ("mon 00:00", "2026-11-22T23:00+00:00"),
    ],
)
def test_moments_are_read(text: str, expected: str) -> None:
    after = datetime(2026, 11, 22, 6, 30, tzinfo=UTC)
    assert parse_moment(text, after, BERLIN) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "text", ["", "now", "sun", "sun 3", "sun 24:00", "sun 03:00 Nowhere/City", "sun 03:00 UTC x", "9999999", "x" * 99]
)
def test_no_other_moment_is(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_moment(text, datetime(2026, 11, 22, tzinfo=UTC), BERLIN)
