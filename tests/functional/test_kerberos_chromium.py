"""Debian's Chromium signs in by a Kerberos ticket of a real domain, and shows the ordinary form when it shows none.

What a browser wants before it shows a ticket is in tests/functional/domain_browser.py.
"""

import base64
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Playwright, Response, expect, sync_playwright

from tests.functional.domain_browser import DomainBrowser
from tests.functional.harness import cli, totp_code
from tests.functional.ticket_place import WHERE, Place
from tests.kerberos import Computer
from tests.samba_dc import cast
from wardgate.texts import Text, render

pytestmark = [pytest.mark.neighbour("samba"), pytest.mark.neighbour("kerberos"), pytest.mark.neighbour("chromium")]

TOTP_HEX = "3132333435363738393031323334353637383930"
ALLOWED = {"AuthServerAllowlist": "*.acme.test"}
NTLM = "Negotiate " + base64.b64encode(b"NTLMSSP\0\1\0\0\0\x07\x82\x08\xa2" + bytes(24)).decode()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as one:
        yield one


def t(text_id: str, language: str = "en", **values: str) -> str:
    return render(Text(text_id, values), language)


def origin(place: Place) -> str:
    return f"https://{place.host}:{urlsplit(place.served.url).port}"


def opened(page: Page, place: Place, path: str = WHERE) -> Response:
    """The last reply on the way to a page."""
    reply = page.goto(origin(place) + path)
    assert reply is not None
    return reply


def shows_the_form(page: Page, text_id: str = "kerberos.none") -> None:
    expect(page.get_by_text(t(text_id))).to_be_visible()
    expect(page.get_by_label(t("sign.password"), exact=True)).to_be_visible()


def is_signed_in(page: Page, place: Place, name: str, *factors: str) -> None:
    """He is on the page of his account, and audit says by what he came there."""
    page.wait_for_url(f"{origin(place)}/account")
    expect(page.get_by_role("main")).to_contain_text(name)
    assert [each["factors"] for each in place.granted(name)] == [list(factors)]


@pytest.mark.parametrize(("script", "language"), [(True, "tr"), (False, "en")])
def test_person_at_his_computer_signs_in_without_typing(place: Place, playwright: Playwright, script: bool, language: str) -> None:
    name = place.person()
    browser = DomainBrowser(playwright, place.computer(name), place.host, ALLOWED)
    with browser.opened(java_script_enabled=script, locale=language) as window:
        page = window.pages[0]
        opened(page, place, "/sign-in")
        page.get_by_role("link", name=t("kerberos.sign_in", language), exact=True).click()
        is_signed_in(page, place, name, "kerberos")


def test_second_factor_is_asked_for_in_the_browser_too(place: Place, playwright: Playwright) -> None:
    name = place.person("careful")
    cli("authenticator", "add", name, "totp", "--secret-hex", TOTP_HEX, data=place.served.data)
    with DomainBrowser(playwright, place.computer(name), place.host, ALLOWED).opened() as window:
        page = window.pages[0]
        opened(page, place)
        page.get_by_role("textbox").fill(totp_code(TOTP_HEX))
        page.get_by_role("textbox").press("Enter")
        is_signed_in(page, place, name, "kerberos", "totp")


def test_option_of_the_command_line_allows_it_as_the_policy_does(place: Place, playwright: Playwright) -> None:
    name = place.person()
    with DomainBrowser(playwright, place.computer(name), place.host, {}).opened(f"--auth-server-allowlist={place.host}") as window:
        opened(window.pages[0], place)
        is_signed_in(window.pages[0], place, name, "kerberos")


def test_chromium_on_linux_shows_a_ticket_from_its_second_start_on(place: Place, playwright: Playwright) -> None:
    name = place.person()
    browser = DomainBrowser(playwright, place.computer(name), place.host, ALLOWED, met=False)
    with browser.opened() as window:
        assert opened(window.pages[0], place).status == 401
        shows_the_form(window.pages[0])
    with browser.opened() as window:
        opened(window.pages[0], place)
        is_signed_in(window.pages[0], place, name, "kerberos")


def test_chromium_asks_for_a_ticket_of_the_name_that_an_alias_leads_to_unless_told_otherwise(
    place: Place, playwright: Playwright
) -> None:
    name = place.person()
    computer, alias = place.computer(name), f"--host-resolver-rules=MAP {place.host} 127.0.0.1"
    with DomainBrowser(playwright, computer, place.host, ALLOWED).opened(alias) as window:
        assert opened(window.pages[0], place).status == 401
    told = {**ALLOWED, "DisableAuthNegotiateCnameLookup": True}
    with DomainBrowser(playwright, computer, place.host, told).opened(alias) as window:
        opened(window.pages[0], place)
        is_signed_in(window.pages[0], place, name, "kerberos")


@pytest.mark.parametrize("told", [ALLOWED, {"AuthServerAllowlist": "*.elsewhere.test"}])
def test_browser_that_has_or_shows_no_ticket_gets_the_form(place: Place, playwright: Playwright, told: dict[str, Any]) -> None:
    """It has none; or it has one, and nobody told it to show it here."""
    name = place.person()
    computer = Computer(place.home / secrets.token_hex(4)) if told is ALLOWED else place.computer(name)
    with DomainBrowser(playwright, computer, place.host, told).opened() as window:
        page = window.pages[0]
        assert opened(page, place).status == 401
        shows_the_form(page)
        page.get_by_label(t("sign.user_name")).fill(name)
        page.get_by_label(t("sign.password"), exact=True).fill(cast.PASSWORD)
        page.get_by_role("button", name=t("sign.in"), exact=True).click()
        is_signed_in(page, place, name, "password")


def test_ntlm_is_neither_asked_for_nor_taken(place: Place, playwright: Playwright) -> None:
    computer = Computer(place.home / secrets.token_hex(4))
    with DomainBrowser(playwright, computer, place.host, ALLOWED).opened() as window:
        page = window.pages[0]
        assert opened(page, place).headers["www-authenticate"] == "Negotiate"
        page.set_extra_http_headers({"authorization": NTLM})
        reply = opened(page, place)
        assert (reply.status, reply.headers.get("www-authenticate")) == (403, None)
        shows_the_form(page, "kerberos.not_taken")
        assert "__Host-wg_session" not in [each["name"] for each in window.cookies()]
