"""TOTP: the edges of time, every setting an app may have, and a code that is used up."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.flows.world import SECRET, World, is_granted, reason, says
from wardgate.crypto import Secret
from wardgate.engine.outcome import Challenge
from wardgate.engine.settings import CodeSettings
from wardgate.errors import SealError
from wardgate.factors.totp import hotp, time_step
from wardgate.storage.port import Update

OTHER_SECRET = bytes(range(100, 120))


async def ada_with_totp(world: World) -> Challenge:
    await world.give_totp(await world.person("ada"))
    return await world.challenged("ada")


@pytest.mark.parametrize(("steps", "right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
async def test_a_code_may_be_one_time_step_off(world: World, steps: int, right: bool) -> None:
    challenge = await ada_with_totp(world)
    assert is_granted(await world.answer(challenge, world.totp(steps), name="ada")) is right


@pytest.mark.parametrize(("seconds", "right"), [(59.999, True), (60, False)])
async def test_a_code_dies_at_the_end_of_the_step_after_its_own(world: World, seconds: float, right: bool) -> None:
    challenge = await ada_with_totp(world)
    code = world.totp()
    world.later(seconds)
    assert is_granted(await world.answer(challenge, code, name="ada")) is right


@pytest.mark.parametrize(("seconds", "right"), [(0, False), (0.001, True)])
async def test_a_code_of_the_future_works_one_step_early_and_no_sooner(world: World, seconds: float, right: bool) -> None:
    # At the last millisecond of a step the next but one is still out of reach.
    await world.give_totp(await world.person("ada"))
    world.later(29.999)
    challenge = await world.challenged("ada")
    code = world.totp(2)
    world.later(seconds)
    assert is_granted(await world.answer(challenge, code, name="ada")) is right


@pytest.mark.parametrize("skew", [0, 1, 3])
async def test_the_skew_is_a_setting(world: World, skew: int) -> None:
    world.codes = CodeSettings(totp_skew_steps=skew, tries=10)
    challenge = await ada_with_totp(world)
    for steps in (-skew - 1, skew + 1):
        challenge = await world.answer(challenge, world.totp(steps), name="ada")
        assert isinstance(challenge, Challenge)
    assert is_granted(await world.answer(challenge, world.totp(-skew), name="ada"))


@pytest.mark.parametrize("digits", [6, 7, 8])
@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256", "SHA512"])
@pytest.mark.parametrize("period_s", [30, 60])
async def test_every_kind_of_app_lets_in(world: World, digits: int, algorithm: str, period_s: int) -> None:
    secret = bytes(range(64))
    ada = await world.person("ada")
    await world.give_totp(ada, secret, digits=digits, algorithm=algorithm, period_s=period_s)

    def code(steps: int = 0) -> str:
        return world.totp(steps, secret, digits=digits, algorithm=algorithm, period_s=period_s)

    challenge = await world.challenged("ada")
    assert is_granted(await world.answer(challenge, code(), name="ada"))
    world.later(period_s)
    challenge = await world.challenged("ada")
    assert is_granted(await world.answer(challenge, code(), name="ada"))
    world.later(3 * period_s)
    challenge = await world.challenged("ada")
    assert not is_granted(await world.answer(challenge, code(-2), name="ada"))


@pytest.mark.parametrize("other", ["SHA1", "SHA512"])
async def test_a_code_by_another_algorithm_is_wrong(world: World, other: str) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada, algorithm="SHA256")
    challenge = await world.challenged("ada")
    assert not is_granted(await world.answer(challenge, world.totp(algorithm=other), name="ada"))


async def test_six_of_eight_digits_are_wrong(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada, digits=8)
    code = world.totp(digits=8)
    challenge = await world.challenged("ada")
    for part in (code[2:], code[:6]):
        challenge = await world.answer(challenge, part, name="ada")
        assert isinstance(challenge, Challenge)
    assert is_granted(await world.answer(challenge, code, name="ada"))


async def test_eight_digits_that_end_with_the_six_right_ones_are_wrong(world: World) -> None:
    challenge = await ada_with_totp(world)
    assert not is_granted(await world.answer(challenge, "00" + world.totp(), name="ada"))


@pytest.mark.parametrize("pattern", ["{0}{1}{2} {3}{4}{5}", " {0}{1}{2}{3}{4}{5}\t", "{0}{1}-{2}{3}-{4}{5}"])
async def test_blanks_and_hyphens_in_a_code_do_not_matter(world: World, pattern: str) -> None:
    challenge = await ada_with_totp(world)
    assert is_granted(await world.answer(challenge, pattern.format(*world.totp()), name="ada"))


@pytest.mark.parametrize("forged", ["٠١٢٣٤٥", "１２３４５６", "²³¹⁴⁵⁶", "12345a", "0x12ab", "1e5", "+12345", "123.456"])
async def test_what_is_not_ascii_digits_is_wrong_and_breaks_nothing(world: World, forged: str) -> None:
    challenge = await ada_with_totp(world)
    again = await world.answer(challenge, forged, name="ada")
    assert says(again).startswith("The code is not right")


# --- used up ---------------------------------------------------------------------------------------------------------


async def test_totp_code_is_refused_the_second_time(world: World) -> None:
    first = await ada_with_totp(world)
    assert is_granted(await world.answer(first, world.totp(), name="ada"))

    second = await world.challenged("ada")
    again = await world.answer(second, world.totp(), name="ada")
    assert says(again).startswith("That code was used already. Wait for the next one.")
    assert world.trail.reason == "code_replayed"
    assert all(row["failures"] == 0 for row in await world.rows("brake")), "a replay is no guess"


async def test_an_older_code_is_refused_after_a_newer_one(world: World) -> None:
    first = await ada_with_totp(world)
    assert is_granted(await world.answer(first, world.totp(1), name="ada"))

    challenge = await world.challenged("ada")
    for steps in (1, 0, -1):
        outcome = await world.answer(challenge, world.totp(steps), name="ada")
        assert not is_granted(outcome)
        if isinstance(outcome, Challenge):
            challenge = outcome
    assert reason(outcome) == "code_closed", "a replayed code is a try all the same"


async def test_the_next_code_works_right_after_one_was_used(world: World) -> None:
    first = await ada_with_totp(world)
    assert is_granted(await world.answer(first, world.totp(-1), name="ada"))
    for steps in (0, 1):
        challenge = await world.challenged("ada")
        assert is_granted(await world.answer(challenge, world.totp(steps), name="ada"))


async def test_a_used_code_is_refused_at_another_application_too(world: World) -> None:
    """The code belongs to the app, wherever it was spent."""
    real = world.configuration()
    first = await ada_with_totp(world)
    assert is_granted(await world.answer(first, world.totp(), name="ada"))

    wiki = replace(real.applications["vpn"], settings=replace(world.application, name="wiki"))
    world.configuration = lambda: replace(real, applications={"wiki": wiki})  # type: ignore[method-assign]
    engine = world.another_engine()
    challenge = await world.begin("ada", application="wiki", engine=engine)
    assert isinstance(challenge, Challenge)
    again = await world.answer(challenge, world.totp(), name="ada", engine=engine)
    assert not is_granted(again)


async def test_a_clock_that_was_set_back_accepts_no_used_code(world: World) -> None:
    first = await ada_with_totp(world)
    code = world.totp()
    assert is_granted(await world.answer(first, code, name="ada"))
    world.later(3600)
    challenge = await world.challenged("ada")
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))

    world.later(-3600)
    challenge = await world.challenged("ada")
    assert not is_granted(await world.answer(challenge, code, name="ada"))
    assert not is_granted(await world.answer(await world.challenged("ada"), world.totp(1), name="ada"))


# --- several apps ----------------------------------------------------------------------------------------------------


async def test_each_of_two_apps_works_and_each_code_once(world: World) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    await world.give_totp(ada, OTHER_SECRET)
    for secret in (SECRET, OTHER_SECRET):
        challenge = await world.challenged("ada")
        assert is_granted(await world.answer(challenge, world.totp(secret=secret), name="ada"))
    for secret in (SECRET, OTHER_SECRET):
        challenge = await world.challenged("ada")
        assert not is_granted(await world.answer(challenge, world.totp(secret=secret), name="ada"))


async def test_the_code_of_a_revoked_app_is_wrong(world: World) -> None:
    ada = await world.person("ada")
    app = await world.give_totp(ada)
    await world.give_totp(ada, OTHER_SECRET)
    await world.revoke(app)
    challenge = await world.challenged("ada")
    again = await world.answer(challenge, world.totp(), name="ada")
    assert isinstance(again, Challenge)
    assert is_granted(await world.answer(again, world.totp(secret=OTHER_SECRET), name="ada"))


async def test_an_app_that_is_revoked_while_its_login_runs_lets_nobody_in(world: World) -> None:
    ada = await world.person("ada")
    app = await world.give_totp(ada)
    challenge = await world.challenged("ada")
    await world.revoke(app)
    assert not is_granted(await world.answer(challenge, world.totp(), name="ada"))


async def test_another_persons_code_is_wrong(world: World) -> None:
    ada, eve = await world.person("ada"), await world.person("eve")
    await world.give_totp(ada)
    await world.give_totp(eve, OTHER_SECRET)
    challenge = await world.challenged("eve")
    assert not is_granted(await world.answer(challenge, world.totp(), name="eve"))


async def test_a_secret_copied_from_another_row_opens_nothing(world: World) -> None:
    """Somebody with write access to the database gives himself Ada's app: sealed secrets belong to their row."""
    ada, eve = await world.person("ada"), await world.person("eve")
    adas, eves = await world.give_totp(ada), await world.give_totp(eve, OTHER_SECRET)
    row = await world.storage.get("authenticator", {"id": adas})
    assert row is not None
    await world.storage.commit([Update("authenticator", {"id": eves}, {"sealed": row["sealed"]})])
    challenge = await world.challenged("eve")
    with pytest.raises(SealError):
        await world.answer(challenge, world.totp(), name="eve")


def test_the_worlds_own_codes_are_those_of_rfc_6238() -> None:
    """So that the world's shorthand cannot hide a fault of the code under test."""
    at = datetime.fromtimestamp(1111111109, UTC)
    assert hotp(Secret(b"12345678901234567890"), time_step(at, 30), 8) == "07081804"
