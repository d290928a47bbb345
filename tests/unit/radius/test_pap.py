"""User-Password hiding: RFC 2865 section 5.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.crypto import Secret
from wardgate.errors import PacketError
from wardgate.radius import pap
from wardgate.radius.packet import SharedSecret

SECRET = SharedSecret(Secret(b"a shared secret"))
AUTHENTICATOR = bytes(range(16))


@given(password=st.binary(max_size=128), authenticator=st.binary(min_size=16, max_size=16))
def test_what_was_hidden_is_revealed(password: bytes, authenticator: bytes) -> None:
    hidden = pap.hide(password, authenticator, SECRET)
    assert len(hidden) == max(16, -(-len(password) // 16) * 16)
    assert pap.reveal(hidden, authenticator, SECRET) == password.rstrip(b"\0")


@pytest.mark.parametrize("password", ["pässwörd".encode(), "pässwörd".encode("latin-1"), "şifreğüİı".encode(), b"\xff\xfe\x80"])
def test_password_is_octets_in_whatever_character_set(password: bytes) -> None:
    assert pap.reveal(pap.hide(password, AUTHENTICATOR, SECRET), AUTHENTICATOR, SECRET) == password


def test_only_trailing_nuls_are_padding() -> None:
    password = b"\0 in \0 front and inside \n "
    assert pap.reveal(pap.hide(password, AUTHENTICATOR, SECRET), AUTHENTICATOR, SECRET) == password


def test_password_of_128_octets_is_the_longest() -> None:
    longest = bytes(range(1, 129))
    assert pap.reveal(pap.hide(longest, AUTHENTICATOR, SECRET), AUTHENTICATOR, SECRET) == longest
    with pytest.raises(PacketError) as caught:
        pap.hide(longest + b"x", AUTHENTICATOR, SECRET)
    assert caught.value.code == "radius_password_too_long"


@pytest.mark.parametrize("size", [0, 1, 15, 17, 127, 129, 144])
def test_hidden_password_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(PacketError) as caught:
        pap.reveal(bytes(size), AUTHENTICATOR, SECRET)
    assert caught.value.code == "radius_password_length"


def test_empty_password_takes_one_block() -> None:
    hidden = pap.hide(b"", AUTHENTICATOR, SECRET)
    assert len(hidden) == 16
    assert pap.reveal(hidden, AUTHENTICATOR, SECRET) == b""


def test_wrong_secret_gives_garbage_not_an_error() -> None:
    hidden = pap.hide(b"correct horse battery staple", AUTHENTICATOR, SECRET)
    assert pap.reveal(hidden, AUTHENTICATOR, SharedSecret(Secret(b"another"))) != b"correct horse battery staple"
