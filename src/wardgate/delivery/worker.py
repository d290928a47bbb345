"""The outbox worker: claims messages that are due and hands each to its channel's gateways until one takes it.

A claim is one conditional write that also says until when it holds (`next_try_at`), so that of several workers one sends, and
so that what a worker held when it died becomes due again, with the same id. Nothing is sent after a message's life.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from secrets import SystemRandom

import structlog

from wardgate.clock import Clock, to_ms
from wardgate.crypto import KeyRing
from wardgate.delivery.breaker import Lanes
from wardgate.delivery.outage import Outages
from wardgate.delivery.outbox import LIVE, TABLE, TOPIC, OutboxState, in_states, number, open_body, sender_of, text
from wardgate.delivery.port import Channel, Gateway, Message
from wardgate.delivery.scrub import scrub
from wardgate.errors import GatewayRefused, GatewayUnavailable, SealError, UnavailableError
from wardgate.storage.port import Committed, Operation, Row, Storage, Update, Value, Where

log = structlog.get_logger(__name__)

# One claim: all gateways are asked once within it.
ROUND_S = 30.0
# What a claim outlives its round by: the time to record how it went.
RECORD_S = 10.0
# Less is not worth beginning.
MIN_TRY_S = 0.05
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 15.0
# The backstop: announcements wake the worker long before.
POLL_S = 5.0
TROUBLE_PAUSE_S = 1.0
# How long a message is left to the worker in whose process it was put in, by those who could send it too. Each waits up to twice
# as long, by chance: when that worker has died or is full, one of them is first.
LEFT_TO_SENDER_S = 0.2
TAKEN_BACK_AT_ONCE = 500
MAX_REFUSALS_KEPT = 10_000
_TOO_LATE = "its code's life ended before a gateway took it"


class AttemptOutcome(StrEnum):
    """What came of asking one gateway once."""

    SENT = "sent"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One gateway, asked once. `answer`: what it said or what was wrong, without secrets, codes or addresses."""

    gateway: str
    outcome: AttemptOutcome
    answer: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """What happened to a message in one round, for the timeline.

    `state`: sent, failed, expired, or queued when it will be tried again. `problem`: the plain reason when it was not sent.
    `age_ms`: since it was put in.
    """

    message_id: str
    transaction_id: str
    reference: str
    subject_id: str
    user_name: str
    application: str
    channel: Channel
    state: OutboxState
    tries: int
    attempts: tuple[Attempt, ...]
    problem: str
    age_ms: int
    at_ms: int


OnEvent = Callable[[OutboxEvent], Sequence[Operation]]


@dataclass(frozen=True, slots=True)
class _Claim:
    """A message that is ours until `lease_ends` on the monotonic clock. `tries` counts this one."""

    row: Row
    channel: Channel
    tries: int
    round_ends: float
    lease_ends: float


@dataclass(frozen=True, slots=True)
class _Round:
    """How a round ended: the message's next state, who was asked, and the plain reason when it was not sent."""

    state: OutboxState
    attempts: tuple[Attempt, ...] = ()
    problem: str = ""


class OutboxWorker:
    """Hands messages over, several at once for each channel.

    `holder` names this worker; it must be unique among those that run, and should be the same after a restart, so that what
    it held when it died is taken up at once. `gateways` gives the present configuration, in order. `on_event` is pure and
    returns operations (a timeline row, say) that are committed together with what they tell of. `outages`: what other workers are
    told of channels that are down. `parallel` bounds the messages of one channel that are in flight. `clock_problem`: why this
    machine's clock cannot be trusted now: to one that is ahead, what another worker is sending at this moment would look abandoned,
    and would be sent twice.
    """

    def __init__(
        self,
        storage: Storage,
        ring: Callable[[], KeyRing],
        clock: Clock,
        gateways: Callable[[], Sequence[Gateway]],
        on_event: OnEvent,
        outages: Outages,
        *,
        keep_text: bool,
        holder: str,
        parallel: int = 16,
        random: Callable[[], float] = SystemRandom().random,
        clock_problem: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._storage = storage
        self._ring = ring
        self._clock = clock
        self._gateways = gateways
        self._on_event = on_event
        self._outages = outages
        self._keep_text = keep_text
        self._holder = holder
        self._parallel = parallel
        self._random = random
        self._clock_problem = clock_problem
        self._lanes = Lanes(clock.monotonic, parallel)
        self._tasks: dict[Channel, dict[str, asyncio.Task[None]]] = {channel: {} for channel in Channel}
        # Gateways that said "never this message", by message; forgotten when it ends.
        self._refused_by: dict[str, frozenset[str]] = {}
        self._wake = asyncio.Event()
        self._wake_later: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._ended.set()
        self._stopping = False
        self._unread = False

    async def run(self) -> None:
        """Work until drained or cancelled."""
        self._ended.clear()
        unsubscribe = self._storage.subscribe(TOPIC, self._announced)
        try:
            await self._take_back()
            async with asyncio.TaskGroup() as group:
                while not self._stopping:
                    self._wake.clear()
                    pause_s = await self._start_due(group)
                    await self._sleep(pause_s)
        finally:
            unsubscribe()
            if self._wake_later is not None:
                self._wake_later.cancel()
            self._ended.set()

    def is_down(self, channel: Channel) -> bool:
        """Whether every gateway of a channel is down, as far as this worker has asked them."""
        return self._lanes.all_failed(self._carriers(channel))

    def _carriers(self, channel: Channel) -> list[Gateway]:
        return [gateway for gateway in self._gateways() if gateway.channel is channel]

    def _announced(self, key: str) -> None:
        """A message was put in: of all that hear it, the worker that it names looks at once, so that normally one reads and claims.

        One that names nobody is everybody's.
        """
        if sender_of(key) in ("", self._holder):
            self._wake.set()
        elif self._wake_later is None:
            pause_s = LEFT_TO_SENDER_S * (1 + self._random())
            self._wake_later = asyncio.get_running_loop().call_later(pause_s, self._look_after_others)

    def _look_after_others(self) -> None:
        self._wake_later = None
        self._wake.set()

    async def deliver_due(self) -> None:
        """Hand over what is due now, once, and wait until that is done."""
        async with asyncio.TaskGroup() as group:
            await self._start_due(group)

    async def drain(self, timeout_s: float) -> bool:
        """Begin nothing new and wait for what is in flight; whether all of it ended in time.

        What did not is cancelled: it stays claimed, and is sent again, with the same id, when the claim ends or this worker
        starts again.
        """
        self._stopping = True
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
        except TimeoutError:
            for tasks in self._tasks.values():
                for task in tasks.values():
                    task.cancel()
            await self._ended.wait()
            return False
        return True

    # --- finding what is due ---

    async def _start_due(self, group: asyncio.TaskGroup) -> float:
        """Start a task for each message that is due, as far as its channel has room; seconds until there may be more."""
        pause_s = POLL_S
        if self._clock_problem() is not None:
            return TROUBLE_PAUSE_S
        try:
            for channel in Channel:
                pause_s = min(pause_s, await self._start_channel(group, channel))
        except UnavailableError as error:
            # Once for each time that it is gone: a night without a database is no line a second of every worker.
            if not self._unread:
                log.warning("outbox_not_read", code=error.code, problem=error.message)
            self._unread = True
            return TROUBLE_PAUSE_S
        if self._unread:
            log.info("outbox_read_again")
        self._unread = False
        return pause_s

    async def _start_channel(self, group: asyncio.TaskGroup, channel: Channel) -> float:
        running = self._tasks[channel]
        room = self._parallel - len(running)
        if room <= 0:
            return POLL_S
        where = (in_states(LIVE), Where("channel", "=", channel.value))
        rows = await self._storage.find(TABLE, where, order_by="next_try_at", limit=room + len(running))
        now_ms = self._now_ms()
        for row in [row for row in rows if row["id"] not in running][:room]:
            due_in_ms = number(row, "next_try_at") - now_ms
            if due_in_ms > 0:
                return due_in_ms / 1000
            self._start(group, channel, row)
        return POLL_S

    def _start(self, group: asyncio.TaskGroup, channel: Channel, row: Row) -> None:
        running, message_id = self._tasks[channel], text(row, "id")

        def done(task: asyncio.Task[None]) -> None:
            running.pop(message_id, None)
            self._wake.set()

        running[message_id] = group.create_task(self._serve(channel, row))
        running[message_id].add_done_callback(done)

    async def _sleep(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _take_back(self) -> None:
        """Make due at once what a former life of this worker had claimed."""
        try:
            where = (Where("state", "=", OutboxState.SENDING.value), Where("claimed_by", "=", self._holder))
            for row in await self._storage.find(TABLE, where, limit=TAKEN_BACK_AT_ONCE):
                still = (*where, Where("tries", "=", number(row, "tries")))
                await self._storage.commit([Update(TABLE, {"id": row["id"]}, {"next_try_at": self._now_ms()}, still)])
        except UnavailableError as error:
            log.warning("outbox_not_taken_back", code=error.code, problem=error.message)

    # --- one message ---

    async def _serve(self, channel: Channel, row: Row) -> None:
        """Deliver one message. Whatever goes wrong with it must not stop the others; its claim ends by itself."""
        try:
            await self._deliver(channel, row)
        except UnavailableError as error:
            log.warning("outbox_not_written", message=row["id"], reference=row["reference"], code=error.code, problem=error.message)
            await asyncio.sleep(TROUBLE_PAUSE_S)
        except Exception as error:  # noqa: BLE001
            # Only the type: the words of a foreign exception may hold what was sent.
            log.error("outbox_message_failed", message=row["id"], reference=row["reference"], error=type(error).__name__)
            await asyncio.sleep(TROUBLE_PAUSE_S)

    async def _deliver(self, channel: Channel, row: Row) -> None:
        claim = await self._claim(channel, row)
        if claim is None:
            return
        if self._life_s(row) <= 0:
            await self._settle(claim, _Round(OutboxState.EXPIRED, problem=_TOO_LATE))
            return
        message = self._message(claim)
        if message is None:
            # Not the end of it: this worker may have yet to hear of a new data key.
            await self._settle(claim, _Round(OutboxState.QUEUED, problem="its sealed body does not open"))
            return
        await self._settle(claim, await self._round(claim, message))

    async def _claim(self, channel: Channel, row: Row) -> _Claim | None:
        """Make the message ours, or None when another worker was faster."""
        round_s = min(ROUND_S, max(0.0, self._life_s(row)))
        began, lease_s = self._clock.monotonic(), round_s + RECORD_S
        changes: dict[str, Value] = {
            "state": OutboxState.SENDING.value,
            "claimed_by": self._holder,
            "next_try_at": self._now_ms() + int(lease_s * 1000),
        }
        unchanged = (
            in_states(LIVE),
            Where("next_try_at", "=", row["next_try_at"]),
            Where("tries", "=", row["tries"]),
        )
        outcome = await self._storage.commit([Update(TABLE, {"id": row["id"]}, changes, unchanged, {"tries": 1})])
        if not isinstance(outcome, Committed):
            return None
        return _Claim(row, channel, number(row, "tries") + 1, began + round_s, began + lease_s)

    def _message(self, claim: _Claim) -> Message | None:
        message_id, sealed = text(claim.row, "id"), claim.row["sealed"]
        try:
            if not isinstance(sealed, bytes):
                raise SealError("the body was erased")
            body = open_body(self._ring(), message_id, sealed)
        except SealError as error:
            log.error("outbox_body_does_not_open", message=message_id, reference=claim.row["reference"], problem=error.message)
            return None
        return Message(message_id, claim.channel, body.to, body.text, body.subject)

    async def _round(self, claim: _Claim, message: Message) -> _Round:
        """Ask the channel's gateways, each once at most, until one takes the message or the time is over."""
        carriers = self._carriers(claim.channel)
        refused_by = self._refused_by.get(message.id, frozenset())
        left = [gateway for gateway in carriers if gateway.name not in refused_by]
        attempts: list[Attempt] = []
        while left:
            time_s = min(claim.round_ends - self._clock.monotonic(), self._life_s(claim.row))
            if time_s < MIN_TRY_S:
                break
            gateway = self._lanes.choose(left)
            attempt = await self._try(gateway, message, time_s / len(left))
            left.remove(gateway)
            attempts.append(attempt)
            if attempt.outcome is AttemptOutcome.SENT:
                return _Round(OutboxState.SENT, tuple(attempts))
            if attempt.outcome is AttemptOutcome.REFUSED:
                refused_by = refused_by | {gateway.name}
                self._remember_refusals(message.id, refused_by)
        if carriers and all(gateway.name in refused_by for gateway in carriers):
            return _Round(OutboxState.FAILED, tuple(attempts), "every gateway refused it")
        if self._life_s(claim.row) <= 0:
            return _Round(OutboxState.EXPIRED, tuple(attempts), _TOO_LATE)
        problem = "no gateway took it yet" if carriers else f"no gateway carries {claim.channel.value}"
        return _Round(OutboxState.QUEUED, tuple(attempts), problem)

    def _remember_refusals(self, message_id: str, refused_by: frozenset[str]) -> None:
        """Bounded: a message that ends at another worker is never forgotten here."""
        self._refused_by[message_id] = refused_by
        while len(self._refused_by) > MAX_REFUSALS_KEPT:
            del self._refused_by[next(iter(self._refused_by))]

    async def _try(self, gateway: Gateway, message: Message, limit_s: float) -> Attempt:
        lane, began = self._lanes.of(gateway), self._clock.monotonic()
        ticket = id(asyncio.current_task())
        lane.in_flight[ticket] = began
        try:
            outcome, answer = await _ask(gateway, message, limit_s)
        finally:
            del lane.in_flight[ticket]
        was_open = lane.is_open
        if outcome is AttemptOutcome.UNAVAILABLE:
            lane.failed(self._clock.monotonic(), message.to)
        else:
            lane.succeeded()
        answer = scrub(answer, message)
        if lane.is_open and not was_open:
            log.warning("gateway_down", gateway=gateway.name, problem=answer)
        elif was_open and not lane.is_open:
            log.info("gateway_back", gateway=gateway.name)
        return Attempt(gateway.name, outcome, answer, int((self._clock.monotonic() - began) * 1000))

    # --- recording how it went ---

    async def _settle(self, claim: _Claim, ended: _Round) -> None:
        """Write how a round ended, together with what `on_event` wants written, while the claim is still ours."""
        message_id, now_ms = text(claim.row, "id"), self._now_ms()
        if ended.state is not OutboxState.QUEUED:
            self._refused_by.pop(message_id, None)
        ours = (
            Where("state", "=", OutboxState.SENDING.value),
            Where("claimed_by", "=", self._holder),
            Where("tries", "=", claim.tries),
        )
        update = Update(TABLE, {"id": message_id}, self._changes(claim, ended, now_ms), ours)
        operations = [update, *self._on_event(_event(claim, ended, now_ms)), *self._note(claim.channel, ended)]
        while True:
            try:
                outcome = await self._storage.commit(operations)
            except UnavailableError:
                # It was perhaps sent: rather wait for the database than send it again.
                if self._clock.monotonic() + TROUBLE_PAUSE_S >= claim.lease_ends:
                    raise
                await asyncio.sleep(TROUBLE_PAUSE_S)
                continue
            if not isinstance(outcome, Committed):
                log.warning("outbox_claim_lost", message=message_id, reference=claim.row["reference"], state=ended.state.value)
            return

    def _note(self, channel: Channel, ended: _Round) -> tuple[Operation, ...]:
        """What the other workers are told of this channel by how a round ended; mostly nothing."""
        if any(attempt.outcome is not AttemptOutcome.UNAVAILABLE for attempt in ended.attempts):
            return self._outages.worked(channel)
        down_s = self._lanes.down_for_s(self._carriers(channel))
        return self._outages.noted(channel, down_s) if down_s > 0 else ()

    def _changes(self, claim: _Claim, ended: _Round, now_ms: int) -> dict[str, Value]:
        changes: dict[str, Value] = {
            "state": ended.state.value,
            "claimed_by": None,
            "next_try_at": now_ms,
            "answer": ended.problem,
        }
        if ended.attempts:
            changes |= {"gateway": ended.attempts[-1].gateway, "answer": ended.attempts[-1].answer}
        if ended.state is OutboxState.SENT:
            changes["sent_at"] = now_ms
        if ended.state is OutboxState.QUEUED:
            again_ms = now_ms + int(self._backoff_s(claim.tries) * 1000)
            changes["next_try_at"] = min(again_ms, number(claim.row, "expires_at"))
        elif not self._keep_text:
            changes["sealed"] = None
        return changes

    def _backoff_s(self, tries: int) -> float:
        """1 s, 2 s, 4 s ... at most 15 s, each up to a quarter shorter, so that messages that failed together spread out."""
        full = min(FIRST_BACKOFF_S * 2.0 ** min(tries - 1, 10), LONGEST_BACKOFF_S)
        return full * (1 - self._random() / 4)

    def _life_s(self, row: Row) -> float:
        return (number(row, "expires_at") - self._now_ms()) / 1000

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())


async def _ask(gateway: Gateway, message: Message, limit_s: float) -> tuple[AttemptOutcome, str]:
    try:
        async with asyncio.timeout(limit_s):
            receipt = await gateway.send(message, limit_s)
    except GatewayRefused as error:
        return AttemptOutcome.REFUSED, error.message
    except GatewayUnavailable as error:
        return AttemptOutcome.UNAVAILABLE, error.message
    except TimeoutError:
        return AttemptOutcome.UNAVAILABLE, "did not answer in time"
    except Exception as error:  # noqa: BLE001
        # A gateway's mistake is the gateway's: the next one is asked. Only the type, its words may hold what was sent.
        return AttemptOutcome.UNAVAILABLE, f"failed with {type(error).__name__}"
    return AttemptOutcome.SENT, receipt.answer


def _event(claim: _Claim, ended: _Round, now_ms: int) -> OutboxEvent:
    row = claim.row
    return OutboxEvent(
        message_id=text(row, "id"),
        transaction_id=text(row, "transaction_id"),
        reference=text(row, "reference"),
        subject_id=text(row, "subject_id"),
        user_name=text(row, "user_name"),
        application=text(row, "application"),
        channel=claim.channel,
        state=ended.state,
        tries=claim.tries,
        attempts=ended.attempts,
        problem=ended.problem,
        age_ms=now_ms - number(row, "created_at"),
        at_ms=now_ms,
    )
