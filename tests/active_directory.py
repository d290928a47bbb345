"""Directories on the domain controller of the tests."""

from typing import Any

from tests import samba
from wardgate.clock import Clock, SystemClock
from wardgate.config.reference import ClearValue, SecretSetting
from wardgate.crypto import Secret
from wardgate.directory.active_directory.directory import ActiveDirectory
from wardgate.directory.kind import DirectoryParts
from wardgate.directory.ldap.client import Client
from wardgate.directory.ldap.port import Result
from wardgate.passwords import PasswordHasher
from wardgate.storage.memory import MemoryStorage


class CountingClient(Client):
    """Counts the binds of users."""

    binds = 0

    async def bind(self, *arguments: Any, **named: Any) -> Result:
        """One more."""
        self.binds += 1
        return await super().bind(*arguments, **named)


def parts(clock: Clock | None = None, region: str | None = "TR") -> DirectoryParts:
    """What a directory is built with; this kind needs neither the storage nor the hasher."""
    return DirectoryParts(MemoryStorage(), PasswordHasher(1, 1), clock or SystemClock(), _clear, region)


def directory(clock: Clock | None = None, **settings: Any) -> tuple[ActiveDirectory, CountingClient]:
    """A directory on the server that all tests share, and its client."""
    given = samba.shared().settings(**settings)
    client = CountingClient(given, parts(clock))
    return ActiveDirectory(given, client, parts(clock)), client


def _clear(setting: SecretSetting) -> Secret:
    assert isinstance(setting, ClearValue)
    return Secret(setting.value.encode())
