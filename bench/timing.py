"""Whether the time of a refusal tells who exists: unknown, disabled and wrong password, told apart by a classifier.

    python -m bench.timing [--samples 2000] [--json]

An unloaded server is asked about names that do not exist, users that are disabled (with their right password) and users with a
wrong password, interleaved, each name once, so that no brake speaks. For each pair of kinds two classifiers try to tell them
apart: by the time itself, and by its distance from the middle. Their AUC is 0.5 when they are blind. Exit code 1 when the best
of them reaches more than 0.55. Run it on a machine that does nothing else.
"""

import argparse
import itertools
import json
import os
import random
import select
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import wardgate_server
from bench.load import REJECT, Load
from bench.wardgate_server import SECRET, Account, Running
from wardgate.crypto import Secret
from wardgate.radius.shared_secret import SharedSecret

BAR = 0.55
# One request in this time: a password check takes a quarter of it, so that nobody waits for somebody else's.
PACE_S = 0.08
PATIENCE_S = 5.0
KINDS = ("unknown", "disabled", "wrong")


@dataclass(frozen=True, slots=True)
class Probe:
    """One question."""

    kind: str
    name: bytes
    password: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """What was found."""

    samples: dict[str, int]
    median_ms: dict[str, float]
    earliest_ms: float
    auc: dict[str, float]

    @property
    def worst(self) -> float:
        """The best that a classifier did."""
        return max(self.auc.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the figure, and judge it."""
    given = _parser().parse_args(arguments)
    each = max(20, given.samples // len(KINDS))
    existing, disabled = wardgate_server.accounts(each, "user"), wardgate_server.accounts(each, "gone")
    with tempfile.TemporaryDirectory(prefix="wardgate-bench-") as place:
        data = Path(place) / "data"
        print(f"importing {2 * each} users", file=sys.stderr)
        wardgate_server.make(data, [*existing, *disabled], 0, disabled)
        # More guesses than any brake over many people lets through: it would speak in the place of what is measured.
        wardgate_server.configure(data, 0, "brakes: {network_failures: 0, nas_failures: 0, global_failures: 0}")
        with wardgate_server.running(data) as server:
            warm_up(server)
            told = judge(ask_all(server, probes(existing, disabled)))
    if given.json:
        print(json.dumps({"load": os.getloadavg()[0], "bar": BAR, "worst_auc": told.worst, **_plain(told)}))
    else:
        show(told)
    return 1 if told.worst > BAR else 0


def probes(existing: Sequence[Account], disabled: Sequence[Account]) -> list[Probe]:
    """As many of each kind, in an order that nobody can foretell."""
    asked = [Probe("unknown", b"none" + each.name[4:].encode(), each.password.encode()) for each in existing]
    asked += [Probe("wrong", each.name.encode(), b"x" + each.password.encode()) for each in existing]
    asked += [Probe("disabled", each.name.encode(), each.password.encode()) for each in disabled]
    random.SystemRandom().shuffle(asked)
    return asked


def warm_up(server: Running) -> None:
    """A few refusals before it counts."""
    for number in range(20):
        ask_all(server, [Probe("unknown", b"warm%d" % number, b"x")])


def ask_all(server: Running, asked: Sequence[Probe]) -> list[tuple[str, float]]:
    """Send one probe after the other at a steady pace; the time of each reply, with its kind."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]
    for sock in sockets:
        sock.connect(("127.0.0.1", server.port))
    packets = Packets()
    waiting: dict[tuple[int, int], tuple[str, float]] = {}
    seen: list[tuple[str, float]] = []
    due = time.perf_counter()
    for number, probe in enumerate(asked):
        due = max(due + PACE_S, time.perf_counter())
        _collect(sockets, waiting, seen, due)
        sock, identifier = sockets[number % len(sockets)], number // len(sockets) % 256
        packet = packets.request(identifier, probe)
        waiting[sock.fileno(), identifier] = (probe.kind, time.perf_counter())
        sock.send(packet)
    _collect(sockets, waiting, seen, time.perf_counter() + PATIENCE_S, until_empty=True)
    for sock in sockets:
        sock.close()
    if waiting:
        raise SystemExit(f"{len(waiting)} of {len(asked)} requests were not answered")
    return seen


def _collect(
    sockets: Sequence[socket.socket],
    waiting: dict[tuple[int, int], tuple[str, float]],
    seen: list[tuple[str, float]],
    until: float,
    until_empty: bool = False,
) -> None:
    while (left := until - time.perf_counter()) > 0 and (waiting or not until_empty):
        ready, _, _ = select.select(sockets, [], [], left)
        now = time.perf_counter()
        for sock in ready:
            datagram = sock.recv(4096)
            kind, sent = waiting.pop((sock.fileno(), datagram[1]))
            if datagram[0] != REJECT:
                raise SystemExit(f"a probe of kind {kind} was not rejected")
            seen.append((kind, now - sent))


class Packets(Load):
    """Requests as the load generator makes them."""

    def __init__(self) -> None:
        self._secret = SharedSecret(Secret(SECRET))

    def request(self, identifier: int, probe: Probe) -> bytes:
        """An Access-Request for a probe."""
        return self._request(identifier, probe.name, probe.password, b"")


# --- judging -----------------------------------------------------------------------------------------------------------


def judge(seen: Sequence[tuple[str, float]]) -> Told:
    """Every pair of kinds, by both classifiers."""
    times = {kind: [took * 1000 for each, took in seen if each == kind] for kind in KINDS}
    middle = statistics.median(took for values in times.values() for took in values)
    aucs: dict[str, float] = {}
    for one, other in itertools.combinations(KINDS, 2):
        aucs[f"{one} or {other}, by time"] = auc(times[one], times[other])
        far = [[abs(took - middle) for took in times[kind]] for kind in (one, other)]
        aucs[f"{one} or {other}, by distance from the middle"] = auc(*far)
    return Told(
        {kind: len(values) for kind, values in times.items()},
        {kind: statistics.median(values) for kind, values in times.items()},
        min(took for values in times.values() for took in values),
        aucs,
    )


def auc(one: Sequence[float], other: Sequence[float]) -> float:
    """How well a threshold tells the two apart, 0.5 to 1: the Mann-Whitney statistic, whichever side is the higher."""
    order = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    ranks, at = 0.0, 0
    while at < len(order):
        end = at
        while end < len(order) and order[end][0] == order[at][0]:
            end += 1
        ranks += (at + end + 1) / 2 * sum(label == 0 for _, label in order[at:end])
        at = end
    share = (ranks - len(one) * (len(one) + 1) / 2) / (len(one) * len(other))
    return max(share, 1 - share)


def show(told: Told) -> None:
    """For people."""
    for kind in KINDS:
        print(f"{kind:<10} {told.samples[kind]:>6} samples   median {told.median_ms[kind]:8.3f} ms")
    print(f"earliest reply after {told.earliest_ms:.3f} ms; load {os.getloadavg()[0]:.1f}")
    for name, value in told.auc.items():
        print(f"  AUC {value:.3f}  {name}")
    print(f"worst AUC {told.worst:.3f}, the bar is {BAR}: {'over' if told.worst > BAR else 'held'}")


def _plain(told: Told) -> dict[str, object]:
    return {"samples": told.samples, "median_ms": told.median_ms, "earliest_ms": told.earliest_ms, "auc": told.auc}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.timing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--samples", type=int, default=2_000, help="questions of all kinds together (default 2000: under three minutes)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
