"""What is kept of a gateway's answer."""

import base64
import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.delivery.fakes import ADDRESS, CODE, MAIL, NUMBER, SMS, TEXT
from wardgate.delivery.port import Channel, Message
from wardgate.delivery.scrub import ANSWER_CHARS, one_line, scrub

SECRET = "s3cr+t/kéy&<>=="


def test_a_plain_answer_is_kept() -> None:
    assert scrub('202 {"id": "SM991", "status": "queued"}', SMS, [SECRET]) == '202 {"id": "SM991", "status": "queued"}'


@pytest.mark.parametrize(
    "echo",
    [
        SECRET,
        quote(SECRET, safe=""),
        json.dumps(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
        html.escape(SECRET),
    ],
)
def test_a_secret_that_is_echoed_is_not_kept(echo: str) -> None:
    assert scrub(f"401 invalid key {echo} given", SMS, [SECRET]) == "401 invalid key *** given"


@pytest.mark.parametrize("echo", [TEXT, json.dumps({"body": TEXT}), CODE, "493-817", "493 817", f"x{CODE}y", TEXT[:9]])
def test_a_code_that_is_echoed_is_not_kept(echo: str) -> None:
    kept = scrub(f"200 {echo}", SMS)
    assert CODE not in kept.replace("-", "").replace(" ", "")


@pytest.mark.parametrize("echo", [NUMBER, "905321234567", "05321234567", "5321234567", "+90 532 123 45 67", "(0532) 123-4567"])
def test_a_number_that_is_echoed_is_not_kept(echo: str) -> None:
    kept = scrub(f"200 sent to {echo}.", SMS)
    assert kept in ("200 sent to ***.", "200 sent to (***.")


def test_a_mail_address_that_is_echoed_is_not_kept() -> None:
    assert ADDRESS not in scrub(f"550 5.1.1 <{ADDRESS.upper()}>: unknown", MAIL).lower()


def test_half_a_secret_does_not_survive_at_the_end() -> None:
    kept = scrub("x" * (ANSWER_CHARS - 4) + SECRET, SMS, [SECRET])
    assert kept == "x" * (ANSWER_CHARS - 4) + "***"


def test_an_answer_cannot_forge_a_log_line_or_move_the_cursor() -> None:
    assert one_line("250 ok\r\n\x1b[2Kinjected\x00\u202e\u2028end") == "250 ok [2Kinjected end"


def test_a_long_answer_is_cut() -> None:
    assert scrub("y" * 1000, SMS) == "y" * ANSWER_CHARS


@given(st.text(max_size=300))
def test_an_answer_is_short_and_printable(answer: str) -> None:
    kept = scrub(answer, SMS, [SECRET])
    assert len(kept) <= ANSWER_CHARS
    assert kept.isprintable()


@given(st.from_regex(r"[0-9]{6,8}", fullmatch=True), st.text(max_size=40), st.text(max_size=40))
def test_no_code_is_kept_whatever_stands_around_it(code: str, before: str, after: str) -> None:
    message = Message("m", Channel.SMS, NUMBER, f"{code} is your code")
    assert code not in scrub(f"{before}{code}{after}", message)
