"""Opens a snapshot of the back-end that the settings name."""

from pathlib import Path

from wardgate.storage.backends import sqlite_path
from wardgate.storage.settings import DatabaseSettings
from wardgate.storage.snapshot import Snapshot


async def open_snapshot(settings: DatabaseSettings, data: Path) -> Snapshot:
    """The present moment of an installation's database. Raises SettingsError, StorageUnavailable."""
    if not settings.embedded:
        # Only here: asyncpg takes time to load that an installation on SQLite need not spend.
        from wardgate.storage.snapshot_postgres import PostgresSnapshot

        return await PostgresSnapshot.open(settings, data)
    from wardgate.storage.snapshot_sqlite import SqliteSnapshot

    return SqliteSnapshot(sqlite_path(settings, data))


async def fill(settings: DatabaseSettings, data: Path, database: Path) -> None:
    """Fill an empty PostgreSQL database with what the SQLite file `database` holds. Raises SettingsError, StorageUnavailable."""
    from wardgate.storage.snapshot_postgres import fill_postgres
    from wardgate.storage.snapshot_sqlite import SqliteSnapshot

    async with SqliteSnapshot(database) as source:
        await fill_postgres(settings, data, source)
