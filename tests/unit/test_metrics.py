"""Metrics: everything the server counts, in a bounded number of series."""

from prometheus_client.parser import text_string_to_metric_families

from wardgate.metrics import MAX_SERIES, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Values by name and label values, the labels in the order of their names."""
    families = list(text_string_to_metric_families(metrics.exposition().decode()))
    found = [sample for family in families for sample in family.samples]
    return {(sample.name, ",".join(value for _, value in sorted(sample.labels.items()))): sample.value for sample in found}


def test_every_method_shows_up() -> None:
    metrics = Metrics()
    metrics.login("granted", "radius")
    metrics.login("granted", "radius")
    metrics.packet("access_request", "paloalto")
    metrics.drop("wrong_secret")
    metrics.duplicate()
    metrics.incident("chap")
    metrics.step("request", 0.004)
    metrics.password_waited(0.2)
    metrics.watch_password_queue(lambda: 7)
    metrics.watch_timeline_dropped(lambda: 3)
    metrics.outbox({"queued": 2, "failed": 1})
    metrics.storage_batch(12, 0.003)
    found = samples(metrics)
    assert found["wardgate_logins_total", "radius,granted"] == 2
    assert found["wardgate_radius_packets_total", "access_request,paloalto"] == 1
    assert found["wardgate_radius_drops_total", "wrong_secret"] == 1
    assert found["wardgate_radius_duplicates_total", ""] == 1
    assert found["wardgate_incidents_total", "chap"] == 1
    assert found["wardgate_step_seconds_bucket", "0.005,request"] == 1
    assert found["wardgate_password_wait_seconds_count", ""] == 1
    assert found["wardgate_password_checks_waiting", ""] == 7
    assert found["wardgate_timeline_dropped", ""] == 3
    assert found["wardgate_outbox_messages", "queued"] == 2
    assert found["wardgate_storage_batch_units_sum", ""] == 12
    assert ("process_open_fds", "") in found


def test_flood_of_label_values_ends_in_one_series() -> None:
    metrics = Metrics()
    for number in range(5 * MAX_SERIES):
        metrics.login("denied", f"door{number}")
    series = {labels: value for (name, labels), value in samples(metrics).items() if name == "wardgate_logins_total"}
    assert len(series) == MAX_SERIES + 1
    assert series["other,other"] == 4 * MAX_SERIES


def test_each_process_counts_for_itself() -> None:
    one, other = Metrics(), Metrics()
    one.duplicate()
    assert samples(other)["wardgate_radius_duplicates_total", ""] == 0
