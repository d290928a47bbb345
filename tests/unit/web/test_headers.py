"""What every reply carries, and what a failure tells."""

from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from tests.unit.web.samples import GUIDE, Sample
from wardgate.errors import StorageUnavailable
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Row, Where

PAGES = (
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/outbox",
    "/admin/log",
    "/admin/log/7K3M9QXT",
    "/admin/log/NOTTHERE",
    "/nowhere",
    "/outbox?lang=tr",
)


class Broken(MemoryStorage):
    """Storage whose reads fail with words that nobody outside may see."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def find(self, table: str, where: Sequence[Where] = (), *more: Any, **options: Any) -> list[Row]:
        raise self.error

    async def get(self, table: str, key: Row) -> Row | None:
        raise self.error


def assert_guarded(headers: Any) -> None:
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert "data:" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["referrer-policy"] in ("no-referrer", "same-origin")
    assert "server" not in headers


@pytest.mark.parametrize("page", PAGES)
async def test_every_reply_is_guarded_and_kept_by_nobody(page: str) -> None:
    sample = Sample()
    await sample.fill()
    async with sample.client() as browser:
        reply = await browser.get(page)
    assert_guarded(reply.headers)
    assert reply.headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in reply.headers  # the demo's certificate is its own


@pytest.mark.parametrize("status", [403, 404, 405, 410, 413])
async def test_errors_are_guarded_too(status: int) -> None:
    sample = Sample(demo=False)
    async with sample.client() as browser:
        reply = await {
            403: lambda: browser.get("/admin/log"),
            404: lambda: browser.get("/nowhere"),
            405: lambda: browser.post("/admin/log"),
            410: lambda: browser.get("/admin/enter/" + "A" * 43),
            413: lambda: browser.post("/admin/leave", content=b"x" * 20_000),
        }[status]()
    assert reply.status_code == status
    assert_guarded(reply.headers)
    assert reply.headers["strict-transport-security"].startswith("max-age=63072000")
    assert reply.text.startswith("<!doctype html>")


async def test_static_files_are_guarded_and_kept_for_ever() -> None:
    sample = Sample()
    async with sample.client() as browser:
        page = (await browser.get("/")).text
        style = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
        reply = await browser.get(style)
        font = reply.text.partition('url("')[2].partition('"')[0]
        font_reply = await browser.get(f"/static/{font}")
    assert reply.headers["content-type"] == "text/css; charset=utf-8"
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert_guarded(reply.headers)
    assert (font_reply.status_code, font_reply.headers["content-type"]) == (200, "font/woff2")


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("the secret detail"), 500), (StorageUnavailable("the secret detail"), 503)]
)
async def test_failure_tells_nothing_and_logs_no_link(error: Exception, status: int) -> None:
    sample = Sample(demo=False, storage=Broken(error))
    link = "L" * 43
    with structlog.testing.capture_logs() as logs:
        async with sample.client() as browser:
            reply = await browser.get(f"/admin/enter/{link}")
    assert reply.status_code == status
    assert "secret detail" not in reply.text
    assert "Traceback" not in reply.text
    assert_guarded(reply.headers)
    assert [entry["handler"] for entry in logs] == ["EntryPages.ask"]
    assert link not in repr(logs)


@pytest.mark.parametrize("page", PAGES)
async def test_no_page_holds_an_inline_script_or_style(page: str) -> None:
    sample = Sample(guide=GUIDE)
    await sample.fill()
    async with sample.client() as browser:
        text = (await browser.get(page)).text.lower()
    assert "<script>" not in text
    assert "<style" not in text
    assert " style=" not in text
    assert " onclick" not in text
    assert "http://" not in text
    assert "javascript:" not in text
