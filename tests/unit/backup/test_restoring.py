"""Restoring: into a new epoch in which nothing counts that may have been spent, whole or not at all, and never over anything."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys

import pytest

from tests.unit.backup.conftest import NOW, STAFF, Plant, at_work
from wardgate.account import activation, mail_link
from wardgate.account.authenticator import AuthenticatorState
from wardgate.account.device import Judged, judge, make, read_value
from wardgate.account.mail_link import Purpose
from wardgate.account.subject import SubjectId
from wardgate.admin import authenticators
from wardgate.audit.events import Kind
from wardgate.backup import epoch as epoch_module
from wardgate.backup import restoring
from wardgate.backup.archive import BackupError
from wardgate.backup.restoring import open_next
from wardgate.clock import to_ms
from wardgate.config.store import load_current
from wardgate.engine.self_service.flow import Flow, Stage
from wardgate.engine.self_service.flow import insert as insert_flow
from wardgate.errors import Conflict, NotFound, ServerUnavailable, SettingsError
from wardgate.installation import FORMAT, LOCK, MARKER, UNFINISHED, Installation, InstanceLock
from wardgate.pages.steps import Step, Steps
from wardgate.session.sessions import Opening, Sessions, Whose
from wardgate.storage import migrations
from wardgate.storage.port import Update, Where

PERIOD_S = 30
STEP = int(NOW.timestamp()) // PERIOD_S


async def test_a_restored_installation_is_whole_and_its_owners_alone(plant: Plant) -> None:
    file, made = await plant.back_up()
    restored = await plant.restore(file)
    data = plant.data.parent / "restored"
    assert Installation.open(data).settings == Installation.open(plant.data).settings
    assert restored.manifest == made.manifest
    assert sorted(os.listdir(data)) == sorted([LOCK, MARKER, "master.key", "tls", "wardgate.db", "wardgate.toml"])
    for path in data.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert {row["name"] for row in await plant.rows("local_user")} == {"ada", "erin", "otto"}
    async with at_work(data, plant.clock) as (office, _):
        version, document = await load_current(office.storage)
        assert document.nas[0].name == "hq"
        assert version == 3


async def test_a_restored_audit_verifies_over_both_epochs(plant: Plant) -> None:
    file, made = await plant.back_up()
    restored = await plant.restore(file, reason="the disk died")
    result = await plant.verified()
    assert result.findings == ()
    assert [(head.epoch, head.seq) for head in result.heads] == [(1, made.summary.rows["audit_event"]), (2, 1)]
    first = [row for row in await plant.rows("audit_event") if row["epoch"] == 2]
    assert [row["kind"] for row in first] == [Kind.EPOCH_OPENED.stored]
    told = json.loads(str(first[0]["payload"]))
    assert told["why"] == "restore"
    assert told["reason"] == "the disk died"
    assert told["backup_sha256"] == made.sha256
    assert told["heads"] == list(made.summary.heads)
    assert told["epoch_id"] == restored.epoch.id


async def test_time_based_codes_of_before_a_restore_are_spent(plant: Plant) -> None:
    file, _ = await plant.back_up()
    plant.clock.advance(600)
    await plant.restore(file)
    for kind, period_s in (("totp", 30), ("slow", 60)):
        counter = (await plant.authenticator(kind))["counter"]
        # The present step, and the one that a fast clock may show already.
        assert counter == int(plant.clock.now().timestamp()) // period_s + 1
    assert (await plant.authenticator("totp"))["state"] == AuthenticatorState.ACTIVE


async def test_a_counter_that_is_ahead_never_goes_back(plant: Plant) -> None:
    async with at_work(plant.data, plant.clock) as (office, _):
        await office.storage.commit([Update("authenticator", {"id": plant.ids["totp"]}, {"counter": STEP + 1000})])
    file, _ = await plant.back_up()
    restored = await plant.restore(file)
    assert (await plant.authenticator("totp"))["counter"] == STEP + 1000
    assert restored.epoch.raised == 1


async def test_counted_and_recovery_codes_of_before_a_restore_wait(plant: Plant) -> None:
    file, _ = await plant.back_up()
    restored = await plant.restore(file)
    assert (await plant.authenticator("hotp"))["state"] == AuthenticatorState.HELD
    assert (await plant.authenticator("recovery"))["state"] == AuthenticatorState.HELD
    assert (await plant.authenticator("gone"))["state"] == AuthenticatorState.REVOKED
    assert (restored.epoch.raised, restored.epoch.held) == (2, 2)


async def test_open_logins_links_and_waiting_messages_do_not_survive_a_restore(plant: Plant) -> None:
    file, _ = await plant.back_up()
    restored = await plant.restore(file)
    for table in ("handle", "login_transaction", "page_step", "self_service", "admin_pass", "lease", "hand_over"):
        assert await plant.rows(table) == [], table
    assert [row["id"] for row in await plant.rows("outbox")] == ["m-sent"]
    closed = {"handle": 1, "login_transaction": 1, "admin_pass": 1, "lease": 0, "hand_over": 0, "password_write": 0, "outbox": 1}
    closed |= {"activation": 0, "short_link": 0}
    none = dict.fromkeys(("page_step", "self_service", "sso_session", "mail_link", "saml_request", "saml_participant"), 0)
    assert restored.epoch.closed == {**none, **closed}


async def test_sessions_and_browsers_of_before_a_restore_do_not_come_alive(plant: Plant) -> None:
    subject, now_ms = SubjectId("00" * 16), to_ms(plant.clock.now())
    whose = Whose(subject, "staff", STAFF, "ada", "Ada", "en")
    async with at_work(plant.data, plant.clock) as (office, _):
        sessions = Sessions(office.storage, lambda: office.ring, plant.clock)
        bearer = await sessions.begin(Opening(whose, ("password", "totp"), 2, "portal", "203.0.113.7", "", "R"))
        _, link = mail_link.make(office.ring, subject, Purpose.UNDO_CONTACT, {}, now_ms)
        step = await Steps(office.storage, lambda: office.ring, plant.clock).begin(
            b"b" * 32, Step("", 0, "portal", "ada", "R", "en", "/account", None)
        )
        flow = Flow("f" * 32, "R", "reset", "portal", "staff", "ada", "en", stage=Stage.PASSWORD, expires_at=now_ms + 900_000)
        issued = activation.issue(office.ring, subject, "ada", "frank", now_ms, code_life_ms=activation.CODE_LIFE_MS)
        await office.storage.commit([link, issued.operation, insert_flow(office.ring, flow)])
    file, _ = await plant.back_up()
    restored = await plant.restore(file)
    async with at_work(plant.data.parent / "restored", plant.clock) as (office, _):
        assert await Sessions(office.storage, lambda: office.ring, plant.clock).find(bearer) is None
        assert await Steps(office.storage, lambda: office.ring, plant.clock).find(b"b" * 32, step.id) is None
    for table in ("sso_session", "mail_link", "activation", "page_step", "self_service"):
        assert await plant.rows(table) == [], table
        assert restored.epoch.closed[table] == 1, table


async def test_a_trusted_device_of_before_a_restore_waits_for_a_strong_factor(plant: Plant) -> None:
    subject = SubjectId("00" * 16)
    async with at_work(plant.data, plant.clock) as (office, _):
        value, operations = make(office.ring, subject, "Firefox", to_ms(plant.clock.now()), 86_400)
        await office.storage.commit(operations)
    file, _ = await plant.back_up()
    restored = await plant.restore(file)
    assert restored.epoch.held == 3
    [row] = await plant.rows("trusted_device")
    async with at_work(plant.data, plant.clock) as (office, _):
        shown = read_value(office.ring, value)
        assert shown is not None
        assert judge(row, shown, subject, to_ms(plant.clock.now())) == Judged.HELD


async def test_two_restores_of_one_backup_have_chains_that_cannot_be_confused(plant: Plant) -> None:
    file, _ = await plant.back_up()
    one, other = await plant.restore(file, "one"), await plant.restore(file, "other")
    assert one.epoch.number == other.epoch.number == 2
    assert one.epoch.id != other.epoch.id
    heads = [{(head.epoch, head.link) for head in (await plant.verified(name)).heads} for name in ("one", "other")]
    # The chain that they share, and one of its own for each.
    assert {epoch for epoch, _ in heads[0] & heads[1]} == {1}


async def test_a_restore_of_a_restore_opens_a_third_epoch(plant: Plant) -> None:
    file, _ = await plant.back_up()
    await plant.restore(file)
    second = Plant(plant.data.parent / "restored", plant.clock, plant.key_file, plant.recipient, plant.ids)
    again, _ = await second.back_up("again.age")
    assert (await plant.restore(again, "third")).epoch.number == 3
    assert (await plant.verified("third")).findings == ()


# --- what is held -------------------------------------------------------------------------------------------------------


async def test_an_operator_releases_what_is_held_and_the_audit_tells(plant: Plant) -> None:
    file, _ = await plant.back_up()
    await plant.restore(file)
    async with at_work(plant.data.parent / "restored", plant.clock) as (office, _):
        ada = {"directory": STAFF, "name": "ada"}
        result = await authenticators.release_authenticator(office, **ada, authenticator_id=plant.ids["hotp"])
        assert result["released"]
        listed = (await authenticators.list_authenticators(office, **ada))["authenticators"]
        assert {each["id"]: each["state"] for each in listed}[plant.ids["hotp"]] == "active"
        for name in ("hotp", "totp", "gone"):
            with pytest.raises(NotFound):
                await authenticators.release_authenticator(office, **ada, authenticator_id=plant.ids[name])
        events = await office.storage.find("audit_event", [Where("kind", "=", Kind.AUTHENTICATOR_RELEASED.stored)])
        assert [json.loads(str(row["payload"]))["authenticator_id"] for row in events] == [plant.ids["hotp"]]


async def test_what_is_held_can_be_revoked_and_is_replaced_by_a_new_sheet(plant: Plant) -> None:
    file, _ = await plant.back_up()
    await plant.restore(file)
    async with at_work(plant.data.parent / "restored", plant.clock) as (office, _):
        ada = {"directory": STAFF, "name": "ada"}
        await authenticators.revoke_authenticator(office, **ada, authenticator_id=plant.ids["hotp"])
        await authenticators.add_recovery_codes(office, **ada)
    assert (await plant.authenticator("hotp"))["state"] == AuthenticatorState.REVOKED
    assert (await plant.authenticator("recovery"))["state"] == AuthenticatorState.REVOKED


# --- whole or not at all -------------------------------------------------------------------------------------------------


async def test_a_damaged_backup_changes_nothing(plant: Plant) -> None:
    file, made = await plant.back_up()
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    with pytest.raises(BackupError):
        await plant.restore(file)
    file.write_bytes(content)
    with pytest.raises(BackupError):
        await plant.restore(file, sha256="0" * 64)
    assert [entry.name for entry in (plant.data.parent / "restored").glob("*")] in ([], [LOCK])
    assert (await plant.restore(file, sha256=made.sha256.upper())).epoch.number == 2


@pytest.mark.parametrize("place", ["_write_files", "_swap", "read_export", "open_epoch", "sync_directory"])
async def test_a_restore_that_fails_leaves_nothing_that_starts(plant: Plant, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = await plant.back_up()

    def fail(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(restoring, place, fail)
        export = plant.data.parent / "empty.jsonl"
        export.write_text("")
        with pytest.raises(Exception, match="No space left"):
            await plant.restore(file, export=export)
    with pytest.raises(SettingsError, match="holds no installation"):
        Installation.open(plant.data.parent / "restored")
    assert (await plant.restore(file)).epoch.number == 2
    assert (await plant.verified()).findings == ()


async def test_a_restore_that_is_killed_while_it_moves_things_leaves_nothing_that_starts(plant: Plant) -> None:
    """At every single rename."""
    file, _ = await plant.back_up()
    code = (
        "import asyncio, os, pathlib, sys; from wardgate.cli.main import run\n"
        "left, rename = int(sys.argv[1]), pathlib.Path.rename\n"
        "def counted(self, target):\n"
        "    global left\n"
        "    left -= 1\n"
        "    os._exit(9) if left < 0 else rename(self, target)\n"
        "pathlib.Path.rename = counted\n"
        "sys.exit(run(['restore', *sys.argv[2:]]))\n"
    )
    target = plant.data.parent / "replaced"
    shutil.copytree(plant.data, target)
    options = [str(file), "--identity", str(plant.key_file), "--data", str(target), "--replace", "--json"]
    for renames in range(40):
        ran = subprocess.run(
            [sys.executable, "-c", code, str(renames), *options],
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": "src"},
        )
        if ran.returncode == 0:
            break
        assert ran.returncode == 9, ran.stderr
        if renames:
            with pytest.raises(SettingsError, match="holds no installation"):
                Installation.open(target)
        else:
            Installation.open(target)
    assert renames >= 5
    Installation.open(target)
    assert (await plant.verified("replaced")).findings == ()
    # Nothing of the old data was lost on the way.
    assert len(list(target.glob("before-restore-*/wardgate.db"))) >= 1


async def test_a_directory_with_anything_in_it_is_not_touched(plant: Plant) -> None:
    file, _ = await plant.back_up()
    target = plant.data.parent / "restored"
    target.mkdir()
    (target / "thesis.txt").write_text("ten years")
    with pytest.raises(SettingsError, match="thesis"):
        await plant.restore(file)
    with pytest.raises(SettingsError, match="thesis"):
        await plant.restore(file, replace=True)
    assert os.listdir(target) == ["thesis.txt"] or sorted(os.listdir(target)) == [LOCK, "thesis.txt"]
    with pytest.raises(SettingsError, match="holds an installation"):
        await plant.restore(file, "data")


async def test_a_running_installation_is_not_replaced(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = await plant.back_up()
    with InstanceLock.take(plant.data), pytest.raises(ServerUnavailable):
        await plant.restore(file, "data", replace=True)
    assert Installation.open(plant.data)


async def test_another_installation_is_not_replaced(plant: Plant) -> None:
    file, _ = await plant.back_up()
    await Installation.create(plant.data.parent / "other", False, plant.clock)
    with pytest.raises(Conflict, match="another installation"):
        await plant.restore(file, "other", replace=True)
    assert Installation.open(plant.data.parent / "other")
    assert not (plant.data.parent / "other" / "restore.part").exists()


async def test_a_clock_that_stands_before_the_backup_brings_no_code_back(plant: Plant) -> None:
    """The steps of codes that are refused are told by the clock: a machine that woke in the past must not restore."""
    file, _ = await plant.back_up()
    plant.clock.advance(-3600)
    with pytest.raises(Conflict, match="clock"):
        await plant.restore(file)
    with pytest.raises(SettingsError, match="holds no installation"):
        Installation.open(plant.data.parent / "restored")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")
async def test_a_directory_of_another_user_is_not_restored_into(plant: Plant) -> None:
    file, _ = await plant.back_up()
    target = plant.data.parent / "restored"
    target.mkdir()
    os.chown(target, 65534, 65534)
    with pytest.raises(SettingsError, match="65534"):
        await plant.restore(file)
    assert os.listdir(target) == []


async def test_the_old_data_is_kept_aside(plant: Plant) -> None:
    file, _ = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, _):
        await authenticators.add_totp(office, directory=STAFF, name="erin")
    restored = await plant.restore(file, "data", replace=True)
    assert restored.aside is not None
    assert restored.aside.parent == plant.data
    kept = sqlite3.connect(restored.aside / "wardgate.db")
    assert kept.execute("SELECT count(*) FROM authenticator").fetchone() == (6,)
    kept.close()
    assert len(await plant.rows("authenticator", "data")) == 5
    assert not (plant.data / UNFINISHED).exists()
    assert json.loads((plant.data / MARKER).read_text()) == {"format": FORMAT, "kind": "production"}


# --- other places and versions -------------------------------------------------------------------------------------------


async def test_files_that_lay_elsewhere_are_restored_into_the_directory(plant: Plant) -> None:
    elsewhere = plant.data.parent / "etc"
    elsewhere.mkdir(mode=0o700)
    shutil.move(plant.data / "master.key", elsewhere / "kek")
    shutil.move(plant.data / "tls", elsewhere / "tls")
    settings = plant.data / "wardgate.toml"
    text = settings.read_text().replace('file = "master.key"', f'file = "{elsewhere}/kek"').replace('"tls/', f'"{elsewhere}/tls/')
    settings.write_text(text.replace("port = 1812", "port = 18120"))
    file, _ = await plant.back_up()
    shutil.rmtree(elsewhere)
    await plant.restore(file)
    made = Installation.open(plant.data.parent / "restored").settings
    assert (made.keys.file, made.https.certificate, made.https.key) == ("master.key", "tls/cert.pem", "tls/key.pem")
    assert made.radius.port == 18120
    assert len(await plant.rows("local_user")) == 3


async def test_a_backup_of_an_older_schema_migrates_forward(plant: Plant) -> None:
    connection = sqlite3.connect(plant.data / "wardgate.db")
    newer = ("lease", "audit_head", "local_password_history", "known_name", "contact")
    newer += ("hand_over", "demand", "trusted_device", "habit", "sending", "kba_answer", "kba_state", "kba_round")
    newer += ("page_step", "self_service", "sso_session", "mail_link")
    newer += ("activation", "short_link", "token", "password_write")
    newer += ("freeze", "directory_contact")
    newer += ("federation_key", "party_metadata", "saml_request", "saml_participant")
    dropped = "".join(f"DROP TABLE {table};" for table in newer) + "ALTER TABLE brake DROP COLUMN label;"
    dropped += "ALTER TABLE subject DROP COLUMN frozen_at; ALTER TABLE subject DROP COLUMN new_browser_at;"
    connection.executescript(dropped + "PRAGMA user_version = 1")
    connection.close()
    file, made = await plant.back_up()
    assert made.manifest.schema_version == 1
    await plant.restore(file)
    connection = sqlite3.connect(plant.data.parent / "restored" / "wardgate.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (migrations.LATEST,)
    connection.close()
    assert all([await plant.rows(table) == [] for table in newer if table != "audit_head"])
    assert (await plant.verified()).findings == ()


# --- an epoch without a restore ------------------------------------------------------------------------------------------


async def test_a_promoted_standby_opens_an_epoch_of_its_own(plant: Plant) -> None:
    epoch = await open_next(Installation.open(plant.data), plant.clock, "cli:olga", "standby promoted")
    assert (epoch.number, epoch.raised, epoch.held) == (2, 2, 2)
    assert (await plant.authenticator("totp", "data"))["counter"] == STEP + 1
    assert (await plant.authenticator("hotp", "data"))["state"] == AuthenticatorState.HELD
    result = await plant.verified("data")
    assert result.findings == ()
    assert [head.epoch for head in result.heads] == [1, 2]


async def test_an_epoch_that_was_cut_short_has_only_taken_rights_away(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(5, "power cut")

    installation = Installation.open(plant.data)
    with monkeypatch.context() as patch:
        patch.setattr(epoch_module, "record", fail)
        with pytest.raises(OSError, match="power cut"):
            await open_next(installation, plant.clock, "cli:olga", "first")
    assert (await plant.authenticator("hotp", "data"))["state"] == AuthenticatorState.HELD
    epoch = await open_next(installation, plant.clock, "cli:olga", "again")
    assert (epoch.number, epoch.raised, epoch.held) == (2, 0, 0)
    assert (await plant.verified("data")).findings == ()
