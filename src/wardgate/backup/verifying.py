"""Proves that a backup can be restored, by doing all of it but the last step: in a private directory that is removed afterwards."""

import base64
import binascii
import hashlib
import shutil
import tempfile
import tomllib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wardgate.admin.keys import SEALED, sealed_pages
from wardgate.audit.trail import Head, verify
from wardgate.backup.archive import MASTER_KEY, SETTINGS, BackupError
from wardgate.backup.unpacking import Unpacked, opened, unpack
from wardgate.config.secrets import resolve_all
from wardgate.config.store import load_current
from wardgate.crypto import KEY_BYTES, KeyRing, Secret, unwrap_key
from wardgate.errors import SealError, SettingsError, WardgateError
from wardgate.settings import StartSettings, parse_settings
from wardgate.storage.backends import open_storage
from wardgate.storage.port import Reader, Storage
from wardgate.storage.settings import DatabaseSettings

DATABASE: Final = "wardgate.db"
MAX_FINDINGS: Final = 100

Progress = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Verified:
    """What a backup holds, and what is wrong with it. `version`: the migration that this program brings its tables to."""

    unpacked: Unpacked
    sha256: str
    secrets: int
    events: int
    findings: tuple[str, ...]


async def verify_backup(path: Path, identities: Sequence[Any], sha256: str | None, progress: Progress) -> Verified:
    """Decrypt, load, open every secret and walk every audit chain. Raises BackupError when it is not even whole."""
    digest = file_digest(path)
    if sha256 is not None and sha256.lower() != digest:
        raise BackupError(f"the file has the SHA-256 {digest}: it is not the one that was noted down", "backup_other_file")
    directory = Path(tempfile.mkdtemp(prefix="wardgate-verify-"))
    try:
        with opened(path) as source:
            unpacked = unpack(source, identities, directory / DATABASE, progress)
        async with loaded(directory) as storage:
            ring = await ring_of(storage, master_of(unpacked))
            findings: list[str] = []
            settings_of(unpacked)
            secrets = await _secrets(storage, ring, findings)
            await _document(storage, ring, findings)
            events = await _audit(storage, ring, unpacked, findings)
    finally:
        shutil.rmtree(directory)
    return Verified(unpacked, digest, secrets, events, tuple(findings[:MAX_FINDINGS]))


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as the audit event of the backup names it."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@asynccontextmanager
async def loaded(directory: Path) -> AsyncIterator[Storage]:
    """The database of an unpacked backup, brought to the version of this program."""
    storage = await open_storage(DatabaseSettings(url=f"sqlite:{DATABASE}"), directory)
    try:
        yield storage
    finally:
        await storage.close()


def master_of(unpacked: Unpacked) -> Secret:
    """The key-encryption key of a backup; it is not written anywhere. Raises BackupError."""
    try:
        key = base64.b64decode(unpacked.files[MASTER_KEY].strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BackupError("the key file in the backup is damaged") from error
    if len(key) != KEY_BYTES:
        raise BackupError("the key file in the backup is damaged")
    return Secret(key)


async def ring_of(storage: Reader, master: Secret) -> KeyRing:
    """The data keys, opened. Raises BackupError when the key file of the backup does not open them."""
    rows = await storage.find("data_key", order_by="number")
    try:
        keys = {int(row["number"] or 0): bytes(row["wrapped"]) for row in rows if isinstance(row["wrapped"], bytes)}
        return KeyRing({number: unwrap_key(master, number, wrapped) for number, wrapped in keys.items()})
    except (SealError, KeyError, ValueError) as error:
        raise BackupError("the key file in the backup does not open its data keys") from error


def settings_of(unpacked: Unpacked) -> StartSettings:
    """The settings of a backup. Raises SettingsError."""
    try:
        return parse_settings(tomllib.loads(unpacked.files[SETTINGS].decode()), f"{SETTINGS} of the backup")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{SETTINGS} of the backup is not TOML: {error}") from error


async def _secrets(storage: Reader, ring: KeyRing, findings: list[str]) -> int:
    """Open every sealed value; returns how many opened."""
    good = 0
    for column in SEALED:
        broken = 0
        async for rows in sealed_pages(storage, column):
            for row in rows:
                sealed = row[column.column]
                try:
                    ring.open(sealed if isinstance(sealed, bytes) else b"", column.place(row))
                    good += 1
                except SealError:
                    broken += 1
        if broken:
            findings.append(f"{broken} sealed values of {column.table} do not open: they were changed before the backup was made")
    return good


async def _document(storage: Reader, ring: KeyRing, findings: list[str]) -> None:
    """The configuration in force. A secret in a file or variable of the server is not in the backup: that is no finding."""
    try:
        _, document = await load_current(storage)
    except WardgateError as error:
        findings.append(error.message)
        return
    findings += [problem for problem in resolve_all(document, ring) if "sealed value" in problem]


async def _audit(storage: Reader, ring: KeyRing, unpacked: Unpacked, findings: list[str]) -> int:
    """Recompute every chain, up to the heads that the backup names."""
    heads = []
    for text in unpacked.summary.heads:
        writer, epoch, seq, link = text.rsplit(":", 3)
        heads.append(Head(writer, int(epoch), int(seq), link))
    result = await verify(storage, ring, tuple(heads))
    for each in result.findings[:MAX_FINDINGS]:
        findings.append(f"audit event {each.seq} of {each.writer}:{each.epoch}: {each.problem}")
    return result.events
