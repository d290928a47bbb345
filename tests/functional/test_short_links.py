"""Short links out of a VPN's window, in a real Chromium: each page and state, and whole logins over RADIUS."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.flows.test_link_places import BERLIN, PlacedWorld
from tests.flows.test_portal_passkeys import give_passkey
from tests.flows.test_short_links import code_of, issue_start_code
from tests.flows.world import PHONE_OF_TESTS, rule
from tests.functional.acceptance import FOURTH, ONE, OTHER, THIRD, Look, Only, shows
from tests.functional.chromium import Loop, new_context
from tests.functional.harness import SECRET, Served, csv_of, ended, make_installation, serve, totp_code, wait_for
from tests.functional.harness import Person as HarnessPerson
from tests.functional.portal_site import Site, Visitor
from tests.functional.sms_service import SmsService
from tests.functional.test_radclient import SIGNED, pap, radclient
from tests.mmdb import write_mmdb
from wardgate.engine.outcome import Challenge, Outcome
from wardgate.risk.assessing import Assessor
from wardgate.risk.settings import RiskSettings

pytestmark = pytest.mark.neighbour("chromium")

RULES = [rule("staff", ("password",), ("totp", "passkey"))]
PASSKEYS = Only(script=True, because="a script asks for passkeys")
APP_ONLY = [rule("staff", ("password",), ("totp",))]


class VpnSite(Site):
    """A portal beside a NAS."""

    world: PlacedWorld

    def __init__(self, loop: Loop, folder: Path) -> None:
        super().__init__(loop, folder, PlacedWorld())
        self.world.public_url = self.origin
        self.world.engine = self.world.another_engine()

    def challenged(self, name: str) -> Challenge:
        """What the window is told after the password."""
        return self.run(self.world.challenged(name))

    def answered(self, asked: Outcome, code: str, name: str) -> Outcome:
        """What it is told after this was typed."""
        return self.run(self.world.answer(asked, code, name=name))


@pytest.fixture
def vpn(loop: Loop, tmp_path: Path) -> Iterator[VpnSite]:
    """A portal beside a NAS, over one small world."""
    one = VpnSite(loop, tmp_path)
    yield one
    one.close()


@pytest.fixture
def visitor(browser: Browser, vpn: VpnSite, look: Look) -> Iterator[Visitor]:
    """Somebody with a browser."""
    one = Visitor(browser, vpn, look)
    yield one
    one.close()


def path_in(text: str) -> str:
    """The path of the link in a text."""
    found = re.search(r"/approve/[0-9A-Z]{4}-[0-9A-Z]{4}", text)
    assert found is not None, text
    return found[0]


def key_on(visitor: Visitor) -> bytes:
    """The key that an app is given."""
    shown = visitor.page.locator("code.command").first.inner_text().replace(" ", "")
    return base64.b32decode(shown + "=" * (-len(shown) % 8))


def add_authenticator(visitor: Visitor) -> None:
    """Give the browser one, which somebody touches and unlocks as soon as it is asked."""
    session = visitor.page.context.new_cdp_session(visitor.page)
    session.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": True}
    options |= {"hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True}
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


@shows("A17", ONE)
def test_an_app_is_set_up_out_of_a_vpn_login_and_connects(vpn: VpnSite, visitor: Visitor, tmp_path: Path) -> None:
    vpn.world.assessor = Assessor(RiskSettings(country_file=write_mmdb(tmp_path / "places.mmdb", {"203.0.113.0/24": BERLIN})))
    vpn.world.use_policy(RULES)
    vpn.run(vpn.world.person("carol", phone=PHONE_OF_TESTS))
    asked = vpn.challenged("carol")
    visitor.open(path_in(vpn.run(vpn.world.messages())[0].text))
    visitor.sees("vpn-enrol", visitor.t("approve.heading_enrol"))
    expect(visitor.page.get_by_role("main")).to_contain_text("Somewhere")
    visitor.press("approve.start")
    visitor.sees("vpn-offer", visitor.t("do.enrol"))
    visitor.choose("totp", "do.set_up")
    visitor.sees("vpn-app", visitor.t("account.enrol_totp"))
    secret = key_on(visitor)
    visitor.page.locator("#code").fill("000000")
    visitor.press("account.activate")
    visitor.sees("vpn-app-wrong", visitor.t("account.enrol_totp"), status=422, error=True)
    visitor.page.locator("#code").fill(code_of(vpn.world, secret))
    visitor.press("account.activate")
    visitor.sees("vpn-codes", visitor.t("account.recovery_codes"))
    visitor.press("sign.continue")
    visitor.sees("vpn-codes-unsaved", visitor.t("account.recovery_codes"), status=422, error=True)
    visitor.page.locator("input[name=saved]").check()
    visitor.press("sign.continue")
    visitor.sees("vpn-done-app", visitor.t("approve.heading_done"))
    vpn.later(30)
    granted = vpn.answered(asked, code_of(vpn.world, secret), "carol")
    assert granted.__class__.__name__ == "Granted", granted
    visitor.open("/approve/0000-0000")
    visitor.sees("vpn-over", visitor.t("link.heading_over"), status=410, error=True)


@shows("A17", OTHER)
def test_a_start_code_opens_the_page_and_not_me_ends_the_login(vpn: VpnSite, visitor: Visitor) -> None:
    vpn.world.use_policy(APP_ONLY)
    user = vpn.run(vpn.world.person("dora"))
    start_code = vpn.run(issue_start_code(vpn.world, user))
    asked = vpn.challenged("dora")
    visitor.open(path_in(str(asked.texts[0].values["link"])))
    visitor.sees("vpn-start-code", visitor.t("approve.heading_enrol"))
    visitor.page.locator("#start_code").fill("0000-0000-00000")
    visitor.press("approve.start")
    visitor.sees("vpn-start-code-wrong", visitor.t("approve.heading_enrol"), status=422, error=True)
    visitor.page.locator("#start_code").fill(start_code)
    visitor.press("approve.start")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text(visitor.t("account.enrol_totp"))
    visitor.press("approve.not_me")
    visitor.sees("vpn-disowned", visitor.t("approve.heading_disowned"))
    assert vpn.answered(asked, "123456", "dora").__class__.__name__ == "Denied"


@shows("A17", FOURTH, only=PASSKEYS)
def test_a_passkey_confirms_a_vpn_login(vpn: VpnSite, visitor: Visitor) -> None:
    vpn.run(vpn.world.person("carol", phone=PHONE_OF_TESTS))
    vpn.world.use_policy([rule("passkeys", ("password",), ("passkey",))])
    asked = vpn.challenged("carol")
    visitor.open(path_in(vpn.run(vpn.world.messages())[0].text))
    visitor.press("approve.start")
    visitor.sees("vpn-passkey", visitor.t("passkey.add"))
    # Only now: each examination ends a session of the debugger, and that takes the authenticator away.
    add_authenticator(visitor)
    visitor.press("passkey.create")
    visitor.page.locator("input[name=saved]").check()
    visitor.press("sign.continue")
    code = visitor.page.locator(".window-code").inner_text()
    assert vpn.answered(asked, code, "carol").__class__.__name__ == "Granted"

    again = vpn.challenged("carol")
    visitor.open(link_path(again))
    visitor.press("passkey.use")
    visitor.sees("vpn-done-code", visitor.t("approve.heading_done"))
    granted = vpn.answered(again, visitor.page.locator(".window-code").inner_text(), "carol")
    assert granted.__class__.__name__ == "Granted"


@shows("A17", THIRD, only=Only(script=False, because="with it the passkey is used"))
def test_without_script_the_page_of_a_passkey_says_so(vpn: VpnSite, visitor: Visitor, look: Look) -> None:
    async def given() -> Challenge:
        await give_passkey(vpn.world, await vpn.world.person("ada"))
        return await vpn.world.challenged("ada")

    visitor.open(link_path(vpn.run(given())))
    visitor.sees("vpn-confirm-plain", visitor.t("approve.heading_confirm"))
    if not look.script:
        visitor.reads("passkey.unsupported")


def link_path(asked: Challenge) -> str:
    """The path of the link that the window shows."""
    return path_in(str(asked.texts[0].values["link"]))


# --- over RADIUS, on a server of its own -----------------------------------------------------------------------------------

DOCUMENT = """
realms:
  - {{name: default, default: true, directories: [local]}}
directories:
  - {{name: local, kind: local}}
gateways:
  - name: sms
    kind: http
    ca_file: {sms_ca}
    secret: {{value: an-sms-password}}
    request:
      url: https://localhost:{sms_port}/send
      headers: {{Authorization: "Bearer {{secret}}"}}
      json: {{to: "{{number}}", text: "{{text}}"}}
nas: [{{name: hq, addresses: [127.0.0.1], vendor: paloalto, secret: {{value: {secret}}}, application: vpn}}]
applications:
  - {{name: vpn, title: Office VPN, policy: remote, page_link: shown, enrol_by_link: true}}
policies:
  - {{name: remote, rules: [{{name: staff, then: {{steps: [[password], [totp, passkey]]}}}}]}}
"""
CAROL = HarnessPerson("carol", "pw-of-carol-7", phone="+905321234599")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Served, SmsService]]:
    """A server whose text messages arrive, with a user who has a phone and no second factor."""
    sms = SmsService(tmp_path)
    assert sms.service is not None
    text = DOCUMENT.format(sms_ca=sms.authority.ca_file, sms_port=sms.service.port, secret=SECRET)
    make_installation(tmp_path / "data", text, csv_of([CAROL]))
    with ended(serve(tmp_path / "data")) as server:
        yield server, sms
        server.stop()
    sms.stop()


@pytest.mark.neighbour("radclient")
def test_radclient_is_let_in_by_what_a_chromium_has_just_set_up(served: tuple[Served, SmsService], browser: Browser) -> None:
    server, sms = served
    address = f"127.0.0.1:{server.port}"
    asked = radclient(address, SECRET, *pap("carol", CAROL.password), SIGNED)
    assert asked.kind == "Access-Challenge", asked.output
    assert asked.one("Reply-Message").startswith("Set up your second step: open the link sent to +90 *** ** 99")
    [message] = wait_for(sms.messages)
    found = re.search(r"https://localhost:\d+/approve/\S+", message["text"])
    assert found is not None, message
    context = new_context(browser)
    page = context.new_page()
    page.goto(found[0])
    expect(page.get_by_role("main")).to_contain_text("Office VPN")
    page.get_by_role("button", name="Start").click()
    page.locator("label.choice", has=page.locator("input[value=totp]")).click()
    page.get_by_role("button", name="Set up").click()
    shown = page.locator("code.command").first.inner_text().replace(" ", "")
    key = base64.b32decode(shown + "=" * (-len(shown) % 8)).hex()
    page.locator("#code").fill(totp_code(key))
    page.get_by_role("button", name="Activate").click()
    page.locator("input[name=saved]").check()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Back to the window that asked")
    context.close()
    # The code of this time step was spent on the page; that of the next one is taken early, as by any clock that is ahead.
    let_in = radclient(address, SECRET, *pap("carol", totp_code(key, shift=1)), f"State = {asked.one('State')}", SIGNED)
    assert let_in.kind == "Access-Accept", let_in.output
    assert len([each for each in sms.messages() if "/approve/" in each["text"]]) == 1
