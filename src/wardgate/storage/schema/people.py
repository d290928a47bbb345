"""Users, and what we add to them."""

from sqlalchemy import Index, PrimaryKeyConstraint, Table, UniqueConstraint

from wardgate.storage.schema.columns import metadata, number, octets, text

# `frozen_at`: somebody said that what happened was not him; until that is lifted nothing is added that opens the account.
# `new_browser_at`: when he was last told of a browser that was new; 0: never, but he has signed in on our pages.
subject = Table(
    "subject",
    metadata,
    text("id"),
    number("created_at"),
    number("frozen_at", null=True),
    number("new_browser_at", null=True),
    PrimaryKeyConstraint("id"),
)

# What a directory told of a person's phones and addresses: `marks` are fingerprints, as JSON, each with when it was first seen.
directory_contact = Table(
    "directory_contact",
    metadata,
    text("subject_id"),
    text("directory"),
    text("marks"),
    number("seen_at"),
    PrimaryKeyConstraint("subject_id", "directory"),
)

# What a freeze is about, and what it took away: few rows, as a frozen account is a rare one.
freeze = Table(
    "freeze",
    metadata,
    text("subject_id"),
    number("set_at"),
    number("disputed_at"),
    number("since_at"),
    text("set_by"),
    octets("sealed"),
    PrimaryKeyConstraint("subject_id"),
)

subject_link = Table(
    "subject_link",
    metadata,
    text("directory"),
    text("immutable_id"),
    text("subject_id"),
    number("created_at"),
    PrimaryKeyConstraint("directory", "immutable_id"),
    Index("ix_subject_link_subject_id", "subject_id"),
)

local_user = Table(
    "local_user",
    metadata,
    text("id"),
    text("directory"),
    text("name"),
    text("name_key"),
    text("display_name"),
    text("mail", null=True),
    text("mail_key", null=True),
    text("phone", null=True),
    text("language", null=True),
    text("groups"),
    text("attributes"),
    text("password_hash", null=True),
    number("password_changed_at", null=True),
    number("must_change"),
    text("state"),
    number("expires_at", null=True),
    number("created_at"),
    number("version"),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("directory", "name_key", name="uq_local_user_name"),
    Index("ix_local_user_mail_key", "directory", "mail_key"),
)

# Passwords that a local user had before. `number` is the version of the account that this one was the password of.
local_password_history = Table(
    "local_password_history",
    metadata,
    text("directory"),
    text("user_id"),
    number("number"),
    text("hash"),
    PrimaryKeyConstraint("user_id", "number"),
)

# Which account a login name of a realm was last let in as: while a directory is down, its known users are not looked for elsewhere.
known_name = Table(
    "known_name",
    metadata,
    text("realm"),
    text("name_key"),
    text("directory"),
    text("immutable_id"),
    number("seen_at"),
    PrimaryKeyConstraint("realm", "name_key"),
    Index("ix_known_name_account", "directory", "immutable_id"),
)

# Phones and mail addresses of Wardgate's own profile. `value_key`: a keyed fingerprint, so that one value is stored once.
contact = Table(
    "contact",
    metadata,
    text("subject_id"),
    text("kind"),
    octets("value_key"),
    octets("sealed"),
    number("preferred"),
    number("verified_at", null=True),
    text("source"),
    number("created_at"),
    # Whoever's it is: by this a person is found who knows a contact of his and not his name.
    octets("found_by", null=True),
    PrimaryKeyConstraint("subject_id", "kind", "value_key"),
    Index("ix_contact_found_by", "found_by"),
)

# What a mailed link undoes. The link's token stands nowhere: only its keyed fingerprint does.
mail_link = Table(
    "mail_link",
    metadata,
    octets("link_mac"),
    text("subject_id"),
    text("purpose"),
    octets("sealed"),
    number("created_at"),
    number("expires_at"),
    number("used_at", null=True),
    PrimaryKeyConstraint("link_mac"),
    Index("ix_mail_link_subject_id", "subject_id"),
    Index("ix_mail_link_expires_at", "expires_at"),
)

# A new password that a directory is told, until the truth of it is known; and its keyed fingerprint, where the old one lives on.
password_write = Table(
    "password_write",
    metadata,
    octets("account_mac"),
    text("subject_id"),
    octets("mark", null=True),
    number("changed_at"),
    number("marked_until"),
    text("pending_id"),
    text("pending"),
    number("next_at"),
    number("expires_at"),
    PrimaryKeyConstraint("account_mac"),
    Index("ix_password_write_subject_id", "subject_id"),
    Index("ix_password_write_next_at", "next_at"),
    Index("ix_password_write_expires_at", "expires_at"),
)

# What an operator issued so that a person can begin: a link, a start code, or both, as keyed fingerprints. One of each person.
activation = Table(
    "activation",
    metadata,
    text("subject_id"),
    text("id"),
    text("login_name"),
    text("issuer"),
    text("channel"),
    text("destination"),
    octets("link_mac", null=True),
    number("link_until"),
    octets("code_mac", null=True),
    number("code_until"),
    text("state"),
    number("tries"),
    number("created_at"),
    number("expires_at"),
    number("ended_at", null=True),
    text("used_by"),
    octets("sealed", null=True),
    PrimaryKeyConstraint("subject_id"),
    Index("ix_activation_link_mac", "link_mac"),
    Index("ix_activation_expires_at", "expires_at"),
)

# What a short link out of a login leads to. Its code stands nowhere: only its keyed fingerprint does, and that of the code that its
# page ended with. `proved`: what was proved or enrolled there; `browser_mac`: of the browser whose it is from its first POST on.
short_link = Table(
    "short_link",
    metadata,
    octets("link_mac"),
    text("transaction_id"),
    text("subject_id"),
    text("purpose"),
    text("factor"),
    octets("sealed"),
    octets("browser_mac", null=True),
    text("activation"),
    text("proved"),
    number("twofold"),
    octets("code_mac", null=True),
    number("tries"),
    number("created_at"),
    number("expires_at"),
    number("used_at", null=True),
    PrimaryKeyConstraint("link_mac"),
    Index("ix_short_link_subject_id", "subject_id"),
    Index("ix_short_link_expires_at", "expires_at"),
)

# `counter`: the last TOTP time step or the next HOTP counter; it only ever rises, by conditional update.
authenticator = Table(
    "authenticator",
    metadata,
    text("id"),
    text("subject_id"),
    text("kind"),
    text("label"),
    octets("sealed", null=True),
    text("settings"),
    number("counter"),
    text("state"),
    number("created_at"),
    number("last_used_at", null=True),
    PrimaryKeyConstraint("id"),
    # In this order they are read.
    Index("ix_authenticator_subject_id", "subject_id", "created_at", "id"),
)

recovery_code = Table(
    "recovery_code",
    metadata,
    text("authenticator_id"),
    octets("code_mac"),
    number("used_at", null=True),
    PrimaryKeyConstraint("authenticator_id", "code_mac"),
)

# Answers to challenge questions, one row each. `hashed`: Argon2id over a fingerprint keyed by the pepper of that number.
kba_answer = Table(
    "kba_answer",
    metadata,
    text("subject_id"),
    text("question_id"),
    number("number"),
    text("source"),
    octets("sealed", null=True),
    text("hashed"),
    number("pepper"),
    number("normalisation"),
    number("case_sensitive"),
    number("set_at"),
    PrimaryKeyConstraint("subject_id", "question_id"),
)

# What belongs to all answers of a person together: how often they changed, and which are asked until when.
kba_state = Table(
    "kba_state",
    metadata,
    text("subject_id"),
    number("answers_version"),
    number("next_number"),
    text("asked"),
    number("asked_until"),
    number("changed_at"),
    PrimaryKeyConstraint("subject_id"),
)

# Wrong rounds of challenge questions, of persons and of names that are none.
kba_round = Table(
    "kba_round",
    metadata,
    octets("key"),
    number("strikes"),
    number("window_started_at"),
    number("pending"),
    number("pending_until"),
    number("closed_at"),
    number("expires_at"),
    PrimaryKeyConstraint("key"),
    Index("ix_kba_round_expires_at", "expires_at"),
)
