"""Settings of an Active Directory, and how they are checked."""

import re
from dataclasses import dataclass, field, fields
from typing import Final, Literal

from wardgate.directory.kind import setting_error
from wardgate.directory.ldap import checks
from wardgate.directory.ldap.filters import encode_filter
from wardgate.directory.ldap.settings import LdapSettings
from wardgate.directory.names import canonical_name
from wardgate.errors import MessageError

MAX_MORE: Final = 50
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


def _check_attribute(settings: ActiveDirectorySettings, setting: str, attribute: str) -> None:
    if not _ATTRIBUTE.fullmatch(attribute) or attribute.lower() in _FORBIDDEN:
        raise setting_error(settings.name, setting, f"{attribute!r} cannot be read as an attribute; use a name such as mobile")
