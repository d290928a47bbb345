"""SQL for operations and queries: SQLAlchemy Core builds each form once, the raw driver runs its text from then on.

A form is what is left of an operation without its values: table, columns, operators. Building and compiling one costs
SQLAlchemy about half a millisecond, looking it up well under a microsecond. An operation becomes a **step**: its statement
and its values, checked, in the order in which the driver wants them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Executable,
    Integer,
    Table,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import sqlite

from wardgate.errors import StorageError
from wardgate.storage.port import (
    MAX_IN_VALUES,
    OPERATORS,
    Announce,
    Append,
    Delete,
    Find,
    Insert,
    Lookup,
    Modify,
    ModifyFunction,
    Operation,
    Sought,
    Update,
    Upsert,
    Value,
    Where,
)
from wardgate.storage.shapes import (
    AUDIT,
    EVENT_NAMES,
    MAX_INTEGER,
    MIN_INTEGER,
    Columns,
    ColumnShape,
    TableShape,
    Values,
    check_changes,
    check_delete,
    check_limit,
    check_unit,
    checked,
    event_values,
    plain_arguments,
    shape_of,
)

_DIALECT = sqlite.dialect(paramstyle="qmark")
# Forms come from code, not from outside; the bound is there so that a mistake cannot fill the memory.
MAX_FORMS = 2000
# Named, because SQLAlchemy writes an OFFSET behind every LIMIT for SQLite, and would make it one more value.
_NO_OFFSET = literal_column("0", Integer)
# Not `false()`: SQLAlchemy would leave out the other conditions, and their values with them.
_NEVER = literal_column("0") == literal_column("1")
NULL_TESTS = ("is_null", "not_null")


NO_COLUMNS = Columns(())

# What the writer does with a step, and what its result is. Plain numbers: the writer asks for each step.
CHANGE = 0  # must change one row, else conflict
INSERT = 1  # must add one row, else exists
WRITE = 2  # adds or replaces
REMOVE = 3  # the result is how many rows went
LAST_PLAIN = REMOVE  # up to here a step is one execution of its SQL
GUARD = 4  # must find a row, else conflict
MODIFY = 5  # read, compute, write
APPEND = 6  # extend the audit chain
ANNOUNCE = 7  # nothing to write


# Compared by identity: each form is made once, and is looked up for every step.
@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """One form: its SQL, what its values must fit, and for `MODIFY` what computes the new row and how it is written."""

    kind: int
    shape: TableShape
    sql: str
    columns: Columns = NO_COLUMNS
    write_sql: str = ""
    # Where the values of `Update.add` begin and end: the room that they leave has to be worked out.
    added: tuple[int, int] = (0, 0)
    writes: bool = True
    function: ModifyFunction | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One form of a read. `narrow`: an index finds the rows, and by their nature they are few."""

    shape: TableShape
    sql: str
    columns: Columns
    narrow: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What was worked out of a lookup: its query, what its values must fit, and the values that follow them each time."""

    query: Query
    own: Columns
    rest: Values


# The second part depends on the kind: values for SQL, or for MODIFY (key, arguments).
Step = tuple[Statement, tuple[Any, ...]]
Form = tuple[Any, ...]


class Statements:
    """Turns operations into steps and reads into queries, and remembers the forms.

    `check_function` raises StorageError for the function of a `Modify` that cannot be run where the units are written.
    """

    def __init__(self, check_function: Callable[[ModifyFunction], None] | None = None) -> None:
        self._check_function = check_function
        self._statements: dict[Form, Statement] = {}
        self._queries: dict[Form, Query] = {}
        self._lookups: dict[Lookup, _Known] = {}
        self._steps: Mapping[type[Operation], Callable[[Any], Step]] = {
            Insert: self._insert,
            Update: self._update,
            Upsert: self._upsert,
            Delete: self._delete,
            Modify: self._modify,
            Append: self._append,
            Announce: self._announce,
        }

    def unit(self, operations: Sequence[Operation]) -> tuple[Step, ...]:
        """The steps of a unit. Raises StorageError for an operation that does not fit the schema."""
        check_unit(operations)
        steps = []
        for operation in operations:
            make = self._steps.get(type(operation))
            if make is None:
                raise StorageError(f"{type(operation).__name__} is not an operation")
            steps.append(make(operation))
        return tuple(steps)

    # --- operations ---

    def _insert(self, item: Insert) -> Step:
        statement = self._statement(("insert", item.table), _build_insert)
        return statement, statement.shape.row(item.row)

    def _upsert(self, item: Upsert) -> Step:
        statement = self._statement(("upsert", item.table), _build_upsert)
        return statement, statement.shape.row(item.row)

    def _update(self, item: Update) -> Step:
        where, compared = _taken_apart(item.where)
        form = ("update", item.table, tuple(item.changes), tuple(item.add), where)
        statement = self._statements.get(form) or self._keep(form, _build_update(item))
        values = (*item.changes.values(), *item.add.values(), *statement.shape.key_parts(item.key), *compared)
        values = checked(values, statement.columns)
        if item.add:
            values = (*values, *_room(values[slice(*statement.added)]))
        return statement, values

    def _delete(self, item: Delete) -> Step:
        check_delete(item)
        where, compared = _taken_apart(item.where)
        form = ("delete", item.table, item.limit is None, where)
        statement = self._statements.get(form) or self._keep(form, _build_delete(item))
        values = checked(compared, statement.columns)
        return statement, values if item.limit is None else (*values, item.limit)

    def _modify(self, item: Modify) -> Step:
        form = ("modify", item.table, item.function)
        statement = self._statements.get(form) or self._keep(form, self._build_modify(item))
        return statement, (statement.shape.key_values(item.key), plain_arguments(item))

    def _build_modify(self, item: Modify) -> Statement:
        shape = shape_of(item.table)
        if self._check_function is not None:
            self._check_function(item.function)
        return Statement(MODIFY, shape, _build_get(shape).sql, write_sql=_upsert_sql(shape), function=item.function)

    def _append(self, item: Append) -> Step:
        return self._statement(("append", AUDIT.name), _build_append), event_values(item)

    def _announce(self, item: Announce) -> Step:
        return _ANNOUNCE, ()

    # --- reads ---

    def get(self, table: str) -> Query:
        """Read one row by primary key."""
        form = ("get", table)
        return self._queries.get(form) or self._keep_query(form, _build_get(shape_of(table)))

    def find(
        self, table: str, where: Sequence[Where], order_by: str | None, descending: bool, limit: int | None
    ) -> tuple[Query, Values]:
        """Read rows by conditions: the query and its values."""
        check_limit(limit)
        compared_by, compared = _taken_apart(where)
        form = (table, compared_by, order_by, descending, limit is None)
        query = self._queries.get(form) or self._keep_query(form, _build_find(table, where, order_by, descending, limit))
        values = checked(compared, query.columns)
        return query, values if limit is None else (*values, limit)

    def asked(self, find: Find) -> tuple[Query, Values]:
        """The query and the values of one of several finds."""
        if type(find) is not Sought:
            return self.find(find.table, find.where, find.order_by, find.descending, find.limit)
        known = self._lookups.get(find.lookup) or self._learn(find)
        return known.query, checked(find.values, known.own) + known.rest

    def _learn(self, find: Sought) -> _Known:
        query, values = self.find(find.table, find.where, find.order_by, find.descending, find.limit)
        own = len(find.values)
        known = self._lookups[find.lookup] = _Known(query, Columns(query.columns.columns[:own]), values[own:])
        return known

    def count(self, table: str, where: Sequence[Where], most: int | None = None) -> tuple[Query, Values]:
        """Count rows by conditions: the query and its values."""
        check_limit(most)
        compared_by, compared = _taken_apart(where)
        form = ("count", table, compared_by, most is None)
        query = self._queries.get(form) or self._keep_query(form, _build_count(table, where, most))
        values = checked(compared, query.columns)
        return query, values if most is None else (*values, most)

    # --- the forms that are known ---

    def _statement(self, form: Form, build: Callable[[TableShape], Statement]) -> Statement:
        return self._statements.get(form) or self._keep(form, build(shape_of(form[1])))

    def _keep(self, form: Form, statement: Statement) -> Statement:
        if len(self._statements) >= MAX_FORMS:
            self._statements.clear()
        self._statements[form] = statement
        return statement

    def _keep_query(self, form: Form, query: Query) -> Query:
        if len(self._queries) >= MAX_FORMS:
            self._queries.clear()
        self._queries[form] = query
        return query


# --- values ----------------------------------------------------------------------------------------------------------


def _taken_apart(where: Sequence[Where]) -> tuple[Form, Values]:
    """What is left of conditions without their values, and those values. Raises StorageError for what cannot be meant."""
    # Runs for every read and conditional write: one pass, and nearly always `=`.
    form: list[Any] = []
    values: list[Any] = []
    for item in where:
        operator = item.operator
        form += (item.column, operator)
        if operator == "=":
            values.append(item.value)
        elif operator == "in":
            form.append(_width(item))
            values += _padded(item)
        elif operator not in NULL_TESTS:
            values.append(item.value)
        elif item.value is not None:
            raise StorageError(f"{operator} on {item.column} takes no value")
    return tuple(form), tuple(values)


def _width(where: Where) -> int:
    """How many values the SQL of an `in` has room for: a power of two, so that a few forms serve every length."""
    if not isinstance(where.value, tuple) or len(where.value) > MAX_IN_VALUES:
        raise StorageError(f"`in` on {where.column} takes a tuple of at most {MAX_IN_VALUES} values")
    return 1 << (len(where.value) - 1).bit_length() if where.value else 0


def _padded(where: Where) -> tuple[Value, ...]:
    values = where.value if isinstance(where.value, tuple) else ()
    return values + values[-1:] * (_width(where) - len(values))


def _room(amounts: Values) -> list[int]:
    """The lowest and highest number to which each amount can be added within 64 bits."""
    bounds: list[int] = []
    for amount in amounts:
        number = amount if isinstance(amount, int) else 0
        bounds += (MIN_INTEGER - min(number, 0), MAX_INTEGER - max(number, 0))
    return bounds


# --- building the SQL ------------------------------------------------------------------------------------------------


def _bind(kind: str, position: int) -> "BindParameter[Any]":
    return bindparam(f"{kind}{position}")


def _compile(statement: Executable, names: Sequence[str]) -> str:
    """The SQL text with `?` for the named values. Raises StorageError when they do not stand in this order."""
    compiled = statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
    if list(compiled.positiontup) != list(names):
        raise StorageError(f"the values of a statement stand as {compiled.positiontup}, not as {list(names)}")
    return str(compiled)


def _conditions(shape: TableShape, where: Sequence[Where]) -> tuple[list[ColumnElement[bool]], list[ColumnShape], list[str]]:
    """The SQL of the conditions, what their values must fit, and the names of those values."""
    clauses: list[ColumnElement[bool]] = []
    columns: list[ColumnShape] = []
    for item in where:
        column = replace(shape.column(item.column), nullable=False)
        count = 0 if item.operator in NULL_TESTS else _width(item) if item.operator == "in" else 1
        binds = [_bind("w", len(columns) + extra) for extra in range(count)]
        clauses.append(_condition(shape.table, item, binds))
        columns += [column] * count
    return clauses, columns, [f"w{position}" for position in range(len(columns))]


def _condition(table: Table, where: Where, binds: "Sequence[BindParameter[Any]]") -> ColumnElement[bool]:
    column = table.c[where.column]
    match where.operator:
        case "is_null":
            return column.is_(None)
        case "not_null":
            return column.is_not(None)
        case "in":
            return column.in_(binds) if binds else _NEVER
        case operator if operator in OPERATORS:
            return column.bool_op("<>" if operator == "!=" else operator)(binds[0])
    raise StorageError(f"a condition on {table.name}.{where.column} has the unknown operator {where.operator!r}")


def _key_conditions(shape: TableShape) -> tuple[list[ColumnElement[bool]], list[str]]:
    names = [f"k{position}" for position in range(len(shape.key))]
    return [shape.table.c[column] == bindparam(name) for column, name in zip(shape.key, names, strict=True)], names


def _build_insert(shape: TableShape) -> Statement:
    sql = _compile(sqlite.insert(shape.table).values(_row_binds(shape.names)).on_conflict_do_nothing(), _row_names(shape.names))
    return Statement(INSERT, shape, sql)


def _build_upsert(shape: TableShape) -> Statement:
    return Statement(WRITE, shape, _upsert_sql(shape))


def _upsert_sql(shape: TableShape) -> str:
    insert = sqlite.insert(shape.table).values(_row_binds(shape.names))
    others = {name: insert.excluded[name] for name in shape.names if name not in shape.key}
    # A row that is there as it should be is left alone: SQLite would write it and the entry in each of its indexes once more.
    differs = or_(*[shape.table.c[name].is_distinct_from(new) for name, new in others.items()])
    replacing = insert.on_conflict_do_update(index_elements=list(shape.key), set_=others, where=differs)
    return _compile(replacing, _row_names(shape.names))


def _row_binds(columns: Sequence[str]) -> "dict[str, BindParameter[Any]]":
    return {column: _bind("v", position) for position, column in enumerate(columns)}


def _row_names(columns: Sequence[str]) -> list[str]:
    return [f"v{position}" for position in range(len(columns))]


def _build_update(item: Update) -> Statement:
    shape = shape_of(item.table)
    table = shape.table
    columns = check_changes(shape, item)
    key, key_names = _key_conditions(shape)
    clauses, compared, names = _conditions(shape, item.where)
    if not columns:
        sql = _compile(select(literal_column("1")).select_from(table).where(and_(*key, *clauses)), [*key_names, *names])
        return Statement(GUARD, shape, sql, Columns((*shape.key_columns.columns, *compared)), writes=False)
    split = len(item.changes)
    settings: list[tuple[Any, Any]] = [(table.c[c.name], _bind("c", n)) for n, c in enumerate(columns[:split])]
    settings += [(table.c[c.name], table.c[c.name] + _bind("a", n)) for n, c in enumerate(columns[split:])]
    room = [table.c[c.name].between(_bind("lo", n), _bind("hi", n)) for n, c in enumerate(columns[split:])]
    change = update(table).ordered_values(*settings).where(and_(*key, *clauses, *room))
    sql = _compile(
        change,
        [
            *[f"c{n}" for n in range(split)],
            *[f"a{n}" for n in range(len(item.add))],
            *key_names,
            *names,
            *[name for n in range(len(item.add)) for name in (f"lo{n}", f"hi{n}")],
        ],
    )
    added = [replace(column, nullable=False) for column in columns[split:]]
    return Statement(
        CHANGE,
        shape,
        sql,
        Columns((*columns[:split], *added, *shape.key_columns.columns, *compared)),
        added=(split, split + len(added)),
    )


def _build_delete(item: Delete) -> Statement:
    shape = shape_of(item.table)
    clauses, columns, names = _conditions(shape, item.where)
    if item.limit is None:
        return Statement(REMOVE, shape, _compile(delete(shape.table).where(and_(*clauses)), names), Columns(columns))
    keys = [shape.table.c[name] for name in shape.key]
    chosen = select(*keys).where(and_(*clauses)).limit(bindparam("limit")).offset(_NO_OFFSET)
    key = keys[0] if len(keys) == 1 else tuple_(*keys)
    return Statement(REMOVE, shape, _compile(delete(shape.table).where(key.in_(chosen)), [*names, "limit"]), Columns(columns))


def _build_append(shape: TableShape) -> Statement:
    columns = ("writer", "epoch", "seq", *EVENT_NAMES, "link")
    insert = sqlite.insert(shape.table).values(_row_binds(columns))
    return Statement(APPEND, shape, _compile(insert, _row_names(columns)))


def _build_get(shape: TableShape) -> Query:
    key, names = _key_conditions(shape)
    return Query(shape, _compile(select(*shape.table.columns).where(and_(*key)), names), shape.key_columns, narrow=True)


def _build_find(table: str, where: Sequence[Where], order_by: str | None, descending: bool, limit: int | None) -> Query:
    shape = shape_of(table)
    clauses, columns, names = _conditions(shape, where)
    query = select(*shape.table.columns).where(*clauses)
    if order_by is not None:
        query = query.order_by(*_order(shape, order_by, descending))
    if limit is not None:
        query = query.limit(bindparam("limit")).offset(_NO_OFFSET)
        names = [*names, "limit"]
    return Query(shape, _compile(query, names), Columns(columns), _is_narrow(shape, where))


def _order(shape: TableShape, order_by: str, descending: bool) -> list[ColumnElement[Any]]:
    first = shape.column(order_by)
    order: list[ColumnElement[Any]] = []
    for column in (first, *[column for column in shape.key_columns.columns if column is not first]):
        item = shape.table.c[column.name]
        ranked = item.desc() if descending else item.asc()
        # NULL first is what SQLite does; PostgreSQL has to be told.
        order.append((ranked.nulls_last() if descending else ranked.nulls_first()) if column.nullable else ranked)
    return order


def _build_count(table: str, where: Sequence[Where], most: int | None) -> Query:
    shape = shape_of(table)
    clauses, columns, names = _conditions(shape, where)
    narrow = _is_narrow(shape, where)
    if most is None:
        count = select(func.count()).select_from(shape.table).where(*clauses)
        return Query(shape, _compile(count, names), Columns(columns), narrow)
    rows = select(literal_column("1", Integer)).select_from(shape.table).where(*clauses)
    limited = rows.limit(bindparam("limit")).offset(_NO_OFFSET).subquery()
    return Query(shape, _compile(select(func.count()).select_from(limited), [*names, "limit"]), Columns(columns), narrow)


def _is_narrow(shape: TableShape, where: Sequence[Where]) -> bool:
    return any(item.operator == "=" and item.column in shape.leading for item in where)


_ANNOUNCE = Statement(ANNOUNCE, AUDIT, "", writes=False)
