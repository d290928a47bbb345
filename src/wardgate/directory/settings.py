"""Settings of realms and directories, as they stand in the configuration document."""

from dataclasses import dataclass, field
from typing import Literal


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
