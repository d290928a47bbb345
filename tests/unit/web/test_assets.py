"""Style, script and pictures: compressed where the browser takes it, and the same octets otherwise."""

import gzip

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from wardgate.web.assets import Assets


async def fetched(name: str, accepted: str) -> httpx.Response:
    assets = Assets()
    app = Starlette(routes=[Route("/static/{name}", assets.serve)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="https://login.acme.test") as client:
        return await client.get(assets.url(name), headers={"accept-encoding": accepted})


@pytest.mark.parametrize("name", ["page.css", "page.js", "icon.svg"])
async def test_style_and_script_are_compressed_for_who_takes_it(name: str) -> None:
    plain, small = await fetched(name, "identity"), await fetched(name, "br;q=1.0, GZIP;q=0.8, *;q=0.1")
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert plain.content == small.content
    assert int(small.headers["content-length"]) == len(gzip.compress(plain.content, mtime=0)) < len(plain.content)
    assert plain.headers["vary"] == small.headers["vary"] == "accept-encoding"


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip; q=0.0", "x-gzip", "gzipped", "a" * 300 + ",gzip"])
async def test_who_does_not_take_it_gets_it_plain(accepted: str) -> None:
    assert "content-encoding" not in (await fetched("page.css", accepted)).headers


async def test_font_is_not_compressed_twice() -> None:
    assert "content-encoding" not in (await fetched("inter-latin.woff2", "gzip")).headers
