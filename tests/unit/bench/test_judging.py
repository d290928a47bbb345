"""The benchmarks' own arithmetic: a wrong figure would be believed."""

import random

import pytest

from bench.load import Again, Once, User, percentiles, totp
from bench.timing import KINDS, auc, judge

SECRET = b"12345678901234567890"


def test_auc_of_what_cannot_be_told_apart_is_one_half() -> None:
    assert auc([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 0.5
    assert auc([5.0] * 10, [5.0] * 7) == 0.5


def test_auc_of_what_never_overlaps_is_one_on_either_side() -> None:
    assert auc([1.0, 2.0], [3.0, 4.0]) == auc([3.0, 4.0], [1.0, 2.0]) == 1.0


def test_auc_counts_the_pairs() -> None:
    # Of the six pairs, four are in order.
    assert auc([1.0, 4.0], [2.0, 3.0, 5.0]) == pytest.approx(4 / 6)


def test_a_leak_of_a_third_of_a_millisecond_in_noise_of_one_is_over_the_bar() -> None:
    noise = random.Random(7)
    seen = [(kind, 0.3 + noise.gauss(0, 0.001) + 0.0004 * (kind == "unknown")) for kind in KINDS for _ in range(700)]
    assert judge(seen).worst > 0.55
    still = [(kind, 0.3 + noise.gauss(0, 0.001)) for kind in KINDS for _ in range(700)]
    assert judge(still).worst < 0.55


def test_a_kind_that_only_scatters_more_is_found_too() -> None:
    noise = random.Random(7)
    seen = [(kind, 0.3 + noise.gauss(0, 0.002 if kind == "disabled" else 0.001)) for kind in KINDS for _ in range(700)]
    assert judge(seen).worst > 0.55


def test_percentiles() -> None:
    assert percentiles([number / 1000 for number in range(1, 101)]) == (51.0, 96.0, 100.0)
    assert percentiles([]) == (0.0, 0.0, 0.0)


def test_the_generators_codes_are_those_of_rfc_6238() -> None:
    # Appendix B, SHA-1, the last six of its eight digits.
    assert [totp(SECRET, at // 30) for at in (59, 1111111109, 20000000000)] == [b"287082", b"081804", b"353130"]


def test_a_user_is_sent_with_two_codes_in_a_half_minute_and_then_not_again() -> None:
    once = Once([User(b"ada", b"pw", SECRET)])
    first, second = once(), once()
    assert first is not None
    assert second is not None
    assert second[1] == (first[1] or 0) + 1
    assert once() is None
    again = Again([User(b"ada", b"pw", SECRET)])
    assert [again() is not None for _ in range(5)] == [True] * 5
