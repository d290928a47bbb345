"""SQL for PostgreSQL: one statement reads all that a batch is about, one writes all that it changed, each in one round trip.

Whole rows travel as one array of rows of their table, keys as one array for each column, so that the text of a statement
depends on the kinds of work in a batch and not on how much of it there is: the database plans each text once for a connection.
Names come from the schema alone.

The statement that writes is its own transaction. It checks that the rows are still of the version that was read (`xmin`), and
breaks itself off where they are not: that is the condition of a conditional write, for all rows of the batch together.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from wardgate.storage.port import Find, Lookup, Sought, Where
from wardgate.storage.postgres_work import Changes, Needs, Sweep
from wardgate.storage.shapes import SHAPES, Columns, ColumnShape, TableShape, Values, check_limit, check_where, checked, shape_of

CHANNEL: Final = "wardgate"
# What the statement that writes says, for the log of the database, when rows are not what they were.
_CHANGED: Final = "wardgate runs a batch again, of its rows these are unchanged: "
# Forms come from code, not from outside; the bound is there so that a mistake cannot fill the memory.
MAX_FORMS: Final = 2000
_TYPES: Final = {str: "text", int: "bigint", bytes: "bytea"}
_SQL_OPERATORS: Final = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

Form = tuple[Any, ...]
Parameters = list[Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and its values."""

    sql: str
    values: Parameters


def _quoted(name: str) -> str:
    return f'"{name}"'


def _columns(names: Iterable[str], prefix: str = "t.") -> str:
    return ", ".join(f'{prefix}"{name}"' for name in names)


def _arrays(columns: Sequence[ColumnShape], first: int) -> str:
    return ", ".join(f"${first + n}::{_TYPES[column.kind]}[]" for n, column in enumerate(columns))


def _on_key(shape: TableShape) -> str:
    return " AND ".join(f't."{name}" = u."{name}"' for name in shape.key)


def _turned(rows: Sequence[Values], width: int) -> list[list[Any]]:
    """Rows as one list for each column."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


class Texts:
    """Remembers the text of each form."""

    def __init__(self) -> None:
        self._texts: dict[Form, str] = {}

    def get(self, form: Form, build: Callable[[], str]) -> str:
        """The text of a form, built when it is new."""
        text = self._texts.get(form)
        if text is None:
            if len(self._texts) >= MAX_FORMS:
                self._texts.clear()
            text = self._texts[form] = build()
        return text


# --- reading rows by condition ---------------------------------------------------------------------------------------


class Reads:
    """Makes the statements of `Reader`."""

    def __init__(self) -> None:
        self._texts = Texts()
        # What each lookup's values must fit, and what follows them each time.
        self._lookups: dict[Lookup, tuple[Columns, Parameters]] = {}

    def get(self, table: str, key: dict[str, Any] | Any) -> Query:
        """One row by its primary key."""
        shape = shape_of(table)
        values = shape.key_values(key)
        sql = self._texts.get(("get", table), lambda: _get_sql(shape))
        return Query(sql, list(values))

    def find(self, find: Find) -> Query:
        """Rows by conditions."""
        form, values = self._asked(find)
        return Query(self._texts.get(form, lambda: _find_sql(find, 1, False)), values)

    def finds(self, finds: Sequence[Find]) -> Query:
        """The rows of several finds, an array of records for each."""
        asked = [self._asked(find) for find in finds]
        form = ("finds", *[form for form, _ in asked])
        values = [value for _, each in asked for value in each]
        return Query(self._texts.get(form, lambda: _finds_sql(finds, [len(each) for _, each in asked])), values)

    def count(self, table: str, where: Sequence[Where], most: int | None = None) -> Query:
        """How many rows meet the conditions, up to `most`."""
        form, values = _asked(Find(table, tuple(where), limit=most))
        return Query(self._texts.get(("count", form), lambda: _count_sql(shape_of(table), where, most)), values)

    def _asked(self, find: Find) -> tuple[Form, Parameters]:
        if type(find) is not Sought:
            return _asked(find)
        own, rest = self._lookups.get(find.lookup) or self._learn(find)
        return (find.lookup,), [*checked(find.values, own), *rest]

    def _learn(self, find: Sought) -> tuple[Columns, Parameters]:
        _, values = _asked(find)
        shape, count = shape_of(find.table), len(find.values)
        own = Columns([replace(shape.column(each.column), nullable=False) for each in find.where[:count]])
        known = self._lookups[find.lookup] = own, values[count:]
        return known


def _asked(find: Find) -> tuple[Form, Parameters]:
    """The form of a find and its values. Raises StorageError for one that cannot be meant."""
    check_limit(find.limit)
    shape = shape_of(find.table)
    if find.order_by is not None:
        shape.column(find.order_by)
    values: Parameters = []
    for where in find.where:
        compared = check_where(shape, where)
        if where.operator == "in":
            values.append(list(compared))
        else:
            values += compared
    if find.limit is not None:
        values.append(find.limit)
    conditions = tuple([(where.column, where.operator) for where in find.where])
    return ("find", find.table, conditions, find.order_by, find.descending, find.limit is None), values


def _get_sql(shape: TableShape) -> str:
    key = " AND ".join(f't."{name}" = ${n}' for n, name in enumerate(shape.key, 1))
    return f"SELECT {_columns(shape.names)} FROM {_quoted(shape.name)} t WHERE {key}"  # noqa: S608 - names of the schema


def _find_sql(find: Find, first: int, as_record: bool) -> str:
    shape = shape_of(find.table)
    conditions, count = _where_sql(shape, find.where, first)
    wanted = f"ROW({_columns(shape.names)})" if as_record else _columns(shape.names)
    sql = f"SELECT {wanted} FROM {_quoted(shape.name)} t{conditions}"  # noqa: S608 - names of the schema
    if find.order_by is not None:
        sql += f" ORDER BY {_order_sql(shape, find.order_by, find.descending)}"
    return sql if find.limit is None else f"{sql} LIMIT ${first + count}"


def _finds_sql(finds: Sequence[Find], counts: Sequence[int]) -> str:
    parts, first = [], 1
    for find, count in zip(finds, counts, strict=True):
        parts.append(f"ARRAY({_find_sql(find, first, True)})")
        first += count
    return "SELECT " + ", ".join(parts)


def _count_sql(shape: TableShape, where: Sequence[Where], most: int | None) -> str:
    conditions, count = _where_sql(shape, where, 1)
    rows = f"{_quoted(shape.name)} t{conditions}"
    if most is None:
        return f"SELECT count(*) FROM {rows}"  # noqa: S608 - names of the schema
    return f"SELECT count(*) FROM (SELECT FROM {rows} LIMIT ${count + 1}) AS counted"  # noqa: S608 - names of the schema


def _where_sql(shape: TableShape, where: Sequence[Where], first: int) -> tuple[str, int]:
    clauses, count = [], 0
    for item in where:
        column = f't."{item.column}"'
        if item.operator == "is_null":
            clauses.append(f"{column} IS NULL")
        elif item.operator == "not_null":
            clauses.append(f"{column} IS NOT NULL")
        elif item.operator == "in":
            clauses.append(f"{column} = ANY(${first + count}::{_TYPES[shape.column(item.column).kind]}[])")
            count += 1
        else:
            clauses.append(f"{column} {_SQL_OPERATORS[item.operator]} ${first + count}")
            count += 1
    return (" WHERE " + " AND ".join(clauses) if clauses else ""), count


def _order_sql(shape: TableShape, order_by: str, descending: bool) -> str:
    direction = " DESC" if descending else ""
    terms = []
    for name in dict.fromkeys((order_by, *shape.key)):
        # None before everything, which PostgreSQL has to be told; where nothing can be empty, the index serves the order.
        nulls = (" NULLS LAST" if descending else " NULLS FIRST") if shape.column(name).nullable else ""
        terms.append(f't."{name}"{direction}{nulls}')
    return ", ".join(terms)


# --- reading what a batch is about -----------------------------------------------------------------------------------


class Loads:
    """Makes the statement that reads what a batch needs: for each part an array of records, the version (`xmin`) first."""

    def __init__(self) -> None:
        self._texts = Texts()

    def make(self, needs: Needs, locking: bool) -> tuple[Query, list[str]]:
        """The statement, and the table of each part. `locking`: the rows are locked, in the order of their keys."""
        parts: list[_Part] = []
        for table in sorted(needs.keys):
            parts.append(_key_part(SHAPES[table], SHAPES[table].key, sorted(needs.keys[table])))
        for table, number in sorted(needs.uniques):
            shape = SHAPES[table]
            parts.append(_key_part(shape, shape.uniques[number], sorted(needs.uniques[table, number])))
        parts += _sweep_parts(needs.sweeps)
        form = (locking, *[part.form for part in parts])
        values = [value for part in parts for value in part.values]
        return Query(self._texts.get(form, lambda: _load_sql(parts, locking)), values), [part.shape.name for part in parts]


@dataclass(frozen=True, slots=True)
class _Part:
    """One array of the statement: how it is made, from the number of its first value on, and its values."""

    form: Form
    shape: TableShape
    build: Callable[[int, bool], str]
    values: Parameters


def _load_sql(parts: Sequence[_Part], locking: bool) -> str:
    texts, first = [], 1
    for part in parts:
        texts.append(f"ARRAY({part.build(first, locking)})")
        first += len(part.values)
    return "SELECT " + ", ".join(texts)


def _record(shape: TableShape) -> str:
    return f"ROW(t.xmin, {_columns(shape.names)})"


def _key_part(shape: TableShape, names: tuple[str, ...], keys: Sequence[Values]) -> _Part:
    columns = [shape.by_name[name] for name in names]

    def build(first: int, locking: bool) -> str:
        joined = " AND ".join(f't."{name}" = u."{name}"' for name in names)
        given = f"unnest({_arrays(columns, first)}) AS u({_columns(names, '')})"
        lock = f" ORDER BY {_columns(shape.key)} FOR UPDATE OF t" if locking else ""
        return f"SELECT {_record(shape)} FROM {given} JOIN {_quoted(shape.name)} t ON {joined}{lock}"  # noqa: S608

    return _Part(("key", shape.name, names), shape, build, _turned(keys, len(names)))


def _sweep_parts(sweeps: Sequence[Sweep]) -> list[_Part]:
    alike: dict[Form, list[Sweep]] = {}
    for sweep in sweeps:
        alike.setdefault(("sweep", sweep.shape.name, sweep.form), []).append(sweep)
    return [_sweep_part(form, alike[form]) for form in sorted(alike)]


def _sweep_part(form: Form, sweeps: Sequence[Sweep]) -> _Part:
    shape, conditions = sweeps[0].shape, sweeps[0].form

    def build(first: int, locking: bool) -> str:
        columns = [shape.column(column) for column, _, count in conditions for _ in range(count)]
        names = [f"w{n}" for n in range(len(columns))]
        arrays = ", ".join(
            [*[f"${first + n}::{_TYPES[c.kind]}[]" for n, c in enumerate(columns)], f"${first + len(columns)}::bigint[]"]
        )
        lock = " FOR UPDATE OF t" if locking else ""
        found = (
            f"SELECT {_record(shape)} AS r FROM {_quoted(shape.name)} t WHERE {_sweep_conditions(conditions)} LIMIT u.most{lock}"  # noqa: S608
        )
        return f"SELECT s.r FROM unnest({arrays}) AS u({', '.join([*names, 'most'])}) CROSS JOIN LATERAL ({found}) s"  # noqa: S608

    rows = [(*sweep.values, sweep.limit) for sweep in sweeps]
    return _Part(form, shape, build, _turned(rows, 0))


def _sweep_conditions(conditions: Sequence[tuple[str, str, int]]) -> str:
    clauses, first = [], 0
    for column, operator, count in conditions:
        name = f't."{column}"'
        values = ", ".join(f"u.w{first + n}" for n in range(count))
        first += count
        if operator == "is_null":
            clauses.append(f"{name} IS NULL")
        elif operator == "not_null":
            clauses.append(f"{name} IS NOT NULL")
        elif operator == "in":
            clauses.append(f"{name} IN ({values})" if count else "false")
        else:
            clauses.append(f"{name} {_SQL_OPERATORS[operator]} {values}")
    return " AND ".join(clauses)


# --- writing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Action:
    """One part of the statement that writes. `counted`: as many rows must be met as there are values, or all is broken off."""

    build: Callable[[TableShape, int], str]
    counted: bool = True


def all_types() -> str:
    """A statement by which the driver meets the types of all rows at once, before it needs them one by one."""
    return "SELECT " + ", ".join(f"NULL::{_quoted(name)}" for name in SHAPES)


# An action on a table.
_Write = tuple[str, str]
# So many mixes of work get a statement of their own. A plan takes the database milliseconds to make and hundreds of KiB to
# keep, on each connection, and the mixes of a busy worker are many.
EXACT_FORMS: Final = 48


class Writes:
    """Makes the statement that writes what a batch changed."""

    def __init__(self) -> None:
        self._texts = Texts()
        self._planned: list[frozenset[_Write]] = []
        self._chosen: dict[frozenset[_Write], tuple[_Write, ...]] = {}

    def make(self, changes: Iterable[Changes], notices: Sequence[str]) -> Query | None:
        """The statement; None when there is nothing to write. `notices`: what other processes are told with the commit."""
        parts: dict[_Write, Parameters] = {}
        wanted, writes = 0, bool(notices)
        for change in changes:
            for action, rows in _rows(change):
                parts[change.shape.name, action] = rows
                wanted += len(rows[0]) if _ACTIONS[action].counted else 0
                writes = writes or action != "guard"
        if not writes:
            return None
        form = self.form(frozenset(parts))
        values = [value for write in form for value in parts.get(write) or [[]] * _width(*write)]
        if any(_ACTIONS[action].counted for _, action in form):
            values.append(wanted)
        if notices:
            values.append(list(notices))
        return Query(self._texts.get((form, bool(notices)), lambda: _write_sql(form, bool(notices))), values)

    def form(self, needed: frozenset[_Write]) -> tuple[_Write, ...]:
        """The parts of the statement: those that are needed, or, after many mixes, those of a known one that has them all."""
        chosen = self._chosen.get(needed)
        if chosen is None:
            if len(self._chosen) >= MAX_FORMS:
                self._chosen.clear()
            chosen = self._chosen[needed] = tuple(sorted(self._covering(needed), key=_place))
        return chosen

    def _covering(self, needed: frozenset[_Write]) -> frozenset[_Write]:
        if needed in self._planned:
            return needed
        if len(self._planned) >= EXACT_FORMS:
            covering = [form for form in self._planned if needed <= form]
            if covering:
                return min(covering, key=len)
            needed = needed.union(*self._planned)
        self._planned.append(needed)
        return needed


def _place(write: _Write) -> tuple[str, int]:
    return write[0], list(_ACTIONS).index(write[1])


def _rows(change: Changes) -> Iterable[tuple[str, Parameters]]:
    """The actions on one table with their values, one list for each column."""
    if change.deletes:
        yield "delete", _versioned_keys(change.deletes)
    if change.updates:
        yield "update", [[version for version, _ in change.updates], [values for _, values in change.updates]]
    if change.guards:
        yield "guard", _versioned_keys(change.guards)
    if change.inserts:
        yield "insert", [change.inserts]
    if change.upserts:
        yield "upsert", [change.upserts]


def _versioned_keys(rows: Sequence[tuple[int, Values]]) -> Parameters:
    return _turned([(version, *key) for version, key in rows], 0)


def _write_sql(form: Sequence[_Write], notices: bool) -> str:
    parts, counted, first = [], [], 1
    for number, (table, action) in enumerate(form):
        shape = SHAPES[table]
        parts.append(f"w{number} AS ({_ACTIONS[action].build(shape, first)})")
        if _ACTIONS[action].counted:
            counted.append(f"(SELECT count(*) FROM w{number})")  # noqa: S608
        first += _width(table, action)
    result = "0"
    if counted:
        parts.append(f"met AS (SELECT {' + '.join(counted)} AS n)")
        result = f"(SELECT CASE WHEN n = ${first}::bigint THEN 0 ELSE ('{_CHANGED}' || n)::int END FROM met)"  # noqa: S608
        first += 1
    told = f", (SELECT count(pg_notify('{CHANNEL}', p)) FROM unnest(${first}::text[]) p)" if notices else ""  # noqa: S608
    return f"{'WITH ' + ', '.join(parts) if parts else ''} SELECT {result}{told}"


def _width(table: str, action: str) -> int:
    match action:
        case "insert" | "upsert":
            return 1
        case "update":
            return 2
    return len(SHAPES[table].key) + 1


def _insert_sql(shape: TableShape, first: int) -> str:
    table = _quoted(shape.name)
    return f"INSERT INTO {table} ({_columns(shape.names, '')}) SELECT * FROM unnest(${first}::{table}[])"  # noqa: S608


def _upsert_sql(shape: TableShape, first: int) -> str:
    others = [name for name in shape.names if name not in shape.key]
    settings = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
    action = f"UPDATE SET {settings}" if others else "NOTHING"
    return f"{_insert_sql(shape, first)} ON CONFLICT ({_columns(shape.key, '')}) DO {action}"


def _update_sql(shape: TableShape, first: int) -> str:
    table = _quoted(shape.name)
    settings = ", ".join(f'"{name}" = u."{name}"' for name in shape.names if name not in shape.key)
    given = f"unnest(${first}::xid[], ${first + 1}::{table}[]) AS u(seen_version, {_columns(shape.names, '')})"
    same = f"{_on_key(shape)} AND t.xmin = u.seen_version"
    return f"UPDATE {table} t SET {settings} FROM {given} WHERE {same} RETURNING 1"  # noqa: S608


def _versions(shape: TableShape, first: int) -> str:
    """The rows that were read, as `u`: their version and their key."""
    columns = [shape.by_name[name] for name in shape.key]
    return f"unnest(${first}::xid[], {_arrays(columns, first + 1)}) AS u(seen_version, {_columns(shape.key, '')})"


def _delete_sql(shape: TableShape, first: int) -> str:
    given = _versions(shape, first)
    return f"DELETE FROM {_quoted(shape.name)} t USING {given} WHERE {_on_key(shape)} AND t.xmin = u.seen_version RETURNING 1"  # noqa: S608


def _guard_sql(shape: TableShape, first: int) -> str:
    given = _versions(shape, first)
    same = f"{_on_key(shape)} AND t.xmin = u.seen_version"
    return f"SELECT 1 FROM {given} JOIN {_quoted(shape.name)} t ON {same} FOR SHARE OF t"  # noqa: S608


_ACTIONS: Final = {
    "insert": _Action(_insert_sql, counted=False),
    "upsert": _Action(_upsert_sql, counted=False),
    "update": _Action(_update_sql),
    "delete": _Action(_delete_sql),
    "guard": _Action(_guard_sql),
}
