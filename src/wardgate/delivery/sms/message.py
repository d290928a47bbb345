"""What every SMS service needs of a message, whatever it speaks: checked before anything is sent. Pure."""

import re

from wardgate.delivery.port import Message
from wardgate.errors import GatewayRefused

MAX_TEXT_CHARS = 1_600
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def check_message(gateway: str, message: Message) -> None:
    """Raise GatewayRefused for a number that is not one E.164 number, a malformed id, and a text that no service could take."""
    if not _E164.fullmatch(message.to):
        raise GatewayRefused(f"sms gateway {gateway}: the number is not in E.164")
    if not _ID.fullmatch(message.id) or len(message.text) > MAX_TEXT_CHARS or not _is_text(message.text):
        raise GatewayRefused(f"sms gateway {gateway}: the message's id is malformed, or its text is too long or not Unicode")


def _is_text(text: str) -> bool:
    """Half of a surrogate pair is no character: it cannot be encoded."""
    return not any("\ud800" <= char <= "\udfff" for char in text)
