"""Indexes that every login writes and nobody reads go; the authenticators of a person come in their order from the index.

Timeline and audit trail are read by their ids and numbers, which rise with time.
"""

from alembic.operations import Operations


def upgrade(op: Operations) -> None:
    """Drop and create indexes; no row changes."""
    op.drop_index("ix_timeline_created_at", "timeline")
    op.drop_index("ix_audit_event_created_at", "audit_event")
    op.drop_index("ix_authenticator_subject_id", "authenticator")
    op.create_index("ix_authenticator_subject_id", "authenticator", ["subject_id", "created_at", "id"])
