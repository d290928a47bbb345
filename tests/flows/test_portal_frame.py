"""The frame of the account's pages: what they lead to, and how one signs out."""

import re

import pytest

from tests.flows.portal_questions import QuestionWorld
from tests.flows.portal_world import PortalWorld
from tests.flows.test_portal_enrolment import signed_in

# As many as a person reads at a glance, and as fit on a phone.
MOST = 8
PAGES = (
    "/account",
    "/account/authenticators",
    "/account/contacts",
    "/account/questions",
    "/account/password",
    "/account/sessions",
    "/account/devices",
    "/account/activity",
    "/account/preferences",
)


def places(text: str) -> str:
    """The navigation of a page."""
    found = re.search(r'<nav class="places.*?</nav>', text, re.DOTALL)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("kind", [PortalWorld, QuestionWorld])
async def test_account_has_at_most_eight_places_and_every_page_is_in_one(kind: type[PortalWorld]) -> None:
    world = kind()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await signed_in(world, browser)
        for path in PAGES:
            page = await browser.get(path)
            if page.status_code == 404:
                assert (kind, path) == (PortalWorld, "/account/questions"), path
                continue
            assert browser.path == path
            found = places(page.text)
            assert found.count("<li>") <= MOST
            assert found.count("aria-current") == 1, path
            assert page.text.count('href="/sign-out"') == 1
            assert "/sign-out" not in found


async def test_lists_of_browsers_lead_to_each_other() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await signed_in(world, browser)
        for path, other in (("/account/sessions", "/account/devices"), ("/account/devices", "/account/sessions")):
            page = await browser.get(path)
            assert f'<li><a href="{other}">' in page.text
            assert f'<a href="{path}" aria-current="page">' in page.text
            assert '<a href="/account/sessions" aria-current=' in places(page.text)
