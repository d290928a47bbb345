"""What a batch does, worked out in Python on the rows that it is about. Pure: no connection, no clock.

The rows that the operations of a batch touch are read together; then the units run one after the other on these copies,
each whole or not at all, and see what the ones before them did; at the end stands what has to be written: for each row one
insert, update or delete. So a refused unit costs nothing, units that touch the same row share a transaction, and the number
of statements does not grow with the number of units.

Whoever writes the result makes sure that the rows are still what was read, and that what was taken for absent is absent:
what is known of each row is kept beside it (`Known`), as are the rows on whose state a unit relied without changing it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from wardgate.errors import StorageError, WardgateError
from wardgate.storage.conditions import Test, meets, tests_of
from wardgate.storage.port import (
    Announce,
    Append,
    ChainLink,
    Committed,
    Delete,
    Insert,
    Modify,
    Operation,
    Refused,
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
    REFUSED,
    SHAPES,
    Head,
    TableShape,
    Values,
    check_changes,
    check_delete,
    check_increment,
    check_unit,
    check_where,
    event_values,
    extend,
    shape_of,
    successor,
)

Outcome = Committed | Refused | WardgateError


@dataclass(frozen=True, slots=True)
class Known:
    """What the database holds at a key: a row of this version (`xmin`), or none."""

    version: int | None = None
    values: Values | None = None


# Looked for and not there; taken for absent, and the database refuses when it is not; nobody knows, and it does not matter;
# an event that this batch adds. Compared by identity.
ABSENT: Final = Known()
ASSUMED: Final = Known()
BLIND: Final = Known()
APPENDED: Final = Known()
_UNKNOWN: Final = object()


class LookFirst(Exception):
    """The batch cannot be decided without reading the keys of its inserts as well."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why an operation did not hold."""

    reason: str


_CONFLICT: Final = _Refusal("conflict")
_EXISTS: Final = _Refusal("exists")


# --- the rows of one table -------------------------------------------------------------------------------------------


class TableRows:
    """The rows of one table that a batch is about: as the units before have left them, and what the database holds."""

    def __init__(self, shape: TableShape) -> None:
        self.shape = shape
        self.rows: dict[Values, Values | None] = {}
        self.known: dict[Values, Known] = {}
        self.relied: set[Values] = set()
        self.uniques = [_Unique(shape, names) for names in shape.uniques]

    def take_in(self, version: int, values: Values) -> None:
        """A row that was read."""
        key = self.shape.key_of(values)
        self.known[key] = Known(version, values)
        self.rows[key] = values
        for unique in self.uniques:
            unique.add(key, values)

    def take_absent(self, keys: Iterable[Values]) -> None:
        """Keys that were looked for: what was not found is not there."""
        for key in keys:
            if key not in self.known:
                self.known[key] = ABSENT
                self.rows[key] = None

    def put(self, key: Values, values: Values | None) -> None:
        """Set or remove a row."""
        previous = self.rows.get(key)
        self.rows[key] = values
        for unique in self.uniques:
            if previous is not None:
                unique.remove(key, previous)
            if values is not None:
                unique.add(key, values)

    def forget(self, key: Values) -> None:
        """As if nobody had ever touched this key."""
        self.put(key, None)
        del self.rows[key], self.known[key]


class _Unique:
    """Who holds each value of one unique constraint, as far as it is known."""

    def __init__(self, shape: TableShape, names: tuple[str, ...]) -> None:
        self._positions = [shape.names.index(name) for name in names]
        self._holders: dict[Values, Values] = {}
        self.looked: set[Values] = set()

    def taken(self, values: Values) -> Values | None:
        """The unique values of a row; None when one of them is NULL, which clashes with nothing."""
        taken = tuple([values[position] for position in self._positions])
        return None if None in taken else taken

    def holder(self, taken: Values) -> Values | None:
        """The key of the row that has these values."""
        return self._holders.get(taken)

    def known(self, taken: Values, key: Values, table: "TableRows") -> bool:
        """Whether it is known who has these values in the database: they were looked up, or this row has them there."""
        stored = table.known[key].values if key in table.known else None
        return taken in self.looked or (stored is not None and self.taken(stored) == taken)

    def add(self, key: Values, values: Values) -> None:
        """A row came."""
        taken = self.taken(values)
        if taken is not None:
            self._holders[taken] = key

    def remove(self, key: Values, values: Values) -> None:
        """A row went."""
        taken = self.taken(values)
        if taken is not None and self._holders.get(taken) == key:
            del self._holders[taken]


# --- a unit that waits -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sweep:
    """A `Delete` by conditions that may meet many rows: its form (columns, operators, number of values) and its values."""

    shape: TableShape
    form: tuple[tuple[str, str, int], ...]
    values: Values
    limit: int | None


Act = Callable[["Work"], object]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation, checked. `key`: the row that it is about; `reads`: it cannot be decided without that row."""

    act: Act
    shape: TableShape | None = None
    key: Values | None = None
    reads: bool = False
    sweep: Sweep | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """The steps of a unit, and whom it tells."""

    steps: tuple[Step, ...]
    announcements: tuple[Announce, ...]
    appends: bool


def prepare_unit(operations: Sequence[Operation]) -> Unit:
    """Check a unit. Raises StorageError for an operation that does not fit the schema."""
    check_unit(operations)
    announcements = tuple([item for item in operations if type(item) is Announce])
    appends = any(type(item) is Append for item in operations)
    return Unit(tuple([_prepared(item) for item in operations]), announcements, appends)


def _prepared(item: Operation) -> Step:
    prepare = _PREPARE.get(type(item))
    if prepare is None:
        raise StorageError(f"{type(item).__name__} is not an operation")
    return prepare(item)


def _insert(item: Insert) -> Step:
    shape = shape_of(item.table)
    values = shape.row(item.row)
    key = shape.key_of(values)

    def act(work: "Work") -> object:
        table = work.tables[shape.name]
        current = table.rows.get(key, _UNKNOWN)
        if (current is not None and current is not _UNKNOWN) or work.clashes(table, key, values):
            return _EXISTS
        work.put(table, key, values, ASSUMED)
        return None

    return Step(act, shape, key)


def _upsert(item: Upsert) -> Step:
    shape = shape_of(item.table)
    values = shape.row(item.row)
    key = shape.key_of(values)
    return Step(lambda work: work.replace(work.tables[shape.name], key, values), shape, key)


def _update(item: Update) -> Step:
    shape = shape_of(item.table)
    key = shape.key_values(item.key)
    columns = check_changes(shape, item)
    split = len(item.changes)
    changes = [(shape.names.index(c.name), c.stored(item.changes[c.name])) for c in columns[:split]]
    added = [(shape.names.index(c.name), check_increment(c, item.add[c.name])) for c in columns[split:]]
    tests = tests_of(shape, item.where)

    def act(work: "Work") -> object:
        table = work.tables[shape.name]
        current = table.rows[key]
        if current is None or not meets(current, tests):
            return _CONFLICT
        work.relied.append((table, key))
        if not columns:
            return None
        values = list(current)
        for position, value in changes:
            values[position] = value
        for position, amount in added:
            before = current[position]
            if not isinstance(before, int) or not MIN_INTEGER <= before + amount <= MAX_INTEGER:
                return _CONFLICT
            values[position] = before + amount
        return work.replace(table, key, tuple(values))

    return Step(act, shape, key, reads=True)


def _modify(item: Modify) -> Step:
    shape = shape_of(item.table)
    key = shape.key_values(item.key)
    arguments = dict(item.arguments)
    function = item.function

    def act(work: "Work") -> object:
        table = work.tables[shape.name]
        current = table.rows[key]
        values, result = successor(shape, key, current, function, arguments)
        if result is REFUSED:
            return _CONFLICT
        if current is not None:
            work.relied.append((table, key))
        if values is not None and work.replace(table, key, values) is _EXISTS:
            return _EXISTS
        return result

    return Step(act, shape, key, reads=True)


def _delete(item: Delete) -> Step:
    shape = shape_of(item.table)
    check_delete(item)
    tests = tests_of(shape, item.where)
    key = _whole_key(shape, item.where)
    if key is not None and item.limit is None:
        return Step(lambda work: _deleted(work, work.tables[shape.name], [key], tests, None), shape, key, reads=True)
    compared = [check_where(shape, where) for where in item.where]
    form = tuple([(w.column, w.operator, len(values)) for w, values in zip(item.where, compared, strict=True)])
    sweep = Sweep(shape, form, tuple([value for values in compared for value in values]), item.limit)

    def act(work: "Work") -> object:
        table = work.tables[shape.name]
        return _deleted(work, table, list(table.rows), tests, item.limit)

    return Step(act, shape, sweep=sweep)


def _whole_key(shape: TableShape, where: Sequence[Where]) -> Values | None:
    """The one key that conditions leave, or None."""
    named = {item.column: item.value for item in where if item.operator == "="}
    if not named.keys() >= set(shape.key):
        return None
    return shape.key_values({name: _single(named[name]) for name in shape.key})


def _single(value: Value | tuple[Value, ...]) -> Value:
    return None if isinstance(value, tuple) else value


def _deleted(work: "Work", table: TableRows, keys: Sequence[Values], tests: Sequence[Test], limit: int | None) -> int:
    gone = 0
    for key in keys:
        if limit is not None and gone >= limit:
            break
        current = table.rows[key]
        if current is not None and meets(current, tests):
            work.put(table, key, None, ABSENT)
            gone += 1
    return gone


def _append(item: Append) -> Step:
    values = event_values(item)
    event: dict[str, Value] = dict(zip(EVENT_NAMES, values, strict=True))

    def act(work: "Work") -> object:
        work.head = head = extend(work.chain, work.head, event)
        row = _event_row(work.chain, head, values)
        table, key = work.tables[AUDIT.name], AUDIT.key_of(row)
        if table.rows.get(key) is not None:
            # This batch has read an event of that number: the head is not what we think, and the event must not be written over.
            raise LookFirst
        work.put(table, key, row, APPENDED)
        return head.seq

    return Step(act)


def _announce(item: Announce) -> Step:
    return Step(lambda work: None)


_PREPARE: Mapping[type[Operation], Callable[[Any], Step]] = {
    Insert: _insert,
    Upsert: _upsert,
    Update: _update,
    Modify: _modify,
    Delete: _delete,
    Append: _append,
    Announce: _announce,
}


# --- what has to be read ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Needs:
    """What is read before the units run: keys of each table, unique values, and the rows that a `Sweep` meets."""

    keys: dict[str, set[Values]] = field(default_factory=dict)
    uniques: dict[tuple[str, int], set[Values]] = field(default_factory=dict)
    sweeps: list[Sweep] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.keys or self.uniques or self.sweeps)

    def add(self, more: "Needs") -> None:
        """Need this as well."""
        for table, keys in more.keys.items():
            self.keys.setdefault(table, set()).update(keys)
        for place, values in more.uniques.items():
            self.uniques.setdefault(place, set()).update(values)


def needs_of(units: Sequence[Unit], thorough: bool) -> Needs:
    """What the units need. `thorough`: the keys of inserts as well, which are taken for absent otherwise."""
    needs = Needs()
    touches: Counter[str] = Counter()
    limited = False
    for unit in units:
        for step in unit.steps:
            if step.shape is None:
                continue
            touches[step.shape.name] += 1
            if step.key is not None and (step.reads or thorough):
                needs.keys.setdefault(step.shape.name, set()).add(step.key)
            if step.sweep is not None:
                needs.sweeps.append(step.sweep)
                limited = limited or step.sweep.limit is not None
    if limited:
        # Each other step can take one of the rows that were read away from the sweep: it reads as many more.
        needs.sweeps = [_with_room(sweep, touches[sweep.shape.name]) for sweep in needs.sweeps]
    return needs


def _with_room(sweep: Sweep, more: int) -> Sweep:
    limit = None if sweep.limit is None else min(sweep.limit + more, MAX_INTEGER)
    return Sweep(sweep.shape, sweep.form, sweep.values, limit)


# --- running the units -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Changes:
    """What is to be written to one table, each list in the order of the keys. Versions are those that were read."""

    shape: TableShape
    inserts: list[Values] = field(default_factory=list)
    upserts: list[Values] = field(default_factory=list)
    updates: list[tuple[int, Values]] = field(default_factory=list)
    deletes: list[tuple[int, Values]] = field(default_factory=list)
    guards: list[tuple[int, Values]] = field(default_factory=list)


class _Tables(dict[str, TableRows]):
    """The tables of a batch, made when they are first asked for."""

    def __missing__(self, name: str) -> TableRows:
        self[name] = table = TableRows(SHAPES[name])
        return table


class Work:
    """The rows of a batch while its units run. Made afresh for each attempt."""

    def __init__(self, chain: ChainLink | None, head: Head, thorough: bool) -> None:
        self.tables = _Tables()
        self.chain = chain
        self.head = head
        self.thorough = thorough
        self.missing = Needs()
        self.relied: list[tuple[TableRows, Values]] = []
        # What each step of the present unit put where, and what was there.
        self._done: list[tuple[TableRows, Values, object, Values | None]] = []

    def run(self, units: Sequence[Unit]) -> list[Outcome]:
        """Run the units in order. When `missing` holds something afterwards, it has to be read and the work done anew."""
        return [self._unit(unit) for unit in units]

    def _unit(self, unit: Unit) -> Outcome:
        head = self.head
        self._done.clear()
        self.relied.clear()
        results: list[object] = []
        outcome: Outcome | None = None
        for position, step in enumerate(unit.steps):
            try:
                result = step.act(self)
            except WardgateError as error:
                outcome = error
                break
            if result is _CONFLICT or result is _EXISTS:
                outcome = Refused(position, "conflict" if result is _CONFLICT else "exists")
                break
            results.append(result)
        if outcome is None:
            for table, key in self.relied:
                table.relied.add(key)
            return Committed(tuple(results))
        self._take_back()
        self.head = head
        return outcome

    def _take_back(self) -> None:
        for table, key, before, values in reversed(self._done):
            # Nothing of a refused unit is written, so the database will not say whether what was assumed for it was true,
            # and with it whether the unit was not to be refused earlier.
            if table.known[key] is ASSUMED and before is _UNKNOWN:
                self.missing.keys.setdefault(table.shape.name, set()).add(key)
            if values is not None:
                self._look_up(table, key, values)
            if before is _UNKNOWN:
                table.forget(key)
            else:
                table.put(key, before)  # type: ignore[arg-type]

    def _look_up(self, table: TableRows, key: Values, values: Values) -> None:
        for number, unique in enumerate(table.uniques):
            taken = unique.taken(values)
            if taken is not None and unique.holder(taken) in (None, key) and not unique.known(taken, key, table):
                self.missing.uniques.setdefault((table.shape.name, number), set()).add(taken)

    def put(self, table: TableRows, key: Values, values: Values | None, unknown: Known) -> None:
        """Set or remove a row. `unknown`: what is believed of the database when nobody has looked there."""
        before = table.rows.get(key, _UNKNOWN)
        self._done.append((table, key, before, values))
        if before is _UNKNOWN:
            table.known[key] = unknown
        table.put(key, values)

    def replace(self, table: TableRows, key: Values, values: Values) -> _Refusal | None:
        """Set a row, whatever stands there."""
        if self.clashes(table, key, values):
            return _EXISTS
        self.put(table, key, values, BLIND)
        return None

    def clashes(self, table: TableRows, key: Values, values: Values) -> bool:
        """Whether another row has one of these unique values. What nobody has looked up is free, or `missing`."""
        for number, unique in enumerate(table.uniques):
            taken = unique.taken(values)
            if taken is None:
                continue
            holder = unique.holder(taken)
            if holder is not None and holder != key:
                return True
            if self.thorough and not unique.known(taken, key, table):
                self.missing.uniques.setdefault((table.shape.name, number), set()).add(taken)
        return False

    def changes(self) -> Iterator[Changes]:
        """What has to be written, tables in a fixed order. Raises LookFirst when it depends on rows that nobody has read."""
        for name in sorted(self.tables):
            yield _changes(self.tables[name])

    def swapped(self) -> set[str]:
        """Tables where a row takes a unique value that another row of the batch gives up: the order of writing matters."""
        return {table.shape.name for table in self.tables.values() if any(_swaps(table, unique) for unique in table.uniques)}


def _changes(table: TableRows) -> Changes:
    changes = Changes(table.shape)
    for key in sorted(table.rows):
        values, known = table.rows[key], table.known[key]
        if known.version is None:
            _new_row(changes, known, values)
        elif values is None:
            changes.deletes.append((known.version, key))
        elif values != known.values:
            changes.updates.append((known.version, values))
        elif key in table.relied:
            changes.guards.append((known.version, key))
    return changes


def _new_row(changes: Changes, known: Known, values: Values | None) -> None:
    if values is not None:
        (changes.upserts if known is BLIND else changes.inserts).append(values)
    elif known is not ABSENT:
        raise LookFirst


def _swaps(table: TableRows, unique: _Unique) -> bool:
    given_up: dict[Values, Values] = {}
    for key, known in table.known.items():
        taken = None if known.values is None else unique.taken(known.values)
        if taken is not None and table.rows[key] != known.values:
            given_up[taken] = key
    for taken, key in given_up.items():
        holder = unique.holder(taken)
        if holder is not None and holder != key:
            return True
    return False


_WHOLE_EVENT = ("writer", "epoch", "seq", *EVENT_NAMES, "link")
_EVENT_ORDER = [_WHOLE_EVENT.index(name) for name in AUDIT.names]


def _event_row(chain: ChainLink | None, head: Head, values: Values) -> Values:
    """The whole row of an event."""
    if chain is None:
        raise StorageError("an Append came before use_chain")
    whole = (chain.writer, chain.epoch, head.seq, *values, head.link)
    return tuple([whole[position] for position in _EVENT_ORDER])
