"""Reads a document that is spread over files: `include: [nas/*.yaml, gateways.yaml]`.

The command does this, with the rights and from the directory of whoever calls it, and sends what it read; the server reads no
file of a document. Only files below the directory of the document count, and symbolic links that lead out of it do not: a
document that somebody else wrote cannot pull in, and show in an error, what its reader alone may read; and one that is kept
under version control means the same on every machine.
"""

import os
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

from wardgate.config.faults import Fault, refuse
from wardgate.config.reading import MAX_DOCUMENT_BYTES, YamlError, read_yaml
from wardgate.config.sources import INCLUDE, Source, locate
from wardgate.errors import SettingsError

MAX_FILES: Final = 1_000
MAX_PATTERNS: Final = 100
MAX_INCLUDE_DEPTH: Final = 8
MAX_ENTRIES: Final = 20_000
_WILD: Final = frozenset("*?[")


def gather(main: Source, file: Path | None) -> tuple[Source, ...]:
    """The document in `main` and every file that it includes, in the order in which their lists are joined.

    `file`: where `main` was read; None when it came from standard input, which has no directory. Raises SettingsError with file,
    line and column.
    """
    return tuple(_Gathering(main, file).sources)


class _Gathering:
    """One walk over the files."""

    def __init__(self, main: Source, file: Path | None) -> None:
        self.sources: list[Source] = []
        self._root = Path(os.path.realpath(file)).parent if file is not None else None
        self._shown = file.parent if file is not None else Path()
        self._seen = {Path(os.path.realpath(file))} if file is not None else set()
        self._bytes = 0
        self._take(main, self._root, 0)

    def _take(self, source: Source, folder: Path | None, depth: int) -> None:
        self.sources.append(source)
        self._bytes += len(source.text.encode("utf-8", "surrogatepass"))
        if self._bytes > MAX_DOCUMENT_BYTES:
            raise _refused(source, "", f"the files together are larger than {MAX_DOCUMENT_BYTES // 1024 // 1024} MiB")
        for number, pattern in enumerate(_patterns(source)):
            path = f"{INCLUDE}[{number}]"
            if folder is None or self._root is None:
                raise _refused(source, path, "standard input has no directory: include works in a document that is a file")
            if depth >= MAX_INCLUDE_DEPTH:
                raise _refused(source, path, f"files include each other deeper than {MAX_INCLUDE_DEPTH} levels")
            try:
                for each in _matches(folder, pattern):
                    self._take(self._read(each), each.parent, depth + 1)
            except _WrongFileError as error:
                raise _refused(source, path, error.message) from None
            except OSError as error:
                raise _refused(source, path, f"{pattern} cannot be read: {error.strerror}") from None

    def _read(self, file: Path) -> Source:
        real = Path(os.path.realpath(file))
        name = self._name(real)
        if real in self._seen:
            raise _WrongFileError(f"{name} is part of the document already; each file belongs to it once")
        if len(self._seen) > MAX_FILES:
            raise _WrongFileError(f"the document has more than {MAX_FILES} files")
        self._seen.add(real)
        with real.open("rb") as opened:
            data = opened.read(MAX_DOCUMENT_BYTES + 1)
        try:
            return Source(name, data.decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise _WrongFileError(f"{name} is not UTF-8") from None

    def _name(self, real: Path) -> str:
        """How the operator finds the file, who named the document."""
        if self._root is None or not real.is_relative_to(self._root):
            raise _WrongFileError(f"{real.name} is a link that leads out of the directory of the document")
        return str(self._shown / real.relative_to(self._root))


class _WrongFileError(SettingsError):
    """A file that cannot be included: becomes a fault with a place where its pattern is known."""


def _patterns(source: Source) -> list[str]:
    if INCLUDE not in source.text:
        return []
    try:
        plain = read_yaml(source.text)
    except YamlError as error:
        raise refuse([Fault("", error.problem, file=source.name, line=error.line, column=error.column)], "the document") from None
    value = plain.get(INCLUDE) if isinstance(plain, dict) else None
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _refused(source, INCLUDE, "must be a list of files, such as [nas/*.yaml]")
    if len(value) > MAX_PATTERNS:
        raise _refused(source, INCLUDE, f"holds {len(value)} entries, more than {MAX_PATTERNS}")
    return [str(each) for each in value]


def _matches(folder: Path, pattern: str) -> list[Path]:
    """The files that a pattern names, by name. None at all is an error: applied, the document would remove what they hold."""
    parts = PurePosixPath(pattern).parts
    if not parts or PurePosixPath(pattern).is_absolute() or ".." in parts or "\0" in pattern:
        raise _WrongFileError("must name files below the directory of this one, without a leading / and without ..")
    if "**" in parts:
        raise _WrongFileError("** is not known here: name the directories, such as nas/*/*.yaml")
    found = [folder]
    for part in parts:
        found = [path for place in found for path in _named(place, part)]
    files = [path for path in found if path.is_file()]
    if not files:
        raise _WrongFileError(f"no file is there: {pattern}")
    return files


def _named(folder: Path, part: str) -> list[Path]:
    """What one part of a pattern names in a directory. As in a shell, * matches no leading dot: editors leave such files."""
    if not _WILD & set(part):
        return [folder / part]
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for _, entry in zip(range(MAX_ENTRIES + 1), entries, strict=False)]
    if len(names) > MAX_ENTRIES:
        raise _WrongFileError(f"{folder.name} holds more than {MAX_ENTRIES} files")
    hidden = part.startswith(".")
    return [folder / name for name in sorted(names) if fnmatchcase(name, part) and name.startswith(".") == hidden]


def _refused(source: Source, path: str, problem: str) -> SettingsError:
    line, column = locate(source.text, {path}).get(path, (0, 0)) if path else (0, 0)
    return refuse([Fault(path, problem, file=source.name, line=line, column=column)], "the document")
