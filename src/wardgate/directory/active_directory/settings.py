"""Settings of an Active Directory, and how they are checked."""

import re
from dataclasses import dataclass, field, fields
from typing import Final, Literal

from wardgate.config.reference import FileReference
from wardgate.directory.kind import setting_error
from wardgate.directory.ldap import checks
from wardgate.directory.ldap.filters import encode_filter
from wardgate.directory.ldap.settings import LdapSettings
from wardgate.directory.names import canonical_name
from wardgate.errors import MessageError

MAX_MORE: Final = 50
MAX_NETWORKS: Final = 50
# How long ago somebody may have typed the password that his ticket came from: a domain gives tickets for ten hours.
TICKET_AGE_S: Final = (300, 7 * 86_400)
# service/host, with the realm or without ([MS-KILE] section 3.1.5.11).
_PRINCIPAL = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,30}/([A-Za-z0-9][A-Za-z0-9.-]{0,253})(?:@([A-Z0-9][A-Z0-9.-]{0,253}))?")
_PART_OF_DOMAIN = re.compile(r"DC=([A-Za-z0-9](?:[A-Za-z0-9-]{0,62}))", re.IGNORECASE)
# RFC 4512 section 1.4: letters, digits and hyphens.
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,99}")
# Passwords cannot be read, and what is read anyway is not read as something else.
_FORBIDDEN: Final = frozenset({"unicodepwd", "userpassword", "dbcspwd", "objectguid", "tokengroups"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveDirectoryAttributes:
    """Which attribute holds what."""

    display_name: str = field(default="displayName", metadata={"help": "the name to show"})
    mail: str = field(default="mail", metadata={"help": "the mail address; a user is found by it too"})
    other_mails: tuple[str, ...] = field(default=(), metadata={"help": "where further mail addresses are, such as proxyAddresses"})
    phone: str = field(default="mobile", metadata={"help": "the phone for codes"})
    other_phones: tuple[str, ...] = field(default=("otherMobile",), metadata={"help": "where further phones for codes are"})
    language: str = field(default="preferredLanguage", metadata={"help": "the user's language"})
    more: tuple[str, ...] = field(default=(), metadata={"help": "further attributes to read, for replies and claims"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KerberosSettings:
    """Signing in at the portal by the ticket of a computer that is in the domain (SPNEGO)."""

    keytab: FileReference = field(metadata={"help": "the file with the key of the service account; a new one holds at once"})
    principal: str = field(
        metadata={
            "help": "the name that tickets must be for, HTTP/ and the portal's host name, such as HTTP/login.acme.test; behind @ "
            "the realm, where it is not the domain of `base`"
        }
    )
    networks: tuple[str, ...] = field(
        metadata={"help": "named networks whose browsers are asked for a ticket; elsewhere one might ask its user for a password"}
    )
    max_age_s: int = field(
        default=36_000,
        metadata={"help": "how long ago the person may have proved himself to the domain", "unit": "seconds"},
    )
    channel: Literal["bound", "any"] = field(
        default="bound",
        metadata={
            "help": "bound: a ticket that names the TLS certificate it is meant for must name ours; any: the certificate is "
            "another machine's, such as a balancer's"
        },
    )

    def full_principal(self, base: str) -> str:
        """The name with its realm, by default that of the domain of a base: its DNS name in capitals."""
        if "@" in self.principal:
            return self.principal
        return f"{self.principal}@{realm_of(base)}"


def realm_of(base: str) -> str:
    """The Kerberos realm of the domain that a base is in; empty where the base names none."""
    return ".".join(found.group(1) for part in base.split(",") if (found := _PART_OF_DOMAIN.fullmatch(part.strip()))).upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveDirectorySettings(LdapSettings):
    """Users in Active Directory."""

    kind: Literal["active_directory"]
    attributes: ActiveDirectoryAttributes = field(default_factory=ActiveDirectoryAttributes)
    user_filter: str = field(
        default="", metadata={"help": "LDAP filter that accounts must match as well, beside being a person's; default: none"}
    )
    domains: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "what may stand before \\ or after @ for this domain, beside its NetBIOS and DNS names, which are read from it"
        },
    )
    emulate_history: bool = field(
        default=True,
        metadata={
            "help": "where the servers cannot hold a reset to the password history, set a random password first and change that; "
            "false: resets are free of the history there"
        },
    )
    kerberos: KerberosSettings | None = field(
        default=None, metadata={"help": "sign in by the tickets of this domain; default: nobody is asked for one"}
    )


def check(settings: ActiveDirectorySettings) -> None:
    """What can be said of the settings alone. Raises SettingsError."""
    checks.check(settings)
    if not settings.base.strip():
        raise setting_error(settings.name, "base", "must not be empty; write it as DC=acme,DC=test")
    if settings.user_filter:
        try:
            encode_filter(settings.user_filter)
        except MessageError as error:
            raise setting_error(settings.name, "user_filter", error.message) from error
    for item in fields(settings.attributes):
        value = getattr(settings.attributes, item.name)
        for attribute in (value,) if isinstance(value, str) else value:
            _check_attribute(settings, f"attributes.{item.name}", attribute)
    if len(settings.attributes.more) > MAX_MORE:
        raise setting_error(settings.name, "attributes.more", f"takes at most {MAX_MORE} attributes")
    for number, domain in enumerate(settings.domains):
        if canonical_name(domain) is None:
            raise setting_error(settings.name, f"domains[{number}]", "cannot stand before \\; use printable characters")
    if settings.kerberos is not None:
        _check_kerberos(settings, settings.kerberos)


def _check_kerberos(settings: ActiveDirectorySettings, kerberos: KerberosSettings) -> None:
    if not _PRINCIPAL.fullmatch(kerberos.principal):
        raise setting_error(settings.name, "kerberos.principal", "must be a service and a host, such as HTTP/login.acme.test")
    if "@" not in kerberos.principal and not realm_of(settings.base):
        told = "needs its realm, as in HTTP/login.acme.test@ACME.TEST: `base` names no domain"
        raise setting_error(settings.name, "kerberos.principal", told)
    if not 1 <= len(kerberos.networks) <= MAX_NETWORKS:
        raise setting_error(settings.name, "kerberos.networks", f"must name 1 to {MAX_NETWORKS} networks")
    if not TICKET_AGE_S[0] <= kerberos.max_age_s <= TICKET_AGE_S[1]:
        raise setting_error(settings.name, "kerberos.max_age_s", f"must be between {TICKET_AGE_S[0]} and {TICKET_AGE_S[1]}")


def _check_attribute(settings: ActiveDirectorySettings, setting: str, attribute: str) -> None:
    if not _ATTRIBUTE.fullmatch(attribute) or attribute.lower() in _FORBIDDEN:
        raise setting_error(settings.name, setting, f"{attribute!r} cannot be read as an attribute; use a name such as mobile")
