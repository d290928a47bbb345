"""Files of users on their way in and out, piece by piece, so that neither side holds a whole file.

`admin.user_formats` is imported where it is used: it brings along what other commands need not wait for.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TextIO

from wardgate.admin.user_columns import Format
from wardgate.cli.performing import Performer
from wardgate.cli.progress import counting
from wardgate.errors import UsageError

if TYPE_CHECKING:
    from wardgate.admin.user_formats import Record

PIECE_BYTES: Final = 512 * 1024
PIECE_RECORDS: Final = 500
PAGE: Final = 500
# As the importer: a line that is longer is refused there, so a piece need not hold more of it.
MAX_LINE_BYTES: Final = 64 * 1024
MAX_RECORDS: Final = 5_000_000
MAX_PROBLEMS: Final = 1_000
COUNTS: Final = ("added", "changed", "unchanged", "refused")


# --- in ------------------------------------------------------------------------------------------------------------------


def import_file(stream: BinaryIO, form: Format, performer: Performer, params: Mapping[str, Any]) -> dict[str, Any]:
    """Send the file piece by piece and add up what became of its users."""
    total: dict[str, Any] = dict.fromkeys(COUNTS, 0)
    total |= {"passed_over": 0, "problems": [], "directory": None, "ignored_columns": [], "dry_run": bool(params.get("dry_run"))}
    size = stream.seek(0, 2)
    stream.seek(0)
    what = "reading" if total["dry_run"] else "importing"
    with counting(what, total_bytes=size) as advance:
        pieces = _csv_pieces(stream, total) if form is Format.CSV else _record_pieces(stream, form, total)
        for name, given, first_line in pieces:
            part = performer.do(name, {**params, **given})
            for count in COUNTS:
                total[count] += part[count]
            moved = [{**problem, "line": problem["line"] + first_line} for problem in part["problems"]]
            total["problems"] = [*total["problems"], *moved][:MAX_PROBLEMS]
            total["directory"] = part["directory"]
            total["ignored_columns"] = total["ignored_columns"] or part["ignored_columns"]
            advance(stream.tell(), "")
    return total


Piece = tuple[str, dict[str, Any], int]


def _csv_pieces(stream: BinaryIO, total: dict[str, Any]) -> Iterator[Piece]:
    """Each with the header row before it, and with what has to be added to its line numbers to have those of the file."""
    header = stream.readline(MAX_LINE_BYTES)
    if not header.endswith(b"\n") and len(header) == MAX_LINE_BYTES:
        raise UsageError("the header row is too long: this is no CSV file of users")
    for first_line, piece in _lines(stream):
        text = (header.rstrip(b"\r\n") + b"\n" + piece).decode("utf-8", "surrogateescape")
        # The piece's line 2 is the file's line `first_line`.
        yield "user.import_piece", {"csv": text}, first_line - 2


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Whole lines of about PIECE_BYTES together, each time with the number of the first. At least one piece, if empty."""
    line, sent = 2, False
    while lines := stream.readlines(PIECE_BYTES):
        yield line, b"".join(lines)
        line, sent = line + len(lines), True
    if not sent:
        yield line, b""


def _record_pieces(stream: BinaryIO, form: Format, total: dict[str, Any]) -> Iterator[Piece]:
    from wardgate.admin.user_formats import read_json_records, read_ldif_records

    records = read_ldif_records(stream) if form is Format.LDIF else read_json_records(stream)
    waiting: list[str] = []
    size, sent = 0, False
    for number, record in enumerate(records):
        if number >= MAX_RECORDS:
            raise UsageError(f"the file has more than {MAX_RECORDS:,} records; split it")
        if record.cells is None and record.problem is None:
            total["passed_over"] += 1
            continue
        waiting.append(_sent(record))
        size += len(waiting[-1])
        if len(waiting) >= PIECE_RECORDS or size >= PIECE_BYTES:
            yield _piece(waiting)
            waiting, size, sent = [], 0, True
    if waiting or not sent:
        yield _piece(waiting)


def _piece(waiting: list[str]) -> Piece:
    return "user.import_records", {"records": f"[{','.join(waiting)}]"}, 0


def _sent(record: "Record") -> str:
    return json.dumps([record.line, record.cells if record.cells is not None else record.problem])


# --- out -----------------------------------------------------------------------------------------------------------------


def export_users(performer: Performer, form: Format, output: Path | None, params: Mapping[str, Any]) -> dict[str, Any]:
    """Write every user to a new file that its owner alone may read, or to standard output; tells how many there were."""
    from wardgate.admin.user_formats import csv_header

    with_hashes, count, after, directory = bool(params["with_hashes"]), 0, None, ""
    with _sink(output) as sink, counting("exporting") as advance:
        sink.write({Format.CSV: csv_header(with_hashes), Format.LDIF: "version: 1\n\n", Format.JSON: "["}[form])
        while True:
            page = performer.do("user.export_page", {**params, "after": after, "limit": PAGE})
            directory = page["directory"]
            for cells in page["users"]:
                sink.write(_written(form, cells, directory, with_hashes, first=not count))
                count += 1
            advance(count, "")
            after = page["next"]
            if after is None:
                break
        sink.write("\n]\n" if form is Format.JSON else "")
    return {"directory": directory, "users": count, "file": str(output) if output is not None else None, "with_hashes": with_hashes}


def _written(form: Format, cells: Mapping[str, Any], directory: str, with_hashes: bool, first: bool) -> str:
    from wardgate.admin.user_formats import csv_user, json_user, ldif_user

    match form:
        case Format.CSV:
            return csv_user(cells, with_hashes)
        case Format.LDIF:
            return ldif_user(cells, directory)
        case Format.JSON:
            return ("\n" if first else ",\n") + json_user(cells)


@contextmanager
def _sink(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise UsageError(f"{output}: is there already; name a new file") from None
    except OSError as error:
        raise UsageError(f"{output}: cannot be written: {error.strerror}") from error
    done = False
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        done = True
    finally:
        if not done:
            # Half a list of users would be taken for a whole one.
            output.unlink(missing_ok=True)
