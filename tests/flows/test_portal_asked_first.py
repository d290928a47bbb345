"""Signing in on pages while somebody else guesses at one's name: by a code first, or from one's own browser."""

import re

from tests.flows.portal_world import BrowserOfTests, PortalWorld
from tests.flows.world import elsewhere
from wardgate.account import device
from wardgate.clock import to_ms
from wardgate.pages.trusting import DEVICE_COOKIE


async def attack(world: PortalWorld, *names: str) -> None:
    """Until no stranger's password is looked at any more."""
    for name in names:
        for number in range(world.brakes.user_failures):
            await world.begin(name, "guess", origin=elsewhere(client=f"10.0.{number}.1"), application="portal")


async def test_the_owner_signs_in_by_a_code_and_the_password_that_was_typed() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada", display_name="Ada Lovelace"))
    await attack(world, "ada")
    world.later(30)
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        assert page.status_code == 200
        assert "Too many tries. Enter a code from your app or device or a recovery code, or wait 60 minutes." in page.text
        assert "correct horse" not in page.text
        for table in ("page_step", "handle", "brake", "timeline", "audit_event"):
            assert "correct horse" not in repr(await world.storage.find(table)), "the password waits sealed"
        page = await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"
        assert "Ada Lovelace" in page.text
        [row] = await world.storage.find("sso_session")
        assert row["subject_id"]


async def test_all_names_get_equal_pages_whatever_is_wrong() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada", language="tr"))
    await world.person("bob", phone="+905321234567")
    await attack(world, "ada", "bob", "nobody")
    world.later(30)
    asked, ended = set(), set()
    for name, password, code in (
        ("ada", "correct horse", world.wrong_code()),
        ("ada", "guess", world.totp()),
        ("bob", "correct horse", "000000"),
        ("nobody", "guess", "000000"),
    ):
        async with world.browser() as browser:
            await browser.sign_in(name, password)
            asked.add(shown(browser))
            await browser.post(code=code, act="answer")
            ended.add(shown(browser))
    assert len(asked) == len(ended) == 1
    assert not await world.messages()


def shown(browser: BrowserOfTests) -> tuple[int, str, frozenset[str]]:
    """Status, page and names of headers, without what is new each time."""
    text = re.sub(r'(value|nonce|action|href)="[^"]*"|<bdi class="reference">\w+</bdi>|\b[0-9A-Z]{8}\b', "", browser.page.text)
    return browser.page.status_code, text, frozenset(browser.page.headers)


async def test_a_form_sent_twice_signs_in_once() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    await attack(world, "ada")
    world.later(30)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        form = browser.filled(0, {"code": world.totp(), "act": "answer"})
        path = browser.path
        await browser.post(path, code=world.totp(), act="answer")
        assert browser.path == "/account"
        await browser.client.post(path, data=form, headers={"sec-fetch-site": "same-origin"})
        assert len(await world.storage.find("sso_session")) == 1


async def test_the_owners_own_browser_is_not_stopped_by_guesses_at_the_same_address() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    await world.give_totp(user)
    async with world.browser() as stranger:
        for _ in range(5):
            await stranger.sign_in("ada", "guess")
        assert "Too many tries" in (await stranger.sign_in("ada")).text
    value, made = device.make(world.ring, await world.subject_of(user), "Firefox", to_ms(world.clock.now()), 86_400)
    await world.storage.commit(made)
    async with world.browser() as browser:
        browser.client.cookies.set(DEVICE_COOKIE, value.reveal().decode(), domain="login.acme.test")
        await browser.sign_in("ada")
        assert browser.path == "/account"
        assert browser.client.cookies[DEVICE_COOKIE] != value.reveal().decode()
    async with world.browser() as thief:
        thief.client.cookies.set(DEVICE_COOKIE, value.reveal().decode(), domain="login.acme.test")
        world.later(60)
        await thief.sign_in("ada")
        assert thief.path == "/sign-in", "a value of before stands for nothing"
        assert len(await world.storage.find("sso_session")) == 1


async def test_a_cancelled_question_leaves_nothing_to_answer() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    await attack(world, "ada")
    world.later(30)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        form = browser.filled(0, {"code": world.totp(), "act": "answer"})
        path = browser.path
        await browser.post(path, act="cancel")
        assert browser.path == "/sign-in"
        reply = await browser.client.post(path, data=form, headers={"sec-fetch-site": "same-origin"})
        assert reply.status_code == 409
        assert not await world.storage.find("sso_session")
