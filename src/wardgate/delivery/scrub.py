"""What a gateway said, made fit to keep: no secret, no code, no address, one line, short.

Services echo what they were sent (`"message": "123456 is your code"`, `invalid key sk-...`), and answers end in the timeline,
which operators read. So everything that was in the request is taken out of the answer, also where it comes back encoded.
"""

import base64
import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from wardgate.delivery.port import Message

ANSWER_CHARS = 200
HIDDEN = "***"
# Gateways group digits in their answers: 123-456, +90 532 123 45 67.
_BETWEEN_DIGITS = r"[\s().\-]{0,2}"
_MIN_CODE_CHARS = 4
_PHONE_TAIL_DIGITS = 7


def scrub(answer: str, message: Message, secrets: Iterable[str] = ()) -> str:
    """`answer` on one line of at most 200 printable characters, without `secrets`, the message's text or codes, or its address.

    It is cut last, so that no half of a secret survives at the end.
    """
    for secret in secrets:
        for form in _encodings(secret):
            answer = answer.replace(form, HIDDEN)
    if message.text:
        answer = answer.replace(message.text, HIDDEN)
    answer = one_line(answer)
    for pattern in (*_codes(message.text), *_codes(message.subject), *_address(message.to)):
        answer = pattern.sub(HIDDEN, answer)
    return answer[:ANSWER_CHARS]


def one_line(text: str) -> str:
    """`text` with line ends, escapes and other unprintable characters as spaces: nothing that could forge a log line."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _encodings(secret: str) -> list[str]:
    """The forms in which a service may give a value back, longest first, so that no form is broken by a shorter one."""
    if not secret:
        return []
    raw = secret.encode()
    forms = {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        html.escape(secret),
        json.dumps(secret)[1:-1],
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }
    return sorted(forms, key=len, reverse=True)


def _codes(text: str) -> list[re.Pattern[str]]:
    """Every word of the text that has a digit in it and is long enough to be a code, also when it comes back in groups."""
    words = {word for word in re.findall(r"[^\W_]+", text) if len(word) >= _MIN_CODE_CHARS and any(c.isdigit() for c in word)}
    return [re.compile(_BETWEEN_DIGITS.join(map(re.escape, word)), re.IGNORECASE) for word in words]


def _address(to: str) -> list[re.Pattern[str]]:
    if "@" in to:
        return [re.compile(re.escape(to), re.IGNORECASE)]
    digits = re.sub(r"\D", "", to)
    if len(digits) < _PHONE_TAIL_DIGITS:
        return []
    tail = _BETWEEN_DIGITS.join(digits[-_PHONE_TAIL_DIGITS:])
    return [re.compile(rf"\+?(?:\d{_BETWEEN_DIGITS}){{0,12}}{tail}")]
