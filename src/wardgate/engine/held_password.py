"""The password of a login that has to be changed before the grant: kept with the login, sealed, so that it is typed only once.

Directories hold a change by the person himself to the minimum age and the history, and ask for the old password to do so. It is
sealed under a key of its hour and bound to its login, and it goes with the step that ends the login; out of a login that nobody
went on with, the janitor takes it within a minute of its end.
"""

import base64
from typing import Final

from wardgate.crypto import KeyRing, Secret
from wardgate.engine.transaction import State
from wardgate.errors import SealError
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Committed, Storage, Update, Where

_PAGE_ROWS: Final = 200


def hold_password(ring: KeyRing, password: Secret, transaction_id: str, now_ms: int) -> str:
    """What is stored of it."""
    return base64.b64encode(ring.seal_for_an_hour(password.reveal(), _bound_to(transaction_id), now_ms)).decode()


def held_password(ring: KeyRing, held: str, transaction_id: str, now_ms: int) -> Secret | None:
    """The password again; None where nothing is held, or no longer."""
    if not held:
        return None
    try:
        return Secret(ring.open_for_an_hour(base64.b64decode(held), _bound_to(transaction_id), now_ms))
    except SealError:
        return None


def _bound_to(transaction_id: str) -> str:
    return f"held-password:{transaction_id}"


async def forget_passwords(storage: Storage, after_ms: int, until_ms: int) -> int:
    """Take them out of the logins that ended in this time without a step of anybody's; returns how many went."""
    gone, last = 0, ""
    ended = (Where("expires_at", ">", after_ms), Where("expires_at", "<=", until_ms), Where("state", "=", State.CHALLENGED.value))
    while True:
        rows = await storage.find("login_transaction", [*ended, Where("id", ">", last)], order_by="id", limit=_PAGE_ROWS)
        for row in rows:
            body = loads(str(row["body"]))
            if body["held"]:
                # A step that somebody takes nevertheless ends the login, and the password with it.
                same_step = (Where("sequence", "=", row["sequence"]), Where("state", "=", State.CHALLENGED.value))
                empty = Update("login_transaction", {"id": row["id"]}, {"body": dumps({**body, "held": ""})}, where=same_step)
                gone += isinstance(await storage.commit([empty]), Committed)
        if len(rows) < _PAGE_ROWS:
            return gone
        last = str(rows[-1]["id"])
