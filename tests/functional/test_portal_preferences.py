"""Language and look, chosen in a real Chromium."""

import pytest
from playwright.sync_api import expect

from tests.functional.acceptance import FOURTH, shows
from tests.functional.portal_site import Site, Visit

pytestmark = pytest.mark.neighbour("chromium")


@shows("A18", FOURTH)
def test_look_that_was_chosen_holds_against_the_systems(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.sign_in_by_app()
    ada.follow("preferences.heading")
    ada.sees("preferences", ada.t("preferences.heading"))
    chosen = "light" if ada.look.scheme == "dark" else "dark"
    ada.page.locator(f"input[name=theme][value={chosen}]").check()
    ada.press("preferences.save")
    ada.sees(f"preferences-{chosen}", ada.t("preferences.heading"))
    expect(ada.page.locator("html")).to_have_css("color-scheme", chosen)
    ada.follow("account.overview")
    expect(ada.page.locator("html")).to_have_css("color-scheme", chosen)
