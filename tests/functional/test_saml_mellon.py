"""Single sign-on and logout with mod_auth_mellon in a real Apache, by a real Chromium, with and without script."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.flows.saml_world import SamlWorld, a_party
from tests.functional.chromium import Loop, new_context
from tests.functional.mellon import Mellon, mellon
from tests.functional.portal_site import PASSWORD, Site
from wardgate.clock import FixedClock, to_ms
from wardgate.federation.saml import names
from wardgate.federation.saml.sp_metadata import parse_sp_metadata
from wardgate.federation.saml.values import Endpoint

pytestmark = [pytest.mark.neighbour("chromium"), pytest.mark.neighbour("mellon")]


@pytest.fixture
def idp(loop: Loop, tmp_path: Path) -> Iterator[Site]:
    """We, at the present, which mellon compares with."""
    folder = tmp_path / "idp"
    folder.mkdir()
    world = SamlWorld(clock=FixedClock(datetime.now(UTC)))
    one = Site(loop, folder, world)
    one.ada()
    yield one
    one.close()


@pytest.fixture(params=[False, True], ids=["redirect", "post"])
def sp(request: pytest.FixtureRequest, idp: Site, tmp_path: Path) -> Iterator[Mellon]:
    """The application, and that we know it."""
    folder = tmp_path / "sp"
    folder.mkdir()
    ours = httpx.get(f"{idp.origin}/saml/metadata", verify=False).raise_for_status().content
    with mellon(folder, ours, by_post=request.param) as one:
        world = idp.world
        assert isinstance(world, SamlWorld)
        said = parse_sp_metadata(one.metadata, to_ms(world.clock.now()))
        # With a key, so that nothing of it counts unsigned.
        assert said.signing_certificates
        world.parties = (replace(a_party("wiki"), metadata=said),)
        yield one


@pytest.fixture(params=[True, False], ids=["script", "noscript"])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A person's browser, with and without script."""
    context = new_context(browser, java_script_enabled=request.param)
    one = context.new_page()
    one.set_default_timeout(20_000)
    one.goto("about:blank")
    one.scripted = request.param  # type: ignore[attr-defined]
    yield one
    context.close()


def scripted(page: Page) -> bool:
    """Whether its browser runs scripts."""
    return bool(page.scripted)  # type: ignore[attr-defined]


def carry_on(page: Page) -> None:
    """Without script a button hands the message over."""
    if not scripted(page):
        page.get_by_role("button", name="Carry on").click()


def their_button(page: Page, sp: Mellon) -> None:
    """Without script the application's own form needs its button as well."""
    if not scripted(page) and page.url.startswith(sp.address):
        page.locator("input[type=submit]").click()


def sign_in(page: Page, site: Site) -> None:
    """By password and app."""
    page.get_by_label("User name").fill("ada")
    page.locator("#password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.locator("#code").fill(site.world.totp())
    page.get_by_role("button", name="Continue").click()
    carry_on(page)


def test_sign_in_and_out_in_both_directions(idp: Site, sp: Mellon, page: Page) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    wanted = f"{sp.address}/secret/page.html?a=1&b=%C3%BC"
    with page.expect_response(lambda reply: reply.url == wanted and reply.status == 200) as shown:
        page.goto(wanted)
        their_button(page, sp)
        sign_in(page, idp)
    expect(page.get_by_role("heading")).to_have_text("The secret page")
    assert page.url == wanted
    assert shown.value.headers["x-mail"] == "ada@acme.test"
    # It asks for a name that is new each time.
    assert re.fullmatch(r"_[0-9a-f]{40}", shown.value.headers["x-user"])

    # The application signs out: we end our session, and it shows the page that it wanted.
    page.goto(f"{sp.address}/mellon/logout?ReturnTo={sp.address}/out.html")
    expect(page.get_by_role("heading")).to_have_text("Signed out there")
    page.goto(f"{idp.origin}/account")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Sign in")
    idp.later(60)

    # Begun from our side, and ended there: the application hears of it.
    page.goto(f"{idp.origin}/saml/start/wiki")
    sign_in(page, idp)
    page.wait_for_url(f"{sp.address}/**")
    page.goto(f"{sp.address}/secret/page.html")
    expect(page.get_by_role("heading")).to_have_text("The secret page")
    page.goto(f"{idp.origin}/sign-out")
    page.get_by_role("button", name="Sign out").click()
    if not scripted(page):
        page.get_by_role("link", name="Sign out of").click()
    expect(page.get_by_text("in every application")).to_be_visible()
    page.goto(f"{sp.address}/secret/page.html")
    their_button(page, sp)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Sign in")
    assert not [text for text in said if "Content Security Policy" in text], said


class _Elsewhere(BaseHTTPRequestHandler):
    """An application whose consumer sends the browser on to another host, as those of AWS, Google and Salesforce do."""

    onward = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(303)
        self.send_header("location", self.onward)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def test_application_may_send_the_browser_on_to_another_host(idp: Site, page: Page) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)
    _Elsewhere.onward = idp.origin.replace("localhost", "127.0.0.1") + "/help"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    consumer = f"http://localhost:{server.server_address[1]}/acs"
    world = idp.world
    assert isinstance(world, SamlWorld)
    world.parties = (a_party("wiki", metadata={"acs": (Endpoint(consumer, names.POST),)}),)
    page.goto(f"{idp.origin}/saml/start/wiki")
    sign_in(page, idp)
    page.wait_for_url(_Elsewhere.onward)
    server.shutdown()
