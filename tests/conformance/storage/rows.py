"""Rows for the suite: any table, with the columns that a test cares about."""

from collections.abc import Mapping

from wardgate.storage.port import Append, Committed, Insert, Operation, Refused, Row, Storage, Value, Where
from wardgate.storage.schema import metadata
from wardgate.storage.schema.keeping import audit_event

_FILLING: Mapping[type[object], Value] = {str: "", int: 0, bytes: b""}
CHAIN_COLUMNS = ("writer", "epoch", "seq", "link")


def row(table: str, **given: Value) -> dict[str, Value]:
    """A whole row: what is given, None where that is allowed, and something empty elsewhere."""
    filled: dict[str, Value] = {
        column.name: None if column.nullable else _FILLING[column.type.python_type] for column in metadata.tables[table].columns
    }
    return {**filled, **given}


def brake(key: str, **given: Value) -> dict[str, Value]:
    """A row of a table with a primary key of two columns, one of them bytes."""
    return row("brake", kind="user", key=key.encode(), **given)


def brake_key(key: str) -> Row:
    """Its primary key."""
    return {"kind": "user", "key": key.encode()}


def user(identifier: str, name: str, **given: Value) -> dict[str, Value]:
    """A row of a table with a unique constraint beside its primary key."""
    return row("local_user", id=identifier, directory="staff", name=name, name_key=name, **given)


def message(identifier: str, **given: Value) -> dict[str, Value]:
    """A row of a table with columns that may be empty."""
    return row("outbox", id=identifier, **given)


def event(kind: str, **given: Value) -> Append:
    """An audit event."""
    filled = row(audit_event.name, kind=kind, commitment=b"c", **given)
    return Append({name: value for name, value in filled.items() if name not in CHAIN_COLUMNS})


class TextChain:
    """A chain whose links can be read: each is the one before with the number and kind appended."""

    def __init__(self, writer: str = "w1", epoch: int = 1) -> None:
        self.writer = writer
        self.epoch = epoch

    def link(self, previous: bytes, seq: int, row: Row) -> bytes:
        """The readable link."""
        return previous[-64:] + f"|{seq}:{row['kind']!r}".encode()


async def committed(storage: Storage, *operations: Operation) -> tuple[object, ...]:
    """Commit a unit that must hold; its results."""
    outcome = await storage.commit(operations)
    assert isinstance(outcome, Committed), outcome
    return outcome.results


async def refused(storage: Storage, *operations: Operation) -> tuple[int, str]:
    """Commit a unit that must not hold; where and why."""
    outcome = await storage.commit(operations)
    assert isinstance(outcome, Refused), outcome
    return outcome.position, outcome.reason


async def insert(storage: Storage, table: str, *rows: Row) -> None:
    """Add rows in one unit."""
    await committed(storage, *[Insert(table, item) for item in rows])


async def ids(storage: Storage, table: str, *where: Where) -> list[Value]:
    """The ids of the rows that meet the conditions, sorted."""
    return sorted([item["id"] for item in await storage.find(table, where)], key=str)
