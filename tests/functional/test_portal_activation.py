"""The first visit of a new person in a real Chromium, each page and state examined."""

import pytest

from tests.flows.plans import use_plan
from tests.flows.test_portal_activation import MAIL, PHONE, grace
from tests.functional.acceptance import FOURTH, ONE, OTHER, shows
from tests.functional.portal_site import Site, Visit
from tests.functional.test_portal_journeys import key_on
from tests.functional.test_portal_own_contacts import verify
from wardgate.policy.settings import ActionEntrySettings

pytestmark = pytest.mark.neighbour("chromium")


@shows("A6", ONE)
def test_link_and_start_code_open_the_account(site: Site, visit: Visit) -> None:
    use_plan(site.world, ["password"])
    new = site.run(grace(site.world))
    grace_h = visit()
    grace_h.secrets += [new.token, new.code, PHONE, "Grace"]
    grace_h.open(new.link)
    grace_h.sees("activate-welcome", grace_h.t("activate.heading"))
    assert new.token not in grace_h.page.url
    grace_h.press("activate.start")
    grace_h.sees("activate-choose", grace_h.t("recover.choose_first"))
    grace_h.choose("activation")
    grace_h.sees("activate-start-code", grace_h.t("sign.step_activation"))
    grace_h.type_code("0000-0000-00000")
    grace_h.sees("activate-start-code-wrong", grace_h.t("sign.step_activation"), status=422, error=True)
    grace_h.type_code(new.code)
    grace_h.secrets = [new.token, new.code]
    grace_h.sees("activate-password", grace_h.t("recover.new_password"))
    grace_h.field("recover.new_password_label").fill("A whole new sentence 1")
    grace_h.press("recover.set_password")
    grace_h.page.wait_for_url("**/account")
    again = visit()
    again.open(new.link)
    again.sees("activate-over", again.t("activate.heading_over"), status=410, error=True)


@shows("A6", OTHER)
def test_name_and_printed_code_begin_too(site: Site, visit: Visit) -> None:
    use_plan(site.world, ["password"])
    new = site.run(grace(site.world, link=""))
    somebody = visit()
    somebody.open("/activate")
    somebody.sees("activate-code", somebody.t("activate.heading_code"))
    somebody.field("sign.user_name").fill("grace")
    somebody.field("sign.code_activation").fill("0000-0000-00000")
    somebody.press("activate.start")
    somebody.sees("activate-code-wrong", somebody.t("activate.heading_code"), status=422, error=True)
    somebody.field("sign.code_activation").fill(new.code)
    somebody.press("activate.start")
    somebody.sees("activate-choose-contact", somebody.t("recover.choose_first"))


@shows("A6", FOURTH)
def test_whole_first_visit_from_the_mailed_link_to_the_account(site: Site, visit: Visit) -> None:
    """Ten openings change nothing, another browser is refused midway, and at the end the person has all that he needs."""
    app = ActionEntrySettings(enrol="totp", level="forced", deferrals=0)
    use_plan(site.world, ["password"], ["totp", "sms"], demands=[app])
    new = site.run(grace(site.world, phone=None))
    grace_h, other = visit(), visit()
    grace_h.secrets += [new.token, new.code]
    for _ in range(10):
        assert other.page.request.get(site.origin + new.link).ok
    grace_h.open(new.link)
    grace_h.press("activate.start")
    grace_h.choose("activation")
    other.open(grace_h.page.url.removeprefix(site.origin))
    other.sees("activate-other-browser", other.t("page.error_410"), status=410, error=True)
    grace_h.type_code(new.code)
    grace_h.field("recover.new_password_label").fill("A whole new sentence 1")
    grace_h.press("recover.set_password")
    grace_h.page.locator("input[name=method][value=totp]").check()
    grace_h.press("do.set_up")
    secret = key_on(grace_h)
    grace_h.page.locator("#code").fill(site.world.totp(secret=secret))
    grace_h.press("account.activate")
    codes = grace_h.page.locator(".codes code").all_inner_texts()
    assert len(codes) == 10
    grace_h.page.get_by_role("checkbox").check()
    grace_h.press("sign.continue")
    grace_h.sees("activate-offer", grace_h.t("do.offers"))
    grace_h.follow("do.now")
    grace_h.open("/account/contacts/add/phone")
    site.later(30)
    grace_h.confirm(lambda: grace_h.type_code(site.world.totp(secret=secret)))
    grace_h.field("contact.kind_phone").fill(PHONE)
    grace_h.press("contact.send_code")
    verify(site, grace_h, PHONE)
    grace_h.sees("activate-contact", grace_h.t("contact.saved"))
    assert [each for each in site.run(site.world.messages()) if each.to == MAIL and not each.code]
    other.open(new.link)
    other.sees("activate-dead-link", other.t("activate.heading_over"), status=410, error=True)
