"""Signing in as somebody else over a live session: forms of other sites and older tabs and half-made sign-ins switch no account."""

from tests.flows.portal_world import OURS, BrowserOfTests, PortalWorld
from wardgate.pages.door import SESSION_COOKIE


async def two_people(world: PortalWorld) -> None:
    """Ada, and the one whose account she is to be brought into."""
    await world.give_totp(await world.person("ada", display_name="Ada Lovelace"))
    await world.give_totp(await world.person("mallory", display_name="Mallory"))


async def signed_in(world: PortalWorld, browser: BrowserOfTests) -> None:
    """Ada signs in, in a tab that is at no other page before."""
    await browser.sign_in("ada")
    await browser.post(code=world.totp(), act="answer")
    assert browser.path == "/account"


async def is_still_ada(world: PortalWorld, browser: BrowserOfTests) -> None:
    """The browser is signed in as before, and nobody else is anywhere."""
    page = await browser.get("/account")
    assert browser.path == "/account"
    assert "Ada Lovelace" in page.text
    assert len(await world.rows("sso_session")) == 1


async def test_login_csrf_of_another_site_brings_nobody_into_the_attackers_account() -> None:
    """With the token of the attacker's own browser, and as a browser marks what another site has it send."""
    world = PortalWorld()
    await two_people(world)
    async with world.browser() as browser, world.browser() as attacker:
        await signed_in(world, browser)
        await attacker.get("/sign-in")
        form = attacker.filled(0, {"username": "mallory", "password": "correct horse"})
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.test"}, {}, OURS):
            reply = await browser.client.post("/sign-in", data=form, headers=headers)
            assert (reply.status_code, reply.headers["location"]) == (303, "/account"), headers
            assert SESSION_COOKIE not in reply.headers.get("set-cookie", "")
        await is_still_ada(world, browser)


async def test_form_of_an_older_tab_does_not_switch_the_account_that_was_signed_in_since() -> None:
    world = PortalWorld()
    await two_people(world)
    async with world.browser() as browser:
        await browser.get("/sign-in")
        form = browser.filled(0, {"username": "mallory", "password": "correct horse"})
        await signed_in(world, browser)
        for _ in range(2):
            # The page that answers has no form in which it could be typed once more.
            reply = await browser.client.post("/sign-in", data=form, headers=OURS)
            assert (reply.status_code, reply.headers["location"]) == (303, "/account")
            await is_still_ada(world, browser)
        reply = await browser.client.post("/sign-in/passkey", data={**form, "passkey": "{}"}, headers=OURS)
        assert (reply.status_code, reply.headers["location"]) == (303, "/account")
        await is_still_ada(world, browser)


async def test_half_made_sign_in_of_another_tab_does_not_switch_the_account_that_was_signed_in_since() -> None:
    world = PortalWorld()
    await two_people(world)
    async with world.browser() as browser:
        await browser.sign_in("mallory")
        step, form = browser.path, browser.filled(0, {"code": world.totp(), "act": "answer"})
        await signed_in(world, browser)
        reply = await browser.client.post(step, data=form, headers=OURS)
        assert reply.status_code in (409, 410, 422)
        await is_still_ada(world, browser)


async def test_sign_in_page_of_a_live_session_offers_no_form_to_switch_by() -> None:
    world = PortalWorld()
    await two_people(world)
    async with world.browser() as browser:
        await signed_in(world, browser)
        page = await browser.get("/sign-in")
        assert browser.path == "/account"
        assert 'name="username"' not in page.text
