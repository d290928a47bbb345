"""The pages in a real Chromium: how they look to a checker, without script, by keyboard, live, and under attack.

How to have them painted for people to look at stands in `chromium.py`.
"""

import re
import socket
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.functional.chromium import LOOKS, MEASURE, Loop, axe, chromium, new_context, new_tls_files, overflow, paint
from tests.unit.web.samples import LET_IN, Sample
from wardgate.admin.links import make_link
from wardgate.audit.incidents import IncidentKind
from wardgate.delivery.port import Channel
from wardgate.texts import catalogue
from wardgate.web.server import HttpsServer
from wardgate.web.streams import Streams

pytestmark = pytest.mark.neighbour("chromium")

_T = TypeVar("_T")


class Site:
    """One server over one storage."""

    def __init__(self, loop: Loop, folder: Path, *, demo: bool = True, filled: bool = True, **changes: Any) -> None:
        self._loop = loop
        listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"https://127.0.0.1:{listener.getsockname()[1]}"
        self.sample = Sample(demo=demo, origin=self.origin, **changes)
        if filled:
            self.run(self.sample.fill())
        self._server = HttpsServer(self.sample.app, listener, new_tls_files(folder), self.sample.context.streams.close)
        self.run(self._server.start())

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do something on the server's loop."""
        return self._loop.run(work)

    def link(self) -> str:
        """The address of a new one-time link."""
        return f"{self.origin}/admin/enter/{self.run(make_link(self.sample.storage, self.sample.ring, self.sample.clock))}"

    def log(self, reference: str, user: str = "ada", result: str = "granted") -> None:
        """A request comes in now."""
        row = self.sample.request(reference, 0, user, result, result, LET_IN)
        self.run(self.sample.storage.commit([row]))

    def close(self) -> None:
        """Stop serving."""
        self.run(self._server.stop(1.0))


@dataclass(frozen=True)
class Shown:
    """A page of the gallery: which site, which address, and whether to open what can be opened."""

    site: str
    address: str
    opened: bool = False


GALLERY = {
    "start": Shown("demo", "/", opened=True),
    "outbox": Shown("demo", "/outbox"),
    "outbox-empty": Shown("empty", "/outbox"),
    "log": Shown("demo", "/admin/log"),
    "log-opened": Shown("demo", "/admin/log", opened=True),
    "log-empty": Shown("empty", "/admin/log"),
    "log-filtered": Shown("demo", "/admin/log?user=nobody"),
    "log-older": Shown("demo", "/admin/log?result=denied&before=ffffffffffffffffffffffff"),
    "login": Shown("demo", "/admin/log/7K3M9QXT"),
    "login-unknown": Shown("demo", "/admin/log/00000000"),
    "nowhere": Shown("demo", "/nowhere"),
    "running": Shown("serve", "/"),
    "closed": Shown("serve", "/admin/log"),
    "enter": Shown("serve", "LINK"),
    "link-unknown": Shown("serve", "/admin/enter/nothing"),
    "inside": Shown("inside", "/admin/log"),
}


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    one = Loop()
    yield one
    one.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def gallery(loop: Loop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    folder = tmp_path_factory.mktemp("gallery")
    sites = {"demo": Site(loop, folder), "empty": Site(loop, folder, filled=False), "serve": Site(loop, folder, demo=False)}
    sites["inside"] = sites["serve"]
    yield sites
    for name in ("demo", "empty", "serve"):
        sites[name].close()


@pytest.fixture
def demo(loop: Loop, tmp_path: Path) -> Iterator[Site]:
    site = Site(loop, tmp_path)
    yield site
    site.close()


@pytest.fixture
def serve(loop: Loop, tmp_path: Path) -> Iterator[Site]:
    site = Site(loop, tmp_path, demo=False)
    yield site
    site.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    one = new_context(browser)
    yield one
    one.close()


def go(page: Page, sites: dict[str, Site], shown: Shown) -> None:
    """Open a page of the gallery and let it settle."""
    site = sites[shown.site]
    if shown.site == "inside":
        page.goto(site.link())
        page.get_by_role("main").get_by_role("button").click()
        page.wait_for_url("**/admin/log")
    page.goto(site.link() if shown.address == "LINK" else site.origin + shown.address)
    if page.locator(".live").count():
        expect(page.locator(".live")).to_have_class(re.compile(r"\bon\b"))
    if shown.opened:
        page.locator("main details").evaluate_all("all => all.slice(0, 4).forEach(each => { each.open = true; })")
    page.locator("html").evaluate("() => document.fonts.ready.then(() => null)")


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: f"{look[0]}-{look[2]}-{look[3]}")
@pytest.mark.parametrize("name", GALLERY)
def test_page_is_clean_for_everybody(
    browser: Browser, gallery: dict[str, Site], name: str, look: tuple[int, int, str, str]
) -> None:
    width, height, scheme, language = look
    shown = GALLERY[name]
    context = new_context(browser, viewport={"width": width, "height": height}, color_scheme=scheme, locale=language)
    page = context.new_page()
    said: list[str] = []
    elsewhere: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request", lambda request: elsewhere.append(request.url) if not request.url.startswith(gallery[shown.site].origin) else None
    )
    go(page, gallery, shown)
    paint(page, f"{name}-{width}-{scheme}-{language}")
    assert axe(page) == {"v": [], "i": []}
    assert overflow(page) <= 0
    assert page.locator("html").get_attribute("lang") == language
    heading = page.locator("h1")
    assert heading.count() == 1
    prefix = catalogue(language)["sign.error_prefix"] if page.locator(".notice .reference").count() else ""
    assert page.title() == f"{prefix}{heading.inner_text()} – Wardgate"
    assert elsewhere == []
    # What Chromium says by itself about a page with an error status is no fault of the page.
    assert [text for text in said if not text.startswith("Failed to load resource")] == []
    context.close()


@pytest.mark.parametrize("name", GALLERY)
def test_page_fits_320_pixels_with_wide_text(browser: Browser, gallery: dict[str, Site], name: str) -> None:
    context = new_context(browser, viewport={"width": 320, "height": 700}, locale="tr")
    page = context.new_page()
    go(page, gallery, GALLERY[name])
    assert overflow(page) <= 0
    # WCAG 1.4.12; set as properties of nodes, which the page's policy leaves alone.
    spread = "e.style.letterSpacing = '0.12em'; e.style.wordSpacing = '0.16em'; e.style.lineHeight = '1.5';"
    page.locator("html").evaluate(f"() => document.querySelectorAll('*').forEach(e => {{ if (e.style) {{ {spread} }} }})")
    assert overflow(page) <= 0
    context.close()


@pytest.mark.parametrize("name", GALLERY)
def test_controls_are_large_enough_and_show_their_focus(browser: Browser, gallery: dict[str, Site], name: str) -> None:
    context = new_context(browser, viewport={"width": 390, "height": 844})
    page = context.new_page()
    go(page, gallery, GALLERY[name])
    page.locator("body").evaluate("() => document.activeElement.blur()")
    small, unseen = [], []
    for _ in range(150):
        page.keyboard.press("Tab")
        at = page.locator(":focus")
        if not at.count() or at.evaluate("e => e === document.body"):
            break
        told = at.evaluate(MEASURE)
        if not told["inline"] and (told["high"] < 24 or told["wide"] < 24):
            small.append(told)
        if not told["ring"] or told["bottom"] < 0 or told["top"] > 844:
            unseen.append(told)
    else:
        pytest.fail("the keyboard does not get out of the page")
    assert small == []
    assert unseen == []
    context.close()


def test_keyboard_reaches_the_content_and_opens_a_row(context: BrowserContext, demo: Site) -> None:
    page = context.new_page()
    page.goto(f"{demo.origin}/admin/log")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    row = page.locator("#entries > li").first
    row.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(row.locator(".steps li")).to_have_count(3)
    expect(row.locator(".steps")).to_be_visible()
    page.keyboard.press("Space")
    expect(row.locator(".steps")).not_to_be_visible()


def test_log_works_without_script(browser: Browser, demo: Site) -> None:
    context = new_context(browser, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{demo.origin}/admin/log")
    expect(page.locator("#entries > li")).to_have_count(11)
    expect(page.get_by_text("This page does not change by itself.")).to_be_visible()
    expect(page.locator("button.pause")).not_to_be_visible()
    expect(page.locator("#entries time .clock").first).to_have_text("09:30:08")
    expect(page.get_by_text("Times are in UTC.")).to_be_visible()
    page.locator("#entries summary").first.click()
    expect(page.locator("#entries .steps").first).to_be_visible()
    demo.log("AAAA1111")
    page.get_by_role("link", name="Reload", exact=True).click()
    expect(page.locator("#entries > li")).to_have_count(12)
    page.get_by_label("User").fill("CAROL")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#entries > li")).to_have_count(1)
    page.get_by_role("link", name="Show everything").click()
    page.get_by_label("Reference").fill("wg-7k3m-9qxt")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Login 7K3M9QXT")
    expect(page.locator(".lanes li")).to_have_count(3)
    page.get_by_role("link", name="Türkçe").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Giriş 7K3M9QXT")
    page.get_by_role("link", name="Günlüğe dön").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Giriş günlüğü")
    context.close()


def test_one_time_link_opens_the_log_without_script_and_the_session_ends(browser: Browser, serve: Site) -> None:
    context = new_context(browser, java_script_enabled=False)
    page = context.new_page()
    link = serve.link()
    page.goto(link)
    page.reload()
    page.get_by_role("button", name="Open the log").click()
    page.wait_for_url("**/admin/log")
    expect(page.locator("#entries > li")).to_have_count(11)
    (cookie,) = context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == ("__Host-wg_admin", True, True, "Strict")
    page.get_by_role("button", name="End session").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Wardgate is running")
    assert context.cookies() == []
    page.goto(f"{serve.origin}/admin/log")
    expect(page.get_by_role("heading", level=1)).to_have_text("The login log is closed")
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("This link has been used")
    context.close()


def test_back_after_the_end_of_the_session_shows_nothing(context: BrowserContext, serve: Site) -> None:
    page = context.new_page()
    page.goto(serve.link())
    page.get_by_role("button", name="Open the log").click()
    expect(page.locator("#entries > li").first).to_be_visible()
    page.get_by_role("button", name="End session").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Wardgate is running")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("The login log is closed")
    assert "hq-firewall" not in page.content()


def test_form_of_another_site_cannot_use_the_link(context: BrowserContext, serve: Site) -> None:
    link = serve.link()
    page = context.new_page()
    page.set_content(f'<form method="post" action="{link}"><button>Win a prize</button></form>')
    page.get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Another site sent this")
    assert context.cookies() == []
    page.goto(link)
    expect(page.get_by_role("button", name="Open the log")).to_be_visible()


def test_page_cannot_be_framed_by_another_site(context: BrowserContext, demo: Site) -> None:
    page = context.new_page()
    page.set_content(f'<iframe src="{demo.origin}/admin/log"></iframe>')
    frame = page.frames[1]
    frame.wait_for_load_state()
    assert frame.url.startswith("chrome-error:")


def test_markup_in_a_user_name_never_runs(context: BrowserContext, demo: Site) -> None:
    attack = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    page = context.new_page()
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(f"{demo.origin}/admin/log")
    expect(page.locator(".live")).to_have_class(re.compile(r"\bon\b"))
    demo.log("AAAA1111", user=attack)
    expect(page.locator("#entries > li").first.locator(".user bdi")).to_have_text(attack)
    page.goto(f"{demo.origin}/admin/log/AAAA1111")
    expect(page.get_by_text(attack).first).to_be_visible()
    assert page.title() == "Login AAAA1111 – Wardgate"
    assert page.locator("img").count() == 0


def test_inline_script_is_stopped_by_the_policy(context: BrowserContext, demo: Site) -> None:
    page = context.new_page()
    page.goto(f"{demo.origin}/admin/log")
    title = page.title()
    page.locator("body").evaluate("b => b.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title = 1\">')")
    page.locator("body").evaluate(
        "b => { const s = document.createElement('script'); s.textContent = 'document.title = 2'; b.append(s); }"
    )
    page.locator("body").evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
    assert page.title() == title


def test_requests_and_incidents_appear_by_themselves(context: BrowserContext, demo: Site) -> None:
    page = context.new_page()
    page.goto(f"{demo.origin}/admin/log")
    expect(page.get_by_text("Live: new entries appear by themselves.")).to_be_visible()
    expect(page.get_by_text("Times are in Europe/Istanbul.")).to_be_visible()
    second = page.locator("#entries > li").nth(1)
    second.locator("summary").click()
    opened = second.get_attribute("id")
    demo.log("AAAA1111", user="grace")
    newest = page.locator("#entries > li").first
    expect(newest.locator(".user")).to_contain_text("grace")
    expect(newest.locator(".clock")).to_have_text("12:30:12")
    expect(page.locator(f"#{opened} .steps")).to_be_visible()  # what is being read stays open
    expect(page.get_by_role("status")).to_have_text("New entries: 1")
    newest.locator("summary").click()
    expect(newest.locator(".steps li")).to_have_count(3)
    demo.sample.recorder.incident(IncidentKind.PROXY_STATE_UNSIGNED, "10.40.0.1", "proxy")
    demo.run(demo.sample.recorder.flush())
    expect(page.locator("#incidents").get_by_text("10.40.0.1")).to_be_visible()


def test_paused_page_stands_still_and_catches_up(context: BrowserContext, demo: Site) -> None:
    page = context.new_page()
    page.goto(f"{demo.origin}/admin/log")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused: new entries wait.")).to_be_visible()
    for number in range(3):
        demo.log(f"AAAA000{number}", user=f"late{number}")
    expect(page.locator("#entries > li")).to_have_count(11)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#entries > li")).to_have_count(14)
    demo.log("AAAA0009")
    expect(page.locator("#entries > li")).to_have_count(15)


def test_first_request_takes_the_place_of_the_empty_state(browser: Browser, loop: Loop, tmp_path: Path) -> None:
    site = Site(loop, tmp_path, filled=False)
    context = new_context(browser)
    page = context.new_page()
    page.goto(f"{site.origin}/admin/log")
    expect(page.get_by_text("No request has come in yet")).to_be_visible()
    site.log("AAAA1111")
    expect(page.locator("#entries > li")).to_have_count(1)
    expect(page.get_by_text("No request has come in yet")).not_to_be_visible()
    context.close()
    site.close()


def test_page_that_gets_no_stream_says_so(browser: Browser, loop: Loop, tmp_path: Path) -> None:
    site = Site(loop, tmp_path, streams=Streams(limit=0))
    context = new_context(browser)
    page = context.new_page()
    page.goto(f"{site.origin}/admin/log")
    expect(page.get_by_text("No longer live. Reload the page.")).to_be_visible()
    expect(page.locator(".live .reload")).to_be_visible()
    context.close()
    site.close()


def test_page_notices_that_the_server_went_and_came_back(context: BrowserContext, demo: Site) -> None:
    page = context.new_page()
    page.goto(f"{demo.origin}/admin/log")
    expect(page.locator(".live")).to_have_class(re.compile(r"\bon\b"))
    context.set_offline(True)
    demo.sample.context.streams.close()
    expect(page.get_by_text("The connection is lost. Trying again.")).to_be_visible()
    demo.sample.context.streams._stopping = False
    context.set_offline(False)
    demo.log("AAAA1111")
    expect(page.locator("#entries > li")).to_have_count(12)


def test_message_appears_with_its_code_to_copy(context: BrowserContext, demo: Site) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=demo.origin)
    page = context.new_page()
    page.goto(f"{demo.origin}/outbox")
    expect(page.locator("#messages > li")).to_have_count(3)
    expect(page.locator(".live")).to_have_class(re.compile(r"\bon\b"))
    message = demo.sample.message(9, Channel.SMS, "+905320000009", "bob", "777111", "777111 is your code", 0)
    demo.run(demo.sample.storage.commit(message))
    newest = page.locator("#messages > li").first
    expect(newest.locator(".digits")).to_have_text("777111")
    newest.get_by_role("button", name="Copy code").click()
    expect(newest.get_by_role("button", name="Copied")).to_be_visible()
    assert page.locator("body").evaluate("() => navigator.clipboard.readText()") == "777111"


def test_nothing_moves_for_who_asked_for_stillness(browser: Browser, demo: Site) -> None:
    context = new_context(browser, reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{demo.origin}/admin/log")
    expect(page.locator(".live")).to_have_class(re.compile(r"\bon\b"))
    demo.log("AAAA1111")
    expect(page.locator("#entries > li")).to_have_count(12)
    assert page.locator("html").evaluate("() => document.getAnimations().length") == 0
    context.close()


def test_pictures_and_words_stay_in_forced_colours(browser: Browser, gallery: dict[str, Site]) -> None:
    context = new_context(browser, forced_colors="active")
    page = context.new_page()
    go(page, gallery, GALLERY["log-opened"])
    bar = page.locator("#entries .bar .fill").first
    ground = page.locator("body").evaluate("b => getComputedStyle(b).backgroundColor")
    assert bar.evaluate("e => getComputedStyle(e).fill") != ground
    expect(page.locator("#entries .result").first).to_have_text("Let in")
    context.close()
