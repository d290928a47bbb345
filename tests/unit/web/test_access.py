"""Who reaches which page: other machines, other names, proxies, other methods."""

from ipaddress import ip_network

import pytest
from starlette.requests import Request

from tests.flows.portal_world import REFERENCE
from tests.unit.web.samples import DEMO_ORIGIN, Sample
from wardgate.web.access import MAX_KEPT_CHARS, client_address

DEMO_PAGES = ("/", "/outbox", "/outbox/stream", "/admin/log", "/admin/log/stream", "/admin/log/7K3M9QXT")


@pytest.mark.parametrize("address", ["/outbox", "/outbox/", "/outbox/stream", "/OUTBOX", "//outbox"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
async def test_outbox_does_not_exist_under_serve(address: str, method: str) -> None:
    sample = Sample(demo=False)
    await sample.fill()
    async with sample.client(headers={"accept": "application/json"}) as browser:
        await sample.enter(browser)
        reply = await browser.request(method, f"{sample.origin}{address}")
        nothing = await browser.request(method, "/no-such-page")
    assert reply.status_code == 404
    assert REFERENCE.sub("", reply.text) == REFERENCE.sub("", nothing.text).replace("/no-such-page", address)
    assert "482913" not in reply.text


@pytest.mark.parametrize("page", DEMO_PAGES)
@pytest.mark.parametrize("stranger", ["203.0.113.7", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.1", "0.0.0.0"])
async def test_demo_pages_are_closed_to_other_machines(page: str, stranger: str) -> None:
    sample = Sample()
    await sample.fill()
    async with sample.client(stranger) as browser:
        reply = await browser.get(page)
    assert reply.status_code == 403
    assert "correct-horse" not in reply.text
    assert "482913" not in reply.text


@pytest.mark.parametrize("page", DEMO_PAGES)
@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
async def test_demo_pages_are_closed_behind_a_proxy_on_this_machine(page: str, header: str) -> None:
    sample = Sample()
    async with sample.client() as browser:
        assert (await browser.get(page, headers={header: "127.0.0.1"})).status_code == 403


@pytest.mark.parametrize("page", DEMO_PAGES)
@pytest.mark.parametrize(
    "name",
    [
        "evil.test",
        "evil.test:8443",
        "127.0.0.1.evil.test",
        "localhost.evil.test",
        "localhost@evil.test",
        "192.0.2.1",
        "[::1",
        "",
        "0x7f000001",
    ],
)
async def test_dns_rebinding_reads_nothing(page: str, name: str) -> None:
    sample = Sample()
    await sample.fill()
    async with sample.client() as browser:
        reply = await browser.get(page, headers={"host": name})
    assert reply.status_code == 421
    assert "482913" not in reply.text
    assert "hq-firewall" not in reply.text


@pytest.mark.parametrize(
    "name", ["localhost", "localhost:8443", "127.0.0.1:8443", "127.8.8.8", "[::1]:8443", "demo.localhost", "LOCALHOST."]
)
async def test_demo_answers_to_its_own_names(name: str) -> None:
    sample = Sample()
    async with sample.client() as browser:
        assert (await browser.get("/outbox", headers={"host": name})).status_code == 200


async def test_two_host_headers_are_one_too_many() -> None:
    sample = Sample()
    async with sample.client() as browser:
        reply = await browser.get("/outbox", headers=[("host", "localhost"), ("host", "localhost")])
    assert reply.status_code == 421


@pytest.mark.parametrize("address", ["::1", "::ffff:127.0.0.1", "127.0.0.1", "127.1.2.3"])
async def test_demo_is_open_on_every_loopback_address(address: str) -> None:
    sample = Sample()
    async with sample.client(address) as browser:
        assert (await browser.get("/admin/log")).status_code == 200


async def test_unknown_host_is_misdirected_under_serve() -> None:
    sample = Sample(demo=False, hosts=frozenset({"login.acme.test"}))
    async with sample.client() as browser:
        await sample.enter(browser)
        for page in ("/", "/admin/log", "/admin/enter/" + "A" * 43):
            assert (await browser.get(page, headers={"host": "evil.test"})).status_code == 421
        assert (await browser.get("/", headers={"host": "LOGIN.acme.test:443"})).status_code == 200
        assert (await browser.get("/admin/log")).status_code == 200


@pytest.mark.parametrize("demo", [True, False])
async def test_metrics_do_not_exist_for_strangers(demo: bool) -> None:
    sample = Sample(demo=demo)
    async with sample.client("203.0.113.7") as stranger:
        reply, nothing = await stranger.get("/metrics"), await stranger.get("/no-such-page")
    said = [REFERENCE.sub("", each.text) for each in (reply, nothing)]
    assert (reply.status_code, said[0]) == (404, said[1].replace("/no-such-page", "/metrics"))
    async with sample.client() as scraper:
        assert (await scraper.get("/metrics", headers={"x-forwarded-for": "127.0.0.1"})).status_code == 404
        assert (await scraper.get("/metrics")).status_code == 200


async def test_metrics_are_open_to_the_networks_that_are_named() -> None:
    sample = Sample(demo=False, metrics_networks=(ip_network("10.9.0.0/24"),))
    async with sample.client("10.9.0.7") as scraper:
        reply = await scraper.get("/metrics")
    assert reply.status_code == 200
    assert 'wardgate_outbox_messages{state="queued"} 0\n' in reply.text
    async with sample.client() as local:
        assert (await local.get("/metrics")).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2fapp.py",
        "/static/page.css",
        "/static/",
        "/static/inter-LICENSE.txt",
    ],
)
async def test_static_files_lead_nowhere_else(path: str) -> None:
    sample = Sample()
    async with sample.client() as browser:
        assert (await browser.get(f"{DEMO_ORIGIN}{path}")).status_code == 404


async def test_method_that_a_page_does_not_take_is_refused_with_a_page() -> None:
    sample = Sample()
    async with sample.client() as browser:
        reply = await browser.post("/admin/log")
    assert reply.status_code == 405
    assert set(reply.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert "cannot be used that way" in reply.text


@pytest.mark.parametrize("written_before", ["", "198.51.100.9, ", "198.51.100.9, " * MAX_KEPT_CHARS])
@pytest.mark.parametrize(
    ("connection", "last", "told"),
    [
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "203.0.113.7, 127.0.0.2", "203.0.113.7"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("192.0.2.1", "203.0.113.7", "192.0.2.1"),
    ],
)
def test_an_address_is_believed_of_a_proxy_alone_and_never_what_stood_before_it(
    written_before: str, connection: str, last: str, told: str
) -> None:
    header = (written_before + last).encode()
    asked = Request({"type": "http", "client": (connection, 5), "headers": [(b"x-forwarded-for", header)]})
    assert client_address(asked, (ip_network("127.0.0.0/8"),)) == told
    # The same request, where nobody is believed.
    assert client_address(asked, (ip_network("10.0.0.0/8"),)) == connection
    assert client_address(asked) == connection
