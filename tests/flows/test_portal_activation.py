"""The first visit of a new person (row A6) by a browser without script; and what whoever gets hold of half of it would try."""

import asyncio
import re
from dataclasses import dataclass

import httpx
import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_world import ORIGIN, OURS, REFERENCE, BrowserOfTests, PortalWorld
from tests.flows.test_portal_contacts import ADD_MAIL, ADD_PHONE, HOME, OTHER, add, code_for, page_of
from tests.flows.test_portal_enrolment import key_on
from tests.flows.test_portal_freeze import freeze
from tests.flows.world import floor, rule
from wardgate.account.activation import CODE_LIFE_MS, MAIL_LIFE_MS, SMS_LIFE_MS, State, cancel, issue, of_subject, read_one
from wardgate.account.activation import Link as LinkOf
from wardgate.account.contact import place_key
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import AccountState, DirectoryUser, PasswordVerdict
from wardgate.directory.realm import Realm, Realms
from wardgate.engine.self_service.contacts import FIRST_VISIT_MS
from wardgate.factors.totp import hotp, time_step
from wardgate.pages.door import SESSION_COOKIE
from wardgate.policy.settings import ActionEntrySettings
from wardgate.storage.port import Committed, Row

PHONE, MAIL = "+905321234567", "grace.private@example.org"
NEW = "a whole new sentence"


@dataclass
class New:
    """A new person and what was issued to her."""

    world: PortalWorld
    user: DirectoryUser
    token: str = ""
    code: str = ""

    @property
    def link(self) -> str:
        """The address in the message."""
        return f"/activate/{self.token}"

    async def row(self) -> Row:
        """What is stored of it."""
        [row] = await self.world.rows("activation")
        return row


class ReadOnly:
    """A directory that tells of people and takes no password."""

    def __init__(self, behind: MemoryDirectory) -> None:
        self.name = behind.name
        self.find, self.get, self.check_password = behind.find, behind.get, behind.check_password


async def grace(world: PortalWorld, link: str = "email", code: bool = True, name: str = "grace", **fields: object) -> New:
    """Somebody who has never been here."""
    user = await world.person(name, "nobody knows it", **({"mail": MAIL, "phone": PHONE, "display_name": "Grace H."} | fields))
    return await issued(world, user, link, code, name)


async def issued(world: PortalWorld, user: DirectoryUser, link: str = "email", code: bool = True, name: str = "grace") -> New:
    """A fresh activation of a person."""
    to, life_ms = (MAIL, MAIL_LIFE_MS) if link == "email" else (PHONE, SMS_LIFE_MS)
    by = LinkOf(link, place_key(world.ring, to), life_ms) if link else None
    made = issue(
        world.ring,
        await world.subject_of(user),
        name,
        "cli:frank",
        to_ms(world.clock.now()),
        by,
        CODE_LIFE_MS if code else 0,
        "frank@acme.test",
    )
    assert isinstance(await world.storage.commit([made.operation]), Committed)
    texts = [each.reveal().decode() if each is not None else "" for each in (made.token, made.code)]
    return New(world, user, *texts)


async def started(browser: BrowserOfTests, new: New) -> httpx.Response:
    """Open the link and press Start."""
    await browser.get(new.link)
    assert browser.path.startswith("/welcome/"), browser.page.text
    return await browser.post()


async def to_password(browser: BrowserOfTests, new: New) -> httpx.Response:
    """Up to the page that asks for the first password, by link and start code."""
    await started(browser, new)
    await browser.post(method="activation", act="choose")
    return await browser.post(code=new.code, act="answer")


async def right(new: New, password: str) -> bool:
    """Whether this is the password now."""
    return await new.world.directory.check_password(new.user, Secret(password), 1) is PasswordVerdict.RIGHT


async def app_code(world: PortalWorld, page: httpx.Response) -> str:
    """The code that an app shows which read this page."""
    return hotp(Secret(await key_on(page)), time_step(world.clock.now(), 30), 6, "SHA1")


async def enrolled(browser: BrowserOfTests, world: PortalWorld) -> httpx.Response:
    """Enrol an app and take the recovery codes."""
    page = await browser.post(act="enrol", method="totp")
    page = await browser.post(code=await app_code(world, page), act="app", nickname="phone")
    assert "recovery" in page.text.lower()
    return await browser.post(act="saved", saved="yes")


# --- the journey -------------------------------------------------------------------------------------------------------


async def test_link_start_code_password_app_and_codes_open_the_account() -> None:
    world = PortalWorld()
    use_plan(world, ["password"], ["totp", "sms"], demands=[ActionEntrySettings(enrol="totp", level="forced", deferrals=0)])
    new = await grace(world)
    async with world.browser() as browser:
        page = await to_password(browser, new)
        assert "Choose a new password" in page.text, page.text
        page = await browser.post(new_password="short", act="password")
        assert page.status_code == 422
        page = await browser.post(new_password=NEW, act="password")
        assert "second step" in page.text, page.text
        page = await enrolled(browser, world)
        assert browser.path == "/account", page.text
        assert browser.client.cookies.get(SESSION_COOKIE)
        assert NEW not in page.text
    assert await right(new, NEW)
    assert (await new.row())["state"] == State.USED
    [done] = await world.payloads("account:activation:used")
    assert (done["issuer"], done["user"]) == ("cli:frank", "grace")
    [granted] = await world.payloads("engine:login:granted")
    assert granted["factors"] == ["activation"]
    told = {(each.to, each.text.split("\n")[0]) for each in await world.messages() if "was set up" in each.text}
    assert (MAIL, "Your account at Wardgate was set up.") in told
    assert ("frank@acme.test", "The account grace, for which you issued an activation, was set up.") in told
    assert (await world.verified()).findings == ()


async def test_person_signs_in_with_what_was_set_up() -> None:
    world = PortalWorld()
    use_plan(world, ["password"], ["totp"])
    new = await grace(world)
    async with world.browser() as browser:
        await to_password(browser, new)
        await browser.post(new_password=NEW, act="password")
        page = await browser.post(act="enrol", method="totp")
        secret = Secret(await key_on(page))
        await browser.post(code=await app_code(world, page), act="app")
        await browser.post(act="saved", saved="yes")
        assert browser.path == "/account"
    world.later(60)
    async with world.browser() as another:
        await another.sign_in("grace", NEW)
        await another.post(code=hotp(secret, time_step(world.clock.now(), 30), 6, "SHA1"), act="answer")
        assert another.path == "/account"


async def test_code_to_another_channel_is_a_second_proof() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world, code=False)
    async with world.browser() as browser:
        page = await started(browser, new)
        assert 'value="sms"' in page.text
        assert 'value="email"' not in page.text, "the mailbox that the link went to proves nothing more"
        assert 'value="activation"' not in page.text
        await browser.post(method="sms", act="choose")
        page = await browser.post(code=await world.code("grace"), act="answer")
        assert "Choose a new password" in page.text
        await browser.post(new_password=NEW, act="password")
        assert browser.path == "/account", browser.page.text
    assert await right(new, NEW)


async def test_name_and_printed_code_need_a_code_to_a_contact_too() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world, link="")
    async with world.browser() as browser:
        await browser.get("/activate")
        page = await browser.post(username="grace", code=new.code.lower().replace("-", " "))
        assert 'value="sms"' in page.text
        assert 'value="email"' in page.text
        await browser.post(method="email", act="choose")
        page = await browser.post(code=await world.code("grace"), act="answer")
        assert "Choose a new password" in page.text
        await browser.post(new_password=NEW, act="password")
        assert browser.path == "/account"
    assert await right(new, NEW)


async def test_directory_that_takes_no_password_lets_the_rest_be_set_up() -> None:
    world = PortalWorld()
    use_plan(world, ["password"], ["totp"])
    new = await grace(world)
    world.realms = Realms([Realm(next(iter(world.realms)).settings, (ReadOnly(world.directory),))])
    async with world.browser() as browser:
        page = await to_password(browser, new)
        assert "second step" in page.text, page.text
        assert (await new.row())["state"] == State.USED
        await enrolled(browser, world)
        assert browser.path == "/account"
    assert await right(new, "nobody knows it")


# --- what must not work ------------------------------------------------------------------------------------------------


async def test_opening_the_link_ten_times_changes_nothing() -> None:
    world = PortalWorld()
    new = await grace(world)
    before = [await new.row(), await world.rows("audit_event"), await world.rows("self_service"), await world.messages()]
    for _ in range(10):
        async with world.browser() as scanner:
            await scanner.get(new.link)
            assert new.token not in str(scanner.page.url)
            await scanner.get(scanner.path)
    after = [await new.row(), await world.rows("audit_event"), await world.rows("self_service"), await world.messages()]
    assert after == before
    async with world.browser() as browser:
        assert "Prove" in (await started(browser, new)).text


async def test_link_alone_sets_no_password() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world, code=False, phone=None)
    async with world.browser() as browser:
        page = await started(browser, new)
        assert page.status_code == 410
        assert "no second way" in page.text
    assert await right(new, "nobody knows it")


async def test_printed_code_alone_sets_no_password() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world, link="", phone=None, mail=None)
    async with world.browser() as browser:
        await browser.get("/activate")
        page = await browser.post(username="grace", code=new.code)
        assert "no second way" in page.text
    assert (await new.row())["state"] == State.OPEN


async def test_name_is_not_shown_before_the_second_proof() -> None:
    world = PortalWorld()
    new = await grace(world)
    async with world.browser() as browser:
        pages = [await browser.get(new.link), await browser.post()]
        pages.append(await browser.post(method="activation", act="choose"))
        pages.append(await browser.post(code="0000-0000-00000", act="answer"))
        for page in pages:
            assert "grace" not in page.text.lower()
            assert "private" not in page.text
            assert PHONE not in page.text


async def test_another_browser_is_refused_midway() -> None:
    world = PortalWorld()
    new = await grace(world)
    async with world.browser() as browser, world.browser() as thief:
        await browser.get(new.link)
        assert (await thief.get(browser.path)).status_code == 410
        await browser.post()
        assert (await thief.get(browser.path)).status_code == 410
        await browser.post(method="activation", act="choose")
        page = await browser.post(code=new.code, act="answer")
        assert "Choose a new password" in page.text
        assert (await thief.get(browser.path)).status_code == 410
        await thief.get("/sign-in")
        forged = thief.filled(0, {"new_password": "of a thief of links", "act": "password", "turn": "2"})
        assert (await thief.client.post(browser.path, data=forged, headers=OURS)).status_code == 410
    assert await right(new, "nobody knows it")


async def test_three_wrong_second_proofs_kill_the_link_and_tell_the_issuer() -> None:
    world = PortalWorld()
    new = await grace(world)
    async with world.browser() as browser, world.browser() as another:
        await started(browser, new)
        await browser.post(method="activation", act="choose")
        assert (await browser.post(code="0000-0000-00000", act="answer")).status_code == 422
        # Another browser begins anew, and has not three more.
        await started(another, new)
        await another.post(method="activation", act="choose")
        assert (await another.post(code="0000-0000-00001", act="answer")).status_code == 422
        page = await browser.post(code="0000-0000-00002", act="answer")
        assert page.status_code == 410
        assert "Three answers" in page.text
        assert (await another.post(code=new.code, act="answer")).status_code == 410
        assert (await browser.get(new.link)).status_code == 410
        await browser.get("/activate")
        assert (await browser.post(username="grace", code=new.code)).status_code == 422
    [told] = [each.text for each in await world.messages() if each.to == "frank@acme.test"]
    assert "for the account grace was ended" in told
    [spoiled] = await world.payloads("account:activation:spoiled")
    assert (spoiled["issuer"], spoiled["user"]) == ("cli:frank", "grace")
    assert await right(new, "nobody knows it")


async def test_wrong_codes_beside_a_name_do_not_spoil_an_activation() -> None:
    world = PortalWorld()
    new = await grace(world, link="")
    async with world.browser() as stranger:
        for number in range(4):
            await stranger.get("/activate")
            assert (await stranger.post(username="grace", code=f"0000-0000-0000{number}")).status_code == 422
        await stranger.get("/activate")
        await stranger.post(username="grace", code="0000-0000-00009")
        await stranger.get("/activate")
        page = await stranger.post(username="grace", code="0000-0000-00009")
        assert page.status_code == 429
        assert page.headers["retry-after"]
    row = await new.row()
    assert (row["state"], row["tries"]) == (State.OPEN, 0)


async def test_nobody_and_a_wrong_code_get_the_same_page() -> None:
    seen = []
    for name in ("grace", "nobody", "heidi", "ivan"):
        world = PortalWorld()
        await grace(world, link="")
        await world.person("heidi")
        await world.person("ivan", state=AccountState.DISABLED)
        async with world.browser() as browser:
            await browser.get("/activate")
            page = await browser.post(username=name, code="0000-0000-00000")
            csrf = dict.fromkeys([browser.filled(0, {})["csrf"], name], "")
            text, told = re.subn(r'<bdi class="reference">[0-9A-Z]{8}</bdi>', "", page.text)
            assert told == 1
            for each in csrf:
                text = text.replace(each, "")
            headers = sorted(key for key in page.headers if key != "set-cookie")
            seen.append((page.status_code, text, headers, len(await world.rows("self_service")), len(await world.rows("brake"))))
    assert all(each == seen[0] for each in seen[1:])


async def test_unknown_used_cancelled_and_old_links_get_the_same_page() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    texts = set()
    new = await grace(world)
    async with world.browser() as browser:
        page = await browser.get("/activate/" + "a" * 43)
        texts.add((page.status_code, REFERENCE.sub("", page.text)))
        await to_password(browser, new)
        await browser.post(new_password=NEW, act="password")
        assert browser.path == "/account"
        browser.client.cookies.clear()
        page = await browser.get(new.link)
        texts.add((page.status_code, REFERENCE.sub("", page.text)))
        again = await issued(world, new.user)
        activation = read_one(*await world.storage.read([of_subject(await world.subject_of(new.user))]))
        assert activation is not None
        await world.storage.commit([cancel(activation, to_ms(world.clock.now()))])
        page = await browser.get(again.link)
        texts.add((page.status_code, REFERENCE.sub("", page.text)))
        old = await issued(world, new.user)
        world.later(MAIL_LIFE_MS / 1000)
        page = await browser.get(old.link)
        texts.add((page.status_code, REFERENCE.sub("", page.text)))
    assert len(texts) == 1
    assert next(iter(texts))[0] == 410


async def test_code_after_use_begins_nothing() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world)
    async with world.browser() as browser:
        await to_password(browser, new)
        await browser.post(new_password=NEW, act="password")
    async with world.browser() as browser:
        await browser.get("/activate")
        page = await browser.post(username="grace", code=new.code)
        assert page.status_code == 422
    assert await right(new, NEW)


async def test_of_two_browsers_with_both_proofs_one_sets_the_password() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world)
    async with world.browser() as one, world.browser() as two:
        for browser in (one, two):
            assert "Choose a new password" in (await to_password(browser, new)).text
        await asyncio.gather(
            one.post(new_password="the sentence of the first", act="password"),
            two.post(new_password="the sentence of the second", act="password"),
        )
        assert sorted([one.path == "/account", two.path == "/account"]) == [False, True]
        loser, winner = (one, "second") if two.path == "/account" else (two, "first")
        assert loser.client.cookies.get(SESSION_COOKIE) is None
        assert loser.page.status_code == 410
    assert await right(new, f"the sentence of the {winner}")
    assert len(await world.events("account:activation:used")) == 1


async def test_answer_that_is_sent_twice_goes_on_in_one_login() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world)
    async with world.browser() as browser:
        await started(browser, new)
        await browser.post(method="activation", act="choose")
        form = browser.filled(0, {"code": new.code, "act": "answer"})
        first, second = await asyncio.gather(*(browser.client.post(browser.path, data=form, headers=OURS) for _ in range(2)))
        assert {first.status_code, second.status_code} <= {200, 303}
        page = await browser.get(browser.path)
        assert "Choose a new password" in page.text
        await browser.post(new_password=NEW, act="password")
        assert browser.path == "/account"
    assert len(await world.rows("login_transaction")) == 1


async def test_link_over_a_session_asks_to_sign_out_and_switches_nobody() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    await world.person("ada")
    new = await grace(world)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        assert browser.path == "/account"
        bearer = browser.client.cookies.get(SESSION_COOKIE)
        page = await browser.get(new.link)
        assert "Sign out" in page.text
        assert "grace" not in page.text.lower()
        place = browser.path
        await browser.get("/activate")
        assert "Sign out" in browser.page.text
        assert browser.client.cookies.get(SESSION_COOKIE) == bearer
    assert place.startswith("/welcome/")
    assert await world.rows("self_service") == []


async def test_start_over_a_session_that_came_meanwhile_begins_nothing() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    await world.person("ada")
    new = await grace(world)
    async with world.browser() as browser:
        await browser.get(new.link)
        form, place = browser.filled(0, {}), browser.path
        await browser.sign_in("ada")
        reply = await browser.client.post(place, data=form, headers=OURS)
        assert reply.status_code in (409, 410, 422)
    assert await world.rows("self_service") == []


async def test_foreign_form_starts_nothing() -> None:
    world = PortalWorld()
    new = await grace(world)
    async with world.browser() as browser:
        await browser.get(new.link)
        reply = await browser.client.post(browser.path, data={"csrf": "0" * 32}, headers=OURS)
        assert reply.status_code == 422
        reply = await browser.client.post(browser.path, data=browser.filled(0, {}), headers={"sec-fetch-site": "cross-site"})
        assert reply.status_code == 422
    assert await world.rows("self_service") == []


async def test_new_activation_ends_flows_of_the_old_one() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    old = await grace(world)
    async with world.browser() as browser:
        await started(browser, old)
        await browser.post(method="activation", act="choose")
        new = await issued(world, old.user)
        assert (await browser.post(code=old.code, act="answer")).status_code == 410
        page = await to_password(browser, new)
        assert "Choose a new password" in page.text


async def test_password_page_of_a_replaced_activation_sets_nothing() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    old = await grace(world)
    async with world.browser() as browser:
        await to_password(browser, old)
        await issued(world, old.user)
        await browser.post(new_password=NEW, act="password")
        assert browser.client.cookies.get(SESSION_COOKIE) is None
    assert await right(old, "nobody knows it")


async def test_password_that_is_refused_costs_no_proof() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world)
    async with world.browser() as browser:
        await to_password(browser, new)
        for _ in range(2):
            assert (await browser.post(new_password="short", act="password")).status_code == 422
        await browser.post(new_password=NEW, act="password")
        assert browser.path == "/account"


async def test_successor_with_the_same_name_is_not_activated_by_the_old_link() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world)
    world.directory.remove(new.user)
    successor = await world.person("grace", "of the successor", mail=MAIL, phone=PHONE)
    async with world.browser() as browser:
        page = await started(browser, new)
        assert page.status_code == 410
        await browser.get("/activate")
        assert (await browser.post(username="grace", code=new.code)).status_code == 422
    assert await world.directory.check_password(successor, Secret("of the successor"), 1) is PasswordVerdict.RIGHT


async def test_administrator_with_an_app_is_not_activated_by_a_mailbox() -> None:
    world = PortalWorld()
    use_plan(world, ["password"], ["totp"], floors=[floor("administrators", strong=1, never=["sms", "email"])])
    new = await grace(world, code=False)
    await world.give_totp(new.user)
    async with world.browser() as browser:
        page = await started(browser, new)
        assert 'value="totp"' in page.text
        assert 'value="sms"' not in page.text
        await browser.post(method="totp", act="choose")
        page = await browser.post(code=world.totp(), act="answer")
        assert "Choose a new password" in page.text


async def test_link_of_a_frozen_account_sets_no_password() -> None:
    """Somebody said that it was not him: whoever holds his link is as far as anybody who asks for a reset."""
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world)
    await freeze(world, new.user)
    world.later(60)
    async with world.browser() as browser:
        page = await started(browser, new)
        assert page.status_code == 410
        assert "on hold" in page.text
    assert not await world.rows("login_transaction")
    assert (await new.row())["state"] == State.OPEN


@pytest.mark.parametrize("proved", [False, True], ids=["before the second proof", "before the password"])
async def test_activation_on_its_way_ends_with_the_freeze(proved: bool) -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world)
    async with world.browser() as browser:
        await started(browser, new)
        await browser.post(method="activation", act="choose")
        if proved:
            await browser.post(code=new.code, act="answer")
        await freeze(world, new.user)
        page = await browser.post(**({"new_password": NEW, "act": "password"} if proved else {"code": new.code, "act": "answer"}))
        assert page.status_code in (403, 409, 410), page.text
        assert not browser.client.cookies.get(SESSION_COOKIE)
    assert not await right(new, NEW)
    assert await right(new, "nobody knows it")


async def test_right_start_code_of_a_frozen_account_begins_nothing() -> None:
    world = PortalWorld()
    new = await grace(world, link="")
    await freeze(world, new.user)
    async with world.browser() as browser:
        await browser.get("/activate")
        page = await browser.post(username="grace", code=new.code)
        assert page.status_code == 422
        assert "on hold" in page.text
        assert "on hold" not in (await browser.post(username="grace", code="0000-0000-00000")).text
    assert await world.rows("self_service") == []


async def test_app_is_not_enrolled_by_an_activation_that_a_freeze_ended() -> None:
    world = PortalWorld()
    use_plan(world, ["password"], ["totp"])
    new = await grace(world)
    async with world.browser() as browser:
        await to_password(browser, new)
        await browser.post(new_password=NEW, act="password")
        page = await browser.post(act="enrol", method="totp")
        await freeze(world, new.user)
        page = await browser.post(code=await app_code(world, page), act="app")
        assert page.status_code == 410, page.text
        assert browser.client.cookies.get(SESSION_COOKIE) is None
    assert await world.rows("authenticator") == []
    assert await world.payloads("engine:login:granted") == []


async def test_freeze_while_the_first_password_is_written_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world)
    write = world.directory.reset_password

    async def reset(user: DirectoryUser, password: Secret, must_change: bool, timeout_s: float) -> None:
        await freeze(world, new.user)
        await write(user, password, must_change, timeout_s)

    async with world.browser() as browser:
        await to_password(browser, new)
        monkeypatch.setattr(world.directory, "reset_password", reset)
        await browser.post(new_password=NEW, act="password")
        assert browser.path != "/account"
        assert browser.client.cookies.get(SESSION_COOKIE) is None
    assert await world.payloads("engine:login:granted") == []


async def test_activation_goes_on_after_a_restart() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world)
    async with world.browser() as browser:
        await started(browser, new)
        cookies, place = browser.client.cookies, browser.path
    async with world.browser(cookies=cookies) as same:
        await same.get(place)
        await same.post(method="activation", act="choose")
        assert "Choose a new password" in (await same.post(code=new.code, act="answer")).text
        cookies, place = same.client.cookies, same.path
    async with world.browser(cookies=cookies) as same:
        await same.get(place)
        await same.post(new_password=NEW, act="password")
        assert same.path == "/account"


async def set_up(browser: BrowserOfTests, new: New) -> httpx.Response:
    """All of a first visit where only a password is asked for."""
    await to_password(browser, new)
    return await browser.post(new_password=NEW, act="password")


async def test_contacts_of_the_first_visit_reset_a_password_at_once() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world, mail=None, phone=None)
    async with world.browser() as browser:
        page = await set_up(browser, new)
        assert "works at once" in page.text, page.text
        assert 'href="/account/contacts"' in page.text
        for value in (PHONE, HOME):
            page = await add(world, browser, value)
            assert "for resets" in page.text
            assert "Until" not in page.text
    assert {row["source"] for row in await world.rows("contact")} == {"activation"}
    [told] = [each.text for each in await world.messages() if each.to == PHONE and HOME[1:3] not in each.text and not each.code][:1]
    assert "before" not in told
    async with world.browser() as another:
        await another.get("/forgot")
        await another.post(username="grace")
        for method, value in (("sms", PHONE), ("email", HOME)):
            await another.post(method=method, act="choose")
            page = await another.post(code=await code_for(world, value), act="answer")
        assert "Choose a new password" in page.text, page.text


async def test_app_of_the_first_visit_is_not_asked_for_again_before_its_first_contact() -> None:
    """It was proved by its first code a moment ago, in the login that is open; whatever else there is, is asked for."""
    world = PortalWorld()
    use_plan(world, ["password"], ["totp"], demands=[ActionEntrySettings(enrol="totp", level="forced", deferrals=0)])
    new = await grace(world, mail=None, phone=None)
    async with world.browser() as browser:
        await set_up(browser, new)
        page = await browser.post(act="enrol", method="totp")
        await browser.post(code=await app_code(world, page), act="app")
        world.later(30)
        await browser.post(act="saved", saved="yes")
        page = await add(world, browser, PHONE)
        assert "for resets" in page.text
        # Once five minutes are over, and after any later proof, it is.
        world.later(301)
        await browser.get(ADD_MAIL)
        assert browser.path == "/confirm"


async def test_contact_that_is_added_long_after_the_first_visit_is_held() -> None:
    """The session of an activation may be open for hours in a browser that others reach."""
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world, mail=None, phone=None)
    async with world.browser() as browser:
        await set_up(browser, new)
        await add(world, browser, PHONE)
        for _ in range(2):
            world.later(FIRST_VISIT_MS / 2000)
            await browser.get("/account")
        await browser.get(ADD_MAIL)
        assert browser.path == "/confirm"
        await browser.post(str(browser.page.url).removeprefix(ORIGIN), password=NEW)
        await browser.post(code=await code_for(world, PHONE), act="answer")
        page = await add(world, browser, HOME)
        assert "not for resets" in page.text, page.text
    assert sorted(str(row["source"]) for row in await world.rows("contact")) == ["activation", "person"]


async def test_contact_in_the_place_of_another_is_held_on_the_first_visit_too() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world, mail=None, phone=None)
    async with world.browser() as browser:
        await set_up(browser, new)
        await add(world, browser, PHONE)
        await browser.get(f"{await page_of(browser)}/replace")
        await browser.post(phone=OTHER)
        page = await browser.post(code=await code_for(world, OTHER), act="verify")
        assert "not for resets" in page.text, page.text


async def test_freeze_takes_the_contacts_of_a_first_visit_away() -> None:
    """Whoever had both the link and the code may not have been the person."""
    world = PortalWorld()
    use_plan(world, ["password"], ["totp", "sms"])
    new = await grace(world, mail=None, phone=None)
    await world.give_totp(new.user)
    world.later(5 * 86_400)
    new = await issued(world, new.user)
    async with world.browser() as browser:
        await set_up(browser, new)
        await browser.get(ADD_PHONE)
        # Of somebody who has an app that is asked for too.
        await browser.post(str(browser.page.url).removeprefix(ORIGIN), password=NEW)
        await browser.post(code=world.totp(), act="answer")
        page = await add(world, browser, PHONE)
        assert "for resets" in page.text
    assert len(await world.rows("contact")) == 1
    await freeze(world, new.user)
    assert await world.rows("contact") == []


async def test_contact_that_policy_wants_confirmed_is_confirmed_by_a_code() -> None:
    world = PortalWorld()
    use_plan(world, ["password"], demands=[ActionEntrySettings(confirm="contact", level="forced", deferrals=0)])
    new = await grace(world)
    async with world.browser() as browser:
        await to_password(browser, new)
        page = await browser.post(new_password=NEW, act="password")
        assert "Enter the code" in page.text, page.text
        await browser.post(code=await world.code("grace"), act="answer")
        assert browser.path == "/account"


async def test_person_whom_policy_keeps_out_is_not_activated() -> None:
    world = PortalWorld()
    world.use_policy([rule("others", ["password"], when={"user": "ada"})])
    new = await grace(world)
    async with world.browser() as browser:
        page = await to_password(browser, new)
        assert page.status_code == 410
        assert "not open to your account" in page.text
    assert await right(new, "nobody knows it")
    assert (await new.row())["state"] == State.OPEN


async def test_disabled_account_is_not_activated() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world, state=AccountState.DISABLED)
    async with world.browser() as browser:
        assert (await started(browser, new)).status_code == 410


async def test_token_and_code_stand_in_no_table_page_or_log() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    new = await grace(world)
    async with world.browser() as browser:
        await to_password(browser, new)
        await browser.post(new_password=NEW, act="password")
        assert NEW not in browser.page.text
    for table in ("activation", "page_step", "self_service", "login_transaction", "handle", "audit_event", "timeline", "outbox"):
        text = repr(await world.rows(table))
        for secret in (new.token, new.code, new.code.replace("-", ""), NEW):
            assert secret not in text, table


@pytest.mark.parametrize("language", ["en", "tr"])
async def test_pages_speak_the_language_of_the_browser(language: str) -> None:
    world = PortalWorld()
    new = await grace(world)
    async with world.browser(headers={"accept-language": language}) as browser:
        page = await browser.get(new.link)
        assert f'<html lang="{language}"' in page.text
        assert ("Hoş geldiniz" if language == "tr" else "Welcome") in page.text
