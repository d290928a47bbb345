"""Two pictures become rates and percentiles, whatever happened to the workers in between."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wardgate.metrics import STARTED, STEP_BUCKETS_S, Metrics
from wardgate.watch.figures import figures, percentile

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def worker(metrics: Metrics, slot: int = 0, pid: int = 100, started: datetime = AT - timedelta(hours=1)) -> dict[str, Any]:
    metrics.watch(STARTED, started.timestamp)
    return {"slot": slot, "pid": pid, "problems": [], "metrics": metrics.snapshot()}


def picture(after_s: float, *workers: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": (AT + timedelta(seconds=after_s)).isoformat(),
        "taken_s": 50.0 + after_s,
        "node": "one",
        "version": "0.1.0",
        "workers": list(workers),
        "missing": [],
        "database": {"kind": "sqlite", "problem": "", "answered_ms": 0.2},
        "outbox": {"states": {"queued": 2}, "oldest_due_s": 3.0},
        "jobs": [],
        "refusals": [],
        "incidents": [],
    }


def granted(told: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in told["logins"] if each["result"] == "granted")


def logged_in(metrics: Metrics, times: int) -> Metrics:
    for _ in range(times):
        metrics.login("granted", "radius")
        metrics.step("request", 0.004)
    return metrics


def test_rate_is_what_came_in_between_over_all_workers() -> None:
    one, two = logged_in(Metrics(), 5), logged_in(Metrics(), 7)
    before = picture(0, worker(one), worker(two, 1, 101))
    logged_in(one, 10)
    logged_in(two, 30)
    told = figures(before, picture(2.0, worker(one), worker(two, 1, 101)))
    assert granted(told)["per_s"] == 20.0
    assert granted(told)["total"] == 52
    assert [each["logins_per_s"] for each in told["workers"]] == [5.0, 15.0]
    request = next(each for each in told["steps"] if each["step"] == "request")
    assert request["per_s"] == 20.0
    assert 2.5 < request["p50_ms"] < request["p99_ms"] <= 5.0
    assert told["queues"]["outbox_queued"] == 2


def test_worker_that_began_anew_makes_no_negative_rate() -> None:
    before = picture(0, worker(logged_in(Metrics(), 500)))
    after = picture(1.0, worker(logged_in(Metrics(), 4), pid=200, started=AT + timedelta(seconds=0.5)))
    told = figures(before, after)
    assert granted(told)["per_s"] == 4.0
    assert told["workers"][0]["logins_per_s"] == 4.0


def test_worker_that_did_not_answer_once_makes_no_burst_when_it_does_again() -> None:
    told = figures(picture(0), picture(1.0, worker(logged_in(Metrics(), 100_000))))
    assert granted(told)["per_s"] == 0.0
    assert granted(told)["total"] == 100_000


def test_nothing_happened_means_no_percentiles() -> None:
    metrics = logged_in(Metrics(), 3)
    told = figures(picture(0, worker(metrics)), picture(1.0, worker(metrics)))
    request = next(each for each in told["steps"] if each["step"] == "request")
    assert (request["per_s"], request["p50_ms"], request["p99_ms"]) == (0.0, None, None)
    assert told["commits"]["units_each"] is None


def test_two_pictures_of_one_moment_divide_by_no_zero() -> None:
    metrics = logged_in(Metrics(), 1)
    assert granted(figures(picture(0, worker(metrics)), picture(0, worker(metrics))))["per_s"] == 0.0


@pytest.mark.parametrize(
    ("counts", "part", "expected"),
    [
        ([0, 0, 0], 0.5, None),
        ([10, 0, 0], 0.5, 0.5),
        ([10, 10, 0], 0.5, 1.0),
        ([10, 10, 0], 0.75, 2.0),
        ([0, 0, 5], 0.99, 3.0),
        ([0, 4, 0], 1.0, 3.0),
    ],
)
def test_percentile_lies_within_its_bucket(counts: list[float], part: float, expected: float | None) -> None:
    assert percentile(counts, (1.0, 3.0), part) == expected


def test_buckets_are_narrow_where_budgets_are() -> None:
    """A NAS asks again after a second or two, and a refusal leaves after 300 ms: both must be told apart from their neighbours."""
    assert {0.25, 0.35, 0.5, 1.0} <= set(STEP_BUCKETS_S)
