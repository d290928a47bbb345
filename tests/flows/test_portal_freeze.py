"""The list of what happened, "this was not me" and the freeze that follows; and what an attacker would try with either."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_world import OURS, BrowserOfTests, PortalWorld
from tests.flows.test_portal_contacts import HOME, OTHER, PHONE, add, give, link_for, page_of, sent_to, values
from tests.flows.test_portal_enrolment import key_on
from tests.flows.test_portal_passkeys import first, give_passkey, show
from tests.flows.world import BACKENDS, NAS, SECRET, START, a_storage, is_granted
from wardgate.account.freeze import WINDOW_MS, SetBy, freezing
from wardgate.clock import FixedClock, to_ms
from wardgate.crypto import Secret
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import DirectoryUser, PasswordVerdict
from wardgate.engine.outcome import Origin
from wardgate.policy.settings import ActionEntrySettings, LifetimesThenSettings
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Committed, Storage, Update

NEW = "a whole new sentence"
THIEVES = bytes(range(20, 40))
THIEFS = "the thief's choice"
DAY_S = 86_400
WEEK_S = 7 * DAY_S


class ReadOnlyDirectory(MemoryDirectory):
    """One whose passwords are none of ours to set."""

    reset_password = change_password = None  # type: ignore[assignment]


def knowing_ages() -> PortalWorld:
    """A world whose directory tells when a password was last changed."""
    clock = FixedClock(START)
    return PortalWorld(clock=clock, directory=MemoryDirectory("local", clock=clock))


def elsewhere_at(client: str) -> Origin:
    """Another place."""
    return replace(NAS, client=client)


async def freeze(world: PortalWorld, user: DirectoryUser, days: int = 0) -> None:
    """As somebody does who presses the link of an event so many days ago."""
    subject, now_ms = await world.subject_of(user), to_ms(world.clock.now())
    made = await freezing(world.storage, world.ring, subject, now_ms - days * 86_400_000, SetBy.LINK, now_ms)
    assert isinstance(await world.storage.commit(made.operations), Committed)


async def a_world(storage: Storage | None = None, **fields: str) -> tuple[PortalWorld, DirectoryUser]:
    """Ada, who has had her app, and her password, for a week."""
    world = PortalWorld(storage=storage or MemoryStorage())
    user = await world.person("ada", **{"mail": "ada@acme.test", **fields})
    await world.give_totp(user)
    world.later(WEEK_S)
    return world, user


async def signed_in(world: PortalWorld, browser: BrowserOfTests, secret: bytes = SECRET, password: str = "correct horse") -> None:
    world.later(30)
    await browser.sign_in("ada", password)
    await browser.post(code=world.totp(secret=secret), act="answer")
    assert browser.path == "/account", browser.page.text


async def own_app(world: PortalWorld, user: DirectoryUser, secret: bytes = THIEVES) -> None:
    """An app that somebody enrolled in a session of the account."""
    settings: dict[str, str | int] = {"digits": 6, "period_s": 30, "algorithm": "SHA1", "by": "person"}
    await world._give(user, "totp", secret, 0, settings)


async def enrolled_by_pages(world: PortalWorld, browser: BrowserOfTests) -> bytes:
    """The secret of an app that was enrolled on the pages."""
    secret = await key_on(await browser.get("/enrol/totp"))
    await browser.post(code=world.totp(secret=secret), act="app")
    return secret


async def dispute(browser: BrowserOfTests, nth: int = 0) -> httpx.Response:
    """Press "this was not me" at a row of the list, and the button behind it."""
    page = await browser.get("/account/activity")
    await browser.get(re.findall(r'href="(/account/activity/\d+)"', page.text)[nth])
    return await browser.post()


async def is_frozen(world: PortalWorld) -> bool:
    rows = await world.rows("freeze")
    assert all((row["frozen_at"] is not None) == bool(rows) for row in await world.rows("subject"))
    return bool(rows)


async def states(world: PortalWorld) -> list[str]:
    return sorted(str(row["state"]) for row in await world.rows("authenticator"))


async def right(world: PortalWorld, user: DirectoryUser, password: str) -> bool:
    return await world.directory.check_password(user, Secret(password), 1) is PasswordVerdict.RIGHT


# --- the list ------------------------------------------------------------------------------------------------------------


async def test_list_tells_what_happened_in_plain_words_and_both_languages() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await browser.sign_in("ada", "wrong")
        await signed_in(world, browser)
        page = await browser.get("/account/activity")
        assert page.status_code == 200
        assert "Signed in" in page.text
        assert "A sign-in was refused" in page.text
        assert "203.0.113.7" in page.text
        # The login is one row, not one for each of its steps.
        assert page.text.count("Signed in") == 1
        assert "The password was right" not in page.text
        page = await browser.get("/account/activity?show=refused")
        assert "A sign-in was refused" in page.text
        assert "Signed in" not in page.text
        assert "Oturum açıldı" in (await browser.get("/account/activity?lang=tr")).text
        assert "Etkinlik" in (await browser.get("/account")).text


async def test_list_shows_only_the_beginning_of_an_address_of_another_network() -> None:
    world, _ = await a_world()
    challenge = await world.challenged("ada", origin=elsewhere_at("198.51.100.23"), application="portal")
    await world.answer(challenge, world.totp(), name="ada", origin=elsewhere_at("198.51.100.23"))
    async with world.browser() as browser:
        await signed_in(world, browser)
        page = await browser.get("/account/activity")
        assert "198.51.•••" in page.text
        assert "198.51.100" not in page.text


async def test_list_tells_where_a_change_of_the_account_page_was_made() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await enrolled_by_pages(world, browser)
        await browser.get("/enrol/recovery-codes")
        await browser.post("/enrol/recovery-codes")
        await browser.get("/account/password")
        await browser.post(password="correct horse", new_password=NEW)
        page = await browser.get("/account/activity?show=changes")
    rows = page.text.split('<li class="card">')[1:]
    assert len(rows) == 3
    assert all("203.0.113.7" in row for row in rows), page.text


async def test_list_tells_nothing_of_other_people() -> None:
    world, _ = await a_world()
    await world.person("bob", mail="bob@acme.test")
    async with world.browser() as browser:
        await browser.sign_in("bob", "wrong")
        await signed_in(world, browser)
        page = await browser.get("/account/activity?show=refused")
        assert "There is nothing here" in page.text
        [event] = await world.events("engine:login:denied")
        assert (await browser.get(f"/account/activity/{event['created_at']}")).status_code == 404


async def test_older_pages_go_on_where_the_one_before_ended() -> None:
    world, _ = await a_world()
    for _ in range(30):
        world.later(400)
        await world.begin("ada", "wrong", application="portal")
    async with world.browser() as browser:
        await signed_in(world, browser)
        page = await browser.get("/account/activity?show=refused")
        assert page.text.count('<li class="card">') == 25
        older = re.search(r'href="(/account/activity\?[^"]*before=[^"]+)"', page.text)
        assert older is not None
        page = await browser.get(older[1].replace("&amp;", "&"))
        assert page.text.count('<li class="card">') == 5
        assert "Older" not in page.text


@pytest.mark.parametrize("before", ["", "x", "1", "1.x", "99999999999999999999.1", "-1.0", "²." + "1", "1.99999", "0.0"])
async def test_place_that_nobody_made_shows_a_page_and_no_fault(before: str) -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        assert (await browser.get(f"/account/activity?show={before}&before={before}")).status_code == 200


async def test_row_whose_details_were_erased_says_so() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        [event] = await world.events("engine:login:granted")
        key = {name: event[name] for name in ("writer", "epoch", "seq")}
        await world.storage.commit([Update("audit_event", key, {"payload": None, "salt": None})])
        page = await browser.get("/account/activity")
        assert "The details of this are kept no longer." in page.text


# --- "this was not me" -----------------------------------------------------------------------------------------------------


async def test_row_that_was_not_me_freezes_the_account_and_ends_every_session() -> None:
    world, _ = await a_world()
    async with world.browser() as browser, world.browser() as elsewhere:
        await signed_in(world, elsewhere)
        await signed_in(world, browser)
        page = await dispute(browser)
        assert browser.path == "/sign-in"
        assert "Your account is on hold" in page.text
        await elsewhere.get("/account")
        assert elsewhere.path == "/sign-in"
    assert await is_frozen(world)
    assert await world.rows("sso_session") == []
    assert any("is on hold" in each.text for each in await sent_to(world, "ada@acme.test"))
    [frozen] = await world.payloads("account:freeze:set")
    assert (frozen["by"], frozen["user"]) == ("person", "ada")
    assert (await world.verified()).findings == ()


async def test_looking_at_a_row_changes_nothing() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        page = await browser.get("/account/activity")
        address = re.findall(r'href="(/account/activity/\d+)"', page.text)[0]
        for _ in range(10):
            assert (await browser.get(address)).status_code == 200
        reply = await browser.client.post(address, data={"csrf": "guess"}, headers=OURS)
        assert reply.status_code == 422
        assert not await is_frozen(world)


async def test_owner_signs_in_with_the_older_app_and_lifts_it_by_a_new_password() -> None:
    world, user = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await dispute(browser)
        world.later(60)
        await browser.sign_in("ada")
        page = await browser.post(code=world.totp(), act="answer")
        assert "Choose another password: that lifts it." in page.text
        assert await is_frozen(world)
        await browser.post(new_password=NEW, act="password")
        assert browser.path == "/account"
    assert not await is_frozen(world)
    assert await right(world, user, NEW)
    [lifted] = await world.payloads("account:freeze:lifted")
    assert (lifted["by"], lifted["factors"]) == ("person", ["password", "totp"])
    assert any("no longer on hold" in each.text for each in await sent_to(world, "ada@acme.test"))
    assert (await world.verified()).findings == ()


async def test_older_passkey_signs_in_and_lifts_it_without_the_password_that_a_thief_has_set() -> None:
    world, user = await a_world()
    passkey = await give_passkey(world, user)
    world.later(WEEK_S)
    await freeze(world, user)
    world.later(60)
    await world.directory.reset_password(user, Secret("the thief's own choice"), False, 1.0)
    async with world.browser() as owner:
        page = await show(owner, passkey.signed(await first(owner)))
        assert "Choose another password: that lifts it." in page.text, page.text
        await owner.post(new_password=NEW, act="password")
        assert owner.path == "/account"
    assert await right(world, user, NEW)
    assert not await is_frozen(world)


async def test_app_that_a_thief_enrolled_opens_nothing_and_lifts_nothing() -> None:
    world, _ = await a_world()
    async with world.browser() as thief, world.browser() as owner:
        await signed_in(world, thief)
        secret = await enrolled_by_pages(world, thief)
        await owner.get(await link_for(world, "ada@acme.test"))
        await owner.post()
        assert await states(world) == ["active", "frozen"]
        world.later(60)
        await thief.sign_in("ada")
        page = await thief.post(code=world.totp(secret=secret), act="answer")
        assert page.status_code == 422
        assert await is_frozen(world)
        world.later(60)
        await owner.sign_in("ada")
        await owner.post(code=world.totp(), act="answer")
        await owner.post(new_password=NEW, act="password")
        assert owner.path == "/account"
    assert not await is_frozen(world)
    # What came with the thief is gone for good, and its secret with it.
    assert await states(world) == ["active", "revoked"]
    assert all(row["sealed"] is None for row in await world.rows("authenticator") if row["state"] == "revoked")


async def test_victim_of_a_malicious_freeze_goes_on_working() -> None:
    """Whoever reads the mailbox of another may press the link: she signs in with what she had, at the portal and elsewhere."""
    world, user = await a_world()
    async with world.browser() as attacker:
        await signed_in(world, attacker)
        await attacker.get("/enrol/recovery-codes")
        await attacker.post()
        await attacker.get(await link_for(world, "ada@acme.test"))
        await attacker.post()
    assert await is_frozen(world)
    world.later(60)
    challenge = await world.challenged("ada", application="portal")
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    # A door that shows no pages lets her in, and lifts nothing.
    assert await is_frozen(world)
    assert await right(world, user, "correct horse")


async def test_link_dead_after_the_lift_freezes_nobody_again() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get("/enrol/recovery-codes")
        await browser.post()
        old = await link_for(world, "ada@acme.test")
        await dispute(browser)
        world.later(60)
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        await browser.post(new_password=NEW, act="password")
        assert (await browser.get(old)).status_code == 410
        # That of the new password, which the lift itself brought about, is good.
        assert (await browser.get(await link_for(world, "ada@acme.test"))).status_code == 200
    assert not await is_frozen(world)


async def test_link_acts_once_and_only_when_its_button_is_pressed() -> None:
    world, _ = await a_world()
    async with world.browser() as browser, world.browser() as scanner:
        await signed_in(world, browser)
        await browser.get("/enrol/recovery-codes")
        await browser.post()
        link = await link_for(world, "ada@acme.test")
        for _ in range(10):
            await scanner.get(link)
        await scanner.client.head(link)
        assert not await is_frozen(world)
        page = await scanner.get(link)
        assert "This was not me" in page.text

        async def press() -> httpx.Response:
            return await scanner.client.post(scanner.path, data=scanner.filled(0, {}), headers=OURS)

        replies = await asyncio.gather(*(press() for _ in range(4)))
        assert sorted({each.status_code for each in replies} - {409}) in ([303, 410], [303])
        assert len(await world.events("account:freeze:set")) == 1
        assert (await browser.get(link)).status_code == 410


async def test_link_of_before_a_week_is_over() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get("/enrol/recovery-codes")
        await browser.post()
        link = await link_for(world, "ada@acme.test")
        world.later(WEEK_S + 1)
        assert (await browser.get(link)).status_code == 410


# --- what a freeze stops ---------------------------------------------------------------------------------------------------


async def test_reset_by_phone_is_refused_after_the_first_proof_and_sets_no_password() -> None:
    world, user = await a_world(phone=PHONE)
    codes = await world.give_recovery_codes(user)
    async with world.browser() as browser, world.browser() as thief:
        await signed_in(world, browser)
        await dispute(browser)
        await thief.get("/forgot")
        await thief.post("/forgot", username="ada")
        page = await thief.post(method="sms", act="choose")
        assert "on hold" not in page.text
        page = await thief.post(code=await world.code("ada"), act="answer")
        assert page.status_code == 410
        assert "Your account is on hold: changes and resets are stopped." in page.text
        await thief.get("/unlock")
        await thief.post("/unlock", username="ada")
        await thief.post(method="recovery_code", act="choose")
        page = await thief.post(code=codes[0], act="answer")
        assert "Your account is on hold" in page.text
    assert await right(world, user, "correct horse")
    assert await world.events("engine:recovery:done") == []


async def test_reset_that_was_on_its_way_ends_with_the_freeze() -> None:
    world, user = await a_world(phone=PHONE)
    codes = await world.give_recovery_codes(user)
    async with world.browser() as browser, world.browser() as thief:
        await thief.get("/forgot")
        await thief.post("/forgot", username="ada")
        await thief.post(method="recovery_code", act="choose")
        await thief.post(code=codes[0], act="answer")
        await thief.post(method="sms", act="choose")
        page = await thief.post(code=await world.code("ada"), act="answer")
        assert "Choose a new password" in page.text
        await signed_in(world, browser)
        await dispute(browser)
        page = await thief.post(new_password="the thief's choice", act="password")
        assert page.status_code in (409, 410)
    assert await right(world, user, "correct horse")


@pytest.mark.parametrize("address", ["/enrol/totp", "/enrol/recovery-codes", "/enrol/passkey", "/account/contacts/add/phone"])
async def test_nothing_that_opens_the_account_can_be_added_while_it_is_frozen(address: str) -> None:
    """By a thief who took the number over and has set the password by it."""
    world = knowing_ages()
    user = await bob_frozen(world)
    async with world.browser() as browser:
        await thief_signed_in(world, browser, user)
        assert "Your account is on hold" in browser.page.text
        page = await browser.get(address)
        if address.endswith("phone"):
            page = await browser.post(phone=OTHER)
        elif address.endswith("codes"):
            page = await browser.post()
        assert "on hold" in page.text
    assert await states(world) == []
    assert await values(world, user) == []
    assert await is_frozen(world)


async def test_login_that_a_thief_began_before_the_freeze_is_not_granted_after_it() -> None:
    world = knowing_ages()
    user = await world.person("ada", mail="ada@acme.test")
    await world.give_totp(user)
    await world.directory.reset_password(user, Secret("correct horse"), False, 1.0)
    world.later(WEEK_S)
    await own_app(world, user)
    use_plan(
        world, ["password"], ["totp"], demands=[ActionEntrySettings(change="password", level="forced", deferrals=0, every="1d")]
    )
    async with world.browser() as thief:
        await thief.sign_in("ada")
        page = await thief.post(code=world.totp(secret=THIEVES), act="answer")
        assert 'name="new_password"' in page.text
        await freeze(world, user)
        await thief.post(new_password="the thief's choice", act="password")
        assert thief.path != "/account"
    assert await right(world, user, "correct horse")
    assert await is_frozen(world)


# --- who may lift it -------------------------------------------------------------------------------------------------------


async def test_code_to_a_phone_signs_in_and_lifts_nothing_of_who_has_an_app() -> None:
    """Whoever took over a number alone does not end what stops him."""
    world, _ = await a_world(phone=PHONE)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await dispute(browser)
        world.later(60)
        await browser.sign_in("ada")
        await browser.post(method="sms", act="other")
        await browser.post(code=await world.code("ada"), act="answer")
        assert browser.path == "/account"
    assert await is_frozen(world)


async def bob_frozen(world: PortalWorld) -> DirectoryUser:
    user = await world.person("bob", phone=PHONE, mail="bob@acme.test", password_changed_at=world.clock.now())
    world.later(WEEK_S)
    await freeze(world, user)
    world.later(60)
    return user


async def thief_signed_in(world: PortalWorld, browser: BrowserOfTests, user: DirectoryUser, **more: str) -> None:
    """Whoever took the number over, and has set the password by it."""
    await world.directory.reset_password(user, Secret(THIEFS), False, 1.0)
    await browser.sign_in("bob", THIEFS)
    await browser.post(code=await world.code("bob"), act="answer", **more)
    assert browser.path == "/account", browser.page.text


async def test_thief_signed_in_by_a_phone_changes_no_password_and_has_no_browser_trusted() -> None:
    """Both would be his when the freeze is over."""
    world = knowing_ages()
    use_plan(world, ["password"], ["totp", "sms"], lifetimes=LifetimesThenSettings(trusted_device="7d"))
    user = await bob_frozen(world)
    async with world.browser() as browser:
        await thief_signed_in(world, browser, user, trust_device="yes")
        await browser.get("/account/password")
        page = await browser.post(password=THIEFS, new_password=NEW)
        assert page.status_code == 409
        assert "on hold" in page.text
    assert not await world.rows("trusted_device")
    assert await right(world, user, THIEFS)


async def test_code_to_a_phone_lifts_it_where_nothing_stronger_was_ever_enrolled() -> None:
    world = PortalWorld()
    await bob_frozen(world)
    async with world.browser() as browser:
        await browser.sign_in("bob")
        page = await browser.post(code=await world.code("bob"), act="answer")
        assert "that lifts it" in page.text
        await browser.post(new_password=NEW, act="password")
        assert browser.path == "/account"
    assert not await is_frozen(world)


async def test_thief_of_a_phone_does_not_freeze_the_owners_app_away() -> None:
    """He says that something of before was not him: the app goes with the freeze, and a code to the phone must not end that."""
    world = PortalWorld()
    user = await world.person("bob", phone=PHONE, mail="bob@acme.test")
    async with world.browser() as owner, world.browser() as thief:
        await owner.sign_in("bob")
        await owner.post(code=await world.code("bob"), act="answer")
        world.later(DAY_S)
        await own_app(world, user, SECRET)
        world.later(DAY_S)
        await thief.sign_in("bob")
        await thief.post(method="sms", act="other")
        await thief.post(code=await world.code("bob"), act="answer")
        page = await thief.get("/account/activity")
        await dispute(thief, len(re.findall(r'href="(/account/activity/\d+)"', page.text)) - 1)
        assert await states(world) == ["frozen"]
        world.later(60)
        await thief.sign_in("bob")
        page = await thief.post(code=await world.code("bob"), act="answer")
        assert "that lifts it" not in page.text
        assert thief.path == "/account"
    assert await is_frozen(world)


async def test_open_browser_freezes_nothing_of_months_ago_without_a_proof() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await signed_in(world, browser)
        world.later(2 * WEEK_S)
        await signed_in(world, browser)
        world.later(301)
        page = await browser.get("/account/activity")
        await dispute(browser, len(re.findall(r'href="(/account/activity/\d+)"', page.text)) - 1)
        assert browser.path == "/confirm"
        assert not await is_frozen(world)
        await dispute(browser)
    assert await is_frozen(world)


async def test_code_to_a_phone_lifts_nothing_where_the_password_is_younger_than_the_event() -> None:
    """A thief who took the number over has set the password by it: both are his."""
    world = knowing_ages()
    user = await bob_frozen(world)
    await world.directory.reset_password(user, Secret("the thief's choice"), False, 1.0)
    async with world.browser() as browser:
        await browser.sign_in("bob", "the thief's choice")
        await browser.post(code=await world.code("bob"), act="answer")
        assert browser.path == "/account"
    assert await is_frozen(world)


async def test_password_alone_signs_in_where_policy_asks_for_no_more_and_lifts_nothing() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    await bob_frozen(world)
    async with world.browser() as browser:
        await browser.sign_in("bob")
        assert browser.path == "/account"
    assert await is_frozen(world)


async def test_nobody_is_kept_out_for_not_having_what_he_may_not_add_now() -> None:
    world = PortalWorld()
    use_plan(world, ["password"], demands=[ActionEntrySettings(enrol="totp", level="forced", deferrals=0)])
    await bob_frozen(world)
    async with world.browser() as browser:
        await browser.sign_in("bob")
        assert browser.path == "/account", browser.page.text
    assert is_granted(await world.begin("bob", application="portal"))


async def test_directory_that_takes_no_password_leaves_lifting_to_the_help_desk_and_lets_in() -> None:
    world = PortalWorld(directory=ReadOnlyDirectory("local"))
    user = await world.person("ada", mail="ada@acme.test")
    await world.give_totp(user)
    world.later(WEEK_S)
    await freeze(world, user)
    async with world.browser() as browser:
        await signed_in(world, browser)
    assert await is_frozen(world)


# --- what is undone --------------------------------------------------------------------------------------------------------


async def test_contact_that_was_added_goes_and_one_that_was_removed_comes_back_with_the_lift() -> None:
    world, user = await a_world()
    await give(world, user, PHONE)
    async with world.browser() as thief, world.browser() as owner:
        await signed_in(world, thief)
        await add(world, thief, HOME)
        await thief.get(await page_of(thief))
        await thief.post(act="remove")
        assert await values(world, user) == [HOME]
        await signed_in(world, owner)
        await dispute(owner)
        # What comes back must not be a way in while nobody has confirmed who he is.
        assert await values(world, user) == []
        world.later(60)
        await owner.sign_in("ada")
        await owner.post(code=world.totp(), act="answer")
        await owner.post(new_password=NEW, act="password")
    assert await values(world, user) == [PHONE]
    [row] = await world.rows("contact")
    assert row["created_at"] == to_ms(world.clock.now())
    assert any("on hold" in each.text for each in await sent_to(world, PHONE))


async def test_contact_that_was_reported_lost_stays_away() -> None:
    world, user = await a_world()
    await give(world, user, PHONE)
    async with world.browser() as owner:
        await signed_in(world, owner)
        await owner.get(await page_of(owner))
        await owner.post(act="remove", lost="yes")
        await dispute(owner)
        world.later(60)
        await owner.sign_in("ada")
        await owner.post(code=world.totp(), act="answer")
        await owner.post(new_password=NEW, act="password")
    assert await values(world, user) == []


async def test_link_that_brings_a_contact_back_does_nothing_while_the_account_is_frozen() -> None:
    world, user = await a_world()
    await give(world, user, PHONE)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get(await page_of(browser))
        await browser.post(act="remove")
        link = await link_for(world, PHONE)
        await dispute(browser)
        await browser.get(link)
        page = await browser.post()
        assert page.status_code == 409
        assert "Your account is on hold" in page.text
    assert await values(world, user) == []


async def test_app_older_than_the_event_stays_where_nothing_older_is_left() -> None:
    """She enrolled her first app yesterday, and says that something of today was not her: that must not keep her out."""
    world = PortalWorld()
    user = await world.person("ada", mail="ada@acme.test")
    world.later(WEEK_S)
    await own_app(world, user, SECRET)
    world.later(86_400)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await dispute(browser)
        assert await states(world) == ["active"]
        world.later(60)
        await browser.sign_in("ada")
        page = await browser.post(code=world.totp(), act="answer")
        assert "that lifts it" in page.text


async def test_everything_of_the_last_three_days_goes_where_something_older_is_left() -> None:
    world, user = await a_world()
    await own_app(world, user)
    world.later(WINDOW_MS // 1000 - 3600)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await dispute(browser)
    assert await states(world) == ["active", "frozen"]


async def test_what_an_operator_gave_stays() -> None:
    world, user = await a_world()
    await world.give_hotp(user, THIEVES)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await dispute(browser)
    assert await states(world) == ["active", "active"]


# --- races -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
async def test_enrolment_in_flight_does_not_outlive_a_freeze(backend: str, tmp_path: Path) -> None:
    """Two workers: one enrols what a thief brings while the other freezes the account. Whoever is first, nothing is left."""
    async with a_storage(backend, tmp_path) as storage:
        world, _ = await a_world(storage)
        async with world.browser() as thief, world.browser() as owner:
            await signed_in(world, thief)
            world.later(30)
            await signed_in(world, owner)
            secret = await key_on(await thief.get("/enrol/totp"))
            form = thief.filled(0, {"code": world.totp(secret=secret), "act": "app"})
            place = thief.path
            page = await owner.get("/account/activity")
            await owner.get(re.findall(r'href="(/account/activity/\d+)"', page.text)[0])
            await asyncio.gather(
                thief.client.post(place, data=form, headers=OURS),
                owner.client.post(owner.path, data=owner.filled(0, {}), headers=OURS),
            )
        assert await is_frozen(world)
        assert (await states(world)).count("active") == 1


# --- beside it -------------------------------------------------------------------------------------------------------------


async def test_recovery_code_that_opened_the_account_is_told_with_how_many_are_left() -> None:
    world, user = await a_world(phone=PHONE)
    codes = await world.give_recovery_codes(user)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(method="recovery_code", act="other")
        await browser.post(code=codes[0], act="answer")
        assert browser.path == "/account"
    for to in ("ada@acme.test", PHONE):
        [told] = [each.text for each in await sent_to(world, to) if "recovery code was used" in each.text]
        assert "9" in told
        assert "/l/" in told


async def test_first_proof_of_a_reset_can_be_stopped_by_its_link() -> None:
    world, user = await a_world(phone=PHONE)
    async with world.browser() as thief, world.browser() as owner:
        await thief.get("/forgot")
        await thief.post("/forgot", username="ada")
        await thief.post(method="totp", act="choose")
        await thief.post(code=world.totp(), act="answer")
        assert any("stop it here" in each.text for each in await sent_to(world, "ada@acme.test"))
        await owner.get(await link_for(world, "ada@acme.test"))
        await owner.post()
        page = await thief.post(method="sms", act="choose")
        assert page.status_code in (409, 410)
    assert await is_frozen(world)
    assert await right(world, user, "correct horse")


async def test_authenticator_that_is_reported_lost_goes_while_frozen_and_its_phone_gets_no_link() -> None:
    world, user = await a_world(phone=PHONE)
    await own_app(world, user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        page = await browser.get("/account/authenticators")
        row = next(row for row in await world.rows("authenticator") if '"by"' in str(row["settings"]))
        assert "I lost it" in page.text
        await browser.post(authenticator=str(row["id"]), lost="yes")
    assert await states(world) == ["active", "revoked"]
    [mail] = [each.text for each in await sent_to(world, "ada@acme.test") if "Removed" in each.text]
    [text] = [each.text for each in await sent_to(world, PHONE) if "Removed" in each.text]
    assert "/l/" in mail
    assert "/l/" not in text
    assert [event["lost"] for event in await world.payloads("account:authenticator:revoked")] == [True]


async def test_who_signed_in_by_less_lifts_the_freeze_from_the_page_of_his_password() -> None:
    """A code to his phone opens the pages and lifts nothing; his app, which is older, does, and he is told why he is out."""
    world, user = await a_world(phone=PHONE)
    await freeze(world, user)
    world.later(60)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.get(browser.path + "/other")
        await browser.post(browser.path.removesuffix("/other"), method="sms", act="other")
        await browser.post(code=next(each.code for each in await world.messages() if each.code), act="answer")
        assert browser.path == "/account"
        assert 'href="/account/password">Change password</a> · ' in browser.page.text
        await prove_again(world, browser, "/account/password")
        assert "lifts it" in browser.page.text
        assert await is_frozen(world)
        await browser.post(new_password=NEW, act="password")
        assert browser.path == "/sign-in"
        assert "Sign in with the new one" in browser.page.text
    assert not await is_frozen(world)
    assert await right(world, user, NEW)


async def prove_again(world: PortalWorld, browser: BrowserOfTests, address: str) -> None:
    """Prove by the password and the app what this page wants proved."""
    await browser.get(address)
    assert browser.path == "/confirm"
    await browser.post(str(browser.page.url), password="correct horse")
    world.later(30)
    await browser.post(code=world.totp(), act="answer")


async def test_what_a_freeze_holds_back_is_told_once_with_what_to_do_next() -> None:
    world = knowing_ages()
    use_plan(world, ["password"], ["totp", "sms"])
    user = await bob_frozen(world)
    async with world.browser() as browser:
        await thief_signed_in(world, browser, user)
        page = await browser.get("/enrol/totp")
    assert page.status_code == 409
    [box] = re.findall(r'<p class="told.*?</p>', page.text)
    assert 'id="told"' in box
    assert "This was not done." in box
    assert "choose another password" in box
    assert 'href="/account/password"' in box
    # Whoever reads it is signed in.
    assert "Sign in to lift it" not in page.text
