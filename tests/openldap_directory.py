"""OpenLDAP directories of Wardgate on the servers of tests/slapd.py."""

from collections.abc import Sequence
from typing import Any

from tests import slapd
from wardgate.clock import Clock, SystemClock
from wardgate.config.reference import ClearValue, SecretSetting
from wardgate.crypto import Secret
from wardgate.directory.kind import DirectoryParts
from wardgate.directory.ldap.client import Client
from wardgate.directory.ldap.port import Result
from wardgate.directory.ldap.settings import BindSettings, TimeoutSettings
from wardgate.directory.openldap.directory import OpenLdapDirectory
from wardgate.directory.openldap.settings import OpenLdapSettings
from wardgate.passwords import PasswordHasher
from wardgate.storage.memory import MemoryStorage

SERVICE = BindSettings(dn=slapd.SERVICE, password=ClearValue(value=slapd.SERVICE_PASSWORD))
READER = BindSettings(dn=slapd.READER, password=ClearValue(value=slapd.READER_PASSWORD))
ROOT = BindSettings(dn=slapd.ROOT, password=ClearValue(value=slapd.ROOT_PASSWORD))


class CountingClient(Client):
    """Counts the binds of users."""

    binds = 0

    async def bind(self, dn: str, password: Secret, **given: Any) -> Result:
        """The same, counted."""
        self.binds += 1
        return await super().bind(dn, password, **given)

    def bound_as(self, dn: str, password: Secret, **given: Any) -> Any:
        """The same, counted."""
        self.binds += 1
        return super().bound_as(dn, password, **given)


def parts(clock: Clock | None = None) -> DirectoryParts:
    """What a directory is built with; secrets are in clear."""
    return DirectoryParts(MemoryStorage(), PasswordHasher(threads=1, max_waiting=1), clock or SystemClock(), _clear)


def _clear(setting: SecretSetting) -> Secret:
    assert isinstance(setting, ClearValue)
    return Secret(setting.value)


def settings(server: slapd.Server, bind: BindSettings = SERVICE, servers: Sequence[str] = (), **given: Any) -> OpenLdapSettings:
    """Settings that name it."""
    named: dict[str, Any] = {"name": "staff", "ca_file": server.ca_file, "base": slapd.BASE, **given}
    patient = TimeoutSettings(connect_s=10, operation_s=20)
    return OpenLdapSettings(kind="openldap", servers=tuple(servers) or (server.ldaps,), bind=bind, **{"timeouts": patient, **named})


def directory(server: slapd.Server, clock: Clock | None = None, **given: Any) -> tuple[OpenLdapDirectory, CountingClient]:
    """A directory on it, and the client that counts its binds."""
    given = {"default_policy": slapd.policy_dn("default") if server.with_ppolicy else None, **given}
    made = settings(server, **given)
    client = CountingClient(made, parts(clock))
    return OpenLdapDirectory(client, made, clock or SystemClock(), "TR"), client
