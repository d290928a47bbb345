"""Passkeys in a real Chromium with its virtual authenticator: made, used after the password, used alone, removed, unknown."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.flows.plans import use_plan
from tests.functional.acceptance import FOURTH, ONE, OTHER, THIRD, Look, Only, shows
from tests.functional.chromium import Loop
from tests.functional.portal_site import PASSWORD, Site, Visitor
from wardgate.crypto import Secret
from wardgate.policy.settings import ActionEntrySettings
from wardgate.storage.port import Row, Update

pytestmark = pytest.mark.neighbour("chromium")

NEW = "A Correct-horse-4-battery-staples"
BY_SCRIPT = Only(script=True, because="a script asks for passkeys; what stands there without it has tests of its own")
PLAIN = Only(script=False, because="with it the passkey is used")


def passkeys(site: Site) -> list[Row]:
    """The rows of passkeys that are in force."""
    rows = site.run(site.world.rows("authenticator"))
    return [row for row in rows if row["kind"] == "passkey" and row["state"] == "active"]


class Holder(Visitor):
    """Somebody with an authenticator in his browser."""

    authenticator = ""

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
        self.probe().send("WebAuthn.enable", {"enableUI": False})
        self.authenticator = str(self.probe().send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"])

    def at(self, path: str) -> None:
        """Wait until this page is open."""
        self.page.wait_for_url(re.compile(re.escape(self.site.origin + path) + r"(\?|/|$)"))

    def type_password(self) -> None:
        """Fill in the sign-in form and send it."""
        self.field("sign.user_name").fill("ada")
        self.field("sign.password").fill(PASSWORD)
        self.press("sign.in")

    def click(self, text_id: str) -> None:
        """Press what a script listens to."""
        self.page.get_by_role("button", name=self.t(text_id), exact=True).click()

    def make_passkey(self, name: str = "My computer") -> None:
        """Enrol one."""
        self.site.later(1)
        self.open("/enrol/passkey")
        self.field("account.nickname").fill(name)
        self.click("passkey.create")
        self.at("/enrol/recovery-codes")

    def sign_out(self) -> None:
        """End the session."""
        self.open("/sign-out")
        with self.page.expect_navigation():
            self.page.get_by_role("main").get_by_role("button", name=self.t("account.sign_out")).click()
        self.at("/signed-out")

    def without_autofill(self) -> None:
        """From the next page on only buttons ask: the authenticator answers an autofill before anybody has chosen anything."""
        self.page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")

    def can_unlock(self, can: bool) -> None:
        """Whether from now on the finger is the right one."""
        changes = {"authenticatorId": self.authenticator, "isUserVerified": can}
        self.probe().send("WebAuthn.setUserVerified", changes)

    def credentials(self) -> list[dict[str, Any]]:
        """What the authenticator holds."""
        answer = self.probe().send("WebAuthn.getCredentials", {"authenticatorId": self.authenticator})
        found: list[dict[str, Any]] = answer["credentials"]
        return found

    def gives_up(self) -> None:
        """Whoever cannot unlock it gives up: the browser says so, and nothing is sent to us."""
        self.can_unlock(False)
        before = len(self.site.run(self.site.world.rows("audit_event")))
        self.click("passkey.use")
        expect(self.page.get_by_text(self.t("passkey.cancelled"))).to_be_visible()
        assert len(self.site.run(self.site.world.rows("audit_event"))) == before


Visit = Callable[[], Holder]


@pytest.fixture
def visit(browser: Browser, site: Site, look: Look) -> Iterator[Visit]:
    """Makes people who have an app."""
    made: list[Holder] = []

    async def app() -> None:
        await site.world.give_totp(await site.world.person("ada", PASSWORD, display_name="Ada Lovelace"))

    site.run(app())

    def one() -> Holder:
        made.append(Holder(browser, site, look))
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture
def ada(visit: Visit) -> Holder:
    """One of them, whose browser has an authenticator."""
    one = visit()
    one.add_authenticator()
    return one


@pytest.fixture
def owner(ada: Holder) -> Holder:
    """She has made a passkey, is signed out, and is asked by buttons only."""
    ada.sign_in_by_app()
    ada.make_passkey()
    ada.sign_out()
    ada.without_autofill()
    return ada


@shows("A2", ONE[:1], only=BY_SCRIPT)
def test_passkey_is_made_used_after_the_password_and_removed(site: Site, ada: Holder) -> None:
    ada.sign_in_by_app()
    ada.open("/enrol/passkey")
    ada.sees("passkey-enrol", ada.t("passkey.add"))
    ada.make_passkey()
    [row] = passkeys(site)
    assert row["label"] == "My computer"
    # The same device does not make a second one for the same account.
    ada.open("/enrol/passkey")
    ada.click("passkey.create")
    expect(ada.page.get_by_text(ada.t("passkey.exists"))).to_be_visible()
    ada.examine("passkey-exists")
    ada.sign_out()
    ada.without_autofill()
    ada.open("/sign-in")
    ada.type_password()
    ada.at("/step")
    ada.sees("passkey-step", ada.t("sign.step_passkey"))
    ada.click("passkey.use")
    ada.at("/account")
    [row] = passkeys(site)
    assert row["last_used_at"] is not None
    ada.open("/account/authenticators")
    ada.sees("passkey-listed", ada.t("account.authenticators"))
    with ada.page.expect_navigation():
        ada.page.get_by_role("button", name=re.compile("My computer")).filter(has_text=ada.t("account.remove")).click()
    expect(ada.page.get_by_text("My computer")).to_have_count(0)
    assert passkeys(site) == []


@shows("A2", THIRD[:1], only=BY_SCRIPT)
def test_passkey_signs_in_by_the_button_and_by_autofill(site: Site, visit: Visit, ada: Holder) -> None:
    other = visit()
    other.open("/sign-in")
    expect(other.field("sign.user_name")).to_have_attribute("autocomplete", "username webauthn")
    ada.sign_in_by_app()
    ada.make_passkey()
    ada.sign_out()
    # Autofill: the virtual authenticator is touched as soon as it is asked.
    ada.open("/sign-in")
    ada.at("/account")
    ada.sign_out()
    ada.without_autofill()
    ada.open("/sign-in")
    ada.sees("passkey-sign-in", ada.t("sign.in_to", application="portal"))
    ada.click("passkey.sign_in")
    ada.at("/account")
    factors = [each["factors"] for each in site.run(site.world.payloads("engine:login:granted"))]
    assert factors[1:] == [["passkey", "user_verified"]] * 2


@shows("A2", OTHER[:1], only=BY_SCRIPT)
def test_cancelled_is_no_failed_try(owner: Holder) -> None:
    owner.open("/sign-in")
    owner.type_password()
    owner.at("/step")
    owner.gives_up()
    owner.examine("passkey-cancelled")


@shows("A2", FOURTH[:1], only=BY_SCRIPT)
def test_key_without_a_pin_is_one_proof_beside_the_password(site: Site, visit: Visit) -> None:
    ada = visit()
    ada.add_authenticator(verifies=False)
    ada.sign_in_by_app()
    ada.make_passkey()
    ada.sign_out()
    ada.without_autofill()
    ada.open("/sign-in")
    ada.type_password()
    ada.at("/step")
    ada.click("passkey.use")
    ada.at("/account")
    *_, granted = site.run(site.world.payloads("engine:login:granted"))
    assert granted["factors"] == ["password", "passkey"]


@shows("A2", FOURTH[:1], only=BY_SCRIPT)
def test_removed_passkey_is_unknown_and_the_browser_is_told(site: Site, owner: Holder) -> None:
    async def revoke() -> None:
        [row] = [each for each in await site.world.rows("authenticator") if each["kind"] == "passkey"]
        await site.world.storage.commit([Update("authenticator", {"id": row["id"]}, {"state": "revoked"})])

    site.run(revoke())
    owner.open("/sign-in")
    assert len(owner.credentials()) == 1
    with owner.page.expect_navigation():
        owner.click("passkey.sign_in")
    owner.reads("passkey.unknown")
    owner.examine("passkey-unknown")
    # Whether Chromium then forgets it is its own matter; that it is told which one, is ours.
    expect(owner.page.locator("form.passkey")).to_have_attribute("data-forget", re.compile(r"^[A-Za-z0-9_-]{20,}$"))
    assert site.run(site.world.failures()) == 0


def made_elsewhere(browser: Browser, site: Site, look: Look) -> Holder:
    """Somebody whose passkey was made in a browser with script, and who has none in this one."""
    there = Holder(browser, site, Look(look.width, look.scheme, look.language, True))
    there.add_authenticator()
    there.sign_in_by_app()
    there.make_passkey()
    there.close()
    return Holder(browser, site, look)


@shows("A2", OTHER[1:], only=PLAIN)
def test_without_script_the_other_ways_stand_there(site: Site, visit: Visit, browser: Browser, look: Look) -> None:
    plain = made_elsewhere(browser, site, look)
    site.later(60)
    plain.open("/sign-in")
    expect(plain.page.get_by_text(plain.t("passkey.sign_in"))).to_be_hidden()
    plain.type_password()
    plain.sees("passkey-step-plain", plain.t("sign.step_passkey"))
    plain.reads("passkey.unsupported")
    expect(plain.page.get_by_text(plain.t("passkey.use"))).to_be_hidden()
    plain.follow("sign.other_way")
    expect(plain.page.get_by_text(plain.t("sign.way_totp"))).to_be_visible()
    plain.close()


@pytest.fixture
def numbered(loop: Loop, tmp_path: Path) -> Iterator[Site]:
    """A portal that is opened by its number, which is no site for passkeys."""
    one = Site(loop, tmp_path, host="127.0.0.1")
    one.ada()
    yield one
    one.close()


@shows("A2", ONE[:1], only=BY_SCRIPT)
def test_by_its_number_the_page_says_where_passkeys_work(browser: Browser, numbered: Site, look: Look) -> None:
    ada = Visitor(browser, numbered, look)
    ada.open("/sign-in")
    assert ada.page.get_by_role("button", name=ada.t("passkey.sign_in")).count() == 0
    ada.sign_in_by_app()
    ada.open("/enrol/passkey")
    ada.reads("passkey.not_here", address=f"{numbered.origin.replace('127.0.0.1', 'localhost')}/enrol/passkey")
    ada.sees("passkey-not-here", ada.t("passkey.add"))
    ada.close()


@shows("A2", THIRD[:1], only=BY_SCRIPT)
def test_passkey_is_made_within_a_sign_in_that_demands_one(site: Site, ada: Holder) -> None:
    use_plan(site.world, demands=[ActionEntrySettings(enrol=("passkey", "recovery_code"), level="forced", deferrals=0)])
    ada.sign_in()
    ada.type_code(site.world.totp())
    ada.sees("passkey-demanded", ada.t("do.enrol"))
    ada.press("do.set_up")
    ada.sees("passkey-demanded-enrol", ada.t("passkey.add"))
    ada.press("sign.other_way")
    expect(ada.page.get_by_role("heading", level=1)).to_have_text(ada.t("do.enrol"))
    ada.press("do.set_up")
    ada.field("account.nickname").fill("My computer")
    with ada.page.expect_navigation():
        ada.click("passkey.create")
    expect(ada.page.get_by_role("heading", level=1)).to_have_text(ada.t("account.recovery_codes"))
    ada.page.get_by_role("checkbox").check()
    ada.press("sign.continue")
    ada.at("/account")
    [row] = passkeys(site)
    assert row["label"] == "My computer"


def forgot(person: Visitor) -> None:
    """Go to the page that asks for a passkey before anything is proved."""
    person.open("/forgot")
    person.field("sign.user_name").fill("ada")
    person.press("sign.continue")
    person.choose("passkey")


@shows("A2", OTHER[:1], only=BY_SCRIPT)
def test_forgotten_password_is_reset_by_a_passkey_alone(site: Site, owner: Holder) -> None:
    site.later(86_400)
    forgot(owner)
    owner.sees("passkey-recover", owner.t("sign.step_passkey"))
    # Whoever gives up has tried nothing.
    owner.gives_up()
    owner.can_unlock(True)
    with owner.page.expect_navigation():
        owner.click("passkey.use")
    owner.page.locator("#new_password").fill(NEW)
    owner.press("recover.set_password")
    owner.sees("passkey-recovered", owner.t("recover.done_pw_done"))


@shows("A2", THIRD[1:], only=PLAIN)
def test_reset_without_script_leads_to_the_other_ways(visit: Visit) -> None:
    plain = visit()
    forgot(plain)
    plain.sees("passkey-recover-plain", plain.t("sign.step_passkey"))
    plain.reads("passkey.unsupported")
    expect(plain.page.get_by_text(plain.t("passkey.use"))).to_be_hidden()
    plain.press("sign.other_way")
    expect(plain.page.get_by_text(plain.t("sign.way_totp"))).to_be_visible()


@shows("A2", ONE[:1], only=BY_SCRIPT)
def test_change_is_confirmed_by_the_passkey_and_the_page_says_where_else(site: Site, ada: Holder) -> None:
    ada.sign_in_by_app()
    ada.make_passkey()
    site.later(301)
    ada.open("/account/contacts/add/mail")
    ada.at("/confirm")
    ada.press("sign.continue")
    ada.at("/step")
    ada.follow("sign.other_way")
    ada.reads("sign.confirm_other")
    assert ada.page.locator("input[value=totp]").count() == 0
    ada.examine("passkey-confirm-other")
    ada.follow("sign.back")
    ada.click("passkey.use")
    ada.at("/account/contacts/add/mail")


@shows("A14", FOURTH[:1], only=BY_SCRIPT)
def test_older_passkey_lifts_the_freeze_of_its_person_and_the_password_of_a_thief_is_gone(site: Site, owner: Holder) -> None:
    site.later(8 * 86_400)
    owner.open("/sign-in")
    owner.click("passkey.sign_in")
    owner.at("/account")
    owner.disputes_the_newest()
    owner.at("/sign-in")
    assert len(site.run(site.world.rows("freeze"))) == 1
    assert site.run(site.world.rows("sso_session")) == []
    site.later(60)

    async def set_by_the_thief() -> None:
        user = await site.world.directory.find("ada", 1.0)
        assert user is not None
        await site.world.directory.reset_password(user, Secret("The thief's own choice of 1816"), False, 1.0)

    site.run(set_by_the_thief())
    owner.open("/sign-in")
    owner.click("passkey.sign_in")
    owner.at("/step")
    owner.reads("freeze.lift")
    owner.sees("passkey-lift", owner.t("recover.new_password"))
    owner.page.locator("#new_password").fill(NEW)
    owner.press("recover.set_password")
    owner.at("/account")
    assert site.run(site.world.rows("freeze")) == []
    assert len(passkeys(site)) == 1


@shows("A12", THIRD[1:], only=PLAIN)
def test_recovery_code_that_confirms_says_what_it_is_good_for(site: Site, visit: Visit, browser: Browser, look: Look) -> None:
    async def codes() -> list[str]:
        user = await site.world.directory.find("ada", 1.0)
        assert user is not None
        return await site.world.give_recovery_codes(user)

    plain = made_elsewhere(browser, site, look)
    code = site.run(codes())[0]
    site.later(1)
    plain.open("/sign-in")
    plain.type_password()
    plain.follow("sign.other_way")
    plain.choose("recovery_code")
    plain.type_code(code)
    plain.at("/account")
    plain.open("/enrol/totp")
    plain.at("/enrol/totp")
    plain.open("/account/contacts/add/mail")
    plain.at("/confirm")
    plain.reads("sign.confirm_recovery")
    plain.sees("passkey-confirm-after-recovery-code", plain.t("sign.confirm"))
    plain.press("sign.continue")
    plain.at("/step")
    plain.follow("sign.other_way")
    plain.examine("passkey-confirm-other-plain")
    plain.close()
