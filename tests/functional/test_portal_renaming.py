"""Other names for an app and a trusted browser, in a real Chromium."""

import pytest
from playwright.sync_api import expect

from tests.functional.acceptance import THIRD, shows
from tests.functional.portal_site import Site, Visit

pytestmark = pytest.mark.neighbour("chromium")

NAME = "İş telefonu & anahtar"


@shows("A12", THIRD)
def test_app_and_browser_get_other_names(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.sign_in()
    ada.page.locator("input[name=trust_device]").check()
    ada.type_code(site.world.totp())
    ada.page.wait_for_url("**/account")
    ada.follow("account.authenticators")
    ada.sees("ways-in-to-rename", ada.t("account.authenticators"))
    for what, heading, listed in (
        ("way", "account.rename_way", "account.authenticators"),
        ("device", "account.rename_device", "account.devices"),
    ):
        if what == "device":
            ada.open("/account/devices")
            ada.sees("devices-to-rename", ada.t("account.devices"))
        # Beside the word its own name is said to whoever does not see the list.
        with ada.page.expect_navigation():
            ada.page.get_by_role("link", name=ada.t("account.rename")).first.click()
        ada.sees(f"rename-{what}", ada.t(heading))
        ada.field("account.new_name").fill("x\u202ey")
        ada.press("account.save_name")
        ada.sees(f"rename-{what}-refused", ada.t(heading), status=422, error=True)
        ada.field("account.new_name").fill(NAME)
        ada.press("account.save_name")
        ada.sees(f"renamed-{what}", ada.t(listed))
        expect(ada.page.get_by_text(NAME).first).to_be_visible()
