"""Settings of a directory in a table of a database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wardgate.config.reference import SecretSetting
from wardgate.directory.ldap.settings import TimeoutSettings

Match = Literal["lower", "exact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSettings:
    """Which column holds what. Flags may be boolean, 0 and 1, or words such as Y and N; moments may be timestamps, dates, ISO 8601

    text or seconds since 1970.
    """

    id: str = field(metadata={"help": "what never changes and is never given to another person: the primary key"})
    username: str = field(metadata={"help": "the login name"})
    password: str = field(metadata={"help": "the password hash"})
    mail: str | None = field(default=None, metadata={"help": "the mail address; a user can be found by it"})
    phone: str | None = field(default=None, metadata={"help": "the phone number, in any notation"})
    other_mails: tuple[str, ...] = field(default=(), metadata={"help": "further columns with mail addresses"})
    other_phones: tuple[str, ...] = field(default=(), metadata={"help": "further columns with phone numbers"})
    display_name: str | None = field(default=None, metadata={"help": "the name to show"})
    language: str | None = field(default=None, metadata={"help": "the user's language, such as tr"})
    disabled: str | None = field(default=None, metadata={"help": "flag: the account may not be used; what cannot be read counts"})
    enabled: str | None = field(
        default=None, metadata={"help": "flag: the account may be used; what cannot be read does not count"}
    )
    locked: str | None = field(default=None, metadata={"help": "flag: locked after wrong passwords"})
    locked_until: str | None = field(default=None, metadata={"help": "moment until which it is locked"})
    failures: str | None = field(default=None, metadata={"help": "how many wrong passwords the other program counted"})
    expires_at: str | None = field(default=None, metadata={"help": "moment at which the account ends; a date is its last day"})
    password_changed_at: str | None = field(default=None, metadata={"help": "moment of the last password change; written by ours"})
    password_expires_at: str | None = field(
        default=None, metadata={"help": "moment at which the password expires; written by ours"}
    )
    must_change: str | None = field(default=None, metadata={"help": "flag: the password has to be changed at the next login"})
    version: str | None = field(
        default=None,
        metadata={"help": "changes with every change of the row, such as a modification time, or xmin of a PostgreSQL table"},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlPasswordSettings:
    """What a new password has to fulfil; the other program's rules, as far as they can be told."""

    min_length: int = field(default=8, metadata={"help": "fewest characters", "unit": "characters"})
    max_length: int = field(default=256, metadata={"help": "most characters", "unit": "characters"})
    complexity: bool = field(default=False, metadata={"help": "three of four kinds of characters, and not the user's name"})
    max_age_days: int = field(
        default=0, metadata={"help": "a password that was changed longer ago has expired (`password_changed_at`)", "unit": "days"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlSettings:
    """Users in a table of PostgreSQL, MySQL, MariaDB or SQLite."""

    name: str
    kind: Literal["sql"]
    url: str = field(
        metadata={
            "help": "postgresql://USER@HOST[:PORT][,HOST2...]/DATABASE, the same with mysql:// or mariadb://, or sqlite:///PATH; "
            "?host=/PATH for a Unix socket"
        }
    )
    password: SecretSetting | None = field(default=None, metadata={"help": "password of the database account"})
    table: str | None = field(default=None, metadata={"help": "table or view with one row per user, as TABLE or SCHEMA.TABLE"})
    columns: ColumnSettings
    attributes: Mapping[str, str] = field(
        default_factory=dict, metadata={"help": "further attributes of a user, for conditions and release: name to column"}
    )
    username_match: Match | None = field(
        default=None,
        metadata={
            "help": "how login names are looked up before they are compared exactly: `lower` by an index on lower(column), `exact` "
            "by a plain index, for names kept in lower case or a column that ignores case; default: exact on MySQL, else lower"
        },
    )
    mail_match: Match | None = field(default=None, metadata={"help": "the same for mail addresses"})
    sslmode: Literal["verify-full", "verify-ca", "disable"] | None = field(
        default=None,
        metadata={
            "help": "verify-full: TLS, certificate and name are checked; verify-ca: the certificate only; disable: in clear; "
            "default: disable on this machine, else verify-full"
        },
    )
    ca_file: str | None = field(
        default=None, metadata={"help": "PEM file of the authority that signed the server's certificate; default: the system's"}
    )
    allow_clear: bool = field(default=False, metadata={"help": "allow `sslmode: disable` to another machine"})
    read_only: bool = field(default=False, metadata={"help": "never write: no password is changed, nothing unlocked"})
    write_hash: Literal["argon2id", "bcrypt", "pbkdf2", "scrypt", "sha512-crypt", "ssha", "ssha512", "same"] = field(
        default="argon2id", metadata={"help": "form of new password hashes; same: that of the row"}
    )
    allow_plain: bool = field(default=False, metadata={"help": "accept passwords that stand in the table in clear"})
    password_rules: SqlPasswordSettings = field(default_factory=SqlPasswordSettings)
    lock_threshold: int = field(
        default=0, metadata={"help": "locked from so many `failures` on; 0: the count does not lock", "unit": "wrong passwords"}
    )
    time_zone: str = field(default="UTC", metadata={"help": "time zone of moments without one, such as Europe/Istanbul"})
    written_times: Literal["timestamp", "epoch", "epoch_ms"] = field(
        default="timestamp", metadata={"help": "how moments are written where the column's type does not tell"}
    )
    true_value: str = field(default="1", metadata={"help": "what is written for a flag that is set"})
    false_value: str = field(default="0", metadata={"help": "what is written for a flag that is not set"})
    find_statement: str | None = field(
        default=None,
        metadata={"help": "own SELECT of the users with login name or mail address :name (in lower case) or :typed (as typed)"},
    )
    get_statement: str | None = field(default=None, metadata={"help": "own SELECT of the user with :id"})
    list_statement: str | None = field(
        default=None,
        metadata={
            "help": "own SELECT of all users who can log in, without values or an order; needed where find_statement is given, to "
            "tell how many users a change of policy concerns"
        },
    )
    group_statement: str | None = field(
        default=None, metadata={"help": "SELECT of the names of the groups of the user :id or :username, in the first column"}
    )
    set_password_statement: str | None = field(
        default=None,
        metadata={
            "help": "own UPDATE to the hash :password of the user :id whose hash is still :old (required), with :must_change, "
            ":now, :username"
        },
    )
    unlock_statement: str | None = field(default=None, metadata={"help": "own UPDATE that unlocks the user :id or :username"})
    write_phone_statement: str | None = field(default=None, metadata={"help": "own UPDATE of the phone of :id to :value"})
    write_mail_statement: str | None = field(default=None, metadata={"help": "own UPDATE of the mail address of :id to :value"})
    write_contacts: tuple[Literal["phone", "mail"], ...] = field(
        default=(), metadata={"help": "which contacts may be written back to the table"}
    )
    timeouts: TimeoutSettings = field(default_factory=TimeoutSettings)
    connections: int = field(default=4, metadata={"help": "most connections of each worker"})
    verified_cache_s: int = field(
        default=0,
        metadata={
            "help": "how long a verified password is remembered as a keyed fingerprint in memory, for logins only; the row is read "
            "all the same; 0: never",
            "unit": "seconds",
        },
    )
    down_grace_s: int = field(
        default=0,
        metadata={
            "help": "how long after it was verified a password lets in while the database is down; 0: never",
            "unit": "seconds",
        },
    )
