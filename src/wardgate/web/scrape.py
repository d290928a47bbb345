"""`/metrics`, for a scraper in an allowed network; for everybody else there is no such page."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from wardgate.errors import WardgateError
from wardgate.metrics import CONTENT_TYPE
from wardgate.watch.picture import DATABASE_TIMEOUT_S, OutboxWatch
from wardgate.web.access import client_in
from wardgate.web.context import WebContext


class Scrape:
    """Answers `/metrics` for the whole node, whichever worker is asked."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._node = context.whole_node
        self._outbox = OutboxWatch(context.storage, context.clock)

    async def answer(self, request: Request) -> Response:
        """All metrics as text. While the database does not answer, what it knows is left out and the rest is told."""
        if not client_in(request, self._context.metrics_networks):
            raise HTTPException(404)
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                figures = await self._outbox.figures()
            self._context.metrics.outbox(figures.states, figures.oldest_due_s)
        except (TimeoutError, WardgateError):
            self._context.metrics.outbox({})
        return Response(await self._node.exposition(), media_type=CONTENT_TYPE)
