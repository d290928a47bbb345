"""Word to people of what happens to their accounts: what sends it, to whom, and what sends none."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.flows.portal_world import BrowserOfTests, PortalWorld
from tests.flows.world import World
from tests.mmdb import country_record, write_mmdb
from wardgate.account.contact import Source, create_contact
from wardgate.clock import to_ms
from wardgate.delivery.outbox import OutboxEntry, open_body
from wardgate.delivery.port import Channel
from wardgate.directory.port import ContactKind, DirectoryUser
from wardgate.engine.outcome import Granted
from wardgate.engine.runtime import EngineConfiguration
from wardgate.engine.settings import NoticeSettings
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.pages.known_browser import KNOWN_COOKIE
from wardgate.policy.rules import compile_policy
from wardgate.policy.settings import FloorSettings, FloorThenSettings, PolicySettings, RuleSettings, ThenSettings
from wardgate.risk.assessing import Assessor
from wardgate.risk.habits import forget_habits
from wardgate.risk.settings import RiskSettings
from wardgate.texts import LANGUAGES

PHONE, MAIL = "+905321234567", "ada@acme.test"
NEW_PASSWORD = "a lantern on the pier 71"
DAY_S = 86_400


async def a_world(**fields: object) -> tuple[PortalWorld, DirectoryUser]:
    world = PortalWorld()
    user = await world.person("ada", **{"mail": MAIL, "phone": PHONE, **fields})
    await world.give_totp(user)
    return world, user


async def sign_in(world: PortalWorld, browser: BrowserOfTests, name: str = "ada") -> None:
    world.later(30)
    await browser.sign_in(name)
    await browser.post(code=world.totp(), act="answer")


async def told(world: World) -> list[OutboxEntry]:
    """What went out but codes, the oldest first."""
    return [each for each in reversed(await world.messages()) if not each.code]


# --- a browser that was not used before ------------------------------------------------------------------------------


async def test_first_sign_in_of_a_life_and_a_known_browser_are_told_to_nobody() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        await sign_in(world, browser)
        await browser.client.post("/sign-out", headers={"sec-fetch-site": "same-origin"})
        browser.client.cookies.delete("__Host-wg_session")
        world.later(2 * DAY_S)
        await sign_in(world, browser)
        assert browser.path == "/account"
    assert await told(world) == []


@pytest.mark.parametrize("language", LANGUAGES)
async def test_thief_who_signs_in_with_a_browser_of_his_own_is_told_of_once_a_day(language: str) -> None:
    world, _ = await a_world(language=language)
    async with world.browser() as browser:
        await sign_in(world, browser)
    agent = "Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/140.0"
    for _ in range(2):
        async with world.browser(headers={"user-agent": agent}) as browser:
            await sign_in(world, browser)
    [message] = await told(world)
    assert (message.to, message.channel) == (MAIL, Channel.EMAIL)
    assert "Firefox, Windows" in message.text
    assert "203.0.113" not in message.text
    world.later(DAY_S)
    async with world.browser() as browser:
        await sign_in(world, browser)
    assert len(await told(world)) == 2


async def test_cookie_of_somebody_else_or_of_ones_own_making_hides_no_browser() -> None:
    world, _ = await a_world()
    eve = await world.person("eve", mail="eve@acme.test")
    await world.give_totp(eve)
    async with world.browser() as browser:
        await sign_in(world, browser)
    async with world.browser() as browser:
        await sign_in(world, browser, "eve")
        stolen = browser.client.cookies[KNOWN_COOKIE]
    browser_id, tag = stolen.split(".")
    for value in (stolen, f"{browser_id}.{tag[::-1]}", "x", f"{browser_id}.{'A' * 16}"):
        world.later(DAY_S)
        before = len(await told(world))
        async with world.browser() as browser:
            browser.client.cookies.set(KNOWN_COOKIE, value, domain="login.acme.test")
            await sign_in(world, browser)
        assert len(await told(world)) == before + 1, value


async def test_nobody_is_told_of_browsers_where_that_is_off() -> None:
    world, _ = await a_world()
    world.notices = NoticeSettings(new_browser=False)
    for _ in range(2):
        async with world.browser() as browser:
            await sign_in(world, browser)
    assert await told(world) == []


# --- a place that was not signed in from before ----------------------------------------------------------------------


@dataclass
class PlacedWorld(PortalWorld):
    """A world that knows countries, where the operator gave a file of them."""

    assessor: Assessor | None = None

    def configuration(self) -> EngineConfiguration:
        """With the file."""
        return replace(super().configuration(), risk=self.assessor)

    async def from_place(self, address: str, known: str = "") -> str:
        """Sign in from there; what the browser keeps for the next time."""
        self.address = address
        async with self.browser() as browser:
            if known:
                browser.client.cookies.set(KNOWN_COOKIE, known, domain="login.acme.test")
            await sign_in(self, browser)
            assert browser.path == "/account"
            return browser.client.cookies[KNOWN_COOKIE]


HOME, AT_WORK, FAR, NOWHERE = "198.51.100.7", "198.51.100.8", "203.0.113.7", "192.0.2.9"


async def placed(tmp_path: Path, with_file: bool = True, enabled: bool = False) -> PlacedWorld:
    world = PlacedWorld()
    user = await world.person("ada", mail=MAIL, phone=PHONE)
    await world.give_totp(user)
    if with_file:
        places = {"198.51.100.0/24": country_record("TR"), "203.0.113.0/24": country_record("KP")}
        world.assessor = Assessor(RiskSettings(enabled=enabled, country_file=write_mmdb(tmp_path / "places.mmdb", places)))
    return world


@pytest.mark.parametrize("enabled", [True, False], ids=("with scores", "countries only"))
async def test_thief_with_a_stolen_cookie_in_another_country_is_told_of(tmp_path: Path, enabled: bool) -> None:
    world = await placed(tmp_path, enabled=enabled)
    cookie = await world.from_place(HOME)
    cookie = await world.from_place(AT_WORK, cookie)
    assert await told(world) == []
    await world.from_place(FAR, cookie)
    [message] = await told(world)
    assert (message.to, message.channel) == (MAIL, Channel.EMAIL)
    assert "from a country from which you had not signed in here before" in message.text
    assert "· Somewhere ·" in message.text
    assert FAR not in message.text
    for address in (FAR, HOME, NOWHERE):
        await world.from_place(address, cookie)
    assert len(await told(world)) == 1


async def test_new_browser_in_a_new_country_is_one_mail(tmp_path: Path) -> None:
    world = await placed(tmp_path)
    await world.from_place(HOME)
    world.later(DAY_S)
    await world.from_place(FAR)
    [message] = await told(world)
    assert "from a country" in message.text
    world.later(DAY_S)
    await world.from_place(FAR)
    assert "with a browser" in (await told(world))[-1].text


async def test_without_a_file_of_countries_nothing_is_kept_of_places(tmp_path: Path) -> None:
    world = await placed(tmp_path, with_file=False)
    cookie = await world.from_place(HOME)
    await world.from_place(FAR, cookie)
    assert await told(world) == []
    assert await world.rows("habit") == []


async def test_places_are_kept_as_fingerprints_and_told_to_nobody_where_that_is_off(tmp_path: Path) -> None:
    world = await placed(tmp_path)
    world.notices = NoticeSettings(new_browser=False)
    cookie = await world.from_place(HOME)
    await world.from_place(FAR, cookie)
    assert await told(world) == []
    rows = await world.rows("habit")
    assert [row["kind"] for row in rows] == ["sign_in", "sign_in"]
    assert not any(code in repr(rows) for code in ("TR", "KP"))
    await world.storage.commit([forget_habits(str(rows[0]["subject_id"]))])
    assert await world.rows("habit") == []


# --- wrong tries from everywhere ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "subject", "said"),
    [
        ("en", "Wrong tries on your account", ("Somebody tried 50 times", "Your account is still yours", "Give no code to anyone")),
        ("tr", "Hesabınızda hatalı denemeler", ("50 kez", "Hesabınız hâlâ sizin", "kod")),
    ],
)
async def test_owner_reads_how_often_somebody_tried_that_he_can_go_on_and_where_to_look(
    language: str, subject: str, said: tuple[str, ...]
) -> None:
    world, _ = await a_world(language=language)
    for number in range(world.brakes.user_failures):
        world.address = f"10.{number}.0.1"
        async with world.browser() as browser:
            page = await browser.sign_in("ada", "guess")
            assert "tried" not in page.text
    [row] = await world.rows("outbox")
    sealed = row["sealed"]
    assert isinstance(sealed, bytes)
    body = open_body(world.ring, str(row["id"]), sealed)
    assert (body.to, body.subject, row["channel"]) == (MAIL, subject, "email")
    for words in said:
        assert words in body.text
    assert "https://login.acme.test/account/activity" in body.text
    assert "/l/" not in body.text
    assert "10." not in body.text


# --- a password that runs out ----------------------------------------------------------------------------------------


def ends_in(world: World, user: DirectoryUser, **delta: float) -> None:
    now: datetime = world.clock.now()
    world.directory.change_end(user, now + timedelta(**delta))


async def test_end_of_a_password_is_offered_once_for_each_of_the_days_and_may_wait() -> None:
    world, user = await a_world()
    ends_in(world, user, days=20)
    offered = []
    for _ in range(21):
        async with world.browser() as browser:
            await sign_in(world, browser)
            if "runs out" in browser.page.text:
                offered.append(browser.page.text.partition("runs out ")[2].partition(".")[0])
                assert "/account/password" in browser.page.text
                await browser.get("/account")
            assert browser.path == "/account", browser.page.text
        world.later(DAY_S - 30)
        if len(offered) == 4:
            break
    assert offered == ["in 14 days", "in 7 days", "in 3 days", "within a day"]


async def test_end_of_a_password_is_mailed_after_a_login_that_shows_no_page() -> None:
    world = World()
    user = await world.person("ada", mail=MAIL, phone=PHONE)
    await world.give_totp(user)
    ends_in(world, user, days=6, hours=12)
    for _ in range(2):
        world.later(30)
        assert isinstance(await world.begin("ada", code=world.totp()), Granted)
    [message] = await told(world)
    assert (message.to, message.channel) == (MAIL, Channel.EMAIL)
    assert "runs out on" in message.text


@pytest.mark.parametrize("delta", [{"days": 15}, {"days": -1}])
async def test_far_end_and_one_that_is_over_send_nothing(delta: dict[str, float]) -> None:
    world = World()
    user = await world.person("ada", mail=MAIL)
    await world.give_totp(user)
    ends_in(world, user, **delta)
    assert isinstance(await world.begin("ada", code=world.totp()), Granted)
    assert await told(world) == []
    assert await world.storage.find("demand", ()) == []


# --- administrators and the help desk --------------------------------------------------------------------------------


@pytest.mark.parametrize("is_administrator", [True, False])
async def test_reset_of_an_administrator_is_told_to_those_who_look_after_security(is_administrator: bool) -> None:
    world, user = await a_world()
    world.notices = NoticeSettings(security_mail=("security@acme.test",))
    strict = FloorThenSettings(strong_factors=2)
    floors = (FloorSettings(name="administrators", when={"user": ["ada" if is_administrator else "eve"]}, then=strict),)
    rules = (RuleSettings(name="all", then=ThenSettings(steps=(("password",), ("totp", "sms")))),)
    world.policy = compile_policy(PolicySettings(name="p", rules=rules, floors=floors), KINDS, STRONG_KINDS)
    codes = await world.give_recovery_codes(user)
    world.later(2 * DAY_S)
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        await browser.post(method="totp", act="choose")
        await browser.post(code=world.totp(), act="answer")
        await browser.post(method="recovery_code", act="choose")
        await browser.post(code=codes[0], act="answer")
        page = await browser.post(new_password=NEW_PASSWORD, act="password")
        assert "Password changed" in page.text, page.text
    found = [each.text for each in await told(world) if each.to == "security@acme.test"]
    assert len(found) == int(is_administrator)
    assert all("ada" in text and "Authenticator app, Recovery codes" in text for text in found)
    mine = [each for each in await told(world) if each.to in (MAIL, PHONE) and "signed out everywhere" in each.text]
    assert sorted(each.channel for each in mine) == [Channel.EMAIL, Channel.SMS]


async def test_freeze_is_told_to_those_who_will_be_called() -> None:
    world, _ = await a_world()
    world.notices = NoticeSettings(security_mail=("security@acme.test",))
    async with world.browser() as browser:
        await sign_in(world, browser)
        page = await browser.get("/account/activity")
        address = page.text.partition('href="/account/activity/')[2].partition('"')[0]
        await browser.get(f"/account/activity/{address}")
        await browser.post()
        assert browser.path == "/sign-in", browser.page.text
    assert any(each.to == "security@acme.test" and "ada is on hold" in each.text for each in await told(world))


# --- where it goes -----------------------------------------------------------------------------------------------------


async def test_one_text_message_goes_to_the_number_that_was_verified_first() -> None:
    world, user = await a_world(phone=None)
    subject_id = await world.subject_of(user)
    now_ms = to_ms(world.clock.now())
    for number, age_s in (("+905329999999", 3), ("+905321111111", 3_000)):
        at_ms = now_ms - age_s * 1000
        made = create_contact(world.ring, subject_id, ContactKind.PHONE, number, Source.PERSON, at_ms, at_ms)
        await world.storage.commit(made)
    async with world.browser() as browser:
        await sign_in(world, browser)
        await browser.get("/enrol/recovery-codes")
        await browser.post()
    found = [each for each in await told(world) if each.channel == Channel.SMS]
    assert [each.to for each in found] == ["+905321111111"]
    assert "recovery codes was made" in found[0].text
