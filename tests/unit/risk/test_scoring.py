"""The score: what adds to it, and that nothing takes away."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.risk.carried import Lesson, carry, lessons, told
from wardgate.risk.habits import COUNTRY, DEVICE, HOUR, LOGIN, PLACE
from wardgate.risk.scoring import BANDS, Assessment, Circumstances, Known, assess, band_of
from wardgate.risk.settings import RiskBandsSettings, RiskPointsSettings, RiskSettings

SETTINGS = RiskSettings(enabled=True)
USUAL = Circumstances("203.0.113.0/24", "laptop windows", country="tr")
AT_HOME = Known(logins=40, place=True, device=True, country=True, countries=True, hour=True)


def points(now: Circumstances, known: Known, settings: RiskSettings = SETTINGS) -> dict[str, int]:
    return {each.name: each.points for each in assess(settings, now, known).contributions}


def test_a_login_as_ever_is_safe_and_has_no_contributions() -> None:
    assert assess(SETTINGS, USUAL, AT_HOME) == Assessment(0, "safe", ())


def test_the_first_login_is_stated_as_such_and_nothing_is_new() -> None:
    assert points(USUAL, Known()) == {"first_login": 20}


def test_what_is_new_adds_its_points_with_a_reason() -> None:
    found = assess(SETTINGS, USUAL, Known(logins=3, countries=True))
    assert found.told() == {"score": 80, "band": "moderate", "new_address": 25, "new_device": 20, "new_country": 35}
    assert [each.why for each in found.contributions] == [
        "never let in from 203.0.113.0/24 before",
        "never let in with laptop windows before",
        "never let in from TR before",
    ]


def test_a_trusted_device_is_not_new_whatever_it_calls_itself() -> None:
    now = replace(USUAL, trusted_device=True, device="another name")
    assert points(now, replace(AT_HOME, device=False)) == {}


def test_no_country_is_new_before_any_is_known() -> None:
    assert points(USUAL, replace(AT_HOME, country=False, countries=False)) == {}
    assert points(replace(USUAL, country=""), replace(AT_HOME, country=False)) == {}


def test_an_hour_is_unusual_only_once_enough_logins_are_known() -> None:
    assert points(USUAL, replace(AT_HOME, hour=False, logins=19)) == {}
    assert points(USUAL, replace(AT_HOME, hour=False, logins=20)) == {"unusual_hour": 10}


def test_failures_count_from_the_number_that_is_set() -> None:
    assert points(replace(USUAL, failures=2), AT_HOME) == {}
    assert points(replace(USUAL, failures=3), AT_HOME) == {"recent_failures": 15}


def test_an_address_on_a_list_has_its_points_even_at_a_first_login() -> None:
    assert points(replace(USUAL, listed=("tor", 70)), Known()) == {"first_login": 20, "reputation": 70}


@pytest.mark.parametrize(
    ("score", "band"), [(0, "safe"), (29, "safe"), (30, "low"), (50, "moderate"), (99, "moderate"), (100, "high")]
)
def test_bands_begin_at_their_thresholds(score: int, band: str) -> None:
    assert band_of(SETTINGS, score) == band


def test_points_and_bands_are_settings() -> None:
    settings = RiskSettings(points=RiskPointsSettings(new_address=7), bands=RiskBandsSettings(low=5, moderate=6, high=7))
    assert assess(settings, USUAL, replace(AT_HOME, place=False)).told() == {"score": 7, "band": "high", "new_address": 7}


bools = st.booleans()
known = st.builds(Known, logins=st.integers(1, 100), place=bools, device=bools, country=bools, countries=bools, hour=bools)


@given(known=known, failures=st.integers(0, 20), name=st.sampled_from(["", "laptop windows", "other"]), trusted=bools)
def test_a_name_that_the_machine_tells_lowers_no_score_below_its_address(
    known: Known, failures: int, name: str, trusted: bool
) -> None:
    now = replace(USUAL, device=name, failures=failures, trusted_device=trusted)
    least = assess(SETTINGS, now, replace(known, device=True)).score
    assert assess(SETTINGS, now, known).score >= least
    if not known.place:
        assert least >= SETTINGS.points.new_address


# --- what a login carries ------------------------------------------------------------------------------------------------


@given(known=known, due=st.lists(st.sampled_from([PLACE, DEVICE, COUNTRY]), unique=True), data=st.data())
def test_score_and_lessons_come_out_as_they_went_in(known: Known, due: list[str], data: st.DataObject) -> None:
    found = assess(SETTINGS, replace(USUAL, failures=3, listed=("x", 1000)), known)
    learned = [Lesson(kind, data.draw(st.binary(min_size=6, max_size=6)), data.draw(bools)) for kind in due]
    learned += [Lesson(HOUR), Lesson(LOGIN)]
    text = carry(found, learned)
    assert told(text) == found.told()
    assert lessons(text) == learned
    assert len(text) <= 70
    assert all(33 <= ord(letter) < 127 for letter in text)


def test_a_login_as_ever_carries_next_to_nothing() -> None:
    assert carry(Assessment(0, "safe", ()), []) == "0."
    assert set(BANDS) == {"safe", "low", "moderate", "high"}
