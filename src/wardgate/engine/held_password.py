"""The password of a login that has to be changed before the grant: kept with the login, sealed, so that it is typed only once.

Directories hold a change by the person himself to the minimum age and the history, and ask for the old password to do so. It is
sealed under a key of its hour and bound to its login, and it goes with the step that ends the login.
"""

import base64

from wardgate.crypto import KeyRing, Secret
from wardgate.errors import SealError


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
