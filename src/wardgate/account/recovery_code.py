"""Recovery codes: written on paper for the day when everything else is lost. Ten at a time, each good once.

A code is 64 random bits as 13 characters of Crockford's base32, shown as `07QF-2M9X-4TRBW`. The alphabet has no I, L, O or U;
what people write in their place is read as meant. Stored is only a keyed fingerprint that is bound to the set, so that a
copy of the database neither shows a code nor lets one be guessed offline. A subject has one set: a new one ends the old.
"""

import secrets

from wardgate.account.authenticator import create_authenticator
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing
from wardgate.storage.port import Insert, Operation

KIND = "recovery_code"
CODES_PER_SET = 10
CODE_BITS = 64
CODE_CHARS = 13
MAX_TYPED_CHARS = 64

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# 13 characters hold 65 bits, so the first one of a real code is never beyond F.
_FIRST = frozenset(_ALPHABET[: 1 << (CODE_BITS - 5 * (CODE_CHARS - 1))])
_READ_AS = str.maketrans(
    {"O": "0", "I": "1", "L": "1", "İ": "1", "ı": "1"} | dict.fromkeys(" -\t\u00a0\u2010\u2011\u2012\u2013\u2014")
)


def new_code() -> str:
    """A fresh code as it is shown: three groups with hyphens."""
    value = secrets.randbits(CODE_BITS)
    chars = "".join(_ALPHABET[(value >> shift) & 31] for shift in range(5 * (CODE_CHARS - 1), -1, -5))
    return f"{chars[:4]}-{chars[4:8]}-{chars[8:]}"


def normalise(typed: str) -> str | None:
    """The 13 characters that were meant, or None for what cannot be a recovery code.

    Case, blanks and hyphens do not matter; O is read as 0, I and L as 1.
    """
    if len(typed) > MAX_TYPED_CHARS:
        return None
    code = typed.translate(_READ_AS)
    if len(code) > CODE_CHARS:  # upper case is never shorter
        return None
    code = code.upper().translate(_READ_AS)
    if len(code) != CODE_CHARS or code[0] not in _FIRST or not all(char in _ALPHABET for char in code):
        return None
    return code


def code_mac(ring: KeyRing, authenticator_id: str, code: str) -> bytes:
    """The stored fingerprint of a normalised code."""
    return ring.mac("recovery-code", authenticator_id.encode(), code.encode())


def create_recovery_codes(
    ring: KeyRing, subject_id: SubjectId, label: str, at_ms: int, by: str = ""
) -> tuple[str, list[str], list[Operation]]:
    """A new set: its authenticator id, the codes to show once, and the inserts. Whoever calls it also revokes the older set.

    `by`: who made it, where that is the person himself: then it is on hold for resets like anything else of his own making.
    """
    settings: dict[str, str | int] = {"codes": CODES_PER_SET, **({"by": by} if by else {})}
    authenticator_id, insert = create_authenticator(ring, subject_id, KIND, label, settings, None, 0, at_ms)
    codes: set[str] = set()
    while len(codes) < CODES_PER_SET:
        codes.add(new_code())
    macs = [code_mac(ring, authenticator_id, code.replace("-", "")) for code in codes]
    rows = [Insert("recovery_code", {"authenticator_id": authenticator_id, "code_mac": mac, "used_at": None}) for mac in macs]
    return authenticator_id, list(codes), [insert, *rows]
