"""The one-time link into the live log and its session, under attack."""

import asyncio

import pytest

from tests.unit.web.samples import Sample
from wardgate.admin.links import LINK_LIFE_MS, SESSION_LIFE_MS, make_link
from wardgate.web.access import SESSION_COOKIE

OURS = {"sec-fetch-site": "same-origin"}
LOG_ADDRESSES = ("/admin/log", "/admin/log/stream", "/admin/log/7K3M9QXT", "/admin/log?user=ada", "/admin/log?reference=7K3M9QXT")


async def a_link(sample: Sample) -> str:
    return await make_link(sample.storage, sample.ring, sample.clock)


async def sessions(sample: Sample) -> int:
    return len([row for row in await sample.storage.find("admin_pass") if row["kind"] == "session"])


async def events(sample: Sample) -> list[str]:
    return [str(row["kind"]) for row in await sample.storage.find("audit_event", order_by="seq")]


@pytest.mark.parametrize("address", LOG_ADDRESSES)
async def test_log_is_closed_without_a_session(address: str) -> None:
    sample = Sample(demo=False)
    await sample.fill()
    async with sample.client() as browser:
        reply = await browser.get(address)
    assert reply.status_code == 403
    assert "wardgate admin link" in reply.text
    assert "hq-firewall" not in reply.text


@pytest.mark.parametrize("forged", ["", "x", "A" * 43, "A" * 5000, "ç" * 43])
async def test_log_is_closed_for_a_forged_session(forged: str) -> None:
    sample = Sample(demo=False)
    async with sample.client() as browser:
        reply = await browser.get("/admin/log", headers={"cookie": f"{SESSION_COOKIE}={forged}".encode()})
    assert reply.status_code == 403


async def test_link_is_no_session_and_session_is_no_link() -> None:
    sample = Sample(demo=False)
    link = await a_link(sample)
    async with sample.client(headers={"cookie": f"{SESSION_COOKIE}={link}"}) as browser:
        assert (await browser.get("/admin/log")).status_code == 403
    async with sample.client() as browser:
        session = await sample.enter(browser)
        assert (await browser.post(f"/admin/enter/{session}", headers=OURS)).status_code == 410


async def test_one_time_link_is_refused_the_second_time() -> None:
    sample = Sample(demo=False)
    link = await a_link(sample)
    async with sample.client() as first, sample.client() as second:
        entered = await first.post(f"/admin/enter/{link}", headers=OURS)
        again = await second.post(f"/admin/enter/{link}", headers=OURS)
        looked = await second.get(f"/admin/enter/{link}")
        assert (await second.get("/admin/log")).status_code == 403
        assert (await first.get("/admin/log")).status_code == 200
    assert (entered.status_code, entered.headers["location"]) == (303, "/admin/log")
    assert again.status_code == looked.status_code == 410
    assert "has been used" in again.text
    assert await sessions(sample) == 1


async def test_twenty_posts_of_one_link_at_once_begin_one_session() -> None:
    sample = Sample(demo=False)
    link = await a_link(sample)
    async with sample.client() as browser:
        replies = await asyncio.gather(*(browser.post(f"/admin/enter/{link}", headers=OURS) for _ in range(20)))
    assert sorted(reply.status_code for reply in replies) == [303] + [410] * 19
    assert await sessions(sample) == 1
    assert await events(sample) == ["admin:link:made", "admin:link:used"]


async def test_fetching_the_link_uses_nothing() -> None:
    sample = Sample(demo=False)
    link = await a_link(sample)
    async with sample.client() as browser:
        for _ in range(10):
            assert (await browser.get(f"/admin/enter/{link}")).status_code == 200
            assert (await browser.head(f"/admin/enter/{link}")).status_code == 200
        assert await events(sample) == ["admin:link:made"]
        assert (await browser.post(f"/admin/enter/{link}", headers=OURS)).status_code == 303


async def test_link_that_has_run_out_opens_nothing() -> None:
    sample = Sample(demo=False)
    link = await a_link(sample)
    sample.clock.advance(LINK_LIFE_MS / 1000)
    async with sample.client() as browser:
        assert (await browser.get(f"/admin/enter/{link}")).status_code == 410
        assert (await browser.post(f"/admin/enter/{link}", headers=OURS)).status_code == 410
    assert await sessions(sample) == 0


@pytest.mark.parametrize("made_up", ["A" * 43, "A" * 42, "A" * 20_000, "%00" * 43, "..%2f..%2fetc"])
async def test_made_up_link_opens_nothing(made_up: str) -> None:
    sample = Sample(demo=False)
    async with sample.client() as browser:
        reply = await browser.post(f"/admin/enter/{made_up}", headers=OURS)
    assert reply.status_code in (404, 410)
    assert await sessions(sample) == 0


async def test_session_ends_after_four_hours_however_busy_it_is() -> None:
    sample = Sample(demo=False)
    async with sample.client() as browser:
        await sample.enter(browser)
        for _ in range(4):
            assert (await browser.get("/admin/log")).status_code == 200
            sample.clock.advance(SESSION_LIFE_MS / 4000)
        assert (await browser.get("/admin/log")).status_code == 403


async def test_leaving_ends_the_session_for_a_copied_cookie() -> None:
    sample = Sample(demo=False)
    async with sample.client() as browser:
        copied = await sample.enter(browser)
        left = await browser.post("/admin/leave", headers=OURS)
        assert left.status_code == 303
        assert SESSION_COOKIE not in browser.cookies
    async with sample.client(headers={"cookie": f"{SESSION_COOKIE}={copied}"}) as thief:
        assert (await thief.get("/admin/log")).status_code == 403


async def test_cookie_is_bound_to_the_host_and_out_of_reach_of_scripts() -> None:
    sample = Sample(demo=False)
    link = await a_link(sample)
    async with sample.client() as browser:
        cookie = (await browser.post(f"/admin/enter/{link}", headers=OURS)).headers["set-cookie"]
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert cookie.startswith("__Host-")
    assert {"secure", "httponly", "samesite=strict", "path=/", "max-age=14400"} <= parts
    assert not any(part.startswith("domain") for part in parts)


async def test_neither_link_nor_session_is_stored_in_clear() -> None:
    sample = Sample(demo=False)
    link = await a_link(sample)
    async with sample.client() as browser:
        await browser.post(f"/admin/enter/{link}", headers=OURS)
        session = browser.cookies[SESSION_COOKIE]
    stored = repr([await sample.storage.find(table) for table in ("admin_pass", "audit_event", "installation", "timeline")])
    assert link not in stored
    assert session not in stored


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": "https://login.acme.test"},
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "https://login.acme.test.evil.test"},
        {"origin": "http://login.acme.test"},
    ],
)
async def test_post_from_another_site_is_refused(headers: dict[str, str]) -> None:
    sample = Sample(demo=False)
    link = await a_link(sample)
    async with sample.client() as browser:
        assert (await browser.post(f"/admin/enter/{link}", headers=headers)).status_code == 403
        assert (await browser.get(f"/admin/enter/{link}")).status_code == 200
    async with sample.client() as browser:
        await sample.enter(browser)
        assert (await browser.post("/admin/leave", headers=headers)).status_code == 403
        assert (await browser.get("/admin/log")).status_code == 200


async def test_post_of_a_browser_that_only_sends_origin_is_taken() -> None:
    sample = Sample(demo=False)
    async with sample.client() as browser:
        reply = await browser.post(f"/admin/enter/{await a_link(sample)}", headers={"origin": "https://login.acme.test"})
    assert reply.status_code == 303


async def test_oversized_body_is_refused_before_the_link_is_spent() -> None:
    sample = Sample(demo=False)
    link = await a_link(sample)
    async with sample.client() as browser:
        assert (await browser.post(f"/admin/enter/{link}", headers=OURS, content=b"x" * 16_385)).status_code == 413
        for announced in ("99999999999999999999", "-1", "1e3", "0x10"):
            reply = await browser.post(f"/admin/enter/{link}", headers={**OURS, "content-length": announced}, content=b"")
            assert reply.status_code == 413
        assert (await browser.post(f"/admin/enter/{link}", headers=OURS, content=b"x" * 16_384)).status_code == 303


async def test_link_pages_do_not_exist_in_the_demo() -> None:
    sample = Sample(demo=True)
    async with sample.client() as browser:
        assert (await browser.get(f"/admin/enter/{await a_link(sample)}")).status_code == 404
        assert (await browser.post("/admin/leave", headers=OURS)).status_code == 404


async def test_old_links_and_sessions_are_swept() -> None:
    sample = Sample(demo=False)
    async with sample.client() as browser:
        await sample.enter(browser)
    sample.clock.advance(3 * 24 * 3600)
    await a_link(sample)
    assert await sample.storage.count("admin_pass") == 1
