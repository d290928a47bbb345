"""Challenge questions: hashed answers, what belongs to all of a person's, and the rounds that went wrong."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, Text

# Ordered by code point on PostgreSQL too, whatever the database's own collation.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _text(name: str) -> Column[str]:
    return Column(name, _TEXT, nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, autoincrement=False)


def _bytes(name: str, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


def upgrade(op: Operations) -> None:
    """Create the tables and their index."""
    op.create_table(
        "kba_answer",
        _text("subject_id"),
        _text("question_id"),
        _number("number"),
        _text("source"),
        _bytes("sealed", null=True),
        _text("hashed"),
        _number("pepper"),
        _number("normalisation"),
        _number("case_sensitive"),
        _number("set_at"),
        PrimaryKeyConstraint("subject_id", "question_id"),
    )
    op.create_table(
        "kba_state",
        _text("subject_id"),
        _number("answers_version"),
        _number("next_number"),
        _text("asked"),
        _number("asked_until"),
        _number("changed_at"),
        PrimaryKeyConstraint("subject_id"),
    )
    op.create_table(
        "kba_round",
        _bytes("key"),
        _number("strikes"),
        _number("window_started_at"),
        _number("pending"),
        _number("pending_until"),
        _number("closed_at"),
        _number("expires_at"),
        PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_kba_round_expires_at", "kba_round", ["expires_at"])
