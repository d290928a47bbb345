"""Trusted browsers on the portal: what they spare, what they never spare, and what a thief of the cookie gets."""

import re

import httpx
import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_world import OURS, BrowserOfTests, PortalWorld
from tests.flows.test_portal_enrolment import signed_in
from tests.flows.world import floor
from wardgate.directory.port import DirectoryUser, PasswordVerdict
from wardgate.pages.trusting import DEVICE_COOKIE
from wardgate.policy.settings import LifetimesThenSettings

DAY = 86_400


async def ada(world: PortalWorld) -> DirectoryUser:
    """Somebody with an app."""
    user = await world.person("ada")
    await world.give_totp(user)
    return user


async def trust(world: PortalWorld, browser: BrowserOfTests, name: str = "ada") -> str:
    """Sign in with the box ticked; the browser's cookie."""
    await browser.sign_in(name)
    await browser.post(code=world.totp(), act="answer", trust_device="yes")
    assert browser.path == "/account"
    return browser.client.cookies[DEVICE_COOKIE]


def sign_out(browser: BrowserOfTests) -> None:
    """Forget the session, not the device."""
    kept = browser.client.cookies.get(DEVICE_COOKIE)
    browser.client.cookies.clear()
    if kept:
        browser.client.cookies.set(DEVICE_COOKIE, kept, domain="login.acme.test", path="/")


async def with_cookie(browser: BrowserOfTests, value: str, name: str = "ada", password: str = "correct horse") -> httpx.Response:
    """Sign in and show this value."""
    browser.client.cookies.clear()
    browser.client.cookies.set(DEVICE_COOKIE, value, domain="login.acme.test", path="/")
    return await browser.sign_in(name, password)


async def test_trusted_browser_is_spared_the_factor_and_its_cookie_changes_each_time() -> None:
    world = PortalWorld()
    await ada(world)
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        box = re.search(r'<input type="checkbox" name="trust_device"[^>]*>', page.text)
        assert box is not None
        assert "checked" not in box[0]
        assert "for 7 days" in page.text
        reply = await browser.client.post(
            browser.path, data=browser.filled(0, {"code": world.totp(), "act": "answer", "trust_device": "yes"}), headers=OURS
        )
        cookie = next(each for each in reply.headers.get_list("set-cookie") if each.startswith(DEVICE_COOKIE))
        assert all(word in cookie for word in ("Secure", "HttpOnly", "Path=/", "SameSite=lax"))
        seen = {browser.client.cookies[DEVICE_COOKIE]}
        for _ in range(3):
            world.later(60)
            sign_out(browser)
            await browser.sign_in("ada")
            assert browser.path == "/account"
            seen.add(browser.client.cookies[DEVICE_COOKIE])
        assert len(seen) == 4
    [payload] = await world.payloads("account:device:trusted")
    assert (payload["life_s"], payload["client"]) == (7 * DAY, world.address)
    assert (await world.verified()).findings == ()


async def test_browser_that_a_thief_trusted_shows_in_the_activity_from_where() -> None:
    world = PortalWorld()
    await ada(world)
    home, world.address = world.address, "198.51.100.9"
    async with world.browser() as thief:
        await thief.sign_in("ada")
        await thief.post(code=world.totp(), act="answer", trust_device="yes")
    world.address = home
    world.later(60)
    async with world.browser() as browser:
        await signed_in(world, browser)
        page = await browser.get("/account/activity?show=changes")
        assert "198.51" in page.text


async def test_box_that_was_not_ticked_trusts_nothing() -> None:
    world = PortalWorld()
    await ada(world)
    async with world.browser() as browser:
        await signed_in(world, browser)
        assert DEVICE_COOKIE not in browser.client.cookies
    assert not await world.rows("trusted_device")


async def test_wrong_code_with_the_box_ticked_trusts_nothing() -> None:
    world = PortalWorld()
    await ada(world)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        page = await browser.post(code=world.wrong_code(), act="answer", trust_device="yes")
        assert page.status_code == 422
        assert " checked" not in page.text
        await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"
    assert not await world.rows("trusted_device")


async def test_device_never_spares_the_password() -> None:
    world = PortalWorld()
    await ada(world)
    async with world.browser() as browser:
        value = await trust(world, browser)
        assert (await with_cookie(browser, value, password="guess")).status_code == 422
        assert (await with_cookie(browser, value, password="")).status_code == 422
    assert len(await world.storage.find("sso_session")) == 1


async def test_device_of_another_person_spares_nothing() -> None:
    world = PortalWorld()
    await ada(world)
    await world.give_totp(await world.person("eve"))
    async with world.browser() as browser:
        value = await trust(world, browser)
        await with_cookie(browser, value, "eve")
        assert browser.path.startswith("/step/")
    assert len(await world.rows("trusted_device")) == 1


async def test_replayed_cookie_is_asked_for_the_code_and_the_device_is_forgotten() -> None:
    world = PortalWorld()
    await ada(world)
    async with world.browser() as browser, world.browser() as thief:
        stolen = await trust(world, browser)
        world.later(60)
        sign_out(browser)
        await browser.sign_in("ada")
        assert browser.path == "/account"
        world.later(60)
        await with_cookie(thief, stolen)
        assert thief.path.startswith("/step/")
        sign_out(browser)
        await browser.sign_in("ada")
        assert browser.path.startswith("/step/")
    assert [each["why"] for each in await world.payloads("account:device:forgotten")] == ["reused"]


async def test_device_confirms_no_change() -> None:
    world = PortalWorld()
    await ada(world)
    async with world.browser() as browser:
        await trust(world, browser)
        world.later(60)
        sign_out(browser)
        await browser.sign_in("ada")
        world.later(301)
        await browser.get("/enrol/totp")
        assert browser.path == "/confirm"
        page = await browser.post("/confirm?then=/enrol/totp", password="correct horse")
        assert browser.path.startswith("/step/")
        assert "trust_device" not in page.text


async def test_stolen_device_cookie_and_password_enrol_nothing_right_after_the_sign_in() -> None:
    world = PortalWorld()
    await ada(world)
    async with world.browser() as browser:
        await trust(world, browser)
        await browser.get("/enrol/totp")
        assert browser.path.startswith("/enrol/totp/")
        world.later(301)
        sign_out(browser)
        await browser.sign_in("ada")
        assert browser.path == "/account"
        for place in ("/enrol/totp", "/enrol/recovery-codes", "/account/contacts/add/phone"):
            await browser.get(place)
            assert browser.path == "/confirm"


async def test_device_does_not_spare_the_factor_of_a_password_that_has_run_out() -> None:
    world = PortalWorld()
    user = await ada(world)
    async with world.browser() as browser:
        await trust(world, browser)
        world.directory.change_verdict(user, PasswordVerdict.EXPIRED)
        world.later(60)
        sign_out(browser)
        page = await browser.sign_in("ada")
        assert browser.path.startswith("/step/")
        assert "run out" not in page.text


@pytest.mark.parametrize("strong", [0, 1])
async def test_where_policy_trusts_no_browser_there_is_no_box_and_a_forged_one_does_nothing(strong: int) -> None:
    world = PortalWorld()
    floors = [floor("careful", strong=strong)] if strong else []
    use_plan(world, lifetimes=LifetimesThenSettings(trusted_device=0 if not strong else "7d"), floors=floors)
    await ada(world)
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        assert "trust_device" not in page.text
        await browser.post(code=world.totp(), act="answer", trust_device="yes")
        assert browser.path == "/account"
        assert DEVICE_COOKIE not in browser.client.cookies
    assert not await world.rows("trusted_device")


async def test_forgotten_browser_is_asked_again_and_loses_its_cookie_with_the_next_grant() -> None:
    world = PortalWorld()
    await ada(world)
    async with world.browser() as browser, world.browser() as other:
        await trust(world, browser)
        world.later(60)
        await signed_in(world, other)
        page = await other.get("/account/devices")
        [identity] = re.findall(r'name="device" value="(\w+)"', page.text)
        await other.post("/account/devices", device=identity)
        assert "You trust no browser" in other.page.text
        world.later(60)
        sign_out(browser)
        await browser.sign_in("ada")
        assert browser.path.startswith("/step/")
        await browser.post(code=world.totp(), act="answer")
        assert DEVICE_COOKIE not in browser.client.cookies
    assert [each["why"] for each in await world.payloads("account:device:forgotten")] == ["person"]


async def test_device_of_somebody_else_cannot_be_forgotten() -> None:
    world = PortalWorld()
    await ada(world)
    await world.give_totp(await world.person("eve"))
    async with world.browser() as browser, world.browser() as eves:
        await trust(world, browser)
        [row] = await world.rows("trusted_device")
        await trust(world, eves, "eve")
        await eves.get("/account/devices")
        form = eves.filled(0, {"device": str(row["id"])})
        assert (await eves.client.post("/account/devices", data=form, headers=OURS)).status_code == 404
        form = eves.filled(0, {})
        reply = await eves.client.post("/account/devices", data=form, headers={"sec-fetch-site": "cross-site"})
        assert reply.status_code == 422
    assert len(await world.rows("trusted_device")) == 2


async def test_one_person_has_a_bounded_number_of_trusted_browsers() -> None:
    world = PortalWorld()
    await ada(world)
    for _ in range(23):
        async with world.browser() as browser:
            await trust(world, browser)
        world.later(60)
    assert len(await world.rows("trusted_device")) == 20
