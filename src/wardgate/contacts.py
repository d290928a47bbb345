"""Phone numbers and mail addresses: bringing each into its form, and masking both for a screen that others may see."""

import re

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from wardgate.errors import MessageError

MAX_NUMBER_CHARS = 40
MASKED_DOMAIN_CHARS = 24
MAX_MAIL_CHARS = 254
# One address without quotes, comments or blanks; the mail server has the last word about the rest.
_MAIL = re.compile(r"[^\s@\"(),:;<>\[\]\\]{1,64}@[^\s@\"(),:;<>\[\]\\]{1,189}")
# Messages to these cost more than others, and somebody has a share in it; to the rest of them nobody reads any.
_COSTLY = frozenset(
    (
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.UAN,
        PhoneNumberType.PAGER,
        PhoneNumberType.VOICEMAIL,
    )
)
_NOT_SHOWN = re.compile(r"[^A-Za-z0-9._+-]")


def normalise_phone(number: str, default_region: str | None = None) -> str:
    """Return `number` in E.164, such as `+905321234567`.

    `default_region`: ISO 3166 code of the country whose national notation is understood (`0532 123 45 67` with `TR`);
    without it only numbers with a country code pass. Raises MessageError (`phone_malformed`); the message does not repeat
    the number. A number of the right length for its country passes even when no such block is known to be in use: tables of
    blocks grow stale, and a number that nobody has is the gateway's to refuse.
    """
    if len(number) > MAX_NUMBER_CHARS:
        raise MessageError(f"the phone number is longer than {MAX_NUMBER_CHARS} characters", "phone_malformed")
    try:
        parsed = phonenumbers.parse(number, default_region)
    except phonenumbers.NumberParseException as error:
        cure = "" if default_region else "; write it with + and the country code, or set a default region"
        raise MessageError(f"the phone number cannot be read{cure}", "phone_malformed") from error
    if parsed.extension or not phonenumbers.is_possible_number(parsed):
        raise MessageError("the phone number has not the right length for its country, or has an extension", "phone_malformed")
    return str(phonenumbers.format_number(parsed, PhoneNumberFormat.E164))


def normalise_mail(address: str) -> str:
    """Return one mail address without blanks around it, its domain in lower case; the rest as it was written.

    Raises MessageError (`mail_malformed`); the message does not repeat the address.
    """
    plain = address.strip()
    if len(plain) > MAX_MAIL_CHARS or not _MAIL.fullmatch(plain) or not plain.isprintable():
        raise MessageError("not a mail address", "mail_malformed")
    local, _, domain = plain.rpartition("@")
    return f"{local}@{domain.lower()}"


def is_costly(e164: str) -> bool:
    """Whether a number belongs to those that nobody has for receiving messages: premium rates, shared costs, pagers."""
    return phonenumbers.number_type(phonenumbers.parse(e164, None)) in _COSTLY


def national_digits(e164: str) -> str:
    """The number as one dials it inside its country, digits only: `05321234567` for `+905321234567`."""
    parsed = phonenumbers.parse(e164, None)
    return re.sub(r"\D", "", phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL))


def mask_phone(number: str) -> str:
    """`+90 *** ** 67` for `+905321234567`: country code and last two digits. Short, ASCII, fit for a Reply-Message."""
    digits = re.sub(r"[^0-9]", "", number)
    tail = digits[-2:] if len(digits) >= 7 else "**"
    try:
        country = f"+{phonenumbers.parse(number, None).country_code} "
    except phonenumbers.NumberParseException:
        country = ""
    return f"{country}*** ** {tail}"


def mask_mail(address: str) -> str:
    """`c***@example.test` for `carol@example.test`. Short, ASCII, and free of what a firewall's login page would stumble over.

    Of a name the first letter is shown, and of one with a single letter none. Characters that a Reply-Message cannot carry
    become `*`; a long domain is cut in its middle.
    """
    local, at, domain = address.rpartition("@")
    if not at:
        return "***"
    first = _shown(local[:1]) if len(local) > 1 else ""
    return f"{first}***@{_short_domain(domain)}"


def _shown(text: str) -> str:
    return _NOT_SHOWN.sub("*", text)


def _short_domain(domain: str) -> str:
    domain = _shown(domain)
    if len(domain) <= MASKED_DOMAIN_CHARS:
        return domain
    half = (MASKED_DOMAIN_CHARS - 3) // 2
    return f"{domain[:half]}***{domain[-half:]}"
