"""The file: a tar archive, compressed by gzip, encrypted as an age file to one or more X25519 recipients.

    manifest.json             what it is, of which installation and epoch, the tables and their columns
    wardgate.toml  master.key  tls/cert.pem  tls/key.pem
    tables/NAME/000001.jsonl  about a MiB of rows each, a JSON array per row (`rows.py`)
    summary.json              how many rows, SHA-256 of every table and file, audit heads; last, so that it proves the rest

`age -d -i KEY FILE | tar tz` lists one without us. age seals each 64 KiB and the end: no byte can be changed, added or cut off
unseen. That it is from us it cannot tell, as anybody may encrypt to a public recipient: that is what its SHA-256 in the audit
trail is for. Everything is streamed: no step holds more than a few members in memory.
"""

import contextlib
import gzip
import hashlib
import os
import tarfile
import threading
import zlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Self

import pyrage

from wardgate.errors import UsageError, WardgateError

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
SUMMARY: Final = "summary.json"
SETTINGS: Final = "wardgate.toml"
MASTER_KEY: Final = "master.key"
CERTIFICATE: Final = "tls/cert.pem"
CERTIFICATE_KEY: Final = "tls/key.pem"
FILES: Final = (SETTINGS, MASTER_KEY, CERTIFICATE, CERTIFICATE_KEY)
MAX_MEMBER_BYTES: Final = 64 * 2**20
MAX_KEY_FILE_BYTES: Final = 64 * 1024
MAX_RECIPIENTS: Final = 20
_BLOCK: Final = 512
_PIPE_BYTES: Final = 64 * 1024
# Most of a backup is sealed or hashed and does not shrink; a higher level costs three times the time for a twentieth.
_LEVEL: Final = 1


class BackupError(WardgateError):
    """The file is no whole backup of ours, or does not open with this key."""

    code = "backup_damaged"


# --- keys ---------------------------------------------------------------------------------------------------------------


def new_identity() -> tuple[str, str]:
    """A fresh key pair: the identity (secret) and its recipient (public)."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def check_recipients(texts: Sequence[str]) -> list[str]:
    """Recipients without doubles. Raises UsageError for what is none: a backup that nobody can open is none."""
    wanted = list(dict.fromkeys(text.strip() for text in texts))
    if len(wanted) > MAX_RECIPIENTS:
        raise UsageError(f"at most {MAX_RECIPIENTS} recipients")
    for text in wanted:
        try:
            pyrage.x25519.Recipient.from_str(text)
        except pyrage.RecipientError as error:
            raise UsageError(f"{text[:80]!r} is no recipient: an age X25519 recipient begins with age1") from error
    return wanted


def read_recipients(path: Path) -> list[str]:
    """The recipients in a file: one a line, `#` begins a comment."""
    return check_recipients(_key_lines(path))


def read_identities(path: Path) -> "list[pyrage.x25519.Identity]":
    """The identities in a key file as `wardgate backup key` or `age-keygen` print it."""
    try:
        identities = [pyrage.x25519.Identity.from_str(line) for line in _key_lines(path)]
    except pyrage.IdentityError as error:
        raise UsageError(f"{path}: a line is no age identity; each begins with AGE-SECRET-KEY-1") from error
    if not identities:
        raise UsageError(f"{path} holds no age identity; the line begins with AGE-SECRET-KEY-1")
    return identities


def _key_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE_BYTES + 1)
        lines = content.decode("ascii").splitlines()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not a file of age keys") from None
    if len(content) > MAX_KEY_FILE_BYTES:
        raise UsageError(f"{path}: larger than {MAX_KEY_FILE_BYTES} bytes")
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


# --- writing ------------------------------------------------------------------------------------------------------------


class HashingFile:
    """A file that is written once from its beginning, and whose digest is known at the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of it."""
        try:
            self._file.write(data)
        except OSError as error:
            self.failure = error
            raise
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Hand on what is buffered."""
        self._file.flush()

    @property
    def sha256(self) -> str:
        """Of everything so far, in hexadecimal digits."""
        return self._digest.hexdigest()


class _Pump:
    """age's functions run until their source ends: one runs in a thread of its own, with a pipe to us.

    When it ends, by a fault too, its end of the pipe is closed, which whoever waits at the other end finds out.
    """

    def __init__(self, end: BinaryIO, work: Callable[[], None]) -> None:
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(end, work), name="age", daemon=True)
        self._thread.start()

    def _run(self, end: BinaryIO, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that waits for it
            self._failure = error
        # What is left in its buffer has nowhere to go when the other end is closed already.
        with contextlib.suppress(OSError):
            end.close()

    def join(self) -> BaseException | None:
        """Wait for its end; why it failed, or None."""
        self._thread.join()
        return self._failure


class ArchiveWriter:
    """Adds members one after another; everything is on its way to `target` at once. `close` makes the archive whole."""

    def __init__(self, target: HashingFile, recipients: Sequence[str]) -> None:
        keys = [pyrage.x25519.Recipient.from_str(text) for text in recipients]
        if not keys:
            raise UsageError("a backup needs a recipient: wardgate backup key makes one")
        out, into = os.pipe()
        source = os.fdopen(out, "rb", _PIPE_BYTES)
        self._target = target
        self._pipe = os.fdopen(into, "wb", 0)
        self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        self._pump = _Pump(source, lambda: pyrage.encrypt_io(source, target, keys))
        self._open = True

    def add(self, name: str, content: bytes) -> None:
        """Add a member. Raises OSError when the target cannot take it."""
        header = tarfile.TarInfo(name)
        header.size, header.mode = len(content), 0o600
        self._write(header.tobuf(tarfile.USTAR_FORMAT))
        self._write(content)
        self._write(bytes(-len(content) % _BLOCK))

    def close(self) -> None:
        """Write the end. Raises OSError."""
        self._write(bytes(2 * _BLOCK))
        self._send(self._gzip.flush())
        self._end()

    def abandon(self) -> None:
        """Stop; what was written is no backup."""
        if self._open:
            # The end of the archive and of age's stream are missing in what `target` got, if not its bytes: the caller deletes it.
            with contextlib.suppress(OSError):
                self._end()

    def _write(self, data: bytes) -> None:
        self._send(self._gzip.compress(data))

    def _send(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[self._pipe.write(view) :]
        except BrokenPipeError:
            self._end()
            raise

    def _end(self) -> None:
        self._open = False
        self._pipe.close()
        failure = self._pump.join()
        if isinstance(failure, OSError):
            raise failure
        if failure is not None:
            # age tells a failing target by its text alone.
            raise self._target.failure or OSError(str(failure))


# --- reading ------------------------------------------------------------------------------------------------------------


def read_archive(source: BinaryIO, identities: "Sequence[pyrage.x25519.Identity]") -> Generator[tuple[str, bytes], None, None]:
    """Every member in order. Raises BackupError as soon as the file proves not to be whole: it may be after the last member."""
    out, into = os.pipe()
    target = os.fdopen(into, "wb", _PIPE_BYTES)
    pump = _Pump(target, lambda: pyrage.decrypt_io(source, target, list(identities)))
    pipe = os.fdopen(out, "rb", _PIPE_BYTES)
    problem: Exception | None = None
    try:
        with gzip.GzipFile(fileobj=pipe) as plain, tarfile.open(fileobj=plain, mode="r|", tarinfo=_PlainMember) as archive:
            for member in archive:
                yield _member(archive, member)
            # To the very end, which is where age and gzip tell whether everything was as it had been written.
            while plain.read(_PIPE_BYTES):
                pass
        while pipe.read(_PIPE_BYTES):
            pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        problem = error
    finally:
        pipe.close()
        failure = pump.join()
    if failure is not None and not isinstance(failure, BrokenPipeError):
        raise _refusal(failure) from failure
    if problem is not None:
        raise BackupError(f"what was encrypted is no archive of ours: {problem}") from problem


class _PlainMember(tarfile.TarInfo):
    """A header that is followed by a file. Long names and the like are read whole by `tarfile`, however much they say they are."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The header in a block. Raises BackupError."""
        member = super().frombuf(buf, encoding, errors)
        if member.type != tarfile.REGTYPE or member.size > MAX_MEMBER_BYTES:
            raise BackupError(f"the archive holds {member.name[:80]!r}, which no backup of ours does")
        return member


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[str, bytes]:
    content = archive.extractfile(member)
    if content is None:
        raise BackupError(f"the archive holds {member.name[:80]!r}, which no backup of ours does")
    return member.name, content.read()


def _refusal(failure: BaseException) -> WardgateError:
    text = str(failure)
    if "No matching keys" in text:
        return BackupError("this identity does not open the backup: it was encrypted to other recipients", "backup_wrong_key")
    if "truncated" in text or "fill whole buffer" in text or "Incomplete" in text:
        return BackupError("the file ends too early: it is a part of a backup, from a copy or a run that was cut short")
    return BackupError(f"the file was changed or is no age file ({text})")
