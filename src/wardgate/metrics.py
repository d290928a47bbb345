"""What is counted and measured, in Prometheus' words. One `Metrics` per worker, handed to the rooms that count.

Plain numbers in dictionaries: a login pays additions, and text is made only when somebody asks. All of them are in `CATALOGUE`
with their meaning. Label values come from short fixed lists and from names in the configuration; a list that grows past its
limit all the same ends in `other`, so that nothing that arrives from outside can make series without end.

A `Snapshot` is what one worker counted; `expose` writes those of all workers of a node into one text. Imports nothing of ours.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Literal

MAX_SERIES: Final = 200
OTHER: Final = "other"
# The text format 0.0.4, which every scraper reads.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
WORKER: Final = "worker"

# From a read in memory to what a directory may take before its deadline.
STEP_BUCKETS_S: Final = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.35, 0.5, 1.0, 2.5, 5.0, 10.0),
)
GATEWAY_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_BUCKETS_UNITS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
BATCH_BUCKETS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)
LAG_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

Labels = tuple[str, ...]
Snapshot = dict[str, list[list[Any]]]
"""By metric: series of [label values, value], or of [label values, counts per bucket and beyond, sum] for a histogram.

Plain lists and numbers, so that it can travel between the workers as JSON.
"""


@dataclass(frozen=True, slots=True)
class Described:
    """A metric: its name, its kind, and what it tells.

    `shared`: it tells of what all workers and nodes share, and is not counted by each. `buckets`: a histogram's upper bounds.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    buckets: tuple[float, ...] = ()
    shared: bool = False


def _counter(name: str, help_text: str, *labels: str) -> Described:
    return Described(name, "counter", help_text, labels)


def _gauge(name: str, help_text: str, *labels: str, shared: bool = False) -> Described:
    return Described(name, "gauge", help_text, labels, shared=shared)


def _histogram(name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Described:
    return Described(name, "histogram", help_text, labels, buckets)


LOGINS = _counter("wardgate_logins_total", "Requests of logins that a door answered, by outcome.", "result", "door")
STEP = _histogram("wardgate_step_seconds", "How long a step of a login took; `request` is the whole.", STEP_BUCKETS_S, "step")
DIRECTORY = _histogram("wardgate_directory_seconds", "How long a directory took.", STEP_BUCKETS_S, "directory", "operation")
DIRECTORY_SERVER_UP = _gauge(
    "wardgate_directory_server_up", "1 where a server of a directory is held to be up, 0 where it is not.", "directory", "server"
)
GATEWAY = _histogram("wardgate_gateway_seconds", "How long a gateway took to answer.", GATEWAY_BUCKETS_S, "gateway", "outcome")
PACKETS = _counter("wardgate_radius_packets_total", "RADIUS packets that were taken, by code and vendor profile.", "code", "vendor")
DROPS = _counter("wardgate_radius_drops_total", "RADIUS packets that got no reply, by incident.", "reason")
DUPLICATES = _counter("wardgate_radius_duplicates_total", "Resent packets that got their stored reply or were waited for.")
INCIDENTS = _counter("wardgate_incidents_total", "What never became a login, by kind.", "kind")
LOCKS = _counter("wardgate_brake_locks_total", "Brakes that began to hold, by kind.", "brake")
IN_WORK = _gauge("wardgate_radius_packets_in_work", "RADIUS packets that are being worked on.")

PASSWORD_WAIT = _histogram("wardgate_password_wait_seconds", "How long a password check waited for a free thread.", STEP_BUCKETS_S)
PASSWORD_WORK = _counter("wardgate_password_work_seconds_total", "Seconds that threads worked on password hashes.")
PASSWORD_WAITING = _gauge("wardgate_password_checks_waiting", "Password checks that wait for a free thread.")
PASSWORD_RUNNING = _gauge("wardgate_password_checks_running", "Password checks that a thread works on.")
PASSWORD_THREADS = _gauge("wardgate_password_threads", "Threads for password checks.")

BATCH_UNITS = _histogram("wardgate_storage_batch_units", "Units that one durable commit took.", BATCH_BUCKETS_UNITS)
BATCH_SECONDS = _histogram("wardgate_storage_batch_seconds", "How long one durable commit took.", BATCH_BUCKETS_S)
FAILED_BATCHES = _counter("wardgate_storage_failed_batches_total", "Batches that the database did not take.")
UNITS_WAITING = _gauge("wardgate_storage_units_waiting", "Units that wait for the database.")
READS_WAITING = _gauge("wardgate_storage_reads_waiting", "Long reads that wait or run beside the event loop.")

OUTBOX = _gauge("wardgate_outbox_messages", "Messages in the outbox, by state.", "state", shared=True)
OUTBOX_OLDEST = _gauge("wardgate_outbox_oldest_due_seconds", "Age of the oldest message that is due; 0 when none is.", shared=True)
TIMELINE_DROPPED = _counter("wardgate_timeline_dropped_total", "Entries of the live log that could not be stored.")
CONNECTIONS = _gauge("wardgate_https_connections", "Open connections of the HTTPS listener.")
STREAMS = _gauge("wardgate_live_streams", "Open pages that follow the live log or the outbox.")

BUILD = _gauge("wardgate_build_info", "Always 1; the labels say what runs, and on which node.", "version", "python", "node")
CONFIGURATION = _gauge("wardgate_configuration_version", "Version of the configuration document that is in force here.")
EPOCH = _gauge("wardgate_epoch", "Epoch of the installation; a restore begins a new one.")
JOBS_HELD = _gauge("wardgate_job_held", "1 where this worker does the scheduled job for all.", "name")
LOOP_LAG = _histogram("wardgate_loop_lag_seconds", "By how much a timer of the event loop came late.", LAG_BUCKETS_S)
PROBLEMS = _gauge("wardgate_problems", "What keeps this worker from serving logins, counted; /readyz tells them in words.")
CERTIFICATE = _gauge("wardgate_certificate_expiry_timestamp_seconds", "When the certificate of the HTTPS listener ends.")
SIGNING_CERTIFICATE = _gauge(
    "wardgate_signing_certificate_expiry_timestamp_seconds",
    "When the certificate of a key ends that signs for applications.",
    "key",
)
PARTY_METADATA = _gauge(
    "wardgate_relying_party_metadata_expiry_timestamp_seconds",
    "Until when an application's metadata counts; nothing where it has no end.",
    "application",
)
PARTIES_LEFT_OUT = _gauge("wardgate_relying_parties_left_out", "Applications that cannot be served; the log says why.")
WORKERS = _gauge("wardgate_workers", "Worker processes that this node should have.", shared=True)
WORKERS_MISSING = _gauge("wardgate_workers_missing", "Workers of this node that did not answer.", shared=True)

CPU = _counter("process_cpu_seconds_total", "CPU time of the process.")
MEMORY = _gauge("process_resident_memory_bytes", "Resident memory of the process; what workers share counts in each.")
OPEN_FILES = _gauge("process_open_fds", "Open files and sockets.")
MAX_FILES = _gauge("process_max_fds", "Files and sockets that may be open.")
STARTED = _gauge("process_start_time_seconds", "When the worker started.")

CATALOGUE: Final[tuple[Described, ...]] = (
    *(LOGINS, STEP, DIRECTORY, DIRECTORY_SERVER_UP, GATEWAY, PACKETS, DROPS, DUPLICATES, INCIDENTS, LOCKS, IN_WORK),
    *(PASSWORD_WAIT, PASSWORD_WORK, PASSWORD_WAITING, PASSWORD_RUNNING, PASSWORD_THREADS),
    *(BATCH_UNITS, BATCH_SECONDS, FAILED_BATCHES, UNITS_WAITING, READS_WAITING),
    *(OUTBOX, OUTBOX_OLDEST, TIMELINE_DROPPED, CONNECTIONS, STREAMS),
    *(BUILD, CONFIGURATION, EPOCH, JOBS_HELD, LOOP_LAG, PROBLEMS, CERTIFICATE, WORKERS, WORKERS_MISSING),
    *(SIGNING_CERTIFICATE, PARTY_METADATA, PARTIES_LEFT_OUT),
    *(CPU, MEMORY, OPEN_FILES, MAX_FILES, STARTED),
)
BY_NAME: Final[Mapping[str, Described]] = {each.name: each for each in CATALOGUE}

# Known from the start, so that a rate can be told from the first one on.
STEPS: Final = ("request", "directory find", "password check", "policy", "storage read", "commit")
RESULTS: Final = ("granted", "challenged", "denied", "dropped")

Read = Callable[[], float | Mapping[Labels, float]]
"""A number when it is asked for; by label values where the metric has labels."""


class _Durations:
    """A histogram's one series."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Metrics:
    """What one worker counts. Each method is a few additions on the loop."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, _Durations]] = {}
        self._watched: dict[str, Read] = {}
        self._lock = threading.Lock()
        self._logins = self._numbered(LOGINS, *((result, "radius") for result in RESULTS))
        self._packets = self._numbered(PACKETS)
        self._drops = self._numbered(DROPS)
        self._incidents = self._numbered(INCIDENTS)
        self._locks = self._numbered(LOCKS)
        self._duplicates = self._numbered(DUPLICATES, ())
        self._failed_batches = self._numbered(FAILED_BATCHES, ())
        self._password_work = self._numbered(PASSWORD_WORK, ())
        self._outbox = self._numbered(OUTBOX)
        self._oldest = self._numbered(OUTBOX_OLDEST)
        self._steps: dict[str, _Durations] = {}
        for step in STEPS:
            self._steps[step] = self._durations(STEP, (step,))
        self._password_wait = self._durations(PASSWORD_WAIT, ())
        self._batch_units = self._durations(BATCH_UNITS, ())
        self._batch_seconds = self._durations(BATCH_SECONDS, ())
        self._lag = self._durations(LOOP_LAG, ())

    # --- what is counted ---

    def login(self, result: str, door: str) -> None:
        """A door answered a request of a login: `granted`, `challenged`, `denied`; or it dropped it."""
        _count(self._logins, (result, door))

    def packet(self, code: str, vendor: str) -> None:
        """A RADIUS packet was taken: its code's name and the NAS's vendor profile."""
        _count(self._packets, (code, vendor))

    def drop(self, reason: str) -> None:
        """A RADIUS packet got no reply."""
        _count(self._drops, (reason,))

    def duplicate(self) -> None:
        """A resent packet got its stored reply."""
        self._duplicates[()] += 1

    def incident(self, kind: str) -> None:
        """Something that never became a login."""
        _count(self._incidents, (kind,))

    def lock(self, kind: str) -> None:
        """A brake began to hold: its kind, from a fixed list."""
        _count(self._locks, (kind,))

    def step(self, name: str, seconds: float) -> None:
        """A step of a login took this long: a name from a fixed list, never anything that came in."""
        # Written out: this is called a dozen times for each login.
        try:
            series = self._steps[name]
        except KeyError:
            series = self._steps[name] = self._durations(STEP, (name,))
        series.counts[bisect_left(STEP_BUCKETS_S, seconds)] += 1
        series.total += seconds

    def directory(self, name: str, operation: str, seconds: float) -> None:
        """A directory, by its configured name, took this long to `find` somebody or to `check` a password."""
        self._durations(DIRECTORY, (name, operation)).add(seconds)

    def gateway(self, name: str, outcome: str, seconds: float) -> None:
        """A gateway, by its configured name, took this long to answer, and how."""
        self._durations(GATEWAY, (name, outcome)).add(seconds)

    def password_waited(self, seconds: float) -> None:
        """A password check waited this long before it began. Called in the threads that work."""
        with self._lock:
            self._password_wait.add(seconds)

    def password_worked(self, seconds: float) -> None:
        """A thread worked on a password hash for this long. Called in the threads that work."""
        with self._lock:
            self._password_work[()] += seconds

    def storage_batch(self, units: int, seconds: float) -> None:
        """One durable commit took `units` units and this long."""
        self._batch_units.add(units)
        self._batch_seconds.add(seconds)

    def storage_failed(self) -> None:
        """A batch could not be written."""
        self._failed_batches[()] += 1

    def loop_lagged(self, seconds: float) -> None:
        """A timer of the event loop came this much late."""
        self._lag.add(seconds)

    def outbox(self, states: Mapping[str, int], oldest_due_s: float | None = None) -> None:
        """How many messages stand in each state of the outbox, and how long the oldest that is due waits. Empty: nobody knows."""
        self._outbox.clear()
        self._outbox.update({(state,): messages for state, messages in states.items()})
        self._oldest.clear()
        if oldest_due_s is not None:
            self._oldest[()] = oldest_due_s

    def watch(self, metric: Described, read: Read) -> None:
        """Ask `read` for a gauge, or for a counter that somebody else counts, whenever the metrics are asked for."""
        self._watched[metric.name] = read

    def watch_password_queue(self, waiting: Callable[[], float]) -> None:
        """Ask `waiting` for the length of the queue of password checks."""
        self.watch(PASSWORD_WAITING, waiting)

    def watch_timeline_dropped(self, dropped: Callable[[], float]) -> None:
        """Ask `dropped` for the count of entries that could not be stored."""
        self.watch(TIMELINE_DROPPED, dropped)

    # --- what is told ---

    def snapshot(self) -> Snapshot:
        """Everything, as it is now."""
        told: Snapshot = {name: [[list(labels), value] for labels, value in of.items()] for name, of in self._numbers.items()}
        for name, read in self._watched.items():
            value = read()
            of = value if isinstance(value, Mapping) else {(): value}
            told[name] = [[list(labels), number] for labels, number in of.items()]
        with self._lock:
            for name, series in self._histograms.items():
                told[name] = [[list(labels), list(each.counts), each.total] for labels, each in series.items()]
        return told

    def exposition(self) -> bytes:
        """The text that a scraper reads, of this worker alone."""
        snapshot = self.snapshot()
        return expose({"0": snapshot}, snapshot)

    def _numbered(self, metric: Described, *known: Labels) -> dict[Labels, float]:
        return self._numbers.setdefault(metric.name, dict.fromkeys(known, 0))

    def _durations(self, metric: Described, labels: Labels) -> _Durations:
        series = self._histograms.setdefault(metric.name, {})
        found = series.get(labels)
        if found is None:
            kept = labels if len(series) < MAX_SERIES else (OTHER,) * len(labels)
            found = series.setdefault(kept, _Durations(metric.buckets))
        return found


def _count(numbers: dict[Labels, float], labels: Labels) -> None:
    if labels in numbers:
        numbers[labels] += 1
        return
    kept = labels if len(numbers) < MAX_SERIES else (OTHER,) * len(labels)
    numbers[kept] = numbers.get(kept, 0) + 1


# --- snapshots ---------------------------------------------------------------------------------------------------------


def read_snapshot(told: object) -> Snapshot:
    """A snapshot that another worker told. What is not in the catalogue, or does not fit it, is left out."""
    if not isinstance(told, dict):
        return {}
    read: Snapshot = {}
    for name, series in told.items():
        metric = BY_NAME.get(name)
        if metric is not None and isinstance(series, list):
            read[name] = [each for each in series[: MAX_SERIES + 1] if _fits(metric, each)]
    return read


def _fits(metric: Described, series: object) -> bool:
    if not isinstance(series, list) or len(series) != (3 if metric.buckets else 2):
        return False
    labels, *values = series
    if not isinstance(labels, list) or len(labels) != len(metric.labels) or not all(isinstance(each, str) for each in labels):
        return False
    if not metric.buckets:
        return _is_number(values[0])
    counts = values[0]
    return (
        isinstance(counts, list)
        and len(counts) == len(metric.buckets) + 1
        and all(_is_number(each) for each in counts)
        and _is_number(values[1])
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def expose(workers: Mapping[str, Snapshot], shared: Snapshot) -> bytes:
    """The text that a scraper reads: what each worker counted under its own label, and `shared` without one.

    Each worker keeps series of its own, so that a counter never goes back but when its worker starts anew.
    """
    lines: list[str] = []
    for metric in CATALOGUE:
        lines += (f"# HELP {metric.name} {_escaped(metric.help)}", f"# TYPE {metric.name} {metric.kind}")
        if metric.shared:
            lines += _lines(metric, shared.get(metric.name, ()), "")
            continue
        for worker, snapshot in workers.items():
            lines += _lines(metric, snapshot.get(metric.name, ()), f'{WORKER}="{worker}"')
    return ("\n".join(lines) + "\n").encode()


def _lines(metric: Described, series: Sequence[Sequence[Any]], first: str) -> Iterator[str]:
    for labels, *values in series:
        named = [f'{name}="{_quoted(value)}"' for name, value in zip(metric.labels, labels, strict=True)]
        inner = [first, *named] if first else named
        if metric.buckets:
            yield from _histogram_lines(metric, inner, values[0], values[1])
        else:
            yield f"{metric.name}{_braced(inner)} {_number(values[0])}"


def _histogram_lines(metric: Described, inner: list[str], counts: Sequence[int], total: float) -> Iterator[str]:
    bounds = (*(_number(bound) for bound in metric.buckets), "+Inf")
    sums = list(accumulate(counts))
    for bound, count in zip(bounds, sums, strict=True):
        limit = f'le="{bound}"'
        yield f"{metric.name}_bucket{_braced([*inner, limit])} {count}"
    yield f"{metric.name}_sum{_braced(inner)} {_number(total)}"
    yield f"{metric.name}_count{_braced(inner)} {sums[-1]}"


def _braced(inner: list[str]) -> str:
    return "{" + ",".join(inner) + "}" if inner else ""


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', r"\"")
