"""Hostile datagrams against the packet codec: whatever comes, a packet or a PacketError."""

import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardgate.crypto import Secret
from wardgate.errors import PacketError
from wardgate.radius import pap
from wardgate.radius.attributes import encode_attribute
from wardgate.radius.credentials import credential
from wardgate.radius.describe import describe
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.packet import (
    MAX_PACKET_BYTES,
    Attribute,
    Code,
    MessageAuthenticator,
    Packet,
    SharedSecret,
    Type,
    check_accounting_authenticator,
    check_message_authenticator,
    decode,
    encode,
    encode_accounting_request,
    encode_reply,
    encode_request,
)
from wardgate.radius.vendors import VENDORS

SECRET = SharedSecret(Secret(b"a shared secret of 28 octets"))
AUTHENTICATOR = bytes(range(16))
FUZZ_SEED = 2865
FUZZ_ROUNDS = 60_000

CODES = {
    "radius_short",
    "radius_length",
    "radius_truncated",
    "radius_too_long",
    "radius_code",
    "radius_attribute_length",
    "radius_attribute_overrun",
}


def login(*more: Attribute, placing: str = "first") -> bytes:
    attributes: list[Attribute] = [
        (Type.USER_NAME, b"ada"),
        (Type.USER_PASSWORD, pap.hide("pässwörd".encode(), AUTHENTICATOR, SECRET)),
        (Type.NAS_IP_ADDRESS, b"\xc0\0\2\1"),
        (Type.STATE, b"0123456789abcdef"),
        encode_attribute(BUILT_IN.find("PaloAlto-Client-Source-IP"), "203.0.113.7"),
        *more,
    ]
    return encode_request(Code.ACCESS_REQUEST, 7, AUTHENTICATOR, attributes, SECRET, placing)  # type: ignore[arg-type]


def refusal(datagram: bytes) -> str:
    with pytest.raises(PacketError) as caught:
        decode(datagram)
    return caught.value.code


def with_length(octets: bytes, length: int) -> bytes:
    return octets[:2] + length.to_bytes(2, "big") + octets[4:]


class TestFrame:
    def test_truncated_anywhere_is_dropped(self) -> None:
        octets = login()
        for size in range(len(octets)):
            assert refusal(octets[:size]) == ("radius_short" if size < 20 else "radius_truncated")

    def test_length_that_cuts_an_attribute_in_two_is_dropped(self) -> None:
        octets = login()
        ends = {20}
        at = 20
        while at < len(octets):
            at += octets[at + 1]
            ends.add(at)
        for length in range(20, len(octets)):
            shortened = with_length(octets, length)
            if length in ends:
                assert decode(shortened).raw == shortened[:length]
            else:
                assert refusal(shortened) == "radius_attribute_overrun"

    @pytest.mark.parametrize("length", [0, 1, 19])
    def test_length_of_less_than_a_header_is_dropped(self, length: int) -> None:
        assert refusal(with_length(login(), length)) == "radius_length"

    def test_4096_octets_are_taken_and_4097_dropped(self) -> None:
        attributes = [(Type.PROXY_STATE, bytes(253))] * 15 + [(Type.PROXY_STATE, bytes(249))]
        largest = encode(Code.ACCESS_REQUEST, 1, AUTHENTICATOR, attributes)
        assert len(largest) == MAX_PACKET_BYTES
        assert decode(largest + b"\0").raw == largest
        assert refusal(with_length(largest + b"\0", MAX_PACKET_BYTES + 1)) == "radius_too_long"
        assert refusal(with_length(largest + bytes(60_000), 64_000)) == "radius_too_long"

    @pytest.mark.parametrize("size", [0, 1])
    def test_attribute_shorter_than_its_own_header_is_dropped(self, size: int) -> None:
        octets = bytearray(login())
        octets[21] = size
        assert refusal(bytes(octets)) == "radius_attribute_length"

    def test_attribute_past_the_end_is_dropped(self) -> None:
        octets = encode(Code.ACCESS_REQUEST, 1, AUTHENTICATOR, [(Type.USER_NAME, b"ada")])
        for size in range(6, 256):
            assert refusal(octets[:21] + bytes((size,)) + octets[22:]) == "radius_attribute_overrun"

    def test_half_an_attribute_header_at_the_end_is_dropped(self) -> None:
        octets = login() + b"\x01"
        assert refusal(with_length(octets, len(octets))) == "radius_attribute_overrun"

    def test_unknown_code_is_dropped(self) -> None:
        octets = login()
        for code in set(range(256)) - set(Code):
            assert refusal(bytes((code,)) + octets[1:]) == "radius_code"

    def test_2038_empty_attributes_are_taken_apart(self) -> None:
        octets = encode(Code.ACCESS_REQUEST, 1, AUTHENTICATOR, [(Type.PROXY_STATE, b"")] * 2038)
        assert len(octets) == MAX_PACKET_BYTES
        request = decode(octets)
        assert len(request.attributes) == 2038
        with pytest.raises(PacketError) as caught:
            encode_reply(request, Code.ACCESS_REJECT, (), SECRET)
        assert caught.value.code == "radius_reply_too_long"


class TestMessageAuthenticator:
    def test_two_of_them_are_malformed_even_when_one_is_right(self) -> None:
        right = decode(login()).first(Type.MESSAGE_AUTHENTICATOR) or b""
        for second in (right, bytes(16)):
            request = decode(login((Type.MESSAGE_AUTHENTICATOR, second)))
            assert check_message_authenticator(request, SECRET) is MessageAuthenticator.MALFORMED

    @pytest.mark.parametrize("size", [0, 1, 14, 15, 17, 34])
    def test_length_other_than_18_is_malformed(self, size: int) -> None:
        request = decode(login((Type.MESSAGE_AUTHENTICATOR, bytes(size)), placing="none"))
        assert check_message_authenticator(request, SECRET) is MessageAuthenticator.MALFORMED

    @pytest.mark.parametrize("placing", ["first", "last"])
    def test_every_flipped_bit_is_noticed(self, placing: str) -> None:
        octets = login(placing=placing)
        for at in range(len(octets) * 8):
            changed = bytearray(octets)
            changed[at // 8] ^= 1 << at % 8
            with suppress(PacketError):
                assert check_message_authenticator(decode(bytes(changed)), SECRET) is not MessageAuthenticator.VALID

    def test_added_proxy_state_is_noticed(self) -> None:
        """CVE-2024-3596 begins with one."""
        octets = login() + b"\x21\x10collision here"
        request = decode(with_length(octets, len(octets)))
        assert check_message_authenticator(request, SECRET) is MessageAuthenticator.WRONG

    def test_every_flipped_bit_of_an_accounting_request_is_noticed(self) -> None:
        octets = encode_accounting_request(3, [(40, b"\0\0\0\1"), (1, b"ada")], SECRET)
        for at in range(len(octets) * 8):
            changed = bytearray(octets)
            changed[at // 8] ^= 1 << at % 8
            with suppress(PacketError):
                assert not check_accounting_authenticator(decode(bytes(changed)), SECRET)


def use(request: Packet) -> None:
    """Everything that the door does with a packet before it knows who sent it, and after."""
    check_message_authenticator(request, SECRET)
    check_accounting_authenticator(request, SECRET)
    credential(request)
    for name, shown in describe(request):
        assert name.isprintable()
        assert shown.isprintable()
    for profile in VENDORS:
        profile.client_address(request)
        profile.client_info(request)
    for hidden in request.all(Type.USER_PASSWORD):
        with suppress(PacketError):
            pap.reveal(hidden, request.authenticator, SECRET)
    with suppress(PacketError):
        decode(encode_reply(request, Code.ACCESS_REJECT, [(Type.REPLY_MESSAGE, b"no")], SECRET))
    assert encode(request.code, request.identifier, request.authenticator, request.attributes) == request.raw


def take(datagram: bytes) -> bool:
    """Decode and use; whether it was a packet. Any exception but PacketError from `decode` fails the test."""
    try:
        request = decode(datagram)
    except PacketError as error:
        known = error.code in CODES
    else:
        use(request)
        return True
    assert known
    return False


@settings(max_examples=300)
@given(datagram=st.binary(max_size=200))
def test_arbitrary_octets(datagram: bytes) -> None:
    take(datagram)


@settings(max_examples=300)
@given(code=st.sampled_from(Code), body=st.binary(max_size=300))
def test_arbitrary_attributes_behind_a_right_header(code: Code, body: bytes) -> None:
    take(bytes((code, 1)) + (20 + len(body)).to_bytes(2, "big") + AUTHENTICATOR + body)


@settings(max_examples=300)
@given(
    attributes=st.lists(
        st.tuples(st.sampled_from([1, 2, 3, 18, 24, 26, 31, 33, 64, 79, 80, 95, 97]), st.binary(max_size=60)), max_size=12
    )
)
def test_arbitrary_values_in_a_right_frame(attributes: list[Attribute]) -> None:
    assert take(encode(Code.ACCESS_REQUEST, 1, AUTHENTICATOR, attributes))


def mutate(octets: bytes, chance: random.Random) -> bytes:
    """One to four changes: bits, octets that lie at a border, cuts, copies, a length that fits or not."""
    changed = bytearray(octets)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed)) if changed else 0
        match chance.randrange(6):
            case 0 if changed:
                changed[at] ^= 1 << chance.randrange(8)
            case 1 if changed:
                changed[at] = chance.choice((0, 1, 2, 0x7F, 0x80, 0xFF))
            case 2:
                del changed[at : at + chance.randrange(1, 9)]
            case 3:
                changed[at:at] = chance.randbytes(chance.randrange(1, 40))
            case 4:
                changed[at:at] = changed[at : at + chance.randrange(1, 60)]
            case _:
                changed += chance.randbytes(chance.randrange(1, 30))
    if chance.random() < 0.7 and len(changed) >= 4:
        changed[2:4] = min(len(changed), 0xFFFF).to_bytes(2, "big")
    return bytes(changed)


def test_fuzz_run_with_a_fixed_seed() -> None:
    chance = random.Random(FUZZ_SEED)
    seeds = [
        login(),
        login(placing="last"),
        login((Type.PROXY_STATE, b"one"), (Type.PROXY_STATE, b"two")),
        encode_accounting_request(3, [(40, b"\0\0\0\1"), (1, b"ada"), (55, b"\0\0\0\1")], SECRET),
        encode_request(Code.STATUS_SERVER, 4, AUTHENTICATOR, (), SECRET),
        encode(Code.ACCESS_REQUEST, 5, AUTHENTICATOR, [(3, bytes(17)), (60, bytes(16)), (26, b"\0\0\1\x37\x19\x34" + bytes(50))]),
    ]
    packets = sum(take(mutate(chance.choice(seeds), chance)) for _ in range(FUZZ_ROUNDS))
    # If nearly all or nearly none were packets, the run would test one branch only.
    assert FUZZ_ROUNDS // 20 < packets < FUZZ_ROUNDS * 19 // 20
