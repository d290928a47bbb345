"""What policy demands once all is proved: put off so many times, counted once, and then no entry without it."""

from typing import Any

import pytest

from tests.flows.plans import use_plan
from tests.flows.world import World, at_once, elsewhere, is_granted, reason, says
from wardgate.account.contact import Source, create_contact
from wardgate.account.device import make
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.port import AccountState, ContactKind, DirectoryUser
from wardgate.engine.outcome import ActionRequired, Challenge, Granted, Origin, Outcome
from wardgate.engine.request import AnswerRequest
from wardgate.policy.settings import ActionEntrySettings
from wardgate.storage.port import Update
from wardgate.texts import render

PHONE = "+905321234567"
EIGHT_HOURS = 8 * 3600
DAY = 86_400
ENROL = ActionEntrySettings(enrol="totp", level="forced", deferrals=2)
CONFIRM = ActionEntrySettings(confirm="contact", level="forced", deferrals=1, every="180d")


async def bob(world: World, **fields: Any) -> DirectoryUser:
    """Somebody who has nothing but his phone."""
    return await world.person("bob", phone=PHONE, **fields)


async def sign_in(world: World, name: str = "bob") -> Outcome:
    """A whole login by SMS, with the code of its own message."""
    challenge = await world.challenged(name)
    reference = challenge.reference
    code = next(each.code for each in await world.messages() if each.reference == reference)
    return await world.answer(challenge, code, name=name)


def told(outcome: Outcome) -> str:
    """What somebody who was let in reads besides."""
    assert isinstance(outcome, Granted), outcome
    return " ".join(render(text, outcome.language) for text in outcome.texts)


async def verify_phone(world: World, user: DirectoryUser, phone: str = "+905329999999") -> None:
    """A phone of the person's own profile, verified now."""
    now = to_ms(world.clock.now())
    subject = await world.subject_of(user)
    await world.storage.commit(create_contact(world.ring, subject, ContactKind.PHONE, phone, Source.PERSON, now, now))


async def test_a_forced_demand_is_put_off_so_many_times_and_then_refused(world: World) -> None:
    use_plan(world, demands=[ENROL])
    await bob(world)
    first = await sign_in(world)
    assert told(first).endswith("You can put this off once more.")
    world.later(EIGHT_HOURS)
    assert "The next time" in told(await sign_in(world))
    world.later(EIGHT_HOURS)
    refused = await sign_in(world)
    assert reason(refused) == "action_required"
    assert "Authenticator app" in says(refused)
    assert says(refused).endswith(world.trail.reference)
    assert await world.failures() == 0


async def test_logins_within_eight_hours_are_counted_once(world: World) -> None:
    use_plan(world, demands=[ENROL])
    await bob(world)
    for _ in range(4):
        assert "once more" in told(await sign_in(world))
        world.later(3600)
    [row] = await world.rows("demand")
    assert row["put_off"] == 1


async def test_the_last_deferral_holds_for_its_eight_hours(world: World) -> None:
    use_plan(world, demands=[ActionEntrySettings(enrol="totp", level="forced", deferrals=1)])
    await bob(world)
    assert is_granted(await sign_in(world))
    world.later(EIGHT_HOURS - 1)
    assert is_granted(await sign_in(world))
    world.later(1)
    assert reason(await sign_in(world)) == "action_required"


async def test_logins_at_once_on_two_nodes_are_counted_exactly_once(world: World) -> None:
    use_plan(world, demands=[ENROL])
    await world.person("ada", phone=PHONE)
    nodes = [world.another_engine() for _ in range(2)]
    challenges = [await world.challenged("ada", origin=_nas(number), engine=nodes[number % 2]) for number in range(6)]
    codes = {each.reference: each.code for each in await world.messages()}
    outcomes = await at_once(
        *(
            world.answer(challenge, codes[challenge.reference], name="ada", origin=_nas(number), engine=nodes[number % 2])
            for number, challenge in enumerate(challenges)
        )
    )
    assert all(is_granted(outcome) for outcome in outcomes)
    [row] = await world.rows("demand")
    assert row["put_off"] == 1


async def test_an_enrolled_factor_meets_the_demand_at_once(world: World) -> None:
    use_plan(world, demands=[ENROL])
    user = await bob(world)
    challenge = await world.challenged("bob")
    await world.give_totp(user)
    assert told(await world.answer(challenge, await world.code("bob"), name="bob")) == ""
    assert not await world.rows("demand")


async def test_who_has_what_is_demanded_reads_and_writes_nothing_for_it(world: World) -> None:
    use_plan(world, demands=[ENROL])
    await world.give_totp(await world.person("ada"))
    outcome = await world.answer(await world.challenged("ada"), world.totp(), name="ada")
    assert told(outcome) == ""
    assert not await world.rows("demand")


async def test_a_demand_without_deferrals_refuses_the_first_login(world: World) -> None:
    use_plan(world, demands=[ActionEntrySettings(enrol=("totp", "hotp"), level="forced", deferrals=0)])
    await bob(world, language="tr")
    refused = await sign_in(world)
    assert reason(refused) == "action_required"
    assert "Kurumunuz" in says(refused)
    [payload] = await world.payloads("engine:login:denied")
    assert payload["reason"] == "action_required"
    assert payload["factors"] == ["password", "sms"]
    assert payload["demands"] == [{"action": "enrol:totp+hotp", "must": True}]
    assert any("demands" in what for _, what, _ in world.trail.steps)
    assert not await world.rows("demand")


async def test_who_has_not_proved_everything_learns_nothing_of_a_demand(world: World) -> None:
    use_plan(world, demands=[ActionEntrySettings(enrol="totp", level="forced", deferrals=0)])
    await bob(world)
    assert reason(await world.begin("bob", "guess")) == "password_wrong"
    challenge = await world.challenged("bob")
    again = await world.answer(challenge, world.wrong_code(), name="bob")
    assert "second step" not in says(again)


async def test_a_later_demand_that_cannot_be_put_off_uses_up_no_deferral_of_an_earlier_one(world: World) -> None:
    use_plan(world, demands=[ENROL, ActionEntrySettings(confirm="contact", level="forced", deferrals=0)])
    await bob(world)
    refused = await sign_in(world)
    assert "e-mail address has to be confirmed" in says(refused)
    assert not await world.rows("demand")


async def test_demands_are_told_in_their_order(world: World) -> None:
    use_plan(world, demands=[CONFIRM, ENROL, ActionEntrySettings(enrol="recovery_code")])
    await bob(world)
    outcome = await sign_in(world)
    assert isinstance(outcome, Granted)
    forms = [text.id for text in outcome.texts]
    assert sorted(forms) == sorted(["confirm.due", "enrol.defer_last", "enrol.due", "enrol.defer_once", "enrol.offer"])
    kept = [row["action"] for row in await world.rows("demand")]
    assert sorted(map(str, kept)) == ["confirm:contact", "enrol:recovery_code", "enrol:totp"]
    [payload] = await world.payloads("engine:login:granted")
    assert [each["action"] for each in payload["demands"]] == [each.action for each in world.policy.actions[0].demands]


async def test_an_optional_one_is_mentioned_from_time_to_time(world: World) -> None:
    use_plan(world, demands=[ActionEntrySettings(enrol="totp", level="optional", remind="2d")])
    await bob(world)
    assert "You can set up" in told(await sign_in(world))
    world.later(DAY)
    assert told(await sign_in(world)) == ""
    world.later(DAY + 61)
    assert "You can set up" in told(await sign_in(world))


async def test_one_that_is_off_is_not_asked_for(world: World) -> None:
    use_plan(world, demands=[ActionEntrySettings(enrol="totp", level="off", deferrals=0)])
    await bob(world)
    assert told(await sign_in(world)) == ""


async def test_a_contact_that_was_verified_meets_the_demand_until_it_is_too_old(world: World) -> None:
    use_plan(world, demands=[CONFIRM])
    user = await bob(world)
    assert "confirm your phone" in told(await sign_in(world))
    world.later(60)
    await verify_phone(world, user)
    world.later(EIGHT_HOURS)
    assert told(await sign_in(world)) == ""
    world.later(179 * DAY)
    assert told(await sign_in(world)) == ""
    world.later(DAY)
    # It was done meanwhile: the count begins anew.
    assert "confirm your phone" in told(await sign_in(world))


async def test_a_contact_that_nobody_verified_meets_nothing(world: World) -> None:
    use_plan(world, demands=[ActionEntrySettings(confirm="contact", level="forced", deferrals=0)])
    user = await bob(world)
    now = to_ms(world.clock.now())
    subject = await world.subject_of(user)
    await world.storage.commit(create_contact(world.ring, subject, ContactKind.PHONE, PHONE, Source.OPERATOR, None, now))
    assert reason(await sign_in(world)) == "action_required"


async def test_a_password_that_must_be_changed_is_refused_for_that(world: World) -> None:
    use_plan(world, demands=[ActionEntrySettings(change="password", level="forced", deferrals=0), ENROL])
    await world.person("erin", phone=PHONE, must_change=True)
    assert reason(await sign_in(world, "erin")) == "must_change"
    await bob(world)
    assert "second step" in told(await sign_in(world))


async def test_a_password_that_is_too_old_is_to_be_changed_and_a_change_begins_the_count_anew(world: World) -> None:
    use_plan(world, demands=[ActionEntrySettings(change="password", level="forced", deferrals=1, every="90d")])
    user = await bob(world, password_changed_at=world.clock.now())
    world.later(89 * DAY)
    assert told(await sign_in(world)) == ""
    world.later(DAY)
    assert "choose a new password" in told(await sign_in(world))
    world.later(EIGHT_HOURS)
    assert reason(await sign_in(world)) == "action_required"
    world.directory.remove(user)
    await world.person("erin", phone="+905327654321", password_changed_at=world.clock.now())
    assert told(await sign_in(world, "erin")) == ""


async def test_a_password_of_unknown_age_is_not_too_old(world: World) -> None:
    use_plan(world, demands=[ActionEntrySettings(change="password", level="forced", deferrals=0, every="90d")])
    await bob(world)
    world.later(400 * DAY)
    assert told(await sign_in(world)) == ""


async def test_a_clock_that_was_set_back_gives_no_deferrals_and_takes_none(world: World) -> None:
    use_plan(world, demands=[ENROL])
    user = await bob(world)
    assert is_granted(await sign_in(world))
    subject = await world.subject_of(user)
    ahead = to_ms(world.clock.now()) + 30 * DAY * 1000
    await world.storage.commit([Update("demand", {"subject_id": subject, "action": "enrol:totp"}, {"put_off_at": ahead})])
    assert "The next time" in told(await sign_in(world))


PAGES = elsewhere(door="portal", binding="portal:", nas="", shows_pages=True)
MUST = ActionEntrySettings(enrol="totp", level="forced", deferrals=0)


async def required(world: World) -> ActionRequired:
    """Bob at a door that shows pages, with everything proved and something to do."""
    challenge = await world.challenged("bob", origin=PAGES)
    outcome = await world.answer(challenge, await world.code("bob"), name="bob", origin=PAGES)
    assert isinstance(outcome, ActionRequired), outcome
    return outcome


async def looked_at_again(world: World, outcome: Outcome, fingerprint: bytes | None = None, origin: Origin = PAGES) -> Outcome:
    """The door says that it has been done."""
    assert isinstance(outcome, ActionRequired)
    world.packets += 1
    mark = fingerprint or b"form %d" % world.packets
    trail = Trail(world.clock, "portal")
    return await world.engine.answer(AnswerRequest(outcome.handle, Secret(b""), "bob", mark, origin, trail))


async def test_a_door_that_shows_pages_has_it_done_and_the_login_goes_on(world: World) -> None:
    use_plan(world, demands=[MUST])
    user = await bob(world)
    outcome = await required(world)
    assert (outcome.action, outcome.text.id) == ("enrol:totp", "enrol.must")
    [payload] = await world.payloads("engine:login:action_required")
    assert payload["factors"] == ["password", "sms"]
    await world.give_totp(user)
    granted = await looked_at_again(world, outcome)
    assert isinstance(granted, Granted)
    assert granted.factors == ("password", "sms")


async def test_nobody_is_let_in_by_saying_that_it_was_done(world: World) -> None:
    use_plan(world, demands=[MUST])
    await bob(world)
    outcome: Outcome = await required(world)
    for _ in range(20):
        again = await looked_at_again(world, outcome)
        assert not isinstance(again, Granted)
        if not isinstance(again, ActionRequired):
            break
        outcome = again
    assert reason(again) == "action_required"


async def test_what_waits_for_an_action_is_used_once_and_by_its_door_only(world: World) -> None:
    use_plan(world, demands=[MUST])
    user = await bob(world)
    outcome = await required(world)
    await world.give_totp(user)
    assert (
        reason(await looked_at_again(world, outcome, origin=elsewhere(binding="portal:other", shows_pages=True)))
        == "state_other_nas"
    )
    first = await looked_at_again(world, outcome, b"same")
    assert await looked_at_again(world, outcome, b"same") == first
    assert reason(await looked_at_again(world, outcome, b"other")) == "state_used"


async def test_an_account_that_is_closed_meanwhile_is_not_let_in_by_an_action(world: World) -> None:
    use_plan(world, demands=[MUST])
    user = await bob(world)
    outcome = await required(world)
    await world.give_totp(user)
    world.directory.change_state(user, AccountState.DISABLED)
    assert reason(await looked_at_again(world, outcome)) == "user_changed"


async def test_no_other_login_is_joined_to_one_that_waits_for_an_action(world: World) -> None:
    use_plan(world, demands=[MUST])
    await bob(world)
    await required(world)
    assert isinstance(await world.begin("bob", origin=PAGES), Challenge)


async def test_a_password_alone_enrols_nothing(world: World) -> None:
    use_plan(world, ["password"], demands=[MUST])
    user = await bob(world)
    assert isinstance(await world.begin("bob", origin=PAGES), Challenge)
    outcome = await required(world)
    await world.give_totp(user)
    assert is_granted(await looked_at_again(world, outcome))
    await world.person("carol")
    assert reason(await world.begin("carol", origin=PAGES)) == "no_factor"
    assert reason(await world.begin("bob", "guess", origin=PAGES)) == "password_wrong"


async def test_a_trusted_device_spares_no_factor_where_something_is_enrolled(world: World) -> None:
    use_plan(world, demands=[MUST])
    user = await bob(world)
    value, operations = make(world.ring, await world.subject_of(user), "Firefox", to_ms(world.clock.now()), DAY)
    await world.storage.commit(operations)
    challenge = await world.begin("bob", device=value, origin=PAGES)
    assert isinstance(challenge, Challenge)
    one = await world.answer(challenge, await world.code("bob"), name="bob", origin=PAGES)
    await world.give_totp(user)
    granted = await looked_at_again(world, one)
    assert isinstance(granted, Granted)
    assert granted.factors == ("password", "sms")
    assert granted.device is not None


async def test_a_trusted_device_is_used_up_by_the_login_that_waited(world: World) -> None:
    use_plan(world, demands=[ActionEntrySettings(confirm="contact", level="forced", deferrals=0)])
    user = await bob(world)
    value, operations = make(world.ring, await world.subject_of(user), "Firefox", to_ms(world.clock.now()), DAY)
    await world.storage.commit(operations)
    one = await world.begin("bob", device=value, origin=PAGES)
    other = await world.begin("bob", device=value, origin=PAGES)
    await verify_phone(world, user)
    granted = await looked_at_again(world, one)
    assert isinstance(granted, Granted)
    assert granted.factors == ("password", "trusted_device")
    assert granted.device is not None
    assert reason(await looked_at_again(world, other)) == "proof_gone"


@pytest.mark.parametrize("times", [1, 3])
async def test_another_persons_deferrals_are_his_own(world: World, times: int) -> None:
    use_plan(world, demands=[ActionEntrySettings(enrol="totp", level="forced", deferrals=1)])
    await bob(world)
    await world.person("dave", phone="+905327654321")
    for _ in range(times):
        assert is_granted(await sign_in(world))
    world.later(EIGHT_HOURS)
    assert reason(await sign_in(world)) == "action_required"
    assert is_granted(await sign_in(world, "dave"))


def _nas(number: int) -> Origin:
    return elsewhere(binding=f"radius:nas{number}:", client=f"203.0.113.{number + 1}")
