"""What has to be done before a sign-in goes on, or is done by who is signed in: passwords and first factors; and the attacks."""

import asyncio
import re

import httpx
import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_world import OURS, BrowserOfTests, PortalWorld
from tests.flows.test_portal_enrolment import key_on, kinds, signed_in
from tests.flows.world import floor
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import AccountState, DirectoryUser, Lockout, PasswordPolicy, PasswordVerdict
from wardgate.errors import DirectoryUnavailable
from wardgate.janitor import Janitor
from wardgate.pages.door import SESSION_COOKIE
from wardgate.policy.settings import ActionEntrySettings, LifetimesThenSettings
from wardgate.session.sessions import ADMINISTRATOR_IDLE_S, ADMINISTRATOR_LIFE_S

PHONE = "+905321234567"
NEW = "a whole new sentence"
MUST = ActionEntrySettings(enrol="totp", level="forced", deferrals=0)
LATER = ActionEntrySettings(enrol="totp", level="forced", deferrals=3)
EIGHT_HOURS = 8 * 3600


async def erin(world: PortalWorld, **fields: object) -> DirectoryUser:
    """Somebody with an app whose password has run out."""
    user = await world.person("erin", mail="erin@acme.test", **({"verdict": PasswordVerdict.EXPIRED} | fields))
    await world.give_totp(user)
    return user


async def to_new_password(world: PortalWorld, browser: BrowserOfTests, name: str = "erin") -> httpx.Response:
    """Up to the page that asks for a new password."""
    await browser.sign_in(name)
    page = await browser.post(code=world.totp(), act="answer")
    assert 'name="new_password"' in page.text, page.text
    return page


async def carol(world: PortalWorld) -> DirectoryUser:
    """Somebody with nothing but the phone that her directory knows, where policy asks for a password alone."""
    use_plan(world, ["password"], demands=[MUST])
    return await world.person("carol", phone=PHONE)


async def to_offer(world: PortalWorld, browser: BrowserOfTests) -> httpx.Response:
    """Up to the page that offers what can be enrolled."""
    await browser.sign_in("carol")
    return await browser.post(code=await world.code("carol"), act="answer")


async def right(world: PortalWorld, user: DirectoryUser, password: str) -> bool:
    """Whether this is the password now."""
    return await world.directory.check_password(user, Secret(password), 1) is PasswordVerdict.RIGHT


# --- a password that has run out -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, {"verdict": PasswordVerdict.RIGHT, "must_change": True}])
async def test_expired_word_comes_after_the_factor_and_a_new_password_signs_in(fields: dict[str, object]) -> None:
    world = PortalWorld()
    world.directory = MemoryDirectory("local", policy=PasswordPolicy(min_length=10, history=3))
    world.__post_init__()
    user = await erin(world, **fields)
    async with world.browser() as browser, world.browser() as other:
        page = await browser.sign_in("erin")
        assert "run out" not in page.text
        assert "Choose your own" not in page.text
        await other.get("/sign-in")
        page = await browser.post(code=world.totp(), act="answer")
        assert ("Choose your own" if fields else "run out") in page.text
        assert "at least 10" in page.text.lower()
        for refused in ("2-little", "correct horse"):
            page = await browser.post(new_password=refused, act="password")
            assert page.status_code == 422
            assert 'id="told"' in page.text
            assert refused not in page.text
        page = await browser.post(new_password=NEW, act="password")
        assert browser.path == "/account", page.text
        assert NEW not in page.text
    assert await right(world, user, NEW)
    [payload] = await world.payloads("directory:password:set")
    assert payload["how"] == "required"
    assert any("was changed" in each.text for each in await world.messages())
    assert (await world.verified()).findings == ()


async def test_wrong_code_never_hears_that_the_password_has_run_out() -> None:
    world = PortalWorld()
    await erin(world)
    async with world.browser() as browser:
        await browser.sign_in("erin")
        for _ in range(3):
            page = await browser.post(code=world.wrong_code(), act="answer")
            assert "run out" not in page.text
            assert "new_password" not in page.text
    assert not await world.storage.find("sso_session")


async def test_password_alone_never_hears_that_it_has_run_out() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    await world.person("erin", verdict=PasswordVerdict.EXPIRED)
    async with world.browser() as browser:
        assert (await browser.sign_in("erin")).status_code == 422
        assert "run out" not in browser.page.text


async def test_new_password_ends_every_other_session_at_once() -> None:
    world = PortalWorld()
    user = await world.person("erin")
    await world.give_totp(user)
    async with world.browser() as thief, world.browser() as browser:
        await signed_in(world, thief, "erin")
        world.directory.change_verdict(user, PasswordVerdict.EXPIRED)
        world.later(60)
        await to_new_password(world, browser)
        await browser.post(new_password=NEW, act="password")
        await thief.get("/account")
        assert thief.path == "/sign-in"
        await browser.get("/account")
        assert browser.path == "/account"


async def test_account_that_is_closed_meanwhile_changes_nothing() -> None:
    world = PortalWorld()
    user = await erin(world)
    async with world.browser() as browser:
        await to_new_password(world, browser)
        world.directory.change_state(user, AccountState.DISABLED)
        assert (await browser.post(new_password=NEW, act="password")).status_code == 410
        world.directory.change_state(user, AccountState.ACTIVE)
    assert not await right(world, user, NEW)
    assert not await world.storage.find("sso_session")


async def test_new_password_after_ten_minutes_changes_nothing() -> None:
    world = PortalWorld()
    user = await erin(world)
    async with world.browser() as browser:
        await to_new_password(world, browser)
        form, address = browser.filled(0, {"new_password": NEW, "act": "password"}), browser.path
        world.later(601)
        reply = await browser.client.post(address, data=form, headers=OURS)
        assert reply.status_code == 410
    assert not await right(world, user, NEW)


async def test_form_of_the_new_password_from_another_browser_or_site_changes_nothing() -> None:
    world = PortalWorld()
    user = await erin(world)
    async with world.browser() as browser, world.browser() as eve:
        await to_new_password(world, browser)
        form = browser.filled(0, {"new_password": NEW, "act": "password"})
        assert (await eve.client.post(browser.path, data=form, headers=OURS)).status_code == 410
        reply = await browser.client.post(browser.path, data=form, headers={"sec-fetch-site": "cross-site"})
        assert reply.status_code == 422
        reply = await browser.client.post(browser.path, data={**form, "csrf": "0" * 32}, headers=OURS)
        assert reply.status_code == 422
    assert not await right(world, user, NEW)


async def test_two_forms_at_once_write_one_password() -> None:
    world = PortalWorld()
    user = await erin(world)
    async with world.browser() as browser:
        await to_new_password(world, browser)
        address, form = browser.path, browser.filled(0, {"act": "password"})
        sent = [browser.client.post(address, data={**form, "new_password": f"{NEW} {number}"}, headers=OURS) for number in range(2)]
        await asyncio.gather(*sent)
    assert sum([await right(world, user, f"{NEW} {number}") for number in range(2)]) == 1
    assert len(await world.payloads("directory:password:set")) == 1
    assert len(await world.storage.find("sso_session")) == 1


async def test_old_password_stands_nowhere_in_clear_and_goes_with_the_login() -> None:
    world = PortalWorld()
    await erin(world)
    async with world.browser() as browser:
        await to_new_password(world, browser)
        rows = [repr(row) for table in ("login_transaction", "page_step", "handle") for row in await world.rows(table)]
        assert '"held":"' in "".join(rows).replace(": ", ":")
        assert all("correct horse" not in row for row in rows)
        await browser.post(new_password=NEW, act="password")
    assert all('"held":""' in str(row["body"]).replace(": ", ":") for row in await world.rows("login_transaction"))


async def test_old_password_of_a_login_that_nobody_went_on_with_is_gone_a_minute_after_its_end() -> None:
    world = PortalWorld()
    await erin(world)
    janitor = Janitor(world.storage, world.clock)
    async with world.browser() as browser:
        await to_new_password(world, browser)
        await janitor.sweep()
        assert await held_passwords(world) == 1
        world.later(601)
        await janitor.sweep()
        assert await held_passwords(world) == 0
        page = await browser.post(new_password=NEW, act="password")
        assert page.status_code == 410


async def held_passwords(world: PortalWorld) -> int:
    bodies = [str(row["body"]).replace(": ", ":") for row in await world.rows("login_transaction")]
    return sum('"held":""' not in body for body in bodies)


async def test_password_that_somebody_changed_meanwhile_is_not_overwritten() -> None:
    world = PortalWorld()
    user = await erin(world)
    async with world.browser() as browser:
        await to_new_password(world, browser)
        await world.directory.reset_password(user, Secret("set by the help desk"), False, 1)
        page = await browser.post(new_password=NEW, act="password")
        assert page.status_code == 410
    assert await right(world, user, "set by the help desk")


async def test_directory_that_falls_silent_tells_that_nobody_knows() -> None:
    world = PortalWorld()
    user = await erin(world)
    async with world.browser() as browser:
        await to_new_password(world, browser)

        async def silent(*_: object) -> PasswordVerdict:
            world.directory.behaviour = Behaviour.UNAVAILABLE
            await world.directory.get(user.immutable_id, 1)
            raise AssertionError

        world.directory.change_password = silent  # type: ignore[method-assign]
        page = await browser.post(new_password=NEW, act="password")
        assert "We cannot tell yet" in page.text
    assert not await world.storage.find("sso_session")


# --- a first factor --------------------------------------------------------------------------------------------------


async def test_app_and_recovery_codes_are_set_up_within_the_sign_in() -> None:
    world = PortalWorld()
    user = await carol(world)
    async with world.browser() as browser:
        page = await to_offer(world, browser)
        assert "Add a second step" in page.text
        assert "Not now" not in page.text
        page = await browser.post(method="totp", act="enrol")
        secret = await key_on(page)
        assert await kinds(world, user) == []
        page = await browser.post(code=world.wrong_code(secret), act="app")
        assert page.status_code == 422
        page = await browser.post(code=world.totp(secret=secret), act="app", nickname="Phone")
        codes = re.findall(r'<code dir="ltr">([0-9A-Z-]{15})</code>', page.text)
        assert len(codes) == 10
        assert sorted(await kinds(world, user)) == ["recovery_code", "totp"]
        file = await browser.client.get(f"{browser.path}/recovery-codes.txt")
        assert file.text.split() == codes
        assert "attachment" in file.headers["content-disposition"]
        assert not await world.storage.find("sso_session")
        assert (await browser.post(act="saved")).status_code == 422
        step = browser.path
        await browser.post(act="saved", saved="yes")
        assert browser.path == "/account"
        assert codes[0] not in (await browser.get(step)).text
        assert (await browser.client.get(f"{step}/recovery-codes.txt")).status_code == 410
    told = [each.text for each in await world.messages()]
    assert [sum(words in text for text in told) for words in ("Added to your account", "A new set of recovery codes")] == [1, 1]


async def test_closing_midway_leaves_no_half_factor() -> None:
    world = PortalWorld()
    user = await carol(world)
    async with world.browser() as browser:
        await to_offer(world, browser)
        await browser.post(method="totp", act="enrol")
        secret = await key_on(browser.page)
        form = browser.filled(0, {"code": world.totp(secret=secret), "act": "app"})
        await browser.post(act="cancel", form=1)
        assert (await browser.client.post(browser.path, data=form, headers=OURS)).status_code != 200
    assert await kinds(world, user) == []


async def test_password_alone_enrols_nothing() -> None:
    world = PortalWorld()
    user = await carol(world)
    alone = await world.person("dora")
    async with world.browser() as browser:
        page = await browser.sign_in("carol")
        assert "Add a second step" not in page.text
        step = browser.path
        for act in ("enrol", "app", "saved", "password"):
            await browser.client.post(step, data=browser.filled(0, {"act": act, "method": "totp", "saved": "yes"}), headers=OURS)
        await browser.sign_in("dora")
        assert not await world.storage.find("sso_session")
    assert await kinds(world, user) == []
    assert await kinds(world, alone) == []


async def test_password_alone_confirms_nobody_for_an_enrolment() -> None:
    world = PortalWorld()
    use_plan(world, ["password"])
    user = await world.person("dora")
    async with world.browser() as browser:
        await browser.sign_in("dora")
        assert browser.path == "/account"
        await browser.get("/enrol/totp")
        assert browser.path == "/confirm"
        await browser.post("/confirm?then=/enrol/totp", password="correct horse")
        assert browser.path == "/confirm"
        await browser.get("/enrol/totp")
        assert browser.path == "/confirm"
    assert await kinds(world, user) == []


async def test_nobody_is_let_in_by_a_form_that_says_it_was_done() -> None:
    world = PortalWorld()
    await carol(world)
    async with world.browser() as browser:
        await to_offer(world, browser)
        for fields in ({"act": "saved", "saved": "yes"}, {"act": "answer", "code": ""}, {"act": "app", "code": "000000"}):
            reply = await browser.client.post(browser.path, data=browser.filled(0, fields), headers=OURS)
            assert reply.status_code == 400
    assert not await world.storage.find("sso_session")


async def test_what_cannot_be_done_here_ends_the_sign_in_and_is_said() -> None:
    world = PortalWorld()
    use_plan(world, demands=[ActionEntrySettings(confirm="contact", level="forced", deferrals=0)])
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        page = await browser.post(code=world.totp(), act="answer")
        assert page.status_code == 410
        assert "has to be confirmed" in page.text
    assert not await world.storage.find("sso_session")


CONFIRM = ActionEntrySettings(confirm="contact", level="forced", deferrals=0, every="180d")


async def test_contact_is_confirmed_by_a_code_that_was_sent_to_it_and_then_not_asked_for_half_a_year() -> None:
    world = PortalWorld()
    use_plan(world, ["password"], ["totp"], demands=[CONFIRM])
    await world.give_totp(await world.person("ada", phone=PHONE))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        page = await browser.post(code=world.totp(), act="answer")
        assert "text message" in page.text
        assert "67" in page.text
        assert PHONE not in page.text
        assert (await browser.post(code="000000", act="answer")).status_code == 422
        assert not await world.rows("demand")
        await browser.post(code=await world.code("ada"), act="answer")
        assert browser.path == "/account"
    for days, asked in ((1, False), (180, True)):
        world.later(days * 86_400)
        async with world.browser() as browser:
            await browser.sign_in("ada")
            await browser.post(code=world.totp(), act="answer")
            assert (browser.path != "/account") is asked


async def test_code_of_the_sign_in_confirms_the_contact_that_it_was_sent_to() -> None:
    world = PortalWorld()
    use_plan(world, demands=[CONFIRM])
    await world.person("bob", phone=PHONE)
    async with world.browser() as browser:
        await browser.sign_in("bob")
        await browser.post(code=await world.code("bob"), act="answer")
        assert browser.path == "/account"
    [row] = await world.rows("demand")
    assert row["met_at"] == to_ms(world.clock.now())


async def test_password_alone_confirms_no_contact() -> None:
    world = PortalWorld()
    use_plan(world, ["password"], demands=[CONFIRM])
    await world.person("bob", phone=PHONE)
    async with world.browser() as browser:
        page = await browser.sign_in("bob")
        assert "text message" in page.text
        assert not await world.storage.find("sso_session")
        await browser.post(code=await world.code("bob"), act="answer")
        assert browser.path == "/account"


async def test_kind_that_was_not_demanded_is_not_enrolled() -> None:
    world = PortalWorld()
    user = await carol(world)
    async with world.browser() as browser:
        await to_offer(world, browser)
        for kind in ("recovery_code", "passkey", "password", ""):
            assert (await browser.post(method=kind, act="enrol")).status_code == 422
    assert await kinds(world, user) == []


async def test_looking_changes_nothing_and_an_old_form_is_told_so() -> None:
    world = PortalWorld()
    user = await carol(world)
    async with world.browser() as browser:
        await browser.sign_in("carol")
        old = browser.filled(0, {"code": "000000", "act": "answer"})
        await browser.post(code=await world.code("carol"), act="answer")
        first = browser.page.text
        for _ in range(3):
            assert (await browser.get(browser.path)).text == first
        assert (await browser.client.get(f"{browser.path}/help")).status_code == 303
        assert (await browser.client.get(f"{browser.path}/other")).status_code == 303
        assert (await browser.client.post(browser.path, data=old, headers=OURS)).status_code == 409
    assert await kinds(world, user) == []


async def test_browser_is_trusted_with_the_grant_and_not_before_what_is_demanded_is_done() -> None:
    world = PortalWorld()
    await world.give_recovery_codes(await carol(world))
    async with world.browser() as browser:
        await browser.sign_in("carol")
        await browser.post(method="sms", act="other")
        await browser.post(code=await world.code("carol"), act="answer", trust_device="yes")
        await browser.post(method="totp", act="enrol")
        assert not await world.rows("trusted_device")
        await browser.post(code=world.totp(secret=await key_on(browser.page)), act="app")
        assert browser.path == "/account"
    assert len(await world.rows("trusted_device")) == 1


async def test_first_code_enrols_once_though_its_form_comes_twice() -> None:
    world = PortalWorld()
    user = await carol(world)
    async with world.browser() as browser:
        await to_offer(world, browser)
        await browser.post(method="totp", act="enrol")
        form = browser.filled(0, {"code": world.totp(secret=await key_on(browser.page)), "act": "app"})
        await asyncio.gather(*(browser.client.post(browser.path, data=form, headers=OURS) for _ in range(3)))
    assert sorted(await kinds(world, user)) == ["recovery_code", "totp"]


async def test_it_is_put_off_three_times_and_the_fourth_time_it_is_not() -> None:
    world = PortalWorld()
    await carol(world)
    use_plan(world, ["password"], demands=[LATER])
    for left in ("2 more times", "once more", "The next time"):
        async with world.browser() as browser:
            page = await browser.sign_in("carol")
            assert browser.path.endswith("/offers")
            assert left in page.text
            assert "Not now" in page.text
            await browser.get("/account")
            assert browser.path == "/account"
        world.later(EIGHT_HOURS)
    async with world.browser() as browser:
        page = await to_offer(world, browser)
        assert "Add a second step" in page.text
        assert "Not now" not in page.text


async def test_two_tabs_at_once_use_up_one_deferral() -> None:
    world = PortalWorld()
    await carol(world)
    use_plan(world, ["password"], demands=[LATER])
    async with world.browser() as one, world.browser() as other:
        await asyncio.gather(one.sign_in("carol"), other.sign_in("carol"))
    [row] = await world.rows("demand")
    assert row["put_off"] == 1


async def test_last_deferral_raced_in_two_tabs_enrols_nothing_by_password_alone() -> None:
    world = PortalWorld()
    user = await carol(world)
    use_plan(world, ["password"], demands=[ActionEntrySettings(enrol="totp", level="forced", deferrals=1)])
    async with world.browser() as one, world.browser() as other:
        pages = await asyncio.gather(one.sign_in("carol"), other.sign_in("carol"))
        assert all("Add a second step" not in page.text for page in pages)
    assert await kinds(world, user) == []


# --- change password -------------------------------------------------------------------------------------------------


async def test_password_is_changed_this_session_goes_on_under_another_value_and_others_end() -> None:
    world = PortalWorld()
    user = await world.person("ada", mail="ada@acme.test")
    await world.give_totp(user)
    async with world.browser() as browser, world.browser() as other:
        await signed_in(world, other)
        world.later(30)
        await signed_in(world, browser)
        before = browser.client.cookies[SESSION_COOKIE]
        await browser.get("/account/password")
        page = await browser.post(password="correct horse", new_password=NEW)
        assert browser.path == "/account/password"
        assert "Your password is changed" in page.text
        assert NEW not in page.text
        assert browser.client.cookies[SESSION_COOKIE] != before
        assert await world.sessions.find(before) is None
        await other.get("/account")
        assert other.path == "/sign-in"
        await browser.get("/account")
        assert browser.path == "/account"
    assert await right(world, user, NEW)
    [payload] = await world.payloads("directory:password:set")
    assert payload["how"] == "changed"
    assert sum("was changed" in each.text for each in await world.messages()) == 1


async def test_stolen_session_ends_though_the_answer_to_the_change_is_lost() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    await world.give_totp(user)

    async def write_and_die(user: DirectoryUser, old: Secret, new: Secret, timeout_s: float) -> PasswordVerdict:
        await type(world.directory).change_password(world.directory, user, old, new, timeout_s)
        raise DirectoryUnavailable("the connection broke")

    async with world.browser() as browser, world.browser() as stolen:
        await signed_in(world, stolen)
        world.later(30)
        await signed_in(world, browser)
        await browser.get("/account/password")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.directory, "change_password", write_and_die)
            page = await browser.post(password="correct horse", new_password=NEW)
        assert page.status_code == 503
        await stolen.get("/account")
        assert stolen.path == "/sign-in"
        await browser.get("/account")
        assert browser.path == "/account"
    assert await right(world, user, NEW)
    assert [each["why"] for each in await world.payloads("session:session:ended")] == ["password_change"]


async def test_stolen_session_ends_though_the_answer_to_a_change_that_was_demanded_is_lost() -> None:
    world = PortalWorld()
    user = await erin(world, verdict=PasswordVerdict.RIGHT)
    async with world.browser() as stolen:
        await stolen.sign_in("erin")
        await stolen.post(code=world.totp(), act="answer")
        assert stolen.path == "/account"
        world.later(30)
        await world.directory.reset_password(user, Secret("correct horse"), True, 1)

        async def write_and_die(*_: object) -> PasswordVerdict:
            raise DirectoryUnavailable("the connection broke")

        async with world.browser() as browser:
            await to_new_password(world, browser)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(world.directory, "change_password", write_and_die)
                page = await browser.post(new_password=NEW, act="password")
            assert "We cannot tell yet" in page.text
        await stolen.get("/account")
        assert stolen.path == "/sign-in"


async def test_stolen_session_changes_no_password_after_five_minutes() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    await world.give_totp(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get("/account/password")
        form = browser.filled(0, {"password": "correct horse", "new_password": NEW})
        world.later(301)
        reply = await browser.client.post("/account/password", data=form, headers=OURS)
        assert reply.headers["location"].startswith("/confirm")
    assert not await right(world, user, NEW)


async def test_stolen_session_guesses_the_password_one_short_of_the_directorys_lock() -> None:
    world = PortalWorld()
    world.directory = MemoryDirectory("local", lockout=Lockout(threshold=4, window_s=1800))
    world.__post_init__()
    user = await world.person("ada")
    await world.give_totp(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get("/account/password")
        statuses = []
        for number in range(6):
            reply = await browser.post(password=f"guess {number}", new_password=NEW)
            statuses.append(reply.status_code)
        assert statuses == [422, 422, 422, 429, 429, 429]
        assert "retry-after" in reply.headers
    found = await world.directory.get(user.immutable_id, 1)
    assert found is not None
    assert found.state is AccountState.ACTIVE
    assert len(await world.payloads("directory:password:refused")) == 6


async def test_wrong_current_passwords_count_like_failed_sign_ins() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser, world.browser() as other:
        await signed_in(world, browser)
        await browser.get("/account/password")
        for number in range(5):
            assert (await browser.post(password=f"guess {number}", new_password=NEW)).status_code == 422
        assert (await browser.post(password="correct horse", new_password=NEW)).status_code == 429
        page = await other.sign_in("ada")
        assert "Too many tries" in page.text
        assert other.path.startswith("/step/"), "a strong factor is asked for before the password is looked at"


async def test_refused_new_password_changes_nothing_and_counts_as_no_guess() -> None:
    world = PortalWorld()
    world.directory = MemoryDirectory("local", policy=PasswordPolicy(min_length=10))
    world.__post_init__()
    user = await world.person("ada")
    await world.give_totp(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get("/account/password")
        for _ in range(7):
            page = await browser.post(password="correct horse", new_password="too short")
            assert page.status_code == 422
            assert "at least 10" in page.text
    assert await right(world, user, "correct horse")
    assert await world.failures() == 0


async def test_form_from_another_site_changes_no_password() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    await world.give_totp(user)
    async with world.browser() as browser:
        await signed_in(world, browser)
        await browser.get("/account/password")
        form = browser.filled(0, {"password": "correct horse", "new_password": NEW})
        for headers in ({"sec-fetch-site": "cross-site"}, {}):
            assert (await browser.client.post("/account/password", data=form, headers=headers)).status_code == 422
    assert not await right(world, user, NEW)


# --- how long a session lasts ----------------------------------------------------------------------------------------


async def test_session_of_an_administrator_is_short_whatever_policy_says() -> None:
    world = PortalWorld()
    lasting = LifetimesThenSettings(session="20h", idle="2h")
    use_plan(world, ["totp"], ["recovery_code"], lifetimes=lasting, floors=[floor("administrators", strong=2)])
    user = await world.person("frank")
    await world.give_totp(user)
    codes = await world.give_recovery_codes(user)
    use_plan(world, ["password"], ["totp"], ["recovery_code"], lifetimes=lasting, floors=[floor("administrators", strong=2)])
    async with world.browser() as browser:
        await browser.sign_in("frank")
        await browser.post(code=world.totp(), act="answer")
        await browser.post(code=codes[0], act="answer")
        assert browser.path == "/account"
    [row] = await world.storage.find("sso_session")
    assert row["idle_ms"] == ADMINISTRATOR_IDLE_S * 1000
    assert row["expires_at"] == to_ms(world.clock.now()) + ADMINISTRATOR_LIFE_S * 1000


async def test_session_lasts_as_policy_says() -> None:
    world = PortalWorld()
    use_plan(world, lifetimes=LifetimesThenSettings(session="2h", idle="10m"))
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await signed_in(world, browser)
    [row] = await world.storage.find("sso_session")
    assert row["idle_ms"] == 600_000
    assert row["expires_at"] == to_ms(world.clock.now()) + 7_200_000


async def test_giving_up_before_the_new_password_ends_the_login_and_what_it_held() -> None:
    world = PortalWorld()
    user = await erin(world)
    async with world.browser() as browser:
        await to_new_password(world, browser)
        form, address = browser.filled(0, {"new_password": NEW, "act": "password"}), browser.path
        await browser.post(form=1, act="cancel")
        assert browser.path == "/sign-in"
        assert (await browser.client.post(address, data=form, headers=OURS)).status_code == 409
    assert not await right(world, user, NEW)
    assert all('"held":""' in str(row["body"]).replace(": ", ":") for row in await world.rows("login_transaction"))
