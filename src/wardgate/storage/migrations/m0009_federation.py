"""What single sign-on stands on: our signing keys and what relying parties say of themselves."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, Text, text

# Ordered by code point on PostgreSQL too, whatever the database's own collation.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _text(name: str, null: bool = False) -> Column[str]:
    return Column(name, _TEXT, nullable=null)


def _number(name: str, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null, autoincrement=False)


def _bytes(name: str, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


def _some(op: Operations, name: str, table: str, columns: list[str], condition: str) -> None:
    """An index of these rows alone."""
    op.create_index(name, table, columns, sqlite_where=text(condition), postgresql_where=text(condition))


def upgrade(op: Operations) -> None:
    """Create the tables and their indexes."""
    _parties(op)
    _browsers(op)


def _parties(op: Operations) -> None:
    op.create_table(
        "federation_key",
        _text("kind"),
        _number("number"),
        _bytes("sealed"),
        _bytes("certificate"),
        _number("created_at"),
        _number("signs_from"),
        _number("published_until", null=True),
        PrimaryKeyConstraint("kind", "number"),
    )
    op.create_table(
        "party_metadata",
        _text("application"),
        _text("url"),
        _text("document"),
        _text("entity_id"),
        _number("fetched_at"),
        _number("valid_until", null=True),
        _number("next_at"),
        _number("failures"),
        _text("problem"),
        PrimaryKeyConstraint("application"),
    )


def _browsers(op: Operations) -> None:
    op.create_table(
        "saml_request",
        _bytes("replay_mac"),
        _bytes("request_mac", null=True),
        _bytes("browser_mac", null=True),
        _bytes("source_mac", null=True),
        _text("state"),
        _bytes("sealed"),
        _number("created_at"),
        _number("expires_at"),
        PrimaryKeyConstraint("replay_mac"),
        sqlite_with_rowid=False,
    )
    _some(op, "ix_saml_request_request_mac", "saml_request", ["request_mac"], "request_mac IS NOT NULL")
    _some(op, "ix_saml_request_browser_mac", "saml_request", ["browser_mac"], "request_mac IS NOT NULL")
    _some(op, "ix_saml_request_source_mac", "saml_request", ["source_mac", "state"], "source_mac IS NOT NULL")
    op.create_index("ix_saml_request_expires_at", "saml_request", ["expires_at"])
    op.create_table(
        "saml_participant",
        _text("session_id"),
        _text("application"),
        _text("subject_id"),
        _bytes("sealed"),
        _number("created_at"),
        _number("expires_at"),
        PrimaryKeyConstraint("session_id", "application"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_saml_participant_subject_id", "saml_participant", ["subject_id"])
    op.create_index("ix_saml_participant_expires_at", "saml_participant", ["expires_at"])
