"""What `wardgate top` shows: figures as tables that fit the terminal, readable without colours."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.layout import Layout
from rich.table import Table
from rich.text import Text

from wardgate.cli.output import on_one_line

Told = Mapping[str, Any]
View = Callable[[Told, int, int], RenderableType]

# The words of `wardgate_step_seconds`, in the order in which a login goes.
_STEPS: Final = ("request", "directory find", "password check", "policy", "storage read", "commit", "reply")
_MIB: Final = 1024 * 1024
_CERTIFICATE_DAYS: Final = 14
# Lines that the overview needs besides problems, workers and refusals.
_OVERVIEW_LINES: Final = 15
_LEAST_LINES: Final = 20
_NARROW: Final = 100


def screen(told: Told | None, problem: str, data: str, view: int, size: ConsoleDimensions) -> RenderableType:
    """The whole terminal: a head, the chosen view, and the keys."""
    if told is None:
        waiting = f"waiting for the server: {on_one_line(problem)}" if problem else f"asking the server on {on_one_line(data)}"
        return Group(Text("Wardgate", style="bold"), Text(""), Text(waiting), Text(""), Text("q quits", style="dim"))
    _, draw = VIEWS[view]
    room = max(_LEAST_LINES, size.height - 2)
    whole = Layout()
    whole.split_column(
        Layout(_head(told), size=1), Layout(draw(told, size.width, room), name="view"), Layout(_keys_line(view), size=1)
    )
    return whole


def everything(told: Told) -> RenderableType:
    """Everything below each other, for a file or a pipe."""
    room = 60
    parts = (_overview(told, _NARROW, room), _logins_view(told, _NARROW, room), _times_view(told, _NARROW, room))
    return Group(_head(told), *parts, Text(""), _incidents(told, room), Text(""), _facts(told))


def _head(told: Told) -> RenderableType:
    head = Table.grid(expand=True, padding=(0, 1))
    head.add_column(no_wrap=True, overflow="ellipsis")
    head.add_column(justify="right", no_wrap=True)
    at = datetime.fromisoformat(told["at"]).astimezone()
    up, missing = len(told["workers"]), len(told["missing"])
    workers = f"{up} worker{'s' * (up != 1)}" + (f", {missing} missing" if missing else "")
    left = Text.assemble(("Wardgate", "bold"), f" {told['version']}  {on_one_line(told['node'])}")
    head.add_row(left, f"{workers}  config {told['configuration']}  {at:%H:%M:%S}")
    return head


def _keys_line(view: int) -> Text:
    line = Text(no_wrap=True, overflow="crop")
    for number, (name, _) in enumerate(VIEWS):
        shown = f"[{number + 1} {name}]" if number == view else f" {number + 1} {name} "
        line.append(shown, style="bold" if number == view else "")
    line.append("   Tab: next   q: quit", style="dim")
    return line


# --- views -----------------------------------------------------------------------------------------------------------------


def _overview(told: Told, width: int, room: int) -> RenderableType:
    problems = _problems(told)
    left = room - _OVERVIEW_LINES - len(problems)
    workers = min(len(told["workers"]), max(1, left - 2))
    beside = Table.grid(expand=True, padding=(0, 2, 0, 0))
    beside.add_column(ratio=1)
    beside.add_column(ratio=1)
    beside.add_row(_steps(told), _queues(told))
    return Group(
        *problems,
        _logins(told),
        Text(""),
        beside,
        Text(""),
        _workers(told, workers),
        Text(""),
        _refusals(told, max(1, left - workers), width),
    )


def _logins_view(told: Told, width: int, room: int) -> RenderableType:
    rows = [(each["door"], each["result"], _rate(each["per_s"]), each["total"]) for each in told["logins"]]
    radius = told["radius"]
    packets = [(each["code"], each["vendor"], _rate(each["per_s"]), each["total"]) for each in radius["packets"]]
    drops = [("dropped", each["reason"], _rate(each["per_s"]), each["total"]) for each in radius["drops"]]
    duplicates = ("resent", "", _rate(radius["duplicates_per_s"]), "")
    third = max(2, (room - 8) // 3)
    return Group(
        Text(""),
        _table(("door", "result", "> per s", "> since start"), rows[:third]),
        Text(""),
        _table(("packet", "vendor or reason", "> per s", "> since start"), [*packets[:third], duplicates, *drops[:third]]),
    )


def _times_view(told: Told, width: int, room: int) -> RenderableType:
    commits = told["commits"]
    rows = [("step", each["step"], *_times(each)) for each in _in_order(told["steps"])]
    rows += [("directory", f"{each['directory']} {each['operation']}", *_times(each)) for each in told["directories"]]
    rows += [("gateway", f"{each['gateway']} {each['outcome']}", *_times(each)) for each in told["gateways"]]
    rows.append(("database", f"commits of {_units(commits['units_each'])} units", *_times(commits)))
    return Group(Text(""), _table(("what", "which", "> per s", "> p50 ms", "> p99 ms"), rows[: room - 3]))


def _refusals_view(told: Told, width: int, room: int) -> RenderableType:
    incidents = min(len(told["incidents"]), max(1, room // 3))
    return Group(Text(""), _refusals(told, max(1, room - incidents - 6), width), Text(""), _incidents(told, incidents))


def _node_view(told: Told, width: int, room: int) -> RenderableType:
    shown = max(1, room - len(told["jobs"]) - 10)
    return Group(Text(""), *_problems(told), _workers(told, shown), Text(""), _facts(told))


VIEWS: Final[Sequence[tuple[str, View]]] = (
    ("overview", _overview),
    ("logins", _logins_view),
    ("times", _times_view),
    ("refusals", _refusals_view),
    ("node", _node_view),
)


# --- parts -----------------------------------------------------------------------------------------------------------------


def _problems(told: Told) -> list[Text]:
    """What an operator should know first, one line each; nothing when all is well."""
    found = [f"worker {each['slot']}: {problem}" for each in told["workers"] for problem in each["problems"]]
    found += [f"worker {slot} does not answer" for slot in told["missing"]]
    if told["database"]["problem"]:
        found.append(f"database: {told['database']['problem']}")
    if told["certificate_days"] is not None and told["certificate_days"] < _CERTIFICATE_DAYS:
        found.append(f"the certificate ends in {told['certificate_days']:.0f} days")
    return [Text(f"! {on_one_line(each)}", style="bold red", no_wrap=True, overflow="ellipsis") for each in found[:3]]


def _logins(told: Told) -> RenderableType:
    """Logins a second: a column for each result, a line for each door."""
    results = sorted({each["result"] for each in told["logins"]}, key=_order_of_result)
    doors = sorted({each["door"] for each in told["logins"]})
    rates = {(each["door"], each["result"]): each["per_s"] for each in told["logins"]}
    rows = [(door, *(_rate(rates.get((door, result), 0.0)) for result in results)) for door in doors]
    return _table(("logins/s", *(f"> {result}" for result in results)), rows, expand=True)


def _order_of_result(result: str) -> tuple[int, str]:
    known = ("granted", "challenged", "denied", "dropped")
    return (known.index(result) if result in known else len(known), result)


def _steps(told: Told) -> RenderableType:
    return _table(
        ("step", "> /s", "> p50 ms", "> p99 ms"), [(each["step"], *_times(each)) for each in _in_order(told["steps"])], expand=True
    )


def _in_order(steps: Iterable[Told]) -> list[Told]:
    return sorted(steps, key=lambda each: (_STEPS.index(each["step"]) if each["step"] in _STEPS else len(_STEPS), each["step"]))


def _times(each: Told) -> tuple[str, str, str]:
    return _rate(each["per_s"]), _ms(each["p50_ms"]), _ms(each["p99_ms"])


def _queues(told: Told) -> RenderableType:
    queues, commits, passwords = told["queues"], told["commits"], told["passwords"]
    rows = [
        ("passwords", f"{queues['passwords_waiting']} wait, {queues['passwords_running']} run"),
        ("Argon2", f"{passwords['busy_percent']:.0f} % of {passwords['threads']} threads"),
        ("packets in work", f"{queues['packets_in_work']}, {_rate(told['radius']['duplicates_per_s'])} resent/s"),
        ("database", f"{queues['units_waiting']} units, {queues['reads_waiting']} reads wait"),
        ("commits", f"{_rate(commits['per_s'])}/s" + (_failed(commits["failed_total"]) or f" of {_units(commits['units_each'])}")),
        ("outbox", f"{queues['outbox_queued'] + queues['outbox_sending']} wait, oldest {queues['outbox_oldest_due_s']:.0f} s"),
        ("HTTPS", f"{queues['https_connections']} connections"),
    ]
    return _table(("queue", "now"), rows, expand=True)


def _workers(told: Told, most: int) -> RenderableType:
    every = told["workers"]
    shown = every if len(every) <= most else every[: most - 1]
    rows: list[Sequence[object]] = [
        (
            f"{each['slot']}",
            each["pid"],
            _rate(each["logins_per_s"]),
            "-" if each["cpu_percent"] is None else f"{each['cpu_percent']:.0f} %",
            f"{each['memory_bytes'] / _MIB:.0f} MiB",
            _ms(each["lag_p99_ms"]),
            _up(each, told["at"]),
        )
        for each in shown
    ]
    if len(shown) < len(every):
        rows.append((f"{len(every) - len(shown)} more", *[""] * 6))
    columns = ("worker", "> pid", "> logins/s", "> CPU", "> memory", "> loop late ms", "> up")
    return _table(columns, rows, expand=True)


def _refusals(told: Told, rows: int, width: int) -> RenderableType:
    shown = told["refusals"][:rows]
    if not shown:
        return Text("No refusal among the newest requests.")
    names = ["reason", "user", "application", "reference", *(["client"] if width >= _NARROW else [])]
    cells = [(_time(each["at"]), *(each[name] for name in names)) for each in shown]
    return _table(("refused", *(_TITLES.get(name, name) for name in names)), cells, expand=True)


_TITLES: Final[Mapping[str, str]] = {"client": "from"}


def _incidents(told: Told, rows: int) -> RenderableType:
    shown = told["incidents"][:rows]
    if not shown:
        return Text("No incident within a day.")
    names = ("kind", "source", "nas", "count")
    cells = [(_time(each["last_at"]), *(each[name] for name in names)) for each in shown]
    return _table(("last", "incident", "source", "NAS", "> times"), cells)


def _facts(told: Told) -> RenderableType:
    database, days = told["database"], told["certificate_days"]
    state = f"FAILS: {on_one_line(database['problem'])}" if database["problem"] else f"answers in {database['answered_ms']:.1f} ms"
    lines = [
        Text(f"database     {database['kind']} {state}"),
        Text(f"certificate  {'unknown' if days is None else f'ends in {days:.0f} days'}"),
    ]
    if not told["jobs"]:
        return Group(*lines)
    jobs = [(each["job"], each["holder"] or "nobody", f"{each['ends_in_s']:.0f} s") for each in told["jobs"]]
    return Group(*lines, Text(""), _table(("job", "done by", "> for"), jobs))


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]], expand: bool = False) -> Table:
    """A plain table, cells cut to one line each. A column that begins with `> ` holds numbers."""
    drawn = Table(box=None, header_style="bold", pad_edge=False, expand=expand, padding=(0, 1))
    for column in columns:
        is_number = column.startswith("> ")
        drawn.add_column(column.removeprefix("> "), justify="right" if is_number else "left", no_wrap=True, overflow="ellipsis")
    for row in rows:
        drawn.add_row(*(Text(on_one_line(str(cell)), no_wrap=True, overflow="ellipsis") for cell in row))
    return drawn


def _rate(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _failed(batches: int) -> str:
    return f", {batches} failed" if batches else ""


def _units(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _up(worker: Told, at: str) -> str:
    if worker["started_at"] is None:
        return "-"
    minutes = max(0, int(datetime.fromisoformat(at).timestamp() - worker["started_at"])) // 60
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 24 * 60 else f"{minutes // (24 * 60)} days"


def _time(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone():%H:%M:%S}"
