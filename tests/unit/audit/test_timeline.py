"""The flight recorder."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.flows.world import START, a_ring
from wardgate.audit.timeline import MAX_DETAIL_CHARS, MAX_NAME_CHARS, MAX_STEPS, Trail, by_reference, last_of_user, newest, user_key
from wardgate.clock import FixedClock
from wardgate.storage.memory import MemoryStorage

RING = a_ring()


def a_trail(user: str = "ada") -> tuple[FixedClock, Trail]:
    clock = FixedClock(START)
    trail = Trail(clock, "radius")
    trail.user, trail.result, trail.reason = user, "denied", "password_wrong"
    return clock, trail


def body(trail: Trail) -> dict[str, Any]:
    return dict(json.loads(str(trail.entry(RING).row["body"])))


def test_steps_stand_in_order_with_their_times() -> None:
    clock, trail = a_trail()
    trail.note("first")
    clock.advance(0.25)
    trail.note("second", directory="local", nothing=None)
    clock.advance(0.5)
    found = body(trail)
    assert [(step["at_ms"], step["what"], step["detail"]) for step in found["steps"]] == [
        (0.0, "first", {}),
        (250.0, "second", {"directory": "local"}),
    ]
    assert found["took_ms"] == 750.0


def test_a_timeline_has_an_end() -> None:
    _, trail = a_trail("x" * 1000)
    for _ in range(500):
        trail.note("step", text="y" * 1000)
    found = body(trail)
    assert len(found["steps"]) == MAX_STEPS
    assert len(found["steps"][0]["detail"]["text"]) == MAX_DETAIL_CHARS
    assert len(found["user"]) == MAX_NAME_CHARS


def test_references_of_requests_differ_and_so_do_those_of_one_that_begins_anew() -> None:
    trail = a_trail()[1]
    first = trail.reference
    trail.transaction_id = "t1"
    trail.begin_anew()
    assert trail.reference != first
    assert trail.transaction_id is None


async def test_a_login_is_found_by_its_reference_as_people_read_it_out() -> None:
    storage = MemoryStorage()
    _, trail = a_trail()
    trail.reference = "01ABCDEF"
    await storage.commit([trail.entry(RING)])
    for typed in ("01ABCDEF", "01abcdef", " O1AB-CDEF ", "oIabcdef", "olABCDEF"):
        assert len(await by_reference(storage, typed)) == 1
    assert await by_reference(storage, "01ABCDEG") == []


async def test_the_newest_login_of_a_user_is_found_whatever_the_case_of_the_name() -> None:
    storage = MemoryStorage()
    for number, name in enumerate(["Ada", "eve", "ada"]):
        clock, trail = a_trail(name)
        clock.advance(number)
        trail.reference = f"0000000{number}"
        await storage.commit([trail.entry(RING)])
    assert [row["reference"] for row in await last_of_user(storage, RING, "ADA ")] == ["00000002"]
    assert [row["reference"] for row in await newest(storage, 2)] == ["00000002", "00000001"]
    assert await last_of_user(storage, RING, "nobody") == []


def test_the_look_up_value_of_a_name_does_not_tell_the_name() -> None:
    assert "ada" not in user_key(RING, "ada")
    assert user_key(RING, "ada") != user_key(a_ring(), "ada")


@given(
    st.text(max_size=300),
    st.dictionaries(st.text(min_size=1, max_size=10), st.text(max_size=20) | st.integers(-(2**63), 2**63), max_size=4),
)
def test_whatever_a_nas_tells_can_be_stored(user: str, details: dict[str, Any]) -> None:
    _, trail = a_trail(user)
    trail.steps.append((0.0, "what the NAS tells", details))
    assert body(trail)["user"] == user[:MAX_NAME_CHARS]
