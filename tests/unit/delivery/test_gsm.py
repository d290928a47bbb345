"""How many parts a text message takes (3GPP TS 23.038 and 23.040), and the same words in a narrower alphabet."""

import pytest

from wardgate.delivery.gsm import in_ascii, is_narrow, narrowed, narrowest, parts_of


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 80 + "a", 2),
        ("ş" * 70, 1),
        ("ş" * 71, 2),
        ("ş" * 134, 2),
        ("ş" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
    ],
)
def test_parts_are_counted_as_they_are_paid_for(text: str, parts: int) -> None:
    assert parts_of(text) == parts


def test_accents_go_and_words_stay() -> None:
    assert in_ascii("Şifre: ığüşöç İĞÜŞÖÇ â ß – “x”") == 'Sifre: igusoc IGUSOC a ss - "x"'
    assert narrowed("Öğrenci ü ş") == "Ögrenci ü s"
    assert is_narrow(narrowed("Öğrenci ü ş"))


def test_what_would_be_lost_is_kept() -> None:
    assert narrowest("Ακρόπολις: 123456", ascii_only=True) == "Ακρόπολις: 123456"
    assert narrowest("Çay?", ascii_only=True) == "Cay?"
