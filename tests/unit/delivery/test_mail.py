"""Addresses, and the octets of a mail."""

from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.delivery.fakes import MAIL, NOW
from wardgate.delivery.mail import Mailbox, compose, parse_mailbox
from wardgate.errors import MessageError

SENDER = Mailbox("login", "acme.test", "Acme Login")
TO = Mailbox("carol", "example.test")
HEADERS = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress"} | {
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
}


def read(octets: bytes) -> EmailMessage:
    """Parse a mail as its reader would."""
    mail = message_from_bytes(octets, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def content(mail: EmailMessage) -> str:
    """The text with the line ends that it had before it travelled."""
    return str(mail.get_content()).replace("\r\n", "\n")


def test_a_mail_says_who_when_and_that_it_is_automatic() -> None:
    mail = read(compose(MAIL, SENDER, TO, NOW))
    assert mail["From"] == "Acme Login <login@acme.test>"
    assert mail["To"] == "carol@example.test"
    assert mail["Subject"] == MAIL.subject
    assert mail["Date"] == "Sun, 01 Mar 2026 12:00:00 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content_charset() == "utf-8"
    assert content(mail) == MAIL.text + "\n"
    assert set(mail.keys()) == HEADERS


def test_the_message_id_is_the_same_at_every_try() -> None:
    first, second = (read(compose(MAIL, SENDER, TO, moment)) for moment in (NOW, NOW.replace(hour=13)))
    assert first["Message-ID"] == second["Message-ID"] == f"<{MAIL.id}@acme.test>"


def test_turkish_travels_in_seven_bits() -> None:
    message = replace(MAIL, subject="Giriş kodunuz: ÖĞÜŞÇİ", text="Şifreniz değişti mi? Çağrı merkezini arayın. 493817\n" * 20)
    octets = compose(message, Mailbox("giris", "acme.test", "Şirket Girişi"), TO, NOW)
    assert octets.isascii()
    mail = read(octets)
    assert mail["Subject"] == message.subject
    assert content(mail) == message.text
    assert mail["From"].addresses[0].display_name == "Şirket Girişi"
    assert max(len(line) for line in octets.split(b"\r\n")) <= 998
    assert b"\n" not in octets.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    "subject", ["Hi\r\nBcc: eve@evil.test", "Hi\nX: y", "Hi\rX: y", "Hi\x00", "Hi\u2028X", "Hi\x85X: y", "x" * 201, "half \ud83d"]
)
def test_a_subject_cannot_add_a_header(subject: str) -> None:
    with pytest.raises(MessageError) as caught:
        compose(replace(MAIL, subject=subject), SENDER, TO, NOW)
    assert caught.value.code == "mail_malformed"


@pytest.mark.parametrize("message_id", ["a\r\nBcc: eve@evil.test", "a>b", "", "a b", "x" * 200])
def test_an_id_cannot_add_a_header(message_id: str) -> None:
    with pytest.raises(MessageError):
        compose(replace(MAIL, id=message_id), SENDER, TO, NOW)


@given(st.text(max_size=120), st.text(max_size=400))
def test_no_text_changes_the_set_of_headers(subject: str, text: str) -> None:
    try:
        octets = compose(replace(MAIL, subject=subject, text=text), SENDER, TO, NOW)
    except MessageError:
        return
    mail = read(octets)
    assert set(mail.keys()) == HEADERS
    assert len(mail.keys()) == len(HEADERS)
    assert not mail.is_multipart()


def test_a_text_that_is_too_long_or_not_unicode_is_refused() -> None:
    for text in ("x" * 10_001, "half \ud83d"):
        with pytest.raises(MessageError):
            compose(replace(MAIL, text=text), SENDER, TO, NOW)


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("carol@example.test", "carol@example.test"),
        ("carol.b+tag@mail.example.test", "carol.b+tag@mail.example.test"),
        ("o'neil@example.test", "o'neil@example.test"),
        ("carol@bücher.test", "carol@xn--bcher-kva.test"),
        ("çağrı@example.test", "çağrı@example.test"),
        ("root@localhost", "root@localhost"),
    ],
)
def test_an_address_is_read(written: str, address: str) -> None:
    assert parse_mailbox(written).address == address


@pytest.mark.parametrize(
    "written",
    [
        "",
        "carol",
        "@example.test",
        "carol@",
        "carol@example.test\r\nRCPT TO:<eve@evil.test>",
        "carol\n@example.test",
        "carol@exam\x00ple.test",
        "carol@example.test>\r\nDATA",
        "carol@example.test, eve@evil.test",
        "carol@example.test;eve@evil.test",
        "<carol@example.test>",
        '"a b"@example.test',
        "carol b@example.test",
        "carol@evil.test@example.test",
        ".carol@example.test",
        "carol@example..test",
        "carol@-example.test",
        "carol@[127.0.0.1]",
        "x" * 65 + "@example.test",
        "carol@" + "x" * 300 + ".test",
        "carol\u202e@example.test\u2028",
    ],
)
def test_an_address_cannot_carry_a_command_or_a_second_recipient(written: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse_mailbox(written)
    assert not written or written not in caught.value.message


def test_a_sender_may_have_a_name() -> None:
    assert parse_mailbox("Acme Login <login@acme.test>", named=True) == Mailbox("login", "acme.test", "Acme Login")
    assert parse_mailbox('"Acme, Login" <login@acme.test>', named=True).name == "Acme, Login"
    assert parse_mailbox("login@acme.test", named=True) == Mailbox("login", "acme.test")
    with pytest.raises(MessageError):
        parse_mailbox("Acme\r\nBcc: x@evil.test <login@acme.test>", named=True)


@given(st.text(max_size=80))
def test_what_passes_as_an_address_has_nothing_that_ends_a_command(written: str) -> None:
    try:
        address = parse_mailbox(written).address
    except MessageError:
        return
    assert address.count("@") == 1
    assert not set(address) & set(' \t\r\n\x00<>,;:"()[]\\')
    assert address.isprintable()
