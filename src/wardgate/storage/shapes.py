"""What each table may hold, as plain tuples that are quick to check against.

Every back-end checks operations here, before it queues them, so that a misfit is the caller's error at once and never
spoils a batch that holds other callers' units. Values come back as they are stored: exact `str`, `int` or `bytes`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from struct import Struct
from struct import error as StructError
from typing import Any, Final, cast

from sqlalchemy import Column, Index, Table, UniqueConstraint

from wardgate.errors import StorageError, WardgateError
from wardgate.storage.port import (
    GENESIS_LINK,
    MAX_FINDS,
    MAX_IN_VALUES,
    MAX_UNIT_OPERATIONS,
    OPERATORS,
    Append,
    ChainLink,
    Delete,
    Find,
    Modify,
    ModifyFunction,
    Operation,
    Row,
    Update,
    Value,
    Where,
)
from wardgate.storage.schema import metadata
from wardgate.storage.schema.keeping import audit_event
from wardgate.values import quick_value

MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**63 - 1
_NULL_TESTS = ("is_null", "not_null")
_WORDS = {str: "text", int: "a whole number", bytes: "bytes"}
# Given by the back-end, never by the caller of `Append`.
CHAIN_COLUMNS = ("writer", "epoch", "seq", "link")

Values = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """One column: the type that its values have, and whether it may be empty."""

    table: str
    name: str
    kind: type[str] | type[int] | type[bytes]
    nullable: bool

    def stored(self, value: object) -> Value:
        """The value as it is stored. Raises StorageError for what the column cannot hold."""
        if value is None:
            if self.nullable:
                return None
            raise StorageError(f"{self} must not be empty")
        if not isinstance(value, self.kind):
            raise StorageError(f"{self} holds {_WORDS[self.kind]}, not {type(value).__name__}")
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            return self._number(value)
        return bytes(value)

    def _text(self, value: str) -> str:
        # NUL: PostgreSQL cannot hold it, and what one back-end refuses no back-end takes.
        if "\0" in value:
            raise StorageError(f"{self} cannot hold the character U+0000")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise StorageError(f"{self} cannot hold half a surrogate pair") from error
        return str.__str__(value)

    def _number(self, value: int) -> int:
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise StorageError(f"{self} holds 64 bits")
        return int(value)

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


Check = Callable[[Values], bool]
# Which columns are empty differs from row to row; the bound is there so that no caller can fill the memory.
_MAX_CHECKS = 500


class Columns:
    """What a row of values must fit, and how to see quickly that it does: a check for each combination of types that was met."""

    __slots__ = ("checks", "columns")

    def __init__(self, columns: Iterable[ColumnShape]) -> None:
        self.columns = tuple(columns)
        self.checks: dict[tuple[type, ...], Check] = {}

    def stored(self, values: Values) -> Values:
        """The values as they are stored, one by one. Raises StorageError for what does not fit."""
        if len(values) != len(self.columns):
            raise StorageError(f"{len(values)} values for {', '.join(map(str, self.columns)) or 'no columns'}")
        stored = tuple([column.stored(value) for value, column in zip(values, self.columns, strict=True)])
        if len(self.checks) < _MAX_CHECKS:
            kinds = tuple(map(type, stored))
            self.checks[kinds] = _check_of(kinds)
        return stored


def _check_of(kinds: tuple[type, ...]) -> Check:
    """Whether values, whose types are these and fit, are also within the limits of `ColumnShape.stored`."""
    texts = tuple([position for position, kind in enumerate(kinds) if kind is str])
    numbers = tuple([position for position, kind in enumerate(kinds) if kind is int])
    pick_texts, pick_numbers = _at(texts), _at(numbers)
    pack = Struct(f"{len(numbers)}q").pack  # fails beyond 64 bits

    def check(values: Values) -> bool:
        try:
            if texts:
                text = "".join(pick_texts(values))
                if "\0" in text:
                    return False
                if not text.isascii():
                    text.encode()
            if numbers:
                pack(*pick_numbers(values))
        except (StructError, UnicodeEncodeError):
            return False
        return True

    return check


def _at(positions: tuple[int, ...]) -> Callable[[Values], tuple[Any, ...]]:
    if len(positions) == 1:
        return lambda values: (values[positions[0]],)
    return itemgetter(*positions) if positions else lambda values: ()


@dataclass(frozen=True, slots=True)
class TableShape:
    """One table: its columns in order, its primary key, and what else must be unique."""

    name: str
    table: Table
    names: tuple[str, ...]
    columns: Columns
    by_name: Mapping[str, ColumnShape]
    key: tuple[str, ...]
    key_columns: Columns
    uniques: tuple[tuple[str, ...], ...]
    pick: Callable[[Row], Values]
    pick_key: Callable[[Row], Values]
    # Columns that begin the primary key, a unique constraint or an index: `=` on one of them finds few rows quickly.
    leading: frozenset[str]

    def column(self, name: str) -> ColumnShape:
        """Raises StorageError when there is no such column."""
        found = self.by_name.get(name)
        if found is None:
            raise StorageError(f"table {self.name} has no column {name!r}")
        return found

    def row(self, row: Row) -> Values:
        """The values of a whole row in column order; a column that may be empty may be left out."""
        return _picked(row, self.names, self.columns, self.pick, self.name)

    def key_values(self, key: Row) -> Values:
        """The values of a whole primary key in its order."""
        return checked(self.key_parts(key), self.key_columns)

    def key_parts(self, key: Row) -> Values:
        """The same, for a caller who checks them together with other values."""
        if len(key) == len(self.key):
            try:
                return self.pick_key(key)
            except KeyError:
                pass  # as many columns, but not these
        raise StorageError(f"the key of {self.name} is {', '.join(self.key)}")

    def key_of(self, values: Values) -> Values:
        """The primary key of a whole row."""
        return tuple([values[self.names.index(name)] for name in self.key])

    def as_row(self, values: Values) -> dict[str, Value]:
        """The values of a whole row, by name."""
        return dict(zip(self.names, values, strict=True))


def checked(values: Values, columns: Columns) -> Values:
    """The values as they are stored; plain values that fit are passed on untouched."""
    # Runs for every write and read: types are looked at all together, and most limits too.
    check = columns.checks.get(tuple(map(type, values)))
    return values if check is not None and check(values) else columns.stored(values)


def _picked(row: Row, names: tuple[str, ...], columns: Columns, pick: Callable[[Row], Values], table: str) -> Values:
    if len(row) == len(names):
        try:
            return checked(pick(row), columns)
        except KeyError:
            pass  # as many columns, but not these: what is said below
    if not row.keys() <= set(names):
        raise StorageError(f"table {table} has no column {min(row.keys() - set(names))!r} that could be given here")
    return checked(tuple(map(row.get, names)), columns)


# --- the tables ------------------------------------------------------------------------------------------------------


def _column(table: Table, column: Column[object]) -> ColumnShape:
    return ColumnShape(table.name, column.name, column.type.python_type, bool(column.nullable))


def _uniques(table: Table) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(c.name for c in item.columns) for item in table.constraints if isinstance(item, UniqueConstraint))


def _leading(table: Table) -> frozenset[str]:
    indexes: list[Index] = sorted(table.indexes, key=lambda index: str(index.name))
    groups = [list(table.primary_key.columns), *(list(index.columns) for index in indexes)]
    return frozenset([group[0].name for group in groups if group] + [unique[0] for unique in _uniques(table)])


def _picker(names: tuple[str, ...]) -> Callable[[Row], Values]:
    if len(names) == 1:
        (only,) = names
        return lambda row: (row[only],)
    return itemgetter(*names)


def shape_of_table(table: Table) -> TableShape:
    """The shape of one SQLAlchemy table."""
    columns = tuple(_column(table, column) for column in table.columns)
    names = tuple(column.name for column in columns)
    key = tuple(column.name for column in table.primary_key.columns)
    by_name = {column.name: column for column in columns}
    return TableShape(
        name=table.name,
        table=table,
        names=names,
        columns=Columns(columns),
        by_name=by_name,
        key=key,
        key_columns=Columns([by_name[name] for name in key]),
        uniques=_uniques(table),
        pick=_picker(names),
        pick_key=_picker(key),
        leading=_leading(table),
    )


SHAPES: Mapping[str, TableShape] = {table.name: shape_of_table(table) for table in metadata.sorted_tables}

AUDIT = SHAPES[audit_event.name]
EVENT_NAMES = tuple(name for name in AUDIT.names if name not in CHAIN_COLUMNS)
_EVENT_COLUMNS = Columns([AUDIT.by_name[name] for name in EVENT_NAMES])
_EVENT_PICK = _picker(EVENT_NAMES)


def shape_of(table: str) -> TableShape:
    """Raises StorageError when there is no such table."""
    found = SHAPES.get(table)
    if found is None:
        raise StorageError(f"there is no table {table!r}")
    return found


# --- conditions and operations ---------------------------------------------------------------------------------------


def check_where(shape: TableShape, where: Where) -> Values:
    """The values that a condition compares with: none, one, or those of `in`. Raises StorageError when it cannot hold."""
    column = shape.column(where.column)
    if where.operator not in OPERATORS:
        raise StorageError(f"a condition on {column} has the unknown operator {where.operator!r}")
    if where.operator in _NULL_TESTS:
        if where.value is not None:
            raise StorageError(f"{where.operator} on {column} takes no value")
        return ()
    if where.operator != "in":
        return (_comparable(column, where.value),)
    if not isinstance(where.value, tuple) or len(where.value) > MAX_IN_VALUES:
        raise StorageError(f"`in` on {column} takes a tuple of at most {MAX_IN_VALUES} values")
    return tuple([_comparable(column, value) for value in where.value])


def _comparable(column: ColumnShape, value: object) -> Value:
    # `= None` would never hold in SQL: whoever writes it means is_null.
    if value is None:
        raise StorageError(f"{column} is compared with nothing: use is_null or not_null")
    return column.stored(value)


def check_limit(limit: int | None) -> None:
    """Raises StorageError for a limit that is not a count."""
    if limit is not None and (type(limit) is not int or not 0 <= limit <= MAX_INTEGER):
        raise StorageError("a limit is a whole number from 0 up")


def check_finds(finds: Sequence[Find]) -> None:
    """Raises StorageError for a read that asks for too much at once."""
    if len(finds) > MAX_FINDS:
        raise StorageError(f"a read holds at most {MAX_FINDS} finds, not {len(finds)}")


def check_changes(shape: TableShape, operation: Update) -> tuple[ColumnShape, ...]:
    """The columns that an update sets or adds to, in that order. Raises StorageError when one of them may not change."""
    names = [*operation.changes, *operation.add]
    if len(set(names)) != len(names):
        raise StorageError(f"an update of {shape.name} sets and adds to the same column")
    columns = tuple([shape.column(name) for name in names])
    for column in columns:
        if column.name in shape.key:
            raise StorageError(f"{column} is part of the primary key, which an update never changes")
    for column in columns[len(operation.changes) :]:
        if column.kind is not int:
            raise StorageError(f"{column} is not a number that could be added to")
    return columns


def check_increment(column: ColumnShape, amount: object) -> int:
    """What an update adds. Raises StorageError for anything but a 64-bit number."""
    value = _comparable(column, amount)
    if isinstance(value, int):
        return value
    raise StorageError(f"{column} is not a number that could be added to")


REFUSED: Final = object()


def successor(
    shape: TableShape, key: Values, current: Values | None, function: ModifyFunction | None, arguments: Row
) -> tuple[Values | None, object]:
    """Run the function of a `Modify`: the whole new row (None: nothing to write), and the result; `REFUSED` refuses the unit.

    The key is filled in, the result is plain data. Raises StorageError when the function fails or what it returns does not fit:
    only its own unit suffers.
    """
    if function is None:
        raise StorageError(f"a Modify of {shape.name} came without its function")
    try:
        modified = function(None if current is None else shape.as_row(current), arguments)
    except WardgateError:
        raise
    except Exception as error:
        raise StorageError(f"the function of a Modify of {shape.name} failed: {type(error).__name__}") from error
    if modified.refuse:
        return None, REFUSED
    result = modified.result
    if type(result) not in _PLAIN:
        result = plain(result)
    if modified.row is None:
        return None, result
    values = shape.row({**modified.row, **dict(zip(shape.key, key, strict=True))})
    return (None if values == current else values), result


_PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes})


def plain(data: object) -> object:
    """The same in exact types, so that it can travel to another process and back. Raises StorageError for what cannot."""
    if type(data) in _PLAIN:
        return data
    if isinstance(data, Mapping):
        return {plain(name): plain(value) for name, value in data.items()}
    if isinstance(data, tuple | list):
        items = [plain(item) for item in data]
        return items if isinstance(data, list) else tuple(items)
    if isinstance(data, str):
        return str.__str__(data)
    if isinstance(data, bytes):
        return bytes(data)
    if isinstance(data, int):
        return int(data)
    raise StorageError(f"what a Modify takes or gives is {type(data).__name__}, which is not plain data")


def plain_arguments(operation: Modify) -> dict[str, Value]:
    """A copy of the arguments of a `Modify`, in exact types. Raises StorageError for what is not plain data."""
    arguments = dict(operation.arguments)
    if _PLAIN.issuperset(map(type, arguments.values())):
        return arguments
    return {name: cast(Value, plain(value)) for name, value in arguments.items()}


def check_unit(operations: Sequence[Operation]) -> None:
    """Raises StorageError for a unit that would hold up everybody else's."""
    if len(operations) > MAX_UNIT_OPERATIONS:
        raise StorageError(f"a unit holds at most {MAX_UNIT_OPERATIONS} operations, not {len(operations)}")


def event_values(operation: Append) -> Values:
    """The values of an event's own columns, in the order of `EVENT_NAMES`."""
    return _picked(operation.row, EVENT_NAMES, _EVENT_COLUMNS, _EVENT_PICK, AUDIT.name)


def check_delete(operation: Delete) -> None:
    """Raises StorageError for a delete that would empty the table."""
    if not operation.where:
        raise StorageError(f"a Delete of {operation.table} needs a condition")
    check_limit(operation.limit)


# --- the audit chain -------------------------------------------------------------------------------------------------


@quick_value
class Head:
    """The newest event of a chain."""

    seq: int
    link: bytes


NO_EVENT = Head(0, GENESIS_LINK)


def extend(chain: ChainLink | None, head: Head, event: Row) -> Head:
    """The head after `event`. Raises StorageError when there is no chain or its function fails: only this unit suffers."""
    if chain is None:
        raise StorageError("an Append came before use_chain")
    seq = head.seq + 1
    try:
        return Head(seq, chain.link(head.link, seq, event))
    except Exception as error:
        raise StorageError(f"the audit chain's link failed: {type(error).__name__}") from error
