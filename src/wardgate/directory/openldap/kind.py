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


KIND = DirectoryKind(OpenLdapSettings, _check, _build)
