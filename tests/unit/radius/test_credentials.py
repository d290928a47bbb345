"""Naming the proof that a request carries."""

import pytest

from wardgate.radius.credentials import Credential, credential
from wardgate.radius.packet import Attribute, Code, decode, encode, vendor_attribute

PAP = (2, bytes(16))
CHAP = (3, bytes(17))
EAP = (79, b"\x02\x01\x00\x05\x01")
STATE = (24, b"state")
MS_CHAP = vendor_attribute(311, 1, bytes(50))
MS_CHAP2 = vendor_attribute(311, 25, bytes(50))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ([PAP], Credential.PAP),
        ([PAP, STATE], Credential.PAP),
        ([CHAP], Credential.CHAP),
        ([CHAP, (60, bytes(16))], Credential.CHAP),
        ([EAP, EAP], Credential.EAP),
        ([MS_CHAP, vendor_attribute(311, 11, bytes(8))], Credential.MS_CHAP),
        ([MS_CHAP2], Credential.MS_CHAP),
        ([STATE], Credential.STATE),
        ([], Credential.NOTHING),
        ([vendor_attribute(311, 11, bytes(16))], Credential.NOTHING),
        ([vendor_attribute(9, 25, bytes(16))], Credential.NOTHING),
        ([PAP, CHAP], Credential.SEVERAL),
        ([PAP, EAP], Credential.SEVERAL),
        ([PAP, MS_CHAP2], Credential.SEVERAL),
        ([PAP, PAP], Credential.SEVERAL),
        ([CHAP, CHAP], Credential.SEVERAL),
    ],
)
def test_credential(attributes: list[Attribute], expected: Credential) -> None:
    assert credential(decode(encode(Code.ACCESS_REQUEST, 1, bytes(16), [(1, b"ada"), *attributes]))) is expected
