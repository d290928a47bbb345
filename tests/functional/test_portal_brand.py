"""The brand and the help pages in a real Chromium: what a checker says of them, in every scheme, language and size."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.flows.test_portal_brand import BrandedWorld
from tests.functional.chromium import Loop, axe, new_context, new_tls_files, overflow, paint
from wardgate.brand.colours import palette_of
from wardgate.brand.looks import Looks, build_looks
from wardgate.brand.settings import BrandSettings, LegalLinkSettings
from wardgate.engine.runtime import EngineParts
from wardgate.portal.help import TOPICS
from wardgate.portal.routes import portal_pages
from wardgate.web.app import build_web_app
from wardgate.web.server import HttpsServer

pytestmark = pytest.mark.neighbour("chromium")

LOGO = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 60"><defs><linearGradient id="g"><stop offset="0"
stop-color="#c2410c"/><stop offset="1" stop-color="#fe784c"/></linearGradient></defs>
<path d="M0 60 L30 0 L60 60 Z" style="fill:url(#g)"/><rect x="80" y="20" width="200" height="20" fill="#808080"/></svg>"""
LOOKS = [(1280, "light", "en"), (1280, "dark", "tr"), (390, "light", "tr"), (390, "dark", "en"), (320, "light", "tr")]
# One in the middle, the darkest, and one that can only just be read.
HUES = ("#c2410c", "#000000", "#856e00")


class Site:
    """A portal with these looks on a real server."""

    def __init__(self, folder: Path, looks: Looks) -> None:
        self._loop = Loop()
        world, listener = BrandedWorld(looks=looks), socket.create_server(("127.0.0.1", 0))
        self.origin = f"https://127.0.0.1:{listener.getsockname()[1]}"
        parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, keep_messages=True)
        app = build_web_app(replace(world.context(), origin=self.origin), ("portal",), [portal_pages(parts)])
        self._server = HttpsServer(app, listener, new_tls_files(folder))
        self._loop.run(self._server.start())

    def close(self) -> None:
        """Stop it."""
        self._loop.run(self._server.stop(1.0))
        self._loop.close()


@pytest.fixture
def site(tmp_path: Path, hue: str) -> Iterator[Site]:
    (tmp_path / "logo.svg").write_bytes(LOGO)
    brand = BrandSettings(
        name="Acme",
        hue=hue,
        logo_file=str(tmp_path / "logo.svg"),
        help_text={"en": "Room 12, Monday to Friday.", "tr": "12 numaralı oda, hafta içi."},
        help_contact="+90 212 555 01 02",
        legal=(LegalLinkSettings(address="https://acme.test/privacy", text={"en": "Privacy", "tr": "Gizlilik"}),),
    )
    one = Site(tmp_path, build_looks(brand, {"acme": None}, "acme"))
    yield one
    one.close()


def opened(browser: Browser, look: tuple[int, str, str], script: bool = True) -> tuple[Page, list[str]]:
    """A page with this look, and what the browser complains about or asks elsewhere."""
    width, scheme, language = look
    context = new_context(
        browser,
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        locale=language,
        java_script_enabled=script,
    )
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith("https://127.0.0.1:") else wrong.append(request.url))
    return page, wrong


def in_order(page: Page) -> list[str]:
    """The links of the head, as the keyboard comes to them."""
    words: list[str] = page.locator("header a").evaluate_all("links => links.map(e => e.textContent.trim())")
    return words


@pytest.mark.parametrize("hue", HUES)
@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_branded_pages_are_read_by_everybody(browser: Browser, site: Site, look: tuple[int, str, str], hue: str) -> None:
    page, wrong = opened(browser, look)
    for path in ("/sign-in", "/forgot", "/help", "/help/sign-in"):
        page.goto(site.origin + path)
        assert axe(page) == {"v": [], "i": []}, path
        assert overflow(page) <= 0
        assert page.title().endswith(" – Acme")
        assert page.locator("header .logo img").evaluate("e => [e.alt, e.naturalWidth > 0, e.width, e.height]") == [
            "Acme",
            True,
            200,
            40,
        ]
        paint(page, f"brand-{hue[1:]}-{path[1:].replace('/', '-')}-{look[0]}-{look[1]}-{look[2]}")
    page.goto(f"{site.origin}/sign-in")
    drawn = page.locator("button.primary").evaluate("e => getComputedStyle(e).backgroundColor")
    assert drawn == rgb(palette_of(hue).brand[look[1] == "dark"])
    assert wrong == []
    page.context.close()


def rgb(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgb({red}, {green}, {blue})"


@pytest.mark.parametrize("hue", HUES[:1])
@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_help_pages_are_read_by_everybody(browser: Browser, site: Site, look: tuple[int, str, str], hue: str) -> None:
    page, wrong = opened(browser, look)
    places = set()
    for path in ("/help", *(f"/help/{topic}" for topic in TOPICS)):
        page.goto(site.origin + path)
        assert axe(page) == {"v": [], "i": []}, path
        assert overflow(page) <= 0
        assert page.locator("h1").count() == 1
        assert page.locator("html").get_attribute("lang") == look[2]
        small = page.locator("header a, footer a").evaluate_all(
            "links => links.filter(e => Math.min(e.getBoundingClientRect().width, e.getBoundingClientRect().height) < 24).length"
        )
        assert small == 0
        places.add(tuple(in_order(page)))
        paint(page, f"{path[1:].replace('/', '-')}-{look[0]}-{look[1]}-{look[2]}")
    assert len(places) == 1
    assert wrong == []
    page.context.close()
