"""An installation on disk: made whole or not at all, never over anything else, opened by one process at a time."""

import asyncio
import base64
import os
import re
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from wardgate.certificates import self_signed, valid_until
from wardgate.clock import FixedClock
from wardgate.config.store import load_current
from wardgate.crypto import new_key
from wardgate.errors import SealError, ServerUnavailable, SettingsError
from wardgate.installation import LOCK, MARKER, NODE, UNFINISHED, Installation, InstanceLock
from wardgate.settings import DatabaseSettings, KeySettings, ServerSettings, StartSettings

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def create(data: Path, demo: bool = False, fresh: bool = False, settings: StartSettings | None = None) -> Installation:
    return await Installation.create(data, demo, FixedClock(NOW), settings, fresh)


async def installation_id(installation: Installation) -> object:
    opened = await installation.connect()
    try:
        row = await opened.storage.get("installation", {"name": "id"})
    finally:
        await opened.storage.close()
    assert row is not None
    return row["value"]


async def test_a_new_installation_is_whole_and_its_owners_alone(data: Path) -> None:
    made = await create(data)
    assert Installation.open(data) == made
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for path in (made.key_file, made.certificate_key, made.database, data / MARKER, data / "wardgate.toml"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert not (data / UNFINISHED).exists()
    opened = await made.connect()
    version, document = await load_current(opened.storage)
    assert (version, document.realms[0].name, opened.epoch) == (1, "default", 1)
    assert opened.rings().numbers == (1,)
    await opened.storage.close()


async def test_the_key_file_holds_32_random_bytes(data: Path, tmp_path: Path) -> None:
    one, other = await create(data), await create(tmp_path / "other")
    keys = {base64.b64decode(each.key_file.read_bytes()) for each in (one, other)}
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 2


async def test_no_data_key_stands_in_clear_in_the_database(data: Path) -> None:
    made = await create(data)
    opened = await made.connect()
    rows = await opened.storage.find("data_key", order_by="number")
    await opened.storage.close()
    assert [row["number"] for row in rows] == [0, 1]
    assert all(isinstance(row["wrapped"], bytes) and len(row["wrapped"]) == 12 + 32 + 16 for row in rows)


async def test_an_installation_is_not_made_over_another(data: Path) -> None:
    before = await installation_id(await create(data))
    with pytest.raises(SettingsError, match="holds an installation already"):
        await create(data)
    assert await installation_id(Installation.open(data)) == before


async def test_fresh_makes_a_new_installation_in_the_place_of_ours(data: Path) -> None:
    before = await installation_id(await create(data, demo=True))
    (data / "export.yaml").write_text("left by somebody")
    again = await create(data, demo=True, fresh=True)
    assert await installation_id(again) != before
    assert not (data / "export.yaml").exists()


@pytest.mark.parametrize("fresh", [False, True])
async def test_fresh_on_a_directory_without_our_marker_is_refused_and_nothing_is_deleted(data: Path, fresh: bool) -> None:
    (data / "photos").mkdir(parents=True)
    (data / "photos" / "1.jpg").write_text("precious")
    (data / "master.key").write_text("somebody's own")
    mode = stat.S_IMODE(data.stat().st_mode)
    with pytest.raises(SettingsError, match="nothing was changed"):
        await create(data, fresh=fresh)
    assert sorted(path.name for path in data.rglob("*")) == ["1.jpg", "master.key", "photos"]
    assert (data / "master.key").read_text() == "somebody's own"
    assert stat.S_IMODE(data.stat().st_mode) == mode


async def test_a_fresh_demo_never_deletes_a_production_installation(data: Path) -> None:
    made = await create(data)
    before = await installation_id(made)
    with pytest.raises(SettingsError, match="production"):
        await create(data, demo=True, fresh=True)
    assert await installation_id(Installation.open(data)) == before
    assert made.key_file.exists()


async def test_fresh_does_not_follow_a_symbolic_link_to_the_directory(data: Path, tmp_path: Path) -> None:
    before = await installation_id(await create(data))
    link = tmp_path / "link"
    link.symlink_to(data)
    with pytest.raises(SettingsError, match="symbolic link"):
        await create(link, fresh=True)
    assert await installation_id(Installation.open(data)) == before


async def test_fresh_deletes_a_link_inside_and_not_what_it_leads_to(data: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    await create(data)
    (data / "link").symlink_to(outside)
    await create(data, fresh=True)
    assert not (data / "link").exists()
    assert (outside / "kept").read_text() == "kept"


async def test_a_marker_that_is_not_ours_does_not_open_the_door(data: Path) -> None:
    data.mkdir()
    (data / MARKER).write_text("something else")
    (data / "file").write_text("kept")
    with pytest.raises(SettingsError, match="not ours"):
        await create(data, fresh=True)
    assert (data / "file").read_text() == "kept"
    with pytest.raises(SettingsError, match="wardgate init"):
        Installation.open(data)


async def test_a_creation_that_was_cut_short_is_begun_anew(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def cut(self: Installation, clock: object) -> None:
        self.database.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Installation, "_make_database", cut)
    with pytest.raises(KeyboardInterrupt):
        await create(data)
    with pytest.raises(SettingsError, match="wardgate init"):
        Installation.open(data)
    monkeypatch.undo()
    await installation_id(await create(data))


async def test_a_key_file_elsewhere_is_kept_and_used_again(data: Path, tmp_path: Path) -> None:
    settings = StartSettings(keys=KeySettings(file=str(tmp_path / "keys" / "wardgate.key")))
    made = await create(data, settings=settings)
    key = made.key_file.read_bytes()
    again = await create(data, settings=settings, fresh=True)
    assert again.key_file.read_bytes() == key
    await installation_id(again)


async def test_a_database_that_stands_elsewhere_already_is_not_touched(data: Path, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_text("somebody's")
    settings = StartSettings(database=DatabaseSettings(url=f"sqlite:{tmp_path / 'other.db'}"))
    with pytest.raises(SettingsError, match="exists already"):
        await create(data, settings=settings)
    assert (tmp_path / "other.db").read_text() == "somebody's"


async def test_a_key_file_that_others_can_read_is_refused_with_the_cure(data: Path) -> None:
    made = await create(data)
    made.key_file.chmod(0o640)
    with pytest.raises(SettingsError, match=f"mode 640.*chmod 600 {made.key_file}"):
        await made.connect()


@pytest.mark.parametrize("content", [b"", b"not base64!", base64.b64encode(b"short")])
async def test_a_damaged_key_file_is_named(data: Path, content: bytes) -> None:
    made = await create(data)
    made.key_file.write_bytes(content)
    with pytest.raises(SettingsError, match="is damaged"):
        await made.connect()


async def test_another_key_file_does_not_open_the_database(data: Path) -> None:
    made = await create(data)
    made.key_file.write_bytes(base64.b64encode(new_key().reveal()))
    with pytest.raises(SealError, match="does not fit this database"):
        await made.connect()


async def test_a_missing_key_file_is_named(data: Path) -> None:
    made = await create(data)
    made.key_file.unlink()
    with pytest.raises(SettingsError, match="restore it"):
        await made.connect()


async def test_an_installation_of_a_newer_release_is_left_alone(data: Path) -> None:
    await create(data)
    (data / MARKER).write_text('{"format": 99, "kind": "production"}')
    with pytest.raises(SettingsError, match="made by another release"):
        Installation.open(data)
    with pytest.raises(SettingsError, match="made by another release"):
        await create(data, fresh=True)
    assert (data / "master.key").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
async def test_a_command_of_another_user_is_refused_before_it_leaves_files(data: Path) -> None:
    await create(data)
    os.chown(data, 65534, 65534)
    with pytest.raises(SettingsError, match=r"belongs to \w+: run this as that user"):
        Installation.open(data)


# --- the instance lock ---------------------------------------------------------------------------------------------------


@pytest.fixture
def holder(data: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input ends."""
    data.mkdir()
    code = (
        "import sys, pathlib; from wardgate.installation import InstanceLock; "
        "lock = InstanceLock.take(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_lock_names_the_process_that_holds_it(data: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(ServerUnavailable, match=f"process {holder.pid} holds"):
        InstanceLock.take(data)


def test_the_lock_ends_with_the_process_however_it_ends(data: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    with InstanceLock.take(data):
        assert (data / LOCK).read_text() == f"{os.getpid()}\n"


def test_a_lock_is_waited_for(data: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.stdin is not None
    holder.stdin.close()
    InstanceLock.take(data, wait_s=30).release()


async def test_a_running_server_is_not_deleted_under_its_feet(data: Path) -> None:
    made = await create(data)
    with made.lock(), pytest.raises(ServerUnavailable):
        await create(data, fresh=True)
    await installation_id(made)


def test_the_lock_file_is_never_a_link_to_something_else(data: Path, tmp_path: Path) -> None:
    data.mkdir()
    (tmp_path / "victim").write_text("kept")
    (data / LOCK).symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        InstanceLock.take(data)
    assert (tmp_path / "victim").read_text() == "kept"


# --- the certificate -----------------------------------------------------------------------------------------------------


async def test_the_self_signed_certificate_is_its_own_trust_anchor(tmp_path: Path) -> None:
    certificate, key = self_signed(datetime.now(UTC), "node1.acme.test")
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(certificate)
    key_file.write_bytes(key)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(cert_file, key_file)
    trusting = ssl.create_default_context(cafile=str(cert_file))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=serving)
    port = server.sockets[0].getsockname()[1]
    for name in ("localhost", "127.0.0.1", "::1", "node1.acme.test"):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=name)
        writer.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="evil.test")
    server.close()
    await server.wait_closed()


async def test_the_certificate_lives_long_and_no_longer_than_browsers_allow(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_bytes(self_signed(NOW, "not a host name!")[0])
    assert timedelta(days=397) < valid_until(tmp_path / "cert.pem") - NOW <= timedelta(days=825)
    names = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost"]
    (tmp_path / "cert.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match="holds no PEM certificate"):
        valid_until(tmp_path / "cert.pem")


async def test_a_node_keeps_its_name_and_differs_from_another_of_the_same_name(data: Path, tmp_path: Path) -> None:
    settings = StartSettings(server=ServerSettings(node="vpn 1"))
    one, other = await create(data, settings=settings), await create(tmp_path / "other", settings=settings)
    assert re.fullmatch(r"vpn-1-[0-9a-f]{8}", one.node_id())
    assert one.node_id() == one.node_id() != other.node_id()
    assert stat.S_IMODE((data / NODE).stat().st_mode) == 0o600
    (data / NODE).write_text("not what we wrote\n")
    assert re.fullmatch(r"vpn-1-[0-9a-f]{8}", one.node_id())


async def test_workers_write_one_chain_on_sqlite_and_one_each_on_a_shared_database(data: Path) -> None:
    alone = await create(data)
    assert {alone.chain_writer(), alone.chain_writer(0), alone.chain_writer(1)} == {"server"}
    shared = replace(alone, settings=StartSettings(database=DatabaseSettings(url="postgresql://wardgate@db/wardgate")))
    node = shared.node_id()
    assert [shared.chain_writer(slot) for slot in (None, 0, 1)] == [f"{node}.command", f"{node}.0", f"{node}.1"]
