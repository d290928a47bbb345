"""Puts a one-time code into words, in the person's language and the application's own text, and into the outbox."""

from collections.abc import Mapping
from typing import Final, Protocol

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import new_id
from wardgate.delivery.gsm import narrowest, parts_of
from wardgate.delivery.outbox import enqueue
from wardgate.delivery.port import Channel
from wardgate.engine.runtime import Application, EngineConfiguration, EngineParts
from wardgate.engine.wording import cut
from wardgate.factors.port import Sending
from wardgate.storage.port import Operation
from wardgate.texts import Text, language_of, render_in_message, values_in_message

SMS_MAX_CHARS = 400
# How long names may be, until the whole fits one part.
_SHORTENED: Final = (60, 30, 20, 12)
_SIGN_IN: Final = "login"
# What a code may be for, beside what is a login by any other name.
_ACTS: Final = frozenset({"login", "reset", "unlock", "activate", "change"})


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
    def realm(self) -> str: ...
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
    host = _host_of(parts.public_url)
    subject, text = compose(parts.configuration(), application, sending, life_s, owner, host)
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


def compose(
    configuration: EngineConfiguration, application: Application, sending: Sending, life_s: int, owner: ForWhom, host: str = ""
) -> tuple[str, str]:
    """Subject and text of the message. A subject bears no code: locked screens show it.

    `host`: where our own pages are. An SMS ends with a line that binds the code to a host (`@host #code`), where the application
    names one or is our own pages: a phone offers the code there and nowhere else.
    """
    settings, language = application.settings, owner.language
    values: dict[str, str | int] = {
        "code": sending.code,
        "application": application.title,
        "min": max(1, life_s // 60),
        "ref": owner.reference,
    }
    ours = settings.kind == "portal"
    if sending.channel is Channel.SMS:
        bound = settings.sms_domain or (host if ours else "")
        line = f"\n@{bound} #{sending.code}" if bound else ""
        ascii_only = language_of(language) in configuration.notices.ascii_only
        names = (configuration.brand_of(owner.realm), application.title)
        for most in _SHORTENED:
            cut_names = [cut(name, most) for name in names]
            said = {**values, **_named(cut_names[0], cut_names[1], ours, owner.goal, language)}
            own = _own(settings.sms_text, language, said)
            text = (own or render_in_message(Text("message.sms", said), language)).strip()[:SMS_MAX_CHARS]
            found = text + line
            if ascii_only or (own is None and parts_of(found) > 1):
                found = narrowest(found, ascii_only)
            if parts_of(found) == 1 or own is not None:
                break
        return "", found
    said = {**values, **_named(configuration.brand_of(owner.realm), application.title, ours, owner.goal, language)}
    subject = _own(settings.email_subject, language, said) or render_in_message(Text("message.email_subject", said), language)
    text = _own(settings.email_text, language, said) or render_in_message(Text("message.email", said), language)
    return " ".join(subject.split()), text.strip() + "\n"


def _host_of(public_url: str) -> str:
    """The name in the address of our pages, without its port."""
    host = public_url.partition("://")[2].partition("/")[0]
    return host if host.endswith("]") else host.partition(":")[0]


def _named(brand: str, title: str, ours: bool, goal: str, language: str) -> dict[str, str | int]:
    """Who sends the code and what it is for. Sign-in to something else names that: who did not begin it learns what was meant."""
    kept = goal if goal in _ACTS else _SIGN_IN
    signs_in = kept == _SIGN_IN
    act = Text("message.act_here") if signs_in and ours else Text(f"message.act_{kept}", {"application": title})
    warning = Text("message.warn_password" if signs_in else "message.warn")
    return {"brand": brand, "act": render_in_message(act, language), "warning": render_in_message(warning, language)}


def _own(texts: Mapping[str, str], language: str, values: Mapping[str, str | int]) -> str | None:
    """The application's own text. Places are filled by plain replacement: an operator's text is no format program."""
    own = texts.get(language_of(language))
    if own is None:
        return None
    for name, value in values_in_message(values, language).items():
        own = own.replace("{" + name + "}", str(value))
    return own
