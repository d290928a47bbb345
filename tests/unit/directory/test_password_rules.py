"""The rules for a new password: lengths, the kinds of characters of a domain, and what is guessed first."""

import random
import string
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.crypto import Secret
from wardgate.directory.password_rules import (
    MAX_OWN_WORDS,
    MIN_LEFT_CHARS,
    Rule,
    broken_rules,
    common_passwords,
    fold,
    normalised,
    own_words,
    weakness,
)
from wardgate.directory.port import AccountState, DirectoryUser, PasswordPolicy

ADA = DirectoryUser(
    "staff", "1", "ada.l", AccountState.ACTIVE, "Ada Lovelace", mail="ada.lovelace@analytical.test", phone="+905321234567"
)
IRMAK = DirectoryUser("staff", "2", "ışıkırmak", AccountState.ACTIVE, "Işık Irmak-Öztürk")


def rules(password: str | bytes, user: DirectoryUser | None = None, **policy: object) -> list[str]:
    given = password.encode() if isinstance(password, str) else password
    return [broken.rule.value for broken in broken_rules(Secret(given), PasswordPolicy(**policy), user)]  # type: ignore[arg-type]


# --- length ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "broken"), [("", True), ("seven77", True), ("eight888", False), ("şşşşşşş", True), ("şşşşşşşş", False)]
)
def test_length_counts_characters(password: str, broken: bool) -> None:
    assert rules(password, min_length=8) == (["length"] if broken else [])


def test_a_letter_and_its_accent_are_one_character() -> None:
    decomposed = unicodedata.normalize("NFD", "üüüüüüü")
    assert len(decomposed) == 14
    assert rules(decomposed, min_length=8) == ["length"]


def test_an_empty_password_is_never_taken() -> None:
    assert rules("") == ["length"]


def test_a_longest_length_is_held_where_there_is_one() -> None:
    assert rules("a" * 65, max_length=64) == ["length"]
    assert rules("a" * 64, max_length=64) == []


def test_a_huge_password_is_refused_before_it_is_looked_at() -> None:
    assert rules("ab" * 600_000, min_length=8, blocklist=True, complexity=True) == ["length"]


def test_octets_that_are_no_text_are_counted_as_they_are() -> None:
    assert rules(b"\xff" * 7, min_length=8) == ["length"]
    assert rules(b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", min_length=8, blocklist=True) in ([], ["blocklist"])


# --- one form ------------------------------------------------------------------------------------------------------------


def test_what_two_keyboards_send_for_one_password_is_one_password() -> None:
    composed, decomposed = (unicodedata.normalize(form, "şifrem üç gül").encode() for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert normalised(Secret(decomposed)) == normalised(Secret(composed)) == Secret(composed)


@given(st.binary(max_size=64))
def test_normalising_twice_changes_nothing(value: bytes) -> None:
    once = normalised(Secret(value))
    assert normalised(once) == once


def test_the_turkish_letters_stay_four_different_passwords() -> None:
    assert len({normalised(Secret(letter.encode())).reveal() for letter in "ıIiİ"}) == 4


# --- kinds of characters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "broken"),
    [
        ("aaaaaaaa", True),
        ("aaaaAAAA", True),
        ("aaaaAAA1", False),
        ("aaaa1111!", False),
        ("ŞŞŞşşş11", False),
        ("日本語日本語aA", False),
        ("日本語日本語日本", True),
    ],
)
def test_a_domain_asks_for_three_kinds(password: str, broken: bool) -> None:
    assert rules(password, complexity=True) == (["complexity"] if broken else [])


@pytest.mark.parametrize("password", ["xx-ADA.L-99", "My LOVELACE 99", "Xada9999!"])
def test_a_domain_refuses_the_name_in_the_password(password: str) -> None:
    assert rules(password, ADA, complexity=True) == ["complexity"]


def test_no_kinds_of_characters_are_asked_for_by_ourselves() -> None:
    assert rules("lalelerkirmizidirbugun", min_length=15, blocklist=True) == []


# --- what is guessed first -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "PASSWORD",
        "p@ssw0rd",
        "Password2026!!!!",
        "passwordpassword",
        "1234passwordpassword!",
        "P@ssw0rdP@ssw0rd!!",
        "ILoveYouILoveYou!",
        "government",
        "123456789012345",
        "9876543210987654",
        "aaaaaaaaaaaaaaaaaaaa",
        "abababababababab",
        "abcdefghijklmnop",
        "qwertyuiopasdfgh",
        "asdfghjkl;asdfghjkl;",
        "qwertzuiopqwertz",
        "                    ",
    ],
)
def test_a_password_that_is_guessed_first_is_refused(password: str) -> None:
    assert rules(password, blocklist=True) == ["blocklist"]


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "tr0ub4dor&3 kappa moon",
        "Quiet-Lake-3-lantern",
        "çilekli pasta yedim",
        "mor inek 42 fincan",
        "日本語の秘密の言葉",
    ],
)
def test_a_good_password_is_taken(password: str) -> None:
    assert rules(password, ADA, min_length=8, blocklist=True) == []


@pytest.mark.parametrize(
    "password",
    [
        "AdaLovelace1974",
        "lovelace.ada.2026",
        "L0vel@ceL0vel@ce!",
        "ada.lovelace@analytical",
        "905321234567xx",
        "Acme-Rockets-2026",
    ],
)
def test_the_own_name_mail_or_house_as_a_password_is_refused(password: str) -> None:
    found = broken_rules(Secret(password.encode()), PasswordPolicy(blocklist=True), ADA, ("Acme Rockets",))
    assert [broken.rule for broken in found] == [Rule.BLOCKLIST]
    assert "your name or a word of your organisation" in found[0].message


@pytest.mark.parametrize(
    "password", ["ISIKIRMAK2026", "isikirmak-1907", "ışıkırmak1907", "IŞIKIRMAK!!!!", "Ozturk.Irmak.34", "ÖZTÜRKırmak34"]
)
def test_a_turkish_name_is_found_in_every_spelling(password: str) -> None:
    assert rules(password, IRMAK, blocklist=True) == ["blocklist"]


def test_a_sentence_with_the_own_name_in_it_is_taken() -> None:
    assert rules("ada rides a blue bicycle", ADA, blocklist=True) == []


def test_the_refusal_never_repeats_the_password() -> None:
    for password in ("passwordpassword", "AdaLovelace1974", "qwertyuiopasdfgh"):
        for broken in broken_rules(Secret(password.encode()), PasswordPolicy(min_length=30, blocklist=True), ADA):
            assert password.lower() not in broken.message.lower()


def test_own_words_are_bounded() -> None:
    assert len(own_words(ADA, [f"word{number} and{number}" for number in range(1_000)])) == MAX_OWN_WORDS
    assert own_words(None, ["", "ab", "-", "x y"]) == ("x y",)


@given(st.text(max_size=40), st.lists(st.text(max_size=8), max_size=5))
def test_any_text_can_be_judged(text: str, words: list[str]) -> None:
    found = weakness(text, tuple(fold(word) for word in words if word))
    assert found is None or len(found) < 200


@given(st.text(alphabet="abc", min_size=1, max_size=5), st.integers(min_value=4, max_value=20))
def test_whatever_is_said_over_and_over_is_refused(unit: str, times: int) -> None:
    assert len(unit) < MIN_LEFT_CHARS
    assert weakness(unit * times) is not None


def test_the_list_holds_the_most_used_and_no_random_word() -> None:
    listed = common_passwords()
    assert len(listed) > 50_000
    for word in ("123456", "password", "qwerty", "letmein", "dragon", "iloveyou"):
        assert word in listed
    for word in ("", "xkqzvw", "tr0ub4dor&3 kappa"):
        assert word not in listed


def test_the_list_costs_nothing_before_it_is_asked_for_and_little_afterwards() -> None:
    script = """
import sys
from wardgate.directory import password_rules, registry
assert not [name for name in sys.modules if name.startswith("zxcvbn")]
listed = password_rules.common_passwords()
assert not [name for name in sys.modules if name.startswith("zxcvbn")]
assert sys.getsizeof(listed._digests) < 1_000_000
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize(
    "alphabet", [string.ascii_lowercase, string.digits, string.ascii_letters + string.digits + string.punctuation]
)
def test_what_a_password_manager_makes_is_taken(alphabet: str) -> None:
    draw = random.Random(15)
    made = ["".join(draw.choice(alphabet) for _ in range(15)) for _ in range(500)]
    assert [password for password in made if rules(password, ADA, min_length=15, blocklist=True)] == []
