"""A person's own contacts on the portal and the links that take a change back; and what an attacker would try."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.flows.portal_world import ORIGIN, OURS, BrowserOfTests, PortalWorld
from tests.flows.world import BACKENDS, a_storage
from wardgate.account.contact import Source, create_contact, kept_contacts, usable_contacts
from wardgate.clock import to_ms
from wardgate.delivery.outbox import OutboxEntry
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import ContactKind, DirectoryUser
from wardgate.engine.runtime import EngineConfiguration
from wardgate.engine.settings import SendingSettings
from wardgate.pages.turns import OWN_STEPS_AN_HOUR, STEPS_AN_HOUR
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Storage

HOME = "ada@home.test"
PHONE = "+905321234567"
OTHER = "+905329876543"
LIST = "/account/contacts"
ADD_PHONE = "/account/contacts/add/phone"
# The form of a contact's page that removes it: before the last, by which one stays signed in.
REMOVE = -2
ADD_MAIL = "/account/contacts/add/mail"


class PricedWorld(PortalWorld):
    """With its limits of messages in force."""

    def configuration(self) -> EngineConfiguration:
        """The configuration in force."""
        return replace(super().configuration(), sending=self.sending)


async def a_world(sending: SendingSettings | None = None, storage: Storage | None = None) -> tuple[PortalWorld, DirectoryUser]:
    world = PricedWorld(sending=sending or SendingSettings(), storage=storage or MemoryStorage())
    user = await world.person("ada", mail="ada@acme.test")
    await world.give_totp(user)
    return world, user


async def signed_in(world: PortalWorld, browser: BrowserOfTests, name: str = "ada") -> None:
    world.later(30)
    await browser.sign_in(name)
    await browser.post(code=world.totp(), act="answer")
    assert browser.path == "/account"


async def values(world: PortalWorld, user: DirectoryUser) -> list[str]:
    [rows] = await world.storage.read([kept_contacts(await world.subject_of(user))])
    return [each.value for each in usable_contacts(world.ring, rows)]


async def give(world: PortalWorld, user: DirectoryUser, value: str, *, days: int = 2) -> None:
    """A contact that he verified some days ago."""
    subject, at_ms = await world.subject_of(user), to_ms(world.clock.now()) - days * 86_400_000
    kind = ContactKind.MAIL if "@" in value else ContactKind.PHONE
    await world.storage.commit(create_contact(world.ring, subject, kind, value, Source.PERSON, at_ms, at_ms))


async def sent_to(world: PortalWorld, to: str) -> list[OutboxEntry]:
    return [each for each in await world.messages() if each.to == to]


async def code_for(world: PortalWorld, to: str) -> str:
    return next(each.code for each in await sent_to(world, to) if each.code)


async def link_for(world: PortalWorld, to: str) -> str:
    """The path of the newest link that went there."""
    found = [re.search(re.escape(ORIGIN) + r"(/l/[\w-]{43})", each.text) for each in await sent_to(world, to)]
    return next(match[1] for match in found if match is not None)


async def typed(browser: BrowserOfTests, value: str) -> httpx.Response:
    """Type a new one into its form."""
    return await browser.post(email=value) if "@" in value else await browser.post(phone=value)


async def add(world: PortalWorld, browser: BrowserOfTests, value: str = HOME) -> httpx.Response:
    await browser.get(ADD_MAIL if "@" in value else ADD_PHONE)
    await typed(browser, value)
    return await browser.post(code=await code_for(world, value), act="verify")


def plain(text: str) -> str:
    """What somebody reads of a page."""
    return re.sub(r"<[^>]+>", "", text)


async def page_of(browser: BrowserOfTests, nth: int = 0) -> str:
    """The page of the contact that stands there in the list."""
    await browser.get(LIST)
    found = re.findall(r'href="(/account/contacts/(?:[0-9a-f]{32}|directory-\w+))"', browser.page.text)
    return str(found[nth])


# --- the journeys ----------------------------------------------------------------------------------------------------


async def test_mail_address_is_added_by_its_code_and_all_contacts_are_told() -> None:
    world, user = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(ADD_MAIL)
        page = await browser.post(email=" ada@HOME.test ")
        assert browser.path.startswith("/account/contacts/verify/")
        assert HOME in page.text
        assert await values(world, user) == []
        page = await browser.post(code=await code_for(world, HOME), act="verify")
        assert page.status_code == 200
        assert "2026-11-22" in page.text
        assert await values(world, user) == [HOME]
        page = await browser.get(LIST)
        assert "Until 2026-11-22" in plain(page.text)
        assert HOME not in page.text
    for to in (HOME, "ada@acme.test"):
        assert any("was added" in each.text and "/l/" in each.text and HOME not in each.text for each in await sent_to(world, to))
    assert [event["value"] for event in await world.payloads("account:contact:added")] == ["a***@home.test"]


async def test_hold_ends_after_a_day() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await add(world, browser)
        world.later(86_400)
        await signed_in(world, browser)
        assert "Until 20" not in (await browser.get(LIST)).text


async def test_replacing_keeps_the_old_one_until_the_code_was_right() -> None:
    world, user = await a_world()
    await give(world, user, PHONE)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(f"{await page_of(browser)}/replace")
        await browser.post(phone=OTHER)
        assert await values(world, user) == [PHONE]
        await browser.post(code=await code_for(world, OTHER), act="verify")
        assert await values(world, user) == [OTHER]
    assert any("replaces" in each.text and "/l/" in each.text for each in await sent_to(world, PHONE))
    assert any("replaces" in each.text for each in await sent_to(world, OTHER))
    assert any("took the place" in each.text for each in await sent_to(world, "ada@acme.test"))


async def test_preferred_contact_gets_the_codes() -> None:
    world, user = await a_world()
    await give(world, user, HOME)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(await page_of(browser))
        await browser.post(act="prefer")
        assert browser.path == LIST
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(method="email", act="other")
    assert await code_for(world, HOME)


async def test_removed_contact_is_told_of_its_removal_and_of_what_follows() -> None:
    world, user = await a_world()
    await give(world, user, PHONE)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(await page_of(browser))
        await browser.post(act="remove")
        assert await values(world, user) == []
        assert "/l/" in (await sent_to(world, PHONE))[0].text
        await add(world, browser)
    texts = [each.text for each in await sent_to(world, PHONE)]
    assert sum("removed" in text for text in texts) == 1
    assert sum("added" in text for text in texts) == 1


async def test_directory_takes_another_where_it_is_allowed_and_the_new_one_is_on_hold() -> None:
    world = PortalWorld(directory=MemoryDirectory("local", writable=[ContactKind.PHONE]))
    user = await world.person("ada", mail="ada@acme.test", phone=PHONE)
    await world.give_totp(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        assert "/account/contacts/directory-mail" not in (await browser.get(LIST)).text
        await browser.get("/account/contacts/directory-phone/replace")
        await browser.post(phone=OTHER)
        await browser.post(code=await code_for(world, OTHER), act="verify")
        now = await world.directory.get(user.immutable_id, 1.0)
        assert now is not None
        assert now.phone == OTHER
        world.later(2)
        assert "Until 2026" in plain((await browser.get(LIST)).text)
        # The copy that holds it does not go before the hold is over.
        await browser.get(await page_of(browser))
        assert (await browser.post(form=0, act="remove")).status_code == 409
    link = await link_for(world, PHONE)
    async with world.browser() as browser:
        await browser.get(link)
        await browser.post()
    now = await world.directory.get(user.immutable_id, 1.0)
    assert now is not None
    assert now.phone == PHONE
    assert await values(world, user) == []


async def test_directory_that_does_not_answer_leaves_a_new_phone_on_hold_and_the_old_one_told() -> None:
    """It may have been written: without our copy it would reset the password at once."""
    world = PortalWorld(directory=MemoryDirectory("local", writable=[ContactKind.PHONE]))
    user = await world.person("ada", mail="ada@acme.test", phone=PHONE)
    await world.give_totp(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get("/account/contacts/directory-phone/replace")
        await browser.post(phone=OTHER)
        form, address = browser.filled(0, {"act": "verify", "code": await code_for(world, OTHER)}), browser.path
        await browser.get(address)
        world.directory.behaviour = Behaviour.UNAVAILABLE
        reply = await browser.client.post(address, data=form, headers=OURS)
        world.directory.behaviour = Behaviour.ANSWERS
        page = await browser.get(reply.headers["location"])
        assert "not by your organisation" in page.text
    assert await values(world, user) == [OTHER]
    assert any("/l/" in each.text for each in await sent_to(world, PHONE))
    assert [event["outcome"] for event in await world.payloads("directory:contact:written")] == ["unknown"]


async def test_directory_that_takes_nothing_is_read_only() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        page = await browser.get(LIST)
        assert "From your organisation" in page.text
        assert (await browser.client.get("/account/contacts/directory-mail/replace")).status_code == 404
        await browser.get("/account/contacts/directory-mail")
        assert 'value="remove"' not in browser.page.text


# --- codes -----------------------------------------------------------------------------------------------------------


async def test_three_wrong_codes_close_it_and_the_right_one_comes_too_late() -> None:
    world, user = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(ADD_MAIL)
        await browser.post(email=HOME)
        right = await code_for(world, HOME)
        wrong = "000000" if right != "000000" else "111111"
        form, address = browser.filled(0, {"act": "verify"}), browser.path
        statuses = [(await browser.client.post(address, data={**form, "code": wrong}, headers=OURS)).status_code for _ in range(3)]
        assert statuses == [422, 422, 410]
        assert (await browser.client.post(address, data={**form, "code": right}, headers=OURS)).status_code == 410
    assert await values(world, user) == []


async def test_code_is_not_taken_after_ten_minutes() -> None:
    world, user = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(ADD_MAIL)
        await browser.post(email=HOME)
        form, address = browser.filled(0, {"act": "verify", "code": await code_for(world, HOME)}), browser.path
        world.later(601)
        assert (await browser.client.post(address, data=form, headers=OURS)).status_code == 410
    assert await values(world, user) == []


async def test_code_of_another_contact_verifies_nothing() -> None:
    world, user = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(ADD_MAIL)
        await browser.post(email=HOME)
        mine = await code_for(world, HOME)
        await browser.get(ADD_MAIL)
        await browser.post(email="mallory@evil.test")
        assert await code_for(world, "mallory@evil.test") != mine
        page = await browser.post(code=mine, act="verify")
        assert page.status_code == 422
    assert await values(world, user) == []


async def test_pending_contact_of_another_session_is_not_there() -> None:
    world, _ = await a_world()
    await world.give_totp(await world.person("bob"))
    async with world.browser() as adas, world.browser() as bobs:
        await signed_in(world, adas)
        await signed_in(world, bobs, "bob")
        await adas.get(ADD_MAIL)
        await adas.post(email=HOME)
        assert (await bobs.client.get(adas.path)).status_code == 410


async def test_double_click_sends_one_code() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(ADD_MAIL)
        form, cookies = browser.filled(0, {"email": HOME}), dict(browser.client.cookies)

        async def send() -> httpx.Response:
            async with world.browser(cookies=cookies) as copy:
                return await copy.client.post(ADD_MAIL, data=form, headers=OURS)

        replies = await asyncio.gather(*(send() for _ in range(4)))
    assert {reply.status_code for reply in replies} == {303}
    assert len({reply.headers["location"] for reply in replies}) == 1
    assert len(await sent_to(world, HOME)) == 1


@pytest.mark.parametrize("backend", BACKENDS)
async def test_two_forms_at_once_add_one_contact_and_tell_it_once(backend: str, tmp_path: Path) -> None:
    async with a_storage(backend, tmp_path) as storage:
        world, user = await a_world(storage=storage)
        await two_forms_at_once(world, user)


async def two_forms_at_once(world: PortalWorld, user: DirectoryUser) -> None:
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(ADD_MAIL)
        await browser.post(email=HOME)
        form = browser.filled(0, {"act": "verify", "code": await code_for(world, HOME)})
        cookies, address = dict(browser.client.cookies), browser.path

        async def send() -> httpx.Response:
            async with world.browser(cookies=cookies) as copy:
                return await copy.client.post(address, data=form, headers=OURS)

        replies = await asyncio.gather(*(send() for _ in range(4)))
    assert sorted(reply.status_code for reply in replies) == [303, 409, 409, 409]
    assert await values(world, user) == [HOME]
    assert len(await world.payloads("account:contact:added")) == 1


async def test_another_code_goes_out_after_a_while_only() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(ADD_MAIL)
        await browser.post(email=HOME)
        page = await browser.post(form=1, act="resend")
        assert page.status_code == 429
        assert "retry-after" in page.headers
        world.later(31)
        assert (await browser.post(form=1, act="resend")).status_code == 200
    assert len(await sent_to(world, HOME)) == 2


@pytest.mark.parametrize("backend", BACKENDS)
async def test_send_again_pressed_many_times_at_once_sends_one_more_message(backend: str, tmp_path: Path) -> None:
    async with a_storage(backend, tmp_path) as storage:
        world, _ = await a_world(storage=storage)
        async with world.browser() as browser:
            await signed_in(world, browser)
            await browser.get(ADD_MAIL)
            await browser.post(email=HOME)
            world.later(31)
            form, cookies, address = browser.filled(1, {"act": "resend"}), dict(browser.client.cookies), browser.path

            async def send() -> httpx.Response:
                async with world.browser(cookies=cookies) as copy:
                    return await copy.client.post(address, data=form, headers=OURS)

            replies = await asyncio.gather(*(send() for _ in range(6)))
            assert {reply.status_code for reply in replies} <= {303, 429}
            assert len(await sent_to(world, HOME)) == 2
            await browser.get(address)
            assert (await browser.post(code=await code_for(world, HOME), act="verify")).status_code == 200


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [("phone", "+449098790000"), ("phone", "+12025550123"), ("email", "other@acme.test"), ("email", "other@ACME.TEST")],
)
async def test_premium_prefix_closed_prefix_and_mailbox_behind_the_password_are_refused(field: str, value: str) -> None:
    world, user = await a_world(sending=SendingSettings(sms_prefixes=("+90", "+44")))
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(ADD_PHONE if field == "phone" else ADD_MAIL)
        page = await typed(browser, value)
        assert page.status_code == 422
        assert "cannot be sent" in page.text
    assert await values(world, user) == []
    assert await world.messages() == []


async def test_mailbox_behind_the_password_is_refused_however_its_domain_is_written() -> None:
    world, user = await a_world()
    world.directory.remove(user)
    user = await world.person("ada", mail="ada@bücher.test")
    await world.give_totp(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        for spelling in ("other@xn--bcher-kva.test", "other@BÜCHER.test", "other@bu\u0308cher.test"):
            await browser.get(ADD_MAIL)
            page = await typed(browser, spelling)
            assert page.status_code == 422, spelling
    assert await values(world, user) == []
    assert await world.messages() == []


async def test_two_removals_of_one_contact_send_one_notice() -> None:
    world, user = await a_world()
    await give(world, user, PHONE)
    async with world.browser() as browser:
        await signed_in(world, browser)
        address = await page_of(browser)
        await browser.get(address)
        form, cookies = browser.filled(REMOVE, {"act": "remove"}), dict(browser.client.cookies)

        async def remove() -> httpx.Response:
            async with world.browser(cookies=cookies) as copy:
                return await copy.client.post(address, data=form, headers=OURS)

        replies = await asyncio.gather(*(remove() for _ in range(4)))
    assert [reply.status_code for reply in replies].count(303) == 1
    assert len(await sent_to(world, PHONE)) == 1


async def test_wrong_code_is_put_on_record() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(ADD_MAIL)
        await browser.post(email=HOME)
        wrong = "000000" if await code_for(world, HOME) != "000000" else "111111"
        await browser.post(code=wrong, act="verify")
    steps = [event for event in await world.payloads("engine:recovery:step") if event["reason"] == "code_wrong"]
    assert [event["goal"] for event in steps] == ["change"]
    assert wrong not in repr(steps)


async def test_same_contact_twice_is_refused() -> None:
    world, user = await a_world()
    await give(world, user, HOME)
    async with world.browser() as browser:
        await signed_in(world, browser)
        for value in (HOME, "ADA@home.test"):
            await browser.get(ADD_MAIL)
            assert (await browser.post(email=value)).status_code == 422


async def test_last_way_in_is_not_removed_even_by_two_forms_at_once() -> None:
    world = PortalWorld()
    user = await world.person("bob")
    await give(world, user, PHONE)
    await give(world, user, HOME)
    async with world.browser() as browser:
        await browser.sign_in("bob")
        await browser.post(code=next(each.code for each in await world.messages() if each.code), act="answer")
        assert browser.path == "/account"
        pages = [await page_of(browser, nth) for nth in (0, 1)]
        await browser.get(pages[0])
        form, cookies = browser.filled(REMOVE, {"act": "remove"}), dict(browser.client.cookies)

        async def remove(address: str) -> httpx.Response:
            async with world.browser(cookies=cookies) as copy:
                return await copy.client.post(address, data=form, headers=OURS)

        await asyncio.gather(*(remove(page) for page in pages))
        assert len(await values(world, user)) == 1
        assert (await remove(await page_of(browser))).status_code == 409
    assert len(await values(world, user)) == 1


async def test_contact_of_somebody_else_is_not_there() -> None:
    world, ada = await a_world()
    bob = await world.person("bob")
    await give(world, bob, PHONE)
    await give(world, ada, HOME)
    await world.give_totp(bob)
    async with world.browser() as bobs, world.browser() as adas:
        await signed_in(world, bobs, "bob")
        address = await page_of(bobs)
        await signed_in(world, adas)
        assert (await adas.client.get(address)).status_code == 404
        await adas.get(await page_of(adas))
        reply = await adas.client.post(address, data=adas.filled(REMOVE, {"act": "remove"}), headers=OURS)
        assert reply.status_code == 404
    assert await values(world, bob) == [PHONE]


async def test_stolen_session_adds_prefers_and_removes_nothing_after_five_minutes() -> None:
    world, user = await a_world()
    await give(world, user, PHONE)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(ADD_MAIL)
        unsent = browser.filled(0, {"email": "other@home.test"})
        await browser.post(email=HOME)
        pending, code = browser.path, browser.filled(0, {"act": "verify", "code": await code_for(world, HOME)})
        one = await page_of(browser)
        await browser.get(one)
        act = browser.filled(REMOVE, {})
        world.later(301)
        for address, form in (
            (ADD_MAIL, unsent),
            (pending, code),
            (one, {**act, "act": "remove"}),
            (one, {**act, "act": "prefer"}),
        ):
            reply = await browser.client.post(address, data=form, headers=OURS)
            assert reply.headers["location"] == f"/confirm?then={address}"
        for address in (ADD_MAIL, f"{one}/replace"):
            assert (await browser.client.get(address)).headers["location"].startswith("/confirm")
    assert await values(world, user) == [PHONE]
    assert len(await sent_to(world, "other@home.test")) == 0


async def test_pending_contact_is_still_there_after_the_confirmation() -> None:
    world, user = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        world.later(200)
        await browser.get(ADD_MAIL)
        await browser.post(email=HOME)
        world.later(101)
        await browser.post(code=await code_for(world, HOME), act="verify")
        assert browser.path == "/confirm"
        address = str(browser.page.url).removeprefix(ORIGIN)
        await browser.post(address, password="correct horse")
        await browser.post(code=world.totp(), act="answer")
        assert browser.path.startswith("/account/contacts/verify/")
        await browser.post(code=await code_for(world, HOME), act="verify")
    assert await values(world, user) == [HOME]


async def test_form_of_another_site_changes_nothing() -> None:
    world, user = await a_world()
    await give(world, user, PHONE)
    async with world.browser() as browser:
        await signed_in(world, browser)
        one = await page_of(browser)
        await browser.get(one)
        form = browser.filled(REMOVE, {"act": "remove"})
        reply = await browser.client.post(one, data=form, headers={"sec-fetch-site": "cross-site"})
        assert reply.status_code == 422
        assert (await browser.client.post(one, data={**form, "csrf": "0" * 32}, headers=OURS)).status_code == 422
    assert await values(world, user) == [PHONE]


# --- links -----------------------------------------------------------------------------------------------------------


async def test_cancel_link_undoes_a_replacement_ends_sessions_and_tells() -> None:
    world, user = await a_world()
    await give(world, user, PHONE)
    async with world.browser() as thief:
        await signed_in(world, thief)
        await thief.get(f"{await page_of(thief)}/replace")
        await thief.post(phone=OTHER)
        await thief.post(code=await code_for(world, OTHER), act="verify")
        assert await values(world, user) == [OTHER]
        async with world.browser() as owner:
            page = await owner.get(await link_for(world, PHONE))
            assert owner.path.startswith("/link/")
            assert "ada" not in page.text.split("<main")[-1]
            page = await owner.post()
            assert page.status_code == 200
            assert "was undone" in page.text
            assert "__Host-wg_session" not in owner.client.cookies
        await thief.get(LIST)
        assert thief.path == "/sign-in"
    assert await values(world, user) == [PHONE]
    for to in (PHONE, "ada@acme.test"):
        assert any("undone" in each.text for each in await sent_to(world, to))
    assert not any("undone" in each.text for each in await sent_to(world, OTHER))
    [told] = await world.payloads("account:contact:undone")
    assert told["value"] != OTHER


async def test_contact_that_nobody_verified_is_not_made_a_verified_one_by_undoing() -> None:
    world, user = await a_world()
    made = create_contact(world.ring, await world.subject_of(user), ContactKind.PHONE, PHONE, Source.OPERATOR, None, 0)
    await world.storage.commit(made)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(f"{await page_of(browser)}/replace")
        await browser.post(phone=OTHER)
        await browser.post(code=await code_for(world, OTHER), act="verify")
        assert await values(world, user) == [OTHER]
        await browser.get(await link_for(world, "ada@acme.test"))
        await browser.post()
    assert await values(world, user) == []
    assert await sent_to(world, PHONE) == []


async def test_contact_that_came_back_is_on_hold() -> None:
    world, user = await a_world()
    await give(world, user, PHONE)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(await page_of(browser))
        await browser.post(act="remove")
        await browser.get(await link_for(world, PHONE))
        await browser.post()
        assert await values(world, user) == [PHONE]
        await signed_in(world, browser)
        assert "Until 2026-11-22" in plain((await browser.get(LIST)).text)


async def test_mail_scanner_that_opens_links_changes_nothing() -> None:
    world, user = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await add(world, browser)
        link = await link_for(world, "ada@acme.test")
        before = [await world.rows(table) for table in ("contact", "sso_session", "mail_link", "outbox", "audit_event")]
        for _ in range(10):
            async with world.browser() as scanner:
                reply = await scanner.get(link)
                assert reply.status_code == 200
                assert (await scanner.client.head(link)).status_code == 303
        assert [await world.rows(table) for table in ("contact", "sso_session", "mail_link", "outbox", "audit_event")] == before
        await browser.get(LIST)
        assert browser.path == LIST
    assert await values(world, user) == [HOME]


async def test_new_addresses_that_somebody_types_without_an_end_fill_no_table() -> None:
    """Each form is another one, and its message may be refused: what waits for a code is stored before."""
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        before = len(await world.rows("page_step"))
        answers = []
        for number in range(OWN_STEPS_AN_HOUR + 5):
            await browser.get(ADD_MAIL)
            form = browser.filled(0, {"email": f"ada.{number}@home.test"})
            answers.append((await browser.client.post(ADD_MAIL, data=form, headers=OURS)).status_code)
        assert answers[-5:] == [429] * 5
        assert set(answers[:OWN_STEPS_AN_HOUR]) <= {303, 429}
        assert len(await world.rows("page_step")) == before + OWN_STEPS_AN_HOUR
    async with world.browser() as browser:
        await world.give_totp(await world.person("bob"))
        await signed_in(world, browser, "bob")
        await browser.get(ADD_MAIL)
        await browser.post(email=HOME)
        assert browser.path != ADD_MAIL, "somebody else behind the same address goes on"


async def test_reloading_a_link_or_an_enrolment_fills_no_table() -> None:
    world, _ = await a_world()
    async with world.browser() as browser, world.browser() as scanner:
        await signed_in(world, browser)
        await add(world, browser)
        link = await link_for(world, "ada@acme.test")
        before = len(await world.rows("page_step"))
        for _ in range(STEPS_AN_HOUR):
            assert (await scanner.client.get(link)).status_code == 303
        for address in (link, "/enrol/totp", "/enrol/passkey"):
            reply = await browser.client.get(address)
            assert reply.status_code == 429
            assert 3500 < int(reply.headers["retry-after"]) <= 3600
            assert "Try again in 60 minutes" in reply.text
        assert len(await world.rows("page_step")) == before + STEPS_AN_HOUR
        world.later(3601)
        assert (await scanner.client.get(link)).status_code == 303


@pytest.mark.parametrize("backend", BACKENDS)
async def test_link_used_twice_acts_once_even_by_many_at_once(backend: str, tmp_path: Path) -> None:
    async with a_storage(backend, tmp_path) as storage:
        world, user = await a_world(storage=storage)
        await link_used_twice(world, user)


async def link_used_twice(world: PortalWorld, user: DirectoryUser) -> None:
    async with world.browser() as browser:
        await signed_in(world, browser)
        await add(world, browser)
    link = await link_for(world, "ada@acme.test")
    async with world.browser() as browser:
        await browser.get(link)
        form, cookies, address = browser.filled(0, {}), dict(browser.client.cookies), browser.path

        async def press() -> httpx.Response:
            async with world.browser(cookies=cookies) as copy:
                return await copy.client.post(address, data=form, headers=OURS)

        replies = await asyncio.gather(*(press() for _ in range(5)))
        assert sorted(reply.status_code for reply in replies) == [303, 410, 410, 410, 410]
        assert len(await world.payloads("account:contact:undone")) == 1
        world.later(30)
        # He adds it again: the old link takes nothing away any more.
        await signed_in(world, browser)
        await add(world, browser)
        page = await browser.get(link)
        assert page.status_code == 410
        assert "has been used" in page.text
        assert (await press()).status_code == 410
    assert await values(world, user) == [HOME]


async def test_link_of_an_earlier_addition_leaves_a_later_one_alone() -> None:
    world, user = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await add(world, browser)
        link = await link_for(world, "ada@acme.test")
        await browser.get(await page_of(browser))
        await browser.post(act="remove")
        world.later(30)
        await add(world, browser)
        await browser.get(link)
        await browser.post()
    assert await values(world, user) == [HOME]


async def test_link_runs_out_after_a_week() -> None:
    world, user = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await add(world, browser)
        link = await link_for(world, "ada@acme.test")
        world.later(7 * 86_400)
        assert (await browser.get(link)).status_code == 410
    assert await values(world, user) == [HOME]


async def test_opened_link_of_another_browser_is_not_there_and_another_persons_session_stays() -> None:
    world, user = await a_world()
    await world.give_totp(await world.person("bob"))
    async with world.browser() as browser, world.browser() as bobs:
        await signed_in(world, browser)
        await add(world, browser)
        link = await link_for(world, "ada@acme.test")
        await signed_in(world, bobs, "bob")
        page = await bobs.get(link)
        assert "Somebody else is signed in" in page.text
        assert (await browser.client.get(bobs.path)).status_code == 410
        await bobs.post()
        await bobs.get("/account")
        assert bobs.path == "/account"
        await browser.get("/account")
        assert browser.path == "/sign-in"
    assert await values(world, user) == []


async def test_link_leads_to_our_own_page_without_its_token_whatever_it_is_asked_to_do() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await add(world, browser)
        link = await link_for(world, "ada@acme.test")
        token = link.removeprefix("/l/")
        for more in ("?then=https://evil.test", "?return=//evil.test", "?next=\\evil.test"):
            location = (await browser.client.get(link + more)).headers["location"]
            assert re.fullmatch(r"/link/[\w-]{22}", location)
            assert token not in location
        reply = await browser.client.get(link, headers={"x-forwarded-host": "evil.test"})
        assert reply.headers["location"].startswith("/link/")
        assert token not in (await browser.get(link)).text
        for wrong in ("/l/" + "a" * 43, "/l/x", "/l/..%2f..%2fadmin"):
            assert (await browser.client.get(wrong)).status_code in (404, 410)
    assert all(f"{ORIGIN}/l/" in each.text for each in await world.messages() if "/l/" in each.text)


async def test_links_are_made_from_the_configured_address_and_never_from_the_host_header() -> None:
    world, _ = await a_world()
    async with world.browser(headers={"host": "evil.test"}) as browser:
        await signed_in(world, browser)
        await add(world, browser)
    assert "evil.test" not in "".join(each.text for each in await world.messages())


async def test_token_stands_in_no_table_and_no_log_of_what_happened() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await add(world, browser)
        token = (await link_for(world, "ada@acme.test")).removeprefix("/l/")
        await browser.get(f"/l/{token}")
        await browser.post()
    for table in ("mail_link", "page_step", "audit_event", "timeline", "outbox"):
        assert token not in repr(await world.rows(table)), table


async def test_lost_phone_gets_no_link_and_hears_nothing_more() -> None:
    world, user = await a_world()
    await give(world, user, PHONE)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(await page_of(browser))
        await browser.post(act="remove", lost="yes")
        await add(world, browser)
    [told] = await sent_to(world, PHONE)
    assert "/l/" not in told.text
    assert any("/l/" in each.text for each in await sent_to(world, "ada@acme.test"))


async def test_contact_that_a_thief_added_cannot_bring_itself_back() -> None:
    world, user = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await add(world, browser, OTHER)
        await browser.get(await page_of(browser))
        await browser.post(act="remove")
        removed = next(each for each in await sent_to(world, OTHER) if "removed" in each.text)
        assert "/l/" not in removed.text
    assert await values(world, user) == []


async def test_not_me_link_of_a_new_authenticator_ends_sessions_and_devices() -> None:
    world, user = await a_world()
    async with world.browser() as thief:
        await signed_in(world, thief)
        await thief.get("/enrol/recovery-codes")
        await thief.post()
        link = await link_for(world, "ada@acme.test")
        async with world.browser() as owner:
            page = await owner.get(link)
            assert "This was not me" in page.text
            page = await owner.post()
            assert "Your account is on hold" in page.text
        await thief.get("/account")
        assert thief.path == "/sign-in"
    assert [event["user"] for event in await world.payloads("account:change:disputed")] == [user.name]
    assert any("sessions were ended" in each.text for each in await sent_to(world, "ada@acme.test"))


async def test_undoing_works_while_the_directory_is_down() -> None:
    """Who takes an account over may time it well: what can be ended without the directory is ended."""
    world, user = await a_world()
    await give(world, user, PHONE)
    async with world.browser() as thief, world.browser() as owner:
        await signed_in(world, thief)
        await thief.get(await page_of(thief))
        await thief.post(act="remove")
        link = await link_for(world, PHONE)
        world.directory.behaviour = Behaviour.UNAVAILABLE
        await owner.get(link)
        assert (await owner.post()).status_code == 200
        world.directory.behaviour = Behaviour.ANSWERS
        await thief.get("/account")
        assert thief.path == "/sign-in"
    assert await values(world, user) == [PHONE]
