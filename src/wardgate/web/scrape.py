"""`/metrics`, for a scraper in an allowed network; for everybody else there is no such page."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from wardgate.delivery.outbox import TABLE, OutboxState
from wardgate.metrics import CONTENT_TYPE
from wardgate.storage.port import Where
from wardgate.web.access import client_in
from wardgate.web.context import WebContext


class Scrape:
    """Answers `/metrics`."""

    def __init__(self, context: WebContext) -> None:
        self._context = context

    async def answer(self, request: Request) -> Response:
        """All metrics as text."""
        if not client_in(request, self._context.metrics_networks):
            raise HTTPException(404)
        storage = self._context.storage
        states = {state.value: await storage.count(TABLE, [Where("state", "=", state.value)]) for state in OutboxState}
        self._context.metrics.outbox(states)
        return Response(self._context.metrics.exposition(), media_type=CONTENT_TYPE)
