"""RFC 5997 section 6: Status-Server queries and their printed answers. The secret is `xyzzy5461`."""

import pytest

from wardgate.crypto import Secret
from wardgate.radius.packet import (
    Code,
    MessageAuthenticator,
    SharedSecret,
    Type,
    check_message_authenticator,
    check_response_authenticator,
    decode,
    encode,
    encode_reply,
    encode_request,
)

SECRET = SharedSecret(Secret(b"xyzzy5461"))
AUTHENTICATION = bytes.fromhex("0cda00268a54f4686fb394c52866e302185d062350125a665e2e1e8411f3e243822097c84fa3")
AUTHENTICATION_REPLY = bytes.fromhex("02da0014ef0d552a4bf2d693ec2b6fe8b5411d66")
ACCOUNTING = bytes.fromhex("0cb30026925f6b66dd5fed571fcb1db7ad3882605012e8d6eabda910875cd91fdade26367858")
ACCOUNTING_REPLY = bytes.fromhex("05b300140f6f92145f107e2f504e860a4860669c")
WITH_ADDRESS = bytes.fromhex("0c47002cbf58de56ae408ad3b70c8513f9b03fbe0406c00002105012852d6fec61e7ed74b8e32dac2f2a5fb2")


@pytest.mark.parametrize("octets", [AUTHENTICATION, ACCOUNTING, WITH_ADDRESS], ids=["6.1", "6.2", "6.3"])
def test_query_is_valid_and_is_encoded_again(octets: bytes) -> None:
    query = decode(octets)
    assert query.code is Code.STATUS_SERVER
    assert check_message_authenticator(query, SECRET) is MessageAuthenticator.VALID
    rest = [pair for pair in query.attributes if pair[0] != Type.MESSAGE_AUTHENTICATOR]
    placing = "last" if rest else "first"
    assert encode_request(Code.STATUS_SERVER, query.identifier, query.authenticator, rest, SECRET, placing) == octets


@pytest.mark.parametrize(
    ("query", "reply"), [(AUTHENTICATION, AUTHENTICATION_REPLY), (ACCOUNTING, ACCOUNTING_REPLY)], ids=["6.1", "6.2"]
)
def test_printed_answer_fits_and_is_encoded_again(query: bytes, reply: bytes) -> None:
    packet = decode(reply)
    assert check_response_authenticator(packet, decode(query), SECRET)
    assert encode(packet.code, packet.identifier, packet.authenticator, packet.attributes) == reply


def test_our_answer_carries_a_message_authenticator() -> None:
    """Section 3 has the server add it; the printed answers of 2010 leave it out."""
    query = decode(AUTHENTICATION)
    reply = decode(encode_reply(query, Code.ACCESS_ACCEPT, (), SECRET))
    assert [kind for kind, _ in reply.attributes] == [Type.MESSAGE_AUTHENTICATOR]
    assert check_response_authenticator(reply, query, SECRET)
