"""What is wrong with the settings of notices."""

from collections.abc import Iterator
from typing import Final

from wardgate.delivery.mail import parse_mailbox
from wardgate.engine.settings import NoticeSettings
from wardgate.errors import MessageError
from wardgate.risk.checking import is_zone
from wardgate.texts import LANGUAGES

MAX_DAYS: Final = 90
LEAST_CONTACT_DAYS: Final = 30
MOST_CONTACT_DAYS: Final = 730


def check_notices(settings: NoticeSettings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every fault with its place below `notices`."""
    if not is_zone(settings.time_zone):
        yield ("time_zone",), "is no time zone that is known here; write UTC or a name such as Europe/Istanbul"
    for number, language in enumerate(settings.ascii_only):
        if language not in LANGUAGES:
            yield ("ascii_only", number), f"must be one of {', '.join(LANGUAGES)}"
    for number, days in enumerate(settings.password_days):
        if not 1 <= days <= MAX_DAYS:
            yield ("password_days", number), f"must be between 1 and {MAX_DAYS}"
    if settings.contact_days and not LEAST_CONTACT_DAYS <= settings.contact_days <= MOST_CONTACT_DAYS:
        yield ("contact_days",), f"must be 0, or between {LEAST_CONTACT_DAYS} and {MOST_CONTACT_DAYS}"
    for number, address in enumerate(settings.security_mail):
        try:
            parse_mailbox(address)
        except MessageError:
            yield ("security_mail", number), "must be a mail address"
