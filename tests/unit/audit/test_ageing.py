"""Payloads that had their time go, on record, in steps; no clock that is wrong takes more with it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.audit.exports import BEGIN, Trail
from wardgate.audit.ageing import GRAIN_MS, Ageing
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.retention import CLASSES, LIMITS, EventClass, RetentionSettings, check_settings, class_of, span_ms
from wardgate.audit.trail import verify
from wardgate.clock import FixedClock, to_ms
from wardgate.config.document import parse
from wardgate.errors import SettingsError
from wardgate.janitor import GAP_MS, HELD_MS, Janitor
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Commit, Committed, Operation, Row, Update
from wardgate.storage.sqlite import SqliteStorage

DAY_MS = 86_400_000
SPANS = RetentionSettings(audit_logins="30d", audit_administration="180d", audit_security="90d")
ERASED = Kind.PAYLOADS_ERASED.stored


async def put(trail: Trail, kind: Kind, days_ago: float, **details: object) -> None:
    """An event of so many days before BEGIN."""
    event = AuditEvent(kind, to_ms(BEGIN) - int(days_ago * DAY_MS), "engine", details={"user": "ada", **details})
    await trail.storage.commit([record(event)])


async def a_trail(storage: MemoryStorage | SqliteStorage | None = None) -> Trail:
    trail = Trail(storage or MemoryStorage())
    await trail.write(0)
    for days_ago in (200, 100, 40, 20, 1):
        for kind in (Kind.LOGIN_DENIED, Kind.USER_CHANGED, Kind.BRAKE_LOCKED):
            await put(trail, kind, days_ago)
    return trail


async def age(trail: Trail, settings: RetentionSettings = SPANS, now_ms: int = to_ms(BEGIN), rows: int = 4) -> int:
    ageing = Ageing(trail.storage, settings, now_ms)
    await ageing.begin()
    gone = 0
    while (went := await ageing.step(rows)) is not None:
        gone += went
    return gone


async def left(trail: Trail) -> dict[str, list[int]]:
    """Kinds whose payloads stand, with their ages in days."""
    found: dict[str, list[int]] = {}
    for row in await trail.rows():
        if row["payload"] is not None and row["kind"] != ERASED:
            found.setdefault(row["kind"], []).append((to_ms(BEGIN) - row["created_at"]) // DAY_MS)
    return found


def test_every_kind_of_event_belongs_to_a_class_and_every_class_has_a_span() -> None:
    assert set(CLASSES) == set(Kind)
    assert {each.value for each in EventClass if each is not EventClass.KEPT} <= set(LIMITS)
    assert check_settings(RetentionSettings()) == []
    assert class_of("of:a:later_release") is EventClass.ADMINISTRATION


def test_only_what_names_nobody_is_kept_for_ever() -> None:
    assert {kind for kind, each in CLASSES.items() if each is EventClass.KEPT} == {
        Kind.PAYLOADS_ERASED,
        Kind.PERSON_ERASED,
        Kind.EPOCH_OPENED,
    }


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_a_span_that_would_empty_the_records_of_yesterday_is_refused(name: str) -> None:
    least_s = LIMITS[name][0]
    assert least_s >= 86_400
    with pytest.raises(SettingsError, match=f"retention.{name}"):
        parse({**A_DOCUMENT, "retention": {name: f"{least_s - 1}s"}})
    assert span_ms(parse({**A_DOCUMENT, "retention": {name: least_s}}).retention, name) == least_s * 1000


A_DOCUMENT = {
    "realms": [{"name": "default", "default": True, "directories": ["local"]}],
    "directories": [{"name": "local", "kind": "local"}],
}


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
async def test_each_class_goes_by_its_own_span_and_the_chain_stays_whole(backend: str, tmp_path: object) -> None:
    storage = MemoryStorage() if backend == "memory" else await SqliteStorage.open(tmp_path / "audit.db")  # type: ignore[operator]
    trail = await a_trail(storage)
    await trail.sign()
    assert await age(trail) == 3 + 1 + 2
    assert await left(trail) == {
        Kind.LOGIN_DENIED.stored: [20, 1],
        Kind.USER_CHANGED.stored: [100, 40, 20, 1],
        Kind.BRAKE_LOCKED.stored: [40, 20, 1],
    }
    rows = await trail.rows()
    assert all((row["salt"] is None) == (row["payload"] is None) and row["commitment"] for row in rows)
    verified = await verify(storage, trail.ring)
    assert (verified.findings, verified.erased, verified.on_record, verified.by_retention) == ((), 6, 6, 6)
    await trail.sign()
    assert trail.check(await trail.export()).findings == ()
    await storage.close()


async def test_every_step_says_what_it_took_of_which_class_and_until_when() -> None:
    trail = await a_trail()
    await age(trail, rows=500)
    told = [json.loads(row["payload"]) for row in await trail.rows() if row["kind"] == ERASED]
    counts: dict[str, int] = {}
    for each in told:
        assert each["by"] == "retention"
        assert each["events"] == sum(each["classes"].values()) == each["chains"]["server:1"]["events"]
        assert each["before"].endswith("T00:00:00+00:00")
        assert "ada" not in json.dumps(each)
        for name, count in each["classes"].items():
            counts[name] = counts.get(name, 0) + count
            assert each["spans"][name] == getattr(SPANS, name)
    assert counts == {"audit_logins": 3, "audit_administration": 1, "audit_security": 2}


async def test_a_second_sweep_finds_nothing_and_says_nothing() -> None:
    trail = await a_trail()
    await age(trail)
    before = await trail.rows()
    assert await age(trail) == 0
    assert await trail.rows() == before


async def test_a_sweep_that_was_cut_short_anywhere_goes_on_where_it_stood() -> None:
    steps = 0
    while True:
        trail = await a_trail()
        ageing = Ageing(trail.storage, SPANS, to_ms(BEGIN))
        await ageing.begin()
        for _ in range(steps):
            if await ageing.step(2) is None:
                assert steps > 3
                return
        verified = await verify(trail.storage, trail.ring)
        assert verified.erased == verified.on_record
        await age(trail)
        verified = await verify(trail.storage, trail.ring)
        assert (verified.findings, verified.erased, verified.on_record) == ((), 6, 6)
        steps += 1


async def test_two_nodes_that_sweep_at_once_erase_and_tell_once() -> None:
    trail = await a_trail()
    one, two = (Ageing(trail.storage, SPANS, to_ms(BEGIN)) for _ in range(2))
    await one.begin()
    await two.begin()
    going = [one, two]
    while going:
        going = [each for each in going if await each.step(3) is not None]
    await age(trail)
    verified = await verify(trail.storage, trail.ring)
    assert (verified.findings, verified.erased, verified.on_record) == ((), 6, 6)


async def test_a_span_that_is_shortened_later_takes_what_was_passed_over() -> None:
    trail = await a_trail()
    await age(trail)
    assert await age(trail, replace(SPANS, audit_security="3650d", audit_administration="3650d")) == 0
    assert await age(trail, replace(SPANS, audit_administration="180d"), to_ms(BEGIN)) == 0
    trail = await a_trail()
    assert await age(trail, replace(SPANS, audit_administration="400d")) == 3 + 2
    assert await age(trail, replace(SPANS, audit_administration="180d")) == 1


async def test_payloads_that_were_erased_for_a_person_are_not_counted_again() -> None:
    trail = await a_trail()
    rows = await trail.rows()
    await trail.storage.commit(
        [
            Update("audit_event", {name: rows[0][name] for name in ("writer", "epoch", "seq")}, {"payload": None, "salt": None}),
            record(AuditEvent(Kind.PAYLOADS_ERASED, to_ms(BEGIN), "operator:olga", details={"reason": "4711", "events": 1})),
        ]
    )
    assert await age(trail) == 5
    verified = await verify(trail.storage, trail.ring)
    assert (verified.erased, verified.on_record, verified.by_retention) == (6, 6, 5)


# --- clocks ----------------------------------------------------------------------------------------------------------


async def test_a_clock_that_jumped_ahead_erases_nothing_that_is_younger_than_the_newest_event_less_the_span() -> None:
    trail = await a_trail()
    await age(trail)
    before = await left(trail)
    # Ten years ahead: only what has its time when the newest event was written.
    await age(trail, now_ms=to_ms(BEGIN) + 3_650 * DAY_MS)
    assert await left(trail) == before


async def test_what_an_erasure_writes_by_a_wrong_clock_does_not_let_the_next_one_take_more() -> None:
    trail = await a_trail()
    ahead_ms = to_ms(BEGIN) + 3_650 * DAY_MS
    assert await age(trail, now_ms=ahead_ms) > 0
    before = await left(trail)
    assert await age(trail, now_ms=ahead_ms) == 0
    assert await left(trail) == before


async def test_a_clock_that_stands_back_takes_no_event_of_what_it_thinks_the_future() -> None:
    trail = await a_trail()
    assert await age(trail, now_ms=to_ms(BEGIN) - 1_000 * DAY_MS) == 0


async def test_events_dated_back_do_not_go_before_their_time() -> None:
    trail = Trail(MemoryStorage())
    await trail.write(0)
    await put(trail, Kind.LOGIN_DENIED, 20)
    # What somebody did while the clock stood in 1999.
    for _ in range(10):
        await put(trail, Kind.LOGIN_GRANTED, 10_000)
    await put(trail, Kind.LOGIN_DENIED, 1)
    assert await age(trail) == 0
    assert await age(trail, now_ms=to_ms(BEGIN) + 11 * DAY_MS) == 0
    await put(trail, Kind.LOGIN_DENIED, -11)
    assert await age(trail, now_ms=to_ms(BEGIN) + 11 * DAY_MS) == 11


async def test_events_dated_ahead_do_not_keep_those_behind_them() -> None:
    trail = Trail(MemoryStorage())
    await trail.write(0)
    await put(trail, Kind.LOGIN_DENIED, 100)
    for _ in range(6):
        await put(trail, Kind.LOGIN_DENIED, -1_000)
    await put(trail, Kind.LOGIN_DENIED, 90)
    await put(trail, Kind.LOGIN_DENIED, 1)
    assert await age(trail) == 8
    assert (await left(trail))[Kind.LOGIN_DENIED.stored] == [1]


async def test_the_newest_events_of_a_chain_stay_when_they_are_dated_ahead() -> None:
    trail = Trail(MemoryStorage())
    await trail.write(0)
    await put(trail, Kind.LOGIN_DENIED, 100)
    await put(trail, Kind.LOGIN_DENIED, -1_000)
    assert await age(trail) == 1
    assert (await left(trail))[Kind.LOGIN_DENIED.stored] == [-1_000]


# --- the janitor -----------------------------------------------------------------------------------------------------


async def test_a_sweep_of_the_janitor_ages_the_trail_once_a_day() -> None:
    trail = await a_trail()
    keeper = Janitor(trail.storage, trail.clock, settings=lambda: SPANS)
    await keeper.sweep()
    assert sum(len(each) for each in (await left(trail)).values()) == 9
    reads: list[str] = []
    find = trail.storage.find

    async def counted(table: str, *args: object, **more: object) -> list[Row]:
        reads.append(table)
        return await find(table, *args, **more)  # type: ignore[arg-type]

    trail.storage.find = counted  # type: ignore[method-assign]
    await keeper.sweep()
    assert "audit_event" not in reads
    trail.clock.advance(GRAIN_MS / 1000)
    await keeper.sweep()
    assert "audit_event" in reads


async def test_records_stay_for_a_day_when_the_clock_seems_to_have_jumped(caplog: pytest.LogCaptureFixture) -> None:
    storage, clock = MemoryStorage(), FixedClock(BEGIN)
    trail = Trail(storage, clock=clock)
    await trail.write(1)
    keeper = Janitor(storage, clock, settings=lambda: SPANS)
    await keeper.sweep()
    clock.advance(GAP_MS / 1000 + 400 * 86_400)
    # The wrong clock writes, too: the newest event is no protection.
    await trail.append(1)
    await keeper.sweep()
    assert all(row["payload"] for row in await trail.rows())
    # Set right within the day, nothing was lost; then it goes on as ever.
    clock.advance(-(GAP_MS / 1000 + 400 * 86_400))
    await Janitor(storage, clock, settings=lambda: SPANS).sweep()
    assert all(row["payload"] for row in await trail.rows())


async def test_a_server_that_was_off_for_long_waits_a_day_and_then_erases() -> None:
    storage, clock = MemoryStorage(), FixedClock(BEGIN)
    trail = Trail(storage, clock=clock)
    await trail.write(1)
    await Janitor(storage, clock, settings=lambda: SPANS).sweep()
    clock.advance(GAP_MS / 1000 + 40 * 86_400)
    await trail.append(1)
    keeper = Janitor(storage, clock, settings=lambda: SPANS)
    for _ in range(3):
        await keeper.sweep()
        clock.advance(3_600)
    assert (await trail.rows())[0]["payload"]
    clock.advance(timedelta(milliseconds=HELD_MS).total_seconds())
    await keeper.sweep()
    assert (await trail.rows())[0]["payload"] is None


async def test_a_login_fits_between_two_steps() -> None:
    trail = Trail(MemoryStorage())
    await trail.write(0)
    for _ in range(300):
        await put(trail, Kind.LOGIN_DENIED, 50)
    await put(trail, Kind.LOGIN_DENIED, 0)
    units: list[int] = []
    pauses = 0
    commit = trail.storage.commit

    async def counted(operations: Sequence[Operation]) -> Commit:
        done = await commit(operations)
        erased = sum(isinstance(each, Update) and each.table == "audit_event" for each in operations)
        if erased and isinstance(done, Committed):
            units.append(erased)
        return done

    async def pause(seconds: float) -> None:
        nonlocal pauses
        pauses += 1

    trail.storage.commit = counted  # type: ignore[method-assign]
    await Janitor(trail.storage, trail.clock, pause, lambda: SPANS).sweep()
    assert sum(units) == 300
    assert pauses >= len(units) > 1
