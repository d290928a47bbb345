"""Where the time of a login goes, step by step, in the server as it runs.

    python -m bench.profile [--sessions 64] [--workers 1] [--json | --markdown]

The server's processes are looked at every few milliseconds of CPU time that they use; the innermost room of the product on the
stack names the step. The shares are turned into microseconds by the CPU time per login of the same slice. Beside it, in the same
run, the door alone: the same packets before an engine that stores nothing (`bench.packet_path`). Watching costs a few per cent.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import packet_path, postgres_server, wardgate_server
from bench.generator import Slice, generator
from bench.radius import CACHE_S
from bench.report import put_into
from bench.users import Crowd, enrol
from bench.wardgate_server import SECRET

PLACES = 25


@dataclass(frozen=True, slots=True)
class Profile:
    """What was seen. `steps` and `places`: microseconds of a login."""

    cpu_us: float
    logins_per_s: float
    door_us: float
    looks: int
    steps: dict[str, float]
    places: dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    given = _parser().parse_args(arguments)
    profile = measure(given)
    if given.into is not None:
        put_into(given.into, "profile", "\n".join(lines(profile, markdown=True)))
    if given.json:
        steps = [{"step": name, "us": value} for name, value in profile.steps.items()]
        told = {"cpu_us": profile.cpu_us, "logins_per_s": profile.logins_per_s, "door_us": profile.door_us, "steps": steps}
        print(json.dumps(told | {"places": profile.places}))
    else:
        print("\n".join(lines(profile, given.markdown)))
    return 0


def measure(given: argparse.Namespace) -> Profile:
    """One server under load, watched."""
    crowd = Crowd("user", given.users)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wardgate-bench-")))
        data, looks = folder / "server" / "data", folder / "looks"
        data.parent.mkdir()
        url = ""
        if given.database == "postgresql":
            cluster = stack.enter_context(postgres_server.running(folder / "postgresql"))
            cluster.run("create database wardgate")
            url = cluster.url("wardgate")
        wardgate_server.install(data, url)
        wardgate_server.configure(data, CACHE_S)
        enrol(data, crowd)
        workers = given.workers if wardgate_server.has_workers() else None
        server = stack.enter_context(wardgate_server.running(data, cheap_hash=True, workers=workers, sampled=looks))
        load = stack.enter_context(generator(folder, crowd.users(), SECRET))
        load.run(server.port, Slice(given.sessions, 600, logins=crowd.count), [server.pid])
        before = _seen(looks)
        result = load.run(server.port, Slice(given.sessions, given.seconds), [server.pid])
        after = _seen(looks)
    door = packet_path.over_sockets(given.seconds, [given.sessions])[0][1]
    steps, places = (_grown(before[at], after[at], result.server_cpu_us) for at in (0, 1))
    return Profile(result.server_cpu_us, result.per_second, door, sum((after[0] - before[0]).values()), steps, places)


def _seen(folder: Path) -> tuple[Counter[str], Counter[str]]:
    """Steps and places that all processes were seen in so far."""
    steps: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for file in folder.glob("*.json"):
        told = json.loads(file.read_text())
        steps.update(told["steps"])
        places.update(told["places"])
    return steps, places


def _grown(before: Counter[str], after: Counter[str], cpu_us: float) -> dict[str, float]:
    """Shares of what was added, as microseconds of a login, the largest first."""
    grown = after - before
    whole = max(1, sum(grown.values()))
    return {name: count / whole * cpu_us for name, count in grown.most_common()}


def lines(profile: Profile, markdown: bool) -> list[str]:
    """For people."""
    told = [
        f"{profile.cpu_us:.0f} us of CPU a login at {profile.logins_per_s:.0f} logins/s (watched, {profile.looks} looks); "
        f"door and sockets alone {profile.door_us:.0f} us"
    ]
    for title, values in (("step", profile.steps), ("place", dict(list(profile.places.items())[:PLACES]))):
        rows = [(name, f"{value:.1f}", f"{value / profile.cpu_us:.0%}") for name, value in values.items()]
        if markdown:
            told += [
                "",
                f"| {title} | us a login | share |",
                "| --- | --- | --- |",
                *("| " + " | ".join(row) + " |" for row in rows),
            ]
        else:
            told += ["", f"{title:<44}{'us a login':>12}{'share':>8}", *(f"{row[0]:<44}{row[1]:>12}{row[2]:>8}" for row in rows)]
    return told


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.profile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    form.add_argument("--markdown", action="store_true", help="print Markdown tables on standard output")
    parser.add_argument("--into", type=Path, help="also put the Markdown tables into this document (docs/performance.md)")
    parser.add_argument("--sessions", type=int, default=64, help="logins at a time (default 64)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long (default 5)")
    parser.add_argument("--users", type=int, default=40_000, help="default 40000")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite", help="default sqlite")
    return parser


if __name__ == "__main__":
    sys.exit(main())
