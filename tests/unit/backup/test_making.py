"""Making and verifying backups: all of it, encrypted, whole or not there, and every fault of what was backed up is told."""

import asyncio
import json
import os
import resource
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.backup.conftest import Plant, at_work, silent
from wardgate.admin import users
from wardgate.backup import making
from wardgate.backup.archive import BackupError, read_archive, read_identities
from wardgate.backup.making import make_file
from wardgate.backup.verifying import Verified, verify_backup
from wardgate.errors import AlreadyExists, SealError, SettingsError, StorageUnavailable, UsageError
from wardgate.installation import Installation
from wardgate.storage import migrations
from wardgate.storage.schema import metadata


async def verified(plant: Plant, file: Path, sha256: str | None = None) -> Verified:
    return await verify_backup(file, read_identities(plant.key_file), sha256, silent)


async def test_a_backup_holds_every_table_and_file_and_proves_itself(plant: Plant) -> None:
    file, made = await plant.back_up()
    result = await verified(plant, file, made.sha256)
    assert result.findings == ()
    assert result.unpacked.manifest == made.manifest
    assert set(result.unpacked.summary.rows) == set(metadata.tables)
    assert result.unpacked.summary.rows["local_user"] == 3
    assert result.unpacked.manifest.schema_version == migrations.LATEST
    assert result.unpacked.files["master.key"] == (plant.data / "master.key").read_bytes()
    assert result.unpacked.files["tls/key.pem"] == (plant.data / "tls/key.pem").read_bytes()
    assert result.secrets >= 3
    assert result.events == made.summary.rows["audit_event"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_size == made.size


async def test_a_backup_shows_neither_names_nor_keys(plant: Plant) -> None:
    file, _ = await plant.back_up()
    content = file.read_bytes()
    for word in (b"ada", b"master", b"PRIVATE", (plant.data / "master.key").read_bytes().strip()):
        assert word not in content


async def test_verifying_leaves_nothing_behind(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = await plant.back_up()
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    await verified(plant, file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BackupError):
        await verified(plant, file)
    assert list(room.iterdir()) == []


async def test_a_backup_is_one_moment_although_others_write(plant: Plant) -> None:
    """Rows that are committed while it is made are in none of the tables, so that none refers to what is not there."""
    file = plant.data.parent / "moment.age"
    async with at_work(plant.data, plant.clock) as (office, _):
        seen = 0

        def meanwhile(done: int, word: str) -> None:
            nonlocal seen
            seen += 1
            work = asyncio.run_coroutine_threadsafe(users.add_user(office, directory="local", name=f"late{seen}"), loop)
            work.result(30)

        loop = asyncio.get_running_loop()
        installation = Installation.open(plant.data)

        def make() -> None:
            asyncio.run(make_file(installation, file, [plant.recipient], plant.clock, meanwhile))

        await asyncio.to_thread(make)
        assert seen > 3
        assert len(await office.storage.find("local_user")) == 3 + seen
    result = await verified(plant, file)
    assert result.unpacked.summary.rows["local_user"] == 3
    assert result.findings == ()


async def test_an_existing_file_is_never_replaced(plant: Plant) -> None:
    file, _ = await plant.back_up()
    before = file.read_bytes()
    with pytest.raises(AlreadyExists):
        await plant.back_up()
    part = file.with_name("other.age.part")
    part.write_bytes(b"somebody else's")
    with pytest.raises(AlreadyExists, match="cut short"):
        await plant.back_up("other.age")
    assert part.read_bytes() == b"somebody else's"
    assert file.read_bytes() == before


async def test_in_a_directory_it_gets_a_name_with_the_time(plant: Plant) -> None:
    folder = plant.data.parent / "backups"
    folder.mkdir()
    path, _ = await make_file(Installation.open(plant.data), folder, [plant.recipient], plant.clock, silent)
    assert path == folder / "wardgate-20260105T080000Z.age"
    assert list(folder.iterdir()) == [path]


async def test_a_place_that_cannot_be_written_is_told(plant: Plant) -> None:
    with pytest.raises(UsageError, match="cannot be made"):
        await plant.back_up("missing/backup.age")


def test_a_full_disk_leaves_no_file_that_looks_like_a_backup(plant: Plant) -> None:
    """The limit of a file's size stands for the full disk: writing fails in the middle."""
    code = (
        "import asyncio, resource, signal, sys; from pathlib import Path\n"
        "from wardgate.backup.making import make_file; from wardgate.clock import SystemClock\n"
        "from wardgate.installation import Installation; from wardgate.errors import StorageUnavailable\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))\n"
        "installation = Installation.open(Path(sys.argv[1]))\n"
        "try: asyncio.run(make_file(installation, Path(sys.argv[2]), [sys.argv[3]], SystemClock(), lambda done, word: None))\n"
        "except StorageUnavailable as error: print(error.code)\n"
    )
    target = plant.data.parent / "full" / "backup.age"
    target.parent.mkdir()
    # SQLite's shared memory has to be there already: it is larger than the limit.
    keep = sqlite3.connect(plant.data / "wardgate.db")
    keep.execute("SELECT count(*) FROM audit_event").fetchone()
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code, str(plant.data), str(target), plant.recipient],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": "src"},
        )
    finally:
        keep.close()
    assert ran.stdout.strip() == "backup_not_written", ran.stderr
    assert list(target.parent.iterdir()) == []


async def test_a_key_file_that_does_not_fit_is_found_when_the_backup_is_made(plant: Plant) -> None:
    other = plant.data.parent / "other"
    await Installation.create(other, False, plant.clock)
    (plant.data / "master.key").write_bytes((other / "master.key").read_bytes())
    with pytest.raises(SealError):
        await plant.back_up()
    assert not list(plant.data.parent.glob("*.age*"))


async def test_a_database_that_is_gone_is_told(plant: Plant) -> None:
    (plant.data / "wardgate.db").unlink()
    with pytest.raises(StorageUnavailable, match="no database"):
        await plant.back_up()


async def test_a_forged_backup_is_not_the_one_that_was_noted(plant: Plant) -> None:
    """Anybody can encrypt to the public recipient: the digest in the audit trail is what tells."""
    _, made = await plant.back_up()
    forged, _ = await plant.back_up("forged.age")
    with pytest.raises(BackupError) as caught:
        await verified(plant, forged, made.sha256)
    assert caught.value.code == "backup_other_file"


async def test_a_secret_that_was_changed_in_the_database_is_a_finding(plant: Plant) -> None:
    change(plant, "UPDATE authenticator SET sealed = zeroblob(64) WHERE kind = 'hotp' AND state = 'active'")
    result = await verified(plant, (await plant.back_up())[0])
    assert any("sealed values of authenticator" in finding for finding in result.findings)


async def test_an_audit_event_that_was_changed_in_the_database_is_a_finding(plant: Plant) -> None:
    change(plant, "UPDATE audit_event SET kind = 'engine:login:denied' WHERE seq = 2")
    result = await verified(plant, (await plant.back_up())[0])
    assert any("audit event 2" in finding for finding in result.findings)


def change(plant: Plant, statement: str) -> None:
    connection = sqlite3.connect(plant.data / "wardgate.db")
    with connection:
        connection.execute(statement)
    connection.close()


async def test_rows_that_are_not_what_the_summary_says_are_refused(plant: Plant) -> None:
    """Whoever can encrypt to the recipient rewrites a table, but not the summary with it."""
    file, _ = await plant.back_up()
    for victim, replacement in (
        ("tables/local_user/000001.jsonl", lambda content: content.splitlines(keepends=True)[0]),
        ("wardgate.toml", lambda content: content + b"\n"),
        ("master.key", lambda content: content.swapcase()),
    ):
        forged = rewritten(plant, file, victim, replacement)
        with pytest.raises(BackupError):
            await verified(plant, forged)


async def test_members_that_no_backup_of_ours_has_are_refused(plant: Plant) -> None:
    file, _ = await plant.back_up()
    for name in ("../../etc/cron.d/evil", "tables/local_user/000003.jsonl", "tables/sqlite_master/000001.jsonl", "wardgate.toml"):
        forged = rewritten(plant, file, "summary.json", lambda content: content, first=(name, b""))
        with pytest.raises(BackupError):
            await verified(plant, forged)


async def test_rows_that_do_not_fit_their_table_are_refused(plant: Plant) -> None:
    file, _ = await plant.back_up()
    for line in (b"[]", b"{}", b"nonsense", b'["a",1]', b'["id",null]', b'["id","twice"]\n["id","twice"]', b'["id","a","b"]'):
        forged = rewritten(plant, file, "tables/installation/000001.jsonl", lambda content, line=line: line + b"\n")
        with pytest.raises(BackupError):
            await verified(plant, forged)


async def test_a_backup_of_a_newer_release_is_refused(plant: Plant) -> None:
    file, _ = await plant.back_up()

    def newer(content: bytes) -> bytes:
        return json.dumps({**json.loads(content), "schema_version": migrations.LATEST + 1}).encode()

    with pytest.raises(SettingsError, match="newer program"):
        await verified(plant, rewritten(plant, file, "manifest.json", newer))


def rewritten(plant: Plant, file: Path, name: str, change: object, first: tuple[str, bytes] | None = None) -> Path:
    """The same backup with one member changed, or another one before it, as somebody with the recipient could make it."""
    forged = file.with_name(f"forged-{len(list(file.parent.glob('forged-*')))}.age")
    with file.open("rb") as source, forged.open("wb") as target:
        writer = making.ArchiveWriter(making.HashingFile(target), [plant.recipient])
        for member, content in read_archive(source, read_identities(plant.key_file)):
            if member == name and first is not None:
                writer.add(*first)
            writer.add(member, change(content) if member == name else content)  # type: ignore[operator]
        writer.close()
    return forged


async def test_memory_does_not_grow_with_the_database(plant: Plant) -> None:
    """A table many times larger than a chunk, and a limit that the whole table would break."""
    rows = 60_000
    connection = sqlite3.connect(plant.data / "wardgate.db")
    with connection:
        connection.executemany(
            "INSERT INTO timeline (id, reference, door, result, body, created_at) VALUES (?, 'R', 'radius', 'denied', ?, 1)",
            ((f"{number:032}", os.urandom(1_000).hex()) for number in range(rows)),
        )
    connection.close()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file, made = await plant.back_up()
    result = await verified(plant, file)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert made.summary.rows["timeline"] == rows
    assert result.findings == ()
    assert grown_kib < 100 * 1024, f"{rows * 2} KB of rows took {grown_kib} KiB"


async def test_a_backup_before_an_upgrade_takes_the_tables_as_they_are(plant: Plant) -> None:
    newer = ("lease", "audit_head", "local_password_history", "known_name", "contact")
    newer += ("hand_over", "demand", "trusted_device", "habit", "sending", "kba_answer", "kba_state", "kba_round")
    newer += ("page_step", "self_service", "sso_session", "mail_link")
    newer += ("activation", "short_link", "token", "password_write")
    newer += ("freeze", "directory_contact")
    newer += ("federation_key", "party_metadata", "saml_request", "saml_participant")
    for table in newer:
        change(plant, f"DROP TABLE {table}")
    change(plant, "ALTER TABLE brake DROP COLUMN label")
    change(plant, "ALTER TABLE subject DROP COLUMN frozen_at")
    change(plant, "ALTER TABLE subject DROP COLUMN new_browser_at")
    change(plant, "PRAGMA user_version = 1")
    file, made = await plant.back_up()
    assert made.manifest.schema_version == 1
    assert "lease" not in made.manifest.tables
    result = await verified(plant, file)
    assert result.findings == ()
