"""Columns and indexes as all tables have them, the same in every dialect."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, Text
from sqlalchemy import text as sql

metadata = MetaData()


def text(name: str, null: bool = False) -> Column[str]:
    """A column of text."""
    return Column(name, Text, nullable=null)


def number(name: str, null: bool = False) -> Column[int]:
    """A column of whole numbers."""
    return Column(name, BigInteger, nullable=null)


def octets(name: str, null: bool = False) -> Column[bytes]:
    """A column of octets."""
    return Column(name, LargeBinary, nullable=null)


def partial_index(name: str, *columns: str, condition: str) -> Index:
    """An index of these rows alone. A query finds by it that has the condition, or one from which it follows."""
    return Index(name, *columns, sqlite_where=sql(condition), postgresql_where=sql(condition))
