"""Metrics: everything the server counts, in a bounded number of series, in a text that another maker's parser reads."""

import json
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from wardgate.metrics import (
    CATALOGUE,
    CERTIFICATE,
    JOBS_HELD,
    MAX_SERIES,
    STEP_BUCKETS_S,
    STEPS,
    Metrics,
    expose,
    read_snapshot,
)

HOSTILE = 'a"b\\c\nd'


def samples_of(text: bytes) -> dict[tuple[str, str], float]:
    """Values by name and label values, the labels in the order of their names."""
    families = list(text_string_to_metric_families(text.decode()))
    found = [sample for family in families for sample in family.samples]
    keys = [(sample.name, ",".join(value for _, value in sorted(sample.labels.items()))) for sample in found]
    assert len(set(keys)) == len(keys)
    return {key: sample.value for key, sample in zip(keys, found, strict=True)}


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    return samples_of(metrics.exposition())


def test_every_method_shows_up() -> None:
    metrics = Metrics()
    metrics.login("granted", "radius")
    metrics.login("granted", "radius")
    metrics.packet("access_request", "paloalto")
    metrics.drop("wrong_secret")
    metrics.duplicate()
    metrics.incident("chap")
    metrics.step("request", 0.004)
    metrics.directory("staff", "find", 0.02)
    metrics.gateway("sms", "sent", 0.3)
    metrics.password_waited(0.2)
    metrics.password_worked(0.018)
    metrics.watch_password_queue(lambda: 7)
    metrics.watch_timeline_dropped(lambda: 3)
    metrics.watch(JOBS_HELD, lambda: {("janitor",): 1})
    metrics.outbox({"queued": 2, "failed": 1}, 4.5)
    metrics.storage_batch(12, 0.003)
    metrics.storage_failed()
    metrics.loop_lagged(0.002)
    found = samples(metrics)
    assert found["wardgate_logins_total", "radius,granted,0"] == 2
    assert found["wardgate_radius_packets_total", "access_request,paloalto,0"] == 1
    assert found["wardgate_radius_drops_total", "wrong_secret,0"] == 1
    assert found["wardgate_radius_duplicates_total", "0"] == 1
    assert found["wardgate_incidents_total", "chap,0"] == 1
    assert found["wardgate_step_seconds_bucket", "0.005,request,0"] == 1
    assert found["wardgate_step_seconds_bucket", "0.0025,request,0"] == 0
    assert found["wardgate_step_seconds_bucket", "+Inf,request,0"] == 1
    assert found["wardgate_step_seconds_sum", "request,0"] == 0.004
    assert found["wardgate_directory_seconds_count", "staff,find,0"] == 1
    assert found["wardgate_gateway_seconds_count", "sms,sent,0"] == 1
    assert found["wardgate_password_wait_seconds_count", "0"] == 1
    assert found["wardgate_password_work_seconds_total", "0"] == 0.018
    assert found["wardgate_password_checks_waiting", "0"] == 7
    assert found["wardgate_timeline_dropped_total", "0"] == 3
    assert found["wardgate_job_held", "janitor,0"] == 1
    assert found["wardgate_outbox_messages", "queued"] == 2
    assert found["wardgate_outbox_oldest_due_seconds", ""] == 4.5
    assert found["wardgate_storage_batch_units_sum", "0"] == 12
    assert found["wardgate_storage_failed_batches_total", "0"] == 1
    assert found["wardgate_loop_lag_seconds_count", "0"] == 1


def test_outbox_that_nobody_can_count_is_left_out() -> None:
    """A figure that stands still would look like an outbox in order."""
    metrics = Metrics()
    metrics.outbox({"queued": 2}, 1.0)
    metrics.outbox({})
    assert not [name for name, _ in samples(metrics) if name.startswith("wardgate_outbox")]


def test_rates_can_be_told_from_the_first_login_on() -> None:
    found = samples(Metrics())
    assert found["wardgate_logins_total", "radius,granted,0"] == 0
    assert {step for step in STEPS if ("wardgate_step_seconds_count", f"{step},0") in found} == set(STEPS)


def test_names_follow_the_conventions() -> None:
    for metric in CATALOGUE:
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert metric.name.startswith(("wardgate_", "process_"))
        assert metric.help.endswith((".", ";")), metric.name
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert list(metric.buckets) == sorted(set(metric.buckets))
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


def test_flood_of_label_values_ends_in_one_series() -> None:
    metrics = Metrics()
    for number in range(5 * MAX_SERIES):
        metrics.drop(f"reason{number}")
        metrics.directory(f"directory{number}", "find", 0.001)
        metrics.step(f"step{number}", 0.001)
    found = samples(metrics)
    drops = {labels: value for (name, labels), value in found.items() if name == "wardgate_radius_drops_total"}
    assert len(drops) == MAX_SERIES + 1
    assert drops["other,0"] == 4 * MAX_SERIES
    assert found["wardgate_directory_seconds_count", "other,other,0"] == 4 * MAX_SERIES
    assert len(found) < 8 * MAX_SERIES * (len(STEP_BUCKETS_S) + 3)


def test_hostile_label_value_writes_no_line_of_its_own() -> None:
    metrics = Metrics()
    metrics.drop(HOSTILE + '"} 1\nwardgate_logins_total 99')
    found = samples(metrics)
    assert [key for key in found if key[0] == "wardgate_logins_total"] == [
        ("wardgate_logins_total", f"radius,{result},0") for result in ("granted", "challenged", "denied", "dropped")
    ]


def test_each_process_counts_for_itself() -> None:
    one, other = Metrics(), Metrics()
    one.duplicate()
    assert samples(other)["wardgate_radius_duplicates_total", "0"] == 0


def test_threads_lose_no_count() -> None:
    metrics = Metrics()

    def work() -> None:
        for _ in range(5000):
            metrics.password_waited(0.001)
            metrics.password_worked(1.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = samples(metrics)
    assert found["wardgate_password_wait_seconds_count", "0"] == 20_000
    assert found["wardgate_password_work_seconds_total", "0"] == 20_000


def test_workers_stand_side_by_side_and_what_they_share_stands_once() -> None:
    one, two = Metrics(), Metrics()
    one.login("granted", "radius")
    one.login("granted", "radius")
    two.login("granted", "radius")
    two.outbox({"queued": 5})
    found = samples_of(expose({"0": one.snapshot(), "1": read_snapshot(json.loads(json.dumps(two.snapshot())))}, two.snapshot()))
    assert found["wardgate_logins_total", "radius,granted,0"] == 2
    assert found["wardgate_logins_total", "radius,granted,1"] == 1
    assert found["wardgate_outbox_messages", "queued"] == 5


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"wardgate_logins_total": None},
        {"wardgate_logins_total": [[["granted"], 1]]},
        {"wardgate_logins_total": [[["granted", "radius"], "1"]]},
        {"wardgate_logins_total": [[["granted", "radius"], True]]},
        {"wardgate_logins_total": [[[1, 2], 1]]},
        {"wardgate_step_seconds": [[["request"], [1, 2], 3.0]]},
        {"wardgate_step_seconds": [[["request"], 7]]},
        {"nothing_of_ours": [[[], 1]]},
    ],
)
def test_snapshot_that_does_not_fit_is_left_out(told: object) -> None:
    text = expose({"1": read_snapshot(told)}, {})
    assert samples_of(text) == {}


def test_certificate_that_nobody_can_read_is_left_out() -> None:
    metrics = Metrics()
    metrics.watch(CERTIFICATE, dict)
    assert not [name for name, _ in samples(metrics) if "certificate" in name]
