"""Worlds with several directories in a realm, and with several realms."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.flows.world import World
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.realm import Realm, Realms
from wardgate.directory.settings import RealmSettings
from wardgate.storage.port import Storage


@dataclass(frozen=True)
class Several:
    """A world whose realm `acme` asks these directories in this order."""

    world: World
    directories: Sequence[MemoryDirectory]

    def __getitem__(self, name: str) -> MemoryDirectory:
        return next(each for each in self.directories if each.name == name)


def in_one_realm(storage: Storage, *directories: MemoryDirectory) -> Several:
    """The first directory is the world's own."""
    world = World(storage, directory=directories[0])
    settings = RealmSettings(
        name="acme", default=True, directories=tuple(each.name for each in directories), domains=("acme.test",)
    )
    world.realms = Realms([Realm(settings, tuple(directories))])
    return Several(world, directories)
