"""Routes of fixed paths are found at once, and are the same as without."""

from collections.abc import Sequence

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Route

from tests.flows.portal_world import PortalWorld
from wardgate.engine.runtime import EngineParts
from wardgate.portal.routes import portal_pages
from wardgate.web.app import build_web_app
from wardgate.web.paths import NUMBER, Direct, by_path, each_route


def says(what: str, path: str, *methods: str) -> Route:
    async def answer(_: Request) -> Response:
        return PlainTextResponse(what)

    return Route(path, answer, methods=methods or ["GET"])


ROUTES = [
    says("shown", "/sign-in"),
    says("posted", "/sign-in", "POST"),
    says("second", "/sign-in"),
    says("step", "/step/{id}"),
    says("posted step", "/step/{id}", "POST"),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
@pytest.mark.parametrize(
    "path", ["/sign-in", "/sign-in/", "/SIGN-IN", "/sign%2Din", "/step/abc", "/step/", "/nothing", "//sign-in"]
)
async def test_replies_are_those_of_the_plain_list(method: str, path: str) -> None:
    replies = []
    plain, quick = Starlette(routes=ROUTES), Starlette(routes=by_path(ROUTES))
    for app in (plain, quick):
        app.router.redirect_slashes = False
    for asked in (plain, quick, Direct(quick.router)):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=asked), base_url="https://login.acme.test") as client:
            reply = await client.request(method, path)
            replies.append((reply.status_code, reply.text, set(reply.headers.get("allow", "").split(", "))))
    assert replies[0] == replies[1] == replies[2]


def test_every_route_is_told_to_whoever_looks_at_them() -> None:
    assert sorted(map(repr, each_route(by_path(ROUTES)))) == sorted(map(repr, ROUTES))


def endpoint(routes: Sequence[BaseRoute], method: str, path: str) -> object:
    """What Starlette would call."""
    scope = {"type": "http", "method": method, "path": path}
    matches = (route.matches(scope) for route in routes)
    return next((child["endpoint"] for match, child in matches if match is Match.FULL), None)


def all_routes() -> list[Route]:
    """Those of every door."""
    world = PortalWorld()
    parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration)
    app = build_web_app(world.context(), ("portal", "admin", "health", "metrics"), [portal_pages(parts)])
    return [route for route in each_route(app.router.routes) if isinstance(route, Route)]


def test_every_fixed_path_leads_where_it_led_in_the_plain_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were named after a pattern that fits them too stand in front of it now."""
    plain: list[BaseRoute] = []
    monkeypatch.setattr("wardgate.web.app.by_path", lambda routes: plain.extend(routes) or plain)
    all_routes()
    paths = {each.path for each in plain if isinstance(each, Route) and not each.param_convertors}
    assert len(paths) > 20
    quick = by_path(plain)
    for path in sorted(paths):
        for method in ("GET", "POST"):
            assert endpoint(quick, method, path) == endpoint(plain, method, path), (method, path)


async def test_a_number_of_thousands_of_digits_is_no_page_and_no_fault_of_ours() -> None:
    """Starlette's own kind of number reads it, and fails; so does storage beyond 64 bits."""
    routes = [says("an event", f"/activity/{{at:{NUMBER}}}")]
    transport = httpx.ASGITransport(app=Starlette(routes=by_path(routes)))
    async with httpx.AsyncClient(transport=transport, base_url="https://login.acme.test") as client:
        for digits, status in (
            ("1795340000000", 200),
            ("9" * 15, 200),
            ("9" * 16, 404),
            ("9" * 5000, 404),
            ("-1", 404),
            ("1.0", 404),
        ):
            assert (await client.get(f"/activity/{digits}")).status_code == status, digits
    for route in all_routes():
        assert ":int}" not in route.path


async def test_a_path_tells_all_methods_that_its_routes_take() -> None:
    """Starlette names those of the first route alone, and a form is shown by one and taken by another."""
    world = PortalWorld()
    async with world.browser() as browser:
        reply = await browser.client.request("PUT", "/sign-in")
        assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, POST")
        assert (await browser.client.post("/healthz")).status_code == 404
