"""RFC 4226: HOTP, appendix D."""

import hashlib
import hmac

import pytest

from wardgate.crypto import Secret
from wardgate.factors.totp import hotp

KEY = b"12345678901234567890"

# Counter, HMAC-SHA-1, the truncated value, the six digits.
APPENDIX_D = [
    (0, "cc93cf18508d94934c64b65d8ba7667fb7cde4b0", 1284755224, "755224"),
    (1, "75a48a19d4cbe100644e8ac1397eea747a2d33ab", 1094287082, "287082"),
    (2, "0bacb7fa082fef30782211938bc1c5e70416ff44", 137359152, "359152"),
    (3, "66c28227d03a2d5529262ff016a1e6ef76557ece", 1726969429, "969429"),
    (4, "a904c900a64b35909874b33e61c5938a8e15ed1c", 1640338314, "338314"),
    (5, "a37e783d7b7233c083d4f62926c7a25f238d0316", 868254676, "254676"),
    (6, "bc9cd28561042c83f219324d3c607256c03272ae", 1918287922, "287922"),
    (7, "a4fb960c0bc06e1eabb804e5b397cdc4b45596fa", 82162583, "162583"),
    (8, "1b3c89f65e6c9e883012052823443f048b4332db", 673399871, "399871"),
    (9, "1637409809a679dc698207310c8c7fc07290d9e5", 645520489, "520489"),
]


@pytest.mark.parametrize(("counter", "mac", "value", "code"), APPENDIX_D)
def test_appendix_d(counter: int, mac: str, value: int, code: str) -> None:
    assert hmac.new(KEY, counter.to_bytes(8, "big"), hashlib.sha1).hexdigest() == mac
    assert hotp(Secret(KEY), counter, 6) == code
    # RFC 4226 section 5.3: more digits come from the same value.
    assert hotp(Secret(KEY), counter, 7) == f"{value % 10**7:07d}"
    assert hotp(Secret(KEY), counter, 8) == f"{value % 10**8:08d}"


def test_section_5_4_truncates_where_the_last_four_bits_point() -> None:
    """The RFC's own example: the MAC ends with 0x5a, so the four octets stand at 10."""
    mac = bytes.fromhex("1f8698690e02ca16618550ef7f19da8e945b555a")
    assert mac[-1] & 15 == 10
    assert (int.from_bytes(mac[10:14], "big") & 0x7FFFFFFF) % 10**6 == 872921


def test_leading_zeros_are_digits() -> None:
    codes = [hotp(Secret(KEY), counter, 6) for counter in range(200)]
    assert all(len(code) == 6 for code in codes)
    assert any(code.startswith("0") for code in codes)


def test_the_counter_has_eight_octets() -> None:
    assert len(hotp(Secret(KEY), 2**64 - 1, 6)) == 6
    with pytest.raises(OverflowError):
        hotp(Secret(KEY), 2**64, 6)
