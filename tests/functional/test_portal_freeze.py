"""Activity, "this was not me" and the freeze in a real Chromium, each page and state examined."""

import pytest
from playwright.sync_api import expect

from tests.functional.acceptance import FOURTH, ONE, OTHER, shows
from tests.functional.portal_site import Site, Visit
from wardgate.storage.port import Update

pytestmark = pytest.mark.neighbour("chromium")

NEW = "Correct-horse-4-battery-staples"


@shows("A14", ONE)
def test_activity_is_read_filtered_and_disputed(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.sign_in(password="wrong")
    ada.sign_in_by_app()
    ada.sees("overview-activity", ada.t("account.overview"))
    ada.follow("activity.see")
    ada.sees("activity", ada.t("activity.heading"))
    ada.reads("activity.login_granted")
    ada.follow("activity.refused")
    ada.sees("activity-refused", ada.t("activity.heading"))
    ada.follow("activity.changes")
    ada.sees("activity-empty", ada.t("activity.heading"))
    ada.open("/account/activity")
    with ada.page.expect_navigation():
        ada.page.locator(".happened a").first.click()
    ada.sees("activity-not-me", ada.t("activity.not_me"))
    ada.press("link.act_not_me")
    ada.reads("session.frozen")
    ada.sees("sign-in-frozen", ada.t("sign.in_to", application="portal"))


@shows("A14", OTHER)
def test_reset_by_phone_is_refused_and_the_older_app_lifts_the_freeze(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.sign_in_by_app()
    ada.disputes_the_newest()
    site.later(60)
    thief = visit()
    thief.open("/forgot")
    thief.field("sign.user_name").fill("ada")
    thief.press("sign.continue")
    thief.choose("totp")
    thief.type_code(site.world.totp())
    thief.sees("reset-frozen", thief.t("recover.closed_heading"), status=410)
    thief.reads("freeze.on")
    expect(thief.page.locator(".reference")).to_have_count(1)
    site.later(60)
    ada.sign_in()
    ada.type_code(site.world.totp())
    ada.sees("lift", ada.t("recover.new_password"))
    ada.reads("freeze.lift")
    ada.page.locator("#new_password").fill(NEW)
    ada.press("recover.set_password")
    ada.sees("overview-lifted", ada.t("account.overview"))
    assert site.run(site.world.rows("freeze")) == []


def enrolled_it_herself(site: Site) -> None:
    """Ada's app is one that a freeze takes away."""
    [app] = [row for row in site.run(site.world.rows("authenticator")) if row["kind"] == "totp"]
    settings = str(app["settings"]).replace("{", '{"by":"person",', 1)
    site.run(site.world.storage.commit([Update("authenticator", {"id": app["id"]}, {"settings": settings})]))


@shows("A14", FOURTH)
def test_every_page_of_a_frozen_account_says_so(site: Site, visit: Visit) -> None:
    """Signed in by a code that lifts nothing, as she had an app."""
    site.ada()
    enrolled_it_herself(site)
    ada = visit()
    ada.sign_in_by_app()
    ada.disputes_the_newest()
    site.later(60)
    ada.sign_in()
    ada.type_code(site.newest_code())
    ada.sees("overview-frozen", ada.t("account.overview"))
    ada.open("/account/authenticators")
    ada.sees("authenticators-frozen", ada.t("account.authenticators"))
    ada.follow("account.add_app")
    ada.sees("enrol-frozen", ada.t("account.authenticators"), status=409, error=True)
