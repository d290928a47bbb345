"""Migrations: they make what the schema says, all or nothing, and forward only."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from alembic.operations import Operations
from sqlalchemy import Engine, Inspector, MetaData, UniqueConstraint, create_engine, inspect
from sqlalchemy.dialects import sqlite

from wardgate.errors import SettingsError, StorageUnavailable, WardgateError
from wardgate.storage import migrations
from wardgate.storage.schema import metadata
from wardgate.storage.sqlite import APPLICATION_ID, prepare

Description = dict[str, dict[str, object]]


def _version(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def _tables(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    finally:
        connection.close()


def _described(inspector: Inspector) -> Description:
    """What a database has, in the words of `_wanted`."""
    return {
        table: {
            "columns": [(c["name"], str(c["type"]), "may be empty" if c["nullable"] else "") for c in inspector.get_columns(table)],
            "defaults": [c["name"] for c in inspector.get_columns(table) if c["default"] is not None],
            "primary key": inspector.get_pk_constraint(table)["constrained_columns"],
            "unique": sorted((str(u["name"]), u["column_names"]) for u in inspector.get_unique_constraints(table)),
            "indexes": sorted(
                (str(i["name"]), i["column_names"], bool(i["unique"]))
                for i in inspector.get_indexes(table)
                if not i.get("duplicates_constraint")
            ),
        }
        for table in inspector.get_table_names()
    }


def _wanted(wanted: MetaData) -> Description:
    """What the schema says. Written by itself: describing a database made by `create_all` would hide what SQLAlchemy drops."""
    return {
        table.name: {
            "columns": [(c.name, c.type.compile(sqlite.dialect()), "may be empty" if c.nullable else "") for c in table.columns],
            "defaults": [],
            "primary key": [c.name for c in table.primary_key.columns],
            "unique": sorted(
                (str(u.name), [c.name for c in u.columns]) for u in table.constraints if isinstance(u, UniqueConstraint)
            ),
            "indexes": sorted((str(i.name), [c.name for c in i.columns], bool(i.unique)) for i in table.indexes),
        }
        for table in wanted.tables.values()
    }


def _engine(path: Path) -> Engine:
    return create_engine(f"sqlite:///{path}")


def test_the_migrated_database_is_what_the_schema_says(tmp_path: Path) -> None:
    prepare(tmp_path / "w.db")
    engine = _engine(tmp_path / "w.db")
    found, wanted = _described(inspect(engine)), _wanted(metadata)
    engine.dispose()
    assert sorted(found) == sorted(wanted)
    for table, description in wanted.items():
        assert (table, found[table]) == (table, description)


def test_every_migration_file_is_listed_in_order() -> None:
    files = sorted(path.stem for path in Path(migrations.__file__).parent.glob("m[0-9]*.py"))
    assert list(migrations.MIGRATIONS) == files
    assert [int(name[1:5]) for name in migrations.MIGRATIONS] == list(range(1, migrations.LATEST + 1))


def test_a_new_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        prepare(tmp_path / "w.db")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "w.db").stat().st_mode) == 0o600


def test_preparing_again_changes_nothing(tmp_path: Path) -> None:
    prepare(tmp_path / "w.db")
    before = (tmp_path / "w.db").read_bytes()
    prepare(tmp_path / "w.db")
    assert (tmp_path / "w.db").read_bytes() == before


def test_a_database_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    prepare(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {migrations.LATEST + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(
        SettingsError, match=rf"version {migrations.LATEST + 1} .* up to {migrations.LATEST}: start the newer program"
    ):
        prepare(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE theirs (x)",
        "PRAGMA user_version = 1",
        "PRAGMA application_id = 77",
        "PRAGMA application_id = 77; CREATE TABLE local_user (x)",
    ],
)
def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path, script: str) -> None:
    path = tmp_path / "theirs.db"
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="another program"):
        prepare(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, not a database\n" * 100)
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="not a database"):
        prepare(path)
    assert path.read_bytes() == before


def test_a_path_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match=r"cannot open the database .*: No such file"):
        prepare(tmp_path / "missing" / "w.db")
    with pytest.raises(StorageUnavailable, match=r"cannot open the database .*: Is a directory"):
        prepare(tmp_path)


# --- upgrades, from every release's tables ---


def _at_version(path: Path, version: int) -> None:
    """A database as the program of that version left it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrations.upgrade(connection, 0, version)
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {version}")
    engine.dispose()


@pytest.mark.parametrize("version", range(1, migrations.LATEST))
def test_rows_of_an_older_release_stay_as_they_were(tmp_path: Path, version: int) -> None:
    path = tmp_path / "w.db"
    _at_version(path, version)
    columns = [c.name for c in metadata.tables["local_user"].columns]
    given = {
        "id": "u1",
        "directory": "local",
        "name": "Işıl",
        "name_key": "işil",
        "groups": "[]",
        "attributes": "{}",
        "state": "active",
    }
    row = [given.get(name, None if metadata.tables["local_user"].c[name].nullable else 0) for name in columns]
    connection = sqlite3.connect(path)
    connection.execute(f"INSERT INTO local_user ({', '.join(columns)}) VALUES ({', '.join('?' * len(row))})", row)
    connection.execute("INSERT INTO subject_link VALUES ('local', 'u1', 's1', 5)")
    connection.commit()
    before = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("local_user", "subject_link")]
    connection.close()
    prepare(path)
    assert _version(path) == migrations.LATEST
    connection = sqlite3.connect(path)
    assert [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("local_user", "subject_link")] == before
    for table in ("local_password_history", "known_name", "contact"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    connection.close()
    engine = _engine(path)
    found, wanted = _described(inspect(engine)), _wanted(metadata)
    engine.dispose()
    assert found == wanted


# --- upgrades, with steps of the future ---


class PowerCut(Exception):
    """Ends a migration in the middle."""


def _add_step(monkeypatch: pytest.MonkeyPatch, name: str, upgrade: Any) -> None:
    module = ModuleType(name)
    module.upgrade = upgrade  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, f"{migrations.__name__}.{name}", module)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, name))
    monkeypatch.setattr(migrations, "LATEST", migrations.LATEST + 1)


def _good_step(op: Operations) -> None:
    op.execute("CREATE TABLE of_the_future (id TEXT)")


def _bad_step(op: Operations) -> None:
    op.execute("CREATE TABLE half_made (id TEXT)")
    op.execute("ALTER TABLE installation ADD COLUMN half_made TEXT")
    op.execute("DELETE FROM installation")
    raise PowerCut


def test_an_upgrade_runs_the_steps_that_are_missing_and_keeps_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.db"
    prepare(path)
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO installation VALUES ('id', 'kept')")
    connection.commit()
    connection.close()
    _add_step(monkeypatch, "m9998_good", _good_step)
    prepare(path)
    assert _version(path) == migrations.LATEST
    assert "of_the_future" in _tables(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT * FROM installation").fetchall() == [("id", "kept")]
    connection.close()


def test_an_upgrade_that_is_interrupted_leaves_the_old_version_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.db"
    prepare(path)
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO installation VALUES ('id', 'kept')")
    connection.commit()
    before, version = list(connection.iterdump()), _version(path)
    connection.close()
    _add_step(monkeypatch, "m9998_good", _good_step)
    _add_step(monkeypatch, "m9999_bad", _bad_step)
    with pytest.raises(PowerCut):
        prepare(path)
    connection = sqlite3.connect(path)
    assert list(connection.iterdump()) == before
    connection.close()
    assert _version(path) == version


def test_a_first_start_that_is_interrupted_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.db"
    with monkeypatch.context() as later:
        _add_step(later, "m9999_bad", _bad_step)
        with pytest.raises(PowerCut):
            prepare(path)
    assert (_version(path), _tables(path)) == (0, [])
    prepare(path)
    assert _version(path) == migrations.LATEST


def test_a_process_that_is_killed_in_an_upgrade_leaves_the_old_version_whole(tmp_path: Path) -> None:
    """The real thing: no rollback runs, the next start finds the log of an unfinished transaction."""
    path = tmp_path / "w.db"
    prepare(path)
    script = """
import os, signal, sys
from pathlib import Path
from types import ModuleType
from wardgate.storage import migrations
from wardgate.storage.sqlite import prepare
step = ModuleType("m9999_bad")
def upgrade(op):
    op.execute("CREATE TABLE half_made (id TEXT)")
    for n in range(20000):
        op.execute(f"INSERT INTO half_made VALUES ('{n:0300}')")
    os.kill(os.getpid(), signal.SIGKILL)
step.upgrade = upgrade
sys.modules[migrations.__name__ + ".m9999_bad"] = step
migrations.MIGRATIONS += ("m9999_bad",)
migrations.LATEST += 1
prepare(Path(sys.argv[1]))
"""
    killed = subprocess.run([sys.executable, "-c", script, str(path)], timeout=60, check=False)
    assert killed.returncode == -9
    assert "half_made" not in _tables(path)
    prepare(path)
    assert _version(path) == migrations.LATEST


def test_two_processes_that_start_at_once_upgrade_once(tmp_path: Path) -> None:
    failures: list[WardgateError] = []
    path = tmp_path / "w.db"
    barrier = threading.Barrier(4)

    def start() -> None:
        barrier.wait()
        try:
            prepare(path)
        except WardgateError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert _version(path) == migrations.LATEST


def test_a_new_file_that_another_process_turns_round_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite refuses to enter WAL mode at once there, whatever busy_timeout says."""
    path = tmp_path / "w.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            other.execute("COMMIT")

    monkeypatch.setattr("wardgate.storage.sqlite.sleep", pause)
    prepare(path)
    other.close()
    assert len(pauses) >= 2
    assert _version(path) == migrations.LATEST


def test_an_upgrade_while_another_process_looks_is_not_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    looked: list[str] = []

    def pragma(connection: sqlite3.Connection, name: str) -> int:
        value = int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        looked.append(name)
        if len(looked) == 1:
            prepare(path)
        return value

    monkeypatch.setattr("wardgate.storage.sqlite._pragma", pragma)
    prepare(path)
    assert _version(path) == migrations.LATEST


def test_making_a_database_ready_keeps_the_locks_of_a_connection_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """POSIX: who closes any descriptor of a file gives up the locks of its whole process on it."""
    path = tmp_path / "w.db"
    writing = sqlite3.connect(path, isolation_level=None)
    writing.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("wardgate.storage.sqlite.LOCK_WAIT_S", 0.0)
    with pytest.raises(StorageUnavailable, match="locked"):
        prepare(path)
    script = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
try:
    connection.execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError:
    sys.exit(7)
"""
    tried = subprocess.run([sys.executable, "-c", script, str(path)], timeout=60, check=False)
    writing.close()
    assert tried.returncode == 7


def test_an_upgrade_on_a_full_disk_says_so_and_leaves_the_old_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.db"
    prepare(path)

    def fill(op: Operations) -> None:
        op.execute("PRAGMA max_page_count = 1")
        op.execute("CREATE TABLE half_made (id TEXT)")
        op.execute("INSERT INTO half_made VALUES (zeroblob(10000000))")

    before = path.read_bytes()
    _add_step(monkeypatch, "m9999_full", fill)
    with pytest.raises(StorageUnavailable) as raised:
        prepare(path)
    assert raised.value.code == "storage_full"
    assert path.read_bytes() == before


def test_an_up_to_date_database_opens_without_alembic(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    prepare(path)
    script = """
import sys
from pathlib import Path
from wardgate.storage.sqlite import prepare
prepare(Path(sys.argv[1]))
sys.exit("alembic" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script, str(path)], timeout=60, check=False).returncode == 0
