"""How the portal looks where nobody designs for it: at four times the size, and mirrored."""

import pytest
from playwright.sync_api import Browser, Page

from tests.functional.chromium import overflow, paint
from tests.functional.portal_site import ONE, THIRD, Look, Site, Visitor

pytestmark = pytest.mark.neighbour("chromium")

OPEN = ("/sign-in", "/forgot", "/unlock", "/username", "/activate", "/help", "/help/vpn")
OWN = (
    "/account",
    "/account/authenticators",
    "/account/contacts",
    "/account/contacts/add/phone",
    "/account/password",
    "/account/activity",
    "/account/devices",
    "/account/sessions",
    "/account/preferences",
    "/enrol/token",
    "/enrol/recovery-codes",
    "/sign-out",
)
# 1280 x 1024 at 400 % (WCAG 1.4.10).
ZOOMED = {"width": 320, "height": 256}
# Words that a box cuts off, or that run out of it.
CUT = """() => [...document.querySelectorAll("main *, header *")].filter(e => {
  const style = getComputedStyle(e);
  if (e.closest(".unseen, [hidden], svg, input, select") || style.display === "inline") return false;
  if (![...e.childNodes].some(each => each.nodeType === Node.TEXT_NODE && each.data.trim())) return false;
  return e.scrollWidth > e.clientWidth + 1;
}).map(e => e.outerHTML.slice(0, 90))"""
# What is read from left to right in every language.
LEFT_TO_RIGHT = (
    "e => [...e.querySelectorAll('input.code, [type=tel], .command, .codes code')].map(x => getComputedStyle(x).direction)"
)


def named(path: str) -> str:
    """The part of a picture's name that is the page's."""
    return path.strip("/").replace("/", "-")


def make_codes(ada: Visitor) -> None:
    """Open the page that shows recovery codes."""
    ada.open("/enrol/recovery-codes")
    ada.press("account.make_codes")


def choose_password(ada: Visitor, code: str) -> None:
    """Go as far as the page that asks for a new password."""
    ada.open("/forgot")
    ada.field("sign.user_name").fill("ada")
    ada.press("sign.continue")
    ada.choose("sms")
    ada.type_code(ada.site.newest_code())
    ada.choose("recovery_code")
    ada.type_code(code)
    ada.reads("recover.new_password_label")


def is_whole(ada: Visitor, name: str) -> None:
    """Four times as large, nothing is cut, runs sideways or hides what has the focus."""
    ada.page.set_viewport_size({"width": ZOOMED["width"], "height": ZOOMED["height"]})
    paint(ada.page, f"portal-zoom-{name}-{ada.look}")
    assert overflow(ada.page) <= 0, name
    assert ada.page.locator("html").evaluate(CUT) == [], name
    ada.walks(name)


@pytest.mark.parametrize("look", [ONE[0], THIRD[0]], ids=str)
def test_at_four_times_the_size_nothing_is_cut_or_covered(browser: Browser, site: Site, look: Look) -> None:
    codes = site.ada()
    ada = Visitor(browser, site, look)
    for path in OPEN:
        ada.open(path)
        is_whole(ada, named(path))
    ada.sign_in()
    is_whole(ada, "code")
    ada.type_code(site.world.totp())
    ada.page.wait_for_url("**/account")
    for path in OWN:
        ada.open(path)
        is_whole(ada, named(path))
    choose_password(ada, codes[0])
    is_whole(ada, "new-password")
    make_codes(ada)
    is_whole(ada, "recovery-codes")
    ada.close()


def mirrored(page: Page, name: str) -> None:
    """Turn the page around as a language from right to left would."""
    page.locator("html").evaluate("html => { html.dir = 'rtl'; }")
    assert overflow(page) <= 0, name
    assert set(page.locator("html").evaluate(LEFT_TO_RIGHT)) <= {"ltr"}, name


def test_pages_mirror_for_who_writes_from_right_to_left(browser: Browser, site: Site) -> None:
    codes = site.ada()
    ada = Visitor(browser, site, ONE[0])
    for path in OPEN:
        ada.open(path)
        mirrored(ada.page, path)
        paint(ada.page, f"portal-{named(path)}-rtl-1280")
        help_link, logo = ada.page.locator(".top .help").bounding_box(), ada.page.locator(".logo").bounding_box()
        assert help_link is not None
        assert logo is not None
        assert help_link["x"] < logo["x"], path
    choose_password(ada, codes[0])
    mirrored(ada.page, "new password")
    paint(ada.page, "portal-new-password-rtl-1280")
    ada.sign_in()
    mirrored(ada.page, "code")
    paint(ada.page, "portal-code-rtl-1280")
    ada.type_code(site.world.totp())
    ada.page.wait_for_url("**/account")
    for path in OWN:
        ada.page.set_viewport_size({"width": 1280, "height": 800})
        ada.open(path)
        mirrored(ada.page, path)
        paint(ada.page, f"portal-{named(path)}-rtl-1280")
        places, body = ada.page.locator(".places").bounding_box(), ada.page.locator(".account > .body").bounding_box()
        assert places is not None
        assert body is not None
        assert places["x"] > body["x"] + body["width"], path
        ada.page.set_viewport_size({"width": 390, "height": 844})
        paint(ada.page, f"portal-{named(path)}-rtl-390")
        assert overflow(ada.page) <= 0, path
    ada.page.set_viewport_size({"width": 1280, "height": 800})
    make_codes(ada)
    mirrored(ada.page, "recovery codes")
    ada.close()
