"""Syslog messages: RFC 5424 for the message, RFC 5425 section 4.3 for the frame. Bytes out, no I/O."""

from typing import Final

from wardgate.clock import from_ms

# "log audit" (RFC 5424 section 6.2.1).
FACILITY: Final = 13
WARNING: Final = 4
INFORMATIONAL: Final = 6
MAX_HOST_CHARS: Final = 255
MAX_MSGID_CHARS: Final = 32
NIL: Final = "-"


def message(at_ms: int | None, host: str, kind: str, weight: int, text: str) -> bytes:
    """A whole message. `weight`: WARNING or INFORMATIONAL. `text` has no control characters.

    No structured data: it needs an enterprise number, and what would stand there is in the text. No BOM either: the text is
    MSG-ANY, because collectors look for `CEF:` or `{` as its first octets.
    """
    header = (
        f"<{FACILITY * 8 + weight}>1",
        _timestamp(at_ms),
        _name(host, MAX_HOST_CHARS),
        "wardgate",
        NIL,
        _name(kind, MAX_MSGID_CHARS),
        NIL,
    )
    return f"{' '.join(header)} {text}".encode("utf-8", "replace")


def frame(content: bytes) -> bytes:
    """A message with its length in octets in front: no content can begin a message of its own."""
    return str(len(content)).encode() + b" " + content


def _timestamp(at_ms: int | None) -> str:
    try:
        return NIL if at_ms is None else from_ms(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return NIL


def _name(text: str, most: int) -> str:
    """PRINTUSASCII without spaces; anything else could end the field."""
    return "".join(char if "!" <= char <= "~" else "_" for char in text[:most]) or NIL
