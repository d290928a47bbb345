"""Settings of realms and directories, as they stand in the configuration document."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from wardgate.brand.settings import BrandSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RealmSettings:
    """A named set of users in one or more directories, asked in order."""

    name: str
    directories: tuple[str, ...] = field(metadata={"help": "directories by name, asked in this order"})
    default: bool = field(default=False, metadata={"help": "names without a realm belong here; exactly one realm is the default"})
    domains: tuple[str, ...] = field(
        default=(), metadata={"help": "what may stand before \\ or after @ for this realm, beside its name"}
    )
    reply_floor_ms: int = field(
        default=300,
        metadata={
            "help": "a refusal before the password is proved leaves no earlier than this after the request",
            "unit": "milliseconds",
        },
    )
    language: str = field(default="en", metadata={"help": "language for users who have none of their own"})
    region: str | None = field(
        default=None, metadata={"help": "country whose national phone numbers are understood, such as TR; default: none"}
    )
    time_zone: str = field(
        default="",
        metadata={"help": "the zone in which its people read times, such as Europe/Istanbul; empty: that of `notices`"},
    )
    brand: BrandSettings | None = field(
        default=None, metadata={"help": "what is different for this realm from the `brand` of the document"}
    )


def realm_words(realms: Iterable[RealmSettings], directory: str) -> tuple[str, ...]:
    """Names and domains of the realms that ask this directory: what nobody should have for a password."""
    return tuple(word for realm in realms if directory in realm.directories for word in (realm.name, *realm.domains))


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordPolicySettings:
    """What a new password in Wardgate's own directory has to fulfil. NIST SP 800-63B-4: no kinds of characters are asked for."""

    min_length: int = field(
        default=15,
        metadata={
            "help": "fewest characters: 15 is what NIST asks where a password may be the only factor, which the directory cannot "
            "know; 8 is the least, good where every policy asks for a second factor",
            "unit": "characters",
        },
    )
    max_length: int = field(
        default=0, metadata={"help": "most characters, at least 64; 0: no limit but 1024 bytes", "unit": "characters"}
    )
    blocklist: bool = field(
        default=True,
        metadata={"help": "refuse common passwords, rows of keys, and what is little more than the user's name or mail address"},
    )
    own_words: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "names of the organisation, its places and services, which the blocklist refuses too; those of realms it knows"
        },
    )
    history: int = field(
        default=5, metadata={"help": "how many passwords before the present one may not be used again; at most 24"}
    )
    max_age_days: int = field(
        default=0,
        metadata={"help": "a password that is older has to be changed; 0: never, as NIST advises", "unit": "days"},
    )
    min_age_s: int = field(
        default=0,
        metadata={"help": "how long a user has to keep a password before he may choose the next; 0: no time", "unit": "seconds"},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDirectorySettings:
    """Users in Wardgate's own database."""

    name: str
    kind: Literal["local"]
    verified_cache_s: int = field(
        default=0,
        metadata={
            "help": "how long a verified password is remembered as a keyed fingerprint in memory, for logins only; 0: never",
            "unit": "seconds",
        },
    )
    keep_hashes: bool = field(
        default=False,
        metadata={"help": "leave imported hashes as they are instead of upgrading them to Argon2id at the next login"},
    )
    password_policy: PasswordPolicySettings = field(default_factory=PasswordPolicySettings)
    write_contacts: tuple[Literal["phone", "mail"], ...] = field(
        default=(), metadata={"help": "which contacts self-service may write to the directory"}
    )
