"""The portal on a real HTTPS server, and a person with a Chromium: whatever page he comes to is examined.

`Site` serves the small world of the flow tests, whose clock is moved by hand. `Visitor.sees` examines the page that is open: how it
looks to a checker, its language, title, size and focus, and what the browser complained about on the way.
"""

import re
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from playwright.sync_api import Browser, CDPSession, ConsoleMessage, Locator, Page, Request, Response, expect

from tests.flows.portal_world import PortalWorld
from tests.functional.acceptance import HIGH, Look
from tests.functional.chromium import Loop, ask, axe, new_context, new_tls_files, overflow, paint
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import PasswordPolicy
from wardgate.engine.runtime import EngineParts
from wardgate.portal.routes import portal_pages
from wardgate.texts import Text, render_on_page
from wardgate.web.app import build_web_app
from wardgate.web.headers import CONTENT_SECURITY_POLICY
from wardgate.web.server import HttpsServer

_T = TypeVar("_T")
PASSWORD = "correct horse"
BRAND = "Wardgate"
RULES = PasswordPolicy(min_length=15, complexity=True, history=5, blocklist=True)
# What Chromium says by itself about a page with an error status of ours.
_OWN_STATUS = re.compile(r"Failed to load resource: the server responded with a status of (4\d\d|50[03])")
# WCAG 1.4.12, set as properties of nodes, which the page's policy leaves alone.
_SPREAD = """() => document.querySelectorAll('body *').forEach(e => {
  if (e.style) { e.style.letterSpacing = '0.12em'; e.style.wordSpacing = '0.16em'; e.style.lineHeight = '1.5'; }
})"""
_FOCUSED = """(() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  // A choice is pressed by its whole row, and the ring may be around the row.
  const target = element.closest(".choice") ?? element, box = target.getBoundingClientRect();
  const styles = [element, target].map(e => getComputedStyle(e));
  const ring = styles.some(s => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2);
  return {
    what: element.outerHTML.slice(0, 80),
    small: getComputedStyle(target).display !== "inline" && Math.min(box.width, box.height) < 24,
    unseen: !ring || box.bottom < 0 || box.top > window.innerHeight,
  };
})()"""
_TAB = {"type": "rawKeyDown", "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
# What differs between two pages that are the same: tokens of forms, handles, references, and when something was.
_OF_ITS_OWN = re.compile(r'value="[\w-]{20,}"|[\w-]{22,}|\b[0-9A-HJKMNP-TV-Z]{8}\b|localhost:\d+|\b\d\d:\d\d\b')
# Where help and languages stand: measured from the end of the line, since a page's letters may be wider or narrower.
_BESIDE = """() => ['.top .help a', '.top .languages'].map(each => {
  const found = document.querySelectorAll(each), box = found[0] && found[0].getBoundingClientRect();
  return found.length === 1 ? { top: box.top + window.scrollY, after: window.innerWidth - box.right } : null;
})"""
_SHIFT_PX = 16
_UNSPREAD = "() => document.querySelectorAll('body *').forEach(e => { if (e.style) e.removeAttribute('style'); })"
# What has been examined: the look, the first part of the address, and the page itself. It is not done twice in a run.
_EXAMINED: set[tuple[Look, str, str]] = set()


class Site:
    """One server over one world."""

    def __init__(self, loop: Loop, folder: Path, world: PortalWorld | None = None, host: str = "localhost") -> None:
        self._loop = loop
        self.world = world or PortalWorld(directory=MemoryDirectory("local", policy=RULES))
        listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"https://{host}:{listener.getsockname()[1]}"
        context = replace(self.world.context(), origin=self.origin)
        world = self.world
        parts = EngineParts(
            world.storage,
            world.clock,
            lambda: world.ring,
            world.configuration,
            keep_messages=True,
            channel_down=lambda channel: channel in world.down,
            tickets=world.tickets,
        )
        app = build_web_app(context, ("portal",), [portal_pages(parts, world.joining())])
        self._server = HttpsServer(app, listener, new_tls_files(folder), context.streams.close)
        self.run(self._server.start())

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do something on the server's loop."""
        return self._loop.run(work)

    def later(self, seconds: float) -> None:
        """Time passes."""

        async def move() -> None:
            self.world.later(seconds)

        self.run(move())

    def ada(self, **fields: Any) -> list[str]:
        """Ada has everything: an app, a phone, a mailbox and recovery codes, which are returned."""

        async def made() -> list[str]:
            given = {"phone": "+905321234547", "mail": "ada@acme.test", "display_name": "Ada Lovelace", **fields}
            user = await self.world.person("ada", PASSWORD, **given)
            await self.world.give_totp(user)
            return await self.world.give_recovery_codes(user)

        return self.run(made())

    def sent(self, channel: str = "") -> int:
        """How many codes went out."""
        return len([each for each in self.run(self.world.messages()) if each.code and each.channel.startswith(channel)])

    def newest_code(self) -> str:
        """The code that was sent last."""
        return next(each.code for each in self.run(self.world.messages()) if each.code)

    def notices(self) -> int:
        """How many messages without a code went out."""
        return len([each for each in self.run(self.world.messages()) if not each.code])

    def close(self) -> None:
        """Stop serving."""
        self.run(self._server.stop(1.0))


class Somewhere(Protocol):
    """Pages that a server has."""

    @property
    def origin(self) -> str:
        """Their address."""


class Guest:
    """A person with a browser of his own, at any server. `secrets`: what must stand on no page that he sees."""

    def __init__(self, browser: Browser, site: Somewhere, look: Look, **options: Any) -> None:
        self.site, self.look = site, look
        self._browser = browser
        self._copies: Page | None = None
        self._probes: dict[Page, CDPSession] = {}
        self._context = new_context(
            browser,
            viewport={"width": look.width, "height": HIGH[look.width]},
            color_scheme=look.scheme,
            locale=look.language,
            java_script_enabled=look.script,
            **options,
        )
        self.secrets = [PASSWORD]
        self.shown: dict[str, str] = {}
        self._beside: list[dict[str, float]] = []
        self._said: list[str] = []
        self._elsewhere: list[str] = []
        self._last: Response | None = None
        self.page = self.tab()

    def tab(self) -> Page:
        """Another tab of the same browser, which is listened to as well."""
        page = self._context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._said.append(str(error)))
        page.on(
            "request", lambda request: None if request.url.startswith(self.site.origin) else self._elsewhere.append(request.url)
        )
        page.on("response", self._note)
        return page

    def turn_to(self, page: Page) -> None:
        """Go on in this tab."""
        self.page = page

    def _heard(self, message: ConsoleMessage) -> None:
        # Advice and news of what Chromium did by itself are no complaints.
        if message.type in ("error", "warning"):
            self._said.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.site.origin):
            self._elsewhere.append(request.url)

    def _note(self, response: Response) -> None:
        if response.request.is_navigation_request() and response.frame.parent_frame is None:
            self._last = response

    def close(self) -> None:
        """He closes his browser."""
        self._context.close()
        if self._copies is not None:
            self._copies.context.close()

    # --- acting ----------------------------------------------------------------------------------------------------------

    def t(self, text_id: str, /, **values: str | int) -> str:
        """What a text says to him."""
        return render_on_page(Text(text_id, values), self.look.language)

    def open(self, path: str) -> None:
        """Go to an address."""
        self.page.goto(self.site.origin + path)

    def field(self, text_id: str) -> Locator:
        """The field with this label."""
        return self.page.get_by_label(self.t(text_id), exact=True)

    def press(self, text_id: str) -> None:
        """Press the button that says this."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=self.t(text_id), exact=True).click()

    def follow(self, text_id: str) -> None:
        """Follow the link that says this."""
        with self.page.expect_navigation():
            self.page.get_by_role("link", name=self.t(text_id), exact=True).click()

    def choose(self, kind: str, button: str = "sign.continue") -> None:
        """Choose a way of a list, by its whole row."""
        self.page.locator("label.choice", has=self.page.locator(f"input[value={kind}]")).click()
        self.press(button)

    def type_code(self, code: str) -> None:
        """Type a code and send it."""
        self.page.locator("#code").fill(code)
        self.press("sign.continue")

    def press_one(self, text_id: str) -> None:
        """Press the first of several buttons that say this and what they are about."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=self.t(text_id)).first.click()

    def confirm(self, prove: Callable[[], None]) -> None:
        """Say again that it is him, where he is asked, by what `prove` does."""
        if "/confirm" in self.page.url:
            assert not self.field("sign.password").count()
            self.press("sign.continue")
            self.page.wait_for_url("**/step/*")
            prove()

    def sign_in(self, name: str = "ada", password: str = PASSWORD) -> None:
        """Send user name and password."""
        self.open("/sign-in")
        self.field("sign.user_name").fill(name)
        self.field("sign.password").fill(password)
        self.press("sign.in")

    def disputes_the_newest(self) -> None:
        """Say of the newest row of his activity that it was not he."""
        self.open("/account/activity")
        with self.page.expect_navigation():
            self.page.locator(".happened a").first.click()
        self.press("link.act_not_me")

    # --- looking ---------------------------------------------------------------------------------------------------------

    def reads(self, text_id: str, /, **values: str | int) -> None:
        """The page says this."""
        expect(self.page.get_by_role("main")).to_contain_text(self.t(text_id, **values))

    def words(self) -> str:
        """What the page says, but for its reference."""
        return self.page.title() + re.sub(r"\b[0-9A-HJKMNP-TV-Z]{8}\b", "", self.page.get_by_role("main").inner_text())

    def prints(self, name: str, there: Sequence[Locator], gone: Sequence[Locator]) -> None:
        """On paper this is there and that is not, and nothing is light on dark."""
        self.page.emulate_media(media="print")
        paint(self.page, f"portal-{name}-print-{self.look}")
        for each in there:
            expect(each.first).to_be_visible()
        for each in gone:
            expect(each).to_be_hidden()
        assert self.page.locator("body").evaluate("b => getComputedStyle(b).color") == "rgb(0, 0, 0)"
        assert self.page.locator("html").evaluate("h => getComputedStyle(h).colorScheme") == "light"
        self.page.emulate_media(media="screen")

    def sees(self, name: str, heading: str, *, status: int = 200, error: bool = False, settled: bool = False) -> None:
        """The page with this heading is open, and is in order. `name`: of its state, for its picture. `settled`: see `_reloads`."""
        h1 = self.page.get_by_role("heading", level=1)
        expect(h1).to_have_text(heading)
        assert self._last is not None
        assert self._last.status == status, f"{name}: {self._last.status}"
        prefix = self.t("sign.error_prefix") if error else ""
        assert self.page.title() == f"{prefix}{heading} – {BRAND}", name
        assert self.page.locator("h1").count() == 1, name
        assert self.page.locator("html").get_attribute("lang") == self.look.language, name
        assert self._elsewhere == [], name
        assert self._complaints(status) == [], name
        if error and self.page.locator("[aria-invalid]").count():
            # The field; or, of several, the list of what is wrong.
            expect(self.page.locator("[aria-invalid][autofocus], .told[autofocus]")).to_be_focused()
        content = self.page.content()
        assert [secret for secret in self.secrets if secret in content] == [], name
        self.shown[name] = self.page.get_by_role("main").inner_text()
        if self.examine(name) and self._last.request.method == "GET" and not settled:
            self._reloads(heading)

    def _complaints(self, status: int) -> list[str]:
        """What the browser said that is no news: a failure of ours is none only where the page is about it."""
        own = [text for text in self._said if _OWN_STATUS.match(text) and (status == 500 or "status of 500" not in text)]
        return [text for text in self._said if text not in own]

    def examine(self, name: str) -> bool:
        """How the page looks and is used, whatever its heading. False: nothing of it is new since it was examined the last time."""
        self._is_built_as_the_others(name)
        state = (self.look, urlsplit(self.page.url).path.split("/")[1], _OF_ITS_OWN.sub("", self.page.content()))
        if state in _EXAMINED:
            paint(self.page, f"portal-{name}-{self.look}")
            return False
        page, look = self.page, self.look
        for scheme in look.schemes:
            page.emulate_media(color_scheme=scheme)
            paint(page, f"portal-{name}-{replace(look, scheme=scheme, both=False)}")
            assert self.objections(scheme) == {"v": [], "i": []}, f"{name}, {scheme}"
        assert overflow(page) <= 0, name
        page.set_viewport_size({"width": 320, "height": HIGH[320]})
        assert overflow(page) <= 0, f"{name} at 320 pixels"
        page.evaluate(_SPREAD)
        assert overflow(page) <= 0, f"{name} at 320 pixels with wide text"
        page.evaluate(_UNSPREAD)
        page.set_viewport_size({"width": look.width, "height": HIGH[look.width]})
        self.walks(name)
        _EXAMINED.add(state)
        return True

    def _is_built_as_the_others(self, name: str) -> None:
        """One thing at most is proposed, every form can be sent, and help and languages are where they were (WCAG 3.2.6)."""
        main = self.page.get_by_role("main")
        proposed = main.locator(".primary:visible")
        assert proposed.count() <= 1, f"{name}: {proposed.all_inner_texts()}"
        typed = main.locator("input:not([type=hidden]):visible, select:visible")
        assert not typed.count() or main.locator("form button:visible").count(), name
        beside = self.page.evaluate(_BESIDE)
        if main.locator("form[data-send]").count():
            # Who is passed through chooses no language: there is nothing to come back to. Help is there.
            assert beside[0] is not None, name
            return
        assert None not in beside, name
        self._beside = self._beside or beside
        for now, first in zip(beside, self._beside, strict=True):
            assert all(abs(now[each] - first[each]) <= _SHIFT_PX for each in ("top", "after")), f"{name}: {now}, {first}"

    def probe(self) -> CDPSession:
        """The debugger's session with this page. It is kept: the end of one takes a virtual authenticator away."""
        if self.page not in self._probes:
            self._probes[self.page] = self._context.new_cdp_session(self.page)
        return self._probes[self.page]

    def objections(self, scheme: str) -> dict[str, list[str]]:
        """What the checker says. It is a script: of a page without any it looks at a copy of what is there."""
        return axe(self.probe() if self.look.script else self._copy(scheme))

    def _copy(self, scheme: str) -> CDPSession:
        """What the page without script shows, in a browser that would run scripts but gets none."""
        if self._copies is None:
            seen = {"viewport": self.page.viewport_size, "locale": self.look.language}
            self._copies = new_context(self._browser, **seen).new_page()
            self._copies.route("**/*.js", lambda route: route.fulfill(body=""))
            self._probes[self._copies] = self._copies.context.new_cdp_session(self._copies)
        if scheme == self.look.schemes[0]:
            content, policy = self.page.content(), {"content-security-policy": CONTENT_SECURITY_POLICY}
            address = f"{self.site.origin}/copy/{len(self.shown)}"
            self._copies.route(address, lambda route: route.fulfill(body=content, content_type="text/html", headers=policy))
            self._copies.goto(address)
        self._copies.emulate_media(color_scheme=scheme)
        return self._probes[self._copies]

    def walks(self, name: str) -> None:
        """Every control is reached by the keyboard, is large enough, and shows that it has the focus."""
        probe = self.probe()
        self.page.evaluate("() => document.activeElement.blur()")
        found = []
        for _ in range(60):
            probe.send("Input.dispatchKeyEvent", _TAB)
            told = ask(probe, _FOCUSED)
            if told is None:
                break
            found.append(told)
        else:
            raise AssertionError(f"{name}: the keyboard does not get out of the page")
        assert [each for each in found if each["small"]] == [], name
        assert [each for each in found if each["unseen"]] == [], name

    def _reloads(self, heading: str) -> None:
        """The same state is shown again; not asked of what is shown once (`settled`)."""
        self.page.reload()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(heading)


class Visitor(Guest):
    """A person at the small world of the flow tests."""

    site: Site

    def __init__(self, browser: Browser, site: Site, look: Look, **options: Any) -> None:
        super().__init__(browser, site, look, **options)

    def sign_in_by_app(self, then: str = "/account") -> None:
        """Sign in with the password and the app's code."""
        self.sign_in()
        self.type_code(self.site.world.totp())
        self.page.wait_for_url(f"**{then}")


Visit = Callable[[], Visitor]
