"""A whole database at one moment, read beside those who write it, and a database filled from one.

For backups. A snapshot waits for nobody and nobody waits for it; every back-end has its own way to one. Values come as the
database holds them, with the columns that it has now: it may be of an older release than this program.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol

from wardgate.storage.port import Value

BYTES: Final = "bytes"
PAGE_ROWS: Final = 256
# Tables whose rows may be large: so many rows make a page.
PAGE_ROWS_OF: Final[Mapping[str, int]] = {"configuration": 1}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `kind` is text, number or bytes."""

    name: str
    kind: str


class Snapshot(Protocol):
    """One moment of a database, open until it is closed."""

    @property
    def version(self) -> int:
        """Which migration its tables are of."""
        ...

    @property
    def tables(self) -> Mapping[str, tuple[Column, ...]]:
        """Every table of ours with its columns."""
        ...

    def pages(self, table: str) -> AsyncIterator[Sequence[Sequence[Value]]]:
        """The rows of a table, some at a time, in no order."""
        ...

    async def close(self) -> None:
        """Let go of the moment."""
        ...

    async def __aenter__(self) -> "Snapshot": ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
