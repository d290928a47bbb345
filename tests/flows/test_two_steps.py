"""The ordinary login: password, question, code. And what a person may type instead of a code."""

from dataclasses import replace

import pytest

from tests.flows.world import NAS, World, elsewhere, is_granted, reason, rule, says
from wardgate.audit.timeline import Trail
from wardgate.engine.outcome import Challenge, Denied, Granted
from wardgate.engine.transaction import MAX_ROUNDS


async def test_password_then_the_apps_code_lets_in(world: World) -> None:
    ada = await world.person("ada", display_name="Ada L.", mail="ada@acme.test", groups=("staff",))
    await world.give_totp(ada)

    asked = await world.challenged("ada")
    assert says(asked) == "Enter the code from your app. Other ways: mail."
    assert asked.factor == "totp"
    assert asked.expires_in_s == 180
    assert len(asked.handle) >= 16

    outcome = await world.answer(asked, world.totp(), name="ada")
    assert isinstance(outcome, Granted)
    assert outcome.user_name == "ada"
    assert outcome.display_name == "Ada L."
    assert outcome.mail == "ada@acme.test"
    assert (outcome.realm, outcome.directory, outcome.groups) == ("acme", "local", ("staff",))
    assert outcome.factors == ("password", "totp")
    assert outcome.assurance == 2
    assert outcome.reference == asked.reference


async def test_a_grant_is_recorded_with_its_factors_and_where_it_came_from(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    asked = await world.challenged("ada")
    await world.answer(asked, world.totp(), name="ada")

    [granted] = await world.payloads("engine:login:granted")
    assert granted["user"] == "ada"
    assert granted["factors"] == ["password", "totp"]
    assert (granted["application"], granted["door"], granted["nas"]) == ("vpn", "radius", "hq")
    assert (granted["source"], granted["client"]) == (NAS.source, NAS.client)
    assert granted["rule"] == "default"
    [event] = await world.events("engine:login:granted")
    assert event["reference"] == asked.reference
    assert event["subject_id"] == await world.subject_of(ada)


async def test_somebody_who_was_never_seen_before_is_given_a_subject(world: World) -> None:
    world.directory.add("bob", "correct horse", phone="+905321234567")

    asked = await world.challenged("bob")
    assert is_granted(await world.answer(asked, await world.code(), name="bob"))

    assert len(await world.rows("subject")) == 1
    assert len(await world.events("account:subject:created")) == 1


@pytest.mark.parametrize("typed", ["ada", "ADA", " ada", "acme\\ada", "ACME\\Ada", "ada@acme.test", "Ada@ACME"])
async def test_a_name_may_be_typed_in_each_of_its_forms(world: World, typed: str) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)

    asked = await world.challenged(typed)
    assert is_granted(await world.answer(asked, world.totp(), name=typed))


async def test_a_name_of_an_unknown_domain_is_not_the_default_realms_user(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)

    assert reason(await world.begin("elsewhere\\ada")) == "user_unknown"
    assert reason(await world.begin("ada@elsewhere.test")) == "user_unknown"


# --- wrong codes -----------------------------------------------------------------------------------------------------


async def test_a_wrong_code_is_asked_for_again_under_a_new_state(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    first = await world.challenged("ada")

    second = await world.answer(first, world.wrong_code(), name="ada")
    assert isinstance(second, Challenge)
    assert second.handle != first.handle
    assert says(second).startswith("The code is not right; 2 tries left.")

    assert is_granted(await world.answer(second, world.totp(), name="ada"))


async def test_after_three_wrong_codes_the_login_is_closed_and_the_right_one_is_worth_nothing(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    for _ in range(2):
        challenge = await world.answer(challenge, world.wrong_code(), name="ada")
        assert isinstance(challenge, Challenge)

    closed = await world.answer(challenge, world.wrong_code(), name="ada")
    assert reason(closed) == "code_closed"
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "state_used"
    [row] = await world.rows("login_transaction")
    assert row["state"] == "denied"


@pytest.mark.parametrize("typed", ["", " ", "   \t "])
async def test_a_blank_answer_repeats_the_question_and_uses_no_try(world: World, typed: str) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    for _ in range(5):
        again = await world.answer(challenge, typed, name="ada")
        assert isinstance(again, Challenge)
        assert says(again) == says(challenge)
        challenge = again

    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    assert all(row["failures"] == 0 for row in await world.rows("brake"))


async def test_a_login_cannot_be_kept_alive_by_blank_answers(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    outcome = await world.begin("ada")
    rounds = 0
    while isinstance(outcome, Challenge):
        rounds += 1
        assert rounds <= MAX_ROUNDS
        outcome = await world.answer(outcome, "", name="ada")

    assert reason(outcome) == "code_closed"
    assert rounds == MAX_ROUNDS


@pytest.mark.parametrize("words", [("mail", "app"), ("recovery", "app"), ("recovery", "mail")])
async def test_a_login_cannot_be_kept_alive_by_changing_the_factor(world: World, words: tuple[str, str]) -> None:
    ada = await world.person("ada", mail="ada@acme.test")
    await world.give_totp(ada)
    await world.give_recovery_codes(ada)
    outcome = await world.begin("ada")
    for round_number in range(MAX_ROUNDS + 1):
        if not isinstance(outcome, Challenge):
            break
        outcome = await world.answer(outcome, words[round_number % 2], name="ada")

    assert reason(outcome) == "code_closed"


async def test_a_login_cannot_be_kept_alive_by_wrong_codes_either(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    outcome = await world.begin("ada")
    for _ in range(MAX_ROUNDS - 1):
        outcome = await world.answer(outcome, "", name="ada")
    assert isinstance(outcome, Challenge)
    assert reason(await world.answer(outcome, world.wrong_code(), name="ada")) == "code_closed"


async def test_in_the_last_round_the_right_code_still_lets_in(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    outcome = await world.begin("ada")
    for _ in range(MAX_ROUNDS - 1):
        outcome = await world.answer(outcome, "", name="ada")
    assert is_granted(await world.answer(outcome, world.totp(), name="ada"))


async def test_an_answer_of_endless_length_is_a_wrong_code(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    challenge = await world.challenged("ada")

    again = await world.answer(challenge, world.totp() + " " * 200, name="ada")
    assert isinstance(again, Challenge)
    assert says(again).startswith("The code is not right")


# --- words -----------------------------------------------------------------------------------------------------------


async def test_a_word_changes_the_factor(world: World) -> None:
    dave = await world.person("dave", phone="+905321234567", mail="dave@acme.test")
    await world.give_totp(dave)
    codes = await world.give_recovery_codes(dave)

    challenge = await world.challenged("dave")
    assert says(challenge) == "Enter the code from your app. Other ways: sms, mail, recovery."
    assert await world.messages() == []

    challenge = await world.answer(challenge, "sms", name="dave")
    assert says(challenge) == "Enter the code sent to +90 *** ** 67. Other ways: app, mail, recovery."
    [sms] = await world.messages()
    assert (sms.channel, sms.to) == ("sms", "+905321234567")

    challenge = await world.answer(challenge, " Mail ", name="dave")
    assert says(challenge) == "Enter the code sent to d***@acme.test. Other ways: app, sms, recovery."
    assert {message.channel for message in await world.messages()} == {"sms", "email"}

    challenge = await world.answer(challenge, "RECOVERY", name="dave")
    assert says(challenge) == "Enter one of your recovery codes. Other ways: app, sms, mail."

    challenge = await world.answer(challenge, "app", name="dave")
    assert says(challenge) == "Enter the code from your app. Other ways: sms, mail, recovery."

    challenge = await world.answer(challenge, "kurtarma", name="dave")
    assert is_granted(await world.answer(challenge, codes[0], name="dave"))


async def test_never_more_than_four_words_are_offered(world: World) -> None:
    dave = await world.person("dave", phone="+905321234567", mail="dave@acme.test")
    await world.give_totp(dave)
    await world.give_hotp(dave)
    await world.give_recovery_codes(dave)

    line = says(await world.challenged("dave")).split("Other ways: ")[1]
    assert line == "device, sms, mail, recovery."


@pytest.mark.parametrize("word", ["push", "smsmail", "smss", "s m s", "sms;mail", "sms" * 20])
async def test_an_unknown_word_is_a_wrong_code(world: World, word: str) -> None:
    dave = await world.person("dave", phone="+905321234567")
    await world.give_totp(dave)

    again = await world.answer(await world.challenged("dave"), word, name="dave")
    assert says(again).startswith("The code is not right; 2 tries left.")
    assert await world.messages() == []


@pytest.mark.parametrize("word", ["sms", "mail", "recovery", "device"])
async def test_a_word_for_a_factor_that_the_person_has_not_is_a_wrong_code(world: World, word: str) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)

    again = await world.answer(await world.challenged("ada"), word, name="ada")
    assert says(again).startswith("The code is not right; 2 tries left.")
    assert await world.messages() == []


async def test_a_word_does_not_reach_a_factor_that_policy_leaves_out(world: World) -> None:
    world.use_policy([rule("strong only", ["password"], ["totp"])])
    ada = await world.person("ada", phone="+905321234567")
    await world.give_totp(ada)

    challenge = await world.challenged("ada")
    assert says(challenge) == "Enter the code from your app."
    assert says(await world.answer(challenge, "sms", name="ada")).startswith("The code is not right")
    assert await world.messages() == []


async def test_the_code_of_one_factor_is_wrong_once_another_is_asked(world: World) -> None:
    dave = await world.person("dave", phone="+905321234567")
    await world.give_totp(dave)

    challenge = await world.answer(await world.challenged("dave"), "sms", name="dave")
    again = await world.answer(challenge, world.totp(), name="dave")
    assert says(again).startswith("The code is not right")


async def test_changing_the_factor_gives_no_tries_back(world: World) -> None:
    dave = await world.person("dave", phone="+905321234567")
    await world.give_totp(dave)

    challenge = await world.answer(await world.challenged("dave"), world.wrong_code(), name="dave")
    challenge = await world.answer(challenge, "sms", name="dave")
    challenge = await world.answer(challenge, "000000" if await world.code() != "000000" else "000001", name="dave")
    assert says(challenge).startswith("The code is not right; 1 try left.")
    challenge = await world.answer(challenge, "app", name="dave")
    assert reason(await world.answer(challenge, world.wrong_code(), name="dave")) == "code_closed"


# --- giving up and language ------------------------------------------------------------------------------------------


async def test_a_cancelled_login_is_over_and_its_code_is_worth_nothing(world: World) -> None:
    await world.person("bob", phone="+905321234567")
    challenge = await world.challenged("bob")
    code = await world.code()
    closed = await world.engine.cancel(challenge.handle, Trail(world.clock, "radius"))
    assert closed.reason == "cancelled"
    assert reason(await world.answer(challenge, code, name="bob")) == "state_used"
    assert (await world.engine.cancel(challenge.handle, Trail(world.clock, "radius"))).reason == "state_unknown"
    assert (await world.engine.cancel(b"no handle of ours", Trail(world.clock, "radius"))).reason == "state_unknown"


async def test_the_question_comes_in_the_persons_language_or_the_nas_own(world: World) -> None:
    ada = await world.person("ada", language="tr")
    await world.give_totp(ada)

    assert (await world.challenged("ada")).language == "tr"
    english = await world.challenged("ada", origin=elsewhere(binding="radius:other:", language="en"))
    assert english.language == "en"


async def test_an_application_that_does_not_exist_is_open_to_nobody(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)

    refused = await world.begin("ada", application="nowhere")
    unknown = await world.begin("nobody", application="nowhere")
    assert isinstance(refused, Denied)
    assert isinstance(unknown, Denied)
    assert refused.reason == unknown.reason == "no_rule"
    assert world.directory.checks == 0


async def test_an_application_that_was_taken_away_meanwhile_lets_nobody_in(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    real = world.configuration()
    world.configuration = lambda: replace(real, applications={})  # type: ignore[method-assign]
    engine = world.another_engine()

    assert reason(await world.answer(challenge, world.totp(), name="ada", engine=engine)) == "no_rule"
