"""A real Chromium for tests: how it is started, what a checker says of a page, and where pages are painted to.

Set WARDGATE_SCREENSHOTS to a folder to have every page and state painted into it, for people to look at:
`WARDGATE_SCREENSHOTS="$PWD/shots" ./test tests/functional -k "portal or pages"`.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, expect, sync_playwright

from tests import neighbours
from wardgate.certificates import self_signed
from wardgate.web.tls import TlsFiles

DEADLINE_S = 20.0
AXE = Path(__file__).parents[1] / "vendor" / "axe-core" / "axe.min.js"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *(
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    ),
)
# Chromium ends when the bus that it found goes away.
NO_BUS = dict.fromkeys(("DBUS_SYSTEM_BUS_ADDRESS", "DBUS_SESSION_BUS_ADDRESS"), "unix:path=/nonexistent/bus")
# Every size, scheme and language, each with each other one.
Look = tuple[int, int, str, str]
LOOKS: tuple[Look, ...] = (
    (1280, 800, "light", "en"),
    (1280, 800, "dark", "tr"),
    (390, 844, "light", "tr"),
    (390, 844, "dark", "en"),
)

MEASURE = """element => {
  const box = element.getBoundingClientRect(), style = getComputedStyle(element);
  return {
    what: element.outerHTML.slice(0, 80), inline: style.display === "inline", high: box.height, wide: box.width, top: box.top,
    bottom: box.bottom, ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
  };
}"""

_ASK_AXE = """(async () => {
  const tell = e => e.id + ": " + e.nodes.map(n => n.target.join(" ")).join(", ");
  const found = await axe.run(document, { resultTypes: ["violations", "incomplete"] });
  return { v: found.violations.map(tell), i: found.incomplete.map(tell) };
})()"""

_T = TypeVar("_T")


class Loop:
    """An event loop in a thread of its own, where the servers live: Playwright's calls block this one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do something there and wait for it."""
        done: Future[_T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(DEADLINE_S)

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser."""
    expect.set_options(timeout=DEADLINE_S * 1000)
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(
            executable_path=neighbours.executable("chromium"), args=list(FLAGS), env={**os.environ, **NO_BUS}
        )
        yield one
        one.close()


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """A browser of a person's own, with no cookie."""
    settings = {"ignore_https_errors": True, "locale": "en", "timezone_id": "Europe/Istanbul", **options}
    one = browser.new_context(**settings)
    one.set_default_timeout(DEADLINE_S * 1000)
    return one


def new_tls_files(folder: Path) -> TlsFiles:
    """A certificate of its own, and its key."""
    certificate, key = self_signed(datetime.now(UTC))
    tls = TlsFiles(folder / "server.crt", folder / "server.key")
    tls.certificate.write_bytes(certificate)
    tls.key.write_bytes(key)
    return tls


def ask(session: CDPSession, expression: str) -> Any:
    """What an expression comes to in a page, asked by the debugger: the page's own policy lets no script in."""
    answer = session.send("Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True})
    return answer["result"].get("value")


def axe(where: Page | CDPSession) -> dict[str, list[str]]:
    """What axe-core objects to in a page, and what it cannot decide."""
    if isinstance(where, Page):
        session = where.context.new_cdp_session(where)
        found = axe(session)
        session.detach()
        return found
    if ask(where, "typeof axe") == "undefined":
        ask(where, AXE.read_text(encoding="utf-8") + "; 0")
    told: dict[str, list[str]] = ask(where, _ASK_AXE)
    return told


def overflow(page: Page) -> int:
    """By how many pixels the page can be scrolled sideways."""
    width: int = page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
    return width


def paint(page: Page, name: str) -> None:
    """Paint the whole page, where somebody wants to see it."""
    if folder := os.environ.get("WARDGATE_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
