"""The launchpad: the applications that policy opens to a person, each one press away."""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wardgate.pages.browser import browser_of
from wardgate.pages.door import BrowserDoor
from wardgate.pages.joined import Joined, Tile
from wardgate.portal.gate import Gate

PAGE: Final = "/apps"
MAX_SEARCH_CHARS: Final = 80


class AppPages:
    """The page at `/apps`. A search is a GET of the same page, which works without script."""

    def __init__(self, door: BrowserDoor, gate: Gate, joined: Joined) -> None:
        self._door = door
        self._gate = gate
        self._joined = joined

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route(PAGE, self.listed, methods=["GET"])]

    async def listed(self, request: Request) -> Response:
        """The applications, those that are searched for if any."""
        if not self._door.has_applications():
            raise HTTPException(404)
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, wanted = browser_of(request), request.query_params.get("q", "").strip()[:MAX_SEARCH_CHARS]
        tiles = await self._joined.tiles(request, browser, present.session)
        found = [tile for tile in tiles if _fits(tile, wanted)]
        response = self._door.pages.page(
            request,
            "apps.html",
            session=present.session,
            user=present.user,
            tiles=found,
            wanted=wanted,
            searches=len(tiles) > len(found) or len(tiles) > _SEARCHED_FROM,
        )
        browser.keep(response)
        return response


# Fewer are seen at a glance.
_SEARCHED_FROM: Final = 6


def _fits(tile: Tile, wanted: str) -> bool:
    return all(word in tile.title.casefold() for word in wanted.casefold().split())
