"""The catalogue of audit events. A kind reads `room:subject:action`; the text beside it goes into the generated reference."""

import hashlib
from collections.abc import Mapping
from dataclasses import field
from enum import Enum

from wardgate.crypto import random_bytes
from wardgate.jsons import dumps
from wardgate.storage.port import Append
from wardgate.values import quick_value

SALT_BYTES = 16
MAX_PAYLOAD_CHARS = 8192


class Kind(Enum):
    """Every kind of audit event: its stored name and what it says."""

    LOGIN_GRANTED = ("engine:login:granted", "A login was let in: factors used, application, where it came from.")
    LOGIN_DENIED = ("engine:login:denied", "A login was refused, with the reason that the person was not told.")
    LOGIN_CHALLENGED = ("engine:login:challenged", "The password was right and a second factor was asked for.")
    LOGIN_ACTION_REQUIRED = (
        "engine:login:action_required",
        "Everything was proved, and something that policy demands has to be done before the login goes on.",
    )
    LOGIN_ANSWER_WRONG = ("engine:login:answer_wrong", "A wrong or reused code; the challenge was repeated.")
    CODE_SENT = ("engine:code:sent", "A one-time code was put into the outbox for a user's phone or mailbox.")
    REMINDER_SENT = (
        "engine:reminder:sent",
        "The daily round reminded a person by mail: that his password runs out, or that he should look at his contacts.",
    )
    LINK_SENT = (
        "engine:link:sent",
        "A short link out of a login was put into the outbox for a user's phone or mailbox: to prove something, or to set it up.",
    )
    LINK_PROVED = (
        "engine:link:proved",
        "On the page of a short link a factor was proved or set up: which; what goes back is a code for the window that asked.",
    )
    LOGIN_DISOWNED = (
        "engine:login:disowned",
        "Somebody said on the page of a short link that the login was not his: it was ended, and whoever asked for it has to wait.",
    )
    BRAKE_LOCKED = (
        "engine:brake:locked",
        "A brake began to hold: which, whom or what, for how many seconds (0: until it is lifted), after how many failures.",
    )
    BRAKE_RELEASED = (
        "admin:brake:released",
        "An operator lifted waits: of a user, a source, a network, a NAS, or all; how many rows, and why.",
    )
    SUBJECT_CREATED = ("account:subject:created", "A person was met for the first time and given a subject id.")
    SUBJECT_RELINKED = (
        "account:subject:relinked",
        "An account was linked to another person: whose it was, what moved along, what was ended.",
    )
    AUTHENTICATOR_ADDED = ("account:authenticator:added", "An authenticator was enrolled.")
    AUTHENTICATOR_REVOKED = ("account:authenticator:revoked", "An authenticator was ended.")
    AUTHENTICATOR_RENAMED = ("account:authenticator:renamed", "A person gave one of his authenticators another name.")
    AUTHENTICATOR_RESYNCED = ("account:authenticator:resynced", "A token that counts was brought into step by two of its codes.")
    TOKENS_IMPORTED = (
        "admin:token:imported",
        "Hardware tokens with their seeds were put into the stock: how many, by which numbers.",
    )
    TOKEN_REMOVED = ("admin:token:removed", "A hardware token was taken out of the stock and its seed destroyed.")
    QUESTIONS_SET = (
        "account:questions:set",
        "Answers to challenge questions were set or imported: the questions' ids, never question texts or answers.",
    )
    QUESTIONS_CLEARED = ("account:questions:cleared", "All of a person's answers to challenge questions were removed.")
    QUESTIONS_CLOSED = (
        "account:questions:closed",
        "Too many wrong rounds: a person's challenge questions are closed until a strong sign-in or the help desk opens them.",
    )
    QUESTIONS_REOPENED = ("account:questions:reopened", "A person's closed challenge questions were opened again.")
    QUESTIONS_CHECKED = (
        "account:questions:checked",
        "The help desk checked a caller by his answers to challenge questions: whether they were right.",
    )
    DEVICE_TRUSTED = (
        "account:device:trusted",
        "A person had a browser trusted, with a sign-in that proved a second factor: for how long.",
    )
    DEVICE_FORGOTTEN = (
        "account:device:forgotten",
        "A device is trusted no more, and why: by an operator; a value of it was used twice; the password was changed since.",
    )
    DEVICE_RENAMED = ("account:device:renamed", "A person gave one of his trusted browsers another name.")
    USER_ADDED = ("directory:user:added", "A local user was created.")
    USER_CHANGED = (
        "directory:user:changed",
        "A local user's data or state was changed; the names of the fields, never their values.",
    )
    USER_REMOVED = ("directory:user:removed", "A local user was removed.")
    USERS_IMPORTED = ("directory:user:imported", "A file of local users was imported: how many were added, changed, refused.")
    USERS_EXPORTED = ("directory:user:exported", "The users of a local directory were written to a file, with or without hashes.")
    PASSWORD_UPGRADED = ("directory:password:upgraded", "A hash from elsewhere was replaced by Argon2id at a login.")
    PASSWORD_REFUSED = (
        "directory:password:refused",
        "A person chose another password for himself, and it was refused: why.",
    )
    PASSWORD_SET = ("directory:password:set", "A password was set or changed.")
    CONTACT_ADDED = ("account:contact:added", "A phone or mail address was put into a person's own profile; masked.")
    CONTACT_REMOVED = ("account:contact:removed", "A phone or mail address was taken out of a person's own profile; masked.")
    CONTACT_PREFERRED = ("account:contact:preferred", "Which of a person's own contacts codes go to; masked, or none.")
    ACTIVATION_ISSUED = (
        "account:activation:issued",
        "An operator issued an activation: for whom, by which ways, until when; never the link or the code.",
    )
    ACTIVATION_CANCELLED = ("account:activation:cancelled", "An operator took an activation back.")
    ACTIVATION_USED = ("account:activation:used", "An activation was used up, at which door, and who had issued it.")
    ACTIVATION_SPOILED = (
        "account:activation:spoiled",
        "Three wrong answers ended an activation: its issuer should ask the person, and issue a new one.",
    )
    CONTACT_UNDONE = (
        "account:contact:undone",
        "A change of a person's contacts was taken back by the link in a message: what went and what came back; masked.",
    )
    CHANGE_DISPUTED = (
        "account:change:disputed",
        "Somebody said that it was not him, by the link in a message or in the list of what happened: the account is frozen.",
    )
    ACCOUNT_FROZEN = (
        "account:freeze:set",
        "An account was frozen: by whom, since which event, and how many authenticators and contacts were taken away. Sessions and "
        "trusted devices ended; nothing that opens the account may be added.",
    )
    ACCOUNT_UNFROZEN = (
        "account:freeze:lifted",
        "A freeze was lifted: by the person, with which factors and a new password, or by an operator.",
    )
    USER_NAMES_SENT = (
        "engine:name:sent",
        "Somebody asked for a forgotten user name by a phone or mail address (masked), and how many accounts were told of there.",
    )
    CONTACT_WRITTEN = (
        "directory:contact:written",
        "A phone or mail address was written to the directory, or removed there; masked.",
    )
    DIRECTORY_EXAMINED = (
        "admin:directory:examined",
        "A directory was examined, and its reset, unlock and change tried on the account that the operator named.",
    )
    PASSWORD_TRIED = ("admin:password:tried", "An operator had a user's password checked, and what the directory answered.")
    CONFIGURATION_APPLIED = ("config:document:applied", "A version of the configuration document came into force, by whom and why.")
    FEDERATION_KEY_MADE = (
        "federation:key:made",
        "A key that signs for relying parties was made: which, from when it signs, until when the one before it stays published.",
    )
    PARTY_METADATA_TAKEN = (
        "federation:metadata:taken",
        "What a relying party says of itself was fetched and differs from before: where its responses go, whose signatures count.",
    )
    KEY_ROTATED = ("crypto:key:rotated", "A new data key seals from now on.")
    KEY_RESEALED = ("crypto:key:resealed", "All sealed values stand under the present data key; older keys were dropped.")
    MASTER_KEY_REPLACED = ("crypto:master:replaced", "Every data key was wrapped by a new key-encryption key.")
    BACKUP_KEY_SET = ("admin:backup:key_set", "From now on backups are encrypted to these recipients.")
    BACKUP_MADE = ("admin:backup:made", "A backup was written: its size and SHA-256, and to whom it is encrypted.")
    PAYLOADS_ERASED = (
        "audit:payload:erased",
        "Payloads were erased, and why (a person's, or because they had their time): how many, in which chains. Their events stay, "
        "proved by their commitments.",
    )
    PERSON_ERASED = (
        "account:person:erased",
        "What was kept of a person beside the audit trail was removed, and why: what he did, or everything he had.",
    )
    EPOCH_OPENED = (
        "app:epoch:opened",
        "The first event of a new epoch: why it was opened, the backup that was restored, the last heads known, what was closed.",
    )
    AUTHENTICATOR_RELEASED = (
        "account:authenticator:released",
        "An authenticator that a new epoch had held may prove something again.",
    )
    ADMIN_LINK_MADE = ("admin:link:made", "A one-time link to the live log was printed.")
    ADMIN_LINK_USED = ("admin:link:used", "A one-time link was opened; a session for the live log began.")
    SELF_SERVICE_BEGUN = ("engine:recovery:begun", "Somebody began to reset a password or to unlock an account.")
    SELF_SERVICE_STEP = ("engine:recovery:step", "A step of it: a proof asked, right or wrong, and what it came to.")
    SELF_SERVICE_DONE = ("engine:recovery:done", "A password was reset or an account unlocked, by which proofs.")
    SESSION_BEGUN = ("session:session:begun", "A browser was signed in: for which application, by which factors.")
    SESSION_CONFIRMED = ("session:session:confirmed", "A person proved again that it is him, for the sake of a change.")
    SESSION_STEPPED_UP = ("session:session:stepped_up", "A person proved more in his session, because an application asked for it.")
    SESSION_ENDED = (
        "session:session:ended",
        "Sessions of a person ended, and why: signed out, ended elsewhere, too many.",
    )
    SERVER_STARTED = ("app:server:started", "The server began to serve: version and what it listens on.")
    SERVER_STOPPED = ("app:server:stopped", "The server stopped in order.")
    CLOCK_JUMPED = ("app:clock:jumped", "The clock of a machine jumped, by so many seconds.")
    CLOCK_DIFFERS = (
        "app:clock:differs",
        "The clock of a machine differs from the database's: it decides no login until they agree again.",
    )
    DOOR_REFUSALS = (
        "engine:login:refused_repeatedly",
        "Refusals that changed nothing (a brake held, a State was unknown), counted by reason once a minute.",
    )

    def __init__(self, stored: str, help_text: str) -> None:
        self.stored = stored
        self.help = help_text


@quick_value
class AuditEvent:
    """One event. `details` are plain JSON values without secrets, codes or whole telephone numbers."""

    kind: Kind
    at_ms: int
    actor: str
    transaction_id: str | None = None
    reference: str | None = None
    subject_id: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)


def record(event: AuditEvent) -> Append:
    """The operation that appends an event to this writer's chain."""
    payload = dumps({"actor": event.actor, **event.details})
    if len(payload) > MAX_PAYLOAD_CHARS:
        payload = dumps({"actor": event.actor, "cut": payload[: MAX_PAYLOAD_CHARS // 2]})
    salt = random_bytes(SALT_BYTES)
    return Append(
        {
            "kind": event.kind.stored,
            "created_at": event.at_ms,
            "transaction_id": event.transaction_id,
            "reference": event.reference,
            "subject_id": event.subject_id,
            "payload": payload,
            "salt": salt,
            "commitment": commitment(salt, payload),
        }
    )


def commitment(salt: bytes, payload: str) -> bytes:
    """What the chain runs over: with payload and salt erased it tells nothing, with them it proves them."""
    return hashlib.sha256(salt + payload.encode()).digest()
