"""The shared secret of one NAS, with everything precomputed that does not change from packet to packet.

This is the one place that calls MD5. RADIUS over UDP is built on it (RFC 2865 sections 3 and 5.2, RFC 3579 section 3.2)
and no setting can turn it off; what can be turned off is its weakest use, the bare Response Authenticator, by requiring
Message-Authenticator from the NAS (CVE-2024-3596).
"""

import hashlib
from functools import partial
from hmac import compare_digest
from typing import TYPE_CHECKING

from wardgate.crypto import Secret
from wardgate.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    _Md5 = Callable[[bytes], "hashlib._Hash"]

# The interpreter's own MD5 takes a third of the time that OpenSSL's takes for inputs of a packet's size: there is no
# provider to look up and no lock. A build for FIPS lacks it, and then must be told that this is not for security.
try:
    from _md5 import md5 as _builtin_md5  # type: ignore[import-not-found]
except ImportError:
    _md5: "_Md5" = partial(hashlib.md5, usedforsecurity=False)
else:
    _md5 = _builtin_md5

_BLOCK_BYTES = 64
_INNER_PAD = bytes(octet ^ 0x36 for octet in range(256))
_OUTER_PAD = bytes(octet ^ 0x5C for octet in range(256))


def md5(data: bytes) -> bytes:
    """MD5 without a key, for CHAP."""
    return _md5(data).digest()


class SharedSecret:
    """What one NAS and we both know. `repr` shows nothing."""

    __slots__ = ("_inner", "_outer", "_prefix", "_secret")

    def __init__(self, secret: Secret) -> None:
        """Precompute the HMAC pads. Raises SettingsError for an empty secret, which RFC 2865 section 3 forbids."""
        value = secret.reveal()
        if not value:
            raise SettingsError("the RADIUS secret of a NAS is empty: set at least 16 random characters on both sides")
        key = (value if len(value) <= _BLOCK_BYTES else _md5(value).digest()).ljust(_BLOCK_BYTES, b"\0")
        self._secret = value
        self._prefix = _md5(value)
        self._inner = _md5(key.translate(_INNER_PAD))
        self._outer = _md5(key.translate(_OUTER_PAD))

    def __repr__(self) -> str:
        return "SharedSecret(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SharedSecret) and compare_digest(self._secret, other._secret)

    __hash__ = None  # type: ignore[assignment]  # a secret is no dictionary key

    def __reduce__(self) -> tuple[type["SharedSecret"], tuple[bytes]]:
        raise TypeError("a SharedSecret does not travel by pickle")

    def hmac_md5(self, data: bytes) -> bytes:
        """HMAC-MD5 of `data` keyed with the secret: Message-Authenticator (RFC 3579 section 3.2)."""
        inner = self._inner.copy()
        inner.update(data)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def md5_then_secret(self, data: bytes) -> bytes:
        """MD5 of `data` followed by the secret: Response Authenticator, Accounting Request Authenticator."""
        return _md5(data + self._secret).digest()

    def md5_secret_then(self, data: bytes) -> bytes:
        """MD5 of the secret followed by `data`: one block of the key stream that hides passwords."""
        stream = self._prefix.copy()
        stream.update(data)
        return stream.digest()
