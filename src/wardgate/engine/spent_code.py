"""The code that a user spent last at an application: GlobalProtect sends it again to the gateway, as a password."""

from wardgate.account.recovery_code import MAX_TYPED_CHARS, normalise
from wardgate.crypto import KeyRing, Secret, same
from wardgate.factors.port import digits_of
from wardgate.storage.port import Reader, Row, Upsert


async def is_spent_code(
    storage: Reader, ring: KeyRing, application: str, user_key: bytes, given: Secret, now_ms: int, within_s: int
) -> bool:
    """Whether `given` is the code that this user spent at this application within the last `within_s` seconds."""
    row = await storage.get("spent_code", {"application": application, "user_key": user_key})
    if row is None:
        return False
    spent_at, stored = row["spent_at"], row["code_mac"]
    if not isinstance(spent_at, int) or not isinstance(stored, bytes) or spent_at < now_ms - within_s * 1000:
        return False
    return same(code_mac(ring, user_key, given), stored)


def may_be_code(given: Secret) -> bool:
    """Whether a password field could hold the code of any of our factors: digits, or a recovery code."""
    value = given.reveal()
    return len(value) <= MAX_TYPED_CHARS and (
        digits_of(value) is not None or normalise(value.decode("utf-8", "replace")) is not None
    )


def remember_spent_code(ring: KeyRing, application: str, user_key: bytes, code: Secret, now_ms: int) -> Upsert:
    """The operation that notes it, for the commit that accepts the code."""
    row: Row = {"application": application, "user_key": user_key, "code_mac": code_mac(ring, user_key, code), "spent_at": now_ms}
    return Upsert("spent_code", row)


def user_key(ring: KeyRing, realm: str, name: str) -> bytes:
    """Under which a name's spent code is kept: the name as it was looked up, since the replay brings the same one."""
    return ring.mac("spent-code-user", realm.encode(), name.encode())


def code_mac(ring: KeyRing, key: bytes, code: Secret) -> bytes:
    """What is stored of a spent code."""
    # Blanks and hyphens that a person put into the code are not sent again by the client in every case.
    return ring.mac("spent-code", key, code.reveal().translate(None, b" -"))
