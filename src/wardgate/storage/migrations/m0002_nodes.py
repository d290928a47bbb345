"""What several workers and nodes share: leases for scheduled jobs, and the signed heads of their audit chains."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, Text

# Ordered by code point on PostgreSQL too, whatever the database's own collation.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _text(name: str) -> Column[str]:
    return Column(name, _TEXT, nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, autoincrement=False)


def _bytes(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def upgrade(op: Operations) -> None:
    """Create the tables and their indexes."""
    op.create_table("lease", _text("name"), _text("holder"), _number("held_until"), PrimaryKeyConstraint("name"))
    op.create_table(
        "audit_head",
        _text("writer"),
        _number("epoch"),
        _number("seq"),
        _bytes("link"),
        _text("others"),
        _bytes("signature"),
        _number("created_at"),
        PrimaryKeyConstraint("writer", "epoch", "seq"),
    )
    op.create_index("ix_audit_head_created_at", "audit_head", ["created_at"])
