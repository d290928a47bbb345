"""What every factor starts from: the digits of an answer, and what a subject holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.account.authenticator import Authenticator
from wardgate.account.subject import SubjectId
from wardgate.factors import BY_KIND, KINDS, PASSWORD, SECOND_FACTORS, STRONG_KINDS
from wardgate.factors.port import MAX_ANSWER_BYTES, Holder, Right, digits_of


@pytest.mark.parametrize(
    ("answer", "digits"),
    [
        (b"123456", "123456"),
        (b" 123 456 ", "123456"),
        (b"123-456", "123456"),
        (b"1\t2", "12"),
        (b"", None),
        (b" - ", None),
        (b"12345a", None),
        ("１２３".encode(), None),
        (b"\xb2\xb3", None),
        (b"12\0", None),
        (b"12\n", None),
        (b"1" * MAX_ANSWER_BYTES, "1" * MAX_ANSWER_BYTES),
        (b"1" * (MAX_ANSWER_BYTES + 1), None),
    ],
)
def test_digits_of_an_answer(answer: bytes, digits: str | None) -> None:
    assert digits_of(answer) == digits


@given(st.binary(max_size=200))
def test_digits_are_ascii_digits_or_nothing(answer: bytes) -> None:
    found = digits_of(answer)
    assert found is None or (found.isascii() and found.isdigit() and len(found) <= MAX_ANSWER_BYTES)


def test_the_newest_authenticator_comes_first() -> None:
    def one(number: int, kind: str) -> Authenticator:
        return Authenticator(str(number), SubjectId("s"), kind, "", {}, 0, None)

    holder = Holder(SubjectId("s"), [one(1, "totp"), one(2, "hotp"), one(3, "totp")], None, None)
    assert [each.id for each in holder.of_kind("totp")] == ["3", "1"]
    assert holder.of_kind("recovery_code") == []


def test_strong_is_what_the_design_says() -> None:
    assert set(STRONG_KINDS) == {"passkey", "totp", "hotp", "recovery_code"}
    assert set(KINDS) == {PASSWORD, "passkey", "totp", "hotp", "sms", "email", "recovery_code", "kba"}
    assert not BY_KIND["sms"].strong
    assert not BY_KIND["email"].strong


def test_no_word_chooses_two_factors() -> None:
    words = [word for factor in SECOND_FACTORS for word in factor.words]
    assert len(words) == len(set(words))
    assert all(word == word.lower() and len(word) <= 12 for word in words), "code-only mode takes longer ones for codes"


def test_a_claim_that_is_refused_counts_only_if_the_factor_says_so() -> None:
    assert Right().refused.counted is False
