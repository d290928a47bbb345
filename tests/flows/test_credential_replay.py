"""GlobalProtect gives the gateway what the user typed last at the portal: a spent code, in the password field.

It is no guess, it must not be counted, and it must never reach a directory as a wrong password.
"""

from dataclasses import replace

import pytest

from tests.flows.world import SECRET, World, elsewhere, is_granted, reason, says
from wardgate.crypto import Secret
from wardgate.directory.memory import Behaviour
from wardgate.engine.settings import CodeSettings
from wardgate.engine.spent_code import user_key
from wardgate.factors.totp import hotp
from wardgate.storage.port import Upsert


async def logged_in(world: World, typed: str | None = None, name: str = "ada") -> str:
    """Ada is in; what she typed."""
    await world.give_totp(await world.person("ada"))
    code = typed if typed is not None else world.totp()
    assert is_granted(await world.answer(await world.challenged(name), code, name=name))
    return code


async def test_a_spent_code_as_password_is_refused_and_named_and_not_counted(world: World) -> None:
    code = await logged_in(world)
    checks = world.directory.checks
    for _ in range(30):
        assert reason(await world.begin("ada", code)) == "credential_replay"
    assert world.directory.checks == checks
    assert all(row["failures"] == row["in_flight"] == 0 for row in await world.rows("brake"))
    assert world.trail.reason == "credential_replay"
    assert any(detail.get("counted") is False for _, _, detail in world.trail.steps)
    world.later(30)
    assert is_granted(await world.answer(await world.challenged("ada"), world.totp(), name="ada"))


async def test_it_looks_like_any_other_wrong_password(world: World) -> None:
    code = await logged_in(world)
    replayed, wrong = await world.begin("ada", code), await world.begin("ada", "guess")
    assert says(replayed).rpartition(" ")[0] == says(wrong).rpartition(" ")[0]
    assert replayed.not_before is not None
    assert wrong.not_before is not None
    assert replayed.not_before - world.trails[-2].started == wrong.not_before - world.trails[-1].started


async def test_it_never_reaches_a_directory_even_one_that_is_down(world: World) -> None:
    code = await logged_in(world)
    world.directory.behaviour = Behaviour.UNAVAILABLE
    assert reason(await world.begin("ada", code)) == "credential_replay"


@pytest.mark.parametrize(("seconds", "known"), [(0, True), (120, True), (120.001, False)])
async def test_it_is_recognised_for_two_minutes(world: World, seconds: float, known: bool) -> None:
    code = await logged_in(world)
    world.later(seconds)
    assert (reason(await world.begin("ada", code)) == "credential_replay") is known


async def test_how_long_is_a_setting(world: World) -> None:
    world.codes = CodeSettings(replay_notice_s=10)
    code = await logged_in(world)
    world.later(10.001)
    assert reason(await world.begin("ada", code)) == "password_wrong"


@pytest.mark.parametrize("typed", ["{0} {1}", "{0}-{1}", " {0}{1}", "{0}{1} "])
@pytest.mark.parametrize("sent", ["{0} {1}", "{0}{1}", "{0}-{1}"])
async def test_blanks_that_were_typed_into_the_code_do_not_hide_it(world: World, typed: str, sent: str) -> None:
    code = world.totp()
    halves = code[:3], code[3:]
    await logged_in(world, typed.format(*halves))
    assert reason(await world.begin("ada", sent.format(*halves))) == "credential_replay"


@pytest.mark.parametrize("at_portal", ["ada", "acme\\ada", "ada@acme.test"])
@pytest.mark.parametrize("at_gateway", ["ada", "ACME\\ada", "Ada@ACME.test", "ADA"])
async def test_the_firewall_may_write_the_name_in_another_form(world: World, at_portal: str, at_gateway: str) -> None:
    code = await logged_in(world, name=at_portal)
    checks = world.directory.checks
    assert reason(await world.begin(at_gateway, code)) == "credential_replay"
    assert world.directory.checks == checks


async def test_the_gateway_may_be_another_nas_and_another_address(world: World) -> None:
    code = await logged_in(world)
    gateway = elsewhere(binding="radius:gateway:gw", nas="gateway", nas_identifier="gw", source="192.0.2.99", client=None)
    assert reason(await world.begin("ada", code, origin=gateway)) == "credential_replay"


async def test_on_a_second_node_as_well(world: World) -> None:
    code = await logged_in(world)
    assert reason(await world.begin("ada", code, engine=world.another_engine())) == "credential_replay"


async def test_another_users_spent_code_is_just_a_wrong_password(world: World) -> None:
    code = await logged_in(world)
    await world.person("eve")
    assert reason(await world.begin("eve", code)) == "password_wrong"
    assert reason(await world.begin("nobody", code)) == "user_unknown"


async def test_what_is_noted_of_one_users_code_is_nothing_for_another(world: World) -> None:
    """Somebody with write access to the database copies Ada's row to Eve's place."""
    code = await logged_in(world)
    await world.person("eve")
    [row] = await world.rows("spent_code")
    eves = user_key(world.ring, "acme", "eve")
    await world.storage.commit([Upsert("spent_code", {**row, "user_key": eves})])
    assert reason(await world.begin("eve", code)) == "password_wrong"


async def test_a_code_spent_at_another_application_is_just_a_wrong_password(world: World) -> None:
    code = await logged_in(world)
    real = world.configuration()
    wiki = replace(real.applications["vpn"], settings=replace(world.application, name="wiki"))
    world.configuration = lambda: replace(real, applications={"wiki": wiki})  # type: ignore[method-assign]
    outcome = await world.begin("ada", code, application="wiki", engine=world.another_engine())
    assert reason(outcome) == "password_wrong"


async def test_a_code_that_was_not_accepted_is_just_a_wrong_password(world: World) -> None:
    await logged_in(world)
    assert reason(await world.begin("ada", world.totp(1))) == "password_wrong"
    challenge = await world.challenged("ada")
    wrong = world.wrong_code()
    await world.answer(challenge, wrong, name="ada")
    assert reason(await world.begin("ada", wrong)) == "password_wrong"


async def test_only_the_last_code_is_recognised(world: World) -> None:
    first = await logged_in(world)
    world.later(30)
    second = world.totp()
    assert is_granted(await world.answer(await world.challenged("ada"), second, name="ada"))
    assert reason(await world.begin("ada", second)) == "credential_replay"
    assert reason(await world.begin("ada", first)) == "password_wrong"


@pytest.mark.parametrize("kind", ["sms", "hotp", "recovery"])
async def test_codes_of_every_kind_are_recognised(world: World, kind: str) -> None:
    person = await world.person("dave", phone="+905321234567" if kind == "sms" else None)
    if kind == "hotp":
        await world.give_hotp(person)
    sheet = await world.give_recovery_codes(person) if kind == "recovery" else []
    challenge = await world.challenged("dave")
    typed = sheet[0] if sheet else hotp(Secret(SECRET), 0, 6) if kind == "hotp" else await world.code()
    assert is_granted(await world.answer(challenge, typed, name="dave"))
    assert reason(await world.begin("dave", typed)) == "credential_replay"


async def test_a_password_that_happens_to_be_the_spent_code_waits_two_minutes_at_most(world: World) -> None:
    await world.give_totp(await world.person("ada", world.totp()))
    password = world.totp()
    assert is_granted(await world.answer(await world.challenged("ada", password), password, name="ada"))
    assert reason(await world.begin("ada", password)) == "credential_replay"
    world.later(121)
    await world.challenged("ada", password)


async def test_the_spent_code_is_not_stored_in_clear(world: World) -> None:
    code = await logged_in(world)
    [row] = await world.rows("spent_code")
    assert code not in str(row)
    assert b"ada" not in bytes(row["user_key"] or b"")
