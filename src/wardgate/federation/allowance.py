"""How many answers are signed for people who have not signed in.

Anybody can have an application send him here with a wish that nobody is granted, and the signature under our answer costs more than
all else about it. So each address has a bucket of them, and all addresses together have one; both fill again all the time. They are
in the memory of each worker: a row would cost more than the signature that it saves.
"""

from typing import Final

from wardgate.engine.brakes import connection

# What an office behind one address may come to at once, with applications that ask without showing a page; and then each second.
OF_SOURCE: Final = 300.0
OF_SOURCE_S: Final = 10.0
OF_ALL: Final = 1_000.0
OF_ALL_S: Final = 100.0
MAX_SOURCES: Final = 4_096


class Allowance:
    """The buckets of one worker."""

    def __init__(self) -> None:
        self._all = (OF_ALL, 0)
        self._sources: dict[str, tuple[float, int]] = {}

    def take(self, address: str, now_ms: int) -> bool:
        """Whether one more may be signed for this address; it is counted then."""
        source = connection(address)
        left = _filled(self._sources.pop(source, (OF_SOURCE, now_ms)), now_ms, OF_SOURCE, OF_SOURCE_S)
        of_all = _filled(self._all, now_ms, OF_ALL, OF_ALL_S)
        taken = min(left, of_all) >= 1
        self._sources[source] = (left - taken, now_ms)
        self._all = (of_all - taken, now_ms)
        while len(self._sources) > MAX_SOURCES:
            # The one that asked longest ago, whose bucket is the fullest by now; the one of all stands against many addresses.
            del self._sources[next(iter(self._sources))]
        return taken


def _filled(bucket: tuple[float, int], now_ms: int, full: float, a_second: float) -> float:
    left, at_ms = bucket
    return min(full, left + max(0, now_ms - at_ms) * a_second / 1000)
