"""Whether the process lives, and whether the node can do its work."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from wardgate.clock import to_ms
from wardgate.errors import WardgateError
from wardgate.storage.port import Upsert
from wardgate.web.access import client_in
from wardgate.web.context import LOOPBACK, WebContext

STORAGE_DEADLINE_S = 2.0
# A probe costs a durable commit: those that come sooner share one answer.
ANSWER_KEPT_S = 1.0


async def alive(request: Request) -> Response:
    """Answer `/healthz`: the loop turns."""
    return PlainTextResponse("ok")


class Readiness:
    """Answers `/readyz`: 200 when storage takes a write and no worker of the node has a problem, else 503 with the problems."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._node = context.whole_node
        self._asked_at = float("-inf")
        self._storage_problem: str | None = None
        self._asking = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        """As JSON, or as lines of text for who asks for them. What is wrong is told on this machine only."""
        problems = await self._problems()
        told = problems if client_in(request, LOOPBACK) else []
        status = 503 if problems else 200
        if _wants_text(request.headers.get("accept", "")):
            return PlainTextResponse("\n".join(["not ready" if problems else "ready", *told, ""]), status)
        details = {"problems": told} if client_in(request, LOOPBACK) else {}
        return JSONResponse({"ready": not problems, **details}, status)

    async def _problems(self) -> list[str]:
        async with self._asking:
            if self._context.clock.monotonic() - self._asked_at >= ANSWER_KEPT_S:
                self._storage_problem = await self._ask_storage()
                self._asked_at = self._context.clock.monotonic()
        return [*([self._storage_problem] if self._storage_problem else []), *await self._node.problems()]

    async def _ask_storage(self) -> str | None:
        at = str(to_ms(self._context.clock.now()))
        try:
            async with asyncio.timeout(STORAGE_DEADLINE_S):
                await self._context.storage.commit([Upsert("installation", {"name": "readiness_asked_at", "value": at})])
        except TimeoutError:
            return f"storage took no write within {STORAGE_DEADLINE_S:.0f} s"
        except WardgateError as error:
            return f"storage takes no writes: {error.message}"
        return None


def _wants_text(accept: str) -> bool:
    """Whether the asker names plain text before JSON; who names neither gets JSON."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return next((kind for kind in kinds if kind in ("text/plain", "application/json")), "") == "text/plain"
