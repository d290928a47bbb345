"""Puts a one-time code into words, in the person's language and the application's own text, and into the outbox."""

from collections.abc import Mapping
from typing import Protocol

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import new_id
from wardgate.delivery.outbox import enqueue
from wardgate.delivery.port import Channel
from wardgate.engine.runtime import Application, EngineParts
from wardgate.factors.port import Sending
from wardgate.storage.port import Operation
from wardgate.texts import Text, language_of, render

SMS_MAX_CHARS = 400


class ForWhom(Protocol):
    """The login or self-service flow that a code belongs to."""

    @property
    def id(self) -> str: ...
    @property
    def reference(self) -> str: ...
    @property
    def goal(self) -> str: ...
    @property
    def application(self) -> str: ...
    @property
    def subject_id(self) -> str: ...
    @property
    def user_name(self) -> str: ...
    @property
    def language(self) -> str: ...


def send_code(
    parts: EngineParts, application: Application, owner: ForWhom, sending: Sending, life_s: int, trail: Trail
) -> tuple[Operation, ...]:
    """The outbox row of a code and the audit event that it was sent, for the commit of its question."""
    now_ms = to_ms(parts.clock.now())
    subject, text = compose(application, sending.channel, sending.code, life_s, owner.language, owner.reference)
    message_id = new_id()
    trail.note("message put into the outbox", channel=sending.channel.value, message=message_id)
    event = AuditEvent(
        Kind.CODE_SENT,
        now_ms,
        "engine",
        transaction_id=owner.id,
        reference=owner.reference,
        subject_id=owner.subject_id,
        details={"channel": sending.channel.value, "message": message_id, "goal": str(owner.goal)},
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
            user_name=owner.user_name,
            subject_id=owner.subject_id,
            application=owner.application,
            transaction_id=owner.id,
            reference=owner.reference,
            created_at_ms=now_ms,
            expires_at_ms=now_ms + life_s * 1000,
            keep=parts.keep_messages,
            sender=parts.sender,
        ),
        record(event),
    )


def compose(application: Application, channel: Channel, code: str, life_s: int, language: str, reference: str) -> tuple[str, str]:
    """Subject and text of the message. The SMS ends with a domain-bound line where the application names its host.

    The domain-bound line (`@host #code`) lets a phone offer the code only to that host's pages.
    """
    values: dict[str, str | int] = {
        "code": code,
        "application": application.title,
        "min": max(1, life_s // 60),
        "ref": reference,
    }
    settings = application.settings
    if channel is Channel.SMS:
        text = _own(settings.sms_text, language, values) or render(Text("message.sms", values), language)
        text = text.strip()[:SMS_MAX_CHARS]
        return "", f"{text}\n@{settings.sms_domain} #{code}" if settings.sms_domain else text
    subject = _own(settings.email_subject, language, values) or render(Text("message.email_subject", values), language)
    text = _own(settings.email_text, language, values) or render(Text("message.email", values), language)
    return " ".join(subject.split()), text.strip() + "\n"


def _own(texts: Mapping[str, str], language: str, values: Mapping[str, str | int]) -> str | None:
    """The application's own text. Places are filled by plain replacement: an operator's text is no format program."""
    own = texts.get(language_of(language))
    if own is None:
        return None
    for name, value in values.items():
        own = own.replace("{" + name + "}", str(value))
    return own
