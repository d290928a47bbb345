"""What columns hold, read sensibly; and names as databases fold them."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.directory.names import canonical_name
from wardgate.directory.sql.spellings import MAX_SPELLINGS, exact_spellings, lowered_spellings
from wardgate.directory.sql.values import ALWAYS_OVER, NEVER, flag, key_text, moment, number, text

ISTANBUL = ZoneInfo("Europe/Istanbul")


@pytest.mark.parametrize("value", [True, 1, "1", "Y", "yes", "T", "true", "evet", b"\x01", Decimal(1), "  y "])
def test_a_set_flag_is_set(value: Any) -> None:
    assert flag(value, unreadable=False)


@pytest.mark.parametrize("value", [None, False, 0, "0", "N", "no", "", "f", "hayır", b"\x00", Decimal(0)])
def test_an_unset_flag_is_not(value: Any) -> None:
    assert not flag(value, unreadable=True)


def test_a_flag_that_cannot_be_read_counts_as_is_safe() -> None:
    assert flag("maybe", unreadable=True)
    assert not flag("maybe", unreadable=False)


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
        datetime(2026, 3, 1, 15, 0),
        "2026-03-01 15:00:00",
        "2026-03-01T12:00:00Z",
        1772366400,
        1772366400000,
        1772366400000000,
        "1772366400",
        Decimal(1772366400),
        b"2026-03-01 15:00:00",
    ],
)
def test_a_moment_is_read_in_every_form(value: Any) -> None:
    assert moment(value, ISTANBUL, NEVER) == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, 0, "", "0000-00-00", "0000-00-00 00:00:00"])
def test_no_moment_is_none(value: Any) -> None:
    assert moment(value, UTC, ALWAYS_OVER) is None


def test_a_date_is_its_beginning_or_its_end() -> None:
    assert moment(date(2026, 3, 1), ISTANBUL, NEVER) == datetime(2026, 2, 28, 21, 0, tzinfo=UTC)
    assert moment("2026-03-01", ISTANBUL, NEVER, last_day=True) == datetime(2026, 3, 1, 21, 0, tzinfo=UTC)


@pytest.mark.parametrize("value", ["soon", object(), [], "2026-13-45", float("nan")])
def test_a_moment_that_cannot_be_read_counts_as_is_safe(value: Any) -> None:
    assert moment(value, UTC, ALWAYS_OVER) == ALWAYS_OVER


@pytest.mark.parametrize("value", [datetime.max, "infinity", 10**30, datetime(9999, 12, 31, 23, 59, tzinfo=UTC)])
def test_a_moment_beyond_all_years_is_never(value: Any) -> None:
    found = moment(value, ISTANBUL, ALWAYS_OVER)

    assert found is not None
    assert found.year == 9999


def test_numbers_and_keys_are_text_as_they_look() -> None:
    assert [key_text(value) for value in (5, Decimal("5"), 5.0, "  a ", b"a", b"\xff\x00")] == ["5", "5", "5", "a", "a", "ff00"]
    assert (text(None), number(None), number("7"), number("x", unreadable=9)) == ("", 0, 7, 9)


# --- names -----------------------------------------------------------------------------------------------------------


def lowers(name: str) -> set[str]:
    """What lower() makes of a name: of ASCII only (SQLite, the C locale), of all letters, and as in Turkish."""
    ascii_only = "".join(char.lower() if char.isascii() else char for char in name)
    turkish = name.replace("İ", "i").replace("I", "ı").lower()
    one_by_one = "".join(char.lower() if len(char.lower()) == 1 else char for char in name)
    return {ascii_only, name.lower(), turkish, one_by_one}


@pytest.mark.parametrize("stored", ["Ada", "IRIS", "Iris", "İrem", "ırmak", "ÇAĞLA", "Ümit Öz", "ŞİRİN", "Straße", "Ωmega"])
def test_whatever_a_database_makes_of_a_name_is_asked_for(stored: str) -> None:
    key = canonical_name(stored)
    assert key is not None

    assert lowers(stored) <= set(lowered_spellings(key))


@given(st.text(alphabet="aAiIıİşŞğĞüÜöÖçÇ.", min_size=1, max_size=8))
def test_every_spelling_of_a_short_name_is_asked_for(stored: str) -> None:
    key = canonical_name(stored)
    assert key is not None
    found = set(lowered_spellings(key))

    if len(found) < MAX_SPELLINGS and len([char for char in key if not char.isascii() or char == "i"]) <= 3:
        assert lowers(stored) <= found


@given(st.text(min_size=1, max_size=60))
def test_the_spellings_of_any_name_are_few(typed: str) -> None:
    key = canonical_name(typed)
    if key is None:
        return
    for found in (lowered_spellings(key), exact_spellings(key, typed)):
        assert key in found
        assert len(found) <= MAX_SPELLINGS
        assert len(found) & (len(found) - 1) == 0
