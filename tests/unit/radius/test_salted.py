"""Salt encryption: RFC 2868 section 3.5."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.crypto import Secret
from wardgate.errors import PacketError
from wardgate.radius.packet import SharedSecret
from wardgate.radius.pap import xor
from wardgate.radius.salted import MAX_SALTED_BYTES, Hiding, hide_salted, reveal_salted

SECRET = SharedSecret(Secret(b"a shared secret"))
AUTHENTICATOR = bytes(range(16))
octets16 = st.binary(min_size=16, max_size=16)
salts = st.binary(min_size=2, max_size=2)


@given(value=st.binary(max_size=MAX_SALTED_BYTES), authenticator=octets16, salt=salts)
def test_what_was_hidden_is_revealed(value: bytes, authenticator: bytes, salt: bytes) -> None:
    hidden = hide_salted(value, Hiding(authenticator, SECRET, salt))
    assert hidden[0] & 0x80
    assert (len(hidden) - 2) % 16 == 0
    assert reveal_salted(hidden, authenticator, SECRET) == value


def test_salt_changes_the_cipher_text() -> None:
    one = hide_salted(b"value", Hiding(AUTHENTICATOR, SECRET, b"\x80\x01"))
    other = hide_salted(b"value", Hiding(AUTHENTICATOR, SECRET, b"\x80\x02"))
    assert one[2:] != other[2:]


def test_value_too_long_is_refused() -> None:
    with pytest.raises(PacketError) as caught:
        hide_salted(bytes(MAX_SALTED_BYTES + 1), Hiding(AUTHENTICATOR, SECRET, b"\x80\x01"))
    assert caught.value.code == "radius_value_too_long"


@pytest.mark.parametrize("hidden", [b"", b"\x80", b"\x80\x01", b"\x80\x01" + bytes(15), b"\x00\x01" + bytes(16)])
def test_malformed_value_is_refused(hidden: bytes) -> None:
    with pytest.raises(PacketError) as caught:
        reveal_salted(hidden, AUTHENTICATOR, SECRET)
    assert caught.value.code == "radius_salted"


def test_salt_without_its_top_bit_is_refused_though_it_decrypts() -> None:
    salt = b"\x01\x02"
    block = xor(b"\x05value".ljust(16, b"\0"), SECRET.md5_secret_then(AUTHENTICATOR + salt))
    with pytest.raises(PacketError, match="top bit"):
        reveal_salted(salt + block, AUTHENTICATOR, SECRET)


@given(hidden=st.binary(max_size=80))
def test_arbitrary_octets_reveal_or_are_refused_as_a_packet(hidden: bytes) -> None:
    with suppress(PacketError):
        assert len(reveal_salted(hidden, AUTHENTICATOR, SECRET)) < len(hidden)
