"""What has to be done before a sign-in goes on, and what people see when a neighbour is down, in a real Chromium."""

import base64
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, expect

from tests.flows.plans import use_plan
from tests.flows.portal_world import PortalWorld
from tests.functional.acceptance import FOURTH, ONE, OTHER, THIRD, Look, Only, shows
from tests.functional.chromium import Loop
from tests.functional.portal_site import RULES, Guest, Site, Visit, Visitor
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import PasswordVerdict
from wardgate.errors import StorageUnavailable
from wardgate.policy.settings import ActionEntrySettings
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Storage

pytestmark = pytest.mark.neighbour("chromium")

PHONE = "+905321234547"
NEW = "A very long new passphrase of 1816"
SHORT = "Sh0rt phrase"
LATER = ActionEntrySettings(enrol="totp", level="forced", deferrals=3)
EIGHT_HOURS = 8 * 3600


def key_on(person: Guest) -> bytes:
    """The key that the page shows."""
    key = (person.page.locator("code.command").text_content() or "").replace(" ", "")
    return base64.b32decode(key + "=" * (-len(key) % 8))


@shows("A4", OTHER)
def test_password_that_ran_out_is_changed_after_the_factor_and_signs_in(site: Site, visit: Visit) -> None:
    site.ada(verdict=PasswordVerdict.EXPIRED)
    ada = visit()
    ada.sign_in()
    ada.sees("expired-code", ada.t("sign.step_totp"))
    assert ada.t("pw.expired") not in ada.words()
    ada.type_code(site.world.totp())
    ada.sees("expired", ada.t("recover.new_password"))
    ada.reads("pw.expired")
    ada.secrets += [SHORT, NEW]
    ada.field("recover.new_password_label").fill(SHORT)
    ada.press("recover.set_password")
    ada.sees("expired-refused", ada.t("recover.new_password"), status=422, error=True)
    ada.field("recover.new_password_label").fill(NEW)
    ada.press("recover.set_password")
    ada.sees("expired-done", ada.t("account.overview"))
    assert site.notices()


@shows("A5", FOURTH)
def test_second_step_is_put_off_three_times_and_then_set_up(site: Site, visit: Visit) -> None:
    site.run(site.world.person("carol", "correct horse", phone=PHONE, display_name="Çağla Işık"))
    use_plan(site.world, ["password"], demands=[LATER])
    for number in range(3):
        carol = visit()
        carol.sign_in("carol")
        carol.sees(f"offer-{number}", carol.t("do.offers"))
        carol.follow("do.later")
        expect(carol.page.get_by_role("heading", level=1)).to_have_text(carol.t("account.overview"))
        site.later(EIGHT_HOURS)
    carol = visit()
    carol.sign_in("carol")
    carol.type_code(site.newest_code())
    carol.sees("offer-last", carol.t("do.enrol"))
    expect(carol.page.get_by_text(carol.t("do.later"))).to_have_count(0)
    carol.page.locator("input[name=method][value=totp]").check()
    carol.press("do.set_up")
    carol.sees("offer-app", carol.t("account.enrol_totp"))
    secret = key_on(carol)
    carol.page.locator("#code").fill(site.world.totp(secret=secret))
    carol.press("account.activate")
    carol.sees("offer-codes", carol.t("account.recovery_codes"), settled=True)
    codes = carol.page.locator(".codes code").all_inner_texts()
    with carol.page.expect_download() as kept:
        carol.page.get_by_role("link", name=carol.t("do.download")).click()
    written = kept.value.path().read_text(encoding="utf-8")
    assert len(codes) == 10
    assert [each for each in codes if each not in written] == []
    sheet, link = carol.page.locator(".sheet"), carol.page.get_by_role("link", name=carol.t("do.download"))
    carol.prints("offer-codes", [sheet.locator("time"), sheet.locator("code")], [carol.page.locator("main form"), link])
    address = carol.page.url
    carol.page.get_by_role("checkbox").check()
    carol.press("sign.continue")
    carol.sees("offer-done", carol.t("account.overview"))
    for gone in (address, f"{address}/recovery-codes.txt"):
        reply = carol.page.request.get(gone)
        assert [each for each in codes if each in reply.text()] == []


@shows("A16", ONE)
def test_directory_that_is_down_is_told_and_nothing_is_changed(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.open("/sign-in")
    site.world.directory.behaviour = Behaviour.UNAVAILABLE
    ada.field("sign.user_name").fill("ada")
    ada.field("sign.password").fill("correct horse")
    ada.press("sign.in")
    ada.sees("down-sign-in", ada.t("sign.in_to", application="portal"), status=503, error=True)
    ada.open("/forgot")
    ada.field("sign.user_name").fill("ada")
    ada.press("sign.continue")
    assert site.sent() == 0
    site.world.directory.behaviour = Behaviour.ANSWERS
    ada.sign_in_by_app()
    ada.sees("down-no-more", ada.t("account.overview"))


@shows("A15", OTHER)
def test_session_that_ends_while_a_page_is_open_leads_to_the_sign_in_and_back(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.sign_in_by_app()
    site.later(31 * 60)
    ada.open("/account/contacts")
    ada.sees("ended", ada.t("sign.in_to", application="portal"))
    ada.field("sign.user_name").fill("ada")
    ada.field("sign.password").fill("correct horse")
    ada.press("sign.in")
    ada.type_code(site.world.totp())
    ada.page.wait_for_url("**/account/contacts")
    ada.page.go_back()
    assert "ada@acme.test" not in ada.page.content()


@shows("A15", THIRD, only=Only(script=True, because="without it nothing can be told while a page lies there"))
def test_end_of_an_idle_session_is_told_two_minutes_before_and_who_stays_stays(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.page.clock.install()
    ada.sign_in_by_app()
    ada.open("/account/contacts")
    warning = ada.page.locator("form.staying")
    for seconds in (20 * 60, 8 * 60):
        expect(warning).to_be_hidden()
        site.later(seconds)
        ada.page.clock.run_for(seconds * 1000)
    expect(warning).to_contain_text(ada.t("session.warning", s=120))
    # The examination loads the page again, which would be use of the session.
    ada.examine("idle-warning")
    site.later(60)
    ada.page.clock.run_for(60_000)
    expect(warning).to_contain_text(ada.t("session.warning", s=60))
    ada.page.get_by_role("button", name=ada.t("account.stay"), exact=True).click()
    expect(warning).to_be_hidden()
    site.later(29 * 60)
    ada.page.clock.run_for(29 * 60_000)
    expect(warning).to_contain_text(ada.t("session.warning", s=60))
    site.later(60)
    ada.page.clock.run_for(61_000)
    ada.page.wait_for_url("**/sign-in?**")
    ada.sees("idle-ended", ada.t("sign.in_to", application="portal"))
    ada.reads("session.idle")


@shows("A15", ONE)
def test_session_that_was_not_used_says_so_at_the_sign_in(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.sign_in_by_app()
    site.later(31 * 60)
    ada.open("/account/sessions")
    ada.reads("session.idle")


class Switched:
    """A storage that can be switched off."""

    def __init__(self, inner: Storage) -> None:
        self._inner = inner
        self.down = False

    def __getattr__(self, name: str) -> Any:
        if self.down:
            raise StorageUnavailable("the database does not answer")
        return getattr(self._inner, name)


@shows("A16", OTHER)
def test_database_that_is_down_is_told_and_nothing_is_half_done(browser: Browser, loop: Loop, tmp_path: Path, look: Look) -> None:
    storage = Switched(MemoryStorage())
    site = Site(loop, tmp_path, PortalWorld(storage=cast(Storage, storage), directory=MemoryDirectory("local", policy=RULES)))
    ada = Visitor(browser, site, look)
    try:
        site.ada()
        ada.open("/sign-in")
        ada.field("sign.user_name").fill("ada")
        ada.field("sign.password").fill("correct horse")
        storage.down = True
        ada.press("sign.in")
        ada.sees("database-down-sign-in", ada.t("page.error_503"), status=503, error=True)
        storage.down = False
        ada.sign_in_by_app()
        ada.open("/account/password")
        ada.page.locator("#password").fill("correct horse")
        ada.page.locator("#new_password").fill(NEW)
        storage.down = True
        ada.press("recover.set_password")
        ada.sees("database-down-change", ada.t("page.error_503"), status=503, error=True)
        storage.down = False
        again = Visitor(browser, site, look)
        site.later(60)
        again.sign_in_by_app()
        again.close()
    finally:
        storage.down = False
        ada.close()
        site.close()
