"""RFC 2202 section 2: HMAC-MD5, which Message-Authenticator is. Our pads are precomputed, so they are tested here."""

import pytest

from wardgate.crypto import Secret
from wardgate.radius.shared_secret import SharedSecret

CASES = [
    (b"\x0b" * 16, b"Hi There", "9294727a3638bb1c13f48ef8158bfc9d"),
    (b"Jefe", b"what do ya want for nothing?", "750c783e6ab0b503eaa86e310a5db738"),
    (b"\xaa" * 16, b"\xdd" * 50, "56be34521d144c88dbb8c733f0e8b3f6"),
    (bytes(range(1, 26)), b"\xcd" * 50, "697eaf0aca3a3aea3a75164746ffaa79"),
    (b"\x0c" * 16, b"Test With Truncation", "56461ef2342edc00f9bab995690efd4c"),
    (b"\xaa" * 80, b"Test Using Larger Than Block-Size Key - Hash Key First", "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"),
    (
        b"\xaa" * 80,
        b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data",
        "6f630fad67cda0ee1fb1f562db3aa53e",
    ),
]


@pytest.mark.parametrize(("key", "data", "digest"), CASES)
def test_hmac_md5(key: bytes, data: bytes, digest: str) -> None:
    secret = SharedSecret(Secret(key))
    assert secret.hmac_md5(data).hex() == digest
    assert secret.hmac_md5(data).hex() == digest, "the precomputed pads were changed by the first use"
