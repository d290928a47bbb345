"""Which names people may give to what is theirs."""

import pytest

from wardgate.account.nickname import MAX_CHARS, read_nickname, tidied

HIDDEN = ["\x00", "\x1b", "\n", "\r", "\t", "\u202e", "\u2066", "\ufeff", "\u200b", "\u2028", "\ue000", "\ud800"]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("iPhone", "iPhone"),
        ("  my   old  phone ", "my old phone"),
        ("İş telefonu (2)", "İş telefonu (2)"),
        ("cafe\u0301", "café"),
        ("👩‍💻 laptop", "👩‍💻 laptop"),
        ("<b>&\"'", "<b>&\"'"),
        ("x" * MAX_CHARS, "x" * MAX_CHARS),
    ],
)
def test_names_that_people_give(typed: str, name: str) -> None:
    assert read_nickname(typed) == name
    assert tidied(typed) == name


@pytest.mark.parametrize("typed", ["", "   ", "\u200d", "x" * (MAX_CHARS + 1), *(f"my{each}phone" for each in HIDDEN)])
def test_name_that_hides_something_or_is_no_name_is_refused(typed: str) -> None:
    assert read_nickname(typed) is None


@pytest.mark.parametrize("hidden", HIDDEN)
def test_what_cannot_be_seen_is_left_out_on_the_way(hidden: str) -> None:
    assert tidied(f"my{hidden}phone") == "my phone"
    assert tidied(hidden * 3) == ""


def test_long_name_is_cut_on_the_way() -> None:
    assert tidied("x" * 99) == "x" * MAX_CHARS
