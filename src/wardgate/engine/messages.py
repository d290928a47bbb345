"""Puts a one-time code into words for SMS and e-mail, in the person's language and the application's own text."""

from collections.abc import Mapping

from wardgate.delivery.port import Channel
from wardgate.engine.runtime import Application
from wardgate.texts import Text, language_of, render

SMS_MAX_CHARS = 400


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
