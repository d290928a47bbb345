"""Tells a person, everywhere he can be reached, what is being done to his account: he is the one who knows whether it is he.

Never a password, a code, a whole address or a link that does anything.
"""

from dataclasses import dataclass
from typing import Final

from wardgate.clock import to_ms
from wardgate.crypto import new_id
from wardgate.delivery.outbox import enqueue
from wardgate.delivery.port import Channel
from wardgate.engine.runtime import EngineParts
from wardgate.factors.port import Holder
from wardgate.storage.port import Operation
from wardgate.texts import Text, render

# A notice that comes days later frightens without helping.
LIFE_MS: Final = 24 * 3_600_000
# What is told, by what happened.
TOLD: Final = ("first_proof", "password_reset", "unlocked", "authenticator_added", "authenticator_removed")


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom a notice is for, and which login or flow it belongs to."""

    subject_id: str
    user_name: str
    application: str
    transaction_id: str
    reference: str
    language: str


def notify(parts: EngineParts, whom: Whom, holder: Holder, happened: str, used: Channel | None = None) -> tuple[Operation, ...]:
    """The messages for the unit of what happened; none for what need not be told.

    `used`: the channel that need not be told, because it was just used.
    """
    if happened not in TOLD:
        return ()
    reached = ((Channel.EMAIL, holder.mail), (Channel.SMS, holder.phone))
    channels = parts.configuration().channels
    return tuple(
        operation
        for channel, to in reached
        if to is not None and channel is not used and channel in channels
        for operation in _notice(parts, whom, channel, to, happened)
    )


def _notice(parts: EngineParts, whom: Whom, channel: Channel, to: str, happened: str) -> list[Operation]:
    now = parts.clock.now()
    now_ms = to_ms(now)
    values: dict[str, str | int] = {"when": f"{now:%Y-%m-%d %H:%M} UTC", "ref": whom.reference}
    form = "sms" if channel is Channel.SMS else "body"
    text = render(Text(f"notice.{happened}_{form}", values), whom.language)
    subject = "" if channel is Channel.SMS else render(Text(f"notice.{happened}_subject"), whom.language)
    return enqueue(
        parts.ring(),
        message_id=new_id(),
        channel=channel,
        to=to,
        text=text.strip() + ("\n" if subject else ""),
        subject=subject,
        code="",
        user_name=whom.user_name,
        subject_id=whom.subject_id,
        application=whom.application,
        transaction_id=whom.transaction_id,
        reference=whom.reference,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + LIFE_MS,
        keep=parts.keep_messages,
        sender=parts.sender,
    )
