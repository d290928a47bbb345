"""The account in a ticket: what Samba's KDC wrote of a user, and what nobody should have written."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.errors import MessageError
from wardgate.kerberos.pac import MAX_BYTES, account_sid

# KERB_VALIDATION_INFO of the account with RID 1148 in a domain of Samba 4.17.
SAMBA = bytes.fromhex(
    "01100800cccccccca801000000000000000002005022f05d777add01ffffffffffffff7fffffffffffffff7fc291eb5d777add01c291eb5d"
    "777add01c2114553789bdd0116001600040002000000000008000200000000000c0002000000000010000200000000001400020000000000"
    "18000200010000007c04000001020000010000001c0002002000000000000000000000000000000000000000060008002000020008000a00"
    "240002002800020000000000000000001000000000000000000000000000000000000000000000000000000000000000010000002c000200"
    "0000000000000000000000000b000000000000000b0000006b00750073006500720038003800300035002d00320000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001000000"
    "01020000070000000400000000000000030000004400430031000000050000000000000004000000410043004d0045000400000001040000"
    "000000051500000099f4ec5cdb3a79e5dcf9823b01000000300002000700000001000000010100000000001201000000"
)
SID = bytes.fromhex("01050000000000051500000099f4ec5cdb3a79e5dcf9823b7c040000")
ACCOUNT_AT = SAMBA.index(struct.pack("<II", 1148, 513))
GROUP_COUNT_AT = ACCOUNT_AT + 8
DOMAIN_SID_AT = SAMBA.index(bytes.fromhex("0104000000000005"))


def changed(at: int, value: bytes) -> bytes:
    return SAMBA[:at] + value + SAMBA[at + len(value) :]


def test_account_is_the_domain_and_its_own_number() -> None:
    assert account_sid(SAMBA) == SID


def test_account_of_another_domain_is_nobodys() -> None:
    """Then the number is 0, and the SID stands elsewhere ([MS-PAC] section 2.5)."""
    with pytest.raises(MessageError):
        account_sid(changed(ACCOUNT_AT, bytes(4)))


@pytest.mark.parametrize(
    "malformed",
    [
        b"",
        SAMBA[:20],
        changed(0, b"\2"),
        changed(1, b"\0"),
        changed(16, bytes(4)),
        changed(GROUP_COUNT_AT, b"\xff\xff\xff\xff"),
        changed(DOMAIN_SID_AT, b"\2"),
        changed(DOMAIN_SID_AT + 1, b"\x0f"),
        changed(DOMAIN_SID_AT - 4, b"\0"),
        SAMBA[: DOMAIN_SID_AT + 10],
        SAMBA + bytes(MAX_BYTES),
    ],
)
def test_what_is_malformed_tells_no_account(malformed: bytes) -> None:
    with pytest.raises(MessageError):
        account_sid(malformed)


@given(st.integers(0, len(SAMBA) - 4), st.binary(min_size=1, max_size=4))
def test_whatever_is_written_there_is_a_sid_or_refused(at: int, value: bytes) -> None:
    try:
        found = account_sid(changed(at, value))
    except MessageError:
        return
    assert len(found) == 8 + 4 * found[1]


@given(st.binary(max_size=600))
def test_anything_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        account_sid(data)
