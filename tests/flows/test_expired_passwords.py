"""A right password that has to be changed: told after the second factor and never before. The account's other states: never."""

from typing import Any

import pytest

from tests.flows.world import NAS, World, elsewhere, is_asked_first, is_granted, reason, rule, says
from wardgate.directory.port import PasswordVerdict
from wardgate.engine.outcome import Challenge, Denied, Outcome
from wardgate.engine.settings import CodeSettings

CHANGES = {PasswordVerdict.EXPIRED: "password_expired", PasswordVerdict.MUST_CHANGE: "must_change"}
CLOSED = {
    PasswordVerdict.DISABLED: "account_disabled",
    PasswordVerdict.ACCOUNT_EXPIRED: "account_expired",
    PasswordVerdict.HOURS: "account_hours",
    PasswordVerdict.WORKSTATION: "account_workstation",
    PasswordVerdict.LOCKED: "account_locked",
    PasswordVerdict.REFUSED: "account_locked",
}


@pytest.fixture(params=CHANGES)
def verdict(request: pytest.FixtureRequest) -> PasswordVerdict:
    found: PasswordVerdict = request.param
    return found


def heard(world: World, outcome: Outcome) -> tuple[Any, ...]:
    """All that somebody outside gets to know, without the reference."""
    assert isinstance(outcome, Denied), outcome
    values = {name: value for name, value in outcome.text.values.items() if name != "ref"}
    floor = None if outcome.not_before is None else round(outcome.not_before - world.trail.started, 6)
    return outcome.text.id, values, outcome.language, len(outcome.reference), floor


async def ada(world: World, verdict: PasswordVerdict, **fields: Any) -> None:
    await world.give_totp(await world.person("ada", verdict=verdict, **fields))


async def test_it_is_told_after_the_second_factor(world: World, verdict: PasswordVerdict) -> None:
    await ada(world, verdict)
    challenge = await world.challenged("ada")
    assert says(challenge) == "Enter the code from your app."
    refused = await world.answer(challenge, world.totp(), name="ada")
    assert reason(refused) == CHANGES[verdict]
    assert says(refused).startswith(
        "Your password has expired." if verdict is PasswordVerdict.EXPIRED else "You have to choose a new password first,"
    )
    assert says(refused).endswith(f"Reference {challenge.reference}")
    assert await world.events("engine:login:granted") == []
    [denied] = await world.payloads("engine:login:denied")
    assert (denied["reason"], denied["user"]) == (CHANGES[verdict], "ada")
    assert (await world.verified()).findings == ()


async def test_it_is_told_in_the_persons_language(world: World, verdict: PasswordVerdict) -> None:
    await ada(world, verdict, language="tr")
    refused = await world.answer(await world.challenged("ada"), world.totp(), name="ada")
    assert "parola" in says(refused).lower()


async def test_expired_is_not_told_before_the_second_factor(world: World, verdict: PasswordVerdict) -> None:
    """The challenge of an expired password is the challenge of any other."""
    await ada(world, verdict)
    await world.give_totp(await world.person("bob"))
    expired, other = await world.challenged("ada"), await world.challenged("bob")
    assert (expired.factor, expired.texts, expired.expires_in_s) == (other.factor, other.texts, other.expires_in_s)
    assert len(expired.handle) == len(other.handle)
    wrong = [await world.answer(each, world.wrong_code(), name=name) for each, name in ((expired, "ada"), (other, "bob"))]
    assert says(wrong[0]) == says(wrong[1])


async def test_the_code_is_used_up(world: World, verdict: PasswordVerdict) -> None:
    await ada(world, verdict)
    code = world.totp()
    assert reason(await world.answer(await world.challenged("ada"), code, name="ada")) == CHANGES[verdict]
    assert isinstance(await world.answer(await world.challenged("ada"), code, name="ada"), Challenge)


async def test_an_identical_packet_gets_the_same_words(world: World, verdict: PasswordVerdict) -> None:
    await ada(world, verdict)
    challenge, code = await world.challenged("ada"), world.totp()
    first = await world.answer(challenge, code, name="ada", fingerprint=b"one")
    assert await world.answer(challenge, code, name="ada", fingerprint=b"one", engine=world.another_engine()) == first
    assert len(await world.events("engine:login:denied")) == 1


async def test_a_stored_login_carries_it_as_well(world: World, verdict: PasswordVerdict) -> None:
    """A code that was sent makes a row from the first question on; a wrong code makes one of a sealed handle."""
    await world.person("bob", phone="+905321234567", verdict=verdict)
    challenge = await world.challenged("bob")
    assert len(await world.rows("login_transaction")) == 1
    refused = await world.answer(challenge, await world.code("bob"), name="bob", engine=world.another_engine())
    assert reason(refused) == CHANGES[verdict]
    await ada(world, verdict)
    again = await world.answer(await world.challenged("ada"), world.wrong_code(), name="ada")
    assert reason(await world.answer(again, world.totp(), name="ada", engine=world.another_engine())) == CHANGES[verdict]


async def test_two_steps_are_both_proved_first(world: World, verdict: PasswordVerdict) -> None:
    world.use_policy([rule("two", ["password"], ["totp"], ["sms"])])
    await ada(world, verdict, phone="+905321234567")
    second = await world.answer(await world.challenged("ada"), world.totp(), name="ada")
    assert isinstance(second, Challenge)
    assert reason(await world.answer(second, await world.code("ada"), name="ada")) == CHANGES[verdict]


@pytest.mark.parametrize(
    "case", ["none enrolled", "password alone", "policy refuses", "one field, no code", "one field, wrong code"]
)
async def test_who_proves_no_second_factor_hears_and_counts_what_a_wrong_password_does(
    world: World, verdict: PasswordVerdict, case: str
) -> None:
    if case == "password alone":
        world.use_policy([rule("all", ["password"])])
    if case == "policy refuses":
        world.use_policy([rule("none", deny=True)])
    user = await world.person("ada", verdict=verdict, language="tr")
    if case != "none enrolled":
        await world.give_totp(user)
    options: dict[str, Any] = {"can_challenge": False} if case.startswith("one field") else {}
    if case.endswith("wrong code"):
        options["code"] = "000000"
    times = 10 if case.startswith("one field") else 5
    told = [heard(world, await world.begin("ada", **options)) for _ in range(times)]
    there = elsewhere(client="198.51.100.1")
    wrong = [heard(world, await world.begin("nobody", "guess", origin=there, **options)) for _ in range(times)]
    assert told == wrong
    if times == 5:
        assert is_asked_first(await world.begin("ada")) == is_asked_first(await world.begin("nobody", origin=there)) is True
    assert await world.messages() == []


async def test_all_in_one_request_is_told_once_the_code_is_right(world: World, verdict: PasswordVerdict) -> None:
    await ada(world, verdict)
    code = world.totp()
    refused = await world.begin("ada", code=code, can_challenge=False)
    assert reason(refused) == CHANGES[verdict]
    assert heard(world, refused)[0] != "signin.failed"
    assert reason(await world.begin("ada", code=code, can_challenge=False)) == "code_replayed"


async def test_a_right_expired_password_counts_no_failure_and_a_proved_one_forgives(world: World, verdict: PasswordVerdict) -> None:
    await ada(world, verdict)
    await world.wrong_passwords("ada", 2)
    challenge = await world.challenged("ada")
    assert (await world.failures(), await world.in_flight()) == (2, 0)
    await world.answer(challenge, world.totp(), name="ada")
    assert (await world.failures(), await world.in_flight()) == (0, 0)


async def test_a_right_code_is_worth_nothing_once_a_brake_holds(world: World, verdict: PasswordVerdict) -> None:
    """Else the words would tell that the code was right."""
    await ada(world, verdict)
    challenge = await world.challenged("ada")
    await world.wrong_passwords("ada", 5)
    assert reason(await world.answer(challenge, world.totp(), name="ada")) == "brake_user_source"


async def test_the_password_is_checked_once_in_the_whole_login(world: World, verdict: PasswordVerdict) -> None:
    """Each bind may use up one of an account's last grace logins."""
    await ada(world, verdict)
    await world.answer(await world.challenged("ada"), world.totp(), name="ada")
    assert world.directory.checks == 1


async def test_after_the_change_the_next_login_is_let_in(world: World, verdict: PasswordVerdict) -> None:
    await ada(world, verdict)
    user = await world.directory.find("ada", 1)
    assert user is not None
    assert reason(await world.answer(await world.challenged("ada"), world.totp(), name="ada")) == CHANGES[verdict]
    world.directory.change_verdict(user, PasswordVerdict.RIGHT)
    world.later(30)
    assert is_granted(await world.answer(await world.challenged("ada"), world.totp(), name="ada"))


async def test_a_login_after_the_change_is_not_joined_to_one_from_before(world: World, verdict: PasswordVerdict) -> None:
    user = await world.person("bob", phone="+905321234567", verdict=verdict)
    before = await world.challenged("bob")
    world.directory.change_verdict(user, PasswordVerdict.RIGHT)
    world.later(1)  # what is sent at one moment has no order
    after = await world.challenged("bob")
    assert after.reference != before.reference
    assert is_granted(await world.answer(after, await world.code("bob"), name="bob"))


@pytest.mark.parametrize("verdict", CLOSED)
async def test_every_other_state_is_refused_as_a_wrong_password_and_known_inside(world: World, verdict: PasswordVerdict) -> None:
    await ada(world, verdict, language="tr")
    seen = heard(world, await world.begin("ada"))
    assert seen == heard(world, await world.begin("nobody", "guess", origin=elsewhere(client="198.51.100.1")))
    reasons = [each["reason"] for each in await world.payloads("engine:login:denied")]
    assert reasons == [CLOSED[verdict], "user_unknown"]
    rows = await world.rows("timeline")
    assert any(CLOSED[verdict] in str(row["body"]) for row in rows)


@pytest.mark.parametrize("verdict", CLOSED)
async def test_every_other_state_is_braked_as_a_wrong_password(world: World, verdict: PasswordVerdict) -> None:
    await ada(world, verdict)
    assert [reason(await world.begin("ada", origin=NAS)) for _ in range(5)] == [CLOSED[verdict]] * 5
    assert is_asked_first(await world.begin("ada", origin=NAS))


async def test_a_login_that_began_before_the_password_expired_is_let_in(world: World) -> None:
    world.codes = CodeSettings()
    user = await world.person("ada")
    await world.give_totp(user)
    challenge = await world.challenged("ada")
    world.directory.change_verdict(user, PasswordVerdict.EXPIRED)
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
