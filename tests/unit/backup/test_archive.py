"""The file: whole or refused, for those who have the key and nobody else."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pyrage
import pytest

from tests import neighbours
from wardgate.backup.archive import (
    ArchiveWriter,
    BackupError,
    HashingFile,
    check_recipients,
    new_identity,
    read_archive,
    read_identities,
    read_recipients,
)
from wardgate.errors import UsageError

MEMBERS = [("manifest.json", b"{}"), ("big", os.urandom(300_000)), ("empty", b""), ("summary.json", b"[1]")]


def key_file(folder: Path, identity: str) -> Path:
    path = folder / "key"
    path.write_text(f"# a comment\n\n{identity}\n")
    return path


@pytest.fixture
def identity() -> str:
    return new_identity()[0]


def recipient_of(identity: str) -> str:
    return str(pyrage.x25519.Identity.from_str(identity).to_public())


def written(*recipients: str) -> bytes:
    target = io.BytesIO()
    writer = ArchiveWriter(HashingFile(target), recipients)
    for name, content in MEMBERS:
        writer.add(name, content)
    writer.close()
    return target.getvalue()


def read(content: bytes, identity: str) -> list[tuple[str, bytes]]:
    return list(read_archive(io.BytesIO(content), [pyrage.x25519.Identity.from_str(identity)]))


def test_what_was_written_is_read_again(identity: str) -> None:
    assert read(written(recipient_of(identity)), identity) == MEMBERS


def test_every_recipient_can_read_it(identity: str) -> None:
    other, public = new_identity()
    content = written(recipient_of(identity), public)
    assert read(content, identity) == read(content, other) == MEMBERS


def test_a_backup_does_not_open_with_another_key(identity: str) -> None:
    with pytest.raises(BackupError, match="encrypted to other recipients") as caught:
        read(written(recipient_of(identity)), new_identity()[0])
    assert caught.value.code == "backup_wrong_key"


def test_nothing_of_it_stands_in_clear(identity: str) -> None:
    content = written(recipient_of(identity))
    assert b"manifest" not in content
    assert identity.encode() not in content


def test_a_truncated_backup_is_found_wherever_it_was_cut(identity: str) -> None:
    content = written(recipient_of(identity))
    for length in (0, 1, 30, 100, 250, 65_000, 65_752, 131_304, len(content) - 70_000, len(content) - 16, len(content) - 1):
        with pytest.raises(BackupError):
            read(content[:length], identity)


def test_a_flipped_bit_is_found_wherever_it_is(identity: str) -> None:
    content = written(recipient_of(identity))
    for place in [*range(0, 400, 7), *range(400, len(content), 9_973), len(content) - 1]:
        changed = bytearray(content)
        changed[place] ^= 4
        with pytest.raises(BackupError):
            read(bytes(changed), identity)


def test_bytes_behind_the_end_are_found(identity: str) -> None:
    content = written(recipient_of(identity))
    for more in (b"\0", content, os.urandom(100_000)):
        with pytest.raises(BackupError):
            read(content + more, identity)


def test_something_else_that_was_encrypted_to_the_key_is_no_backup(identity: str) -> None:
    public = pyrage.x25519.Recipient.from_str(recipient_of(identity))
    for plain in (b"", b"hello", os.urandom(100_000)):
        with pytest.raises(BackupError):
            read(pyrage.encrypt(plain, [public]), identity)


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE, tarfile.SYMTYPE]
)
def test_a_small_file_that_unpacks_to_gigabytes_fills_no_memory(identity: str, kind: bytes) -> None:
    """Anybody may encrypt to a public recipient, and such headers are read whole before anybody can look at them."""
    header = tarfile.TarInfo("manifest.json")
    header.type, header.size = kind, 2**33
    packed = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(64 * 2**20))
    content = pyrage.encrypt(packed, [pyrage.x25519.Recipient.from_str(recipient_of(identity))])
    tracemalloc.start()
    try:
        with pytest.raises(BackupError, match="no backup of ours"):
            read(content, identity)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_a_full_disk_ends_the_writing(identity: str) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    writer = ArchiveWriter(HashingFile(Full()), [recipient_of(identity)])
    with pytest.raises(OSError, match="No space left"):
        write_without_end(writer)
    writer.abandon()


def write_without_end(writer: ArchiveWriter) -> None:
    while True:
        writer.add("noise", os.urandom(200_000))


def test_without_a_recipient_nothing_is_written() -> None:
    target = io.BytesIO()
    with pytest.raises(UsageError, match="backup key"):
        ArchiveWriter(HashingFile(target), [])
    assert target.getvalue() == b""


def test_keys_are_read_from_files_and_checked(tmp_path: Path, identity: str) -> None:
    public = recipient_of(identity)
    assert [str(each) for each in read_identities(key_file(tmp_path, identity))] == [identity]
    assert read_recipients(key_file(tmp_path, public)) == [public]
    assert check_recipients([public, f" {public}"]) == [public]
    for bad in ("", "age1zzz", public[:-1]):
        with pytest.raises(UsageError):
            check_recipients([bad])
    for bad in ("", "AGE-SECRET-KEY-1QQ", public, "ß"):
        with pytest.raises(UsageError):
            read_identities(key_file(tmp_path, bad))


@pytest.mark.neighbour("age")
def test_age_itself_opens_what_we_wrote_and_we_open_what_it_encrypted(tmp_path: Path) -> None:
    key, keygen = tmp_path / "age.key", shutil.which("age-keygen") or ""
    subprocess.run([keygen, "-o", key], check=True, capture_output=True, timeout=30)
    public = subprocess.run([keygen, "-y", key], check=True, capture_output=True, timeout=30, text=True).stdout.strip()
    ours = tmp_path / "ours.age"
    ours.write_bytes(written(public))
    age = neighbours.executable("age")
    plain = subprocess.run([age, "-d", "-i", key, ours], check=True, capture_output=True, timeout=30).stdout
    listed = subprocess.run(["tar", "tz"], input=plain, check=True, capture_output=True, timeout=30).stdout.decode().split()
    assert listed == [name for name, _ in MEMBERS]

    theirs = subprocess.run([age, "-r", public], input=plain, check=True, capture_output=True, timeout=30).stdout
    assert list(read_archive(io.BytesIO(theirs), read_identities(key))) == MEMBERS
