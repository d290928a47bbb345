"""A name under attack in a real browser: a code is asked for first, and what the page says when it was wrong."""

import pytest
from playwright.sync_api import expect

from tests.flows.world import elsewhere
from tests.functional.acceptance import FOURTH, shows
from tests.functional.portal_site import Site, Visit

pytestmark = pytest.mark.neighbour("chromium")


def attack(site: Site) -> None:
    """Until no stranger's password is looked at any more."""

    async def guess() -> None:
        for number in range(site.world.brakes.user_failures):
            await site.world.begin("ada", "guess", origin=elsewhere(client=f"10.0.{number}.1"), application="portal")

    site.run(guess())


@shows("A1", FOURTH)
def test_a_code_is_asked_for_first_and_a_recovery_code_can_be_typed(site: Site, visit: Visit) -> None:
    codes = site.ada()
    attack(site)
    ada = visit()
    ada.sign_in()
    ada.sees("code-first", ada.t("sign.step_strong_first"))
    ada.reads("code.ask_strong_first", min=60)
    ada.type_code(site.world.wrong_code())
    ada.sees("code-first-wrong", ada.t("sign.ended_closed"), status=410)
    expect(ada.page.get_by_text(ada.t("signin.failed_first", ref="").strip())).to_be_visible()
    ada.follow("sign.start_again")
    ada.sign_in()
    ada.type_code(codes[0])
    ada.sees("account", ada.t("account.overview"))
