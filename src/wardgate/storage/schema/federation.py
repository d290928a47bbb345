"""Applications that trust us: keys, metadata, requests."""

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from wardgate.storage.schema.columns import metadata, number, octets, partial_index, text

# The keys that sign for relying parties. The newest whose time has come signs; the others are still, or already, published.
federation_key = Table(
    "federation_key",
    metadata,
    text("kind"),
    number("number"),
    octets("sealed"),
    octets("certificate"),
    number("created_at"),
    number("signs_from"),
    number("published_until", null=True),
    PrimaryKeyConstraint("kind", "number"),
)

# What was last fetched from a relying party's metadata address, and how the last try went.
party_metadata = Table(
    "party_metadata",
    metadata,
    text("application"),
    text("url"),
    text("document"),
    text("entity_id"),
    number("fetched_at"),
    number("valid_until", null=True),
    number("next_at"),
    number("failures"),
    text("problem"),
    PrimaryKeyConstraint("application"),
)

# What applications asked for by way of a browser, until their answer leaves; and, for a while, that they asked. What was answered
# at once never waited: it has no `request_mac` (its address) and no `source_mac`, and stands in no index of those that do.
saml_request = Table(
    "saml_request",
    metadata,
    octets("replay_mac"),
    octets("request_mac", null=True),
    octets("browser_mac", null=True),
    octets("source_mac", null=True),
    text("state"),
    octets("sealed"),
    number("created_at"),
    number("expires_at"),
    PrimaryKeyConstraint("replay_mac"),
    partial_index("ix_saml_request_request_mac", "request_mac", condition="request_mac IS NOT NULL"),
    partial_index("ix_saml_request_browser_mac", "browser_mac", condition="request_mac IS NOT NULL"),
    partial_index("ix_saml_request_source_mac", "source_mac", "state", condition="source_mac IS NOT NULL"),
    Index("ix_saml_request_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)

# The applications that a session was used for, and what they know its person by.
saml_participant = Table(
    "saml_participant",
    metadata,
    text("session_id"),
    text("application"),
    text("subject_id"),
    octets("sealed"),
    number("created_at"),
    number("expires_at"),
    PrimaryKeyConstraint("session_id", "application"),
    Index("ix_saml_participant_subject_id", "subject_id"),
    Index("ix_saml_participant_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)
