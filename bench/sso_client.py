"""Browsers that come from an application with an AuthnRequest, for `bench.sso`: threads with a connection and cookies each.

They cost as little as Python's own HTTP client allows, and the same before every server; what they use stands in the tables.
"""

import base64
import html
import http.client
import re
import secrets
import ssl
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit

from bench.processes import tree_cpu_s

PATIENCE_S = 60.0
# Servers hang up on connections that rest, ours after 15 seconds. A browser would ask once more; here that would be a fault.
RESTED_S = 10.0
MAX_HOPS = 6
SUCCESS = b"urn:oasis:names:tc:SAML:2.0:status:Success"
_RESPONSE = re.compile(rb'name="SAMLResponse" value="([^"]+)"')
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


class Unanswered(Exception):
    """No signed Response came where one should have."""


@dataclass(slots=True)
class Browser:
    """A browser with a connection that it keeps. `source`: where it says that it comes from, to a server that believes it."""

    port: int
    context: ssl.SSLContext
    source: str = "127.0.0.1"
    cookies: dict[str, str] = field(default_factory=dict)
    _connection: http.client.HTTPSConnection | None = None
    _used_at: float = 0.0

    def opens(self, path: str) -> bytes:
        """Follow an address until a page is there, and return it."""
        return self._follow("GET", path, None)[1]

    def signs_in(self, path: str, **fields: str) -> bytes:
        """Open an address that leads to the form of signing in, send it, and return what comes at last."""
        address, page = self._follow("GET", path, None)
        form = next(each for each in page.decode().split("<form ") if 'name="password"' in each)
        hidden = {name: html.unescape(value) for name, value in _HIDDEN.findall(form)}
        return self._follow("POST", address, urlencode({**hidden, **fields}))[1]

    def response(self, path: str) -> bytes:
        """The Response that a request at this address leads to. Raises Unanswered unless it grants."""
        return granted(self.opens(path))

    def close(self) -> None:
        """Its connection goes."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _follow(self, method: str, path: str, body: str | None) -> tuple[str, bytes]:
        for _ in range(MAX_HOPS):
            status, location, page = self._ask(method, path, body)
            if status not in (302, 303):
                if status != 200:
                    raise Unanswered(f"status {status}")
                return path, page
            parts = urlsplit(location)
            method, body, path = "GET", None, f"{parts.path}?{parts.query}" if parts.query else parts.path
        raise Unanswered("sent on and on")

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, str, bytes]:
        if time.monotonic() - self._used_at > RESTED_S:
            self.close()
        if self._connection is None:
            self._connection = http.client.HTTPSConnection("localhost", self.port, context=self.context, timeout=PATIENCE_S)
        headers = {"X-Forwarded-For": self.source, "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        self._connection.request(method, path, body, headers)
        reply = self._connection.getresponse()
        page = reply.read()
        self._used_at = time.monotonic()
        for line in reply.headers.get_all("set-cookie") or ():
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return reply.status, reply.headers.get("location") or "", page


def granted(page: bytes) -> bytes:
    """The Response in a page's form. Raises Unanswered unless it grants."""
    found = _RESPONSE.search(page)
    document = base64.b64decode(html.unescape(found[1].decode())) if found is not None else b""
    if SUCCESS not in document:
        raise Unanswered("a page without a Response that grants")
    return document


def request_path(entry: str, destination: str, entity_id: str, acs: str) -> str:
    """The address with a fresh AuthnRequest of this application."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = (
        '<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" '
        f'ID="_{secrets.token_hex(16)}" Version="2.0" IssueInstant="{now}" Destination="{destination}" '
        f'AssertionConsumerServiceURL="{acs}" ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST">'
        f"<saml:Issuer>{entity_id}</saml:Issuer></samlp:AuthnRequest>"
    )
    packer = zlib.compressobj(wbits=-15)
    packed = base64.b64encode(packer.compress(document.encode()) + packer.flush())
    return f"{entry}?SAMLRequest={quote(packed, safe='')}&RelayState=state"


@dataclass(frozen=True, slots=True)
class Slice:
    """So many clients for a while. Times in milliseconds; CPU for each Response: the server's whole tree, and our own."""

    clients: int
    answers: int
    per_second: float
    cpu_ms: float
    own_cpu_ms: float
    p50_ms: float
    p99_ms: float
    faults: Counter[str]


def run_slice(browsers: Sequence[Browser], asks: Callable[[int], str], seconds: float, pids: Iterable[int]) -> Slice:
    """Each browser asks again and again, one request at a time. `asks`: the address for the browser of this number."""
    took: list[float] = []
    faults: Counter[str] = Counter()
    # Every connection is open before the clock runs: some have rested since their last slice.
    in_threads(len(browsers), lambda number: _timed(browsers[number], asks(number), 0.0, [], faults))
    until = time.perf_counter() + seconds

    def one(number: int) -> None:
        browser, path = browsers[number], asks(number)
        while (began := time.perf_counter()) < until:
            _timed(browser, path, began, took, faults)
            path = asks(number)

    own, used, began = time.process_time(), tree_cpu_s(pids), time.perf_counter()
    in_threads(len(browsers), one)
    spent, used, own = time.perf_counter() - began, tree_cpu_s(pids) - used, time.process_time() - own
    count = max(1, len(took))
    took.sort()
    p50, p99 = quantile_ms(took, 0.5), quantile_ms(took, 0.99)
    return Slice(len(browsers), len(took), len(took) / spent, used / count * 1e3, own / count * 1e3, p50, p99, faults)


def at_once(browsers: Sequence[Browser], asks: Callable[[int], str]) -> tuple[list[float], Counter[str]]:
    """Each browser asks once, all at the same moment: the seconds that each took, and what went wrong."""
    took: list[float] = []
    faults: Counter[str] = Counter()
    gate = threading.Barrier(len(browsers))

    def one(number: int) -> None:
        path = asks(number)
        gate.wait(PATIENCE_S)
        _timed(browsers[number], path, time.perf_counter(), took, faults)

    in_threads(len(browsers), one)
    return took, faults


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Do it so often at the same time, and wait for all."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def quantile_ms(times: Sequence[float], part: float) -> float:
    """A quantile of sorted seconds, in milliseconds."""
    return times[min(len(times) - 1, int(len(times) * part))] * 1e3 if times else 0.0


def _timed(browser: Browser, path: str, began: float, took: list[float], faults: Counter[str]) -> None:
    try:
        browser.response(path)
    except (Unanswered, OSError, http.client.HTTPException) as error:
        faults[f"{type(error).__name__} {error}"] += 1
        browser.close()
        return
    took.append(time.perf_counter() - began)
