"""What several directories need: earlier passwords of local users, who had which login name, and contacts of our own profile."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, Text

# Ordered by code point on PostgreSQL too, whatever the database's own collation.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _text(name: str) -> Column[str]:
    return Column(name, _TEXT, nullable=False)


def _number(name: str, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null, autoincrement=False)


def _bytes(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def upgrade(op: Operations) -> None:
    """Create the tables and their indexes."""
    op.create_table(
        "local_password_history",
        _text("directory"),
        _text("user_id"),
        _number("number"),
        _text("hash"),
        PrimaryKeyConstraint("user_id", "number"),
    )
    op.create_table(
        "known_name",
        _text("realm"),
        _text("name_key"),
        _text("directory"),
        _text("immutable_id"),
        _number("seen_at"),
        PrimaryKeyConstraint("realm", "name_key"),
    )
    op.create_index("ix_known_name_account", "known_name", ["directory", "immutable_id"])
    op.create_table(
        "contact",
        _text("subject_id"),
        _text("kind"),
        _bytes("value_key"),
        _bytes("sealed"),
        _number("preferred"),
        _number("verified_at", null=True),
        _text("source"),
        _number("created_at"),
        PrimaryKeyConstraint("subject_id", "kind", "value_key"),
    )
