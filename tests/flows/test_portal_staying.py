"""How long a session still lives, as an open page asks; that asking prolongs nothing, and that nobody else keeps it alive."""

from tests.flows.portal_world import OURS, BrowserOfTests, PortalWorld

LEFT, STAY = "/account/session-left", "/account/stay"
IDLE_S = 30 * 60


async def signed_in(world: PortalWorld, browser: BrowserOfTests) -> str:
    """Sign in; the name of the form to stay by, which stands last on every page of the account."""
    await world.give_totp(await world.person("ada"))
    await browser.sign_in("ada")
    page = await browser.post(code=world.totp(), act="answer")
    assert f'data-left="{IDLE_S}"' in page.text
    return browser.filled(len(page.text.split("<form ")) - 2, {})["csrf"]


async def left(browser: BrowserOfTests) -> int:
    return int((await browser.client.get(LEFT)).json()["left_s"])


async def test_open_page_that_asks_keeps_no_session_alive() -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        await signed_in(world, browser)
        for minutes in range(1, 30):
            world.later(60)
            assert await left(browser) == (30 - minutes) * 60
        world.later(60)
        assert await left(browser) == 0
        page = await browser.get("/account")
        assert browser.path == "/sign-in"
        assert "signed out after a while without activity" in page.text


async def test_person_who_stays_has_the_whole_time_again() -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        csrf = await signed_in(world, browser)
        world.later(IDLE_S - 30)
        reply = await browser.post(STAY, csrf=csrf)
        assert reply.json() == {"left_s": IDLE_S}
        world.later(IDLE_S - 1)
        assert (await browser.get("/account")).status_code == 200
        assert browser.path == "/account"


async def test_no_session_outlives_its_absolute_end_by_staying() -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        csrf = await signed_in(world, browser)
        for _ in range(8 * 3600 // 1200 - 1):
            world.later(1200)
            await browser.client.post(STAY, data={"csrf": csrf}, headers=OURS)
        assert await left(browser) == 1200
        world.later(1201)
        assert await left(browser) == 0


async def test_form_of_another_site_keeps_no_session_alive_for_whoever_is_gone() -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        csrf = await signed_in(world, browser)
        world.later(100)
        for headers, fields in (({"sec-fetch-site": "cross-site"}, {"csrf": csrf}), (OURS, {"csrf": "0" * 64})):
            reply = await browser.client.post(STAY, data=fields, headers=headers)
            assert reply.status_code == 303
            assert reply.headers["location"] == LEFT
        assert await left(browser) == IDLE_S - 100


async def test_stranger_hears_of_no_session() -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        await signed_in(world, browser)
        async with world.browser() as stranger:
            assert await left(stranger) == 0
            stranger.client.cookies.set("__Host-wg_session", "A" * 43)
            assert await left(stranger) == 0
