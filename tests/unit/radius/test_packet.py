"""The codec: round trips, the frame rules of RFC 2865 section 3, both authenticators, replies."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.crypto import Secret
from wardgate.errors import PacketError, SettingsError
from wardgate.radius.packet import (
    HEADER_BYTES,
    MAX_PACKET_BYTES,
    Attribute,
    Code,
    MessageAuthenticator,
    Packet,
    SharedSecret,
    Type,
    check_accounting_authenticator,
    check_message_authenticator,
    check_reply_message_authenticator,
    check_response_authenticator,
    decode,
    encode,
    encode_accounting_request,
    encode_reply,
    encode_request,
    split_vendor,
    vendor_attribute,
)

SECRET = SharedSecret(Secret(b"a shared secret of 28 octets"))
OTHER_SECRET = SharedSecret(Secret(b"a shared secret of 28 octetz"))
AUTHENTICATOR = bytes(range(16))

attribute_lists = st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=253)), max_size=15)
authenticators = st.binary(min_size=16, max_size=16)
codes = st.sampled_from(Code)


def request(*attributes: Attribute, code: Code = Code.ACCESS_REQUEST) -> Packet:
    return decode(encode_request(code, 7, AUTHENTICATOR, attributes, SECRET))


class TestDecode:
    @given(code=codes, identifier=st.integers(0, 255), authenticator=authenticators, attributes=attribute_lists)
    def test_what_was_encoded_is_decoded(
        self, code: Code, identifier: int, authenticator: bytes, attributes: list[Attribute]
    ) -> None:
        octets = encode(code, identifier, authenticator, attributes)
        packet = decode(octets)
        assert (packet.code, packet.identifier, packet.authenticator) == (code, identifier, authenticator)
        assert packet.attributes == tuple(attributes)
        assert packet.raw == octets

    @given(attributes=attribute_lists, padding=st.binary(min_size=1, max_size=300))
    def test_octets_after_length_are_ignored(self, attributes: list[Attribute], padding: bytes) -> None:
        octets = encode(Code.ACCESS_REQUEST, 1, AUTHENTICATOR, attributes)
        assert decode(octets + padding) == decode(octets)

    def test_header_alone_is_a_packet(self) -> None:
        assert decode(encode(Code.ACCESS_REQUEST, 1, AUTHENTICATOR, ())).attributes == ()

    def test_value_of_no_octets_is_kept(self) -> None:
        """It must not be sent, but RFC 2865 section 5 allows the length of two."""
        assert decode(encode(Code.ACCESS_REQUEST, 1, AUTHENTICATOR, [(18, b"")])).attributes == ((18, b""),)

    def test_largest_packet_is_accepted(self) -> None:
        attributes = [(Type.PROXY_STATE, bytes(253))] * 15 + [(Type.PROXY_STATE, bytes(249))]
        octets = encode(Code.ACCESS_REQUEST, 1, AUTHENTICATOR, attributes)
        assert len(octets) == MAX_PACKET_BYTES
        assert len(decode(octets).attributes) == 16

    def test_repr_shows_no_value(self) -> None:
        packet = request((Type.USER_PASSWORD, b"hidden-password!"), (Type.STATE, b"the-state"))
        assert "hidden-password" not in repr(packet)
        assert "the-state" not in repr(packet)
        assert "ACCESS_REQUEST" in repr(packet)


class TestAttributes:
    def test_first_and_all(self) -> None:
        packet = request((18, b"one"), (25, b"x"), (18, b"two"))
        assert packet.first(18) == b"one"
        assert packet.all(18) == [b"one", b"two"]
        assert packet.first(99) is None
        assert packet.all(99) == []

    def test_vendor_values_keep_their_order(self) -> None:
        both = (26, (25461).to_bytes(4, "big") + b"\x05\x03a\x05\x03b")
        packet = request(both, vendor_attribute(9, 5, b"not this"), vendor_attribute(25461, 5, b"c"))
        assert packet.vendor(25461, 5) == [b"a", b"b", b"c"]
        assert packet.vendor(25461, 6) == []

    def test_vendor_with_two_sub_attributes_in_one(self) -> None:
        value = (25461).to_bytes(4, "big") + b"\x07\x0b192.0.2.1" + b"\x08\x07Linux"
        packet = request((26, value))
        assert packet.vendor(25461, 7) == [b"192.0.2.1"]
        assert packet.vendor(25461, 8) == [b"Linux"]

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"\0",
            b"\0\0\0\x09",
            b"\0\0\0\x09\x01",
            b"\0\0\0\x09\x01\x00ab",
            b"\0\0\0\x09\x01\x09ab",
            b"\0\0\0\x09\x01\x04ab\x02",
        ],
        ids=["empty", "one octet", "vendor only", "type only", "length zero", "overrun", "rest of one octet"],
    )
    def test_odd_vendor_format_never_fails_the_packet(self, value: bytes) -> None:
        packet = request((26, value), (1, b"ada"))
        assert packet.vendor(9, 1) == []
        assert packet.first(1) == b"ada"

    @given(pairs=st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=5))
    def test_split_vendor_reads_what_was_put_together(self, pairs: list[Attribute]) -> None:
        value = bytes(4) + b"".join(bytes((kind, len(part) + 2)) + part for kind, part in pairs)
        assert split_vendor(value) == pairs

    def test_vendor_value_limit(self) -> None:
        assert len(vendor_attribute(9, 1, bytes(247))[1]) == 253
        with pytest.raises(PacketError) as caught:
            vendor_attribute(9, 1, bytes(248))
        assert caught.value.code == "radius_value_too_long"


class TestRequests:
    @given(attributes=st.lists(st.tuples(st.integers(81, 255), st.binary(max_size=253)), max_size=12))
    def test_message_authenticator_at_either_end(self, attributes: list[Attribute]) -> None:
        for placing, at in (("first", 0), ("last", -1)):
            octets = encode_request(Code.ACCESS_REQUEST, 3, AUTHENTICATOR, attributes, SECRET, placing)  # type: ignore[arg-type]
            packet = decode(octets)
            assert packet.attributes[at][0] == Type.MESSAGE_AUTHENTICATOR
            assert check_message_authenticator(packet, SECRET) is MessageAuthenticator.VALID
            assert check_message_authenticator(packet, OTHER_SECRET) is MessageAuthenticator.WRONG

    def test_status_server(self) -> None:
        assert check_message_authenticator(request(code=Code.STATUS_SERVER), SECRET) is MessageAuthenticator.VALID

    @pytest.mark.parametrize("placing", ["first", "last", "none"])
    def test_accounting_request(self, placing: str) -> None:
        octets = encode_accounting_request(9, [(40, b"\0\0\0\x01"), (1, b"ada")], SECRET, placing)  # type: ignore[arg-type]
        packet = decode(octets)
        assert check_accounting_authenticator(packet, SECRET)
        assert not check_accounting_authenticator(packet, OTHER_SECRET)
        expected = MessageAuthenticator.ABSENT if placing == "none" else MessageAuthenticator.VALID
        assert check_message_authenticator(packet, SECRET) is expected

    def test_value_too_long_is_refused(self) -> None:
        with pytest.raises(PacketError) as caught:
            encode(Code.ACCESS_REQUEST, 1, AUTHENTICATOR, [(1, bytes(254))])
        assert caught.value.code == "radius_value_too_long"

    @pytest.mark.parametrize("size", [15, 16])
    def test_request_of_more_than_4096_octets_is_refused(self, size: int) -> None:
        attributes = [(33, bytes(253))] * 15 + [(33, bytes(249 - 18 + (size - 15)))]
        if size == 15:
            assert len(encode_request(1, 1, AUTHENTICATOR, attributes, SECRET)) == MAX_PACKET_BYTES
            return
        with pytest.raises(PacketError) as caught:
            encode_request(1, 1, AUTHENTICATOR, attributes, SECRET)
        assert caught.value.code == "radius_too_long"


class TestReplies:
    @given(
        asked=attribute_lists.map(lambda pairs: [pair for pair in pairs if pair[0] != 80]),
        told=st.lists(st.tuples(st.sampled_from([6, 11, 18, 25, 27]), st.binary(min_size=1, max_size=60)), max_size=8),
        code=st.sampled_from([Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE]),
    )
    def test_reply_is_signed_twice_and_ordered(self, asked: list[Attribute], told: list[Attribute], code: Code) -> None:
        asked = asked[:12]
        origin = decode(encode(Code.ACCESS_REQUEST, 200, AUTHENTICATOR, asked))
        reply = decode(encode_reply(origin, code, told, SECRET))
        assert (reply.code, reply.identifier) == (code, 200)
        assert check_response_authenticator(reply, origin, SECRET)
        assert check_reply_message_authenticator(reply, origin, SECRET) is MessageAuthenticator.VALID
        proxied = [pair for pair in asked if pair[0] == Type.PROXY_STATE]
        assert list(reply.attributes[1:]) == told + proxied

    def test_message_authenticator_comes_first_also_to_a_client_that_sent_none(self) -> None:
        origin = decode(encode(Code.ACCESS_REQUEST, 1, AUTHENTICATOR, [(1, b"ada")]))
        for code in (Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE):
            octets = encode_reply(origin, code, [(18, b"hello")], SECRET)
            assert octets[HEADER_BYTES : HEADER_BYTES + 2] == b"\x50\x12"

    def test_three_proxy_states_come_back_unmodified_in_order_at_the_end(self) -> None:
        states = [b"\0first", b"second\xff", b"first"]
        origin = request((33, states[0]), (1, b"ada"), (33, states[1]), (33, states[2]))
        reply = decode(encode_reply(origin, Code.ACCESS_REJECT, [(18, b"no")], SECRET))
        assert [kind for kind, _ in reply.attributes] == [80, 18, 33, 33, 33]
        assert reply.all(33) == states

    def test_accounting_response(self) -> None:
        origin = decode(encode_accounting_request(9, [(40, b"\0\0\0\x01"), (33, b"p")], SECRET))
        reply = decode(encode_reply(origin, Code.ACCOUNTING_RESPONSE, (), SECRET))
        assert check_response_authenticator(reply, origin, SECRET)
        assert reply.attributes == ((33, b"p"),)

    def test_accounting_response_to_a_request_with_message_authenticator(self) -> None:
        origin = decode(encode_accounting_request(9, [(40, b"\0\0\0\x01"), (33, b"p")], SECRET, "first"))
        reply = decode(encode_reply(origin, Code.ACCOUNTING_RESPONSE, (), SECRET))
        assert check_response_authenticator(reply, origin, SECRET)
        assert check_reply_message_authenticator(reply, origin, SECRET) is MessageAuthenticator.VALID
        assert [kind for kind, _ in reply.attributes] == [80, 33]

    def test_reply_of_4096_octets_is_built_and_of_4097_refused(self) -> None:
        origin = request((33, bytes(253)))
        # 20 of header, 18 of Message-Authenticator and 255 of Proxy-State leave 3803 octets.
        fitting = [(18, b"m" * 253)] * 14 + [(18, b"m" * 231)]
        assert len(encode_reply(origin, Code.ACCESS_ACCEPT, fitting, SECRET)) == MAX_PACKET_BYTES
        with pytest.raises(PacketError) as caught:
            encode_reply(origin, Code.ACCESS_ACCEPT, [*fitting[:-1], (18, b"m" * 232)], SECRET)
        assert caught.value.code == "radius_reply_too_long"


class TestSharedSecret:
    def test_it_shows_nothing(self) -> None:
        assert "shared" not in f"{SECRET!r} {SECRET}".replace("SharedSecret", "")

    def test_it_does_not_travel(self) -> None:
        with pytest.raises(TypeError):
            pickle.dumps(SECRET)

    def test_it_compares_by_value(self) -> None:
        assert SharedSecret(Secret(b"a shared secret of 28 octets")) == SECRET
        assert SECRET != OTHER_SECRET

    def test_empty_secret_is_refused(self) -> None:
        with pytest.raises(SettingsError):
            SharedSecret(Secret(b""))
