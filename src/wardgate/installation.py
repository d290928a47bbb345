"""One installation: its data directory, marker, key file, instance lock, and the way to its opened storage.

wardgate-installation   the marker; written last, so that a half-made directory is never taken for a whole one
wardgate.toml           what the start needs
wardgate.db             everything else
master.key              the key-encryption key
tls/                    certificate and key of the HTTPS listener
node                    what tells this machine from others of its name on one database
instance.lock           held by the server's processes, or by a command while none runs
writer.sock             while a server runs: how its workers reach the process that writes the SQLite file
"""

import base64
import binascii
import fcntl
import json
import os
import platform
import pwd
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from wardgate.clock import Clock, to_ms
from wardgate.crypto import KEY_BYTES, MAC_ROOT, KeyRing, Secret, new_id, new_key, unwrap_key, wrap_key
from wardgate.errors import ServerUnavailable, SettingsError
from wardgate.settings import (
    FILE_NAME,
    StartSettings,
    demo_settings,
    read_settings,
    render_settings,
)
from wardgate.storage.backends import in_use, open_storage, sqlite_path
from wardgate.storage.port import ChainLink, Committed, Insert, Operation, Reader, Storage
from wardgate.storage.settings import without_password

MARKER: Final = "wardgate-installation"
UNFINISHED: Final = "wardgate-installation.part"
LOCK: Final = "instance.lock"
NODE: Final = "node"
WRITER_SOCKET: Final = "writer.sock"
FORMAT: Final = 1
CHAIN_WRITER: Final = "server"
# Beside the number of the epoch: when it was opened, in milliseconds; not there in the first one.
EPOCH_OPENED_AT: Final = "epoch_opened_at"
FIRST_EPOCH: Final = 1
LOCK_RETRY_S: Final = 0.05
# A command without a server, or a server that stops, may hold the lock for a moment.
LOCK_WAIT_S: Final = 5.0
MAX_MARKER_BYTES: Final = 4_096
NODE_OCTETS: Final = 4
MAX_NODE_CHARS: Final = 64
# What creation makes; a creation that was cut short is begun anew after removing these and nothing else.
_OURS: Final = (FILE_NAME, "wardgate.db", "wardgate.db-wal", "wardgate.db-shm", "master.key", "tls", NODE, UNFINISHED)

# Why no installation is made in a database, by whether it is a SQLite file, and what to do.
_TAKEN: Final = {
    True: "exists already: name another file, or move it away",
    False: (
        "holds an installation already: name an empty database; to set up one more node of that installation, copy "
        "wardgate-installation, wardgate.toml, the key file and tls/ from a node that runs (the operator guide: A second node)"
    ),
}


@dataclass(frozen=True, slots=True)
class Installation:
    """A whole installation on disk. Nothing of it is open."""

    data: Path
    demo: bool
    settings: StartSettings

    @property
    def key_file(self) -> Path:
        """The file with the key-encryption key."""
        return self.data / self.settings.keys.file

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return sqlite_path(self.settings.database, self.data)

    @property
    def database_name(self) -> str:
        """The database for people: the SQLite file, or the URL without a password."""
        settings = self.settings.database
        return str(self.database) if settings.embedded else without_password(settings.url)

    @property
    def certificate(self) -> Path:
        """PEM file with the certificate of the HTTPS listener."""
        return self.data / self.settings.https.certificate

    @property
    def certificate_key(self) -> Path:
        """PEM file with its private key."""
        return self.data / self.settings.https.key

    @classmethod
    def open(cls, data: Path) -> "Installation":
        """What stands in `data`. Raises SettingsError with the cure when it is not a whole installation of this user."""
        kind = _marker(data)
        if kind is None:
            raise SettingsError(f"{data} holds no installation: wardgate init --data {data} makes one")
        _own(data)
        return cls(data, kind == "demo", read_settings(data / FILE_NAME))

    @classmethod
    async def create(
        cls, data: Path, demo: bool, clock: Clock, settings: StartSettings | None = None, fresh: bool = False
    ) -> "Installation":
        """Make an installation: keys, database, first document, certificate. The marker is written last.

        With `fresh`, an installation of the same kind that stands there is deleted first. A directory without our marker never
        is, and no demo takes the place of a production installation, whose keys and users nobody could bring back.
        Raises SettingsError when the directory holds anything else, ServerUnavailable when a server runs on it.
        """
        wanted = cls(data, demo, settings or (demo_settings() if demo else StartSettings()))
        with _prepared(data, "demo" if demo else "production", fresh):
            _write_private(data / UNFINISHED, b"")
            _write_private(data / FILE_NAME, render_settings(wanted.settings).encode())
            wanted._make_certificate(clock)
            await wanted._make_database(clock)
            marker = {"format": FORMAT, "kind": "demo" if demo else "production"}
            _write_private(data / MARKER, json.dumps(marker).encode() + b"\n")
            (data / UNFINISHED).unlink()
            _sync_directory(data)
        return wanted

    def lock(self, wait_s: float = LOCK_WAIT_S) -> "InstanceLock":
        """The instance lock, taken. Raises ServerUnavailable, naming who holds it, when it is not free within `wait_s`."""
        return InstanceLock.take(self.data, wait_s)

    def master_key(self) -> Secret:
        """The key-encryption key. Refuses a file that others can read."""
        return read_master_key(self.key_file)

    async def unlock(self, storage: Reader) -> KeyRing:
        """The data keys of this database, opened. Raises SealError when the key file does not belong to it."""
        master = self.master_key()
        rows = await storage.find("data_key", order_by="number")
        if len(rows) < 2:
            raise SettingsError(f"{self.database_name} holds no data keys: it is not the database of this installation")
        numbers = {int(row["number"] or 0): bytes(row["wrapped"]) for row in rows if isinstance(row["wrapped"], bytes)}
        return KeyRing({number: unwrap_key(master, number, wrapped) for number, wrapped in numbers.items()})

    def node_id(self) -> str:
        """What tells this machine from every other one: its name, and eight digits, because names are given twice.

        Made at the first use, under the instance lock. A copy of the data directory is the same node: two must not run at once.
        """
        path = self.data / NODE
        try:
            digits = path.read_text(encoding="ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            digits = ""
        if len(digits) != 2 * NODE_OCTETS or not set(digits) <= set("0123456789abcdef"):
            digits = secrets.token_hex(NODE_OCTETS)
            _write_private(path, digits.encode() + b"\n")
        name = self.settings.server.node or platform.node() or "node"
        plain = "".join(char if char.isascii() and (char.isalnum() or char in "-._") else "-" for char in name)
        return f"{plain[:MAX_NODE_CHARS]}-{digits}"

    def chain_writer(self, slot: int | None = None) -> str:
        """The audit chain of a worker, or of a command. A SQLite file has one writer at a time and one chain."""
        if self.settings.database.embedded:
            return CHAIN_WRITER
        return f"{self.node_id()}.{'command' if slot is None else slot}"

    async def chain(self, slot: int | None = None) -> ChainLink:
        """The key of an audit chain, for who writes it in another process. Makes or upgrades the database first as needed."""
        from wardgate.audit.trail import chain_for

        storage = await self._open_storage()
        try:
            return chain_for(await self.unlock(storage), self.chain_writer(slot), await _epoch(storage))
        finally:
            await storage.close()

    async def connect(self, slot: int | None = None, writer_socket: Path | None = None) -> "Opened":
        """Open the database, unlock its keys and take up the audit chain. Hold the instance lock while it is open.

        `slot`: of the worker that asks; None for a command. `writer_socket`: where the process that writes the SQLite file is
        asked; None to write it here.
        """
        from wardgate.audit.trail import chain_for

        storage = await self._open_storage(writer_socket)
        try:
            ring = await self.unlock(storage)
            epoch = await _epoch(storage)
            storage.use_chain(chain_for(ring, self.chain_writer(slot), epoch))
            row = await storage.get("installation", {"name": "epoch_id"})
        except BaseException:
            await storage.close()
            raise
        # A restore gives its epoch a name of its own, as two restores of one backup have the same number.
        return Opened(self, storage, RingHolder(ring), epoch, str(row["value"]) if row is not None else str(epoch))

    async def _open_storage(self, writer_socket: Path | None = None) -> Storage:
        # An empty file made in the place of one that is gone would look like the wrong key, and hide the loss.
        if self.settings.database.embedded and not self.database.exists():
            raise SettingsError(f"the database {self.database} is missing: put it back, or restore a backup with wardgate restore")
        if writer_socket is None:
            return await open_storage(self.settings.database, self.data)
        from wardgate.storage.sqlite_client import SqliteClientStorage

        return await SqliteClientStorage.connect(self.database, writer_socket)

    def _make_certificate(self, clock: Clock) -> None:
        from wardgate.certificates import self_signed

        if self.certificate.exists() and self.certificate_key.exists():
            return
        certificate, key = self_signed(clock.now())
        for path, content in ((self.certificate, certificate), (self.certificate_key, key)):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_private(path, content)

    async def _make_database(self, clock: Clock) -> None:
        from wardgate.audit.trail import chain_for
        from wardgate.config.store import first_document, save

        if await in_use(self.settings.database, self.data):
            raise SettingsError(f"{self.database_name} {_TAKEN[self.settings.database.embedded]}")
        if not self.key_file.exists():
            self.key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_private(self.key_file, base64.b64encode(new_key().reveal()) + b"\n")
        master, keys, now_ms = self.master_key(), {MAC_ROOT: new_key(), 1: new_key()}, to_ms(clock.now())
        operations: list[Operation] = [
            Insert("data_key", {"number": number, "wrapped": wrap_key(master, number, key), "created_at": now_ms})
            for number, key in keys.items()
        ]
        facts = {"id": new_id(), "epoch": str(FIRST_EPOCH), "created_at": str(now_ms)}
        operations += [Insert("installation", {"name": name, "value": value}) for name, value in facts.items()]
        storage = await open_storage(self.settings.database, self.data)
        try:
            if not isinstance(await storage.commit(operations), Committed):
                raise SettingsError(f"{self.database_name} {_TAKEN[self.settings.database.embedded]}")
            ring = KeyRing(keys)
            storage.use_chain(chain_for(ring, self.chain_writer(), FIRST_EPOCH))
            await save(storage, first_document(self.demo), "wardgate init", "first document", 0, clock, ring)
        finally:
            await storage.close()


class RingHolder:
    """The present key ring, for everybody who keeps one for long: call it each time. A key rotation replaces the ring."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def __call__(self) -> KeyRing:
        """The present ring."""
        return self._ring

    def replace(self, ring: KeyRing) -> None:
        """From now on, this ring."""
        self._ring = ring


@dataclass(frozen=True, slots=True)
class Opened:
    """An installation with its storage open and its keys in memory."""

    installation: Installation
    storage: Storage
    rings: RingHolder
    epoch: int
    epoch_id: str

    async def reload_keys(self) -> None:
        """Take up the data keys that storage holds now."""
        self.rings.replace(await self.installation.unlock(self.storage))


# --- the instance lock -------------------------------------------------------------------------------------------------


class InstanceLock:
    """Held by the one process that may write: the server, or a command while no server runs. Ends with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, data: Path, wait_s: float = 0.0) -> "InstanceLock":
        """Take the lock of a data directory. Raises ServerUnavailable when somebody else keeps it for `wait_s`."""
        deadline = time.monotonic() + wait_s
        descriptor = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(descriptor):
                if time.monotonic() >= deadline:
                    raise _held(data, descriptor)
                time.sleep(LOCK_RETRY_S)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Let go. The file stays: removing it would let two processes hold two locks of one name."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "InstanceLock":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _held(data: Path, descriptor: int) -> ServerUnavailable:
    pid = os.pread(descriptor, 32, 0).strip().decode("ascii", "replace")
    who = f"process {pid}" if pid.isdecimal() else "another process"
    return ServerUnavailable(f"{who} holds {data}: stop it, or use another --data directory", "instance_locked")


# --- the directory -----------------------------------------------------------------------------------------------------


@contextmanager
def _prepared(data: Path, wanted: str, fresh: bool) -> Iterator[None]:
    """An empty directory of ours (but for the lock, which is held)."""
    if data.is_symlink():
        raise SettingsError(f"{data} is a symbolic link: name the directory itself")
    if not data.exists():
        data.mkdir(mode=0o700, parents=True)
    _own(data)
    kind = _marker(data)
    known = kind is not None
    if known and not fresh:
        raise SettingsError(f"{data} holds an installation already: wardgate serve --data {data} starts it")
    if known and kind != wanted:
        raise SettingsError(f"{data} holds a {kind} installation: nothing was changed; name another directory for a {wanted} one")
    unfinished = (data / UNFINISHED).is_file()
    if not known and not unfinished and (strangers := _strangers(data)):
        raise SettingsError(f"{data} is not ours and not empty ({strangers[0]} stands there): nothing was changed; name another")
    with InstanceLock.take(data):
        data.chmod(0o700)
        _clear(data, everything=known)
        yield


def _strangers(data: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(data) if entry.name != LOCK)


def _clear(data: Path, everything: bool) -> None:
    """Empty the directory; the marker goes last, so that what is left after a cut is still known as ours."""
    kept = (LOCK, MARKER)
    for name in [name for name in os.listdir(data) if everything or name in _OURS]:
        if name not in kept:
            _remove(data / name)
    (data / MARKER).unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _marker(data: Path) -> str | None:
    """The kind of installation that the marker names, or None when there is none. Refuses a format that is newer than ours."""
    try:
        with (data / MARKER).open("rb") as file:
            content = json.loads(file.read(MAX_MARKER_BYTES))
        number, kind = content["format"], content["kind"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(f"{data / MARKER}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        return None
    if number != FORMAT:
        raise SettingsError(f"{data} was made by another release (format {number!r}; this one knows {FORMAT}): use that release")
    return str(kind)


def _own(data: Path) -> None:
    """A command run as another user would leave files that the server cannot open."""
    owner = data.stat().st_uid
    if owner != os.geteuid():
        raise SettingsError(f"{data} belongs to {_user_name(owner)}: run this as that user (sudo -u {_user_name(owner)} ...)")


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


# --- files -------------------------------------------------------------------------------------------------------------


def read_master_key(path: Path) -> Secret:
    """The key in a key file. Raises SettingsError when it is missing, damaged, or readable by anybody but its owner."""
    try:
        with path.open("rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read(1024)
    except OSError as error:
        raise SettingsError(
            f"the key file {path} cannot be read ({error.strerror}): restore it; without it no secret of this database opens"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(f"the key file {path} can be read by others (mode {stat.S_IMODE(mode):o}): chmod 600 {path}")
    try:
        key = base64.b64decode(content.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettingsError(f"the key file {path} is damaged: it must hold one line of base64") from error
    if len(key) != KEY_BYTES:
        raise SettingsError(f"the key file {path} is damaged: it must hold {KEY_BYTES} bytes as base64")
    return Secret(key)


def _write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 that is there whole or not at all, and durable."""
    part = path.with_name(path.name + ".new")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _epoch(storage: Storage) -> int:
    row = await storage.get("installation", {"name": "epoch"})
    if row is None:
        raise SettingsError("the database names no epoch: it is not the database of an installation")
    return int(str(row["value"]))
