"""The portal over real HTTPS: under which names it answers, whose word about an address it takes, and what its cookies bear."""

import asyncio
import contextlib
import re
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
from starlette.routing import Route

from tests.flows.portal_world import OURS, BrowserOfTests, PortalWorld
from tests.functional.test_https import new_certificate, trusting
from tests.hostile.inside import DOCUMENT, a_server
from tests.unit.brand.test_brand_settings import SVG
from wardgate.certificates import self_signed
from wardgate.engine.runtime import EngineParts
from wardgate.engine.settings import BrakeSettings
from wardgate.pages.browser import BROWSER_COOKIE
from wardgate.pages.door import SESSION_COOKIE
from wardgate.portal.routes import portal_pages
from wardgate.web.access import hosts_of
from wardgate.web.app import build_web_app
from wardgate.web.context import Network, WebContext
from wardgate.web.paths import each_route
from wardgate.web.server import HttpsServer

DEADLINE_S = 20.0
HOST = "login.acme.test"
# Files under names that hold their hash: the same for everybody, and nothing in them leads anywhere.
OPEN_FILES = ("/static/", "/brand/")


@dataclass
class ServedWorld(PortalWorld):
    """A portal on a real socket; `proxies`: those whose word is taken."""

    hosts: frozenset[str] = field(default_factory=lambda: hosts_of(f"https://{HOST}"))
    proxies: tuple[Network, ...] = ()

    def context(self) -> WebContext:
        return replace(super().context(), proxies=self.proxies)

    @asynccontextmanager
    async def served(self, folder: Path) -> AsyncIterator[BrowserOfTests]:
        """A browser that reaches the server by its address and names the host that people type."""
        parts = EngineParts(self.storage, self.clock, lambda: self.ring, self.configuration, keep_messages=True)
        app = build_web_app(self.context(), ("portal",), [portal_pages(parts)])
        tls, listener = new_certificate(folder), socket.create_server(("127.0.0.1", 0))
        server = HttpsServer(app, listener, tls)
        await server.start()
        try:
            address = f"https://127.0.0.1:{listener.getsockname()[1]}"
            client = httpx.AsyncClient(base_url=address, verify=trusting(tls), headers={"host": HOST}, timeout=DEADLINE_S)
            async with client, asyncio.timeout(60):
                yield BrowserOfTests(client)
        finally:
            await server.stop(1.0)


async def signed_in(world: ServedWorld, browser: BrowserOfTests) -> str:
    """Sign in; the address that the list of sessions shows."""
    await world.give_totp(await world.person("ada"))
    await browser.sign_in("ada")
    await browser.post(code=world.totp(), act="answer")
    assert browser.path == "/account"
    page = await browser.get("/account/sessions")
    found = re.search(r"\b(?:\d{1,3}\.){3}\d{1,3}\b", page.text)
    assert found is not None
    return found[0]


# --- names ---------------------------------------------------------------------------------------------------------------


def all_routes(world: ServedWorld) -> list[tuple[str, str]]:
    """Every method and path of the portal, with something in its places."""
    parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration)
    app = build_web_app(world.context(), ("portal",), [portal_pages(parts)])
    routes = [each for each in each_route(app.routes) if isinstance(each, Route) and not each.path.startswith(OPEN_FILES)]
    return [(method, _filled(each.path)) for each in routes for method in sorted(each.methods or ())]


def _filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "A" * 22, re.sub(r"\{\w+:number\}", "1", path))


async def test_host_header_of_somebody_else_is_misdirected_on_every_page(tmp_path: Path) -> None:
    world = ServedWorld()
    routes = all_routes(world)
    assert len(routes) > 20
    async with world.served(tmp_path) as browser:
        for method, path in routes:
            for host in ("evil.test", "login.acme.test.evil.test", "127.0.0.1"):
                reply = await browser.client.request(
                    method, path, headers={"host": host, **OURS}, data={"act": "x"} if method == "POST" else None
                )
                assert reply.status_code == 421, (method, path, host)
                assert "set-cookie" not in reply.headers
        assert (await browser.client.get("/sign-in", headers={"host": f"{HOST.upper()}:8443"})).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET https://evil.test/sign-in HTTP/1.1\r\nHost: evil.test\r\n",
        b"GET /sign-in HTTP/1.1\r\nHost: login.acme.test\r\nHost: evil.test\r\n",
        b"GET /sign-in HTTP/1.1\r\nHost: login.acme.test, evil.test\r\n",
        b"GET /sign-in HTTP/1.1\r\nHost: evil.test\r\nX-Forwarded-Host: login.acme.test\r\n",
        b"GET /sign-in HTTP/1.1\r\nHost: login.acme.test@evil.test\r\n",
        b"GET /sign-in HTTP/1.0\r\n",
    ],
)
async def test_host_that_is_smuggled_in_is_misdirected(tmp_path: Path, head: bytes) -> None:
    async with ServedWorld().served(tmp_path) as browser:
        port = browser.client.base_url.port
        context = trusting_file(tmp_path)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        writer.write(head + b"Connection: close\r\n\r\n")
        reply = await reader.read()
        writer.close()
    assert reply.split(b" ")[1] in (b"400", b"421")
    assert b"evil.test" not in reply


def trusting_file(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "server.crt"))


async def test_redirect_never_bears_the_host_that_was_asked_for(tmp_path: Path) -> None:
    world = ServedWorld(hosts=frozenset())
    async with world.served(tmp_path) as browser:
        for path in ("/", "/account", "/account/sessions", "/confirm", "/sign-in/", "//evil.test", "/.well-known/change-password"):
            reply = await browser.client.get(path, headers={"host": "evil.test"})
            location = reply.headers.get("location", "/")
            assert location.startswith("/")
            assert not location.startswith("//")
            assert "evil.test" not in location


# --- addresses -----------------------------------------------------------------------------------------------------------


async def test_address_that_a_client_makes_up_is_not_believed(tmp_path: Path) -> None:
    world = ServedWorld()
    async with world.served(tmp_path) as browser:
        for name in ("x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip"):
            browser.client.headers[name] = "for=198.51.100.9" if name == "forwarded" else "198.51.100.9"
        assert await signed_in(world, browser) == "127.0.0.1"


async def test_proxy_that_is_named_is_believed(tmp_path: Path) -> None:
    world = ServedWorld(proxies=(ip_network("127.0.0.0/8"),))
    async with world.served(tmp_path) as browser:
        browser.client.headers["x-forwarded-for"] = "203.0.113.40"
        assert await signed_in(world, browser) == "203.0.113.40"


async def test_hop_before_the_last_untrusted_one_is_not_believed(tmp_path: Path) -> None:
    """The client sent one itself; our proxies, one behind the other, wrote theirs after it."""
    world = ServedWorld(proxies=(ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")))
    async with world.served(tmp_path) as browser:
        browser.client.headers["x-forwarded-for"] = "198.51.100.9, 203.0.113.40, 10.0.0.7"
        assert await signed_in(world, browser) == "203.0.113.40"


async def test_proxy_that_tells_nonsense_gets_its_own_address(tmp_path: Path) -> None:
    world = ServedWorld(proxies=(ip_network("127.0.0.0/8"),))
    async with world.served(tmp_path) as browser:
        browser.client.headers["x-forwarded-for"] = "198.51.100.9, unknown"
        assert await signed_in(world, browser) == "127.0.0.1"


@pytest.mark.parametrize("behind_proxy", [False, True])
async def test_guesses_under_made_up_addresses_reach_the_same_brake(tmp_path: Path, behind_proxy: bool) -> None:
    world = ServedWorld(proxies=(ip_network("127.0.0.0/8"),) if behind_proxy else ())
    world.brakes = BrakeSettings(source_failures=5)
    async with world.served(tmp_path) as browser:
        statuses = []
        for number in range(8):
            made_up = f"198.51.100.{number}"
            # A proxy of ours adds the true address behind what the client wrote.
            browser.client.headers["x-forwarded-for"] = f"{made_up}, 203.0.113.40" if behind_proxy else made_up
            # At ever new names, so that nothing but the address can be what waits.
            statuses.append((await browser.sign_in(f"user{number}", "wrong")).status_code)
    assert statuses[0] == 422
    assert statuses[-1] == 429


# --- transport and cookies -----------------------------------------------------------------------------------------------


async def test_every_reply_asks_for_https_for_two_years(tmp_path: Path) -> None:
    async with ServedWorld().served(tmp_path) as browser:
        for path in ("/sign-in", "/nowhere", "/account", "/help", "/static/nothing"):
            assert (await browser.client.get(path)).headers["strict-transport-security"] == "max-age=63072000"
        misdirected = await browser.client.get("/sign-in", headers={"host": "evil.test"})
        assert "strict-transport-security" in misdirected.headers


async def test_cookies_leave_over_https_only_and_belong_to_this_host_alone(tmp_path: Path) -> None:
    world = ServedWorld()
    await world.give_totp(await world.person("ada"))
    seen: dict[str, str] = {}

    async def note(reply: httpx.Response) -> None:
        seen.update({line.partition("=")[0]: line for line in reply.headers.get_list("set-cookie")})

    async with world.served(tmp_path) as browser:
        browser.client.event_hooks["response"] = [note]
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        await browser.get("/account?lang=tr")
    assert {SESSION_COOKIE, BROWSER_COOKIE, "__Host-wg_lang"} <= set(seen)
    for name, line in seen.items():
        attributes = {each.strip().lower() for each in line.split(";")[1:]}
        assert name.startswith("__Host-")
        assert {"secure", "path=/", "httponly"} <= attributes
        assert attributes & {"samesite=lax", "samesite=strict"}
        assert not any(each.startswith("domain") for each in attributes)


async def test_certificate_that_was_renewed_is_served_after_sighup_without_a_restart(tmp_path: Path) -> None:
    async with a_server(tmp_path / "data") as (server, opened, _, _), asyncio.timeout(DEADLINE_S):
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: server.reload_soon(done.set))
        try:
            before = await served_certificate(server.https_url)
            certificate, key = self_signed(datetime.now(UTC))
            (listener,) = opened.installation.settings.https_listeners
            (opened.installation.data / listener.certificate).write_bytes(certificate)
            (opened.installation.data / listener.key).write_bytes(key)
            assert await served_certificate(server.https_url) == before
            signal.raise_signal(signal.SIGHUP)
            await done.wait()
            assert await served_certificate(server.https_url) == ssl.PEM_cert_to_DER_cert(certificate.decode())
        finally:
            loop.remove_signal_handler(signal.SIGHUP)


async def test_brand_of_the_document_is_served_and_a_logo_is_read_again_at_a_reload(tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_bytes(SVG)
    document = f"{DOCUMENT}\nbrand: {{name: Acme, hue: '#c2410c', logo_file: {logo}}}\n"
    async with a_server(tmp_path / "data", document) as (server, opened, _, _), asyncio.timeout(DEADLINE_S):
        context = ssl.create_default_context(cafile=str(opened.installation.certificate))
        async with httpx.AsyncClient(base_url=server.https_url, verify=context) as client:
            before = await client.get("/sign-in")
            assert "<title>Sign in to Acme – Acme</title>" in before.text
            for address in re.findall(r'"(/brand/[^"]+)"', before.text):
                assert (await client.get(address)).status_code == 200
            assert "Acme" not in (await client.get("/")).text
            done = asyncio.Event()
            logo.write_bytes(SVG.replace(b'width="10"', b'width="20"'))
            server.reload_soon(done.set)
            await done.wait()
            changed = await client.get("/sign-in")
            assert re.findall(r"/brand/\w+\.svg", changed.text) != re.findall(r"/brand/\w+\.svg", before.text)
            logo.unlink()
            done.clear()
            server.reload_soon(done.set)
            await done.wait()
            without = await client.get("/sign-in")
            assert without.status_code == 200
            assert ".svg" not in without.text.partition("</header>")[0].partition("<header")[2]
            assert "<span>Acme</span>" in without.text


async def served_certificate(url: str) -> bytes:
    """The certificate that a client is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    where = httpx.URL(url)
    _, writer = await asyncio.open_connection(where.host, where.port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return bytes(shown)
