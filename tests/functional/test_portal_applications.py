"""The launchpad and the pages on the way to applications and out of them, in a real Chromium."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.flows.plans import use_plan
from tests.flows.saml_world import SamlWorld, a_party, by_redirect
from tests.functional.acceptance import FOURTH, ONE, OTHER, Only, shows
from tests.functional.chromium import Loop
from tests.functional.portal_site import PASSWORD, Site, Visit, Visitor

pytestmark = pytest.mark.neighbour("chromium")

STILL = Only(script=False, because="where a page leads to an application by itself, only a browser without script stays on it")
TITLES = ("wiki", "mail", "shop", "time", "paper", "print", "plans")


@pytest.fixture
def site(loop: Loop, tmp_path: Path) -> Iterator[Site]:
    """A portal with applications."""
    one = Site(loop, tmp_path, SamlWorld(parties=tuple(map(a_party, TITLES))))
    yield one
    one.close()


def world_of(site: Site) -> SamlWorld:
    """Its world."""
    assert isinstance(site.world, SamlWorld)
    return site.world


def asks(person: Visitor, site: Site, **attributes: str) -> None:
    """Come with an AuthnRequest of the wiki."""
    attributes = {"Destination": f"{site.origin}/saml/sso", **attributes}
    person.open(by_redirect(world_of(site).request("wiki", **attributes)))


def proves(person: Visitor, site: Site) -> None:
    """Password and app."""
    person.field("sign.user_name").fill("ada")
    person.field("sign.password").fill(PASSWORD)
    person.press("sign.in")
    person.type_code(site.world.totp())


@shows("A17", ONE, only=STILL)
def test_launchpad_shows_searches_and_opens(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.open("/sign-in?then=/apps")
    proves(ada, site)
    ada.sees("apps", ada.t("apps.heading"))
    expect(ada.page.locator(".tiles a")).to_have_count(len(TITLES))
    ada.field("apps.search").fill("pape")
    ada.press("apps.find")
    ada.sees("apps-found", ada.t("apps.heading"))
    expect(ada.page.locator(".tiles a")).to_have_count(1)
    ada.open("/apps?q=nothing")
    ada.sees("apps-none", ada.t("apps.heading"))
    ada.follow("apps.all")
    with ada.page.expect_navigation():
        ada.page.get_by_role("link", name="Wiki").click()
    ada.secrets.clear()
    ada.sees("apps-handing-over", ada.t("federation.to", application="Wiki"), settled=True)
    ada.open("/account/sessions")
    ada.sees("apps-session", ada.t("account.sessions"))
    expect(ada.page.get_by_text(ada.t("apps.reached"))).to_be_visible()


@shows("A17", OTHER, only=STILL)
def test_application_asks_for_a_fresh_sign_in_and_policy_refuses_another(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    asks(ada, site)
    ada.sees("apps-sign-in", ada.t("sign.in_to", application="Wiki"))
    proves(ada, site)
    site.later(60)
    asks(ada, site, ForceAuthn="true")
    ada.sees("apps-fresh", ada.t("sign.in_to", application="Wiki"))
    assert not ada.page.locator("#username[type=text]").count()
    asks(ada, site, AssertionConsumerServiceURL="https://evil.test/acs")
    ada.sees("apps-foreign", ada.t("federation.not_opened"), status=400, error=True)
    usual = site.world.policy
    use_plan(site.world, deny=True)
    world_of(site).policies["wiki"], site.world.policy = site.world.policy, usual
    asks(ada, site)
    # A request is taken once: what a reload would ask for again has been answered.
    ada.sees("apps-closed", ada.t("federation.not_opened"), status=403, error=True, settled=True)
    ada.page.get_by_role("button", name=ada.t("federation.back_to", application="Wiki")).wait_for()


@shows("A15", FOURTH, only=STILL)
def test_signing_out_says_what_became_of_each_application(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.open("/saml/start/wiki")
    proves(ada, site)
    ada.open("/saml/start/mail")
    ada.open("/sign-out")
    ada.press("account.sign_out")
    ada.secrets.clear()
    ada.sees("apps-leaving", ada.t("logout.heading"))
    for _ in range(2):
        ada.press("logout.pass_over")
    ada.sees("apps-left", ada.t("account.signed_out"))
    assert len(re.findall(ada.t("logout.result_no_answer"), ada.words())) == 2
