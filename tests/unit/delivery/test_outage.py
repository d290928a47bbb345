"""A channel that one worker found down: the others know it without asking a gateway, and hear when it works again."""

from tests.unit.delivery.fakes import FakeGateway, Timeline, clock, fails_with, new_ring, put, takes
from wardgate.clock import FixedClock
from wardgate.crypto import KeyRing
from wardgate.delivery.breaker import ADDRESSES_TO_BE_DOWN, LONGEST_PAUSE_S
from wardgate.delivery.outage import TOPIC, Outages
from wardgate.delivery.port import Channel
from wardgate.delivery.worker import OutboxWorker
from wardgate.errors import GatewayUnavailable
from wardgate.storage.memory import MemoryStorage

DOWN = fails_with(GatewayUnavailable("no answer"))


class Worker:
    """One of several on the same storage. `gateways`: what its node reaches."""

    def __init__(self, storage: MemoryStorage, ring: KeyRing, at: FixedClock, holder: str, *gateways: FakeGateway) -> None:
        self.outages = Outages(storage, at, holder)
        self.heard: list[str] = []
        storage.subscribe(TOPIC, self.heard.append)
        self.outbox = OutboxWorker(
            storage,
            lambda: ring,
            at,
            lambda: gateways,
            Timeline(),
            self.outages,
            keep_text=False,
            holder=holder,
            random=lambda: 0.0,
        )

    async def knows(self, channel: Channel = Channel.SMS) -> bool:
        """Whether it holds the channel for down, once it has read what was announced."""
        if self.heard:
            self.heard.clear()
            await self.outages.read()
        return self.outages.is_down(channel) or self.outbox.is_down(channel)


async def failing(storage: MemoryStorage, ring: KeyRing, at: FixedClock, first: Worker) -> None:
    """Messages to so many numbers that a gateway which takes none is down."""
    for number in range(ADDRESSES_TO_BE_DOWN):
        await put(storage, ring, f"m{number}", to=f"+90532123450{number}")
    for _ in range(2):
        await first.outbox.deliver_due()
        at.advance(1)


async def test_worker_that_asked_no_gateway_knows_what_another_one_found_down() -> None:
    storage, ring, at = MemoryStorage(), new_ring(), clock()
    gateway = FakeGateway("one", DOWN)
    first, second = Worker(storage, ring, at, "a", gateway), Worker(storage, ring, at, "b")
    assert not await second.knows()
    await failing(storage, ring, at, first)
    assert await first.knows()
    assert await second.knows()
    assert not await second.knows(Channel.EMAIL)
    late = Worker(storage, ring, at, "c")
    await late.outages.read()
    assert await late.knows(), "one that starts meanwhile"
    at.advance(LONGEST_PAUSE_S + 1)
    assert not await second.knows(), "no longer than a pause"


async def test_message_that_goes_out_lifts_it_for_all() -> None:
    storage, ring, at = MemoryStorage(), new_ring(), clock()
    first, second = (
        Worker(storage, ring, at, "a", FakeGateway("one", DOWN)),
        Worker(storage, ring, at, "b", FakeGateway("two", takes)),
    )
    await failing(storage, ring, at, first)
    assert await second.knows()
    await put(storage, ring, "new")
    await second.outbox.deliver_due()
    assert not await second.knows()
    await first.knows()
    assert not first.outages.is_down(Channel.SMS)


async def test_node_that_is_cut_off_speaks_for_nobody_who_had_a_message_taken_a_moment_ago() -> None:
    """Else its note would let people in with less where `gateway_down: skip` stands, on nodes whose gateways work."""
    storage, ring, at = MemoryStorage(), new_ring(), clock()
    first, second = (
        Worker(storage, ring, at, "a", FakeGateway("one", DOWN)),
        Worker(storage, ring, at, "b", FakeGateway("two", takes)),
    )
    await put(storage, ring, "new")
    await second.outbox.deliver_due()
    await failing(storage, ring, at, first)
    assert await first.knows()
    assert not await second.knows()


async def test_note_of_a_clock_that_is_ahead_keeps_nobody_from_a_channel() -> None:
    storage, at = MemoryStorage(), clock()
    ahead = FixedClock(at.now())
    ahead.advance(86_400)
    await storage.commit([*Outages(storage, ahead, "ahead").noted(Channel.SMS, 5.0)])
    outages = Outages(storage, at, "b")
    await outages.read()
    assert outages.is_down(Channel.SMS)
    at.advance(LONGEST_PAUSE_S - 1)
    await outages.read()
    at.advance(2)
    assert not outages.is_down(Channel.SMS), "however often it is read"
    await outages.read()
    assert not outages.is_down(Channel.SMS)
    await storage.commit([*Outages(storage, at, "c").noted(Channel.SMS, 5.0)])
    await outages.read()
    assert outages.is_down(Channel.SMS), "another note is"


async def test_nothing_is_written_while_nothing_is_down() -> None:
    storage, ring, at = MemoryStorage(), new_ring(), clock()
    only = Worker(storage, ring, at, "a", FakeGateway("one", takes))
    await put(storage, ring, "m1")
    await only.outbox.deliver_due()
    assert await storage.find("lease") == []
    assert only.heard == []
