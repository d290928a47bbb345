"""What policy and brakes remember: demands put off, trusted devices, habits, hand-overs, messages by part of the world."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, Text

# Ordered by code point on PostgreSQL too, whatever the database's own collation.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _text(name: str) -> Column[str]:
    return Column(name, _TEXT, nullable=False)


def _number(name: str, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null, autoincrement=False)


def _bytes(name: str, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


def upgrade(op: Operations) -> None:
    """Create the tables and their indexes; brakes learn who is held."""
    op.add_column("brake", _bytes("label", null=True))
    op.create_table(
        "hand_over",
        _text("application"),
        _bytes("user_key"),
        _bytes("client_key"),
        _text("subject_id"),
        _text("transaction_id"),
        _bytes("sealed"),
        _number("expires_at"),
        PrimaryKeyConstraint("application", "user_key", "client_key"),
    )
    op.create_index("ix_hand_over_expires_at", "hand_over", ["expires_at"])
    op.create_table(
        "demand",
        _text("subject_id"),
        _text("action"),
        _number("put_off"),
        _number("put_off_at"),
        _number("reminded_at"),
        _number("met_at", null=True),
        PrimaryKeyConstraint("subject_id", "action"),
    )
    op.create_table(
        "trusted_device",
        _text("id"),
        _text("subject_id"),
        _bytes("secret_mac"),
        _bytes("previous_mac", null=True),
        _number("rotated_at"),
        _text("label"),
        _text("state"),
        _number("created_at"),
        _number("last_used_at"),
        _number("expires_at"),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_trusted_device_subject_id", "trusted_device", ["subject_id"])
    op.create_index("ix_trusted_device_expires_at", "trusted_device", ["expires_at"])
    op.create_table(
        "habit",
        _text("subject_id"),
        _text("kind"),
        _bytes("value_key"),
        _number("times"),
        _number("first_at"),
        _number("last_at"),
        PrimaryKeyConstraint("subject_id", "kind", "value_key"),
    )
    op.create_index("ix_habit_last_at", "habit", ["last_at"])
    op.create_table(
        "sending",
        _number("day"),
        _text("channel"),
        _text("prefix"),
        _number("messages"),
        _number("refused"),
        PrimaryKeyConstraint("day", "channel", "prefix"),
    )
