"""What the settings of a directory need of the machine: files that they name, such as `ca_file`, and the Kerberos library."""

import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Final

from wardgate.config.document import Document
from wardgate.directory.active_directory.settings import ActiveDirectorySettings
from wardgate.directory.kind import DirectorySettings
from wardgate.kerberos.acceptor import missing

_FILE_SETTING: Final = "_file"


def unreadable_files(directory: DirectorySettings) -> list[str]:
    """One message for each file that is not there or may not be read: until it can be, the directory is down."""
    problems = []
    for path, file in _files(directory, f"directories.{directory.name}"):
        try:
            with open(file, "rb"):
                continue
        except OSError as error:
            problems.append(f"{path}: the server cannot read {file}: {error.strerror or 'unknown reason'}")
    return problems


def without_library(document: Document) -> list[str]:
    """One message for each directory that is to take Kerberos tickets where the library for it is not installed."""
    asking = [each for each in document.directories if isinstance(each, ActiveDirectorySettings) and each.kerberos is not None]
    problem = missing() if asking else None
    return [f"directories.{each.name}.kerberos: {problem}" for each in asking] if problem is not None else []


def _files(settings: Any, path: str) -> Iterator[tuple[str, str | os.PathLike[str]]]:
    """By the names of settings: whatever ends with `_file` is one."""
    for item in fields(settings):
        value = getattr(settings, item.name)
        here = f"{path}.{item.name}"
        if item.name.endswith(_FILE_SETTING) and isinstance(value, str):
            yield here, value
        elif is_dataclass(value):
            yield from _files(value, here)
