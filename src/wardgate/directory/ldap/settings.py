"""What the settings of every LDAP directory have."""

from dataclasses import dataclass, field
from typing import Literal

from wardgate.config.reference import SecretSetting


@dataclass(frozen=True, slots=True, kw_only=True)
class BindSettings:
    """The service account."""

    dn: str = field(metadata={"help": "DN of the account that looks users up (and resets passwords, where that is wanted)"})
    password: SecretSetting = field(metadata={"help": "its password"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutSettings:
    """How long one step may take at one server."""

    connect_s: float = field(default=3.0, metadata={"help": "longest time for a connection, TLS included", "unit": "seconds"})
    operation_s: float = field(default=5.0, metadata={"help": "longest time for one operation", "unit": "seconds"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapSettings:
    """What every kind of LDAP directory takes; each kind adds its own."""

    name: str
    kind: str
    servers: tuple[str, ...] = field(
        metadata={
            "help": "ldaps://host:636 (TLS), ldap+starttls://host:389 (StartTLS required), or ldaps+srv://domain for the servers "
            "that DNS names (_ldap._tcp); asked in this order"
        }
    )
    bind: BindSettings
    base: str = field(metadata={"help": "DN under which users are"})
    order: Literal["ordered", "round_robin"] = field(
        default="ordered", metadata={"help": "ordered: the first server that is up; round_robin: all that are up in turn"}
    )
    ca_file: str | None = field(
        default=None, metadata={"help": "PEM file of the authority that signed the servers' certificates; default: the system's"}
    )
    timeouts: TimeoutSettings = field(default_factory=TimeoutSettings)
    connections: int = field(default=8, metadata={"help": "most connections of each worker to one server for checking passwords"})
    verified_cache_s: int = field(
        default=0,
        metadata={
            "help": "how long a verified password is remembered as a keyed fingerprint in memory, for logins only; the account is "
            "read all the same; 0: never",
            "unit": "seconds",
        },
    )
    down_grace_s: int = field(
        default=0,
        metadata={
            "help": "how long after it was verified a password lets in while the directory is down; never administrators; 0: never",
            "unit": "seconds",
        },
    )
    write_contacts: tuple[Literal["phone", "mail"], ...] = field(
        default=(), metadata={"help": "which contacts may be written back to the directory"}
    )
