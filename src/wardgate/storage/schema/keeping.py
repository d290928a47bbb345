"""What the installation, its messages, its records and its operators need."""

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from wardgate.storage.schema.columns import metadata, number, octets, text

# --- the installation ------------------------------------------------------------------------------------------------

installation = Table("installation", metadata, text("name"), text("value"), PrimaryKeyConstraint("name"))

data_key = Table("data_key", metadata, number("number"), octets("wrapped"), number("created_at"), PrimaryKeyConstraint("number"))

# The configuration document, one row per version; the newest is in force.
configuration = Table(
    "configuration",
    metadata,
    number("version"),
    text("document"),
    text("author"),
    text("reason"),
    number("created_at"),
    PrimaryKeyConstraint("version"),
)

# Who does a scheduled job, until when: taken and kept by conditional writes.
lease = Table("lease", metadata, text("name"), text("holder"), number("held_until"), PrimaryKeyConstraint("name"))

# --- delivery --------------------------------------------------------------------------------------------------------

outbox = Table(
    "outbox",
    metadata,
    text("id"),
    text("transaction_id"),
    text("reference"),
    text("subject_id"),
    text("user_name"),
    text("application"),
    text("channel"),
    octets("sealed", null=True),
    text("state"),
    number("created_at"),
    number("expires_at"),
    number("next_try_at"),
    number("tries"),
    text("claimed_by", null=True),
    text("gateway", null=True),
    text("answer", null=True),
    number("sent_at", null=True),
    PrimaryKeyConstraint("id"),
    Index("ix_outbox_due", "state", "next_try_at"),
    Index("ix_outbox_created_at", "created_at"),
)

# How many messages went to which part of the world on a day, and how many were not let go: what they cost, and the caps.
sending = Table(
    "sending",
    metadata,
    number("day"),
    text("channel"),
    text("prefix"),
    number("messages"),
    number("refused"),
    PrimaryKeyConstraint("day", "channel", "prefix"),
)

# --- what happened ---------------------------------------------------------------------------------------------------

# `payload` and `salt` may be erased later: the chain runs over their commitment.
audit_event = Table(
    "audit_event",
    metadata,
    text("writer"),
    number("epoch"),
    number("seq"),
    text("kind"),
    number("created_at"),
    text("transaction_id", null=True),
    text("reference", null=True),
    text("subject_id", null=True),
    text("payload", null=True),
    octets("salt", null=True),
    octets("commitment"),
    octets("link"),
    PrimaryKeyConstraint("writer", "epoch", "seq"),
    # A person's own events, newest first, however many others there are.
    Index("ix_audit_event_subject_id", "subject_id", "created_at"),
)

# Signed heads of the chains: `others` are the heads of every other chain at that moment, so that none can be cut off alone.
audit_head = Table(
    "audit_head",
    metadata,
    text("writer"),
    number("epoch"),
    number("seq"),
    octets("link"),
    text("others"),
    octets("signature"),
    number("created_at"),
    PrimaryKeyConstraint("writer", "epoch", "seq"),
    Index("ix_audit_head_created_at", "created_at"),
)

# The flight recorder: one row per request that a door took (a packet, a form) or late event (a message handed over).
# `id` begins with the time, so that order by id is order by time.
timeline = Table(
    "timeline",
    metadata,
    text("id"),
    text("reference"),
    text("transaction_id", null=True),
    text("user_key", null=True),
    text("door"),
    text("result"),
    text("body"),
    number("created_at"),
    PrimaryKeyConstraint("id"),
    Index("ix_timeline_reference", "reference"),
    Index("ix_timeline_user_key", "user_key", "id"),
)

# What never became a login: unknown address, wrong secret ... one row per cause and source, counted.
incident = Table(
    "incident",
    metadata,
    text("kind"),
    text("source"),
    text("nas", null=True),
    text("detail"),
    number("count"),
    number("first_at"),
    number("last_at"),
    PrimaryKeyConstraint("kind", "source"),
    Index("ix_incident_last_at", "last_at"),
)

accounting = Table(
    "accounting",
    metadata,
    text("id"),
    text("nas"),
    text("user_name"),
    text("session_id"),
    text("status"),
    text("attributes"),
    number("created_at"),
    PrimaryKeyConstraint("id"),
    Index("ix_accounting_created_at", "created_at"),
)

# --- operators -------------------------------------------------------------------------------------------------------

# Bearer values of the live log: a one-time link, then a session. Only their fingerprints are stored.
admin_pass = Table(
    "admin_pass",
    metadata,
    octets("pass_mac"),
    text("kind"),
    number("expires_at"),
    number("used_at", null=True),
    PrimaryKeyConstraint("pass_mac"),
    Index("ix_admin_pass_expires_at", "expires_at"),
)

# Hardware tokens by serial number: their seeds while nobody has them, and who has them.
token = Table(
    "token",
    metadata,
    text("serial"),
    text("kind"),
    text("model"),
    octets("sealed", null=True),
    text("settings"),
    number("counter"),
    text("state"),
    text("authenticator_id", null=True),
    number("created_at"),
    PrimaryKeyConstraint("serial"),
)
