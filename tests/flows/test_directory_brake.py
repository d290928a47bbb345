"""Nobody's account in a directory is locked through us: we stop below the directory's own threshold, and tell nobody so."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flows.world import BACKENDS, World, a_ring, a_storage, at_once, elsewhere, is_asked_first, is_granted, reason, says
from wardgate.clock import to_ms
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import AccountState, DirectoryUser, Lockout, PasswordVerdict
from wardgate.engine import bind_brake, brakes, first_factor, lifting
from wardgate.engine.bind_brake import Checked, bind_key, reserve_bind, settle_bind
from wardgate.engine.brake_changes import RESERVATION_LIFE_MS
from wardgate.engine.outcome import Challenge, Denied, Outcome
from wardgate.errors import DirectoryUnavailable
from wardgate.storage.port import Row

THRESHOLD = 5
STRANGERS = THRESHOLD - 2
WINDOW_S = 1800


@pytest.fixture(params=BACKENDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with a_storage(request.param, tmp_path) as storage:
        yield World(storage, directory=MemoryDirectory("local", lockout=Lockout(THRESHOLD, WINDOW_S)))


async def state(world: World, name: str = "ada") -> AccountState:
    user = await world.directory.find(name, 1)
    assert user is not None
    return user.state


async def forgotten_elsewhere(world: World, name: str = "ada") -> None:
    """The directory has forgotten the failures, as its administrator may make it."""
    user = await world.directory.find(name, 1)
    assert user is not None
    world.directory.forgive(user)


def from_anywhere(number: int) -> Any:
    return elsewhere(client=f"198.51.100.{number}")


async def guesses(world: World, count: int, first: int = 1, **options: Any) -> list[Outcome]:
    """Wrong passwords, each from an address of its own, at a door that cannot ask for a strong factor first."""
    told = {"can_challenge": False, **options}
    return [await world.begin("ada", f"guess {n}", origin=from_anywhere(n), **told) for n in range(first, first + count)]


async def one_field(world: World, password: str, code: str, number: int = 99, engine: Any = None) -> Outcome:
    return await world.begin("ada", password, code=code, can_challenge=False, origin=from_anywhere(number), engine=engine)


async def test_a_stranger_cannot_lock_a_directory_account_through_us(world: World) -> None:
    await world.person("ada")
    told = [reason(each) for each in await guesses(world, 40)]
    assert told[:STRANGERS] == ["password_wrong"] * STRANGERS
    assert set(told[STRANGERS:]) == {"brake_directory"}
    assert await state(world) is AccountState.ACTIVE


async def test_nor_can_many_at_once_through_two_nodes(world: World) -> None:
    await world.person("ada")
    world.directory.delay_s = 0.005
    nodes = [world.engine, world.another_engine()]
    told = [
        reason(each)
        for each in await at_once(
            *(world.begin("ada", f"guess {n}", origin=from_anywhere(n), engine=nodes[n % 2]) for n in range(30))
        )
    ]
    assert told.count("password_wrong") == STRANGERS
    assert await state(world) is AccountState.ACTIVE


async def test_failures_elsewhere_are_counted(world: World) -> None:
    ada = await world.person("ada")
    world.directory.fail_elsewhere(ada, STRANGERS - 1)
    told = [reason(each) for each in await guesses(world, 4)]
    assert told == ["password_wrong"] + ["brake_directory"] * 3
    assert await state(world) is AccountState.ACTIVE


async def test_what_failed_between_the_look_up_and_the_check_is_counted(world: World) -> None:
    """Another node's guess is judged, and settled, after this login read how near the lock is."""
    ada = await world.person("ada")
    world.directory.fail_elsewhere(ada, STRANGERS - 1)
    stale = await world.directory.find("ada", 1)
    node = world.another_engine()
    real = world.directory.find

    async def find_and_be_overtaken(name: str, timeout_s: float) -> DirectoryUser | None:
        world.directory.find = real  # type: ignore[method-assign]
        assert reason(await world.begin("ada", "guess", origin=from_anywhere(1), engine=node)) == "password_wrong"
        return stale

    world.directory.find = find_and_be_overtaken  # type: ignore[method-assign]
    assert reason(await world.begin("ada", "guess", origin=from_anywhere(2))) == "brake_directory"
    assert await state(world) is AccountState.ACTIVE
    assert await world.in_flight() == 0


async def test_the_right_password_is_refused_beyond_it_and_let_in_after_the_window(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await guesses(world, STRANGERS)
    await forgotten_elsewhere(world)
    assert reason(await one_field(world, "correct horse", world.wrong_code())) == "brake_directory"
    world.later(WINDOW_S + 1)
    assert isinstance(await world.begin("ada"), Challenge)


async def test_a_right_password_gives_all_tries_back(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    for round_number in range(4):
        await guesses(world, STRANGERS - 1, first=1 + 10 * round_number)
        world.later(30)
        assert is_granted(await one_field(world, "correct horse", world.totp()))
    assert await state(world) is AccountState.ACTIVE


def heard(world: World, outcome: Outcome) -> tuple[str, str, float]:
    assert isinstance(outcome, Denied), outcome
    assert outcome.not_before is not None
    return re.sub(r"[0-9A-Z]{8}$", "", says(outcome)), outcome.language, round(outcome.not_before - world.trail.started, 6)


async def test_what_is_kept_from_the_directory_looks_like_a_wrong_password(world: World) -> None:
    """That a lock began is recorded too, in a commit of its own: the reply waits for its moment all the same."""
    await world.person("ada", language="tr")
    seen, written, checks = [], [], []

    async def logins() -> int:
        return len([event for event in await world.events() if event["kind"] != "engine:brake:locked"])

    for name in ["ada"] * 8 + ["nobody"] * 8:
        number = len(seen)
        before = (await logins(), len(await world.rows("timeline")), world.directory.checks)
        seen.append(heard(world, await world.begin(name, "guess", origin=from_anywhere(number), can_challenge=False)))
        after = (await logins(), len(await world.rows("timeline")), world.directory.checks)
        written.append((after[0] - before[0], after[1] - before[1]))
        checks.append(after[2] - before[2])
    assert len(set(seen)) == len(set(written)) == 1
    assert set(checks) == {1}, "who is kept away takes the time of a check"


async def test_it_counts_at_the_other_brakes_as_a_wrong_password_does(world: World) -> None:
    await world.person("ada")
    told = [[says(each)[:20] for each in await world.wrong_passwords(name, 7)] for name in ("ada", "nobody")]
    assert told[0] == told[1]


async def test_the_cause_stands_in_audit_and_timeline_only(world: World) -> None:
    await world.person("ada")
    await guesses(world, STRANGERS + 1)
    assert (await world.payloads("engine:login:denied"))[-1]["reason"] == "brake_directory"


async def test_an_operator_lifts_it(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    await guesses(world, STRANGERS)
    await forgotten_elsewhere(world)
    who = (f"local:{ada.immutable_id}", await world.subject_of(ada))
    await world.storage.commit(await lifting.lift_user(world.storage, world.ring, who, to_ms(world.clock.now())))
    assert isinstance(await world.begin("ada"), Challenge)


async def test_an_empty_password_uses_up_no_try(world: World) -> None:
    await world.person("ada")
    for number in range(10):
        assert reason(await world.begin("ada", "", origin=from_anywhere(number))) == "password_wrong"
    assert [reason(each) for each in await guesses(world, 1, first=50)] == ["password_wrong"]


async def test_a_directory_that_locks_nobody_leaves_no_row(world: World) -> None:
    world = World(world.storage, directory=MemoryDirectory("local", lockout=Lockout(0, WINDOW_S)))
    await world.person("ada")
    await guesses(world, 10)
    assert {row["kind"] for row in await world.rows("brake")}.isdisjoint({bind_brake.KIND})


@pytest.mark.parametrize(
    "verdict", [PasswordVerdict.LOCKED, PasswordVerdict.REFUSED, PasswordVerdict.DISABLED, PasswordVerdict.HOURS]
)
async def test_what_the_directory_does_not_count_is_not_counted(world: World, verdict: PasswordVerdict) -> None:
    await world.person("ada", verdict=verdict)
    told = [reason(await world.begin("ada", origin=from_anywhere(number), can_challenge=False)) for number in range(10)]
    assert "brake_directory" not in told


async def test_a_check_that_was_never_answered_may_have_failed_and_counts(world: World) -> None:
    """A server that stands still takes the guesses up when it goes on."""
    await world.give_totp(await world.person("ada"))
    real = world.directory.check_password

    async def stand_still(*arguments: Any, **named: Any) -> PasswordVerdict:
        world.directory.behaviour = Behaviour.UNAVAILABLE
        try:
            return await real(*arguments, **named)
        finally:
            world.directory.behaviour = Behaviour.ANSWERS

    world.directory.check_password = stand_still  # type: ignore[method-assign]
    for number in range(STRANGERS):
        assert reason(await world.begin("ada", "guess", origin=from_anywhere(number))) == "directory_down"
    world.directory.check_password = real  # type: ignore[method-assign]
    world.later(RESERVATION_LIFE_MS / 1000 + 1)
    assert reason(await world.begin("ada", origin=from_anywhere(77))) == "brake_directory"


async def test_two_good_logins_at_once_wait_for_each_other_instead_of_being_refused(world: World) -> None:
    world = World(world.storage, directory=MemoryDirectory("local", lockout=Lockout(3, WINDOW_S)))
    await world.give_totp(await world.person("ada"))
    world.directory.delay_s = 0.02
    outcomes = await at_once(*(world.begin("ada", origin=from_anywhere(number)) for number in range(4)))
    assert all(isinstance(each, Challenge) for each in outcomes), outcomes


async def test_a_place_that_never_comes_free_is_refused_like_a_wrong_password(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_factor, "RESERVE_AGAIN_S", 0.001)
    monkeypatch.setattr(first_factor, "RESERVE_WAIT_S", 0.05)
    await world.person("ada")
    judged = asyncio.Event()
    real = world.directory.check_password

    async def slow(*arguments: Any, **named: Any) -> PasswordVerdict:
        await judged.wait()
        return await real(*arguments, **named)

    world.directory.check_password = slow  # type: ignore[method-assign]
    first = [asyncio.ensure_future(world.begin("ada", "guess", origin=from_anywhere(n))) for n in range(STRANGERS)]
    while await world.in_flight() < 2 * STRANGERS:
        await asyncio.sleep(0)
    assert reason(await world.begin("ada", origin=from_anywhere(50))) == "brake_directory"
    judged.set()
    await at_once(*first)
    assert await world.in_flight() == 0


# --- the lane of those who prove a second factor first -------------------------------------------------------------------


async def test_who_proves_a_strong_factor_first_still_gets_in(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await guesses(world, 30)
    outcome = await one_field(world, "correct horse", world.totp())
    assert is_granted(outcome)
    assert outcome.factors == ("password", "totp")  # type: ignore[union-attr]


async def test_a_code_that_opened_the_lane_is_spent_whatever_the_password_was(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await guesses(world, STRANGERS)
    code = world.totp()
    assert reason(await one_field(world, "wrong", code, 60)) == "password_wrong"
    assert not is_granted(await one_field(world, "correct horse", code, 61))
    assert not is_granted(await one_field(world, "correct horse", code, 62, world.another_engine()))


async def test_the_lane_ends_below_the_threshold_as_well(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await guesses(world, STRANGERS)
    for number in range(5):
        await one_field(world, "wrong", world.totp(), 60 + number)
        world.later(30)
    assert await state(world) is AccountState.ACTIVE


async def test_the_last_try_is_not_taken_by_two_who_were_told_the_same(world: World) -> None:
    """The second one's look-up was answered before the first one's wrong password."""
    ada = await world.person("ada")
    await world.give_totp(ada)
    codes = await world.give_recovery_codes(ada)
    world.directory.fail_elsewhere(ada, STRANGERS)
    stale = await world.directory.find("ada", 1)
    assert reason(await one_field(world, "wrong", world.totp(), 60)) == "password_wrong"
    real = world.directory.find

    async def answered_before(name: str, timeout_s: float) -> DirectoryUser | None:
        return stale

    world.directory.find = answered_before  # type: ignore[method-assign]
    assert reason(await one_field(world, "wrong", codes[0], 61, world.another_engine())) == "brake_directory"
    world.directory.find = real  # type: ignore[method-assign]
    assert await state(world) is AccountState.ACTIVE
    assert await world.in_flight() == 0


async def test_a_directory_that_goes_down_before_the_check_gives_the_place_back(world: World) -> None:
    ada = await world.person("ada")
    await guesses(world, 1)

    async def down(immutable_id: str, timeout_s: float) -> DirectoryUser | None:
        raise DirectoryUnavailable("away")

    real, world.directory.get = world.directory.get, down  # type: ignore[method-assign]
    for _ in range(5):
        assert reason(await world.begin("ada", origin=from_anywhere(70))) == "directory_down"
    world.directory.get = real  # type: ignore[method-assign]
    assert await world.in_flight() == 0
    assert (await world.directory.get(ada.immutable_id, 1)) is not None


async def test_a_wrong_code_opens_no_lane_and_looks_like_a_wrong_password(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await guesses(world, STRANGERS)
    refused = await one_field(world, "correct horse", world.wrong_code())
    assert reason(refused) == "brake_directory"
    assert heard(world, refused) == heard(world, (await guesses(world, 1, first=70))[0])


async def test_a_code_is_not_spent_while_no_lane_is_needed(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    code = world.totp()
    assert reason(await one_field(world, "wrong", code)) == "password_wrong"
    assert is_granted(await one_field(world, "correct horse", code))


async def test_many_at_once_with_one_code_spend_one_try(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await guesses(world, STRANGERS)
    code = world.totp()
    await at_once(*(one_field(world, f"guess {n}", code, 60 + n) for n in range(6)))
    user = await world.directory.find("ada", 1)
    assert user is not None
    assert user.lockout is not None
    assert user.lockout.failures == STRANGERS + 1


# --- the row, for any sequence ---------------------------------------------------------------------------------------

USER = DirectoryUser("local", "1", "ada", AccountState.ACTIVE, lockout=Lockout(THRESHOLD, WINDOW_S))
RING = a_ring()
START = 1_800_000_000_000


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_order_of_events_brings_a_directory_to_its_threshold(data: st.DataObject) -> None:
    """What strangers fail, through any number of nodes with stale readings, stays below; the directory forgets nothing."""
    row: Row | None = None
    counted, open_binds, told, now = 0, [], 0, START
    for _ in range(data.draw(st.integers(1, 40))):
        event = data.draw(st.sampled_from(["read", "reserve", "settle", "pass"]))
        if event == "read":
            told = counted
        elif event == "pass":
            now += data.draw(st.integers(0, 20_000))
        elif event == "reserve":
            account = bind_key(RING, replace(USER, lockout=Lockout(THRESHOLD, WINDOW_S, told)), b"o")
            assert account is not None
            modified = reserve_bind(row, bind_brake.reserve(account, now).arguments)
            bind = bind_brake.reserved(account, modified.result)
            if bind is None:
                continue
            row = modified.row
            if bind.failures and bind.overdraws(Lockout(THRESHOLD, WINDOW_S, counted), proved=False):
                row = settle_bind(row, bind_brake.settle(bind, Checked.NOT_COUNTED, now).arguments).row
                continue
            counted += 1
            open_binds.append(bind)
        elif open_binds:
            bind = open_binds.pop(data.draw(st.integers(0, len(open_binds) - 1)))
            row = settle_bind(row, bind_brake.settle(bind, Checked.WRONG, now).arguments).row
    assert counted <= STRANGERS


def test_a_right_password_forgives_what_failed_before_it_and_nothing_that_failed_since() -> None:
    account = bind_key(RING, USER, b"o")
    assert account is not None
    row: Row | None = None

    def taken() -> bind_brake.Bind:
        nonlocal row
        modified = reserve_bind(row, bind_brake.reserve(account, START).arguments)
        row = modified.row
        bind = bind_brake.reserved(account, modified.result)
        assert bind is not None
        return bind

    def settled(bind: bind_brake.Bind, checked: Checked) -> None:
        nonlocal row
        row = settle_bind(row, bind_brake.settle(bind, checked, START).arguments).row

    settled(taken(), Checked.WRONG)
    right, wrong = taken(), taken()
    settled(wrong, Checked.WRONG)
    settled(right, Checked.RIGHT)
    assert row is not None
    assert (row["failures"], row["in_flight"]) == (1, 0)


def test_a_threshold_of_one_or_two_leaves_one_try() -> None:
    for threshold in (1, 2, 3):
        account = bind_key(RING, replace(USER, lockout=Lockout(threshold, 0)), b"o")
        assert account is not None
        assert account.limit(proved=False) == 1
    assert bind_key(RING, replace(USER, lockout=Lockout(0, 0)), b"o") is None
    assert bind_key(RING, replace(USER, lockout=None), b"o") is None


def test_the_row_that_was_written_before_a_clock_was_set_back_holds_nobody() -> None:
    account = bind_key(RING, USER, b"o")
    assert account is not None
    row: Row | None = None
    for _ in range(STRANGERS):
        modified = reserve_bind(row, bind_brake.reserve(account, START + 10 * 86_400_000).arguments)
        bind = bind_brake.reserved(account, modified.result)
        assert bind is not None
        row = settle_bind(modified.row, bind_brake.settle(bind, Checked.WRONG, START + 10 * 86_400_000).arguments).row
    assert bind_brake.reserved(account, reserve_bind(row, bind_brake.reserve(account, START).arguments).result) is not None


# --- where the door can ask: a strong factor first ----------------------------------------------------------------------


async def two_steps(world: World, name: str, password: str, code: str, number: int) -> Outcome:
    """A stranger's login in two steps, once strangers have used up their tries."""
    challenge = await world.begin(name, password, origin=from_anywhere(number))
    assert is_asked_first(challenge), challenge
    return await world.answer(challenge, code, name=name, origin=from_anywhere(number))


async def test_once_strangers_have_used_up_their_tries_the_owner_comes_in_by_a_code_first(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await guesses(world, STRANGERS)
    checks = world.directory.checks
    for number in range(20):
        assert is_asked_first(await world.begin("ada", "guess", origin=from_anywhere(100 + number)))
    assert world.directory.checks == checks, "and no password reaches the directory"
    world.later(30)
    assert is_granted(await two_steps(world, "ada", "correct horse", world.totp(), 99))
    assert not is_asked_first(await world.begin("ada", origin=from_anywhere(98)))


async def test_names_that_do_not_exist_are_asked_after_as_many_wrong_passwords(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    for name in ("ada", "nobody"):
        told = [await world.begin(name, f"guess {number}", origin=from_anywhere(number)) for number in range(STRANGERS + 2)]
        assert [is_asked_first(each) for each in told] == [False] * STRANGERS + [True] * 2
    said = {says(await world.begin(name, "guess", origin=from_anywhere(50))) for name in ("ada", "nobody")}
    assert len(said) == 1
    world.later(WINDOW_S)
    for name in ("ada", "nobody"):
        assert not is_asked_first(await world.begin(name, "guess", origin=from_anywhere(60))), "a window after the last"


async def test_failures_elsewhere_do_not_show_at_the_first_wrong_password(world: World) -> None:
    ada = await world.person("ada")
    world.directory.fail_elsewhere(ada, STRANGERS)
    told = [[is_asked_first(await world.begin(name, "x", origin=from_anywhere(n))) for n in range(5)] for name in ("ada", "nobody")]
    assert told[0] == told[1] == [False] * STRANGERS + [True] * 2
    assert await state(world) is AccountState.ACTIVE


async def test_guesses_at_one_name_of_a_person_ask_nothing_at_another(world: World) -> None:
    await world.give_totp(await world.person("ada", mail="ada@mail.test"))
    await guesses(world, STRANGERS)
    assert not is_asked_first(await world.begin("ada@mail.test", "guess", origin=from_anywhere(70)))


async def test_a_thief_of_codes_does_not_lock_the_account_by_the_lane(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await guesses(world, STRANGERS)
    told = []
    for number in range(4):
        world.later(30)
        told.append(heard(world, await two_steps(world, "ada", "guess", world.totp(), 80 + number)))
    assert len(set(told)) == 1
    assert await state(world) is AccountState.ACTIVE


async def test_a_wrong_code_there_reaches_no_directory(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    await guesses(world, STRANGERS)
    for number in range(4):
        await two_steps(world, "ada", "correct horse", world.wrong_code(), 80 + number)
    user = await world.directory.find("ada", 1)
    assert user is not None
    assert user.lockout is not None
    assert user.lockout.failures == STRANGERS


async def test_a_directory_that_locks_nobody_asks_nobody(world: World) -> None:
    world = World(world.storage, directory=MemoryDirectory("local", lockout=Lockout(0, WINDOW_S)))
    await world.give_totp(await world.person("ada"))
    assert not any(is_asked_first(each) for each in [*await guesses(world, 10), await world.begin("ada")])
    assert not [row for row in await world.rows("brake") if row["kind"] == brakes.NAME_DIRECTORY]
