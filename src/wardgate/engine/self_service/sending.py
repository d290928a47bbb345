"""The outbox row of a proof's code, for the commit of its question."""

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import new_id
from wardgate.delivery.outbox import enqueue
from wardgate.engine.messages import compose
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.flow import Flow
from wardgate.factors.port import Sending
from wardgate.storage.port import Operation


def send_code(parts: EngineParts, flow: Flow, sending: Sending, trail: Trail) -> tuple[Operation, ...]:
    """Put the code into the outbox, with the audit event that it was sent."""
    now_ms, configuration = to_ms(parts.clock.now()), parts.configuration()
    life_s, application = configuration.codes.life_s, configuration.applications[flow.application]
    subject, text = compose(application, sending.channel, sending.code, life_s, flow.language, flow.reference)
    message_id = new_id()
    trail.note("message put into the outbox", channel=sending.channel.value, message=message_id)
    event = AuditEvent(
        Kind.CODE_SENT,
        now_ms,
        "engine",
        transaction_id=flow.id,
        reference=flow.reference,
        subject_id=flow.subject_id,
        details={"channel": sending.channel.value, "message": message_id, "goal": flow.goal},
    )
    return (
        *enqueue(
            parts.ring(),
            message_id=message_id,
            channel=sending.channel,
            to=sending.to,
            text=text,
            subject=subject,
            code=sending.code,
            user_name=flow.user_name,
            subject_id=flow.subject_id,
            application=flow.application,
            transaction_id=flow.id,
            reference=flow.reference,
            created_at_ms=now_ms,
            expires_at_ms=now_ms + life_s * 1000,
            keep=parts.keep_messages,
            sender=parts.sender,
        ),
        record(event),
    )
