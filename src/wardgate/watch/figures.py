"""Two pictures of an installation become rates, percentiles and loads: what `wardgate top` shows. Pure.

Counters are compared worker by worker, and a worker that began anew in between counts from nothing, so that no rate is negative.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from wardgate import metrics
from wardgate.metrics import Described, Labels, Snapshot, read_snapshot

_MS: Final = 1000.0


@dataclass(frozen=True, slots=True)
class _Worker:
    slot: int
    pid: int
    problems: tuple[str, ...]
    now: Snapshot
    before: Snapshot


Numbers = Mapping[Labels, float]
Durations = Mapping[Labels, tuple[Sequence[float], float]]
"""By label values: how many fell into each bucket and beyond the last, and the sum."""


def figures(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What happened between two pictures, and how things stand at the second, as JSON values."""
    workers = [_worker(each, before) for each in now["workers"]]
    seconds = max(0.001, float(now["taken_s"]) - float(before["taken_s"]))
    return {
        "at": now["at"],
        "node": now["node"],
        "version": now["version"],
        "seconds": round(seconds, 3),
        "logins": _rates(workers, metrics.LOGINS, seconds),
        "steps": _times(workers, metrics.STEP, seconds),
        "directories": _times(workers, metrics.DIRECTORY, seconds),
        "gateways": _times(workers, metrics.GATEWAY, seconds),
        "queues": _queues(workers, now),
        "commits": _commits(workers, seconds),
        "passwords": _passwords(workers, seconds),
        "radius": {
            "packets": _rates(workers, metrics.PACKETS, seconds),
            "drops": [each for each in _rates(workers, metrics.DROPS, seconds) if each["total"]],
            "duplicates_per_s": _round(_sum(_gained(workers, metrics.DUPLICATES)) / seconds),
        },
        "workers": [_load(each, seconds) for each in workers],
        "missing": list(now["missing"]),
        "database": dict(now["database"]),
        "configuration": _single(workers, metrics.CONFIGURATION),
        "epoch": _single(workers, metrics.EPOCH),
        "certificate_days": _certificate_days(workers, now["at"]),
        "jobs": list(now["jobs"]),
        "refusals": list(now["refusals"]),
        "incidents": list(now["incidents"]),
    }


def percentile(counts: Sequence[float], bounds: Sequence[float], part: float) -> float | None:
    """The value below which `part` of all fell, between a bucket's bounds in proportion; None without values.

    Beyond the last bound nothing is known but that bound.
    """
    wanted = sum(counts) * part
    if not wanted:
        return None
    passed, lower = 0.0, 0.0
    for count, upper in zip(counts, bounds, strict=False):
        if passed + count >= wanted:
            return lower + (upper - lower) * (wanted - passed) / count
        passed, lower = passed + count, upper
    return bounds[-1]


# --- parts -----------------------------------------------------------------------------------------------------------------


def _worker(told: Mapping[str, Any], before: Mapping[str, Any]) -> _Worker:
    slot, snapshot = int(told["slot"]), read_snapshot(told["metrics"])
    earlier = next((each for each in before["workers"] if each["slot"] == slot and each["pid"] == told["pid"]), None)
    if earlier is not None:
        known = read_snapshot(earlier["metrics"])
    else:
        # New since then, or it only did not answer then: what it did before is no part of this rate.
        started = max(_values(snapshot, metrics.STARTED).values(), default=0.0)
        known = {} if started > datetime.fromisoformat(before["at"]).timestamp() else snapshot
    return _Worker(slot, int(told["pid"]), tuple(told["problems"]), snapshot, known)


def _rates(workers: Iterable[_Worker], metric: Described, seconds: float) -> list[dict[str, Any]]:
    each_worker = list(workers)
    totals, gained = _total(each_worker, metric), _gained(each_worker, metric)
    return [
        {**_named(metric, labels), "per_s": _round(gained.get(labels, 0.0) / seconds), "total": int(total)}
        for labels, total in sorted(totals.items())
    ]


def _times(workers: Iterable[_Worker], metric: Described, seconds: float) -> list[dict[str, Any]]:
    found = []
    for labels, (counts, _) in _durations(workers, metric).items():
        found.append({**_named(metric, labels), "per_s": _round(sum(counts) / seconds), **_percentiles(counts, metric)})
    return found


def _percentiles(counts: Sequence[float], metric: Described) -> dict[str, float | None]:
    found = {name: percentile(counts, metric.buckets, part) for name, part in (("p50_ms", 0.5), ("p99_ms", 0.99))}
    return {name: None if value is None else _round(value * _MS) for name, value in found.items()}


def _queues(workers: Sequence[_Worker], now: Mapping[str, Any]) -> dict[str, Any]:
    states = now["outbox"]["states"]
    return {
        "passwords_waiting": _present(workers, metrics.PASSWORD_WAITING),
        "passwords_running": _present(workers, metrics.PASSWORD_RUNNING),
        "packets_in_work": _present(workers, metrics.IN_WORK),
        "units_waiting": _present(workers, metrics.UNITS_WAITING),
        "reads_waiting": _present(workers, metrics.READS_WAITING),
        "https_connections": _present(workers, metrics.CONNECTIONS),
        "outbox_queued": int(states.get("queued", 0)),
        "outbox_sending": int(states.get("sending", 0)),
        "outbox_failed": int(states.get("failed", 0)),
        "outbox_oldest_due_s": _round(float(now["outbox"]["oldest_due_s"])),
    }


def _commits(workers: Sequence[_Worker], seconds: float) -> dict[str, Any]:
    units, total = _durations(workers, metrics.BATCH_UNITS).get((), ((), 0.0))
    waits, _ = _durations(workers, metrics.BATCH_SECONDS).get((), ((), 0.0))
    return {
        "per_s": _round(sum(units) / seconds),
        "units_each": _round(total / sum(units)) if sum(units) else None,
        **_percentiles(waits, metrics.BATCH_SECONDS),
        "failed_per_s": _round(_sum(_gained(workers, metrics.FAILED_BATCHES)) / seconds),
        "failed_total": int(_sum(_total(workers, metrics.FAILED_BATCHES))),
    }


def _passwords(workers: Sequence[_Worker], seconds: float) -> dict[str, Any]:
    waits, _ = _durations(workers, metrics.PASSWORD_WAIT).get((), ((), 0.0))
    threads = _present(workers, metrics.PASSWORD_THREADS)
    worked = _sum(_gained(workers, metrics.PASSWORD_WORK))
    return {
        "per_s": _round(sum(waits) / seconds),
        "threads": threads,
        "busy_percent": _round(100 * worked / (seconds * threads)) if threads else 0.0,
        "wait_p99_ms": _percentiles(waits, metrics.PASSWORD_WAIT)["p99_ms"],
    }


def _load(worker: _Worker, seconds: float) -> dict[str, Any]:
    alone = [worker]
    lag, _ = _durations(alone, metrics.LOOP_LAG).get((), ((), 0.0))
    logins = _gained(alone, metrics.LOGINS)
    return {
        "slot": worker.slot,
        "pid": worker.pid,
        "logins_per_s": _round(_sum(logins) / seconds),
        "cpu_percent": _round(100 * _sum(_gained(alone, metrics.CPU)) / seconds) if worker.before else None,
        "memory_bytes": _present(alone, metrics.MEMORY),
        "lag_p99_ms": _percentiles(lag, metrics.LOOP_LAG)["p99_ms"],
        "started_at": _single(alone, metrics.STARTED),
        "problems": list(worker.problems),
    }


def _certificate_days(workers: Sequence[_Worker], at: str) -> float | None:
    ends = [value for worker in workers for value in _values(worker.now, metrics.CERTIFICATE).values()]
    return _round((min(ends) - datetime.fromisoformat(at).timestamp()) / 86_400) if ends else None


# --- reading snapshots -----------------------------------------------------------------------------------------------------


def _values(snapshot: Snapshot, metric: Described) -> Numbers:
    return {tuple(labels): value for labels, value in snapshot.get(metric.name, ())}


def _total(workers: Iterable[_Worker], metric: Described) -> Numbers:
    return _added(_values(worker.now, metric) for worker in workers)


def _gained(workers: Iterable[_Worker], metric: Described) -> Numbers:
    return _added(_difference(_values(worker.now, metric), _values(worker.before, metric)) for worker in workers)


def _difference(now: Numbers, before: Numbers) -> Numbers:
    return {labels: max(0.0, value - before.get(labels, 0.0)) for labels, value in now.items()}


def _added(parts: Iterable[Numbers]) -> Numbers:
    found: dict[Labels, float] = {}
    for part in parts:
        for labels, value in part.items():
            found[labels] = found.get(labels, 0.0) + value
    return found


def _durations(workers: Iterable[_Worker], metric: Described) -> Durations:
    found: dict[Labels, tuple[list[float], float]] = {}
    for worker in workers:
        before = {tuple(labels): (counts, total) for labels, counts, total in worker.before.get(metric.name, ())}
        for labels, counts, total in worker.now.get(metric.name, ()):
            key = tuple(labels)
            old_counts, old_total = before.get(key, ([0] * len(counts), 0.0))
            sums, sum_of = found.get(key, ([0.0] * len(counts), 0.0))
            gained = [max(0.0, new - old) for new, old in zip(counts, old_counts, strict=True)]
            found[key] = [a + b for a, b in zip(sums, gained, strict=True)], sum_of + max(0.0, total - old_total)
    return found


def _present(workers: Sequence[_Worker], metric: Described) -> int:
    return int(_sum(_total(workers, metric)))


def _single(workers: Sequence[_Worker], metric: Described) -> int | None:
    """A number that all workers have alike, but for the moment in which they take up a new one."""
    found = [value for worker in workers for value in _values(worker.now, metric).values()]
    return int(max(found)) if found else None


def _sum(numbers: Numbers) -> float:
    return sum(numbers.values())


def _named(metric: Described, labels: Labels) -> dict[str, str]:
    return dict(zip(metric.labels, labels, strict=True))


def _round(value: float) -> float:
    return round(value, 3)
