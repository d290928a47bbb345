"""The pure part of TOTP, for any secret, time and skew."""

from datetime import UTC, datetime

from hypothesis import assume, given
from hypothesis import strategies as st

from wardgate.crypto import Secret
from wardgate.factors.totp import ALGORITHMS, hotp, time_step, verify_totp

secrets = st.binary(min_size=16, max_size=64)
moments = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
periods = st.sampled_from([30, 60])
digits = st.sampled_from([6, 7, 8])
algorithms = st.sampled_from(sorted(ALGORITHMS))


@given(secrets, moments, periods, digits, algorithms, st.integers(0, 5), st.integers(-8, 8))
def test_a_code_is_right_within_the_skew_and_nowhere_else(
    secret: bytes, at: datetime, period_s: int, length: int, algorithm: str, skew: int, away: int
) -> None:
    key, present = Secret(secret), time_step(at, period_s)
    step = present + away
    assume(step >= 0)
    code = hotp(key, step, length, algorithm)
    within = range(max(0, present - skew), present + skew + 1)
    equal = [other for other in within if hotp(key, other, length, algorithm) == code]
    found, used = verify_totp(key, code, at, -1, skew_steps=skew, digits=length, period_s=period_s, algorithm=algorithm)
    assert (found in equal) if equal else (found is None)
    assert not used


@given(secrets, moments, st.integers(-3, 3), st.integers(-3, 3))
def test_a_step_at_or_below_the_last_one_never_proves_anything(secret: bytes, at: datetime, last: int, away: int) -> None:
    key, present = Secret(secret), time_step(at, 30)
    assume(present + min(last, away) >= 0)
    found, used = verify_totp(key, hotp(key, present + away, 6), at, present + last, skew_steps=3)
    assert found is not None
    assert used is (found <= present + last)
    if not used:
        assert found > present + last


def test_of_two_steps_with_the_same_code_the_unused_one_counts() -> None:
    """Two steps within the skew have the same six digits once in a million times: then the code is no replay."""
    at = datetime.fromtimestamp(1_111_111_109, UTC)
    present = time_step(at, 30)
    twins = next(
        (Secret(number.to_bytes(20, "big")), step)
        for number in range(100_000)
        for step in (present - 1, present)
        if _short(number, step) == _short(number, step + 1)
    )
    key, step = twins
    code = hotp(key, step, 6)[-3:]
    # Compared at three digits, where twins are found quickly; the rule is the same.
    assert _verify_short(key, code, at, step) == (step + 1, False)
    assert _verify_short(key, code, at, present + 1)[1] is True


def _short(number: int, step: int) -> str:
    return hotp(Secret(number.to_bytes(20, "big")), step, 3)


def _verify_short(key: Secret, code: str, at: datetime, last: int) -> tuple[int | None, bool]:
    return verify_totp(key, code, at, last, digits=3)


@given(st.text(max_size=12))
def test_what_is_not_as_long_as_a_code_proves_nothing(code: str) -> None:
    assume(len(code) != 6)
    assert verify_totp(Secret(bytes(20)), code, datetime.fromtimestamp(1_111_111_109, UTC), -1) == (None, False)
