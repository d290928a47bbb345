"""Which numbers text messages may go to."""

from wardgate.engine.settings import SendingSettings


def is_allowed(number_e164: str | None, settings: SendingSettings) -> bool:
    """Whether SMS may go to this number at all."""
    return not settings.sms_prefixes or (number_e164 or "").startswith(settings.sms_prefixes)
