"""What the directory asks of a database, and what it gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, Protocol

from wardgate.directory.port import ServerStatus
from wardgate.directory.sql.statements import Statement

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement gave: rows with the names of their columns, or how many rows it changed."""

    columns: tuple[str, ...] = ()
    # Password hashes: not for a trace that shows what stood in a function.
    rows: Sequence[Sequence[Any]] = field(default=(), repr=False)
    count: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, and how many connections there may be."""

    connect_s: float
    operation_s: float
    connections: int


@dataclass(frozen=True, slots=True)
class Writing:
    """How moments are written where a column's type does not tell. `form`: the setting `written_times`."""

    zone: tzinfo
    form: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What an examination wants to know of a server. `account`: as whom it knows us. `encrypted`: by what, empty in clear."""

    version: str
    account: str
    encrypted: str
    server: str


class SqlEngine(Protocol):
    """A database. All raise DirectoryUnavailable when it fails or is silent, RightMissing when it refuses us the right."""

    async def run(self, statement: Statement, values: Values, timeout_s: float) -> Result:
        """Run a statement. A value that no such column can hold finds no row.

        One that writes is for one user: where it would change more rows than one it is undone, and the result says how many.
        """
        ...

    async def facts(self, timeout_s: float) -> Facts:
        """Who answers, and how we are connected."""
        ...

    async def types(self, table: str, timeout_s: float) -> Mapping[str, str]:
        """The columns of a table or view, with their types; empty when there is none. `table`: as it stands in the settings."""
        ...

    async def plan(self, statement: Statement, values: Values, timeout_s: float) -> tuple[bool, str]:
        """Whether it finds its rows by an index, and in the engine's words how."""
        ...

    def grants(self, table: str, columns: Sequence[str], account: str) -> tuple[str, ...]:
        """The lines that give the right to update these columns."""
        ...

    def servers(self) -> tuple[ServerStatus, ...]:
        """What we hold of each server, without asking it."""
        ...

    async def close(self) -> None:
        """Give up all connections."""
        ...
