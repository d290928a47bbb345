"""What every storage back-end does: read rows, and commit units of conditional writes.

A **unit** is a list of operations that happen together or not at all. Each change of secret state carries its condition
(`Update(..., where=...)`), and the back-end says which operation's condition did not hold: that answer, never an earlier
read, decides. `commit` returns after the unit is durable; back-ends gather the units that wait into one durable
transaction (group commit), each behind its own savepoint.

Rows are flat: text, whole numbers, bytes or None. Times are milliseconds since 1970 UTC, lists and objects are JSON text;
the rooms that own a table encode and decode them. Operations are plain data so that they can travel to a writer process.
Numbers have 64 bits. Text is whole Unicode without U+0000, which PostgreSQL cannot hold: a door that may meet one refuses
or escapes it. A column that may be empty may be left out of a row, and is then None.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from wardgate.errors import StorageError
from wardgate.values import quick_value

Value = str | int | bytes | None
Row = Mapping[str, Value]


# --- conditions ---------------------------------------------------------------------------------------------------


@quick_value
class Where:
    """`column` compared with `value`. `operator` is one of = != < <= > >= in, is_null, not_null.

    A comparison with a stored NULL never holds, as in SQL; to compare with None is a StorageError (`is_null` is meant).
    `in` takes a tuple of values, at most 500; with none it never holds. Text and bytes are ordered by code point and octet.
    """

    column: str
    operator: str
    value: Value | tuple[Value, ...] = None


OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in", "is_null", "not_null")
MAX_IN_VALUES = 500


@quick_value
class Find:
    """One `Reader.find` among several of a `Reader.read`; the fields are its parameters."""

    table: str
    where: tuple[Where, ...] = ()
    order_by: str | None = None
    descending: bool = False
    limit: int | None = None


class Lookup:
    """A find that logins make again and again: all of it but the values is said once, and is worked out once.

    `LINK = Lookup("subject_link", ("directory", "immutable_id"), limit=1)` makes `LINK("local", user_id)`, which finds the same as
    `Find("subject_link", (Where("directory", "=", "local"), Where("immutable_id", "=", user_id)), limit=1)`. `also`: conditions
    whose values are always these. It is made once, at the level of a module.
    """

    __slots__ = ("also", "columns", "descending", "limit", "order_by", "table")

    def __init__(
        self,
        table: str,
        columns: tuple[str, ...],
        *,
        also: tuple[Where, ...] = (),
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> None:
        self.table = table
        self.columns = columns
        self.also = also
        self.order_by = order_by
        self.descending = descending
        self.limit = limit

    def __call__(self, *values: Value) -> "Sought":
        """The find with these values of the columns."""
        return Sought(self, values)


class Sought(Find):
    """What a `Lookup` makes: a find whose fields are put together only for whoever looks at them."""

    __slots__ = ("lookup", "values")

    def __init__(self, lookup: Lookup, values: tuple[Value, ...]) -> None:
        self.lookup = lookup
        self.values = values

    @property
    def table(self) -> str:
        """The table."""
        return self.lookup.table

    @property
    def where(self) -> tuple[Where, ...]:
        """All conditions. Raises StorageError when there are not as many values as columns."""
        if len(self.values) != len(self.lookup.columns):
            raise StorageError(f"a lookup in {self.table} by {', '.join(self.lookup.columns)}, with {len(self.values)} values")
        own = [Where(column, "=", value) for column, value in zip(self.lookup.columns, self.values, strict=True)]
        return (*own, *self.lookup.also)

    @property
    def order_by(self) -> str | None:
        """As the lookup has it."""
        return self.lookup.order_by

    @property
    def descending(self) -> bool:
        """As the lookup has it."""
        return self.lookup.descending

    @property
    def limit(self) -> int | None:
        """As the lookup has it."""
        return self.lookup.limit


MAX_FINDS = 32


# --- operations -----------------------------------------------------------------------------------------------------


@quick_value
class Insert:
    """Add a row. Refused (`exists`) when its primary key or a unique column is taken. Result: None."""

    table: str
    row: Row


@quick_value
class Update:
    """Change the one row with this primary key, if every condition holds; else refused (`conflict`). Result: None.

    `add` increments whole-number columns; `changes` sets columns; neither touches the primary key. An addition to NULL or
    beyond 64 bits does not hold either. Refused (`exists`) when a change takes a value that is unique and taken.
    With neither `changes` nor `add` it only demands that the row is there and meets the conditions.
    """

    table: str
    key: Row
    changes: Row
    where: tuple[Where, ...] = ()
    add: Mapping[str, int] = field(default_factory=dict)


@quick_value
class Upsert:
    """Add the row, or replace the whole of the one with the same primary key. Result: None.

    Refused (`exists`) when another row has one of its unique values.
    """

    table: str
    row: Row


@quick_value
class Delete:
    """Remove at most `limit` rows that meet every condition (at least one condition). Result: how many went."""

    table: str
    where: tuple[Where, ...]
    limit: int | None = None


@quick_value
class Modified:
    """What a `Modify` function decided: the whole new row (None: leave it as it is) and the caller's result.

    The result is plain data, for it may come from another process: None, truth values, numbers, text, bytes, and tuples, lists and
    dictionaries of them. A member of an enum arrives as the text or number that it stands for: compare it with `==`, not `is`.
    `refuse`: the unit must not happen; the commit answers `Refused` (`conflict`) at this operation.
    """

    row: Row | None
    result: object = None
    refuse: bool = False


ModifyFunction = Callable[[Row | None, Mapping[str, Value]], Modified]


@quick_value
class Modify:
    """Read one row by primary key, compute its successor and write it, atomically. Result: the function's result.

    `function` is pure, sits at the level of a module of this package (it may run in another process, which looks it up by its
    name) and may run twice. `arguments` are flat. The key columns of the row
    that it returns are filled in from `key`. An exception that it raises becomes a StorageError of this unit alone.
    """

    table: str
    key: Row
    function: ModifyFunction
    arguments: Row = field(default_factory=dict)


@quick_value
class Append:
    """Add an event to the audit chain: the back-end gives it its `seq` and `link`. Result: the seq.

    `row` holds every column of `audit_event` but writer, epoch, seq and link. The first event of a chain has seq 1 and
    links to `GENESIS_LINK`. `ChainLink.link` gets those columns whole, empty ones as None.
    """

    row: Row


@quick_value
class Announce:
    """After the commit, tell every subscriber of `topic` (in this and, where there are several, other processes). Result: None.

    `key` is an id, never content: subscribers read the row again.
    """

    topic: str
    key: str


Operation = Insert | Update | Upsert | Delete | Modify | Append | Announce


# --- results ---------------------------------------------------------------------------------------------------------


@quick_value
class Committed:
    """The unit is durable. One result per operation, in order."""

    results: tuple[object, ...]


@quick_value
class Refused:
    """Nothing of the unit was written: the operation at `position` did not hold. `reason`: `conflict` or `exists`."""

    position: int
    reason: str


Commit = Committed | Refused


class ChainLink(Protocol):
    """Computes the audit chain; given by `audit.trail`, run by whoever writes."""

    @property
    def writer(self) -> str:
        """Name of this writer's chain."""
        ...

    @property
    def epoch(self) -> int:
        """Number of the present epoch (a restore opens a new one)."""
        ...

    def link(self, previous: bytes, seq: int, row: Row) -> bytes:
        """The keyed link over the previous link and this row. Pure."""
        ...


class Reader(Protocol):
    """Reading. Every read sees all commits that returned before it began."""

    async def get(self, table: str, key: Row) -> Row | None:
        """The row with this whole primary key."""
        ...

    async def find(
        self,
        table: str,
        where: Sequence[Where] = (),
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> list[Row]:
        """Rows that meet every condition. Without `limit` only for tables that are small by nature.

        `order_by`: ties stand in the order of the primary key, None before everything; `descending` turns all of it round.
        Without it the order is not defined.
        """
        ...

    async def read(self, finds: Sequence[Find]) -> list[list[Row]]:
        """The rows of each of several small finds (at most `MAX_FINDS`), in order.

        One round trip where reading takes one, so ask together what is needed together. Not one snapshot: what a commit
        depends on is in its conditions.
        """
        ...

    async def count(self, table: str, where: Sequence[Where] = (), most: int | None = None) -> int:
        """How many rows meet every condition. `most`: nobody wants to know of more, and so no more are counted."""
        ...


class Storage(Reader, Protocol):
    """A whole back-end.

    `on_batch` is told of every durable commit: how many units it took, and how many seconds it waited for the database.
    `on_failure` is told of every batch that could not be written, and of a database that was found away while nothing was.
    Both are called on the event loop.
    """

    on_batch: Callable[[int, float], None] | None
    on_failure: Callable[[], None] | None

    async def commit(self, operations: Sequence[Operation]) -> Commit:
        """Write a unit durably, all or nothing.

        Raises StorageUnavailable when the database cannot write (nothing of the unit was kept, as far as it can tell; where it
        cannot, because whoever writes has died or the connection is lost, the message says that the unit's fate is unknown),
        Overloaded when more than `MAX_WAITING_UNITS` wait, StorageError for an operation that does not fit the schema.
        A caller that is cancelled while it waits takes nothing back: the unit is written, whole, without telling it.
        """
        ...

    def use_chain(self, chain: ChainLink) -> None:
        """Give the chain that `Append` extends. Called once, before the first Append."""
        ...

    def subscribe(self, topic: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback(key)` on the event loop after each commit that announced `topic`; returns how to stop it.

        In this process it is called before the `commit` that announced returns to its caller. An empty key means that
        announcements may have been missed (a connection was lost and is back): look at everything again.
        """
        ...

    def depths(self) -> tuple[int, int]:
        """How many units and how many long reads wait or are in work now, for the metrics."""
        ...

    async def close(self) -> None:
        """Finish the units that wait, then let go of the database."""
        ...


MAX_WAITING_UNITS = 10_000
# A unit runs without a pause: a bulk import commits in pieces of a few hundred rows, so that logins fit in between.
MAX_UNIT_OPERATIONS = 5_000
# What the values of a unit may come to where it travels to another process.
MAX_UNIT_BYTES = 32 * 2**20
GENESIS_LINK = bytes(32)
