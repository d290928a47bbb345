"""Makes an installation of a backup, in a new epoch. Half a restore never starts: the marker is written last.

Everything is built in `restore.part` inside the data directory and moved out of it at the end. With `replace`, what stood there
is moved aside before, never deleted. The instance lock is held all the time.
"""

import json
import os
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from wardgate.admin.alone import check_alone
from wardgate.admin.office import Office
from wardgate.backup.archive import CERTIFICATE, CERTIFICATE_KEY, MASTER_KEY, SETTINGS, BackupError
from wardgate.backup.epoch import Epoch, open_epoch
from wardgate.backup.files import sync_directory, write_private
from wardgate.backup.making import fact_of
from wardgate.backup.manifest import Manifest
from wardgate.backup.replay import Export, Replayed, read_export, replay
from wardgate.backup.unpacking import Unpacked, opened, unpack
from wardgate.backup.verifying import DATABASE, file_digest, loaded, master_of, ring_of, settings_of
from wardgate.clock import Clock, from_ms, to_ms
from wardgate.clock_watch import LARGEST_DIFFERENCE_S, DatabaseClock
from wardgate.config.store import load_current
from wardgate.crypto import KeyRing
from wardgate.errors import Conflict, SettingsError, StorageUnavailable, UsageError
from wardgate.federation.relying_party import KeyKind
from wardgate.federation.signing_keys import load_keys
from wardgate.installation import FORMAT, LOCK, MARKER, UNFINISHED, Installation, InstanceLock
from wardgate.passwords import PasswordHasher
from wardgate.settings import HttpsListenerSettings, KeySettings, StartSettings, checked_settings, render_settings
from wardgate.storage.backends import open_storage
from wardgate.storage.port import Storage
from wardgate.storage.settings import SQLITE
from wardgate.storage.snapshots import fill

WORK: Final = "restore.part"
ASIDE: Final = "before-restore-"
ACTOR: Final = "restore"
MOST_CLOCK_DIFFERENCE: Final = timedelta(minutes=1)

Progress = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What to restore, and where. `sha256`: what the file must have. `export`: an audit export to take revocations from.

    `database`: an empty PostgreSQL database, or `sqlite:` for the file in the directory, which None means as well unless the backup
    is of an installation on PostgreSQL. `password_file`: of that database.
    """

    file: Path
    identities: Sequence[Any]
    data: Path
    reason: str = ""
    sha256: str | None = None
    export: Path | None = None
    replace: bool = False
    database: str | None = None
    password_file: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored. `lost`: kinds of events after the backup that gave something, and how many. `aside`: the old data."""

    manifest: Manifest
    rows: Mapping[str, int]
    epoch: Epoch
    replayed: Replayed
    lost: Mapping[str, int]
    aside: Path | None


async def restore(request: Request, clock: Clock, progress: Progress) -> Restored:
    """Restore a backup. Raises BackupError, SettingsError, UsageError, Conflict, ServerUnavailable; nothing is then changed."""
    digest = file_digest(request.file)
    if request.sha256 is not None and request.sha256.lower() != digest:
        raise BackupError(f"the file has the SHA-256 {digest}: it is not the one that was noted down", "backup_other_file")
    _make_directory(request.data)
    with InstanceLock.take(request.data):
        old = await _standing(request)
        work = request.data / WORK
        _remove(work)
        work.mkdir(mode=0o700)
        try:
            with opened(request.file) as source:
                unpacked = unpack(source, request.identities, work / DATABASE, progress)
            _check_fits(request, unpacked.manifest, old, clock)
            settings = wanted_settings(settings_of(unpacked), request)
            done = await _rebuild(request, unpacked, digest, work, clock)
            if not settings.database.embedded:
                await fill(settings.database, request.data, work / DATABASE)
                (work / DATABASE).unlink()
            _write_files(unpacked, settings, work)
            aside = _swap(request.data, work, unpacked.manifest, clock)
        except OSError as error:
            raise StorageUnavailable(f"{error.filename or request.data}: {error.strerror}", "backup_not_restored") from error
        finally:
            _remove(work)
    return Restored(unpacked.manifest, unpacked.summary.rows, *done, aside)


async def open_next(installation: Installation, clock: Clock, actor: str, reason: str) -> Epoch:
    """Open an epoch without a restore, for a promoted standby that lacked commits. Hold the instance lock.

    Raises Conflict while another node works on the database.
    """
    storage = await open_storage(installation.settings.database, installation.data)
    try:
        ring = await installation.unlock(storage)
        await check_alone(installation, storage, clock)
        await _check_clock(storage, clock)
        cause = {"why": "promotion", "reason": reason}
        return await open_epoch(storage, ring, clock, actor, cause, writer=installation.chain_writer())
    finally:
        await storage.close()


async def _check_clock(storage: Storage, clock: Clock) -> None:
    """Which codes are of before is told by the clock: by one that is behind, those of the time between would count again."""
    if not isinstance(storage, DatabaseClock):
        return
    differs_s = (to_ms(clock.now()) - await storage.clock_ms()) / 1000
    if abs(differs_s) > LARGEST_DIFFERENCE_S:
        raise Conflict(
            f"the clock of this machine differs from the database's by {differs_s:+.0f} s: set it right first (timedatectl)"
        )


# --- the directory -------------------------------------------------------------------------------------------------------


def _make_directory(data: Path) -> None:
    if data.is_symlink():
        raise SettingsError(f"{data} is a symbolic link: name the directory itself")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not data.is_dir():
        raise SettingsError(f"{data} is no directory")
    if (owner := data.stat().st_uid) != os.geteuid():
        raise SettingsError(f"{data} belongs to user id {owner}: run this as that user, or the server cannot open what it finds")


async def _standing(request: Request) -> str | None:
    """The id of the installation that stands there and is to be replaced, or None. Refuses what must not be touched."""
    data = request.data
    if (data / MARKER).exists():
        installation = Installation.open(data)
        if not request.replace:
            raise SettingsError(f"{data} holds an installation: name an empty directory, or --replace to put it aside")
        return await fact_of(installation, "id")
    # A restore that was cut while it moved things: they are put aside once more, as nobody can tell the old from the new.
    strangers = [entry.name for entry in data.iterdir() if entry.name not in (LOCK, WORK) and not entry.name.startswith(ASIDE)]
    if strangers and not (data / UNFINISHED).is_file():
        raise SettingsError(f"{data} is not empty ({min(strangers)} stands there): nothing was changed; name another directory")
    return None


def _check_fits(request: Request, manifest: Manifest, old: str | None, clock: Clock) -> None:
    if old is not None and old != manifest.installation_id:
        raise Conflict(f"the backup is of another installation than {request.data}: restore it into an empty directory")
    if clock.now() < manifest.created_at - MOST_CLOCK_DIFFERENCE:
        # Which codes are of before is told by the clock.
        raise Conflict(f"the clock stands at {clock.now():%Y-%m-%d %H:%M} UTC, before the backup was made: set it right first")


def _swap(data: Path, work: Path, manifest: Manifest, clock: Clock) -> Path | None:
    """Put aside what stands there, the marker first, move the new in, and mark it as whole, last."""
    if not (data / UNFINISHED).exists():
        write_private(data / UNFINISHED, b"")
    old = sorted((entry.name for entry in data.iterdir() if _is_old(entry.name)), key=lambda name: name != MARKER)
    aside = data / f"{ASIDE}{clock.now():%Y%m%dT%H%M%S%fZ}" if old else None
    if aside is not None:
        aside.mkdir(mode=0o700)
        for name in old:
            (data / name).rename(aside / name)
        sync_directory(aside)
    for entry in list(work.iterdir()):
        entry.rename(data / entry.name)
    data.chmod(stat.S_IRWXU)
    sync_directory(data)
    write_private(data / MARKER, json.dumps({"format": FORMAT, "kind": manifest.kind}).encode() + b"\n")
    (data / UNFINISHED).unlink()
    sync_directory(data)
    return aside


def _is_old(name: str) -> bool:
    return name not in (LOCK, WORK, UNFINISHED) and not name.startswith(ASIDE)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)


# --- what is built -------------------------------------------------------------------------------------------------------


async def _rebuild(
    request: Request, unpacked: Unpacked, digest: str, work: Path, clock: Clock
) -> tuple[Epoch, Replayed, Mapping[str, int]]:
    """Bring the database to this program's version and into a new epoch, and take away what was taken away since."""
    manifest = unpacked.manifest
    async with loaded(work) as storage:
        ring = await ring_of(storage, master_of(unpacked))
        export = Export()
        if request.export is not None:
            export = read_export(request.export, ring, unpacked.summary.heads)
            _check_behind_no_login(export, clock)
        cause = {
            "why": "restore",
            "reason": request.reason,
            "backup_sha256": digest,
            "backup_created_at": manifest.created_at.isoformat(),
            "installation_id": manifest.installation_id,
        }
        heads = export.told_heads() or list(unpacked.summary.heads)
        epoch = await open_epoch(storage, ring, clock, ACTOR, cause, heads, known_epoch=export.newest_epoch)
        replayed = await _replay(storage, ring, clock, export)
        if request.export is None:
            replayed.not_applied.extend(await _signing_again(storage, ring, clock))
    return epoch, replayed, dict(export.lost)


def _check_behind_no_login(export: Export, clock: Clock) -> None:
    """A clock that stands before a login of the export would let the code of that login count again."""
    latest = from_ms(export.granted_at_ms)
    if clock.now() < latest - MOST_CLOCK_DIFFERENCE:
        raise Conflict(
            f"the clock stands at {clock.now():%Y-%m-%d %H:%M} UTC, before a login of the audit export at {latest:%Y-%m-%d %H:%M}: "
            "set it right first"
        )


async def _replay(storage: Storage, ring: KeyRing, clock: Clock, export: Export) -> Replayed:
    hasher = PasswordHasher(threads=1, max_waiting=1)
    try:
        return await replay(Office(storage, ring, clock, hasher, ACTOR), export)
    finally:
        hasher.close()


async def _signing_again(storage: Storage, ring: KeyRing, clock: Clock) -> list[str]:
    """Our signing keys are those of the backup, whatever became of them since: only an export of the audit could say."""
    _, document = await load_current(storage)
    if not any(each.kind == "saml" for each in document.applications):
        return []
    keys, now_ms = await load_keys(storage, ring), to_ms(clock.now())
    signing = [key.name for kind in KeyKind if (key := keys.signing(kind, now_ms)) is not None]
    cure = "if another had taken its place since the backup, wardgate relying-party roll-key --notice 0 --stay 0"
    return [
        f"{name} signs for applications as on the day of the backup: {cure} --kind {name.partition('-')[0]}" for name in signing
    ]


def _write_files(unpacked: Unpacked, settings: StartSettings, work: Path) -> None:
    content = unpacked.files[SETTINGS] if settings == settings_of(unpacked) else render_settings(settings).encode()
    write_private(work / SETTINGS, content)
    for name in (MASTER_KEY, CERTIFICATE, CERTIFICATE_KEY):
        write_private(work / name, unpacked.files[name])


def wanted_settings(settings: StartSettings, request: Request) -> StartSettings:
    """The settings of the backup with every file in the data directory, as paths of another machine may mean something else here.

    Raises UsageError when nobody said where the database shall be, SettingsError for a URL that is none.
    """
    url = request.database
    if url is None and not settings.database.embedded:
        raise UsageError("the backup is of an installation on PostgreSQL: name an empty database, or --database sqlite:")
    if url is None or url.startswith(SQLITE):
        database = replace(settings.database, url=f"{SQLITE}{DATABASE}", password_file="")
    else:
        database = replace(settings.database, url=url, password_file=request.password_file)
    https, keys = HttpsListenerSettings(), KeySettings()
    wanted = replace(
        settings,
        database=database,
        keys=replace(settings.keys, file=keys.file),
        https=replace(settings.https, certificate=https.certificate, key=https.key),
    )
    return checked_settings(wanted, "wardgate restore")
