"""The demo's outbox: what would have gone out by SMS and e-mail, as a page, as JSON, and live."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wardgate.delivery.outbox import MAX_LISTED, TOPIC, list_messages
from wardgate.web.access import require_local
from wardgate.web.context import WebContext
from wardgate.web.feed import Piece, events
from wardgate.web.language import language_of_request
from wardgate.web.render import Pages
from wardgate.web.streams import EventStream

PAGE_MESSAGES = 200
LIVE_MESSAGES = 30
_JSON_NAMES = ("id", "created_at", "channel", "to", "user", "transaction", "text", "code")


class OutboxPages:
    """The pages under `/outbox`. The application has them in the demo only: they show codes in clear."""

    def __init__(self, context: WebContext, pages: Pages) -> None:
        self._context = context
        self._pages = pages

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route("/outbox", self.messages), Route("/outbox/stream", self.stream)]

    async def messages(self, request: Request) -> Response:
        """Every message, newest first."""
        require_local(request)
        if wants_json(request.headers.get("accept", "")):
            listed = await list_messages(self._context.storage, self._context.ring(), MAX_LISTED)
            return JSONResponse([{name: getattr(message, name) for name in _JSON_NAMES} for message in listed])
        shown = await list_messages(self._context.storage, self._context.ring(), PAGE_MESSAGES)
        return self._pages.page(request, "outbox.html", messages=shown, all_shown=len(shown) < PAGE_MESSAGES)

    async def stream(self, request: Request) -> Response:
        """New and changed messages as events."""
        require_local(request)
        streams = self._context.streams
        wake = streams.enter()
        if wake is None:
            raise HTTPException(503, headers={"retry-after": "30"})
        stop_listening = self._context.storage.subscribe(TOPIC, lambda _message_id: wake.set())

        def left() -> None:
            stop_listening()
            streams.leave(wake)

        look = OutboxLook(self._context, self._pages, language_of_request(request))
        return EventStream(events(wake, streams, self._context.clock, look.look, _always), left)


class OutboxLook:
    """What one open outbox page has not shown yet."""

    def __init__(self, context: WebContext, pages: Pages, language: str) -> None:
        self._context = context
        self._pages = pages
        self._language = language
        self._known: dict[str, str] = {}

    async def look(self) -> list[Piece]:
        """Messages that are new or whose state changed, oldest first. The first look tells all that a page may lack."""
        listed = await list_messages(self._context.storage, self._context.ring(), LIVE_MESSAGES)
        changed = [message for message in reversed(listed) if self._known.get(message.id) != message.state]
        self._known = {message.id: message.state for message in listed}
        return [Piece("row", self._pages.fragment(self._language, "rows.html", "message_row", message)) for message in changed]


def wants_json(accept: str) -> bool:
    """Whether the asker names JSON before it names HTML."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    wanted = next((kind for kind in kinds if kind in ("application/json", "text/html")), "")
    return wanted == "application/json"


async def _always() -> bool:
    return True
