"""SQL as text with named places for values: what we write ourselves, and what an operator wrote. Pure.

Names of tables and columns come from the settings and are quoted. Whatever comes from a login (names, mail addresses, ids) is only
ever a value: it has no way into the text of a statement. (Ruff cannot see that, hence S608.)
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from wardgate.directory.sql.address import Engine
from wardgate.directory.sql.settings import SqlSettings

MAX_CANDIDATES: Final = 100
MAX_GROUPS: Final = 1_000
MAX_IDENTIFIER_CHARS: Final = 63
MAX_STATEMENT_CHARS: Final = 8_000

# Which names an operator's own statement may use, and which of them it must.
OWN: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "find_statement": (frozenset({"name", "typed"}), frozenset()),
    "get_statement": (frozenset({"id"}), frozenset({"id"})),
    "list_statement": (frozenset(), frozenset()),
    "group_statement": (frozenset({"id", "username"}), frozenset()),
    "set_password_statement": (
        frozenset({"id", "username", "old", "password", "must_change", "now"}),
        frozenset({"old", "password"}),
    ),
    "unlock_statement": (frozenset({"id", "username"}), frozenset()),
    "write_phone_statement": (frozenset({"id", "username", "value"}), frozenset({"value"})),
    "write_mail_statement": (frozenset({"id", "username", "value"}), frozenset({"value"})),
}


class StatementFault(ValueError):
    """An identifier or an own statement cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Text with places for values: `pieces[0] names[0] pieces[1] ...`. `writes`: it may change something."""

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    writes: bool = False

    def render(self, place: Callable[[int], str]) -> str:
        """The text, with `place(number)` for the value at each place."""
        return self.pieces[0] + "".join(place(at) + piece for at, piece in enumerate(self.pieces[1:]))


# --- what an operator wrote --------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""
      (?P<text>'(?:[^'\\]|''|\\.)*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<comment>--[^\n]* | /\*.*?\*/)
    | (?P<cast>::|:=)
    | :(?P<name>[A-Za-z_]\w*)
    | (?P<end>;\s*\Z)
    | (?P<refused>; | [?] | \$\d+ | ['"`] | /\*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_NAMED_INSIDE = re.compile(r"['\"`%]\s*:(?:id|name|typed|username|old|password|value|now|must_change)\b")


def own_statement(text: str, setting: str) -> Statement:
    """A statement of the settings. Raises StatementFault."""
    if not text.strip() or len(text) > MAX_STATEMENT_CHARS or "\0" in text:
        raise StatementFault(f"must be one statement of at most {MAX_STATEMENT_CHARS} characters")
    pieces, names = [""], []
    for match in _TOKEN.finditer(text.strip()):
        if match["refused"]:
            raise StatementFault(f"holds {match['refused']!r}: write one statement, with values as :{_any_name(setting)}")
        if match["text"] and _NAMED_INSIDE.match(match["text"]):
            raise StatementFault("has a value inside quotes; write :name without quotes, it is bound and never pasted in")
        if match["name"]:
            names.append(match["name"])
            pieces.append("")
        elif not (match["comment"] or match["end"]):
            pieces[-1] += match[0]
        else:
            pieces[-1] += " "
    allowed, needed = OWN[setting]
    if unknown := sorted(set(names) - allowed):
        raise StatementFault(f"has no value :{unknown[0]}; there are {', '.join(':' + name for name in sorted(allowed))}")
    if missing := sorted(needed - set(names)):
        raise StatementFault(f"must use :{missing[0]}")
    if setting == "list_statement":
        _must_read(pieces)
        return Statement(tuple(pieces), ())  # never run as it stands: `page` takes a piece of what it gives
    if setting not in ("find_statement", "get_statement", "group_statement"):
        if not {"id", "username"} & set(names):
            raise StatementFault("must use :id or :username, or it would change everybody's row")
        return Statement(tuple(pieces), tuple(names), writes=True)
    return _bounded(pieces, names, MAX_GROUPS if setting == "group_statement" else MAX_CANDIDATES)


def _any_name(setting: str) -> str:
    return min(OWN[setting][0], default="name")


def _bounded(pieces: list[str], names: list[str], limit: int) -> Statement:
    """A query that gives no more than `limit` rows, whatever the operator forgot."""
    _must_read(pieces)
    pieces[0] = f"SELECT * FROM ({pieces[0]}"  # noqa: S608
    pieces[-1] += f") AS wardgate_rows LIMIT {limit}"
    return Statement(tuple(pieces), tuple(names))


def _must_read(pieces: Sequence[str]) -> None:
    if not re.match(r"\s*(?:select|with)\b", pieces[0], re.IGNORECASE):
        raise StatementFault("must begin with SELECT or WITH")


# --- what we write -------------------------------------------------------------------------------------------------------


def quoted(identifier: str, engine: Engine) -> str:
    """A table's or column's name. Raises StatementFault for what cannot be one."""
    if not 0 < len(identifier) <= MAX_IDENTIFIER_CHARS or not identifier.isprintable():
        raise StatementFault(f"must be a name of 1 to {MAX_IDENTIFIER_CHARS} characters")
    # SQLite takes "x" for the text x when there is no such column, and a password column with a typing error would hold the
    # same known text for everybody. It never does so with `x`.
    mark = '"' if engine is Engine.POSTGRESQL else "`"
    return mark + identifier.replace(mark, 2 * mark) + mark


def quoted_table(table: str, engine: Engine) -> str:
    """`table` or `schema.table`."""
    parts = table.split(".")
    if len(parts) > 2:
        raise StatementFault("must be TABLE or SCHEMA.TABLE")
    return ".".join(quoted(part, engine) for part in parts)


_SAME: Final = {Engine.POSTGRESQL: "IS NOT DISTINCT FROM", Engine.MYSQL: "<=>", Engine.SQLITE: "IS"}


class TableStatements:
    """The statements on the configured table."""

    def __init__(self, settings: SqlSettings, engine: Engine, columns: Sequence[str]) -> None:
        self._engine = engine
        self._settings = settings
        self.table = quoted_table(settings.table or "", engine)
        self._columns = ", ".join(quoted(column, engine) for column in columns)
        usual = "exact" if engine is Engine.MYSQL else "lower"
        self._username = self._folded(settings.columns.username, settings.username_match or usual)
        mail = settings.columns.mail
        self._mail = None if mail is None else self._folded(mail, settings.mail_match or usual)
        # There are as many of them as there are counts of spellings: a handful.
        self.find = lru_cache(maxsize=32)(self._find)

    def _folded(self, column: str, match: str) -> str:
        name = quoted(column, self._engine)
        return f"lower({name})" if match == "lower" else name

    def _find(self, spellings: int, by_mail: bool) -> Statement:
        """Rows whose login name, or mail address, is one of the values :n0, :n1 and so on."""
        parts = [self.by_username(spellings)]
        if by_mail and self._mail is not None:
            parts.append(self.by(self._mail, spellings))
        if len(parts) == 1:
            return parts[0]
        joined = [
            *_joined(parts[0], before="SELECT * FROM (", after=") AS by_name UNION ALL SELECT * FROM ("),
            *_joined(parts[1], after=") AS by_mail"),
        ]
        return _statement(joined)

    def by_username(self, spellings: int) -> Statement:
        """The part of `find` that looks at login names."""
        return self.by(self._username, spellings)

    def by_mail(self, spellings: int) -> Statement | None:
        """The part of `find` that looks at mail addresses, where there is a column for them."""
        return None if self._mail is None else self.by(self._mail, spellings)

    def by(self, folded: str, spellings: int) -> Statement:
        """Rows in which this is one of the values."""
        text: list[str | Place] = [f"SELECT {self._columns} FROM {self.table} WHERE {folded} IN ("]  # noqa: S608
        for number in range(spellings):
            text += [", " if number else "", Place(f"n{number}")]
        return _statement([*text, f") LIMIT {MAX_CANDIDATES}"])

    def index_lines(self, column: str) -> tuple[str, ...]:
        """What makes the index that a look-up by this column needs; nothing where an engine has none on lower()."""
        folded = self._username if column == self._settings.columns.username else self._mail
        if column == self._settings.columns.id or folded is None:
            folded = quoted(column, self._engine)
        if self._engine is Engine.MYSQL and folded.startswith("lower("):
            return ()
        return (f"CREATE INDEX {quoted(f'wardgate_{column}'[:MAX_IDENTIFIER_CHARS], self._engine)} ON {self.table} ({folded});",)

    def get(self) -> Statement:
        """The row of :id."""
        key = quoted(self._settings.columns.id, self._engine)
        return _statement([f"SELECT {self._columns} FROM {self.table} WHERE {key} = ", Place("id"), " LIMIT 2"])  # noqa: S608

    def page(self, limit: int, begins: bool) -> Statement:
        """The first rows in the order of their ids, or those after :after."""
        return page(self.table, self._columns, quoted(self._settings.columns.id, self._engine), limit, begins)

    def sample(self, limit: int, columns: Iterable[str]) -> Statement:
        """A few columns of some rows."""
        names = ", ".join(quoted(column, self._engine) for column in columns)
        return _statement([f"SELECT {names} FROM {self.table} LIMIT {limit}"])  # noqa: S608

    def update(self, changes: Sequence[str], unchanged: Sequence[str] = ()) -> Statement:
        """Set columns to :new_COLUMN where :id is the id, and these columns still are :old_COLUMN."""
        text: list[str | Place] = [f"UPDATE {self.table} SET "]  # noqa: S608
        for number, column in enumerate(changes):
            text += [f"{', ' if number else ''}{quoted(column, self._engine)} = ", Place(f"new_{column}")]
        text += [f" WHERE {quoted(self._settings.columns.id, self._engine)} = ", Place("id")]
        for column in unchanged:
            text += [f" AND {quoted(column, self._engine)} {_SAME[self._engine]} ", Place(f"old_{column}")]
        return _statement(text, writes=True)

    def no_update(self, columns: Sequence[str]) -> Statement:
        """Needs the right to update these columns, and changes nothing."""
        changes = ", ".join(f"{name} = {name}" for name in (quoted(column, self._engine) for column in columns))
        return _statement([f"UPDATE {self.table} SET {changes} WHERE 1 = 0"], writes=True)  # noqa: S608


def page_of(own: Statement, key: str, engine: Engine, limit: int, begins: bool) -> Statement:
    """The same of what an operator's own `list_statement` gives. `key`: its column with the ids."""
    return page(f"({own.pieces[0]}) AS wardgate_rows", "*", quoted(key, engine), limit, begins)


def page(source: str, columns: str, key: str, limit: int, begins: bool) -> Statement:
    """Rows of a table or sub-query in the order of their ids; a row without one is nobody's."""
    bound: list[str | Place] = [f"{key} IS NOT NULL"] if begins else [f"{key} > ", Place("after")]
    return _statement([f"SELECT {columns} FROM {source} WHERE ", *bound, f" ORDER BY {key} LIMIT {limit}"])  # noqa: S608


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value of this name goes."""

    name: str


def _joined(statement: Statement, before: str = "", after: str = "") -> Iterator[str | Place]:
    yield before
    for name, piece in zip((*statement.names, None), statement.pieces, strict=True):
        yield piece
        if name is not None:
            yield Place(name)
    yield after


def _statement(text: Iterable[str | Place], writes: bool = False) -> Statement:
    pieces, names = [""], []
    for each in text:
        if isinstance(each, Place):
            names.append(each.name)
            pieces.append("")
        else:
            pieces[-1] += each
    return Statement(tuple(pieces), tuple(names), writes)
