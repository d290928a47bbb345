"""RFC 2865 section 7: the four printed exchanges, parsed and put together again octet by octet."""

import pytest

from wardgate.crypto import Secret
from wardgate.radius import chap, pap
from wardgate.radius.packet import Code, SharedSecret, Type, check_response_authenticator, decode, encode

SECRET = SharedSecret(Secret(b"xyzzy5461"))

TELNET_REQUEST = bytes.fromhex(
    "010000380f403f9473978057bd83d5cb98f4227a01066e656d6f02120dbe708d93d413ce3196e43f782a0aee0406c0a80110050600000003"
)
TELNET_ACCEPT = bytes.fromhex("0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103")
CHAP_REQUEST = bytes.fromhex(
    "010100472aee86f08d0d55969ca5978e0d3367a20108666c6f707379031316e97557c316185895f293ff63440772750406c0a80110"
    "050600000014060600000002070600000001"
)
CHAP_ACCEPT = bytes.fromhex(
    "0201003815efbc7dab26cfa3dc34d9c03c8601a40606000000020706000000010806fffffffe0a06000000020d06000000010c06000005dc"
)
CHALLENGED_REQUEST = bytes.fromhex(
    "01020039f3a47a1f6a6d76710b947ab93041a03901076d6f707379021233657573778289b570885e15084825c50406c0a80110050600000007"
)
CHALLENGE = bytes.fromhex(
    "0b02004e36f3c8764ae8c71157403c0c71ff9c4512304368616c6c656e67652033323736393433302e2020456e74657220726573706f6e7365"
    "2061742070726f6d70742e180a3332373639343330"
)
# The RFC prints the State of this packet as `18 10`, with its length of ten written in decimal; the Length field and the
# packet before it say 0a.
ANSWER_REQUEST = bytes.fromhex(
    "01030043b122556d428a13d0d6253807c457ecf001076d6f7073790212692c1f205fc081b919b95195f561a5810406c0a80110050600000007"
    "180a3332373639343330"
)
REJECT = bytes.fromhex("03030014a42f4fca45916c4e09c8340f9e746aa0")
UNRELATED_REQUEST = bytes.fromhex("01000014" + "00" * 16)

EXCHANGES = [
    pytest.param(TELNET_REQUEST, TELNET_ACCEPT, id="7.1"),
    pytest.param(CHAP_REQUEST, CHAP_ACCEPT, id="7.2"),
    pytest.param(CHALLENGED_REQUEST, CHALLENGE, id="7.3-challenge"),
    pytest.param(ANSWER_REQUEST, REJECT, id="7.3-answer"),
]


@pytest.mark.parametrize(("request_octets", "reply_octets"), EXCHANGES)
def test_exchange_is_parsed_and_encoded_again(request_octets: bytes, reply_octets: bytes) -> None:
    for octets in (request_octets, reply_octets):
        packet = decode(octets)
        assert packet.raw == octets
        assert encode(packet.code, packet.identifier, packet.authenticator, packet.attributes) == octets


@pytest.mark.parametrize(("request_octets", "reply_octets"), EXCHANGES)
def test_response_authenticator_fits_the_request(request_octets: bytes, reply_octets: bytes) -> None:
    request, reply = decode(request_octets), decode(reply_octets)
    assert check_response_authenticator(reply, request, SECRET)
    assert not check_response_authenticator(reply, decode(UNRELATED_REQUEST), SECRET)
    assert not check_response_authenticator(reply, request, SharedSecret(Secret(b"xyzzy5462")))


@pytest.mark.parametrize(
    ("octets", "password"),
    [(TELNET_REQUEST, b"arctangent"), (CHALLENGED_REQUEST, b"challenge"), (ANSWER_REQUEST, b"99101462")],
)
def test_user_password_is_revealed_and_hidden_again(octets: bytes, password: bytes) -> None:
    packet = decode(octets)
    hidden = packet.first(Type.USER_PASSWORD)
    assert hidden is not None
    assert pap.reveal(hidden, packet.authenticator, SECRET) == password
    assert pap.hide(password, packet.authenticator, SECRET) == hidden


def test_password_of_two_blocks() -> None:
    """Section 5.2 prints no long password; this value was agreed on by two other implementations."""
    authenticator = decode(TELNET_REQUEST).authenticator
    hidden = bytes.fromhex("0fa3618b97d9008b378d964c1d0a688ff81cf1b33b8febbd4ef4b93620a86e24")
    assert pap.hide(b"correct horse battery staple", authenticator, SECRET) == hidden
    assert pap.reveal(hidden, authenticator, SECRET) == b"correct horse battery staple"


def test_chap_password_of_7_2() -> None:
    packet = decode(CHAP_REQUEST)
    assert packet.first(Type.CHAP_PASSWORD) == chap.chap_password(0x16, b"arctangent", packet.authenticator)


def test_attributes_of_7_3() -> None:
    challenge = decode(CHALLENGE)
    assert challenge.code is Code.ACCESS_CHALLENGE
    assert challenge.attributes == (
        (Type.REPLY_MESSAGE, b"Challenge 32769430.  Enter response at prompt."),
        (Type.STATE, b"32769430"),
    )
    assert decode(ANSWER_REQUEST).first(Type.STATE) == b"32769430"
