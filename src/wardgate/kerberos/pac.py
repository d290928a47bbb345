"""The account of a ticket: its SID, out of KERB_VALIDATION_INFO ([MS-PAC] section 2.5) as the domain controller has signed it.

The name in a ticket is not enough: an account may be given the name, or the user principal name, that another one has or had, and
domain controllers find accounts by either (CVE-2020-25717, CVE-2021-42287). The SID is never given twice.

The structure is NDR, version 1 ([MS-RPCE] section 2.2.6): fixed fields first, then in their order what its pointers point to.
"""

import struct
from typing import Final

from wardgate.errors import MessageError

MAX_BYTES: Final = 64 * 1024
# Type serialization version 1, little endian, and the first pointer.
_HEAD: Final = struct.Struct("<BBHI8xI")
_VERSION, _LITTLE_ENDIAN, _HEAD_BYTES, _FILLER = 1, 0x10, 8, 0xCCCCCCCC
_TIMES_BYTES: Final = 6 * 8
_TEXT: Final = struct.Struct("<HHI")
_TEXTS_BEFORE, _TEXTS_AFTER = 6, 2
_COUNTS: Final = struct.Struct("<HH")
_ACCOUNT: Final = struct.Struct("<IIII")
# User flags and the session key, between the groups and the server's name.
_KEY_BYTES: Final = 4 + 16
_POINTER: Final = struct.Struct("<I")
_CONFORMANT: Final = struct.Struct("<III")
_GROUP_BYTES: Final = 8
_SID_HEAD: Final = struct.Struct("<BB6s")
# A SID has at most fifteen parts after its authority, and the account's own is the last ([MS-DTYP] section 2.4.2).
_MAX_PARTS: Final = 14


class _Reader:
    """Takes one structure after the other. Raises MessageError where there is none."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, shape: struct.Struct) -> tuple[int, ...]:
        """The next fields."""
        return shape.unpack(self.bytes(shape.size))

    def bytes(self, count: int) -> bytes:
        """The next octets."""
        found = self._data[self._at : self._at + count]
        if len(found) < count:
            raise MessageError("the account in a ticket is cut short")
        self._at += count
        return found

    def align(self) -> None:
        """To the next multiple of four, where every structure here begins."""
        self.bytes(-self._at % 4)


def account_sid(logon_info: bytes) -> bytes:
    """The SID of the account in its binary form. Raises MessageError for what is no such structure."""
    if len(logon_info) > MAX_BYTES:
        raise MessageError("the account in a ticket is too large")
    reader = _Reader(logon_info)
    version, order, size, filler, pointer = reader.take(_HEAD)
    if (version, order, size, filler) != (_VERSION, _LITTLE_ENDIAN, _HEAD_BYTES, _FILLER) or not pointer:
        raise MessageError("the account in a ticket is written in a way that is not known")
    reader.bytes(_TIMES_BYTES)
    texts = [reader.take(_TEXT)[2] for _ in range(_TEXTS_BEFORE)]
    reader.take(_COUNTS)
    account, _, group_count, groups = reader.take(_ACCOUNT)
    reader.bytes(_KEY_BYTES)
    later = [reader.take(_TEXT)[2] for _ in range(_TEXTS_AFTER)]
    [domain] = reader.take(_POINTER)
    # Reserved, account control, and what tells of more SIDs and of resource groups ([MS-PAC] section 2.5).
    reader.bytes(8 + 4 + 4 + 8 + 8 + 4 + 4 + 4 + 4 + 4 + 4 + 4)
    for each in texts:
        _skip_text(reader, each)
    if groups:
        _skip_groups(reader, group_count)
    for each in later:
        _skip_text(reader, each)
    if not domain or not account:
        # Account 0: of another domain, whose SIDs stand elsewhere. It is none of this directory's.
        raise MessageError("a ticket tells no account of its own domain")
    return _sid(reader, account)


def _skip_text(reader: _Reader, pointer: int) -> None:
    if not pointer:
        return
    most, offset, count = reader.take(_CONFORMANT)
    if offset or count > most or most > MAX_BYTES:
        raise MessageError("a text in a ticket is longer than its room")
    reader.bytes(2 * count)
    reader.align()


def _skip_groups(reader: _Reader, expected: int) -> None:
    [count] = reader.take(_POINTER)
    if count != expected or count * _GROUP_BYTES > MAX_BYTES:
        raise MessageError("the groups of a ticket are not as many as it says")
    reader.bytes(count * _GROUP_BYTES)


def _sid(reader: _Reader, account: int) -> bytes:
    [parts] = reader.take(_POINTER)
    head = reader.bytes(_SID_HEAD.size)
    revision, count = head[0], head[1]
    if revision != 1 or count != parts or not 1 <= count <= _MAX_PARTS:
        raise MessageError("the domain's SID in a ticket is malformed")
    return bytes((revision, count + 1)) + head[2:] + reader.bytes(4 * count) + _POINTER.pack(account)
