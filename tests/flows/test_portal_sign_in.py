"""Signing in on the portal by a browser without script: the journeys, and what an attacker would try."""

import asyncio
import re

import httpx
import pytest

from tests.flows.portal_world import ORIGIN, OURS, PortalWorld
from wardgate.account.subject import create_subject
from wardgate.clock import to_ms
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import AccountState
from wardgate.directory.realm import Realm, Realms
from wardgate.directory.settings import RealmSettings
from wardgate.engine.settings import ApplicationSettings
from wardgate.janitor import Janitor
from wardgate.pages.browser import BROWSER_COOKIE
from wardgate.pages.door import SESSION_COOKIE
from wardgate.session.sessions import DEFAULT_IDLE_S, DEFAULT_LIFE_S
from wardgate.storage.port import Update


async def test_password_and_app_code_open_the_account_page() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada", display_name="Ada Lovelace"))
    async with world.browser() as browser:
        page = await browser.get("/account")
        assert browser.path == "/sign-in"
        page = await browser.post("/sign-in", username="ada", password="correct horse")
        assert page.status_code == 200
        assert browser.path.startswith("/step/")
        page = await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"
        assert "Ada Lovelace" in page.text
        sessions = await world.storage.find("sso_session")
        assert len(sessions) == 1
        assert browser.client.cookies[SESSION_COOKIE].encode() not in repr(sessions).encode()


async def test_account_page_is_of_the_account_that_signed_in_not_of_another_that_the_same_person_has() -> None:
    world = PortalWorld()
    people = [await world.person(name, display_name=f"Title of {name}") for name in ("zoe", "ada")]
    await world.give_totp(people[0])
    key = {"directory": people[1].directory, "immutable_id": people[1].immutable_id}
    await world.storage.commit([Update("subject_link", key, {"subject_id": await world.subject_of(people[0])})])
    async with world.browser() as browser:
        for user in people:
            browser.client.cookies.clear()
            world.later(31)
            await browser.sign_in(user.name)
            page = await browser.post(code=world.totp(), act="answer")
            assert (browser.path, user.display_name in page.text) == ("/account", True)


async def test_wrong_password_unknown_name_disabled_and_locked_user_get_equal_pages() -> None:
    world = PortalWorld()
    await world.person("ada")
    await world.person("bob", state=AccountState.DISABLED)
    await world.person("dave", state=AccountState.LOCKED)
    seen = set()
    tried = [("ada", "wrong"), ("nobody", "wrong"), ("bob", "correct horse"), ("bob", "wrong"), ("dave", "correct horse")]
    for name, password in tried:
        async with world.browser() as browser:
            page = await browser.sign_in(name, password)
            assert page.status_code == 422
            body = re.sub(r'name="csrf" value="\w+"|value="' + name + '"|Reference \\w{8}', "", page.text)
            headers = {key: value for key, value in page.headers.items() if key not in ("set-cookie", "content-length")}
            seen.add((body, repr(sorted(headers.items()))))
    assert len(seen) == 1


@pytest.mark.parametrize("name", ["ada", "nobody", "bob", "carol"])
async def test_refusal_does_not_leave_before_the_realms_floor(name: str) -> None:
    """A wrong password, an unknown name, a disabled and a locked account: what is left of the same time is waited for."""
    world = PortalWorld(floor_ms=400)
    await world.person("ada")
    await world.person("bob", state=AccountState.DISABLED)
    await world.person("carol", state=AccountState.LOCKED)
    slept: list[float] = []

    async def note(seconds: float) -> None:
        slept.append(seconds)

    async with world.browser() as browser:
        await browser.get("/sign-in")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("wardgate.pages.door.asyncio.sleep", note)
            page = await browser.post("/sign-in", username=name, password="wrong" if name == "ada" else "correct horse")
    assert page.status_code == 422
    assert slept == [pytest.approx(0.4, abs=0.1)]


async def test_wrong_codes_close_the_login_and_start_again_is_offered() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        for left in (2, 1):
            page = await browser.post(code=world.wrong_code(), act="answer")
            assert page.status_code == 422
            assert f"{left} tr" in page.text
        page = await browser.post(code=world.wrong_code(), act="answer")
        assert page.status_code == 410
        assert 'href="/sign-in?then=/account"' in page.text
    assert not await world.storage.find("sso_session")


async def test_another_way_and_another_code() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada", phone="+905321234567"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        step = browser.path
        page = await browser.get(f"{step}/other")
        assert 'value="sms"' in page.text
        page = await browser.post(step, method="sms", act="other")
        assert "text message" in page.text
        page = await browser.post(step, act="resend", form=0)
        assert "You can ask for another code" in page.text
        world.later(31)
        page = await browser.post(step, act="resend")
        assert "Another code was sent" in page.text
        messages = await world.messages()
        page = await browser.post(step, code=messages[-1].code or "", act="answer")
        assert browser.path == "/account"


async def test_right_code_that_has_run_out_is_told_and_another_one_is_sent() -> None:
    """Whoever looks for his phone longer than a code lives does not begin anew."""
    world = PortalWorld()
    await world.person("bob", phone="+905321234567")
    async with world.browser() as browser:
        await browser.sign_in("bob")
        [sent] = await world.messages()
        world.later(200)
        page = await browser.post(code=sent.code, act="answer")
        assert page.status_code == 422
        assert "That code has run out. A new one is on its way." in page.text
        newer, _ = await world.messages()
        await browser.post(code=newer.code, act="answer")
        assert browser.path == "/account"
    [granted] = await world.payloads("engine:login:granted")
    assert granted["factors"] == ["password", "sms"]


async def test_sign_in_is_over_after_ten_minutes_whatever_was_sent() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        world.later(599)
        assert (await browser.get(browser.path)).status_code == 200
        world.later(2)
        page = await browser.post(code=world.totp(), act="answer")
        assert page.status_code == 410
        assert "took too long" in page.text


async def test_way_that_was_not_offered_is_refused() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        for kind in ("recovery_code", "password", "../../x", ""):
            assert (await browser.post(method=kind, act="other")).status_code == 422


async def test_double_submit_of_the_password_sends_one_message() -> None:
    world = PortalWorld()
    await world.person("bob", phone="+905321234567")
    async with world.browser() as browser:
        await browser.get("/sign-in")
        form = browser.filled(0, {"username": "bob", "password": "correct horse"})
        one, two = [await browser.client.post("/sign-in", data=form, headers=OURS) for _ in range(2)]
        assert one.status_code == two.status_code == 303
    assert len(await world.messages()) == 1


async def test_double_submit_of_the_code_is_one_session_and_both_copies_are_signed_in() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        form, cookies = browser.filled(0, {"code": world.totp(), "act": "answer"}), dict(browser.client.cookies)

        async def send() -> httpx.Response:
            async with world.browser(cookies=cookies) as copy:
                return await copy.client.post(browser.path, data=form, headers=OURS)

        replies = await asyncio.gather(*(send() for _ in range(8)))
    assert {reply.status_code for reply in replies} == {303}
    assert {reply.headers["location"] for reply in replies} <= {"/account", browser.path}
    assert any(reply.cookies.get(SESSION_COOKIE) for reply in replies)
    assert len(await world.storage.find("sso_session")) == 1


async def test_code_used_in_one_tab_is_told_as_done_in_the_other() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        step = browser.path
        old = browser.filled(0, {"code": "000000", "act": "answer"})
        await browser.post(code=world.totp(), act="answer")
        reply = await browser.client.post(step, data=old, headers=OURS)
        assert reply.status_code == 409
        page = await browser.get(step)
        assert page.status_code == 409
        assert "Carry on" in page.text


async def test_step_of_another_browser_is_not_there() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser, world.browser() as thief:
        await browser.sign_in("ada")
        await thief.get("/sign-in")
        stolen = await thief.get(browser.path)
        assert stolen.status_code == 410
        form = browser.filled(0, {"code": world.totp(), "act": "answer"})
        assert (await thief.client.post(browser.path, data=form, headers=OURS)).status_code == 410
    assert not await world.storage.find("sso_session")


async def test_form_of_another_site_is_refused() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.get("/sign-in")
        form = browser.filled(0, {"username": "ada", "password": "correct horse"})
        for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.test"}, {}):
            assert (await browser.client.post("/sign-in", data=form, headers=headers)).status_code == 422
        for csrf in ("", "0" * 32, "ü"):
            assert (await browser.client.post("/sign-in", data={**form, "csrf": csrf}, headers=OURS)).status_code == 422
        assert (await browser.client.post("/sign-in", data=form, headers={"origin": ORIGIN})).status_code == 303


async def test_form_of_one_login_does_not_fit_another() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        first = browser.filled(0, {"code": world.totp(), "act": "answer"})
        await browser.sign_in("ada")
        assert (await browser.client.post(browser.path, data=first, headers=OURS)).status_code == 422


async def test_browser_and_session_ids_from_outside_are_never_taken_over() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    planted = {BROWSER_COOKIE: "A" * 22, SESSION_COOKIE: "B" * 43}
    async with world.browser(cookies=planted) as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"
        jar = {cookie.name: cookie.value for cookie in browser.client.cookies.jar if cookie.domain}
    assert jar[SESSION_COOKIE] != planted[SESSION_COOKIE]
    assert jar[BROWSER_COOKIE] != planted[BROWSER_COOKIE]
    assert await world.sessions.find(planted[SESSION_COOKIE]) is None


@pytest.mark.parametrize(
    "then",
    [
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "/account/../admin",
        "/account\r\nx: y",
        "javascript:1",
        "/admin/log",
        "/account?x=//",
    ],
)
async def test_open_redirect_after_sign_in_is_refused(then: str) -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.client.get("/sign-in", params={"then": then})
        await browser.get("/sign-in")
        form = browser.filled(0, {"username": "ada", "password": "correct horse", "then": then})
        reply = await browser.client.post("/sign-in", data=form, headers=OURS)
        await browser.get(reply.headers["location"])
        reply = await browser.client.post(
            browser.path, data=browser.filled(0, {"code": world.totp(), "act": "answer"}), headers=OURS
        )
        assert reply.headers["location"] == "/account"


async def test_session_ends_after_its_idle_time_and_at_its_absolute_end() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        for _ in range(DEFAULT_LIFE_S // (DEFAULT_IDLE_S - 60)):
            world.later(DEFAULT_IDLE_S - 60)
            assert (await browser.get("/account")).status_code == 200
            assert browser.path == "/account"
        world.later(DEFAULT_IDLE_S - 60)
        await Janitor(world.storage, world.clock).sweep()
        await browser.get("/account")
        assert browser.path == "/sign-in"
        assert "had lasted as long as one may" in browser.page.text
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        world.later(DEFAULT_IDLE_S + 60)
        await browser.get("/account")
        assert browser.path == "/sign-in"
        assert "without activity" in browser.page.text


async def test_person_reads_how_each_session_ended() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser, world.browser() as other:
        for each in (browser, other):
            await each.sign_in("ada")
            await each.post(code=world.totp(), act="answer")
            world.later(30)
        await browser.get("/account/sessions")
        await browser.client.post("/account/sessions", data=browser.filled(0, {"session": ""}), headers=OURS)
        await other.get("/account")
        assert "your activity says which" in other.page.text
        await browser.get("/sign-out")
        await browser.post("/sign-out")
        world.later(30)
        await other.sign_in("ada")
        await other.post(code=world.totp(), act="answer")
        page = await other.get("/account/activity?show=sign_ins")
    told = re.findall(r"<h2>([^<]+)</h2>", page.text)
    assert told == ["Signed in", "You signed out", "Sessions were ended from the list of them", "Signed in", "Signed in"]


async def test_disabled_account_is_out_within_a_second() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    await world.give_totp(user)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        assert (await browser.get("/account")).status_code == 200
        world.directory.change_state(user, AccountState.DISABLED)
        world.later(1.1)
        await browser.get("/account")
        assert browser.path == "/sign-in"
    assert not await world.storage.find("sso_session")


async def test_other_sessions_are_ended_and_nobody_elses() -> None:
    world = PortalWorld()
    for name in ("ada", "bob"):
        people = await world.person(name)
        await world.give_totp(people)
    async with world.browser() as here, world.browser() as there, world.browser() as bobs:
        for browser, name in ((here, "ada"), (bobs, "bob")):
            await browser.sign_in(name)
            await browser.post(code=world.totp(), act="answer")
        world.later(60)
        await there.sign_in("ada")
        await there.post(code=world.totp(), act="answer")
        bob_session = (await world.sessions.of_subject(await world.subject_of(people)))[0]
        await here.get("/account/sessions")
        form = here.filled(0, {"session": bob_session.id})
        await here.client.post("/account/sessions", data=form, headers=OURS)
        assert (await bobs.get("/account")).status_code == 200
        assert bobs.path == "/account"
        await here.get("/account/sessions")
        await here.client.post("/account/sessions", data={"csrf": form["csrf"]}, headers=OURS)
        await there.get("/account")
        assert there.path == "/sign-in"
        await here.get("/account")
        assert here.path == "/account"


async def test_sign_out_by_a_link_or_from_another_site_does_nothing() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        await browser.get("/sign-out")
        form = browser.filled(0, {})
        await browser.client.post("/sign-out", data=form, headers={"sec-fetch-site": "cross-site"})
        assert len(await world.storage.find("sso_session")) == 1
        await browser.get("/sign-out")
        await browser.post("/sign-out")
        assert browser.path == "/signed-out"
    assert not await world.storage.find("sso_session")


async def test_host_header_of_another_name_is_refused() -> None:
    world = PortalWorld(hosts=frozenset({"login.acme.test"}))
    async with world.browser() as browser:
        for address in ("/sign-in", "/account", "/sign-out", "/signed-out", "/step/" + "A" * 22, "/"):
            assert (await browser.client.get(address, headers={"host": "evil.test"})).status_code == 421


@pytest.mark.parametrize("body", [b"username=a&username=b", b"a=%00", b"&".join(b"f%d=1" % n for n in range(41)), b"\xff"])
async def test_form_that_no_page_of_ours_sends_is_refused(body: bytes) -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        headers = {**OURS, "content-type": "application/x-www-form-urlencoded"}
        assert (await browser.client.post("/sign-in", content=body, headers=headers)).status_code == 400
        assert (
            await browser.client.post("/sign-in", content=b"{}", headers={**OURS, "content-type": "application/json"})
        ).status_code == 400


async def test_password_never_stands_in_a_page_and_name_is_escaped() -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        page = await browser.sign_in('"><script>alert(1)</script>', "S3cret-zzz")
        assert "S3cret-zzz" not in page.text
        assert "<script>alert" not in page.text


async def test_everything_of_the_portal_is_no_store() -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        for address in ("/sign-in", "/account", "/signed-out"):
            page = await browser.client.get(address)
            assert page.headers["cache-control"] == "no-store"
            assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


async def test_confirmation_never_asks_for_the_namesake_of_another_realm() -> None:
    """His password would go to the other's directory, and its failures would lock the other out."""
    world, theirs = PortalWorld(), MemoryDirectory("theirs")
    partners = RealmSettings(name="partners", directories=("theirs",), reply_floor_ms=0)
    world.realms = Realms([*world.realms, Realm(partners, (theirs,))])
    await world.give_totp(await world.person("ada", password="another password"))
    other = theirs.add("ada", "correct horse")
    _, operations = create_subject("theirs", other.immutable_id, to_ms(world.clock.now()))
    await world.storage.commit(operations)
    await world.give_totp(other)
    async with world.browser() as browser:
        await browser.sign_in("ada@partners")
        await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"
        world.later(301)
        checks = world.directory.checks
        await browser.get("/enrol/totp")
        assert browser.path == "/confirm"
        await browser.post("/confirm?then=/enrol/totp", password="correct horse")
        await browser.post(code=world.totp(), act="answer")
        assert browser.path.startswith("/enrol/totp/")
    assert world.directory.checks == checks


async def test_login_that_is_handed_over_confirms_no_change() -> None:
    """Whoever knows the password and sits behind the same address as its owner is let in by his login, and changes nothing."""
    world = PortalWorld(application=ApplicationSettings(name="portal", kind="portal", hand_over_s=300))
    await world.give_totp(await world.person("ada"))
    async with world.browser() as owner, world.browser() as thief:
        await owner.sign_in("ada")
        await owner.post(code=world.totp(), act="answer")
        await thief.sign_in("ada")
        assert thief.path == "/account"
        world.later(60)
        owner.client.cookies.clear()
        await owner.sign_in("ada")
        await owner.post(code=world.totp(), act="answer")
        await thief.get("/enrol/totp")
        assert thief.path == "/confirm"
        await thief.post("/confirm?then=/enrol/totp", password="correct horse")
        assert thief.path.startswith("/step/")
