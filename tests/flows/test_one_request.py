"""Password and code in one request, and code only. Nothing may tell a guesser which part was wrong."""

from typing import Any

import pytest

from tests.flows.world import SECRET, World, elsewhere, floor, is_granted, reason, rule, says
from wardgate.crypto import Secret
from wardgate.directory.port import AccountState
from wardgate.engine.outcome import Challenge, Denied, Granted
from wardgate.factors import PASSWORD
from wardgate.factors.totp import hotp

VOUCHED: dict[str, Any] = {"password": None, "proved_elsewhere": frozenset((PASSWORD,))}


async def ada(world: World, **fields: object) -> None:
    await world.give_totp(await world.person("ada", **fields))


async def one_field(world: World, name: str = "ada", password: str = "correct horse", code: str | None = None) -> object:
    return await world.begin(name, password, code=code, can_challenge=False)


# --- password and code -----------------------------------------------------------------------------------------------


async def test_password_and_code_together_let_in(world: World) -> None:
    await ada(world)
    outcome = await one_field(world, code=world.totp())
    assert isinstance(outcome, Granted)
    assert outcome.factors == ("password", "totp")
    assert outcome.assurance == 2
    assert len(await world.events("engine:login:granted")) == 1


@pytest.mark.parametrize("password", ["correct horse", "wrong"])
@pytest.mark.parametrize("code", ["right", "wrong", None, "", "used"])
async def test_only_both_right_and_unused_lets_in(world: World, password: str, code: str | None) -> None:
    await ada(world)
    if code == "used":
        assert is_granted(await one_field(world, code=world.totp()))
    typed = (
        {"right": world.totp(), "used": world.totp(), "wrong": world.wrong_code(), "": ""}.get(code) if code is not None else None
    )
    outcome = await one_field(world, password=password, code=typed)
    assert is_granted(outcome) is (password == "correct horse" and code == "right")


async def test_a_device_and_a_recovery_code_work_as_well(world: World) -> None:
    erin = await world.person("erin")
    await world.give_hotp(erin)
    codes = await world.give_recovery_codes(erin)
    assert is_granted(await one_field(world, "erin", code=hotp(Secret(SECRET), 0, 6)))
    world.later(200)
    assert is_granted(await one_field(world, "erin", code=codes[0]))
    world.later(200)
    assert not is_granted(await one_field(world, "erin", code=codes[0]))


async def test_nothing_is_ever_sent_where_nothing_can_be_asked(world: World) -> None:
    await world.person("bob", phone="+905321234567", mail="bob@acme.test")
    for code in (None, "123456", "sms"):
        assert reason(await one_field(world, "bob", code=code)) in ("factor_not_here", "code_missing")
    assert await world.messages() == []


def as_a_guesser_sees_it(world: World, outcome: object) -> tuple[object, ...]:
    """Everything that leaves for the NAS, without the reference."""
    assert isinstance(outcome, Denied)
    assert outcome.not_before is not None
    text = outcome.text
    values = {name: value for name, value in text.values.items() if name != "ref"}
    return (text.id, values, outcome.language, len(outcome.reference), outcome.not_before - world.trail.started)


CASES = {
    "password wrong": ("ada", "wrong", "000000"),
    "password wrong, no code": ("ada", "wrong", None),
    "password right, code wrong": ("ada", "correct horse", "000000"),
    "password right, code too long": ("ada", "correct horse", "0" * 120),
    "password right, code no digits": ("ada", "correct horse", "sms"),
    "password right, a recovery code that is none": ("dave", "correct horse", "0000-0000-00000"),
    "password right, no code": ("ada", "correct horse", None),
    "password right, no second factor": ("frank", "correct horse", "000000"),
    "password right, no second factor and no code": ("frank", "correct horse", None),
    "password right, only factors that send": ("bob", "correct horse", "000000"),
    "password right, policy refuses": ("guest", "correct horse", "000000"),
    "password right, two factors needed": ("admin", "correct horse", "000000"),
    "unknown": ("nobody", "correct horse", "000000"),
}


async def everybody(world: World) -> None:
    world.use_policy(
        [rule("guests", when={"user": "guest"}, deny=True), rule("all", ["password"], ["totp", "sms", "recovery_code"])],
        [floor("admins", strong=2, when={"user": "admin"})],
    )
    await ada(world, language="tr")
    await world.person("frank")
    await world.person("bob", phone="+905321234567", language="tr")
    await world.give_totp(await world.person("guest"))
    await world.give_totp(await world.person("admin"))
    await world.give_recovery_codes(await world.person("dave"))


@pytest.mark.parametrize("case", CASES)
async def test_a_guesser_does_not_learn_from_the_reply_which_part_was_wrong(world: World, case: str) -> None:
    await everybody(world)
    name, password, code = CASES[case]
    outcome = await one_field(world, name, password, code)
    seen = as_a_guesser_sees_it(world, outcome)
    assert seen == ("signin.failed", {}, "en", 8, pytest.approx(0.3))


@pytest.mark.parametrize("case", CASES)
async def test_a_guesser_does_not_learn_from_the_brake_which_part_was_wrong(world: World, case: str) -> None:
    """If a right password with a wrong or missing code did not count, six tries would tell whether a password is right."""
    await everybody(world)
    name, password, code = CASES[case]
    seen = [as_a_guesser_sees_it(world, await one_field(world, name, password, code)) for _ in range(12)]
    assert {each[0] for each in seen[:5]} == {"signin.failed"}, seen
    assert set(map(str, seen[5:])) == {str(("wait.person", {"min": 5}, "en", 8, seen[0][-1]))}, (
        "also once no code opens it any more"
    )


async def test_a_used_code_beside_the_right_password_is_not_counted(world: World) -> None:
    """GlobalProtect gives the gateway the whole field that the portal took."""
    await ada(world)
    code = world.totp()
    assert is_granted(await one_field(world, code=code))
    for _ in range(10):
        assert reason(await one_field(world, code=code)) == "code_replayed"
    world.later(30)
    assert is_granted(await one_field(world, code=world.totp()))


async def test_a_used_code_is_not_counted_whatever_else_the_person_has(world: World) -> None:
    """It is no guess at the app, and being no recovery code either does not make it one."""
    dave = await world.person("dave")
    await world.give_totp(dave)
    await world.give_hotp(dave, b"another secret of 20")
    await world.give_recovery_codes(dave)
    assert is_granted(await one_field(world, "dave", code=world.totp()))
    for _ in range(6):
        assert reason(await one_field(world, "dave", code=world.totp())) == "code_replayed"


async def test_an_attempt_that_was_let_in_leaves_nothing_reserved(world: World) -> None:
    await ada(world)
    await one_field(world, code=world.totp())
    await one_field(world, code=world.wrong_code())
    await one_field(world, code=world.totp())
    assert (await world.in_flight(), await world.failures()) == (0, 1)


async def test_one_password_check_for_one_request(world: World) -> None:
    await ada(world)
    for code in (world.totp(), world.wrong_code(), None):
        before = world.directory.checks
        await one_field(world, code=code)
        assert world.directory.checks == before + 1


# --- code only -------------------------------------------------------------------------------------------------------


async def test_the_code_alone_lets_in_where_the_nas_vouches_for_the_password(world: World) -> None:
    await ada(world)
    outcome = await world.begin("ada", code=world.totp(), can_challenge=False, **VOUCHED)
    assert isinstance(outcome, Granted)
    assert outcome.factors == ("password", "totp")
    assert world.directory.checks == 0


async def test_the_code_alone_is_good_once(world: World) -> None:
    await ada(world)
    assert is_granted(await world.begin("ada", code=world.totp(), can_challenge=False, **VOUCHED))
    assert reason(await world.begin("ada", code=world.totp(), can_challenge=False, **VOUCHED)) == "code_replayed"


async def test_nothing_typed_asks_for_the_code(world: World) -> None:
    await ada(world, phone="+905321234567")
    challenge = await world.begin("ada", **VOUCHED)
    assert isinstance(challenge, Challenge)
    assert says(challenge) == "Enter the code from your app. Other ways: sms."
    challenge = await world.answer(challenge, "sms", name="ada")
    assert is_granted(await world.answer(challenge, await world.code(), name="ada"))


async def test_wrong_codes_alone_are_braked(world: World) -> None:
    await ada(world)
    for _ in range(5):
        assert reason(await world.begin("ada", code=world.wrong_code(), can_challenge=False, **VOUCHED)) == "code_wrong"
    assert reason(await world.begin("ada", code=world.totp(), can_challenge=False, **VOUCHED)) == "brake_user_source"


@pytest.mark.parametrize("code", ["123456", None])
async def test_unknown_and_disabled_names_are_refused_alike_where_only_codes_are_asked(world: World, code: str | None) -> None:
    world.directory.add("closed", "x", state=AccountState.DISABLED)
    seen = []
    for name in ("nobody", "closed"):
        outcome = await world.begin(name, code=code, can_challenge=code is None, **VOUCHED)
        seen.append(as_a_guesser_sees_it(world, outcome))
    assert seen[0] == seen[1]


async def test_code_only_never_lets_in_on_nothing_at_all(world: World) -> None:
    """A policy that is content with the password, behind a NAS that is said to have checked it: then nobody checks anything."""
    world.use_policy([rule("password only", ["password"])])
    await ada(world)
    for code in (None, "123456", world.totp()):
        outcome = await world.begin("ada", code=code, can_challenge=code is None, **VOUCHED)
        assert reason(outcome) == "factor_not_here"


async def test_a_door_that_brings_no_password_and_vouches_for_none_gets_nowhere(world: World) -> None:
    await ada(world)
    assert reason(await world.begin("ada", None)) == "factor_not_here"
    assert reason(await world.begin("ada", None, code=world.totp(), can_challenge=False)) == "factor_not_here"
    assert await world.events("engine:login:granted") == []


async def test_two_factors_cannot_be_proved_in_one_request(world: World) -> None:
    world.use_policy([rule("two", ["password"], ["totp"], ["recovery_code"])])
    dave = await world.person("dave")
    await world.give_totp(dave)
    await world.give_recovery_codes(dave)
    assert reason(await one_field(world, "dave", code=world.totp())) == "factor_not_here"
    [app] = [row for row in await world.rows("authenticator") if row["kind"] == "totp"]
    assert app["counter"] == 0


async def test_code_only_joins_an_open_login_of_the_same_person_only(world: World) -> None:
    await world.person("bob", phone="+905321234567")
    await world.person("eve", phone="+905559999999")
    bobs, eves = await world.begin("bob", **VOUCHED), await world.begin("eve", **VOUCHED)
    assert isinstance(bobs, Challenge)
    assert isinstance(eves, Challenge)
    assert bobs.reference != eves.reference
    assert reason(await world.answer(bobs, await world.code("bob"), name="eve")) == "state_other_user"
    other = await world.begin("bob", origin=elsewhere(client="198.51.100.9"), **VOUCHED)
    assert isinstance(other, Challenge)
    assert other.reference != bobs.reference
