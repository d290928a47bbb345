"""BER as LDAP uses it: single-octet tags and definite lengths only (RFC 4511 section 5.1). Bytes in, values out.

Every malformed input ends in MessageError. Lengths are compared with what is there before anything is taken, so a claimed length
costs nothing.
"""

from typing import Final

from wardgate.errors import MessageError

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
MAX_ELEMENTS: Final = 500_000
"""How many elements of one message are read: an empty value takes two octets on the wire and much more as an object."""
MAX_INTEGER_BYTES: Final = 8
_MAX_LENGTH_OCTETS: Final = 4

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTETS: Final = 0x04
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30
SET: Final = 0x31


def malformed(problem: str) -> MessageError:
    """The one error of the codec."""
    return MessageError(f"malformed LDAP message: {problem}", "ldap_malformed")


# --- encoding ---------------------------------------------------------------------------------------------------------------


def tlv(tag: int, content: bytes) -> bytes:
    """One element with the shortest length."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    if size < 0x100:
        return bytes((tag, 0x81, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """A signed integer in as few octets as hold it."""
    if 0 <= value < 0x80:
        return bytes((tag, 1, value))
    return tlv(tag, value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, signed=True))


def boolean(value: bool, tag: int = BOOLEAN) -> bytes:
    """TRUE is 0xFF, as RFC 4511 section 5.1 demands."""
    return bytes((tag, 1, 0xFF if value else 0))


def octets(value: bytes | str, tag: int = OCTETS) -> bytes:
    """An octet string; text as UTF-8."""
    return tlv(tag, value.encode() if isinstance(value, str) else value)


def sequence(*elements: bytes, tag: int = SEQUENCE) -> bytes:
    """Elements that are encoded already, in one."""
    return tlv(tag, b"".join(elements))


# --- decoding ---------------------------------------------------------------------------------------------------------------


def head(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, and where the content begins and ends, of the element at `at`; it must end by `end`."""
    if at + 2 > end:
        raise malformed("cut off")
    tag, size, at = data[at], data[at + 1], at + 2
    if tag & 0x1F == 0x1F:
        raise malformed("a tag of several octets")
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= _MAX_LENGTH_OCTETS:
            raise malformed("an indefinite or a too long length")
        if at + count > end:
            raise malformed("cut off")
        size = int.from_bytes(data[at : at + count])
        at += count
    if at + size > end:
        raise malformed("an element ends beyond what holds it")
    return tag, at, at + size


def frame_bytes(data: bytes, at: int = 0) -> int | None:
    """How long the message that begins at `at` is in all; None while that cannot be told yet."""
    there = len(data) - at
    if there < 1:
        return None
    if data[at] != SEQUENCE:
        raise malformed("not LDAP")
    if there < 2:
        return None
    size = data[at + 1]
    if size < 0x80:
        return size + 2
    count = size & 0x7F
    if not 1 <= count <= _MAX_LENGTH_OCTETS:
        raise malformed("an indefinite or a too long length")
    if there < 2 + count:
        return None
    total = int.from_bytes(data[at + 2 : at + 2 + count]) + 2 + count
    if total > MAX_MESSAGE_BYTES:
        raise malformed(f"a message of more than {MAX_MESSAGE_BYTES} octets")
    return total


def whole_number(data: bytes, start: int, stop: int) -> int:
    """The content of an INTEGER or ENUMERATED."""
    if stop - start == 1:
        return data[start] if data[start] < 0x80 else data[start] - 0x100
    if not start < stop <= start + MAX_INTEGER_BYTES:
        raise malformed("a number of no or too many octets")
    return int.from_bytes(data[start:stop], signed=True)


class Reader:
    """Reads elements one after the other; for the values of controls and extended responses. Raises MessageError."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, stop: int | None = None) -> None:
        self._data = data
        self._at = start
        self._end = len(data) if stop is None else stop

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self._at < self._end

    @property
    def tag(self) -> int | None:
        """The tag of the next element; None at the end."""
        return self._data[self._at] if self.more else None

    def enter(self, tag: int = SEQUENCE) -> "Reader":
        """A reader of what the next element holds, which must have this tag."""
        start, stop = self._take(tag)
        return Reader(self._data, start, stop)

    def octets(self, tag: int = OCTETS) -> bytes:
        """The next element's content."""
        start, stop = self._take(tag)
        return self._data[start:stop]

    def integer(self, tag: int = INTEGER) -> int:
        """The next element as a number."""
        start, stop = self._take(tag)
        return whole_number(self._data, start, stop)

    def boolean(self, tag: int = BOOLEAN) -> bool:
        """The next element as a truth value."""
        start, stop = self._take(tag)
        if stop - start != 1:
            raise malformed("a truth value of more than one octet")
        return self._data[start] != 0

    def skip(self) -> None:
        """Leave the next element out."""
        _, _, self._at = head(self._data, self._at, self._end)

    def end(self) -> None:
        """Nothing may be left."""
        if self.more:
            raise malformed("something stands behind the last element")

    def _take(self, expected: int) -> tuple[int, int]:
        tag, start, stop = head(self._data, self._at, self._end)
        if tag != expected:
            raise malformed(f"tag {tag:#04x} where {expected:#04x} belongs")
        self._at = stop
        return start, stop
