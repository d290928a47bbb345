"""Every table of the first release. Frozen: a later change is a later migration, never an edit here."""

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
    op.create_table("installation", _text("name"), _text("value"), PrimaryKeyConstraint("name"))
    op.create_table("data_key", _number("number"), _bytes("wrapped"), _number("created_at"), PrimaryKeyConstraint("number"))
    op.create_table(
        "configuration",
        _number("version"),
        _text("document"),
        _text("author"),
        _text("reason"),
        _number("created_at"),
        PrimaryKeyConstraint("version"),
    )
    op.create_table("subject", _text("id"), _number("created_at"), PrimaryKeyConstraint("id"))
    op.create_table(
        "subject_link",
        _text("directory"),
        _text("immutable_id"),
        _text("subject_id"),
        _number("created_at"),
        PrimaryKeyConstraint("directory", "immutable_id"),
    )
    op.create_index("ix_subject_link_subject_id", "subject_link", ["subject_id"])
    op.create_table(
        "local_user",
        _text("id"),
        _text("directory"),
        _text("name"),
        _text("name_key"),
        _text("display_name"),
        _text("mail", null=True),
        _text("mail_key", null=True),
        _text("phone", null=True),
        _text("language", null=True),
        _text("groups"),
        _text("attributes"),
        _text("password_hash", null=True),
        _number("password_changed_at", null=True),
        _number("must_change"),
        _text("state"),
        _number("expires_at", null=True),
        _number("created_at"),
        _number("version"),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("directory", "name_key", name="uq_local_user_name"),
    )
    op.create_index("ix_local_user_mail_key", "local_user", ["directory", "mail_key"])
    op.create_table(
        "authenticator",
        _text("id"),
        _text("subject_id"),
        _text("kind"),
        _text("label"),
        _bytes("sealed", null=True),
        _text("settings"),
        _number("counter"),
        _text("state"),
        _number("created_at"),
        _number("last_used_at", null=True),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_authenticator_subject_id", "authenticator", ["subject_id"])
    op.create_table(
        "recovery_code",
        _text("authenticator_id"),
        _bytes("code_mac"),
        _number("used_at", null=True),
        PrimaryKeyConstraint("authenticator_id", "code_mac"),
    )
    op.create_table(
        "login_transaction",
        _text("id"),
        _text("reference"),
        _text("state"),
        _text("goal"),
        _text("application"),
        _text("subject_id", null=True),
        _bytes("fold_key", null=True),
        _number("sequence"),
        _text("body"),
        _number("created_at"),
        _number("expires_at"),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("fold_key", name="uq_login_transaction_fold_key"),
    )
    op.create_index("ix_login_transaction_expires_at", "login_transaction", ["expires_at"])
    op.create_table(
        "handle",
        _bytes("handle_mac"),
        _text("transaction_id"),
        _number("sequence"),
        _text("binding"),
        _number("expires_at"),
        _number("consumed_at", null=True),
        _bytes("fingerprint", null=True),
        _bytes("outcome", null=True),
        PrimaryKeyConstraint("handle_mac"),
    )
    op.create_index("ix_handle_expires_at", "handle", ["expires_at"])
    op.create_table(
        "spent_code",
        _text("application"),
        _bytes("user_key"),
        _bytes("code_mac"),
        _number("spent_at"),
        PrimaryKeyConstraint("application", "user_key"),
    )
    op.create_table(
        "brake",
        _text("kind"),
        _bytes("key"),
        _bytes("owner", null=True),
        _number("failures"),
        _number("window_started_at"),
        _number("in_flight"),
        _number("in_flight_until"),
        _number("locked_until"),
        _number("level"),
        _number("succeeded_at"),
        _text("stamps"),
        _number("expires_at"),
        PrimaryKeyConstraint("kind", "key"),
    )
    op.create_index("ix_brake_expires_at", "brake", ["expires_at"])
    op.create_index("ix_brake_owner", "brake", ["owner"])
    op.create_table(
        "outbox",
        _text("id"),
        _text("transaction_id"),
        _text("reference"),
        _text("subject_id"),
        _text("user_name"),
        _text("application"),
        _text("channel"),
        _bytes("sealed", null=True),
        _text("state"),
        _number("created_at"),
        _number("expires_at"),
        _number("next_try_at"),
        _number("tries"),
        _text("claimed_by", null=True),
        _text("gateway", null=True),
        _text("answer", null=True),
        _number("sent_at", null=True),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_outbox_created_at", "outbox", ["created_at"])
    op.create_index("ix_outbox_due", "outbox", ["state", "next_try_at"])
    op.create_table(
        "audit_event",
        _text("writer"),
        _number("epoch"),
        _number("seq"),
        _text("kind"),
        _number("created_at"),
        _text("transaction_id", null=True),
        _text("reference", null=True),
        _text("subject_id", null=True),
        _text("payload", null=True),
        _bytes("salt", null=True),
        _bytes("commitment"),
        _bytes("link"),
        PrimaryKeyConstraint("writer", "epoch", "seq"),
    )
    op.create_index("ix_audit_event_created_at", "audit_event", ["created_at"])
    op.create_index("ix_audit_event_transaction_id", "audit_event", ["transaction_id"])
    op.create_table(
        "timeline",
        _text("id"),
        _text("reference"),
        _text("transaction_id", null=True),
        _text("user_key", null=True),
        _text("door"),
        _text("result"),
        _text("body"),
        _number("created_at"),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_timeline_created_at", "timeline", ["created_at"])
    op.create_index("ix_timeline_reference", "timeline", ["reference"])
    op.create_index("ix_timeline_user_key", "timeline", ["user_key", "id"])
    op.create_table(
        "incident",
        _text("kind"),
        _text("source"),
        _text("nas", null=True),
        _text("detail"),
        _number("count"),
        _number("first_at"),
        _number("last_at"),
        PrimaryKeyConstraint("kind", "source"),
    )
    op.create_index("ix_incident_last_at", "incident", ["last_at"])
    op.create_table(
        "accounting",
        _text("id"),
        _text("nas"),
        _text("user_name"),
        _text("session_id"),
        _text("status"),
        _text("attributes"),
        _number("created_at"),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_accounting_created_at", "accounting", ["created_at"])
    op.create_table(
        "admin_pass",
        _bytes("pass_mac"),
        _text("kind"),
        _number("expires_at"),
        _number("used_at", null=True),
        PrimaryKeyConstraint("pass_mac"),
    )
    op.create_index("ix_admin_pass_expires_at", "admin_pass", ["expires_at"])
