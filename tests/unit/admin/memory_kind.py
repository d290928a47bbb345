"""A kind of directory for the tests of operators' operations: the one in memory, named `acme`."""

from dataclasses import dataclass
from typing import Literal

import pytest

from wardgate.admin.office import Office
from wardgate.config.document import Document
from wardgate.config.store import save
from wardgate.directory import registry
from wardgate.directory.kind import DirectoryKind
from wardgate.directory.port import Directory
from wardgate.directory.settings import RealmSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """What the document says of it."""

    name: str
    kind: Literal["memory"]
    ca_file: str | None = None


def register(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `kind: memory` a kind that is known, and `directory` what it builds."""
    kind = DirectoryKind(MemorySettings, lambda settings: None, lambda settings, parts: directory)
    others = [each for each in registry.KINDS if each.settings is not MemorySettings]
    monkeypatch.setattr(registry, "KINDS", (*others, kind))


async def configure(office: Office, region: str | None = None, ca_file: str | None = None, version: int = 0) -> None:
    """Put a document in force in which the default realm has this one directory."""
    realm = RealmSettings(name="r", default=True, directories=("acme",), region=region)
    document = Document(realms=(realm,), directories=(MemorySettings(name="acme", kind="memory", ca_file=ca_file),))
    await save(office.storage, document, "test", "", version, office.clock, office.ring)
