"""Which gateway of a channel to ask first, learned from how they did a moment ago. In memory, per worker.

The breaker only ever reorders: a gateway that is out of favour is asked last, never not at all, so that one number that a
service cannot serve does not hold up everybody else's codes, and a lone gateway is always asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wardgate.delivery.port import Gateway

FAILURES_TO_OPEN = 2
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 15.0
# One number that a service cannot serve is no service that is down. Who may log in with less while a channel is down must not be
# able to bring that about by numbers of his own.
ADDRESSES_TO_BE_DOWN = 3
# A try that is this old makes the next messages go round: by the time it fails, they are delivered.
SLOW_S = 2.0


@dataclass(slots=True)
class Lane:
    """How one gateway has been doing."""

    gateway: Gateway
    failures: int = 0
    opens_until: float = 0.0
    failed_for: set[int] = field(default_factory=set)
    in_flight: dict[int, float] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether the last tries failed."""
        return self.failures >= FAILURES_TO_OPEN

    def is_down(self, now: float) -> bool:
        """Whether it failed a moment ago, and since it last answered for messages to several addresses."""
        return self.is_open and now < self.opens_until and len(self.failed_for) >= ADDRESSES_TO_BE_DOWN

    def is_ready(self, now: float, room: int) -> bool:
        """Whether a message may go here first: it works or is due for a probe, does not hang, and has room.

        A gateway whose breaker is open gets one message at a time once its pause is over (half-open).
        """
        if self.is_open and (now < self.opens_until or self.in_flight):
            return False
        return len(self.in_flight) < room and all(now - began < SLOW_S for began in self.in_flight.values())

    def succeeded(self) -> None:
        """It answered: it is alive, whatever it said."""
        self.failures = 0
        self.failed_for.clear()

    def failed(self, now: float, to: str) -> None:
        """It did not take a message to this address for a reason of its own. Pauses double up to the longest."""
        self.failures += 1
        if len(self.failed_for) < ADDRESSES_TO_BE_DOWN:
            self.failed_for.add(hash(to))
        doublings = min(self.failures - FAILURES_TO_OPEN, 10)
        self.opens_until = now + min(FIRST_PAUSE_S * 2.0**doublings, LONGEST_PAUSE_S)


class Lanes:
    """The lanes of all gateways, and the choice among them."""

    def __init__(self, monotonic: Callable[[], float], parallel: int) -> None:
        self._monotonic = monotonic
        self._parallel = parallel
        self._by_name: dict[str, Lane] = {}

    def of(self, gateway: Gateway) -> Lane:
        """The lane of a gateway. A gateway that was configured anew begins without a past."""
        lane = self._by_name.get(gateway.name)
        if lane is None or lane.gateway is not gateway:
            lane = self._by_name[gateway.name] = Lane(gateway)
        return lane

    def all_failed(self, gateways: Sequence[Gateway]) -> bool:
        """Whether all these are down. Never without gateways, and no longer than a pause.

        What is not asked for because of this would otherwise never be tried again.
        """
        return self.down_for_s(gateways) > 0

    def down_for_s(self, gateways: Sequence[Gateway]) -> float:
        """For how long all these are down: until the first of them may be asked again; 0: they are not."""
        now, lanes = self._monotonic(), [self.of(gateway) for gateway in gateways]
        if not lanes or not all(lane.is_down(now) for lane in lanes):
            return 0.0
        return min(lane.opens_until for lane in lanes) - now

    def choose(self, gateways: Sequence[Gateway]) -> Gateway:
        """Whom to ask now: the first that is ready, else the first. `gateways` is not empty.

        Each may hold its share of the channel's tries and no more, so that one that hangs leaves room for the others.
        """
        now, room = self._monotonic(), max(1, self._parallel // len(gateways))
        return next((gateway for gateway in gateways if self.of(gateway).is_ready(now, room)), gateways[0])
