"""Storage in memory: a back-end with every rule of the port but durability, and the test double everywhere.

It gathers units as the others do and applies them one after another on the event loop, so that whoever reads first and
writes later meets the same races as on a database.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from wardgate.errors import Overloaded, StorageError, StorageUnavailable, WardgateError
from wardgate.storage.announcer import Announcer
from wardgate.storage.conditions import meets, tests_of
from wardgate.storage.port import (
    MAX_WAITING_UNITS,
    Announce,
    Append,
    ChainLink,
    Commit,
    Committed,
    Delete,
    Find,
    Insert,
    Modify,
    Operation,
    Refused,
    Row,
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
    NO_EVENT,
    REFUSED,
    SHAPES,
    Head,
    TableShape,
    Values,
    check_changes,
    check_delete,
    check_finds,
    check_increment,
    check_limit,
    check_unit,
    event_values,
    extend,
    plain_arguments,
    shape_of,
    successor,
)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why an operation did not hold."""

    reason: str


_CONFLICT = _Refusal("conflict")
_EXISTS = _Refusal("exists")


class _Table:
    """The rows of one table by primary key, with an index for each unique constraint."""

    def __init__(self, shape: TableShape) -> None:
        self.shape = shape
        self.rows: dict[Values, Values] = {}
        self._uniques: list[tuple[tuple[int, ...], dict[Values, Values]]] = [
            (tuple([shape.names.index(name) for name in unique]), {}) for unique in shape.uniques
        ]

    def clashes(self, key: Values, values: Values) -> bool:
        """Whether another row than `key` has one of these unique values. NULL clashes with nothing, as in SQL."""
        return any(index.get(taken, key) != key for index, taken in self._taken(values))

    def put(self, key: Values, values: Values | None) -> None:
        """Set or remove a row."""
        previous = self.rows.pop(key, None)
        if previous is not None:
            for index, taken in self._taken(previous):
                del index[taken]
        if values is not None:
            self.rows[key] = values
            for index, taken in self._taken(values):
                index[taken] = key

    def _taken(self, values: Values) -> Iterator[tuple[dict[Values, Values], Values]]:
        for positions, index in self._uniques:
            taken = tuple([values[position] for position in positions])
            if None not in taken:
                yield index, taken


class _Undo:
    """Writes rows and remembers what was there, until the unit is known to hold."""

    def __init__(self) -> None:
        self._before: list[tuple[_Table, Values, Values | None]] = []

    def put(self, table: _Table, key: Values, values: Values | None) -> None:
        """Set or remove a row."""
        self._before.append((table, key, table.rows.get(key)))
        table.put(key, values)

    def take_back(self) -> None:
        """Restore every row, the last first."""
        for table, key, values in reversed(self._before):
            table.put(key, values)


Act = Callable[[_Undo], object]


@dataclass(slots=True)
class _Unit:
    """What waits: the prepared operations, who is to be told, and who waits for the answer."""

    acts: list[Act]
    announcements: list[Announce]
    future: "asyncio.Future[Commit]" = field(repr=False)


class MemoryStorage:
    """Satisfies `port.Storage`. Bound to no event loop: it uses the one that is running."""

    def __init__(self) -> None:
        self._tables = {name: _Table(shape) for name, shape in SHAPES.items()}
        self._announcer = Announcer()
        self._waiting: deque[_Unit] = deque()
        self._chain: ChainLink | None = None
        self._chain_columns: dict[str, Value] = {}
        self._head = NO_EVENT
        self._closed = False
        self.on_batch: Callable[[int, float], None] | None = None
        self.on_failure: Callable[[], None] | None = None

    # --- reading ---

    async def get(self, table: str, key: Row) -> Row | None:
        """The row with this whole primary key."""
        self._check_open()
        shape = shape_of(table)
        values = self._tables[table].rows.get(shape.key_values(key))
        return None if values is None else shape.as_row(values)

    async def find(
        self,
        table: str,
        where: Sequence[Where] = (),
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> list[Row]:
        """Rows that meet every condition."""
        self._check_open()
        check_limit(limit)
        shape = shape_of(table)
        found = list(self._matching(shape, where))
        if order_by is not None:
            found.sort(key=_order(shape, order_by), reverse=descending)
        return [shape.as_row(values) for values in found[:limit]]

    async def read(self, finds: Sequence[Find]) -> list[list[Row]]:
        """The rows of each of several small finds."""
        check_finds(finds)
        return [await self.find(each.table, each.where, each.order_by, each.descending, each.limit) for each in finds]

    async def count(self, table: str, where: Sequence[Where] = (), most: int | None = None) -> int:
        """How many rows meet every condition, up to `most`."""
        self._check_open()
        check_limit(most)
        return sum(1 for _ in islice(self._matching(shape_of(table), where), most))

    def _matching(self, shape: TableShape, where: Sequence[Where]) -> Iterator[Values]:
        tests = tests_of(shape, where)
        return (values for values in self._tables[shape.name].rows.values() if meets(values, tests))

    def depths(self) -> tuple[int, int]:
        """How many units and long reads wait."""
        return len(self._waiting), 0

    # --- writing ---

    async def commit(self, operations: Sequence[Operation]) -> Commit:
        """Apply a unit, all or nothing."""
        check_unit(operations)
        acts = [self._prepare(operation) for operation in operations]
        self._check_open()
        if len(self._waiting) >= MAX_WAITING_UNITS:
            raise Overloaded(f"{MAX_WAITING_UNITS} writes wait already")
        loop = asyncio.get_running_loop()
        announcements = [operation for operation in operations if isinstance(operation, Announce)]
        unit = _Unit(acts, announcements, loop.create_future())
        if not self._waiting:
            loop.call_soon(self._flush, loop)
        self._waiting.append(unit)
        return await unit.future

    def use_chain(self, chain: ChainLink) -> None:
        """Give the chain that `Append` extends."""
        self._chain = chain
        self._chain_columns = {"writer": chain.writer, "epoch": chain.epoch}
        mine = tests_of(AUDIT, [Where("writer", "=", chain.writer), Where("epoch", "=", chain.epoch)])
        self._head = NO_EVENT
        for values in self._tables[AUDIT.name].rows.values():
            row = AUDIT.as_row(values)
            if (
                meets(values, mine)
                and isinstance(row["seq"], int)
                and isinstance(row["link"], bytes)
                and row["seq"] > self._head.seq
            ):
                self._head = Head(row["seq"], row["link"])

    def subscribe(self, topic: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback(key)` after each commit that announced `topic`; returns how to stop it."""
        return self._announcer.subscribe(topic, callback)

    async def close(self) -> None:
        """Apply the units that wait, then refuse all work."""
        self._closed = True
        if self._waiting:
            self._flush(asyncio.get_running_loop())

    def _check_open(self) -> None:
        if self._closed:
            raise StorageUnavailable("the storage is closed")

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            unit = self._waiting.popleft()
            outcome = self._apply(unit.acts)
            if isinstance(outcome, Committed):
                self._announcer.tell(loop, unit.announcements)
            if unit.future.done():  # its caller was cancelled; the unit stands all the same
                continue
            if isinstance(outcome, WardgateError):
                unit.future.set_exception(outcome)
            else:
                unit.future.set_result(outcome)

    def _apply(self, acts: Iterable[Act]) -> Commit | WardgateError:
        head, undo = self._head, _Undo()
        results: list[object] = []
        outcome: Commit | WardgateError | None = None
        for position, act in enumerate(acts):
            try:
                result = act(undo)
            except WardgateError as error:
                outcome = error
                break
            if isinstance(result, _Refusal):
                outcome = Refused(position, result.reason)
                break
            results.append(result)
        if outcome is None:
            return Committed(tuple(results))
        undo.take_back()
        self._head = head
        return outcome

    # --- operations: each is checked when it is given, and applied when its turn comes ---

    def _prepare(self, item: Operation) -> Act:
        match item:
            case Insert():
                return self._insert(item)
            case Update():
                return self._update(item)
            case Upsert():
                return self._upsert(item)
            case Delete():
                return self._delete(item)
            case Modify():
                return self._modify(item)
            case Append():
                return self._append(item)
            case Announce():
                return lambda undo: None
        raise StorageError(f"{type(item).__name__} is not an operation")

    def _insert(self, item: Insert) -> Act:
        table = self._tables[shape_of(item.table).name]
        values = table.shape.row(item.row)
        key = table.shape.key_of(values)

        def act(undo: _Undo) -> object:
            if key in table.rows or table.clashes(key, values):
                return _EXISTS
            undo.put(table, key, values)
            return None

        return act

    def _upsert(self, item: Upsert) -> Act:
        table = self._tables[shape_of(item.table).name]
        values = table.shape.row(item.row)
        return lambda undo: _replace(undo, table, table.shape.key_of(values), values)

    def _update(self, item: Update) -> Act:
        shape = shape_of(item.table)
        table = self._tables[shape.name]
        key = shape.key_values(item.key)
        columns = check_changes(shape, item)
        changes = [
            (shape.names.index(column.name), column.stored(item.changes[column.name])) for column in columns[: len(item.changes)]
        ]
        added = [
            (shape.names.index(column.name), check_increment(column, item.add[column.name]))
            for column in columns[len(item.changes) :]
        ]
        tests = tests_of(shape, item.where)

        def act(undo: _Undo) -> object:
            current = table.rows.get(key)
            if current is None or not meets(current, tests):
                return _CONFLICT
            values = list(current)
            for position, value in changes:
                values[position] = value
            for position, amount in added:
                before = current[position]
                if not isinstance(before, int) or not MIN_INTEGER <= before + amount <= MAX_INTEGER:
                    return _CONFLICT
                values[position] = before + amount
            return _replace(undo, table, key, tuple(values))

        return act

    def _delete(self, item: Delete) -> Act:
        shape = shape_of(item.table)
        check_delete(item)
        tests = tests_of(shape, item.where)
        table = self._tables[shape.name]

        def act(undo: _Undo) -> object:
            keys = [key for key, values in table.rows.items() if meets(values, tests)][: item.limit]
            for key in keys:
                undo.put(table, key, None)
            return len(keys)

        return act

    def _modify(self, item: Modify) -> Act:
        shape = shape_of(item.table)
        table = self._tables[shape.name]
        key = shape.key_values(item.key)
        arguments = plain_arguments(item)

        def act(undo: _Undo) -> object:
            values, result = successor(shape, key, table.rows.get(key), item.function, arguments)
            if result is REFUSED:
                return _CONFLICT
            if values is not None and _replace(undo, table, key, values) is _EXISTS:
                return _EXISTS
            return result

        return act

    def _append(self, item: Append) -> Act:
        event: dict[str, Value] = dict(zip(EVENT_NAMES, event_values(item), strict=True))
        table = self._tables[AUDIT.name]

        def act(undo: _Undo) -> object:
            head = extend(self._chain, self._head, event)
            values = AUDIT.row({**self._chain_columns, "seq": head.seq, "link": head.link, **event})
            undo.put(table, AUDIT.key_of(values), values)
            self._head = head
            return head.seq

        return act


def _replace(undo: _Undo, table: _Table, key: Values, values: Values) -> _Refusal | None:
    if table.clashes(key, values):
        return _EXISTS
    undo.put(table, key, values)
    return None


# --- order --------------------------------------------------------------------------------------------


def _order(shape: TableShape, column: str) -> Callable[[Values], tuple[object, ...]]:
    position = shape.names.index(shape.column(column).name)

    def rank(values: Values) -> tuple[object, ...]:
        value = values[position]
        return ((value is not None, value), *shape.key_of(values))

    return rank
