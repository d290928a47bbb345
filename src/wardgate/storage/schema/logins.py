"""Logins in progress, and what is remembered of them; and what browsers hold."""

from sqlalchemy import Index, PrimaryKeyConstraint, Table, UniqueConstraint

from wardgate.storage.schema.columns import metadata, number, octets, text

# --- logins in progress ----------------------------------------------------------------------------------------------

login_transaction = Table(
    "login_transaction",
    metadata,
    text("id"),
    text("reference"),
    text("state"),
    text("goal"),
    text("application"),
    text("subject_id", null=True),
    octets("fold_key", null=True),
    number("sequence"),
    text("body"),
    number("created_at"),
    number("expires_at"),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("fold_key", name="uq_login_transaction_fold_key"),
    Index("ix_login_transaction_expires_at", "expires_at"),
)

# One row per handle (RADIUS State, form field): single use, with the outcome kept for an identical resend.
handle = Table(
    "handle",
    metadata,
    octets("handle_mac"),
    text("transaction_id"),
    number("sequence"),
    text("binding"),
    number("expires_at"),
    number("consumed_at", null=True),
    octets("fingerprint", null=True),
    octets("outcome", null=True),
    PrimaryKeyConstraint("handle_mac"),
    Index("ix_handle_expires_at", "expires_at"),
)

# The code that a user last spent at an application: GlobalProtect replays it to the gateway as a password.
spent_code = Table(
    "spent_code",
    metadata,
    text("application"),
    octets("user_key"),
    octets("code_mac"),
    number("spent_at"),
    PrimaryKeyConstraint("application", "user_key"),
)

# `owner`: the key of the user whom a `user_source` row is about, so that an operator can lift all of his waits. `label`: who or
# what is held, sealed, for an operator's list; only while something is.
brake = Table(
    "brake",
    metadata,
    text("kind"),
    octets("key"),
    octets("owner", null=True),
    number("failures"),
    number("window_started_at"),
    number("in_flight"),
    number("in_flight_until"),
    number("locked_until"),
    number("level"),
    number("succeeded_at"),
    text("stamps"),
    number("expires_at"),
    octets("label", null=True),
    PrimaryKeyConstraint("kind", "key"),
    Index("ix_brake_expires_at", "expires_at"),
    Index("ix_brake_owner", "owner"),
)

# What a full login at a portal leaves for the gateway's request that follows it: used once, from the same address.
hand_over = Table(
    "hand_over",
    metadata,
    text("application"),
    octets("user_key"),
    octets("client_key"),
    text("subject_id"),
    text("transaction_id"),
    octets("sealed"),
    number("expires_at"),
    PrimaryKeyConstraint("application", "user_key", "client_key"),
    Index("ix_hand_over_expires_at", "expires_at"),
)

# What policy demands of a person beside his factors, as far as he has put it off.
demand = Table(
    "demand",
    metadata,
    text("subject_id"),
    text("action"),
    number("put_off"),
    number("put_off_at"),
    number("reminded_at"),
    number("met_at", null=True),
    PrimaryKeyConstraint("subject_id", "action"),
)

# Browsers and workstations that a person told us to trust. Only fingerprints of what they hold; `previous_mac`: of before the last
# rotation, which nobody but a thief shows again.
trusted_device = Table(
    "trusted_device",
    metadata,
    text("id"),
    text("subject_id"),
    octets("secret_mac"),
    octets("previous_mac", null=True),
    number("rotated_at"),
    text("label"),
    text("state"),
    number("created_at"),
    number("last_used_at"),
    number("expires_at"),
    PrimaryKeyConstraint("id"),
    Index("ix_trusted_device_subject_id", "subject_id"),
    Index("ix_trusted_device_expires_at", "expires_at"),
)

# From where, with what and when a person was let in before: what risk compares with. `value_key`: a keyed fingerprint.
habit = Table(
    "habit",
    metadata,
    text("subject_id"),
    text("kind"),
    octets("value_key"),
    number("times"),
    number("first_at"),
    number("last_at"),
    PrimaryKeyConstraint("subject_id", "kind", "value_key"),
    Index("ix_habit_last_at", "last_at"),
)

# --- browsers --------------------------------------------------------------------------------------------------------

# What a browser is in the middle of: the open question of a login, or how it ended. Only fingerprints of what the browser holds.
page_step = Table(
    "page_step",
    metadata,
    octets("step_mac"),
    octets("browser_mac"),
    number("turn"),
    octets("sealed"),
    number("created_at"),
    number("expires_at"),
    PrimaryKeyConstraint("step_mac"),
    Index("ix_page_step_expires_at", "expires_at"),
)

# A forgotten password or a locked account on its way: which proofs were right so far. Nobody's rows are like everybody's.
self_service = Table(
    "self_service",
    metadata,
    text("id"),
    text("reference"),
    text("goal"),
    text("stage"),
    number("sequence"),
    text("subject_id"),
    octets("sealed"),
    number("created_at"),
    number("expires_at"),
    PrimaryKeyConstraint("id"),
    Index("ix_self_service_expires_at", "expires_at"),
)

sso_session = Table(
    "sso_session",
    metadata,
    octets("session_mac"),
    text("id"),
    text("subject_id"),
    text("body"),
    number("created_at"),
    number("seen_at"),
    number("confirmed_at"),
    number("idle_ms"),
    number("expires_at"),
    PrimaryKeyConstraint("session_mac"),
    Index("ix_sso_session_subject_id", "subject_id"),
    Index("ix_sso_session_expires_at", "expires_at"),
)
