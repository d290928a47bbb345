"""Which channels are down, as every worker of every node knows it: whoever finds it out notes it for the others.

A worker learns of a dead gateway by asking it, which for most is never: the code is handed over where it was asked for, and a node
without the role `delivery` asks none at all. So the worker that finds all gateways of a channel down writes until when, with what
became of the message that it tried, and lifts it with the first one that goes out again. It is announced, and read then and at the
start; a login reads nothing. The note is a hint with an end: no longer than a breaker's pause after it was first seen, whatever
another node's clock says. And who had a message taken by that channel a moment ago goes by that: a node that is cut off speaks for
itself alone.
"""

from collections.abc import Mapping
from typing import Final

from wardgate.clock import Clock, to_ms
from wardgate.delivery.breaker import LONGEST_PAUSE_S
from wardgate.delivery.port import Channel
from wardgate.storage.port import Announce, Modified, Modify, Operation, Row, Storage, Value, Where

TOPIC: Final = "channel_down"
# A lease without work: who found it out, and until when it holds.
TABLE: Final = "lease"
PREFIX: Final = "channel:"
# A note that would hold so little longer than the last one is not worth a write.
WORTH_S: Final = 1.0


class Outages:
    """What this worker knows of the others' notes, and how it makes its own. `holder`: who it is."""

    def __init__(self, storage: Storage, clock: Clock, holder: str) -> None:
        self._storage = storage
        self._clock = clock
        self._holder = holder
        # The end of each note that was taken up, as it is written.
        self._taken: dict[Channel, int] = {}
        # On the monotonic clock.
        self._until: dict[Channel, float] = {}
        self._worked: dict[Channel, float] = {}

    def is_down(self, channel: Channel) -> bool:
        """Whether somebody found all gateways of a channel down a moment ago. Reads memory only."""
        now = self._clock.monotonic()
        worked = self._worked.get(channel)
        return self._until.get(channel, 0.0) > now and (worked is None or worked + LONGEST_PAUSE_S <= now)

    async def read(self) -> None:
        """Take up what is noted, each note once. Raises StorageUnavailable.

        Taken again at each reading, a note by a clock that is a day ahead would keep a channel from us for as long.
        """
        names = tuple(f"{PREFIX}{channel.value}" for channel in Channel)
        found = {str(row["name"]): row for row in await self._storage.find(TABLE, [Where("name", "in", names)])}
        now_ms, now = to_ms(self._clock.now()), self._clock.monotonic()
        for channel in Channel:
            row = found.get(f"{PREFIX}{channel.value}")
            held_until = int(row["held_until"] or 0) if row is not None else 0
            if self._taken.get(channel) != held_until:
                self._taken[channel] = held_until
                self._until[channel] = now + min((held_until - now_ms) / 1000, LONGEST_PAUSE_S)

    def noted(self, channel: Channel, down_s: float) -> tuple[Operation, ...]:
        """What notes that a channel is down for so long: nothing where it is noted for about as long already."""
        if self._until.get(channel, 0.0) >= self._clock.monotonic() + down_s - WORTH_S:
            return ()
        return self._set(channel, down_s)

    def worked(self, channel: Channel) -> tuple[Operation, ...]:
        """A gateway of this channel answered here. What lifts the note: nothing where there is none."""
        now = self._clock.monotonic()
        self._worked[channel] = now
        return self._set(channel, 0.0) if self._until.get(channel, 0.0) > now else ()

    def _set(self, channel: Channel, down_s: float) -> tuple[Operation, ...]:
        self._until[channel] = self._clock.monotonic() + down_s
        until = to_ms(self._clock.now()) + int(down_s * 1000)
        note = Modify(TABLE, {"name": f"{PREFIX}{channel.value}"}, set_note, {"holder": self._holder, "held_until": until})
        return note, Announce(TOPIC, channel.value)


def is_note(row: Row) -> bool:
    """Whether a row among the leases is a note of ours and no job."""
    return str(row["name"]).startswith(PREFIX)


def set_note(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """The note as it is made now, whatever it was."""
    return Modified({"holder": arguments["holder"], "held_until": arguments["held_until"]})
