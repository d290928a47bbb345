"""A hardware token that a person adds by its serial number; and what an attacker would try."""

import asyncio

from tests.flows.portal_world import PortalWorld
from tests.flows.test_portal_enrolment import kinds, signed_in
from tests.flows.test_portal_freeze import bob_frozen, knowing_ages, thief_signed_in
from wardgate.account.token import TABLE, TokenState, create_token
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.factors.totp import hotp
from wardgate.storage.port import Update

SEED = Secret(b"12345678901234567890")
PAGE = "/enrol/token"


async def stocked(world: PortalWorld, serial: str = "A1", kind: str = "hotp") -> None:
    settings: dict[str, str | int] = {"digits": 6}
    await world.storage.commit([create_token(world.ring, serial, kind, "Red", settings, SEED, 0, to_ms(world.clock.now()))])


async def test_token_is_added_by_its_number_and_code_and_signs_in() -> None:
    world = PortalWorld()
    user = await world.person("ada", mail="ada@acme.test")
    await world.give_totp(user)
    await stocked(world)
    async with world.browser() as browser:
        await signed_in(world, browser)
        assert "/enrol/token" in (await browser.get("/account/authenticators")).text
        await browser.get(PAGE)
        page = await browser.post(serial="A1", code="000000")
        assert page.status_code == 422
        assert 'value="A1"' in page.text
        page = await browser.post(serial=" a1 ", code=hotp(SEED, 7, 6))
        assert browser.path == "/account/authenticators"
        assert "Red A1" in page.text
    assert await kinds(world, user) == ["totp", "hotp"]
    assert any("Device with a counter, A1" in each.text for each in await world.messages())


async def test_code_that_added_the_token_is_used_up_and_earlier_ones_are_too() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    await world.give_totp(user)
    await stocked(world)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(PAGE)
        await browser.post(serial="A1", code=hotp(SEED, 7, 6))
    [row] = [row for row in await world.storage.find("authenticator") if row["kind"] == "hotp"]
    assert row["counter"] == 8


async def test_unknown_number_taken_token_and_wrong_code_are_told_alike() -> None:
    world = PortalWorld()
    for name in ("ada", "bob"):
        await world.give_totp(await world.person(name))
    await stocked(world)
    await stocked(world, "A2")
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(PAGE)
        await browser.post(serial="A2", code=hotp(SEED, 0, 6))
    told = set()
    async with world.browser() as browser:
        await signed_in(world, browser, "bob")
        for serial, code in (("A1", "000000"), ("A2", hotp(SEED, 1, 6)), ("NOPE", "000000"), ("?", "123456")):
            await browser.get(PAGE)
            page = await browser.post(serial=serial, code=code)
            assert page.status_code == 422
            told.add(page.text.split('id="told">')[1].split("<")[0])
    assert len(told) == 1


async def test_token_that_came_back_is_added_by_a_code_that_spends_all_that_were_noted() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    await world.give_totp(user)
    await stocked(world)
    await world.storage.commit([Update(TABLE, {"serial": "A1"}, {"state": TokenState.RETURNED})])
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(PAGE)
        await browser.post(serial="A1", code=hotp(SEED, 40, 6))
        assert browser.path == "/account/authenticators"
    [row] = [row for row in await world.storage.find("authenticator") if row["kind"] == "hotp"]
    assert (row["state"], row["counter"]) == ("active", 41)


async def test_guesses_at_tokens_are_few() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    await stocked(world)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(PAGE)
        answers = [(await browser.post(serial="A1", code="000000")).status_code for _ in range(11)]
        assert answers == [422] * 10 + [429]
        assert (await browser.post(serial="A1", code=hotp(SEED, 0, 6))).status_code == 429


async def test_of_two_who_take_one_token_one_gets_it() -> None:
    world = PortalWorld()
    for name in ("ada", "bob"):
        await world.give_totp(await world.person(name))
    await stocked(world)
    async with world.browser() as one, world.browser() as other:
        await signed_in(world, one)
        await signed_in(world, other, "bob")
        await one.get(PAGE)
        await other.get(PAGE)
        pages = await asyncio.gather(*(each.post(serial="A1", code=hotp(SEED, 0, 6)) for each in (one, other)))
    assert sorted(page.status_code for page in pages) == [200, 422]
    assert len([row for row in await world.storage.find("authenticator") if row["kind"] == "hotp"]) == 1


async def test_thief_takes_no_token_while_the_account_is_frozen() -> None:
    world = knowing_ages()
    user = await bob_frozen(world)
    await stocked(world)
    async with world.browser() as browser:
        await thief_signed_in(world, browser, user)
        await browser.get(PAGE)
        page = await browser.post(serial="A1", code=hotp(SEED, 0, 6))
        assert page.status_code == 409
        assert "on hold" in page.text
    assert await kinds(world, user) == []


async def test_password_of_an_hour_ago_adds_no_token() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    await world.give_totp(user)
    await stocked(world)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(PAGE)
        world.clock.advance(301)
        await browser.post(serial="A1", code=hotp(SEED, 0, 6))
        assert browser.path == "/confirm"
    assert await kinds(world, user) == ["totp"]
