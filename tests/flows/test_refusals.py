"""What an outsider gets to see, and what the person himself is told once the password is proved."""

from dataclasses import replace

import pytest

from tests.flows.world import World, elsewhere, floor, is_granted, reason, rule, says
from wardgate.directory.memory import Behaviour
from wardgate.directory.port import AccountState
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge, Denied
from wardgate.engine.settings import ApplicationSettings, BrakeSettings
from wardgate.texts import LANGUAGES

OUTSIDE = {
    "unknown": ("nobody", "correct horse"),
    "no name at all": ("", "correct horse"),
    "a name that cannot be one": ("ada\x00", "correct horse"),
    "a name of endless length": ("a" * 253, "correct horse"),
    "a name of another realm": ("elsewhere\\ada", "correct horse"),
    "wrong": ("ada", "wrong"),
    "empty": ("ada", ""),
    "of the first half": ("ada", "correct"),
    "with a blank": ("ada", "correct horse "),
    "disabled, right": ("disabled", "correct horse"),
    "disabled, wrong": ("disabled", "wrong"),
    "locked, right": ("locked", "correct horse"),
    "locked, wrong": ("locked", "wrong"),
    "expired, right": ("expired", "correct horse"),
    "must change, right": ("newcomer", "correct horse"),
    "must change, wrong": ("newcomer", "wrong"),
    "no password at all, empty": ("nopassword", ""),
    "no password at all, something": ("nopassword", "None"),
    "policy would refuse, wrong": ("guest", "wrong"),
    "no second factor, wrong": ("frank", "wrong"),
}
TOLD = {
    "unknown": "user_unknown",
    "wrong": "password_wrong",
    "empty": "password_wrong",
    "disabled, right": "account_disabled",
    "disabled, wrong": "password_wrong",
    "locked, right": "account_locked",
    "expired, right": "account_expired",
    "must change, right": "must_change",
    "must change, wrong": "password_wrong",
}


async def everybody(world: World) -> None:
    world.use_policy([rule("guests", when={"user": "guest"}, deny=True), rule("all", ["password"], ["totp", "sms"])])
    for name in ("ada", "frank", "guest"):
        await world.person(name, language="tr")
    for state in (AccountState.DISABLED, AccountState.LOCKED, AccountState.EXPIRED):
        await world.person(state.value, state=state, language="tr", phone="+905321234567")
    await world.person("newcomer", must_change=True, language="tr")
    world.directory.add("nopassword", None, language="tr")


@pytest.mark.parametrize("case", OUTSIDE)
@pytest.mark.parametrize("language", [None, "en", "tr"])
async def test_from_outside_all_refusals_are_alike(world: World, case: str, language: str | None) -> None:
    await everybody(world)
    refused = await world.begin(*OUTSIDE[case], origin=elsewhere(language=language))
    assert isinstance(refused, Denied)
    assert refused.text.id == "signin.failed"
    assert dict(refused.text.values) == {"ref": refused.reference}
    assert len(refused.reference) == 8
    assert refused.language == (language or "en"), "the person's own language would tell that he exists"
    assert refused.not_before == pytest.approx(world.trail.started + 0.3)
    assert await world.messages() == []


@pytest.mark.parametrize("case", TOLD)
async def test_audit_and_timeline_know_the_cause(world: World, case: str) -> None:
    await everybody(world)
    assert reason(await world.begin(*OUTSIDE[case])) == TOLD[case]
    [denied] = await world.payloads("engine:login:denied")
    assert denied["reason"] == world.trail.reason == TOLD[case]
    [row] = await world.rows("timeline")
    assert row["result"] == "denied"


@pytest.mark.parametrize("case", OUTSIDE)
async def test_each_refusal_costs_a_check_unless_the_password_is_empty(world: World, case: str) -> None:
    """Unknown and disabled names must not answer sooner than others."""
    await everybody(world)
    name, password = OUTSIDE[case]
    await world.begin(name, password)
    assert world.directory.checks == (1 if password else 0)


@pytest.mark.parametrize("case", OUTSIDE)
async def test_from_outside_all_names_are_braked_alike(world: World, case: str) -> None:
    await everybody(world)
    world.brakes = BrakeSettings(user_source_failures=2)
    for _ in range(2):
        assert not reason(await world.begin(*OUTSIDE[case])).startswith("brake")
    held = await world.begin(*OUTSIDE[case])
    if not OUTSIDE[case][1]:
        assert reason(held) == "brake_user_source", "there is no password to keep"
        return
    assert isinstance(held, Challenge), "a strong factor is asked for first, of everybody alike"
    assert [(text.id, dict(text.values)) for text in held.texts] == [("code.ask_strong_first", {"min": 5})]
    assert held.language == "en"
    assert held.not_before == pytest.approx(world.trail.started + 0.3)


async def test_references_are_of_one_length_and_differ(world: World) -> None:
    references = [(await world.begin(f"user{n}", "x")).reference for n in range(25)]
    assert len(set(references)) == 25
    assert {len(each) for each in references} == {8}


@pytest.mark.parametrize("behaviour", [Behaviour.UNAVAILABLE, Behaviour.SILENT])
@pytest.mark.parametrize("name", ["ada", "nobody", "disabled"])
async def test_a_directory_that_is_down_refuses_all_alike_and_counts_nothing(world: World, name: str, behaviour: Behaviour) -> None:
    await everybody(world)
    engine = Engine(replace(world.engine._parts, directory_timeout_s=0.01))
    world.directory.behaviour = behaviour
    for _ in range(8):
        refused = await world.begin(name, "guess", engine=engine)
        assert isinstance(refused, Denied)
        assert refused.reason == "directory_down"
        assert refused.text.id == "down.directory"
        assert (refused.language, refused.not_before) == ("en", pytest.approx(world.trail.started + 0.3))
    world.directory.behaviour = Behaviour.ANSWERS
    assert not reason(await world.begin(name, "guess")).startswith("brake")


async def test_a_directory_that_goes_down_during_the_check_gives_the_attempt_back(world: World) -> None:
    await everybody(world)
    real = world.directory.check_password

    async def fail(*arguments: object) -> object:
        world.directory.behaviour = Behaviour.UNAVAILABLE
        return await real(*arguments)  # type: ignore[arg-type]

    world.directory.check_password = fail  # type: ignore[method-assign, assignment]
    for _ in range(8):
        world.directory.behaviour = Behaviour.ANSWERS
        assert reason(await world.begin("ada", "guess")) == "directory_down"
    assert all(row["in_flight"] == row["failures"] == 0 for row in await world.rows("brake"))


async def test_a_directory_that_is_down_at_the_answer_uses_nothing_up(world: World) -> None:
    await everybody(world)
    ada = await world.directory.find("ada", 1)
    assert ada is not None
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    world.directory.behaviour = Behaviour.UNAVAILABLE
    code = world.totp()
    for _ in range(5):
        assert reason(await world.answer(challenge, code, name="ada")) == "directory_down"
    world.directory.behaviour = Behaviour.ANSWERS
    assert is_granted(await world.answer(challenge, code, name="ada"))


# --- after the password ----------------------------------------------------------------------------------------------


async def test_who_has_no_second_factor_is_told_what_to_do(world: World) -> None:
    await world.person("frank", language="tr")
    refused = await world.begin("frank")
    assert isinstance(refused, Denied)
    assert refused.reason == "no_factor"
    assert says(refused, "en").startswith("Your account has no second factor yet. Ask the help desk to add one.")
    assert refused.language == "tr"
    assert refused.not_before is None
    assert says(refused, "en").endswith(refused.reference)


async def test_who_is_refused_by_policy_is_told_by_the_applications_title(world: World) -> None:
    world.application = ApplicationSettings(name="vpn", title="Acme VPN")
    world.use_policy([rule("nobody", deny=True)])
    await world.person("ada")
    refused = await world.begin("ada")
    assert reason(refused) == "rule_denies"
    assert says(refused).startswith("Acme VPN is not open to your account.")


async def test_who_matches_no_rule_is_refused(world: World) -> None:
    world.use_policy([rule("others", ["password"], ["totp"], when={"group": ["local:others"]})])
    await world.give_totp(await world.person("ada", groups=("staff",)))
    assert reason(await world.begin("ada")) == "no_rule"


async def test_refusals_after_the_password_give_the_attempt_back(world: World) -> None:
    await world.person("frank")
    for _ in range(10):
        assert reason(await world.begin("frank")) == "no_factor"
    assert all(row["in_flight"] == row["failures"] == 0 for row in await world.rows("brake"))


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_refusal_ends_with_the_reference_that_the_log_knows(world: World, language: str) -> None:
    await everybody(world)
    ada = await world.directory.find("ada", 1)
    assert ada is not None
    await world.give_totp(ada)
    refusals = [
        await world.begin("nobody", "x"),
        await world.begin("guest"),
        await world.begin("frank"),
        await world.answer(await world.challenged("ada"), "1", name="eve"),
    ]
    outcome = await world.challenged("ada")
    while not isinstance(outcome, Denied):
        outcome = await world.answer(outcome, "000000", name="ada")
    refusals.append(outcome)
    for refused in refusals:
        assert says(refused, language).endswith(refused.reference)


# --- floors ----------------------------------------------------------------------------------------------------------

ADMINS = {"group": ["local:admins"]}


async def test_a_floor_of_two_strong_factors_makes_two_steps(world: World) -> None:
    world.use_policy([rule("all", ["password"], ["totp", "sms", "recovery_code"])], [floor("admins", strong=2, when=ADMINS)])
    root = await world.person("root", groups=("admins",), phone="+905321234567")
    await world.give_totp(root)
    codes = await world.give_recovery_codes(root)

    challenge = await world.challenged("root")
    assert says(challenge) == "Enter the code from your app. Other ways: recovery."
    assert not is_granted(await world.answer(challenge, "sms", name="root")), "what is sent is never strong"
    challenge = await world.challenged("root")
    challenge = await world.answer(challenge, world.totp(), name="root")
    assert says(challenge) == "Enter one of your recovery codes."
    assert await world.events("engine:login:granted") == []

    again = await world.answer(challenge, world.totp(), name="root")
    assert says(again).startswith("The code is not right"), "the first factor's code does not prove the second step"
    outcome = await world.answer(again, codes[0], name="root")
    assert is_granted(outcome)
    assert outcome.factors == ("password", "totp", "recovery_code")
    [granted] = await world.payloads("engine:login:granted")
    assert granted["factors"] == ["password", "totp", "recovery_code"]


async def test_the_code_of_the_first_of_two_steps_is_spent(world: World) -> None:
    world.use_policy([rule("two", ["password"], ["totp"], ["recovery_code"])])
    dave = await world.person("dave")
    await world.give_totp(dave)
    await world.give_recovery_codes(dave)
    code = world.totp()
    challenge = await world.challenged("dave")
    await world.answer(challenge, code, name="dave")
    world.later(300)
    world.clock.advance(-300)
    challenge = await world.challenged("dave", origin=elsewhere(client="203.0.113.8"))
    again = await world.answer(challenge, code, name="dave", origin=elsewhere(client="203.0.113.8"))
    assert says(again).startswith("That code was used already.")


async def test_one_factor_does_not_count_for_two_steps(world: World) -> None:
    world.use_policy([rule("all", ["password"], ["totp"])], [floor("admins", strong=2, when=ADMINS)])
    root = await world.person("root", groups=("admins",))
    await world.give_totp(root)
    challenge = await world.challenged("root")
    refused = await world.answer(challenge, world.totp(), name="root")
    assert reason(refused) == "no_factor"
    assert await world.events("engine:login:granted") == []
    again = await world.answer(await world.challenged("root"), world.totp(), name="root")
    assert says(again).startswith("That code was used already."), "the code is spent though it led nowhere"


async def test_a_floor_takes_away_what_a_rule_allows(world: World) -> None:
    world.use_policy([rule("all", ["password"], ["sms", "totp"])], [floor("no sms", never=["sms"], when=ADMINS)])
    root = await world.person("root", groups=("admins",), phone="+905321234567")
    assert reason(await world.begin("root")) == "no_factor"
    assert await world.messages() == []
    await world.give_totp(root)
    assert (await world.challenged("root")).factor == "totp"
    await world.person("bob", phone="+905321234567")
    assert (await world.challenged("bob")).factor == "sms"


async def test_a_floor_opens_nothing_that_a_rule_refused(world: World) -> None:
    world.use_policy([rule("nobody", deny=True)], [floor("admins", strong=1)])
    await world.give_totp(await world.person("ada"))
    assert reason(await world.begin("ada")) == "rule_denies"


async def test_password_alone_lets_in_where_policy_says_so_and_a_floor_mends_it(world: World) -> None:
    world.use_policy([rule("password", ["password"])], [floor("admins", strong=1, when=ADMINS)])
    await world.person("bob")
    root = await world.person("root", groups=("admins",))
    await world.give_totp(root)
    outcome = await world.begin("bob")
    assert is_granted(outcome)
    assert (outcome.factors, outcome.assurance) == (("password",), 1)
    assert len(await world.events("engine:login:granted")) == 1
    challenge = await world.challenged("root")
    assert is_granted(await world.answer(challenge, world.totp(), name="root"))


async def test_the_plan_is_that_of_the_first_request(world: World) -> None:
    """A configuration that becomes stricter holds from the next login on; the one that runs keeps its plan."""
    world.use_policy([rule("all", ["password"], ["totp"])])
    ada = await world.person("ada")
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    world.use_policy([rule("nobody", deny=True)])
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    assert reason(await world.begin("ada")) == "rule_denies"
