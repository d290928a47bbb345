"""The border for what an operator or a file says about a user: each value is checked, bounded and brought into its form.

All functions raise UsageError with a reason that names the field and never repeats its value.
"""

import json
import re
import unicodedata
from collections.abc import Iterable

from wardgate.contacts import normalise_phone
from wardgate.crypto import Secret
from wardgate.directory.names import canonical_name
from wardgate.errors import MessageError, UsageError
from wardgate.passwords import MAX_PASSWORD_BYTES
from wardgate.storage.port import Value

MAX_MAIL_CHARS = 254
MAX_DISPLAY_NAME_CHARS = 256
MAX_GROUP_CHARS = 256
MAX_GROUPS = 500
MAX_LABEL_CHARS = 64
MAX_SECRET_BYTES = 128
MIN_SECRET_BYTES = 10
GOOD_SECRET_BYTES = 16

# One address without quotes, comments or blanks; the mail server has the last word about the rest.
_MAIL = re.compile(r"[^\s@\"(),:;<>\[\]\\]{1,64}@[^\s@\"(),:;<>\[\]\\]{1,189}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
# A spreadsheet that opens an exported list takes a cell with such a beginning for a formula.
_FORMULA_STARTS = ("=", "@")


def user_name(text: str) -> tuple[str, str]:
    """The name as it is shown, and its canonical form as it is compared."""
    key = canonical_name(text)
    if key is None:
        raise UsageError("username: empty, too long, or with characters that a name cannot have")
    if "\\" in key:
        raise UsageError("username: a backslash separates a domain from a name and cannot be part of it")
    if key.startswith(_FORMULA_STARTS):
        raise UsageError("username: cannot begin with = or @")
    return unicodedata.normalize("NFC", text).strip(), key


def display_name(text: str) -> str:
    """A person's name for people to read; may be empty."""
    name = _plain("display_name", text, MAX_DISPLAY_NAME_CHARS)
    if name.startswith(_FORMULA_STARTS):
        raise UsageError("display_name: cannot begin with = or @")
    return name


def mail_address(text: str) -> str | None:
    """A mail address; None for an empty text."""
    address = text.strip()
    if not address:
        return None
    if len(address) > MAX_MAIL_CHARS or not _MAIL.fullmatch(address) or canonical_name(address) is None:
        raise UsageError("mail: not a mail address")
    return address


def phone_number(text: str) -> str | None:
    """A phone number in E.164; None for an empty text. No realm's region is asked: the same file means the same anywhere."""
    if not text.strip():
        return None
    try:
        return normalise_phone(text.strip())
    except MessageError as error:
        message = error.message.removesuffix(", or set a default region")
        raise UsageError(f"phone: {message}") from error


def language_tag(text: str) -> str | None:
    """A language such as `en` or `pt-BR`; None for an empty text."""
    tag = text.strip()
    if tag and not _LANGUAGE.fullmatch(tag):
        raise UsageError("language: not a language tag such as en or tr")
    return tag or None


def group_names(names: Iterable[str]) -> tuple[str, ...]:
    """Group names in their order, without blanks around them, empty ones and repetitions."""
    groups = tuple(dict.fromkeys(filter(None, (_plain("groups", name, MAX_GROUP_CHARS) for name in names))))
    if len(groups) > MAX_GROUPS:
        raise UsageError(f"groups: more than {MAX_GROUPS}")
    return groups


def mail_columns(text: str) -> dict[str, Value]:
    """The columns of a mail address: as it is written, and as it is compared."""
    mail = mail_address(text)
    return {"mail": mail, "mail_key": canonical_name(mail) if mail else None}


def group_column(names: Iterable[str]) -> str:
    """The column of a user's groups."""
    return json.dumps(group_names(names), ensure_ascii=False, separators=(",", ":"))


def password(text: str) -> Secret:
    """A password in clear."""
    value = text.encode()
    if not 1 <= len(value) <= MAX_PASSWORD_BYTES:
        raise UsageError(f"password: not 1 to {MAX_PASSWORD_BYTES} bytes")
    return Secret(value)


def label(text: str) -> str:
    """What an authenticator is called; may be empty."""
    return _plain("label", text, MAX_LABEL_CHARS)


def secret_bytes(secret_hex: str) -> bytes:
    """The bytes of a shared secret given in hexadecimal, with or without blanks between the pairs."""
    try:
        secret = bytes.fromhex(secret_hex) if len(secret_hex) <= 4 * MAX_SECRET_BYTES else b""
    except ValueError:
        # Without the cause: its message would tell where in the secret the wrong character stands.
        raise UsageError("secret: not hexadecimal") from None
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise UsageError(f"secret: not {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
    return secret


def _plain(field: str, text: str, max_chars: int) -> str:
    if len(text) > max_chars:
        raise UsageError(f"{field}: longer than {max_chars} characters")
    plain = text.strip(" ")
    if plain.isascii() and plain.isprintable():
        return plain
    # Not isprintable: it refuses a no-break space, which names of people and groups do have.
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in plain):
        raise UsageError(f"{field}: holds a control character")
    return plain
