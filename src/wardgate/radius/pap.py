"""User-Password hiding: RFC 2865 section 5.2.

A password is bytes here. Which character set a NAS uses is unknown (PAN-OS sends UTF-8, others what was typed), and
decoding with losses would turn two passwords into one.
"""

from wardgate.errors import PacketError
from wardgate.radius.shared_secret import SharedSecret

BLOCK_BYTES = 16
MAX_PASSWORD_BYTES = 128


def hide(password: bytes, authenticator: bytes, secret: SharedSecret) -> bytes:
    """The value of User-Password in a request with this Request Authenticator. At most 128 octets of password."""
    if len(password) > MAX_PASSWORD_BYTES:
        raise PacketError(f"a password has at most {MAX_PASSWORD_BYTES} octets", "radius_password_too_long")
    padded = password + bytes(-len(password) % BLOCK_BYTES) or bytes(BLOCK_BYTES)
    hidden = b""
    previous = authenticator
    for at in range(0, len(padded), BLOCK_BYTES):
        previous = xor(padded[at : at + BLOCK_BYTES], secret.md5_secret_then(previous))
        hidden += previous
    return hidden


def reveal(hidden: bytes, authenticator: bytes, secret: SharedSecret) -> bytes:
    """The password behind the value of User-Password, as bytes, without its padding.

    Only trailing NULs are padding. A wrong secret gives garbage, not an error: only a Message-Authenticator can tell.
    Raises PacketError `radius_password_length` unless the value is 1 to 8 blocks of 16 octets.
    """
    size = len(hidden)
    if size % BLOCK_BYTES or not 0 < size <= MAX_PASSWORD_BYTES:
        raise PacketError(f"User-Password has {size} octets, not 16 to 128 in steps of 16", "radius_password_length")
    stream = secret.md5_secret_then(authenticator)
    for at in range(0, size - BLOCK_BYTES, BLOCK_BYTES):
        stream += secret.md5_secret_then(hidden[at : at + BLOCK_BYTES])
    return xor(hidden, stream).rstrip(b"\0")


# What no keyboard puts into a password: control characters but tab and the ends of lines that come along when one is pasted.
_UNTYPABLE = bytes(set(range(32)) - set(b"\t\n\r")) + b"\x7f"


def is_garbled(password: bytes) -> bool:
    """Whether a revealed password cannot have been typed: almost surely the secrets differ.

    Of passwords that a wrong secret garbled, one in seven of up to 16 octets passes for typed, and one in fifty of up to 32.
    """
    return len(password.translate(None, _UNTYPABLE)) != len(password)


def xor(one: bytes, other: bytes) -> bytes:
    """Combine two strings of the same length. Whole integers are several times faster than octet by octet."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")
