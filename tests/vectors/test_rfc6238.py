"""RFC 6238: TOTP, appendix B, with the keys that its reference program uses (of the length of each hash: erratum 2866)."""

from datetime import UTC, datetime

import pytest

from wardgate.crypto import Secret
from wardgate.factors.totp import hotp, time_step, verify_totp

KEYS = {
    "SHA1": b"12345678901234567890",
    "SHA256": b"12345678901234567890123456789012",
    "SHA512": b"1234567890123456789012345678901234567890123456789012345678901234",
}
# Seconds since 1970, time step, and the eight digits by each algorithm.
APPENDIX_B = [
    (59, 0x1, "94287082", "46119246", "90693936"),
    (1111111109, 0x23523EC, "07081804", "68084774", "25091201"),
    (1111111111, 0x23523ED, "14050471", "67062674", "99943326"),
    (1234567890, 0x273EF07, "89005924", "91819424", "93441116"),
    (2000000000, 0x3F940AA, "69279037", "90698825", "38618901"),
    (20000000000, 0x27BC86AA, "65353130", "77737706", "47863826"),
]
ROWS = [
    (seconds, step, algorithm, code) for seconds, step, *codes in APPENDIX_B for algorithm, code in zip(KEYS, codes, strict=True)
]


@pytest.mark.parametrize(("seconds", "step", "algorithm", "code"), ROWS)
def test_appendix_b(seconds: int, step: int, algorithm: str, code: str) -> None:
    at, secret = datetime.fromtimestamp(seconds, UTC), Secret(KEYS[algorithm])
    assert time_step(at, 30) == step
    assert hotp(secret, step, 8, algorithm) == code
    assert verify_totp(secret, code, at, step - 1, digits=8, algorithm=algorithm) == (step, False)
    assert verify_totp(secret, code, at, step, digits=8, algorithm=algorithm) == (step, True)


@pytest.mark.parametrize(
    ("seconds", "period_s", "step"), [(0, 30, 0), (29, 30, 0), (30, 30, 1), (59, 30, 1), (59, 60, 0), (60, 60, 1)]
)
def test_section_4_2_steps_are_counted_from_1970(seconds: int, period_s: int, step: int) -> None:
    assert time_step(datetime.fromtimestamp(seconds, UTC), period_s) == step


def test_section_5_2_the_step_of_the_code_is_told_so_that_it_can_be_used_up() -> None:
    secret, at = Secret(KEYS["SHA1"]), datetime.fromtimestamp(1111111111, UTC)
    present = time_step(at, 30)
    for steps in (-1, 0, 1):
        code = hotp(secret, present + steps, 6)
        assert verify_totp(secret, code, at, 0) == (present + steps, False)
    for steps in (-2, 2):
        assert verify_totp(secret, hotp(secret, present + steps, 6), at, 0) == (None, False)


def test_the_first_steps_of_time_have_none_before_them() -> None:
    secret = Secret(KEYS["SHA1"])
    assert verify_totp(secret, hotp(secret, 0, 6), datetime.fromtimestamp(0, UTC), -1) == (0, False)
