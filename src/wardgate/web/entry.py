"""Into the live log and out of it: a page with a button for the one-time link, and the end of the session."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.admin.links import SESSION_LIFE_MS, LinkState, end_session, link_state, use_link
from wardgate.web.access import SESSION_COOKIE, Closed, client_address, require_known_host, require_same_origin
from wardgate.web.context import WebContext
from wardgate.web.render import Pages

_CLOSED = {LinkState.USED: "page.link_used", LinkState.UNKNOWN: "page.link_unknown"}


class EntryPages:
    """The pages of the one-time link, which exist under `serve` only."""

    def __init__(self, context: WebContext, pages: Pages) -> None:
        self._context = context
        self._pages = pages

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/admin/enter/{bearer}", self.ask, methods=["GET"]),
            Route("/admin/enter/{bearer}", self.enter, methods=["POST"]),
            Route("/admin/leave", self.leave, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        """Show the button. Mail scanners and chat previews fetch links: fetching one uses nothing."""
        require_known_host(request, self._context.hosts)
        state = await link_state(self._context.storage, self._context.ring(), self._context.clock, request.path_params["bearer"])
        if state is not LinkState.OPEN:
            raise Closed(410, _CLOSED[state])
        return self._pages.page(request, "enter.html", posts=True)

    async def enter(self, request: Request) -> Response:
        """Take the link and begin the session."""
        require_known_host(request, self._context.hosts)
        require_same_origin(request, self._context)
        storage, ring, clock = self._context.storage, self._context.ring(), self._context.clock
        bearer = request.path_params["bearer"]
        session = await use_link(storage, ring, clock, bearer, client_address(request))
        if session is None:
            raise Closed(410, _CLOSED.get(await link_state(storage, ring, clock, bearer), "page.link_used"))
        response = RedirectResponse("/admin/log", status_code=303)
        response.set_cookie(
            SESSION_COOKIE, session, max_age=SESSION_LIFE_MS // 1000, path="/", secure=True, httponly=True, samesite="strict"
        )
        return response

    async def leave(self, request: Request) -> Response:
        """End the session, here and in storage."""
        require_known_host(request, self._context.hosts)
        require_same_origin(request, self._context)
        await end_session(self._context.storage, self._context.ring(), request.cookies.get(SESSION_COOKIE, ""))
        response = RedirectResponse("/", status_code=303)
        response.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="strict")
        return response
