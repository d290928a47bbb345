"""Puts the web room's routes together, door by door: a listener has the doors that its settings name, and no other page."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from wardgate.web.access import Closed
from wardgate.web.assets import Assets
from wardgate.web.context import WebContext
from wardgate.web.entry import EntryPages
from wardgate.web.headers import Boundary
from wardgate.web.health import Readiness, alive
from wardgate.web.log import LogPages
from wardgate.web.outbox import OutboxPages
from wardgate.web.paths import Direct, allowed, by_path
from wardgate.web.render import Pages
from wardgate.web.scrape import Scrape
from wardgate.web.start import StartPage

DOORS = ("admin", "health", "metrics")


@dataclass(frozen=True, slots=True)
class MorePages:
    """Another room's pages: the door that they are behind, their routes, and where their templates are.

    `larger`: paths that take a larger body than others, and how large, in bytes.
    """

    door: str
    routes: Callable[[WebContext, Pages], Sequence[BaseRoute]]
    folders: Sequence[Path]
    larger: Mapping[str, int] = field(default_factory=dict)


class _WebApp(Starlette):
    """Starlette with one layer around its routes: ours. Its own two for errors would have nothing left to do."""

    def __init__(self, routes: Sequence[BaseRoute], around: Callable[[ASGIApp], ASGIApp]) -> None:
        super().__init__(routes=routes)
        self._around = around

    def build_middleware_stack(self) -> ASGIApp:
        """What a request goes through."""
        return self._around(Direct(self.router))


def build_web_app(context: WebContext, doors: Collection[str] = DOORS, more: Sequence[MorePages] = ()) -> Starlette:
    """The application of one listener. The outbox exists in the demo only, the one-time links under `serve` only."""
    assets = Assets()
    pages = Pages(context, assets, [folder for each in more for folder in each.folders])
    static = Route("/static/{name}", assets.serve)
    behind: dict[str, Sequence[BaseRoute]] = {
        "health": [Route("/healthz", alive), Route("/readyz", Readiness(context).answer)],
        "metrics": [Route("/metrics", Scrape(context).answer)],
        "admin": [
            static,
            *StartPage(context, pages).routes(),
            *LogPages(context, pages).routes(),
            *(OutboxPages(context, pages).routes() if context.demo else EntryPages(context, pages).routes()),
        ],
    }
    branded = pages.branded()
    behind |= {each.door: [static, *each.routes(context, branded)] for each in more}
    faced = branded if any(each.door in doors for each in more) else pages
    # The first of two routes with one path is taken: a listener with pages of several doors has one style sheet.
    routes = [route for door in behind if door in doors for route in behind[door]]

    def refused(request: Request, error: HTTPException) -> Response:
        headers = error.headers or {}
        closer = error.text if isinstance(error, Closed) else None
        response = faced.error(request, error.status_code, closer, int(headers.get("retry-after", "60")))
        response.headers.update(headers)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["allow"] = allowed(routes, request.scope)
        return response

    larger = {path: most for each in more if each.door in doors for path, most in each.larger.items()}
    app = _WebApp(
        by_path(routes),
        lambda inner: Boundary(inner, faced.error, refused, secure_transport=not context.demo, larger=larger),
    )
    # A redirect to the same path with a slash would be made from the Host header.
    app.router.redirect_slashes = False
    return app
