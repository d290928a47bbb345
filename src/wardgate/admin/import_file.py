"""Reading a CSV file of users: one typed row per line, or what is wrong with the line. No storage, no clock.

UTF-8 with or without a byte order mark; comma, semicolon or tab, told by the header row. One line is one user: a quoted cell
may hold the delimiter but no line break, so that a quote that was never closed spoils one line and not the rest of the file.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, BinaryIO

from wardgate.admin import fields
from wardgate.admin.user_columns import COLUMNS, NAME, PASSWORD, PASSWORD_HASH, TOTP_SECRET, unharmed
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.local import StoredPassword
from wardgate.directory.port import AccountState
from wardgate.errors import UsageError
from wardgate.foreign_hashes import adopt
from wardgate.storage.port import Value

MAX_ROW_BYTES = 16 * 1024
MAX_ROWS = 5_000_000
MAX_MOMENT_CHARS = 40
MAX_REASON_CHARS = 200
_COUNT_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One user of the file. `profile`: the table's columns that the file speaks of; others stay as they are."""

    line: int
    name: str
    key: str
    profile: Mapping[str, Value]
    password: Secret | None = None
    stored: StoredPassword | None = None
    totp_secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that was not taken, and why; never its content."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Header:
    """What the first line said. `ignored`: columns that mean nothing here."""

    delimiter: str
    columns: tuple[str, ...]
    ignored: tuple[str, ...]


def count_lines(stream: BinaryIO) -> int | None:
    """How many lines follow the header, or None when the stream cannot go back. Leaves the stream where it was."""
    if not stream.seekable():
        return None
    start, lines, last = stream.tell(), 0, b"\n"
    while chunk := stream.read(_COUNT_CHUNK):
        lines += chunk.count(b"\n")
        last = chunk[-1:]
    stream.seek(start)
    return max(0, lines + (last != b"\n") - 1)


def read_header(stream: BinaryIO) -> Header:
    """Read the header row. Raises UsageError when the file cannot be a list of users."""
    raw = stream.readline(MAX_ROW_BYTES + 1).removeprefix(_BOM)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UsageError("the file is UTF-16; save it as CSV UTF-8")
    if len(raw) > MAX_ROW_BYTES:
        raise UsageError(f"the header row is longer than {MAX_ROW_BYTES} bytes")
    try:
        text = raw.decode()
        delimiter = max(_DELIMITERS, key=text.count)
        names = tuple(name.strip().lower() for name in next(csv.reader([text], delimiter=delimiter, strict=True), []))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError("the header row is not CSV in UTF-8") from error
    known = [name for name in names if name in COLUMNS]
    if NAME not in known:
        raise UsageError(f"the header row has no column {NAME}; known columns: {', '.join(COLUMNS)}")
    if len(set(known)) != len(known):
        raise UsageError("the header row names a column twice")
    return Header(delimiter, names, tuple(name for name in names if name and name not in COLUMNS))


def read_rows(stream: BinaryIO, header: Header, keep_hashes: bool) -> Iterator[ImportRow | BadRow]:
    """The users of the file, line by line. Blank lines are passed over. Raises UsageError beyond MAX_ROWS lines."""
    line = 1
    while raw := stream.readline(MAX_ROW_BYTES + 1):
        line += 1
        if line > MAX_ROWS + 1:
            raise UsageError(f"the file has more than {MAX_ROWS:,} rows; split it")
        if len(raw) > MAX_ROW_BYTES:
            _skip_line(stream, raw)
            yield BadRow(line, f"longer than {MAX_ROW_BYTES} bytes")
        elif raw.strip():
            yield _read_row(line, raw, header, keep_hashes)


def _skip_line(stream: BinaryIO, raw: bytes) -> None:
    while raw and not raw.endswith(b"\n"):
        raw = stream.readline(MAX_ROW_BYTES)


def _read_row(line: int, raw: bytes, header: Header, keep_hashes: bool) -> ImportRow | BadRow:
    try:
        cells = next(csv.reader([raw.decode()], delimiter=header.delimiter, strict=True))
    except UnicodeDecodeError:
        return BadRow(line, "not UTF-8")
    except csv.Error:
        return BadRow(line, "not CSV: a quote is not closed, or something stands after one")
    if len(cells) != len(header.columns):
        return BadRow(line, f"{len(cells)} cells under {len(header.columns)} columns")
    try:
        named = zip(header.columns, cells, strict=True)
        return _typed(line, {name: unharmed(name, cell) for name, cell in named}, keep_hashes)
    except UsageError as error:
        return BadRow(line, error.message)


def read_records(records: Secret, keep_hashes: bool) -> Iterator[ImportRow | BadRow]:
    """Rows of another format: a JSON list of [line, cells], or [line, why it cannot be read]. Raises UsageError."""
    try:
        given = json.loads(records.reveal())
        pairs = [(int(line), told) for line, told in (given if isinstance(given, list) else [given])]
    except (ValueError, TypeError, RecursionError):
        raise UsageError("records: not a list of lines and cells") from None
    for line, told in pairs:
        yield row_of(line, told, keep_hashes) if isinstance(told, dict) else BadRow(line, str(told)[:MAX_REASON_CHARS])


def row_of(line: int, cells: Mapping[str, Any], keep_hashes: bool) -> ImportRow | BadRow:
    """A user out of the cells of another format: texts, and a list of groups. Other columns are passed over."""
    known = {name: cell for name, cell in cells.items() if name in COLUMNS}
    groups = known.pop("groups", None)
    texts = [*known.values(), *(groups if isinstance(groups, list) else ["" if groups is None else groups])]
    if not all(isinstance(cell, str) for cell in texts) or NAME not in known:
        return BadRow(line, "not a user")
    try:
        row = _typed(line, known, keep_hashes)
        if groups is None:
            return row
        column = fields.group_column(groups) if isinstance(groups, list) else _groups(str(groups))
        return replace(row, profile={**row.profile, "groups": column})
    except UsageError as error:
        return BadRow(line, error.message)


def _typed(line: int, cells: Mapping[str, str], keep_hashes: bool) -> ImportRow:
    name, key = fields.user_name(cells[NAME])
    password, hashed = cells.get(PASSWORD, ""), cells.get(PASSWORD_HASH, "").strip()
    if password and hashed:
        raise UsageError("both password and password_hash are given")
    totp_secret = cells.get(TOTP_SECRET, "").strip()
    return ImportRow(
        line=line,
        name=name,
        key=key,
        profile=_profile(cells),
        password=fields.password(password) if password else None,
        stored=StoredPassword(adopt(hashed), keep_hashes) if hashed else None,
        totp_secret=Secret(fields.secret_bytes(totp_secret)) if totp_secret else None,
    )


@lru_cache(maxsize=1024)
def _groups(cell: str) -> str:
    """The same few lists of groups stand in most rows of a file."""
    return fields.group_column(cell.split(";"))


def _profile(cells: Mapping[str, str]) -> dict[str, Value]:
    profile: dict[str, Value] = {}
    if "mail" in cells:
        profile |= fields.mail_columns(cells["mail"])
    if "phone" in cells:
        profile["phone"] = fields.phone_number(cells["phone"])
    if "groups" in cells:
        profile["groups"] = _groups(cells["groups"])
    if "display_name" in cells:
        profile["display_name"] = fields.display_name(cells["display_name"])
    if "language" in cells:
        profile["language"] = fields.language_tag(cells["language"])
    if "state" in cells:
        profile["state"] = _state(cells["state"])
    if "must_change" in cells:
        profile["must_change"] = _flag(cells["must_change"])
    if "expires_at" in cells:
        profile["expires_at"] = _moment(cells["expires_at"])
    return profile


def _state(cell: str) -> str:
    state = cell.strip().lower() or AccountState.ACTIVE.value
    # An account is expired by its date, never by a word.
    if state not in (AccountState.ACTIVE, AccountState.DISABLED, AccountState.LOCKED):
        raise UsageError("state: not active, disabled or locked")
    return state


def _flag(cell: str) -> int:
    words = {"": 0, "false": 0, "no": 0, "0": 0, "true": 1, "yes": 1, "1": 1}
    found = words.get(cell.strip().lower())
    if found is None:
        raise UsageError("must_change: not true or false")
    return found


def _moment(cell: str) -> int | None:
    if not cell.strip():
        return None
    try:
        moment = datetime.fromisoformat(cell.strip()[:MAX_MOMENT_CHARS])
        at_ms = to_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
        if at_ms > 0:
            return at_ms
        raise ValueError
    except (ValueError, OverflowError):
        raise UsageError("expires_at: not a time such as 2026-12-31T23:59:59Z") from None
