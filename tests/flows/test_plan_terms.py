"""What a plan says beside its steps takes effect: how long things last, what is told, what happens while a neighbour is down."""

import pytest

from tests.flows.plans import use_plan
from tests.flows.world import World, floor, is_granted, reason, says
from wardgate.clock import to_ms
from wardgate.delivery.port import Channel
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge, Denied, Granted
from wardgate.engine.runtime import EngineParts
from wardgate.engine.settings import CodeSettings
from wardgate.policy.settings import FailSettings, LifetimesThenSettings

PHONE = "+905321234567"
SKIP = FailSettings(gateway_down="skip")


# --- lifetimes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "open_"), [(89.9, True), (90, False)])
async def test_a_login_ends_when_its_plan_says(world: World, seconds: float, open_: bool) -> None:
    use_plan(world, lifetimes=LifetimesThenSettings(transaction="90s"))
    await world.give_totp(await world.person("ada"))
    challenge = await world.challenged("ada")
    assert challenge.expires_in_s == 90
    world.later(seconds)
    outcome = await world.answer(challenge, world.totp(), name="ada")
    assert is_granted(outcome) is open_
    assert open_ or reason(outcome) == "transaction_expired"


async def test_a_plan_may_give_a_login_longer_than_the_installation_does(world: World) -> None:
    use_plan(world, lifetimes=LifetimesThenSettings(transaction="9m"))
    await world.give_totp(await world.person("ada"))
    challenge = await world.challenged("ada")
    world.later(539)
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))


async def test_no_plan_lets_a_login_live_longer_than_nist_allows(world: World) -> None:
    use_plan(world, lifetimes=LifetimesThenSettings(transaction="1h", code="600s"))
    await world.give_totp(await world.person("ada"))
    assert (await world.challenged("ada")).expires_in_s == 600
    await world.person("bob", phone=PHONE)
    sent = await world.challenged("bob")
    world.later(600)
    assert reason(await world.answer(sent, await world.code("bob"), name="bob")) == "transaction_expired"


async def test_resends_do_not_keep_a_login_alive_beyond_what_its_plan_says(world: World) -> None:
    use_plan(world, lifetimes=LifetimesThenSettings(transaction="100s"))
    await world.person("bob", phone=PHONE)
    challenge = await world.challenged("bob")
    world.later(40)
    challenge = await world.answer(challenge, "sms", name="bob")
    assert isinstance(challenge, Challenge)
    assert challenge.expires_in_s == 60
    world.later(60)
    assert reason(await world.answer(challenge, await world.code("bob"), name="bob")) == "transaction_expired"


async def test_a_sent_code_is_worth_nothing_after_the_life_that_the_plan_gives_it(world: World) -> None:
    use_plan(world, lifetimes=LifetimesThenSettings(code="60s"))
    await world.person("bob", phone=PHONE)
    challenge = await world.challenged("bob")
    [message] = await world.messages()
    [row] = await world.rows("outbox")
    assert row["expires_at"] == to_ms(world.clock.now()) + 60_000
    assert message.code in message.text
    world.later(60)
    again = await world.answer(challenge, message.code, name="bob")
    assert isinstance(again, Challenge)
    assert again.texts[0].id == "code.expired"


async def test_a_login_keeps_the_plan_that_it_began_with(world: World) -> None:
    use_plan(world, lifetimes=LifetimesThenSettings(session="4h", idle="15m"))
    await world.give_totp(await world.person("ada"))
    challenge = await world.challenged("ada")
    use_plan(world)
    outcome = await world.answer(challenge, world.totp(), name="ada")
    assert isinstance(outcome, Granted)
    assert (outcome.session_s, outcome.idle_s) == (14_400, 900)


async def test_what_a_plan_says_of_a_session_is_in_the_kept_outcome_too(world: World) -> None:
    use_plan(world, lifetimes=LifetimesThenSettings(session="4h"))
    await world.give_totp(await world.person("ada"))
    challenge = await world.challenged("ada")
    code = world.totp()
    first = await world.answer(challenge, code, name="ada", fingerprint=b"same")
    assert isinstance(first, Granted)
    assert first.session_s == 14_400
    assert await world.answer(challenge, code, name="ada", fingerprint=b"same") == first


async def test_a_stored_login_keeps_its_terms_as_a_sealed_one_does(world: World) -> None:
    """A login that was answered wrong has become a row."""
    use_plan(world, lifetimes=LifetimesThenSettings(session="4h"))
    await world.give_totp(await world.person("ada"))
    challenge = await world.answer(await world.challenged("ada"), world.wrong_code(), name="ada")
    outcome = await world.answer(challenge, world.totp(), name="ada")
    assert isinstance(outcome, Granted)
    assert outcome.session_s == 14_400


async def test_a_handle_does_not_grow_by_what_no_plan_says(world: World) -> None:
    await world.give_totp(await world.person("ada"))
    use_plan(world)
    plain = await world.challenged("ada")
    use_plan(world, lifetimes=LifetimesThenSettings(session="4h"))
    assert len((await world.challenged("ada")).handle) > len(plain.handle)
    use_plan(world, lifetimes=LifetimesThenSettings(reauthentication="5m"))
    assert len((await world.challenged("ada")).handle) == len(plain.handle)


# --- text ----------------------------------------------------------------------------------------------------------------

WORDS = {"en": "Contractors: {your} badge is needed.", "tr": "Yükleniciler: kartınız gerekir."}


@pytest.mark.parametrize(("language", "told"), [("en", "Contractors"), ("tr", "Yükleniciler"), ("de", "Contractors")])
async def test_a_refusal_tells_what_its_rule_says_in_the_persons_language(world: World, language: str, told: str) -> None:
    use_plan(world, text=WORDS, deny=True)
    await world.person("ada", language=language)
    refused = await world.begin("ada")
    assert reason(refused) == "rule_denies"
    assert says(refused).startswith(told)
    assert world.trail.reference in says(refused)


async def test_a_rules_words_tell_nothing_to_who_has_not_proved_the_password(world: World) -> None:
    use_plan(world, text=WORDS, deny=True)
    await world.person("ada")
    wrong, one_field = await world.begin("ada", "guess"), await world.begin("ada", code="123456", can_challenge=False)
    assert isinstance(wrong, Denied)
    assert isinstance(one_field, Denied)
    assert wrong.text.id == one_field.text.id == "signin.failed"


async def test_words_stand_in_front_of_the_first_question_only(world: World) -> None:
    use_plan(world, text=WORDS)
    await world.give_totp(await world.person("ada"))
    challenge = await world.challenged("ada")
    assert challenge.preface is not None
    assert challenge.preface.values["words"] == WORDS["en"]
    again = await world.answer(challenge, world.wrong_code(), name="ada")
    assert isinstance(again, Challenge)
    assert again.preface is None


async def test_words_stand_before_a_question_that_sends_a_code_and_before_one_that_was_joined(world: World) -> None:
    use_plan(world, text=WORDS)
    await world.person("bob", phone=PHONE)
    assert (await world.challenged("bob")).preface is not None
    assert (await world.challenged("bob")).preface is not None
    assert len(await world.messages()) == 1


# --- a neighbour is down -------------------------------------------------------------------------------------------------


async def test_an_attacker_who_kills_the_gateway_gains_nothing_by_default(world: World) -> None:
    world.channels = frozenset()
    use_plan(world)
    await world.person("bob", phone=PHONE)
    assert reason(await world.begin("bob")) == "no_factor"


async def test_a_step_is_skipped_loudly_where_policy_says_so(world: World) -> None:
    world.channels = frozenset()
    use_plan(world, fail=SKIP)
    await world.person("bob", phone=PHONE)
    outcome = await world.begin("bob")
    assert isinstance(outcome, Granted)
    assert outcome.factors == ("password",)
    assert outcome.assurance == 1
    assert any(detail.get("fail_open") == "gateway_down" for _, _, detail in world.trail.steps)
    [payload] = await world.payloads("engine:login:granted")
    assert payload["fail_open"] == "gateway_down"


async def test_an_address_does_not_become_known_by_a_step_that_was_skipped(world: World) -> None:
    """Whoever has the password and kills the gateway would pass the brakes from there for a month."""
    use_plan(world, fail=SKIP)
    await world.person("bob", phone=PHONE)
    await world.begin("bob", "guess")
    world.channels = frozenset()
    assert is_granted(await world.begin("bob"))
    rows = [row for row in await world.rows("brake") if row["kind"] in ("user_source", "user")]
    assert rows
    assert all(row["succeeded_at"] == 0 for row in rows)
    assert all(row["failures"] == 1 for row in rows)


async def test_gateways_that_all_fail_are_as_good_as_none(world: World) -> None:
    use_plan(world, ["password"], ["sms"], fail=SKIP)
    await world.person("bob", phone=PHONE)
    down = frozenset({Channel.SMS})
    parts = EngineParts(
        world.storage, world.clock, lambda: world.ring, world.configuration, channel_down=lambda channel: channel in down
    )
    assert is_granted(await world.begin("bob", engine=Engine(parts)))
    assert isinstance(await world.begin("bob"), Challenge)


async def test_who_has_something_that_needs_no_gateway_is_asked_for_it(world: World) -> None:
    world.channels = frozenset()
    use_plan(world, fail=SKIP)
    await world.give_totp(await world.person("ada", phone=PHONE))
    assert (await world.challenged("ada")).factor == "totp"


async def test_a_channel_that_works_is_used(world: World) -> None:
    world.channels = frozenset({Channel.EMAIL})
    use_plan(world, fail=SKIP)
    await world.person("bob", phone=PHONE, mail="bob@acme.test")
    assert (await world.challenged("bob")).factor == "email"


async def test_who_has_nothing_enrolled_gains_nothing_from_a_dead_gateway(world: World) -> None:
    world.channels = frozenset()
    use_plan(world, fail=SKIP)
    await world.person("carol")
    assert reason(await world.begin("carol")) == "no_factor"


async def test_administrators_gain_nothing_from_a_dead_gateway(world: World) -> None:
    world.channels = frozenset()
    use_plan(world, fail=SKIP, floors=[floor("administrators", strong=1)])
    await world.person("bob", phone=PHONE)
    assert reason(await world.begin("bob")) == "no_factor"


async def test_a_dead_gateway_never_leaves_a_login_without_any_proof(world: World) -> None:
    """The NAS vouches for the password: the code is the only proof there is."""
    world.channels = frozenset()
    use_plan(world, fail=SKIP)
    await world.person("bob", phone=PHONE)
    assert reason(await world.begin("bob", None, proved_elsewhere=frozenset({"password"}))) == "no_factor"


async def test_a_wrong_password_gains_nothing_from_a_dead_gateway(world: World) -> None:
    world.channels = frozenset()
    use_plan(world, fail=SKIP)
    await world.person("bob", phone=PHONE)
    assert reason(await world.begin("bob", "guess")) == "password_wrong"


async def test_a_later_step_is_skipped_when_the_gateway_dies_meanwhile(world: World) -> None:
    use_plan(world, ["password"], ["totp"], ["sms"], fail=SKIP)
    await world.give_totp(await world.person("ada", phone=PHONE))
    challenge = await world.challenged("ada")
    world.channels = frozenset()
    outcome = await world.answer(challenge, world.totp(), name="ada")
    assert isinstance(outcome, Granted)
    assert outcome.factors == ("password", "totp")
    [payload] = await world.payloads("engine:login:granted")
    assert payload["fail_open"] == "gateway_down"


async def test_a_first_step_that_was_skipped_is_told_by_the_grant_that_follows(world: World) -> None:
    world.channels = frozenset()
    use_plan(world, ["password"], ["sms"], ["totp"], fail=SKIP)
    await world.give_totp(await world.person("ada", phone=PHONE))
    challenge = await world.challenged("ada")
    assert challenge.factor == "totp"
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    [payload] = await world.payloads("engine:login:granted")
    assert payload["fail_open"] == "gateway_down"


async def test_an_expired_password_is_not_let_in_by_a_dead_gateway(world: World) -> None:
    world.channels = frozenset()
    use_plan(world, fail=SKIP)
    await world.person("erin", phone=PHONE, must_change=True)
    assert not is_granted(await world.begin("erin"))


async def test_codes_of_an_installation_without_terms_live_as_before(world: World) -> None:
    world.codes = CodeSettings(life_s=240)
    await world.give_totp(await world.person("ada"))
    assert (await world.challenged("ada")).expires_in_s == 240
