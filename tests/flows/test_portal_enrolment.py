"""A person's own authenticators on the portal, by a browser without script; and what an attacker would try."""

import asyncio
import base64
import re

import httpx

from tests.flows.plans import use_plan
from tests.flows.portal_world import OURS, BrowserOfTests, PortalWorld
from tests.flows.world import SECRET
from wardgate.crypto import Secret
from wardgate.directory.port import DirectoryUser
from wardgate.factors.totp import hotp
from wardgate.policy.settings import ActionEntrySettings


async def signed_in(world: PortalWorld, browser: BrowserOfTests, name: str = "ada") -> None:
    await browser.sign_in(name)
    await browser.post(code=world.totp(), act="answer")
    assert browser.path == "/account"


async def kinds(world: PortalWorld, user: DirectoryUser) -> list[str]:
    subject = await world.subject_of(user)
    rows = await world.storage.find("authenticator", order_by="created_at")
    return [str(row["kind"]) for row in rows if row["subject_id"] == subject and row["state"] == "active"]


async def key_on(page: httpx.Response) -> bytes:
    groups = re.search(r'<code class="command" dir="ltr">([A-Z2-7 ]+)</code>', page.text)
    assert groups is not None
    encoded = groups[1].replace(" ", "")
    return base64.b32decode(encoded + "=" * (-len(encoded) % 8))


async def test_app_is_enrolled_by_its_key_and_first_code_and_recovery_codes_follow() -> None:
    world = PortalWorld()
    user = await world.person("ada", mail="ada@acme.test")
    await world.give_totp(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        page = await browser.get("/enrol/totp")
        secret = await key_on(page)
        assert "<svg" in page.text
        assert (await browser.post(code=world.wrong_code(secret))).status_code == 422
        assert await kinds(world, user) == ["totp"]
        page = await browser.post(code=world.totp(secret=secret), nickname="My phone")
        assert browser.path == "/enrol/recovery-codes"
        page = await browser.post()
        codes = re.findall(r'<code dir="ltr">([0-9A-Z-]{15})</code>', page.text)
        assert len(codes) == 10
        assert await kinds(world, user) == ["totp", "totp", "recovery_code"]
        assert codes[0] not in (await browser.get("/account/authenticators")).text
        assert "My phone" in browser.page.text
    told = [each.text for each in await world.messages()]
    assert [sum(words in text for text in told) for words in ("Added to your account", "A new set of recovery codes")] == [1, 1]
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(method="recovery_code", act="other")
        await browser.post(code=codes[0], act="answer")
        assert browser.path == "/account"


async def test_code_that_enrolled_the_app_opens_nothing() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    await world.give_totp(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        secret = await key_on(await browser.get("/enrol/totp"))
        code = world.totp(secret=secret)
        await browser.post(code=code)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        page = await browser.post(code=code, act="answer")
        assert page.status_code == 422


async def test_stolen_session_enrols_nothing_after_five_minutes() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    await world.give_totp(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        page = await browser.get("/enrol/totp")
        step, secret = browser.path, await key_on(page)
        form = browser.filled(0, {})
        world.later(301)
        reply = await browser.client.post(step, data={**form, "code": world.totp(secret=secret)}, headers=OURS)
        assert reply.status_code == 303
        assert reply.headers["location"].startswith("/confirm")
        await browser.get("/account/authenticators")
        identity = re.search(r'name="authenticator" value="(\w+)"', browser.page.text)
        assert identity is not None
        reply = await browser.client.post(browser.path, data={**browser.filled(0, {}), "authenticator": identity[1]}, headers=OURS)
        assert reply.headers["location"].startswith("/confirm")
        for address in ("/enrol/totp", "/enrol/recovery-codes"):
            assert (await browser.client.get(address)).headers["location"].startswith("/confirm")
    assert await kinds(world, user) == ["totp"]


async def by_phone(world: PortalWorld, browser: BrowserOfTests) -> None:
    """Sign in by the weaker of two ways that policy takes, a while after the app was set up."""
    world.later(60)
    await browser.sign_in("ada")
    await browser.post(method="sms", act="other")
    await browser.post(code=await world.code("ada"), act="answer")
    assert browser.path == "/account", browser.page.text


async def test_thief_of_password_and_number_changes_nothing_that_an_app_protects() -> None:
    """A code to a phone signs in where policy says so; it adds nothing beside an app, and takes none away."""
    world = PortalWorld()
    user = await world.person("ada", phone="+905321234567")
    await world.give_totp(user)
    async with world.browser() as browser:
        await by_phone(world, browser)
        for address in ("/enrol/totp", "/enrol/recovery-codes", "/enrol/token", "/account/contacts/add/phone", "/account/password"):
            assert (await browser.client.get(address)).headers["location"].startswith("/confirm"), address
        page = await browser.get("/account/authenticators")
        identity = re.search(r'name="authenticator" value="(\w+)"', page.text)
        assert identity is not None
        for more in ({}, {"lost": "yes"}):
            data = {**browser.filled(0, {}), "authenticator": identity[1], **more}
            reply = await browser.client.post(browser.path, data=data, headers=OURS)
            assert reply.headers["location"].startswith("/confirm")
    assert await kinds(world, user) == ["totp"]


async def test_confirmation_by_a_phone_is_not_offered_to_who_has_an_app() -> None:
    world = PortalWorld()
    user = await world.person("ada", phone="+905321234567")
    await world.give_totp(user)
    async with world.browser() as browser:
        await by_phone(world, browser)
        sent = len(await world.messages())
        await browser.get("/enrol/totp")
        await browser.post(str(browser.page.url).removeprefix("https://login.acme.test"), password="correct horse")
        assert "text message" not in browser.page.text
        other = await browser.client.get(browser.path + "/other")
        assert 'value="sms"' not in other.text
        await browser.client.post(browser.path, data={**browser.filled(0, {}), "method": "sms", "act": "other"}, headers=OURS)
        assert len(await world.messages()) == sent
        await browser.get(browser.path)
        await browser.post(code=world.totp(), act="answer")
        assert browser.path.startswith("/enrol/totp/"), browser.page.text


async def test_first_app_is_followed_by_recovery_codes_without_another_proof() -> None:
    world = PortalWorld()
    user = await world.person("ada", phone="+905321234567")
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=await world.code("ada"), act="answer")
        world.later(30)
        secret = await key_on(await browser.get("/enrol/totp"))
        await browser.post(code=world.totp(secret=secret), nickname="My phone")
        assert browser.path == "/enrol/recovery-codes"
        await browser.post()
    assert await kinds(world, user) == ["totp", "recovery_code"]


async def test_what_got_no_name_bears_none_of_ours() -> None:
    """A word of the program would stand there in one language."""
    world = PortalWorld()
    await world.person("ada", phone="+905321234567")
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=await world.code("ada"), act="answer")
        world.later(30)
        await browser.post(code=world.totp(secret=await key_on(await browser.get("/enrol/totp"))))
        await browser.post()
        page = await browser.get("/account/authenticators?lang=tr")
    assert sorted(re.findall(r"<h2>(.*?)</h2>", page.text)) == ["Kurtarma kodu", "Uygulamadaki kod"]
    assert 'Kaldır<span class="unseen"> Kurtarma kodu</span>' in page.text


async def test_phones_code_enrols_no_second_app_in_a_login_that_demands_one() -> None:
    """What policy demands within a sign-in is set up by no less than what protects the account."""
    world = PortalWorld()
    plan = {"demands": [ActionEntrySettings(enrol="totp", level="forced", deferrals=0)]}
    use_plan(world, ["password"], ["hotp", "sms"], **plan)
    user = await world.person("ada", phone="+905321234567")
    await world.give_hotp(user)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(method="sms", act="other")
        page = await browser.post(code=await world.code("ada"), act="answer")
        assert "Enter the code from your hardware token" in page.text, page.text
        page = await browser.post(code=hotp(Secret(SECRET), 0, 6), act="answer")
        assert 'value="totp"' in page.text, page.text
    assert await kinds(world, user) == ["hotp"]


async def test_confirmation_gives_the_session_another_value_and_lets_the_change_through() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await signed_in(world, browser)
        before = browser.client.cookies["__Host-wg_session"]
        world.later(301)
        await browser.get("/enrol/totp")
        assert browser.path == "/confirm"
        address = str(browser.page.url).removeprefix("https://login.acme.test")
        assert (await browser.post(address, password="wrong")).status_code == 422
        await browser.post(address, password="correct horse")
        await browser.post(code=world.totp(), act="answer")
        assert browser.path.startswith("/enrol/totp/")
        assert browser.client.cookies["__Host-wg_session"] != before
        assert await world.sessions.find(before) is None


async def test_proof_of_another_person_confirms_nobody_elses_session() -> None:
    world = PortalWorld()
    ada = await world.person("ada")
    await world.give_totp(ada)
    bob = await world.person("bob")
    async with world.browser() as browser:
        await signed_in(world, browser)
        held = browser.client.cookies["__Host-wg_session"]
    assert await world.sessions.confirm(held, await world.subject_of(bob), ["totp"]) is None
    assert await world.sessions.find(held) is not None


async def test_last_authenticator_cannot_be_removed_even_by_two_forms_at_once() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    await world.give_totp(user)
    await world.give_totp(user, bytes(range(1, 21)))
    async with world.browser() as browser:
        await signed_in(world, browser)
        page = await browser.get("/account/authenticators")
        ids = re.findall(r'name="authenticator" value="(\w+)"', page.text)
        form, cookies = browser.filled(0, {}), dict(browser.client.cookies)

        async def remove(identity: str) -> httpx.Response:
            async with world.browser(cookies=cookies) as copy:
                return await copy.client.post("/account/authenticators", data={**form, "authenticator": identity}, headers=OURS)

        await asyncio.gather(*(remove(identity) for identity in ids))
        assert await kinds(world, user) == ["totp"]
        left = re.findall(r'name="authenticator" value="(\w+)"', (await browser.get("/account/authenticators")).text)
        assert (await remove(left[0])).status_code == 409
    assert await kinds(world, user) == ["totp"]


async def test_authenticator_of_somebody_else_is_not_there() -> None:
    world = PortalWorld()
    ada, bob = await world.person("ada"), await world.person("bob")
    for user in (ada, ada, bob):
        identity = await world.give_totp(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get("/account/authenticators")
        reply = await browser.client.post(browser.path, data={**browser.filled(0, {}), "authenticator": identity}, headers=OURS)
        assert reply.status_code == 404
    assert await kinds(world, bob) == ["totp"]


async def test_enrolment_of_another_session_is_not_there() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    await world.give_totp(await world.person("bob"))
    async with world.browser() as adas, world.browser() as bobs:
        await signed_in(world, adas)
        await signed_in(world, bobs, "bob")
        await adas.get("/enrol/totp")
        assert (await bobs.client.get(adas.path)).status_code == 410
