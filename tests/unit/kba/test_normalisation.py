"""What counts as the same answer."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardgate.kba.normalisation import VERSION, canonical, knows, normalise, words_of


@pytest.mark.parametrize("case_sensitive", [False, True])
def test_normalising_again_changes_nothing_for_every_code_point(case_sensitive: bool) -> None:
    for point in range(0x110000):
        once = normalise(chr(point), case_sensitive=case_sensitive)
        assert normalise(once, case_sensitive=case_sensitive) == once, hex(point)


MARKS = [chr(point) for point in range(0x110000) if unicodedata.category(chr(point)).startswith("M")]


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=20), st.text(alphabet=st.sampled_from([*MARKS, *"aIİıiß ŞşÅﬁ"]), max_size=8)), st.booleans())
def test_normalising_again_changes_nothing_for_any_text(text: str, case_sensitive: bool) -> None:
    once = normalise(text, case_sensitive=case_sensitive)
    assert normalise(once, case_sensitive=case_sensitive) == once
    assert once == once.strip()
    assert "  " not in once


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20))
def test_composed_and_decomposed_letters_are_the_same_answer(text: str) -> None:
    assert normalise(unicodedata.normalize("NFD", text)) == normalise(text)


@pytest.mark.parametrize(
    ("plain", "others"),
    [
        ("istanbul", ["İSTANBUL", "ISTANBUL", "ıstanbul", "istanbul", "İstanbul", "  I\u0307stanbul! "]),
        ("diyarbakir", ["Diyarbakır", "DİYARBAKIR", "diyarbakir", "DIYARBAKIR"]),
        ("strasse 5", ["Straße 5", "STRASSE ５", "strasse, 5.", "Straße ٥"]),
        ("o hare", ["O'Hare", "o\u2019hare", "O HARE", "o-hare"]),
        ("seker", ["Şeker", "ŞEKER", "seker", "s\u0327eker"]),
        ("ogle yemegi", ["Öğle yemeği", "ÖĞLE YEMEĞİ", "ogle  yemegi"]),
        ("fis", ["ﬁş", "FİŞ"]),
        ("", ["", "  ", "...", "\t\n", "\u00a0"]),
    ],
)
def test_what_people_type_for_one_answer_is_one_answer(plain: str, others: list[str]) -> None:
    assert {normalise(each) for each in others} == {plain}


def test_a_fold_alone_would_not_do_for_turkish() -> None:
    """The dotted capital folds to i and a combining dot, the dotless small one stays: neither is the i that a visitor types."""
    assert "İ".casefold() != "i"
    assert "ı".casefold() != "i"
    assert normalise("İIıi") == "iiii"


def test_case_counts_where_it_shall_and_accents_do_not() -> None:
    assert normalise("İstanbul", case_sensitive=True) == "Istanbul"
    assert normalise("istanbul", case_sensitive=True) != normalise("Istanbul", case_sensitive=True)
    assert normalise("ﬁş", case_sensitive=True) == "fis"


def test_old_versions_stay_readable_and_unknown_ones_are_refused() -> None:
    assert knows(1)
    assert knows(VERSION)
    assert not knows(VERSION + 1)
    with pytest.raises(KeyError):
        normalise("x", version=VERSION + 1)


@pytest.mark.parametrize("text", ["0012 34", "001-234", "٠٠١٢٣٤", "００１２３４"])
def test_digits_may_be_grouped_and_keep_their_zeros(text: str) -> None:
    assert canonical(text, "digits") == "001234"


@pytest.mark.parametrize("text", ["", "12a", "twelve", "-", "²³x"])
def test_what_is_not_digits_is_none(text: str) -> None:
    assert canonical(text, "digits") is None


@pytest.mark.parametrize("text", ["31.12.1999", "31/12/1999", "31-12-1999", "1999-12-31", "1999 12 31", "٣١.١٢.١٩٩٩"])
def test_a_date_is_a_date_however_it_is_written(text: str) -> None:
    assert canonical(text, "date") == "19991231"


@pytest.mark.parametrize("text", ["", "31.13.1999", "30.02.1999", "31.12.99", "12.1999", "1999.12.1999", "yesterday", "31121999"])
def test_what_is_not_a_date_is_none(text: str) -> None:
    assert canonical(text, "date") is None


def test_one_digit_days_are_the_same_date() -> None:
    assert canonical("1.2.2003", "date") == canonical("01/02/2003", "date") == canonical("2003-02-01", "date") == "20030201"


def test_a_text_that_looks_like_half_a_pair_breaks_nothing() -> None:
    assert normalise("\ud800x") == "\ud800x"


def test_words_are_compared_without_case() -> None:
    assert words_of("İlk ücretli işiniz hangi şehirdeydi?") == {"ilk", "ucretli", "isiniz", "hangi", "sehirdeydi"}
