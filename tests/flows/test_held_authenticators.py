"""What a restore holds proves nothing, until the same person has proved another strong factor."""

import pytest

from tests.flows.world import World, at_once, is_granted, reason, rule, says
from wardgate.account.authenticator import HELD
from wardgate.crypto import Secret
from wardgate.directory.port import DirectoryUser
from wardgate.engine.outcome import Challenge
from wardgate.factors.totp import hotp
from wardgate.storage.port import Update

PHONE = "+905321234567"


async def hold(world: World, *kinds: str) -> None:
    """What a restore does to authenticators of these kinds."""
    for row in await world.rows("authenticator"):
        if row["kind"] in kinds:
            await world.storage.commit([Update("authenticator", {"id": row["id"]}, {"state": HELD.value})])


async def states(world: World) -> dict[str, str]:
    return {str(row["kind"]): str(row["state"]) for row in await world.rows("authenticator")}


async def restored(world: World, **fields: str) -> tuple[DirectoryUser, list[str]]:
    """Ada with an app, a counting device and a sheet, of which a restore holds the last two."""
    user = await world.person("ada", **fields)
    await world.give_totp(user)
    await world.give_hotp(user, b"h" * 20)
    codes = await world.give_recovery_codes(user)
    await hold(world, "hotp", "recovery_code")
    return user, codes


async def test_an_old_recovery_code_from_before_a_restore_opens_nothing(world: World) -> None:
    user = await world.person("ada")
    codes = await world.give_recovery_codes(user)
    await hold(world, "recovery_code")
    assert reason(await world.begin("ada")) == "no_factor"
    assert reason(await world.begin("ada", code=codes[0], can_challenge=False)) == "no_factor"
    assert await states(world) == {"recovery_code": "held"}


async def test_an_old_code_of_a_counting_device_from_before_a_restore_opens_nothing(world: World) -> None:
    await world.give_hotp(await world.person("ada", phone=PHONE), b"h" * 20)
    await hold(world, "hotp")
    challenge = await world.challenged("ada")
    assert challenge.factor == "sms"
    again = await world.answer(challenge, hotp(Secret(b"h" * 20), 0, 6), name="ada")
    assert isinstance(again, Challenge)
    assert says(again).startswith("The code is not right")


async def test_a_held_factor_cannot_be_chosen_by_its_word(world: World) -> None:
    await restored(world)
    challenge = await world.challenged("ada")
    assert "recovery" not in says(challenge)
    again = await world.answer(challenge, "recovery", name="ada")
    assert isinstance(again, Challenge)
    assert again.factor == "totp"


async def test_another_strong_factor_makes_them_good_again(world: World) -> None:
    _, codes = await restored(world)
    assert is_granted(await world.answer(await world.challenged("ada"), world.totp(), name="ada"))
    assert await states(world) == {"totp": "active", "hotp": "active", "recovery_code": "active"}
    challenge = await world.answer(await world.challenged("ada"), "recovery", name="ada")
    assert is_granted(await world.answer(challenge, codes[0], name="ada"))


async def test_so_does_a_code_beside_the_password(world: World) -> None:
    await restored(world)
    assert is_granted(await world.begin("ada", code=world.totp(), can_challenge=False))
    assert set((await states(world)).values()) == {"active"}


async def test_a_code_that_was_sent_releases_nothing(world: World) -> None:
    """Or whoever has the phone number could bring a spent recovery code back to life."""
    await world.give_recovery_codes(await world.person("ada", phone=PHONE))
    await hold(world, "recovery_code")
    assert is_granted(await world.answer(await world.challenged("ada"), await world.code(), name="ada"))
    assert await states(world) == {"recovery_code": "held"}


async def test_the_password_alone_releases_nothing(world: World) -> None:
    await restored(world)
    world.use_policy([rule("one", ["password"])])
    assert is_granted(await world.begin("ada"))
    assert await states(world) == {"totp": "active", "hotp": "held", "recovery_code": "held"}


async def test_a_wrong_or_spent_code_releases_nothing(world: World) -> None:
    await restored(world)
    challenge = await world.answer(await world.challenged("ada"), world.wrong_code(), name="ada")
    assert (await states(world))["hotp"] == "held"
    code = world.totp()
    assert is_granted(await world.answer(challenge, code, name="ada"))
    await hold(world, "hotp")
    await world.answer(await world.challenged("ada"), code, name="ada")
    assert (await states(world))["hotp"] == "held"


async def test_what_was_revoked_meanwhile_stays_revoked(world: World) -> None:
    await restored(world)
    challenge = await world.challenged("ada")
    [row] = [row for row in await world.rows("authenticator") if row["kind"] == "hotp"]
    await world.revoke(str(row["id"]))
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    assert await states(world) == {"totp": "active", "hotp": "revoked", "recovery_code": "active"}


async def test_two_grants_at_once_release_without_refusing_each_other(world: World) -> None:
    user, _ = await restored(world)
    await world.give_totp(user, b"t" * 20)
    first, second = await world.challenged("ada"), await world.challenged("ada")
    outcomes = await at_once(
        world.answer(first, world.totp(), name="ada"), world.answer(second, world.totp(secret=b"t" * 20), name="ada")
    )
    assert all(map(is_granted, outcomes))
    assert (await states(world))["recovery_code"] == "active"


@pytest.mark.parametrize("held", [True, False])
async def test_a_restore_makes_nobody_count_as_one_who_has_nothing(world: World, held: bool) -> None:
    """A rule for people without a device must not open to those whose device is held."""
    await world.give_hotp(await world.person("ada", phone=PHONE))
    if held:
        await hold(world, "hotp")
    world.use_policy(
        [rule("beginners", ["password"], when={"enrolled_not": ["hotp"]}), rule("others", ["password"], ["hotp", "sms"])]
    )
    challenge = await world.challenged("ada")
    assert challenge.factor == ("sms" if held else "hotp")
