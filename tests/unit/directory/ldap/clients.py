"""What the tests of the LDAP client share: clients of servers that do what they are told."""

from collections.abc import Callable

from tests import ldap_server
from wardgate.clock import Clock, SystemClock
from wardgate.config.reference import ClearValue, SecretSetting
from wardgate.crypto import Secret
from wardgate.directory.kind import DirectoryParts
from wardgate.directory.ldap.client import Client
from wardgate.directory.ldap.settings import BindSettings, LdapSettings, TimeoutSettings
from wardgate.passwords import PasswordHasher
from wardgate.storage.memory import MemoryStorage


def settings(*servers: str, connect_s: float = 2.0, operation_s: float = 2.0, **given: object) -> LdapSettings:
    """Settings that name these servers."""
    return LdapSettings(
        name="test",
        kind="openldap",
        servers=servers,
        bind=BindSettings(dn=ldap_server.SERVICE, password=ClearValue(value=ldap_server.SERVICE_PASSWORD)),
        base="dc=acme,dc=test",
        timeouts=TimeoutSettings(connect_s=connect_s, operation_s=operation_s),
        **given,  # type: ignore[arg-type]
    )


def clear(setting: SecretSetting) -> Secret:
    """The tests name passwords in clear."""
    assert isinstance(setting, ClearValue)
    return Secret(setting.value)


def client(*servers: str, clock: Clock | None = None, secret: Callable[[SecretSetting], Secret] = clear, **given: object) -> Client:
    """A client of servers by URL; the settings by name."""
    parts = DirectoryParts(MemoryStorage(), PasswordHasher(threads=1, max_waiting=1), clock or SystemClock(), secret)
    return Client(settings(*servers, **given), parts)  # type: ignore[arg-type]
