"""Takes a backup apart: its rows into a fresh database file, its small files into memory, everything held against its summary."""

import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from wardgate.backup.archive import FILES, MANIFEST, SUMMARY, BackupError, read_archive
from wardgate.backup.manifest import Manifest, Summary, decode_manifest, decode_summary
from wardgate.backup.rows import RowCoder
from wardgate.errors import StorageError, UsageError
from wardgate.storage import migrations
from wardgate.storage.snapshot_sqlite import SqliteFill

_CHUNK: Final = re.compile(r"tables/([a-z_]{1,64})/([0-9]{6,9})\.jsonl")

Progress = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A whole backup, apart. Its rows are in the database file, at the version that they were written at."""

    manifest: Manifest
    summary: Summary
    files: Mapping[str, bytes] = field(repr=False)


def unpack(source: BinaryIO, identities: Sequence[Any], database: Path, progress: Progress) -> Unpacked:
    """Read a backup to its end and fill a new database file. Raises BackupError unless every byte and row is what was written.

    The database file is not complete after an error: the caller throws it away.
    """
    with contextlib.closing(read_archive(source, identities)) as members, contextlib.ExitStack() as stack:
        name, content = next(members, ("", b""))
        if name != MANIFEST:
            raise BackupError("what was encrypted is no backup of ours: it does not begin with a manifest")
        manifest = decode_manifest(content)
        migrations.check_version(manifest.schema_version)
        if manifest.schema_version < 1:
            raise BackupError("the manifest names no version of the tables")
        fill = SqliteFill(database, manifest.schema_version)
        stack.callback(fill.close)
        reading = _Reading(manifest, fill, progress)
        summary: Summary | None = None
        for name, content in members:
            if summary is not None:
                raise BackupError(f"{name[:80]!r} stands behind the summary")
            if name == SUMMARY:
                summary = decode_summary(content)
            else:
                reading.take(name, content)
        if summary is None:
            raise BackupError("the backup has no summary: the run that wrote it was cut short")
        reading.hold_against(summary)
        fill.finish()
    return Unpacked(manifest, summary, reading.files)


@contextlib.contextmanager
def opened(path: Path) -> Any:
    """The file of a backup, to be read."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        yield file


class _Reading:
    """What has been read so far."""

    def __init__(self, manifest: Manifest, fill: SqliteFill, progress: Progress) -> None:
        if unknown := sorted(set(manifest.tables) ^ set(fill.tables)):
            raise BackupError(f"the tables are not those of version {manifest.schema_version}: {unknown[0]}")
        self._manifest = manifest
        self._fill = fill
        self._progress = progress
        self._coders = {name: RowCoder(columns) for name, columns in manifest.tables.items()}
        self._digests = {name: hashlib.sha256() for name in manifest.tables}
        self._rows = dict.fromkeys(manifest.tables, 0)
        self._chunks = dict.fromkeys(manifest.tables, 0)
        self._done = 0
        self.files: dict[str, bytes] = {}

    def take(self, name: str, content: bytes) -> None:
        """Take in a member."""
        if name in FILES and name not in self.files:
            self.files[name] = content
            return
        found = _CHUNK.fullmatch(name)
        table, number = (found[1], int(found[2])) if found else ("", 0)
        if table not in self._rows or number != self._chunks[table] + 1:
            raise BackupError(f"the archive holds {name[:80]!r} where no backup of ours does")
        rows = self._coders[table].decode(content)
        try:
            self._fill.load(table, self._manifest.tables[table], rows)
        except StorageError as error:
            raise BackupError(error.message) from error
        self._digests[table].update(content)
        self._rows[table] += len(rows)
        self._chunks[table] = number
        self._done += len(content)
        self._progress(self._done, table)

    def hold_against(self, summary: Summary) -> None:
        """Raises BackupError when something is not what the summary says."""
        if absent := [name for name in FILES if name not in self.files]:
            raise BackupError(f"the backup lacks {absent[0]}")
        digests = {name: digest.hexdigest() for name, digest in self._digests.items()}
        files = {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
        for name in sorted({*digests, *summary.tables}):
            if digests.get(name) != summary.tables.get(name) or self._rows.get(name) != summary.rows.get(name):
                raise BackupError(f"the rows of {name} are not those that the summary tells")
        for name in sorted({*files, *summary.files}):
            if files.get(name) != summary.files.get(name):
                raise BackupError(f"{name} is not the file that the summary tells")
