"""The duplicate cache: RFC 5080 section 2.2.2.

A NAS that hears nothing sends the same packet again, some after 300 ms. Worked on twice, that would be a second message
to the user and a second failure on his account. So while the first is in work a copy is dropped, and afterwards it gets
the same octets back.

Only packets whose Message-Authenticator has been judged may come here: a forged one must not displace a real one.
The cache serves one worker, lives in memory and is bounded in entries, octets and time. What must hold across workers and
restarts is in storage.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from wardgate.values import quick_value

KEEP_S = 30.0
IN_FLIGHT_S = 60.0
# What has expired is never used, and is taken away so often.
LOOK_EVERY_S = 0.25
DEFAULT_CAPACITY = 65_536
DEFAULT_MAX_BYTES = 32 * 1024 * 1024

DuplicateKey: TypeAlias = tuple[str, int, int, str]
"""Source address, source port, Identifier, name of the listener."""


@dataclass(frozen=True, slots=True)
class New:
    """Not seen before, or seen too long ago: work on it and call `finish`."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """The same packet is in work: drop this one."""


@quick_value
class Reply:
    """The same packet was answered with these octets: send them again."""

    data: bytes


Verdict: TypeAlias = New | InFlight | Reply

_NEW: Final = New()
_IN_FLIGHT: Final = InFlight()
# An entry: when it expires, the whole request, the verdict for a copy of it.
_Entry: TypeAlias = tuple[float, bytes, InFlight | Reply]


class DuplicateCache:
    """Remembers requests and their replies by source. Every operation takes constant time."""

    __slots__ = ("_bytes", "_capacity", "_clock", "_done", "_keep_s", "_look_at", "_max_bytes", "_working")

    def __init__(
        self,
        capacity: int = DEFAULT_CAPACITY,
        keep_s: float = KEEP_S,
        *,
        clock: Callable[[], float],
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        """`keep_s` counts from the reply; RFC 5080 asks for 5 to 30. `clock` runs in seconds and never backwards."""
        self._capacity = capacity
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes = 0
        self._look_at = float("-inf")
        # Both are in the order in which their entries expire, because every entry of one map lives equally long.
        self._working: OrderedDict[DuplicateKey, _Entry] = OrderedDict()
        self._done: OrderedDict[DuplicateKey, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._working) + len(self._done)

    @property
    def held_bytes(self) -> int:
        """How many octets of requests and replies are kept."""
        return self._bytes

    def begin(self, key: DuplicateKey, raw: bytes) -> Verdict:
        """Say what to do with a request, and remember it as in work when it is new.

        The whole packet is compared, not its header only: another packet from the same port with the same Identifier is
        a new request, and what was remembered of the old one is forgotten.
        """
        now = self._clock()
        if now >= self._look_at:
            self._expire(now)
        known = self._working.get(key) or self._done.get(key)
        if known is not None and known[0] <= now:
            self._drop(key)
            known = None
        if known is not None:
            if known[1] == raw:
                return known[2]
            self._drop(key)
        self._put(self._working, key, (now + IN_FLIGHT_S, raw, _IN_FLIGHT), len(raw))
        return _NEW

    def finish(self, key: DuplicateKey, raw: bytes, reply: bytes | None) -> None:
        """Remember the reply to a request that `begin` called new; None forgets it, so that a copy is worked on.

        Comes too late for a request that has been displaced by another or given up: then nothing is remembered.
        """
        entry = self._working.get(key)
        if entry is None or entry[1] != raw:
            return
        del self._working[key]
        self._bytes -= len(raw)
        if reply is not None:
            self._put(self._done, key, (self._clock() + self._keep_s, raw, Reply(reply)), len(raw) + len(reply))

    def _put(self, store: OrderedDict[DuplicateKey, _Entry], key: DuplicateKey, entry: _Entry, size: int) -> None:
        store[key] = entry
        self._bytes += size
        while self._bytes > self._max_bytes or len(self._working) + len(self._done) > self._capacity:
            self._evict()

    def _evict(self) -> None:
        """Give up the oldest. Answered ones go first: a copy of one in work would be a second message to somebody."""
        store = self._done or self._working
        self._bytes -= _size(store.popitem(last=False)[1])

    def _drop(self, key: DuplicateKey) -> None:
        entry = self._working.pop(key, None) or self._done.pop(key)
        self._bytes -= _size(entry)

    def _expire(self, now: float) -> None:
        self._look_at = now + LOOK_EVERY_S
        for store in (self._working, self._done):
            while store and next(iter(store.values()))[0] <= now:
                self._bytes -= _size(store.popitem(last=False)[1])


def _size(entry: _Entry) -> int:
    verdict = entry[2]
    return len(entry[1]) + (len(verdict.data) if isinstance(verdict, Reply) else 0)
