"""Addresses that password managers know: where a password is changed (W3C, A Well-Known URL for Changing Passwords)."""

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from wardgate.web.access import require_known_host
from wardgate.web.context import WebContext

ADDRESS: Final = "/.well-known/change-password"
# Who knows his password changes it; where there is no page for that, everybody sets a new one.
_PLACES: Final = ("/account/password", "/forgot")


def well_known_routes(context: WebContext, others: Sequence[BaseRoute]) -> list[Route]:
    """The route, to the first of the places that is there among the portal's other routes."""
    paths = {each.path for each in others if isinstance(each, Route)}
    place = next(each for each in _PLACES if each in paths)

    async def change_password(request: Request) -> Response:
        require_known_host(request, context.hosts)
        return RedirectResponse(place, status_code=303)

    return [Route(ADDRESS, change_password, methods=["GET"])]
