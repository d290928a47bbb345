"""What a login that began with an activation does to it: uses it up before a password is written, and ends with word of it."""

from collections.abc import Sequence
from typing import Final

from wardgate.account.activation import Activation, Occasion, State, of_subject, read_one, told_address, use
from wardgate.account.freeze import unfrozen
from wardgate.account.subject import SubjectId
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.delivery.port import Channel
from wardgate.engine.notices import Addressee, notify, tell
from wardgate.engine.runtime import EngineParts
from wardgate.engine.transaction import Transaction
from wardgate.engine.wording import Notice, Whom
from wardgate.factors.port import Holder
from wardgate.storage.port import Operation

# What such a login remembers of the activation is its id: a later one of the same person is not its own.
ACTIVATION: Final = "activation"


async def spent(parts: EngineParts, transaction: Transaction, trail: Trail) -> Sequence[Operation] | None:
    """What uses the activation of this login up, nothing where this login did before; None where another was first, or it ended."""
    activation = await _activation(parts, transaction)
    now_ms = to_ms(parts.clock.now())
    if activation is None or activation.id != transaction.recall(ACTIVATION).get("id"):
        return None
    guard = unfrozen(activation.subject_id)
    if activation.state is State.USED:
        return (guard,) if activation.used_by == transaction.id else None
    if not activation.is_open(now_ms):
        return None
    occasion = Occasion(now_ms, transaction.user_name, trail.door, transaction.id, transaction.reference, trail.source)
    return (guard, *use(activation, occasion))


async def welcome(parts: EngineParts, transaction: Transaction, holder: Holder, trail: Trail) -> Sequence[Operation] | None:
    """What belongs into the grant: the end of the activation, and word to the person and to who issued it. None as `spent`."""
    operations = await spent(parts, transaction, trail)
    activation = await _activation(parts, transaction)
    if operations is None or activation is None:
        return None
    at = transaction
    whom = Whom(at.subject_id, at.user_name, at.application, at.id, at.reference, at.language, at.realm)
    return (*operations, *notify(parts, whom, holder, "activated"), *tell_issuer(parts, activation, whom, "activated_issuer"))


def tell_issuer(parts: EngineParts, activation: Activation, whom: Whom, happened: str) -> Sequence[Operation]:
    """Word of its end to where its issuer wanted it, if anywhere."""
    issuer = told_address(parts.ring(), activation)
    to = [Addressee(Channel.EMAIL, issuer)] if issuer else []
    return tell(parts, whom, to, Notice(happened, {"name": whom.user_name}))


async def _activation(parts: EngineParts, transaction: Transaction) -> Activation | None:
    return read_one(*await parts.storage.read([of_subject(SubjectId(transaction.subject_id))]))
