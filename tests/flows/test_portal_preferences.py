"""Language and look of the portal's pages."""

import pytest

from tests.flows.portal_world import OURS, PortalWorld
from wardgate.web.theme import THEME_COOKIE

PAGE = "/account/preferences"


async def test_choice_of_language_and_look_holds_on_every_page() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        page = await browser.get(PAGE)
        assert 'value="system" checked' in page.text
        assert "data-theme" not in page.text
        page = await browser.post(language="tr", theme="dark")
        assert '<html lang="tr" data-theme="dark">' in page.text
        assert '<meta name="color-scheme" content="dark">' in page.text
        for address in ("/account", "/forgot"):
            assert '<html lang="tr" data-theme="dark">' in (await browser.get(address)).text
        await browser.get(PAGE)
        page = await browser.post(language="en", theme="system")
        assert '<html lang="en">' in page.text


async def test_persons_own_language_counts_once_he_is_known_and_yields_to_his_choice() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada", language="tr-TR"))
    async with world.browser(headers={"accept-language": "en"}) as browser:
        page = await browser.get("/sign-in")
        assert '<html lang="en">' in page.text
        page = await browser.sign_in("ada")
        assert '<html lang="en">' in page.text, "before the last proof nothing is told of an account, its language neither"
        page = await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"
        assert '<html lang="tr">' in page.text
        assert '<html lang="en">' in (await browser.get("/account?lang=en")).text
        assert '<html lang="en">' in (await browser.get("/account")).text


@pytest.mark.parametrize("fields", [{"language": "xx", "theme": "dark"}, {"language": "en", "theme": "<b>"}, {}])
async def test_choice_that_is_none_is_refused(fields: dict[str, str]) -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        await browser.get(PAGE)
        assert (await browser.post(**fields)).status_code == 422


async def test_cookie_that_somebody_bent_marks_nothing_up() -> None:
    world = PortalWorld()
    async with world.browser(cookies={THEME_COOKIE: 'x" onload="alert(1)'}) as browser:
        page = await browser.get("/sign-in")
        assert "onload" not in page.text
        assert "data-theme" not in page.text


async def test_form_of_another_site_chooses_nothing() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        await browser.get(PAGE)
        sent = browser.filled(0, {"language": "tr", "theme": "dark"})
        reply = await browser.client.post(PAGE, data=sent, headers={**OURS, "sec-fetch-site": "cross-site"})
        assert reply.status_code == 422
        assert THEME_COOKIE not in browser.client.cookies
