"""Challenges are read as the GlobalProtect app reads them."""

import pytest

from wardgate.crypto import Secret
from wardgate.radius.client import build_access_request
from wardgate.radius.packet import Attribute, Code, Packet, SharedSecret, Type, decode, encode_reply
from wardgate.simulator.globalprotect import complaints, shown

SECRET = SharedSecret(Secret("xyzzy5461"))


def challenge(*messages: bytes, state: bytes | None = b"0123456789abcdef") -> Packet:
    """A challenge with these Reply-Messages."""
    request = build_access_request("ada", "x", SECRET, identifier=1)
    attributes: list[Attribute] = [(Type.STATE, state)] if state is not None else []
    attributes += [(Type.REPLY_MESSAGE, message) for message in messages]
    return decode(encode_reply(request, Code.ACCESS_CHALLENGE, attributes, SECRET))


@pytest.mark.parametrize(
    "text", ["Enter the code from your app.", "Uygulamanızdaki kodu girin. Diğer yollar: sms, mail.", "a'b; c=1"]
)
def test_a_good_challenge_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text
    assert list(complaints(challenge(text.encode()))) == []


@pytest.mark.parametrize("text", ['Enter the "code"', "Enter\nthe code", "Enter\u2028the code", 'x";alert(1);//', "a\r\nb"])
def test_a_text_that_breaks_the_page_is_complained_about(text: str) -> None:
    assert shown(text) != text
    (complaint,) = complaints(challenge(text.encode()))
    assert "breaks the page" in complaint


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (challenge(b"code?", state=None), "no State"),
        (challenge(), "no Reply-Message"),
        (challenge(b"code?", b"or press OK"), "only the first"),
        (challenge(b"\xff\xfe"), "not UTF-8"),
        (challenge(b"<b>code</b>"), "angle bracket"),
        (challenge(b"x" * 121), "121 characters"),
    ],
)
def test_what_an_app_cannot_use_is_complained_about(packet: Packet, words: str) -> None:
    assert any(words in complaint for complaint in complaints(packet))
