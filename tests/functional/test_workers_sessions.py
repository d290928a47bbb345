"""A password that has to be changed, changed in one browser: the session of another is dead at every worker at once."""

import contextlib
import re
import sqlite3
import sys
from pathlib import Path

import httpx
import pytest

from tests.functional.harness import (
    START_S,
    Served,
    csv_of,
    ended,
    make_installation,
    people,
    serve,
    totp_code,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this system hands all connections of a port to one worker")

DOCUMENT = """
realms: [{name: default, default: true, directories: [local], reply_floor_ms: 0}]
directories: [{name: local, kind: local}]
applications: [{name: portal, kind: portal}]
"""
NEW = "a very long new passphrase"
# The system hands connections out by their source ports: so many reach both workers.
CONNECTIONS = 16
_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


class Tab:
    """A browser without script."""

    def __init__(self, web: httpx.Client, origin: str) -> None:
        self.web, self.origin = web, origin
        self.page = web.get("/sign-in", follow_redirects=True)

    def post(self, **fields: str) -> httpx.Response:
        """Send the first form of the page."""
        form = {**dict(_FIELD.findall(self.page.text.split("<form ")[1])), **fields}
        headers = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        self.page = self.web.post(self.page.url, data=form, headers=headers, follow_redirects=True)
        return self.page


def opened_at_each_worker(served: Served, stack: contextlib.ExitStack, cookies: httpx.Cookies) -> list[httpx.Client]:
    """Connections of one browser that stay open, some at each worker."""

    def copy() -> httpx.Client:
        web = stack.enter_context(served.web())
        web.cookies.update(cookies)
        assert web.get("/account").status_code == 200
        return web

    clients = [copy() for _ in range(CONNECTIONS)]
    with served.web() as web:
        text = web.get("/metrics").text
    held = re.findall(r'^wardgate_https_connections{.*worker="(\d+)".*} (\S+)$', text, re.MULTILINE)
    assert {slot for slot, count in held if float(count)} == {"0", "1"}, held
    return clients


def test_required_change_of_a_password_ends_the_other_session_at_both_workers(tmp_path: Path) -> None:
    [erin] = people("erin", 1)
    data = tmp_path / "data"
    make_installation(data, DOCUMENT, csv_of([erin]))
    with ended(serve(data, (), "--workers", "2")) as served, contextlib.ExitStack() as stack:
        other = Tab(stack.enter_context(served.web()), served.url)
        other.post(username=erin.name, password=erin.password)
        other.post(code=totp_code(erin.totp_hex), act="answer")
        assert other.page.url.path == "/account", other.page.text
        others = opened_at_each_worker(served, stack, other.web.cookies)
        with contextlib.closing(sqlite3.connect(data / "wardgate.db", timeout=START_S)) as database, database:
            assert database.execute("UPDATE local_user SET must_change = 1").rowcount == 1
        browser = Tab(stack.enter_context(served.web()), served.url)
        browser.post(username=erin.name, password=erin.password)
        browser.post(code=totp_code(erin.totp_hex, shift=1), act="answer")
        assert "new_password" in browser.page.text
        assert {web.get("/account").status_code for web in others} == {200}
        browser.post(new_password=NEW, act="password")
        assert browser.page.url.path == "/account", browser.page.text
        # At once: a session is read where it was ended, whichever worker is asked.
        assert {web.get("/account").status_code for web in others} == {303}
        assert browser.web.get("/account").status_code == 200
        served.stop()
