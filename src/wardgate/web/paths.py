"""Finds the route of a fixed path by one look, where Starlette asks the pattern of one route after the other."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import Receive, Scope, Send

from wardgate.web.asking import PageRequest

Handler = Callable[[Request], Awaitable[Response]]

_CHOSEN = "wardgate.route"
# A part of a path: `{at:number}`.
NUMBER: Final = "number"


class _Number(IntegerConvertor):
    """A number that storage can hold. Starlette's own has as many digits as fit an address, which Python refuses to read: whoever
    asked for such a page would be told of a fault of ours, and the log with him."""

    regex = "[0-9]{1,15}"


register_url_convertor(NUMBER, _Number())


def by_path(routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """The same routes, those of a fixed path as one. They come before patterns, wherever they stood."""
    fixed = [route for route in routes if isinstance(route, Route) and not route.param_convertors]
    return [FixedPaths(fixed), *(route for route in routes if route not in fixed)]


def each_route(routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """Every route by itself again, for whoever looks at all of them."""
    return [each for route in routes for each in (route.routes if isinstance(route, FixedPaths) else (route,))]


def allowed(routes: Sequence[BaseRoute], scope: Scope) -> str:
    """The Allow header of a path: what its routes take together (RFC 9110 section 10.2.1). Starlette names the first route's."""
    takes = (route.methods or () for route in routes if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE)
    return ", ".join(sorted({method for methods in takes for method in methods}))


class FixedPaths(BaseRoute):
    """Routes whose paths have no parts that vary. The first of two with one path and method is taken."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._by_path: dict[str, list[Route]] = {}
        for route in routes:
            self._by_path.setdefault(route.path, []).append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether one of them is asked for: fully, or by a method that it does not have."""
        best: tuple[Match, Scope] = (Match.NONE, {})
        for route in self._by_path.get(scope["path"], ()):
            match, child = route.matches(scope)
            if match is Match.FULL:
                return match, {**child, _CHOSEN: route}
            if best[0] is Match.NONE:
                best = match, {**child, _CHOSEN: route}
        return best

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request to the one that matched."""
        route: Route = scope[_CHOSEN]
        await route.handle(scope, receive, send)


class Direct:
    """Hands the request for a fixed path straight to its handler, without the five calls between Starlette's router and there.

    What is asked for by another method than its own, by a pattern, or not there at all is the router's.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._handlers: dict[tuple[str, str], Handler] = {}
        for route in each_route(router.routes):
            if isinstance(route, Route) and not route.param_convertors and inspect.iscoroutinefunction(route.endpoint):
                for method in route.methods or ():
                    self._handlers.setdefault((route.path, method), route.endpoint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get((scope["path"], scope["method"]))
        if handler is None:
            return await self._router(scope, receive, send)
        scope["endpoint"] = handler
        response = await handler(PageRequest(scope, receive, send))
        await response(scope, receive, send)
