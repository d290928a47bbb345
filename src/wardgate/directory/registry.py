"""All kinds of directories, and what is done with a configured one: find its kind, check it, build it."""

from typing import Any

from wardgate.directory import local
from wardgate.directory.active_directory import directory as active_directory
from wardgate.directory.kind import DirectoryKind, DirectoryParts, DirectorySettings
from wardgate.directory.openldap import kind as openldap
from wardgate.directory.port import Directory
from wardgate.directory.sql import directory as sql
from wardgate.errors import SettingsError

KINDS: tuple[DirectoryKind[Any], ...] = (local.KIND, active_directory.KIND, openldap.KIND, sql.KIND)


def check_settings(settings: DirectorySettings) -> None:
    """Say whether a directory could be built from `settings`, without building it. Raises SettingsError naming the setting."""
    kind_of(settings).check(settings)


def build_directory(settings: DirectorySettings, parts: DirectoryParts) -> Directory:
    """The directory that `settings` describe. Raises SettingsError naming the setting."""
    kind = kind_of(settings)
    kind.check(settings)
    directory: Directory = kind.build(settings, parts)
    return directory


def kind_of(settings: DirectorySettings) -> DirectoryKind[Any]:
    """The kind that takes these settings. Raises SettingsError when none does."""
    for kind in KINDS:
        if isinstance(settings, kind.settings):
            return kind
    raise SettingsError(f"directories: no kind of directory takes {type(settings).__name__}")
