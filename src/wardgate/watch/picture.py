"""The live picture of an installation as one worker can tell it: its node's workers, and what the database knows of all nodes."""

import asyncio
import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wardgate import __version__
from wardgate.clock import Clock, from_ms, to_ms
from wardgate.delivery.outage import is_note
from wardgate.delivery.outbox import TABLE as OUTBOX
from wardgate.delivery.outbox import OutboxState
from wardgate.errors import WardgateError
from wardgate.leases import TABLE as LEASE
from wardgate.storage.port import Reader, Row, Where
from wardgate.watch.node import Node

DATABASE_TIMEOUT_S: Final = 1.0
COUNT_KEPT_S: Final = 5.0
MAX_REFUSALS: Final = 20
MAX_INCIDENTS: Final = 10
MAX_JOBS: Final = 50
# The newest refusals are looked for among so many requests: a log without any is not read to its end.
_SCANNED: Final = 100
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class OutboxFigures:
    """How the outbox stands: messages by state, and how long the oldest that is due has waited."""

    states: Mapping[str, int]
    oldest_due_s: float


class OutboxWatch:
    """How the outbox stands. Counting reads a whole index, so those who ask often share what was counted a moment ago."""

    def __init__(self, storage: Reader, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._counted_at = float("-inf")
        self._figures = OutboxFigures({}, 0.0)

    async def figures(self) -> OutboxFigures:
        """The figures, at most a few seconds old. Raises StorageUnavailable, Overloaded."""
        if self._clock.monotonic() - self._counted_at >= COUNT_KEPT_S:
            self._figures = await self._count(to_ms(self._clock.now()))
            self._counted_at = self._clock.monotonic()
        return self._figures

    async def _count(self, now_ms: int) -> OutboxFigures:
        states = {state.value: await self._storage.count(OUTBOX, [Where("state", "=", state.value)]) for state in OutboxState}
        queued = [Where("state", "=", OutboxState.QUEUED.value), Where("next_try_at", "<=", now_ms)]
        oldest = await self._storage.find(OUTBOX, queued, order_by="next_try_at", limit=1)
        since = oldest[0]["next_try_at"] if oldest else now_ms
        return OutboxFigures(states, max(0, now_ms - int(since or 0)) / 1000)


class Picture:
    """Takes pictures for `wardgate top`. `database`: what kind it is, as people call it."""

    def __init__(self, node: Node, storage: Reader, clock: Clock, database: str) -> None:
        self._node = node
        self._storage = storage
        self._clock = clock
        self._database = database
        self._outbox = OutboxWatch(storage, clock)

    async def take(self) -> dict[str, Any]:
        """The present picture, as JSON values. A database that does not answer is part of it."""
        vitals = await self._node.vitals()
        began = self._clock.monotonic()
        known, problem = await _in_time(self._known())
        return {
            "at": self._clock.now().isoformat(timespec="milliseconds"),
            "taken_s": self._clock.monotonic(),
            "node": self._node.name,
            "version": __version__,
            "workers": [
                {"slot": each.slot, "pid": each.pid, "problems": list(each.problems), "metrics": each.snapshot}
                for each in vitals.workers
            ],
            "missing": list(vitals.missing),
            "database": {
                "kind": self._database,
                "problem": problem,
                "answered_ms": round((self._clock.monotonic() - began) * 1000, 2),
            },
            **known,
        }

    async def _known(self) -> dict[str, Any]:
        now_ms = to_ms(self._clock.now())
        outbox = await self._outbox.figures()
        leases = [row for row in await self._storage.find(LEASE, order_by="name", limit=MAX_JOBS) if not is_note(row)]
        newest = await self._storage.find("timeline", order_by="id", descending=True, limit=_SCANNED)
        recent = [Where("last_at", ">", now_ms - 24 * _HOUR_MS)]
        incidents = await self._storage.find("incident", recent, order_by="last_at", descending=True, limit=MAX_INCIDENTS)
        return {
            "outbox": {"states": dict(outbox.states), "oldest_due_s": outbox.oldest_due_s},
            "jobs": [_job(row, now_ms) for row in leases],
            "refusals": _refusals(newest),
            "incidents": [_incident(row) for row in incidents],
        }


_UNKNOWN: Mapping[str, Any] = {"outbox": {"states": {}, "oldest_due_s": 0.0}, "jobs": [], "refusals": [], "incidents": []}


async def _in_time(work: Awaitable[dict[str, Any]]) -> tuple[Mapping[str, Any], str]:
    """What the work tells and no problem, or nothing and what went wrong."""
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT_S):
            return await work, ""
    except TimeoutError:
        return _UNKNOWN, f"it did not answer within {DATABASE_TIMEOUT_S:.0f} s"
    except WardgateError as error:
        return _UNKNOWN, error.message


def _job(row: Row, now_ms: int) -> dict[str, Any]:
    ends_in_s = (int(row["held_until"] or 0) - now_ms) / 1000
    return {"job": str(row["name"]), "holder": str(row["holder"]) if ends_in_s > 0 else "", "ends_in_s": max(0.0, ends_in_s)}


def _refusals(newest: Sequence[Row]) -> list[dict[str, Any]]:
    refused = [row for row in newest if row["result"] == "denied"]
    return [_refusal(row) for row in refused[:MAX_REFUSALS]]


def _refusal(row: Row) -> dict[str, Any]:
    body = _object(row["body"])
    return {
        "at": from_ms(int(row["created_at"] or 0)).isoformat(timespec="milliseconds"),
        "reference": str(row["reference"]),
        "door": str(row["door"]),
        **{name: str(body.get(name, "")) for name in ("user", "application", "nas", "client", "reason")},
    }


def _incident(row: Row) -> dict[str, Any]:
    return {
        "kind": str(row["kind"]),
        "source": str(row["source"]),
        "nas": str(row["nas"] or ""),
        "count": int(row["count"] or 0),
        "last_at": from_ms(int(row["last_at"] or 0)).isoformat(timespec="milliseconds"),
    }


def _object(text: object) -> Mapping[str, Any]:
    try:
        value = json.loads(str(text))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
