"""Tells a person, everywhere he can be reached, what is being done to his account: he is the one who knows whether it is he.

Never a password, a code, a whole address or a link that does anything.
"""

from typing import Final

from wardgate.clock import to_ms
from wardgate.crypto import new_id
from wardgate.delivery.outbox import enqueue
from wardgate.delivery.port import Channel
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.flow import Flow
from wardgate.factors.port import Factor, Holder
from wardgate.storage.port import Operation
from wardgate.texts import Text, render

# A notice that comes days later frightens without helping.
LIFE_MS: Final = 24 * 3_600_000
# What is told, by what happened.
TOLD: Final = ("first_proof", "password_reset", "password_changed", "unlocked")


def notify(parts: EngineParts, flow: Flow, holder: Holder, happened: str, besides: Factor | None = None) -> tuple[Operation, ...]:
    """The messages for the unit of what happened; none for what need not be told.

    `besides`: whose channel need not be told, because it was just used.
    """
    if happened not in TOLD:
        return ()
    used = besides.channel if besides is not None else None
    reached = ((Channel.EMAIL, holder.mail), (Channel.SMS, holder.phone))
    channels = parts.configuration().channels
    return tuple(
        operation
        for channel, to in reached
        if to is not None and channel is not used and channel in channels
        for operation in _notice(parts, flow, channel, to, happened)
    )


def _notice(parts: EngineParts, flow: Flow, channel: Channel, to: str, happened: str) -> list[Operation]:
    now = parts.clock.now()
    now_ms = to_ms(now)
    values: dict[str, str | int] = {"when": f"{now:%Y-%m-%d %H:%M} UTC", "ref": flow.reference}
    form = "sms" if channel is Channel.SMS else "body"
    text = render(Text(f"notice.{happened}_{form}", values), flow.language)
    subject = "" if channel is Channel.SMS else render(Text(f"notice.{happened}_subject"), flow.language)
    return enqueue(
        parts.ring(),
        message_id=new_id(),
        channel=channel,
        to=to,
        text=text.strip() + ("\n" if subject else ""),
        subject=subject,
        code="",
        user_name=flow.user_name,
        subject_id=flow.subject_id,
        application=flow.application,
        transaction_id=flow.id,
        reference=flow.reference,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + LIFE_MS,
        keep=parts.keep_messages,
        sender=parts.sender,
    )
