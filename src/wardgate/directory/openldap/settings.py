"""Settings of an OpenLDAP directory, and how they are checked."""

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from wardgate.directory.kind import setting_error
from wardgate.directory.ldap.filters import encode_filter
from wardgate.directory.ldap.names import parse_dn
from wardgate.directory.ldap.settings import LdapSettings
from wardgate.errors import MessageError

MAX_CACHE_S: Final = 3_600
MAX_GROUP_CACHE_S: Final = 600
MAX_DEPTH: Final = 20
# RFC 4512 section 1.4: a description is letters, digits and hyphens.
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,99}")
GroupKind = Literal["groupOfNames", "groupOfUniqueNames", "posixGroup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLdapAttributes:
    """Which attribute holds what."""

    user_name: str = field(default="uid", metadata={"help": "the login name"})
    id: str = field(
        default="entryUUID",
        metadata={"help": "what never changes and is never given to another person; change it only before the first login"},
    )
    display_name: tuple[str, ...] = field(
        default=("displayName", "cn"), metadata={"help": "the name to show; the first that is set"}
    )
    mail: str = field(default="mail", metadata={"help": "mail addresses, the preferred one first"})
    phone: str = field(default="mobile", metadata={"help": "phone numbers, the preferred one first"})
    other_phones: tuple[str, ...] = field(default=("telephoneNumber",), metadata={"help": "where further phone numbers are"})
    language: str = field(default="preferredLanguage", metadata={"help": "the user's language"})
    more: tuple[str, ...] = field(default=(), metadata={"help": "further attributes to read, for replies and claims"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLdapGroups:
    """Where groups are, and which kinds count."""

    base: str | None = field(default=None, metadata={"help": "DN under which groups are; default: the users' base"})
    kinds: tuple[GroupKind, ...] = field(
        default=("groupOfNames", "groupOfUniqueNames", "posixGroup"),
        metadata={"help": "object classes that are searched for the user; none: only what `member_of` tells"},
    )
    member_of: str = field(
        default="memberOf", metadata={"help": "attribute of users and groups that names their groups (memberof overlay), if any"}
    )
    name: str = field(default="cn", metadata={"help": "attribute that holds a group's name"})
    depth: int = field(default=10, metadata={"help": "how many levels of groups inside groups are followed; 0: none"})
    cache_s: int = field(default=60, metadata={"help": "how long it is remembered in which groups a group is", "unit": "seconds"})
    protected: tuple[str, ...] = field(
        default=(), metadata={"help": "groups, by name or DN, whose members are administrators for `down_grace_s`"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLdapSettings(LdapSettings):
    """Users in OpenLDAP."""

    kind: Literal["openldap"]
    user_filter: str = field(
        default="(|(objectClass=inetOrgPerson)(objectClass=posixAccount))",
        metadata={"help": "LDAP filter of the entries that are users"},
    )
    attributes: OpenLdapAttributes = field(default_factory=OpenLdapAttributes)
    groups: OpenLdapGroups = field(default_factory=OpenLdapGroups)
    default_policy: str | None = field(
        default=None,
        metadata={
            "help": "DN of the server's default password policy (olcPPolicyDefault), which it does not tell; default: the only one "
            "under `base`, or the one named cn=default"
        },
    )
    shadow: bool = field(default=False, metadata={"help": "an account whose shadowExpire is over counts as expired"})


def check_settings(settings: OpenLdapSettings) -> None:
    """Raises SettingsError naming the setting."""
    _check_dns(settings)
    _check_attributes(settings)
    _within(settings, "verified_cache_s", settings.verified_cache_s, MAX_CACHE_S)
    _within(settings, "groups.depth", settings.groups.depth, MAX_DEPTH)
    _within(settings, "groups.cache_s", settings.groups.cache_s, MAX_GROUP_CACHE_S)
    try:
        encode_filter(settings.user_filter)
    except MessageError as error:
        raise setting_error(settings.name, "user_filter", f"{error.message}; write it as (objectClass=inetOrgPerson)") from error


def _check_dns(settings: OpenLdapSettings) -> None:
    for setting, dn in (("groups.base", settings.groups.base), ("default_policy", settings.default_policy)):
        if dn is None:
            continue
        try:
            parsed = parse_dn(dn)
        except MessageError as error:
            raise setting_error(settings.name, setting, f"{error.message}; write it as ou=groups,dc=example,dc=org") from error
        if not parsed:
            raise setting_error(settings.name, setting, "must not be empty")


def _check_attributes(settings: OpenLdapSettings) -> None:
    given = settings.attributes
    single = {
        "attributes.user_name": given.user_name,
        "attributes.id": given.id,
        "attributes.mail": given.mail,
        "attributes.phone": given.phone,
        "attributes.language": given.language,
        "groups.member_of": settings.groups.member_of,
        "groups.name": settings.groups.name,
    }
    several = {
        "attributes.display_name": given.display_name,
        "attributes.other_phones": given.other_phones,
        "attributes.more": given.more,
    }
    for setting, names in ((name, (value,)) for name, value in single.items()):
        _check_names(settings.name, setting, names)
    for setting, listed in several.items():
        _check_names(settings.name, setting, listed)


def _check_names(directory: str, setting: str, names: tuple[str, ...]) -> None:
    for name in names:
        if not _ATTRIBUTE.fullmatch(name):
            raise setting_error(directory, setting, f"{name!r} is no name of an attribute: letters, digits and hyphens only")
        if name.lower() in ("userpassword", "pwdhistory"):
            raise setting_error(directory, setting, f"{name} holds passwords and is never read")


def _within(settings: OpenLdapSettings, setting: str, value: int, highest: int) -> None:
    if not 0 <= value <= highest:
        raise setting_error(settings.name, setting, f"must be between 0 and {highest}")
