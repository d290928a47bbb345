"""What browsers are in the middle of, self-service flows, where people are signed in, and links in messages."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, Text

# Ordered by code point on PostgreSQL too, whatever the database's own collation.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, autoincrement=False)


def _bytes(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def upgrade(op: Operations) -> None:
    """Create the tables and their indexes."""
    op.create_table(
        "page_step",
        _bytes("step_mac"),
        _bytes("browser_mac"),
        _number("turn"),
        _bytes("sealed"),
        _number("created_at"),
        _number("expires_at"),
        PrimaryKeyConstraint("step_mac"),
    )
    op.create_index("ix_page_step_expires_at", "page_step", ["expires_at"])
    op.create_table(
        "self_service",
        Column("id", _TEXT, nullable=False),
        Column("reference", _TEXT, nullable=False),
        Column("goal", _TEXT, nullable=False),
        Column("stage", _TEXT, nullable=False),
        _number("sequence"),
        Column("subject_id", _TEXT, nullable=False),
        _bytes("sealed"),
        _number("created_at"),
        _number("expires_at"),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_self_service_expires_at", "self_service", ["expires_at"])
    op.create_table(
        "sso_session",
        _bytes("session_mac"),
        Column("id", _TEXT, nullable=False),
        Column("subject_id", _TEXT, nullable=False),
        Column("body", _TEXT, nullable=False),
        _number("created_at"),
        _number("seen_at"),
        _number("confirmed_at"),
        _number("idle_ms"),
        _number("expires_at"),
        PrimaryKeyConstraint("session_mac"),
    )
    op.create_index("ix_sso_session_subject_id", "sso_session", ["subject_id"])
    op.create_index("ix_sso_session_expires_at", "sso_session", ["expires_at"])
    op.create_table(
        "mail_link",
        _bytes("link_mac"),
        Column("subject_id", _TEXT, nullable=False),
        Column("purpose", _TEXT, nullable=False),
        _bytes("sealed"),
        _number("created_at"),
        _number("expires_at"),
        Column("used_at", BigInteger, nullable=True, autoincrement=False),
        PrimaryKeyConstraint("link_mac"),
    )
    op.create_index("ix_mail_link_subject_id", "mail_link", ["subject_id"])
    op.create_index("ix_mail_link_expires_at", "mail_link", ["expires_at"])
    op.add_column("contact", Column("found_by", LargeBinary, nullable=True))
    op.create_index("ix_contact_found_by", "contact", ["found_by"])
