"""The whole node, seen from any of its workers: the metrics of all, and what keeps any of them from serving."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from wardgate import metrics
from wardgate.clock import Clock
from wardgate.errors import SettingsError
from wardgate.metrics import Metrics, Snapshot, expose, read_snapshot
from wardgate.watch.siblings import Told, WorkerSocket, ask_siblings

# The supervisor puts a new worker in the place of a dead one sooner than this; its packets wait in the socket meanwhile.
MISSING_GRACE_S: Final = 5.0
MAX_PROBLEMS: Final = 20
VITALS: Final = "vitals"
TROUBLES: Final = "problems"

log = structlog.get_logger("wardgate.node")


@dataclass(frozen=True, slots=True)
class WorkerVitals:
    """What one worker told of itself."""

    slot: int
    pid: int
    problems: tuple[str, ...]
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class NodeVitals:
    """What the workers of a node told, in the order of their slots, and the slots that did not answer."""

    workers: tuple[WorkerVitals, ...]
    missing: tuple[int, ...]


class Node:
    """One per worker, which is `slot` of `workers`. `problems`: what keeps this worker from serving logins, as sentences.

    `data`: the data directory, where the workers find each other. One worker, or none named, asks nobody.
    """

    def __init__(
        self,
        counted: Metrics,
        problems: Callable[[], Sequence[str]],
        clock: Clock,
        *,
        slot: int = 0,
        workers: int = 1,
        name: str = "",
        data: Path | None = None,
    ) -> None:
        self.name = name
        self.slot = slot
        self._metrics = counted
        self._problems = problems
        self._clock = clock
        self._workers = workers
        self._data = data
        self._missing_since: dict[int, float] = {}
        self._socket: WorkerSocket | None = None

    async def start(self) -> None:
        """Begin to answer the siblings. A worker that cannot is missing in their pictures, and serves logins all the same."""
        if self._data is None or self._workers < 2:
            return
        try:
            answering = WorkerSocket(self._data, self.slot, {VITALS: self._own_vitals, TROUBLES: self._own_problems})
            await answering.start()
            self._socket = answering
        except SettingsError as error:
            log.warning("siblings_cannot_ask", slot=self.slot, error=error.message)

    async def stop(self) -> None:
        """Answer no more."""
        if self._socket is not None:
            await self._socket.stop()

    async def vitals(self) -> NodeVitals:
        """What every worker tells of itself now."""
        told = await self._ask(VITALS)
        own = WorkerVitals(self.slot, os.getpid(), tuple(self._problems()), self._metrics.snapshot())
        workers = [own, *(_vitals(slot, answer) for slot, answer in told.answers.items())]
        return NodeVitals(tuple(sorted(workers, key=lambda each: each.slot)), told.missing)

    async def exposition(self) -> bytes:
        """The text that a scraper reads: every worker under its label, and what all share without one."""
        vitals = await self.vitals()
        shared = {
            **self._metrics.snapshot(),
            metrics.WORKERS.name: [[[], self._workers]],
            metrics.WORKERS_MISSING.name: [[[], len(vitals.missing)]],
        }
        return expose({str(each.slot): each.snapshot for each in vitals.workers}, shared)

    async def problems(self) -> list[str]:
        """What keeps the node from serving all logins: of several workers each problem once, with those that have it."""
        told = await self._ask(TROUBLES)
        having: dict[str, list[int]] = {}
        for problem in self._problems():
            having.setdefault(problem, []).append(self.slot)
        for slot, answer in told.answers.items():
            for problem in _texts(answer.get("problems")):
                having.setdefault(problem, []).append(slot)
        found = [self._named(problem, slots) for problem, slots in having.items()]
        return [*found, *self._long_missing(told.missing)]

    def _named(self, problem: str, slots: Sequence[int]) -> str:
        if len(slots) == self._workers:
            return problem
        return f"worker {', '.join(map(str, sorted(slots)))}: {problem}"

    def _long_missing(self, missing: Sequence[int]) -> list[str]:
        now = self._clock.monotonic()
        self._missing_since = {slot: self._missing_since.get(slot, now) for slot in missing}
        return [
            f"worker {slot} has not answered for {now - since:.0f} s"
            for slot, since in sorted(self._missing_since.items())
            if now - since >= MISSING_GRACE_S
        ]

    async def _ask(self, question: str) -> Told:
        if self._data is None or self._workers < 2:
            return Told({}, ())
        return await ask_siblings(self._data, (slot for slot in range(self._workers) if slot != self.slot), question)

    def _own_vitals(self) -> Mapping[str, object]:
        return {**self._own_problems(), "pid": os.getpid(), "metrics": self._metrics.snapshot()}

    def _own_problems(self) -> Mapping[str, object]:
        return {"problems": [*self._problems()][:MAX_PROBLEMS]}


def _vitals(slot: int, answer: Mapping[str, Any]) -> WorkerVitals:
    pid = answer.get("pid")
    return WorkerVitals(
        slot, pid if isinstance(pid, int) else 0, tuple(_texts(answer.get("problems"))), read_snapshot(answer.get("metrics"))
    )


def _texts(told: object) -> list[str]:
    return [each for each in told if isinstance(each, str)][:MAX_PROBLEMS] if isinstance(told, list) else []
