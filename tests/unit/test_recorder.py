"""The recorder is bounded whatever comes: floods become counts, and nobody waits for it."""

import json
from datetime import UTC, datetime

from tests.flows.world import a_ring
from wardgate.audit.incidents import IncidentKind
from wardgate.audit.recorder import (
    MAX_INCIDENT_SOURCES,
    MAX_STORED_PER_S,
    REFUSALS_TOLD_EVERY_S,
    SOURCES_TOLD_APART_S,
    Recorder,
)
from wardgate.audit.timeline import MAX_STEPS, Trail, by_reference, last_of_user
from wardgate.audit.trail import chain_for
from wardgate.clock import FixedClock
from wardgate.storage.memory import MemoryStorage

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def a_recorder() -> Recorder:
    ring = a_ring()
    return Recorder(MemoryStorage(), lambda: ring, FixedClock(NOW))


async def test_a_flood_of_refusals_does_not_fill_the_table() -> None:
    recorder = a_recorder()
    for _ in range(MAX_STORED_PER_S * 3):
        recorder.publish(Trail(recorder.clock, "radius"))
    await recorder.flush()
    assert await recorder.storage.count("timeline") == MAX_STORED_PER_S
    assert recorder.dropped == MAX_STORED_PER_S * 2


async def test_the_next_second_is_stored_again() -> None:
    recorder = a_recorder()
    assert isinstance(recorder.clock, FixedClock)
    for _ in range(MAX_STORED_PER_S + 1):
        recorder.publish(Trail(recorder.clock, "radius"))
    recorder.clock.advance(1)
    recorder.publish(Trail(recorder.clock, "radius"))
    await recorder.flush()
    assert await recorder.storage.count("timeline") == MAX_STORED_PER_S + 1


async def test_what_the_engine_stored_is_not_stored_twice() -> None:
    recorder = a_recorder()
    trail = Trail(recorder.clock, "radius")
    trail.stored = True
    recorder.publish(trail)
    await recorder.flush()
    assert await recorder.storage.count("timeline") == 0


async def test_whoever_follows_the_live_log_is_told_of_each_request_until_he_leaves() -> None:
    recorder = a_recorder()
    told: list[str] = []
    leave = recorder.listen(lambda: told.append("look"))
    trail = Trail(recorder.clock, "radius")
    trail.stored = True
    recorder.publish(trail)
    recorder.publish(Trail(recorder.clock, "radius"))
    leave()
    recorder.publish(Trail(recorder.clock, "radius"))
    assert told == ["look", "look"]


async def test_refusals_that_changed_nothing_are_audited_as_counts() -> None:
    recorder = a_recorder()
    recorder.storage.use_chain(chain_for(recorder.ring(), "test", 1))
    assert isinstance(recorder.clock, FixedClock)
    for _ in range(MAX_STORED_PER_S * 2):
        trail = Trail(recorder.clock, "radius")
        trail.result, trail.reason = "denied", "brake_user_source"
        recorder.publish(trail)
    await recorder.flush()
    trail = Trail(recorder.clock, "radius")
    trail.result, trail.reason = "denied", "state_unknown"
    recorder.publish(trail)
    await recorder.flush()
    recorder.clock.advance(REFUSALS_TOLD_EVERY_S)
    await recorder.flush()
    rows = await recorder.storage.find("audit_event", order_by="seq")
    told = [json.loads(str(row["payload"]))["refused"] for row in rows]
    assert told == [{"brake_user_source": MAX_STORED_PER_S * 2}, {"state_unknown": 1}]


async def test_a_million_packets_of_one_stranger_are_one_row() -> None:
    recorder = a_recorder()
    shown: list[str] = []
    stop = recorder.listen(lambda: shown.append("look"))
    for _ in range(1000):
        recorder.incident(IncidentKind.UNKNOWN_SOURCE, "192.0.2.1")
    await recorder.flush()
    recorder.incident(IncidentKind.UNKNOWN_SOURCE, "192.0.2.1", detail="again")
    await recorder.flush()
    stop()
    rows = await recorder.storage.find("incident")
    assert [(row["kind"], row["source"], row["count"]) for row in rows] == [("unknown_source", "192.0.2.1", 1001)]
    assert json.loads(str(rows[0]["detail"])) == "again"
    assert len(shown) == 2, "the live log is told of the first of each batch, not of all"


async def test_forged_sources_are_counted_together_beyond_a_limit() -> None:
    recorder = a_recorder()
    for number in range(MAX_INCIDENT_SOURCES + 500):
        recorder.incident(IncidentKind.UNKNOWN_SOURCE, f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}")
    await recorder.flush()
    rows = await recorder.storage.find("incident")
    assert len(rows) == MAX_INCIDENT_SOURCES + 1
    assert next(row["count"] for row in rows if row["source"] == "many sources") == 500


async def test_a_flood_of_forged_sources_that_goes_on_does_not_fill_the_table() -> None:
    recorder = a_recorder()
    for wave in range(20):
        for number in range(MAX_INCIDENT_SOURCES):
            recorder.incident(IncidentKind.UNKNOWN_SOURCE, f"10.{wave}.{number >> 8}.{number & 255}")
        await recorder.flush()
    assert await recorder.storage.count("incident") == MAX_INCIDENT_SOURCES + 1
    assert sum(int(row["count"] or 0) for row in await recorder.storage.find("incident")) == 20 * MAX_INCIDENT_SOURCES


async def test_forged_sources_do_not_hide_what_is_wrong_with_a_nas_of_ours() -> None:
    recorder = a_recorder()
    for number in range(MAX_INCIDENT_SOURCES):
        recorder.incident(IncidentKind.WRONG_SECRET, f"10.0.{number >> 8}.{number & 255}")
    recorder.incident(IncidentKind.WRONG_SECRET, "192.0.2.1", "hq-firewall")
    await recorder.flush()
    assert await recorder.storage.get("incident", {"kind": "wrong_secret", "source": "192.0.2.1"}) is not None


async def test_after_a_flood_new_sources_are_told_apart_again() -> None:
    recorder = a_recorder()
    assert isinstance(recorder.clock, FixedClock)
    for number in range(MAX_INCIDENT_SOURCES):
        recorder.incident(IncidentKind.UNKNOWN_SOURCE, f"10.0.{number >> 8}.{number & 255}")
    recorder.clock.advance(SOURCES_TOLD_APART_S)
    recorder.incident(IncidentKind.UNKNOWN_SOURCE, "192.0.2.1")
    await recorder.flush()
    assert await recorder.storage.get("incident", {"kind": "unknown_source", "source": "192.0.2.1"}) is not None


async def test_a_request_with_endless_steps_is_cut() -> None:
    trail = Trail(FixedClock(NOW), "radius")
    for number in range(MAX_STEPS * 2):
        trail.note("step", number=number, text="x" * 5000)
    body = trail.body()
    assert len(body["steps"]) == MAX_STEPS
    assert all(len(step["detail"]["text"]) <= 300 for step in body["steps"])


async def test_a_login_is_found_by_its_reference_as_people_write_it_and_by_user() -> None:
    recorder = a_recorder()
    trail = Trail(recorder.clock, "radius")
    trail.user = "Ada"
    recorder.publish(trail)
    await recorder.flush()
    spoken = trail.reference.lower().replace("0", "o").replace("1", "l")
    assert len(await by_reference(recorder.storage, f" {spoken[:4]}-{spoken[4:]} ")) == 1
    assert len(await last_of_user(recorder.storage, recorder.ring(), "aDA")) == 1
    assert await last_of_user(recorder.storage, recorder.ring(), "bob") == []
