"""The live part of the log and of the outbox: what is new, as events that carry rows rendered on the server.

A stream is woken by this worker's recorder, and looks by itself twice a second for what other workers and nodes wrote. What it
sends comes from storage, so that every row has its id and comes once: a reader who lost the connection says the last id that it
has, to whichever worker it meets next.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from wardgate.clock import Clock, to_ms
from wardgate.web.streams import Streams, event, heartbeat, opening

# Rows are on disk this long after they were published, almost always; what is late comes with the next look.
SETTLE_S = 0.4
LOOK_EVERY_S = 0.5
HEARTBEAT_S = 15.0
# The browser connects again by itself: no stream is held open for ever.
STREAM_LIFE_S = 3600.0
MAX_ROWS_PER_LOOK = 20
# Ids are made a moment before their row is stored, and by a clock that may be late, so a row may turn up behind one that was
# sent already.
LOOK_BACK_MS = 5000
# A node whose clock is further ahead than this must not hide what the others write: see `Cursor.window`.
LOOK_AHEAD_MS = 5000
MAX_REMEMBERED = 5000
_ID_TIME_CHARS = 12
_ID_REST_CHARS = 12


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing to show: a name that the script knows, its HTML, and the row id if it has one."""

    name: str
    html: str
    id: str = ""


Look = Callable[[], Awaitable[Sequence[Piece]]]
Allowed = Callable[[], Awaitable[bool]]


@dataclass(slots=True)
class Cursor:
    """How far a stream has come. Remembers what it sent within the time that a late row may need."""

    last: str
    clock: Clock
    _sent: dict[str, None] = field(default_factory=dict)

    def window(self) -> tuple[str, str]:
        """Rows after the first id are worth a look; those after the second are of a clock that is ahead of ours.

        Never later than the present: one row from the future would else be the last for as long as that clock is ahead.
        """
        now_ms = to_ms(self.clock.now())
        return _id_at(min(_time_of(self.last), now_ms) - LOOK_BACK_MS), _id_at(now_ms + LOOK_AHEAD_MS)

    def take(self, row_id: str) -> bool:
        """Whether this row is new to the reader; it is not from now on."""
        if row_id in self._sent:
            return False
        self._sent[row_id] = None
        self.last = max(self.last, row_id)
        if len(self._sent) > MAX_REMEMBERED:
            self._forget()
        return True

    def _forget(self) -> None:
        """Forget what cannot come again, and of rows from the future the oldest when there are too many."""
        floor, _ = self.window()
        kept = [each for each in self._sent if each > floor]
        self._sent = dict.fromkeys(kept[-MAX_REMEMBERED // 2 :])


async def events(wake: asyncio.Event, streams: Streams, clock: Clock, look: Look, allowed: Allowed) -> AsyncIterator[str]:
    """Events until the server stops, the reader's right ends, or the stream has lived long enough."""
    yield opening()
    ends = clock.monotonic() + STREAM_LIFE_S
    beat = clock.monotonic()
    while not streams.stopping and clock.monotonic() < ends and await allowed():
        pieces = await look()
        for piece in pieces:
            yield event(piece.name, piece.html, piece.id)
        if pieces:
            beat = clock.monotonic()
        elif clock.monotonic() - beat >= HEARTBEAT_S:
            beat = clock.monotonic()
            yield heartbeat()
        await _something_new(wake)


async def _something_new(wake: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(wake.wait(), LOOK_EVERY_S)
    except TimeoutError:
        return
    wake.clear()
    await asyncio.sleep(SETTLE_S)


def _time_of(row_id: str) -> int:
    return int(row_id[:_ID_TIME_CHARS], 16)


def _id_at(at_ms: int) -> str:
    return f"{max(0, at_ms):0{_ID_TIME_CHARS}x}" + "0" * _ID_REST_CHARS
