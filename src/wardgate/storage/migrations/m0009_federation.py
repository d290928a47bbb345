"""What single sign-on stands on: our signing keys and what relying parties say of themselves."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, Text, UniqueConstraint

# Ordered by code point on PostgreSQL too, whatever the database's own collation.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _text(name: str, null: bool = False) -> Column[str]:
    return Column(name, _TEXT, nullable=null)


def _number(name: str, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null, autoincrement=False)


def _bytes(name: str, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


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
        _bytes("request_mac"),
        _bytes("replay_mac"),
        _bytes("browser_mac", null=True),
        _bytes("source_mac"),
        _text("state"),
        _bytes("sealed"),
        _number("created_at"),
        _number("expires_at"),
        PrimaryKeyConstraint("request_mac"),
        UniqueConstraint("replay_mac", name="uq_saml_request_replay_mac"),
    )
    op.create_index("ix_saml_request_browser_mac", "saml_request", ["browser_mac"])
    op.create_index("ix_saml_request_source_mac", "saml_request", ["source_mac", "state"])
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
    )
    op.create_index("ix_saml_participant_subject_id", "saml_participant", ["subject_id"])
    op.create_index("ix_saml_participant_expires_at", "saml_participant", ["expires_at"])
