"""State: opaque, single use, bound to NAS and name; and accounts that change while a login runs."""

from dataclasses import replace

import pytest

from tests.flows.world import NAS, World, at_once, elsewhere, is_granted, reason, says
from wardgate.crypto import Secret
from wardgate.directory.port import AccountState
from wardgate.engine.outcome import Challenge, Denied, Granted
from wardgate.engine.request import AnswerRequest
from wardgate.engine.transaction import handle_mac
from wardgate.errors import SealError
from wardgate.storage.port import Insert, Update


async def ada_challenged(world: World) -> Challenge:
    await world.give_totp(await world.person("ada"))
    return await world.challenged("ada")


async def answer_with(world: World, handle: bytes, answer: str = "123456") -> object:
    return await world.engine.answer(AnswerRequest(handle, Secret(answer), "ada", b"mark", NAS, world._trail(NAS)))


# --- single use ------------------------------------------------------------------------------------------------------


async def test_a_state_is_good_for_one_answer(world: World) -> None:
    challenge = await ada_challenged(world)
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    assert reason(await world.answer(challenge, world.totp(1), name="ada")) == "state_used"
    assert len(await world.events("engine:login:granted")) == 1


async def test_a_state_that_took_a_wrong_code_takes_no_right_one(world: World) -> None:
    challenge = await ada_challenged(world)
    again = await world.answer(challenge, world.wrong_code(), name="ada")
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "state_used"
    assert is_granted(await world.answer(again, world.totp(), name="ada"))


async def test_answers_to_a_used_state_are_not_counted(world: World) -> None:
    challenge = await ada_challenged(world)
    await world.answer(challenge, world.totp(), name="ada")
    for _ in range(20):
        await world.answer(challenge, world.wrong_code(), name="ada")
    assert isinstance(await world.begin("ada"), Challenge)


@pytest.mark.parametrize("handle", [b"", b"\0" * 24, b"x", b"y" * 253])
async def test_a_state_that_is_not_ours_is_refused_and_checks_no_password(world: World, handle: bytes) -> None:
    await ada_challenged(world)
    checks = world.directory.checks
    outcome = await answer_with(world, handle, "correct horse")
    assert isinstance(outcome, Denied)
    assert outcome.reason == "state_unknown"
    assert world.directory.checks == checks


async def test_each_bit_of_a_state_matters(world: World) -> None:
    challenge = await ada_challenged(world)
    for bit in range(0, len(challenge.handle) * 8, 7):
        forged = bytearray(challenge.handle)
        forged[bit // 8] ^= 1 << bit % 8
        outcome = await answer_with(world, bytes(forged), world.totp())
        assert isinstance(outcome, Denied)
        assert outcome.reason == "state_unknown"
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))


async def test_states_are_not_guessable_from_others_nor_from_the_database(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    handles = [(await world.challenged("ada", origin=elsewhere(client=f"203.0.113.{n}"))).handle for n in range(1, 30)]
    assert len(set(handles)) == len(handles)
    assert len({handle[:6] for handle in handles}) == len(handles)
    for handle in handles:
        await answer_with(world, handle, world.wrong_code())
    stored = [row["handle_mac"] for row in await world.rows("handle")]
    for handle in handles:
        assert handle not in stored
        assert handle_mac(world.ring, handle) in stored


# --- bound -----------------------------------------------------------------------------------------------------------


async def test_another_nas_cannot_use_the_state(world: World) -> None:
    challenge = await ada_challenged(world)
    stolen = await world.answer(challenge, world.totp(), name="ada", origin=elsewhere(binding="radius:branch:"))
    assert reason(stolen) == "state_other_nas"
    assert is_granted(await world.answer(challenge, world.totp(), name="ada")), "and it was not used up by that"


async def test_another_nas_identifier_behind_the_same_nas_cannot_use_the_state(world: World) -> None:
    challenge = await ada_challenged(world)
    other = elsewhere(binding="radius:hq:gateway", nas_identifier="gateway")
    assert reason(await world.answer(challenge, world.totp(), name="ada", origin=other)) == "state_other_nas"


async def test_the_other_half_of_an_ha_pair_can(world: World) -> None:
    challenge = await ada_challenged(world)
    assert is_granted(await world.answer(challenge, world.totp(), name="ada", origin=elsewhere(source="192.0.2.11")))


async def test_another_user_name_cannot_use_the_state(world: World) -> None:
    challenge = await ada_challenged(world)
    await world.give_totp(await world.person("eve"), b"e" * 20)
    for name in ("eve", "", "nobody", "ada@elsewhere.test"):
        assert reason(await world.answer(challenge, world.totp(), name=name)) == "state_other_user"
    assert is_granted(await world.answer(challenge, world.totp(), name="ada")), "and it was not used up by that"


async def test_the_same_person_under_another_form_of_the_name_has_to_begin_anew(world: World) -> None:
    challenge = await ada_challenged(world)
    assert reason(await world.answer(challenge, world.totp(), name="acme\\ada")) == "state_other_user"
    assert is_granted(await world.answer(challenge, world.totp(), name="ADA "))


async def test_an_answer_on_a_second_node_is_as_good(world: World) -> None:
    challenge = await ada_challenged(world)
    other = world.another_engine()
    again = await world.answer(challenge, world.wrong_code(), name="ada", engine=other)
    assert is_granted(await world.answer(again, world.totp(), name="ada", engine=world.engine))
    assert reason(await world.answer(again, world.totp(1), name="ada", engine=other)) == "state_used"


# --- expired ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "right"), [(179.999, True), (180, False), (3600, False)])
async def test_a_state_lives_for_three_minutes(world: World, seconds: float, right: bool) -> None:
    challenge = await ada_challenged(world)
    world.later(seconds)
    outcome = await world.answer(challenge, world.totp(), name="ada")
    if right:
        assert is_granted(outcome)
    else:
        assert reason(outcome) == "transaction_expired"
        assert says(outcome).startswith("This took too long")


async def test_wrong_codes_and_blanks_do_not_lengthen_its_life(world: World) -> None:
    challenge = await ada_challenged(world)
    for answer in ("", world.wrong_code(), ""):
        world.later(50)
        challenge = await world.answer(challenge, answer, name="ada")
        assert isinstance(challenge, Challenge)
    assert challenge.expires_in_s == 30
    world.later(30)
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "transaction_expired"


# --- the same packet again -------------------------------------------------------------------------------------------


async def test_the_same_packet_again_gets_the_same_outcome(world: World) -> None:
    challenge = await ada_challenged(world)
    granted = await world.answer(challenge, world.totp(), name="ada", fingerprint=b"one packet")
    again = await world.answer(challenge, world.totp(), name="ada", fingerprint=b"one packet", engine=world.another_engine())
    assert isinstance(granted, Granted)
    assert again == granted
    assert world.trail.reason == "duplicate"
    assert len(await world.events("engine:login:granted")) == 1


async def test_a_wrong_code_that_comes_twice_is_one_try(world: World) -> None:
    challenge = await ada_challenged(world)
    wrong = world.wrong_code()
    first = await world.answer(challenge, wrong, name="ada", fingerprint=b"one packet")
    for _ in range(5):
        assert await world.answer(challenge, wrong, name="ada", fingerprint=b"one packet") == first
    assert says(first).startswith("The code is not right; 2 tries left.")
    assert await world.failures() == 1


async def test_a_request_for_an_sms_that_comes_twice_sends_one(world: World) -> None:
    dave = await world.person("dave", phone="+905321234567")
    await world.give_totp(dave)
    challenge = await world.challenged("dave")
    first = await world.answer(challenge, "sms", name="dave", fingerprint=b"one packet")
    second = await world.answer(challenge, "sms", name="dave", fingerprint=b"one packet")
    assert first == second
    assert len(await world.messages()) == 1


@pytest.mark.parametrize(("seconds", "known"), [(0, True), (29.999, True), (30, False), (600, False)])
@pytest.mark.parametrize("code", ["right", "wrong"])
async def test_the_outcome_is_kept_for_thirty_seconds_and_no_longer(world: World, seconds: float, known: bool, code: str) -> None:
    challenge = await ada_challenged(world)
    typed = world.totp() if code == "right" else world.wrong_code()
    first = await world.answer(challenge, typed, name="ada", fingerprint=b"one packet")
    world.later(seconds)
    again = await world.answer(challenge, typed, name="ada", fingerprint=b"one packet")
    if known:
        assert again == first
    else:
        assert reason(again) == "state_used"


async def test_the_same_packet_from_another_nas_gets_nothing(world: World) -> None:
    challenge = await ada_challenged(world)
    await world.answer(challenge, world.totp(), name="ada", fingerprint=b"one packet")
    other = elsewhere(binding="radius:branch:")
    stolen = await world.answer(challenge, world.totp(), name="ada", fingerprint=b"one packet", origin=other)
    assert reason(stolen) == "state_other_nas"


async def test_a_kept_outcome_moved_to_another_state_opens_nothing(world: World) -> None:
    """Somebody with write access to the database copies a grant's outcome onto another login's State."""
    challenge = await ada_challenged(world)
    await world.answer(challenge, world.totp(), name="ada", fingerprint=b"one packet")
    victim = await world.challenged("ada", origin=elsewhere(client="203.0.113.8"))
    rows = {bytes(row["handle_mac"] or b""): row for row in await world.rows("handle")}
    source, target = rows[handle_mac(world.ring, challenge.handle)], handle_mac(world.ring, victim.handle)
    await world.storage.commit([Insert("handle", {**source, "handle_mac": target})])
    with pytest.raises(SealError):
        await world.answer(victim, "", name="ada", fingerprint=b"one packet")


async def test_identical_packets_at_once_have_one_effect_and_one_outcome(world: World) -> None:
    challenge = await ada_challenged(world)
    engines = [world.engine, world.another_engine()]
    outcomes = await at_once(
        *(world.answer(challenge, world.totp(), name="ada", fingerprint=b"one packet", engine=engines[n % 2]) for n in range(8))
    )
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert is_granted(outcomes[0])
    assert len(await world.events("engine:login:granted")) == 1


# --- the account changes while the login runs ------------------------------------------------------------------------


@pytest.mark.parametrize("state", [AccountState.DISABLED, AccountState.LOCKED, AccountState.EXPIRED])
async def test_an_account_that_was_closed_meanwhile_is_not_let_in(world: World, state: AccountState) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    world.directory.change_state(ada, state)

    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "user_changed"
    world.directory.change_state(ada, AccountState.ACTIVE)
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "state_used", "the login is over for good"


async def test_an_account_that_was_removed_meanwhile_is_not_let_in(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    world.directory.remove(ada)
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "user_changed"


async def test_a_new_person_with_an_old_name_does_not_finish_the_old_ones_login(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    world.directory.remove(ada)
    await world.person("ada", "another password")
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "user_changed"


async def test_a_new_person_with_an_old_name_inherits_nothing(world: World) -> None:
    old = await world.person("ada", phone="+905321234567")
    await world.give_totp(old)
    await world.give_recovery_codes(old)
    await world.answer(await world.challenged("ada"), world.totp(), name="ada")
    await world.wrong_passwords("ada", 4)
    world.directory.remove(old)
    world.directory.add("ada", "another password")

    refused = await world.begin("ada", "another password")
    assert reason(refused) == "no_factor"
    assert len({row["id"] for row in await world.rows("subject")}) == 2


async def test_an_account_that_was_linked_to_another_subject_meanwhile_is_not_let_in(world: World) -> None:
    ada, eve = await world.person("ada"), await world.person("eve")
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    key = {"directory": "local", "immutable_id": ada.immutable_id}
    await world.storage.commit([Update("subject_link", key, {"subject_id": await world.subject_of(eve)})])
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "user_changed"


async def test_a_changed_mail_address_and_name_are_those_of_the_moment_of_the_grant(world: World) -> None:
    ada = await world.person("ada", mail="old@acme.test")
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    world.directory._entries[ada.immutable_id].user = replace(ada, mail="new@acme.test", groups=("fresh",))
    outcome = await world.answer(challenge, world.totp(), name="ada")
    assert isinstance(outcome, Granted)
    assert (outcome.mail, outcome.groups) == ("new@acme.test", ("fresh",))
