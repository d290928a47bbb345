"""`wardgate simulate paloalto` where the window leads to a page: an operator plays both ends, the page in a browser of his."""

import asyncio
import os
import select
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from tests.flows.portal_world import BrowserOfTests
from tests.flows.test_portal_passkeys import options_on
from tests.flows.test_short_links import app_on, code_on
from tests.functional.harness import COMMAND, ROOT, Served, cli, ended, environment, serve_demo, totp_code
from tests.software_passkey import SoftPasskey

PATIENCE_S = 60.0
RULES = [{"name": "staff", "then": {"steps": [["password"], ["totp", "passkey"]]}}]


@pytest.fixture(scope="module")
def led(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A demo whose VPN leads who has no app or passkey to a page."""
    with ended(serve_demo(tmp_path_factory.mktemp("led") / "demo")) as demo:
        document = yaml.safe_load(cli("config", "export", data=demo.data).stdout)
        [vpn] = [each for each in document["applications"] if each["name"] == "vpn"]
        vpn.update(enrol_by_link=True, policy="strong")
        document["policies"] = [*document.get("policies", []), {"name": "strong", "rules": RULES}]
        cli("config", "apply", "-", data=demo.data, stdin=yaml.safe_dump(document))
        yield demo
        demo.stop()


@dataclass
class Played:
    """A run of it, read line by line."""

    process: "subprocess.Popen[bytes]"
    shown: str = ""
    seen: int = field(default=0)

    def until(self, words: str) -> str:
        """What it printed since the last time, up to and with these words and the rest of their line."""
        assert self.process.stdout is not None
        while words not in self.shown[self.seen :] or not self.shown[self.seen :].partition(words)[2].count("\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
            more = os.read(self.process.stdout.fileno(), 65_536) if ready else b""
            assert more, self.shown
            self.shown += more.decode()
        end = self.shown.index("\n", self.shown.index(words, self.seen) + len(words)) + 1
        told, self.seen = self.shown[self.seen : end], end
        return told

    def link(self) -> str:
        """The link that the person is to open now."""
        told = self.until("the person opens the link in a browser")
        return next(word for word in reversed(told.split()) if "/approve/" in word)

    def types(self, code: str) -> None:
        """A line on its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{code}\n".encode())
        self.process.stdin.flush()


@contextmanager
def played(demo: Served, user: str, *options: str) -> Iterator[Played]:
    """Run it, to its good end."""
    command = [*COMMAND, "simulate", "paloalto", "--user", user, "--data", str(demo.data), *options]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), cwd=ROOT
    )
    try:
        yield Played(process)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def on_page(demo: Served, link: str, act: Callable[[BrowserOfTests], Awaitable[str]]) -> str:
    """Open it in a browser and do something there."""

    async def opened() -> str:
        context = ssl.create_default_context(cafile=str(demo.ca_file))
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(link))
        async with httpx.AsyncClient(verify=context, base_url=origin, timeout=PATIENCE_S, trust_env=False) as client:
            browser = BrowserOfTests(client)
            await browser.get(urlsplit(link).path)
            return await act(browser)

    return asyncio.run(opened())


def test_an_operator_plays_enrolment_and_then_a_confirmation_at_portal_and_gateway(led: Served) -> None:
    passkey = SoftPasskey(rp_id="localhost")

    async def make(browser: BrowserOfTests) -> str:
        await browser.post(act="start")
        page = await browser.post(act="enrol", method="passkey")
        await browser.post(passkey=passkey.made(options_on(page)), nickname="Phone")
        return code_on(await browser.post(act="saved", saved="yes"))

    async def confirm(browser: BrowserOfTests) -> str:
        return code_on(await browser.post(passkey=passkey.signed(options_on(browser.page))))

    with played(led, "bob", "--cookie") as run:
        link = run.link()
        assert "the person sees: Set up your second step: open the link sent to" in run.shown
        assert f"the message brings: {link}" in run.shown
        passkey.origin = link.partition("/approve/")[0]
        run.types(on_page(led, link, make))
        run.until("bob was let in (portal)")
    with played(led, "bob") as run:
        links = []
        for _ in range(2):
            links.append(run.link())
            run.types(on_page(led, links[-1], confirm))
        run.until("bob was let in (gateway)")
    assert f"the person sees: Open {links[0]} and use your passkey." in run.shown
    assert links[0] != links[1]
    assert "the app re-used the portal's code, which is spent" in run.shown


def test_unattended_it_says_which_link_nobody_opened(led: Served) -> None:
    done = cli("simulate", "paloalto", "--user", "carol", "--auto", data=led.data, expect=2)
    assert "open it in a browser, and type the code that comes of it here" in done.stderr
    assert "/approve/" in done.stderr


def test_an_app_that_is_set_up_on_the_page_gives_the_last_code(led: Served) -> None:
    secret = bytearray()

    async def make(browser: BrowserOfTests) -> str:
        await browser.post(act="start")
        page = await browser.post(act="enrol", method="totp")
        secret.extend(await app_on(page))
        page = await browser.post(act="app", code=totp_code(secret.hex()), nickname="")
        assert "recovery-codes.txt" in page.text, page.text
        return ""

    with played(led, "carol", "--cookie") as run:
        on_page(led, run.link(), make)
        run.types(totp_code(secret.hex(), shift=1))
        run.until("carol was let in (portal)")
