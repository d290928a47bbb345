"""A State that carries its login itself: whatever holds for a row holds for it."""

from dataclasses import replace

import pytest

from tests.flows.world import NAS, World, a_ring, at_once, elsewhere, is_asked_first, is_granted, reason, says
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge, Granted
from wardgate.engine.sealed_handle import MAX_SEALED_BYTES, open_login
from wardgate.engine.settings import ApplicationSettings, CodeSettings
from wardgate.storage.port import Delete, Update, Where


async def ada(world: World) -> Challenge:
    await world.give_totp(await world.person("ada"))
    return await world.challenged("ada")


async def test_a_question_that_sends_nothing_needs_no_row_until_it_is_answered(world: World) -> None:
    challenge = await ada(world)
    assert await world.rows("login_transaction") == []
    assert await world.rows("handle") == []
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    assert await world.rows("login_transaction") == []
    assert len(await world.rows("handle")) == 1


async def test_a_login_that_nobody_answered_is_on_record(world: World) -> None:
    challenge = await ada(world)
    [event] = await world.events("engine:login:challenged")
    [row] = await world.rows("timeline")
    assert event["reference"] == row["reference"] == challenge.reference
    assert event["transaction_id"] == row["transaction_id"]
    assert row["result"] == "challenged"
    assert (await world.verified()).findings == ()


async def test_a_sealed_handle_is_used_once_by_engines_that_know_nothing_of_each_other(world: World) -> None:
    challenge = await ada(world)
    engines = [world.another_engine() for _ in range(8)]
    code = world.totp()
    outcomes = await at_once(*(world.answer(challenge, code, name="ada", engine=engine) for engine in engines))
    assert sum(map(is_granted, outcomes)) == 1
    assert {reason(each) for each in outcomes if not is_granted(each)} == {"state_used"}
    assert len(await world.events("engine:login:granted")) == 1


async def test_a_sealed_handle_and_its_later_codes_are_used_once_after_a_restart(world: World) -> None:
    challenge = await ada(world)
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    world.later(30)
    after_restart = world.another_engine()
    assert reason(await world.answer(challenge, world.totp(), name="ada", engine=after_restart)) == "state_used"


async def test_an_identical_packet_after_a_restart_gets_the_same_outcome(world: World) -> None:
    challenge = await ada(world)
    first = await world.answer(challenge, world.totp(), name="ada", fingerprint=b"one packet")
    again = await world.answer(challenge, world.totp(), name="ada", fingerprint=b"one packet", engine=world.another_engine())
    assert isinstance(first, Granted)
    assert again == first
    assert len(await world.events("engine:login:granted")) == 1


async def test_wrong_codes_for_one_sealed_handle_at_once_are_one_try(world: World) -> None:
    challenge = await ada(world)
    wrong = [world.wrong_code() for _ in range(6)]
    outcomes = await at_once(*(world.answer(challenge, code, name="ada") for code in wrong))
    [again] = [each for each in outcomes if isinstance(each, Challenge)]
    assert says(again).startswith("The code is not right; 2 tries left.")
    assert await world.failures() == 1
    assert len(await world.rows("login_transaction")) == 1


async def test_a_sealed_handle_gives_no_tries_back(world: World) -> None:
    challenge = first = await ada(world)
    for _ in range(2):
        outcome = await world.answer(challenge, world.wrong_code(), name="ada")
        assert isinstance(outcome, Challenge)
        challenge = outcome
        assert reason(await world.answer(first, world.totp(), name="ada")) == "state_used"
    assert reason(await world.answer(challenge, world.wrong_code(), name="ada")) == "code_closed"
    assert reason(await world.answer(first, world.totp(), name="ada")) == "state_used"


async def test_sealed_handles_one_after_another_do_not_go_around_the_brakes(world: World) -> None:
    await ada(world)
    for _ in range(5):
        assert isinstance(await world.answer(await world.challenged("ada"), world.wrong_code(), name="ada"), Challenge)
    assert is_asked_first(await world.begin("ada"))


async def test_a_sealed_handle_that_was_taken_before_a_lock_is_worth_nothing_during_it(world: World) -> None:
    early = await ada(world)
    for _ in range(5):
        await world.answer(await world.challenged("ada"), world.wrong_code(), name="ada")
    assert reason(await world.answer(early, world.totp(), name="ada")) == "brake_user_source"


async def test_a_sealed_handle_whose_row_was_cleared_away_is_too_old_by_then(world: World) -> None:
    challenge = await ada(world)
    await world.answer(challenge, world.totp(), name="ada")
    [row] = await world.rows("handle")
    kept_until = int(row["expires_at"] or 0)
    world.later((kept_until - int(row["consumed_at"] or 0)) / 1000)
    await world.storage.commit([Delete("handle", (Where("expires_at", "<=", kept_until),))])
    assert await world.rows("handle") == []
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "transaction_expired"


async def test_a_cancelled_sealed_handle_is_worth_nothing(world: World) -> None:
    challenge = await ada(world)
    assert (await world.engine.cancel(challenge.handle, world._trail(NAS))).reason == "cancelled"
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "state_used"
    assert (await world.engine.cancel(challenge.handle, world._trail(NAS))).reason == "state_unknown"
    assert len(await world.events("engine:login:denied")) == 1


async def test_a_cancelled_sealed_handle_is_worth_nothing_where_it_is_being_answered(world: World) -> None:
    challenge = await ada(world)
    answered, cancelled = await at_once(
        world.answer(challenge, world.totp(), name="ada"), world.engine.cancel(challenge.handle, world._trail(NAS))
    )
    assert is_granted(answered) is (cancelled.reason == "state_unknown")


async def test_a_sealed_handle_of_before_a_restore_is_worth_nothing(world: World) -> None:
    challenge = await ada(world)
    restored = Engine(replace(world.engine._parts, epoch="2-after"))
    assert reason(await world.answer(challenge, world.totp(), name="ada", engine=restored)) == "state_unknown"
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))


async def test_a_sealed_handle_of_another_installation_is_worth_nothing(world: World) -> None:
    challenge = await ada(world)
    world.ring = a_ring()
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "state_unknown"


async def test_a_sealed_handle_of_another_nas_or_name_is_refused_and_stays_good(world: World) -> None:
    challenge = await ada(world)
    await world.person("eve")
    branch = elsewhere(binding="radius:branch:", nas="branch")
    assert reason(await world.answer(challenge, world.totp(), name="ada", origin=branch)) == "state_other_nas"
    assert reason(await world.answer(challenge, world.totp(), name="eve")) == "state_other_user"
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))


async def test_no_part_of_a_sealed_handle_can_be_changed(world: World) -> None:
    challenge = await ada(world)
    for at in range(len(challenge.handle)):
        forged = bytearray(challenge.handle)
        forged[at] ^= 0x41
        changed = replace(challenge, handle=bytes(forged))
        assert reason(await world.answer(changed, world.totp(), name="ada")) == "state_unknown"
    for cut in (challenge.handle[:-1], challenge.handle + b"\0"):
        assert reason(await world.answer(replace(challenge, handle=cut), world.totp(), name="ada")) == "state_unknown"


async def test_a_sealed_handle_tells_nothing(world: World) -> None:
    challenge = await ada(world)
    for told in (b"ada", b"vpn", b"totp", challenge.reference.encode()):
        assert told not in challenge.handle


async def test_a_sealed_handle_lives_over_the_turn_of_the_hour_and_no_longer_than_its_login(world: World) -> None:
    world.later(3600 - 60)
    challenge = await ada(world)
    world.later(90)
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    now_ms = int(world.clock.now().timestamp() * 1000)
    assert open_login(world.ring, challenge.handle, NAS.binding, "ada", "", now_ms) is not None
    assert open_login(world.ring, challenge.handle, NAS.binding, "ada", "", now_ms + 2 * 3_600_000) is None


async def test_a_login_whose_names_do_not_fit_into_a_state_is_a_row(world: World) -> None:
    world.application = ApplicationSettings(name="vpn", title="VPN")
    await world.give_totp(await world.person("a" * 200))
    challenge = await world.challenged("a" * 200)
    assert len(challenge.handle) <= MAX_SEALED_BYTES
    assert len(await world.rows("login_transaction")) == 1
    assert is_granted(await world.answer(challenge, world.totp(), name="a" * 200))
    assert reason(await world.answer(challenge, world.totp(1), name="a" * 200)) == "state_used"


@pytest.mark.parametrize("length", [1, 20, 60, 80, 100, 120])
async def test_a_state_fits_into_an_attribute_and_works_whatever_the_names(world: World, length: int) -> None:
    name = "n" * length
    await world.give_totp(await world.person(name))
    challenge = await world.challenged(name)
    assert len(challenge.handle) <= MAX_SEALED_BYTES
    assert is_granted(await world.answer(challenge, world.totp(), name=name))


async def test_a_word_at_a_sealed_handle_that_comes_twice_sends_one_message(world: World) -> None:
    user = await world.person("ada", phone="+905321234567")
    await world.give_totp(user)
    challenge = await world.challenged("ada")
    outcomes = await at_once(*(world.answer(challenge, "sms", name="ada", fingerprint=b"same") for _ in range(3)))
    assert len(await world.messages()) == 1
    assert len({each.handle for each in outcomes if isinstance(each, Challenge)}) == 1


async def test_an_account_that_changed_hands_meanwhile_is_not_let_in_by_a_sealed_handle(world: World) -> None:
    user = await world.person("ada")
    await world.give_totp(user)
    challenge = await world.challenged("ada")
    key = {"directory": user.directory, "immutable_id": user.immutable_id}
    await world.storage.commit([Update("subject_link", key, {"subject_id": "f" * 32})])
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "user_changed"


async def test_an_engine_that_remembers_the_old_subject_asks_the_new_one_for_his_code(world: World) -> None:
    """Whom an account belongs to is remembered, and read all the same."""
    user, eve = await world.person("ada"), await world.person("eve")
    await world.give_totp(user)
    await world.challenged("ada")  # the engine remembers the link now
    await world.give_totp(eve, b"e" * 20)
    key = {"directory": user.directory, "immutable_id": user.immutable_id}
    await world.storage.commit([Update("subject_link", key, {"subject_id": await world.subject_of(eve)})])
    challenge = await world.challenged("ada")
    assert isinstance(await world.answer(challenge, world.totp(), name="ada"), Challenge)
    assert is_granted(await world.answer(await world.challenged("ada"), world.totp(secret=b"e" * 20), name="ada"))


async def test_settings_that_no_sealed_handle_can_hold_make_rows(world: World) -> None:
    world.codes = CodeSettings(tries=1000)
    challenge = await ada(world)
    assert len(await world.rows("login_transaction")) == 1
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))


async def test_garbage_that_opens_as_no_sealed_handle_is_unknown(world: World) -> None:
    await ada(world)
    sealed = world.ring.seal_for_an_hour(b"x" * 120, "another use", int(world.clock.now().timestamp() * 1000))
    forged = Challenge(sealed, "totp", (), 1, "en", "REF")
    assert reason(await world.answer(forged, world.totp(), name="ada")) == "state_unknown"
