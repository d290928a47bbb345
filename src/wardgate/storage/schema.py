"""Every table, once, for all back-ends. Names are singular; times end in `_at` or `_until` and are milliseconds."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()


def _text(name: str, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _number(name: str, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _bytes(name: str, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


def _some(name: str, *columns: str, condition: str) -> Index:
    """An index of these rows alone. A query finds by it that has the condition, or one from which it follows."""
    return Index(name, *columns, sqlite_where=text(condition), postgresql_where=text(condition))


# --- the installation ------------------------------------------------------------------------------------------------

installation = Table("installation", metadata, _text("name"), _text("value"), PrimaryKeyConstraint("name"))

data_key = Table("data_key", metadata, _number("number"), _bytes("wrapped"), _number("created_at"), PrimaryKeyConstraint("number"))

# The configuration document, one row per version; the newest is in force.
configuration = Table(
    "configuration",
    metadata,
    _number("version"),
    _text("document"),
    _text("author"),
    _text("reason"),
    _number("created_at"),
    PrimaryKeyConstraint("version"),
)

# Who does a scheduled job, until when: taken and kept by conditional writes.
lease = Table("lease", metadata, _text("name"), _text("holder"), _number("held_until"), PrimaryKeyConstraint("name"))

# --- users and what we add to them -----------------------------------------------------------------------------------

# `frozen_at`: somebody said that what happened was not him; until that is lifted nothing is added that opens the account.
# `new_browser_at`: when he was last told of a browser that was new; 0: never, but he has signed in on our pages.
subject = Table(
    "subject",
    metadata,
    _text("id"),
    _number("created_at"),
    _number("frozen_at", null=True),
    _number("new_browser_at", null=True),
    PrimaryKeyConstraint("id"),
)

# What a directory told of a person's phones and addresses: `marks` are fingerprints, as JSON, each with when it was first seen.
directory_contact = Table(
    "directory_contact",
    metadata,
    _text("subject_id"),
    _text("directory"),
    _text("marks"),
    _number("seen_at"),
    PrimaryKeyConstraint("subject_id", "directory"),
)

# What a freeze is about, and what it took away: few rows, as a frozen account is a rare one.
freeze = Table(
    "freeze",
    metadata,
    _text("subject_id"),
    _number("set_at"),
    _number("disputed_at"),
    _number("since_at"),
    _text("set_by"),
    _bytes("sealed"),
    PrimaryKeyConstraint("subject_id"),
)

subject_link = Table(
    "subject_link",
    metadata,
    _text("directory"),
    _text("immutable_id"),
    _text("subject_id"),
    _number("created_at"),
    PrimaryKeyConstraint("directory", "immutable_id"),
    Index("ix_subject_link_subject_id", "subject_id"),
)

local_user = Table(
    "local_user",
    metadata,
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
    Index("ix_local_user_mail_key", "directory", "mail_key"),
)

# Passwords that a local user had before. `number` is the version of the account that this one was the password of.
local_password_history = Table(
    "local_password_history",
    metadata,
    _text("directory"),
    _text("user_id"),
    _number("number"),
    _text("hash"),
    PrimaryKeyConstraint("user_id", "number"),
)

# Which account a login name of a realm was last let in as: while a directory is down, its known users are not looked for elsewhere.
known_name = Table(
    "known_name",
    metadata,
    _text("realm"),
    _text("name_key"),
    _text("directory"),
    _text("immutable_id"),
    _number("seen_at"),
    PrimaryKeyConstraint("realm", "name_key"),
    Index("ix_known_name_account", "directory", "immutable_id"),
)

# Phones and mail addresses of Wardgate's own profile. `value_key`: a keyed fingerprint, so that one value is stored once.
contact = Table(
    "contact",
    metadata,
    _text("subject_id"),
    _text("kind"),
    _bytes("value_key"),
    _bytes("sealed"),
    _number("preferred"),
    _number("verified_at", null=True),
    _text("source"),
    _number("created_at"),
    # Whoever's it is: by this a person is found who knows a contact of his and not his name.
    _bytes("found_by", null=True),
    PrimaryKeyConstraint("subject_id", "kind", "value_key"),
    Index("ix_contact_found_by", "found_by"),
)

# What a mailed link undoes. The link's token stands nowhere: only its keyed fingerprint does.
mail_link = Table(
    "mail_link",
    metadata,
    _bytes("link_mac"),
    _text("subject_id"),
    _text("purpose"),
    _bytes("sealed"),
    _number("created_at"),
    _number("expires_at"),
    _number("used_at", null=True),
    PrimaryKeyConstraint("link_mac"),
    Index("ix_mail_link_subject_id", "subject_id"),
    Index("ix_mail_link_expires_at", "expires_at"),
)

# A new password that a directory is told, until the truth of it is known; and its keyed fingerprint, where the old one lives on.
password_write = Table(
    "password_write",
    metadata,
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
    Index("ix_password_write_subject_id", "subject_id"),
    Index("ix_password_write_next_at", "next_at"),
    Index("ix_password_write_expires_at", "expires_at"),
)

# What an operator issued so that a person can begin: a link, a start code, or both, as keyed fingerprints. One of each person.
activation = Table(
    "activation",
    metadata,
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
    Index("ix_activation_link_mac", "link_mac"),
    Index("ix_activation_expires_at", "expires_at"),
)

# What a short link out of a login leads to. Its code stands nowhere: only its keyed fingerprint does, and that of the code that its
# page ended with. `proved`: what was proved or enrolled there; `browser_mac`: of the browser whose it is from its first POST on.
short_link = Table(
    "short_link",
    metadata,
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
    Index("ix_short_link_subject_id", "subject_id"),
    Index("ix_short_link_expires_at", "expires_at"),
)

# `counter`: the last TOTP time step or the next HOTP counter; it only ever rises, by conditional update.
authenticator = Table(
    "authenticator",
    metadata,
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
    # In this order they are read.
    Index("ix_authenticator_subject_id", "subject_id", "created_at", "id"),
)

recovery_code = Table(
    "recovery_code",
    metadata,
    _text("authenticator_id"),
    _bytes("code_mac"),
    _number("used_at", null=True),
    PrimaryKeyConstraint("authenticator_id", "code_mac"),
)

# Answers to challenge questions, one row each. `hashed`: Argon2id over a fingerprint keyed by the pepper of that number.
kba_answer = Table(
    "kba_answer",
    metadata,
    _text("subject_id"),
    _text("question_id"),
    _number("number"),
    _text("source"),
    _bytes("sealed", null=True),
    _text("hashed"),
    _number("pepper"),
    _number("normalisation"),
    _number("case_sensitive"),
    _number("set_at"),
    PrimaryKeyConstraint("subject_id", "question_id"),
)

# What belongs to all answers of a person together: how often they changed, and which are asked until when.
kba_state = Table(
    "kba_state",
    metadata,
    _text("subject_id"),
    _number("answers_version"),
    _number("next_number"),
    _text("asked"),
    _number("asked_until"),
    _number("changed_at"),
    PrimaryKeyConstraint("subject_id"),
)

# Wrong rounds of challenge questions, of persons and of names that are none.
kba_round = Table(
    "kba_round",
    metadata,
    _bytes("key"),
    _number("strikes"),
    _number("window_started_at"),
    _number("pending"),
    _number("pending_until"),
    _number("closed_at"),
    _number("expires_at"),
    PrimaryKeyConstraint("key"),
    Index("ix_kba_round_expires_at", "expires_at"),
)

# --- logins in progress ----------------------------------------------------------------------------------------------

login_transaction = Table(
    "login_transaction",
    metadata,
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
    Index("ix_login_transaction_expires_at", "expires_at"),
)

# One row per handle (RADIUS State, form field): single use, with the outcome kept for an identical resend.
handle = Table(
    "handle",
    metadata,
    _bytes("handle_mac"),
    _text("transaction_id"),
    _number("sequence"),
    _text("binding"),
    _number("expires_at"),
    _number("consumed_at", null=True),
    _bytes("fingerprint", null=True),
    _bytes("outcome", null=True),
    PrimaryKeyConstraint("handle_mac"),
    Index("ix_handle_expires_at", "expires_at"),
)

# The code that a user last spent at an application: GlobalProtect replays it to the gateway as a password.
spent_code = Table(
    "spent_code",
    metadata,
    _text("application"),
    _bytes("user_key"),
    _bytes("code_mac"),
    _number("spent_at"),
    PrimaryKeyConstraint("application", "user_key"),
)

# `owner`: the key of the user whom a `user_source` row is about, so that an operator can lift all of his waits. `label`: who or
# what is held, sealed, for an operator's list; only while something is.
brake = Table(
    "brake",
    metadata,
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
    _bytes("label", null=True),
    PrimaryKeyConstraint("kind", "key"),
    Index("ix_brake_expires_at", "expires_at"),
    Index("ix_brake_owner", "owner"),
)

# What a full login at a portal leaves for the gateway's request that follows it: used once, from the same address.
hand_over = Table(
    "hand_over",
    metadata,
    _text("application"),
    _bytes("user_key"),
    _bytes("client_key"),
    _text("subject_id"),
    _text("transaction_id"),
    _bytes("sealed"),
    _number("expires_at"),
    PrimaryKeyConstraint("application", "user_key", "client_key"),
    Index("ix_hand_over_expires_at", "expires_at"),
)

# What policy demands of a person beside his factors, as far as he has put it off.
demand = Table(
    "demand",
    metadata,
    _text("subject_id"),
    _text("action"),
    _number("put_off"),
    _number("put_off_at"),
    _number("reminded_at"),
    _number("met_at", null=True),
    PrimaryKeyConstraint("subject_id", "action"),
)

# Browsers and workstations that a person told us to trust. Only fingerprints of what they hold; `previous_mac`: of before the last
# rotation, which nobody but a thief shows again.
trusted_device = Table(
    "trusted_device",
    metadata,
    _text("id"),
    _text("subject_id"),
    _bytes("secret_mac"),
    _bytes("previous_mac", null=True),
    _number("rotated_at"),
    _text("label"),
    _text("state"),
    _number("created_at"),
    _number("last_used_at"),
    _number("expires_at"),
    PrimaryKeyConstraint("id"),
    Index("ix_trusted_device_subject_id", "subject_id"),
    Index("ix_trusted_device_expires_at", "expires_at"),
)

# From where, with what and when a person was let in before: what risk compares with. `value_key`: a keyed fingerprint.
habit = Table(
    "habit",
    metadata,
    _text("subject_id"),
    _text("kind"),
    _bytes("value_key"),
    _number("times"),
    _number("first_at"),
    _number("last_at"),
    PrimaryKeyConstraint("subject_id", "kind", "value_key"),
    Index("ix_habit_last_at", "last_at"),
)

# --- browsers --------------------------------------------------------------------------------------------------------

# What a browser is in the middle of: the open question of a login, or how it ended. Only fingerprints of what the browser holds.
page_step = Table(
    "page_step",
    metadata,
    _bytes("step_mac"),
    _bytes("browser_mac"),
    _number("turn"),
    _bytes("sealed"),
    _number("created_at"),
    _number("expires_at"),
    PrimaryKeyConstraint("step_mac"),
    Index("ix_page_step_expires_at", "expires_at"),
)

# A forgotten password or a locked account on its way: which proofs were right so far. Nobody's rows are like everybody's.
self_service = Table(
    "self_service",
    metadata,
    _text("id"),
    _text("reference"),
    _text("goal"),
    _text("stage"),
    _number("sequence"),
    _text("subject_id"),
    _bytes("sealed"),
    _number("created_at"),
    _number("expires_at"),
    PrimaryKeyConstraint("id"),
    Index("ix_self_service_expires_at", "expires_at"),
)

sso_session = Table(
    "sso_session",
    metadata,
    _bytes("session_mac"),
    _text("id"),
    _text("subject_id"),
    _text("body"),
    _number("created_at"),
    _number("seen_at"),
    _number("confirmed_at"),
    _number("idle_ms"),
    _number("expires_at"),
    PrimaryKeyConstraint("session_mac"),
    Index("ix_sso_session_subject_id", "subject_id"),
    Index("ix_sso_session_expires_at", "expires_at"),
)

# --- federation ------------------------------------------------------------------------------------------------------

# The keys that sign for relying parties. The newest whose time has come signs; the others are still, or already, published.
federation_key = Table(
    "federation_key",
    metadata,
    _text("kind"),
    _number("number"),
    _bytes("sealed"),
    _bytes("certificate"),
    _number("created_at"),
    _number("signs_from"),
    _number("published_until", null=True),
    PrimaryKeyConstraint("kind", "number"),
)

# What was last fetched from a relying party's metadata address, and how the last try went.
party_metadata = Table(
    "party_metadata",
    metadata,
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

# What applications asked for by way of a browser, until their answer leaves; and, for a while, that they asked. What was answered
# at once never waited: it has no `request_mac` (its address) and no `source_mac`, and stands in no index of those that do.
saml_request = Table(
    "saml_request",
    metadata,
    _bytes("replay_mac"),
    _bytes("request_mac", null=True),
    _bytes("browser_mac", null=True),
    _bytes("source_mac", null=True),
    _text("state"),
    _bytes("sealed"),
    _number("created_at"),
    _number("expires_at"),
    PrimaryKeyConstraint("replay_mac"),
    _some("ix_saml_request_request_mac", "request_mac", condition="request_mac IS NOT NULL"),
    _some("ix_saml_request_browser_mac", "browser_mac", condition="request_mac IS NOT NULL"),
    _some("ix_saml_request_source_mac", "source_mac", "state", condition="source_mac IS NOT NULL"),
    Index("ix_saml_request_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)

# The applications that a session was used for, and what they know its person by.
saml_participant = Table(
    "saml_participant",
    metadata,
    _text("session_id"),
    _text("application"),
    _text("subject_id"),
    _bytes("sealed"),
    _number("created_at"),
    _number("expires_at"),
    PrimaryKeyConstraint("session_id", "application"),
    Index("ix_saml_participant_subject_id", "subject_id"),
    Index("ix_saml_participant_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)

# --- delivery --------------------------------------------------------------------------------------------------------

outbox = Table(
    "outbox",
    metadata,
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
    Index("ix_outbox_due", "state", "next_try_at"),
    Index("ix_outbox_created_at", "created_at"),
)

# How many messages went to which part of the world on a day, and how many were not let go: what they cost, and the caps.
sending = Table(
    "sending",
    metadata,
    _number("day"),
    _text("channel"),
    _text("prefix"),
    _number("messages"),
    _number("refused"),
    PrimaryKeyConstraint("day", "channel", "prefix"),
)

# --- what happened ---------------------------------------------------------------------------------------------------

# `payload` and `salt` may be erased later: the chain runs over their commitment.
audit_event = Table(
    "audit_event",
    metadata,
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
    # A person's own events, newest first, however many others there are.
    Index("ix_audit_event_subject_id", "subject_id", "created_at"),
)

# Signed heads of the chains: `others` are the heads of every other chain at that moment, so that none can be cut off alone.
audit_head = Table(
    "audit_head",
    metadata,
    _text("writer"),
    _number("epoch"),
    _number("seq"),
    _bytes("link"),
    _text("others"),
    _bytes("signature"),
    _number("created_at"),
    PrimaryKeyConstraint("writer", "epoch", "seq"),
    Index("ix_audit_head_created_at", "created_at"),
)

# The flight recorder: one row per request that a door took (a packet, a form) or late event (a message handed over).
# `id` begins with the time, so that order by id is order by time.
timeline = Table(
    "timeline",
    metadata,
    _text("id"),
    _text("reference"),
    _text("transaction_id", null=True),
    _text("user_key", null=True),
    _text("door"),
    _text("result"),
    _text("body"),
    _number("created_at"),
    PrimaryKeyConstraint("id"),
    Index("ix_timeline_reference", "reference"),
    Index("ix_timeline_user_key", "user_key", "id"),
)

# What never became a login: unknown address, wrong secret ... one row per cause and source, counted.
incident = Table(
    "incident",
    metadata,
    _text("kind"),
    _text("source"),
    _text("nas", null=True),
    _text("detail"),
    _number("count"),
    _number("first_at"),
    _number("last_at"),
    PrimaryKeyConstraint("kind", "source"),
    Index("ix_incident_last_at", "last_at"),
)

accounting = Table(
    "accounting",
    metadata,
    _text("id"),
    _text("nas"),
    _text("user_name"),
    _text("session_id"),
    _text("status"),
    _text("attributes"),
    _number("created_at"),
    PrimaryKeyConstraint("id"),
    Index("ix_accounting_created_at", "created_at"),
)

# --- operators -------------------------------------------------------------------------------------------------------

# Bearer values of the live log: a one-time link, then a session. Only their fingerprints are stored.
admin_pass = Table(
    "admin_pass",
    metadata,
    _bytes("pass_mac"),
    _text("kind"),
    _number("expires_at"),
    _number("used_at", null=True),
    PrimaryKeyConstraint("pass_mac"),
    Index("ix_admin_pass_expires_at", "expires_at"),
)

# Hardware tokens by serial number: their seeds while nobody has them, and who has them.
token = Table(
    "token",
    metadata,
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
