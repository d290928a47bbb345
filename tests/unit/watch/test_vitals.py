"""What a worker measures of itself."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from wardgate import metrics
from wardgate.certificates import self_signed
from wardgate.clock import FixedClock, SystemClock
from wardgate.metrics import Metrics, Snapshot
from wardgate.watch import vitals
from wardgate.watch.vitals import Gauges, Vitals

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def one(snapshot: Snapshot, metric: metrics.Described) -> float:
    (series,) = snapshot[metric.name]
    return float(series[1])


def test_gauges_are_asked_when_somebody_looks() -> None:
    counted, pending, held = Metrics(), [0], {"janitor"}
    gauges = Gauges(
        passwords_pending=lambda: pending[0],
        password_threads=3,
        problems=lambda: ["one", "two"],
        configuration_version=lambda: 7,
        jobs=("janitor", "heads"),
        jobs_held=lambda: held,
    )
    Vitals(counted, FixedClock(NOW), gauges, "one", None)
    for waiting, expected in ((0, (0, 0)), (2, (0, 2)), (9, (6, 3))):
        pending[0] = waiting
        told = counted.snapshot()
        assert (one(told, metrics.PASSWORD_WAITING), one(told, metrics.PASSWORD_RUNNING)) == expected
    assert one(told, metrics.PROBLEMS) == 2
    assert one(told, metrics.CONFIGURATION) == 7
    assert one(told, metrics.STARTED) == NOW.timestamp()
    assert told[metrics.JOBS_HELD.name] == [[["janitor"], 1], [["heads"], 0]]
    assert told[metrics.BUILD.name][0][0][-1] == "one"


def test_process_is_measured() -> None:
    counted = Metrics()
    Vitals(counted, SystemClock(), Gauges(), "one", None)
    told = counted.snapshot()
    assert one(told, metrics.MEMORY) > 1024 * 1024
    assert one(told, metrics.CPU) > 0
    with open(os.devnull):
        assert one(counted.snapshot(), metrics.OPEN_FILES) > one(told, metrics.OPEN_FILES) > 2


def test_certificate_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    counted = Metrics()
    Vitals(counted, FixedClock(NOW), Gauges(), "one", file)
    assert counted.snapshot()[metrics.CERTIFICATE.name] == []
    file.write_text("nonsense")
    assert counted.snapshot()[metrics.CERTIFICATE.name] == []
    file.write_bytes(self_signed(NOW)[0])
    first = one(counted.snapshot(), metrics.CERTIFICATE)
    assert first > NOW.timestamp()
    assert one(counted.snapshot(), metrics.CERTIFICATE) == first
    fresh = tmp_path / "next.pem"
    fresh.write_bytes(self_signed(datetime(2027, 1, 1, tzinfo=UTC))[0])
    fresh.replace(file)
    assert one(counted.snapshot(), metrics.CERTIFICATE) > first


async def test_loop_that_stands_still_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "LAG_EVERY_S", 0.01)
    counted = Metrics()
    task = asyncio.create_task(Vitals(counted, SystemClock(), Gauges(), "one", None).run())

    def late() -> float:
        ((_, _, total),) = counted.snapshot()[metrics.LOOP_LAG.name]
        return float(total)

    await asyncio.sleep(0)
    deadline = SystemClock().monotonic() + 0.15
    while SystemClock().monotonic() < deadline:
        continue  # as a careless read would
    async with asyncio.timeout(10):
        while late() < 0.1:
            await asyncio.sleep(0.01)
    task.cancel()
