"""A whole application on pysaml2 and a person in a Chromium: sign-in from both sides, encrypted answers, logout, no script once."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.flows.saml_world import SamlWorld, a_party
from tests.functional.acceptance import Look
from tests.functional.chromium import Loop
from tests.functional.portal_site import PASSWORD, Site, Visitor
from tests.functional.pysaml2_sp import PythonSp, python_sp
from wardgate.clock import FixedClock, to_ms
from wardgate.federation.claims import ClaimRule, Values
from wardgate.federation.saml.sp_metadata import parse_sp_metadata
from wardgate.federation.saml.values import Encrypt, ResponseSettings, Sign

pytestmark = [pytest.mark.neighbour("chromium"), pytest.mark.neighbour("xmlsec1")]

LOOKS = (Look(390, "dark", "tr", True), Look(1280, "light", "en", True), Look(1280, "light", "en", False))
# A path, a query and letters beyond ASCII: it comes back as it went.
WANTED = "/page?a=1&b=%C3%BC"
FROM_US = "/start?from=launchpad"
CLAIMS = (
    ClaimRule("mail", Values("mail")),
    ClaimRule("displayName", Values("display_name")),
    ClaimRule("account", Values(template="{user_name}@wiki")),
    ClaimRule("role", Values(constant=("reader", "yazıcı"))),
)
TOLD = {"mail": ["ada@acme.test"], "displayName": ["Ada Lovelace"], "account": ["ada@wiki"], "role": ["reader", "yazıcı"]}


@pytest.fixture
def idp(loop: Loop, tmp_path: Path) -> Iterator[Site]:
    """We, at the present, which pysaml2 compares with."""
    folder = tmp_path / "idp"
    folder.mkdir()
    one = Site(loop, folder, SamlWorld(clock=FixedClock(datetime.now(UTC))))
    one.ada()
    yield one
    one.close()


@pytest.fixture
def sp(idp: Site, tmp_path: Path) -> Iterator[PythonSp]:
    """The application: its requests have to be signed, and its assertions are encrypted."""
    with python_sp() as one:
        one.trust(tmp_path, httpx.get(f"{idp.origin}/saml/metadata", verify=False).raise_for_status().text)
        world = idp.world
        assert isinstance(world, SamlWorld)
        said = parse_sp_metadata(one.metadata, to_ms(world.clock.now()))
        assert said.authn_requests_signed
        response = ResponseSettings(Sign.BOTH, Encrypt.AES256_GCM, said.encryption_certificates[0])
        party = a_party("wiki", claims=CLAIMS, requires_signed_requests=True, response=response, relay_state=FROM_US)
        world.parties = (replace(party, metadata=said),)
        yield one


@pytest.fixture(params=LOOKS, ids=str)
def person(request: pytest.FixtureRequest, browser: Browser, idp: Site) -> Iterator[Visitor]:
    """Ada's browser."""
    one = Visitor(browser, idp, request.param)
    yield one
    one.close()


def proves_herself(person: Visitor) -> None:
    """By password and app, on the page that she was sent to."""
    person.field("sign.user_name").fill("ada")
    person.field("sign.password").fill(PASSWORD)
    person.press("sign.in")
    person.page.locator("#code").fill(person.site.world.totp())
    person.press("sign.continue")
    if not person.look.script:
        person.press("sign.carry_on")


def shown_there(person: Visitor) -> tuple[str, dict[str, list[str]]]:
    """Whom the application takes her for, and what it knows of her."""
    expect(person.page.get_by_role("heading")).to_have_text("Signed in there")
    told = json.loads(person.page.locator("pre").inner_text())
    return told["name"], told["claims"]


def test_sign_in_from_both_sides_and_sign_out_there(idp: Site, sp: PythonSp, person: Visitor) -> None:
    said: list[str] = []
    person.page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)

    # The application asks, by a form of its own.
    person.page.goto(f"{sp.address}/login?next={WANTED.replace('%', '%25').replace('&', '%26')}")
    if not person.look.script:
        person.page.locator("input[type=submit]").click()
    proves_herself(person)
    person.page.wait_for_url(sp.address + WANTED)
    name, claims = shown_there(person)
    assert sp.wrong == []
    assert claims == TOLD
    assert "ada" not in name.lower()
    [document] = sp.received
    assert b"<saml:Assertion" not in document
    assert b"http://www.w3.org/2009/xmlenc11#aes256-gcm" in document

    # It signs her out, and we do as well.
    person.page.goto(f"{sp.address}/logout")
    expect(person.page.get_by_role("heading")).to_have_text("Signed out there")
    assert sp.wrong == []
    person.open("/account")
    assert re.search(r"/sign-in\b", person.page.url)
    idp.later(60)

    # We begin: it knows her by the same name, and opens the page that was agreed on.
    person.open("/saml/start/wiki")
    proves_herself(person)
    person.page.wait_for_url(sp.address + FROM_US)
    assert shown_there(person) == (name, TOLD)
    assert sp.wrong == []
    assert not [text for text in said if "Content Security Policy" in text], said


@pytest.mark.parametrize("person", LOOKS[1:2], ids=str, indirect=True)
def test_a_request_that_is_not_signed_is_refused(idp: Site, sp: PythonSp, person: Visitor) -> None:
    person.page.goto(f"{sp.address}/login?next=/&unsigned=1")
    expect(person.page.get_by_role("heading", level=1)).to_have_text(person.t("federation.not_opened"))
    person.open("/")
    assert sp.received == []
