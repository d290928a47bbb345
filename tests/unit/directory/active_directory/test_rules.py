"""The rules of a new password that are checked before the server is asked."""

import pytest

from wardgate.directory.active_directory.passwords import random_password
from wardgate.directory.active_directory.rules import broken_rule
from wardgate.directory.port import PasswordPolicy

RULES = PasswordPolicy(min_length=8, max_length=256, complexity=True)


@pytest.mark.parametrize("password", ["Abcdefg1", "abcdefg-1", "ABCDEFG.1", "Şifreler1", "Abc defgh", "漢字漢字Ab12", "Passw0rd"])
def test_three_kinds_are_enough(password: str) -> None:
    assert broken_rule(RULES, password, "ada", "Ada Lovelace") is None


@pytest.mark.parametrize("password", ["abcdefgh", "abcdefg1", "ABCDEFGH", "12345678", "--------", "abcdefg-", "şğüıöç12"])
def test_two_kinds_are_not(password: str) -> None:
    assert broken_rule(RULES, password, "ada", "Ada Lovelace") == "complexity"


@pytest.mark.parametrize("password", ["", "Abcde-1", "A1-" + "x" * 254])
def test_the_length_is_counted_at_both_ends(password: str) -> None:
    assert broken_rule(RULES, password, "ada", "") == "length"


def test_a_character_of_two_units_counts_as_two_as_windows_does() -> None:
    assert broken_rule(RULES, "Ab1-😀😀", "ada", "") is None
    assert broken_rule(RULES, "Ab1-😀x", "ada", "") == "length"


@pytest.mark.parametrize(
    ("account", "display", "password"),
    [
        ("lovelace", "", "Xlovelace9-"),
        ("x", "Ada Lovelace", "9-LoveLace-9"),
        ("x", "Kaya,Alice", "my-alice-PW1"),
        ("x", "Ayşe#Işık", "Z9-AYŞE-abc"),
    ],
)
def test_a_part_of_the_name_is_refused(account: str, display: str, password: str) -> None:
    assert broken_rule(RULES, password, account, display) == "complexity"


def test_parts_of_two_characters_do_not_count() -> None:
    assert broken_rule(RULES, "Abcdefg1-al", "al", "Al Bo") is None


def test_without_complexity_only_the_length_counts() -> None:
    rules = PasswordPolicy(min_length=3)

    assert broken_rule(rules, "lovelace", "lovelace", "") is None
    assert broken_rule(rules, "lo", "lovelace", "") == "length"


def test_random_passwords_keep_every_rule_and_never_repeat() -> None:
    rules = PasswordPolicy(min_length=64, complexity=True)
    # Names that come up by chance now and then, were they not avoided.
    made = {random_password("a-1", "Ada Bo1 xyz", 64).reveal().decode() for _ in range(500)}

    assert len(made) == 500
    assert all(broken_rule(rules, each, "a-1", "Ada Bo1 xyz") is None for each in made)
