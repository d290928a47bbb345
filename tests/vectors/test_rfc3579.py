"""RFC 3579 section 3.2 (which replaces RFC 2869 section 5.14): Message-Authenticator.

The RFCs print no octets. These packets are RFC 2865's first exchange with the attribute put in front; another maker's
client and server accept both.
"""

from wardgate.crypto import Secret
from wardgate.radius.packet import (
    Code,
    MessageAuthenticator,
    SharedSecret,
    Type,
    check_message_authenticator,
    check_reply_message_authenticator,
    check_response_authenticator,
    decode,
    encode_reply,
    encode_request,
)

SECRET = SharedSecret(Secret(b"xyzzy5461"))
REQUEST = bytes.fromhex(
    "0100004a0f403f9473978057bd83d5cb98f4227a50128f16b45f90d3494989a4f14f4421c61801066e656d6f02120dbe708d93d413ce3196"
    "e43f782a0aee0406c0a80110050600000003"
)
CHALLENGE = bytes.fromhex(
    "0b0000436aaa8dc6a426674700d9d6c1fc861bcb5012448665be44f8ed21f60ff62ee8d54df5120b456e746572204f545018123031323334"
    "3536373839616263646566"
)


def test_request_is_valid_and_is_encoded_again() -> None:
    packet = decode(REQUEST)
    assert check_message_authenticator(packet, SECRET) is MessageAuthenticator.VALID
    rest = packet.attributes[1:]
    assert encode_request(Code.ACCESS_REQUEST, 0, packet.authenticator, rest, SECRET, "first") == REQUEST


def test_challenge_is_valid_and_is_encoded_again() -> None:
    request, reply = decode(REQUEST), decode(CHALLENGE)
    assert check_reply_message_authenticator(reply, request, SECRET) is MessageAuthenticator.VALID
    assert check_response_authenticator(reply, request, SECRET)
    attributes = [(Type.REPLY_MESSAGE, b"Enter OTP"), (Type.STATE, b"0123456789abcdef")]
    assert encode_reply(request, Code.ACCESS_CHALLENGE, attributes, SECRET) == CHALLENGE


def test_another_secret_makes_it_wrong() -> None:
    other = SharedSecret(Secret(b"xyzzy5462"))
    request = decode(REQUEST)
    assert check_message_authenticator(request, other) is MessageAuthenticator.WRONG
    assert check_reply_message_authenticator(decode(CHALLENGE), request, other) is MessageAuthenticator.WRONG


def test_it_covers_the_packet_wherever_it_stands() -> None:
    packet = decode(REQUEST)
    rest = packet.attributes[1:]
    last = decode(encode_request(Code.ACCESS_REQUEST, 0, packet.authenticator, rest, SECRET, "last"))
    assert last.attributes[-1][0] == Type.MESSAGE_AUTHENTICATOR
    assert check_message_authenticator(last, SECRET) is MessageAuthenticator.VALID
    none = decode(encode_request(Code.ACCESS_REQUEST, 0, packet.authenticator, rest, SECRET, "none"))
    assert check_message_authenticator(none, SECRET) is MessageAuthenticator.ABSENT
