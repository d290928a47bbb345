"""Backups from and into PostgreSQL: the same file, whatever the database was."""

import asyncio
import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from tests import postgresql
from tests.unit.backup.conftest import STAFF, Plant, at_work, silent
from wardgate.account.authenticator import AuthenticatorState
from wardgate.admin import users
from wardgate.backup.archive import read_identities
from wardgate.backup.making import make_file
from wardgate.backup.restoring import open_next
from wardgate.backup.verifying import verify_backup
from wardgate.clock import FixedClock
from wardgate.errors import Conflict, SettingsError, UsageError
from wardgate.installation import Installation
from wardgate.storage.port import Upsert

pytestmark = pytest.mark.neighbour("postgresql")


@pytest.fixture
async def database() -> str:
    """The URL of an empty database."""
    return postgresql.shared().url(await postgresql.shared().create())


def set_to_the_present(clock: FixedClock, ahead_s: float = 0) -> None:
    """The database has a clock of its own."""
    clock.advance((datetime.now(UTC) - clock.now()).total_seconds() + ahead_s)


async def on_postgresql(plant: Plant, url: str, name: str = "shared") -> Plant:
    """The same installation, restored into PostgreSQL."""
    file, _ = await plant.back_up(f"{name}.age")
    await plant.restore(file, name, database=url)
    return Plant(plant.data.parent / name, plant.clock, plant.key_file, plant.recipient, plant.ids)


async def test_a_backup_of_sqlite_is_restored_into_postgresql(plant: Plant, database: str) -> None:
    shared = await on_postgresql(plant, database)
    settings = Installation.open(shared.data).settings
    assert settings.database.url == database
    # What it passed through must not lie about afterwards.
    assert not list(shared.data.rglob("*.db*"))
    assert {row["name"] for row in await plant.rows("local_user", "shared")} == {"ada", "erin", "otto"}
    assert (await plant.authenticator("hotp", "shared"))["state"] == AuthenticatorState.HELD
    result = await plant.verified("shared")
    assert result.findings == ()
    assert [head.epoch for head in result.heads] == [1, 2]


async def test_a_backup_of_postgresql_is_one_moment_and_is_restored_anywhere(plant: Plant, database: str, tmp_path: Path) -> None:
    shared = await on_postgresql(plant, database)
    file = tmp_path / "moment.age"
    async with at_work(shared.data, plant.clock) as (office, _):
        seen = 0

        def meanwhile(done: int, word: str) -> None:
            nonlocal seen
            seen += 1
            work = asyncio.run_coroutine_threadsafe(users.add_user(office, directory=STAFF, name=f"late{seen}"), loop)
            work.result(30)

        loop = asyncio.get_running_loop()
        installation = Installation.open(shared.data)

        def make() -> None:
            asyncio.run(make_file(installation, file, [plant.recipient], plant.clock, meanwhile))

        await asyncio.to_thread(make)
        assert seen > 3
    verified = await verify_backup(file, read_identities(plant.key_file), None, silent)
    assert verified.findings == ()
    assert verified.unpacked.summary.rows["local_user"] == 3

    with pytest.raises(UsageError, match="--database"):
        await plant.restore(file, "nowhere")
    restored = await plant.restore(file, "embedded", database="sqlite:")
    assert restored.epoch.number == 3
    assert Installation.open(tmp_path / "embedded").settings.database.url == "sqlite:wardgate.db"
    assert (await plant.verified("embedded")).findings == ()


async def test_a_database_that_serves_is_never_written_over(plant: Plant, database: str) -> None:
    await on_postgresql(plant, database)
    await plant.rows("local_user", "shared")
    file, _ = await plant.back_up("again.age")
    with pytest.raises(SettingsError, match="holds an installation"):
        await plant.restore(file, "other", database=database)
    with pytest.raises(SettingsError, match="holds no installation"):
        Installation.open(plant.data.parent / "other")
    assert len(await plant.rows("local_user", "shared")) == 3


async def test_tables_of_another_program_are_never_written_over(plant: Plant, database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE thesis (text text); INSERT INTO thesis VALUES ('ten years')")
    file, _ = await plant.back_up()
    with pytest.raises(SettingsError, match="another program"):
        await plant.restore(file, "other", database=database)
    assert await connection.fetchval("SELECT text FROM thesis") == "ten years"
    await connection.close()


async def test_a_restore_that_fails_half_way_is_done_again(plant: Plant, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = await plant.back_up()

    async def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, "cable cut")

    with monkeypatch.context() as patch:
        patch.setattr("wardgate.storage.snapshot_postgres.write_mark", fail)
        with pytest.raises(Exception, match="input/output error"):
            await plant.restore(file, "other", database=database)
    await plant.restore(file, "other", database=database)
    assert len(await plant.rows("local_user", "other")) == 3


async def test_an_epoch_is_not_opened_by_a_clock_that_is_behind(plant: Plant, database: str) -> None:
    """It would spend the codes up to its own present: those that were used since would be good once more."""
    shared = await on_postgresql(plant, database)
    behind = FixedClock(datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(Conflict, match="differs from the database"):
        await open_next(Installation.open(shared.data), behind, "cli:olga", "promoted")
    async with at_work(shared.data, plant.clock) as (_, opened):
        assert opened.epoch == 2


async def test_an_epoch_is_not_opened_while_a_node_is_at_work(plant: Plant, database: str) -> None:
    set_to_the_present(plant.clock)
    shared = await on_postgresql(plant, database)
    installation = Installation.open(shared.data)
    at_ms = int(plant.clock.now().timestamp() * 1000)
    async with at_work(shared.data, plant.clock) as (office, _):
        await office.storage.commit([Upsert("lease", {"name": "janitor", "holder": "db1.0", "held_until": at_ms + 10_000})])
    with pytest.raises(Conflict, match=r"db1\.0"):
        await open_next(installation, plant.clock, "cli:olga", "promoted")
    set_to_the_present(plant.clock, ahead_s=15)
    assert (await open_next(installation, plant.clock, "cli:olga", "promoted")).number == 3
    assert (await plant.verified("shared")).findings == ()
