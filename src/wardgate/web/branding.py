"""Serves the style sheets and pictures of the brands, under names that hold their hash, from our own origin only."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wardgate.brand.looks import FOLDER
from wardgate.web.context import WebContext


class BrandFiles:
    """Answers `/brand/{name}` with what the configuration in force made, found by its exact name."""

    def __init__(self, context: WebContext) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        """The route."""
        return [Route(f"{FOLDER}/{{name}}", self.serve, methods=["GET"])]

    async def serve(self, request: Request) -> Response:
        """One file."""
        found = self._context.looks().files.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(found.content, media_type=found.media_type, headers=headers)
