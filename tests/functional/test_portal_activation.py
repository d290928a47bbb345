"""The first visit of a new person in a real Chromium, each page and state examined."""

import pytest

from tests.flows.plans import use_plan
from tests.flows.test_portal_activation import PHONE, grace
from tests.functional.portal_site import ONE, OTHER, Site, Visit, looks

pytestmark = pytest.mark.neighbour("chromium")


@looks(ONE)
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


@looks(OTHER)
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
