"""What people do and are given by hand: their activity, activations, short links and spare tokens."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, Text

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
    _activation(op)
    _token(op)
    _password_write(op)
    _short_link(op)
    _freezes(op)
    _directory_contacts(op)


def _directory_contacts(op: Operations) -> None:
    op.create_table(
        "directory_contact",
        _text("subject_id"),
        _text("directory"),
        _text("marks"),
        _number("seen_at"),
        PrimaryKeyConstraint("subject_id", "directory"),
    )


def _activation(op: Operations) -> None:
    op.create_table(
        "activation",
        _text("subject_id"),
        _text("id"),
        _text("login_name"),
        _text("issuer"),
        _text("channel"),
        _text("destination"),
        _bytes("link_mac", null=True),
        _number("link_until"),
        _bytes("code_mac", null=True),
        _number("code_until"),
        _text("state"),
        _number("tries"),
        _number("created_at"),
        _number("expires_at"),
        _number("ended_at", null=True),
        _text("used_by"),
        _bytes("sealed", null=True),
        PrimaryKeyConstraint("subject_id"),
    )
    op.create_index("ix_activation_link_mac", "activation", ["link_mac"])
    op.create_index("ix_activation_expires_at", "activation", ["expires_at"])


def _token(op: Operations) -> None:
    op.create_table(
        "token",
        _text("serial"),
        _text("kind"),
        _text("model"),
        _bytes("sealed", null=True),
        _text("settings"),
        _number("counter"),
        _text("state"),
        _text("authenticator_id", null=True),
        _number("created_at"),
        PrimaryKeyConstraint("serial"),
    )


def _password_write(op: Operations) -> None:
    op.create_table(
        "password_write",
        _bytes("account_mac"),
        _text("subject_id"),
        _bytes("mark", null=True),
        _number("changed_at"),
        _number("marked_until"),
        _text("pending_id"),
        _text("pending"),
        _number("next_at"),
        _number("expires_at"),
        PrimaryKeyConstraint("account_mac"),
    )
    op.create_index("ix_password_write_subject_id", "password_write", ["subject_id"])
    op.create_index("ix_password_write_next_at", "password_write", ["next_at"])
    op.create_index("ix_password_write_expires_at", "password_write", ["expires_at"])


def _short_link(op: Operations) -> None:
    op.create_table(
        "short_link",
        _bytes("link_mac"),
        _text("transaction_id"),
        _text("subject_id"),
        _text("purpose"),
        _text("factor"),
        _bytes("sealed"),
        _bytes("browser_mac", null=True),
        _text("activation"),
        _text("proved"),
        _number("twofold"),
        _bytes("code_mac", null=True),
        _number("tries"),
        _number("created_at"),
        _number("expires_at"),
        _number("used_at", null=True),
        PrimaryKeyConstraint("link_mac"),
    )
    op.create_index("ix_short_link_subject_id", "short_link", ["subject_id"])
    op.create_index("ix_short_link_expires_at", "short_link", ["expires_at"])


def _freezes(op: Operations) -> None:
    """Frozen accounts, and a person's own events: every login wrote the index that goes, and nobody read it."""
    op.add_column("subject", _number("frozen_at", null=True))
    op.add_column("subject", _number("new_browser_at", null=True))
    op.create_table(
        "freeze",
        _text("subject_id"),
        _number("set_at"),
        _number("disputed_at"),
        _number("since_at"),
        _text("set_by"),
        _bytes("sealed"),
        PrimaryKeyConstraint("subject_id"),
    )
    op.drop_index("ix_audit_event_transaction_id", "audit_event")
    op.create_index("ix_audit_event_subject_id", "audit_event", ["subject_id", "created_at"])
