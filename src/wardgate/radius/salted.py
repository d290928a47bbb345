"""Salt encryption: Tunnel-Password (RFC 2868 section 3.5) and the MPPE keys (RFC 2548 section 2.4.2).

It uses the authenticator of the *request*, also in a reply. Each salt may be used once in a packet.
"""

from dataclasses import dataclass

from wardgate.errors import PacketError
from wardgate.radius.pap import BLOCK_BYTES, xor
from wardgate.radius.shared_secret import SharedSecret

SALT_BYTES = 2
# 253 octets of value, less a tag and the salt, in whole blocks, less the length octet.
MAX_SALTED_BYTES = (253 - 1 - SALT_BYTES) // BLOCK_BYTES * BLOCK_BYTES - 1


@dataclass(frozen=True, slots=True)
class Hiding:
    """What a salted value depends on. `salt`: two random octets; the top bit is set here."""

    authenticator: bytes
    secret: SharedSecret
    salt: bytes


def hide_salted(value: bytes, hiding: Hiding) -> bytes:
    """Salt and cipher text of `value`, at most 239 octets long."""
    if len(value) > MAX_SALTED_BYTES:
        raise PacketError(f"an encrypted value has at most {MAX_SALTED_BYTES} octets", "radius_value_too_long")
    salt = bytes((hiding.salt[0] | 0x80, hiding.salt[1]))
    clear = bytes((len(value),)) + value
    clear += bytes(-len(clear) % BLOCK_BYTES)
    previous, cipher = hiding.authenticator + salt, b""
    for at in range(0, len(clear), BLOCK_BYTES):
        previous = xor(clear[at : at + BLOCK_BYTES], hiding.secret.md5_secret_then(previous))
        cipher += previous
    return salt + cipher


def reveal_salted(hidden: bytes, authenticator: bytes, secret: SharedSecret) -> bytes:
    """The value behind salt and cipher text. Raises PacketError `radius_salted` when it cannot have been made so."""
    salt, cipher = hidden[:SALT_BYTES], hidden[SALT_BYTES:]
    if not cipher or len(cipher) % BLOCK_BYTES or not salt[0] & 0x80:
        raise PacketError("an encrypted value is a salt with its top bit set and whole blocks of 16 octets", "radius_salted")
    previous, clear = authenticator + salt, b""
    for at in range(0, len(cipher), BLOCK_BYTES):
        block = cipher[at : at + BLOCK_BYTES]
        clear += xor(block, secret.md5_secret_then(previous))
        previous = block
    if clear[0] >= len(clear):
        raise PacketError("an encrypted value says that it is longer than it is: wrong secret?", "radius_salted")
    return clear[1 : clear[0] + 1]
