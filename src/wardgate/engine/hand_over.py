"""What a full login at a portal leaves for the gateway's request that follows it: GlobalProtect logs in twice with one code.

The proof is a row for this application, user and client address, good once and for seconds. What redeems it is the code that was
spent, or the password, which is then checked as in any login: a fingerprint of it would spare the directory a question, and would
be something of a password that lies in storage. The row names its person by keyed fingerprints; what it tells is sealed to it.

It is for one client address as the NAS tells it, so for a NAS that is trusted to tell it, and never for those of whom a floor
demands strong factors: everybody behind one address could use what one of them spent.
"""

from collections.abc import Sequence
from typing import Final

from wardgate.crypto import KeyRing, Secret, same
from wardgate.engine.spent_code import code_mac
from wardgate.engine.transaction import Transaction
from wardgate.errors import SealError
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Delete, Operation, Reader, Row, Update, Upsert, Where
from wardgate.values import quick_value

TABLE: Final = "hand_over"
# What it is called among the factors of a grant. It is no factor of policies.
HAND_OVER: Final = "hand_over"
# A time that lies further ahead was written before the clock was set back.
CLOCK_STEP_MS: Final = 60_000


@quick_value
class HandedOver:
    """A proof that was left. `reference`: of the login that left it; `code`: the fingerprint of what it spent."""

    key: Row
    user_key: bytes
    subject_id: str
    transaction_id: str
    reference: str
    code: bytes

    def has_code(self, ring: KeyRing, given: Secret) -> bool:
        """Whether this is the code that the login spent."""
        return same(self.code, code_mac(ring, self.user_key, given))

    def redeem(self) -> tuple[Operation, ...]:
        """What uses it up, for whoever is first: it refuses a unit whose proof is gone, or is another login's by now."""
        mine = Where("transaction_id", "=", self.transaction_id)
        return Update(TABLE, self.key, {}, where=(mine,)), Delete(TABLE, (*_conditions(self.key), mine))


def leave(ring: KeyRing, transaction: Transaction, user_key: bytes, client: str, code: Secret, now_ms: int) -> Upsert:
    """The operation that leaves the proof, for the commit of a full login. It takes the place of an earlier one."""
    key = _key(ring, transaction.application, user_key, client)
    body = dumps({"code": code_mac(ring, user_key, code).hex(), "reference": transaction.reference})
    row: Row = {
        **key,
        "subject_id": transaction.subject_id,
        "transaction_id": transaction.id,
        "sealed": ring.seal(body.encode(), _bound_to(key, transaction.subject_id, transaction.id)),
        "expires_at": now_ms + transaction.terms.hand_over_s * 1000,
    }
    return Upsert(TABLE, row)


async def left(
    storage: Reader, ring: KeyRing, application: str, user_key: bytes, client: str, now_ms: int, within_s: int
) -> HandedOver | None:
    """What this user left at this application from this address, if it is still good."""
    key = _key(ring, application, user_key, client)
    row = await storage.get(TABLE, key)
    if row is None:
        return None
    expires_at, sealed = int(row["expires_at"] or 0), row["sealed"]
    if not now_ms < expires_at <= now_ms + within_s * 1000 + CLOCK_STEP_MS or not isinstance(sealed, bytes):
        return None
    subject_id, transaction_id = str(row["subject_id"]), str(row["transaction_id"])
    try:
        body = loads(ring.open(sealed, _bound_to(key, subject_id, transaction_id)))
    except SealError:
        return None
    return HandedOver(key, user_key, subject_id, transaction_id, str(body["reference"]), bytes.fromhex(body["code"]))


def _key(ring: KeyRing, application: str, user_key: bytes, client: str) -> Row:
    return {"application": application, "user_key": user_key, "client_key": ring.mac("hand-over-client", client.encode())}


def _conditions(key: Row) -> Sequence[Where]:
    return [Where(column, "=", value) for column, value in key.items()]


def _bound_to(key: Row, subject_id: str, transaction_id: str) -> str:
    places = [value.hex() if isinstance(value, bytes) else str(value) for value in key.values()]
    return ":".join(("hand_over", *places, subject_id, transaction_id))
