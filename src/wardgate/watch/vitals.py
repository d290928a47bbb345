"""What a worker measures of itself: its process, its event loop, its queues, and the certificate that it shows."""

import asyncio
import contextlib
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from wardgate import __version__, metrics
from wardgate.certificates import valid_until
from wardgate.clock import Clock
from wardgate.errors import SettingsError
from wardgate.metrics import Labels, Metrics

LAG_EVERY_S: Final = 0.5
_PAGE_BYTES: Final = resource.getpagesize()
# ru_maxrss counts bytes on macOS and KiB elsewhere.
_MAXRSS_BYTES: Final = 1 if sys.platform == "darwin" else 1024

log = structlog.get_logger("wardgate.vitals")


def _nothing() -> float:
    return 0.0


def _nobody() -> Sequence[str]:
    return ()


def _of_nothing() -> Mapping[Labels, float]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Where a worker's figures are read whenever the metrics are asked for. All are asked on the event loop.

    `passwords_pending`: checks that wait or run. `directory_servers`: 1 or 0 by directory and server.
    `signing_certificates` and `party_metadata`: when they end, by key and by application.
    `jobs`: every scheduled job; `jobs_held`: those that this worker does for all.
    """

    passwords_pending: Callable[[], float] = _nothing
    password_threads: int = 1
    packets_in_work: Callable[[], float] = _nothing
    units_waiting: Callable[[], float] = _nothing
    reads_waiting: Callable[[], float] = _nothing
    timeline_dropped: Callable[[], float] = _nothing
    connections: Callable[[], float] = _nothing
    streams: Callable[[], float] = _nothing
    configuration_version: Callable[[], float] = _nothing
    epoch: Callable[[], float] = _nothing
    problems: Callable[[], Sequence[str]] = _nobody
    directory_servers: Callable[[], Mapping[Labels, float]] = _of_nothing
    signing_certificates: Callable[[], Mapping[Labels, float]] = _of_nothing
    party_metadata: Callable[[], Mapping[Labels, float]] = _of_nothing
    parties_left_out: Callable[[], float] = _nothing
    jobs: Sequence[str] = ()
    jobs_held: Callable[[], Iterable[str]] = _nobody


class Vitals:
    """One per worker. `node`: the name of this machine. `certificate`: the PEM file of the HTTPS listener, if there is one."""

    def __init__(self, counted: Metrics, clock: Clock, gauges: Gauges, node: str, certificate: Path | None) -> None:
        self._metrics = counted
        self._clock = clock
        self._certificate = certificate
        self._certificate_seen = (0, 0)
        self._certificate_end: float | None = None
        started = clock.now().timestamp()
        for metric, read in (
            (metrics.PASSWORD_WAITING, lambda: max(0, gauges.passwords_pending() - gauges.password_threads)),
            (metrics.PASSWORD_RUNNING, lambda: min(gauges.passwords_pending(), gauges.password_threads)),
            (metrics.PASSWORD_THREADS, lambda: gauges.password_threads),
            (metrics.IN_WORK, gauges.packets_in_work),
            (metrics.UNITS_WAITING, gauges.units_waiting),
            (metrics.READS_WAITING, gauges.reads_waiting),
            (metrics.TIMELINE_DROPPED, gauges.timeline_dropped),
            (metrics.DIRECTORY_SERVER_UP, gauges.directory_servers),
            (metrics.CONNECTIONS, gauges.connections),
            (metrics.STREAMS, gauges.streams),
            (metrics.CONFIGURATION, gauges.configuration_version),
            (metrics.EPOCH, gauges.epoch),
            (metrics.PROBLEMS, lambda: len(gauges.problems())),
            (metrics.SIGNING_CERTIFICATE, gauges.signing_certificates),
            (metrics.PARTY_METADATA, gauges.party_metadata),
            (metrics.PARTIES_LEFT_OUT, gauges.parties_left_out),
            (metrics.JOBS_HELD, lambda: _held(gauges)),
            (metrics.BUILD, lambda: _build(node)),
            (metrics.CERTIFICATE, self._certificate_ends),
            (metrics.CPU, time.process_time),
            (metrics.MEMORY, resident_bytes),
            (metrics.OPEN_FILES, _open_files),
            (metrics.MAX_FILES, lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
            (metrics.STARTED, lambda: started),
        ):
            counted.watch(metric, read)

    async def run(self) -> None:
        """Measure how late the loop's timers come, until cancelled."""
        while True:
            due = self._clock.monotonic() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self._metrics.loop_lagged(max(0.0, self._clock.monotonic() - due))

    def _certificate_ends(self) -> Mapping[Labels, float]:
        """When the certificate ends; nothing while it cannot be read. The file is read again when it was replaced."""
        if self._certificate is None:
            return {}
        try:
            found = self._certificate.stat()
            seen = (found.st_mtime_ns, found.st_ino)
            if seen != self._certificate_seen:
                self._certificate_end = valid_until(self._certificate).timestamp()
                self._certificate_seen = seen
        except (OSError, SettingsError) as error:
            log.debug("certificate_not_read", error=str(error))
            return {}
        return {} if self._certificate_end is None else {(): self._certificate_end}


def _build(node: str) -> Mapping[Labels, float]:
    return {(__version__, platform.python_version(), node): 1}


def _held(gauges: Gauges) -> Mapping[Labels, float]:
    held = frozenset(gauges.jobs_held())
    return {(job,): int(job in held) for job in gauges.jobs}


def resident_bytes() -> float:
    """How much memory this process has in place; where the system does not tell, the most that it ever had."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES


def _open_files() -> Mapping[Labels, float]:
    for place in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return {(): len(os.listdir(place))}
    return {}
