"""What is counted and measured, in Prometheus' words. One `Metrics` per process, handed to the rooms that count.

Label values come from short fixed lists; a list that grows past its limit all the same ends in `other`, so that nothing that
arrives from outside can make series without end. Imports nothing of ours.
"""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.process_collector import ProcessCollector

MAX_SERIES = 200
OTHER = "other"
CONTENT_TYPE = CONTENT_TYPE_LATEST

# From a step in memory to what a directory may take before its deadline.
STEP_BUCKETS_S = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_BUCKETS_UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
BATCH_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)

_Metric = TypeVar("_Metric", Counter, Histogram)


class _Family(Generic[_Metric]):
    """The series of one metric, kept by their label values and limited in number."""

    __slots__ = ("_metric", "_series")

    def __init__(self, metric: _Metric) -> None:
        self._metric: _Metric = metric
        self._series: dict[tuple[str, ...], _Metric] = {}

    def at(self, *values: str) -> _Metric:
        """The series of these label values; the one where all are `other` once there are too many."""
        series = self._series.get(values)
        if series is None:
            kept = values if len(self._series) < MAX_SERIES else (OTHER,) * len(values)
            series = self._series[kept] = self._metric.labels(*kept)
        return series


class Metrics:
    """Everything that `/metrics` shows. Each method is one cheap call on the loop."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # else every counter comes twice
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._logins = _Family(self._counter("logins", "Requests of logins, by outcome and door.", "result", "door"))
        self._packets = _Family(self._counter("radius_packets", "RADIUS packets, by code and vendor profile.", "code", "vendor"))
        self._drops = _Family(self._counter("radius_drops", "RADIUS packets that got no reply, by cause.", "reason"))
        self._duplicates = self._counter("radius_duplicates", "Resent packets that got the stored reply.")
        self._incidents = _Family(self._counter("incidents", "What never became a login, by kind.", "kind"))
        self._steps = _Family(self._histogram("step_seconds", "How long a step of a login took.", STEP_BUCKETS_S, "step"))
        self._password_wait = self._histogram(
            "password_wait_seconds", "How long a password check waited for a free thread.", STEP_BUCKETS_S
        )
        self._password_queue = Gauge(
            "wardgate_password_checks_waiting", "Password checks that wait for a free thread.", registry=self.registry
        )
        self._outbox = Gauge("wardgate_outbox_messages", "Messages in the outbox, by state.", ["state"], registry=self.registry)
        self._batch_units = self._histogram("storage_batch_units", "Units that one durable commit took.", BATCH_BUCKETS_UNITS)
        self._batch_seconds = self._histogram("storage_batch_seconds", "How long one durable commit took.", BATCH_BUCKETS_S)
        self._timeline_dropped = Gauge(
            "wardgate_timeline_dropped", "Timeline entries that could not be stored since the start.", registry=self.registry
        )

    def login(self, result: str, door: str) -> None:
        """A door answered a request of a login: `granted`, `challenged` or `denied`."""
        self._logins.at(result, door).inc()

    def packet(self, code: str, vendor: str) -> None:
        """A RADIUS packet came in or went out: its code's name and the NAS's vendor profile."""
        self._packets.at(code, vendor).inc()

    def drop(self, reason: str) -> None:
        """A RADIUS packet got no reply."""
        self._drops.at(reason).inc()

    def duplicate(self) -> None:
        """A resent packet got its stored reply."""
        self._duplicates.inc()

    def incident(self, kind: str) -> None:
        """Something that never became a login."""
        self._incidents.at(kind).inc()

    def step(self, name: str, seconds: float) -> None:
        """A step of a login took this long: `name` from a fixed list, never anything that came in."""
        self._steps.at(name).observe(seconds)

    def password_waited(self, seconds: float) -> None:
        """A password check waited this long before it began."""
        self._password_wait.observe(seconds)

    def watch_password_queue(self, waiting: Callable[[], float]) -> None:
        """Ask `waiting` for the length of the queue whenever somebody reads the metrics."""
        self._password_queue.set_function(waiting)

    def watch_timeline_dropped(self, dropped: Callable[[], float]) -> None:
        """Ask `dropped` for the count whenever somebody reads the metrics."""
        self._timeline_dropped.set_function(dropped)

    def outbox(self, states: Mapping[str, int]) -> None:
        """How many messages stand in each state of the outbox."""
        for state, messages in states.items():
            self._outbox.labels(state).set(messages)

    def storage_batch(self, units: int, seconds: float) -> None:
        """One durable commit took `units` units and this long."""
        self._batch_units.observe(units)
        self._batch_seconds.observe(seconds)

    def exposition(self) -> bytes:
        """The text that a scraper reads."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"wardgate_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"wardgate_{name}", text, labels, buckets=buckets, registry=self.registry)
