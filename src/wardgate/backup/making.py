"""Makes a backup: a snapshot of every table and the files of the installation, streamed to a file that appears when it is whole.

It runs in the process of the command, beside the server: the server's workers have nothing to do with it, need not be able to
write where the backup goes, and are not slowed down but by the disk. The server is only asked to put it on record.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from wardgate import __version__
from wardgate.backup.archive import (
    CERTIFICATE,
    CERTIFICATE_KEY,
    MANIFEST,
    MASTER_KEY,
    SETTINGS,
    SUMMARY,
    ArchiveWriter,
    HashingFile,
)
from wardgate.backup.files import read_small, sync_directory
from wardgate.backup.manifest import Manifest, Summary
from wardgate.backup.rows import RowCoder
from wardgate.clock import Clock
from wardgate.crypto import Secret, unwrap_key
from wardgate.errors import AlreadyExists, SettingsError, StorageUnavailable, UsageError
from wardgate.installation import Installation
from wardgate.settings import FILE_NAME
from wardgate.storage.port import Value
from wardgate.storage.snapshot import Column, Snapshot
from wardgate.storage.snapshots import open_snapshot

CHUNK_BYTES: Final = 2**20
SUFFIX: Final = ".age"
PART: Final = ".part"

Progress = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made. `sha256`: of the file as it stands there."""

    manifest: Manifest
    summary: Summary
    size: int
    sha256: str


async def make_backup(
    installation: Installation, target: BinaryIO, recipients: Sequence[str], clock: Clock, progress: Progress
) -> Made:
    """Stream a backup into `target`. Raises StorageUnavailable when either end fails; what `target` got is then no backup."""
    file = HashingFile(target)
    async with await open_snapshot(installation.settings.database, installation.data) as snapshot:
        manifest = await _describe(installation, snapshot, clock)
        writer = ArchiveWriter(file, recipients)
        try:
            summary = await _Content(installation, snapshot, manifest, writer, progress).write()
            writer.close()
        except OSError as error:
            raise StorageUnavailable(f"the backup cannot be written: {error.strerror or error}", "backup_not_written") from error
        finally:
            writer.abandon()
    return Made(manifest, summary, file.size, file.sha256)


async def make_file(
    installation: Installation, to: Path, recipients: Sequence[str], clock: Clock, progress: Progress
) -> tuple[Path, Made]:
    """Make a backup as a file of mode 0600. In a directory it gets a name with the time. Until it is whole it ends in `.part`.

    Raises AlreadyExists rather than to replace a file, StorageUnavailable.
    """
    path = _free_path(to, clock)
    part = path.with_name(path.name + PART)
    descriptor = _new_file(part)
    try:
        with os.fdopen(descriptor, "wb") as file:
            made = await make_backup(installation, file, recipients, clock, progress)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise StorageUnavailable(f"{part} cannot be written: {error.strerror or error}", "backup_not_written") from error
    finally:
        part.unlink(missing_ok=True)
    return path, made


def _free_path(to: Path, clock: Clock) -> Path:
    path = to / f"wardgate-{clock.now():%Y%m%dT%H%M%SZ}{SUFFIX}" if to.is_dir() else to
    if path.exists() or path.is_symlink():
        raise AlreadyExists(f"{path} exists: name another file, or remove it")
    return path


def _new_file(part: Path) -> int:
    try:
        return os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise AlreadyExists(f"{part} exists: another backup is being written, or was cut short; remove it") from error
    except OSError as error:
        raise UsageError(f"{part} cannot be made: {error.strerror}; the user who owns the data directory writes it") from error


async def fact_of(installation: Installation, name: str) -> str | None:
    """A row of the table `installation`, read beside the server."""
    async with await open_snapshot(installation.settings.database, installation.data) as snapshot:
        return (await _facts(snapshot)).get(name)


async def _describe(installation: Installation, snapshot: Snapshot, clock: Clock) -> Manifest:
    facts = await _facts(snapshot)
    try:
        own_id, epoch = facts["id"], int(facts["epoch"])
    except (KeyError, ValueError) as error:
        raise SettingsError(f"{installation.data} was not completed: its database names no epoch") from error
    return Manifest(
        program=__version__,
        schema_version=snapshot.version,
        installation_id=own_id,
        kind="demo" if installation.demo else "production",
        epoch=epoch,
        created_at=clock.now(),
        tables=snapshot.tables,
    )


async def _facts(snapshot: Snapshot) -> dict[str, str]:
    names = [column.name for column in snapshot.tables["installation"]]
    name, value = names.index("name"), names.index("value")
    return {str(row[name]): str(row[value]) async for page in snapshot.pages("installation") for row in page}


@dataclass(slots=True)
class _Content:
    """Writes the members of one backup and keeps count of them."""

    installation: Installation
    snapshot: Snapshot
    manifest: Manifest
    writer: ArchiveWriter
    progress: Progress
    rows: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    heads: "_Heads" = field(default_factory=lambda: _Heads())
    done: int = 0

    async def write(self) -> Summary:
        """Everything, the summary last."""
        self.writer.add(MANIFEST, self.manifest.encode())
        master = self.installation.master_key()
        for name, path in self._files():
            content = read_small(path)
            self.writer.add(name, content)
            self.files[name] = hashlib.sha256(content).hexdigest()
        for table, columns in self.manifest.tables.items():
            await self._table(table, columns, master)
        summary = Summary(self.rows, self.digests, self.files, self.heads.told())
        self.writer.add(SUMMARY, summary.encode())
        return summary

    def _files(self) -> list[tuple[str, Path]]:
        """By the names that they have in every backup, wherever this installation keeps them."""
        own = self.installation
        return [
            (SETTINGS, own.data / FILE_NAME),
            (MASTER_KEY, own.key_file),
            (CERTIFICATE, own.certificate),
            (CERTIFICATE_KEY, own.certificate_key),
        ]

    async def _table(self, table: str, columns: tuple[Column, ...], master: Secret) -> None:
        coder, digest, waiting = RowCoder(columns), hashlib.sha256(), bytearray()
        names = [column.name for column in columns]
        number = self.rows[table] = 0
        async for page in self.snapshot.pages(table):
            lines = coder.encode(page)
            digest.update(lines)
            waiting += lines
            self.rows[table] += len(page)
            self._look_at(table, names, page, master)
            if len(waiting) >= CHUNK_BYTES:
                number += 1
                self._chunk(table, number, waiting)
        if waiting:
            self._chunk(table, number + 1, waiting)
        self.digests[table] = digest.hexdigest()

    def _chunk(self, table: str, number: int, waiting: bytearray) -> None:
        self.writer.add(f"tables/{table}/{number:06}.jsonl", bytes(waiting))
        self.done += len(waiting)
        waiting.clear()
        self.progress(self.done, table)

    def _look_at(self, table: str, names: Sequence[str], page: Sequence[Sequence[Value]], master: Secret) -> None:
        if table == "audit_event":
            self.heads.take(names, page)
        elif table == "data_key":
            # A backup whose keys do not open under the key file beside them would show only when it is needed.
            for row in page:
                number, wrapped = row[names.index("number")], row[names.index("wrapped")]
                unwrap_key(master, int(number or 0), wrapped if isinstance(wrapped, bytes) else b"")


class _Heads:
    """The newest event of each chain among rows in any order."""

    def __init__(self) -> None:
        self._newest: dict[tuple[Value, Value], tuple[int, str]] = {}

    def take(self, names: Sequence[str], page: Sequence[Sequence[Value]]) -> None:
        writer, epoch, seq, link = (names.index(name) for name in ("writer", "epoch", "seq", "link"))
        for row in page:
            number, chain, hashed = row[seq], (row[writer], row[epoch]), row[link]
            if isinstance(number, int) and isinstance(hashed, bytes) and number > self._newest.get(chain, (0, ""))[0]:
                self._newest[chain] = (number, hashed.hex())

    def told(self) -> tuple[str, ...]:
        """As `wardgate audit verify --head` takes them."""
        return tuple(
            [f"{writer!s}:{epoch!s}:{seq}:{link}" for (writer, epoch), (seq, link) in sorted(self._newest.items(), key=str)]
        )
