"""Server-sent events: how many may be open, how each is written, and how all end when the server stops."""

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

MAX_STREAMS = 16
RETRY_MS = 3000


class Streams:
    """The open event streams of this process."""

    __slots__ = ("_limit", "_open", "_stopping")

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self._limit = limit
        self._open: set[asyncio.Event] = set()
        self._stopping = False

    @property
    def open(self) -> int:
        """How many are open."""
        return len(self._open)

    def enter(self) -> asyncio.Event | None:
        """Take a place: the event that says `something may be new, or it is time to end`. None when all places are taken."""
        if self._stopping or len(self._open) >= self._limit:
            return None
        wake = asyncio.Event()
        self._open.add(wake)
        return wake

    def leave(self, wake: asyncio.Event) -> None:
        """Give the place back."""
        self._open.discard(wake)

    @property
    def stopping(self) -> bool:
        """Whether every stream has to end now."""
        return self._stopping

    def close(self) -> None:
        """Let every stream end, and admit no more: the server stops."""
        self._stopping = True
        for wake in self._open:
            wake.set()


class EventStream(StreamingResponse):
    """A reply of events. `left` is called exactly once, however the stream ends, even when it never began."""

    def __init__(self, events: AsyncIterator[str], left: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._left()


def event(name: str, data: str, event_id: str = "") -> str:
    """One event in the wire format of the HTML standard, section 9.2. `data` may have several lines."""
    lines = [f"event: {name}", *(f"data: {line}" for line in data.splitlines() or [""])]
    if event_id:
        lines.insert(0, f"id: {event_id}")
    return "\n".join(lines) + "\n\n"


def opening() -> str:
    """What a stream begins with: how long to wait before connecting again."""
    return f"retry: {RETRY_MS}\n\n"


def heartbeat() -> str:
    """A comment that keeps middle boxes from closing the connection, and finds out that the reader is gone."""
    return ": still here\n\n"
