"""Passkeys in a real Chromium with its virtual authenticator: made, used after the password, used alone, removed, unknown."""

import re
import socket
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, expect

from tests.flows.plans import use_plan
from tests.flows.portal_world import PortalWorld
from tests.functional.chromium import AXE, Loop, new_context, new_tls_files, overflow, paint
from wardgate.crypto import Secret
from wardgate.engine.runtime import EngineParts
from wardgate.policy.settings import ActionEntrySettings
from wardgate.portal.routes import portal_pages
from wardgate.storage.port import Row, Update
from wardgate.texts import Text, render
from wardgate.web.app import build_web_app
from wardgate.web.server import HttpsServer

pytestmark = pytest.mark.neighbour("chromium")

_T = TypeVar("_T")
PASSWORD = "correct horse"
NEW = "Correct-horse-4-battery-staples"
# Asked by the session that has the authenticator: the end of another one would take that away.
ASK_AXE = """(async () => {
  const found = await axe.run(document);
  return [...found.violations, ...found.incomplete].map(e => e.id + ": " + e.nodes.map(n => n.target.join(" ")).join(", "));
})()"""


class Site:
    """One server over the small world of the flow tests, under the machine's name for itself: a number is no site for passkeys."""

    def __init__(self, loop: Loop, folder: Path) -> None:
        self._loop = loop
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.origin = f"https://localhost:{self.port}"
        self.world = world = PortalWorld(origin=f"https://127.0.0.1:{self.port}")
        parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, keep_messages=True)
        context = world.context()
        app = build_web_app(context, ("portal",), [portal_pages(parts)])
        self._server = HttpsServer(app, listener, new_tls_files(folder), context.streams.close)
        self.run(self._server.start())

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do something on the server's loop."""
        return self._loop.run(work)

    def ada(self) -> None:
        """Ada has an app."""

        async def made() -> None:
            await self.world.give_totp(await self.world.person("ada", PASSWORD, display_name="Ada Lovelace"))

        self.run(made())

    def passkeys(self) -> list[Row]:
        """The rows of passkeys that are in force."""
        rows = self.run(self.world.rows("authenticator"))
        return [row for row in rows if row["kind"] == "passkey" and row["state"] == "active"]

    def close(self) -> None:
        """Stop serving."""
        self.run(self._server.stop(1.0))


@dataclass
class Person:
    """Somebody with a browser and an authenticator in it."""

    site: Site
    page: Page
    session: CDPSession
    authenticator: str = ""

    def add_authenticator(self, *, verifies: bool = True) -> None:
        """Give the browser one, which somebody touches as soon as it is asked. `verifies`: it is unlocked by PIN or finger."""
        options = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": verifies,
            "isUserVerified": verifies,
            "automaticPresenceSimulation": True,
        }
        added = self.session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self.authenticator = str(added["authenticatorId"])

    def go(self, path: str) -> None:
        """Open a page."""
        self.page.goto(self.site.origin + path)

    def at(self, path: str) -> None:
        """Wait until this page is open."""
        self.page.wait_for_url(re.compile(re.escape(self.site.origin + path) + r"(\?|/|$)"))

    def type_password(self) -> None:
        """Fill in the sign-in form and send it."""
        self.page.get_by_label("User name").fill("ada")
        self.page.get_by_label("Password", exact=True).fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in", exact=True).click()

    def sign_in_by_app(self) -> None:
        """Password and code."""
        self.go("/sign-in")
        self.type_password()
        self.page.get_by_label("Code", exact=True).fill(self.site.world.totp())
        self.page.get_by_role("button", name="Continue").click()
        self.at("/account")

    def make_passkey(self, name: str = "My computer") -> None:
        """Enrol one."""
        self.site.world.later(1)
        self.go("/enrol/passkey")
        self.page.get_by_label("A name for it").fill(name)
        self.page.get_by_role("button", name="Create passkey").click()
        self.at("/enrol/recovery-codes")

    def sign_out(self) -> None:
        """End the session."""
        self.go("/sign-out")
        self.page.get_by_role("main").get_by_role("button", name="Sign out").click()
        self.at("/signed-out")

    def without_autofill(self) -> None:
        """From the next page on only buttons ask: the authenticator answers an autofill before anybody has chosen anything."""
        self.page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")

    def cannot_unlock(self) -> None:
        """From now on the finger is not the right one."""
        changes = {"authenticatorId": self.authenticator, "isUserVerified": False}
        self.session.send("WebAuthn.setUserVerified", changes)

    def credentials(self) -> list[dict[str, Any]]:
        """What the authenticator holds."""
        answer = self.session.send("WebAuthn.getCredentials", {"authenticatorId": self.authenticator})
        found: list[dict[str, Any]] = answer["credentials"]
        return found

    def is_clean(self, name: str) -> None:
        """Nothing to object to on this page, and it does not scroll sideways."""
        self.session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
        answer = self.session.send("Runtime.evaluate", {"expression": ASK_AXE, "awaitPromise": True, "returnByValue": True})
        assert answer["result"]["value"] == [], name
        assert overflow(self.page) <= 0
        paint(self.page, f"passkey-{name}")


@pytest.fixture
def site(loop: Loop, tmp_path: Path) -> Iterator[Site]:
    one = Site(loop, tmp_path)
    one.ada()
    yield one
    one.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    one = new_context(browser)
    yield one
    one.close()


@pytest.fixture
def ada(site: Site, context: BrowserContext) -> Person:
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable", {"enableUI": False})
    person = Person(site, page, session)
    person.add_authenticator()
    return person


def test_passkey_is_made_used_after_the_password_and_removed(site: Site, ada: Person) -> None:
    ada.sign_in_by_app()
    ada.go("/enrol/passkey")
    ada.is_clean("enrol")
    ada.make_passkey()
    [row] = site.passkeys()
    assert row["label"] == "My computer"
    # The same device does not make a second one for the same account.
    ada.go("/enrol/passkey")
    ada.page.get_by_role("button", name="Create passkey").click()
    expect(ada.page.get_by_text("already has a passkey")).to_be_visible()
    ada.sign_out()
    ada.without_autofill()
    ada.go("/sign-in")
    ada.type_password()
    ada.at("/step")
    ada.is_clean("step")
    ada.page.get_by_role("button", name="Continue with passkey").click()
    ada.at("/account")
    [row] = site.passkeys()
    assert row["last_used_at"] is not None
    ada.go("/account/authenticators")
    ada.page.get_by_role("button", name="Remove My computer").click()
    expect(ada.page.get_by_text("My computer")).to_have_count(0)
    assert site.passkeys() == []


def test_passkey_signs_in_by_the_button_and_by_autofill(site: Site, ada: Person) -> None:
    ada.sign_in_by_app()
    ada.make_passkey()
    ada.sign_out()
    # Autofill: the virtual authenticator is touched as soon as it is asked.
    ada.go("/sign-in")
    ada.at("/account")
    ada.sign_out()
    ada.without_autofill()
    ada.go("/sign-in")
    ada.is_clean("sign-in")
    ada.page.get_by_role("button", name="Sign in with a passkey").click()
    ada.at("/account")
    factors = [each["factors"] for each in site.run(site.world.payloads("engine:login:granted"))]
    assert factors[1:] == [["passkey", "user_verified"]] * 2


def test_cancelled_is_no_failed_try(site: Site, ada: Person) -> None:
    ada.sign_in_by_app()
    ada.make_passkey()
    ada.sign_out()
    ada.without_autofill()
    ada.go("/sign-in")
    ada.type_password()
    ada.at("/step")
    # Whoever cannot unlock it gives up: the browser says so, and nothing is sent to us.
    ada.cannot_unlock()
    before = len(site.run(site.world.rows("audit_event")))
    ada.page.get_by_role("button", name="Continue with passkey").click()
    expect(ada.page.get_by_text("No passkey was used")).to_be_visible()
    assert len(site.run(site.world.rows("audit_event"))) == before


def test_key_without_a_pin_is_one_proof_beside_the_password(site: Site, ada: Person) -> None:
    ada.session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": ada.authenticator})
    ada.add_authenticator(verifies=False)
    ada.sign_in_by_app()
    ada.make_passkey()
    ada.sign_out()
    ada.without_autofill()
    ada.go("/sign-in")
    ada.type_password()
    ada.at("/step")
    ada.page.get_by_role("button", name="Continue with passkey").click()
    ada.at("/account")
    *_, granted = site.run(site.world.payloads("engine:login:granted"))
    assert granted["factors"] == ["password", "passkey"]


def test_removed_passkey_is_unknown_and_the_browser_is_told(site: Site, ada: Person) -> None:
    ada.sign_in_by_app()
    ada.make_passkey()
    ada.sign_out()

    async def revoke() -> None:
        [row] = [each for each in await site.world.rows("authenticator") if each["kind"] == "passkey"]
        await site.world.storage.commit([Update("authenticator", {"id": row["id"]}, {"state": "revoked"})])

    site.run(revoke())
    ada.without_autofill()
    ada.go("/sign-in")
    assert len(ada.credentials()) == 1
    ada.page.get_by_role("button", name="Sign in with a passkey").click()
    expect(ada.page.get_by_text("no longer known here")).to_be_visible()
    # Whether Chromium then forgets it is its own matter; that it is told which one, is ours.
    expect(ada.page.locator("form.passkey")).to_have_attribute("data-forget", re.compile(r"^[A-Za-z0-9_-]{20,}$"))
    assert site.run(site.world.failures()) == 0


def test_without_script_the_other_ways_stand_there(site: Site, browser: Browser, ada: Person) -> None:
    ada.sign_in_by_app()
    ada.make_passkey()
    context = new_context(browser, java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(f"{site.origin}/sign-in")
        assert not page.get_by_role("button", name="Sign in with a passkey").is_visible()
        plain = Person(site, page, ada.session)
        plain.type_password()
        expect(page.get_by_text("cannot use passkeys here").first).to_be_visible()
        assert not page.get_by_role("button", name="Continue with passkey").is_visible()
        page.get_by_role("link", name="Use another way").click()
        expect(page.get_by_label("Code from an app")).to_be_visible()
    finally:
        context.close()


def test_pages_in_turkish_on_a_dark_phone_are_clean(site: Site, browser: Browser, ada: Person) -> None:
    ada.sign_in_by_app()
    ada.make_passkey()
    context = new_context(browser, locale="tr", color_scheme="dark", viewport={"width": 390, "height": 844})
    try:
        page = context.new_page()
        phone = Person(site, page, context.new_cdp_session(page))
        page.goto(f"{site.origin}/sign-in")
        expect(page.get_by_role("button", name="Geçiş anahtarıyla oturum aç")).to_be_visible()
        expect(page.locator("#username")).to_have_attribute("autocomplete", "username webauthn")
        phone.is_clean("sign-in-phone-dark-tr")
        page.locator("#username").fill("ada")
        page.locator("#password").fill(PASSWORD)
        page.get_by_role("button", name="Oturum aç", exact=True).click()
        phone.at("/step")
        expect(page.get_by_role("button", name="Geçiş anahtarıyla devam et")).to_be_visible()
        phone.is_clean("step-phone-dark-tr")
    finally:
        context.close()


def test_by_its_number_the_page_says_where_passkeys_work(site: Site, ada: Person) -> None:
    ada.page.goto(f"https://127.0.0.1:{site.port}/sign-in")
    assert ada.page.get_by_role("button", name="Sign in with a passkey").count() == 0
    ada.type_password()
    ada.page.get_by_label("Code", exact=True).fill(site.world.totp())
    ada.page.get_by_role("button", name="Continue").click()
    ada.page.goto(f"https://127.0.0.1:{site.port}/enrol/passkey")
    expect(ada.page.get_by_text(f"{site.origin}/enrol/passkey")).to_be_visible()


def test_passkey_is_made_within_a_sign_in_that_demands_one(site: Site, ada: Person) -> None:
    use_plan(site.world, demands=[ActionEntrySettings(enrol=("passkey", "recovery_code"), level="forced", deferrals=0)])
    ada.go("/sign-in")
    ada.type_password()
    ada.page.get_by_label("Code", exact=True).fill(site.world.totp())
    ada.page.get_by_role("button", name="Continue").click()
    expect(ada.page.get_by_role("heading", name="Add a second step")).to_be_visible()
    ada.is_clean("demanded")
    ada.page.get_by_role("button", name="Set up").click()
    ada.is_clean("demanded-passkey")
    ada.page.get_by_role("button", name="Use another way").click()
    expect(ada.page.get_by_role("heading", name="Add a second step")).to_be_visible()
    ada.page.get_by_role("button", name="Set up").click()
    ada.page.get_by_label("A name for it").fill("My computer")
    ada.page.get_by_role("button", name="Create passkey").click()
    expect(ada.page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    ada.page.get_by_role("checkbox").check()
    ada.page.get_by_role("button", name="Continue").click()
    ada.at("/account")
    [row] = site.passkeys()
    assert row["label"] == "My computer"


def forgot(person: Person, words: tuple[str, str]) -> None:
    """Go to the page that asks for a passkey before anything is proved. `words`: the passkey among the ways, and the button."""
    person.go("/forgot")
    person.page.locator("#username").fill("ada")
    person.page.locator("main button.primary").click()
    person.at("/recover")
    person.page.get_by_label(words[0]).check()
    person.page.locator("main button.primary").click()
    expect(person.page.get_by_role("button", name=words[1])).to_be_visible()


def test_forgotten_password_is_reset_by_a_passkey_alone(site: Site, ada: Person) -> None:
    ada.sign_in_by_app()
    ada.make_passkey()
    ada.sign_out()
    site.world.later(86_400)
    forgot(ada, ("Passkey", "Continue with passkey"))
    ada.is_clean("recover")
    # Whoever gives up has tried nothing.
    ada.cannot_unlock()
    before = len(site.run(site.world.rows("audit_event")))
    ada.page.get_by_role("button", name="Continue with passkey").click()
    expect(ada.page.get_by_text("No passkey was used")).to_be_visible()
    assert len(site.run(site.world.rows("audit_event"))) == before
    ada.session.send("WebAuthn.setUserVerified", {"authenticatorId": ada.authenticator, "isUserVerified": True})
    ada.page.get_by_role("button", name="Continue with passkey").click()
    ada.page.locator("#new_password").fill("a very long new passphrase")
    ada.page.locator("main button.primary").click()
    expect(ada.page.get_by_role("heading", name="Password changed")).to_be_visible()


def test_reset_by_a_passkey_in_turkish_on_a_dark_phone(site: Site, browser: Browser, ada: Person) -> None:
    ada.sign_in_by_app()
    ada.make_passkey()
    ada.sign_out()
    [kept] = ada.credentials()
    site.world.later(86_400)
    context = new_context(browser, locale="tr", color_scheme="dark", viewport={"width": 390, "height": 844})
    try:
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("WebAuthn.enable", {"enableUI": False})
        phone = Person(site, page, session)
        phone.add_authenticator()
        session.send("WebAuthn.addCredential", {"authenticatorId": phone.authenticator, "credential": kept})
        forgot(phone, ("Geçiş anahtarı", "Geçiş anahtarıyla devam et"))
        phone.is_clean("recover-phone-dark-tr")
        page.get_by_role("button", name="Geçiş anahtarıyla devam et").click()
        expect(page.locator("#new_password")).to_be_visible()
    finally:
        context.close()


def test_reset_without_script_leads_to_the_other_ways(site: Site, browser: Browser, ada: Person) -> None:
    context = new_context(browser, java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(f"{site.origin}/forgot")
        page.locator("#username").fill("ada")
        page.locator("main button.primary").click()
        page.get_by_label("Passkey").check()
        page.locator("main button.primary").click()
        expect(page.get_by_text("cannot use passkeys here").first).to_be_visible()
        assert not page.get_by_role("button", name="Continue with passkey").is_visible()
        page.get_by_role("button", name="Use another way").click()
        expect(page.get_by_label("Code from an app")).to_be_visible()
    finally:
        context.close()


def test_change_is_confirmed_by_the_passkey_and_the_page_says_where_else(site: Site, ada: Person) -> None:
    ada.sign_in_by_app()
    ada.make_passkey()
    site.world.later(301)
    ada.go("/account/contacts/add/mail")
    ada.at("/confirm")
    ada.page.get_by_role("button", name="Continue").click()
    ada.at("/step")
    ada.page.get_by_role("link", name="Use another way").click()
    expect(ada.page.get_by_text("call the help desk")).to_be_visible()
    assert ada.page.get_by_label("Code from an app").count() == 0
    ada.is_clean("confirm-other")
    ada.page.get_by_role("link", name="Back").click()
    ada.page.get_by_role("button", name="Continue with passkey").click()
    ada.at("/account/contacts/add/mail")


def test_older_passkey_lifts_the_freeze_of_its_person_and_the_password_of_a_thief_is_gone(site: Site, ada: Person) -> None:
    ada.sign_in_by_app()
    ada.make_passkey()
    ada.without_autofill()
    site.world.later(8 * 86_400)
    ada.go("/sign-in")
    ada.page.get_by_role("button", name="Sign in with a passkey").click()
    ada.at("/account")
    ada.go("/account/activity")
    ada.page.locator(".happened a").first.click()
    ada.page.get_by_role("button", name=render(Text("link.act_not_me"), "en")).click()
    ada.at("/sign-in")
    assert len(site.run(site.world.rows("freeze"))) == 1
    assert site.run(site.world.rows("sso_session")) == []
    site.world.later(60)

    async def set_by_the_thief() -> None:
        user = await site.world.directory.find("ada", 1.0)
        assert user is not None
        await site.world.directory.reset_password(user, Secret("the thief's own choice"), False, 1.0)

    site.run(set_by_the_thief())
    ada.go("/sign-in")
    ada.page.get_by_role("button", name="Sign in with a passkey").click()
    ada.at("/step")
    expect(ada.page.get_by_text(render(Text("freeze.lift"), "en"))).to_be_visible()
    ada.is_clean("lift")
    ada.page.locator("#new_password").fill(NEW)
    ada.page.get_by_role("button", name=render(Text("recover.set_password"), "en")).click()
    ada.at("/account")
    assert site.run(site.world.rows("freeze")) == []
    assert len(site.passkeys()) == 1


def test_recovery_code_that_confirms_says_what_it_is_good_for(site: Site, browser: Browser, ada: Person) -> None:
    async def codes() -> list[str]:
        user = await site.world.directory.find("ada", 1.0)
        assert user is not None
        return await site.world.give_recovery_codes(user)

    ada.sign_in_by_app()
    ada.make_passkey()
    code = site.run(codes())[0]
    context = new_context(browser, locale="tr", color_scheme="dark", viewport={"width": 390, "height": 844})
    try:
        page = context.new_page()
        phone = Person(site, page, context.new_cdp_session(page))
        site.world.later(1)
        phone.go("/sign-in")
        page.locator("#username").fill("ada")
        page.locator("#password").fill(PASSWORD)
        page.get_by_role("button", name="Oturum aç", exact=True).click()
        phone.at("/step")
        page.get_by_role("link", name="Başka bir yol kullan").click()
        page.locator("input[value=recovery_code]").check()
        page.locator("main button.primary").click()
        page.locator("#code").fill(code)
        page.locator("main button.primary").click()
        phone.at("/account")
        phone.go("/enrol/totp")
        phone.at("/enrol/totp")
        phone.go("/account/contacts/add/mail")
        phone.at("/confirm")
        expect(page.get_by_text("Kurtarma koduyla yalnızca")).to_be_visible()
        phone.is_clean("confirm-after-recovery-code")
        page.locator("main button.primary").click()
        phone.at("/step")
        page.get_by_role("link", name="Başka bir yol kullan").click()
        phone.is_clean("confirm-other-phone-dark-tr")
    finally:
        context.close()
