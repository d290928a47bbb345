"""The outbox worker: claims, order, retries, ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest
from structlog.testing import capture_logs

from tests.unit.delivery.fakes import CODE, NUMBER, TEXT, FakeGateway, Timeline, clock, fails_with, hangs, new_ring, put, takes
from wardgate.clock import SystemClock
from wardgate.crypto import KeyRing
from wardgate.delivery.outage import Outages
from wardgate.delivery.outbox import OutboxState, list_messages
from wardgate.delivery.port import Channel, Message
from wardgate.delivery.worker import AttemptOutcome, OnEvent, OutboxWorker
from wardgate.errors import GatewayRefused, GatewayUnavailable, Overloaded, StorageUnavailable
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Commit, Insert, Operation, Row, Update

DOWN = fails_with(GatewayUnavailable("no answer"))
NO = fails_with(GatewayRefused("no such number"))


class World:
    """A storage, a ring, a clock that stands, and workers on them."""

    def __init__(self, *gateways: FakeGateway, storage: MemoryStorage | None = None) -> None:
        self.storage = storage or MemoryStorage()
        self.ring: KeyRing = new_ring()
        self.clock = clock()
        self.gateways: list[FakeGateway] = list(gateways)
        self.timeline = Timeline()
        self.clock_problem: str | None = None

    def worker(
        self, holder: str = "w1", *, keep_text: bool = False, parallel: int = 16, on_event: OnEvent | None = None
    ) -> OutboxWorker:
        """A worker without jitter."""
        return OutboxWorker(
            self.storage,
            lambda: self.ring,
            self.clock,
            lambda: self.gateways,
            on_event or self.timeline,
            Outages(self.storage, self.clock, holder),
            keep_text=keep_text,
            holder=holder,
            parallel=parallel,
            random=lambda: 0.0,
            clock_problem=lambda: self.clock_problem,
        )

    async def row(self, message_id: str = "m1") -> Row:
        """The message's row."""
        row = await self.storage.get("outbox", {"id": message_id})
        assert row is not None
        return row

    async def waits_s(self, message_id: str = "m1") -> float:
        """Seconds until the message is due."""
        due = (await self.row(message_id))["next_try_at"]
        assert isinstance(due, int)
        return due / 1000 - self.clock.now().timestamp()


# --- ends -------------------------------------------------------------------------------------------------------------


async def test_a_message_is_handed_over_and_its_body_erased() -> None:
    world = World(FakeGateway("one"))
    await put(world.storage, world.ring, "m1")
    world.clock.advance(1)
    await world.worker().deliver_due()
    assert world.gateways[0].taken == [Message("m1", Channel.SMS, NUMBER, TEXT)]
    row = await world.row()
    assert (row["state"], row["gateway"], row["answer"], row["sealed"], row["tries"]) == ("sent", "one", "taken", None, 1)
    assert row["sent_at"] == row["created_at"] + 1000  # type: ignore[operator]
    (event,) = world.timeline.events
    assert (event.state, event.reference, event.age_ms, event.problem) == (OutboxState.SENT, "ABCD1234", 1000, "")
    assert [(a.gateway, a.outcome, a.answer) for a in event.attempts] == [("one", AttemptOutcome.SENT, "taken")]


async def test_the_demo_keeps_the_text() -> None:
    world = World(FakeGateway("one"))
    await put(world.storage, world.ring, "m1", keep=True)
    await world.worker(keep_text=True).deliver_due()
    (entry,) = await list_messages(world.storage, world.ring, 10)
    assert (entry.text, entry.code, entry.state, entry.gateway) == (TEXT, CODE, "sent", "one")


async def test_the_event_is_written_in_the_same_commit_as_what_it_tells() -> None:
    world = World(FakeGateway("one"))
    await put(world.storage, world.ring, "m1")

    def on_event(event: object) -> Sequence[Operation]:
        return [Insert("installation", {"name": "told", "value": type(event).__name__})]

    await world.worker(on_event=on_event).deliver_due()
    assert (await world.row())["state"] == "sent"
    assert await world.storage.get("installation", {"name": "told"}) == {"name": "told", "value": "OutboxEvent"}


async def test_nothing_is_sent_after_the_life_of_its_code() -> None:
    world = World(FakeGateway("one"))
    await put(world.storage, world.ring, "m1", life_s=180)
    world.clock.advance(180)
    await world.worker().deliver_due()
    assert world.gateways[0].asked == []
    row = await world.row()
    assert (row["state"], row["sealed"]) == ("expired", None)
    assert world.timeline.events[0].problem == "its code's life ended before a gateway took it"


async def test_the_next_gateway_is_not_asked_when_life_ended_at_the_first() -> None:
    world = World(FakeGateway("one"), FakeGateway("two"))

    async def slow(message: Message) -> str:
        world.clock.advance(200)
        raise GatewayUnavailable("too late")

    world.gateways[0].behaviour = slow
    await put(world.storage, world.ring, "m1", life_s=180)
    await world.worker().deliver_due()
    assert world.gateways[1].asked == []
    assert (await world.row())["state"] == "expired"


async def test_a_retry_is_never_planned_for_after_the_end() -> None:
    world = World(FakeGateway("one", DOWN))
    await put(world.storage, world.ring, "m1", life_s=0.4)
    await world.worker().deliver_due()
    assert await world.waits_s() == pytest.approx(0.4)


# --- order and retries ------------------------------------------------------------------------------------------------


async def test_the_next_gateway_takes_what_the_first_does_not() -> None:
    world = World(FakeGateway("one", DOWN), FakeGateway("two"))
    await put(world.storage, world.ring, "m1")
    await world.worker().deliver_due()
    assert [message.id for message in world.gateways[1].taken] == ["m1"]
    outcomes = [(attempt.gateway, attempt.outcome) for attempt in world.timeline.events[0].attempts]
    assert outcomes == [("one", AttemptOutcome.UNAVAILABLE), ("two", AttemptOutcome.SENT)]


async def test_a_message_waits_longer_after_each_round_that_failed() -> None:
    world = World(FakeGateway("one", DOWN))
    worker = world.worker()
    await put(world.storage, world.ring, "m1")
    waits = []
    for _ in range(7):
        await worker.deliver_due()
        waits.append(await world.waits_s())
        world.clock.advance(waits[-1])
    assert waits == pytest.approx([1, 2, 4, 8, 15, 15, 15])
    assert {event.state for event in world.timeline.events} == {OutboxState.QUEUED}
    assert (await world.row())["sealed"] is not None


async def test_jitter_only_ever_shortens_the_wait() -> None:
    world = World(FakeGateway("one", DOWN))
    worker = OutboxWorker(
        world.storage,
        lambda: world.ring,
        world.clock,
        lambda: world.gateways,
        world.timeline,
        Outages(world.storage, world.clock, "w"),
        keep_text=False,
        holder="w",
        random=lambda: 1.0,
    )
    await put(world.storage, world.ring, "m1")
    await worker.deliver_due()
    assert await world.waits_s() == pytest.approx(0.75)


async def test_a_message_that_is_not_due_is_left_alone() -> None:
    world = World(FakeGateway("one", DOWN))
    worker = world.worker()
    await put(world.storage, world.ring, "m1")
    await worker.deliver_due()
    await worker.deliver_due()
    assert world.gateways[0].asked == ["m1"]


async def test_a_node_whose_clock_is_ahead_sends_no_second_message() -> None:
    """By its clock the claim of the worker that is sending has ended long ago."""
    sending, finish = asyncio.Event(), asyncio.Event()

    async def slow(message: Message) -> str:
        sending.set()
        await finish.wait()
        return "taken"

    world, ahead = World(FakeGateway("one", slow)), World(FakeGateway("other"))
    ahead.storage, ahead.ring = world.storage, world.ring
    await put(world.storage, world.ring, "m1")
    at_work = asyncio.create_task(world.worker("here").deliver_due())
    await sending.wait()
    ahead.clock.advance(100)
    ahead.clock_problem = "the clock of this machine differs from the database's"
    await ahead.worker("there").deliver_due()
    finish.set()
    await at_work
    assert (world.gateways[0].asked, ahead.gateways[0].asked) == (["m1"], [])
    assert (await world.row())["state"] == "sent"


async def test_a_message_fails_when_every_gateway_refused_it() -> None:
    world = World(FakeGateway("one", NO), FakeGateway("two", NO))
    await put(world.storage, world.ring, "m1")
    await world.worker().deliver_due()
    assert [gateway.asked for gateway in world.gateways] == [["m1"], ["m1"]]
    row = await world.row()
    assert (row["state"], row["sealed"], row["answer"]) == ("failed", None, "no such number")
    assert world.timeline.events[0].problem == "every gateway refused it"


async def test_a_gateway_that_refused_for_good_is_not_asked_again_while_another_is_awaited() -> None:
    world = World(FakeGateway("one", NO), FakeGateway("two", DOWN))
    worker = world.worker()
    await put(world.storage, world.ring, "m1")
    await worker.deliver_due()
    assert (await world.row())["state"] == "queued"
    world.gateways[1].behaviour = takes
    world.clock.advance(1)
    await worker.deliver_due()
    assert (await world.row())["state"] == "sent"
    assert world.gateways[0].asked == ["m1"]


async def test_without_a_gateway_for_the_channel_a_message_waits_and_says_why() -> None:
    world = World(FakeGateway("mail", channel=Channel.EMAIL))
    await put(world.storage, world.ring, "m1")
    await world.worker().deliver_due()
    assert (await world.row())["state"] == "queued"
    assert world.timeline.events[0].problem == "no gateway carries sms"
    assert (await world.row())["answer"] == "no gateway carries sms"


async def test_a_gateway_with_a_mistake_in_it_does_not_stop_the_message_or_the_worker() -> None:
    world = World(FakeGateway("one", fails_with(KeyError(f"{CODE} for {NUMBER}"))), FakeGateway("two"))
    await put(world.storage, world.ring, "m1")
    await world.worker().deliver_due()
    assert (await world.row())["state"] == "sent"
    assert world.timeline.events[0].attempts[0].answer == "failed with KeyError"


async def test_a_body_whose_key_is_not_known_yet_waits_for_it_and_is_never_sent_unopened() -> None:
    world = World(FakeGateway("one"))
    late = new_ring()
    await put(world.storage, late, "m1")
    worker = world.worker()
    with capture_logs() as logs:
        await worker.deliver_due()
    assert [entry["event"] for entry in logs] == ["outbox_body_does_not_open"]
    assert (await world.row())["state"] == "queued"
    assert world.timeline.events[0].problem == "its sealed body does not open"
    world.ring = late
    world.clock.advance(1)
    await worker.deliver_due()
    assert world.gateways[0].taken[0].text == TEXT


async def test_a_body_that_never_opens_ends_with_the_life_of_its_code() -> None:
    world = World(FakeGateway("one"))
    await put(world.storage, new_ring(), "m1", life_s=180)
    world.clock.advance(180)
    await world.worker().deliver_due()
    row = await world.row()
    assert (row["state"], row["sealed"]) == ("expired", None)


async def test_an_answer_that_holds_the_code_is_not_kept_even_from_a_careless_gateway() -> None:
    async def echo(message: Message) -> str:
        return f"queued: {message.text} to {message.to}"

    world = World(
        FakeGateway("one", fails_with(GatewayUnavailable(f"could not send {TEXT} to {NUMBER}"))), FakeGateway("two", echo)
    )
    await put(world.storage, world.ring, "m1")
    await world.worker().deliver_due()
    kept = f"{dict(await world.row())} {world.timeline.events}"
    assert CODE not in kept
    assert NUMBER[1:] not in kept


async def test_a_gateway_that_goes_down_and_comes_back_is_told_to_the_operator_once() -> None:
    world = World(FakeGateway("one", fails_with(GatewayUnavailable(f"did not take {CODE}"))))
    worker = world.worker()
    with capture_logs() as logs:
        for number in range(4):
            await put(world.storage, world.ring, f"m{number}", at=world.clock.now())
            await worker.deliver_due()
        world.gateways[0].behaviour = takes
        world.clock.advance(15)
        await worker.deliver_due()
    told = [entry["event"] for entry in logs]
    assert told == ["gateway_down", "gateway_back"]
    assert CODE not in str(logs)


# --- several messages, several workers ----------------------------------------------------------------------------------


async def test_a_gateway_that_hangs_holds_no_other_channel_and_no_other_gateway() -> None:
    world = World(FakeGateway("hangs", hangs), FakeGateway("works"), FakeGateway("mail", channel=Channel.EMAIL))
    worker = world.worker(parallel=4)
    for number in range(12):
        await put(world.storage, world.ring, f"s{number:02}", life_s=3)
        await put(world.storage, world.ring, f"e{number:02}", channel=Channel.EMAIL)
    running = asyncio.create_task(worker.run())
    works, mail = world.gateways[1], world.gateways[2]
    try:
        async with asyncio.timeout(5):
            while len(works.taken) < 10 or len(mail.taken) < 12:
                await asyncio.sleep(0.01)
        assert len(world.gateways[0].asked) == 2, "the hanging one holds its share of the channel and no more"
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_no_more_than_the_bound_is_in_flight() -> None:
    world = World(FakeGateway("one"))
    peak = 0
    in_flight = 0

    async def count(message: Message) -> str:
        nonlocal peak, in_flight
        in_flight += 1
        peak = max(peak, in_flight)
        await asyncio.sleep(0)
        in_flight -= 1
        return "taken"

    world.gateways[0].behaviour = count
    for number in range(20):
        await put(world.storage, world.ring, f"m{number}")
    worker = world.worker(parallel=3)
    while (await world.storage.count("outbox", ())) > len(world.gateways[0].taken):
        await worker.deliver_due()
    assert peak == 3


async def test_two_workers_never_hand_over_the_same_message() -> None:
    world = World(FakeGateway("one"))
    workers = [world.worker("w1"), world.worker("w2")]
    for round_number in range(30):
        for number in range(4):
            await put(world.storage, world.ring, f"m{round_number}-{number}")
        await asyncio.gather(*(worker.deliver_due() for worker in workers))
    taken = [message.id for message in world.gateways[0].taken]
    assert len(taken) == 120
    assert len(set(taken)) == 120


async def test_a_claim_holds_until_its_lease_ends_and_is_then_taken_over_with_the_same_id() -> None:
    world = World(FakeGateway("one", hangs))
    first, second = world.worker("w1"), world.worker("w2")
    await put(world.storage, world.ring, "m1")
    dead = asyncio.create_task(first.deliver_due())
    await world.gateways[0].asked_event.wait()
    dead.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await dead
    assert (await world.row())["state"] == "sending"
    world.gateways[0].behaviour = takes
    await second.deliver_due()
    assert world.gateways[0].taken == []
    world.clock.advance(await world.waits_s())
    await second.deliver_due()
    assert [message.id for message in world.gateways[0].taken] == ["m1"]
    row = await world.row()
    assert (row["state"], row["tries"]) == ("sent", 2)


async def test_a_worker_that_starts_again_takes_up_at_once_what_it_held() -> None:
    world = World(FakeGateway("one"))
    await put(world.storage, world.ring, "m1")
    far = (await world.row())["created_at"] + 60_000  # type: ignore[operator]
    held = {"state": "sending", "claimed_by": "w1", "next_try_at": far, "tries": 1}
    await world.storage.commit([Update("outbox", {"id": "m1"}, held)])
    worker = world.worker("w1")
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(5):
        await world.gateways[0].taken_event.wait()
    assert await worker.drain(5)
    await running
    assert (await world.row())["state"] == "sent"


async def test_a_worker_that_lost_its_claim_writes_nothing() -> None:
    world = World(FakeGateway("one"))

    async def steal(message: Message) -> str:
        await world.storage.commit([Update("outbox", {"id": "m1"}, {"claimed_by": "w2"}, (), {"tries": 1})])
        return "taken"

    world.gateways[0].behaviour = steal
    await put(world.storage, world.ring, "m1")
    with capture_logs() as logs:
        await world.worker("w1").deliver_due()
    row = await world.row()
    assert (row["state"], row["claimed_by"]) == ("sending", "w2")
    assert [entry["event"] for entry in logs] == ["outbox_claim_lost"]


# --- running and ending -------------------------------------------------------------------------------------------------


async def test_a_running_worker_wakes_for_a_new_message_and_drains() -> None:
    world = World(FakeGateway("one"))
    worker = world.worker()
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        await put(world.storage, world.ring, "m1")
        await world.gateways[0].taken_event.wait()
    assert await worker.drain(5)
    await running
    assert (await world.row())["state"] == "sent"


async def test_a_running_worker_tries_again_by_itself() -> None:
    world = World(FakeGateway("one", DOWN))
    worker = OutboxWorker(
        world.storage,
        lambda: world.ring,
        SystemClock(),
        lambda: world.gateways,
        world.timeline,
        Outages(world.storage, world.clock, "w"),
        keep_text=False,
        holder="w",
        random=lambda: 1.0,
    )
    await put(world.storage, world.ring, "m1", at=SystemClock().now())
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(5):
        await world.gateways[0].asked_event.wait()
        world.gateways[0].behaviour = takes
        await world.gateways[0].taken_event.wait()
    assert await worker.drain(5)
    await running
    assert world.gateways[0].asked == ["m1", "m1"]


class CountingStorage(MemoryStorage):
    """Counts how often somebody looks into the outbox."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def find(self, *args: object, **kwargs: object) -> list[Row]:
        """Count and read."""
        self.looks += 1
        return await super().find(*args, **kwargs)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def running(world: World, *holders: str) -> AsyncIterator[None]:
    """Workers on one storage, until the end of the block."""
    workers = [world.worker(holder) for holder in holders]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    for _ in range(20):
        await asyncio.sleep(0)  # until all have looked once
    try:
        async with asyncio.timeout(10):
            yield
    finally:
        for worker in workers:
            assert await worker.drain(5)
        await asyncio.gather(*tasks)


async def test_a_message_is_left_to_the_worker_where_it_was_put_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others would read and race for the claim, each time and on every node."""
    monkeypatch.setattr("wardgate.delivery.worker.LEFT_TO_SENDER_S", 3600)
    storage = CountingStorage()
    world = World(FakeGateway("one"), storage=storage)
    async with running(world, "node.1", "node.0", "other.0"):
        before = storage.looks
        await put(storage, world.ring, "m1", sender="node.0")
        await world.gateways[0].taken_event.wait()
        while (await world.row())["state"] != "sent":
            await asyncio.sleep(0)
        # Two channels when it is told of the message, and two when it has handed it over.
        assert storage.looks - before <= 4
    assert world.gateways[0].asked == ["m1"]


async def test_a_message_whose_worker_is_gone_is_taken_by_one_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.delivery.worker.LEFT_TO_SENDER_S", 0.01)
    monkeypatch.setattr("wardgate.delivery.worker.POLL_S", 3600)
    world = World(FakeGateway("one"))
    async with running(world, "node.1", "other.0"):
        for message_id in ("m1", "m2"):
            world.gateways[0].taken_event.clear()
            await put(world.storage, world.ring, message_id, sender="node.0")
            await world.gateways[0].taken_event.wait()
    assert world.gateways[0].asked == ["m1", "m2"]


async def test_a_message_that_names_no_sender_wakes_everybody_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.delivery.worker.LEFT_TO_SENDER_S", 3600)
    world = World(FakeGateway("one"))
    async with running(world, "node.1"):
        await put(world.storage, world.ring, "m1")
        await world.gateways[0].taken_event.wait()


async def test_draining_gives_up_on_what_hangs_and_leaves_it_claimed() -> None:
    world = World(FakeGateway("one", hangs))
    worker = world.worker()
    await put(world.storage, world.ring, "m1")
    running = asyncio.create_task(worker.run())
    await world.gateways[0].asked_event.wait()
    assert not await worker.drain(0.01)
    await running
    row = await world.row()
    assert (row["state"], row["claimed_by"]) == ("sending", "w1")


async def test_draining_a_worker_that_never_ran_ends_at_once() -> None:
    assert await World().worker().drain(0.1)


# --- a storage in trouble ---------------------------------------------------------------------------------------------


class TroubledStorage(MemoryStorage):
    """Cannot write (or read) as often as it is told, from the moment it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.failing_commits = 0
        self.failing_finds = 0

    async def commit(self, operations: Sequence[Operation]) -> Commit:
        """Write, or not."""
        if self.failing_commits:
            self.failing_commits -= 1
            raise StorageUnavailable("the disk is full")
        return await super().commit(operations)

    async def find(self, *args: object, **kwargs: object) -> list[Row]:
        """Read, or not."""
        if self.failing_finds:
            self.failing_finds -= 1
            raise Overloaded("too much")
        return await super().find(*args, **kwargs)  # type: ignore[arg-type]


@pytest.fixture
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.delivery.worker.TROUBLE_PAUSE_S", 0.01)


@pytest.mark.usefixtures("_no_pause")
async def test_a_message_is_not_sent_while_its_claim_cannot_be_written() -> None:
    storage = TroubledStorage()
    world = World(FakeGateway("one"), storage=storage)
    await put(storage, world.ring, "m1")
    storage.failing_commits = 1
    with capture_logs() as logs:
        await world.worker().deliver_due()
    assert world.gateways[0].asked == []
    assert [entry["event"] for entry in logs] == ["outbox_not_written"]


@pytest.mark.usefixtures("_no_pause")
async def test_a_message_that_was_sent_is_not_sent_again_when_recording_it_takes_a_while() -> None:
    storage = TroubledStorage()
    world = World(FakeGateway("one"), storage=storage)

    async def take_and_fill_the_disk(message: Message) -> str:
        storage.failing_commits = 5
        return "taken"

    world.gateways[0].behaviour = take_and_fill_the_disk
    await put(storage, world.ring, "m1")
    await world.worker().deliver_due()
    assert (await world.row())["state"] == "sent"
    assert world.gateways[0].asked == ["m1"]


async def test_an_outbox_that_cannot_be_read_for_long_is_told_once_and_so_is_its_return() -> None:
    storage = TroubledStorage()
    world = World(FakeGateway("one"), storage=storage)
    worker = world.worker()
    with capture_logs() as logs:
        for storage.failing_finds in (1, 1, 1, 0, 0, 1, 0):
            await worker.deliver_due()
    assert [entry["event"] for entry in logs] == ["outbox_not_read", "outbox_read_again"] * 2


@pytest.mark.usefixtures("_no_pause")
async def test_a_worker_outlives_a_storage_that_cannot_be_read() -> None:
    storage = TroubledStorage()
    world = World(FakeGateway("one"), storage=storage)
    await put(storage, world.ring, "m1")
    storage.failing_finds = 4
    worker = world.worker()
    with capture_logs():
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(5):
            await world.gateways[0].taken_event.wait()
        assert await worker.drain(5)
        await running
