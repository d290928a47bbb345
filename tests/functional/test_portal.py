"""The portal in a real Chromium: journeys that people make, each page and state of them examined as `portal_site.py` says."""

import base64
import re

import pytest
from playwright.sync_api import Browser, Response, expect

from tests.flows.plans import use_plan
from tests.functional.acceptance import FOURTH, ONE, OTHER, THIRD, Look, Only, shows
from tests.functional.chromium import new_context
from tests.functional.portal_site import PASSWORD, Site, Visit, Visitor
from wardgate.directory.port import AccountState
from wardgate.engine.settings import BrakeSettings

pytestmark = pytest.mark.neighbour("chromium")

PHONE = "+905321234547"
NEW = "A very long new passphrase of 1816"
SHORT = "Sh0rt phrase"
FIRST_PAGE_BYTES = 40_000
FIRST_PAGE_REQUESTS = 4


# --- signing in ----------------------------------------------------------------------------------------------------------


@shows("A1", ONE)
def test_password_and_app_code_and_the_same_code_again(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.open("/")
    ada.sees("sign-in", ada.t("sign.in_to", application="portal"))
    ada.sign_in()
    ada.sees("code-app", ada.t("sign.step_totp"))
    code = site.world.totp()
    ada.type_code(site.world.wrong_code())
    ada.sees("code-wrong", ada.t("sign.step_totp"), status=422, error=True)
    ada.reads("code.wrong", left=2)
    ada.type_code(code)
    ada.sees("account", ada.t("account.overview"))
    again = visit()
    again.sign_in()
    again.type_code(code)
    again.sees("code-reused", again.t("sign.step_totp"), status=422, error=True)
    again.reads("code.reused")


@shows("A1", OTHER)
def test_wrong_unknown_disabled_and_locked_see_one_page(site: Site, visit: Visit) -> None:
    site.ada()
    site.run(site.world.person("bob", PASSWORD, state=AccountState.DISABLED))
    site.run(site.world.person("dave", PASSWORD, state=AccountState.LOCKED))
    pages = set()
    for name, password in (("ada", "wrong password"), ("nobody", "wrong password"), ("bob", PASSWORD), ("dave", PASSWORD)):
        one = visit()
        one.open("/sign-in")
        one.field("sign.user_name").fill(name)
        one.field("sign.password").fill(password)
        with one.page.expect_response(lambda reply: reply.request.method == "POST") as replied:
            one.press("sign.in")
        pages.add((replied.value.status, _bare(replied.value, name)))
    assert len(pages) == 1
    one.sees("sign-in-wrong", one.t("sign.in_to", application="portal"), status=422, error=True)
    site.world.brakes = BrakeSettings(source_failures=5)
    for number in range(3):
        one.sign_in(f"nobody{number}", "wrong password")
    one.sees("sign-in-braked", one.t("sign.in_to", application="portal"), status=429, error=True)


def _bare(reply: Response, name: str) -> str:
    """A page without its form token, its reference and the name that was typed."""
    return re.sub(rf'name="csrf" value="\w+"|value="{name}"|(Reference|Referans) \w{{8}}', "", reply.text())


@shows("A1", THIRD)
def test_second_tab_is_told_that_the_step_is_done(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.sign_in()
    first, second = ada.page, ada.tab()
    second.goto(first.url)
    ada.type_code(site.world.totp())
    first.wait_for_url("**/account")
    ada.turn_to(second)
    ada.page.locator("#code").fill("123456")
    ada.press("sign.continue")
    ada.sees("done-elsewhere", ada.t("sign.ended_granted"), status=409)
    ada.reads("flow.done_elsewhere")
    ada.follow("sign.carry_on")
    ada.page.wait_for_url("**/account")


@shows("A3", FOURTH)
def test_text_message_help_another_way_and_wrong_codes(site: Site, visit: Visit) -> None:
    site.run(site.world.person("bob", PASSWORD, phone=PHONE, mail="bob@acme.test"))
    bob = visit()
    bob.open("/sign-in")
    bob.field("sign.user_name").fill("bob")
    bob.field("sign.password").fill(PASSWORD)
    bob.page.get_by_role("button", name=bob.t("sign.in"), exact=True).dblclick()
    bob.page.wait_for_url("**/step/*")
    assert site.sent("sms") == 1
    code = site.newest_code()
    bob.secrets += [code, PHONE]
    bob.sees("code-text-message", bob.t("sign.step_sms"))
    bob.follow("sign.no_code")
    bob.sees("no-code", bob.t("sign.no_code"))
    bob.press("sign.send_again")
    bob.sees("resend-too-early", bob.t("sign.step_sms"))
    site.later(31)
    bob.follow("sign.no_code")
    bob.press("sign.send_again")
    bob.sees("resent", bob.t("sign.step_sms"))
    bob.reads("code.resent")
    assert site.sent("sms") == 2
    bob.follow("sign.other_way")
    bob.sees("other-ways", bob.t("sign.choose_way"))
    bob.choose("email")
    bob.sees("code-mail", bob.t("sign.step_email"))
    mailed = site.newest_code()
    wrong = next(each for each in ("111111", "222222", "333333", "444444") if each not in (code, mailed))
    for _ in range(2):
        bob.type_code(wrong)
        expect(bob.page.locator(".told.danger")).to_be_visible()
    bob.type_code(wrong)
    bob.sees("closed", bob.t("sign.ended_closed"), status=410)
    bob.follow("sign.start_again")
    bob.page.wait_for_url("**/sign-in?**")


@shows("A3", THIRD)
def test_earlier_code_stays_good_after_another_was_sent_and_cancel_ends_it(site: Site, visit: Visit) -> None:
    site.run(site.world.person("bob", PASSWORD, phone=PHONE))
    bob = visit()
    bob.sign_in("bob")
    bob.page.wait_for_url("**/step/*")
    early = site.newest_code()
    bob.press("sign.cancel")
    bob.page.wait_for_url("**/sign-in")
    bob.sign_in("bob")
    bob.page.wait_for_url("**/step/*")
    cancelled, early = early, site.newest_code()
    bob.type_code(cancelled)
    expect(bob.page.locator(".told.danger")).to_be_visible()
    site.later(31)
    bob.follow("sign.no_code")
    bob.press("sign.send_again")
    bob.reads("code.resent")
    bob.type_code(early)
    bob.page.wait_for_url("**/account")


@shows("A3", OTHER)
def test_right_code_that_has_run_out_is_answered_by_another_one(site: Site, visit: Visit) -> None:
    site.run(site.world.person("bob", PASSWORD, phone=PHONE))
    bob = visit()
    bob.sign_in("bob")
    bob.page.wait_for_url("**/step/*")
    late = site.newest_code()
    site.later(181)
    bob.type_code(late)
    bob.sees("code-expired", bob.t("sign.step_sms"), status=422, error=True)
    bob.reads("code.expired")
    assert site.sent("sms") == 2
    bob.type_code(site.newest_code())
    bob.page.wait_for_url("**/account")


# --- forgotten password, locked account ----------------------------------------------------------------------------------


@shows("A7", OTHER)
def test_forgotten_password_by_text_message_and_recovery_code(site: Site, visit: Visit, look: Look) -> None:
    codes = site.ada()
    elsewhere = visit()
    elsewhere.sign_in_by_app()
    site.later(60)
    ada = visit()
    ada.secrets += [NEW, SHORT, codes[0], PHONE]
    ada.open("/sign-in")
    ada.follow("sign.forgot")
    ada.sees("forgot", ada.t("recover.heading_reset"))
    ada.field("sign.user_name").fill("ada")
    ada.press("sign.continue")
    ada.sees("forgot-choose", ada.t("recover.choose_first"))
    ada.choose("sms")
    ada.sees("forgot-text-message", ada.t("sign.step_sms"))
    ada.type_code("000000" if site.newest_code() != "000000" else "000001")
    ada.sees("forgot-wrong", ada.t("sign.step_sms"), status=422, error=True)
    ada.type_code(site.newest_code())
    ada.sees("forgot-one-more", ada.t("recover.choose_more"))
    told = site.notices()
    assert told == 1  # at the mailbox, not at the phone that proved
    ada.choose("recovery_code")
    ada.sees("forgot-recovery-code", ada.t("sign.step_recovery_code"))
    ada.type_code(codes[0].lower().replace("-", " "))
    ada.sees("new-password", ada.t("recover.new_password"))
    ada.field("recover.new_password_label").fill(SHORT)
    if look.script:
        expect(ada.page.locator(".rules .met")).to_have_count(1)
        ada.field("recover.new_password_label").fill(NEW)
        expect(ada.page.locator(".rules .met")).to_have_text([re.compile(re.escape(ada.t("recover.rule_met")))] * 2)
        ada.field("recover.new_password_label").fill(SHORT)
    ada.press("recover.set_password")
    ada.sees("new-password-refused", ada.t("recover.new_password"), status=422, error=True)
    ada.reads("pw.length", n=15)
    ada.field("recover.new_password_label").fill(NEW)
    ada.press("recover.set_password")
    ada.sees("password-changed", ada.t("recover.done_pw_done"))
    ada.reads("pw.done")
    assert site.notices() - told == 4  # of the recovery code, and of the new password
    elsewhere.open("/account")
    elsewhere.sees("signed-out-elsewhere", elsewhere.t("sign.in_to", application="portal"))
    elsewhere.reads("session.ended")
    ada.follow("sign.in")
    ada.sign_in(password=NEW)
    ada.page.wait_for_url("**/step/*")
    ada.type_code(site.world.totp())
    ada.page.wait_for_url("**/account")


@shows("A8", ONE)
def test_forgotten_password_of_nobody_looks_like_everybodys(site: Site, visit: Visit) -> None:
    site.ada()
    shown = []
    for name in ("ada", "nobody"):
        sent = site.sent()
        one = visit()
        one.open("/forgot")
        one.field("sign.user_name").fill(name)
        one.press("sign.continue")
        one.page.wait_for_url("**/recover/*")
        one.choose("sms")
        pages = [one.words()]
        for wrong in ("000000", "111111", "222222"):
            one.type_code(wrong if not site.sent() or wrong != site.newest_code() else "333333")
            pages.append(one.words())
        one.choose("totp")
        pages.append(one.words())
        shown.append(pages)
        assert site.sent() - sent == (1 if name == "ada" else 0)
    assert shown[0] == shown[1]
    one.sees("forgot-app", one.t("sign.step_totp"))
    for wrong in ("444444", "555555"):
        one.type_code(wrong)
    one.sees("forgot-closed", one.t("recover.closed_heading"), status=410)


@shows("A9", FOURTH)
def test_own_mailbox_is_not_enough_and_starts_are_braked(site: Site, visit: Visit) -> None:
    site.run(site.world.person("bob", PASSWORD, mail="bob@acme.test", phone=PHONE))
    bob = visit()
    bob.open("/forgot")
    bob.field("sign.user_name").fill("bob")
    bob.press("sign.continue")
    bob.choose("email")
    bob.page.locator("#code").fill(site.newest_code())
    bob.press("sign.continue")
    bob.sees("not-enough", bob.t("recover.closed_heading"), status=410)
    for _ in range(5):
        bob.open("/forgot")
        bob.field("sign.user_name").fill("bob")
        bob.press("sign.continue")
    bob.sees("forgot-braked", bob.t("recover.heading_reset"), status=429, error=True)


@shows("A10", THIRD)
def test_locked_account_is_opened_and_an_open_one_is_told(site: Site, visit: Visit) -> None:
    site.ada()

    async def lock() -> None:
        user = await site.world.directory.find("ada", 1.0)
        assert user is not None
        site.world.directory.change_state(user, AccountState.LOCKED)

    site.run(lock())
    for name, words in (("unlocked", "unlock_done"), ("not-locked", "unlock_not_needed")):
        one = visit()
        one.open("/sign-in")
        one.follow("sign.unlock")
        if name == "unlocked":
            one.sees("unlock", one.t("recover.heading_unlock"))
        one.field("sign.user_name").fill("ada")
        one.press("sign.continue")
        one.choose("totp")
        one.type_code(site.world.totp())
        one.sees(name, one.t(f"recover.done_{words}"))
        one.reads(words.replace("_", ".", 1))
        site.later(60)


# --- the account -----------------------------------------------------------------------------------------------------------


@shows("A5", ONE)
def test_app_is_enrolled_by_the_key_on_the_page_and_codes_are_printed(site: Site, visit: Visit) -> None:
    user = site.run(site.world.person("carol", PASSWORD, phone=PHONE, display_name="Çağla Işık"))
    carol = visit()
    carol.sign_in("carol")
    carol.page.wait_for_url("**/step/*")
    carol.type_code(site.newest_code())
    carol.page.wait_for_url("**/account")
    carol.follow("account.authenticators")
    carol.sees("ways-in-empty", carol.t("account.authenticators"))
    carol.follow("account.add_app")
    carol.confirm(lambda: carol.type_code(site.newest_code()))
    carol.page.wait_for_url("**/enrol/totp/*")
    carol.sees("enrol-app", carol.t("account.enrol_totp"))
    expect(carol.page.locator(".places [aria-current]")).to_have_text([carol.t("account.authenticators")])
    key = (carol.page.locator("code.command").text_content() or "").replace(" ", "")
    secret = base64.b32decode(key + "=" * (-len(key) % 8))
    carol.page.locator("#code").fill(site.world.wrong_code(secret))
    carol.press("account.activate")
    carol.sees("enrol-app-wrong", carol.t("account.enrol_totp"), status=422, error=True)
    carol.page.locator("#code").fill(site.world.totp(secret=secret))
    carol.field("account.nickname").fill("iPhone")
    carol.press("account.activate")
    carol.sees("make-codes", carol.t("account.recovery_codes"))
    carol.press("account.make_codes")
    carol.sees("recovery-codes", carol.t("account.recovery_codes"), settled=True)
    codes = carol.page.locator(".codes code")
    expect(codes).to_have_count(10)
    carol.prints("recovery-codes", [codes.first, carol.page.get_by_text("carol")], [carol.page.get_by_role("navigation")])
    carol.secrets += [codes.first.inner_text(), key]
    carol.follow("account.saved")
    carol.sees("ways-in", carol.t("account.authenticators"))
    carol.press_one("account.remove")
    carol.sees("ways-in-last", carol.t("account.authenticators"), status=409, error=True)
    carol.follow("account.new_codes")
    carol.sees("make-codes-again", carol.t("account.recovery_codes"))
    assert user.name == "carol"


@shows("A12", OTHER)
def test_stale_session_is_confirmed_before_a_change(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.sign_in_by_app()
    site.later(301)
    ada.open("/enrol/recovery-codes")
    ada.sees("confirm", ada.t("sign.confirm"))
    ada.press("sign.continue")
    ada.page.wait_for_url("**/step/*")
    ada.type_code(site.world.totp())
    ada.page.wait_for_url("**/enrol/recovery-codes")


@shows("A12", ONE)
def test_who_has_a_password_alone_confirms_by_it(site: Site, visit: Visit) -> None:
    use_plan(site.world, ["password"])
    site.run(site.world.person("carol", PASSWORD))
    carol = visit()
    carol.sign_in("carol")
    carol.page.wait_for_url("**/account")
    carol.open("/confirm?then=/enrol/totp")
    carol.sees("confirm-password", carol.t("sign.confirm"))
    carol.field("sign.password").fill("wrong password")
    carol.press("sign.continue")
    carol.sees("confirm-wrong", carol.t("sign.confirm"), status=422, error=True)
    carol.reads("pw.wrong")


@shows("A12", THIRD)
def test_password_is_changed_and_what_is_wrong_is_told_at_its_field(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.secrets += [NEW, SHORT]
    ada.sign_in_by_app()
    ada.open("/account/password")
    ada.sees("change-password", ada.t("account.password"))
    for current, new, wrong in (("wrong password", NEW, "password"), (PASSWORD, SHORT, "new_password")):
        ada.page.locator("#password").fill(current)
        ada.page.locator("#new_password").fill(new)
        ada.press("recover.set_password")
        ada.sees(f"change-password-{wrong}-wrong", ada.t("account.password"), status=422, error=True)
        expect(ada.page.locator("[aria-invalid]")).to_have_attribute("id", wrong)
    ada.page.locator("#password").fill(PASSWORD)
    ada.page.locator("#new_password").fill(NEW)
    ada.press("recover.set_password")
    ada.sees("change-password-done", ada.t("account.password"))
    ada.reads("account.password_done")


@shows("A15", FOURTH)
def test_sessions_are_ended_and_nothing_is_left_after_signing_out(site: Site, visit: Visit, look: Look) -> None:
    site.ada()
    there = visit()
    there.sign_in_by_app()
    site.later(30)
    ada = visit()
    ada.sign_in_by_app()
    ada.follow("account.browsers")
    ada.sees("sessions", ada.t("account.sessions"))
    expect(ada.page.locator(".sessions > li")).to_have_count(2)
    ada.press("account.end_others")
    expect(ada.page.locator(".sessions > li")).to_have_count(1)
    there.open("/account")
    there.page.wait_for_url("**/sign-in?**")
    if look.width == 390:
        # On a phone the list of pages is one of its own.
        ada.follow("account.overview")
    ada.follow("account.sign_out")
    ada.sees("sign-out", ada.t("account.sign_out"))
    ada.press("account.sign_out")
    ada.sees("signed-out", ada.t("account.signed_out"))
    for _ in range(3):
        ada.page.go_back()
        expect(ada.page.get_by_role("heading", level=1)).to_have_text(ada.t("sign.in_to", application="portal"))
        assert "Ada Lovelace" not in ada.page.content()
        if not ada.look.script:
            break


@shows("A17", THIRD)
def test_page_of_somebody_elses_step_and_of_nothing(site: Site, visit: Visit) -> None:
    one = visit()
    one.open(f"/step/{'A' * 22}")
    one.sees("step-gone", one.t("page.error_410"), status=410, error=True)
    one.open("/nowhere")
    one.sees("nowhere", one.t("page.error_404"), status=404, error=True)


# --- by itself -------------------------------------------------------------------------------------------------------------


@shows("A18", OTHER, only=Only(script=True, because="a script shows the password"))
def test_password_is_shown_on_demand_and_hidden_again_before_it_is_sent(site: Site, visit: Visit) -> None:
    one = visit()
    one.open("/sign-in")
    field = one.field("sign.password")
    field.fill("tiny secret")
    one.page.get_by_role("button", name=one.t("sign.show")).click()
    assert field.get_attribute("type") == "text"
    one.sees("password-shown", one.t("sign.in_to", application="portal"))
    one.field("sign.password").fill("tiny secret")
    one.page.get_by_role("button", name=one.t("sign.show")).click()
    one.page.get_by_role("button", name=one.t("sign.hide")).click()
    assert one.field("sign.password").get_attribute("type") == "password"


def test_first_page_is_small_and_asks_for_little(browser: Browser, site: Site) -> None:
    context = new_context(browser)
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    arrived: dict[str, float] = {}
    asked: list[str] = []
    # What the passkeys' script asks once the page is there keeps nobody waiting.
    session.on("Network.requestWillBeSent", lambda told: told["type"] == "Fetch" or asked.append(told["request"]["url"]))
    session.on("Network.loadingFinished", lambda told: arrived.update({told["requestId"]: told["encodedDataLength"]}))
    page.goto(f"{site.origin}/sign-in", wait_until="networkidle")
    assert len(asked) <= FIRST_PAGE_REQUESTS, asked
    assert len(arrived) >= len(asked)
    assert 0 < sum(arrived.values()) <= FIRST_PAGE_BYTES, arrived
    context.close()


def test_forced_colours_keep_fields_and_choices(browser: Browser, site: Site) -> None:
    site.ada()
    visitor = Visitor(browser, site, ONE[0], forced_colors="active")
    visitor.open("/sign-in")
    ground = visitor.page.locator("body").evaluate("b => getComputedStyle(b).backgroundColor")
    assert visitor.field("sign.password").evaluate("e => getComputedStyle(e).borderTopColor") != ground
    visitor.open("/forgot")
    visitor.field("sign.user_name").fill("ada")
    visitor.press("sign.continue")
    visitor.page.wait_for_url("**/recover/*")
    row = visitor.page.locator(".choice").first
    assert row.evaluate("e => getComputedStyle(e).borderTopColor") != ground
    visitor.close()
