"""Files that the settings of a directory name, such as `ca_file`: whether the server can read them."""

import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Final

from wardgate.directory.kind import DirectorySettings

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


def _files(settings: Any, path: str) -> Iterator[tuple[str, str | os.PathLike[str]]]:
    """By the names of settings: whatever ends with `_file` is one."""
    for item in fields(settings):
        value = getattr(settings, item.name)
        here = f"{path}.{item.name}"
        if item.name.endswith(_FILE_SETTING) and isinstance(value, str):
            yield here, value
        elif is_dataclass(value):
            yield from _files(value, here)
