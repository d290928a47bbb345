"""The help desk's own number for what it does in somebody's account: the audit trail keeps it, and the person reads it.

So whoever hears of an act that he did not ask for can say which one it was, and whoever reads the trail finds who asked for it.
"""

import re
from collections.abc import Mapping
from typing import Final

from wardgate.errors import UsageError

PARAMETER: Final = "ticket"
MAX_CHARS: Final = 40
# The operations that act on a person. What only looks, and what acts on nobody, has no ticket.
TICKETED: Final = frozenset(
    {
        *("activation.issue", "activation.cancel"),
        *("authenticator.add_totp", "authenticator.add_hotp", "authenticator.add_secret", "authenticator.add_recovery"),
        *("authenticator.revoke", "authenticator.release", "token.assign", "token.return", "token.resync"),
        *("contact.add", "contact.remove", "contact.prefer"),
        *("kba.clear", "kba.reopen", "kba.import_piece"),
        *("lock.clear", "subject.unlock", "subject.forget_devices", "subject.relink"),
        *("user.change", "user.disable", "user.enable", "user.freeze", "user.lock", "user.remove", "user.set_password"),
        *("user.unfreeze", "user.unlock", "user.import_piece", "user.import_records"),
    }
)
# It goes into messages: nothing of which a mail program or a phone would make a link.
_TICKET: Final = re.compile(r"[\w#/-]+")


def taken(name: str, params: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
    """The ticket among the parameters of an operation, empty without one, and the others. Raises UsageError."""
    if PARAMETER not in params or name not in TICKETED:
        return "", params
    ticket = params[PARAMETER]
    if not isinstance(ticket, str) or len(ticket) > MAX_CHARS or not _TICKET.fullmatch(ticket):
        raise UsageError(f"ticket: at most {MAX_CHARS} letters, digits and any of # / - _")
    return ticket, {key: value for key, value in params.items() if key != PARAMETER}
