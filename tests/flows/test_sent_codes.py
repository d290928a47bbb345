"""Codes by SMS and e-mail: one login's, for three minutes, and only so many of them."""

import json
from dataclasses import replace

import pytest

from tests.flows.world import World, elsewhere, is_granted, reason, says
from wardgate.clock import to_ms
from wardgate.delivery.outbox import TOPIC, sender_of
from wardgate.delivery.port import Channel
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge
from wardgate.engine.runtime import EngineParts
from wardgate.engine.settings import ApplicationSettings, CodeSettings
from wardgate.storage.port import Update

PHONE = "+905321234567"


async def bob_challenged(world: World, **fields: object) -> Challenge:
    await world.person("bob", **(fields or {"phone": PHONE}))
    return await world.challenged("bob")


def other_than(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


# --- the code --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fields", "channel"), [({"phone": PHONE}, "sms"), ({"mail": "bob@acme.test"}, "email")])
async def test_the_code_that_was_sent_lets_in(world: World, fields: dict[str, object], channel: str) -> None:
    challenge = await bob_challenged(world, **fields)
    [message] = await world.messages()
    assert message.channel == channel
    assert message.code in message.text
    assert message.code not in says(challenge)
    assert is_granted(await world.answer(challenge, message.code, name="bob"))


@pytest.mark.parametrize("digits", [6, 8, 10])
async def test_its_length_is_a_setting(world: World, digits: int) -> None:
    world.codes = CodeSettings(digits=digits)
    challenge = await bob_challenged(world)
    code = await world.code()
    assert len(code) == digits
    assert is_granted(await world.answer(challenge, f" {code[:3]} {code[3:]}", name="bob"))


@pytest.mark.parametrize("sender", ["node.1", ""])
async def test_a_code_is_announced_with_who_shall_send_it(world: World, sender: str) -> None:
    """Else every worker of every node reads the outbox and races for the claim."""
    keys: list[str] = []
    world.storage.subscribe(TOPIC, keys.append)
    world.engine = Engine(EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, sender=sender))
    await bob_challenged(world)
    [message] = await world.storage.find("outbox")
    assert [sender_of(key) for key in keys] == [sender]
    assert keys[0].endswith(str(message["id"]))


async def test_a_sent_code_is_stored_nowhere_in_clear(world: World) -> None:
    await bob_challenged(world)
    code = await world.code()
    for table in ("login_transaction", "handle", "audit_event", "timeline", "outbox", "brake"):
        for row in await world.rows(table):
            for value in row.values():
                assert code not in str(value), table


async def test_a_sent_code_expires_at_three_minutes_exactly(world: World) -> None:
    challenge = await bob_challenged(world)
    world.later(179.999)
    assert is_granted(await world.answer(challenge, await world.code(), name="bob"))


async def test_an_expired_code_is_refused_though_its_login_still_lives(world: World) -> None:
    challenge = await bob_challenged(world)
    old = await world.code()
    world.later(60)
    challenge = await world.answer(challenge, "sms", name="bob")
    assert isinstance(challenge, Challenge)
    world.later(119.999)
    assert challenge.expires_in_s == 180
    challenge = await world.answer(challenge, "", name="bob")
    world.later(0.001)
    again = await world.answer(challenge, old, name="bob")
    assert isinstance(again, Challenge)
    assert says(again).startswith("That code has run out. A new one is on its way")


async def test_right_code_that_came_too_late_brings_another_one_and_costs_no_try(world: World) -> None:
    challenge, old = await bob_challenged(world), await world.code()
    world.later(60)
    resent = await world.answer(challenge, "sms", name="bob")
    assert isinstance(resent, Challenge)
    world.later(125)
    sent = len(await world.messages())
    late = await world.answer(resent, old, name="bob")
    assert isinstance(late, Challenge)
    assert says(late).startswith("That code has run out. A new one is on its way")
    assert len(await world.messages()) == sent + 1
    assert await world.failures() == 0
    # The one that has just gone out is waited for.
    again = await world.answer(late, old, name="bob")
    assert isinstance(again, Challenge)
    assert len(await world.messages()) == sent + 1
    wrong = await world.answer(again, world.wrong_code(), name="bob")
    assert isinstance(wrong, Challenge)
    assert "2 tries left" in says(wrong)
    assert is_granted(await world.answer(wrong, await world.code(), name="bob"))


async def test_right_code_that_came_too_late_pumps_no_messages(world: World) -> None:
    world.codes = CodeSettings(resend_after_s=(30,))
    challenge, old = await bob_challenged(world), await world.code()
    world.later(60)
    challenge = await world.answer(challenge, "sms", name="bob")
    assert isinstance(challenge, Challenge)
    world.later(125)
    sent = len(await world.messages())
    late = await world.answer(challenge, old, name="bob")
    assert "No more codes for now" in says(late)
    assert len(await world.messages()) == sent


async def test_an_earlier_code_works_after_a_resend(world: World) -> None:
    challenge = await bob_challenged(world)
    old = await world.code()
    world.later(30)
    challenge = await world.answer(challenge, "sms", name="bob")
    assert says(challenge).startswith("Another code was sent. Earlier ones still work.")
    assert is_granted(await world.answer(challenge, old, name="bob"))


async def test_of_two_codes_of_one_login_only_one_lets_in(world: World) -> None:
    challenge = await bob_challenged(world)
    old = await world.code()
    world.later(30)
    challenge = await world.answer(challenge, "sms", name="bob")
    new = await world.code()
    assert is_granted(await world.answer(challenge, new, name="bob"))
    assert reason(await world.answer(challenge, old, name="bob")) == "state_used"
    challenge = await world.challenged("bob")
    for code in (old, new):
        challenge = await world.answer(challenge, code, name="bob")
        assert isinstance(challenge, Challenge)


async def test_the_code_is_refused_after_three_wrong_ones(world: World) -> None:
    challenge = await bob_challenged(world)
    code = await world.code()
    outcome: object = challenge
    while isinstance(outcome, Challenge):
        challenge = outcome
        outcome = await world.answer(challenge, other_than(code), name="bob")
    assert reason(await world.answer(challenge, code, name="bob")) == "state_used"
    assert not is_granted(await world.answer(await world.challenged("bob"), code, name="bob"))


async def test_a_resend_gives_no_tries_back(world: World) -> None:
    challenge = await bob_challenged(world)
    code = await world.code()
    challenge = await world.answer(challenge, other_than(code), name="bob")
    challenge = await world.answer(challenge, other_than(code), name="bob")
    world.later(30)
    challenge = await world.answer(challenge, "sms", name="bob")
    alive = {code, await world.code()}
    wrong = next(f"{n:06d}" for n in range(3) if f"{n:06d}" not in alive)
    assert reason(await world.answer(challenge, wrong, name="bob")) == "code_closed"


async def test_a_code_that_was_used_is_worth_nothing_in_the_next_login(world: World) -> None:
    challenge = await bob_challenged(world)
    code = await world.code()
    assert is_granted(await world.answer(challenge, code, name="bob"))
    assert not is_granted(await world.answer(await world.challenged("bob"), code, name="bob"))


# --- another login's code --------------------------------------------------------------------------------------------


async def test_the_code_of_another_login_of_the_same_person_is_wrong(world: World) -> None:
    first = await bob_challenged(world)
    code = await world.code()
    other = elsewhere(client="203.0.113.8")
    second = await world.challenged("bob", origin=other)
    again = await world.answer(second, code, name="bob", origin=other)
    assert says(again).startswith("The code is not right")
    assert is_granted(await world.answer(first, code, name="bob"))


async def test_the_code_of_another_person_is_wrong(world: World) -> None:
    await bob_challenged(world)
    bobs = await world.code("bob")
    await world.person("eve", phone="+905559999999")
    challenge = await world.challenged("eve")
    assert not is_granted(await world.answer(challenge, bobs, name="eve"))


async def test_codes_are_remembered_for_their_own_transaction_only(world: World) -> None:
    """Somebody with write access to the database copies what one login remembers of its code into another."""
    await bob_challenged(world)
    code = await world.code("bob")
    await world.person("eve", phone="+905559999999")
    challenge = await world.challenged("eve")
    rows = {json.loads(str(row["body"]))["user_name"]: row for row in await world.rows("login_transaction")}
    body = json.loads(str(rows["eve"]["body"]))
    body["memory"] = json.loads(str(rows["bob"]["body"]))["memory"]
    await world.storage.commit([Update("login_transaction", {"id": rows["eve"]["id"]}, {"body": json.dumps(body)})])
    again = await world.answer(challenge, code, name="eve")
    assert says(again).startswith("The code is not right")


async def test_an_sms_code_is_wrong_where_the_mail_code_is_asked(world: World) -> None:
    challenge = await bob_challenged(world, phone=PHONE, mail="bob@acme.test")
    sms = await world.code()
    world.later(1)
    challenge = await world.answer(challenge, "mail", name="bob")
    again = await world.answer(challenge, sms, name="bob")
    assert says(again).startswith("The code is not right")
    assert is_granted(await world.answer(again, await world.code(), name="bob"))


async def test_a_code_goes_to_the_number_of_now_and_not_to_one_that_was_taken_away(world: World) -> None:
    bob = await world.person("bob", phone=PHONE)
    challenge = await world.challenged("bob")
    world.directory._entries[bob.immutable_id].user = replace(bob, phone="+905559999999")
    world.later(30)
    assert isinstance(await world.answer(challenge, "sms", name="bob"), Challenge)
    assert {message.to for message in await world.messages()} == {PHONE, "+905559999999"}


async def test_somebody_whose_number_was_removed_meanwhile_proves_nothing_with_it(world: World) -> None:
    bob = await world.person("bob", phone=PHONE)
    challenge = await world.challenged("bob")
    world.directory._entries[bob.immutable_id].user = replace(bob, phone=None)
    assert not is_granted(await world.answer(challenge, await world.code(), name="bob"))


# --- resends ---------------------------------------------------------------------------------------------------------


async def test_another_code_comes_after_30_then_60_then_120_seconds_and_then_no_more(world: World) -> None:
    challenge = await bob_challenged(world)
    for sent, wait in enumerate((30, 60, 120), start=1):
        world.later(wait - 1)
        challenge = await world.answer(challenge, "sms", name="bob")
        assert says(challenge).startswith("You can ask for another code in 1 second.")
        assert len(await world.messages()) == sent
        world.later(1)
        challenge = await world.answer(challenge, "sms", name="bob")
        assert says(challenge).startswith("Another code was sent.")
        assert len(await world.messages()) == sent + 1
    world.later(150)
    challenge = await world.answer(challenge, "sms", name="bob")
    assert says(challenge).startswith("No more codes for now.")
    assert len(await world.messages()) == 4
    assert is_granted(await world.answer(challenge, await world.code(), name="bob"))


async def test_no_login_lives_longer_than_ten_minutes_whatever_is_sent(world: World) -> None:
    world.codes = CodeSettings(life_s=300, resend_after_s=(5,) * 10, resends_per_hour=100, resends_per_day=1000)
    challenge = await bob_challenged(world)
    for _ in range(5):
        world.later(110)
        challenge = await world.answer(challenge, "sms", name="bob")
        assert isinstance(challenge, Challenge)
    assert challenge.expires_in_s == 50
    world.later(50)
    assert reason(await world.answer(challenge, await world.code(), name="bob")) == "transaction_expired"


async def test_five_resends_to_one_number_in_an_hour(world: World) -> None:
    await world.person("bob", phone=PHONE)
    resent = 0
    for _ in range(4):
        challenge = await world.challenged("bob")
        for wait in (30, 60):
            world.later(wait)
            challenge = await world.answer(challenge, "sms", name="bob")
            resent += says(challenge).startswith("Another code was sent.")
        await world.answer(challenge, await world.code(), name="bob")
        world.later(5)
    assert resent == 5
    assert says(challenge).startswith("No more codes for now."), "a new login and a success change nothing"

    world.later(3600)
    challenge = await world.challenged("bob")
    world.later(30)
    assert says(await world.answer(challenge, "sms", name="bob")).startswith("Another code was sent.")


async def test_ten_resends_to_one_number_in_a_day(world: World) -> None:
    await world.person("bob", phone=PHONE)
    resent = 0
    for _ in range(12):
        challenge = await world.challenged("bob")
        world.later(30)
        challenge = await world.answer(challenge, "sms", name="bob")
        resent += says(challenge).startswith("Another code was sent.")
        world.later(3600)
    assert resent == 10
    world.later(86_400)
    challenge = await world.challenged("bob")
    world.later(30)
    assert says(await world.answer(challenge, "sms", name="bob")).startswith("Another code was sent.")


async def test_the_limit_belongs_to_the_number_and_not_to_the_person(world: World) -> None:
    """Two accounts with one number cannot flood it twice; letters of a mail address do not make another address."""
    world.codes = CodeSettings(messages_per_hour=2)
    await world.person("bob", mail="Shared@acme.test")
    await world.person("eve", mail="shared@acme.test")
    await world.challenged("bob")
    await world.challenged("eve")
    assert reason(await world.begin("bob", origin=elsewhere(client="203.0.113.8"))) == "code_closed"
    assert len(await world.messages()) == 2


async def test_thirty_messages_of_every_kind_to_one_number_in_an_hour(world: World) -> None:
    await world.person("bob", phone=PHONE)
    for n in range(30):
        await world.challenged("bob", origin=elsewhere(client=f"203.0.113.{n + 1}"))
        world.later(60)
    refused = await world.begin("bob", origin=elsewhere(client="203.0.113.99"))
    assert reason(refused) == "code_closed"
    assert says(refused).startswith("No more codes for now. Try again later.")
    assert len(await world.messages()) == 30

    world.later(1800.001)
    assert isinstance(await world.begin("bob", origin=elsewhere(client="203.0.113.99")), Challenge)


async def test_somebody_whose_number_is_flooded_is_asked_by_the_next_way(world: World) -> None:
    world.codes = CodeSettings(messages_per_hour=1)
    await world.person("bob", phone=PHONE, mail="bob@acme.test")
    await world.challenged("bob")
    challenge = await world.challenged("bob", origin=elsewhere(client="203.0.113.8"))
    assert challenge.factor == "email"


async def test_a_word_for_a_flooded_number_repeats_the_question(world: World) -> None:
    world.codes = CodeSettings(messages_per_hour=1)
    dave = await world.person("dave", phone=PHONE)
    await world.give_totp(dave)
    await world.answer(await world.challenged("dave"), "sms", name="dave")
    other = elsewhere(client="203.0.113.8")
    challenge = await world.challenged("dave", origin=other)
    again = await world.answer(challenge, "sms", name="dave", origin=other)
    assert says(again) == "No more codes for now. Enter the code from your app. Other ways: sms."
    assert again.factor == "totp"


async def test_going_to_another_factor_and_back_is_a_resend_like_any_other(world: World) -> None:
    """Who knows the password must not empty the company's purse, or fill a phone, by typing app, sms, app, sms."""
    dave = await world.person("dave", phone=PHONE)
    await world.give_totp(dave)
    challenge = await world.challenged("dave")
    for word in ("sms", "app", "sms", "app", "sms"):
        challenge = await world.answer(challenge, word, name="dave")
        assert isinstance(challenge, Challenge)
    assert len(await world.messages()) == 1
    assert challenge.factor == "sms"
    assert says(challenge).startswith("You can ask for another code in 30 seconds. Enter the code sent to +90 *** ** 67.")
    assert is_granted(await world.answer(challenge, await world.code(), name="dave")), "the code that was sent still works"


async def test_coming_back_to_a_factor_after_its_wait_sends_another_code(world: World) -> None:
    dave = await world.person("dave", phone=PHONE)
    await world.give_totp(dave)
    challenge = await world.answer(await world.challenged("dave"), "sms", name="dave")
    old = await world.code()
    challenge = await world.answer(challenge, "app", name="dave")
    world.later(30)
    challenge = await world.answer(challenge, "sms", name="dave")
    assert says(challenge).startswith("Another code was sent.")
    assert len(await world.messages()) == 2
    assert is_granted(await world.answer(challenge, old, name="dave"))


async def test_asking_twice_for_the_apps_code_sends_nothing(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    again = await world.answer(challenge, "app", name="ada")
    assert says(again) == "Enter the code from your app."


# --- the message -----------------------------------------------------------------------------------------------------


async def test_the_message_is_written_together_with_the_challenge(world: World) -> None:
    challenge = await bob_challenged(world)
    [row] = await world.rows("outbox")
    [event] = await world.events("engine:code:sent")
    assert row["reference"] == event["reference"] == challenge.reference
    assert row["state"] == "queued"
    assert row["expires_at"] == to_ms(world.clock.now()) + 180_000


async def test_an_application_speaks_to_people_in_its_own_words(world: World) -> None:
    world.application = ApplicationSettings(
        name="vpn",
        title="Acme VPN",
        sms_text={"en": "Acme: {code} ({min} min) {0} {x.y} {application}"},
        sms_domain="vpn.acme.test",
    )
    await bob_challenged(world)
    [message] = await world.messages()
    assert message.text == f"Acme: {message.code} (3 min) {{0}} {{x.y}} Acme VPN\n@vpn.acme.test #{message.code}"


async def test_the_message_comes_in_the_persons_language(world: World) -> None:
    await bob_challenged(world, mail="bob@acme.test", language="tr")
    [message] = await world.messages()
    assert "is your code" not in message.text
    assert message.code in message.text


# --- no gateway ------------------------------------------------------------------------------------------------------


async def test_a_factor_whose_codes_no_gateway_takes_is_not_asked_for(world: World) -> None:
    world.channels = frozenset((Channel.EMAIL,))
    await world.person("bob", phone=PHONE, mail="bob@acme.test")
    challenge = await world.challenged("bob")
    assert challenge.factor == "email"
    assert "sms" not in says(challenge)
    await world.person("carol", phone=PHONE)
    assert reason(await world.begin("carol")) == "no_factor"
    assert len(await world.messages()) == 1
