"""How OpenLDAP directories are listed and built."""

from wardgate.directory.kind import DirectoryKind, DirectoryParts
from wardgate.directory.ldap import checks
from wardgate.directory.ldap.client import Client
from wardgate.directory.openldap.directory import OpenLdapDirectory
from wardgate.directory.openldap.settings import OpenLdapSettings, check_settings


def _check(settings: OpenLdapSettings) -> None:
    checks.check(settings)
    check_settings(settings)


def _build(settings: OpenLdapSettings, parts: DirectoryParts) -> OpenLdapDirectory:
    return OpenLdapDirectory(Client(settings, parts), settings, parts.clock, parts.region)


def _numbering(settings: OpenLdapSettings) -> tuple[object, ...] | None:
    """An entryUUID is given once (RFC 4530), a number or a name again under every base."""
    attribute = settings.attributes.id.lower()
    return None if attribute == "entryuuid" else (attribute, settings.base)


KIND = DirectoryKind(OpenLdapSettings, _check, _build, _numbering)
