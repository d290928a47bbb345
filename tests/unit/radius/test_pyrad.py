"""Another maker's codec as an oracle: what pyrad builds we read, what we build pyrad reads."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrad.dictionary import Dictionary as PyradDictionary
from pyrad.packet import AccessAccept, AccessChallenge, AccessReject, AcctPacket, AuthPacket

from wardgate.crypto import Secret
from wardgate.radius import pap
from wardgate.radius.attributes import AttributeDefinition, Kind, Value, encode_attribute
from wardgate.radius.client import build_access_request, build_accounting_request, build_status_server, check_reply
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.packet import (
    Code,
    MessageAuthenticator,
    SharedSecret,
    Type,
    check_accounting_authenticator,
    check_message_authenticator,
    decode,
    encode_reply,
)
from wardgate.radius.salted import Hiding, reveal_salted

CLEAR_SECRET = b"a shared secret of 28 octets"
SECRET = SharedSecret(Secret(CLEAR_SECRET))

_THEIR_KINDS = {
    Kind.STRING: "string",
    Kind.OCTETS: "octets",
    Kind.INTEGER: "integer",
    Kind.IPV4: "ipaddr",
    Kind.IPV6: "ipv6addr",
    Kind.IPV6_PREFIX: "ipv6prefix",
    Kind.INTERFACE_ID: "ifid",
    Kind.DATE: "date",
}


def their_dictionary() -> Any:
    """Our tables, written in the format that pyrad reads."""
    vendors = sorted({row.vendor for row in BUILT_IN if row.vendor is not None})
    lines = [f"VENDOR V{number} {number}" for number in vendors] + [_their_row(row) for row in BUILT_IN if row.vendor is None]
    for number in vendors:
        lines += [
            f"BEGIN-VENDOR V{number}",
            *(_their_row(row) for row in BUILT_IN if row.vendor == number),
            f"END-VENDOR V{number}",
        ]
    return PyradDictionary(io.StringIO("\n".join(lines) + "\n"))


def _their_row(row: AttributeDefinition) -> str:
    flags = ["has_tag"] * row.tagged + ["encrypt=2"] * row.encrypted
    return f"ATTRIBUTE {row.name} {row.number} {_THEIR_KINDS[row.kind]} {','.join(flags)}".rstrip()


DICTIONARY = their_dictionary()
# pyrad reads passwords as text, so this is text; that ours are octets is tested elsewhere.
passwords = st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text)
names = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


def theirs(user: str, password: str, *, signed: bool) -> tuple[Any, bytes]:
    packet = AuthPacket(secret=CLEAR_SECRET, dict=DICTIONARY, id=77)
    packet.authenticator = packet.CreateAuthenticator()
    if signed:
        packet.add_message_authenticator()
    packet["User-Name"] = user
    packet["User-Password"] = packet.PwCrypt(password)
    packet["NAS-IP-Address"] = "192.0.2.1"
    packet["PaloAlto-Client-Source-IP"] = "203.0.113.7"
    packet["Proxy-State"] = [b"one", b"two"]
    return packet, packet.RequestPacket()


@settings(max_examples=50)
@given(user=names, password=passwords, signed=st.booleans())
def test_we_read_their_request(user: str, password: str, signed: bool) -> None:
    _, octets = theirs(user, password, signed=signed)
    request = decode(octets)
    expected = MessageAuthenticator.VALID if signed else MessageAuthenticator.ABSENT
    assert check_message_authenticator(request, SECRET) is expected
    assert request.first(Type.USER_NAME) == user.encode()
    assert pap.reveal(request.first(Type.USER_PASSWORD) or b"", request.authenticator, SECRET) == password.encode()
    assert request.vendor(25461, 7) == [b"203.0.113.7"]


@settings(max_examples=50)
@given(user=names, password=passwords)
def test_they_read_our_request(user: str, password: str) -> None:
    for placing in ("first", "last"):
        request = build_access_request(user, password, SECRET, identifier=9, message_authenticator=placing)  # type: ignore[arg-type]
        packet = AuthPacket(packet=request.raw, secret=CLEAR_SECRET, dict=DICTIONARY)
        assert packet.verify_message_authenticator()
        assert packet["User-Name"] == [user]
        assert packet.PwDecrypt(packet[2][0]) == password


@pytest.mark.parametrize("password", ["arctangent", "pässwörd"])
def test_they_agree_on_chap(password: str) -> None:
    request = build_access_request("ada", password, SECRET, identifier=9, chap=True)
    packet = AuthPacket(packet=request.raw, secret=CLEAR_SECRET, dict=DICTIONARY)
    assert packet.VerifyChapPasswd(password)
    assert not packet.VerifyChapPasswd(password + "x")


@pytest.mark.parametrize("code", [AccessAccept, AccessReject, AccessChallenge])
def test_they_accept_our_reply(code: int) -> None:
    packet, octets = theirs("ada", "secret", signed=True)
    attributes = [
        encode_attribute(BUILT_IN.find("Reply-Message"), "Kodu girin"),
        (Type.STATE, bytes(range(26))),
        encode_attribute(BUILT_IN.find("PaloAlto-User-Group"), "vpn"),
        encode_attribute(BUILT_IN.find("Session-Timeout"), 180),
    ]
    raw = encode_reply(decode(octets), code, attributes, SECRET)
    reply = packet.CreateReply(packet=raw)
    assert packet.VerifyReply(reply, enforce_ma=True)
    assert reply.code == code
    assert reply["Reply-Message"] == ["Kodu girin"]
    assert reply["PaloAlto-User-Group"] == ["vpn"]
    assert reply["Session-Timeout"] == [180]
    assert reply[33] == [b"one", b"two"]
    broken = raw[:-1] + bytes((raw[-1] ^ 1,))
    assert not packet.VerifyReply(packet.CreateReply(packet=broken), enforce_ma=True)


def test_we_accept_their_reply() -> None:
    request = build_access_request("ada", "secret", SECRET, identifier=9, attributes=[(Type.PROXY_STATE, b"p")])
    reply = AuthPacket(packet=request.raw, secret=CLEAR_SECRET, dict=DICTIONARY).CreateReply()
    reply["Reply-Message"] = "welcome"
    assert check_reply(request, reply.ReplyPacket(), SECRET).all(Type.PROXY_STATE) == [b"p"]


def test_status_server_both_ways() -> None:
    request = build_status_server(SECRET, identifier=3)
    packet = AuthPacket(packet=request.raw, secret=CLEAR_SECRET, dict=DICTIONARY)
    assert packet.verify_message_authenticator()
    assert check_reply(request, packet.CreateReply().ReplyPacket(), SECRET).code is Code.ACCESS_ACCEPT
    for code in (Code.ACCESS_ACCEPT, Code.ACCOUNTING_RESPONSE):
        answer = encode_reply(request, code, (), SECRET)
        assert packet.VerifyReply(packet.CreateReply(packet=answer), enforce_ma=True)


@pytest.mark.parametrize("signed", [False, True])
def test_accounting_both_ways(signed: bool) -> None:
    packet = AcctPacket(secret=CLEAR_SECRET, dict=DICTIONARY, id=5)
    packet["Acct-Status-Type"] = 1
    packet["Proxy-State"] = [b"p"]
    if signed:
        packet.add_message_authenticator()
    request = decode(packet.RequestPacket())
    assert check_accounting_authenticator(request, SECRET)
    expected = MessageAuthenticator.VALID if signed else MessageAuthenticator.ABSENT
    assert check_message_authenticator(request, SECRET) is expected
    assert packet.VerifyReply(packet.CreateReply(packet=encode_reply(request, Code.ACCOUNTING_RESPONSE, (), SECRET)))

    ours = build_accounting_request(
        [(40, b"\0\0\0\x02")], SECRET, identifier=6, message_authenticator="first" if signed else "none"
    )
    received = AcctPacket(packet=ours.raw, secret=CLEAR_SECRET, dict=DICTIONARY)
    assert received.VerifyAcctRequest()
    reply = received.CreateReply()
    if signed:
        assert received.verify_message_authenticator()
        reply.add_message_authenticator()
    assert check_reply(ours, reply.ReplyPacket(), SECRET).code is Code.ACCOUNTING_RESPONSE


_EXAMPLES: dict[Kind, Value] = {
    Kind.STRING: "Öğrenci",
    Kind.OCTETS: "OU=staff;",
    Kind.INTEGER: 13,
    Kind.IPV4: "192.0.2.1",
    Kind.IPV6: "2001:db8::1",
    Kind.IPV6_PREFIX: "2001:db8::/32",
    Kind.INTERFACE_ID: "0:0:0:1",
    Kind.DATE: 1700000000,
}


@pytest.mark.parametrize("row", [row for row in BUILT_IN if not row.protected and not row.encrypted], ids=lambda row: row.name)
def test_they_read_every_attribute_as_we_meant_it(row: AttributeDefinition) -> None:
    value = _EXAMPLES[row.kind]
    request = build_access_request("ada", "secret", SECRET, identifier=9)
    raw = encode_reply(request, Code.ACCESS_ACCEPT, [encode_attribute(row, value)], SECRET)
    theirs = AuthPacket(packet=raw, secret=CLEAR_SECRET, dict=DICTIONARY)[row.name]
    if row.kind is Kind.INTERFACE_ID:
        theirs = [text.replace("0000", "0").replace("0001", "1") for text in theirs]
    assert theirs == [str(value).encode() if row.kind is Kind.OCTETS else value]


def test_they_read_tags() -> None:
    request = build_access_request("ada", "secret", SECRET, identifier=9)
    attributes = [
        encode_attribute(BUILT_IN.find("Tunnel-Type:2"), "VLAN"),
        encode_attribute(BUILT_IN.find("Tunnel-Private-Group-Id:2"), "20"),
    ]
    raw = encode_reply(request, Code.ACCESS_ACCEPT, attributes, SECRET)
    reply = AuthPacket(packet=raw, secret=CLEAR_SECRET, dict=DICTIONARY)
    assert reply["Tunnel-Type:2"] == [13]
    assert reply["Tunnel-Private-Group-Id:2"] == ["20"]


@settings(max_examples=50)
@given(value=st.text(min_size=1, max_size=59).filter(lambda text: "\0" not in text), salt=st.binary(min_size=2, max_size=2))
def test_salt_encryption_both_ways(value: str, salt: bytes) -> None:
    authenticator = bytes(range(16))
    packet = AuthPacket(secret=CLEAR_SECRET, dict=DICTIONARY, authenticator=authenticator, id=1)
    assert reveal_salted(packet.SaltCrypt(value), authenticator, SECRET) == value.encode()
    _, ours = encode_attribute(BUILT_IN.find("Tunnel-Password:1"), value, Hiding(authenticator, SECRET, salt))
    assert packet.SaltDecrypt(ours[1:]) == value.encode()
