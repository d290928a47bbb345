"""How the portal looks where nobody designs for it: four times as large, mirrored, on paper; and that no view loses any of it."""

import pytest
from playwright.sync_api import Browser, Page

from tests.functional.acceptance import ONE, THIRD, Look, shows
from tests.functional.chromium import overflow, paint
from tests.functional.layout import boxes, faults, lost, moved, unmirrored
from tests.functional.portal_site import Site, Visitor

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


@shows("A18", THIRD)
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


# --- compared ----------------------------------------------------------------------------------------------------------------

WIDE, PHONE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}, {"width": 320, "height": 700}
# On a phone the list of an account's pages is a page of its own, and the first page is that list.
ELSEWHERE_ON_PHONES = ".places a, .places button"
# On paper there is nothing to press, and nothing that leads away.
PRESSED = ".top a, .places a, .foot a, button, input"


def is_as_compared(ada: Visitor, name: str) -> None:
    """The page that is open stands in every view where it stands on a desktop in the light scheme, or as that view has it."""
    page = ada.page
    page.set_viewport_size({"width": WIDE["width"], "height": WIDE["height"]})
    page.emulate_media(color_scheme="light")
    reference = boxes(page)
    assert len(reference) > 5, name
    assert faults(reference, WIDE["width"]) == [], name
    page.emulate_media(color_scheme="dark")
    assert moved(boxes(page), reference) == [], f"{name}, dark"
    page.emulate_media(color_scheme="light")
    page.evaluate("() => { document.documentElement.dir = 'rtl'; }")
    turned = boxes(page)
    assert faults(turned, WIDE["width"]) == [], f"{name}, from right to left"
    assert unmirrored(turned, reference, WIDE["width"]) == [], f"{name}, from right to left"
    page.evaluate("() => { document.documentElement.removeAttribute('dir'); }")
    hidden = set(page.locator(ELSEWHERE_ON_PHONES).all_inner_texts())
    for view in (PHONE, NARROW, ZOOMED):
        page.set_viewport_size({"width": view["width"], "height": view["height"]})
        found = boxes(page)
        assert faults(found, view["width"]) == [], f"{name}, {view}"
        assert [each for each in lost(found, reference) if each not in hidden] == [], f"{name}, {view}"
        assert overflow(page) <= 0, f"{name}, {view}"
    page.set_viewport_size({"width": WIDE["width"], "height": WIDE["height"]})
    page.emulate_media(media="print")
    paint(page, f"portal-{name}-print-{ada.look}")
    assert faults(boxes(page), WIDE["width"]) == [], f"{name}, printed"
    assert page.locator("h1").is_visible(), f"{name}, printed"
    assert [each for each in page.locator(PRESSED).all() if each.is_visible()] == [], f"{name}, printed"
    colours = "b => [getComputedStyle(b).color, getComputedStyle(document.documentElement).colorScheme]"
    assert page.locator("body").evaluate(colours) == ["rgb(0, 0, 0)", "light"], f"{name}, printed"
    page.emulate_media(media="screen")


@shows("A18", ONE)
def test_six_pages_are_compared_in_every_view(browser: Browser, site: Site, look: Look) -> None:
    """Signing in, its code, a new password, the account, recovery codes, and activity."""
    codes = site.ada()
    ada = Visitor(browser, site, look)
    ada.open("/sign-in")
    is_as_compared(ada, "sign-in")
    choose_password(ada, codes[0])
    is_as_compared(ada, "new-password")
    ada.sign_in()
    is_as_compared(ada, "code")
    ada.type_code(site.world.totp())
    ada.page.wait_for_url("**/account")
    is_as_compared(ada, "account")
    ada.open("/account/activity")
    is_as_compared(ada, "activity")
    make_codes(ada)
    is_as_compared(ada, "recovery-codes")
    ada.close()
