"""Another name for an authenticator or a trusted browser, by a browser without script; and what an attacker would try."""

import re

import pytest

from tests.flows.portal_world import OURS, BrowserOfTests, PortalWorld
from tests.flows.test_portal_devices import ada as ada_who_may_trust
from tests.flows.test_portal_devices import trust
from wardgate.account.freeze import unfrozen
from wardgate.account.nickname import MAX_CHARS
from wardgate.directory.port import DirectoryUser
from wardgate.storage.port import Update

NAME = "nickname"


async def a_world() -> tuple[PortalWorld, DirectoryUser, str]:
    world = PortalWorld()
    user = await world.person("ada", mail="ada@acme.test")
    return world, user, await world.give_totp(user)


async def signed_in(world: PortalWorld, browser: BrowserOfTests, name: str = "ada") -> None:
    await browser.sign_in(name)
    await browser.post(code=world.totp(), act="answer")
    assert browser.path == "/account"


async def label(world: PortalWorld, table: str, thing: str) -> str:
    row = await world.storage.get(table, {"id": thing})
    assert row is not None
    return str(row["label"])


async def test_app_is_renamed_and_nothing_else_of_it_changes() -> None:
    world, _, app = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        before = await world.storage.get("authenticator", {"id": app})
        page = await browser.get(f"/account/authenticators/{app}")
        assert 'value="totp"' in page.text
        await browser.post(nickname="  İş   telefonu ")
        assert browser.path == "/account/authenticators"
        assert "İş telefonu" in browser.page.text
    after = await world.storage.get("authenticator", {"id": app})
    assert before is not None
    assert after == {**before, "label": "İş telefonu"}
    [event] = await world.payloads("account:authenticator:renamed")
    assert event == {"actor": "person", "user": "ada", "kind": "totp", "authenticator": app, "client": world.address}
    assert (await world.verified()).findings == ()
    assert await world.messages() == []


async def test_trusted_browser_is_renamed_and_stays_trusted() -> None:
    world = PortalWorld()
    await ada_who_may_trust(world)
    async with world.browser() as browser:
        await trust(world, browser)
        [row] = await world.rows("trusted_device")
        await browser.get(f"/account/devices/{row['id']}")
        await browser.post(nickname="Kitchen table")
        assert browser.path == "/account/devices"
        assert "Kitchen table" in browser.page.text
        browser.client.cookies.delete("__Host-wg_session")
        world.later(60)
        await browser.sign_in("ada")
        assert browser.path == "/account"
    [row] = await world.rows("trusted_device")
    assert row["label"] == "Kitchen table"
    [event] = await world.payloads("account:device:renamed")
    assert event == {"actor": "person", "user": "ada", "device": row["id"], "client": world.address}


@pytest.mark.parametrize("typed", ["", "   ", "x" * (MAX_CHARS + 1), "phone\u202eenohp", "a\nb", "x" * 5000])
async def test_name_that_hides_something_is_refused_and_what_was_typed_stays(typed: str) -> None:
    world, _, app = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(f"/account/authenticators/{app}")
        page = await browser.post(nickname=typed)
        assert page.status_code == 422
        assert "Use 1 to 40 letters, digits or signs." in page.text
        assert "<title>Error: " in page.text
    assert await label(world, "authenticator", app) == "totp"
    assert await world.events("account:authenticator:renamed") == []


async def test_name_is_shown_as_text_and_never_as_page() -> None:
    world, _, app = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(f"/account/authenticators/{app}")
        await browser.post(nickname="<script>alert(1)</script>")
        assert "<script>alert" not in browser.page.text
        assert "&lt;script&gt;alert(1)" in browser.page.text
        assert "<script>alert" not in (await browser.get(f"/account/authenticators/{app}")).text


async def test_stolen_session_renames_nothing_after_five_minutes() -> None:
    world, _, app = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(f"/account/authenticators/{app}")
        form = browser.filled(0, {"nickname": "mine"})
        world.later(301)
        reply = await browser.client.post(browser.path, data=form, headers=OURS)
        assert reply.headers["location"] == f"/confirm?then=/account/authenticators/{app}"
        assert (await browser.client.get(browser.path)).headers["location"].startswith("/confirm")
    assert await label(world, "authenticator", app) == "totp"


async def test_things_of_another_person_cannot_be_renamed() -> None:
    world, _, app = await a_world()
    eve = await world.person("eve")
    own = await world.give_totp(eve)
    async with world.browser() as browser:
        await signed_in(world, browser, "eve")
        await browser.get(f"/account/authenticators/{own}")
        form = browser.filled(0, {"nickname": "mine"})
        for there in (f"/account/authenticators/{app}", f"/account/devices/{app}", "/account/authenticators/" + "0" * 32):
            assert (await browser.client.get(there)).status_code == 404
            assert (await browser.client.post(there, data=form, headers=OURS)).status_code == 404
    assert await label(world, "authenticator", app) == "totp"


async def test_form_of_another_site_renames_nothing() -> None:
    world, _, app = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(f"/account/authenticators/{app}")
        form = browser.filled(0, {"nickname": "theirs"})
        for headers, data in (({"sec-fetch-site": "cross-site"}, form), (OURS, {**form, "csrf": "x"})):
            reply = await browser.client.post(browser.path, data=data, headers=headers)
            assert reply.status_code in (403, 422)
    assert await label(world, "authenticator", app) == "totp"


async def test_thief_in_a_frozen_account_renames_nothing() -> None:
    world, user, app = await a_world()
    subject = await world.subject_of(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(f"/account/authenticators/{app}")
        await world.storage.commit([unfrozen(subject), Update("subject", {"id": subject}, {"frozen_at": 1})])
        page = await browser.post(nickname="mine")
        assert page.status_code == 409
    assert await label(world, "authenticator", app) == "totp"


async def test_what_was_removed_meanwhile_is_not_renamed() -> None:
    world, _, app = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(f"/account/authenticators/{app}")
        await world.revoke(app)
        page = await browser.post(nickname="mine")
        assert page.status_code == 404
    assert await label(world, "authenticator", app) == "totp"


async def test_sheet_of_codes_has_no_name_and_the_list_leads_to_the_others() -> None:
    world, user, app = await a_world()
    await world.give_recovery_codes(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        page = await browser.get("/account/authenticators")
        assert re.findall(r'href="/account/authenticators/(\w+)"', page.text) == [app]
        [sheet] = [row["id"] for row in await world.rows("authenticator") if row["kind"] == "recovery_code"]
        assert (await browser.get(f"/account/authenticators/{sheet}")).status_code == 404
