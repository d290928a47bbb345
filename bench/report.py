"""What was measured, and how it is told: medians, ratios within a round, the bars, as text, Markdown or JSON."""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import Result

AT_SESSIONS = 64
"""The bars are about so many logins at a time."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One budget. `value` None: not measured here. `least`: more is better; else less is."""

    work: str
    value: float | None
    must: float
    aim: float
    unit: str
    least: bool
    note: str = ""

    @property
    def verdict(self) -> str:
        """`aim` met, `met`, `NOT MET` or `not measured`."""
        if self.value is None:
            return "not measured"
        better: Callable[[float], bool] = (lambda bar: self.value >= bar) if self.least else (lambda bar: self.value <= bar)  # type: ignore[operator]
        return "aim met" if better(self.aim) else "met" if better(self.must) else "NOT MET"

    def cells(self) -> tuple[str, ...]:
        """One line of a table."""
        shown = "-" if self.value is None else _number(self.value) + self.unit
        return self.work, shown, _number(self.must) + self.unit, _number(self.aim) + self.unit, self.verdict, self.note


@dataclass(slots=True)
class Series:
    """Slices of one server, by sessions, in the order of the rounds."""

    label: str
    checked: str
    """How the password was checked."""
    slices: dict[int, list[Result]] = field(default_factory=dict)

    def median(self, sessions: int, of: Callable[[Result], float]) -> float:
        """The middle of the rounds."""
        return statistics.median(of(each) for each in self.slices[sessions])

    def rate(self, sessions: int) -> float:
        """Logins a second."""
        return self.median(sessions, lambda each: each.per_second)

    def against(self, other: "Series", sessions: int) -> float | None:
        """The ratio of the rates, in the middle of the rounds; None where one was not measured, or let nobody in."""
        pairs = list(zip(self.slices.get(sessions, ()), other.slices.get(sessions, ()), strict=False))
        ratios = [one.per_second / two.per_second for one, two in pairs if one.in_time and two.in_time]
        return statistics.median(ratios) if ratios else None

    @property
    def ours(self) -> bool:
        """Whether this is Wardgate."""
        return self.label.startswith("Wardgate")


@dataclass(slots=True)
class Report:
    """Everything that was measured."""

    generator: str
    machine: dict[str, object] = field(default_factory=lambda: machine())
    series: dict[str, Series] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    """What the machine allows, and single figures by name."""
    bars: list[Bar] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What was not measured, and why."""

    def add(self, label: str, checked: str, result: Result) -> None:
        """One more slice."""
        self.series.setdefault(label, Series(label, checked)).slices.setdefault(result.sessions, []).append(result)
        told = f"{result.per_second:.0f} logins/s, {result.server_cpu_us:.0f} us"
        progress(f"{label}, {result.sessions} sessions: {told}{_faults(result)}")

    @property
    def sound(self) -> bool:
        """Whether Wardgate let everybody in and answered everything."""
        ours = [each for series in self.series.values() if series.ours for slices in series.slices.values() for each in slices]
        return all(each.logins and not (each.refused or each.unanswered or each.bad) for each in ours)


def machine() -> dict[str, object]:
    """Where this was measured."""
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "memory_gib": round(kib / 2**20),
        "python": sys.version.split()[0],
        "load": round(os.getloadavg()[0], 1),
        "commit": _commit(),
    }


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "?"


def _lines(path: str) -> list[str]:
    with open(path) as file:
        return file.readlines()


def progress(text: str) -> None:
    """To standard error, while it runs."""
    print(text, file=sys.stderr, flush=True)


# --- tables -------------------------------------------------------------------------------------------------------------

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""Title, columns, rows."""

COLUMNS = ("server", "password check", "sessions", "logins/s", "CPU us/login", "p50 ms", "p99 ms", "generator us", "note")


def tables(report: Report, ratios: Iterable[tuple[str, float]]) -> Iterator[Table]:
    """Everything, table by table."""
    if report.bars:
        yield (
            "Bars",
            ("work", "measured", "must", "aim", "verdict", "series"),
            [bar.cells() for bar in report.bars],
        )
    if report.series:
        rows = [_row(series, sessions) for series in report.series.values() for sessions in series.slices]
        yield "Measured", COLUMNS, rows
    told: list[tuple[str, ...]] = [(name, _number(value)) for name, value in ratios]
    if told:
        yield "Ratios (median of the rounds, each within its round)", ("what", "ratio"), told
    if report.limits:
        yield "What the machine allows, and single figures", ("what", "value"), [(k, _number(v)) for k, v in report.limits.items()]


def _row(series: Series, sessions: int) -> tuple[str, ...]:
    slices = series.slices[sessions]
    refused = sum(each.refused for each in slices)
    notes = [f"{refused} refused"] if refused else []
    notes += [f"{sum(each.unanswered for each in slices)} unanswered"] if any(each.unanswered for each in slices) else []
    notes += [f"{sum(each.resent for each in slices)} resent"] if any(each.resent for each in slices) else []
    notes += ["users ran out"] if any(each.exhausted for each in slices) else []
    return (
        series.label,
        series.checked,
        str(sessions),
        f"{series.rate(sessions):.0f}",
        f"{series.median(sessions, lambda each: each.server_cpu_us):.0f}",
        f"{series.median(sessions, lambda each: each.login_ms[0]):.2f}",
        f"{series.median(sessions, lambda each: each.login_ms[2]):.2f}",
        f"{series.median(sessions, lambda each: each.own_cpu_us):.0f}",
        ", ".join(notes),
    )


def as_text(report: Report, ratios: Sequence[tuple[str, float]]) -> str:
    """For a terminal."""
    parts = [about(report.machine, report.generator), *map(text_table, tables(report, ratios))]
    return "\n\n".join([*parts, *(f"not measured: {each}" for each in report.missing)])


def text_table(table: Table) -> str:
    """One table for a terminal."""
    title, columns, rows = table
    widths = [max(len(row[at]) for row in [columns, *rows]) for at in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [columns, *rows]]
    return "\n".join([title, *(f"  {line}" for line in lines)])


def as_markdown(report: Report, ratios: Sequence[tuple[str, float]]) -> str:
    """For the documents."""
    parts = [about(report.machine, report.generator), *map(markdown_table, tables(report, ratios))]
    return "\n\n".join([*parts, *(f"Not measured: {each}." for each in report.missing)])


def markdown_table(table: Table) -> str:
    """One table for the documents."""
    title, columns, rows = table
    lines = ["| " + " | ".join(row) + " |" for row in (columns, ("---",) * len(columns), *rows)]
    return "\n".join([f"### {title}", "", *lines])


def put_into(file: Path, name: str, text: str) -> None:
    """Replace what stands in a document between `<!-- begin NAME -->` and `<!-- end NAME -->`. Raises ValueError without them."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    before, found, rest = file.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{file} has no lines {begin.strip()} and {end.strip()}")
    file.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}")


def as_json(report: Report, ratios: Sequence[tuple[str, float]]) -> dict[str, object]:
    """One object."""
    return {
        "machine": report.machine,
        "generator": report.generator,
        "bars": [
            {"work": bar.work, "value": bar.value, "must": bar.must, "aim": bar.aim, "unit": bar.unit, "verdict": bar.verdict}
            for bar in report.bars
        ],
        "results": [
            {
                "server": series.label,
                "password_check": series.checked,
                "sessions": sessions,
                "logins_per_s": series.rate(sessions),
                "cpu_us": series.median(sessions, lambda each: each.server_cpu_us),
                "generator_cpu_us": series.median(sessions, lambda each: each.own_cpu_us),
                "p50_ms": series.median(sessions, lambda each: each.login_ms[0]),
                "p95_ms": series.median(sessions, lambda each: each.login_ms[1]),
                "p99_ms": series.median(sessions, lambda each: each.login_ms[2]),
                "refused": sum(each.refused for each in slices),
                "unanswered": sum(each.unanswered for each in slices),
            }
            for series in report.series.values()
            for sessions, slices in series.slices.items()
        ],
        "ratios": dict(ratios),
        "limits": report.limits,
        "missing": report.missing,
        "sound": report.sound,
    }


def about(where: Mapping[str, object], generator: str) -> str:
    """Where it was measured, and by what."""
    return (
        f"{where['cores']} cores ({where['processor']}), {where['memory_gib']} GiB, Python {where['python']}, "
        f"load {where['load']} at the start, commit {where['commit']}. Generator: {generator}; it shares the cores."
    )


def _faults(result: Result) -> str:
    counts = {"refused": result.refused, "unanswered": result.unanswered, "resent": result.resent, "bad": result.bad}
    told = "".join(f", {count} {name}" for name, count in counts.items() if count)
    return told + (", users ran out" if result.exhausted else "")


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
