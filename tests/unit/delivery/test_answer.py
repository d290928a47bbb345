"""Was the message taken? The tests of the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.delivery.sms.answer import AcceptedSettings, check_accepted, refusal
from wardgate.errors import SettingsError

BY_PATH = AcceptedSettings(json_path="result.0.status", json_equals="ok")


def test_by_default_the_status_decides() -> None:
    assert refusal(AcceptedSettings(), 202, b"whatever") is None
    assert refusal(AcceptedSettings(), 302, b"") is not None
    assert refusal(AcceptedSettings(), 500, b"") is not None


def test_a_value_inside_a_json_answer_decides() -> None:
    assert refusal(BY_PATH, 200, b'{"result": [{"status": "ok"}]}') is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"result": [{"status": "error"}]}',
        b'{"result": []}',
        b'{"result": {"0": null}}',
        b'{"error": "no credit"}',
        b"[]",
        b"ok",
        b"",
        b"\xff\xfe",
        b"[" * 60_000,
        b"1" * 10_000,
    ],
)
def test_an_error_in_the_body_of_a_200_is_not_taken_for_success(body: bytes) -> None:
    assert refusal(BY_PATH, 200, body) is not None


def test_without_a_value_to_compare_anything_but_null_will_do() -> None:
    accepted = AcceptedSettings(json_path="id")
    assert refusal(accepted, 200, b'{"id": false}') is None
    assert refusal(accepted, 200, b'{"id": null}') is not None


@pytest.mark.parametrize(
    ("expected", "body", "is_taken"),
    [
        (True, b'{"v": true}', True),
        (True, b'{"v": 1}', False),
        (1, b'{"v": true}', False),
        (0, b'{"v": "0"}', False),
        (0, b'{"v": 0}', True),
        (0, b'{"v": false}', False),
        ("0", b'{"v": "0"}', True),
    ],
)
def test_values_are_compared_as_json(expected: object, body: bytes, is_taken: bool) -> None:
    assert (refusal(AcceptedSettings(json_path="v", json_equals=expected), 200, body) is None) is is_taken


def test_a_regular_expression_decides_on_plain_text() -> None:
    accepted = AcceptedSettings(matches=r"^OK \d+")
    assert refusal(accepted, 200, b"OK 17") is None
    assert refusal(accepted, 200, b"ERR 3") is not None


def test_a_regular_expression_sees_no_more_than_the_beginning() -> None:
    assert refusal(AcceptedSettings(matches="needle"), 200, b" " * 60_000 + b"needle") is not None


def test_every_test_that_is_given_must_hold() -> None:
    accepted = AcceptedSettings(status=(200,), json_path="ok", json_equals=True, matches="id")
    assert refusal(accepted, 200, b'{"ok": true, "id": 7}') is None
    assert refusal(accepted, 201, b'{"ok": true, "id": 7}') is not None
    assert refusal(accepted, 200, b'{"ok": true}') is not None


@given(st.binary(max_size=400))
def test_garbage_is_judged_and_not_quoted(body: bytes) -> None:
    reason = refusal(BY_PATH, 200, body)
    assert reason is not None
    assert reason.isascii()


@pytest.mark.parametrize(
    ("accepted", "setting"),
    [
        (AcceptedSettings(status=()), "accepted.status"),
        (AcceptedSettings(status=(99,)), "accepted.status"),
        (AcceptedSettings(refused_status=(700,)), "accepted.refused_status"),
        (AcceptedSettings(status=(200, 400)), "accepted.refused_status"),
        (AcceptedSettings(json_equals="ok"), "accepted.json_equals"),
        (AcceptedSettings(json_path=""), "accepted.json_path"),
        (AcceptedSettings(json_path="a..b"), "accepted.json_path"),
        (AcceptedSettings(json_path=".".join("a" * 30)), "accepted.json_path"),
        (AcceptedSettings(matches="("), "accepted.matches"),
        (AcceptedSettings(matches="a" * 501), "accepted.matches"),
    ],
)
def test_tests_that_cannot_be_made_are_refused_by_name(accepted: AcceptedSettings, setting: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_accepted("sms", accepted)
    assert caught.value.message.startswith(f"gateways.sms.{setting}: ")
