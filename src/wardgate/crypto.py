"""Secrets: holding, sealing, fingerprinting and comparing them. Password hashes live in `wardgate.passwords`.

Sealing is AES-256-GCM. A sealed value names the data key that made it, so that keys can be rotated while serving;
its associated data names the row it belongs to, so that a value copied to another row does not open.
"""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wardgate.errors import SealError

KEY_BYTES = 32
NONCE_BYTES = 12
SEAL_VERSION = 1
HOUR_SEAL_VERSION = 2
_HOUR_MS = 3_600_000
MAX_REMEMBERED_MACS = 8192
MAC_ROOT = 0
_HEADER_BYTES = 1 + 4
_PLAIN_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
# Crockford's alphabet: no I, L, O, U, so that a reference can be read out on the phone.
_REFERENCE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_REFERENCE_PAIRS = [one + other for one in _REFERENCE_ALPHABET for other in _REFERENCE_ALPHABET]
REFERENCE_CHARS = 8
_BLOCK_BYTES = 64
_INNER_PAD = bytes(octet ^ 0x36 for octet in range(256))
_OUTER_PAD = bytes(octet ^ 0x5C for octet in range(256))
# What `secrets.token_bytes` gives, without its detour: a login takes nine.
random_bytes = os.urandom


class Secret:
    """Bytes that must not be printed. `repr` and `str` show nothing; comparing takes constant time."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes | str) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """The bytes. Call it only where they are used."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(("Secret", len(self._value)))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> tuple[type["Secret"], tuple[bytes]]:
        raise TypeError("a Secret does not travel by pickle")


class HmacSha256:
    """HMAC-SHA-256 under one key (RFC 2104), whose two pads are taken in once: a quarter of what `hmac.digest` costs."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (key if len(key) <= _BLOCK_BYTES else hashlib.sha256(key).digest()).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER_PAD))
        self._outer = hashlib.sha256(block.translate(_OUTER_PAD))

    def digest(self, data: bytes) -> bytes:
        """The MAC of `data`."""
        inner = self._inner.copy()
        inner.update(data)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


class KeyRing:
    """The data keys in clear, in memory only. The newest seals; all of them open.

    Key 0 never seals: it is the root of all keyed fingerprints and does not rotate with the others, because a value
    that is looked up (a recovery code, a brake, an open login) must have the same fingerprint after a rotation.
    """

    def __init__(self, keys: Mapping[int, Secret]) -> None:
        self._ciphers = {number: AESGCM(key.reveal()) for number, key in keys.items() if number != MAC_ROOT}
        self._current = max(self._ciphers)
        self._hour_ciphers: dict[int, AESGCM] = {}
        self._macs: dict[tuple[str | bytes, ...], bytes] = {}
        self._mac_states: dict[str, hashlib.blake2b] = {}
        self._mac_root = keys[MAC_ROOT].reveal()

    @property
    def current(self) -> int:
        """The number of the key that seals."""
        return self._current

    @property
    def numbers(self) -> tuple[int, ...]:
        """All key numbers that still open values, oldest first."""
        return tuple(sorted(self._ciphers))

    def seal(self, value: bytes, bound_to: str) -> bytes:
        """Encrypt `value` so that it opens only with the same `bound_to` (table, column and row id)."""
        nonce = random_bytes(NONCE_BYTES)
        body = self._ciphers[self._current].encrypt(nonce, value, bound_to.encode())
        return bytes((SEAL_VERSION,)) + self._current.to_bytes(4, "big") + nonce + body

    def open(self, sealed: bytes, bound_to: str) -> bytes:
        """Decrypt a sealed value. Raises SealError when key, row or bytes do not fit."""
        number = sealed_with(sealed)
        cipher = self._ciphers.get(number)
        if cipher is None:
            raise SealError(f"data key {number} is not in the ring")
        nonce = sealed[_HEADER_BYTES : _HEADER_BYTES + NONCE_BYTES]
        try:
            return cipher.decrypt(nonce, sealed[_HEADER_BYTES + NONCE_BYTES :], bound_to.encode())
        except InvalidTag as error:
            raise SealError(f"a sealed value of {bound_to.partition(':')[0]} does not open") from error

    def reseal(self, sealed: bytes, bound_to: str) -> bytes | None:
        """The same value under the current key, or None when it is already there."""
        if sealed_with(sealed) == self._current:
            return None
        return self.seal(self.open(sealed, bound_to), bound_to)

    def seal_for_an_hour(self, value: bytes, bound_to: str, at_ms: int) -> bytes:
        """Encrypt what lives for minutes and travels outside: under a key of its own for each hour, made of the root.

        So the number of values under one key, which random nonces bound to 2**32, does not add up over the life of a data key.
        """
        hour = at_ms // _HOUR_MS
        nonce = random_bytes(NONCE_BYTES)
        body = self._hour_cipher(hour).encrypt(nonce, value, bound_to.encode())
        return b"".join((nonce, bytes((HOUR_SEAL_VERSION,)), hour.to_bytes(4, "big"), body))

    def open_for_an_hour(self, sealed: bytes, bound_to: str, now_ms: int) -> bytes:
        """Decrypt it, in its hour and the ones beside it. Raises SealError for anything else."""
        start = NONCE_BYTES + _HEADER_BYTES
        if len(sealed) < start + 16 or sealed[NONCE_BYTES] != HOUR_SEAL_VERSION:
            raise SealError("not a sealed value")
        hour = int.from_bytes(sealed[NONCE_BYTES + 1 : start], "big")
        if abs(hour - now_ms // _HOUR_MS) > 1:
            raise SealError("a value of another hour")
        try:
            return self._hour_cipher(hour).decrypt(sealed[:NONCE_BYTES], sealed[start:], bound_to.encode())
        except InvalidTag as error:
            raise SealError(f"a sealed value of {bound_to.partition(':')[0]} does not open") from error

    def _hour_cipher(self, hour: int) -> AESGCM:
        cipher = self._hour_ciphers.get(hour)
        if cipher is None:
            if len(self._hour_ciphers) > 4:
                self._hour_ciphers.clear()
            cipher = self._hour_ciphers[hour] = AESGCM(self.mac("hour-key", hour.to_bytes(8, "big")))
        return cipher

    def mac(self, purpose: str, *parts: bytes) -> bytes:
        """A keyed fingerprint (32 bytes) of `parts`, separate for each purpose and free of length ambiguity."""
        # A keyed state is made once for each purpose: taking the key in costs more than all the rest.
        state = (self._mac_states.get(purpose) or self._mac_state(purpose)).copy()
        for part in parts:
            state.update(len(part).to_bytes(8, "big") + part)
        return state.digest()

    def remembered_mac(self, purpose: str, *parts: bytes) -> bytes:
        """The same, for what each step of a login asks for again. The newest are kept, and go with the ring."""
        asked: tuple[str | bytes, ...] = (purpose, *parts)
        found = self._macs.get(asked)
        if found is None:
            if len(self._macs) >= MAX_REMEMBERED_MACS:
                self._macs.clear()
            found = self._macs[asked] = self.mac(purpose, *parts)
        return found

    def _mac_state(self, purpose: str) -> "hashlib.blake2b":
        key = hashlib.blake2b(purpose.encode(), key=self._mac_root, digest_size=32).digest()
        state = self._mac_states[purpose] = hashlib.blake2b(key=key, digest_size=32)
        return state


def sealed_with(sealed: bytes) -> int:
    """The number of the data key that made a sealed value. Raises SealError for anything else."""
    if len(sealed) < _HEADER_BYTES + NONCE_BYTES + 16 or sealed[0] != SEAL_VERSION:
        raise SealError("not a sealed value")
    return int.from_bytes(sealed[1:5], "big")


def wrap_key(master: Secret, number: int, material: Secret) -> bytes:
    """Seal a data key under the key-encryption key, for the `data_key` table."""
    nonce = random_bytes(NONCE_BYTES)
    return nonce + AESGCM(master.reveal()).encrypt(nonce, material.reveal(), f"data_key:{number}".encode())


def unwrap_key(master: Secret, number: int, wrapped: bytes) -> Secret:
    """Open a data key. Raises SealError when the key file is not the one that this database was made with."""
    try:
        nonce, body = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        return Secret(AESGCM(master.reveal()).decrypt(nonce, body, f"data_key:{number}".encode()))
    except (InvalidTag, ValueError) as error:
        raise SealError("the key file does not fit this database: restore the key file that was in use with it") from error


def new_key() -> Secret:
    """Fresh key material."""
    return Secret(random_bytes(KEY_BYTES))


def same(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one, other)


def new_reference() -> str:
    """A short reference for people: 8 characters, 40 bits, always the same length."""
    value = int.from_bytes(random_bytes(5), "big")
    pairs = _REFERENCE_PAIRS
    return pairs[value >> 30] + pairs[value >> 20 & 1023] + pairs[value >> 10 & 1023] + pairs[value & 1023]


def new_id() -> str:
    """An id for a row: 32 hexadecimal digits, 48 bits of time in ms and 80 random bits.

    Ids rise with time, so that new rows stand side by side in every index; a random id would touch a page of its own in each.
    """
    return f"{time.time_ns() // 1_000_000:012x}{random_bytes(10).hex()}"


def plain_secret(chars: int) -> str:
    """A secret that people copy: letters and digits that look unlike each other, 5.8 bits each.

    No sign that a shell, a configuration file or a command's options would take for something else: a value that begins with a
    dash is an option to radclient.
    """
    return "".join(secrets.choice(_PLAIN_ALPHABET) for _ in range(chars))


def numeric_code(digits: int) -> str:
    """A uniformly random decimal code with leading zeros."""
    return f"{secrets.randbelow(10**digits):0{digits}d}"
