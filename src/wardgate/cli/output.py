"""Printing: results on standard output, for people or as one JSON object; everything else on standard error."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from wardgate.errors import WardgateError

EXIT_DONE: Final = 0
EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 3
EXIT_CONFLICT: Final = 4
_EXIT_CODES: Final = {
    "refused": EXIT_REFUSED,
    "usage": EXIT_USAGE,
    "unavailable": EXIT_UNAVAILABLE,
    "conflict": EXIT_CONFLICT,
}


def emit(result: Mapping[str, Any], as_json: bool, show: Callable[[Mapping[str, Any]], None]) -> None:
    """Print a result: as one line of JSON, or as `show` does it for people."""
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False, default=str) + "\n")
    else:
        show(result)
    sys.stdout.flush()


def say(text: str) -> None:
    """One line for people, and no more than one, without what a terminal would take for a command."""
    sys.stdout.write(on_one_line(text) + "\n")


def hand_over(text: str) -> None:
    """A whole document: untouched into a file or pipe, where a changed character would be a changed document."""
    sys.stdout.write((printable(text) if sys.stdout.isatty() else text).rstrip("\n") + "\n")


def note(text: str) -> None:
    """What is said on standard error, beside the result; may have several lines."""
    sys.stderr.write(printable(text) + "\n")


def printable(text: str) -> str:
    """The text with control characters made visible: a name or an answer from outside must not drive the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text)


def on_one_line(text: str) -> str:
    """The same with line ends made visible too: nobody's name writes lines of its own between ours."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def fail(error: WardgateError, as_json: bool) -> int:
    """Print an error and return the exit code that belongs to it."""
    # Only here: help and completion need none of it.
    from wardgate.control import kind_of

    if as_json:
        told = {"error": {"code": error.code, "message": error.message}}
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
    else:
        note(f"wardgate: {error.message}")
    return _EXIT_CODES[kind_of(error)]


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table: drawn on a terminal, plain columns in a pipe."""
    cells = [[on_one_line(_cell(value)) for value in row] for row in rows]
    if sys.stdout.isatty():
        _draw(columns, cells)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in ([*columns], *cells):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # Only here: most commands print no table, and rich takes longer to load than they take to run.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*map(Text, row))
    Console(file=sys.stdout, highlight=False).print(drawn)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value)


def facts(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values, one a line."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        say(f"{name:<{width}}  {_cell(value)}")
