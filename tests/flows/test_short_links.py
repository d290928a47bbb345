"""Short links out of a VPN login: a passkey's confirmation, a second step set up on the way, and what an attacker would try."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_world import OURS, BrowserOfTests, PortalWorld
from tests.flows.test_portal_passkeys import give_passkey, options_on
from tests.flows.world import BACKENDS, NAS, PHONE_OF_TESTS, World, a_storage, floor, is_asked_first, is_granted, reason, rule, says
from tests.software_passkey import SoftPasskey
from wardgate.account import activation
from wardgate.account.freeze import SetBy, freezing
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.memory import Behaviour
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge, Denied, Granted, Outcome
from wardgate.engine.runtime import Application, EngineConfiguration, EngineParts
from wardgate.engine.settings import ApplicationSettings
from wardgate.factors.passkey import handle_of
from wardgate.factors.totp import hotp, time_step
from wardgate.policy.settings import ActionEntrySettings
from wardgate.portal.routes import portal_pages
from wardgate.storage.port import Row
from wardgate.web.app import build_web_app

ORIGIN = "https://login.acme.test"
LINK = re.compile(r"https://login\.acme\.test(/approve/[0-9A-Z]{4}-[0-9A-Z]{4})")
CODE = re.compile(r"<strong>(\d{3}) (\d{3})</strong>")
VPN = ApplicationSettings(name="vpn", title="Office VPN", page_link="shown", enrol_by_link=True)


@dataclass
class LinkWorld(PortalWorld):
    """A NAS and the portal over one storage."""

    vpn: ApplicationSettings = VPN
    public_url: str = ORIGIN

    def configuration(self) -> EngineConfiguration:
        """The configuration in force."""
        applications = {"portal": Application(self.application, self.policy), "vpn": Application(self.vpn, self.policy)}
        return EngineConfiguration(1, self.realms, applications, self.codes, self.brakes, self.channels, sending=self.sending)

    def another_engine(self) -> Engine:
        """A worker that serves RADIUS."""
        return Engine(self._parts())

    def _parts(self) -> EngineParts:
        own = (self.storage, self.clock, lambda: self.ring, self.configuration)
        return EngineParts(*own, keep_messages=True, public_url=self.public_url)

    @asynccontextmanager
    async def browser(self, address: str = "203.0.113.7", **options: Any) -> AsyncIterator[BrowserOfTests]:
        """A browser with a cookie jar of its own."""
        app = build_web_app(self.context(), ("portal",), [portal_pages(self._parts())])
        transport = httpx.ASGITransport(app=app, client=(address, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url=self.origin, **options) as client:
            yield BrowserOfTests(client)

    async def sent_link(self) -> str:
        """The path of the link in the newest message."""
        found = LINK.search((await self.messages())[0].text)
        assert found is not None
        return found[1]

    async def transactions(self) -> list[Row]:
        """The rows of logins, without what the time of their life is."""
        return await self.rows("login_transaction")


@pytest.fixture(params=BACKENDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LinkWorld]:
    """An empty world, on each storage."""
    async with a_storage(request.param, tmp_path) as storage:
        yield LinkWorld(storage=storage)


def link_in(challenge: Outcome) -> str:
    """The path of the link that the window shows."""
    found = LINK.search(says(challenge))
    assert found is not None, says(challenge)
    return found[1]


def code_on(page: httpx.Response) -> str:
    """The code for the window."""
    found = CODE.search(page.text)
    assert found is not None, page.text
    return found[1] + found[2]


async def owner_of_a_passkey(world: LinkWorld, name: str = "ada", **fields: Any) -> tuple[DirectoryUser, SoftPasskey]:
    user = await world.person(name, **fields)
    return user, await give_passkey(world, user)


async def confirmed(browser: BrowserOfTests, passkey: SoftPasskey, path: str) -> str:
    """Open the link and use the passkey; the code that the page ends with."""
    page = await browser.get(path)
    assert page.status_code == 200
    page = await browser.post(passkey=passkey.signed(options_on(page)))
    assert page.status_code == 200, page.text
    return code_on(page)


async def app_on(page: httpx.Response) -> bytes:
    """The key that the page shows."""
    found = re.search(r'<code class="command" dir="ltr">([A-Z2-7 ]+)</code>', page.text)
    assert found is not None, page.text
    return base64.b32decode(found[1].replace(" ", "") + "=" * (-len(found[1].replace(" ", "")) % 8))


def code_of(world: World, secret: bytes) -> str:
    """What the app shows now."""
    return hotp(Secret(secret), time_step(world.clock.now(), 30), 6)


async def enrolled_app(world: LinkWorld, browser: BrowserOfTests, path: str, **start: str) -> bytes:
    """Open the link and set up an app on its page."""
    await browser.get(path)
    page = await browser.post(act="start", **start)
    assert page.status_code == 200, page.text
    if 'name="method"' in page.text:
        page = await browser.post(act="enrol", method="totp")
    secret = await app_on(page)
    page = await browser.post(act="app", code=code_of(world, secret), nickname="")
    assert "recovery-codes.txt" in page.text, page.text
    page = await browser.post(act="saved", saved="yes")
    assert "your app shows now" in page.text
    return secret


# --- a passkey, out of a VPN's window ------------------------------------------------------------------------------------


async def test_who_has_nothing_but_a_passkey_confirms_on_a_page_and_types_its_code(world: LinkWorld) -> None:
    _, passkey = await owner_of_a_passkey(world)
    asked = await world.challenged("ada")
    assert asked.factor == "passkey"
    assert says(asked) == f"Open {ORIGIN}{link_in(asked)} and use your passkey. Type the code that it shows."
    assert len(says(asked)) <= 120
    async with world.browser() as browser:
        page = await browser.get(link_in(asked))
        assert "Office VPN" in page.text
        assert "203.0.113.7" in page.text
        assert "2026-11-21" in page.text
        assert "ada" not in page.text, "whoever opens somebody's link learns no name"
        code = await confirmed(browser, passkey, link_in(asked))
        assert code_on(await browser.get(browser.path)) == code, "a reload shows the same"
    granted = await world.answer(asked, f" {code[:3]} {code[3:]}", name="ada")
    assert isinstance(granted, Granted)
    assert granted.factors[:2] == ("password", "passkey")
    assert granted.assurance == 2
    [event] = await world.payloads("engine:link:proved")
    assert (event["factor"], event["purpose"], event["application"]) == ("passkey", "confirm", "vpn")


async def test_a_passkey_is_offered_beside_a_code_and_chosen_by_its_word(world: LinkWorld) -> None:
    user, passkey = await owner_of_a_passkey(world)
    await world.give_totp(user)
    asked = await world.challenged("ada")
    assert asked.factor == "totp", "a window asks first for what it can ask for"
    assert "passkey" in asked.ways
    assert not await world.rows("short_link")
    chosen = await world.answer(asked, "passkey", name="ada")
    assert isinstance(chosen, Challenge)
    assert chosen.factor == "passkey"
    async with world.browser() as browser:
        code = await confirmed(browser, passkey, link_in(chosen))
    assert is_granted(await world.answer(chosen, code, name="ada"))


async def test_who_chose_a_link_can_go_back_to_his_app(world: LinkWorld) -> None:
    user, _ = await owner_of_a_passkey(world)
    await world.give_totp(user)
    chosen = await world.answer(await world.challenged("ada"), "passkey", name="ada")
    word = next(word for word in ("totp", "app") if word in says(chosen))
    back = await world.answer(chosen, word, name="ada")
    assert isinstance(back, Challenge)
    assert back.factor == "totp"
    assert is_granted(await world.answer(back, world.totp(), name="ada"))


async def test_a_link_is_sent_where_the_setting_says_so(world: LinkWorld) -> None:
    world.vpn = replace(VPN, page_link="sent")
    _, passkey = await owner_of_a_passkey(world, phone=PHONE_OF_TESTS)
    world.use_policy([rule("passkeys", ("password",), ("passkey",))])
    asked = await world.challenged("ada")
    assert "***" in says(asked)
    assert "/approve/" not in says(asked)
    assert "203.0.113.7" in (await world.messages())[0].text
    async with world.browser() as browser:
        code = await confirmed(browser, passkey, await world.sent_link())
    assert is_granted(await world.answer(asked, code, name="ada"))


async def test_without_the_setting_nothing_of_it_is_there(world: LinkWorld) -> None:
    world.vpn = ApplicationSettings(name="vpn")
    await owner_of_a_passkey(world)
    refused = await world.begin("ada")
    assert reason(refused) == "factor_not_here"
    await world.person("carol", phone=None)
    assert reason(await world.begin("carol")) == "no_factor"
    assert not await world.rows("short_link")
    assert not await world.messages()


async def test_without_an_address_of_our_pages_there_are_no_links(world: LinkWorld) -> None:
    world.public_url = ""
    world.engine = world.another_engine()
    await owner_of_a_passkey(world)
    assert reason(await world.begin("ada")) == "factor_not_here"


# --- a second step, set up on the way ------------------------------------------------------------------------------------

APP_OR_PASSKEY = [rule("staff", ("password",), ("totp", "passkey"))]


async def test_who_has_no_second_step_sets_up_an_app_and_types_its_code(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    await world.person("carol", phone=PHONE_OF_TESTS)
    asked = await world.challenged("carol")
    assert says(asked).startswith("Set up your second step: open the link sent to")
    assert PHONE_OF_TESTS not in says(asked)
    assert len(await world.messages()) == 1
    async with world.browser() as browser:
        secret = await enrolled_app(world, browser, await world.sent_link())
    world.later(30)
    again = await world.answer(asked, "000000", name="carol") if code_of(world, secret) != "000000" else asked
    assert "not right" in says(again)
    assert "app" in says(again)
    granted = await world.answer(again, code_of(world, secret), name="carol")
    assert isinstance(granted, Granted)
    assert granted.factors == ("password", "totp")
    kinds = [row["kind"] for row in await world.rows("authenticator")]
    assert sorted(map(str, kinds)) == ["recovery_code", "totp"]


async def test_a_passkey_can_be_set_up_as_well_and_ends_with_a_code(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    user = await world.person("carol", phone=PHONE_OF_TESTS)
    asked = await world.challenged("carol")
    passkey = SoftPasskey(handle=handle_of(await world.subject_of(user)))
    async with world.browser() as browser:
        await browser.get(await world.sent_link())
        page = await browser.post(act="start")
        page = await browser.post(act="enrol", method="passkey")
        page = await browser.post(passkey=passkey.made(options_on(page)), nickname="Phone")
        assert "recovery-codes.txt" in page.text, page.text
        assert len((await browser.client.get(browser.path + "/recovery-codes.txt")).text.split()) == 10
        page = await browser.post(act="saved")
        assert page.status_code == 422, "the box has to be ticked"
        code = code_on(await browser.post(act="saved", saved="yes"))
        gone = await browser.client.get(browser.path + "/recovery-codes.txt")
        assert gone.status_code == 410
    granted = await world.answer(asked, code, name="carol")
    assert isinstance(granted, Granted)
    assert "passkey" in granted.factors


async def issue_start_code(world: LinkWorld, user: DirectoryUser) -> str:
    subject, now_ms = await world.subject_of(user), to_ms(world.clock.now())
    issued = activation.issue(world.ring, subject, user.name, "frank", now_ms, None, activation.CODE_LIFE_MS, "frank@acme.test")
    await world.storage.commit([issued.operation])
    assert issued.code is not None
    return issued.code.reveal().decode()


async def test_without_a_contact_a_start_code_of_an_operator_is_asked_for(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    user = await world.person("carol", phone=None, mail=None)
    start_code = await issue_start_code(world, user)
    asked = await world.challenged("carol")
    assert "start code" in says(asked)
    async with world.browser() as browser:
        await browser.get(link_in(asked))
        page = await browser.post(act="start", start_code="0000-0000-00000")
        assert page.status_code == 422
        assert "not your start code" in page.text
        secret = await enrolled_app(world, browser, link_in(asked), start_code=start_code)
    world.later(30)
    assert is_granted(await world.answer(asked, code_of(world, secret), name="carol"))
    [row] = await world.rows("activation")
    assert row["state"] == "used"


async def test_of_whom_strong_factors_are_demanded_sets_nothing_up_by_a_message(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY, [floor("administrators", strong=1)])
    await world.person("frank", phone=PHONE_OF_TESTS)
    asked = await world.challenged("frank")
    assert "start code" in says(asked)
    assert not await world.messages()


async def test_who_types_before_he_has_set_anything_up_is_told_and_not_counted_but_not_without_end(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    await world.person("carol", phone=PHONE_OF_TESTS)
    answer: Outcome = await world.challenged("carol")
    for _ in range(11):
        answer = await world.answer(answer, "123456", name="carol")
        assert isinstance(answer, Challenge)
        assert "open the link first" in says(answer)
    assert await world.failures() == 0
    assert reason(await world.answer(answer, "123456", name="carol")) == "code_closed"
    assert len(await world.messages()) == 1


async def test_who_chose_a_passkey_can_choose_an_app_instead(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    await world.person("carol", phone=PHONE_OF_TESTS)
    await world.challenged("carol")
    async with world.browser() as browser:
        await browser.get(await world.sent_link())
        await browser.post(act="start")
        page = await browser.post(act="enrol", method="passkey")
        assert 'name="nickname"' in page.text
        page = await browser.post(act="other")
        assert 'name="method"' in page.text
        assert len(await app_on(await browser.post(act="enrol", method="totp"))) == 20


async def test_a_demand_of_the_policy_leads_to_the_page_once_it_cannot_be_put_off(world: LinkWorld) -> None:
    demand = ActionEntrySettings(enrol="totp", level="forced", deferrals=1)
    use_plan(world, ("password",), ("sms",), demands=[demand])
    await world.person("bob", phone=PHONE_OF_TESTS)
    asked = await world.challenged("bob")
    granted = await world.answer(asked, await world.code("bob"), name="bob")
    assert isinstance(granted, Granted)
    world.later(9 * 3600)
    asked = await world.challenged("bob")
    assert asked.factor == "sms"
    code = next(each.code for each in await world.messages() if each.code)
    led = await world.answer(asked, code, name="bob")
    assert isinstance(led, Challenge)
    assert led.factor == "enrol"
    async with world.browser() as browser:
        path = next(found[1] for each in await world.messages() if (found := LINK.search(each.text)))
        secret = await enrolled_app(world, browser, path)
    world.later(30)
    let_in = await world.answer(led, code_of(world, secret), name="bob")
    assert isinstance(let_in, Granted)
    assert let_in.factors == ("password", "sms", "totp")


async def test_who_has_only_a_password_to_prove_sets_up_what_is_demanded_and_proves_it(world: LinkWorld) -> None:
    use_plan(world, ("password",), demands=[ActionEntrySettings(enrol="totp", level="forced", deferrals=0)])
    await world.person("bob", phone=PHONE_OF_TESTS)
    asked = await world.challenged("bob")
    assert asked.factor == "enrol"
    assert is_granted(await world.begin("bob")) is False


# --- what an attacker would try ------------------------------------------------------------------------------------------


async def test_a_phished_link_shows_who_asks_and_gives_the_attacker_nothing_without_the_code(world: LinkWorld) -> None:
    _, passkey = await owner_of_a_passkey(world)
    attacker = replace(NAS, client="198.51.100.66")
    asked = await world.challenged("ada", origin=attacker)
    async with world.browser("203.0.113.7") as browser:
        page = await browser.get(link_in(asked))
        assert "198.51.100.66" in page.text
        await confirmed(browser, passkey, link_in(asked))
    window: Outcome = asked
    for guess in ("000000", "111111"):
        window = await world.answer(window, guess, name="ada", origin=attacker)
        assert not is_granted(window)
    assert not await world.events("engine:login:granted")


async def test_the_code_of_a_page_is_shown_to_nobody_but_who_proves(world: LinkWorld) -> None:
    await owner_of_a_passkey(world)
    asked = await world.challenged("ada")
    other = SoftPasskey()
    async with world.browser() as browser:
        page = await browser.get(link_in(asked))
        assert CODE.search(page.text) is None
        for _ in range(2):
            page = await browser.post(passkey=other.signed(options_on(page)))
            assert page.status_code == 422
            assert CODE.search(page.text) is None
        page = await browser.post(passkey="{}")
        assert CODE.search(page.text) is None
    [row] = await world.rows("short_link")
    assert row["code_mac"] is None


async def test_wrong_passkeys_end_the_link_and_lock_nobody_out(world: LinkWorld) -> None:
    _, passkey = await owner_of_a_passkey(world)
    asked = await world.challenged("ada")
    async with world.browser() as browser:
        page = await browser.get(link_in(asked))
        for _ in range(5):
            assert page.status_code in (200, 422)
            page = await browser.post(passkey=passkey.signed({**options_on(page), "challenge": "AAAA"}))
        assert page.status_code == 410
        assert (await browser.get(link_in(asked))).status_code == 410
    assert await world.failures() == 0


async def test_ten_gets_of_a_mail_scanner_change_nothing(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    await world.person("carol", phone=PHONE_OF_TESTS)
    asked = await world.challenged("carol")
    path, tables = (
        await world.sent_link(),
        ("short_link", "login_transaction", "authenticator", "audit_event", "outbox", "timeline"),
    )
    before = [await world.rows(table) for table in tables]
    for address in range(10):
        async with world.browser(f"192.0.2.{address}") as scanner:
            assert (await scanner.get(path)).status_code == 200
            assert (await scanner.client.head(path)).status_code in (303, 405)
    assert [await world.rows(table) for table in tables] == before
    async with world.browser() as browser:
        secret = await enrolled_app(world, browser, path)
    world.later(30)
    assert is_granted(await world.answer(asked, code_of(world, secret), name="carol"))


async def test_guessing_links_is_braked_for_each_source_and_right_ones_cost_no_turn(world: LinkWorld) -> None:
    await owner_of_a_passkey(world)
    asked = await world.challenged("ada")
    async with world.browser("198.51.100.66") as guesser, world.browser() as owner:
        for number in range(20):
            assert (await owner.get(link_in(asked))).status_code == 200
            assert (await guesser.get(f"/approve/0000-{number:04d}")).status_code == 410
        page = await guesser.get("/approve/0000-9999")
        assert page.status_code == 429
        assert int(page.headers["retry-after"]) > 60
        right = await guesser.get(link_in(asked))
        assert right.status_code == 429, "who guesses is not told of a right one either"
        assert (await owner.get(link_in(asked))).status_code == 200
    assert len(await world.rows("page_step")) == 21


@pytest.mark.parametrize(
    "path", ["/approve/%00%00%00%00%00%00%00%00", "/approve/" + "A" * 200, "/approve/ABCD-EFG", "/approve/ABCDEFGU"]
)
async def test_what_is_no_link_is_over(world: LinkWorld, path: str) -> None:
    async with world.browser() as browser:
        assert (await browser.get(path)).status_code == 410


async def test_the_code_of_another_login_is_worth_nothing(world: LinkWorld) -> None:
    _, ada = await owner_of_a_passkey(world)
    _, mallory = await owner_of_a_passkey(world, "mallory")
    victim, own = await world.challenged("ada"), await world.challenged("mallory")
    assert link_in(victim) != link_in(own)
    async with world.browser() as browser:
        code = await confirmed(browser, mallory, link_in(own))
    first = await world.answer(victim, code, name="ada")
    assert isinstance(first, Challenge)
    assert "open the link first" in says(first)
    async with world.browser() as browser:
        other = await confirmed(browser, ada, link_in(victim))
    assert code != other
    assert "not right" in says(await world.answer(first, code, name="ada"))


async def test_the_passkey_of_another_person_opens_no_link(world: LinkWorld) -> None:
    await owner_of_a_passkey(world)
    _, mallory = await owner_of_a_passkey(world, "mallory")
    asked = await world.challenged("ada")
    async with world.browser() as browser:
        page = await browser.get(link_in(asked))
        page = await browser.post(passkey=mallory.signed(options_on(page)))
        assert page.status_code == 422


async def test_a_code_used_twice_on_two_workers_lets_in_once(world: LinkWorld) -> None:
    _, passkey = await owner_of_a_passkey(world)
    asked = await world.challenged("ada")
    async with world.browser() as browser:
        code = await confirmed(browser, passkey, link_in(asked))
    workers = [world.another_engine(), world.another_engine()]
    outcomes = await asyncio.gather(*(world.answer(asked, code, name="ada", engine=each) for each in workers))
    assert sorted(is_granted(each) for each in outcomes) == [False, True]
    assert len(await world.events("engine:login:granted")) == 1


async def test_one_link_proved_twice_at_once_shows_one_code(world: LinkWorld) -> None:
    _, passkey = await owner_of_a_passkey(world)
    asked = await world.challenged("ada")
    async with world.browser() as browser:
        page = await browser.get(link_in(asked))
        shown = passkey.signed(options_on(page))
        forms = [browser.client.post(browser.path, data=browser.filled(0, {"passkey": shown}), headers=OURS) for _ in range(2)]
        statuses = sorted([reply.status_code for reply in await asyncio.gather(*forms)])
    # Where the first was through before the second was looked at, it was done elsewhere; else the link is over.
    assert statuses in ([303, 409], [303, 410])
    assert len(await world.events("engine:link:proved")) == 1


async def test_two_apps_at_once_from_one_link_set_up_one(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    await world.person("carol", phone=PHONE_OF_TESTS)
    await world.challenged("carol")
    async with world.browser() as browser:
        await browser.get(await world.sent_link())
        await browser.post(act="start")
        page = await browser.post(act="enrol", method="totp")
        code = code_of(world, await app_on(page))
        form = browser.filled(0, {"act": "app", "code": code, "nickname": ""})
        await asyncio.gather(*(browser.client.post(browser.path, data=form, headers=OURS) for _ in range(2)))
    assert [str(row["kind"]) for row in await world.rows("authenticator")].count("totp") == 1


async def test_a_link_is_over_with_its_login(world: LinkWorld) -> None:
    user, passkey = await owner_of_a_passkey(world)
    await world.give_totp(user)
    chosen = await world.answer(await world.challenged("ada"), "passkey", name="ada")
    async with world.browser() as browser:
        page = await browser.get(link_in(chosen))
        options, address = options_on(page), browser.path
        word = next(word for word in ("totp", "app") if word in says(chosen))
        back = await world.answer(chosen, word, name="ada")
        assert is_granted(await world.answer(back, world.totp(), name="ada"))
        late = await browser.post(address, passkey=passkey.signed(options))
        assert late.status_code == 410
        assert CODE.search(late.text) is None
        assert (await browser.get(link_in(chosen))).status_code == 410


async def test_a_directory_that_is_down_closes_no_link_and_shows_no_code(world: LinkWorld) -> None:
    _, passkey = await owner_of_a_passkey(world)
    asked = await world.challenged("ada")
    async with world.browser() as browser:
        page = await browser.get(link_in(asked))
        shown = passkey.signed(options_on(page))
        world.directory.behaviour = Behaviour.UNAVAILABLE
        page = await browser.post(browser.path, passkey=shown)
        assert page.status_code == 503
        assert "retry-after" in page.headers
        world.directory.behaviour = Behaviour.ANSWERS
        await confirmed(browser, passkey, link_in(asked))


async def test_a_link_is_over_when_its_time_is(world: LinkWorld) -> None:
    _, passkey = await owner_of_a_passkey(world)
    asked = await world.challenged("ada")
    async with world.browser() as browser:
        code = await confirmed(browser, passkey, link_in(asked))
        world.later(601)
        assert (await browser.get(link_in(asked))).status_code == 410
    assert not is_granted(await world.answer(asked, code, name="ada"))


async def test_a_password_alone_sets_nothing_up(world: LinkWorld) -> None:
    """Whoever knows it sees in the window that a link went to the person's phone, and nothing that opens a page."""
    world.use_policy(APP_OR_PASSKEY)
    await world.person("carol", phone=PHONE_OF_TESTS)
    asked = await world.challenged("carol")
    assert LINK.search(says(asked)) is None
    await world.person("dora", phone=None, mail=None)
    shown = await world.challenged("dora")
    async with world.browser() as browser:
        await browser.get(link_in(shown))
        for typed in ("", "0000-0000-00000", "correct horse"):
            page = await browser.post(act="start", start_code=typed)
            assert page.status_code == 422
        for act in ("enrol", "app", "make", "saved"):
            page = await browser.post(act=act, method="totp", code="123456", passkey="{}")
            assert page.status_code == 409
    assert not await world.rows("authenticator")


async def test_a_start_code_is_spoiled_by_guesses_on_the_page(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    user = await world.person("dora", phone=None, mail=None)
    start_code = await issue_start_code(world, user)
    shown = await world.challenged("dora")
    async with world.browser() as browser:
        await browser.get(link_in(shown))
        for number in range(3):
            await browser.post(act="start", start_code=f"0000-0000-0000{number}")
        assert (await browser.post(act="start", start_code=start_code)).status_code == 422
    assert not await world.rows("authenticator")
    told = [each.text for each in await world.messages() if each.to == "frank@acme.test"]
    assert len(told) == 1
    assert "for the account dora was ended" in told[0]


async def test_who_has_a_strong_factor_adds_none_by_a_message(world: LinkWorld) -> None:
    """A link to a phone must not add to what an app protects: such an account is refused as it always was."""
    world.use_policy([rule("passkeys", ("password",), ("passkey",))])
    user = await world.person("ada", phone=PHONE_OF_TESTS)
    await world.give_totp(user)
    assert reason(await world.begin("ada")) == "no_factor"
    assert not await world.messages()


async def test_a_frozen_account_has_nothing_set_up(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    user = await world.person("carol", phone=PHONE_OF_TESTS)
    await world.challenged("carol")
    subject, now_ms = await world.subject_of(user), to_ms(world.clock.now())
    async with world.browser() as browser:
        await browser.get(await world.sent_link())
        await browser.post(act="start")
        page = await browser.post(act="enrol", method="totp")
        secret = await app_on(page)
        frozen = await freezing(world.storage, world.ring, subject, now_ms, SetBy.OPERATOR, now_ms)
        await world.storage.commit(frozen.operations)
        page = await browser.post(act="app", code=code_of(world, secret), nickname="")
        assert page.status_code == 410
    assert not await world.rows("authenticator")


async def test_what_was_set_up_meanwhile_closes_an_older_link(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    user = await world.person("carol", phone=PHONE_OF_TESTS)
    await world.challenged("carol")
    path = await world.sent_link()
    async with world.browser() as browser:
        await browser.get(path)
        await browser.post(act="start")
        page = await browser.post(act="enrol", method="totp")
        await world.give_totp(user)
        page = await browser.post(act="app", code=code_of(world, await app_on(page)), nickname="")
        assert page.status_code == 410
        assert "already" in page.text
    assert len(await world.rows("authenticator")) == 1


async def test_nobody_without_the_password_makes_anything_be_sent(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    await world.person("carol", phone=PHONE_OF_TESTS)
    await world.person("bob", phone=PHONE_OF_TESTS, state=AccountState.DISABLED)
    for outcome in (await world.begin("carol", "guess"), await world.begin("nobody"), await world.begin("bob")):
        assert isinstance(outcome, Denied)
        assert outcome.text.id == "signin.failed"
        assert outcome.not_before is not None
    assert not await world.messages()
    assert not await world.rows("short_link")


async def test_the_same_login_again_sends_no_second_message(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    await world.person("carol", phone=PHONE_OF_TESTS)
    asked, again = await world.challenged("carol"), await world.challenged("carol")
    assert says(asked) == says(again)
    assert len(await world.messages()) == len(await world.rows("short_link")) == 1


async def test_the_same_packet_again_gets_the_same_reply_and_sends_nothing(world: LinkWorld) -> None:
    world.vpn = replace(VPN, page_link="sent")
    user, _ = await owner_of_a_passkey(world, phone=PHONE_OF_TESTS)
    await world.give_totp(user)
    world.use_policy([rule("strong", ("password",), ("totp", "passkey"))])
    asked = await world.challenged("ada")
    mark = b"the same packet"
    first = await world.answer(asked, "passkey", name="ada", fingerprint=mark)
    second = await world.answer(asked, "passkey", name="ada", fingerprint=mark)
    assert first == second
    assert len(await world.messages()) == 1


async def test_a_link_belongs_to_the_browser_that_went_on_with_it_first(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    await world.person("carol", phone=PHONE_OF_TESTS)
    await world.challenged("carol")
    path = await world.sent_link()
    async with world.browser() as first, world.browser() as second:
        await first.get(path)
        await second.get(path)
        assert (await first.post(act="start")).status_code == 200
        late = await second.post(act="start")
        assert late.status_code == 410
        assert "another browser" in late.text
        assert (await second.client.get(first.path)).status_code == 410, "the address alone opens nothing"
        assert (await first.get(first.path)).status_code == 200


async def test_a_link_that_is_bound_shows_its_code_to_no_other_browser(world: LinkWorld) -> None:
    _, passkey = await owner_of_a_passkey(world)
    asked = await world.challenged("ada")
    async with world.browser() as first, world.browser() as second:
        await confirmed(first, passkey, link_in(asked))
        page = await second.get(link_in(asked))
        assert CODE.search(page.text) is None
        page = await second.post(passkey=passkey.signed(options_on(page)))
        assert page.status_code == 410
        assert CODE.search(page.text) is None


async def test_a_form_of_another_site_does_nothing(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    await world.person("carol", phone=PHONE_OF_TESTS)
    await world.challenged("carol")
    async with world.browser() as browser:
        await browser.get(await world.sent_link())
        form = browser.filled(0, {"act": "not_me"})
        reply = await browser.client.post(browser.path, data=form, headers={"sec-fetch-site": "cross-site"})
        assert reply.status_code == 422
        reply = await browser.client.post(browser.path, data={**form, "csrf": "0" * 32}, headers=OURS)
        assert reply.status_code == 422
    assert not await world.events("engine:login:disowned")


async def test_this_was_not_me_ends_the_login_and_has_its_asker_wait(world: LinkWorld) -> None:
    world.use_policy(APP_OR_PASSKEY)
    await world.person("carol", phone=PHONE_OF_TESTS)
    attacker = replace(NAS, client="198.51.100.66")
    asked = await world.challenged("carol", origin=attacker)
    path = await world.sent_link()
    async with world.browser() as browser:
        await browser.get(path)
        page = await browser.post(form=1, act="not_me")
        assert "was ended" in page.text
        assert "/forgot" in page.text
        assert (await browser.get(browser.path)).status_code == 200
        assert (await browser.get(path)).status_code == 410
    assert isinstance(await world.answer(asked, "123456", name="carol", origin=attacker), Denied)
    assert is_asked_first(await world.begin("carol", origin=attacker))
    assert isinstance(await world.begin("carol"), Challenge), "the owner, elsewhere, does not wait"
    [event] = await world.payloads("engine:login:disowned")
    assert event["user"] == "carol"
    assert (await world.verified()).findings == ()


async def test_neither_link_nor_code_stands_in_what_is_stored_or_told(world: LinkWorld) -> None:
    _, passkey = await owner_of_a_passkey(world)
    asked = await world.challenged("ada")
    async with world.browser() as browser:
        code = await confirmed(browser, passkey, link_in(asked))
    link = link_in(asked).removeprefix("/approve/")
    for table in ("short_link", "login_transaction", "handle", "timeline", "audit_event", "page_step", "outbox", "brake"):
        told = repr(await world.rows(table))
        assert not [each for each in (link, link.replace("-", ""), code) if each in told], table
    assert all(link not in trail.text for trail in world.trails)
