"""Stored rows as values: whatever a row holds, a page comes out; bars stay within their drawing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.web.samples import NOW, Sample
from wardgate.clock import to_ms
from wardgate.web.view import RESULTS, WIDTH, entry_of, incident_of, login_of, look_of, reason_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
STEPS = st.lists(st.fixed_dictionaries({"at_ms": JSON, "what": JSON, "detail": JSON}) | JSON, max_size=5)
BODIES = st.fixed_dictionaries({}, optional={"user": JSON, "steps": STEPS | JSON, "took_ms": JSON, "text": JSON, "nas": JSON})


def row_of(body: str, at_ms: int = to_ms(NOW)) -> dict[str, Any]:
    return {"id": "0" * 24, "reference": "7K3M9QXT", "door": "radius", "result": "granted", "body": body, "created_at": at_ms}


@given(BODIES)
def test_any_body_makes_an_entry(body: dict[str, Any]) -> None:
    entry = entry_of(row_of(json.dumps(body)))
    assert isinstance(entry.user, str)
    for step in entry.steps:
        assert 0 <= step.bar.x <= step.bar.x + step.bar.width <= WIDTH + 0.02
        assert step.took_ms >= 0


@pytest.mark.parametrize(
    "body", ["", "no json", "[]", "7", "null", '{"steps": 7, "took_ms": "long", "user": ["ada"]}', '{"took_ms": -5}']
)
def test_broken_body_makes_an_entry_with_gaps(body: str) -> None:
    entry = entry_of(row_of(body))
    assert (entry.user, entry.came, entry.steps, entry.took_ms) == ("", "", (), 0.0)


def test_steps_fill_the_bar_from_one_to_the_next() -> None:
    steps = [{"at_ms": at, "what": what, "detail": {}} for at, what in ((0, "request"), (25, "password checked"), (100, "replied"))]
    entry = entry_of(row_of(json.dumps({"steps": steps, "took_ms": 100})))
    assert [(step.bar.x, step.bar.width) for step in entry.steps] == [(0.0, 4.0), (0.0, 250.0), (250.0, 750.0)]
    assert [step.took_ms for step in entry.steps] == [0, 25, 75]
    assert entry.came == "request"


def test_details_are_plain_words() -> None:
    detail = {"yes": True, "no": False, "list": ["a", 1], "object": {"a": 1}, "number": 1.5}
    entry = entry_of(row_of(json.dumps({"steps": [{"at_ms": 0, "what": "x", "detail": detail}]})))
    assert entry.steps[0].detail == (("yes", "yes"), ("no", "no"), ("list", "a, 1"), ("object", '{"a": 1}'), ("number", "1.5"))


async def test_requests_of_a_login_stand_where_they_happened() -> None:
    sample = Sample()
    await sample.fill()
    rows = await sample.storage.find("timeline", [], order_by="id")
    login = login_of([entry_of(row) for row in rows if row["reference"] == "7K3M9QXT"])
    assert [round(lane.after_ms / 1000, 1) for lane in login.lanes] == [0.0, 13.2, 18.6]
    assert (login.ticks, login.tick_ms) == (4, 5000)
    assert [round(lane.bar.x) for lane in login.lanes] == [0, 661, 931]
    assert login.decisive.result == "granted"


@pytest.mark.parametrize("apart_ms", [0, 1, 999, 60_000, 7 * 3_600_000, 10**10])
def test_axis_has_few_marks_however_long_the_login(apart_ms: int) -> None:
    first, second = entry_of(row_of('{"took_ms": 0}')), entry_of(row_of('{"took_ms": 0.5}', to_ms(NOW) + apart_ms))
    login = login_of([first, second])
    assert 1 <= login.ticks <= 6
    assert login.ticks * login.tick_ms >= login.lasted_ms
    assert all(0 <= lane.bar.x <= WIDTH - lane.bar.width for lane in login.lanes)


def test_login_without_a_decision_is_named_by_its_last_request() -> None:
    rows = [row_of("{}") | {"result": result} for result in ("challenged", "repeated")]
    assert login_of([entry_of(row) for row in rows]).decisive.result == "repeated"
    rows.insert(1, row_of("{}") | {"result": "denied"})
    assert login_of([entry_of(row) for row in rows]).decisive.result == "denied"


def test_unknown_result_is_shown_by_its_own_word() -> None:
    assert look_of("granted") is RESULTS["granted"]
    assert look_of("something new").word == "live.result_other"


def test_user_name_is_no_format_program() -> None:
    said = reason_text("no_factor", "{0.__class__} {user}", "en")
    assert "{0.__class__} {user}" in said
    assert reason_text("a_new_reason", "ada", "tr") == "a_new_reason"


@pytest.mark.parametrize("detail", ['"words"', "not json", "{}", "null"])
def test_incident_detail_may_be_anything(detail: str) -> None:
    row = {"kind": "new_kind", "source": "10.0.0.1", "nas": None, "detail": detail, "count": 3, "first_at": 1, "last_at": 2}
    assert incident_of(row).count == 3
