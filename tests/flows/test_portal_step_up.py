"""What confirms a change: the strongest that the account has, whatever somebody has signed in by; and what a thief would try."""

import httpx
import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_world import OURS, BrowserOfTests, PortalWorld
from tests.flows.test_portal_freeze import freeze
from tests.flows.test_portal_passkeys import give_passkey, options_on
from tests.flows.test_portal_recovery import newest_code
from tests.flows.world import SECRET
from tests.software_passkey import SoftPasskey
from wardgate.crypto import Secret
from wardgate.delivery.port import Channel
from wardgate.directory.port import DirectoryUser
from wardgate.factors.totp import hotp

PHONE = "+905321234567"
LIST = "/account/authenticators"
CHANGES = ("/account/contacts/add/phone", "/enrol/recovery-codes")
ADDS = ("/enrol/totp", "/enrol/passkey")


async def ada_with_passkey(*, app: bool = False) -> tuple[PortalWorld, DirectoryUser, SoftPasskey]:
    """Ada has a phone and a passkey, and an app as well where the test says so."""
    world = PortalWorld()
    user = await world.person("ada", phone=PHONE, mail="ada@acme.test")
    if app:
        await world.give_totp(user)
    return world, user, await give_passkey(world, user)


async def by(world: PortalWorld, browser: BrowserOfTests, kind: str, code: str = "") -> None:
    """Sign in by the password and a code of this kind a while after it was set up, and let two minutes pass."""
    world.later(30)
    await browser.sign_in("ada")
    await choose(browser, kind)
    typed = code or (world.totp() if kind == "totp" else await newest_code(world))
    await browser.post(code=typed, act="answer")
    assert browser.path == "/account", browser.page.text
    world.later(120)


async def choose(browser: BrowserOfTests, kind: str) -> httpx.Response:
    """Choose another way in the step that is open, where it is not the one that is asked for."""
    place = browser.path
    page = await browser.get(place + "/other")
    if f'value="{kind}"' not in page.text:
        return await browser.get(place)
    return await browser.post(place, method=kind, act="other")


async def confirm(browser: BrowserOfTests, address: str) -> httpx.Response:
    """Ask for a page that changes something, and type the password that is asked for."""
    await browser.get(address)
    assert browser.path == "/confirm", address
    return await browser.post(str(browser.page.url), password="correct horse")


@pytest.mark.parametrize("address", [*CHANGES, *ADDS])
async def test_thief_of_password_and_phone_changes_nothing_that_a_passkey_protects(address: str) -> None:
    world, _, passkey = await ada_with_passkey()
    async with world.browser() as browser:
        await by(world, browser, "sms")
        sent = len(await world.messages())
        page = await confirm(browser, address)
        options = options_on(page)
        other = await browser.client.get(browser.path + "/other")
        assert 'value="sms"' not in other.text
        assert "help desk" in other.text
        form = {**browser.filled(0, {}), "method": "sms", "act": "other"}
        assert (await browser.client.post(browser.path, data=form, headers=OURS)).status_code == 422
        assert len(await world.messages()) == sent
        await browser.post(passkey=passkey.signed(options), act="answer")
        assert browser.path.startswith(address), browser.page.text


async def test_code_of_an_app_that_was_coaxed_out_of_somebody_removes_no_passkey() -> None:
    world, _, passkey = await ada_with_passkey(app=True)
    [row] = [each for each in await world.rows("authenticator") if each["kind"] == "passkey"]
    async with world.browser() as browser:
        await by(world, browser, "totp")
        await browser.get(LIST)
        await browser.post(LIST, authenticator=str(row["id"]))
        assert browser.path == "/confirm"
        page = await browser.post(str(browser.page.url), password="correct horse")
        assert 'value="totp"' not in (await browser.client.get(browser.path + "/other")).text
        await browser.post(passkey=passkey.signed(options_on(page)), act="answer")
        assert browser.path == LIST
        await browser.post(LIST, authenticator=str(row["id"]))
        assert browser.path == LIST
    [row] = [each for each in await world.rows("authenticator") if each["kind"] == "passkey"]
    assert row["state"] == "revoked"


async def test_passkey_that_signed_in_confirms_for_five_minutes() -> None:
    world, _, passkey = await ada_with_passkey()
    async with world.browser() as browser:
        world.later(30)
        options = options_on(await browser.sign_in("ada"))
        await browser.post(passkey=passkey.signed(options), act="answer")
        world.later(299)
        for address in (*CHANGES, *ADDS):
            assert (await browser.get(address)).status_code == 200
            assert browser.path.startswith(address)
        world.later(2)
        await browser.get(CHANGES[0])
        assert browser.path == "/confirm"


async def test_recovery_code_adds_something_new_and_changes_nothing_else() -> None:
    world, user, _ = await ada_with_passkey()
    codes = await world.give_recovery_codes(user)
    async with world.browser() as browser:
        await by(world, browser, "sms")
        await confirm(browser, "/enrol/totp")
        other = await browser.client.get(browser.path + "/other")
        assert 'value="recovery_code"' in other.text
        assert "and nothing else" in other.text
        await choose(browser, "recovery_code")
        await browser.post(code=codes[0], act="answer")
        assert browser.path.startswith("/enrol/totp"), browser.page.text
        for address in CHANGES:
            await browser.get(address)
            assert browser.path == "/confirm", address
            assert "and nothing else" in browser.page.text
        [row] = [each for each in await world.rows("authenticator") if each["kind"] == "passkey"]
        await browser.get(LIST)
        await browser.post(LIST, authenticator=str(row["id"]))
        assert browser.path == "/confirm"


async def test_what_was_added_by_a_recovery_code_confirms_the_rest() -> None:
    """Whoever has lost his passkey is not left to the help desk: what he has set up since is as strong."""
    world, user, _ = await ada_with_passkey()
    codes = await world.give_recovery_codes(user)
    async with world.browser() as browser:
        await by(world, browser, "recovery_code", codes[0])
        options = options_on(await browser.get("/enrol/passkey"))
        new = SoftPasskey()
        await browser.post(passkey=new.made(options))
        assert browser.path == LIST
        page = await confirm(browser, CHANGES[0])
        await browser.post(passkey=new.signed(options_on(page)), act="answer")
        assert browser.path == CHANGES[0], browser.page.text


async def test_app_and_device_are_of_equal_rank() -> None:
    world = PortalWorld()
    user = await world.person("ada", phone=PHONE)
    await world.give_totp(user)
    await world.give_hotp(user)
    async with world.browser() as browser:
        await by(world, browser, "sms")
        await confirm(browser, CHANGES[0])
        other = (await browser.client.get(browser.path + "/other")).text
        assert ('value="hotp"' in other, 'value="sms"' in other) == (True, False)
        await choose(browser, "hotp")
        await browser.post(code=hotp(Secret(SECRET), 0, 6), act="answer")
        assert browser.path == CHANGES[0], browser.page.text


@pytest.mark.parametrize("down", [False, True])
async def test_text_message_goes_before_an_e_mail_where_one_can_be_sent(down: bool) -> None:
    world = PortalWorld()
    await world.person("ada", phone=PHONE, mail="ada@acme.test")
    if down:
        world.channels = frozenset({Channel.EMAIL})
    async with world.browser() as browser:
        await by(world, browser, "email")
        await browser.get(CHANGES[0])
        assert (browser.path == "/confirm") is not down
        if not down:
            await browser.post(str(browser.page.url), password="correct horse")
            await browser.post(code=await newest_code(world), act="answer")
            assert browser.path == CHANGES[0], browser.page.text
    assert (PHONE in {each.to for each in await world.messages()}) is not down


async def test_questions_confirm_nothing_of_somebody_who_can_be_reached() -> None:
    """What others may know is no proof beside a code that goes to his phone."""
    world = PortalWorld()
    use_plan(world, ["password"])
    await world.person("ada", phone=PHONE)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await confirm(browser, CHANGES[0])
        await browser.post(code=await newest_code(world), act="answer")
        assert browser.path == CHANGES[0], browser.page.text


async def test_page_says_where_else_when_a_passkey_cannot_be_used_here() -> None:
    """Without script, or on another device: there is always a way, and it is told."""
    world, _, _ = await ada_with_passkey()
    async with world.browser() as browser:
        await by(world, browser, "sms")
        page = await confirm(browser, CHANGES[0])
        assert "cannot use passkeys here" in page.text
        assert f'href="{browser.path}/other"' in page.text
        page = await browser.get(browser.path + "/other")
        assert page.status_code == 200
        assert "call the help desk" in page.text


async def test_page_that_asks_for_the_password_alone_speaks_of_nothing_else() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await by(world, browser, "totp")
        world.later(600)
        await browser.get("/account/password")
        page = await browser.post(str(browser.page.url), password="wrong horse")
        assert (browser.path, page.status_code) == ("/confirm", 422)
        assert "The password is not right." in page.text
        assert "user name" not in page.text.lower()


async def pressed(browser: BrowserOfTests, address: str) -> httpx.Response:
    """Ask for a page that changes something, and press the button of the page that asks for no password."""
    page = await browser.get(address)
    assert browser.path == "/confirm", address
    assert 'type="password"' not in page.text
    return await browser.post(str(browser.page.url))


async def test_strongest_that_he_has_is_asked_and_no_password() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await by(world, browser, "totp")
        world.later(600)
        await pressed(browser, "/account/contacts/add/phone")
        assert browser.path.startswith("/step/")
        wrong = await browser.post(code="000000", act="answer")
        assert wrong.status_code == 422
        world.later(30)
        await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account/contacts/add/phone"
        [granted] = (await world.payloads("engine:login:granted"))[-1:]
        assert granted["factors"] == ["totp"]


@pytest.mark.parametrize("address", [*CHANGES, *ADDS])
async def test_thief_of_session_and_phone_changes_nothing_that_a_passkey_protects(address: str) -> None:
    world, _, passkey = await ada_with_passkey()
    async with world.browser() as browser:
        await by(world, browser, "sms")
        sent = len(await world.messages())
        page = await pressed(browser, address)
        options = options_on(page)
        other = await browser.client.get(browser.path + "/other")
        assert 'value="sms"' not in other.text
        form = {**browser.filled(0, {}), "method": "sms", "act": "other"}
        assert (await browser.client.post(browser.path, data=form, headers=OURS)).status_code == 422
        assert len(await world.messages()) == sent
        await browser.post(passkey=passkey.signed(options), act="answer")
        assert browser.path.startswith(address), browser.page.text


async def test_who_has_a_password_alone_is_asked_for_it() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    await world.person("bob")
    async with world.browser() as browser:
        await browser.sign_in("bob")
        assert browser.path == "/account"
        world.later(600)
        page = await browser.get("/confirm?then=/account/password")
        assert 'type="password"' in page.text
        await browser.post(str(browser.page.url))
        assert browser.path == "/confirm"
        assert 'type="password"' in browser.page.text


async def test_thief_of_session_and_app_chooses_no_password_of_his_own_while_the_account_is_frozen() -> None:
    """What lifts a freeze is another password, for which the old one is asked first."""
    world = PortalWorld()
    user = await world.person("ada", phone="+905321234567")
    await world.give_totp(user)
    world.later(8 * 86_400)
    await freeze(world, user)
    world.later(60)
    async with world.browser() as browser:
        await by(world, browser, "sms")
        page = await browser.get("/confirm?then=/account/password")
        assert 'type="password"' in page.text
        await browser.post(str(browser.page.url))
        assert browser.path == "/confirm"


async def test_administrator_confirms_by_as_many_strong_proofs_as_his_floor_asks() -> None:
    world, _, passkey = await ada_with_passkey(app=True)
    use_plan(world, ["password"], ["passkey"], ["totp"])
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(passkey=passkey.signed(options_on(browser.page)), act="answer")
        world.later(30)
        await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"
        world.later(600)
        page = await pressed(browser, "/account/contacts/add/phone")
        await browser.post(passkey=passkey.signed(options_on(page)), act="answer")
        assert browser.path.startswith("/step/")
        await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account/contacts/add/phone"
