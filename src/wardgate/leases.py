"""Who does a scheduled job: of all workers of all nodes, the one that holds the job's lease row.

A lease is taken and kept by a conditional write and ends by itself when its holder dies. It keeps work from being done twice for
nothing; it is no lock. A holder that was cut off may still be at work for a moment when the next one begins, and clocks of nodes
differ: so every job is one that may run twice at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from wardgate.clock import Clock, to_ms
from wardgate.errors import WardgateError
from wardgate.storage.port import Committed, Modified, Modify, Row, Storage, Value

TABLE = "lease"
LIFE_S = 30.0
KEPT_EVERY_S = 10.0
# A lease that ends later than any can was written by a clock that was wrong: it keeps nobody from the work.
CLOCK_STEP_MS = 60_000

log = structlog.get_logger("wardgate.leases")


@dataclass(frozen=True, slots=True)
class Job:
    """Work that one worker does for all, every so many seconds; `at_once`: also as soon as it holds the lease.

    It may run twice at once and be cut short anywhere.
    """

    name: str
    every_s: float
    work: Callable[[], Awaitable[object]]
    at_once: bool = False


class Leases:
    """Takes leases for one worker. `holder` is unique among all that run."""

    def __init__(self, storage: Storage, clock: Clock, holder: str) -> None:
        self._storage = storage
        self._clock = clock
        self._holder = holder

    async def take(self, name: str, life_s: float = LIFE_S) -> bool:
        """Take the lease, or keep it for longer; whether it is ours. Raises StorageUnavailable."""
        now_ms = to_ms(self._clock.now())
        arguments: Row = {
            "holder": self._holder,
            "now": now_ms,
            "until": now_ms + int(life_s * 1000),
            "latest": now_ms + int(life_s * 1000) + CLOCK_STEP_MS,
        }
        commit = await self._storage.commit([Modify(TABLE, {"name": name}, take_lease, arguments)])
        return isinstance(commit, Committed) and bool(commit.results[0])

    async def release(self, name: str) -> None:
        """Let the next one begin at once, if the lease is ours."""
        arguments: Row = {"holder": self._holder}
        await self._storage.commit([Modify(TABLE, {"name": name}, release_lease, arguments)])


def take_lease(old: Row | None, arguments: dict[str, Value] | Row) -> Modified:
    """The lease in the asker's hands, unless another one holds it. Result: whether it is the asker's."""
    holder, now = arguments["holder"], _number(arguments["now"])
    if old is not None and old["holder"] != holder and now < _number(old["held_until"]) <= _number(arguments["latest"]):
        return Modified(None, False)
    return Modified({"holder": holder, "held_until": arguments["until"]}, True)


def release_lease(old: Row | None, arguments: dict[str, Value] | Row) -> Modified:
    """The lease with nobody, if it was the asker's."""
    if old is None or old["holder"] != arguments["holder"]:
        return Modified(None)
    return Modified({"holder": old["holder"], "held_until": 0})


def _number(value: Value) -> int:
    return value if isinstance(value, int) else 0


class Scheduler:
    """Runs jobs whose lease this worker holds, until cancelled. `holds` says which those are now."""

    def __init__(
        self, leases: Leases, jobs: Sequence[Job], clock: Clock, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._leases = leases
        self._jobs = jobs
        self._clock = clock
        self._pause = pause
        self.holds: set[str] = set()

    async def run(self) -> None:
        """Look after every job until cancelled; then let go of what is held."""
        try:
            async with asyncio.TaskGroup() as group:
                for job in self._jobs:
                    group.create_task(self._look_after(job), name=f"job {job.name}")
        finally:
            for name in tuple(self.holds):
                await self._let_go(name)

    async def _look_after(self, job: Job) -> None:
        """Keep the lease, and begin the work when it is due; the work ends when the lease is lost."""
        due = self._clock.monotonic() + (0 if job.at_once else job.every_s)
        work: asyncio.Task[None] | None = None
        try:
            while True:
                await self._pause(min(KEPT_EVERY_S, job.every_s))
                if not await self._keep(job.name):
                    # Whoever holds it now does the work in his own time.
                    due = self._clock.monotonic() + job.every_s
                    if work is not None:
                        work.cancel()
                        work = None
                    continue
                if self._clock.monotonic() >= due and (work is None or work.done()):
                    due = self._clock.monotonic() + job.every_s
                    work = asyncio.create_task(self._do(job), name=f"work of {job.name}")
        finally:
            if work is not None:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)

    async def _keep(self, name: str) -> bool:
        try:
            ours = await self._leases.take(name)
        except WardgateError as error:
            log.warning("lease_not_kept", job=name, error=error.message)
            ours = False
        if ours != (name in self.holds):
            log.info("job_taken_over" if ours else "job_left_to_another", job=name)
            self.holds ^= {name}
        return ours

    async def _do(self, job: Job) -> None:
        try:
            await job.work()
        except WardgateError as error:
            log.warning("job_failed", job=job.name, error=error.message)
        except Exception as error:
            # It is tried again in its time; the other jobs go on.
            log.error("job_broke", job=job.name, error=type(error).__name__, exc_info=error)

    async def _let_go(self, name: str) -> None:
        self.holds.discard(name)
        try:
            await self._leases.release(name)
        except WardgateError as error:
            log.debug("lease_not_released", job=name, error=error.message)
