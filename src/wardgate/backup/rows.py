"""How rows stand in a backup: a JSON array a line, values in the order of the table's columns, bytes as base64."""

import binascii
from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from wardgate.backup.archive import BackupError
from wardgate.storage.port import Value
from wardgate.storage.snapshot import BYTES, Column

_KINDS: Final = {"text": str, "number": int, BYTES: str}


class RowCoder:
    """Encodes and decodes the rows of one table."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._kinds = tuple([_KINDS[column.kind] for column in columns])
        self._bytes = tuple([place for place, column in enumerate(columns) if column.kind == BYTES])

    def encode(self, rows: Iterable[Sequence[Value]]) -> bytes:
        """The lines of some rows."""
        if not self._bytes:
            return b"".join([orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows])
        return b"".join([orjson.dumps(self._plain(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows])

    def _plain(self, row: Sequence[Value]) -> list[Value]:
        values = list(row)
        for place in self._bytes:
            value = values[place]
            if isinstance(value, bytes):
                values[place] = binascii.b2a_base64(value, newline=False).decode()
        return values

    def decode(self, lines: bytes) -> list[list[Value]]:
        """The rows of some lines. Raises BackupError for what are no rows of this table."""
        try:
            return [self._row(line) for line in lines.splitlines()]
        except (ValueError, TypeError) as error:
            raise BackupError("a row does not fit its table") from error

    def _row(self, line: bytes) -> list[Value]:
        row: list[Value] = orjson.loads(line)
        for value, kind in zip(row, self._kinds, strict=True):
            if value is not None and type(value) is not kind:
                raise TypeError(kind.__name__)
        for place in self._bytes:
            value = row[place]
            if isinstance(value, str):
                row[place] = binascii.a2b_base64(value, strict_mode=True)
        return row
